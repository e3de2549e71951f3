"""Adapters on disk are PEFT's, with a card; the wrong base is told in one line."""

from __future__ import annotations

import json
import warnings

import pytest

torch = pytest.importorskip("torch")

from methods_data import ADAPTERS, STOCK, attached, disturb, logits, optimizer_of, step  # noqa: E402
from peft import PeftModel  # noqa: E402
from transformers import WhisperForConditionalGeneration, WhisperProcessor  # noqa: E402

from asrlsa.conversion import tensor_file  # noqa: E402
from asrlsa.conversion.folders import read_whisper, write_transformers  # noqa: E402
from asrlsa.errors import ConfigError, ModelError, OutputError  # noqa: E402
from asrlsa.model_card import METHODS, ModelCard, read_card, write_card  # noqa: E402
from asrlsa.models import resolve_model  # noqa: E402
from asrlsa.training.adapter_folder import load_adapter, merge, save_adapter  # noqa: E402
from asrlsa.training.base import load_base  # noqa: E402
from asrlsa.training.methods import MethodSettings  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.*:FutureWarning")

CARD = ModelCard(
    verbatim=True,
    style="verbatim",
    decoding={"beam_size": 2},
    data={"rows": 120, "hours": 1.5, "corpus": "ours"},
    scores={"dev_wer": 21.5},
)


def trained(short_folder, method, **more):
    return disturb(attached(short_folder, method, **more))


@pytest.mark.parametrize("method", METHODS)
def test_saved_and_loaded(short_folder, tmp_path, method):
    model = trained(short_folder, method)
    base = load_base(short_folder)
    folder = save_adapter(tmp_path / "a", model, base, CARD)
    card = read_card(folder)
    assert card is not None
    assert (card.method, card.base, card.base_sha256) == (method, str(short_folder), base.sha256)
    assert (card.style, card.decoding, card.data, card.scores) == ("verbatim", CARD.decoding, CARD.data, CARD.scores)
    again = load_adapter(folder, base)
    assert torch.equal(logits(again.model), logits(model.model))
    assert again.settings.method == method
    assert again.trainable == 0
    more = load_adapter(folder, load_base(short_folder), trainable=True)
    assert more.trainable == model.trainable
    names = [{n for n, p in m.model.named_parameters() if p.requires_grad} for m in (more, model)]
    assert names[0] == names[1]
    twice = save_adapter(tmp_path / "b", more, load_base(short_folder), CARD)
    name = "model.safetensors" if method == "full" else "adapter_model.safetensors"
    assert (twice / name).read_bytes() == (folder / name).read_bytes()


@pytest.mark.parametrize("method", STOCK)
def test_peft_loads_it_without_asrlsa(short_folder, tmp_path, method):
    model = trained(short_folder, method)
    folder = save_adapter(tmp_path / "a", model, load_base(short_folder), CARD)
    base = WhisperForConditionalGeneration.from_pretrained(short_folder).eval()
    again = PeftModel.from_pretrained(base, str(folder))
    assert torch.allclose(logits(again), logits(model.model), atol=1e-6)
    assert again.peft_config["default"].base_model_name_or_path == str(short_folder)
    assert again.peft_config["default"].inference_mode


def test_bitfit_is_biases_and_a_lora_of_zeros(short_folder, tmp_path):
    folder = save_adapter(tmp_path / "a", trained(short_folder, "bitfit"), load_base(short_folder), CARD)
    arrays = tensor_file.read_tensors(folder / "adapter_model.safetensors")
    others = [name for name in arrays if not name.endswith(".bias")]
    assert sorted(name.rpartition(".lora_")[2] for name in others) == ["A.weight", "B.weight"]
    assert not next(arrays[name] for name in others if "lora_B" in name).any()


def test_the_gathered_state_of_a_sharded_model(short_folder, tmp_path):
    """FSDP hands the whole state over from outside; what is saved comes from there alone."""
    for method in METHODS:
        model = trained(short_folder, method)
        state = {key: value.clone() for key, value in model.model.state_dict().items()}
        expected = save_adapter(tmp_path / f"{method}-1", model, load_base(short_folder), CARD)
        with torch.no_grad():
            for parameter in model.model.parameters():
                parameter.zero_()
        found = save_adapter(tmp_path / f"{method}-2", model, load_base(short_folder), CARD, state=state)
        for path in expected.rglob("*.safetensors"):
            assert path.read_bytes() == (found / path.relative_to(expected)).read_bytes()


def test_adalora_is_saved_pruned(short_folder, tmp_path):
    model = attached(short_folder, "adalora")
    optimizer = optimizer_of(model)
    for number in range(1, 21):
        step(model, optimizer, number)
    before = logits(model.model)
    folder = save_adapter(tmp_path / "a", model, load_base(short_folder), CARD)
    config = json.loads((folder / "adapter_config.json").read_text())
    assert config["orth_reg_weight"] == 0.5
    ranks = [sum(pattern) for pattern in config["rank_pattern"].values()]
    assert sum(ranks) == 64
    arrays = tensor_file.read_tensors(folder / "adapter_model.safetensors")
    assert sum(len(array) for name, array in arrays.items() if name.endswith("lora_E")) == 64
    again = load_adapter(folder, load_base(short_folder))
    assert (logits(again.model) - before).abs().max() < 1e-5
    fresh = attached(short_folder, "adalora")  # the weights alone tell what was pruned
    fresh.model.load_state_dict(model.model.state_dict())
    twin = save_adapter(tmp_path / "b", fresh, load_base(short_folder), CARD)
    name = "adapter_model.safetensors"
    assert (twin / name).read_bytes() == (folder / name).read_bytes()
    step(model, optimizer, 21)  # saving does not disturb training
    assert torch.isfinite(logits(model.model)).all()
    more = load_adapter(folder, load_base(short_folder), trainable=True, total_steps=30)
    optimizer = optimizer_of(more)
    for number in range(1, 6):
        step(more, optimizer, number)  # pruned already: the ranks stay
    assert sum(int((p != 0).sum()) for name, p in more.model.named_parameters() if "lora_E" in name) == 64


def test_adalora_goes_on_pruning(short_folder, tmp_path):
    folder = save_adapter(tmp_path / "a", trained(short_folder, "adalora"), load_base(short_folder), CARD)
    settings = MethodSettings("adalora", init_r=4, target_r=2, delta_t=1, lora_dropout=0.0)
    more = load_adapter(folder, load_base(short_folder), settings=settings, trainable=True, total_steps=10)
    optimizer = optimizer_of(more)
    for number in range(1, 11):
        step(more, optimizer, number)
    assert sum(int((p != 0).sum()) for name, p in more.model.named_parameters() if "lora_E" in name) == 64
    with pytest.raises(ConfigError, match="can't prune in 0 steps"):
        load_adapter(folder, load_base(short_folder), trainable=True, total_steps=0)


def test_the_wrong_base(short_folder, tmp_path):
    folder = save_adapter(tmp_path / "a", trained(short_folder, "lora"), load_base(short_folder), CARD)
    whisper = read_whisper(short_folder)
    key = "model.decoder.layers.0.fc1.weight"
    other = tmp_path / "other"
    other.mkdir()
    changed = dict(whisper.state) | {key: whisper.state[key] * 2}
    write_transformers(type(whisper)(changed, whisper.config, whisper.generation, whisper.tokens), other, "float32")
    with pytest.raises(ModelError, match=r"a: was trained on another base .* than .*other \(weights") as error:
        load_adapter(folder, load_base(other))
    assert "\n" not in str(error.value)
    write_card(folder, ModelCard())
    assert load_adapter(folder, load_base(other))  # a card without a sum claims nothing
    path = folder / "adapter_model.safetensors"
    wide = {name: array.repeat(2, axis=0) for name, array in tensor_file.read_tensors(path).items()}
    path.unlink()
    tensor_file.write_tensors(path, wide)
    with pytest.raises(ModelError, match="does not fit the base"):
        load_adapter(folder, load_base(short_folder))


def test_no_adapter(short_folder, tmp_path):
    with pytest.raises(ModelError, match=r"holds no adapter \(adapter_config\.json\)"):
        load_adapter(tmp_path, load_base(short_folder))
    folder = save_adapter(tmp_path / "a", trained(short_folder, "lora"), load_base(short_folder), CARD)
    with pytest.raises(ModelError, match="was trained with lora, not with s2lora"):
        load_adapter(folder, load_base(short_folder), settings=MethodSettings("s2lora"))


def test_other_folders_are_not_replaced(short_folder, tmp_path):
    model, base = trained(short_folder, "lora"), load_base(short_folder)
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.txt").write_text("years of work")
    (tmp_path / "file").write_text("more work")
    for name in ("thesis", "file"):
        with pytest.raises(OutputError, match="holds something other than a model, which would be lost"):
            save_adapter(tmp_path / name, model, base, CARD)
        with pytest.raises(OutputError, match="holds something other"):
            merge(short_folder, tmp_path / name)
    assert (tmp_path / "thesis" / "chapter1.txt").exists()
    (tmp_path / "empty").mkdir()
    folder = save_adapter(tmp_path / "empty", model, base, CARD)
    assert save_adapter(folder, model, base, CARD) == folder
    assert not list(tmp_path.glob(".building*"))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_merged(short_folder, tmp_path, method, dtype):
    model = trained(short_folder, method)
    before = logits(model.model)
    save_adapter(tmp_path / "a", model, load_base(short_folder), CARD)
    out = merge(tmp_path / "a", tmp_path / "merged", dtype=dtype)
    theirs = WhisperForConditionalGeneration.from_pretrained(out, dtype=torch.float32).eval()
    assert (logits(theirs) - before).abs().max() < (1e-5 if dtype == "float32" else 1e-2)
    assert (logits(load_base(out).model) - before).abs().max() < (1e-5 if dtype == "float32" else 1e-2)
    card = read_card(out)
    assert card is not None
    assert card.method == method
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        processor = WhisperProcessor.from_pretrained(out)
    assert processor.feature_extractor.feature_size == 80
    assert processor.tokenizer.convert_tokens_to_ids("<|en|>") == read_whisper(out).tokens.ids["<|en|>"]
    assert resolve_model(out, offline=True, cache=tmp_path / "cache").card == card


@pytest.mark.parametrize("method", ADAPTERS)
def test_transcribe_takes_the_adapter_as_merged(short_folder, tmp_path, method):
    """What ``--model ADAPTER`` decodes with is what ``--model MERGED`` decodes with, to the last bit."""
    save_adapter(tmp_path / "a", trained(short_folder, method), load_base(short_folder), CARD)
    merge(tmp_path / "a", tmp_path / "merged", dtype="float16")
    cache = tmp_path / "cache"
    files = [resolve_model(tmp_path / name, offline=True, cache=cache).directory for name in ("a", "merged")]
    assert files[0] != files[1]
    assert (files[0] / "model.bin").read_bytes() == (files[1] / "model.bin").read_bytes()
