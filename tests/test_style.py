"""``--style``, ``--verbatim`` and ``--both``: which weights and prompt are taken, and what was meant."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from asrlsa import model_starter
from asrlsa.audio import SAMPLE_RATE, load
from asrlsa.cli import app
from asrlsa.config import TranscribeOptions
from asrlsa.conversion import adapters, ct2_file, tensor_file
from asrlsa.conversion.folders import read_whisper
from asrlsa.disfluency import code_utterance, fluent_text, read_main_tier
from asrlsa.errors import ConfigError, ModelError, UsageError
from asrlsa.model_card import ModelCard, write_card
from asrlsa.models import Model, cache_dir, resolve_model
from asrlsa.speech import style
from asrlsa.speech.prompts import style_prompt
from asrlsa.speech.style import described_style, find_model, language_notes, packaged_adapters, prompt_of
from asrlsa.transcription import transcribe_folder
from asrlsa.types import Word

ROOT = Path(__file__).resolve().parents[1]
SAMPLE = ROOT / "samples" / "sandwich.mp3"
KEY = "model.decoder.layers.0.fc1"
LARGEST = 5_000_000  # bytes of a packaged adapter

Judge = Callable[[str], Sequence[str]]


def options(**values: object) -> TranscribeOptions:
    return TranscribeOptions(**{"model": "tiny.en", "offline": True, "language": "en", **values})  # type: ignore[arg-type]


def faults(folder: Path) -> list[str]:
    """What a packaged adapter lacks."""
    found = packaged_adapters().get(folder.name)
    if found is None:
        return ["is no adapter"]
    card = found.card
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    wanted = {
        "base": card.base == folder.name,
        "base_sha256": bool(card.base_sha256),
        "verbatim": card.verbatim,
        "languages": bool(card.languages),
        "data with licences": any("licen" in name for name in card.data),
        "scores": bool(card.scores),
        "notes on its limits": "limit" in card.notes.lower(),
        "a size of a few MB": size <= LARGEST,
    }
    return [name for name, good in wanted.items() if not good]


# --- options ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"style": "clean"}, "style 'clean' is not possible: give verbatim, fluent"),
        ({"verbatim": 1.6}, "verbatim 1.6 is not possible: give 0 to 1.5"),
        ({"verbatim": -0.1}, "give 0 to 1.5"),
        ({"verbatim": 0.8, "style": "fluent"}, "leave it out for fluent"),
    ],
)
def test_options_that_make_no_sense(values, message):
    with pytest.raises(ConfigError, match=message):
        options(**values)


def test_the_stamp_knows_style_and_tier_and_the_defaults_leave_old_stamps_alone():
    plain = options().settings()
    assert not {"style", "verbatim", "both"} & set(json.loads(plain))
    assert len({plain, options(style="fluent").settings(), options(both=True).settings()}) == 3
    assert options(verbatim=0.5).settings() == plain  # the sum of the merged weights tells


def test_a_strength_is_passed_on_by_the_command(monkeypatch, tmp_path):
    seen: list[TranscribeOptions] = []

    def stop(chosen: TranscribeOptions, language: str | None) -> Model:
        seen.append(chosen)
        raise UsageError("enough")

    monkeypatch.setattr("asrlsa.transcription.find_model", stop)
    arguments = ["transcribe", str(SAMPLE), "-o", str(tmp_path), "--verbatim", "0.6", "--both", "--no-recommended"]
    CliRunner().invoke(app, arguments)
    assert (seen[0].style, seen[0].verbatim, seen[0].both) == ("verbatim", 0.6, True)


# --- weights and prompt -----------------------------------------------------------------------------------------------


def model(card: ModelCard | None = None, adapter: str = "") -> Model:
    return Model(Path("m"), "m", True, "cache", "0" * 64, card, adapter=adapter)


TRAINED = ModelCard(verbatim=True, languages=("en",))


@pytest.mark.parametrize(
    ("found", "values", "code", "prompt", "named"),
    [
        (model(), {}, "en", style_prompt("en"), "verbatim"),
        (model(), {}, "ja", None, "verbatim"),
        (model(), {"style": "fluent"}, "en", None, "none"),
        (model(), {"style": "fluent", "prompt": "So."}, "en", "So.", "own"),
        (model(), {"prompt": ""}, "en", None, "none"),
        (model(TRAINED), {}, "en", None, "none"),
        (model(TRAINED), {}, "es", None, "none"),
        (model(ModelCard(prompt="Well,", verbatim=True)), {}, "en", "Well,", "card"),
        (model(ModelCard(prompt="Well,")), {"style": "fluent"}, "en", "Well,", "card"),
        (model(TRAINED, "verbatim-m"), {}, "en", None, "none"),
        (model(TRAINED, "verbatim-m"), {}, "es", style_prompt("es"), "none"),
    ],
)
def test_the_prompt(found, values, code, prompt, named):
    chosen = options(**values)
    assert prompt_of(found, chosen)(code) == prompt
    words = described_style(found, chosen)
    assert words["style"] == chosen.style
    assert words["prompt"] == named
    assert words.get("adapter", "") == found.adapter


def test_a_language_that_the_adapter_does_not_know_is_said():
    adapted = model(TRAINED, "verbatim-m")
    assert "--language es" in language_notes(adapted, "es")[0]
    assert language_notes(adapted, "en") == language_notes(adapted, "") == language_notes(model(TRAINED), "es") == []


@pytest.fixture
def nothing_packaged(monkeypatch, tmp_path):
    monkeypatch.setattr(style, "PACKAGED", tmp_path / "none")


@pytest.mark.weights
def test_a_strength_without_an_adapter_is_an_error(nothing_packaged):
    assert find_model(options(), "en") == resolve_model("tiny.en", offline=True)
    with pytest.raises(UsageError, match=r"no verbatim adapter for tiny\.en .*leave --verbatim out"):
        find_model(options(verbatim=0.8), "en")


@pytest.mark.weights
def test_a_verbatim_model_of_the_user_can_not_be_fluent(tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    for path in resolve_model("tiny.en", offline=True).directory.iterdir():
        (folder / path.name).symlink_to(path)
    write_card(folder, ModelCard(verbatim=True))
    with pytest.raises(UsageError, match="trained to write disfluencies"):
        find_model(options(model=str(folder), style="fluent"), "en")


# --- the packaged adapter ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def adapter(tmp_path_factory) -> Path:
    """A folder of packaged adapters with one for tiny.en: a LoRA of rank 2 on one matrix."""
    if not model_starter.installed("tiny.en"):
        pytest.skip("needs pip install 'asrlsa[starter]'")
    home = tmp_path_factory.mktemp("packaged")
    folder = home / "tiny.en"
    folder.mkdir()
    whisper = read_whisper(resolve_model("tiny.en", offline=True).directory)
    rows, columns = whisper.state[f"{KEY}.weight"].shape
    draw = np.random.default_rng(2)
    name = f"base_model.model.{KEY}"
    arrays = {
        f"{name}.lora_A.weight": draw.normal(0, 0.05, (2, columns)).astype("<f4"),
        f"{name}.lora_B.weight": draw.normal(0, 0.005, (rows, 2)).astype("<f4"),
    }
    tensor_file.write_tensors(folder / adapters.WEIGHTS, arrays)
    (folder / adapters.CONFIG).write_text(json.dumps({"peft_type": "LORA", "lora_alpha": 2, "r": 2}))
    card = ModelCard(
        base="tiny.en",
        base_sha256=whisper.sha256,
        method="lora",
        style="verbatim",
        verbatim=True,
        strength=0.5,
        languages=("en",),
        data={"made up": "random numbers", "licences": "none"},
        scores={"filler_recall": 0.0},
        notes="Limits: it knows nothing.",
    )
    write_card(folder, card)
    return folder


@pytest.fixture
def packaged(adapter, monkeypatch, tmp_path) -> Path:
    """The adapter as packaged, and a cache of its own with the starter model in it."""
    whole = resolve_model("tiny.en", offline=True).directory
    cache = tmp_path / "cache"
    (cache / "models").mkdir(parents=True)
    (cache / "models" / whole.name).symlink_to(whole)
    monkeypatch.setattr(style, "PACKAGED", tmp_path / "packaged")
    monkeypatch.setenv("ASRLSA_CACHE", str(cache))
    return shutil.copytree(adapter, tmp_path / "packaged" / adapter.name)


def matrix(found: Model) -> np.ndarray:
    return ct2_file.read_arrays(found.directory / "model.bin")["decoder/layer_0/ffn/linear_0/weight"]


@pytest.mark.weights
def test_the_adapter_is_merged_once_with_the_strength_of_its_card(packaged):
    stock = find_model(options(style="fluent"), "en")
    assert stock == resolve_model("tiny.en", offline=True)
    found = find_model(options(), "en")
    a, b = tensor_file.read_tensors(packaged / adapters.WEIGHTS).values()
    old = matrix(stock).astype("f4")
    assert np.array_equal(matrix(found), (old + np.float32(0.5) * ((old + b @ a) - old)).astype("f2"))
    assert (found.name, found.source) == ("tiny.en", stock.source)
    assert found.fingerprint != stock.fingerprint
    assert found.adapter.startswith("verbatim-tiny.en (sha256 ")
    assert found.adapter.endswith(" at 0.5")
    made = (found.directory / "model.bin").stat().st_mtime_ns
    assert find_model(options(verbatim=0.5), "en") == found
    assert (found.directory / "model.bin").stat().st_mtime_ns == made
    assert find_model(options(verbatim=1.0), "en").fingerprint != found.fingerprint
    none = find_model(options(verbatim=0), "en")
    assert none.fingerprint != found.fingerprint
    assert np.array_equal(matrix(none), matrix(stock))


@pytest.mark.weights
def test_a_folder_of_the_user_and_another_language_get_no_adapter(packaged):
    stock = resolve_model("tiny.en", offline=True)
    assert find_model(options(model=str(stock.directory)), "en").fingerprint == stock.fingerprint
    with pytest.raises(UsageError, match="no verbatim adapter for"):
        find_model(options(model=str(stock.directory), verbatim=1.0), "en")
    assert find_model(options(), "es").fingerprint == stock.fingerprint
    with pytest.raises(UsageError, match=r"in the language es \(the one there is was trained on en"):
        find_model(options(verbatim=1.0), "es")
    assert find_model(options(), None).adapter  # English is what most likely comes


@pytest.mark.weights
def test_spoilt_weights_in_the_cache_are_made_again(packaged):
    found = find_model(options(), "en")
    weights = found.directory / "model.bin"
    data = bytearray(weights.read_bytes())
    data[len(data) // 2] ^= 255
    weights.write_bytes(bytes(data))
    assert find_model(options(), "en").fingerprint == found.fingerprint


@pytest.mark.weights
def test_an_adapter_of_another_base_is_one_line(packaged, tmp_path, monkeypatch):
    other = tmp_path / "other" / "tiny.en"
    other.mkdir(parents=True)
    for name in (adapters.CONFIG, adapters.WEIGHTS):
        (other / name).write_bytes((packaged / name).read_bytes())
    write_card(other, ModelCard(base="tiny.en", base_sha256="0" * 64))
    monkeypatch.setattr(style, "PACKAGED", other.parent)
    with pytest.raises(ModelError, match=r"another base .*--style fluent does without it") as error:
        find_model(options(), "en")
    assert "\n" not in str(error.value)


TWO_AT_ONCE = """
import sys
from pathlib import Path
from asrlsa.config import TranscribeOptions
from asrlsa.speech import style
style.PACKAGED = Path(sys.argv[1])
found = style.find_model(TranscribeOptions(model="tiny.en", offline=True), "en")
print(found.fingerprint, "torch" in sys.modules)
"""


@pytest.mark.weights
def test_two_processes_may_merge_at_once_and_neither_needs_torch(packaged):
    command = [sys.executable, "-c", TWO_AT_ONCE, str(packaged.parent)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) for _ in range(2)]
    said = [process.communicate(timeout=300)[0].split() for process in running]
    assert said[0] == said[1] == [find_model(options(), "en").fingerprint, "False"]
    assert [path.name for path in (cache_dir() / "converted").glob(".building*")] == []


@pytest.mark.weights
def test_models_shows_what_is_packaged(packaged):
    result = CliRunner().invoke(app, ["models", "--json"])
    rows = {row["name"]: row for row in json.loads(result.output)}
    assert rows["tiny.en"]["verbatim"]["strength"] == 0.5
    assert rows["tiny.en"]["verbatim"]["notes"] == "Limits: it knows nothing."
    assert all(row["verbatim"] is None for name, row in rows.items() if name != "tiny.en")
    assert "adapter" in CliRunner().invoke(app, ["models"]).output


@pytest.mark.weights
def test_a_packaged_adapter_must_say_what_it_is(packaged):
    assert faults(packaged) == []
    write_card(packaged, ModelCard(base="base"))
    lacking = faults(packaged)
    assert len(lacking) == 7
    assert "base_sha256" in lacking


def test_the_packaged_adapters_say_what_they_are():
    assert {name: faults(found.folder) for name, found in packaged_adapters().items() if faults(found.folder)} == {}


# --- what was meant ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("<the wind> [/] &-um the wind took it .", "the wind took it ."),
        ("it got &+s &+s stuck in a tree .", "it got stuck in a tree ."),
        ("<the boy> [//] the dog saw it (1.4) and he barked !", "the dog saw it and he barked !"),
        ("I gonna [: going to] (be)cause xxx &=laughs I [/] I like it ?", "I going to because xxx I like it ?"),
        ("xxx &-uh xxx he fell +...", "xxx he fell +..."),
        ("so [?] her dad +//.", "so her dad +//."),
        ("&-um .", ""),
        ("xxx .", ""),
        ("&+b &+b .", ""),
    ],
)
def test_a_main_tier_without_its_disfluencies(said, meant):
    assert fluent_text(said) == meant


SAID = ["I", "um", "the", "the-", "b-", "ball", "was", "um,", "going", "uh", "xxx", "and"]


@given(st.lists(st.sampled_from(SAID), min_size=1, max_size=14))
def test_nothing_but_disfluencies_is_left_out(texts):
    tier = code_utterance([Word(text) for text in texts], ".", language="eng").text
    meant = fluent_text(tier).split()
    assert [word for word in meant[:-1] if word != "xxx"] == list(read_main_tier(tier).clean)
    assert read_main_tier(fluent_text(tier)).clean == read_main_tier(tier).clean


@pytest.mark.weights
def test_one_run_writes_what_was_said_and_what_was_meant(packaged, tmp_path, judge: Judge):
    sound = load(SAMPLE)[: 10 * SAMPLE_RATE]
    recording = tmp_path / "talk.wav"
    soundfile.write(recording, sound, SAMPLE_RATE, subtype="PCM_16")
    transcript = tmp_path / "talk.cha"

    def run(**values: object) -> tuple[int, str]:
        outcome = transcribe_folder([recording], options=options(threads=1, align=False, **values))
        assert outcome.failed == ()
        return len(outcome.finished), transcript.read_text(encoding="utf-8")

    done, text = run(both=True)
    assert done == 1
    assert judge(text) == []
    lines = text.splitlines()
    tiers = [line.removeprefix("%xflu:\t") for line in lines if line.startswith("%xflu:\t")]
    mains = [line.split("\t")[1].split("\x15")[0].strip() for line in lines if line.startswith("*")]
    assert tiers == [meant for said in mains if (meant := fluent_text(said))]
    assert "&-" in "".join(mains)
    assert "&-" not in "".join(tiers)
    comment = next(line for line in lines if ", stamp " in line)
    assert "style verbatim, adapter verbatim-tiny.en (sha256 " in comment
    assert " at 0.5, prompt none" in comment
    assert run(both=True)[0] == 0
    assert run(both=True, verbatim=0.9)[0] == 1
    done, text = run(style="fluent")
    assert done == 1
    assert "style fluent, prompt none" in text
    assert "%xflu" not in text
