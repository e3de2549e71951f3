from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("torch")

import torch

from asrlsa.training.features import MAX_FRAMES, floor_of, frames_of, log_mel, mel_filters


def speechlike(samples: int, seed: int = 0, level: float = 0.1) -> np.ndarray:
    chance = np.random.default_rng(seed)
    envelope = np.abs(np.sin(np.arange(samples) / 9000))
    return (chance.standard_normal(samples) * level * envelope).astype(np.float32)


def theirs(samples: np.ndarray, mels: int) -> np.ndarray:
    from transformers import WhisperFeatureExtractor

    extractor = WhisperFeatureExtractor(feature_size=mels)
    return extractor(samples, sampling_rate=16_000, return_tensors="np").input_features[0]


@pytest.mark.parametrize("mels", [80, 128])
@pytest.mark.parametrize("samples", [1, 100, 16_000, 112_033, 480_000, 500_000])
def test_equals_transformers(mels: int, samples: int) -> None:
    sound = speechlike(samples)
    ours = log_mel(sound, mels=mels)
    assert ours.dtype == torch.float32
    assert ours.shape == (mels, MAX_FRAMES)
    np.testing.assert_allclose(ours.numpy(), theirs(sound, mels), atol=1e-4)


def test_filters_equal_transformers() -> None:
    from transformers.audio_utils import mel_filter_bank

    for mels in (80, 128):
        expected = mel_filter_bank(201, mels, 0.0, 8000.0, 16_000, norm="slaney", mel_scale="slaney")
        np.testing.assert_allclose(mel_filters(mels).numpy(), expected.T, atol=1e-7)


@settings(max_examples=25, deadline=None)
@given(samples=st.integers(1, 160_000), level=st.sampled_from([1e-6, 1e-3, 0.3]), seed=st.integers(0, 99))
def test_a_short_spectrogram_is_the_begin_of_the_full_one(samples: int, level: float, seed: int) -> None:
    """Also its clamp, 80 dB below the loudest value, and also what silence after it looks like."""
    sound = speechlike(samples, seed, level)
    frames = frames_of(samples)
    full, short = log_mel(sound), log_mel(sound, frames=frames)
    torch.testing.assert_close(short, full[:, :frames], atol=1e-5, rtol=0)
    assert frames * 160 >= samples
    assert floor_of(short) == pytest.approx(float(full[:, -1].max()), abs=1e-5)


def test_sound_beyond_the_frames_is_not_heard() -> None:
    sound = speechlike(32_000)
    loud_end = np.concatenate([sound, np.full(16_000, 0.9, np.float32)])
    torch.testing.assert_close(log_mel(loud_end, frames=200), log_mel(sound, frames=200))


def test_silence() -> None:
    quiet = log_mel(np.zeros(16_000, np.float32), frames=100)
    assert float(quiet.min()) == float(quiet.max()) == pytest.approx(-1.5)
    assert floor_of(quiet) == pytest.approx(-1.5)


def test_frames() -> None:
    assert [frames_of(n) for n in (1, 320, 321, 479_999, 480_000, 999_999)] == [2, 2, 4, 3000, 3000, 3000]
    with pytest.raises(ValueError, match="1 to 3000"):
        log_mel(np.zeros(10, np.float32), frames=3001)
