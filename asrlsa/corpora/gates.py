"""The gates: which utterances of one recording can be trained on, and why the others can't.

An utterance is kept whole or not at all: no gate shortens its sound and keeps its text.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from asrlsa.corpora.candidates import Candidate
from asrlsa.corpora.media import recording_length
from asrlsa.corpora.settings import PrepareSettings
from asrlsa.errors import MediaError
from asrlsa.types import Milliseconds, Span

# Reasons in the order in which they are looked for; an utterance has the first one that holds.
REASONS: Final = {
    "not chosen": "speaker, role or age was not asked for",
    "media missing": "the recording is not there",
    "media damaged": "the recording can't be read",
    "no text": "the row has no text",
    "no times": "no bullet, or its times are not numbers",
    "times reversed": "the end is not after the begin",
    "beyond the audio": "the utterance ends after its recording",
    "duplicate": "the same words at the same place of the same recording stand elsewhere",
    "unintelligible": "a stretch was not transcribed (xxx, yyy, www)",
    "no words": "nothing is said: an event, an action or an empty line",
    "language not wanted": "another language was asked for, or Whisper does not know it",
    "too long": "longer than the window of the model",
    "impossible rate": "more or fewer words a second than anybody says: wrong times or text",
    "overlap": "others speak at the same time",
    "does not match": "a model hears other words",
}

_SHORTEST_MS = 80  # nobody says a word in less


@dataclass(frozen=True, slots=True)
class Kept:
    """An utterance that is used: its number in the store, its times in ms, whether it joins the one before it."""

    number: int
    start: Milliseconds
    end: Milliseconds
    joins: bool


@dataclass(frozen=True, slots=True)
class Dropped:
    """An utterance that is not used, with its reason and what exactly is wrong."""

    number: int
    reason: str
    detail: str


@dataclass(slots=True)
class Judgement:
    """What came of one recording.

    Attributes:
        length: Length of the recording in ms; 0 where it can't be read.
        kept: Utterances that are used, by begin.
        dropped: The others.
        gaps: Stretches in which nothing is transcribed.
    """

    length: Milliseconds = 0
    kept: list[Kept] = field(default_factory=list)
    dropped: list[Dropped] = field(default_factory=list)
    gaps: list[Span] = field(default_factory=list)


Numbered = tuple[int, Candidate]


def judge(audio: str, candidates: Sequence[Numbered], settings: PrepareSettings) -> Judgement:
    """Judge the utterances of one recording.

    Args:
        audio: The recording; empty for utterances whose recording is missing.
        candidates: Every utterance of it, with its number in the store, in the order of their sources.
        settings: Bounds and choices.
    """
    found = Judgement()
    broken = ""
    if audio and any(not c.problem for _, c in candidates):
        latest = max((c.end or 0 for _, c in candidates if c.start is not None), default=0)
        try:
            found.length = recording_length(Path(audio), latest)
        except MediaError as error:
            broken = str(error).removeprefix(f"{audio}: ")
            broken = f"media damaged: {broken}" if Path(audio).exists() else f"media missing: {broken}"
    timed = [(number, _ended(c, found.length)) for number, c in candidates]
    overlaps = _overlaps([c for _, c in timed])
    seen: set[tuple[object, ...]] = set()
    verdicts: list[tuple[str, str]] = []
    for (_, candidate), overlap in zip(timed, overlaps, strict=True):
        reason, detail = _verdict(candidate, found.length, broken, overlap, seen, settings)
        verdicts.append((reason, detail))
    _settle(found, timed, verdicts, settings)
    return found


def _ended(candidate: Candidate, length: Milliseconds) -> Candidate:
    """Give an utterance that lasts to the end of its recording that end."""
    if candidate.start is None or candidate.end is not None:
        return candidate
    return replace(candidate, end=length)


def _verdict(
    c: Candidate,
    length: Milliseconds,
    broken: str,
    overlap: Milliseconds,
    seen: set[tuple[object, ...]],
    settings: PrepareSettings,
) -> tuple[str, str]:
    """Return reason and detail, or two empty strings for an utterance that is kept."""
    if why := not_chosen(c, settings):
        return "not chosen", why
    if wrong := c.problem or broken:
        reason, _, detail = wrong.partition(": ")
        return reason, detail
    if c.start is None or c.end is None:
        return "no times", "there is no bullet"
    if c.end <= c.start:
        return "times reversed", f"ends at {_clock(c.end)}, begins at {_clock(c.start)}"
    if c.start >= length or c.end > length + round(settings.beyond * 1000):
        return "beyond the audio", f"ends at {_clock(c.end)}, the recording at {_clock(length)}"
    # Whose line it is makes no difference: the same words can't be said twice at one time.
    key = (c.start, c.end, c.verbatim.casefold())
    if key in seen:
        return "duplicate", f"the same stands at {_clock(c.start)} already"
    seen.add(key)
    if c.masks:
        return "unintelligible", f"holds {', '.join(sorted(set(c.masks)))}"
    text = c.fluent if settings.text == "fluent" else c.verbatim
    if not text:
        return "no words", "nothing is said" if not c.verbatim else "nothing is left of it in the fluent text"
    if settings.languages and c.language not in settings.languages:
        return "language not wanted", c.language
    return _measured(c, c.end - c.start, overlap, settings)


def _measured(
    c: Candidate, duration: Milliseconds, overlap: Milliseconds, settings: PrepareSettings
) -> tuple[str, str]:
    """Look at length, rate and overlap."""
    if duration > round(settings.longest * 1000):
        return "too long", f"{duration / 1000:.1f} s; at most {settings.longest:g}"
    rate = 1000 * c.words / duration
    if (c.words > 1 and rate > settings.fastest) or duration < _SHORTEST_MS:
        return "impossible rate", f"{c.words} words in {duration / 1000:.2f} s; at most {settings.fastest:g} a second"
    if rate < settings.slowest:
        return "impossible rate", f"{c.words} words in {duration / 1000:.1f} s; at least {settings.slowest:g} a second"
    if overlap > round(settings.overlap * 1000):
        return "overlap", f"{overlap / 1000:.2f} s; at most {settings.overlap:g}"
    return "", ""


def not_chosen(c: Candidate, settings: PrepareSettings) -> str:
    """Return why a speaker was not asked for, or nothing."""
    if settings.speakers and c.code not in settings.speakers and c.speaker not in settings.speakers:
        return f"speaker {c.code or 'unknown'}"
    if settings.roles and c.role not in settings.roles:
        return f"role {c.role or 'unknown'}"
    if settings.ages is not None and not settings.ages.holds(c.age):
        return f"age {c.age or 'unknown'}"
    return ""


def _overlaps(candidates: Sequence[Candidate]) -> list[Milliseconds]:
    """Return for each utterance how much of it is covered by others; the same words at one time are one utterance."""
    # An event such as laughter is nothing that a text would have to hold.
    spans = [
        (c.start, c.end)
        if c.start is not None and c.end is not None and c.end > c.start and (c.words or c.masks)
        else None
        for c in candidates
    ]
    order = sorted((k for k, span in enumerate(spans) if span is not None), key=lambda k: spans[k] or (0, 0))
    first: dict[tuple[object, ...], int] = {}
    distinct = [k for k in order if first.setdefault((spans[k], candidates[k].verbatim.casefold()), k) == k]
    starts = [(spans[k] or (0, 0))[0] for k in distinct]
    reach: list[Milliseconds] = []  # latest end so far: where it is before a begin, nothing earlier needs a look
    for k in distinct:
        reach.append(max((spans[k] or (0, 0))[1], reach[-1] if reach else 0))
    covered = [0] * len(candidates)
    for place, k in enumerate(distinct):
        start, end = spans[k] or (0, 0)
        others: list[tuple[Milliseconds, Milliseconds]] = []
        at = place - 1
        while at >= 0 and reach[at] > start:
            others.append(spans[distinct[at]] or (0, 0))
            at -= 1
        others += [spans[j] or (0, 0) for j in distinct[place + 1 : bisect_left(starts, end)]]
        covered[k] = _covered(start, end, others)
    return covered


def _covered(start: Milliseconds, end: Milliseconds, others: list[tuple[Milliseconds, Milliseconds]]) -> Milliseconds:
    total, last = 0, start
    for begin, stop in sorted(others):
        begin, stop = max(begin, last), min(stop, end)
        if stop > begin:
            total += stop - begin
            last = stop
    return total


def _settle(
    found: Judgement, timed: Sequence[Numbered], verdicts: Sequence[tuple[str, str]], settings: PrepareSettings
) -> None:
    """Fill the judgement: kept utterances by begin, whether each joins the one before it, and the gaps."""
    whole = True  # nothing without times, so what is between two utterances is known
    places: list[tuple[Milliseconds, Milliseconds, int]] = []
    latest = 0
    for k, (_, c) in enumerate(timed):
        if c.start is None or c.end is None or c.end <= c.start:
            # It was said somewhere near the line before it.
            whole = whole and not (c.words or c.masks)
            places.append((latest, k, latest))
        else:
            latest = c.start
            places.append((c.start, k, c.end))
    reach = before = 0  # latest end of what is not used, and of the row before
    has_row = clear = False
    spoken: list[Span] = []
    for start, k, end in sorted(places):
        number, c = timed[k]
        reason, detail = verdicts[k]
        if reason:
            found.dropped.append(Dropped(number, reason, detail))
            if reason != "duplicate" and (c.words or c.masks):
                clear, reach = False, max(reach, end)
        else:
            end = min(end, found.length)
            found.kept.append(Kept(number, start, end, has_row and clear and reach <= before))
            has_row, clear, before = True, True, max(before, end)
        if end > start:
            spoken.append(Span(start, end))
    if whole and found.length and settings.noise:
        found.gaps = _gaps(spoken, found.length)


def _gaps(spoken: Sequence[Span], length: Milliseconds) -> list[Span]:
    gaps, last = [], 0
    for span in (*spoken, Span(length, length)):
        if span.start > last:
            gaps.append(Span(last, min(span.start, length)))
        last = max(last, span.end)
    return gaps


def _clock(time: Milliseconds) -> str:
    minutes, ms = divmod(time, 60_000)
    return f"{minutes}:{ms / 1000:06.3f}"
