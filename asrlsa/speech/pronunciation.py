"""English pronunciations for forced alignment: fillers, fragments, numbers and words no dictionary has.

Phones are those of the CMU pronouncing dictionary without stress marks (ARPABET), which is what the PocketSphinx model
knows. A pronunciation need not be right: the aligner only has to find where the word begins and ends, and takes the
best of the variants it is offered.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

Lookup = Callable[[str], "str | None"]
"""Phones of a dictionary word, separated by spaces, or None where the dictionary lacks it."""

FILLERS: dict[str, tuple[str, ...]] = {
    "um": ("AH M", "AH M M", "AA M", "ER M", "HH AH M"),
    "umm": ("AH M M", "AH M", "AA M"),
    "uhm": ("AH M", "AH HH AH M", "HH AH M"),
    "uh": ("AH", "AH AH", "AA", "ER", "HH AH"),
    "uhh": ("AH AH", "AH", "AA"),
    "er": ("ER", "AH", "EH R"),
    "erm": ("ER M", "AH M"),
    "ah": ("AA", "AH", "AA AA"),
    "eh": ("EH", "EY"),
    "hm": ("HH M", "HH AH M", "M M", "M"),
    "hmm": ("HH M M", "HH AH M", "M M", "M"),
    "mm": ("M", "M M", "AH M"),
    "mmm": ("M M", "M", "AH M"),
    "mhm": ("M HH M", "AH M HH AH M", "HH M HH M"),
    "uh-huh": ("AH HH AH", "AH HH AA"),
    "uh-uh": ("AH AH", "AA AA"),
    "mm-hmm": ("M HH M", "AH M HH AH M", "M HH AH M"),
    "mm-hm": ("M HH M", "AH M HH AH M", "M HH AH M"),
    "mm-mm": ("M M", "AH M AH M"),
}

LETTERS: dict[str, str] = {
    "a": "EY", "b": "B IY", "c": "S IY", "d": "D IY", "e": "IY", "f": "EH F", "g": "JH IY", "h": "EY CH", "i": "AY",
    "j": "JH EY", "k": "K EY", "l": "EH L", "m": "EH M", "n": "EH N", "o": "OW", "p": "P IY", "q": "K Y UW",
    "r": "AA R", "s": "EH S", "t": "T IY", "u": "Y UW", "v": "V IY", "w": "D AH B AH L Y UW", "x": "EH K S",
    "y": "W AY", "z": "Z IY",
}  # fmt: skip

MASKED = frozenset({"xxx", "yyy", "www"})
"""CHAT's marks for speech that was not transcribed: nothing to pronounce."""
VOWELS = frozenset(["AA", "AE", "AH", "AO", "AW", "AY", "EH", "ER", "EY", "IH", "IY", "OW", "OY", "UH", "UW"])
_VOICELESS = frozenset(["P", "T", "K", "F", "TH"])
_SIBILANT = frozenset(["S", "Z", "SH", "ZH", "CH", "JH"])

# Spelling to sound, longest match first at every place. A key may be anchored with ^ (word start) or $ (word end).
_RULES: dict[str, str] = {
    "^kn": "N", "^wr": "R", "^gn": "N", "^ps": "S", "^x": "Z", "^wh": "W", "^y": "Y", "^ex": "IH G Z",
    "tion": "SH AH N", "sion": "ZH AH N", "ture": "CH ER", "ight": "AY T", "igh": "AY", "eigh": "EY", "ough": "OW",
    "augh": "AO", "tch": "CH", "dge": "JH", "sch": "SH", "ch": "CH", "sh": "SH", "th": "TH", "ph": "F", "wh": "W",
    "ck": "K", "ng": "NG", "nk": "NG K", "qu": "K W", "gh": "G", "ee": "IY", "ea": "IY", "oo": "UW", "ou": "AW",
    "ow": "OW", "oi": "OY", "oy": "OY", "ai": "EY", "ay": "EY", "au": "AO", "aw": "AO", "ie": "IY", "oa": "OW",
    "ei": "EY", "ey": "IY", "ew": "UW", "eu": "Y UW", "ue": "UW", "ui": "UW", "ier": "IY R", "ear": "IH R",
    "air": "EH R", "are$": "EH R", "our": "AO R", "oor": "AO R", "eer": "IH R", "er": "ER", "ir": "ER", "ur": "ER",
    "ar": "AA R", "or": "AO R", "le$": "AH L", "y$": "IY", "o$": "OW", "a$": "AH", "i$": "IY", "e$": "", "ce": "S EH",
    "ce$": "S", "ci": "S IH", "cy": "S IY", "ge$": "JH", "gy": "JH IY", "se$": "S", "ve$": "V", "a": "AE", "b": "B",
    "c": "K", "d": "D", "e": "EH", "f": "F", "g": "G", "h": "HH", "i": "IH", "j": "JH", "k": "K", "l": "L", "m": "M",
    "n": "N", "o": "AA", "p": "P", "q": "K", "r": "R", "s": "S", "t": "T", "u": "AH", "v": "V", "w": "W", "x": "K S",
    "y": "IH", "z": "Z",
}  # fmt: skip
_LONGEST_RULE = 4
_LONG_VOWEL = {"a": "EY", "e": "IY", "i": "AY", "o": "OW", "u": "UW", "y": "AY"}
_OPEN_VOWEL = {
    "a": ("AE", "EY", "AA", "AH"),
    "e": ("EH", "IY", "AH"),
    "i": ("IH", "AY"),
    "o": ("AA", "OW", "AH", "AO"),
    "u": ("AH", "UW"),
    "y": ("AY", "IY"),
}
_MAGIC_E = re.compile(r"([aeiouy])([bcdfgklmnprstvz])e(s|d)?$")
_SIGNS = {
    "&": " and ",
    "%": " percent ",
    "+": " plus ",
    "=": " equals ",
    "@": " at ",
    "#": " number ",
    "°": " degrees ",
}
_MONEY = {"$": "dollars", "£": "pounds", "€": "euros"}


@dataclass(frozen=True, slots=True)
class Unit:
    """One entry of the alignment text. ``phones`` empty: ``name`` stands in the dictionary under that name."""

    name: str
    phones: tuple[str, ...] = ()


def units(text: str, lookup: Lookup, following: Sequence[str] = ()) -> tuple[Unit, ...]:
    """Turn one written word into alignment units; a number or ``well-known`` gives several, in the order spoken.

    Args:
        text: The word as the recogniser wrote it, with any punctuation, case and digits; ``b-`` is a fragment.
        lookup: The dictionary.
        following: The words after it, nearest first: a fragment often begins the word that is said next.

    Returns:
        The units, or an empty tuple where nothing pronounceable is left (``-``, ``♪``, ``xxx``, another script).
    """
    plain = _ascii(text).strip(' \t.,;:!?"()[]{}<>*_~')
    nexts = [re.sub(r"[^a-z']", "", _ascii(word).lower()) for word in following]
    whole = plain.lower().strip("-'")
    if whole in MASKED:
        return ()
    broken_off = re.fullmatch(r"-*([A-Za-z']*[A-Za-z])-+", plain)
    if broken_off and whole not in FILLERS:
        return (_fragment(broken_off.group(1).lower(), nexts, lookup),)
    if whole in FILLERS:
        return (Unit(f"={whole}", FILLERS[whole]),)
    parts = _spoken_parts(plain)
    found: list[Unit] = []
    for index, part in enumerate(parts):
        if len(part) == 1 and part not in "aeio" and index + 1 < len(parts) and f"{part}-" in plain.lower():
            # The first b of b-ball is a sound, the x of x-ray a letter: offer both.
            found.append(_fragment(part, [*parts[index + 1 :], *nexts], lookup, LETTERS[part]))
        elif part in FILLERS:
            found.append(Unit(f"={part}", FILLERS[part]))
        elif lookup(part) is not None:
            found.append(Unit(part))
        else:
            phones = word_phones(part, lookup, written=plain)
            if not phones:
                return ()
            found.append(Unit(f"={part}", phones))
    return tuple(found)


def _ascii(text: str) -> str:
    """Plain quotes and hyphens, letters without accents; other characters stay."""
    text = re.sub(r"[’‘`´]", "'", re.sub(r"[‐‑‒–—]", "-", text))
    return "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))


def _fragment(letters: str, following: Sequence[str], lookup: Lookup, *more: str) -> Unit:
    phones = tuple(dict.fromkeys([*fragment_phones(letters, following, lookup), *more]))
    # The name tells what the fragment was taken to begin: the decoder keeps one pronunciation list a name.
    return Unit(f"={letters}-{phones[0].replace(' ', '_') if phones else ''}", phones)


def _spoken_parts(plain: str) -> list[str]:
    """Lower-case dictionary-like parts of one written word, with numbers and signs spelled out."""
    text = plain
    if any(c.isdigit() for c in text):
        text = re.sub(r"([$£€])(\d[\d,]*(?:\.\d+)?)", lambda m: f"{m.group(2)} {_MONEY[m.group(1)]}", text)
        text = re.sub(r"(?<=\d),(?=\d{3})", "", text)
        text = re.sub(
            r"(\d+):(\d\d)", lambda m: f"{m.group(1)} {m.group(2)}" if m.group(2) != "00" else m.group(1), text
        )
        text = re.sub(r"\d+(?:\.\d+)?(?:(?:st|nd|rd|th|s)(?![A-Za-z]))?", lambda m: f" {_number(m.group())} ", text)
    for sign, spoken in _SIGNS.items():
        text = text.replace(sign, spoken)
    parts = re.split(r"[\s\-/_.,]+", text.lower())
    return [part for part in (re.sub(r"[^a-z']", "", p).strip("'") if p != "'em" else p for p in parts) if part]


@lru_cache(maxsize=4096)
def _number(digits: str) -> str:
    """Say a number: ``5`` five, ``5th`` fifth, ``90s`` nineties, ``1984`` nineteen eighty-four."""
    from num2words import num2words

    match = re.fullmatch(r"(\d+(?:\.\d+)?)(st|nd|rd|th|s)?", digits)
    if match is None:
        return ""
    value, suffix = match.groups()
    if len(value) > 9:
        return " ".join(str(num2words(int(digit))) for digit in value if digit.isdigit())
    if "." in value:
        return str(num2words(float(value)))
    if suffix in ("st", "nd", "rd", "th"):
        return str(num2words(int(value), to="ordinal"))
    year = len(value) == 4 and 1100 <= int(value) < 2100 and not 2000 <= int(value) < 2010
    said = str(num2words(int(value), to="year")) if year else str(num2words(int(value)))
    if suffix == "s":
        said = re.sub(r"y$", "ies", said) if said.endswith("y") else said + "s"
    return said


def fragment_phones(letters: str, following: Sequence[str], lookup: Lookup) -> tuple[str, ...]:
    """Pronunciations of a word broken off after ``letters``.

    The beginning of the word that is said next is offered where its spelling agrees (``lib- library``: L AY B), then
    the letters by rule with every sound an open last vowel may have, then, after a consonant, the same with a schwa
    (``b-`` is said B or B AH).
    """
    found: list[str] = []
    for word in following:
        target = (lookup(word) or "").split()
        if len(word) > len(letters) and word.startswith(letters) and len(target) > 1:
            short = _rule_phones(letters)
            cut = min(max(len(short), 1), len(target) - 1)
            found.append(" ".join(target[:cut]))
            break
    if any(c in "aeiouy" for c in letters):
        known = [lookup(letters), lookup(f"{letters}(2)"), lookup(f"{letters}(3)")]
        found += [phones for phones in known if phones is not None]
    if len(letters) == 1 and letters in "aeiou":
        found += [*_OPEN_VOWEL[letters], LETTERS[letters]]
    elif letters[-1] in _OPEN_VOWEL and not (len(letters) > 1 and letters[-2] in "aeiou"):
        found += [" ".join([*_rule_phones(letters[:-1]), vowel]) for vowel in _OPEN_VOWEL[letters[-1]]]
    else:
        found.append(" ".join(_rule_phones(letters)))
    if letters == "th":
        found.append("DH")
    with_schwa = [f"{phones} AH" for phones in found if phones and phones.split()[-1] not in VOWELS]
    return tuple(dict.fromkeys(phones for phones in [*found, *with_schwa] if phones))


def word_phones(word: str, lookup: Lookup, written: str = "") -> tuple[str, ...]:
    """Pronunciations of a word the dictionary lacks; empty where no rule gives any.

    Tried in this order: a drawn-out spelling shortened (``sooo``), a known word with an ending (``mandy's``), two known
    words written as one (``pancakes`` and the like), spelling rules. Beside the rules the letters are spelled out where
    there is no vowel letter (``tv``, but also ``shh``) or at most four capitals (``MFA``).
    """
    shorter = [re.sub(r"(.)\1{2,}", keep, word) for keep in (r"\1", r"\1\1")]
    drawn = tuple(dict.fromkeys(known for w in shorter if w != word and (known := lookup(w)) is not None))
    if drawn:
        return drawn
    ended = _with_ending(word, lookup)
    if ended:
        return ended
    pairs = ((word[:i], word[i:]) for i in range(3, len(word) - 2))
    joined = [(a, b) for a, b in pairs if lookup(a) is not None and lookup(b) is not None]
    if joined:
        # The most even split is the likeliest compound: pan+cake, not panc+ake.
        first, second = min(joined, key=lambda pair: abs(len(pair[0]) - len(pair[1])))
        return (f"{lookup(first)} {lookup(second)}",)
    bare = word.replace("'", "")
    capitals = re.sub(r"[^A-Za-z]", "", written)
    spelled = " ".join(LETTERS[c] for c in bare if c in LETTERS)
    ruled = " ".join(_rule_phones(re.sub(r"(.)\1{2,}", r"\1", bare)))
    if not any(c in "aeiouy" for c in bare):
        # shh and brr are sounds, tv is letters; a long run of consonants is neither.
        return tuple(dict.fromkeys(p for p in (ruled, spelled) if p)) if len(set(bare)) <= 4 else ()
    if 1 < len(capitals) <= 4 and capitals.isupper():
        return tuple(p for p in (spelled, ruled) if p)
    return (ruled,) if ruled else ()


def _with_ending(word: str, lookup: Lookup) -> tuple[str, ...]:
    """Pronunciation of a known word with an English ending, or an empty tuple."""
    for ending in ("'s", "es", "s", "ed", "d", "ing", "in'", "in", "er", "ers", "ly", "y", "'ll", "'d", "'ve", "'re"):
        if not word.endswith(ending) or len(word) - len(ending) < 2:
            continue
        stem = word[: -len(ending)]
        stems = [stem, stem + "e"] if ending in ("ing", "in", "er", "ers", "es", "ed") else [stem]
        if len(stem) > 2 and stem[-1] == stem[-2]:
            stems.append(stem[:-1])
        for candidate in stems:
            known = lookup(candidate)
            if known is not None:
                return (f"{known} {_ending_phones(ending, known.split()[-1])}",)
    return ()


def _ending_phones(ending: str, last: str) -> str:
    if ending in ("'s", "es", "s"):
        return "IH Z" if last in _SIBILANT else "S" if last in _VOICELESS else "Z"
    if ending in ("ed", "d", "'d"):
        return "IH D" if last in ("T", "D") else "T" if last in _VOICELESS | {"S", "SH", "CH"} else "D"
    fixed = {"ing": "IH NG", "in'": "IH N", "in": "IH N", "er": "ER", "ers": "ER Z", "ly": "L IY", "y": "IY"}
    return fixed.get(ending) or {"'ll": "AH L", "'ve": "AH V", "'re": "ER"}[ending]


def _rule_phones(letters: str) -> list[str]:
    """Phones by spelling rule, one list; empty for an empty or unreadable word."""
    word = re.sub(r"([b-df-hj-np-tv-z])\1", r"\1", re.sub(r"[^a-z]", "", letters))
    magic = _MAGIC_E.search(word)
    phones: list[str] = []
    at = 0
    while at < len(word):
        if magic and at == magic.start():
            phones.append(_LONG_VOWEL[word[at]])
            soft = {"c": "S", "g": "JH"}.get(word[at + 1], _RULES[word[at + 1]])
            phones.append(soft)
            if magic.group(3):
                phones.append(_ending_phones("s" if magic.group(3) == "s" else "d", soft))
            break
        size, sound = _match_rule(word, at)
        phones += sound.split()
        at += size
    return phones


def _match_rule(word: str, at: int) -> tuple[int, str]:
    for size in range(min(_LONGEST_RULE, len(word) - at), 0, -1):
        piece = word[at : at + size]
        starts, ends = at == 0, at + size == len(word)
        # A silent letter pair at the end of a fragment (kn-, wr-) is silent too; a final e alone is not a word.
        if starts and f"^{piece}" in _RULES:
            return size, _RULES[f"^{piece}"]
        if ends and not starts and f"{piece}$" in _RULES:
            return size, _RULES[f"{piece}$"]
        if piece in _RULES:
            return size, _RULES[piece]
    return 1, ""
