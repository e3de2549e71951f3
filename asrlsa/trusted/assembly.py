"""A transcript with what was inserted: main tiers, bullets, ``%wor`` tiers, ``@Media``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from asrlsa.chat.build import with_wor_tier
from asrlsa.chat.repair import has_errors
from asrlsa.chat.timeline import arrange
from asrlsa.language.tables import LanguageTable
from asrlsa.trusted.weaving import Said, woven
from asrlsa.trusted.words import TrustedWord
from asrlsa.types import Header, Milliseconds, Span, Transcript, Utterance, Word

NEVER: Milliseconds = 1 << 62
LEAN_MS = 300  # how much nearer the utterance before must be, for a filler between two to be its


@dataclass(frozen=True, slots=True)
class _Entry:
    """One word with its time."""

    trusted: TrustedWord
    word: Word


def assembled(
    transcript: Transcript,
    words: Sequence[TrustedWord],
    said: Sequence[Word],
    table: LanguageTable,
    *,
    wor: bool = True,
) -> Transcript:
    """Return the transcript with the inserted words, with times.

    Headers, codes and dependent tiers stay as they are; a ``%wor`` tier is written anew. A bullet that was there keeps
    its times and grows only to hold what was inserted at its edges.

    Args:
        transcript: The trusted transcript.
        words: Its words and the inserted ones, in order.
        said: The same with times.
        table: The language.
        wor: Write ``%wor`` tiers; else there are none.
    """
    entries = _between_utterances([_Entry(t, w) for t, w in zip(words, said, strict=True)], table)
    mine: dict[int, list[_Entry]] = {}
    for entry in entries:
        mine.setdefault(entry.trusted.utterance, []).append(entry)
    old = transcript.utterances
    new = [_inserted(utterance, mine.get(number, []), transcript, table) for number, utterance in enumerate(old)]
    timed = _timed(new, [mine.get(number, []) for number in range(len(new))])
    numbered = iter([_with_words(u, wor) for u in timed])
    lines = tuple(next(numbered) if isinstance(line, Utterance) else line for line in transcript.lines)
    return replace(transcript, lines=lines)


def with_media(transcript: Transcript, stem: str, *, video: bool = False) -> Transcript:
    """Return the transcript with an ``@Media`` header that fits its bullets; an own one keeps its name.

    Args:
        transcript: The transcript.
        stem: Name of the recording without extension, for a transcript that names none.
        video: Whether it is a video.
    """
    bullets = any(u.start is not None for u in transcript.utterances)
    lines = list(transcript.lines)
    for number, line in enumerate(lines):
        if isinstance(line, Header) and line.name == "Media" and line.value is not None:
            parts = [part.strip() for part in line.value.split(",")]
            if bullets and parts[-1] == "unlinked":
                lines[number] = replace(line, value=", ".join(parts[:-1]))
            return replace(transcript, lines=tuple(lines))
    if bullets:
        name = f'"{stem}"' if "," in stem else stem
        media = Header("Media", f"{name}, {'video' if video else 'audio'}")
        lines.insert(_after_headers(lines, media=True), media)
    return replace(transcript, lines=tuple(lines))


def with_comments(transcript: Transcript, comments: Iterable[str]) -> Transcript:
    """Return the transcript with ``@Comment`` headers before its first utterance."""
    lines = list(transcript.lines)
    at = _after_headers(lines, media=False)
    lines[at:at] = [Header("Comment", " ".join(text.split())) for text in comments]
    return replace(transcript, lines=tuple(lines))


def _after_headers(lines: Sequence[Header | Utterance], *, media: bool) -> int:
    """Return where ``@Media`` has its place, or else where the headers end."""
    at = 0
    for number, line in enumerate(lines):
        if isinstance(line, Utterance) or line.name == "End":
            return at if media else number
        if line.name in ("ID", "Participants", "Options") or line.name.startswith("Birth of"):
            at = number + 1
    return at


def _between_utterances(entries: Sequence[_Entry], table: LanguageTable) -> list[_Entry]:
    """Give fillers between two utterances to the one that they are nearer to; others belong to what follows."""
    found = list(entries)
    first = 0
    while first < len(found):
        last = first
        while last < len(found) and found[last].trusted.token is None:
            last += 1
        if first and first < last < len(found):
            before, after = found[first - 1], found[last]
            fillers = all(table.filler(entry.trusted.text) for entry in found[first:last])
            if before.trusted.utterance != after.trusted.utterance:
                nearer = before if fillers and _leans_back(before, found[first:last], after) else after
                for i in range(first, last):
                    moved = replace(found[i].trusted, utterance=nearer.trusted.utterance)
                    found[i] = replace(found[i], trusted=moved)
        first = last + 1
    return found


def _leans_back(before: _Entry, run: Sequence[_Entry], after: _Entry) -> bool:
    start, end = _edges(run)
    if start is None or end is None or before.word.end is None or after.word.start is None:
        return False
    return start - before.word.end + LEAN_MS < after.word.start - end


def _edges(entries: Iterable[_Entry]) -> tuple[Milliseconds | None, Milliseconds | None]:
    """Return begin of the first and end of the last word that has times."""
    timed = [(e.word.start, e.word.end) for e in entries if e.word.start is not None and e.word.end is not None]
    return (min(a for a, _ in timed), max(b for _, b in timed)) if timed else (None, None)


def _inserted(
    utterance: Utterance, entries: Sequence[_Entry], transcript: Transcript, table: LanguageTable
) -> Utterance:
    """Write the insertions of one utterance; one that would not be valid CHAT afterwards stays as it was."""
    text = utterance.text
    if any(entry.trusted.token is None for entry in entries):
        text = woven(text, [Said(entry.word, entry.trusted.token) for entry in entries], table)
        if has_errors(text, transcript.languages):
            text = utterance.text
    return replace(utterance, text=text, words=tuple(entry.word for entry in entries))


def _timed(utterances: Sequence[Utterance], entries: Sequence[Sequence[_Entry]]) -> list[Utterance]:
    """Give utterances without a bullet the times of their words; let the other bullets hold what was inserted."""
    done: list[Utterance] = []
    begin = 0
    ends: dict[str, Milliseconds] = {}
    for utterance, mine, (any_next, own_next) in zip(utterances, entries, _next_bullets(utterances), strict=True):
        bullet = None
        if utterance.start is not None and utterance.end is not None:
            bullet = Span(utterance.start, utterance.end)
        start, end = _edges(entry for entry in mine if bullet is None or entry.trusted.token is None)
        if start is not None and end is not None:
            start, end = max(start, begin, ends.get(utterance.speaker, 0)), min(end, own_next)
        if bullet is not None:
            start = bullet.start if start is None else min(start, bullet.start)
            end = bullet.end if end is None else max(end, bullet.end)
        elif start is None or end is None or start >= end or start > any_next:
            start = end = None
        done.append(replace(utterance, start=start, end=end))
        if start is not None and end is not None:
            begin = max(begin, start)
            ends[utterance.speaker] = max(end, ends.get(utterance.speaker, 0))
    return done


def _next_bullets(utterances: Sequence[Utterance]) -> list[tuple[Milliseconds, Milliseconds]]:
    """Return for each utterance when the next bullet begins, of anybody and of the same speaker."""
    found: list[tuple[Milliseconds, Milliseconds]] = []
    anybody = NEVER
    by_speaker: dict[str, Milliseconds] = {}
    for utterance in reversed(utterances):
        found.append((anybody, by_speaker.get(utterance.speaker, NEVER)))
        if utterance.start is not None and utterance.end is not None:
            anybody = by_speaker[utterance.speaker] = utterance.start
    return found[::-1]


def _with_words(utterance: Utterance, wor: bool) -> Utterance:
    """Cut the words to the utterance and write its ``%wor`` tier."""
    bare = replace(utterance, tiers=tuple(tier for tier in utterance.tiers if tier.name != "wor"))
    cut = arrange([bare])[0]
    return with_wor_tier(cut) if wor else cut
