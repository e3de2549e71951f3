"""What a benchmark shows while it runs: a bar on a terminal, a line a run elsewhere."""

from __future__ import annotations

from time import monotonic
from typing import TextIO

from asrlsa.bench import Listener
from asrlsa.benching.results import Configuration
from asrlsa.cli.progress import BarDisplay


class BenchDisplay(BarDisplay, Listener):
    """Shows the runs of a benchmark on a stream."""

    def __init__(self, stream: TextIO) -> None:
        """Show on ``stream``."""
        super().__init__(stream)
        self.total = self.done = self.before = 0
        self.begin = monotonic()

    def started(self, runs: int, done: int) -> None:
        """Say how much there is to do; open the bar."""
        self.total, self.done, self.before, self.begin = runs, done, done, monotonic()
        known = f", {done} done already" if done else ""
        self.say(f"{runs} run{'s' * (runs != 1)}{known}")
        if done < runs:
            self.open_bar("", runs, done)

    def running(self, one: Configuration, number: int) -> None:
        """Name the run that begins."""
        self.move_bar(description=f"{self.done + 1} of {self.total}: {_named(one)}")

    def finished(self, one: Configuration) -> None:
        """Write a line for a run."""
        self.done += 1
        self.move_bar(completed=self.done)
        if one.error:
            self.say(f"{self.done} of {self.total}: {_named(one)}: failed: {one.error}")
            return
        run = one.runs[-1]
        left = (monotonic() - self.begin) / max(1, self.done - self.before) * (self.total - self.done)
        self.say(
            f"{self.done} of {self.total}: {_named(one)}: {run['audio_seconds'] / run['seconds']:.2f} × real time, "
            f"{run['peak_memory'] / 1e6:,.0f} MB; about {left / 60:.0f} min left"
        )

    def note(self, text: str) -> None:
        """Show a note."""
        self.say(text)


def _named(one: Configuration) -> str:
    return f"{one.model}, {one.settings}"
