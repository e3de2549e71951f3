"""The bench verb: what it runs, how it goes on, what it recommends, and what it shows. No model is needed."""

import csv
import io
import json
import re
import struct
import wave
from dataclasses import replace
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from asrlsa import bench as verb
from asrlsa import engines, recommended
from asrlsa.benching.choice import choose, pareto
from asrlsa.benching.data import read_data
from asrlsa.benching.matrix import Matrix, configurations
from asrlsa.benching.page import to_html
from asrlsa.benching.results import MEASURES, Configuration, Report, report_data
from asrlsa.benching.tables import result_table, to_csv, to_markdown
from asrlsa.cli import app
from asrlsa.config import TranscribeOptions
from asrlsa.conversion import elsewhere
from asrlsa.errors import ModelError, UsageError
from asrlsa.trials import Trial, TrialResult

CHAT = """@UTF8
@Begin
@Languages:\teng
@Participants:\tPAR0 Participant
@ID:\teng|corpus|PAR0|||||Participant|||
*PAR0:\t{text} .
@End
"""


@pytest.fixture
def corpus(tmp_path):
    """Two recordings with their transcripts."""
    folder = tmp_path / "corpus"
    folder.mkdir()
    for name, text in (("one", "&-um the dog ran"), ("two", "he fell down")):
        (folder / f"{name}.cha").write_text(CHAT.format(text=text), encoding="utf-8")
        with wave.open(str(folder / f"{name}.wav"), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(16_000)
            file.writeframes(bytes(3200))
    return folder


@pytest.fixture
def runner(monkeypatch):
    """In place of the process that measures: int8 is fast and writes one word wrong, float32 is slow and right."""
    calls = []

    def run(trial, recordings, out, **_):
        calls.append(trial)
        if trial.beam_size == 13:
            raise ModelError("memory ran out")
        out.mkdir(parents=True)
        for path in recordings:
            text = path.with_suffix(".cha").read_text(encoding="utf-8")
            wrong = text.replace("dog", "frog") if trial.compute_type == "int8" else text
            (out / f"{path.stem}.cha").write_text(wrong, encoding="utf-8")
        seconds = {"int8": 1.0, "float32": 4.0}[trial.compute_type] + len(calls) / 100
        return TrialResult(
            trial=trial,
            audio_seconds=20.0,
            load_seconds=0.5,
            seconds=seconds,
            cpu_seconds=seconds,
            first_seconds=0.2,
            peak_memory=400_000_000 if trial.compute_type == "int8" else 900_000_000,
            disk=75_000_000,
            transcripts=out,
        )

    monkeypatch.setattr(verb, "run_trial", run)
    model = SimpleNamespace(fingerprint="f" * 64)
    monkeypatch.setattr(verb, "resolve_model", lambda name: SimpleNamespace(name=name, **vars(model)))
    return calls


def matrix(**changes):
    return Matrix(**{"models": ("small-one",), "compute_types": ("int8", "float32"), **changes})


def test_all_values_of_all_dimensions_are_combined_once():
    trials, notes = configurations(
        Matrix(
            ("a", "b"), compute_types=("int8", "float32"), beam_sizes=(1, 5), threads=(1, 2), contexts=("auto", "full")
        )
    )
    assert len(trials) == len(set(trials)) == 32
    assert notes == []


def test_an_engine_runs_only_what_it_has(monkeypatch):
    monkeypatch.setattr("asrlsa.benching.matrix.lacking", lambda name: "")
    wanted = Matrix(
        ("a",),
        engines=("openai-whisper", "faster-whisper"),
        compute_types=("int8", "float32"),
        batch_sizes=(None, 4),
        contexts=("auto", "full"),
    )
    trials, notes = configurations(wanted)
    assert [(t.engine, t.compute_type, t.batch_size) for t in trials] == [
        ("openai-whisper", "float32", None),
        ("faster-whisper", "int8", None),
        ("faster-whisper", "int8", 4),
        ("faster-whisper", "float32", None),
        ("faster-whisper", "float32", 4),
    ]
    assert {t.context for t in trials} == {"full"}
    assert notes == ["openai-whisper has no compute type int8: left out"]


def test_an_engine_that_is_not_installed_is_one_line(monkeypatch):
    monkeypatch.setattr(engines, "find_spec", lambda name: None)
    trials, notes = configurations(Matrix(("a",), engines=("asrlsa", "whisper.cpp")))
    assert [t.engine for t in trials] == ["asrlsa"]
    assert notes == ["whisper.cpp is not installed (pip install pywhispercpp): left out"]
    with pytest.raises(UsageError, match="no configuration is left"):
        configurations(Matrix(("a",), engines=("whisper.cpp",)))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"models": ()}, "no model"),
        ({"compute_types": ("int7",)}, "int7"),
        ({"beam_sizes": (0,)}, "beam size 0"),
        ({"batch_sizes": (None, 999)}, "batch size 999"),
        ({"contexts": ("half",)}, "half"),
        ({"engines": ("kaldi",)}, "kaldi"),
    ],
)
def test_values_that_are_not_possible_are_named(changes, said):
    with pytest.raises(UsageError, match=said):
        matrix(**changes)


def test_runs_take_turns_and_medians_are_taken(corpus, runner, tmp_path):
    report = verb.bench(matrix(), corpus, out=tmp_path / "out", repeats=3, resamples=0)
    assert [t.compute_type for t in runner] == ["int8", "float32"] * 3
    fast, slow = report.configurations
    assert fast.speed == pytest.approx(20 / 1.03)
    assert slow.median("seconds") == pytest.approx(4.04)
    assert (report.recordings, report.audio_seconds) == (2, 20.0)
    assert fast.wer == pytest.approx(100 / 7)
    assert slow.wer == 0
    assert slow.scores["disfluency_f1"] == 100


def test_a_stopped_bench_goes_on(corpus, runner, tmp_path, monkeypatch):
    run = verb.run_trial

    def stopping(trial, *args, **kwargs):
        if len(runner) == 3:
            raise KeyboardInterrupt
        return run(trial, *args, **kwargs)

    monkeypatch.setattr(verb, "run_trial", stopping)
    with pytest.raises(KeyboardInterrupt):
        verb.bench(matrix(), corpus, out=tmp_path / "out", repeats=2, resamples=0)
    assert len(runner) == 3
    monkeypatch.setattr(verb, "run_trial", run)
    verb.bench(matrix(), corpus, out=tmp_path / "out", repeats=2, resamples=0)
    assert len(runner) == 4
    report = verb.bench(matrix(), corpus, out=tmp_path / "out", repeats=3, resamples=0)
    assert len(runner) == 6
    assert [len(c.runs) for c in report.configurations] == [3, 3]


def test_other_recordings_or_a_damaged_result_are_run_again(corpus, runner, tmp_path):
    out = tmp_path / "out"
    verb.bench(matrix(), corpus, out=out, repeats=1, resamples=0)
    next((out / "results").glob("*.json")).write_text('{"format": 1', encoding="utf-8")
    verb.bench(matrix(), corpus, out=out, repeats=1, resamples=0)
    assert len(runner) == 3
    with (corpus / "one.wav").open("ab") as file:
        file.write(bytes(32))
    verb.bench(matrix(), corpus, out=out, repeats=1, resamples=0)
    assert len(runner) == 5


def test_a_failure_is_told_and_tried_again(corpus, runner, tmp_path):
    wanted = matrix(compute_types=("int8",), beam_sizes=(1, 13))
    for calls in (3, 4):
        report = verb.bench(wanted, corpus, out=tmp_path / "out", repeats=2, resamples=0)
        assert len(runner) == calls
        assert [c.error for c in report.configurations] == ["", "memory ran out"]
    assert "failed: small-one" in to_markdown(report)
    assert report.choice == report.configurations[0].key


def test_two_benches_do_not_write_one_folder(corpus, runner, tmp_path):
    from asrlsa.output import claim

    with claim(tmp_path / "out" / "results") as mine:
        assert mine
        with pytest.raises(UsageError, match="another benchmark"):
            verb.bench(matrix(), corpus, out=tmp_path / "out", repeats=1)


def test_data_without_reference_or_recording_is_refused(corpus, tmp_path):
    with pytest.raises(UsageError, match="does not exist"):
        read_data(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="--where"):
        read_data(corpus, {"split": "test"})
    (corpus / "two.wav").unlink()
    with pytest.raises(UsageError, match="its recording is not beside it"):
        read_data(corpus)


def test_recordings_of_a_manifest_are_found_beside_it(corpus):
    rows = [
        {"audio": "one.wav", "text": "the dog", "start": 0, "end": 0.05, "split": "dev"},
        {"audio": "one.wav", "text": "ran", "start": 0.05, "end": 0.1, "split": "dev"},
        {"audio": "two.wav", "text": "he fell", "start": 0, "end": 0.1, "split": "test"},
    ]
    manifest = corpus / "manifest.jsonl"
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    assert [p.name for p in read_data(manifest).recordings] == ["one.wav", "two.wav"]
    assert [p.name for p in read_data(manifest, {"split": "test"}).recordings] == ["two.wav"]
    (corpus / "two.wav").unlink()
    with pytest.raises(UsageError, match=r"two\.wav is not there"):
        read_data(manifest)


def measured(speed, wer, memory=100, engine="asrlsa", key=""):
    run = dict.fromkeys(MEASURES, 1.0) | {"audio_seconds": speed, "seconds": 1.0, "peak_memory": memory}
    trial = Trial("m", engine=engine)
    return Configuration(trial, "m", key or f"{speed}-{wer}-{memory}-{engine}", [run], {"wer": wer})


POINTS = st.lists(
    st.builds(
        measured,
        st.floats(0.1, 100),
        st.floats(0, 100),
        st.integers(1, 1000),
        st.sampled_from(("asrlsa", "faster-whisper")),
    ),
    max_size=12,
)


@given(POINTS)
def test_nothing_beats_the_front_and_something_on_it_beats_the_rest(points):
    front = pareto(points)
    for one in points:
        beaten = [f for f in front if f.speed >= one.speed and f.wer <= one.wer]
        assert beaten
        assert not any(one.speed > f.speed and one.wer <= f.wer for f in front)


@given(POINTS, st.floats(0, 20), st.integers(1, 1000))
def test_the_choice_is_the_fastest_that_is_allowed(points, within, memory):
    chosen, reason = choose(points, memory=memory, within=within)
    allowed = [p for p in points if p.trial.engine == "asrlsa" and p.peak_memory <= memory]
    if not allowed:
        assert chosen is None
        assert "no setting" in reason
        return
    best = min(p.wer for p in allowed)
    near = [p for p in allowed if p.wer <= best + within]
    assert chosen in near
    assert all(p.speed <= chosen.speed for p in near)
    assert any(p.speed == chosen.speed and p.wer == chosen.wer for p in pareto(allowed))


def a_report(**changes):
    rows = [measured(float(k), 30.0 - k, memory=10**8 * k, key=f"key{k}") for k in range(1, 6)]
    rows.append(replace_engine(measured(2.5, 12.0, 7 * 10**8, key="other")))
    rows.append(Configuration(Trial("m", beam_size=7), "<m>", "bad", error="memory ran out"))
    for one in rows:
        one.intervals = {"wer": (one.wer - 2, one.wer + 2)} if one.runs else {}
    values = {
        "configurations": rows,
        "recordings": 3,
        "audio_seconds": 90.0,
        "data": "corpus",
        "machine": "a machine",
        "versions": {"asrlsa": "0"},
        "repeats": 1,
        "date": "2026-01-01",
        "choice": "key5",
        "reason": "the fastest",
    }
    return Report(**{**values, **changes})


def replace_engine(one):
    one.trial = replace(one.trial, engine="faster-whisper")
    return one


def test_csv_has_a_line_a_configuration_with_every_figure():
    rows = list(csv.DictReader(io.StringIO(to_csv(a_report()))))
    assert len(rows) == 7
    assert [row["recommended"] for row in rows].count("1") == 1
    assert rows[0]["wer"] == "29.0"
    assert (rows[0]["wer_low"], rows[0]["wer_high"]) == ("27.0", "31.0")
    assert rows[-1]["error"] == "memory ran out"
    assert [row["beam"] for row in rows] == ["1"] * 6 + ["7"]


def test_the_table_shows_what_varies_and_says_what_does_not():
    table = result_table(a_report())
    assert table.header[:4] == ("", "model", "engine", "beam")
    assert "threads all" in table.note
    assert table.rows[4][0] == "◆★"


def test_json_holds_the_runs_and_the_choice():
    data = json.loads(json.dumps(report_data(a_report())))
    assert data["recommended"] == {"key": "key5", "reason": "the fastest"}
    assert data["configurations"][0]["medians"]["speed"] == 1.0
    assert data["configurations"][0]["runs"][0]["peak_memory"] == 10**8


class Page(HTMLParser):
    """Collects what a page loads, and whether its elements are closed."""

    def __init__(self):
        super().__init__()
        self.loaded, self.open, self.text = [], [], []

    def handle_starttag(self, tag, attributes):
        if tag not in ("meta", "input", "br"):
            self.open.append(tag)
        self.loaded += [value for name, value in attributes if name in ("src", "href")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_startendtag(self, tag, attributes):
        pass

    def handle_data(self, data):
        self.text.append(data)


def test_the_page_loads_nothing_and_marks_every_model_by_more_than_colour():
    html = to_html(a_report(), version="0")
    page = Page()
    page.feed(html)
    assert page.open == []
    assert page.loaded == []
    assert html.count("<svg") >= 2
    assert "<m>" not in html
    shapes = set(re.findall(r"<(circle|polygon)[^>]*(?:r=\"6\"|points)", html))
    assert shapes == {"circle", "polygon"}
    assert len(set(re.findall(r"url\(#hatch(\d)\)", html))) == 2
    words = " ".join(page.text)
    assert "fewer errors" in words
    assert "recommended" in words


def test_a_page_without_a_score_has_no_plot_but_its_table():
    one = measured(2.0, 5.0)
    one.scores = {}
    html = to_html(a_report(configurations=[one], choice="", reason="no setting"), version="0")
    assert "Accuracy against speed" not in html
    assert "<table>" in html


@pytest.fixture
def settings(tmp_path, monkeypatch):
    monkeypatch.setattr(recommended, "machine_name", lambda: "this machine")
    monkeypatch.setattr(recommended, "usual_device", lambda: "cpu")
    monkeypatch.setenv("ASRLSA_CONFIG", str(tmp_path / "config"))
    return tmp_path / "config" / recommended.FILE


def test_a_recommendation_fills_only_what_the_user_left_open(settings):
    recommended.store(recommended.Recommended("int8", 2, 4, None), "cpu")
    options, line = recommended.with_recommended(TranscribeOptions(batch_size=1))
    assert (options.compute_type, options.threads, options.batch_size, options.beam_size) == ("int8", 2, 1, None)
    assert "compute type int8, threads 2" in line
    assert "--no-recommended" in line
    assert recommended.with_recommended(TranscribeOptions(compute_type="float32", threads=1, batch_size=2))[1] == ""


def test_recommendations_of_other_machines_and_devices_stay(settings, monkeypatch):
    recommended.store(recommended.Recommended("int8", 2, 4, None), "cpu")
    recommended.store(recommended.Recommended("float16", 0, 16, 5), "cuda")
    monkeypatch.setattr(recommended, "machine_name", lambda: "another")
    assert recommended.recommended("cpu") is None
    recommended.store(recommended.Recommended("float32", 1, 1, None), "cpu")
    monkeypatch.setattr(recommended, "machine_name", lambda: "this machine")
    assert recommended.recommended("auto") == recommended.Recommended("int8", 2, 4, None)
    assert recommended.recommended("cuda") == recommended.Recommended("float16", 0, 16, 5)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"this machine": 3}',
        '{"this machine": {"cpu": {"threads": "many"}}}',
        '{"this machine": {"cpu": {"threads": -1, "batch_size": 1, "beam_size": 1, "compute_type": "int8"}}}',
    ],
)
def test_a_damaged_file_is_as_none(settings, text):
    settings.parent.mkdir()
    settings.write_text(text, encoding="utf-8")
    options = TranscribeOptions()
    assert recommended.with_recommended(options) == (options, "")


def test_transcribe_uses_the_recommendation_unless_told_not_to(settings, tmp_path, monkeypatch):
    from asrlsa.transcription import Outcome

    used = []

    def transcribe_folder(paths, *, options, **_):
        used.append(options)
        return Outcome((), (), ())

    monkeypatch.setattr("asrlsa.transcription.transcribe_folder", transcribe_folder)
    recommended.store(recommended.Recommended("float32", 1, 3, 4), "cpu")
    for flags in ([], ["--beam-size", "2"], ["--no-recommended"]):
        result = CliRunner().invoke(app, ["transcribe", str(tmp_path), *flags])
        assert result.exit_code == 0, result.output
        assert ("recommended for this machine" in result.stderr) == ("--no-recommended" not in flags)
    assert [(o.compute_type, o.threads, o.batch_size, o.beam_size) for o in used] == [
        ("float32", 1, 3, 4),
        ("float32", 1, 3, 2),
        ("default", 0, 0, None),
    ]


def test_this_machine_has_a_name():
    assert re.search(r"\d+ cores?", recommended.machine_name())


def test_the_command_writes_everything_and_keeps_the_choice(corpus, runner, tmp_path, settings):
    files = {name: tmp_path / f"r.{name}" for name in ("json", "csv", "markdown", "html")}
    call = ["bench", "small-one", "--data", str(corpus), "-o", str(tmp_path / "out"), "--repeats", "1"]
    call += ["--compute-type", "int8,float32", "--threads", "1", "--batch-size", "2", "--recommend", "--memory", "1000"]
    result = CliRunner().invoke(app, [*call, *(f"--{name}={path}" for name, path in files.items())])
    assert result.exit_code == 0, result.output
    assert all(path.stat().st_size > 100 for path in files.values())
    assert "recommended: small-one, float32" in result.output
    assert recommended.recommended("cpu").compute_type == "float32"
    assert recommended.recommended("cpu").beam_size is None


def test_a_failed_configuration_makes_the_exit_code_2(corpus, runner, tmp_path):
    call = ["bench", "small-one", "--data", str(corpus), "-o", str(tmp_path / "out"), "--compute-type", "int8"]
    assert CliRunner().invoke(app, [*call, "--beam-size", "1,13", "--repeats", "1"]).exit_code == 2
    with pytest.raises(UsageError, match="--data"):
        CliRunner().invoke(app, ["bench", "small-one"], catch_exceptions=False)


@given(st.lists(st.floats(-3, 3, width=32), min_size=64, max_size=64))
def test_q8_0_comes_back_within_half_a_step(values):
    array = np.array(values, np.float32).reshape(1, 64)
    raw = elsewhere.q8_0(array)
    assert len(raw) == 2 * 34
    for k in range(2):
        scale = np.frombuffer(raw, "<f2", 1, 34 * k)[0].astype(np.float32)
        back = np.frombuffer(raw, "i1", 32, 34 * k + 2) * scale
        # float16 holds the scale to 1/2048, or to 6e-8 where it is tiny
        room = scale * 0.51 + 127 * max(abs(float(scale)) / 2000, 6e-8)
        assert np.abs(back - array[0, 32 * k : 32 * k + 32]).max() <= room


def test_weights_get_openais_names():
    names = {
        "model.encoder.conv1.weight": "encoder.conv1.weight",
        "model.encoder.embed_positions.weight": "encoder.positional_embedding",
        "model.encoder.layer_norm.bias": "encoder.ln_post.bias",
        "model.encoder.layers.3.self_attn_layer_norm.weight": "encoder.blocks.3.attn_ln.weight",
        "model.decoder.embed_tokens.weight": "decoder.token_embedding.weight",
        "model.decoder.layer_norm.weight": "decoder.ln.weight",
        "model.decoder.layers.0.encoder_attn.k_proj.weight": "decoder.blocks.0.cross_attn.key.weight",
        "model.decoder.layers.0.encoder_attn_layer_norm.bias": "decoder.blocks.0.cross_attn_ln.bias",
        "model.decoder.layers.0.self_attn.out_proj.bias": "decoder.blocks.0.attn.out.bias",
        "model.decoder.layers.0.fc1.weight": "decoder.blocks.0.mlp.0.weight",
        "model.decoder.layers.0.fc2.bias": "decoder.blocks.0.mlp.2.bias",
        "model.decoder.layers.0.final_layer_norm.bias": "decoder.blocks.0.mlp_ln.bias",
    }
    assert {old: elsewhere.openai_name(old) for old in names} == names


def test_the_ggml_file_has_the_sizes_and_the_tokens(tmp_path):
    from asrlsa.conversion.folders import Whisper

    width, tokens = 64, {"!": 0, "Ġa": 1, "<|endoftext|>": 2}
    state = {
        "model.encoder.conv1.weight": np.ones((width, 80, 3), np.float16),
        "model.encoder.conv1.bias": np.ones(width, np.float16),
        "model.encoder.embed_positions.weight": np.ones((1500, width), np.float16),
        "model.decoder.embed_positions.weight": np.ones((448, width), np.float16),
        "model.decoder.embed_tokens.weight": np.ones((3, width), np.float16),
        "model.encoder.layers.0.fc1.weight": np.ones((4 * width, width), np.float16),
        "model.decoder.layers.0.fc1.weight": np.ones((4 * width, width), np.float16),
    }
    text = json.dumps({"model": {"vocab": tokens}, "added_tokens": [{"id": 2}]})
    config = {"encoder_attention_heads": 1, "decoder_attention_heads": 1}
    whisper = Whisper(state, config, {}, SimpleNamespace(text=text))
    elsewhere.write_ggml(whisper, tmp_path / "m.bin", "int8", np.zeros((80, 201), np.float32))
    raw = (tmp_path / "m.bin").read_bytes()
    head = struct.unpack_from("<12i", raw)
    assert head == (0x67676D6C, 3, 1500, width, 1, 1, 448, width, 1, 1, 80, 2007)
    at = 48 + 8 + 4 * 80 * 201
    assert struct.unpack_from("<2i", raw, at) == (2, 1)
    assert raw[at + 8 : at + 15] == b"!" + struct.pack("<i", 2) + b" a"
