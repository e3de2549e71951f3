"""From a stream of audio to the windows that the recogniser decodes, each at most 30 s, in bounded memory.

Speech regions are packed into windows in the order they come. A silence inside a window longer than
``keep_silence_ms`` is shortened, because every window costs the encoder 30 s whatever it holds; the window knows
which stretch of the recording each of its pieces came from, so that times stay true.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from asrlsa.speech.vad import FRAME_SAMPLES, SAMPLE_RATE, Region, RegionFinder, SpeechProbability, VadOptions
from asrlsa.types import Milliseconds, Span

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SAMPLES_PER_MS = SAMPLE_RATE // 1000


@dataclass(frozen=True, slots=True)
class WindowOptions:
    """How regions are packed. Times in milliseconds.

    Attributes:
        max_ms: Longest window; Whisper's encoder takes 30 s.
        keep_silence_ms: A silence between two regions longer than this is shortened to it.
        split_silence_ms: A silence longer than this always begins a new window.
    """

    max_ms: int = 29_500
    keep_silence_ms: int = 1_000
    split_silence_ms: int = 8_000


@dataclass(frozen=True, slots=True)
class Window:
    """Audio for one pass of the recogniser.

    Attributes:
        audio: Mono float32 at 16 kHz, shape (samples,).
        pieces: Stretches of the recording that ``audio`` is made of, in order and without overlap.
        regions: The speech regions inside, in absolute time.
        evidence: Speech probability of the region that is most surely speech; see ``Region``.
    """

    audio: NDArray[np.float32]
    pieces: tuple[Span, ...]
    regions: tuple[Span, ...]
    evidence: float

    @property
    def duration(self) -> Milliseconds:
        """Length of the audio in ms."""
        return len(self.audio) // SAMPLES_PER_MS

    def absolute(self, ms: float, *, end: bool = False) -> Milliseconds:
        """Map a time inside ``audio`` to the recording.

        A time on the seam of two pieces belongs to the later one, or with ``end`` to the earlier one.
        """
        passed = 0.0
        for piece in self.pieces:
            length = piece.duration
            if ms < passed + length or (end and ms <= passed + length):
                return piece.start + max(0, round(ms - passed))
            passed += length
        return self.pieces[-1].end


class Windower:
    """Packs the regions of one stream into windows."""

    def __init__(self, vad: VadOptions | None = None, options: WindowOptions | None = None) -> None:
        """Start at time 0."""
        import numpy as np

        self.options = options or WindowOptions()
        self._probability = SpeechProbability()
        self._finder = RegionFinder(vad)
        self._audio = np.zeros(0, np.float32)  # what may still be needed, from _origin on
        self._origin = 0  # sample index of _audio[0] in the stream
        self._unseen = 0  # samples at the end of _audio that the detector has not had
        self._pending: list[Region] = []

    @property
    def position_ms(self) -> Milliseconds:
        """How much of the stream has come in."""
        return (self._origin + len(self._audio)) // SAMPLES_PER_MS

    def feed(self, block: NDArray[np.float32]) -> Iterator[Window]:
        """Take the next ``block`` (samples,) of the stream and yield the windows that are complete."""
        import numpy as np

        self._audio = np.concatenate([self._audio, block])
        self._unseen += len(block)
        usable = self._unseen - self._unseen % FRAME_SAMPLES
        first = len(self._audio) - self._unseen
        probabilities = self._probability(self._audio[first : first + usable])
        self._unseen -= usable
        yield from self._pack(self._finder.feed(probabilities.tolist()))
        self._drop()

    def finish(self) -> Iterator[Window]:
        """Yield the windows that are left at the end of the stream."""
        import numpy as np

        if self._unseen:
            tail = np.zeros(FRAME_SAMPLES, np.float32)
            tail[: self._unseen] = self._audio[len(self._audio) - self._unseen :]
            yield from self._pack(self._finder.feed(self._probability(tail).tolist()))
        yield from self._pack(self._finder.finish(self.position_ms))
        if self._pending:
            yield self._flush()

    def windows(self, blocks: Iterable[NDArray[np.float32]]) -> Iterator[Window]:
        """Take all ``blocks`` of the stream, each (samples,), and yield every window."""
        for block in blocks:
            yield from self.feed(block)
        yield from self.finish()

    def _pack(self, regions: Iterable[Region]) -> Iterator[Window]:
        for region in regions:
            if self._pending:
                gap = region.span.start - self._pending[-1].span.end
                length = _packed_ms([*self._pending, region], self.options.keep_silence_ms)
                if gap > self.options.split_silence_ms or length > self.options.max_ms:
                    yield self._flush()
            self._pending.append(region)

    def _flush(self) -> Window:
        import numpy as np

        regions, self._pending = self._pending, []
        pieces = _pieces(regions, self.options.keep_silence_ms)
        cut = []
        for piece in pieces:
            begin = piece.start * SAMPLES_PER_MS - self._origin
            cut.append(self._audio[max(0, begin) : piece.end * SAMPLES_PER_MS - self._origin])
        return Window(
            audio=np.concatenate(cut),
            pieces=tuple(pieces),
            regions=tuple(r.span for r in regions),
            evidence=max(r.evidence for r in regions),
        )

    def _drop(self) -> None:
        """Forget audio that no window can need any more."""
        needed = self._pending[0].span.start if self._pending else self._finder.settled_ms
        keep = min(max(needed * SAMPLES_PER_MS - self._origin, 0), len(self._audio) - self._unseen)
        if keep > 0:
            self._audio = self._audio[keep:].copy()
            self._origin += keep


def _pieces(regions: list[Region], keep_ms: int) -> list[Span]:
    """Join the regions over silences up to ``keep_ms``; a longer silence loses its middle."""
    pieces: list[Span] = []
    for region in regions:
        span = region.span
        if not pieces:
            pieces.append(span)
            continue
        gap = span.start - pieces[-1].end
        if gap <= keep_ms:
            pieces[-1] = Span(pieces[-1].start, span.end)
        else:
            half = keep_ms // 2
            pieces[-1] = Span(pieces[-1].start, pieces[-1].end + half)
            pieces.append(Span(span.start - half, span.end))
    return pieces


def _packed_ms(regions: list[Region], keep_ms: int) -> int:
    return sum(piece.duration for piece in _pieces(regions, keep_ms))
