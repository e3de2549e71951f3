"""``asrlsa transcribe``: recordings in, CHAT out."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asrlsa.cli.arguments import comma_separated
from asrlsa.errors import UsageError

if TYPE_CHECKING:
    from asrlsa.cli.live_display import LiveDisplay
    from asrlsa.config import TranscribeOptions
    from asrlsa.speech.capture import Feed

EXIT_SOME_FAILED = 2


def transcribe(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(help="Recordings, or folders that hold some; see --live for what it takes.", show_default=False),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", help="Folder for the transcripts; without it they lie beside the recordings."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="Name or folder of a Whisper model. [default: base, or the best one on this machine]"),
    ] = None,
    language: Annotated[str, typer.Option(help="Language spoken, such as en or spa; auto listens for it.")] = "auto",
    speakers: Annotated[
        str | None,
        typer.Option(help="Number of speakers, or auto. [default: one a participant, or 2]"),
    ] = None,
    participants: Annotated[
        str | None,
        typer.Option(help='Who speaks: "CHI Target_Child age=4;6 sex=female, INV Investigator".'),
    ] = None,
    speaker_model: Annotated[
        str | None,
        typer.Option(help="Speaker embedding model: an .onnx file, or owner/name/file.onnx on the hub."),
    ] = None,
    channels: Annotated[
        str, typer.Option(help="mix joins the channels of a recording; speakers takes each for one speaker.")
    ] = "mix",
    formats: Annotated[
        str, typer.Option("--format", help="Files to write: cha, and srt, vtt, json, textgrid beside it.")
    ] = "cha",
    style: Annotated[
        str, typer.Option(help="verbatim writes what was said; fluent leaves out what Whisper leaves out by itself.")
    ] = "verbatim",
    verbatim: Annotated[
        float | None,
        typer.Option(
            help="Strength of the packaged verbatim adapter, 0 to 1.5; more finds more and makes up more. "
            "[default: what its card says]"
        ),
    ] = None,
    both: Annotated[
        bool, typer.Option("--both", help="Write what was meant under each utterance too, as a %xflu tier.")
    ] = False,
    prompt: Annotated[
        str | None,
        typer.Option(
            help='Text in the style wanted, before every window; "" for none. '
            "[default: the model's own, or full of fillers for verbatim]"
        ),
    ] = None,
    wor: Annotated[bool, typer.Option("--wor/--no-wor", help="Write %wor tiers with the time of every word.")] = True,
    align: Annotated[
        bool, typer.Option("--align/--no-align", help="Refine word times by forced alignment (English).")
    ] = True,
    pause: Annotated[float, typer.Option(help="Seconds of silence inside an utterance that are written (.).")] = 0.25,
    long_pause: Annotated[float, typer.Option(help="Seconds from which a pause is written with its length.")] = 1.0,
    uncertain: Annotated[
        float, typer.Option(help="A word of less confidence than this is marked [?]; 0 marks none.")
    ] = 0.2,
    beam_size: Annotated[
        int | None, typer.Option(help="Width of the search; more is slower. [default: the model card's, else 1]")
    ] = None,
    batch_size: Annotated[str, typer.Option(help="Windows decoded together, or auto.")] = "auto",
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    compute_type: Annotated[str, typer.Option(help="default, int8, float16, float32, …")] = "default",
    threads: Annotated[int, typer.Option(help="CPU threads; 0 takes every core.")] = 0,
    low_memory: Annotated[
        bool, typer.Option("--low-memory", help="Need less memory, for small machines; slower on several cores.")
    ] = False,
    window: Annotated[
        float, typer.Option(help="Longest stretch decoded in one piece, in seconds; 12 needs less memory than 29.5.")
    ] = 29.5,
    no_recommended: Annotated[
        bool, typer.Option("--no-recommended", help="Ignore the settings that asrlsa bench found best here.")
    ] = False,
    offline: Annotated[bool, typer.Option("--offline", help="Never ask a model hub.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Transcribe again what is done already.")] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace .cha files that asrlsa did not write.")
    ] = False,
    live: Annotated[
        bool,
        typer.Option(
            "--live",
            help="Transcribe while it is spoken: a file that is being written, - for a pipe, or the microphone.",
        ),
    ] = False,
    live_save: Annotated[
        Path | None, typer.Option(help="With --live: keep the sound in this WAV file; without it nothing is kept.")
    ] = None,
    live_device: Annotated[str | None, typer.Option(help="With --live: number or name of the microphone.")] = None,
    live_idle: Annotated[
        float, typer.Option(help="With --live: seconds after which a file that does not grow has ended.")
    ] = 10.0,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Show errors only.")] = False,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Show notes and skipped files too.")] = False,
) -> None:
    """Transcribe recordings to CHAT, with every filler, repetition, restart and pause kept.

    Each audio or video file becomes a .cha beside it, or under --out. What is done already is skipped, so the same
    command goes on after an interruption. A file that fails is reported and listed in asrlsa-errors.log; the others go
    on and the exit code is 2.
    """
    from asrlsa.cli.progress import Display
    from asrlsa.config import TranscribeOptions
    from asrlsa.recommended import with_recommended
    from asrlsa.recordings import parse_participants
    from asrlsa.transcription import transcribe_folder

    options: TranscribeOptions = TranscribeOptions(
        model=model,
        offline=offline,
        language=language,
        style=style,
        verbatim=verbatim,
        both=both,
        prompt=prompt,
        device=device,
        compute_type=compute_type,
        threads=threads,
        beam_size=beam_size,
        batch_size=_count("batch size", batch_size, auto=0) or 0,
        low_memory=low_memory,
        window_ms=0 if window == 29.5 else round(window * 1000),
        align=align,
        speakers=None if speakers is None else _count("speakers", speakers, auto=0),
        speaker_model=speaker_model,
        channels=channels,
        participants=parse_participants(participants) if participants else (),
        pause_short_ms=round(pause * 1000),
        pause_long_ms=round(long_pause * 1000),
        uncertain=uncertain,
        wor=wor,
        formats=_formats(formats),
    )
    options, line = (options, "") if no_recommended else with_recommended(options)
    if live:
        _live(paths or [], out, options, (live_save, live_device, live_idle), force or overwrite, quiet, line)
        return
    if not paths:
        raise UsageError("nothing to transcribe: give a recording or a folder, or --live for the microphone")
    if live_save is not None or live_device is not None:
        raise UsageError("--live-save and --live-device are for --live")
    with Display(quiet=quiet, verbose=verbose, stream=sys.stderr) as display:
        if line:
            display.note(line)
        outcome = transcribe_folder(paths, out=out, options=options, force=force, overwrite=overwrite, listener=display)
        display.closing(outcome)
    if outcome.failed:
        raise typer.Exit(EXIT_SOME_FAILED)


def _live(
    paths: list[Path],
    out: Path | None,
    options: TranscribeOptions,
    source: tuple[Path | None, str | None, float],
    overwrite: bool,
    quiet: bool,
    note: str,
) -> None:
    """Transcribe the microphone, a pipe or a growing file; the first Ctrl-C ends the sound, the second everything."""
    from asrlsa.cli.live_display import LiveDisplay
    from asrlsa.live import LiveSource, transcribe_live

    if len(paths) > 1:
        raise UsageError("--live takes one file that is being written, - for a pipe, or nothing for the microphone")
    save, device, idle = source
    if idle <= 0:
        raise UsageError(f"live idle {idle} is not possible: give seconds above 0")
    chosen = LiveSource(paths[0] if paths else None, idle, device, save)
    with LiveDisplay(quiet=quiet) as display:
        if note:
            display.note(note)
        transcribe_live(
            chosen,
            out=out,
            options=options,
            overwrite=overwrite,
            listener=display,
            on_feed=lambda feed: _end_on_signals(feed, display),
        )


def _end_on_signals(feed: Feed, display: LiveDisplay) -> None:
    """Let Ctrl-C, a closed terminal and a shutdown end the sound in good order; the second one interrupts."""

    def end(number: int, frame: object) -> None:
        for name in names:
            signal.signal(name, signal.default_int_handler)
        display.ending()
        feed.stop()

    names = [getattr(signal, n) for n in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, n)]
    for name in names:
        signal.signal(name, end)


def _count(name: str, text: str, *, auto: int) -> int:
    if text == "auto":
        return auto
    if not text.isdigit() or int(text) == 0:
        raise UsageError(f"{name} {text!r} is not possible: give auto or a number from 1 on")
    return int(text)


def _formats(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(comma_separated(text.lower())))
    return ("cha", *(n for n in names if n != "cha"))
