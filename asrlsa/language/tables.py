"""What asrlsa knows about a language: one TOML file beside this module for each, read once.

A new language is a new file named by its ISO 639-3 code. Every key is optional; a list is a string of words
separated by spaces, or of phrases separated by ``|``. ``docs/chat-guide.md`` says which coding rule reads which list.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import lru_cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # type: ignore[import-not-found,unused-ignore]

from asrlsa.language.codes import iso639_3, whisper_code

#: Hesitation sounds that are a word of no language we know of; ``um`` is one (German, Portuguese) and is not here.
NEUTRAL_FILLERS = {"uh": "uh", "uhm": "uhm", "hm": "hm", "m": "mm"}

_EMPTY: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Grammar:
    """Word classes for the rules that need some grammar; empty sets switch the rules that read them off.

    Attributes:
        subject_pronouns: Pronouns that can only be a subject (``he``, not ``you``).
        restart_subjects: Pronouns that can begin a clause in the place of another one; ``subject_pronouns`` if empty.
        elisions: A word and how it begins when it is elided: ``je`` and ``j'``.
        other_subjects: Words that can be a subject, but also something else.
        determiners: Words that begin a noun phrase.
        restart_determiners: Determiners that no word of ``restart_after`` can follow in fluent speech.
        restart_after: See ``restart_determiners``.
        pronoun_determiners: Determiners that can also stand alone.
        prepositions: Prepositions and particles.
        particles: Those that can end a clause (``fell down``).
        hanging: Prepositions that need a noun; outside of questions and relative clauses none of them ends a clause.
        comparing: Words after which a bare subject and auxiliary are fluent (``than he did``).
        coordinators: ``and``, ``but``, ``or``.
        additive: ``and``: joins noun phrases too.
        sequencers: ``then``: opens a main clause unless a coordinator stands before it.
        adverbs: Adverbs that stand between subject and verb.
        adverbials: Phrases that open a main clause before its subject (``after that``).
        fronting: Subordinators whose clause often comes before the main clause.
        subordinators: Words that open a subordinate clause.
        relatives: Relative pronouns and the ``that`` of a complement clause.
        question_words: Words that open a question.
        quantity_words: Words after *how* in a question.
        inverting: Auxiliaries that any subject can follow in a question.
        cautious_inverting: Auxiliaries that only a personal pronoun follows in a question.
        openers: Words that answer or open a turn.
        editing: Phrases that announce a correction.
        complement_verbs: Words that a clause may follow without a conjunction (``I think he ran``).
        weak_complements: Those of them that may also end a clause.
        speech_verbs: Verbs that somebody's words follow.
        purpose_verbs: After *so* and a subject, they make a clause of purpose, which is no unit of its own.
        open_endings: Words that can't end an utterance.
        opinion_verbs: Verbs that a clause follows and a bare noun phrase does not.
        time_words: Words of noun phrases that say when, and can follow any other.
        unfinished_verbs: Verb forms that need something after them.
        auxiliaries: Forms of auxiliary verbs.
        be_forms: Forms of *be* that correct one another.
        have_forms: Forms of *have* that correct one another.
        modal_forms: Modal verbs.
        verbs: Frequent finite verb forms.
        corrections: Pairs of words of which the second corrects the first.
        common: Other frequent words that are written small.
    """

    subject_pronouns: frozenset[str] = frozenset()
    restart_subjects: frozenset[str] = frozenset()
    elisions: frozenset[tuple[str, ...]] = frozenset()
    other_subjects: frozenset[str] = frozenset()
    determiners: frozenset[str] = frozenset()
    restart_determiners: frozenset[str] = frozenset()
    restart_after: frozenset[str] = frozenset()
    pronoun_determiners: frozenset[str] = frozenset()
    prepositions: frozenset[str] = frozenset()
    particles: frozenset[str] = frozenset()
    hanging: frozenset[str] = frozenset()
    comparing: frozenset[str] = frozenset()
    coordinators: frozenset[str] = frozenset()
    additive: frozenset[str] = frozenset()
    sequencers: frozenset[str] = frozenset()
    adverbs: frozenset[str] = frozenset()
    adverbials: frozenset[tuple[str, ...]] = frozenset()
    fronting: frozenset[str] = frozenset()
    subordinators: frozenset[str] = frozenset()
    relatives: frozenset[str] = frozenset()
    question_words: frozenset[str] = frozenset()
    quantity_words: frozenset[str] = frozenset()
    inverting: frozenset[str] = frozenset()
    cautious_inverting: frozenset[str] = frozenset()
    openers: frozenset[str] = frozenset()
    editing: frozenset[tuple[str, ...]] = frozenset()
    complement_verbs: frozenset[str] = frozenset()
    weak_complements: frozenset[str] = frozenset()
    speech_verbs: frozenset[str] = frozenset()
    purpose_verbs: frozenset[str] = frozenset()
    open_endings: frozenset[str] = frozenset()
    opinion_verbs: frozenset[str] = frozenset()
    time_words: frozenset[str] = frozenset()
    unfinished_verbs: frozenset[str] = frozenset()
    auxiliaries: frozenset[str] = frozenset()
    be_forms: frozenset[str] = frozenset()
    have_forms: frozenset[str] = frozenset()
    modal_forms: frozenset[str] = frozenset()
    verbs: frozenset[str] = frozenset()
    corrections: frozenset[tuple[str, ...]] = frozenset()
    common: frozenset[str] = frozenset()

    @property
    def subjects(self) -> frozenset[str]:
        """Every word that can begin a subject."""
        return self.subject_pronouns | self.other_subjects | self.determiners

    @property
    def closed(self) -> frozenset[str]:
        """The closed word classes: never a name."""
        return frozenset().union(
            self.subject_pronouns, self.other_subjects, self.determiners, self.prepositions, self.coordinators,
            self.sequencers, self.subordinators, self.relatives, self.question_words, self.auxiliaries, self.openers,
        )  # fmt: skip

    @property
    def known(self) -> frozenset[str]:
        """Every word of the table, in small letters: words for sure, and written small."""
        found: set[str] = set()
        for entry in fields(self):
            for item in getattr(self, entry.name):
                found.update(item.split() if isinstance(item, str) else item)
        return frozenset(found)


@dataclass(frozen=True, slots=True)
class Doubles:
    """Words and phrases that are said twice without disfluency; ``docs/chat-guide.md`` gives the rules.

    Attributes:
        fluent: Never a repetition.
        emphatic: A repetition only if something stands between the copies.
        timed: Grammatical when said twice; the timing tells.
        copulas: ``what it is is``: like ``timed`` after one of ``clefts``.
        clefts: See ``copulas``.
        objects: ``told you you``: like ``timed`` after one of ``object_verbs``.
        object_verbs: See ``objects``.
        phrases: Never a phrase repetition.
    """

    fluent: frozenset[str] = frozenset()
    emphatic: frozenset[str] = frozenset()
    timed: frozenset[str] = frozenset()
    copulas: frozenset[str] = frozenset()
    clefts: frozenset[str] = frozenset()
    objects: frozenset[str] = frozenset()
    object_verbs: frozenset[str] = frozenset()
    phrases: frozenset[tuple[str, ...]] = frozenset()


@dataclass(frozen=True, slots=True)
class LanguageTable:
    """What asrlsa knows about one language.

    Attributes:
        code: ISO 639-3 code.
        name: English name of the language; empty for the neutral table.
        numbers: The language in num2words' code; empty where it has none.
        decimal: Decimal separator.
        years_in_pairs: 1984 is said *nineteen eighty four*.
        nouns_capitalised: Common nouns are written with a capital, as in German.
        number_words_dropped: Words of num2words that most speakers leave out.
        ordinal_suffixes: What follows the digits of an ordinal.
        fillers: Heard form with letter runs reduced to one letter -> spelling after ``&-``.
        isolated_fillers: Words that are a filled pause only between two pauses or commas.
        fillers_alone: Fillers that are a word where nothing else is in the utterance.
        unintelligible: Words in brackets that say that speech was not understood.
        backchannels: Words a listener says without taking the turn.
        spellings: Word in small letters -> how CHAT writes it; may be several words, or none.
        abbreviations: Abbreviation in small letters without its full stop -> words.
        titles: Words that a name follows.
        names: Words that keep their capital.
        ambiguous_names: Names that are also function words: they keep it in the middle of a sentence.
        acronym_words: Capitals that are said as a word.
        events: What stands in brackets -> name of the CHAT event.
        number_words: Words for the spelling of numbers.
        fractions: ``1/2`` -> words.
        currencies: Sign -> one unit, more units, one hundredth, more hundredths.
        units: Abbreviated unit -> one, more.
        hyphen_prefixes: ``re-read`` is one word.
        doubles: Words said twice.
        grammar: Word classes.
        numerals: Words for digits, tens and scales.
        known: Every word of the table in small letters: certainly a word.
        closed: The closed word classes: never a name.
    """

    code: str
    name: str = ""
    numbers: str = ""
    decimal: str = "."
    years_in_pairs: bool = False
    nouns_capitalised: bool = False
    number_words_dropped: frozenset[str] = frozenset()
    ordinal_suffixes: frozenset[str] = frozenset()
    fillers: Mapping[str, str] = field(default_factory=dict)
    isolated_fillers: Mapping[str, str] = field(default_factory=dict)
    fillers_alone: frozenset[str] = frozenset()
    unintelligible: frozenset[str] = frozenset()
    backchannels: frozenset[str] = frozenset()
    spellings: Mapping[str, str] = field(default_factory=dict)
    abbreviations: Mapping[str, str] = field(default_factory=dict)
    titles: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()
    ambiguous_names: frozenset[str] = frozenset()
    acronym_words: frozenset[str] = frozenset()
    events: Mapping[str, str] = field(default_factory=dict)
    number_words: Mapping[str, str] = field(default_factory=dict)
    fractions: Mapping[str, str] = field(default_factory=dict)
    currencies: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    units: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    hyphen_prefixes: frozenset[str] = frozenset()
    doubles: Doubles = field(default_factory=Doubles)
    grammar: Grammar = field(default_factory=Grammar)
    numerals: frozenset[str] = frozenset()
    known: frozenset[str] = frozenset()
    closed: frozenset[str] = frozenset()

    def filler(self, word: str) -> str | None:
        """Return the CHAT spelling of a filled pause (``um`` for ``Ummm``), or None for any other word."""
        if len(word) < 2:
            return None
        return self.fillers.get(squeezed(word.casefold()))


def squeezed(word: str) -> str:
    """Reduce every run of one letter to one letter: ``uhhm`` to ``uhm``."""
    return "".join(c for i, c in enumerate(word) if i == 0 or c != word[i - 1])


def has_table(code: str) -> bool:
    """Return True if asrlsa has a table of its own for the language (ISO 639-3 or Whisper code)."""
    return _file(code) is not None


def language_table(code: str) -> LanguageTable:
    """Return the table of a language, or a neutral one where asrlsa has none (``has_table`` tells).

    The neutral table knows a few hesitation sounds and, through num2words, the numbers of some languages. With it
    exact repetitions and fragments are still coded; retracings and clause boundaries are not.

    Args:
        code: ISO 639-3 code, or the code Whisper writes.
    """
    return _table(code.strip().lower())


@lru_cache(maxsize=32)
def _table(code: str) -> LanguageTable:
    text = _file(code)
    try:
        three = iso639_3(code)
    except KeyError:
        three = code
    if text is None:
        return LanguageTable(code=three, numbers=_number_language(three), fillers=MappingProxyType(NEUTRAL_FILLERS))
    return _built(three, tomllib.loads(text))


def _file(code: str) -> str | None:
    """Return the text of a language's file, or None."""
    try:
        three = iso639_3(code)
    except KeyError:
        return None
    path = files("asrlsa.language").joinpath(f"{three}.toml")
    return path.read_text(encoding="utf-8") if path.is_file() else None


def _number_language(three: str) -> str:
    """Return num2words' code for a language, or an empty string."""
    from num2words import CONVERTER_CLASSES

    try:
        two = whisper_code(three)
    except KeyError:
        return ""
    return two if two in CONVERTER_CLASSES else ""


def _words(value: object) -> frozenset[str]:
    """Read a list of words: a string of words, or a list."""
    if isinstance(value, str):
        return frozenset(value.split())
    return frozenset(str(v) for v in value) if isinstance(value, list) else frozenset()


def _phrases(value: str) -> frozenset[tuple[str, ...]]:
    """Read a list of phrases separated by bars; words in small letters."""
    return frozenset(tuple(p.casefold().split()) for p in value.split("|") if p.strip())


def _mapping(value: Mapping[str, Any]) -> Mapping[str, Any]:
    return MappingProxyType({k: tuple(v) if isinstance(v, list) else v for k, v in value.items()})


def _built(code: str, data: Mapping[str, Any]) -> LanguageTable:
    """Build a table from a parsed TOML file."""
    words: Mapping[str, Any] = data.get("words", _EMPTY)
    names: Mapping[str, Any] = data.get("names", _EMPTY)
    numbers: Mapping[str, Any] = data.get("number_words", _EMPTY)
    phrases = ("editing", "corrections", "phrases", "elisions", "adverbials")
    classes: dict[str, Any] = {
        k: _phrases(v) if k in phrases else _words(v) for k, v in data.get("grammar", _EMPTY).items()
    }
    said_twice: dict[str, Any] = {
        k: _phrases(v) if k in phrases else _words(v) for k, v in data.get("doubles", _EMPTY).items()
    }
    grammar, doubles = Grammar(**classes), Doubles(**said_twice)
    spellings = _mapping(data.get("spellings", _EMPTY))
    backchannels = _words(words.get("backchannels", ""))
    doubled = doubles.fluent | doubles.emphatic | doubles.timed
    return LanguageTable(
        code=code,
        name=data.get("name", ""),
        numbers=data.get("numbers", ""),
        decimal=data.get("decimal", "."),
        years_in_pairs=data.get("years_in_pairs", False),
        nouns_capitalised=data.get("nouns_capitalised", False),
        number_words_dropped=_words(data.get("number_words_dropped", "")),
        ordinal_suffixes=_words(data.get("ordinal_suffixes", "")),
        fillers=_mapping(data.get("fillers", _EMPTY)),
        isolated_fillers=_mapping(data.get("isolated_fillers", _EMPTY)),
        fillers_alone=_words(words.get("fillers_alone", "")),
        unintelligible=_words(words.get("unintelligible", "")),
        backchannels=backchannels,
        spellings=spellings,
        abbreviations=_mapping(data.get("abbreviations", _EMPTY)),
        titles=_words(names.get("titles", "")),
        names=_words(names.get("always", "")) | _words(names.get("titles", "")),
        ambiguous_names=_words(names.get("ambiguous", "")),
        acronym_words=_words(names.get("acronym_words", "")),
        events=_mapping(data.get("events", _EMPTY)),
        number_words=_mapping(numbers),
        fractions=_mapping(data.get("fractions", _EMPTY)),
        currencies=_mapping(data.get("currencies", _EMPTY)),
        units=_mapping(data.get("units", _EMPTY)),
        hyphen_prefixes=_words(data.get("hyphens", _EMPTY).get("prefixes", "")),
        doubles=doubles,
        grammar=grammar,
        numerals=frozenset(" ".join(str(numbers.get(k, "")) for k in ("digits", "tens", "scales")).split()),
        known=grammar.known | backchannels | doubled,
        closed=grammar.closed,
    )
