"""How often people of four groups are disfluent, by kind, per 100 words that are meant.

docs/verbatim-corpus.md names the source of every figure, and which of them are our own division of a published sum.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Final

__all__ = ["KINDS", "POPULATIONS", "Population", "Rates"]

MOST_COPIES: Final = 3  # extra copies of a word, phrase or sound; more teaches a recogniser to loop


@dataclass(frozen=True, slots=True)
class Rates:
    """Disfluencies per 100 fluent words.

    Attributes:
        filler: Filled pauses.
        word: Repetitions of one word; several copies count once, here and below.
        phrase: Repetitions of two or three words.
        sound: Repetitions of a word's first sound or syllable: ``b- b- ball``.
        broken: Words given up after a sound or syllable, with another said instead.
        retracing: Words taken back and said again with a change.
        false_start: Beginnings given up for another sentence.
        prolongation: Sounds held.
        block: Silence before a tense onset.
    """

    filler: float
    word: float
    phrase: float
    sound: float
    broken: float
    retracing: float
    false_start: float
    prolongation: float
    block: float

    @property
    def total(self) -> float:
        """Disfluencies of every kind per 100 words."""
        return float(sum(getattr(self, kind) for kind in KINDS))


KINDS: Final = tuple(field.name for field in fields(Rates))


@dataclass(frozen=True, slots=True)
class Population:
    """One group of speakers.

    Attributes:
        name: As in the manifest.
        rates: Disfluencies per 100 words, the mean over speakers.
        another_copy: Probability that one more copy follows a repeated unit.
        between: Silence between the copies in s, the range it is drawn from.
        speed: Range of the rate of speech; 1 is the voice's own.
        pause: Silent pauses of 0.25 s and more per 100 words besides those that belong to a disfluency.
        role: CHAT role.
        group: Group of ``@ID``.
        child: Whether the voices are made like a child's.
    """

    name: str
    rates: Rates
    another_copy: float
    between: tuple[float, float]
    speed: tuple[float, float]
    pause: float
    role: str = "Participant"
    group: str = "TD"
    child: bool = False


POPULATIONS: Final[Mapping[str, Population]] = MappingProxyType(
    {
        one.name: one
        for one in (
            Population(
                "adult",
                Rates(2.56, 1.03, 0.44, 0.1, 0.3, 1.2, 0.44, 0.2, 0.0),
                another_copy=0.15,
                between=(0.04, 0.35),
                speed=(0.92, 1.22),
                pause=4.0,
            ),
            Population(
                "child",
                Rates(2.1, 1.3, 0.6, 0.4, 0.3, 1.4, 0.4, 0.15, 0.0),
                another_copy=0.15,
                between=(0.05, 0.45),
                speed=(0.8, 1.08),
                pause=6.0,
                role="Target_Child",
                child=True,
            ),
            Population(
                "stutter",
                Rates(3.2, 3.3, 0.7, 4.9, 0.3, 1.1, 0.3, 1.9, 1.2),
                another_copy=0.35,
                between=(0.02, 0.2),
                speed=(0.88, 1.12),
                pause=4.0,
                group="PWS",
            ),
            Population(
                "aphasia",
                Rates(6.5, 2.4, 1.2, 0.8, 2.6, 2.4, 0.9, 0.3, 0.0),
                another_copy=0.25,
                between=(0.08, 0.7),
                speed=(0.74, 1.0),
                pause=12.0,
                group="aphasia",
            ),
        )
    }
)
