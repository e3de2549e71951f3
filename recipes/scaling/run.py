"""Scaling: WER against the size of the model and the hours of data, with a fitted curve.

    python recipes/scaling/run.py --data children -o scaling-run --sizes tiny.en base --hours 0.05 0.1 0.2 0.4
    python recipes/scaling/run.py --table           results/*.json to table.md and curve.svg, nothing else

What is done already is skipped. The curve is log WER = a - alpha log(parameters) - beta log(hours), by least squares
over all runs. It is a description of these runs; with fewer than about ten of them, do not read it far beyond.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
COLOURS = ("#0b6e99", "#c2571a", "#3f7d20", "#7a3b8f", "#8a6d00", "#444444")


def share(data: Path, hours: float, out: Path, seed: int) -> float:
    """Write train.jsonl with whole speakers of about ``hours``, and return the hours that it has."""
    from asrlsa.manifest import read_rows, write_rows

    rows = list(read_rows(data / "train.jsonl"))
    speakers = sorted({row.speaker for row in rows})
    random.Random(seed).shuffle(speakers)
    chosen: set[str] = set()
    total = 0
    for speaker in speakers:
        if total >= hours * 3_600_000:
            break
        chosen.add(speaker)
        total += sum(row.end - row.start for row in rows if row.speaker == speaker)
    out.mkdir(parents=True, exist_ok=True)
    write_rows(out / "train.jsonl", (row for row in rows if row.speaker in chosen))
    write_rows(out / "dev.jsonl", read_rows(data / "dev.jsonl"))
    return total / 3_600_000


def one_run(size: str, hours: float, data: Path, out: Path, recipe: Path, seed: int, changes: list[str]) -> None:
    """Fine-tune one size on one share, and write its result file."""
    name = f"{Path(size).name}-{hours:g}h"
    target = RESULTS / f"{name}.json"
    if target.exists():
        return
    part = out / f"data-{hours:g}h"
    had = share(data, hours, part, seed)
    if not (out / name / "scores.json").exists():
        command = ["finetune", str(recipe), "--base", size, "--data", str(part), "-o", str(out / name)]
        more = ["--resume"] if (out / name / "recipe.toml").exists() else []
        more += [argument for change in changes for argument in ("--set", change)]
        if subprocess.run([sys.executable, "-m", "asrlsa", *command, *more], check=False).returncode:
            sys.exit(f"asrlsa finetune failed for {name}")
    scores = json.loads((out / name / "scores.json").read_text(encoding="utf-8"))
    events = [json.loads(line) for line in (out / name / "train.jsonl").read_text(encoding="utf-8").splitlines()]
    start = next(e for e in events if e["event"] == "start")
    end = next(e for e in reversed(events) if e["event"] == "end")
    values: dict[str, Any] = {
        "size": Path(size).name,
        "parameters": start["parameters"] - start["trainable"],
        "trainable": start["trainable"],
        "hours": round(had, 4),
        "steps": end["step"],
        "minutes": round(end["seconds"] / 60, 2),
        "overrides": changes,
        "base_wer": scores["base"].get("wer"),
        "wer": scores["scores"]["wer"],
        "interval": scores["intervals"].get("wer"),
        "groups": scores.get("groups"),
    }
    RESULTS.mkdir(exist_ok=True)
    target.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")


def fit(runs: list[dict[str, Any]]) -> dict[str, float] | None:
    """Fit the curve; None where the runs do not determine it."""
    columns = [np.ones(len(runs))]
    names = ["a"]
    for name, key in (("alpha", "parameters"), ("beta", "hours")):
        values = np.array([float(run[key]) for run in runs])
        if len(set(values.tolist())) > 1:
            columns.append(-np.log(values))
            names.append(name)
    if len(runs) <= len(names):
        return None
    wer = np.log([max(run["wer"], 0.1) for run in runs])
    matrix = np.stack(columns, 1)
    found, *_ = np.linalg.lstsq(matrix, wer, rcond=None)
    left = wer - matrix @ found
    values = dict(zip(names, map(float, found), strict=True))
    return {"alpha": 0.0, "beta": 0.0, **values, "residual": float(np.sqrt(np.mean(left**2)))}


def predict(curve: dict[str, float], parameters: float, hours: float) -> float:
    """WER in % that the curve gives."""
    return math.exp(curve["a"] - curve["alpha"] * math.log(parameters) - curve["beta"] * math.log(hours))


def svg(runs: list[dict[str, Any]], curve: dict[str, float] | None) -> str:
    """Draw WER against hours, a colour for each size, both axes logarithmic."""
    width, height, left, bottom = 640, 400, 60, 50
    hours = [run["hours"] for run in runs]
    wers = [v for run in runs for v in (run["wer"], *(run["interval"] or ())) if v and v > 0]
    x0, x1 = math.log(min(hours) / 1.3), math.log(max(hours) * 1.3)
    y0, y1 = math.log(min(wers) / 1.1), math.log(max(wers) * 1.1)

    def x(value: float) -> float:
        return left + (math.log(value) - x0) / (x1 - x0) * (width - left - 130)

    def y(value: float) -> float:
        return height - bottom - (math.log(value) - y0) / (y1 - y0) * (height - bottom - 20)

    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<text x="{(width - 70) / 2:.0f}" y="{height - 10}" text-anchor="middle">hours of training data</text>',
        f'<text x="15" y="{height / 2:.0f}" transform="rotate(-90 15 {height / 2:.0f})" '
        'text-anchor="middle">WER %</text>',
    ]
    for value in sorted(set(hours)):
        lines.append(f'<text x="{x(value):.1f}" y="{height - 32}" text-anchor="middle">{value:.2g}</text>')
    for value in np.geomspace(min(wers), max(wers), 5):
        lines.append(f'<text x="{left - 8}" y="{y(value) + 4:.1f}" text-anchor="end">{value:.1f}</text>')
        lines.append(f'<path d="M{left} {y(value):.1f}H{width - 130}" stroke="#ddd"/>')
    for k, size in enumerate(dict.fromkeys(run["size"] for run in runs)):
        colour, own = COLOURS[k % len(COLOURS)], [run for run in runs if run["size"] == size]
        for run in own:
            if run["interval"] and run["interval"][0]:
                low, high = run["interval"]
                lines.append(f'<path d="M{x(run["hours"]):.1f} {y(low):.1f}V{y(high):.1f}" stroke="{colour}"/>')
            lines.append(f'<circle cx="{x(run["hours"]):.1f}" cy="{y(run["wer"]):.1f}" r="4" fill="{colour}"/>')
        if curve is not None:
            ends = min(hours), max(hours)
            values = [predict(curve, own[0]["parameters"], end) for end in ends]
            path = "L".join(f"{x(e):.1f} {y(v):.1f}" for e, v in zip(ends, values, strict=True))
            lines.append(f'<path d="M{path}" stroke="{colour}" stroke-dasharray="5 4" fill="none"/>')
        lines.append(f'<text x="{width - 120}" y="{40 + 20 * k}" fill="{colour}">{size}</text>')
    return "\n".join([*lines, "</svg>"]) + "\n"


def table(runs: list[dict[str, Any]], curve: dict[str, float] | None) -> str:
    """Return the table and what the curve says."""
    lines = ["| size | parameters | hours | dev WER before | dev WER (95 % interval) |", "|-|-:|-:|-:|-|"]
    for run in runs:
        interval = "" if not run["interval"] else " ({:.1f} to {:.1f})".format(*run["interval"])
        before = "" if run["base_wer"] is None else f"{run['base_wer']:.1f}"
        cells = [run["size"], f"{run['parameters']:,}", f"{run['hours']:.2f}", before, f"{run['wer']:.1f}{interval}"]
        lines.append("| " + " | ".join(cells) + " |")
    if curve is None:
        lines += ["", "Too few runs for a curve."]
    else:
        size, data = 100 * (1 - 2 ** -curve["alpha"]), 100 * (1 - 2 ** -curve["beta"])
        lines += [
            "",
            f"Fitted: log WER = {curve['a']:.3f} - {curve['alpha']:.3f} log(parameters) "
            f"- {curve['beta']:.3f} log(hours); "
            f"root mean square error {curve['residual']:.3f}.",
            f"In these runs, twice the parameters lowered WER by {size:.0f} %, twice the hours by {data:.0f} %.",
        ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run what is missing, and write table and figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("children"))
    parser.add_argument("-o", "--out", type=Path, default=Path("scaling-run"))
    parser.add_argument("--sizes", nargs="+", default=["tiny.en", "base"])
    parser.add_argument("--hours", nargs="+", type=float, default=[0.05, 0.1, 0.2, 0.4])
    parser.add_argument("--recipe", type=Path, default=HERE / "scaling.toml")
    parser.add_argument("--seed", type=int, default=0, help="of the choice of speakers")
    parser.add_argument("--set", action="append", default=[], help="passed to asrlsa finetune, and noted in the result")
    parser.add_argument("--table", action="store_true", help="only make table and figure")
    options = parser.parse_args()
    if not options.table:
        for size in options.sizes:
            for hours in options.hours:
                one_run(size, hours, options.data, options.out, options.recipe, options.seed, options.set)
    runs = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(RESULTS.glob("*.json"))]
    if not runs:
        sys.exit("there are no results yet: run without --table first")
    runs.sort(key=lambda run: (run["parameters"], run["hours"]))
    curve = fit(runs)
    text = table(runs, curve)
    (RESULTS / "table.md").write_text(text, encoding="utf-8")
    (RESULTS / "curve.svg").write_text(svg(runs, curve), encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
