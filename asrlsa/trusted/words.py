"""The words of a trusted transcript, each with its place on a main tier, and how a recogniser would write them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from asrlsa.chat.lexer import lex
from asrlsa.chat.words import spoken
from asrlsa.types import Transcript

_SIGNED = frozenset(("filled_pause", "fragment", "nonword"))
_ENDS = {".": ".", "?": "?", "!": "!", "+...": "...", "+..?": "?", "+//?": "?", "+/?": "?", "+!?": "?"}
_NOT_KEY = re.compile(r"[^\w']|_")

Block = tuple[str, ...]
"""Words that are inserted at one place, as a verbatim recogniser writes them: ``um``, ``b-``, ``the``."""


@dataclass(frozen=True, slots=True)
class TrustedWord:
    """One token of a main tier that was spoken, or a word that is inserted.

    Attributes:
        utterance: Number of its utterance in the transcript, from 0.
        token: Number of its token on the main tier (``asrlsa.chat.lexer.lex``), from 0; None for a word that the
            transcript does not have.
        text: What was said, several words for some tokens (``ice cream``); a word broken off ends in a hyphen.
        opens: It is the first of its utterance or window: a recogniser writes it with a capital.
        mark: The mark that a recogniser would write after it: a comma, the end of the utterance, or nothing.
    """

    utterance: int
    token: int | None
    text: str
    opens: bool = False
    mark: str = ""

    @property
    def key(self) -> str:
        """The word for comparison."""
        return word_key(self.text)


def word_key(text: str) -> str:
    """Return a word in small letters without marks; a hyphen that breaks it off stays."""
    bare = text.rstrip(".,?!…\"'")
    return _NOT_KEY.sub("", bare.casefold()) + ("-" if bare.endswith("-") else "")


def trusted_words(transcript: Transcript) -> tuple[list[TrustedWord], list[int]]:
    """Return every word of a transcript in order, and the gaps that hold something untranscribed.

    Gap ``g`` stands before word ``g``. What a transcript has of fillers, fragments and retraces is trusted too.
    """
    words: list[TrustedWord] = []
    masks: list[int] = []
    for number, utterance in enumerate(transcript.utterances):
        first = len(words)
        for place, (kind, text, _) in enumerate(lex(utterance.text)):
            said = len(words) > first
            if kind == "mask":
                masks.append(len(words))
            elif kind == "separator" and text == "," and said:
                words[-1] = replace(words[-1], mark=",")
            elif kind == "terminator" and said:
                words[-1] = replace(words[-1], mark=_ENDS.get(text, ""))
            elif (kind == "word" or kind in _SIGNED) and (heard := _heard(kind, text)):
                words.append(TrustedWord(number, place, heard, opens=not said))
    return words, masks


def _heard(kind: str, text: str) -> str:
    """Return what a token says as a recogniser writes it: ``LED`` for ``L_E_D``, ``fr-`` for ``&+fr``."""
    said = spoken(text if kind == "word" else text.lstrip("&").lstrip("-+~"))
    heard = [*said.before, *said.heard, *said.after]
    if kind == "fragment":
        heard = [word.rstrip("-") + "-" for word in heard]
    letters = len(heard) > 1 and all(len(word) == 1 for word in heard)
    return ("" if letters else " ").join(heard)


def written(words: Sequence[TrustedWord]) -> list[str]:
    """Write words as a recogniser writes them: with capitals and marks."""
    return [(word.text[:1].upper() + word.text[1:] if word.opens else word.text) + word.mark for word in words]


def with_block(
    words: Sequence[TrustedWord],
    place: int,
    block: Block,
    *,
    before: str = "",
    after: str = "",
) -> list[TrustedWord]:
    """Return the words with a block put in before word ``place``.

    Args:
        words: Consecutive words, inserted ones among them.
        place: 0 to ``len(words)``.
        block: What is inserted; it belongs to the utterance of the word that follows, at the end to the last one.
        before: Mark after the word before, where none stands.
        after: Mark after the block, where a word follows.
    """
    head, tail = list(words[:place]), list(words[place:])
    opens = tail[0].opens if tail else bool(head) and head[-1].mark not in ("", ",")
    number = (tail[0] if tail else head[-1]).utterance
    put = [TrustedWord(number, None, text) for text in block]
    put[0] = replace(put[0], opens=opens)
    if after and tail:
        put[-1] = replace(put[-1], mark=after)
    if tail and opens:
        tail[0] = replace(tail[0], opens=False)
    if before and head and not head[-1].mark:
        head[-1] = replace(head[-1], mark=before)
    return [*head, *put, *tail]


def copies_first(words: Sequence[TrustedWord]) -> list[TrustedWord]:
    """Let the last of two copies be the trusted one: what is said again is what was meant.

    Where inserted words hold a copy of the trusted words before them (``I | um I | went``), the first copy becomes the
    inserted one (``| I um | I went``).
    """
    found = list(words)
    last = len(found)
    while last:
        first = last
        while first and found[first - 1].token is None:
            first -= 1
        if first < last:
            _swap_copy(found, first, last)
        last = max(0, min(first, last) - 1)
    return found


def _swap_copy(words: list[TrustedWord], first: int, last: int) -> None:
    """Swap the trusted words that stand before ``first:last`` with the last copy of them among those inserted ones."""
    for size in range(last - first, 0, -1):
        ours = words[max(0, first - size) : first]
        if len(ours) < size or any(w.token is None or w.utterance != words[first].utterance for w in ours):
            continue
        for end in range(last, first + size - 1, -1):
            theirs = words[end - size : end]
            if [w.key for w in ours] != [w.key for w in theirs]:
                continue
            for i, (our, their) in enumerate(zip(ours, theirs, strict=True)):
                words[first - size + i] = replace(our, token=None)
                words[end - size + i] = replace(their, token=our.token, text=our.text)
            return
