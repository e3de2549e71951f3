"""Pruning: the right weights go, what is taken out changes nothing that stays, and every engine agrees."""

# ruff: noqa: E402

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("peft")

import tiny_run

from asrlsa.errors import ConfigError, OutputError
from asrlsa.finetune import finetune
from asrlsa.training import pruning
from asrlsa.training.base import load_base
from asrlsa.training.recipe import load_settings

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

SOUND = torch.randn(2, 80, 3000, generator=torch.Generator().manual_seed(3)) * 0.3
IDS = torch.tensor([[5, 8, 13, 21], [34, 55, 89, 144]])


def logits(model: Any) -> Any:
    with torch.no_grad():
        return model(input_features=SOUND, decoder_input_ids=IDS).logits


def batch() -> dict[str, Any]:
    labels = torch.tensor([[8, 13, 21, 34], [55, 89, -100, -100]])
    return {"input_features": SOUND, "decoder_input_ids": IDS, "labels": labels}


def muted(model: Any, keep: pruning.Kept) -> Any:
    """The same model with its pruned heads and units set to zero instead of taken out."""
    made = copy.deepcopy(model)
    with torch.no_grad():
        for name, module in made.named_modules():
            if name in keep and hasattr(module, "out_proj"):
                gone = [h for h in range(module.num_heads) if h not in keep[name]]
                for head in gone:
                    module.out_proj.weight[:, head * module.head_dim : (head + 1) * module.head_dim] = 0
            elif name in keep:
                module.fc2.weight[:, [k for k in range(module.fc2.in_features) if k not in keep[name]]] = 0
    return made


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_the_smallest_weights_of_each_matrix_go(tiny_model: Any, share: float) -> None:
    before = {k: v.clone() for k, v in tiny_model.state_dict().items()}
    zeros = pruning.zero_smallest(tiny_model, share)
    counted = 0
    for name, now in tiny_model.state_dict().items():
        if name.split(".")[-2] in pruning.PRUNED and name.endswith("weight"):
            gone = now == 0
            assert int(gone.sum()) == round(share * now.numel())
            assert torch.equal(now[~gone], before[name][~gone])
            if gone.any() and not gone.all():
                assert before[name][gone].abs().max() <= before[name][~gone].abs().min()
            counted += int(gone.sum())
        else:
            assert torch.equal(now, before[name]), name
    assert zeros == counted
    assert pruning.zero_share(tiny_model) == pytest.approx(share, abs=0.01)


def test_gate_gradients_are_the_change_that_muting_a_head_makes(tiny_model: Any) -> None:
    """A finite difference: the loss with one head scaled by 1 - e and by 1 + e."""
    model = tiny_model.double()
    given = {**batch(), "input_features": SOUND.double()}
    heads = {name: (a.out_proj, a.num_heads) for name, a in pruning._attentions(model)}
    units = {name: (layer.fc2, layer.fc2.in_features) for name, layer in pruning._layers(model)}
    found = pruning._gate_gradients(model, given, {**heads, **units})
    assert all(p.grad is None for p in model.parameters())

    def loss(row: int) -> float:
        with torch.no_grad():
            hidden = model.model(input_features=given["input_features"], decoder_input_ids=IDS).last_hidden_state[row]
        entropy = torch.nn.functional.cross_entropy(hidden @ model.proj_out.weight.T, batch()["labels"][row])
        return float(entropy.detach())

    step = 1e-4
    for name, gate in (
        ("model.encoder.layers.1.self_attn", 2),
        ("model.decoder.layers.0.encoder_attn", 0),
        ("model.encoder.layers.0", 17),
        ("model.decoder.layers.1", 5),
    ):
        linear, count = {**heads, **units}[name]
        size = linear.in_features // count
        part = slice(gate * size, (gate + 1) * size)
        for row in (0, 1):
            values = []
            for scale in (1 + step, 1 - step):
                kept = linear.weight.data.clone()
                linear.weight.data[:, part] *= scale
                values.append(loss(row))
                linear.weight.data.copy_(kept)
            slope = (values[0] - values[1]) / (2 * step)
            assert float(found[name][row, gate]) == pytest.approx(slope, rel=1e-4, abs=1e-9)


def test_importance_is_normalised_and_leaves_the_model_alone(tiny_model: Any) -> None:
    before = logits(tiny_model)
    found = pruning.head_importance(tiny_model, [batch(), batch()])
    assert len(found) == 2 + 2 * 2
    scaled = pruning.head_importance(tiny_model, [batch()], normalised=True)
    for name, values in found.items():
        assert values.shape == (4,)
        torch.testing.assert_close(values / values.norm(), scaled[name])
    assert torch.equal(logits(tiny_model), before)


def test_even_and_global_choice() -> None:
    importance = {"a": torch.tensor([0.9, 0.1, 0.5, 0.4]), "b": torch.tensor([0.01, 0.02, 0.03, 0.04])}
    assert pruning.choose_heads(importance, 0.25) == {"a": [0, 2, 3], "b": [1, 2, 3]}
    assert pruning.choose_heads(importance, 0.5, even=False) == {"a": [0, 2, 3], "b": [3]}
    assert pruning.choose_heads(importance, 0.99) == {"a": [0], "b": [3]}
    assert all(pruning.choose_heads(importance, 0.99, even=False).values())
    rows = pruning.choose_rows({"l": torch.arange(32.0)}, 0.5)
    assert rows == {"l": list(range(16, 32))}


def test_what_is_taken_out_is_as_if_it_were_zero(tiny_model: Any) -> None:
    importance = pruning.head_importance(tiny_model, [batch()])
    heads = pruning.choose_heads(importance, 0.4, even=False)
    assert len({len(kept) for kept in heads.values()}) > 1, "the case is to be uneven"
    rows = pruning.choose_rows(pruning.row_importance(tiny_model, [batch()]), 0.5)
    zeroed = muted(tiny_model, {**heads, **rows})
    size = tiny_model.num_parameters()
    pruning.remove_heads(tiny_model, heads)
    pruning.remove_rows(tiny_model, rows)
    assert tiny_model.num_parameters() < size
    torch.testing.assert_close(logits(tiny_model), logits(zeroed), rtol=0, atol=1e-5)
    # With a cache of keys and values, token by token, too.
    with torch.no_grad():
        encoded = tiny_model.model.encoder(SOUND).last_hidden_state
        past = None
        for k in range(IDS.shape[1]):
            out = tiny_model(
                encoder_outputs=(encoded,), decoder_input_ids=IDS[:, k : k + 1], past_key_values=past, use_cache=True
            )
            past = out.past_key_values
    torch.testing.assert_close(out.logits[:, -1], logits(zeroed)[:, -1], rtol=0, atol=1e-5)


def test_magnitude_of_a_unit(tiny_model: Any) -> None:
    layer = tiny_model.model.encoder.layers[0]
    with torch.no_grad():
        layer.fc1.weight[3] *= 100
        layer.fc2.weight[:, 7] = 0
    found = pruning.row_magnitude(tiny_model)["model.encoder.layers.0"]
    assert int(found.argmax()) == 3
    assert int(found.argmin()) == 7


def test_the_heads_for_word_times_move_with_their_heads(tiny_model: Any) -> None:
    tiny_model.generation_config.alignment_heads = [[0, 1], [1, 3]]
    pruning.remove_heads(tiny_model, {"model.decoder.layers.1.encoder_attn": [0, 3]})
    assert tiny_model.generation_config.alignment_heads == [[0, 1], [1, 1]]
    pruning.remove_heads(
        tiny_model, {"model.decoder.layers.0.encoder_attn": [0], "model.decoder.layers.1.encoder_attn": [0]}
    )
    assert tiny_model.generation_config.alignment_heads == [[1, 0]]


@pytest.fixture
def uneven(tiny_folder: Path, tmp_path: Path) -> Path:
    """A folder with uneven heads and narrower layers."""
    model = load_base(tiny_folder).model
    pruning.remove_heads(model, pruning.choose_heads(pruning.head_importance(model, [batch()]), 0.4, even=False))
    pruning.remove_rows(model, {"model.encoder.layers.0": range(24), "model.decoder.layers.1": range(8)})
    return pruning.save_pruned(model, tiny_folder, tmp_path / "uneven")


def test_saved_and_loaded_and_never_over_another(uneven: Path, tiny_folder: Path) -> None:
    model = load_base(uneven).model
    assert model.model.encoder.layers[0].fc1.out_features == 24
    assert {a.num_heads for _, a in pruning._attentions(model)} != {4}
    assert torch.isfinite(logits(model)).all()
    with pytest.raises(OutputError, match="exists"):
        pruning.save_pruned(model, tiny_folder, uneven)


@pytest.mark.parametrize("even", [True, False])
def test_ctranslate2_computes_the_same(tiny_folder: Path, tmp_path: Path, even: bool) -> None:
    ctranslate2 = pytest.importorskip("ctranslate2")
    from asrlsa.conversion.folders import read_whisper, write_ctranslate2

    model = load_base(tiny_folder).model
    heads = pruning.choose_heads(pruning.head_importance(model, [batch()]), 0.5, even=even)
    pruning.remove_heads(model, heads)
    pruning.remove_rows(model, {"model.encoder.layers.1": range(16), "model.decoder.layers.0": range(24)})
    folder = pruning.save_pruned(model, tiny_folder, tmp_path / "pruned")
    out = tmp_path / "ct2"
    out.mkdir()
    write_ctranslate2(read_whisper(folder), out, "float32")
    engine = ctranslate2.models.Whisper(str(out), device="cpu", compute_type="float32", intra_threads=1)
    found = np.array(engine.encode(ctranslate2.StorageView.from_array(SOUND.numpy())))
    with torch.no_grad():
        wanted = model.model.encoder(SOUND).last_hidden_state.numpy()
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-3)
    # And back, as a CTranslate2 folder may be trained on.
    again = load_base(out).model
    torch.testing.assert_close(logits(again), logits(model), rtol=0, atol=1e-5)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_run.make_data(tmp_path_factory.mktemp("data"), train=4, dev=1)


def run(base: Path, data: Path, out: Path, *more: str) -> Any:
    names = {"model.base": base, "data.train": data / "train.jsonl"}
    changes = [f"{key}={json.dumps(str(value))}" for key, value in names.items()]
    small = ["train.steps=2", "train.batch=2", "train.threads=1", "train.log=jsonl", "train.device=cpu"]
    told: list[Any] = []
    found = finetune(load_settings(None, [*changes, *small, "method.method=full", *more]), out, on_event=told.append)
    return found, [e["text"] for e in told if e["event"] == "note"]


def test_zeros_stay_zeros_while_the_rest_learns(tiny_folder: Path, data: Path, tmp_path: Path) -> None:
    model = load_base(tiny_folder).model
    zeros = pruning.zero_smallest(model, 0.5)
    pruned = pruning.save_pruned(model, tiny_folder, tmp_path / "pruned")
    found, notes = run(pruned, data, tmp_path / "out", "train.keep_zeros=true", "train.weight_decay=0.1")
    assert f"keep_zeros: {zeros:,} weights are zero and stay zero" in notes
    after = load_base(found.adapter).model
    for (name, now), (_, before) in zip(pruning._matrices(after), pruning._matrices(model), strict=True):
        assert torch.equal(now == 0, before == 0), name
        assert not torch.equal(now, before), name
    # Without it they come back.
    found, _ = run(pruned, data, tmp_path / "free")
    assert pruning.zero_share(load_base(found.adapter).model) < 0.01


def test_a_smaller_model_is_trained_as_it_is(uneven: Path, data: Path, tmp_path: Path) -> None:
    found, _ = run(uneven, data, tmp_path / "out")
    before, after = load_base(uneven).model, load_base(found.adapter).model
    shapes = [{k: v.shape for k, v in m.state_dict().items()} for m in (before, after)]
    assert shapes[0] == shapes[1]
    assert not torch.equal(logits(after), logits(before))


def test_keep_zeros_needs_full() -> None:
    with pytest.raises(ConfigError, match="keep_zeros"):
        load_settings(None, ["train.keep_zeros=true"])
