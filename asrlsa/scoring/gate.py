"""Saved scores, and the gate that compares new scores with saved ones."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from asrlsa.errors import OutputError, UsageError
from asrlsa.scoring.metrics import METRICS

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Check:
    """One gated figure.

    Attributes:
        name: Metric, or ``files`` for the files that were scored.
        baseline: Value in the baseline; None where it had none.
        now: Value now.
        limit: How much it may change for the worse, in points (ms for word times).
        direction: ``increase`` or ``decrease``, whichever is limited.
        reason: Why it regressed; empty where it did not.
    """

    name: str
    baseline: float | None
    now: float | None
    limit: float
    direction: str
    reason: str

    @property
    def regressed(self) -> bool:
        """Whether the change passes the limit."""
        return bool(self.reason)


def save_scores(path: Path, data: Mapping[str, Any]) -> None:
    """Write scores as JSON; figures that are not finite are written as null.

    Raises:
        OutputError: The file can't be written.
    """
    text = json.dumps(plain(data), indent=2, sort_keys=False, ensure_ascii=False, allow_nan=False) + "\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{path}: can't be written ({error.strerror})") from None


def plain(value: Any) -> Any:
    """Turn a value into what JSON can hold; floats are rounded to 6 places, infinite ones become the text "inf"."""
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else ("inf" if value > 0 else None)
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    return value


def load_scores(path: Path) -> dict[str, Any]:
    """Read saved scores.

    Raises:
        UsageError: The file is missing or was not written by ``asrlsa evaluate --save``.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: can't be read ({error.strerror}); write it with asrlsa evaluate --save") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not UTF-8 text (byte {error.start}); write it with asrlsa evaluate --save") from None
    except json.JSONDecodeError as error:
        raise UsageError(f"{path}:{error.lineno}: not JSON ({error.msg})") from None
    if not isinstance(data, dict) or data.get("format") != FORMAT or not isinstance(data.get("scores"), dict):
        raise UsageError(f"{path}: not scores of this version; write them again with asrlsa evaluate --save")
    return data


def parse_limits(values: Sequence[str], option: str) -> dict[str, float]:
    """Read ``name=points`` options.

    Raises:
        UsageError: A value has no number, is negative, names no metric, or limits a change for the better.
    """
    found = {}
    worse = "lower" if option == "--max-increase" else "higher"
    for value in values:
        name, _, points = value.partition("=")
        try:
            limit = float(points)
        except ValueError:
            limit = math.nan
        if not limit >= 0 or math.isinf(limit):
            raise UsageError(f"{option} {value!r}: give a name and a number of points, such as wer=0.5")
        if name not in METRICS:
            near = get_close_matches(name, METRICS, n=3) or ["wer", "fluent_wer", "disfluency_f1"]
            raise UsageError(
                f"{option} {value!r}: there is no score {name!r}; nearest: {', '.join(near)} "
                "(--format json lists every score)"
            )
        if METRICS[name].better != worse:
            other = "--max-decrease" if option == "--max-increase" else "--max-increase"
            raise UsageError(f"{option} {value!r}: {name} is better when {METRICS[name].better}; use {other}")
        found[name] = limit
    return found


def run_gate(
    baseline: Mapping[str, Any],
    now: Mapping[str, float | None],
    files: Sequence[str],
    increases: Mapping[str, float],
    decreases: Mapping[str, float],
) -> list[Check]:
    """Compare scores with a baseline.

    Args:
        baseline: Saved scores.
        now: Figures now.
        files: Names of the files scored now.
        increases: Metric → points it may rise.
        decreases: Metric → points it may fall.

    Returns:
        One check for each limit; and one that fails where a file of the baseline was not scored now.

    Raises:
        UsageError: A limited metric is not in the baseline.
    """
    checks = []
    gone = sorted(set(baseline.get("files", {})) - set(files))
    if gone:
        some = ", ".join(gone[:5]) + (" …" if len(gone) > 5 else "")
        count = float(len(baseline["files"]))
        checks.append(Check("files", count, count - len(gone), 0, "decrease", f"not scored now: {some}"))
    limits = [(n, v, "increase") for n, v in increases.items()] + [(n, v, "decrease") for n, v in decreases.items()]
    for name, limit, direction in limits:
        if name not in baseline["scores"]:
            raise UsageError(f"the baseline has no {name}; it was saved with other --policies")
        checks.append(_check(name, _number(baseline["scores"][name]), now.get(name), limit, direction))
    return checks


def check_settings(baseline: Mapping[str, Any], steps: Sequence[str], collar: int, limited: Collection[str]) -> None:
    """Refuse a baseline that was scored by other rules.

    Args:
        baseline: Saved scores.
        steps: Normalisation now.
        collar: Collar of the diarization error now, in ms.
        limited: Metrics that the gate looks at.

    Raises:
        UsageError: The normalisation differs, or the collar where the diarization error is looked at.
    """
    before = baseline.get("normalisation", list(steps))
    if before != list(steps):
        raise UsageError(
            f"the baseline was normalised by {','.join(before) or 'none'}; use the same --normalise, or save it again"
        )
    if "der" in limited and baseline.get("collar_ms", collar) != collar:
        raise UsageError(f"the baseline has a collar of {baseline['collar_ms']} ms; use the same --collar")


def _number(value: object) -> float | None:
    if value == "inf":
        return math.inf
    return float(value) if isinstance(value, int | float) else None


def _check(name: str, before: float | None, now: float | None, limit: float, direction: str) -> Check:
    reason = ""
    if before is not None and now is None:
        reason = "can't be computed any more"
    elif now is not None and before is None:
        # Nothing to compare with: an error rate that appears is worse than none, a score that appears is better.
        reason = "had no errors to rate before" if direction == "increase" and now > limit else ""
    elif now is not None and before is not None and now != before:
        change = now - before if direction == "increase" else before - now
        # Saved figures are rounded to 6 places.
        reason = f"{'rose' if direction == 'increase' else 'fell'} by {change:.2f}" if change > limit + 1e-6 else ""
    return Check(name, before, now, limit, direction, reason)
