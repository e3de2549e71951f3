"""What stock Whisper keeps: verbatim WER, fillers and repetitions by set, with and without the style prompt.

    python benchmarks/recall.py DATA [--sets ami,phone,...] [--models tiny.en,base] [--every 1] [--out results.json]

DATA holds one folder a set, each with a manifest.jsonl (``audio``, ``start``, ``end``, ``text_verbatim``). The
references have no disfluency codes, so the same coder codes both sides: what differs is what the recogniser wrote.
Scores are those of ``asrlsa evaluate``: a filler or repetition counts where it stands at the same place of the
aligned words. ``--every N`` takes every Nth recording of a set with more than 100 (sorted by name).
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from asrlsa.chat.build import build_transcript
from asrlsa.config import TranscribeOptions
from asrlsa.disfluency import code_utterance
from asrlsa.evaluate import Evaluation, evaluate
from asrlsa.language import spell_out
from asrlsa.transcription import Listener, transcribe_folder
from asrlsa.types import Participant, Utterance, Word

SETS = ("ami", "phone", "mfa_disfluency", "ljspeech", "synthetic", "child_read", "adult_read")
REPETITIONS = ("word_repetition", "phrase_repetition")


def rows_of(folder: Path) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for line in (folder / "manifest.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if row.get("text_verbatim") and (folder.name != "synthetic" or row["split"] == "test"):
            row.pop("chat", None)  # the same coder codes both sides
            found.setdefault(row["audio"], []).append(row)
    return found


def reference_text(text: str) -> str:
    """MFA's marks as words: <cutoff-forced> is a fragment, <hes-X> the word X, <unk> unintelligible."""
    text = re.sub(r"<cutoff-(\w)\w*>", r"\1-", text)
    text = re.sub(r"<hes-(\w+)>", r"\1", text)
    return re.sub(r"<unk>", "xxx", text)


def reference(name: str, rows: Sequence[dict[str, Any]], language: str = "eng") -> str:
    """Return the CHAT of a recording's rows; what has no ``chat`` is coded by the coder."""
    utterances, codes = [], dict[str, str]()
    for row in sorted(rows, key=lambda r: r["start"]):
        code = codes.setdefault(str(row.get("speaker")), f"S{len(codes)}")
        text = row.get("chat")
        if text is None:
            words = spell_out([Word(w) for w in reference_text(row["text_verbatim"]).split()], language)
            text = code_utterance(words, ".", language=language).text if words else ""
        if text:
            begin = round(row["start"] * 1000)
            utterances.append(Utterance(code, text, begin, max(begin + 1, round(row["end"] * 1000))))
    people = [Participant(code) for code in codes.values()]
    return build_transcript(utterances, participants=people, languages=[language], media=name, wor=False).to_chat()


def counted(found: Evaluation, kinds: Iterable[str]) -> tuple[int, int, int]:
    """Return how many events of some kinds were matched, said and written."""
    rows = [file.kinds[kind] for file in found.files for kind in kinds if kind in file.kinds]
    return sum(c.matched for c in rows), sum(c.reference for c in rows), sum(c.hypothesis for c in rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--models", default="tiny.en,base")
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--beam-size", type=int)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    print("| set | recordings, minutes | model | prompt | verbatim WER | fillers kept (false) | repetitions (false) |")
    print("|-|-|-|-|-|-|-|")
    results = []
    for name in args.sets.split(","):
        folder = args.data / name
        rows = rows_of(folder)
        files = sorted(rows)[:: args.every if len(rows) > 100 else 1]
        with tempfile.TemporaryDirectory() as temporary:
            refs = Path(temporary) / "ref"
            refs.mkdir()
            for f in files:
                (refs / f"{Path(f).stem}.cha").write_text(reference(Path(f).stem, rows[f]), encoding="utf-8")
            for model in args.models.split(","):
                for prompt in ("", None):
                    hyps = Path(temporary) / f"hyp-{model}-{prompt is None}"
                    begin = time.perf_counter()
                    options = TranscribeOptions(model=model, language="en", prompt=prompt, beam_size=args.beam_size)
                    outcome = transcribe_folder(
                        [folder / f for f in files], out=hyps, options=options, listener=Listener()
                    )
                    took = time.perf_counter() - begin
                    minutes = sum(s.duration for s in outcome.finished) / 60_000
                    found = evaluate(hyps, refs)
                    line = figures(found)
                    results.append({"set": name, "model": model, "prompt": prompt is None, "seconds": took, **line})
                    print(
                        f"| {name} | {len(files)}, {minutes:.1f} | {model} | {'yes' if prompt is None else 'no'} | "
                        f"{line['wer']:.3f} | {line['fillers']} | {line['repetitions']} |",
                        flush=True,
                    )
    if args.out:
        args.out.write_text(json.dumps(results, indent=1), encoding="utf-8")


def figures(found: Evaluation) -> dict[str, Any]:
    """Word error rate and the counts of kept and false events over all files."""
    line: dict[str, Any] = {"wer": (found.scores["wer"] or 0.0) / 100}
    for name, kinds in (("fillers", ("filled_pause",)), ("repetitions", REPETITIONS)):
        matched, wanted, written = counted(found, kinds)
        line[name] = f"{matched} of {wanted} ({written - matched})"
    return line


if __name__ == "__main__":
    main()
