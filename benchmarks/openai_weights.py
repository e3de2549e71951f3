"""Write a starter model as a .pt file that openai-whisper loads, for benchmarks/transcribe.py.

    python benchmarks/openai_weights.py MODEL_DIRECTORY OUT.pt

Runs under the interpreter that has torch. CTranslate2's model.bin is a plain list of named arrays: u32 version; string
spec; u32 revision; u32 count; then for each array: string name, u8 rank, u32 dims, u8 type, u32 bytes, data. Strings
are u16 length and bytes with a trailing NUL. The weights are copied as they are.
"""

from __future__ import annotations

import json
import struct
import sys
from pathlib import Path

import numpy as np
import torch

TYPES = {0: np.float32, 1: np.int8, 2: np.int16, 3: np.int32, 4: np.float16}


def arrays(path: Path) -> dict[str, np.ndarray]:
    data = path.read_bytes()
    at = 4

    def number(form: str) -> int:
        nonlocal at
        (value,) = struct.unpack_from("<" + form, data, at)
        at += struct.calcsize(form)
        return value

    def text() -> str:
        nonlocal at
        size = number("H")
        at += size
        return data[at - size : at - 1].decode()

    text()
    number("I")
    found = {}
    for _ in range(number("I")):
        name = text()
        shape = [number("I") for _ in range(number("B"))]
        kind, size = number("B"), number("I")
        if kind in TYPES:
            found[name] = np.frombuffer(data, TYPES[kind], size // np.dtype(TYPES[kind]).itemsize, at).reshape(shape)
        at += size
    return found


def norm(w: dict, old: str, new: str) -> dict:
    return {f"{new}.weight": w[f"{old}/gamma"], f"{new}.bias": w[f"{old}/beta"]}


def linear(w: dict, old: str, names: list[str]) -> dict:
    """Split a stacked projection; openai's keys have no bias."""
    out = {}
    weights, biases = np.split(w[f"{old}/weight"], len(names)), np.split(w[f"{old}/bias"], len(names))
    for name, weight, bias in zip(names, weights, biases, strict=True):
        out[f"{name}.weight"] = weight
        if not name.endswith("key"):
            out[f"{name}.bias"] = bias
    return out


def block(w: dict, side: str, layer: int) -> dict:
    old, new = f"{side}/layer_{layer}", f"{side}.blocks.{layer}"
    out = norm(w, f"{old}/self_attention/layer_norm", f"{new}.attn_ln")
    out |= linear(w, f"{old}/self_attention/linear_0", [f"{new}.attn.{n}" for n in ("query", "key", "value")])
    out |= linear(w, f"{old}/self_attention/linear_1", [f"{new}.attn.out"])
    if side == "decoder":
        out |= norm(w, f"{old}/attention/layer_norm", f"{new}.cross_attn_ln")
        out |= linear(w, f"{old}/attention/linear_0", [f"{new}.cross_attn.query"])
        out |= linear(w, f"{old}/attention/linear_1", [f"{new}.cross_attn.{n}" for n in ("key", "value")])
        out |= linear(w, f"{old}/attention/linear_2", [f"{new}.cross_attn.out"])
    out |= norm(w, f"{old}/ffn/layer_norm", f"{new}.mlp_ln")
    out |= linear(w, f"{old}/ffn/linear_0", [f"{new}.mlp.0"])
    out |= linear(w, f"{old}/ffn/linear_1", [f"{new}.mlp.2"])
    return out


def main() -> None:
    directory, out = Path(sys.argv[1]), Path(sys.argv[2])
    w = arrays(directory / "model.bin")
    state: dict[str, np.ndarray] = {}
    layers = {}
    for side in ("encoder", "decoder"):
        numbers = [k.split("/")[1][6:] for k in w if k.startswith(f"{side}/layer_")]
        layers[side] = 1 + max(int(n) for n in numbers if n.isdigit())
        for layer in range(layers[side]):
            state |= block(w, side, layer)
    for n in (1, 2):
        state |= {f"encoder.conv{n}.{k}": w[f"encoder/conv{n}/{k}"] for k in ("weight", "bias")}
    state["encoder.positional_embedding"] = w["encoder/position_encodings/encodings"]
    state["decoder.positional_embedding"] = w["decoder/position_encodings/encodings"]
    state["decoder.token_embedding.weight"] = w["decoder/embeddings/weight"]
    state |= norm(w, "encoder/layer_norm", "encoder.ln_post") | norm(w, "decoder/layer_norm", "decoder.ln")
    width = state["encoder.positional_embedding"].shape[1]
    vocabulary = state["decoder.token_embedding.weight"].shape[0]
    dims = {
        "n_mels": state["encoder.conv1.weight"].shape[1],
        "n_audio_ctx": 1500,
        "n_audio_state": width,
        "n_audio_head": width // 64,
        "n_audio_layer": layers["encoder"],
        "n_vocab": vocabulary,
        "n_text_ctx": 448,
        "n_text_state": width,
        "n_text_head": width // 64,
        "n_text_layer": layers["decoder"],
    }
    tensors = {k: torch.from_numpy(np.array(v, dtype=np.float32)) for k, v in state.items()}
    torch.save({"dims": dims, "model_state_dict": tensors}, out)
    print(json.dumps(dims))


if __name__ == "__main__":
    main()
