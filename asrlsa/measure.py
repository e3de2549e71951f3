"""Compute language-sample measures of transcripts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from asrlsa.errors import AsrlsaError, UsageError
from asrlsa.scoring.measures import MATTR_WINDOW, Measures, measure_sample
from asrlsa.scoring.sources import read_chat_sample


@dataclass(frozen=True, slots=True)
class Measured:
    """Measures of one participant of one file.

    Attributes:
        file: The file.
        participant: Participant code.
        role: Role of the participant.
        measures: The measures.
    """

    file: str
    participant: str
    role: str
    measures: Measures


def measure(
    paths: Iterable[str | PathLike[str]],
    *,
    participants: Iterable[str] = (),
    window: int = MATTR_WINDOW,
) -> tuple[list[Measured], list[tuple[str, str]]]:
    """Compute the measures of every participant of CHAT files.

    Args:
        paths: CHAT files, or folders that hold some at any depth.
        participants: Codes to measure; all where none is given.
        window: Words in a MATTR window.

    Returns:
        Measures in order of files and first utterances, and ``(file, message)`` of files that could not be read or
        have no utterance.

    Raises:
        UsageError: A path does not exist or holds no CHAT file, no file has a wanted participant, or a window is not
            possible.
    """
    if window < 1:
        raise UsageError("a MATTR window has at least 1 word")
    wanted = frozenset(participants)
    found: list[Measured] = []
    failures: list[tuple[str, str]] = []
    seen: set[str] = set()
    for path in _files(Path(path) for path in paths):
        try:
            sample = read_chat_sample(path, path.stem)
        except (AsrlsaError, OSError) as error:
            failures.append((str(path), str(error)))
            continue
        made = measure_sample(sample, window=window)
        seen |= made.keys()
        if not made:
            failures.append((str(path), "there is no utterance to measure"))
        found += [
            Measured(str(path), code, sample.participants.get(code, ""), measures)
            for code, measures in made.items()
            if not wanted or code in wanted
        ]
    absent = sorted(wanted - seen)
    if absent and seen:
        raise UsageError(f"no file has an utterance of {', '.join(absent)}; there are {', '.join(sorted(seen))}")
    return found, failures


def _files(paths: Iterable[Path]) -> list[Path]:
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            # Hidden folders hold working copies, as of version control.
            inside = sorted(
                p
                for p in path.rglob("*")
                if p.suffix.lower() == ".cha"
                and p.is_file()
                and not any(part.startswith(".") for part in p.relative_to(path).parts)
            )
            if not inside:
                raise UsageError(f"{path} holds no .cha file")
            files += inside
        elif path.exists():
            files.append(path)
        else:
            raise UsageError(f"{path} does not exist")
    if not files:
        raise UsageError("give at least one CHAT file or folder")
    return list(dict.fromkeys(files))
