"""Windows -> batches: in which order they are drawn, and how they are put together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import Sampler

from asrlsa.errors import ConfigError
from asrlsa.training.buckets import assign
from asrlsa.training.dataset import Draw, PackingSummary, WindowDataset, make_dataset
from asrlsa.training.features import MAX_FRAMES
from asrlsa.training.targets import IGNORED

__all__ = ["Collator", "Draw", "Load", "PackingSummary", "WindowDataset", "WindowSampler", "make_dataset"]

_ORDER, _LENGTHS = 2, 3  # what numbers are drawn for, beside (seed, epoch)


@dataclass(frozen=True, slots=True)
class Load:
    """What one epoch makes the encoder hear, in seconds.

    Attributes:
        steps: Steps of all processes together.
        speech: Time in which anyone speaks.
        sound: Windows from begin to end, pauses and joints included.
        padded: What the encoder runs on.
    """

    steps: int
    speech: float
    sound: float
    padded: float

    @property
    def padding_share(self) -> float:
        """Share of the encoder's input that is padding, 0 to 1."""
        return 1 - self.sound / self.padded

    def describe(self) -> str:
        """Return one line."""
        return (
            f"{self.steps:,} steps an epoch, {self.speech / self.steps:.1f} s of speech a step; the encoder hears "
            f"{self.speech / self.padded:.1%} speech, {1 - self.speech / self.padded - self.padding_share:.1%} pauses, "
            f"{self.padding_share:.1%} padding"
        )


class WindowSampler(Sampler[list[Draw]]):
    """Batches for one epoch, to be given as ``batch_sampler`` to a DataLoader.

    The order depends on (seed, epoch). With ``world`` processes each step takes ``batch_size * world`` windows, the
    same as one process with a batch of that size would, and process ``rank`` gets its share; every process gets equally
    many batches. In shuffled order the last step is filled up with windows that were drawn already.
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
        """Draw from ``dataset``.

        Args:
            dataset: The windows.
            batch_size: Windows in a batch of one process.
            seed: Of the order.
            shuffle: False takes the windows in order (by length for ``variable``), each once where ``world`` is 1.
            rank: Number of this process.
            world: Number of processes.
            drop_last: Leave out a last step that is not full, instead of filling it up.

        Raises:
            ConfigError: There is nothing to draw.
        """
        if batch_size < 1 or not 0 <= rank < world:
            raise ValueError("batch_size must be above 0 and rank within world")
        if not len(dataset) or (drop_last and len(dataset) < batch_size * world):
            raise ConfigError(f"{len(dataset)} windows are too few for a step of {batch_size * world}")
        self.dataset, self.batch_size, self.seed, self.shuffle = dataset, batch_size, seed, shuffle
        self.rank, self.world, self.drop_last = rank, world, drop_last
        self.epoch = 0
        settings = dataset.settings
        self._variable = settings.layout == "variable"
        self._lengths = np.array([dataset.frames(i) for i in range(len(dataset))], np.int64)
        self._classes = assign(self._lengths, dataset.token_counts, settings.duration_buckets, settings.token_buckets)

    @property
    def step(self) -> int:
        """Windows in a step of all processes."""
        return self.batch_size * self.world

    def __len__(self) -> int:
        whole, rest = divmod(len(self.dataset), self.step)
        return whole + (rest > 0 and not self.drop_last)

    def __iter__(self) -> Iterator[list[Draw]]:
        for windows, frames in self._steps():
            own = windows[self.rank * self.batch_size : (self.rank + 1) * self.batch_size]
            yield [Draw(int(i), self.epoch, frames) for i in own]

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch to be drawn next."""
        self.epoch = epoch

    def load(self) -> Load:
        """Return what all processes run on in this epoch."""
        speech = sound = padded = 0.0
        steps = 0
        for windows, frames in self._steps():
            steps += 1
            speech += float(self.dataset.speech_seconds[windows].sum())
            sound += float(self._lengths[windows].sum()) / 100
            padded += len(windows) * (frames or MAX_FRAMES) / 100
        return Load(steps, speech, sound, padded)

    def _steps(self) -> Iterator[tuple[npt.NDArray[np.int64], int]]:
        """Yield the windows of each step, and the frames that they are padded to (0: as the dataset pads them)."""
        steps = self._cut(self._order())
        full = np.zeros(len(steps), bool)
        if self.shuffle and self._variable:
            chance = np.random.default_rng([self.seed, self.epoch, _LENGTHS])
            steps = [steps[i] for i in chance.permutation(len(steps))]
            full = chance.random(len(steps)) < self.dataset.settings.full_share
        for windows, whole in zip(steps, full, strict=True):
            frames = self.dataset.padded_frames(int(self._lengths[windows].max())) if self._variable else 0
            yield windows, MAX_FRAMES if whole else frames

    def _order(self) -> npt.NDArray[np.int64]:
        if not self.shuffle:
            order = np.arange(len(self._lengths), dtype=np.int64)
            return order[np.argsort(self._lengths, kind="stable")] if self._variable else order
        order = np.random.default_rng([self.seed, self.epoch, _ORDER]).permutation(len(self._lengths))
        return order[np.argsort(self._classes[order], kind="stable")] if self._variable else order

    def _cut(self, order: npt.NDArray[np.int64]) -> list[npt.NDArray[np.int64]]:
        rest = len(order) % self.step
        if rest and self.drop_last:
            order = order[: len(order) - rest]
        elif rest and (self.shuffle or self.world > 1):
            # Windows like the last ones: for ``variable`` the filling must not be longer than they are.
            spare = order[: len(order) - rest][::-1] if self._variable else order
            filling = np.resize(spare if len(spare) else order, self.step - rest)
            order = np.concatenate([order, filling])
        return [order[i : i + self.step] for i in range(0, len(order), self.step)]


@dataclass(frozen=True, slots=True)
class Collator:
    """Items -> one batch.

    ``input_features`` (B, n_mels, T) float32, padded with each window's silence, or ``encoder_outputs`` ((B, 1500, D),)
    from a cache; ``decoder_input_ids`` and ``labels`` (B, U) int64, padded at the end with ``pad`` and -100. No mask is
    needed: the decoder only looks back.

    Attributes:
        pad: Token for padding, ``vocabulary.eot``.
        windows: Whether to give the indices of the windows too, as ``windows`` (B,).
        dtype: Type of features and encoder output.
    """

    pad: int
    windows: bool = False
    dtype: torch.dtype = torch.float32

    def __call__(self, items: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Put items of a dataset together."""
        batch: dict[str, Any] = {
            "decoder_input_ids": _padded([item["inputs"] for item in items], self.pad),
            "labels": _padded([item["labels"] for item in items], IGNORED),
        }
        if "encoder" in items[0]:
            batch["encoder_outputs"] = (torch.stack([item["encoder"] for item in items]).to(self.dtype),)
        else:
            longest = max(item["features"].shape[-1] for item in items)
            rows = []
            for item in items:
                features = item["features"]
                missing = longest - features.shape[-1]
                rows.append(torch.nn.functional.pad(features, (0, missing), value=item["floor"]))
            batch["input_features"] = torch.stack(rows).to(self.dtype)
        if self.windows:
            batch["windows"] = torch.tensor([item["window"] for item in items])
        return batch


def _padded(rows: Sequence[torch.Tensor], value: int) -> torch.Tensor:
    return torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True, padding_value=value)
