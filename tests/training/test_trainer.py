"""The trainer's own parts: gradients that teach nothing, schedules, the best step, checkpoints, loaders, the screen."""

# ruff: noqa: E402

from __future__ import annotations

import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("peft")

import tiny_run
from hypothesis import given
from hypothesis import strategies as st

from asrlsa.errors import ConfigError, ModelError
from asrlsa.training import checkpoints, logs
from asrlsa.training.dataset import Draw
from asrlsa.training.loaders import MixedSampler, SizedSampler, fluent_windows
from asrlsa.training.recipe import load_settings
from asrlsa.training.report import curve
from asrlsa.training.run import make_trainer, prepare
from asrlsa.training.steps import TrainingError, better, evaluations_since_best, is_best
from asrlsa.training.trainer import schedule

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_run.make_data(tmp_path_factory.mktemp("data"), train=4, dev=1)


def ready(base: Path, data: Path, *changes: str, told: Any = None) -> Any:
    names = {"model.base": base, "data.train": data / "train.jsonl"}
    more = [f"{key}={json.dumps(str(value))}" for key, value in names.items()]
    return prepare(
        load_settings(None, [*more, "train.batch=1", "train.steps=3", *changes]), told or (lambda event: None)
    )


class TestGradient:
    def test_zero_stops_the_run(self, tiny_folder: Path, data: Path, tmp_path: Path, monkeypatch: Any) -> None:
        trainer = make_trainer(ready(tiny_folder, data), tmp_path, resuming=False)
        original = trainer.compute_loss
        monkeypatch.setattr(trainer, "compute_loss", lambda *a, **k: 0.0 * original(*a, **k))
        with pytest.raises(TrainingError, match=r"step 1: the gradient is zero.*method\.targets") as caught:
            trainer.train()
        assert "\n" not in str(caught.value)
        assert trainer.state.global_step == 0

    @pytest.mark.parametrize(("value", "word"), [(math.nan, "not a number"), (math.inf, "not a number|infinite")])
    def test_nan_stops_the_run_before_the_weights_change(
        self, tiny_folder: Path, data: Path, tmp_path: Path, monkeypatch: Any, value: float, word: str
    ) -> None:
        made = ready(tiny_folder, data)
        trainer = make_trainer(made, tmp_path, resuming=False)
        before = {k: v.clone() for k, v in checkpoints.trained(made.attached.model).items()}
        original = trainer.compute_loss

        def broken(*a: Any, **k: Any) -> Any:
            loss = original(*a, **k)
            return loss * value if trainer.state.global_step == 1 else loss

        monkeypatch.setattr(trainer, "compute_loss", broken)
        with pytest.raises(TrainingError, match=rf"step 2: the gradient is ({word}).*train\.lr"):
            trainer.train()
        after = checkpoints.trained(made.attached.model)
        assert all(torch.isfinite(v).all() for v in after.values())
        assert any(not torch.equal(v, before[k]) for k, v in after.items())  # step 1 was done

    def test_nothing_to_train_is_a_zero_gradient_too(self, tiny_folder: Path, data: Path, tmp_path: Path) -> None:
        made = ready(tiny_folder, data, "train.lr=1e-3")
        for window in range(len(made.work.data.main)):
            item = made.work.data.main[window]
            assert (item["labels"] != -100).any()
        made.work.head.settings = load_settings(None, ["loss.timestamp_weight=1"]).loss
        trainer = make_trainer(made, tmp_path, resuming=False)
        loader = trainer.get_train_dataloader()
        loader.collate_fn = _without_labels(loader.collate_fn)
        trainer.get_train_dataloader = lambda: loader
        with pytest.raises(TrainingError, match="no text"):
            trainer.train()


def _without_labels(collate: Any) -> Any:
    def changed(items: Any) -> Any:
        batch = collate(items)
        batch["labels"] = torch.full_like(batch["labels"], -100)
        return batch

    return changed


class TestSchedule:
    @given(kind=st.sampled_from(["cosine", "linear", "constant"]), warmup=st.integers(0, 50), steps=st.integers(1, 200))
    def test_rises_then_falls_and_no_step_is_lost(self, kind: str, warmup: int, steps: int) -> None:
        warmup = min(warmup, steps - 1)
        rates = [schedule(kind, k, warmup, steps) for k in range(steps)]
        assert all(0 < r <= 1 for r in rates)
        assert rates[:warmup] == sorted(rates[:warmup])
        assert rates[warmup] == 1
        assert rates[warmup:] == sorted(rates[warmup:], reverse=True)

    def test_the_methods_groups_keep_their_ratio(self, tiny_folder: Path, data: Path, tmp_path: Path) -> None:
        told: list[Any] = []
        made = ready(tiny_folder, data, "method.lora_plus=16", "train.lr=1e-4", "train.warmup=0", told=told.append)
        trainer = make_trainer(made, tmp_path, resuming=False)
        trainer.train()
        starts = {g["name"].split(".")[0]: g["initial_lr"] for g in trainer.optimizer.param_groups}
        assert starts["B"] == pytest.approx(16 * starts["A"])
        first = next(e for e in told if e["event"] == "step")
        assert first["lr"] == pytest.approx(1e-4)  # the recipe's, not that of a faster group


class TestBest:
    def test_direction_ties_and_nothing(self) -> None:
        assert better("wer", (10.0, 1.0), (20.0, 1.0))
        assert better("disfluency_f1", (20.0, 1.0), (10.0, 1.0))
        assert better("wer", (10.0, 0.5), (10.0, 1.0))
        assert not better("wer", (10.0, 1.0), (10.0, 1.0))
        assert not better("wer", (math.nan, 1.0), None)

    def test_the_start_counts_for_nothing(self) -> None:
        history = [{"step": s, "eval_loss": 1.0, "eval_wer": w} for s, w in ((0, 1.0), (1, 9.0), (2, 8.0), (3, 8.5))]
        history.insert(2, {"step": 1, "loss": 3.0})
        assert evaluations_since_best(history, "wer") == 1
        assert is_best(history[:4], "wer")
        assert not is_best(history, "wer")
        assert evaluations_since_best(history[:1], "wer") is None
        assert not is_best([], "wer")


class TestCheckpoints:
    def test_a_half_written_one_is_never_taken(self, tmp_path: Path) -> None:
        model = torch.nn.Linear(2, 2)
        for step in (1, 2, 3):
            folder = tmp_path / f"checkpoint-{step}"
            checkpoints.save_weights(folder, checkpoints.trained(model))
            if step != 3:
                checkpoints.mark_complete(folder, step)
        (tmp_path / "checkpoint-4").mkdir()
        (tmp_path / "checkpoint-4" / "complete.json").write_text("{", encoding="utf-8")
        assert [step for step, _ in checkpoints.checkpoints(tmp_path)] == [1, 2]
        checkpoints.sweep(tmp_path, 1)
        assert [p.name for p in tmp_path.iterdir()] == ["checkpoint-2"]

    def test_bit_for_bit_and_of_this_model_only(self, tmp_path: Path) -> None:
        model, other = torch.nn.Linear(3, 2), torch.nn.Linear(3, 2)
        checkpoints.save_weights(tmp_path, checkpoints.trained(model))
        checkpoints.load_weights(tmp_path, other)
        assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))
        with pytest.raises(ModelError, match="another method or model"):
            checkpoints.load_weights(tmp_path, torch.nn.Linear(3, 4))

    def test_names_without_wrappers(self) -> None:
        assert checkpoints.plain_name("module._orig_mod.a._fsdp_wrapped_module.module.b") == "a.module.b"


class Windows:
    """Stands in for a dataset: lengths in mel frames."""

    class settings:  # noqa: N801
        full_share = 0.0

    def __init__(self, frames: list[int]) -> None:
        self._frames = frames

    def __len__(self) -> int:
        return len(self._frames)

    def frames(self, index: int) -> int:
        return self._frames[index]


class TestSamplers:
    @given(
        frames=st.lists(st.integers(10, 3000), min_size=1, max_size=60),
        world=st.integers(1, 3),
        epoch=st.integers(0, 5),
    )
    def test_batches_by_length(self, frames: list[int], world: int, epoch: int) -> None:
        sizes = {500: 7, 1500: 3, 3000: 1}
        drawn: list[list[list[Draw]]] = []
        for rank in range(world):
            sampler = SizedSampler(Windows(frames), sizes, seed=1, rank=rank, world=world)  # type: ignore[arg-type]
            sampler.set_epoch(epoch)
            batches = list(sampler)
            assert len(batches) == len(sampler)
            assert batches == list(sampler)  # nothing but seed and epoch decides
            drawn.append(batches)
        assert len({len(batches) for batches in drawn}) == 1
        for batch in (b for batches in drawn for b in batches):
            assert len(batch) <= sizes[batch[0].frames]
        for batches in drawn:
            if world == 1:  # no window is in a step twice
                assert all(len({d.window for d in b}) == len(b) for b in batches)
        for batch in (b for batches in drawn for b in batches):
            assert all(frames[d.window] <= d.frames and d.epoch == epoch for d in batch)
        assert {d.window for batches in drawn for b in batches for d in b} == set(range(len(frames)))

    def test_a_batch_is_no_larger_than_the_data(self, tiny_folder: Path, data: Path) -> None:
        told: list[Any] = []
        made = ready(tiny_folder, data, "train.batch=64", "data.layout=single", "data.noise_only=0", told=told.append)
        assert made.work.sizes == {3000: 4}
        assert made.plan["windows_per_step"] == 4
        assert any("more than there are: 4 windows" in e["text"] for e in told)

    def test_fluent_windows_are_mixed_in(self) -> None:
        class Fixed(list[Any]):
            def set_epoch(self, epoch: int) -> None:
                self.epoch = epoch

        main = Fixed([[Draw(0, 2, 100)], [Draw(1, 2, 300)], [Draw(2, 2, 300)]])
        fluent = Fixed([[Draw(0, 0, 200)], [Draw(1, 0, 50)]])
        sampler = MixedSampler(main, fluent, 10)  # type: ignore[arg-type]
        sampler.set_epoch(2)
        found = list(sampler)
        assert [[d.window for d in batch] for batch in found] == [[0, 10], [1, 11], [2, 10]]
        assert [[d.frames for d in batch] for batch in found] == [[200, 200], [300, 300], [300, 300]]
        assert {d.epoch for batch in found for d in batch} == {2}

    def test_a_batch_of_one_has_no_room_for_fluent_speech(self) -> None:
        assert [fluent_windows(n, 0.2) for n in (2, 5, 16)] == [1, 1, 3]
        assert fluent_windows(3, 0.99) == 2
        with pytest.raises(ConfigError, match="at least 2"):
            fluent_windows(1, 0.2)


START = {
    "event": "start",
    "step": 0,
    "steps": 3,
    "epochs": 1.0,
    "base": "tiny",
    "method": "lora",
    "trainable": 10,
    "parameters": 100,
    "train": "packed: 4 utterances",
    "dev": "1 utterance",
    "windows_per_step": 2.0,
    "speech_per_step": 50.0,
    "padded_per_step": 60.0,
    "padding_share": 0.1,
    "device": "cpu",
}
STEP = {
    "event": "step",
    "step": 1,
    "loss": 2.0,
    "gradient_norm": 0.5,
    "lr": 1e-3,
    "speech_seconds": 50.0,
    "seconds": 5.0,
}
EVALUATION = {"event": "eval", "step": 1, "loss": 1.0, "wer": 30.0, "fluent_wer": None, "best": True}


class TestLogs:
    def test_plain_lines(self) -> None:
        stream = io.StringIO()
        display = logs.Display(stream)
        for event in (START, STEP, EVALUATION, {"event": "end", "step": 3, "text": "done"}):
            display.write(event)
        shown = stream.getvalue()
        for text in (
            "padding 10 %",
            "50 s of speech",
            "step 1/3",
            "speech/s 10.00",
            "gradient 0.500",
            "WER 30.0",
            "done",
        ):
            assert text in shown
        assert "\x1b" not in shown

    def test_a_terminal_gets_a_table(self) -> None:
        stream = io.StringIO()
        display = logs.Display(stream)
        display.console = type(display.console)(file=stream, force_terminal=True, width=120, highlight=False)
        for event in (START, STEP, EVALUATION):
            display.write(event)
        display.close()
        shown = stream.getvalue()
        for text in ("speech/s", "gradient", "left", "dev loss", "verbatim WER", "30.0"):
            assert text in shown

    def test_quiet_still_says_what_matters(self) -> None:
        stream = io.StringIO()
        display = logs.Display(stream, quiet=True)
        for event in (START, STEP, {"event": "note", "text": "a note"}):
            display.write(event)
        assert stream.getvalue() == "a note\n"

    def test_json_has_no_nan_and_a_resumed_log_is_cut(self, tmp_path: Path) -> None:
        path = tmp_path / "train.jsonl"
        log = logs.JsonLog(path)
        for step in (1, 2, 3):
            log.write({"event": "step", "step": step, "loss": math.nan if step == 1 else 1 / 3})
        log.close()
        with path.open("a", encoding="utf-8") as file:
            file.write('{"event": "step", "st')  # the process was killed here
        assert [e["loss"] for e in logs.read_log(path)] == [None, 0.333333, 0.333333]
        logs.JsonLog(path, until=2).close()
        assert [e["step"] for e in logs.read_log(path)] == [1, 2]

    def test_durations(self) -> None:
        assert [logs.duration(s) for s in (0, 59.6, 61, 3600, math.inf, -1)] == [
            "0:00",
            "1:00",
            "1:01",
            "1:00:00",
            "0:00",
            "0:00",
        ]


class TestCurves:
    def test_points_lie_within_the_picture(self) -> None:
        drawn = curve([(k, float(v)) for k, v in enumerate(np.linspace(5, 1, 20))], "loss & more", marked=19)
        assert "loss &amp; more" in drawn
        assert drawn.count("<circle") == 20
        assert drawn.count('class="best"') == 1
        line = drawn.split('points="')[1].split('"')[0]
        points = [tuple(map(float, p.split(","))) for p in line.split()]
        assert all(0 <= x <= 560 and 0 <= y <= 190 for x, y in points)
        assert [y for _, y in points] == sorted(y for _, y in points)  # falling values go down the page

    def test_flat_single_and_missing_values(self) -> None:
        assert curve([], "x") == ""
        assert curve([(1, math.nan)], "x") == ""
        assert "<polyline" in curve([(1, 2.0)], "x")
        assert "nan" not in curve([(1, 0.0), (2, 0.0)], "x", log=True)
