"""One configuration, measured in a process of its own: how fast, how much memory, and what it wrote.

``asrlsa quantize --verify`` and ``asrlsa bench`` stand on this. A process of its own is needed because memory that a
process once had stays in its peak, and because libraries keep the threads that they began with.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePath
from typing import IO, Any, Final

from asrlsa.errors import AsrlsaError, MediaError, ModelError, UsageError
from asrlsa.types import Milliseconds

Progress = Callable[[Milliseconds], None]
CONTEXTS: Final = ("auto", "full")
_WORKER: Final = "asrlsa.trial_worker"
_ERRORS: Final[Mapping[str, type[AsrlsaError]]] = {e.__name__: e for e in (MediaError, ModelError, UsageError)}
_POOLS: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


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
        engine: ``asrlsa``, or one of `asrlsa.engines.ENGINES`.
        only_model: Time encoder and decoder alone (engine asrlsa only): speech is found and features are computed
            before the clock starts, and there are no speakers and no forced alignment. Transcripts are text, one
            window a line.
        low_memory: As ``asrlsa transcribe --low-memory``.
        language: Language spoken, or ``auto``.
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
    low_memory: bool = False
    language: str = "auto"


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
        cpu_seconds: Seconds that all cores together worked while ``seconds`` passed; a busy machine, which makes
            ``seconds`` longer, hardly changes them.
    """

    trial: Trial
    audio_seconds: float
    load_seconds: float
    seconds: float
    first_seconds: float
    peak_memory: int
    disk: int
    transcripts: Path
    cpu_seconds: float = 0.0

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
        memory_limit: Bytes of memory of its own that the process may ask for (``ulimit -d``), whether it touches them
            or not; program code is not counted. Linux only.
        on_progress: Called with the milliseconds of audio that are done.

    Raises:
        ModelError: The model can't be had or loaded, the engine is not installed, or memory ran out.
        MediaError: A recording can't be transcribed.
        UsageError: There is no recording, or the limit or a setting is not possible here.
    """
    if not recordings:
        raise UsageError("there is no recording to measure with")
    if trial.context not in CONTEXTS:
        raise UsageError(f"context {trial.context!r} is not possible: give {' or '.join(CONTEXTS)}")
    if memory_limit is not None and not sys.platform.startswith("linux"):
        raise UsageError("memory can be limited on Linux only")
    weights, disk = _weights(trial)
    names = transcript_names(recordings)
    suffix = ".cha" if trial.engine == "asrlsa" and not trial.only_model else ".txt"
    work = []
    for path, name in zip(recordings, names, strict=True):
        transcript = (out / (name + suffix)).resolve()
        transcript.parent.mkdir(parents=True, exist_ok=True)
        work.append([str(path.resolve()), str(transcript)])
    request = {"trial": asdict(trial), "weights": str(weights), "work": work, "memory_limit": memory_limit}
    found = _measure(request, trial.threads, on_progress)
    return TrialResult(
        trial=trial,
        audio_seconds=found["audio_seconds"],
        load_seconds=found["load_seconds"],
        seconds=found["seconds"],
        first_seconds=found["first_seconds"],
        peak_memory=found["peak_memory"],
        disk=disk,
        transcripts=out,
        cpu_seconds=found["cpu_seconds"],
    )


def transcript_names(recordings: Sequence[Path]) -> list[str]:
    """Return the name of each recording's transcript below the folder, without suffix.

    The stem, or where two recordings have one stem the path below the folder that all share: the names that
    `asrlsa.evaluate.evaluate` pairs by.

    Raises:
        UsageError: Two recordings differ in their suffix only.
    """
    bare = [PurePath(path.resolve()).with_suffix("") for path in recordings]
    twice = [str(path) for path, count in Counter(bare).items() if count > 1]
    if twice:
        raise UsageError(f"{twice[0]}: there are two recordings of this name; their transcripts would be one file")
    if len({path.name for path in bare}) == len(bare):
        return [path.name for path in bare]
    shared = Path(os.path.commonpath([path.parent for path in bare]))
    return [path.relative_to(shared).as_posix() for path in bare]


def size_of(model: Path) -> int:
    """Return the bytes of a model's file or folder."""
    files = [model] if model.is_file() else [path for path in model.rglob("*") if path.is_file()]
    return sum(path.stat().st_size for path in files)


def _weights(trial: Trial) -> tuple[Path, int]:
    """Find the model, converting it where the engine wants another form; return where it lies and its bytes."""
    from asrlsa.models import cache_dir, resolve_model

    model = resolve_model(trial.model)
    if trial.engine == "asrlsa":
        return model.directory, size_of(model.directory)
    from asrlsa.engines import engine_weights, lacking

    if reason := lacking(trial.engine):
        raise ModelError(reason)
    weights = engine_weights(trial.engine, model, trial.compute_type, cache_dir())
    return weights, size_of(weights)


def _measure(request: Mapping[str, Any], threads: int, on_progress: Progress | None) -> dict[str, Any]:
    """Run the worker, pass its progress on and return what it measured."""
    pools = {name: str(threads) for name in _POOLS} if threads else {}
    environment = {**os.environ, **pools, "PYTHONIOENCODING": "utf-8"}
    command = [sys.executable, "-m", _WORKER]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        encoding="utf-8",
        errors="replace",
    ) as process:
        try:
            return _listen(process, request, on_progress)
        finally:
            process.kill()  # nothing where it has ended; else the user or an error stopped us


def _listen(process: subprocess.Popen[str], request: Mapping[str, Any], on_progress: Progress | None) -> dict[str, Any]:
    import threading

    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    said: list[str] = []
    # Its messages are read beside, so that a full pipe never stops it.
    reader = threading.Thread(target=_collect, args=(process.stderr, said), daemon=True)
    reader.start()
    result: dict[str, Any] = {}
    try:
        process.stdin.write(json.dumps(request))
        process.stdin.close()
    except BrokenPipeError:  # it ended before it read: its exit code and messages say why
        pass
    for line in process.stdout:
        event = _event(line)
        if "progress" in event and on_progress is not None:
            on_progress(event["progress"])
        result = event if "seconds" in event or "error" in event else result
    code = process.wait()
    reader.join(5)
    if "error" in result:
        raise _ERRORS.get(result["error"], ModelError)(result["message"])
    if code or "seconds" not in result:
        limit = request["memory_limit"]
        last = next((line for line in reversed(said) if line.strip()), "").strip()
        killed = f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"
        why = f" with a memory limit of {limit / 1e6:.0f} MB" if limit else ""
        raise ModelError(f"the process that measures {killed}{why}{': ' + last if last else ''}")
    return result


def _collect(stream: IO[str], lines: list[str]) -> None:
    for line in stream:
        lines.append(line)
        del lines[:-50]


def _event(line: str) -> dict[str, Any]:
    """Read one line of the worker; what a library prints is no event."""
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
