"""Whisper's log-mel spectrogram, as `transformers.WhisperFeatureExtractor` computes it, also for less than 30 s.

A shortened spectrogram equals the begin of the full one: the sound goes on as silence, and the loudest value, from
which Whisper clamps everything more than 80 dB below, is that of the sound in both cases.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch

from asrlsa.audio import N_SAMPLES, SAMPLE_RATE

HOP = 160  # samples between frames: 10 ms
N_FFT = 400  # samples of a frame: 25 ms
MAX_FRAMES = N_SAMPLES // HOP  # 3,000
_RANGE = 8.0  # powers of ten below the loudest value that are kept
_QUIETEST = 1e-10  # power of digital silence

Samples = npt.NDArray[np.float32]


@lru_cache(maxsize=4)
def mel_filters(mels: int) -> torch.Tensor:
    """Return triangular filters of equal area on Slaney's mel scale: (mels, 201) float32, 0 to 8,000 Hz.

    The scale is that of the Auditory Toolbox (M. Slaney, 1998): linear below 1 kHz, above it 27 steps for each factor
    of 6.4.
    """
    top = 15.0 + 27.0 * math.log(SAMPLE_RATE / 2 / 1000.0) / math.log(6.4)
    scale = np.linspace(0.0, top, mels + 2)
    edges = np.where(scale < 15.0, scale * (200.0 / 3.0), 1000.0 * np.exp(math.log(6.4) / 27.0 * (scale - 15.0)))
    bins = np.linspace(0.0, SAMPLE_RATE / 2, N_FFT // 2 + 1)
    rising = (bins[None, :] - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - bins[None, :]) / (edges[2:] - edges[1:-1])[:, None]
    area = 2.0 / (edges[2:] - edges[:-2])
    filters = np.maximum(0.0, np.minimum(rising, falling)) * area[:, None]
    return torch.from_numpy(filters.astype(np.float32))


def frames_of(samples: int) -> int:
    """Return the frames that sound fills, 100 a second; even, because the encoder joins two to one position."""
    return min(MAX_FRAMES, 2 * max(1, math.ceil(samples / (2 * HOP))))


def log_mel(samples: Samples, *, mels: int = 80, frames: int = MAX_FRAMES) -> torch.Tensor:
    """Return the log-mel spectrogram of up to 30 s, continued with silence to ``frames``.

    Args:
        samples: (samples,) float32, 16 kHz; what lies beyond ``frames`` is not heard.
        mels: 80, or 128 for large-v3 and its children.
        frames: Length of the result, 100 a second, 1 to 3,000.

    Returns:
        (mels, frames) float32, most values between -1 and 1.5.
    """
    if not 1 <= frames <= MAX_FRAMES:
        raise ValueError(f"frames must be 1 to {MAX_FRAMES}, not {frames}")
    sound = torch.zeros(N_FFT // 2 + frames * HOP + N_FFT // 2)
    used = torch.from_numpy(np.ascontiguousarray(samples[: frames * HOP], dtype=np.float32))
    half = N_FFT // 2
    sound[half : half + len(used)] = used
    # Whisper mirrors the sound at both ends; the end of a short one goes on as silence, as it would within 30 s.
    sound[:half] = sound[half + 1 : 2 * half + 1].flip(0)
    if frames == MAX_FRAMES:
        sound[-half:] = sound[-2 * half - 1 : -half - 1].flip(0)
    spectrum = torch.stft(sound, N_FFT, HOP, window=torch.hann_window(N_FFT), center=False, return_complex=True)
    power = (spectrum[:, :frames].abs() ** 2).contiguous()
    found = (mel_filters(mels) @ power).clamp(min=_QUIETEST).log10()
    return (torch.maximum(found, found.max() - _RANGE) + 4.0) / 4.0


def floor_of(features: torch.Tensor) -> float:
    """Return what silence after the sound looks like in these features."""
    return max(float(features.max()) - _RANGE / 4.0, (math.log10(_QUIETEST) + 4.0) / 4.0)
