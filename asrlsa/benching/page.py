"""A benchmark as one self-contained HTML page: drawings, table, and how the figures came about."""

from __future__ import annotations

from html import escape
from importlib import resources

from asrlsa.benching.plots import memory_bars, scatter
from asrlsa.benching.results import Report
from asrlsa.benching.tables import dimensions, megabytes, remarks, result_table
from asrlsa.scoring.tables import number


def to_html(report: Report, *, version: str, title: str = "asrlsa bench") -> str:
    """Write a benchmark as one HTML page; nothing is loaded from elsewhere."""
    css = resources.files("asrlsa.scoring").joinpath("report.css").read_text(encoding="utf-8")
    numbers = {one.key: k for k, one in enumerate(report.configurations, 1)}
    parts = [
        "<!DOCTYPE html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(title)}</title><style>{css}\nsvg text {{ fill: var(--ink); }} figure {{ margin: 0; }}</style>",
        "</head><body>",
        f"<header><h1>{escape(title)}</h1>",
        f'<p class="quiet">{len(report.configurations)} configurations, {_runs(report.repeats)}, {report.date}.</p>',
        "</header>",
        _headline(report),
        "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in remarks(report)) + "</ul>",
    ]
    drawn = scatter(report.configurations, numbers, report.choice)
    if drawn:
        parts.append(f"<h2>Accuracy against speed</h2><figure>{drawn}</figure>")
        parts.append(
            '<p class="note">The numbers are those of the table. Thin upright lines: 95 % intervals of the WER, by '
            "bootstrap over recordings. The same recordings were used for all, so intervals that overlap do not say "
            "that two settings are equal: <code>asrlsa evaluate --compare</code> tests that.</p>"
        )
    vary, _ = dimensions(report)
    labels = {
        one.key: f"{numbers[one.key]}: " + ", ".join(_labelled(name, say(one)) for name, say in vary)
        for one in report.configurations
    }
    bars = memory_bars(report.configurations, labels)
    if bars:
        parts.append(f"<h2>Memory</h2><figure>{bars}</figure>")
    parts.append(_table(report))
    parts.append(
        f"<footer>Made by asrlsa {escape(version)}. docs/bench.md says how everything is measured.</footer>"
        "</body></html>"
    )
    return "\n".join(part for part in parts if part) + "\n"


def _runs(number: int) -> str:
    return "1 run each" if number == 1 else f"{number} runs each"


def _labelled(name: str, value: str) -> str:
    """Write a value so that it is clear without a heading: ``int8``, ``beam 5``, ``threads 2``."""
    return value if name in ("model", "engine", "type") else f"{name} {value}"


def _headline(report: Report) -> str:
    chosen = next((c for c in report.configurations if c.key == report.choice), None)
    if chosen is None:
        return ""
    boxes = [
        ("recommended", escape(chosen.model), escape(chosen.settings)),
        ("speed", f"{number(chosen.speed, 1)} ×", "real time"),
        ("peak memory", f"{megabytes(chosen.peak_memory)} MB", "of the whole process"),
        ("verbatim WER", f"{number(chosen.wer, 1)} %", _between(chosen.intervals.get("wer"))),
    ]
    shown = "".join(f'<div>{name}<b>{value}</b><span class="quiet">{note}</span></div>' for name, value, note in boxes)
    return f'<div class="headline">{shown}</div>'


def _between(bounds: tuple[float, float] | None) -> str:
    return f"95 %: {bounds[0]:.1f} to {bounds[1]:.1f}" if bounds else ""


def _table(report: Report) -> str:
    table = result_table(report)
    kinds = ["word" if k < table.left else "" for k in range(len(table.header))]
    head = '<th scope="col">no.</th>' + "".join(
        f'<th scope="col" class="{kind}">{escape(name)}</th>' for kind, name in zip(kinds, table.header, strict=True)
    )
    rows = []
    for k, row in enumerate(table.rows, 1):
        cells = "".join(f'<td class="{kind}">{escape(text)}</td>' for kind, text in zip(kinds, row, strict=True))
        rows.append(f"<tr><td>{k}</td>{cells}</tr>")
    return (
        f'<h2>{escape(table.title)}</h2><div class="scroll"><table><thead><tr>{head}</tr></thead>'
        f'<tbody>{"".join(rows)}</tbody></table></div><p class="note">{escape(table.note)}</p>'
    )
