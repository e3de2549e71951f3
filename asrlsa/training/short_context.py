"""Whisper's encoder on less than 30 s: transformers refuses it, though nothing in the network does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from transformers import WhisperForConditionalGeneration


def allow_short_context(model: WhisperForConditionalGeneration) -> None:
    """Let this model's encoder take fewer than 3,000 frames from now on; with 3,000 nothing changes."""
    raise NotImplementedError


@contextmanager
def short_generation(model: WhisperForConditionalGeneration, frames: int) -> Iterator[None]:
    """While the context lasts, ``generate`` pads features to ``frames`` mel frames instead of 3,000."""
    raise NotImplementedError
