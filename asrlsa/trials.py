"""One configuration, measured in a process of its own: how fast, how much memory, and what it wrote.

``asrlsa quantize --verify`` and ``asrlsa bench`` stand on this. A process of its own is needed because memory that a
process once had stays in its peak, and because libraries keep the threads that they began with.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from asrlsa.types import Milliseconds

Progress = Callable[[Milliseconds], None]


@dataclass(frozen=True, slots=True)
class Trial:
    """One configuration.

    Attributes:
        model: Name or folder of the model, as ``asrlsa transcribe --model`` takes it.
        compute_type: CTranslate2's compute type, or ``default``.
        device: ``cpu``, ``cuda`` or ``auto``.
        beam_size: Width of the search; 1 is greedy.
        batch_size: Windows decoded together; None leaves the choice to the engine.
        threads: CPU cores that the process may use (it is bound to so many where the system can); 0 takes all.
        context: ``auto`` shortens the encoder's input for short windows as asrlsa does; ``full`` pads all to 30 s.
        engine: ``asrlsa``, or one that `asrlsa.engines` knows.
        only_model: Time encoder and decoder alone: finding speech and features are done before, and there are no
            word times by forced alignment and no speakers. Transcripts are then text, one window a line.
    """

    model: str
    compute_type: str = "default"
    device: str = "auto"
    beam_size: int = 1
    batch_size: int | None = None
    threads: int = 0
    context: str = "auto"
    engine: str = "asrlsa"
    only_model: bool = False


@dataclass(frozen=True, slots=True)
class TrialResult:
    """What one process measured.

    Attributes:
        trial: The configuration.
        audio_seconds: Length of all recordings.
        load_seconds: From the first import to a model that is ready.
        seconds: From there to the last transcript on the disk.
        first_seconds: From there to the first words of the first recording.
        peak_memory: Largest resident memory of the process, in bytes.
        disk: Bytes of the model's folder.
        transcripts: Folder with one transcript a recording, named by `transcript_names`.
    """

    trial: Trial
    audio_seconds: float
    load_seconds: float
    seconds: float
    first_seconds: float
    peak_memory: int
    disk: int
    transcripts: Path

    @property
    def speed(self) -> float:
        """Seconds of audio for a second of work: × real time."""
        return self.audio_seconds / self.seconds


def run_trial(
    trial: Trial,
    recordings: Sequence[Path],
    out: Path,
    *,
    memory_limit: int | None = None,
    on_progress: Progress | None = None,
) -> TrialResult:
    """Transcribe recordings in a new process and measure it.

    The model is looked up, and converted where it needs to be, before the process starts: that does not count.

    Args:
        trial: The configuration.
        recordings: Audio or video files.
        out: Folder for the transcripts; created.
        memory_limit: Bytes of memory that the process may ask for (``ulimit -d``); Linux only.
        on_progress: Called with the milliseconds of audio that are done.

    Raises:
        ModelError: The model can't be had or loaded, the engine is not installed, or memory ran out.
        MediaError: A recording can't be transcribed.
        UsageError: There is no recording, or the limit can't be set here.
    """
    raise NotImplementedError  # follows within minutes; the signature stands


def transcript_names(recordings: Sequence[Path]) -> list[str]:
    """Return the name of each recording's transcript below the folder, without suffix.

    The stem, or where two recordings have one stem the path below the folder that all share.
    """
    raise NotImplementedError
