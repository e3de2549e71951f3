"""Where a greedy search goes on from a filler or from the last word once more."""

import itertools
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from asrlsa.audio import SAMPLE_RATE, load
from asrlsa.speech.decode import DecodingOptions, Recogniser
from asrlsa.speech.near_misses import MOST, NearMiss, NearMisses

VOCABULARY = ("Ġum", "Ġuh", "ĠUm", "ĠUh", "ĠI", "Ġwe", "Ġb", "all", ",", "Ġum", "Ġwent", "'t")
END = len(VOCABULARY)
UM, UH, I_, WE, B, ALL, WENT, NT = 0, 1, 4, 5, 6, 7, 10, 11


class Tokenizer:
    def encode(self, text, add_special_tokens):
        assert not add_special_tokens
        text = text.replace(" ", "Ġ")
        return SimpleNamespace(ids=[VOCABULARY.index(text)] if text in VOCABULARY else [B, ALL])

    def id_to_token(self, token):
        return VOCABULARY[token]

    def decode(self, tokens):
        return "".join(VOCABULARY[t] for t in tokens).replace("Ġ", " ")


def near(filler=-1.0, repetition=0.0, language="en", lead=-1.0):
    return NearMisses(Tokenizer(), END, language, filler=filler, lead=lead, repetition=repetition)


def row(**shares):
    """Return logits; shares by name: um=0.3, we=0.5."""
    names = {
        "um": UM,
        "uh": UH,
        "I": I_,
        "we": WE,
        "b": B,
        "all": ALL,
        "went": WENT,
        "end": END,
        "nt": NT,
    }
    found = np.full(END + 1, -20.0, np.float32)
    for name, share in shares.items():
        found[names[name]] = np.log(share) + 7.0  # logits are not normalised
    return found


def first(misses, tokens, rows, since=0):
    return misses.first([*tokens, END], [View(one) for one in rows], since)


def test_fillers_are_weighed_together():
    rows = [row(I=0.9), row(went=0.4, um=0.25, uh=0.2), row(end=1.0)]
    assert first(near(0.0), [I_, WENT], rows) == NearMiss(1, UM)
    assert first(near(-1.0), [I_, WENT], rows) is None
    apart = [row(I=0.9), row(went=0.5, um=0.25, uh=0.2), row(end=1.0)]
    assert first(near(0.0), [I_, WENT], apart) is None
    assert first(near(np.log(0.5 / 0.45) + 0.01), [I_, WENT], apart) == NearMiss(1, UM)


def test_a_language_without_a_table_has_no_fillers():
    rows = [row(I=0.9), row(went=0.4, um=0.6), row(end=1.0)]
    assert first(near(1.0), [I_, WENT], rows) == NearMiss(1, UM)
    assert first(near(1.0, language="fi"), [I_, WENT], rows) is None


def test_nothing_is_put_inside_a_word_or_beside_a_filler():
    much = row(all=0.5, um=0.5)
    assert first(near(1.0), [B, ALL], [row(b=1.0), much, row(end=1.0)]) is None
    assert first(near(1.0), [WE, NT], [row(we=1.0), row(nt=0.5, um=0.5), row(end=1.0)]) is None
    assert first(near(1.0), [UM, WE], [row(um=1.0), row(we=0.5, uh=0.5), row(end=1.0)]) is None
    assert first(near(1.0), [UM], [row(um=0.5, uh=0.5), row(end=0.3, uh=0.7)]) is None


def test_at_the_end_a_filler_must_beat_the_end():
    for share, found in ((0.4, None), (0.6, NearMiss(1, UH))):
        assert first(near(3.0), [I_], [row(I=1.0), row(end=1 - share, uh=share)]) == found


def test_a_filler_gives_way_to_a_word_that_sounds_like_one():
    # "I I went": both fillers have 0.5, so they are ahead of "I" by a factor of 1.25.
    rows = [row(uh=0.4, um=0.1, I=0.4), row(I=1.0), row(went=1.0), row(end=1.0)]
    for factor, found in ((1.3, NearMiss(0, I_)), (1.2, None), (0.0, None)):
        lead = np.log(factor) if factor else -1.0
        assert first(near(lead=lead), [UH, I_, WENT], rows) == found
    assert first(near(lead=1.0, language="fi"), [UH, I_, WENT], rows) is None
    assert first(near(lead=1.0), [UH, I_, WENT], rows, since=1) is None
    other = [row(uh=0.5, we=0.4), row(we=1.0), row(end=1.0)]  # what else may be said does not sound like a filler
    assert first(near(lead=1.0), [UH, WE], other) is None


def test_no_filler_is_put_before_words_that_sound_like_one_without_a_lead():
    rows = [row(went=1.0), row(I=0.4, um=0.3, uh=0.2), row(end=1.0)]
    assert first(near(0.0), [WENT, I_], rows) == NearMiss(1, UM)
    assert first(near(0.0, lead=0.1), [WENT, I_], rows) == NearMiss(1, UM)
    assert first(near(0.0, lead=0.3), [WENT, I_], rows) is None


def test_the_last_word_once_more():
    rows = [row(I=1.0), row(we=1.0), row(went=0.5, we=0.3), row(end=1.0)]
    assert first(near(repetition=1.0), [I_, WE, WENT], rows) == NearMiss(2, WE)
    assert first(near(repetition=0.1), [I_, WE, WENT], rows) is None
    assert first(near(repetition=0.0), [I_, WE, WENT], rows) is None
    # Not a third time, not a letter that is spelled, not a word that the search repeated itself.
    assert first(near(repetition=1.0), [WE, WE, WENT], [*rows[:2], rows[2], row(end=1.0)]) is None
    assert first(near(repetition=1.0), [B, WENT], [row(b=1.0), row(went=0.5, b=0.4), row(end=1.0)]) is None
    assert first(near(repetition=1.0), [I_, WENT], [row(I=1.0), row(went=0.5, I=0.4), row(end=1.0)]) == NearMiss(1, I_)
    assert first(near(repetition=1.0), [WE, WE], [row(we=1.0), row(we=0.6), row(end=1.0)]) is None
    whole = [row(b=1.0), row(all=1.0), row(went=0.5, b=0.4), row(end=1.0)]
    assert first(near(repetition=1.0), [B, ALL, WENT], whole) == NearMiss(2, B)


def test_the_last_two_words_and_contractions_once_more():
    rows = [row(I=1.0), row(nt=1.0), row(went=0.5, I=0.4), row(end=1.0)]
    assert first(near(repetition=1.0), [I_, NT, WENT], rows) == NearMiss(2, I_)
    rows = [row(I=1.0), row(we=1.0), row(went=0.5, I=0.4), row(end=1.0)]
    assert first(near(repetition=1.0), [I_, WE, WENT], rows) == NearMiss(2, I_)
    rows = [row(I=1.0), row(um=1.0), row(we=1.0), row(went=0.5, I=0.4), row(end=1.0)]
    assert first(near(repetition=1.0), [I_, UM, WE, WENT], rows) is None  # not over a filler
    rows = [row(I=1.0), row(we=1.0), row(I=1.0), row(we=1.0), row(went=0.5, I=0.4), row(end=1.0)]
    assert first(near(repetition=1.0), [I_, WE, I_, WE, WENT], rows) is None


def test_what_is_settled_stays():
    rows = [row(I=0.5, um=0.5), row(went=0.5, um=0.5), row(end=1.0)]
    assert first(near(0.1), [I_, WENT], rows) == NearMiss(0, UM)
    assert first(near(0.1), [I_, WENT], rows, since=1) == NearMiss(1, UM)
    assert first(near(0.1), [I_, WENT], rows, since=2) is None


class View:
    device = "cpu"

    def __init__(self, values):
        self.values = values

    def to(self, _):
        return self.values


def result(tokens, rows):
    return SimpleNamespace(sequences_ids=[tokens], logits=[[View(one) for one in rows]])


def test_the_search_goes_on_from_each():
    asked = []

    def go(text):
        asked.append(list(text))
        rows = [row(I=0.5, um=0.5)] * len(text)
        return result([*text, WENT], [*rows, row(went=0.6, um=0.4), row(end=1.0)])

    begun = result([I_, WENT], [row(I=1.0), row(went=0.5, um=0.5), row(end=1.0)])
    found = near(0.5).followed(begun, 0, go)
    assert asked == [[I_, UM]]  # after a filler none is put in
    assert found.sequences_ids[0] == [I_, UM, WENT]


def test_a_search_without_an_end_is_left_alone():
    loop = result([I_] * 5, [row(I=0.5, um=0.5)] * 5)
    assert near(1.0).followed(loop, 0, lambda text: pytest.fail("went on")) is loop
    begun = result([I_, WENT], [row(I=1.0), row(went=0.5, um=0.5), row(end=1.0)])
    assert near(1.0).followed(begun, 0, lambda text: loop) is begun


def test_a_window_has_so_many_places_at_most():
    tokens = [I_, WE] * 30
    rows = [row(I=0.5, um=0.5), row(we=0.5, um=0.5)] * 30
    count = 0

    def go(text):
        nonlocal count
        count += 1
        return result([*text, *tokens], [*rows[: len(text)], *rows, row(end=1.0)])

    near(1.0).followed(result(tokens, [*rows, row(end=1.0)]), 0, go)
    assert count == MOST


@pytest.mark.weights
def test_a_real_model_writes_more_fillers_the_wider_the_margin_and_keeps_what_is_known():
    from asrlsa.models import resolve_model

    audio = load(Path(__file__).parents[2] / "samples" / "kite_story.flac")[: 20 * SAMPLE_RATE]
    recogniser = Recogniser(resolve_model("tiny.en", offline=True), threads=1)
    encoded = recogniser.encode([recogniser.features(audio)])

    def words(prefix=None, **margins):
        options = DecodingOptions(**margins)
        (found,) = recogniser.decode(
            encoded,
            [20_000],
            language=["en"],
            prompt=[None],
            options=options,
            prefix=None if prefix is None else [prefix],
        )
        return [word.text.strip(".,?").lower() for word in found.words]

    counts = [sum(w in ("um", "uh") for w in words(filler_margin=margin)) for margin in (-1, 0, 4)]
    assert counts[0] <= counts[1] < counts[2] <= counts[0] + MOST
    assert "um" in words(filler_margin=4)  # "so um there was a girl" is said
    known = "Okay look at the pictures"
    assert words(known, filler_margin=8)[:5] == known.lower().split()
    led = [sum(w in ("um", "uh") for w in words(filler_margin=4, filler_lead=lead)) for lead in (-1, 0, 8)]
    assert led[0] == counts[2] >= led[1] > led[2]
    plain, more = words(), words(repetition_margin=5)
    doubled = [sum(a == b for a, b in itertools.pairwise(text)) for text in (plain, more)]
    assert doubled[0] < doubled[1]
