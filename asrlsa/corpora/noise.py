"""Stretches without speech: gaps of the transcript in which voice activity detection hears nobody either."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from asrlsa.audio import SAMPLES_PER_MS, stream
from asrlsa.errors import MediaError
from asrlsa.speech.vad import FRAME_MS, FRAME_SAMPLES, SpeechProbability
from asrlsa.types import Milliseconds, Span

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SHORTEST_MS = 1_000
LONGEST_MS = 28_000
_MARGIN_MS = 300  # from the utterances beside: bullets are not exact
_SPEECH = 0.3  # probability from which a frame may be speech; soft fillers and children are missed at 0.5
_CALM_MS = 200  # from any such frame


def confirm(audio: Path, gaps: Sequence[Span], wanted: Milliseconds) -> list[Span]:
    """Return stretches inside ``gaps`` in which no speech is heard.

    The recording is decoded once, no further than needed; longer gaps are looked at first.

    Args:
        audio: The recording.
        gaps: Stretches in which nothing is transcribed, in order.
        wanted: Stop when about so many ms are looked at; more gaps are not needed.

    Returns:
        Stretches of 1 to 28 s by begin; none where the recording can't be read.
    """
    inner = [Span(gap.start + _MARGIN_MS, gap.end - _MARGIN_MS) for gap in gaps]
    chosen: list[Span] = []
    length = 0
    for gap in sorted((g for g in inner if g.duration >= SHORTEST_MS), key=lambda g: (-g.duration, g.start)):
        if length >= wanted:
            break
        gap = Span(gap.start, min(gap.end, gap.start + max(wanted, LONGEST_MS)))
        chosen.append(gap)
        length += gap.duration
    try:
        return _listened(audio, sorted(chosen, key=lambda g: g.start))
    except MediaError:
        return []


def _listened(audio: Path, gaps: Sequence[Span]) -> list[Span]:
    """Decode up to the last gap and keep what is calm of each."""
    import numpy as np

    found: list[Span] = []
    waiting = list(reversed(gaps))
    held: list[NDArray[np.float32]] = []
    at = 0
    if not waiting:
        return found
    with stream(audio, block_ms=10_000) as blocks:
        for block in blocks:
            first, at = at, at + len(block)
            while waiting and waiting[-1].start * SAMPLES_PER_MS < at:
                gap = waiting[-1]
                low, high = gap.start * SAMPLES_PER_MS, gap.end * SAMPLES_PER_MS
                held.append(block[max(0, low - first) : max(0, high - first)])
                if high > at:
                    break
                found += _calm(np.concatenate(held), gap.start)
                held.clear()
                waiting.pop()
            if not waiting:
                return found
    if held:
        found += _calm(np.concatenate(held), waiting[-1].start)
    return found


def _calm(samples: NDArray[np.float32], start: Milliseconds) -> list[Span]:
    """Return the stretches of a gap that hold no frame that may be speech, with some distance from any that does."""
    frames = len(samples) // FRAME_SAMPLES
    probabilities = SpeechProbability()(samples[: frames * FRAME_SAMPLES])
    found: list[Span] = []
    begin = 0
    for k in (*(i for i, p in enumerate(probabilities) if p >= _SPEECH), frames):
        low = begin * FRAME_MS + (_CALM_MS if begin else 0)
        high = k * FRAME_MS - (_CALM_MS if k < frames else 0)
        while high - low >= SHORTEST_MS:
            stop = min(high, low + LONGEST_MS)
            found.append(Span(start + low, start + stop))
            low = stop
        begin = k + 1
    return found
