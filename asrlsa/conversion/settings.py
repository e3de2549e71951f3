"""The small files around the weights: configurations, tokenizer and vocabulary, in both formats."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asrlsa.conversion.weights import layers
from asrlsa.errors import ModelError
from asrlsa.model_starter import with_timestamps

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SPECIAL = ("<|endoftext|>", "<|startoftranscript|>", "<|notimestamps|>")
_ENGLISH_END = 50256  # <|endoftext|> of GPT-2's vocabulary, on which the English-only models stand


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        ModelError: It is missing, damaged, or no object.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(f"{path}: is missing; download or convert the model again") from None
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: can't be read ({error})") from None
    if not isinstance(found, dict):
        raise ModelError(f"{path}: must hold one JSON object")
    return found


def write_json(path: Path, values: Mapping[str, Any] | list[str]) -> None:
    """Write JSON for people and programs to read."""
    path.write_text(json.dumps(values, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a ``tokenizer.json`` says, its timestamps completed.

    Attributes:
        text: The whole file.
        ids: Token -> id, every token.
    """

    text: str
    ids: Mapping[str, int]

    @classmethod
    def of(cls, directory: Path) -> Tokens:
        """Read ``tokenizer.json``; raises ModelError where it is missing, damaged or not Whisper's."""
        path = directory / "tokenizer.json"
        found = read_json(path)
        try:
            text = with_timestamps(json.dumps(found, ensure_ascii=False))
            found = json.loads(text)
            ids = dict(found["model"]["vocab"]) | {entry["content"]: entry["id"] for entry in found["added_tokens"]}
        except (KeyError, TypeError, StopIteration):
            raise ModelError(f"{path}: is not a Whisper tokenizer") from None
        lacking = [token for token in _SPECIAL if token not in ids]
        if lacking:
            raise ModelError(f"{path}: is not a Whisper tokenizer (it has no {lacking[0]})")
        return cls(text, ids)

    @property
    def languages(self) -> dict[str, int]:
        """Language tokens such as ``<|en|>`` -> id, by id; empty for an English-only model, which never uses them."""
        if self.ids["<|endoftext|>"] == _ENGLISH_END:
            return {}
        found = {t: i for t, i in self.ids.items() if re.fullmatch(r"<\|[a-z]{2,3}\|>", t)}
        return dict(sorted(found.items(), key=lambda item: item[1]))

    def vocabulary(self, size: int) -> list[str]:
        """Every token by its id, as CTranslate2's ``vocabulary.json`` lists them.

        Raises:
            ModelError: The model has more tokens than the tokenizer.
        """
        by_id = {i: token for token, i in self.ids.items()}
        missing = [i for i in range(size) if i not in by_id]
        if missing:
            raise ModelError(f"the tokenizer lacks token {missing[0]} of the model's {size}")
        return [by_id[i] for i in range(size)]


def whisper_config(state: Mapping[str, NDArray[Any]], heads: tuple[int, int], tokens: Tokens) -> dict[str, Any]:
    """Build transformers' ``config.json`` from the weights themselves."""
    vocab, width = state["model.decoder.embed_tokens.weight"].shape
    end = tokens.ids["<|endoftext|>"]
    return {
        "architectures": ["WhisperForConditionalGeneration"],
        "model_type": "whisper",
        "is_encoder_decoder": True,
        "vocab_size": vocab,
        "d_model": width,
        "num_mel_bins": state["model.encoder.conv1.weight"].shape[1],
        "encoder_layers": layers(state, "encoder"),
        "decoder_layers": layers(state, "decoder"),
        "encoder_attention_heads": heads[0],
        "decoder_attention_heads": heads[1],
        "encoder_ffn_dim": _widest(state, "encoder"),
        "decoder_ffn_dim": _widest(state, "decoder"),
        "max_source_positions": state["model.encoder.embed_positions.weight"].shape[0],
        "max_target_positions": state["model.decoder.embed_positions.weight"].shape[0],
        "activation_function": "gelu",
        "scale_embedding": False,
        "tie_word_embeddings": True,
        "decoder_start_token_id": tokens.ids["<|startoftranscript|>"],
        "bos_token_id": end,
        "eos_token_id": end,
        "pad_token_id": end,
        "begin_suppress_tokens": None,
        "suppress_tokens": None,
    }


def _widest(state: Mapping[str, NDArray[Any]], side: str) -> int:
    """Feed-forward units of the layer that has most: pruning may leave layers of different sizes."""
    every = range(layers(state, side))
    return int(max(state[f"model.{side}.layers.{k}.fc1.weight"].shape[0] for k in every))


def generation_config(ct2: Mapping[str, Any], config: Mapping[str, Any], tokens: Tokens) -> dict[str, Any]:
    """Build transformers' ``generation_config.json`` from CTranslate2's ``config.json`` and the tokenizer."""
    end = tokens.ids["<|endoftext|>"]
    values: dict[str, Any] = {
        "alignment_heads": ct2.get("alignment_heads") or _upper_heads(config),
        "begin_suppress_tokens": ct2.get("suppress_ids_begin") or [end],
        "suppress_tokens": ct2.get("suppress_ids") or [],
        "bos_token_id": end,
        "eos_token_id": end,
        "pad_token_id": end,
        "decoder_start_token_id": tokens.ids["<|startoftranscript|>"],
        "is_multilingual": bool(tokens.languages),
        "max_initial_timestamp_index": 50,
        "max_length": config["max_target_positions"],
        "no_timestamps_token_id": tokens.ids["<|notimestamps|>"],
        "prev_sot_token_id": tokens.ids.get("<|startofprev|>"),
        "return_timestamps": False,
        "transformers_version": "5.23.0",
    }
    if values["is_multilingual"]:
        values["lang_to_id"] = tokens.languages
        tasks = ("transcribe", "translate")
        values["task_to_id"] = {t: tokens.ids[f"<|{t}|>"] for t in tasks if f"<|{t}|>" in tokens.ids}
    return values


def ct2_config(generation: Mapping[str, Any], config: Mapping[str, Any], tokens: Tokens) -> dict[str, Any]:
    """Build CTranslate2's ``config.json`` from transformers' two configurations."""
    suppress = generation.get("suppress_tokens") or config.get("suppress_tokens")
    begin = generation.get("begin_suppress_tokens") or config.get("begin_suppress_tokens")
    languages = sorted((generation.get("lang_to_id") or tokens.languages).values())
    return {
        "alignment_heads": generation.get("alignment_heads") or _upper_heads(config),
        "lang_ids": languages,
        "suppress_ids": list(suppress or []),
        "suppress_ids_begin": list(begin or [tokens.ids["<|endoftext|>"]]),
    }


def _upper_heads(config: Mapping[str, Any]) -> list[list[int]]:
    """Every head of the upper half of the decoder, as CTranslate2 takes them where none are known."""
    count, heads = config["decoder_layers"], config["decoder_attention_heads"]
    return [[layer, head] for layer in range(count // 2, count) for head in range(heads)]
