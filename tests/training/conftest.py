"""A tiny random Whisper with a tokenizer of its own, so that tests of training need no weights and no network."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

TEXT = [
    "um the the dog ran to the b- ball",
    "and then uh he fell down in the water",
    "the boy was was looking for the frog",
    "er hm I don't know what happened next",
]
SPECIAL = [
    "<|endoftext|>",
    "<|startoftranscript|>",
    "<|en|>",
    "<|es|>",
    "<|translate|>",
    "<|transcribe|>",
    "<|startoflm|>",
    "<|startofprev|>",
    "<|nospeech|>",
    "<|notimestamps|>",
]


@pytest.fixture(scope="session")
def tiny_tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small multilingual ``tokenizer.json`` laid out as Whisper's: text, special tokens, timestamps."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=320, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(TEXT, trainer)
    tokenizer.add_special_tokens(SPECIAL)
    tokenizer.add_tokens([f"<|{step * 0.02:.2f}|>" for step in range(1501)])
    folder = tmp_path_factory.mktemp("tokenizer")
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer: Path) -> Path:
    """A transformers folder with a random Whisper: width 16, two layers a side, four heads, 30 s windows of 80 mels."""
    return _random_whisper(tmp_path_factory.mktemp("tiny"), tiny_tokenizer, positions=1500)


@pytest.fixture(scope="session")
def short_folder(tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer: Path) -> Path:
    """The same with windows of 1 s (100 frames), for tests that do not care about sound and take many steps."""
    return _random_whisper(tmp_path_factory.mktemp("short"), tiny_tokenizer, positions=50)


def _random_whisper(folder: Path, tiny_tokenizer: Path, positions: int) -> Path:
    torch = pytest.importorskip("torch")
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    from asrlsa.conversion.folders import Whisper, write_transformers
    from asrlsa.conversion.settings import Tokens, generation_config

    tokens = Tokens.of(tiny_tokenizer)
    end = tokens.ids["<|endoftext|>"]
    config = WhisperConfig(
        vocab_size=len(tokens.ids),
        d_model=16,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        max_source_positions=positions,
        decoder_start_token_id=tokens.ids["<|startoftranscript|>"],
        bos_token_id=end,
        eos_token_id=end,
        pad_token_id=end,
        begin_suppress_tokens=None,
    )
    state = torch.random.get_rng_state()
    torch.manual_seed(0)
    model = WhisperForConditionalGeneration(config)
    torch.random.set_rng_state(state)
    arrays = {k: v.detach().numpy() for k, v in model.state_dict().items() if k != "proj_out.weight"}
    values = json.loads(config.to_json_string(use_diff=False))
    write_transformers(Whisper(arrays, values, generation_config({}, values, tokens), tokens), folder, "float32")
    return folder


@pytest.fixture
def tiny_model(tiny_folder: Path):
    """The random Whisper of `tiny_folder`, fresh for each test."""
    from asrlsa.training.base import load_base

    return load_base(tiny_folder).model


@pytest.fixture
def quiet_machine(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Its own cache; torch's number of threads and random state as they were."""
    import torch

    monkeypatch.setenv("ASRLSA_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    threads, state = torch.get_num_threads(), torch.random.get_rng_state()
    yield
    torch.set_num_threads(threads)
    torch.random.set_rng_state(state)
