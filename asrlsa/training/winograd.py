"""Winograd's minimal filtering for the two convolutions that Whisper's encoder begins with.

F(m, r) computes m outputs of a filter with r taps in m + r - 1 multiplications instead of m r (S. Winograd, Arithmetic
Complexity of Computations, 1980; for convolutional networks Lavin and Gray, https://arxiv.org/abs/1509.09308). In one
dimension with three taps, F(2, 3) takes 4 multiplications for what takes 6.

The second convolution moves by two. Its even and odd inputs (polyphase components) are two problems of stride 1: one
tap on the even ones, two taps on the odd ones. One tap can't be saved on; F(3, 2), F(2, 3) with outputs and taps
exchanged, takes 4 multiplications for 6 of the two taps.

Whether that saves time is another question: see docs/optimise.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# Outputs and taps to: filter transform G (4, r), input transform B^T (4, 4), output transform A^T (m, 4).
_INPUT: Final = ((1.0, 0.0, -1.0, 0.0), (0.0, 1.0, 1.0, 0.0), (0.0, -1.0, 1.0, 0.0), (0.0, 1.0, 0.0, -1.0))
_FILTER: Final = {
    (2, 3): ((1.0, 0.0, 0.0), (0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0.0, 0.0, 1.0)),
    (3, 2): ((1.0, 0.0), (0.5, 0.5), (0.5, -0.5), (0.0, 1.0)),
}
_OUTPUT: Final = {
    (2, 3): ((1.0, 1.0, 1.0, 0.0), (0.0, 1.0, -1.0, -1.0)),
    (3, 2): ((1.0, 1.0, 1.0, 0.0), (0.0, 1.0, -1.0, 0.0), (0.0, 1.0, 1.0, -1.0)),
}
TILES: Final = tuple(_FILTER)


def transformed(weight: Tensor, outputs: int) -> Tensor:
    """Transform filters once, for any number of inputs.

    Args:
        weight: Filters (C_out, C_in, r), r being 3 or 2.
        outputs: m of F(m, r): 2 for three taps, 3 for two.

    Returns:
        (4, C_out, C_in).
    """
    return torch.einsum("kr,oir->koi", _matrix(_FILTER[outputs, weight.shape[2]], weight), weight)


def filtered(inputs: Tensor, filters: Tensor, taps: int, length: int) -> Tensor:
    """Correlate with stride 1 and without padding, by F(m, r).

    Args:
        inputs: (B, C_in, length + taps - 1).
        filters: What `transformed` gave (4, C_out, C_in).
        taps: r, 3 or 2.
        length: Outputs wanted.

    Returns:
        (B, C_out, length).
    """
    outputs = 5 - taps
    tiles = -(-length // outputs)
    inputs = F.pad(inputs, (0, tiles * outputs + taps - 1 - inputs.shape[2]))
    # The four inputs of every tile as shifted views, each (B, C_in, tiles).
    d0, d1, d2, d3 = (inputs[:, :, k : k + (tiles - 1) * outputs + 1 : outputs] for k in range(4))
    # B^T d and A^T m written out: the matrices hold nothing but 0, 1 and -1.
    products = filters.unsqueeze(1) @ torch.stack((d0 - d2, d1 + d2, d2 - d1, d1 - d3))
    m0, m1, m2, m3 = products.unbind(0)
    found = (m0 + m1 + m2, m1 - m2 - m3) if outputs == 2 else (m0 + m1 + m2, m1 - m2, m1 + m2 - m3)
    return torch.stack(found, -1).flatten(2)[:, :, :length]


class WinogradConv1d(nn.Conv1d):
    """`torch.nn.Conv1d` of three taps, padding 1 and stride 1 or 2, computed by Winograd's filtering.

    Its parameters are those of the plain convolution, under the same names, so weights fit both ways, and gradients
    reach them. Filters are transformed once while no gradient is wanted and the weights stay as they are.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Take what `torch.nn.Conv1d` takes.

        Raises:
            ValueError: The convolution has another form.
        """
        super().__init__(*args, **kwargs)
        _check(self)
        self._known: tuple[tuple[object, ...], Tensor] | None = None

    @classmethod
    def of(cls, plain: nn.Conv1d) -> WinogradConv1d:
        """Return the same convolution by Winograd, with the same parameters (not copies of them).

        Raises:
            ValueError: It has no three taps, or another stride, padding, dilation or groups.
        """
        _check(plain)
        with torch.device("meta"):
            made = cls(plain.in_channels, plain.out_channels, 3, stride=plain.stride[0], padding=1)
        made.weight, made.bias = plain.weight, plain.bias
        return made.train(plain.training)

    def forward(self, input: Tensor) -> Tensor:
        """Convolve (B, C_in, T) or (C_in, T) as the plain convolution does."""
        inputs = input if input.dim() == 3 else input.unsqueeze(0)
        found = self._even_and_odd(inputs) if self.stride[0] == 2 else self._plain(inputs)
        found = found if self.bias is None else found + self.bias[:, None]
        return found if input.dim() == 3 else found.squeeze(0)

    def _plain(self, inputs: Tensor) -> Tensor:
        return filtered(F.pad(inputs, (1, 1)), self._filters(), 3, inputs.shape[2])

    def _even_and_odd(self, inputs: Tensor) -> Tensor:
        """y[n] = w1 x[2n] + (w0 x[2n-1] + w2 x[2n+1])."""
        length = (inputs.shape[2] + 1) // 2
        even, odd = inputs[:, :, ::2], inputs[:, :, 1::2]
        odd = F.pad(odd, (1, length - odd.shape[2]))
        return self.weight[:, :, 1] @ even + filtered(odd, self._filters(), 2, length)

    def _filters(self) -> Tensor:
        taps, outputs = (self.weight, 2) if self.stride[0] == 1 else (self.weight[:, :, ::2], 3)
        if torch.is_grad_enabled() and self.weight.requires_grad:
            return transformed(taps, outputs)
        weight = self.weight
        # An inference tensor has no version; it can't be changed in place outside inference mode either.
        version = 0 if weight.is_inference() else weight._version
        state = (weight.data_ptr(), version, weight.dtype, weight.device)
        if self._known is None or self._known[0] != state:
            self._known = state, transformed(taps, outputs).detach()
        return self._known[1]

    def __getstate__(self) -> dict[str, Any]:
        """Leave the transformed filters out of copies and files."""
        return {**self.__dict__, "_known": None}


def use_winograd(encoder: nn.Module) -> None:
    """Let a Whisper encoder of transformers compute its two convolutions by Winograd; the weights stay the same.

    Raises:
        ValueError: A convolution has another form than Whisper's.
    """
    for name in ("conv1", "conv2"):
        plain = getattr(encoder, name)
        if not isinstance(plain, WinogradConv1d):
            setattr(encoder, name, WinogradConv1d.of(plain))


@dataclass(frozen=True, slots=True)
class Size:
    """Sizes of a Whisper model: width, layers of encoder and decoder, mel bands, tokens it knows."""

    width: int
    encoder_layers: int
    decoder_layers: int
    mels: int = 80
    vocabulary: int = 51_865


SIZES: Final = {
    "tiny": Size(384, 4, 4),
    "base": Size(512, 6, 6),
    "small": Size(768, 12, 12),
    "medium": Size(1024, 24, 24),
    "large-v2": Size(1280, 32, 32),
    "large-v3": Size(1280, 32, 32, 128, 51_866),
    "large-v3-turbo": Size(1280, 32, 4, 128, 51_866),
}


@dataclass(frozen=True, slots=True)
class Work:
    """Floating-point operations for one window, a multiplication and an addition counting as two.

    Attributes:
        conv1: First convolution.
        conv2: Second convolution.
        encoder: Whole encoder, convolutions included.
        decoder: Whole decoder, writing token by token.
        saved: What Winograd leaves out of the multiplications of the two convolutions, additions counted alike.
    """

    conv1: float
    conv2: float
    encoder: float
    decoder: float
    saved: float

    @property
    def share(self) -> float:
        """Share of the two convolutions in encoder and decoder, 0 to 1."""
        return (self.conv1 + self.conv2) / (self.encoder + self.decoder)

    @property
    def encoder_share(self) -> float:
        """Share of the two convolutions in the encoder, 0 to 1."""
        return (self.conv1 + self.conv2) / self.encoder

    @property
    def saved_share(self) -> float:
        """Most that Winograd can save of encoder and decoder, its own additions not counted, 0 to 1."""
        return self.saved / (self.encoder + self.decoder)


def stem_work(size: Size, *, frames: int = 3000, tokens: int = 100) -> Work:
    """Work out where the operations of one window are; only products of matrices count.

    Args:
        size: One of `SIZES`, or another.
        frames: Mel frames that the encoder runs on.
        tokens: Tokens that the decoder writes.
    """
    d, positions = size.width, (frames + 1) // 2
    conv1, conv2 = 2.0 * frames * size.mels * d * 3, 2.0 * positions * d * d * 3
    # A layer: four projections and the feed-forward of four times the width; scores and sums of the attention.
    layer = 2.0 * positions * (4 + 8) * d * d + 4.0 * positions * positions * d
    encoder = conv1 + conv2 + size.encoder_layers * layer
    keys = 2.0 * positions * 2 * d * d  # cross-attention, once a window
    own = 2.0 * tokens * tokens * d  # each token attends to those before it: half of the square, twice
    step = 2.0 * tokens * (4 + 2 + 8) * d * d + own + 4.0 * tokens * positions * d
    decoder = size.decoder_layers * (keys + step) + 2.0 * tokens * d * size.vocabulary
    # F(2, 3) does 4 of 6; of the second convolution's three taps two are done by F(3, 2), also 4 of 6.
    return Work(conv1, conv2, encoder, decoder, conv1 / 3 + conv2 * 2 / 9)


def _matrix(values: tuple[tuple[float, ...], ...], like: Tensor) -> Tensor:
    return torch.tensor(values, dtype=like.dtype, device=like.device)


def _check(plain: nn.Conv1d) -> None:
    form = (plain.kernel_size, plain.padding, plain.dilation, plain.groups, plain.padding_mode)
    if form != ((3,), (1,), (1,), 1, "zeros") or plain.stride not in ((1,), (2,)):
        raise ValueError(f"Winograd is for three taps, padding 1 and stride 1 or 2, not for {plain}")
