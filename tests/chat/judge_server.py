"""Runs in the judge's own environment: one JSON string a line in, one JSON list of problems a line out."""

import json
import os
import sys


def main() -> None:
    # The validator's own prints must not get among the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    from batchalign._core import CHATFile

    for line in sys.stdin:
        try:
            CHATFile.parse(json.loads(line))
            problems = []
        except BaseException as error:  # a panic of its Rust core is no Exception
            if isinstance(error, (KeyboardInterrupt, SystemExit)):
                raise
            problems = str(error).splitlines() or [repr(error)]
        answers.write(json.dumps(problems) + "\n")
        answers.flush()


main()
