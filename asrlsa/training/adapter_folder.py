"""Adapters on disk: standard PEFT folders with asrlsa's card in them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from asrlsa.model_card import ModelCard
from asrlsa.training.base import Base
from asrlsa.training.methods import Attached


def save_adapter(
    folder: Path, attached: Attached, base: Base, card: ModelCard, *, state: Mapping[str, torch.Tensor] | None = None
) -> Path:
    """Save an adapter (a whole transformers model for ``full``) with its card; the folder is replaced in one step.

    Args:
        folder: Where to; replaced where it holds an adapter or model.
        attached: What `attach` gave.
        base: What `load_base` gave.
        card: The card; ``base``, ``base_sha256`` and ``method`` are filled in from ``base`` and ``attached``.
        state: The full state dict of ``attached.model``, gathered, where the model is sharded (FSDP); None takes the
            model's own.

    Raises:
        OutputError: It can't be written.
    """
    raise NotImplementedError


def load_adapter(folder: Path, base: Base, *, trainable: bool = False, total_steps: int = 1) -> Attached:
    """Put a saved adapter on its base.

    Raises:
        ModelError: It is no adapter, or it was trained on another base.
    """
    raise NotImplementedError


def merge(folder: Path, out: Path, *, dtype: str = "float16", offline: bool = False) -> Path:
    """Merge an adapter folder into its base and write a transformers folder with everything decoding needs.

    Raises:
        ModelError: The base can't be had, or is another.
        OutputError: It can't be written.
    """
    raise NotImplementedError
