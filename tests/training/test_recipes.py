"""Every recipe loads, starts on a tiny random Whisper, and says how it is used; results fit their tables."""

# ruff: noqa: E402

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("peft")

import tiny_run

from asrlsa.finetune import finetune
from asrlsa.training.methods import attach
from asrlsa.training.recipe import load_settings

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning"),
    pytest.mark.usefixtures("quiet_machine"),
]

RECIPES = Path(__file__).resolve().parents[2] / "recipes"
TOMLS = sorted(RECIPES.glob("*/*.toml"))
WANTED = {
    "quickstart",
    "verbatim",
    "child-speech",
    "chat-corpus",
    "large-lora-gpu",
    "large-two-gpus",
    "multi-node",
    "scaling",
    "optimise",
}
# What a test machine has instead of GPUs, and less of everything.
SMALL = (
    "train.steps=2",
    "train.eval_every=2",
    "train.eval_batch=1",
    "train.batch=1",
    "train.accumulation=1",
    "train.threads=1",
    "train.workers=0",
    "train.log=jsonl",
    "train.fsdp=''",
    "train.precision=float32",
    "train.device=cpu",
    "model.dtype=float32",
    "method.init_r=4",
    "method.target_r=2",
    "method.delta_t=1",
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_run.make_data(tmp_path_factory.mktemp("data"), train=6, dev=2)


def load(folder: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"recipe_{folder.replace('-', '_')}", RECIPES / folder / "run.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_all_recipes_are_here():
    assert {path.parent.name for path in TOMLS} >= WANTED


@pytest.mark.parametrize("path", TOMLS, ids=lambda p: p.stem)
def test_a_recipe_loads(path: Path):
    settings = load_settings(path)
    assert settings.train.steps > 0 or settings.train.epochs > 0


@pytest.mark.parametrize("path", TOMLS, ids=lambda p: p.stem)
def test_a_header_has_the_commands_and_the_scores(path: Path):
    header = "".join(line for line in path.read_text(encoding="utf-8").splitlines(True) if line.startswith("#"))
    assert "asrlsa prepare" in header or "run.py" in header
    assert f"recipes/{path.parent.name}/{path.name}" in header or f"recipes/{path.parent.name}/run.py" in header
    assert re.search("expected|not run", header, re.IGNORECASE), "no word on the scores to expect"
    if re.search(r"\d %", header):
        assert "virtual machine" in header, "scores without the machine"


def test_headers_fit_a_terminal_and_every_recipe_is_in_the_list():
    index = (RECIPES / "README.md").read_text(encoding="utf-8")
    for path in [*TOMLS, *RECIPES.glob("*/*.sh")]:
        assert max(map(len, path.read_text(encoding="utf-8").splitlines())) <= 120, path
        assert f"]({path.parent.name}/" in index, path
    for target in re.findall(r"\]\(([^)]+)\)", index):
        assert (RECIPES / target).exists(), target


@pytest.mark.parametrize("path", TOMLS, ids=lambda p: p.stem)
def test_a_recipe_starts(path: Path, tiny_folder: Path, data: Path, tmp_path: Path):
    changes = [*SMALL, f"model.base={json.dumps(str(tiny_folder))}"]
    changes += [
        f"data.{part}={json.dumps(str(data / part))}.jsonl".replace('".jsonl', '.jsonl"') for part in ("train", "dev")
    ]
    if load_settings(path).model.model_parallel:
        changes.append("model.model_parallel='cpu,cpu'")
    if load_settings(path).distil.decoder_layers:
        changes.append("distil.decoder_layers=1")
    found = finetune(load_settings(path, changes), tmp_path / "out")
    assert found.steps == 2
    assert found.adapter is not None
    assert found.adapter.is_dir()
    assert found.loss is not None
    assert np.isfinite(found.loss)


def test_the_methods_of_child_speech_differ_in_nothing_but_the_method():
    tables = {}
    for path in sorted((RECIPES / "child-speech").glob("*.toml")):
        settings = load_settings(path).tables()
        assert settings["method"]["method"] == path.stem
        settings.pop("method")
        settings["train"].pop("lr")  # each method has its own
        tables[path.stem] = settings
    assert len(tables) == 5
    assert all(values == tables["lora"] for values in tables.values())


def test_child_speech_results_hold_what_the_table_says():
    module = load("child-speech")
    files = sorted(module.RESULTS.glob("*.json"))
    assert files, "no results"
    for file in files:
        run = json.loads(file.read_text(encoding="utf-8"))
        for part in run["test"].values():
            errors = sum(speaker["verbatim.errors"] for speaker in part["speakers"].values())
            words = sum(speaker["verbatim.words"] for speaker in part["speakers"].values())
            assert part["wer"] == pytest.approx(100 * errors / words, abs=0.01)
            assert part["interval"][0] <= part["wer"] <= part["interval"][1]
    assert (module.RESULTS / "table.md").read_text(encoding="utf-8") == module.table(module.RESULTS)


@pytest.mark.parametrize("method", ["bitfit", "lora", "adalora", "s2lora", "full"])
def test_child_speech_counts_parameters_as_the_recipe_has_them(method: str):
    """The results' parameter counts are those of Whisper tiny.en with the recipe of today, not of an older one."""
    file = RECIPES / "child-speech" / "results" / f"{method}.json"
    if not file.exists():
        pytest.skip(f"{method} has no result")
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    sizes = {"encoder_layers": 4, "decoder_layers": 4, "encoder_attention_heads": 6, "decoder_attention_heads": 6}
    config = WhisperConfig(
        vocab_size=51864, d_model=384, encoder_ffn_dim=1536, decoder_ffn_dim=1536, pad_token_id=50256, **sizes
    )
    model = WhisperForConditionalGeneration(config)
    settings = load_settings(RECIPES / "child-speech" / f"{method}.toml")
    assert attach(model, settings.method, 40).trainable == json.loads(file.read_text(encoding="utf-8"))["trainable"]


def test_scaling_finds_a_law_that_holds():
    module = load("scaling")
    runs: list[dict[str, Any]] = [
        {
            "size": str(n),
            "parameters": n,
            "hours": h,
            "wer": 900 * n**-0.3 * h**-0.1,
            "interval": None,
            "base_wer": 50.0,
        }
        for n in (38_000_000, 74_000_000)
        for h in (0.1, 0.2, 0.4)
    ]
    curve = module.fit(runs)
    assert curve is not None
    assert curve["alpha"] == pytest.approx(0.3, abs=1e-6)
    assert curve["beta"] == pytest.approx(0.1, abs=1e-6)
    assert module.predict(curve, 244e6, 1.0) == pytest.approx(900 * 244e6**-0.3, rel=1e-6)
    assert "twice the hours by 7 %" in module.table(runs, curve)
    assert module.svg(runs, curve).count("<circle") == 6
    assert module.fit(runs[:2]) is None


def test_scaling_runs(tiny_folder: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    module = load("scaling")
    monkeypatch.setattr(module, "RESULTS", tmp_path / "results")
    changes = [change for change in SMALL if not change.startswith("method.")]
    module.one_run(str(tiny_folder), 0.001, data, tmp_path / "run", RECIPES / "scaling" / "scaling.toml", 0, changes)
    [result] = (tmp_path / "results").glob("*.json")
    run = json.loads(result.read_text(encoding="utf-8"))
    assert run["steps"] == 2
    assert 0.001 <= run["hours"] < 0.003, "whole speakers until the hours are reached, and no more"
    assert run["wer"] is not None


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_the_slurm_script_is_sound(tmp_path: Path):
    """It starts torchrun once a machine, and goes on with a run that is there."""
    tools = tmp_path / "bin"
    tools.mkdir()
    for name, text in (("scontrol", "echo node1; echo node2"), ("srun", 'echo "$@"')):
        (tools / name).write_text(f"#!/bin/bash\n{text}\n", encoding="utf-8")
        (tools / name).chmod(0o755)
    script = RECIPES / "multi-node" / "slurm.sh"
    values = {"SLURM_SUBMIT_DIR": "/sub", "SLURM_JOB_NODELIST": "node[1-2]", "SLURM_NNODES": "2", "SLURM_JOB_ID": "7"}
    environment = {"PATH": f"{tools}:/usr/bin:/bin", **values, "SLURM_GPUS_ON_NODE": "8"}

    def run() -> str:
        command = ["bash", str(script), "data", str(tmp_path / "run"), "--set", "train.seed=3"]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout

    first = run()
    assert first.startswith("torchrun --nnodes=2 --nproc-per-node=8 --rdzv-id=7")
    assert "--rdzv-endpoint=node1:29500 -m asrlsa finetune /sub/recipes/multi-node/multi-node.toml" in first
    assert first.strip().endswith("--set train.seed=3")
    assert "--resume" not in first
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "recipe.toml").touch()
    assert "--resume" in run()
