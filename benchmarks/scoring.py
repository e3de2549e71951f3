"""How long scoring takes and how much memory: words a second for one long file and for many files, all default scores.

    python benchmarks/scoring.py                 # a million words in 100 files, then in one file
    python benchmarks/scoring.py --words 100000  # less

It makes CHAT files with disfluencies and masked stretches, garbles a copy, and scores the copy as ``asrlsa evaluate``
does, reading and writing files, in one process with one thread. Nothing is downloaded.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from asrlsa.speech.memory import peak_memory

HEAD = (
    "@UTF8\n@Begin\n@Languages:\teng\n@Participants:\tCHI Target_Child, INV Investigator\n"
    "@ID:\teng|bench|CHI|||||Target_Child|||\n@ID:\teng|bench|INV|||||Investigator|||\n@Media:\tx, audio\n"
)


def utterance(rng: random.Random, vocabulary: list[str]) -> list[str]:
    """Return the items of one main tier."""
    items = []
    for _ in range(rng.randint(3, 12)):
        word = vocabulary[min(int(rng.paretovariate(0.6)), len(vocabulary)) - 1]
        draw = rng.random()
        if draw < 0.05:
            items.append(rng.choice(["&-um", "&-uh"]))
        elif draw < 0.08:
            items += [word, "[/]"]
        elif draw < 0.10:
            items.append(f"&+{word[0]}")
        elif draw < 0.11:
            items.append("xxx")
        items.append(word)
    return items


def garbled(rng: random.Random, items: list[str], vocabulary: list[str]) -> list[str]:
    """Return what a recogniser might have made of them, about 15 % wrong."""
    made = []
    for item in items:
        draw = rng.random()
        if item == "[/]":
            if made and made[-1] not in ("[/]",) and not made[-1].startswith("&"):
                made.append(item)
        elif draw < 0.05 and not item.startswith("["):
            continue
        elif draw < 0.12 and item[0].isalpha():
            made.append(rng.choice(vocabulary))
        else:
            made.append(item)
        if draw > 0.97:
            made.append(rng.choice(vocabulary))
    while made and made[-1] == "[/]":
        made.pop()
    return made or ["oh"]


def write_corpus(folder: Path, words: int, files: int, seed: int = 1) -> int:
    """Write references and hypotheses; return the number of words in the references."""
    rng = random.Random(seed)
    letters = "abcdefghijklmnopqrstuvwxyz"
    vocabulary = ["".join(rng.choice(letters) for _ in range(rng.randint(1, 8))) for _ in range(20_000)]
    total = 0
    for number in range(files):
        sides: list[list[str]] = [[HEAD], [HEAD]]
        clock = count = 0
        while count < words // files:
            items = utterance(rng, vocabulary)
            speaker = "CHI" if rng.random() < 0.6 else "INV"
            bullet = f" \x15{clock}_{clock + 300 * len(items)}\x15\n"
            clock += 300 * len(items) + 200
            for side, tier in zip(sides, (items, garbled(rng, items, vocabulary)), strict=True):
                side.append(f"*{speaker}:\t{' '.join(tier)} .{bullet}")
            count += sum(item not in ("[/]", "xxx") for item in items)
        total += count
        for side, name in zip(sides, ("ref", "hyp"), strict=True):
            (folder / name).mkdir(exist_ok=True)
            (folder / name / f"f{number:04}.cha").write_text("".join(side) + "@End\n", encoding="utf-8")
    return total


def score(folder: Path) -> None:
    """Score the corpus in this process and print what it took."""
    from asrlsa.evaluate import evaluate

    begin = time.process_time()
    found = evaluate(folder / "hyp", folder / "ref")
    seconds = time.process_time() - begin
    peak = peak_memory() / 2**20
    words = sum(file.counts["verbatim"].reference for file in found.files)
    print(
        f"{len(found.files):5} files {words:9,} words  {seconds:6.1f} s CPU  {words / seconds:9,.0f} words/s  "
        f"peak {peak:6.0f} MB  WER {found.scores['wer']:.2f} %  disfluency F1 {found.scores['disfluency_f1']:.2f} %",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--words", type=int, default=1_000_000)
    parser.add_argument("--score", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.score is not None:
        score(options.score)
        return
    sizes = [(options.words // 10, 100), (options.words, 100), (options.words // 10, 1), (options.words, 1)]
    for words, files in sizes:
        with tempfile.TemporaryDirectory() as folder:
            write_corpus(Path(folder), words, files)
            # A process of its own, so that the peak is of this corpus alone.
            subprocess.run(
                [sys.executable, __file__, "--score", folder],
                check=True,
                env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            )


if __name__ == "__main__":
    main()
