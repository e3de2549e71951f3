"""Word times: laws of ``monotone``, pronunciations, and real forced alignment on real speech."""

import itertools
import json
import os
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrlsa.speech.pronunciation import LETTERS, VOWELS, Unit, fragment_phones, units, word_phones
from asrlsa.speech.times import NEAR_MS, SHORTEST_MS, WordAligner, monotone, plausible
from asrlsa.types import Span, Word

DATA = Path(os.environ.get("ASRLSA_SHARED", Path(__file__).resolve().parents[2] / "shared")) / "data"
RATE = 16000

times = st.one_of(st.none(), st.integers(0, 20_000))
words = st.lists(st.builds(Word, st.sampled_from(["um", "the", "b-", "dog."]), times, times), max_size=25)
spans = st.tuples(st.integers(0, 20_000), st.integers(0, 3_000)).map(lambda p: Span(p[0], p[0] + p[1]))
regions = st.lists(spans, max_size=6)


# monotone -------------------------------------------------------------------------------------------------------


@given(words, regions)
def test_monotone_orders_and_separates_words(found, speech):
    result = monotone(found, speech)
    assert [w.text for w in result] == [w.text for w in found]
    timed = [w for w in result if w.start is not None]
    assert all((w.start is None) == (w.end is None) for w in result)
    assert all(w.end - w.start >= SHORTEST_MS for w in timed)
    assert all(a.end <= b.start for a, b in itertools.pairwise(timed))


@given(words, regions)
def test_monotone_keeps_words_inside_speech(found, speech):
    spoken = np.zeros(30_000, bool)
    for region in speech:
        spoken[region.start : region.end] = True
    for word in monotone(found, speech):
        if word.start is not None and speech:
            assert spoken[word.start : word.end].all()


@given(words, regions)
def test_monotone_changes_nothing_the_second_time(found, speech):
    once = monotone(found, speech)
    assert monotone(once, speech) == once


@given(words, regions)
def test_monotone_invents_no_time(found, speech):
    for before, after in zip(found, monotone(found, speech), strict=True):
        if before.start is None or before.end is None:
            assert after.start is None
        elif after.start is not None:
            end = max(before.end, before.start + SHORTEST_MS)
            assert after.start <= end + NEAR_MS + SHORTEST_MS
            assert after.end >= before.start - NEAR_MS - SHORTEST_MS


def test_monotone_drops_a_moved_word_that_is_pushed_too_far():
    assert ends(monotone(timed((241, 282), (0, 0)), [Span(0, 41)])) == [(None, None), (0, 20)]


def test_monotone_finds_no_room_in_regions_shorter_than_a_word():
    assert ends(monotone(timed((100, 200)), [Span(100, 110)])) == [(None, None)]


def timed(*pairs):
    return [Word(f"w{i}", *pair) for i, pair in enumerate(pairs)]


def ends(found):
    return [(w.start, w.end) for w in found]


def test_monotone_gives_zero_length_words_room():
    assert ends(monotone(timed((100, 100), (100, 100), (100, 300)), [])) == [(100, 120), (120, 140), (140, 300)]


def test_monotone_ends_the_earlier_word_where_the_later_begins():
    assert ends(monotone(timed((0, 500), (300, 700)), [])) == [(0, 300), (300, 700)]


def test_monotone_leaves_an_impossible_word_untimed():
    assert ends(monotone(timed((1000, 1400), (200, 300), (1500, 1600)), [])) == [
        (1000, 1400), (None, None), (1500, 1600),
    ]  # fmt: skip


def test_monotone_cuts_a_word_to_its_region():
    speech = [Span(1000, 2000), Span(3000, 4000)]
    assert ends(monotone(timed((500, 1200), (1900, 2300), (2950, 3100)), speech)) == [
        (1000, 1200), (1900, 2000), (3000, 3100),
    ]  # fmt: skip


def test_monotone_moves_a_word_in_silence_only_when_speech_is_near():
    speech = [Span(1000, 2000)]
    assert ends(monotone(timed((850, 950)), speech)) == [(1000, 1100)]
    assert ends(monotone(timed((2100, 2150)), speech)) == [(1950, 2000)]
    assert ends(monotone(timed((300, 400)), speech)) == [(None, None)]


# pronunciations -------------------------------------------------------------------------------------------------

DICTIONARY = {
    "a": "AH", "ball": "B AO L", "library": "L AY B R EH R IY", "the": "DH AH", "the(2)": "DH IY", "well": "W EH L",
    "known": "N OW N", "go": "G OW", "so": "S OW", "bob": "B AA B", "sponge": "S P AH N JH", "dress": "D R EH S",
    "twenty": "T W EH N T IY", "one": "W AH N", "first": "F ER S T", "dollars": "D AA L ER Z", "ray": "R EY",
    "nineteen": "N AY N T IY N", "eighty": "EY T IY", "four": "F AO R", "percent": "P ER S EH N T", "t": "T IY",
    "three": "TH R IY", "thirty": "TH ER T IY",
}  # fmt: skip
_CONSONANTS = "B CH D DH F G HH JH K L M N NG P R S SH T TH V W Y Z ZH"
PHONES = VOWELS | set(_CONSONANTS.split())


def names(text, *following):
    return [unit.name for unit in units(text, DICTIONARY.get, following)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Ball,", ["ball"]),
        ("well-known.", ["well", "known"]),
        ("Well…", ["well"]),
        ("Um,", ["=um"]),
        ("Mm-hmm.", ["=mm-hmm"]),
        ("uh—", ["=uh"]),
        ("21", ["twenty", "one"]),
        ("21st", ["twenty", "first"]),
        ("$20", ["twenty", "dollars"]),
        ("20%", ["twenty", "percent"]),
        ("1984.", ["nineteen", "eighty", "four"]),
        ("3:30", ["three", "thirty"]),
        ("你好", []),
        ("♪", []),
        ("xxx", []),
        ("-", []),
        ("", []),
    ],
)
def test_written_words_become_units(text, expected):
    assert names(text) == expected


def test_fragments_have_vowel_or_schwa():
    assert set(fragment_phones("b", [], DICTIONARY.get)) == {"B", "B AH"}
    assert set(fragment_phones("st", [], DICTIONARY.get)) == {"S T", "S T AH"}
    assert {"W AA", "W AE"} <= set(fragment_phones("wa", [], DICTIONARY.get))
    assert {"DH AH", "DH IY"} <= set(fragment_phones("the", [], DICTIONARY.get))


def test_fragment_takes_the_sound_of_the_word_it_begins():
    assert fragment_phones("lib", ["library"], DICTIONARY.get)[0] == "L AY B"
    one, other = units("lib-", DICTIONARY.get, ["library"]), units("lib-", DICTIONARY.get, [])
    assert one[0].name != other[0].name


def test_single_consonant_inside_a_word_is_sound_or_letter():
    stutter = units("b-b-ball", DICTIONARY.get)
    assert [unit.name for unit in stutter][-1] == "ball"
    assert len(stutter) == 3
    assert {"B", "B AH", LETTERS["b"]} <= set(stutter[0].phones)


@pytest.mark.parametrize(
    ("word", "phones"),
    [
        ("sooo", "S OW"),
        ("goed", "G OW D"),
        ("dresses", "D R EH S IH Z"),
        ("spongebob", "S P AH N JH B AA B"),
        ("wug", "W AH G"),
        ("blicket", "B L IH K EH T"),
        ("fime", "F AY M"),
        ("nace", "N EY S"),
        ("zazzle", "Z AE Z AH L"),
        ("shh", "SH"),
    ],
)
def test_unknown_words_get_a_plausible_pronunciation(word, phones):
    assert phones in word_phones(word, DICTIONARY.get, word)


def test_capitals_may_be_letters():
    assert "EH M EH F EY" in word_phones("mfa", DICTIONARY.get, "MFA")


@given(st.text(max_size=12), st.lists(st.sampled_from(["ball", "library", "été"]), max_size=2))
def test_any_text_gives_valid_units(text, following):
    for unit in units(text, DICTIONARY.get, following):
        assert unit.name
        assert not set(unit.name) & set(" ()")
        assert unit.phones or unit.name in DICTIONARY
        assert all(set(phones.split()) <= PHONES and phones for phones in unit.phones)


@given(st.text(alphabet="abcdefghijklmnopqrstuvwxyz'", min_size=1, max_size=10))
def test_latin_fragments_always_have_a_pronunciation(letters):
    found = units(f"{letters}x-", DICTIONARY.get)
    assert len(found) == 1
    assert isinstance(found[0], Unit)
    assert found[0].phones


# alignment ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def aligner():
    return WordAligner("eng")


def test_only_english_is_available():
    assert WordAligner("eng").available
    assert WordAligner("en").available
    spanish = WordAligner("spa")
    assert not spanish.available
    given_words = timed((0, 100))
    assert spanish.refine(np.zeros(RATE, np.float32), given_words, 0) == tuple(given_words)


def test_plausible_bounds_length_and_place():
    rough = Span(1000, 1300)
    assert plausible(Span(1050, 1350), rough, 3)
    assert not plausible(Span(1050, 1060), rough, 3), "too short"
    assert not plausible(Span(500, 2100), rough, 2), "longer than two phones last"
    assert not plausible(Span(2000, 2300), rough, 3), "too far"
    assert plausible(Span(2000, 2300), None, 3)


def test_noise_and_silence_do_no_harm(aligner):
    noise = np.random.default_rng(0).normal(0, 0.01, 3 * RATE).astype(np.float32)
    given_words = [Word("Hello,", 5100, 5600), Word("um", 5600, 5600), Word("你好", 5700, 5900), Word("b-", 6000, 6200)]
    for audio in (noise, np.zeros(3 * RATE, np.float32), noise[:10]):
        result = aligner.refine(audio, given_words, 5000)
        assert [w.text for w in result] == [w.text for w in given_words]
        assert all(w.start is None or 5000 <= w.start < w.end <= 8000 for w in result)
    assert aligner.refine(noise[:0], given_words, 5000) == tuple(given_words)
    assert aligner.refine(noise, [], 0) == ()


def test_a_loop_without_room_is_given_up_quickly(aligner):
    noise = np.random.default_rng(0).normal(0, 0.01, 2 * RATE).astype(np.float32)
    loop = [Word("thank", 10 * i, 10 * i + 10) for i in range(150)]
    result = aligner.refine(noise, loop, 0)
    assert len(result) == 150


@pytest.fixture(scope="module")
def recording():
    """A synthetic recording of the dev split, its utterances, and rough times spread evenly over each utterance."""
    import soundfile

    folder = DATA / "synthetic"
    if not folder.exists():
        pytest.skip(f"needs {folder}; set ASRLSA_SHARED")
    lines = (folder / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [row for row in map(json.loads, lines) if row["audio"] == "audio/dev0000.flac"]
    audio, rate = soundfile.read(folder / rows[0]["audio"], dtype="float32")
    assert rate == RATE
    rough = []
    for row in rows:
        tokens = row["text_verbatim"].split()
        # Half a second early, as cross-attention that swallows a pause.
        begin, step = row["start"] * 1000 - 500, (row["end"] - row["start"]) * 1000 / len(tokens)
        for i, token in enumerate(tokens):
            start = round(begin + i * step + (500 * i) / len(tokens))
            rough.append(Word(token, max(0, start), round(start + step), 0.5))
    return audio, rows, rough


def loud_edges(audio, start, end):
    """First and last 10 ms frame of an utterance within 30 dB of its peak and above the noise, in ms."""
    levels = 10 * np.log10((audio[: len(audio) // 160 * 160].reshape(-1, 160) ** 2).mean(axis=1) + 1e-10)
    mine = levels[start // 10 : end // 10]
    loud = np.flatnonzero(mine > max(mine.max() - 30, np.percentile(levels, 5) + 8))
    return start // 10 * 10 + 10 * int(loud[0]), start // 10 * 10 + 10 * int(loud[-1] + 1)


@pytest.mark.shared
def test_alignment_finds_utterance_edges(aligner, recording):
    audio, rows, rough = recording
    result = iter(aligner.refine(audio, rough, 0))
    starts, ends_ = [], []
    for row in rows:
        mine = [next(result) for _ in row["text_verbatim"].split()]
        start, end = loud_edges(audio, round(row["start"] * 1000), round(row["end"] * 1000))
        starts.append(abs(mine[0].start - start))
        ends_.append(abs(mine[-1].end - end))
    # One last word is followed by a breath as loud as speech, so the median counts.
    assert np.median(starts) <= 40
    assert max(starts) <= 120
    assert np.median(ends_) <= 60


@pytest.mark.shared
def test_a_filler_does_not_swallow_the_pause_before_it(aligner, recording):
    audio, rows, rough = recording
    result = aligner.refine(audio, rough, 0)
    filler = next(i for i, w in enumerate(rough) if w.text == "um")
    assert rough[filler].start < rows[-1]["start"] * 1000 - 400
    assert result[filler].start > rows[-1]["start"] * 1000 - 60


@pytest.mark.shared
def test_offset_shifts_everything(aligner, recording):
    audio, _, rough = recording
    moved = [Word(w.text, w.start + 60_000, w.end + 60_000, w.confidence) for w in rough]
    plain = aligner.refine(audio, rough, 0)
    shifted = aligner.refine(audio, moved, 60_000)
    assert [(w.start - 60_000, w.end - 60_000) for w in shifted] == [(w.start, w.end) for w in plain]
    assert [w.confidence for w in shifted] == [0.5] * len(rough)


@pytest.mark.shared
def test_level_does_not_matter(aligner, recording):
    audio, _, rough = recording
    loud, quiet = aligner.refine(audio, rough, 0), aligner.refine(audio * 0.01, rough, 0)
    shifts = [abs(a.start - b.start) for a, b in zip(loud, quiet, strict=True)]
    assert np.mean(shifts) < 5


@pytest.mark.shared
def test_threads_share_an_aligner(aligner, recording):
    audio, _, rough = recording
    expected = aligner.refine(audio, rough, 0)
    results = {}

    def work(number):
        results[number] = aligner.refine(audio, rough, 0)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(results[i] == expected for i in range(4))


@pytest.mark.shared
def test_far_wrong_words_keep_their_times(aligner, recording):
    audio, _, rough = recording
    swapped = [Word(w.text, 60_000 + w.start, 60_000 + w.end) for w in rough[:3]]
    result = aligner.refine(audio, [*rough, *swapped], 0)
    assert all(w.start is None or w.start >= 18_000 for w in result[-3:])
