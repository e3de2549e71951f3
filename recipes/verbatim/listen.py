"""Are the disfluencies of the corpus to be heard, and is its fluent speech understood? A recogniser listens.

    python recipes/verbatim/listen.py CORPUS --model MODEL [--utterances 200]

Every utterance is decoded alone. For utterances without disfluencies the word error rate is printed, by engine and
by kind; for fillers, repetitions and fragments, how many of them the model wrote, by engine. A stock model tells about
the first; for the others give a model that was trained to write them.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

COLUMNS = ("filler", "repetition", "fragment")


def said(row: dict[str, Any]) -> Counter[str]:
    """Count the disfluencies of a row by what a transcript shows."""
    chat = row["chat"]
    return Counter(filler=chat.count("&-"), repetition=chat.count("[/]"), fragment=chat.count("&+"))


def written(text: str, language: str) -> Counter[str]:
    """Count what the model wrote."""
    from asrlsa.disfluency import code_utterance
    from asrlsa.language import spell_out
    from asrlsa.types import Word

    words = spell_out([Word(word) for word in text.split()], language)
    coded = code_utterance(words, ".", language=language).text if words else ""
    return said({"chat": coded})


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path, metavar="CORPUS")
    parser.add_argument("--model", default="tiny.en", help="name or folder of a model, or an adapter (tiny.en)")
    parser.add_argument("--utterances", type=int, default=200, help="how many, from the beginning (200)")
    parser.add_argument("--show", action="store_true", help="print what was said and what was written")
    given = parser.parse_args()

    import jiwer
    import numpy as np
    from faster_whisper import WhisperModel

    from asrlsa import audio
    from asrlsa.language import whisper_code
    from asrlsa.models import resolve_model

    model = WhisperModel(str(resolve_model(given.model).directory), device="cpu", compute_type="int8", cpu_threads=1)
    errors: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    found: dict[str, Counter[str]] = defaultdict(Counter)
    silence = np.zeros(4800, np.float32)
    with (given.corpus / "manifest.jsonl").open(encoding="utf-8") as lines:
        rows = [json.loads(line) for _, line in zip(range(given.utterances), lines, strict=False)]
    for row in rows:
        samples = audio.load(given.corpus / row["audio"])[int(row["start"] * 16_000) : int(row["end"] * 16_000) + 1600]
        heard, _ = model.transcribe(
            np.concatenate([silence, samples, silence]),
            language=whisper_code(row["language"]),
            beam_size=1,
            temperature=0,
            without_timestamps=True,
            condition_on_previous_text=False,
        )
        text = " ".join(segment.text.strip() for segment in heard)
        if given.show:
            print(f"{row['engine'][0]} {row['population'][:2]} | {row['chat']} | {text}")
        counts, own = said(row), written(text, row["language"])
        part = found[row["engine"]]
        for name in COLUMNS:
            part[name] += counts[name]
            part[f"{name} written"] += min(counts[name], own[name])
            part[f"{name} false"] += max(0, own[name] - counts[name])
        if not row["events"]:
            words = [re.sub(r"[^\w' ]", "", t.lower()) or "-" for t in (row["text_verbatim"], text)]
            result = jiwer.process_words(*words)
            wrong = result.substitutions + result.deletions + result.insertions
            for name in (row["engine"], row["kind"]):
                errors[name][0] += wrong
                errors[name][1] += len(words[0].split())
    print(f"{len(rows)} utterances, {given.model}")
    for name, (wrong, words) in sorted(errors.items()):
        print(f"fluent, {name}: WER {wrong / words:.3f} of {words} words")
    for engine, part in sorted(found.items()):
        for name in COLUMNS:
            print(f"{engine}, {name}: {part[f'{name} written']} of {part[name]} written, {part[f'{name} false']} false")
    return 0


if __name__ == "__main__":
    sys.exit(main())
