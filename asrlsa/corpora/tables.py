"""Tables of utterances: TSV (Common Voice), CSV with ``|`` (LJSpeech) or commas, JSONL (NeMo, and asrlsa's own)."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from asrlsa.corpora.ages import written as written_age
from asrlsa.corpora.candidates import SPLIT_NAMES, Candidate, SourceFile
from asrlsa.corpora.targets import coded_target, plain_target
from asrlsa.corpora.texts import TextError
from asrlsa.language.codes import iso639_3
from asrlsa.types import Milliseconds

# Names that tables have for a value, the first that is there is taken.
_AUDIO: Final = ("audio_filepath", "audio", "file_name", "path", "audio_path", "wav", "file", "filename")
_TEXT: Final = ("text_verbatim", "text", "sentence", "transcript", "transcription", "normalized_text")
_CODED: Final = ("chat",)
_SPEAKER: Final = ("speaker", "speaker_id", "client_id", "spk")
_LANGUAGE: Final = ("language", "lang", "locale")
_SEX: Final = ("sex", "gender")
_START: Final = ("start", "offset", "begin")
_SEXES: Final = {"male": "male", "m": "male", "female": "female", "f": "female"}
_PLACES: Final = ("", "clips", "wavs", "wav", "audio")
_SUFFIXES: Final = ("", ".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a")
_LONGEST_LINE: Final = 10_000_000  # characters; a longer line is no row of a table


def read(source: SourceFile, language: str) -> Iterator[Candidate]:
    """Yield the utterances of a table, one row at a time.

    Columns are known by their usual names; others are ignored. A row without times is a whole recording. A column
    ``chat`` (a CHAT main tier) is taken before any other text.

    Args:
        source: The table.
        language: ISO 639-3 code of rows that do not name theirs.

    Raises:
        TextError: It can't be read, or has no column of recordings or texts; the message names file and line.
    """
    finder = Finder(source.path.parent)
    for line, row in rows_of(source.path):
        yield candidate_of(row, line, source, language, finder)


def rows_of(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Yield line number and values of the rows of a table.

    Raises:
        TextError: It can't be read.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            if path.suffix.lower() in (".jsonl", ".json"):
                yield from _json_rows(file, path)
            else:
                yield from _csv_rows(file, path)
    except UnicodeDecodeError as error:
        raise TextError(f"{path}: is not UTF-8 text ({error.reason}); save it as UTF-8") from None
    except OSError as error:
        raise TextError(f"{path}: can't be read ({error.strerror or error})") from None


def is_table(path: Path) -> bool:
    """Whether the first row of a file has a recording and a text."""
    try:
        first = next(rows_of(path), None)
    except TextError:
        return False
    return first is not None and _first(first[1], _AUDIO) is not None and any(k in first[1] for k in (*_CODED, *_TEXT))


def _json_rows(file: io.TextIOBase, path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, line in enumerate(iter(lambda: file.readline(_LONGEST_LINE), ""), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (json.JSONDecodeError, RecursionError) as error:
            reason = getattr(error, "msg", "too deep")
            raise TextError(f"{path}:{number}: is not JSON ({reason}); a manifest has one JSON object a line") from None
        if not isinstance(row, dict):
            raise TextError(f"{path}:{number}: is not a JSON object; a manifest has one JSON object a line")
        yield number, row


def _csv_rows(file: io.TextIOBase, path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    first = file.readline(_LONGEST_LINE)
    file.seek(0)
    separator = "\t" if path.suffix.lower() == ".tsv" else max("|\t,;", key=first.count)
    # Common Voice and LJSpeech write quotes as part of the sentence; a table of commas needs them around a comma.
    csv.field_size_limit(_LONGEST_LINE)
    reader = csv.reader(file, delimiter=separator, quoting=csv.QUOTE_MINIMAL if separator in ",;" else csv.QUOTE_NONE)
    try:
        head = [cell.strip().lower() for cell in next(reader, [])]
        if any(name in head for name in _AUDIO):
            names: Sequence[str] = head
        elif separator == "|" and len(head) in (2, 3):
            names = (
                "audio",
                "sentence",
                "text",
            )  # LJSpeech: the third column has numbers written out, as they were read
            yield 1, dict(zip(names, (cell for cell in first.rstrip("\r\n").split("|")), strict=False))
        else:
            raise TextError(f"{path}:1: has no column of recordings ({', '.join(_AUDIO)})")
        for cells in reader:
            if cells:
                yield reader.line_num, dict(zip(names, cells, strict=False))
    except csv.Error as error:
        raise TextError(f"{path}:{reader.line_num}: is not a table ({error})") from None


class Finder:
    """Finds the recordings that a table names, where such tables keep them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.places = [place for place in _PLACES if (folder / place).is_dir()]
        self.last = ("", "")

    def find(self, name: str) -> Path | None:
        """Return the recording, or None; the place of the last one is tried first."""
        given = Path(name).expanduser()
        tries = [(p, s) for p in self.places for s in _SUFFIXES if not (p == "" and s == "" and not given.suffix)]
        for place, suffix in (self.last, *tries):
            path = self.folder / place / f"{name}{suffix}"
            if path.is_file():
                self.last = (place, suffix)
                return path
        return None


def candidate_of(
    row: Mapping[str, Any], line: int | None, source: SourceFile, language: str, finder: Finder | None, audio: str = ""
) -> Candidate:
    """Return the utterance of one row; what is wrong with it stands in its ``problem``."""
    problem = ""
    name = _first(row, _AUDIO)
    if isinstance(name, Mapping):
        name = name.get("path")
    if not audio:
        if not isinstance(name, str) or not name:
            problem = "media missing: the row names no recording"
        else:
            path = finder.find(name) if finder is not None else None
            audio = str(path) if path is not None else ""
            problem = problem if path is not None else f"media missing: there is no {name!r}"
    start, end, wrong = _times(row)
    tongue, unknown = _tongue(row, language)
    coded = _first(row, _CODED)
    plain = _first(row, _TEXT)
    if coded is None and plain is None:
        problem = problem or "no text: the row has no text"
    target = coded_target(str(coded)) if coded is not None else plain_target(str(plain or ""), tongue)
    speaker = str(_first(row, _SPEAKER) or "")
    code = str(row.get("participant") or speaker)
    return Candidate(
        audio=audio,
        start=start,
        end=end,
        verbatim=target.verbatim,
        fluent=target.fluent,
        sentence=target.sentence,
        fluent_sentence=target.fluent_sentence,
        words=target.words,
        code=code,
        speaker=speaker,
        role=str(row.get("role") or ""),
        age=written_age(row.get("age")),
        sex=_SEXES.get(str(_first(row, _SEX) or "").lower().partition("_")[0], ""),
        group=str(row.get("group") or ""),
        language=tongue,
        source=str(source.path),
        line=line,
        name=_short(audio, source),
        masks=target.masks,
        events=target.events,
        split=SPLIT_NAMES.get(str(row.get("split") or "").lower(), source.split),
        problem=problem or wrong or unknown,
    )


def _first(row: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((row[name] for name in names if row.get(name) is not None), None)


def _times(row: Mapping[str, Any]) -> tuple[Milliseconds | None, Milliseconds | None, str]:
    """Return begin, end and what is wrong; a length without an end is one from the begin."""
    values = {}
    for key, names in (("start", _START), ("end", ("end",)), ("duration", ("duration",))):
        value = _first(row, names)
        if value is None or value == "":
            continue
        try:
            number = float(value)
        except (TypeError, ValueError):
            return None, None, f"no times: {key} is not a number of seconds"
        if not math.isfinite(number) or number < 0 or number > 86_400:
            return None, None, f"no times: {key} is {number:g} s"
        values[key] = round(number * 1000)
    start, end = values.get("start", 0), values.get("end")
    # The length of a whole recording is measured, not believed: tables round it.
    if end is None and "duration" in values and "start" in values:
        end = start + values["duration"]
    return start, end, ""


def _tongue(row: Mapping[str, Any], language: str) -> tuple[str, str]:
    value = _first(row, _LANGUAGE)
    if not value:
        return language, ""
    bare = str(value).lower().replace("_", "-").partition("-")[0]
    if len(bare) == 3 and bare.isalpha():
        return bare, ""
    try:
        return iso639_3(bare), ""
    except KeyError:
        return language, f"language not wanted: {value!r} is not a language of Whisper"


def _short(audio: str, source: SourceFile) -> str:
    """Return a short name of a recording: its path below the corpus without suffix."""
    path = Path(audio)
    short = path.relative_to(source.root) if path.is_relative_to(source.root) else Path(path.name)
    return short.with_suffix("").as_posix() if audio else ""
