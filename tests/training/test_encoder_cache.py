from __future__ import annotations

import os
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from training_data import row, tone, write_wav

pytest.importorskip("torch")

import torch

from asrlsa.errors import ConfigError, MediaError
from asrlsa.training.batches import Collator, WindowDataset, make_dataset
from asrlsa.training.data_settings import DataSettings
from asrlsa.training.encoder_cache import EncoderCache
from asrlsa.training.vocabulary import Vocabulary

PLAIN = DataSettings(layout="single", noise_only=0.3, spec_augment=0, noise=0, telephone=0)


@pytest.fixture
def dataset(tmp_path: Path, tiny_tokenizer: Path) -> WindowDataset:
    paths = [write_wav(tmp_path / f"{i}.wav", tone(1.0 + i, 200 + i * 100)) for i in range(4)]
    rows = [row(0, 1000 + 1000 * i, "um the ball", str(path)) for i, path in enumerate(paths)]
    return make_dataset(rows, PLAIN, Vocabulary.of(tiny_tokenizer))


def test_equals_the_encoder(dataset: WindowDataset, tiny_model: Any, tmp_path: Path) -> None:
    encoder = tiny_model.get_encoder().train()
    seen = []
    cache = EncoderCache.build(
        tmp_path / "c", dataset, encoder, "sum", batch_size=3, progress=lambda *n: seen.append(n)
    )
    assert encoder.training
    assert seen[-1] == (len(dataset), len(dataset))
    assert cache.path.stat().st_size == len(dataset) * 1500 * 16 * 2
    features = torch.stack([dataset[i]["features"] for i in range(len(dataset))])
    expected = tiny_model.eval().get_encoder()(features).last_hidden_state
    dataset.use_cache(cache)
    batch = Collator(dataset.vocabulary.eot)([dataset[i] for i in range(len(dataset))])
    assert "input_features" not in batch
    torch.testing.assert_close(batch["encoder_outputs"][0], expected.detach(), atol=5e-3, rtol=1e-3)
    loss = tiny_model(**batch).loss
    whole = tiny_model(input_features=features, decoder_input_ids=batch["decoder_input_ids"], labels=batch["labels"])
    assert float(loss.detach()) == pytest.approx(float(whole.loss.detach()), rel=1e-3)


def test_found_again_and_made_anew(dataset: WindowDataset, tiny_model: Any, tmp_path: Path) -> None:
    encoder = tiny_model.get_encoder()
    calls: list[int] = []

    def build(dataset: WindowDataset, sha: str = "sum") -> Path:
        return EncoderCache.build(tmp_path / "c", dataset, encoder, sha, progress=lambda *n: calls.append(1)).path

    first = build(dataset)
    assert build(dataset) == first
    assert len(calls) == 1
    assert build(dataset, "other weights") != first
    audio = dataset.window(0).parts[0].audio
    os.utime(audio, (1_000_000_000, 1_000_000_000))
    assert build(dataset) != first
    assert len(calls) == 3
    first.write_bytes(b"cut off")
    os.utime(audio, (1_000_000_001, 1_000_000_001))
    audio.unlink()
    with pytest.raises(MediaError, match="no such file"):
        build(dataset)


def test_a_cache_that_was_cut_off_is_made_again(dataset: WindowDataset, tiny_model: Any, tmp_path: Path) -> None:
    encoder = tiny_model.get_encoder()
    path = EncoderCache.build(tmp_path, dataset, encoder, "sum").path
    whole = path.read_bytes()
    path.write_bytes(whole[:100])
    assert EncoderCache.build(tmp_path, dataset, encoder, "sum").path.read_bytes() == whole


def test_an_error_leaves_nothing_behind(dataset: WindowDataset, tiny_model: Any, tmp_path: Path) -> None:
    def stop(*_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        EncoderCache.build(tmp_path / "c", dataset, tiny_model.get_encoder(), "sum", batch_size=2, progress=stop)
    assert not [f for f in (tmp_path / "c").iterdir() if f.suffix in (".f16", ".part")]


def test_disk_is_bounded(dataset: WindowDataset, tiny_model: Any, tmp_path: Path) -> None:
    encoder, size = tiny_model.get_encoder(), len(dataset) * 1500 * 16 * 2
    with pytest.raises(ConfigError, match=r"needs 0\.0 GB; the limit is 1e-06 GB"):
        EncoderCache.build(tmp_path, dataset, encoder, "sum", limit_gb=1e-6)
    first = EncoderCache.build(tmp_path, dataset, encoder, "1").path
    os.utime(first, (1_000_000_000, 1_000_000_000))
    second = EncoderCache.build(tmp_path, dataset, encoder, "2", limit_gb=2.5 * size / 1e9).path
    third = EncoderCache.build(tmp_path, dataset, encoder, "3", limit_gb=2.5 * size / 1e9).path
    assert [p.exists() for p in (first, second, third)] == [False, True, True]


def test_augmented_data_cannot_be_cached(dataset: WindowDataset, tiny_model: Any, tmp_path: Path) -> None:
    cache = EncoderCache.build(tmp_path, dataset, tiny_model.get_encoder(), "sum")
    dataset.settings = replace(PLAIN, noise=0.1)
    with pytest.raises(ConfigError, match="can't be augmented: set spec_augment, noise and telephone to 0"):
        dataset.use_cache(cache)


def test_worker_processes_map_it_themselves(dataset: WindowDataset, tiny_model: Any, tmp_path: Path) -> None:
    dataset.use_cache(EncoderCache.build(tmp_path, dataset, tiny_model.get_encoder(), "sum"))
    before = dataset[1]["encoder"]
    data = pickle.dumps(dataset)
    assert len(data) < 100_000 + 1_000_000  # the tokenizer, not the cache
    assert torch.equal(pickle.loads(data)[1]["encoder"], before)
