"""Where to cut a recording, and the noise to put between what was cut. Samples are float32, (N,), mono, 16 kHz."""

from __future__ import annotations

import random
from typing import Final

import numpy as np

from asrlsa.acoustics import Samples
from asrlsa.audio import SAMPLES_PER_MS

__all__ = ["FLOOR", "frame_levels", "noise", "quiet_place", "quietest"]

FLOOR: Final = 300  # ms of a clip that its noise is taken from
_REACH: Final = 25  # ms by which a cut may move to a quieter place


def quietest(samples: Samples, size: int) -> Samples:
    """Return the ``size`` samples of least energy, as a view; all samples where there are fewer."""
    if len(samples) <= size:
        return samples
    energy = np.concatenate([[0.0], np.cumsum(np.square(samples, dtype=np.float64))])
    begin = int(np.argmin(energy[size:] - energy[:-size]))
    return samples[begin : begin + size]


def noise(floor: Samples, size: int, chance: random.Random) -> Samples:
    """Return ``size`` samples of a noise floor that goes on.

    Pieces of it of 100 to 200 ms, half of them backwards so that no rhythm is heard, are put together with crossfades
    that keep the level.
    """
    fade = 20 * SAMPLES_PER_MS
    slope = np.sin(np.linspace(0, np.pi / 2, fade, dtype=np.float32))
    out = np.zeros(size + fade, np.float32)
    place = 0
    while place < size:
        length = min(len(floor), chance.randint(100, 200) * SAMPLES_PER_MS)
        begin = chance.randint(0, len(floor) - length)
        piece = floor[begin : begin + length][:: chance.choice((-1, 1))].copy()
        if place and length > 2 * fade:
            piece[:fade] *= slope
            out[place : place + fade] *= slope[::-1][: len(out) - place]
        out[place : place + length] += piece[: len(out) - place]
        place += max(1, length - fade)
    # Not even a clip that was cut with digital silence gets any here.
    hiss = np.random.default_rng(chance.getrandbits(32)).standard_normal(size, dtype=np.float32)
    return np.asarray(out[:size] + 1e-5 * hiss, dtype=np.float32)


def quiet_place(samples: Samples, place: int, reach: int = _REACH) -> int:
    """Return the sample within ``reach`` ms of ``place`` around which 5 ms have the least energy."""
    half = 5 * SAMPLES_PER_MS // 2
    low = max(half, place - reach * SAMPLES_PER_MS)
    high = min(len(samples) - half, place + reach * SAMPLES_PER_MS)
    if high <= low:
        return min(max(place, 0), len(samples))
    energy = np.convolve(np.square(samples[low - half : high + half], dtype=np.float64), np.ones(2 * half), "valid")
    return low + int(np.argmin(energy))


def frame_levels(samples: Samples, ms: int = 10) -> Samples:
    """Return the root mean square of every whole frame of ``ms``: (frames,)."""
    size = ms * SAMPLES_PER_MS
    frames = samples[: len(samples) // size * size].reshape(-1, size)
    return np.asarray(np.sqrt(np.mean(np.square(frames), axis=1)), dtype=np.float32)
