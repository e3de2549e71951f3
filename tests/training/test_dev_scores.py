"""Dev scores: generation equals the plain argmax, and the figures equal those of ``asrlsa evaluate``."""

# ruff: noqa: E402

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("peft")

import tiny_run

from asrlsa.chat.build import build_transcript
from asrlsa.disfluency import code_utterance
from asrlsa.errors import ConfigError
from asrlsa.evaluate import evaluate
from asrlsa.language import spell_out
from asrlsa.manifest import Row, read_rows
from asrlsa.training.base import load_base
from asrlsa.training.data_settings import DataSettings
from asrlsa.training.dev import DevSet, Share
from asrlsa.training.loss import LossHead, install_loss
from asrlsa.training.scores import Written, greedy, group_rows, longest_text, prompt_length, score
from asrlsa.training.settings import LossSettings
from asrlsa.training.vocabulary import Vocabulary
from asrlsa.types import Participant, Utterance, Word


def row(audio: str, speaker: str = "") -> Row:
    return Row(id=f"{audio}-{speaker}", audio=Path(f"/{audio}"), start=0, end=1000, text="a", speaker=speaker)


def window(text: str, *said: str, group: str = "g", order: int = 0) -> Written:
    return Written(group, order, said, text, "en", False)


def test_groups_share_no_speaker_and_no_recording() -> None:
    rows = [row("a", "x"), row("b", "x"), row("b", "y"), row("c", "z"), row("d")]
    found = [sorted(r.id for r in group) for group in group_rows(rows).values()]
    assert sorted(found) == [["a-x", "b-x", "b-y"], ["c-z"], ["d-"]]


def test_one_partner_in_every_recording_leaves_recordings_as_groups() -> None:
    rows = [row(audio, speaker) for audio in "abc" for speaker in ("examiner", f"child {audio}")]
    assert len(group_rows(rows)) == 3


@torch.no_grad()
def argmax(model: Any, features: Any, prompt: list[int], eot: int, limit: int, never: Any, first: Any) -> list[int]:
    """Greedy search without a cache, one window at a time."""
    ids, found = list(prompt), []
    while len(found) < limit:
        logits = model(input_features=features[None], decoder_input_ids=torch.tensor([ids])).logits[0, -1].clone()
        logits[never] = -torch.inf
        if not found:
            logits[first] = -torch.inf
        token = int(logits.argmax())
        if token == eot:
            break
        found.append(token)
        ids.append(token)
    return found


def test_generation_equals_the_plain_argmax(tiny_folder: Path) -> None:
    base = load_base(tiny_folder)
    vocabulary = Vocabulary.of(base.directory)
    draw = torch.Generator().manual_seed(0)
    torch.nn.init.normal_(base.model.proj_out.weight, generator=draw)  # so that texts differ and end
    features = torch.randn(3, 80, 3000, generator=draw)
    prompt = [*vocabulary.start("en"), vocabulary.no_timestamps]
    never = torch.arange(vocabulary.eot + 1, base.model.config.vocab_size)
    first = torch.tensor([vocabulary.eot])
    limits = [3, 12, 0]
    found, encoded = greedy(
        base.model,
        {"input_features": features},
        torch.tensor([prompt] * 3),
        limits,
        eot=vocabulary.eot,
        forbidden=never,
        forbidden_first=first,
    )
    assert encoded[0].shape == (3, 1500, 16)
    for k, limit in enumerate(limits):
        assert found[k] == argmax(base.model, features[k], prompt, vocabulary.eot, limit, never, first)


def test_limits_and_prompts() -> None:
    assert longest_text(30, 4, 448) == 376
    assert longest_text(60, 4, 448) == 444
    assert longest_text(30, 448, 448) == 0
    assert prompt_length([-100, -100, 5, 6]) == 3
    assert prompt_length([-100, -100]) == 2


SAID = ("um I I want the b- ball", "you know it it fell", "and then uh we went home")
HEARD = ("um I want the ball", "you know it it fell down", "uh and then we we went home")


def test_figures_equal_those_of_evaluate(tmp_path: Path) -> None:
    windows = [window(h, s, group=f"g{k}") for k, (s, h) in enumerate(zip(SAID, HEARD, strict=True))]
    ours, sums = score(windows, resamples=200, seed=3)
    for side, texts in (("ref", SAID), ("hyp", HEARD)):
        (tmp_path / side).mkdir()
        for k, text in enumerate(texts):
            words = spell_out([Word(w) for w in text.split()], "eng")
            coded = code_utterance(words, ".", language="eng")
            made = build_transcript(
                [Utterance("PAR", coded.text)],
                participants=[Participant("PAR")],
                languages=["eng"],
                media=f"g{k}",
                date=None,
                comments=[],
                wor=False,
            )
            (tmp_path / side / f"g{k}.cha").write_text(made.to_chat(), encoding="utf-8")
    theirs = evaluate(tmp_path / "hyp", tmp_path / "ref", resamples=200, seed=3)
    for name in ("wer", "fluent_wer", "cer", "batchalign_wer", "disfluency_f1", "filled_pause_f1", "fragment_recall"):
        assert ours.scores[name] == pytest.approx(theirs.scores[name]), name
        assert ours.intervals[name] == pytest.approx(theirs.intervals[name]), name
    assert ours.groups == len(sums) == 3


def test_words_are_cut_where_utterances_end() -> None:
    """`home | home` is no repetition, whichever way the model writes it."""
    said = ("he went home", "home is here")
    good, _ = score([window("he went home home is here", *said)], resamples=0)
    assert good.scores["wer"] == 0
    assert good.scores["word_repetition_f1"] is None  # none said, none written
    twice, _ = score([window("he went went home home is here", *said)], resamples=0)
    assert twice.scores["word_repetition_precision"] == 0


def test_silence_loops_and_noise() -> None:
    empty, _ = score([window("", "he went home")], resamples=0)
    assert empty.scores["wer"] == 100
    loop, _ = score([window("home " * 30, "he went home")], resamples=0)
    assert loop.scores["wer"] == pytest.approx(100 * 29 / 3, abs=70)
    noise, _ = score([window("you", ""), window("he went home", "he went home", order=1)], resamples=0)
    assert noise.scores["wer"] == pytest.approx(100 / 3)


@pytest.fixture(scope="module")
def dev_rows(tmp_path_factory: pytest.TempPathFactory) -> list[Row]:
    data = tiny_run.make_data(tmp_path_factory.mktemp("dev"), train=1, dev=5)
    return list(read_rows(data / "dev.jsonl"))


def made(tiny_folder: Path, rows: list[Row], **changes: Any) -> tuple[Any, DevSet]:
    base = load_base(tiny_folder)
    vocabulary = Vocabulary.of(base.directory)
    install_loss(base.model, LossHead(LossSettings(), vocabulary.timestamp_begin))
    return base, DevSet(rows, DataSettings(**changes), vocabulary)


def test_batches_and_processes_change_nothing(tiny_folder: Path, dev_rows: list[Row]) -> None:
    base, dev = made(tiny_folder, dev_rows, layout="single")
    assert len(dev) == 5

    def run(batch: int, share: Share | None = None) -> Any:
        return dev.evaluate(
            base.model, base.model.generation_config, device=torch.device("cpu"), batch=batch, share=share
        )

    one, sums = run(1)
    for batch in (2, 5):
        other, others = run(batch)
        assert others == sums
        assert other.loss == pytest.approx(one.loss, rel=1e-5)
    parts: list[Any] = []

    def keep(values: list[Any]) -> list[Any]:
        parts.extend(values)
        return list(parts)

    run(2, Share(0, 2, keep))
    both, others = run(2, Share(1, 2, keep))
    assert others == sums
    assert both.loss == pytest.approx(one.loss, rel=1e-5)


def test_an_evaluation_says_how_far_it_is(tiny_folder: Path, dev_rows: list[Row]) -> None:
    base, dev = made(tiny_folder, dev_rows, layout="single")
    told: list[tuple[int, int]] = []
    dev.evaluate(
        base.model,
        base.model.generation_config,
        device=torch.device("cpu"),
        batch=2,
        told=lambda done, windows: told.append((done, windows)),
    )
    assert told == [(2, 5), (4, 5), (5, 5)]


def test_processes_in_step_call_the_model_equally_often(tiny_folder: Path, dev_rows: list[Row]) -> None:
    _, dev = made(tiny_folder, dev_rows, layout="single")
    counts = [len(list(dev._batches(2, Share(rank, 2, list, bool)))) for rank in range(2)]
    assert counts == [2, 2]


def test_what_can_not_be_scored_is_counted(tiny_folder: Path, dev_rows: list[Row]) -> None:
    import dataclasses

    long = dataclasses.replace(dev_rows[-1], text="b- b- ball " * 200, speaker="somebody")
    _, dev = made(tiny_folder, [*dev_rows[:-1], long], layout="single")
    assert len(dev) == 4
    assert dev.describe().startswith("4 of 5 utterances, ")
    with pytest.raises(ConfigError, match=r"no utterance can be used: more tokens than the decoder takes \(1 row\)"):
        made(tiny_folder, [long])


def test_a_dev_set_without_text_is_refused(tiny_folder: Path) -> None:
    import dataclasses

    with pytest.raises(ConfigError, match="no text to score"):
        made(tiny_folder, [dataclasses.replace(row("a"), text="")])
