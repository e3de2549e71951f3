"""Whisper's weights under CTranslate2's names and under transformers', without loss both ways."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from asrlsa.conversion.pruned import even_heads
from asrlsa.errors import ModelError

if TYPE_CHECKING:
    from numpy.typing import NDArray

ALIASES: Final = {"decoder/projection/weight": "decoder/embeddings/weight"}  # the output matrix is the embeddings'
TIED: Final = "proj_out.weight"  # the same under transformers' name; never stored twice

# CTranslate2 stacks q, k and v (which saves calls); transformers keeps them apart.
_STACKED: Final = {
    "self_attention/linear_0": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "self_attention/linear_1": ("self_attn.out_proj",),
    "attention/linear_0": ("encoder_attn.q_proj",),
    "attention/linear_1": ("encoder_attn.k_proj", "encoder_attn.v_proj"),
    "attention/linear_2": ("encoder_attn.out_proj",),
    "ffn/linear_0": ("fc1",),
    "ffn/linear_1": ("fc2",),
}
_NORMS: Final = {
    "self_attention/layer_norm": "self_attn_layer_norm",
    "attention/layer_norm": "encoder_attn_layer_norm",
    "ffn/layer_norm": "final_layer_norm",
}
_SINGLE: Final = {
    "encoder/conv1/weight": "model.encoder.conv1.weight",
    "encoder/conv1/bias": "model.encoder.conv1.bias",
    "encoder/conv2/weight": "model.encoder.conv2.weight",
    "encoder/conv2/bias": "model.encoder.conv2.bias",
    "encoder/position_encodings/encodings": "model.encoder.embed_positions.weight",
    "decoder/position_encodings/encodings": "model.decoder.embed_positions.weight",
    "decoder/embeddings/weight": "model.decoder.embed_tokens.weight",
}
_GELU: Final = 3  # CTranslate2's number of the exact GELU


def to_transformers(arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Rename and unstack the arrays of a ``model.bin``.

    Args:
        arrays: What `asrlsa.conversion.ct2_file.read_arrays` gave.

    Returns:
        transformers' state dict of ``WhisperForConditionalGeneration`` without the tied ``proj_out.weight``.

    Raises:
        ModelError: An array is one that Whisper does not have.
    """
    state: dict[str, NDArray[Any]] = {}
    for name, array in arrays.items():
        if not array.shape:  # settings such as the number of heads
            continue
        if name in _SINGLE:
            state[_SINGLE[name]] = array
            continue
        matched = re.fullmatch(r"(encoder|decoder)/(?:layer_(\d+)/(.+)/)?(\w+)/(\w+)", name)
        if matched is None:
            raise ModelError(f"the weights hold {name}, which Whisper does not have")
        side, layer, block, what, kind = matched.groups()
        if layer is None:
            state[f"model.{side}.{what}.{_KINDS[kind]}"] = array
            continue
        prefix, local = f"model.{side}.layers.{layer}", f"{block}/{what}"
        if local in _NORMS:
            state[f"{prefix}.{_NORMS[local]}.{_KINDS[kind]}"] = array
        elif local in _STACKED:
            parts = _STACKED[local]
            rows = array.shape[0] // len(parts)
            for i, part in enumerate(parts):
                if not (part.endswith("k_proj") and kind == "bias"):  # Whisper's keys have no bias; zeros are stored
                    state[f"{prefix}.{part}.{kind}"] = array[i * rows : (i + 1) * rows]
        else:
            raise ModelError(f"the weights hold {name}, which Whisper does not have")
    return state


_KINDS: Final = {"gamma": "weight", "beta": "bias", "weight": "weight", "bias": "bias"}


def to_ctranslate2(
    state: Mapping[str, NDArray[Any]], heads: tuple[int, int], dtype: str | None = "float16"
) -> dict[str, NDArray[Any]]:
    """Rename and stack a state dict for `asrlsa.conversion.ct2_file.write_arrays`.

    Args:
        state: transformers' state dict; ``proj_out.weight`` is ignored.
        heads: Attention heads of a layer in encoder and decoder.
        dtype: ``float16`` or ``float32``; None leaves every array's own.

    Raises:
        ModelError: An array is missing or does not fit into the type.
    """
    import numpy as np

    def cast(array: NDArray[Any]) -> NDArray[Any]:
        return np.ascontiguousarray(finite(array, dtype) if dtype is not None else array)

    state, heads, more = even_heads(state, heads)
    arrays = {name: cast(_wanted(state, key)) for name, key in _SINGLE.items()}
    for side in ("encoder", "decoder"):
        for new, old in (("gamma", "weight"), ("beta", "bias")):
            arrays[f"{side}/layer_norm/{new}"] = cast(_wanted(state, f"model.{side}.layer_norm.{old}"))
        for layer in range(layers(state, side)):
            here, prefix = f"{side}/layer_{layer}", f"model.{side}.layers.{layer}"
            for local, key in _NORMS.items():
                if side == "decoder" or not local.startswith("attention"):
                    arrays[f"{here}/{local}/gamma"] = cast(_wanted(state, f"{prefix}.{key}.weight"))
                    arrays[f"{here}/{local}/beta"] = cast(_wanted(state, f"{prefix}.{key}.bias"))
            for local, parts in _STACKED.items():
                if side == "decoder" or not local.startswith("attention"):
                    for kind in ("weight", "bias"):
                        arrays[f"{here}/{local}/{kind}"] = cast(np.concatenate(_parts(state, prefix, parts, kind)))
    return arrays | _settings(heads) | more


def _parts(state: Mapping[str, NDArray[Any]], prefix: str, parts: tuple[str, ...], kind: str) -> list[NDArray[Any]]:
    import numpy as np

    found = []
    for part in parts:
        key = f"{prefix}.{part}.{kind}"
        if part.endswith("k_proj") and kind == "bias" and key not in state:
            weight = _wanted(state, f"{prefix}.{part}.weight")
            found.append(np.zeros(weight.shape[0], weight.dtype))
        else:
            found.append(_wanted(state, key))
    return found


def _settings(heads: tuple[int, int]) -> dict[str, NDArray[Any]]:
    """What a ``model.bin`` says about the architecture, as CTranslate2's own converter writes it for Whisper."""
    import numpy as np

    small = {
        "activation": _GELU,
        "alibi": 0,
        "alibi_use_positive_positions": 0,
        "pre_norm": 1,
        "scale_alibi": 0,
        "scale_embeddings": 0,
        "start_from_zero_embedding": 0,
    }
    values = {f"decoder/{name}": np.array(value, "i1") for name, value in small.items()}
    short = {"encoder/num_heads": heads[0], "decoder/num_heads": heads[1]}
    short |= {"decoder/alignment_heads": 1, "decoder/alignment_layer": -1}
    return values | {name: np.array(value, "<i2") for name, value in short.items()}


def layers(state: Mapping[str, NDArray[Any]], side: str) -> int:
    """Number of layers of the encoder or the decoder."""
    found = {int(m[1]) for name in state if (m := re.match(rf"model\.{side}\.layers\.(\d+)\.", name))}
    return max(found, default=-1) + 1


def weights_sha256(state: Mapping[str, NDArray[Any]]) -> str:
    """Sum of the weights that does not depend on the format that they are stored in.

    Every array of ``state`` counts, sorted by name, rounded to float16 (in which OpenAI published Whisper), without
    the tied ``proj_out.weight``. CTranslate2's and transformers' form of one model thus have the same sum.
    """
    import numpy as np

    digest = hashlib.sha256()
    for name in sorted(state):
        if name != TIED:
            array = np.ascontiguousarray(_quiet(state[name], "<f2"))
            digest.update(f"{name} {array.shape}\n".encode())
            digest.update(array.data)
    return digest.hexdigest()


def finite(array: NDArray[Any], dtype: str) -> NDArray[Any]:
    """Return ``array`` in another type; ModelError where a value does not fit or is not a number."""
    import numpy as np

    cast = _quiet(array, dtype)
    if not np.isfinite(cast).all():
        raise ModelError(f"a weight is not a number or too large for {dtype}; the model or adapter is spoilt")
    return cast


def _quiet(array: NDArray[Any], dtype: str) -> NDArray[Any]:
    import numpy as np

    with np.errstate(over="ignore", invalid="ignore"):
        return array.astype(dtype, copy=False)


def _wanted(state: Mapping[str, NDArray[Any]], key: str) -> NDArray[Any]:
    try:
        return state[key]
    except KeyError:
        raise ModelError(f"the model lacks {key}; is it a Whisper model?") from None


def without_prefix(state: Mapping[str, NDArray[Any]]) -> Iterator[tuple[str, NDArray[Any]]]:
    """Give a state dict under the names of ``WhisperForConditionalGeneration``, whatever it was saved from."""
    for name, array in state.items():
        if name != TIED:
            yield (name if name.startswith("model.") else f"model.{name}"), array
