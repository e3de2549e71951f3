"""transformers' `Seq2SeqTrainer` with asrlsa's loader, loss, optimizer, evaluation by generation and checkpoints.

So DDP, FSDP, DeepSpeed, mixed precision and gradient accumulation are transformers' own: torchrun and ``accelerate
launch`` start it as they start any trainer.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import Seq2SeqTrainer, TrainerCallback
from transformers.trainer_callback import PrinterCallback

from asrlsa.output import write_atomic
from asrlsa.training import checkpoints
from asrlsa.training.arguments import warmup_steps
from asrlsa.training.auto_batch import is_out_of_memory, release
from asrlsa.training.dev import DevSet, Share
from asrlsa.training.loaders import MixedCollator, MixedDataset, make_loader, make_sampler
from asrlsa.training.logs import LINE_SECONDS, Event
from asrlsa.training.loss import LossHead
from asrlsa.training.methods import Attached
from asrlsa.training.scores import DevScores
from asrlsa.training.settings import TrainSettings
from asrlsa.training.steps import StepCallback, TrainingError, gradient_message, is_best

BEST = "best"
_SKIPS = 20  # steps in a row that float16's scaling may skip before something else must be wrong


@dataclass(slots=True)
class Work:
    """What the trainer is given, beside transformers' own arguments.

    Attributes:
        attached: Model and method.
        head: The loss, installed in the model.
        data: Windows to learn from.
        sizes: Mel frames to windows in a batch of one process.
        pad: Token for padding.
        settings: The recipe's ``[train]``.
        fluent_share: Share of fluent windows.
        dev: What to evaluate on, or None.
        generation: The base's ``generation_config``.
        eval_every: Steps between evaluations.
        save_every: Steps between checkpoints.
        report: Told every event, on the main process only.
        dtype: Type of features.
        carried: Last step that a resumed run goes on from, as its log has it.
        too_large: Told the number of windows that fitted, after a batch that did not.
    """

    attached: Attached
    head: LossHead
    data: MixedDataset
    sizes: Mapping[int, int]
    pad: int
    settings: TrainSettings
    fluent_share: float = 0.0
    dev: DevSet | None = None
    generation: Any = None
    eval_every: int = 0
    save_every: int = 0
    report: Callable[[Event], None] = field(default=lambda event: None)
    dtype: torch.dtype = torch.float32
    carried: Event = field(default_factory=dict)
    too_large: Callable[[int], None] = field(default=lambda size: None)


class Seen(NamedTuple):
    """What was seen since the last report: seconds of speech and of encoder input, and parts of the loss."""

    speech: float = 0.0
    padded: float = 0.0
    penalty: float = 0.0
    divergence: float = 0.0
    divergences: int = 0


_Trainer: Any = Seq2SeqTrainer


class VerbatimTrainer(_Trainer):  # type: ignore[misc]
    """Trains a Whisper model to write what was said."""

    def __init__(self, work: Work, args: Any, folder: Path, callbacks: Sequence[TrainerCallback] = ()) -> None:
        """Set up.

        Args:
            work: What to train, on what.
            args: `Seq2SeqTrainingArguments`, of which ``output_dir`` holds the checkpoints.
            folder: Where ``best`` is kept.
            callbacks: More of transformers' callbacks.
        """
        self.work, self.folder = work, folder
        self.control: Any
        self.optimizer: Any
        self.lr_scheduler: Any
        self.scores: DevScores | None = None
        self.start_scores: DevScores | None = None
        self.seen = Seen()
        self.penalty_share = 1.0
        self._skipped = 0
        super().__init__(
            model=work.attached.model,
            args=args,
            train_dataset=work.data,
            callbacks=[StepCallback(self), *callbacks],
        )
        self.remove_callback(PrinterCallback)
        # The loss is divided by all labels of a step in `compute_loss`, so nothing is left to be scaled.
        self.model_accepts_loss_kwargs = True
        self.loss_is_scaled_for_ga = True

    # Data and optimizer.

    def get_train_dataloader(self) -> Any:
        """Return this process's batches; they are shared out by the sampler, not by accelerate."""
        work = self.work
        sampler = make_sampler(
            work.data,
            work.sizes,
            fluent_share=work.fluent_share,
            seed=work.settings.seed,
            rank=self.args.process_index,
            world=self.args.world_size,
        )
        collate = MixedCollator(work.pad, dtype=work.dtype, fluent=work.data.fluent is not None)
        return make_loader(work.data, sampler, collate, workers=work.settings.workers)

    def create_optimizer(self, model: Any = None) -> Any:
        """Make AdamW over the method's groups."""
        if self.optimizer is None:
            settings = self.work.settings
            groups = self.work.attached.parameter_groups(settings.lr, settings.weight_decay)
            self.optimizer = torch.optim.AdamW(groups, lr=settings.lr, betas=settings.betas)
        return self.optimizer

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """Make the schedule of the learning rate; its first step is no step of zero, as transformers' own is."""
        if self.lr_scheduler is None:
            settings = self.work.settings
            warmup = warmup_steps(settings, num_training_steps)

            def factor(step: int) -> float:
                return schedule(settings.schedule, step, warmup, num_training_steps)

            self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer or self.optimizer, factor)
            self._created_lr_scheduler = True
        return self.lr_scheduler

    def base_rate(self) -> float:
        """Return the learning rate of this step where no method changes it."""
        rates, starts = self.lr_scheduler.get_last_lr(), self.lr_scheduler.base_lrs
        return float(self.work.settings.lr * rates[0] / starts[0]) if starts[0] else 0.0

    def _get_learning_rate(self) -> float:
        return self.base_rate()

    # One step.

    def _get_num_items_in_batch(self, batch_samples: list[Any], device: torch.device) -> Any:
        """Weigh the labels of all batches of a step, on all processes."""
        total = sum((self.work.head.count(batch["labels"]) for batch in batch_samples), torch.tensor(0.0)).to(device)
        if self.args.world_size > 1:
            total = self.accelerator.gather(total.reshape(1)).sum()
        return total.clamp(min=1)

    def training_step(self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None) -> Any:
        """Do forward and backward; where memory runs out, do them again with each half of the batch.

        Labels of a step are counted beforehand, so halves give the same gradient as the whole.
        """
        alone = self.args.world_size == 1 and not self._is_sharded()
        survives = alone and (self.args.gradient_accumulation_steps == 1 or self.work.settings.batch == "auto")
        size = len(inputs["labels"])
        trained = [p for p in self.work.attached.model.parameters() if p.requires_grad] if survives else []
        kept = [None if p.grad is None else p.grad.clone() for p in trained]
        counted = self.seen
        try:
            return super().training_step(model, dict(inputs), num_items_in_batch)
        except (RuntimeError, MemoryError) as error:
            if not (survives and size > 1 and is_out_of_memory(error)):
                raise
        for p, grad in zip(trained, kept, strict=True):  # a backward pass may have got half-way
            p.grad = grad
        del kept
        release()
        self.seen, self.penalty_share = counted, self.penalty_share / 2
        try:
            halves = (slice(0, size // 2), slice(size // 2, size))
            parts = [{k: _cut(v, half) for k, v in inputs.items()} for half in halves]
            losses = [self.training_step(model, part, num_items_in_batch) for part in parts]
        finally:
            self.penalty_share *= 2
        self.work.too_large(size // 2)
        return losses[0] + losses[1]

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Return the loss of a batch: its share of the mean over all labels of the step, and the method's penalty."""
        windows = inputs.pop("windows")
        out = model(**inputs, num_items_in_batch=num_items_in_batch)
        # Gradients are averaged over the processes; what was divided by the labels of all is to be added up.
        loss = out["loss"] * self.args.world_size
        self._count(windows, inputs, out)
        penalty = self.work.attached.penalty()
        if penalty is not None:
            steps = max(getattr(self, "current_gradient_accumulation_steps", 1), 1)
            share = penalty.to(loss.device) * (self.penalty_share / steps)
            self.seen = self.seen._replace(penalty=self.seen.penalty + float(share.detach()))
            loss = loss + share
        loss = loss.to(self.args.device)
        return (loss, out) if return_outputs else loss

    def _count(self, windows: Tensor, inputs: Mapping[str, Any], out: Mapping[str, Tensor]) -> None:
        features = inputs.get("input_features")
        seconds = 30.0 if features is None else features.shape[-1] / 100
        divergence = float(out["divergence"]) if "divergence" in out else None
        seen = self.seen
        self.seen = Seen(
            seen.speech + float(self.work.data.speech_seconds[windows.cpu().numpy()].sum()),
            seen.padded + len(windows) * seconds,
            seen.penalty,
            seen.divergence + (divergence or 0.0),
            seen.divergences + (divergence is not None),
        )

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:
        """Return the norm of the gradient, and stop where there is none to learn from."""
        norm = super()._get_grad_norm(model, grad_norm)
        norm = norm.full_tensor() if hasattr(norm, "full_tensor") else norm
        value = float(norm)
        scaler = getattr(self.accelerator, "scaler", None)
        if scaler is not None and not math.isfinite(value) and self._skipped < _SKIPS:
            self._skipped += 1  # float16: the scale is lowered and the step skipped
            return norm
        self._skipped = 0
        if value == 0 or not math.isfinite(value):
            raise TrainingError(gradient_message(self.state.global_step + 1, value, self.work.settings.lr))
        return norm

    def floating_point_ops(self, inputs: Any) -> int:
        """Nothing here uses transformers' estimate."""
        return 0

    # Evaluation.

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Let the model write the dev windows and score them; every process gets the same scores."""
        if self.work.dev is None:
            return {}
        model = self.model_wrapped if self._is_sharded() else self.model
        training = model.training
        model.eval()
        try:
            with self.compute_loss_context_manager():
                scores, _ = self.work.dev.evaluate(
                    model,
                    self.work.generation,
                    device=self.args.device,
                    dtype=self.work.dtype,
                    batch=self.work.settings.eval_batch,
                    share=self._share(),
                    resamples=0,
                    told=self._evaluating(),
                )
        finally:
            model.train(training)
        self.scores = scores
        history: Any = self.state.log_history
        if self.state.global_step == 0:
            self.start_scores = scores
        metrics = {f"eval_{k}": v for k, v in scores.scores.items() if v is not None}
        metrics["eval_loss"] = scores.loss
        history.append({"step": self.state.global_step, **metrics})
        control: Any = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        self.control = control
        return metrics

    def _evaluating(self) -> Callable[[int, int], None]:
        """Return what says now and then how far an evaluation is: dev data of minutes take minutes on a CPU."""
        spoken = monotonic()

        def told(done: int, windows: int) -> None:
            nonlocal spoken
            if done < windows and monotonic() - spoken >= LINE_SECONDS:
                spoken = monotonic()
                self.work.report({"event": "note", "text": f"dev: {done:,} of {windows:,} windows"})

        return told

    def _share(self) -> Share:
        if self.args.world_size == 1:
            return Share()
        return Share(
            self.args.process_index,
            self.args.world_size,
            _gather,
            self._all_done if self._is_sharded() else None,
        )

    def _all_done(self, done: bool) -> bool:
        open_ = torch.tensor([0 if done else 1], device=self.args.device)
        torch.distributed.all_reduce(open_)
        return int(open_) == 0

    def _is_sharded(self) -> bool:
        return bool(self.is_fsdp_enabled or self.is_deepspeed_enabled)

    def _determine_best_metric(self, metrics: dict[str, float], trial: Any) -> bool:
        """Keep the weights where the recipe's score is better than ever; the start counts for nothing."""
        if self.state.global_step == 0 or not metrics:
            return False
        name = self.work.settings.best
        if not is_best(self.state.log_history, name):
            return False
        self.state.best_metric = metrics[f"eval_{name}"]
        self.state.best_global_step = self.state.global_step
        self.save_best()
        return True

    def save_best(self) -> None:
        """Store the weights as the best so far."""
        weights = self.gathered()
        if self.args.should_save:
            folder = self.folder / BEST
            checkpoints.save_weights(folder, weights)
            record = {"step": self.state.global_step, self.work.settings.best: self.state.best_metric}
            write_atomic(folder / "best.json", json.dumps(record) + "\n")

    # Checkpoints.

    def gathered(self) -> dict[str, Tensor]:
        """Return what is trained, whole, by name; every process must call it where the weights are sharded."""
        if self.is_deepspeed_enabled:
            return checkpoints.gathered(self.work.attached.model)
        found = checkpoints.trained(self.model)
        return {k: v.full_tensor() if hasattr(v, "full_tensor") else v for k, v in found.items()}

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        if self.args.should_save and output_dir is not None:
            checkpoints.save_weights(Path(output_dir), checkpoints.trained(self.model))

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Store what is trained; sharded weights are stored with the optimizer, in their own format."""
        if not self._is_sharded():
            self._save(output_dir)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        folder = Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}"
        with checkpoints.explained(folder):
            super()._save_checkpoint(model, trial)
        if self.args.should_save:
            checkpoints.save_method(folder, self.work.attached.state())
        self.accelerator.wait_for_everyone()
        if self.args.should_save:
            checkpoints.mark_complete(folder, self.state.global_step)
            checkpoints.sweep(Path(self.args.output_dir), self.work.settings.keep)
            self.work.report({"event": "save", "step": self.state.global_step})

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        folder = Path(resume_from_checkpoint)
        if self._is_sharded():
            super()._load_from_checkpoint(resume_from_checkpoint, model)
        else:
            checkpoints.load_weights(folder, self.model if model is None else model)
        self.work.attached.load_state(checkpoints.load_method(folder))


def schedule(kind: str, step: int, warmup: int, steps: int) -> float:
    """Return the share of the peak learning rate at a step from 0: rising to 1 in ``warmup`` steps, then falling."""
    if step < warmup:
        return (step + 1) / (warmup + 1)
    if kind == "constant":
        return 1.0
    done = (step - warmup) / max(steps - warmup, 1)
    return 0.5 * (1 + math.cos(math.pi * min(done, 1.0))) if kind == "cosine" else max(1 - done, 0.0)


def _gather(values: list[Any]) -> list[Any]:
    from accelerate.utils import gather_object

    found: Any = gather_object(values)
    return list(found)


def _cut(value: Any, part: slice) -> Any:
    return tuple(v[part] for v in value) if isinstance(value, tuple) else value[part]
