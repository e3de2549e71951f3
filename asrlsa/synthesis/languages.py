"""The language file of the corpus maker: sentences, fillers, function words and voices of one language."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any

from asrlsa.errors import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # type: ignore[import-not-found,unused-ignore]

__all__ = ["Filler", "SpokenLanguage", "languages", "load_language"]

SPLITS = ("train", "dev", "test")


@dataclass(frozen=True, slots=True)
class Filler:
    """One filled pause.

    Attributes:
        text: CHAT spelling after ``&-``.
        weight: How often it is used, against the others.
        phonemes: Ways to say it, in the phonemes of eSpeak.
        seconds: Median length.
    """

    text: str
    weight: float
    phonemes: tuple[str, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class SpokenLanguage:
    """What the corpus maker knows of one language.

    Attributes:
        code: ISO 639-3 code.
        fillers: Filled pauses.
        function_words: Words that are repeated most and seldom broken.
        clause_words: Words that begin a clause inside a sentence.
        conjunctions: What joins two sentences.
        slots: Name to values; a value may hold other slots in braces.
        sections: Population, ``examiner`` or ``negative`` to sections of ``templates``.
        templates: Kind of talk (``child``, ``adult``, ``examiner``, ``doubles`` …) to sentences with slots.
        slips: A word to forms that are said for it and corrected, such as *went* to *goed*.
        onsets: Letters at the beginning of a word that are one sound, longest first.
        vowels: Letters that are vowels.
        silent: First letters that are not said.
        held: First letters of words whose first sound can be held.
        letters: How a letter of the alphabet is said, where eSpeak says it otherwise.
        voices: Engine to split to voices.
        accents: Beginning of a voice's name to the language of eSpeak; ``""`` is every other voice.
    """

    code: str
    fillers: tuple[Filler, ...]
    function_words: frozenset[str]
    clause_words: frozenset[str]
    conjunctions: tuple[str, ...]
    slots: Mapping[str, tuple[str, ...]]
    sections: Mapping[str, tuple[str, ...]]
    templates: Mapping[str, tuple[str, ...]]
    slips: Mapping[str, tuple[str, ...]]
    onsets: tuple[str, ...]
    vowels: str
    held: str
    silent: str
    letters: Mapping[str, str]
    voices: Mapping[str, Mapping[str, tuple[str, ...]]]
    accents: Mapping[str, str]

    def accent(self, voice: str) -> str:
        """Return the language of eSpeak for a voice."""
        return self.accents.get(voice[:1], self.accents[""])


def languages() -> list[str]:
    """Return the codes of the languages that have a file."""
    return sorted(
        item.name.removesuffix(".toml")
        for item in resources.files("asrlsa.synthesis").iterdir()
        if item.name.endswith(".toml")
    )


@cache
def load_language(code: str) -> SpokenLanguage:
    """Read a language file.

    Raises:
        ConfigError: There is none for ``code``.
    """
    if code not in languages():
        raise ConfigError(f"the corpus maker has no language {code!r}; it has {', '.join(languages())}")
    text = (resources.files("asrlsa.synthesis") / f"{code}.toml").read_text(encoding="utf-8")
    table = tomllib.loads(text)
    fillers = (
        Filler(name, float(one["weight"]), tuple(one["phonemes"]), float(one["seconds"]))
        for name, one in table["fillers"].items()
    )
    return SpokenLanguage(
        code=code,
        fillers=tuple(fillers),
        function_words=frozenset(table["words"]["function"].split()),
        clause_words=frozenset(table["words"]["clause"].split()),
        conjunctions=_lists(table["words"])["conjunctions"],
        slots=_lists(table["slots"]),
        sections=MappingProxyType({name: tuple(kinds.split()) for name, kinds in table["sections"].items()}),
        templates=_lists(table["templates"]),
        slips=_lists(table["slips"]),
        onsets=tuple(sorted(table["sounds"]["onsets"].split(), key=len, reverse=True)),
        vowels=table["sounds"]["vowels"],
        held=table["sounds"]["held"],
        silent=table["sounds"].get("silent", ""),
        letters=MappingProxyType(dict(table["sounds"].get("letters", {}))),
        voices=MappingProxyType({engine: _lists(splits) for engine, splits in table["voices"].items()}),
        accents=MappingProxyType(dict(table["accents"])),
    )


def _lists(table: Mapping[str, Any]) -> Mapping[str, tuple[str, ...]]:
    """Return a table of lists; a text is a list whose parts stand between bars, or on lines of their own."""
    found = {}
    for name, value in table.items():
        if isinstance(value, str):
            value = [part.strip() for line in value.splitlines() for part in line.split("|")]
        found[name] = tuple(part for part in value if part)
    return MappingProxyType(found)
