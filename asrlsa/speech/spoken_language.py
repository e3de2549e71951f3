"""Which language a recording is in, by what its windows sound like one after the other."""

from __future__ import annotations

from collections.abc import Collection, Mapping

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


class SpokenLanguages:
    """The same for every recording that is being heard, by a key that is its own until it is forgotten."""

    def __init__(self, known: Collection[str] = ()) -> None:
        """Nothing has been heard.

        Args:
            known: ISO 639-1 codes of the languages that are wanted; empty means any.
        """
        self._known = known
        self._votes: dict[int, LanguageVotes] = {}
        self._strange: set[int] = set()

    def add(self, key: int, probabilities: Mapping[str, float], length: Milliseconds) -> None:
        """Let a window of a recording vote, unless its language is settled already."""
        votes = self._votes.setdefault(key, LanguageVotes())
        if votes.settled:
            return
        votes.add(probabilities, length)
        if self._known and votes.settled and votes.code not in self._known:
            self._strange.add(key)

    def settled(self, key: int) -> bool:
        """Say whether more speech of a recording would change nothing."""
        return key in self._votes and self._votes[key].settled

    def strange(self, key: int) -> bool:
        """Say whether it is settled that a recording is in a language that is not wanted."""
        return key in self._strange

    def code(self, key: int) -> str:
        """Return the likeliest language of a recording; English where nothing was heard."""
        return self._votes.get(key, LanguageVotes()).code

    def forget(self, key: int) -> None:
        """Let go of a recording that is done."""
        self._votes.pop(key, None)
        self._strange.discard(key)
