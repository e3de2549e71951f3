"""Folders that Hugging Face ``datasets`` saved with ``save_to_disk``: Arrow streams, read through pyarrow.

A recording that lies inside the data set as bytes is written to a folder of its own first: a manifest points to files.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from asrlsa.corpora.candidates import SPLIT_NAMES, Candidate, SourceFile
from asrlsa.corpora.tables import Finder, candidate_of
from asrlsa.errors import OutputError, UsageError

_COLUMN = ("audio", "file", "path", "speech")


def is_dataset(folder: Path) -> bool:
    """Whether a folder is what ``save_to_disk`` writes for a data set or several splits of one."""
    return (folder / "dataset_dict.json").is_file() or (
        (folder / "state.json").is_file() and (folder / "dataset_info.json").is_file()
    )


def parts_of(folder: Path, root: Path) -> list[SourceFile]:
    """Return the splits of a saved data set as sources.

    Raises:
        UsageError: It is damaged.
    """
    listing = folder / "dataset_dict.json"
    if not listing.is_file():
        return [SourceFile("dataset", folder, root, SPLIT_NAMES.get(folder.name.lower(), ""))]
    try:
        names = json.loads(listing.read_text(encoding="utf-8"))["splits"]
        return [SourceFile("dataset", folder / name, root, SPLIT_NAMES.get(str(name).lower(), "")) for name in names]
    except (OSError, ValueError, KeyError, TypeError):
        raise UsageError(f"{listing}: is not what save_to_disk writes; save the data set again") from None


def read(source: SourceFile, language: str, store: Path) -> Iterator[Candidate]:
    """Yield the utterances of a saved data set, one batch in memory at a time.

    Args:
        source: The folder.
        language: ISO 639-3 code of rows that do not name theirs.
        store: Folder for recordings that lie in the data set as bytes.

    Raises:
        UsageError: pyarrow is not installed, or the folder is damaged.
    """
    pyarrow = _pyarrow(source.path)
    finder = Finder(source.path)
    number = 0
    for shard in _shards(source.path):
        try:
            with pyarrow.memory_map(str(shard)) as file:
                for batch in pyarrow.ipc.open_stream(file):
                    for first in range(0, batch.num_rows, 64):
                        for row in batch.slice(first, 64).to_pylist():
                            number += 1
                            yield _candidate(row, number, source, language, finder, store)
        except (OSError, pyarrow.ArrowInvalid) as error:
            raise UsageError(f"{shard}: can't be read as Arrow ({error}); save the data set again") from None


def _candidate(
    row: Mapping[str, Any], number: int, source: SourceFile, language: str, finder: Finder, store: Path
) -> Candidate:
    sound = next((row[name] for name in _COLUMN if isinstance(row.get(name), Mapping)), None)
    audio = ""
    if sound is not None and isinstance(sound.get("bytes"), bytes) and sound["bytes"]:
        audio = str(_written(sound["bytes"], str(sound.get("path") or ""), store))
    return candidate_of(row, number, source, language, finder, audio)


def _written(data: bytes, name: str, store: Path) -> Path:
    """Write a recording under the sum of its bytes, whole or not at all; one that is there is left."""
    suffix = Path(name).suffix.lower() or (".flac" if data[:4] == b"fLaC" else ".wav")
    digest = hashlib.sha256(data).hexdigest()
    path = store / digest[:2] / f"{digest[:24]}{suffix}"
    if not path.exists():
        beside = path.with_suffix(f"{suffix}.tmp")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            beside.write_bytes(data)
            beside.replace(path)
        except OSError as error:
            raise OutputError(
                f"{path}: can't be written ({error.strerror or error}); write elsewhere with -o"
            ) from None
    return path


def _shards(folder: Path) -> list[Path]:
    try:
        state = json.loads((folder / "state.json").read_text(encoding="utf-8"))
        names = [part["filename"] for part in state["_data_files"]]
    except (OSError, ValueError, KeyError, TypeError):
        raise UsageError(f"{folder / 'state.json'}: is not what save_to_disk writes; save the data set again") from None
    if state.get("_indices_files"):
        raise UsageError(f"{folder}: holds a selection by indices; call flatten_indices() and save it again")
    return [folder / name for name in names]


def _pyarrow(folder: Path) -> Any:
    try:
        import_module("pyarrow.ipc")
        return import_module("pyarrow")
    except ImportError:
        raise UsageError(f"{folder}: a saved Hugging Face data set needs pyarrow: pip install pyarrow") from None
