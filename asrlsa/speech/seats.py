"""Where words sit in a window: aligned piece by piece, and taken across pauses that rough times have swallowed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from asrlsa.speech.times import SHORTEST_MS, WordAligner
from asrlsa.speech.windows import SAMPLES_PER_MS, Window
from asrlsa.types import Span, Word

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SENTENCE_END = (".", "?", "!")
JOINED_MS = 300  # a sentence that begins within this time after the last one may have swallowed a pause
SWALLOWED_MS = 700  # a pause of this length right after its first word says so
FIRST_WORD_MS = 300


def pieces_of(window: Window) -> Iterator[tuple[Span, NDArray[np.float32]]]:
    """Yield each stretch of the recording in a window with its audio."""
    at = 0
    for piece in window.pieces:
        length = piece.duration * SAMPLES_PER_MS
        yield piece, window.audio[at : at + length]
        at += length


def reseated(words: Sequence[Word]) -> list[Word]:
    """Take the first word of a sentence across the pause that its cross-attention time has swallowed.

    Cross-attention begins a sentence where the one before ends, and forced alignment keeps the word there. Where that
    leaves a gap behind it (``lot. No | 2 s | problem.``) the pause was before the word, not after it: nobody stops
    there without a comma.
    """
    seated = list(words)
    for i in range(1, len(seated) - 1):
        before, word, after = seated[i - 1], seated[i], seated[i + 1]
        if word.start is None and word.text[-1].isalnum() and before.text.endswith(SENTENCE_END):
            room = (after.start or 0) - (before.end or 0)
            if before.end is not None and after.start is not None and room >= SHORTEST_MS:
                start = after.start - min(room, FIRST_WORD_MS // 2)  # no time of its own: it leans on the next word
                seated[i] = replace(word, start=start, end=after.start)
            continue
        if None in (before.end, word.start, word.end, after.start) or not before.text.endswith(SENTENCE_END):
            continue
        assert before.end is not None
        assert word.start is not None
        assert word.end is not None
        assert after.start is not None
        joined, gap = word.start - before.end < JOINED_MS, after.start - word.end
        # the pause lies behind the word, or inside it: a first word of a second with the next one right after it
        swallowed = gap >= SWALLOWED_MS or (gap < JOINED_MS and word.end - word.start >= SWALLOWED_MS + FIRST_WORD_MS)
        if joined and swallowed and word.text[-1].isalnum():
            length = max(SHORTEST_MS, min(word.end - word.start, FIRST_WORD_MS))
            seated[i] = replace(word, start=after.start - length, end=after.start)
    return seated


def refined(window: Window, words: Sequence[Word], aligner: WordAligner) -> list[Word]:
    """Align the words of each contiguous piece of the window to its audio."""
    done: list[Word] = []
    first = 0
    for n, (piece, audio) in enumerate(pieces_of(window)):
        last = len(words)
        if n < len(window.pieces) - 1:
            beyond = (i for i in range(first, len(words)) if (words[i].start or 0) >= piece.end)
            last = next(beyond, last)
        if first < last:
            done.extend(aligner.refine(audio, words[first:last], piece.start))
        first = last
    return done
