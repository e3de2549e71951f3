"""The tables that the terminal, Markdown and HTML show, made once: titles, headers and rows of text."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from asrlsa.scoring.agreement import Agreement, agree
from asrlsa.scoring.align import Counts
from asrlsa.scoring.events import DISFLUENCIES, EventCounts
from asrlsa.scoring.gate import Check
from asrlsa.scoring.measures import MEASURES
from asrlsa.scoring.metrics import METRICS
from asrlsa.scoring.normalise import DEFAULT_STEPS, POLICIES, STEPPED
from asrlsa.scoring.samples import EVENT_KINDS
from asrlsa.scoring.scores import FileScores
from asrlsa.scoring.statistics import Comparison
from asrlsa.scoring.words import WORD_CLASSES

METRIC_OF_POLICY = {
    "verbatim": "wer",
    "fluent": "fluent_wer",
    "cer": "cer",
    "batchalign": "batchalign_wer",
    "raw": "raw_wer",
}


@dataclass(frozen=True, slots=True)
class Table:
    """A table of text. ``left`` is the number of leading columns that are words, not figures."""

    key: str
    title: str
    header: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    note: str = ""
    left: int = 1


def number(value: float | None, digits: int = 2) -> str:
    """Write a figure; ``–`` where there is none."""
    if value is None or math.isnan(value):
        return "–"
    return "∞" if math.isinf(value) else f"{value:.{digits}f}"


def markdown_lines(table: Table) -> list[str]:
    """Write header and rows of a table as Markdown, words to the left and figures to the right."""
    marks = (" :-- " if k < table.left else " --: " for k in range(len(table.header)))
    rows = ["| " + " | ".join(markdown_text(text) or " " for text in row) + " |" for row in (table.header, *table.rows)]
    return [rows[0], "|" + "|".join(marks) + "|", *rows[1:]]


def markdown_text(text: str) -> str:
    """Write a text so that Markdown takes none of it for a sign of its own, on one line."""
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


def _interval(interval: tuple[float, float] | None) -> str:
    return f"{interval[0]:.2f} to {interval[1]:.2f}" if interval is not None else "–"


def word_table(
    files: Sequence[FileScores],
    policies: Sequence[str],
    scores: Mapping[str, float | None],
    intervals: Mapping[str, tuple[float, float] | None],
    steps: Sequence[str] = DEFAULT_STEPS,
) -> Table:
    """Word scores by policy; the note names every policy and the normalisation."""
    rows = []
    for name in policies:
        total = Counts()
        for file in files:
            total = total.plus(file.counts[name])
        metric = METRIC_OF_POLICY[name]
        rows.append(
            (
                name,
                "CER" if POLICIES[name].unit == "character" else "WER",
                number(scores[metric]),
                _interval(intervals.get(metric)),
                str(total.reference),
                str(total.substitutions),
                str(total.deletions),
                str(total.insertions),
                str(total.masked),
            )
        )
    header = ("policy", "", "%", "95 % interval", "reference", "subst.", "deleted", "inserted", "in masks")
    notes = " ".join(f"{name}: {POLICIES[name].description}" for name in policies)
    stepped = ", ".join(name for name in policies if name in STEPPED)
    notes += f" Normalisation of {stepped}: {', '.join(steps) or 'none'}."
    return Table("words", "Word scores", header, rows, notes, left=2)


def class_table(files: Sequence[FileScores]) -> Table:
    """Verbatim word scores by word class."""
    totals: dict[str, Counts] = {}
    for file in files:
        for name, counts in file.classes.items():
            totals[name] = totals.get(name, Counts()).plus(counts)
    rows = [(name, *_count_cells(totals[name])) for name in WORD_CLASSES if name in totals]
    return Table("classes", "Verbatim errors by word class", ("class", *_COUNT_HEADER), rows)


_COUNT_HEADER = ("reference", "hits", "subst.", "deleted", "inserted", "WER %")


def _count_cells(counts: Counts) -> tuple[str, ...]:
    rate = counts.rate
    shown = number(100 * rate if rate is not None else None)
    figures = (counts.reference, counts.hits, counts.substitutions, counts.deletions, counts.insertions)
    return (*map(str, figures), shown)


def participant_table(files: Sequence[FileScores]) -> Table:
    """Verbatim word scores by participant code, over all files."""
    totals: dict[str, Counts] = {}
    for file in files:
        for code, counts in file.participants.items():
            totals[code] = totals.get(code, Counts()).plus(counts)
    rows = [(code or "(no speaker)", *_count_cells(totals[code])) for code in sorted(totals)]
    return Table("participants", "Verbatim WER by participant", ("participant", *_COUNT_HEADER), rows)


def speaker_table(
    files: Sequence[FileScores],
    scores: Mapping[str, float | None],
    intervals: Mapping[str, tuple[float, float] | None],
    collar: int,
) -> Table:
    """Speaker-attributed WER, diarization error and word boundaries."""
    rows = []
    for name, label in (
        ("cpwer", "cpWER %: speakers by their words, whatever they are called"),
        ("speaker_wer", "speaker WER %: the same, and a code such as CHI must be CHI"),
        ("der", f"diarization error % (collar {collar} ms, overlap scored)"),
    ):
        if scores.get(name) is not None:
            rows.append((label, number(scores[name]), _interval(intervals.get(name))))
    starts = sorted(abs(d) for file in files for d in file.boundaries.starts)
    ends = sorted(abs(d) for file in files for d in file.boundaries.ends)
    for label, off, metric in (("word start", starts, "word_start_ms"), ("word end", ends, "word_end_ms")):
        if off:
            middle = (off[(len(off) - 1) // 2] + off[len(off) // 2]) / 2
            rows.append(
                (
                    f"{label}, mean error ms ({len(off)} words, median {middle:g})",
                    number(scores[metric]),
                    _interval(intervals.get(metric)),
                )
            )
    left = sum(file.attributed is None for file in files)
    notes = [f"{left} of {len(files)} files name no speakers on one side."] if left else []
    swapped = [f.name for f in files if f.attributed and f.named and f.attributed.errors < f.named.errors]
    if swapped:
        some = ", ".join(swapped[:5]) + (f" and {len(swapped) - 5} more" if len(swapped) > 5 else "")
        notes.append(f"Speaker codes fit the words better when they are exchanged: {some}.")
    return Table("speakers", "Speakers and times", ("score", "", "95 % interval"), rows, " ".join(notes))


def event_table(
    files: Sequence[FileScores], scores: Mapping[str, float | None], intervals: Mapping[str, tuple[float, float] | None]
) -> Table:
    """Typed disfluency scores, and their averages."""
    total = {kind: EventCounts() for kind in (*EVENT_KINDS, "relaxed")}
    for file in files:
        for kind, counts in (*file.kinds.items(), ("relaxed", file.relaxed)):
            total[kind] = total[kind].plus(counts)
    rows = [
        _event_cells(kind.replace("_", " "), total[kind], kind, scores, intervals)
        for kind in EVENT_KINDS
        if total[kind].reference or total[kind].hypothesis
    ]
    micro = _sum(total[kind] for kind in DISFLUENCIES)
    rows.append(_event_cells("all, micro average", micro, "disfluency", scores, intervals))
    rows.append(_macro_cells("all, mean of types", "disfluency_macro_f1", scores, intervals))
    if any(total["pause"]):
        both = micro.plus(total["pause"])
        rows.append(_event_cells("with pauses, micro", both, "disfluency_with_pauses", scores, intervals))
        mean = "disfluency_with_pauses_macro_f1"
        rows.append(_macro_cells("with pauses, mean of types", mean, scores, intervals))
    rows.append(_event_cells("any type (relaxed)", total["relaxed"], "relaxed", scores, intervals))
    spelt = sum(file.spelt_only for file in files)
    note = "All: every type but pause and nonword."
    if spelt:
        note += f" In {spelt} of {len(files)} files one side has no codes: only filled pauses and fragments are scored."
    header = ("disfluency", "reference", "hypothesis", "matched", "precision %", "recall %", "F1 %", "95 % interval F1")
    return Table("events", "Typed disfluencies", header, rows, note)


def _sum(parts: Iterable[EventCounts]) -> EventCounts:
    total = EventCounts()
    for part in parts:
        total = total.plus(part)
    return total


def _event_cells(
    label: str,
    counts: EventCounts,
    key: str,
    scores: Mapping[str, float | None],
    intervals: Mapping[str, tuple[float, float] | None],
) -> tuple[str, ...]:
    figures = [number(scores[f"{key}_{name}"]) for name in ("precision", "recall", "f1")]
    bounds = _interval(intervals.get(f"{key}_f1"))
    return (label, str(counts.reference), str(counts.hypothesis), str(counts.matched), *figures, bounds)


def _macro_cells(
    label: str,
    key: str,
    scores: Mapping[str, float | None],
    intervals: Mapping[str, tuple[float, float] | None],
) -> tuple[str, ...]:
    return (label, "", "", "", "", "", number(scores[key]), _interval(intervals.get(key)))


def agreement_table(files: Sequence[FileScores]) -> Table:
    """Language-sample measures, summed up over participants."""
    found: list[Agreement] = agree([pair for file in files for pair in file.measures])
    rows = [
        (
            a.name.replace("_", " "),
            str(a.pairs),
            number(a.reference),
            number(a.hypothesis),
            number(a.bias),
            number(a.absolute),
            number(a.relative, 1),
        )
        for a in found
    ]
    header = ("measure", "participants", "reference", "hypothesis", "mean error", "mean |error|", "mean |error| %")
    unmatched = sum(p.hypothesis is None for f in files for p in f.measures)
    note = f"{unmatched} participants have no speaker in the hypothesis and are not in the means." if unmatched else ""
    return Table("measures", "Language-sample measures, means over participants", header, rows, note)


def measures_table(file: FileScores) -> Table:
    """Language-sample measures of every participant of one file, reference against hypothesis."""
    pairs = [pair for pair in file.measures if pair.hypothesis is not None]
    header = ["measure"]
    for pair in pairs:
        header += [f"{pair.participant} reference", "hypothesis", "error", "error %"]
    rows = []
    for name in MEASURES if pairs else ():
        row = [name.replace("_", " ")]
        for pair in pairs:
            values = getattr(pair.reference, name), getattr(pair.hypothesis, name), pair.error(name)
            row += [str(v) if isinstance(getattr(pair.reference, name), int) else number(v) for v in values[:2]]
            row += [number(values[2]), number(pair.relative_error(name), 1)]
        rows.append(tuple(row))
    left = [pair.participant for pair in file.measures if pair.hypothesis is None]
    note = f"No speaker of the hypothesis stands for {', '.join(left)}." if left else ""
    return Table("measures", f"Language-sample measures: {file.name}", tuple(header), rows, note)


def confusion_table(files: Sequence[FileScores], most: int = 20) -> Table:
    """The most frequent verbatim errors."""
    total: Counter[tuple[str, str]] = Counter()
    for file in files:
        total.update(file.confusions)
    ranked = sorted(total.items(), key=lambda found: (-found[1], found[0]))[:most]
    rows = [(ours or "(nothing)", theirs or "(nothing)", str(count)) for (ours, theirs), count in ranked]
    return Table("confusions", "Most frequent errors (verbatim)", ("reference", "hypothesis", "times"), rows, left=2)


def file_table(files: Sequence[FileScores]) -> Table:
    """Headline figures of every file."""
    rows = []
    for file in files:
        verbatim, events = file.counts["verbatim"], _sum(file.kinds[kind] for kind in DISFLUENCIES)
        fluent = file.counts.get("fluent")
        shown = [
            verbatim.rate,
            fluent.rate if fluent else None,
            events.f1,
            file.attributed.rate if file.attributed else None,
            file.named.rate if file.named else None,
        ]
        figures = [number(100 * value if value is not None else None) for value in shown]
        rows.append((file.name, str(verbatim.reference), *figures))
    header = ("file", "words", "WER %", "fluent WER %", "disfluency F1 %", "cpWER %", "speaker WER %")
    return Table("files", "Files", header, rows)


def comparison_table(found: Sequence[Comparison]) -> Table:
    """Tests against another set of hypotheses."""
    rows = [
        (
            METRICS[c.name].label,
            number(c.first),
            number(c.second),
            number(c.first - c.second if c.first is not None and c.second is not None else None),
            f"{c.low:.2f} to {c.high:.2f}" if c.low is not None and c.high is not None else "–",
            ("< 0.001" if c.p < 0.001 else f"{c.p:.3f}") if c.p is not None else "–",
            _verdict(c),
            f"MAPSSWE, {c.units} segments" if c.test == "MAPSSWE" else f"bootstrap, {c.units} files",
        )
        for c in found
    ]
    header = ("score", "these", "others", "difference", "95 % interval", "p", "these are", "test")
    note = "bootstrap: paired, by file; fewer than six files can't show a difference. MAPSSWE: by stretches of errors."
    return Table("comparison", "Comparison with the other hypotheses", header, rows, note)


def _verdict(found: Comparison) -> str:
    if found.p is None or found.first is None or found.second is None or found.p >= 0.05:
        return "not shown to differ"
    lower = found.first < found.second
    return "better" if lower == (METRICS[found.name].better == "lower") else "worse"


def gate_table(checks: Sequence[Check]) -> Table:
    """What the gate checked."""
    rows = [
        (
            c.name,
            number(c.baseline),
            number(c.now),
            f"may {'rise' if c.direction == 'increase' else 'fall'} by {c.limit:g}",
            f"REGRESSED: {c.reason}" if c.regressed else "ok",
        )
        for c in checks
    ]
    return Table("gate", "Gate", ("score", "baseline", "now", "limit", "result"), rows)
