"""What a model is to write for an utterance: no codes, every disfluency spelled out, or the fluent words alone."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from asrlsa.disfluency import Reading, read_main_tier
from asrlsa.scoring.spellings import filler_class

# What a recogniser writes at the end of an utterance; ``—`` is a sentence broken off, as asrlsa.language.marks has it.
_MARKS = {
    ".": ".",
    "?": "?",
    "!": "!",
    "+...": "...",
    "+..?": "?",
    "+!?": "?",
    "+/?": "?",
    "+//?": "?",
    "+/.": "—",
    "+//.": "—",
    "+.": "—",
}
_CODED = re.compile(r"&[-+~=*]|\[[/:*+=!?]|\[[xX<>]|[↫≠\x15]|\+(?:\.\.|/|\"|\.)|\(\.+\)|\s[.?!]\s*$")
_MFA = re.compile(r"<(cutoff|hes)-([^<>]+)>")
_NOTE = re.compile(r"\[[^\[\]]*\]|<[^<>]*>|\{[^{}]*\}")
_MASKED = frozenset(("xxx", "yyy", "www", "<unk>", "[unk]", "[unintelligible]", "[inaudible]", "[crosstalk]"))
_EDGES = '.,;:!?"“”„«»…¿¡()'


@dataclass(frozen=True, slots=True)
class Target:
    """Both texts of one utterance, as bare words and as sentences, and what stands in it.

    Attributes:
        verbatim: Words said.
        fluent: Words meant.
        sentence: Words said as a sentence.
        fluent_sentence: Words meant as a sentence.
        words: Number of words said.
        masks: Kinds of masked stretches.
        events: Disfluencies by kind.
    """

    verbatim: str
    fluent: str
    sentence: str
    fluent_sentence: str
    words: int
    masks: tuple[str, ...]
    events: Mapping[str, int]


def is_coded(text: str) -> bool:
    """Whether a text of a TextGrid looks like a CHAT main tier."""
    return _CODED.search(text) is not None


def coded_target(main_tier: str) -> Target:
    """Return the target of a CHAT main tier.

    Fillers are ordinary words, repeats and fragments are written out (``b- b- ball``), pauses and events are not
    written. The final mark is ``.``, ``?``, ``!``, ``...`` or ``—``.
    """
    reading = read_main_tier(main_tier)
    said = [word.verbatim for word in reading.words]
    meant = [word.clean or "" for word in reading.words]
    return Target(
        verbatim=" ".join(said),
        fluent=" ".join(word for word in meant if word),
        sentence=_sentence(said, reading),
        fluent_sentence=_sentence(meant, reading),
        words=len(said),
        masks=tuple(mask.kind for mask in reading.masks),
        events=Counter(event.kind for event in reading.events),
    )


def _sentence(words: Sequence[str], reading: Reading) -> str:
    """Write words with the commas between them, a capital and a final mark; words that are empty were taken out."""
    commas = set(reading.commas)
    written: list[str] = []
    for position, word in enumerate(words):
        if position in commas and written and written[-1][-1] not in ",-":
            written[-1] += ","
        if word:
            written.append(word)
    if not written:
        return ""
    written[-1] = written[-1].rstrip(",")
    mark = _MARKS.get(reading.terminator, ".")
    text = " ".join(written)
    return text[:1].upper() + text[1:] + ("" if text.endswith("-") and mark == "—" else mark)


def plain_target(text: str, language: str) -> Target:
    """Return the target of a text without codes.

    The text stays as it is written, but for notes in brackets (``[laughter]``), which are dropped, and the brackets of
    the Montreal Forced Aligner (``<cutoff-ball>`` is ``ball-``). Fillers and fragments are told by their spelling; the
    fluent text leaves them out.
    """
    masks: list[str] = []
    said: list[str] = []
    for piece in _pieces(text):
        if piece.lower().strip(_EDGES) in _MASKED or piece.lower() in _MASKED:
            masks.append("xxx")
        elif any(map(str.isalnum, piece)):
            said.append(piece)
        elif said and piece in (".", "?", "!", ",", "..."):
            said[-1] += piece
    kinds = [_spelt_kind(word, language) for word in said]
    meant = [word for word, kind in zip(said, kinds, strict=True) if not kind]
    return Target(
        verbatim=" ".join(said),
        fluent=" ".join(meant),
        sentence=" ".join(said),
        fluent_sentence=" ".join(meant),
        words=len(said),
        masks=tuple(masks),
        events=Counter(kind for kind in kinds if kind),
    )


def _pieces(text: str) -> Iterable[str]:
    """Split a text at spaces, brackets resolved."""

    def resolved(match: re.Match[str]) -> str:
        whole = match[0]
        mfa = _MFA.fullmatch(whole)
        if mfa is not None:
            return mfa[2] + "-" if mfa[1] == "cutoff" else mfa[2]
        return f" {whole} " if whole.lower() in _MASKED else " "

    return _NOTE.sub(resolved, text).split()


def _spelt_kind(word: str, language: str) -> str:
    bare = word.strip(_EDGES)
    if len(bare) > 1 and bare.endswith("-"):
        return "fragment"
    return "filled_pause" if filler_class(bare.lower(), language) else ""
