"""Layouts: what is found, how recordings are matched, what each row then says."""

import json

import numpy as np
import pytest
from corpus_files import all_rows, read_lines, reasons, tone, write_chat, write_lines, write_wav

from asrlsa.errors import UsageError
from asrlsa.prepare import PrepareSettings, prepare

QUIET = PrepareSettings(noise=0.0, dev=0.0, test=0.0)


def made(corpus, data, settings=QUIET, **options):
    """Prepare, and return text -> row."""
    prepare(corpus, data, settings, **options)
    return {row["text"]: row for row in all_rows(data)}


def test_media_in_any_layout(tmp_path):
    c = tmp_path / "c"
    said = "CHI: number {} . @0_1000"
    write_wav(c / "own" / "a.wav", tone(2))
    write_chat(c / "own" / "a.cha", [said.format("one")])
    write_wav(c / "media" / "s1" / "b.wav", tone(2))
    write_wav(c / "media" / "s2" / "b.wav", tone(2))
    write_chat(c / "chat" / "s1" / "x.cha", [said.format("two")], media="b")
    write_chat(c / "chat" / "s2" / "x.cha", [said.format("three")], media='"b.wav"')
    write_wav(tmp_path / "elsewhere" / "Déjà.WAV", tone(2))
    write_chat(c / "chat" / "d.cha", [said.format("four")], media="de\u0301ja\u0300")
    write_wav(c / "p" / "e.wav", tone(2))
    write_wav(c / "q" / "e.wav", tone(2))
    write_chat(c / "r" / "e.cha", [said.format("five")])
    rows = made(c, tmp_path / "d", media=[tmp_path / "elsewhere"])
    found = {text: row["audio"].rsplit("/", 3)[-3:] for text, row in rows.items()}
    assert found["Number one."][1:] == ["own", "a.wav"]
    assert found["Number two."] == ["media", "s1", "b.wav"]
    assert found["Number three."] == ["media", "s2", "b.wav"]
    assert found["Number four."][1:] == ["elsewhere", "Déjà.WAV"]
    (lost,) = read_lines(tmp_path / "d" / "dropped.jsonl")
    assert lost["reason"] == "media missing"
    assert "both called 'e'" in lost["detail"]


def test_chat_rows_say_who_and_where(tmp_path):
    write_wav(tmp_path / "c" / "talk.wav", tone(3))
    write_chat(tmp_path / "c" / "talk.cha", ["CHI: the &-um dog . @100_1500", "INV: really ? @1600_2500"])
    rows = made(tmp_path / "c", tmp_path / "d")
    child = rows["The um dog."]
    assert {k: child[k] for k in ("speaker", "role", "age", "sex", "group", "language", "line", "start", "end")} == {
        "speaker": "talk/CHI",
        "role": "Target_Child",
        "age": "4;06.",
        "sex": "female",
        "group": "TD",
        "language": "eng",
        "line": 8,
        "start": 0.1,
        "end": 1.5,
    }
    assert child["source"] == str((tmp_path / "c" / "talk.cha").resolve())
    assert rows["Really?"]["joins"] is True


def test_a_named_child_is_one_speaker_in_all_files_of_a_folder(tmp_path):
    for k in range(3):
        write_wav(tmp_path / "c" / "Adam" / f"{k}.wav", tone(2))
        write_chat(
            tmp_path / "c" / "Adam" / f"{k}.cha", [f"CHI: file {k} . @0_1000", f"MOT: file {k} . @1000_2000"],
            participants="CHI Adam Target_Child, MOT Mother",
        )  # fmt: skip
    rows = [*made(tmp_path / "c", tmp_path / "d").values()]
    assert {row["speaker"] for row in all_rows(tmp_path / "d") if row["role"] == "Target_Child"} == {"Adam/CHI:Adam"}
    assert len({row["speaker"] for row in all_rows(tmp_path / "d") if row["role"] == "Mother"}) == 3
    assert rows


def test_text_files_beside_recordings(tmp_path):
    write_wav(tmp_path / "c" / "a.wav", tone(2.5))
    (tmp_path / "c" / "a.txt").write_text("one two\nthree\n", encoding="utf-8")
    (tmp_path / "c" / "README.txt").write_text("not a transcript")
    rows = made(tmp_path / "c", tmp_path / "d")
    assert {text: (row["start"], row["end"]) for text, row in rows.items()} == {"one two three": (0.0, 2.5)}


def test_common_voice(tmp_path):
    c = tmp_path / "cv"
    head = "client_id\tpath\tsentence\tup_votes\tage\tgender\tlocale\n"
    for name, part in (("a", "train"), ("b", "dev"), ("c", "test")):
        write_wav(c / "clips" / f"{name}.wav", tone(2))
        row = f'{name}1\t{name}.wav\tShe said "{name}" again\t2\ttwenties\tfemale_feminine\ten\n'
        (c / f"{part}.tsv").write_text(head + row, encoding="utf-8")
    (c / "validated.tsv").write_text(head + row, encoding="utf-8")
    (c / "invalidated.tsv").write_text(head + row, encoding="utf-8")
    rows = made(c, tmp_path / "d")
    assert {text: (row["part"], row["speaker"], row["sex"], row["language"]) for text, row in rows.items()} == {
        'She said "a" again': ("train", "a1", "female", "eng"),
        'She said "b" again': ("dev", "b1", "female", "eng"),
        'She said "c" again': ("test", "c1", "female", "eng"),
    }
    remarks = json.loads((tmp_path / "d" / "prepare.json").read_text())["remarks"]
    assert any("validated.tsv" in line for line in remarks)


def test_ljspeech(tmp_path):
    for name in ("LJ-1", "LJ-2"):
        write_wav(tmp_path / "lj" / "wavs" / f"{name}.wav", tone(2))
    (tmp_path / "lj" / "metadata.csv").write_text(
        'LJ-1|In 1455, "so"|In fourteen fifty-five, "so"\nLJ-2|Plain.|Plain.\n', encoding="utf-8"
    )
    rows = made(tmp_path / "lj", tmp_path / "d")
    assert set(rows) == {'In fourteen fifty-five, "so"', "Plain."}


def test_nemo(tmp_path):
    wav = write_wav(tmp_path / "n" / "long.wav", tone(5))
    manifest = write_lines(
        tmp_path / "n" / "m.json",
        [
            {"audio_filepath": str(wav), "offset": 1.0, "duration": 2.0, "text": "second part", "speaker": "s"},
            {"audio_filepath": "short.wav", "duration": 1.9, "text": "whole file"},
        ],
    )
    write_wav(tmp_path / "n" / "short.wav", tone(2))
    rows = made(manifest, tmp_path / "d")
    assert (rows["second part"]["start"], rows["second part"]["end"]) == (1.0, 3.0)
    assert (rows["whole file"]["start"], rows["whole file"]["end"]) == (0.0, 2.0)


def test_our_own_layout(tmp_path):
    write_wav(tmp_path / "c" / "a.wav", tone(4))
    write_lines(
        tmp_path / "c" / "manifest.jsonl",
        [
            {"audio": "a.wav", "start": 0, "end": 1, "text_verbatim": "um hello", "speaker": "x", "split": "test"},
            {
                "audio": "a.wav",
                "start": 1,
                "end": 2,
                "chat": "&-um bye [/] bye .",
                "text": "bye",
                "speaker": "x",
                "age": 6,
            },
        ],
    )
    rows = made(tmp_path / "c", tmp_path / "d")
    assert set(rows) == {"um hello", "Um bye bye."}
    assert rows["Um bye bye."]["age"] == "6;"
    assert {row["part"] for row in rows.values()} == {"test"}


def test_audiofolder(tmp_path):
    write_wav(tmp_path / "c" / "data" / "a.wav", tone(2))
    (tmp_path / "c" / "metadata.csv").write_text('file_name,transcription\ndata/a.wav,"well, hello"\n')
    assert set(made(tmp_path / "c", tmp_path / "d")) == {"well, hello"}
    (tmp_path / "c" / "metadata.csv").unlink()
    write_lines(tmp_path / "c" / "metadata.jsonl", [{"file_name": "data/a.wav", "text": "json row"}])
    assert set(made(tmp_path / "c", tmp_path / "e")) == {"json row"}


LONG = """File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = 4.0
tiers? <exists>
size = 3
item []:
    item [1]:
        class = "IntervalTier"
        name = "CHI"
        xmin = 0
        xmax = 4.0
        intervals: size = 3
        intervals [1]:
            xmin = 0
            xmax = 1.5
            text = "um the ""dog"" [1]"
        intervals [2]:
            xmin = 1.5
            xmax = 2.0
            text = ""
        intervals [3]:
            xmin = 2.0
            xmax = 4.0
            text = "&-um he [/] he ran ."
    item [2]:
        class = "IntervalTier"
        name = "CHI words"
        xmin = 0
        xmax = 4.0
        intervals: size = 1
        intervals [1]:
            xmin = 0
            xmax = 4.0
            text = "um"
    item [3]:
        class = "TextTier"
        name = "marks"
        xmin = 0
        xmax = 4.0
        points: size = 1
        points [1]:
            number = 1.0
            mark = "x"
"""
SHORT = """File type = "ooTextFile"
Object class = "TextGrid"

0
4.0
<exists>
1
"IntervalTier"
"CHI"
0
4.0
1
0.5
1.5
"short form"
"""


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_textgrid(tmp_path, encoding):
    write_wav(tmp_path / "c" / "a.wav", tone(4))
    write_wav(tmp_path / "c" / "b.wav", tone(4, 330))
    (tmp_path / "c" / "a.TextGrid").write_text(LONG, encoding=encoding)
    (tmp_path / "c" / "b.TextGrid").write_text(SHORT, encoding=encoding)
    rows = made(tmp_path / "c", tmp_path / "d")
    assert {text: (row["start"], row["end"], row["speaker"], row["line"]) for text, row in rows.items()} == {
        'um the "dog"': (0.0, 1.5, "a/CHI", 18),
        "Um he he ran.": (2.0, 4.0, "a/CHI", 26),
        "short form": (0.5, 1.5, "b/CHI", 15),
    }


def test_what_can_not_be_read_is_reported_and_the_rest_goes_on(tmp_path):
    write_wav(tmp_path / "c" / "a.wav", tone(2))
    write_chat(tmp_path / "c" / "a.cha", ["CHI: fine . @0_1000"])
    (tmp_path / "c" / "b.cha").write_bytes(b"@Begin\n*CHI:\t\xff\n@End\n")
    (tmp_path / "c" / "e.cha").write_text("no chat at all\n")
    report = prepare(tmp_path / "c", tmp_path / "d", QUIET)
    assert [path.rsplit("/", 1)[1] for path, _ in report.failures] == ["b.cha", "e.cha"]
    assert len(all_rows(tmp_path / "d")) == 1


def test_a_broken_line_of_a_table_is_named(tmp_path):
    write_wav(tmp_path / "c" / "a.wav", tone(2))
    path = tmp_path / "c" / "m.jsonl"
    path.write_text('{"audio": "a.wav", "text": "fine"}\nnot json\n')
    with pytest.raises(UsageError, match=r"m\.jsonl:2: is not JSON"):
        prepare(path, tmp_path / "d", QUIET)


def test_times_that_are_no_numbers(tmp_path):
    write_wav(tmp_path / "c" / "a.wav", tone(2))
    rows = [{"audio": "a.wav", "text": "fine"}, {"audio": "a.wav", "text": "x", "start": "soon", "end": 1}]
    prepare(write_lines(tmp_path / "c" / "m.jsonl", rows), tmp_path / "d", QUIET)
    assert reasons(tmp_path / "d") == {"2": "no times"}


@pytest.mark.parametrize("kind", ["nothing", "folder", "file", "media"])
def test_no_corpus(tmp_path, kind):
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.doc").write_text("")
    given = {"nothing": "none", "folder": "empty", "file": "a.doc", "media": "empty"}[kind]
    media = [tmp_path / "none"] if kind == "media" else []
    with pytest.raises(UsageError):
        prepare(tmp_path / given, tmp_path / "d", QUIET, media=media)


def test_a_saved_data_set_needs_pyarrow(tmp_path, monkeypatch):
    folder = tmp_path / "c"
    folder.mkdir()
    (folder / "dataset_info.json").write_text("{}")
    (folder / "state.json").write_text('{"_data_files": [{"filename": "x.arrow"}]}')
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(UsageError, match="pip install pyarrow"):
        prepare(folder, tmp_path / "d", QUIET)


def test_a_saved_data_set(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    pytest.importorskip("pyarrow.ipc")
    clip = write_wav(tmp_path / "clip.wav", tone(2))
    inner = {
        part: write_wav(tmp_path / f"{part}.wav", tone(2, hertz)).read_bytes()
        for part, hertz in (("train", 300), ("test", 400))
    }
    sound = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
    schema = pyarrow.schema([("audio", sound), ("sentence", pyarrow.string()), ("speaker_id", pyarrow.int64())])
    for part in ("train", "test"):
        folder = tmp_path / "c" / part
        folder.mkdir(parents=True)
        rows = [{"audio": {"bytes": inner[part], "path": "x.wav"}, "sentence": f"inside {part}", "speaker_id": 1}]
        if part == "train":
            rows.append({"audio": {"bytes": None, "path": str(clip)}, "sentence": "outside train", "speaker_id": 2})
        rows = [{**row, "speaker_id": row["speaker_id"] + 10 * (part == "test")} for row in rows]
        with pyarrow.OSFile(str(folder / "data-0.arrow"), "wb") as file, pyarrow.ipc.new_stream(file, schema) as stream:
            stream.write_batch(pyarrow.RecordBatch.from_pylist(rows, schema=schema))
        (folder / "state.json").write_text('{"_data_files": [{"filename": "data-0.arrow"}]}')
        (folder / "dataset_info.json").write_text("{}")
    (tmp_path / "c" / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    rows = list(made(tmp_path / "c", tmp_path / "d").values())
    assert {(row["part"], row["text"]) for row in rows} == {
        ("train", "inside train"),
        ("train", "outside train"),
        ("test", "inside test"),
    }
    inside = next(row for row in rows if row["text"] == "inside train")
    assert (tmp_path / "d" / inside["audio"]).read_bytes() == inner["train"]


def test_copies_of_a_recording(tmp_path):
    noise = np.random.default_rng(0).normal(0, 0.1, 48_000).astype(np.float32)
    for name in ("one/a", "two/b"):
        write_wav(tmp_path / "c" / f"{name}.wav", noise)
        write_chat(tmp_path / "c" / f"{name}.cha", ["CHI: the same . @0_1000", f"CHI: only in {name[-1]} . @1000_2000"])
    rows = made(tmp_path / "c", tmp_path / "d")
    assert set(rows) == {"The same.", "Only in a.", "Only in b."}
    (lost,) = read_lines(tmp_path / "d" / "dropped.jsonl")
    assert (lost["reason"], lost["source"].rsplit("/", 1)[1]) == ("duplicate", "b.cha:8")
