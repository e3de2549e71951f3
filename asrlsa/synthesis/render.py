"""From a plan to sound: utterances put together from what the voices say, then placed in their recording."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from asrlsa.acoustics import Samples, coloured_noise, telephone
from asrlsa.audio import SAMPLE_RATE
from asrlsa.output import whole_file
from asrlsa.synthesis import sound
from asrlsa.synthesis.languages import load_language
from asrlsa.synthesis.phonemes import Stretch, stretches
from asrlsa.synthesis.script import Plan, Speaker, Turn
from asrlsa.synthesis.voices import Synthesiser

__all__ = ["Heard", "SpeechCache", "render"]

_LEVEL: Final = 0.06  # root mean square of speech before the recording's gain
_SHORTEST, _LONGEST = 0.5, 2.2  # factors by which a filler may be made shorter or longer than the voice says it
_HESITATING: Final = {"kokoro": 0.8, "piper": 0.5}
_QUIET: Final = {"breath": -20.0, "laughter": -6.0, "knock": -8.0, "babble": -14.0}  # dB against speech


@dataclass(frozen=True, slots=True)
class Heard:
    """A recording.

    Attributes:
        samples: float32, mono, 16 kHz.
        times: Begin and end of each turn in ms; of a turn that is not speech, of its sound.
    """

    samples: Samples
    times: tuple[tuple[int, int], ...]


class SpeechCache:
    """What the voices said before, so that a text that changes does not cost all of the speech again."""

    def __init__(self, voices: Synthesiser, folder: Path) -> None:
        self.voices, self.folder = voices, folder

    def phonemise(self, text: str, accent: str) -> str:
        """Return the text in IPA; this is quick and is not kept."""
        return self.voices.phonemise(text, accent)

    def say(self, phonemes: str, speaker: Speaker) -> Samples:
        """Return speech at 16 kHz, from the folder where it lies there."""
        speed = round(speaker.speed / speaker.pitch, 2)
        key = json.dumps([phonemes, speaker.engine, speaker.voice, speed], ensure_ascii=False)
        name = hashlib.sha256(key.encode()).hexdigest()[:24]
        path = self.folder / name[:2] / f"{name}.npy"
        if path.is_file():
            return np.asarray(np.load(path).astype(np.float32) / 32767)
        samples = self.voices.say(phonemes, speaker)
        peak = float(np.abs(samples).max()) if len(samples) else 0.0
        whole = np.round(samples * (32767 / max(1.0, peak))).astype(np.int16)
        with whole_file(path) as beside, beside.open("wb") as file:
            np.save(file, whole)
        return np.asarray(whole.astype(np.float32) / 32767)


def render(plan: Plan, language: str, voices: Synthesiser) -> Heard:
    """Make a plan audible.

    Raises:
        ModelError: The voices are not to be had.
    """
    chance = random.Random(plan.seed)
    noise = np.random.default_rng(plan.seed)
    said = [_utterance(turn, plan.speakers[turn.speaker], language, voices, chance) for turn in plan.turns]
    if plan.population == "none":
        return _without_speech(plan, said, noise)
    return _mixed(plan, said, noise)


def _utterance(turn: Turn, speaker: Speaker, language: str, voices: Synthesiser, chance: random.Random) -> Samples:
    """Return one utterance at the level of speech."""
    table = load_language(language)
    parts: list[Samples] = []
    for stretch in stretches(turn.spoken, table, table.accent(speaker.voice[0][0]), voices.phonemise, chance):
        # A hesitation is said slowly, rather than made longer afterwards.
        slow = speaker if not stretch.filler else replace(speaker, speed=speaker.speed * _HESITATING[speaker.engine])
        samples = sound.resampled(voices.say(stretch.phonemes, slow), speaker.pitch)
        samples = _shaped(samples, stretch, speaker.speed, chance)
        if stretch.block:
            parts.append(np.zeros(int(stretch.block * SAMPLE_RATE), np.float32))
        parts += [samples, np.zeros(int(stretch.pause * SAMPLE_RATE / 1000), np.float32)]
    whole = np.concatenate(parts)
    level = sound.level_of(whole)
    return np.asarray(whole * (_LEVEL * 10 ** (speaker.level / 20) / level if level else 0.0), dtype=np.float32)


def _shaped(samples: Samples, stretch: Stretch, speed: float, chance: random.Random) -> Samples:
    """Give a stretch its length and melody."""
    if stretch.cut_off:
        # Two copies of one sound differ; the glottis closes fast.
        samples = sound.resampled(samples, chance.uniform(0.96, 1.05))
        return sound.broken_off(samples, stretch.cut_off / speed)
    if stretch.filler and len(samples):
        factor = stretch.filler * SAMPLE_RATE / len(samples)
        samples = sound.stretched(samples, min(_LONGEST, max(_SHORTEST, factor)))
        # Hesitations are low and nearly level, and often fall a little (O'Shaughnessy 1992).
        begin = chance.uniform(0.9, 1.04)
        samples = sound.faded(sound.glided(samples, begin, begin * chance.uniform(0.88, 1.04)))
        samples = np.asarray(samples * 10 ** (chance.uniform(-5, 0) / 20), dtype=np.float32)
    if stretch.held:
        samples = sound.held_onset(samples, stretch.held)
    if stretch.drawn:
        samples = sound.drawn_end(samples, stretch.drawn)
    if stretch.block:
        samples = sound.tense_onset(samples)
    if stretch.broken:
        samples = sound.broken_off(samples, len(samples) / SAMPLE_RATE - chance.uniform(0.03, 0.07))
    return samples


def _mixed(plan: Plan, said: Sequence[Samples], noise: np.random.Generator) -> Heard:
    """Place utterances, and what is heard between them, and let the room, the noise and the line do their part."""
    end, times, placed = 0, [], []
    for turn, samples in zip(plan.turns, said, strict=True):
        start = max(0, end + int(turn.gap * SAMPLE_RATE))
        if turn.sound and turn.gap > 0.4:
            placed += _between(turn, said, end, start, noise)
        wet = sound.room(samples, plan.acoustics.room, plan.speakers[turn.speaker].distance, noise)
        placed.append((start, wet))
        times.append((start * 1000 // SAMPLE_RATE, (start + len(samples)) * 1000 // SAMPLE_RATE))
        end = max(end, start + len(samples))
    whole = np.zeros(end + int(plan.tail * SAMPLE_RATE), np.float32)
    for start, samples in placed:
        part = samples[: len(whole) - start]
        whole[start : start + len(part)] += part
    return Heard(_recorded(plan, whole, said, noise), tuple(times))


def _between(
    turn: Turn, said: Sequence[Samples], begin: int, end: int, noise: np.random.Generator
) -> list[tuple[int, Samples]]:
    """Return a sound that is no speech, with its place, where it fits into a gap."""
    samples = _other_sound(turn.sound, said, (end - begin) * 2 // 3, noise)
    if len(samples) > end - begin - SAMPLE_RATE // 10:
        return []
    level = np.float32(_LEVEL * 10 ** ((_QUIET[turn.sound] + noise.uniform(-8, 4)) / 20))
    return [(begin + (end - begin - len(samples)) // 2, samples * level)]


def _other_sound(kind: str, said: Sequence[Samples], size: int, noise: np.random.Generator) -> Samples:
    if kind == "breath":
        return sound.breath(noise)
    if kind == "laughter":
        return sound.laughter(noise)
    if kind == "knock":
        return sound.knock(noise)
    return sound.faded(sound.babble(list(said), size, noise), SAMPLE_RATE // 20)


def _without_speech(plan: Plan, said: Sequence[Samples], noise: np.random.Generator) -> Heard:
    """Return a recording of sounds that are no speech; its turns are when they are heard."""
    parts: list[Samples] = []
    times = []
    place = 0
    for turn in plan.turns:
        gap = np.zeros(int(turn.gap * SAMPLE_RATE), np.float32)
        size = int(noise.uniform(1.0, 4.0) * SAMPLE_RATE)
        samples = _other_sound(turn.sound, said, size, noise) if turn.sound else np.zeros(size, np.float32)
        level = _LEVEL * 10 ** (((_QUIET[turn.sound] if turn.sound else 0.0) + noise.uniform(-10, 6)) / 20)
        start = place + len(gap)
        place = start + len(samples)
        times.append((start * 1000 // SAMPLE_RATE, place * 1000 // SAMPLE_RATE))
        parts += [gap, samples * np.float32(level)]
    whole = np.concatenate([*parts, np.zeros(int(plan.tail * SAMPLE_RATE), np.float32)])
    quiet = replace(plan.acoustics, gain=plan.acoustics.gain - float(noise.uniform(0, 25)), room=0.0)
    return Heard(_recorded(replace(plan, acoustics=quiet), whole, said, noise), tuple(times))


def _recorded(plan: Plan, whole: Samples, said: Sequence[Samples], noise: np.random.Generator) -> Samples:
    """Add the noise, then the telephone line, then the gain."""
    acoustics = plan.acoustics
    if acoustics.snr is not None:
        other = sound.babble(list(said), len(whole), noise) if acoustics.babble else coloured_noise(len(whole), noise)
        ratio = acoustics.snr + (6.0 if acoustics.babble else 0.0)  # unclear talk hides words more than noise does
        whole = whole + other * np.float32(_LEVEL * 10 ** (-ratio / 20))
    peak = float(np.abs(whole).max()) or 1.0
    whole = np.asarray(whole / peak, dtype=np.float32)
    if acoustics.telephone:
        whole = telephone(whole * np.float32(0.9))
        whole = whole / (float(np.abs(whole).max()) or 1.0)
    return np.asarray(whole * 10 ** (acoustics.gain / 20), dtype=np.float32)
