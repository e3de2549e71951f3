"""What is wrong with a data folder: every broken row by file and line, with its key and the bound that it passes."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from asrlsa.corpora.clips import TOLERANCE_MS
from asrlsa.corpora.media import recording_length
from asrlsa.corpora.settings import PrepareSettings
from asrlsa.corpora.targets import is_coded
from asrlsa.errors import ManifestError, MediaError, UsageError
from asrlsa.manifest import MANIFESTS, SUMMARY_NAME, Row, checked_rows
from asrlsa.types import Milliseconds

LONGEST_MS = 30_000  # what Whisper hears


def check_data(folder: Path) -> Iterator[str]:
    """Yield a line for everything that is wrong with a data folder; memory stays small.

    Raises:
        UsageError: It is no data folder.
    """
    manifests = [folder / f"{name}.jsonl" for name in MANIFESTS if (folder / f"{name}.jsonl").is_file()]
    if not manifests:
        names = ", ".join(f"{name}.jsonl" for name in MANIFESTS)
        raise UsageError(f"{folder}: holds none of {names}; give a folder that asrlsa prepare wrote")
    summary, problem = _summary(folder)
    if problem:
        yield problem
    beyond = PrepareSettings().beyond
    base = sqlite3.connect("")  # a file of its own that vanishes
    base.executescript("CREATE TABLE id (id TEXT PRIMARY KEY, place TEXT); CREATE TABLE who (name TEXT, part TEXT);")
    lengths: tuple[Path | None, Milliseconds | None, str] = (None, None, "")
    try:
        for manifest in manifests:
            for number, found in checked_rows(manifest):
                place = f"{manifest}:{number}"
                if isinstance(found, ManifestError):
                    yield str(found)
                    continue
                if found.audio != lengths[0]:
                    lengths = _length(found)
                for key, what in _problems(found, lengths[1], lengths[2], round(beyond * 1000)):
                    yield f"{place}: {key!r} {what}"
                yield from _twice(base, found, place, manifest.stem)
            yield from _changed(manifest, summary)
        if _split_by(summary) != "file":
            yield from _leaks(base)
    finally:
        base.close()


def _summary(folder: Path) -> tuple[dict[str, object], str]:
    path = folder / SUMMARY_NAME
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}, f"{path}: is missing; run asrlsa prepare again"
    except (OSError, ValueError) as error:
        return {}, f"{path}: can't be read ({error}); run asrlsa prepare again"
    return (found, "") if isinstance(found, dict) else ({}, f"{path}: is not a JSON object; run asrlsa prepare again")


def _split_by(summary: dict[str, object]) -> object:
    settings = summary.get("settings")
    return settings.get("split") if isinstance(settings, dict) else None


def _length(row: Row) -> tuple[Path, Milliseconds | None, str]:
    try:
        return row.audio, recording_length(row.audio, row.end), ""
    except MediaError as error:
        return row.audio, None, str(error)


def _problems(row: Row, length: Milliseconds | None, broken: str, beyond: Milliseconds) -> Iterator[tuple[str, str]]:
    """Yield key and what is wrong with it."""
    if length is None:
        yield "audio", f"names {broken}"
    elif row.end > length + max(beyond, TOLERANCE_MS):
        yield "end", f"is {row.end / 1000:g} s; the recording ends at {length / 1000:g} s"
    if row.duration > LONGEST_MS:
        yield "end", f"makes {row.duration / 1000:g} s; at most {LONGEST_MS / 1000:g} s fit into a window"
    for key, text in (("text", row.text), ("fluent", row.fluent or "")):
        if text and not any(map(str.isalnum, text)):
            yield key, "holds no word; leave it empty for a stretch without speech"
        elif is_coded(text):
            yield key, "holds CHAT codes; a model would learn to write them"


def _twice(base: sqlite3.Connection, row: Row, place: str, part: str) -> Iterator[str]:
    known = base.execute("SELECT place FROM id WHERE id = ?", (row.id,)).fetchone()
    if known is not None:
        yield f"{place}: 'id' is {row.id!r}, which stands at {known[0]} already"
    else:
        base.execute("INSERT INTO id VALUES (?, ?)", (row.id, place))
    if (
        row.speaker
        and not base.execute("SELECT 1 FROM who WHERE name = ? AND part = ?", (row.speaker, part)).fetchone()
    ):
        base.execute("INSERT INTO who VALUES (?, ?)", (row.speaker, part))


def _changed(manifest: Path, summary: dict[str, object]) -> Iterator[str]:
    sums = summary.get("sums")
    noted = sums.get(manifest.name) if isinstance(sums, dict) else None
    if noted is not None and noted != sum_of(manifest):
        yield f"{manifest}: was changed since asrlsa prepare wrote it"


def _leaks(base: sqlite3.Connection) -> Iterator[str]:
    query = "SELECT name, GROUP_CONCAT(part, ', ') FROM who GROUP BY name HAVING COUNT(*) > 1 ORDER BY name"
    for name, parts in base.execute(query):
        yield f"speaker {name!r} stands in {parts}: scores on one would not be those of unknown speakers"


def sum_of(path: Path) -> str:
    """Return the sha256 of a file, hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
