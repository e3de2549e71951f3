"""What `asrlsa verbatimize` puts back into transcripts that were cleaned: recall and precision of each disfluency.

    python benchmarks/verbatimize.py DATA [--sets ami,mfa_disfluency,phone,synthetic] [--models base] [--no-bullets]

The references are coded by the coder where they have no codes. From each a clean transcript is made: fillers, fragments
and everything that is taken back are left out. That and the recording go through the verb, and `asrlsa evaluate` scores
the result against the reference. `--no-bullets` takes the times out of the clean transcripts too. Of the synthetic set
the split dev is used. The rows of `clean` score the clean transcripts themselves; those of `transcribe` what the same
model writes without the transcript.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from recall import counted, reference, rows_of

from asrlsa.chat.build import build_transcript
from asrlsa.chat.parser import parse_chat, read_chat
from asrlsa.config import TranscribeOptions
from asrlsa.disfluency import read_main_tier
from asrlsa.evaluate import Evaluation, evaluate
from asrlsa.transcription import Listener, transcribe_folder
from asrlsa.types import Transcript
from asrlsa.verbatimize import VerbatimizeOptions, Verbatimizer

KINDS = {
    "fillers": ("filled_pause",),
    "repetitions": ("word_repetition", "phrase_repetition"),
    "fragments": ("fragment",),
    "retracings": ("retracing", "false_start", "reformulation"),
}


def references(folder: Path, split: str) -> Iterator[tuple[Path, Transcript]]:
    """Yield recordings and their coded references."""
    if folder.name == "synthetic":
        for path in sorted((folder / "gold").glob(f"{split}*.cha")):
            yield folder / "audio" / f"{path.stem}.flac", read_chat(path)
        return
    rows = rows_of(folder)
    for name in sorted(rows):
        yield folder / name, parse_chat(reference(Path(name).stem, rows[name]))


def cleaned(gold: Transcript, stem: str, bullets: bool) -> Transcript:
    """Leave out everything disfluent; utterances with nothing else go."""
    kept = []
    for utterance in gold.utterances:
        reading = read_main_tier(utterance.text)
        words = " ".join(reading.clean)
        text = f"{words} {reading.terminator or '.'}"
        if words:
            times = (utterance.start, utterance.end) if bullets else (None, None)
            kept.append(replace(utterance, text=text, start=times[0], end=times[1], words=(), tiers=()))
    languages = gold.languages or ("eng",)
    return build_transcript(kept, participants=gold.participants, languages=languages, media=stem if bullets else None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--sets", default="ami,mfa_disfluency,phone,synthetic")
    parser.add_argument("--models", default="base")
    parser.add_argument("--split", default="dev", help="of the synthetic set")
    parser.add_argument("--limit", type=int, default=0, help="recordings a set")
    parser.add_argument("--no-bullets", action="store_true")
    parser.add_argument("--transcribe", action="store_true", help="score asrlsa transcribe too")
    parser.add_argument("--evidence", type=float, default=0.0)
    parser.add_argument("--keep", type=Path, help="folder for the transcripts")
    args = parser.parse_args()
    print("| set | recordings | model | what | verbatim WER | " + " | ".join(KINDS) + " | s |")
    print("|" + "-|" * (6 + len(KINDS)))
    with tempfile.TemporaryDirectory() as temporary:
        root = args.keep or Path(temporary)
        for name in args.sets.split(","):
            rows = list(references(args.data / name, args.split))[: args.limit or None]
            run(name, rows, root, args)


def run(name: str, rows: list[tuple[Path, Transcript]], root: Path, args: argparse.Namespace) -> None:
    gold, clean = folder(root / name / "gold"), folder(root / name / "clean")
    inputs = []
    for recording, transcript in rows:
        given = cleaned(transcript, recording.stem, not args.no_bullets)
        if not given.utterances:
            continue
        inputs.append((recording, given))
        (gold / f"{recording.stem}.cha").write_text(transcript.to_chat(), encoding="utf-8")
        (clean / f"{recording.stem}.cha").write_text(given.to_chat(), encoding="utf-8")
    show(name, len(inputs), "-", "clean", evaluate(clean, gold), 0.0)
    for model in args.models.split(","):
        tag = Path(model).name
        done = folder(root / name / f"verbatimize-{tag}")
        begin, unheard, words = time.process_time(), 0, 0
        verb = Verbatimizer(VerbatimizeOptions(model=model, language="en", evidence=args.evidence))
        for recording, given in inputs:
            result = verb.upgrade(given, recording)
            unheard, words = unheard + result.unheard, words + result.words
            (done / f"{recording.stem}.cha").write_text(result.transcript.to_chat(), encoding="utf-8")
        took = time.process_time() - begin
        show(name, len(inputs), tag, "verbatimize", evaluate(done, gold), took)
        print(f"<!-- {unheard} of {words} words without evidence -->", flush=True)
        if args.transcribe:
            heard = folder(root / name / f"transcribe-{tag}")
            begin = time.process_time()
            options = TranscribeOptions(model=model, language="en")
            transcribe_folder([r for r, _ in inputs], out=heard, options=options, listener=Listener(), force=True)
            took = time.process_time() - begin
            show(name, len(inputs), tag, "transcribe", evaluate(heard, gold), took)


def folder(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path


def show(name: str, files: int, model: str, what: str, found: Evaluation, took: float) -> None:
    """Print one row: kept of all (false)."""
    cells = []
    for kinds in KINDS.values():
        matched, wanted, written = counted(found, kinds)
        cells.append(f"{matched} of {wanted} ({written - matched})")
    wer = (found.scores["wer"] or 0.0) / 100
    print(f"| {name} | {files} | {model} | {what} | {wer:.3f} | {' | '.join(cells)} | {took:.0f} |", flush=True)


if __name__ == "__main__":
    main()
