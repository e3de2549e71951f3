"""``asrlsa bench``: parse, run the matrix, show and write the results."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asrlsa.cli.arguments import comma_separated, manifest_fields, write_report
from asrlsa.errors import UsageError

if TYPE_CHECKING:
    from asrlsa.benching.matrix import Matrix
    from asrlsa.benching.results import Report

EXIT_SOME_FAILED = 2
_MATRIX = "What is compared (several values with commas)"
_RESULT = "Results"
DATA_HELP = "Manifest, or folder of recordings with a manifest or with .cha beside them."


def bench(
    models: Annotated[
        list[str] | None, typer.Argument(help="Names or folders of models. [default: base]", show_default=False)
    ] = None,
    data: Annotated[Path | None, typer.Option("--data", help=DATA_HELP, show_default="required")] = None,
    where: Annotated[
        list[str] | None, typer.Option(help="Only these lines of a manifest. Repeatable.", metavar="FIELD=VALUE")
    ] = None,
    out: Annotated[
        Path, typer.Option("-o", "--out", help="Folder for results and transcripts; the same folder goes on.")
    ] = Path("bench"),
    repeats: Annotated[int, typer.Option(min=1, help="Runs of each configuration; medians are shown.")] = 3,
    engine: Annotated[
        str,
        typer.Option(
            help="asrlsa, faster-whisper, openai-whisper, transformers, whisper.cpp.", rich_help_panel=_MATRIX
        ),
    ] = "asrlsa",
    compute_type: Annotated[
        str, typer.Option(help="default, int8, float16, float32, …", rich_help_panel=_MATRIX)
    ] = "default",
    beam_size: Annotated[str, typer.Option(help="Widths of the search.", rich_help_panel=_MATRIX)] = "1",
    batch_size: Annotated[
        str, typer.Option(help="Windows decoded together, or auto.", rich_help_panel=_MATRIX)
    ] = "auto",
    threads: Annotated[str, typer.Option(help="CPU cores; 0 takes every core.", rich_help_panel=_MATRIX)] = "0",
    context: Annotated[
        str,
        typer.Option(
            help="auto shortens the encoder's input for short windows; full does not.", rich_help_panel=_MATRIX
        ),
    ] = "auto",
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.", rich_help_panel=_MATRIX)] = "auto",
    language: Annotated[
        str, typer.Option(help="Language spoken, such as en; auto listens for it.", rich_help_panel=_MATRIX)
    ] = "auto",
    low_memory: Annotated[
        bool, typer.Option("--low-memory", help="Run as transcribe --low-memory does.", rich_help_panel=_MATRIX)
    ] = False,
    recommend: Annotated[
        bool,
        typer.Option(
            "--recommend",
            help="Name the best setting for this machine and keep it for transcribe.",
            rich_help_panel=_RESULT,
        ),
    ] = False,
    within: Annotated[
        float, typer.Option(help="Points of WER that the recommended setting may lose.", rich_help_panel=_RESULT)
    ] = 0.5,
    memory: Annotated[
        float | None,
        typer.Option(help="MB that it may take. [default: what is free]", rich_help_panel=_RESULT),
    ] = None,
    json_: Annotated[Path | None, typer.Option("--json", help="Write JSON.", rich_help_panel=_RESULT)] = None,
    csv: Annotated[Path | None, typer.Option("--csv", help="Write CSV.", rich_help_panel=_RESULT)] = None,
    markdown: Annotated[
        Path | None, typer.Option("--markdown", help="Write a table in Markdown.", rich_help_panel=_RESULT)
    ] = None,
    html: Annotated[
        Path | None, typer.Option("--html", help="Write a page with plots.", rich_help_panel=_RESULT)
    ] = None,
) -> None:
    """Compare models and settings on your own recordings: speed, memory, and errors.

    Every combination is run in a process of its own, --repeats times. A stopped run goes on with the same command.
    Exit code 2: some configurations failed.
    """
    from asrlsa.bench import bench as run
    from asrlsa.bench import keep_choice, recommend_matrix
    from asrlsa.benching.matrix import Matrix
    from asrlsa.benching.tables import remarks, result_table
    from asrlsa.cli.bench_progress import BenchDisplay
    from asrlsa.cli.evaluate import print_tables
    from asrlsa.models import default_model

    if data is None:
        raise UsageError("bench needs --data: recordings with references, such as a folder with a manifest.jsonl")
    matrix: Matrix = Matrix(
        models=tuple(dict.fromkeys(models or [default_model()])),
        engines=_texts(engine),
        compute_types=_texts(compute_type),
        beam_sizes=_numbers("--beam-size", beam_size),
        batch_sizes=tuple(None if t == "auto" else _number("--batch-size", t) for t in _texts(batch_size)),
        threads=_numbers("--threads", threads),
        contexts=_texts(context),
        device=device,
        language=language,
        low_memory=low_memory,
    )
    with BenchDisplay(sys.stderr) as display:
        report = run(
            recommend_matrix(matrix) if recommend else matrix,
            data,
            out=out,
            where=manifest_fields(where),
            repeats=repeats,
            within=within,
            memory=None if memory is None else round(memory * 1e6),
            listener=display,
        )
    _write(report, json_=json_, csv=csv, markdown=markdown, html=html)
    print_tables([result_table(report)], remarks(report))
    if recommend:
        kept = keep_choice(report)
        typer.echo(f"kept for asrlsa transcribe in {kept}" if kept else "nothing was kept")
    if any(one.error for one in report.configurations):
        raise typer.Exit(EXIT_SOME_FAILED)


def _texts(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(comma_separated(text)))


def _number(name: str, text: str) -> int:
    if not text.isdigit():
        raise UsageError(f"{name} {text!r}: give whole numbers, with commas between them")
    return int(text)


def _numbers(name: str, text: str) -> tuple[int, ...]:
    return tuple(_number(name, part) for part in _texts(text))


def _write(report: Report, *, json_: Path | None, csv: Path | None, markdown: Path | None, html: Path | None) -> None:
    """Write the files that were asked for."""
    import json

    from asrlsa import __version__
    from asrlsa.benching.page import to_html
    from asrlsa.benching.results import report_data
    from asrlsa.benching.tables import to_csv, to_markdown

    texts: list[tuple[Path | None, Callable[[], str]]] = [
        (json_, lambda: json.dumps(report_data(report), indent=2, ensure_ascii=False) + "\n"),
        (csv, lambda: to_csv(report)),
        (markdown, lambda: to_markdown(report)),
        (html, lambda: to_html(report, version=__version__)),
    ]
    for path, text in texts:
        if path is not None:
            write_report(path, text())
