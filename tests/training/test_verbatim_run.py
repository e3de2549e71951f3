"""The recipe of the packaged adapters: what it joins, leaves out, chooses and packs."""

from __future__ import annotations

import importlib.util
import json
import sys
from contextlib import nullcontext
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("safetensors")

from safetensors.numpy import save_file

from asrlsa.conversion import adapters, tensor_file
from asrlsa.manifest import Row, read_rows, write_rows
from asrlsa.model_card import ModelCard, read_card, write_card
from asrlsa.speech.prompts import style_prompt

FOLDER = Path(__file__).resolve().parents[2] / "recipes" / "verbatim"


@pytest.fixture(scope="module")
def recipe() -> ModuleType:
    sys.path.insert(0, str(FOLDER))
    spec = importlib.util.spec_from_file_location("verbatim_run", FOLDER / "run.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """Two sources; the second utterance of the corpus is a hard negative, the third has a fragment."""
    for name in ("corpus", "spliced"):
        sound = tmp_path / name / "audio" / "eng00300.flac"
        texts = ["Um I ran.", "I ran.", "The b- ball fell.", "Yes."]
        rows = [Row(f"one-{i:02d}", sound, 1000 * i, 1000 * i + 900, text, joins=i > 0) for i, text in enumerate(texts)]
        for split in ("train", "dev"):
            write_rows(tmp_path / name / f"{split}.jsonl", rows if split == "train" else rows[:1])
    parts = tmp_path / "corpus" / "parts"
    parts.mkdir()
    kinds = ["talk", "fluent", "talk", "talk"]
    part = {"id": "one", "utterances": [{"kind": kind} for kind in kinds]}
    (parts / "one.json").write_text(json.dumps(part), encoding="utf-8")
    return tmp_path


def test_manifests_are_joined_and_no_name_is_there_twice(recipe: ModuleType, work: Path):
    recipe.join(work, work / "data")
    rows = list(read_rows(work / "data" / "train.jsonl"))
    assert [row.id for row in rows] == [f"{name}-one-{i:02d}" for name in ("corpus", "spliced") for i in range(4)]
    assert all(row.audio.is_absolute() for row in rows)
    assert [row.joins for row in rows[:4]] == [False, True, True, True]
    (work / "varied").symlink_to(work / "spliced")
    recipe.join(work, work / "data")
    assert list(read_rows(work / "data" / "train.jsonl")) == rows  # only where it is asked for
    recipe.join(work, work / "data", varied=True)
    names = [row.id for row in read_rows(work / "data" / "train.jsonl")]
    assert names == [row.id for row in rows] + [f"varied-one-{i:02d}" for i in range(4)]


@pytest.mark.parametrize(
    ("left_out", "gone"),
    [
        ("spliced", {"spliced-one-00", "spliced-one-01", "spliced-one-02", "spliced-one-03"}),
        ("negatives", {"corpus-one-01"}),
        ("corpus", {"corpus-one-00", "corpus-one-01", "corpus-one-02", "corpus-one-03"}),
    ],
)
def test_what_is_left_out_is_left_out_of_train_only(recipe: ModuleType, work: Path, left_out: str, gone: set[str]):
    recipe.join(work, work / "all")
    recipe.join(work, work / "less", left_out)
    before = {row.id for row in read_rows(work / "all" / "train.jsonl")}
    rows = list(read_rows(work / "less" / "train.jsonl"))
    assert before - {row.id for row in rows} == gone
    dev = [(work / name / "dev.jsonl").read_text(encoding="utf-8") for name in ("all", "less")]
    assert dev[0] == dev[1]


def test_a_third_of_the_utterances_with_a_fragment_stays(recipe: ModuleType, tmp_path: Path):
    sound = tmp_path / "meetings" / "one.flac"
    rows = [
        Row(f"{n:03d}", sound, 1000 * n, 1000 * n + 900, "The b- ball fell." if n % 2 else "It fell.", joins=n > 0)
        for n in range(600)
    ]
    write_rows(tmp_path / "meetings" / "train.jsonl", rows)
    recipe.join(tmp_path, tmp_path / "thin", thin=3)
    kept = list(read_rows(tmp_path / "thin" / "train.jsonl"))
    assert sum("- " not in row.text for row in kept) == 300
    assert 70 < sum("- " in row.text for row in kept) < 130


def test_the_sound_of_a_row_that_is_left_out_does_not_stay_in_a_window(recipe: ModuleType, work: Path):
    recipe.join(work, work / "less", "negatives")
    joins = {row.id: row.joins for row in read_rows(work / "less" / "train.jsonl")}
    assert joins["corpus-one-02"] is False
    assert joins["corpus-one-03"] is True


def test_a_round_learns_from_its_recordings_of_the_corpus_and_from_all_else(recipe: ModuleType, work: Path):
    for numbers, there in ((range(300), False), (range(300, 301), True)):
        recipe.join(work, work / "round", numbers=numbers)
        names = {row.id.partition("-")[0] for row in read_rows(work / "round" / "train.jsonl")}
        assert names == ({"corpus", "spliced"} if there else {"spliced"})


def test_no_two_rounds_write_to_the_same_folder_and_together_they_take_every_recording(recipe: ModuleType):
    for rounds in (*recipe.ROUNDS.values(), recipe.ELSEWHERE):
        assert len({one.name for one in rounds}) == len(rounds)
        assert rounds[-1].name == ""  # the others are not packed
        assert all(any(n in one.numbers for one in rounds) for n in range(2_000))


def calibration(run: Path, found: dict[float, tuple[int, int, int]]) -> None:
    results: list[dict[str, Any]] = [
        {"strength": None, "prompt": False, "disfluent": {"events": {"fillers": [0, 9, 0]}}}
    ]
    results += [
        {"strength": s, "prompt": False, "disfluent": {"events": {"fillers": list(c)}}} for s, c in found.items()
    ]
    run.mkdir(exist_ok=True)
    (run / "calibrate.json").write_text(json.dumps({"results": results}), encoding="utf-8")


def test_the_strength_with_the_best_f1_is_chosen_and_the_weaker_of_equals(recipe: ModuleType, tmp_path: Path):
    calibration(tmp_path / "run", {0.6: (8, 10, 9), 0.8: (9, 10, 10), 1.0: (9, 10, 10), 1.2: (9, 10, 20)})
    assert recipe.chosen_of(tmp_path / "run", None)[:2] == (0.8, False)
    assert recipe.chosen_of(tmp_path / "run", recipe.CHOSEN) == recipe.CHOSEN


def test_a_strength_that_spoils_fluent_clips_is_not_chosen(recipe: ModuleType, tmp_path: Path):
    calibration(tmp_path / "run", {0.6: (8, 10, 10), 1.0: (9, 10, 10)})
    path = tmp_path / "run" / "calibrate.json"
    found = json.loads(path.read_text(encoding="utf-8"))
    for result, wer in zip(found["results"], (4.0, 4.4, 5.0), strict=True):
        result["fluent"] = {"wer": {"value": wer}}
    path.write_text(json.dumps(found), encoding="utf-8")
    assert recipe.chosen_of(tmp_path / "run", None)[:2] == (0.6, False)
    for result in found["results"][1:]:
        result["fluent"]["wer"]["value"] = 9.0
    path.write_text(json.dumps(found), encoding="utf-8")
    with pytest.raises(SystemExit, match="no strength"):
        recipe.chosen_of(tmp_path / "run", None)


def test_an_adapter_is_packed_in_half_the_size_with_all_that_a_card_needs(recipe: ModuleType, tmp_path: Path):
    run = tmp_path / "run"
    (run / "adapter").mkdir(parents=True)
    weights = {"base_model.model.model.decoder.layers.0.fc1.lora_A.weight": np.full((64, 64), 0.1, np.float32)}
    save_file(weights, run / "adapter" / adapters.WEIGHTS)
    (run / "adapter" / adapters.CONFIG).write_text(json.dumps({"peft_type": "LORA"}), encoding="utf-8")
    card = ModelCard(base="base", base_sha256="0" * 64, method="lora", languages=("en",))
    write_card(run / "adapter", card)
    real = {"events": {"fillers": [8, 10, 16], "fragments": [0, 0, 3]}, "wer": {"value": 28.0}}
    recipe.rounded(run / "adapter")
    recipe.packed(run, {"groups": {"real": real}}, tmp_path / "home", recipe.Chosen(0.8, True), 3)
    made = read_card(tmp_path / "home")
    assert made is not None
    assert made.strength == 0.8
    assert made.prompt == style_prompt("en")
    assert made.verbatim
    assert made.scores == {"real_fillers_recall": 80.0, "real_fillers_precision": 50.0, "real_wer": 28.0}
    assert "Apache-2.0" in str(made.data["licences"])
    assert "limits" in made.notes.lower()
    [array] = tensor_file.read_tensors(tmp_path / "home" / adapters.WEIGHTS).values()
    assert array.dtype == np.float16
    assert np.allclose(array, 0.1, atol=1e-4)


def test_a_folder_of_an_older_version_is_not_taken_for_this_one(recipe: ModuleType, tmp_path: Path, monkeypatch):
    run = recipe.Run(SimpleNamespace(data=tmp_path, work=tmp_path, language="eng", set=[], threads=1))
    called: list[tuple[Any, ...]] = []
    monkeypatch.setattr(run, "_asrlsa", lambda *arguments: called.append(arguments))
    out = tmp_path / "base-lora"
    (out / "adapter").mkdir(parents=True)
    (out / "adapter" / "asrlsa.json").write_text("{}", encoding="utf-8")
    for name, stops in (("data-last", True), ("data-base", False)):
        (out / "recipe.toml").write_text(f'[data]\ntrain = "{tmp_path / name / "train.jsonl"}"\n', encoding="utf-8")
        with pytest.raises(SystemExit, match="move it away") if stops else nullcontext():
            run._finetune("base-lora", FOLDER / "lora.toml", tmp_path / "data-base", [])
    assert not called  # it is there
