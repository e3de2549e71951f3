"""Word times: cross-attention alone against cross-attention refined by PocketSphinx.

::

    python benchmarks/word_times.py --data ../shared/data --model DIR [--textgrids DIR] [--cache FILE.json]

There is no set with hand-made word boundaries in the shared data, so the truth is made in three ways:

* ``synthetic``: disfluent synthetic speech (splits train and dev) whose utterance edges are known, because the
  utterances were placed by the script that made them. The first word's start and the last word's end are scored, and
  apart from that those of utterances that begin or end with a filler.
* ``child``: children's read sentences (split train) joined to recordings of about 25 s; the edges are the points
  where the energy of a clean clip rises from and falls back to its noise floor.
* ``textgrid``: every ``X.wav`` + ``X.TextGrid`` pair of ``--textgrids``, with a word tier called ``words``. The
  figures of docs/word-times.md use three recordings from the test data of the Montreal Forced Aligner (MIT).

``ami`` and ``phone`` have no word boundaries: only the share of words aligned and the speed are given for them.
The words come from faster-whisper, greedy, with the filler prompt of asrlsa before every window.
"""

from __future__ import annotations

import argparse
import difflib
import json
import re
import time
from collections import defaultdict
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import soundfile as sf

from asrlsa.types import Word

RATE = 16000
PROMPT = (
    "Um, uh, so, like, I was, uh, I was gonna, um, I- I w- went to the, the store and, uh, you know, mm, yeah."
)
FILLERS = {"um", "uh", "er", "erm", "hm", "hmm", "mm", "ah", "mhm"}


@dataclass
class Recording:
    """Audio with its reference words; a reference word may lack its start or end (None: not scored)."""

    name: str
    audio: np.ndarray
    reference: list[Word] = field(default_factory=list)


def load(path: Path) -> np.ndarray:
    audio, rate = sf.read(path, dtype="float32")
    if rate != RATE:
        raise SystemExit(f"{path}: {rate} Hz; this benchmark reads 16 kHz")
    return audio if audio.ndim == 1 else audio.mean(axis=1)


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "manifest.jsonl").read_text(encoding="utf-8").splitlines()]


def edge_words(text: str, start: int | None, end: int | None) -> list[Word]:
    """Words of one utterance, of which only the first start and the last end are known."""
    tokens = text.split()
    return [
        Word(token, start if i == 0 else None, end if i == len(tokens) - 1 else None) for i, token in enumerate(tokens)
    ]


def synthetic(data: Path) -> list[Recording]:
    """Recordings of the splits train and dev, without reverberation (it smears the ends)."""
    folder = data / "synthetic"
    recordings = [json.loads(line) for line in (folder / "recordings.jsonl").read_text(encoding="utf-8").splitlines()]
    wanted = {r["audio"] for r in recordings if r["split"] != "test" and not r["reverb_s"]}
    utterances = defaultdict(list)
    for row in rows(folder):
        if row["audio"] in wanted:
            utterances[row["audio"]].append(row)
    found = []
    for audio in sorted(utterances):
        # The script trimmed each utterance to 40 ms before the first and 60 ms after the last loud sample.
        reference = [
            word
            for row in utterances[audio]
            for word in edge_words(
                row["text_verbatim"], round(row["start"] * 1000) + 40, round(row["end"] * 1000) - 60
            )
        ]
        found.append(Recording(Path(audio).stem, load(folder / audio), reference))
    return found


def energy_edges(audio: np.ndarray) -> tuple[int, int] | None:
    """First and last speech in a clean clip, in ms; None where the clip is not clean enough to tell."""
    frames = audio[: len(audio) // 160 * 160].reshape(-1, 160)
    level = 10 * np.log10((frames**2).mean(axis=1) + 1e-10)
    floor, peak = np.percentile(level, 10), np.percentile(level, 95)
    if peak - floor < 35:
        return None
    loud = level > floor + 12
    runs = np.flatnonzero(np.convolve(loud, np.ones(5), "valid") == 5)
    if not len(runs) or runs[0] < 15 or len(level) - runs[-1] - 5 < 15:
        return None
    return int(runs[0]) * 10, int(runs[-1] + 5) * 10


def child(data: Path) -> list[Recording]:
    """Clean clips of the split train, joined five at a time."""
    folder = data / "child_read"
    found: list[Recording] = []
    pieces: list[np.ndarray] = []
    reference: list[Word] = []
    at = 0
    for row in rows(folder):
        if row["split"] != "train":
            continue
        audio = load(folder / row["audio"])
        edges = energy_edges(audio)
        if edges is None:
            continue
        reference += edge_words(row["text_verbatim"], at + edges[0], at + edges[1])
        pieces.append(audio)
        at += len(audio) * 1000 // RATE
        if at > 22000:
            found.append(Recording(f"child{len(found):03d}", np.concatenate(pieces), reference))
            pieces, reference, at = [], [], 0
    return found


def textgrids(folder: Path) -> list[Recording]:
    """Recordings with a word tier; reads the short and the long form of TextGrid."""
    found = []
    for path in sorted(folder.glob("*.TextGrid")):
        wav = path.with_suffix(".wav")
        if not wav.exists():
            continue
        values = re.findall(r'"[^"]*"|(?<![\w\[])-?\d+(?:\.\d+)?(?![\w\]])', path.read_text(encoding="utf-8"))
        at = values.index('"words"')
        count = int(values[at + 3])
        cells = values[at + 4 : at + 4 + 3 * count]
        reference = [
            Word(cells[i + 2].strip('"'), round(float(cells[i]) * 1000), round(float(cells[i + 1]) * 1000))
            for i in range(0, len(cells), 3)
            if cells[i + 2].strip('" ') not in ("", "sil", "sp")
        ]
        found.append(Recording(path.stem, load(wav), reference))
    return found


def untimed(folder: Path) -> list[Recording]:
    """Recordings without truth, for coverage and speed."""
    return [Recording(p.stem, load(p)) for p in sorted(folder.glob("*.flac"))]


def cross_attention(recordings: list[Recording], model_dir: str, threads: int) -> dict[str, list[dict[str, Any]]]:
    """Words with faster-whisper's cross-attention times, one call a recording (all are about 30 s or less)."""
    from faster_whisper import WhisperModel

    model = WhisperModel(model_dir, device="cpu", compute_type="int8", cpu_threads=threads)
    out: dict[str, list[dict[str, Any]]] = {}
    for recording in recordings:
        segments, _ = model.transcribe(
            recording.audio, language="en", beam_size=1, temperature=0.0, word_timestamps=True, initial_prompt=PROMPT,
            condition_on_previous_text=True, no_speech_threshold=None, log_prob_threshold=None,
            compression_ratio_threshold=None,
        )
        words = [w for segment in segments for w in segment.words or []]
        out[recording.name] = [
            asdict(Word(w.word.strip(), round(w.start * 1000), round(w.end * 1000), w.probability)) for w in words
        ]
    return out


def key(text: str) -> str:
    return re.sub(r"[^a-z0-9']", "", text.lower())


@dataclass
class Score:
    """Errors in ms, hypothesis minus truth."""

    starts: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    filler_starts: list[int] = field(default_factory=list)
    filler_overlaps: list[float] = field(default_factory=list)
    untimed: int = 0
    words: int = 0


def score(recordings: list[Recording], times: dict[str, list[Word]]) -> Score:
    """Compare the times of words that hypothesis and reference share."""
    result = Score()
    for recording in recordings:
        words = times[recording.name]
        result.words += len(words)
        matcher = difflib.SequenceMatcher(
            None, [key(w.text) for w in recording.reference], [key(w.text) for w in words], autojunk=False
        )
        for i, j, size in matcher.get_matching_blocks():
            for truth, word in zip(recording.reference[i : i + size], words[j : j + size], strict=True):
                compare(result, truth, word)
    return result


def compare(result: Score, truth: Word, word: Word) -> None:
    if truth.start is None and truth.end is None:
        return
    if word.start is None or word.end is None:
        result.untimed += 1
        return
    if truth.start is not None:
        result.starts.append(word.start - truth.start)
        if key(truth.text) in FILLERS:
            result.filler_starts.append(word.start - truth.start)
    if truth.end is not None:
        result.ends.append(word.end - truth.end)
        if truth.start is not None and key(truth.text) in FILLERS:
            shared = min(truth.end, word.end) - max(truth.start, word.start)
            union = max(truth.end, word.end) - min(truth.start, word.start)
            result.filler_overlaps.append(max(0, shared) / union)


def spread(errors: list[int]) -> str:
    if not errors:
        return "-"
    size = np.abs(np.array(errors))
    bias = float(np.mean(errors))
    return f"{np.median(size):.0f} / {size.mean():.0f} / {100 * (size > 200).mean():.0f} ({bias:+.0f}, n={len(errors)})"


def line(name: str, method: str, result: Score, rest: str = "") -> None:
    swallowed = sum(error < -200 for error in result.filler_starts)
    overlap = f"{np.mean(result.filler_overlaps):.2f}" if result.filler_overlaps else "-"
    print(
        f"| {name} | {method} | {spread(result.starts)} | {spread(result.ends)} | {spread(result.filler_starts)} | "
        f"{overlap} | {swallowed} of {len(result.filler_starts)} | {result.untimed} | {rest} |",
        flush=True,
    )
