"""A recogniser led along a given text: what it would have written, how well the text fits, when each word was said.

CTranslate2's decoder takes no constraint from outside. It can be led along a text all the same: `LedRecogniser.expect`
gives the probabilities of all tokens at each place of the text, `LedRecogniser.force` those of the text itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from asrlsa.speech.decode import MAX_FRAMES, MAX_LENGTH, Encoded, Recogniser, token_begins
from asrlsa.speech.near_misses import on_cpu
from asrlsa.types import Word

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TEXTS_AT_ONCE = 8  # texts forced onto one window together on a GPU
MARKS = ",.?!…"
LEAST = 1e-10  # probabilities are not taken for smaller


@dataclass(frozen=True, slots=True)
class Forced:
    """A given text as the model hears it in a window.

    Attributes:
        words: The words as they were given, with times in ms relative to the window's audio; the confidence is the mean
            probability (geometric) of a word's tokens.
        log_probability: Natural logarithm of the probability of the whole text.
    """

    words: tuple[Word, ...]
    log_probability: float


@dataclass(frozen=True, slots=True)
class Expected:
    """What the model would write at each place of a text that it was led along.

    Attributes:
        logs: Natural logarithms of token probabilities, shape (words + 1, tokens of the vocabulary): row ``i`` is for
            the first token of word ``i``, the last row for what follows the text.
        first_token: Gives the first token of a word, of a mark, or with an empty text of the end.
    """

    logs: NDArray[np.float32]
    first_token: Callable[[str], int]

    def log_probability(self, place: int, text: str) -> float:
        """Return how probable it is that the model writes ``text`` before word ``place``, by its first token."""
        return float(self.logs[place, self.first_token(text)])


class LedRecogniser(Recogniser):
    """A `Recogniser` that can also be led."""

    def expect(
        self, encoded: Encoded, words: Sequence[str], *, language: str, prompt: str | None = None
    ) -> Expected | None:
        """Follow a given text through one window and say what the model would write at each place of it.

        Args:
            encoded: What `encode` gave for the window.
            words: The text, punctuation attached.
            language: ISO 639-1 code.
            prompt: Text in the style of the words, or None.

        Returns:
            What it expects, or None for a text that is longer than half of the decoder's context.
        """
        import numpy as np

        start = self._prompt(language, prompt, timestamps=False)
        rows = [self._encoded(language, word) for word in words]
        row = [*start, *(token for tokens in rows for token in tokens)]
        steps = len(row) - len(start) + 1
        # CTranslate2 makes no more steps than half of the length it is given.
        length = max(2 * steps, len(start) + steps)
        if length > MAX_LENGTH:
            return None
        # CTranslate2 follows what stands behind the start sequence token by token and gives each step's logits.
        result = self._whisper.generate(
            encoded.view(),
            [row],
            beam_size=1,
            max_length=length,
            return_logits_vocab=True,
            suppress_blank=False,
            suppress_tokens=[],
            sampling_temperature=0.0,
        )[0]
        logits = result.logits[0]
        edges = np.cumsum([0, *(len(tokens) for tokens in rows)])
        places = np.stack([on_cpu(logits[edge]) for edge in edges])
        places -= places.max(axis=1, keepdims=True)
        places -= np.log(np.exp(places).sum(axis=1, keepdims=True))
        return Expected(places, self._first_tokens(language))

    def _first_tokens(self, language: str) -> Callable[[str], int]:
        def first(text: str) -> int:
            tokens = self._words_of(language).encode(text) if text in MARKS else self._encoded(language, text)
            return int(tokens[0]) if tokens else self._text_end

        return first

    def force(
        self,
        encoded: Encoded,
        texts: Sequence[Sequence[str]],
        duration: int,
        *,
        language: str,
        prompt: str | None = None,
        times: bool = True,
    ) -> list[Forced]:
        """Say how well each of several texts fits one window, and when each of its words was said.

        One pass of the decoder a text, which writes nothing: every token's probability given the audio and the tokens
        before it. The difference between two texts is the logarithm of their likelihood ratio.

        Args:
            encoded: What `encode` gave for the window.
            texts: Each a sequence of written words, punctuation attached.
            duration: Length of the window's audio in ms.
            language: ISO 639-1 code.
            prompt: Text in the style that the texts are written in, or None.
            times: Give times too; without them it takes half as long.

        Returns:
            One ``Forced`` a text. A text longer than the decoder's context comes back without times and with a
            logarithm of minus infinity.
        """
        start = self._prompt(language, prompt, timestamps=True)  # `align` adds the token for "no timestamps" itself
        rows = [[self._encoded(language, word) for word in words] for words in texts]
        room = MAX_LENGTH - len(start) - 2
        fitting = [n for n, row in enumerate(rows) if row and sum(map(len, row)) <= room]
        frames = max(1, min(MAX_FRAMES, duration // 10)) if times else 2
        found = [Forced(tuple(Word(w) for w in t), -math.inf if t else 0.0) for t in texts]
        together = 1 if self.device == "cpu" else TEXTS_AT_ONCE  # on a CPU no faster together
        for first in range(0, len(fitting), together):
            picked = fitting[first : first + together]
            flat = [[token for word in rows[n] for token in word] for n in picked]
            view = encoded.take([0] * len(picked)).view()
            for n, result in zip(picked, self._whisper.align(view, start, flat, [frames] * len(picked)), strict=True):
                spoken = [len(self._encoded(language, text.rstrip(MARKS))) for text in texts[n]]
                forced = _forced(texts[n], [len(word) for word in rows[n]], spoken, result)
                found[n] = forced if times else replace(forced, words=found[n].words)
        return found


def _forced(texts: Sequence[str], lengths: Sequence[int], spoken: Sequence[int], result: Any) -> Forced:
    """Sum up an alignment by words: ``lengths`` counts the tokens of each word, ``spoken`` those before its marks."""
    import numpy as np

    begins = token_begins(result)
    logs = np.log(np.maximum(np.asarray(result.text_token_probs, dtype=np.float64), LEAST))
    words: list[Word] = []
    at = 0
    for text, length, heard in zip(texts, lengths, spoken, strict=True):
        start, end = (int(begins[min(token, len(begins) - 1)]) for token in (at, at + min(heard, length)))
        words.append(Word(text, start, end, float(np.exp(logs[at : at + length].mean()))))
        at += length
    return Forced(tuple(words), float(logs.sum()))
