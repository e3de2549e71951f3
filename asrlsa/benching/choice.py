"""The best configuration for a machine, and the front that it is chosen from."""

from __future__ import annotations

from collections.abc import Sequence

from asrlsa.benching.results import Configuration

WITHIN = 0.5  # points of verbatim WER that speed may cost


def pareto(configurations: Sequence[Configuration]) -> list[Configuration]:
    """Return the configurations that no other beats in both speed and verbatim WER, the fastest first.

    Of several with the same speed and the same WER the first one stands for all.
    """
    front: list[Configuration] = []
    least = float("inf")
    known = [c for c in configurations if c.speed is not None and c.wer is not None]
    for one in sorted(known, key=lambda c: (-(c.speed or 0.0), c.wer or 0.0)):
        wer = one.wer if one.wer is not None else float("inf")
        if wer < least:
            front.append(one)
            least = wer
    return front


def choose(
    configurations: Sequence[Configuration], *, memory: int | None = None, within: float = WITHIN
) -> tuple[Configuration | None, str]:
    """Name the best configuration of asrlsa itself: the fastest whose errors are nearly the fewest.

    Only configurations that finished, fit into the memory and have a verbatim WER count. Of these the fastest is taken
    whose WER is at most ``within`` points above the lowest; it lies on the front of `pareto`.

    Args:
        configurations: What was measured.
        memory: Bytes that a process may take, or None for any.
        within: Points of WER that speed may cost.

    Returns:
        The configuration and the reason in a sentence; None where none fits.
    """
    ours = [c for c in configurations if c.trial.engine == "asrlsa" and c.speed is not None and c.wer is not None]
    if not ours:
        return None, "no setting can be recommended: no configuration of asrlsa finished with a score"
    fitting = [c for c in ours if memory is None or (c.peak_memory or 0) <= memory]
    if not fitting:
        least = min(c.peak_memory or 0 for c in ours)
        return None, (
            f"no setting can be recommended: the smallest needs {least / 1e6:,.0f} MB, and {(memory or 0) / 1e6:,.0f} "
            "MB are free"
        )
    best = min(c.wer or 0.0 for c in fitting)
    near = [c for c in fitting if (c.wer or 0.0) <= best + within]
    chosen = max(near, key=lambda c: (c.speed or 0.0, -(c.wer or 0.0)))
    room = "" if memory is None else f" and whose memory fits into the {memory / 1e6:,.0f} MB that are free"
    count = "the only setting" if len(near) == 1 else f"the fastest of {len(near)} settings"
    return chosen, f"{count} within {within:g} points of the lowest verbatim WER ({best:.2f} %){room}"
