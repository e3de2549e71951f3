"""How well the disfluency coder finds what the gold CHAT of the synthetic set marks, and what it marks by mistake.

    python benchmarks/coding.py [--split train dev] [--show] [--data ../shared/data] [--scripts 260]

Two runs over the same utterances: the words as a recogniser writes them (capitals, commas, full stops), and bare words
in small letters. The words get made-up times, evenly spread over the utterance, so timing tells the coder nothing.
An event counts as found if the coder marks the same kind over the same words. Fluent sets: every mark is a mistake.
``--scripts N`` takes the scripts of train among the first N recordings of recipes/verbatim/corpus.py instead, with the
pauses that they ask for: much of what is taken back there only meaning tells, so most of its retracings can't be found.
"""

from __future__ import annotations

import argparse
import json
import re
from collections import Counter
from collections.abc import Iterator
from difflib import SequenceMatcher
from pathlib import Path

from asrlsa.disfluency import code_utterance, read_main_tier
from asrlsa.language import spell_out
from asrlsa.types import Word

KINDS = ("filled_pause", "fragment", "word_repetition", "phrase_repetition", "retracing", "false_start")
FLUENT = ("child_read", "ljspeech")


def rows(data: Path, name: str, splits: tuple[str, ...] = ()) -> Iterator[dict]:
    for line in (data / name / "manifest.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if not splits or row.get("split") in splits:
            yield row


def timed(text: str, seconds: float) -> list[Word]:
    tokens = text.split()
    step = max(10, int(1000 * seconds / max(1, len(tokens))))
    return [Word(token, i * step, (i + 1) * step) for i, token in enumerate(tokens)]


def coded(heard: list[Word]) -> str:
    words = spell_out(heard, "eng")
    return code_utterance(words, ".").text.replace("_", "") if words else ""


def events(text: str) -> tuple[list[str], set[tuple[str, int, int]]]:
    reading = read_main_tier(text)
    kinds = {(e.kind, e.start, e.end) for e in reading.events if e.kind in KINDS}
    return [word.casefold() for word in reading.verbatim], kinds


def compare(gold: str, ours: str) -> Counter:
    """Count hits, misses and false marks by kind; words are aligned where the spellings differ (LED, L_E_D)."""
    gold_words, wanted = events(gold)
    our_words, found = events(ours)
    place = {}
    for a, b, size in SequenceMatcher(None, our_words, gold_words, autojunk=False).get_matching_blocks():
        place.update({a + i: b + i for i in range(size)})
    moved = {(k, place.get(s, -1), place.get(e - 1, -2) + 1) for k, s, e in found}
    counts: Counter = Counter()
    for kind in KINDS:
        want, have = ({event for event in side if event[0] == kind} for side in (wanted, moved))
        counts[kind, "hit"] += len(want & have)
        counts[kind, "miss"] += len(want - have)
        counts[kind, "false"] += len(have - want)
    return counts


def against_gold(data: Path, splits: tuple[str, ...], bare: bool, show: bool) -> None:
    total: Counter = Counter()
    unmarked: Counter = Counter()
    number = 0
    for row in rows(data, "synthetic", splits):
        text = re.sub(r"[^\w\s'-]", "", row["text_verbatim"]).lower() if bare else row["text_cased"]
        ours = coded(timed(text, row["end"] - row["start"]))
        counts = compare(row["chat"], ours)
        if not row["retracings_marked"]:  # text of the AMI corpus: its revisions are not marked in the gold
            for kind in ("retracing", "false_start"):
                unmarked[kind] += counts.pop((kind, "false"))
        number += 1
        total += counts
        if show and any(n for (_, what), n in counts.items() if what != "hit"):
            print(f"  gold {row['chat']}\n  ours {ours}")
    print(f"synthetic {'+'.join(splits)}, {number} utterances, {'bare words' if bare else 'as recognised'}")
    table(total)
    print(f"  marked where the gold marks no revision of any kind: {dict(unmarked)}")


def against_scripts(numbers: range, show: bool) -> None:
    from asrlsa.synthesis.script import plan_recording
    from asrlsa.synthesis.spoken import main_tier

    total: Counter = Counter()
    for plan in (plan_recording(number) for number in numbers):
        if plan.split != "train" or plan.population == "none":
            continue
        for turn in plan.turns:
            words, now = [], 0
            for piece in turn.spoken.pieces:
                text = piece.text + "-" * (piece.kind == "fragment") + "," * piece.comma
                words.append(Word(text, now, now + 200))
                now += 200 + piece.pause
            gold = main_tier(turn.spoken)
            ours = coded(words)
            counts = compare(gold, ours)
            total += counts
            if show and any(n for (_, what), n in counts.items() if what != "hit"):
                print(f"  gold {gold}\n  ours {ours}")
    print(f"scripts {numbers.start} to {numbers.stop - 1}, split train")
    table(total)


def table(total: Counter) -> None:
    for kind in KINDS:
        hit, miss, false = (total[kind, what] for what in ("hit", "miss", "false"))
        if hit + miss + false:
            precision, recall = hit / max(1, hit + false), hit / max(1, hit + miss)
            print(f"  {kind:18} hit {hit:4}  missed {miss:3}  false {false:3}  P {precision:.3f}  R {recall:.3f}")


def on_fluent(data: Path, name: str, show: bool) -> None:
    total: Counter = Counter()
    words = 0
    splits = ("train",) if name == "child_read" else ()  # the rest of child_read, and adult_read, are test sets
    for row in rows(data, name, splits):
        ours = coded(timed(row["text_verbatim"], row["end"] - row["start"]))
        said, found = events(ours)
        words += len(said)
        total.update(kind for kind, _, _ in found)
        if show and found:
            print("  " + ours)
    print(f"{name}: {words} words, marks: {dict(total) or 'none'}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, default=Path(__file__).resolve().parents[2] / "shared" / "data")
    parser.add_argument("--split", nargs="+", default=["train", "dev"], choices=["train", "dev", "test"])
    parser.add_argument("--show", action="store_true", help="print the utterances that differ")
    parser.add_argument("--scripts", type=int, default=0, metavar="N", help="the first N scripts of the corpus instead")
    options = parser.parse_args()
    if options.scripts:
        against_scripts(range(options.scripts), options.show)
        return
    for bare in (False, True):
        against_gold(options.data, tuple(options.split), bare, options.show)
    for name in FLUENT:
        on_fluent(options.data, name, options.show)


if __name__ == "__main__":
    main()
