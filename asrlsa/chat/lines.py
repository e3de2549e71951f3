"""The lines of a CHAT file: folded lines joined, every character still traceable to its line and column."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a CHAT file with its continuation lines joined to it by one space each.

    Attributes:
        sigil: ``@``, ``*`` or ``%``; the first character of a line that is none of these, or empty for a blank line.
        name: What stands between the sigil and the colon: ``Languages``, ``CHI``, ``wor``. The whole line after the
            sigil where there is no colon.
        value: What follows the colon and the tab, or None where there is no colon.
        text: The whole line, joined.
        number: Line number in the file, from 1.
        start: Offset of the value in ``text``.
        separator: What stands between the colon and the value; a tab in valid CHAT.
        folds: For every continuation line, the offset in ``text`` of its first character and its line number.
    """

    sigil: str
    name: str
    value: str | None
    text: str
    number: int
    start: int = 0
    separator: str = ""
    folds: tuple[tuple[int, int], ...] = ()

    def place(self, offset: int) -> tuple[int, int]:
        """Return the line and column, both from 1, of the character at ``offset`` in ``text``."""
        number, first = self.number, -1
        for begin, line in self.folds:
            if offset < begin:
                break
            # The continuation line starts with a tab, which is column 1.
            number, first = line, begin - 2
        return number, offset - first

    def place_in_value(self, offset: int) -> tuple[int, int]:
        """Return the line and column, both from 1, of the character at ``offset`` in ``value``."""
        return self.place(self.start + offset)


def split_lines(text: str) -> Iterator[Line]:
    """Yield the lines of a CHAT file; ``text`` has LF line ends and no byte order mark."""
    held = ""
    number = 0
    folds: list[tuple[int, int]] = []
    for count, piece in enumerate(text.split("\n"), start=1):
        if piece[:1] == "\t" and number:
            folds.append((len(held) + 1, count))
            held = f"{held} {piece[1:]}"
            continue
        if number:
            yield _line(held, number, tuple(folds))
        held, number = piece, count
        if folds:
            folds = []
    if held:
        yield _line(held, number, tuple(folds))


def _line(text: str, number: int, folds: tuple[tuple[int, int], ...]) -> Line:
    """Take one joined line apart."""
    sigil = text[:1]
    if sigil not in ("@", "*", "%"):
        return Line(sigil, text, None, text, number, 0, "", folds)
    name, colon, _ = text.partition(":")
    if not colon or (" " in name.strip() and sigil != "@"):
        return Line(sigil, text[1:], None, text, number, 1, "", folds)
    start = len(name) + 1
    if text[start : start + 1] == "\t":
        return Line(sigil, name[1:], text[start + 1 :], text, number, start + 1, "\t", folds)
    value = text[start:].lstrip(" \t")
    separator = text[start : len(text) - len(value)]
    return Line(sigil, name[1:], value, text, number, len(text) - len(value), separator, folds)
