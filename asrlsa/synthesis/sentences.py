"""Sentences from templates with slots, kept apart between train, dev and test."""

from __future__ import annotations

import hashlib
import random
import re
from dataclasses import dataclass
from functools import cache

from asrlsa.errors import ConfigError
from asrlsa.synthesis.languages import SpokenLanguage, load_language

__all__ = ["Sentence", "Slot", "draw_sentence", "fill", "joined", "split_of", "split_templates"]

_SLOT = re.compile(r"\{(\w+)\}")
_TRIES = 1000  # a sentence of dev or test is one in ten
_SHARES = {0: "dev", 1: "test"}


@dataclass(frozen=True, slots=True)
class Slot:
    """Words ``start`` to ``end`` (exclusive) of a sentence, drawn from a list of the language file."""

    start: int
    end: int
    name: str


@dataclass(frozen=True, slots=True)
class Sentence:
    """A fluent sentence.

    Attributes:
        words: As CHAT writes them, without commas; a letter of the alphabet is ``B@l``.
        commas: Positions of words that a comma follows.
        terminator: ``.``, ``?`` or ``!``.
        slots: What was drawn.
        template: The sentence before the slots were filled.
        kind: Section of the language file.
    """

    words: tuple[str, ...]
    commas: frozenset[int]
    terminator: str
    slots: tuple[Slot, ...]
    template: str
    kind: str

    @property
    def text(self) -> str:
        """The words."""
        return " ".join(self.words)


def split_of(text: str) -> str:
    """Return the split that the words of a sentence belong to, by their hash: one in ten each for dev and test."""
    return _SHARES.get(hashlib.sha256(text.lower().encode()).digest()[0] % 10, "train")


@cache
def split_templates(language: str, kind: str, split: str) -> tuple[str, ...]:
    """Return the templates of a section that a split may use: about one in eight each for dev and test.

    A template without slots goes where its words go.
    """
    templates = load_language(language).templates[kind]
    open_ones = sorted((t for t in templates if "{" in t), key=lambda t: hashlib.sha256(t.encode()).digest())
    share = max(2, round(len(open_ones) / 8))
    parts = {"dev": open_ones[:share], "test": open_ones[share : 2 * share], "train": open_ones[2 * share :]}
    fixed = [t for t in templates if "{" not in t and split_of(" ".join(t[:-1].replace(",", "").split())) == split]
    return (*parts[split], *fixed)


def draw_sentence(language: SpokenLanguage, kind: str, split: str, chance: random.Random) -> Sentence:
    """Draw a sentence that no other split can hold: the hash of its words decides, and its template is no other's.

    Raises:
        ConfigError: The section has no such sentence.
    """
    templates = split_templates(language.code, kind, split)
    for _ in range(_TRIES if templates else 0):
        sentence = fill(chance.choice(templates), language, kind, chance)
        if split_of(sentence.text) == split:
            return sentence
    raise ConfigError(f"{language.code}.toml: no sentence of templates.{kind} falls to {split}; add templates")


def joined(first: Sentence, conjunction: str, second: Sentence, language: SpokenLanguage) -> Sentence:
    """Return two sentences as one; a conjunction that the second begins with is not said twice."""
    words = list(second.words)
    link = conjunction.split()
    links = {word for one in language.conjunctions for word in one.split()}
    skipped = 0
    while words and words[0] in links:
        words.pop(0)
        skipped += 1
    shift = len(first.words) + len(link) - skipped
    slots = (Slot(s.start + shift, s.end + shift, s.name) for s in second.slots)
    commas = frozenset(c + shift for c in second.commas)
    return Sentence(
        words=(*first.words, *link, *words),
        commas=first.commas | commas,
        terminator=second.terminator,
        slots=(*first.slots, *slots),
        template=f"{first.template} {second.template}",
        kind=first.kind,
    )


def fill(template: str, language: SpokenLanguage, kind: str, chance: random.Random) -> Sentence:
    """Fill the slots of a template; one value is not used twice in a sentence where its slot has others."""
    words: list[str] = []
    commas: set[int] = set()
    slots: list[Slot] = []
    used: set[str] = set()

    def add(text: str) -> None:
        position = 0
        for match in _SLOT.finditer(text):
            plain(text[position : match.start()])
            start = len(words)
            value = draw(match[1])
            add(value)
            slots.append(Slot(start, len(words), match[1]))
            position = match.end()
        plain(text[position:])

    def draw(name: str) -> str:
        values = language.slots[name]
        fresh = [value for value in values if value not in used] or list(values)
        value = chance.choice(fresh)
        used.add(value)
        return value

    def plain(text: str) -> None:
        if text.startswith(",") and words:
            commas.add(len(words) - 1)
        for word in text.split():
            if word.strip(","):
                words.append(word.strip(","))
            if word.endswith(",") and words:
                commas.add(len(words) - 1)

    add(template[:-1])
    return Sentence(tuple(words), frozenset(commas), template[-1], tuple(slots), template, kind)
