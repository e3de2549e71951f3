"""Named figures over any set of files: each is a ratio of sums, so files can be pooled, resampled and compared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from asrlsa.scoring.align import Counts
from asrlsa.scoring.events import DISFLUENCIES, EventCounts
from asrlsa.scoring.samples import EVENT_KINDS

# Sums of one file or of many, by name.
Sums = dict[str, float]

_WITH_PAUSES = (*DISFLUENCIES, "pause")


@dataclass(frozen=True, slots=True)
class Metric:
    """A figure that is ``scale × sum(over) / sum(under)``, or a mean of such figures.

    Attributes:
        name: Name in ``scores.json`` and for the gate.
        over: Names of the sums above the line, each with its factor.
        under: Names of the sums below the line.
        scale: 100 for percentages.
        better: ``lower`` or ``higher``.
        label: What tables call it.
        mean_of: Names of metrics whose mean it is; ``over`` and ``under`` are empty then.
    """

    name: str
    over: tuple[tuple[str, float], ...]
    under: tuple[str, ...]
    better: str
    label: str
    scale: float = 100.0
    mean_of: tuple[str, ...] = ()


def _rate(name: str, key: str, label: str) -> Metric:
    return Metric(name, ((f"{key}.errors", 1),), (f"{key}.words",), "lower", label)


def _events(name: str, keys: Sequence[str], label: str) -> list[Metric]:
    matched = tuple((f"event.{key}.matched", 1.0) for key in keys)
    twice = tuple((f"event.{key}.matched", 2.0) for key in keys)
    ours = tuple(f"event.{key}.reference" for key in keys)
    theirs = tuple(f"event.{key}.hypothesis" for key in keys)
    return [
        Metric(f"{name}_precision", matched, theirs, "higher", f"{label} precision"),
        Metric(f"{name}_recall", matched, ours, "higher", f"{label} recall"),
        Metric(f"{name}_f1", twice, ours + theirs, "higher", f"{label} F1"),
    ]


def _all_metrics() -> dict[str, Metric]:
    found = [
        _rate("wer", "verbatim", "verbatim WER"),
        _rate("fluent_wer", "fluent", "fluent WER"),
        _rate("cer", "cer", "verbatim CER"),
        _rate("batchalign_wer", "batchalign", "Batchalign WER"),
        _rate("raw_wer", "raw", "raw WER"),
        _rate("cpwer", "cp", "speaker-attributed WER (cpWER)"),
        _rate("speaker_wer", "named", "speaker WER (names kept)"),
        Metric("der", (("der.error", 1),), ("der.speech",), "lower", "diarization error"),
        *_events("disfluency", DISFLUENCIES, "disfluency"),
        *_events("disfluency_with_pauses", _WITH_PAUSES, "disfluency and pause"),
        *_events("relaxed", ("relaxed",), "disfluency of any type"),
    ]
    for kind in EVENT_KINDS:
        found += _events(kind, (kind,), kind.replace("_", " "))
    kinds = tuple(f"{kind}_f1" for kind in DISFLUENCIES)
    found += [
        Metric("disfluency_macro_f1", (), (), "higher", "disfluency F1, mean of types", mean_of=kinds),
        Metric(
            "disfluency_with_pauses_macro_f1",
            (),
            (),
            "higher",
            "disfluency and pause F1, mean of types",
            mean_of=(*kinds, "pause_f1"),
        ),
        Metric("word_start_ms", (("start.error", 1),), ("start.count",), "lower", "word start, mean error in ms", 1.0),
        Metric("word_end_ms", (("end.error", 1),), ("end.count",), "lower", "word end, mean error in ms", 1.0),
    ]
    return {metric.name: metric for metric in found}


METRICS = _all_metrics()


def count_sums(key: str, counts: Counts) -> Sums:
    """Return the sums of a word score."""
    return {f"{key}.errors": counts.errors, f"{key}.words": counts.reference}


def event_sums(key: str, counts: EventCounts) -> Sums:
    """Return the sums of an event score."""
    return {
        f"event.{key}.matched": counts.matched,
        f"event.{key}.reference": counts.reference,
        f"event.{key}.hypothesis": counts.hypothesis,
    }


def add_up(parts: Iterable[Mapping[str, float]]) -> Sums:
    """Add sums of files."""
    total: Sums = {}
    for part in parts:
        for key, value in part.items():
            total[key] = total.get(key, 0) + value
    return total


def figures(sums: Mapping[str, float], names: Iterable[str] = METRICS) -> dict[str, float | None]:
    """Compute figures from sums; None where nothing is below the line.

    An error rate whose reference is empty is None too, unless there are errors: then it is infinite.
    """
    found: dict[str, float | None] = {}
    for name in names:
        metric = METRICS[name]
        if metric.mean_of:
            parts = [part for part in figures(sums, metric.mean_of).values() if part is not None]
            found[name] = sum(parts) / len(parts) if parts else None
            continue
        over = sum(factor * sums.get(key, 0) for key, factor in metric.over)
        under = sum(sums.get(key, 0) for key in metric.under)
        if under:
            found[name] = metric.scale * over / under
        else:
            found[name] = float("inf") if over and metric.better == "lower" else None
    return found


def figure_table(sums: Any, keys: Sequence[str], name: str) -> Any:
    """Compute one figure for many sets of sums at once.

    Args:
        sums: Array (sets, keys) of sums.
        keys: Names of its columns.
        name: Metric.

    Returns:
        Array (sets,) of figures, NaN where nothing is below the line.
    """
    import numpy as np

    metric = METRICS[name]
    if metric.mean_of:
        parts = np.stack([figure_table(sums, keys, part) for part in metric.mean_of])
        known = ~np.isnan(parts)
        total = np.where(known, parts, 0.0).sum(0)
        return np.divide(total, known.sum(0), out=np.full(len(sums), np.nan), where=known.any(0))
    at = {key: k for k, key in enumerate(keys)}
    zero = np.zeros(len(sums))
    over = sum((factor * sums[:, at[key]] for key, factor in metric.over if key in at), zero)
    under = sum((sums[:, at[key]] for key in metric.under if key in at), zero)
    return metric.scale * np.divide(over, under, out=np.full(len(sums), np.nan), where=under > 0)
