"""From what was heard to the transcript: codes, languages, comments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from asrlsa.chat.check import check_chat
from asrlsa.config import TranscribeOptions
from asrlsa.speech.compose import Composed, compose
from asrlsa.speech.recognise import Recognised, Source
from asrlsa.speech.speakers import Diarization
from asrlsa.types import Participant, Span, Turn, Word


class Tracker:
    def __init__(self, *turns: Turn) -> None:
        self.turns = turns

    def finish(self, speakers: int | str, **limits: Any) -> Diarization:
        return Diarization(self.turns, len({t.speaker for t in self.turns}))


def composed(words: list[Word], *turns: Turn, language: str = "en", people: tuple[Participant, ...] = ()) -> Composed:
    heard = Recognised(
        Source("talk", ()), 20_000, language, [words], [[Span(0, 20_000)]], Tracker(*turns) if turns else None
    )  # type: ignore[arg-type]
    return compose(
        heard, options=TranscribeOptions(), participants=people, media="talk", video=False, date=None, comments=[]
    )


def test_a_voice_without_words_takes_no_code_away() -> None:
    words = [Word("hello", 5_000, 5_400, 0.9), Word("there.", 5_400, 5_900, 0.9)]
    found = composed(words, Turn(0, 1_000, "0"), Turn(4_900, 6_000, "1"))
    assert [p.code for p in found.transcript.participants] == ["PAR0"]
    assert [u.speaker for u in found.transcript.utterances] == ["PAR0"]


@pytest.mark.parametrize("language", ["en", "es"])
def test_participants_have_the_language_of_the_transcript_or_their_own(
    language: str, judge: Callable[[str], list[str]]
) -> None:
    people = (Participant("CHI", "Target_Child"), Participant("MOT", "Mother", language="por"))
    found = composed(
        [Word("no.", 5_000, 5_400, 0.9)],
        Turn(0, 6_000, "0"),
        Turn(7_000, 9_000, "1"),
        Turn(9_000, 9_900, "2"),
        language=language,
        people=people,
    )
    main = {"en": "eng", "es": "spa"}[language]
    assert found.transcript.languages == (main, "por")
    assert [(p.code, p.language) for p in found.transcript.participants] == [("CHI", main), ("MOT", "por")]
    text = found.transcript.to_chat()
    assert check_chat(text) == []
    assert judge(text) == []


def test_silence_is_said() -> None:
    found = composed([])
    assert list(found.transcript.values("Comment")) == ["no speech was found in this recording"]
    assert found.speakers == 0
