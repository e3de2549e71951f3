"""What the check reports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One finding of the check.

    Attributes:
        line: Line number in the file, from 1.
        column: Column in that line, from 1.
        code: Name of the rule, such as ``digit``; ``docs/chat.md`` lists them.
        message: What is wrong and what to write instead.
        severity: ``error`` where the file is not valid CHAT, ``warning`` where it is valid but probably not meant.
    """

    line: int
    column: int
    code: str
    message: str
    severity: str = "error"


class Finding(NamedTuple):
    """A problem before its place in the file is known; ``offset`` counts characters of the checked text from 0."""

    offset: int
    code: str
    message: str
    severity: str = "error"
