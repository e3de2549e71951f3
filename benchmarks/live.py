"""Live transcription: how long after its end a word is shown and committed, and how live and offline words differ.

    python benchmarks/live.py RECORDINGS... [--model base] [--clock simulated|cpu|real] [--slower 1] [--threads 0]
                              [--pause 500] [--step 1000] [--json FILE]

A folder stands for its recordings; where it holds a manifest.jsonl with ``audio`` and ``text_verbatim``, or a ``.cha``
beside a recording, live and offline words are scored against that too. Each recording is fed as a microphone would give
it:

* ``simulated``: time advances by the work that is measured and by waiting for sound, and the waiting takes none, so
  that a recording is done as fast as it can be recognised;
* ``cpu``: the same with the CPU time of this process on one thread, for machines that others use too;
* ``real``: in real time.

``--slower 5`` counts all work five times: a machine so much slower. Word ends come from the offline pass (words aligned
by PocketSphinx); live words that differ from the offline ones have no latency. "shown" is the first time that the word
stood on the screen at its place, "committed" the time from which it can't change.
"""

from __future__ import annotations

import argparse
import difflib
import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jiwer
import numpy as np

from asrlsa.audio import load
from asrlsa.chat.parser import read_chat
from asrlsa.config import TranscribeOptions
from asrlsa.disfluency import read_main_tier
from asrlsa.hearing import recognise_options
from asrlsa.live import LiveListener, Session
from asrlsa.models import default_model, resolve_model
from asrlsa.recordings import find_recordings
from asrlsa.speech.capture import Paced
from asrlsa.speech.decode import Recogniser
from asrlsa.speech.memory import peak_memory
from asrlsa.speech.recognise import Recognised, RecogniseOptions, Recognition
from asrlsa.speech.streaming import LiveOptions, Update, bare
from asrlsa.types import Word


@dataclass
class Screen(LiveListener):
    """Remembers when each word came."""

    feed: Paced
    texts: list[str] = field(default_factory=list)
    committed: list[float] = field(default_factory=list)  # s, of each word
    shown: dict[tuple[int, str], float] = field(default_factory=dict)  # (place, word) -> s
    behind: int = 0
    steps: int = 0

    def heard(self, update: Update, behind: int) -> None:
        now = self.feed.moment
        first = len(self.texts)
        for place, word in enumerate((*update.committed, *update.tentative), first):
            self.shown.setdefault((place, bare(word.text)), now)
        self.texts += [bare(w.text) for w in update.committed]
        self.committed += [now] * len(update.committed)
        self.behind, self.steps = max(self.behind, behind), self.steps + 1


@dataclass
class Row:
    """What was measured on one recording."""

    name: str
    seconds: float
    work: float
    steps: int
    behind: float
    words: int
    shown: list[float]
    committed: list[float]
    live: str
    offline: str
    gold: str


class Scaled:
    """A clock that counts the time from a moment on several times."""

    def __init__(self, clock: Any, factor: float) -> None:
        self.clock, self.factor = clock, factor

    def __call__(self) -> float:
        return float(self.clock() * self.factor)


def offline_words(recogniser: Recogniser, options: RecogniseOptions, path: Path) -> list[Word]:
    from asrlsa.hearing import openers
    from asrlsa.speech.recognise import Source

    found: list[Recognised] = []
    Recognition(
        recogniser, options, on_finished=found.append, on_failed=lambda source, error: print(f"{path}: {error}")
    ).run([Source(path, openers(path, 1, "mix"))])
    return found[0].words[0] if found else []


def measure(path: Path, recogniser: Recogniser, settled: RecogniseOptions, arguments: Any, gold: str) -> Row:
    offline = offline_words(recogniser, settled, path)
    audio = load(path)
    clock = time.process_time if arguments.clock == "cpu" else time.perf_counter
    feed = Paced(audio, clock=Scaled(clock, arguments.slower), sleep=time.sleep if arguments.clock == "real" else None)
    screen = Screen(feed)
    live = LiveOptions(step_ms=arguments.step, pause_ms=arguments.pause)
    session = Session(recogniser, settled, TranscribeOptions(), live, (), screen)
    begin = clock()
    session.listen(feed)
    work = clock() - begin
    names = [bare(w.text) for w in offline]
    shown, committed = [], []
    for block in difflib.SequenceMatcher(None, names, screen.texts, autojunk=False).get_matching_blocks():
        for i in range(block.size):
            end, place = offline[block.a + i].end, block.b + i
            if end is not None:
                committed.append(screen.committed[place] - end / 1000)
                shown.append(screen.shown[place, screen.texts[place]] - end / 1000)
    return Row(
        path.name,
        len(audio) / 16_000,
        work,
        screen.steps,
        screen.behind / 1000,
        len(screen.texts),
        shown,
        committed,
        " ".join(t for t in screen.texts if t),
        " ".join(n for n in names if n),
        gold,
    )


def gold_of(path: Path) -> str:
    transcript = path.with_suffix(".cha")
    if transcript.is_file():
        words = (w for u in read_chat(transcript).utterances for w in read_main_tier(u.text).verbatim)
        return " ".join(t for w in words if (t := bare(w)))
    manifest = path.parent / "manifest.jsonl"
    if not manifest.is_file():
        return ""
    rows = [json.loads(line) for line in manifest.read_text(encoding="utf-8").splitlines()]
    mine = sorted((r["start"], r["text_verbatim"]) for r in rows if r["audio"] == path.name and r.get("text_verbatim"))
    return " ".join(t for word in " ".join(text for _, text in mine).split() if (t := bare(word)))


def wer(pairs: list[tuple[str, str]]) -> str:
    kept = [(a, b) for a, b in pairs if a]
    return f"{jiwer.wer([a for a, _ in kept], [b for _, b in kept]):.1%}" if kept else "–"


def line(name: str, rows: list[Row]) -> str:
    shown, committed = np.array([s for r in rows for s in r.shown]), np.array([c for r in rows for c in r.committed])
    seconds = sum(r.seconds for r in rows)

    def two(values: np.ndarray) -> str:
        return f"{np.median(values):.1f} | {np.quantile(values, 0.95):.1f}" if len(values) else "– | –"

    return (
        f"| {name} | {seconds / 60:.1f} | {sum(r.words for r in rows)} | {two(shown)} | {two(committed)} "
        f"| {max(r.behind for r in rows):.1f} | {sum(r.steps for r in rows) / seconds * 60:.0f} "
        f"| {sum(r.work for r in rows) / seconds:.2f} | {wer([(r.offline, r.live) for r in rows])} "
        f"| {wer([(r.gold, r.live) for r in rows])} | {wer([(r.gold, r.offline) for r in rows])} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recordings", nargs="+", type=Path)
    parser.add_argument("--model", default=None)
    parser.add_argument("--language", default="en")
    parser.add_argument("--clock", choices=("simulated", "cpu", "real"), default="simulated")
    parser.add_argument("--slower", type=float, default=1.0)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--step", type=int, default=LiveOptions().step_ms)
    parser.add_argument("--pause", type=int, default=LiveOptions().pause_ms)
    parser.add_argument("--most", type=int, default=0, help="recordings of each folder; 0 for all")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    model = resolve_model(arguments.model or default_model(), offline=True)
    threads = 1 if arguments.clock == "cpu" else arguments.threads
    recogniser = Recogniser(model, threads=threads, side_by_side=False)
    settled = recognise_options(model, TranscribeOptions(language=arguments.language), recogniser)
    print(
        f"model {model.name}, {recogniser.compute_type}, threads {threads or 'all'}, clock {arguments.clock}, "
        f"{arguments.slower:g} times slower, step {arguments.step} ms, pause {arguments.pause} ms\n"
    )
    print(
        "| recording | min | words | shown, median s | 95 % | committed, median s | 95 % | most behind, s "
        "| updates a min | work / s of sound | WER to offline | WER to gold | offline to gold |"
    )
    print("|-|-|-|-|-|-|-|-|-|-|-|-|-|")
    rows: list[Row] = []
    for given in arguments.recordings:
        own = []
        paths = [r.path for r in find_recordings([given])]
        for path in paths[: arguments.most or None]:
            own.append(measure(path, recogniser, settled, arguments, gold_of(path)))
            if len(paths) < 10:
                print(line(path.name, own[-1:]), flush=True)
        if len(own) > 1:
            print(line(given.name, own), flush=True)
        rows += own
    if len(arguments.recordings) > 1:
        print(line("all", rows))
    print(f"\npeak memory of the process, offline passes included: {peak_memory() / 2**20:.0f} MiB")
    if arguments.json:
        arguments.json.write_text(json.dumps([vars(r) for r in rows], indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
