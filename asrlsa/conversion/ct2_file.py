"""The arrays of a CTranslate2 ``model.bin``, read and written with numpy; `asrlsa.model_weights` has the layout."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from asrlsa.errors import ModelError
from asrlsa.model_weights import read_weights

if TYPE_CHECKING:
    from numpy.typing import NDArray

# By CTranslate2's number. numpy has no bfloat16: here it is its 16 bits, the upper half of a float32.
_TYPES: Final = ("<f4", "|i1", "<i2", "<i4", "<f2", "<u2")
_FLOATS: Final = (0, 4, 5)
_BFLOAT16: Final = 5
_VERSION: Final = 6
_SPECIFICATION: Final = "WhisperSpec"
_REVISION: Final = 3


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Read a Whisper ``model.bin``; arrays are mapped from the disk. Aliases (the tied output matrix) are left out.

    bfloat16 becomes float32 in memory.

    Raises:
        ModelError: It is no such file, is cut off, or its weights are quantised.
    """
    import numpy as np

    listed = read_weights(path).arrays
    data = np.memmap(path, np.uint8, mode="r")
    arrays = {}
    for entry in listed:
        number = int(data[entry.offset - 5])
        if entry.name.endswith("_scale") or number >= len(_TYPES) or (entry.shape and number not in _FLOATS):
            raise ModelError(
                f"{path}: its weights are quantised, which loses detail; take the float16 or float32 form of the model"
            )
        raw = data[entry.offset : entry.offset + entry.bytes]
        array = np.asarray(raw.view(_TYPES[number]).reshape(entry.shape))
        arrays[entry.name] = (array.astype("<u4") << 16).view("<f4") if number == _BFLOAT16 else array
    return arrays


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]], aliases: Mapping[str, str]) -> None:
    """Write a Whisper ``model.bin``.

    Args:
        path: The file; an older one is replaced.
        arrays: CTranslate2's name -> array; float32, float16, bfloat16 (as uint16) or small integers.
        aliases: Further names of arrays.
    """
    import numpy as np

    numbers = {np.dtype(kind).str: number for number, kind in enumerate(_TYPES)}
    with path.open("wb") as file:
        file.write(struct.pack("<I", _VERSION))
        _write_text(file, _SPECIFICATION)
        file.write(struct.pack("<II", _REVISION, len(arrays)))
        for name in sorted(arrays):
            array = np.asarray(arrays[name])
            _write_text(file, name)
            file.write(struct.pack(f"<B{array.ndim}I", array.ndim, *array.shape))
            file.write(struct.pack("<BI", numbers[array.dtype.str], array.nbytes))
            file.write(array.tobytes())
        file.write(struct.pack("<I", len(aliases)))
        for alias in sorted(aliases):
            _write_text(file, alias)
            _write_text(file, aliases[alias])


def _write_text(file: BinaryIO, text: str) -> None:
    raw = text.encode() + b"\0"
    file.write(struct.pack("<H", len(raw)) + raw)
