"""The corpus maker: recordings, CHAT, manifests and statistics in one folder that grows recording by recording."""

from __future__ import annotations

import itertools
import json
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

from asrlsa.acoustics import Samples
from asrlsa.audio import SAMPLE_RATE
from asrlsa.chat.build import build_transcript
from asrlsa.chat.writer import write_chat
from asrlsa.corpora.targets import coded_target
from asrlsa.errors import ConfigError, OutputError
from asrlsa.manifest import MANIFESTS, Row, write_rows
from asrlsa.output import atomic_writer, whole_file, write_atomic
from asrlsa.synthesis.script import NEGATIVES, Plan, plan_recording, plan_to_json
from asrlsa.synthesis.spoken import main_tier
from asrlsa.types import Participant, Utterance

__all__ = ["CorpusSettings", "Progress", "make_corpus"]

SETTINGS_NAME: Final = "settings.json"
MANIFEST_NAME: Final = "manifest.jsonl"
ENGINES: Final = ("auto", "kokoro", "piper")
_VERSION: Final = 2  # of the sentences and rates: another number is another corpus
_EVERY: Final = 20  # recordings after which the manifests are written anew


@dataclass(frozen=True, slots=True)
class CorpusSettings:
    """What a corpus is; two runs into one folder must agree on all of it.

    Attributes:
        language: ISO 639-3 code.
        seed: Of every draw.
        engine: ``kokoro``, ``piper`` or ``auto``: both.
        kokoro: Share of the recordings of train in Kokoro's voices with ``auto``.
    """

    language: str = "eng"
    seed: int = 0
    engine: str = "auto"
    kokoro: float = 0.4

    def __post_init__(self) -> None:
        """Check every value.

        Raises:
            ConfigError: A value is not possible.
        """
        if self.engine not in ENGINES:
            raise ConfigError(f"the engine must be one of {', '.join(ENGINES)}, not {self.engine!r}")
        if not 0 < self.kokoro <= 1:
            raise ConfigError(f"the share of Kokoro must be above 0 and at most 1, not {self.kokoro:g}")

    @property
    def share(self) -> float:
        """Share of Kokoro, 0 to 1."""
        return {"kokoro": 1.0, "piper": 0.0}.get(self.engine, self.kokoro)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the corpus is: s of sound there and wanted, recordings there, s of work left (None: not known yet)."""

    seconds: float
    wanted: float
    recordings: int
    left: float | None


def make_corpus(
    folder: Path,
    minutes: float,
    settings: CorpusSettings,
    studio: Callable[[], Any],
    *,
    jobs: int = 1,
    report: Callable[[Progress], None] = lambda _: None,
) -> Progress:
    """Make a corpus, or make one longer.

    Recordings are made in order; each is there whole or not at all. The manifests and ``stats.json`` are written every
    20 recordings and at the end, so that a corpus may be used while it grows.

    Args:
        folder: Where it is written.
        minutes: Sound wanted, pauses included.
        settings: What it is.
        studio: Makes the voices, an object like `asrlsa.synthesis.voices.Synthesiser`; called once in each process,
            so it can be pickled where ``jobs`` is more than 1.
        jobs: Processes.
        report: Told after each recording.

    Raises:
        ConfigError: The folder holds a corpus of other settings.
        ModelError: The voices are not to be had.
        OutputError: A file can't be written.
    """
    _claim_settings(folder, settings)
    parts = _parts_there(folder)
    wanted, begin = 60 * minutes, time.monotonic()
    there = _seconds(parts)

    def progress() -> Progress:
        now = _seconds(parts)
        left = (wanted - now) * (time.monotonic() - begin) / (now - there) if now > there else None
        return Progress(now, wanted, len(parts), None if left is None else max(0.0, left))

    for number, part in _made(folder, settings, studio, jobs, parts, lambda: _seconds(parts) < wanted):
        parts[number] = part
        if len(parts) % _EVERY == 0:
            _write_tables(folder, settings, parts)
        report(progress())
    _write_tables(folder, settings, parts)
    return progress()


def _claim_settings(folder: Path, settings: CorpusSettings) -> None:
    """Write the settings into a new folder, or check that they are those of the corpus there."""
    path = folder / SETTINGS_NAME
    mine = {"version": _VERSION, **asdict(settings)}
    if path.exists():
        there = json.loads(path.read_text(encoding="utf-8"))
        if there != mine:
            other = ", ".join(f"{key} {there.get(key)!r}" for key in mine if there.get(key) != mine[key])
            raise ConfigError(f"{folder}: holds a corpus made with other settings ({other}); give another folder")
        return
    if folder.exists() and any(folder.iterdir()):
        raise OutputError(f"{folder}: is not empty and holds no corpus; give another folder")
    write_atomic(path, json.dumps(mine, indent=1) + "\n")


def _seconds(parts: Mapping[int, Mapping[str, Any]]) -> float:
    return float(sum(part["duration"] for part in parts.values()))


def _parts_there(folder: Path) -> dict[int, dict[str, Any]]:
    """Return the recordings that are there, by number."""
    parts = {}
    for path in sorted((folder / "parts").glob("*.json")):
        part = json.loads(path.read_text(encoding="utf-8"))
        parts[int(part["number"])] = part
    return dict(sorted(parts.items()))


def _made(
    folder: Path,
    settings: CorpusSettings,
    studio: Callable[[], Any],
    jobs: int,
    there: Mapping[int, Any],
    more: Callable[[], bool],
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield recordings that were missing, in order of their numbers, while more are wanted."""
    numbers = (number for number in itertools.count() if number not in there)
    if jobs <= 1:
        _begin(studio, folder)
        while more():
            number = next(numbers)
            yield number, _recording(folder, settings, number)
        return
    with ProcessPoolExecutor(jobs, get_context("spawn"), _begin, (studio, folder)) as pool:
        yield from _in_order(pool, folder, settings, numbers, jobs, more)


def _in_order(
    pool: Executor,
    folder: Path,
    settings: CorpusSettings,
    numbers: Iterator[int],
    jobs: int,
    more: Callable[[], bool],
) -> Iterator[tuple[int, dict[str, Any]]]:
    waiting: list[tuple[int, Future[dict[str, Any]]]] = []
    while more() or waiting:
        while more() and len(waiting) < 2 * jobs:  # nobody waits for the one before
            number = next(numbers)
            waiting.append((number, pool.submit(_recording, folder, settings, number)))
        if waiting:
            number, future = waiting.pop(0)
            yield number, future.result()


_voices: Any = None  # of this process


def _begin(studio: Callable[[], Any], folder: Path) -> None:
    from asrlsa.synthesis.render import SpeechCache

    global _voices
    _voices = SpeechCache(studio(), folder / "cache")


def _recording(folder: Path, settings: CorpusSettings, number: int) -> dict[str, Any]:
    """Make one recording; its part is written last, so that what is killed before is made again."""
    from asrlsa.synthesis.render import render

    plan = plan_recording(number, language=settings.language, seed=settings.seed, kokoro=settings.share)
    heard = render(plan, settings.language, _voices)
    audio = folder / "audio" / f"{plan.id}.flac"
    write_flac(audio, heard.samples)
    part = {
        "number": number,
        **plan_to_json(plan),
        "duration": round(len(heard.samples) / SAMPLE_RATE, 3),
        "utterances": utterances_of(plan, heard.times, settings.language),
    }
    write_atomic(folder / "gold" / f"{plan.id}.cha", gold_of(plan, heard.times, settings.language))
    write_atomic(folder / "parts" / f"{plan.id}.json", json.dumps(part, ensure_ascii=False) + "\n")
    return part


def utterances_of(plan: Plan, times: Iterable[tuple[int, int]], language: str) -> list[dict[str, Any]]:
    """Return the manifest's rows of one recording; those without speech have an empty text."""
    rows = []
    for turn, (start, end) in zip(plan.turns, times, strict=True):
        speaker = plan.speakers[turn.speaker]
        row: dict[str, Any] = {
            "audio": f"audio/{plan.id}.flac",
            "start": start / 1000,
            "end": end / 1000,
            "speaker": speaker.name,
            "participant": speaker.code,
            "role": speaker.role,
            "group": speaker.group,
            "language": language,
            "split": plan.split,
            "population": speaker.population,
            "engine": speaker.engine,
        }
        if plan.population == "none":
            rows.append(row | {"text": "", "chat": "", "kind": turn.sound or "noise", "events": {}})
            continue
        chat = main_tier(turn.spoken)
        target = coded_target(chat)
        rows.append(
            row
            | {
                "text": target.sentence,
                "fluent": target.fluent_sentence,
                "text_verbatim": target.verbatim,
                "text_cased": target.sentence,
                "chat": chat,
                "kind": turn.spoken.kind,
                "events": turn.spoken.events,
            }
        )
    return rows


def gold_of(plan: Plan, times: Iterable[tuple[int, int]], language: str) -> str:
    """Return the CHAT file of one recording."""
    participants = [
        Participant(speaker.code, speaker.role, group=speaker.group, corpus="synthetic", language=language)
        for speaker in plan.speakers
    ]
    utterances = [
        Utterance(plan.speakers[turn.speaker].code, main_tier(turn.spoken), start, end)
        for turn, (start, end) in zip(plan.turns, times, strict=True)
        if plan.population != "none"
    ]
    transcript = build_transcript(
        utterances,
        participants=participants,
        languages=[language],
        media=plan.id,
        comments=["synthetic speech; asrlsa docs/verbatim-corpus.md"],
        wor=False,
    )
    return write_chat(transcript)


def write_flac(path: Path, samples: Samples) -> None:
    """Write samples as FLAC, 16 bit, 16 kHz, mono, so that the file is there whole or not at all.

    Raises:
        OutputError: It can't be written.
    """
    import av
    import numpy as np

    with whole_file(path) as beside, av.open(str(beside), "w", format="flac") as container:
        track = container.add_stream("flac", rate=SAMPLE_RATE, layout="mono", format="s16")
        whole = np.round(np.clip(samples, -1, 1) * 32767).astype(np.int16).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(whole, format="s16", layout="mono")
        frame.sample_rate = SAMPLE_RATE
        for packet in (*track.encode(frame), *track.encode(None)):
            container.mux(packet)


def _write_tables(folder: Path, settings: CorpusSettings, parts: Mapping[int, Mapping[str, Any]]) -> None:
    """Write the manifests, statistics and licences anew."""
    ordered = [parts[number] for number in sorted(parts)]
    with atomic_writer(folder / MANIFEST_NAME) as file:
        for part in ordered:
            for row in part["utterances"]:
                if row["text"]:
                    file.write(json.dumps(row, ensure_ascii=False) + "\n")
    for split in MANIFESTS:
        write_rows(folder / f"{split}.jsonl", rows_of_parts(folder, (p for p in ordered if p["split"] == split)))
    with atomic_writer(folder / "recordings.jsonl") as file:
        for part in ordered:
            one = {key: value for key, value in part.items() if key != "utterances"}
            file.write(json.dumps(one, ensure_ascii=False) + "\n")
    write_atomic(folder / "stats.json", json.dumps(statistics_of(ordered), indent=1, sort_keys=True) + "\n")
    write_atomic(folder / "LICENCES", _licences(settings))


def rows_of_parts(folder: Path, parts: Iterable[Mapping[str, Any]]) -> Iterator[Row]:
    """Yield the rows of recordings, by their parts, as `asrlsa finetune` reads them."""
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
                group=one["group"],
                language=one["language"],
                fluent=one.get("fluent", ""),
                joins=i > 0,
            )


def statistics_of(parts: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Count what a corpus holds: by split, and the disfluencies per 100 words meant by population."""
    splits: dict[str, Counter[str]] = defaultdict(Counter)
    people: dict[str, Counter[str]] = defaultdict(Counter)
    for part in parts:
        count = splits[part["split"]]
        count["recordings"] += 1
        count["minutes"] += part["duration"] / 60
        count["telephone"] += bool(part["telephone"])
        count["without_speech"] += part["population"] == "none"
        for row in part["utterances"]:
            if not row["text"]:
                continue
            words = len(row["fluent"].split())
            count["utterances"] += 1
            count["words"] += words
            count["disfluent"] += bool(row["events"])
            count["minutes_" + row["engine"]] += (row["end"] - row["start"]) / 60
            count["negatives"] += row["kind"] in NEGATIVES
            for kind, number in row["events"].items():
                count[kind] += number
            if row["kind"] not in NEGATIVES:
                who = people[row["population"]]
                who["words"] += words
                for kind, number in row["events"].items():
                    who[kind] += number
    rates = {
        name: {kind: round(100 * n / max(1, who["words"]), 2) for kind, n in who.items() if kind != "words"}
        for name, who in people.items()
    }
    rounded = {name: {k: round(v, 2) for k, v in count.items()} for name, count in splits.items()}
    return {"splits": rounded, "per_100_words": rates}


def _licences(settings: CorpusSettings) -> str:
    from asrlsa.synthesis.voices import LICENCES

    used = [engine for engine, share in (("kokoro", settings.share), ("piper", 1 - settings.share)) if share > 0]
    lines = ["Sentences: asrlsa, MIT. No text of others.", *(LICENCES[engine] for engine in used)]
    return "\n".join([*lines, "Phonemes: eSpeak NG, used as a program."]) + "\n"
