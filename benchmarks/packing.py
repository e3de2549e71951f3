"""How full the encoder's windows are, and what reading them costs, for each way of packing a manifest.

    python benchmarks/packing.py ../shared/data/child_read/manifest.jsonl [...] [--read]

Prints, for each layout, the windows, the share of the encoder's input that is speech, pauses and padding, and with
``--read`` the milliseconds that a window takes to read and turn into features on one thread. Needs the train extra and
the starter model base (for its tokenizer).
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

import torch

from asrlsa.manifest import read_rows
from asrlsa.models import resolve_model
from asrlsa.training.batches import WindowSampler, make_dataset
from asrlsa.training.data_settings import DataSettings
from asrlsa.training.vocabulary import Vocabulary

# Every word of these sets is transcribed, but their manifests do not say so: trust_gaps.
PLAIN = DataSettings(noise_only=0, trust_gaps=True, spec_augment=0, noise=0, telephone=0, prompt_share=0)
LAYOUTS = {
    "single": replace(PLAIN, layout="single"),
    "packed, join none": replace(PLAIN, join="none"),
    "packed, join recording": replace(PLAIN, join="recording"),
    "packed, join corpus": PLAIN,
    "isolated": replace(PLAIN, layout="isolated"),
    "variable, no 30 s": replace(PLAIN, layout="variable", full_share=0),
    "variable, random": replace(PLAIN, layout="variable", full_share=0, duration_buckets=1, token_buckets=1),
    "variable": replace(PLAIN, layout="variable"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("manifests", nargs="+", type=Path)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--read", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    vocabulary = Vocabulary.of(resolve_model("base", offline=True).directory)
    for manifest in options.manifests:
        rows = list(read_rows(manifest))
        print(f"{manifest}: {len(rows)} rows, batch {options.batch}")
        for name, settings in LAYOUTS.items():
            dataset = make_dataset(rows, settings, vocabulary)
            load = WindowSampler(dataset, options.batch).load()
            cost = ""
            if options.read:
                some = range(min(50, len(dataset)))
                begin = time.perf_counter()
                for index in some:
                    dataset[index]
                cost = f"; {1000 * (time.perf_counter() - begin) / len(some):.0f} ms a window"
            print(f"  {name:23s} {len(dataset):5d} windows; {load.describe()}{cost}")
        for line in dataset.summary().describe_left_out():
            print(f"  {line}")


if __name__ == "__main__":
    main()
