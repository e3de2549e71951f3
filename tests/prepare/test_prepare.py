"""The whole verb: splits that leak nobody, noise, runs that go on, memory, the command line."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from corpus_files import all_rows, read_lines, reasons, tone, write_chat, write_lines, write_wav
from hypothesis import given, settings
from hypothesis import strategies as st

from asrlsa.corpora import gates, matching, noise, parallel, stages
from asrlsa.corpora.matching import error_rate
from asrlsa.corpora.noise import confirm
from asrlsa.corpora.rows import chance
from asrlsa.corpora.splits import read_split_file
from asrlsa.errors import OutputError, UsageError
from asrlsa.manifest import read_rows
from asrlsa.prepare import Listener, PrepareSettings, check_data, prepare
from asrlsa.types import Span

ROOT = Path(__file__).resolve().parents[2]
QUIET = PrepareSettings(noise=0.0)


def asrlsa(*words: object, **options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "asrlsa", *map(str, words)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, **options)


def many(folder: Path, files: int = 6, group: str = "TD") -> Path:
    """A corpus of one child a file."""
    for k in range(files):
        write_wav(folder / f"{group}{k}.wav", tone(4, 200 + 10 * k))
        ids = [f"eng|t|CHI|4;06.||{group}||Target_Child|||"]
        said = [f"CHI: file {k} first . @0_1500", f"CHI: file {k} last . @2000_3500"]
        write_chat(folder / f"{group}{k}.cha", said, participants="CHI Target_Child", ids=ids)
    return folder


# --- split ------------------------------------------------------------------------------------------------------------

RECORDING = st.lists(st.sampled_from(["", "a", "b", "c", "d", "e", "f"]), min_size=1, max_size=3)


@settings(max_examples=15)
@given(st.lists(RECORDING, min_size=1, max_size=8), st.integers(0, 3), st.sampled_from(["speaker", "file", "auto"]))
def test_a_split_leaks_nobody_and_rows_partition(tmp_path_factory, recordings, seed, split):
    folder = tmp_path_factory.mktemp("c")
    rows = []
    for k, speakers in enumerate(recordings):
        write_wav(folder / f"{k}.wav", tone(len(speakers) + 1))
        rows += [
            {
                "audio": f"{k}.wav",
                "start": at,
                "end": at + 1,
                "text": f"words {k} {at}",
                "speaker": who,
                "group": f"g{k % 2}",
            }
            for at, who in enumerate(speakers)
        ]
    manifest = write_lines(folder / "m.jsonl", rows)
    report = prepare(manifest, folder / "d", PrepareSettings(split=split, seed=seed, noise=0.0, dev=0.2, test=0.2))
    found = all_rows(folder / "d")
    assert sorted(row["text"] for row in found) == sorted(row["text"] for row in rows)
    assert len({row["id"] for row in found}) == len(rows)
    parts: dict[tuple[str, str], set[str]] = {}
    for row in found:
        parts.setdefault(("audio", row["audio"]), set()).add(row["part"])
        if split != "file" and row.get("speaker"):
            parts.setdefault(("speaker", row["speaker"]), set()).add(row["part"])
    assert all(len(names) == 1 for names in parts.values())
    assert sum(part.rows for part in report.parts.values()) == len(rows)
    assert report.parts["train"].rows > 0
    assert list(check_data(folder / "d")) == []


def test_shares_are_met_in_every_group(tmp_path):
    rows = []
    write_wav(tmp_path / "a.wav", tone(2))
    for k in range(200):
        write_wav(tmp_path / "w" / f"{k}.wav", tone(1))
        group = "SLI" if k % 4 == 0 else "TD"
        rows.append({"audio": f"w/{k}.wav", "text": f"row {k}", "speaker": f"s{k}", "group": group})
    manifest = write_lines(tmp_path / "m.jsonl", rows)
    prepare(manifest, tmp_path / "d", QUIET)
    counts = {
        (group, part): sum(row["part"] == part and row["group"] == group for row in all_rows(tmp_path / "d"))
        for group in ("TD", "SLI")
        for part in ("train", "dev", "test")
    }
    assert counts == {
        ("TD", "train"): 120, ("TD", "dev"): 15, ("TD", "test"): 15,
        ("SLI", "train"): 40, ("SLI", "dev"): 5, ("SLI", "test"): 5,
    }  # fmt: skip


def test_the_seed_decides(tmp_path):
    many(tmp_path / "c", 10)

    def tested(name: str, seed: int) -> list[str]:
        prepare(tmp_path / "c", tmp_path / name, PrepareSettings(seed=seed, noise=0.0))
        return [row["text"] for row in read_lines(tmp_path / name / "test.jsonl")]

    assert tested("d1", 1) == tested("d2", 1)
    assert len({tuple(tested(f"s{seed}", seed)) for seed in range(6)}) > 1
    assert chance(0, "a") != chance(1, "a")


def test_a_split_file(tmp_path):
    many(tmp_path / "c", 3)
    for name, text in {
        "t.tsv": "file\tsplit\nTD0\ttest\nTD1.cha\tvalid\nTD2/CHI\ttrain\n",
        "t.csv": "TD0,test\nTD1,dev\nTD2,train\n",
        "t.json": json.dumps({"test": ["TD0"], "dev": ["TD1"], "train": ["TD2"]}),
    }.items():
        (tmp_path / name).write_text(text)
        prepare(tmp_path / "c", tmp_path / f"d{name}", QUIET, split_file=tmp_path / name)
        assert {(row["audio"][-5], row["part"]) for row in all_rows(tmp_path / f"d{name}")} == {
            ("0", "test"), ("1", "dev"), ("2", "train"),
        }  # fmt: skip
    (tmp_path / "less.csv").write_text("TD0,test\nTD1,dev\n")
    with pytest.raises(UsageError, match="does not say where speaker TD2/CHI belongs"):
        prepare(tmp_path / "c", tmp_path / "e", QUIET, split_file=tmp_path / "less.csv")


@pytest.mark.parametrize(
    ("text", "why"),
    [("", "no lines"), ("a,test\nb,half\n", "no part"), ("a,test\na,dev\n", "two parts"), ('{"x"', "JSON")],
)
def test_a_wrong_split_file(tmp_path, text, why):
    (tmp_path / "s.csv").write_text(text)
    with pytest.raises(UsageError, match=why):
        read_split_file(tmp_path / "s.csv")


def test_the_split_of_the_source(tmp_path):
    rows = []
    for k in range(20):
        write_wav(tmp_path / f"{k}.wav", tone(1))
        rows.append(
            {"audio": f"{k}.wav", "text": f"row {k}", "speaker": f"s{k // 2}", "split": "test" if k < 6 else "train"}
        )
    manifest = write_lines(tmp_path / "m.jsonl", rows)
    report = prepare(manifest, tmp_path / "d", QUIET)
    found = all_rows(tmp_path / "d")
    assert {row["text"] for row in found if row["part"] == "test"} == {f"row {k}" for k in range(6)}
    dev = {row["speaker"] for row in found if row["part"] == "dev"}
    assert dev
    assert not dev & {row["speaker"] for row in found if row["part"] == "train"}
    assert any("no dev" in line for line in report.remarks)
    # A split that leaks is kept, and said.
    rows[0]["speaker"] = "s9"
    report = prepare(write_lines(tmp_path / "n.jsonl", rows), tmp_path / "e", QUIET)
    assert any("1 speakers in two parts" in line for line in report.remarks)
    assert {row["text"] for row in all_rows(tmp_path / "e") if row["part"] == "test"} == {f"row {k}" for k in range(6)}
    report = prepare(tmp_path / "n.jsonl", tmp_path / "f", PrepareSettings(noise=0.0, split="speaker"))
    assert list(check_data(tmp_path / "f")) == []
    with pytest.raises(UsageError, match="--split source"):
        prepare(many(tmp_path / "c", 2), tmp_path / "g", PrepareSettings(split="source"))


def test_one_speaker_can_not_be_split(tmp_path):
    for k in range(3):
        write_wav(tmp_path / "c" / f"{k}.wav", tone(2))
        write_chat(tmp_path / "c" / f"{k}.cha", [f"CHI: file {k} . @0_1000"], participants="CHI Eve Target_Child")
    report = prepare(tmp_path / "c", tmp_path / "d", QUIET)
    assert report.parts["train"].rows == 3
    assert any("'CHI:Eve' in 3 recordings" in line for line in report.remarks)


# --- noise ------------------------------------------------------------------------------------------------------------


class Loud:
    """A detector that takes whatever is loud for speech."""

    def __call__(self, audio: np.ndarray) -> np.ndarray:
        return (np.abs(audio.reshape(-1, 512)).max(axis=1) > 0.5).astype(np.float32)


def test_noise_is_what_transcript_and_detector_call_silent(tmp_path, monkeypatch):
    monkeypatch.setattr(noise, "SpeechProbability", Loud)
    samples = tone(40)
    samples[16_000 * 20 : 16_000 * 22] = 0.9  # somebody whom nobody transcribed
    write_wav(tmp_path / "c" / "a.wav", samples)
    write_chat(tmp_path / "c" / "a.cha", ["CHI: one two . @0_5000", "CHI: three four . @30000_35000"])
    report = prepare(tmp_path / "c", tmp_path / "d", PrepareSettings(noise=1.0))
    rows = [row for row in all_rows(tmp_path / "d") if not row["text"]]
    assert rows
    for row in rows:
        assert row["start"] >= 5.3
        assert not (row["start"] < 22.2 and row["end"] > 19.8)
        assert not (row["start"] < 35.3 and row["end"] > 29.7)
        assert row["end"] <= 40
    assert report.parts["train"].noise_ms <= report.parts["train"].ms
    assert list(check_data(tmp_path / "d")) == []
    assert prepare(tmp_path / "c", tmp_path / "e", QUIET).parts["train"].noise_rows == 0


def test_no_noise_where_an_utterance_has_no_times(tmp_path, monkeypatch):
    monkeypatch.setattr(noise, "SpeechProbability", Loud)
    write_wav(tmp_path / "c" / "a.wav", tone(40))
    write_chat(tmp_path / "c" / "a.cha", ["CHI: one two . @0_5000", "CHI: somewhere ."])
    report = prepare(tmp_path / "c", tmp_path / "d", PrepareSettings(noise=1.0))
    assert report.parts["train"].noise_rows == 0


def test_the_real_detector_hears_no_speech_in_silence(tmp_path):
    path = write_wav(tmp_path / "a.wav", np.zeros(16_000 * 6, np.float32))
    assert confirm(path, [Span(500, 5_500)], 10_000) == [Span(800, 800 + (4_400 // 32) * 32)]
    assert confirm(path, [Span(0, 1_500)], 10_000) == []
    assert confirm(tmp_path / "none.wav", [Span(0, 5_000)], 10_000) == []


# --- the check by a model ---------------------------------------------------------------------------------------------


def test_a_model_drops_what_it_hears_differently(tmp_path, monkeypatch):
    calls = []

    class Recogniser:
        multilingual = True

        def __init__(self, model, **options):
            self.model = model

        def features(self, samples):
            return len(samples)

        def encode(self, features):
            return features

        def decode(self, encoded, durations, **options):
            calls.append(len(encoded))
            said = {1500: "file zero last", 2000: "I see"}
            return [SimpleNamespace(words=[SimpleNamespace(text=said[d])]) for d in durations]

    monkeypatch.setattr("asrlsa.speech.decode.Recogniser", Recogniser)
    monkeypatch.setattr(matching, "resolve_model", lambda name, offline: SimpleNamespace(name=name, fingerprint="f"))
    write_wav(tmp_path / "c" / "a.wav", tone(9))
    said = [
        "CHI: file um file [/] zero last . @0_1500",
        "CHI: nothing like it at all . @2000_3500",
        "CHI: I &-um [/] see . @4000_6000",
    ]
    write_chat(tmp_path / "c" / "a.cha", said)
    settings = PrepareSettings(noise=0.0, check_model="base", most_errors=0.7)
    prepare(tmp_path / "c", tmp_path / "d", settings)
    assert reasons(tmp_path / "d") == {"9": "does not match"}
    assert "joins" not in all_rows(tmp_path / "d")[1]  # what it says is not known, so the two beside it do not join
    prepare(tmp_path / "c", tmp_path / "d", settings)
    assert calls == [3]


def test_error_rates():
    assert error_rate("um the colour", "uhm the color.", "eng") == 0
    assert error_rate("a b c d", "a b", "eng") == 0.5
    assert error_rate("a", "b c d", "eng") == 3


@pytest.mark.weights
def test_the_check_with_real_weights(tmp_path):
    for name in ("kite_story", "sandwich"):
        for path in (ROOT / "samples").glob(f"{name}.*"):
            (tmp_path / "c").mkdir(exist_ok=True)
            (tmp_path / "c" / path.name).write_bytes(path.read_bytes())
    chat = tmp_path / "c" / "kite_story.cha"
    chat.write_text(chat.read_text().replace("it was very very big .", "we drove to the sea with my uncle ."))
    prepare(tmp_path / "c", tmp_path / "d", PrepareSettings(check_model="tiny.en", noise=0.0), offline=True)
    (lost,) = read_lines(tmp_path / "d" / "dropped.jsonl")
    assert (lost["reason"], lost["start"]) == ("does not match", 8.63)


# --- runs -------------------------------------------------------------------------------------------------------------


def test_a_second_run_does_only_what_changed(tmp_path, monkeypatch):
    many(tmp_path / "c")
    seen: list[str] = []
    real = gates.judge
    monkeypatch.setattr(stages, "judge", lambda audio, *rest: seen.append(Path(audio).stem) or real(audio, *rest))

    def run(**choices):
        seen.clear()
        report = prepare(tmp_path / "c", tmp_path / "d", PrepareSettings(noise=0.0, **choices))
        return sorted(seen), {row["text"] for row in all_rows(tmp_path / "d")}, report

    first, texts, _ = run()
    assert first == [f"TD{k}" for k in range(6)]
    assert run()[:2] == ([], texts)
    assert run(seed=0, cut=True)[0] == []
    text = (tmp_path / "c" / "TD3.cha").read_text()
    (tmp_path / "c" / "TD3.cha").write_text(text.replace("file 3 first", "file 3 is new"))
    again, new, _ = run()
    assert again == ["TD3"]
    assert new - texts == {"File 3 is new."}
    os.utime(tmp_path / "c" / "TD4.wav", (1, 1))
    assert run()[0] == ["TD4"]
    (tmp_path / "c" / "TD5.cha").unlink()
    gone, rest, report = run()
    assert gone == []
    assert new - rest == {"File 5 first.", "File 5 last."}
    assert report.utterances == 10
    assert run(longest=1.0 + 0.6)[0] == [f"TD{k}" for k in range(5)]


def test_a_recording_that_turns_up_later_is_taken(tmp_path):
    many(tmp_path / "c", 2)
    (tmp_path / "c" / "TD1.wav").rename(tmp_path / "away.wav")
    rows = [{"audio": "x.wav", "text": "from a table"}, {"audio": "y.wav", "text": "there"}]
    write_wav(tmp_path / "t" / "y.wav", tone(1))
    table = write_lines(tmp_path / "t" / "m.jsonl", rows)
    report = prepare([tmp_path / "c", table], tmp_path / "d", QUIET)
    assert report.dropped == {"media missing": 3}
    (tmp_path / "away.wav").rename(tmp_path / "c" / "sub.wav")
    (tmp_path / "c" / "sub").mkdir()
    (tmp_path / "c" / "sub.wav").rename(tmp_path / "c" / "sub" / "TD1.wav")
    write_wav(tmp_path / "t" / "x.wav", tone(1, 300))
    report = prepare([tmp_path / "c", table], tmp_path / "d", QUIET)
    assert report.dropped == {}
    assert sum(part.rows for part in report.parts.values()) == 6


def test_the_same_input_gives_the_same_bytes_whatever_the_number_of_processes(tmp_path, monkeypatch):
    many(tmp_path / "c", 8)
    prepare(tmp_path / "c", tmp_path / "one", QUIET)
    monkeypatch.setattr(parallel, "_ALONE_SECONDS", 0.0)
    prepare(tmp_path / "c", tmp_path / "two", QUIET, jobs=2)
    for name in ("train.jsonl", "dev.jsonl", "test.jsonl", "dropped.jsonl"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_nothing_of_others_is_replaced_unasked(tmp_path):
    many(tmp_path / "c", 3)
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "train.jsonl").write_text("mine\n")
    with pytest.raises(OutputError, match=r"train\.jsonl.*--overwrite"):
        prepare(tmp_path / "c", tmp_path / "d", QUIET)
    assert (tmp_path / "d" / "train.jsonl").read_text() == "mine\n"
    prepare(tmp_path / "c", tmp_path / "d", QUIET, overwrite=True)
    with (tmp_path / "d" / "dev.jsonl").open("a") as file:
        file.write("\n")
    with pytest.raises(OutputError, match=r"dev\.jsonl"):
        prepare(tmp_path / "c", tmp_path / "d", QUIET)
    prepare(tmp_path / "c", tmp_path / "d", QUIET, overwrite=True)
    many(tmp_path / "other", 2)
    with pytest.raises(OutputError, match="was prepared from"):
        prepare(tmp_path / "other", tmp_path / "d", QUIET)
    clip = tmp_path / "d" / "clips" / "TD0-0-1500.wav"
    clip.parent.mkdir()
    clip.write_bytes(b"mine")
    with pytest.raises(OutputError, match="did not write this clip"):
        prepare(tmp_path / "c", tmp_path / "d", PrepareSettings(noise=0.0, cut=True))
    assert clip.read_bytes() == b"mine"


def test_a_run_that_is_stopped_leaves_the_old_data_whole_and_goes_on(tmp_path):
    many(tmp_path / "c", 4)
    prepare(tmp_path / "c", tmp_path / "d", QUIET)
    before = {path.name: path.read_bytes() for path in (tmp_path / "d").glob("*.json*")}
    for path in (tmp_path / "c").glob("*.wav"):
        os.utime(path, (1, 1))

    class Stop(Listener):
        def progress(self, what, done, total):
            if what == "recordings judged" and done == 2:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(tmp_path / "c", tmp_path / "d", QUIET, listener=Stop())
    assert {path.name: path.read_bytes() for path in (tmp_path / "d").glob("*.json*")} == before
    prepare(tmp_path / "c", tmp_path / "d", QUIET)
    assert list(check_data(tmp_path / "d")) == []


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_a_killed_run_leaves_no_half_manifest(tmp_path):
    many(tmp_path / "c", 40)
    command = [sys.executable, "-m", "asrlsa", "prepare", str(tmp_path / "c"), "-o", str(tmp_path / "d"), "--cut"]
    for wait in (0.4, 0.6, 0.8):
        run = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(wait)
        run.send_signal(signal.SIGKILL)
        run.wait()
        if (tmp_path / "d" / "train.jsonl").exists() and (tmp_path / "d" / "prepare.json").exists():
            assert list(check_data(tmp_path / "d")) == []
    assert asrlsa("prepare", tmp_path / "c", "-o", tmp_path / "d", "--cut").returncode == 0
    assert list(check_data(tmp_path / "d")) == []
    assert len(all_rows(tmp_path / "d")) == 80
    assert len(list((tmp_path / "d" / "clips").iterdir())) == 80


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells the peak of a process")
def test_memory_does_not_grow_with_the_corpus(tmp_path):
    """Ten times the files need hardly more memory: what is held is one recording."""
    wav = write_wav(tmp_path / "a.wav", tone(1)).read_bytes()
    code = (
        "import re, sys\n"
        "from asrlsa.prepare import *\n"
        "prepare(sys.argv[1], sys.argv[2], PrepareSettings())\n"
        "print(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1])\n"
    )
    peaks = {}  # MB
    for files in (100, 1000):
        folder = tmp_path / f"c{files}"
        for k in range(files):
            path = folder / f"{k}.wav"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(wav + bytes([k % 256, k // 256]))
            said = [f"CHI: file {k} one . @0_400", f"INV: file {k} two . @400_900"]
            write_chat(folder / f"{k}.cha", said)
        run = subprocess.run(
            [sys.executable, "-c", code, str(folder), str(tmp_path / f"d{files}")],
            cwd=ROOT, capture_output=True, text=True, check=True,
        )  # fmt: skip
        peaks[files] = int(run.stdout) / 1024
        assert len(all_rows(tmp_path / f"d{files}")) == 2 * files
    assert peaks[1000] < 200
    assert peaks[1000] - peaks[100] < 20


# --- command line -----------------------------------------------------------------------------------------------------


def test_the_command(tmp_path):
    many(tmp_path / "c", 3)
    write_chat(tmp_path / "c" / "lost.cha", ["CHI: nobody hears secretword . @0_1000"])
    run = asrlsa("prepare", tmp_path / "c", "-o", tmp_path / "d", "--report")
    assert run.returncode == 0
    assert "media missing" in run.stdout
    assert "secretword" not in run.stdout + run.stderr
    page = (tmp_path / "d" / "report.html").read_text()
    assert page.count("<svg") == 2  # nobody is disfluent
    assert "http" not in page.replace("http-equiv", "")
    assert asrlsa("prepare", "--check", tmp_path / "d").returncode == 0
    (tmp_path / "c" / "broken.cha").write_text("no chat")
    run = asrlsa("prepare", tmp_path / "c", "-o", tmp_path / "d")
    assert run.returncode == 2
    assert "broken.cha" in run.stderr
    assert "1 source can't be read" in run.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["prepare"], "asrlsa prepare CORPUS -o DATA"),
        (["prepare", "none", "-o", "d"], "no such file or folder"),
        (["prepare", "--check", "none"], "holds none of train.jsonl"),
        (["prepare", ".", "-o", "d", "--check", "."], "alone"),
        (["prepare", ".", "-o", "d", "--ages", "old"], "4;0-6;11"),
        (["prepare", ".", "-o", "d", "--text", "raw"], "verbatim, fluent, both"),
    ],
)
def test_wrong_usage_is_one_line(tmp_path, words, message):
    run = asrlsa(*(str(tmp_path / word) if word in ("none", "d", ".") else word for word in words))
    assert run.returncode == 1
    assert message in run.stderr
    assert "Traceback" not in run.stderr


def test_check_explains_every_broken_row(tmp_path):
    many(tmp_path / "c", 3)
    data = tmp_path / "d"
    prepare(tmp_path / "c", data, QUIET)
    good = read_lines(data / "train.jsonl")[0]
    write_lines(
        data / "train.jsonl",
        [
            {**good, "id": "1", "end": 9},
            {**good, "id": "2", "audio": "none.wav"},
            {**good, "id": "3", "text": "so &-um"},
            {**good, "id": "4", "text": "--"},
            {**good, "id": "1"},
            {**good, "id": "6", "start": "x"},
            {**good, "id": "7", "speaker": read_lines(data / "test.jsonl")[0]["speaker"]},
        ],
    )
    found = list(check_data(data))
    name = str(data / "train.jsonl")
    expected = [
        f"{name}:1: 'end' is 9 s; the recording ends at 4 s",
        f"{name}:2: 'audio' names {data / 'none.wav'}: no such file",
        f"{name}:3: 'text' holds CHAT codes; a model would learn to write them",
        f"{name}:4: 'text' holds no word; leave it empty for a stretch without speech",
        f"{name}:5: 'id' is '1', which stands at {name}:1 already",
        f"{name}:6: 'start' must be a number of seconds, not \"x\"",
        f"{name}: was changed since asrlsa prepare wrote it",
    ]
    assert found[:7] == expected
    assert "stands in" in found[7]
    assert len(found) == 8


@pytest.mark.shared
def test_the_children_who_read():
    shared = Path(os.environ.get("ASRLSA_SHARED") or ROOT.parent / "shared" / "data") / "child_read" / "manifest.jsonl"
    if not shared.exists():
        pytest.skip(f"{shared} is not there")
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        report = prepare(shared, folder, QUIET)
        assert {name: part.rows for name, part in report.parts.items()} == {"train": 440, "dev": 60, "test": 600}
        assert sum(report.dropped.values()) == 0
        assert sum(1 for _ in read_rows(Path(folder) / "test.jsonl")) == 600
