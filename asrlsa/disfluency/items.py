"""What each spelled word of an utterance is: a word, a filled pause, a fragment, an event or a mask."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from asrlsa.chat.word_rules import is_word
from asrlsa.language.marks import EVENT, MASK, split_mark
from asrlsa.language.tables import LanguageTable
from asrlsa.types import Milliseconds, Word

Kind = Literal["word", "filled_pause", "fragment", "event", "mask"]

LOOK_AHEAD = 10  # words within which a fragment is finished
ISOLATING_GAP_MS = 200  # so much silence isolates a word such as Spanish "este"

_EVENT = re.compile(r"&=[a-z]+(?::[a-z]+)*")
_CONSONANTS = re.compile(r"[bcdfghjklmnpqrstvwxz]{1,3}")
_CONTRACTED = re.compile(r"(.+?)'(?:s|re|m|ll|d|ve)")


@dataclass(frozen=True, slots=True)
class Item:
    """One spelled word with its part in the utterance.

    Attributes:
        word: The word, with the text that a verbatim transcript has for it: ``um``, ``b-``, ``dog``; for an event
            or a mask its CHAT form.
        kind: What it is.
        key: The word in small letters, for comparison.
        mark: Punctuation that the recogniser wrote after it.
        cut: A hyphen stood after a complete word.
        gap: Silence before it in ms, or None where a time is missing.
    """

    word: Word
    kind: Kind
    key: str
    mark: str = ""
    cut: bool = False
    gap: Milliseconds | None = None

    @property
    def chat(self) -> str:
        """The item on a main tier."""
        if self.kind == "filled_pause":
            return f"&-{self.word.text}"
        if self.kind == "fragment":
            return f"&+{self.word.text[:-1]}"
        return self.word.text


def contracted_base(key: str) -> str:
    """Return what a contraction begins with: ``he`` for ``he's``; the word itself for any other word."""
    match = _CONTRACTED.fullmatch(key)
    return match[1] if match else key


def items_of(words: Sequence[Word], table: LanguageTable) -> list[Item]:
    """Return the items of spelled words, one for each word; a word that CHAT can't hold becomes a mask."""
    parts = [split_mark(word.text) for word in words]
    cores = [core for core, _ in parts]
    found: list[Item] = []
    latest: Milliseconds | None = None
    for position, (word, (core, mark)) in enumerate(zip(words, parts, strict=True)):
        text, kind, cut = _kind(position, cores, table)
        gap = None if word.start is None or latest is None else max(0, word.start - latest)
        if word.end is not None:
            latest = word.end if latest is None else max(latest, word.end)
        found.append(Item(replace(word, text=text), kind, text.casefold(), mark, cut, gap))
        if core == "":
            raise ValueError("a word without text can't be coded")
    found = _isolated(found, table)
    return _alone(found, table)


def _kind(position: int, cores: Sequence[str], table: LanguageTable) -> tuple[str, Kind, bool]:
    """Return text, kind, and whether a complete word has a hyphen."""
    core = cores[position]
    if _EVENT.fullmatch(core):
        return core, "event", False
    bare = core.rstrip("-")
    if core == MASK or not is_word(bare):
        return MASK, "mask", False
    filler = table.filler(bare)
    if filler is not None:
        return filler, "filled_pause", False
    following = [
        c
        for c in cores[position + 1 : position + 1 + LOOK_AHEAD]
        if table.filler(c.rstrip("-")) is None and not c.startswith(EVENT)
    ]
    if core.endswith("-"):
        if _complete(bare, following, table):
            return bare, "word", True
        return _small(bare) + "-", "fragment", False
    if table.known and _consonants_of_next(bare, following, table):
        return bare + "-", "fragment", False
    return bare, "word", False


def _small(bare: str) -> str:
    """Write a fragment small: nobody can tell the name it was to become."""
    return bare.lower()


def _complete(bare: str, following: Sequence[str], table: LanguageTable) -> bool:
    """Tell whether a word with a hyphen is a whole word (``I- I``) or broken off (``w- went``).

    The next word without a hyphen decides: the same word, or a contraction of it, makes this one whole; a longer word
    that begins with it makes this one a fragment. Else it is whole if the table knows it as a word; a word of one
    letter too (``a-``, ``I-``), in its own spelling (a small ``i-`` is a sound).
    """
    low = bare.casefold()
    target = next((c for c in following[:4] if not c.endswith("-")), "")
    low_target = target.casefold()
    if low_target == low or contracted_base(low_target) == low:
        return True
    if bare == "I" and target[:1] != "I":
        return True
    if low_target.startswith(low):
        return False
    repeated = bool(following) and following[0].rstrip("-").casefold() == low
    if repeated and len(low) < 2 and low not in table.known:
        return False
    return low in table.grammar.known and table.spellings.get(bare, bare) == bare


def _consonants_of_next(bare: str, following: Sequence[str], table: LanguageTable) -> bool:
    """Return True for bare consonants that begin the next word or the one after it: ``m um myself``, ``b b ball``."""
    if not _CONSONANTS.fullmatch(bare) or bare in table.known or bare in table.spellings:
        return False
    rest = [c for c in following[:4] if c.rstrip("-") != bare]
    return bool(rest) and len(rest[0]) > len(bare) + 1 and rest[0].casefold().startswith(bare)


def _isolated(items: list[Item], table: LanguageTable) -> list[Item]:
    """Code words such as Spanish *este* as a filled pause where pauses or commas stand on both sides."""
    for position, item in enumerate(items):
        filler = table.isolated_fillers.get(item.key)
        if filler is None or item.kind != "word":
            continue
        before = position > 0 and (bool(items[position - 1].mark) or items[position - 1].kind == "filled_pause")
        before = before or (item.gap or 0) >= ISOLATING_GAP_MS
        last = position + 1 == len(items)
        after = bool(item.mark) or item.cut or (not last and (items[position + 1].gap or 0) >= ISOLATING_GAP_MS)
        after = after or (not last and items[position + 1].kind == "filled_pause")
        if before and after and len(items) > 1:
            items[position] = replace(item, word=replace(item.word, text=filler), kind="filled_pause", key=filler)
    return items


def _alone(items: list[Item], table: LanguageTable) -> list[Item]:
    """Leave *mm* or *ah* a word where it is all that is said: an answer, not a hesitation."""
    if any(item.kind not in ("filled_pause", "event") for item in items):
        return items
    fillers = [item for item in items if item.kind == "filled_pause"]
    if not fillers or any(item.word.text not in table.fillers_alone for item in fillers):
        return items
    return [replace(item, kind="word") if item.kind == "filled_pause" else item for item in items]
