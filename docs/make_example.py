"""Write the before/after example of README.md from a fresh run: stock Whisper's text, then this project's transcript.

    .venv/bin/python docs/make_example.py        (or: make example)

Both read the same recording with the same weights (base, int8). "Stock" is faster-whisper with its default settings.
"""

from __future__ import annotations

import re
from pathlib import Path

import asrlsa
from asrlsa.config import TranscribeOptions
from asrlsa.models import resolve_model
from asrlsa.participants import participants_in, read_participants_csv

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
RECORDING = ROOT / "samples" / "morning_routine.mp3"
BETWEEN = re.compile(r"(<!-- example: begin[^>]*-->\n).*(<!-- example: end -->)", re.DOTALL)
BULLET = re.compile(r" ?\x15(\d+)_(\d+)\x15")


def before() -> str:
    """Return what faster-whisper makes of the recording with its defaults."""
    from faster_whisper import WhisperModel

    model = WhisperModel(str(resolve_model("base").directory), device="cpu", compute_type="int8")
    segments, _ = model.transcribe(str(RECORDING))
    return "\n".join(segment.text.strip() for segment in segments)


def after() -> str:
    """Return the main tiers that `asrlsa transcribe` writes; a bullet is shown as CLAN shows it."""
    folder = RECORDING.parent
    people = participants_in(read_participants_csv(folder / "participants.csv"), RECORDING, folder)
    transcript = asrlsa.transcribe(RECORDING, options=TranscribeOptions(model="base", participants=people))
    lines = [line for line in transcript.to_chat().splitlines() if line.startswith("*")]
    return "\n".join(BULLET.sub(r" •\1_\2•", line).replace("\t", " ") for line in lines)


def main() -> None:
    """Replace the example in README.md."""
    text = README.read_text(encoding="utf-8")
    example = f"Before, stock Whisper:\n\n```text\n{before()}\n```\n\nAfter, asrlsa:\n\n```text\n{after()}\n```\n"
    changed, count = BETWEEN.subn(lambda found: found[1] + example + found[2], text)
    if count != 1:
        raise SystemExit("README.md must have one pair of example marks")
    README.write_text(changed, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
