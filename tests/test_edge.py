"""Little memory: the windows are heard again as they were, the transcript is the same, the target is met."""

import os
import runpy
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrlsa.config import TranscribeOptions
from asrlsa.errors import ConfigError
from asrlsa.speech.low_memory import cut_again
from asrlsa.speech.memory import hold_little
from asrlsa.speech.recognise import Source, _Item, make_windower
from asrlsa.speech.windows import SAMPLES_PER_MS, Window
from asrlsa.types import Span

ROOT = Path(__file__).resolve().parents[1]
EDGE = ROOT / "benchmarks" / "edge.py"


@given(
    st.lists(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 60)), min_size=1, max_size=3), max_size=5),
    st.lists(st.integers(1, 900), min_size=1, max_size=40),
)
def test_windows_are_cut_from_the_audio_as_before(windows, blocks):
    """Whatever the blocks are; spans of pieces in ms, with gaps between them."""
    total = sum(blocks)
    audio = np.arange(total, dtype=np.float32)
    source = Source("x", (lambda: nullcontext(),))
    items, at = [], 0
    for pieces in windows:
        spans = []
        for gap, length in pieces:
            spans.append(Span(at + gap, at + gap + length))
            at = spans[-1].end
        items.append(_Item(source, 0, Window(np.zeros(0, np.float32), tuple(spans), tuple(spans), 1.0), None))
    ends = np.cumsum(blocks)
    stream = (audio[end - size : end] for end, size in zip(ends, blocks, strict=True))
    found = list(cut_again(stream, items))
    assert [item for item, _ in found] == items
    for item, sound in found:
        spans = item.window.pieces
        wanted = [audio[s.start * SAMPLES_PER_MS : s.end * SAMPLES_PER_MS] for s in spans]
        assert np.array_equal(sound, np.concatenate(wanted))


@pytest.mark.parametrize("window", [8_000, 15_000])
def test_a_shorter_window_holds_whatever_is_said(window):
    windower = make_windower(window)
    noise = np.random.default_rng(0).normal(0, 0.3, 16_000 * 70).astype(np.float32)
    windower._probability = lambda audio: np.full(len(audio) // 512, 0.9, np.float32)  # speech without a pause
    found = [*windower.feed(noise), *windower.finish()]
    assert all(w.duration <= window for w in found)
    assert sum(w.duration for w in found) >= 69_000


def test_a_window_out_of_range_is_refused_and_the_default_leaves_the_stamp_alone():
    with pytest.raises(ConfigError, match="window"):
        TranscribeOptions(window_ms=3_000)
    assert "window_ms" not in TranscribeOptions().settings()
    assert TranscribeOptions(low_memory=True).settings() == TranscribeOptions().settings()
    assert TranscribeOptions(window_ms=15_000).settings() != TranscribeOptions().settings()


@pytest.mark.weights
def test_low_memory_writes_the_same_transcript():
    from asrlsa.transcription import transcribe

    options = TranscribeOptions(model="tiny.en", offline=True, threads=1, batch_size=1)
    sample = ROOT / "samples" / "sandwich.mp3"
    usual, small = (transcribe(sample, options=options, low_memory=low).to_chat() for low in (False, True))
    assert small == usual


@pytest.mark.weights
def test_tiny_stays_below_250_mb_on_one_core(tmp_path):
    edge = runpy.run_path(str(EDGE))
    model = edge["small"]("tiny.en", tmp_path)
    options = ["--threads", "1", "--low-memory", "--window", "12", "--language", "en"]
    limit = edge["TARGETS"]["tiny"]
    run = edge["transcribed"](model, "tiny.en", ROOT / "samples" / "sandwich.mp3", options, limit)
    assert run.code == 0
    assert run.peak < limit


def test_low_memory_does_without_mkl_unless_the_environment_says_otherwise(monkeypatch):
    for before, after in (("", "0"), ("1", "1")):
        monkeypatch.setenv("CT2_USE_MKL", before)
        if not before:
            monkeypatch.delenv("CT2_USE_MKL")
        hold_little()
        assert os.environ["CT2_USE_MKL"] == after
