"""safetensors files and folders, read and written with numpy.

The format: u64 length of a JSON header, the header (name -> dtype, shape, begin and end of its data), the data.
https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asrlsa.errors import ModelError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1", "U8": "u1"}
_MAX_HEADER = 100_000_000  # bytes, the limit of the format
INDEX = "model.safetensors.index.json"


def read_tensors(path: Path) -> dict[str, NDArray[Any]]:
    """Read a safetensors file; arrays are mapped from the disk, bfloat16 becomes float32 in memory.

    Raises:
        ModelError: It can't be read, or is damaged.
    """
    import numpy as np

    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > min(size, _MAX_HEADER):
                raise ValueError("no header")
            header = json.loads(file.read(length))
        data = np.memmap(path, np.uint8, mode="r")[8 + length :]
        arrays = {}
        for name, entry in header.items():
            if name != "__metadata__":
                begin, end = entry["data_offsets"]
                arrays[name] = _array(data[begin:end], entry["dtype"], tuple(entry["shape"]))
    except OSError as error:
        raise ModelError(f"{path}: can't be read ({error.strerror or error})") from None
    except (struct.error, ValueError, KeyError, TypeError, AttributeError):
        raise ModelError(f"{path}: is not a safetensors file, or is damaged; download or save it again") from None
    return arrays


def read_folder(folder: Path) -> dict[str, NDArray[Any]]:
    """Read the weights of a transformers folder, in one file or in several.

    Raises:
        ModelError: There are none, a part is missing, or one is damaged.
    """
    index = folder / INDEX
    single = folder / "model.safetensors"
    if single.exists() or not index.exists():
        if not single.exists():
            raise ModelError(
                f"{folder}: has no model.safetensors; load it in Python and save it with model.save_pretrained(...)"
            )
        return read_tensors(single)
    try:
        parts = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise ModelError(f"{index}: is damaged; download the model again") from None
    arrays: dict[str, NDArray[Any]] = {}
    for part in parts:
        arrays |= read_tensors(folder / part)
    return arrays


def write_tensors(path: Path, arrays: Mapping[str, NDArray[Any]], metadata: Mapping[str, str] | None = None) -> None:
    """Write a safetensors file.

    Args:
        path: The file; an older one is replaced.
        arrays: Name -> array of a type that numpy and the format share.
        metadata: Texts for the header; transformers wants ``{"format": "pt"}``.
    """
    import numpy as np

    names = {np.dtype(value).str: key for key, value in _TYPES.items()}
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    place = 0
    for name, array in arrays.items():
        header[name] = {
            "dtype": names[array.dtype.str],
            "shape": list(array.shape),
            "data_offsets": [place, place + array.nbytes],
        }
        place += array.nbytes
    raw = json.dumps(header, separators=(",", ":")).encode()
    raw += b" " * (-len(raw) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(raw)) + raw)
        for array in arrays.values():
            file.write(np.ascontiguousarray(array).tobytes())


def _array(raw: NDArray[Any], kind: str, shape: tuple[int, ...]) -> NDArray[Any]:
    import numpy as np

    if kind == "BF16":  # the upper half of a float32
        return (raw.view("<u2").astype("<u4") << 16).view("<f4").reshape(shape)
    return np.asarray(raw.view(_TYPES[kind]).reshape(shape))
