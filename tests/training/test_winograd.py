"""Winograd's convolutions equal torch's, in value and gradient; their share of the work equals torch's own count."""

# ruff: noqa: E402

from __future__ import annotations

import copy
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from asrlsa.training.winograd import SIZES, TILES, Size, WinogradConv1d, filtered, stem_work, transformed, use_winograd

EXACT: dict[str, float] = {"rtol": 0, "atol": 1e-4}


def plain(inputs: int, outputs: int, stride: int, seed: int = 0, bias: bool = True) -> Any:
    state = torch.random.get_rng_state()
    torch.manual_seed(seed)
    made = torch.nn.Conv1d(inputs, outputs, 3, stride=stride, padding=1, bias=bias)
    torch.random.set_rng_state(state)
    return made


def noise(*shape: int, seed: int = 1) -> Any:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("tile", TILES)
@pytest.mark.parametrize("length", [1, 2, 3, 4, 5, 6, 7, 30])
def test_a_tile_is_the_correlation(tile: tuple[int, int], length: int) -> None:
    outputs, taps = tile
    weight, sound = noise(5, 4, taps).double(), noise(2, 4, length + taps - 1, seed=2).double()
    found = filtered(sound, transformed(weight, outputs), taps, length)
    torch.testing.assert_close(found, F.conv1d(sound, weight), rtol=0, atol=1e-12)


@given(
    batch=st.integers(1, 3),
    inputs=st.integers(1, 9),
    outputs=st.integers(1, 9),
    length=st.integers(1, 41),
    stride=st.sampled_from([1, 2]),
    bias=st.booleans(),
    seed=st.integers(0, 1000),
)
@settings(max_examples=60, deadline=None)
def test_equals_conv1d(batch: int, inputs: int, outputs: int, length: int, stride: int, bias: bool, seed: int) -> None:
    ours = plain(inputs, outputs, stride, seed, bias)
    theirs = WinogradConv1d.of(ours)
    sound = noise(batch, inputs, length, seed=seed + 1)
    copies = [sound.clone().requires_grad_() for _ in range(2)]
    found = [module(x) for module, x in zip((ours, theirs), copies, strict=True)]
    torch.testing.assert_close(found[1], found[0], **EXACT)
    torch.testing.assert_close(theirs(sound[0]), ours(sound[0]), **EXACT)
    pull = noise(*found[0].shape, seed=seed + 2)
    wanted = [copies[0], *ours.parameters()]
    for got, want in zip(
        torch.autograd.grad((found[1] * pull).sum(), [copies[1], *theirs.parameters()]),
        torch.autograd.grad((found[0] * pull).sum(), wanted),
        strict=True,
    ):
        torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("inputs", "stride", "length"), [(80, 1, 3000), (384, 2, 3000), (384, 2, 2999), (128, 1, 777)])
def test_exact_at_whispers_sizes(inputs: int, stride: int, length: int) -> None:
    """Whisper's own size of weights (standard deviation below 0.1) and of features (-1 to 1.5)."""
    ours = plain(inputs, 384, stride)
    sound = noise(1, inputs, length).clamp(-1, 1.5)
    with torch.inference_mode():
        torch.testing.assert_close(WinogradConv1d.of(ours)(sound), ours(sound), **EXACT)


def test_filters_are_kept_while_the_weights_stay_and_made_anew_when_they_change() -> None:
    made = WinogradConv1d.of(plain(4, 4, 1))
    sound = noise(1, 4, 9)
    with torch.no_grad():
        first = made(sound)
        assert made._filters() is made._filters()
        made.weight.mul_(2)
        torch.testing.assert_close(made(sound) - made.bias[:, None], 2 * (first - made.bias[:, None]), **EXACT)
        with torch.inference_mode():
            torch.testing.assert_close(made(sound), F.conv1d(sound, made.weight, made.bias, padding=1), **EXACT)
        twin = copy.deepcopy(made)
        assert twin._known is None
        torch.testing.assert_close(twin(sound), made(sound), **EXACT)


def test_other_convolutions_are_refused() -> None:
    for other in (
        torch.nn.Conv1d(2, 2, 5, padding=2),
        torch.nn.Conv1d(2, 2, 3),
        torch.nn.Conv1d(2, 2, 3, stride=3, padding=1),
        torch.nn.Conv1d(2, 2, 3, padding=1, groups=2),
    ):
        with pytest.raises(ValueError, match="three taps"):
            WinogradConv1d.of(other)


def test_the_encoder_stays_the_same(tiny_model: Any) -> None:
    encoder = tiny_model.model.encoder
    sound = noise(1, 80, 3000)
    names = set(encoder.state_dict())
    with torch.no_grad():
        before = encoder(sound).last_hidden_state
        use_winograd(encoder)
        use_winograd(encoder)
        after = encoder(sound).last_hidden_state
    assert isinstance(encoder.conv2, WinogradConv1d)
    assert set(encoder.state_dict()) == names
    torch.testing.assert_close(after, before, **EXACT)


def test_the_work_is_what_torch_counts() -> None:
    """The encoder's operations as torch's counter sees them in a real Whisper, the decoder's for one pass."""
    from torch.utils.flop_counter import FlopCounterMode
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    layers = {"encoder_layers": 2, "decoder_layers": 1, "encoder_attention_heads": 2, "decoder_attention_heads": 2}
    config = WhisperConfig(
        vocab_size=300, d_model=32, encoder_ffn_dim=128, decoder_ffn_dim=128, max_source_positions=50, **layers
    )
    config._attn_implementation = "eager"
    ids = {"pad_token_id": 0, "bos_token_id": 0, "eos_token_id": 0, "decoder_start_token_id": 0}
    for name, value in ids.items():
        setattr(config, name, value)
    model = WhisperForConditionalGeneration(config).eval()
    size, tokens = Size(32, 2, 1, 80, 300), 6
    work = stem_work(size, frames=100, tokens=tokens)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model.model.encoder(torch.zeros(1, 80, 100))
    counts = counter.get_flop_counts()
    assert counter.get_total_flops() == work.encoder
    convolutions = sum(sum(v.values()) for k, v in counts.items() if k.rsplit(".", 1)[-1] in ("conv1", "conv2"))
    assert convolutions == work.conv1 + work.conv2
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(encoder_outputs=(torch.zeros(1, 50, 32),), decoder_input_ids=torch.zeros(1, tokens, dtype=torch.long))
    # In one pass the causal half of the scores is computed and masked; token by token it never is.
    assert counter.get_total_flops() == work.decoder + 2 * tokens * tokens * 32


def test_the_stem_is_a_small_share_of_every_model() -> None:
    shares = [stem_work(size).share for size in SIZES.values()]
    assert all(0.005 < share < 0.1 for share in shares)
    assert shares[:4] == sorted(shares[:4], reverse=True)
    for size in SIZES.values():
        work = stem_work(size)
        assert 0 < work.saved < (work.conv1 + work.conv2) / 3
