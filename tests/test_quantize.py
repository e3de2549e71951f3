"""`asrlsa quantize`: the numbers are CTranslate2's own; nothing half-made or worse than allowed is put in place."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import ctranslate2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from asrlsa.cli import app
from asrlsa.compute_types import CPU_TYPES, runs_as, supported
from asrlsa.conversion import ct2_file, tensor_file, weights
from asrlsa.conversion.folders import Whisper, read_whisper, write_ctranslate2, write_transformers
from asrlsa.conversion.quantized import TYPES, bfloat16, quantise
from asrlsa.conversion.settings import Tokens, generation_config, whisper_config
from asrlsa.errors import ModelError, UsageError
from asrlsa.model_card import ModelCard, read_card, write_card
from asrlsa.models import resolve_model
from asrlsa.quantize import check_target, quantize
from asrlsa.speech.decode import Recogniser
from asrlsa.trials import TrialResult
from asrlsa.verification import Verification

ROOT = Path(__file__).resolve().parents[1]
SPECIAL = (
    "endoftext startoftranscript en es translate transcribe startoflm startofprev nospeech notimestamps".split()  # noqa: SIM905
)
FILES = {
    "asrlsa.json",
    "config.json",
    "generation_config.json",
    "model.bin",
    "preprocessor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocabulary.json",
}
WIDTH, LAYERS, HEADS, POSITIONS = 16, 2, 4, 1500
no_gpu = pytest.mark.skipif(ctranslate2.get_cuda_device_count() > 0, reason="a GPU runs float16")


@pytest.fixture(scope="module")
def whisper(tmp_path_factory) -> Whisper:
    """A random Whisper of two layers a side, all of its arrays different from one another."""
    folder = tmp_path_factory.mktemp("tokens")
    vocab = {chr(33 + i): i for i in range(94)}
    names = [f"<|{name}|>" for name in SPECIAL] + [f"<|{step * 0.02:.2f}|>" for step in range(1501)]
    added = [{"content": name, "id": 94 + i, "special": i < len(SPECIAL)} for i, name in enumerate(names)]
    for token in added:
        token.update(single_word=False, lstrip=False, rstrip=False, normalized=False)
    model = {"type": "BPE", "vocab": vocab, "merges": []}
    (folder / "tokenizer.json").write_text(json.dumps({"model": model, "added_tokens": added}), encoding="utf-8")
    tokens = Tokens.of(folder)
    random = np.random.default_rng(1)

    def array(*shape: int) -> np.ndarray:
        return (random.standard_normal(shape) * 0.3).astype("<f4")

    state = {
        "model.encoder.conv1.weight": array(WIDTH, 80, 3),
        "model.encoder.conv2.weight": array(WIDTH, WIDTH, 3),
        "model.encoder.embed_positions.weight": array(POSITIONS, WIDTH),
        "model.decoder.embed_positions.weight": array(448, WIDTH),
        "model.decoder.embed_tokens.weight": array(len(tokens.ids), WIDTH),
        **{f"model.encoder.conv{n}.bias": array(WIDTH) for n in (1, 2)},
        **{f"model.{s}.layer_norm.{k}": array(WIDTH) for s in ("encoder", "decoder") for k in ("weight", "bias")},
    }
    for side, attentions in (("encoder", ["self_attn"]), ("decoder", ["self_attn", "encoder_attn"])):
        for layer in range(LAYERS):
            here = f"model.{side}.layers.{layer}"
            for attention in attentions:
                for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
                    state[f"{here}.{attention}.{part}.weight"] = array(WIDTH, WIDTH)
                    if part != "k_proj":
                        state[f"{here}.{attention}.{part}.bias"] = array(WIDTH)
            state |= {f"{here}.fc1.weight": array(32, WIDTH), f"{here}.fc1.bias": array(32)}
            state |= {f"{here}.fc2.weight": array(WIDTH, 32), f"{here}.fc2.bias": array(WIDTH)}
            for norm in ("final_layer_norm", *(f"{attention}_layer_norm" for attention in attentions)):
                state |= {f"{here}.{norm}.weight": 1 + array(WIDTH), f"{here}.{norm}.bias": array(WIDTH)}
    config = whisper_config(state, (HEADS, HEADS), tokens)
    return Whisper(state, config, generation_config({}, config, tokens), tokens)


@pytest.fixture(scope="module")
def folder(whisper, tmp_path_factory) -> Path:
    """The model in transformers' format."""
    made = tmp_path_factory.mktemp("model")
    write_transformers(whisper, made, "float32")
    return made


def stored(path: Path) -> dict[str, tuple[int, tuple[int, ...], bytes]]:
    """Every array of a ``model.bin``: type, shape, bytes."""
    from asrlsa.model_weights import read_weights

    raw = path.read_bytes()
    return {a.name: (raw[a.offset - 5], a.shape, raw[a.offset : a.offset + a.bytes]) for a in read_weights(path).arrays}


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["quantize", *map(str, arguments)])
    return result.exit_code, f"{result.output}{result.exception or ''}"


@pytest.mark.parametrize("kind", TYPES)
def test_the_file_is_that_of_the_own_converter(kind, folder, tmp_path):
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    own = tmp_path / "own"
    ctranslate2.converters.TransformersConverter(str(folder)).convert(str(own), quantization=kind)
    quantize(folder, tmp_path / "ours", kind, target="any")
    ours, theirs = stored(tmp_path / "ours" / "model.bin"), stored(own / "model.bin")
    assert ours == theirs


@pytest.mark.parametrize("kind", TYPES)
def test_ctranslate2_runs_it_as_is_said(kind, whisper, tmp_path):
    write_ctranslate2(whisper, tmp_path, kind)
    model = ctranslate2.models.Whisper(str(tmp_path), device="cpu", compute_type="default")
    assert model.compute_type == runs_as(kind, supported("cpu"))


def encoded(folder: Path, compute_type: str) -> np.ndarray:
    model = ctranslate2.models.Whisper(str(folder), device="cpu", compute_type=compute_type)
    sound = np.random.default_rng(2).standard_normal((1, 80, 3000)).astype("f4") * 0.3
    return np.array(model.encode(ctranslate2.StorageView.from_array(sound), to_cpu=True))


def test_stored_int8_computes_what_a_float_model_computes_in_int8(whisper, tmp_path):
    for kind in ("int8", "float32"):
        (tmp_path / kind).mkdir()
        write_ctranslate2(whisper, tmp_path / kind, kind)
    exact, at_load = (encoded(tmp_path / "float32", kind) for kind in ("float32", "int8"))
    ours = encoded(tmp_path / "int8", "default")
    spread = np.abs(exact).std()
    assert np.abs(at_load - exact).mean() > 0, "int8 would be no test if it were exact"
    # The convolutions are float32 in a model that is quantised when it is loaded, int8 in one that is stored so.
    assert np.abs(ours - at_load).mean() < 0.02 * spread
    # Processors without VNNI add up in 16 bits, which may overflow: then neither is near, and ours not farther away.
    assert np.abs(ours - exact).mean() < max(0.02 * spread, 1.2 * np.abs(at_load - exact).mean())


@given(st.lists(st.lists(st.floats(-(2.0**100), 2.0**100, width=32), min_size=3, max_size=3), min_size=1, max_size=4))
def test_int8_is_off_by_half_a_step_at_most(rows):
    array = np.array(rows, "<f4")
    made = quantise({"a/weight": array}, "int8")
    values, scale = made["a/weight"].astype("f8"), made["a/weight_scale"].astype("f8")
    assert values.min() >= -127
    largest = np.abs(array).max(axis=1).astype("f8")
    off = np.abs(values / scale[:, None] - array).max(axis=1)
    # Below the smallest normal number a scale can't be exact.
    assert (off <= np.maximum(largest / 254 * 1.001, 1e-36)).all()


@given(st.floats(-(2.0**126), 2.0**126, width=32))
def test_bfloat16_is_the_nearest(value):
    bits = int(bfloat16(np.array([value], "<f4"))[0])
    near = [np.array([(bits + step) % 65536 << 16], "<u4").view("<f4")[0] for step in (-1, 0, 1)]
    distance = [abs(float(n) - value) if np.isfinite(n) else np.inf for n in near]
    assert distance[1] == min(distance)
    if distance.count(distance[1]) > 1 and value:
        assert bits % 2 == 0, "a tie goes to the even one"


def test_what_is_no_number_is_refused():
    for kind in TYPES:
        with pytest.raises(ModelError, match="spoilt"):
            quantise({"a/weight": np.array([[1, np.nan]], "<f4")}, kind)
    with pytest.raises(ModelError, match="bfloat16"):
        bfloat16(np.array([3.4e38], "<f4"))


def test_bfloat16_can_be_read_and_quantised_again(folder, tmp_path):
    quantize(folder, tmp_path / "b", "bfloat16", target="any")
    again = read_whisper(tmp_path / "b").state
    for name, array in read_whisper(folder).state.items():
        assert np.abs(again[name] - array).max() <= np.abs(array).max() / 256
    quantize(tmp_path / "b", tmp_path / "i", "int8")
    with pytest.raises(ModelError, match="quantised"):
        quantize(tmp_path / "i", tmp_path / "j", "int8")


def test_the_folder_is_complete(folder, tmp_path):
    out = tmp_path / "deep" / "out"
    code, text = run(folder, "-o", out, "--type", "int8", "--json")
    assert code == 0, text
    said = json.loads(text[text.index("{") :])
    assert said["runs_as"] == runs_as("int8", supported("cuda" if ctranslate2.get_cuda_device_count() else "cpu"))
    assert said["disk"] == sum(path.stat().st_size for path in out.iterdir())
    assert {path.name for path in out.iterdir()} == FILES
    assert [path.name for path in out.parent.iterdir()] == ["out"], "nothing is left beside it"
    assert "<|30.00|>" in json.loads((out / "vocabulary.json").read_text(encoding="utf-8"))
    assert json.loads((out / "config.json").read_text(encoding="utf-8"))["alignment_heads"]
    assert read_card(out) == ModelCard(compute_type="int8")
    model = resolve_model(out)
    assert model.card is not None
    recogniser = Recogniser(model, device="cpu")
    assert recogniser.compute_type == "int8"
    # faster-whisper itself takes the folder.
    from faster_whisper import WhisperModel

    assert WhisperModel(str(out), device="cpu").model.compute_type == runs_as("int8", supported("cpu"))


def test_transcribing_takes_the_stored_type_where_the_device_has_it(folder, tmp_path):
    quantize(folder, tmp_path / "f", "float32")
    assert Recogniser(resolve_model(tmp_path / "f"), device="cpu").compute_type == "float32"
    quantize(folder, tmp_path / "h", "float16", target="cuda")
    assert Recogniser(resolve_model(tmp_path / "h"), device="cpu").compute_type == "int8"
    assert Recogniser(resolve_model(tmp_path / "f"), device="cpu", compute_type="int8").compute_type == "int8"


def test_an_adapter_is_merged_into_its_base_in_float32(whisper, folder, tmp_path):
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    module = "decoder.layers.1.encoder_attn.v_proj"
    random = np.random.default_rng(3)
    a, b = (random.standard_normal(shape).astype("f4") * 1e-3 for shape in ((2, WIDTH), (WIDTH, 2)))
    config = {"peft_type": "LORA", "r": 2, "lora_alpha": 6, "base_model_name_or_path": "elsewhere"}
    (adapter / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
    parts = {f"base_model.model.model.{module}.lora_{name}.weight": array for name, array in (("A", a), ("B", b))}
    tensor_file.write_tensors(adapter / "adapter_model.safetensors", parts)
    card = ModelCard(base=str(folder), base_sha256=whisper.sha256, method="lora", verbatim=True, data={"hours": 2.5})
    write_card(adapter, card)
    quantize(adapter, tmp_path / "out", "float32")
    state = weights.to_transformers(ct2_file.read_arrays(tmp_path / "out" / "model.bin"))
    was = whisper.state[f"model.{module}.weight"]
    assert np.allclose(state[f"model.{module}.weight"], was + 3 * (b @ a), rtol=0, atol=1e-8)
    assert (state[f"model.{module}.weight"] != was).any()
    made = read_card(tmp_path / "out")
    assert made is not None
    assert (made.base, made.verbatim, dict(made.data), made.compute_type) == (
        str(folder), True, {"hours": 2.5}, "float32",
    )  # fmt: skip


@no_gpu
@pytest.mark.parametrize("kind", ["float16", "bfloat16", "int8_float16", "int8_bfloat16"])
def test_what_does_not_run_fast_here_is_refused_with_the_reason(kind, folder, tmp_path):
    if kind in supported("cpu"):
        pytest.skip(f"this CPU has {kind}")
    code, text = run(folder, "-o", tmp_path / "out", "--type", kind)
    assert code == 1
    falls = "int8_float32" if kind.startswith("int8") else "float32"
    assert f"{kind} can't run fast on this CPU" in text
    assert f"turn it into {falls}" in text
    assert "--type int8" in text
    assert "--for cuda" in text
    assert not (tmp_path / "out").exists()
    code, text = run(folder, "-o", tmp_path / "out", "--type", kind, "--for", "cuda")
    assert code == 0
    assert f"loads it as {falls} here" in text


def test_targets():
    for kind in sorted(CPU_TYPES & set(TYPES)):
        check_target(kind, "cpu")
    for kind in TYPES:
        check_target(kind, "cuda")
        check_target(kind, "any")
    with pytest.raises(UsageError, match="on a CPU"):
        check_target("float16", "cpu")
    with pytest.raises(UsageError, match="choose int8"):
        check_target("int4", "here")
    with pytest.raises(UsageError, match="choose here"):
        check_target("int8", "phone")


def test_what_is_there_stays_unless_it_is_a_model_and_may_go(folder, tmp_path):
    out = tmp_path / "out"
    assert run(folder, "-o", out)[0] == 0
    before = (out / "model.bin").read_bytes()
    code, text = run(folder, "-o", out, "--type", "float32")
    assert code == 1
    assert "--overwrite" in text
    assert (out / "model.bin").read_bytes() == before
    assert run(folder, "-o", out, "--type", "float32", "--overwrite")[0] == 0
    assert len((out / "model.bin").read_bytes()) > 1.5 * len(before)
    (out / "thesis.docx").write_text("mine")
    code, text = run(folder, "-o", out, "--overwrite")
    assert code == 1
    assert "thesis.docx" in text
    assert (out / "thesis.docx").exists()
    for place in (folder, folder.parent):
        code, text = run(folder, "-o", place, "--overwrite")
        assert code == 1
        assert "give another folder" in text
    assert (folder / "model.safetensors").exists()


def test_an_interrupted_run_leaves_nothing(folder, tmp_path, monkeypatch):
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("asrlsa.quantize.write_card", stop)
    with pytest.raises(KeyboardInterrupt):
        quantize(folder, tmp_path / "out", "int8")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_a_killed_run_leaves_nothing_at_out_and_the_next_one_cleans_up(folder, tmp_path):
    out = tmp_path / "out"
    code = (
        "import os, signal, sys\nimport asrlsa.quantize as q\n"
        "q.write_card = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "from pathlib import Path\nq.quantize(sys.argv[1], Path(sys.argv[2]), 'int8')\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(folder), str(out)], cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL
    assert not out.exists()
    assert [path for path in tmp_path.iterdir() if path.name.startswith(".building-out-")], "it was killed too early"
    quantize(folder, out, "int8")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


GOLD = "@UTF8\n@Begin\n@Languages:\teng\n@Participants:\tPAR Participant\n@ID:\teng|t|PAR|||||Participant|||\n{}@End\n"
SAID = "*PAR:\tone two three &-um four five six seven eight nine ten . \x150_9000\x15\n"


def test_limits_decide_whether_the_model_is_put_in_place(folder, tmp_path, monkeypatch):
    data = tmp_path / "data"
    data.mkdir()
    for name in ("a", "b"):
        (data / f"{name}.wav").write_bytes(b"")
        (data / f"{name}.cha").write_text(GOLD.format(SAID), encoding="utf-8")
    tried = []

    def trial(trial, recordings, out, *, on_progress):
        tried.append((trial.compute_type, trial.beam_size, sorted(path.name for path in Path(trial.model).iterdir())))
        out.mkdir(parents=True, exist_ok=True)
        for path in recordings:
            said = SAID if trial.compute_type == "float32" else SAID.replace("two ", "")
            (out / f"{path.stem}.cha").write_text(GOLD.format(said), encoding="utf-8")
        fast = trial.compute_type != "float32"
        return TrialResult(trial, 60.0, 1.0, 10.0 if fast else 40.0, 2.0, 10**8, 10**6 if fast else 4 * 10**6, out, 5.0)

    monkeypatch.setattr("asrlsa.verification.run_trial", trial)
    out, kept = tmp_path / "out", tmp_path / "kept"
    given = [folder, "-o", out, "--verify", data, "--max-decrease", "disfluency_f1=0"]
    code, text = run(*given, "--max-increase", "wer=9", "--transcripts", kept)
    assert code == 3, text
    assert "REGRESSED: rose by 9.09" in text
    assert not out.exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "kept"]
    assert sorted(path.relative_to(kept).as_posix() for path in kept.rglob("*.cha")) == [
        "after/a.cha", "after/b.cha", "before/a.cha", "before/b.cha",
    ]  # fmt: skip
    code, text = run(*given, "--max-increase", "wer=10", "--runs", 3, "--json")
    assert code == 0, text
    said = json.loads(text[text.index("{") :])["verified"]
    assert said["before"]["scores"]["wer"] == 0
    assert said["after"]["scores"]["wer"] == pytest.approx(100 / 11)
    assert (said["before"]["speed"], said["after"]["speed"]) == (1.5, 6.0)
    assert (said["words"], said["disfluencies"], said["recordings"]) == (22, 2, 2)
    assert [check["name"] for check in said["checks"]] == ["wer", "disfluency_f1"]
    assert said["regressed"] is False
    assert out.exists()
    here = runs_as("int8", supported("cuda" if ctranslate2.get_cuda_device_count() else "cpu"))
    assert [(kind, beam) for kind, beam, _ in tried] == [("float32", 1), (here, 1)] * 4
    assert all("model.bin" in files for _, _, files in tried)


def test_the_model_before_can_be_run_by_the_program_that_ran_it_so_far(folder, tmp_path, monkeypatch):
    data = tmp_path / "data"
    data.mkdir()
    (data / "a.wav").write_bytes(b"")
    (data / "a.cha").write_text(GOLD.format(SAID), encoding="utf-8")

    def trial(trial, recordings, out, *, on_progress):
        out.mkdir(parents=True, exist_ok=True)
        plain = trial.engine != "asrlsa"
        words = "one two three four five six seven eight nine ten" if plain else GOLD.format(SAID)
        (out / f"a.{'txt' if plain else 'cha'}").write_text(words, encoding="utf-8")
        return TrialResult(trial, 60.0, 1.0, 80.0 if plain else 20.0, 2.0, 10**8, 10**6, out, 5.0)

    monkeypatch.setattr("asrlsa.verification.run_trial", trial)
    monkeypatch.setattr("asrlsa.verification.lacking", lambda name: "" if name == "transformers" else "not installed")
    given = [folder, "-o", tmp_path / "out", "--verify", data, "--before"]
    code, text = run(*given, "transformers", "--max-decrease", "disfluency_recall=0")
    assert code == 0, text
    assert "before (transformers, float32)" in text
    assert "4.00 × as fast" in text
    code, text = run(*given, "whisper.cpp", "--overwrite")
    assert (code, text.strip()) == (1, "not installed")
    code, text = run(*given, "transformers", "--overwrite", "--only-model")
    assert code == 1
    assert "leave out --before" in text


def test_a_check_that_can_not_be_made_is_refused_before_anything_is_written(folder, tmp_path):
    assert run(folder, "-o", tmp_path / "out", "--max-increase", "wer=1")[0] == 1
    code, text = run(folder, "-o", tmp_path / "out", "--verify", tmp_path / "none")
    assert code == 1
    assert "does not exist" in text
    with pytest.raises(UsageError, match="one run or more"):
        Verification(data=(), runs=1).prepare()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.weights
def test_faster_whisper_transcribes_with_it_and_the_check_measures(tmp_path):
    from faster_whisper import WhisperModel

    data = tmp_path / "data"
    data.mkdir()
    for suffix in (".mp3", ".cha"):
        shutil.copy(ROOT / "samples" / f"sandwich{suffix}", data)
    out = tmp_path / "out"
    command = [sys.executable, "-m", "asrlsa", "quantize", "tiny.en", "-o", str(out), "--verify", str(data), "--json"]
    limits = ["--max-increase", "wer=100", "--max-decrease", "disfluency_f1=100"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*command, *limits], cwd=ROOT, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    before, after = said["verified"]["before"], said["verified"]["after"]
    assert after["disk"] < before["disk"] / 3
    assert after["peak_memory"] < before["peak_memory"]
    assert before["scores"]["wer"] < 40
    assert abs(after["scores"]["wer"] - before["scores"]["wer"]) < 15  # 80 words: three of them are four points
    assert said["verified"]["audio_seconds"] == pytest.approx(21.3, abs=1)
    segments, info = WhisperModel(str(out), device="cpu", compute_type="default").transcribe(
        str(data / "sandwich.mp3"), word_timestamps=True
    )
    words = [word for segment in segments for word in segment.words]
    assert info.language == "en"
    assert "peanut butter" in "".join(word.word for word in words)
    assert all(word.end >= word.start for word in words)
    assert len({word.start for word in words}) > len(words) / 2
