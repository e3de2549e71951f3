"""Participants in words and in tables; every wrong value is one clear error."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrlsa.chat.header_rules import AGE, ROLES
from asrlsa.errors import ConfigError
from asrlsa.participants import (
    chat_age,
    parse_participants,
    participants_in,
    read_participants_csv,
    without_recording,
)
from asrlsa.types import Participant


def table(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "participants.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


# --- in words ---------------------------------------------------------------------------------------------------------


def test_the_usual_line():
    assert parse_participants("CHI Target_Child age=4;6 sex=female, INV Investigator") == (
        Participant("CHI", "Target_Child", age="4;06.", sex="female"),
        Participant("INV", "Investigator"),
    )


def test_every_field():
    text = (
        'chi Mary target_child age="4 years 6 months" sex=F group="late talker" ses="White,MC" '
        "language=es corpus=Mine education=12 custom=x"
    )
    assert parse_participants(text) == (
        Participant(
            "CHI", "Target_Child", "Mary", "spa", "Mine", "4;06.", "female", "late talker", "White,MC", "12", "x"
        ),
    )


@pytest.mark.parametrize(
    ("text", "roles"),
    [
        ("CHI, MOT, INV", ["Target_Child", "Mother", "Investigator"]),
        ("CHI,MOT Grandmother,", ["Target_Child", "Grandmother"]),
        ("P1 target child".replace("target child", "target-child"), ["Target_Child"]),
        ("P1 PLAYROLE", ["PlayRole"]),
    ],
)
def test_roles(text, roles):
    assert [person.role for person in parse_participants(text)] == roles


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "nothing given; write for example"),
        ("  ", "nothing given"),
        ("CHI Target_Child,, INV", "entry 2:code: is missing"),
        ("XYZ", "entry 1:role: is missing for XYZ"),
        ("CHI Patient", "entry 1:role: 'Patient' is not a role of CHAT; did you mean Participant?"),
        ("SLP Clinician", "did you mean Investigator or Therapist?"),
        ("CHI Mothr", "did you mean Mother"),
        ("CHI Zzzz", "it has Adult, Attorney"),
        ("TOOLONGX Child", "'TOOLONGX' is not a speaker code; use 1 to 7"),
        ("Ü Child", "is not a speaker code"),
        ("CHI Child age=4.5", "entry 1:age: '4.5' is not an age; write 4;06"),
        ("CHI Child age=4;13", "has 13 months; months go from 0 to 11"),
        ("CHI Child sex=x", "'x' is not possible; CHAT has male, female or nothing"),
        ("CHI Child ses=rich", "entry 1:ses: 'rich' is not possible; CHAT has White"),
        ("CHI Child language=klingon", "is not a language code"),
        ("CHI Child group=a|b", "holds '|', which CHAT's @ID can't"),
        ("CHI Child height=1", "unknown field 'height'; known are code, role"),
        ("CHI Child age=4 age=5", "age is given twice"),
        ("CHI Child, CHI Child", "CHI stands twice"),
        ('CHI Child group="a', "a double quote is not closed"),
    ],
)
def test_what_is_wrong_in_words(text, message):
    with pytest.raises(ConfigError) as caught:
        parse_participants(text)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_roles_that_are_hinted_at_exist():
    from asrlsa.participants import _SUGGESTED, _USUAL

    hinted = [word for hint in _SUGGESTED.values() for word in hint.replace(",", " ").split() if word != "or"]
    assert set(hinted) | set(_USUAL.values()) <= ROLES


# --- ages -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "age"),
    [
        ("4;6", "4;06."),
        ("4;06.", "4;06."),
        ("4;06", "4;06."),
        ("4;6.3", "4;06.03"),
        ("4;06.03", "4;06.03"),
        ("4 ; 06 . 03", "4;06.03"),
        ("4;", "4;"),
        ("4", "4;"),
        ("004", "4;"),
        ("72;", "72;"),
        ("0;9", "0;09."),
        ("4 years 6 months", "4;06."),
        ("4 years, 6 months", "4;06."),
        ("4 years and 6 months", "4;06."),
        ("4y6m", "4;06."),
        ("4 yrs", "4;"),
        ("54 months", "4;06."),
        ("9 mo.", "0;09."),
        ("1 year 0 months", "1;00."),
    ],
)
def test_ages(text, age):
    assert chat_age(text) == age
    assert chat_age(age) == age
    assert AGE.match(age)


@pytest.mark.parametrize(
    "text",
    ["", "4.5", "4,5", "4:06", "four", "4;12", "4;6.32", "4;6;3", "-4", "4 years 12 months", "6-Apr", "1234;", "4;;6"],
)
def test_what_is_no_age(text):
    with pytest.raises(ValueError, match=r"age|months go|days go"):
        chat_age(text)


@given(st.integers(0, 120), st.integers(0, 11) | st.none(), st.integers(0, 31) | st.none())
def test_ages_of_every_length(years, months, days):
    text = f"{years};" if months is None else f"{years};{months}." if days is None else f"{years};{months}.{days}"
    assert AGE.match(chat_age(text))
    assert chat_age(chat_age(text)) == chat_age(text)


# --- tables -----------------------------------------------------------------------------------------------------------

ROWS = """file,code,role,age,sex,group
a.wav,CHI,Target_Child,4;06.,female,TD
a.wav,MOT,Mother,,,
*,INV,Investigator,,,
,STU,Student,,,
"""
WANTED = {
    "a.wav": (Participant("CHI", "Target_Child", age="4;06.", sex="female", group="TD"), Participant("MOT", "Mother")),
    "*": (Participant("INV", "Investigator"), Participant("STU", "Student")),
}


def semicolons(text: str) -> str:
    """As Excel writes it where the comma is the decimal sign."""
    return text.replace("4;06.", '"4;06."').replace(",", ";")


@pytest.mark.parametrize(
    "content",
    [
        ROWS,
        "\ufeff" + ROWS,
        ROWS.replace("\n", "\r\n"),
        ROWS.replace("\n", "\r"),
        ROWS.rstrip("\n"),
        semicolons(ROWS),
        "sep=;\r\n" + semicolons(ROWS),
        ROWS.replace(",", "\t"),
        ROWS.replace(",", "\t").encode("utf-16"),
        ROWS.replace("4;06.", '"=""4;06."""'),
        ROWS.replace("file,code,role", "File, CODE ,Role"),
        ROWS.replace("a.wav,MOT", "a.wav,mot").replace(",CHI", ",\u00a0CHI "),
        "\n" + ROWS + "\n,,,,,\n\n",
        ROWS.replace("sex,group", "sex,group,").replace("TD\n", "TD,\n"),
    ],
)
def test_tables_as_programs_write_them(tmp_path, content):
    notes: list[str] = []
    assert read_participants_csv(table(tmp_path, content), on_note=notes.append) == WANTED
    assert notes == []


def test_columns_that_are_not_known_are_ignored_and_told(tmp_path):
    notes: list[str] = []
    path = table(tmp_path, "file,code,height,notes\na,CHI,1,x\n")
    assert read_participants_csv(path, on_note=notes.append) == {"a": (Participant("CHI", "Target_Child"),)}
    assert len(notes) == 1
    assert "ignored columns height, notes; known are file, code, role" in notes[0]


def test_a_table_of_old_windows(tmp_path):
    notes: list[str] = []
    path = table(tmp_path, "code,name\nCHI,Zoë\n".encode("cp1252"))
    assert read_participants_csv(path, on_note=notes.append)["*"][0].name == "Zoë"
    assert "Windows-1252" in notes[0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", ":1: has no column 'code'"),
        ("name;role\nx;y\n", ":1: has no column 'code'; the first row names the columns"),
        ("code,code\nCHI,CHI\n", ":1:code: the column stands twice"),
        ("code,role\n", "has no participants below the first row"),
        ("code,role\nCHI,Patient\n", ":2:role: 'Patient' is not a role of CHAT"),
        ("code,role\n\nCHI,Child\n,Child\n", ":4:code: is missing"),
        ("file,code,age\na,CHI,4;6\na,INV,4.5\n", ":3:age: '4.5' is not an age"),
        ("file,code,age\na,CHI,4.5\n", ":2:age: '4.5' is not an age"),
        ("file,code\na,CHI\nb,CHI\na,CHI\n", ":4:code: CHI stands twice for the same recording"),
        ("file,code\na,CHI,White,MC\n", ":2: has more cells than the first row"),
        ("code,sex\nCHI,unknown\n", ":2:sex: 'unknown' is not possible"),
        ('code,ses\nCHI,"MC,White"\n', ":2:ses: 'MC,White' is not possible"),
        ('code,name\nCHI,"Ann, Bob"\n', ":2:name: 'Ann, Bob' holds a comma"),
        ("code,group\nCHI,a|b\n", ":2:group: 'a|b' holds '|'"),
        ('code,group\nCHI,"a\nb"\n', ":2:group:"),
        ('code,role\nCHI,"Child\n', "is not a table"),
        (b"PK\x03\x04 workbook", "is an Excel workbook; save it as CSV"),
    ],
)
def test_what_is_wrong_in_a_table(tmp_path, content, message):
    path = table(tmp_path, content)
    with pytest.raises(ConfigError) as caught:
        read_participants_csv(path)
    assert str(caught.value).startswith(str(path))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_table_that_is_not_there(tmp_path):
    with pytest.raises(ConfigError, match="can't be read"):
        read_participants_csv(tmp_path / "participants.csv")


def test_the_documentation(tmp_path):
    text = (Path(__file__).resolve().parents[1] / "docs" / "formats.md").read_text(encoding="utf-8")
    example = re.search(r"((?: {4}(?:file|visit|\*)\S*\n)+)", text.split("## participants.csv")[1])
    assert example is not None
    found = read_participants_csv(table(tmp_path, re.sub(r"^ {4}", "", example[1], flags=re.MULTILINE)))
    assert list(found) == ["visit1.wav", "visit2", "*"]
    lines = re.findall(r"""--participants (["'])(.*)\1$""", text, re.MULTILINE)
    assert len(lines) == 2
    for _, line in lines:
        assert parse_participants(line)[0].code == "CHI"
    assert all(f"`{field.name}`" in text for field in dataclasses.fields(Participant))


# --- which rows -------------------------------------------------------------------------------------------------------


def find(rows: dict[str, str], name: str) -> list[str]:
    people = {file: tuple(Participant(code) for code in text.split()) for file, text in rows.items()}
    return [person.code for person in participants_in(people, Path("/data") / name, Path("/data"))]


@pytest.mark.parametrize(
    ("key", "name", "found"),
    [
        ("a.wav", "a.wav", True),
        ("a", "a.wav", True),
        ("A.WAV", "a.wav", True),
        ("a.wav", "sub/a.wav", True),
        ("sub/a.wav", "sub/a.wav", True),
        ("sub\\a", "sub/a.wav", True),
        ("./sub/a", "sub/a.wav", True),
        ("sub/a.wav", "a.wav", False),
        ("a.mp3", "a.wav", False),
        ("b", "a.wav", False),
        ("v1.2", "v1.2.wav", True),
        ("Zoe\u0308", "Zo\u00eb.wav", True),
    ],
)
def test_names_in_the_file_column(key, name, found):
    assert find({key: "CHI"}, name) == (["CHI"] if found else [])


def test_own_rows_replace_common_ones():
    assert find({"*": "CHI INV", "a.wav": "CHI MOT"}, "a.wav") == ["CHI", "MOT", "INV"]
    assert find({"*": "CHI INV", "a.wav": "CHI MOT"}, "b.wav") == ["CHI", "INV"]


def test_rows_without_a_recording():
    rows = {"*": (), "a.wav": (), "B": (), "c.wav": ()}
    assert without_recording(rows, [Path("/data/a.wav"), Path("/data/sub/b.mp3")], Path("/data")) == ["c.wav"]
