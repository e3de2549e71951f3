"""The windows of a manifest as tensors.

Everything that is drawn by chance depends on (seed, epoch, index of the window) only. So a run that is resumed, and a
run on several devices, trains on exactly the windows that a single run would.
"""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import Dataset

from asrlsa.acoustics import add_noise, synthetic_noise, telephone
from asrlsa.audio import SAMPLES_PER_MS
from asrlsa.errors import ConfigError, MediaError, ModelError
from asrlsa.manifest import Row, read_rows
from asrlsa.speech.prompts import style_prompt
from asrlsa.training import augment
from asrlsa.training.data_settings import DataSettings
from asrlsa.training.features import MAX_FRAMES, floor_of, frames_of, log_mel
from asrlsa.training.logs import counted, hours
from asrlsa.training.packing import pack
from asrlsa.training.sounds import Sounds
from asrlsa.training.stretches import language_of
from asrlsa.training.targets import MAX_TOKENS, Target, TargetError, build_target, count_tokens, prompt_tokens
from asrlsa.training.vocabulary import Vocabulary
from asrlsa.training.windows import Packing, Window

if TYPE_CHECKING:
    from asrlsa.training.encoder_cache import EncoderCache

Samples = npt.NDArray[np.float32]

_MISSING_MS = 250  # a recording may end this much before its last utterance does: annotators' times jitter by as much
_SPECIAL = 8  # tokens kept free: start, language, task, end, and a few by which joined texts may differ


class Draw(NamedTuple):
    """One window as the sampler asks for it; the dataset also takes the bare index."""

    window: int
    epoch: int
    frames: int = 0  # mel frames that the batch is padded to; 0 leaves it to the window


@dataclass(frozen=True, slots=True)
class PackingSummary:
    """What a dataset holds.

    Attributes:
        layout: As in the settings.
        windows: Number of windows.
        silent: Windows without speech among them.
        rows: Rows with text that are used.
        speech_seconds: Time in which anyone speaks.
        audio_seconds: Sound from each window's begin to its end, pauses and joints included.
        padded_seconds: What the encoder runs on, padding included; for ``variable`` without what a batch adds.
        left_out: Reason to number of rows that are not used.
        examples: Reason to the name of one such row.
        tokens: Tokens of text.
    """

    layout: str
    windows: int
    silent: int
    rows: int
    speech_seconds: float
    audio_seconds: float
    padded_seconds: float
    left_out: Mapping[str, int]
    examples: Mapping[str, str]
    tokens: int

    @property
    def padding_share(self) -> float:
        """Share of the encoder's input that is padding, 0 to 1."""
        return 1 - self.audio_seconds / self.padded_seconds if self.padded_seconds else 0.0

    @property
    def speech_share(self) -> float:
        """Share of the encoder's input in which anyone speaks, 0 to 1."""
        return self.speech_seconds / self.padded_seconds if self.padded_seconds else 0.0

    def describe(self) -> str:
        """Return one line: what the data are, and what the windows hold (`WindowSampler.describe` adds the batches)."""
        silent = f" ({self.silent:,} without speech)" if self.silent else ""
        return (
            f"{self.layout}: {counted(self.rows, 'utterance')}, {hours(self.speech_seconds)} of speech, in "
            f"{counted(self.windows, 'window')}{silent}: {100 * self.speech_share:.0f} % speech, "
            f"{100 * self.padding_share:.0f} % padding"
        )

    def describe_left_out(self) -> list[str]:
        """Return a line for each reason why rows are not used: their number, and the name of one."""
        return [
            f"{counted(count, 'row')} not used: {reason} (such as {self.examples[reason]})"
            for reason, count in sorted(self.left_out.items(), key=lambda item: -item[1])
        ]


def make_dataset(
    rows: str | Path | Iterable[Row],
    settings: DataSettings,
    vocabulary: Vocabulary,
    *,
    n_mels: int = 80,
    seed: int = 0,
    training: bool = True,
    name: str = "",
) -> WindowDataset:
    """Read rows and pack them.

    Args:
        rows: A manifest, or rows.
        settings: How.
        vocabulary: The model's tokens.
        n_mels: 80, or 128 for large-v3 and its children.
        seed: Of everything that is drawn.
        training: False switches augmentation and synthetic noise off and keeps every noise row; a window then is the
            same in every epoch.
        name: What messages call the data; empty takes the manifest's path.

    Raises:
        ManifestError: The manifest is wrong.
        TargetError: A language that the model does not know; the message names the row.
        ConfigError: No row can be used; the message says why.
    """
    name = name or (str(rows) if isinstance(rows, str | Path) else "the data")
    found = list(read_rows(rows) if isinstance(rows, str | Path) else rows)
    _check_languages(found, vocabulary)
    prompts = {code: _prompt(settings, code) for code in {language_of(row) for row in found}}
    longest = max((len(prompt_tokens(text, vocabulary)) for text in prompts.values()), default=0)
    packing = pack(
        found,
        settings,
        tokens=_counter(vocabulary),
        most_tokens=MAX_TOKENS - _SPECIAL,
        budget=MAX_TOKENS - _SPECIAL - longest,
        seed=seed,
        training=training,
    )
    if not any(window.pieces for window in packing.windows):
        raise ConfigError(f"{name}: no utterance can be used: {_why(packing, len(found))}")
    return WindowDataset(packing, settings, vocabulary, prompts, n_mels=n_mels, seed=seed, training=training)


class WindowDataset(Dataset[dict[str, Any]]):
    """Windows as tensors; reads sound when a window is asked for.

    ``dataset[i]`` gives ``features`` (n_mels, frames) float32, ``inputs`` and ``labels`` (tokens,) int64, ``floor``
    (what silence looks like in these features, for padding) and ``window`` (the index). With a cache there is
    ``encoder`` (positions, D) float16 in place of ``features``.
    """

    def __init__(
        self,
        packing: Packing,
        settings: DataSettings,
        vocabulary: Vocabulary,
        prompts: Mapping[str, str],
        *,
        n_mels: int,
        seed: int,
        training: bool,
    ) -> None:
        """Hold the windows of a packing; see `make_dataset`."""
        self.settings, self.vocabulary = settings, vocabulary
        self.n_mels, self.seed, self.training = n_mels, seed, training
        self.sounds = Sounds(limit_gb=settings.sound_cache_gb)
        self.cache: EncoderCache | None = None
        self._prompts = dict(prompts)
        self._windows = _Stored(packing.windows)
        # Worker processes that outlive an epoch see the number change.
        self._epoch = torch.zeros(1, dtype=torch.int64)
        self._epoch.share_memory_()  # type: ignore[no-untyped-call]
        count = _counter(vocabulary)
        self.token_counts = np.array([sum(count(p.text) for p in w.pieces) for w in packing.windows], np.int64)
        self._frames = np.array([frames_of(w.duration * SAMPLES_PER_MS) for w in packing.windows], np.int64)
        self.speech_seconds = np.array([w.speech_ms / 1000 for w in packing.windows])
        self._summary = _summary(packing, settings, self.token_counts, self._padded())

    def __len__(self) -> int:
        return len(self._windows)

    def __getitem__(self, draw: int | Draw) -> dict[str, Any]:
        """Return one window.

        Raises:
            MediaError: A recording can't be read or ends before an utterance does.
        """
        index, epoch, frames = draw if isinstance(draw, Draw) else (int(draw), int(self._epoch), 0)
        window = self.window(index)
        chance = np.random.default_rng([self.seed, epoch if self.training else 0, index])
        target = self._target(window, index, chance)
        item: dict[str, Any] = {
            "inputs": torch.tensor(target.inputs, dtype=torch.int64),
            "labels": torch.tensor(target.labels, dtype=torch.int64),
            "window": index,
        }
        if self.cache is not None:
            item["encoder"] = self.cache[index]
        else:
            item["features"], item["floor"] = self._features(index, chance, frames)
        return item

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that a bare index stands for; seen by worker processes too."""
        self._epoch.fill_(epoch)

    def use_cache(self, cache: EncoderCache) -> None:
        """Give encoder output in place of features from now on.

        Raises:
            ConfigError: The sound is augmented, so that it differs from epoch to epoch.
        """
        if self.training and max(self.settings.spec_augment, self.settings.noise, self.settings.telephone) > 0:
            raise ConfigError("cached encoder output can't be augmented: set spec_augment, noise and telephone to 0")
        self.cache = cache

    def window(self, index: int) -> Window:
        """Return a window: its sound's places, its texts with times, its rows' names."""
        found: Window = self._windows[index]
        return found

    def frames(self, index: int) -> int:
        """Return the mel frames that a window's sound fills (100 a second)."""
        return int(self._frames[index])

    def padded_frames(self, frames: int) -> int:
        """Return the mel frames that a batch whose longest window has ``frames`` is padded to."""
        if self.settings.layout != "variable":
            return MAX_FRAMES
        lengths = [frames_of(round(s * 1000) * SAMPLES_PER_MS) for s in self.settings.context_seconds]
        return next((length for length in lengths if length >= frames), frames)

    def samples(self, index: int) -> Samples:
        """Return a window's sound as it is, without augmentation: (samples,) float32, 16 kHz mono.

        Raises:
            MediaError: A recording can't be read, or ends before an utterance does.
        """
        window = self.window(index)
        if not window.parts:
            # Not a matter of the epoch, so that encoder output may be cached.
            return synthetic_noise(window.duration * SAMPLES_PER_MS, np.random.default_rng([self.seed, index, 1]))
        sound = np.zeros(window.duration * SAMPLES_PER_MS, np.float32)
        for part in window.parts:
            found = self.sounds.read(part.audio, part.start, part.end)
            first = part.at * SAMPLES_PER_MS
            sound[first : first + len(found)] = found
            heard = part.at + len(found) // SAMPLES_PER_MS
            if heard < part.at + part.end - part.start - _MISSING_MS:
                _check_whole(window, part.at, part.at + part.end - part.start, heard, part.audio)
        return sound

    def summary(self) -> PackingSummary:
        """Return what the dataset holds."""
        return self._summary

    def _padded(self) -> float:
        return sum(self.padded_frames(int(f)) for f in self._frames) / 100

    def _target(self, window: Window, index: int, chance: np.random.Generator) -> Target:
        timed, prompted = chance.random(2)
        prompt = self._prompts.get(window.language) if prompted < self.settings.prompt_share else None
        if prompt:
            room = MAX_TOKENS - _SPECIAL - int(self.token_counts[index])
            prompt = prompt if len(prompt_tokens(prompt, self.vocabulary)) <= room else None
        return build_target(
            window.pieces,
            self.vocabulary,
            window.language,
            timestamps=bool(timed < self.settings.timestamps),
            prompt=prompt,
            name=window.ids[0] if window.ids else "",
        )

    def _features(self, index: int, chance: np.random.Generator, frames: int) -> tuple[torch.Tensor, float]:
        settings, filled = self.settings, self.frames(index)
        sound = self.samples(index)
        noisy, narrow, blanked = chance.random(3) if self.training else (1.0, 1.0, 1.0)
        if noisy < settings.noise:
            sound = add_noise(sound, chance, settings.noise_snr)
        if narrow < settings.telephone:
            sound = telephone(sound)
        features = log_mel(sound, mels=self.n_mels, frames=frames or self.padded_frames(filled))
        floor = floor_of(features)
        if blanked < settings.spec_augment:
            features = augment.spec_augment(
                features,
                chance,
                frequency_masks=settings.frequency_masks,
                time_masks=settings.time_masks,
                frames=filled,
            )
        return features, floor


class _Stored(Sequence[Window]):
    """Windows in two arrays: worker processes share their memory, which Python objects would copy bit by bit."""

    def __init__(self, windows: Sequence[Window]) -> None:
        written = [pickle.dumps(window, protocol=pickle.HIGHEST_PROTOCOL) for window in windows]
        self._ends = np.cumsum([0, *(len(w) for w in written)], dtype=np.int64)
        self._bytes = np.frombuffer(b"".join(written), np.uint8)

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, index: Any) -> Any:
        if not 0 <= index < len(self):
            raise IndexError(f"there is no window {index}; there are {len(self)}")
        found: Window = pickle.loads(self._bytes[self._ends[index] : self._ends[index + 1]].data)
        return found


def _prompt(settings: DataSettings, language: str) -> str:
    """Return the prompt for a language, empty for none."""
    if settings.prompt_share == 0:
        return ""
    if settings.prompt is not None:
        return settings.prompt
    return (style_prompt(language) or "") if settings.target == "verbatim" else ""


def _counter(vocabulary: Vocabulary) -> Callable[[str], int]:
    known: dict[str, int] = {}

    def count(text: str) -> int:
        if text not in known:
            if len(known) > 100_000:
                known.clear()
            known[text] = count_tokens(text, vocabulary)
        return known[text]

    return count


def _check_languages(rows: Iterable[Row], vocabulary: Vocabulary) -> None:
    seen: set[str] = set()
    for row in rows:
        if row.language not in seen:
            seen.add(row.language)
            try:
                vocabulary.start(language_of(row))
            except ModelError as error:
                raise TargetError(f"{row.id}: {error}") from None


def _check_whole(window: Window, first: int, last: int, heard: int, audio: Path) -> None:
    """Raise where the sound ends before an utterance does; its text must not be kept."""
    for piece, name in zip(window.pieces, window.ids, strict=bool(window.pieces)):
        if first <= piece.start < last and piece.end > heard + _MISSING_MS:
            raise MediaError(
                f"{audio}: has no sound for the last {(piece.end - heard) / 1000:.2f} s of the utterance {name}; run "
                "`asrlsa prepare --check` on the data"
            )


def _why(packing: Packing, rows: int) -> str:
    if not rows:
        return "there are no rows"
    reasons = sorted(packing.left_out.items(), key=lambda item: -item[1])
    return ", ".join(f"{reason} ({counted(count, 'row')})" for reason, count in reasons) or "no row has text"


def _summary(packing: Packing, settings: DataSettings, tokens: npt.NDArray[np.int64], padded: float) -> PackingSummary:
    windows = packing.windows
    return PackingSummary(
        layout=settings.layout,
        windows=len(windows),
        silent=sum(not w.pieces for w in windows),
        rows=sum(len(w.pieces) for w in windows),
        speech_seconds=packing.speech_seconds(),
        audio_seconds=math.fsum(w.duration for w in windows) / 1000,
        padded_seconds=padded,
        left_out=packing.left_out,
        examples=packing.examples,
        tokens=int(tokens.sum()) - 2 * sum(len(w.pieces) for w in windows),
    )
