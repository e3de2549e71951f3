"""The side-by-side view: each utterance of the reference with the aligned words of the hypothesis, for the report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from asrlsa.scoring.events import EventScores
from asrlsa.scoring.samples import PlacedEvent, Sample
from asrlsa.scoring.words import WordScores
from asrlsa.types import Milliseconds


class Mark(NamedTuple):
    """A disfluency on a cell: its type, the side that codes it, and whether the other side has it."""

    kind: str
    side: str
    verdict: str


@dataclass(frozen=True, slots=True)
class Cell:
    """One column of the alignment.

    Attributes:
        reference: Word of the reference, or empty.
        hypothesis: Word of the hypothesis, or empty.
        tag: ``equal``, ``substitute``, ``delete``, ``insert``, ``masked`` (hypothesis words in a masked stretch),
            ``mask`` (the masked stretch itself) or ``pause``.
        marks: Disfluencies that cover the words.
    """

    reference: str
    hypothesis: str
    tag: str
    marks: tuple[Mark, ...] = ()


@dataclass(frozen=True, slots=True)
class Row:
    """One utterance of the reference (or, at the start, words before the first one).

    Attributes:
        speaker: Participant code.
        start: Begin in ms, or None.
        end: End in ms, or None.
        hypothesis_speakers: Codes that the hypothesis gives to the words of this row.
        cells: Columns in order.
    """

    speaker: str
    start: Milliseconds | None
    end: Milliseconds | None
    hypothesis_speakers: list[str] = field(default_factory=list)
    cells: list[Cell] = field(default_factory=list)

    @property
    def errors(self) -> int:
        """Number of columns that count as an error, in words or in codes."""
        wrong = ("missed", "extra", "type")
        return sum(
            c.tag in ("substitute", "delete", "insert") or any(m.verdict in wrong for m in c.marks) for c in self.cells
        )


class _Side:
    """One side of the view: what is shown for each normalised word, and the marks on it."""

    def __init__(self, name: str, sample: Sample, origin: Sequence[int], forms: Sequence[str]) -> None:
        self.name = name
        self.sample = sample
        self.origin = origin
        self.forms = forms
        self.size = Counter(origin)
        self.marks: dict[int, list[Mark]] = {}
        self.pauses: list[tuple[int, PlacedEvent, str]] = []

    def place(self, verdicts: Sequence[str]) -> None:
        """Put the events on the words."""
        for event, verdict in zip(self.sample.events, verdicts, strict=True):
            if event.kind == "pause":
                self.pauses.append((event.start, event, verdict))
            for word in range(event.start, event.end):
                self.marks.setdefault(word, []).append(Mark(event.kind, self.name, verdict))
        self.pauses.sort(key=lambda found: -found[0])

    def due(self, form: int | None) -> list[tuple[PlacedEvent, str]]:
        """Take the pauses that stand before a normalised word; all that are left for None."""
        limit = self.origin[form] if form is not None else len(self.sample.words)
        found = []
        while self.pauses and self.pauses[-1][0] <= limit:
            _, event, verdict = self.pauses.pop()
            found.append((event, verdict))
        return found

    def shown(self, form: int | None, width: int) -> str:
        """Return the word as the file has it where ``width`` columns hold all of it, else its normalised piece."""
        if form is None:
            return ""
        word = self.origin[form]
        return self.sample.words[word].verbatim if self.size[word] == width else self.forms[form]

    def marks_at(self, form: int | None) -> tuple[Mark, ...]:
        return tuple(self.marks.get(self.origin[form], ())) if form is not None else ()


def side_by_side(reference: Sample, hypothesis: Sample, scored: WordScores, events: EventScores) -> list[Row]:
    """Lay out the alignment of one pair of files as one row for each utterance of the reference."""
    ours = _Side("reference", reference, scored.words[0].origin, scored.words[0].forms)
    theirs = _Side("hypothesis", hypothesis, scored.words[1].origin, scored.words[1].forms)
    ours.place(events.reference)
    theirs.place(events.hypothesis)
    masks = sorted(scored.words[0].masks, reverse=True)
    rows: list[Row] = []
    at = -1
    for i, j, tag, width in _columns(scored, ours.size, theirs.size):
        position = scored.words[0].origin[i] if i is not None else None
        utterance = reference.words[position].utterance if position is not None else max(at, 0)
        while at < utterance and at + 1 < len(reference.utterances):
            at += 1
            said = reference.utterances[at]
            rows.append(Row(said.speaker, said.start, said.end))
        if not rows:
            rows.append(Row("", None, None))
        if i is not None or tag == "masked":
            while masks and masks[-1] <= (i if i is not None else masks[-1]):
                masks.pop()
                rows[-1].cells.append(Cell("xxx", "", "mask"))
        _add_pauses(rows[-1], ours.due(i) if i is not None else [], theirs.due(j) if j is not None else [])
        _add_words(rows[-1], ours, theirs, (i, j, tag, width))
    if rows:
        rows[-1].cells.extend(Cell("xxx", "", "mask") for _ in masks)
        _add_pauses(rows[-1], ours.due(None), theirs.due(None))
    return [row for row in rows if row.cells]


_Column = tuple[int | None, int | None, str, int]


def _columns(scored: WordScores, ours: Counter[int], theirs: Counter[int]) -> list[_Column]:
    """List columns; pieces of one word that match pieces of one word (*do not* of *don't*) are one wide column."""
    found: list[_Column] = []
    for tag, i1, i2, j1, j2 in scored.ops:
        k, length = 0, max(i2 - i1, j2 - j1)
        while k < length:
            i, j = (i1 + k if i1 + k < i2 else None), (j1 + k if j1 + k < j2 else None)
            width = 1
            if tag == "equal":
                pair = scored.words[0].origin[i1 + k], scored.words[1].origin[j1 + k]
                wide = ours[pair[0]]
                last = k + wide - 1
                if wide == theirs[pair[1]] and last < length:
                    ends = scored.words[0].origin[i1 + last], scored.words[1].origin[j1 + last]
                    width = wide if ends == pair else 1
            found.append((i, j, tag, width))
            k += width
    return found


def _add_words(row: Row, ours: _Side, theirs: _Side, column: _Column) -> None:
    i, j, tag, width = column
    if j is not None:
        speaker = theirs.sample.words[theirs.origin[j]].speaker
        if speaker and speaker not in row.hypothesis_speakers:
            row.hypothesis_speakers.append(speaker)
    row.cells.append(
        Cell(
            ours.shown(i, width),
            theirs.shown(j, width),
            tag,
            ours.marks_at(i) + theirs.marks_at(j),
        )
    )


def _add_pauses(row: Row, ours: list[tuple[PlacedEvent, str]], theirs: list[tuple[PlacedEvent, str]]) -> None:
    """Add pauses, one cell for a matched pair that falls together."""
    while ours or theirs:
        both = bool(ours and theirs) and ours[0][1] == theirs[0][1] == "match"
        left = ours.pop(0) if ours and (both or not theirs or ours[0][1] != "match") else None
        right = theirs.pop(0) if theirs and (both or left is None) else None
        marks = tuple(
            Mark("pause", side, found[1]) for side, found in (("reference", left), ("hypothesis", right)) if found
        )
        row.cells.append(Cell(_pause_text(left), _pause_text(right), "pause", marks))


def _pause_text(found: tuple[PlacedEvent, str] | None) -> str:
    if found is None:
        return ""
    length = found[0].duration
    return f"({length / 1000:g})" if length is not None else "(.)"
