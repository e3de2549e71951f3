"""Changes to synthesised speech, and sounds that are no speech. All samples are float32, mono, at 16 kHz."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from asrlsa.acoustics import Samples, coloured_noise
from asrlsa.audio import SAMPLE_RATE

_FRAME = 480  # samples of 30 ms for WSOLA
_SEARCH = 160  # samples of 10 ms by which a frame may be moved to fit
_FADE = 80  # samples of 5 ms


def level_of(samples: Samples) -> float:
    """Return the root mean square of the samples, leaving out what is near silence; 0 for silence."""
    if not len(samples):
        return 0.0
    loud = samples[np.abs(samples) > 0.05 * float(np.abs(samples).max())]
    return float(np.sqrt(np.mean(np.square(loud, dtype=np.float64)))) if len(loud) else 0.0


def resampled(samples: Samples, ratio: float) -> Samples:
    """Play samples ``ratio`` times as fast: from another sample rate, or to raise pitch and formants together.

    A low-pass in the frequency domain, then cubic interpolation (Catmull-Rom).
    """
    x = samples.astype(np.float64)
    if abs(ratio - 1) < 1e-9 or len(x) < 8:
        return samples
    if ratio > 1:
        spectrum = np.fft.rfft(x)
        spectrum[int(len(spectrum) / ratio * 0.97) :] = 0
        x = np.fft.irfft(spectrum, len(x))
    return _at(x, np.arange(0, len(x) - 1, ratio))


def glided(samples: Samples, begin: float, end: float) -> Samples:
    """Let the pitch glide from ``begin`` to ``end`` times what it was; the length changes by about their mean."""
    return bent(samples, np.linspace(begin, end, len(samples)))


def bent(samples: Samples, pitch: npt.NDArray[np.float64]) -> Samples:
    """Give each sample, (N,), ``pitch`` times its pitch, (N,); the length changes by about the mean of that."""
    if len(samples) < 8:
        return samples
    places = np.cumsum(pitch)
    return _at(samples.astype(np.float64), places[places < len(samples) - 1])


def _at(x: npt.NDArray[np.float64], places: npt.NDArray[np.float64]) -> Samples:
    whole = np.clip(places.astype(np.int64), 1, len(x) - 3)
    t = places - whole
    before, here, after, later = x[whole - 1], x[whole], x[whole + 1], x[whole + 2]
    bent = 2 * before - 5 * here + 4 * after - later + t * (3 * (here - after) + later - before)
    return np.asarray(here + 0.5 * t * (after - before + t * bent), dtype=np.float32)


def stretched(samples: Samples, factor: float) -> Samples:
    """Make samples ``factor`` times as long at the same pitch (WSOLA, Verhelst & Roelands 1993)."""
    if len(samples) < 2 * _FRAME or abs(factor - 1) < 0.02:
        return samples
    window = np.hanning(_FRAME + 1)[:-1].astype(np.float32)
    hop = _FRAME // 2
    count = max(2, int(len(samples) * factor) // hop)
    padded = np.concatenate([samples, np.zeros(_FRAME + _SEARCH, np.float32)])
    out = np.zeros((count + 1) * hop, np.float32)
    weight = np.zeros_like(out)
    place = 0
    for i in range(count):
        wanted = min(int(i * hop / factor), len(samples) - 1)
        if i:
            follows = padded[place + hop : place + hop + _FRAME]
            low = max(0, wanted - _SEARCH)
            place = low + _best(padded[low : wanted + _SEARCH + _FRAME], follows)
        else:
            place = wanted
        frame = padded[place : place + _FRAME]
        frame = np.pad(frame, (0, _FRAME - len(frame)))
        out[i * hop : i * hop + _FRAME] += window * frame
        weight[i * hop : i * hop + _FRAME] += window
    return np.asarray(out / np.maximum(weight, 1e-2), dtype=np.float32)


def _best(stretch: Samples, frame: Samples) -> int:
    """Return where in ``stretch`` the samples fit ``frame`` best."""
    if len(stretch) <= len(frame) or len(frame) < _FRAME:
        return 0
    likeness = np.correlate(stretch, frame, "valid")
    energy = np.convolve(np.square(stretch), np.ones(len(frame), np.float32), "valid")
    return int(np.argmax(likeness / np.sqrt(np.maximum(energy, 1e-9))))


def trimmed(samples: Samples, *, before: float = 0.015, after: float = 0.03) -> Samples:
    """Cut silence from both ends, but for ``before`` and ``after`` s, and fade the edges; silence leaves nothing."""
    if not len(samples) or not np.abs(samples).max() > 1e-4:
        return samples[:0]
    loud = np.flatnonzero(np.abs(samples) > 0.02 * float(np.abs(samples).max()))
    begin = max(0, int(loud[0]) - int(before * SAMPLE_RATE))
    return faded(samples[begin : int(loud[-1]) + int(after * SAMPLE_RATE)])


def faded(samples: Samples, fade: int = _FADE) -> Samples:
    """Fade the first and last samples in and out."""
    changed: Samples = samples.copy()
    size = min(fade, len(changed) // 2)
    if size:
        slope = np.linspace(0, 1, size, dtype=np.float32)
        changed[:size] *= slope
        changed[len(changed) - size :] *= slope[::-1]
    return changed


def held_onset(samples: Samples, seconds: float) -> Samples:
    """Hold the first sound for ``seconds``: the stretch of 20 to 90 ms after the onset is made longer."""
    return _longer(samples, int(0.02 * SAMPLE_RATE), int(0.09 * SAMPLE_RATE), seconds)


def drawn_end(samples: Samples, seconds: float) -> Samples:
    """Draw the last sound out by ``seconds``: the stretch of 180 to 60 ms before the end is made longer."""
    end = len(samples) - int(0.06 * SAMPLE_RATE)
    return _longer(samples, end - int(0.12 * SAMPLE_RATE), end, seconds)


def _longer(samples: Samples, begin: int, end: int, seconds: float) -> Samples:
    if begin < 0 or end > len(samples) or end - begin < _FRAME:
        # WSOLA needs a frame and room to search: take more on both sides.
        middle = (begin + end) // 2
        begin, end = max(0, middle - _FRAME), min(len(samples), middle + _FRAME)
        if end - begin < 2 * _FRAME:
            return samples
    begin, end = max(0, min(begin, end - 2 * _FRAME)), min(len(samples), max(end, begin + 2 * _FRAME))
    core = samples[begin:end]
    if len(core) < 2 * _FRAME:
        return samples
    factor = max(1.0, (seconds * SAMPLE_RATE + len(core)) / len(core))
    return joined([samples[:begin], stretched(core, factor), samples[end:]])


def joined(parts: list[Samples]) -> Samples:
    """Put parts of one sound together with cross-fades of 5 ms."""
    out = parts[0]
    for part in parts[1:]:
        size = min(_FADE, len(out), len(part))
        if not size:
            out = np.concatenate([out, part])
            continue
        slope = np.linspace(0, 1, size, dtype=np.float32)
        middle = out[len(out) - size :] * (1 - slope) + part[:size] * slope
        out = np.concatenate([out[: len(out) - size], middle, part[size:]])
    return np.asarray(out, dtype=np.float32)


def tense_onset(samples: Samples) -> Samples:
    """Make the first 60 ms louder by up to 8 dB, with a hard attack, as a block is released."""
    changed: Samples = samples.copy()
    size = min(len(changed), int(0.06 * SAMPLE_RATE))
    changed[:size] *= np.linspace(10 ** (8 / 20), 1.0, size, dtype=np.float32)
    return changed


def broken_off(samples: Samples, seconds: float) -> Samples:
    """Break a sound off hard after ``seconds``."""
    size = int(seconds * SAMPLE_RATE)
    return samples if len(samples) <= size else faded(samples[:size], 48)


def room(samples: Samples, seconds: float, distance: float, chance: np.random.Generator) -> Samples:
    """Return the sound as heard in a room.

    A synthetic impulse response: the direct sound, a few early reflections, and noise that decays by 60 dB in
    ``seconds``.

    Args:
        samples: Dry sound.
        seconds: Time of decay.
        distance: Level of the reverberation against the direct sound, 0 (near the microphone) to 1 or more.
        chance: Where the numbers come from.
    """
    if not len(samples) or seconds <= 0 or distance <= 0:
        return samples
    length = int(seconds * SAMPLE_RATE)
    tail = chance.standard_normal(length) * np.exp(-6.91 * np.arange(length) / length)
    tail[: int(0.004 * SAMPLE_RATE)] = 0
    for _ in range(6):
        tail[int(chance.uniform(0.004, 0.04) * SAMPLE_RATE) % length] += chance.choice((-1, 1)) * chance.uniform(2, 5)
    response = distance * tail / np.sqrt(np.sum(tail**2) + 1e-12)
    response[0] += 1.0
    size = 1 << (len(samples) + length).bit_length()
    wet = np.fft.irfft(np.fft.rfft(samples, size) * np.fft.rfft(response, size), size)[: len(samples) + length]
    return np.asarray(wet, dtype=np.float32)


def _shaped(samples: Samples, low: float, high: float) -> Samples:
    """Keep a band in Hz, with soft edges."""
    spectrum = np.fft.rfft(samples)
    frequency = np.fft.rfftfreq(len(samples), 1 / SAMPLE_RATE)
    gain = 1 / (1 + (frequency / high) ** 6) * (1 - 1 / (1 + (frequency / low) ** 4))
    return np.asarray(np.fft.irfft(spectrum * gain, len(samples)), dtype=np.float32)


def _at_one(samples: npt.NDArray[np.float32] | npt.NDArray[np.float64]) -> Samples:
    """Give a sound a level of 1; silence stays silent."""
    whole = np.asarray(samples, dtype=np.float32)
    return np.asarray(whole / (level_of(whole) or 1.0), dtype=np.float32)


def breath(chance: np.random.Generator) -> Samples:
    """Return the noise of breathing in or out, with a level of about 1: 0.25 to 0.9 s."""
    size = int(chance.uniform(0.25, 0.9) * SAMPLE_RATE)
    noise = _shaped(coloured_noise(size, chance), 400.0, chance.uniform(2500, 5000))
    shape = np.sin(np.pi * np.linspace(0, 1, size) ** chance.uniform(0.6, 1.6)) ** 1.5
    return _at_one(noise * shape)


def laughter(chance: np.random.Generator) -> Samples:
    """Return something like laughter, with a level of about 1: breathy voiced bursts, about five a second."""
    bursts, pitch = int(chance.integers(3, 9)), chance.uniform(140, 330)
    parts = []
    for i in range(bursts):
        size = int(chance.uniform(0.07, 0.12) * SAMPLE_RATE)
        time = np.arange(size) / SAMPLE_RATE
        tone = pitch * (1 - 0.25 * i / bursts) * (1 - 0.3 * time)
        phase = 2 * np.pi * np.cumsum(tone) / SAMPLE_RATE
        voice = sum(np.sin(k * phase) / k for k in range(1, 9))
        burst = np.asarray(voice + 0.8 * coloured_noise(size, chance), dtype=np.float32)
        burst = _shaped(burst, 300.0, 2800.0) * np.hanning(size).astype(np.float32)
        parts += [burst, np.zeros(int(chance.uniform(0.07, 0.13) * SAMPLE_RATE), np.float32)]
    return _at_one(np.concatenate(parts))


def knock(chance: np.random.Generator) -> Samples:
    """Return a click, a tap or a cough-like burst with a level of about 1."""
    size = int(chance.uniform(0.02, 0.3) * SAMPLE_RATE)
    noise = _shaped(coloured_noise(size, chance), chance.uniform(80, 600), chance.uniform(900, 6000))
    return _at_one(noise * np.exp(-np.linspace(0, chance.uniform(4, 9), size)))


def babble(voices: list[Samples], size: int, chance: np.random.Generator) -> Samples:
    """Return unclear talk of several people with a level of about 1: stretches of speech, backwards, one over another.

    Played backwards, speech keeps its spectrum and rhythm, and holds no words.
    """
    out = np.zeros(size, np.float32)
    usable = [voice for voice in voices if len(voice) > SAMPLE_RATE // 4]
    for _ in range(int(chance.integers(3, 7)) if usable else 0):
        place = 0
        while place < size:
            voice = usable[int(chance.integers(len(usable)))]
            part = voice[::-1][: size - place]
            out[place : place + len(part)] += part * chance.uniform(0.4, 1.0)
            place += len(part) + int(chance.uniform(0, 0.4) * SAMPLE_RATE)
    return _at_one(out)
