"""One configuration in a process of its own: what it measures, and that whatever goes wrong there is said here."""

import subprocess
import sys
from pathlib import Path

import pytest

from asrlsa.errors import MediaError, ModelError, UsageError
from asrlsa.trials import Trial, run_trial, size_of, transcript_names

ROOT = Path(__file__).resolve().parents[1]


def test_names_are_stems_or_paths_below_the_shared_folder():
    paths = [Path("/a/x/1.wav"), Path("/a/y/2.b.mp3")]
    assert transcript_names(paths) == ["1", "2.b"]
    assert transcript_names([Path("/a/x/1.wav"), Path("/a/y/1.wav")]) == ["x/1", "y/1"]
    with pytest.raises(UsageError, match="two recordings"):
        transcript_names([Path("/a/1.wav"), Path("/a/1.mp3")])


def test_what_makes_no_sense_is_refused_before_a_process_starts(tmp_path):
    with pytest.raises(UsageError, match="no recording"):
        run_trial(Trial("base"), [], tmp_path)
    with pytest.raises(UsageError, match="context"):
        run_trial(Trial("base", context="half"), [tmp_path / "a.wav"], tmp_path)
    with pytest.raises(ModelError, match="no such directory"):
        run_trial(Trial("./nowhere"), [tmp_path / "a.wav"], tmp_path / "out")


def test_peak_memory_is_the_process_own_not_its_parents():
    def peak(code: str) -> int:
        command = [sys.executable, "-c", f"from asrlsa.speech.memory import peak_memory; {code}; print(peak_memory())"]
        return int(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout)

    held = bytearray(400_000_000)
    held[::4096] = b"\1" * len(held[::4096])  # touched, so that it is resident
    assert 5_000_000 < peak("pass") < 200_000_000
    given_back = "held = bytearray(300_000_000); held[::4096] = b'1' * len(held[::4096]); del held"
    assert peak(given_back) > 300_000_000, "memory that was given back counts too"


@pytest.mark.weights
def test_a_trial_measures_and_writes_what_transcribe_writes(tmp_path):
    from asrlsa import transcribe
    from asrlsa.chat.parser import read_chat
    from asrlsa.models import resolve_model

    sample = ROOT / "samples" / "sandwich.mp3"
    heard = []
    trial = Trial("tiny.en", compute_type="int8", threads=1, batch_size=1)
    found = run_trial(trial, [sample], tmp_path, on_progress=heard.append)
    assert found.trial == trial
    assert found.audio_seconds == pytest.approx(21.3, abs=1)
    assert 0 < found.first_seconds <= found.seconds
    assert found.load_seconds > 0
    assert 0 < found.cpu_seconds < found.seconds * 1.2, "one core"
    assert 80_000_000 < found.peak_memory < 800_000_000
    assert found.disk == size_of(resolve_model("tiny.en").directory)
    assert heard == sorted(heard)
    assert heard[-1] > 15_000
    # A trial measures the weights that are named, without the adapter that comes with asrlsa; so does a folder.
    weights = str(resolve_model("tiny.en").directory)
    same = transcribe(sample, model=weights, compute_type="int8", threads=1, batch_size=1)
    theirs = read_chat(tmp_path / "sandwich.cha").utterances
    assert [u.text for u in theirs] == [u.text for u in same.utterances]


@pytest.mark.weights
def test_the_model_alone_writes_text(tmp_path):
    sample = ROOT / "samples" / "sandwich.mp3"
    found = run_trial(Trial("tiny.en", compute_type="int8", only_model=True), [sample], tmp_path)
    assert "peanut butter" in (tmp_path / "sandwich.txt").read_text(encoding="utf-8")
    assert found.audio_seconds == pytest.approx(21.3, abs=1)


@pytest.mark.weights
def test_what_fails_in_the_process_is_raised_here(tmp_path):
    bad = tmp_path / "bad.wav"
    bad.write_bytes(b"no sound at all")
    with pytest.raises(MediaError, match=r"bad\.wav"):
        run_trial(Trial("tiny.en", compute_type="int8"), [bad], tmp_path / "out")
    with pytest.raises(UsageError, match="4096 threads"):
        run_trial(Trial("tiny.en", threads=4096), [bad], tmp_path / "out")


@pytest.mark.weights
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is limited on Linux only")
def test_a_memory_limit_holds(tmp_path):
    sample = ROOT / "samples" / "sandwich.mp3"
    with pytest.raises(ModelError, match=r"memory|alloc|Memory"):
        run_trial(Trial("tiny.en", compute_type="float32"), [sample], tmp_path, memory_limit=120_000_000)
