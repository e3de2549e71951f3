"""Every method starts as the base, trains its own parameters only, and can be resumed and compared with the base."""

from __future__ import annotations

import copy
import json

import pytest

torch = pytest.importorskip("torch")

from methods_data import ADAPTERS, attached, batch, disturb, logits, optimizer_of, step  # noqa: E402
from transformers import WhisperConfig, WhisperForConditionalGeneration  # noqa: E402

from asrlsa.errors import ConfigError, UsageError  # noqa: E402
from asrlsa.training.base import load_base  # noqa: E402
from asrlsa.training.methods import METHODS, MethodSettings, attach  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.*:FutureWarning")

LINEARS = ("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2")


def names_of(model) -> set[str]:
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


@pytest.mark.parametrize("method", METHODS)
def test_starts_as_the_base(short_folder, method):
    before = logits(load_base(short_folder).model)
    assert torch.equal(logits(attached(short_folder, method).model), before)


@pytest.mark.parametrize("method", METHODS)
def test_only_its_own_parameters_change(short_folder, method):
    model = attached(short_folder, method)
    before = {name: p.detach().clone() for name, p in model.model.named_parameters()}
    own = names_of(model.model)
    optimizer = optimizer_of(model)
    losses = [step(model, optimizer, 1) for _ in range(4)]
    assert losses[-1] < losses[0]
    changed = {name for name, p in model.model.named_parameters() if not torch.equal(p, before[name])}
    assert changed <= own
    assert len(changed) > 0.9 * len(own)  # a bias before a layer norm may have no gradient
    assert model.trainable == sum(before[name].numel() for name in own)
    assert f"{model.trainable:,} of {model.total:,}" in model.summary


@pytest.mark.parametrize(
    ("targets", "sides", "matrices"),
    [
        ((), ("encoder", "decoder"), LINEARS),
        (("decoder",), ("decoder",), LINEARS),
        (("encoder", "attention"), ("encoder",), LINEARS[:4]),
        (("feed-forward",), ("encoder", "decoder"), LINEARS[4:]),
        (("q_proj", "v_proj"), ("encoder", "decoder"), ("q_proj", "v_proj")),
        (("decoder", "fc1"), ("decoder",), ("fc1",)),
    ],
)
@pytest.mark.parametrize("method", ["lora", "dora", "adalora", "vera", "s2lora"])
def test_targets(short_folder, method, targets, sides, matrices):
    model = attached(short_folder, method, targets=targets)
    expected = set()
    for name, module in load_base(short_folder).model.named_modules():
        side = "encoder" if name.startswith("model.encoder") else "decoder"
        if isinstance(module, torch.nn.Linear) and name != "proj_out" and side in sides:
            expected |= {name} if name.rpartition(".")[2] in matrices else set()
    found = {
        name.removeprefix("base_model.model.").rpartition(f".{part}")[0]
        for name in names_of(model.model)
        for part in ("lora_A", "vera_lambda_b", "s2lora_lambda")
        if f".{part}" in name
    }
    assert found == expected


@pytest.mark.parametrize(
    ("targets", "matrices"),
    [((), {"k_proj", "v_proj", "fc2"}), (("attention",), {"k_proj", "v_proj"}), (("decoder", "fc1"), {"fc1"})],
)
def test_targets_of_ia3(short_folder, targets, matrices):
    found = names_of(attached(short_folder, "ia3", targets=targets).model)
    assert {name.partition(".ia3_l")[0].rpartition(".")[2] for name in found} == matrices
    if "decoder" in targets:
        assert not any(".encoder." in name for name in found)


@pytest.mark.parametrize("method", ["full", "bitfit"])
def test_targets_of_whole_parameters(short_folder, method):
    everything = names_of(attached(short_folder, method).model)
    decoder = names_of(attached(short_folder, method, targets=("decoder",)).model)
    inner = names_of(attached(short_folder, method, targets=("encoder", "feed-forward")).model)
    assert decoder == {name for name in everything if ".decoder." in name}
    assert inner
    assert all(
        ".encoder.layers." in n and any(f".{m}." in n for m in ("fc1", "fc2", "final_layer_norm")) for n in inner
    )
    if method == "bitfit":
        assert all(name.endswith(".bias") for name in everything)
        assert any("conv1" in name for name in everything)
    else:
        assert not any("encoder.embed_positions" in name for name in everything)  # sinusoids


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"method": "lorra"}, r"method\.method must be one of full, lora"),
        ({"r": 0}, r"method\.r must be"),
        ({"lora_dropout": 1.0}, r"method\.lora_dropout"),
        ({"targets": ("encodr",)}, r"method\.targets must be some of encoder"),
        ({"targets": ("attention", "fc1")}, r"method\.targets must be matrices that belong"),
        ({"lora_plus": 0}, r"method\.lora_plus"),
        ({"sharing": "none"}, r"method\.sharing"),
        ({"l1": 1.0}, r"method\.l1"),
        ({"init_r": 8, "target_r": 8}, r"method\.init_r"),
        ({"delta_t": 0}, r"method\.delta_t"),
    ],
)
def test_wrong_settings(values, message):
    with pytest.raises(ConfigError, match=message):
        MethodSettings(**values)


def rates(model, lr=1.0) -> dict[str, float]:
    return {group["name"]: group["lr"] for group in model.parameter_groups(lr, 0.1)}


def test_learning_rates(short_folder):
    assert rates(attached(short_folder, "lora")) == {"A": 1, "B": 1}
    assert rates(attached(short_folder, "lora", lora_plus=16)) == {"A": 1, "B": 16}
    assert rates(attached(short_folder, "dora", lora_plus=16)) == {"A": 1, "B": 16, "main.vectors": 1}
    assert rates(attached(short_folder, "adalora", lora_plus=4)) == {"A": 1, "B": 4, "B.vectors": 4}
    assert rates(attached(short_folder, "s2lora")) == {"A": 1, "B": 1, "lambda.vectors": 10}
    assert rates(attached(short_folder, "s2lora", lora_plus=16)) == {"A": 1, "B": 16, "lambda.vectors": 16}
    assert rates(attached(short_folder, "full")) == {"main": 1, "main.vectors": 1}


@pytest.mark.parametrize("method", METHODS)
def test_groups_hold_every_parameter_once(short_folder, method):
    model = attached(short_folder, method)
    groups = model.parameter_groups(1e-3, 0.1)
    held = [id(parameter) for group in groups for parameter in group["params"]]
    assert len(held) == len(set(held))
    assert set(held) == {id(p) for p in model.model.parameters() if p.requires_grad}
    for group in groups:
        assert group["weight_decay"] == (0.0 if group["name"].endswith("vectors") else 0.1)
        if group["weight_decay"]:
            assert all(p.dim() >= 2 for p in group["params"])


def test_adalora_prunes(short_folder):
    model = attached(short_folder, "adalora")
    optimizer = optimizer_of(model)

    def ranks() -> list[int]:
        return [int((p != 0).sum()) for name, p in model.model.named_parameters() if "lora_E" in name]

    history = []
    for number in range(1, 21):
        step(model, optimizer, number)
        history.append(sum(ranks()))
    matrices = len(ranks())
    assert history[1] == 4 * matrices  # tinit is 2 of 20 steps
    assert history[-1] == 2 * matrices
    assert len(set(ranks())) > 1  # the budget went where it pays, not evenly
    assert history[8] < history[3]


def test_adalora_needs_room_to_prune(short_folder):
    with pytest.raises(ConfigError, match="adalora can't prune in 5 steps with tinit 4 and tfinal 1"):
        attach(load_base(short_folder).model, MethodSettings("adalora", tinit=4), 5)
    with pytest.raises(ConfigError, match="adalora can't prune"):
        attach(load_base(short_folder).model, MethodSettings("adalora", tfinal=30), 20)
    with pytest.raises(ConfigError, match="adalora can't prune in 2 steps"):  # PEFT fails in the first step
        attach(load_base(short_folder).model, MethodSettings("adalora", tinit=0, tfinal=1), 2)


def test_penalties(short_folder):
    for method in METHODS:
        model = attached(short_folder, method)
        assert (model.penalty() is not None) == (method == "adalora")
    ada = attached(short_folder, "adalora", orth_reg_weight=0.25)
    matrices = [p for name, p in ada.model.named_parameters() if "lora_A" in name or "lora_B" in name]
    terms = []
    for p in matrices:
        square = p @ p.T if p.shape[0] == 4 and p.shape[1] != 4 else p.T @ p
        terms.append((square - torch.eye(4)).square().sum().sqrt())
    assert torch.allclose(ada.penalty(), 0.25 * sum(terms) / len(terms))
    out = ada.model(**batch(), labels=batch()["decoder_input_ids"])
    plain = torch.nn.functional.cross_entropy(out.logits.flatten(0, 1), batch()["decoder_input_ids"].flatten())
    assert torch.allclose(out.loss, plain)  # PEFT does not add the penalty a second time


@pytest.mark.parametrize("method", ADAPTERS)
def test_as_base(short_folder, method):
    before = logits(load_base(short_folder).model)
    model = disturb(attached(short_folder, method))
    after = logits(model.model)
    trained = names_of(model.model)
    with model.as_base():
        assert torch.equal(logits(model.model), before)
        assert names_of(model.model) == trained
    assert not torch.allclose(after, before)
    assert torch.equal(logits(model.model), after)
    with pytest.raises(ZeroDivisionError), model.as_base():
        raise ZeroDivisionError
    assert torch.equal(logits(model.model), after)


def test_full_has_no_base(short_folder):
    with pytest.raises(UsageError, match="compare with a frozen copy"), attached(short_folder, "full").as_base():
        pass


@pytest.mark.parametrize("method", METHODS)
def test_resume_is_exact(short_folder, method):
    """Half the steps, everything through a file's form, the other half: the same weights to the last bit."""
    through = attached(short_folder, method)
    optimizer = optimizer_of(through)
    for number in range(1, 13):
        step(through, optimizer, number)
        if number == 6:
            weights = copy.deepcopy(through.model.state_dict())
            rest = copy.deepcopy((optimizer.state_dict(), through.state()))
    again = attached(short_folder, method)
    again.model.load_state_dict(weights)
    again.load_state(rest[1])
    optimizer = optimizer_of(again)
    optimizer.load_state_dict(rest[0])
    for number in range(7, 13):
        step(again, optimizer, number)
    one, other = through.model.state_dict(), again.model.state_dict()
    assert all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("method", ["full", "lora", "s2lora", "adalora", "bitfit"])
@pytest.mark.parametrize("targets", [(), ("encoder",), ("decoder",)])
def test_gradient_checkpointing_gives_the_same_gradients(short_folder, method, targets):
    gradients = []
    for checkpointing in (False, True):
        model = disturb(attached(short_folder, method, targets=targets))
        inner = model.model if method == "full" else model.model.get_base_model()
        if checkpointing:
            inner.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})
        model.model.train()
        model.model(**batch()).logits.square().mean().backward()
        gradients.append({name: p.grad for name, p in model.model.named_parameters() if p.requires_grad})
    one, other = gradients
    assert all(torch.allclose(one[name], other[name], rtol=1e-4, atol=1e-9) for name in one if one[name] is not None)
    assert {name for name in one if one[name] is None} == {name for name in other if other[name] is None}


# Sizes of the published models; the counts are those of shared/docs/training.md, from the shapes alone.
SMALL = {
    "d_model": 768,
    "encoder_layers": 12,
    "decoder_layers": 12,
    "encoder_ffn_dim": 3072,
    "decoder_ffn_dim": 3072,
    "encoder_attention_heads": 12,
    "decoder_attention_heads": 12,
}
LARGE = {
    "d_model": 1280,
    "encoder_layers": 32,
    "decoder_layers": 32,
    "encoder_ffn_dim": 5120,
    "decoder_ffn_dim": 5120,
    "num_mel_bins": 128,
    "encoder_attention_heads": 20,
    "decoder_attention_heads": 20,
    "vocab_size": 51_866,
}


@pytest.mark.parametrize(
    ("method", "more", "small", "large"),
    [
        ("lora", {"r": 16}, 6_488_064, 28_835_840),
        ("adalora", {"init_r": 12}, 4_868_352, 21_633_024),
        ("s2lora", {"r": 32}, 202_752, 344_064),
    ],
)
def test_trainable_parameters_of_published_sizes(method, more, small, large):
    for size, expected in ((SMALL, small), (LARGE, large)):
        with torch.device("meta"):
            model = WhisperForConditionalGeneration(WhisperConfig(**size, use_cache=False))
            found = attach(model, MethodSettings(method, **more), 100)
        assert found.trainable == expected, json.dumps({"method": method, "trainable": found.trainable})
