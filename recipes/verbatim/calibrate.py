"""How strong the verbatim adapter should be: recall against precision on dev data, for each strength.

    python recipes/verbatim/calibrate.py ADAPTER --base base --disfluent DATA... --fluent DATA... -o calibrate.json

ADAPTER is the folder that ``asrlsa finetune`` wrote; it is merged into the base with each strength, and the recogniser
of ``asrlsa transcribe`` hears the recordings, with and without the filler-rich prompt. The base as it is stands above:
with the prompt (what ``--style verbatim`` does without an adapter) and without (``--style fluent``). Scores are those
of ``asrlsa evaluate``: a disfluency counts where it stands at the same place of the aligned words, with the same type.

DATA is a folder with ``dev.jsonl`` or ``manifest.jsonl``, or such a file: ``audio``, ``start``, ``end`` in seconds,
``text`` or ``text_verbatim``, ``speaker``, and ``chat`` where the codes are known; without ``chat`` asrlsa's own coder
codes the reference too. Rows whose ``split`` is not dev are left out. ``--fluent`` is for clips without disfluencies:
what the adapter breaks there shows in their word error rate.

After each configuration the results are written; the same command goes on after an interruption. At the end it names
the strength with the best F1 over fillers, repetitions and fragments among those that make fluent clips at most
``--allowed`` points worse than the base without prompt. Write it into the adapter's card as ``strength``, and the
prompt as ``prompt``. ``--margins`` tries values of the card's ``decoding.filler_margin`` with each of them.
"""

from __future__ import annotations

import argparse
import itertools
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from asrlsa.conversion import adapters
from asrlsa.conversion.cached import converted
from asrlsa.evaluate import evaluate
from asrlsa.language.codes import whisper_code
from asrlsa.model_weights import fingerprint
from asrlsa.models import find_folder
from asrlsa.speech.prompts import style_prompt

sys.path.insert(0, str(Path(__file__).resolve().parent))
from measuring import TYPES as ALL_TYPES
from measuring import add_rows, decide, dev_rows, figures, hear

ALLOWED = 0.5  # points of WER that fluent clips may lose
STRENGTHS = (0.4, 0.6, 0.8, 1.0, 1.2, 1.4)
TYPES = {name: ALL_TYPES[name] for name in ("fillers", "repetitions", "fragments")}


class Calibration:
    """The dev sets, and what has been measured on them."""

    def __init__(self, arguments: argparse.Namespace, work: Path) -> None:
        self.language, self.threads, self.out, self.work = arguments.language, arguments.threads, arguments.out, work
        self.base = find_folder(arguments.base, offline=True)
        self.adapter: Path = arguments.adapter
        self.recordings: dict[str, list[Path]] = {}
        for kind, sets in (("disfluent", arguments.disfluent), ("fluent", arguments.fluent)):
            for number, data in enumerate(sets):
                self._add(kind, data, work / f"{kind}-{number}", arguments.every)
        self.head = {
            "adapter": fingerprint(self.adapter / adapters.WEIGHTS),
            "base": fingerprint(self.base / "model.bin"),
            "sets": {kind: [str(data) for data in getattr(arguments, kind)] for kind in ("disfluent", "fluent")},
            "recordings": {name: len(paths) for name, paths in self.recordings.items()},
        }
        self.results: list[dict[str, Any]] = []
        if self.out.exists():
            before = json.loads(self.out.read_text(encoding="utf-8"))
            if {key: before.get(key) for key in self.head} == self.head:
                self.results = before["results"]

    def _add(self, kind: str, data: Path, links: Path, every: int) -> None:
        """Link recordings under names that are unique over all sets, and write their references."""
        rows = dev_rows(data)
        references = self.work / "references" / kind
        references.mkdir(parents=True, exist_ok=True)
        links.mkdir()
        chosen = {audio: rows[audio] for audio in sorted(rows)[::every]}
        made = add_rows(chosen, links, references, self.language)
        if made:
            self.recordings.setdefault(kind, []).extend(made)

    def measure(self, strength: float | None, prompted: bool, margin: float | None = None) -> None:
        """Measure one configuration, unless that was done.

        Args:
            strength: Of the adapter; None is the base as it is.
            prompted: With the filler-rich prompt.
            margin: Of fillers; None takes that of the adapter's card.
        """
        if any((r["strength"], r["prompt"], r.get("margin")) == (strength, prompted, margin) for r in self.results):
            return
        folder = self.base
        if strength is not None:
            folder = converted(self.adapter, self.base, self.work / "cache", strength)
        if margin is not None:
            decide(folder, filler_margin=margin)
        begin = time.perf_counter()
        found: dict[str, Any] = {"strength": strength, "prompt": prompted, "margin": margin}
        for kind, paths in self.recordings.items():
            hypotheses = self.work / "hypotheses" / kind
            shutil.rmtree(hypotheses, ignore_errors=True)
            prompt = (style_prompt(whisper_code(self.language)) or "") if prompted else ""
            hear(paths, hypotheses, folder, self.language, prompt, self.threads)
            found[kind] = figures(evaluate(hypotheses, self.work / "references" / kind), TYPES)
        found["seconds"] = round(time.perf_counter() - begin, 1)
        self.results.append(found)
        text = json.dumps({**self.head, "results": self.results}, indent=1)
        self.out.write_text(text + "\n", encoding="utf-8")


def f1(result: dict[str, Any]) -> float:
    """Return the F1 over the events of all types."""
    matched, said, written = (sum(column) for column in zip(*result["disfluent"]["events"].values(), strict=True))
    return 2 * matched / (said + written) if said + written else 0.0


def table(results: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yield the lines of a Markdown table."""
    yield (
        "| strength | prompt | margin | "
        + " | ".join(f"{name}: recall, precision" for name in TYPES)
        + (" | verbatim WER | fluent WER | WER of fluent clips |")
    )
    yield "|-|-|-|" + "-|" * len(TYPES) + "-:|-:|-:|"
    for result in sorted(results, key=lambda r: (r["strength"] or -1, r["prompt"], margin_of(r))):
        cells = [
            "none" if result["strength"] is None else f"{result['strength']:g}",
            "yes" if result["prompt"] else "no",
            "" if result.get("margin") is None else f"{result['margin']:g}",
        ]
        for matched, said, written in result["disfluent"]["events"].values():
            cells.append(f"{share(matched, said)}, {share(matched, written)}")
        cells += [rate(result["disfluent"], "wer"), rate(result["disfluent"], "fluent_wer")]
        cells.append(rate(result["fluent"], "wer") if "fluent" in result else "")
        yield f"| {' | '.join(cells)} |"


def share(part: int, whole: int) -> str:
    """Return a percentage with its counts."""
    return f"{100 * part / whole:.0f} % ({part} of {whole})" if whole else f"({part} of {whole})"


def rate(result: dict[str, Any], name: str) -> str:
    """Return an error rate in percent."""
    return f"{result[name]['value']:.1f}" if name in result else ""


def best(results: Sequence[dict[str, Any]], allowed: float) -> dict[str, Any] | None:
    """Return the result of the best strength, the weaker of equal ones; None where each costs fluent clips too much."""
    stock = stock_of(results)
    good = [r for r in results if r["strength"] is not None]
    if "fluent" in stock:
        limit = stock["fluent"]["wer"]["value"] + allowed
        good = [r for r in good if r["fluent"]["wer"]["value"] <= limit]
    return max(good, key=lambda r: (round(f1(r), 3), -r["strength"], -margin_of(r)), default=None)


def margin_of(result: dict[str, Any]) -> float:
    """Return the margin of a result for comparison; that of the card counts as the least."""
    return -2.0 if result.get("margin") is None else float(result["margin"])


def stock_of(results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the result of the base as it is, without prompt."""
    return next(r for r in results if r["strength"] is None and not r["prompt"])


def said(results: Sequence[dict[str, Any]], allowed: float) -> str:
    """Say which strength is best."""
    chosen = best(results, allowed)
    if chosen is None:
        return f"no strength keeps the WER of fluent clips within {allowed:g} points of the base"
    return (
        f"best: strength {chosen['strength']:g} {'with' if chosen['prompt'] else 'without'} the prompt, "
        + ("" if chosen.get("margin") is None else f"margin {chosen['margin']:g}, ")
        + f"F1 {100 * f1(chosen):.1f} (base: {100 * f1(stock_of(results)):.1f})"
    )


def main() -> None:
    """Measure what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("adapter", type=Path)
    parser.add_argument("--base", required=True, help="name or folder of the model that the adapter is for")
    parser.add_argument("--disfluent", type=Path, nargs="+", required=True, help="dev data with disfluencies")
    parser.add_argument("--fluent", type=Path, nargs="*", default=[], help="dev data without")
    parser.add_argument("--strengths", default=",".join(map(str, STRENGTHS)))
    parser.add_argument("--prompts", choices=("both", "no", "yes"), default="both")
    parser.add_argument("--margins", default="", help="of fillers, such as --margins=-1,0,1 (that of the card)")
    parser.add_argument("--every", type=int, default=1, help="take every Nth recording of a set")
    parser.add_argument("--language", default="eng", help="ISO 639-3 code")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--allowed", type=float, default=ALLOWED, help="points of WER that fluent clips may lose")
    parser.add_argument("-o", "--out", type=Path, default=Path("calibrate.json"))
    arguments = parser.parse_args()
    prompts = {"both": (False, True), "no": (False,), "yes": (True,)}[arguments.prompts]
    margins = [float(text) for text in arguments.margins.split(",")] if arguments.margins else [None]
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        calibration = Calibration(arguments, work)
        for prompted in (False, True):
            calibration.measure(None, prompted)
        for strength in [float(text) for text in arguments.strengths.split(",")]:
            for prompted, margin in itertools.product(prompts, margins):
                calibration.measure(strength, prompted, margin)
            shutil.rmtree(work / "cache", ignore_errors=True)  # a merged model is as large as the base
    print("\n".join(table(calibration.results)))
    print(said(calibration.results, arguments.allowed))


if __name__ == "__main__":
    main()
