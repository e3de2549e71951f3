"""What to transcribe, where the transcript goes, who speaks.

`asrlsa.stamps` tells what is transcribed already, `asrlsa.output` writes; their functions are offered here too.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from asrlsa.errors import UsageError
from asrlsa.output import append_error, claim, tidy, write_atomic
from asrlsa.participants import (
    CSV_NAME,
    parse_participants,
    participants_in,
    read_participants_csv,
    without_recording,
)
from asrlsa.stamps import (
    existing,
    is_edited,
    read_stamp,
    recording_fingerprint,
    same_recording,
    seal,
    stamp,
    stamp_comment,
)
from asrlsa.types import Participant

__all__ = [
    "AUDIO_SUFFIXES",
    "VIDEO_SUFFIXES",
    "Recording",
    "append_error",
    "claim",
    "existing",
    "find_recordings",
    "is_edited",
    "parse_participants",
    "participants_for",
    "read_participants_csv",
    "read_stamp",
    "recording_fingerprint",
    "same_recording",
    "seal",
    "stamp",
    "stamp_comment",
    "tidy",
    "write_atomic",
]

# Files with these endings are taken from folders; a file that is named is tried whatever its ending. The order
# decides which of two recordings with one stem keeps the stem: sound before picture.
_AUDIO = (
    ".wav .wave .flac .aif .aiff .aifc .caf .au .w64 .wv .m4a .m4b .mp3 .aac .ogg .oga .opus .spx .wma .amr .mka .mp2 "
    ".mpga .ac3 .dss"
)
_VIDEO = ".mp4 .m4v .mov .mkv .webm .avi .wmv .asf .3gp .3g2 .flv .mpg .mpeg .mts .m2ts .ogv .vob .mxf .dv"
AUDIO_SUFFIXES: Final = tuple(_AUDIO.split())
VIDEO_SUFFIXES: Final = tuple(_VIDEO.split())
_RANK: Final = {suffix: rank for rank, suffix in enumerate((*AUDIO_SUFFIXES, *VIDEO_SUFFIXES))}

_NOT_TEXT: Final = frozenset(("Cc", "Cs", "Zl", "Zp"))  # control, half a pair, line and paragraph separators

Note = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Recording:
    """One file to transcribe.

    Attributes:
        path: The recording as it was given or found.
        output: Its CHAT file; the stem is what ``@Media`` must say.
        relative: Path below the folder that was searched; the file's name where the file itself was given.
        root: The folder that was searched, or the folder of the file that was given.
    """

    path: Path
    output: Path
    relative: Path
    root: Path


def find_recordings(
    paths: Sequence[Path],
    out: Path | None = None,
    *,
    suffixes: Iterable[str] = (*AUDIO_SUFFIXES, *VIDEO_SUFFIXES),
    on_note: Note | None = None,
) -> list[Recording]:
    """List the recordings in files and folders, each once, in the order given and by name within a folder.

    Hidden files, ``._`` files of macOS and asrlsa's own are skipped. ``*`` and ``?`` in a name that does not exist are
    matched, as Windows leaves them to the program.

    The transcript has the recording's stem. Where several recordings of a folder have one stem (``a.wav``, ``a.mp4``),
    the first by kind (sound before picture) keeps it and the others get ``a_mp4.cha``; what ``@Media`` can't hold (a
    comma, a double quote, a control character, a stem that ends like a media file) is replaced by ``_``. CHAT wants
    the stem of transcript and recording to be equal, so a note says what to rename.

    Args:
        paths: Files and folders; folders are searched with their subfolders.
        out: Folder for the transcripts; a folder's structure is kept below it. With several folders each gets its own
            name below ``out``. None puts transcripts beside recordings.
        suffixes: Endings taken from folders, with the dot, in lower case.
        on_note: Hears about names that had to change and about folders that can't be read.

    Raises:
        UsageError: A path does not exist, or is a transcript.
    """
    tell = on_note or _silent
    wanted = frozenset(suffixes)
    given = [match for path in paths for match in _matches(Path(path))]
    folders = _folder_names([path for path in given if path.is_dir()])
    seen: set[str] = set()
    found: list[Recording] = []
    names = _Names(out, wanted, tell)
    for path in given:
        for file, root in _files(path, wanted, tell):
            identity = os.path.realpath(file)
            if identity in seen:
                continue
            seen.add(identity)
            relative = file.relative_to(root)
            below = folders.get(path, Path()) if path.is_dir() else Path()
            target = file.parent if out is None else out / below / relative.parent
            found.append(Recording(file, names.output(file, target), relative, root))
    return found


def participants_for(
    recording: Recording | Path, given: tuple[Participant, ...] = (), *, on_note: Note | None = None
) -> tuple[Participant, ...]:
    """Return the participants of a recording.

    Args:
        recording: The recording. For a `Recording` ``participants.csv`` is looked for in its folder and in those above
            it up to the one that was searched; for a path in its own folder only.
        given: Participants of the command line, which win over any table.
        on_note: Hears about ignored columns and unmatched rows, once for each table.

    Returns:
        Participants in the order of preference; empty where nothing is said about this recording.

    Raises:
        ConfigError: The table is wrong; the message names file, row and column.
    """
    if given:
        return given
    path, root = (recording.path, recording.root) if isinstance(recording, Recording) else (recording, None)
    folder = path.parent
    while True:
        table = folder / CSV_NAME
        if table.is_file():
            return participants_in(_table(table, on_note or _silent), path, folder)
        if root is None or folder == root or folder == folder.parent:
            return ()
        folder = folder.parent


class _Names:
    """Gives every recording a transcript of its own whose stem ``@Media`` can hold."""

    def __init__(self, out: Path | None, suffixes: frozenset[str], tell: Note) -> None:
        self.out, self.suffixes, self.tell = out, suffixes, tell
        self.taken: dict[str, Path] = {}
        self.listings: dict[Path, dict[str, list[str]]] = {}

    def output(self, file: Path, folder: Path) -> Path:
        """Return the transcript of ``file`` in ``folder``."""
        stem = _media_stem(file.stem)
        family = self._family(file)
        if family and family[0] != file.name:
            stem = f"{stem}_{_media_stem(file.suffix[1:].lower())}"
        path = folder / f"{stem}.cha"
        number = 2
        while self.taken.setdefault(_fold(os.path.realpath(path)), file) != file:
            path = folder / f"{stem}_{number}.cha"
            number += 1
        if path.absolute() == file.absolute():
            raise UsageError(f"{file}: is a CHAT transcript, not a recording")
        if path.stem != file.stem:
            self.tell(
                f"{file}: its transcript is {path.name}; to play the recording from it, rename the recording to "
                f"{path.stem}{file.suffix}"
            )
        return path

    def _family(self, file: Path) -> list[str]:
        """Recordings of the same folder and stem, by rank; the folder decides, not what was given on this run."""
        listing = self.listings.get(file.parent)
        if listing is None:
            listing = {}
            try:
                entries = sorted(entry.name for entry in file.parent.iterdir())
            except OSError:
                entries = []
            for name in entries:
                entry = Path(name)
                if entry.suffix.lower() in self.suffixes and not _is_hidden(name):
                    listing.setdefault(_fold(_media_stem(entry.stem)), []).append(name)
            self.listings[file.parent] = listing
        family = listing.get(_fold(_media_stem(file.stem)), [])
        if file.name not in family and family:
            family = [*family, file.name]
        # A stem as it is comes before one that was repaired (a_b.wav before "a,b.wav"), sound before picture.
        return sorted(family, key=lambda n: (Path(n).stem != _media_stem(Path(n).stem), _rank(n), n))


def _matches(path: Path) -> list[Path]:
    """Return the path, or what its wildcards match."""
    if path.exists():
        return [path]
    if any(sign in path.name for sign in "*?") and path.parent.is_dir():
        found = sorted(entry for entry in path.parent.glob(path.name) if not _is_hidden(entry.name))
        if found:
            return found
    if os.path.lexists(path):
        raise UsageError(f"{path}: is a link to a file that does not exist")
    raise UsageError(f"{path}: no such file or folder")


def _files(path: Path, suffixes: frozenset[str], tell: Note) -> Iterator[tuple[Path, Path]]:
    """Yield (recording, folder that was searched)."""
    if not path.is_dir():
        yield path, path.parent
        return

    def unreadable(error: OSError) -> None:
        tell(f"{error.filename}: the folder can't be read ({error.strerror}); skipped")

    for folder, below, names in os.walk(path, onerror=unreadable):
        below[:] = sorted(name for name in below if not _is_hidden(name))
        for name in sorted(names):
            file = Path(folder) / name
            if file.suffix.lower() in suffixes and not _is_hidden(name) and file.exists():
                yield file, path


def _folder_names(folders: Sequence[Path]) -> dict[Path, Path]:
    """Return the folder below ``out`` of each folder that was given: none for a single one."""
    distinct = {os.path.realpath(folder): folder for folder in folders}
    if len(distinct) < 2:
        return {}
    names: dict[Path, Path] = {}
    taken: set[str] = set()
    for real, folder in distinct.items():
        name, number = Path(real).name or "root", 2
        while _fold(name) in taken:
            name = f"{Path(real).name}_{number}"
            number += 1
        taken.add(_fold(name))
        names[folder] = Path(name)
    return names


_tables: dict[tuple[Path, int, int], dict[str, tuple[Participant, ...]]] = {}


def _table(path: Path, tell: Note) -> dict[str, tuple[Participant, ...]]:
    """Read a table once; its notes are told then."""
    look = path.stat()
    key = (path.resolve(), look.st_size, look.st_mtime_ns)
    if key not in _tables:
        table = read_participants_csv(path, on_note=tell)
        recordings = [file for file, _ in _files(path.parent, frozenset(_RANK), _silent)]
        for name in without_recording(table, recordings, path.parent):
            tell(f"{path}: no recording here is called {name!r}; its rows are not used")
        _tables[key] = table
    return _tables[key]


def _is_hidden(name: str) -> bool:
    """Whether a file is hidden, a macOS companion (``._a.wav``), an office lock (``~$``) or asrlsa's own."""
    return name.startswith((".", "~$"))


def _rank(name: str) -> int:
    return _RANK.get(Path(name).suffix.lower(), len(_RANK))


def _media_stem(stem: str) -> str:
    """Return a stem that ``@Media`` can hold: no comma, quote, control character, blank at an edge, or media suffix."""
    held = "".join("_" if char in ',"' or unicodedata.category(char) in _NOT_TEXT else char for char in stem)
    held = re.sub(r"^\s+|\s+$", "_", held) or "_"
    return "_".join(held.rsplit(".", 1)) if Path(held).suffix.lower() in _RANK else held


def _fold(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _silent(text: str) -> None:
    """Hear nothing."""
