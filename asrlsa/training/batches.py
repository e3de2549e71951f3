"""Windows -> batches: the dataset, how it is sampled, and how windows are put together.

Everything that is drawn by chance depends on (seed, epoch, index of the window) only. So a run that is resumed, and a
run on several devices, trains on exactly the windows that a single run would.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch.utils.data import Dataset, Sampler

from asrlsa.manifest import Row
from asrlsa.training.data_settings import DataSettings
from asrlsa.training.vocabulary import Vocabulary
from asrlsa.training.windows import Window

if TYPE_CHECKING:
    from asrlsa.training.encoder_cache import EncoderCache


class Draw(NamedTuple):
    """One window as the sampler asks for it; the dataset also takes the bare index."""

    index: int
    epoch: int
    frames: int = 0  # mel frames that the batch is padded to; 0 leaves it to the windows


@dataclass(frozen=True, slots=True)
class PackingSummary:
    """What a dataset holds.

    Attributes:
        layout: As in the settings.
        windows: Number of windows.
        rows: Rows used.
        speech_seconds: Time in which anyone speaks.
        audio_seconds: Sound, pauses included.
        padded_seconds: What the encoder runs on, padding included.
        left_out: Reason to number of rows that are not used.
        examples: Reason to the name of one such row.
        tokens: Labels with loss, without timestamps and prompts.
    """

    layout: str
    windows: int
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

    def describe(self, batch_size: int) -> str:
        """Return one line: windows, padding share, seconds of speech in a step of ``batch_size`` windows."""
        raise NotImplementedError


def make_dataset(
    rows: str | Path | Iterable[Row],
    settings: DataSettings,
    vocabulary: Vocabulary,
    *,
    n_mels: int = 80,
    seed: int = 0,
    training: bool = True,
    cache: EncoderCache | None = None,
) -> WindowDataset:
    """Read rows and pack them.

    Args:
        rows: A manifest, or rows.
        settings: How.
        vocabulary: The model's tokens.
        n_mels: 80, or 128 for large-v3 and its children.
        seed: Of everything that is drawn.
        training: False switches augmentation, prompts' and timestamps' chance and synthetic noise off: the same
            windows in every epoch, with timestamps where ``settings.timestamps`` is 1, prompts where
            ``prompt_share`` is above 0.
        cache: Encoder output to give instead of features; then nothing may be done to the sound.

    Raises:
        ManifestError: The manifest is wrong.
        TargetError: A language that the model does not know.
        ConfigError: No row can be used; the message says why.
    """
    raise NotImplementedError


class WindowDataset(Dataset[dict[str, Any]]):
    """Windows as tensors.

    ``dataset[i]`` gives ``features`` (n_mels, frames) float32, ``inputs`` and ``labels`` (tokens,) int64, ``floor`` (what
    silence looks like in these features, for padding), ``index``; with a cache ``encoder`` (positions, D) float16 instead
    of ``features``.
    """

    settings: DataSettings
    vocabulary: Vocabulary
    n_mels: int
    seed: int
    training: bool

    def __len__(self) -> int:
        raise NotImplementedError

    def __getitem__(self, index: int | Draw) -> dict[str, Any]:
        raise NotImplementedError

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that a bare index stands for; seen by worker processes too."""
        raise NotImplementedError

    def window(self, index: int) -> Window:
        """Return a window: its sound's places, its texts with times, its rows' names."""
        raise NotImplementedError

    def samples(self, index: int) -> Any:
        """Return a window's sound as it is, without augmentation: (samples,) float32, 16 kHz."""
        raise NotImplementedError

    def frames(self, index: int) -> int:
        """Return the mel frames that a window's sound fills (100 a second)."""
        raise NotImplementedError

    def summary(self) -> PackingSummary:
        """Return what the dataset holds."""
        raise NotImplementedError


class WindowSampler(Sampler[list[Draw]]):
    """Batches for one epoch, to be given as ``batch_sampler`` to a DataLoader.

    The order depends on (seed, epoch). With ``world`` processes each step takes ``batch_size * world`` windows of like
    length, and process ``rank`` gets its share of them; every process gets equally many batches.
    """

    def __init__(
        self,
        dataset: WindowDataset,
        batch_size: int,
        *,
        seed: int = 0,
        shuffle: bool = True,
        rank: int = 0,
        world: int = 1,
        drop_last: bool = False,
    ) -> None:
        raise NotImplementedError

    def __len__(self) -> int:
        raise NotImplementedError

    def __iter__(self) -> Iterator[list[Draw]]:
        raise NotImplementedError

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch to be drawn next."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Collator:
    """Items -> one batch.

    ``input_features`` (B, n_mels, T) float32, padded with each window's silence, or ``encoder_outputs`` ((B, 1500, D),)
    from a cache; ``decoder_input_ids`` and ``labels`` (B, U) int64, padded at the end with ``pad`` and -100. No mask is
    needed: the decoder looks back only.

    Attributes:
        pad: Token for padding, ``vocabulary.eot``.
    """

    pad: int

    def __call__(self, items: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Put items together."""
        raise NotImplementedError


__all__ = ["Collator", "Draw", "PackingSummary", "WindowDataset", "WindowSampler", "make_dataset", "torch"]
