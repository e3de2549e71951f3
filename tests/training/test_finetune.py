"""The whole verb on a tiny random Whisper: what it writes, how it goes on after a kill, and what it refuses."""

# ruff: noqa: E402

from __future__ import annotations

import dataclasses
import errno
import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("peft")

import safetensors.torch
import tiny_run
from typer.testing import CliRunner

from asrlsa.cli import app
from asrlsa.errors import AsrlsaError, ConfigError, ModelError, OutputError, UsageError
from asrlsa.finetune import FinetuneResult, finetune
from asrlsa.model_card import read_card
from asrlsa.training import checkpoints
from asrlsa.training.auto_batch import what_fits
from asrlsa.training.loss import IGNORED
from asrlsa.training.recipe import load_settings
from asrlsa.training.settings import FinetuneSettings

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning"),
    pytest.mark.usefixtures("quiet_machine"),
]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_run.make_data(tmp_path_factory.mktemp("data"))


def recipe(base: Path, data: Path, *changes: str) -> FinetuneSettings:
    more = ["train.threads=1", "train.log=jsonl", "method.r=4", "train.batch=1", f"model.base={json.dumps(str(base))}"]
    more += [f"data.train={json.dumps(str(data / 'train.jsonl'))}", f"data.dev={json.dumps(str(data / 'dev.jsonl'))}"]
    return load_settings(None, [*more, *changes])


def weights(folder: Path) -> dict[str, Any]:
    return dict(safetensors.torch.load_file(folder / "adapter_model.safetensors"))


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


@pytest.fixture(scope="module")
def finished(tiny_folder: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A run of four steps with every log, and the events it told."""
    events: list[Any] = []
    out = tmp_path_factory.mktemp("run") / "out"
    changes = ("train.steps=4", "train.eval_every=2", "train.log=jsonl,tensorboard")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ASRLSA_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        found = finetune(recipe(tiny_folder, data, *changes), out, merge=True, on_event=events.append)
    return found, events, out


def test_a_run_leaves_everything(finished: tuple[FinetuneResult, list[Any], Path]) -> None:
    found, events, out = finished
    assert found.steps == 4
    assert found.adapter == out / "adapter"
    assert found.merged == out / "merged"
    for name in (
        "recipe.toml",
        "README.md",
        "report.html",
        "train.jsonl",
        "scores.json",
        "adapter/adapter_config.json",
    ):
        assert (out / name).is_file(), name
    assert list((out / "tensorboard").iterdir())
    card = read_card(out / "adapter")
    assert card is not None
    assert (card.method, card.style, card.verbatim, card.languages) == ("lora", "verbatim", True, ("en",))
    assert card.data["utterances"] == 18
    assert "dev_wer" in card.scores
    assert load_settings(out / "recipe.toml").train.steps == 4
    kinds = [e["event"] for e in events]
    assert kinds == ["start", "eval", "step", "step", "eval", "save", "step", "step", "eval", "save", "end"]
    start = events[0]
    assert 0 <= start["padding_share"] < 0.2
    assert start["speech_per_step"] == pytest.approx(found.speech_seconds / 4, rel=0.2)
    steps = [e for e in events if e["event"] == "step"]
    assert all(e["gradient_norm"] > 0 for e in steps)
    assert [e["step"] for e in steps] == [1, 2, 3, 4]
    assert {"wer", "fluent_wer"} <= set(events[-3])


def test_logs_hold_no_text(finished: tuple[FinetuneResult, list[Any], Path]) -> None:
    _, _, out = finished
    files = [out / "train.jsonl", out / "report.html", out / "README.md", out / "scores.json"]
    files += list((out / "tensorboard").iterdir())
    for file in files:
        content = file.read_bytes().lower()
        assert b"frog" not in content, file
        assert b"water" not in content, file


def test_the_report_draws_and_stands_alone(finished: tuple[FinetuneResult, list[Any], Path]) -> None:
    page = (finished[2] / "report.html").read_text(encoding="utf-8")
    assert page.count("<svg") >= 6
    assert "<script" not in page
    assert "http" not in page.replace("https://", "http://").split("<style>")[0]
    assert "95 % interval" in page


def test_the_adapter_is_what_the_merged_model_says(
    finished: tuple[FinetuneResult, list[Any], Path], tiny_folder: Path
) -> None:
    from asrlsa.training.adapter_folder import load_adapter
    from asrlsa.training.base import load_base

    out = finished[2]
    attached = load_adapter(out / "adapter", load_base(tiny_folder))
    merged = load_base(out / "merged").model
    given = {
        "input_features": torch.randn(1, 80, 3000, generator=torch.Generator().manual_seed(0)),
        "decoder_input_ids": torch.tensor([[3, 4, 5, 6]]),
    }
    with torch.no_grad():
        attached.model.eval()
        torch.testing.assert_close(attached.model(**given).logits, merged(**given).logits, atol=2e-3, rtol=1e-2)


@pytest.mark.parametrize("method", ["lora", "s2lora"])
def test_a_killed_run_goes_on_as_if_it_had_not_been(method: str, tiny_folder: Path, data: Path, tmp_path: Path) -> None:
    changes = ["train.steps=8", "train.eval_every=4", "train.save_every=2", f"method.method={method}"]
    settings = recipe(tiny_folder, data, *changes)
    assert settings.method.lora_dropout > 0  # chance must go on too
    finetune(settings, tmp_path / "whole")
    text = (tmp_path / "whole" / "recipe.toml").read_text(encoding="utf-8")
    (tmp_path / "recipe.toml").write_text(text, encoding="utf-8")
    arguments = ["-m", "asrlsa", "finetune", str(tmp_path / "recipe.toml"), "-o", str(tmp_path / "killed")]
    cache = tmp_path / "cache"
    tiny_run.run_and_kill(arguments, cache, tmp_path / "killed" / "train.jsonl", 5)
    assert not (tmp_path / "killed" / "adapter").exists()
    tiny_run.run([*arguments, "--resume"], cache)
    assert tiny_run.losses(tmp_path / "killed") == tiny_run.losses(tmp_path / "whole")
    assert same(weights(tmp_path / "killed" / "adapter"), weights(tmp_path / "whole" / "adapter"))
    for name in ("weights.safetensors", "optimizer.pt"):
        one, other = (tmp_path / run / "checkpoints" / "checkpoint-8" / name for run in ("killed", "whole"))
        assert one.read_bytes() == other.read_bytes()
    first, second = (tiny_run.events(tmp_path / run / "train.jsonl") for run in ("whole", "killed"))
    assert [e["step"] for e in first if e["event"] == "step"] == [e["step"] for e in second if e["event"] == "step"]


KILL = """
import os, signal, sys
from asrlsa.training import checkpoints
from asrlsa.cli import main

def killed(folder, *rest):
    if folder.name == "checkpoint-4":
        if {part!r} == "weights":
            folder.mkdir(parents=True)
            (folder / "weights.safetensors").write_bytes(bytes(100))
        os.kill(os.getpid(), signal.SIGKILL)
    return original(folder, *rest)

name = {{"weights": "save_weights", "all but the mark": "mark_complete"}}[{part!r}]
original = getattr(checkpoints, name)
setattr(checkpoints, name, killed)
sys.argv = ["asrlsa", *{arguments!r}]
main()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_killed_while_a_checkpoint_is_being_written(tiny_folder: Path, data: Path, tmp_path: Path) -> None:
    settings = recipe(tiny_folder, data, "train.steps=6", "train.save_every=2", "data.dev=''")
    finetune(settings, tmp_path / "whole")
    for part in ("weights", "all but the mark"):
        out = tmp_path / part
        code = KILL.format(part=part, arguments=["finetune", str(tmp_path / "whole" / "recipe.toml"), "-o", str(out)])
        done = subprocess.run(
            [sys.executable, "-c", code], env=tiny_run.environment(tmp_path / "cache"), capture_output=True, check=False
        )
        assert done.returncode == -9, done.stderr
        assert (out / "checkpoints" / "checkpoint-4" / "weights.safetensors").exists()
        assert [step for step, _ in checkpoints.checkpoints(out / "checkpoints")] == [2]
        finetune(settings, out, resume=True)
        assert same(weights(out / "adapter"), weights(tmp_path / "whole" / "adapter"))
        assert tiny_run.losses(out) == tiny_run.losses(tmp_path / "whole")


def test_adalora_goes_on_with_its_ranks(tiny_folder: Path, data: Path, tmp_path: Path) -> None:
    """The importance of ranks is in no weight and no optimizer; without it the pruning would differ."""
    changes = ["train.steps=8", "train.save_every=5", "method.method=adalora", "method.init_r=4", "method.target_r=2"]
    settings = recipe(
        tiny_folder, data, *changes, "method.tinit=1", "method.tfinal=1", "method.delta_t=1", "data.dev=''"
    )
    finetune(settings, tmp_path / "whole")

    class StopError(Exception):
        pass

    def stop(event: Any) -> None:
        if event["event"] == "step" and event["step"] == 6:
            raise StopError

    with pytest.raises(StopError):
        finetune(settings, tmp_path / "broken", on_event=stop)
    finetune(settings, tmp_path / "broken", resume=True)
    assert same(weights(tmp_path / "broken" / "adapter"), weights(tmp_path / "whole" / "adapter"))
    config = json.loads((tmp_path / "whole" / "adapter" / "adapter_config.json").read_text(encoding="utf-8"))
    kept = [rank for pattern in config["rank_pattern"].values() for rank in pattern]
    assert sum(kept) == len(kept) / 2, "the ranks were pruned from init_r 4 to target_r 2"
    assert tiny_run.losses(tmp_path / "broken") == tiny_run.losses(tmp_path / "whole")


def test_decoder_training_runs_the_encoder_once(tiny_folder: Path, data: Path, tmp_path: Path) -> None:
    told: list[Any] = []
    changes = ("train.steps=3", "train.parts=decoder", "train.eval_start=false")
    found = finetune(recipe(tiny_folder, data, *changes), tmp_path / "out", on_event=told.append)
    assert any("encoder output: " in e.get("text", "") for e in told)
    assert all("encoder" not in name.split("layers")[0] for name in weights(tmp_path / "out" / "adapter"))
    assert found.loss is not None
    again: list[Any] = []
    finetune(recipe(tiny_folder, data, *changes), tmp_path / "again", on_event=again.append)
    assert not any("encoder output: " in e.get("text", "") for e in again)  # it was kept
    assert tiny_run.losses(tmp_path / "out") == tiny_run.losses(tmp_path / "again")


def test_dynamic_context_with_batches_by_length(
    tiny_folder: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asrlsa.training.auto_batch.MOST_CPU", 2)
    changes = [
        "train.context=dynamic",
        "data.layout=variable",
        "train.batch=auto",
        "train.steps=2",
        "data.full_share=0.5",
    ]
    told: list[Any] = []
    found = finetune(recipe(tiny_folder, data, *changes), tmp_path / "out", on_event=told.append)
    assert found.plan["padded_per_step"] < 30 * found.plan["windows_per_step"]
    assert any(e.get("text", "").startswith("batch: ") for e in told)


def test_divergence_from_the_base_is_logged_and_starts_at_zero(tiny_folder: Path, data: Path, tmp_path: Path) -> None:
    fluent = f"loss.fluent={json.dumps(str(data / 'dev.jsonl'))}"
    for method in ("lora", "full", "bitfit"):
        changes = ["train.steps=3", "train.batch=2", "loss.kl=1", fluent, f"method.method={method}", "data.dev=''"]
        out = tmp_path / method
        finetune(recipe(tiny_folder, data, *changes, "method.lora_dropout=0"), out)
        found = [e["divergence"] for e in tiny_run.events(out / "train.jsonl") if e["event"] == "step"]
        assert found[0] == pytest.approx(0, abs=1e-5)
        assert found[-1] > 1e-7


def test_model_on_two_devices_learns_the_same(tiny_folder: Path, data: Path, tmp_path: Path) -> None:
    for name, devices in (("one", ""), ("two", "cpu,cpu")):
        changes = ["train.steps=3", f"model.model_parallel={json.dumps(devices)}", "method.method=s2lora"]
        finetune(recipe(tiny_folder, data, *changes), tmp_path / name)
    assert tiny_run.losses(tmp_path / "one") == tiny_run.losses(tmp_path / "two")


def test_gradient_checkpointing_and_accumulation_change_nothing(tiny_folder: Path, data: Path, tmp_path: Path) -> None:
    base = ["train.steps=2", "method.lora_dropout=0", "data.dev=''", "data.noise_only=0"]
    variants = {
        "plain": ["train.batch=2"],
        "kept": ["train.batch=2", "train.gradient_checkpointing=true"],
        "parts": ["train.batch=1", "train.accumulation=2"],
    }
    for name, changes in variants.items():
        finetune(recipe(tiny_folder, data, *base, *changes), tmp_path / name)
    wanted = tiny_run.losses(tmp_path / "plain")
    for name in ("kept", "parts"):
        assert tiny_run.losses(tmp_path / name) == pytest.approx(wanted, rel=1e-4)


def test_going_on_with_an_adapter(
    finished: tuple[FinetuneResult, list[Any], Path], tiny_folder: Path, data: Path, tmp_path: Path
) -> None:
    adapter = f"model.adapter={json.dumps(str(finished[2] / 'adapter'))}"
    found = finetune(recipe(tiny_folder, data, "train.steps=1", adapter), tmp_path / "out")
    before = [e for e in finished[1] if e["event"] == "eval"][-1]["loss"]
    start = next(e for e in tiny_run.events(tmp_path / "out" / "train.jsonl") if e["event"] == "eval")["loss"]
    assert start == pytest.approx(before, rel=1e-4)
    assert found.steps == 1
    with pytest.raises(UsageError, match="trained with lora"):
        finetune(recipe(tiny_folder, data, adapter, "method.method=dora"), tmp_path / "other", dry_run=True)


def test_adapter_on_the_wrong_base(
    finished: tuple[FinetuneResult, list[Any], Path], tiny_folder: Path, data: Path, tmp_path: Path
) -> None:
    import shutil

    other = tmp_path / "other"
    shutil.copytree(tiny_folder, other)
    stored = safetensors.torch.load_file(other / "model.safetensors")
    stored["model.decoder.layers.0.fc1.bias"] += 1
    safetensors.torch.save_file(stored, other / "model.safetensors", metadata={"format": "pt"})
    adapter = f"model.adapter={json.dumps(str(finished[2] / 'adapter'))}"
    with pytest.raises(ModelError) as caught:
        finetune(recipe(other, data, adapter), tmp_path / "out", dry_run=True)
    assert "\n" not in str(caught.value)
    assert "base" in str(caught.value)


def test_early_stopping_and_the_best_weights(tiny_folder: Path, data: Path, tmp_path: Path) -> None:
    """A learning rate that destroys the model: the first weights are kept and training stops."""
    changes = ["train.steps=8", "train.eval_every=1", "train.early_stopping=2", "train.lr=1", "train.best=cer"]
    told: list[Any] = []
    settings = recipe(tiny_folder, data, *changes, "train.warmup=0", "train.schedule=constant", "method.method=full")
    found = finetune(settings, tmp_path / "out", on_event=told.append)
    evaluations = [e for e in told if e["event"] == "eval" and e["step"] > 0]
    best = min(evaluations, key=lambda e: (e["cer"], e["loss"]))
    assert found.best_step == best["step"]
    assert found.steps < 8
    assert found.steps == best["step"] + 2
    assert any("stopped at step" in e.get("text", "") for e in told)
    assert found.scores["cer"] == pytest.approx(best["cer"])


def write_rows(folder: Path, **changes: Any) -> Path:
    made = tiny_run.make_data(folder, train=2, dev=2)
    rows = [json.loads(line) for line in (made / "train.jsonl").read_text(encoding="utf-8").splitlines()]
    text = "".join(json.dumps({**row, **changes}) + "\n" for row in rows)
    (made / "train.jsonl").write_text(text, encoding="utf-8")
    return made


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"text": ""}, "has no text"),
        ({"language": "deu"}, "language 'de'"),
        ({"text": "b- b- ball " * 200}, "no utterance can be used"),
        ({"audio": "missing.wav"}, "missing.wav"),
    ],
)
def test_data_that_can_not_be_learnt(tiny_folder: Path, tmp_path: Path, changes: Any, message: str) -> None:
    made = write_rows(tmp_path / "data", **changes)
    with pytest.raises(AsrlsaError) as caught:
        finetune(recipe(tiny_folder, made, "train.steps=1", "data.dev=''"), tmp_path / "out")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_folders_that_hold_a_run(
    finished: tuple[FinetuneResult, list[Any], Path], tiny_folder: Path, data: Path
) -> None:
    out = finished[2]
    changes = ("train.steps=4", "train.eval_every=2", "train.log=jsonl,tensorboard")
    with pytest.raises(UsageError, match="--resume"):
        finetune(recipe(tiny_folder, data, *changes), out)
    with pytest.raises(UsageError, match=r"train\.lr was 0\.001, is 0\.5"):
        finetune(recipe(tiny_folder, data, *changes, "train.lr=0.5"), out, resume=True)
    with pytest.raises(UsageError, match="no run to resume"):
        finetune(recipe(tiny_folder, data, *changes), out / "nothing", resume=True)


def test_a_run_that_failed_before_its_first_step_is_in_nobodys_way(tiny_folder: Path, tmp_path: Path) -> None:
    made = write_rows(tmp_path / "data", audio="missing.wav")
    with pytest.raises(AsrlsaError, match="missing"):
        finetune(recipe(tiny_folder, made, "train.steps=1", "data.dev=''"), tmp_path / "out")
    made = write_rows(tmp_path / "data")
    finetune(recipe(tiny_folder, made, "train.steps=1", "data.dev=''", "train.lr=1e-4"), tmp_path / "out")
    assert [e["step"] for e in tiny_run.events(tmp_path / "out" / "train.jsonl") if e["event"] == "step"] == [1]


def test_a_full_disk_is_one_line(
    tiny_folder: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(safetensors.torch, "save_file", full)
    with pytest.raises(OutputError, match=r"disk is full.*--resume") as caught:
        finetune(recipe(tiny_folder, data, "train.steps=1", "data.dev=''"), tmp_path / "out")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "is_full"), [("No space left on device (os error 28)", True), ("size mismatch", False)]
)
def test_what_torch_says_of_a_full_disk(tmp_path: Path, text: str, is_full: bool) -> None:
    with pytest.raises(OutputError if is_full else RuntimeError), checkpoints.explained(tmp_path):
        raise RuntimeError(text)


def test_memory_that_runs_out_says_what_would_fit(
    tiny_folder: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from asrlsa.training.trainer import VerbatimTrainer

    def full(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    monkeypatch.setattr(VerbatimTrainer, "compute_loss", full)
    with pytest.raises(ModelError) as caught:
        finetune(recipe(tiny_folder, data, "train.steps=1", "data.dev=''", "train.batch=2"), tmp_path / "out")
    assert "too small" in str(caught.value)
    assert "train.batch=1" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_fits_gets_smaller_with_the_gpu() -> None:
    from transformers import WhisperConfig

    large = WhisperConfig(d_model=1280, encoder_layers=32, decoder_layers=32, num_mel_bins=128)
    given: dict[str, Any] = {
        "parameters": 1_543_000_000,
        "trainable": 28_800_000,
        "batch": 16,
        "weight_bytes": 4,
        "value_bytes": 2,
        "checkpointing": False,
    }
    texts = [what_fits(large, **given, memory=gb * 10**9) for gb in (80, 12, 8, 4)]
    assert "train.batch=" in texts[0]
    assert "gradient_checkpointing" in texts[1]
    assert "bfloat16" in texts[2]
    assert "smaller model" in texts[3]


@pytest.mark.parametrize(
    ("change", "package"),
    [
        ("train.log=jsonl,wandb", "wandb"),
        ("train.deepspeed=x.json", "deepspeed"),
        ("model.attention=flash_attention_2", "flash-attn"),
    ],
)
def test_packages_that_are_not_there(tiny_folder: Path, data: Path, tmp_path: Path, change: str, package: str) -> None:
    if importlib.util.find_spec(package.replace("-", "_")) is not None:
        pytest.skip(f"{package} is installed")
    with pytest.raises(ConfigError, match=f"pip install {package}"):
        finetune(recipe(tiny_folder, data, change), tmp_path / "out")


def test_without_the_train_extra(
    tiny_folder: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "peft" else found(name, *a))
    with pytest.raises(ModelError, match=r"pip install 'asrlsa\[train\]'"):
        finetune(recipe(tiny_folder, data), tmp_path / "out")


def test_float16_needs_a_gpu(tiny_folder: Path, data: Path, tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(ConfigError, match="float16 needs a GPU"):
        finetune(recipe(tiny_folder, data, "train.precision=float16"), tmp_path / "out")
    with pytest.raises(ModelError, match="no GPU"):
        finetune(recipe(tiny_folder, data, "train.device=cuda"), tmp_path / "out")


def test_bfloat16_runs_on_a_cpu(tiny_folder: Path, data: Path, tmp_path: Path) -> None:
    found = finetune(recipe(tiny_folder, data, "train.steps=1", "train.precision=bfloat16"), tmp_path / "out")
    assert found.plan["precision"] == "bfloat16"
    assert found.loss is not None


class TestCommandLine:
    def test_dry_run_shows_the_plan(self, tiny_folder: Path, data: Path, tmp_path: Path) -> None:
        flags = ["--data", str(data), "--base", str(tiny_folder), "-o", str(tmp_path / "out"), "--dry-run"]
        found = CliRunner().invoke(app, ["finetune", *flags, "--steps", "3", "--threads", "1"])
        assert found.exit_code == 0, found.output
        for text in ("padding", "s of speech", "3 steps", "method lora"):
            assert text in found.output
        assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize(
        ("arguments", "kind", "message"),
        [
            (["--set", "train.stepz=3", "-o", "x"], ConfigError, "did you mean 'steps'"),
            (["--base", "tiny.en"], UsageError, "-o OUT"),
            (["--data", "nowhere", "-o", "x"], UsageError, "does not exist"),
            (["-o", "x"], ConfigError, "no training data"),
            (["nothing.toml"], ConfigError, "no such recipe"),
            (["--method", "lorra", "-o", "x"], ConfigError, "lora"),
        ],
    )
    def test_mistakes(
        self, arguments: list[str], kind: type[Exception], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        found = CliRunner().invoke(app, ["finetune", *arguments])
        assert isinstance(found.exception, kind)
        assert message in str(found.exception)
        assert "\n" not in str(found.exception)

    @pytest.mark.parametrize(("begun", "word"), [(True, "--resume"), (False, "nothing was written")])
    def test_control_c_says_how_to_go_on(self, begun: bool, word: str, tmp_path: Path, monkeypatch: Any) -> None:
        def stopped(settings: Any, folder: Path, **more: Any) -> None:
            if begun:
                folder.mkdir()
                (folder / "recipe.toml").touch()
            raise KeyboardInterrupt

        monkeypatch.setattr("asrlsa.finetune.finetune", stopped)
        found = CliRunner().invoke(app, ["finetune", "-o", str(tmp_path / "out")])
        assert found.exit_code == 130
        assert word in found.output

    def test_recipe_names_the_folder(self, tiny_folder: Path, data: Path, tmp_path: Path, monkeypatch: Any) -> None:
        monkeypatch.chdir(tmp_path)
        settings = recipe(tiny_folder, data, "train.steps=1", "data.dev=''")
        from asrlsa.training.recipe import to_toml

        (tmp_path / "mine.toml").write_text(to_toml(settings), encoding="utf-8")
        found = CliRunner().invoke(app, ["finetune", "mine.toml"])
        assert found.exit_code == 0, found.output
        assert (tmp_path / "mine-run" / "adapter" / "asrlsa.json").exists()


def test_settings_are_a_value() -> None:
    assert dataclasses.is_dataclass(FinetuneSettings)
    assert IGNORED == -100
