"""What a run of ``asrlsa prepare`` shows: one bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from asrlsa.cli.progress import LINE_SECONDS, minutes
from asrlsa.prepare import Listener

if TYPE_CHECKING:
    from types import TracebackType


class Display(Listener):
    """Shows a run on a stream."""

    def __init__(self, *, quiet: bool, stream: TextIO) -> None:
        """Show failures only with ``quiet``."""
        self.quiet = quiet
        self.console = Console(file=stream, soft_wrap=True, highlight=False, markup=False, emoji=False)
        self.bar: Progress | None = None
        self.spoken = monotonic()
        self.heard = 0

    def __enter__(self) -> Display:
        """Start."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the bar away."""
        if self.bar is not None:
            self.bar.stop()
            self.bar = None

    def length(self, ms: int) -> None:
        """Add up what was judged."""
        self.heard += ms

    def progress(self, what: str, done: int, total: int) -> None:
        """Move the bar, or write a line now and then."""
        if self.quiet:
            return
        text = f"{done} of {total} {what}" + (f", {minutes(self.heard)} of audio" if self.heard else "")
        if self.console.is_terminal:
            if self.bar is None:
                columns = BarColumn(), TextColumn("{task.description}")
                self.bar = Progress(*columns, console=self.console, transient=True)
                self.bar.add_task("", total=None)
                self.bar.start()
            self.bar.update(self.bar.task_ids[0], completed=done, total=max(total, 1), description=text)
        elif monotonic() - self.spoken > LINE_SECONDS:
            self.spoken = monotonic()
            self.console.print(text)

    def note(self, text: str) -> None:
        """Show what can't be read."""
        (self.bar.console if self.bar is not None else self.console).print(f"asrlsa: {text}")
