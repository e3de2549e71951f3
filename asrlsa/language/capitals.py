"""Small letters at the start of a sentence; names and *I* keep their capital.

A recogniser writes a capital after every full stop and at the start of every window. CHAT keeps capitals for names.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from asrlsa.language.marks import EVENT, MASK, split_mark
from asrlsa.language.tables import LanguageTable
from asrlsa.types import Word

WINDOW_GAP_MS = 700  # a capital after so long a silence may only be the start of a window


def decapitalised(words: Sequence[Word], table: LanguageTable) -> list[Word]:
    """Write small every capital that only marks the start of a sentence.

    A capital at the start of a sentence stays if the word is in the table's list of names, follows a title, or is
    written with a capital elsewhere in the middle of a sentence. A capital in the middle stays unless the word is a
    function word or is written small more often. Where common nouns have capitals (German), a word that the table does
    not know keeps its own.
    """
    initial = _initial(words, table)
    upper: Counter[str] = Counter()
    lower: Counter[str] = Counter()
    for word, first in zip(words, initial, strict=True):
        core = split_mark(word.text)[0]
        if first or not core[0].isalpha():
            continue
        (upper if core[0].isupper() else lower)[_stem(core)] += 1
    found: list[Word] = []
    for position, (word, first) in enumerate(zip(words, initial, strict=True)):
        core, mark = split_mark(word.text)
        if not core[:1].isupper() or _keeps(core, position, words, table):
            found.append(word)
            continue
        stem = _stem(core)
        if not first and core in table.ambiguous_names:
            small = False
        elif core.endswith("-") or core.casefold() in table.closed or table.filler(core):
            small = True
        elif first and table.nouns_capitalised:
            small = lower[stem] > upper[stem]
        else:
            small = lower[stem] > upper[stem] or (first and not upper[stem])
        found.append(replace(word, text=core[0].lower() + core[1:] + mark) if small else word)
    return found


def _stem(core: str) -> str:
    """The word without a possessive, in small letters."""
    low = core.casefold()
    return low[:-2] if low.endswith("'s") else low


def _keeps(core: str, position: int, words: Sequence[Word], table: LanguageTable) -> bool:
    """Return True for a capital that is never taken away: a name of the list, letters, or a name after a title."""
    bare = core.rstrip("-")
    plain = bare[:-2] if bare.endswith("'s") else bare
    if bare in table.names or plain in table.names or bare.partition("'")[0] in {"I"} & table.names:
        return True
    if len(bare) == 1 and (core.casefold() not in table.closed or _beside_letter(position, words)):
        return not core.endswith("-")
    if "_" in core or (len(bare) > 1 and not bare[1:].islower() and "'" not in bare):
        return True
    before = split_mark(words[position - 1].text)[0] if position else ""
    return before in table.titles


def _beside_letter(position: int, words: Sequence[Word]) -> bool:
    """Return True if a word beside this one is a single capital letter, so that ``A`` is a letter too."""
    near = [split_mark(words[p].text)[0] for p in (position - 1, position + 1) if 0 <= p < len(words)]
    return any(len(core) == 1 and core.isupper() and core not in ("I", "A") for core in near)


def _initial(words: Sequence[Word], table: LanguageTable) -> list[bool]:
    """Tell for each word whether a recogniser writes it with a capital only because of its place."""
    found: list[bool] = []
    fresh: dict[str | None, bool] = {}
    before: dict[str | None, Word] = {}
    for word in words:
        core, mark = split_mark(word.text)
        first = fresh.get(word.speaker, True)
        earlier = before.get(word.speaker)
        if earlier is not None and earlier.end is not None and word.start is not None:
            first = first or word.start - earlier.end >= WINDOW_GAP_MS
        found.append(first)
        if core.startswith(EVENT) or core == MASK:
            continue
        passing = core.endswith("-") or table.filler(core) is not None
        fresh[word.speaker] = mark in (".", "?", "!", "...", "—") or (first and passing)
        before[word.speaker] = word
    return found
