"""A Whisper model to train, from whatever form it is in: starter package, hub, transformers or CTranslate2 folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import WhisperForConditionalGeneration


@dataclass(frozen=True, slots=True)
class Base:
    """A model that is ready to be trained.

    Attributes:
        model: In eval mode, its ``generation_config`` complete, ``config.use_cache`` False.
        directory: Folder with ``tokenizer.json`` (timestamps included) and ``preprocessor_config.json``.
        name: Name that was asked for, such as ``tiny.en``, or the folder as text.
        sha256: Sum of the weights (`asrlsa.conversion.weights.weights_sha256`), the same in every format.
    """

    model: WhisperForConditionalGeneration
    directory: Path
    name: str
    sha256: str


def load_base(
    name: str | Path,
    *,
    dtype: torch.dtype = torch.float32,
    device: str | torch.device = "cpu",
    offline: bool = False,
    attention: str = "sdpa",
) -> Base:
    """Load a Whisper model for training.

    Args:
        name: A starter model, a name or ``owner/repository`` of the hub, or a folder in transformers' or CTranslate2's
            format.
        dtype: Type of the weights.
        device: Where to put it.
        offline: Never ask the hub.
        attention: transformers' ``attn_implementation``: ``sdpa``, ``eager`` or ``flash_attention_2``.

    Raises:
        ModelError: It can't be found, is damaged, or is quantised.
    """
    raise NotImplementedError
