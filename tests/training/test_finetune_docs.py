"""docs/finetune.md says what the code does: every key, the plan, the example, the messages."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("peft")

from asrlsa.training import logs, recipe
from asrlsa.training.dataset import PackingSummary

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "finetune.md"
TEXT = PAGE.read_text(encoding="utf-8")


def block(language: str) -> str:
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)[0]


def test_every_key_is_there_as_the_settings_have_it() -> None:
    made = runpy.run_path(str(ROOT / "docs" / "make_finetune.py"))
    assert made["page"](TEXT) == TEXT, "run docs/make_finetune.py, and commit docs/finetune.md"
    for name, values in recipe.load_settings().tables().items():
        section = TEXT.split(f"### `[{name}]`\n")[1].split("\n### ")[0]
        assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == list(values)
    assert "``" not in TEXT.split("## Every key")[1]


def test_the_example_is_a_recipe(tmp_path: Path) -> None:
    (tmp_path / "my.toml").write_text(block("toml"), encoding="utf-8")
    found = recipe.load_settings(tmp_path / "my.toml")
    assert found.method.method == "s2lora"
    assert found.files.train == str(tmp_path / "data" / "train.jsonl")


def test_the_plan_is_shown_so() -> None:
    summary = PackingSummary(
        layout="packed",
        windows=6,
        silent=0,
        rows=47,
        speech_seconds=124.68,
        audio_seconds=154.7,
        padded_seconds=180.0,
        left_out={},
        examples={},
        tokens=0,
    )
    event = {
        **{"base": "tiny.en", "method": "lora", "trainable": 319_488, "parameters": 38_079_744, "steps": 30},
        **{"train": summary.describe(), "epochs": 10.0, "device": "cpu", "padding_share": 0.140667},
        **{"windows_per_step": 2.0, "speech_per_step": 41.56, "padded_per_step": 60.0},
        "dev": "7 utterances, 17 s of speech, in 1 window, 1 group of recordings",
    }
    assert "\n".join(logs.describe_start(event)) + "\n" == block("text")


def test_the_messages_are_those_of_the_code() -> None:
    source = "".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "asrlsa").rglob("*.py")))
    source = re.sub(r'"\s*f?"', "", source)  # texts that stand in several lines
    table = TEXT.split("## When it does not work")[1].split("\n\n")[1]
    rows = re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
    assert len(rows) >= 12
    for quoted in re.findall("`([^`]+)`", "".join(rows)):
        for piece in re.split(r"\.\.\.|\bN\b|'es'|(?<=be used): |[\d.]+ s |(?<=gradient is) (?=not)", quoted):
            assert piece.strip(" ,:") in source, quoted
