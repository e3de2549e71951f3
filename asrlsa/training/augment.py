"""Blanked bands of a window's features; asrlsa.acoustics changes its sound."""

from __future__ import annotations

import numpy as np
import torch


def spec_augment(
    features: torch.Tensor,
    chance: np.random.Generator,
    *,
    frequency_masks: int = 2,
    time_masks: int = 2,
    widest_band: float = 1 / 6,
    longest: int = 40,
    frames: int | None = None,
) -> torch.Tensor:
    """Blank random bands of frequency and time with the mean (SpecAugment, arXiv 1904.08779, without its time warp).

    Args:
        features: (mels, frames).
        chance: Where the numbers come from.
        frequency_masks: Bands of frequency.
        time_masks: Bands of time.
        widest_band: Widest band as a share of the mels.
        longest: Longest band of time in frames of 10 ms.
        frames: Frames with sound; bands of time lie in them.

    Returns:
        A changed copy.
    """
    changed = features.clone()
    mels, length = changed.shape
    length = length if frames is None else min(length, frames)
    mean = float(features[:, :length].mean())
    for _ in range(frequency_masks):
        width = int(chance.integers(0, max(1, int(mels * widest_band)) + 1))
        start = int(chance.integers(0, mels - width + 1))
        changed[start : start + width] = mean
    for _ in range(time_masks):
        width = int(chance.integers(0, min(longest, length) + 1))
        start = int(chance.integers(0, length - width + 1))
        changed[:, start : start + width] = mean
    return changed
