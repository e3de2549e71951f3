"""What of a corpus is read: its layout is told by the files that it holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from asrlsa.corpora import datasets, tables
from asrlsa.corpora.candidates import SPLIT_NAMES, SourceFile
from asrlsa.corpora.media import MediaIndex, is_media, walk
from asrlsa.errors import UsageError

# In a folder with several layouts the first of these is read: the one that says most.
ORDER = ("cha", "textgrid", "tsv", "jsonl", "csv", "txt")
_KINDS = {".cha": "cha", ".textgrid": "textgrid", ".tsv": "tsv", ".jsonl": "jsonl", ".json": "jsonl", ".csv": "csv"}
_KINDS[".txt"] = "txt"
_COMMON_VOICE = ("train", "dev", "test")
_LEFT = ("invalidated", "other", "reported", "unvalidated_sentences", "validated_sentences", "clip_durations")

Note = Callable[[str], None]


@dataclass(slots=True)
class Corpus:
    """What was found.

    Attributes:
        sources: What is read, in order.
        media: The recordings, by stem, where transcripts need them.
        notes: What was left aside, in words.
    """

    sources: list[SourceFile] = field(default_factory=list)
    media: MediaIndex = field(default_factory=MediaIndex)
    notes: list[str] = field(default_factory=list)


def discover(
    paths: Sequence[Path], format_: str = "auto", *, media: Sequence[Path] = (), out: Path | None = None
) -> Corpus:
    """Find what is to be read in files and folders.

    Args:
        paths: Folders, transcripts or tables.
        format_: Layout to read, or ``auto``.
        media: More folders with recordings.
        out: Folder of the results, which is not part of the corpus.

    Raises:
        UsageError: A path does not exist, or nothing in it is a corpus.
    """
    corpus = Corpus()
    recordings: list[Path] = []
    for given in paths:
        path = given.resolve() if given.is_dir() else given.parent.resolve() / given.name
        if path.is_dir():
            files = [] if datasets.is_dataset(path) else list(walk(path, out))
            corpus.sources += _in_folder(path, files, format_, corpus.notes)
            recordings += filter(is_media, files)
        elif path.is_file():
            corpus.sources.append(_file(path, format_))
            recordings += filter(is_media, walk(path.parent, out)) if corpus.sources[-1].kind in _WITH_MEDIA else ()
        else:
            raise UsageError(f"{given}: no such file or folder")
    for folder in media:
        if not folder.is_dir():
            raise UsageError(f"--media {folder}: no such folder")
        recordings += filter(is_media, walk(folder.resolve(), out))
    if any(source.kind in _WITH_MEDIA for source in corpus.sources):
        corpus.media = MediaIndex.of(dict.fromkeys(recordings))
    return corpus


_WITH_MEDIA = ("cha", "textgrid", "txt")


def _file(path: Path, format_: str) -> SourceFile:
    kind = _KINDS.get(path.suffix.lower(), "") if format_ == "auto" else format_
    if not kind or kind == "dataset":
        raise UsageError(f"{path}: is not a corpus; give a folder, or a {', '.join(_KINDS)} file")
    return SourceFile(kind, path, path.parent, _split_of(path))


def _in_folder(root: Path, files: Sequence[Path], format_: str, notes: list[str]) -> list[SourceFile]:
    """Choose the layout of a folder and list its files."""
    if datasets.is_dataset(root) and format_ in ("auto", "dataset"):
        return datasets.parts_of(root, root)
    kinds: dict[str, list[Path]] = {}
    media = {(f.parent, f.stem) for f in files if is_media(f)}
    for path in files:
        kind = _KINDS.get(path.suffix.lower())
        if kind == "txt" and (path.parent, path.stem) not in media:
            continue
        if kind is not None:
            kinds.setdefault(kind, []).append(path)
    for kind in ("tsv", "jsonl", "csv"):
        if kind in kinds and (format_ == kind or (format_ == "auto" and not {"cha", "textgrid"} & kinds.keys())):
            kinds[kind] = [path for path in _parts(kinds[kind], notes) if tables.is_table(path)]
    wanted = ORDER if format_ == "auto" else (format_,)
    chosen = next((kind for kind in wanted if kinds.get(kind)), None)
    if chosen is None:
        what = "utterances with recordings" if format_ == "auto" else f"files of the format {format_}"
        raise UsageError(
            f"{root}: there are no {what} in this folder; give a folder of .cha, .TextGrid, .tsv, .jsonl, .csv or .txt"
        )
    left = Counter({k: len(v) for k, v in kinds.items() if k != chosen and v and k != "txt"})
    if left and format_ == "auto":
        others = ", ".join(f"{count} {kind}" for kind, count in left.items())
        notes.append(f"{root}: read as {chosen}; {others} left aside (choose with --format)")
    return [SourceFile(chosen, path, root, _split_of(path)) for path in kinds[chosen]]


def _parts(paths: Sequence[Path], notes: list[str]) -> list[Path]:
    """Leave out tables that repeat others: Common Voice has its utterances in ``validated`` and again in the parts."""
    found: list[Path] = []
    for folder in dict.fromkeys(path.parent for path in paths):
        here = [path for path in paths if path.parent == folder and path.stem.lower() not in _LEFT]
        parts = [path for path in here if path.stem.lower() in _COMMON_VOICE]
        repeated = [path for path in here if path.stem.lower() == "validated"]
        if parts and repeated:
            notes.append(f"{repeated[0]}: left aside, as its utterances stand in {', '.join(p.name for p in parts)}")
            here = [path for path in here if path not in repeated]
        found += here
    return found


def _split_of(path: Path) -> str:
    return SPLIT_NAMES.get(path.stem.lower(), "")
