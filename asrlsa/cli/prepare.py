"""``asrlsa prepare``: a corpus in, training data out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asrlsa.cli.arguments import comma_separated
from asrlsa.errors import UsageError

if TYPE_CHECKING:
    from asrlsa.corpora.settings import PrepareSettings

EXIT_SOME_FAILED = 2

_CHOICE = "What is taken"
_TEXT = "Text"
_GATES = "Gates"
_SPLIT = "Split"
_OUTPUT = "Output"

_TERMINAL_SPEAKERS = 12


def prepare(
    corpus: Annotated[
        list[Path] | None,
        typer.Argument(help="Folders of transcripts with recordings, or a table of utterances.", show_default=False),
    ] = None,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="The data folder to write.")] = None,
    check: Annotated[
        Path | None, typer.Option(help="Explain every broken row of this data folder, and write nothing.")
    ] = None,
    media: Annotated[
        list[Path] | None,
        typer.Option(help="A folder with recordings, where they lie apart. Repeatable.", rich_help_panel=_CHOICE),
    ] = None,
    format_: Annotated[
        str,
        typer.Option(
            "--format",
            help="Layout of the corpus: auto, cha, textgrid, tsv, csv, jsonl, txt, dataset.",
            rich_help_panel=_CHOICE,
        ),
    ] = "auto",
    speakers: Annotated[
        str | None,
        typer.Option(help="Only these codes or names, such as CHI; comma-separated.", rich_help_panel=_CHOICE),
    ] = None,
    roles: Annotated[
        str | None,
        typer.Option(help="Only these roles, such as Target_Child; comma-separated.", rich_help_panel=_CHOICE),
    ] = None,
    ages: Annotated[
        str | None, typer.Option(help="Only these ages, such as 4;0-6;11.", rich_help_panel=_CHOICE)
    ] = None,
    languages: Annotated[
        str | None,
        typer.Option(help="Only these languages (ISO 639-3), such as eng,spa.", rich_help_panel=_CHOICE),
    ] = None,
    language: Annotated[
        str, typer.Option(help="Language of files that do not name theirs.", rich_help_panel=_CHOICE)
    ] = "eng",
    noise_only: Annotated[
        float,
        typer.Option(help="Stretches without speech, as a share of the length of the speech.", rich_help_panel=_CHOICE),
    ] = 0.05,
    text: Annotated[
        str,
        typer.Option(help="verbatim, fluent or both (fluent in a key of its own).", rich_help_panel=_TEXT),
    ] = "verbatim",
    style: Annotated[
        str,
        typer.Option(
            help="Of CHAT: cased writes sentences with capital and marks, plain bare words.", rich_help_panel=_TEXT
        ),
    ] = "cased",
    longest: Annotated[
        float, typer.Option(help="Longest utterance in seconds, at most 30.", rich_help_panel=_GATES)
    ] = 30.0,
    fastest: Annotated[
        float, typer.Option(help="Highest possible rate in words a second.", rich_help_panel=_GATES)
    ] = 8.0,
    slowest: Annotated[
        float, typer.Option(help="Lowest possible rate in words a second.", rich_help_panel=_GATES)
    ] = 0.1,
    overlap: Annotated[
        float, typer.Option(help="Seconds that others may speak at the same time.", rich_help_panel=_GATES)
    ] = 0.3,
    beyond: Annotated[
        float, typer.Option(help="Seconds that a bullet may end behind its recording.", rich_help_panel=_GATES)
    ] = 0.25,
    check_model: Annotated[
        str | None,
        typer.Option(
            help="Let this model hear every utterance, and drop what it hears differently.", rich_help_panel=_GATES
        ),
    ] = None,
    most_errors: Annotated[
        float,
        typer.Option(help="Word error rate above which --check-model drops; 1 is 100 %.", rich_help_panel=_GATES),
    ] = 0.9,
    offline: Annotated[bool, typer.Option("--offline", help="Never ask a model hub.", rich_help_panel=_GATES)] = False,
    split: Annotated[
        str,
        typer.Option(
            help="What no two parts share: speaker or file; source takes the corpus's own, auto too if it has one.",
            rich_help_panel=_SPLIT,
        ),
    ] = "auto",
    split_file: Annotated[
        Path | None,
        typer.Option(
            help="Lines of a speaker, recording or transcript and train, dev or test.", rich_help_panel=_SPLIT
        ),
    ] = None,
    dev: Annotated[float, typer.Option(help="Share of the speech for dev.", rich_help_panel=_SPLIT)] = 0.1,
    test: Annotated[float, typer.Option(help="Share of the speech for test.", rich_help_panel=_SPLIT)] = 0.1,
    seed: Annotated[int, typer.Option(min=0, help="Seed of every choice by chance.", rich_help_panel=_SPLIT)] = 0,
    cut: Annotated[
        bool,
        typer.Option("--cut", help="Write every row as a clip under clips/ (needs pydub).", rich_help_panel=_OUTPUT),
    ] = False,
    report: Annotated[
        bool,
        typer.Option("--report", help="Print all tables, and write report.html.", rich_help_panel=_OUTPUT),
    ] = False,
    jobs: Annotated[int, typer.Option(min=0, help="Processes; 0 takes every core.", rich_help_panel=_OUTPUT)] = 0,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Replace files that this command did not write.", rich_help_panel=_OUTPUT),
    ] = False,
    quiet: Annotated[
        bool, typer.Option("-q", "--quiet", help="No progress and notes.", rich_help_panel=_OUTPUT)
    ] = False,
) -> None:
    """Make training data of a corpus: manifests with verbatim text, split by speaker, and nothing dropped silently.

    The recordings stay where they are. dropped.jsonl lists every utterance that was left out, with file, line and
    reason. The same command goes on after an interruption and does only what changed. Exit codes: 0 done, 1 wrong
    usage, 2 some sources could not be read or --check found something. docs/prepare.md explains everything.
    """
    if check is not None:
        _check(check, corpus, out)
        return
    if not corpus or out is None:
        raise UsageError("give a corpus and a data folder: asrlsa prepare CORPUS -o DATA")
    from asrlsa.corpora.ages import AgeRange
    from asrlsa.corpora.settings import PrepareSettings

    settings: PrepareSettings = PrepareSettings(
        format=format_,
        language=language,
        text=text,
        style=style,
        languages=comma_separated(languages),
        speakers=comma_separated(speakers),
        roles=comma_separated(roles),
        ages=AgeRange.of(ages) if ages else None,
        longest=longest,
        fastest=fastest,
        slowest=slowest,
        overlap=overlap,
        beyond=beyond,
        noise=noise_only,
        split=split,
        dev=dev,
        test=test,
        seed=seed,
        cut=cut,
        check_model=check_model,
        most_errors=most_errors,
    )
    _run(
        corpus,
        out,
        settings,
        media=media or [],
        split_file=split_file,
        jobs=jobs,
        overwrite=overwrite,
        offline=offline,
        report=report,
        quiet=quiet,
    )


def _run(
    corpus: list[Path],
    out: Path,
    settings: PrepareSettings,
    *,
    media: list[Path],
    split_file: Path | None,
    jobs: int,
    overwrite: bool,
    offline: bool,
    report: bool,
    quiet: bool,
) -> None:
    """Prepare, and print the tables."""
    from asrlsa.cli.evaluate import print_tables
    from asrlsa.cli.prepare_progress import Display
    from asrlsa.corpora.parallel import cores
    from asrlsa.corpora.report import detail_tables, summary_tables
    from asrlsa.manifest import SUMMARY_NAME
    from asrlsa.prepare import REPORT_NAME
    from asrlsa.prepare import prepare as make

    with Display(quiet=quiet, stream=sys.stderr) as display:
        found = make(
            corpus,
            out,
            settings,
            media=media,
            split_file=split_file,
            jobs=jobs or cores(),
            overwrite=overwrite,
            offline=offline,
            html=report,
            listener=display,
        )
    tables = summary_tables(found) + (detail_tables(found, _TERMINAL_SPEAKERS) if report else [])
    print_tables(tables, found.remarks)
    if report:
        typer.echo(f"{out / REPORT_NAME} has the histograms")
    if found.failures:
        plural = "source" if len(found.failures) == 1 else "sources"
        typer.echo(f"asrlsa: {len(found.failures)} {plural} can't be read; {out / SUMMARY_NAME} lists them", err=True)
        raise typer.Exit(EXIT_SOME_FAILED)


def _check(folder: Path, corpus: list[Path] | None, out: Path | None) -> None:
    from asrlsa.corpora.checking import check_data

    if corpus or out is not None:
        raise UsageError("--check takes a data folder alone: asrlsa prepare --check DATA")
    count = 0
    for line in check_data(folder):
        typer.echo(line)
        count += 1
    typer.echo(f"{folder}: {count or 'no'} problem{'s'[: count != 1]}", err=True)
    if count:
        raise typer.Exit(EXIT_SOME_FAILED)
