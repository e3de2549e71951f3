"""Whisper on CTranslate2, set to keep what speakers really say.

What deletes disfluencies in other tools, and what is done here instead: no n-gram ban and no repetition penalty, no
temperature ladder (hesitant speech falls under its thresholds and is sampled again into fluent text), no text carried
over from the window before, and a short prompt full of fillers in front of every window, not of the first one only.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from asrlsa.compute_types import usual_device
from asrlsa.errors import ModelError
from asrlsa.speech.near_misses import NearMisses
from asrlsa.types import Word

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from asrlsa.models import Model

TOKENS_PER_SECOND = 50  # encoder positions: 16 kHz / hop 160 / stride 2
FRAMES_PER_SECOND = 100  # mel frames
MAX_FRAMES = 30 * FRAMES_PER_SECOND  # the encoder's full context
SHORT_FRAMES = 10 * FRAMES_PER_SECOND  # windows up to this length …
SHORT_CONTEXT = 15 * FRAMES_PER_SECOND  # … are padded to this one only
SILENCE_FRAMES = 5 * FRAMES_PER_SECOND  # what windows that are to be short get behind their speech
MAX_LENGTH = 448  # decoder positions of every Whisper
SPACELESS = frozenset({"zh", "ja", "th", "lo", "my", "yue"})  # written without spaces: every token group is a word
LOGITS_AT_ONCE = 4  # windows that are searched together where all logits are kept: 0.2 MB a token each
MAX_PROMPT = 200  # prompt tokens; leaves room for the longest 30 s of speech


@dataclass(frozen=True, slots=True)
class DecodingOptions:
    """Settings of the search.

    Attributes:
        beam_size: 1 is greedy search.
        patience: Beam search patience (arXiv 2204.05424).
        length_penalty: Exponential penalty on length in beam search.
        repetition_penalty: 1 leaves repeated words alone; more deletes repetitions that were spoken.
        no_repeat_ngram_size: 0 leaves them alone; a model card may ask for more.
        suppress_tokens: Token ids that are never written; -1 stands for the model's own list.
        max_tokens_per_second: A window may hold this many text tokens a second of audio; a loop stops there.
        max_length: Decoder positions, prompt included; 448 in every Whisper.
        timestamps: Let the model write its timestamp tokens (they are not used).
        max_initial_timestamp_index: Latest first timestamp, in steps of 20 ms.
        least_fragment_confidence: Fragments of less confidence than this are not written.
        filler_margin: Greedy search writes a filler where its token is more probable than all fillers together by a
            factor of at most e to this power; below 0 it is left alone. See `asrlsa.speech.near_misses`.
        filler_lead: It writes a filler only where all fillers together are more probable than the words that sound like
            one, by a factor of e to this power; below 0 it is left alone.
        repetition_margin: As ``filler_margin``, for the last word or two once more; 0 leaves the search alone.
    """

    beam_size: int = 1
    patience: float = 1.0
    length_penalty: float = 1.0
    repetition_penalty: float = 1.0
    no_repeat_ngram_size: int = 0
    suppress_tokens: tuple[int, ...] = (-1,)
    max_tokens_per_second: float = 12.0
    max_length: int = MAX_LENGTH
    timestamps: bool = False
    max_initial_timestamp_index: int = 50
    least_fragment_confidence: float = 0.0
    filler_margin: float = -1.0
    filler_lead: float = -1.0
    repetition_margin: float = 0.0


@dataclass(frozen=True, slots=True)
class Decoded:
    """What the recogniser wrote for one window.

    Attributes:
        words: Words with times in ms relative to the window's audio, punctuation attached, in order.
        average_log_probability: Mean natural logarithm of the token probabilities.
        no_speech_probability: Probability of Whisper's no-speech token.
        truncated: The text ran to its maximum length without an end.
        pieces: For each word what the model wrote it from, each piece with its own time: one piece for most words, the
            parts between hyphens for ``b-b-ball``. Empty where the words are all that is known.
    """

    words: tuple[Word, ...]
    average_log_probability: float
    no_speech_probability: float
    truncated: bool
    pieces: tuple[tuple[Word, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Encoded:
    """Encoder outputs of a batch.

    Attributes:
        rows: One array of shape (T, D) a window; T is 1500 positions of 20 ms, fewer for short windows.
    """

    rows: tuple[NDArray[Any], ...]

    @property
    def size(self) -> int:
        """Number of windows."""
        return len(self.rows)

    def take(self, rows: Sequence[int]) -> Encoded:
        """Return the given windows of the batch."""
        return Encoded(tuple(self.rows[i] for i in rows))

    def view(self) -> Any:
        """Return a CTranslate2 view of shape (B, T, D); the windows must have one length."""
        import ctranslate2
        import numpy as np

        return ctranslate2.StorageView.from_array(np.stack(self.rows))


class Recogniser:
    """One loaded model. ``encode`` and ``decode`` may run in two threads at once; ``features`` in any thread.

    On a CPU with two cores or more each of the two gets half of the cores: writing one token is too little work to
    share, and the encoder's work on the next windows fills the other half. Both use the same weights in memory.
    """

    def __init__(
        self,
        model: Model,
        *,
        device: str = "auto",
        compute_type: str = "default",
        threads: int = 0,
        side_by_side: bool = True,
        window_ms: int = 0,
    ) -> None:
        """Load the model.

        Args:
            model: What ``resolve_model`` found.
            device: ``auto``, ``cpu`` or ``cuda``.
            compute_type: CTranslate2's ``int8``, ``float16``, …; ``default`` is int8 on CPU and float16 on GPU, or what
                the model's card says that it is stored in, where the device has it.
            threads: CPU threads; 0 takes the physical cores that this process may use, at most 8.
            side_by_side: Share the cores between ``encode`` and ``decode``; False gives every call all of them, for
                one window at a time.
            window_ms: The longest window that will come, where it is to be shorter than Whisper's 30 s: the encoder's
                input is then at most 5 s longer, which needs less memory.

        Raises:
            ModelError: The device or compute type can't be used here, or the model is damaged.
        """
        self.model = model
        self.device = _device(device)
        self.compute_type = _compute_type(compute_type, self.device, model.card.compute_type if model.card else "")
        self._cores = threads or available_cores()
        self._halves = 2 if side_by_side and self.device == "cpu" and self._cores > 1 else 1
        self._whisper: Any = None
        self._tokenizer: Any = None
        self._languages: dict[str, Any] = {}
        self._looks: dict[tuple[str, float, float, float], NearMisses] = {}
        self._contexts = model.card.context_seconds if model.card is not None else ()
        self._short: tuple[tuple[int, int], ...] = ((SHORT_FRAMES, SHORT_CONTEXT),)
        if window_ms:
            longest = window_ms * FRAMES_PER_SECOND // 1000
            self._short = (*self._short, (longest, min(MAX_FRAMES, longest + SILENCE_FRAMES)))
        self.restore()
        whisper: Any = self._whisper
        self._extractor = _extractor(whisper.n_mels)

    @property
    def multilingual(self) -> bool:
        """Whether the model knows other languages than English."""
        return bool(self._whisper.is_multilingual)

    def release(self) -> None:
        """Let go of weights and tokenizer until `restore`; nothing may be running, and nothing is known meanwhile."""
        self._whisper = self._tokenizer = None
        self._languages.clear()
        self._looks.clear()

    def restore(self) -> None:
        """Load the model again where `release` has let go of it.

        Raises:
            ModelError: It is damaged now, or memory ran out.
        """
        import ctranslate2
        import tokenizers

        if self._whisper is not None:
            return
        try:
            self._whisper = ctranslate2.models.Whisper(
                str(self.model.directory),
                device=self.device,
                compute_type=self.compute_type,
                inter_threads=self._halves,
                intra_threads=max(1, self._cores // self._halves),
            )
            self._tokenizer = tokenizers.Tokenizer.from_file(str(self.model.directory / "tokenizer.json"))
        except (RuntimeError, ValueError, OSError) as error:
            raise ModelError(
                f"model {self.model.name!r} can't be loaded on {self.device} as {self.compute_type}: {error}"
            ) from error

    def features(self, audio: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the log-mel features of up to 30 s of audio (samples,), padded with silence.

        The shape is (n_mels, 3000). Windows of up to 10 s become 15 s, which halves the work: stock models read that as
        well (docs/log.md), but need silence after the speech. A model whose card says what input lengths it was trained
        for gets those. What `window_ms` says goes for windows up to it.
        """
        import numpy as np
        from faster_whisper.audio import pad_or_trim

        mel = self._extractor(audio)[..., :MAX_FRAMES]
        fits = (round(s * FRAMES_PER_SECOND) for s in self._contexts)
        length = next((frames for frames in fits if frames >= mel.shape[-1]), MAX_FRAMES)
        if not self._contexts:
            length = next((padded for upto, padded in self._short if mel.shape[-1] <= upto), length)
        return np.ascontiguousarray(pad_or_trim(mel, length), dtype=np.float32)

    def encode(self, features: Sequence[NDArray[np.float32]]) -> Encoded:
        """Run the encoder over a batch of features, each (n_mels, frames).

        On a CPU each window by itself: that is as fast as all together and needs less memory. On a GPU all together,
        shorter ones padded to the longest.
        """
        import ctranslate2
        import numpy as np
        from faster_whisper.audio import pad_or_trim

        def run(rows: Sequence[NDArray[np.float32]]) -> NDArray[Any]:
            view = ctranslate2.StorageView.from_array(np.stack(rows))
            output = self._whisper.encode(view, to_cpu=True)
            return np.array(output.to(ctranslate2.DataType.float32))

        if self.device == "cpu":
            return Encoded(tuple(run([row])[0] for row in features))
        longest = max(f.shape[-1] for f in features)
        return Encoded(tuple(run([pad_or_trim(f, longest) for f in features])))

    def languages(self, encoded: Encoded) -> list[dict[str, float]]:
        """Return, for each window, the probability of each language (ISO 639-1)."""
        found = [self._whisper.detect_language(encoded.take([i]).view())[0] for i in range(encoded.size)]
        return [{token[2:-2]: float(p) for token, p in row} for row in found]

    def decode(
        self,
        encoded: Encoded,
        durations: Sequence[int],
        *,
        language: Sequence[str],
        prompt: Sequence[str | None],
        options: DecodingOptions,
        ban_ngrams: int = 0,
        prefix: Sequence[str] | None = None,
    ) -> list[Decoded]:
        """Decode a batch of windows.

        Args:
            encoded: What ``encode`` gave for the batch.
            durations: Length of each window's audio in ms.
            language: ISO 639-1 code for each window.
            prompt: Text in the style that the model shall write, for each window, or None.
            options: Settings of the search.
            ban_ngrams: Size of n-grams that may not come twice; only for a window that has looped.
            prefix: Text that each window is known to begin with; the decoder goes on from there. The words of the
                result begin with it.

        Returns:
            One ``Decoded`` a window, in the same order.
        """
        rows = [self._prompt(lang, text, options.timestamps) for lang, text in zip(language, prompt, strict=True)]
        known: list[list[int]] = [[] for _ in rows]
        if prefix is not None:
            known = [self._encoded(lang, text) for lang, text in zip(language, prefix, strict=True)]
            rows = [[*row, *begin] for row, begin in zip(rows, known, strict=True)]
        budget = max(int(d / 1000 * options.max_tokens_per_second) + 16 for d in durations)
        length = min(options.max_length, max(len(row) for row in rows) + budget)
        # CTranslate2 wants prompts and inputs of one length in a batch; windows differ in language and length.
        by_shape: dict[tuple[int, int], list[int]] = {}
        for i, row in enumerate(rows):
            by_shape.setdefault((len(row), len(encoded.rows[i])), []).append(i)
        results: list[Any] = [None] * len(rows)
        looks = options.filler_margin >= 0 or options.filler_lead >= 0 or options.repetition_margin > 0
        looks = looks and options.beam_size == 1 and not ban_ngrams

        def search(picked: Sequence[int], starts: Sequence[list[int]], blank: bool) -> list[Any]:
            generated: list[Any] = self._whisper.generate(
                encoded.take(picked).view(),
                starts,
                beam_size=options.beam_size,
                patience=options.patience,
                length_penalty=options.length_penalty,
                max_length=length,
                no_repeat_ngram_size=ban_ngrams or options.no_repeat_ngram_size,
                repetition_penalty=options.repetition_penalty,
                max_initial_timestamp_index=options.max_initial_timestamp_index,
                suppress_blank=blank,
                suppress_tokens=list(options.suppress_tokens),
                sampling_temperature=0.0,
                return_scores=True,
                return_logits_vocab=looks,
                return_no_speech_prob=True,
            )
            return generated

        def again(i: int, head: list[int], text: list[int]) -> Any:
            return search([i], [[*head, *text]], False)[0]

        for picked in _grouped(by_shape.values(), LOGITS_AT_ONCE if looks else len(rows)):
            # Nothing blank may follow what is known.
            for i, result in zip(picked, search(picked, [rows[i] for i in picked], prefix is None), strict=True):
                results[i] = result
                if looks:
                    head = rows[i][: len(rows[i]) - len(known[i])]
                    go = partial(again, i, head)
                    results[i] = self._near_misses(language[i], options).followed(result, len(known[i]), go)
        tokens = [[t for t in r.sequences_ids[0] if t < self._text_end] for r in results]  # the prefix included
        words = self._align(encoded, tokens, durations, language)
        return [
            Decoded(
                words=tuple(word for word, _ in w),
                average_log_probability=float(r.scores[0]) if r.scores else 0.0,
                no_speech_probability=float(r.no_speech_prob),
                truncated=len(row) - len(begin) + len(r.sequences_ids[0]) >= length,
                pieces=tuple(pieces for _, pieces in w),
            )
            for row, begin, r, w in zip(rows, known, results, words, strict=True)
        ]

    def _near_misses(self, language: str, options: DecodingOptions) -> NearMisses:
        key = language, options.filler_margin, options.filler_lead, options.repetition_margin
        if key not in self._looks:
            self._looks[key] = NearMisses(
                self._tokenizer,
                self._text_end,
                language,
                filler=options.filler_margin,
                lead=options.filler_lead,
                repetition=options.repetition_margin,
            )
        return self._looks[key]

    @property
    def _text_end(self) -> int:
        """Id of the first token that is not text."""
        return int(self._tokenizer.token_to_id("<|endoftext|>"))

    def _words_of(self, language: str) -> Any:
        """Return faster-whisper's tokenizer for a language; it knows how tokens join to words."""
        from faster_whisper.tokenizer import Tokenizer

        if language not in self._languages:
            try:
                self._languages[language] = Tokenizer(
                    self._tokenizer, self.multilingual, task="transcribe", language=language
                )
            except ValueError as error:
                raise ModelError(f"model {self.model.name!r} does not know the language {language!r}") from error
        return self._languages[language]

    def _prompt(self, language: str, text: str | None, timestamps: bool) -> list[int]:
        tokenizer = self._words_of(language)
        row: list[int] = []
        if text:
            row = [tokenizer.sot_prev, *tokenizer.encode(" " + text.strip())[:MAX_PROMPT]]
        row += tokenizer.sot_sequence
        return row if timestamps else [*row, tokenizer.no_timestamps]

    def _encoded(self, language: str, text: str) -> list[int]:
        """Return the tokens of a text as they follow on other text."""
        if not text:
            return []
        space = "" if language in SPACELESS else " "
        tokens: list[int] = self._words_of(language).encode(space + text)
        return tokens

    def _align(
        self, encoded: Encoded, tokens: list[list[int]], durations: Sequence[int], language: Sequence[str]
    ) -> list[list[tuple[Word, tuple[Word, ...]]]]:
        """Give every word and its pieces their times, by dynamic time warping over the cross-attention."""
        words: list[list[tuple[Word, tuple[Word, ...]]]] = [[] for _ in tokens]
        by_language: dict[str, list[int]] = {}
        for i, code in enumerate(language):
            if tokens[i]:
                by_language.setdefault(code, []).append(i)
        # One window at a time on a CPU: all attention weights of all tokens are held at once.
        groups = list(by_language.items())
        if self.device == "cpu":
            groups = [(code, [i]) for code, indices in groups for i in indices]

        for code, indices in groups:
            tokenizer = self._words_of(code)
            rows = [tokens[i] for i in indices]
            frames = [max(1, min(MAX_FRAMES, durations[i] // 10)) for i in indices]
            results = self._whisper.align(encoded.take(indices).view(), tokenizer.sot_sequence, rows, frames)
            for i, row, result in zip(indices, rows, results, strict=True):
                words[i] = _timed_words(tokenizer, row, result)
        return words


def _grouped(groups: Iterable[Sequence[int]], most: int) -> Iterator[Sequence[int]]:
    """Cut groups into such of at most ``most``."""
    for group in groups:
        for at in range(0, len(group), most):
            yield group[at : at + most]


def token_begins(result: Any) -> NDArray[np.int64]:
    """Return the ms at which each token, and the end of the text, begins in one of CTranslate2's alignments."""
    import numpy as np

    pairs = np.asarray(result.alignments, dtype=np.int64).reshape(-1, 2)
    token_index, position = pairs[:, 0], pairs[:, 1]
    jumps = np.pad(np.diff(token_index), (1, 0), constant_values=1).astype(bool)
    begins: NDArray[np.int64] = position[jumps] * 1000 // TOKENS_PER_SECOND
    return begins


def _timed_words(tokenizer: Any, tokens: list[int], result: Any) -> list[tuple[Word, tuple[Word, ...]]]:
    """Join tokens to words, each with its pieces; a piece begins where its first token's attention begins."""
    import numpy as np

    if not tokens:
        return []
    begins = token_begins(result)
    texts, groups = tokenizer.split_to_word_tokens([*tokens, tokenizer.eot])
    probabilities = np.asarray(result.text_token_probs, dtype=np.float64)
    words: list[tuple[Word, tuple[Word, ...]]] = []
    at = 0
    for text, group in zip(texts[:-1], groups[:-1], strict=False):
        first, last = at, at + len(group)
        at = last
        start, end = int(begins[min(first, len(begins) - 1)]), int(begins[min(last, len(begins) - 1)])
        confidence = float(np.exp(np.mean(np.log(np.maximum(probabilities[first:last], 1e-10)))))
        spoken = any(c.isalnum() for c in text)
        glued = bool(words) and not text.startswith(" ") and (not spoken or tokenizer.language_code not in SPACELESS)
        if glued:
            before, pieces = words[-1]
            text = before.text + text.strip()
            if spoken:
                piece = Word(text[len(before.text) :], start, end, confidence)
                joined = Word(text, before.start, end, min(before.confidence or 0.0, confidence))
                words[-1] = joined, (*pieces, piece)
            else:  # punctuation belongs to the word before it and has no time of its own
                words[-1] = Word(text, before.start, before.end, before.confidence), pieces
        elif spoken:
            word = Word(text.strip(), start, end, confidence)
            words.append((word, (word,)))
        elif words and text.strip()[0] in ".,?!…":
            before, pieces = words[-1]
            words[-1] = Word(before.text + text.strip(), before.start, before.end, before.confidence), pieces
    return words


def available_cores() -> int:
    """Return how many physical cores this process may use, at most 8: more make one recording no faster."""
    import psutil

    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    return max(1, min(psutil.cpu_count(logical=False) or usable, usable, 8))


def _extractor(mels: int) -> Any:
    from faster_whisper.feature_extractor import FeatureExtractor

    return FeatureExtractor(feature_size=mels)


def _device(device: str) -> str:
    if device == "auto":
        return usual_device()
    if device == "cuda" and usual_device() != "cuda":
        raise ModelError("no CUDA device was found: use --device cpu, or check the driver with nvidia-smi")
    return device


def _compute_type(compute_type: str, device: str, stored: str) -> str:
    """Settle the type to compute in: what is asked for, else what the model is stored in, else the device's usual."""
    import ctranslate2

    supported = ctranslate2.get_supported_compute_types(device)
    if compute_type == "default":
        usual = "int8" if device == "cpu" else "float16"
        return stored if stored in supported else usual
    if compute_type not in supported:
        raise ModelError(
            f"compute type {compute_type!r} does not run on this {device}; it can do {', '.join(sorted(supported))}"
        )
    return compute_type
