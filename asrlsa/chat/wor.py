"""The ``%wor`` tier: the words of the main tier, each with its time."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from difflib import SequenceMatcher
from itertools import pairwise

from asrlsa.chat.lexer import BULLET, Token, lex
from asrlsa.chat.words import spoken
from asrlsa.types import Utterance, Word

_SOUND_KINDS = frozenset(("word", "filled_pause", "fragment", "nonword"))
_WRITTEN_KINDS = frozenset(("word", "filled_pause"))
_MARKS = re.compile(r"[≠:^↫]")


def wor_tokens(text: str) -> list[Token]:
    """Return the tokens of a main tier that ``%wor`` repeats: words and filled pauses, also the retraced ones."""
    return [token for token in lex(text) if token.kind in _WRITTEN_KINDS]


def wor_tier(words: Iterable[Word], terminator: str) -> str:
    """Return the text of a ``%wor`` tier: every word with its bullet (none where it has no time), the terminator.

    ``words`` are those that ``wor_words`` gives: fragments, nonwords and masked stretches are not among them.
    """
    parts = []
    for word in words:
        parts.append(word.text)
        if word.start is not None and word.end is not None:
            parts.append(f"{BULLET}{word.start}_{word.end}{BULLET}")
    return " ".join([*parts, terminator])


def wor_words(utterance: Utterance) -> tuple[Word, ...]:
    """Return the words of the main tier as ``%wor`` writes them, with the times of ``utterance.words``.

    Fillers lose their sign, joined words (``ice_cream``) span their parts, fragments and nonwords are left out. The
    verbatim words are matched to the main tier by their text; where the tier spells a stretch otherwise (numbers as
    words), the stretch's time is shared out by length. A word without a match has no time.
    """
    pieces: list[tuple[str, int | None]] = []
    written: list[str] = []
    for token in lex(utterance.text):
        if token.kind not in _SOUND_KINDS:
            continue
        said = spoken(token.text.lstrip("&").lstrip("-+~") if token.kind != "word" else token.text)
        index = None
        if token.kind in _WRITTEN_KINDS:
            index = len(written)
            written.append(_MARKS.sub("", token.text[2:]) if token.kind == "filled_pause" else token.text)
        pieces += [(word, None) for word in said.before]
        pieces += [(word, index) for word in said.heard]
        pieces += [(word, None) for word in said.after]
    times = _times([piece for piece, _ in pieces], utterance.words)
    words = [Word(text, speaker=utterance.speaker) for text in written]
    for (_, index), time in zip(pieces, times, strict=True):
        if index is not None and time is not None:
            first = words[index].start
            words[index] = replace(words[index], start=time[0] if first is None else first, end=time[1])
    return tuple(words)


def _key(text: str) -> str:
    return re.sub(r"[^\w']", "", text).lower()


def _times(pieces: Sequence[str], words: Sequence[Word]) -> list[tuple[int, int] | None]:
    """Return begin and end for every piece of the main tier, from the words that match it."""
    ours, theirs = [_key(piece) for piece in pieces], [_key(word.text) for word in words]
    if ours == theirs:
        return [_span([word]) for word in words]
    times: list[tuple[int, int] | None] = [None] * len(pieces)
    for _, a, b, c, d in SequenceMatcher(None, ours, theirs, autojunk=False).get_opcodes():
        if b - a == d - c:
            times[a:b] = [_span([word]) for word in words[c:d]]
        elif a < b and c < d:
            times[a:b] = _share(_span(words[c:d]), [len(piece) for piece in ours[a:b]])
    return times


def _span(words: Sequence[Word]) -> tuple[int, int] | None:
    """Return begin of the first and end of the last word that have times."""
    starts = [word.start for word in words if word.start is not None]
    ends = [word.end for word in words if word.end is not None]
    return (starts[0], ends[-1]) if starts and ends and starts[0] < ends[-1] else None


def _share(span: tuple[int, int] | None, lengths: Sequence[int]) -> list[tuple[int, int] | None]:
    """Share a stretch of time out by length; None for everyone where there is no ms for each."""
    if span is None or span[1] - span[0] < len(lengths):
        return [None] * len(lengths)
    borders = [span[0]]
    left, total = span[1] - span[0], sum(lengths) or len(lengths)
    so_far = 0
    for number, length in enumerate(lengths, start=1):
        so_far += length if sum(lengths) else 1
        border = span[0] + left * so_far // total
        # Everyone, also those still to come, gets a millisecond at least.
        borders.append(min(max(border, borders[-1] + 1), span[1] - (len(lengths) - number)))
    return list(pairwise(borders))
