"""``asrlsa measure``: language-sample measures of transcripts."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asrlsa.errors import UsageError

if TYPE_CHECKING:
    from asrlsa.measure import Measured

EXIT_SOME_FAILED = 2


def measure(
    paths: Annotated[list[Path], typer.Argument(help="CHAT files, or folders that hold some.", show_default=False)],
    participant: Annotated[
        list[str] | None, typer.Option(help="Only this participant code, such as CHI. Repeatable.")
    ] = None,
    format_: Annotated[str, typer.Option("--format", help="table, csv or json.")] = "table",
    window: Annotated[int, typer.Option(min=1, help="Words in a MATTR window.")] = 50,
) -> None:
    """Compute what clinicians compute: words, MLU, TTR, MATTR, rate, fillers, mazes, FLUCALC's TD and SLD, pauses.

    One row for each participant. docs/measures.md defines every measure. Exit codes: 0 done, 1 wrong usage, 2 some
    files could not be read or have no utterance.
    """
    from asrlsa.measure import measure as compute

    if format_ not in ("table", "csv", "json"):
        raise UsageError(f"--format {format_!r}: choose table, csv or json")
    found, failures = compute(paths, participants=participant or (), window=window)
    if format_ == "json":
        rows = [{"file": m.file, "participant": m.participant, "role": m.role, **asdict(m.measures)} for m in found]
        typer.echo(json.dumps(rows, indent=2, ensure_ascii=False))
    elif format_ == "csv":
        typer.echo(_csv(found), nl=False)
    else:
        _table(found)
    for path, message in failures:
        typer.echo(f"asrlsa: {message}" if path in message else f"asrlsa: {path}: {message}", err=True)
    if failures:
        raise typer.Exit(EXIT_SOME_FAILED)


def _csv(found: list[Measured]) -> str:
    """Write full figures; an empty field is a measure that can't be computed."""
    from asrlsa.scoring.measures import MEASURES

    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["file", "participant", "role", *MEASURES])
    for m in found:
        writer.writerow([m.file, m.participant, m.role, *asdict(m.measures).values()])
    return stream.getvalue()


def _table(found: list[Measured]) -> None:
    """Print one column for each participant, so that a terminal holds every measure."""
    from asrlsa.cli.evaluate import print_tables
    from asrlsa.scoring.measures import MEASURES
    from asrlsa.scoring.tables import Table, number

    tables = []
    for file in dict.fromkeys(m.file for m in found):
        here = [m for m in found if m.file == file]
        rows = []
        for name in MEASURES:
            values = [getattr(m.measures, name) for m in here]
            rows.append((name.replace("_", " "), *(str(v) if isinstance(v, int) else number(v) for v in values)))
        header = ("measure", *(f"{m.participant} {m.role}".strip() for m in here))
        tables.append(Table("measures", file, header, rows))
    print_tables(tables, [])
