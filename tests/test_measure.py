"""The measure verb and its command."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from asrlsa.cli import app
from asrlsa.errors import UsageError
from asrlsa.measure import measure
from asrlsa.scoring.measures import MEASURES

SAMPLE = """@UTF8
@Begin
@Languages:\teng
@Participants:\tCHI Target_Child, INV Investigator
@ID:\teng|x|CHI|||||Target_Child|||
@ID:\teng|x|INV|||||Investigator|||
@Media:\tsample, audio
*CHI:\t&-um I [/] I want the ball . \x150_3000\x15
*CHI:\t<the dog> [//] the cat (.) s::o ran away . \x153500_6500\x15
*INV:\twhat happened (.) ? \x156600_6900\x15
*CHI:\t↫b-b↫boy ≠dog spa^ghetti &+f frog . \x157000_9000\x15
*CHI:\t<I want> [/] I want banana [/] banana (1.5) xxx . \x159500_12500\x15
@End
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "a.cha").write_text(SAMPLE, encoding="utf-8")
    (tmp_path / "deep" / "b.cha").write_text(SAMPLE, encoding="utf-8")
    return tmp_path


def test_measure_reads_folders_and_picks_participants(folder):
    found, failures = measure([folder], participants=["CHI"])
    assert [(m.file.rsplit("/", 1)[1], m.participant, m.role) for m in found] == [
        ("a.cha", "CHI", "Target_Child"),
        ("b.cha", "CHI", "Target_Child"),
    ]
    assert not failures


def test_measure_refuses_what_is_not_there(tmp_path):
    with pytest.raises(UsageError, match="does not exist"):
        measure([tmp_path / "none.cha"])
    with pytest.raises(UsageError, match=r"no \.cha file"):
        measure([tmp_path])


def test_an_absent_participant_and_an_empty_file_are_told(folder):
    with pytest.raises(UsageError, match="no file has an utterance of MOT; there are CHI, INV"):
        measure([folder], participants=["CHI", "MOT"])
    (folder / "none.cha").write_text(SAMPLE[: SAMPLE.index("*CHI")] + "@End\n", encoding="utf-8")
    (_, failures) = measure([folder / "none.cha"])
    assert failures == [(str(folder / "none.cha"), "there is no utterance to measure")]


def test_a_participant_without_a_clear_word_has_a_row(folder):
    text = SAMPLE[: SAMPLE.index("*CHI")] + "*CHI:\txxx .\n*INV:\tyes .\n@End\n"
    (folder / "a.cha").write_text(text, encoding="utf-8")
    (child, adult), _ = measure([folder / "a.cha"])
    assert (child.participant, child.measures.words, child.measures.ttr) == ("CHI", 0, None)
    assert (adult.participant, adult.measures.words) == ("INV", 1)


def test_hidden_folders_are_left_out(folder):
    (folder / ".git").mkdir()
    (folder / ".git" / "c.cha").write_text("no CHAT", encoding="utf-8")
    (folder / "d.CHA").write_text(SAMPLE, encoding="utf-8")
    found, failures = measure([folder], participants=["CHI"])
    assert [Path(m.file).name for m in found] == ["a.cha", "d.CHA", "b.cha"]
    assert not failures


def test_command_prints_csv_json_and_a_table(folder):
    run = CliRunner()
    made = run.invoke(app, ["measure", str(folder / "a.cha"), "--format", "csv"])
    rows = list(csv.DictReader(io.StringIO(made.stdout)))
    assert made.exit_code == 0
    assert [row["participant"] for row in rows] == ["CHI", "INV"]
    assert list(rows[0]) == ["file", "participant", "role", *MEASURES]
    assert rows[0]["words"] == "16"
    assert rows[0]["mattr"] == ""
    made = run.invoke(app, ["measure", str(folder / "a.cha"), "--format", "json", "--participant", "CHI"])
    assert [row["sld"] for row in json.loads(made.stdout)] == [6]
    made = run.invoke(app, ["measure", str(folder / "a.cha")])
    assert "CHI Target_Child" in made.stdout
    assert "weighted sld" in made.stdout


def test_command_goes_on_after_a_file_that_is_not_chat(folder):
    (folder / "bad.cha").write_bytes(b"\xff\xfe\x00")
    made = CliRunner().invoke(app, ["measure", str(folder), "--format", "json"])
    assert made.exit_code == 2
    assert len(json.loads(made.stdout)) == 4
    assert "bad.cha" in made.stderr
