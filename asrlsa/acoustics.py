"""Noise and the telephone line, for training and for synthetic speech: numpy alone.

Nothing here stretches time: the length of a filler or a pause is what verbatim transcripts are about.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from asrlsa.audio import SAMPLE_RATE

Samples = npt.NDArray[np.float32]

_TELEPHONE = (300.0, 3400.0)  # Hz, ITU-T G.712
_MU = 255.0  # ITU-T G.711, mu-law
_SLOPES = (0.0, 0.5, 1.0)  # exponents of amplitude over frequency: white, pink, brown noise


def coloured_noise(samples: int, chance: np.random.Generator) -> Samples:
    """Return white, pink or brown noise with a level of 1: (samples,) float32."""
    spectrum = np.fft.rfft(chance.standard_normal(samples, dtype=np.float32))
    slope = _SLOPES[int(chance.integers(len(_SLOPES)))]
    frequency = np.arange(len(spectrum)) * (SAMPLE_RATE / max(1, samples))
    shaped = np.fft.irfft(spectrum / (frequency + 25.0) ** slope, samples)
    level = float(np.sqrt(np.mean(np.square(shaped)))) or 1.0
    return np.asarray(shaped / level, dtype=np.float32)


def add_noise(samples: Samples, chance: np.random.Generator, snr: tuple[float, float]) -> Samples:
    """Add coloured noise at a ratio in dB drawn from ``snr``; silence stays silent."""
    power = float(np.mean(np.square(samples, dtype=np.float64))) if len(samples) else 0.0
    noise = coloured_noise(len(samples), chance) if len(samples) else samples
    ratio = float(chance.uniform(*snr))
    level = float(np.sqrt(power)) * 10 ** (-ratio / 20)
    return np.asarray(np.clip(samples + np.float32(level) * noise, -1.0, 1.0), dtype=np.float32)


def telephone(samples: Samples) -> Samples:
    """Return the sound as an analogue telephone line carries it: 300 to 3,400 Hz, 8-bit mu-law."""
    if not len(samples):
        return samples
    spectrum = np.fft.rfft(samples)
    frequency = np.fft.rfftfreq(len(samples), 1 / SAMPLE_RATE)
    low, high = _TELEPHONE
    # Edges of half an octave below and 600 Hz above: a steeper cut would ring.
    gain = np.clip((frequency - low / 1.5) / (low - low / 1.5), 0, 1) * np.clip((high + 600 - frequency) / 600, 0, 1)
    band = np.clip(np.fft.irfft(spectrum * gain, len(samples)), -1.0, 1.0)
    coded = np.sign(band) * np.log1p(_MU * np.abs(band)) / np.log1p(_MU)
    coded = np.round(coded * 127) / 127
    return np.asarray(np.sign(coded) * np.expm1(np.abs(coded) * np.log1p(_MU)) / _MU, dtype=np.float32)


def synthetic_noise(samples: int, chance: np.random.Generator) -> Samples:
    """Return a window of coloured noise between -60 and -10 dB, for windows without speech."""
    level = 10 ** (float(chance.uniform(-60, -10)) / 20)
    return np.asarray(np.clip(np.float32(level) * coloured_noise(samples, chance), -1.0, 1.0), dtype=np.float32)
