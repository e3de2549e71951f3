"""Make fluent recordings disfluent: words and sounds of real speech are cut out, copied and put back in.

    python recipes/verbatim/splice.py DATA OUT
    asrlsa finetune ... with OUT/train.jsonl, OUT/dev.jsonl and loss.fluent OUT/fluent.jsonl

DATA holds ``manifest.jsonl`` with audio, start, end, text_verbatim, speaker and split; only rows whose split is
``train`` are used, one in eight of their speakers for ``dev.jsonl``. OUT is written whole: ``stats.json`` comes last. A
run that was stopped begins anew with the same command and makes the same; a finished folder is left as it is.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, metavar="DATA", help="folder with manifest.jsonl and its recordings")
    parser.add_argument("out", type=Path, metavar="OUT", help="where the result is written")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--copies", type=int, default=3, help="times that each clip is used for train (3)")
    parser.add_argument("--language", default="eng", help="ISO 639-3 code of a language file (eng)")
    parser.add_argument(
        "--varied",
        action="store_true",
        help="fast repetitions of function words, drawn-out vowels, adult voices, noise, telephone",
    )
    given = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")

    from asrlsa.errors import AsrlsaError
    from asrlsa.synthesis.splice_corpus import SpliceSettings, make_spliced

    begin = time.monotonic()
    try:
        settings = SpliceSettings(given.language, given.seed, given.copies, given.varied)
        made = make_spliced(given.data, given.out, settings, lambda line: print(line, flush=True))
    except AsrlsaError as error:
        print(f"splice.py: {error}", file=sys.stderr)
        return 2
    if made is None:
        print(f"{given.out}: is there already, whole; left as it is")
        return 0
    minutes, clips = made["minutes"], made["clips"]
    print(
        f"{given.out}: {minutes['train']:.1f} min for train, {minutes['dev']:.1f} min for dev from {clips['used']} of "
        f"{clips['rows']} clips; {time.monotonic() - begin:.0f} s"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
