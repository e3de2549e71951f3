"""The largest batch that fits: found by trying, with memory that is only pretended to run out."""

# ruff: noqa: E402

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("peft")

from hypothesis import given
from hypothesis import strategies as st

from asrlsa.errors import ModelError
from asrlsa.training import auto_batch
from asrlsa.training.auto_batch import Attempt, find_sizes, is_out_of_memory, largest, memory_key, remember_smaller
from asrlsa.training.base import load_base
from asrlsa.training.loss import LossHead, install_loss
from asrlsa.training.settings import LossSettings


class Memory:
    """A device that holds so many mel frames at a time, and remembers what was tried on it."""

    def __init__(self, frames: int) -> None:
        self.frames = frames
        self.tried: list[tuple[int, int]] = []

    def __call__(self, frames: int, size: int) -> None:
        self.tried.append((frames, size))
        if frames * size > self.frames:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1.00 GiB")


@given(limit=st.integers(0, 300), start=st.integers(1, 300), most=st.integers(1, 256))
def test_largest_is_near_the_limit_and_never_above(limit: int, start: int, most: int) -> None:
    tried = []

    def attempt(size: int) -> None:
        tried.append(size)
        if size > limit:
            raise MemoryError

    found = largest(attempt, start=start, most=most)
    assert found <= min(limit, most)
    assert found >= 0.88 * min(limit, most) - 1
    assert max(tried) <= most
    assert len(tried) <= 24


def test_shorter_windows_get_larger_batches(tmp_path: Path) -> None:
    memory = Memory(30_000)
    found = find_sizes(memory, [3000, 1000, 500], store=tmp_path, key="k", most=256)
    assert list(found) == [3000, 1000, 500]
    assert list(found.values()) >= [8, 24, 48]
    assert all(frames * size <= 30_000 for frames, size in found.items())


def test_what_was_found_is_remembered(tmp_path: Path) -> None:
    first = find_sizes(Memory(30_000), [3000, 500], store=tmp_path, key="k")
    memory = Memory(30_000)
    assert find_sizes(memory, [3000, 500], store=tmp_path, key="k") == first
    assert memory.tried == []
    assert find_sizes(memory, [3000, 500], store=tmp_path, key="another")
    assert memory.tried


def test_a_batch_that_failed_after_all_is_remembered_smaller(tmp_path: Path) -> None:
    first = find_sizes(Memory(30_000), [3000], store=tmp_path, key="k")
    remember_smaller("k", 3000, 3, tmp_path)
    assert find_sizes(Memory(30_000), [3000], store=tmp_path, key="k") == {3000: 3}
    remember_smaller("k", 3000, first[3000], tmp_path)
    assert find_sizes(Memory(30_000), [3000], store=tmp_path, key="k") == {3000: 3}


def test_a_damaged_memory_is_forgotten(tmp_path: Path) -> None:
    (tmp_path / "batches.json").write_text("{", encoding="utf-8")
    assert find_sizes(Memory(3000), [3000], store=tmp_path, key="k") == {3000: 1}
    assert json.loads((tmp_path / "batches.json").read_text(encoding="utf-8")) == {"k:3000": 1}


def test_not_even_one(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="one window of 30 s does not fit"):
        find_sizes(Memory(100), [3000], store=tmp_path, key="k")


def test_other_errors_are_not_swallowed(tmp_path: Path) -> None:
    def attempt(frames: int, size: int) -> None:
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes"):
        find_sizes(attempt, [3000], store=tmp_path, key="k")


@pytest.mark.parametrize(
    ("error", "wanted"),
    [
        (torch.OutOfMemoryError("x"), True),
        (MemoryError(), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:117] . DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_what_running_out_looks_like(error: Exception, wanted: bool) -> None:
    assert is_out_of_memory(error) is wanted


def test_the_key_tells_runs_apart() -> None:
    assert memory_key({"a": 1, "b": 2}) == memory_key({"b": 2, "a": 1})
    assert memory_key({"a": 1}) != memory_key({"a": 2})


def test_an_attempt_leaves_no_trace(tiny_folder: Path) -> None:
    base = load_base(tiny_folder)
    install_loss(base.model, LossHead(LossSettings(), 1000))
    attempt = Attempt(
        base.model, mels=80, positions=12, vocabulary=base.model.config.vocab_size, device=torch.device("cpu")
    )
    before = {k: v.clone() for k, v in base.model.state_dict().items()}
    state = torch.random.get_rng_state()
    attempt(3000, 1)
    assert torch.equal(state, torch.random.get_rng_state())
    assert all(p.grad is None for p in base.model.parameters())
    assert all(torch.equal(v, before[k]) for k, v in base.model.state_dict().items())


def test_a_cpu_machine_is_not_filled(monkeypatch: pytest.MonkeyPatch) -> None:
    import psutil

    class Free:
        available = 1_000

    monkeypatch.setattr(psutil, "virtual_memory", lambda: Free())
    assert auto_batch.cpu_has_room(0, 1_000, 4)
    assert not auto_batch.cpu_has_room(0, 2_000, 4)
    assert auto_batch.cpu_has_room(0, 2_000, 1)  # one window is always tried


def step_trainer(tiny_folder: Path, tmp_path: Path, fail_above: int, monkeypatch: Any) -> tuple[Any, list[int]]:
    """A run with batches of four windows on a device that takes ``fail_above`` of them."""
    import tiny_run

    from asrlsa.training import loss as loss_module
    from asrlsa.training.recipe import load_settings
    from asrlsa.training.run import make_trainer, prepare

    data = tiny_run.make_data(tmp_path / "data", train=8, dev=1)
    names = {"model.base": tiny_folder, "data.train": data / "train.jsonl"}
    changes = [f"{key}={json.dumps(str(value))}" for key, value in names.items()]
    more = ["train.batch=4", "train.steps=2", "data.layout=single", "data.noise_only=0", "method.lora_dropout=0"]
    ready = prepare(load_settings(None, [*changes, *more, "train.log=jsonl"]), lambda event: None)
    sizes: list[int] = []
    original = loss_module.LossHead.forward

    def forward(self: Any, model: Any, labels: Any, *args: Any, **kwargs: Any) -> Any:
        sizes.append(len(labels))
        if len(labels) > fail_above:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return original(self, model, labels, *args, **kwargs)

    monkeypatch.setattr(loss_module.LossHead, "forward", forward)
    return make_trainer(ready, tmp_path / f"out{fail_above}", resuming=False), sizes


def test_a_step_that_runs_out_is_done_in_halves(tiny_folder: Path, tmp_path: Path, monkeypatch: Any) -> None:
    losses, weights = [], []
    for limit in (4, 1):
        with pytest.MonkeyPatch.context() as patch:
            trainer, sizes = step_trainer(tiny_folder, tmp_path, limit, patch)
            trainer.train()
        losses.append([e["loss"] for e in trainer.state.log_history if "loss" in e])
        weights.append({n: p.detach().clone() for n, p in trainer.model.named_parameters() if p.requires_grad})
        assert sizes[:1] == [4]
    assert sizes == [4, 2, 1, 1, 2, 1, 1] * 2
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    for name, value in weights[0].items():
        torch.testing.assert_close(value, weights[1][name], rtol=1e-3, atol=5e-5)
