"""``asrlsa quantize``: parse, call the verb, show what it cost."""

from __future__ import annotations

import json as json_module
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from asrlsa.cli.arguments import manifest_fields
from asrlsa.errors import UsageError

if TYPE_CHECKING:
    from asrlsa.quantize import Quantized, Verified
    from asrlsa.scoring.tables import Table
    from asrlsa.verification import Measured

EXIT_REGRESSED = 3
_VERIFY = "What it costs"


def quantize(
    model: Annotated[str, typer.Argument(help="Name or folder of a Whisper model, or folder of an adapter.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for the result.", show_default=False)],
    kind: Annotated[
        str, typer.Option("--type", help="int8, int8_float16, int8_bfloat16, float16, bfloat16 or float32.")
    ] = "int8",
    target: Annotated[
        str, typer.Option("--for", help="What it shall run on: here (this machine), cpu, cuda, or any.")
    ] = "here",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the model in the output folder.")] = False,
    offline: Annotated[bool, typer.Option("--offline", help="Never ask a model hub.")] = False,
    verify: Annotated[
        list[Path] | None,
        typer.Option(
            help="Folder or manifest of recordings with references: measure before and after. Repeatable.",
            rich_help_panel=_VERIFY,
        ),
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(help="Take only lines of manifests with this: split=dev. Repeatable.", rich_help_panel=_VERIFY),
    ] = None,
    max_increase: Annotated[
        list[str] | None,
        typer.Option(help="A score may rise by so many points: wer=0.5. Repeatable.", rich_help_panel=_VERIFY),
    ] = None,
    max_decrease: Annotated[
        list[str] | None,
        typer.Option(
            help="A score may fall by so many points: disfluency_f1=1.0. Repeatable.", rich_help_panel=_VERIFY
        ),
    ] = None,
    only_model: Annotated[
        bool,
        typer.Option(
            "--only-model",
            help="Time encoder and decoder alone, without speakers and word times.",
            rich_help_panel=_VERIFY,
        ),
    ] = False,
    before: Annotated[
        str,
        typer.Option(
            help="Program that runs the float32 form: asrlsa, or faster-whisper, openai-whisper, transformers, "
            "whisper.cpp.",
            rich_help_panel=_VERIFY,
        ),
    ] = "asrlsa",
    runs: Annotated[int, typer.Option(min=1, help="Runs of each; medians are shown.", rich_help_panel=_VERIFY)] = 1,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.", rich_help_panel=_VERIFY)] = "auto",
    threads: Annotated[int, typer.Option(min=0, help="CPU cores; 0 takes all.", rich_help_panel=_VERIFY)] = 0,
    beam_size: Annotated[
        int | None, typer.Option(min=1, max=20, help="Width of the search.", rich_help_panel=_VERIFY)
    ] = None,
    language: Annotated[str, typer.Option(help="Language spoken, or auto.", rich_help_panel=_VERIFY)] = "auto",
    transcripts: Annotated[
        Path | None, typer.Option(help="Folder to keep both sets of transcripts in.", rich_help_panel=_VERIFY)
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Show no progress.")] = False,
) -> None:
    """Store a model in fewer bits, for asrlsa, faster-whisper and whatever else loads CTranslate2 folders.

    With --verify both forms, the model in float32 and the new one, transcribe the same recordings, each in a process of
    its own. A model that passes a limit is not put in place, and the exit code is 3. docs/quantize.md explains more.
    """
    from asrlsa.cli.evaluate import print_tables
    from asrlsa.quantize import Verification
    from asrlsa.quantize import quantize as run
    from asrlsa.scoring.gate import parse_limits

    increases = parse_limits(max_increase or [], "--max-increase")
    decreases = parse_limits(max_decrease or [], "--max-decrease")
    if (increases or decreases) and not verify:
        raise UsageError("--max-increase and --max-decrease need --verify and recordings with references")
    check = None
    if verify:
        check = Verification(
            data=tuple(verify),
            where=manifest_fields(where),
            increases=increases,
            decreases=decreases,
            device=device,
            threads=threads,
            beam_size=beam_size,
            language=language,
            runs=runs,
            only_model=only_model,
            before=before,
            transcripts=transcripts,
        )
    with _Progress(quiet) as told:
        found = run(model, out, kind, target=target, overwrite=overwrite, offline=offline, check=check, told=told)
    if json:
        typer.echo(json_module.dumps(to_data(found), indent=2, ensure_ascii=False))
    else:
        for note in found.notes:
            typer.echo(f"asrlsa: {note}", err=True)
        tables = to_tables(found.verified) if found.verified is not None else []
        print_tables(tables, [_closing(found)])
    if found.verified is not None and found.verified.regressed:
        typer.echo(f"asrlsa: a limit was passed; {out} is as it was", err=True)
        raise typer.Exit(EXIT_REGRESSED)


def to_data(found: Quantized) -> dict[str, Any]:
    """Return a result as what JSON can hold."""
    from asrlsa.scoring.gate import plain

    values: dict[str, Any] = plain({**asdict(found), "folder": str(found.folder) if found.folder is not None else None})
    if found.verified is not None:
        values["verified"]["regressed"] = found.verified.regressed
    return values


def to_tables(found: Verified) -> list[Table]:
    """Return the tables of a check: what it costs, and the limits."""
    from asrlsa.scoring.metrics import METRICS
    from asrlsa.scoring.tables import Table, gate_table, number

    before, after = found.before, found.after
    rows: list[tuple[str, ...]] = []
    names = dict.fromkeys(("wer", "fluent_wer", "cer", "disfluency_f1", *(check.name for check in found.checks)))
    for name in names:
        if name not in METRICS:
            continue
        then, now = before.scores.get(name), after.scores.get(name)
        bounds = found.intervals.get(name)
        change = f"{now - then:+.2f}" if then is not None and now is not None else "–"
        interval = f" ({bounds[0]:+.2f} to {bounds[1]:+.2f})" if bounds is not None else ""
        unit = ", ms" if name.endswith("_ms") else ", %"
        rows.append((METRICS[name].label + unit, number(then), number(now), change + interval))
    whole = " of the model alone" if found.only_model else ""
    rows += [
        (
            f"× real time{whole}",
            f"{before.speed:.2f}",
            f"{after.speed:.2f}",
            f"{after.speed / before.speed:.2f} × as fast",
        ),
        _share("CPU seconds", before.cpu_seconds, after.cpu_seconds),
        _seconds("seconds to load", before.load_seconds, after.load_seconds),
        _seconds("seconds to the first words", before.first_seconds, after.first_seconds),
        _share("disk, MB", before.disk / 1e6, after.disk / 1e6),
        _share("peak memory, MB", before.peak_memory / 1e6, after.peak_memory / 1e6),
    ]
    note = (
        f"{found.recordings} recordings, {found.audio_seconds / 60:.1f} minutes, {found.words} words, "
        f"{found.disfluencies} disfluencies; in brackets the 95 % interval by recording"
    )
    header = ("", *(f"{when} ({_form(side)})" for when, side in (("before", before), ("after", after))), "change")
    made = [Table("verify", "Before and after", header, rows, note)]
    return [gate_table(list(found.checks)), *made] if found.checks else made


def _form(side: Measured) -> str:
    return side.compute_type if side.engine == "asrlsa" else f"{side.engine}, {side.compute_type}"


def _seconds(label: str, before: float, after: float) -> tuple[str, ...]:
    return label, f"{before:.2f}", f"{after:.2f}", f"{after - before:+.2f}"


def _share(label: str, before: float, after: float) -> tuple[str, ...]:
    return label, f"{before:.1f}", f"{after:.1f}", f"{after / before:.2f} of it"


def _closing(found: Quantized) -> str:
    size = f"{found.kind}, {found.disk / 1e6:.1f} MB (before: {found.disk_before / 1e6:.1f} MB)"
    where = f"{found.folder}: " if found.folder is not None else "not put in place: "
    return f"{where}{size}; CTranslate2 runs it as {found.runs_as} here"


class _Progress:
    """Shows on standard error what is being done; on a terminal with the time that is transcribed."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._live = sys.stderr.isatty() and not quiet
        self._text = ""

    def __enter__(self) -> _Progress:
        return self

    def __exit__(self, *error: object) -> None:
        self._clear()

    def stage(self, text: str) -> None:
        """Show what begins."""
        self._clear()
        self._text = text
        if not self._quiet:
            typer.echo(f"asrlsa: {text}", err=True)

    def progress(self, seconds: float) -> None:
        """Show how much has been transcribed."""
        if self._live:
            typer.echo(f"\r  {seconds:.0f} s transcribed", err=True, nl=False)

    def _clear(self) -> None:
        if self._live:
            typer.echo("\r" + " " * 40 + "\r", err=True, nl=False)
