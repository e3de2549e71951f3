"""Which language a recording is in, by what its windows sound like one after the other."""

from __future__ import annotations

from collections.abc import Mapping

from asrlsa.types import Milliseconds

SURE = 0.9  # mean probability at which the language is settled
SOONEST_MS = 10_000  # but not before so much speech
ENOUGH_MS = 60_000  # it is settled after so much speech in any case


class LanguageVotes:
    """What the windows heard so far say, each by its length.

    Attributes:
        heard: Speech that has voted, in ms.
    """

    def __init__(self) -> None:
        """Nothing has been heard."""
        self.heard: Milliseconds = 0
        self._votes: dict[str, float] = {}

    def add(self, probabilities: Mapping[str, float], length: Milliseconds) -> None:
        """Let a window vote with the probability of each ISO 639-1 code."""
        for code, p in probabilities.items():
            self._votes[code] = self._votes.get(code, 0.0) + p * length
        self.heard += length

    @property
    def settled(self) -> bool:
        """Whether more speech would change nothing."""
        if self.heard >= ENOUGH_MS:
            return True
        return self.heard >= SOONEST_MS and max(self._votes.values()) / self.heard >= SURE

    @property
    def code(self) -> str:
        """The likeliest language; English where nothing was heard."""
        return max(self._votes, key=lambda code: self._votes[code]) if self._votes else "en"
