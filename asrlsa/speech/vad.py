"""Where speech is: Silero voice activity detection over a stream, in bounded memory.

The network is the one that faster-whisper carries (Silero v6, MIT). It runs here with its recurrent state kept between
blocks, so that a recording of any length needs the memory of one block.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from asrlsa.types import Span

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SAMPLE_RATE = 16_000
FRAME_SAMPLES = 512  # what Silero v6 takes at 16 kHz
CONTEXT_SAMPLES = 64  # tail of the frame before, which the network wants in front of each frame
FRAME_MS = FRAME_SAMPLES * 1000 // SAMPLE_RATE  # 32 ms
EVIDENCE_FRAMES = 6  # 0.2 s: a syllable


@dataclass(frozen=True, slots=True)
class VadOptions:
    """How speech regions are cut. Probabilities are 0 to 1, times in milliseconds.

    Attributes:
        threshold: Speech begins at this probability. Low, because soft fillers and children are missed at 0.5.
        release: Speech ends below this probability.
        min_silence_ms: A silence shorter than this does not end a region.
        min_speech_ms: A region shorter than this, without a frame above ``sure``, is not speech.
        sure: A probability that makes even a short region speech (a lone "um" or "mhm").
        pad_ms: Added before and after each region, at most up to the middle of the silence between two.
        max_region_ms: A longer region is cut at its most silent frame.
    """

    threshold: float = 0.3
    release: float = 0.15
    min_silence_ms: int = 300
    min_speech_ms: int = 100
    sure: float = 0.5
    pad_ms: int = 300
    max_region_ms: int = 28_000


@dataclass(frozen=True, slots=True)
class Region:
    """A stretch of speech, padded; ``evidence`` is the mean speech probability of its best 0.2 s.

    Quiet voices, creaky or breathy, are seen in parts only; noise that looks like speech for a frame does so nowhere
    for 0.2 s.
    """

    span: Span
    evidence: float


class SpeechProbability:
    """Speech probability of each 32 ms frame of a stream."""

    def __init__(self) -> None:
        """Load the network; one CPU thread."""
        from pathlib import Path

        import numpy as np
        import onnxruntime
        from faster_whisper.utils import get_assets_path

        options = onnxruntime.SessionOptions()
        options.inter_op_num_threads = options.intra_op_num_threads = 1
        options.enable_cpu_mem_arena = False
        options.log_severity_level = 4
        path = Path(get_assets_path()) / "silero_vad_v6.onnx"
        self._session: Any = onnxruntime.InferenceSession(
            str(path), sess_options=options, providers=["CPUExecutionProvider"]
        )
        self._h = np.zeros((1, 1, 128), np.float32)
        self._c = np.zeros((1, 1, 128), np.float32)
        self._context = np.zeros(CONTEXT_SAMPLES, np.float32)

    def __call__(self, audio: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the probabilities (frames,) of the next ``audio`` (frames * 512,) of the stream."""
        import numpy as np

        frames = audio.reshape(-1, FRAME_SAMPLES)
        if not len(frames):
            return np.zeros(0, np.float32)
        before = np.concatenate([self._context[None], frames[:-1, -CONTEXT_SAMPLES:]])
        self._context = frames[-1, -CONTEXT_SAMPLES:].copy()
        batch = np.ascontiguousarray(np.concatenate([before, frames], axis=1))
        output, self._h, self._c = self._session.run(None, {"input": batch, "h": self._h, "c": self._c})
        return np.asarray(output, np.float32).reshape(-1)


class RegionFinder:
    """Cuts a stream of frame probabilities into padded speech regions, each given out as soon as it is sure."""

    def __init__(self, options: VadOptions | None = None) -> None:
        """Start at time 0."""
        self.options = options or VadOptions()
        self._frame = 0
        self._open: list[float] = []  # probabilities since the region began
        self._begin = 0
        self._silent = 0  # frames of silence at the end of _open
        self._held: Region | None = None  # closed, waiting for the next one to know its right padding
        self._floor = 0  # nothing may begin before this time

    @property
    def settled_ms(self) -> int:
        """No region that is still to come begins before this time, so audio before it may be dropped."""
        if self._held is not None:
            return self._held.span.start
        begin = self._begin if self._open else self._frame
        return max(self._floor, begin * FRAME_MS - self.options.pad_ms)

    def feed(self, probabilities: Iterable[float]) -> Iterator[Region]:
        """Yield the regions that end within the next frames."""
        o = self.options
        for p in probabilities:
            if not self._open:
                if p >= o.threshold:
                    self._begin, self._open, self._silent = self._frame, [p], 0
            else:
                self._open.append(p)
                self._silent = self._silent + 1 if p < o.release or (self._silent and p < o.threshold) else 0
                if self._silent * FRAME_MS >= o.min_silence_ms:
                    yield from self._close(len(self._open) - self._silent)
                    self._open = []
                elif len(self._open) * FRAME_MS >= o.max_region_ms:
                    yield from self._cut()
            self._frame += 1
            if (
                self._held is not None
                and not self._open
                and self._frame * FRAME_MS - self._held.span.end > 2 * o.pad_ms
            ):
                yield self._release(None)

    def finish(self, duration_ms: int) -> Iterator[Region]:
        """Yield what is left at the end of the stream; nothing reaches beyond ``duration_ms``."""
        if self._open:
            yield from self._close(len(self._open) - self._silent)
            self._open = []
        if self._held is not None:
            region = self._release(None)
            end = min(region.span.end, duration_ms)
            if end > region.span.start:
                yield Region(Span(region.span.start, end), region.evidence)

    def _close(self, frames: int) -> Iterator[Region]:
        """Close the open region after its first ``frames`` frames."""
        o = self.options
        kept = self._open[:frames]
        if not kept or (len(kept) * FRAME_MS < o.min_speech_ms and max(kept) < o.sure):
            return
        begin, end = self._begin * FRAME_MS, (self._begin + frames) * FRAME_MS
        start = max(begin - o.pad_ms, self._floor)
        if self._held is not None:
            middle = (self._held.span.end + begin) // 2
            start = max(start, min(middle, begin))
            yield self._release(start)
        self._held = Region(Span(start, end), _best(kept))

    def _cut(self) -> Iterator[Region]:
        """Cut a region that has grown too long at the most silent frame of its second half."""
        half = len(self._open) // 2
        at = min(range(half, len(self._open)), key=lambda i: self._open[i])
        rest, begin = self._open[at:], self._begin + at
        yield from self._close(at)
        self._begin, self._open = begin, rest
        self._silent = 0

    def _release(self, limit: int | None) -> Region:
        """Give out the held region, padded to the right, at most up to ``limit``."""
        held = self._held
        assert held is not None
        end = held.span.end + self.options.pad_ms
        if limit is not None:
            end = min(end, max(limit, held.span.end))
        self._held, self._floor = None, end
        return Region(Span(held.span.start, end), held.evidence)


def _best(probabilities: list[float]) -> float:
    """Return the highest mean of ``EVIDENCE_FRAMES`` neighbours, or of all where there are fewer."""
    size = min(EVIDENCE_FRAMES, len(probabilities))
    return max(sum(probabilities[i : i + size]) / size for i in range(len(probabilities) - size + 1))
