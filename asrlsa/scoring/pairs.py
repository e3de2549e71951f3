"""Which hypothesis belongs to which reference."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from asrlsa.errors import UsageError
from asrlsa.scoring.samples import Sample
from asrlsa.scoring.sources import find_files, read_manifest, read_sample


@dataclass(frozen=True, slots=True)
class Source:
    """One file, or one recording of a manifest, that can be read when it is its turn.

    Attributes:
        name: Name that pairs are made by.
        path: The file.
        read: Reads it; its argument is the language where the file does not name its own.
        named: Whether the file names its language.
    """

    name: str
    path: Path
    read: Callable[[str], Sample]
    named: bool = False


@dataclass(frozen=True, slots=True)
class Pair:
    """A reference and its hypothesis; None where there is no hypothesis."""

    name: str
    reference: Source
    hypothesis: Source | None


def sources(path: Path, where: Mapping[str, str] | None = None) -> dict[str, Source]:
    """List what a path holds: a file, the recordings of a manifest, or the files below a folder.

    Raises:
        UsageError: The path does not exist or holds nothing that can be scored.
        SourceError: A manifest can't be read.
    """
    if not path.exists():
        raise UsageError(f"{path} does not exist")
    if path.is_dir():
        found = find_files(path)
        if all(p.suffix.lower() == ".jsonl" for p in found.values()):
            return _manifests(list(found.values()), where)
        return {name: _file(file, name) for name, file in found.items()}
    if path.suffix.lower() == ".jsonl":
        return _manifests([path], where)
    return {path.stem: _file(path, path.stem)}


def _manifests(paths: list[Path], where: Mapping[str, str] | None) -> dict[str, Source]:
    """List the recordings of manifests; each may stand in one manifest only."""
    found: dict[str, Source] = {}
    for path in paths:
        for name, recording in read_manifest(path, where).items():
            if name in found:
                raise UsageError(f"{name} stands in {found[name].path} and in {path}; score one manifest at a time")
            found[name] = Source(name, path, recording.read, bool(recording.language))
    if not found:
        wanted = ", ".join(f"{key}={value}" for key, value in (where or {}).items())
        raise UsageError(f"{', '.join(map(str, paths))}: no utterance" + (f" with {wanted}" if wanted else ""))
    return found


def _file(path: Path, name: str) -> Source:
    return Source(name, path, lambda language: read_sample(path, name, language), path.suffix.lower() == ".cha")


def pair_up(
    hypothesis: Path,
    reference: Path,
    *,
    where: Mapping[str, str] | None = None,
    allow_missing: bool = False,
) -> tuple[list[Pair], list[str]]:
    """Pair the files of two paths: two files with each other, folders and manifests by stem.

    Where stems repeat below a folder, the path below the folder decides.

    Args:
        hypothesis: File, manifest or folder.
        reference: File, manifest or folder.
        where: For manifests: fields a line must have.
        allow_missing: A reference without hypothesis is paired with None; a hypothesis without reference is left out.

    Returns:
        Pairs in order of their names, and the names of hypotheses without reference.

    Raises:
        UsageError: A path does not exist, a file has no partner and ``allow_missing`` is off, or ``where`` is given
            and no side is a manifest.
    """
    theirs, ours = sources(hypothesis, where), sources(reference, where)
    if where and not any(s.path.suffix.lower() == ".jsonl" for s in (*theirs.values(), *ours.values())):
        raise UsageError("--where chooses lines of a JSONL manifest, and neither side is one")
    if hypothesis.is_file() and reference.is_file() and len(theirs) == len(ours) == 1 and not where:
        (their,), (our,) = theirs.values(), ours.values()
        return [Pair(our.name, our, their)], []
    if not (set(ours) <= set(theirs) and set(theirs) <= set(ours)):
        ours, theirs = _by_stem(ours, theirs)
    lonely, extra = sorted(set(ours) - set(theirs)), sorted(set(theirs) - set(ours))
    if (lonely or extra) and not allow_missing:
        parts = [f"{len(lonely)} without a hypothesis ({_some(lonely)})"] if lonely else []
        parts += [f"{len(extra)} without a reference ({_some(extra)})"] if extra else []
        raise UsageError(
            f"unpaired files: {'; '.join(parts)}. Pairs are made by file name; --allow-missing scores a missing "
            "hypothesis as all deletions and leaves out a hypothesis without reference"
        )
    if len(lonely) == len(ours):
        raise UsageError(f"no file of {hypothesis} has the name of a file of {reference} ({_some(lonely)})")
    return [Pair(name, ours[name], theirs.get(name)) for name in sorted(ours)], extra


def _by_stem(ours: dict[str, Source], theirs: dict[str, Source]) -> tuple[dict[str, Source], dict[str, Source]]:
    """Key both by stem where no stem repeats on either side; else leave the paths."""
    made = []
    for side in (ours, theirs):
        stems = {name: Path(name).name for name in side}
        if max(Counter(stems.values()).values(), default=0) > 1:
            return ours, theirs
        made.append({stems[name]: source for name, source in side.items()})
    return made[0], made[1]


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
