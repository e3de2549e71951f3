"""Changes to speech, on arrays."""

import numpy as np
import pytest

from asrlsa.synthesis import sound

RATE = 16_000


def tone(seconds, pitch=200.0):
    return (0.3 * np.sin(2 * np.pi * pitch * np.arange(int(seconds * RATE)) / RATE)).astype(np.float32)


def pitch_of(samples):
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.argmax(spectrum)) * RATE / len(samples)


@pytest.mark.parametrize("ratio", [0.8, 1.0, 1.3, 1.5])
def test_resampling_changes_pitch_and_length_together(ratio):
    heard = sound.resampled(tone(1.0), ratio)
    assert len(heard) == pytest.approx(RATE / ratio, rel=0.01)
    assert pitch_of(heard) == pytest.approx(200 * ratio, abs=3)
    assert sound.level_of(heard) == pytest.approx(sound.level_of(tone(1.0)), rel=0.05)


def test_resampling_from_another_rate_folds_nothing_back():
    heard = sound.resampled(tone(1.0, 7000), 1.5)  # would come out above half the rate
    assert sound.level_of(heard) < 0.05 * sound.level_of(tone(1.0))


@pytest.mark.parametrize("factor", [0.6, 1.5, 2.2])
def test_stretching_keeps_the_pitch(factor):
    heard = sound.stretched(tone(0.6), factor)
    assert len(heard) == pytest.approx(factor * 0.6 * RATE, rel=0.06)
    middle = heard[len(heard) // 5 : -len(heard) // 5]
    assert pitch_of(middle) == pytest.approx(200, abs=8)


def test_a_glide_falls():
    heard = sound.glided(tone(1.0), 1.1, 0.9)
    half = len(heard) // 2
    assert pitch_of(heard[:half]) > pitch_of(heard[half:]) + 10


def test_holding_and_drawing_make_one_end_longer():
    samples = np.concatenate([tone(0.2, 300), tone(0.3, 150)])
    held, drawn = sound.held_onset(samples, 0.5), sound.drawn_end(samples, 0.4)
    assert len(held) - len(samples) == pytest.approx(0.5 * RATE, rel=0.25)
    assert len(drawn) - len(samples) == pytest.approx(0.4 * RATE, rel=0.25)
    assert pitch_of(held[: int(0.5 * RATE)]) == pytest.approx(300, abs=10)
    assert np.allclose(held[-1000:], samples[-1000:])
    assert np.allclose(drawn[:1000], samples[:1000])


def test_short_and_empty_sounds_pass_through_everything():
    for size in (0, 5, 300):
        samples = tone(1.0)[:size]
        for change in (
            lambda s: sound.resampled(s, 1.2),
            lambda s: sound.stretched(s, 2.0),
            lambda s: sound.glided(s, 1.0, 0.9),
            lambda s: sound.held_onset(s, 0.5),
            lambda s: sound.drawn_end(s, 0.5),
            sound.trimmed,
            sound.faded,
            sound.tense_onset,
            lambda s: sound.broken_off(s, 0.1),
            lambda s: sound.room(s, 0.3, 0.5, np.random.default_rng(0)),
        ):
            heard = change(samples)
            assert heard.dtype == np.float32
            assert np.isfinite(heard).all()


def test_trimming_leaves_the_sound():
    quiet = np.zeros(RATE, np.float32)
    heard = sound.trimmed(np.concatenate([quiet, tone(0.5), quiet]))
    assert 0.5 * RATE <= len(heard) <= 0.56 * RATE
    assert not len(sound.trimmed(quiet))


def test_a_room_adds_a_tail_and_keeps_the_direct_sound():
    heard = sound.room(tone(0.3), 0.4, 0.3, np.random.default_rng(0))
    assert len(heard) == int(0.7 * RATE)
    assert np.corrcoef(heard[:4800], tone(0.3))[0, 1] > 0.8
    early, late = np.square(heard[4800:7000]).mean(), np.square(heard[9000:]).mean()
    assert early > 10 * late > 0


def test_a_tense_onset_is_louder_at_the_beginning_only():
    heard = sound.tense_onset(tone(0.5))
    assert np.abs(heard[:300]).max() > 2 * 0.3
    assert np.array_equal(heard[1600:], tone(0.5)[1600:])


def test_breaking_off_is_hard():
    heard = sound.broken_off(tone(0.5), 0.15)
    assert len(heard) == int(0.15 * RATE)
    assert np.abs(heard[-160:-60]).max() > 0.2


@pytest.mark.parametrize("make", [sound.breath, sound.laughter, sound.knock])
def test_other_sounds_have_the_level_of_one_and_differ(make):
    chance = np.random.default_rng(3)
    first, second = make(chance), make(chance)
    assert len(first) != len(second)
    for samples in (first, second):
        assert samples.dtype == np.float32
        assert sound.level_of(samples) == pytest.approx(1.0, rel=0.05)


def test_babble_is_as_long_as_asked_and_backwards():
    chance = np.random.default_rng(1)
    rising = np.linspace(0, 1, RATE, dtype=np.float32) * tone(1.0)
    heard = sound.babble([rising], 3 * RATE, chance)
    assert len(heard) == 3 * RATE
    assert sound.level_of(heard) == pytest.approx(1.0, rel=0.05)
    assert np.abs(heard[:2000]).max() > np.abs(heard[14000:15500]).max()  # each stretch is loudest where it ended
    assert not sound.babble([], RATE, chance).any()
