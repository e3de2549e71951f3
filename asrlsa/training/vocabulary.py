"""The tokens of a Whisper model, read from its ``tokenizer.json`` without torch or transformers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from asrlsa.errors import ModelError

TICK_MS = 20  # ms, the grid of timestamp tokens
TICKS = 1500  # the last timestamp token is <|30.00|>

_ENGLISH_EOT = 50256  # <|endoftext|> of GPT-2's vocabulary, on which the English-only models stand
_LANGUAGE = re.compile(r"<\|[a-z]{2,3}\|>")


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Ids of the special tokens, and text to ids and back.

    Attributes:
        directory: Where ``tokenizer.json`` was read.
        eot: ``<|endoftext|>``; every id below it is text.
        sot: ``<|startoftranscript|>``.
        sot_prev: ``<|startofprev|>``, before a prompt.
        transcribe: ``<|transcribe|>``.
        no_timestamps: ``<|notimestamps|>``.
        no_speech: ``<|nospeech|>`` (``<|nocaptions|>`` in OpenAI's own files).
        timestamp_begin: ``<|0.00|>``; 1,500 more follow, also where the file does not list them (tiny.en).
        multilingual: Whether the model was trained for more than English.
        languages: ISO 639-1 code to the id of its token; empty for an English-only model.
    """

    directory: Path
    eot: int
    sot: int
    sot_prev: int
    transcribe: int
    no_timestamps: int
    no_speech: int
    timestamp_begin: int
    multilingual: bool
    languages: dict[str, int] = field(repr=False, hash=False, compare=False)
    _tokenizer: Any = field(repr=False, hash=False, compare=False)

    @classmethod
    def of(cls, directory: str | Path) -> Vocabulary:
        """Read ``tokenizer.json`` in a model folder.

        Raises:
            ModelError: The file is missing, not a tokenizer, or not Whisper's.
        """
        from tokenizers import Tokenizer

        path = Path(directory) / "tokenizer.json"
        if not path.is_file():
            raise ModelError(f"{path}: no such file; a model folder for training needs its tokenizer.json")
        try:
            tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # tokenizers raises a bare Exception
            raise ModelError(f"{path}: is not a tokenizer ({error})") from None
        return cls._from(tokenizer, path)

    @classmethod
    def _from(cls, tokenizer: Any, path: Path) -> Vocabulary:
        def token(*names: str) -> int:
            for name in names:
                found = tokenizer.token_to_id(name)
                if found is not None:
                    return int(found)
            raise ModelError(f"{path}: has no token {names[0]}, so it is not Whisper's tokenizer")

        # English-only models list the language tokens too but never use them; their ids all lie one lower.
        english_only = token("<|endoftext|>") == _ENGLISH_EOT
        names = {} if english_only else tokenizer.get_vocab(with_added_tokens=True)
        languages = {n[2:-2]: int(i) for n, i in names.items() if _LANGUAGE.fullmatch(n)}
        no_timestamps = token("<|notimestamps|>")
        return cls(
            directory=path.parent,
            eot=token("<|endoftext|>"),
            sot=token("<|startoftranscript|>"),
            sot_prev=token("<|startofprev|>"),
            transcribe=token("<|transcribe|>"),
            no_timestamps=no_timestamps,
            no_speech=token("<|nospeech|>", "<|nocaptions|>"),
            timestamp_begin=no_timestamps + 1,
            multilingual=bool(languages),
            languages=languages,
            _tokenizer=tokenizer,
        )

    def language_token(self, language: str) -> int:
        """Return the token of an ISO 639-1 code.

        Raises:
            ModelError: The model is English-only, or does not know the language.
        """
        if language not in self.languages:
            known = "knows English only" if not self.multilingual else "does not know it"
            raise ModelError(f"language {language!r}: the model {known}; take a multilingual model")
        return self.languages[language]

    def start(self, language: str) -> tuple[int, ...]:
        """Return the tokens in front of every transcription in an ISO 639-1 language.

        Raises:
            ModelError: An English-only model gets another language, or the model does not know it.
        """
        if not self.multilingual:
            if language != "en":
                raise ModelError(f"language {language!r}: the model knows English only; take a multilingual model")
            return (self.sot,)
        return (self.sot, self.language_token(language), self.transcribe)

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text, without special tokens."""
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ids; special and timestamp tokens are left out."""
        return str(self._tokenizer.decode([i for i in ids if 0 <= i < self.eot]))

    def timestamp(self, tick: int) -> int:
        """Return the token of ``tick`` steps of 20 ms, 0 to 1500."""
        if not 0 <= tick <= TICKS:
            raise ValueError(f"tick {tick} is not within 0 to {TICKS}")
        return self.timestamp_begin + tick
