"""What may stand in one word of a main tier."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from asrlsa.chat.lexer import CA_MARKS, lex
from asrlsa.chat.words import BLOCK, LEGACY_FILLERS, PART_WORD, spoken

_SIMPLE = re.compile(r"[A-Za-z]+(?:'[A-Za-z]+)?\Z")

#: Special form markers after ``@``, without the language marker ``@s``.
FORM_MARKERS = frozenset(
    ("b", "c", "d", "f", "fp", "g", "i", "k", "l", "ls", "n", "o", "p", "q", "sas", "si", "sl", "t", "u", "wp", "x")
)
_FORM = re.compile(r"@(?:(?P<marker>[a-z]+)|z:[a-z]+|s(?::[a-z]{3}(?:[&+][a-z]{3})*)?)(?:\$[a-z:]+)?\Z")
_SIGN = re.compile(r"&[-+~]?|0")
_CA = frozenset(CA_MARKS)
_NOTE = re.compile(r"\s*(?:[\[(<{*♪].*[\])>}*♪])\W*")
_PAUSE_INSIDE = re.compile(r"\(\.{1,3}\)")
_CURLY = "‘’´`ʼ′"
_DASHES = "–—―−‐‑‒"

_MESSAGES = {
    "digit": "digits are not words: spell the number out ({0})",
    "apostrophe": "use the plain apostrophe ' (U+0027) in {0}",
    "dash": "a dash is not part of a word: {0}",
    "invisible-character": "an invisible character (U+{1:04X}) stands in {0}: delete it",
    "character": "the character {1} (U+{2:04X}) can't stand in a word: {0}",
    "homoglyph": "{0} mixes alphabets: a {1} letter stands among {2} letters",
    "hyphen": "a hyphen stands between two parts of a word; a fragment is written &+b ({0})",
    "quote": "single quotation marks around {0}: delete them",
    "joint": "_ and + stand between two parts of a word: {0}",
    "shortening": "parentheses complete part of a word, as in (be)cause: {0}",
    "prolongation": "the colon of a prolongation follows a sound: {0}",
    "part-word": "a part-word repetition is written ↫b-b↫boy: {0}",
    "block": "≠ stands right before or inside a word: {0}",
    "break": "^ stands between two sounds of a word: {0}",
    "form-marker": "{0} has a form marker that CHAT does not know",
    "legacy-code": "an old code: write {1} instead of {0}",
    "marks": "the marks in {0} don't stand where CHAT has them",
    "empty-word": "{0} has no sound that was said",
}

#: A word with its marks; every letter is an ``a`` here.
_SOUNDS = r"(?:\(a+\)|a:*)"
_REPEATED = r"↫a[a:]*(?:-a[a:]*)*↫"
_BEFORE = rf"(?:≠|{_REPEATED})*"
_FORMED = re.compile(rf"{_BEFORE}{_SOUNDS}(?:[-_+^]?{_BEFORE}{_SOUNDS})*(?:{_REPEATED})?\Z")

#: A message and where in the token it is, from 0.
WordProblem = tuple[int, str, str]


def _problem(offset: int, code: str, *values: object) -> WordProblem:
    return offset, code, _MESSAGES[code].format(*values)


@lru_cache(maxsize=16384)
def word_problems(text: str) -> tuple[WordProblem, ...]:
    """Return what is wrong with one word token, coded (``&-um``) or not: (offset, code, message) of each problem."""
    if _SIMPLE.match(text):
        return ()
    sign = _SIGN.match(text)
    start = sign.end() if sign and len(text) > sign.end() else 0
    body = text[start:]
    form = body.find("@", 1)
    problems = []
    if form >= 0:
        match = _FORM.match(body[form:])
        if match is None or not _known(match["marker"]):
            problems.append(_problem(start + form, "form-marker", text))
        elif body[form:] == "@fp":
            problems.append(_problem(start + form, "legacy-code", text, f"&-{body[:form]}"))
        body = body[:form]
    problems += [(start + offset, code, message) for offset, code, message in _characters(body, text)]
    if not problems:
        problems += [(start + offset, code, message) for offset, code, message in _structure(body, text)]
    if not problems and sign and sign.group() == "&":
        problems.append(_problem(0, "legacy-code", text, f"&-{body}" if body in LEGACY_FILLERS else f"&+{body}"))
    return tuple(problems)


def _known(marker: str | None) -> bool:
    return marker is None or marker == "s" or marker in FORM_MARKERS


def _characters(body: str, text: str) -> list[WordProblem]:
    """Check the characters of a word one by one."""
    found = []
    scripts: dict[str, int] = {}
    for offset, char in enumerate(_PAUSE_INSIDE.sub(lambda match: "(" * len(match[0]), body)):
        if "a" <= char <= "z" or "A" <= char <= "Z":
            scripts.setdefault("LATIN", offset)
            continue
        if char in "'-_+():^≠↫" or char in CA_MARKS:
            continue
        category = unicodedata.category(char)
        if category[0] == "N":
            if not (offset and body[offset - 1] in "⌈⌉⌊⌋"):
                found.append(_problem(offset, "digit", text))
        elif char in _CURLY:
            found.append(_problem(offset, "apostrophe", text))
        elif char in _DASHES:
            found.append(_problem(offset, "dash", text))
        elif category in ("Cf", "Cc", "Zs", "Zl", "Zp"):
            found.append(_problem(offset, "invisible-character", text, ord(char)))
        elif category in ("Mn", "Mc"):
            continue
        elif category[0] == "L" and unicodedata.normalize("NFKC", char) == unicodedata.normalize("NFC", char):
            if category != "Lm":
                scripts.setdefault(unicodedata.name(char, "").split(" ")[0], offset)
        else:
            found.append(_problem(offset, "character", text, char, ord(char)))
    if not found and len(scripts.keys() & {"LATIN", "GREEK", "CYRILLIC", "ARMENIAN", "CHEROKEE"}) > 1:
        first, second = list(scripts)[:2]
        found.append(_problem(scripts[second], "homoglyph", text, second.capitalize(), first.capitalize()))
    return found


def _structure(body: str, text: str) -> list[WordProblem]:
    """Check where the marks inside a word stand."""
    found = []
    said = spoken(body)
    bare = re.sub(rf"[{CA_MARKS}]\d?", "", body)
    letters = re.sub(r"[^\w'(]|[\d_]", "", bare)
    if not any(map(str.isalpha, bare)) or not said.heard:
        return [_problem(0, "empty-word", text)]
    if said.meant.lower() in ("xx", "xxx", "yy", "yyy", "ww", "www"):
        found.append(_problem(0, "legacy-code", text, "xxx"))
    if bare[0] == "-" or bare[-1] == "-" or "--" in bare:
        found.append(_problem(0, "hyphen", text))
    if (bare[0] == "'" and bare[-1] == "'" and len(bare) > 2) or "''" in bare:
        found.append(_problem(0, "quote", text))
    if bare[0] in "_+" or bare[-1] in "_+" or re.search(r"[_+]{2}", bare):
        found.append(_problem(0, "joint", text))
    if not re.fullmatch(r"[^()]*(?:\([^()]*\)[^()]*)*", bare) or re.search(r"\([^()]*[:^≠↫_+][^()]*\)", bare):
        found.append(_problem(0, "shortening", text))
    if _PAUSE_INSIDE.search(bare):
        found.append(_problem(0, "legacy-code", text, "^"))
    if bare[0] == ":" or re.search(r"[-_+^≠(]:", bare):
        found.append(_problem(max(body.find(":"), 0), "prolongation", text))
    if PART_WORD in body and not _part_words(bare):
        found.append(_problem(body.find(PART_WORD), "part-word", text))
    if BLOCK in body and bare[-1] == BLOCK:
        found.append(_problem(body.find(BLOCK), "block", text))
    if bare[0] == "^":
        found.append(_problem(0, "legacy-code", text, "≠" + bare.lstrip("^")))
    elif re.search(r"[^\w:')]\^|\^(?![\w'(≠])", bare):
        found.append(_problem(body.find("^"), "break", text))
    if not letters.strip("'("):
        found.append(_problem(0, "empty-word", text))
    if not found and not _FORMED.match(_shape(bare)):
        found.append(_problem(0, "marks", text))
    return found


def _shape(bare: str) -> str:
    """Return the word with every letter as ``a`` and without combining marks, which belong to their letter."""
    return "".join("a" if c.isalpha() or c == "'" else c for c in bare if unicodedata.category(c)[0] != "M")


def _part_words(bare: str) -> bool:
    """Return True where every ``↫…↫`` is a pair around sounds, and the word goes on outside."""
    pieces = bare.split(PART_WORD)
    if len(pieces) % 2 == 0:
        return False
    outside = "".join(pieces[0::2])
    return any(map(str.isalpha, outside)) and all(
        re.fullmatch(r"[^\W\d_][^\W\d_:']*(?:-[^\W\d_][^\W\d_:']*)*", piece) for piece in pieces[1::2]
    )


def is_word(text: str) -> bool:
    """Return True where ``text`` can stand on a main tier, as it is, as one word without a sign.

    Marks inside the word (``s::o`` ``(be)cause`` ``b@l``) are allowed when they are right. Masks, coded words
    (``&-um``), language marks (``@s``, right only in some files), marks of conversation analysis, punctuation and
    anything that CHAT would read as something else give False.
    """
    if _SIMPLE.match(text):
        return text.lower() not in ("xxx", "yyy", "www", "xx", "yy", "ww")
    tokens = lex(text)
    if len(tokens) != 1 or tokens[0].kind != "word" or tokens[0].text != text or set(text) & _CA or "@s" in text:
        return False
    return not word_problems(text)


def repair_token(text: str) -> str:
    """Return ``text`` as a word that can stand on a main tier, or ``xxx`` where there is none.

    Takes away what is invisible, punctuation and quotation marks around the word, and what CHAT reads as a sign;
    makes the apostrophe plain; keeps the letters. What has digits can't be repaired here: spell numbers out before.
    What stands between brackets or asterisks is somebody's note, not a word.
    """
    if is_word(text):
        return text
    if _NOTE.fullmatch(text):
        return "xxx"
    word = unicodedata.normalize("NFC", text)
    for char in _CURLY:
        word = word.replace(char, "'")
    for char in _DASHES:
        word = word.replace(char, "-")
    word = "".join(c for c in word if unicodedata.category(c) not in ("Cf", "Cc"))
    word = re.sub(r"(?<=\w)@.*", "", word)
    word = re.sub(r"\A[^\w']+|[^\w']+\Z", "", re.sub(r"[_+]+", "_", word)).strip("_")
    for candidate in (word, word.strip("'")):
        if is_word(candidate):
            return candidate
    folded = unicodedata.normalize("NFKC", word)
    folded = re.sub(r"-{2,}", "-", re.sub(r"'{2,}", "'", "".join(c for c in folded if _letter(c)))).strip("-'")
    return folded if is_word(folded) else "xxx"


def _letter(char: str) -> bool:
    """Return True for what may stay in a word whose other characters are dropped; digits stay, and fail later."""
    return char in "'-_" or unicodedata.category(char)[0] in "LMN"
