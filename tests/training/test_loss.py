"""The loss without logits equals the loss with them, in value and in every gradient."""

# ruff: noqa: E402

from __future__ import annotations

from contextlib import contextmanager
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("peft")

from torch.nn import functional as F
from transformers import WhisperConfig, WhisperForConditionalGeneration

from asrlsa.training.loss import LossHead, chunk_rows, install_loss, token_loss
from asrlsa.training.settings import LossSettings

TOKENS, WIDTH, CLASSES = 37, 16, 211


def inputs(seed: int = 0) -> tuple[Any, Any, Any]:
    draw = torch.Generator().manual_seed(seed)
    hidden = torch.randn(TOKENS, WIDTH, generator=draw, requires_grad=True)
    weight = torch.randn(CLASSES, WIDTH, generator=draw, requires_grad=True)
    labels = torch.randint(CLASSES, (TOKENS,), generator=draw)
    return hidden, weight, labels


def gradients(loss: Any, *of: Any) -> list[Any]:
    return list(torch.autograd.grad(loss, of))


@pytest.mark.parametrize("chunk", [1, 5, 37, 100, 0])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_equals_cross_entropy(chunk: int, smoothing: float) -> None:
    hidden, weight, labels = inputs()
    plain = F.cross_entropy(hidden @ weight.t(), labels, reduction="sum", label_smoothing=smoothing)
    ours, _ = token_loss(hidden, weight, labels, smoothing=smoothing, chunk=chunk)
    torch.testing.assert_close(ours, plain, rtol=1e-5, atol=1e-5)
    for got, wanted in zip(gradients(ours, hidden, weight), gradients(plain, hidden, weight), strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-5)


def test_linear_equals_chunked() -> None:
    hidden, weight, labels = inputs()
    plain = F.cross_entropy(hidden @ weight.t(), labels, reduction="sum")
    ours, _ = token_loss(hidden, weight, labels, linear=True)
    torch.testing.assert_close(ours, plain, rtol=1e-5, atol=1e-5)
    for got, wanted in zip(gradients(ours, hidden, weight), gradients(plain, hidden, weight), strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-5)


def test_token_weights_and_divergence() -> None:
    hidden, weight, labels = inputs()
    base, other, _ = inputs(1)
    share = torch.rand(TOKENS, generator=torch.Generator().manual_seed(2))
    log_p = F.log_softmax(hidden @ weight.t(), -1)
    entropy = (share * F.nll_loss(log_p, labels, reduction="none")).sum()
    log_q = F.log_softmax(base @ other.t(), -1).detach()
    divergence = F.kl_div(log_p, log_q, log_target=True, reduction="sum")
    plain = entropy + 0.7 * divergence
    ours, found = token_loss(
        hidden,
        weight,
        labels,
        token_weights=share,
        base=base.detach(),
        base_weight=other.detach(),
        pull=0.7,
        chunk=8,
    )
    torch.testing.assert_close(ours, plain, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(found, divergence, rtol=1e-5, atol=1e-4)
    for got, wanted in zip(gradients(ours, hidden, weight), gradients(plain, hidden, weight), strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-5)


def test_a_base_equal_to_the_model_pulls_nothing() -> None:
    hidden, weight, labels = inputs()
    none, _ = token_loss(hidden, weight, labels)
    ours, divergence = token_loss(hidden, weight, labels, base=hidden.detach(), pull=3.0)
    assert float(divergence) == pytest.approx(0, abs=1e-4)
    for got, wanted in zip(gradients(ours, hidden, weight), gradients(none, hidden, weight), strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-5)


def test_frozen_weight_gets_no_gradient_and_backward_scales() -> None:
    hidden, weight, labels = inputs()
    weight = weight.detach()
    ours, _ = token_loss(hidden, weight, labels, chunk=4)
    (3 * ours).backward()
    (plain,) = gradients(3 * F.cross_entropy(hidden @ weight.t(), labels, reduction="sum"), hidden)
    torch.testing.assert_close(hidden.grad, plain, rtol=1e-5, atol=1e-5)
    assert weight.grad is None


def test_autocast_keeps_the_sum_in_float32() -> None:
    hidden, weight, labels = inputs()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        ours, _ = token_loss(hidden, weight, labels, chunk=8)
    plain = F.cross_entropy((hidden.bfloat16() @ weight.bfloat16().t()).float(), labels, reduction="sum")
    assert ours.dtype == torch.float32
    torch.testing.assert_close(ours, plain, rtol=2e-2, atol=1e-2)
    ours.backward()
    assert hidden.grad.dtype == torch.float32


def test_chunks_are_small() -> None:
    assert chunk_rows(51_865, torch.device("cpu")) * 51_865 * 4 < 20e6
    assert chunk_rows(10**9, torch.device("cpu")) == 16


@pytest.fixture
def whisper() -> Any:
    torch.manual_seed(0)
    config = WhisperConfig(
        vocab_size=90,
        num_mel_bins=8,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        d_model=16,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
        max_source_positions=10,
        max_target_positions=20,
        pad_token_id=0,
        bos_token_id=0,
        eos_token_id=0,
        decoder_start_token_id=1,
        suppress_tokens=[],
        begin_suppress_tokens=[],
    )
    return WhisperForConditionalGeneration(config).eval()


def batch() -> dict[str, Any]:
    draw = torch.Generator().manual_seed(0)
    labels = torch.randint(2, 90, (3, 7), generator=draw)
    labels[0, 5:] = -100
    labels[2] = -100
    return {
        "input_features": torch.randn(3, 8, 20, generator=draw),
        "decoder_input_ids": torch.randint(2, 90, (3, 7), generator=draw),
        "labels": labels,
    }


def test_model_answers_with_its_own_loss(whisper: Any) -> None:
    given = batch()
    plain = whisper(**given).loss
    parameters = [p for p in whisper.parameters() if p.requires_grad]
    wanted = torch.autograd.grad(plain, parameters, allow_unused=True)
    install_loss(whisper, LossHead(LossSettings(), timestamp_begin=80))
    found = whisper(**given)
    assert set(found) == {"loss"}
    torch.testing.assert_close(found["loss"], plain, rtol=1e-5, atol=1e-5)
    for got, want in zip(torch.autograd.grad(found["loss"], parameters, allow_unused=True), wanted, strict=True):
        if want is not None:
            torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-6)


def test_without_labels_the_logits_are_there(whisper: Any) -> None:
    given = batch()
    given.pop("labels")
    plain = whisper(**given).logits
    install_loss(whisper, LossHead(LossSettings(), timestamp_begin=80))
    torch.testing.assert_close(whisper(**given).logits, plain)


def test_timestamps_weigh_what_is_asked(whisper: Any) -> None:
    given = batch()
    logits = whisper(**{k: v for k, v in given.items() if k != "labels"}).logits.flatten(0, 1)
    labels = given["labels"].flatten()
    each = F.cross_entropy(logits, labels, reduction="none", ignore_index=-100)
    share = torch.where(labels >= 80, 0.25, 1.0) * (labels != -100)
    install_loss(whisper, LossHead(LossSettings(timestamp_weight=0.25), timestamp_begin=80))
    torch.testing.assert_close(whisper(**given)["loss"], (share * each).sum() / share.sum(), rtol=1e-5, atol=1e-5)


def test_parts_of_a_step_add_up(whisper: Any) -> None:
    """Accumulated batches and several devices divide by the labels of all, so a step is what one batch would be."""
    head = LossHead(LossSettings(), timestamp_begin=80)
    install_loss(whisper, head)
    given = batch()
    count = head.count(given["labels"])
    rows = [{k: v[i : i + 1] for k, v in given.items()} for i in range(3)]
    parts = sum(whisper(**row, num_items_in_batch=count)["loss"] for row in rows)
    torch.testing.assert_close(parts, whisper(**given)["loss"], rtol=1e-5, atol=1e-6)


def test_rows_without_labels_reach_every_parameter(whisper: Any) -> None:
    install_loss(whisper, LossHead(LossSettings(), timestamp_begin=80))
    given = batch()
    given["labels"] = torch.full_like(given["labels"], -100)
    loss = whisper(**given)["loss"]
    loss.backward()
    assert loss.item() == 0
    assert whisper.model.encoder.conv1.weight.grad is not None


def test_divergence_from_the_base_on_fluent_rows(whisper: Any) -> None:
    original = {k: v.clone() for k, v in whisper.state_dict().items()}

    @contextmanager
    def as_base() -> Any:
        now = {k: v.clone() for k, v in whisper.state_dict().items()}
        whisper.load_state_dict(original)
        try:
            yield
        finally:
            whisper.load_state_dict(now)

    given = batch()
    fluent = torch.tensor([True, False, False])
    install_loss(whisper, LossHead(LossSettings(kl=2.0, fluent="x"), 80, as_base=as_base))
    same = whisper(**given, fluent=fluent)
    assert float(same["divergence"]) == pytest.approx(0, abs=1e-5)
    with torch.no_grad():
        base = whisper(**{k: v for k, v in given.items() if k != "labels"}).logits
        whisper.model.decoder.layers[0].fc1.weight.mul_(-3)
        moved = whisper(**{k: v for k, v in given.items() if k != "labels"}).logits
        found = whisper(**given, fluent=fluent)
    learnt = given["labels"] != -100
    keep = learnt & fluent[:, None]
    divergence = F.kl_div(moved[keep].log_softmax(-1), base[keep].log_softmax(-1), log_target=True, reduction="sum")
    entropy = F.cross_entropy(moved.flatten(0, 1), given["labels"].flatten(), ignore_index=-100, reduction="sum")
    wanted = (entropy + 2 * divergence) / learnt.sum()
    torch.testing.assert_close(found["loss"], wanted, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found["divergence"], divergence / keep.sum(), rtol=1e-4, atol=1e-5)


def test_a_frozen_copy_is_the_base_of_full_fine_tuning(whisper: Any) -> None:
    import copy

    teacher = copy.deepcopy(whisper)
    head = LossHead(LossSettings(kl=2.0, fluent="x"), 80, teacher=teacher)
    install_loss(whisper, head)
    found = whisper(**batch(), fluent=torch.tensor([True, True, False]))
    assert float(found["divergence"]) == pytest.approx(0, abs=1e-5)
