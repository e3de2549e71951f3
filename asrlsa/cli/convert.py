"""``asrlsa convert``: CHAT in other formats."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from asrlsa.errors import AsrlsaError, OutputError, UsageError

EXIT_SOME_FAILED = 2


def convert(
    paths: Annotated[list[Path], typer.Argument(help="CHAT files, or folders that hold some.", show_default=False)],
    to: Annotated[str, typer.Option("--to", help="verbatim, clean, srt, vtt, textgrid or json.", show_default=False)],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="File for one input, folder for several, or - for standard output.",
            show_default="beside each input",
        ),
    ] = None,
    speakers: Annotated[
        bool, typer.Option("--speakers", help="In verbatim and clean text, name the speaker of each line.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace files that are there already.")] = False,
) -> None:
    """Convert CHAT to plain text, subtitles, a Praat TextGrid or JSON.

    verbatim has every word that was said, clean has none of the disfluencies. Exit codes: 0 done, 1 wrong usage, 2
    some files could not be converted.
    """
    from asrlsa.chat.files import chat_files
    from asrlsa.chat.parser import read_chat
    from asrlsa.convert import FORMATS, to_text
    from asrlsa.convert import convert as compute
    from asrlsa.output import write_atomic

    form = to.lower()
    if form not in FORMATS:
        raise UsageError(f"--to {to!r}: choose one of {', '.join(FORMATS)}")
    if speakers and form not in ("verbatim", "clean"):
        raise UsageError(f"--speakers is for verbatim and clean text; {form} names the speakers anyway")
    files = chat_files(paths)
    alone = len(files) == 1 and paths[0].is_file()
    failed = False
    for path, root in files:
        try:
            transcript = read_chat(path)
            text = to_text(transcript, form == "clean", speakers=True) if speakers else compute(transcript, form)
            if output is not None and str(output) == "-":
                typer.echo(text, nl=False)
                continue
            target = _target(path, root, output, alone, FORMATS[form][0])
            if target.exists() and not force:
                raise OutputError(f"{target} is there already; --force replaces it")
            write_atomic(target, text)
        except (AsrlsaError, OSError) as error:
            message = str(error) if str(path.name) in str(error) else f"{path}: {error}"
            typer.echo(f"asrlsa: {message}", err=True)
            failed = True
    if failed:
        raise typer.Exit(EXIT_SOME_FAILED)


def _target(path: Path, root: Path, output: Path | None, alone: bool, suffix: str) -> Path:
    """Return where the converted file goes; below ``output`` the folders of ``root`` are kept."""
    name = f"{path.stem}{suffix}"
    if output is None:
        return path.with_name(name)
    if alone and not output.is_dir():
        return output
    return output / path.relative_to(root).with_name(name)
