"""A benchmark as a table for a terminal, as Markdown and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from typing import Final

from asrlsa.benching.choice import pareto
from asrlsa.benching.results import MEASURES, Configuration, Report
from asrlsa.scoring.tables import Table, markdown_lines, markdown_text, number

FRONT: Final = "◆"
CHOSEN: Final = "★"

# Dimensions of the matrix: heading, and what a row says; those with one value for all stand in the note instead.
_DIMENSIONS: Final[tuple[tuple[str, Callable[[Configuration], str]], ...]] = (
    ("model", lambda c: c.model),
    ("engine", lambda c: c.trial.engine),
    ("type", lambda c: c.trial.compute_type),
    ("beam", lambda c: str(c.trial.beam_size)),
    ("batch", lambda c: str(c.trial.batch_size or "auto")),
    ("threads", lambda c: str(c.trial.threads or "all")),
    ("context", lambda c: c.trial.context),
)
_FIGURES: Final[tuple[tuple[str, Callable[[Configuration], str]], ...]] = (
    ("× real time", lambda c: number(c.speed, 2)),
    ("first words s", lambda c: number(c.median("first_seconds"), 2)),
    ("load s", lambda c: number(c.median("load_seconds"), 2)),
    ("memory MB", lambda c: megabytes(c.peak_memory)),
    ("disk MB", lambda c: megabytes(c.median("disk"))),
    ("WER %", lambda c: number(c.wer, 2)),
    ("CER %", lambda c: number(c.scores.get("cer"), 2)),
    ("disfluency F1 %", lambda c: number(c.scores.get("disfluency_f1"), 1)),
)


def megabytes(size: float | None) -> str:
    """Write bytes as MB of 10^6."""
    return "–" if size is None else f"{size / 1e6:,.0f}"


def dimensions(report: Report) -> tuple[list[tuple[str, Callable[[Configuration], str]]], list[str]]:
    """Return the dimensions that vary, the model always, and in words what all configurations share."""
    vary, same = [], []
    for name, say in _DIMENSIONS:
        values = {say(c) for c in report.configurations}
        if len(values) > 1 or name == "model":
            vary.append((name, say))
        else:
            same.append(f"{name} {values.pop()}")
    return vary, same


def result_table(report: Report) -> Table:
    """Return the table of all configurations."""
    vary, same = dimensions(report)
    front = {c.key for c in pareto(report.configurations)}
    rows = []
    for one in report.configurations:
        marks = FRONT * (one.key in front) + CHOSEN * (one.key == report.choice)
        rows.append((marks, *(say(one) for _, say in vary), *(say(one) for _, say in _FIGURES)))
    header = ("", *(name for name, _ in vary), *(name for name, _ in _FIGURES))
    note = (
        f"{FRONT} no other setting is both faster and has fewer errors. {CHOSEN} recommended. Medians of "
        f"{report.repeats} run{'s' * (report.repeats > 1)}; MB = 10^6 bytes; WER is verbatim. For all: "
        f"{', '.join(same)}."
    )
    return Table("bench", "Speed, memory and accuracy", header, rows, note, left=1 + len(vary))


def remarks(report: Report) -> list[str]:
    """Return what belongs to the figures: data, machine, versions, what failed, what is recommended."""
    lines = [
        f"data: {report.data}, {report.recordings} recordings, {report.audio_seconds / 60:.1f} minutes",
        f"machine: {report.machine}; " + ", ".join(f"{name} {version}" for name, version in report.versions.items()),
        *report.notes,
    ]
    lines += [f"failed: {c.model}, {c.settings}: {c.error}" for c in report.configurations if c.error]
    chosen = next((c for c in report.configurations if c.key == report.choice), None)
    if chosen is not None:
        lines.append(f"recommended: {chosen.model}, {chosen.settings}: {report.reason}")
    elif report.reason:
        lines.append(report.reason)
    return lines


def to_markdown(report: Report) -> str:
    """Write a benchmark as Markdown."""
    table = result_table(report)
    notes = [f"- {markdown_text(line)}" for line in remarks(report)]
    return "\n".join([f"## {table.title}", "", *notes, "", *markdown_lines(table), "", table.note, ""])


def to_csv(report: Report) -> str:
    """Write one line a configuration: every dimension, medians in seconds and bytes, scores in percent."""
    scores = ("wer", "fluent_wer", "cer", "disfluency_f1")
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    names = [name for name, _ in _DIMENSIONS]
    bounds = [f"{name}_{end}" for name in scores for end in ("low", "high")]
    rows.writerow([*names, "device", "runs", "speed", *MEASURES, *scores, *bounds, "pareto", "recommended", "error"])
    front = {c.key for c in pareto(report.configurations)}
    for c in report.configurations:
        ends = [end for name in scores for end in c.intervals.get(name, ("", ""))]
        rows.writerow(
            [
                *(say(c) for _, say in _DIMENSIONS),
                c.trial.device,
                len(c.runs),
                c.speed,
                *(c.median(name) for name in MEASURES),
                *(c.scores.get(name) for name in scores),
                *ends,
                int(c.key in front),
                int(c.key == report.choice),
                c.error,
            ]
        )
    return text.getvalue()
