"""Give words their speakers, from the turns that diarization found or from the channels of a stereo recording."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace

from asrlsa.types import Milliseconds, Span, Turn, Word

PAUSE = 250  # ms without speech that may separate two speakers
LONG_PAUSE = 600
LONE_WORD = 600  # ms; a single word up to this long inside the other's phrase needs evidence to stand
REACH_WORDS = 2  # a change of speaker moves by at most this many words,
REACH = 500  # and by at most so many ms, to the end of a sentence or to a pause
SENTENCE_END = (".", "?", "!", "…")
PHRASE_END = (*SENTENCE_END, ",", ";", ":")


def channel_turns(regions: Sequence[Sequence[Span]]) -> tuple[Turn, ...]:
    """Make turns of a recording with one speaker a channel.

    Args:
        regions: Speech regions of each channel, in ms; the index of the channel becomes the label ``"0"``, ``"1"``, …

    Returns:
        Every region as a turn, by start; turns of different channels may overlap.
    """
    turns = (Turn(span.start, span.end, str(channel)) for channel, spans in enumerate(regions) for span in spans)
    return tuple(sorted(turns, key=lambda turn: (turn.start, turn.end, turn.speaker)))


def assign_speakers(words: Sequence[Word], turns: Sequence[Turn]) -> list[Word]:
    """Give each word the speaker whose turns it overlaps most.

    A word outside all turns takes the nearest turn; a word without time takes the speaker of the word before it (of
    the first timed word, at the beginning). Then two repairs use pauses and the punctuation in the words' text:
    a change of speaker that falls inside a phrase moves to the end of a sentence or a pause close by, and a single
    short word inside the other speaker's phrase goes to that speaker unless it is set off on both sides.

    Args:
        words: In order of time; speakers they carry are replaced.
        turns: In ms, same clock as the words; may overlap. Without turns the words come back unchanged.

    Returns:
        The words, in the same order, with ``speaker`` set.
    """
    if not turns or not words:
        return list(words)
    ordered = sorted(turns, key=lambda turn: turn.start)
    labels = _by_overlap(words, ordered)
    _move_changes(words, labels)
    _absorb_lone_words(words, labels)
    return [replace(word, speaker=label) for word, label in zip(words, labels, strict=True)]


def _by_overlap(words: Sequence[Word], turns: Sequence[Turn]) -> list[str]:
    starts = [turn.start for turn in turns]
    longest = max(turn.end - turn.start for turn in turns)
    labels: list[str | None] = []
    for word in words:
        if word.start is None or word.end is None:
            labels.append(labels[-1] if labels else None)
            continue
        first, last = bisect_right(starts, word.start - longest) - 1, bisect_right(starts, word.end)
        near = turns[max(first, 0) : last]
        labels.append(_most_overlap(word.start, word.end, near) or _nearest(word.start, word.end, turns, starts))
    known = next((label for label in labels if label is not None), turns[0].speaker)
    return [known if label is None else label for label in labels]


def _most_overlap(start: Milliseconds, end: Milliseconds, turns: Sequence[Turn]) -> str | None:
    shared: dict[str, int] = {}
    for turn in turns:
        overlap = min(end, turn.end) - max(start, turn.start)
        if overlap > 0:
            shared[turn.speaker] = shared.get(turn.speaker, 0) + overlap
    return max(shared, key=lambda label: shared[label]) if shared else None


def _nearest(start: Milliseconds, end: Milliseconds, turns: Sequence[Turn], starts: Sequence[Milliseconds]) -> str:
    after = bisect_right(starts, start)
    # Turns may overlap, so the one that ends last before the word need not be the last to start; look back a few.
    close = turns[max(0, after - 8) : after + 1]
    return min(close, key=lambda turn: max(turn.start - end, start - turn.end)).speaker


def _pause(before: Word, after: Word) -> Milliseconds:
    return after.start - before.end if before.end is not None and after.start is not None else 0


def _break_strength(before: Word, after: Word) -> int:
    """Say how likely the speaker changes between two words: 0 inside a phrase, up to 4."""
    pause, text = _pause(before, after), before.text.rstrip('"”’')
    ending = 2 if text.endswith(SENTENCE_END) else 1 if text.endswith(PHRASE_END) else 0
    return ending + (2 if pause >= LONG_PAUSE else 1 if pause >= PAUSE else 0)


def _changes(labels: Sequence[str]) -> list[int]:
    return [i for i in range(1, len(labels)) if labels[i] != labels[i - 1]]


def _move_changes(words: Sequence[Word], labels: list[str]) -> None:
    """Move each change of speaker to the strongest break near it, where that is stronger than its own place."""
    changes = _changes(labels)
    bounds = [0, *changes, len(labels)]
    for index, place in enumerate(changes, start=1):
        low, high = max(bounds[index - 1] + 1, place - REACH_WORDS), min(bounds[index + 1] - 1, place + REACH_WORDS)
        options = [spot for spot in range(low, high + 1) if _span_of(words, place, spot) <= REACH]
        best = max(options, key=lambda spot: (_break_strength(words[spot - 1], words[spot]), -abs(spot - place)))
        if _break_strength(words[best - 1], words[best]) <= max(1, _break_strength(words[place - 1], words[place])):
            continue
        for i in range(min(best, place), max(best, place)):
            labels[i] = labels[place] if best < place else labels[place - 1]
        bounds[index] = best


def _span_of(words: Sequence[Word], place: int, spot: int) -> Milliseconds:
    """Return the time that the words between two places take, or more than the reach where it is not known."""
    moved = words[min(place, spot) : max(place, spot)]
    if not moved:
        return 0
    start, end = moved[0].start, moved[-1].end
    return REACH + 1 if start is None or end is None else end - start


def _absorb_lone_words(words: Sequence[Word], labels: list[str]) -> None:
    for i in range(1, len(words) - 1):
        word = words[i]
        if labels[i] == labels[i - 1] or labels[i - 1] != labels[i + 1]:
            continue
        short = word.start is None or word.end is None or word.end - word.start <= LONE_WORD
        apart = _break_strength(words[i - 1], word) > 0 and _break_strength(word, words[i + 1]) > 0
        if short and not apart:
            labels[i] = labels[i - 1]
