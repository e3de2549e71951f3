"""From a CHAT main tier to the words that were said, the words that were meant, and the disfluencies between.

``<I [/] I want> [//] he ran .`` says *I I want he ran*, means *he ran*, and holds a word repetition inside a
retracing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from asrlsa.chat.lexer import lex
from asrlsa.chat.words import Spoken, is_legacy_filler, spoken

#: Event kinds that a reading can hold, in the order of the CHAT guide's table.
EVENT_KINDS = (
    "filled_pause",
    "fragment",
    "nonword",
    "word_repetition",
    "phrase_repetition",
    "retracing",
    "reformulation",
    "false_start",
    "prolongation",
    "part_word_repetition",
    "block",
    "broken_word",
    "pause",
)

_RETRACES = {"[//]": "retracing", "[///]": "reformulation", "[/-]": "false_start", "[/?]": "retracing"}
_MASKS = {"x": "xxx", "y": "yyy", "w": "www"}
_CODED = frozenset(("filled_pause", "fragment", "nonword"))
_SILENT_ITEMS = frozenset(("event", "omission", "action", "interposed", "unknown"))
_TIMED_PAUSE = re.compile(r"\((?:(\d+):)?(\d+(?:\.\d*)?)\)")
_MOST_REPEATED_WORDS = 1000


@dataclass(frozen=True, slots=True)
class SpokenWord:
    """One word as it was said.

    Attributes:
        verbatim: What a verbatim recogniser should write; a word broken off ends in a hyphen (``fr-``).
        clean: What the cleaned transcript has for it; None where a retrace, filled pause, fragment or nonword
            code removes it. A replacement of several words is joined with spaces (``want to`` for ``wanna``), and
            the other words of a replaced compound are empty strings.
        kind: ``word``, ``filled_pause``, ``fragment`` or ``nonword``.
        raw: The token on the main tier.
    """

    verbatim: str
    clean: str | None
    kind: str
    raw: str


@dataclass(frozen=True, slots=True)
class Event:
    """One disfluency, or one masked stretch.

    Attributes:
        kind: One of ``EVENT_KINDS``; for a mask, ``xxx``, ``yyy`` or ``www``.
        start: Index of its first word in ``Reading.words``.
        end: Index after its last word. Pauses and masks have no words: ``start == end``, the index of the word
            after them.
        units: Part-word repetition: 1 plus its hyphens, as FLUCALC counts. Prolongation, block, broken word: how
            many in the word. Else 1.
        duration: Length in ms of a timed pause, else None.
    """

    kind: str
    start: int
    end: int
    units: int = 1
    duration: int | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """What one main tier says.

    Attributes:
        words: Every word that was said, in order.
        events: Disfluencies by start, inner ones before the ones around them.
        masks: Stretches that were not transcribed.
        terminator: The terminator, or an empty string where it is missing.
        commas: For each comma the index of the word after it.
    """

    words: tuple[SpokenWord, ...]
    events: tuple[Event, ...] = ()
    masks: tuple[Event, ...] = ()
    terminator: str = ""
    commas: tuple[int, ...] = ()

    @property
    def verbatim(self) -> tuple[str, ...]:
        """Every word that was said."""
        return tuple([word.verbatim for word in self.words])

    @property
    def clean(self) -> tuple[str, ...]:
        """The words without the disfluencies, with replacements and shortenings completed."""
        found: list[str] = []
        for word in self.words:
            if word.clean:
                if " " in word.clean:
                    found.extend(word.clean.split())
                else:
                    found.append(word.clean)
        return tuple(found)


@dataclass(slots=True)
class _Entry:
    """One word while it is read; ``token`` numbers the token that it comes from."""

    verbatim: str
    clean: str | None
    kind: str
    raw: str
    token: int


class _Reader:
    """The state of reading one main tier; ``last`` is the word range that the next code is about."""

    def __init__(self) -> None:
        self.entries: list[_Entry] = []
        self.events: list[Event] = []
        self.masks: list[Event] = []
        self.groups: list[int] = []
        self.last = (0, 0)
        self.terminator = ""
        self.commas: list[int] = []

    def word(self, number: int, text: str) -> None:
        """Read a word, with the stuttering codes inside it."""
        entries = self.entries
        start = len(entries)
        said = spoken(text)
        if said.simple:
            entries.append(_Entry(said.heard[0], said.meant, "word", text, number))
            self.last = (start, start + 1)
            return
        entries.extend(_Entry(sound, None, "fragment", text, number) for sound in said.before)
        first = len(entries)
        meant = said.meant.split()
        if len(meant) != len(said.heard):
            meant = [said.meant] + [""] * (len(said.heard) - 1)
        for heard, target in zip(said.heard, meant, strict=False):
            entries.append(_Entry(heard, target, "word", text, number))
        after = len(entries)
        entries.extend(_Entry(sound, None, "fragment", text, number) for sound in said.after)
        if said.before:
            self.events.append(Event("part_word_repetition", start, first, units=said.units))
        elif said.after:
            self.events.append(Event("part_word_repetition", after, len(entries), units=said.units))
        self._sounds(said, first, after)
        self.last = (start, len(entries))

    def coded(self, number: int, text: str, kind: str) -> None:
        """Read a filled pause, fragment or nonword."""
        said = spoken(text.lstrip("&").lstrip("-+~"))
        heard = said.before + said.heard + said.after
        if kind == "fragment":
            heard = tuple([word.rstrip("-") + "-" for word in heard])
        if not heard:
            return
        start = len(self.entries)
        self.entries.extend(_Entry(word, None, kind, text, number) for word in heard)
        end = len(self.entries)
        self.events.append(Event(kind, start, end))
        if said.before or said.after:
            self.events.append(Event("part_word_repetition", start, end, units=said.units))
        self._sounds(said, start, end)
        self.last = (start, end)

    def _sounds(self, said: Spoken, start: int, end: int) -> None:
        """Add the events of the sounds inside a word."""
        if start == end:
            return
        if said.prolongations:
            self.events.append(Event("prolongation", start, end, units=said.prolongations))
        if said.blocks:
            self.events.append(Event("block", start, end, units=said.blocks))
        if said.broken:
            self.events.append(Event("broken_word", start, end, units=said.broken))

    def retrace(self, text: str, start: int, end: int) -> None:
        """Take the item before a retrace code out of the clean words."""
        if start == end:
            return
        removed = self.entries[start:end]
        kind = _RETRACES.get(text)
        if kind is None:
            said = {e.token for e in removed if e.kind == "word" and e.clean is not None}
            kind = "phrase_repetition" if len(said) > 1 else "word_repetition"
        for entry in removed:
            entry.clean = None
        self.events.append(Event(kind, start, end))

    def repeat(self, text: str) -> None:
        """Say the item before a legacy ``[x 3]`` as often as it says."""
        start, end = self.last
        length = end - start
        if not length:
            return
        inside = [e for e in self.events if start <= e.start < e.end <= end]
        # A typing error in the count must not fill the memory.
        for _ in range(min(int(text[2:-1]), _MOST_REPEATED_WORDS // length) - 1):
            copies = [replace(entry) for entry in self.entries[start:end]]
            self.retrace("[/]", start, end)
            self.entries.extend(copies)
            inside = [replace(e, start=e.start + length, end=e.end + length) for e in inside]
            self.events.extend(inside)
            start, end = end, end + length
        self.last = (start, end)

    def target(self, text: str) -> None:
        """Put the target of ``[: target]`` in the place of the clean words."""
        start, end = self.last
        meant = " ".join(text[1:-1].lstrip(":").replace("_", " ").split())
        for entry in self.entries[start:end]:
            if entry.clean is not None:
                entry.clean, meant = meant, ""

    def code(self, kind: str, text: str) -> None:
        """Read what is neither a word nor a word with a sign."""
        here = len(self.entries)
        if kind == "retrace":
            self.retrace(text, *self.last)
        elif kind == "open":
            self.groups.append(here)
        elif kind == "close":
            if self.groups:
                self.last = (self.groups.pop(), here)
        elif kind == "mask":
            self.masks.append(Event(_MASKS[text[0].lower()], here, here))
            self.last = (here, here)
        elif kind == "pause":
            self.events.append(Event("pause", here, here, duration=_pause_ms(text)))
        elif kind == "terminator":
            self.terminator = text
        elif text == ",":
            self.commas.append(here)
        elif kind == "replacement":
            self.target(text)
        elif kind == "repeat":
            self.repeat(text)
        elif kind in _SILENT_ITEMS:
            self.last = (here, here)


def _pause_ms(text: str) -> int | None:
    """Return the length of a timed pause such as ``(1:05.5)`` in ms, else None."""
    match = _TIMED_PAUSE.fullmatch(text)
    if match is None:
        return None
    minutes, seconds = match.groups()
    return round(1000 * (60 * int(minutes or 0) + float(seconds)))


def read_main_tier(text: str) -> Reading:
    """Return what a CHAT main tier (``Utterance.text``) says.

    Codes nest and stack as in CHAT. A code is about the word, sign word or group before it; pauses, separators and
    other codes may stand between. Words of another speaker (``&*MOT:mhm``), omitted words (``0is``), events and
    whatever the lexer does not know say nothing. Never raises.
    """
    reader = _Reader()
    for number, (kind, piece, _) in enumerate(lex(text)):
        if kind == "word":
            if piece.endswith("@fp"):
                reader.coded(number, piece, "filled_pause")
            else:
                reader.word(number, piece)
        elif kind in _CODED:
            reader.coded(number, piece, "filled_pause" if is_legacy_filler(piece) else kind)
        else:
            reader.code(kind, piece)
    events = reader.events
    if len(events) > 1:
        events.sort(key=lambda e: (e.start, e.end))
    words = tuple([SpokenWord(e.verbatim, e.clean, e.kind, e.raw) for e in reader.entries])
    return Reading(words, tuple(events), tuple(reader.masks), reader.terminator, tuple(reader.commas))
