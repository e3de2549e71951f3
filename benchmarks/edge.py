"""The edge target: base and tiny in little memory, faster than real time on one core.

    python benchmarks/edge.py RECORDING [--models base tiny.en] [--json OUT]

Every model is stored as int8 first (asrlsa quantize), as docs/edge.md says. Then `asrlsa transcribe --low-memory
--threads 1` (tiny: with --window 12 too) runs on one core (CPU affinity), with its memory capped at the target: by a
control group of its own where one can be made (version 2, or 1), which counts all that the process holds; and by
RLIMIT_DATA elsewhere. Whatever the cap is, the highest resident size that the system saw is compared with the target as
well. The last columns are what the default settings need on the same core. Exit code 1 where a target is missed.

MB are 10^6 bytes. × real time is of the whole command: start, loading, all passes, writing; by the clock, and by the
CPU seconds of the process, which other programs on the machine hardly change. The target is by the clock.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from asrlsa.speech.memory import peak_memory

TARGETS = {"base": 500_000_000, "tiny": 250_000_000}
OPTIONS = {"base": [], "tiny": ["--window", "12"]}  # shorter windows where the target is tight
GROUPS = Path("/sys/fs/cgroup")


@dataclass
class Run:
    model: str
    options: str
    seconds: float
    cpu_seconds: float
    audio_seconds: float
    peak: int
    cap: str
    code: int

    @property
    def speed(self) -> float:
        return self.audio_seconds / self.seconds

    @property
    def cpu_speed(self) -> float:
        return self.audio_seconds / self.cpu_seconds


@contextmanager
def group(limit: int) -> Iterator[tuple[str, Path | None]]:
    """A control group with so many bytes of memory and no swap; its way of capping in words, its list of processes."""
    name = f"asrlsa-edge-{os.getpid()}"
    makers = (
        ("control group 2", GROUPS / name, "memory.max", ("memory.swap.max", "0")),
        ("control group 1", GROUPS / "memory" / name, "memory.limit_in_bytes", ("memory.swappiness", "0")),
    )
    for words, folder, file, without_swap in makers:
        if made(folder, file, limit, without_swap):
            try:
                yield words, folder / "cgroup.procs"
            finally:
                folder.rmdir()
            return
    yield "RLIMIT_DATA", None


def made(folder: Path, file: str, limit: int, without_swap: tuple[str, str]) -> bool:
    """Make a control group; False where this user or this system can't."""
    try:
        folder.mkdir()
    except OSError:
        return False
    try:
        if not (folder / file).exists():  # no memory controller, or no control groups at all
            raise OSError
        (folder / file).write_text(str(limit))
        with suppress(FileNotFoundError):
            (folder / without_swap[0]).write_text(without_swap[1])
        if int((folder / file).read_text()) <= limit:
            return True
    except OSError:
        pass
    folder.rmdir()
    return False


def capped(command: list[str], limit: int | None) -> tuple[float, float, int, int, str]:
    """Run a command on one core; return seconds by the clock and of the core, the peak, the exit code, and the cap."""

    def run(words: str, procs: Path | None) -> tuple[float, float, int, int, str]:
        def prepare() -> None:
            if hasattr(os, "sched_setaffinity"):
                os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
            if procs is not None:
                procs.write_text(str(os.getpid()))
            elif limit is not None:
                resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))

        begin = time.perf_counter()
        child = subprocess.Popen(command, preexec_fn=prepare)
        peak, ended = 0, 0
        while not ended:
            ended, status, usage = os.wait4(child.pid, os.WNOHANG)
            peak = peak if ended else peak_memory(child.pid) or peak  # the last one read: it never falls
            time.sleep(0.01)
        child.returncode = os.waitstatus_to_exitcode(status)
        peak = peak or usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        worked = usage.ru_utime + usage.ru_stime
        return time.perf_counter() - begin, worked, peak, child.returncode, words

    if limit is None:
        return run("none", None)
    with group(limit) as (words, procs):
        return run(words, procs)


def transcribed(model: Path | str, label: str, recording: Path, options: list[str], limit: int | None) -> Run:
    from asrlsa.audio import stream

    with stream(recording) as blocks:
        length = (blocks.info.duration_ms or 0) / 1000
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-m", "asrlsa", "transcribe", str(recording), "-o", out, "--model", str(model)]
        command += ["--offline", "--quiet", "--no-recommended", *options]
        seconds, worked, peak, code, cap = capped(command, limit)
        if code == 0 and not list(Path(out).rglob("*.cha")):
            code = 1
    return Run(label, " ".join(options), seconds, worked, length, peak, cap, code)


def small(model: str, folder: Path) -> Path:
    """The model as int8, by asrlsa quantize."""
    place = folder / f"{model}-int8"
    command = [sys.executable, "-m", "asrlsa", "quantize", model, "-o", str(place), "--type", "int8"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return place


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recording", type=Path)
    parser.add_argument("--models", nargs="+", default=["base", "tiny.en"])
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    runs: list[Run] = []
    missed = False
    print("| model | target MB | cap by | peak MB | × real time | by CPU time | met | default: peak MB | by CPU time |")
    print("|-|-|-|-|-|-|-|-|-|")
    with tempfile.TemporaryDirectory() as folder:
        for model in args.models:
            size = model.split(".")[0]
            limit, options = TARGETS[size], ["--threads", "1", "--low-memory", *OPTIONS[size]]
            model_folder = small(model, Path(folder))
            ours = transcribed(model_folder, model, args.recording, options, limit)
            usual = transcribed(model, model, args.recording, ["--threads", "1"], None)
            met = ours.code == 0 and ours.peak < limit and ours.speed > 1
            missed = missed or not met
            runs += [ours, usual]
            print(
                f"| {model} | {limit / 1e6:.0f} | {ours.cap} | {ours.peak / 1e6:.0f} | {ours.speed:.1f} | "
                f"{ours.cpu_speed:.1f} | "
                f"{'yes' if met else f'no (exit code {ours.code})'} | {usual.peak / 1e6:.0f} | {usual.cpu_speed:.1f} |",
                flush=True,
            )
    if args.json:
        args.json.write_text(json.dumps([asdict(run) for run in runs], indent=2) + "\n", encoding="utf-8")
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
