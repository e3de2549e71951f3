"""Filled pauses in a speaker's own voice: a vowel and a nasal of their words, held as long as people hold them.

Samples are float32 of shape (N,), mono, 16 kHz.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from asrlsa.acoustics import Samples
from asrlsa.audio import SAMPLE_RATE, SAMPLES_PER_MS
from asrlsa.speech.times import Phone
from asrlsa.synthesis.languages import SpokenLanguage
from asrlsa.synthesis.sound import bent, faded, joined, level_of, stretched

__all__ = ["SOUNDS", "VOWELS", "Heard", "Hesitations", "held", "steady"]

SOUNDS: Final[Mapping[str, tuple[str, ...]]] = {
    "um": ("AH", "M"),
    "uh": ("AH",),
    "er": ("ER",),
    "erm": ("ER", "M"),
    "ah": ("AA",),
    "mm": ("M",),
}
"""Filler to the sounds that it is made of, as the CMU pronouncing dictionary names them."""

VOWELS: Final = frozenset(["AA", "AE", "AH", "AO", "EH", "ER", "IH", "IY", "UH", "UW", "OW"])
"""Vowels that can be held without a change of their sound."""

_SHORTEST: Final = 60  # ms of a sound that can be held
_EDGE: Final = 12  # ms left out on either side, where one sound goes over into the next
_LONGEST: Final = 160  # ms taken of a sound
_VOICED: Final = 0.75  # autocorrelation, at the pitch, of a steady sound
_PITCH: Final = (80, 420)  # Hz
_JOIN: Final = 25 * SAMPLES_PER_MS
_SPREAD: Final = 0.3  # of the logarithm of a filler's length
_SECONDS: Final = (0.2, 1.1)  # shorter ones are hardly to be told from a reduced "a" or "of"


@dataclass(frozen=True, slots=True)
class Heard:
    """A clip with the sounds in it: samples, (N,), and their phones in ms of the clip."""

    samples: Samples
    phones: tuple[Phone, ...]


class Hesitations:
    """The fillers that one speaker could say."""

    def __init__(self, clips: Iterable[Heard], spoken: SpokenLanguage) -> None:
        """Collect the steady sounds of a speaker.

        Args:
            clips: Of one speaker.
            spoken: Whose fillers are said; those for which the speaker has no sound are not.
        """
        wanted = {name for names in SOUNDS.values() for name in names}
        self._sounds: dict[str, list[Samples]] = defaultdict(list)
        for clip in clips:
            for phone in clip.phones:
                if phone.name in wanted and (sound := steady(clip.samples, phone)) is not None:
                    self._sounds[phone.name].append(sound)
        self.fillers = tuple(
            one for one in spoken.fillers if all(self._sounds.get(name) for name in SOUNDS.get(one.text, ("",)))
        )

    def filler(self, chance: random.Random) -> tuple[str, Samples] | None:
        """Return a filler drawn by weight and its sound; None where the speaker has the sounds of none."""
        if not self.fillers:
            return None
        one = chance.choices(self.fillers, [each.weight for each in self.fillers])[0]
        low, high = _SECONDS
        seconds = min(high, max(low, one.seconds * float(np.exp(chance.gauss(0, _SPREAD)))))
        names = SOUNDS[one.text]
        shares = (1.0,) if len(names) == 1 else ((share := chance.uniform(0.4, 0.7)), 1 - share)
        parts = [
            held(chance.choice(self._sounds[name]), share * seconds) for name, share in zip(names, shares, strict=True)
        ]
        if len(parts) == 2:
            # A nasal is weaker than the vowel before it.
            parts[1] *= np.float32(chance.uniform(0.4, 0.8) * level_of(parts[0]) / max(1e-6, level_of(parts[1])))
        whole = joined(parts, _JOIN)
        # Hesitations are low and nearly level, and often fall a little (O'Shaughnessy 1992).
        begin = chance.uniform(0.92, 1.04)
        pitch = np.linspace(begin, begin * chance.uniform(0.85, 1.03), len(whole)) * _unsteady(len(whole), chance)
        return one.text, faded(bent(whole, pitch), chance.randint(15, 45) * SAMPLES_PER_MS)


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


def _unsteady(size: int, chance: random.Random) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return factors of pitch, (size,), that wander by 1 or 2 %, as no voice holds a tone."""
    knots = [1 + chance.gauss(0, 0.012) for _ in range(max(2, size * 12 // SAMPLE_RATE))]
    return np.interp(np.linspace(0, 1, size), np.linspace(0, 1, len(knots)), knots)
