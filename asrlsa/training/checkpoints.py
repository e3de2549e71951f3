"""Checkpoints to resume from: only what is trained is stored, by name, and a half-written one is never taken."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from asrlsa.errors import ModelError, OutputError
from asrlsa.output import write_atomic

WEIGHTS = "weights.safetensors"
METHOD = "method.pt"
COMPLETE = "complete.json"
_PREFIX = "checkpoint-"
_WRAPPERS = ("_fsdp_wrapped_module.", "_orig_mod.", "module.")


def plain_name(name: str) -> str:
    """Return a parameter's name without what wrappers put into it."""
    for wrapper in _WRAPPERS:
        name = name.replace(wrapper, "") if wrapper != "module." else name.removeprefix(wrapper)
    return name


def trained(model: torch.nn.Module) -> dict[str, Tensor]:
    """Return the parameters that are trained, by name; they are the model's own memory."""
    return {plain_name(name): p.detach() for name, p in model.named_parameters() if p.requires_grad}


def gathered(model: torch.nn.Module) -> dict[str, Tensor]:
    """Return what is trained, whole, where DeepSpeed holds the model (ZeRO-3 splits every parameter)."""
    import deepspeed  # type: ignore[import-not-found,unused-ignore]

    wanted = {plain_name(name): p for name, p in model.named_parameters() if p.requires_grad}
    split = any(hasattr(p, "ds_id") for p in wanted.values())
    with deepspeed.zero.GatheredParameters(list(wanted.values()), enabled=split):
        return {name: p.detach().cpu().clone() for name, p in wanted.items()}


def save_weights(folder: Path, weights: Mapping[str, Tensor]) -> None:
    """Store tensors by name.

    Raises:
        OutputError: They can't be written.
    """
    beside = folder / f".{WEIGHTS}.tmp"
    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
        safetensors.torch.save_file({k: v.contiguous().cpu() for k, v in weights.items()}, beside)
        beside.replace(folder / WEIGHTS)


def load_weights(folder: Path, model: torch.nn.Module) -> None:
    """Put stored tensors into a model, bit for bit.

    Raises:
        ModelError: They are not those of this model.
    """
    stored = safetensors.torch.load_file(folder / WEIGHTS)
    wanted = trained(model)
    if wrong := sorted(k for k in stored.keys() | wanted.keys() if _shape(stored, k) != _shape(wanted, k)):
        raise ModelError(
            f"{folder}: is a checkpoint of another method or model ({wrong[0]} differs); resume with the recipe it was "
            "made with"
        )
    with torch.no_grad():
        for name, value in stored.items():
            wanted[name].copy_(value)


def _shape(tensors: Mapping[str, Tensor], name: str) -> tuple[int, ...] | None:
    return tuple(tensors[name].shape) if name in tensors else None


def mark_complete(folder: Path, step: int) -> None:
    """Say that everything of a checkpoint is on the disk."""
    write_atomic(folder / COMPLETE, json.dumps({"step": step}) + "\n")


def checkpoints(folder: Path) -> list[tuple[int, Path]]:
    """List whole checkpoints by step."""
    found = []
    for path in folder.glob(f"{_PREFIX}*"):
        with suppress(OSError, ValueError, KeyError, TypeError):
            found.append((int(json.loads((path / COMPLETE).read_text(encoding="utf-8"))["step"]), path))
    return sorted(found)


def sweep(folder: Path, keep: int) -> None:
    """Remove all but the last ``keep`` whole checkpoints, and those that a killed run left half-written."""
    whole = [path for _, path in checkpoints(folder)][-keep:]
    for path in folder.glob(f"{_PREFIX}*"):
        if path not in whole:
            shutil.rmtree(path, ignore_errors=True)


def save_method(folder: Path, state: Mapping[str, Any]) -> None:
    """Store what the method must remember."""
    with explained(folder):
        torch.save(dict(state), folder / METHOD)


def load_method(folder: Path) -> dict[str, Any]:
    """Read what `save_method` stored."""
    found: dict[str, Any] = torch.load(folder / METHOD, weights_only=True) if (folder / METHOD).exists() else {}
    return found


@contextmanager
def explained(folder: Path) -> Iterator[None]:
    """Turn a disk that is full, or that may not be written, into one line.

    Raises:
        OutputError: Something in the context failed to write.
    """
    try:
        yield
    except OSError as error:
        raise OutputError(_advice(folder, error)) from None
    except (RuntimeError, safetensors.SafetensorError) as error:  # torch and safetensors wrap the system's errors
        text = str(error)
        if "No space left" in text or "os error 28" in text or "file write failed" in text:
            raise OutputError(_advice(folder, OSError(errno.ENOSPC, "no space left on device"))) from None
        raise


def _advice(folder: Path, error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        return (
            f"{folder}: the disk is full; free some space, then run the same command with --resume (train.keep = 1 and "
            "a larger train.save_every write less)"
        )
    return f"{folder}: can't be written ({(error.strerror or str(error)).lower()}); write elsewhere with -o"
