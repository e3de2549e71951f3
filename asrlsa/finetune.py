"""Fine-tune a Whisper model to write what was really said."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asrlsa.errors import ModelError, OutputError, UsageError
from asrlsa.output import write_atomic

if TYPE_CHECKING:
    from asrlsa.training.run import Prepared
    from asrlsa.training.settings import FinetuneSettings

__all__ = ["FinetuneResult", "finetune", "need_training"]

Event = Mapping[str, Any]

_PACKAGES = ("torch", "transformers", "peft", "accelerate", "safetensors")


@dataclass(frozen=True, slots=True)
class FinetuneResult:
    """What a run has made.

    Attributes:
        folder: Where everything is.
        adapter: PEFT folder with ``asrlsa.json``; for ``full`` a transformers folder; None after a dry run.
        merged: Transformers folder of the merged model, or None.
        steps: Updates that were done.
        best_step: Step of the weights that were kept.
        plan: Model, data, padding share and speech a step, as the run began with.
        scores: Scores on the dev recordings by the names of ``asrlsa evaluate``; empty without dev recordings.
        intervals: Their 95 % bootstrap intervals.
        seconds: Time spent training, without evaluations.
        speech_seconds: Speech trained on, counted each time it was seen.
        loss: Loss of the last step that was logged; None after a dry run.
    """

    folder: Path
    adapter: Path | None
    merged: Path | None
    steps: int
    best_step: int
    plan: Mapping[str, Any]
    scores: Mapping[str, float | None]
    intervals: Mapping[str, tuple[float, float] | None]
    seconds: float = 0.0
    speech_seconds: float = 0.0
    loss: float | None = None


def need_training() -> None:
    """See that the ``train`` extra is installed, without loading it.

    Raises:
        ModelError: It is not.
    """
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise ModelError(f"finetune needs the train extra ({missing[0]} is missing): pip install 'asrlsa[train]'")


def finetune(
    settings: FinetuneSettings,
    out: str | os.PathLike[str],
    *,
    resume: bool = False,
    merge: bool = False,
    dry_run: bool = False,
    on_event: Callable[[Event], None] | None = None,
) -> FinetuneResult:
    """Train a model after a recipe.

    Started by ``torchrun`` or ``accelerate launch``, every process calls this; the first one writes and reports.

    Args:
        settings: The recipe (`asrlsa.training.recipe.load_settings`).
        out: Folder for adapter, logs, report and checkpoints.
        resume: Go on with the run in ``out`` from its last checkpoint, exactly as if it had never stopped.
        merge: Also merge the adapter into its base, as a transformers folder.
        dry_run: Load model and data, report the plan, and train nothing.
        on_event: Told what happens: events named start, step, eval, save, note and end (`asrlsa.training.logs`).

    Raises:
        AsrlsaError: Recipe, model, data or machine do not allow it, or the gradient is zero or not a number; the
            message says in one line what to change.
    """
    need_training()
    folder = Path(out)
    is_main = int(os.environ.get("RANK", "0")) == 0
    told = on_event if on_event is not None and is_main else _ignore
    from asrlsa.training.recipe import to_toml
    from asrlsa.training.results import RECIPE_NAME

    if not dry_run:
        _check_folder(folder, settings, resume)
    from asrlsa.training.run import prepare

    log = _Log(told)
    ready = prepare(settings, log.write, dry=dry_run)
    if dry_run:
        log.write(ready.plan)
        return FinetuneResult(folder, None, None, 0, 0, ready.plan, {}, {})
    if is_main:
        write_atomic(folder / RECIPE_NAME, to_toml(settings))
    try:
        return _train(ready, folder, log, resume=resume, merge=merge, is_main=is_main)
    finally:
        log.close()


class _Log:
    """Passes events to the caller, and to the logs once these are open."""

    def __init__(self, told: Callable[[Event], None]) -> None:
        self.told, self.logs, self.held = told, list[Any](), list[Event]()
        self.last: dict[str, Event] = {}

    def open(self, logs: list[Any]) -> None:
        self.logs = logs
        for event in self.held:
            for log in logs:
                log.write(event)

    def write(self, event: Event) -> None:
        self.last[str(event["event"])] = event
        if not self.logs:
            self.held.append(event)
        for log in self.logs:
            log.write(event)
        self.told(event)

    def close(self) -> None:
        for log in self.logs:
            log.close()
        self.logs = []


def _train(ready: Prepared, folder: Path, log: _Log, *, resume: bool, merge: bool, is_main: bool) -> FinetuneResult:
    from asrlsa import __version__
    from asrlsa.scoring.metrics import METRICS
    from asrlsa.training import checkpoints
    from asrlsa.training.logs import LOG_NAME, duration, open_logs, read_log
    from asrlsa.training.results import keep_best, save_results
    from asrlsa.training.run import make_trainer

    places = checkpoints.checkpoints(folder / "checkpoints")
    last = places[-1] if resume and places else None
    log.write({**ready.plan, "resumed": 0 if last is None else last[0]})
    if is_main:
        until = None if last is None else last[0]
        log.open(open_logs(ready.settings.train.log, folder, until=until, recipe=ready.settings.tables()))
        steps = [e for e in read_log(folder / LOG_NAME) if e.get("event") == "step"]
        ready.work.carried = steps[-1] if last is not None and steps else {}
    with _explained(ready):
        trainer = make_trainer(ready, folder / "checkpoints", resuming=last is not None)
        trainer.train(resume_from_checkpoint=None if last is None else str(last[1]))
        kept = keep_best(ready, trainer, folder / "checkpoints")
    step, seen = log.last.get("step", {}), int(trainer.state.global_step)
    seconds, speech = float(step.get("seconds", 0.0)), float(step.get("speech_seconds", 0.0))
    adapter: Path | None = folder / ("model" if ready.settings.method.method == "full" else "adapter")
    merged = None
    if is_main:
        best = ready.settings.train.best
        value = kept.scores.scores.get(best) if kept.scores is not None else None
        text = f"{seen} steps in {duration(seconds)}; the weights of step {kept.step} are kept"
        text += "" if value is None else f" (dev {METRICS[best].label} {value:.1f})"
        log.write({"event": "end", "step": seen, "seconds": seconds, "speech_seconds": speech, "text": text})
        events: list[Any] = [*read_log(folder / LOG_NAME)] or [*log.held]
        adapter, merged = save_results(ready, trainer, kept, events, folder, version=__version__, merged=merge)
    trainer.accelerator.wait_for_everyone()
    return FinetuneResult(
        folder,
        adapter,
        merged,
        seen,
        kept.step,
        ready.plan,
        {} if kept.scores is None else kept.scores.scores,
        {} if kept.scores is None else kept.scores.intervals,
        seconds,
        speech,
        None if "loss" not in step else float(step["loss"]),
    )


def _check_folder(folder: Path, settings: FinetuneSettings, resume: bool) -> None:
    """See that ``out`` may be written, and that a resumed run has the recipe that it began with."""
    from asrlsa.training.recipe import load_settings
    from asrlsa.training.results import RECIPE_NAME, changed_settings

    if int(os.environ.get("RANK", "0")) != 0:
        return
    recipe = folder / RECIPE_NAME
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder}: is a file; name a folder with -o")
    if recipe.exists() and not resume and _has_begun(folder):
        raise UsageError(f"{folder} holds a run already: go on with it by --resume, or name another folder with -o")
    if resume:
        if not recipe.exists():
            raise UsageError(f"{folder} holds no run to resume; leave --resume out")
        changed = changed_settings(load_settings(recipe).tables(), settings.tables())
        if changed:
            raise UsageError(
                f"{folder} was begun with another recipe ({'; '.join(changed[:3])}); set it back, or choose another -o"
            )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: can't be made ({error.strerror or error}); write elsewhere with -o") from None


def _has_begun(folder: Path) -> bool:
    """Whether there is anything of a run to lose: one that failed before its first step leaves nothing."""
    from asrlsa.training.checkpoints import checkpoints
    from asrlsa.training.logs import LOG_NAME, read_log

    log = folder / LOG_NAME
    if not log.exists():
        return True
    return any(e.get("event") == "step" for e in read_log(log)) or bool(checkpoints(folder / "checkpoints"))


@contextmanager
def _explained(ready: Prepared) -> Iterator[None]:
    """Turn memory that ran out into a line that says what would fit."""
    from asrlsa.training.auto_batch import is_out_of_memory
    from asrlsa.training.run import too_small

    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if is_out_of_memory(error):
            raise too_small(ready, error) from None
        raise


def _ignore(event: Event) -> None:
    """Tell nobody."""
