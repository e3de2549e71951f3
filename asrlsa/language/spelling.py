"""From a recogniser's words to words that CHAT can hold.

``It's 5:30, Mr. Smith.`` becomes *it's five thirty, Mister Smith.* Nothing is ever lost without a note: a token that
can't be written is masked with ``xxx``.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from asrlsa.language.capitals import decapitalised
from asrlsa.language.marks import EVENT, MASK, is_letter, is_writable, split_mark, straight
from asrlsa.language.numbers import has_number, letters, money_unit, number_words
from asrlsa.language.tables import LanguageTable, language_table
from asrlsa.types import Word

Note = Callable[[str], None]

_OPENERS = '"“”„«»‹›‚¿¡([{<*♪♫#_~|^•·-–—…,;:!?.=+>'
_CLOSERS = "\"“”„«»‹›'*♪♫)]}>_~|^•·"
_PUNCTUATION = ".,?!;:…—–。、，．？！：；؟،۔।"
_TAIL = re.compile(rf"[{re.escape(_CLOSERS + _PUNCTUATION)}]*\Z")
_INNER_BREAK = re.compile(r"(?<=\w)(?:—|–|--+|\.{2,}|…)(?=\w)|(?<=[^\W\d_]{2})[.?!;:,](?=[A-Z][a-z])")
_INITIALS = re.compile(r"(?:[^\W\d_]\.)+[^\W\d_]")
_HOST = re.compile(r"[\w-]+(?:\.[\w-]+)+", re.ASCII)
_BRACKETS = {"[": "]", "(": ")", "*": "*", "<": ">", "{": "}"}
_SIGNS = re.compile(r"[/\\]|(?<=\w)([&@+=])(?=\w)")
_LETTERS_AND = re.compile(r"[A-Z]{1,3}&[A-Z]{1,3}")
_LONGEST_BRACKET = 8  # words; a bracket that does not close within so many is a stray character
_LETTERS_MAX = 5  # capitals said as letters; longer ones are a shouted word


def spell_out(words: Sequence[Word], language: str, on_note: Note | None = None) -> list[Word]:
    """Return the words as CHAT can hold them, with one of ``marks.MARKS`` at most after each.

    Numbers, times, money and signs are spelled out; abbreviations become letters (``U_S``) or words; capitals that
    only mark a sentence are made small; ``[laughs]`` becomes ``&=laughs``; other descriptions of sounds, music notes,
    quotes and stray punctuation go. A cut-off word keeps its hyphen (``b-``); ``I-I`` and ``st-store`` become two
    words, the first with a hyphen. A token that becomes several words shares its time among them by their letters.

    Args:
        words: Words of a whole recording in order; capitals are judged by the other words of the same recording.
        language: ISO 639-3 or Whisper code.
        on_note: Called with one line for every token that was left out or masked.
    """
    table = language_table(language)
    tokens = list(_described(_tokens(words), table, on_note))
    found: list[Word] = []
    pending: list[str] = []
    joint = table.number_words.get("hour_joint", "").casefold()
    for position, token in enumerate(tokens):
        if token.text.startswith(EVENT) or token.text == MASK:
            found.append(token)
            continue
        before = tokens[position - 1].text if position else ""
        after = tokens[position + 1].text if position + 1 < len(tokens) else ""
        core, mark = split_mark(token.text)
        if joint and found and core.casefold() == joint and re.fullmatch(r"\d+:(?!00)\d\d", before):
            found[-1] = replace(found[-1], text=found[-1].text + mark)  # "5:30 Uhr" is "fünf Uhr dreißig" already
            continue
        spelled = _spelled(token.text, before, after, table)
        if spelled is None:
            _tell(on_note, token, "can't be written in CHAT and is masked with xxx")
            spelled = [MASK]
        if pending and spelled:
            core, mark = split_mark(spelled[-1])
            spelled = [*spelled[:-1], core, *pending[:-1], pending[-1] + mark]
            pending = []
        if spelled and table.number_words and after.rstrip(".,?!").casefold() in table.number_words["scales"].split():
            pending = money_unit(token.text, table)
        if not spelled and any(map(str.isalnum, token.text)):
            _tell(on_note, token, "says nothing and is left out")
        if not spelled and found and any(c in token.text for c in "—–") and not split_mark(found[-1].text)[1]:
            found[-1] = replace(found[-1], text=found[-1].text + "—")
        found += _shared(token, spelled)
    return decapitalised(found, table)


def _tell(note: Note | None, word: Word, what: str) -> None:
    if note is not None:
        place = "" if word.start is None else f"{word.start / 1000:.2f} s: "
        note(f"{place}'{word.text}' {what}")


def _tokens(words: Sequence[Word]) -> list[Word]:
    """Bring words to plain characters; a word that holds spaces becomes several."""
    found: list[Word] = []
    for word in words:
        parts = straight(word.text).replace("--", "—").split()
        found += _shared(word, parts)
    return found


def _shared(word: Word, texts: Sequence[str]) -> list[Word]:
    """Give each text its part of the word's time, by letters; without time where there is less than 1 ms for each."""
    if len(texts) == 1:
        return [replace(word, text=texts[0])]
    start, end = word.start, word.end
    if start is None or end is None or end - start < len(texts):
        return [replace(word, text=text, start=None, end=None) for text in texts]
    weights = [max(1, sum(map(str.isalpha, text))) for text in texts]
    spare = end - start - len(texts)  # one ms each first: every span is positive
    edges, total, done = [start], sum(weights), 0
    for count, weight in enumerate(weights, 1):
        done += weight
        edges.append(start + count + spare * done // total)
    return [replace(word, text=t, start=a, end=b) for t, a, b in zip(texts, edges, edges[1:], strict=False)]


def _described(tokens: Sequence[Word], table: LanguageTable, note: Note | None) -> Iterator[Word]:
    """Turn bracketed descriptions (``[laughs]``, ``(inaudible)``) into events and masks, or leave them out."""
    position = 0
    while position < len(tokens):
        token = tokens[position]
        length = _bracket(tokens, position)
        inside = " ".join(t.text for t in tokens[position : position + length])
        said = inside.strip("".join((*_BRACKETS, *_BRACKETS.values(), "_", *_PUNCTUATION))).casefold().replace("_", " ")
        event = table.events.get(said)
        starred = token.text[0] in "*<{"
        said_words = said.split()
        spoken = token.text[0] == "(" and bool(said_words) and table.known.issuperset(said_words)
        if not length or has_number(said) or (event is None and (starred or spoken)):
            yield token
            position += 1
            continue
        whole = replace(token, text=inside, end=tokens[position + length - 1].end)
        if whole.start is None or whole.end is None or whole.end <= whole.start:
            whole = replace(whole, start=None, end=None)
        if event is not None:
            yield replace(whole, text=EVENT + event)
        elif not table.unintelligible.isdisjoint(said_words):
            yield replace(whole, text=MASK)
        else:
            _tell(note, whole, "is no speech and is left out")
        position += length


def _bracket(tokens: Sequence[Word], position: int) -> int:
    """Return how many tokens a bracketed description that begins here has; 0 where none begins."""
    text = tokens[position].text
    close = _BRACKETS.get(text[:1])
    if close is None:
        return 0
    for length, token in enumerate(tokens[position : position + _LONGEST_BRACKET], 1):
        body = token.text[1:] if length == 1 else token.text
        if close in body:
            return length if not body.partition(close)[2].strip(_PUNCTUATION + _CLOSERS) else 0
    return 0


def _spelled(text: str, before: str, after: str, table: LanguageTable) -> list[str] | None:
    """Return the words of one token with the mark on the last; None where it can't be written."""
    if text in table.spellings:
        return table.spellings[text].split()
    if re.search(r"\w\*\*", text):
        return None  # bleeped out
    found: list[str] = []
    parts = _INNER_BREAK.split(text)
    joints = [m.group() for m in _INNER_BREAK.finditer(text)]
    for position, part in enumerate(parts):
        core, mark = _core(part, after if position + 1 == len(parts) else "X", table)
        if position < len(joints):
            mark = _mark(joints[position])
        if not core:
            if mark and found and not split_mark(found[-1])[1]:
                found[-1] += mark
            continue
        words = _written(core, before, after, table)
        if words is None:
            return None
        if words and mark == "—" and len(core) <= 3 and core.isalpha() and core.casefold() not in table.known:
            words[-1], mark = words[-1] + "-", ""
        if words:
            words[-1] += mark if not words[-1].startswith(EVENT) else ""
        found += words
    return found


def _core(text: str, after: str, table: LanguageTable) -> tuple[str, str]:
    """Take quotes and punctuation off a token; a full stop of an abbreviation stays out of the mark."""
    if re.fullmatch(r"\(\d{3}\)[^\w]*", text):
        return text[:5], ""
    leading = text[: len(text) - len(text.lstrip(_OPENERS))]
    sign = leading[-1:] if leading[-1:] in ("#", ".", "-") else ""
    text = text[len(leading) :]
    if sign and text[:1].isdigit():
        text = sign + text
    quoted = text.startswith("'") and text.rstrip(_PUNCTUATION).endswith("'") and len(text) > 2
    if text.startswith("'") and (quoted or text.casefold().rstrip(_PUNCTUATION) not in table.known):
        text = text if re.match(r"'\d", text) else text[1:]
    match = _TAIL.search(text)
    tail = match.group() if match else ""
    core = text[: len(text) - len(tail)]
    if tail.startswith("'") and not quoted and core.casefold().endswith(("s", "in", "z")):
        core, tail = core + "'", tail[1:]
    if tail.startswith(".") and not tail.startswith("..") and _abbreviated(core, after, table):
        rest = tail[1:]
        ends = not after or (after[:1].isupper() and after.casefold() in table.known and after != "I")
        return core + ".", _mark(rest) or ("." if ends and core.casefold() not in table.abbreviations else "")
    return core, _mark(tail)


def _abbreviated(core: str, after: str, table: LanguageTable) -> bool:
    """Return True if a full stop after the word belongs to an abbreviation."""
    low = core.casefold()
    if core.isdigit() and "." in table.ordinal_suffixes:
        return after.rstrip(_PUNCTUATION) in table.names
    if low in table.abbreviations:
        return low != "no" or has_number(after[:1])
    initial = len(core) == 1 and core.isupper() and core not in table.names and after[:1].isupper()
    return bool(_INITIALS.fullmatch(core)) or low in table.spellings or initial


def _mark(tail: str) -> str:
    """Return the one mark that stands for the punctuation after a word."""
    if any(c in tail for c in "?？؟"):
        return "?"
    if any(c in tail for c in "!！"):
        return "!"
    if "…" in tail or ".." in tail:
        return "..."
    if any(c in tail for c in ".。．۔।"):
        return "."
    if any(c in tail for c in "—–") or "--" in tail:
        return "—"
    return "," if any(c in tail for c in ",;:、，：；،") else ""


def _written(core: str, before: str, after: str, table: LanguageTable) -> list[str] | None:
    """Return the words that one token without punctuation stands for."""
    dotted = core.endswith(".")
    core = core if dotted and core[:-1].isdigit() else core.rstrip(".")
    low = core.casefold()
    numbered = has_number(before) or before.casefold().strip(_PUNCTUATION) in table.numerals | {"o'clock"}
    if low.replace(".", "") in ("am", "pm") and numbered:
        return [table.spellings.get(low.replace(".", "") + "_after_number", low.replace(".", ""))]
    first, _, second = table.abbreviations.get(low, "").partition(" | ")
    if first and (dotted or (first in table.titles and core[0].isupper() and after[:1].isupper())):
        named = before[:1].isupper() and not after[:1].isupper()
        return (second if second and named else first).split()
    if low in table.spellings:
        return table.spellings[low].split()
    if numbered and low in table.units and has_number(before):
        return table.units[low][0 if before == "1" else 1].split()
    if _INITIALS.fullmatch(core):
        return [letters(core)]
    if core.startswith("-") and has_number(core[1:2]):
        words = number_words(core[1:], table, after.strip(_PUNCTUATION))
        return None if words is None else [*table.number_words.get("minus", "").split(), *words]
    if has_number(core) or core[:1] in table.currencies or core.endswith("%"):
        words = number_words(core, table, after.strip(_PUNCTUATION))
        return None if words is None else [w for word in words for w in (_word(word, before, after, table) or [])]
    if _LETTERS_AND.fullmatch(core):
        return [w for part in core.split("&") for w in (letters(part), *table.spellings.get("&", "").split())][:3]
    found: list[str] = []
    for part in filter(None, _SIGNS.split(core)):
        if part in table.spellings:
            found += table.spellings[part].split()
            continue
        words = _host(part, table) or _word(part, before, after, table)
        if words is None:
            return None
        found += words
    return found


def _host(core: str, table: LanguageTable) -> list[str] | None:
    """Spell a web address; None for any other word."""
    if not _HOST.fullmatch(core) or "." not in core:
        return None
    found: list[str] = []
    for part in core.split("."):
        found += [table.number_words.get("dot", "dot")] if found else []
        found.append("W_W_W" if part.casefold() == "www" else part)
    return found


def _word(core: str, before: str, after: str, table: LanguageTable) -> list[str] | None:
    """Return one word or hyphenated word as CHAT writes it; signs inside it are read or left out."""
    if "_" in core and is_writable(core):
        return [core]
    kept = "".join(c for c in core if is_letter(c) or c in "'-")
    kept = re.sub(r"-{2,}", "-", re.sub(r"'{2,}", "'", kept)).lstrip("-")
    if not any(map(str.isalpha, kept)):
        return []
    if len(kept) < len(core.strip("-'")) and any(unicodedata.category(c)[0] == "S" for c in core):
        return None  # a sign inside a word: no telling what was said
    found: list[str] = []
    for piece in _hyphenated(kept, table):
        word = _capitals(piece, before, after, table)
        bare = word.removesuffix("-")
        if bare.casefold() in ("xx", "xxx", "yy", "yyy"):
            return [MASK]
        if bare.casefold() in ("ww", "www"):
            word = letters(bare)
        elif not is_writable(bare):
            return None
        found.append(word)
    return found


def _hyphenated(core: str, table: LanguageTable) -> list[str]:
    """Split repeated sounds and words off a hyphenated word: ``st-store`` gives ``st-`` and ``store``."""
    parts = [part.strip("'") if part.strip("'") != part and len(part) < 3 else part for part in core.split("-")]
    cut = parts[-1] == ""
    parts = [part for part in parts if part]
    if len(parts) < 2:
        return [part + "-" * cut for part in parts]
    if len(parts) > 2 and not cut and all(len(p) == 1 for p in parts) and len({p.casefold() for p in parts}) > 1:
        return [letters(core)]
    low = [part.casefold() for part in parts]
    same = len(set(low)) == 1
    if same and not cut and (low[0] in table.doubles.fluent or low[0] in table.doubles.emphatic):
        return ["-".join(parts)]
    found: list[str] = []
    joined = False
    for position, part in enumerate(parts):
        following = low[position + 1] if position + 1 < len(parts) else ""
        numeral = low[position] in table.numerals
        repeated = following.startswith(low[position]) and not numeral and low[position] not in table.hyphen_prefixes
        split = repeated or numeral or following in table.numerals or not following
        text = part + ("-" if repeated else "")
        found = [*found[:-1], f"{found[-1]}-{text}"] if joined else [*found, text]
        joined = not split
    return [*found[:-1], found[-1] + "-"] if cut else found


def _capitals(word: str, before: str, after: str, table: LanguageTable) -> str:
    """Write an abbreviation in capitals as letters, and a shouted word small."""
    if "'" in word and len(word) > 2 and word.isupper():
        word = word[0] + word[1:].lower() if word[:2] == "I'" else word.lower()
    match = re.fullmatch(r"([^\W\d_]{2,}?)('?s)?", word)
    if match is None or not match[1].isupper():
        return word
    core, ending = match[1], match[2] or ""
    low = core.casefold()
    shouted = any(t.strip(_PUNCTUATION + _OPENERS)[1:].isupper() for t in (before, after))
    if core in table.acronym_words:
        return word
    if core.capitalize() in table.names:
        return core.capitalize() + ending
    if core == low.upper() == core.lower():
        return word  # a script without capitals
    if low in ("ii", "iii"):
        return {"ii": "two", "iii": "three"}[low] if table.code == "eng" else letters(core)
    plain = table.closed | table.backchannels | table.doubles.fluent
    small = table.filler(core) or len(core) > _LETTERS_MAX or (low in plain and low != "us")
    if small or (shouted and low in table.known):
        return low + ending
    return letters(core) + ending
