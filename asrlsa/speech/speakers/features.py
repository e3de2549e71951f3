"""Log mel filter banks as Kaldi computes them, in numpy.

The parameters are those CAM++ was trained with (3D-Speaker: ``torchaudio.compliance.kaldi.fbank(wave,
num_mel_bins=80, sample_frequency=16000, dither=0)``): 16 kHz samples in -1 to 1, frames of 25 ms every 10 ms that lie
wholly inside the audio (``snip_edges``), mean removed, pre-emphasis 0.97, Povey window, 512-point power spectrum, 80
triangular filters on the mel scale ``1127 ln(1 + f / 700)`` from 20 Hz to 8 kHz, natural logarithm.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

SAMPLE_RATE = 16_000
FRAME_SAMPLES = 25 * SAMPLE_RATE // 1000
HOP_SAMPLES = 10 * SAMPLE_RATE // 1000
FFT_SIZE = 512
MEL_BANDS = 80
LOWEST_HZ = 20.0
HIGHEST_HZ = SAMPLE_RATE / 2
PRE_EMPHASIS = 0.97
FLOOR = float(np.finfo(np.float32).eps)
BLOCK_FRAMES = 1000  # frames worked on at once: about 8 MB of temporaries

FloatArray = NDArray[np.float32]


def _mel(hertz: ArrayLike) -> NDArray[np.float64]:
    return np.asarray(1127.0 * np.log1p(np.asarray(hertz, dtype=np.float64) / 700.0))


@lru_cache(maxsize=1)
def _filters() -> FloatArray:
    """Return the triangles, (FFT_SIZE / 2, MEL_BANDS). The Nyquist bin is left out, as in Kaldi."""
    edges = np.linspace(_mel(LOWEST_HZ), _mel(HIGHEST_HZ), MEL_BANDS + 2)
    bins = _mel(np.arange(FFT_SIZE // 2) * (SAMPLE_RATE / FFT_SIZE))[:, None]
    left, centre, right = edges[:-2], edges[1:-1], edges[2:]
    rising, falling = (bins - left) / (centre - left), (right - bins) / (right - centre)
    return np.asarray(np.maximum(0.0, np.minimum(rising, falling)), dtype=np.float32)


@lru_cache(maxsize=1)
def _window() -> FloatArray:
    return np.asarray(np.hanning(FRAME_SAMPLES) ** 0.85, dtype=np.float32)


def frame_count(samples: int) -> int:
    """Return how many frames :func:`fbank` makes of ``samples`` samples; never less than one."""
    return 1 if samples < FRAME_SAMPLES else 1 + (samples - FRAME_SAMPLES) // HOP_SAMPLES


def fbank(audio: FloatArray) -> FloatArray:
    """Compute 80 log mel energies every 10 ms.

    Args:
        audio: Mono samples at 16 kHz in -1 to 1, shape (N,). Shorter than one frame (400 samples) is padded with
            zeros to one frame.

    Returns:
        Features of shape (T, 80), float32, not mean-normalised; T is ``1 + (N - 400) // 160``. Memory beyond audio
        and result is bounded (blocks of 10 s).
    """
    from scipy.fft import rfft  # keeps float32, which numpy 1's does not

    signal = np.ascontiguousarray(audio, dtype=np.float32)
    if len(signal) < FRAME_SAMPLES:
        signal = np.pad(signal, (0, FRAME_SAMPLES - len(signal)))
    frames = np.lib.stride_tricks.sliding_window_view(signal, FRAME_SAMPLES)[::HOP_SAMPLES]
    features = np.empty((len(frames), MEL_BANDS), dtype=np.float32)
    for first in range(0, len(frames), BLOCK_FRAMES):
        block = frames[first : first + BLOCK_FRAMES]
        block = block - block.mean(axis=1, keepdims=True)
        emphasised = np.empty_like(block)
        emphasised[:, 0] = block[:, 0] * (1 - PRE_EMPHASIS)
        emphasised[:, 1:] = block[:, 1:] - PRE_EMPHASIS * block[:, :-1]
        spectrum = rfft(emphasised * _window(), FFT_SIZE, axis=1)[:, : FFT_SIZE // 2]
        energy = (spectrum.real**2 + spectrum.imag**2) @ _filters()
        features[first : first + len(block)] = np.log(np.maximum(energy, FLOOR))
    return features
