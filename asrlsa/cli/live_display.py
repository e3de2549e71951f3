"""What a live transcription shows: utterances on stdout as CHAT lines, the words of the moment on a terminal."""

from __future__ import annotations

import sys
from time import monotonic
from typing import TYPE_CHECKING

from rich.live import Live
from rich.text import Text

from asrlsa.cli.progress import LINE_SECONDS, minutes, one_line, plain_console
from asrlsa.live import LiveListener
from asrlsa.transcription import Summary
from asrlsa.types import Utterance, Word

if TYPE_CHECKING:
    from types import TracebackType

    from asrlsa.speech.streaming import Update

SLOW_MS = 3_000  # sound that waits longer than this is worth a word


class LiveDisplay(LiveListener):
    """Shows a live transcription; data go to stdout, everything else to stderr."""

    def __init__(self, *, quiet: bool) -> None:
        """Show utterances and errors only with ``quiet``."""
        self.quiet = quiet
        self.console = plain_console(sys.stderr)
        self.live: Live | None = None
        if self.console.is_terminal and not quiet:
            self.live = Live(
                console=self.console,
                transient=True,
                auto_refresh=False,
                redirect_stdout=False,
                redirect_stderr=False,
                vertical_overflow="crop",
            )
        self.bullets = not sys.stdout.isatty()  # nobody wants to see them, every program does
        self.words: list[Word] = []  # committed, in no utterance yet
        self.tentative: tuple[Word, ...] = ()
        self.position = self.behind = 0
        self.spoken = monotonic()

    def __enter__(self) -> LiveDisplay:
        """Start."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the line of the moment away."""
        if self.live is not None:
            self.live.stop()

    def started(self, source: str, model: str) -> None:
        """Say what is listened to and how to end."""
        self._say(f"listening to {source}; model {model}; Ctrl-C ends")
        self._draw()

    def heard(self, update: Update, behind: int) -> None:
        """Show the words."""
        if update.mark and self.words:
            last = self.words[-1]
            self.words[-1] = Word(last.text + update.mark, last.start, last.end)
        self.words.extend(update.committed)
        self.tentative, self.behind = update.tentative, behind
        self._draw()

    def progress(self, position: int, behind: int) -> None:
        """Say now and then how far it has come."""
        second = position // 1000 != self.position // 1000
        self.position, self.behind = position, behind
        if self.live is not None:
            if second:
                self._draw()
        elif monotonic() - self.spoken > LINE_SECONDS:
            self._say(self._state())

    def utterance(self, said: Utterance) -> None:
        """Write the line of an utterance."""
        line = f"*{said.speaker}:\t{said.text}"
        if self.bullets and said.start is not None:
            line += f" \x15{said.start}_{said.end}\x15"
        end = said.end or self.position
        self.words = [w for w in self.words if ((w.start or 0) + (w.end or 0)) / 2 >= end]
        if self.live is not None:
            self.live.stop()
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
        self._draw()

    def ending(self) -> None:
        """Say that no more is listened to."""
        self._say("ending; Ctrl-C again drops what is not recognised yet")

    def finished(self, summary: Summary) -> None:
        """Sum up."""
        if self.live is not None:
            self.live.stop()
            self.live = None
        words = f"{summary.words} word{'s'[: summary.words != 1]}"
        speakers = f"{summary.speakers} speaker{'s'[: summary.speakers != 1]}"
        self._say(f"{minutes(summary.duration)}, {words}, {speakers} -> {summary.output}")

    def note(self, text: str) -> None:
        """Show a note."""
        self._say(text)

    def _state(self) -> str:
        text = f"{minutes(self.position)} heard"
        return text + (f", {round(self.behind / 1000)} s behind" if self.behind >= SLOW_MS else "")

    def _draw(self) -> None:
        """Show the time and the last words that fit on one line, those that may change dimmed."""
        if self.live is None:
            return
        line = Text(no_wrap=True, overflow="crop")
        sure = " ".join(w.text for w in self.words)
        words = Text(sure + " " if sure else "")
        words.append(" ".join(w.text for w in self.tentative), style="dim")
        state = self._state()
        room = max(10, self.console.width - len(state) - 4)
        line.append(state + "  ", style="bold")
        line.append_text(words[max(0, len(words) - room) :])
        if not self.live.is_started:
            self.live.start()
        self.live.update(line, refresh=True)

    def _say(self, text: str) -> None:
        self.spoken = monotonic()
        if self.quiet:
            return
        console = self.live.console if self.live is not None else self.console
        console.print(one_line(text))
