"""The course of a training run: as rows of JSON, for TensorBoard, and on the screen. No log holds a text."""

from __future__ import annotations

import json
import math
import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from asrlsa.errors import ConfigError, OutputError
from asrlsa.output import write_atomic
from asrlsa.scoring.metrics import METRICS

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live

LOG_NAME = "train.jsonl"
WANDB_NAME = ".wandb-id"
_PRIVATE = (  # paths and names: not for W&B
    *("model.base", "model.adapter", "data.train", "data.dev", "data.cache", "data.speakers", "data.prompt"),
    *("loss.fluent", "train.deepspeed"),
)
LINE_SECONDS = 10.0  # without a terminal, at most one line of progress in this time

Event = Mapping[str, Any]


class Log(Protocol):
    """What is told about a run. ``event`` names the kind: start, step, eval, save, note, end."""

    def write(self, event: Event) -> None:
        """Take one event; every value is a number, a text, or None."""

    def close(self) -> None:
        """Finish."""


class JsonLog:
    """``train.jsonl``: one event a line."""

    def __init__(self, path: Path, *, until: int | None = None) -> None:
        """Open the log.

        Args:
            path: The file.
            until: When a run is resumed: events after this step are taken out, since they will come again.

        Raises:
            OutputError: It can't be written.
        """
        self.path = path
        if until is None:
            write_atomic(path, "")
        else:
            kept = [e for e in read_log(path) if e.get("step", 0) <= until and e.get("event") != "end"]
            write_atomic(path, "".join(_line(e) for e in kept))
        try:
            self._file = path.open("a", encoding="utf-8", newline="\n")
        except OSError as error:
            raise OutputError(f"{path}: can't be written ({error.strerror or error})") from None

    def write(self, event: Event) -> None:
        """Append an event and flush it: a killed run keeps its log."""
        self._file.write(_line(event))
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read_log(path: Path) -> list[dict[str, Any]]:
    """Read a log; a last line that was cut off is left out."""
    found = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    for line in lines:
        try:
            found.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return found


def _line(event: Event) -> str:
    clean = {k: _number(v) for k, v in event.items()}
    return json.dumps(clean, ensure_ascii=False, allow_nan=False) + "\n"


def _number(value: Any) -> Any:
    """JSON has no NaN or infinity, and more than six digits of a measurement mean nothing."""
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {k: _number(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_number(v) for v in value]
    return value


class TensorboardLog:
    """The numbers of steps and evaluations for ``tensorboard --logdir``."""

    def __init__(self, folder: Path, *, until: int | None = None) -> None:
        """Open a writer; ``until`` hides what an interrupted run wrote after that step.

        Raises:
            ConfigError: TensorBoard is not installed.
        """
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise ConfigError(
                "train.log asks for tensorboard, which is not installed: pip install tensorboard, or train.log=jsonl"
            ) from None
        self._writer: Any = SummaryWriter(str(folder), purge_step=None if until is None else until + 1)

    def write(self, event: Event) -> None:
        """Write the numbers of a step or an evaluation."""
        kind = event.get("event")
        if kind not in ("step", "eval"):
            return
        names = {"step": "train", "eval": "dev"}
        for key, value in numbers(event):
            self._writer.add_scalar(f"{names[kind]}/{key}", value, int(event["step"]))

    def close(self) -> None:
        """Flush and close."""
        self._writer.close()


class WandbLog:
    """The same numbers for W&B, and the recipe without its paths: neither text, console nor code is sent."""

    def __init__(self, folder: Path, recipe: Mapping[str, Mapping[str, Any]], *, until: int | None = None) -> None:
        """Open a run; ``until`` says that an interrupted one is gone on with.

        Raises:
            ConfigError: W&B is not installed.
        """
        check_wandb()
        import wandb  # type: ignore[import-not-found,unused-ignore]

        settings = wandb.Settings(console="off", disable_code=True, disable_git=True, x_disable_meta=True)
        name = folder / WANDB_NAME
        if until is None or not name.exists():
            write_atomic(name, secrets.token_hex(4) + "\n")
        self._run: Any = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "asrlsa"),
            name=folder.name,
            dir=str(folder),
            id=name.read_text(encoding="utf-8").strip(),
            resume="allow",
            config={f"{t}.{k}": v for t, row in recipe.items() for k, v in row.items() if f"{t}.{k}" not in _PRIVATE},
            settings=settings,
        )
        self._run.define_metric("*", step_metric="step")

    def write(self, event: Event) -> None:
        """Write the numbers of a step or an evaluation."""
        names = {"step": "train", "eval": "dev"}
        if event.get("event") in names:
            found = {f"{names[event['event']]}/{key}": value for key, value in numbers(event)}
            self._run.log({"step": int(event["step"]), **found})

    def close(self) -> None:
        """Send the rest and close."""
        self._run.finish()


def numbers(event: Event) -> Iterator[tuple[str, float]]:
    """Yield the finite numbers of an event, but for its step."""
    for key, value in event.items():
        if key not in ("event", "step") and isinstance(value, int | float) and math.isfinite(value):
            yield key, value


class Display:
    """A run on the screen: a table that is drawn again in place on a terminal, plain lines elsewhere."""

    def __init__(self, stream: TextIO, *, quiet: bool = False, best: str = "wer") -> None:
        """Show on ``stream``; nothing but notes where ``quiet``."""
        from rich.console import Console

        self.console: Console = Console(file=stream, highlight=False, markup=False, emoji=False, soft_wrap=True)
        self.quiet, self.best = quiet, best
        self.steps = 0
        self.evaluations: list[Event] = []
        self.last: Event = {}
        self._live: Live | None = None
        self._spoken = -math.inf

    def write(self, event: Event) -> None:
        """Show an event."""
        kind = event["event"]
        if kind == "note":
            self.console.print(str(event["text"]))
        if self.quiet:
            return
        if kind == "start":
            self.steps = int(event["steps"])
            for line in describe_start(event):
                self.console.print(line)
        elif kind == "step":
            self.last = event
            self._show_step(event)
        elif kind == "eval":
            self.evaluations.append(event)
            if not self._refresh():
                self.console.print(describe_evaluation(event, self.best))
        elif kind == "end":
            self.close()
            self.console.print(str(event["text"]))

    def close(self) -> None:
        """Leave the last table on the screen."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _show_step(self, event: Event) -> None:
        if self.console.is_terminal and self._live is None:
            from rich.live import Live

            self._live = Live(console=self.console, refresh_per_second=4)
            self._live.start()
        if self._refresh():
            return
        if monotonic() - self._spoken >= LINE_SECONDS or event["step"] in (1, self.steps):
            self._spoken = monotonic()
            self.console.print(describe_step(event, self.steps))

    def _refresh(self) -> bool:
        if self._live is None:
            return False
        from rich.console import Group

        self._live.update(Group(self._course(), self._scores()) if self.evaluations else self._course())
        return True

    def _course(self) -> Any:
        from rich.table import Table

        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        cells = step_cells(self.last, self.steps)
        for name in cells:
            table.add_column(name, justify="right")
        table.add_row(*cells.values())
        return table

    def _scores(self) -> Any:
        from rich.table import Table

        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        names = shown_scores(self.best)
        for name in ("step", "dev loss", *(METRICS[n].label for n in names)):
            table.add_column(name, justify="right")
        for event in self.evaluations[-8:]:
            mark = " *" if event.get("best") else ""
            table.add_row(
                f"{event['step']}{mark}", _figure(event.get("loss"), 3), *(_figure(event.get(n), 1) for n in names)
            )
        return table


def shown_scores(best: str) -> list[str]:
    """Names of the scores that the screen shows."""
    return list(dict.fromkeys((best, "wer", "fluent_wer", "disfluency_f1")))


def step_cells(event: Event, steps: int) -> dict[str, str]:
    """Return what is shown of a step, by name."""
    if not event:
        return {}
    cells = {
        "step": f"{event['step']}/{steps}",
        "speech": duration(event.get("speech_seconds", 0.0)),
        "speech/s": _figure(event.get("speech_seconds", 0.0) / max(event.get("seconds", 0.0), 1e-9), 2),
        "loss": _figure(event.get("loss"), 4),
        "gradient": _figure(event.get("gradient_norm"), 3),
        "rate": f"{event.get('lr', 0.0):.2g}",
        "left": duration(event.get("seconds_left", 0.0)),
    }
    if event.get("divergence") is not None:
        cells["divergence"] = _figure(event["divergence"], 4)
    return cells


def describe_step(event: Event, steps: int) -> str:
    """Return one line for a step."""
    cells = step_cells(event, steps)
    return "step " + cells.pop("step") + "".join(f"  {name} {text}" for name, text in cells.items())


def describe_evaluation(event: Event, best: str) -> str:
    """Return one line for an evaluation."""
    parts = [f"{METRICS[name].label} {_figure(event.get(name), 1)}" for name in shown_scores(best)]
    mark = " (best so far)" if event.get("best") else ""
    return f"dev after step {event['step']}: " + ", ".join([*parts, f"loss {_figure(event.get('loss'), 3)}"]) + mark


def describe_start(event: Event) -> Iterator[str]:
    """Yield the lines that open a run: data, padding share and speech a step, model, method."""
    yield (
        f"model {event['base']}, method {event['method']}: {event['trainable']:,} of {event['parameters']:,} "
        "parameters trained"
    )
    yield f"train: {event['train']}"
    yield from (f"       {line}" for line in event.get("left_out") or ())
    if event.get("dev"):
        yield f"dev: {event['dev']}"
    yield f"a step: {describe_load(event)}"
    once = event["epochs"] == 1
    passes = "once over the data" if once else f"{event['epochs']:.3g} passes over the data"
    yield f"{counted(event['steps'], 'step')}, {passes}, on {event['device']}"


def describe_load(event: Event) -> str:
    """Return what a step hears, and the padding share."""
    windows = event["windows_per_step"]
    return (
        f"{windows:.3g} window{'s'[: windows != 1]}, {event['speech_per_step']:.0f} s of speech in "
        f"{event['padded_per_step']:.0f} s of encoder input; padding {100 * event['padding_share']:.0f} %"
    )


def duration(seconds: float) -> str:
    """Return a length of time as ``1:02:03`` or ``2:03``."""
    whole = round(max(seconds, 0.0)) if math.isfinite(seconds) else 0
    if whole >= 3600:
        return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"
    return f"{whole // 60}:{whole % 60:02}"


def hours(seconds: float) -> str:
    """Return an amount of speech in the unit that reads best: ``1.25 h``, ``12.3 min`` or ``42 s``."""
    if seconds >= 3600:
        return f"{seconds / 3600:.2f} h"
    return f"{seconds / 60:.1f} min" if seconds >= 60 else f"{seconds:.0f} s"


def counted(number: int, noun: str) -> str:
    """Return a number with its noun: ``1 window``, ``2,000 windows``."""
    return f"{number:,} {noun}{'s'[: number != 1]}"


def _figure(value: Any, digits: int) -> str:
    return "-" if value is None or not math.isfinite(value) else f"{value:.{digits}f}"


def open_logs(
    names: Sequence[str],
    folder: Path,
    *,
    until: int | None = None,
    recipe: Mapping[str, Mapping[str, Any]] | None = None,
) -> list[Log]:
    """Open the logs of a run in its folder; ``recipe`` is what W&B is told of it.

    Raises:
        ConfigError: One is not installed.
        OutputError: The folder can't be written.
    """
    logs: list[Log] = []
    if "jsonl" in names:
        logs.append(JsonLog(folder / LOG_NAME, until=until))
    if "tensorboard" in names:
        logs.append(TensorboardLog(folder / "tensorboard", until=until))
    if "wandb" in names:
        logs.append(WandbLog(folder, recipe or {}, until=until))
    return logs


def check_wandb() -> None:
    """See that W&B is there.

    Raises:
        ConfigError: It is not installed.
    """
    import importlib.util

    if importlib.util.find_spec("wandb") is None:
        raise ConfigError(
            "train.log asks for wandb, which is not installed: pip install wandb, or take it out of train.log"
        )
