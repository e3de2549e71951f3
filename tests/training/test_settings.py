"""Recipes: what is read, what is refused, and in which words."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("peft")

from asrlsa.errors import ConfigError
from asrlsa.training import settings as settings_module
from asrlsa.training.recipe import load_settings, to_toml
from asrlsa.training.settings import FinetuneSettings, TrainSettings


def write(folder: Path, text: str) -> Path:
    path = folder / "recipe.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_recipe_flags_and_set_in_their_order(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        '[model]\nbase = "tiny.en"\n[data]\ntrain = "d/train.jsonl"\nlayout = "isolated"\n'
        '[method]\nmethod = "lora"\nr = 4\n[train]\nsteps = 5\nlr = 1\nlog = ["jsonl"]\n',
    )
    found = load_settings(path, ["train.steps=7", "train.lr=2e-4", "method.r=none"], {"train": {"steps": 9}})
    assert (found.train.steps, found.train.lr, found.method.r) == (9, 2e-4, None)
    assert found.files.train == str(tmp_path / "d" / "train.jsonl")  # from the recipe's folder
    assert found.data.layout == "isolated"
    assert found.train.log == ("jsonl",)


def test_values_become_the_fields_types() -> None:
    found = load_settings(
        None,
        [
            "data.context_seconds=10,20,30",
            "method.targets=encoder,attention",
            "train.betas=0.9,0.99",
            "train.batch=auto",
            "train.gradient_checkpointing=true",
            "data.layout=variable",
            "model.base=1234",
        ],
    )
    assert found.data.context_seconds == (10.0, 20.0, 30.0)
    assert found.method.targets == ("encoder", "attention")
    assert found.train.betas == (0.9, 0.99)
    assert found.train.batch == "auto"
    assert found.train.gradient_checkpointing is True
    assert found.train.context == "dynamic"  # follows from the layout
    assert found.model.base == "1234"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("train.stepps=3", "did you mean 'steps'"),
        ("trian.steps=3", "did you mean 'train'"),
        ("train.timestamp_weight=2", "did you mean loss.timestamp_weight"),
        ("train.steps", "give table.key=value"),
        ("train.steps=many", "give a whole number"),
        ("train.steps=1.5", "give a whole number"),
        ("train.gradient_checkpointing=1", "give true or false"),
        ("train.batch=0", "auto or 1 to 4096"),
        ("train.best=wre", "did you mean 'wer'"),
        ("train.log=jsonl,tensorbord", "train.log 'tensorbord'"),
        ("train.betas=0.9", "give 2 values"),
        ("loss.kl=0.1", "loss.fluent is not"),
        ("data.timestamps=2", "data.timestamps 2.0"),
        ("model.attention=flash", "flash_attention_2"),
        ("model.model_parallel=cuda:0", "two devices"),
    ],
)
def test_refusals_are_one_line_that_helps(change: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings(None, [change])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[train\n", "is not valid TOML"),
        ("steps = 3\n", "stands outside a table"),
        ('[train]\nlayout = "packed"\n', "did you mean data.layout"),
    ],
)
def test_a_broken_recipe_names_its_file(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigError, match=re.escape(str(path))) as caught:
        load_settings(path)
    assert message in str(caught.value)


def test_settings_that_exclude_each_other() -> None:
    for changes in (
        ["train.context=dynamic", "data.layout=packed"],
        ["train.context=full", "data.layout=variable"],
        ["train.parts=decoder", "data.layout=variable"],
        ["train.fsdp=full_shard", "train.deepspeed=x.json"],
        ["model.model_parallel=auto", "train.fsdp=full_shard"],
    ):
        with pytest.raises(ConfigError):
            load_settings(None, changes)


def test_tables_give_back_what_was_read() -> None:
    found = load_settings(None, ["train.steps=3", "data.dev=/x/dev.jsonl", "method.method=bitfit"])
    tables = found.tables()
    assert tables["train"]["steps"] == 3
    assert tables["data"]["dev"] == "/x/dev.jsonl"
    assert load_settings(None, given=tables) == found


def test_a_recipe_is_written_as_it_is_read(tmp_path: Path) -> None:
    found = load_settings(
        None,
        [
            'data.dev=/x/d "q".jsonl',
            "train.lr=3e-7",
            "data.prompt=um, “uh”",
            "data.context_seconds=10,30",
            "method.r=none",
        ],
    )
    assert load_settings(write(tmp_path, to_toml(found))) == found


def test_paths_are_those_of_the_folder_that_the_command_is_given_in(tmp_path: Path, monkeypatch: Any) -> None:
    """Else the recipe in the run's folder would name other files, and the run could not be resumed."""
    monkeypatch.chdir(tmp_path)
    given = {"data": {"dev": "d/dev.jsonl"}, "model": {"base": "./mine"}}
    found = load_settings(None, ["data.train=d/train.jsonl", "model.adapter=run/adapter"], given)
    assert found.files.train == str(tmp_path / "d" / "train.jsonl")
    assert found.files.dev == str(tmp_path / "d" / "dev.jsonl")
    assert found.model.adapter == str(tmp_path / "run" / "adapter")
    assert found.model.base == str(tmp_path / "mine")
    assert load_settings(None, ["model.base=base", "data.dev=''"]).model.base == "base"
    (tmp_path / "run").mkdir()
    assert load_settings(write(tmp_path / "run", to_toml(found))) == found


def test_every_field_is_documented() -> None:
    source = Path(settings_module.__file__).read_text(encoding="utf-8")
    for kind in (TrainSettings, settings_module.ModelSettings, settings_module.LossSettings):
        for name in (f.name for f in dataclasses.fields(kind)):
            assert re.search(rf'^    {name}: [^\n]+\n    """', source, re.MULTILINE), name


def test_defaults_are_a_recipe() -> None:
    assert load_settings() == FinetuneSettings()
