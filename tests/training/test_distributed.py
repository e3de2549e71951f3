"""Two processes on a CPU (gloo) learn what one process learns from batches of twice the size."""

# ruff: noqa: E402

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("peft")

import safetensors.torch
import tiny_run

from asrlsa.finetune import finetune
from asrlsa.training.recipe import load_settings, to_toml

pytestmark = [
    pytest.mark.skipif(not torch.distributed.is_available(), reason="this torch has no torch.distributed"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning"),
]


needs_deepspeed = pytest.mark.skipif(importlib.util.find_spec("deepspeed") is None, reason="needs deepspeed")


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("method", "more"),
    [
        ("lora", ["train.accumulation=2"]),
        ("s2lora", ["method.ortho=0.01"]),
        ("full", ["train.fsdp=full_shard"]),
        ("lora", ["train.fsdp=shard_grad_op"]),
        pytest.param("lora", ["train.deepspeed=zero2.json"], marks=needs_deepspeed),
        pytest.param("full", ["train.deepspeed=zero3.json"], marks=needs_deepspeed),
    ],
)
def test_two_processes_equal_one(method: str, more: list[str], tiny_folder: Path, tmp_path: Path) -> None:
    data = tiny_run.make_data(tmp_path / "data", train=32, dev=3)
    names = {"model.base": tiny_folder, "data.train": data / "train.jsonl", "data.dev": data / "dev.jsonl"}
    common = [f"{key}={json.dumps(str(value))}" for key, value in names.items()]
    common += ["train.steps=3", "train.threads=1", "train.log=jsonl", "method.lora_dropout=0", "method.r=4"]
    common += [f"method.method={method}", "train.eval_batch=1", "train.eval_every=3", "train.eval_start=false"]
    for stage in (2, 3):
        sizes = dict.fromkeys(
            ("train_micro_batch_size_per_gpu", "gradient_accumulation_steps", "gradient_clipping"), "auto"
        )
        values = {"zero_optimization": {"stage": stage}, **sizes}
        (tmp_path / f"zero{stage}.json").write_text(json.dumps(values), encoding="utf-8")
    more = [m.replace("zero", f"{tmp_path}/zero") for m in more]
    one = load_settings(
        None, [*common, "train.batch=2", *(m for m in more if "fsdp" not in m and "deepspeed" not in m)]
    )
    finetune(one, tmp_path / "one")
    two = load_settings(None, [*common, "train.batch=1", *more])
    (tmp_path / "two.toml").write_text(to_toml(two), encoding="utf-8")
    arguments = ["-m", "asrlsa", "finetune", str(tmp_path / "two.toml"), "-o", str(tmp_path / "two")]
    shown = tiny_run.run(arguments, tmp_path / "cache", processes=2)
    assert shown.count("a step: ") == 1  # one process speaks
    assert tiny_run.losses(tmp_path / "two") == pytest.approx(tiny_run.losses(tmp_path / "one"), abs=2e-4)
    scores = [
        {k: v for k, v in e.items() if k in ("wer", "cer", "windows")}
        for run in ("one", "two")
        for e in tiny_run.events(tmp_path / run / "train.jsonl")
        if e["event"] == "eval"
    ]
    assert scores[0] == scores[1]
    file = "model/model.safetensors" if method == "full" else "adapter/adapter_model.safetensors"
    ours, theirs = (safetensors.torch.load_file(tmp_path / run / file) for run in ("one", "two"))
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        torch.testing.assert_close(theirs[name], value, rtol=1e-3, atol=2e-5, msg=name)
