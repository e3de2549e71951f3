from __future__ import annotations

import numpy as np
import pytest
from training_data import tone

pytest.importorskip("torch")

import torch

from asrlsa.acoustics import add_noise, coloured_noise, synthetic_noise, telephone
from asrlsa.training.augment import spec_augment


def chance(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def decibels(signal: np.ndarray, noise: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(signal**2) / np.mean(noise**2)))


def power(samples: np.ndarray, low: float, high: float) -> float:
    spectrum = np.abs(np.fft.rfft(samples)) ** 2
    frequency = np.fft.rfftfreq(len(samples), 1 / 16_000)
    return float(spectrum[(frequency >= low) & (frequency < high)].sum())


@pytest.mark.parametrize("ratio", [0.0, 10.0, 30.0])
def test_noise_has_the_ratio_asked_for(ratio: float) -> None:
    sound = tone(2.0) * 0.3
    for seed in range(6):
        noisy = add_noise(sound, chance(seed), (ratio, ratio))
        assert noisy.dtype == np.float32
        assert decibels(sound, noisy - sound) == pytest.approx(ratio, abs=0.3)


def test_noise_leaves_silence_and_nothing_alone() -> None:
    assert not add_noise(np.zeros(1000, np.float32), chance(), (5, 5)).any()
    assert add_noise(np.zeros(0, np.float32), chance(), (5, 5)).shape == (0,)
    assert telephone(np.zeros(0, np.float32)).shape == (0,)


def test_noise_has_colours() -> None:
    slopes = {round(np.log10(power(n, 100, 1000) / power(n, 4000, 8000))) for n in map(noise_of, range(12))}
    assert len(slopes) >= 2


def noise_of(seed: int) -> np.ndarray:
    return coloured_noise(32_000, chance(seed))


def test_synthetic_noise_stays_within_bounds() -> None:
    for seed in range(20):
        noise = synthetic_noise(16_000, chance(seed))
        assert np.abs(noise).max() <= 1
        assert -61 < 20 * np.log10(np.sqrt(np.mean(noise**2))) < -9


def test_telephone_keeps_the_band_and_the_length() -> None:
    noise = 0.1 * coloured_noise(64_000, np.random.default_rng(0))
    heard = telephone(noise)
    assert heard.shape == noise.shape
    assert heard.dtype == np.float32
    assert power(heard, 400, 3300) / power(noise, 400, 3300) == pytest.approx(1, abs=0.1)
    assert power(heard, 5000, 8000) / power(noise, 5000, 8000) < 0.01
    assert power(heard, 0, 150) / power(noise, 0, 150) < 0.02
    # A word stays where it was: nothing is shifted or stretched.
    sound = np.zeros(16_000, np.float32)
    sound[8000:8800] = tone(0.05, 1000)
    assert abs(int(np.argmax(np.abs(telephone(sound)))) - 8400) < 500


def test_spec_augment_blanks_bands_where_there_is_sound() -> None:
    features = torch.randn(80, 3000)
    before = features.clone()
    changed = spec_augment(features, chance(3), frames=600)
    assert torch.equal(features, before)
    different = changed != features
    assert different.any()
    rows = different.all(dim=1)
    assert 0 < rows.sum() <= 2 * 13
    assert not different[~rows][:, 600:].any()
    columns = different[~rows].all(dim=0)
    assert 0 < columns.sum() <= 80
    assert (changed[different] == features[:, :600].mean()).all()


def test_spec_augment_on_the_shortest() -> None:
    for seed in range(20):
        assert spec_augment(torch.randn(80, 2), chance(seed)).shape == (80, 2)


def test_the_same_numbers_give_the_same_sound() -> None:
    sound = tone(1.0)
    assert np.array_equal(add_noise(sound, chance(1), (5, 30)), add_noise(sound, chance(1), (5, 30)))
    assert not np.array_equal(add_noise(sound, chance(1), (5, 30)), add_noise(sound, chance(2), (5, 30)))
