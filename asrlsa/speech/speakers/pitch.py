"""Fundamental frequency by the YIN difference function, in numpy.

Method: A. de Cheveigné and H. Kawahara, "YIN, a fundamental frequency estimator for speech and music", JASA 111 (2002),
steps 1 to 5 (difference function, cumulative mean normalisation, absolute threshold, parabolic interpolation).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from asrlsa.speech.speakers.features import SAMPLE_RATE, FloatArray

LOWEST_HZ = 60.0
HIGHEST_HZ = 500.0
HOP_SAMPLES = 20 * SAMPLE_RATE // 1000
INTEGRATION_SAMPLES = 25 * SAMPLE_RATE // 1000
SHORTEST_LAG = int(SAMPLE_RATE / HIGHEST_HZ)
LONGEST_LAG = int(np.ceil(SAMPLE_RATE / LOWEST_HZ))
FRAME_SAMPLES = INTEGRATION_SAMPLES + LONGEST_LAG + 1
THRESHOLD = 0.15  # normalised difference below which a frame counts as voiced (0.1 to 0.2 in the paper)
BLOCK_FRAMES = 512


def pitch_track(audio: FloatArray) -> FloatArray:
    """Estimate the fundamental frequency every 20 ms.

    Args:
        audio: Mono samples at 16 kHz, shape (N,).

    Returns:
        Hz per frame, shape (P,), float32, 60 to 500; NaN where the frame is unvoiced or silent. Frame p covers the
        42 ms from sample 320 p; P is 0 where the audio is shorter than one frame.
    """
    signal = np.ascontiguousarray(audio, dtype=np.float32)
    if len(signal) < FRAME_SAMPLES:
        return np.empty(0, dtype=np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(signal, FRAME_SAMPLES)[::HOP_SAMPLES]
    parts = [_block_pitch(frames[i : i + BLOCK_FRAMES]) for i in range(0, len(frames), BLOCK_FRAMES)]
    return np.concatenate(parts)


def _difference(frames: FloatArray) -> NDArray[np.float32]:
    """Return the cumulative-mean-normalised difference for lags 0 to LONGEST_LAG + 1, shape (P, lags)."""
    from scipy.fft import irfft, next_fast_len, rfft

    lags = LONGEST_LAG + 2
    size = next_fast_len(FRAME_SAMPLES + INTEGRATION_SAMPLES, real=True)
    centred = frames - frames.mean(axis=1, keepdims=True)
    head = centred[:, :INTEGRATION_SAMPLES]
    product = np.conj(rfft(head, size, axis=1)) * rfft(centred, size, axis=1)
    correlation = irfft(product, size, axis=1)[:, :lags]
    energy = np.concatenate([np.zeros((len(frames), 1)), np.cumsum(centred.astype(np.float64) ** 2, axis=1)], axis=1)
    moved = energy[:, INTEGRATION_SAMPLES : INTEGRATION_SAMPLES + lags] - energy[:, :lags]
    difference = np.maximum(moved[:, :1] + moved - 2.0 * correlation, 0.0)
    mean = np.cumsum(difference[:, 1:], axis=1) / np.arange(1, lags)
    normalised = np.ones_like(difference)
    np.divide(difference[:, 1:], mean, out=normalised[:, 1:], where=mean > 1e-7)
    return np.asarray(normalised, dtype=np.float32)


def _block_pitch(frames: FloatArray) -> FloatArray:
    normalised = _difference(frames)
    before, here, after = (normalised[:, SHORTEST_LAG + d : LONGEST_LAG + 1 + d] for d in (-1, 0, 1))
    dip = (here < THRESHOLD) & (here <= before) & (here < after)
    voiced = dip.any(axis=1)
    index = dip.argmax(axis=1)
    rows = np.arange(len(frames))
    left, middle, right = before[rows, index], here[rows, index], after[rows, index]
    curvature = left - 2 * middle + right
    shift = np.zeros_like(curvature)
    np.divide(0.5 * (left - right), curvature, out=shift, where=curvature > 1e-9)
    hertz = SAMPLE_RATE / (SHORTEST_LAG + index + np.clip(shift, -1.0, 1.0))
    inside = voiced & (hertz >= LOWEST_HZ) & (hertz <= HIGHEST_HZ)
    return np.where(inside, hertz, np.nan).astype(np.float32)
