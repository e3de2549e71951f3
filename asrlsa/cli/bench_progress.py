"""What a benchmark shows while it runs: a bar on a terminal, a line a run elsewhere."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from asrlsa.bench import Listener
from asrlsa.benching.results import Configuration

if TYPE_CHECKING:
    from types import TracebackType


class BenchDisplay(Listener):
    """Shows the runs of a benchmark on a stream."""

    def __init__(self, stream: TextIO) -> None:
        """Show on ``stream``."""
        self.console = Console(file=stream, soft_wrap=True, highlight=False, markup=False, emoji=False)
        self.bar: Progress | None = None
        self.total = self.done = self.before = 0
        self.begin = monotonic()

    def __enter__(self) -> BenchDisplay:
        """Start."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the bar away."""
        if self.bar is not None:
            self.bar.stop()

    def started(self, runs: int, done: int) -> None:
        """Say how much there is to do; open the bar."""
        self.total, self.done, self.before, self.begin = runs, done, done, monotonic()
        known = f", {done} done already" if done else ""
        self._say(f"{runs} run{'s' * (runs != 1)}{known}")
        if self.console.is_terminal and done < runs:
            self.bar = Progress(
                BarColumn(), TextColumn("{task.description}"), console=self.console, transient=True, auto_refresh=True
            )
            self.bar.add_task("", total=runs, completed=done)
            self.bar.start()

    def running(self, one: Configuration, number: int) -> None:
        """Name the run that begins."""
        if self.bar is not None:
            self.bar.update(self.bar.task_ids[0], description=f"{self.done + 1} of {self.total}: {_named(one)}")

    def finished(self, one: Configuration) -> None:
        """Write a line for a run."""
        self.done += 1
        if self.bar is not None:
            self.bar.update(self.bar.task_ids[0], completed=self.done)
        if one.error:
            self._say(f"{self.done} of {self.total}: {_named(one)}: failed: {one.error}")
            return
        run = one.runs[-1]
        left = (monotonic() - self.begin) / max(1, self.done - self.before) * (self.total - self.done)
        self._say(
            f"{self.done} of {self.total}: {_named(one)}: {run['audio_seconds'] / run['seconds']:.2f} × real time, "
            f"{run['peak_memory'] / 1e6:,.0f} MB; about {left / 60:.0f} min left"
        )

    def note(self, text: str) -> None:
        """Show a note."""
        self._say(text)

    def _say(self, text: str) -> None:
        console = self.bar.console if self.bar is not None else self.console
        console.print("".join(c if ord(c) >= 32 and ord(c) != 127 else "?" for c in text))


def _named(one: Configuration) -> str:
    return f"{one.model}, {one.settings}"
