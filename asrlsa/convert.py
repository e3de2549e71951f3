"""CHAT transcripts as plain text, subtitles, TextGrid and JSON."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import Any

from asrlsa.disfluency import Reading, read_main_tier
from asrlsa.errors import ChatError, UsageError
from asrlsa.types import Milliseconds, Span, Transcript, Utterance

_BULLET = re.compile(r"\x15(\d+)_(\d+)\x15")
_MEDIA_NAME = re.compile(r'"[^"]*"|[^,]+')
_ENDINGS = {
    "+...": "...",
    "+..?": "...?",
    "+/.": " -",
    "+//.": " -",
    "+/?": " -?",
    "+//?": " -?",
    "+!?": "?!",
    '+"/.': ":",
    '+".': ".",
    "+.": " -",
}


def convert(transcript: Transcript, to: str) -> str:
    """Return the transcript in the format ``to``, one of ``FORMATS``.

    Raises:
        UsageError: There is no such format.
        ChatError: The format needs times, and the transcript has none.
    """
    if to not in FORMATS:
        raise UsageError(f"there is no format {to!r}: choose one of {', '.join(FORMATS)}")
    return FORMATS[to][1](transcript)


def utterance_span(utterance: Utterance) -> Span | None:
    """Return begin and end of an utterance over all of its bullets, or None where it has none."""
    starts = [] if utterance.start is None else [utterance.start]
    ends = [] if utterance.end is None else [utterance.end]
    if "\x15" in utterance.text:
        for match in _BULLET.finditer(utterance.text):
            starts.append(int(match[1]))
            ends.append(int(match[2]))
    if not starts or not ends or min(starts) >= max(ends):
        return None
    return Span(min(starts), max(ends))


def to_text(transcript: Transcript, clean: bool = False, speakers: bool = False) -> str:
    """Return the words alone, one line for each utterance that has some.

    Args:
        transcript: The transcript.
        clean: Leave out fillers, fragments, nonwords and what a retrace takes back, and complete shortenings and
            replacements. Else every word that was said is there; a word broken off ends in a hyphen.
        speakers: Put the participant code, a colon and a space before each line.
    """
    lines = []
    for utterance in transcript.utterances:
        reading = read_main_tier(utterance.text)
        words = " ".join(reading.clean if clean else reading.verbatim)
        if words:
            lines.append(f"{utterance.speaker}: {words}" if speakers else words)
    return "".join(f"{line}\n" for line in lines)


def to_srt(transcript: Transcript) -> str:
    """Return SubRip subtitles: one for each utterance with times, everything that was said.

    Raises:
        ChatError: There are utterances, but none has times.
    """
    cues = []
    for number, (utterance, span, text) in enumerate(_cues(transcript), start=1):
        times = f"{_clock(span.start, ',')} --> {_clock(span.end, ',')}"
        cues.append(f"{number}\n{times}\n{utterance.speaker}: {text}\n")
    return "\n".join(cues)


def to_vtt(transcript: Transcript) -> str:
    """Return WebVTT subtitles with voices: one for each utterance with times, everything that was said.

    Raises:
        ChatError: There are utterances, but none has times.
    """
    cues = ["WEBVTT\n"]
    for utterance, span, text in _cues(transcript):
        times = f"{_clock(span.start, '.')} --> {_clock(span.end, '.')}"
        cues.append(f"{times}\n<v {utterance.speaker}>{html.escape(text, quote=False)}\n")
    return "\n".join(cues)


def _cues(transcript: Transcript) -> Iterable[tuple[Utterance, Span, str]]:
    """Return the utterances that have times and words, by begin."""
    found = []
    for utterance, span in _timed(transcript, "subtitles"):
        text = _sentence(read_main_tier(utterance.text))
        if text:
            found.append((utterance, span, text))
    return found


def _timed(transcript: Transcript, what: str) -> list[tuple[Utterance, Span]]:
    """Return the utterances with times, by begin.

    Raises:
        ChatError: There are utterances, but none has times.
    """
    timed = [(u, span) for u in transcript.utterances if (span := utterance_span(u)) is not None]
    if transcript.utterances and not timed:
        raise ChatError(f"the transcript has no bullets, so {what} can't have times", source=transcript.source)
    return sorted(timed, key=lambda pair: pair[1].start)


def _sentence(reading: Reading) -> str:
    """Return what was said as one line to read, with its masks and its end; empty where there is nothing."""
    words = list(reading.verbatim)
    for mask in reversed(reading.masks):
        words.insert(mask.start, mask.kind)
    if not words:
        return ""
    return " ".join(words) + _ENDINGS.get(reading.terminator, reading.terminator)


def _clock(time: Milliseconds, point: str) -> str:
    """Return a time as ``01:02:03.004``."""
    seconds, ms = divmod(time, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{seconds:02d}{point}{ms:03d}"


def to_textgrid(transcript: Transcript) -> str:
    """Return a Praat TextGrid (long text format): for every speaker a tier of utterances and one of words.

    The utterance tier ``CHI`` holds the coded main tiers, ``CHI words`` the words that have times. Where two intervals
    of a tier overlap, the later one begins where the earlier one ends.

    Raises:
        ChatError: There are utterances, but none has times.
    """
    tiers: dict[str, list[tuple[Milliseconds, Milliseconds, str]]] = {}
    for who in transcript.participants:
        tiers.update({who.code: [], f"{who.code} words": []})
    for utterance, span in _timed(transcript, "a TextGrid"):
        text = " ".join(_BULLET.sub("", utterance.text).split())
        tiers.setdefault(utterance.speaker, []).append((span.start, span.end, text))
        words = tiers.setdefault(f"{utterance.speaker} words", [])
        for word in utterance.words:
            if word.start is not None and word.end is not None:
                words.append((word.start, word.end, word.text))
    end = max((interval[1] for intervals in tiers.values() for interval in intervals), default=1)
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0", f"xmax = {_seconds(end)}"]
    lines += ["tiers? <exists>", f"size = {len(tiers)}", "item []:"]
    for number, (name, intervals) in enumerate(tiers.items(), start=1):
        lines += _interval_tier(number, name, _tiling(intervals, end), end)
    return "".join(f"{line}\n" for line in lines)


def _tiling(
    intervals: Iterable[tuple[Milliseconds, Milliseconds, str]], end: Milliseconds
) -> list[tuple[Milliseconds, Milliseconds, str]]:
    """Return intervals that cover 0 to ``end`` without gap or overlap; the ones between are empty."""
    tiled: list[tuple[Milliseconds, Milliseconds, str]] = []
    last = 0
    for start, stop, text in sorted(intervals):
        start = max(start, last)
        if start >= stop:
            continue
        if start > last:
            tiled.append((last, start, ""))
        tiled.append((start, stop, text))
        last = stop
    if last < end:
        tiled.append((last, end, ""))
    return tiled


def _interval_tier(
    number: int, name: str, intervals: list[tuple[Milliseconds, Milliseconds, str]], end: Milliseconds
) -> list[str]:
    lines = [f"    item [{number}]:", '        class = "IntervalTier"', f"        name = {_quoted(name)}"]
    lines += ["        xmin = 0", f"        xmax = {_seconds(end)}", f"        intervals: size = {len(intervals)}"]
    for index, (start, stop, text) in enumerate(intervals, start=1):
        lines.append(f"        intervals [{index}]:")
        lines.append(f"            xmin = {_seconds(start)}")
        lines.append(f"            xmax = {_seconds(stop)}")
        lines.append(f"            text = {_quoted(text)}")
    return lines


def _seconds(time: Milliseconds) -> str:
    whole, ms = divmod(time, 1000)
    return f"{whole}.{ms:03d}" if ms else str(whole)


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def to_json(transcript: Transcript) -> str:
    """Return the transcript as JSON, with the reading of every main tier; times in ms.

    The object has ``languages``, ``media``, ``participants`` (the fields of ``Participant``), ``headers`` (name and
    value pairs) and ``utterances``. Each utterance has ``speaker``, ``start``, ``end``, ``chat`` (the main tier),
    ``terminator``, ``verbatim`` and ``clean`` (lists of words), ``events`` and ``masks`` (indices into ``verbatim``),
    ``words`` (with times and confidences) and ``tiers`` (name and text pairs).
    """
    media = _MEDIA_NAME.match(next(transcript.values("Media"), ""))
    document: dict[str, Any] = {
        "languages": list(transcript.languages),
        "media": media[0].strip('"') if media else None,
        "participants": [asdict(who) for who in transcript.participants],
        "headers": [[header.name, header.value] for header in transcript.headers],
        "utterances": [_utterance(utterance) for utterance in transcript.utterances],
    }
    return json.dumps(document, ensure_ascii=False, indent=2) + "\n"


def _utterance(utterance: Utterance) -> dict[str, Any]:
    reading = read_main_tier(utterance.text)
    span = utterance_span(utterance)
    return {
        "speaker": utterance.speaker,
        "start": span.start if span else None,
        "end": span.end if span else None,
        "chat": utterance.text,
        "terminator": reading.terminator,
        "verbatim": list(reading.verbatim),
        "clean": list(reading.clean),
        "events": [asdict(event) for event in reading.events],
        "masks": [asdict(mask) for mask in reading.masks],
        "words": [
            {"text": word.text, "start": word.start, "end": word.end, "confidence": word.confidence}
            for word in utterance.words
        ],
        "tiers": [[tier.name, tier.text] for tier in utterance.tiers],
    }


#: Every format that a transcript can be converted to: suffix of its files, and function.
FORMATS: dict[str, tuple[str, Callable[[Transcript], str]]] = {
    "verbatim": (".verbatim.txt", to_text),
    "clean": (".clean.txt", lambda transcript: to_text(transcript, clean=True)),
    "srt": (".srt", to_srt),
    "vtt": (".vtt", to_vtt),
    "textgrid": (".TextGrid", to_textgrid),
    "json": (".json", to_json),
}
