"""The built-in check of CHAT files: what the published validators find, and what they let through.

``check_chat`` takes a whole file; ``is_word`` and ``repair_token`` are for those who write main tiers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePath

from asrlsa.chat.header_rules import HeaderRules
from asrlsa.chat.lexer import lex
from asrlsa.chat.lines import Line, split_lines
from asrlsa.chat.main_rules import main_tier_problems
from asrlsa.chat.parser import plain_text
from asrlsa.chat.problems import Problem
from asrlsa.chat.wor import wor_tokens
from asrlsa.chat.word_rules import is_word, repair_token
from asrlsa.chat.words import spoken

__all__ = ["Problem", "check_chat", "is_word", "repair_token"]

_TIER_NAMES = """
    act add alt cod coh com def eng err exp fac flo gls gpx gra int mod modsyl mor ort par pho phoaln phosyl sin sit spa
    tim wor
"""
#: Dependent tiers of CHAT; a tier of one's own begins with x.
TIERS = frozenset(_TIER_NAMES.split())

_FINAL_BULLET = re.compile(r"[ \t]*\x15([^\x15]*)\x15[ \t]*\Z")
_TIMES = re.compile(r"(\d+)_(\d+)\Z")


def check_chat(text: str, stem: str | None = None) -> list[Problem]:
    """Return what is wrong in the text of a CHAT file, by line and column; an empty list for a clean file.

    Args:
        text: The text of the file.
        stem: The file's own name without extension, to compare ``@Media`` with; None not to.
    """
    return sorted(_FileCheck(stem).problems(text))


class _FileCheck:
    """Goes through the lines of one file and remembers what later lines depend on."""

    def __init__(self, stem: str | None) -> None:
        self.stem = stem
        self.headers = HeaderRules()
        self.main: Line | None = None
        self.main_text = ""
        self.span: tuple[int, int] | None = None
        self.tiers: set[str] = set()
        self.timed = False
        self.ended: Line | None = None
        self.in_body = False
        self.last_begin = 0
        self.ends: dict[str, int] = {}
        self.long_events: dict[str, tuple[int, int]] = {}

    def problems(self, text: str) -> Iterator[Problem]:
        """Yield every problem of the file."""
        if text.startswith("\ufeff"):
            yield Problem(1, 1, "bom", "the file begins with a byte order mark: save it as UTF-8 without it", "warning")
        if "\r" in text:
            first = text.count("\n", 0, text.index("\r")) + 1
            yield Problem(first, 1, "line-end", "the line ends in CR: save the file with LF line ends", "warning")
        text = plain_text(text)
        number = 1
        for line in split_lines(text):
            number = line.number
            yield from self._line(line)
        if self.ended is not None and text.endswith("\n\n"):
            yield Problem(number + 1, 1, "after-end", "nothing may follow @End and its line end")
        yield from self.headers.finish(number)
        yield from self._media()
        for label, place in self.long_events.items():
            yield Problem(*place, "long-event", f"&{{{label} has no end: &}}{label}")

    def _line(self, line: Line) -> Iterator[Problem]:
        """Check one line."""
        if self.ended is not None and line.text:
            yield Problem(line.number, 1, "after-end", "nothing may follow @End")
            return
        if line.sigil == "@":
            self.main = None
            yield from self.headers.check(line, self.in_body)
            yield from self._first_lines(line)
            if line.name == "End":
                self.ended = line
        elif line.sigil == "*":
            self.in_body = True
            yield from self._utterance(line)
        elif line.sigil == "%":
            yield from self._tier(line)
        elif not line.text.strip():
            if self.ended is None:
                yield Problem(line.number, 1, "blank-line", "a blank line has no place in CHAT")
        else:
            yield Problem(line.number, 1, "line", "a line must start with @, *, % or a tab")

    def _first_lines(self, line: Line) -> Iterator[Problem]:
        if line.number == 1 and line.name != "UTF8":
            yield Problem(1, 1, "header-order", "the first line must be @UTF8")
        if line.name == "Begin" and line.folds:
            yield Problem(line.number, 1, "header", "@Begin has no value")

    def _utterance(self, line: Line) -> Iterator[Problem]:
        """Check one main tier."""
        self.main, self.tiers, self.span, self.main_text = line, set(), None, ""
        if line.value is None:
            yield Problem(line.number, 1, "tab", "a main tier is written *CODE:, one tab, and the utterance")
            return
        if line.separator != "\t":
            yield Problem(line.number, len(line.name) + 3, "tab", f"one tab must stand after *{line.name}:")
        if line.name not in self.headers.roles:
            yield Problem(line.number, 2, "speaker", f"{line.name} is not among the @Participants")
        text = line.value
        bullet = _FINAL_BULLET.search(text)
        if bullet is not None:
            text = text[: bullet.start()]
            yield from self._bullet(line, bullet[1], bullet.start(1))
        self.main_text = text
        self.timed = self.timed or "\x15" in text
        if "&{" in text or "&}" in text:
            yield from self._long_events(line, text)
        for offset, code, message, severity in main_tier_problems(text, self.headers.languages):
            yield Problem(*line.place_in_value(offset), code, message, severity)

    def _long_events(self, line: Line, text: str) -> Iterator[Problem]:
        """Pair ``&{l=x`` with ``&}l=x``, which may stand in a later utterance."""
        for token in lex(text):
            if token.kind == "event" and token.text[1] in "{}":
                place = line.place_in_value(token.column - 1)
                label = token.text[2:]
                if token.text[1] == "{":
                    self.long_events[label] = place
                elif self.long_events.pop(label, None) is None:
                    yield Problem(*place, "long-event", f"{token.text} ends what nothing began: &{{{label}")

    def _bullet(self, line: Line, times: str, offset: int) -> Iterator[Problem]:
        """Check the final bullet against the utterances before."""
        self.timed = True
        place = line.place_in_value(offset)
        match = _TIMES.match(times)
        if match is None:
            yield Problem(*place, "bullet", "a bullet holds begin and end in whole milliseconds: 0_1500")
            return
        begin, end = int(match[1]), int(match[2])
        if begin >= end:
            yield Problem(*place, "bullet", f"the bullet {begin}_{end} must end after it begins")
            return
        self.span = (begin, end)
        if begin < self.last_begin:
            message = f"the utterance begins at {begin}, before the one above it at {self.last_begin}"
            yield Problem(*place, "bullet-order", message)
        elif begin < self.ends.get(line.name, 0):
            message = f"{line.name} still speaks until {self.ends[line.name]}; this utterance begins at {begin}"
            yield Problem(*place, "bullet-overlap", message)
        self.last_begin = max(begin, self.last_begin)
        self.ends[line.name] = max(end, self.ends.get(line.name, 0))

    def _tier(self, line: Line) -> Iterator[Problem]:
        """Check one dependent tier."""
        if self.main is None:
            yield Problem(line.number, 1, "tier", "a dependent tier must follow a main tier")
            return
        if line.value is None:
            yield Problem(line.number, 1, "tab", "a dependent tier is written %name:, one tab, and its text")
            return
        name = line.name
        if line.separator != "\t":
            yield Problem(line.number, len(name) + 3, "tab", f"one tab must stand after %{name}:")
        if name not in TIERS and not re.match(r"x\w+\Z", name):
            yield Problem(line.number, 1, "tier", f"CHAT has no tier %{name}; a tier of your own is %x{name}")
        if name in self.tiers:
            yield Problem(line.number, 1, "tier", f"the utterance has two %{name} tiers")
        self.tiers.add(name)
        if not line.value.strip():
            yield Problem(line.number, 1, "tier", f"%{name} is empty: take it out")
        elif name == "wor":
            self.timed = True
            for offset, code, message in wor_problems(line.value, self.main_text, self.span):
                yield Problem(*line.place_in_value(offset), code, message)

    def _media(self) -> Iterator[Problem]:
        """Check ``@Media`` against the bullets and the file's name."""
        headers = self.headers
        if headers.media is None:
            if self.timed:
                where = headers.seen.get("Participants")
                yield Problem(where.number if where else 1, 1, "media", "the file has bullets but no @Media")
            return
        number = headers.media.number
        if self.timed and headers.status == "unlinked":
            yield Problem(number, 1, "media", "@Media says unlinked, but the file has bullets: take unlinked out")
        if not self.timed and not headers.status and headers.stem:
            yield Problem(number, 1, "media", "@Media is linked, but the file has no bullets: add ', unlinked'")
        if self.stem is not None and headers.stem and PurePath(headers.stem).name.lower() != self.stem.lower():
            yield Problem(number, 1, "media", f"@Media names {headers.stem}, but the file is called {self.stem}")


def wor_problems(text: str, main: str, span: tuple[int, int] | None) -> Iterator[tuple[int, str, str]]:
    """Yield (offset, code, message) of what is wrong in a ``%wor`` tier.

    Args:
        text: The text of the tier.
        main: The text of its main tier.
        span: Begin and end of the utterance in ms, or None where it has no bullet.
    """
    expected = wor_tokens(main)
    found = []
    terminators = []
    last = -1
    for token in lex(text):
        offset = token.column - 1
        if token.kind == "bullet":
            match = _TIMES.match(token.text.strip("\x15"))
            if match is None or int(match[1]) >= int(match[2]):
                yield offset, "wor-time", "a word's bullet must hold begin and end in whole milliseconds, begin first"
                continue
            begin, end = int(match[1]), int(match[2])
            if begin < last:
                yield offset, "wor-time", f"the word begins at {begin}, before the word ahead of it at {last}"
            if span is not None and not (span[0] <= begin and end <= span[1]):
                yield offset, "wor-time", f"the word ({begin}_{end}) lies outside its utterance ({span[0]}_{span[1]})"
            last = max(begin, last)
        elif token.kind == "terminator":
            terminators.append(token.text)
        elif token.kind != "separator":
            found.append(token)
    if len(found) != len(expected):
        yield 0, "wor-count", f"%wor has {len(found)} words, its main tier {len(expected)}"
    else:
        for token, wanted in zip(found, expected, strict=True):
            if not _same_word(token.text, wanted.text):
                yield token.column - 1, "wor-word", f"%wor has {token.text} where the main tier has {wanted.text}"
    if terminators != [token.text for token in lex(main) if token.kind == "terminator"]:
        yield len(text.rstrip()), "wor-terminator", "%wor must end in the terminator of its main tier"


def _same_word(first: str, second: str) -> bool:
    """Return True where a ``%wor`` word is the main tier's word, coded or as heard or as meant."""
    if first == second:
        return True
    one, other = (spoken(text.lstrip("&").lstrip("-")) for text in (first, second))
    heard = {" ".join(one.heard).lower(), one.meant.lower()}
    return bool(heard & {" ".join(other.heard).lower(), other.meant.lower()})
