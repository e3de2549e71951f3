"""A base model is loaded without loss, whatever form it is in."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from methods_data import batch, logits  # noqa: E402

from asrlsa.conversion import tensor_file  # noqa: E402
from asrlsa.conversion.folders import read_whisper, write_ctranslate2  # noqa: E402
from asrlsa.errors import ModelError  # noqa: E402
from asrlsa.training.base import load_base  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.*:FutureWarning")


def test_a_transformers_folder_is_loaded_as_transformers_loads_it(short_folder):
    from transformers import WhisperForConditionalGeneration

    base = load_base(short_folder)
    theirs = WhisperForConditionalGeneration.from_pretrained(short_folder, attn_implementation="sdpa").eval()
    mine, other = base.model.state_dict(), theirs.state_dict()
    assert mine.keys() == other.keys()
    assert all(torch.equal(mine[key], other[key]) for key in mine)
    assert torch.equal(logits(base.model), logits(theirs))
    assert base.model.generation_config.to_dict() == theirs.generation_config.to_dict()
    assert not base.model.training
    assert not base.model.config.use_cache
    assert base.directory == short_folder
    assert (base.directory / "preprocessor_config.json").exists()
    assert base.model.proj_out.weight is base.model.model.decoder.embed_tokens.weight


def test_both_formats_are_one_model(short_folder, tmp_path):
    write_ctranslate2(read_whisper(short_folder), tmp_path, "float32")
    one, other = load_base(short_folder), load_base(tmp_path)
    assert one.sha256 == other.sha256
    assert torch.equal(logits(one.model), logits(other.model))
    draft = one.model.generate(batch()["input_features"], language="en", max_new_tokens=5, do_sample=False)
    assert torch.equal(
        draft, other.model.generate(batch()["input_features"], language="en", max_new_tokens=5, do_sample=False)
    )


def test_a_model_in_parts(short_folder, tmp_path):
    shutil.copytree(short_folder, tmp_path / "m")
    (tmp_path / "m" / "model.safetensors").unlink()
    state = dict(read_whisper(short_folder).state)
    names = sorted(state)
    parts = {f"model-{i}-of-2.safetensors": names[i - 1 :: 2] for i in (1, 2)}
    for part, mine in parts.items():
        tensor_file.write_tensors(tmp_path / "m" / part, {name: state[name] for name in mine})
    index = {"weight_map": {name: part for part, mine in parts.items() for name in mine}}
    (tmp_path / "m" / tensor_file.INDEX).write_text(json.dumps(index))
    assert torch.equal(logits(load_base(tmp_path / "m").model), logits(load_base(short_folder).model))
    assert load_base(tmp_path / "m").sha256 == load_base(short_folder).sha256


def test_types(short_folder):
    model = load_base(short_folder, dtype=torch.bfloat16).model
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}
    assert model.dtype == torch.bfloat16


def test_what_can_not_be_loaded(short_folder, tmp_path):
    with pytest.raises(ModelError, match="no model is called 'tinny'"):
        load_base("tinny", offline=True)
    for name in ("config.json", "tokenizer.json"):
        shutil.copytree(short_folder, tmp_path / name)
        (tmp_path / name / name).unlink()
        with pytest.raises(ModelError, match=f"{name}: is missing"):
            load_base(tmp_path / name)
    shutil.copytree(short_folder, tmp_path / "wide")
    path = tmp_path / "wide" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"max_target_positions": 7}))
    with pytest.raises(ModelError, match=r"do not fit the model's config.json: model.decoder.embed_positions.weight"):
        load_base(tmp_path / "wide")
    path.write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(ModelError, match="is a bert model, not a Whisper model"):
        load_base(tmp_path / "wide")
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "pytorch_model.bin").write_bytes(b"")
    shutil.copy(short_folder / "config.json", tmp_path / "old")
    shutil.copy(short_folder / "tokenizer.json", tmp_path / "old")
    with pytest.raises(ModelError, match=r"has no model\.safetensors; load it in Python"):
        load_base(tmp_path / "old")


@pytest.mark.weights
@pytest.mark.parametrize("name", ["tiny.en", "base"])
def test_the_starter_models_compute_what_ctranslate2_computes(name):
    """The encoder's output and the log probabilities of a text agree between both engines, both in float32."""
    import ctranslate2

    from asrlsa import model_starter
    from asrlsa.training.vocabulary import Vocabulary

    if not model_starter.installed(name):
        pytest.skip("needs pip install 'asrlsa[starter]'")
    base = load_base(name, offline=True)
    assert sum(p.numel() for p in base.model.parameters()) == {"tiny.en": 37_760_256, "base": 72_593_920}[name]
    assert base.model.generation_config.is_multilingual is (name == "base")
    assert base.model.name_or_path == f"openai/whisper-{name}"
    engine = ctranslate2.models.Whisper(str(base.directory), compute_type="float32", inter_threads=1, intra_threads=1)
    sound = speech_features(base.directory)
    view = ctranslate2.StorageView.from_array(np.ascontiguousarray(sound.numpy()))
    vocabulary = Vocabulary.of(base.directory)
    start = [*vocabulary.start("en"), vocabulary.no_timestamps]
    states = np.array(engine.encode(view, to_cpu=True))
    (found,) = engine.generate(
        view, [start], beam_size=1, max_length=60, suppress_blank=False, suppress_tokens=[], return_logits_vocab=True
    )
    text = found.sequences_ids[0]
    theirs = np.stack([np.array(row) for row in found.logits[0]])[: len(text)]
    with torch.no_grad():
        encoded = base.model.model.encoder(sound).last_hidden_state
        out = base.model(input_features=sound, decoder_input_ids=torch.tensor([start + text])).logits
    mine = out[0, len(start) - 1 : -1].numpy()
    # Two float32 engines that add up in another order; both are as far from float64 as from one another.
    assert len(text) > 8
    assert np.array_equal(mine.argmax(-1), text)
    assert np.linalg.norm(encoded.numpy() - states) < 1e-5 * np.linalg.norm(states)
    assert np.linalg.norm(mine - theirs) < 1e-5 * np.linalg.norm(theirs)
    assert np.abs(mine - theirs).max() < 5e-3


def speech_features(directory):
    """Log-mel features (1, 80, 3000) of the first 30 s of a sample."""
    from pathlib import Path

    from transformers import WhisperFeatureExtractor

    from asrlsa.audio import load

    samples = load(Path(__file__).resolve().parents[2] / "samples" / "kite_story.flac")
    extractor = WhisperFeatureExtractor.from_pretrained(directory)
    return extractor(samples[: 30 * 16_000], sampling_rate=16_000, return_tensors="pt").input_features
