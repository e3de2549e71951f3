"""Several channels -> one, and repair of levels that no recogniser expects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Samples = npt.NDArray[np.float32]

_NO_VOICE = frozenset(("LFE", "LFE2"))
_OPPOSITE = 0.1  # a sum of two channels at under a tenth of either's level: they cancel each other
_FEWEST = 1600  # samples; a shorter rest of a recording may look opposite by chance
_LOUD = 4.0  # a float sample beyond this was never scaled to -1..1


class Mixer:
    """Turns (channels, samples) blocks into mono within -1 to 1, and remembers what it had to repair."""

    def __init__(self, channel: int | None, names: Sequence[str] = ()) -> None:
        """Mix to mono, or take ``channel`` (from 0); ``names`` are FFmpeg's of the channels."""
        voices = [number for number, name in enumerate(names) if name not in _NO_VOICE]
        # A channel of its own for bass holds no speech, but would make the mean quieter.
        self.voices = voices if 0 < len(voices) < len(names) else None
        self.channel = channel
        self.scale = 1.0
        self.opposite = 0

    def mono(self, block: Samples) -> Samples:
        """Return one channel, or the mean of all; shape (channels, samples) -> (samples,)."""
        import numpy as np

        peak = float(np.abs(block).max(initial=0.0))
        if peak * self.scale > _LOUD:
            # Floats written with the range of integers: 16, 24 or 32 bits. The resampler overshoots a little.
            self.scale = next((2.0**-bits for bits in (15, 23, 31) if peak <= 1.1 * 2.0**bits), 1 / peak)
        mixed = block[self.channel] if self.channel is not None else self._mix(block)
        scaled: Samples = np.clip(mixed * np.float32(self.scale), -1.0, 1.0, dtype=np.float32)
        return scaled

    def _mix(self, block: Samples) -> Samples:
        import numpy as np

        if self.voices is not None:
            block = block[self.voices]
        mixed: Samples = block.mean(axis=0, dtype=np.float32)
        if block.shape[0] != 2 or block.shape[1] < _FEWEST:
            return mixed
        power = np.square(block).mean(axis=1)
        if power.min() > 0 and float(np.square(mixed).mean()) < _OPPOSITE**2 * float(power.min()):
            # A microphone with one lead swapped: the mean would be silence.
            self.opposite += 1
            louder: Samples = block[int(power.argmax())]
            return louder
        return mixed

    def notes(self) -> list[str]:
        """Say what was repaired."""
        found = []
        if self.scale != 1.0:
            found.append("float samples beyond -1 to 1 were scaled down")
        if self.opposite:
            found.append("left and right are opposite in phase and would cancel out; the louder one is used")
        return found
