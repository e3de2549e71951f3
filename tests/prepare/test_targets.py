"""What a model is to write, and ages."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from asrlsa.corpora.ages import AgeRange, band, months, written
from asrlsa.corpora.targets import coded_target, is_coded, plain_target
from asrlsa.errors import ConfigError


@pytest.mark.parametrize(
    ("tier", "verbatim", "fluent", "sentence", "fluent_sentence"),
    [
        ("↫b-b↫ball &-um .", "b- b- ball um", "ball", "B- b- ball um.", "Ball."),
        ("<I want> [/] I want it ?", "I want I want it", "I want it", "I want I want it?", "I want it?"),
        (
            "he &+fr went [//] walked (.) home +...",
            "he fr- went walked home",
            "he walked home",
            "He fr- went walked home...",
            "He walked home...",
        ),
        (
            "well , &-uh , (be)cause it's wanna [: want to] !",
            "well uh cause it's wanna",
            "well because it's want to",
            "Well, uh, cause it's wanna!",
            "Well, because it's want to!",
        ),
        (
            "&=laughs so &*MOT:mhm Santa_Claus came +//.",
            "so Santa Claus came",
            "so Santa Claus came",
            "So Santa Claus came—",
            "So Santa Claus came—",
        ),
        ("I &+g +//.", "I g-", "I", "I g-", "I—"),
        ("&=coughs .", "", "", "", ""),
        ("0 .", "", "", "", ""),
    ],
)
def test_chat_becomes_words(tier, verbatim, fluent, sentence, fluent_sentence):
    target = coded_target(tier)
    assert (target.verbatim, target.fluent) == (verbatim, fluent)
    assert (target.sentence, target.fluent_sentence) == (sentence, fluent_sentence)
    assert target.words == len(verbatim.split())


def test_events_and_masks_are_counted():
    target = coded_target("<the dog> [/] the dog &-um xxx &-uh www .")
    assert dict(target.events) == {"phrase_repetition": 1, "filled_pause": 2}
    assert target.masks == ("xxx", "www")


@given(st.text(alphabet="ab &-+[]/<>(.):,?!x\x15_1↫≠0", max_size=40))
@example("1(&)")
def test_no_code_is_left_in_any_target(text):
    target = coded_target(text)
    for made in (target.verbatim, target.fluent, target.sentence, target.fluent_sentence):
        assert not set(made) & set("[]<>&\x15↫≠")
        assert made == " ".join(made.split())
    assert bool(target.sentence) == bool(target.verbatim)


def test_plain_text_stays_but_for_notes():
    target = plain_target("Um, I [laughter] saw b- ball . <cutoff-mont> <hes-align> ok", "eng")
    assert target.verbatim == "Um, I saw b- ball. mont- align ok"
    assert target.fluent == "I saw ball. align ok"
    assert dict(target.events) == {"filled_pause": 1, "fragment": 2}
    assert plain_target("so <unk> it [UNK] xxx.", "eng").masks == ("xxx",) * 3


@pytest.mark.parametrize(
    ("text", "coded"), [("so &-um yes", True), ("I go .", True), ("I go.", False), ("he [/] he", True)]
)
def test_chat_is_told_from_plain_text(text, coded):
    assert is_coded(text) == coded


def test_ages():
    assert months("4;06.") == 54
    assert months("4;") == 48
    assert months("") is None
    assert written(6) == "6;"
    assert written("4;6") == "4;06."
    assert written(4.5) == "4;06."
    assert written(5.0) == "5;"
    assert written("twenties") == ""
    assert (band("2;11."), band("3;"), band("70;"), band("")) == ("0-2", "3-5", "65+", "")


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("4;0-6;11", ["4;", "6;11.30"], ["3;11.30", "7;", ""]),
        ("4-6", ["4;", "6;11."], ["7;"]),
        ("4", ["4;", "4;11."], ["5;"]),
        ("65-", ["65;", "99;"], ["64;11."]),
        ("-3", ["0;06.", "3;11."], ["4;"]),
    ],
)
def test_age_ranges(text, inside, outside):
    found = AgeRange.of(text)
    assert [found.holds(age) for age in inside] == [True] * len(inside)
    assert [found.holds(age) for age in outside] == [False] * len(outside)


@pytest.mark.parametrize("text", ["", "-", "6-4", "young", "4.5-6"])
def test_no_age_range(text):
    with pytest.raises(ConfigError, match="4;0-6;11"):
        AgeRange.of(text)
