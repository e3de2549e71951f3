"""Encoder on one device, decoder on another: a model that one GPU can't hold is trained on two small ones.

One device works while the other waits, so this is for memory, not for speed (the encoder is 80 to 98 % of the work).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import WhisperForConditionalGeneration

from asrlsa.errors import ConfigError


def parse_devices(text: str) -> tuple[torch.device, torch.device]:
    """Read two devices, ``cuda:0,cuda:1``, or ``auto`` for the first two GPUs.

    Raises:
        ConfigError: There are not two, or torch does not know one.
    """
    if text == "auto":
        if torch.cuda.device_count() < 2:
            raise ConfigError(
                f"model.model_parallel = auto needs two GPUs, and torch finds {torch.cuda.device_count()}"
            )
        text = "cuda:0,cuda:1"
    found = []
    for name in text.split(","):
        try:
            device = torch.device(name.strip())
        except RuntimeError:
            raise ConfigError(f"model.model_parallel: torch knows no device {name.strip()!r}") from None
        if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
            raise ConfigError(
                f"model.model_parallel: there is no {device}; torch finds {torch.cuda.device_count()} GPUs"
            )
        found.append(device)
    if len(found) != 2:
        raise ConfigError(f"model.model_parallel {text!r}: give two devices, such as cuda:0,cuda:1")
    return found[0], found[1]


def split(
    model: nn.Module, whisper: WhisperForConditionalGeneration, devices: tuple[torch.device, torch.device]
) -> None:
    """Put the encoder on the first device and all else on the second; what goes from one to the other is moved.

    Args:
        model: The model with its method in place; shared parts of an adapter go to the second device.
        whisper: The Whisper in it.
        devices: Where to.
    """
    first, second = devices
    model.to(second)
    whisper.model.encoder.to(first)
    whisper.model.encoder.register_forward_pre_hook(_mover(first), with_kwargs=True)
    whisper.model.decoder.register_forward_pre_hook(_mover(second), with_kwargs=True)
    # transformers and accelerate then leave the model where it is.
    places: Any = {"model.encoder": str(first), "model.decoder": str(second), "proj_out": str(second)}
    whisper.hf_device_map = places


def _mover(device: torch.device) -> Any:
    def move(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        return tuple(_moved(a, device) for a in args), {k: _moved(v, device) for k, v in kwargs.items()}

    return move


def _moved(value: Any, device: torch.device) -> Any:
    return value.to(device) if isinstance(value, Tensor) else value
