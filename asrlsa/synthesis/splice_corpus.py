"""A folder of fluent recordings made disfluent: clips are timed, spliced, packed into recordings and written."""

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

from asrlsa.acoustics import Samples, add_noise, telephone
from asrlsa.audio import SAMPLE_RATE, SAMPLES_PER_MS, load, slice_ms
from asrlsa.chat.build import build_transcript
from asrlsa.chat.writer import write_chat
from asrlsa.corpora.targets import coded_target
from asrlsa.errors import ConfigError, ManifestError, OutputError
from asrlsa.language.tables import LanguageTable, language_table
from asrlsa.manifest import Row, checked_rows, write_rows
from asrlsa.output import atomic_writer, write_atomic
from asrlsa.speech.times import WordAligner
from asrlsa.synthesis import corpus
from asrlsa.synthesis.cuts import FLOOR, noise, quietest
from asrlsa.synthesis.languages import load_language
from asrlsa.synthesis.sound import joined
from asrlsa.synthesis.splicing import Clip, Splicer, heard, said, word_spans
from asrlsa.synthesis.spoken import Spoken, main_tier
from asrlsa.types import Participant, Span, Utterance

__all__ = ["SpliceSettings", "make_spliced"]

_VERSION: Final = 4  # of the draws: another number is another result
_LONGEST: Final = 29 * SAMPLE_RATE  # of a recording: a window of Whisper, with room
_ENOUGH: Final = 26 * SAMPLE_RATE
_DEV_COPIES: Final = 2  # where voices vary: as it was, and as an adult
_MARGINS: Final = (200, 300)  # ms of a clip that stay before and after its speech: more teaches nothing
_NOISY: Final = 0.3  # share of the recordings with more noise
_SNR: Final = (6.0, 25.0)  # dB
_TELEPHONE: Final = 0.2  # share of the recordings that are heard through a telephone
_WORDS: Final = re.compile(r"[a-z]+(?:'[a-z]+)?(?: [a-z]+(?:'[a-z]+)?)*")


@dataclass(frozen=True, slots=True)
class SpliceSettings:
    """What the result is.

    Attributes:
        language: ISO 639-3 code.
        seed: Of every draw.
        copies: Times that each clip is used for train.
        varied: Words are said again as people do it; drawn-out vowels, adult voices, noise and telephone; no silence
            before and after the words of a clip.
    """

    language: str = "eng"
    seed: int = 0
    copies: int = 3
    varied: bool = False

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
        clips = list(_clips(people[name], settings, aligner, skipped))
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


def _clips(
    rows: Iterable[Row], settings: SpliceSettings, aligner: WordAligner, skipped: Counter[str]
) -> Iterator[Clip]:
    """Yield the clips of one speaker whose words could be timed; count why the others could not."""
    table = language_table(settings.language)
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
            if settings.varied:  # phones are only for vowels that are drawn out
                phones = tuple(phone for word in aligner.phones(samples, words) or () for phone in word)
                yield Clip(row, words, spans, samples, phones).trimmed(*_MARGINS)
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


def _voice(name: str, number: int, settings: SpliceSettings) -> tuple[float, float]:
    """Return the factors of pitch and tempo in one pass: as it was, as an adult, and somewhere between."""
    if not settings.varied or not number:
        return 1.0, 1.0
    chance = random.Random(f"{settings.seed}/{name}/{number}/voice")
    pitch = chance.uniform(0.68, 0.84) if number % 2 else chance.uniform(0.84, 1.08)
    return pitch, chance.uniform(1.0, 1.4)


def _packed(clips: Sequence[Clip], split: str, settings: SpliceSettings) -> Iterator[list[_Take]]:
    """Yield the clips of every pass, in recordings of 26 to 29 s; the last of a pass may be shorter."""
    name = clips[0].row.speaker if clips else ""
    dev = _DEV_COPIES if settings.varied else 1
    for number in range(settings.copies if split == "train" else dev):
        pitch, tempo = _voice(name, number, settings)
        heard = [clip.voiced(pitch, tempo) for clip in clips]
        takes = [_take(clip, heard, number, settings) for clip in heard]
        yield from _filled(random.Random(f"{settings.seed}/{name}/{number}").sample(takes, len(takes)))


def _filled(waiting: list[_Take]) -> Iterator[list[_Take]]:
    """Fill one recording after the other with the takes that still fit."""
    while waiting:
        chosen: list[_Take] = []
        length = 0
        for take in waiting:
            longer = length + len(take.samples) + (take.pause if chosen else 0)
            if not chosen or (length < _ENOUGH and longer <= _LONGEST):
                chosen.append(take)
                length = longer
        waiting = [take for take in waiting if all(take is not one for one in chosen)]
        yield chosen


def _take(clip: Clip, others: Sequence[Clip], number: int, settings: SpliceSettings) -> _Take:
    """Draw one take of a clip; it depends on the seed, the clip and the number of the pass alone."""
    chance = random.Random(f"{settings.seed}/{clip.row.id}/{number}")
    table, spoken = language_table(settings.language), load_language(settings.language)
    inserts = Splicer(clip, others, table, spoken, chance, settings.varied).inserts()
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
            floor = quietest(found[-1], FLOOR * SAMPLES_PER_MS)
            found.append(noise(floor, take.pause, chance))
            place += len(found[-1]) - 80  # what a crossfade takes
        start = (place - (80 if found else 0)) // SAMPLES_PER_MS
        found.append(take.samples)
        place += len(take.samples) - (80 if len(found) > 1 else 0)
        utterances.append(_row(take, recording, split, start, settings.language))
    samples = joined(found)
    if settings.varied:
        samples = _recorded(samples, chance)
    corpus.write_flac(folder / "audio" / f"{recording}.flac", samples)
    write_atomic(folder / "gold" / f"{recording}.cha", gold_of(utterances, recording, settings.language))
    return {"id": recording, "split": split, "duration": len(samples) / SAMPLE_RATE, "utterances": utterances}


def _recorded(samples: Samples, chance: random.Random) -> Samples:
    """Let some recordings be heard through noise, some through a telephone."""
    if chance.random() < _NOISY:
        samples = add_noise(samples, np.random.default_rng(chance.getrandbits(32)), _SNR)
    if chance.random() < _TELEPHONE:
        peak = float(np.abs(samples).max()) or 1.0
        samples = telephone(samples * np.float32(0.9 / peak)) * np.float32(peak)
    return samples


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
        write_rows(folder / f"{split}.jsonl", _rows(folder, [part for part in parts if part["split"] == split]))
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


def _rows(folder: Path, parts: Sequence[Mapping[str, Any]]) -> Iterator[Row]:
    """Yield the rows as every corpus has them, with the ages."""
    utterances = (one for part in parts for one in part["utterances"])
    for row, one in zip(corpus.rows_of_parts(folder, parts), utterances, strict=True):
        yield replace(row, age=one.get("age", ""))
