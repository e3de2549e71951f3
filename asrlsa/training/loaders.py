"""What a training step sees: windows to learn from, now and then a window of fluent speech, in batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from asrlsa.errors import ConfigError
from asrlsa.training.batches import Collator, WindowSampler
from asrlsa.training.dataset import Draw, WindowDataset
from asrlsa.training.features import MAX_FRAMES

Batches = Sampler[list[Draw]]

_SIZED = 7  # what numbers are drawn for, beside (seed, epoch)


class MixedDataset(Dataset[dict[str, Any]]):
    """Windows to learn from, followed by the windows of fluent speech."""

    def __init__(self, main: WindowDataset, fluent: WindowDataset | None = None) -> None:
        """Join both; indices from ``len(main)`` on are those of ``fluent``."""
        self.main, self.fluent = main, fluent
        parts = [main.speech_seconds, *([] if fluent is None else [fluent.speech_seconds])]
        self.speech_seconds = np.concatenate(parts)

    def __len__(self) -> int:
        return len(self.main) + (0 if self.fluent is None else len(self.fluent))

    def __getitem__(self, draw: Draw) -> dict[str, Any]:
        """Return a window; ``window`` is its index here, ``fluent`` says which kind it is."""
        shift = len(self.main)
        if self.fluent is None or draw.window < shift:
            return {**self.main[draw], "fluent": False}
        item = self.fluent[draw._replace(window=draw.window - shift)]
        return {**item, "window": draw.window, "fluent": True}


class MixedCollator:
    """`Collator` that also says which windows they are, and which of them are fluent speech."""

    def __init__(self, pad: int, *, dtype: torch.dtype = torch.float32, fluent: bool = False) -> None:
        """Collate; ``fluent`` adds that key to the batch."""
        self._collate = Collator(pad, windows=True, dtype=dtype)
        self._fluent = fluent

    def __call__(self, items: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Put items together."""
        batch = self._collate(items)
        if self._fluent:
            batch["fluent"] = torch.tensor([bool(item["fluent"]) for item in items])
        return batch


class SizedSampler(Sampler[list[Draw]]):
    """Batches whose number of windows depends on their length, for ``layout = "variable"`` and ``batch = "auto"``.

    The order depends on (seed, epoch), and every process gets equally many batches, as in `WindowSampler`.
    """

    def __init__(
        self, dataset: WindowDataset, sizes: Mapping[int, int], *, seed: int = 0, rank: int = 0, world: int = 1
    ) -> None:
        """Draw from ``dataset``.

        Args:
            dataset: The windows.
            sizes: Mel frames that a batch is padded to, to windows in a batch of one process.
            seed: Of the order.
            rank: Number of this process.
            world: Number of processes.
        """
        self.dataset, self.seed, self.rank, self.world, self.epoch = dataset, seed, rank, world, 0
        self.sizes = dict(sorted(sizes.items()))
        bounds = list(self.sizes)
        self._bucket = np.searchsorted(bounds, [min(dataset.frames(i), bounds[-1]) for i in range(len(dataset))])

    def __len__(self) -> int:
        counts = np.bincount(self._bucket, minlength=len(self.sizes))
        return int(sum(-(-n // (self._size(bucket) * self.world)) for bucket, n in enumerate(counts)))

    def _size(self, bucket: int) -> int:
        """Windows in a batch: no more than there are of this length, or windows would be there twice."""
        count = int((self._bucket == bucket).sum())
        return min(list(self.sizes.values())[bucket], max(1, -(-count // self.world)))

    def __iter__(self) -> Iterator[list[Draw]]:
        chance = np.random.default_rng([self.seed, self.epoch, _SIZED])
        steps = []
        for bucket, frames in enumerate(self.sizes):
            order = chance.permutation(np.flatnonzero(self._bucket == bucket))
            step = self._size(bucket) * self.world
            size = self._size(bucket)
            if len(order) % step:  # the last step is filled up with windows that were drawn already
                order = np.concatenate([order, np.resize(order, step - len(order) % step)])
            steps += [(order[i : i + step], frames, size) for i in range(0, len(order), step)]
        full = chance.random(len(steps)) < self.dataset.settings.full_share
        smallest = self.sizes[max(self.sizes)]
        for k in chance.permutation(len(steps)):
            windows, frames, size = steps[k]
            own = windows[self.rank * size : (self.rank + 1) * size]
            # A batch that is padded to 30 s must be no larger than the longest batches may be.
            if full[k] and size <= smallest:
                frames = MAX_FRAMES
            yield [Draw(int(i), self.epoch, frames) for i in own]

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch to be drawn next."""
        self.epoch = epoch


class MixedSampler(Sampler[list[Draw]]):
    """Batches of ``main``, each with ``count`` windows of fluent speech at its end."""

    def __init__(self, main: Any, fluent: WindowSampler, shift: int) -> None:
        """Mix; ``shift`` is the index of the first fluent window."""
        self.main, self.fluent, self.shift = main, fluent, shift
        self.epoch = 0

    def __len__(self) -> int:
        return len(self.main)

    def __iter__(self) -> Iterator[list[Draw]]:
        others = self._others()
        for batch in self.main:
            extra = next(others)
            frames = max(batch[0].frames, extra[0].frames)
            moved = [draw._replace(window=draw.window + self.shift, epoch=self.epoch) for draw in extra]
            yield [draw._replace(frames=frames) for draw in (*batch, *moved)]

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch to be drawn next."""
        self.epoch = epoch
        self.main.set_epoch(epoch)

    def _others(self) -> Iterator[list[Draw]]:
        """Fluent speech is gone through as often as an epoch of ``main`` needs."""
        turn = 0
        while True:
            self.fluent.set_epoch(self.epoch * 1_000 + turn)
            yield from self.fluent
            turn += 1


class WindowLoader(DataLoader[dict[str, Any]]):
    """A loader that passes the epoch on to its sampler, wherever it is used."""

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch to be drawn next."""
        self.batch_sampler.set_epoch(epoch)  # type: ignore[union-attr]


def fluent_windows(batch: int, share: float) -> int:
    """Return how many windows of a batch are fluent speech: at least one, and never all.

    Raises:
        ConfigError: A batch of one window has no room.
    """
    if batch < 2:
        raise ConfigError("loss.fluent mixes two kinds of windows into a batch: train.batch must be at least 2")
    return min(batch - 1, max(1, round(batch * share)))


def make_sampler(
    dataset: MixedDataset,
    sizes: Mapping[int, int],
    *,
    fluent_share: float = 0.0,
    seed: int = 0,
    rank: int = 0,
    world: int = 1,
) -> Any:
    """Choose the sampler.

    Args:
        dataset: The windows.
        sizes: Mel frames to windows in a batch of one process; one entry where all batches are alike.
        fluent_share: Share of fluent windows, where there are any.
        seed: Of the order.
        rank: Number of this process.
        world: Number of processes.

    Raises:
        ConfigError: There is nothing to draw, or a batch is too small.
    """
    smallest = min(sizes.values())
    extra = fluent_windows(smallest, fluent_share) if dataset.fluent is not None else 0
    main: Any
    if len(sizes) == 1:
        main = WindowSampler(dataset.main, smallest - extra, seed=seed, rank=rank, world=world)
    else:
        less = {frames: size - extra for frames, size in sizes.items()}
        main = SizedSampler(dataset.main, less, seed=seed, rank=rank, world=world)
    if dataset.fluent is None:
        return main
    fluent = WindowSampler(dataset.fluent, extra, seed=seed + 1, rank=rank, world=world)
    return MixedSampler(main, fluent, len(dataset.main))


def make_loader(dataset: MixedDataset, sampler: Any, collate: Callable[..., Any], *, workers: int = 0) -> WindowLoader:
    """Make the loader; its own generator leaves torch's random state alone, which an exact resume needs."""
    return WindowLoader(
        dataset,
        batch_sampler=sampler,
        collate_fn=collate,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=torch.cuda.is_available(),
        generator=torch.Generator(),
    )
