"""Speech regions and windows from a stream: times stay true, memory stays bounded."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asrlsa.speech.vad import FRAME_MS, Region, RegionFinder, VadOptions
from asrlsa.speech.windows import SAMPLES_PER_MS, Window, Windower, WindowOptions
from asrlsa.types import Span


def regions_of(probabilities: list[float], chunk: int = 1_000_000, **options: float) -> list[Region]:
    finder = RegionFinder(VadOptions(**options))  # type: ignore[arg-type]
    found = []
    for i in range(0, len(probabilities), chunk):
        found.extend(finder.feed(probabilities[i : i + chunk]))
    return [*found, *finder.finish(len(probabilities) * FRAME_MS)]


def frames(*runs: tuple[float, int]) -> list[float]:
    return [p for p, n in runs for _ in range(n)]


def test_a_region_is_padded_and_clamped_to_the_recording():
    (region,) = regions_of(frames((0.0, 20), (0.9, 30), (0.0, 20)))
    assert region.span == Span(20 * FRAME_MS - 300, 50 * FRAME_MS + 300)
    assert region.evidence == pytest.approx(0.9)
    (early,) = regions_of(frames((0.9, 30)))
    assert early.span == Span(0, 30 * FRAME_MS)


def test_a_soft_filler_is_kept_and_a_click_is_not():
    assert len(regions_of(frames((0.0, 30), (0.35, 8), (0.0, 30)))) == 1
    assert not regions_of(frames((0.0, 30), (0.35, 2), (0.0, 30)))
    assert len(regions_of(frames((0.0, 30), (0.9, 2), (0.0, 30)))) == 1


def test_a_voice_seen_in_parts_is_evidence_and_a_speechlike_frame_is_not():
    (creaky,) = regions_of(frames((0.0, 30), (0.35, 20), (0.85, 6), (0.35, 20), (0.0, 30)))
    assert creaky.evidence == pytest.approx(0.85)
    (breath,) = regions_of(frames((0.0, 30), (0.35, 8), (0.65, 1), (0.35, 8), (0.0, 30)))
    assert breath.evidence < 0.5


def test_a_short_silence_does_not_end_a_region():
    assert len(regions_of(frames((0.9, 20), (0.0, 6), (0.9, 20)))) == 1
    assert len(regions_of(frames((0.9, 20), (0.0, 40), (0.9, 20)))) == 2


def test_a_long_region_is_cut_at_its_most_silent_frame():
    found = regions_of(frames((0.9, 700), (0.2, 1), (0.9, 700)))
    assert len(found) == 2
    assert found[0].span.end == found[1].span.start == 700 * FRAME_MS


@settings(deadline=None)
@given(st.lists(st.sampled_from([0.0, 0.2, 0.4, 0.9]), max_size=400), st.integers(1, 50))
def test_regions_are_ordered_apart_and_independent_of_the_blocks(probabilities: list[float], chunk: int):
    whole = regions_of(probabilities)
    assert regions_of(probabilities, chunk) == whole
    edges = [e for r in whole for e in (r.span.start, r.span.end)]
    assert edges == sorted(edges)
    assert all(r.span.start < r.span.end for r in whole)


class _Scripted:
    """Stands for the network: speech where the audio is not zero."""

    def __call__(self, audio: np.ndarray) -> np.ndarray:
        return (np.abs(audio.reshape(-1, 512)).max(axis=1) > 0).astype(np.float32)


def windower(monkeypatch: pytest.MonkeyPatch, **options: int) -> Windower:
    monkeypatch.setattr("asrlsa.speech.windows.SpeechProbability", _Scripted)
    return Windower(options=WindowOptions(**options))


def tone(*parts: tuple[float, float]) -> np.ndarray:
    """Samples that carry their own time: value = index / 1e9, zero in silence."""
    total = int(sum(s for _, s in parts) * 16_000)
    time = (np.arange(1, total + 1) / 1e9).astype(np.float64)
    at = 0
    for loud, seconds in parts:
        n = int(seconds * 16_000)
        if not loud:
            time[at : at + n] = 0
        at += n
    return time


def windows_of(w: Windower, audio: np.ndarray, block: int) -> list[Window]:
    found = []
    for i in range(0, len(audio), block):
        found.extend(w.feed(audio[i : i + block]))
    return [*found, *w.finish()]


@pytest.mark.parametrize("block", [16_000, 160_000, 7_777])
def test_windows_hold_the_right_audio_whatever_the_blocks(monkeypatch: pytest.MonkeyPatch, block: int):
    audio = tone((0, 2), (1, 5), (0, 3), (1, 12), (0, 20), (1, 40), (0, 1))
    found = windows_of(windower(monkeypatch), audio, block)
    assert all(w.duration <= 30_000 for w in found)
    for w in found:
        at = 0
        for piece in w.pieces:
            n = piece.duration * SAMPLES_PER_MS
            expected = audio[piece.start * SAMPLES_PER_MS : piece.end * SAMPLES_PER_MS]
            np.testing.assert_array_equal(w.audio[at : at + n], expected)
            at += n
        assert at == len(w.audio)
    covered = sum(r.duration for w in found for r in w.regions)
    assert covered >= 57_000  # all the speech there is


def test_a_long_silence_inside_a_window_is_shortened_and_times_stay_true(monkeypatch: pytest.MonkeyPatch):
    (w,) = windows_of(windower(monkeypatch), tone((1, 2), (0, 6), (1, 2)), 160_000)
    assert len(w.pieces) == 2
    assert w.duration < 6_500
    late = w.duration - 500
    assert w.absolute(late) == pytest.approx(9_500, abs=40)
    assert w.absolute(100) == 100
    seam = w.pieces[0].duration
    assert w.absolute(seam) == w.pieces[1].start
    assert w.absolute(seam, end=True) == w.pieces[0].end


def test_a_very_long_silence_begins_a_new_window(monkeypatch: pytest.MonkeyPatch):
    assert len(windows_of(windower(monkeypatch), tone((1, 2), (0, 12), (1, 2)), 160_000)) == 2


def test_memory_does_not_grow_with_silence_or_speech(monkeypatch: pytest.MonkeyPatch):
    w = windower(monkeypatch)
    most = 0
    for minute in range(20):
        block = np.zeros(160_000) if minute % 2 else np.ones(160_000)
        list(w.feed(block))
        most = max(most, len(w._audio))
    assert most <= 45 * 16_000
