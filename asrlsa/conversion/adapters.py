"""Adapters merged into a model's weights in float32, with numpy alone.

Every method of `asrlsa finetune` that PEFT stores as an adapter is known: LoRA (also DoRA, rank-stabilised, and with
trained biases, which is how BitFit is stored), AdaLoRA, (IA)^3, VeRA and S2-LoRA.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from asrlsa.conversion import tensor_file
from asrlsa.conversion.settings import read_json
from asrlsa.conversion.weights import finite
from asrlsa.errors import ModelError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Arrays = dict[str, NDArray[Any]]

CONFIG: Final = "adapter_config.json"
WEIGHTS: Final = "adapter_model.safetensors"
_PREFIX: Final = "base_model."
_PARTS: Final = re.compile(
    r"model\.(?P<module>.+)\.(?P<part>lora_[AB]\.weight|lora_[ABE]|lora_magnitude_vector|ia3_l|vera_lambda_[bd]"
    r"|s2lora_lambda)"
)
_TINY: Final = 1e-5  # what PEFT adds to AdaLoRA's rank


def is_adapter(folder: Path) -> bool:
    """Whether a folder holds an adapter and no whole model."""
    return (folder / CONFIG).exists() and not any(
        (folder / name).exists() for name in ("model.bin", "model.safetensors", tensor_file.INDEX)
    )


def base_name(folder: Path) -> str:
    """Name of the base model as PEFT noted it; empty where it noted none."""
    return str(read_json(folder / CONFIG).get("base_model_name_or_path") or "")


def merge_adapter(
    state: Mapping[str, NDArray[Any]], folder: Path, dtype: str = "float32", strength: float = 1.0
) -> dict[str, NDArray[Any]]:
    """Merge an adapter into a state dict.

    Args:
        state: transformers' state dict of the base, any float type.
        folder: The adapter: ``adapter_config.json`` and ``adapter_model.safetensors``.
        dtype: Type of what the adapter changes, merged in float32 and rounded once; ``float16`` saves memory.
        strength: What the adapter's change to each array is multiplied by.

    Returns:
        A new state dict; what the adapter does not change is what it was.

    Raises:
        ModelError: The adapter is damaged, of a kind that is not known here, or does not fit the model.
    """
    import numpy as np

    config, arrays = read_json(folder / CONFIG), _read(folder)
    kind = str(config.get("peft_type", "")).upper()
    _check(config, kind, folder)
    modules, shared, whole = _sort(arrays, state, folder)
    merged = dict(state)

    def store(key: str, new: NDArray[Any]) -> None:
        if strength != 1.0:
            old = _single(state[key])
            new = old + np.float32(strength) * (_single(new) - old)
        merged[key] = finite(new, dtype)

    for key, array in whole.items():
        store(key, array)
    for module, parts in modules.items():
        weight = merged.get(f"{module}.weight")
        if weight is None:
            raise ModelError(f"{folder}: adapts {module}, which the base model does not have; is it the right base?")
        try:
            new = _MERGES[kind](weight.astype(np.float32), parts, shared, config, module)
        except (KeyError, ValueError, IndexError):
            raise ModelError(
                f"{folder}: does not fit {module} of the base model ({'x'.join(map(str, weight.shape))}); is it the "
                "right base?"
            ) from None
        store(f"{module}.weight", new)
        bias = merged.get(f"{module}.bias")
        if kind == "IA3" and bias is not None and parts["ia3_l"].shape[1] == 1:
            store(f"{module}.bias", bias.astype(np.float32) * parts["ia3_l"].reshape(-1))
    return merged


def _read(folder: Path) -> Arrays:
    if not (folder / WEIGHTS).exists():
        raise ModelError(f"{folder}: the adapter lacks {WEIGHTS}; save it again with save_pretrained(...)")
    return tensor_file.read_tensors(folder / WEIGHTS)


def _check(config: Mapping[str, Any], kind: str, folder: Path) -> None:
    """Refuse what would be merged wrongly.

    Raises:
        ModelError: The kind or one of its options is not known here.
    """
    odd = [key for key in ("fan_in_fan_out", "lora_bias", "use_qalora", "layer_replication") if config.get(key)]
    odd += [key for key in ("alora_invocation_tokens", "target_parameters", "arrow_config") if config.get(key)]
    if config.get("init_lora_weights") not in (None, True, False, "gaussian"):
        odd.append("init_lora_weights")  # PiSSA and its like change the base's weights too
    if kind not in _MERGES or odd:
        what = f"the option {odd[0]}" if kind in _MERGES else f"the kind {kind or 'without a name'}"
        raise ModelError(
            f"{folder}: an adapter with {what} can't be merged without torch; merge it first: asrlsa finetune --merge "
            f"{folder}"
        )


def _sort(arrays: Arrays, state: Mapping[str, Any], folder: Path) -> tuple[dict[str, Arrays], Arrays, Arrays]:
    """Split an adapter's arrays into those of a module, those of all modules, and whole parameters."""
    modules: dict[str, Arrays] = {}
    shared: Arrays = {}
    whole: Arrays = {}
    for name, array in arrays.items():
        local = name.removeprefix(_PREFIX)
        if found := _PARTS.fullmatch(local):
            modules.setdefault(found["module"], {})[found["part"].removesuffix(".weight")] = array
        elif re.fullmatch(r"vera_[AB]|s2lora_banks\.[AB]_\w+", local):
            shared[local] = array
        else:
            key = re.sub(r"\.(base_layer|modules_to_save)\.", ".", local.removeprefix("model."))
            if key not in state or state[key].shape != array.shape:
                raise ModelError(f"{folder}: holds {name}, which does not fit the base model; is it the right base?")
            whole[key] = array
    return modules, shared, whole


def _lora(weight: NDArray[Any], parts: Arrays, _: Arrays, config: Mapping[str, Any], module: str) -> NDArray[Any]:
    import numpy as np

    a, b = _single(parts["lora_A"]), _single(parts["lora_B"])
    rank = a.shape[0]
    alpha = _pattern(config.get("alpha_pattern") or {}, module, config.get("lora_alpha", 8))
    scale = alpha / (rank**0.5 if config.get("use_rslora") else rank)
    new: NDArray[Any] = weight + np.float32(scale) * (b @ a)
    if config.get("use_dora"):  # https://arxiv.org/abs/2402.09353: the direction is learnt, and the length of each row
        new = new * (_single(parts["lora_magnitude_vector"]) / np.linalg.norm(new, axis=1))[:, None]
    return new


def _adalora(weight: NDArray[Any], parts: Arrays, _: Arrays, config: Mapping[str, Any], __: str) -> NDArray[Any]:
    a, e, b = (_single(parts[f"lora_{name}"]) for name in "AEB")
    alpha = config.get("lora_alpha", 8)
    scale = (alpha if alpha > 0 else config["init_r"]) / (config["init_r"] + _TINY)
    new: NDArray[Any] = weight + scale * (b @ (a * e))
    return new.astype(weight.dtype)


def _ia3(weight: NDArray[Any], parts: Arrays, *_: Any) -> NDArray[Any]:
    new: NDArray[Any] = weight * _single(parts["ia3_l"])
    return new


def _vera(weight: NDArray[Any], parts: Arrays, shared: Arrays, *_: Any) -> NDArray[Any]:
    out, into = weight.shape
    a, b = _single(shared["vera_A"])[:, :into], _single(shared["vera_B"])[:out]
    rows, ranks = _single(parts["vera_lambda_b"]), _single(parts["vera_lambda_d"])
    new: NDArray[Any] = weight + (rows[:, None] * b) @ (ranks[:, None] * a)
    return new


def _s2lora(weight: NDArray[Any], parts: Arrays, shared: Arrays, config: Mapping[str, Any], _: str) -> NDArray[Any]:
    out, into = weight.shape
    bank = "all" if config["sharing"] == "global" else f"{out}x{into}"
    a = _single(shared[f"s2lora_banks.A_{bank}"])[:, :into]
    b = _single(shared[f"s2lora_banks.B_{bank}"])[:out]
    coefficients = _single(parts["s2lora_lambda"]) * (config["lora_alpha"] / config["r"])
    new: NDArray[Any] = weight + (b * coefficients) @ a
    return new.astype(weight.dtype)


_MERGES: Final[dict[str, Callable[..., NDArray[Any]]]] = {
    "LORA": _lora,
    "ADALORA": _adalora,
    "IA3": _ia3,
    "VERA": _vera,
    "S2LORA": _s2lora,
}


def _single(array: NDArray[Any]) -> NDArray[Any]:
    return array.astype("<f4", copy=False)


def _pattern(patterns: Mapping[str, float], module: str, default: float) -> float:
    """A module's own value, as PEFT looks it up: the first key that is a regular expression of the name's end."""
    for key, value in patterns.items():
        if re.match(rf"(.*\.)?({key})$", module):
            return value
    return default
