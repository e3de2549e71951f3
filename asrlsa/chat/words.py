"""What one word token of a main tier says: the sounds that were heard and the word that was meant.

``(be)cause`` says *cause* and means *because*; ``↫b-b↫boy`` says *b- b- boy*; ``ice+cream`` is two words.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from asrlsa.chat.lexer import CA_MARKS

PART_WORD = "↫"
BLOCK = "≠"

#: Hesitation sounds that files older than the ``&-`` code write with a bare ``&``.
LEGACY_FILLERS = frozenset(
    ("ah", "eh", "em", "er", "erm", "ha", "hm", "hmm", "huh", "mhm", "mm", "mmm", "oh", "uh", "uhm", "um", "umm")
)

_STRESS = frozenset("ˈˌ")
_SUFFIX = re.compile(r"(?<=.)[@$].*\Z", re.DOTALL)
_CA = re.compile(rf"[⌈⌉⌊⌋]\d?|[{CA_MARKS}]")
_PAUSE_INSIDE = re.compile(r"\(\.{1,3}\)")
_SHORTENING = re.compile(r"\([^()]*\)")
_PART_WORD = re.compile(rf"{PART_WORD}([^{PART_WORD}]*){PART_WORD}")
_JOINTS = re.compile(r"[_+]+")


class Spoken(NamedTuple):
    """What a word token says.

    Attributes:
        heard: The words as heard, one entry each (``ice+cream`` gives two). Empty where nothing was said.
        meant: The word or words as meant, joined with a space: shortenings are completed.
        before: Sounds repeated before the word, each ending in a hyphen (``b-``).
        after: Sounds repeated at the end of the word, each ending in a hyphen.
        prolongations: Number of ``:`` in the word.
        blocks: Number of blocks.
        broken: Number of breaks within the word.
        units: Units of the part-word repetitions: for each, 1 plus its number of hyphens.
    """

    heard: tuple[str, ...]
    meant: str
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    prolongations: int = 0
    blocks: int = 0
    broken: int = 0
    units: int = 0

    @property
    def simple(self) -> bool:
        """True for one word without any code of stuttering."""
        return len(self.heard) == 1 and not any(self[2:])


def filler_name(text: str) -> str:
    """Return what a filled pause, fragment or nonword token says, without its sign: ``um`` for ``&-≠u:m``."""
    return " ".join(spoken(text.lstrip("&").lstrip("-+~")).heard)


def is_legacy_filler(text: str) -> bool:
    """Return True for ``&um``, which older files write for ``&-um``."""
    return text[1:2] not in ("-", "+", "~") and filler_name(text).lower() in LEGACY_FILLERS


@lru_cache(maxsize=65536)
def spoken(text: str) -> Spoken:
    """Return what the word ``text`` (a token of kind ``word``, or a coded word without its ``&`` sign) says.

    Never raises: a word without any letter gives no words.
    """
    if text.isalpha() and not _STRESS & set(text):
        return Spoken((text,), text)
    text = _CA.sub("", _SUFFIX.sub("", text))
    before: list[str] = []
    after: list[str] = []
    units = 0
    while match := _PART_WORD.search(text):
        sounds = [s for s in match.group(1).split("-") if s]
        heard = [word + "-" for s in sounds for word in _split(_plain(s))]
        (after if match.end() == len(text) and match.start() else before).extend(heard)
        units += 1 + match.group(1).count("-")
        text = text[: match.start()] + text[match.end() :]
    text = text.replace(PART_WORD, "")
    blocks = text.count(BLOCK) + (text.startswith("^"))
    prolongations = text.count(":")
    inner = text.lstrip("^")
    broken = inner.rstrip("^").count("^") + len(_PAUSE_INSIDE.findall(text))
    text = _plain(text)
    said = _split(_SHORTENING.sub("", text))
    meant = " ".join(_split(text.replace("(", "").replace(")", ""))) if said else ""
    return Spoken(said, meant, tuple(before), tuple(after), prolongations, blocks, broken, units)


def _plain(text: str) -> str:
    """Take out the marks of prolongations, blocks and breaks, the codes of stress, and the sign of a code misplaced."""
    text = _PAUSE_INSIDE.sub("", text)
    for mark in (":", BLOCK, "^", "~", "&", *_STRESS):
        text = text.replace(mark, "")
    return text


def _split(text: str) -> tuple[str, ...]:
    """Split a compound or a joined phrase at its joints; pieces without a letter or digit say nothing."""
    return tuple(word for word in _JOINTS.split(text) if any(map(str.isalnum, word)))
