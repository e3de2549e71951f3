"""Digits and signs as the words that were probably said.

A recogniser writes ``5:30`` or ``$20``; CHAT allows no digit. What was really said (``twenty ten`` or ``two thousand
ten``) is lost, so each form is read in its most usual way; ``docs/chat-guide.md`` lists them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

from asrlsa.language.tables import LanguageTable

_NUMBER = r"\d+(?:[.,'\u00a0\u202f]\d+)*"
_LONGEST = 15  # digits of the largest number that is read as one; longer ones are read digit by digit
_SPOKEN_CODE = 7  # so many digits in a row are a telephone number or a code
_PIECES = re.compile(rf"{_NUMBER}|[^\W\d_]+(?:'[^\W\d_]+)*|[^\w\s]|_")

Rule = Callable[["re.Match[str]", LanguageTable, str], "list[str] | None"]


def has_number(text: str) -> bool:
    """Return True if the text holds a digit of any script, a fraction sign or a superscript."""
    return any(c.isnumeric() and not c.isalpha() for c in text)


def number_words(text: str, table: LanguageTable, following: str = "") -> list[str] | None:
    """Return the words of one token that holds digits, or None where they can't be spelled in this language.

    Args:
        text: The token without the punctuation after it, such as ``5:30`` or ``$20.50``.
        table: The language.
        following: The next token, which decides ``5:00 pm`` and ``$5 million``.
    """
    if not table.numbers:
        return None
    text = _plain_digits(text)
    if text in table.fractions:
        return table.fractions[text].split()
    for pattern, rule in _RULES:
        match = re.fullmatch(pattern, text, re.IGNORECASE)
        if match:
            words = rule(match, table, following.casefold())
            if words:
                return words
    if "-" in text and not text.startswith("-"):
        return _hyphenated(text.split("-"), table)
    return _mixed(text, table)


def _hyphenated(parts: Sequence[str], table: LanguageTable) -> list[str] | None:
    """Read the parts of ``20-year-old`` and ``1st-grade`` one by one."""
    found: list[str] = []
    for part in parts:
        words = number_words(part, table) if has_number(part) else [part] if part else []
        if words is None:
            return None
        found += words
    return found


def _plain_digits(text: str) -> str:
    """Bring digits of any script to 0-9; write ½ as 1/2, and 2½ as 2 1/2."""
    found = ""
    for c in text:
        if c.isdecimal():
            found += str(int(c))
        elif c.isnumeric() and not c.isalpha():
            plain = unicodedata.normalize("NFKC", c).replace("\u2044", "/")
            found += " " + plain if "/" in plain and found[-1:].isdigit() else plain
        else:
            found += c
    return found


@lru_cache(maxsize=4096)
def _convert(value: str, kind: str, language: str) -> tuple[str, ...] | None:
    """Return num2words' words without commas and hyphens."""
    from num2words import num2words

    try:
        text = num2words(int(value), lang=language, to=kind)
    except (NotImplementedError, OverflowError, ValueError, TypeError, IndexError, KeyError):
        return None
    return tuple(str(text).replace(",", " ").replace("-", " ").split())


def cardinal(digits: str, table: LanguageTable) -> list[str] | None:
    """Return a whole number in words: ``one hundred five``."""
    if len(digits) > _LONGEST:
        return digit_by_digit(digits, table)
    words = _convert(digits, "cardinal", table.numbers)
    if words is None:
        return None
    return [w for w in words if w not in table.number_words_dropped]


def digit_by_digit(digits: str, table: LanguageTable) -> list[str] | None:
    """Return the digits one by one, as telephone numbers are said."""
    found: list[str] = []
    for digit in digits:
        words = _convert(digit, "cardinal", table.numbers)
        if words is None:
            return None
        found += words
    return found


def _ordinal(digits: str, table: LanguageTable) -> list[str] | None:
    words = _convert(digits, "ordinal", table.numbers) if len(digits) <= _LONGEST else None
    return [w for w in words if w not in table.number_words_dropped] if words else None


def year(digits: str, table: LanguageTable) -> list[str] | None:
    """Return a number of four digits without a separator: a year, a time or an address, said in pairs in English.

    Numbers that count something have a separator (``1,984``) and are not read here.
    """
    value = int(digits)
    if not table.years_in_pairs or value < 1000 or 2000 <= value < 2010 or value % 1000 == 0:
        return cardinal(digits, table)
    if table.numbers != "en" or (value % 100 == 0 and value < 2000):
        words = _convert(digits, "year", table.numbers) if 1100 <= value < 2100 else None
        return [w for w in words if w not in table.number_words_dropped] if words else cardinal(digits, table)
    if value % 100 == 0:
        return cardinal(digits, table)
    first, second = cardinal(digits[:2], table), cardinal(digits[2:].lstrip("0"), table)
    if first is None or second is None:
        return None
    zero = table.number_words.get("minute_zero", "").split() if digits[2] == "0" else []
    return [*first, *zero, *second]


def plain_number(text: str, table: LanguageTable) -> list[str] | None:
    """Return a number with or without separators: ``1,000``, ``2.5``, ``0042``, ``1984``."""
    groups = "," if table.decimal == "." else "."
    if re.fullmatch(rf"\d{{1,3}}(?:[{groups}'\u00a0\u202f]\d{{3}})+(?:\{table.decimal}\d+)?", text):
        text = re.sub(rf"[{groups}'\u00a0\u202f]", "", text)
        if text.isdigit():
            return cardinal(text, table)
    whole, *parts = re.split(r"[.,'\u00a0\u202f]", text)
    if not parts:
        if (len(whole) > 1 and whole[0] == "0") or (len(whole) >= _SPOKEN_CODE and not whole.endswith("000")):
            return digit_by_digit(whole, table)
        return year(whole, table) if len(whole) == 4 else cardinal(whole, table)
    point = table.number_words.get("point", "")
    if len(parts) == 1 and parts[0].isdigit() and (whole.isdigit() or not whole):
        before = cardinal(whole, table) if whole else []
        after = digit_by_digit(parts[0], table)
        if not point:
            return _decimal(f"{whole or 0}.{parts[0]}", table)
        return None if before is None or after is None else [*before, *point.split(), *after]
    found: list[str] = []
    for part in [whole, *parts]:
        words = plain_number(part, table) if part else []
        if words is None:
            return None
        found += words
    return found


def _decimal(value: str, table: LanguageTable) -> list[str] | None:
    """Return a decimal number as num2words says it, for a language whose table has no word for the point."""
    from num2words import num2words

    try:
        text = num2words(float(value), lang=table.numbers)
    except (NotImplementedError, OverflowError, ValueError, TypeError, IndexError, KeyError):
        return None
    return str(text).replace(",", " ").replace("-", " ").split()


def _scale(following: str, table: LanguageTable) -> bool:
    return bool(following) and following in table.number_words.get("scales", "").split()


def _money(match: re.Match[str], table: LanguageTable, following: str) -> list[str] | None:
    parts = match.groupdict()
    sign = parts.get("sign") or parts.get("sign2") or ""
    names = table.currencies.get(sign)
    number = parts.get("number") or parts.get("number2") or ""
    if names is None:
        return None
    one, more, cent, cents = names
    whole, _, hundredths = number.replace("," if table.decimal == "." else ".", "").partition(table.decimal)
    if _scale(following, table):
        words = plain_number(number, table)
        return words  # the unit follows the scale word: see ``money_unit``
    if len(hundredths) == 2 and cent and whole.isdigit():
        units = cardinal(whole, table)
        small = cardinal(hundredths, table)
        if units is None or small is None:
            return None
        found = [] if int(whole) == 0 else [*units, one if int(whole) == 1 else more]
        if int(hundredths):
            joint = table.number_words.get("money_and", "").split() if found else []
            found += [*joint, *small, cent if int(hundredths) == 1 else cents]
        return found or [*units, more]
    words = plain_number(number, table) if not (number.isdigit() and len(number) < _SPOKEN_CODE) else None
    words = words or cardinal(number, table)
    return None if words is None else [*words, *(one if number == "1" else more).split()]


def money_unit(text: str, table: LanguageTable) -> list[str]:
    """Return the unit that moves behind the scale word: ``dollars`` of ``$5 million``; empty where none does."""
    for sign, names in table.currencies.items():
        if text.startswith(sign) and text[1:2].isdigit():
            return [names[1]]
    return []


def _percent(match: re.Match[str], table: LanguageTable, following: str) -> list[str] | None:
    words = plain_number(match["number"], table)
    return None if words is None else [*words, *table.number_words.get("percent", "").split()]


def _time(match: re.Match[str], table: LanguageTable, following: str) -> list[str] | None:
    if int(match["hour"]) > 24 or int(match["minute"]) > 59:
        return None
    hour, minute = cardinal(str(int(match["hour"])), table), match["minute"]
    if hour is None:
        return None
    half = match["half"].replace(".", "").casefold() if match["half"] else ""
    tail = [table.spellings.get(f"{half}_after_number", half)] if half else []
    oclock = table.number_words.get("oclock", "").split()
    if minute == "00":
        named = half or following.replace(".", "") in ("am", "pm", "a_m", "p_m", *[w.casefold() for w in oclock])
        return [*hour, *([] if named else oclock), *tail]
    words = cardinal(str(int(minute)), table)
    if words is None:
        return None
    zero = table.number_words.get("minute_zero", "").split() if minute[0] == "0" else []
    joint = table.number_words.get("hour_joint", "").split()
    return [*hour, *joint, *zero, *words, *tail]


def _hour(match: re.Match[str], table: LanguageTable, following: str) -> list[str] | None:
    words = cardinal(match["hour"], table)
    half = match["half"].replace(".", "").casefold()
    return None if words is None else [*words, table.spellings.get(f"{half}_after_number", half)]


def _suffixed(match: re.Match[str], table: LanguageTable, following: str) -> list[str] | None:
    if match["suffix"].casefold() not in table.ordinal_suffixes:
        return None
    return _ordinal(re.sub(r"\D", "", match["number"]), table)


def _plural(match: re.Match[str], table: LanguageTable, following: str) -> list[str] | None:
    """``1990s``, ``90's``, ``747s``; English only, as the plural of a number word is."""
    if table.numbers != "en":
        return None
    words = year(match["number"], table) if len(match["number"]) == 4 else cardinal(match["number"], table)
    if not words:
        return None
    last = words[-1]
    return [*words[:-1], last[:-1] + "ies" if last.endswith("y") else last + ("es" if last[-1] in "xs" else "s")]


def _slashes(match: re.Match[str], table: LanguageTable, following: str) -> list[str] | None:
    return _in_turn(match[0].split("/"), table)


def _mixed_fraction(match: re.Match[str], table: LanguageTable, following: str) -> list[str] | None:
    whole, part = cardinal(match["number"], table), table.fractions.get(match["fraction"])
    if whole is None or part is None:
        return None
    half = part.split()
    joint = table.number_words.get("fraction_and", "").split()
    return [*whole, *joint, *(half[1:] if joint and len(half) > 1 else half)]


def _telephone(match: re.Match[str], table: LanguageTable, following: str) -> list[str] | None:
    return digit_by_digit(re.sub(r"\D", "", match[0]), table)


def _range(match: re.Match[str], table: LanguageTable, following: str) -> list[str] | None:
    first, last = (int(match["first"]), int(match["last"]))
    joint = table.number_words.get("range", "").split() if first < last else []
    a, b = plain_number(match["first"], table), plain_number(match["last"], table)
    return None if a is None or b is None else [*a, *joint, *b]


def _named(match: re.Match[str], table: LanguageTable, following: str) -> list[str] | None:
    words = plain_number(match["number"], table)
    return None if words is None else [*table.spellings.get("#", "").split(), *words]


def _number(match: re.Match[str], table: LanguageTable, following: str) -> list[str] | None:
    return plain_number(match[0], table)


def _unit(match: re.Match[str], table: LanguageTable, following: str) -> list[str] | None:
    names = table.units.get(match["unit"].casefold())
    words = plain_number(match["number"], table)
    if names is None or words is None:
        return None
    return [*words, *names[0 if match["number"] == "1" else 1].split()]


def _in_turn(parts: Sequence[str], table: LanguageTable) -> list[str] | None:
    found: list[str] = []
    for part in parts:
        words = plain_number(part, table)
        if words is None:
            return None
        found += words
    return found


_RULES: tuple[tuple[str, Rule], ...] = (
    (rf"(?P<sign>[$£€¥])(?P<number>{_NUMBER})|(?P<number2>{_NUMBER})(?P<sign2>[$£€¥¢])", _money),
    (rf"(?P<number>{_NUMBER})%", _percent),
    (r"(?P<hour>\d{1,2})[:h](?P<minute>\d\d)(?P<half>[ap]\.?m)?", _time),
    (r"(?P<hour>\d{1,2})(?P<half>[ap]\.?m)", _hour),
    (r"(?P<hour>1[0-2]|[1-9])\.(?P<minute>[1-5]0)(?P<half>[ap]\.?m)?", _time),  # "at 2.30": no decimal ends in 0
    (r"(?P<number>\d[\d,]*)\.?(?P<suffix>[^\W\d]+|[ºª°])", _suffixed),
    (r"(?P<number>\d+)(?P<suffix>\.)", _suffixed),
    (r"'?(?P<number>\d+)'?s", _plural),
    (r"(?P<number>\d+) (?P<fraction>\d/\d+)", _mixed_fraction),
    (r"\d+(?:/\d+)+", _slashes),
    (r"\(\d{3}\)|\(?\d{3}\)?-\d{4}|\d{3}-\d{3}-\d{4}|\d{3}-\d{2}-\d{4}|\d-\d{3}-\d{3}-\d{4}", _telephone),
    (r"(?P<first>\d+)[-–](?P<last>\d+)", _range),
    (rf"#(?P<number>{_NUMBER})", _named),
    (rf"(?P<number>{_NUMBER})(?P<unit>[^\W\d]+)", _unit),
    (rf"{_NUMBER}|[.,]\d+", _number),
)


def _mixed(text: str, table: LanguageTable) -> list[str] | None:
    """Read digits, letters and signs one after another: ``MP3``, ``B12``, ``20-year-old``, ``4x4``."""
    found: list[str] = []
    pieces = _PIECES.findall(text)
    signs: Mapping[str, str] = table.spellings
    for position, piece in enumerate(pieces):
        if piece[0].isdigit():
            coded = piece.isdigit() and len(piece) > 3 and position > 0 and pieces[position - 1].isalpha()
            words = digit_by_digit(piece, table) if coded else plain_number(piece, table)
            if words is None:
                return None
            found += words
        elif piece[0].isalpha():
            before_digits = position + 1 < len(pieces) and pieces[position + 1][0].isdigit()
            after_digits = position > 0 and pieces[position - 1][0].isdigit()
            glued = before_digits or after_digits
            found.append(letters(piece) if glued and len(piece) <= 3 else piece)
        elif piece in signs:
            found += signs[piece].split()
    return found


def letters(word: str) -> str:
    """Write the letters of an abbreviation as CHAT does: ``F_B_I`` for ``fbi``."""
    return "_".join(c.upper() for c in word if c.isalpha())
