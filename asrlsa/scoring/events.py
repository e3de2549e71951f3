"""Typed disfluency scores: which of the reference's disfluencies the hypothesis has, same place and same type.

Place. The verbatim words of both files are aligned (:mod:`asrlsa.scoring.align`); every word stands in a numbered
column of that alignment. An event on words covers the columns from its first word to its last. A pause stands in the
gap between the columns of the words before and after it on its own side.

Match. Two events match when they have the same type and the columns they share are at least half of the columns that
either covers; two pauses match when their gaps meet. Matching is one to one, best overlap first, then reading order.
The relaxed score also pairs what is left over by place alone, whatever the type; pauses pair only with pauses.

Masked stretches. A hypothesis event whose words all lie in a masked stretch of the reference, and an unmatched
hypothesis pause beside one, count neither way.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from asrlsa.scoring.align import Op, columns
from asrlsa.scoring.normalise import Stream
from asrlsa.scoring.samples import EVENT_KINDS, SPELT_KINDS, PlacedEvent, Sample

# The averages are over these; pauses have their own row, because programs disagree on how long a pause is, and
# nonwords are no disfluency to FLUCALC.
DISFLUENCIES = tuple(kind for kind in EVENT_KINDS if kind not in ("pause", "nonword"))
OVERLAP = 0.5


class EventCounts(NamedTuple):
    """Events matched, in the reference, and in the hypothesis."""

    matched: int = 0
    reference: int = 0
    hypothesis: int = 0

    def plus(self, other: EventCounts) -> EventCounts:
        """Return the sum of both."""
        return EventCounts(*(a + b for a, b in zip(self, other, strict=True)))

    @property
    def precision(self) -> float | None:
        """Matched events per hypothesis event."""
        return self.matched / self.hypothesis if self.hypothesis else None

    @property
    def recall(self) -> float | None:
        """Matched events per reference event."""
        return self.matched / self.reference if self.reference else None

    @property
    def f1(self) -> float | None:
        """Harmonic mean of precision and recall; None where neither side has an event."""
        both = self.reference + self.hypothesis
        return 2 * self.matched / both if both else None


@dataclass(frozen=True, slots=True)
class EventScores:
    """Typed scores of one pair of files.

    Attributes:
        kinds: Counts for every kind.
        relaxed: Counts over :data:`DISFLUENCIES` when the type is forgiven.
        reference: For each reference event: ``match``, ``type`` (there, but of another type), ``missed``, or
            ``unscored`` (a kind that the other file can't show).
        hypothesis: For each hypothesis event: ``match``, ``type``, ``extra``, ``masked`` or ``unscored``.
    """

    kinds: dict[str, EventCounts]
    relaxed: EventCounts
    reference: tuple[str, ...]
    hypothesis: tuple[str, ...]


class _Place(NamedTuple):
    """Columns ``begin:end`` of an event; for a pause the gap from ``begin`` to ``end``, ends included."""

    begin: int
    end: int


def score_events(reference: Sample, hypothesis: Sample, words: tuple[Stream, Stream], ops: Sequence[Op]) -> EventScores:
    """Match the disfluency events of two files.

    Args:
        reference: Reference file.
        hypothesis: Hypothesis file.
        words: Verbatim words of both, as they were aligned.
        ops: Their alignment.
    """
    of_reference, of_hypothesis, total = columns(ops, len(words[0].forms), len(words[1].forms))
    ours = _places(reference, words[0], of_reference, total)
    theirs = _places(hypothesis, words[1], of_hypothesis, total)
    scored = EVENT_KINDS if reference.coded and hypothesis.coded else SPELT_KINDS
    verdict_r = ["missed" if e.kind in scored else "unscored" for e in reference.events]
    verdict_h = ["extra" if e.kind in scored else "unscored" for e in hypothesis.events]
    _forgive_masked(hypothesis, theirs, verdict_h, _masked_columns(ops), "span")
    for kind in scored:
        _pair((reference.events, ours, verdict_r), (hypothesis.events, theirs, verdict_h), {kind}, "match")
    _pair((reference.events, ours, verdict_r), (hypothesis.events, theirs, verdict_h), set(DISFLUENCIES), "type")
    gaps = [
        (of_reference[g - 1] + 1 if g else 0, of_reference[g] if g < len(of_reference) else total)
        for g in words[0].masks
    ]
    _forgive_masked(hypothesis, theirs, verdict_h, gaps, "pause")
    return _tally(reference, hypothesis, verdict_r, verdict_h)


def _places(sample: Sample, words: Stream, of_form: Sequence[int], total: int) -> list[_Place]:
    """Find the columns of every event of one side."""
    forms = words.origin  # increasing
    places = []
    for event in sample.events:
        first, last = bisect_left(forms, event.start), bisect_left(forms, event.end)
        if event.kind == "pause" or first == last:
            begin = of_form[first - 1] + 1 if first else 0
            places.append(_Place(begin, of_form[first] if first < len(of_form) else total))
        else:
            places.append(_Place(of_form[first], of_form[last - 1] + 1))
    return places


def _masked_columns(ops: Sequence[Op]) -> list[tuple[int, int]]:
    found, column = [], 0
    for tag, i1, i2, j1, j2 in ops:
        width = max(i2 - i1, j2 - j1)
        if tag == "masked":
            found.append((column, column + width))
        column += width
    return found


def _forgive_masked(
    sample: Sample, places: list[_Place], verdicts: list[str], areas: Sequence[tuple[int, int]], which: str
) -> None:
    """Mark hypothesis events inside a masked stretch (``span``) or unmatched pauses beside one (``pause``)."""
    starts = [begin for begin, _ in areas]
    for k, (event, place) in enumerate(zip(sample.events, places, strict=True)):
        if verdicts[k] != "extra" or (event.kind == "pause") != (which == "pause"):
            continue
        near = bisect_left(starts, place.begin + 1) - 1 if which == "span" else bisect_left(starts, place.end + 1) - 1
        if near < 0:
            continue
        begin, end = areas[near]
        inside = begin <= place.begin and place.end <= end
        if inside if which == "span" else end >= place.begin:
            verdicts[k] = "masked"


_Side = tuple[Sequence[PlacedEvent], list[_Place], list[str]]


def _pair(reference: _Side, hypothesis: _Side, kinds: set[str], verdict: str) -> None:
    """Pair open events of some kinds one to one, best overlap first, and note the verdict on both sides."""
    ours = [k for k, e in enumerate(reference[0]) if e.kind in kinds and reference[2][k] == "missed"]
    theirs = [k for k, e in enumerate(hypothesis[0]) if e.kind in kinds and hypothesis[2][k] == "extra"]
    theirs.sort(key=lambda k: hypothesis[1][k])
    starts = [hypothesis[1][k].begin for k in theirs]
    longest = max((hypothesis[1][k].end - hypothesis[1][k].begin for k in theirs), default=0)
    pause = kinds == {"pause"}
    found = []
    for r in ours:
        a, b = reference[1][r]
        for h in theirs[bisect_left(starts, a - longest) : bisect_left(starts, b + 1)]:
            c, d = hypothesis[1][h]
            shared = min(b, d) - max(a, c)
            if pause and shared >= 0:
                found.append((-1.0, r, h))
            elif not pause and shared > 0 and (share := shared / (max(b, d) - min(a, c))) >= OVERLAP:
                found.append((-share, r, h))
    for _, r, h in sorted(found):
        if reference[2][r] == "missed" and hypothesis[2][h] == "extra":
            reference[2][r] = hypothesis[2][h] = verdict


def _tally(reference: Sample, hypothesis: Sample, ours: list[str], theirs: list[str]) -> EventScores:
    open_r = [(e.kind, v) for e, v in zip(reference.events, ours, strict=True) if v != "unscored"]
    open_h = [(e.kind, v) for e, v in zip(hypothesis.events, theirs, strict=True) if v not in ("unscored", "masked")]
    kinds = {
        kind: EventCounts(
            sum(k == kind and v == "match" for k, v in open_r),
            sum(k == kind for k, _ in open_r),
            sum(k == kind for k, _ in open_h),
        )
        for kind in EVENT_KINDS
    }
    relaxed = EventCounts(
        sum(k in DISFLUENCIES and v in ("match", "type") for k, v in open_r),
        sum(k in DISFLUENCIES for k, _ in open_r),
        sum(k in DISFLUENCIES for k, _ in open_h),
    )
    return EventScores(kinds, relaxed, tuple(ours), tuple(theirs))
