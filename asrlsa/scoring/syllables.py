"""How many syllables a word has: the pronouncing dictionary that PocketSphinx installs, then a rule on spelling."""

from __future__ import annotations

import importlib.util
import re
from functools import lru_cache
from pathlib import Path

from asrlsa.errors import ModelError

_VOWELS = frozenset(["AA", "AE", "AH", "AO", "AW", "AY", "EH", "ER", "EY", "IH", "IY", "OW", "OY", "UH", "UW"])
_DICTIONARY = Path("model") / "en-us" / "cmudict-en-us.dict"
_NUCLEI = re.compile(r"[aeiouyàáâäãåæèéêëìíîïòóôöõøùúûüýœ]+")


@lru_cache(maxsize=1)
def _dictionary() -> dict[str, int]:
    """Read syllable counts from the dictionary; of several pronunciations the first counts."""
    spec = importlib.util.find_spec("pocketsphinx")
    path = Path(spec.origin).parent / _DICTIONARY if spec is not None and spec.origin else None
    if path is None or not path.is_file():
        raise ModelError("PocketSphinx's dictionary cmudict-en-us.dict is not installed: pip install pocketsphinx")
    counts: dict[str, int] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        word, *phones = line.split()
        if word.endswith(")") or not phones:
            continue
        counts[word] = sum(phone in _VOWELS for phone in phones)
    return counts


@lru_cache(maxsize=65536)
def syllables(word: str, language: str = "eng") -> int:
    """Count the syllables of one word.

    Args:
        word: A word; case and punctuation at its edges do not matter.
        language: ISO 639-3 code. English looks words up; other languages count groups of vowel letters.

    Returns:
        Number of syllables, at least 1 for a word with letters; 0 for an empty one.

    Raises:
        ModelError: The English dictionary is not installed.
    """
    pieces = re.split(r"[_\s-]+", word)
    if len(pieces) > 1:
        return sum(syllables(piece, language) for piece in pieces)
    plain = re.sub(r"[^\w']", "", word.lower()).strip("'")
    if not plain:
        return 0
    if language != "eng":
        return max(1, len(_NUCLEI.findall(plain)))
    found = _dictionary().get(plain)
    if found is None and plain.endswith("'s"):
        found = _dictionary().get(plain[:-2])
        found = found + plain[:-2].endswith(("s", "x", "z", "sh", "ch", "ce", "ge")) if found else None
    return found if found else _by_spelling(plain)


def _by_spelling(word: str) -> int:
    """Count groups of vowel letters (English): a final silent ``e``, ``es`` or ``ed`` has no syllable of its own."""
    letters = re.sub(r"[^a-zà-ÿœ]", "", word)
    groups = len(_NUCLEI.findall(letters))
    # cake, cakes, jumped; but table, tables, houses, wanted, be
    silent = re.search(r"[^aeiouy](e|es|ed)$", letters)
    if groups > 1 and silent and not re.search(r"[^aeiouylr]l(e|es|ed)$|[td]ed$|(s|x|z|sh|ch|c|g)es$", letters):
        groups -= 1
    return max(1, groups)
