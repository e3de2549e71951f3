"""Texts that end before the speech does are completed; everything else is left alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from asrlsa.speech.decode import Decoded
from asrlsa.speech.early_ends import MOST_RESTS, completed
from asrlsa.speech.repairs import absolute_words
from asrlsa.speech.windows import Window
from asrlsa.types import Span, Word

RATE = 16  # samples a ms


def window(*regions: tuple[int, int], pieces: Sequence[tuple[int, int]] = (), evidence: float = 0.9) -> Window:
    spans = tuple(Span(*r) for r in regions)
    parts = tuple(Span(*p) for p in pieces) or (Span(spans[0].start, spans[-1].end),)
    return Window(np.zeros(sum(p.duration for p in parts) * RATE, np.float32), parts, spans, evidence)


def text(*words: tuple[str, int, int], log_probability: float = -0.3, no_speech: float = 0.1) -> Decoded:
    made = tuple(Word(t, start, end, 0.9) for t, start, end in words)
    return Decoded(made, log_probability, no_speech, truncated=False, pieces=tuple((w,) for w in made))


NOTHING = text()


class Model:
    """Answers wide searches and rests from a script; remembers what it was asked for."""

    def __init__(self, wide: Decoded = NOTHING, *rests: Decoded | Callable[[Window], Decoded]) -> None:
        self.wide, self.rests = wide, list(rests)
        self.searched: list[int] = []
        self.heard: list[Window] = []

    def search(self, rows: list[int], ban: int) -> list[Decoded]:
        self.searched.extend(rows)
        return [self.wide] * len(rows)

    def hear(self, rows: list[int], rests: list[Window]) -> list[tuple[Decoded, str]]:
        self.heard.extend(rests)
        answers = [self.rests.pop(0) if len(self.rests) > 1 else self.rests[0] for _ in rests]
        return [(a(r) if callable(a) else a, "") for a, r in zip(answers, rests, strict=True)]


def complete(model: Model, where: Window, first: Decoded, note: str = "") -> tuple[Decoded, str]:
    ((result, said),) = completed([where], [(first, note)], model.search, model.hear)
    return result, said


FIRST = text(("great", 200, 500), ("day.", 500, 1_300))


@pytest.mark.parametrize(
    "where",
    [
        window((0, 4_000)),
        window((0, 1_600), pieces=[(0, 20_000)]),
        window((0, 1_600), (6_000, 8_900)),
        window((0, 1_900), (6_000, 9_000)),
    ],
    ids=["little speech", "trailing silence", "a late region", "padding and a late region"],
)
def test_a_text_that_reaches_the_end_of_the_speech_costs_nothing(where: Window):
    model = Model()
    assert complete(model, where, FIRST) == (FIRST, "")
    assert not model.searched
    assert not model.heard


def test_the_wider_search_is_enough_where_it_goes_on():
    whole = text(("great", 200, 500), ("day.", 500, 1_300), ("bye", 9_000, 9_800))
    model = Model(whole)
    assert complete(model, window((0, 10_000)), FIRST) == (whole, "the text ended early and was decoded again")
    assert not model.heard


@pytest.mark.parametrize(
    "wide",
    [
        text(("great", 200, 500), ("day.", 500, 1_900)),
        text(("made", 200, 500), ("up", 9_000, 9_900), log_probability=-1.5),
        text(("great", 200, 500), *[("so", 9_000, 9_001)] * 20),
    ],
    ids=["no gain", "guess", "loop"],
)
def test_the_rest_is_decoded_where_the_wider_search_does_not_help(wide: Decoded):
    model = Model(wide, text(("good", 100, 400), ("bye", 7_900, 8_300)))
    result, note = complete(model, window((0, 10_000)), FIRST)
    assert [(w.text, w.start) for w in result.words] == [
        ("great", 200),
        ("day.", 500),
        ("good", 1_400),
        ("bye", 9_200),
    ]
    assert [p[0].start for p in result.pieces] == [200, 500, 1_400, 9_200]
    assert note == "the text ended early and what followed was decoded on its own"
    assert [len(r.audio) for r in model.heard] == [8_700 * RATE]


def test_times_stay_right_where_silence_was_shortened():
    where = window((10_000, 11_500), (30_000, 38_000), pieces=[(10_000, 12_000), (29_500, 38_000)])
    model = Model(NOTHING, text(("good", 500, 900), ("bye", 7_000, 7_700)))
    result, _ = complete(model, where, FIRST)
    (rest,) = model.heard
    assert rest.pieces == rest.regions == (Span(30_000, 38_000),)  # the padding behind "day." is no part of it
    spoken = absolute_words(where, result.words)
    assert [w.start for w in spoken] == [10_200, 10_500, 30_500, 37_000]
    assert spoken[-1].end == 37_700


def test_a_window_that_has_looped_is_not_searched_again():
    model = Model(NOTHING, text(("bye", 7_900, 8_300)))
    complete(model, window((0, 10_000)), FIRST, "a decoding loop was found and decoded again")
    assert not model.searched
    assert len(model.heard) == 1


@pytest.mark.parametrize(
    "rest",
    [
        NOTHING,
        text(("xxx", 0, 8_000), log_probability=-2),
        text(("you", 0, 900), ("xxx", 900, 8_000)),
        text(("uh", 0, 900), ("xxx", 900, 8_000), ("yeah", 8_000, 8_200), log_probability=-1.05),
        text(("yeah", 8_000, 8_200), log_probability=-1.1, no_speech=0.5),
    ],
    ids=["nothing", "guess", "loop to the end", "unsure and a loop", "unsure and no speech"],
)
def test_a_rest_without_sure_words_stays_without_words_and_that_is_said(rest: Decoded):
    model = Model(NOTHING, rest)
    result, note = complete(model, window((0, 10_000)), FIRST)
    assert result == FIRST
    assert note == "no words for 9 s of what may be speech after the last one"
    assert len(model.heard) == 1


@pytest.mark.parametrize(
    "rest",
    [
        text(("no", 0, 900), ("xxx", 900, 8_000), ("that", 8_000, 8_200)),
        text(("if", 0, 900), ("you", 8_000, 8_200), log_probability=-1.1),
        text(("good", 0, 900), ("bye", 8_000, 8_200), no_speech=0.8),
    ],
    ids=["sure and a loop", "unsure", "sure"],
)
def test_a_rest_is_believed_on_its_log_probability_or_where_nothing_speaks_against_it(rest: Decoded):
    result, note = complete(Model(NOTHING, rest), window((0, 10_000)), FIRST)
    assert [w.text for w in result.words] == ["great", "day.", *(w.text for w in rest.words)]
    assert "no words" not in note


def test_rounds_end():
    model = Model(NOTHING, text(("and", 100, 400)))
    result, note = complete(model, window((0, 28_000)), FIRST)
    assert [w.text for w in result.words] == ["great", "day.", *["and"] * MOST_RESTS]
    assert len(model.heard) == MOST_RESTS
    assert "; no words for 25 s" in note


def test_a_rest_whose_words_take_no_time_ends_the_rounds():
    model = Model(NOTHING, text(("and", 0, 0)))
    assert complete(model, window((0, 28_000)), FIRST)[0] == FIRST
    assert len(model.heard) == 1


def test_a_window_without_words_gets_the_wider_search_where_it_is_surely_speech():
    whole = text(("hello", 200, 9_500))
    model = Model(whole)
    assert complete(model, window((0, 10_000)), NOTHING)[0] == whole
    assert not model.heard

    silent = Model(NOTHING)
    result, note = complete(silent, window((0, 10_000)), NOTHING)
    assert result == NOTHING
    assert note.startswith("no words for 10 s")
    assert silent.searched == [0]
    assert not silent.heard

    noise = Model(whole)
    dropped = "noise, no words written"
    assert complete(noise, window((0, 10_000), evidence=0.4), NOTHING, dropped) == (NOTHING, dropped)
    assert not noise.searched


def test_only_the_windows_that_end_early_are_decoded_again():
    fine = text(("all", 0, 500), ("said.", 9_000, 9_900))
    model = Model(NOTHING, text(("bye", 7_900, 8_300)))
    found = completed([window((0, 10_000))] * 3, [(fine, ""), (FIRST, ""), (fine, "x")], model.search, model.hear)
    assert found[0] == (fine, "")
    assert found[2] == (fine, "x")
    assert [w.text for w in found[1][0].words] == ["great", "day.", "bye"]
    assert model.searched == [1]
