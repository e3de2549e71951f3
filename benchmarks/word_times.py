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
import itertools
import json
import re
import time
from collections import defaultdict
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import soundfile as sf

from asrlsa.speech import times
from asrlsa.speech.times import WordAligner, monotone
from asrlsa.types import Word

RATE = 16000
PROMPT = "Um, uh, so, like, I was, uh, I was gonna, um, I- I w- went to the, the store and, uh, you know, mm, yeah."
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
        samples = load(folder / audio)
        reference = []
        for row in utterances[audio]:
            start, end = loud_edges(samples, round(row["start"] * 1000), round(row["end"] * 1000))
            reference += edge_words(row["text_verbatim"], start, end)
        found.append(Recording(Path(audio).stem, samples, reference))
    return found


def loud_edges(audio: np.ndarray, start: int, end: int) -> tuple[int, int]:
    """First and last loud 10 ms of an utterance between start and end, in ms.

    Loud is within 30 dB of the utterance's peak and 8 dB above the noise floor of the recording.
    """
    floor = np.percentile(frame_levels(audio), 5)
    level = frame_levels(audio[start * RATE // 1000 : end * RATE // 1000])
    loud = np.flatnonzero(level > max(np.percentile(level, 98) - 30, floor + 8))
    return start + 10 * int(loud[0]), start + 10 * int(loud[-1] + 1)


def frame_levels(audio: np.ndarray) -> np.ndarray:
    """Level of each 10 ms in dB."""
    frames = audio[: len(audio) // 160 * 160].reshape(-1, 160)
    return np.asarray(10 * np.log10((frames**2).mean(axis=1) + 1e-10))


def energy_edges(audio: np.ndarray) -> tuple[int, int] | None:
    """First and last speech in a clean clip, in ms; None where the clip is not clean enough to tell."""
    level = frame_levels(audio)
    floor, peak = np.percentile(level, 10), np.percentile(level, 95)
    if peak - floor < 35:
        return None
    loud = level > max(floor + 12, peak - 28)  # a breath before the first word is not speech
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
            recording.audio,
            language="en",
            beam_size=1,
            temperature=0.0,
            word_timestamps=True,
            initial_prompt=PROMPT,
            condition_on_previous_text=True,
            no_speech_threshold=None,
            log_prob_threshold=None,
            compression_ratio_threshold=None,
        )
        words = [w for segment in segments for w in segment.words or []]
        out[recording.name] = [
            asdict(Word(w.word.strip(), round(w.start * 1000), round(w.end * 1000), w.probability)) for w in words
        ]
    return out


def key(text: str) -> str:
    return re.sub(r"[^a-z0-9']", "", text.lower())


def looping(words: list[Word]) -> bool:
    """Whether the recogniser got into a loop: the same one to sixteen words again and again."""
    keys = [key(w.text) for w in words]
    for size in range(1, 17):
        run = 0
        for i in range(size, len(keys)):
            run = run + 1 if keys[i] == keys[i - size] else 0
            if run >= max(6, 2 * size):
                return True
    return False


def windows(words: list[Word]) -> list[list[Word]]:
    """Cut the words of a recording into windows of at most 28 s."""
    found: list[list[Word]] = []
    for word in words:
        if found and (word.end or 0) - (found[-1][0].start or 0) <= 28000:
            found[-1].append(word)
        else:
            found.append([word])
    return found


def refine(aligner: WordAligner, recording: Recording, words: list[Word]) -> list[Word]:
    """Refine window by window, as transcribe does, then make the whole monotone."""
    found: list[Word] = []
    for window in windows(words):
        start = max(0, (window[0].start or 0) - 1000)
        audio = recording.audio[start * RATE // 1000 : ((window[-1].end or 0) + 1000) * RATE // 1000]
        found += aligner.refine(audio, window, start)
    return list(monotone(found, ()))


def snapped(recording: Recording, words: list[Word]) -> list[Word]:
    """The cheap alternative: move each edge to the nearest rise or fall of energy within 150 ms."""
    level = frame_levels(recording.audio)
    slope = np.convolve(level, [1, 1, 1, 0, -1, -1, -1], "same")
    found = []
    for word in words:
        if word.start is None or word.end is None:
            found.append(word)
            continue
        a, b = max(0, word.start // 10 - 15), max(0, word.end // 10 - 15)
        rise, fall = slope[a : word.start // 10 + 16], slope[b : word.end // 10 + 16]
        start = 10 * (a + int(rise.argmax())) if len(rise) else word.start
        end = 10 * (b + int(fall.argmin())) if len(fall) else word.end
        found.append(replace(word, start=start, end=max(end, start + 20)))
    return found


@dataclass
class Score:
    """Errors in ms, hypothesis minus truth."""

    starts: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    filler_starts: list[int] = field(default_factory=list)
    filler_overlaps: list[float] = field(default_factory=list)
    untimed: int = 0
    words: int = 0


def score(recordings: list[Recording], found: dict[str, list[Word]]) -> Score:
    """Compare the times of words that hypothesis and reference share."""
    result = Score()
    for recording in recordings:
        words = found[recording.name]
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
    fillers = f"{swallowed} of {len(result.filler_starts)}" if result.filler_starts else "-"
    print(
        f"| {name} | {method} | {spread(result.starts)} | {spread(result.ends)} | {spread(result.filler_starts)} | "
        f"{overlap} | {fillers} | {rest} |",
        flush=True,
    )


def read_sets(data: Path, grids: Path | None, every: int) -> dict[str, list[Recording]]:
    sets = {"textgrid": textgrids(grids)} if grids else {}
    sets |= {"synthetic": synthetic(data)[::every], "child": child(data)[::every]}
    return sets | {"ami": untimed(data / "ami"), "phone": untimed(data / "phone")}


def recognised(sets: dict[str, list[Recording]], arguments: argparse.Namespace) -> dict[str, dict[str, list[Word]]]:
    """Cross-attention words of every set, from the cache where it has them."""
    cache = arguments.cache
    stored = json.loads(cache.read_text(encoding="utf-8")) if cache and cache.exists() else {}
    for name, recordings in sets.items():
        if {r.name for r in recordings} - set(stored.get(name, {})):
            stored[name] = cross_attention(recordings, arguments.model, arguments.threads)
            if cache:
                cache.write_text(json.dumps(stored), encoding="utf-8")
    return {
        name: {r.name: [w for w in (Word(**word) for word in stored[name][r.name]) if key(w.text)] for r in recordings}
        for name, recordings in sets.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the shared data folder")
    parser.add_argument("--model", required=True, help="a CTranslate2 Whisper directory")
    parser.add_argument("--textgrids", type=Path, help="folder of 16 kHz X.wav with X.TextGrid, tier words")
    parser.add_argument("--cache", type=Path, help="JSON file that keeps the cross-attention words of one model")
    parser.add_argument("--every", type=int, default=3, help="take every n-th recording of synthetic and child")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--loops", action="store_true", help="keep recordings in which the recogniser loops")
    parser.add_argument("--decoder", type=json.loads, default={}, help="other PocketSphinx options, as JSON")
    parser.add_argument("--constants", type=json.loads, default={}, help="other constants of speech/times.py, as JSON")
    arguments = parser.parse_args()
    times.DECODER.update(arguments.decoder)
    for name, value in arguments.constants.items():
        if not hasattr(times, name):
            raise SystemExit(f"asrlsa.speech.times has no constant {name}")
        setattr(times, name, value)
    sets = read_sets(arguments.data, arguments.textgrids, arguments.every)
    words = recognised(sets, arguments)
    begun = time.perf_counter()
    aligner = WordAligner("eng")
    aligner.refine(np.zeros(RATE, np.float32), [Word("a", 100, 200)], 0)
    print(f"First call of the aligner (loads its model): {time.perf_counter() - begun:.2f} s\n")
    print("Errors in ms: median / mean size / per cent over 200 ms (mean with sign, number).\n")
    print("| set | times | start | end | filler start | filler overlap | filler over 200 ms early | aligned |")
    print("|-|-|-|-|-|-|-|-|")
    for name, everything in sets.items():
        recordings = [r for r in everything if arguments.loops or not looping(words[name][r.name])]
        seconds = sum(len(r.audio) for r in recordings) / RATE
        cross = {r.name: words[name][r.name] for r in recordings}
        if any(r.reference for r in recordings):
            line(name, "cross-attention", score(recordings, cross))
            line(name, "energy snap", score(recordings, {r.name: snapped(r, cross[r.name]) for r in recordings}))
        begun = time.process_time()
        exact = {r.name: refine(aligner, r, cross[r.name]) for r in recordings}
        speed = (time.process_time() - begun) / seconds
        total = sum(len(w) for w in cross.values())
        untimed_words = sum(w.start is None for w in itertools.chain(*exact.values()))
        # A word that kept its cross-attention time to the ms was not aligned.
        moved = sum(
            (a.start, a.end) != (b.start, b.end) and b.start is not None
            for n in cross
            for a, b in zip(cross[n], exact[n], strict=True)
        )
        rest = f"{moved} of {total} words, {untimed_words} untimed, {speed:.3f} s/s"
        rest += f", {len(everything) - len(recordings)} looping recordings left out"
        line(name, "refined", score(recordings, exact), rest)


if __name__ == "__main__":
    main()
