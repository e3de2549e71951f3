"""Encoder output of a frozen encoder, computed once and kept in one memory-mapped file.

A window takes 1,500 positions of float16: 1.15 MB for tiny, 1.54 MB for base, 2.3 MB for small, 3.8 MB for large.
Several runs share a file; one that is being written is never opened.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from asrlsa.errors import ConfigError, OutputError
from asrlsa.media import check_readable
from asrlsa.output import claim
from asrlsa.training.features import MAX_FRAMES, log_mel

if TYPE_CHECKING:
    from asrlsa.training.dataset import WindowDataset

POSITIONS = MAX_FRAMES // 2
_FORMAT = 1  # of the key; raise it when what is stored changes


class EncoderCache:
    """Encoder output of every window of a dataset: (windows, 1500, D) float16, memory-mapped."""

    def __init__(self, path: Path, windows: int, width: int) -> None:
        """Open a file that `build` wrote."""
        self.path, self.shape = path, (windows, POSITIONS, width)
        self._values: Any = None

    def __getstate__(self) -> dict[str, Any]:
        """Let each process map the file itself."""
        return {"path": self.path, "shape": self.shape, "_values": None}

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: int) -> torch.Tensor:
        """Return the encoder output of a window: (1500, D) float16."""
        if self._values is None:
            self._values = np.memmap(self.path, dtype=np.float16, mode="r", shape=self.shape)
        return torch.from_numpy(np.array(self._values[index]))

    @classmethod
    def build(
        cls,
        folder: str | Path,
        dataset: WindowDataset,
        encoder: torch.nn.Module,
        base_sha256: str,
        *,
        batch_size: int = 8,
        limit_gb: float = 50.0,
        progress: Callable[[int, int], None] | None = None,
    ) -> EncoderCache:
        """Open the cache of this dataset and encoder in ``folder``, or compute it.

        The file's name says which encoder (by the sum of its weights), which windows of which recordings (by path, size
        and time of change) and which mels it was made with; so it is found again only where nothing has changed.

        Args:
            folder: Where the caches are.
            dataset: The windows. Nothing is augmented here, so a dataset with augmentation can't use the cache.
            encoder: A frozen Whisper encoder; it gets (B, mels, 3000) and gives ``last_hidden_state``.
            base_sha256: Sum of the weights that ``encoder`` is from.
            batch_size: Windows encoded together.
            limit_gb: Most disk for all caches in ``folder``; older ones are removed for a new one.
            progress: Called with windows done and windows in all.

        Raises:
            ConfigError: The cache would be larger than ``limit_gb`` or the free disk.
            OutputError: It can't be written.
            MediaError: A recording can't be read.
        """
        width = int(encoder.config.d_model)  # type: ignore[union-attr, arg-type]
        target = Path(folder) / f"encoder-{_key(dataset, base_sha256, width)[:32]}.f16"
        size = len(dataset) * POSITIONS * width * 2
        cache = cls(target, len(dataset), width)
        if not (target.exists() and target.stat().st_size == size):
            with claim(target) as mine:
                if not mine:
                    raise OutputError(f"{target}: another run is writing this cache; wait until it is done")
                _make_room(target, size, limit_gb)
                _write(target, _encoded(dataset, encoder, batch_size, progress))
        with suppress(OSError):
            target.touch()
        return cache


def _key(dataset: WindowDataset, base_sha256: str, width: int) -> str:
    digest = hashlib.sha256(json.dumps([_FORMAT, base_sha256, width, dataset.n_mels, len(dataset)]).encode())
    stamps: dict[Path, tuple[int, int]] = {}
    for index in range(len(dataset)):
        window = dataset.window(index)
        parts = []
        for part in window.parts:
            if part.audio not in stamps:
                check_readable(part.audio)
                found = part.audio.stat()
                stamps[part.audio] = (found.st_size, found.st_mtime_ns)
            parts.append([str(part.audio), *stamps[part.audio], part.start, part.end, part.at])
        synthetic = [] if parts else [dataset.seed, index]
        digest.update(json.dumps([window.duration, parts, synthetic]).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def _make_room(target: Path, size: int, limit_gb: float) -> None:
    """Remove caches that were not used for longest, as far as needed.

    Raises:
        ConfigError: There is not room enough even so.
    """
    others = sorted((f.stat().st_mtime, f) for f in target.parent.glob("encoder-*.f16") if f != target)
    total = size + sum(f.stat().st_size for _, f in others)
    limit = int(limit_gb * 1e9)
    if size <= limit:
        for _, other in others:
            if total <= limit:
                break
            total -= other.stat().st_size
            with suppress(OSError):
                other.unlink()
    free = shutil.disk_usage(target.parent).free
    if total > limit or size > free:
        raise ConfigError(
            f"cached encoder output needs {size / 1e9:.1f} GB; the limit is {limit_gb:g} GB and {free / 1e9:.1f} GB "
            f"are free in {target.parent}: raise the limit, choose another folder, or train without the cache"
        )


@torch.no_grad()
def _encoded(
    dataset: WindowDataset, encoder: torch.nn.Module, batch_size: int, progress: Callable[[int, int], None] | None
) -> Iterator[bytes]:
    """Yield the encoder output of the windows in order, as bytes of float16."""
    weight = next(encoder.parameters())
    training = encoder.training
    encoder.eval()
    try:
        for first in range(0, len(dataset), batch_size):
            numbers = range(first, min(first + batch_size, len(dataset)))
            features = torch.stack([log_mel(dataset.samples(i), mels=dataset.n_mels) for i in numbers])
            output = encoder(features.to(weight.device, weight.dtype)).last_hidden_state
            limit = torch.finfo(torch.float16).max
            yield output.float().clamp(-limit, limit).to(torch.float16).cpu().numpy().tobytes()
            if progress is not None:
                progress(numbers[-1] + 1, len(dataset))
    finally:
        encoder.train(training)


def _write(target: Path, pieces: Iterator[bytes]) -> None:
    """Write ``target`` whole or not at all."""
    beside = target.with_suffix(".part")
    try:
        with beside.open("wb") as file:
            for piece in pieces:
                file.write(piece)
        beside.replace(target)
    except OSError as error:
        raise OutputError(f"{target}: can't be written ({error.strerror or error}); free some disk") from None
    finally:
        beside.unlink(missing_ok=True)
