"""The result of diarization."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from asrlsa.types import Turn


@dataclass(frozen=True, slots=True)
class Diarization:
    """Who speaks when.

    Attributes:
        turns: By start, not overlapping; labels are ``"0"``, ``"1"``, … in order of first appearance.
        speakers: Number of speakers found; 0 where there is no speech.
        pitch: Median fundamental frequency in Hz of each label that has voiced speech.
        reason: One sentence on how the number of speakers was settled.
    """

    turns: tuple[Turn, ...]
    speakers: int
    pitch: Mapping[str, float] = field(default_factory=dict)
    reason: str = ""

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels in order of first appearance."""
        return tuple(dict.fromkeys(turn.speaker for turn in self.turns))
