"""Utterances -> training windows of at most 30 s, so that a window's text is exactly what its sound says.

Two laws hold in every layout. The sound of every utterance used is in its window, whole: text whose sound would be cut
off is never kept. And other speech is not in the window without its text: an utterance that is left out, not chosen or
not transcribed cuts the window (times jitter, so up to ``overlap_seconds`` of a neighbour at the edge are let through).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
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
        parts: Sound, by ``at``, without overlap; between the parts is silence. None for synthetic noise.
        pieces: Utterances with times within the window; none for a window without speech.
        duration: Length in ms, at most 30,000.
        language: ISO 639-1 code.
        ids: Names of the rows, in the order of ``pieces``.
    """

    parts: tuple[Part, ...]
    pieces: tuple[Piece, ...]
    duration: Milliseconds
    language: str
    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Packing:
    """Windows, and how many rows are in none of them, by reason.

    Attributes:
        windows: The windows.
        left_out: Reason to number of rows.
        examples: Reason to the name of one such row.
    """

    windows: tuple[Window, ...]
    left_out: Mapping[str, int] = field(default_factory=Counter)
    examples: Mapping[str, str] = field(default_factory=dict)


def speech_ms(windows: Sequence[Window]) -> Milliseconds:
    """Return how long anyone speaks in the windows, in ms; time with two speakers counts once."""
    raise NotImplementedError
