"""What a run of ``asrlsa prepare`` shows: one bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

from time import monotonic
from typing import TextIO

from asrlsa.cli.progress import LINE_SECONDS, BarDisplay, minutes
from asrlsa.prepare import Listener


class Display(BarDisplay, Listener):
    """Shows a run on a stream."""

    def __init__(self, *, quiet: bool, stream: TextIO) -> None:
        """Show failures only with ``quiet``."""
        super().__init__(stream)
        self.quiet = quiet
        self.spoken = monotonic()
        self.heard = 0

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
                self.open_bar("", None)
            self.move_bar(completed=done, total=max(total, 1), description=text)
        elif monotonic() - self.spoken > LINE_SECONDS:
            self.spoken = monotonic()
            self.say(text)

    def note(self, text: str) -> None:
        """Show what can't be read."""
        self.say(f"asrlsa: {text}")
