"""A Whisper model to train, from whatever form it is in: starter package, hub, transformers or CTranslate2 folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import GenerationConfig, WhisperConfig, WhisperForConditionalGeneration

from asrlsa.conversion.folders import Whisper, read_whisper
from asrlsa.errors import ModelError
from asrlsa.models import HUB_NAMES, find_folder
from asrlsa.training.pruning import fit_shapes


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

    The weights of every form are taken over exactly (a float16 value is a float32 value); nothing is downloaded that
    is on this machine.

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
    directory = find_folder(name, offline=offline)
    whisper = read_whisper(directory)
    model = build_model(whisper, dtype=dtype, device=device, attention=attention)
    text = str(name)
    model.name_or_path = model.config._name_or_path = f"openai/whisper-{text}" if _is_openai(text) else text
    return Base(model, directory, text, whisper.sha256)


def build_model(
    whisper: Whisper,
    *,
    dtype: torch.dtype = torch.float32,
    device: str | torch.device = "cpu",
    attention: str = "sdpa",
) -> WhisperForConditionalGeneration:
    """Build transformers' model from a folder that was read; arguments and errors as `load_base`."""
    known = {k: v for k, v in whisper.config.items() if k not in ("dtype", "torch_dtype", "transformers_version")}
    config = WhisperConfig.from_dict(known, attn_implementation=attention, use_cache=False)
    with torch.device("meta"):
        model = WhisperForConditionalGeneration(config)
    # What was taken out by pruning stands in no configuration, only in the shapes.
    fit_shapes(model, {key: tuple(array.shape) for key, array in whisper.state.items()})
    state = {key: _tensor(array, dtype, device) for key, array in whisper.state.items()}
    wanted = {key: tuple(value.shape) for key, value in model.state_dict().items() if key != "proj_out.weight"}
    have = {key: tuple(value.shape) for key, value in state.items()}
    if wrong := sorted(key for key in wanted.keys() | have.keys() if wanted.get(key) != have.get(key)):
        raise ModelError(
            f"the weights do not fit the model's config.json: {wrong[0]} is {have.get(wrong[0], 'missing')} instead of "
            f"{wanted.get(wrong[0], 'absent')}"
        )
    model.load_state_dict(state, strict=False, assign=True)
    model.tie_weights()
    model.requires_grad_(True)
    model.model.encoder.embed_positions.requires_grad_(False)  # sinusoids, fixed in Whisper
    model.generation_config = GenerationConfig.from_dict(dict(whisper.generation))
    model.train(False)
    return model


def _tensor(array: Any, dtype: torch.dtype, device: str | torch.device) -> torch.nn.Parameter:
    # The copy makes the memory torch's own: what was read is mapped from the disk and can't be written.
    return torch.nn.Parameter(torch.from_numpy(np.array(array)).to(dtype=dtype, device=device))


def _is_openai(name: str) -> bool:
    return name in HUB_NAMES and not name.startswith("distil-")
