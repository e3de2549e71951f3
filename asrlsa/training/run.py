"""A fine-tuning run from its recipe to its results; `asrlsa.finetune` is the way in."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import WhisperForConditionalGeneration

from asrlsa.errors import ConfigError, ModelError, UsageError
from asrlsa.manifest import Row, read_rows
from asrlsa.models import cache_dir
from asrlsa.training import auto_batch
from asrlsa.training.adapter_folder import load_adapter
from asrlsa.training.arguments import (
    DTYPES,
    check_packages,
    choose_device,
    choose_dtype,
    choose_precision,
    training_arguments,
)
from asrlsa.training.base import Base, load_base
from asrlsa.training.data_settings import DataSettings
from asrlsa.training.dataset import WindowDataset, make_dataset
from asrlsa.training.dev import DevSet
from asrlsa.training.distil import labelled_rows, student_of, teacher_of
from asrlsa.training.encoder_cache import EncoderCache
from asrlsa.training.features import MAX_FRAMES
from asrlsa.training.loaders import MixedDataset
from asrlsa.training.logs import Event
from asrlsa.training.loss import LossHead, install_loss
from asrlsa.training.methods import Attached, attach
from asrlsa.training.model_parallel import parse_devices, split
from asrlsa.training.plan import bucket_lengths, count_steps, describe_sizes, start_event, steps_per_epoch
from asrlsa.training.pruning import hold_zeros
from asrlsa.training.settings import FinetuneSettings
from asrlsa.training.short_context import allow_short_context
from asrlsa.training.trainer import VerbatimTrainer, Work
from asrlsa.training.vocabulary import Vocabulary

Report = Callable[[Event], None]


@dataclass(slots=True)
class Prepared:
    """A run that is ready to start.

    Attributes:
        settings: The recipe, with what follows from it filled in.
        base: The model.
        attached: Model and method.
        work: What the trainer is given.
        device: Where inputs go.
        precision: Arithmetic of a step.
        steps: Updates in all.
        plan: The ``start`` event.
    """

    settings: FinetuneSettings
    base: Base
    attached: Attached
    work: Work
    device: torch.device
    precision: str
    steps: int
    plan: dict[str, Any]


def resolved(settings: FinetuneSettings, note: Callable[[str], None]) -> FinetuneSettings:
    """Fill in what follows from other settings, and say so.

    Raises:
        ConfigError: There is no training data.
    """
    if not settings.files.train:
        raise ConfigError("no training data: give --data FOLDER of asrlsa prepare, or data.train in the recipe")
    if settings.train.parts != "decoder":
        return settings
    if settings.model.adapter:
        raise ConfigError("train.parts = decoder can't go on with model.adapter, whose encoder may be another")
    targets = tuple(t for t in settings.method.targets if t != "encoder")
    targets = targets if "decoder" in targets else ("decoder", *targets)
    data = settings.data
    if max(data.spec_augment, data.noise, data.telephone) > 0:
        note("train.parts = decoder: the encoder's output is computed once, so the sound is not augmented")
        data = dataclasses.replace(data, spec_augment=0.0, noise=0.0, telephone=0.0)
    method = dataclasses.replace(settings.method, targets=targets)
    return dataclasses.replace(settings, method=method, data=data)


def prepare(settings: FinetuneSettings, report: Report, *, dry: bool = False) -> Prepared:
    """Load the model and the data, and work out the plan.

    Args:
        settings: The recipe.
        report: Told notes.
        dry: Neither compute encoder output nor try batches; ``batch = "auto"`` counts as one window.

    Raises:
        AsrlsaError: Something in the recipe, the model or the data can't be used; one line says what.
    """

    def note(text: str) -> None:
        report({"event": "note", "text": text})

    settings = resolved(settings, note)
    device = choose_device(settings.train.device)
    devices = parse_devices(settings.model.model_parallel) if settings.model.model_parallel else None
    device = devices[0] if devices is not None else device
    precision = choose_precision(settings.train.precision, device)
    dtype = choose_dtype(settings.model.dtype, precision)
    check_packages(settings, device)
    if settings.train.threads:
        torch.set_num_threads(settings.train.threads)
    base = load_base(
        settings.model.base, dtype=dtype, offline=settings.model.offline, attention=settings.model.attention
    )
    vocabulary = Vocabulary.of(base.directory)
    data = read_data(settings, vocabulary, base, note, dry=dry)
    dev = read_dev(settings, vocabulary, base)
    if settings.train.parts == "decoder" and not dry:
        cache_encoder(settings, data, base, device, report)
    teacher = teacher_of(settings, base, device)
    head = LossHead(settings.loss, vocabulary.timestamp_begin, teacher=teacher)
    if settings.distil.decoder_layers:
        head.distil = settings.distil
        base = student_of(base, settings.distil.decoder_layers, share_encoder=settings.train.parts == "decoder")
    steps = settings.train.steps
    sizes = fixed_sizes(settings, data)
    if sizes is not None and min(sizes.values()) != settings.train.batch:
        note(f"a batch of {settings.train.batch} windows is more than there are: {describe_sizes(sizes)} are taken")
    if sizes is not None and not steps:
        steps = count_steps(settings, data, sizes)
    torch.manual_seed(settings.train.seed)
    attached = adapt(settings, base, steps or 1)
    if head.teacher is None and settings.loss.kl > 0:
        head.as_base = attached.as_base
    if settings.train.keep_zeros:
        note(f"keep_zeros: {hold_zeros(attached.model):,} weights are zero and stay zero")
    whisper = whisper_of(attached.model)
    if settings.data.layout == "variable":
        allow_short_context(whisper)
    install_loss(whisper, head)
    if devices is not None:
        split(attached.model, whisper, devices)
    if sizes is None:
        sizes = {MAX_FRAMES: 1}
        if not dry:
            sizes = within(auto_sizes(settings, data, base, attached, device, precision, devices is not None), data)
            note(f"batch: {describe_sizes(sizes)}")
        if not steps:
            steps = count_steps(settings, data, sizes)
            if settings.method.method == "adalora":
                raise ConfigError("adalora plans its pruning: with train.batch = auto set train.steps")
    work = Work(
        attached=attached,
        head=head,
        data=data,
        sizes=sizes,
        pad=vocabulary.eot,
        settings=settings.train,
        fluent_share=settings.loss.fluent_share if data.fluent is not None else 0.0,
        dev=dev,
        generation=base.model.generation_config,
        report=report,
        dtype=dtype,
    )
    key = batch_key(settings, base, device, base.model.dtype, precision)

    def too_large(size: int) -> None:
        note(f"a batch ran out of memory and was done in parts of {size} windows; the next run begins with these")
        for frames, known in sizes.items():
            if known > size:
                auto_batch.remember_smaller(key, frames, size)

    work.too_large = too_large
    per_epoch = steps_per_epoch(settings, data, sizes)
    work.eval_every = min(settings.train.eval_every or per_epoch, steps)
    work.save_every = settings.train.save_every or work.eval_every
    plan = start_event(settings, base, attached, work, steps, per_epoch, device, precision)
    return Prepared(settings, base, attached, work, device, precision, steps, plan)


def read_rows_of(path: str, name: str) -> list[Row]:
    """Read a manifest whole.

    Raises:
        ConfigError: It is empty or has no text.
        ManifestError: A row is wrong.
    """
    if Path(path).is_dir():
        raise ConfigError(f"{name} {path} is a folder: name the manifest in it, such as {Path(path) / 'train.jsonl'}")
    rows = list(read_rows(path))
    if not rows:
        raise ConfigError(f"{name} {path} has no rows")
    if not any(row.text.strip() for row in rows):
        raise ConfigError(f"{name} {path} has no text: nothing can be learnt from rows whose text is empty")
    return rows


def read_data(
    settings: FinetuneSettings, vocabulary: Vocabulary, base: Base, note: Callable[[str], None], *, dry: bool = False
) -> MixedDataset:
    """Read and pack the training rows (for distillation those that the base agrees with), and the fluent ones."""
    mels = int(base.model.config.num_mel_bins)
    seed = settings.train.seed
    rows = read_rows_of(settings.files.train, "data.train")
    if settings.distil.decoder_layers and not dry:
        with first_process_first(choose_device(settings.train.device)):
            rows = labelled_rows(rows, settings, base, note)
    main = make_dataset(rows, settings.data, vocabulary, n_mels=mels, seed=seed, name=settings.files.train)
    fluent = None
    if settings.loss.fluent:
        rows = read_rows_of(settings.loss.fluent, "loss.fluent")
        fluent = make_dataset(rows, fluent_settings(settings.data), vocabulary, n_mels=mels, seed=seed + 1)
    return MixedDataset(main, fluent)


def fluent_settings(settings: DataSettings) -> DataSettings:
    """Return how fluent rows are packed: their own text, every speaker, no windows of noise."""
    return dataclasses.replace(settings, target="verbatim", speakers=(), roles=(), noise_only=0.0)


def read_dev(settings: FinetuneSettings, vocabulary: Vocabulary, base: Base) -> DevSet | None:
    """Read and pack the dev rows."""
    if not settings.files.dev:
        return None
    config = base.model.config
    return DevSet(
        read_rows_of(settings.files.dev, "data.dev"),
        settings.data,
        vocabulary,
        n_mels=int(config.num_mel_bins),
        positions=int(config.max_target_positions),
    )


def adapt(settings: FinetuneSettings, base: Base, steps: int) -> Attached:
    """Put the method on the model, or go on with an adapter.

    Raises:
        ModelError: The adapter was trained on another base.
        UsageError: The adapter was trained with another method.
    """
    if not settings.model.adapter:
        return attach(base.model, settings.method, steps)
    attached = load_adapter(Path(settings.model.adapter), base, trainable=True)
    if attached.settings.method != settings.method.method:
        raise UsageError(
            f"model.adapter was trained with {attached.settings.method}, the recipe says {settings.method.method}; set "
            f"method.method={attached.settings.method} to go on with it"
        )
    return attached


def whisper_of(model: Any) -> WhisperForConditionalGeneration:
    """Return the Whisper in a model, which a method may have put into another."""
    found = model.get_base_model() if hasattr(model, "get_base_model") else model
    if not isinstance(found, WhisperForConditionalGeneration):
        raise ModelError("the model is no Whisper")
    return found


def cache_encoder(
    settings: FinetuneSettings, data: MixedDataset, base: Base, device: torch.device, report: Report
) -> None:
    """Compute the encoder's output of every window once, on the first process."""
    folder = Path(settings.files.cache) if settings.files.cache else cache_dir() / "encoder"
    encoder = base.model.model.encoder.to(device)

    def progress(done: int, total: int) -> None:
        if done == total or done % 100 < settings.train.eval_batch:
            report({"event": "note", "text": f"encoder output: {done:,} of {total:,} windows"})

    def build(dataset: WindowDataset) -> EncoderCache:
        return EncoderCache.build(
            folder, dataset, encoder, base.sha256, batch_size=settings.train.eval_batch, progress=progress
        )

    for dataset in (data.main, data.fluent):
        if dataset is not None:
            with first_process_first(device):
                dataset.use_cache(build(dataset))


@contextmanager
def first_process_first(device: torch.device) -> Iterator[None]:
    """Let the other processes wait until the first one has left the context."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    from accelerate import PartialState

    with PartialState(cpu=device.type == "cpu").main_process_first():
        yield


def fixed_sizes(settings: FinetuneSettings, data: MixedDataset) -> dict[int, int] | None:
    """Return the batch that the recipe names, as far as there are windows, or None for ``auto``."""
    return within({MAX_FRAMES: settings.train.batch}, data) if isinstance(settings.train.batch, int) else None


def within(sizes: dict[int, int], data: MixedDataset) -> dict[int, int]:
    """Make batches no larger than the data: a window would be in a step twice."""
    most = -(-len(data) // int(os.environ.get("WORLD_SIZE", "1")))
    return {frames: min(size, max(most, 1 if data.fluent is None else 2)) for frames, size in sizes.items()}


def auto_sizes(
    settings: FinetuneSettings,
    data: MixedDataset,
    base: Base,
    attached: Attached,
    device: torch.device,
    precision: str,
    is_split: bool,
) -> dict[int, int]:
    """Find the largest batch for each length of window."""
    config = base.model.config
    if not is_split:
        attached.model.to(device)
    dtype = base.model.dtype
    autocast = None if DTYPES[precision] == torch.float32 else DTYPES[precision]
    if settings.train.gradient_checkpointing:
        whisper: Any = whisper_of(attached.model)
        whisper.gradient_checkpointing_enable({"use_reentrant": False})
    cached = (int(config.max_source_positions), int(config.d_model)) if data.main.cache is not None else None
    attempt = auto_batch.Attempt(
        attached.model,
        mels=int(config.num_mel_bins),
        positions=int(config.max_target_positions),
        vocabulary=int(config.vocab_size),
        device=device,
        dtype=dtype,
        autocast=autocast,
        encoded=cached,
    )
    key = batch_key(settings, base, device, dtype, precision)
    most = auto_batch.MOST if device.type == "cuda" else auto_batch.MOST_CPU
    with first_process_first(device):
        return auto_batch.find_sizes(attempt, bucket_lengths(data.main), most=most, key=key)


def batch_key(settings: FinetuneSettings, base: Base, device: torch.device, dtype: torch.dtype, precision: str) -> str:
    """Return a name of everything that decides how large a batch may be."""
    return auto_batch.memory_key(
        {
            **auto_batch.device_facts(device),
            "base": base.sha256,
            "method": dataclasses.asdict(settings.method),
            "types": [str(dtype), precision, settings.model.attention, settings.model.model_parallel],
            "checkpointing": settings.train.gradient_checkpointing,
            "parts": settings.train.parts,
            "distil": settings.distil.decoder_layers,
            "loss": [settings.loss.kind, settings.loss.chunk],
            "torch": torch.__version__,
        }
    )


def make_trainer(ready: Prepared, folder: Path, *, resuming: bool) -> VerbatimTrainer:
    """Make the trainer of a run."""
    args = training_arguments(
        ready.settings,
        folder,
        steps=ready.steps,
        device=ready.device,
        precision=ready.precision,
        resuming=resuming,
    )
    return VerbatimTrainer(ready.work, args, folder)


def too_small(ready: Prepared, error: BaseException) -> ModelError:
    """Explain memory that ran out, and what would fit."""
    facts = auto_batch.device_facts(ready.device)
    settings = ready.settings
    batch = max(ready.work.sizes.values())
    advice = auto_batch.what_fits(
        ready.base.model.config,
        parameters=ready.attached.total,
        trainable=ready.attached.trainable,
        batch=batch,
        weight_bytes=ready.work.dtype.itemsize,
        value_bytes=DTYPES[ready.precision].itemsize,
        checkpointing=settings.train.gradient_checkpointing,
        memory=int(facts["memory"]),
    )
    name = facts["device"] if ready.device.type == "cuda" else "this machine"
    return ModelError(
        f"{name} ({facts['memory'] / 1e9:.0f} GB) is too small for {ready.base.name} with {settings.method.method} and "
        f"{batch} windows; {advice}"
    )
