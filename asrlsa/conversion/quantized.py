"""Weights stored in fewer bits, as CTranslate2's own converter stores them, with numpy alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from asrlsa.conversion.weights import finite
from asrlsa.errors import ModelError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TYPES: Final = ("int8", "int8_float16", "int8_bfloat16", "float16", "bfloat16", "float32")
_KEPT: Final = {"int8_float16": "float16", "int8_bfloat16": "bfloat16"}
_LARGEST: Final = 127  # of the 256 values of int8, -128 is left out so that both signs have the same


def quantise(arrays: Mapping[str, NDArray[Any]], kind: str) -> dict[str, NDArray[Any]]:
    """Return arrays in the form in which a ``model.bin`` of a type stores them.

    In the int8 types every matrix and convolution becomes int8 with one float32 scale a row, ``weight_scale``. What is
    neither is rounded to the type that follows ``int8_``; in plain ``int8`` it keeps the type of the source. The
    convolutions must be int8 too: CTranslate2 reads a model's own type from any one of these arrays.

    Args:
        arrays: CTranslate2's name -> array, as `asrlsa.conversion.weights.to_ctranslate2` gives them.
        kind: One of `TYPES`.

    Returns:
        The arrays, bfloat16 as its 16 bits in uint16.

    Raises:
        ModelError: A weight is not a number, or too large for the type.
    """
    stored: dict[str, NDArray[Any]] = {}
    rest = _KEPT.get(kind, "" if kind == "int8" else kind)
    if not rest:  # the source's own, float32 where it is mixed
        floats = {array.dtype.str for array in arrays.values() if array.shape}
        rest = "float16" if floats == {"<f2"} else "float32"
    for name, array in arrays.items():
        if not array.shape:  # settings such as the number of heads
            stored[name] = array
        elif kind.startswith("int8") and name.endswith("/weight"):
            stored[name], stored[f"{name}_scale"] = _rows(array)
        else:
            stored[name] = bfloat16(array) if rest == "bfloat16" else finite(array, rest)
    return stored


def bfloat16(array: NDArray[Any]) -> NDArray[np.uint16]:
    """Round to bfloat16, to the nearest and in a tie to the even one, and return the bits.

    Raises:
        ModelError: A value is not a number or becomes infinite.
    """
    import numpy as np

    bits = np.ascontiguousarray(finite(array, "float32")).view("<u4")
    rounded: NDArray[np.uint16] = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2")
    if ((rounded & 0x7F80) == 0x7F80).any():
        raise ModelError("a weight is too large for bfloat16; the model or adapter is spoilt")
    return rounded


def _rows(array: NDArray[Any]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Quantise each row (each output channel of a convolution) by its largest value; a row of zeros gets scale 1."""
    import numpy as np

    values = finite(array, "float32").reshape(len(array), -1)
    largest = np.abs(values).max(axis=1)
    largest[largest == 0] = _LARGEST
    # Keep the scale finite in float32 for rows of tiny values.
    largest = np.maximum(largest, np.float32(_LARGEST) / np.finfo(np.float32).max)
    scale = np.float32(_LARGEST) / largest
    return np.rint(values * scale[:, None]).astype("i1").reshape(array.shape), scale
