"""A Whisper model written for other programs: openai-whisper's ``.pt`` and whisper.cpp's ``ggml`` file.

Only ``asrlsa bench`` needs them, to compare engines with the same weights.
"""

from __future__ import annotations

import json
import re
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from asrlsa.conversion.folders import Whisper
from asrlsa.conversion.weights import layers

if TYPE_CHECKING:
    from numpy.typing import NDArray

_RENAMED: Final = (
    (r"^model\.", ""),
    (r"\.layers\.", ".blocks."),
    (r"\.fc1\.", ".mlp.0."),
    (r"\.fc2\.", ".mlp.2."),
    (r"\.final_layer_norm\.", ".mlp_ln."),
    (r"\.self_attn_layer_norm\.", ".attn_ln."),
    (r"\.encoder_attn_layer_norm\.", ".cross_attn_ln."),
    (r"\.self_attn\.", ".attn."),
    (r"\.encoder_attn\.", ".cross_attn."),
    (r"\.q_proj\.", ".query."),
    (r"\.k_proj\.", ".key."),
    (r"\.v_proj\.", ".value."),
    (r"\.out_proj\.", ".out."),
    (r"^encoder\.layer_norm\.", "encoder.ln_post."),
    (r"^decoder\.layer_norm\.", "decoder.ln."),
    (r"embed_positions\.weight$", "positional_embedding"),
    (r"^decoder\.embed_tokens\.weight$", "decoder.token_embedding.weight"),
)
_GGML_MAGIC: Final = 0x67676D6C
_F32, _F16, _Q8_0 = 0, 1, 8  # ggml's numbers of types
_FILE_TYPES: Final = {"float32": 0, "float16": 1, "int8": 2007}  # 2007: mostly q8_0, quantisation version 2
_BLOCK: Final = 32  # values that share one scale in q8_0
_PLAIN: Final = ("conv1.bias", "conv2.bias", "positional_embedding")


def openai_state(whisper: Whisper) -> dict[str, NDArray[Any]]:
    """Return the weights under openai-whisper's names."""
    return {openai_name(name): array for name, array in whisper.state.items()}


def openai_name(name: str) -> str:
    """Return openai-whisper's name of a weight that transformers calls ``name``."""
    for old, new in _RENAMED:
        name = re.sub(old, new, name)
    return name


def dimensions(whisper: Whisper) -> dict[str, int]:
    """Return the sizes of a model under openai-whisper's names."""
    vocabulary, width = whisper.state["model.decoder.embed_tokens.weight"].shape
    return {
        "n_mels": whisper.state["model.encoder.conv1.weight"].shape[1],
        "n_audio_ctx": whisper.state["model.encoder.embed_positions.weight"].shape[0],
        "n_audio_state": width,
        "n_audio_head": whisper.heads[0],
        "n_audio_layer": layers(whisper.state, "encoder"),
        "n_vocab": vocabulary,
        "n_text_ctx": whisper.state["model.decoder.embed_positions.weight"].shape[0],
        "n_text_state": width,
        "n_text_head": whisper.heads[1],
        "n_text_layer": layers(whisper.state, "decoder"),
    }


def write_openai(whisper: Whisper, path: Path) -> None:
    """Write the ``.pt`` file that ``whisper.load_model`` takes, in float32; needs torch."""
    import numpy as np
    import torch

    tensors = {k: torch.from_numpy(np.array(v, dtype=np.float32)) for k, v in openai_state(whisper).items()}
    torch.save({"dims": dimensions(whisper), "model_state_dict": tensors}, path)


def write_ggml(whisper: Whisper, path: Path, kind: str, filters: NDArray[Any]) -> None:
    """Write whisper.cpp's file.

    Args:
        whisper: The model.
        path: The file.
        kind: ``float32``, ``float16`` or ``int8``; int8 is ggml's q8_0, one scale for 32 values.
        filters: Mel filters, shape (mels, 201).
    """
    import numpy as np

    sizes = dimensions(whisper)
    head = [sizes["n_vocab"], *(sizes[f"n_audio_{k}"] for k in ("ctx", "state", "head", "layer"))]
    head += [*(sizes[f"n_text_{k}"] for k in ("ctx", "state", "head", "layer")), sizes["n_mels"], _FILE_TYPES[kind]]
    with path.open("wb") as file:
        file.write(struct.pack("<i11i", _GGML_MAGIC, *head))
        file.write(struct.pack("<2i", *filters.shape))
        file.write(np.ascontiguousarray(filters, "<f4").tobytes())
        texts = text_tokens(whisper.tokens.text)
        file.write(struct.pack("<i", len(texts)))
        for text in texts:
            file.write(struct.pack("<i", len(text)) + text)
        for name, array in openai_state(whisper).items():
            file.write(_tensor(name, np.asarray(array, np.float32), kind))


def text_tokens(tokenizer: str) -> list[bytes]:
    """Return the bytes of every text token of a ``tokenizer.json``, by id; special tokens are left out."""
    found = json.loads(tokenizer)
    special = {entry["id"] for entry in found.get("added_tokens", ())}
    letters = _letters()
    by_id = sorted((number, text) for text, number in found["model"]["vocab"].items() if number not in special)
    return [bytes(letters[letter] for letter in text) for _, text in by_id]


def _letters() -> dict[str, int]:
    """Which letter stands for which byte in a byte-level BPE vocabulary (GPT-2's table)."""
    shown = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    hidden = [byte for byte in range(256) if byte not in shown]
    return {chr(byte): byte for byte in shown} | {chr(256 + n): byte for n, byte in enumerate(hidden)}


def _tensor(name: str, array: NDArray[Any], kind: str) -> bytes:
    """Return one tensor as ggml stores it: rank, length of the name, type, sizes from the last on, name, data."""
    if re.search(r"conv\d\.bias$", name):
        array = array.reshape(-1, 1)
    number, data = _F32, array.astype("<f4").tobytes()
    if not name.endswith(_PLAIN) and array.ndim > 1:
        if kind == "int8" and array.ndim == 2 and array.shape[-1] % _BLOCK == 0:
            number, data = _Q8_0, q8_0(array)
        elif kind != "float32":
            number, data = _F16, array.astype("<f2").tobytes()
    raw = name.encode()
    head = struct.pack(f"<3i{array.ndim}i", array.ndim, len(raw), number, *reversed(array.shape))
    return head + raw + data


def q8_0(array: NDArray[Any]) -> bytes:
    """Quantise as ggml's q8_0: of every 32 values a float16 scale and 32 int8 values."""
    import numpy as np

    blocks = array.reshape(-1, _BLOCK).astype(np.float32)
    scale = np.abs(blocks).max(axis=1) / 127
    values = np.rint(blocks / np.where(scale == 0, 1, scale)[:, None])
    packed = np.zeros(len(blocks), [("scale", "<f2"), ("values", "i1", (_BLOCK,))])
    packed["scale"], packed["values"] = scale, values
    return packed.tobytes()
