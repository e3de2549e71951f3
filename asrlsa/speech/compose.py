"""From everything heard in one recording to its CHAT transcript."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from asrlsa.chat.build import build_transcript
from asrlsa.config import TranscribeOptions
from asrlsa.disfluency import CodingOptions, code_utterance, fluent_text
from asrlsa.language import iso639_3, spell_out
from asrlsa.speech.recognise import Recognised
from asrlsa.speech.speakers import Diarization, assign_speakers, channel_turns, map_participants
from asrlsa.speech.utterances import Draft, UtteranceOptions, split_utterances
from asrlsa.types import Participant, Tier, Transcript, Utterance, Word

DEFAULT_SPEAKERS = 2
FLUENT_TIER = "xflu"
SHORT_SPEECH_MS = 10_000  # less speech than this is not split over two speakers unless their voices say so


@dataclass(frozen=True, slots=True)
class Composed:
    """A transcript and what to tell the user about it.

    Attributes:
        transcript: The CHAT transcript.
        speakers: Participants that speak.
        notes: Plain sentences; they stand in the transcript as comments too.
    """

    transcript: Transcript
    speakers: int
    notes: tuple[str, ...]


def compose(
    heard: Recognised,
    *,
    options: TranscribeOptions,
    participants: Sequence[Participant],
    media: str,
    video: bool,
    date: datetime.date | None,
    comments: Sequence[str],
) -> Composed:
    """Build the transcript of one recording.

    Args:
        heard: Words, regions, voices.
        options: Pauses, marks and tiers.
        participants: Codes and roles for the voices; may be empty.
        media: Stem of the recording, for ``@Media``.
        video: Whether the recording is a video.
        date: Day of the recording, or None.
        comments: ``@Comment`` lines that come first (version, settings).

    Returns:
        The transcript, which passes ``check_chat``.
    """
    language = iso639_3(heard.language or "en")
    notes = list(heard.notes)
    diarization = _voices(heard, options, participants)
    words = _attributed(heard, diarization)
    mapping, guess = map_participants(diarization if participants else _of_words(diarization, words), participants)
    if guess:
        notes.append(guess)
    odd: list[str] = []
    spelt = spell_out(words, language, on_note=odd.append)
    notes.extend(dict.fromkeys(odd))
    drafts = split_utterances(spelt, language=language, options=UtteranceOptions())
    utterances = [u for draft in drafts if (u := coded_utterance(draft, mapping, language, options)) is not None]
    if not utterances:
        notes.append("no speech was found in this recording")
    spoken = {u.speaker for u in utterances}
    listed = _listed(participants, mapping, spoken)
    transcript = build_transcript(
        utterances,
        participants=listed,
        languages=[language],
        media=media,
        media_type="video" if video else "audio",
        date=date,
        comments=[*comments, *notes],
        wor=options.wor,
    )
    return Composed(transcript, len(spoken), tuple(notes))


def _voices(heard: Recognised, options: TranscribeOptions, participants: Sequence[Participant]) -> Diarization:
    """Tell the speakers apart: by channel where each has one, else by voice."""
    if heard.tracker is None:
        turns = channel_turns(heard.regions)
        return Diarization(turns, len({t.speaker for t in turns}), {}, "one speaker a channel")
    if options.speakers is not None:
        return heard.tracker.finish(options.speakers or "auto")
    if participants:
        return heard.tracker.finish(len(participants))
    if sum(r.duration for r in heard.regions[0]) < SHORT_SPEECH_MS:
        return heard.tracker.finish("auto", max_speakers=DEFAULT_SPEAKERS)
    return heard.tracker.finish(DEFAULT_SPEAKERS)


def _attributed(heard: Recognised, diarization: Diarization) -> list[Word]:
    """Return all words in time order, each with the label of its speaker."""
    if heard.tracker is not None:
        return assign_speakers(heard.words[0], diarization.turns)
    words = [replace(w, speaker=str(n)) for n, channel in enumerate(heard.words) for w in channel]
    return sorted(words, key=lambda w: (w.start or 0, w.end or 0))


def _of_words(diarization: Diarization, words: Sequence[Word]) -> Diarization:
    """Leave out voices without a word, so that they take no code away: the first that speaks is PAR0."""
    speaking = {word.speaker for word in words}
    return replace(diarization, turns=tuple(t for t in diarization.turns if t.speaker in speaking))


def coded_utterance(
    draft: Draft, mapping: Mapping[str, Participant], language: str, options: TranscribeOptions
) -> Utterance | None:
    """Return an utterance with its disfluencies coded, or None where nothing of it can be written.

    Args:
        draft: Its words.
        mapping: The participant of each speaker label; PAR0 speaks where there is none.
        language: ISO 639-3 code.
        options: Pauses, marks and tiers.
    """
    coded = code_utterance(
        draft.words,
        draft.terminator,
        language=language,
        options=CodingOptions(
            pause_short_ms=options.pause_short_ms,
            pause_long_ms=options.pause_long_ms,
            uncertain=options.uncertain,
        ),
    )
    if not coded.text:
        return None
    starts = [w.start for w in draft.words if w.start is not None]
    ends = [w.end for w in draft.words if w.end is not None]
    participant = mapping.get(draft.speaker or "")
    code = participant.code if participant is not None else "PAR0"
    fluent = fluent_text(coded.text) if options.both else ""
    return Utterance(
        speaker=code,
        text=coded.text,
        start=min(starts) if starts else None,
        end=max(ends) if ends else None,
        words=coded.words,
        tiers=(Tier(FLUENT_TIER, fluent),) if fluent else (),
    )


def _listed(
    participants: Sequence[Participant], mapping: Mapping[str, Participant], spoken: set[str]
) -> list[Participant]:
    """Return the participants of the header: those the user named, then those that speak."""
    named = list(participants) or [p for p in mapping.values() if p.code in spoken]
    named += [p for p in mapping.values() if p.code in spoken and all(p.code != n.code for n in named)]
    return named or [Participant("PAR0")]
