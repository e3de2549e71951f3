"""Small recordings, and `asrlsa finetune` on them in processes of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import wave
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

TEXT = [
    "um the the dog ran to the b- ball",
    "and then uh he fell down in the water",
    "the boy was was looking for the frog",
    "er hm I don't know what happened next",
]


def make_data(folder: Path, train: int = 18, dev: int = 3, seconds: float = 3.0) -> Path:
    """Write train.jsonl and dev.jsonl with noise for sound; two utterances a speaker, one a recording."""
    folder.mkdir(parents=True, exist_ok=True)
    chance = np.random.default_rng(0)
    for name, count in (("train", train), ("dev", dev)):
        rows = []
        for i in range(count):
            path = folder / f"{name}{i}.wav"
            sound = (0.1 * 32767 * chance.standard_normal(round(16_000 * seconds))).astype("<i2")
            with wave.open(str(path), "wb") as file:
                file.setparams((1, 2, 16_000, 0, "NONE", ""))
                file.writeframes(sound.tobytes())
            times = {"start": 0.2, "end": seconds - 0.2}
            row = {"id": f"{name}{i}", "audio": path.name, **times, "text": TEXT[i % 4], "speaker": f"{name}{i // 2}"}
            rows.append(json.dumps(row))
        (folder / f"{name}.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder


def environment(cache: Path) -> dict[str, str]:
    """The variables of a process: one thread, no network, its own cache."""
    more = {
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "ASRLSA_CACHE": str(cache),
        "TOKENIZERS_PARALLELISM": "false",
    }
    return {**os.environ, **more}


def command(base: Path, data: Path, out: Path, *more: str) -> list[str]:
    """Arguments of `asrlsa finetune`, after the interpreter."""
    flags = ["--data", str(data), "--base", str(base), "-o", str(out), "--threads", "1", "--set", "train.log=jsonl"]
    return ["-m", "asrlsa", "--debug", "finetune", *flags, *more]


def run(arguments: Sequence[str], cache: Path, processes: int = 1) -> str:
    """Run to the end and return what was printed; fails with that text where the run fails."""
    launcher = ["-m", "torch.distributed.run", f"--nproc-per-node={processes}", "--master-port=0"]
    launcher += ["--rdzv-backend=c10d", "--rdzv-endpoint=localhost:0"]
    full = [sys.executable, *(launcher if processes > 1 else []), *arguments]
    found = subprocess.run(full, env=environment(cache), capture_output=True, text=True, timeout=300, check=False)
    assert found.returncode == 0, found.stdout[-3000:] + found.stderr[-6000:]
    return found.stdout + found.stderr


def run_and_kill(arguments: Sequence[str], cache: Path, log: Path, step: int) -> None:
    """Start, wait until ``log`` has a step, and kill the process without warning."""
    process = subprocess.Popen(
        [sys.executable, *arguments], env=environment(cache), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    limit = time.monotonic() + 240
    while time.monotonic() < limit and process.poll() is None:
        if log.exists() and any(e.get("event") == "step" and e["step"] >= step for e in events(log)):
            process.send_signal(signal.SIGKILL)
            break
        time.sleep(0.01)
    process.wait(30)
    assert process.returncode == -signal.SIGKILL, "the run ended before it was killed"


def events(log: Path) -> list[dict[str, Any]]:
    """The events of a log, without a last line that is being written."""
    found = []
    for line in log.read_text(encoding="utf-8").splitlines():
        try:
            found.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return found


def losses(out: Path) -> dict[int, float]:
    """Loss by step."""
    return {e["step"]: e["loss"] for e in events(out / "train.jsonl") if e["event"] == "step"}
