"""What the ``@`` lines of a CHAT file may say, and in which order."""

from __future__ import annotations

import re
from collections.abc import Iterator

from asrlsa.chat.lines import Line
from asrlsa.chat.problems import Problem

_ROLE_NAMES = """
    Target_Child Target_Adult Child Mother Father Brother Sister Sibling Grandmother Grandfather Relative Participant
    Investigator Partner Boy Girl Adult Teenager Male Female Visitor Friend Playmate Caretaker Environment Group
    Unidentified Uncertain Other Text Media PlayRole LENA Justice Attorney Doctor Nurse Subject Therapist Student
    Teacher Host Guest Leader Member Narrator Speaker Audience Informant
"""
#: Every role that CHAT knows; the validator of ``tests/conftest.py`` takes these and no others.
ROLES = frozenset(_ROLE_NAMES.split())

_RACES = frozenset(("White", "Black", "Asian", "Latino", "Pacific", "Native", "Multiple", "Unknown"))
_CLASSES = frozenset(("UC", "MC", "WC", "LI"))
MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")

#: Place of a header among the first headers; those that are not here come last.
_RANKS = {"UTF8": 0, "PID": 1, "Color words": 1, "Window": 1, "Font": 1, "Begin": 2, "Languages": 3, "Participants": 4}
_RANKS |= {"Options": 5, "ID": 6, "Birth of": 7, "Birthplace of": 7, "L1 of": 7, "Media": 8}
_LAST_RANK = 9

_VALUE_HEADERS = """
    PID Color_words Window Font Languages Participants Options ID Birth_of Birthplace_of L1_of Media Date Number
    Recording_Quality Room_Layout Situation Tape_Location Time_Duration Time_Start Transcriber Transcription Types
    Videos Warning Location Activities Bck Comment T G
"""
_WITH_VALUE = frozenset(_VALUE_HEADERS.split())
_BARE = frozenset(("UTF8", "Begin", "End", "New_Episode", "Blank"))
_EITHER = frozenset(("Bg", "Eg"))
_ONCE = frozenset(("UTF8", "Begin", "End", "Languages", "Participants", "Options", "Media", "Date"))

CODE = re.compile(r"[A-Z0-9_'+-]{1,7}\Z")
LANGUAGE = re.compile(r"[a-z]{3}\Z")
AGE = re.compile(r"\d+;(?:\d\d\.(?:\d\d)?)?\Z")
_DATE = re.compile(r"(\d\d)-([A-Z]{3})-(\d{4})\Z")
_MEDIA = re.compile(r'(?P<stem>"[^"]+"|[^",\s](?:[^",]*[^",\s])?), (?P<kind>[^,\s]+)(?:, (?P<status>[^,\s]+))?\Z')
_STATUSES = frozenset(("unlinked", "missing", "notrans"))
_OPTIONS = frozenset(("CA", "NoAlign"))


def rule_name(name: str) -> str:
    """Return the header's name without the participant: ``Birth of`` for ``Birth of CHI``."""
    match = re.match(r"(Birth of|Birthplace of|L1 of)(?= |\Z)", name)
    return match[1] if match else name


class HeaderRules:
    """Checks the headers of one file, one after another, and remembers what they declare."""

    def __init__(self) -> None:
        self.languages: tuple[str, ...] = ()
        self.roles: dict[str, str] = {}
        self.ids: list[str] = []
        self.media: Line | None = None
        self.status = ""
        self.stem = ""
        self.seen: dict[str, Line] = {}
        self._rank = 0
        self._gems: list[str] = []

    def check(self, line: Line, in_body: bool) -> Iterator[Problem]:
        """Yield the problems of one ``@`` line; ``in_body`` is True after the first utterance."""
        name = rule_name(line.name)
        key = name.replace(" ", "_")
        if key not in _WITH_VALUE | _BARE | _EITHER:
            yield _at(line, "header", f"CHAT has no header @{line.name}; write it as a @Comment")
            return
        if line.value is None and key in _WITH_VALUE:
            yield _at(line, "header", f"@{line.name} needs a colon, a tab and a value")
            return
        if line.value is not None and key in _BARE:
            yield _at(line, "header", f"@{line.name} has no value")
        elif line.value is not None:
            if line.separator != "\t":
                yield _at(line, "tab", f"one tab must stand after @{line.name}:", len(line.name) + 2)
            if not line.value.strip():
                yield _at(line, "header", f"@{line.name} is empty: fill it in or take it out")
                return
            if line.value[0] == " ":
                yield _in(line, 0, "space", "a space stands between the tab and the value")
        if key in _ONCE and key in self.seen:
            yield _at(line, "header", f"@{line.name} stands in the file twice (before in line {self.seen[key].number})")
        self.seen.setdefault(key, line)
        yield from self._place(line, name, in_body)
        yield from self._value(line, key)

    def _place(self, line: Line, name: str, in_body: bool) -> Iterator[Problem]:
        """Check the order of the headers before the first utterance."""
        rank = _RANKS.get(name, _LAST_RANK)
        if name == "End":
            return
        if in_body and rank < _LAST_RANK:
            yield _at(line, "header-order", f"@{line.name} must stand before the first utterance")
        elif rank < self._rank:
            yield _at(line, "header-order", f"@{line.name} stands too late; the order is {_ORDER}")
        self._rank = max(rank, self._rank)

    def _value(self, line: Line, key: str) -> Iterator[Problem]:
        """Check the value of the headers that have a form of their own."""
        if key == "Languages":
            yield from self._languages(line)
        elif key == "Participants":
            yield from self._participants(line)
        elif key == "ID":
            yield from self._id(line)
        elif key == "Media":
            yield from self._media(line)
        elif key in ("Date", "Birth_of"):
            match = _DATE.match(line.value or "")
            if not match or match[2] not in MONTHS or not 1 <= int(match[1]) <= 31:
                yield _in(line, 0, "date", f"a date has the form 03-JAN-2020, not {line.value}")
        elif key == "Options":
            for option in re.split(r",\s*", line.value or ""):
                if option not in _OPTIONS:
                    yield _in(line, 0, "header", f"@Options does not know {option}")
        elif key in ("Bg", "Eg"):
            yield from self._gem(line, key)
        elif key == "Comment" and "\t" in (line.value or ""):
            yield _in(line, (line.value or "").index("\t"), "space", "a tab stands inside the comment", "warning")

    def _gem(self, line: Line, key: str) -> Iterator[Problem]:
        label = (line.value or "").strip()
        if key == "Bg":
            self._gems.append(label)
        elif label in self._gems:
            self._gems.remove(label)
        else:
            yield _at(line, "gem", f"@Eg {label} has no @Bg before it".replace("  ", " "))

    def _languages(self, line: Line) -> Iterator[Problem]:
        codes = (line.value or "").split(", ")
        self.languages = tuple(codes)
        for code in codes:
            if not LANGUAGE.match(code):
                offset = (line.value or "").find(code)
                message = f"@Languages holds three-letter ISO 639-3 codes, as in eng, spa; not {code!r}"
                yield _in(line, max(offset, 0), "language", message)

    def _participants(self, line: Line) -> Iterator[Problem]:
        value = line.value or ""
        offset = 0
        for entry in value.split(","):
            parts = entry.split()
            place = offset + len(entry) - len(entry.lstrip())
            offset += len(entry) + 1
            if len(parts) < 2:
                what = "a comma too many" if not parts else f"{parts[0]} has no role"
                yield _in(
                    line, min(place, len(value) - 1), "participant", f"{what}: write CHI Target_Child, MOT Mother"
                )
                continue
            code, role = parts[0], parts[-1]
            if not CODE.match(code):
                message = f"the code {code} must have 1 to 7 of A-Z 0-9 _ - '"
                yield _in(line, place, "participant", message)
            if role not in ROLES:
                yield _in(
                    line, place, "role", f"CHAT has no role {role}; take Participant, Investigator, Adult, Child …"
                )
            if code in self.roles:
                yield _in(line, place, "participant", f"{code} is declared twice")
            self.roles[code] = role

    def _id(self, line: Line) -> Iterator[Problem]:
        value = line.value or ""
        fields = value.split("|")
        if len(fields) != 11 or fields[10].strip():
            message = f"@ID must have ten fields, each with | after it; this one has {max(len(fields) - 1, 0)}"
            yield _in(line, 0, "id", message)
            return
        language, corpus, code, age, sex, _, ses, role = (field.strip() for field in fields[:8])
        self.ids.append(code)
        for name, field in (("language", language), ("corpus", corpus), ("code", code), ("role", role)):
            if not field:
                yield _in(line, 0, "id", f"the {name} of @ID is empty")
        for part in language.split(","):
            if part.strip() and part.strip() not in self.languages:
                yield _in(line, 0, "id", f"{part.strip()} is not among the @Languages of the file")
        if code and code not in self.roles:
            yield _in(line, value.find(code), "id", f"{code} is not among the @Participants")
        elif role and code and role != self.roles[code]:
            yield _in(line, value.find(role), "id", f"{code} is {self.roles[code]} in @Participants, but {role} here")
        if code in self.ids[:-1]:
            yield _in(line, value.find(code), "id", f"{code} has two @ID lines")
        if age and not AGE.match(age):
            yield _in(line, value.find(age), "age", f"an age is written 4; or 4;06. or 4;06.03, not {age}")
        if sex not in ("male", "female", ""):
            yield _in(line, value.find(sex), "sex", f"the sex in @ID is male, female or empty, not {sex}")
        if not is_ses(ses):
            yield _in(line, value.find(ses), "ses", f"the seventh field of @ID is one like White,MC, not {ses}")

    def _media(self, line: Line) -> Iterator[Problem]:
        self.media = line
        match = _MEDIA.match(line.value or "")
        if match is None:
            yield _in(line, 0, "media", "@Media is written: file name without extension, comma, space, audio or video")
            return
        self.stem, self.status = match["stem"].strip('"'), match["status"] or ""
        if match["kind"] not in ("audio", "video"):
            yield _in(line, match.start("kind"), "media", f"the media is audio or video, not {match['kind']}")
        if self.status and self.status not in _STATUSES:
            yield _in(line, match.start("status"), "media", f"@Media knows unlinked and missing, not {self.status}")
        if re.search(r"\.(?i:wav|mp3|mp4|m4a|mov|flac|ogg|aif|aiff|avi|mkv|webm)\Z", self.stem):
            yield _in(line, 0, "media", f"@Media has the file name without its extension: {self.stem}")

    def finish(self, end: int) -> Iterator[Problem]:
        """Yield what is missing, at line ``end``."""
        for name in ("UTF8", "Begin", "Languages", "Participants", "End"):
            if name not in self.seen:
                where = {"UTF8": 1, "Begin": 2}.get(name, end)
                yield Problem(where, 1, "header-missing", f"the file has no @{name}")
        participants = self.seen.get("Participants")
        if participants is not None:
            without = [code for code in self.roles if code not in self.ids]
            for code in without:
                yield _at(participants, "id", f"{code} has no @ID line")
            declared = [code for code in self.ids if code in self.roles]
            if not without and len(declared) == len(set(declared)) and declared != list(self.roles):
                yield _at(participants, "header-order", "the @ID lines have another order than @Participants", 1)
        for label in self._gems:
            yield Problem(end, 1, "gem", f"@Bg {label} is not closed by @Eg".replace("  ", " "))


_ORDER = "@UTF8, @Begin, @Languages, @Participants, @Options, @ID, @Birth of, @Media, others"


def is_ses(ses: str) -> bool:
    """Return True for a valid ethnicity and class field of ``@ID``."""
    race, comma, group = ses.partition(",")
    if comma:
        return race in _RACES and group in _CLASSES
    return not ses or ses in _RACES or ses in _CLASSES


def _at(line: Line, code: str, message: str, column: int = 1) -> Problem:
    return Problem(line.number, column, code, message)


def _in(line: Line, offset: int, code: str, message: str, severity: str = "error") -> Problem:
    return Problem(*line.place_in_value(max(offset, 0)), code, message, severity)
