"""What a quantised model costs: both forms transcribe the same recordings, each in a process of its own."""

from __future__ import annotations

import shutil
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from glob import escape
from pathlib import Path
from typing import Any, Protocol

from asrlsa.benching.data import BenchData, read_data
from asrlsa.compute_types import runs_as, supported, usual_device
from asrlsa.engines import lacking
from asrlsa.errors import ModelError, UsageError
from asrlsa.evaluate import evaluate
from asrlsa.model_card import read_card
from asrlsa.scoring.gate import Check, run_gate
from asrlsa.scoring.metrics import METRICS, Sums, add_up, figures
from asrlsa.scoring.scores import FileScores
from asrlsa.scoring.statistics import compare
from asrlsa.trials import Trial, TrialResult, run_trial, transcript_names


class Told(Protocol):
    """Hears what a run does."""

    def stage(self, text: str) -> None:
        """What is being done from now on."""

    def progress(self, seconds: float) -> None:
        """So many seconds of audio have been transcribed in this stage."""


class Silent:
    """Says nothing."""

    def stage(self, text: str) -> None:
        """Do nothing."""

    def progress(self, seconds: float) -> None:
        """Do nothing."""


@dataclass(frozen=True, slots=True)
class Verification:
    """How to measure.

    Attributes:
        data: Folders or manifests of recordings with references; scored together.
        where: Keep only the lines of a manifest whose fields have these values.
        increases: Score -> points that it may rise.
        decreases: Score -> points that it may fall.
        device: ``auto``, ``cpu`` or ``cuda``.
        threads: CPU cores; 0 takes all.
        beam_size: Width of the search; None takes the model card's, else 1.
        language: Language spoken, or ``auto``.
        runs: How often each form is run; times and memory are medians.
        only_model: Time encoder and decoder alone; see `asrlsa.trials.Trial`.
        before: Program that runs the float32 form: ``asrlsa``, which runs the other one too, or one of
            `asrlsa.engines.ENGINES`, such as ``transformers`` for a model that was used with it so far.
        transcripts: Folder to keep the transcripts in, ``before`` and ``after``; None keeps none.
    """

    data: tuple[Path, ...]
    where: Mapping[str, str] = field(default_factory=dict)
    increases: Mapping[str, float] = field(default_factory=dict)
    decreases: Mapping[str, float] = field(default_factory=dict)
    device: str = "auto"
    threads: int = 0
    beam_size: int | None = None
    language: str = "auto"
    runs: int = 1
    only_model: bool = False
    before: str = "asrlsa"
    transcripts: Path | None = None

    def prepare(self) -> list[BenchData]:
        """Find the recordings, so that what is wrong with them shows before anything is done.

        Raises:
            UsageError: There is none, or one is missing, or there is no such program.
            ModelError: The program to compare with is not installed.
            SourceError: A manifest can't be read.
        """
        if self.before != "asrlsa":
            if self.only_model:
                raise UsageError("encoder and decoder can be timed alone in asrlsa only: leave out --before")
            if reason := lacking(self.before):
                raise ModelError(reason)
        if not self.data or self.runs < 1:
            raise UsageError("give at least one folder or manifest to verify with, and one run or more")
        found = [read_data(path, self.where) for path in self.data]
        transcript_names([recording for data in found for recording in data.recordings])
        return found


@dataclass(frozen=True, slots=True)
class Measured:
    """One form of the model, measured.

    Attributes:
        engine: Program that ran it.
        compute_type: What it ran as.
        speed: Seconds of audio for a second of work (× real time), without loading.
        seconds: Seconds of that work.
        cpu_seconds: Seconds that all cores together worked in it.
        load_seconds: Seconds to load it.
        first_seconds: Seconds to the first words.
        peak_memory: Bytes.
        disk: Bytes.
        scores: Figures by name, in percent.
    """

    engine: str
    compute_type: str
    speed: float
    seconds: float
    cpu_seconds: float
    load_seconds: float
    first_seconds: float
    peak_memory: int
    disk: int
    scores: Mapping[str, float | None]


@dataclass(frozen=True, slots=True)
class Verified:
    """What the check found.

    Attributes:
        before: The model in float32.
        after: The quantised model.
        recordings: Number of recordings.
        audio_seconds: Their length.
        words: Words of the references.
        disfluencies: Disfluencies of the references.
        intervals: Score -> 95 % interval of after minus before, by recording; None with fewer than two.
        checks: The limits.
        only_model: Whether encoder and decoder alone were timed.
        runs: Runs of each form.
    """

    before: Measured
    after: Measured
    recordings: int
    audio_seconds: float
    words: int
    disfluencies: int
    intervals: Mapping[str, tuple[float, float] | None]
    checks: tuple[Check, ...]
    only_model: bool
    runs: int

    @property
    def regressed(self) -> bool:
        """Whether a limit was passed."""
        return any(check.regressed for check in self.checks)


def verify(settings: Verification, float32: Path, quantised: Path, kind: str, told: Told) -> Verified:
    """Measure a model in float32 and quantised.

    Args:
        settings: How to measure.
        float32: Folder of the model in float32.
        quantised: Folder of the quantised model.
        kind: Type of its weights.
        told: Hears about progress.

    Raises:
        UsageError: A recording or reference can't be used.
        ModelError: A form can't be loaded.
        MediaError: A recording can't be transcribed.
    """
    data = settings.prepare()
    recordings = [recording for one in data for recording in one.recordings]
    device = usual_device() if settings.device == "auto" else settings.device
    types = {"before": "float32", "after": runs_as(kind, supported(device))}
    engines = {"before": settings.before, "after": "asrlsa"}
    folders = {"before": float32, "after": quantised}
    results: dict[str, list[TrialResult]] = {"before": [], "after": []}
    with tempfile.TemporaryDirectory(prefix="asrlsa-verify-") as held:
        home = settings.transcripts or Path(held)
        for number in range(1, settings.runs + 1):
            for side, folder in folders.items():
                again = f", run {number} of {settings.runs}" if settings.runs > 1 else ""
                by = f" by {engines[side]}" if engines[side] != "asrlsa" else ""
                told.stage(f"transcribing {len(recordings)} recordings as {types[side]}{by}{again}")
                trial = _trial(settings, folder, types[side], engines[side])
                results[side].append(
                    run_trial(trial, recordings, home / side, on_progress=lambda done: told.progress(done / 1000))
                )
        told.stage("scoring")
        files = {side: _score(data, recordings, home / side, Path(held) / "sets" / side) for side in folders}
    sums = {side: [file.sums for file in found] for side, found in files.items()}
    scores = {side: figures(add_up(found)) for side, found in sums.items()}
    names = [file.name for file in files["before"]]
    baseline = {"scores": scores["before"], "files": dict.fromkeys(names)}
    now = [file.name for file in files["after"]]
    compared = compare(sums["after"], sums["before"], ["wer", "fluent_wer", "cer", "disfluency_f1"])
    whole = add_up(sums["before"])
    return Verified(
        before=_measured(results["before"], scores["before"]),
        after=_measured(results["after"], scores["after"]),
        recordings=len(recordings),
        audio_seconds=results["before"][0].audio_seconds,
        words=_below(whole, "wer"),
        disfluencies=_below(whole, "disfluency_recall"),
        intervals={
            one.name: (one.low, one.high) if one.low is not None and one.high is not None else None for one in compared
        },
        checks=tuple(run_gate(baseline, scores["after"], now, settings.increases, settings.decreases)),
        only_model=settings.only_model,
        runs=settings.runs,
    )


def _trial(settings: Verification, folder: Path, kind: str, engine: str) -> Trial:
    card = read_card(folder)
    width: Any = card.decoding.get("beam_size", 1) if card is not None else 1
    return Trial(
        model=str(folder),
        compute_type=kind,
        device=settings.device,
        beam_size=settings.beam_size or int(width),
        threads=settings.threads,
        engine=engine,
        only_model=settings.only_model,
        language=settings.language,
    )


def _score(data: Sequence[BenchData], recordings: Sequence[Path], home: Path, sets: Path) -> list[FileScores]:
    """Score the transcripts of every set against its own references."""
    names = dict(zip(recordings, transcript_names(recordings), strict=True))
    found: list[FileScores] = []
    for number, one in enumerate(data):
        for recording, own in zip(one.recordings, transcript_names(one.recordings), strict=True):
            transcript = next(home.glob(f"{escape(names[recording])}.*"))
            copy = sets / str(number) / f"{own}{transcript.suffix}"
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(transcript, copy)
        scored = evaluate(sets / str(number), one.reference, where=one.where or None, resamples=0)
        if scored.failures:
            raise UsageError(f"{scored.failures[0][0]}: {scored.failures[0][1]}")
        found += scored.files
    return found


def _below(sums: Sums, name: str) -> int:
    return round(sum(sums.get(key, 0) for key in METRICS[name].under))


def _measured(results: Sequence[TrialResult], scores: Mapping[str, float | None]) -> Measured:
    seconds = statistics.median(r.seconds for r in results)
    return Measured(
        engine=results[0].trial.engine,
        compute_type=results[0].trial.compute_type,
        speed=results[0].audio_seconds / seconds,
        seconds=seconds,
        cpu_seconds=statistics.median(r.cpu_seconds for r in results),
        load_seconds=statistics.median(r.load_seconds for r in results),
        first_seconds=statistics.median(r.first_seconds for r in results),
        peak_memory=round(statistics.median(r.peak_memory for r in results)),
        disk=results[0].disk,
        scores=scores,
    )
