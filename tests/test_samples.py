"""The recordings in samples/ and their gold transcripts agree with each other, with CHAT, and with their script."""

import importlib.util
import itertools
import re
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from asrlsa import read_chat
from asrlsa.audio import SAMPLE_RATE, load
from asrlsa.chat.check import check_chat
from asrlsa.participants import participants_in, read_participants_csv
from asrlsa.types import Utterance

SAMPLES = Path(__file__).resolve().parents[1] / "samples"
GOLD = sorted(SAMPLES.glob("*.cha"))
FRAME_MS = 10
QUIET = 10 ** (-48 / 20)  # the room noise is below, every sound of speech above
BULLET = re.compile(" \x15\\d+_\\d+\x15")


def recording(gold: Path) -> Path:
    (found,) = [p for p in SAMPLES.glob(f"{gold.stem}.*") if p.suffix != ".cha"]
    return found


def loud_frames(path: Path) -> np.ndarray:
    audio = load(path)
    step = SAMPLE_RATE * FRAME_MS // 1000
    frames = audio[: len(audio) // step * step].reshape(-1, step)
    return np.sqrt((frames**2).mean(axis=1)) > QUIET


def frames_of(utterance: Utterance) -> slice:
    assert utterance.start is not None
    assert utterance.end is not None
    return slice(utterance.start // FRAME_MS, utterance.end // FRAME_MS)


def silences(loud: np.ndarray) -> list[int]:
    """Lengths in ms of the quiet runs between loud frames."""
    edges = np.flatnonzero(loud)
    return [int(gap - 1) * FRAME_MS for gap in np.diff(edges) if gap > 1]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_samples", SAMPLES / "make_samples.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_there_are_enough_and_they_are_small():
    assert len(GOLD) == 5
    assert sum(p.stat().st_size for p in SAMPLES.iterdir() if p.is_file()) < 2_000_000


@pytest.mark.parametrize("gold", GOLD, ids=lambda p: p.stem)
def test_gold_is_valid_chat(gold, judge):
    text = gold.read_text(encoding="utf-8")
    assert judge(text) == []
    assert check_chat(text, gold.stem) == []


@pytest.mark.parametrize("gold", GOLD, ids=lambda p: p.stem)
def test_bullets_hold_all_the_speech(gold):
    loud = loud_frames(recording(gold))
    outside = np.ones(len(loud), dtype=bool)
    for utterance in read_chat(gold).utterances:
        span = frames_of(utterance)
        assert span.stop <= len(loud)
        inside = np.flatnonzero(loud[span])
        assert inside[0] * FRAME_MS <= 100, utterance.text
        assert (span.stop - span.start - inside[-1]) * FRAME_MS <= 250, utterance.text
        outside[span] = False
    assert not loud[outside].any()


@pytest.mark.parametrize("gold", GOLD, ids=lambda p: p.stem)
def test_pauses_are_as_long_as_written(gold):
    loud = loud_frames(recording(gold))
    for utterance in read_chat(gold).utterances:
        written = [600 if p == "." else int(float(p) * 1000) for p in re.findall(r"\((\.|\d+\.\d+)\)", utterance.text)]
        heard = [ms for ms in silences(loud[frames_of(utterance)]) if ms >= 400]
        assert heard == pytest.approx(written, abs=120), utterance.text


def test_every_disfluency_that_they_should_hold_is_there():
    text = "".join(gold.read_text(encoding="utf-8") for gold in GOLD)
    wanted = [
        "&-um",
        "&-uh",
        "&-er",
        "&-hm",
        "he [/] he [/] he",
        "<the wind> [/] &-um the wind",
        "<by the pond> [/]",
        "> [//]",
    ]
    wanted += ["&+s &+s stuck", "(.)", "(1.4)", "+...", "?", "!", "very very", "no no no", "bye bye", "that that"]
    assert [w for w in wanted if w not in text] == []


def test_no_mark_for_the_voice_is_left_and_doubled_words_are_meant():
    doubled = set()
    for gold in GOLD:
        for utterance in read_chat(gold).utterances:
            items = utterance.text.split()
            words = [item.strip("<>") for item in items if item[0] not in "&[(+,.?!" and item[-1] != "]"]
            assert [w for w in words if not re.fullmatch(r"[A-Za-z']+", w)] == []
            doubled |= {a for a, b in itertools.pairwise(items) if a == b and a.isalpha()}
    assert doubled == {"very", "really", "no", "that", "had", "bye"}


def test_gold_follows_from_the_script(script):
    made = {Path(s.file).stem: s for s in script.SAMPLES}
    assert sorted(made) == [gold.stem for gold in GOLD]
    for gold in GOLD:
        sample = made[gold.stem]
        text = script.chat_text(sample, [(0, 1)] * len(sample.tiers))
        assert BULLET.sub("", gold.read_text(encoding="utf-8")) == BULLET.sub("", text)
    assert (SAMPLES / "participants.csv").read_text(encoding="utf-8") == script.participants_csv()


@pytest.mark.parametrize("gold", GOLD, ids=lambda p: p.stem)
def test_participants_csv_says_what_gold_says(gold):
    table = read_participants_csv(SAMPLES / "participants.csv")
    people = participants_in(table, recording(gold), SAMPLES)
    assert {(p.code, p.role, p.age, p.sex) for p in people} == {
        (p.code, p.role, p.age, p.sex) for p in read_chat(gold).participants
    }


def test_the_call_has_one_speaker_a_channel():
    path = SAMPLES / "appointment_call.flac"
    left, right = load(path, channel=0), load(path, channel=1)
    for utterance in read_chat(path.with_suffix(".cha")).utterances:
        assert utterance.start is not None
        assert utterance.end is not None
        span = slice(utterance.start * SAMPLE_RATE // 1000, utterance.end * SAMPLE_RATE // 1000)
        speaking, silent = (left, right) if utterance.speaker == "INV" else (right, left)
        assert np.abs(speaking[span]).max() > 100 * np.abs(silent[span]).max()
