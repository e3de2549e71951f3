"""Punctuation at the end of a spelled word, and which words CHAT can hold."""

from __future__ import annotations

import re
import unicodedata

#: What ``spell_out`` leaves at the end of a word: it tells where utterances may end. ``—`` is a break in the sentence.
MARKS = ("...", ".", "?", "!", ",", "—")
#: Marks that end a sentence.
FINAL_MARKS = frozenset((".", "?", "!"))
#: Prefix of a CHAT event such as ``&=laughs``.
EVENT = "&="
#: An unintelligible stretch.
MASK = "xxx"

_APOSTROPHES = str.maketrans(dict.fromkeys("’‘ʼ‛`´′＇", "'"))
_HYPHENS = str.maketrans(dict.fromkeys("‐‑−－﹣", "-"))
_HIDDEN = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060\ufeff\ufe0e\ufe0f]")
_JOINTS = re.compile(r"[-'_]")


def split_mark(text: str) -> tuple[str, str]:
    """Return a spelled word and the mark after it: ``("store", ".")``; the mark is one of ``MARKS`` or empty."""
    for mark in MARKS:
        if text.endswith(mark) and len(text) > len(mark):
            return text[: -len(mark)], mark
    return text, ""


def straight(text: str) -> str:
    """Return the text in composed form with plain apostrophes and hyphens and without invisible characters."""
    text = (
        "".join(_plain_letter(c) for c in unicodedata.normalize("NFC", text))
        .translate(_APOSTROPHES)
        .translate(_HYPHENS)
    )
    return _HIDDEN.sub("", text).replace("\u00a0", " ")


def _plain_letter(character: str) -> str:
    """Write ligatures and full-width letters as plain ones; the ordinal signs are read with their number."""
    if character.isascii() or character in "ºª" or unicodedata.category(character)[0] != "L":
        return character
    return unicodedata.normalize("NFC", unicodedata.normalize("NFKC", character))


def is_letter(character: str) -> bool:
    """Return True for a letter of any script and for the signs that combine with letters."""
    return unicodedata.category(character)[0] in "LM"


def is_writable(word: str) -> bool:
    """Return True if CHAT can hold the word as it stands: letters joined by hyphens, apostrophes or underscores.

    A word broken off (``b-``) is not: it needs a code.
    """
    bare = word[1:] if word.startswith("'") else word
    bare = bare[:-1] if bare.endswith("'") else bare
    pieces = _JOINTS.split(bare)
    return all(piece and all(map(is_letter, piece)) and unicodedata.category(piece[0])[0] == "L" for piece in pieces)
