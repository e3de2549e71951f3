"""How much memory a long recording takes: the recordings of a folder, one after another, again and again, for hours.

    python benchmarks/long_recording.py FOLDER [--hours 0.5,3] [--model tiny.en]

Peak resident memory of the whole `asrlsa transcribe` process, and × real time. If memory is bounded, the figures for
half an hour and for three hours are nearly the same.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

from asrlsa.audio import load
from asrlsa.recordings import find_recordings

RATE = 16_000

CHILD = """
import resource, sys
from asrlsa.cli import main
sys.argv = ["asrlsa", *sys.argv[1:]]
try:
    main()
except SystemExit as stop:
    code = stop.code
else:
    code = 0
print("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, file=sys.stderr)
sys.exit(code)
"""


def make(path: Path, folder: Path, hours: float) -> None:
    sources = [recording.path for recording in find_recordings([folder], None)]
    wanted = round(hours * 3600 * RATE)
    with soundfile.SoundFile(path, "w", RATE, 1, subtype="PCM_16") as file:
        while file.tell() < wanted:
            for source in sources:
                audio = load(source)
                file.write(np.clip(audio, -1, 1)[: wanted - file.tell()])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--hours", default="0.5,3")
    parser.add_argument("--model", default="tiny.en")
    args = parser.parse_args()
    print("| hours | model | × real time | peak memory of the process, MiB | utterances |")
    print("|-|-|-|-|-|")
    for hours in map(float, args.hours.split(",")):
        with tempfile.TemporaryDirectory() as temporary:
            path = Path(temporary) / "long.flac"
            make(path, args.folder, hours)
            begin = time.perf_counter()
            done = subprocess.run(
                [sys.executable, "-c", CHILD, "transcribe", str(path), "--model", args.model, "--offline", "--quiet"],
                capture_output=True,
                text=True,
                check=False,
            )
            took = time.perf_counter() - begin
            if done.returncode:
                raise SystemExit(done.stderr)
            peak = float(done.stderr.rsplit("peak", 1)[1])
            text = path.with_suffix(".cha").read_text(encoding="utf-8")
            spoken = sum(line.startswith("*") for line in text.splitlines())
            print(f"| {hours:g} | {args.model} | {hours * 3600 / took:.1f} | {peak:.0f} | {spoken} |", flush=True)


if __name__ == "__main__":
    main()
