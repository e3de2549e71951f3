import json
import os
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from asrlsa.chat.parser import parse_chat
from asrlsa.convert import FORMATS, convert, to_json, to_srt, to_text, to_textgrid, to_vtt, utterance_span
from asrlsa.errors import ChatError, UsageError
from asrlsa.types import Span, Utterance

HEAD = (
    "@UTF8\n@Begin\n@Languages:\teng\n@Participants:\tCHI Target_Child, MOT Mother\n"
    "@ID:\teng|asrlsa|CHI|4;06.||||Target_Child|||\n@ID:\teng|asrlsa|MOT|||||Mother|||\n"
)
TEXT = (
    HEAD + '@Media:\t"a,b", audio\n'
    "*CHI:\t<the dog> [//] the &-um cat wanna [: want to] run ? \x15500_2000\x15\n"
    "%wor:\tthe \x15500_700\x15 dog \x15700_900\x15 the \x15900_1000\x15 um \x151000_1400\x15 cat wanna run ?\n"
    "*MOT:\t“yes” & <xxx> [?] b@l +... \x151500_3661004\x15\n"
    "*CHI:\t0 [=! cries] . \x153661004_3662000\x15\n"
    "*CHI:\tno times +//.\n@End\n"
)
TIMELESS = HEAD + "*CHI:\tdog .\n@End\n"
SILENT = HEAD + "@Media:\tx, audio, unlinked\n@End\n"


def test_text() -> None:
    transcript = parse_chat(TEXT)
    assert to_text(transcript) == "the dog the um cat wanna run\nyes b\nno times\n"
    assert to_text(transcript, clean=True) == "the cat want to run\nyes b\nno times\n"
    assert to_text(transcript, clean=True, speakers=True) == "CHI: the cat want to run\nMOT: yes b\nCHI: no times\n"
    assert convert(transcript, "verbatim") == to_text(transcript)
    assert convert(transcript, "clean") == to_text(transcript, clean=True)


def test_srt() -> None:
    assert to_srt(parse_chat(TEXT)) == (
        "1\n00:00:00,500 --> 00:00:02,000\nCHI: the dog the um cat wanna run?\n\n"
        "2\n00:00:01,500 --> 01:01:01,004\nMOT: yes xxx b...\n"
    )


def test_vtt() -> None:
    text = TEXT.replace("no times", "<3 no")
    assert to_vtt(parse_chat(text)) == (
        "WEBVTT\n\n00:00:00.500 --> 00:00:02.000\n<v CHI>the dog the um cat wanna run?\n\n"
        "00:00:01.500 --> 01:01:01.004\n<v MOT>yes xxx b...\n"
    )


def read_textgrid(text: str) -> dict[str, list[tuple[float, float, str]]]:
    """A reader of its own: what Praat makes of the text."""
    tiers = {}
    for block in re.split(r"\n    item \[\d+\]:\n", text)[1:]:
        name = re.search(r'name = "(.*)"', block)
        rows = re.findall(r'xmin = ([\d.]+)\n\s+xmax = ([\d.]+)\n\s+text = "((?:[^"]|"")*)"', block)
        assert name is not None
        assert f"intervals: size = {len(rows)}\n" in block
        tiers[name[1]] = [(float(a), float(b), t.replace('""', '"')) for a, b, t in rows]
    assert f"size = {len(tiers)}\n" in text
    return tiers


def test_textgrid() -> None:
    text = to_textgrid(parse_chat(TEXT.replace("“yes”", '"yes"')))
    assert text.startswith('File type = "ooTextFile"\nObject class = "TextGrid"\n\nxmin = 0\nxmax = 3662\n')
    tiers = read_textgrid(text)
    assert list(tiers) == ["CHI", "CHI words", "MOT", "MOT words"]
    assert tiers["CHI words"] == [
        (0, 0.5, ""),
        (0.5, 0.7, "the"),
        (0.7, 0.9, "dog"),
        (0.9, 1, "the"),
        (1, 1.4, "um"),
        (1.4, 3662, ""),
    ]
    assert tiers["MOT"] == [(0, 1.5, ""), (1.5, 3661.004, '"yes" & <xxx> [?] b@l +...'), (3661.004, 3662, "")]
    assert [row[2] for row in tiers["CHI"]] == [
        "",
        "<the dog> [//] the &-um cat wanna [: want to] run ?",
        "",
        "0 [=! cries] .",
    ]
    for rows in tiers.values():
        assert rows[0][0] == 0
        assert rows[-1][1] == 3662
        assert all(a[1] == b[0] for a, b in pairwise(rows))


def test_overlapping_intervals_are_cut() -> None:
    text = (
        HEAD + "@Media:\tx, audio\n*CHI:\ta . \x150_2000\x15\n"
        "*CHI:\tb . \x151000_3000\x15\n*CHI:\tc . \x151500_2500\x15\n@End\n"
    )
    assert read_textgrid(to_textgrid(parse_chat(text)))["CHI"] == [(0, 2, "a ."), (2, 3, "b .")]


def test_json() -> None:
    document = json.loads(to_json(parse_chat(TEXT)))
    assert document["languages"] == ["eng"]
    assert document["media"] == "a,b"
    assert document["participants"][0]["age"] == "4;06."
    assert ["Begin", None] in document["headers"]
    first, second, _, last = document["utterances"]
    assert first["verbatim"] == ["the", "dog", "the", "um", "cat", "wanna", "run"]
    assert first["clean"] == ["the", "cat", "want", "to", "run"]
    assert [(e["kind"], e["start"], e["end"]) for e in first["events"]] == [("retracing", 0, 2), ("filled_pause", 3, 4)]
    assert first["words"][0] == {"text": "the", "start": 500, "end": 700, "confidence": None}
    assert [tier[0] for tier in first["tiers"]] == ["wor"]
    assert [(m["kind"], m["start"]) for m in second["masks"]] == [("xxx", 1)]
    assert (last["start"], last["end"], last["terminator"]) == (None, None, "+//.")


@pytest.mark.parametrize("to", FORMATS)
def test_silence_converts_to_everything(to: str) -> None:
    text = convert(parse_chat(SILENT), to)
    assert text == {"verbatim": "", "clean": "", "srt": "", "vtt": "WEBVTT\n"}.get(to, text)
    if to == "textgrid":
        assert read_textgrid(text)["CHI"] == [(0, 0.001, "")]


@pytest.mark.parametrize("to", ["srt", "vtt", "textgrid"])
def test_formats_with_times_refuse_a_file_without(to: str) -> None:
    with pytest.raises(ChatError, match="no bullets"):
        convert(parse_chat(TIMELESS), to)


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(UsageError, match="choose one of verbatim"):
        convert(parse_chat(SILENT), "docx")


@pytest.mark.parametrize(
    ("utterance", "span"),
    [
        (Utterance("CHI", "a .", 5, 9), Span(5, 9)),
        (Utterance("CHI", "a \x151_5\x15 b .", 5, 9), Span(1, 9)),
        (Utterance("CHI", "a \x151_5\x15 b ."), Span(1, 5)),
        (Utterance("CHI", "a ."), None),
        (Utterance("CHI", "a .", 9, 5), None),
    ],
)
def test_span_over_all_bullets(utterance: Utterance, span: Span | None) -> None:
    assert utterance_span(utterance) == span


def run(*arguments: str | Path) -> tuple[int, str, str]:
    command = [sys.executable, "-c", "from asrlsa.cli import main; main()", *map(str, arguments)]
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8", "NO_COLOR": "1", "COLUMNS": "200"}
    done = subprocess.run(command, capture_output=True, encoding="utf-8", env=environment)
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in" / "deep").mkdir(parents=True)
    good = TEXT.replace('"a,b"', "good").replace("“yes” & ", "")
    (tmp_path / "in" / "good.cha").write_text(good, encoding="utf-8")
    (tmp_path / "in" / "deep" / "also.cha").write_text(good.replace("good", "also"), encoding="utf-8")
    (tmp_path / "in" / ".hidden.cha").write_text("nothing", encoding="utf-8")
    return tmp_path / "in"


def test_check_command(folder: Path) -> None:
    assert run("check", folder) == (0, "", "2 files: 0 errors, 0 warnings\n")
    bad = folder / "bad.cha"
    bad.write_text(TIMELESS.replace("dog .", "um 2 dogs"), encoding="utf-8")
    code, out, err = run("check", folder)
    assert code == 2
    assert out.splitlines() == [
        f"{bad}:7:7: bare-filler a filled pause is written &-um, not um (warning)",
        f"{bad}:7:10: digit digits are not words: spell the number out (2)",
        f"{bad}:7:16: terminator the terminator is missing: end the utterance with . ? ! or another one",
    ]
    assert err == "3 files: 2 errors, 1 warning\n"
    code, out, err = run("check", "--quiet", bad)
    assert (code, len(out.splitlines()), err) == (2, 2, "")


def test_check_counts_warnings_only_when_strict(folder: Path) -> None:
    file = folder / "warn.cha"
    file.write_text(TIMELESS.replace("dog", "um"), encoding="utf-8")
    assert run("check", file)[0] == 0
    assert run("check", "--strict", file)[0] == 2


def test_check_reports_a_file_that_is_not_utf8_and_goes_on(folder: Path) -> None:
    (folder / "bad.cha").write_bytes(b"@UTF8\n@Begin\n*CHI:\tcaf\xe9 .\n")
    code, out, err = run("check", folder)
    assert code == 2
    assert out == f"{folder / 'bad.cha'}:3:10: encoding the file is not UTF-8 text; save it as UTF-8 and try again\n"
    assert err == "3 files: 1 error, 0 warnings\n"


@pytest.mark.parametrize("verb", [["check"], ["convert", "--to", "json"]])
def test_paths_that_hold_nothing_are_a_usage_error(verb: list[str], tmp_path: Path) -> None:
    code, _, err = run(*verb, tmp_path)
    assert (code, "no .cha file" in err) == (1, True)
    code, _, err = run(*verb, tmp_path / "none.cha")
    assert (code, "no such file" in err) == (1, True)


def test_convert_command_beside_the_input(folder: Path) -> None:
    for to in ("verbatim", "clean", "srt", "vtt", "textgrid", "json"):
        assert run("convert", folder, "--to", to) == (0, "", "")
    names = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    endings = [".TextGrid", ".cha", ".clean.txt", ".json", ".srt", ".verbatim.txt", ".vtt"]
    assert names == sorted([".hidden.cha", *[f"deep/also{e}" for e in endings], *[f"good{e}" for e in endings]])
    assert (folder / "good.clean.txt").read_text(encoding="utf-8") == "the cat want to run\nb\nno times\n"


def test_convert_command_into_a_folder_a_file_and_standard_output(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run("convert", folder, "--to", "srt", "-o", out)[0] == 0
    assert sorted(p.relative_to(out).as_posix() for p in out.rglob("*.srt")) == ["deep/also.srt", "good.srt"]
    one = tmp_path / "one.txt"
    assert run("convert", folder / "good.cha", "--to", "clean", "--speakers", "-o", one)[0] == 0
    assert one.read_text(encoding="utf-8").startswith("CHI: the cat")
    code, text, _ = run("convert", folder / "good.cha", "--to", "verbatim", "-o", "-")
    assert (code, text) == (0, "the dog the um cat wanna run\nb\nno times\n")


def test_convert_command_never_replaces_a_file_by_itself(folder: Path) -> None:
    kept = folder / "good.srt"
    kept.write_text("mine", encoding="utf-8")
    code, _, err = run("convert", folder, "--to", "srt")
    assert (code, kept.read_text(encoding="utf-8")) == (2, "mine")
    assert "good.srt is there already; --force replaces it" in err
    assert (folder / "deep" / "also.srt").exists()
    assert run("convert", folder, "--to", "srt", "--force")[0] == 0
    assert kept.read_text(encoding="utf-8") != "mine"


def test_convert_command_goes_on_after_a_bad_file(folder: Path) -> None:
    (folder / "bad.cha").write_text("not CHAT\n", encoding="utf-8")
    code, _, err = run("convert", folder, "--to", "json")
    assert code == 2
    assert err.count("\n") == 1
    assert "bad.cha:1:1: a line must start with" in err
    assert (folder / "good.json").exists()


def test_convert_command_options_that_make_no_sense(folder: Path) -> None:
    assert run("convert", folder, "--to", "docx")[0] == 1
    assert run("convert", folder, "--to", "srt", "--speakers")[0] == 1
