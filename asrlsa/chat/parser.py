"""From the text of a CHAT file to a Transcript.

The reader takes every CHAT file that can be understood, valid or not: ``asrlsa.chat.check.check_chat`` is the judge
of validity. It refuses only what has no place in a Transcript.
"""

from __future__ import annotations

import re
from os import PathLike
from pathlib import Path

from asrlsa.chat.lexer import lex
from asrlsa.chat.lines import Line, split_lines
from asrlsa.errors import ChatError
from asrlsa.types import Header, Tier, Transcript, Utterance, Word

_FINAL_BULLET = re.compile(r"[ \t]*\x15(?:%?\w+:\"[^\"\x15]*\"_)?(\d+)_(\d+)-?\x15[ \t]*\Z")
_BULLET = re.compile(r"\x15(\d+)_(\d+)\x15")

_WORD_KINDS = frozenset(("word", "filled_pause", "fragment", "nonword", "mask", "omission", "unknown", "ca"))


def read_chat(path: str | PathLike[str]) -> Transcript:
    """Read a CHAT file.

    Raises:
        ChatError: The file is not UTF-8 or not CHAT; the message names file, line and column.
        OSError: The file cannot be opened.
    """
    return parse_chat(read_text(path), source=str(path))


def read_text(path: str | PathLike[str]) -> str:
    """Return the text of a CHAT file.

    Raises:
        ChatError: The file is not UTF-8.
        OSError: The file cannot be opened.
    """
    data = Path(path).read_bytes()
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = len(data[data.rfind(b"\n", 0, error.start) + 1 : error.start].decode("utf-8")) + 1
        raise ChatError(
            "the file is not UTF-8 text; save it as UTF-8 and try again", line=line, column=column, source=str(path)
        ) from None


def plain_text(text: str) -> str:
    """Return ``text`` without a byte order mark and with LF line ends."""
    text = text.removeprefix("\ufeff")
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def parse_chat(text: str, source: str | None = None) -> Transcript:
    """Read the text of a CHAT file.

    A byte order mark and CRLF are taken; folded lines are joined; blank lines are dropped. Dependent tiers are kept
    as they are, and a ``%wor`` tier also gives ``Utterance.words``. Of several bullets the last one, when it ends the
    main tier, is the utterance's; the others stay in ``Utterance.text``.

    Args:
        text: The text of the file.
        source: Name of the file, for messages.

    Raises:
        ChatError: There is no ``@Begin``, or a line is neither header, main tier nor dependent tier, with its line
            and column.
    """
    lines: list[Header | Utterance] = []
    main: Line | None = None
    tiers: list[Tier] = []
    begun = False
    for line in split_lines(plain_text(text)):
        if line.sigil == "%":
            if main is None:
                raise _error("a dependent tier must follow a main tier", line, source)
            tiers.append(_tier(line, source))
            continue
        if main is not None:
            lines.append(_utterance(main, tiers))
            main, tiers = None, []
        if line.sigil == "@":
            begun = begun or line.name == "Begin"
            lines.append(Header(line.name, line.value, line.number))
        elif line.sigil == "*":
            if line.value is None or not line.name:
                raise _error("a main tier must be written *CODE:, a tab and the utterance", line, source)
            main = line
        elif line.text.strip():
            raise _error("a line must start with @, *, % or a tab", line, source)
    if main is not None:
        lines.append(_utterance(main, tiers))
    if not begun:
        raise ChatError("this is not a CHAT file: there is no @Begin line", source=source)
    return Transcript(tuple(lines), source)


def _error(message: str, line: Line, source: str | None) -> ChatError:
    return ChatError(message, line=line.number, column=1, source=source)


def _tier(line: Line, source: str | None) -> Tier:
    if line.value is None or not line.name:
        raise _error("a dependent tier must be written %name:, a tab and its text", line, source)
    return Tier(line.name, line.value, line.number)


def _utterance(main: Line, tiers: list[Tier]) -> Utterance:
    """Build one utterance from its main tier and dependent tiers."""
    text = main.value or ""
    start = end = None
    if text.endswith("\x15") or "\x15" in text[-8:]:
        bullet = _FINAL_BULLET.search(text)
        if bullet is not None:
            start, end = int(bullet[1]), int(bullet[2])
            text = text[: bullet.start()]
    words: tuple[Word, ...] = ()
    for tier in tiers:
        if tier.name == "wor":
            words = read_wor_tier(tier.text, main.name)
    return Utterance(main.name, text, start, end, words, tuple(tiers), main.number)


def read_wor_tier(text: str, speaker: str | None = None) -> tuple[Word, ...]:
    """Return the words of a ``%wor`` tier with the times that follow them; None where a word has no time."""
    words: list[Word] = []
    last: str | None = None
    for kind, piece, _ in lex(text):
        if kind == "bullet":
            bullet = _BULLET.fullmatch(piece)
            if last is not None and bullet is not None:
                words.append(Word(last, int(bullet[1]), int(bullet[2]), speaker=speaker))
                last = None
        elif kind in _WORD_KINDS:
            if last is not None:
                words.append(Word(last, speaker=speaker))
            last = piece
    if last is not None:
        words.append(Word(last, speaker=speaker))
    return tuple(words)
