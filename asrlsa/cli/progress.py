"""What a run shows: one bar in minutes of audio on a terminal, plain lines elsewhere."""

from __future__ import annotations

import threading
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from asrlsa.errors import AsrlsaError
from asrlsa.transcription import Listener, Outcome, Summary

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

LINE_SECONDS = 30.0  # without a terminal, at most one progress line in this time


class BarDisplay:
    """A bar on a terminal, lines above it, and lines alone elsewhere; a context that takes the bar away at its end."""

    def __init__(self, stream: TextIO) -> None:
        """Show on ``stream``; there is no bar before ``open_bar``."""
        self.console = plain_console(stream)
        self.bar: Progress | None = None

    def __enter__(self) -> Self:
        """Start."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the bar away."""
        self.close_bar()

    def close_bar(self) -> None:
        """Take the bar away where it is open."""
        if self.bar is not None:
            self.bar.stop()
            self.bar = None

    def open_bar(self, text: str, total: float | None, done: int = 0) -> None:
        """Open the bar where there is a terminal, with ``text`` behind it."""
        if self.console.is_terminal:
            self.bar = Progress(BarColumn(), TextColumn("{task.description}"), console=self.console, transient=True)
            self.bar.add_task(text, total=total, completed=done)
            self.bar.start()

    def move_bar(self, **changes: Any) -> None:
        """Change ``completed``, ``total`` or ``description`` of the bar, where it is open."""
        if self.bar is not None:
            self.bar.update(self.bar.task_ids[0], **changes)

    def say(self, text: str) -> None:
        """Write a line, above the bar where it is open."""
        (self.bar.console if self.bar is not None else self.console).print(one_line(text))


def plain_console(stream: TextIO) -> Console:
    """Return a console that writes texts as they are: no colours by their looks, no markup, no folding."""
    return Console(file=stream, soft_wrap=True, highlight=False, markup=False, emoji=False)


def one_line(text: str) -> str:
    """Write a message so that it stays one line: a name may hold a line break."""
    return "".join(c if ord(c) >= 32 and ord(c) != 127 else "?" for c in text)


class Display(BarDisplay, Listener):
    """Shows a transcription run on a stream; called from several threads."""

    def __init__(self, *, quiet: bool, verbose: bool, stream: TextIO) -> None:
        """Show errors only with ``quiet``; notes and skipped files with ``verbose``."""
        super().__init__(stream)
        self.quiet, self.verbose = quiet, verbose
        self.lock = threading.Lock()
        self.begin = self.spoken = monotonic()
        self.total = self.done = 0
        self.skips = 0

    def started(self, recordings: int, duration: int, model: str) -> None:
        """Open the bar."""
        self.begin, self.total = monotonic(), duration
        if self.quiet:
            return
        plural = "recording" if recordings == 1 else "recordings"
        self.say(f"{recordings} {plural}, {minutes(duration)} of audio, model {model}")
        self.open_bar("reading", max(duration, 1))

    def progress(self, done: int) -> None:
        """Move the bar, or write a line now and then."""
        with self.lock:
            self.done = max(self.done, done)
            text = self._pace()
            if self.bar is not None:
                self.move_bar(completed=self.done, description=text)
            elif not self.quiet and monotonic() - self.spoken > LINE_SECONDS:
                self.spoken = monotonic()
                self.say(text)

    def finished(self, summary: Summary) -> None:
        """Write the line of a finished recording."""
        if self.quiet:
            return
        counts = ", ".join(
            (
                _count(summary.words, "word"),
                _count(summary.speakers, "speaker"),
                _count(summary.fillers, "filler"),
                _count(summary.repetitions, "repetition"),
            )
        )
        self.say(f"{summary.path.name}: {minutes(summary.duration)}, {counts} -> {summary.output}")
        if self.verbose:
            for note in summary.notes:
                self.say(f"  {note}")

    def skipped(self, recording: Path, reason: str) -> None:
        """Count it; show it with ``verbose`` or where the user has to decide."""
        self.skips += 1
        if self.verbose or (not self.quiet and "--overwrite" in reason):
            self.say(f"{recording}: skipped, {reason}")

    def failed(self, recording: Path, error: AsrlsaError) -> None:
        """Show the error; always."""
        text = str(error)
        self.say(text if text.startswith(str(recording)) else f"{recording}: {text}")

    def note(self, text: str) -> None:
        """Show a note."""
        if not self.quiet:
            self.say(text)

    def closing(self, outcome: Outcome) -> None:
        """Sum up the run."""
        if self.quiet:
            return
        parts = [f"{len(outcome.finished)} transcribed"]
        if outcome.skipped:
            parts.append(f"{len(outcome.skipped)} skipped")
        if outcome.failed:
            where = f" (see {outcome.log})" if outcome.log is not None else ""
            parts.append(f"{len(outcome.failed)} failed{where}")
        duration = sum(s.duration for s in outcome.finished)
        if duration:
            took = monotonic() - self.begin
            parts.append(f"{minutes(duration)} of audio in {minutes(round(took * 1000))}")
            parts.append(f"{duration / 1000 / max(took, 1e-6):.1f} × real time")
        self.say(", ".join(parts))

    def _pace(self) -> str:
        took = max(monotonic() - self.begin, 1e-6)
        speed = self.done / 1000 / took
        text = f"{minutes(self.done)} of {minutes(max(self.total, self.done))}, {speed:.1f} × real time"
        if self.done and self.total > self.done:
            text += f", {minutes(round((self.total - self.done) / max(speed, 1e-6)))} left"
        return text


def minutes(ms: int) -> str:
    """Return a length of time as ``1:02:03`` or ``2:03 min``."""
    seconds = round(ms / 1000)
    if seconds >= 3600:
        return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02} h"
    return f"{seconds // 60}:{seconds % 60:02} min"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
