"""Manifests: what `asrlsa prepare` writes and `asrlsa finetune` reads, one JSON object a line, one utterance each.

A data folder holds ``train.jsonl``, ``dev.jsonl``, ``test.jsonl`` and ``prepare.json``. The keys of a row are those of
`Row`, with times in seconds, so that `asrlsa evaluate` reads a manifest too; keys that are not known are ignored.
The rows of one recording stand together, by their start.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from asrlsa.errors import ManifestError
from asrlsa.output import atomic_writer
from asrlsa.types import Milliseconds

__all__ = [
    "MANIFESTS",
    "SUMMARY_NAME",
    "ManifestError",
    "Row",
    "checked_rows",
    "read_rows",
    "row_to_json",
    "write_rows",
]

MANIFESTS: Final = ("train", "dev", "test")
SUMMARY_NAME: Final = "prepare.json"

_TEXTS = ("text", "text_verbatim")  # the second is what manifests of recordings for evaluation have
_WORDS = ("speaker", "role", "age", "sex", "group", "source")
_LANGUAGE = re.compile(r"[a-z]{3}")
_LONGEST = 24 * 3600  # s; a time beyond a day is most likely given in ms


@dataclass(frozen=True, slots=True)
class Row:
    """One utterance, or one stretch of noise, with where it is heard.

    Attributes:
        id: Name of the row, unique in its data folder.
        audio: The recording or clip; absolute once read.
        start: Begin in the recording in ms.
        end: End in the recording in ms, after ``start``.
        text: What is to be written; empty for a stretch without speech.
        speaker: Who speaks, unique in the corpus; empty where it is not known.
        role: CHAT role, such as ``Target_Child``.
        age: Age as CHAT writes it, such as ``4;06.``.
        sex: ``male``, ``female`` or empty.
        group: Group of ``@ID``, such as ``TD`` or ``SLI``.
        language: ISO 639-3 code.
        source: File that the text comes from.
        line: Line of that file, from 1, or None.
        fluent: The same utterance without its disfluencies, where both texts were asked for.
        joins: Nothing that is not transcribed is heard between the row before it, of the same recording, and this one:
            the two may stand in one window with the sound between them. False where an utterance between them was
            left out (``xxx``, another speaker, no times) or nobody knows; a window must cut that sound out.
    """

    id: str
    audio: Path
    start: Milliseconds
    end: Milliseconds
    text: str
    speaker: str = ""
    role: str = ""
    age: str = ""
    sex: str = ""
    group: str = ""
    language: str = "eng"
    source: str = ""
    line: int | None = None
    fluent: str | None = None
    joins: bool = False

    @property
    def duration(self) -> Milliseconds:
        """Length in ms."""
        return self.end - self.start


def read_rows(path: str | os.PathLike[str]) -> Iterator[Row]:
    """Read a manifest lazily: one row is in memory at a time.

    ``text_verbatim`` is taken where there is no ``text``; a row without ``id`` gets one from its recording and times.

    Args:
        path: The manifest. Relative ``audio`` paths are taken from its folder.

    Yields:
        The rows in order, with absolute ``audio``; that the recordings exist is not looked at.

    Raises:
        ManifestError: The file can't be read, or a row is wrong; the message names file, line, key and bound.
    """
    for _, found in checked_rows(path):
        if isinstance(found, ManifestError):
            raise found
        yield found


def checked_rows(path: str | os.PathLike[str]) -> Iterator[tuple[int, Row | ManifestError]]:
    """Yield line number and row of every line; in the place of a row that is wrong, what is wrong with it.

    Raises:
        ManifestError: The file can't be read.
    """
    manifest = Path(path)
    folder = _real(manifest).parent
    try:
        with manifest.open("rb") as file:
            for number, line in enumerate(file, start=1):
                try:
                    text = _decoded(line, manifest, number)
                    if text:
                        yield number, _row(text, manifest, number, folder)
                except ManifestError as error:
                    yield number, error
    except OSError as error:
        raise ManifestError(f"can't be read ({error.strerror or error})", source=str(path)) from None


def write_rows(path: str | os.PathLike[str], rows: Iterable[Row]) -> int:
    """Write a manifest, one row at a time, so that ``path`` holds either the old file or the whole new one.

    A recording in the manifest's folder, or anywhere in the folder that holds it, is written relative to it; so the two
    may be moved together. Any other is written as an absolute path.

    Returns:
        The number of rows.

    Raises:
        OutputError: It can't be written; the old file is as it was.
    """
    manifest = Path(path)
    folder = _real(manifest).parent
    folders: dict[Path, Path] = {}
    count = 0
    with atomic_writer(manifest) as file:
        for row in rows:
            file.write(row_to_json(row, _written(row.audio, folder, folders)))
            file.write("\n")
            count += 1
    return count


def row_to_json(row: Row, audio: str) -> str:
    """Return a row as one line of JSON; empty values are left out, times are seconds."""
    values: dict[str, Any] = {"id": row.id, "audio": audio, "start": row.start / 1000, "end": row.end / 1000}
    values["text"] = row.text
    if row.fluent is not None:
        values["fluent"] = row.fluent
    for key in _WORDS[:-1]:
        if value := getattr(row, key):
            values[key] = value
    values["language"] = row.language
    if row.source:
        values["source"] = row.source
    if row.line is not None:
        values["line"] = row.line
    if row.joins:
        values["joins"] = True
    return json.dumps(values, ensure_ascii=False)


def _real(path: Path) -> Path:
    """Return an absolute path with the links of its folder followed, so that ``..`` means the same to everyone."""
    return Path(os.path.realpath(path.parent)) / path.name


def _written(audio: Path, folder: Path, folders: dict[Path, Path]) -> str:
    """Return how a manifest in ``folder`` names ``audio``."""
    if audio.parent not in folders:
        folders[audio.parent] = Path(os.path.realpath(audio.parent))
    whole = folders[audio.parent] / audio.name
    if whole.is_relative_to(folder) or (folder.parent != folder.parent.parent and whole.is_relative_to(folder.parent)):
        return Path(os.path.relpath(whole, folder)).as_posix()
    return whole.as_posix()


def _decoded(line: bytes, manifest: Path, number: int) -> str:
    try:
        return line.decode("utf-8-sig" if number == 1 else "utf-8").strip()
    except UnicodeDecodeError:
        raise ManifestError("is not UTF-8 text; save it as UTF-8", source=str(manifest), line=number) from None


class _Values:
    """The values of one row, each checked as it is taken."""

    def __init__(self, values: Mapping[str, Any], manifest: Path, number: int) -> None:
        self.values, self.manifest, self.number = values, manifest, number

    def error(self, message: str, key: str | None = None) -> ManifestError:
        """Return an error that names the place."""
        return ManifestError(message, source=str(self.manifest), line=self.number, key=key)

    def text(self, key: str, *, needed: bool = False) -> str:
        """Return a text without line breaks; a number is taken as one."""
        value = self.values.get(key)
        if isinstance(value, int | float) and not isinstance(value, bool):
            value = f"{value:g}"
        if value is None:
            value = ""
        if not isinstance(value, str):
            raise self.error(f"must be a text, not {json.dumps(value)[:40]}", key)
        if needed and not value:
            raise self.error("is missing", key)
        return value

    def time(self, key: str) -> Milliseconds:
        """Return a time in ms."""
        value = self.values.get(key)
        if value is None:
            raise self.error("is missing; give the time in seconds", key)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise self.error(f"must be a number of seconds, not {json.dumps(value)[:40]}", key)
        if value < 0:
            raise self.error(f"is {value:g} s; it must be 0 or more", key)
        if value > _LONGEST:
            raise self.error(f"is {value:g} s, more than a day; times are in seconds", key)
        return round(value * 1000)


def _row(text: str, manifest: Path, number: int, folder: Path) -> Row:
    """Read one line."""
    try:
        found = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        reason = getattr(error, "msg", "too deep")
        raise ManifestError(f"is not JSON ({reason})", source=str(manifest), line=number) from None
    if not isinstance(found, dict):
        raise ManifestError("is not a JSON object", source=str(manifest), line=number)
    row = _Values(found, manifest, number)
    audio = folder / Path(row.text("audio", needed=True))
    start, end = row.time("start"), row.time("end")
    if end <= start:
        raise row.error(f"is {end / 1000:g} s; it must be after the start at {start / 1000:g} s", "end")
    key = next((name for name in _TEXTS if found.get(name) is not None), None)
    if key is None:
        raise row.error('is missing; a stretch without speech has the text ""', "text")
    language = row.text("language") or "eng"
    if not _LANGUAGE.fullmatch(language):
        raise row.error(f"is {language!r}; give the three letters of ISO 639-3, such as eng", "language")
    line = found.get("line")
    if line is not None and (isinstance(line, bool) or not isinstance(line, int) or line < 1):
        raise row.error("must be a whole number from 1 on", "line")
    joins = found.get("joins", False)
    if not isinstance(joins, bool):
        raise row.error("must be true or false", "joins")
    age = found.get("age")
    words = {name: row.text(name) for name in _WORDS}
    if isinstance(age, int) and not isinstance(age, bool):
        words["age"] = f"{age};"
    return Row(
        id=row.text("id") or f"{audio.stem}-{start}-{end}",
        audio=Path(os.path.normpath(audio)),
        start=start,
        end=end,
        text=row.text(key),
        language=language,
        line=line,
        fluent=row.text("fluent") if found.get("fluent") is not None else None,
        joins=joins,
        **words,
    )
