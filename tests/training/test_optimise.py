"""The optimisation study: windows, engines on a tiny random Whisper, and tables that follow from the results."""

# ruff: noqa: E402

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("peft")

import tiny_run

from asrlsa.training.base import load_base
from asrlsa.training.distil import student_of
from asrlsa.training.pruning import save_pruned

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def study() -> ModuleType:
    import sys

    spec = importlib.util.spec_from_file_location("optimise_run", ROOT / "recipes" / "optimise" / "run.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["optimise_run"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ASRLSA_CACHE", str(tmp_path / "cache"))
    data = tiny_run.make_data(tmp_path / "set", train=3, dev=1, seconds=2.0)
    rows = [json.loads(line) for line in (data / "train.jsonl").read_text(encoding="utf-8").splitlines()]
    times = [(0.0, 0.9, "one"), (0.5, 1.0, "two"), (1.2, 1.9, "three")]
    one = [{**rows[0], "id": str(k), "start": a, "end": b, "text": t} for k, (a, b, t) in enumerate(times)]
    text = "\n".join(json.dumps(row) for row in (*one, *rows[1:]))
    (data / "manifest.jsonl").write_text(text + "\n", encoding="utf-8")
    return data


def test_windows_keep_what_overlaps_together(study: ModuleType, folder: Path) -> None:
    made = list(study.windows([folder], 0.8))
    assert [(name, text) for name, text, _ in made[:2]] == [("set-train0", "one two"), ("set-train0", "three")]
    assert [round(len(sound) / study.RATE, 2) for _, _, sound in made[:2]] == [1.2, 1.0]
    assert len(list(study.windows([folder], 29.0))) == 3


@pytest.mark.parametrize("name", ["float32", "context-own", "batch-2", "torch", "eager", "winograd"])
def test_every_engine_answers(study: ModuleType, folder: Path, tiny_folder: Path, name: str) -> None:
    sounds = [sound for _, _, sound in study.windows([folder], 29.0)]
    engine = study.Engine(study.ROWS[name], tiny_folder, Path(), sounds, torch.get_num_threads(), "cpu")
    texts = engine.run([0, 1, 2])
    assert len(texts) == 3
    assert texts[1] == engine.run([1])[0]


def test_winograd_and_sdpa_write_the_same(study: ModuleType, folder: Path, tiny_folder: Path) -> None:
    sounds = [sound for _, _, sound in study.windows([folder], 29.0)][:1]
    found = {
        name: study.Engine(study.ROWS[name], tiny_folder, Path(), sounds, torch.get_num_threads(), "cpu").run([0])
        for name in ("torch", "eager", "winograd")
    }
    assert found["torch"] == found["eager"] == found["winograd"]


def test_a_draft_changes_no_text(study: ModuleType, folder: Path, tiny_folder: Path, tmp_path: Path) -> None:
    base = load_base(tiny_folder)
    student: Any = student_of(base, 1, share_encoder=True)
    draft = save_pruned(student.model, tiny_folder, tmp_path / "draft")
    config = json.loads((draft / "config.json").read_text(encoding="utf-8"))
    (draft / "config.json").write_text(json.dumps({**config, "decoder_layers": 1}), encoding="utf-8")
    sounds = [sound for _, _, sound in study.windows([folder], 29.0)][:1]
    found = []
    for name in ("generate", "speculative"):
        engine = study.Engine(study.ROWS[name], tiny_folder, draft, sounds, torch.get_num_threads(), "cpu")
        engine.model.config.max_target_positions = 24  # a random model never ends
        found.append(engine.run([0]))
    assert found[0] == found[1]


def result(study: ModuleType, name: str, errors: int, seconds: float) -> dict[str, Any]:
    sums = {"verbatim.errors": errors, "verbatim.words": 50, "cer.errors": errors, "cer.words": 200}
    baseline = study.ROWS[name].baseline
    return {
        "row": name,
        "what": study.ROWS[name].what,
        "baseline": baseline,
        "model": "tiny.en",
        "device": "cpu",
        "machine": "a machine, 1 thread",
        "data": ["set"],
        "minutes": 1.0,
        "windows": 7,
        "loops": 2,
        "time": "CPU time",
        "speed": None if baseline == name else round(2 / seconds, 3),
        "peak_mb": 300.4,
        "disk_mb": 41.0,
        "note": "",
        "wer": 2.0 * errors,
        "cer": 0.5 * errors,
        "disfluency_f1": None,
        "files": {f"{k}.txt": dict(sums) for k in "ab"},
    }


def test_the_table_has_what_was_run_and_names_the_rest(study: ModuleType, tmp_path: Path) -> None:
    for name, errors, seconds in (("float32", 5, 2.0), ("int8", 6, 0.5), ("eager", 5, 4.0)):
        (tmp_path / f"tiny.en-cpu-{name}.json").write_text(json.dumps(result(study, name, errors, seconds)))
    text = study.table(tmp_path)
    [int8] = [line for line in text.splitlines() if line.startswith("| int8 ")]
    assert int8.startswith("| int8 | float32 | 4.00 | 300 | 41.0 | 12.0 | +2.0 (+2.0 to +2.0) | 3.0 | +0.5 (")
    assert int8.endswith("| 2 of 7 |")
    assert "| float32 |  | 1 |" in text
    assert "baseline not run" in next(line for line in text.splitlines() if line.startswith("| eager "))
    left = next(line for line in text.splitlines() if line.startswith("Not run: "))
    assert "flash (needs cuda)" in left
    assert "winograd" in left
    assert "int8" not in left
    assert "| winograd |" not in text


@pytest.mark.parametrize(
    ("text", "loops"),
    [
        ("so uh uh uh uh uh uh uh uh uh", True),
        ("d- d- d- d- d- d- d- d- d-", True),
        ("in a in a in a in a in a in a in a in a sort", True),
        ("no no no no no no no", False),
        ("and and the and and the", False),
    ],
)
def test_a_loop_is_a_piece_that_is_written_eight_times(study: ModuleType, text: str, loops: bool) -> None:
    assert (study.LOOP.search(text) is not None) is loops


def test_every_row_has_a_baseline_that_is_one(study: ModuleType) -> None:
    for name, row in study.ROWS.items():
        base = study.ROWS[row.baseline]
        assert base.baseline == row.baseline, name
        assert (base.engine, base.window) == (row.engine, row.window), name


def test_the_page_holds_the_table_of_the_results(study: ModuleType) -> None:
    page = (ROOT / "docs" / "optimise.md").read_text(encoding="utf-8")
    shown = page.split(study.BEGIN)[1].split(study.END)[0].strip()
    assert shown == f"{study.stem_table()}\n{study.table(study.RESULTS)}".strip()
