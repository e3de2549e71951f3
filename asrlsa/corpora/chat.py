"""CHAT transcripts with their media."""

from __future__ import annotations

import re
from collections.abc import Iterator

from asrlsa.chat.lexer import lex
from asrlsa.chat.parser import read_chat
from asrlsa.corpora.candidates import Candidate, SourceFile
from asrlsa.corpora.media import MediaIndex
from asrlsa.corpora.targets import coded_target
from asrlsa.errors import ChatError
from asrlsa.types import Milliseconds, Participant, Transcript, Utterance

_BULLET = re.compile(r"\x15(\d+)_(\d+)\x15")
_MEDIA_NAME = re.compile(r'"[^"]*"|[^,]+')
_PRECODE = re.compile(r"\s*\[-\s*([a-z]{3})\]")
_FOREIGN = re.compile(r"@s(?::([a-z]{3}))?\b")


def read(source: SourceFile, media: MediaIndex, language: str) -> Iterator[Candidate]:
    """Yield every utterance of a CHAT file.

    Args:
        source: The file.
        media: The recordings of the corpus.
        language: ISO 639-3 code where ``@Languages`` is missing.

    Raises:
        ChatError: It is not CHAT, or can't be read.
    """
    try:
        transcript = read_chat(source.path)
    except OSError as error:
        raise ChatError(f"can't be read ({error.strerror or error})", source=str(source.path)) from None
    audio, why = media.find(_media_name(transcript) or source.path.stem, source.path)
    main = (transcript.languages or (language,))[0]
    people = {who.code: who for who in transcript.participants}
    relative = source.path.relative_to(source.root).with_suffix("").as_posix()
    for utterance in transcript.utterances:
        who = people.get(utterance.speaker) or Participant(utterance.speaker, "", "", "", "")
        start, end = _span(utterance)
        target = coded_target(utterance.text)
        yield Candidate(
            audio=audio,
            start=start,
            end=end,
            verbatim=target.verbatim,
            fluent=target.fluent,
            sentence=target.sentence,
            fluent_sentence=target.fluent_sentence,
            words=target.words,
            code=who.code,
            speaker=speaker_name(who, relative),
            role=who.role,
            age=who.age,
            sex=who.sex,
            group=who.group,
            language=_language(utterance.text, main),
            source=str(source.path),
            line=utterance.line,
            name=relative,
            masks=target.masks,
            events=target.events,
            problem=f"media missing: {why}" if why else "",
        )


def speaker_name(who: Participant, relative: str) -> str:
    """Return a name for a speaker that is unique in the corpus.

    A participant with a name is the same person in all files of a folder; one without is known in this file only.
    """
    folder = relative.rpartition("/")[0]
    if who.name:
        return "/".join(part for part in (folder, f"{who.code}:{who.name}") if part)
    return f"{relative}/{who.code}"


def _media_name(transcript: Transcript) -> str:
    found = _MEDIA_NAME.match(next(transcript.values("Media"), ""))
    return found[0].strip().strip('"') if found else ""


def _span(utterance: Utterance) -> tuple[Milliseconds | None, Milliseconds | None]:
    """Return begin and end over all bullets of an utterance; reversed ones stay reversed."""
    start, end = utterance.start, utterance.end
    if "\x15" not in utterance.text:
        return start, end
    inner = [(int(match[1]), int(match[2])) for match in _BULLET.finditer(utterance.text)]
    if start is not None and end is not None:
        inner.append((start, end))
    if not inner or any(last <= first for first, last in inner):
        return start, end
    return min(first for first, _ in inner), max(last for _, last in inner)


def _language(text: str, main: str) -> str:
    """Return the language of an utterance: its precode, or that of most of its words."""
    precode = _PRECODE.match(text)
    if precode is not None:
        return precode[1]
    if "@s" not in text:
        return main
    words = [token.text for token in lex(text) if token.kind == "word"]
    foreign = [found[1] or "und" for word in words if (found := _FOREIGN.search(word)) is not None]
    return max(set(foreign), key=foreign.count) if 2 * len(foreign) > len(words) else main
