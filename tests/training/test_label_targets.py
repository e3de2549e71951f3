from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asrlsa.errors import ModelError

pytest.importorskip("torch")

from asrlsa.training.targets import IGNORED, Piece, TargetError, build_target, count_tokens, segments
from asrlsa.training.vocabulary import Vocabulary


@pytest.fixture(scope="session")
def vocabulary(tiny_tokenizer: Path) -> Vocabulary:
    return Vocabulary.of(tiny_tokenizer)


def pieces_strategy(most: int = 30_000) -> st.SearchStrategy[list[Piece]]:
    def piece(values: tuple[int, int, str]) -> Piece:
        start = min(values[0], most - 1)
        return Piece(start, min(most, start + values[1]), values[2])

    words = st.lists(st.sampled_from(["um", "the", "b-", "ball"]), min_size=1, max_size=4).map(" ".join)
    one = st.tuples(st.integers(0, most - 1), st.integers(1, 8000), words).map(piece)
    return st.lists(one, max_size=8)


def test_vocabulary(vocabulary: Vocabulary, tmp_path: Path) -> None:
    assert vocabulary.multilingual
    assert vocabulary.timestamp_begin == vocabulary.no_timestamps + 1
    assert vocabulary.decode([vocabulary.sot, *vocabulary.encode(" um, b- ball"), vocabulary.eot]) == " um, b- ball"
    assert vocabulary.start("es") == (vocabulary.sot, vocabulary.language_token("es"), vocabulary.transcribe)
    with pytest.raises(ModelError, match="'fi'"):
        vocabulary.language_token("fi")
    with pytest.raises(ModelError, match=r"tokenizer\.json: no such file"):
        Vocabulary.of(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(ModelError, match="is not a tokenizer"):
        Vocabulary.of(tmp_path)


def test_with_timestamps(vocabulary: Vocabulary) -> None:
    v = vocabulary
    target = build_target([Piece(2000, 2990, "the ball"), Piece(500, 1490, "um")], v, "en", timestamps=True)
    written = [
        v.timestamp(25),
        *v.encode(" um"),
        v.timestamp(75),
        v.timestamp(100),
        *v.encode(" the ball"),
        v.timestamp(150),
    ]
    assert target.inputs == (*v.start("en"), *written)
    assert target.labels == (IGNORED, IGNORED, *written, v.eot)


def test_without_timestamps_and_with_a_prompt(vocabulary: Vocabulary) -> None:
    v = vocabulary
    target = build_target(
        [Piece(0, 900, "um"), Piece(900, 1000, "the ball")], v, "es", timestamps=False, prompt="eh, um"
    )
    before = [v.sot_prev, *v.encode(" eh, um"), *v.start("es")]
    text = v.encode(" um the ball")
    assert list(target.inputs) == [*before, v.no_timestamps, *text]
    assert list(target.labels) == [IGNORED] * len(before) + [*text, v.eot]


@pytest.mark.parametrize("timestamps", [True, False])
def test_no_speech_ends_at_once(vocabulary: Vocabulary, timestamps: bool) -> None:
    target = build_target([], vocabulary, "en", timestamps=timestamps)
    assert target.labels[-1] == vocabulary.eot
    assert vocabulary.decode([t for t in target.labels if t >= 0]) == ""


def test_overlaps(vocabulary: Vocabulary) -> None:
    del vocabulary
    little = [Piece(0, 2000, "um"), Piece(1800, 3000, "ball")]
    assert segments(little) == [(0, 95, "um"), (95, 150, "ball")]
    much = [Piece(0, 2000, "um"), Piece(1000, 3000, "ball"), Piece(3000, 3500, "the")]
    assert segments(much) == [(0, 150, "um ball"), (150, 175, "the")]
    inside = [Piece(0, 4000, "um"), Piece(1000, 1100, "ball")]
    assert segments(inside) == [(0, 200, "um ball")]


def test_the_first_time_may_be_late_and_the_last_is_30_seconds() -> None:
    assert segments([Piece(29_000, 30_000, "um")]) == [(1450, 1500, "um")]
    crowded = [Piece(29_990 + i, 29_991 + i, "um") for i in range(0, 9, 3)]
    assert [s[:2] for s in segments(crowded)] == [(1497, 1498), (1498, 1499), (1499, 1500)]


def test_too_long(vocabulary: Vocabulary) -> None:
    with pytest.raises(TargetError, match=r"row-7: \d+ tokens are more than the 448"):
        build_target([Piece(0, 9000, "xylophone " * 200)], vocabulary, "en", timestamps=True, name="row-7")


def test_outside_the_window(vocabulary: Vocabulary) -> None:
    with pytest.raises(TargetError, match="row-7: an utterance from 29000 to 31000 ms"):
        build_target([Piece(29_000, 31_000, "um")], vocabulary, "en", timestamps=True, name="row-7")


def test_english_only(vocabulary: Vocabulary) -> None:
    whole = vocabulary
    english = Vocabulary(
        **{
            name: getattr(whole, name)
            for name in ("directory", "eot", "sot", "sot_prev", "transcribe", "no_timestamps", "no_speech")
        },
        timestamp_begin=whole.timestamp_begin,
        multilingual=False,
        languages={},
        _tokenizer=whole._tokenizer,
    )
    target = build_target([Piece(0, 1000, "um")], english, "en", timestamps=False)
    assert target.inputs[0] == english.sot
    assert target.inputs[1] == english.no_timestamps
    with pytest.raises(TargetError, match=r"r1: language 'es': the model knows English only"):
        build_target([Piece(0, 1000, "um")], english, "es", timestamps=False, name="r1")


@settings(max_examples=150, deadline=None)
@given(pieces=pieces_strategy())
def test_times_never_fall_and_no_word_is_lost(pieces: list[Piece]) -> None:
    made = segments(pieces)
    reached = 0
    for begin, end, _ in made:
        assert reached <= begin < end <= 1500
        reached = end
    words = " ".join(p.text for p in sorted(pieces, key=lambda p: (p.start, p.end)))
    assert " ".join(text for _, _, text in made) == words


@settings(max_examples=60, deadline=None)
@given(pieces=pieces_strategy(), timestamps=st.booleans(), prompt=st.sampled_from([None, "", "um, uh"]))
def test_labels_are_the_next_input(vocabulary: Vocabulary, pieces: list[Piece], timestamps: bool, prompt: str) -> None:
    target = build_target(pieces, vocabulary, "es", timestamps=timestamps, prompt=prompt)
    assert len(target.inputs) == len(target.labels)
    for label, following in zip(target.labels, [*target.inputs[1:], vocabulary.eot], strict=True):
        assert label in (following, IGNORED)
    learnt = [t for t in target.labels if t != IGNORED]
    assert learnt[-1] == vocabulary.eot
    ordered = sorted(pieces, key=lambda p: (p.start, p.end))
    assert vocabulary.decode(learnt).split() == " ".join(p.text for p in ordered).split()
    assert len(learnt) - 1 <= max(1, sum(count_tokens(p.text, vocabulary) for p in pieces))
