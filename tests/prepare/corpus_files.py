"""Small corpora with generated sound, for the tests of `asrlsa prepare`."""

import json
import wave
from collections.abc import Iterable
from pathlib import Path

import numpy as np

RATE = 16_000


def tone(seconds: float, hertz: float = 220.0) -> np.ndarray:
    """A quiet tone."""
    return (0.1 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * RATE)) / RATE)).astype(np.float32)


def write_wav(path: Path, samples: np.ndarray, rate: int = RATE) -> Path:
    """Write mono 16 bit."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes(np.round(samples * 32767).astype("<i2").tobytes())
    return path


def bullet(start: int, end: int) -> str:
    return f" \x15{start}_{end}\x15"


def write_chat(
    path: Path,
    utterances: Iterable[str],
    *,
    participants: str = "CHI Target_Child, INV Investigator",
    ids: Iterable[str] = ("eng|test|CHI|4;06.|female|TD||Target_Child|||", "eng|test|INV|||||Investigator|||"),
    media: str | None = None,
    languages: str = "eng",
) -> Path:
    """Write a CHAT file; an utterance is ``CHI: text . @0_1000`` (the times in ms) or one without times."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ["@UTF8", "@Begin", f"@Languages:\t{languages}", f"@Participants:\t{participants}"]
    lines += [f"@ID:\t{line}" for line in ids]
    lines.append(f"@Media:\t{media or path.stem}, audio")
    for utterance in utterances:
        code, text = utterance.split(": ", 1)
        said, at, times = text.partition(" @")
        lines.append(f"*{code}:\t{said}" + (f" \x15{times}\x15" if at else ""))
    lines.append("@End")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def write_lines(path: Path, rows: Iterable[dict[str, object]]) -> Path:
    """Write JSON lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def read_lines(path: Path) -> list[dict[str, object]]:
    """Read JSON lines."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def all_rows(data: Path) -> list[dict[str, object]]:
    """Every row of a data folder, with its part."""
    return [{**row, "part": part} for part in ("train", "dev", "test") for row in read_lines(data / f"{part}.jsonl")]


def reasons(data: Path) -> dict[str, str]:
    """Line of the source -> reason, for what was left out."""
    return {str(row["source"]).rpartition(":")[2]: str(row["reason"]) for row in read_lines(data / "dropped.jsonl")}
