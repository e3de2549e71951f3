"""Make the corpus that the verbatim model is trained on: disfluent synthetic speech with known CHAT.

    pip install -e '.[synthesis]'
    python recipes/verbatim/corpus.py CORPUS --minutes 300
    asrlsa prepare CORPUS/manifest.jsonl -o DATA --split source --text both

A run that is stopped goes on with the same command; a larger ``--minutes`` makes the corpus longer. CORPUS may be
used while it grows: ``train.jsonl``, ``dev.jsonl`` and ``test.jsonl`` are what `asrlsa finetune` reads, and every
beginning of the corpus is balanced. docs/verbatim-corpus.md says what is in it.
"""

from __future__ import annotations

import argparse
import functools
import os
import sys
import time
from pathlib import Path


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="CORPUS", help="where it is written")
    parser.add_argument("--minutes", type=float, default=300.0, help="sound wanted, pauses included (300)")
    parser.add_argument("--language", default="eng", help="ISO 639-3 code of a language file (eng)")
    parser.add_argument("--engine", default="auto", choices=("auto", "kokoro", "piper"), help="voices (auto: both)")
    parser.add_argument("--kokoro", type=float, default=0.4, help="share of Kokoro with --engine auto (0.4)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1, help="processes, each with one thread (1)")
    parser.add_argument("--voices", type=Path, help="folder with Kokoro's voices; without it npm fetches them, once")
    given = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")

    from asrlsa.errors import AsrlsaError
    from asrlsa.models import cache_dir
    from asrlsa.synthesis.corpus import CorpusSettings, Progress, make_corpus
    from asrlsa.synthesis.voices import Studio, voices_folder

    begin = time.monotonic()
    used = time.process_time()

    def report(now: Progress) -> None:
        left = "" if now.left is None else f", about {now.left / 60:.0f} min left"
        print(f"{now.seconds / 60:.1f} of {now.wanted / 60:g} min, {now.recordings} recordings{left}", flush=True)

    try:
        settings = CorpusSettings(given.language, given.seed, given.engine, given.kokoro)
        voices = given.voices
        if voices is None and settings.share:
            voices = voices_folder(cache_dir() / "synthesis")
        studio = functools.partial(Studio, voices or Path())
        done = make_corpus(given.folder, given.minutes, settings, studio, jobs=given.jobs, report=report)
    except AsrlsaError as error:
        print(f"corpus.py: {error}", file=sys.stderr)
        return 2
    print(
        f"{given.folder}: {done.seconds / 60:.1f} min in {done.recordings} recordings; "
        f"{time.monotonic() - begin:.0f} s, {time.process_time() - used:.0f} s of CPU in this process"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
