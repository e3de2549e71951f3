"""The recordings of a benchmark and what was said in them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from glob import escape
from pathlib import Path
from typing import Any

from asrlsa.errors import UsageError
from asrlsa.recordings import AUDIO_SUFFIXES, VIDEO_SUFFIXES
from asrlsa.scoring.sources import find_files, read_manifest


@dataclass(frozen=True, slots=True)
class BenchData:
    """What is transcribed and scored.

    Attributes:
        reference: Folder or manifest of the references.
        recordings: The recordings, in order.
        where: Fields that a line of a manifest must have.
    """

    reference: Path
    recordings: tuple[Path, ...]
    where: Mapping[str, str]

    def identity(self) -> list[Any]:
        """Return what tells these recordings from others: name, size and time of each."""
        found: list[Any] = []
        for path in self.recordings:
            state = path.stat()
            found.append([path.name, state.st_size, state.st_mtime_ns])
        return [*found, sorted(map(list, self.where.items()))]


def read_data(path: Path, where: Mapping[str, str] | None = None) -> BenchData:
    """Find the recordings of a folder or manifest that has references.

    Args:
        path: A manifest (JSONL: ``audio``, ``text_verbatim`` or ``text``), a folder with manifests, or a folder with
            CHAT or text files that have their recordings beside them.
        where: Keep only the lines of a manifest whose fields have these values.

    Raises:
        UsageError: There is no reference, or a recording is missing.
        SourceError: A manifest can't be read.
    """
    if not path.exists():
        raise UsageError(f"{path} does not exist")
    chosen = dict(where or {})
    references = [path] if path.is_file() else list(find_files(path).values())
    if all(file.suffix.lower() == ".jsonl" for file in references):
        recordings = [found for file in references for found in _of_manifest(file, chosen)]
    elif chosen:
        raise UsageError(f"--where chooses lines of a JSONL manifest, and {path} holds none")
    else:
        recordings = [_beside(file) for file in references]
    if not recordings:
        raise UsageError(f"{path}: no recording" + (f" with {chosen}" if chosen else ""))
    return BenchData(path, tuple(recordings), chosen)


def _of_manifest(manifest: Path, where: Mapping[str, str]) -> list[Path]:
    read_manifest(manifest, where)  # says what is wrong with it, line by line
    found: dict[Path, None] = {}
    for line in manifest.read_text(encoding="utf-8-sig").split("\n"):
        row = json.loads(line) if line.strip() else None
        if row is None or any(str(row.get(key)) != value for key, value in where.items()):
            continue
        audio = manifest.parent / row["audio"]
        if not audio.is_file():
            raise UsageError(f"{manifest}: its recording {row['audio']} is not there")
        found[audio] = None
    return list(found)


def _beside(reference: Path) -> Path:
    stem = reference.with_suffix("")
    beside = sorted(
        p
        for p in reference.parent.glob(f"{escape(stem.name)}.*")
        if p.suffix.lower() in (*AUDIO_SUFFIXES, *VIDEO_SUFFIXES)
    )
    if not beside:
        raise UsageError(f"{reference}: its recording is not beside it; give a folder that holds both, or a manifest")
    return beside[0]
