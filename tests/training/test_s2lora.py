"""The laws of S2-LoRA (arXiv 2309.11756, our reading): identity, sharing, sparsity, saving, merging, plain LoRA."""

from __future__ import annotations

import copy
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from methods_data import attached, batch, disturb, logits, optimizer_of, step  # noqa: E402
from peft import LoraConfig, PeftModel, get_peft_model  # noqa: E402
from torch import nn  # noqa: E402

from asrlsa.model_card import ModelCard  # noqa: E402
from asrlsa.training.adapter_folder import save_adapter  # noqa: E402
from asrlsa.training.base import load_base  # noqa: E402
from asrlsa.training.methods import peft_quiet  # noqa: E402
from asrlsa.training.s2lora import S2LoraConfig, S2LoraLayer  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.*:FutureWarning")
HERE = Path(__file__).resolve().parent

both = pytest.mark.parametrize("sharing", ["global", "shape"])


def saved(folder, model, short_folder):
    return save_adapter(folder, model, load_base(short_folder), ModelCard())


def loaded(folder, base, name="default", **more):
    with peft_quiet():
        return PeftModel.from_pretrained(base, str(folder), adapter_name=name, **more)


@both
def test_the_update_is_what_it_says(short_folder, sharing):
    """W' = W + (alpha / r) B diag(lambda) A, each matrix taking the first columns and rows of its bank."""
    model = disturb(attached(short_folder, "s2lora", sharing=sharing, lora_alpha=6.0)).model
    banks = model.base_model.s2lora_banks["default"]
    kinds = {"global": {"all"}, "shape": {"16x16", "32x16", "16x32"}}[sharing]
    assert set(banks.keys()) == {f"{side}_{kind}" for side in "AB" for kind in kinds}
    seen = 0
    for name, layer in model.base_model.layers():
        out, into = layer.base_layer.weight.shape
        kind = "all" if sharing == "global" else f"{out}x{into}"
        a, b = banks[f"A_{kind}"][:, :into], banks[f"B_{kind}"][:out]
        expected = (6.0 / 4) * b @ torch.diag(layer.s2lora_lambda["default"]) @ a
        assert torch.allclose(layer.get_delta_weight("default"), expected, atol=1e-6), name
        x = torch.randn(3, into)
        assert torch.allclose(layer(x), layer.base_layer(x) + x @ expected.T, atol=1e-5)
        seen += 1
    assert seen == 32


@both
def test_identity_at_the_start(short_folder, sharing):
    model = attached(short_folder, "s2lora", sharing=sharing)
    assert torch.equal(logits(model.model), logits(load_base(short_folder).model))
    assert all(not vector.any() for vector in model.model.base_model.coefficients())
    for name, bank in model.model.base_model.s2lora_banks["default"].items():
        width = bank.shape[1] if name.startswith("A") else bank.shape[0]
        assert 0.5 < float(bank.detach().std()) * math.sqrt(width) < 1.5


@both
def test_every_coefficient_and_bank_learns(short_folder, sharing):
    model = attached(short_folder, "s2lora", sharing=sharing, l1=0.0)
    before = copy.deepcopy(dict(model.model.named_parameters()))
    optimizer = optimizer_of(model)
    for number in range(1, 4):
        step(model, optimizer, number)
    for name, parameter in model.model.named_parameters():
        moved = not torch.equal(parameter, before[name])
        assert moved == ("s2lora" in name), name


@both
def test_saving_is_exact_to_the_bit(short_folder, tmp_path, sharing):
    model = disturb(attached(short_folder, "s2lora", sharing=sharing))
    folder = saved(tmp_path / "a", model, short_folder)
    again = loaded(folder, load_base(short_folder).model)
    one = {name: p for name, p in model.model.named_parameters() if "s2lora" in name}
    other = {name: p for name, p in again.named_parameters() if "s2lora" in name}
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert torch.equal(logits(again), logits(model.model))
    assert not any(p.requires_grad for p in again.parameters())
    assert all(
        p.requires_grad == ("s2lora" in name)
        for name, p in loaded(folder, load_base(short_folder).model, is_trainable=True).named_parameters()
    )
    low = loaded(folder, load_base(short_folder).model, low_cpu_mem_usage=True)
    assert torch.equal(logits(low), logits(model.model))


@both
def test_merging(short_folder, sharing):
    model = disturb(attached(short_folder, "s2lora", sharing=sharing))
    before = logits(model.model)
    weights = {name: layer.base_layer.weight.clone() for name, layer in model.model.base_model.layers()}
    model.model.merge_adapter(safe_merge=True)
    assert (logits(model.model) - before).abs().max() < 1e-5
    model.model.unmerge_adapter()
    for name, layer in model.model.base_model.layers():
        assert (layer.base_layer.weight - weights[name]).abs().max() < 1e-6
    assert (logits(model.model) - before).abs().max() < 1e-5
    plain = model.model.merge_and_unload()
    assert (logits(plain) - before).abs().max() < 1e-5
    assert not any(isinstance(module, S2LoraLayer) for module in plain.modules())


def test_a_spoilt_merge_is_refused(short_folder):
    model = disturb(attached(short_folder, "s2lora"))
    with torch.no_grad():
        next(iter(model.model.base_model.coefficients()))[0] = float("nan")
    with pytest.raises(ValueError, match="NaNs detected in the merged weights"):
        model.model.merge_adapter(safe_merge=True)


def test_proximal_steps_give_exact_zeros(short_folder):
    model = attached(short_folder, "s2lora", l1=0.5)
    tuner, optimizer = model.model.base_model, optimizer_of(model)
    with torch.no_grad():
        for vector in tuner.coefficients():
            vector.copy_(torch.tensor([0.3, -0.3, 0.01, -0.01]))
    norm = float(tuner.l1_norm().detach())
    assert norm == pytest.approx(32 * 0.62, rel=1e-5)
    tuner.sparsify(0.04)  # moves every coefficient by 0.04 * 0.5
    first = tuner.coefficients()[0]
    assert torch.allclose(first, torch.tensor([0.28, -0.28, 0.0, 0.0]))
    assert tuner.zero_share() == 0.5
    for number in range(1, 30):
        step(model, optimizer, number)
    zeros = torch.cat(list(tuner.coefficients())) == 0
    assert 0.02 < float(zeros.float().mean()) < 0.98
    free = attached(short_folder, "s2lora", l1=0.0)
    optimizer = optimizer_of(free)
    for number in range(1, 6):
        step(free, optimizer, number)
    assert free.model.base_model.zero_share() < 0.2  # a key's bias-free directions may have no gradient


@both
def test_the_equal_plain_lora_needs_pefts_lora_only(short_folder, tmp_path, sharing):
    model = disturb(attached(short_folder, "s2lora", sharing=sharing))
    with torch.no_grad():
        for number, vector in enumerate(model.model.base_model.coefficients()):
            vector[: number % 5] = 0.0  # from every rank down to none
    folder = saved(tmp_path / "a", model, short_folder)
    before = logits(model.model)
    again = loaded(folder / "lora", load_base(short_folder).model)
    assert again.peft_config["default"].peft_type == "LORA"
    assert (logits(again) - before).abs().max() < 1e-5
    ranks = again.peft_config["default"].rank_pattern
    assert sorted(set(ranks.values())) == [1, 2, 3, 4]
    assert len(ranks) == 26  # 6 of 32 matrices have lost every coefficient
    model_file = tmp_path / "logits.pt"
    torch.save(before, model_file)
    code = (
        "import sys, warnings; warnings.simplefilter('ignore'); sys.modules['asrlsa'] = None\n"
        "import torch\nfrom peft import PeftModel\nfrom transformers import WhisperForConditionalGeneration\n"
        "base, adapter, expected = sys.argv[1:]\n"
        "model = PeftModel.from_pretrained(WhisperForConditionalGeneration.from_pretrained(base), adapter).eval()\n"
        "draw = torch.Generator().manual_seed(1)\n"
        "x = torch.randn(2, 80, 100, generator=draw); ids = torch.randint(0, 300, (2, 8), generator=draw)\n"
        "with torch.no_grad(): out = model(input_features=x, decoder_input_ids=ids).logits\n"
        "print(float((out - torch.load(expected)).abs().max()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(short_folder), str(folder / "lora"), str(model_file)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 1e-5


def test_an_untrained_adapter_has_an_equal_lora_too(short_folder, tmp_path):
    folder = saved(tmp_path / "a", attached(short_folder, "s2lora"), short_folder)
    again = loaded(folder / "lora", load_base(short_folder).model)
    assert torch.equal(logits(again), logits(load_base(short_folder).model))


def test_several_adapters(short_folder, tmp_path):
    first = disturb(attached(short_folder, "s2lora"))
    second = disturb(attached(short_folder, "s2lora", sharing="shape", targets=("decoder",)), size=0.3)
    folders = [saved(tmp_path / str(i), model, short_folder) for i, model in enumerate((first, second))]
    expected = [logits(first.model), logits(second.model)]
    model = loaded(folders[0], load_base(short_folder).model, "one")
    with peft_quiet():
        model.load_adapter(str(folders[1]), adapter_name="two")
    model.eval()
    assert torch.equal(logits(model), expected[0])
    model.set_adapter("two")
    assert torch.equal(logits(model), expected[1])
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert trained
    assert all("two" in name for name in trained)
    model.set_adapter("one")
    model.delete_adapter("two")
    assert torch.equal(logits(model), expected[0])
    assert not any(".two" in name for name in model.state_dict())
    with peft_quiet():
        model.add_adapter("three", S2LoraConfig(r=2, target_modules=["fc1"]))
    model.set_adapter("three")
    assert torch.equal(logits(model), logits(load_base(short_folder).model))


def test_a_copy_has_banks_of_its_own(short_folder):
    model = disturb(attached(short_folder, "s2lora")).model
    twin = copy.deepcopy(model)
    with torch.no_grad():
        for bank in twin.base_model.s2lora_banks.parameters():
            bank.mul_(2)
    assert not torch.allclose(logits(twin), logits(model))


def test_orthogonality(short_folder):
    model = attached(short_folder, "s2lora", ortho=0.5)
    banks = model.model.base_model.s2lora_banks["default"]
    with torch.no_grad():
        banks["A_all"].copy_(torch.eye(4, 32))
        banks["B_all"].copy_(2 * torch.eye(32, 4))
    assert float(model.penalty().detach()) == pytest.approx(0.5 * 4 * (4 - 1) ** 2)


def test_half_precision(short_folder):
    torch.manual_seed(0)
    base = load_base(short_folder, dtype=torch.bfloat16).model
    with peft_quiet():
        model = get_peft_model(base, S2LoraConfig(r=4, target_modules=["q_proj", "fc1"]))
    x = batch()
    x["input_features"] = x["input_features"].bfloat16()
    out = model(**x).logits
    out.float().square().mean().backward()
    assert out.dtype == torch.bfloat16
    assert all(p.dtype == torch.float32 and p.grad is not None for p in model.base_model.coefficients())


@pytest.mark.parametrize("values", [{"r": 0}, {"sharing": "some"}, {"l1": -1.0}, {"ortho": -1.0}])
def test_wrong_settings(values):
    with pytest.raises(ValueError, match="S2-LoRA needs"):
        S2LoraConfig(**values)


def test_only_linear_layers(short_folder):
    with pytest.raises(TypeError, match=r"adapts torch\.nn\.Linear only"), peft_quiet():
        get_peft_model(load_base(short_folder).model, S2LoraConfig(target_modules=["conv1", "q_proj"]))


def test_it_stands_beside_pefts_own_methods(short_folder):
    class Small(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x):
            return self.second(self.first(x))

    with peft_quiet():
        get_peft_model(Small(), LoraConfig(target_modules=["first"]))
        model = get_peft_model(Small(), S2LoraConfig(target_modules=["first", "second"], r=2))
    assert model(torch.ones(1, 4)).shape == (1, 4)


def test_two_processes_train_as_one(short_folder, tmp_path):
    """Two processes with half of the batch each give the weights that one gives with the whole of it."""
    code = [sys.executable, str(HERE / "two_processes.py"), str(short_folder), str(tmp_path)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(code, capture_output=True, text=True, check=False, env=environment, timeout=400)
    assert done.returncode == 0, done.stderr[-3000:]
    one = torch.load(tmp_path / "one.pt")
    assert any((value == 0).any() for name, value in one.items() if "lambda" in name)
    assert any((value != 0).any() for name, value in one.items() if "lambda" in name)
    for mode in ("ddp", "fsdp1", "fsdp2"):
        two = torch.load(tmp_path / f"{mode}.pt")
        assert one.keys() == two.keys(), mode
        assert all(torch.allclose(one[name], two[name], atol=2e-5) for name in one), mode
