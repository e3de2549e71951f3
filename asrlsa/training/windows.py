"""What a training window is: stretches of sound, and the utterances heard in them.

Two laws hold in every layout. The sound of every utterance used is in its window, whole: text whose sound would be cut
off is never kept. And other speech is not in a window without its text: an utterance that is left out, not chosen or
not transcribed cuts the window. (Annotators' times jitter, so up to ``overlap_seconds`` of a neighbour at an edge are
let through; see `asrlsa.training.stretches`.)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from asrlsa.training.targets import Piece
from asrlsa.types import Milliseconds

WINDOW_MS = 30_000


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of a recording, ``start`` to ``end`` in it, that is heard ``at`` ms after the window's begin."""

    audio: Path
    start: Milliseconds
    end: Milliseconds
    at: Milliseconds


@dataclass(frozen=True, slots=True)
class Window:
    """One training example.

    Attributes:
        parts: Sound, by ``at``, without overlap; between the parts is silence. Empty for synthetic noise.
        pieces: Utterances with times within the window, by start; empty for a window without speech.
        duration: Length in ms, at most 30,000.
        language: ISO 639-1 code.
        ids: Names of the rows: those of ``pieces`` in the same order, or the one of the noise.
    """

    parts: tuple[Part, ...]
    pieces: tuple[Piece, ...]
    duration: Milliseconds
    language: str
    ids: tuple[str, ...]

    @property
    def sound_ms(self) -> Milliseconds:
        """Recorded sound in ms, pauses between utterances included, silence between parts not."""
        return sum(part.end - part.start for part in self.parts)

    @property
    def speech_ms(self) -> Milliseconds:
        """Time in ms in which anyone speaks; time with two speakers counts once."""
        total = reached = 0
        for piece in sorted(self.pieces, key=lambda p: p.start):
            total += max(0, piece.end - max(piece.start, reached))
            reached = max(reached, piece.end)
        return total


@dataclass(frozen=True, slots=True)
class Packing:
    """Windows, and how many rows are in none of them, by reason.

    Attributes:
        windows: The windows.
        left_out: Reason to number of rows.
        examples: Reason to the name of one such row.
    """

    windows: tuple[Window, ...]
    left_out: Mapping[str, int] = field(default_factory=dict)
    examples: Mapping[str, str] = field(default_factory=dict)

    def speech_seconds(self) -> float:
        """Return the time in which anyone speaks."""
        return sum(w.speech_ms for w in self.windows) / 1000

    def padding_share(self, padded_ms: Milliseconds | None = WINDOW_MS) -> float:
        """Return the share of the encoder's input after the windows' ends; None pads nothing."""
        if padded_ms is None or not self.windows:
            return 0.0
        return 1 - sum(w.duration for w in self.windows) / (padded_ms * len(self.windows))


class Reasons:
    """Counts rows that are not used."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.examples: dict[str, str] = {}

    def add(self, reason: str, names: Iterable[str]) -> None:
        """Count rows under a reason."""
        for name in names:
            self.counts[reason] = self.counts.get(reason, 0) + 1
            self.examples.setdefault(reason, name)
