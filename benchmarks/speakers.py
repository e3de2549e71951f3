"""Measure diarization: error rates on the recordings with reference turns, and how often the count is right.

    python benchmarks/speakers.py [--shared DIR] [--model FILE] [--threads 1] [--skip-count | --memory]

Needs the dev extra (pyannote.metrics scores) and the recordings of ../shared/data. Prints Markdown tables.

DER is pyannote.metrics' DiarizationErrorRate with overlap scored, over the whole recording. Its ``collar`` is the whole
width around a boundary, so the usual "collar 0.25" (each side) is 0.5 there. Regions "reference" are the union of the
reference turns; "VAD" is faster-whisper's Silero VAD at threshold 0.3.

The count table mixes, in memory, whole read utterances of several speakers with pauses between. Rows "tuned on" set
the constants of the criterion, rows "seen" were looked at when the cap on the samples was chosen, rows "test" set
nothing.
"""

from __future__ import annotations

import argparse
import json
import random
import time
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile as sf
from numpy.typing import NDArray

from asrlsa.speech.memory import peak_memory
from asrlsa.speech.speakers import SpeakerEncoder, SpeakerTracker
from asrlsa.types import Span, Turn

RATE = 16_000
SETS = ("calls", "phone", "ami")
FILES = {"call40": "call40_mix"}
Audio = NDArray[np.float32]


class Recording(NamedTuple):
    name: str
    audio: Audio
    turns: list[Turn]


def read(path: Path) -> Audio:
    audio, rate = sf.read(path, dtype="float32")
    assert rate == RATE, path
    return np.asarray(audio)


def rows(folder: Path, name: str = "manifest.jsonl") -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / name).read_text(encoding="utf-8").splitlines()]


def recordings(folder: Path) -> Iterator[Recording]:
    turns = defaultdict(list)
    for line in (folder / "turns.rttm").read_text(encoding="utf-8").splitlines():
        field = line.split()
        start = round(1000 * float(field[3]))
        turns[field[1]].append(Turn(start, start + round(1000 * float(field[4])), field[7]))
    for name, found in sorted(turns.items()):
        yield Recording(name, read(folder / f"{FILES.get(name, name)}.flac"), sorted(found, key=lambda t: t.start))


def union(turns: Sequence[Turn]) -> list[Span]:
    merged: list[Span] = []
    for turn in sorted(turns, key=lambda t: t.start):
        if merged and turn.start <= merged[-1].end:
            merged[-1] = Span(merged[-1].start, max(merged[-1].end, turn.end))
        else:
            merged.append(Span(turn.start, turn.end))
    return merged


def vad(audio: Audio) -> list[Span]:
    from faster_whisper.vad import VadOptions, get_speech_timestamps

    options = VadOptions(threshold=0.3, min_silence_duration_ms=100, speech_pad_ms=30)
    return [Span(s["start"] * 1000 // RATE, s["end"] * 1000 // RATE) for s in get_speech_timestamps(audio, options)]


class Score(NamedTuple):
    """Seconds: reference speech, missed, false alarm, confused."""

    total: float = 0.0
    missed: float = 0.0
    false_alarm: float = 0.0
    confusion: float = 0.0

    def plus(self, other: Score) -> Score:
        return Score(*(a + b for a, b in zip(self, other, strict=True)))

    def rate(self) -> float:
        return (self.missed + self.false_alarm + self.confusion) / self.total


def score(recording: Recording, found: Sequence[Turn], collar: float) -> Score:
    from pyannote.core import Annotation, Segment, Timeline
    from pyannote.metrics.diarization import DiarizationErrorRate

    def annotation(turns: Sequence[Turn]) -> Annotation:
        result = Annotation()
        for index, turn in enumerate(turns):
            result[Segment(turn.start / 1000, turn.end / 1000), index] = turn.speaker
        return result

    uem = Timeline([Segment(0, len(recording.audio) / RATE)])
    metric = DiarizationErrorRate(collar=2 * collar, skip_overlap=False)
    parts = metric(annotation(recording.turns), annotation(found), uem=uem, detailed=True)
    return Score(parts["total"], parts["missed detection"], parts["false alarm"], parts["confusion"])


def error_table(shared: Path, encoder: SpeakerEncoder) -> None:
    seconds = spent = 0.0
    print("| set | regions | speakers | found | DER, collar 0 | missed | false alarm | confusion | DER, collar 0.25 |")
    print("|-|-|-|-|-|-|-|-|-|")
    for name in SETS:
        totals: dict[tuple[str, str], tuple[Score, Score]] = defaultdict(lambda: (Score(), Score()))
        counts: dict[tuple[str, str], list[str]] = defaultdict(list)
        for recording in recordings(shared / name):
            known = len({turn.speaker for turn in recording.turns})
            for regions, spans in (("reference", union(recording.turns)), ("VAD", vad(recording.audio))):
                started = time.perf_counter()
                tracker = SpeakerTracker(encoder)
                tracker.add(recording.audio, 0, spans)
                found = {"given": tracker.finish(known), "auto": tracker.finish("auto")}
                spent += time.perf_counter() - started
                seconds += len(recording.audio) / RATE
                for how, diarization in found.items():
                    strict, loose = totals[regions, how]
                    strict = strict.plus(score(recording, diarization.turns, 0.0))
                    totals[regions, how] = strict, loose.plus(score(recording, diarization.turns, 0.25))
                    counts[regions, how].append(f"{diarization.speakers}/{known}")
        for (regions, how), (strict, loose) in totals.items():
            parts = " | ".join(f"{part / strict.total:.3f}" for part in strict[1:])
            print(
                f"| {name} | {regions} | {how} | {' '.join(counts[regions, how])} | {strict.rate():.3f} | {parts} "
                f"| {loose.rate():.3f} |",
                flush=True,
            )
    print(f"\n{seconds:.0f} s of audio in {spent:.1f} s: {seconds / spent:.0f} x real time, clustered twice each\n")


Clips = dict[str, list[Callable[[], Audio]]]


def read_clips(folder: Path, split: str) -> Clips:
    clips: Clips = defaultdict(list)
    for row in rows(folder):
        if row["split"] == split:
            clips[str(row["speaker"])].append(lambda path=folder / str(row["audio"]): read(path))
    return clips


def voice_clips(folder: Path) -> Clips:
    """Utterances of the training voices in the synthetic recordings without telephone band, echo or much noise."""
    clean = {
        r["audio"]
        for r in rows(folder, "recordings.jsonl")
        if not r["band8k"] and not r["reverb_s"] and float(str(r["snr_db"] or 99)) >= 20
    }
    clips: Clips = defaultdict(list)
    for row in rows(folder):
        start, end = float(str(row["start"])), float(str(row["end"]))
        kokoro = str(row["speaker"])[:3] in ("af_", "am_", "bf_", "bm_")
        if row["audio"] in clean and row["split"] != "test" and kokoro and end - start > 1:
            cut = slice(int(start * RATE), int(end * RATE))
            clips[str(row["speaker"])].append(lambda path=folder / str(row["audio"]), cut=cut: read(path)[cut])
    return {voice: found for voice, found in clips.items() if len(found) >= 5}


def mix(clips: Clips, speakers: Sequence[str], seconds: float, rng: random.Random) -> Audio:
    """Alternate utterances of the speakers at random, with pauses of 0.1 to 0.8 s, each speaker at least once."""
    left = {speaker: rng.sample(clips[speaker], len(clips[speaker])) for speaker in speakers}
    queue, parts, length, last = list(speakers), [], 0.0, ""
    while length < seconds or queue:
        if queue:
            speaker = queue.pop(0)
        else:
            ready = [s for s in speakers if left[s] and (s != last or len(speakers) == 1 or rng.random() < 0.3)]
            if not any(left.values()):
                break
            if not ready:
                last = ""
                continue
            speaker = rng.choice(ready)
        last = speaker
        pause = np.zeros(int(rng.uniform(0.1, 0.8) * RATE), dtype=np.float32)
        parts += [pause, left[speaker].pop()()]
        length = sum(map(len, parts)) / RATE
    return np.concatenate(parts)


def mixtures(children: Clips, adults: Clips, each: int, seed: int) -> Iterator[tuple[str, int, Audio]]:
    rng = random.Random(seed)
    for count in range(1, 6):
        for index in range(each):
            young = index % 2 if count == 1 else rng.randint(0, min(count, 2))
            chosen = rng.sample(sorted(children), young) + rng.sample(sorted(adults), count - young)
            yield "mixed readers", count, mix({**children, **adults}, chosen, 60 if count < 3 else 100, rng)
    for _ in range(each):
        talker, quiet = rng.sample(sorted(children), 2)
        clips = {talker: children[talker], quiet: children[quiet][:3]}
        yield "two children, one says three sentences", 2, mix(clips, [talker, quiet], 75, rng)


def synthetic(folder: Path, split: str) -> Iterator[tuple[str, int, Audio]]:
    for row in rows(folder, "recordings.jsonl"):
        voices = row["speakers"]
        assert isinstance(voices, dict)
        if row["split"] == split and not any(voice.startswith("joe_x") for voice in voices):
            yield "synthetic recordings", len(set(voices)), read(folder / str(row["audio"]))


def singles(shared: Path) -> Iterator[tuple[str, int, Audio]]:
    for name in ("ljspeech", "mfa_disfluency"):
        parts = [read(shared / name / str(row["audio"])) for row in rows(shared / name)]
        yield f"{name}, one speaker", 1, np.concatenate(parts)
    for name in ("agent", "caller"):
        yield "one channel of the call", 1, read(shared / "calls" / f"call40_{name}.flac")


def count_table(shared: Path, encoder: SpeakerEncoder, each: int) -> None:
    groups: list[tuple[str, Callable[[], Iterator[tuple[str, int, Audio]]]]] = [
        ("tuned on", lambda: synthetic(shared / "synthetic", "train")),
        ("tuned on", lambda: synthetic(shared / "synthetic", "dev")),
        (
            "tuned on",
            lambda: mixtures(
                read_clips(shared / "child_read", "train"), voice_clips(shared / "synthetic"), each, seed=1
            ),
        ),
        ("test", lambda: synthetic(shared / "synthetic", "test")),
        (
            "test",
            lambda: mixtures(
                read_clips(shared / "child_read", "test"), read_clips(shared / "adult_read", "test"), each, seed=2
            ),
        ),
        ("seen", lambda: singles(shared)),
    ]
    found: dict[tuple[str, str, int], list[int]] = defaultdict(list)
    for role, make in groups:
        for what, known, audio in make():
            tracker = SpeakerTracker(encoder)
            tracker.add(audio, 0, vad(audio))
            found[role, what, known].append(tracker.finish("auto").speakers)
    print("| use | material | speakers | right | found |")
    print("|-|-|-|-|-|")
    for (role, what, known), counts in found.items():
        tally = ", ".join(f"{n} x{times}" for n, times in sorted(Counter(counts).items()))
        print(f"| {role} | {what} | {known} | {counts.count(known)}/{len(counts)} | {tally} |")


def memory_table() -> None:
    """Print this process's peak resident memory after each step; run alone, since a peak never falls."""

    import onnxruntime  # noqa: F401
    import scipy.cluster.hierarchy
    import scipy.fft  # noqa: F401

    from asrlsa.speech.speakers.clustering import cluster

    def peak() -> float:
        return peak_memory() / 2**20

    steps = [("imports", peak())]
    tracker = SpeakerTracker(SpeakerEncoder(1))
    steps.append(("network loaded", peak()))
    noise = np.random.default_rng(0).normal(0, 0.05, 30 * RATE).astype(np.float32)
    for piece in range(4):
        tracker.add(noise, 30_000 * piece, [Span(30_000 * piece, 30_000 * (piece + 1))])
    steps.append(("two minutes added", peak()))
    rows = np.random.default_rng(0).normal(size=(21_600, 192)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    steps.append(("embeddings of three hours", peak()))
    cluster(rows, None, 6)
    steps.append(("clustered", peak()))
    for name, megabytes in steps:
        print(f"| {name} | {megabytes:.0f} MB |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    parser.add_argument("--shared", type=Path, default=default)
    parser.add_argument("--model", help="another embedding model; default: the packaged one")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--each", type=int, default=10, help="mixtures of each number of speakers")
    parser.add_argument("--skip-count", action="store_true", help="only the error table")
    parser.add_argument("--memory", action="store_true", help="only peak memory, step by step")
    options = parser.parse_args()
    if options.memory:
        memory_table()
        return
    warnings.filterwarnings("ignore", module="pyannote")
    encoder = SpeakerEncoder(options.threads, options.model)
    error_table(options.shared, encoder)
    if not options.skip_count:
        count_table(options.shared, encoder, options.each)


if __name__ == "__main__":
    main()
