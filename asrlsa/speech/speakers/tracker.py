"""Diarization of a recording that arrives in pieces.

Speech is cut into windows of 1.5 s every 0.75 s; of each the tracker keeps an embedding and the median pitch, about
1 kB, and lets go of the audio. At the end the windows are clustered and every 20 ms of speech goes to the speaker with
the most similar windows around it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from asrlsa.errors import UsageError
from asrlsa.speech.speakers.clustering import Clustering, cluster
from asrlsa.speech.speakers.diarization import Diarization
from asrlsa.speech.speakers.embedding import SpeakerEncoder
from asrlsa.speech.speakers.features import SAMPLE_RATE, FloatArray, fbank, frame_count
from asrlsa.speech.speakers.pitch import pitch_track
from asrlsa.types import Milliseconds, Span, Turn

WINDOW = 1500  # ms
HOP = 750  # ms
CLUSTERED = 700  # ms; shorter windows are assigned to speakers but do not shape them
FEWEST_CLUSTERED = 4
STEP = 20  # ms; resolution of the turns
PER_MS = SAMPLE_RATE // 1000
FEATURE_HOP = 10  # ms
PITCH_HOP = 20  # ms
PITCH_FRAME = 42  # ms

WindowArray = NDArray[np.int64]  # (N, 2): start and end in ms


def windows_of(region: Span) -> list[Span]:
    """Cover a speech region with windows of 1.5 s every 0.75 s, the last at its end; a short region is one window."""
    if region.duration <= WINDOW:
        return [region]
    starts = [*range(region.start, region.end - WINDOW, HOP), region.end - WINDOW]
    return [Span(start, start + WINDOW) for start in starts]


class SpeakerTracker:
    """Collects the voices of one recording, piece by piece, and tells who speaks when at the end.

    Memory: about 1 kB a window, so 22 MB for three hours of unbroken speech, and at the end at most about 100 MB more
    for clustering; nothing grows with the audio itself.

    Args:
        encoder: The embedding model; may be shared by trackers of one thread.
    """

    def __init__(self, encoder: SpeakerEncoder) -> None:
        self._encoder: SpeakerEncoder | None = encoder
        self._regions: list[Span] = []
        self._windows: list[tuple[int, int]] = []
        self._embeddings: list[FloatArray] = []
        self._pitch: list[float] = []

    def add(self, audio: FloatArray, offset_ms: Milliseconds, regions: Sequence[Span]) -> None:
        """Take in the next piece of the recording.

        Args:
            audio: Mono samples at 16 kHz in -1 to 1, shape (N,).
            offset_ms: Where the piece begins in the recording, in ms.
            regions: Speech regions in ms from the start of the *recording*, in order. What lies outside the piece is
                ignored. Regions decide the windows, so cutting the recording between regions changes nothing.

        Raises:
            UsageError: The piece lies before speech that was added already.
            RuntimeError: The model was let go of.
        """
        if self._encoder is None:
            raise RuntimeError("the tracker has let go of its model")
        end_ms = offset_ms + len(audio) // PER_MS
        clipped = [Span(max(r.start, offset_ms), min(r.end, end_ms)) for r in regions]
        clipped = [region for region in clipped if region.duration > 0]
        if clipped and self._regions and clipped[0].start < self._regions[-1].end:
            raise UsageError(
                f"speech at {clipped[0].start} ms was added after speech up to {self._regions[-1].end} ms: "
                "add the pieces of a recording in order"
            )
        features: list[FloatArray] = []
        for region in clipped:
            samples = audio[(region.start - offset_ms) * PER_MS : (region.end - offset_ms) * PER_MS]
            energies, hertz = fbank(samples), pitch_track(samples)
            for window in windows_of(region):
                begin = window.start - region.start
                first = min(begin // FEATURE_HOP, len(energies) - 1)
                features.append(energies[first : first + frame_count(window.duration * PER_MS)])
                self._windows.append((window.start, window.end))
                self._pitch.append(_median_pitch(hertz, begin, window.duration))
        self._regions.extend(clipped)
        if features:
            self._embeddings.append(self._encoder.embed_features(features))

    def release(self) -> None:
        """Let go of the model, which `finish` does not need."""
        self._encoder = None

    def finish(self, speakers: int | Literal["auto"] = "auto", max_speakers: int = 6) -> Diarization:
        """Cluster what was collected.

        Args:
            speakers: How many there are, or ``"auto"`` to count them.
            max_speakers: The most that ``"auto"`` finds.

        Returns:
            Turns that cover exactly the speech regions, in order, one speaker at a time. Fewer speakers than asked for
            come back where there is too little speech for them.

        Raises:
            UsageError: ``speakers`` or ``max_speakers`` is less than 1.
        """
        if max_speakers < 1 or (speakers != "auto" and speakers < 1):
            raise UsageError(f"{speakers} speakers (at most {max_speakers}): give a number from 1 up, or auto")
        if not self._windows:
            return Diarization((), 0, {}, "0 speakers: no speech was found")
        embeddings = np.concatenate(self._embeddings)
        windows = np.array(self._windows, dtype=np.int64)
        long = windows[:, 1] - windows[:, 0] >= CLUSTERED
        if long.sum() < FEWEST_CLUSTERED:
            long[:] = True
        found = cluster(embeddings[long], None if speakers == "auto" else speakers, max_speakers)
        turns = self._turns(found, embeddings, windows)
        names: dict[str, str] = {}
        for turn in turns:
            names.setdefault(turn.speaker, str(len(names)))
        renamed = tuple(Turn(turn.start, turn.end, names[turn.speaker]) for turn in turns)
        return Diarization(renamed, len(names), self._pitch_of(found, embeddings, names), found.reason)

    def _turns(self, found: Clustering, embeddings: FloatArray, windows: WindowArray) -> list[Turn]:
        starts = np.array([region.start for region in self._regions])
        owner = np.searchsorted(starts, windows[:, 0], side="right") - 1
        bounds = np.searchsorted(owner, np.arange(len(self._regions) + 1))
        similarity = found.similarity(embeddings)
        turns: list[Turn] = []
        for index, region in enumerate(self._regions):
            mine = slice(bounds[index], bounds[index + 1])
            for turn in _region_turns(region, windows[mine], similarity[mine]):
                if turns and turns[-1].speaker == turn.speaker and turns[-1].end == turn.start:
                    turns[-1] = Turn(turns[-1].start, turn.end, turn.speaker)
                else:
                    turns.append(turn)
        return turns

    def _pitch_of(self, found: Clustering, embeddings: FloatArray, names: dict[str, str]) -> dict[str, float]:
        nearest = found.similarity(embeddings).argmax(axis=1)
        hertz = np.array(self._pitch)
        pitch: dict[str, float] = {}
        for label, name in names.items():
            own = hertz[(nearest == int(label)) & ~np.isnan(hertz)]
            if len(own):
                pitch[name] = float(np.median(own))
        return pitch


def _median_pitch(hertz: FloatArray, begin: Milliseconds, duration: Milliseconds) -> float:
    part = hertz[begin // PITCH_HOP : max(begin, begin + duration - PITCH_FRAME) // PITCH_HOP + 1]
    voiced = part[~np.isnan(part)]
    return float(np.median(voiced)) if len(voiced) else float("nan")


def _region_turns(region: Span, windows: WindowArray, similarity: FloatArray) -> list[Turn]:
    """Give every 20 ms of a region to the speaker most like the windows around it, nearer windows counting more."""
    steps = -(-region.duration // STEP)
    centres = region.start + STEP * np.arange(steps) + STEP / 2
    votes = np.zeros((steps, similarity.shape[1]))
    for (start, end), row in zip(windows, similarity, strict=True):
        first, last = (start - region.start) // STEP, -(-(end - region.start) // STEP)
        distance = np.abs(centres[first:last] - (start + end) / 2) / ((end - start) / 2)
        votes[first:last] += np.maximum(0.05, 1.0 - distance)[:, None] * row
    labels = votes.argmax(axis=1)
    changes = [0, *(np.flatnonzero(np.diff(labels)) + 1), steps]
    return [
        Turn(int(region.start + a * STEP), int(min(region.start + b * STEP, region.end)), str(labels[a]))
        for a, b in pairwise(changes)
    ]
