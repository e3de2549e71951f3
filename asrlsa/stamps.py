"""Telling what is done: the stamp in a transcript's comment.

The stamp is a short sum of the recording, the model and the settings: a second run skips what carries the same one. A
sum over the text beside it tells whether a person has edited the transcript since; then it is theirs.
"""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from asrlsa.errors import MediaError
from asrlsa.media import check_readable

if TYPE_CHECKING:
    from asrlsa.models import Model

_SAMPLES = 16  # places of a recording that its fingerprint reads
_SAMPLE_BYTES = 64 * 1024
_STAMP = re.compile(r"^@Comment:\tasrlsa .*, stamp ([0-9a-f]{16})(?:, sum ([0-9a-f]{16}))?\s*$", re.MULTILINE)


def recording_fingerprint(path: Path) -> str:
    """Return a sum by which a recording is known again, wherever it is copied and whatever its date: 64 hex digits.

    It is the sha256 of the size and of 16 blocks of 64 KiB spread evenly from the beginning to the end of the file (of
    the whole file up to 1 MiB), so it takes the same time for an hour as for a minute.

    Raises:
        MediaError: The file can't be read, or is none: opening a pipe would wait for whoever writes into it.
    """
    if path.exists() and not path.is_file():
        check_readable(path)
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            digest = hashlib.sha256(str(size).encode())
            last = max(0, size - _SAMPLE_BYTES)
            step = last / (_SAMPLES - 1)
            whole = size <= _SAMPLES * _SAMPLE_BYTES
            for at in [0] if whole else [round(step * i) for i in range(_SAMPLES)]:
                file.seek(at)
                digest.update(file.read() if whole else file.read(_SAMPLE_BYTES))
    except OSError as error:
        raise MediaError(f"{path}: can't be read ({error.strerror or error})") from None
    return digest.hexdigest()


def stamp(recording: str, model: str, settings: str) -> str:
    """Return the stamp of a transcript: 16 hex digits.

    The first 8 are those of ``recording`` (its fingerprint, or a stamp that is to be refined), so that `same_recording`
    can tell a transcript with other settings from a transcript of something else.
    """
    every = hashlib.sha256("\n".join((recording, model, settings)).encode()).hexdigest()
    return recording[:8] + every[:8]


def same_recording(mark: str, other: str) -> bool:
    """Whether two stamps were made from the same recording, whatever the model and settings."""
    return mark[:8] == other[:8]


def stamp_comment(model: Model, settings: Mapping[str, str], mark: str) -> str:
    """Return the text of the ``@Comment`` by which a transcript can be reproduced and recognised.

    ``asrlsa 0.1.0, model base (sha256 905e5bf8), language eng, beam 1, stamp 0123456789abcdef``

    Args:
        model: The model that was used.
        settings: What shaped the text, in words.
        mark: The result of `stamp`; another word, such as ``none``, makes a file that asrlsa never replaces unasked.
    """
    from asrlsa import __version__

    name = re.sub(r"[\s,]+", "_", _clean(model.name)) or "unnamed"
    parts = [f"asrlsa {__version__}", f"model {name} (sha256 {model.fingerprint[:8]})"]
    parts += [f"{key} {' '.join(_clean(value).split())}" for key, value in settings.items()]
    return ", ".join([*parts, f"stamp {mark}"])


def seal(text: str) -> str:
    """Put the sum of a CHAT text behind its stamp, so that a later edit by a person shows.

    Returns:
        The text with ``, sum 0123456789abcdef`` behind the stamp; a text without a stamp as it is.
    """
    found = _STAMP.search(text)
    if found is None:
        return text
    end = found.end(1)
    bare = text[:end] + text[found.end(2) if found[2] else end :]
    return f"{bare[:end]}, sum {_sum(bare)}{bare[end:]}"


def existing(path: Path) -> Literal["absent", "ours", "foreign"]:
    """Say whose file lies at ``path``.

    Returns:
        ``absent``; ``ours`` for a transcript that asrlsa wrote and nobody edited; ``foreign`` for any other, also for
        one that a person corrected after asrlsa wrote it (see `is_edited`): replacing it would lose their work.
    """
    if not os.path.lexists(path):
        return "absent"
    text = _read(path)
    found = _STAMP.search(text) if text is not None else None
    return "foreign" if text is None or found is None or _edited(text, found) else "ours"


def is_edited(path: Path) -> bool:
    """Whether asrlsa wrote the transcript at ``path`` and it has been changed since, line folding apart."""
    text = _read(path)
    found = _STAMP.search(text) if text is not None else None
    return text is not None and found is not None and _edited(text, found)


def read_stamp(path: Path) -> str | None:
    """Return the stamp of a transcript, or None where it has none or can't be read."""
    text = _read(path)
    found = _STAMP.search(text) if text is not None else None
    return found[1] if found else None


def _clean(text: str) -> str:
    return "".join(" " if unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") else char for char in text)


def _read(path: Path) -> str | None:
    try:
        return _unfolded(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError):
        return None


def _edited(text: str, found: re.Match[str]) -> bool:
    if found[2] is None:
        return False
    return _sum(text[: found.end(1)] + text[found.end(2) :]) != found[2]


def _sum(text: str) -> str:
    """Sum of a text in which line ends and folded lines make no difference."""
    return hashlib.sha256(_unfolded(text).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _unfolded(text: str) -> str:
    return text.removeprefix("\ufeff").replace("\r\n", "\n").rstrip("\n").replace("\n\t", " ")
