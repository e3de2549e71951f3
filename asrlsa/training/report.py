"""What a run leaves for people: a page with curves, and the card of the model."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from asrlsa.scoring.metrics import METRICS
from asrlsa.training.logs import Event, describe_load, hours
from asrlsa.training.scores import HEADLINE, DevScores
from asrlsa.training.settings import FinetuneSettings

_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP = 470, 190, 56, 26, 14
_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem;color:#1b1f24;background:#fff}
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2rem}table{border-collapse:collapse;margin:.5rem 0}
td,th{padding:.2rem .8rem .2rem 0;text-align:right;border-bottom:1px solid #e3e6ea}
th:first-child,td:first-child,.facts td{text-align:left}
svg{max-width:100%;height:auto}svg text{font:11px system-ui,sans-serif;fill:#57606a}figure{margin:1rem 0}
figcaption{font-weight:600}.curves{display:flex;flex-wrap:wrap;gap:1rem 2rem}.grid{stroke:#e3e6ea}
.line{fill:none;stroke:#0b62a4;stroke-width:1.6}
.dot{fill:#0b62a4}.best{fill:#c2410c}pre{background:#f6f8fa;padding:.8rem;overflow:auto}
@media(prefers-color-scheme:dark){body{background:#0d1117;color:#e6edf3}td,th{border-color:#30363d}.grid{stroke:#30363d}
.line{stroke:#58a6ff}.dot{fill:#58a6ff}pre{background:#161b22}svg text{fill:#8b949e}}
"""


def curve(points: Sequence[tuple[float, float]], title: str, *, marked: float | None = None, log: bool = False) -> str:
    """Draw a curve as SVG.

    Args:
        points: (step, value), by step; points that are no number are left out.
        title: What it shows.
        marked: Step to mark as the best.
        log: Logarithmic values, where all are above 0.

    Returns:
        A ``figure`` element; an empty text where there is nothing to draw.
    """
    known = [(x, y) for x, y in points if math.isfinite(y)]
    if not known:
        return ""
    log = log and all(y > 0 for _, y in known)
    values = [math.log10(y) if log else y for _, y in known]
    marks = log_ticks(min(values), max(values)) if log else ticks(min(values), max(values))
    low, high = min(marks[0], *values), max(marks[-1], *values)
    first, last = known[0][0], max(known[-1][0], known[0][0] + 1)

    def place(x: float, value: float) -> tuple[float, float]:
        right = _LEFT + (x - first) / (last - first) * (_WIDTH - _LEFT - 10)
        return right, _TOP + (high - value) / (high - low) * (_HEIGHT - _TOP - _BOTTOM)

    parts = []
    for value in marks:
        _, y = place(first, value)
        shown = 10**value if log else value
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - 10}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{shown:.4g}</text>')
    for x in (first, last):
        anchor = "start" if x == first else "end"
        parts.append(f'<text x="{place(x, low)[0]:.1f}" y="{_HEIGHT - 8}" text-anchor="{anchor}">step {x:g}</text>')
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(p[0], v) for p, v in zip(known, values, strict=True)))
    parts.append(f'<polyline class="line" points="{path}"/>')
    for (step, value), v in zip(known, values, strict=True):
        kind = "best" if step == marked else "dot"
        if len(known) <= 60 or kind == "best":
            x, y = place(step, v)
            parts.append(
                f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="3">'
                f"<title>step {step:g}: {value:.4g}</title></circle>"
            )
    name = html.escape(title)
    return (
        f'<figure><figcaption>{name}</figcaption><svg viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" '
        f'role="img" aria-label="{name}">{"".join(parts)}</svg></figure>'
    )


def ticks(low: float, high: float) -> list[float]:
    """Return three to eight round values, rising, that span ``low`` to ``high``."""
    size = max(abs(low), abs(high))
    if high - low <= 1e-9 * max(size, 1e-3):  # flat
        around = 0.5 * (size if size > 1e-9 else 1.0)
        low, high = low - around, high + around
    rough = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * k for k in (1, 2, 2.5, 5, 10) if power * k >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [step * k for k in range(first, last + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Return decimal logarithms of round values (1, 2, 5, 10, …), rising, that span ``low`` to ``high``."""
    factors = (0.0,) if high - low > 3 else (0.0, math.log10(2), math.log10(5))
    powers = range(math.floor(low) - 1, math.ceil(high) + 2)
    marks = [power + factor for power in powers for factor in factors]
    first = max(k for k, mark in enumerate(marks) if mark <= low + 1e-9)
    last = min(k for k, mark in enumerate(marks) if mark >= high - 1e-9)
    return marks[min(first, last - 1) : last + 1]


def score_rows(before: Mapping[str, Any] | None, after: DevScores | None) -> list[tuple[str, str, str, str]]:
    """Return name, score of the base, score of the result, and its interval, of the scores that can be computed."""
    found = []
    names = [
        *HEADLINE,
        *(
            n
            for n in METRICS
            if n.endswith("_f1") and "pause" not in n.replace("filled_pause", "") and n not in HEADLINE
        ),
    ]
    for name in names:
        values = [None if s is None else s.get(name) for s in (before, None if after is None else after.scores)]
        if values[1] is None and values[0] is None:
            continue
        interval = None if after is None else after.intervals.get(name)
        shown = ["-" if v is None else f"{v:.1f}" for v in values]
        bounds = "" if interval is None else f"{interval[0]:.1f} to {interval[1]:.1f}"
        found.append((METRICS[name].label, shown[0], shown[1], bounds))
    return found


def score_table(rows: Sequence[tuple[str, ...]], best_step: int) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return headings and rows of the scores, without a column that holds nothing (no first score, no intervals)."""
    head = ("", "base", f"step {best_step}", "95 % interval")
    kept = [k for k in range(4) if any(row[k] not in ("", "-") for row in rows)]
    return tuple(head[k] for k in kept), [tuple(row[k] for k in kept) for row in rows]


def html_report(
    settings: FinetuneSettings,
    events: Sequence[Event],
    before: Mapping[str, Any] | None,
    after: DevScores | None,
    *,
    best_step: int,
    recipe: str,
    version: str,
    figures: Sequence[str] = (),
) -> str:
    """Return the page of a run; it stands alone, without scripts or links.

    Args:
        settings: The recipe.
        events: The log (`asrlsa.training.logs.read_log`).
        before: Scores of the base.
        after: Scores of the weights that were kept, with intervals.
        best_step: Step of these weights.
        recipe: The recipe as TOML.
        version: asrlsa's.
        figures: More SVG drawings, such as the learnt ranks.
    """
    start: Mapping[str, Any] = next((e for e in events if e.get("event") == "start"), {})
    end: Mapping[str, Any] = next((e for e in reversed(events) if e.get("event") == "end"), {})
    title = f"{base_name(start, settings)} fine-tuned with {settings.method.method}"
    facts = run_facts(start, end, best_step)
    parts = [
        f"<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style><h1>{html.escape(title)}</h1>",
        _table(("", ""), facts, kind="facts"),
    ]
    rows = score_rows(before, after)
    if rows:
        groups = after.groups if after is not None else 0
        parts.append("<h2>Scores on the dev recordings</h2>")
        parts.append(_table(*score_table(rows, best_step)))
        parts.append(
            f"<p>Percentages, by greedy generation, scored as <code>asrlsa evaluate</code> does; the disfluency coder "
            f"codes both sides. {html.escape(about_intervals(groups))} The step was chosen on these recordings: test "
            "on speakers that were not used here.</p>"
        )
    parts.append('<h2>Course</h2><div class="curves">')
    parts += curves(events, settings.train.best, best_step)
    parts.append("</div>")
    if figures:
        parts += ["<h2>Learnt ranks</h2>", *figures]
    left_out = list(start.get("left_out") or [])
    if left_out:
        parts.append("<h2>Rows not used</h2><ul>" + "".join(f"<li>{html.escape(str(x))}" for x in left_out) + "</ul>")
    parts.append(f"<h2>Recipe</h2><pre>{html.escape(recipe)}</pre><p>asrlsa {html.escape(version)}</p></html>")
    return "\n".join(p for p in parts if p) + "\n"


def about_intervals(groups: int) -> str:
    """Say how intervals were made, or why there are none."""
    if groups > 1:
        return (
            f"Intervals by bootstrap over {groups:,} groups of recordings: those that share a speaker are drawn "
            "together, unless one speaker is in all of them."
        )
    return "No intervals: they need two recordings or more."


def curves(events: Sequence[Event], best: str, best_step: int) -> list[str]:
    """Draw the loss, the gradient, the rate and the dev scores over the steps."""
    steps = [e for e in events if e.get("event") == "step"]
    tests = [e for e in events if e.get("event") == "eval"]

    def of(rows: Sequence[Event], key: str) -> list[tuple[float, float]]:
        return [(float(e["step"]), float(e[key])) for e in rows if e.get(key) is not None]

    found = [
        curve(of(steps, "loss"), "loss, nats a token"),
        curve(of(tests, "loss"), "dev loss, nats a token", marked=best_step),
    ]
    for name in dict.fromkeys((best, "wer", "fluent_wer", "disfluency_f1")):
        found.append(curve(of(tests, name), f"dev {METRICS[name].label}, %", marked=best_step))
    found += [
        curve(of(steps, "gradient_norm"), "norm of the gradient", log=True),
        curve(of(steps, "lr"), "learning rate"),
        curve(of(steps, "speech_per_second"), "seconds of speech trained a second"),
        curve(of(steps, "divergence"), "divergence from the base on fluent speech, nats a token"),
    ]
    return [f for f in found if f]


def run_facts(start: Mapping[str, Any], end: Mapping[str, Any], best_step: int) -> list[tuple[str, str]]:
    """Return the facts of a run, by name."""
    found = [
        ("parameters trained", f"{start.get('trainable', 0):,} of {start.get('parameters', 0):,}"),
        ("training data", str(start.get("train", ""))),
        ("dev data", str(start.get("dev") or "none")),
        ("a step", describe_load(start) if "windows_per_step" in start else ""),
        ("steps", f"{end.get('step', 0)} of {start.get('steps', 0)}, the weights of step {best_step} are kept"),
        ("speech trained", f"{hours(float(end.get('speech_seconds', 0.0)))}, counted each time that it was heard"),
        ("time training", f"{hours(float(end.get('seconds', 0.0)))}, without evaluations"),
        ("device", f"{start.get('device', '')}, {start.get('precision', '')}"),
    ]
    return [(name, text) for name, text in found if text]


def base_name(start: Mapping[str, Any], settings: FinetuneSettings) -> str:
    """Return the base's name; of a folder its last part, since where it lies on this machine concerns nobody."""
    base = str(start.get("base", settings.model.base))
    return Path(base).name if Path(base).is_absolute() or base.startswith(".") else base


def model_card(
    settings: FinetuneSettings,
    start: Mapping[str, Any],
    end: Mapping[str, Any],
    before: Mapping[str, Any] | None,
    after: DevScores | None,
    *,
    best_step: int,
    folder: str,
    version: str,
    ranks: str = "",
) -> str:
    """Return README.md of a result: what it is, how it is used, what it was trained on, how good it is.

    Args:
        settings: The recipe.
        start: The log's ``start`` event.
        end: Its ``end`` event.
        before: Scores of the base.
        after: Scores of the weights that were kept.
        best_step: Step of these weights.
        folder: What ``--model`` is given.
        version: asrlsa's.
        ranks: Tables of the learnt ranks in Markdown, where the method learns them.
    """
    method = settings.method.method
    base = base_name(start, settings)
    text = (
        "verbatim: fillers, repetitions and fragments are written" if settings.data.target == "verbatim" else "fluent"
    )
    lines = [
        f"# {base}, fine-tuned with {method}",
        "",
        f"Made by `asrlsa finetune` {version}. Text style: {text}.",
        "",
        "## Use",
        "",
        "```",
        f"asrlsa transcribe recording.wav --model {folder}",
        "```",
        "",
        "## Training",
        "",
        *(f"- {name}: {value}" for name, value in run_facts(start, end, best_step)),
        f"- base weights: sha256 `{start.get('base_sha256', '')}`",
        f"- learning rate {settings.train.lr:g}, {settings.train.schedule}, seed {settings.train.seed}; `recipe.toml` "
        "has every setting, `report.html` the curves, `train.jsonl` every step",
        "",
    ]
    rows = score_rows(before, after)
    if rows:
        groups = after.groups if after is not None else 0
        head, table = score_table(rows, best_step)
        lines += [
            "## Scores on the dev recordings",
            "",
            f"| {' | '.join(head)} |",
            "|" + "-|" * len(head),
            *(f"| {' | '.join(row)} |" for row in table),
            "",
            f"Percentages, by greedy generation. {about_intervals(groups)} The step was chosen on these recordings, so "
            "scores on others are likely to be worse: test on speakers that were not used here (`asrlsa evaluate`).",
            "",
        ]
    else:
        lines += ["No dev recordings were given, so nothing is known about its scores.", ""]
    if ranks:
        lines += ["## Learnt ranks", "", ranks]
    return "\n".join(lines)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], kind: str = "") -> str:
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in header) if any(header) else ""
    body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    name = f' class="{kind}"' if kind else ""
    return f"<table{name}>{f'<tr>{head}</tr>' if head else ''}{body}</table>"
