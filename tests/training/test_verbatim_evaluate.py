"""``recipes/verbatim/evaluate.py``: sets, counts, resuming, tables and lists, with transcripts that are given."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import soundfile

from asrlsa.config import TranscribeOptions
from asrlsa.conversion import adapters
from asrlsa.model_card import ModelCard, read_card, write_card
from asrlsa.scoring.samples import PlacedEvent, Sample, ScoredWord
from asrlsa.transcription import Outcome

RECIPES = Path(__file__).resolve().parents[2] / "recipes" / "verbatim"
SAID = {
    "meeting": "so um the the dog uh ran to the b- ball",
    "second": "he he went home",
    "prompt": "we call it bear",
    "gold": "so &-um <the boy> [//] the dog ran .",
    "held": "the the cat sat .",
}
# What a fake recogniser writes, by the stem of the recording; with a prompt it writes what was said.
HEARD = {
    "real-ami-meeting": "so um the dog ran to the the b- ball",
    "real-ami-second": "he went uh home",
    "fluent-ljspeech-prompt": "we uh call it bear",
}
Run = Callable[..., str]


def loaded(name: str) -> ModuleType:
    before = list(sys.path)
    spec = importlib.util.spec_from_file_location(f"verbatim_{name}", RECIPES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    sys.path[:] = before
    return module


@pytest.fixture(scope="module")
def recipe() -> ModuleType:
    return loaded("evaluate")


@pytest.fixture
def sums(recipe: ModuleType) -> ModuleType:
    return sys.modules["measuring"]


def manifest(folder: Path, rows: Sequence[dict[str, Any]]) -> None:
    folder.mkdir(parents=True)
    for row in rows:
        path = folder / row["audio"]
        path.parent.mkdir(exist_ok=True)
        soundfile.write(path, np.zeros(16000, np.float32), 16000)
    lines = [json.dumps({"start": 0.5, "end": 3, "speaker": "a", **row}) for row in rows]
    (folder / "manifest.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    data = tmp_path / "data"
    ami = [{"audio": f"{n}.wav", "text_verbatim": SAID[n], "chat": "wrong ."} for n in ("meeting", "second")]
    manifest(data / "ami", ami)
    manifest(data / "ljspeech", [{"audio": "prompt.wav", "text_verbatim": SAID["prompt"]}])
    rows = [{"audio": f"audio/{n}.wav", "chat": SAID[n], "split": s} for n, s in (("gold", "test"), ("held", "dev"))]
    manifest(tmp_path / "corpus", rows)
    return data


class Recogniser:
    """Stands for ``transcribe_folder``."""

    def __init__(self, write: Callable[..., str]) -> None:
        self.calls: list[tuple[str, str, list[str]]] = []
        self.write = write

    def __call__(
        self, paths: Sequence[Path], *, out: Path, options: TranscribeOptions, overwrite: bool = False
    ) -> Outcome:
        names = []
        for link in sorted(p for path in paths for p in (path.rglob("*") if path.is_dir() else [path]) if p.is_file()):
            output = out / (link.relative_to(paths[0]) if paths[0].is_dir() else Path(link.name)).with_suffix(".cha")
            output.parent.mkdir(parents=True, exist_ok=True)
            stem = link.stem.rpartition("-")[2]
            said = {"text_verbatim": SAID[stem]} if stem not in ("gold", "held") else {"chat": SAID[stem]}
            heard = HEARD.get(f"{paths[0].name}-{link.stem}")
            if heard is not None and not options.prompt:
                said = {"text_verbatim": heard}
            output.write_text(self.write(link.stem, [{"start": 0.5, "end": 3, **said}]), encoding="utf-8")
            names.append(link.stem)
        self.calls.append((str(options.model), options.prompt or "", names))
        return Outcome((), (), ())


@pytest.fixture
def recogniser(recipe: ModuleType, sums: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recogniser:
    base = tmp_path / "base"
    base.mkdir()
    (base / "model.bin").write_bytes(b"weights")
    monkeypatch.setattr(recipe, "find_folder", lambda name, offline: base)
    monkeypatch.setattr(recipe, "converted", lambda adapter, base, cache, strength: adapter / f"merged-{strength}")
    fake = Recogniser(sums.reference)
    monkeypatch.setattr(sums, "transcribe_folder", fake)
    return fake


@pytest.fixture
def run(
    recipe: ModuleType, recogniser: Recogniser, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Run:
    def run(*given: str) -> str:
        recipe.main([str(data), "-o", str(tmp_path / "results"), "--samples", str(tmp_path), *given])
        return capsys.readouterr().out

    return run


def results(tmp_path: Path, label: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((tmp_path / "results" / f"{label}.json").read_text(encoding="utf-8"))
    return found


def test_counts_of_a_group_and_its_sets(run, tmp_path, capsys):
    run("--groups", "real,fluent", "stock=tiny.en")
    real = results(tmp_path, "stock")["groups"]["real"]
    # Matched, said, written: um kept, uh of the meeting lost, uh of the other made up; no repetition at its place.
    assert real["events"]["fillers"] == [1, 2, 2]
    assert real["events"]["repetitions"] == [0, 2, 1]
    assert real["events"]["fragments"] == [1, 1, 1]
    assert real["events"]["retracings"] == [0, 0, 0]
    assert real["recordings"] == {"ami": 2}
    assert real["words"] == 15
    assert real["wer"]["value"] == pytest.approx(100 * 5 / 15)
    assert real["wer"]["interval"][0] <= real["wer"]["value"] <= real["wer"]["interval"][1]
    assert real["sets"]["ami"]["events"] == real["events"]
    assert str(tmp_path) not in (tmp_path / "results" / "stock.json").read_text(encoding="utf-8")


def test_times_of_words_are_shown(recipe):
    texts = ["a", "b", "um", "c", "d", "e", "f"]
    words = [ScoredWord(w, w, "word", w, "A", 0, 900 + 10 * n, 905) for n, w in enumerate(texts)]
    sample = Sample("x", tuple(words))
    assert recipe.described(sample, PlacedEvent("filled_pause", 2, 3)) == "0.92 s  a b [um] c d e"


def test_a_recording_in_two_sets_is_refused(run, tmp_path, data, recogniser, monkeypatch, sums):
    monkeypatch.setattr(sums, "transcribe_folder", lambda paths, *, out, **rest: Outcome((), (), ()))
    with pytest.raises(SystemExit, match="meeting was not transcribed"):
        run("--groups", "real", "stock=base")


def test_what_is_absent_is_said(run, recipe, data, tmp_path, capsys):
    recipe.main([str(data), "-o", str(tmp_path / "r"), "--samples", str(tmp_path), "stock=base"])
    said = capsys.readouterr().err
    for part in ("phone", "mfa_disfluency", "adult_read", "synthetic: corpus needs --corpus", "dev: no recording"):
        assert part in said
    assert list(json.loads((tmp_path / "r/stock.json").read_text())["groups"]) == ["real", "fluent"]


def test_gold_codes_and_splits(run, recogniser, tmp_path):
    corpus = tmp_path / "corpus"
    run("--corpus", str(corpus), "--dev", str(corpus), "--groups", "synthetic", "stock=base")
    groups = results(tmp_path, "stock")["groups"]
    assert recogniser.calls[0][2] == ["corpus-gold"]
    assert groups["synthetic"]["events"]["retracings"] == [1, 1, 1]
    assert groups["synthetic"]["disfluency_f1"]["value"] == 100
    run("--corpus", str(corpus), "--groups", "dev", "stock=base")
    assert recogniser.calls[1][2] == ["corpus-held"]


def test_samples(run, sums, tmp_path, recogniser):
    soundfile.write(tmp_path / "gold.wav", np.zeros(16000, np.float32), 16000)
    row = {"start": 0.5, "end": 3, "chat": SAID["gold"]}
    (tmp_path / "gold.cha").write_text(sums.reference("gold", [row]), encoding="utf-8")
    run("--groups", "samples", "stock=base")
    assert results(tmp_path, "stock")["groups"]["samples"]["wer"]["value"] == 0


def test_what_was_measured_is_not_measured_again(run, recogniser, tmp_path, data):
    run("--groups", "real", "stock=base")
    first = results(tmp_path, "stock")
    run("--groups", "real,fluent", "stock=base")
    assert [names for _, _, names in recogniser.calls] == [["ami-meeting", "ami-second"], ["ljspeech-prompt"]]
    assert results(tmp_path, "stock")["groups"]["real"] == first["groups"]["real"]
    run("--groups", "real", "--every", "2", "stock=base")
    assert recogniser.calls[-1][2] == ["ami-meeting"]
    (tmp_path / "base" / "model.bin").write_bytes(b"other weights")
    run("--groups", "fluent", "stock=base")
    assert list(results(tmp_path, "stock")["groups"]) == ["fluent"]


def test_adapters_strengths_and_prompts(run, recipe, recogniser, tmp_path):
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / adapters.CONFIG).write_text("{}", encoding="utf-8")
    (adapter / adapters.WEIGHTS).write_bytes(b"change")
    write_card(adapter, ModelCard(base="base", strength=0.5, prompt="um, uh"))
    given = f"adapter={adapter}"
    systems = [f"card=base,{given}", f"own=base,{given},strength=0.8,prompt=no", "prompted=base,prompt=yes"]
    printed = run("--groups", "real", *systems)
    card, own, prompted = recogniser.calls
    assert card[:2] == (str(adapter / "merged-0.5"), "um, uh")
    assert own[:2] == (str(adapter / "merged-0.8"), "")
    assert prompted[0] == str(tmp_path / "base")
    assert prompted[1] == recipe.style_prompt("en")
    assert "- own: base, adapter " in printed
    assert " at 0.8, no prompt" in printed


def test_tables(run, tmp_path):
    printed = run("--groups", "real,fluent", "stock=tiny.en", "prompted=tiny.en,prompt=yes")
    assert "**real**: 2 recordings, 15 words" in printed
    assert "| stock | 1 of 2 (50 %, 9–91), 1 of 2 written (50 %, 9–91) | 0 of 2 (0 %, 0–66)," in printed
    assert "| prompted | 2 of 2 (100 %, 34–100), 2 of 2 written (100 %, 34–100) |" in printed
    assert "| none said, none written |" in printed  # retracings
    assert "| stock | 25.0 |  | 25.00 (1) |" in printed
    assert "| prompted | 0.0 | -25.0 | 0.00 (0) |" in printed
    again = run("--table-only", "--groups", "real,fluent")
    assert again.index("- prompted") < again.index("- stock")  # by name
    assert run("--table-only", "stock", "prompted").strip() == printed.strip()


def test_tables_say_what_can_not_be_compared(run):
    run("--groups", "real", "stock=base")
    run("--groups", "real", "--every", "2", "thin=base")
    assert "measured with other recordings or references: thin." in run("--table-only", "stock", "thin")


def test_lists(run, recogniser):
    false = run("--groups", "real", "--list-false", "fillers", "stock=base")
    assert "ami-second  ~0.50 s  he went [uh] home\n" in false
    assert "[um]" not in false
    missed = run("--groups", "real", "--list-missed", "repetitions", "stock=base")
    assert "ami-meeting  ~0.50 s  so um [the] the dog uh\n" in missed
    assert "ami-second  ~0.50 s  [he] he went home\n" in missed
    assert len(recogniser.calls) == 2  # transcripts were not kept


def test_transcripts_are_kept_on_demand(run, tmp_path):
    kept = tmp_path / "results" / "hypotheses"
    run("--groups", "real", "stock=base")
    assert not kept.exists()
    run("--groups", "real", "--keep", "--every", "2", "stock=base")
    assert [p.relative_to(kept).as_posix() for p in kept.rglob("*.cha")] == ["stock/real/ami/ami-meeting.cha"]
    # What was kept of more recordings than are wanted does not get in the way.
    run("--groups", "real", "--keep", "stock=base")
    run("--groups", "real", "--keep", "--every", "2", "stock=base")
    assert results(tmp_path, "stock")["groups"]["real"]["recordings"] == {"ami": 1}


@pytest.mark.parametrize(
    ("system", "message"),
    [
        ("base", "label=MODEL"),
        ("../x=base", "label=MODEL"),
        ("a=base,style=stock", "style=stock is not"),
        ("a=base,prompt=maybe", "yes, no or card"),
        ("a=base,strength=1", "only an adapter has one"),
        ("a=base,adapter=x,strength=9", "from 0 to 1.5"),
        ("a=base,adapter=nowhere", "nowhere is no adapter folder"),
        ("a=base,prompt=card", "has no prompt"),
        ("a=mine,adapter=packaged", "no adapter comes with asrlsa for mine"),
    ],
)
def test_systems_that_are_wrong(run, system, message):
    with pytest.raises(SystemExit, match=message):
        run("--groups", "real", system)


def test_other_mistakes(run, tmp_path):
    with pytest.raises(SystemExit, match="two systems are called a"):
        run("a=base", "a=base,prompt=yes")
    with pytest.raises(SystemExit, match="holds no result"):
        run("--table-only")
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "a.json").write_text("[]")
    with pytest.raises(SystemExit, match="is no result"):
        run("--groups", "real", "a=base")


@pytest.mark.parametrize(
    ("part", "whole", "low", "high"),
    [(33, 40, 0.6805, 0.9125), (0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (0, 0, 0, 1)],
)
def test_wilson(sums, part, whole, low, high):
    assert sums.wilson(part, whole) == pytest.approx((low, high), abs=5e-4)


def test_calibrate_shares_the_code(recogniser, sums, data, tmp_path, monkeypatch, capsys):
    calibrate = loaded("calibrate")
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / adapters.WEIGHTS).write_bytes(b"change")
    monkeypatch.setattr(calibrate, "find_folder", lambda name, offline: tmp_path / "base")
    monkeypatch.setattr(calibrate, "converted", lambda adapter, base, cache, strength: adapter / f"merged-{strength}")
    out = tmp_path / "calibrate.json"
    sets = ["--disfluent", str(tmp_path / "corpus"), "--fluent", str(data / "ljspeech")]
    command = ["calibrate.py", str(adapter), "--base", "base", *sets, "--strengths", "0.6", "-o", str(out)]
    monkeypatch.setattr(sys, "argv", command)
    for _ in range(2):  # the second time everything is there
        calibrate.main()
    found = json.loads(out.read_text(encoding="utf-8"))
    assert found["recordings"] == {"disfluent": 1, "fluent": 1}
    assert [(r["strength"], r["prompt"]) for r in found["results"]] == [
        (None, False),
        (None, True),
        (0.6, False),
        (0.6, True),
    ]
    assert list(found["results"][0]["disfluent"]["events"]) == ["fillers", "repetitions", "fragments"]
    assert len(recogniser.calls) == 8
    assert "best: strength 0.6" in capsys.readouterr().out


def test_calibrate_tries_margins_of_fillers(recogniser, sums, data, tmp_path, monkeypatch, capsys):
    calibrate = loaded("calibrate")
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / adapters.WEIGHTS).write_bytes(b"change")
    merged, margins = tmp_path / "merged", []
    merged.mkdir()
    write_card(merged, ModelCard(decoding={"least_fragment_confidence": 0.3}))
    monkeypatch.setattr(calibrate, "find_folder", lambda name, offline: tmp_path / "base")
    monkeypatch.setattr(calibrate, "converted", lambda adapter, base, cache, strength: merged)

    def hear(paths, out, model, *rest):
        card = read_card(model)
        margins.append(None if card is None else dict(card.decoding))
        return there(paths, out, model, *rest)

    there = calibrate.hear
    monkeypatch.setattr(calibrate, "hear", hear)
    out = tmp_path / "calibrate.json"
    command = ["calibrate.py", str(adapter), "--base", "base", "--disfluent", str(tmp_path / "corpus")]
    options = ["--strengths", "0.6", "--prompts", "no", "--margins=-1,1", "-o", str(out)]
    monkeypatch.setattr(sys, "argv", [*command, *options])
    calibrate.main()
    least = {"least_fragment_confidence": 0.3}
    assert margins == [None, None, {**least, "filler_margin": -1.0}, {**least, "filler_margin": 1.0}]
    found = json.loads(out.read_text(encoding="utf-8"))["results"]
    assert [r["margin"] for r in found] == [None, None, -1.0, 1.0]
    assert "margin -1, F1" in capsys.readouterr().out  # equal, so the smaller one
