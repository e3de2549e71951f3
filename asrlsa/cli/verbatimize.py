"""``asrlsa verbatimize``: a clean transcript and its recording in, the verbatim transcript out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from asrlsa.errors import ChatError, MediaError, OutputError

EXIT_SOME_FAILED = 2


def verbatimize(
    transcript: Annotated[
        Path, typer.Argument(help="A trusted transcript (CHAT, text), or a folder of them.", show_default=False)
    ],
    audio: Annotated[
        Path,
        typer.Argument(
            help="Its recording, or a folder of recordings with the transcripts' names.", show_default=False
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--out",
            help="File (.cha) or folder for the result.",
            show_default="a folder verbatim beside the transcript",
        ),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Name or folder of a Whisper model.", show_default="base or tiny.en")
    ] = None,
    language: Annotated[
        str, typer.Option(help="Language spoken; auto takes the transcript's, for a text English.")
    ] = "auto",
    participants: Annotated[
        str | None,
        typer.Option(help='Who speaks in a plain text: "CHI Target_Child age=4;6, INV Investigator".'),
    ] = None,
    evidence: Annotated[
        float,
        typer.Option(
            help="How much surer than by default an insertion must be, as a log-likelihood ratio; below 0 finds more."
        ),
    ] = 0.0,
    wor: Annotated[bool, typer.Option("--wor/--no-wor", help="Write %wor tiers with the time of every word.")] = True,
    align: Annotated[
        bool, typer.Option("--align/--no-align", help="Refine word times by forced alignment (English).")
    ] = True,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    compute_type: Annotated[str, typer.Option(help="default, int8, float16, float32, …")] = "default",
    threads: Annotated[int, typer.Option(help="CPU threads; 0 takes every core.")] = 0,
    offline: Annotated[bool, typer.Option("--offline", help="Never ask a model hub.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a result that is there already.")] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Show errors only.")] = False,
) -> None:
    """Add to a trusted clean transcript the disfluencies that its recording holds.

    Every word of the transcript is kept, in its order, with its codes, headers and dependent tiers. Filled pauses,
    repetitions, fragments and retraced words that were left out are inserted with their codes and times. The transcript
    itself is never changed. Exit codes: 0 done, 1 wrong usage, 2 a transcript or a recording can't be used.
    """
    from asrlsa.cli.progress import BarDisplay
    from asrlsa.recordings import parse_participants
    from asrlsa.verbatimize import VerbatimizeOptions, Verbatimizer, find_pairs

    options = VerbatimizeOptions(
        model=model,
        language=language,
        participants=parse_participants(participants) if participants else (),
        evidence=evidence,
        wor=wor,
        align=align,
        device=device,
        compute_type=compute_type,
        threads=threads,
        offline=offline,
    )
    verbatimizer = Verbatimizer(options)
    failed = False
    with BarDisplay(sys.stderr) as display:
        for path, recording, place in find_pairs(transcript, audio, out):
            if not quiet:
                display.open_bar(path.name, 1.0)
            try:
                target, result = verbatimizer.write(
                    path,
                    recording,
                    out=place,
                    force=force,
                    on_progress=lambda done: display.move_bar(completed=done),
                )
            except (ChatError, MediaError, OutputError) as error:
                display.say(f"asrlsa: {error}")
                failed = True
                continue
            finally:
                display.close_bar()
            if not quiet:
                kinds = [f"{count} {kind.replace('_', ' ')}" for kind, count in result.inserted.items() if count]
                display.say(f"{target}: inserted {', '.join(kinds) or 'nothing'}")
                if result.remark:
                    display.say(f"  {result.remark}")
    if failed:
        raise typer.Exit(EXIT_SOME_FAILED)
