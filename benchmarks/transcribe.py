"""asrlsa against the engines that users compare it with: × real time, peak memory, verbatim WER.

    python benchmarks/transcribe.py FOLDER... [--model base] [--runs 3] [--openai-python PYTHON --openai-weights FILE]

A folder holds recordings and a manifest.jsonl with ``audio`` and ``text_verbatim`` for each utterance. Every engine
runs in a process of its own, on the same files and the same weights, int8 on the CPU (openai-whisper: float32, it has
no int8), with word timestamps on. The runs of all engines alternate; figures are medians. openai-whisper runs under the
interpreter given, which has it and torch; openai_weights.py makes the same weights for it.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ENGINES = ("asrlsa", "faster-whisper", "faster-whisper batched", "openai-whisper")


def texts(folder: Path) -> dict[str, str]:
    rows: dict[str, list[tuple[float, str]]] = {}
    for line in (folder / "manifest.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if row.get("text_verbatim"):
            rows.setdefault(row["audio"], []).append((row["start"], row["text_verbatim"]))
    return {name: " ".join(t for _, t in sorted(parts)) for name, parts in rows.items()}


def plain(text: str) -> str:
    return " ".join(re.sub(r"[^\w' ]", " ", text.lower().replace("-", " ")).split())


def peak_mib() -> float:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def worker(engine: str, directory: str, files: list[str], out: str) -> None:
    """Transcribe in this process; write texts, seconds and memory as JSON."""
    found: dict[str, str] = {}
    if engine == "asrlsa":
        from asrlsa.chat.parser import read_chat
        from asrlsa.config import TranscribeOptions
        from asrlsa.disfluency import read_main_tier
        from asrlsa.transcription import Listener, transcribe_folder

        begin = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            transcribe_folder(
                [Path(f) for f in files],
                out=Path(folder),
                options=TranscribeOptions(model=directory, language="en"),
                listener=Listener(),
            )
            seconds = time.perf_counter() - begin
            for path in Path(folder).rglob("*.cha"):
                words = [w for u in read_chat(path).utterances for w in read_main_tier(u.text).verbatim]
                found[path.stem] = " ".join(words)
    elif engine.startswith("faster-whisper"):
        from faster_whisper import BatchedInferencePipeline, WhisperModel

        begin = time.perf_counter()
        model = WhisperModel(directory, device="cpu", compute_type="int8")
        if engine.endswith("batched"):
            model = BatchedInferencePipeline(model)
        for f in files:
            segments, _ = model.transcribe(f, language="en", word_timestamps=True)
            found[Path(f).stem] = " ".join(s.text for s in segments)
        seconds = time.perf_counter() - begin
    else:
        import whisper

        begin = time.perf_counter()
        model = whisper.load_model(directory)
        for f in files:
            import soundfile

            audio, _ = soundfile.read(f, dtype="float32")
            found[Path(f).stem] = model.transcribe(audio, language="en", word_timestamps=True, fp16=False)["text"]
        seconds = time.perf_counter() - begin
    Path(out).write_text(json.dumps({"texts": found, "seconds": seconds, "mib": peak_mib()}), encoding="utf-8")


def audio_seconds(files: list[Path]) -> float:
    from asrlsa.audio import stream

    total = 0.0
    for f in files:
        with stream(f) as blocks:
            total += (blocks.info.duration_ms or 0) / 1000
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--model", default="base")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--openai-python")
    parser.add_argument("--openai-weights", help="the same weights as a .pt file")
    args = parser.parse_args()
    import jiwer

    from asrlsa.models import resolve_model

    directory = str(resolve_model(args.model).directory)
    reference: dict[str, str] = {}
    files: list[Path] = []
    for folder in args.folders:
        found = texts(folder)
        reference |= found
        files += [folder / name for name in sorted(found)]
    length = audio_seconds(files)
    results: dict[str, list[dict]] = {}
    for _ in range(args.runs):
        for engine in ENGINES:
            python, weights = sys.executable, directory
            if engine == "openai-whisper":
                if not args.openai_python:
                    continue
                python, weights = args.openai_python, args.openai_weights
            with tempfile.NamedTemporaryFile(suffix=".json") as out:
                call = [python, __file__, "--worker", engine, weights, out.name, *map(str, files)]
                subprocess.run(call, check=True, stderr=subprocess.DEVNULL)
                results.setdefault(engine, []).append(json.loads(Path(out.name).read_text(encoding="utf-8")))
    print(f"{len(files)} files, {length / 60:.1f} minutes, model {args.model}, median of {args.runs}")
    print("| engine | × real time | asrlsa is faster by | peak MiB | verbatim WER | um, uh, er, hm written |")
    print("|-|-|-|-|-|-|")
    ours = statistics.median(r["seconds"] for r in results["asrlsa"])
    refs = [plain(reference[f.name]) for f in files]
    fillers = re.compile(r"\b(u+m+|u+h+m*|er+m*|h+m+|m+)\b")
    for engine, runs in results.items():
        seconds = statistics.median(r["seconds"] for r in runs)
        hyps = [plain(runs[-1]["texts"].get(f.stem, "")) or "-" for f in files]
        wer = jiwer.wer(refs, hyps)
        written = sum(len(fillers.findall(h)) for h in hyps)
        mib = statistics.median(r["mib"] for r in runs)
        print(
            f"| {engine} | {length / seconds:.1f} | {seconds / ours:.2f} | {mib:.0f} | {wer:.3f} | "
            f"{written} of {sum(len(fillers.findall(r)) for r in refs)} |"
        )


if __name__ == "__main__":
    if len(sys.argv) > 1 and sys.argv[1] == "--worker":
        worker(sys.argv[2], sys.argv[3], sys.argv[5:], sys.argv[4])
    else:
        main()
