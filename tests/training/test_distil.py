"""Distillation: the loss is 0.8 CE + KL at T = 2, the filter keeps disfluencies, the result decodes everywhere."""

# ruff: noqa: E402

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("peft")

import tiny_run
from torch.nn import functional as F
from training_data import row

from asrlsa.errors import ConfigError
from asrlsa.finetune import finetune
from asrlsa.training import distil
from asrlsa.training.base import load_base
from asrlsa.training.loss import IGNORED, LossHead, install_loss, token_loss
from asrlsa.training.recipe import load_settings
from asrlsa.training.settings import DistilSettings, LossSettings

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning"),
    pytest.mark.usefixtures("quiet_machine"),
]


@pytest.mark.parametrize("chunk", [1, 4, 100])
@pytest.mark.parametrize("temperature", [1.0, 2.0, 0.5])
def test_the_loss_without_logits(chunk: int, temperature: float) -> None:
    draw = torch.Generator().manual_seed(0)
    hidden, base = (torch.randn(11, 8, generator=draw, requires_grad=r) for r in (True, False))
    weight, other = (torch.randn(31, 8, generator=draw, requires_grad=r) for r in (True, False))
    labels = torch.randint(31, (11,), generator=draw)
    ours, divergence = token_loss(
        hidden,
        weight,
        labels,
        token_weights=torch.full((11,), 0.8),
        base=base,
        base_weight=other,
        pull=1.0,
        temperature=temperature,
        chunk=chunk,
    )
    logits = hidden @ weight.T
    log_p = F.log_softmax(logits / temperature, -1)
    log_q = F.log_softmax(base @ other.T / temperature, -1)
    kl = temperature**2 * F.kl_div(log_p, log_q, log_target=True, reduction="sum")
    plain = 0.8 * F.cross_entropy(logits, labels, reduction="sum") + kl
    torch.testing.assert_close(ours, plain, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(divergence, kl, rtol=1e-5, atol=1e-4)
    for got, want in zip(
        torch.autograd.grad(ours, [hidden, weight]), torch.autograd.grad(plain, [hidden, weight]), strict=True
    ):
        torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-4)


def test_layers_are_maximally_spaced() -> None:
    assert distil.spaced(32, 2) == [0, 31]
    assert distil.spaced(4, 2) == [0, 3]
    assert distil.spaced(4, 1) == [3]
    assert distil.spaced(32, 3) == [0, 16, 31]
    for layers in range(2, 33):
        for wanted in range(2, layers):
            chosen = distil.spaced(layers, wanted)
            assert len(set(chosen)) == wanted
            assert (chosen[0], chosen[-1]) == (0, layers - 1)


def test_the_student_is_the_teacher_with_fewer_layers(tiny_folder: Path) -> None:
    base = load_base(tiny_folder)
    base.model.generation_config.alignment_heads = [[0, 2], [1, 1]]
    made = distil.student_of(base, 1, share_encoder=True)
    student, teacher = made.model.model, base.model.model
    assert made.sha256 == base.sha256
    assert student.encoder is teacher.encoder
    assert len(student.decoder.layers) == 1
    assert len(teacher.decoder.layers) == 2
    last = dict(teacher.decoder.layers[1].named_parameters())
    for name, value in student.decoder.layers[0].named_parameters():
        assert torch.equal(value, last[name])
        assert value is not last[name]
    assert made.model.proj_out.weight is student.decoder.embed_tokens.weight
    assert made.model.generation_config.alignment_heads == [[0, 1]]
    assert base.model.generation_config.alignment_heads == [[0, 2], [1, 1]]
    assert made.model.config.decoder_layers == 1
    assert base.model.config.decoder_layers == 2
    own = distil.student_of(base, 1, share_encoder=False)
    assert own.model.model.encoder is not teacher.encoder
    with pytest.raises(ConfigError, match="distils nothing"):
        distil.student_of(base, 2, share_encoder=True)


@pytest.mark.parametrize("share", [True, False])
@pytest.mark.parametrize("cached", [True, False])
def test_the_models_loss(tiny_folder: Path, share: bool, cached: bool) -> None:
    base = load_base(tiny_folder)
    student: Any = distil.student_of(base, 1, share_encoder=share).model
    teacher: Any = base.model.requires_grad_(False)
    head = LossHead(LossSettings(), 10_000, teacher=teacher, distil=DistilSettings(1))
    install_loss(student, head)
    sound = torch.randn(2, 80, 3000, generator=torch.Generator().manual_seed(1))
    ids = torch.tensor([[5, 6, 7], [8, 9, 10]])
    labels = torch.tensor([[6, 7, 11], [9, IGNORED, IGNORED]])
    with torch.no_grad():
        encoded = teacher.model.encoder(sound).last_hidden_state
    inputs = {"encoder_outputs": (encoded,)} if cached else {"input_features": sound}
    student.train()
    loss = student(**inputs, decoder_input_ids=ids, labels=labels)["loss"]
    loss.backward()
    learnt = labels != IGNORED
    logits = [
        m.proj_out(m.model(encoder_outputs=(encoded,), decoder_input_ids=ids).last_hidden_state)[learnt].detach()
        for m in (student, teacher)
    ]
    log_p, log_q = (F.log_softmax(x / 2, -1) for x in logits)
    wanted = 0.8 * F.cross_entropy(logits[0], labels[learnt]) + 4 * F.kl_div(
        log_p, log_q, log_target=True, reduction="batchmean"
    )
    assert float(loss.detach()) == pytest.approx(float(wanted), rel=1e-4)
    assert all(p.grad is None for p in teacher.parameters())
    assert student.model.decoder.layers[0].fc1.weight.grad is not None
    # An evaluation counts the cross entropy alone, as for every other run.
    student.eval()
    with torch.no_grad():
        plain = student(**inputs, decoder_input_ids=ids, labels=labels)["loss"]
    assert float(plain) == pytest.approx(float(F.cross_entropy(logits[0], labels[learnt])), rel=1e-4)


def test_a_filler_removes_no_row() -> None:
    said = "um the the dog ran to the b- ball"
    rows = [row(0, 2000, said) for _ in range(6)] + [row(0, 1000, "um uh"), row(0, 1000, "um uh")]
    labels = [
        said,
        "The dog ran to the ball.",  # every disfluency dropped
        "uh the dog, er, ran to to the ball",  # others in their place
        "the dog ran to the park",  # one word of five wrong
        "",
        None,
        "uh",
        "the dog",
    ]
    rates = distil.disagreement(rows, labels)
    assert rates[:3] == [0, 0, 0]
    assert rates[3] == pytest.approx(100 / 6)
    assert rates[4:7] == [100, 100, 0]
    assert rates[7] == float("inf")


def settings(**more: Any) -> Any:
    return load_settings(None, [f"distil.{k}={v!r}" for k, v in {"decoder_layers": 1, **more}.items()])


def test_rows_and_texts_are_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        row(0, 1000, "um the dog"),
        row(1000, 2000, "the cat", joins=True),
        row(2000, 3000, "the frog", joins=True),
        row(3000, 4000, "", joins=True),
        row(4000, 40_000, "too long to be labelled"),
    ]
    written = ["the dog", "a hat", "uh the frog"]
    monkeypatch.setattr(distil, "pseudo_labels", lambda *a: written)
    notes: list[str] = []

    def kept(**more: Any) -> list[tuple[str, bool]]:
        found = distil.labelled_rows(rows, settings(**more), None, notes.append)  # type: ignore[arg-type]
        return [(r.text, r.joins) for r in found]

    rest = [("", True), ("too long to be labelled", False)]
    assert kept() == [("um the dog", False), ("the frog", False), *rest]
    assert "2 of 3 rows are kept" in notes[0]
    assert kept(labels="teacher") == [("the dog", False), ("uh the frog", False), *rest]
    assert kept(labels="teacher", max_wer=0.0)[1] == ("a hat", True)
    assert distil.labelled_rows(rows, settings(max_wer=0.0), None, notes.append) == rows  # type: ignore[arg-type]
    written[:] = ["x", "y", None]  # type: ignore[list-item]
    with pytest.raises(ConfigError, match="max_wer"):
        kept()


def test_settings_follow_and_exclude_one_another() -> None:
    made = load_settings(None, ["distil.decoder_layers=2"])
    assert (made.train.parts, made.method.method, made.train.lr) == ("decoder", "full", 1e-4)
    assert (made.distil.ce, made.distil.kl, made.distil.temperature) == (0.8, 1.0, 2.0)
    made = load_settings(None, ["distil.decoder_layers=2", "train.parts=all", "train.lr=1e-5"])
    assert (made.train.parts, made.train.lr) == ("all", 1e-5)
    for change, words in (
        ("method.method=lora", "method = full"),
        ("loss.fluent=x.jsonl", "loss.fluent"),
        ("train.fsdp=full_shard", "excludes"),
        ("distil.labels=both", "text or teacher"),
        ("distil.ce=-1", "distil.ce"),
        ("distil.temperature=0", "distil.temperature"),
    ):
        with pytest.raises(ConfigError, match=words):
            load_settings(None, ["distil.decoder_layers=2", change])


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_run.make_data(tmp_path_factory.mktemp("data"), train=4, dev=2)


def test_a_run_ends_with_a_model_that_decodes_everywhere(
    tiny_folder: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from asrlsa.models import resolve_model

    # A random model writes nothing but loops.
    monkeypatch.setattr(distil, "pseudo_labels", lambda rows, *a: [r.text for r in rows])

    names = {"model.base": tiny_folder, "data.train": data / "train.jsonl", "data.dev": data / "dev.jsonl"}
    changes = [f"{key}={json.dumps(str(value))}" for key, value in names.items()]
    changes += ["distil.decoder_layers=1", "distil.labels=teacher", "distil.max_wer=0", "train.device=cpu"]
    changes += ["train.steps=2", "train.batch=2", "train.threads=1", "train.log=jsonl", "train.eval_every=2"]
    told: list[Any] = []
    found = finetune(load_settings(None, changes), tmp_path / "out", on_event=told.append)
    assert found.adapter is not None
    notes = [e["text"] for e in told if e["event"] == "note"]
    assert any(n.startswith("pseudo labels: ") for n in notes)
    assert any(n.startswith("encoder output: ") for n in notes)
    step = next(e for e in told if e["event"] == "step")
    assert step["divergence"] > 0
    teacher, student = load_base(tiny_folder).model, load_base(found.adapter).model
    assert student.config.decoder_layers == len(student.model.decoder.layers) == 1
    for (name, kept), (_, was) in zip(
        student.model.encoder.named_parameters(), teacher.model.encoder.named_parameters(), strict=True
    ):
        assert torch.equal(kept, was), name
    assert not torch.equal(student.model.decoder.layers[0].fc1.weight, teacher.model.decoder.layers[1].fc1.weight)
    # In transformers itself, and in CTranslate2.
    from transformers import WhisperForConditionalGeneration

    theirs = WhisperForConditionalGeneration.from_pretrained(found.adapter)
    assert theirs.config.decoder_layers == 1
    model = resolve_model(found.adapter)
    assert model.card is not None
    assert model.card.method == "full"
    from asrlsa.speech.decode import DecodingOptions, Recogniser

    recogniser = Recogniser(model, device="cpu", compute_type="float32", threads=1)
    encoded = recogniser.encode([recogniser.features(np.zeros(16_000, np.float32))])
    [decoded] = recogniser.decode(encoded, [1000], language=["en"], prompt=[None], options=DecodingOptions())
    assert np.isfinite(decoded.average_log_probability)


def test_labels_are_written_once(tiny_folder: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from asrlsa.manifest import read_rows

    made = load_settings(None, [f"model.base={json.dumps(str(tiny_folder))}", "train.threads=1", "train.device=cpu"])
    rows = list(read_rows(data / "train.jsonl"))
    base = load_base(tiny_folder)
    first = distil.pseudo_labels(rows, made, base, lambda text: None)
    assert len(first) == len(rows)
    monkeypatch.setattr(distil, "_write", lambda *a: pytest.fail("written twice"))
    assert distil.pseudo_labels(rows, made, base, lambda text: None) == first


def test_the_flag_is_the_setting(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import asrlsa.finetune
    from asrlsa.cli import main

    given: list[Any] = []

    def instead(settings: Any, *a: Any, **k: Any) -> Any:
        given.append(settings)
        return asrlsa.finetune.FinetuneResult(tmp_path, None, None, 0, 0, {}, {}, {})

    monkeypatch.setattr(asrlsa.finetune, "finetune", instead)
    flags = ["--distil-decoder-layers", "2", "--data", str(data), "-o", str(tmp_path / "out")]
    monkeypatch.setattr("sys.argv", ["asrlsa", "finetune", *flags])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code in (0, None)
    [settings] = given
    assert settings.distil.decoder_layers == 2
    assert settings.train.parts == "decoder"
