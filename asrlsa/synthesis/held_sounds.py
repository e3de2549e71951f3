"""Steady sounds of a speaker, and how they are held. Samples are float32 of shape (N,), mono, 16 kHz."""

from __future__ import annotations

from typing import Final

import numpy as np

from asrlsa.acoustics import Samples
from asrlsa.audio import SAMPLE_RATE, SAMPLES_PER_MS
from asrlsa.speech.times import Phone
from asrlsa.synthesis.sound import stretched

__all__ = ["VOWELS", "held", "steady"]

VOWELS: Final = frozenset(["AA", "AE", "AH", "AO", "EH", "ER", "IH", "IY", "UH", "UW", "OW"])
"""Vowels, as the CMU pronouncing dictionary names them, that can be held without a change of their sound."""

_SHORTEST: Final = 60  # ms of a sound that can be held
_EDGE: Final = 12  # ms left out on either side, where one sound goes over into the next
_LONGEST: Final = 160  # ms taken of a sound
_VOICED: Final = 0.75  # autocorrelation, at the pitch, of a steady sound
_PITCH: Final = (80, 420)  # Hz
_JOIN: Final = 25 * SAMPLES_PER_MS


def steady(samples: Samples, phone: Phone) -> Samples | None:
    """Return the middle of a sound where it is long and voiced enough to be held."""
    span = phone.span
    if span.duration < _SHORTEST + 2 * _EDGE:
        return None
    room = max(0, span.duration - 2 * _EDGE - _LONGEST) // 2
    sound = samples[(span.start + _EDGE + room) * SAMPLES_PER_MS : (span.end - _EDGE - room) * SAMPLES_PER_MS]
    if len(sound) < _SHORTEST * SAMPLES_PER_MS or _voicing(sound) < _VOICED:
        return None
    return sound


def _voicing(sound: Samples) -> float:
    """Return the greatest autocorrelation of a sound at a pitch that voices have, 0 to 1."""
    x = sound.astype(np.float64) - float(np.mean(sound))
    size = len(x)
    power = np.fft.irfft(np.abs(np.fft.rfft(x, 2 * size)) ** 2)[:size]
    energy = np.cumsum(np.square(x))
    low, high = SAMPLE_RATE // _PITCH[1], min(SAMPLE_RATE // _PITCH[0], size // 2)
    lags = np.arange(low, high)
    if not len(lags) or not energy[-1] > 0:
        return 0.0
    head, tail = energy[size - 1 - lags], energy[-1] - energy[lags - 1]
    return float(np.max(power[lags] / np.sqrt(np.maximum(head * tail, 1e-20))))


def held(sound: Samples, seconds: float) -> Samples:
    """Hold a sound for so long, or cut it short; 25 ms more are for going over into another."""
    wanted = int(seconds * SAMPLE_RATE) + _JOIN
    longer = stretched(sound, wanted / len(sound)) if wanted > len(sound) else sound
    return np.array(longer[:wanted])
