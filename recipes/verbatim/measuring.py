"""What `calibrate.py` and `evaluate.py` share: rows of manifests, recordings with references, transcribing, figures."""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from asrlsa.config import TranscribeOptions
from asrlsa.evaluate import Evaluation
from asrlsa.model_card import read_card, write_card
from asrlsa.scoring.events import EventScores, score_events
from asrlsa.scoring.normalise import DEFAULT_STEPS, policy
from asrlsa.scoring.samples import Sample
from asrlsa.scoring.words import score_words
from asrlsa.transcription import Outcome, transcribe_folder

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
from recall import counted, reference

TYPES = {
    "fillers": ("filled_pause",),
    "repetitions": ("word_repetition", "phrase_repetition"),
    "retracings": ("retracing", "reformulation", "false_start"),
    "fragments": ("fragment", "part_word_repetition"),
}
MANIFESTS = ("manifest.jsonl", "dev.jsonl")
Rows = dict[Path, list[dict[str, Any]]]


def manifest_of(data: Path, names: Sequence[str] = MANIFESTS) -> Path:
    """Return the first manifest of a folder that is there, else what its name would be; a file is its own manifest."""
    if not data.is_dir():
        return data
    return next((data / name for name in names if (data / name).exists()), data / names[0])


def rows_of(manifest: Path, split: str = "", default: str = "") -> Rows:
    """Return the rows of a manifest by recording.

    Args:
        manifest: The file.
        split: Only rows of this split; without it all.
        default: Split of rows that name none.
    """
    if not manifest.exists():
        sys.exit(f"{manifest}: there is no such manifest")
    found: Rows = {}
    for number, line in enumerate(manifest.read_text(encoding="utf-8").splitlines(), 1):
        try:
            row = json.loads(line)
            audio = manifest.parent / row["audio"]
        except (ValueError, KeyError, TypeError):
            sys.exit(f"{manifest}, line {number}: is no JSON object with audio")
        # A note such as [laughter] is no word that a recogniser should write.
        row["text_verbatim"] = re.sub(r"\[[^\]]*\]", "", row.get("text") or row.get("text_verbatim") or "")
        if (row["text_verbatim"] or row.get("chat")) and (not split or row.get("split", default) == split):
            found.setdefault(audio, []).append(row)
    return found


def dev_rows(data: Path) -> Rows:
    """Return the rows of split dev of a folder or manifest by recording."""
    return rows_of(manifest_of(data, ("dev.jsonl", "manifest.jsonl")), "dev", default="dev")


def judged(reference: Sample, hypothesis: Sample) -> EventScores:
    """Compare the disfluencies of two transcripts of a recording, as ``asrlsa evaluate`` does."""
    words = score_words(reference, hypothesis, policy("verbatim", DEFAULT_STEPS))
    return score_events(reference, hypothesis, words.words, words.ops)


def add_recording(audio: Path, text: str, links: Path, references: Path) -> Path:
    """Link a recording as FOLDER-STEM, FOLDER being that of the links, write its reference so, and return the link."""
    name = f"{links.name}-{audio.stem}"
    link = links / f"{name}{audio.suffix}"
    if (references / f"{name}.cha").exists():
        sys.exit(f"{audio}: another recording of the set is called {audio.stem} too")
    link.symlink_to(audio.resolve())
    (references / f"{name}.cha").write_text(text, encoding="utf-8")
    return link


def add_rows(rows: Mapping[Path, Sequence[dict[str, Any]]], links: Path, references: Path, language: str) -> list[Path]:
    """Link the recordings of a manifest, sorted, and write their references."""
    return [
        add_recording(audio, reference(f"{links.name}-{audio.stem}", rows[audio], language), links, references)
        for audio in sorted(rows)
    ]


def hear(
    paths: Sequence[Path], out: Path, model: Path, language: str, prompt: str, threads: int, *, overwrite: bool = False
) -> Outcome:
    """Transcribe as ``asrlsa transcribe`` does, and end the program where a recording can't be.

    The model is given as a folder, so that no packaged adapter is put on it; an empty prompt is none.
    """
    options = TranscribeOptions(model=str(model), offline=True, language=language, prompt=prompt, threads=threads)
    outcome = transcribe_folder(paths, out=out, options=options, overwrite=overwrite)
    if outcome.failed:
        sys.exit(f"{outcome.failed[0]} could not be transcribed; see {outcome.log}")
    return outcome


def decide(folder: Path, **decoding: float) -> None:
    """Write decoding settings into the card of a model or adapter, unless they are there."""
    card = read_card(folder)
    if card is not None and any(card.decoding.get(key) != value for key, value in decoding.items()):
        write_card(folder, replace(card, decoding={**card.decoding, **decoding}))


def figures(found: Evaluation, types: Mapping[str, Iterable[str]]) -> dict[str, Any]:
    """Return word error rates with their intervals, and for each type the events matched, said and written."""
    return {
        **{name: rate for name in ("wer", "fluent_wer") if (rate := figure(found, name))},
        "events": {name: list(counted(found, kinds)) for name, kinds in types.items()},
    }


def figure(found: Evaluation, name: str) -> dict[str, Any]:
    """Return a score with its interval; nothing where it can't be computed."""
    if found.scores.get(name) is None:
        return {}
    return {"value": found.scores[name], "interval": found.intervals[name]}


def wilson(part: int, whole: int, z: float = 1.959964) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a share, from 0 to 1; (0, 1) where there is nothing to share."""
    if not whole:
        return 0.0, 1.0
    share, square = part / whole, z * z / whole
    middle = (share + square / 2) / (1 + square)
    half = z * math.sqrt(share * (1 - share) / whole + square / (4 * whole)) / (1 + square)
    return max(0.0, middle - half), min(1.0, middle + half)
