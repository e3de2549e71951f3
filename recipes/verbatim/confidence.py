"""From which confidence on fragments (and fillers) should be written: recall and precision on dev data for each limit.

    python recipes/verbatim/confidence.py ADAPTER --base base --strength 1.0 DATA...

ADAPTER is merged into the base with the strength, and the recogniser of ``asrlsa transcribe`` hears the recordings of
split dev of each DATA (as in ``calibrate.py``), whatever limit the adapter's card has. Each filler and fragment that
was written is right or not, as ``asrlsa evaluate`` scores it, and has the confidence of its least sure word. The limit
that is chosen goes into the card as ``decoding.least_fragment_confidence``. ``--list`` shows what is wrong.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import asrlsa.speech.compose
from asrlsa.chat.parser import read_chat
from asrlsa.conversion.cached import converted
from asrlsa.disfluency import read_main_tier
from asrlsa.model_card import read_card, write_card
from asrlsa.models import find_folder
from asrlsa.scoring.samples import Sample
from asrlsa.scoring.sources import read_chat_sample

sys.path.insert(0, str(Path(__file__).resolve().parent))
from measuring import TYPES, add_rows, dev_rows, hear, judged

KINDS = ("fillers", "fragments")
LIMITS = (0.0, 0.1, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.7)


class Written(NamedTuple):
    """An event that was written."""

    type: str
    right: bool
    confidence: float
    where: str


class Confidences:
    """What the recogniser thought of each word, by the main tier that it became part of."""

    def __init__(self) -> None:
        self.found: dict[str, list[list[float | None]]] = defaultdict(list)
        self.code = asrlsa.speech.compose.code_utterance

    def __enter__(self) -> Confidences:
        """Listen to the coder: CHAT has no place for confidences."""
        asrlsa.speech.compose.code_utterance = self._coded
        return self

    def __exit__(self, *error: object) -> None:
        """Let the coder alone again."""
        asrlsa.speech.compose.code_utterance = self.code

    def _coded(self, *arguments: Any, **options: Any) -> Any:
        coded = self.code(*arguments, **options)
        self.found[coded.text].append([word.confidence for word in coded.words])
        return coded

    def of(self, transcript: Path) -> list[float | None]:
        """Return the confidences of a transcript's verbatim words; None where they can't be told."""
        values: list[float | None] = []
        for utterance in read_chat(transcript).utterances:
            size = len(read_main_tier(utterance.text).verbatim)
            own = self.found[utterance.text].pop(0) if self.found[utterance.text] else []
            values += own if len(own) == size else [None] * size
        return values


def written(reference: Sample, hypothesis: Sample, confidences: Sequence[float | None]) -> Iterator[Written]:
    """Yield the fillers and fragments of a hypothesis whose confidence is known."""
    for event, verdict in zip(hypothesis.events, judged(reference, hypothesis).hypothesis, strict=True):
        name = next((name for name in KINDS if event.kind in TYPES[name]), "")
        sure = [c for c in confidences[event.start : event.end] if c is not None]
        if name and sure:
            around = hypothesis.words[max(0, event.start - 3) : event.end + 2]
            yield Written(name, verdict == "match", min(sure), " ".join(word.verbatim for word in around))


def table(found: Sequence[Written], said: dict[str, int]) -> Iterator[str]:
    """Yield the lines of a Markdown table."""
    yield "| limit | " + " | ".join(f"{name}: right of written (F1)" for name in KINDS) + " |"
    yield "|-:|" + "-|" * len(KINDS)
    for limit in LIMITS:
        cells = []
        for name in KINDS:
            left = [one.right for one in found if one.type == name and one.confidence >= limit]
            f1 = 200 * sum(left) / max(1, len(left) + said[name])
            cells.append(f"{sum(left)} of {len(left)} ({f1:.1f})")
        yield f"| {limit:g} | {' | '.join(cells)} |"
    yield ""
    yield "said: " + ", ".join(f"{said[name]} {name}" for name in KINDS)


def main() -> None:
    """Hear the recordings and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("adapter", type=Path)
    parser.add_argument("data", type=Path, nargs="+", metavar="DATA", help="dev data with disfluencies")
    parser.add_argument("--base", required=True, help="name or folder of the model that the adapter is for")
    parser.add_argument("--strength", type=float, default=1.0)
    parser.add_argument("--language", default="eng", help="ISO 639-3 code")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--list", action="store_true", help="show what is wrong")
    given = parser.parse_args()
    found: list[Written] = []
    said = dict.fromkeys(KINDS, 0)
    with tempfile.TemporaryDirectory() as folder, Confidences() as confidences:
        work = Path(folder)
        model = converted(given.adapter, find_folder(given.base, offline=True), work / "cache", given.strength)
        card = read_card(model)
        if card is not None:
            decoding = {key: value for key, value in card.decoding.items() if key != "least_fragment_confidence"}
            write_card(model, replace(card, decoding=decoding))
        for number, data in enumerate(given.data):
            links, references, out = (work / f"{name}{number}" for name in ("audio", "references", "hypotheses"))
            links.mkdir()
            references.mkdir()
            rows = dev_rows(data)
            recordings = add_rows(rows, links, references, given.language)
            hear(recordings, out, model, given.language, "", given.threads)
            for recording in recordings:
                file = f"{recording.stem}.cha"
                sides = [read_chat_sample(side / file, recording.stem) for side in (references, out)]
                for name in KINDS:
                    said[name] += sum(event.kind in TYPES[name] for event in sides[0].events)
                found += written(sides[0], sides[1], confidences.of(out / file))
    print("\n".join(table(found, said)))
    if given.list:
        for one in sorted(found, key=lambda one: one.confidence):
            if not one.right:
                print(f"{one.confidence:.2f}  {one.type}  {one.where}")


if __name__ == "__main__":
    main()
