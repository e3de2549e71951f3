"""What a prepared corpus holds, counted while its rows are written."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from asrlsa.corpora import ages
from asrlsa.corpora.rows import Written
from asrlsa.types import Milliseconds

DURATION_STEP = 1  # s, width of a bar
RATE_STEP = 20  # words a minute, width of a bar
FASTEST_BAR = 400  # words a minute; the last bar holds the rest


@dataclass(slots=True)
class Speaker:
    """What one speaker says: role, rows, words, length, disfluencies by kind."""

    role: str = ""
    rows: int = 0
    words: int = 0
    ms: Milliseconds = 0
    events: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class Part:
    """One part of the data.

    Attributes:
        rows: Utterances.
        ms: Their length.
        words: Words said in them.
        noise_rows: Stretches without speech.
        noise_ms: Their length.
        recordings: Recordings or clips with utterances; rows come one recording after the other.
        speakers: What each speaker says; an empty name stands for those that are not known.
        strata: Length by group, role and age band.
        durations: Utterances by whole seconds.
        rates: Utterances by words a minute, in steps of 20.
        events: Disfluencies by kind.
    """

    rows: int = 0
    ms: Milliseconds = 0
    words: int = 0
    noise_rows: int = 0
    noise_ms: Milliseconds = 0
    recordings: int = 0
    speakers: dict[str, Speaker] = field(default_factory=dict)
    strata: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    durations: Counter[int] = field(default_factory=Counter)
    rates: Counter[int] = field(default_factory=Counter)
    events: Counter[str] = field(default_factory=Counter)
    _last: str = ""

    def add(self, written: Written) -> None:
        """Count one row."""
        row, candidate = written.row, written.candidate
        if candidate is None:
            self.noise_rows += 1
            self.noise_ms += row.duration
            return
        self.rows += 1
        self.ms += row.duration
        self.words += candidate.words
        if candidate.audio != self._last:
            self.recordings += 1
            self._last = candidate.audio
        self.strata[row.group, row.role, ages.band(row.age)] += row.duration
        self.durations[row.duration // 1000 // DURATION_STEP * DURATION_STEP] += 1
        rate = int(60_000 * candidate.words / row.duration) // RATE_STEP * RATE_STEP
        self.rates[min(rate, FASTEST_BAR)] += 1
        self.events.update(candidate.events)
        speaker = self.speakers.setdefault(row.speaker, Speaker(row.role))
        speaker.rows += 1
        speaker.words += candidate.words
        speaker.ms += row.duration
        speaker.events.update(candidate.events)
