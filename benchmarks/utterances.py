"""How well unpunctuated and punctuated speech is cut into utterances.

    python benchmarks/utterances.py [--show] [--held-out] [--data ../shared/data]

C-units: the texts of benchmarks/cunits.txt as one run of words without times, bare and with punctuation as Whisper
might write it (sentences of one to three units, seeded). Recordings: the synthetic set, words spread evenly over their
utterance, with the recogniser's punctuation and bare; its gold cuts sentences, not C-units.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Sequence
from pathlib import Path

from asrlsa.language import spell_out
from asrlsa.speech.utterances import split_utterances
from asrlsa.types import Word


def texts(held_out: bool) -> list[list[str]]:
    lines = (Path(__file__).parent / "cunits.txt").read_text(encoding="utf-8").splitlines()
    found: list[list[str]] = [[]]
    wanted = False
    for line in lines:
        if line.startswith("#"):
            wanted = ("held out" in line) == held_out
            found.append([])
        elif not line.strip():
            found.append([])
        elif wanted:
            found[-1].append(line.strip())
    return [text for text in found if text]


def score(gold: set[int], ours: set[int]) -> tuple[int, int, int]:
    return len(gold & ours), len(gold), len(ours)


def show_scores(name: str, rows: Sequence[tuple[int, int, int]]) -> None:
    hit, gold, ours = (sum(column) for column in zip(*rows, strict=True))
    precision, recall = hit / max(1, ours), hit / max(1, gold)
    f1 = 2 * precision * recall / max(1e-9, precision + recall)
    print(f"{name:44} P {precision:.2f}  R {recall:.2f}  F1 {f1:.2f}  ({hit} of {gold}, {ours} cut)")


def punctuated(units: Sequence[str], rng: random.Random) -> str:
    found = []
    at = 0
    while at < len(units):
        group = units[at : at + rng.choice([1, 1, 2, 2, 3])]
        asks = group[0].startswith(("what", "do ", "how "))
        group = group[:1] if asks else group
        text = ", ".join(group)
        found.append(text[0].upper() + text[1:] + ("?" if asks else "."))
        at += len(group)
    return " ".join(found)


def c_units(held_out: bool, show: bool) -> None:
    for style in ("bare", "as recognised"):
        rng = random.Random(3)
        rows = []
        # One run of words: all texts in a row, as the boundaries between speakers are easy.
        units = [unit for text in texts(held_out) for unit in text]
        text = " ".join(units) if style == "bare" else punctuated(units, rng)
        words = spell_out([Word(token) for token in text.split()], "eng")
        gold, ours, at = set(), set(), 0
        for unit in units:
            at += len(unit.split())
            gold.add(at)
        at = 0
        for draft in split_utterances(words):
            at += len(draft.words)
            ours.add(at)
            if show and (at not in gold):
                print("  false  " + " ".join(w.text for w in words[max(0, at - 6) : at]), "|", words[at].text)
        if show:
            for place in sorted(gold - ours):
                print("  missed " + " ".join(w.text for w in words[max(0, place - 6) : place]), "|",
                      " ".join(w.text for w in words[place : place + 4]))  # fmt: skip
        rows.append(score(gold - {at}, ours - {at}))
        show_scores(f"C-units, {'held out' if held_out else 'dev'}, {style}", rows)


def recordings(data: Path, splits: Sequence[str], bare: bool, show: bool) -> None:
    by_file: dict[str, list[dict]] = {}
    for line in (data / "synthetic" / "manifest.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if row["split"] in splits:
            by_file.setdefault(row["audio"], []).append(row)
    rows = []
    for name, utterances in by_file.items():
        words: list[Word] = []
        gold = set()
        for row in sorted(utterances, key=lambda r: r["start"]):
            tokens = (row["text_verbatim"].lower() if bare else row["text_cased"]).split()
            start, step = round(1000 * row["start"]), 1000 * (row["end"] - row["start"]) / len(tokens)
            words += [
                Word(t, start + round(i * step), start + round((i + 1) * step), speaker=row["participant"])
                for i, t in enumerate(tokens)
            ]
            gold.add(start)
        ours = {draft.words[0].start or 0 for draft in split_utterances(spell_out(words, "eng"))}
        first = min(gold)
        rows.append(score(gold - {first}, ours - {first}))
        if show:
            for start in sorted((ours | gold) - (ours & gold)):
                at = next(p for p, w in enumerate(words) if w.start == start)
                before, after = (
                    " ".join(w.text for w in part) for part in (words[max(0, at - 6) : at], words[at : at + 6])
                )
                print(f"  {'false ' if start in ours else 'missed'} {name[6:-5]} {before} | {after}")
    show_scores(f"synthetic {'+'.join(splits)}, {'bare' if bare else 'as recognised'}", rows)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, default=Path(__file__).resolve().parents[2] / "shared" / "data")
    parser.add_argument("--held-out", action="store_true")
    parser.add_argument("--show", action="store_true")
    options = parser.parse_args()
    c_units(options.held_out, options.show)
    splits = ["test"] if options.held_out else ["train", "dev"]
    for bare in (False, True):
        recordings(options.data, splits, bare, options.show)


if __name__ == "__main__":
    main()
