"""A small Whisper vocabulary, recordings and rows for the tests of training data; nothing here needs torch."""

from __future__ import annotations

import wave
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from asrlsa.manifest import Row

LANGUAGES = ("en", "es", "de")


@lru_cache(maxsize=1)
def _tokenizer_json() -> str:
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(["um I went to the the store", "uh b- b- ball you know"] * 5, trainer)
    special = ["<|endoftext|>", "<|startoftranscript|>", *(f"<|{code}|>" for code in LANGUAGES)]
    special += ["<|translate|>", "<|transcribe|>", "<|startoflm|>", "<|startofprev|>", "<|nospeech|>"]
    tokenizer.add_special_tokens([AddedToken(name, special=True) for name in [*special, "<|notimestamps|>"]])
    tokenizer.add_tokens([AddedToken(f"<|{tick * 0.02:.2f}|>", normalized=False) for tick in range(1501)])
    return str(tokenizer.to_str())


def vocabulary_folder(folder: Path) -> Path:
    """Write tokenizer.json of a small multilingual model."""
    (folder / "tokenizer.json").write_text(_tokenizer_json(), encoding="utf-8")
    return folder


def row(start: int, end: int, text: str = "um the ball", audio: str = "a.wav", **more: object) -> Row:
    """Return a row; its name tells its times."""
    name = str(more.pop("id", f"{Path(audio).stem}-{start}-{end}"))
    return Row(id=name, audio=Path(audio), start=start, end=end, text=text, **more)  # type: ignore[arg-type]


def write_wav(path: Path, samples: np.ndarray, rate: int = 16_000, channels: int = 1) -> Path:
    """Write float samples as 16-bit PCM."""
    with wave.open(str(path), "wb") as file:
        file.setparams((channels, 2, rate, 0, "NONE", ""))
        file.writeframes(np.round(np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    return path


def tone(seconds: float, frequency: float = 440.0, rate: int = 16_000) -> np.ndarray:
    """Return a tone of which every stretch can be told from every other: its pitch rises."""
    time = np.arange(round(seconds * rate)) / rate
    return (0.4 * np.sin(2 * np.pi * (frequency + 20 * time) * time)).astype(np.float32)


def texts(pieces: Sequence[object]) -> list[str]:
    """Return the texts of pieces."""
    return [str(piece.text) for piece in pieces]  # type: ignore[attr-defined]
