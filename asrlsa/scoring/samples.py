"""What scoring compares: the spoken words of one file in order, with their codes, speakers and times."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from asrlsa.types import Milliseconds

# Kinds whose events stand on words, in the order in which tables list them; "pause" stands between words.
EVENT_KINDS = (
    "filled_pause",
    "word_repetition",
    "phrase_repetition",
    "retracing",
    "reformulation",
    "false_start",
    "fragment",
    "part_word_repetition",
    "prolongation",
    "block",
    "broken_word",
    "nonword",
    "pause",
)

# What can be told from spelling alone, in a format that has no disfluency codes (txt, SRT, JSONL).
SPELT_KINDS = ("filled_pause", "fragment")


@dataclass(frozen=True, slots=True)
class ScoredWord:
    """One spoken word of a file.

    Attributes:
        verbatim: The word as said; several words where a compound or multiword was written as one.
        clean: The word that remains when disfluencies are removed, or None for a disfluent one.
        kind: ``word``, or what kind of disfluent word it is (``filled_pause``, ``fragment``, ``nonword`` ...).
        raw: The word as the file writes it.
        speaker: Participant code.
        utterance: Index of the utterance in the file.
        start: Begin in ms, where the file gives word times.
        end: End in ms, where the file gives word times.
    """

    verbatim: str
    clean: str | None
    kind: str
    raw: str
    speaker: str
    utterance: int
    start: Milliseconds | None = None
    end: Milliseconds | None = None


@dataclass(frozen=True, slots=True)
class PlacedEvent:
    """One disfluency event; ``start`` and ``end`` (exclusive) index the words of the file, equal for a pause.

    Attributes:
        kind: One of :data:`EVENT_KINDS`.
        start: First word of the event; for a pause, the word after it.
        end: One past the last word of the event.
        units: Repetition units of the event as FLUCALC counts them.
        duration: Length of a timed pause in ms, or None.
        utterance: Index of the utterance in the file.
    """

    kind: str
    start: int
    end: int
    units: int = 1
    duration: Milliseconds | None = None
    utterance: int = 0


@dataclass(frozen=True, slots=True)
class Said:
    """One utterance of a file: who, when, which words, and the text to show for it.

    Attributes:
        speaker: Participant code.
        text: The utterance as the file writes it.
        first: Index of its first word in the file.
        last: One past the index of its last word.
        start: Begin in ms, or None.
        end: End in ms, or None.
        masked: Whether it holds an ``xxx``, ``yyy`` or ``www``.
        line: Line in the file, or None.
    """

    speaker: str
    text: str
    first: int
    last: int
    start: Milliseconds | None = None
    end: Milliseconds | None = None
    masked: bool = False
    line: int | None = None


class Mask(NamedTuple):
    """A stretch that was not transcribed (``xxx``, ``yyy``, ``www``); it stands before word ``before``."""

    before: int
    speaker: str
    utterance: int


@dataclass(frozen=True, slots=True)
class Sample:
    """One file, ready to be scored.

    Attributes:
        name: Name that the pair is reported under (path below the folder, without extension).
        words: Spoken words of all speakers in file order.
        masks: Masked stretches in order.
        events: Disfluency events in order of their start.
        utterances: The utterances in order.
        language: ISO 639-3 code.
        coded: Whether the file has disfluency codes (CHAT); otherwise only spelling tells fillers and fragments.
        source: Path the file was read from.
        media: Name of the recording, where the file names one.
        participants: Participant codes with their roles.
        ended: Whether the file ends as its format wants (``@End`` of CHAT); where not, it may be cut short.
    """

    name: str
    words: tuple[ScoredWord, ...]
    masks: tuple[Mask, ...] = ()
    events: tuple[PlacedEvent, ...] = ()
    utterances: tuple[Said, ...] = ()
    language: str = "eng"
    coded: bool = True
    source: str = ""
    media: str = ""
    participants: dict[str, str] = field(default_factory=dict)
    ended: bool = True

    @property
    def speakers(self) -> tuple[str, ...]:
        """Codes of everyone who says a word, in order of their first word."""
        return tuple(dict.fromkeys(word.speaker for word in self.words))


def empty_sample(like: Sample) -> Sample:
    """Return a sample without words, for a hypothesis that is missing or can't be read."""
    return Sample(like.name, (), language=like.language, coded=True)
