"""The bench verb: models and settings compared on the user's own recordings and machine."""

from __future__ import annotations

import datetime
import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from importlib import metadata
from pathlib import Path
from typing import Any

from asrlsa.benching.choice import WITHIN, choose
from asrlsa.benching.data import BenchData, read_data
from asrlsa.benching.matrix import Matrix, configurations
from asrlsa.benching.results import Configuration, Report, Store, measures
from asrlsa.compute_types import usual_device
from asrlsa.engines import ENGINES
from asrlsa.errors import AsrlsaError, UsageError
from asrlsa.evaluate import evaluate
from asrlsa.models import resolve_model
from asrlsa.output import claim
from asrlsa.recommended import Recommended, machine_name, store
from asrlsa.trials import Trial, run_trial

SCORES = ("wer", "fluent_wer", "cer", "disfluency_f1")


class Listener:
    """Hears what a benchmark does. Every method does nothing; a user interface overrides what it shows."""

    def started(self, runs: int, done: int) -> None:
        """There are ``runs`` runs in all; ``done`` of them are on the disk already."""

    def running(self, one: Configuration, number: int) -> None:
        """Run ``number`` (from 1) of a configuration begins."""

    def finished(self, one: Configuration) -> None:
        """A run has ended; ``one.error`` says why where it failed."""

    def note(self, text: str) -> None:
        """Something that the user should know."""


def bench(
    matrix: Matrix,
    data: Path,
    *,
    out: Path,
    where: Mapping[str, str] | None = None,
    repeats: int = 3,
    within: float = WITHIN,
    memory: int | None = None,
    resamples: int = 1000,
    listener: Listener | None = None,
) -> Report:
    """Run every configuration of a matrix on recordings with references, each in a process of its own.

    The runs of all configurations take turns, so that a machine that gets slower or warmer does so for all. Every run
    is written to ``out`` when it ends; the same call goes on where a stopped one was.

    Args:
        matrix: What to run.
        data: Manifest or folder of recordings with references; see `asrlsa.benching.data.read_data`.
        out: Folder for results and transcripts.
        where: Keep only the lines of a manifest whose fields have these values.
        repeats: Runs of each configuration; medians are reported.
        within: Points of verbatim WER that a recommended setting may lie above the best.
        memory: Bytes of memory that a recommended setting may take; None is what is free now.
        resamples: Bootstrap draws of the intervals of the scores; 0 for none.
        listener: Hears about progress.

    Returns:
        Every configuration with its runs and scores, and the one that is recommended.

    Raises:
        UsageError: There is nothing to run or nothing to score, or another run has the folder.
        ModelError: A model can't be found.
        OutputError: ``out`` can't be written.
    """
    if repeats < 1:
        raise UsageError(f"repeats {repeats} is not possible: give 1 or more")
    told = listener or Listener()
    found = read_data(data, where)
    trials, notes = configurations(matrix)
    for line in notes:
        told.note(line)
    with claim(out / "results") as mine:
        if not mine:
            raise UsageError(f"{out}: another benchmark is writing there; wait for it, or give another folder with -o")
        rows = _Runs(found, out, repeats, resamples, told).go(trials)
    chosen, reason = choose(rows, memory=free_memory() if memory is None else memory, within=within)
    lengths = [c.runs[0]["audio_seconds"] for c in rows if c.runs]
    return Report(
        configurations=rows,
        recordings=len(found.recordings),
        audio_seconds=lengths[0] if lengths else 0.0,
        data=data.resolve().name + "".join(f", {k}={v}" for k, v in found.where.items()),
        machine=machine_name(),
        versions=versions({trial.engine for trial in trials}),
        repeats=repeats,
        date=datetime.date.today().isoformat(),
        notes=notes,
        choice=chosen.key if chosen else "",
        reason=reason,
    )


def keep_choice(report: Report, folder: Path | None = None) -> Path | None:
    """Store the recommended settings for ``asrlsa transcribe``; return the file, or None where nothing is recommended.

    The width of the search is stored only where several were compared: otherwise it is the model's own affair.

    Raises:
        OutputError: The file can't be written.
    """
    one = next((c for c in report.configurations if c.key == report.choice), None)
    if one is None:
        return None
    trial = one.trial
    beams = {c.trial.beam_size for c in report.configurations}
    text = f"{report.date}: {one.model} on {report.data}, {one.speed:.1f} × real time, verbatim WER {one.wer:.1f} %"
    settings = Recommended(
        compute_type=trial.compute_type,
        threads=trial.threads,
        batch_size=trial.batch_size or 0,
        beam_size=trial.beam_size if len(beams) > 1 else None,
        found=text,
    )
    return store(settings, _device(trial.device), folder)


def free_memory() -> int:
    """Return the bytes that a process may take now."""
    from asrlsa.speech.memory import free_bytes

    return free_bytes()


def versions(engines: set[str]) -> dict[str, str]:
    """Return the versions of asrlsa and of what computes."""
    names = {"asrlsa": "asrlsa", "ctranslate2": "ctranslate2"}
    modules = {"openai-whisper": "openai-whisper", "transformers": "transformers", "whisper.cpp": "pywhispercpp"}
    names |= {engine: modules.get(engine, engine) for engine in engines & set(ENGINES)}
    found = {}
    for name, package in names.items():
        try:
            found[name] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[name] = "?"
    return found


class _Runs:
    """The runs of one benchmark."""

    def __init__(self, data: BenchData, out: Path, repeats: int, resamples: int, listener: Listener) -> None:
        self.data, self.out, self.repeats, self.resamples = data, out, repeats, resamples
        self.listener = listener
        self.store = Store(out / "results")
        self.identity = data.identity()

    def go(self, trials: Sequence[Trial]) -> list[Configuration]:
        """Return the configurations in order, complete as far as they can be run."""
        models = {name: resolve_model(name) for name in dict.fromkeys(trial.model for trial in trials)}
        rows = []
        for trial in trials:
            model = models[trial.model]
            rows.append(self.store.load(trial, model.name, self._key(trial, model.fingerprint)))
        have = sum(min(self.repeats, len(row.runs)) for row in rows)
        self.listener.started(self.repeats * len(rows), have)
        for number in range(1, self.repeats + 1):
            for row in rows:
                if len(row.runs) < number and not row.error:
                    self.listener.running(row, number)
                    self._run(row)
                    self.listener.finished(row)
        for row in rows:
            del row.runs[self.repeats :]
            if row.runs and not row.scores:  # scored by nobody: it was stopped between run and score
                self._score(row)
                self.store.save(row)
        return rows

    def _key(self, trial: Trial, fingerprint: str) -> str:
        """Name a configuration by everything that its figures depend on."""
        what = {**asdict(trial), "model": fingerprint, "data": self.identity, "machine": machine_name()}
        what["versions"] = versions({trial.engine})
        digest = hashlib.sha256(json.dumps(what, sort_keys=True).encode())
        return digest.hexdigest()[:20]

    def _run(self, row: Configuration) -> None:
        """Run once more; what fails is kept as the reason, for this call only."""
        folder = self._transcripts(row)
        shutil.rmtree(folder, ignore_errors=True)
        try:
            result = run_trial(row.trial, self.data.recordings, folder)
            row.runs.append(measures(result))
            if not row.scores:
                self._score(row)
        except AsrlsaError as error:
            row.error = str(error)
            return
        self.store.save(row)

    def _transcripts(self, row: Configuration) -> Path:
        return self.out / "transcripts" / row.key

    def _score(self, row: Configuration) -> None:
        found = evaluate(
            self._transcripts(row),
            self.data.reference,
            policies=("verbatim", "fluent", "cer"),
            where=self.data.where or None,
            resamples=self.resamples,
            allow_missing=False,
        )
        if found.failures:
            raise UsageError(f"{found.failures[0][0]}: {found.failures[0][1]}")
        scores: Mapping[str, Any] = found.scores
        row.scores = {name: float(value) for name in SCORES if (value := scores.get(name)) is not None}
        row.intervals = {name: bounds for name in SCORES if (bounds := found.intervals.get(name)) is not None}


def _device(device: str) -> str:
    return usual_device() if device == "auto" else device


def thread_counts() -> tuple[int, ...]:
    """Return half and all of the cores that asrlsa would take, for a recommendation."""
    from asrlsa.speech.decode import available_cores

    cores = available_cores()
    return tuple(dict.fromkeys((max(1, cores // 2), cores)))


def recommend_matrix(matrix: Matrix) -> Matrix:
    """Widen the dimensions of a matrix that were left at one default value to what is worth comparing on a machine."""
    usual = Matrix(matrix.models)
    changes: dict[str, Any] = {}
    if matrix.threads == usual.threads:
        changes["threads"] = thread_counts()
    if matrix.batch_sizes == usual.batch_sizes:
        changes["batch_sizes"] = (1, 2) if _device(matrix.device) == "cpu" else (8, 16, 32)
    if matrix.compute_types == usual.compute_types:
        cpu = _device(matrix.device) == "cpu"
        changes["compute_types"] = ("int8", "float32") if cpu else ("int8_float16", "float16")
    return replace(matrix, **changes)
