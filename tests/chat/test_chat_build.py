import datetime
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrlsa.chat.build import build_transcript
from asrlsa.chat.check import check_chat
from asrlsa.chat.parser import parse_chat
from asrlsa.chat.timeline import arrange
from asrlsa.chat.wor import wor_tokens, wor_words
from asrlsa.chat.writer import write_chat
from asrlsa.errors import ChatError
from asrlsa.types import Participant, Tier, Transcript, Utterance, Word

CHI = Participant("CHI", "Target_Child", age="4;06.", sex="female")
MOT = Participant("MOT", "Mother")


def built(*utterances: Utterance, **options: object) -> Transcript:
    given = {"participants": [CHI, MOT], "languages": ["eng"], "media": "x"}
    return build_transcript(utterances, **{**given, **options})  # type: ignore[arg-type]


def said(speaker: str, text: str, start: int | None = None, end: int | None = None, *words: Word) -> Utterance:
    return Utterance(speaker, text, start, end, words)


def test_a_whole_file(judge) -> None:
    transcript = built(
        said("MOT", "yes .", 900, 1200, Word("Yes.", 950, 1150, 0.9)),
        said(
            "CHI",
            "I [/] &-um I &+r ran .",
            0,
            1000,
            Word("I", 0, 100),
            Word("um", 100, 300),
            Word("I", 300, 400),
            Word("r-", 400, 500),
            Word("ran", 500, 900),
        ),
        comments=["asrlsa 0.1\n\tbase", " "],
        date=datetime.date(2024, 3, 5),
    )
    text = write_chat(transcript)
    assert text == (
        "@UTF8\n@Begin\n@Languages:\teng\n@Participants:\tCHI Target_Child, MOT Mother\n"
        "@ID:\teng|asrlsa|CHI|4;06.|female|||Target_Child|||\n@ID:\teng|asrlsa|MOT|||||Mother|||\n"
        "@Media:\tx, audio\n@Date:\t05-MAR-2024\n@Comment:\tasrlsa 0.1 base\n"
        "*CHI:\tI [/] &-um I &+r ran . \x150_1000\x15\n"
        "%wor:\tI \x150_100\x15 um \x15100_300\x15 I \x15300_400\x15 ran \x15500_900\x15 .\n"
        "*MOT:\tyes . \x15900_1200\x15\n%wor:\tyes \x15950_1150\x15 .\n@End\n"
    )
    assert check_chat(text, "x") == []
    assert judge(text) == []


def test_silence_is_a_valid_file(judge) -> None:
    text = write_chat(built(comments=["no speech was found"]))
    assert "@Media:\tx, audio, unlinked\n" in text
    assert check_chat(text) == []
    assert judge(text) == []


def test_what_says_nothing_is_left_out() -> None:
    texts = ["", ".", " , .", "dog .", "&=laughs .", "xxx .", "(.) .", "[?] ."]
    kept = built(*(said("CHI", text) for text in texts)).utterances
    assert [utterance.text for utterance in kept] == ["dog .", "&=laughs .", "xxx .", "(.) ."]


def test_wor_only_when_wanted_and_timed() -> None:
    timed = said("CHI", "dog .", 0, 10, Word("dog", 0, 5))
    assert [tier.name for tier in built(timed).utterances[0].tiers] == ["wor"]
    for utterance, options in (
        (timed, {"wor": False}),
        (said("CHI", "dog .", 0, 10), {}),
        (said("CHI", "dog .", 0, 10, Word("dog")), {}),
        (said("CHI", "dog .", None, None, Word("dog", 0, 5)), {}),
        (timed, {"media": None}),
    ):
        assert built(utterance, **options).utterances[0].tiers == ()


def test_without_media_there_are_no_times() -> None:
    text = write_chat(built(said("CHI", "dog .", 0, 10), media=None))
    assert "@Media" not in text
    assert "\x15" not in text
    assert check_chat(text) == []


@pytest.mark.parametrize(
    ("stem", "value"),
    [("a b", "a b"), ("a,b", '"a,b"'), (' a"b\n', "a'b"), ("é 日", "é 日"), ("a.b-c_(1)", "a.b-c_(1)")],
)
def test_media_names(stem: str, value: str, judge) -> None:
    text = write_chat(built(said("CHI", "dog .", 0, 10), media=stem, media_type="video"))
    assert f"@Media:\t{value}, video\n" in text
    assert judge(text) == []
    assert check_chat(text) == []


def test_one_odd_token_does_not_cost_the_file(judge) -> None:
    transcript = built(said("CHI", "I have 2 <dogs — [/ ] &+b", 0, 9, Word("I", 1, 2)))
    (utterance,) = transcript.utterances
    assert utterance.text == "I have xxx dogs &+b ."
    assert utterance.tiers[-1] == Tier("xrepaired", "I have 2 <dogs — [/ ] &+b")
    text = write_chat(transcript)
    assert judge(text) == []
    assert check_chat(text) == []


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"participants": []}, "needs a participant"),
        ({"participants": [CHI, CHI]}, "given twice"),
        ({"participants": [Participant("chi")]}, "code 'chi'"),
        ({"participants": [Participant("CHI", "Boss")]}, "no role 'Boss'"),
        ({"participants": [replace(CHI, age="4;6")]}, "age of CHI"),
        ({"participants": [replace(CHI, sex="f")]}, "sex of CHI"),
        ({"participants": [replace(CHI, ses="rich")]}, "ses of CHI"),
        ({"participants": [replace(CHI, custom="a|b")]}, "without |"),
        ({"participants": [replace(CHI, group="a\nb")]}, "one line"),
        ({"languages": []}, "needs a language"),
        ({"languages": ["en"]}, "three-letter"),
        ({"media_type": "film"}, "audio or video"),
    ],
)
def test_what_chat_does_not_allow_is_refused(options: dict[str, object], part: str) -> None:
    with pytest.raises(ChatError, match=part.replace("|", r"\|")):
        built(**options)


def test_an_unknown_speaker_is_refused() -> None:
    with pytest.raises(ChatError, match="'FAT' speaks"):
        built(said("FAT", "hi ."))


def times(*utterances: Utterance) -> list[tuple[str, int | None, int | None]]:
    return [(utterance.speaker, utterance.start, utterance.end) for utterance in arrange(utterances)]


@pytest.mark.parametrize(
    ("given", "arranged"),
    [
        # sorted by begin, others may overlap
        ([("CHI", 5, 9), ("MOT", 0, 7)], [("MOT", 0, 7), ("CHI", 5, 9)]),
        # the earlier one ends where the later one begins
        ([("CHI", 0, 9), ("CHI", 5, 12)], [("CHI", 0, 5), ("CHI", 5, 12)]),
        ([("CHI", 0, 90), ("MOT", 3, 9), ("CHI", 50, 60)], [("CHI", 0, 50), ("MOT", 3, 9), ("CHI", 50, 60)]),
        # equal begins: the later one begins where the earlier one ends, after others where need be
        ([("CHI", 0, 5), ("CHI", 0, 9), ("MOT", 2, 4)], [("CHI", 0, 5), ("MOT", 2, 4), ("CHI", 5, 9)]),
        ([("CHI", 0, 9), ("CHI", 0, 8)], [("CHI", 0, 4), ("CHI", 4, 8)]),
        ([("CHI", 0, 1), ("CHI", 0, 1)], [("CHI", 0, 1), ("CHI", None, None)]),
        # what has no times keeps its place; impossible times are none
        ([("CHI", 5, 9), ("MOT", None, None), ("CHI", 2, 4)], [("CHI", 2, 4), ("CHI", 5, 9), ("MOT", None, None)]),
        ([("CHI", 5, 5), ("MOT", 9, 3), ("CHI", -5, 3)], [("CHI", None, None), ("MOT", None, None), ("CHI", 0, 3)]),
    ],
)
def test_arrange(given: list[tuple[str, int, int]], arranged: list[tuple[str, int, int]]) -> None:
    assert times(*(said(speaker, "a .", start, end) for speaker, start, end in given)) == arranged


def test_words_are_cut_to_their_utterance() -> None:
    words = (Word("a", 0, 4), Word("b", 3, 8), Word("c", 7, 9), Word("d", 1, 2), Word("e"))
    first, _ = arrange([said("CHI", "a b c d e .", 1, 20, *words), said("CHI", "f .", 6, 30)])
    assert [(w.text, w.start, w.end) for w in first.words] == [
        ("a", 1, 4),
        ("b", 3, 6),
        ("c", None, None),
        ("d", None, None),
        ("e", None, None),
    ]


@pytest.mark.parametrize(
    ("text", "words", "wor"),
    [
        ("&-um I &+b ↫b-b↫boy .", "um 0 1, I 1 2, b- 2 3, b- 3 4, b- 4 5, boy 5 6", "um 0 1, I 1 2, ↫b-b↫boy 5 6"),
        ("&-≠u:m .", "um 0 1", "um 0 1"),
        ("I like ice_cream .", "I 0 1, like 1 2, ice 2 3, cream 3 5", "I 0 1, like 1 2, ice_cream 2 5"),
        ("I have twenty dogs .", "I 0 1, have 1 2, 20 2 6, dogs. 6 7", "I 0 1, have 1 2, twenty 2 6, dogs 6 7"),
        ("aaa b dogs .", "3 0 8, dogs 8 9", "aaa 0 6, b 6 8, dogs 8 9"),
        ("aaa b c dogs .", "3 0 2, dogs 8 9", "aaa - -, b - -, c - -, dogs 8 9"),
        ("the xxx dog .", "the 0 1, blurb 1 2, dog 2 3", "the 0 1, dog 2 3"),
        ("the &~xyz dog .", "the 0 1, xyz 1 2, dog 2 3", "the 0 1, dog 2 3"),
        ("the big dog .", "the 0 1, dog 2 3", "the 0 1, big - -, dog 2 3"),
        ("(be)cause I ran .", "cause 0 1, I 1 2, ran 2 3", "(be)cause 0 1, I 1 2, ran 2 3"),
        ("I [/] I ran .", "I 0 1, I 1 2, ran 2 3", "I 0 1, I 1 2, ran 2 3"),
    ],
)
def test_wor_words(text: str, words: str, wor: str) -> None:
    def parsed(line: str) -> tuple[Word, ...]:
        parts = [entry.split() for entry in line.split(", ")]
        return tuple(Word(w, None if a == "-" else int(a), None if b == "-" else int(b)) for w, a, b in parts)

    got = wor_words(said("CHI", text, 0, 99, *parsed(words)))
    assert [replace(word, speaker=None) for word in got] == list(parsed(wor))


TIMES = st.one_of(st.none(), st.integers(-20, 300))
ITEMS = (
    "I the dog Dog &-um &+b &~x xxx < > [/] [//] [///] [/-] [?] [*] (.) (1.5) , . ? +... 0 0is &=x &*MOT:x ↫b-b↫b s::o "
    "≠a a^b ice_cream (be)cause b@l 3 um ran. don’t … — [laughs] “ ” [+_x] ++ [-_spa] [x_2] ü \u200b 日本 & "
    "\x15 \x150_5\x15"
)
TEXTS = st.lists(st.sampled_from(ITEMS.split(" ")), max_size=8).map(
    lambda items: " ".join(item.replace("_x]", " x]").replace("_spa]", " spa]").replace("_2]", " 2]") for item in items)
)
WORDS = st.lists(
    st.builds(Word, st.sampled_from(["I", "dog.", "um", "b-", "3", "the", ""]), TIMES, TIMES), max_size=6
).map(tuple)
UTTERANCES = st.lists(
    st.builds(Utterance, st.sampled_from(["CHI", "MOT"]), st.one_of(TEXTS, st.text(max_size=20)), TIMES, TIMES, WORDS),
    max_size=6,
)


@given(
    UTTERANCES, st.booleans(), st.one_of(st.none(), st.sampled_from(["x", "a,b", 'a"b'])), st.lists(st.text(max_size=9))
)
def test_everything_built_is_valid(judge, utterances, wor, media, comments) -> None:
    transcript = built(*utterances, wor=wor, media=media, comments=comments)
    text = write_chat(transcript)
    assert [problem for problem in check_chat(text) if problem.severity == "error"] == []
    assert judge(text) == []
    again = parse_chat(text)
    assert again.headers == transcript.headers
    assert [replace(u, words=()) for u in again.utterances] == [replace(u, words=()) for u in transcript.utterances]
    assert write_chat(again) == text


PLAIN = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=20)
TRANSCRIPTS = st.lists(
    st.tuples(
        st.sampled_from(["CHI", "MOT"]), TEXTS, st.one_of(st.none(), st.tuples(st.integers(0), st.integers(0))), PLAIN
    ),
    max_size=5,
)


@given(TRANSCRIPTS)
def test_parse_undoes_write(rows) -> None:
    headers = built().lines
    body = []
    for speaker, text, span, tier in rows:
        start, end = span or (None, None)
        while text.endswith("\x15"):  # such an ending is the utterance's bullet
            text = text[:-1].rstrip()
        body.append(Utterance(speaker, text, start, end, (), (Tier("xown", tier), Tier("com", tier))))
    transcript = Transcript((*headers[:-1], *body, headers[-1]))
    assert parse_chat(write_chat(transcript)) == transcript


@given(UTTERANCES)
def test_arranged_utterances_never_overlap_themselves(utterances) -> None:
    arranged = arrange(utterances)
    assert len(arranged) == len(utterances)
    begins = [u.start for u in arranged if u.start is not None]
    assert begins == sorted(begins)
    ends: dict[str, int] = {}
    for u in arranged:
        if u.start is not None and u.end is not None:
            assert ends.get(u.speaker, 0) <= u.start < u.end
            ends[u.speaker] = u.end
        for word in u.words:
            if word.start is not None and word.end is not None and u.start is not None and u.end is not None:
                assert u.start <= word.start < word.end <= u.end


@given(UTTERANCES)
def test_wor_has_a_word_for_every_written_word(utterances) -> None:
    for utterance in utterances:
        assert len(wor_words(utterance)) == len(wor_tokens(utterance.text))
