"""A model in another form, converted once into the user's cache so that CTranslate2 can load it."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import json
from pathlib import Path
from typing import Final

from asrlsa.conversion import adapters, tensor_file
from asrlsa.conversion.folders import Whisper, building, read_whisper, write_ctranslate2
from asrlsa.errors import ModelError
from asrlsa.model_card import CARD_NAME, ModelCard, read_card, write_card
from asrlsa.model_weights import fingerprint

_STORED: Final = "float16"
_REVISION: Final = "1"  # raised when a conversion gives another result than before
_SUM: Final = "converted.json"


def converted(source: Path, base: Path | None, cache: Path, strength: float | None = None) -> Path:
    """Return a CTranslate2 folder with the same model, made on first use and kept.

    The folder's name holds the sums of everything that it is made from, and a note in it that of the weights that were
    written: weights that have been spoilt since are made again. Several processes may convert at once; the first to
    finish wins and none sees a half-made folder.

    Args:
        source: A transformers folder, or an adapter.
        base: Folder of the adapter's base in either format; None for a whole model.
        cache: asrlsa's folder for caches.
        strength: What an adapter's change is multiplied by; None takes its card's.

    Raises:
        ModelError: ``source`` or ``base`` is damaged, they don't fit, or the cache can't be written.
    """
    digest = hashlib.sha256(_REVISION.encode())
    for folder in (source, base):
        for path in _ingredients(folder) if folder is not None else ():
            digest.update(f"{path.name} {fingerprint(path, cache / 'sums')}\n".encode())
    if strength is not None:
        digest.update(f"strength {strength!r}\n".encode())
    home = cache / "converted" / f"{source.resolve().name}-{digest.hexdigest()[:16]}"
    if _is_whole(home, cache):
        return home
    try:
        with building(home, replace=home.exists()) as folder:
            _convert(source, base, folder, strength)
            made = fingerprint(folder / "model.bin", None)
            (folder / _SUM).write_text(json.dumps({"model.bin": made}) + "\n", encoding="utf-8")
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise ModelError(f"{cache}: no room to convert {source}; free some disk space") from None
        raise ModelError(
            f"{cache}: the cache of models can't be written ({error.strerror or error}); set ASRLSA_CACHE to a folder "
            "that can"
        ) from None
    return home


def require_base(card: ModelCard | None, sha256: str, adapter: Path, base: str) -> None:
    """Refuse an adapter on a base that it was not trained on; a card without a sum fits every base.

    Raises:
        ModelError: The sums differ.
    """
    if card is not None and card.base_sha256 and card.base_sha256 != sha256:
        raise ModelError(
            f"{adapter}: was trained on another base ({card.base or 'unnamed'}, weights {card.base_sha256[:8]}) than "
            f"{base} (weights {sha256[:8]}); give the base that it was trained on"
        )


def merged(adapter: Path, base: Path, dtype: str, strength: float | None = None) -> Whisper:
    """Read a base and merge an adapter into it.

    Args:
        adapter: The adapter's folder.
        base: Folder of its base in either format.
        dtype: Type that the model will be stored in.
        strength: What the adapter's change is multiplied by; None takes its card's.

    Raises:
        ModelError: One of them is damaged, they don't fit, or the adapter was trained on another base.
    """
    whisper, card = read_whisper(base), read_card(adapter)
    if card is not None and card.base_sha256:
        require_base(card, whisper.sha256, adapter, str(base))
    if strength is None:
        strength = card.strength if card is not None else 1.0
    return dataclasses.replace(whisper, state=adapters.merge_adapter(whisper.state, adapter, dtype, strength))


def _convert(source: Path, base: Path | None, folder: Path, strength: float | None) -> None:
    whisper = read_whisper(source) if base is None else merged(source, base, _STORED, strength)
    write_ctranslate2(whisper, folder, _STORED)
    card = read_card(source)
    if card is not None:
        write_card(folder, card if strength is None else dataclasses.replace(card, strength=strength))


def _is_whole(home: Path, cache: Path) -> bool:
    """Whether the weights of a converted model are those that were written."""
    try:
        made = json.loads((home / _SUM).read_text(encoding="utf-8"))["model.bin"]
        return bool(made == fingerprint(home / "model.bin", cache / "sums"))
    except (OSError, ValueError, KeyError, TypeError, ModelError):
        return False


def _ingredients(folder: Path) -> list[Path]:
    """Every file of a model or adapter that a conversion reads."""
    names = ("config.json", "generation_config.json", "tokenizer.json", "model.bin", CARD_NAME, tensor_file.INDEX)
    found = [folder / name for name in (*names, adapters.CONFIG) if (folder / name).exists()]
    return found + sorted(folder.glob("*.safetensors"))
