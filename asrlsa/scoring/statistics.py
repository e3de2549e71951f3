"""How sure the figures are: bootstrap intervals by file, and tests of one set of hypotheses against another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from asrlsa.scoring.align import Op
from asrlsa.scoring.metrics import Sums, figure_table

RESAMPLES = 2000
LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Comparison:
    """One figure of two sets of hypotheses for the same references.

    Attributes:
        name: Metric.
        first: Its value for the hypotheses that are scored.
        second: Its value for the others.
        low: Lower end of the 95 % interval of ``first - second``, or None where there are too few files.
        high: Upper end.
        p: Two-sided p value, or None.
        test: ``paired bootstrap by file`` or ``MAPSSWE``.
        units: Files or segments that the test stands on.
    """

    name: str
    first: float | None
    second: float | None
    low: float | None
    high: float | None
    p: float | None
    test: str
    units: int


def _surest(pairs: int) -> float:
    """Return the smallest two-sided p value that so many pairs allow, 2 / 2^pairs.

    Were both sides equally good, each pair's difference might as well have the other sign; that all have the same sign
    by chance happens that often. The bootstrap and the normal approximation claim more when there are few pairs.
    """
    return min(1.0, 2.0 ** (1 - pairs))


def _resampled(files: Sequence[Sums], resamples: int, seed: int) -> tuple[Any, Any, list[str]]:
    """Return how often each file is drawn (resamples, files), the files' sums (files, keys) and the keys."""
    import numpy as np

    keys = sorted({key for sums in files for key in sums})
    table = np.array([[sums.get(key, 0.0) for key in keys] for sums in files])
    random = np.random.default_rng(seed)
    draws = random.multinomial(len(files), np.full(len(files), 1 / len(files)), size=resamples)
    return draws, table, keys


def intervals(
    files: Sequence[Sums], names: Sequence[str], *, resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, tuple[float, float] | None]:
    """Bootstrap 95 % intervals: files are drawn with replacement, percentiles of the figures are the ends.

    Args:
        files: Sums of each file.
        names: Metrics.
        resamples: Number of draws.
        seed: Seed of the draws; the same seed gives the same interval.

    Returns:
        ``(low, high)`` for each metric; None with fewer than two files, or where it can't be computed.
    """
    import numpy as np

    if len(files) < 2:
        return dict.fromkeys(names)
    draws, table, keys = _resampled(files, resamples, seed)
    sums = draws @ table
    found: dict[str, tuple[float, float] | None] = {}
    for name in names:
        values = figure_table(sums, keys, name)
        values = values[~np.isnan(values)]
        tail = 50 * (1 - LEVEL)
        ends = np.percentile(values, [tail, 100 - tail]) if len(values) else None
        found[name] = (float(ends[0]), float(ends[1])) if ends is not None else None
    return found


def compare(
    first: Sequence[Sums], second: Sequence[Sums], names: Sequence[str], *, resamples: int = RESAMPLES, seed: int = 0
) -> list[Comparison]:
    """Paired bootstrap by file (Bisani and Ney 2004): the same files are drawn for both sides.

    The p value is twice the share of draws in which the difference has the other sign or is zero, at most 1 and at
    least what a sign test could reach with so many files, so five files or fewer never show a difference at 0.05.

    Args:
        first: Sums of each file for one set of hypotheses.
        second: Sums of the same files for the other set.
        names: Metrics.
        resamples: Number of draws.
        seed: Seed of the draws.
    """
    import numpy as np

    files = len(first)
    found = []
    draws, table, keys = _resampled([*first, *second], 1, seed)
    random = np.random.default_rng(seed)
    if files >= 2:
        draws = random.multinomial(files, np.full(files, 1 / files), size=resamples)
    whole = [table[:files].sum(0, keepdims=True), table[files:].sum(0, keepdims=True)]
    for name in names:
        totals = [figure_table(sums, keys, name)[0] for sums in whole]
        values = [None if math.isnan(total) else float(total) for total in totals]
        low = high = p = None
        if files >= 2 and None not in values:
            gap = figure_table(draws @ table[:files], keys, name) - figure_table(draws @ table[files:], keys, name)
            gap = gap[~np.isnan(gap)]
            if len(gap):
                tail = 50 * (1 - LEVEL)
                low, high = (float(end) for end in np.percentile(gap, [tail, 100 - tail]))
                smaller = min(float((gap <= 0).mean()), float((gap >= 0).mean()))
                p = max(min(1.0, 2 * max(smaller, 1 / (len(gap) + 1))), _surest(files))
        found.append(Comparison(name, values[0], values[1], low, high, p, "paired bootstrap by file", files))
    return found


def error_slots(ops: Sequence[Op], words: int) -> list[int]:
    """Return the errors at each reference word; an insertion counts at the word before it, at first in slot 0.

    Args:
        ops: Alignment.
        words: Number of reference words.

    Returns:
        ``words + 1`` counts: slot ``k + 1`` is reference word ``k``.
    """
    slots = [0] * (words + 1)
    for tag, i1, i2, j1, j2 in ops:
        if tag == "insert":
            slots[i1] += j2 - j1
        elif tag in ("substitute", "delete"):
            for k in range(i1, i2):
                slots[k + 1] += 1
    return slots


def segment_differences(first: Sequence[int], second: Sequence[int], good: int = 2) -> list[int]:
    """Return the difference in errors in each segment that stands between runs of words both sides have right.

    Args:
        first: Slots of :func:`error_slots` for one hypothesis.
        second: Slots for the other, of the same reference.
        good: Words in a row that both must have right to end a segment.
    """
    found: list[int] = []
    run, total, inside = good, 0, False
    for a, b in zip(first, second, strict=True):
        if a or b:
            inside, run, total = True, 0, total + a - b
            continue
        run += 1
        if inside and run >= good:
            found.append(total)
            total, inside = 0, False
    return [*found, total] if inside else found


def mapsswe(name: str, differences: Sequence[int], values: tuple[float | None, float | None]) -> Comparison:
    """Matched pairs sentence-segment word error test (Gillick and Cox 1989), normal approximation.

    The p value is at least what a sign test could reach with so many segments that differ.

    Args:
        name: Metric.
        differences: Differences in errors of all segments.
        values: The metric for both sides.
    """
    count = len(differences)
    p = None
    if count >= 2:
        mean = sum(differences) / count
        variance = sum((d - mean) ** 2 for d in differences) / (count - 1)
        if variance > 0:
            p = math.erfc(abs(mean) / math.sqrt(variance / count) / math.sqrt(2))
        else:
            p = 1.0 if mean == 0 else 0.0
        p = max(p, _surest(sum(d != 0 for d in differences)))
    elif count == 0:
        p = 1.0
    return Comparison(name, values[0], values[1], None, None, p, "MAPSSWE", count)
