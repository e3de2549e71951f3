"""Recordings with a text file of the same stem beside them, and TextGrids."""

from __future__ import annotations

import re
from collections.abc import Iterator

from asrlsa.corpora.candidates import Candidate, SourceFile
from asrlsa.corpora.media import MediaIndex
from asrlsa.corpora.targets import coded_target, is_coded, plain_target
from asrlsa.errors import AsrlsaError
from asrlsa.types import Milliseconds

_NO_UTTERANCES = re.compile(
    r"(?:^|[\s_-])(?:words?|phones?|phonemes?|segments?|syllables?|mau|kan|ort)$", re.IGNORECASE
)
_QUOTED = re.compile(r'"((?:[^"]|"")*)"|([-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)(?=\s|\Z)|<(exists|absent)>')


class TextError(AsrlsaError):
    """A transcript that is not CHAT can't be read; the message names file and line."""


def read_txt(source: SourceFile, media: MediaIndex, language: str) -> Iterator[Candidate]:
    """Yield the one utterance of a text file: its lines, joined, are what is said in the whole recording.

    Raises:
        TextError: It is not UTF-8.
    """
    relative = source.path.relative_to(source.root).with_suffix("").as_posix()
    audio, why = media.find(source.path.stem, source.path)
    target = plain_target(" ".join(text_of(source).split()), language)
    yield Candidate(
        audio=audio,
        start=0,
        end=None,
        verbatim=target.verbatim,
        fluent=target.fluent,
        sentence=target.sentence,
        fluent_sentence=target.fluent_sentence,
        words=target.words,
        language=language,
        source=str(source.path),
        line=1,
        name=relative,
        masks=target.masks,
        events=target.events,
        split=source.split,
        problem=f"media missing: {why}" if why else "",
    )


def read_textgrid(source: SourceFile, media: MediaIndex, language: str) -> Iterator[Candidate]:
    """Yield the labelled intervals of a TextGrid: each tier is a speaker; tiers of words or sounds are left out.

    Raises:
        TextError: It is not a TextGrid, or has no tier of utterances.
    """
    relative = source.path.relative_to(source.root).with_suffix("").as_posix()
    audio, why = media.find(source.path.stem, source.path)
    tiers = _tiers(source)
    if not tiers:
        raise TextError(f"{source.path}: has no interval tier of utterances (only words, sounds or points)")
    for name, start, end, text, line in sorted(
        ((name, *interval) for name, intervals in tiers for interval in intervals), key=lambda found: found[1:3]
    ):
        target = coded_target(text) if is_coded(text) else plain_target(text, language)
        yield Candidate(
            audio=audio,
            start=start,
            end=end,
            verbatim=target.verbatim,
            fluent=target.fluent,
            sentence=target.sentence,
            fluent_sentence=target.fluent_sentence,
            words=target.words,
            code=name,
            speaker=f"{relative}/{name}",
            language=language,
            source=str(source.path),
            line=line,
            name=relative,
            masks=target.masks,
            events=target.events,
            problem=f"media missing: {why}" if why else "",
        )


def text_of(source: SourceFile) -> str:
    """Return the text of a file: UTF-8, or UTF-16 with its mark, as Praat writes.

    Raises:
        TextError: It is neither, or can't be read.
    """
    try:
        data = source.path.read_bytes()
        return data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise TextError(f"{source.path}:{line}: is not UTF-8 text; save it as UTF-8") from None
    except OSError as error:
        raise TextError(f"{source.path}: can't be read ({error.strerror or error})") from None


Interval = tuple[Milliseconds, Milliseconds, str, int]


def _tiers(source: SourceFile) -> list[tuple[str, list[Interval]]]:
    """Return the interval tiers of utterances, in the long and the short text format."""
    text = text_of(source)
    if "ooTextFile" not in text[:200] or "TextGrid" not in text[:200]:
        raise TextError(f'{source.path}: is not a TextGrid: it does not begin with File type = "ooTextFile"')
    values = list(_values(text))
    try:
        return _read_tiers(values)
    except (IndexError, ValueError, TypeError):
        raise TextError(f"{source.path}: is not a whole TextGrid; save it again with Praat") from None


def _values(text: str) -> Iterator[tuple[str | float, int]]:
    """Yield the texts and numbers of the file with their lines; names and brackets of the long format are skipped."""
    body = re.sub(r"\[\d*\]:?", lambda m: " " * len(m[0]), text)
    line, at = 1, 0
    for match in _QUOTED.finditer(body):
        line += body.count("\n", at, match.start())
        at = match.start()
        if match[1] is not None:
            yield text[match.start(1) : match.end(1)].replace('""', '"'), line
        elif match[2] is not None:
            yield float(match[2]), line


def _read_tiers(values: list[tuple[str | float, int]]) -> list[tuple[str, list[Interval]]]:
    # "ooTextFile", "TextGrid", xmin, xmax, number of tiers; each: class, name, xmin, xmax, size, intervals.
    at = 4
    count = int(values[at][0])
    at += 1
    found: list[tuple[str, list[Interval]]] = []
    for _ in range(count):
        kind, name = values[at][0], str(values[at + 1][0])
        size = int(values[at + 4][0])
        at += 5
        width = 3 if kind == "IntervalTier" else 2
        if width == 3 and not _NO_UTTERANCES.search(name):
            rows = [values[at + 3 * k : at + 3 * k + 3] for k in range(size)]
            intervals = [
                (round(float(begin) * 1000), round(float(end) * 1000), str(text), line)
                for (begin, _), (end, _), (text, line) in rows
                if str(text).strip()
            ]
            found.append((name, intervals))
        at += width * size
    return found
