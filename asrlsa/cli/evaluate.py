"""``asrlsa evaluate``: transcripts against references."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asrlsa.cli.arguments import comma_separated, manifest_fields, write_report
from asrlsa.errors import UsageError

if TYPE_CHECKING:
    from asrlsa.evaluate import Evaluation
    from asrlsa.scoring.gate import Check
    from asrlsa.scoring.tables import Table

EXIT_SOME_FAILED = 2
EXIT_REGRESSED = 3

_SCORES = "Scores"
_OUTPUT = "Output"
_GATE = "Gate"


def evaluate(
    hypothesis: Annotated[
        Path, typer.Argument(help="Transcript, folder of transcripts or JSONL manifest to score.", show_default=False)
    ],
    reference: Annotated[Path, typer.Argument(help="What it should say: as above.", show_default=False)],
    policies: Annotated[
        str,
        typer.Option(
            help="Word scores: verbatim, fluent, cer, batchalign, raw; comma-separated.", rich_help_panel=_SCORES
        ),
    ] = "verbatim,fluent,cer,batchalign",
    normalise: Annotated[
        str,
        typer.Option(
            help="Steps of verbatim, fluent and cer, in order, comma-separated; none for none.",
            rich_help_panel=_SCORES,
        ),
    ] = "unicode,case,numbers,backchannels,punctuation,contractions,spelling,fillers",
    compare: Annotated[
        Path | None,
        typer.Option(help="Other hypotheses for the same references: test the difference.", rich_help_panel=_SCORES),
    ] = None,
    allow_missing: Annotated[
        bool,
        typer.Option(
            "--allow-missing",
            help="Score a missing hypothesis as all deletions; leave out one without reference.",
            rich_help_panel=_SCORES,
        ),
    ] = False,
    language: Annotated[
        str,
        typer.Option(
            help="Language (ISO 639-3) of files that do not name theirs; else that of their partner, or eng.",
            show_default=False,
            rich_help_panel=_SCORES,
        ),
    ] = "",
    where: Annotated[
        list[str] | None,
        typer.Option(help="Of manifests, only lines with this field: split=test. Repeatable.", rich_help_panel=_SCORES),
    ] = None,
    collar: Annotated[
        int, typer.Option(min=0, help="Ms around turns that diarization error leaves out.", rich_help_panel=_SCORES)
    ] = 0,
    resamples: Annotated[
        int, typer.Option(min=0, help="Bootstrap draws for intervals; 0 for none.", rich_help_panel=_SCORES)
    ] = 2000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the draws.", rich_help_panel=_SCORES)] = 0,
    format_: Annotated[
        str, typer.Option("--format", help="table, markdown or json on standard output.", rich_help_panel=_OUTPUT)
    ] = "table",
    files: Annotated[
        bool,
        typer.Option(
            "--files", help="List every file, and the measures of every participant.", rich_help_panel=_OUTPUT
        ),
    ] = False,
    html: Annotated[
        Path | None,
        typer.Option(help="Write a report with every utterance side by side.", rich_help_panel=_OUTPUT),
    ] = None,
    audio: Annotated[
        Path | None,
        typer.Option(help="Folder of the recordings, for links in the report.", rich_help_panel=_OUTPUT),
    ] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write a Markdown summary.", rich_help_panel=_OUTPUT)] = None,
    junit: Annotated[Path | None, typer.Option(help="Write JUnit XML.", rich_help_panel=_OUTPUT)] = None,
    github: Annotated[
        bool,
        typer.Option(
            "--github",
            help="Print GitHub annotations, and add the Markdown summary to the job summary.",
            rich_help_panel=_OUTPUT,
        ),
    ] = False,
    save: Annotated[Path | None, typer.Option(help="Write all scores as JSON.", rich_help_panel=_GATE)] = None,
    baseline: Annotated[
        Path | None, typer.Option(help="Scores of an earlier --save to compare with.", rich_help_panel=_GATE)
    ] = None,
    max_increase: Annotated[
        list[str] | None,
        typer.Option(help="A score may rise by so many points: wer=0.5. Repeatable.", rich_help_panel=_GATE),
    ] = None,
    max_decrease: Annotated[
        list[str] | None,
        typer.Option(help="A score may fall by so many points: disfluency_f1=1.0. Repeatable.", rich_help_panel=_GATE),
    ] = None,
) -> None:
    """Score transcripts against references: words, disfluencies by type, speakers, and language-sample measures.

    Files are paired by name. Exit codes: 0 scored, 1 wrong usage, 2 some files could not be read, 3 a score passed its
    limit. docs/evaluate.md defines every score.
    """
    from asrlsa.evaluate import evaluate as score
    from asrlsa.scoring.gate import check_settings, load_scores, parse_limits, run_gate

    if format_ not in ("table", "markdown", "json"):
        raise UsageError(f"--format {format_!r}: choose table, markdown or json")
    increases = parse_limits(max_increase or [], "--max-increase")
    decreases = parse_limits(max_decrease or [], "--max-decrease")
    if bool(increases or decreases) != (baseline is not None):
        raise UsageError("the gate needs --baseline and at least one --max-increase or --max-decrease")
    before = load_scores(baseline) if baseline is not None else None
    steps = () if normalise.strip() == "none" else comma_separated(normalise)
    if before is not None:
        check_settings(before, steps, collar, {*increases, *decreases})
    found = score(
        hypothesis,
        reference,
        policies=comma_separated(policies),
        steps=steps,
        compare_with=compare,
        language=language,
        where=manifest_fields(where),
        allow_missing=allow_missing,
        collar=collar,
        resamples=resamples,
        seed=seed,
        view=html is not None,
    )
    checks = (
        run_gate(before, found.scores, [f.name for f in found.files], increases, decreases)
        if before is not None
        else []
    )
    regressed = any(check.regressed for check in checks)
    if regressed and save is not None and baseline is not None and save.resolve() == baseline.resolve():
        typer.echo(f"asrlsa: {save} keeps the baseline, because a score regressed", err=True)
        save = None
    _write(found, checks, save=save, html=html, audio=audio, markdown=markdown, junit=junit)
    _show(found, checks, format_, files=files)
    if github:
        _annotate(found, checks)
    for path, message in found.failures:
        typer.echo(f"asrlsa: {path}: {message}" if path not in message else f"asrlsa: {message}", err=True)
    if regressed:
        raise typer.Exit(EXIT_REGRESSED)
    if found.failures:
        raise typer.Exit(EXIT_SOME_FAILED)


def _write(
    found: Evaluation,
    checks: list[Check],
    *,
    save: Path | None,
    html: Path | None,
    audio: Path | None,
    markdown: Path | None,
    junit: Path | None,
) -> None:
    """Write the files that were asked for."""
    from asrlsa import __version__
    from asrlsa.scoring.gate import save_scores
    from asrlsa.scoring.reports import to_data, to_junit, to_markdown

    if save is not None:
        save_scores(save, to_data(found, __version__))
    if markdown is not None:
        write_report(markdown, to_markdown(found, checks))
    if junit is not None:
        write_report(junit, to_junit(found, checks))
    if html is not None:
        from asrlsa.scoring.html import to_html

        write_report(html, to_html(found, checks, version=__version__, folder=html.resolve().parent, audio=audio))


def _show(found: Evaluation, checks: list[Check], format_: str, *, files: bool) -> None:
    """Print the result on standard output."""
    import json

    from asrlsa import __version__
    from asrlsa.scoring.reports import all_tables, remarks, to_data, to_markdown

    if format_ == "json":
        typer.echo(json.dumps(to_data(found, __version__), indent=2, ensure_ascii=False))
        return
    if format_ == "markdown":
        typer.echo(to_markdown(found, checks))
        return
    print_tables(all_tables(found, checks, files=files, participants=files), remarks(found))


def print_tables(tables: list[Table], lines: list[str]) -> None:
    """Print tables for a terminal; on a pipe they keep their full width."""
    from rich import box
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

    console = Console(file=sys.stdout, highlight=False, width=None if sys.stdout.isatty() else 160)
    for table in tables:
        shown = RichTable(
            title=Text(table.title, style="bold"),
            title_justify="left",
            caption=Text(table.note) if table.note else None,
            caption_justify="left",
            box=box.SIMPLE_HEAD,
        )
        for k, name in enumerate(table.header):
            shown.add_column(name, justify="left" if k < table.left else "right", overflow="fold")
        for row in table.rows:
            style = "bold red" if table.key == "gate" and row[-1].startswith("REGRESSED") else ""
            shown.add_row(*(Text(cell) for cell in row), style=style)
        console.print(shown)
    for line in lines:
        console.print(Text(line))


def _annotate(found: Evaluation, checks: list[Check]) -> None:
    """Print GitHub's workflow commands; add the summary to the job summary where GitHub gives a file for it."""
    from asrlsa.scoring.reports import to_annotations, to_markdown

    for line in to_annotations(found, checks):
        typer.echo(line)
    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    if summary:
        with Path(summary).open("a", encoding="utf-8") as stream:
            stream.write(to_markdown(found, checks) + "\n")
