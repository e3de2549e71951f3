"""Figures written out as they are spoken, with num2words; used by scoring, where a hypothesis may hold digits."""

from __future__ import annotations

import re
from functools import lru_cache

# num2words by ISO 639-3 code. Other languages keep their figures.
LANGUAGES = {
    "eng": "en", "spa": "es", "fra": "fr", "deu": "de", "ita": "it", "nld": "nl", "por": "pt", "dan": "da",
    "swe": "sv", "nor": "no", "fin": "fi", "pol": "pl", "ces": "cs", "rus": "ru", "tur": "tr",
}  # fmt: skip
# num2words before 0.5.14 calls them by country.
_FORMER = {"da": "dk", "cs": "cz"}

_PIECES = re.compile(r"[0-9]+(?:[.,:][0-9]+)*|[^\W\d]+(?:'[^\W\d]+)?|[$€£%°+&]")
_CURRENCY = {
    "$": ("dollar", "dollars", "cent", "cents"),
    "€": ("euro", "euros", "cent", "cents"),
    "£": ("pound", "pounds", "penny", "pence"),
}
_DIGITS = frozenset("0123456789")
_SIGNS = {"%": "percent", "°": "degrees", "+": "plus", "&": "and"}
_AMOUNT = re.compile(r"^(\d+|\d{1,3}(,\d{3})+)(\.\d+)?$", re.ASCII)
_WHOLE = re.compile(r"^(\d+|\d{1,3}(,\d{3})+)$", re.ASCII)
_ORDINAL = re.compile(r"^(?:st|nd|rd|th)$")


@lru_cache(maxsize=4096)
def spelled_out(word: str, language: str) -> tuple[str, ...]:
    """Write the figures of one word as words.

    English reads ``1995`` as a year (1100 to 1999 and 2010 to 2099, no comma), ``5:30`` as a time, ``$2.50`` as money,
    ``3rd`` as an ordinal, ``90s`` as *nineties*; ``2.5`` is *two point five* and ``1,000`` *one thousand*.

    Args:
        word: A word with digits, lower case.
        language: ISO 639-3 code; a language that num2words does not know keeps its figures.

    Returns:
        The words.
    """
    if language not in LANGUAGES:
        return (word,)
    pieces = _PIECES.findall(word)
    words: list[str] = []
    k = 0
    while k < len(pieces):
        piece, after = pieces[k], pieces[k + 1] if k + 1 < len(pieces) else ""
        money = k + 1 < len(pieces) and piece in _CURRENCY and bool(_AMOUNT.match(after)) and language == "eng"
        if money:
            words += _money(after, piece)
            k += 2
        elif piece[0] in _DIGITS and language == "eng" and _ORDINAL.match(after) and _WHOLE.match(piece):
            words += _say(piece.replace(",", ""), language, "ordinal")
            k += 2
        elif piece[0] in _DIGITS and language == "eng" and after == "s":
            words += _plural(_figure(piece, language))
            k += 2
        else:
            words += _figure(piece, language) if piece[0] in _DIGITS else [_SIGNS.get(piece, piece)]
            k += 1
    return tuple(word for word in words if word)


def _say(number: str, language: str, to: str = "cardinal") -> list[str]:
    from num2words import num2words

    if number.count(".") > 1 or len(number) > 15:
        return [word for digit in number.replace(".", "") for word in _say(digit, language)]
    value = float(number) if "." in number else int(number)
    spoken = str(num2words(value, lang=_code(language), to=to)).lower()
    return re.sub(r"[-,]", " ", spoken).split()


@lru_cache(maxsize=32)
def _code(language: str) -> str:
    from num2words import CONVERTER_CLASSES

    code = LANGUAGES[language]
    return code if code in CONVERTER_CLASSES else _FORMER.get(code, code)


def _figure(figure: str, language: str) -> list[str]:
    if ":" in figure:
        parts = figure.split(":")
        if language == "eng" and len(parts) == 2 and parts[1] == "00":
            return [*_figure(parts[0], language), "o'clock"]
        said = []
        for k, part in enumerate(parts):
            small = k > 0 and language == "eng" and len(part) == 2 and part[0] == "0"
            said += ["oh", *_say(part[1], language)] if small else _figure(part, language)
        return said
    if re.fullmatch(r"\d{1,3}(,\d{3})+(\.\d+)?", figure) and language == "eng":
        return _say(figure.replace(",", ""), language)
    if re.fullmatch(r"\d+[.,]\d+", figure):
        return _say(figure.replace(",", "."), language)
    if not figure.isdecimal():
        return [word for part in re.split(r"[.,]", figure) for word in _say(part, language)]
    value = int(figure)
    if len(figure) > 1 and figure[0] == "0":
        return [word for digit in figure for word in _say(digit, language)]
    if language == "eng" and len(figure) == 4 and (1100 <= value <= 1999 or 2010 <= value <= 2099):
        return _say(figure, language, "year")
    return _say(figure, language)


def _money(amount: str, sign: str) -> list[str]:
    one, many, small, smaller = _CURRENCY[sign]
    whole, _, part = amount.replace(",", "").partition(".")
    said = [*_say(whole, "eng"), one if whole == "1" else many]
    if len(part) == 2 and int(part):
        said += ["and", *_say(str(int(part)), "eng"), small if int(part) == 1 else smaller]
    return said


def _plural(words: list[str]) -> list[str]:
    last = words[-1]
    return [*words[:-1], last[:-1] + "ies" if last.endswith("y") else last + ("es" if last.endswith("x") else "s")]
