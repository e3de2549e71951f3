"""Adapters on disk: standard PEFT folders with asrlsa's card in them.

Every method but ``full`` is saved as PEFT saves it: ``adapter_config.json`` and ``adapter_model.safetensors``.

- ``bitfit``: PEFT has no BitFit, so the folder is a LoRA of rank 1, of zeros, on one matrix, with ``bias="all"``: PEFT
  itself then stores every bias and puts it back, without this project.
- ``s2lora``: the folder needs asrlsa to be loaded; its subfolder ``lora`` holds the equal plain LoRA, which any PEFT
  loads.
- ``adalora``: pruned ranks are left out, whenever it is saved.
- ``full``: a transformers folder.
"""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
from peft import PeftConfig, PeftModel, get_peft_model_state_dict
from safetensors.torch import save_file

from asrlsa.conversion import adapters
from asrlsa.conversion.cached import merged, require_base
from asrlsa.conversion.folders import building, is_transformers, read_whisper, write_transformers
from asrlsa.conversion.weights import layers
from asrlsa.errors import ModelError, OutputError
from asrlsa.model_card import CARD_NAME, ModelCard, read_card, write_card
from asrlsa.models import adapter_base
from asrlsa.training.base import Base, load_base
from asrlsa.training.methods import Attached, MethodSettings, attached_as, peft_quiet

_SINGULAR: Final = ".lora_E.default"  # AdaLoRA's singular values
PLAIN_LORA: Final = "lora"  # subfolder of an s2lora adapter
_OURS: Final = (adapters.CONFIG, CARD_NAME, "model.safetensors")


def save_adapter(
    folder: Path, attached: Attached, base: Base, card: ModelCard, *, state: Mapping[str, torch.Tensor] | None = None
) -> Path:
    """Save an adapter (a whole transformers model for ``full``, in float32) with its card.

    Args:
        folder: Where to. It is replaced in one step, with all that is in it, where it holds an adapter or a model.
        attached: What `attach` gave.
        base: What `load_base` gave.
        card: The card; ``base``, ``base_sha256`` and ``method`` are filled in.
        state: The full state dict of ``attached.model``, gathered, where the model is sharded (FSDP); None takes the
            model's own.

    Raises:
        OutputError: It can't be written, or the folder holds something else.
    """
    method = attached.settings.method
    card = dataclasses.replace(card, base=base.name, base_sha256=base.sha256, method=method)
    _require_ours(folder)
    try:
        with building(folder, replace=True) as draft:
            if method == "full":
                _save_full(draft, attached.model.state_dict() if state is None else state, base)
            else:
                _save_peft(draft, attached, base, state)
            if method == "s2lora":
                config, tensors = attached.model.base_model.to_lora(state=state)
                _write(draft / PLAIN_LORA, config, tensors, base)
                write_card(draft / PLAIN_LORA, card)
            write_card(draft, card)
    except OSError as error:
        raise OutputError(f"{folder}: can't be written ({error.strerror or error})") from None
    return folder


def load_adapter(
    folder: Path,
    base: Base,
    *,
    settings: MethodSettings | None = None,
    trainable: bool = False,
    total_steps: int | None = None,
) -> Attached:
    """Put a saved adapter on its base. The model of ``base`` is changed; for ``full`` it is left alone.

    Args:
        folder: What `save_adapter` wrote, or any PEFT folder.
        base: The model that it was trained on.
        settings: How training goes on (its learning rates and so on); None takes what the folder says.
        trainable: Whether its parameters are to be trained on.
        total_steps: Steps that are planned, in which an adalora adapter that was not pruned yet is pruned; None, or an
            adapter that was pruned, leaves the ranks as they are.

    Raises:
        ConfigError: adalora can't be pruned in so few steps.
        ModelError: It is no adapter, is damaged, or was trained on another base or with another method.
    """
    card = read_card(folder)
    if is_transformers(folder):
        whole = load_base(folder, dtype=base.model.dtype, device=base.model.device)
        return attached_as(whole.model, settings or MethodSettings("full"), trainable=trainable)
    if not adapters.is_adapter(folder):
        raise ModelError(f"{folder}: holds no adapter ({adapters.CONFIG})")
    require_base(card, base.sha256, folder, base.name)
    found = _settings(folder)
    if settings is not None and settings.method != found.method:
        raise ModelError(f"{folder}: was trained with {found.method}, not with {settings.method}")
    before = {name: p.detach().clone() for name, p in base.model.named_parameters() if name.endswith(".bias")}
    try:
        with peft_quiet():
            model = PeftModel.from_pretrained(base.model, str(folder), is_trainable=trainable)
    except (RuntimeError, ValueError, KeyError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ModelError(f"{folder}: does not fit the base {base.name} ({reason})") from None
    attached = attached_as(model, settings or found, trainable=trainable, biases=before)
    if trainable and total_steps is not None:
        attached.go_on_pruning(total_steps)
    return attached


def merge(folder: Path, out: Path, *, dtype: str = "float16", offline: bool = False) -> Path:
    """Merge an adapter into its base and write a transformers folder with everything that decoding needs.

    Args:
        folder: An adapter, or a whole model, which is stored in the other type.
        out: Where to; replaced in one step, with all that is in it, where it holds a model.
        dtype: ``float16`` or ``float32``.
        offline: Never ask the hub for the base.

    Raises:
        ModelError: The base can't be had, or is another.
        OutputError: It can't be written, or ``out`` holds something else.
    """
    _require_ours(out)
    if adapters.is_adapter(folder):
        whisper = merged(folder, adapter_base(folder, offline=offline), dtype)
    else:
        whisper = read_whisper(folder)
    card = read_card(folder)
    try:
        with building(out, replace=True) as draft:
            write_transformers(whisper, draft, dtype)
            if card is not None:
                write_card(draft, card)
    except OSError as error:
        raise OutputError(f"{out}: can't be written ({error.strerror or error})") from None
    return out


def _save_full(folder: Path, state: Mapping[str, torch.Tensor], base: Base) -> None:
    arrays = {name: p.detach().float().cpu().numpy() for name, p in state.items() if name != "proj_out.weight"}
    whisper = read_whisper(base.directory)
    count = layers(arrays, "decoder")
    if count != whisper.config["decoder_layers"]:  # distilled
        heads = {"alignment_heads": getattr(base.model.generation_config, "alignment_heads")}  # noqa: B009
        config = {**whisper.config, "decoder_layers": count}
        whisper = dataclasses.replace(whisper, config=config, generation={**whisper.generation, **heads})
    write_transformers(dataclasses.replace(whisper, state=arrays), folder, "float32")


def _save_peft(folder: Path, attached: Attached, base: Base, state: Mapping[str, torch.Tensor] | None) -> None:
    model, name = attached.model, "default"
    full = dict(model.state_dict() if state is None else state)
    kept = model.peft_config[name]
    config = copy.deepcopy(kept)
    if attached.settings.method == "adalora":
        config.orth_reg_weight = attached.settings.orth_reg_weight
        # As it is now: between two prunings, pruned ranks may have come back. All are zero before training only.
        kept_ranks = {_short(key): (e != 0).view(-1).tolist() for key, e in full.items() if key.endswith(_SINGULAR)}
        every = [rank for pattern in kept_ranks.values() for rank in pattern]
        config.rank_pattern = kept_ranks if any(every) and not all(every) else None
    model.peft_config[name] = config  # PEFT reads it from there, and writes into it
    try:
        tensors = get_peft_model_state_dict(model, state_dict=full, adapter_name=name, save_embedding_layers=False)
    finally:
        model.peft_config[name] = kept
    _write(folder, config, tensors, base)


def _short(key: str) -> str:
    return key.removeprefix("base_model.model.").removesuffix(".default")


def _write(folder: Path, config: PeftConfig, tensors: Mapping[str, torch.Tensor], base: Base) -> None:
    folder.mkdir(exist_ok=True)
    config = copy.deepcopy(config)
    config.inference_mode = True
    config.base_model_name_or_path = base.model.name_or_path
    kind = type(base.model)
    config.auto_mapping = {"base_model_class": kind.__name__, "parent_library": kind.__module__}
    config.save_pretrained(str(folder))
    whole = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    save_file(whole, str(folder / adapters.WEIGHTS), metadata={"format": "pt"})
    (folder / adapters.WEIGHTS).chmod(0o644)  # safetensors lets nobody else read what it writes


def _settings(folder: Path) -> MethodSettings:
    """What an adapter's own configuration says of its method."""
    config: dict[str, Any] = json.loads((folder / adapters.CONFIG).read_text(encoding="utf-8"))
    method = str(config.get("peft_type", "")).lower()
    if method == "lora" and config.get("bias") == "all" and config.get("r") == 1:
        return MethodSettings("bitfit")
    if method == "lora" and config.get("use_dora"):
        method = "dora"
    dropout = config.get("lora_dropout") or config.get("vera_dropout") or 0.0
    chosen: dict[str, Any] = {"method": method, "lora_dropout": dropout}
    if method in ("lora", "dora", "s2lora", "vera"):
        chosen |= {"r": config["r"], "lora_alpha": config.get("lora_alpha")}
    if method == "s2lora":
        chosen |= {key: config[key] for key in ("sharing", "l1", "ortho")}
    if method == "adalora":
        chosen |= {"init_r": config["init_r"], "target_r": config["target_r"], "lora_alpha": config["lora_alpha"]}
        chosen |= {"orth_reg_weight": config["orth_reg_weight"]}
    return MethodSettings(**chosen)


def _require_ours(folder: Path) -> None:
    """Refuse to replace a folder that holds something else.

    Raises:
        OutputError: It does.
    """
    if folder.exists() and not (folder.is_dir() and any((folder / name).exists() for name in _OURS)):
        if folder.is_dir() and not any(folder.iterdir()):
            return
        raise OutputError(f"{folder}: holds something other than a model, which would be lost; give another folder")
