"""Scores as Markdown, JUnit XML, GitHub annotations and JSON."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree as ET

from asrlsa.scoring.gate import FORMAT, Check, plain
from asrlsa.scoring.measures import MEASURES
from asrlsa.scoring.scores import Evaluation, FileScores
from asrlsa.scoring.tables import (
    Table,
    agreement_table,
    class_table,
    comparison_table,
    confusion_table,
    event_table,
    file_table,
    gate_table,
    markdown_lines,
    markdown_text,
    measures_table,
    participant_table,
    speaker_table,
    word_table,
)

# Characters that XML can't hold; a message may quote the U+0015 of a CHAT bullet.
_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def all_tables(
    found: Evaluation, checks: Sequence[Check] = (), *, files: bool = True, participants: bool = False
) -> list[Table]:
    """Return every table of an evaluation that has rows, the gate first.

    Args:
        found: The evaluation.
        checks: Results of the gate.
        files: Whether to list every file.
        participants: Whether to list the measures of every participant. Of one file they stand in place of the means.
    """
    scored, scores, bounds = found.files, found.scores, found.intervals
    made = [
        gate_table(checks),
        comparison_table(found.comparison),
        word_table(scored, found.policies, scores, bounds, found.steps),
        event_table(scored, scores, bounds),
        speaker_table(scored, scores, bounds, found.collar),
        participant_table(scored),
        *([measures_table(scored[0])] if len(scored) == 1 else [agreement_table(scored)]),
        class_table(scored),
        confusion_table(scored),
        *([file_table(scored)] if files else []),
        *(map(measures_table, scored) if participants and len(scored) > 1 else []),
    ]
    return [table for table in made if table.rows]


def remarks(found: Evaluation) -> list[str]:
    """Return what a reader must know before the figures: failures, missing files, how sure the figures are."""
    lines = [f"could not be read: {path}: {message}" for path, message in found.failures]
    if found.missing:
        lines.append(f"no hypothesis, scored as all deletions: {', '.join(found.missing)}")
    if found.left_out:
        lines.append(f"no reference, left out: {', '.join(found.left_out)}")
    if found.cut_short:
        files = ", ".join(found.cut_short)
        lines.append(f"without @End, perhaps cut short, scored as far as it goes (see asrlsa check): {files}")
    if len(found.files) < 2:
        lines.append("one file: no intervals")
    elif found.resamples:
        lines.append(
            f"95 % intervals: bootstrap over {len(found.files)} files, {found.resamples} draws, seed {found.seed}"
        )
    return lines


def to_markdown(found: Evaluation, checks: Sequence[Check] = (), *, title: str = "asrlsa evaluate") -> str:
    """Write an evaluation as a Markdown summary."""
    parts = [f"## {title}", "", *(f"- {markdown_text(line)}" for line in remarks(found)), ""]
    for table in all_tables(found, checks):
        parts += [f"### {table.title}", "", *markdown_lines(table), ""]
        if table.note:
            parts += [markdown_text(table.note), ""]
    return "\n".join(parts)


def to_junit(found: Evaluation, checks: Sequence[Check]) -> str:
    """Write the gate and the files as JUnit XML: one case for each check, one for each file that was to be scored."""
    suites = ET.Element("testsuites", name="asrlsa evaluate")
    failed = sum(check.regressed for check in checks)
    gate = ET.SubElement(
        suites, "testsuite", name="gate", tests=str(len(checks)), failures=str(failed), errors="0", skipped="0"
    )
    for check in checks:
        case = ET.SubElement(gate, "testcase", classname="asrlsa.gate", name=check.name)
        if check.regressed:
            row = gate_table([check]).rows[0]
            ET.SubElement(case, "failure", message=check.reason).text = f"baseline {row[1]}, now {row[2]}, {row[3]}"
    cases = [file.name for file in found.files]
    suite = ET.SubElement(
        suites,
        "testsuite",
        name="files",
        tests=str(len(cases) + len(found.failures)),
        failures="0",
        errors=str(len(found.failures)),
        skipped="0",
    )
    for name in cases:
        ET.SubElement(suite, "testcase", classname="asrlsa.files", name=name)
    for path, message in found.failures:
        case = ET.SubElement(suite, "testcase", classname="asrlsa.files", name=path)
        ET.SubElement(case, "error", message=message)
    ET.indent(suites)
    return _NOT_XML.sub("?", ET.tostring(suites, encoding="unicode", xml_declaration=True)) + "\n"


def to_annotations(found: Evaluation, checks: Sequence[Check]) -> list[str]:
    """Write GitHub workflow commands: errors for what regressed or could not be read, a notice with the headline."""
    lines = []
    for check in checks:
        if check.regressed:
            row = gate_table([check]).rows[0]
            message = f"{check.name} {check.reason}: baseline {row[1]}, now {row[2]}, {row[3]}"
            lines.append(f"::error title={_property('asrlsa: ' + check.name + ' regressed')}::{_data(message)}")
    for path, message in found.failures:
        lines.append(f"::error file={_property(path)},title=asrlsa%3A can't be read::{_data(message)}")
    scores = found.scores
    headline = ", ".join(
        f"{label} {scores[name]:.2f} %"
        for name, label in (("wer", "verbatim WER"), ("fluent_wer", "fluent WER"), ("disfluency_f1", "disfluency F1"))
        if scores.get(name) is not None
    )
    lines.append(f"::notice title=asrlsa evaluate::{_data(f'{len(found.files)} files: {headline}')}")
    return lines


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def to_data(found: Evaluation, version: str) -> dict[str, Any]:
    """Return an evaluation as plain data, which ``--save`` writes and ``--baseline`` reads."""
    data: dict[str, Any] = plain(
        {
            "format": FORMAT,
            "asrlsa": version,
            "policies": list(found.policies),
            "normalisation": list(found.steps),
            "collar_ms": found.collar,
            "resamples": found.resamples,
            "seed": found.seed,
            "scores": found.scores,
            "intervals": {name: bounds for name, bounds in found.intervals.items() if bounds is not None},
            "missing": found.missing,
            "left_out": found.left_out,
            "failures": [list(failure) for failure in found.failures],
            "comparison": [
                {key: getattr(c, key) for key in ("name", "first", "second", "low", "high", "p", "test", "units")}
                for c in found.comparison
            ],
            "files": {file.name: _file_data(file) for file in found.files},
        }
    )
    return data


def _file_data(file: FileScores) -> dict[str, Any]:
    return {
        "reference": file.reference,
        "hypothesis": file.hypothesis,
        "words": {name: counts._asdict() for name, counts in file.counts.items()},
        "participants": {code: counts._asdict() for code, counts in file.participants.items()},
        "speaker_mapping": file.mapping,
        "speaker_attributed": file.attributed._asdict() if file.attributed else None,
        "speaker_named": file.named._asdict() if file.named else None,
        "diarization_ms": file.diarization._asdict() if file.diarization else None,
        "events": {kind: counts._asdict() for kind, counts in file.kinds.items() if any(counts)},
        "events_relaxed": file.relaxed._asdict(),
        "codes_on_both_sides": not file.spelt_only,
        "measures": {
            pair.participant: {
                name: {
                    "reference": getattr(pair.reference, name),
                    "hypothesis": getattr(pair.hypothesis, name) if pair.hypothesis is not None else None,
                    "error": pair.error(name),
                    "relative_error": pair.relative_error(name),
                }
                for name in MEASURES
            }
            for pair in file.measures
        },
    }
