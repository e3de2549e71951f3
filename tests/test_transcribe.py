"""``asrlsa transcribe`` as its users run it: real weights, real files, the independent judge on every transcript."""

from __future__ import annotations

import itertools
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asrlsa import TranscribeOptions, read_chat, transcribe
from asrlsa.audio import load
from asrlsa.errors import ConfigError, MediaError
from asrlsa.models import resolve_model

SAMPLES = Path(__file__).resolve().parents[1] / "samples"
SECOND = 16_000

pytestmark = pytest.mark.weights

Judge = Callable[[str], Sequence[str]]


@pytest.fixture(scope="session")
def speech() -> np.ndarray:
    """Some seconds of the project's own synthetic speech."""
    return load(SAMPLES / "kite_story.flac")


def write(path: Path, audio: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, audio, SECOND, subtype="PCM_16")
    return path


def run(*arguments: str | Path, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    call = [sys.executable, "-m", "asrlsa", "transcribe", *map(str, arguments), "--model", "tiny.en", "--offline"]
    return subprocess.run(call, capture_output=True, text=True, timeout=timeout, check=False)


def leftovers(folder: Path) -> list[Path]:
    return [p for p in folder.rglob("*") if p.name.startswith(".asrlsa") or p.suffix == ".tmp"]


def spoken(path: Path) -> str:
    return " ".join(u.text for u in read_chat(path).utterances)


def test_a_folder_with_bad_files_is_done_as_far_as_it_goes(tmp_path: Path, speech: np.ndarray, judge: Judge):
    visits = tmp_path / "visits"
    write(visits / "one.wav", speech[: 8 * SECOND])
    write(visits / "child a" / "två, tre.wav", speech[8 * SECOND : 14 * SECOND])
    (visits / "notes.wav").write_text("not a recording", encoding="utf-8")
    (visits / "empty.mp3").touch()
    (visits / "readme.txt").write_text("ignored", encoding="utf-8")
    out = tmp_path / "out"

    first = run(visits, "-o", out)

    assert first.returncode == 2, first.stderr
    done = sorted(p.relative_to(out).as_posix() for p in out.rglob("*.cha"))
    assert done == ["child a/två_ tre.cha", "one.cha"]
    for name in done:
        assert judge((out / name).read_text(encoding="utf-8")) == []
    errors = [line for line in first.stderr.splitlines() if "notes.wav" in line or "empty.mp3" in line]
    assert len(errors) == 2
    assert "Traceback" not in first.stderr
    log = (out / "asrlsa-errors.log").read_text(encoding="utf-8")
    assert "notes.wav" in log
    assert "empty.mp3" in log
    assert not leftovers(out)
    # logs hold no transcript text
    words = set(re.findall(r"[a-z]{6,}", spoken(out / "one.cha")))
    assert words
    assert not words & set(re.findall(r"[a-z]{6,}", first.stderr + log))

    before = {p: p.stat().st_mtime_ns for p in out.rglob("*.cha")}
    second = run(visits, "-o", out, "-v")
    assert second.returncode == 2
    assert second.stderr.count("done already") == 2
    assert {p: p.stat().st_mtime_ns for p in out.rglob("*.cha")} == before

    forced = run(visits / "one.wav", "-o", out, "--force")
    assert forced.returncode == 0, forced.stderr
    assert (out / "one.cha").stat().st_mtime_ns > before[out / "one.cha"]


def test_what_asrlsa_did_not_write_and_what_was_corrected_by_hand_is_never_lost(tmp_path: Path, speech: np.ndarray):
    recording = write(tmp_path / "visit.wav", speech[: 5 * SECOND])
    transcript = tmp_path / "visit.cha"
    transcript.write_text("@UTF8\n@Begin\n@End\n", encoding="utf-8")
    refused = run(recording)
    assert refused.returncode == 0
    assert "was not written by asrlsa" in refused.stderr
    assert transcript.read_text(encoding="utf-8") == "@UTF8\n@Begin\n@End\n"

    assert run(recording, "--overwrite").returncode == 0
    ours = transcript.read_text(encoding="utf-8")
    assert "@Media:\tvisit, audio" in ours

    corrected = ours.replace(" .", " !", 1)
    transcript.write_text(corrected, encoding="utf-8")
    kept = run(recording, "--force")
    assert "was edited by hand" in kept.stderr
    assert transcript.read_text(encoding="utf-8") == corrected


@pytest.mark.parametrize("kind", ["silence", "white noise", "hum"])
def test_a_minute_without_speech_gives_a_valid_transcript_without_words(tmp_path: Path, judge: Judge, kind: str):
    rng = np.random.default_rng(5)
    time_s = np.arange(60 * SECOND) / SECOND
    audio = {
        "silence": np.zeros(60 * SECOND),
        "white noise": 0.05 * rng.standard_normal(60 * SECOND),
        "hum": 0.1 * np.sin(2 * np.pi * 50 * time_s) + 0.02 * rng.standard_normal(60 * SECOND),
    }[kind]
    recording = write(tmp_path / "quiet.wav", audio)
    assert run(recording).returncode == 0
    text = (tmp_path / "quiet.cha").read_text(encoding="utf-8")
    assert not read_chat(tmp_path / "quiet.cha").utterances
    assert "no speech was found" in text
    assert judge(text) == []


def start(*arguments: str | Path) -> subprocess.Popen[str]:
    call = [sys.executable, "-m", "asrlsa", "transcribe", *map(str, arguments), "--model", "tiny.en", "--offline"]
    # A test run in the background of a shell has Ctrl-C ignored, and would hand that down.
    listen = None if os.name == "nt" else lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)
    return subprocess.Popen(call, stderr=subprocess.PIPE, text=True, preexec_fn=listen)


def wait_for_first(folder: Path, process: subprocess.Popen[str]) -> None:
    limit = time.monotonic() + 120
    while not list(folder.rglob("*.cha")) and process.poll() is None and time.monotonic() < limit:
        time.sleep(0.02)


@pytest.fixture
def shelf(tmp_path: Path, speech: np.ndarray) -> Path:
    folder = tmp_path / "shelf"
    for number in range(10):
        write(folder / f"{number}.wav", np.roll(speech, number * SECOND)[: 12 * SECOND])
    return folder


@pytest.mark.skipif(os.name == "nt", reason="kills with a POSIX signal")
@pytest.mark.parametrize("how", ["SIGKILL", "SIGINT"])
def test_a_stopped_run_goes_on_where_it_was(shelf: Path, judge: Judge, how: str):
    process = start(shelf, "--batch-size", "1")
    wait_for_first(shelf, process)
    process.send_signal(getattr(signal, how))
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == (130 if how == "SIGINT" else -signal.SIGKILL), stderr
    assert "Traceback" not in stderr
    finished = {p: p.stat().st_mtime_ns for p in shelf.glob("*.cha")}
    assert 0 < len(finished) < 10
    for path in finished:
        assert judge(path.read_text(encoding="utf-8")) == []

    again = run(shelf)
    assert again.returncode == 0, again.stderr
    assert len(list(shelf.glob("*.cha"))) == 10
    assert {p: p.stat().st_mtime_ns for p in finished} == finished
    assert not leftovers(shelf)


def test_two_runs_on_one_folder_share_the_work(shelf: Path, judge: Judge):
    processes = [start(shelf, "-v"), start(shelf, "-v")]
    said = [p.communicate(timeout=300)[1] for p in processes]
    assert [p.returncode for p in processes] == [0, 0], said
    transcripts = sorted(shelf.glob("*.cha"))
    assert len(transcripts) == 10
    for path in transcripts:
        assert judge(path.read_text(encoding="utf-8")) == []
    assert sum(len(re.findall(r"^\d\.wav: 0:12 min", text, re.MULTILINE)) for text in said) == 10
    assert not leftovers(shelf)


def test_participants_roles_and_formats(tmp_path: Path, speech: np.ndarray, judge: Judge):
    recording = write(tmp_path / "p12.wav", speech[: 12 * SECOND])
    (tmp_path / "participants.csv").write_text(
        "file,code,role,age,sex,group\np12,CHI,Target_Child,4;6,female,TD\np12,INV,Investigator,,,\n", encoding="utf-8"
    )
    result = run(recording, "--format", "srt,vtt,json,textgrid", "--no-wor")
    assert result.returncode == 0, result.stderr
    text = (tmp_path / "p12.cha").read_text(encoding="utf-8")
    assert "@ID:\teng|asrlsa|CHI|4;06.|female|TD||Target_Child|||" in text
    assert "INV Investigator" in text
    assert "check roles" in text
    assert "%wor" not in text
    assert judge(text) == []
    for suffix in ("srt", "vtt", "json", "TextGrid"):
        assert (tmp_path / f"p12.{suffix}").stat().st_size > 50

    # a format asked for later is made from the transcript that is there
    (tmp_path / "p12.srt").unlink()
    later = run(recording, "--format", "srt", "--no-wor", "-v")
    assert "done already" in later.stderr
    assert (tmp_path / "p12.srt").stat().st_size > 50


def test_other_formats_and_other_recordings_are_not_overwritten_either(tmp_path: Path, speech: np.ndarray):
    out = tmp_path / "out"
    first = write(tmp_path / "a" / "visit.wav", speech[: 4 * SECOND])
    second = write(tmp_path / "b" / "visit.wav", speech[4 * SECOND : 8 * SECOND])
    (first.parent / "visit.srt").write_text("mine", encoding="utf-8")
    refused = run(first, "--format", "srt")
    assert "visit.srt was not written by asrlsa" in refused.stderr
    assert (first.parent / "visit.srt").read_text(encoding="utf-8") == "mine"

    assert run(first, "-o", out).returncode == 0
    kept = (out / "visit.cha").read_text(encoding="utf-8")
    other = run(second, "-o", out)
    assert "transcript of another recording" in other.stderr
    assert (out / "visit.cha").read_text(encoding="utf-8") == kept


def test_each_channel_is_one_speaker(tmp_path: Path, speech: np.ndarray, judge: Judge):
    quiet = np.zeros(6 * SECOND)
    left = np.concatenate([speech[: 6 * SECOND], quiet])
    right = np.concatenate([quiet, speech[6 * SECOND : 12 * SECOND]])
    path = tmp_path / "call.wav"
    soundfile.write(path, np.stack([left, right], axis=1), SECOND)
    assert run(path, "--channels", "speakers").returncode == 0
    text = (tmp_path / "call.cha").read_text(encoding="utf-8")
    assert judge(text) == []
    turns = [(u.speaker, u.start) for u in read_chat(tmp_path / "call.cha").utterances]
    assert {code for code, _ in turns} == {"PAR0", "PAR1"}
    near = 50  # ms: how exactly a word's begin is known
    assert all((code == "PAR0") == (begin < 6_000 - near) for code, begin in turns if begin is not None)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["nowhere"], "nowhere"),
        (["--speakers", "many"], "speakers 'many' is not possible"),
        (["--speakers", "9"], "speakers"),
        (["--format", "docx"], "docx"),
        (["--device", "tpu"], "tpu"),
        (["--language", "klingon"], "asrlsa: language 'klingon' is not possible"),
        (["--language", ""], "asrlsa: language '' is not possible"),
        (["--speaker-model", "owner/name/file.onnx"], "--offline forbids downloading"),
        (["-o", "a.wav"], "a.wav: is a file; give a folder"),
        (["--participants", "CHI Wizard"], "Wizard"),
        (["--model", "tiny.en", "--language", "spa"], "only English"),
        (["--model", "no-such-model"], "no-such-model"),
        (["--beam-size", "0"], "beam size"),
        (["--colour", "red"], "--colour"),
    ],
)
def test_wrong_usage_is_one_clear_line_and_exit_code_1(
    tmp_path: Path, speech: np.ndarray, arguments: list[str], complaint: str
):
    recording = write(tmp_path / "a.wav", speech[:SECOND])
    call = [sys.executable, "-m", "asrlsa", "transcribe", "--offline", str(recording), *arguments]
    result = subprocess.run(call, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert result.returncode == 1, result.stderr
    assert complaint in result.stderr
    assert "Traceback" not in result.stderr
    assert "unexpected" not in result.stderr
    assert len(result.stderr.strip().splitlines()) <= 3
    assert not (tmp_path / "a.cha").exists()


def test_a_folder_without_recordings_says_so(tmp_path: Path):
    result = run(tmp_path)
    assert result.returncode == 1
    assert "no audio or video files" in result.stderr


def test_without_a_terminal_progress_is_plain_lines_on_stderr(tmp_path: Path, speech: np.ndarray):
    recording = write(tmp_path / "a.wav", speech[: 6 * SECOND])
    loud = run(recording)
    assert loud.stdout == ""
    assert "\x1b" not in loud.stderr
    assert re.search(
        r"^a\.wav: 0:06 min, \d+ words?, \d speakers?, \d+ fillers?, \d+ repetitions? -> ", loud.stderr, re.M
    )
    assert "× real time" in loud.stderr
    assert run(recording, "--force", "--quiet").stderr == ""


def test_as_a_library(speech: np.ndarray, judge: Judge):
    transcript = transcribe(speech[: 10 * SECOND], model="tiny.en", offline=True, speakers=1)
    assert transcript.utterances
    assert {u.speaker for u in transcript.utterances} == {"PAR0"}
    text = transcript.to_chat()
    assert judge(text) == []
    words = [w for u in transcript.utterances for w in u.words if w.start is not None]
    assert all(a.start < a.end <= b.start for a, b in itertools.pairwise(words))
    assert all(0 <= w.start < w.end <= 10_000 for w in words)
    with pytest.raises(TypeError):
        transcribe(speech, modle="tiny.en")


def test_arrays_of_every_kind_are_one_recording(speech: np.ndarray):
    def said(samples: object) -> list[str]:
        given = transcribe(samples, model="tiny.en", offline=True, speakers=1, align=False)  # type: ignore[arg-type]
        return [u.text for u in given.utterances]

    part = speech[: 5 * SECOND]
    expected = said(part)
    assert expected
    assert said((part * 32_768).clip(-32_768, 32_767).astype(np.int16)) == expected
    assert said(part.astype(np.float64)) == expected
    holed = part.copy()
    holed[100] = np.nan
    assert said(holed) == expected
    assert said(part[:0]) == []
    with pytest.raises(MediaError, match="holds int64"):
        said((part * 100).astype(np.int64))
    with pytest.raises(MediaError, match="shape"):
        said(np.stack([part, part]))


@pytest.mark.parametrize(
    "wrong", [{"speakers": "auto"}, {"participants": "CHI Target_Child"}, {"language": None}, {"formats": "srt"}]
)
def test_options_of_a_wrong_type_are_said(wrong: dict[str, object]):
    with pytest.raises(ConfigError, match="is not possible"):
        TranscribeOptions(**wrong)  # type: ignore[arg-type]


def test_the_card_of_a_model_is_obeyed(tmp_path: Path, speech: np.ndarray, monkeypatch: pytest.MonkeyPatch):
    from asrlsa import hearing
    from asrlsa.model_card import ModelCard, write_card

    base = resolve_model("tiny.en", offline=True)
    folder = tmp_path / "mine"
    folder.mkdir()
    for file in base.directory.iterdir():
        (folder / file.name).symlink_to(file)
    write_card(folder, ModelCard(base="tiny.en", verbatim=True, decoding={"beam_size": 3}))
    model = resolve_model(str(folder), offline=True)
    recogniser = hearing.load_recogniser(model, TranscribeOptions())
    settled = hearing.recognise_options(model, TranscribeOptions(), recogniser)
    assert settled.decoding.beam_size == 3
    assert settled.prompt("en") is None  # a verbatim model needs no prompt
    asked = hearing.recognise_options(model, TranscribeOptions(beam_size=1, prompt="Um."), recogniser)
    assert asked.decoding.beam_size == 1
    assert asked.prompt("en") == "Um."
