"""Manifests: what is written is read again, and every broken row is explained by file, line and key."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrlsa.errors import ManifestError, OutputError
from asrlsa.manifest import Row, read_rows, write_rows

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
HOME = Path(__file__).resolve().parent


@st.composite
def rows(draw):
    start = draw(st.integers(0, 10_000_000))
    return Row(
        id=draw(words.filter(bool)),
        audio=HOME / draw(st.sampled_from(["a.wav", "below/b c.flac", "ü.mp3"])),
        start=start,
        end=start + draw(st.integers(1, 30_000)),
        text=draw(words),
        speaker=draw(words),
        role=draw(words),
        age=draw(st.sampled_from(["", "4;", "4;06.", "4;06.03"])),
        sex=draw(st.sampled_from(["", "male", "female"])),
        group=draw(words),
        language=draw(st.sampled_from(["eng", "spa"])),
        source=draw(words),
        line=draw(st.none() | st.integers(1, 10**9)),
        fluent=draw(st.none() | words),
        joins=draw(st.booleans()),
    )


@given(st.lists(rows(), max_size=5))
def test_what_is_written_is_read(tmp_path_factory, found):
    path = tmp_path_factory.mktemp("m") / "train.jsonl"
    assert write_rows(path, found) == len(found)
    assert list(read_rows(path)) == found


def test_recordings_beside_the_data_move_with_it(tmp_path):
    near, inside = tmp_path / "corpus" / "a.wav", tmp_path / "data" / "clips" / "b.wav"
    manifest = tmp_path / "data" / "train.jsonl"
    write_rows(
        manifest, [Row("1", near, 0, 10, "a"), Row("2", inside, 0, 10, "b"), Row("3", HOME / "c.wav", 0, 10, "c")]
    )
    assert [json.loads(line)["audio"] for line in manifest.read_text().splitlines()] == [
        "../corpus/a.wav",
        "clips/b.wav",
        (HOME / "c.wav").as_posix(),
    ]
    moved = tmp_path.rename(tmp_path.with_name(tmp_path.name + "_moved"))
    assert [row.audio for row in read_rows(moved / "data" / "train.jsonl")] == [
        moved / "corpus" / "a.wav",
        moved / "data" / "clips" / "b.wav",
        HOME / "c.wav",
    ]


@pytest.mark.parametrize(
    ("line", "key", "why"),
    [
        ("{", None, "not JSON"),
        ("[1]", None, "not a JSON object"),
        ('{"start": 0, "end": 1, "text": ""}', "audio", "missing"),
        ('{"audio": 1, "start": [], "end": 1, "text": ""}', "start", "number of seconds"),
        ('{"audio": "a", "start": true, "end": 1, "text": ""}', "start", "number of seconds"),
        ('{"audio": "a", "start": -1, "end": 1, "text": ""}', "start", "0 or more"),
        ('{"audio": "a", "start": 0, "end": NaN, "text": ""}', "end", "number of seconds"),
        ('{"audio": "a", "start": 0, "text": ""}', "end", "missing"),
        ('{"audio": "a", "start": 2, "end": 2, "text": ""}', "end", "after the start"),
        ('{"audio": "a", "start": 0, "end": 250000, "text": ""}', "end", "seconds"),
        ('{"audio": "a", "start": 0, "end": 1}', "text", "missing"),
        ('{"audio": "a", "start": 0, "end": 1, "text": ["b"]}', "text", "must be a text"),
        ('{"audio": "a", "start": 0, "end": 1, "text": "", "language": "en"}', "language", "ISO 639-3"),
        ('{"audio": "a", "start": 0, "end": 1, "text": "", "line": 0}', "line", "from 1 on"),
        ('{"audio": "a", "start": 0, "end": 1, "text": "", "joins": 1}', "joins", "true or false"),
    ],
)
def test_a_broken_row_is_explained(tmp_path, line, key, why):
    path = tmp_path / "m.jsonl"
    path.write_text('{"audio": "a", "start": 0, "end": 1, "text": "fine"}\n\n' + line + "\n")
    found = read_rows(path)
    assert next(found).text == "fine"
    with pytest.raises(ManifestError, match=why) as caught:
        next(found)
    assert (caught.value.line, caught.value.key) == (3, key)
    assert str(caught.value).startswith(f"{path}:3: ")


def test_evaluation_manifests_are_read(tmp_path):
    path = tmp_path / "m.jsonl"
    path.write_text(
        '{"audio": "a.flac", "start": 0, "end": 3.1, "text_verbatim": "um b- ball", "speaker": 7, "age": 6}\n'
    )
    (row,) = read_rows(path)
    assert (row.text, row.speaker, row.age, row.audio) == ("um b- ball", "7", "6;", tmp_path / "a.flac")


def test_an_interrupted_write_leaves_the_old_manifest(tmp_path):
    path = tmp_path / "m.jsonl"
    write_rows(path, [Row("1", tmp_path / "a.wav", 0, 10, "old")])

    def broken():
        yield Row("2", tmp_path / "a.wav", 0, 10, "new")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_rows(path, broken())
    assert [row.text for row in read_rows(path)] == ["old"]
    assert os.listdir(tmp_path) == ["m.jsonl"]  # noqa: PTH208


def test_what_is_not_there_or_can_not_be_written(tmp_path):
    with pytest.raises(ManifestError, match="can't be read"):
        list(read_rows(tmp_path / "none.jsonl"))
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="can't be written"):
        write_rows(tmp_path / "file" / "m.jsonl", [])
