from __future__ import annotations

import os
import pickle
import subprocess
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from training_data import row, tone, write_wav

pytest.importorskip("torch")

import torch
from torch.utils.data import DataLoader

from asrlsa.errors import ConfigError, MediaError
from asrlsa.manifest import Row, write_rows
from asrlsa.training import sounds as sounds_module
from asrlsa.training.batches import Collator, Draw, WindowDataset, WindowSampler, make_dataset
from asrlsa.training.buckets import assign, edges
from asrlsa.training.data_settings import DataSettings
from asrlsa.training.features import log_mel
from asrlsa.training.sounds import Sounds
from asrlsa.training.targets import TargetError
from asrlsa.training.vocabulary import Vocabulary

PLAIN = DataSettings(noise_only=0, trust_gaps=True, spec_augment=0, noise=0, telephone=0, timestamps=1, prompt_share=0)
LOUD = replace(PLAIN, spec_augment=0.7, noise=0.7, telephone=0.5, timestamps=0.5, prompt_share=0.5, noise_only=0.2)


@pytest.fixture(scope="module")
def vocabulary(tiny_tokenizer: Path) -> Vocabulary:
    return Vocabulary.of(tiny_tokenizer)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Row]:
    """Twelve clips of 0.4 to 4.8 s, each with a text of its own length."""
    folder = tmp_path_factory.mktemp("clips")
    made = []
    for number in range(1, 13):
        seconds = 0.4 * number
        path = write_wav(folder / f"{number}.wav", tone(seconds, 200 + 50 * number))
        made.append(row(0, round(seconds * 1000), " ".join(["um"] * number), str(path), id=f"r{number}"))
    return made


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASRLSA_CACHE", str(tmp_path / "cache"))


def same(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return a.keys() == b.keys() and all(
        torch.equal(v, b[k]) if isinstance(v, torch.Tensor) else v == b[k] for k, v in a.items()
    )


def test_an_item(clips: list[Row], vocabulary: Vocabulary) -> None:
    dataset = make_dataset(clips[:1], replace(PLAIN, layout="single"), vocabulary)
    item = dataset[0]
    assert item["features"].shape == (80, 3000)
    torch.testing.assert_close(item["features"], log_mel(tone(0.4, 250)), atol=0.02, rtol=0)
    assert vocabulary.decode(item["inputs"].tolist()) == " um"
    assert item["labels"][-1] == vocabulary.eot
    assert make_dataset(clips, PLAIN, vocabulary, n_mels=128)[0]["features"].shape == (128, 3000)


def test_sound_is_where_the_times_say(vocabulary: Vocabulary, tmp_path: Path) -> None:
    """Every text's stretch of the window is that stretch of the recording, also behind a joint."""
    sound = tone(40.0)
    write_wav(tmp_path / "long.wav", sound)
    rows = [row(s, s + 3000, f"um {s}", str(tmp_path / "long.wav"), id=str(s)) for s in range(500, 35_000, 4500)]
    for layout in ("packed", "isolated", "single", "variable"):
        dataset = make_dataset(rows, replace(PLAIN, layout=layout), vocabulary)
        for index in range(len(dataset)):
            window, heard = dataset.window(index), dataset.samples(index)
            assert len(heard) == window.duration * 16
            for piece, name in zip(window.pieces, window.ids, strict=True):
                expected = sound[int(name) * 16 : (int(name) + 3000) * 16]
                np.testing.assert_allclose(heard[piece.start * 16 : piece.end * 16], expected, atol=1e-4)


def test_a_recording_that_ends_before_its_text(vocabulary: Vocabulary, tmp_path: Path) -> None:
    path = str(write_wav(tmp_path / "short.wav", tone(2.0)))
    good = make_dataset([row(0, 2200, "um", path)], PLAIN, vocabulary)
    assert good.samples(0)[-1] == 0
    bad = make_dataset([row(0, 900, "um", path, id="a"), row(1000, 2600, "um", path, id="b")], PLAIN, vocabulary)
    with pytest.raises(
        MediaError, match=r"short\.wav: has no sound for the last 0\.60 s of the utterance b; run `asrlsa prepare"
    ):
        bad[0]


def test_everything_drawn_depends_on_seed_epoch_and_index(clips: list[Row], vocabulary: Vocabulary) -> None:
    settings_ = replace(LOUD, layout="variable")
    dataset, again = (make_dataset(clips, settings_, vocabulary, seed=5) for _ in range(2))
    again.set_epoch(3)
    _ = [again[i] for i in range(len(again))]  # what was drawn before does not matter
    for index in reversed(range(len(dataset))):
        assert same(dataset[Draw(index, 3)], again[index])
    assert not all(same(dataset[Draw(i, 3)], dataset[Draw(i, 4)]) for i in range(len(dataset)))
    other = make_dataset(clips, settings_, vocabulary, seed=6)
    assert not all(same(dataset[Draw(i, 3)], other[Draw(i, 3)]) for i in range(len(clips)))


def test_development_data_never_change(clips: list[Row], vocabulary: Vocabulary) -> None:
    dataset = make_dataset(clips, replace(LOUD, layout="single"), vocabulary, training=False)
    assert len(dataset) == len(clips)
    for index, clip in enumerate(clips):
        assert same(dataset[Draw(index, 0)], dataset[Draw(index, 7)])
        assert dataset.window(index).ids == (clip.id,)
        plain = make_dataset([clip], replace(PLAIN, layout="single"), vocabulary)
        assert torch.equal(dataset[index]["features"], plain[0]["features"])


def test_shares(clips: list[Row], vocabulary: Vocabulary) -> None:
    dataset = make_dataset(clips, replace(LOUD, layout="variable", noise_only=0), vocabulary)
    timed = prompted = 0
    for epoch in range(20):
        for index in range(len(dataset)):
            inputs = dataset[Draw(index, epoch)]["inputs"]
            timed += int((inputs >= vocabulary.timestamp_begin).any())
            prompted += int(inputs[0] == vocabulary.sot_prev)
    assert 0.4 < timed / 240 < 0.6
    assert 0.4 < prompted / 240 < 0.6


def test_variable_length_runs_on_the_real_length(clips: list[Row], vocabulary: Vocabulary) -> None:
    dataset = make_dataset(clips, replace(PLAIN, layout="variable", full_share=0), vocabulary)
    assert [dataset[i]["features"].shape[-1] for i in range(3)] == [40, 80, 120]
    batch = Collator(vocabulary.eot)([dataset[0], dataset[2]])
    assert batch["input_features"].shape == (2, 80, 120)
    # What the collator pads with is what silence looks like; two frames still hear the sound's end.
    silent = dataset[Draw(0, 0, 120)]["features"][:, 42:]
    torch.testing.assert_close(batch["input_features"][0, :, 42:], silent, atol=1e-5, rtol=0)
    with_lengths = make_dataset(clips, replace(PLAIN, layout="variable", context_seconds=(1.0, 3.0, 30.0)), vocabulary)
    assert [with_lengths[i]["features"].shape[-1] for i in (0, 1, 2, 6, 7, 11)] == [100, 100, 300, 300, 3000, 3000]


def test_collator(clips: list[Row], vocabulary: Vocabulary) -> None:
    dataset = make_dataset(clips, replace(PLAIN, layout="single"), vocabulary)
    items = [dataset[0], dataset[11]]
    batch = Collator(vocabulary.eot, windows=True)(items)
    assert batch["input_features"].shape == (2, 80, 3000)
    length = len(items[1]["inputs"])
    assert batch["decoder_input_ids"].shape == batch["labels"].shape == (2, length)
    short = len(items[0]["inputs"])
    assert (batch["labels"][0, short:] == -100).all()
    assert (batch["decoder_input_ids"][0, short:] == vocabulary.eot).all()
    assert batch["windows"].tolist() == [0, 11]


@settings(max_examples=40, deadline=None)
@given(
    layout=st.sampled_from(["single", "variable"]),
    size=st.integers(1, 5),
    world=st.integers(1, 3),
    epoch=st.integers(0, 3),
    shuffle=st.booleans(),
    drop=st.booleans(),
)
def test_processes_share_what_one_would_draw(
    clips: list[Row], vocabulary: Vocabulary, layout: str, size: int, world: int, epoch: int, shuffle: bool, drop: bool
) -> None:
    dataset = make_dataset(clips[:11], replace(PLAIN, layout=layout), vocabulary)

    def sampler(size: int, rank: int, world: int) -> WindowSampler:
        made = WindowSampler(dataset, size, seed=1, shuffle=shuffle, rank=rank, world=world, drop_last=drop)
        made.set_epoch(epoch)
        return made

    if drop and size * world > 11:
        with pytest.raises(ConfigError, match="too few for a step"):
            sampler(size, 0, world)
        return
    each = [list(sampler(size, rank, world)) for rank in range(world)]
    assert {len(batches) for batches in each} == {len(sampler(size, 0, world))}
    joined = [[draw for batch in step for draw in batch] for step in zip(*each, strict=True)]
    if shuffle or drop or world > 1:
        assert all(len(step) == size * world for step in joined)
    if shuffle:
        assert joined == list(sampler(size * world, 0, 1))
    assert joined == [[d for b in step for d in b] for step in zip(*each, strict=True)]
    drawn = Counter(draw.window for step in joined for draw in step)
    if not drop:
        assert set(drawn) == set(range(11))
        assert sum(drawn.values()) - 11 < size * world
    else:
        assert set(drawn.values()) == {1}
    for step in joined:
        assert len({draw.frames for draw in step}) == 1
        assert {draw.epoch for draw in step} == {epoch}
        if layout == "variable":
            assert step[0].frames >= max(dataset.frames(draw.window) for draw in step)


def test_epochs_differ_and_repeat(clips: list[Row], vocabulary: Vocabulary) -> None:
    dataset = make_dataset(clips, replace(PLAIN, layout="single"), vocabulary)
    sampler = WindowSampler(dataset, 4, seed=2)
    orders = []
    for epoch in (0, 1, 0):
        sampler.set_epoch(epoch)
        orders.append([[d.window for d in batch] for batch in sampler])
    assert orders[0] == orders[2] != orders[1]


def test_full_windows_are_mixed_in(clips: list[Row], vocabulary: Vocabulary) -> None:
    dataset = make_dataset(clips, replace(PLAIN, layout="variable", full_share=0.25), vocabulary)
    sampler, full = WindowSampler(dataset, 2, seed=0), 0
    for epoch in range(50):
        sampler.set_epoch(epoch)
        full += sum(batch[0].frames == 3000 for batch in sampler)
    assert 0.15 < full / 300 < 0.35


def test_buckets_keep_like_with_like() -> None:
    chance = np.random.default_rng(0)
    frames, tokens = chance.integers(50, 3000, 2000), chance.integers(3, 100, 2000)
    classes = assign(frames, tokens, 8, 3)
    counts = Counter(classes.tolist())
    assert len(counts) == 24
    assert max(counts.values()) < 1.5 * min(counts.values())
    for number in range(8):
        inside = classes // 3 == number
        assert frames[inside].max() - frames[inside].min() < 3000 / 6
        assert frames[inside].max() <= frames[classes // 3 > number].min(initial=3000)
    assert edges([5, 5, 5], 8).tolist() == [5]
    assert assign([], [], 8, 3).tolist() == []


def test_summary(clips: list[Row], vocabulary: Vocabulary) -> None:
    rows = [*clips, row(0, 40_000, "um", "x.wav", id="long")]
    single = make_dataset(rows, replace(PLAIN, layout="single"), vocabulary).summary()
    assert (single.windows, single.rows, single.silent) == (12, 12, 0)
    assert single.speech_seconds == pytest.approx(31.2)
    assert single.padding_share == pytest.approx(1 - 31.2 / 360)
    assert single.describe_left_out() == ["1 row not used: longer than a window (such as long)"]
    assert "12 windows" in single.describe()
    packed_ = make_dataset(clips, PLAIN, vocabulary)
    assert packed_.summary().windows == 2
    assert packed_.summary().speech_share == pytest.approx(31.2 / 60)
    load = WindowSampler(packed_, 2).load()
    assert (load.steps, load.speech, load.padded) == (1, pytest.approx(31.2), 60)
    assert "31.2 s of speech a step; the encoder hears 52.0% speech" in load.describe()


def test_errors_a_user_will_make(clips: list[Row], vocabulary: Vocabulary, tmp_path: Path) -> None:
    with pytest.raises(TargetError, match=r"r1: .*'fi'"):
        make_dataset([replace(clips[0], language="fin")], PLAIN, vocabulary)
    with pytest.raises(TargetError, match="r1: Whisper does not know the language 'qqq'"):
        make_dataset([replace(clips[0], language="qqq")], PLAIN, vocabulary)
    with pytest.raises(ConfigError, match="no utterance can be used: there are no rows"):
        make_dataset([], PLAIN, vocabulary)
    with pytest.raises(ConfigError, match=r"no utterance can be used: speaker not chosen \(12 rows\)"):
        make_dataset(clips, replace(PLAIN, speakers=("CHI",)), vocabulary)
    with pytest.raises(MediaError, match="no such file"):
        make_dataset([row(0, 900, "um", str(tmp_path / "gone.wav"))], PLAIN, vocabulary)[0]


def test_a_manifest(clips: list[Row], vocabulary: Vocabulary, tmp_path: Path) -> None:
    write_rows(tmp_path / "train.jsonl", clips)
    assert len(make_dataset(tmp_path / "train.jsonl", replace(PLAIN, layout="single"), vocabulary)) == 12


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_worker_processes(clips: list[Row], vocabulary: Vocabulary, method: str) -> None:
    dataset = make_dataset(clips[:6], replace(LOUD, layout="variable"), vocabulary)
    sampler = WindowSampler(dataset, 3, seed=0)
    sampler.set_epoch(2)
    collate = Collator(vocabulary.eot)
    loader = DataLoader(
        dataset, batch_sampler=sampler, collate_fn=collate, num_workers=1, multiprocessing_context=method
    )
    for batch, expected in zip(loader, sampler, strict=True):
        here = collate([dataset[draw] for draw in expected])
        assert batch.keys() == here.keys()
        for name, value in here.items():  # a worker has one thread, which may add up in another order
            torch.testing.assert_close(batch[name], value, rtol=0, atol=1e-4 if value.is_floating_point() else 0)


def test_a_dataset_can_be_pickled(clips: list[Row], vocabulary: Vocabulary) -> None:
    dataset = make_dataset(clips, LOUD, vocabulary)
    dataset.set_epoch(4)
    copy: WindowDataset = pickle.loads(pickle.dumps(dataset))
    assert same(copy[0], dataset[0])


def ffmpeg_free_flac(path: Path, sound: np.ndarray, rate: int = 44_100) -> Path:
    """Write stereo FLAC at another rate with PyAV."""
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("flac", rate=rate, layout="stereo")
        samples = np.repeat(np.round(sound * 32767).astype(np.int16), 2)[None]
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="stereo")
        frame.sample_rate = rate
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    return path


def test_long_recordings_are_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from asrlsa.audio import load

    path = ffmpeg_free_flac(tmp_path / "long.flac", tone(70.0, rate=44_100))
    whole = load(path)
    store = Sounds(tmp_path / "store")
    for start, end in ((0, 1000), (65_000, 66_500), (69_500, 75_000)):
        np.testing.assert_allclose(store.read(path, start, end), whole[start * 16 : end * 16], atol=1 / 32000)
    (kept,) = (tmp_path / "store").glob("*.s16")
    assert kept.stat().st_size == 2 * len(whole)

    def never(*_: object, **__: object) -> None:
        raise AssertionError("decoded twice")

    monkeypatch.setattr(sounds_module, "stream", never)
    again = pickle.loads(pickle.dumps(store))
    np.testing.assert_allclose(again.read(path, 30_000, 31_000), whole[480_000:496_000], atol=1 / 32000)


def test_a_store_without_room_decodes_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from asrlsa.audio import load

    path = ffmpeg_free_flac(tmp_path / "long.flac", tone(70.0, rate=44_100))
    store = Sounds(tmp_path / "store", limit_gb=0.001)
    monkeypatch.setattr(sounds_module, "_MEMORY", 0)
    whole = load(path)
    for _ in range(2):
        np.testing.assert_array_equal(store.read(path, 65_000, 66_000), whole[65_000 * 16 : 66_000 * 16])
    assert len([r for r in caplog.records if "sound_cache_gb" in r.message]) == 1
    assert not list((tmp_path / "store").glob("*.s16"))


def test_recordings_not_used_for_a_week_make_room(tmp_path: Path) -> None:
    path = ffmpeg_free_flac(tmp_path / "long.flac", tone(70.0, rate=44_100))
    folder = tmp_path / "store"
    folder.mkdir()
    old, recent = folder / "old.s16", folder / "recent.s16"
    for file in (old, recent):
        file.write_bytes(bytes(1_000_000))
    os.utime(old, (1_000_000_000, 1_000_000_000))
    Sounds(folder, limit_gb=0.0035).read(path, 0, 1000)
    assert not old.exists()
    assert recent.exists()


def test_wave_files_are_read_where_they_lie(tmp_path: Path) -> None:
    from asrlsa.audio import load

    path = write_wav(tmp_path / "long.wav", tone(61.0))
    store = Sounds(tmp_path / "store")
    np.testing.assert_array_equal(store.read(path, 60_000, 62_000), load(path)[960_000:])
    assert not (tmp_path / "store").exists()


def test_short_files_stay_in_memory_within_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sounds_module, "_MEMORY", 3 * 64_000)
    paths = [write_wav(tmp_path / f"{i}.wav", tone(1.0, rate=8000), rate=8000) for i in range(5)]
    store = Sounds(tmp_path / "store")
    for path in paths:
        assert len(store.read(path, 0, 500)) == 8000
    assert len(store._decoded) == 3


def test_no_subprocess_is_needed(monkeypatch: pytest.MonkeyPatch, clips: list[Row], vocabulary: Vocabulary) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("a program was started")

    monkeypatch.setattr(subprocess, "Popen", never)
    assert make_dataset(clips, PLAIN, vocabulary)[0]["features"].shape == (80, 3000)
