"""``asrlsa finetune``: parse, call the verb, show its course."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from asrlsa.errors import UsageError

_DATA = "Data and model"
_TRAINING = "Training"
_OUTPUT = "Output"
_INTERRUPTED = 130  # exit code of a command that Ctrl-C ended


def finetune(
    recipe: Annotated[
        Path | None, typer.Argument(help="Recipe (TOML); without one, defaults and flags.", show_default=False)
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="Any key of the recipe: train.steps=100. Repeatable.", metavar="TABLE.KEY=VALUE"),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="Folder of asrlsa prepare (train.jsonl, dev.jsonl), or a manifest.", rich_help_panel=_DATA),
    ] = None,
    base: Annotated[
        str | None, typer.Option(help="Model to start from: tiny.en, base, … or a folder.", rich_help_panel=_DATA)
    ] = None,
    adapter: Annotated[Path | None, typer.Option(help="Adapter folder to go on from.", rich_help_panel=_DATA)] = None,
    method: Annotated[
        str | None,
        typer.Option(help="full, lora, adalora, bitfit, ia3, dora, vera or s2lora.", rich_help_panel=_TRAINING),
    ] = None,
    train: Annotated[
        str | None,
        typer.Option(help="all, or decoder: the encoder is frozen and run once.", rich_help_panel=_TRAINING),
    ] = None,
    distil_decoder_layers: Annotated[
        int | None,
        typer.Option(
            min=1, help="Distil into a decoder of so many layers; the encoder is kept.", rich_help_panel=_TRAINING
        ),
    ] = None,
    context: Annotated[
        str | None,
        typer.Option(help="full, or dynamic: learn windows shorter than 30 s.", rich_help_panel=_TRAINING),
    ] = None,
    batch: Annotated[str | None, typer.Option(help="Windows at a time, or auto.", rich_help_panel=_TRAINING)] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Updates.", rich_help_panel=_TRAINING)] = None,
    model_parallel: Annotated[
        str | None,
        typer.Option(help="Encoder and decoder on two devices: auto or cuda:0,cuda:1.", rich_help_panel=_TRAINING),
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads.", rich_help_panel=_TRAINING)] = None,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Folder for the results.", rich_help_panel=_OUTPUT)
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in the output folder.", rich_help_panel=_OUTPUT)
    ] = False,
    merge: Annotated[
        bool, typer.Option("--merge", help="Also merge the adapter into its base.", rich_help_panel=_OUTPUT)
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Load model and data, show the plan, train nothing.", rich_help_panel=_OUTPUT),
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show notes only.", rich_help_panel=_OUTPUT)] = False,
) -> None:
    """Teach a Whisper model to write what was really said, with every filler, repetition and fragment.

    Needs the train extra: pip install 'asrlsa[train]'. Several GPUs: torchrun --nproc-per-node=N -m asrlsa finetune.
    docs/finetune.md explains recipes.
    """
    from asrlsa.finetune import finetune as run
    from asrlsa.finetune import need_training

    need_training()
    from asrlsa.training.logs import Display
    from asrlsa.training.recipe import load_settings

    given: dict[str, dict[str, Any]] = {
        "model": {},
        "data": _data(data),
        "method": {},
        "distil": {},
        "train": {},
    }
    flags = {
        ("model", "base"): base,
        ("model", "adapter"): None if adapter is None else str(adapter.absolute()),
        ("model", "model_parallel"): model_parallel,
        ("method", "method"): method,
        ("distil", "decoder_layers"): distil_decoder_layers,
        ("train", "parts"): train,
        ("train", "context"): context,
        ("train", "batch"): int(batch) if batch is not None and batch.isdigit() else batch,
        ("train", "steps"): steps,
        ("train", "threads"): threads,
    }
    for (table, key), value in flags.items():
        if value is not None:
            given[table][key] = value
    settings = load_settings(recipe, set_ or [], given)
    folder = out if out is not None else _folder(recipe)
    display = Display(sys.stderr, quiet=quiet, best=settings.train.best)
    try:
        found = run(settings, folder, resume=resume, merge=merge, dry_run=dry_run, on_event=display.write)
    except KeyboardInterrupt:
        display.close()
        told = (
            "go on from the last checkpoint with the same command and --resume"
            if (folder / "recipe.toml").exists()
            else ""
        )
        typer.echo(f"asrlsa: interrupted; {told or 'nothing was written'}", err=True)
        raise typer.Exit(_INTERRUPTED) from None
    finally:
        display.close()
    if found.adapter is not None and int(os.environ.get("RANK", "0")) == 0:
        typer.echo(str(found.merged or found.adapter))


def _data(path: Path | None) -> dict[str, Any]:
    """Return the manifests of ``--data``."""
    if path is None:
        return {}
    if not path.is_dir():
        if not path.exists():
            raise UsageError(f"--data {path} does not exist")
        return {"train": str(path.absolute())}
    train, dev = path / "train.jsonl", path / "dev.jsonl"
    if not train.exists():
        raise UsageError(f"--data {path} has no train.jsonl; make it with asrlsa prepare CORPUS -o {path}")
    return {"train": str(train.absolute())} | ({"dev": str(dev.absolute())} if dev.exists() else {})


def _folder(recipe: Path | None) -> Path:
    if recipe is None:
        raise UsageError("name a folder for the results: -o OUT")
    return Path(f"{recipe.stem}-run")
