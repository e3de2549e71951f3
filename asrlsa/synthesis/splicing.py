"""Real fluent recordings made disfluent: words, phrases and first sounds are cut out, copied and put back in.

Every disfluency is an `Insert` before a word, so its sound and its CHAT come from the same draw. Samples are float32 of
shape (N,), mono, 16 kHz; times of words are ms of their clip.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from asrlsa.acoustics import Samples
from asrlsa.audio import SAMPLE_RATE, SAMPLES_PER_MS, load, slice_ms
from asrlsa.chat.build import build_transcript
from asrlsa.chat.writer import write_chat
from asrlsa.corpora.targets import coded_target
from asrlsa.errors import ConfigError, ManifestError, OutputError
from asrlsa.language.tables import LanguageTable, language_table
from asrlsa.manifest import Row, checked_rows, write_rows
from asrlsa.output import atomic_writer, write_atomic
from asrlsa.speech.times import WordAligner
from asrlsa.synthesis.corpus import write_flac
from asrlsa.synthesis.languages import SpokenLanguage, load_language
from asrlsa.synthesis.sentences import Sentence
from asrlsa.synthesis.sound import joined, level_of, resampled
from asrlsa.synthesis.spoken import Group, Piece, Spoken, main_tier
from asrlsa.types import Participant, Span, Utterance, Word

__all__ = ["Clip", "Insert", "Part", "SpliceSettings", "Splicer", "heard", "make_spliced", "said", "word_spans"]

_VERSION: Final = 1  # of the draws: another number is another result
_DISFLUENT: Final = 0.45  # share of the clips; the others are the hard negatives
_TWICE: Final = 0.2  # share of those with two disfluencies, where there are words enough
_KINDS: Final = {"word": 0.3, "phrase": 0.15, "sound": 0.3, "broken": 0.06, "retracing": 0.06, "pause": 0.13}
_LONGEST: Final = 29 * SAMPLE_RATE  # of a recording: a window of Whisper, with room
_ENOUGH: Final = 26 * SAMPLE_RATE
_SHORTEST_WORD: Final = 60  # ms; what is shorter was most likely not said
_FLOOR: Final = 300  # ms of a clip that its noise is taken from
_REACH: Final = 25  # ms by which a cut may move to a quieter place
_STOPS: Final = frozenset("bdgkptcq")
_WORDS: Final = re.compile(r"[a-z]+(?:'[a-z]+)?(?: [a-z]+(?:'[a-z]+)?)*")
_DIGITS: Final = frozenset(("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "oh"))


@dataclass(frozen=True, slots=True)
class Clip:
    """One fluent utterance.

    Attributes:
        row: Where it comes from; its text is the prompt, in small letters.
        words: As CHAT writes them.
        spans: When each is heard, in ms of the clip.
        samples: Its sound, (N,).
    """

    row: Row
    words: tuple[str, ...]
    spans: tuple[Span, ...]
    samples: Samples


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


def quietest(samples: Samples, size: int) -> Samples:
    """Return the ``size`` samples of least energy, as a view; all samples where there are fewer."""
    if len(samples) <= size:
        return samples
    energy = np.concatenate([[0.0], np.cumsum(np.square(samples, dtype=np.float64))])
    begin = int(np.argmin(energy[size:] - energy[:-size]))
    return samples[begin : begin + size]


def noise(floor: Samples, size: int, chance: random.Random) -> Samples:
    """Return ``size`` samples of a noise floor that goes on.

    Pieces of it of 100 to 200 ms, half of them backwards so that no rhythm is heard, are put together with crossfades
    that keep the level.
    """
    fade = 20 * SAMPLES_PER_MS
    slope = np.sin(np.linspace(0, np.pi / 2, fade, dtype=np.float32))
    out = np.zeros(size + fade, np.float32)
    place = 0
    while place < size:
        length = min(len(floor), chance.randint(100, 200) * SAMPLES_PER_MS)
        begin = chance.randint(0, len(floor) - length)
        piece = floor[begin : begin + length][:: chance.choice((-1, 1))].copy()
        if place and length > 2 * fade:
            piece[:fade] *= slope
            out[place : place + fade] *= slope[::-1][: len(out) - place]
        out[place : place + length] += piece[: len(out) - place]
        place += max(1, length - fade)
    # Not even a clip that was cut with digital silence gets any here.
    hiss = np.random.default_rng(chance.getrandbits(32)).standard_normal(size, dtype=np.float32)
    return np.asarray(out[:size] + 1e-5 * hiss, dtype=np.float32)


def quiet_place(samples: Samples, place: int, reach: int = _REACH) -> int:
    """Return the sample within ``reach`` ms of ``place`` around which 5 ms have the least energy."""
    half = 5 * SAMPLES_PER_MS // 2
    low = max(half, place - reach * SAMPLES_PER_MS)
    high = min(len(samples) - half, place + reach * SAMPLES_PER_MS)
    if high <= low:
        return min(max(place, 0), len(samples))
    energy = np.convolve(np.square(samples[low - half : high + half], dtype=np.float64), np.ones(2 * half), "valid")
    return low + int(np.argmin(energy))


def frame_levels(samples: Samples, ms: int = 10) -> Samples:
    """Return the root mean square of every whole frame of ``ms``: (frames,)."""
    size = ms * SAMPLES_PER_MS
    frames = samples[: len(samples) // size * size].reshape(-1, size)
    return np.asarray(np.sqrt(np.mean(np.square(frames), axis=1)), dtype=np.float32)


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
        self, clip: Clip, others: Sequence[Clip], table: LanguageTable, spoken: SpokenLanguage, chance: random.Random
    ) -> None:
        """Prepare.

        Args:
            clip: What is made disfluent.
            others: Clips of the same speaker, for words that are taken back.
            table: Which words are doubled in fluent speech.
            spoken: Which letters begin a word.
            chance: Where the draws come from.
        """
        self.clip, self.table, self.spoken, self.chance = clip, table, spoken, chance
        self.others = [other for other in others if other.words != clip.words]
        self.free = [True] * len(clip.words)

    def inserts(self) -> list[Insert]:
        """Return no disfluency for most clips, for the others one, sometimes two, in order."""
        if self.chance.random() >= _DISFLUENT:
            return []
        count = 2 if len(self.clip.words) >= 5 and self.chance.random() < _TWICE else 1
        found = [made for _ in range(count) if (made := self.insert(dict(_KINDS))) is not None]
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
        }
        while weights:
            kind = self.chance.choices(list(weights), list(weights.values()))[0]
            places = [i for i, free in enumerate(self.free) if free]
            for i in self.chance.sample(places, len(places)):
                made = makers[kind](i)
                if made is not None:
                    return made
            del weights[kind]
        return None

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
        if len(sound) < 100 * SAMPLES_PER_MS:
            return None
        pieces = tuple(Piece("word", word) for word in words[i : i + length])
        copies = 2 if self.chance.random() < 0.15 else 1
        parts = [Part(self._varied(sound), self._gap(0, 350), pieces, "[/]") for _ in range(copies)]
        return self._made(i, "word" if length == 1 else "phrase", parts, length)

    def _repeats(self, word: str) -> bool:
        doubles = self.table.doubles
        fluent = word in doubles.fluent or word in doubles.emphatic or word in doubles.timed
        return len(word) > 1 and word not in _DIGITS and not fluent

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

    def _gap(self, low: int, high: int) -> int:
        return self.chance.randint(low, high)

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
    floor = quietest(clip.samples, _FLOOR * SAMPLES_PER_MS)
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


@dataclass(frozen=True, slots=True)
class SpliceSettings:
    """What the result is.

    Attributes:
        language: ISO 639-3 code.
        seed: Of every draw.
        copies: Times that each clip is used for train.
    """

    language: str = "eng"
    seed: int = 0
    copies: int = 2

    def __post_init__(self) -> None:
        """Check every value.

        Raises:
            ConfigError: A value is not possible.
        """
        if not 1 <= self.copies <= 50:
            raise ConfigError(f"the copies must be 1 to 50, not {self.copies}")
        if not WordAligner(self.language).available:
            raise ConfigError(f"there is no forced aligner for {self.language!r}; there is one for eng")


def make_spliced(
    data: Path, folder: Path, settings: SpliceSettings, report: Callable[[str], None] = lambda _: None
) -> dict[str, Any] | None:
    """Make disfluent recordings of the fluent ones of a folder.

    Args:
        data: Folder with ``manifest.jsonl``; of its rows only those of the split ``train`` are heard.
        folder: Where ``audio/``, ``gold/``, the manifests and, last of all, ``stats.json`` are written.
        settings: What is made.
        report: Told a line after each speaker.

    Returns:
        The statistics, or None where the folder held the whole result already.

    Raises:
        ConfigError: The folder holds a result of other settings.
        ManifestError: The manifest can't be read, a row has no split, or no clip is of use.
        MediaError: A recording can't be read.
        OutputError: A file can't be written.
    """
    rows = train_rows(data / "manifest.jsonl")
    if _there(folder, {"version": _VERSION, **asdict(settings)}):
        return None
    people: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        people[row.speaker].append(row)
    held_out = dev_speakers(people)
    aligner, skipped = WordAligner(settings.language), Counter[str]()
    parts: list[dict[str, Any]] = []
    fluent: list[Row] = []
    for name in sorted(people):
        clips = list(_clips(people[name], settings.language, aligner, skipped))
        split = "dev" if name in held_out else "train"
        made = [
            _written(folder, name, split, n, one, settings) for n, one in enumerate(_packed(clips, split, settings))
        ]
        parts += made
        if split == "train":
            fluent += [replace(clip.row, text=_fluent(clip), fluent=_fluent(clip)) for clip in clips]
        report(f"{split} speaker {name}: {len(clips)} of {len(people[name])} clips, {len(made)} recordings")
    if not parts:
        raise ManifestError("has no clip of train whose words could be timed", source=str(data / "manifest.jsonl"))
    return _finish(folder, settings, parts, fluent, {"rows": len(rows), "skipped": dict(sorted(skipped.items()))})


def train_rows(manifest: Path) -> list[Row]:
    """Return the rows of the split ``train``, with their prompts in small letters.

    Raises:
        ManifestError: The manifest can't be read, or a row has no split.
    """
    found = []
    rows = list(checked_rows(manifest))
    lines = manifest.read_text(encoding="utf-8-sig").split("\n")
    for number, row in rows:
        if isinstance(row, ManifestError):
            raise row
        values = json.loads(lines[number - 1])
        if not isinstance(values.get("split"), str):
            message = "is missing; every row must say its split, as only train may be used"
            raise ManifestError(message, source=str(manifest), line=number, key="split")
        if values["split"] == "train":
            text = " ".join(str(values.get("text_verbatim") or row.text).lower().split()).rstrip(" .?!")
            found.append(replace(row, text=text))
    if not found:
        raise ManifestError("has no row of the split train", source=str(manifest))
    return found


def dev_speakers(speakers: Iterable[str]) -> frozenset[str]:
    """Return one in eight speakers, those whose names have the smallest hashes; of several at least one."""
    ordered = sorted(set(speakers), key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    return frozenset(ordered[: max(1, len(ordered) // 8)] if len(ordered) > 1 else ())


def _there(folder: Path, mine: Mapping[str, Any]) -> bool:
    """Say whether the whole result is there; claim a new folder with the settings."""
    path = folder / "settings.json"
    if path.exists():
        there = json.loads(path.read_text(encoding="utf-8"))
        if there != mine:
            other = ", ".join(f"{key} {there.get(key)!r}" for key in mine if there.get(key) != mine[key])
            raise ConfigError(f"{folder}: holds a result of other settings ({other}); give another folder")
        return (folder / "stats.json").exists()
    if folder.exists() and any(folder.iterdir()):
        raise OutputError(f"{folder}: is not empty and holds no result of this; give another folder")
    write_atomic(path, json.dumps(mine, indent=1) + "\n")
    return False


def _clips(rows: Iterable[Row], language: str, aligner: WordAligner, skipped: Counter[str]) -> Iterator[Clip]:
    """Yield the clips of one speaker whose words could be timed; count why the others could not."""
    table = language_table(language)
    for row in rows:
        if not _WORDS.fullmatch(row.text):
            skipped["text"] += 1
            continue
        samples = slice_ms(load(row.audio), row.start, row.end)
        words = tuple(_capital(word, table) for word in row.text.split())
        spans = word_spans(samples, words, aligner)
        if isinstance(spans, str):
            skipped[spans] += 1
        elif len(samples) > _LONGEST // 2:
            skipped["length"] += 1
        else:
            yield Clip(row, words, spans, samples)


def _capital(word: str, table: LanguageTable) -> str:
    """Write *I* and names that can be nothing else with a capital."""
    stem = word.split("'")[0].capitalize()
    name = stem in table.names and stem not in table.ambiguous_names
    return word.capitalize() if stem == "I" or name else word


def _fluent(clip: Clip) -> str:
    return coded_target(" ".join([*clip.words, "."])).fluent_sentence


@dataclass(frozen=True, slots=True)
class _Take:
    """A clip as it is heard in one pass, the times of its speech in ms, and the samples of the pause before it."""

    clip: Clip
    spoken: Spoken
    samples: Samples
    speech: Span
    pause: int


def _packed(clips: Sequence[Clip], split: str, settings: SpliceSettings) -> Iterator[list[_Take]]:
    """Yield the clips of every pass, in recordings of 26 to 29 s; the last may be shorter. None has a clip twice."""
    name = clips[0].row.speaker if clips else ""
    waiting: list[_Take] = []
    for number in range(settings.copies if split == "train" else 1):
        takes = [_take(clip, clips, number, settings) for clip in clips]
        waiting += random.Random(f"{settings.seed}/{name}/{number}").sample(takes, len(takes))
    while waiting:
        chosen: list[_Take] = []
        length = 0
        for take in waiting:
            longer = length + len(take.samples) + (take.pause if chosen else 0)
            new = all(take.clip is not one.clip for one in chosen)
            if not chosen or (new and length < _ENOUGH and longer <= _LONGEST):
                chosen.append(take)
                length = longer
        waiting = [take for take in waiting if all(take is not one for one in chosen)]
        yield chosen


def _take(clip: Clip, others: Sequence[Clip], number: int, settings: SpliceSettings) -> _Take:
    """Draw one take of a clip; it depends on the seed, the clip and the number of the pass alone."""
    chance = random.Random(f"{settings.seed}/{clip.row.id}/{number}")
    table, spoken = language_table(settings.language), load_language(settings.language)
    inserts = Splicer(clip, others, table, spoken, chance).inserts()
    prompt = " ".join(clip.words)
    if coded_target(main_tier(said(clip, inserts))).fluent != prompt:
        inserts = []  # asrlsa itself would read something else than was meant
    samples = heard(clip, inserts, chance)
    length = len(samples) // SAMPLES_PER_MS
    first = clip.spans[0].start - 50
    last = clip.spans[-1].end + 100 - len(clip.samples) // SAMPLES_PER_MS
    speech = Span(max(0, first), min(length, length + last))
    return _Take(clip, said(clip, inserts), samples, speech, int(chance.uniform(0.2, 1.2) * SAMPLE_RATE))


def _written(
    folder: Path, name: str, split: str, number: int, takes: Sequence[_Take], settings: SpliceSettings
) -> dict[str, Any]:
    """Write the sound and the CHAT of one recording; return it with its utterances."""
    label = re.sub(r"[^A-Za-z0-9]+", "-", name) or "x"
    recording = f"{label}-{number:03d}"
    chance = random.Random(f"{settings.seed}/{name}/{number}/pauses")
    found: list[Samples] = []
    utterances = []
    place = 0
    for take in takes:
        if found:
            floor = quietest(found[-1], _FLOOR * SAMPLES_PER_MS)
            found.append(noise(floor, take.pause, chance))
            place += len(found[-1]) - 80  # what a crossfade takes
        start = (place - (80 if found else 0)) // SAMPLES_PER_MS
        found.append(take.samples)
        place += len(take.samples) - (80 if len(found) > 1 else 0)
        utterances.append(_row(take, recording, split, start, settings.language))
    samples = joined(found)
    write_flac(folder / "audio" / f"{recording}.flac", samples)
    write_atomic(folder / "gold" / f"{recording}.cha", gold_of(utterances, recording, settings.language))
    return {"id": recording, "split": split, "duration": len(samples) / SAMPLE_RATE, "utterances": utterances}


def _row(take: _Take, recording: str, split: str, start: int, language: str) -> dict[str, Any]:
    """Return the row of the manifest of one take that begins at ``start`` ms of its recording."""
    row, chat = take.clip.row, main_tier(take.spoken)
    target = coded_target(chat)
    years = row.age.split(";")[0]
    child = years.isdigit() and int(years) < 18
    values = {
        "audio": f"audio/{recording}.flac",
        "start": (start + take.speech.start) / 1000,
        "end": (start + take.speech.end) / 1000,
        "speaker": row.speaker,
        "participant": "CHI" if child else "PAR",
        "role": row.role or ("Target_Child" if child else "Participant"),
        "group": row.group,
        "language": language,
        "split": split,
        "population": "read",
        "engine": "spliced",
        "text": target.sentence,
        "fluent": target.fluent_sentence,
        "text_verbatim": target.verbatim,
        "text_cased": target.sentence,
        "chat": chat,
        "kind": take.spoken.kind,
        "events": take.spoken.events,
        "source": row.audio.name,
    }
    return values | ({"age": row.age} if row.age else {})


def gold_of(utterances: Sequence[Mapping[str, Any]], recording: str, language: str) -> str:
    """Return the CHAT file of one recording from its rows of the manifest."""
    first = utterances[0]
    who = Participant(first["participant"], first["role"], group=first["group"], corpus="spliced", language=language)
    transcript = build_transcript(
        [Utterance(who.code, u["chat"], round(1000 * u["start"]), round(1000 * u["end"])) for u in utterances],
        participants=[who],
        languages=[language],
        media=recording,
        comments=["read speech with disfluencies put in"],
        wor=False,
    )
    return write_chat(transcript)


def _finish(
    folder: Path, settings: SpliceSettings, parts: Sequence[Mapping[str, Any]], fluent: Sequence[Row], clips: Any
) -> dict[str, Any]:
    """Write the manifests and, last, the statistics, which say that all is there."""
    with atomic_writer(folder / "manifest.jsonl") as file:
        for part in parts:
            for row in part["utterances"]:
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
    for split in ("train", "dev"):
        write_rows(folder / f"{split}.jsonl", _rows(folder, (part for part in parts if part["split"] == split)))
    write_rows(folder / "fluent.jsonl", fluent)
    splits: dict[str, Counter[str]] = {"train": Counter(), "dev": Counter()}
    for part in parts:
        count, rows = splits[part["split"]], part["utterances"]
        count.update(recordings=1, utterances=len(rows), disfluent=sum(bool(row["events"]) for row in rows))
        count["words"] += sum(len(row["fluent"].split()) for row in rows)
        for row in rows:
            count.update(row["events"])
    found = {
        "settings": asdict(settings),
        "clips": {**clips, "used": clips["rows"] - sum(clips["skipped"].values()), "fluent": len(fluent)},
        "splits": splits,
        "minutes": {
            split: round(sum(part["duration"] for part in parts if part["split"] == split) / 60, 2) for split in splits
        },
        "speakers": {
            split: len({row["speaker"] for part in parts if part["split"] == split for row in part["utterances"]})
            for split in splits
        },
    }
    write_atomic(folder / "stats.json", json.dumps(found, indent=1) + "\n")
    return found


def _rows(folder: Path, parts: Iterable[Mapping[str, Any]]) -> Iterator[Row]:
    for part in parts:
        for i, one in enumerate(part["utterances"]):
            yield Row(
                id=f"{part['id']}-{i:02d}",
                audio=(folder / one["audio"]).absolute(),
                start=round(one["start"] * 1000),
                end=round(one["end"] * 1000),
                text=one["text"],
                speaker=one["speaker"],
                role=one["role"],
                age=one.get("age", ""),
                group=one["group"],
                language=one["language"],
                fluent=one["fluent"],
                joins=i > 0,
            )
