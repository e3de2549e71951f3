"""transformers' own arguments from a recipe: device, precision, how processes work together."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Any, Final

import torch
from transformers import Seq2SeqTrainingArguments

from asrlsa.errors import ConfigError, ModelError
from asrlsa.training.settings import FinetuneSettings, TrainSettings

DTYPES: Final = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_LAYERS: Final = ["WhisperEncoderLayer", "WhisperDecoderLayer"]


def choose_device(wanted: str) -> torch.device:
    """Return where to train.

    Raises:
        ModelError: A GPU is asked for and there is none.
    """
    has_gpu = torch.cuda.is_available()
    if wanted == "cuda" and not has_gpu:
        raise ModelError("train.device is cuda, but torch finds no GPU; install a CUDA build of torch, or set cpu")
    return torch.device("cuda" if has_gpu and wanted != "cpu" else "cpu")


def choose_precision(wanted: str, device: torch.device) -> str:
    """Return the arithmetic of a step.

    Raises:
        ConfigError: A CPU can't do it.
    """
    if wanted == "float16" and device.type == "cpu":
        raise ConfigError("train.precision = float16 needs a GPU; take bfloat16 or float32 on a CPU")
    if wanted != "auto":
        return wanted
    if device.type == "cpu":
        return "float32"
    return "bfloat16" if torch.cuda.is_bf16_supported() else "float16"


def choose_dtype(wanted: str, precision: str) -> torch.dtype:
    """Return the type of the weights.

    Raises:
        ConfigError: float16 weights can't be scaled while they are trained in float16.
    """
    if wanted == "float16" and precision == "float16":
        raise ConfigError("model.dtype = float16 can't be trained with train.precision = float16; take float32")
    return torch.float32 if wanted == "auto" else DTYPES[wanted]


def check_packages(settings: FinetuneSettings, device: torch.device) -> None:
    """See that what the recipe asks for is installed.

    Raises:
        ConfigError: It is not.
    """
    wanted = {
        "train.deepspeed": (bool(settings.train.deepspeed), "deepspeed"),
        "model.attention = flash_attention_2": (settings.model.attention == "flash_attention_2", "flash_attn"),
        "train.log = wandb": ("wandb" in settings.train.log, "wandb"),
    }
    for what, (asked, package) in wanted.items():
        if asked and importlib.util.find_spec(package) is None:
            name = package.replace("_", "-")
            raise ConfigError(f"{what} needs the package {name}, which is not installed: pip install {name}")
    if settings.model.attention == "flash_attention_2" and device.type == "cpu":
        raise ConfigError("model.attention = flash_attention_2 needs a GPU; take sdpa on a CPU")
    if settings.train.fsdp and int(os.environ.get("WORLD_SIZE", "1")) < 2:
        raise ConfigError(
            "train.fsdp needs several processes: start with torchrun --nproc-per-node=N -m asrlsa finetune"
        )


def warmup_steps(settings: TrainSettings, steps: int) -> int:
    """Return the steps of the warm-up; a share rounds up, and one step is left for the peak."""
    given = settings.warmup
    return min(int(given) if given >= 1 else -int(-given * steps // 1), max(steps - 1, 0))


def training_arguments(
    settings: FinetuneSettings, folder: Path, *, steps: int, device: torch.device, precision: str, resuming: bool
) -> Any:
    """Build transformers' arguments.

    Args:
        settings: The recipe.
        folder: Where checkpoints go.
        steps: Steps in all.
        device: Where to train.
        precision: Arithmetic of a step.
        resuming: The run goes on from a checkpoint.
    """
    train = settings.train
    more: dict[str, Any] = {}
    if train.fsdp:
        more["fsdp"] = True
        more["fsdp_config"] = {
            "version": 2,
            "reshard_after_forward": train.fsdp == "full_shard",
            "transformer_layer_cls_to_wrap": _LAYERS,
            "activation_checkpointing": train.gradient_checkpointing,
        }
    elif train.gradient_checkpointing:
        more["activation_checkpointing"] = True
        more["activation_checkpointing_kwargs"] = {"use_reentrant": False}
    if train.deepspeed:
        more["deepspeed"] = train.deepspeed
    return Seq2SeqTrainingArguments(
        output_dir=str(folder),
        max_steps=steps,
        per_device_train_batch_size=1,  # batches come from the sampler
        gradient_accumulation_steps=train.accumulation,
        learning_rate=train.lr,
        lr_scheduler_type={"constant": "constant_with_warmup"}.get(train.schedule, train.schedule),
        warmup_steps=warmup_steps(train, steps),
        max_grad_norm=train.gradient_clip,
        bf16=precision == "bfloat16",
        fp16=precision == "float16",
        torch_compile=settings.model.compile,
        logging_steps=train.log_every,
        logging_nan_inf_filter=False,
        eval_strategy="no",  # `StepCallback` says when
        save_strategy="no",
        eval_on_start=bool(settings.files.dev) and train.eval_start and not resuming,
        seed=train.seed,
        use_cpu=device.type == "cpu",
        ddp_backend="gloo" if device.type == "cpu" and int(os.environ.get("WORLD_SIZE", "1")) > 1 else None,
        ddp_find_unused_parameters=False,
        remove_unused_columns=False,
        disable_tqdm=True,
        log_level="error",
        report_to="none",  # `asrlsa.training.logs`
        label_names=["labels"],
        **more,
    )
