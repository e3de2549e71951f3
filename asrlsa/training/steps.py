"""What happens around each step: the method's part, evaluations, checkpoints, early stopping, and the report."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from time import monotonic
from typing import Any

import torch
from transformers import TrainerCallback

from asrlsa.errors import AsrlsaError
from asrlsa.scoring.metrics import METRICS


class TrainingError(AsrlsaError):
    """Training can't go on; the message names the step and likely causes."""


class StepCallback(TrainerCallback):
    """Calls the method after each update, says when to evaluate, save and stop, and reports steps."""

    def __init__(self, trainer: Any) -> None:
        """Serve one trainer."""
        self.trainer = trainer
        self.clock = _Clock()
        self.logged = 0

    @property
    def work(self) -> Any:
        """What is trained."""
        return self.trainer.work

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Start the clock."""
        self.logged = state.global_step
        self.clock.start(state.global_step, state.max_steps, self.work.carried)

    def on_optimizer_step(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Let the method do its part: gradients are still there."""
        self.work.attached.after_step(state.global_step + 1, self.trainer.base_rate())

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
        """Say what comes after this step."""
        self.clock.tick()
        step, last = state.global_step, state.global_step >= state.max_steps
        work = self.work
        control.should_log = step % work.settings.log_every == 0 or step == 1 or last
        control.should_evaluate = work.dev is not None and (step % work.eval_every == 0 or last)
        control.should_save = step % work.save_every == 0 or last
        if last:
            control.should_training_stop = True
        return control

    def on_epoch_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
        """Nothing is due at the end of an epoch that was not due after its last step."""
        control.should_log = control.should_evaluate = control.should_save = False
        return control

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        """Report a step."""
        if not logs or "loss" not in logs:
            return
        trainer = self.trainer
        seen, trainer.seen = trainer.seen, type(trainer.seen)()
        heard = torch.tensor([seen.speech, seen.padded], dtype=torch.float32, device=args.device)
        if args.world_size > 1:
            heard = trainer.accelerator.gather(heard.reshape(1, 2)).sum(0)
        speech, padded = heard.tolist()
        divergence = seen.divergence / seen.divergences if seen.divergences else None
        penalty = seen.penalty / max(state.global_step - self.logged, 1)
        self.logged = state.global_step
        if state.is_world_process_zero:
            self.work.report(
                {
                    "event": "step",
                    "step": state.global_step,
                    "epoch": state.epoch,
                    "loss": logs["loss"] - penalty,
                    **({"penalty": penalty} if penalty else {}),
                    "gradient_norm": logs.get("grad_norm"),
                    "lr": logs["learning_rate"],
                    **({} if divergence is None else {"divergence": divergence}),
                    **self.clock.reading(state.global_step, speech, padded),
                }
            )

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any = None, **_: Any) -> Any:
        """Report an evaluation, and stop where it has not become better for long."""
        self.clock.skip()
        trainer, name = self.trainer, self.work.settings.best
        if state.is_world_process_zero and trainer.scores is not None:
            self.work.report(
                {
                    "event": "eval",
                    "step": state.global_step,
                    "loss": trainer.scores.loss,
                    "best": is_best(state.log_history, name),
                    "windows": trainer.scores.windows,
                    "truncated": trainer.scores.truncated,
                    **{k: v for k, v in trainer.scores.scores.items() if v is not None},
                }
            )
        patience = self.work.settings.early_stopping
        if patience and (evaluations_since_best(state.log_history, name) or 0) >= patience:
            control.should_training_stop = True
            control.should_save = True
            if state.is_world_process_zero:
                self.work.report(
                    {
                        "event": "note",
                        "step": state.global_step,
                        "text": f"stopped at step {state.global_step}: {patience} evaluations without a better {name}",
                    }
                )
        return control

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Writing is not training."""
        self.clock.skip()


class _Clock:
    """Time spent training: evaluations and checkpoints do not count."""

    def __init__(self) -> None:
        self.first = self.last_step = self.steps = 0
        self.at = self.spent = self.logged = self.before = 0.0
        self.speech = self.padded = 0.0

    def start(self, step: int, steps: int, carried: Mapping[str, Any]) -> None:
        self.first, self.steps, self.at = step, steps, monotonic()
        self.speech, self.padded = (float(carried.get(k, 0.0)) for k in ("speech_seconds", "padded_seconds"))
        self.before = float(carried.get("seconds", 0.0))

    def tick(self) -> None:
        now = monotonic()
        self.spent += now - self.at
        self.at = now

    def skip(self) -> None:
        self.at = monotonic()

    def reading(self, step: int, speech: float, padded: float) -> dict[str, float]:
        """Return what a step's event says about time."""
        took, self.logged = max(self.spent - self.logged, 1e-9), self.spent
        self.speech += speech
        self.padded += padded
        done = max(step - self.first, 1)
        return {
            "speech_seconds": self.speech,
            "speech_per_second": speech / took,
            "padded_seconds": self.padded,
            "seconds": self.before + self.spent,
            "seconds_left": self.spent / done * (self.steps - step),
        }


def better(name: str, value: tuple[float, float], than: tuple[float, float] | None) -> bool:
    """Whether (score, loss) is better than the best so far; of equal scores the lower loss is."""
    if math.isnan(value[0]) or than is None:
        return not math.isnan(value[0])
    sign = -1 if METRICS[name].better == "higher" else 1
    return (sign * value[0], value[1]) < (sign * than[0], than[1])


def evaluations_since_best(history: Sequence[Mapping[str, Any]], name: str) -> int | None:
    """Return how many evaluations there were after the best one; the one before the first step does not count.

    Args:
        history: transformers' log, with entries of steps and of evaluations.
        name: The score that decides.

    Returns:
        The number; None where there was no evaluation with that score.
    """
    best: tuple[float, float] | None = None
    since: int | None = None
    for entry in history:
        if entry.get("step", 0) == 0 or "eval_loss" not in entry:
            continue
        score = entry.get(f"eval_{name}")
        if score is not None and better(name, (score, entry["eval_loss"]), best):
            best, since = (score, entry["eval_loss"]), 0
        elif since is not None:
            since += 1
    return since


def is_best(history: Sequence[Mapping[str, Any]], name: str) -> bool:
    """Whether the last evaluation is the best one."""
    return bool(history) and "eval_loss" in history[-1] and evaluations_since_best(history, name) == 0


def gradient_message(step: int, norm: float, lr: float) -> str:
    """Say why a run was stopped at a gradient that teaches nothing."""
    if norm == 0:
        return (
            f"step {step}: the gradient is zero, so nothing is learnt; likely causes: method.targets names nothing "
            "that the loss depends on, every label of the step is ignored (no text), or float16 rounds it away "
            "(train.precision=float32)"
        )
    what = "not a number" if math.isnan(norm) else "infinite"
    return (
        f"step {step}: the gradient is {what}, so the weights would be destroyed; likely causes: the learning rate is "
        f"too high (train.lr is {lr:g}: try a third of it), float16 overflows (train.precision=bfloat16 or "
        "float32), or a recording is damaged (asrlsa prepare --check)"
    )
