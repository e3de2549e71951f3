"""Fillers and repeated words that a greedy search passes over by a little, and fillers that it takes by too little.

Whisper's decoder was trained on text from which disfluencies had been taken, so it leans against them; and what it
believes of a filled pause it spreads over spellings (*um*, *uh*, *Um*, *Uh*), each of which loses against a word that
all of them together would beat. So the fillers are taken together here, and may be a little less probable than the
token that the search took: where they are, the search goes on from the filler. The same goes for the last word or two,
once more.

A model that has learnt to write fillers takes reduced words for one, above all when they are said again: of *I I'm*,
*a a process*, *oh then* it makes *uh I'm*, *a uh process*, *uh then*, and a repetition is lost besides. Where that
happens it half believes in the word. So a filler must be ahead of the words that sound like one; where it is not, the
search goes on from the word.

How much a little is, the model card says (``decoding.filler_margin``, ``decoding.filler_lead``,
``decoding.repetition_margin``); those of the adapters that come with asrlsa were chosen on dev data
(docs/verbatim-model.md).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Row = NDArray[np.float32]

SPELLINGS: Final[Mapping[str, tuple[str, ...]]] = {
    "en": (" um", " uh", " Um", " Uh"),
    "es": (" eh", " Eh", " um", " Um"),
}
"""ISO 639-1 code to fillers that are one token in the vocabulary of a Whisper model and begin hardly any other word."""
SOUND_ALIKES: Final[Mapping[str, tuple[str, ...]]] = {
    "en": (" I", " a", " an", " and", " are", " of", " oh", " or", " A", " An", " And", " Are", " Of", " Oh", " Or"),
}
"""The same to words that may be no more than a filler's vowel when they are said quickly."""
LONGEST: Final = 2  # words that may be missed when they are said again
MOST: Final = 8  # places of a window at which the search goes on from something else

Go = Callable[[list[int]], Any]
"""Lets the search go on from a text, given as tokens; returns CTranslate2's result, with logits."""


@dataclass(frozen=True, slots=True)
class NearMiss:
    """What the search shall go on from.

    Attributes:
        place: How many of the tokens that it wrote come before.
        token: What comes next.
    """

    place: int
    token: int


class NearMisses:
    """Looks for what a search has passed over by a little."""

    def __init__(
        self, tokenizer: Any, text_end: int, language: str, *, filler: float, lead: float, repetition: float
    ) -> None:
        """Prepare for a model's vocabulary.

        Args:
            tokenizer: A `tokenizers.Tokenizer`.
            text_end: Id of the first token that is not text.
            language: ISO 639-1 code; in one that `SPELLINGS` lacks, no filler is missed.
            filler: Natural logarithm of the ratio by which a token may be more probable than all fillers together
                and still give way to one; below 0 none does.
            lead: Natural logarithm of the ratio by which all fillers together must be more probable than all of
                `SOUND_ALIKES` for one to be written; below 0 they need not.
            repetition: The same for the last word or two once more; 0 lets none give way.
        """
        self._tokenizer, self._text_end = tokenizer, text_end
        self._fillers = self._single(SPELLINGS.get(language, ()))
        self._alike = self._single(SOUND_ALIKES.get(language, ())) if lead >= 0 else []
        self._filler, self._lead, self._repetition = filler, lead, repetition

    def _single(self, texts: Sequence[str]) -> list[int]:
        """Return the ids of those texts that are one token."""
        rows = [self._tokenizer.encode(text, add_special_tokens=False).ids for text in texts]
        return [row[0] for row in rows if len(row) == 1]

    def followed(self, result: Any, since: int, go: Go) -> Any:
        """Return what the search finds when it goes on from every near miss, one after the other.

        Args:
            result: CTranslate2's result for one window, with logits.
            since: How many of its tokens are settled.
            go: Lets the search go on.
        """
        for _ in range(MOST):
            tokens, steps = list(result.sequences_ids[0]), result.logits[0]
            if len(steps) <= len(tokens):
                break  # no end: most likely a loop, and others see to that
            miss = self.first([*tokens, self._text_end], steps, since)
            if miss is None:
                break
            other = go([*tokens[: miss.place], miss.token])
            if len(other.logits[0]) > len(other.sequences_ids[0]):
                result = other
            since = miss.place + 1
        return result

    def first(self, tokens: Sequence[int], steps: Sequence[Any], since: int) -> NearMiss | None:
        """Return the first near miss at a place from ``since`` on; None where there is none.

        Args:
            tokens: What the search wrote in one window: the text, from its first token on, and its end.
            steps: CTranslate2's logits of each step; step i is the one that wrote token i.
            since: How many tokens are settled.
        """
        for place in range(since, len(tokens)):
            chosen = tokens[place]
            if not self._begins(chosen):
                continue
            row = on_cpu(steps[place])
            if chosen in self._fillers:
                token = self._missed_word(row)
            elif (token := self._missed_filler(tokens, place, row)) is None:
                token = self._missed_copy(tokens, place, row)
            if token is not None:
                return NearMiss(place, token)
        return None

    def _missed_word(self, row: Row) -> int | None:
        """Return the word that sounds like a filler and is as probable, or None where fillers are well ahead."""
        import numpy as np

        if not self._alike:
            return None
        words, fillers = row[self._alike], row[self._fillers]
        if np.logaddexp.reduce(fillers) >= np.logaddexp.reduce(words) + self._lead:
            return None
        return self._alike[int(words.argmax())]

    def _missed_filler(self, tokens: Sequence[int], place: int, row: Row) -> int | None:
        import numpy as np

        if not self._fillers or (place and tokens[place - 1] in self._fillers):
            return None  # two in a row are what the search wrote itself, or none
        each = row[self._fillers]
        # No word follows a filler at the end that could speak for it: there it must beat the end.
        margin = 0.0 if tokens[place] == self._text_end else self._filler
        if self._filler < 0 or np.logaddexp.reduce(each) < row[tokens[place]] - margin:
            return None
        if self._missed_word(row) is not None:
            return None
        return self._fillers[int(each.argmax())]

    def _missed_copy(self, tokens: Sequence[int], place: int, row: Row) -> int | None:
        if not self._repetition:
            return None
        begin = place
        for _ in range(LONGEST):
            if not begin:
                break
            begin = self._word_at(tokens, begin - 1)
            unit = list(tokens[begin:place])
            before = list(tokens[max(0, begin - len(unit)) : begin])
            if before == unit or unit[0] == tokens[place]:
                break  # said twice already, or about to be
            close = float(row[unit[0]]) >= float(row[tokens[place]]) - self._repetition
            if close and self._repeatable(unit):
                return unit[0]
        return None

    def _word_at(self, tokens: Sequence[int], place: int) -> int:
        """Return where the word begins that the token at ``place`` is part of."""
        while place and not self._begins(tokens[place]):
            place -= 1
        return place

    def _repeatable(self, unit: Sequence[int]) -> bool:
        """Say whether tokens are words without a mark, a filler, or a letter that is spelled."""
        words = self._tokenizer.decode(list(unit)).split()
        letters = all(word.replace("'", "").isalpha() and (len(word) > 1 or word == "I") for word in words)
        return letters and not set(unit) & set(self._fillers)

    def _begins(self, token: int) -> bool:
        """Say whether a token begins a word, is a mark, or ends the text."""
        if token >= self._text_end:
            return True
        text = self._tokenizer.id_to_token(token) or ""
        return text.startswith("Ġ") or not text.removeprefix("'")[:1].isalnum()


def on_cpu(view: Any) -> Row:
    """Return one step's logits as an array of shape (tokens of the vocabulary,)."""
    import ctranslate2
    import numpy as np

    if view.device == "cuda":
        view = view.to_device(ctranslate2.Device.cpu)
    return np.asarray(view.to(ctranslate2.DataType.float32), dtype=np.float32).reshape(-1)
