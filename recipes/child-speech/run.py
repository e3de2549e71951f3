"""Child speech: prepare, fine-tune with five methods, score on speakers never heard, and write the table.

    python recipes/child-speech/run.py --children ../shared/data/child_read --adults ../shared/data/adult_read -o RUN
    python recipes/child-speech/run.py -o RUN --methods lora s2lora     some methods only (also: base)
    python recipes/child-speech/run.py --table                          results/*.json to results/table.md, nothing else

A run has three steps, and each is skipped where its result exists, so the same command goes on after an interruption.
``asrlsa finetune METHOD.toml`` trains into RUN/METHOD. The recogniser of ``asrlsa transcribe`` hears the test speakers
(int8, greedy, windows that loop are decoded again; no prompt, since the texts are reading prompts without fillers); the
text goes to RUN/METHOD/children and RUN/METHOD/adults. ``asrlsa evaluate`` scores it into results/METHOD.json. What one
speaker says is put into windows of up to 30 s, half a second of silence between the utterances, and is one text file,
so that the bootstrap over files is one over speakers. Every method hears the same windows, the model as it was before
training (base) too.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
METHODS = ("base", "full", "bitfit", "lora", "adalora", "s2lora")
SETS = ("children", "adults")
BASE = "tiny.en"
RATE = 16_000  # Hz
BETWEEN = 0.5  # s of silence between two utterances of a test window
WINDOW = 30.0  # s
MACHINE = "2-core x86-64 virtual machine, 1 thread, other work running"


def asrlsa(*arguments: str) -> float:
    """Run a command of asrlsa and return the seconds it took; ends this program where it fails."""
    begin = time.monotonic()
    done = subprocess.run([sys.executable, "-m", "asrlsa", *arguments], check=False)
    if done.returncode:
        sys.exit(f"asrlsa {arguments[0]} failed ({done.returncode})")
    return time.monotonic() - begin


def prepare(children: Path, adults: Path, run: Path) -> None:
    """Prepare both corpora; dev comes from the children of train, by speaker."""
    for name, corpus in (("children", children), ("adults", adults)):
        out = run / "data" / name
        if not (out / "test.jsonl").exists():
            asrlsa("prepare", str(corpus), "-o", str(out), "--noise-only", "0", "--dev", "0.2", "--jobs", "1", "-q")


def test_windows(manifest: Path) -> dict[str, tuple[list[str], list[Any]]]:
    """Return each speaker's texts and windows of sound (float32, 16 kHz)."""
    from asrlsa import audio
    from asrlsa.manifest import read_rows

    silence = np.zeros(round(BETWEEN * RATE), np.float32)
    found: dict[str, tuple[list[str], list[Any]]] = defaultdict(lambda: ([], []))
    for row in read_rows(manifest):
        texts, windows = found[row.speaker]
        sound = np.asarray(audio.slice_ms(audio.load(row.audio), row.start, row.end), np.float32)
        texts.append(row.text)
        if windows and len(windows[-1]) + len(silence) + len(sound) <= WINDOW * RATE:
            windows[-1] = np.concatenate([windows[-1], silence, sound])
        else:
            windows.append(sound)
    return found


def finetune(method: str, run: Path, extra: Sequence[str]) -> Path:
    """Fine-tune with one method, unless that was done, and return the folder that transcribe takes."""
    out = run / method
    model = out / ("model" if method == "full" else "merged")
    if not (out / "scores.json").exists():
        arguments = ["--data", str(run / "data" / "children"), "-o", str(out), "--merge", *extra]
        if (out / "recipe.toml").exists():
            arguments.append("--resume")
        seconds = asrlsa("finetune", str(HERE / f"{method}.toml"), *arguments)
        (out / "wall.json").write_text(json.dumps({"seconds": round(seconds, 1)}), encoding="utf-8")
    return model


def recognise(model: str, method: str, run: Path) -> None:
    """Let a model hear every test speaker."""
    from asrlsa.models import resolve_model
    from asrlsa.speech.decode import Recogniser

    recogniser = None
    for name in SETS:
        out, gold = run / method / name, run / "test" / name
        if (out / "done").exists():
            continue
        recogniser = recogniser or Recogniser(resolve_model(model, offline=True), threads=1)
        out.mkdir(parents=True, exist_ok=True)
        gold.mkdir(parents=True, exist_ok=True)
        for speaker, (texts, windows) in test_windows(run / "data" / name / "test.jsonl").items():
            lines = [hear(recogniser, sound) for sound in windows]
            (gold / f"{speaker}.txt").write_text("\n".join(texts) + "\n", encoding="utf-8")
            (out / f"{speaker}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
        (out / "done").touch()


def hear(recogniser: Any, sound: Any) -> str:
    """Return the words of a window as ``asrlsa transcribe`` finds them: one that loops is decoded again."""
    from asrlsa.speech.decode import Decoded, DecodingOptions
    from asrlsa.speech.repairs import repair, wide_search
    from asrlsa.speech.windows import Window
    from asrlsa.types import Span

    encoded = recogniser.encode([recogniser.features(sound)])
    whole = (Span(0, round(1000 * len(sound) / RATE)),)
    window = Window(sound, whole, whole, 1.0)

    def search(options: DecodingOptions, ban: int = 0) -> list[Decoded]:
        found: list[Decoded] = recogniser.decode(
            encoded, [window.duration], language=["en"], prompt=[None], options=options, ban_ngrams=ban
        )
        return found

    wide = wide_search(DecodingOptions())
    [(decoded, _)] = repair([window], search(DecodingOptions()), lambda numbers, ban: search(wide, ban))
    return " ".join(word.text.strip() for word in decoded.words if word.text != "xxx")


def score(method: str, run: Path) -> dict[str, Any]:
    """Score the transcripts of both sets; the sums of each speaker are kept, so that runs can be compared."""
    from asrlsa.evaluate import evaluate

    found = {}
    for name in SETS:
        result = evaluate(run / method / name, run / "test" / name, language="eng")
        if result.failures:
            sys.exit(f"{method}: {result.failures[0]}")
        low, high = result.intervals["wer"] or (math.nan, math.nan)
        speakers = {
            file.name: {k: v for k, v in file.sums.items() if k.startswith("verbatim")} for file in result.files
        }
        found[name] = {
            "wer": round(result.scores["wer"] or 0.0, 3),
            "interval": [round(low, 3), round(high, 3)],
            "speakers": speakers,
        }
    return found


def course(method: str, run: Path) -> dict[str, Any]:
    """What training did: parameters, steps, minutes, dev score."""
    events = [json.loads(line) for line in (run / method / "train.jsonl").read_text(encoding="utf-8").splitlines()]
    start = next(e for e in events if e["event"] == "start")
    end = next(e for e in reversed(events) if e["event"] == "end")
    dev = json.loads((run / method / "scores.json").read_text(encoding="utf-8"))
    wall = run / method / "wall.json"
    return {
        "trainable": start["trainable"],
        "parameters": start["parameters"],
        "steps": end["step"],
        "speech_seconds": round(end["speech_seconds"], 1),
        "train_minutes": round(end["seconds"] / 60, 2),
        "minutes": round(json.loads(wall.read_text(encoding="utf-8"))["seconds"] / 60, 2) if wall.exists() else None,
        "kept_step": dev["step"],
        "dev_wer": dev["scores"].get("wer"),
        "dev_interval": dev["intervals"].get("wer"),
    }


def draw_ranks(method: str, run: Path) -> None:
    """Save the figure and the table of the ranks that were learnt."""
    from asrlsa.training.ranks import learnt_ranks, markdown, svg

    found = learnt_ranks(run / method / "adapter")
    title = f"Ranks learnt by {method} on child speech, {BASE}"
    (RESULTS / f"ranks-{method}.svg").write_text(svg(found, title).rstrip("\n") + "\n", encoding="utf-8")
    (RESULTS / f"ranks-{method}.md").write_text(markdown(found).rstrip("\n") + "\n", encoding="utf-8")


def one_run(method: str, run: Path, extra: Sequence[str]) -> None:
    """Make results/METHOD.json."""
    from asrlsa import __version__

    model = BASE if method == "base" else str(finetune(method, run, extra))
    recognise(model, method, run)
    values = {
        "method": method,
        "base": BASE,
        "asrlsa": __version__,
        "machine": MACHINE,
        "overrides": list(extra),
        **({} if method == "base" else course(method, run)),
        "test": score(method, run),
    }
    text = json.dumps(values, indent=1, ensure_ascii=False)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{method}.json").write_text(text + "\n", encoding="utf-8")
    if method in ("adalora", "s2lora"):
        draw_ranks(method, run)
    print(f"{method}: " + ", ".join(f"{name} {values['test'][name]['wer']:.1f} %" for name in SETS), flush=True)


def difference(first: dict[str, Any], second: dict[str, Any], name: str) -> tuple[float, float, float, float]:
    """Return the difference of two runs' WER in points, its 95 % interval over speakers and its p value."""
    from asrlsa.scoring.statistics import compare

    ours, theirs = (run["test"][name]["speakers"] for run in (first, second))
    names = sorted(ours)
    if names != sorted(theirs):
        sys.exit(f"{first['method']} and {second['method']} were scored on different speakers")
    found = compare([ours[n] for n in names], [theirs[n] for n in names], ["wer"])[0]
    values = (found.first, found.second, found.low, found.high, found.p)
    a, b, low, high, p = (math.nan if v is None else v for v in values)
    return a - b, low, high, p


def table(folder: Path) -> str:
    """Make the table from the result files."""
    runs = {m: json.loads(p.read_text(encoding="utf-8")) for m in METHODS for p in [folder / f"{m}.json"] if p.exists()}
    if "base" not in runs:
        sys.exit("results/base.json is missing: run with --methods base first")
    base = runs["base"]
    sizes = {name: (len(base["test"][name]["speakers"]), base["test"][name]["speakers"].values()) for name in SETS}
    lines = [
        f"WER in %, with the 95 % bootstrap interval over speakers; {BASE}; {base['machine']}.",
        "",
        "| method | parameters trained | share | minutes | dev | children | against base | adults | against base |",
        "|-|-:|-:|-:|-:|-|-|-|-|",
    ]
    for name, run in runs.items():
        cells = [name]
        if name == "base":
            cells += ["0", "", "", ""]
        else:
            share = 100 * run["trainable"] / run["parameters"]
            minutes = run["minutes"] or run["train_minutes"]
            dev = "" if run["dev_wer"] is None else f"{run['dev_wer']:.1f}"
            cells += [f"{run['trainable']:,}", f"{share:.3g} %", f"{minutes:.1f}", dev]
        for part in SETS:
            test = run["test"][part]
            cells.append("{:.1f} ({:.1f} to {:.1f})".format(test["wer"], *test["interval"]))
            against = "" if name == "base" else "{:+.1f} ({:+.1f} to {:+.1f})".format(*difference(run, base, part)[:3])
            cells.append(against)
        lines.append("| " + " | ".join(cells) + " |")
    lines += [
        "",
        f"Speakers: {sizes['children'][0]} children, {sizes['adults'][0]} adults; none was heard in training.",
        "",
    ]
    pairs = [("s2lora", "lora"), ("s2lora", "adalora"), ("s2lora", "full"), ("s2lora", "bitfit")]
    pairs = [pair for pair in pairs if set(pair) <= set(runs)]
    if pairs:
        lines += ["| difference of WER in points | children | p | adults | p |", "|-|-|-:|-|-:|"]
    for first, second in pairs:
        cells = [f"{first} minus {second}"]
        for part in SETS:
            d, low, high, p = difference(runs[first], runs[second], part)
            cells += [f"{d:+.1f} ({low:+.1f} to {high:+.1f})", f"{p:.2g}"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines).rstrip() + "\n"


def main() -> None:
    """Run what is missing, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--children", type=Path, default=Path("../shared/data/child_read"))
    parser.add_argument("--adults", type=Path, default=Path("../shared/data/adult_read"))
    parser.add_argument("-o", "--out", type=Path, default=Path("child-speech-run"))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--set", action="append", default=[], help="passed to asrlsa finetune, and noted in the result")
    parser.add_argument("--table", action="store_true", help="only make the table")
    options = parser.parse_args()
    if not options.table:
        prepare(options.children, options.adults, options.out)
        extra = [argument for value in options.set for argument in ("--set", value)]
        for method in options.methods:
            one_run(method, options.out, extra)
    text = table(RESULTS)
    (RESULTS / "table.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
