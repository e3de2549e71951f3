"""The values that every part of asrlsa passes around.

All of them are frozen. Time is an integer number of milliseconds from the start of the recording, everywhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

Milliseconds = int


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time, ``start <= t < end``, in milliseconds."""

    start: Milliseconds
    end: Milliseconds

    @property
    def duration(self) -> Milliseconds:
        """Length in milliseconds."""
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class Word:
    """One spoken word.

    Attributes:
        text: The word as written by the recogniser or a ``%wor`` tier. A recogniser's word may carry the
            punctuation that follows it (``store.``); a word broken off ends in a hyphen (``b-``).
        start: Begin in ms, or None where the word has no time.
        end: End in ms, or None where the word has no time; larger than ``start``.
        confidence: Probability that the recogniser gives the word, 0 to 1, or None.
        speaker: Participant code or cluster label, or None where it is not known yet.
    """

    text: str
    start: Milliseconds | None = None
    end: Milliseconds | None = None
    confidence: float | None = None
    speaker: str | None = None


@dataclass(frozen=True, slots=True)
class Turn:
    """A stretch of one speaker's speech, as diarization finds it."""

    start: Milliseconds
    end: Milliseconds
    speaker: str


@dataclass(frozen=True, slots=True)
class Participant:
    """One ``@Participants`` entry with its ``@ID`` fields; empty strings for what is not known.

    Attributes:
        code: Speaker code on main tiers, such as ``CHI`` or ``PAR0``.
        role: CHAT role, such as ``Target_Child`` or ``Participant``.
        name: Optional name between code and role.
        language: ISO 639-3 code of ``@ID``; empty for the language of the transcript.
        corpus: Corpus name of ``@ID``.
        age: Age as CHAT writes it: ``4;``, ``4;06.`` or ``4;06.03``.
        sex: ``male``, ``female`` or empty.
        group: Group of ``@ID``, such as ``TD`` or ``SLI``.
        ses: Ethnicity and socio-economic status field of ``@ID``.
        education: Education field of ``@ID``.
        custom: Custom field of ``@ID``.
    """

    code: str
    role: str = "Participant"
    name: str = ""
    language: str = ""
    corpus: str = "asrlsa"
    age: str = ""
    sex: str = ""
    group: str = ""
    ses: str = ""
    education: str = ""
    custom: str = ""


@dataclass(frozen=True, slots=True)
class Header:
    """One ``@`` line. ``name`` has no ``@`` and no colon; ``value`` is None for a bare header such as ``@Begin``."""

    name: str
    value: str | None = None
    line: int | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Tier:
    """One dependent tier: ``name`` without ``%`` (``wor``, ``mor``), ``text`` unfolded and else byte for byte."""

    name: str
    text: str
    line: int | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Utterance:
    """One main tier with what depends on it.

    Attributes:
        speaker: Participant code, such as ``CHI``.
        text: The main tier between the tab and the final bullet, unfolded: items, terminator, postcodes.
        start: Begin of the final bullet in ms, or None.
        end: End of the final bullet in ms, or None.
        words: Verbatim words with times, from the recogniser or from ``%wor``; empty where there are none.
        tiers: Dependent tiers in file order.
        line: Line number of the main tier in the file it was read from, from 1.
    """

    speaker: str
    text: str
    start: Milliseconds | None = None
    end: Milliseconds | None = None
    words: tuple[Word, ...] = ()
    tiers: tuple[Tier, ...] = ()
    line: int | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Transcript:
    """One CHAT file: its ``@`` lines and utterances in file order.

    Attributes:
        lines: Every header and utterance, ``@UTF8`` first and ``@End`` last.
        source: Where it was read from, for messages; None for a transcript that was made in memory.
    """

    lines: tuple[Header | Utterance, ...]
    source: str | None = field(default=None, compare=False)

    @property
    def utterances(self) -> tuple[Utterance, ...]:
        """The utterances in file order."""
        return tuple(line for line in self.lines if isinstance(line, Utterance))

    @property
    def headers(self) -> tuple[Header, ...]:
        """The ``@`` lines in file order."""
        return tuple(line for line in self.lines if isinstance(line, Header))

    def values(self, name: str) -> Iterator[str]:
        """Yield the values of every header called ``name`` (without ``@``)."""
        return (h.value for h in self.headers if h.name == name and h.value is not None)

    @property
    def languages(self) -> tuple[str, ...]:
        """ISO 639-3 codes of ``@Languages``; empty where the header is missing."""
        value = next(self.values("Languages"), "")
        return tuple(code for code in value.replace(",", " ").split() if code)

    @property
    def participants(self) -> tuple[Participant, ...]:
        """``@Participants`` joined with ``@ID``, in the order of ``@Participants``."""
        ids: dict[str, list[str]] = {}
        for value in self.values("ID"):
            fields = [f.strip() for f in value.split("|")] + [""] * 10
            ids[fields[2]] = fields
        found = []
        for entry in next(self.values("Participants"), "").split(","):
            parts = entry.split()
            if not parts:
                continue
            role, name = (parts[-1] if len(parts) > 1 else ""), " ".join(parts[1:-1])
            f = ids.get(parts[0])
            if f is None:
                found.append(Participant(parts[0], role, name, "", ""))
            else:
                found.append(Participant(parts[0], role or f[7], name, f[0], f[1], f[3], f[4], f[5], f[6], f[8], f[9]))
        return tuple(found)

    def to_chat(self) -> str:
        """Return the transcript as the text of a CHAT file (UTF-8, LF, unwrapped lines).

        Raises:
            ChatError: The transcript would not be valid CHAT; the message names line and rule.
        """
        from asrlsa.chat.writer import write_chat

        return write_chat(self)
