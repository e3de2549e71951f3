"""Who speaks: participants given in words, or in a ``participants.csv``, as CHAT's ``@Participants`` and ``@ID``."""

from __future__ import annotations

import csv
import difflib
import io
import os
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Final

from asrlsa.chat.header_rules import ROLES
from asrlsa.errors import ConfigError
from asrlsa.types import Participant

CSV_NAME: Final = "participants.csv"
EVERY_FILE: Final = "*"

# Role of a code that is given without one: the codes whose meaning CHAT itself fixes.
_USUAL: Final = {
    "CHI": "Target_Child",
    "MOT": "Mother",
    "FAT": "Father",
    "INV": "Investigator",
    "PAR": "Participant",
    "BRO": "Brother",
    "SIS": "Sister",
    "TEA": "Teacher",
    "STU": "Student",
    "ADU": "Adult",
}
# Words that clinicians try first, and what CHAT has for them.
_SUGGESTED: Final = {
    "clinician": "Investigator or Therapist",
    "examiner": "Investigator",
    "interviewer": "Investigator",
    "pathologist": "Therapist",
    "slp": "Therapist",
    "slt": "Therapist",
    "patient": "Participant",
    "client": "Participant",
    "parent": "Mother, Father or Caretaker",
    "caregiver": "Caretaker",
    "observer": "Visitor",
    "kid": "Child",
}
_ETHNICITIES: Final = ("White", "Black", "Latino", "Asian", "Pacific", "Native", "Multiple", "Unknown")
_CLASSES: Final = ("WC", "UC", "MC", "LI")
_SEXES: Final = {
    "male": "male",
    "m": "male",
    "boy": "male",
    "man": "male",
    "female": "female",
    "f": "female",
    "girl": "female",
    "woman": "female",
    "": "",
}
_COLUMNS: Final = tuple(field.name for field in fields(Participant))
_ENTRY = re.compile(r'(?:[^\s,"]|"[^"]*")+|,|"')
_CHAT_AGE = re.compile(r"(\d{1,3})\s*;\s*(?:(\d{1,2})(?:\s*\.\s*(\d{1,2})?)?)?")
_SPOKEN_AGE = re.compile(
    r"(?:(\d{1,3})\s*(?:years?|yrs?|y)(?![a-z])\.?,?\s*)?"
    r"(?:(?:and\s+)?(\d{1,3})\s*(?:months?|mos?|m)(?![a-z])\.?)?",
    re.IGNORECASE,
)

Note = Callable[[str], None]


def parse_participants(text: str) -> tuple[Participant, ...]:
    """Read participants as given on the command line.

    Args:
        text: Entries separated by commas: a code, an optional name, a role, then fields as ``key=value``; a value with
            a comma or a space stands in double quotes. ``CHI Target_Child age=4;6 sex=female, INV Investigator``

    Raises:
        ConfigError: An entry is wrong; the message names it and what is allowed.
    """
    entries: list[list[str]] = [[]]
    for token in _ENTRY.findall(text):
        if token == ",":
            entries.append([])
        elif token == '"':
            raise ConfigError(f"participants: a double quote is not closed in {text!r}")
        else:
            entries[-1].append(token.replace('"', ""))
    if entries and not entries[-1]:
        entries.pop()
    found = [_entry(words, f"participants: entry {number}") for number, words in enumerate(entries, 1)]
    if not found:
        raise ConfigError("participants: nothing given; write for example CHI Target_Child, INV Investigator")
    _once(found, "participants")
    return tuple(found)


def read_participants_csv(path: Path, *, on_note: Note | None = None) -> dict[str, tuple[Participant, ...]]:
    """Read a table of participants: one row for each participant of each recording.

    Columns: ``file`` (name of the recording with or without suffix or folder; empty or ``*`` for every recording),
    ``code``, and any of role, name, age, sex, group, language, corpus, ses, education, custom. Commas, semicolons or
    tabs separate; UTF-8, UTF-16 and Windows-1252 are read, with the marks that Excel leaves.

    Args:
        path: The table.
        on_note: Hears about columns that are ignored.

    Returns:
        The ``file`` cell -> its participants in row order; rows for every recording under ``*``.

    Raises:
        ConfigError: The table or a value is wrong; the message names file, row and column.
    """
    rows = _rows(_text(path, on_note or _silent), path)
    header = [_cell(name).lower() for name in rows[0]] if rows else []
    if "code" not in header:
        raise ConfigError(f"{path}:1: has no column 'code'; the first row names the columns: file, code, role, age, …")
    known = ("file", *_COLUMNS)
    for name in {n for n in header if n in known and header.count(n) > 1}:
        raise ConfigError(f"{path}:1:{name}: the column stands twice")
    extra = [name for name in header if name and name not in known]
    if extra and on_note is not None:
        on_note(f"{path}: ignored column{'s'[: len(extra) != 1]} {', '.join(extra)}; known are {', '.join(known)}")
    table: dict[str, list[Participant]] = {}
    for number, cells in enumerate(rows[1:], 2):
        values = [_cell(cell) for cell in cells]
        if not any(values):
            continue
        if any(values[len(header) :]):
            raise ConfigError(f"{path}:{number}: has more cells than the first row; put a cell with commas in quotes")
        given = {name: value for name, value in zip(header, values, strict=False) if name in known and value}
        people = table.setdefault(given.pop("file", EVERY_FILE), [])
        people.append(_participant(given, f"{path}:{number}"))
        _once(people, f"{path}:{number}:code")
    if not table:
        raise ConfigError(f"{path}: has no participants below the first row; fill it in or remove it")
    return {name: tuple(people) for name, people in table.items()}


def participants_in(
    table: Mapping[str, tuple[Participant, ...]], recording: Path, folder: Path
) -> tuple[Participant, ...]:
    """Return the participants of a recording by a table that lies in ``folder``: its own rows, then the common ones.

    A row of its own replaces the common row with the same code. Capitals make no difference in file names.
    """
    names = _names(recording, folder)
    own = [person for name, people in table.items() if _key(name) in names for person in people]
    codes = {person.code for person in own}
    common = [person for person in table.get(EVERY_FILE, ()) if person.code not in codes]
    return (*own, *common)


def without_recording(
    table: Mapping[str, tuple[Participant, ...]], recordings: Iterable[Path], folder: Path
) -> list[str]:
    """Return the ``file`` cells of a table that name none of ``recordings``: most likely typing errors."""
    names = {name for recording in recordings for name in _names(recording, folder)}
    return [name for name in table if name != EVERY_FILE and _key(name) not in names]


def chat_age(text: str) -> str:
    """Write an age as CHAT does.

    Args:
        text: ``4;6``, ``4;06.``, ``4;06.03``, ``4;``, ``4``, ``4 years 6 months``, ``4y6m`` or ``54 months``.

    Returns:
        ``years;``, ``years;months.`` or ``years;months.days`` with two digits for months and days.

    Raises:
        ValueError: It is not an age, or could be read in two ways (``4.5``).
    """
    clean = text.strip()
    found = _CHAT_AGE.fullmatch(clean)
    if found is None and re.fullmatch(r"\d{1,3}", clean):
        return f"{int(clean)};"
    if found is None:
        spoken = _SPOKEN_AGE.fullmatch(clean)
        if spoken is None or not any(spoken.groups()):
            raise ValueError(f"{text!r} is not an age; write 4;06 for 4 years 6 months")
        years, months = int(spoken[1] or 0), spoken[2]
        if months is None:
            return f"{years};"
        if spoken[1] is None:
            years, months = divmod(int(months), 12)
        day = None
    else:
        years, months, day = int(found[1]), found[2], found[3]
    if months is None:
        return f"{years};"
    if int(months) > 11:
        raise ValueError(f"{text!r} has {int(months)} months; months go from 0 to 11")
    if day is not None and int(day) > 31:
        raise ValueError(f"{text!r} has {int(day)} days; days go from 0 to 31")
    return f"{years};{int(months):02}." + (f"{int(day):02}" if day is not None else "")


class _FieldError(Exception):
    """A field's value is not allowed."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field = field


def _entry(words: list[str], where: str) -> Participant:
    """Read ``CODE [Name] [Role] key=value…``."""
    plain = [word for word in words if "=" not in word]
    given: dict[str, str] = {}
    for key, _, value in (word.partition("=") for word in words if "=" in word):
        name = key.strip().lower()
        if name not in _COLUMNS:
            raise ConfigError(f"{where}: unknown field {key!r}; known are {', '.join(_COLUMNS)}")
        if name in given:
            raise ConfigError(f"{where}: {name} is given twice")
        given[name] = value.strip()
    for name, part in (("code", plain[:1]), ("role", plain[1:][-1:]), ("name", plain[1:-1])):
        if part:
            given[name] = "_".join(part)
    return _participant(given, where)


def _participant(given: Mapping[str, str], where: str) -> Participant:
    values = dict(given)
    code = values.get("code", "").upper()
    if not values.get("role") and code in _USUAL:
        values["role"] = _USUAL[code]
    try:
        checked = {name: _checked(name, value) for name, value in values.items()}
        for name in ("code", "role"):
            if not checked.get(name):
                raise _FieldError(name, f"is missing{f' for {code}' if code else ''}")
    except _FieldError as wrong:
        raise ConfigError(f"{where}:{wrong.field}: {wrong}") from None
    return Participant(**checked)


def _checked(name: str, value: str) -> str:
    """Return the value of a field as CHAT writes it."""
    if name == "code":
        code = value.upper()
        if not re.fullmatch(r"[A-Z0-9_'-]{1,7}", code):
            raise _FieldError(name, f"{value!r} is not a speaker code; use 1 to 7 of A-Z 0-9 _ - ', such as CHI")
        return code
    if name == "role":
        return _role(value)
    if name == "age":
        try:
            return chat_age(value) if value else ""
        except ValueError as error:
            raise _FieldError(name, str(error)) from None
    if name == "sex":
        if value.lower() not in _SEXES:
            raise _FieldError(name, f"{value!r} is not possible; CHAT has male, female or nothing")
        return _SEXES[value.lower()]
    if name == "ses":
        return _ses(value)
    if name == "language":
        return _language(value)
    bad = next((char for char in value if char in "|\t\n\r" or unicodedata.category(char) in ("Cc", "Cs")), None)
    if bad is not None:
        raise _FieldError(name, f"{value!r} holds {bad!r}, which CHAT's @ID can't")
    if name == "name":
        if "," in value:
            raise _FieldError(name, f"{value!r} holds a comma, which CHAT's @Participants can't")
        return "_".join(value.split())
    if name == "corpus" and not value:
        raise _FieldError(name, "must not be empty")
    return value


def _role(value: str) -> str:
    wanted = re.sub(r"[\s-]+", "_", value.strip())
    for role in sorted(ROLES):
        if role.lower() == wanted.lower():
            return role
    hint = _SUGGESTED.get(wanted.lower())
    if hint is None:
        close = difflib.get_close_matches(wanted.title(), sorted(ROLES), n=2)
        hint = " or ".join(close)
    choice = f"did you mean {hint}?" if hint else f"it has {', '.join(sorted(ROLES))}"
    raise _FieldError("role", f"{value!r} is not a role of CHAT; {choice}")


def _ses(value: str) -> str:
    """Ethnicity, class, or both with a comma, in CHAT's spelling."""
    parts = [part.strip() for part in value.split(",")] if value.strip() else []
    spelled = {name.lower(): name for name in (*_ETHNICITIES, *_CLASSES)}
    found = [spelled.get(part.lower(), "") for part in parts]
    right = all(found) and (len(found) < 2 or (len(found) == 2 and found[0] in _ETHNICITIES and found[1] in _CLASSES))
    if not right:
        raise _FieldError(
            "ses",
            f"{value!r} is not possible; CHAT has {', '.join(_ETHNICITIES)}, then a comma and {', '.join(_CLASSES)}",
        )
    return ",".join(found)


def _language(value: str) -> str:
    code = value.strip().lower()
    if re.fullmatch(r"[a-z]{3}", code):
        return code
    from asrlsa.language.codes import iso639_3

    try:
        return iso639_3(code)
    except KeyError:
        raise _FieldError("language", f"{value!r} is not a language code; write eng, spa, fra, …") from None


def _once(people: list[Participant], where: str) -> None:
    codes = [person.code for person in people]
    double = next((code for code in codes if codes.count(code) > 1), None)
    if double:
        raise ConfigError(f"{where}: {double} stands twice for the same recording")


def _text(path: Path, note: Note) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: can't be read ({error.strerror or error})") from None
    if data[:4] == b"PK\x03\x04":
        raise ConfigError(f"{path}: is an Excel workbook; save it as CSV")
    try:
        if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
            return data.decode("utf-16")
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        note(f"{path}: is not UTF-8; read as Windows-1252, so check names with accents")
        return data.decode("cp1252", errors="replace")


def _rows(text: str, path: Path) -> list[list[str]]:
    """Split a table by the separator that its first row uses."""
    text = re.sub(r"\Asep=.\r?\n", "", text)
    first = next((line for line in text.splitlines() if line.strip()), "")
    separator = max(",;\t", key=first.count)
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True))
    except csv.Error as error:
        raise ConfigError(f"{path}: is not a table ({error}); save it as CSV again") from None
    while rows and not any(cell.strip() for cell in rows[0]):
        rows.pop(0)
    return rows


def _cell(text: str) -> str:
    """Strip spaces, no-break spaces, and the ``="…"`` by which Excel keeps a text a text."""
    clean = text.replace("\u00a0", " ").replace("\ufeff", "").strip()
    kept = re.fullmatch(r'="(.*)"', clean)
    return (kept[1] if kept else clean).strip()


def _names(recording: Path, folder: Path) -> set[str]:
    """All ways to name a recording in a table that lies in ``folder``."""
    below = Path(os.path.relpath(recording, folder))
    paths = (Path(below.name), below)
    return {_key(str(path)) for path in paths} | {_key(str(path.with_name(path.stem))) for path in paths}


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", name.replace("\\", "/").removeprefix("./")).casefold()


def _silent(text: str) -> None:
    """Hear nothing."""
