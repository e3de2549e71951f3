from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("torch")

import torch
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from asrlsa.training.short_context import ShortContextEncoder, allow_short_context, short_generation


def features(frames: int, batch: int = 2) -> Any:
    return torch.randn(batch, 80, frames, generator=torch.Generator().manual_seed(frames))


def test_a_full_window_gives_the_same_bits(tiny_model: Any) -> None:
    before = tiny_model.get_encoder()(features(3000)).last_hidden_state
    allow_short_context(tiny_model)
    assert torch.equal(tiny_model.get_encoder()(features(3000)).last_hidden_state, before)


@pytest.mark.parametrize("frames", [2, 3, 200, 1501, 2998])
def test_fewer_frames(tiny_model: Any, frames: int) -> None:
    with pytest.raises(ValueError, match="3000"):
        tiny_model.get_encoder()(features(frames))
    allow_short_context(tiny_model)
    output = tiny_model.get_encoder()(features(frames)).last_hidden_state
    assert output.shape == (2, (frames + 1) // 2, 16)
    assert torch.isfinite(output).all()


def test_the_short_path_computes_what_the_full_one_does(tiny_model: Any) -> None:
    """Told that its context is shorter, the same code must give the full result at full length."""
    allow_short_context(tiny_model)
    encoder = tiny_model.get_encoder()
    full = encoder(features(3000)).last_hidden_state
    tiny_model.config.max_source_positions = 7  # so that 3,000 frames are not "the full context" any more
    try:
        torch.testing.assert_close(encoder(features(3000)).last_hidden_state, full, atol=1e-6, rtol=0)
    finally:
        tiny_model.config.max_source_positions = 1500


def test_positions_are_the_first_ones(tiny_model: Any) -> None:
    """Without layers the output of a short input is the begin of a long one's, but for the convolutions' edge."""
    allow_short_context(tiny_model)
    encoder = tiny_model.get_encoder()
    encoder.layers = torch.nn.ModuleList()
    whole = features(3000)
    torch.testing.assert_close(
        encoder(whole[..., :400]).last_hidden_state[:, :198],
        encoder(whole).last_hidden_state[:, :198],
        atol=1e-6,
        rtol=0,
    )


def test_too_many_frames(tiny_model: Any) -> None:
    allow_short_context(tiny_model)
    with pytest.raises(ValueError, match="1 to 3000 mel frames, not 3002"):
        tiny_model.get_encoder()(features(3002))


def test_other_models_are_left_alone(tiny_model: Any) -> None:
    forward = WhisperEncoder.forward
    names = set(tiny_model.state_dict())
    allow_short_context(tiny_model)
    allow_short_context(tiny_model)
    assert isinstance(tiny_model.get_encoder(), ShortContextEncoder)
    assert WhisperEncoder.forward is forward
    assert type(WhisperEncoder(tiny_model.config)) is WhisperEncoder
    assert set(tiny_model.state_dict()) == names
    tiny_model.model.encoder = torch.nn.Linear(1, 1)
    with pytest.raises(TypeError, match="Linear"):
        allow_short_context(tiny_model)


def test_gradients_reach_every_layer(tiny_model: Any) -> None:
    allow_short_context(tiny_model)
    tiny_model.train()
    tiny_model.activation_checkpointing_enable()
    ids = torch.tensor([[5, 6, 7]])
    tiny_model(input_features=features(120, 1), decoder_input_ids=ids, labels=ids).loss.backward()
    for name, parameter in tiny_model.get_encoder().named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, name
    assert tiny_model.get_encoder().layers[0].fc1.weight.grad.abs().sum() > 0


def test_generate_on_short_features(tiny_model: Any) -> None:
    allow_short_context(tiny_model)
    tiny_model.eval()
    seen = []
    tiny_model.get_encoder().register_forward_hook(lambda m, i, o: seen.append(o.last_hidden_state.shape[1]))
    with short_generation(tiny_model, 200):
        tiny_model.generate(features(200), language="en", task="transcribe", max_new_tokens=4)
    assert set(seen) == {100}
    assert tiny_model.config.max_source_positions == 1500
    with pytest.raises(ValueError, match="even"), short_generation(tiny_model, 201):
        pass


def test_generation_needs_the_encoder_first(tiny_model: Any) -> None:
    with pytest.raises(TypeError, match="allow_short_context"), short_generation(tiny_model, 200):
        pass
