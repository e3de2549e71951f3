"""From utterances to a Transcript that every validator takes."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from asrlsa.chat.header_rules import AGE, CODE, LANGUAGE, MONTHS, ROLES, is_ses
from asrlsa.chat.lexer import lex
from asrlsa.chat.repair import repair_main_tier
from asrlsa.chat.timeline import arrange
from asrlsa.chat.wor import wor_tier, wor_words
from asrlsa.errors import ChatError
from asrlsa.types import Header, Participant, Tier, Transcript, Utterance

_SAID = frozenset(
    ("word", "filled_pause", "fragment", "nonword", "mask", "event", "omission", "action", "interposed", "pause")
)
_BULLET = re.compile(r"\x15[^\x15]*\x15")
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def build_transcript(
    utterances: Iterable[Utterance],
    *,
    participants: Sequence[Participant],
    languages: Sequence[str],
    media: str | None = None,
    media_type: str = "audio",
    date: datetime.date | None = None,
    comments: Sequence[str] = (),
    wor: bool = True,
) -> Transcript:
    """Build a transcript that ``check_chat`` and the independent validator take.

    Utterances are sorted by begin, two of one speaker never overlap (``asrlsa.chat.timeline``), and those that say
    nothing are left out; there may be none at all, as for a silent recording. A main tier that breaks a rule is
    repaired, and what it was stands below it on an ``%xrepaired`` tier.

    Args:
        utterances: Main tiers (coded text with terminator) with times and words in any order. Bullets inside the text
            are taken out.
        participants: At least one. One without a language has the first of ``languages``.
        languages: ISO 639-3 codes, the main one first. Those of the participants are added.
        media: File name of the recording without extension, or None where there is no recording; then the
            utterances lose their times.
        media_type: ``audio`` or ``video``.
        date: Day of the recording.
        comments: One ``@Comment`` each; line breaks and tabs become spaces.
        wor: Write a ``%wor`` tier below every utterance that has times and timed words.

    Raises:
        ChatError: A participant, a language, the media or a speaker is not what CHAT allows.
    """
    if not languages:
        raise ChatError("a transcript needs a language, as an ISO 639-3 code such as eng")
    languages = list(dict.fromkeys([*languages, *(p.language for p in participants if p.language)]))
    _check_languages(languages)
    _check_participants(participants)
    if media_type not in ("audio", "video"):
        raise ChatError(f"the media type must be audio or video, not {media_type!r}")
    codes = {participant.code for participant in participants}
    mended = []
    for utterance in utterances:
        if utterance.speaker not in codes:
            raise ChatError(f"{utterance.speaker!r} speaks, but is not among the participants {sorted(codes)}")
        if _says_something(utterance.text):
            mended.append(_valid(utterance if media else replace(utterance, start=None, end=None), languages))
    body = [with_wor_tier(utterance) if wor else utterance for utterance in arrange(mended)]
    headers = [Header("UTF8"), Header("Begin"), Header("Languages", ", ".join(languages))]
    headers.append(Header("Participants", ", ".join(_entry(p) for p in participants)))
    headers += [Header("ID", _id(p, languages[0])) for p in participants]
    stem = _media_name(media or "")
    if stem:
        linked = any(utterance.start is not None for utterance in body)
        headers.append(Header("Media", f"{stem}, {media_type}" + ("" if linked else ", unlinked")))
    if date is not None:
        headers.append(Header("Date", f"{date.day:02d}-{MONTHS[date.month - 1]}-{date.year:04d}"))
    headers += [Header("Comment", text) for comment in comments if (text := _one_line(comment))]
    return Transcript((*headers, *body, Header("End")))


def _says_something(text: str) -> bool:
    return any(token.kind in _SAID for token in lex(text))


def _one_line(text: str) -> str:
    """Return ``text`` without control characters, on one line."""
    return " ".join(_CONTROLS.sub("", text).split())


def _valid(utterance: Utterance, languages: Sequence[str]) -> Utterance:
    """Repair the main tier where it breaks a rule, and keep what it was; take out tiers that can't be written."""
    given = " ".join(_BULLET.sub(" ", utterance.text).split()) if "\x15" in utterance.text else utterance.text
    text = repair_main_tier(given, languages)
    tiers = [tier for tier in utterance.tiers if tier.name != "wor"]
    if text != given:
        tiers.append(Tier("xrepaired", _one_line(utterance.text) or "empty"))
    return replace(utterance, text=text, tiers=tuple(tiers))


def with_wor_tier(utterance: Utterance) -> Utterance:
    """Add the ``%wor`` tier of an utterance that has none, first among its dependent tiers, where it has times."""
    if utterance.start is None or not utterance.words:
        return utterance
    words = wor_words(utterance)
    if all(word.start is None for word in words):
        return utterance
    terminator = next(token.text for token in lex(utterance.text) if token.kind == "terminator")
    return replace(utterance, tiers=(Tier("wor", wor_tier(words, terminator)), *utterance.tiers))


def _check_languages(languages: Sequence[str]) -> None:
    for language in languages:
        if not LANGUAGE.match(language):
            raise ChatError(f"a language must be a three-letter ISO 639-3 code such as eng, not {language!r}")


def _check_participants(participants: Sequence[Participant]) -> None:
    if not participants:
        raise ChatError("a transcript needs a participant, such as CHI Target_Child")
    seen = set()
    for who in participants:
        if not CODE.match(who.code):
            raise ChatError(f"the participant code {who.code!r} must have 1 to 7 of A-Z 0-9 _ - '")
        if who.code in seen:
            raise ChatError(f"the participant {who.code} is given twice")
        seen.add(who.code)
        if who.role not in ROLES:
            raise ChatError(
                f"CHAT has no role {who.role!r} (participant {who.code}); it has {', '.join(sorted(ROLES))}"
            )
        if who.age and not AGE.match(who.age):
            raise ChatError(f"the age of {who.code} must be written 4; or 4;06. or 4;06.03, not {who.age!r}")
        if who.sex not in ("male", "female", ""):
            raise ChatError(f"the sex of {who.code} must be male, female or empty, not {who.sex!r}")
        if not is_ses(who.ses):
            raise ChatError(f"the ses of {who.code} must be one like White,MC, not {who.ses!r}")
        for field in (who.name, who.corpus, who.group, who.education, who.custom):
            if "|" in field or _one_line(field) != field or ("," in who.name):
                raise ChatError(f"{field!r} (participant {who.code}) must be on one line and without | (names: or ,)")


def _entry(who: Participant) -> str:
    return " ".join(part for part in (who.code, who.name, who.role) if part)


def _id(who: Participant, main: str) -> str:
    fields = (who.language or main, who.corpus or "asrlsa", who.code, who.age, who.sex, who.group, who.ses, who.role)
    return "".join(f"{field}|" for field in (*fields, who.education, who.custom))


def _media_name(stem: str) -> str:
    """Return the file name as ``@Media`` writes it: in quotation marks where it holds a comma."""
    name = _one_line(stem).replace('"', "'")
    return f'"{name}"' if "," in name else name
