"""Real fluent recordings made disfluent: words, phrases and first sounds are cut out, copied and put back in.

Every disfluency is an `Insert` before a word, so its sound and its CHAT come from the same draw. Samples are float32 of
shape (N,), mono, 16 kHz; times of words are ms of their clip.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from asrlsa.acoustics import Samples
from asrlsa.audio import SAMPLES_PER_MS
from asrlsa.language.tables import LanguageTable
from asrlsa.manifest import Row
from asrlsa.speech.times import Phone, WordAligner
from asrlsa.synthesis.cuts import FLOOR, frame_levels, noise, quiet_place, quietest
from asrlsa.synthesis.held_sounds import VOWELS, held, steady
from asrlsa.synthesis.languages import SpokenLanguage
from asrlsa.synthesis.sentences import Sentence
from asrlsa.synthesis.sound import joined, level_of, resampled, stretched
from asrlsa.synthesis.spoken import Group, Piece, Spoken
from asrlsa.types import Span, Word

__all__ = ["Clip", "Insert", "Part", "Splicer", "heard", "said", "word_spans"]

_DISFLUENT: Final = 0.45  # share of the clips; the others are the hard negatives
_TWICE: Final = 0.2  # share of those with two disfluencies, where there are words enough
KINDS: Final = {"word": 0.3, "phrase": 0.15, "sound": 0.3, "broken": 0.06, "retracing": 0.06, "pause": 0.13}
VARIED_KINDS: Final = {
    "word": 0.36,
    "phrase": 0.16,
    "sound": 0.2,
    "broken": 0.04,
    "retracing": 0.06,
    "pause": 0.08,
    "held": 0.1,
}
_OPENING: Final = 0.6  # share of repetitions that begin with a function word where there is one (Clark & Wasow 1998)
_ONE_BREATH: Final = 0.5  # share of repetitions without a silence
_SINGLE: Final = frozenset(("i", "a"))  # words of one letter; any other is a letter that is spelled
_SHORTEST_WORD: Final = 60  # ms; what is shorter was most likely not said
_STOPS: Final = frozenset("bdgkptcq")
_DIGITS: Final = frozenset(("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "oh"))


@dataclass(frozen=True, slots=True)
class Clip:
    """One fluent utterance.

    Attributes:
        row: Where it comes from; its text is the prompt, in small letters.
        words: As CHAT writes them.
        spans: When each is heard, in ms of the clip.
        samples: Its sound, (N,).
        phones: The sounds of its words, in ms of the clip; empty where they are not known.
    """

    row: Row
    words: tuple[str, ...]
    spans: tuple[Span, ...]
    samples: Samples
    phones: tuple[Phone, ...] = ()

    def trimmed(self, before: int, after: int) -> Clip:
        """Return the clip with at most so many ms before its first and after its last word."""
        begin = max(0, self.spans[0].start - before)
        end = self.spans[-1].end + after

        def moved(span: Span) -> Span:
            return Span(span.start - begin, span.end - begin)

        phones = tuple(Phone(phone.name, moved(phone.span)) for phone in self.phones if phone.span.start >= begin)
        samples = self.samples[begin * SAMPLES_PER_MS : end * SAMPLES_PER_MS]
        return Clip(self.row, self.words, tuple(map(moved, self.spans)), samples, phones)

    def voiced(self, pitch: float, tempo: float) -> Clip:
        """Return the clip in another voice.

        Args:
            pitch: Factor of pitch and formants: 0.75 makes a child sound like an adult.
            tempo: Factor of speed.
        """
        if pitch == tempo == 1:
            return self
        samples = stretched(resampled(self.samples, pitch), pitch / tempo)
        end = len(samples) // SAMPLES_PER_MS

        def scaled(span: Span) -> Span:
            return Span(min(end, round(span.start / tempo)), min(end, round(span.end / tempo)))

        spans = tuple(map(scaled, self.spans))
        phones = tuple(Phone(phone.name, scaled(phone.span)) for phone in self.phones)
        return Clip(self.row, self.words, spans, samples, phones)


@dataclass(frozen=True, slots=True)
class Part:
    """Something put in.

    Attributes:
        samples: Its sound, (N,); empty for a pause.
        gap: Noise after it in ms.
        pieces: What it is in CHAT.
        code: ``[/]``, ``[//]`` or empty.
    """

    samples: Samples
    gap: int
    pieces: tuple[Piece, ...] = ()
    code: str = ""


@dataclass(frozen=True, slots=True)
class Insert:
    """A disfluency of one kind, heard before word ``before``, at the sample ``at`` of the clip."""

    before: int
    at: int
    kind: str
    parts: tuple[Part, ...]


def word_spans(samples: Samples, words: Sequence[str], aligner: WordAligner) -> tuple[Span, ...] | str:
    """Return when each word is heard, in ms, or in one word why that can't be said.

    The words go to the aligner without times: one that could not be aligned then comes back without a time, rather
    than with the rough one it had. Words spread over the loud part of the clip show which were aligned wrongly.
    """
    levels = frame_levels(samples)
    if not len(levels):
        return "alignment"
    quiet, peak = float(np.percentile(levels, 10)), float(levels.max())
    if not peak > 4 * quiet:
        return "noise"
    loud = np.flatnonzero(levels > quiet + 0.1 * (peak - quiet))
    begin, end = int(loud[0]) * 10, int(loud[-1]) * 10 + 10
    timed = aligner.refine(samples, [Word(word) for word in words], 0)
    spans = [Span(word.start, word.end) for word in timed if word.start is not None and word.end is not None]
    if len(spans) < len(words) or any(spans[i - 1].end > spans[i].start for i in range(1, len(spans))):
        return "alignment"
    spans = [_tight(span, levels, max(2.5 * quiet, 0.02 * peak)) for span in spans]
    if any(span.duration < _SHORTEST_WORD for span in spans):
        return "short_word"
    weights = np.cumsum([0, *(len(word) + 1 for word in words)])
    middles = begin + (end - begin) * (weights[1:] + weights[:-1]) / (2 * weights[-1])
    far = any(abs((s.start + s.end) / 2 - m) > 1000 for s, m in zip(spans, middles, strict=True))
    return "place" if far or spans[0].start < begin - 300 or spans[-1].end > end + 300 else tuple(spans)


def _tight(span: Span, levels: Samples, quiet: float) -> Span:
    """Take the silence that the aligner counted to a word off both ends, but for 30 ms."""
    loud = np.flatnonzero(levels[span.start // 10 : span.end // 10] > quiet)
    if not len(loud):
        return Span(span.start, span.start)
    start = span.start + max(0, int(loud[0]) * 10 - 30)
    return Span(start, min(span.end, span.start + int(loud[-1]) * 10 + 40))


class Splicer:
    """Draws the disfluencies of one clip."""

    def __init__(
        self,
        clip: Clip,
        others: Sequence[Clip],
        table: LanguageTable,
        spoken: SpokenLanguage,
        chance: random.Random,
        varied: bool = False,
    ) -> None:
        """Prepare.

        Args:
            clip: What is made disfluent.
            others: Clips of the same speaker, for words that are taken back.
            table: Which words are doubled in fluent speech.
            spoken: Which letters begin a word.
            chance: Where the draws come from.
            varied: Words are said again as people do it, and vowels are drawn out.
        """
        self.clip, self.table, self.spoken, self.chance, self.varied = clip, table, spoken, chance, varied
        self.others = [other for other in others if other.words != clip.words]
        self.free = [True] * len(clip.words)

    def inserts(self) -> list[Insert]:
        """Return no disfluency for most clips, for the others one, sometimes two, in order."""
        if self.chance.random() >= _DISFLUENT:
            return []
        count = 2 if len(self.clip.words) >= 5 and self.chance.random() < _TWICE else 1
        kinds = VARIED_KINDS if self.varied else KINDS
        found = [made for _ in range(count) if (made := self.insert(dict(kinds))) is not None]
        return sorted(found, key=lambda one: one.before)

    def insert(self, weights: dict[str, float]) -> Insert | None:
        """Return a disfluency of a kind drawn by weight from those that are possible, or None."""
        makers: Mapping[str, Callable[[int], Insert | None]] = {
            "word": lambda i: self._repeated(i, 1),
            "phrase": lambda i: self._repeated(i, 2 if self.chance.random() < 0.65 else 3),
            "sound": self._sound,
            "broken": self._broken,
            "retracing": self._retracing,
            "pause": self._pause,
            "held": self._held,
        }
        while weights:
            kind = self.chance.choices(list(weights), list(weights.values()))[0]
            for i in self._places(kind):
                made = makers[kind](i)
                if made is not None:
                    return made
            del weights[kind]
        return None

    def _places(self, kind: str) -> list[int]:
        """Return the words before which there is room, in the order in which they are tried."""
        places = [i for i, free in enumerate(self.free) if free]
        drawn = self.chance.sample(places, len(places))
        if self.varied and kind in ("word", "phrase") and self.chance.random() < _OPENING:
            drawn.sort(key=lambda i: self.clip.words[i].lower() not in self.table.closed)
        return drawn

    def _made(self, i: int, kind: str, parts: Iterable[Part], length: int = 1) -> Insert:
        """Return the insert; the words that it stands between can't have another one."""
        self.free[max(0, i - 1) : i + length + 1] = [False] * (min(i + length + 1, len(self.free)) - max(0, i - 1))
        return Insert(i, _begin(self.clip, i), kind, tuple(parts))

    def _repeated(self, i: int, length: int) -> Insert | None:
        words = self.clip.words
        unit = tuple(word.lower() for word in words[i : i + length])
        whole = length > 1 and length == len(words)
        if len(unit) < length or whole or not all(self.free[i : i + length]) or not all(map(self._repeats, unit)):
            return None
        around = {word.lower() for word in (*words[max(0, i - 1) : i], *words[i + length : i + length + 1])}
        if around & set(unit) or unit in self.table.doubles.phrases:
            return None  # said twice in the prompt already, or fluent when said twice
        sound = self.clip.samples[_begin(self.clip, i) : _end(self.clip, i + length - 1)]
        if len(sound) < _SHORTEST_WORD * SAMPLES_PER_MS:
            return None
        pieces = tuple(Piece("word", word) for word in words[i : i + length])
        copies = 2 if self.chance.random() < 0.15 else 1
        parts = [Part(*self._again(sound), pieces, "[/]") for _ in range(copies)]
        return self._made(i, "word" if length == 1 else "phrase", parts, length)

    def _repeats(self, word: str) -> bool:
        doubles = self.table.doubles
        fluent = word in doubles.fluent or word in doubles.emphatic or word in doubles.timed
        single = len(word) == 1 and not (self.varied and word in _SINGLE)
        return not single and word not in _DIGITS and not fluent

    def _sound(self, i: int) -> Insert | None:
        found = self._fragment(self.clip, i)
        if found is None:
            return None
        sound, letters = found
        piece = Piece("fragment", letters, target=self.clip.words[i])
        copies = self.chance.choices((1, 2, 3), (0.55, 0.3, 0.15))[0]
        parts = [Part(self._varied(sound), self._gap(30, 300), (piece,)) for _ in range(copies)]
        return self._made(i, "sound", parts)

    def _fragment(self, clip: Clip, i: int) -> tuple[Samples, str] | None:
        """Return the beginning of a word and its letters; None where the word can't be broken."""
        low = clip.words[i].lower()
        vowels = self.spoken.vowels
        if len(low) < 3 or not low.isalpha() or low[0] in vowels or low[0] in self.spoken.silent:
            return None
        letters = next((onset for onset in self.spoken.onsets if low.startswith(onset)), low[0])
        longer = low[: len(letters) + 1]
        ms = self.chance.uniform(70, 150) if letters in _STOPS else self.chance.uniform(100, 190)
        vowel = longer[-1] in vowels and longer not in self.spoken.function_words
        if len(low) >= 5 and vowel and self.chance.random() < 1 / 3:
            letters, ms = longer, self.chance.uniform(170, 260)
        word = clip.samples[_begin(clip, i) : _end(clip, i)]
        levels = frame_levels(word, 5)
        if not len(levels):
            return None
        # Counted from where something is heard, or the closure of a stop would be all there is.
        silent = min(16, int(np.argmax(levels > 0.1 * levels.max()))) * 5
        size = int((silent + ms) * SAMPLES_PER_MS)
        if size > len(word) - 50 * SAMPLES_PER_MS:
            return None
        sound = word[:size].copy()
        sound[-80:] *= np.linspace(1, 0, 80, dtype=np.float32)
        return sound, letters

    def _other(self, i: int) -> tuple[Clip, int] | None:
        """Return a content word of another clip that begins with another letter than word ``i`` does."""
        mine = self.clip.words[i].lower()
        if not self._content(mine) or not self.others:
            return None
        for _ in range(8):
            other = self.chance.choice(self.others)
            j = self.chance.randrange(len(other.words))
            theirs = other.words[j].lower()
            if self._content(theirs) and theirs[0] != mine[0]:
                return other, j
        return None

    def _content(self, word: str) -> bool:
        return len(word) >= 3 and self._repeats(word) and word not in self.table.closed

    def _broken(self, i: int) -> Insert | None:
        other = self._other(i)
        found = None if other is None else self._fragment(*other)
        if other is None or found is None:
            return None
        sound, letters = found
        piece = Piece("fragment", letters, target=other[0].words[other[1]])
        return self._made(i, "broken", [Part(self._as_loud(sound, *other), self._gap(30, 350), (piece,))])

    def _retracing(self, i: int) -> Insert | None:
        other = self._other(i)
        if other is None:
            return None
        clip, j = other
        sound = clip.samples[_begin(clip, j) : _end(clip, j)]
        part = Part(self._as_loud(sound, clip, j), self._gap(30, 350), (Piece("word", clip.words[j]),), "[//]")
        return self._made(i, "retracing", [part])

    def _pause(self, i: int) -> Insert | None:
        if not i:
            return None
        return self._made(i, "pause", [Part(self.clip.samples[:0], self._gap(350, 1500))])

    def _held(self, i: int) -> Insert | None:
        """Draw out the vowel that the word before ends in; nothing is said but that word."""
        if not i:
            return None
        span = self.clip.spans[i - 1]
        inside = [p for p in self.clip.phones if span.start - 60 <= p.span.start and p.span.end <= span.end + 60]
        last = inside[-1] if inside else None
        sound = steady(self.clip.samples, last) if last is not None and last.name in VOWELS else None
        if last is None or sound is None:
            return None
        longer = held(sound, self.chance.uniform(0.12, 0.4))
        made = self._made(i, "held", [Part(longer, 0)])
        return replace(made, at=(last.span.end - 15) * SAMPLES_PER_MS)

    def _gap(self, low: int, high: int) -> int:
        return self.chance.randint(low, high)

    def _again(self, sound: Samples) -> tuple[Samples, int]:
        """Return a word or phrase as another try at it, and the ms after it."""
        if not self.varied:
            return self._varied(sound), self._gap(0, 350)
        faster = stretched(self._varied(sound), self.chance.uniform(0.7, 1.1))
        return faster, self._gap(0, 50) if self.chance.random() < _ONE_BREATH else self._gap(50, 500)

    def _varied(self, sound: Samples) -> Samples:
        """Change level and speed a little, as two tries at one word differ."""
        gain = 10 ** (self.chance.uniform(-2, 2) / 20)
        changed = resampled(sound, self.chance.uniform(0.95, 1.06))
        return np.asarray(changed * min(gain, 0.99 / max(1e-6, float(np.abs(changed).max()))), dtype=np.float32)

    def _as_loud(self, sound: Samples, clip: Clip, j: int) -> Samples:
        """Bring a sound out of word ``j`` of another clip to the level of this one."""
        theirs = level_of(clip.samples[_begin(clip, j) : _end(clip, j)])
        gain = min(2.0, max(0.5, level_of(self.clip.samples) / max(1e-6, theirs)))
        return self._varied(np.asarray(sound * gain, dtype=np.float32))


def _begin(clip: Clip, i: int) -> int:
    return quiet_place(clip.samples, clip.spans[i].start * SAMPLES_PER_MS)


def _end(clip: Clip, i: int) -> int:
    return quiet_place(clip.samples, clip.spans[i].end * SAMPLES_PER_MS)


def heard(clip: Clip, inserts: Sequence[Insert], chance: random.Random) -> Samples:
    """Return the sound of a clip with what was put in, in order.

    Its length is that of the clip, the parts and the gaps, less 5 ms for every join.
    """
    floor = quietest(clip.samples, FLOOR * SAMPLES_PER_MS)
    found: list[Samples] = []
    last = 0
    for insert in inserts:
        found.append(clip.samples[last : insert.at])
        for part in insert.parts:
            found += [part.samples, noise(floor, part.gap * SAMPLES_PER_MS, chance)]
        last = insert.at
    found.append(clip.samples[last:])
    return joined([one for one in found if len(one)])


def said(clip: Clip, inserts: Sequence[Insert]) -> Spoken:
    """Return what is said in a clip with what was put in; pauses of the clip itself count too."""
    before = {insert.before: insert for insert in inserts}
    pieces: list[Piece] = []
    groups: list[Group] = []
    for i, word in enumerate(clip.words):
        if i in before and before[i].kind == "held":
            pieces[-1] = replace(pieces[-1], effect="drawn")
        for part in before[i].parts if i in before else ():
            if part.code:
                groups.append(Group(len(pieces), len(pieces) + len(part.pieces), part.code))
            pieces += part.pieces
            pieces[-1] = replace(pieces[-1], pause=pieces[-1].pause + part.gap)
        after = clip.spans[i + 1].start - clip.spans[i].end if i + 1 < len(clip.words) else 0
        pieces.append(Piece("word", word, pause=after))
    sentence = Sentence(clip.words, frozenset(), ".", (), "", "read")
    events = Counter(insert.kind for insert in inserts)
    kind = "read" if inserts else "fluent"
    return Spoken(tuple(pieces), tuple(groups), ".", kind, dict(sorted(events.items())), sentence)
