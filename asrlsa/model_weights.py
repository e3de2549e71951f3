"""The weights file of a CTranslate2 model, read without CTranslate2: what is in it, is it whole, which one is it.

``model.bin`` is a plain little-endian list of named arrays: u32 version, text (name of the specification), u32
revision, u32 count; then for each array a text (its name), u8 rank, u32 dimensions, u8 type, u32 bytes, data. A text
is a u16 length and that many bytes, the last of them NUL.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from asrlsa.errors import ModelError

_READ = 1 << 20  # bytes read at once while hashing
_MAX_ARRAYS = 100_000


@dataclass(frozen=True, slots=True)
class Array:
    """One array of the weights: its dimensions, and where in the file its data lie."""

    name: str
    shape: tuple[int, ...]
    offset: int
    bytes: int

    @property
    def parameters(self) -> int:
        """Number of values."""
        count = 1
        for size in self.shape:
            count *= size
        return count


@dataclass(frozen=True, slots=True)
class Weights:
    """The arrays of one ``model.bin``, without their data."""

    arrays: tuple[Array, ...]

    @property
    def parameters(self) -> int:
        """Number of parameters, in units."""
        return sum(array.parameters for array in self.arrays if array.shape)

    @property
    def mels(self) -> int:
        """Mel bands that the encoder expects: 80, or 128 for large-v3 and its children."""
        return next(a.shape[1] for a in self.arrays if a.name == "encoder/conv1/weight")


def read_weights(path: Path) -> Weights:
    """Read the list of arrays of a CTranslate2 Whisper model; their data are skipped.

    Raises:
        ModelError: The file is not such a model, or is cut off.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            arrays = tuple(_arrays(file))
    except (struct.error, UnicodeDecodeError, ValueError):
        raise ModelError(f"{path}: is not a CTranslate2 model, or is damaged; download or convert it again") from None
    except OSError as error:
        raise ModelError(f"{path}: can't be read ({error.strerror or error})") from None
    end = max((a.offset + a.bytes for a in arrays), default=0)
    if end > size:
        raise ModelError(f"{path}: is cut off ({size / 1e6:.0f} MB of at least {end / 1e6:.0f}); download it again")
    weights = Weights(arrays)
    if not any(a.name == "encoder/conv1/weight" and len(a.shape) == 3 for a in arrays):
        raise ModelError(f"{path}: is a CTranslate2 model, but not a Whisper model")
    return weights


def fingerprint(path: Path, store: Path | None = None) -> str:
    """Return the sha256 of a file as hexadecimal text.

    Args:
        path: The file.
        store: Folder that remembers sums by path, size and modification time, so that an unchanged file of some GB
            is hashed once; a folder that can't be written only costs the time.

    Raises:
        ModelError: The file can't be read.
    """
    try:
        found = path.stat()
        place = str(path.resolve())
        key: list[str | int] = [place, found.st_size, found.st_mtime_ns]
        note = None if store is None else store / f"{hashlib.sha256(place.encode('utf-8', 'replace')).hexdigest()}.json"
        known = _remembered(note, key)
        if known:
            return known
        digest = sha256(path)
    except OSError as error:
        raise ModelError(f"{path}: can't be read ({error.strerror or error})") from None
    if note is not None:
        _remember(note, [*key, digest])
    return digest


def sha256(path: Path) -> str:
    """Return the sha256 of a file as hexadecimal text, reading it whole."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_READ):
            digest.update(block)
    return digest.hexdigest()


def _arrays(file: BinaryIO) -> Iterator[Array]:
    (version,) = _take(file, "<I")
    if not 4 <= version <= 64:
        raise ValueError("not a model of a version that is known")
    _text(file)
    _, count = _take(file, "<II")
    if count > _MAX_ARRAYS:
        raise ValueError("not a model")
    for _ in range(count):
        name = _text(file)
        (rank,) = _take(file, "<B")
        shape = _take(file, f"<{rank}I")
        _, size = _take(file, "<BI")
        yield Array(name, shape, file.tell(), size)
        file.seek(size, os.SEEK_CUR)


def _take(file: BinaryIO, layout: str) -> tuple[int, ...]:
    return struct.unpack(layout, file.read(struct.calcsize(layout)))


def _text(file: BinaryIO) -> str:
    (length,) = _take(file, "<H")
    return file.read(length).rstrip(b"\0").decode("ascii")


def _remembered(note: Path | None, key: list[str | int]) -> str | None:
    if note is None:
        return None
    try:
        found = json.loads(note.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return str(found[3]) if isinstance(found, list) and len(found) == 4 and found[:3] == key else None


def _remember(note: Path, value: list[str | int]) -> None:
    beside = note.with_name(f"{note.name}.{os.getpid()}.tmp")
    try:
        note.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(json.dumps(value), encoding="utf-8")
        beside.replace(note)
    except OSError:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
