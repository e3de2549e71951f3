"""The report on a prepared corpus: tables, and one self-contained page with histograms as inline SVG."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from importlib import resources

from asrlsa.corpora.gates import REASONS
from asrlsa.corpora.statistics import DURATION_STEP, FASTEST_BAR, RATE_STEP, Part, Speaker
from asrlsa.scoring.samples import EVENT_KINDS
from asrlsa.scoring.tables import Table, number
from asrlsa.types import Milliseconds

MOST_SPEAKERS = 40  # that the page lists one by one; a terminal shows fewer


@dataclass(slots=True)
class Report:
    """What `asrlsa prepare` did.

    Attributes:
        parts: Name of a part -> what it holds.
        utterances: Utterances that the corpus has.
        dropped: Reason -> number of utterances that were left out.
        failures: Sources that can't be read, with why.
        remarks: Notes on the corpus and its split.
    """

    parts: dict[str, Part] = field(default_factory=dict)
    utterances: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    failures: list[tuple[str, str]] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def summary_tables(report: Report) -> list[Table]:
    """Return what everybody wants to see: the parts, and what was left out."""
    rows = [_part_row(name, part) for name, part in report.parts.items()]
    header = ("part", "utterances", "length", "words", "speakers", "recordings", "noise rows", "noise")
    tables = [Table("parts", "Prepared", header, rows)]
    lost = [
        (reason, why, str(report.dropped[reason]), _percent(report.dropped[reason], report.utterances))
        for reason, why in REASONS.items()
        if report.dropped[reason]
    ]
    if lost:
        note = f"Of {report.utterances} utterances. dropped.jsonl lists every one with file, line and what is wrong."
        tables.append(Table("dropped", "Left out", ("reason", "meaning", "utterances", "%"), lost, note, left=2))
    return tables


def detail_tables(report: Report, most: int = MOST_SPEAKERS) -> list[Table]:
    """Return strata, disfluencies by type, and the ``most`` speakers who say most with their disfluencies."""
    names = list(report.parts)
    strata = sorted({key for part in report.parts.values() for key in part.strata})
    rows = [
        (*(value or "–" for value in key), *(_length(report.parts[name].strata[key]) for name in names))
        for key in strata
    ]
    tables = [Table("strata", "Length by group, role and age", ("group", "role", "years", *names), rows, left=3)]
    kinds = [k for k in EVENT_KINDS if any(part.events[k] for part in report.parts.values())]
    if kinds:
        rows = [
            (kind.replace("_", " "), *(cell for name in names for cell in _event_cells(kind, report.parts[name])))
            for kind in kinds
        ]
        header = ("type", *(text for name in names for text in (name, "per 100 words")))
        tables.append(Table("events", "Disfluencies by type", header, rows))
    tables.append(_speaker_table(report, kinds, most))
    return tables


def _part_row(name: str, part: Part) -> tuple[str, ...]:
    known = len(part.speakers) - ("" in part.speakers)
    return (
        name,
        str(part.rows),
        _length(part.ms),
        str(part.words),
        f"{known}" + (" + unknown" if "" in part.speakers else ""),
        str(part.recordings),
        str(part.noise_rows),
        _length(part.noise_ms),
    )


def _event_cells(kind: str, part: Part) -> tuple[str, str]:
    return str(part.events[kind]), number(100 * part.events[kind] / part.words if part.words else None)


def _speaker_table(report: Report, kinds: Sequence[str], most: int) -> Table:
    everyone = [(name, part, who) for part, found in report.parts.items() for name, who in found.speakers.items()]
    everyone.sort(key=lambda row: (-row[2].words, row[0]))
    shown = everyone[:most]
    rows = [_speaker_row(name, part, who, kinds) for name, part, who in shown]
    if len(everyone) > most:
        rest = Speaker()
        for _, _, who in everyone[most:]:
            rest.rows += who.rows
            rest.words += who.words
            rest.ms += who.ms
            rest.events.update(who.events)
        rows.append(_speaker_row(f"{len(everyone) - most} more", "", rest, kinds))
    header = ("speaker", "part", "role", "utterances", "length", "words", "words/min")
    note = "Types: disfluencies per 100 words." if kinds else ""
    return Table("speakers", "Speakers", (*header, *(k.replace("_", " ") for k in kinds)), rows, note, left=3)


def _speaker_row(name: str, part: str, who: Speaker, kinds: Sequence[str]) -> tuple[str, ...]:
    rate = number(60_000 * who.words / who.ms if who.ms else None, 0)
    events = (number(100 * who.events[k] / who.words if who.words else None, 1) for k in kinds)
    return (name or "unknown", part, who.role, str(who.rows), _length(who.ms), str(who.words), rate, *events)


def to_html(report: Report, *, version: str, title: str) -> str:
    """Return the report as one page that loads nothing from elsewhere."""
    css = resources.files("asrlsa.scoring").joinpath("report.css").read_text(encoding="utf-8")
    durations: Counter[int] = Counter()
    rates: Counter[int] = Counter()
    for part in report.parts.values():
        durations.update(part.durations)
        rates.update(part.rates)
    parts = [
        "<!DOCTYPE html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(title)}</title><style>{css}</style></head><body>",
        f"<header><h1>{escape(title)}</h1></header>",
        *(_table(table) for table in summary_tables(report)),
        "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in report.remarks) + "</ul>",
        "<h2>How long utterances are</h2>",
        _histogram(durations, DURATION_STEP, "s", "utterances"),
        "<h2>How fast people speak</h2>",
        _histogram(rates, RATE_STEP, "words a minute", "utterances"),
    ]
    for table in detail_tables(report):
        parts.append(_table(table))
        if table.key == "events":
            parts.append(_bars(report))
    if report.failures:
        rows = [(path, why.removeprefix(f"{path}: ").removeprefix(f"{path}:")) for path, why in report.failures]
        parts.append(_table(Table("failures", "Sources that can't be read", ("source", "why"), rows, left=2)))
    parts.append(f"<footer>Made by asrlsa {escape(version)}. docs/prepare.md explains every gate.</footer>")
    return "\n".join(parts) + "\n</body></html>\n"


def _table(table: Table) -> str:
    words = [k < table.left for k in range(len(table.header))]
    head = "".join(
        f'<th scope="col" class="{"word" if word else ""}">{escape(name)}</th>'
        for word, name in zip(words, table.header, strict=True)
    )
    rows = "".join(
        "<tr>"
        + "".join(f'<td class="{"word" if w else ""}">{escape(t)}</td>' for w, t in zip(words, row, strict=True))
        + "</tr>"
        for row in table.rows
    )
    note = f'<p class="note">{escape(table.note)}</p>' if table.note else ""
    return (
        f'<h2 id="{table.key}">{escape(table.title)}</h2><div class="scroll"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>{note}"
    )


def _histogram(counts: Mapping[int, int], step: int, unit: str, what: str) -> str:
    """Draw a bar for each step; the numbers stand in titles and above the highest bar."""
    if not counts:
        return '<p class="quiet">There are no utterances.</p>'
    last = max(counts)
    bins = list(range(0, last + step, step))
    wide, high, left, low = 720, 180, 10, 24
    width = (wide - left) / len(bins)
    most = max(counts.values())
    label = f"{what} by {unit}: most, {most}, at {max(counts, key=lambda k: (counts[k], -k))}"
    parts = [
        f'<svg viewBox="0 0 {wide} {high + low + 22}" width="{wide}" height="{high + low + 22}" role="img" '
        f'aria-label="{escape(label)}" font-size="12">'
    ]
    every = max(1, len(bins) // 12)
    for k, begin in enumerate(bins):
        tall = high * counts.get(begin, 0) / most
        x = left + k * width
        parts.append(
            f'<rect x="{x:.1f}" y="{high - tall + 14:.1f}" width="{max(width - 1, 0.5):.1f}" height="{tall:.1f}" '
            f'fill="#0072b2"><title>{_bin(begin, step)} {escape(unit)}: {counts.get(begin, 0)}</title></rect>'
        )
        if k % every == 0:
            parts.append(f'<text x="{x:.1f}" y="{high + 28}">{begin}</text>')
        if counts.get(begin, 0) == most:
            parts.append(f'<text x="{x:.1f}" y="11">{most}</text>')
    parts.append(f'<text x="{wide - 4}" y="{high + 43}" text-anchor="end">{escape(unit)}</text>')
    return "".join(parts) + "</svg>"


def _bin(begin: int, step: int) -> str:
    return f"{begin} and more" if begin == FASTEST_BAR else f"{begin} to {begin + step}"


def _bars(report: Report) -> str:
    """Draw the disfluencies per 100 words by type, one bar for each part."""
    fills = {"train": "#0072b2", "dev": "#e69f00", "test": "#009e73"}
    parts = {name: part for name, part in report.parts.items() if part.words}
    kinds = [k for k in EVENT_KINDS if any(part.events[k] for part in parts.values())]
    rates = {(k, name): 100 * part.events[k] / part.words for k in kinds for name, part in parts.items()}
    most = max(rates.values(), default=0)
    if not most:
        return ""
    left, wide, bar = 170, 480, 11
    block = bar * len(parts) + 9
    height = block * len(kinds) + 26
    drawn = [
        f'<svg viewBox="0 0 {left + wide + 70} {height}" width="{left + wide + 70}" height="{height}" role="img" '
        'aria-label="Disfluencies per 100 words by type" font-size="12">'
    ]
    for row, kind in enumerate(kinds):
        y = row * block
        middle = y + block / 2 + 1
        drawn.append(f'<text x="{left - 8}" y="{middle:.0f}" text-anchor="end">{escape(kind.replace("_", " "))}</text>')
        for k, name in enumerate(parts):
            width = wide * rates[kind, name] / most
            top = y + k * bar
            fill = fills.get(name, "#595959")
            drawn.append(
                f'<rect x="{left}" y="{top}" width="{width:.1f}" height="{bar - 1}" fill="{fill}"/>'
                f'<text x="{left + width + 4:.1f}" y="{top + 9}" font-size="10">{rates[kind, name]:.1f}</text>'
            )
    x = left
    for name in parts:
        drawn.append(f'<rect x="{x}" y="{height - 14}" width="12" height="10" fill="{fills.get(name, "#595959")}"/>')
        drawn.append(f'<text x="{x + 17}" y="{height - 5}">{escape(name)}</text>')
        x += 80
    return "".join(drawn) + "</svg>"


def _length(ms: Milliseconds) -> str:
    seconds = round(ms / 1000)
    return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"


def _percent(part: int, whole: int) -> str:
    return number(100 * part / whole if whole else None, 1)
