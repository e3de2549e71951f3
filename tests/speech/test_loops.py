"""Loops are told from real repetitions by the time their copies take."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from asrlsa.speech.loops import MIN_COPY_MS, find_loop
from asrlsa.types import Span, Word


def spoken(text: str, ms: int, start: int = 0) -> list[Word]:
    words = []
    for token in text.split():
        words.append(Word(token, start, start + ms))
        start += ms
    return words


def test_a_person_may_say_a_word_eight_times():
    assert find_loop(spoken("I I I I I I I I went", 160)) is None


def test_a_stuttered_phrase_is_not_a_loop():
    assert find_loop(spoken("in a in a in a sort of a summary", 120)) is None


def test_copies_that_share_frames_are_a_loop_and_the_spoken_ones_stay():
    words = [*spoken("so in a sort of in a sort of", 150), *spoken("in a sort of " * 6, 0, 1350)]
    assert find_loop(words) == (9, len(words))
    assert " ".join(w.text for w in words[:9]) == "so in a sort of in a sort of"


def test_one_squeezed_copy_is_an_alignment_error():
    words = spoken("no no no no", 200)
    words[2] = Word("no", 400, 410)
    assert find_loop(words) is None


def test_copies_in_silence_are_a_loop():
    words = spoken("thank you " * 5, 300)
    assert find_loop(words, speech=[Span(0, 700)]) == (2, 10)
    assert find_loop(words, speech=[Span(0, 3000)]) is None


def test_a_run_to_the_maximum_length_is_a_loop_even_when_its_copies_have_time():
    words = spoken("uh " * 40, 200)
    assert find_loop(words) is None
    assert find_loop(words, truncated=True) == (1, 40)


def test_running_out_of_room_without_a_run_is_not_a_loop():
    assert find_loop(spoken("one two three four five six seven eight nine ten", 100), truncated=True) is None


def test_different_words_without_any_time_are_text_that_the_audio_does_not_hold():
    words = [*spoken("we went home", 300), *spoken("and then he said that it was all over", 10, 900)]
    assert find_loop(words) == (3, 12)


def in_parts(parts: str, ms: int, start: int = 0) -> tuple[Word, list[Word]]:
    """A word of hyphened parts, each so long, with its parts."""
    pieces = spoken(parts.replace("-", " -"), ms, start)
    return Word(parts, start, pieces[-1].end), pieces


def test_a_loop_inside_one_word_is_found_by_the_times_of_its_parts():
    spoken_part, first = in_parts("a-a-a", 250)
    squeezed, rest = in_parts("-a" * 20, 0, 750)
    word = Word(spoken_part.text + squeezed.text, 0, 8_000)  # a time that 23 sounds could have
    before, after = Word("no", -300, -10), Word("dog", 8_000, 8_300)
    words, pieces = [before, word, after], [[before], [*first, *rest], [after]]
    assert find_loop(words) is None
    assert find_loop(words, pieces=pieces) == (1, 2)


def test_a_stuttered_word_is_not_a_loop_and_a_few_parts_are_not_looked_at():
    word, pieces = in_parts("b-b-b-b-b-b-b-ball", 120)
    assert find_loop([word], pieces=[pieces]) is None
    word, pieces = in_parts("b-b-b-ball", 10)  # cross-attention blurs short parts
    assert find_loop([word], pieces=[pieces]) is None
    word, pieces = in_parts("mon-tre-al-for-ced-al-ig-ner", 10)
    assert find_loop([word], pieces=[pieces]) is None


def at(*entries: tuple[str, int, int]) -> list[Word]:
    return [Word(*entry) for entry in entries]


def test_four_copies_of_a_sound_are_what_people_who_stutter_say():
    # cross-attention gives a short sound one moment; the next sound begins when it has been said
    words = at(("d-", 0, 60), ("d-", 200, 200), ("d-", 380, 380), ("d-", 520, 520), ("dog", 700, 1_000))
    assert find_loop(words) is None
    assert find_loop(words, speech=[Span(0, 1_000)]) is None


def test_copies_of_a_sound_that_share_frames_are_a_loop_even_when_they_are_few():
    words = at(("m-", 0, 260), ("m-", 380, 540), ("m-", 640, 640), ("m-", 680, 680), ("late", 720, 1_000))
    assert find_loop(words) == (2, 4)


def test_a_fragment_that_goes_on_needs_every_copy_and_a_word_to_lead_to():
    said = [Word("d-", 200 * i, 200 * i + 20) for i in range(6)]
    assert find_loop([*said, Word("dog", 1_200, 1_500)]) is None
    assert find_loop(said) == (3, 6)  # leads nowhere
    assert find_loop([*said, Word("okay", 1_200, 1_500)]) == (3, 6)  # nor to a word that they begin
    assert find_loop([Word("mon", -400, -50), *spoken("tre- or- " * 5 + "tre-", 200)]) == (7, 11)
    squeezed = [*said[:4], Word("d-", 800, 800), Word("d-", 820, 820), Word("dog", 1_200, 1_500)]
    assert find_loop(squeezed) == (3, 6)  # one copy among six is impossible


def test_beyond_four_copies_one_that_is_impossible_is_enough():
    words = spoken("word word word word word", 200)
    assert find_loop(words) is None
    assert find_loop([*words, Word("word", 1_000, 1_010)]) == (3, 6)


@given(
    st.sampled_from(["d-", "the", "uh"]), st.integers(3, 30), st.lists(st.integers(0, 300), min_size=30, max_size=30)
)
def test_at_most_three_copies_of_a_loop_are_taken_for_spoken(text: str, copies: int, lengths: list[int]):
    words, start = [], 0
    for length in lengths[:copies]:
        words.append(Word(text, start, start + length))
        start += length
    found = find_loop(words)
    assert found is None or (found[0] <= 3 and found[1] == copies)


def test_words_without_times_are_no_evidence():
    assert find_loop([Word("no")] * 5) is None


@given(st.lists(st.sampled_from(["a", "b", "the", "um"]), max_size=40), st.integers(MIN_COPY_MS, 400))
def test_whatever_is_said_at_a_human_pace_is_no_loop(texts: list[str], ms: int):
    assert find_loop(spoken(" ".join(texts), ms)) is None


@given(
    st.lists(st.sampled_from(["m-", "m-", "d-", "the", "okay", "mum", "xxx"]), min_size=1, max_size=14),
    st.lists(st.integers(0, 300), min_size=14, max_size=14),
)
def test_cutting_loops_ends_and_each_cut_takes_words_away(texts: list[str], lengths: list[int]):
    """As asrlsa.speech.repairs does it: what loops becomes one xxx, until nothing loops."""
    words, now = [], 0
    for text, length in zip(texts, lengths, strict=False):
        words.append(Word(text, now, now + length))
        now += length
    left = sum(word.text != "xxx" for word in words), len(words)
    while (loop := find_loop(words)) is not None:
        first, last = loop
        words[first:last] = [Word("xxx", words[first].start, words[last - 1].end)]
        before, left = left, (sum(word.text != "xxx" for word in words), len(words))
        assert left < before


def test_fragments_that_lead_nowhere_are_cut_once():
    for copies in (3, 4, 6):
        words = [*spoken("m- " * copies, 200), Word("okay", 2_000, 2_300)]
        first, last = find_loop(words) or (0, 0)
        assert (first, last) == (min(3, copies - 1), copies)
        words[first:last] = [Word("xxx", words[first].start, words[last - 1].end)]
        assert find_loop(words) is None
