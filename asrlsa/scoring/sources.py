"""Read what is scored: CHAT, plain text, SRT and WebVTT, and JSONL manifests, as samples that are all alike.

Only CHAT has disfluency codes. In the other formats a filled pause is told by its spelling and a fragment by its final
hyphen (``b-``); nothing else is guessed.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from asrlsa.errors import AsrlsaError, UsageError
from asrlsa.scoring.align import levenshtein, numbered
from asrlsa.scoring.normalise import normalise
from asrlsa.scoring.samples import Mask, PlacedEvent, Said, Sample, ScoredWord
from asrlsa.scoring.spellings import filler_class
from asrlsa.types import Milliseconds, Transcript, Utterance, Word

# Formats that can be scored; of a folder the first of these that it holds is read.
SUFFIXES = (".cha", ".jsonl", ".srt", ".vtt", ".txt")

_TEXT_KEYS = ("text_verbatim", "text", "transcript", "sentence")
_MASKS = frozenset(("xxx", "yyy", "www", "<unk>"))
# Montreal Forced Aligner's bracketed words: broken off, hesitated.
_MFA = re.compile(r"<(cutoff|hes)-([^<>]+)>")
_BRACKETED = re.compile(r"\[[^\[\]]*\]|<[^<>]*>")
_SPEAKER = re.compile(r"^\s*(?:<v ([^<>]+)>|[*\[]?([A-Z][A-Z0-9_'-]{0,11})\]?:(?=\s|$))\s*")
_CUE = re.compile(r"(?:(\d+):)?(\d+):(\d+)[,.](\d{1,3})\s*-->\s*(?:(\d+):)?(\d+):(\d+)[,.](\d{1,3})")
_PUNCTUATION = ("unicode", "case", "punctuation")


class SourceError(AsrlsaError):
    """A file can't be read for scoring; the message names file and line."""


class _Builder:
    """Collects utterances into a sample."""

    def __init__(self) -> None:
        self.words: list[ScoredWord] = []
        self.masks: list[Mask] = []
        self.events: list[PlacedEvent] = []
        self.utterances: list[Said] = []

    def chat(self, utterance: Utterance) -> None:
        """Add an utterance of a CHAT file with its codes."""
        from asrlsa.disfluency.reading import read_main_tier

        reading = read_main_tier(utterance.text)
        base, number = len(self.words), len(self.utterances)
        times = _word_times([(w.verbatim, w.kind) for w in reading.words], utterance.words)
        for word, (start, end) in zip(reading.words, times, strict=True):
            self.words.append(
                ScoredWord(
                    word.verbatim, word.clean, word.kind, word.raw, utterance.speaker, number, start=start, end=end
                )
            )
        self.events += [
            PlacedEvent(e.kind, base + e.start, base + e.end, e.units, e.duration, number) for e in reading.events
        ]
        self.masks += [Mask(base + mask.start, utterance.speaker, number) for mask in reading.masks]
        self._close(utterance.speaker, utterance.text, base, (utterance.start, utterance.end), utterance.line)

    def plain(
        self,
        text: str,
        speaker: str,
        language: str,
        span: tuple[Milliseconds | None, Milliseconds | None] = (None, None),
        line: int | None = None,
    ) -> None:
        """Add an utterance of a format without codes."""
        base, number = len(self.words), len(self.utterances)
        for token in _BRACKETED.sub(_bracketed, text).split():
            bare = token.strip('.,;:!?"“”…')
            if bare.lower() in _MASKS:
                self.masks.append(Mask(len(self.words), speaker, number))
                continue
            forms = normalise(bare, _PUNCTUATION, language)
            if not forms:
                continue
            kind = "word"
            if len(forms) == 1 and filler_class(forms[0], language):
                kind = "filled_pause"
            elif bare.endswith("-"):
                kind = "fragment"
            if kind != "word":
                here = len(self.words)
                self.events.append(PlacedEvent(kind, here, here + 1, utterance=number))
            self.words.append(ScoredWord(bare, bare if kind == "word" else None, kind, token, speaker, number))
        self._close(speaker, text.strip(), base, span, line)

    def _close(
        self,
        speaker: str,
        text: str,
        base: int,
        span: tuple[Milliseconds | None, Milliseconds | None],
        line: int | None,
    ) -> None:
        masked = bool(self.masks) and self.masks[-1].utterance == len(self.utterances)
        self.utterances.append(Said(speaker, text, base, len(self.words), span[0], span[1], masked, line))

    def sample(self, name: str, **values: Any) -> Sample:
        """Return what was collected."""
        return Sample(
            name,
            tuple(self.words),
            tuple(self.masks),
            tuple(self.events),
            tuple(self.utterances),
            **values,
        )


def _bracketed(match: re.Match[str]) -> str:
    """Read a bracketed word of a plain text: MFA's, a mask, or a note such as ``[laughter]``, which is dropped."""
    mfa = _MFA.fullmatch(match[0])
    if mfa is not None:
        return mfa[2] + "-" if mfa[1] == "cutoff" else mfa[2]
    return match[0] if match[0] in _MASKS else " "


def _word_times(
    words: list[tuple[str, str]], timed: tuple[Word, ...]
) -> list[tuple[Milliseconds | None, Milliseconds | None]]:
    """Give the words of a main tier the times of its ``%wor`` tier, which leaves fragments and nonwords out."""
    times: list[tuple[Milliseconds | None, Milliseconds | None]] = [(None, None)] * len(words)
    if not any(word.start is not None for word in timed):
        return times
    ours = [_bare(text) for text, _ in words]
    theirs = [_bare(word.text) for word in timed]
    for tag, i1, i2, j1, j2 in levenshtein(*numbered(ours, theirs)):
        if tag in ("equal", "substitute"):
            times[i1:i2] = [(word.start, word.end) for word in timed[j1:j2]]
    return times


def _bare(text: str) -> str:
    return re.sub(r"[^\w']", "", text).lower()


def from_transcript(transcript: Transcript, name: str) -> Sample:
    """Turn a transcript into a sample."""
    builder = _Builder()
    for utterance in transcript.utterances:
        builder.chat(utterance)
    media = next(transcript.values("Media"), "").split(",")[0].strip().strip('"')
    return builder.sample(
        name,
        language=(transcript.languages or ("eng",))[0],
        coded=True,
        source=transcript.source or "",
        media=media,
        participants={p.code: p.role for p in transcript.participants},
        ended=any(header.name == "End" for header in transcript.headers),
    )


def read_chat_sample(path: Path, name: str) -> Sample:
    """Read one CHAT file.

    Raises:
        ChatError: It is not CHAT.
    """
    from asrlsa.chat.parser import read_chat

    return from_transcript(read_chat(path), name)


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise SourceError(f"{path}: not UTF-8 text (byte {error.start}); save it as UTF-8 and try again") from None


def _speaker(text: str) -> tuple[str, str]:
    """Split ``CHI: text``, ``[CHI]: text`` or ``<v CHI>text`` into speaker and text; "" where nobody is named."""
    match = _SPEAKER.match(text)
    return ((match[1] or match[2]).strip(), text[match.end() :]) if match else ("", text)


def read_plain_sample(path: Path, name: str, language: str = "eng") -> Sample:
    """Read a text file, one utterance a line, ``CHI: text`` where speakers are named.

    Raises:
        SourceError: It is not UTF-8.
    """
    builder = _Builder()
    for number, line in enumerate(_read_text(path).splitlines(), start=1):
        if line.strip():
            speaker, text = _speaker(line)
            builder.plain(text, speaker, language, line=number)
    return builder.sample(name, language=language, coded=False, source=str(path))


def read_subtitle_sample(path: Path, name: str, language: str = "eng") -> Sample:
    """Read SRT or WebVTT.

    Raises:
        SourceError: It is not UTF-8, or no cue has a time.
    """
    builder = _Builder()
    text = _read_text(path)
    blocks = re.split(r"\n\s*\n", text.replace("\r\n", "\n"))
    for block in blocks:
        lines = block.strip().splitlines()
        at = next((k for k, line in enumerate(lines) if "-->" in line), None)
        cue = _CUE.search(lines[at]) if at is not None else None
        if at is None:
            continue
        if cue is None:
            raise SourceError(f"{path}: this is not a time span: {lines[at]!r}")
        speaker, said = _speaker(" ".join(lines[at + 1 :]))
        times = [int((part or "0").ljust(3, "0") if k % 4 == 3 else part or 0) for k, part in enumerate(cue.groups())]
        begin, end = (((h * 60 + m) * 60 + s) * 1000 + ms for h, m, s, ms in (times[:4], times[4:]))
        builder.plain(re.sub(r"</?[a-z][^<>]*>|\{[^{}]*\}", "", said), speaker, language, (begin, end))
    if text.strip() and not builder.utterances and "WEBVTT" not in text:
        raise SourceError(f"{path}: no subtitle found; SRT has a line such as 00:00:01,000 --> 00:00:02,000")
    return builder.sample(name, language=language, coded=False, source=str(path))


@dataclass(frozen=True, slots=True)
class Recording:
    """The utterances of one recording in a manifest, not yet read as words.

    Attributes:
        name: Stem of the audio; its path where another recording has that stem.
        path: The manifest.
        rows: ``(start in s, line, fields)`` in order.
    """

    name: str
    path: Path
    rows: tuple[tuple[float, int, dict[str, Any]], ...]

    @property
    def language(self) -> str:
        """ISO 639-3 code that the rows give, or an empty string."""
        return next((v for _, _, row in self.rows if isinstance(v := row.get("language"), str)), "")

    def read(self, language: str) -> Sample:
        """Read it; ``language`` is for rows that name none."""
        builder = _Builder()
        spoken = self.language or language
        for _, number, row in self.rows:
            text = next(row[key] for key in _TEXT_KEYS if isinstance(row.get(key), str))
            times = [round(1000 * row[key]) if row.get(key) is not None else None for key in ("start", "end")]
            speaker = row.get("participant") or row.get("speaker") or ""
            builder.plain(text, str(speaker), spoken, (times[0], times[1]), number)
        media = Path(self.rows[0][2]["audio"]).name
        return builder.sample(self.name, language=spoken, coded=False, source=str(self.path), media=media)


def read_manifest(path: Path, where: Mapping[str, str] | None = None) -> dict[str, Recording]:
    """Read a JSONL manifest: one utterance a line, ``audio``, ``text_verbatim`` or ``text``, times in seconds.

    Args:
        path: The manifest.
        where: Keep only the lines whose fields have these values, such as ``{"split": "test"}``.

    Returns:
        Stem of the audio → its utterances in order of their start. Where recordings in several folders have the same
        stem, every name is the path below the folder that all recordings share, without suffix.

    Raises:
        SourceError: A line is not JSON, or lacks audio or text, or a time is no number; the message names the line.
    """
    found: dict[PurePosixPath, list[tuple[float, int, dict[str, Any]]]] = {}
    for number, line in enumerate(_read_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise SourceError(f"{path}:{number}: not JSON ({error.msg})") from None
        if not isinstance(row, dict) or not isinstance(row.get("audio"), str):
            raise SourceError(f"{path}:{number}: an utterance needs a field 'audio'")
        if where and any(str(row.get(key)) != value for key, value in where.items()):
            continue
        if not any(isinstance(row.get(key), str) for key in _TEXT_KEYS):
            raise SourceError(f"{path}:{number}: an utterance needs a text, in one of {', '.join(_TEXT_KEYS)}")
        for key in ("start", "end"):
            _check_time(row.get(key), key, f"{path}:{number}")
        audio = PurePosixPath(row["audio"].replace("\\", "/")).with_suffix("")
        found.setdefault(audio, []).append((float(row.get("start") or 0), number, row))
    names = _names(list(found))
    return {
        names[audio]: Recording(names[audio], path, tuple(sorted(rows, key=lambda row: row[:2])))
        for audio, rows in found.items()
    }


def _check_time(value: object, key: str, where: str) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if value is not None and not (number and math.isfinite(value) and value >= 0):  # type: ignore[arg-type,operator]
        raise SourceError(f"{where}: {key!r} is {value!r}; give seconds, such as 1.25")


def _names(paths: list[PurePosixPath]) -> dict[PurePosixPath, str]:
    """Name recordings by stem, or, where a stem repeats, all by their path below the folder that they share."""
    if len({path.name for path in paths}) == len(paths):
        return {path: path.name for path in paths}
    parents = [path.parent.parts for path in paths]
    shared = 0
    while all(len(parts) > shared and parts[shared] == parents[0][shared] for parts in parents):
        shared += 1
    return {path: PurePosixPath(*path.parts[shared:]).as_posix() for path in paths}


def read_sample(path: Path, name: str, language: str = "eng") -> Sample:
    """Read one file by its suffix; not a manifest, which holds many.

    Raises:
        UsageError: The suffix is none of :data:`SUFFIXES`.
        ChatError: A CHAT file can't be read.
        SourceError: Another file can't be read.
    """
    suffix = path.suffix.lower()
    if suffix == ".cha":
        return read_chat_sample(path, name)
    if suffix in (".srt", ".vtt"):
        return read_subtitle_sample(path, name, language)
    if suffix == ".txt":
        return read_plain_sample(path, name, language)
    raise UsageError(f"{path}: only {', '.join(SUFFIXES)} can be scored")


def find_files(folder: Path) -> dict[str, Path]:
    """Find the files of a folder that can be scored, all of one format: the first of :data:`SUFFIXES` that occurs.

    Returns:
        Path below the folder, without suffix → file, sorted.

    Raises:
        UsageError: The folder has none.
    """
    found: dict[str, list[Path]] = {}
    for path in _visible(folder):
        found.setdefault(path.suffix.lower(), []).append(path)
    for suffix in SUFFIXES:
        if suffix in found:
            return _by_name({p.relative_to(folder).with_suffix("").as_posix(): p for p in sorted(found[suffix])})
    raise UsageError(f"{folder} holds no file to score ({', '.join(SUFFIXES)})")


def _by_name(files: dict[str, Path]) -> dict[str, Path]:
    """Name ``visit.verbatim.txt``, as ``asrlsa convert`` calls it, after the recording where that names one file."""
    short = [name.removesuffix(".verbatim").removesuffix(".clean") for name in files]
    return dict(zip(short, files.values(), strict=True)) if len(set(short)) == len(files) else files


def _visible(folder: Path) -> Iterable[Path]:
    return (
        path
        for path in folder.rglob("*")
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
