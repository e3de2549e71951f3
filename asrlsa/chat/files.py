"""CHAT files on a disk."""

from __future__ import annotations

from collections.abc import Iterable
from os import PathLike
from pathlib import Path

from asrlsa.errors import UsageError


def chat_files(paths: Iterable[str | PathLike[str]]) -> list[tuple[Path, Path]]:
    """Return every CHAT file of ``paths`` with the folder it was found through, in order, each once.

    A file stands for itself, whatever it is called; a folder for every ``.cha`` inside it at any depth, hidden files
    and folders left out.

    Raises:
        UsageError: A path does not exist, or a folder holds no CHAT file.
    """
    found: dict[Path, Path] = {}
    for given in map(Path, paths):
        if given.is_file():
            found.setdefault(given, given.parent)
        elif given.is_dir():
            inside = sorted(path for path in given.rglob("*.cha") if path.is_file() and not _hidden(path, given))
            if not inside:
                raise UsageError(f"{given}: there is no .cha file in this folder")
            for path in inside:
                found.setdefault(path, given)
        else:
            raise UsageError(f"{given}: no such file or folder")
    return list(found.items())


def _hidden(path: Path, folder: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(folder).parts)
