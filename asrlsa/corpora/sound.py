"""Stretches of a recording, taken while it is decoded once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from asrlsa.audio import SAMPLES_PER_MS, stream
from asrlsa.types import Span

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def stretches(audio: Path, spans: Sequence[Span]) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Yield the samples of stretches of a recording, each as soon as it is decoded.

    No more than the stretches that are open is in memory. A recording that ends early gives what there is.

    Args:
        audio: The recording.
        spans: The stretches, in any order.

    Yields:
        Index in ``spans``, and mono float32 samples at 16 kHz of shape (samples,).

    Raises:
        MediaError: The recording can't be read.
    """
    import numpy as np

    waiting = sorted(range(len(spans)), key=lambda k: spans[k].start, reverse=True)
    open_: dict[int, list[NDArray[np.float32]]] = {}
    at = 0
    with stream(audio, block_ms=10_000) as blocks:
        for block in blocks:
            first, at = at, at + len(block)
            while waiting and spans[waiting[-1]].start * SAMPLES_PER_MS < at:
                open_[waiting.pop()] = []
            for k in list(open_):
                low, high = spans[k].start * SAMPLES_PER_MS, spans[k].end * SAMPLES_PER_MS
                open_[k].append(block[max(0, low - first) : max(0, high - first)])
                if high <= at:
                    yield k, np.concatenate(open_.pop(k))
            if not waiting and not open_:
                return
    for k, parts in open_.items():
        yield k, np.concatenate(parts)
    for k in waiting:
        yield k, np.zeros(0, np.float32)
