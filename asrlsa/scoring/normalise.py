"""What counts as the same word: named, composable normalisation steps, and the named policies made of them.

A step turns one word into the words it stands for, so ``don't`` can become ``do not`` and ``,`` nothing. No step
deletes a filler: ``um`` stays a word in every policy but ``fluent``, which leaves out what the transcript's own codes
call disfluent.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from operator import attrgetter

from asrlsa.errors import UsageError
from asrlsa.scoring.numbers import spelled_out
from asrlsa.scoring.samples import Sample, ScoredWord
from asrlsa.scoring.spellings import CONTRACTIONS, backchannel, filler_class, spelling

Step = Callable[[str, str], tuple[str, ...]]

_APOSTROPHES = str.maketrans({"‘": "'", "’": "'", "ʼ": "'", "′": "'", "＇": "'", "`": "'", "´": "'"})
_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u2060\ufeff]")
_APART = re.compile(r"[^\w']+|_")
_STRAY = re.compile(r"^'+|'+$")


def unicode_form(word: str, language: str) -> tuple[str, ...]:
    """Compose accents (NFC), straighten apostrophes, drop invisible characters."""
    del language
    return tuple(_INVISIBLE.sub("", unicodedata.normalize("NFC", word)).translate(_APOSTROPHES).split())


def lower_case(word: str, language: str) -> tuple[str, ...]:
    """Lower the case."""
    del language
    return (word.lower(),)


def numbers(word: str, language: str) -> tuple[str, ...]:
    """Spell figures out: cardinals, ordinals, decimals, years, times of day, money, percentages."""
    return spelled_out(word, language) if any(c in "0123456789" for c in word) else (word,)


def backchannels(word: str, language: str) -> tuple[str, ...]:
    """Write the spellings of *mhm*, *uhhuh* (yes), *uhuh* (no) and *uhoh* one way (English)."""
    return (backchannel(word) or word,) if language == "eng" else (word,)


def punctuation(word: str, language: str) -> tuple[str, ...]:
    """Drop punctuation, and split at it inside a word (hyphens, ``_``); apostrophes inside a word stay.

    The hyphen of a broken-off word (``b-``) goes too: whether it was marked is what the fragment score judges.
    """
    del language
    if word.isalnum():
        return (word,)
    pieces = (_STRAY.sub("", piece) for piece in _APART.split(word))
    return tuple(piece for piece in pieces if piece)


def contractions(word: str, language: str) -> tuple[str, ...]:
    """Write contracted forms in full where only one reading is possible (English): ``gonna`` → ``going to``."""
    return CONTRACTIONS.get(word, (word,)) if language == "eng" else (word,)


def spelling_variants(word: str, language: str) -> tuple[str, ...]:
    """Write spelling variants one way (English): ``colour`` → ``color``, ``alright`` → ``all right``."""
    return spelling(word) if language == "eng" else (word,)


def filler_spellings(word: str, language: str) -> tuple[str, ...]:
    """Write the spellings of one filled pause one way: ``uhm``, ``erm`` → ``um``; ``er`` → ``uh``; ``mm`` → ``hm``."""
    return (filler_class(word, language) or word,)


STEPS: dict[str, Step] = {
    "unicode": unicode_form,
    "case": lower_case,
    "numbers": numbers,
    "backchannels": backchannels,
    "punctuation": punctuation,
    "contractions": contractions,
    "spelling": spelling_variants,
    "fillers": filler_spellings,
}

# The steps of verbatim, fluent and cer, in order, unless others are asked for.
DEFAULT_STEPS = ("unicode", "case", "numbers", "backchannels", "punctuation", "contractions", "spelling", "fillers")

# Policies whose steps can be chosen; the rules of the others are their point.
STEPPED = ("verbatim", "fluent", "cer")


@dataclass(frozen=True, slots=True)
class Policy:
    """What is compared with what.

    Attributes:
        name: Name that every output carries.
        words: Which words: ``verbatim`` (everything said), ``clean`` (disfluencies removed by the transcript's own
            codes) or ``batchalign`` (fragments and nonwords left out, replacements by their targets).
        steps: Names of the normalisation steps, in order.
        unit: ``word`` or ``character``.
        description: One sentence for the output.
    """

    name: str
    words: str
    steps: tuple[str, ...]
    unit: str
    description: str


_ALL = DEFAULT_STEPS

POLICIES: dict[str, Policy] = {
    p.name: p
    for p in (
        Policy(
            "verbatim",
            "verbatim",
            DEFAULT_STEPS,
            "word",
            "Everything that was said, fillers, repeats and fragments too.",
        ),
        Policy(
            "fluent",
            "clean",
            DEFAULT_STEPS,
            "word",
            "What was meant: disfluencies removed by each transcript's own codes.",
        ),
        Policy("cer", "verbatim", _ALL, "character", "Everything that was said, by character, spaces counted."),
        Policy(
            "batchalign",
            "batchalign",
            (),
            "word",
            "The rules of Batchalign 2's benchmark, without its gluing of single letters and its word lists.",
        ),
        Policy("raw", "verbatim", (), "word", "Everything that was said, as spelled: nothing is normalised."),
    )
}


@dataclass(frozen=True, slots=True)
class Stream:
    """The normalised words of one file.

    Attributes:
        forms: Normalised words.
        origin: For each, the index of the word of the file it comes from.
        masks: Gaps between ``forms`` that hold a masked stretch.
    """

    forms: tuple[str, ...]
    origin: tuple[int, ...]
    masks: tuple[int, ...]


def policy(name: str, steps: Sequence[str] = DEFAULT_STEPS) -> Policy:
    """Return a policy by name.

    Args:
        name: One of :data:`POLICIES`.
        steps: Steps of verbatim, fluent and cer, in order; the other policies keep their own.

    Raises:
        UsageError: There is no such policy or step.
    """
    if name not in POLICIES:
        raise UsageError(f"there is no scoring policy {name!r}; choose from {', '.join(POLICIES)}")
    unknown = [step for step in steps if step not in STEPS]
    if unknown:
        raise UsageError(f"there is no normalisation step {unknown[0]!r}; choose from {', '.join(STEPS)}, or none")
    return replace(POLICIES[name], steps=tuple(steps)) if name in STEPPED else POLICIES[name]


@lru_cache(maxsize=200_000)
def normalise(word: str, steps: tuple[str, ...], language: str = "eng") -> tuple[str, ...]:
    """Run one word through named steps.

    Args:
        word: A word as written.
        steps: Tuple of names from :data:`STEPS`.
        language: ISO 639-3 code.

    Returns:
        The words it stands for; empty where nothing is left.
    """
    words: tuple[str, ...] = tuple(word.split())
    for name in steps:
        step = STEPS[name]
        words = tuple(made for one in words for made in step(one, language))
    return words


def stream(sample: Sample, chosen: Policy) -> Stream:
    """Return what a policy compares of one file."""
    text, turned = _turner(sample, chosen)
    known: dict[str, tuple[str, ...]] = {}
    forms: list[str] = []
    origin: list[int] = []
    masks: list[int] = []
    waiting = list(reversed(sample.masks))
    for index, word in enumerate(sample.words):
        while waiting and waiting[-1].before <= index:
            waiting.pop()
            masks.append(len(forms))
        written = text(word)
        if written:
            made = known.get(written)
            if made is None:
                made = known[written] = turned(written)
            forms.extend(made)
            origin.extend([index] * len(made))
    masks.extend([len(forms)] * len(waiting))
    return Stream(tuple(forms), tuple(origin), tuple(masks))


def by_speaker(words: Stream, sample: Sample) -> dict[str, Stream]:
    """Split the words of a file by participant, in order of their first word; ``origin`` still indexes the file."""
    forms: dict[str, list[str]] = {code: [] for code in sample.speakers}
    origin: dict[str, list[int]] = {code: [] for code in forms}
    masks: dict[str, list[int]] = {code: [] for code in forms}
    stretches = [(gap, mask.speaker) for gap, mask in zip(words.masks, sample.masks, strict=True)]
    stretches.reverse()
    for position in range(len(words.forms) + 1):
        while stretches and stretches[-1][0] <= position:
            _, code = stretches.pop()
            if code in masks:
                masks[code].append(len(forms[code]))
        if position < len(words.forms):
            code = sample.words[words.origin[position]].speaker
            forms[code].append(words.forms[position])
            origin[code].append(words.origin[position])
    return {code: Stream(tuple(forms[code]), tuple(origin[code]), tuple(masks[code])) for code in forms}


def _turner(
    sample: Sample, chosen: Policy
) -> tuple[Callable[[ScoredWord], str | None], Callable[[str], tuple[str, ...]]]:
    """Return what a policy takes of a word (nothing to leave it out), and what it makes of that."""
    if chosen.words == "batchalign":
        from asrlsa.scoring.batchalign import conform, written

        return written, conform
    clean = chosen.words == "clean"
    return attrgetter("clean" if clean else "verbatim"), lambda text: normalise(text, chosen.steps, sample.language)
