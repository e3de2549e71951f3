"""A model's name -> a directory on this machine with everything that decoding needs.

A name is looked up in this order: a directory; an installed starter package; the hub's cache; the hub.
"""

from __future__ import annotations

import difflib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from asrlsa import model_starter
from asrlsa.conversion import adapters
from asrlsa.conversion.cached import converted
from asrlsa.conversion.folders import TRANSFORMERS_WEIGHTS, is_transformers
from asrlsa.errors import ModelError
from asrlsa.model_card import CARD_NAME, ModelCard, read_card, write_card
from asrlsa.model_weights import fingerprint, read_weights

__all__ = [
    "CARD_NAME",
    "HUB_NAMES",
    "Model",
    "ModelCard",
    "ModelRow",
    "available_models",
    "cache_dir",
    "default_model",
    "find_folder",
    "read_card",
    "resolve_model",
    "write_card",
]

Source = Literal["directory", "starter", "cache", "hub"]


@dataclass(frozen=True, slots=True)
class _Hub:
    """Where a name lies on the hub: the first repository is downloaded, any of them is taken from the cache."""

    repositories: tuple[str, ...]
    megabytes: int
    advice: str


_TURBO = ("mobiuslabsgmbh/faster-whisper-large-v3-turbo", "deepdml/faster-whisper-large-v3-turbo-ct2")

# Names as openai-whisper, faster-whisper and distil-whisper use them; sizes of model.bin (float16) on the hub.
HUB_NAMES: Final[dict[str, _Hub]] = {
    "tiny.en": _Hub(("Systran/faster-whisper-tiny.en",), 75, "fastest, English only; most errors"),
    "tiny": _Hub(("Systran/faster-whisper-tiny",), 75, "fastest, any language; most errors"),
    "base.en": _Hub(("Systran/faster-whisper-base.en",), 145, "for a laptop, English only"),
    "base": _Hub(("Systran/faster-whisper-base",), 145, "for a laptop, any language"),
    "small.en": _Hub(("Systran/faster-whisper-small.en",), 484, "better and slower than base, English only"),
    "small": _Hub(("Systran/faster-whisper-small",), 484, "better and slower than base, any language"),
    "medium.en": _Hub(("Systran/faster-whisper-medium.en",), 1528, "slow without a GPU, English only"),
    "medium": _Hub(("Systran/faster-whisper-medium",), 1528, "slow without a GPU, any language"),
    "large-v1": _Hub(("Systran/faster-whisper-large-v1",), 3087, "needs a GPU; superseded by large-v3"),
    "large-v2": _Hub(("Systran/faster-whisper-large-v2",), 3087, "needs a GPU; any language"),
    "large-v3": _Hub(("Systran/faster-whisper-large-v3",), 3087, "needs a GPU; any language, fewest errors"),
    "large": _Hub(("Systran/faster-whisper-large-v3",), 3087, "the same as large-v3"),
    "large-v3-turbo": _Hub(_TURBO, 1618, "the same as turbo"),
    "turbo": _Hub(_TURBO, 1618, "near large-v3, several times faster; any language"),
    "distil-small.en": _Hub(("Systran/faster-distil-whisper-small.en",), 332, "a faster small.en"),
    "distil-medium.en": _Hub(("Systran/faster-distil-whisper-medium.en",), 789, "a faster medium.en"),
    "distil-large-v2": _Hub(("Systran/faster-distil-whisper-large-v2",), 1513, "a faster large-v2, English only"),
    "distil-large-v3": _Hub(("Systran/faster-distil-whisper-large-v3",), 1513, "a faster large-v3, English only"),
    "distil-large-v3.5": _Hub(("distil-whisper/distil-large-v3.5-ct2",), 1513, "a faster large-v3, English only"),
}

_NEEDED = ("model.bin", "config.json", "tokenizer.json")
_VOCABULARIES = ("vocabulary.json", "vocabulary.txt")
_DOWNLOADED = ["config.json", "preprocessor_config.json", "model.bin", "tokenizer.json", "vocabulary.*", CARD_NAME]
_TRANSFORMERS = TRANSFORMERS_WEIGHTS
_TRANSFORMERS_FILES = ["*.json", "model*.safetensors"]
_MULTILINGUAL_VOCABULARY = 51_865  # tokens; the English-only models have 51,864
_STARTER_HINT = "pip install 'asrlsa[starter]'"


@dataclass(frozen=True, slots=True)
class Model:
    """A model that is ready to be loaded.

    Attributes:
        directory: Folder with ``model.bin``, ``config.json``, ``tokenizer.json`` and a vocabulary.
        name: Name that was asked for, or the folder's name.
        multilingual: False for the English-only models.
        source: ``directory``, ``starter``, ``cache`` or ``hub``.
        fingerprint: sha256 of ``model.bin``, hexadecimal.
        card: What ``asrlsa.json`` says, or None.
        mels: Mel bands that it hears: 80 or 128.
        parameters: Number of parameters.
        adapter: The packaged adapter that is merged into it, in words; empty where there is none.
    """

    directory: Path
    name: str
    multilingual: bool
    source: Source
    fingerprint: str
    card: ModelCard | None
    mels: int = 80
    parameters: int = 0
    adapter: str = ""


@dataclass(frozen=True, slots=True)
class ModelRow:
    """A model that is usable without a network.

    Attributes:
        name: What to give as ``--model``.
        source: ``starter`` or ``cache``.
        multilingual: False for the English-only models.
        disk_mb: Size of its files, in MB (10^6 bytes).
        memory_int8_mb: Estimated peak memory of a transcription on CPU with int8, in MB.
        memory_float32_mb: The same with float32.
        advice: What it is good for, in a line.
        directory: Its folder; None for a starter model that was not used yet.
    """

    name: str
    source: Source
    multilingual: bool
    disk_mb: int
    memory_int8_mb: int
    memory_float32_mb: int
    advice: str
    directory: Path | None


def cache_dir() -> Path:
    """Folder in which asrlsa keeps models: ``$ASRLSA_CACHE``, or the system's place for caches."""
    import platformdirs

    chosen = os.environ.get("ASRLSA_CACHE")
    return Path(chosen).expanduser() if chosen else platformdirs.user_cache_path("asrlsa", appauthor=False)


def resolve_model(name: str | Path, *, offline: bool = False, cache: Path | None = None) -> Model:
    """Find a model, downloading it only where nothing on this machine has that name.

    Args:
        name: A directory, a Whisper or distil-Whisper name (`HUB_NAMES`), or ``owner/repository`` of the hub. A
            directory in transformers' format, or an adapter (whose base is looked up by its name), is converted once
            into the cache.
        offline: Never ask the hub.
        cache: Folder for assembled starter models, conversions and remembered sums; None is `cache_dir`.

    Raises:
        ModelError: The name is unknown, the model is incomplete or damaged, or can't be had offline.
    """
    name = str(name)
    home = cache if cache is not None else cache_dir()
    folder = Path(name).expanduser()
    if _means_directory(name, folder):
        return _describe(_decodable(folder, offline, home), folder.resolve().name, "directory", home)
    if model_starter.installed(name):
        return _describe(model_starter.assemble(name, home / "models"), name, "starter", home)
    repositories = _repositories(name)
    for repository in repositories:
        cached = _from_cache(repository)
        if cached is not None and (offline or not _lacking(cached)):
            return _describe(cached, name, "cache", home)
    if offline:
        raise ModelError(
            f"model {name!r} is not on this machine, and --offline forbids downloading; {_what_there_is()}"
        )
    return _describe(_download(name, repositories[0]), name, "hub", home)


def find_folder(name: str | Path, *, offline: bool = False, cache: Path | None = None) -> Path:
    """Find a model's folder in CTranslate2's or transformers' format, for what reads the weights themselves.

    Args:
        name: As for `resolve_model`; ``openai/whisper-NAME`` is the same model as NAME.
        offline: Never ask the hub.
        cache: Folder for assembled starter models; None is `cache_dir`.

    Raises:
        ModelError: The name is unknown, the model is incomplete, or can't be had offline.
    """
    name = str(name)
    folder = Path(name).expanduser()
    if _means_directory(name, folder):
        lacking = "" if is_transformers(folder) else _lacking(folder)
        if lacking:
            raise ModelError(f"{folder}: {lacking}")
        return folder
    plain = name.removeprefix("openai/whisper-")
    if plain in HUB_NAMES or "/" not in name:
        return resolve_model(plain, offline=offline, cache=cache).directory
    found = _from_cache(name, "model.safetensors")
    if found is not None and is_transformers(found):
        return found
    if offline or _from_cache(name) is not None:
        return resolve_model(name, offline=offline, cache=cache).directory
    return _download(name, name, [*_DOWNLOADED, *_TRANSFORMERS_FILES])


def _decodable(folder: Path, offline: bool, home: Path) -> Path:
    """The folder itself, or what it is converted to where CTranslate2 can't load it."""
    if adapters.is_adapter(folder):
        return converted(folder, adapter_base(folder, offline=offline, cache=home), home)
    if is_transformers(folder):
        return converted(folder, None, home)
    return folder


def adapter_base(adapter: Path, *, offline: bool = False, cache: Path | None = None) -> Path:
    """Find the folder of the base that an adapter says it was trained on; arguments as `find_folder`.

    Raises:
        ModelError: It names none, or the base can't be had.
    """
    card = read_card(adapter)
    name = (card.base if card is not None else "") or adapters.base_name(adapter)
    if not name:
        raise ModelError(f'{adapter}: does not say which model it adapts; add "base" to its {CARD_NAME}')
    try:
        return find_folder(name, offline=offline, cache=cache)
    except ModelError as error:
        raise ModelError(f"{adapter}: its base can't be had: {error}") from None


def default_model() -> str:
    """Name of the model to use where none is given: base, else tiny.en, whichever is on this machine.

    Raises:
        ModelError: Neither is; the message says how to get one.
    """
    for name in ("base", "tiny.en"):
        if model_starter.installed(name) or _cached(name) is not None:
            return name
    raise ModelError(
        f"no model is on this machine: run {_STARTER_HINT} (about 200 MB, no account), or name one to download, "
        "such as --model base"
    )


def available_models(cache: Path | None = None) -> list[ModelRow]:
    """List the named models that work without a network, the starter models first.

    Args:
        cache: Folder of assembled starter models; None is `cache_dir`.
    """
    models = (cache if cache is not None else cache_dir()) / "models"
    rows = []
    for name in model_starter.STARTERS:
        if model_starter.installed(name):
            whole = model_starter.model_bin(name, models)
            home = whole.parent if whole is not None and whole.is_relative_to(models) else None
            parameters = _parameters(whole) or model_starter.size(name) // 2
            rows.append(_row(name, "starter", not name.endswith(".en"), model_starter.size(name), parameters, home))
    for name in HUB_NAMES:
        cached = None if any(row.name == name for row in rows) else _cached(name)
        if cached is not None:
            disk = sum(path.stat().st_size for path in cached.iterdir() if path.is_file())
            parameters = _parameters(cached / "model.bin") or disk // 2
            rows.append(_row(name, "cache", _is_multilingual(cached), disk, parameters, cached))
    return rows


def memory_mb(parameters: int, bytes_each: int) -> int:
    """Estimate the peak memory of a transcription on CPU in MB (10^6 bytes).

    Args:
        parameters: Number of parameters of the model.
        bytes_each: 1 for int8, 4 for float32.

    The constants are fitted to what ``benchmarks/model_memory.py`` measured for tiny.en and base.
    """
    return round(_MEMORY_BASE_MB + parameters * (bytes_each + _MEMORY_EXTRA_BYTES) / 1e6)


_MEMORY_BASE_MB = 340  # Python, CTranslate2, onnxruntime, the speaker model, audio
_MEMORY_EXTRA_BYTES = 3.3  # for each parameter: the float16 original while loading, and the buffers of four windows


def _row(name: str, source: Source, multilingual: bool, disk: int, parameters: int, home: Path | None) -> ModelRow:
    return ModelRow(
        name=name,
        source=source,
        multilingual=multilingual,
        disk_mb=round(disk / 1e6),
        memory_int8_mb=memory_mb(parameters, 1),
        memory_float32_mb=memory_mb(parameters, 4),
        advice=HUB_NAMES[name].advice,
        directory=home,
    )


def _parameters(path: Path | None) -> int:
    try:
        return read_weights(path).parameters if path is not None else 0
    except ModelError:
        return 0


def _means_directory(name: str, folder: Path) -> bool:
    """Whether ``name`` is a path. A folder called ``base`` that holds no model does not hide the model base."""
    if folder.is_dir():
        if name not in HUB_NAMES:
            return True
        return any((folder / file).exists() for file in (*_NEEDED, *_TRANSFORMERS, adapters.CONFIG))
    if folder.is_file():
        raise ModelError(f"{folder}: is a file; give the directory of the model")
    seems_path = name.startswith((".", "~", "/", os.sep)) or "\\" in name or name.count("/") > 1 or name.endswith("/")
    if seems_path or Path(name).is_absolute():
        raise ModelError(f"{folder}: no such directory")
    return False


def _describe(directory: Path, name: str, source: Source, home: Path) -> Model:
    """Check a model's directory and read what decoding needs to know."""
    lacking = _lacking(directory)
    if lacking:
        raise ModelError(f"{directory}: {lacking}")
    weights = read_weights(directory / "model.bin")
    return Model(
        directory=directory,
        name=name,
        multilingual=_is_multilingual(directory),
        source=source,
        fingerprint=fingerprint(directory / "model.bin", home / "sums"),
        card=read_card(directory),
        mels=weights.mels,
        parameters=weights.parameters,
    )


def _lacking(directory: Path) -> str:
    """Say what a directory lacks to be a model; empty where nothing."""
    have = {path.name for path in directory.iterdir() if path.exists()}
    if "model.bin" not in have:
        if adapters.CONFIG in have:
            return "is an adapter, not a model; give the base model that it adapts"
        if not have & {*_NEEDED, *_VOCABULARIES}:
            return "holds no model (no model.bin); give a CTranslate2 Whisper model, or a name such as base"
    missing = [name for name in _NEEDED if name not in have]
    if not have & set(_VOCABULARIES):
        missing.append("vocabulary.json")
    return f"the model lacks {', '.join(missing)}; download or convert it again" if missing else ""


def _is_multilingual(directory: Path) -> bool:
    """Whether the vocabulary has the size that CTranslate2 takes for multilingual."""
    path = next(directory / name for name in _VOCABULARIES if (directory / name).exists())
    try:
        text = path.read_text(encoding="utf-8")
        tokens = len(json.loads(text)) if path.suffix == ".json" else text.count("\n") + (not text.endswith("\n"))
    except (OSError, ValueError):
        raise ModelError(f"{path}: is damaged; download or convert the model again") from None
    return tokens >= _MULTILINGUAL_VOCABULARY


def _repositories(name: str) -> tuple[str, ...]:
    """Repositories of the hub that a name stands for."""
    if name in HUB_NAMES:
        return HUB_NAMES[name].repositories
    if re.fullmatch(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", name):
        return (name,)
    close = difflib.get_close_matches(name.lower(), HUB_NAMES, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(close)}?" if close else f"known are {', '.join(HUB_NAMES)}"
    raise ModelError(f"no model is called {name!r} and no such directory exists; {hint}")


def _cached(name: str) -> Path | None:
    """Folder of a named model that lies whole in the hub's cache."""
    for repository in HUB_NAMES[name].repositories:
        found = _from_cache(repository)
        if found is not None and not _lacking(found):
            return found
    return None


def _from_cache(repository: str, *files: str) -> Path | None:
    """Folder of a repository in the hub's cache that has one of the files, without a network."""
    from huggingface_hub import try_to_load_from_cache

    for name in files or _NEEDED:
        found = try_to_load_from_cache(repository, name)
        if isinstance(found, str):
            return Path(found).parent
    return None


def _download(name: str, repository: str, files: list[str] = _DOWNLOADED) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(repository, allow_patterns=files))
    except Exception as error:  # the hub's client raises what its HTTP library raises, which changes between versions
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelError(
            f"model {name!r} can't be downloaded from the hub ({repository}: {reason}); {_what_there_is()}"
        ) from error


def _what_there_is() -> str:
    names = [name for name in model_starter.STARTERS if model_starter.installed(name)]
    names += [name for name in HUB_NAMES if name not in names and _cached(name) is not None]
    if names:
        return f"available offline: {', '.join(names)}"
    return f"nothing is available offline yet: run {_STARTER_HINT}"
