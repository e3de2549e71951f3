"""Who said it: mapping of participants, speaker-attributed WER (cpWER) and diarization error."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from asrlsa.scoring.align import LONG_FILE, Counts, align, count, numbered
from asrlsa.scoring.anchors import stretches
from asrlsa.scoring.normalise import Stream, by_speaker
from asrlsa.scoring.samples import Sample
from asrlsa.types import Milliseconds

# Labels that a diarizer numbers; they name nobody, so they are never taken for the same person on both sides.
_CLUSTER = re.compile(r"^(PAR|SPK|SPEAKER|SPK_|SPEAKER_|S)\d+$")


class SpeakerScores(NamedTuple):
    """Speaker scores of one pair of files.

    Attributes:
        mapping: Hypothesis code → reference code.
        attributed: Errors when each speaker's words are scored against the participant's own words, by the assignment
            of speakers with the fewest errors (cpWER).
        named: The same by ``mapping``, where a code that names somebody on both sides keeps its name.
    """

    mapping: dict[str, str]
    attributed: Counts
    named: Counts


class Diarization(NamedTuple):
    """Time in ms: speech in the reference (overlaps count once per speaker), and the three kinds of error."""

    speech: int = 0
    missed: int = 0
    false_alarm: int = 0
    confused: int = 0

    @property
    def error(self) -> int:
        """Missed, false alarm and confused time together."""
        return self.missed + self.false_alarm + self.confused

    @property
    def rate(self) -> float | None:
        """Diarization error rate, 1.0 = as much error as speech; None without speech in the reference."""
        return self.error / self.speech if self.speech else None


def score_speakers(reference: Sample, hypothesis: Sample, words: tuple[Stream, Stream]) -> SpeakerScores:
    """Score words with their speakers: concatenated minimum-permutation WER.

    Each participant's words are concatenated in file order. Every hypothesis speaker is scored against every
    participant, and the one-to-one assignment with the fewest errors is taken; words of a speaker who is assigned to
    nobody are insertions, words of a participant without a speaker deletions. As in MeetEval's ``cpwer`` (von Neumann
    et al. 2023, after Watanabe et al. 2020). The assignment is made without regard to masked stretches.

    Args:
        reference: Reference file.
        hypothesis: Hypothesis file.
        words: Normalised words of both.
    """
    ours, theirs = by_speaker(words[0], reference), by_speaker(words[1], hypothesis)
    costs = _Costs(list(ours.values()), list(theirs.values()))
    names = list(ours), list(theirs)
    cheapest = {names[1][h]: names[0][r] for r, h in costs.assign(range(len(ours)), range(len(theirs)))}
    mapping = _mapping(reference, names, costs)
    attributed = _attributed(ours, theirs, cheapest)
    kept = {h: r for h, r in mapping.items() if r in ours}
    return SpeakerScores(mapping, attributed, attributed if kept == cheapest else _attributed(ours, theirs, kept))


def _attributed(ours: dict[str, Stream], theirs: dict[str, Stream], mapping: dict[str, str]) -> Counts:
    """Count errors when each hypothesis speaker is scored against the participant of a mapping."""
    total = Counts()
    for h, r in mapping.items():
        total = total.plus(count(align(ours[r].forms, theirs[h].forms, ours[r].masks)))
    for r in ours.keys() - set(mapping.values()):
        total = total.plus(Counts(deletions=len(ours[r].forms)))
    for h in theirs.keys() - mapping.keys():
        total = total.plus(Counts(insertions=len(theirs[h].forms)))
    return total


class _Costs:
    """What it costs to take one speaker for one participant: errors, less what leaving both unassigned costs.

    Exact costs are computed only where an assignment needs them. Until then the number of words that the two do not
    have in common stands for them, which is never more.
    """

    def __init__(self, ours: Sequence[Stream], theirs: Sequence[Stream]) -> None:
        self.forms = [s.forms for s in ours], [s.forms for s in theirs]
        self.bags = [Counter(s.forms) for s in ours], [Counter(s.forms) for s in theirs]
        self.exact: dict[tuple[int, int], int] = {}
        self.bounds = {
            (r, h): max(len(a), len(b)) - (self.bags[0][r] & self.bags[1][h]).total() - len(a) - len(b)
            for r, a in enumerate(self.forms[0])
            for h, b in enumerate(self.forms[1])
        }

    def assign(self, ours: Sequence[int], theirs: Sequence[int]) -> list[tuple[int, int]]:
        """Assign participants to speakers one to one at the smallest cost."""
        while True:
            table = [[self.exact.get((r, h), self.bounds[r, h]) for h in theirs] for r in ours]
            pairs = [(ours[r], theirs[h]) for r, h in _assign(table)]
            open_ = [pair for pair in pairs if pair not in self.exact]
            if not open_:
                return pairs
            for r, h in open_:
                self.exact[r, h] = _distance(self.forms[0][r], self.forms[1][h])


def _distance(reference: Sequence[str], hypothesis: Sequence[str]) -> int:
    """Return the errors between two sequences, less their lengths."""
    from rapidfuzz.distance import Levenshtein

    ref, hyp = numbered(reference, hypothesis)
    pieces = stretches(ref, hyp, LONG_FILE)
    return sum(int(Levenshtein.distance(ref[a:b], hyp[c:d])) for a, b, c, d in pieces) - len(ref) - len(hyp)


def _assign(cost: Sequence[Sequence[float]]) -> list[tuple[int, int]]:
    """Assign rows to columns one to one with the smallest sum (Hungarian method)."""
    if not cost or not cost[0]:
        return []
    if len(cost) == len(cost[0]) == 1:
        return [(0, 0)]
    from scipy.optimize import linear_sum_assignment

    rows, cols = linear_sum_assignment(cost)
    return [(int(r), int(c)) for r, c in zip(rows, cols, strict=True)]


def _mapping(reference: Sample, names: tuple[list[str], list[str]], costs: _Costs) -> dict[str, str]:
    """Say whom each hypothesis speaker stands for.

    A code that names a person on both sides (not a numbered label such as ``PAR0``) stands for itself; the others are
    assigned so that the errors are fewest.
    """
    ours, theirs = names
    known = set(ours) | set(reference.participants)
    mapping = {code: code for code in theirs if code in known and not _CLUSTER.match(code)}
    free_r = [k for k, code in enumerate(ours) if code not in mapping.values()]
    free_h = [k for k, code in enumerate(theirs) if code not in mapping]
    return mapping | {theirs[h]: ours[r] for r, h in costs.assign(free_r, free_h)}


def turns(sample: Sample) -> list[tuple[Milliseconds, Milliseconds, str]]:
    """Return ``(begin, end, speaker)`` of every utterance with a time."""
    return [
        (u.start, u.end, u.speaker)
        for u in sample.utterances
        if u.start is not None and u.end is not None and u.end > u.start
    ]


def score_diarization(
    reference: Sequence[tuple[Milliseconds, Milliseconds, str]],
    hypothesis: Sequence[tuple[Milliseconds, Milliseconds, str]],
    collar: Milliseconds = 0,
) -> Diarization:
    """Measure diarization error.

    Overlapped speech is scored. Speakers are mapped one to one so that they share the most time.

    Args:
        reference: ``(begin, end, speaker)`` in ms; overlapping turns of one speaker are joined.
        hypothesis: As above.
        collar: Time in ms around every begin and end of a reference turn that is not scored.
    """
    reference, hypothesis = _joined(reference), _joined(hypothesis)
    edges = {edge for begin, end, _ in [*reference, *hypothesis] for edge in (begin, end)}
    borders = {edge for begin, end, _ in reference for edge in (begin, end)}
    if collar:
        edges |= {edge + way for edge in borders for way in (-collar, collar)}
    points = sorted(edges)
    quiet = sorted((edge - collar, edge + collar) for edge in borders) if collar else []
    rows = list(_slices(points, reference, hypothesis, quiet))
    shared: dict[tuple[str, str], int] = {}
    for length, ours, theirs in rows:
        for r in ours:
            for h in theirs:
                shared[r, h] = shared.get((r, h), 0) + length
    names = sorted({r for r, _ in shared}), sorted({h for _, h in shared})
    pairs = _assign([[-shared.get((r, h), 0) for h in names[1]] for r in names[0]])
    mapping = {names[1][h]: names[0][r] for r, h in pairs}
    speech = missed = false_alarm = confused = 0
    for length, ours, theirs in rows:
        right = len(ours & {mapping.get(h, "") for h in theirs})
        speech += length * len(ours)
        missed += length * max(len(ours) - len(theirs), 0)
        false_alarm += length * max(len(theirs) - len(ours), 0)
        confused += length * (min(len(ours), len(theirs)) - right)
    return Diarization(speech, missed, false_alarm, confused)


_Turns = Sequence[tuple[Milliseconds, Milliseconds, str]]


def _joined(found: _Turns) -> list[tuple[Milliseconds, Milliseconds, str]]:
    """Join turns of one speaker that overlap or touch."""
    made: list[tuple[Milliseconds, Milliseconds, str]] = []
    latest: dict[str, int] = {}
    for begin, end, speaker in sorted(found):
        k = latest.get(speaker)
        if k is not None and begin <= made[k][1]:
            made[k] = (made[k][0], max(end, made[k][1]), speaker)
        else:
            latest[speaker] = len(made)
            made.append((begin, end, speaker))
    return made


def _slices(
    points: list[int], reference: _Turns, hypothesis: _Turns, quiet: list[tuple[int, int]]
) -> list[tuple[int, frozenset[str], frozenset[str]]]:
    """Cut time at every border; give ``(ms, reference speakers, hypothesis speakers)`` of each scored slice."""
    starting: dict[int, list[tuple[int, int, str, int]]] = {}
    for side, turns_ in enumerate((reference, hypothesis)):
        for begin, end, speaker in turns_:
            starting.setdefault(begin, []).append((end, side, speaker, 1))
    active: list[tuple[int, int, str, int]] = []
    slices, q = [], 0
    for begin, end in itertools.pairwise(points):
        active = [turn for turn in active if turn[0] > begin] + starting.get(begin, [])
        while q < len(quiet) and quiet[q][1] <= begin:
            q += 1
        if active and not (q < len(quiet) and quiet[q][0] <= begin):
            sides = [frozenset(t[2] for t in active if t[1] == side) for side in (0, 1)]
            slices.append((end - begin, sides[0], sides[1]))
    return slices
