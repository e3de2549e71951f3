"""Classes of length and of text length, so that a batch of windows at their own length holds little padding."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.int64]


def edges(values: Sequence[int] | Numbers, count: int) -> Numbers:
    """Return the upper bounds of at most ``count`` classes that hold about equally many values."""
    if len(values) == 0:
        return np.zeros(0, np.int64)
    bounds = np.quantile(np.asarray(values), np.linspace(0, 1, count + 1)[1:], method="higher")
    return np.unique(bounds.astype(np.int64))


def assign(frames: Sequence[int] | Numbers, tokens: Sequence[int] | Numbers, durations: int, texts: int) -> Numbers:
    """Give each window a class: by duration, and within it by tokens.

    Args:
        frames: Length of each window.
        tokens: Tokens of each window.
        durations: Classes of duration.
        texts: Classes of tokens in each.

    Returns:
        (windows,): class numbers that rise with duration, then tokens.
    """
    length, text = np.asarray(frames, np.int64), np.asarray(tokens, np.int64)
    by_length = np.searchsorted(edges(length, durations), length)
    classes = np.zeros(len(length), np.int64)
    for number in np.unique(by_length):
        inside = by_length == number
        classes[inside] = number * texts + np.searchsorted(edges(text[inside], texts), text[inside])
    return classes
