"""Whisper's encoder on less than 30 s: transformers refuses it, though nothing in the network needs 30 s.

The convolutions and the layers take any length, and the sinusoidal positions of a shorter input are the first ones. A
model that was not trained for it writes worse text (whisper-acft, https://github.com/futo-org/whisper-acft): adapt it
with ``--context dynamic``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from transformers import WhisperForConditionalGeneration
from transformers.modeling_outputs import BaseModelOutput
from transformers.models.whisper.modeling_whisper import WhisperEncoder


class ShortContextEncoder(WhisperEncoder):  # type: ignore[no-untyped-call]
    """A Whisper encoder that takes 1 to 3,000 mel frames; with 3,000 it is transformers' own."""

    def forward(self, input_features: torch.Tensor, attention_mask: Any = None, **kwargs: Any) -> Any:
        """Encode features.

        Args:
            input_features: (B, mels, frames).
            attention_mask: Not used, as in transformers.
            **kwargs: As in transformers. With fewer frames than the model's full context, ``output_hidden_states``
                and ``output_attentions`` are not available.

        Returns:
            ``last_hidden_state`` (B, ceil(frames / 2), D).

        Raises:
            ValueError: There are more frames than the model has positions for.
        """
        longest = self.config.max_source_positions * self.conv1.stride[0] * self.conv2.stride[0]
        frames = input_features.shape[-1]
        positions = self.embed_positions.weight
        if frames == longest and positions.shape[0] == self.config.max_source_positions:
            return super().forward(input_features, attention_mask, **kwargs)
        most = positions.shape[0] * self.conv1.stride[0] * self.conv2.stride[0]
        if not 0 < frames <= most:
            raise ValueError(f"Whisper takes 1 to {most} mel frames, not {frames}")
        for name in ("output_hidden_states", "output_attentions", "return_dict"):
            kwargs.pop(name, None)
        hidden = nn.functional.gelu(self.conv1(input_features))
        hidden = nn.functional.gelu(self.conv2(hidden)).permute(0, 2, 1)
        hidden = hidden + positions[: hidden.shape[1]]
        hidden = nn.functional.dropout(hidden, p=self.dropout, training=self.training)
        for layer in self.layers:
            if self.training and self.layerdrop > 0 and float(torch.rand([])) < self.layerdrop:
                continue
            hidden = layer(hidden, None, **kwargs)
        return BaseModelOutput(last_hidden_state=self.layer_norm(hidden))


def allow_short_context(model: WhisperForConditionalGeneration) -> None:
    """Let this model's encoder take fewer than 3,000 frames from now on; with 3,000 nothing changes.

    Only this model changes. Call it before an adapter or a wrapper (DDP, FSDP, torch.compile) is put around the model.
    """
    encoder = model.get_encoder()
    if type(encoder) is WhisperEncoder:
        encoder.__class__ = ShortContextEncoder
    elif not isinstance(encoder, ShortContextEncoder):
        raise TypeError(f"{type(encoder).__name__} is not transformers' WhisperEncoder")


@contextmanager
def short_generation(model: WhisperForConditionalGeneration, frames: int) -> Iterator[None]:
    """While the context lasts, ``model.generate`` works on ``frames`` mel frames instead of 3,000.

    Args:
        model: A model for which `allow_short_context` was called.
        frames: Length of the features that ``generate`` will be given; even.
    """
    if not isinstance(model.get_encoder(), ShortContextEncoder):
        raise TypeError("call allow_short_context(model) first")
    if frames % 2 or frames < 2:
        raise ValueError(f"frames must be even, not {frames}")
    before = model.config.max_source_positions
    model.config.max_source_positions = frames // 2
    try:
        yield
    finally:
        model.config.max_source_positions = before
