"""Utterances in the order and with the times that CHAT asks for."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import replace

from asrlsa.types import Utterance, Word


def arrange(utterances: Iterable[Utterance]) -> list[Utterance]:
    """Return the utterances so that begins never decrease and no speaker overlaps with itself.

    An utterance without times (or with an end that is not after its begin, which loses both) keeps its place after the
    one given before it. Where two utterances of one speaker overlap, the earlier one ends where the later one begins;
    where they begin together, the later one begins where the earlier one ends. Word times are cut to the utterance,
    and a word with nothing left loses its times.
    """
    queue: list[tuple[int, int, Utterance]] = []
    last = 0
    for number, utterance in enumerate(_by_begin(utterances)):
        last = utterance.start if utterance.start is not None else last
        queue.append((last, number, utterance))
    heapq.heapify(queue)
    done: list[Utterance] = []
    latest: dict[str, int] = {}
    while queue:
        _, number, utterance = heapq.heappop(queue)
        if utterance.start is None or utterance.end is None:
            done.append(utterance)
            continue
        before = latest.get(utterance.speaker)
        if before is not None:
            earlier, moved = _apart(done[before], utterance)
            done[before] = earlier
            if moved.start is None:
                done.append(moved)
                continue
            if moved is not utterance:
                heapq.heappush(queue, (moved.start, number, moved))
                continue
        latest[utterance.speaker] = len(done)
        done.append(utterance)
    return [_cut_words(utterance) for utterance in done]


def _by_begin(utterances: Iterable[Utterance]) -> list[Utterance]:
    """Sort by begin; what has no begin stays after what it follows."""
    keyed = []
    last = 0
    for utterance in utterances:
        start, end = utterance.start, utterance.end
        if start is None or end is None or end <= max(start, 0):
            utterance = replace(utterance, start=None, end=None)
        else:
            last = max(start, 0)
            if start < 0:
                utterance = replace(utterance, start=0)
        keyed.append((last, utterance))
    return [utterance for _, utterance in sorted(keyed, key=lambda pair: pair[0])]


def _apart(earlier: Utterance, later: Utterance) -> tuple[Utterance, Utterance]:
    """Return both utterances of one speaker without overlap; the later one without times where none are left."""
    start, end = later.start, later.end
    if earlier.start is None or earlier.end is None or start is None or end is None or start >= earlier.end:
        return earlier, later
    if start > earlier.start:
        return replace(earlier, end=start), later
    border = earlier.end if earlier.end < end else (start + end) // 2
    if border == start:
        return earlier, replace(later, start=None, end=None)
    return replace(earlier, end=border), replace(later, start=border)


def _cut_words(utterance: Utterance) -> Utterance:
    """Cut the times of the words to the utterance's, and let no word begin before the one ahead of it."""
    if not utterance.words:
        return utterance
    words: list[Word] = []
    last = 0
    for word in utterance.words:
        start, end = word.start, word.end
        if start is not None and end is not None and utterance.start is not None and utterance.end is not None:
            start, end = max(start, utterance.start, last), min(end, utterance.end)
            if start < end:
                last = start
                words.append(word if (start, end) == (word.start, word.end) else replace(word, start=start, end=end))
                continue
        words.append(word if start is None and end is None else replace(word, start=None, end=None))
    return replace(utterance, words=tuple(words))
