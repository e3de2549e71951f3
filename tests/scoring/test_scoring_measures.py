"""Language-sample measures, worked out by hand."""

from __future__ import annotations

import pytest

from asrlsa.chat.parser import parse_chat
from asrlsa.scoring.measures import mattr, measure_sample
from asrlsa.scoring.sources import from_transcript
from asrlsa.scoring.syllables import syllables

# The sample that docs/measures.md works through.
SAMPLE = """@UTF8
@Begin
@Languages:\teng
@Participants:\tCHI Target_Child, INV Investigator
@ID:\teng|x|CHI|||||Target_Child|||
@ID:\teng|x|INV|||||Investigator|||
@Media:\tsample, audio
*CHI:\t&-um I [/] I want the ball . \x150_3000\x15
*CHI:\t<the dog> [//] the cat (.) s::o ran away . \x153500_6500\x15
*INV:\twhat happened (.) ? \x156600_6900\x15
*CHI:\t↫b-b↫boy ≠dog spa^ghetti &+f frog . \x157000_9000\x15
*CHI:\t<I want> [/] I want banana [/] banana (1.5) xxx . \x159500_12500\x15
@End
"""


def test_flucalc_example():
    found = measure_sample(from_transcript(parse_chat(SAMPLE), "sample"), window=10)
    child = found["CHI"]
    # Cleaned: I want the ball / the cat so ran away / boy dog spaghetti frog / I want banana.
    assert child.utterances == 4
    assert child.words == 4 + 5 + 4 + 3
    # i want the ball cat so ran away boy dog spaghetti frog banana
    assert child.different_words == 13
    assert child.ttr == pytest.approx(13 / 16)
    # The last utterance holds xxx and is left out of the mean length.
    assert child.mlu_words == pytest.approx((4 + 5 + 4) / 3)
    # 3 + 3 + 2 + 3 seconds of speech.
    assert child.words_per_minute == pytest.approx(16 / (11 / 60))
    # Said: um I I want the ball / the dog the cat so ran away / b- b- boy dog spaghetti f- frog /
    # I want I want banana banana: 6 + 7 + 7 + 6 = 26, of which 2 + 2 + 3 + 3 in mazes.
    assert child.fillers_percent == pytest.approx(100 / 26)
    assert child.mazes_percent == pytest.approx(100 * 10 / 26)
    # TD: <I want> [/], <the dog> [//], um, &+f, and two pauses inside utterances.
    assert child.td == 6
    # SLD: two colons, a block, a break, b-b, and I [/]; banana [/] has three syllables and does not count.
    assert child.sld == 6
    # 4 + 6 + 6 + 5 syllables.
    assert child.syllables == 21
    assert child.td_percent == pytest.approx(100 * 6 / 16)
    assert child.sld_percent == pytest.approx(100 * 6 / 16)
    assert child.td_per_100_syllables == pytest.approx(100 * 6 / 21)
    assert child.sld_per_100_syllables == pytest.approx(100 * 6 / 21)
    # Units: 2 of b-b (1 + one hyphen), 1 of I [/]; twice two prolongations and a block.
    assert child.weighted_sld == pytest.approx(100 * (2 + 1 + 2 * (2 + 1)) / 21)
    assert child.pauses == 2
    assert child.mean_pause == pytest.approx(1.5)
    adult = found["INV"]
    # The pause stands at the end of the utterance: no pause inside it.
    assert (adult.words, adult.td, adult.sld, adult.pauses, adult.mean_pause) == (2, 0, 0, 0, None)


@pytest.mark.parametrize(
    ("line", "td", "sld"),
    [
        ("I [/] I [/] I ran .", 0, 2),  # two groups, two repetitions
        ("banana [/] banana .", 0, 0),  # not monosyllabic
        ("<I want> [/] I want it .", 1, 0),
        ("I [//] he ran .", 1, 0),
        ("<I was> [/-] he ran .", 0, 0),  # FLUCALC counts neither false starts
        ("<all of> [///] we ran .", 0, 0),  # nor reformulations
        ("&~gah he ran .", 0, 0),  # nor nonwords
        ("&-um &-uh he ran .", 2, 0),
        ("he s:::aw it .", 0, 3),  # one a colon
        ("(.) he ran (.) .", 0, 0),  # pauses at the edges
        ("xxx (.) he ran .", 1, 0),  # a pause between what was said
        ("↫b-b-b↫boy ↫d↫dog .", 0, 2),  # two repetitions, however long
    ],
)
def test_td_and_sld_of_one_code(sample, line, td, sld):
    found = measure_sample(sample(line))["CHI"]
    assert (found.td, found.sld) == (td, sld)


def test_weighted_sld_of_part_word_units(sample):
    # b-b-b: 3 units (1 + 2 hyphens); he saw a boy: 4 syllables.
    assert measure_sample(sample("he saw a ↫b-b-b↫boy ."))["CHI"].weighted_sld == pytest.approx(100 * 3 / 4)


@pytest.mark.parametrize(
    ("line", "words", "different"),
    [
        ("ice_cream ice_cream truck .", 3, 2),  # a compound is one word
        ("ice+cream truck .", 2, 2),
        ("gonna [: going to] go .", 3, 3),  # the replacement counts
        ("The the THE .", 3, 1),
        ("xxx .", 0, 0),
        ("dog's dogs .", 2, 2),
    ],
)
def test_words_as_clan_counts_them(sample, line, words, different):
    found = measure_sample(sample(line, "go ."))["CHI"]
    assert (found.words - 1, found.different_words - ("go" not in line)) == (words, different)


def test_mattr_by_hand():
    # Windows a b, b a, a a: 2/2, 2/2, 1/2.
    assert mattr(["a", "b", "a", "a"], 2) == pytest.approx((1 + 1 + 0.5) / 3)
    assert mattr(["a", "b", "a"], 3) == pytest.approx(2 / 3)
    assert mattr(["a", "b"], 3) is None


@pytest.mark.parametrize(
    ("word", "count"),
    [("I", 1), ("banana", 3), ("away", 2), ("Spaghetti", 3), ("every", 3), ("dog's", 1), ("church's", 2),
     ("ice_cream", 2), ("blorping", 2), ("snorfle", 2), ("smeeked", 1), ("frabes", 1), ("zub", 1), ("", 0)],
)  # fmt: skip
def test_syllables(word, count):
    assert syllables(word) == count


def test_syllables_of_other_languages_count_vowel_groups():
    assert syllables("mariposa", "spa") == 4


def test_a_mask_at_the_end_of_an_utterance_is_not_the_next_one_s(sample):
    found = measure_sample(sample("I ran xxx .", "we went home .", "xxx ."))["CHI"]
    assert (found.utterances, found.mlu_words) == (2, 3.0)
