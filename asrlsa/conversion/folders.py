"""A Whisper model's folder, read from CTranslate2's or transformers' format and written in either."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from asrlsa.conversion import ct2_file, tensor_file, weights
from asrlsa.conversion.pruned import configured_heads
from asrlsa.conversion.quantized import quantise
from asrlsa.conversion.settings import (
    Tokens,
    ct2_config,
    generation_config,
    read_json,
    whisper_config,
    write_json,
)
from asrlsa.errors import ModelError
from asrlsa.model_starter import preprocessor

if TYPE_CHECKING:
    from numpy.typing import NDArray

TRANSFORMERS_WEIGHTS: Final = ("model.safetensors", tensor_file.INDEX, "pytorch_model.bin")


@dataclass(frozen=True, slots=True)
class Whisper:
    """A model in memory, its arrays still on the disk where possible.

    Attributes:
        state: transformers' state dict without the tied output matrix.
        config: transformers' ``config.json``.
        generation: transformers' ``generation_config.json``.
        tokens: The tokenizer.
    """

    state: Mapping[str, NDArray[Any]]
    config: Mapping[str, Any]
    generation: Mapping[str, Any]
    tokens: Tokens

    @property
    def heads(self) -> tuple[int, int]:
        """Attention heads of a layer in encoder and decoder."""
        return self.config["encoder_attention_heads"], self.config["decoder_attention_heads"]

    @property
    def sha256(self) -> str:
        """Sum of the weights, the same in every format."""
        return weights.weights_sha256(self.state)


def is_transformers(folder: Path) -> bool:
    """Whether a folder holds a model in transformers' format (and none in CTranslate2's)."""
    return not (folder / "model.bin").exists() and any((folder / name).exists() for name in TRANSFORMERS_WEIGHTS)


def read_whisper(folder: Path) -> Whisper:
    """Read a model's folder in either format.

    Raises:
        ModelError: A file is missing or damaged, or the model is quantised or no Whisper model.
    """
    if not is_transformers(folder):
        arrays = ct2_file.read_arrays(folder / "model.bin")
        state, tokens = weights.to_transformers(arrays), Tokens.of(folder)
        config = whisper_config(state, configured_heads(arrays), tokens)
        return Whisper(state, config, generation_config(read_json(folder / "config.json"), config, tokens), tokens)
    config = read_json(folder / "config.json")
    if config.get("model_type") != "whisper":
        raise ModelError(f"{folder}: is a {config.get('model_type') or 'transformers'} model, not a Whisper model")
    tokens = Tokens.of(folder)
    known = folder / "generation_config.json"
    generation = read_json(known) if known.exists() else generation_config({}, config, tokens)
    state = dict(weights.without_prefix(tensor_file.read_folder(folder)))
    return Whisper(state, config, generation, tokens)


def write_ctranslate2(whisper: Whisper, folder: Path, dtype: str = "float16") -> None:
    """Write what CTranslate2 and faster-whisper need into an existing folder.

    Args:
        whisper: The model.
        folder: Where to.
        dtype: One of `asrlsa.conversion.quantized.TYPES`.

    Raises:
        ModelError: A weight is missing or does not fit into the type.
        OSError: It can't be written.
    """
    arrays = quantise(weights.to_ctranslate2(whisper.state, whisper.heads, None), dtype)
    aliases = dict(weights.ALIASES)
    aliases |= {
        f"{alias}_scale": f"{name}_scale" for alias, name in weights.ALIASES.items() if f"{name}_scale" in arrays
    }
    ct2_file.write_arrays(folder / "model.bin", arrays, aliases)
    write_json(folder / "config.json", ct2_config(whisper.generation, whisper.config, whisper.tokens))
    write_json(folder / "generation_config.json", whisper.generation)
    vocabulary = whisper.tokens.vocabulary(arrays["decoder/embeddings/weight"].shape[0])
    write_json(folder / "vocabulary.json", vocabulary)
    _write_common(whisper, folder)


def write_transformers(whisper: Whisper, folder: Path, dtype: str = "float16") -> None:
    """Write what transformers needs into an existing folder; arguments and errors as `write_ctranslate2`."""
    state = {name: weights.finite(array, _TYPES[dtype]) for name, array in whisper.state.items()}
    tensor_file.write_tensors(folder / "model.safetensors", state, {"format": "pt"})
    write_json(folder / "config.json", {**whisper.config, "dtype": dtype})
    write_json(folder / "generation_config.json", whisper.generation)
    _write_common(whisper, folder)


_TYPES: Final = {"float16": "<f2", "float32": "<f4"}


def _write_common(whisper: Whisper, folder: Path) -> None:
    """The tokenizer, and both feature files: faster-whisper reads one name, transformers 5 the other."""
    (folder / "tokenizer.json").write_text(whisper.tokens.text, encoding="utf-8")
    features = preprocessor(whisper.config["num_mel_bins"])
    write_json(folder / "preprocessor_config.json", features)
    write_json(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "WhisperTokenizer",
            "bos_token": "<|endoftext|>",
            "eos_token": "<|endoftext|>",
            "pad_token": "<|endoftext|>",
            "unk_token": "<|endoftext|>",
            "processor_class": "WhisperProcessor",
            "model_max_length": 1024,
        },
    )


@contextmanager
def building(home: Path, *, replace: bool = False) -> Iterator[Path]:
    """Give a folder to write into that takes the place of ``home`` in one step when all went well.

    Args:
        home: The folder to make.
        replace: Whether an older ``home`` gives way; otherwise the first to finish wins.

    Yields:
        A new folder beside ``home``; it is removed after an error.

    Raises:
        OSError: It can't be written.
    """
    home.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".building-{home.name}-", dir=home.parent))
    try:
        draft.chmod(0o755)
        yield draft
        if replace and home.exists():
            old = Path(tempfile.mkdtemp(prefix=".building-old-", dir=home.parent))
            home.rename(old / home.name)
            draft.rename(home)
            shutil.rmtree(old, ignore_errors=True)
            return
        try:
            draft.rename(home)
        except OSError:
            if not home.is_dir():
                raise
    finally:
        with suppress(OSError):
            shutil.rmtree(draft, ignore_errors=True)
