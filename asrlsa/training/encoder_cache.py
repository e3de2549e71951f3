"""Encoder output of a frozen encoder, computed once and kept in one memory-mapped file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from asrlsa.training.batches import WindowDataset


class EncoderCache:
    """Encoder output of every window of a dataset: (windows, positions, D) float16, memory-mapped."""

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
        """Open the cache of this dataset and encoder in ``folder``, or compute it."""
        raise NotImplementedError

    def __getitem__(self, index: int) -> Any:
        raise NotImplementedError
