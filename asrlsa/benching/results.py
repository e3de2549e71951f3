"""What was measured, configuration by configuration, kept on the disk so that a stopped benchmark goes on."""

from __future__ import annotations

import json
import statistics
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from asrlsa.output import write_atomic
from asrlsa.trials import Trial, TrialResult

FORMAT: Final = 1
MEASURES: Final = ("audio_seconds", "load_seconds", "seconds", "cpu_seconds", "first_seconds", "peak_memory", "disk")


@dataclass(slots=True)
class Configuration:
    """One configuration with its runs.

    Attributes:
        trial: What was run.
        model: Short name of the model.
        key: Name of its file.
        runs: For each run the measures of `asrlsa.trials.TrialResult` by name: seconds and bytes.
        scores: Percentages by the names of `asrlsa.scoring.metrics.METRICS`.
        intervals: 95 % intervals of them.
        error: Why the last run failed, or an empty text.
    """

    trial: Trial
    model: str
    key: str
    runs: list[dict[str, float]] = field(default_factory=list)
    scores: dict[str, float] = field(default_factory=dict)
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    error: str = ""

    def median(self, measure: str) -> float | None:
        """Return the median of a measure over the runs; None where none finished."""
        return statistics.median(run[measure] for run in self.runs) if self.runs else None

    @property
    def speed(self) -> float | None:
        """Seconds of audio for a second of work, the median."""
        if not self.runs:
            return None
        return statistics.median(run["audio_seconds"] / run["seconds"] for run in self.runs)

    @property
    def peak_memory(self) -> float | None:
        """Bytes, the median."""
        return self.median("peak_memory")

    @property
    def wer(self) -> float | None:
        """Verbatim word error rate in percent."""
        return self.scores.get("wer")

    @property
    def settings(self) -> str:
        """The settings in a few words."""
        return settings_text(self.trial)


@dataclass(frozen=True, slots=True)
class Report:
    """A finished benchmark.

    Attributes:
        configurations: In the order of the matrix.
        recordings: How many were transcribed.
        audio_seconds: Their length.
        data: Where they came from, in words.
        machine: The machine, in words.
        versions: Programs and their versions.
        repeats: Runs of each configuration.
        date: Day, ISO 8601.
        notes: What was left out and why.
        choice: Key of the recommended configuration, or an empty text.
        reason: Why that one.
    """

    configurations: list[Configuration]
    recordings: int
    audio_seconds: float
    data: str
    machine: str
    versions: dict[str, str]
    repeats: int
    date: str
    notes: list[str] = field(default_factory=list)
    choice: str = ""
    reason: str = ""


def settings_text(trial: Trial) -> str:
    """Describe a configuration without its model."""
    parts = [] if trial.engine == "asrlsa" else [trial.engine]
    parts += [trial.compute_type, f"beam {trial.beam_size}", f"batch {trial.batch_size or 'auto'}"]
    parts += ["all threads" if trial.threads == 0 else f"{trial.threads} thread{'s' * (trial.threads > 1)}"]
    return ", ".join([*parts, f"context {trial.context}"])


def measures(result: TrialResult) -> dict[str, float]:
    """Return the figures of one run by name."""
    return {name: getattr(result, name) for name in MEASURES}


class Store:
    """One JSON file a configuration; a file is whole or not there."""

    def __init__(self, folder: Path) -> None:
        """Keep results in ``folder``."""
        self.folder = folder

    def load(self, trial: Trial, model: str, key: str) -> Configuration:
        """Return what is known of a configuration; a file that can't be read counts as none."""
        found = Configuration(trial, model, key)
        try:
            data: dict[str, Any] = json.loads((self.folder / f"{key}.json").read_text(encoding="utf-8"))
            if data["format"] != FORMAT:
                return found
            found.runs = [{name: float(run[name]) for name in MEASURES} for run in data["runs"]]
            found.scores = {name: float(value) for name, value in data["scores"].items()}
            found.intervals = {name: (float(a), float(b)) for name, (a, b) in data["intervals"].items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return Configuration(trial, model, key)
        return found

    def save(self, one: Configuration) -> None:
        """Write a configuration.

        Raises:
            OutputError: The folder can't be written.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"format": FORMAT, **to_data(one)}, indent=2, ensure_ascii=False)
        write_atomic(self.folder / f"{one.key}.json", text + "\n")


def to_data(one: Configuration) -> dict[str, Any]:
    """Return a configuration as plain data."""
    return {
        "model": one.model,
        "configuration": asdict(one.trial),
        "key": one.key,
        "medians": {"speed": one.speed, **{name: one.median(name) for name in MEASURES}},
        "runs": one.runs,
        "scores": one.scores,
        "intervals": {name: list(bounds) for name, bounds in one.intervals.items()},
        "error": one.error,
    }


def report_data(report: Report) -> dict[str, Any]:
    """Return a report as plain data for ``--json``: seconds, bytes, percent."""
    names = ("recordings", "audio_seconds", "data", "machine", "versions", "repeats", "date", "notes")
    known = {name: getattr(report, name) for name in names}
    choice = {"key": report.choice, "reason": report.reason} if report.choice else None
    return {**known, "recommended": choice, "configurations": [to_data(one) for one in report.configurations]}
