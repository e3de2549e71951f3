"""Where int8 gains and where it can't: encoder by length of input, and decoder, in each compute type.

    python benchmarks/compute_types.py [--model base] [--types float32 int8] [--threads 1] [--json FILE]

Attention between all frames grows with the square of the input and stays float32 in CTranslate2; the matrices of the
layers grow with the input and are what int8 makes faster. The encoder's times at 30 s and 15 s say how much is which:
t(30) = 2 a + 4 b and t(15) = a + b, with a for 15 s of what grows evenly and b for 15 s of attention. CPU time of one
process, medians of --runs; the sound is noise, since the work does not depend on it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import ctranslate2
import numpy as np

from asrlsa.models import resolve_model
from asrlsa.recommended import machine_name

FRAMES = {30: 3000, 15: 1500, 10: 1000, 6: 600}  # s of sound -> frames of 10 ms
TOKENS = 64
MELS = 80


def median_ms(work: Callable[[], object], runs: int) -> float:
    """Return the median CPU time of some work in ms, after one run that does not count."""
    work()
    times = []
    for _ in range(runs):
        begin = time.process_time()
        work()
        times.append(time.process_time() - begin)
    return 1000 * statistics.median(times)


def measure(folder: str, kind: str, threads: int, runs: int) -> dict[str, float]:
    """Time one compute type: ms of the encoder for each length of input, and of the decoder for a token."""
    model = ctranslate2.models.Whisper(folder, device="cpu", compute_type=kind, intra_threads=threads)
    noise = np.random.default_rng(0)
    sounds = {
        seconds: ctranslate2.StorageView.from_array(noise.standard_normal((1, MELS, frames)).astype(np.float32))
        for seconds, frames in FRAMES.items()
    }
    found = {
        f"encoder_{seconds}": median_ms(lambda sound=sound: model.encode(sound, to_cpu=True), runs)  # type: ignore[misc]
        for seconds, sound in sounds.items()
    }
    encoded = model.encode(sounds[30], to_cpu=True)
    start, end = (50258, 50257) if model.is_multilingual else (50257, 50256)

    def write() -> None:
        model.generate(encoded, [[start]], beam_size=1, max_length=TOKENS, suppress_tokens=[end], suppress_blank=False)

    found["decoder_token"] = median_ms(write, runs) / TOKENS
    attention = max(0.0, (found["encoder_30"] - 2 * found["encoder_15"]) / 2)
    found["attention_share_30"] = 4 * attention / found["encoder_30"]
    return found


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="base")
    parser.add_argument("--types", nargs="+", default=["float32", "int8"])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    folder = str(resolve_model(options.model, offline=True).directory)
    runs = {kind: measure(folder, kind, options.threads, options.runs) for kind in options.types}
    print(f"{options.model}, {machine_name()}, {options.threads} thread(s); ms of CPU time")
    print(f"\n| | {' | '.join(options.types)} | gain |\n|-|{'-:|' * (len(runs) + 1)}")
    first, last = runs[options.types[0]], runs[options.types[-1]]
    for name in first:
        share = name.startswith("attention")
        cells = [f"{r[name]:.0%}" if share else f"{r[name]:.1f}" for r in runs.values()]
        print(f"| {name} | {' | '.join(cells)} | {'' if share else f'{first[name] / last[name]:.2f}'} |")
    if options.json:
        options.json.write_text(json.dumps(runs, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
