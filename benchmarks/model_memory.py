"""Peak memory of a transcription on CPU for each offline model and compute type; the estimates in models.py rest on it.

    python benchmarks/model_memory.py RECORDING

Every measurement runs in its own process; MB = 10^6 bytes, the highest resident size that the system saw.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from asrlsa.models import available_models, resolve_model
from asrlsa.speech.memory import peak_memory

BATCH = 4  # windows decoded together, as asrlsa chooses on a CPU


def measure(name: str, compute_type: str, recording: str, batch_size: int) -> float:
    """Return the peak memory in MB of one transcription in a new process."""
    call = [sys.executable, __file__, recording, name, compute_type, str(batch_size)]
    done = subprocess.run(call, stdout=subprocess.PIPE, text=True, check=True)
    return float(done.stdout.split()[-1])


def transcribe(recording: str, name: str, compute_type: str, batch_size: int) -> None:
    import asrlsa

    asrlsa.transcribe(
        recording, model=name, compute_type=compute_type, batch_size=batch_size, offline=True, language="en"
    )
    print(peak_memory() / 1e6)


def main() -> None:
    if len(sys.argv) == 5:
        transcribe(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
        return
    recording = str(Path(sys.argv[1]))
    print("model     parameters  compute    peak MB  estimate MB")
    for row in available_models():
        parameters = resolve_model(row.name, offline=True).parameters
        for compute_type, estimate in (("int8", row.memory_int8_mb), ("float32", row.memory_float32_mb)):
            peak = measure(row.name, compute_type, recording, BATCH)
            print(f"{row.name:9} {parameters:10,}  {compute_type:8}  {peak:7.0f}  {estimate:11}", flush=True)


if __name__ == "__main__":
    main()
