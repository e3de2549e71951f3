"""Every choice of ``asrlsa finetune``, documented under each field; ``recipe.py`` reads them from a file."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from asrlsa.errors import ConfigError
from asrlsa.scoring.metrics import METRICS
from asrlsa.training.data_settings import DataSettings
from asrlsa.training.methods import MethodSettings

TABLES: Final = ("model", "data", "method", "loss", "distil", "train")
DTYPES: Final = ("auto", "float32", "bfloat16", "float16")
ATTENTION: Final = ("sdpa", "eager", "flash_attention_2")
SCHEDULES: Final = ("cosine", "linear", "constant")
LOGS: Final = ("jsonl", "tensorboard", "wandb")
LOSSES: Final = ("auto", "chunked", "linear")
PARTS: Final = ("all", "decoder")
LABELS: Final = ("text", "teacher")


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """What is trained, and how it runs."""

    base: str = "base"
    """A starter model (``tiny.en``, ``base``), a name or ``owner/repository`` of the hub, or a folder in transformers'
    or CTranslate2's format."""

    adapter: str = ""
    """An adapter folder to go on from; empty starts anew."""

    dtype: str = "auto"
    """Type of the weights: ``float32``, ``bfloat16`` or ``float16``. ``auto``: float32, which is exact; a frozen base
    on a GPU takes half the memory with ``bfloat16``."""

    attention: str = "sdpa"
    """``sdpa``, ``eager`` or ``flash_attention_2`` (a GPU and the package flash-attn)."""

    compile: bool = False
    """Compile the model with ``torch.compile``."""

    model_parallel: str = ""
    """Two devices, comma-separated: the encoder runs on the first, the decoder on the second (``cuda:0,cuda:1``).
    ``auto`` takes the first two GPUs. It is for memory, not for speed: one works while the other waits."""

    offline: bool = False
    """Never ask a model hub."""

    def __post_init__(self) -> None:
        """Check every value; raises ConfigError."""
        _choice("model.dtype", self.dtype, DTYPES)
        _choice("model.attention", self.attention, ATTENTION)
        _require(bool(self.base), "model.base", self.base, "the name or folder of a model")
        devices = self.model_parallel.split(",")
        _require(
            self.model_parallel in ("", "auto") or (len(devices) == 2 and all(d.strip() for d in devices)),
            "model.model_parallel",
            self.model_parallel,
            "two devices such as cuda:0,cuda:1",
        )


@dataclass(frozen=True, slots=True)
class FileSettings:
    """Which manifests; these keys stand in the recipe's ``[data]`` table, beside those of `DataSettings`."""

    train: str = ""
    """Manifest to learn from; relative paths are taken from the recipe's folder."""

    dev: str = ""
    """Manifest to evaluate on during training; empty evaluates nothing, and the last weights are kept."""

    cache: str = ""
    """Folder for encoder output (``--train decoder``); empty takes asrlsa's cache."""


@dataclass(frozen=True, slots=True)
class LossSettings:
    """What is minimised."""

    timestamp_weight: float = 1.0
    """Weight of a timestamp token; a text token has 1."""

    label_smoothing: float = 0.0
    """Share of the probability that is spread over all tokens, 0 to below 1."""

    kl: float = 0.0
    """Weight of the divergence from the base model on the ``fluent`` rows, so that ordinary speech is not forgotten."""

    fluent: str = ""
    """Manifest of ordinary, fluent speech, mixed into the training; needed where ``kl`` is above 0."""

    fluent_share: float = 0.2
    """Share of the training windows that come from ``fluent``."""

    kind: str = "auto"
    """How the logits are avoided: ``chunked`` (asrlsa's, any option), ``linear`` (PyTorch's linear_cross_entropy, where
    no option forbids it), ``auto``: ``linear`` on a GPU, ``chunked`` on a CPU."""

    chunk: int = 0
    """Rows of logits held at once; 0 chooses."""

    def __post_init__(self) -> None:
        """Check every value; raises ConfigError."""
        _choice("loss.kind", self.kind, LOSSES)
        _require(self.timestamp_weight >= 0, "loss.timestamp_weight", self.timestamp_weight, "a number from 0")
        _require(0 <= self.label_smoothing < 1, "loss.label_smoothing", self.label_smoothing, "0 to below 1")
        _require(self.kl >= 0, "loss.kl", self.kl, "a number from 0")
        _require(0 < self.fluent_share < 1, "loss.fluent_share", self.fluent_share, "a share between 0 and 1")
        _require(self.chunk >= 0, "loss.chunk", self.chunk, "a whole number from 0")
        if self.kl > 0 and not self.fluent:
            raise ConfigError("loss.kl is set but loss.fluent is not: name a manifest of ordinary, fluent speech")


@dataclass(frozen=True, slots=True)
class DistilSettings:
    """A smaller decoder that learns from the base, as Distil-Whisper does (https://arxiv.org/abs/2311.00430).

    Where ``decoder_layers`` is given, other defaults change: ``train.parts = "decoder"`` (the encoder is kept and runs
    once), ``method.method = "full"`` and ``train.lr = 1e-4``.
    """

    decoder_layers: int = 0
    """Decoder layers of the result, copied from the base's: the first, the last, and evenly spaced ones between them.
    0 distils nothing."""

    temperature: float = 2.0
    """T by which the logits of both are divided in the divergence."""

    ce: float = 0.8
    """Weight of the cross entropy of the text."""

    kl: float = 1.0
    """Weight of the divergence from the base's distribution, times T squared."""

    labels: str = "text"
    """``text`` learns the manifest's texts, with every disfluency that they have. ``teacher`` learns what the base
    writes (its pseudo labels), as Distil-Whisper does: for texts that are not verbatim themselves."""

    max_wer: float = 10.0
    """Rows are left out where the base's text differs from the manifest's by a higher word error rate in %. It is
    computed on fluent forms: a filler, repetition or fragment that only one of them has removes no row. 0 keeps all."""

    def __post_init__(self) -> None:
        """Check every value; raises ConfigError."""
        _choice("distil.labels", self.labels, LABELS)
        for name in ("decoder_layers", "ce", "kl", "max_wer"):
            _require(getattr(self, name) >= 0, f"distil.{name}", getattr(self, name), "a number from 0")
        _require(self.temperature > 0, "distil.temperature", self.temperature, "a number above 0")
        _require(self.ce + self.kl > 0, "distil.ce", self.ce, "a weight above 0 for distil.ce or distil.kl")


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """How long, how fast, and what is written on the way. A step is one update of the weights."""

    steps: int = 0
    """Updates; 0 leaves it to ``epochs``."""

    epochs: float = 3.0
    """Passes over the data, where ``steps`` is 0."""

    parts: str = "all"
    """``decoder`` freezes the encoder and computes its output once, for all epochs: several times faster, without
    augmentation of the sound. ``all`` trains what the method's targets name."""

    keep_zeros: bool = False
    """Weights of attention and feed-forward matrices that are zero in the base stay zero: recovers a model that was
    pruned by magnitude. Needs ``method.method = "full"``."""

    context: str = "full"
    """``dynamic`` runs the encoder on windows at their own length (``data.layout = "variable"``), and the model's card
    says so. ``full`` pads every window to 30 s."""

    batch: int | str = 8
    """Windows on one device at a time, or ``auto``: the largest that fits, by trying."""

    accumulation: int = 1
    """Batches whose gradients are added up for one step."""

    lr: float = 1e-3
    """Learning rate at its peak."""

    warmup: float = 0.1
    """Steps until the peak, from 1 on; below 1, a share of all steps."""

    schedule: str = "cosine"
    """After the peak: ``cosine`` or ``linear`` to zero, or ``constant``."""

    weight_decay: float = 0.01
    """AdamW's weight decay."""

    betas: tuple[float, float] = (0.9, 0.98)
    """AdamW's betas."""

    gradient_clip: float = 1.0
    """Largest norm of the gradient; longer ones are shortened to it. 0 leaves all."""

    gradient_checkpointing: bool = False
    """Compute activations again instead of keeping them: about half the memory for a quarter more time."""

    precision: str = "auto"
    """Arithmetic of a step: ``float32``, ``bfloat16``, ``float16``. ``auto``: bfloat16 on a GPU that has it, float16 on
    an older one, float32 on a CPU."""

    device: str = "auto"
    """``cpu``, ``cuda`` or ``auto``."""

    eval_every: int = 0
    """Steps between two evaluations; 0 evaluates after every epoch."""

    eval_start: bool = True
    """Evaluate before the first step too, to know where the training starts."""

    eval_batch: int = 8
    """Windows decoded together in an evaluation."""

    save_every: int = 0
    """Steps between two checkpoints for ``--resume``; 0 saves after every evaluation."""

    keep: int = 2
    """Checkpoints that are kept."""

    best: str = "wer"
    """Score that chooses the weights to keep: any score of ``asrlsa evaluate``, such as ``wer``, ``fluent_wer``,
    ``disfluency_f1``."""

    early_stopping: int = 0
    """Evaluations without a better score after which training ends; 0 never ends it early."""

    log_every: int = 1
    """Steps between two rows of the log."""

    log: tuple[str, ...] = ("jsonl", "tensorboard")
    """Where the course of training is written: ``jsonl`` (train.jsonl), ``tensorboard``, ``wandb``."""

    seed: int = 0
    """Of everything that is drawn by chance."""

    threads: int = 0
    """CPU threads; 0 takes all."""

    workers: int = 0
    """Processes that prepare batches; 0 prepares them between the steps."""

    fsdp: str = ""
    """``full_shard`` or ``shard_grad_op`` splits the weights over the processes of torchrun (for ``full``)."""

    deepspeed: str = ""
    """A DeepSpeed configuration file; needs the package deepspeed."""

    def __post_init__(self) -> None:
        """Check every value; raises ConfigError."""
        _choice("train.parts", self.parts, PARTS)
        _choice("train.context", self.context, ("full", "dynamic"))
        _choice("train.schedule", self.schedule, SCHEDULES)
        _choice("train.precision", self.precision, DTYPES)
        _choice("train.device", self.device, ("auto", "cpu", "cuda"))
        _choice("train.fsdp", self.fsdp, ("", "full_shard", "shard_grad_op"))
        for name in self.log:
            _choice("train.log", name, LOGS)
        batch = self.batch == "auto" or (isinstance(self.batch, int) and 1 <= self.batch <= 4096)
        _require(batch, "train.batch", self.batch, "auto or 1 to 4096")
        for name in ("accumulation", "keep", "eval_batch", "log_every"):
            _require(getattr(self, name) >= 1, f"train.{name}", getattr(self, name), "a whole number from 1")
        for name in ("steps", "eval_every", "save_every", "early_stopping", "seed", "threads", "workers"):
            _require(getattr(self, name) >= 0, f"train.{name}", getattr(self, name), "a whole number from 0")
        for name in ("warmup", "weight_decay", "gradient_clip"):
            _require(getattr(self, name) >= 0, f"train.{name}", getattr(self, name), "a number from 0")
        _require(self.lr > 0, "train.lr", self.lr, "a number above 0")
        _require(self.steps > 0 or self.epochs > 0, "train.epochs", self.epochs, "a number above 0, or train.steps")
        _require(all(0 <= b < 1 for b in self.betas), "train.betas", self.betas, "two numbers from 0 to below 1")
        nearest("score", self.best, METRICS, "train.best: ")


@dataclass(frozen=True, slots=True)
class FinetuneSettings:
    """A recipe: ``[model]``, ``[data]`` (files and windows), ``[method]``, ``[loss]``, ``[distil]``, ``[train]``."""

    model: ModelSettings = field(default_factory=ModelSettings)
    files: FileSettings = field(default_factory=FileSettings)
    data: DataSettings = field(default_factory=DataSettings)
    method: MethodSettings = field(default_factory=MethodSettings)
    loss: LossSettings = field(default_factory=LossSettings)
    distil: DistilSettings = field(default_factory=DistilSettings)
    train: TrainSettings = field(default_factory=TrainSettings)

    def __post_init__(self) -> None:
        """Check what spans tables.

        Raises:
            ConfigError: Two settings exclude each other.
        """
        if self.train.context == "dynamic" and self.data.layout != "variable":
            raise ConfigError(f"train.context = dynamic needs data.layout = variable, not {self.data.layout!r}")
        if self.train.context == "full" and self.data.layout == "variable":
            raise ConfigError("data.layout = variable runs the encoder on short windows: say train.context = dynamic")
        if self.train.parts == "decoder" and "encoder" in self.method.targets and "decoder" not in self.method.targets:
            raise ConfigError("train.parts = decoder, but method.targets names the encoder only")
        if self.train.parts == "decoder" and self.train.context == "dynamic":
            raise ConfigError(
                "train.parts = decoder keeps the encoder as it is, so it can't learn train.context = dynamic"
            )
        if self.train.fsdp and self.train.deepspeed:
            raise ConfigError("train.fsdp and train.deepspeed exclude each other")
        if self.model.model_parallel and (self.train.fsdp or self.train.deepspeed):
            raise ConfigError("model.model_parallel can't be combined with train.fsdp or train.deepspeed")
        sharded = self.train.fsdp or self.train.deepspeed
        if self.train.keep_zeros and (self.method.method != "full" or sharded):
            raise ConfigError("train.keep_zeros needs method.method = full, without train.fsdp or train.deepspeed")
        if not self.distil.decoder_layers:
            return
        if self.method.method != "full":
            raise ConfigError(f"distil.decoder_layers needs method.method = full, not {self.method.method}")
        if self.model.adapter or self.model.model_parallel or sharded:
            raise ConfigError(
                "distil.decoder_layers excludes model.adapter, model.model_parallel, train.fsdp and train.deepspeed"
            )
        if self.loss.fluent:
            raise ConfigError("distil.decoder_layers pulls every row to the base: leave loss.fluent and loss.kl out")

    def tables(self) -> dict[str, dict[str, Any]]:
        """Return every value by table and key, as a recipe has them."""
        found = {f.name: dataclasses.asdict(getattr(self, f.name)) for f in dataclasses.fields(self)}
        found["data"] = {**found.pop("files"), **found["data"]}
        return {name: found[name] for name in TABLES}


def nearest(what: str, name: str, known: Iterable[str], at: str = "") -> None:
    """Raise ConfigError with the nearest of ``known`` where ``name`` is none of them."""
    known = list(known)
    if name in known:
        return
    near = difflib.get_close_matches(name, known, 1, 0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"known are {_listed(known)}"
    label = f"{what}{name}" if what.endswith(".") else f"{what} {name!r}"
    raise ConfigError(f"{at}{label} is unknown; {hint}")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)


def _choice(name: str, value: str, allowed: Iterable[str]) -> None:
    _require(value in tuple(allowed), name, value, " or ".join(a or repr(a) for a in allowed))


def _require(condition: bool, name: str, value: object, allowed: str) -> None:
    if not condition:
        raise ConfigError(f"{name} {value!r} is not possible: give {allowed}")
