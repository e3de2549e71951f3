"""Finding the recording of a transcript, and how long it is."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path

from asrlsa.audio import stream
from asrlsa.media import media_info, open_media, promised_length
from asrlsa.recordings import AUDIO_SUFFIXES, VIDEO_SUFFIXES
from asrlsa.types import Milliseconds

MEDIA_SUFFIXES = (*AUDIO_SUFFIXES, *VIDEO_SUFFIXES)
_RANK = {suffix: rank for rank, suffix in enumerate(MEDIA_SUFFIXES)}
# Containers whose header says how long the sound is; of others, such as a bare MP3, FFmpeg makes an estimate.
_HONEST = frozenset({"wav", "flac", "ogg", "mov", "mp4", "m4a", "aiff", "w64", "caf", "wv"})


def is_media(path: Path) -> bool:
    """Whether a file has the suffix of a recording and is not hidden."""
    return path.suffix.lower() in _RANK and not path.name.startswith((".", "~$"))


def walk(root: Path, without: Path | None = None) -> Iterator[Path]:
    """Yield every file below a folder, by name; hidden ones and the folder ``without`` are left out."""
    for folder, below, names in os.walk(root):
        here = Path(folder)
        below[:] = sorted(n for n in below if not n.startswith(".") and (without is None or here / n != without))
        for name in sorted(names):
            if not name.startswith((".", "~$")):
                yield here / name


@dataclass(slots=True)
class MediaIndex:
    """The recordings of a corpus by stem; capitals and composed accents make no difference."""

    found: dict[str, list[str]] = field(default_factory=dict)
    asked: str = ""  # the name that was looked for last

    @classmethod
    def of(cls, files: Iterable[Path]) -> MediaIndex:
        """Index the recordings among ``files``."""
        index = cls()
        for path in files:
            if is_media(path):
                index.found.setdefault(_fold(path.stem), []).append(str(path))
        return index

    def find(self, name: str, transcript: Path) -> tuple[str, str]:
        """Find the recording that a transcript names.

        One in the transcript's own folder wins, then one whose folders have most names in common with the transcript's
        (a mirrored tree), then the nearest; of one place sound wins over picture.

        Args:
            name: Name in ``@Media``, with or without suffix.
            transcript: The transcript.

        Returns:
            Path and "", or "" and why there is none.
        """
        self.asked = name
        stem = name.replace("\\", "/").rpartition("/")[2]
        if Path(stem).suffix.lower() in _RANK:
            stem = Path(stem).stem
        paths = [Path(p) for p in self.found.get(_fold(stem), ())]
        if not paths:
            return "", f"no recording is called {stem!r}"
        ranked = sorted(paths, key=lambda p: (*_distance(p, transcript), _RANK[p.suffix.lower()], str(p)))
        best = ranked[0]
        rivals = [
            p for p in ranked[1:] if p.parent != best.parent and _distance(p, transcript) == _distance(best, transcript)
        ]
        if rivals:
            return "", f"{best} and {rivals[0]} are both called {stem!r}"
        return str(best), ""


def _distance(media: Path, transcript: Path) -> tuple[int, int, int]:
    """How far a recording is from a transcript: own folder, names of folders in common, steps in the tree."""
    ours, theirs = transcript.parent.parts, media.parent.parts
    if ours == theirs:
        return (0, 0, 0)
    common = sum(takewhile(bool, (a == b for a, b in zip(ours, theirs, strict=False))))
    mirrored = len({p.casefold() for p in ours[common:]} & {p.casefold() for p in theirs[common:]})
    return (1, -mirrored, len(ours) + len(theirs) - 2 * common)


def _fold(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def recording_length(path: Path, least: Milliseconds) -> Milliseconds:
    """Return how long a recording is, in ms.

    The header is believed where the container is known to tell the truth. Where it can't be known, or where the header
    says less than ``least``, the recording is decoded.

    Raises:
        MediaError: The recording can't be read.
    """
    container = open_media(path)
    try:
        from asrlsa.media import audio_track

        info = media_info(container, audio_track(container, path))
        honest = bool(set(container.format.name.split(",")) & _HONEST) or promised_length(container, path) is not None
    finally:
        container.close()
    if info.duration_ms is not None and honest and info.duration_ms >= least:
        return info.duration_ms
    with stream(path) as blocks:
        for _ in blocks:
            pass
        return blocks.decoded_ms
