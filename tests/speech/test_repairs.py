"""What no speaker said is taken out of a decoding."""

from __future__ import annotations

import numpy as np
import pytest

from asrlsa.speech.decode import Decoded
from asrlsa.speech.repairs import repair, without_echo
from asrlsa.speech.windows import Window
from asrlsa.types import Span, Word


def decoded(text: str, timeless: int) -> Decoded:
    """Return words of 300 ms, the last ones without a length."""
    tokens = text.split()
    timed = len(tokens) - timeless
    words = tuple(Word(t, 300 * min(i, timed), 300 * min(i + 1, timed), 0.9) for i, t in enumerate(tokens))
    return Decoded(words, -0.2, 0.0, truncated=False, pieces=tuple((w,) for w in words))


def texts(result: Decoded) -> str:
    assert [piece.text for (piece,) in result.pieces] == [word.text for word in result.words]
    return " ".join(word.text for word in result.words)


@pytest.mark.parametrize(
    ("text", "timeless", "left"),
    [
        ("Do you? Yes, scrambled eggs. Yes, scrambled eggs.", 3, "Do you? Yes, scrambled eggs."),
        ("and then he went home he went home.", 3, "and then he went home"),
        ("I like I like", 2, "I like"),
        ("I like I like", 1, "I like I like"),  # the first word of the copy has its time
        ("I like I like", 0, "I like I like"),
        ("no no", 1, "no no"),  # a single word may be that short
        ("I like the beans", 2, "I like the beans"),
        ("one two one two one two", 2, "one two one two"),
        ("one two one two", 4, "one two"),
        ("", 0, ""),
    ],
)
def test_a_phrase_at_the_end_that_took_no_time_is_written_once(text: str, timeless: int, left: str):
    found, note = without_echo(decoded(text, timeless))
    assert texts(found) == left
    assert bool(note) == (left != text)


def test_an_echo_is_dropped_from_a_window_and_said():
    window = Window(np.zeros(48_000, np.float32), (Span(0, 3000),), (Span(0, 3000),), 1.0)
    result = decoded("so we went home we went home.", 3)
    ((found, note),) = repair([window], [result], lambda rows, ban: pytest.fail("searched again"))
    assert texts(found) == "so we went home"
    assert "twice" in note
