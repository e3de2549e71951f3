from __future__ import annotations

import json
import os
import tracemalloc
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asrlsa.errors import ModelError, UsageError
from asrlsa.speech.speakers import (
    Diarization,
    SpeakerEncoder,
    SpeakerTracker,
    assign_speakers,
    channel_turns,
    fbank,
    guess_child,
    map_participants,
)
from asrlsa.speech.speakers import tracker as tracker_module
from asrlsa.speech.speakers.clustering import SAMPLE_WINDOWS, cluster, information_criterion
from asrlsa.speech.speakers.embedding import PACKAGED_MODEL
from asrlsa.speech.speakers.pitch import pitch_track
from asrlsa.speech.speakers.tracker import windows_of
from asrlsa.types import Participant, Span, Turn, Word

RATE = 16_000
SHARED = Path(os.environ.get("ASRLSA_SHARED", Path(__file__).resolve().parents[2] / "shared")) / "data"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason=f"no recordings in {SHARED}; set ASRLSA_SHARED")


def voice(hertz: float, seconds: float = 1.5) -> np.ndarray:
    """A buzz with vibrato and a syllable rhythm, the same on every machine."""
    t = np.arange(int(RATE * seconds)) / RATE
    phase = 2 * np.pi * hertz * t + 0.8 * np.sin(2 * np.pi * 5 * t)
    wave = sum(np.sin(k * phase) / k for k in range(1, 20))
    return (0.1 * wave * (1 + 0.5 * np.sin(2 * np.pi * 3 * t))).astype(np.float32)


@pytest.fixture(scope="module")
def encoder() -> SpeakerEncoder:
    return SpeakerEncoder(threads=1)


# Filter banks


def slow_fbank(frame: np.ndarray, band: int) -> float:
    """One band of one 25 ms frame, from the definition: no FFT, one filter, double precision."""
    frame = frame.astype(np.float64) - frame.astype(np.float64).mean()
    emphasised = [frame[0] - 0.97 * frame[0]] + [b - 0.97 * a for a, b in pairwise(frame)]
    window = [(0.5 - 0.5 * np.cos(2 * np.pi * n / 399)) ** 0.85 for n in range(400)]
    samples = np.array(emphasised) * window
    low, high = 1127 * np.log(1 + 20 / 700), 1127 * np.log(1 + 8000 / 700)
    step = (high - low) / 81
    left, centre, right = (low + (band + i) * step for i in range(3))
    energy = 0.0
    for k in range(256):
        mel = 1127 * np.log(1 + k * RATE / 512 / 700)
        weight = min((mel - left) / (centre - left), (right - mel) / (right - centre))
        if weight > 0:
            energy += weight * abs(np.sum(samples * np.exp(-2j * np.pi * k * np.arange(400) / 512))) ** 2
    return float(np.log(max(energy, np.finfo(np.float32).eps)))


def test_fbank_equals_the_definition() -> None:
    audio = voice(180, 0.05) + np.random.default_rng(0).normal(0, 0.01, 800).astype(np.float32)
    found = fbank(audio)
    assert found.shape == (3, 80)
    assert found.dtype == np.float32
    for frame in range(3):
        for band in (0, 20, 40, 79):
            expected = slow_fbank(audio[160 * frame : 160 * frame + 400], band)
            assert found[frame, band] == pytest.approx(expected, abs=2e-3), (frame, band)


def test_fbank_equals_kaldi_native_fbank() -> None:
    """Values of frame 10, made once with kaldi-native-fbank 1.23 (dither 0, snip_edges, no energy floor)."""
    audio = voice(180) + np.random.default_rng(0).normal(0, 0.01, 24_000).astype(np.float32)
    found = fbank(audio)
    assert found.shape == (148, 80)
    np.testing.assert_allclose(found[10, [0, 20, 40, 79]], [-7.2615, -0.4851, -1.1307, -0.0772], atol=1e-3)


@pytest.mark.parametrize(("samples", "frames"), [(0, 1), (1, 1), (399, 1), (400, 1), (559, 1), (560, 2), (16_000, 98)])
def test_fbank_frame_count(samples: int, frames: int) -> None:
    found = fbank(np.zeros(samples, np.float32))
    assert found.shape == (frames, 80)
    assert np.isfinite(found).all()


def test_fbank_works_in_blocks_without_seams() -> None:
    audio = np.random.default_rng(1).normal(0, 0.1, 25 * RATE).astype(np.float32)
    whole = fbank(audio)
    np.testing.assert_allclose(whole[995:1010], fbank(audio[995 * 160 : 1009 * 160 + 400]), atol=1e-4)


# Pitch


@pytest.mark.parametrize("hertz", [80.0, 130.0, 210.0, 300.0, 420.0])
def test_pitch_of_a_buzz(hertz: float) -> None:
    t = np.arange(RATE) / RATE
    wave = sum(np.sin(2 * np.pi * hertz * k * t) / k for k in range(1, 8)).astype(np.float32) * 0.1
    track = pitch_track(wave)
    assert np.isnan(track).mean() < 0.05
    assert np.nanmedian(track) == pytest.approx(hertz, rel=0.01)


def test_pitch_of_noise_and_silence_is_unvoiced() -> None:
    noise = np.random.default_rng(2).normal(0, 0.1, RATE).astype(np.float32)
    assert np.isnan(pitch_track(noise)).mean() > 0.9
    assert np.isnan(pitch_track(np.zeros(RATE, np.float32))).all()
    assert pitch_track(np.zeros(100, np.float32)).shape == (0,)


# Encoder


def test_embeddings_equal_those_of_the_float32_torch_network(encoder: SpeakerEncoder) -> None:
    """First values made once with torch 2.13 from the checkpoint; the stored weights are float16."""
    audio = np.concatenate([voice(120), voice(260)])
    found = encoder.embed(audio, [Span(0, 1500), Span(1500, 3000)])
    assert found.shape == (2, 192)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1.0, atol=1e-5)
    np.testing.assert_allclose(found[0, :6], [-0.0451, -0.0154, 0.0940, -0.0883, -0.0903, 0.0172], atol=3e-3)
    np.testing.assert_allclose(found[1, :6], [-0.0949, -0.0297, 0.0479, -0.0800, -0.0613, 0.0638], atol=3e-3)


def test_embedding_does_not_depend_on_the_batch(encoder: SpeakerEncoder) -> None:
    audio = np.concatenate([voice(100 + 20 * i, 0.8 + 0.1 * (i % 3)) for i in range(12)])
    spans = [Span(150 * i, 150 * i + (1500 if i % 2 else 700)) for i in range(20)]
    together = encoder.embed(audio, spans)
    alone = np.concatenate([encoder.embed(audio, [span]) for span in spans])
    np.testing.assert_allclose(together, alone, atol=1e-4)


def test_very_short_spans_still_embed(encoder: SpeakerEncoder) -> None:
    found = encoder.embed(voice(200), [Span(0, 5), Span(100, 130), Span(0, 0)])
    assert np.isfinite(found).all()
    assert encoder.embed(voice(200), []).shape == (0, 192)


@pytest.mark.shared
@needs_shared
def test_same_speaker_is_closer_than_another(encoder: SpeakerEncoder) -> None:
    soundfile = pytest.importorskip("soundfile")
    folder = SHARED / "child_read"
    clips: dict[str, list[np.ndarray]] = {}
    for line in (folder / "manifest.jsonl").read_text(encoding="utf-8").splitlines():
        row: dict[str, Any] = json.loads(line)
        mine = clips.setdefault(row["speaker"], [])
        if len(mine) < 2 and len(clips) <= 12:
            mine.append(soundfile.read(folder / row["audio"], dtype="float32")[0])
    pairs = [found for found in clips.values() if len(found) == 2][:10]
    first, second = (np.concatenate([encoder.embed_features([fbank(pair[i])]) for pair in pairs]) for i in (0, 1))
    similarity = first @ second.T
    assert (similarity.argmax(axis=1) == np.arange(len(pairs))).mean() >= 0.9


def test_unknown_and_unfit_models_are_errors(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such file"):
        SpeakerEncoder(model=tmp_path / "none.onnx")
    with pytest.raises(ModelError, match="no such file"):
        SpeakerEncoder(model="none.onnx")
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(b"not a network")
    with pytest.raises(ModelError, match=r"bad\.onnx can't be loaded"):
        SpeakerEncoder(model=bad)


def test_hub_name_asks_the_hub_for_repository_and_file(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    asked = []

    def download(repository: str, file: str, *, local_files_only: bool) -> str:
        asked.append((repository, file, local_files_only))
        return str(PACKAGED_MODEL)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    assert SpeakerEncoder(model="owner/name/sub/file.onnx").size == 192
    assert SpeakerEncoder(model="owner/name/sub/file.onnx", offline=True).size == 192
    assert asked == [("owner/name", "sub/file.onnx", False), ("owner/name", "sub/file.onnx", True)]


def test_hub_failure_is_a_model_error(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    def download(repository: str, file: str, *, local_files_only: bool) -> str:
        raise OSError("offline")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    with pytest.raises(ModelError, match="the hub did not give it"):
        SpeakerEncoder(model="owner/name/file.onnx")
    with pytest.raises(ModelError, match="--offline forbids downloading"):
        SpeakerEncoder(model="owner/name/file.onnx", offline=True)


def test_licence_travels_with_the_weights() -> None:
    notice = (PACKAGED_MODEL.parent / "NOTICE").read_text(encoding="utf-8")
    assert "3D-Speaker" in notice
    assert "Apache License, Version 2.0" in notice
    assert "Changes made" in notice
    assert "Version 2.0, January 2004" in (PACKAGED_MODEL.parent / "LICENSE-Apache-2.0.txt").read_text(encoding="utf-8")


# Clustering


def voices(counts: list[int], seed: int, spread: float = 0.06) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors around orthogonal centres, (N, 192), and their labels, in random order."""
    rng = np.random.default_rng(seed)
    centres = np.linalg.qr(rng.normal(size=(192, len(counts))))[0].T
    labels = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    rows = centres[labels] + rng.normal(0, spread, (len(labels), 192))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32), labels


def same_partition(a: np.ndarray, b: np.ndarray) -> bool:
    return len(set(zip(a.tolist(), b.tolist(), strict=True))) == len(set(a.tolist())) == len(set(b.tolist()))


@settings(max_examples=40, deadline=None)
@given(counts=st.lists(st.integers(15, 60), min_size=1, max_size=5), seed=st.integers(0, 10_000))
def test_clear_voices_are_counted_and_separated(counts: list[int], seed: int) -> None:
    rows, labels = voices(counts, seed)
    counted = cluster(rows, None, 6)
    assert len(counted.centroids) == len(counts)
    assert same_partition(counted.similarity(rows).argmax(axis=1), labels)


@settings(max_examples=40, deadline=None)
@given(counts=st.lists(st.integers(4, 30), min_size=1, max_size=5), seed=st.integers(0, 10_000))
def test_a_given_number_is_found(counts: list[int], seed: int) -> None:
    rows, labels = voices(counts, seed)
    found = cluster(rows, len(counts), 6)
    assert same_partition(found.similarity(rows).argmax(axis=1), labels)


@settings(max_examples=30, deadline=None)
@given(count=st.integers(1, 12), wanted=st.integers(1, 6), seed=st.integers(0, 10_000))
def test_tiny_recordings_never_fail(count: int, wanted: int, seed: int) -> None:
    rows, _ = voices([count], seed, spread=0.5)
    for speakers in (wanted, None):
        found = cluster(rows, speakers, 6)
        assert 1 <= len(found.centroids) <= min(6, count)
        assert np.isfinite(found.centroids).all()


def test_an_outlier_founds_no_speaker() -> None:
    rows, labels = voices([60, 60, 1], seed=5)
    found = cluster(rows, 2, 6).similarity(rows).argmax(axis=1)
    assert same_partition(found[labels < 2], labels[labels < 2])


def test_identical_windows_are_one_voice() -> None:
    rows = np.tile(np.eye(192, dtype=np.float32)[0], (30, 1))
    assert len(cluster(rows, None, 6).centroids) == 1
    assert len(cluster(rows, 2, 6).centroids) in (1, 2)


def test_criterion_does_not_split_a_voice_for_being_recorded_longer() -> None:
    scatter = np.array([0.40, 0.37, 0.35])  # what one voice's drift gives
    assert all(information_criterion(scatter, windows).argmin() == 0 for windows in (30, 300, 3_000, 30_000))


def test_three_hours_cluster_in_bounded_memory() -> None:
    rows, labels = voices([12_000, 7_600, 2_000], seed=3)
    tracemalloc.start()
    found = cluster(rows, None, 6)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(rows) == 21_600 > SAMPLE_WINDOWS
    assert len(found.centroids) == 3
    assert same_partition(found.similarity(rows).argmax(axis=1), labels)
    assert peak < 150e6


def test_sampling_is_the_same_every_time() -> None:
    rows, _ = voices([1500, 1000], seed=4, spread=0.2)
    assert (cluster(rows, 2, 6).centroids == cluster(rows, 2, 6).centroids).all()


# Tracker


class ToneEncoder:
    """Stands in for the network: the mean spectrum, normalised. Different buzzes give different vectors."""

    def embed_features(self, features: list[np.ndarray]) -> np.ndarray:
        rows = np.stack([frames.mean(axis=0) for frames in features])
        rows = rows - rows.mean(axis=1, keepdims=True)
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def dialogue(order: str, seconds: float = 4.0, gap: float = 0.5) -> tuple[np.ndarray, list[Span]]:
    """Buzzes a (120 Hz, dull) and b (260 Hz, bright) in turn."""
    parts, regions, at = [], [], 0
    for who in order:
        wave = voice(120 if who == "a" else 260, seconds)
        wave = np.convolve(wave, np.ones(12) / 12, "same").astype(np.float32) if who == "a" else wave
        parts += [wave, np.zeros(int(gap * RATE), np.float32)]
        regions.append(Span(at, at + int(seconds * 1000)))
        at += int((seconds + gap) * 1000)
    return np.concatenate(parts), regions


def tone_tracker() -> SpeakerTracker:
    return SpeakerTracker(ToneEncoder())  # type: ignore[arg-type]


@given(start=st.integers(0, 10**7), duration=st.integers(1, 60_000))
def test_windows_cover_the_region(start: int, duration: int) -> None:
    region = Span(start, start + duration)
    windows = windows_of(region)
    assert windows[0].start == region.start
    assert windows[-1].end == region.end
    assert all(window.duration == min(1500, duration) for window in windows)
    assert all(0 < b.start - a.start <= 750 for a, b in pairwise(windows))


def test_dialogue_with_the_real_network(encoder: SpeakerEncoder) -> None:
    audio, regions = dialogue("abab")
    tracker = SpeakerTracker(encoder)
    tracker.add(audio, 0, regions)
    found = tracker.finish(2)
    assert found.turns == tuple(
        Turn(region.start, region.end, label) for region, label in zip(regions, "0101", strict=True)
    )
    assert found.pitch["0"] == pytest.approx(120, rel=0.05)
    assert found.pitch["1"] == pytest.approx(260, rel=0.05)


def test_labels_follow_first_appearance_and_the_reason_is_told() -> None:
    audio, regions = dialogue("babaab")
    tracker = tone_tracker()
    tracker.add(audio, 0, regions)
    found = tracker.finish(2)
    assert [turn.speaker for turn in found.turns] == list("010110")
    assert found.labels == ("0", "1")
    assert found.speakers == 2
    assert found.reason == "2 speakers were asked for"


def test_streaming_equals_one_shot() -> None:
    audio, regions = dialogue("abbabaabab", seconds=3.27, gap=0.61)
    whole, pieces = tone_tracker(), tone_tracker()
    whole.add(audio, 0, regions)
    cuts = [0, regions[1].end + 50, regions[2].end, regions[6].end + 333, len(audio) // 16]
    for begin, end in pairwise(cuts):
        inside = [region for region in regions if begin <= region.start < end]
        pieces.add(audio[begin * 16 : end * 16], begin, inside)
    assert pieces.finish(2) == whole.finish(2)
    assert pieces.finish("auto") == whole.finish("auto")


def test_a_region_cut_by_the_stretch_keeps_its_speaker() -> None:
    audio, regions = dialogue("ab", seconds=10.0)
    tracker = tone_tracker()
    for begin in range(0, len(audio) // 16, 7000):
        tracker.add(audio[begin * 16 : (begin + 7000) * 16], begin, regions)
    assert tracker.finish(2).turns == (Turn(0, 10_000, "0"), Turn(10_500, 20_500, "1"))


def test_turns_cover_exactly_the_regions() -> None:
    audio, regions = dialogue("abab", seconds=2.013, gap=0.3)
    tracker = tone_tracker()
    tracker.add(audio, 0, regions)
    for speakers in (1, 2, 3, "auto"):
        turns = tracker.finish(speakers).turns  # type: ignore[arg-type]
        assert sum(turn.end - turn.start for turn in turns) == sum(region.duration for region in regions)
        assert all(a.end <= b.start and b.end > b.start for a, b in pairwise(turns))


def test_no_speech_short_speech_and_bad_arguments() -> None:
    tracker = tone_tracker()
    tracker.add(np.zeros(RATE, np.float32), 0, [])
    assert tracker.finish() == Diarization((), 0, {}, "0 speakers: no speech was found")
    tracker.add(voice(200, 1.0), 1000, [Span(1200, 1250)])
    assert tracker.finish(2).speakers == 1
    assert "too little speech" in tracker.finish("auto").reason
    for speakers, most in ((0, 6), (-1, 6), (2, 0)):
        with pytest.raises(UsageError):
            tracker.finish(speakers, most)
    with pytest.raises(UsageError, match="in order"):
        tracker.add(voice(200, 1.0), 0, [Span(0, 500)])


def test_three_hours_of_windows_stay_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The audio alone would take 691 MB if it were kept; the cheap stand-ins only save time."""
    rng = np.random.default_rng(0)
    centres = np.linalg.qr(rng.normal(size=(192, 2)))[0].T

    class Random:
        def embed_features(self, features: list[np.ndarray]) -> np.ndarray:
            rows = centres[rng.integers(0, 2, len(features))] + rng.normal(0, 0.06, (len(features), 192))
            return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)

    monkeypatch.setattr(tracker_module, "fbank", lambda audio: np.zeros((len(audio) // 160, 80), np.float32))
    monkeypatch.setattr(tracker_module, "pitch_track", lambda audio: np.full(len(audio) // 320, 200.0, np.float32))
    tracker = SpeakerTracker(Random())  # type: ignore[arg-type]
    audio = np.zeros(30 * RATE, np.float32)
    tracemalloc.start()
    for piece in range(360):
        tracker.add(audio, 30_000 * piece, [Span(30_000 * piece, 30_000 * piece + 29_900)])
    held = tracemalloc.get_traced_memory()[0]
    found = tracker.finish("auto")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert held < 30e6
    assert peak < 180e6
    assert found.speakers == 2
    assert found.turns[-1].end == 30_000 * 359 + 29_900


# Words


def words(text: str) -> list[Word]:
    """``word@start-end`` in 10 ms units; ``word`` alone has no time."""
    found = []
    for item in text.split():
        spoken, _, times = item.partition("@")
        start, _, end = times.partition("-")
        found.append(Word(spoken, int(start) * 10, int(end) * 10) if times else Word(spoken))
    return found


def speakers_of(text: str, *turns: tuple[int, int, str]) -> str:
    given_turns = [Turn(a * 10, b * 10, label) for a, b, label in turns]
    return "".join(str(word.speaker) for word in assign_speakers(words(text), given_turns))


@pytest.mark.parametrize(
    ("text", "turns", "expected"),
    [
        ("a@0-20 b@20-40 c@100-120", [(0, 50, "0"), (90, 150, "1")], "001"),
        # outside all turns: the nearest
        ("a@60-65 b@80-88", [(0, 50, "0"), (90, 150, "1")], "01"),
        # no time: as the word before; at the beginning, as the first that has one
        ("x a@100-120 y b@200-220", [(90, 150, "1"), (190, 230, "0")], "1110"),
        ("x y", [(0, 50, "1")], "11"),
        # a single word inside the other's phrase, without a pause: the other's
        ("I@0-20 want@20-40 a@41-50 dog@50-80", [(0, 40, "0"), (40, 50, "1"), (50, 80, "0")], "0000"),
        # the same word set off by pauses on both sides: a back-channel
        ("I@0-20 want@20-40 mhm@70-90 dog@120-150", [(0, 50, "0"), (65, 95, "1"), (110, 160, "0")], "0010"),
        # or by punctuation
        ("I@0-20 see.@20-40 yes.@41-50 dog@50-80", [(0, 40, "0"), (40, 50, "1"), (50, 80, "0")], "0010"),
        # the turn begins one word late: the change moves to the end of the sentence
        ("you@0-20 go?@20-40 I@41-50 went@50-80 home@80-99", [(0, 50, "0"), (50, 100, "1")], "00111"),
        # or one word early
        ("you@0-20 go@20-40 now?@40-55 I@56-80 went@80-99", [(0, 40, "0"), (40, 100, "1")], "00011"),
        # too far away to move: four words
        ("a.@0-20 b@20-40 c@40-60 d@60-80 e@80-99", [(0, 80, "0"), (80, 100, "1")], "00001"),
        # a weak comma does not draw a change
        ("well,@0-20 so@20-40 yes@40-60 right@60-80", [(0, 40, "0"), (40, 80, "1")], "0011"),
    ],
)
def test_assign_speakers(text: str, turns: list[tuple[int, int, str]], expected: str) -> None:
    assert speakers_of(text, *turns) == expected


@given(
    st.lists(st.tuples(st.integers(0, 5000), st.integers(1, 600), st.sampled_from(["", ".", ","])), max_size=30),
    st.lists(st.tuples(st.integers(0, 5000), st.integers(1, 2000), st.sampled_from("01")), min_size=1, max_size=8),
)
def test_assign_speakers_changes_nothing_but_the_speaker(
    spoken: list[tuple[int, int, str]], turns: list[tuple[int, int, str]]
) -> None:
    given_words = [Word(f"w{mark}", start, start + length) for start, length, mark in sorted(spoken)]
    given_turns = [Turn(start, start + length, label) for start, length, label in turns]
    found = assign_speakers(given_words, given_turns)
    assert [(w.text, w.start, w.end) for w in found] == [(w.text, w.start, w.end) for w in given_words]
    assert {w.speaker for w in found} <= {turn.speaker for turn in given_turns}


def test_without_turns_words_stay_as_they_are() -> None:
    assert assign_speakers(words("a@0-20 b"), []) == words("a@0-20 b")
    assert assign_speakers([], [Turn(0, 10, "0")]) == []


def test_channels_are_speakers() -> None:
    turns = channel_turns([[Span(0, 100), Span(300, 400)], [Span(90, 250)], []])
    assert turns == (Turn(0, 100, "0"), Turn(90, 250, "1"), Turn(300, 400, "0"))


# Roles

CHI = Participant("CHI", "Target_Child", age="4;06.")
INV = Participant("INV", "Investigator")
MOT = Participant("MOT", "Mother")


def heard(pitch: dict[str, float], order: str = "01") -> Diarization:
    turns = tuple(Turn(1000 * i, 1000 * i + 900, label) for i, label in enumerate(order))
    return Diarization(turns, len(set(order)), pitch, "")


@pytest.mark.parametrize(
    ("pitch", "order", "participants", "expected", "evidence"),
    [
        ({"0": 281.0, "1": 190.0}, "01", [CHI, INV], {"0": "CHI", "1": "INV"}, "281 Hz against 190 Hz"),
        ({"0": 190.0, "1": 281.0}, "01", [CHI, INV], {"1": "CHI", "0": "INV"}, "higher voice"),
        # close pitches: the voice that speaks first is less likely the child
        ({"0": 225.0, "1": 215.0}, "01", [CHI, INV], {"1": "CHI", "0": "INV"}, "too close to decide"),
        ({"0": 255.0, "1": 215.0}, "01", [CHI, INV], {"0": "CHI", "1": "INV"}, "weak evidence"),
        ({"0": 110.0, "1": 200.0, "2": 280.0}, "012", [INV, CHI, MOT], {"2": "CHI", "0": "INV", "1": "MOT"}, "higher"),
        # more voices than participants: the rest is left to map_participants
        ({"0": 110.0, "1": 280.0, "2": 200.0}, "012", [INV, CHI], {"1": "CHI", "0": "INV"}, "higher"),
        ({}, "01", [CHI, INV], {"1": "CHI", "0": "INV"}, "could not be measured"),
        ({"0": 280.0}, "0", [CHI, INV], {"0": "CHI"}, "One voice"),
        ({"0": 120.0}, "0", [CHI, INV], {"0": "INV"}, "One voice"),
    ],
)
def test_guess_child(
    pitch: dict[str, float], order: str, participants: list[Participant], expected: dict[str, str], evidence: str
) -> None:
    guess = guess_child(heard(pitch, order), participants)
    assert guess is not None
    assert guess[0] == expected
    assert evidence in guess[1]
    assert guess[1].endswith("check roles")


def test_guess_child_only_where_the_question_arises() -> None:
    two = heard({"0": 280.0, "1": 120.0})
    assert guess_child(two, [INV, MOT]) is None
    assert guess_child(two, [CHI]) is None
    assert guess_child(two, [CHI, Participant("SIB", "Sibling"), INV]) is None
    assert guess_child(Diarization((), 0), [CHI, INV]) is None


def test_map_participants() -> None:
    assert map_participants(heard({}), []) == ({"0": Participant("PAR0"), "1": Participant("PAR1")}, None)
    assert map_participants(heard({}, "0"), [CHI]) == ({"0": CHI}, None)
    mapping, comment = map_participants(heard({"0": 120.0, "1": 280.0}), [CHI, INV])
    assert mapping == {"0": INV, "1": CHI}
    assert list(mapping) == ["0", "1"]
    assert comment is not None
    assert "guessed" in comment
    mapping, comment = map_participants(heard({}), [INV, MOT])
    assert mapping == {"0": INV, "1": MOT}
    assert comment is not None
    assert comment.endswith("(INV, MOT); check roles")
    spanish = Participant("PAR0", language="spa")
    mapping, _ = map_participants(heard({}, "012"), [spanish, Participant("INV", "Investigator", language="spa")])
    assert [p.code for p in mapping.values()] == ["PAR0", "INV", "PAR1"]
    assert mapping["2"].language == ""  # that of the transcript
    assert map_participants(Diarization((), 0), [CHI, INV]) == ({}, None)
