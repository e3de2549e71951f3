"""Which insertions are disfluencies in their place: fillers, copies of what follows, fragments, retraced words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from asrlsa.disfluency.coding import groups_of
from asrlsa.disfluency.items import items_of
from asrlsa.language.tables import LanguageTable
from asrlsa.trusted.words import Block, word_key
from asrlsa.types import Word

Kind = Literal["filler", "fragment", "repetition", "retracing"]

LONGEST_BLOCK = 6  # words
LONGEST_RETRACING = 4  # words that are taken back and begun anew with the same word
LONGEST_FRAGMENT = 4  # letters
FRAGMENT_REACH = 2  # a fragment is the beginning of one of so many words that follow


def kind_of(block: Block, following: Sequence[str], table: LanguageTable, preceding: Sequence[str] = ()) -> Kind | None:
    """Return what a block is, or None where it is no disfluency there.

    Args:
        block: Words of an insertion.
        following: Keys of the words that come after it in the same utterance.
        table: The language.
        preceding: Keys of the words that come before it in the same utterance.
    """
    rest = [word_key(text) for text in block if table.filler(text) is None]
    if not rest:
        return "filler"
    words = [key for key in rest if not key.endswith("-")]
    if len(words) < len(rest):
        onsets = [*words, *following][: len(words) + FRAGMENT_REACH]
        if not all(key in words or _begins_one(key, onsets) for key in rest):
            return None
        if not words:
            return "fragment"
    if copied_phrase(words, following) or repeats(block, table, preceding):
        return "repetition"
    if len(words) <= LONGEST_RETRACING and (_begun_anew(words, following) or _taken_back(words, following, table)):
        return "retracing"
    return None


def repeats(block: Block, table: LanguageTable, preceding: Sequence[str]) -> int:
    """Return how many of the words right before it a block says again, fillers and fragments apart; 0 for none."""
    keys = [word_key(text) for text in block if table.filler(text) is None]
    words = [key for key in keys if not key.endswith("-")]
    return len(words) if words and list(preceding[-len(words) :]) == words else 0


def _begins_one(fragment: str, onsets: Sequence[str]) -> bool:
    sound = fragment.rstrip("-")
    return 0 < len(sound) <= LONGEST_FRAGMENT and any(key.startswith(sound) and key != sound for key in onsets)


def _begun_anew(words: Sequence[str], following: Sequence[str]) -> bool:
    """Whether words are a start that is made again with the same word: ``the dog | the cat``."""
    return len(words) > 1 and words[0] == next(iter(following), None)


def _taken_back(words: Sequence[str], following: Sequence[str], table: LanguageTable) -> bool:
    """Whether the coder's rules take all of the words back for those that follow: ``were | was``."""
    items = items_of([Word(text) for text in (*words, *following)], table)
    groups = [group for group in groups_of(items, table) if group.end < len(words)]
    return all(any(g.start <= i <= g.end for g in groups) for i in range(len(words)))


def copied_phrase(words: Sequence[str], following: Sequence[str]) -> int:
    """Return how long the phrase that follows is, in words, of which the words are one or more copies; 0 for none."""
    for size in range(1, len(words) + 1):
        if len(words) % size == 0 and list(words) == list(following[:size]) * (len(words) // size):
            return size
    return 0


def disfluent_parts(
    block: Block, following: Sequence[str], table: LanguageTable, preceding: Sequence[str] = ()
) -> Iterator[Block]:
    """Yield the parts of what a recogniser wrote between two words that may be disfluencies, longest first.

    A part is taken only where it stands before the next word, but for fillers, which need no place. Arguments are those
    of `kind_of`.
    """
    for size in range(min(LONGEST_BLOCK, len(block)), 0, -1):
        tail = block[-size:]
        before = preceding if size == len(block) else ()
        if kind_of(tail, following, table, before) is not None:
            yield tail
            break
    fillers = tuple(text for text in block if table.filler(text) is not None)
    if fillers:
        yield fillers
