"""What a run leaves for people and for `asrlsa transcribe`: prompt, card, page, wording."""

# ruff: noqa: E402

from __future__ import annotations

import importlib.util
import json
import math
import re
import stat
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("peft")

import tiny_run
from hypothesis import given
from hypothesis import strategies as st

from asrlsa.config import TranscribeOptions
from asrlsa.finetune import finetune
from asrlsa.hearing import recognise_options
from asrlsa.model_card import read_card
from asrlsa.models import Model
from asrlsa.speech.prompts import style_prompt
from asrlsa.training import logs
from asrlsa.training.recipe import load_settings
from asrlsa.training.report import about_intervals, log_ticks, ticks
from asrlsa.training.results import Kept, card_of
from asrlsa.training.run import prepare
from asrlsa.training.targets import prompt_tokens

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tiny_run.make_data(tmp_path_factory.mktemp("data"), train=3, dev=1)
    rows = [json.loads(line) for line in (folder / "train.jsonl").read_text(encoding="utf-8").splitlines()]
    text = "".join(json.dumps({**row, "fluent": row["text"]}) + "\n" for row in rows)
    (folder / "train.jsonl").write_text(text, encoding="utf-8")
    return folder


def recipe(base: Path, data: Path, *changes: str) -> Any:
    names = {"model.base": base, "data.train": data / "train.jsonl"}
    more = [f"{key}={json.dumps(str(value))}" for key, value in names.items()]
    return load_settings(None, [*more, "train.batch=1", "train.steps=2", "train.log=jsonl", "method.r=4", *changes])


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        (["data.prompt_share=1"], style_prompt("en")),
        (["data.prompt_share=1", "data.prompt=um uh"], "um uh"),
        (["data.prompt_share=1", 'data.prompt=""'], None),
        (["data.prompt_share=0.5"], None),
        (["data.prompt_share=0"], None),
        (["data.target=fluent", "data.prompt_share=1"], None),
        (["data.target=fluent"], None),
    ],
)
def test_transcribe_puts_before_a_window_what_training_put_there(
    tiny_folder: Path, data: Path, changes: list[str], wanted: str | None
) -> None:
    ready = prepare(recipe(tiny_folder, data, "data.noise_only=0", *changes), lambda event: None)
    card = card_of(ready, Kept(1, None))
    model = Model(tiny_folder, "mine", True, "directory", "", card)
    found = recognise_options(model, TranscribeOptions(), SimpleNamespace(multilingual=True, device="cpu"))  # type: ignore[arg-type]
    assert found.prompt("en") == wanted
    dataset = ready.work.data.main
    start = prompt_tokens(wanted, dataset.vocabulary)
    if "data.prompt_share=0.5" not in changes:
        for window in range(len(dataset)):
            tokens = dataset[window]["inputs"].tolist()
            assert (tokens[0] == dataset.vocabulary.sot_prev) == bool(start)
            assert tokens[: len(start)] == start
    assert card.style == ("fluent" if "data.target=fluent" in changes else "verbatim")


@pytest.fixture(scope="module")
def run(tiny_folder: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run") / "mine"
    changes = ["method.method=s2lora", f"data.dev={json.dumps(str(data / 'dev.jsonl'))}", "train.eval_start=false"]
    finetune(recipe(tiny_folder, data, *changes), out, merge=True)
    return out


def test_every_folder_explains_itself(run: Path, tiny_folder: Path) -> None:
    for name, use in (("", "adapter"), ("adapter", "adapter"), ("merged", "merged")):
        text = (run / name / "README.md").read_text(encoding="utf-8")
        assert f"asrlsa transcribe recording.wav --model mine/{use}\n" in text
        assert text.startswith(f"# {tiny_folder.name}, fine-tuned with s2lora\n")
        assert "Learnt rank, encoder (at most 4):" in text
        assert "\n| | base | step" not in text
        assert re.search(r"\n\|  \| step \d+ \|\n\|-\|-\|\n\| verbatim WER \| [\d.]+ \|\n", text)
        assert "No intervals: they need two recordings or more." in text
        assert "1 windows" not in text
        assert "1 groups" not in text
    assert "ranks learnt by s2lora" in (run / "report.html").read_text(encoding="utf-8")
    assert read_card(run / "merged") == read_card(run / "adapter")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such permissions")
def test_others_may_read_the_weights(run: Path) -> None:
    for name in ("adapter/adapter_model.safetensors", "adapter/lora/adapter_model.safetensors", "merged/config.json"):
        assert stat.S_IMODE((run / name).stat().st_mode) & 0o044 == 0o044, name


def test_rows_that_are_not_used_are_told_at_once() -> None:
    event = {
        **{"base": "tiny", "method": "lora", "trainable": 1, "parameters": 2, "train": "packed: 1 utterance"},
        **{"windows_per_step": 1.0, "speech_per_step": 1.0, "padded_per_step": 30.0, "padding_share": 0.5},
        **{"steps": 1, "epochs": 1.0, "device": "cpu", "left_out": ["1 row not used: too long (such as x-1)"]},
    }
    assert "too long (such as x-1)" in "\n".join(logs.describe_start(event))


def test_wandb_is_told_numbers_and_settings_only(tmp_path: Path, monkeypatch: Any) -> None:
    told: list[Any] = []

    class Run(SimpleNamespace):
        def log(self, values: Any) -> None:
            told.append(values)

        def define_metric(self, *names: str, **more: str) -> None: ...

        def finish(self) -> None:
            told.append("finished")

    def init(**given: Any) -> Run:
        told.append(given)
        return Run()

    fake = SimpleNamespace(init=init, Settings=lambda **given: given, __spec__=True)
    monkeypatch.setitem(sys.modules, "wandb", fake)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: fake)
    private = ["data.train=/secret/a.jsonl", "data.speakers=secret", "data.prompt=secret um", "model.base=/secret/base"]
    tables = load_settings(None, [*private, "train.lr=3e-4"]).tables()
    for until in (None, 1):
        [log] = logs.open_logs(["wandb"], tmp_path, until=until, recipe=tables)
        for event in (
            {"event": "step", "step": 1, "loss": 2.5, "note": "secret"},
            {"event": "eval", "step": 1, "wer": 30.0, "best": True},
            {"event": "note", "text": "secret"},
        ):
            log.write(event)
        log.close()
    first, second = told[0], told[4]
    assert first["id"] == second["id"] != ""
    assert first["config"]["train.lr"] == 3e-4
    assert first["settings"]["console"] == "off"
    assert told[1:3] == [{"step": 1, "train/loss": 2.5}, {"step": 1, "dev/wer": 30.0, "dev/best": True}]
    assert "secret" not in str({**first, "dir": ""})


def test_numbers_with_their_nouns() -> None:
    assert [logs.counted(n, "window") for n in (0, 1, 2, 1000)] == [
        "0 windows",
        "1 window",
        "2 windows",
        "1,000 windows",
    ]
    assert [logs.hours(s) for s in (0, 59, 60, 3599, 5400)] == ["0 s", "59 s", "1.0 min", "60.0 min", "1.50 h"]
    assert "12 groups" in about_intervals(12)


@given(low=st.floats(-1e6, 1e6), width=st.floats(0, 1e6))
def test_ticks_span_the_values(low: float, width: float) -> None:
    found = ticks(low, low + width)
    assert 2 <= len(found) <= 8
    assert found == sorted(found)
    slack = 1e-6 * (found[-1] - found[0])
    assert found[0] <= low + slack
    assert found[-1] >= low + width - slack


@given(low=st.floats(-9, 6), width=st.floats(0, 9))
def test_log_ticks_span_the_values(low: float, width: float) -> None:
    found = log_ticks(low, low + width)
    assert 2 <= len(found) <= 15
    assert found[0] <= low + 1e-6
    assert found[-1] >= low + width - 1e-6
    assert all(f"{10**v:.3e}"[0] in "125" for v in found)


def test_ticks_are_round() -> None:
    assert ticks(4.23, 8.45) == [4, 5, 6, 7, 8, 9]
    assert [round(10**v, 9) for v in log_ticks(math.log10(0.3), math.log10(1.8))] == [0.2, 0.5, 1, 2]
