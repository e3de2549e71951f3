"""Transcribe every recording of every set and let the independent validator judge every transcript.

    python benchmarks/every_recording.py DATA -o OUT [--model tiny.en] [--judge .venv-chat/bin/python]

DATA holds one folder a set. A second run goes on where the first stopped. The validator is the one that the tests use
(`make test` installs it); it shares no code with asrlsa. Exit code 1 where a recording has no transcript or a
transcript has a problem.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

from asrlsa.chat.check import check_chat
from asrlsa.config import TranscribeOptions
from asrlsa.recordings import find_recordings
from asrlsa.transcription import Listener, transcribe_folder

ROOT = Path(__file__).resolve().parents[1]


def problems(texts: list[str], python: Path) -> int:
    """How many of the texts the independent validator refuses."""
    server = ROOT / "tests" / "chat" / "judge_server.py"
    asked = "".join(json.dumps(text) + "\n" for text in texts)
    answer = subprocess.run(
        [str(python), str(server)], input=asked, capture_output=True, encoding="utf-8", check=True
    ).stdout.splitlines()
    if len(answer) != len(texts):
        raise SystemExit(f"the validator answered {len(answer)} of {len(texts)} times")
    return sum(bool(json.loads(line)) for line in answer)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--model", default="tiny.en")
    parser.add_argument("--judge", type=Path, default=ROOT / ".venv-chat" / "bin" / "python")
    args = parser.parse_args()
    print("| set | recordings | transcripts | words | own check: errors, warnings | validator: files refused |")
    print("|-|-|-|-|-|-|")
    bad = False
    for folder in sorted(path for path in args.data.iterdir() if path.is_dir()):
        wanted = len(find_recordings([folder], None))
        out = args.out / folder.name
        transcribe_folder(
            [folder], out=out, options=TranscribeOptions(model=args.model, language="en"), listener=Listener()
        )
        texts = {path.stem: path.read_text(encoding="utf-8") for path in sorted(out.rglob("*.cha"))}
        found = [problem for stem, text in texts.items() for problem in check_chat(text, stem)]
        errors = sum(problem.severity == "error" for problem in found)
        refused = problems(list(texts.values()), args.judge)
        lines = [line for text in texts.values() for line in text.splitlines() if line.startswith("%wor:")]
        words = sum(line.count("\x15") // 2 for line in lines)
        print(
            f"| {folder.name} | {wanted} | {len(texts)} | {words} | {errors}, {len(found) - errors} | {refused} |",
            flush=True,
        )
        bad = bad or refused > 0 or errors > 0 or len(texts) != wanted
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
