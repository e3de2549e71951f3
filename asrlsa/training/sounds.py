"""Stretches of recordings, read in any order without decoding a long file for each of them.

Short files are decoded whole, and the last ones used are kept in memory. A 16 kHz mono 16-bit WAV is mapped into memory
where it lies. Any other long recording is decoded once into a file of 16-bit samples in the cache (115 MB an hour),
which every later window, epoch, worker process and run maps. So times are those of `asrlsa.audio` for every format,
also for those in which no one can seek exactly (MP3, video).
"""

from __future__ import annotations

import hashlib
import logging
import time
import wave
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path

import numpy as np
import numpy.typing as npt

from asrlsa.audio import SAMPLE_RATE, SAMPLES_PER_MS, load, probe, stream
from asrlsa.errors import OutputError
from asrlsa.models import cache_dir
from asrlsa.output import claim
from asrlsa.types import Milliseconds

Samples = npt.NDArray[np.float32]
Stored = npt.NDArray[np.int16]

_SHORT_MS = 60_000  # a file up to this length is decoded whole
_MEMORY = 64 << 20  # bytes of decoded short files kept in each process
_MAPPED = 256  # open maps in each process
_IDLE = 7 * 24 * 3600  # s without use after which a stored recording makes room for others
_SCALE = 32768.0
_log = logging.getLogger("asrlsa")


class Sounds:
    """Reads stretches of recordings; may be sent to worker processes, where it starts with nothing in memory."""

    def __init__(self, folder: Path | None = None, limit_gb: float = 20.0) -> None:
        """Keep decoded long recordings in ``folder`` (default: ``sounds`` in the cache), up to ``limit_gb``."""
        self.folder = cache_dir() / "sounds" if folder is None else folder
        self.limit = int(limit_gb * 1e9)
        self._forget()

    def _forget(self) -> None:
        """Begin with nothing in memory."""
        self._decoded: OrderedDict[Path, Samples] = OrderedDict()
        self._held = 0
        self._maps: OrderedDict[Path, Stored] = OrderedDict()
        self._streamed: set[Path] = set()

    def __getstate__(self) -> tuple[Path, int]:
        """Leave behind what is in memory."""
        return self.folder, self.limit

    def __setstate__(self, state: tuple[Path, int]) -> None:
        self.folder, self.limit = state
        self._forget()

    def read(self, path: Path, start: Milliseconds, end: Milliseconds) -> Samples:
        """Return the sound from ``start`` to ``end`` ms: (samples,) float32, 16 kHz mono; less where the file ends.

        Raises:
            MediaError: The recording can't be read.
        """
        first, last = start * SAMPLES_PER_MS, end * SAMPLES_PER_MS
        if path in self._decoded:
            self._decoded.move_to_end(path)
            return self._decoded[path][first:last]
        if path in self._maps:
            self._maps.move_to_end(path)
            return _floats(self._maps[path][first:last])
        if path in self._streamed:
            return _streamed(path, first, last)
        return self._open(path, first, last)

    def _open(self, path: Path, first: int, last: int) -> Samples:
        """Choose how to read a file that is new, and read."""
        mapped = _wave_map(path)
        if mapped is None:
            length = probe(path).duration_ms
            if length is not None and length <= _SHORT_MS:
                sound = load(path)
                self._keep(path, sound)
                return sound[first:last]
            mapped = self._stored(path, length)
        if mapped is None:
            self._streamed.add(path)
            return _streamed(path, first, last)
        self._maps[path] = mapped
        if len(self._maps) > _MAPPED:
            self._maps.popitem(last=False)
        return _floats(mapped[first:last])

    def _keep(self, path: Path, sound: Samples) -> None:
        self._decoded[path] = sound
        self._held += sound.nbytes
        while self._held > _MEMORY and len(self._decoded) > 1:
            self._held -= self._decoded.popitem(last=False)[1].nbytes

    def _stored(self, path: Path, length: Milliseconds | None) -> Stored | None:
        """Map the decoded recording, decoding it first where that was never done; None where there is no room."""
        found = path.stat()
        name = hashlib.sha256(f"{path}\0{found.st_size}\0{found.st_mtime_ns}".encode("utf-8", "replace")).hexdigest()
        target = self.folder / f"{name[:32]}.s16"
        while not target.exists():
            if not self._room(2 * SAMPLES_PER_MS * (length or 3_600_000)):
                _log.warning(
                    "%s: no room for the decoded recording in %s; it is decoded again for each window, which is slow: "
                    "raise data.sound_cache_gb or cut clips (asrlsa prepare --cut)",
                    path,
                    self.folder,
                )
                return None
            try:
                with claim(target) as mine:
                    if mine and not target.exists():
                        _decode(path, target)
            except OSError as error:
                raise OutputError(f"{self.folder}: can't be written ({error.strerror or error})") from None
            if not mine:
                time.sleep(0.2)  # another worker decodes it
        with suppress(OSError):
            target.touch()
        return np.memmap(target, dtype=np.int16, mode="r") if target.stat().st_size else np.zeros(0, np.int16)

    def _room(self, needed: int) -> bool:
        """Whether ``needed`` bytes fit; recordings not used for a week are removed for it."""
        kept = sorted((f.stat().st_mtime, f.stat().st_size, f) for f in self.folder.glob("*.s16"))
        total = sum(size for _, size, _ in kept) + needed
        for used, size, file in kept:
            if total <= self.limit or time.time() - used < _IDLE:
                break
            with suppress(OSError):
                file.unlink()
                total -= size
        return total <= self.limit


def _decode(path: Path, target: Path) -> None:
    """Write a recording as 16-bit samples; ``target`` is whole or not there."""
    beside = target.with_suffix(".part")
    with stream(path) as blocks, beside.open("wb") as file:
        for block in blocks:
            file.write(_sixteen(block).tobytes())
    for note in blocks.notes:
        _log.warning("%s: %s", path, note)
    beside.replace(target)


def _wave_map(path: Path) -> Stored | None:
    """Map a 16 kHz mono 16-bit WAV, or return None."""
    if path.suffix.lower() != ".wav":
        return None
    try:
        with path.open("rb") as file, wave.open(file) as header:
            form = (header.getnchannels(), header.getsampwidth(), header.getframerate())
            if form != (1, 2, SAMPLE_RATE) or header.getcomptype() != "NONE":
                return None
            count = header.getnframes()
            at = file.tell()
        count = min(count, (path.stat().st_size - at) // 2)
        return np.memmap(path, dtype="<i2", mode="r", offset=at, shape=(count,)) if count > 0 else None
    except (wave.Error, EOFError, OSError, ValueError):
        return None  # `probe` says what is wrong


def _sixteen(block: Samples) -> Stored:
    return np.asarray(np.clip(np.round(block * np.float32(_SCALE)), -_SCALE, _SCALE - 1), dtype=np.int16)


def _floats(stored: Stored) -> Samples:
    return np.asarray(np.asarray(stored, dtype=np.float32) / np.float32(_SCALE), dtype=np.float32)


def _streamed(path: Path, first: int, last: int) -> Samples:
    """Decode a recording up to ``last`` and return what lies from ``first`` on."""
    kept: list[Samples] = []
    at = 0
    with stream(path) as blocks:
        for block in blocks:
            if at + len(block) > first:
                kept.append(block[max(0, first - at) : last - at])
            at += len(block)
            if at >= last:
                break
    return np.concatenate(kept) if kept else np.zeros(0, np.float32)
