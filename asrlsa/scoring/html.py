"""One self-contained page of scores: tables, bars by disfluency type, every utterance side by side.

Nothing is loaded from elsewhere. What colour says a mark says too, so the page reads in print and with any colour
vision.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from html import escape
from importlib import resources
from pathlib import Path
from urllib.parse import quote

from asrlsa.scoring.events import EventCounts
from asrlsa.scoring.gate import Check
from asrlsa.scoring.reports import all_tables, remarks
from asrlsa.scoring.samples import EVENT_KINDS
from asrlsa.scoring.scores import Evaluation, FileScores
from asrlsa.scoring.tables import Table, measures_table, number
from asrlsa.scoring.view import Cell, Mark, Row
from asrlsa.types import Milliseconds

SHORT = {
    "filled_pause": "FP",
    "word_repetition": "WR",
    "phrase_repetition": "PR",
    "retracing": "RT",
    "reformulation": "RF",
    "false_start": "FS",
    "fragment": "FR",
    "part_word_repetition": "PW",
    "prolongation": "PL",
    "block": "BL",
    "broken_word": "BW",
    "nonword": "NW",
    "pause": "PA",
}

_HEADLINE = (
    ("wer", "verbatim WER"),
    ("fluent_wer", "fluent WER"),
    ("disfluency_f1", "disfluency F1"),
    ("cpwer", "cpWER"),
    ("speaker_wer", "speaker WER"),
)

# What stands after the short name of a type, whether the mark is good news, and what it means.
_VERDICTS = {
    "match": ("✓", "good", "in both"),
    "type": ("~", "bad", "there, but as another type"),
    "missed": ("−", "bad", "missed"),
    "extra": ("+", "bad", "not in the reference"),
    "masked": ("·", "", "in a masked stretch, not scored"),
    "unscored": ("·", "", "can't be scored: the other file has no codes"),
}

_AUDIO = (".wav", ".mp3", ".flac", ".m4a", ".ogg", ".opus", ".mp4", ".webm", ".mov", ".aac", ".mkv")


def to_html(
    found: Evaluation,
    checks: Sequence[Check] = (),
    *,
    version: str,
    folder: Path,
    audio: Path | None = None,
    title: str = "asrlsa evaluate",
) -> str:
    """Write an evaluation as one HTML page.

    Args:
        found: The evaluation, made with ``view=True`` for the side-by-side part.
        checks: Results of the gate.
        version: Version of asrlsa, for the foot of the page.
        folder: Folder the page will stand in; links to recordings are relative to it.
        audio: Folder of the recordings; without it they are looked for beside the transcripts.
        title: Title of the page.
    """
    css = resources.files("asrlsa.scoring").joinpath("report.css").read_text(encoding="utf-8")
    tables = all_tables(found, checks)
    parts = [
        "<!DOCTYPE html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(title)}</title><style>{css}</style></head><body>",
        f"<header><h1>{escape(title)}</h1>",
        f'<p class="quiet">{len(found.files)} files. Rates are percentages of the reference.</p></header>',
        _headline(found),
        "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in remarks(found)) + "</ul>",
    ]
    for table in tables:
        parts.append(_table(table))
        if table.key == "events":
            parts.append(_bars(found.files))
    if any(file.rows for file in found.files):
        parts += ["<h2>Utterances side by side</h2>", _legend()]
        parts.append('<p class="only"><label><input type="checkbox"> Show only utterances with differences</label></p>')
        parts += [_file(file, folder, audio) for file in found.files if file.rows]
    parts.append(f"<footer>Made by asrlsa {escape(version)}. docs/evaluate.md defines every score.</footer>")
    return "\n".join(parts) + "\n</body></html>\n"


def _headline(found: Evaluation) -> str:
    boxes = []
    for name, label in _HEADLINE:
        value, bounds = found.scores.get(name), found.intervals.get(name)
        if value is not None:
            between = f'<span class="quiet">95 %: {bounds[0]:.1f} to {bounds[1]:.1f}</span>' if bounds else ""
            boxes.append(f"<div>{escape(label)}<b>{number(value, 1)} %</b>{between}</div>")
    return f'<div class="headline">{"".join(boxes)}</div>'


def _table(table: Table) -> str:
    return f'<h2 id="{table.key}">{escape(table.title)}</h2>{_grid(table)}'


def _grid(table: Table) -> str:
    kinds = ["word" if k < table.left else "" for k in range(len(table.header))]
    if table.key in ("gate", "comparison"):
        kinds[-1] = "word long"
    head = "".join(
        f'<th scope="col" class="{kind}">{escape(name)}</th>' for kind, name in zip(kinds, table.header, strict=True)
    )
    rows = []
    for row in table.rows:
        mark = ' class="regressed"' if table.key == "gate" and row[-1].startswith("REGRESSED") else ""
        cells = "".join(f'<td class="{kind}">{escape(text)}</td>' for kind, text in zip(kinds, row, strict=True))
        rows.append(f"<tr{mark}>{cells}</tr>")
    note = f'<p class="note">{escape(table.note)}</p>' if table.note else ""
    return (
        f'<div class="scroll"><table class="{table.key}"><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>{note}"
    )


def _bars(files: Sequence[FileScores]) -> str:
    """Draw a bar for each type: matched (solid), missed (striped), not in the reference (dotted)."""
    totals = {kind: EventCounts() for kind in EVENT_KINDS}
    for file in files:
        for kind, counts in file.kinds.items():
            totals[kind] = totals[kind].plus(counts)
    shown = [(kind, counts) for kind, counts in totals.items() if counts.reference or counts.hypothesis]
    if not shown:
        return ""
    most = max(c.reference + c.hypothesis - c.matched for _, c in shown)
    high, left, wide = 26, 170, 560
    height = high * len(shown) + 34
    parts = [
        f'<svg viewBox="0 0 {left + wide + 110} {height}" width="{left + wide + 110}" height="{height}" role="img" '
        'aria-label="Disfluencies by type: matched, missed, and not in the reference" font-size="13">',
        '<defs><pattern id="stripes" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
        '<rect width="6" height="6" fill="#fbe3d6"/><rect width="2.5" height="6" fill="#d55e00"/></pattern>'
        '<pattern id="dots" width="6" height="6" patternUnits="userSpaceOnUse">'
        '<rect width="6" height="6" fill="#dcecf7"/>'
        '<circle cx="3" cy="3" r="1.4" fill="#0072b2"/></pattern></defs>',
    ]
    for k, (kind, counts) in enumerate(shown):
        y, x = k * high, float(left)
        parts.append(f'<text x="{left - 8}" y="{y + 15}" text-anchor="end">{escape(kind.replace("_", " "))}</text>')
        sizes = (counts.matched, counts.reference - counts.matched, counts.hypothesis - counts.matched)
        for size, fill in zip(sizes, ("#009e73", "url(#stripes)", "url(#dots)"), strict=True):
            width = wide * size / most
            if size:
                parts.append(
                    f'<rect x="{x:.1f}" y="{y + 3}" width="{width:.1f}" height="{high - 8}" fill="{fill}" '
                    'stroke="#1a1a1a" stroke-width=".6"/>'
                )
            x += width
        f1 = counts.f1
        label = f"F1 {100 * f1:.0f}" if f1 is not None else ""
        parts.append(f'<text x="{x + 6:.1f}" y="{y + 15}">{label}</text>')
    y = high * len(shown) + 12
    for x, fill, text in (
        (left, "#009e73", "matched"),
        (left + 110, "url(#stripes)", "missed"),
        (left + 210, "url(#dots)", "not in the reference"),
    ):
        parts.append(f'<rect x="{x}" y="{y}" width="16" height="12" fill="{fill}" stroke="#1a1a1a" stroke-width=".6"/>')
        parts.append(f'<text x="{x + 22}" y="{y + 11}">{text}</text>')
    return "".join(parts) + "</svg>"


def _legend() -> str:
    """Explain the marks."""
    words = (
        ("substitute", "went", "want", "another word: solid line"),
        ("delete", "the", "", "left out: struck through, dashed line"),
        ("insert", "", "the", "added: plus sign, dotted line"),
        ("masked", "", "so", "in a masked stretch (xxx): not scored"),
    )
    cells = [f"<li>{_cell(Cell(r, h, tag))} {escape(text)}</li>" for tag, r, h, text in words]
    cells += [f"<li><b>{SHORT[kind]}</b> {escape(kind.replace('_', ' '))}</li>" for kind in EVENT_KINDS]
    cells += [f"<li><b>FP{sign}</b> {escape(text)}</li>" for sign, _, text in list(_VERDICTS.values())[:5]]
    return (
        '<p class="note">Above: the reference. Below: the hypothesis. Under them the disfluencies.</p>'
        f'<ul class="legend">{"".join(cells)}</ul>'
    )


def _file(file: FileScores, folder: Path, audio: Path | None) -> str:
    media = _media(file, folder, audio)
    head = f'<section class="file"><h3>{escape(file.name)}</h3>'
    if file.mapping and any(theirs != ours for theirs, ours in file.mapping.items()):
        pairs = ", ".join(f"{theirs} = {ours}" for theirs, ours in file.mapping.items())
        head += f'<p class="note">Speakers of the hypothesis: {escape(pairs)}</p>'
    measures = measures_table(file)
    if measures.rows:
        head += f"<details><summary>Language-sample measures of each participant</summary>{_grid(measures)}</details>"
    return head + "".join(_row(row, file.mapping, media) for row in file.rows) + "</section>"


def _media(file: FileScores, folder: Path, audio: Path | None) -> str | None:
    """Find the recording of a file; return its address relative to the page."""
    if not file.media or "://" in file.media:
        return file.media or None
    places = [audio] if audio is not None else [Path(p).parent for p in (file.reference, file.hypothesis) if p]
    for place in places:
        for name in (file.media, *(file.media + suffix for suffix in _AUDIO)):
            path = place / name
            if Path(name).suffix and path.is_file():
                return quote(Path(os.path.relpath(path.resolve(), folder)).as_posix())
    return None


def _row(row: Row, mapping: dict[str, str], media: str | None) -> str:
    others = [
        f"{code} = {mapping[code]}" if mapping.get(code, code) != code else code for code in row.hypothesis_speakers
    ]
    wrong = [code for code in row.hypothesis_speakers if mapping.get(code, code) != row.speaker]
    said_by = f'<br><span class="bad">said by {escape(", ".join(others))}</span>' if wrong and row.speaker else ""
    state = "" if row.errors or wrong else " right"
    cells = "".join(_cell(cell) for cell in row.cells)
    return (
        f'<div class="row{state}"><div class="who"><b>{escape(row.speaker)}</b> {_time(row, media)}{said_by}</div>'
        f'<div class="cells"><span class="sides"></span>{cells}</div></div>'
    )


def _time(row: Row, media: str | None) -> str:
    if row.start is None or row.end is None:
        return ""
    text = escape(f"{_clock(row.start)}–{_clock(row.end)}")
    if media is None:
        return text
    return f'<a href="{escape(media)}#t={row.start / 1000:g},{row.end / 1000:g}" title="Play from here">{text}</a>'


def _clock(ms: Milliseconds) -> str:
    minutes, rest = divmod(ms, 60_000)
    hours, minutes = divmod(minutes, 60)
    clock = f"{minutes:02d}:{rest // 1000:02d}.{rest % 1000 // 100}"
    return f"{hours}:{clock}" if hours else clock


def _cell(cell: Cell) -> str:
    seen: dict[tuple[str, str], Mark] = {}
    for mark in cell.marks:
        seen.setdefault((mark.kind, mark.verdict), mark)
    marks = " ".join(_mark(mark) for mark in seen.values())
    return (
        f'<span class="cell {cell.tag}"><span class="r">{escape(cell.reference) or "&nbsp;"}</span>'
        f'<span class="h">{escape(cell.hypothesis) or "&nbsp;"}</span><span class="m">{marks}</span></span>'
    )


def _mark(mark: Mark) -> str:
    sign, kind, text = _VERDICTS[mark.verdict]
    title = escape(f"{mark.kind.replace('_', ' ')}: {text}")
    return f'<span class="{kind}" title="{title}">{SHORT.get(mark.kind, mark.kind)}{sign}</span>'
