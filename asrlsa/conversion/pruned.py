"""Models whose attentions have fewer heads than their configuration says, in CTranslate2's form.

CTranslate2 knows one number of heads a side, and a head's size of its own for each attention. So every attention of a
side gets as many heads as the one that has most; what is added is zero and adds nothing to the result. Without that,
CTranslate2 4.8 computes nonsense from uneven heads, and says nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from numpy.typing import NDArray

_QUERY: Final = re.compile(r"model\.(encoder|decoder)\.layers\.(\d+)\.(self_attn|encoder_attn)\.q_proj\.weight")
_BLOCKS: Final = {"self_attn": "self_attention", "encoder_attn": "attention"}


def even_heads(
    state: Mapping[str, NDArray[Any]], heads: tuple[int, int]
) -> tuple[Mapping[str, NDArray[Any]], tuple[int, int], dict[str, NDArray[Any]]]:
    """Give every attention of a side as many heads as the one that has most.

    Args:
        state: transformers' state dict.
        heads: Heads of encoder and decoder by the configuration, from which the size of a head follows.

    Returns:
        The state dict, the heads of encoder and decoder in it, and CTranslate2's further settings; the first two are
        those given, and the last is empty, where no head was taken out.
    """
    import numpy as np

    found: dict[str, NDArray[Any]] = dict(state)
    more: dict[str, NDArray[Any]] = {}
    counts = list(heads)
    for number, side in enumerate(("encoder", "decoder")):
        places = [m for m in map(_QUERY.fullmatch, state) if m is not None and m[1] == side]
        if not places or f"model.{side}.layer_norm.weight" not in state:
            continue
        size = state[f"model.{side}.layer_norm.weight"].shape[0] // heads[number]
        wide = [state[m[0]].shape[0] for m in places]
        if all(w == size * heads[number] for w in wide):
            continue
        counts[number] = max(wide) // size
        for m in places:
            prefix = m[0].removesuffix("q_proj.weight")
            for name in [k for k in state if k.startswith(prefix)]:
                array, side_of_heads = state[name], int(name.endswith("out_proj.weight"))
                if name.endswith("out_proj.bias"):
                    continue
                missing = max(wide) - array.shape[side_of_heads]
                pad = [(0, missing if axis == side_of_heads else 0) for axis in range(array.ndim)]
                found[name] = np.pad(array, pad) if missing else array
            more[f"{side}/layer_{m[2]}/{_BLOCKS[m[3]]}/head_dim"] = np.array(size, "<i4")
    return found, (counts[0], counts[1]), more


def configured_heads(arrays: Mapping[str, NDArray[Any]]) -> tuple[int, int]:
    """Return the heads of encoder and decoder for a configuration, from which the size of a head follows.

    Args:
        arrays: What `asrlsa.conversion.ct2_file.read_arrays` gave.
    """
    found = []
    for side in ("encoder", "decoder"):
        own = arrays.get(f"{side}/layer_0/self_attention/head_dim")
        width = arrays[f"{side}/layer_norm/gamma"].shape[0]
        found.append(int(arrays[f"{side}/num_heads"]) if own is None else width // int(own))
    return found[0], found[1]
