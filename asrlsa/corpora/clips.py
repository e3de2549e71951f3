"""Clips: every row as a recording of its own, written through pydub."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asrlsa.audio import SAMPLE_RATE, SAMPLES_PER_MS
from asrlsa.corpora.sound import stretches
from asrlsa.errors import MediaError, OutputError, UsageError
from asrlsa.types import Span

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TOLERANCE_MS = 50  # a clip may be shorter than its row by so much: the last frame of a codec


@dataclass(frozen=True, slots=True)
class CutTask:
    """Stretches of one recording, the files that they go to, and the ids of their rows."""

    audio: str
    spans: tuple[Span, ...]
    paths: tuple[str, ...]
    ids: tuple[str, ...]


def cut(task: CutTask) -> tuple[CutTask, list[int], str]:
    """Write the clips of one recording: WAV, 16 kHz, 16 bit, mono.

    A stretch of which the recording holds less than it should is not written: its text would be cut.

    Returns:
        The task, the indices of clips that were written, and why the recording can't be read (or nothing).

    Raises:
        OutputError: A clip can't be written.
        UsageError: pydub is not installed.
    """
    segment = audio_segment()
    written: list[int] = []
    try:
        for index, samples in stretches(Path(task.audio), task.spans):
            if len(samples) >= (task.spans[index].duration - TOLERANCE_MS) * SAMPLES_PER_MS:
                _write(segment, samples, Path(task.paths[index]))
                written.append(index)
    except MediaError as error:
        return task, written, str(error)
    return task, written, ""


def audio_segment() -> Any:
    """Return pydub's AudioSegment.

    Raises:
        UsageError: It is not installed, or lacks a module that Python 3.13 no longer has.
    """
    try:
        with warnings.catch_warnings():
            # It warns of a missing ffmpeg, which WAV does not need.
            warnings.simplefilter("ignore")
            from pydub import AudioSegment
    except ImportError as error:
        missing = "audioop-lts" if "audioop" in str(error) else "pydub"
        raise UsageError(f"--cut needs {missing}: pip install 'asrlsa[train]'") from None
    return AudioSegment


def _write(segment: Any, samples: NDArray[np.float32], path: Path) -> None:
    import numpy as np

    data = np.round(np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes()
    clip = segment(data=data, sample_width=2, frame_rate=SAMPLE_RATE, channels=1)
    beside = path.with_suffix(".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with beside.open("wb") as file:
            clip.export(file, format="wav")
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise OutputError(
            f"{path}: can't be written ({error.strerror or error}); free some disk space, or write elsewhere with -o"
        ) from None
