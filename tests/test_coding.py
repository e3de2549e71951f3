"""Coding verbatim words as CHAT: golden cases, laws, options."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrlsa.chat.main_rules import main_tier_problems
from asrlsa.disfluency import CodingOptions, code_utterance, read_main_tier
from asrlsa.language import spell_out
from asrlsa.types import Word

HEADER = "@UTF8\n@Begin\n@Languages:\t{0}\n@Participants:\tPAR0 Participant\n@ID:\t{0}|asrlsa|PAR0|||||Participant|||\n"


def timed(text: str) -> list[Word]:
    """Read the words of a golden case: ``(0.5)`` is a silence, ``that{400}`` a word of 400 ms."""
    found, now = [], 0
    for token in text.split():
        silence = re.fullmatch(r"\((\d+\.\d+)\)", token)
        if silence:
            now += round(1000 * float(silence[1]))
            continue
        length = re.fullmatch(r"(.+)\{(\d+)\}", token)
        text, duration = (length[1], int(length[2])) if length else (token, 200)
        found.append(Word(text, now, now + duration))
        now += duration
    return found


def golden() -> list[tuple[str, str, str]]:
    cases, language = [], "eng"
    for line in (Path(__file__).parent / "coding_cases.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            language = line[3:6]
        elif "=>" in line:
            heard, _, expected = line.partition("=>")
            cases.append((language, heard.strip(), expected.strip()))
    return cases


def coded(heard: str, language: str = "eng", **options: float) -> str:
    return code_utterance(
        spell_out(timed(heard), language), ".", language=language, options=CodingOptions(**options)
    ).text


def test_there_are_many_golden_cases() -> None:
    assert len(golden()) > 250


@pytest.mark.parametrize(("language", "heard", "expected"), golden())
def test_golden(language: str, heard: str, expected: str) -> None:
    assert coded(heard, language) == expected


def test_golden_cases_pass_the_independent_validator(judge: Callable[[str], list[str]]) -> None:
    for language in ("eng", "spa", "fra", "deu", "por"):
        lines = [expected for code, _, expected in golden() if code == language]
        text = HEADER.format(language) + "".join(f"*PAR0:\t{line}\n" for line in lines) + "@End\n"
        assert judge(text) == []


VOCABULARY_TEXT = (
    "I I he she it the the a dog cat was is went want um uh b- w- th- I- the- dog- and and then because in to what did "
    "that that very no I'm he's it's [laughs] xxx FBI five $20 mean, I, dog. store? when— falled fell can could you "
    "there re-read st-store I-I b-b-ball ha-ha had Mary U.S. ... — twenty-five"
)
VOCABULARY = VOCABULARY_TEXT.split()
tokens = st.lists(
    st.tuples(
        st.sampled_from(VOCABULARY),
        st.sampled_from([0, 0, 0, 100, 300, 600, 1200]),
        st.sampled_from([1, 80, 200, 500]),
        st.booleans(),
    ),
    min_size=1,
    max_size=16,
)


def heard_words(drawn: list[tuple[str, int, int, bool]]) -> list[Word]:
    found, now = [], 0
    for text, silence, duration, has_time in drawn:
        now += silence
        found.append(Word(text, now, now + duration, 0.5) if has_time else Word(text, confidence=0.9))
        now += duration
    return spell_out(found, "eng")


@given(tokens, st.sampled_from([".", "?", "!", "+...", "+//.", "+/."]))
def test_what_is_coded_reads_back_as_what_was_said(drawn: list[tuple[str, int, int, bool]], terminator: str) -> None:
    words = heard_words(drawn)
    if not words:
        return
    result = code_utterance(words, terminator)
    reading = read_main_tier(result.text)
    assert list(reading.verbatim) == [part for word in result.words for part in re.split("[_+]", word.text)]
    assert reading.terminator == terminator
    assert main_tier_problems(result.text, ["eng"]) == []
    times = [(word.start, word.end) for word in result.words]
    given_times = [(word.start, word.end) for word in words]
    assert [t for t in given_times if t in times] == times or set(times) <= set(given_times)


@given(tokens)
def test_cleaned_words_are_some_of_the_words_in_order(drawn: list[tuple[str, int, int, bool]]) -> None:
    words = heard_words(drawn)
    if not words:
        return
    result = code_utterance(words, ".")
    reading = read_main_tier(result.text)
    rest = iter(reading.verbatim)
    assert all(word in rest for word in reading.clean)
    # The last word that was said is never taken back.
    said = [word for word in reading.words if word.kind == "word"]
    assert not said or said[-1].clean is not None


def test_words_keep_time_confidence_and_speaker() -> None:
    words = [Word("Umm,", 0, 100, 0.4, "A"), Word("w-", 150, 200, 0.3, "A"), Word("went.", 210, 400, 0.9, "A")]
    result = code_utterance(spell_out(words, "eng"), ".")
    assert result.words == (
        Word("um", 0, 100, 0.4, "A"),
        Word("w-", 150, 200, 0.3, "A"),
        Word("went", 210, 400, 0.9, "A"),
    )


def test_uncertain_words_are_marked_and_unresolved_ones_masked() -> None:
    words = [Word("the", 0, 90, 0.9), Word("dog", 100, 200, 0.4), Word("dog", 210, 300, 0.1), Word("um", 310, 400, 0.1)]
    assert code_utterance(words, ".").text == "the dog [/] dog &-um ."
    assert code_utterance(words, ".", options=CodingOptions(uncertain=0.5)).text == "the dog [?] [/] dog [?] &-um ."
    masked = code_utterance(words, ".", options=CodingOptions(uncertain=0.5, unresolved=0.2))
    assert masked.text == "the dog [?] xxx &-um ."
    assert [word.text for word in masked.words] == ["the", "dog", "um"]


def test_pause_thresholds_are_settable() -> None:
    assert coded("I (0.3) ran (0.8) home", pause_short_ms=500, pause_long_ms=700) == "I ran (0.8) home ."


def test_a_pause_never_stands_before_a_code_or_at_the_edges() -> None:
    text = coded("(2.0) I (2.0) I (2.0) went")
    assert text == "I [/] (2.0) I (2.0) went ."


def test_overlapping_and_untimed_words_make_no_pause() -> None:
    words = [Word("I", 0, 500), Word("ran", 400, 600), Word("home"), Word("fast", 700, 900)]
    assert code_utterance(words, ".").text == "I ran home fast ."


def test_a_repetition_keeps_the_capitals_of_the_last_copy() -> None:
    assert code_utterance([Word("Dog"), Word("dog"), Word("ran")], ".").text == "dog [/] dog ran ."


def test_no_words_is_an_error() -> None:
    with pytest.raises(ValueError, match="without words"):
        code_utterance([], ".")
    with pytest.raises(ValueError, match="without text"):
        code_utterance([Word("")], ".")


def test_a_token_that_chat_cannot_hold_is_masked() -> None:
    assert code_utterance([Word("I"), Word("r2d2"), Word("ran")], ".").text == "I xxx ran ."


@pytest.mark.shared
def test_fluent_reading_is_left_alone(shared_data: Path) -> None:
    import json

    marks = said = 0
    for line in (shared_data / "child_read" / "manifest.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if row["split"] == "train":
            text = coded(row["text_verbatim"])
            marks += text.count("[/")
            said += len(text.split())
    assert said > 2000
    # Three marks stand where the prompt itself says a word twice or three times ("bank bank bank").
    assert marks <= 3
