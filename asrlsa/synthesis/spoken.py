"""An utterance as it is said, piece by piece, and what it is in CHAT."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from asrlsa.synthesis.sentences import Sentence

__all__ = ["PAUSE", "Group", "Piece", "Spoken", "main_tier", "settled"]

PAUSE: Final = 250  # ms, from which asrlsa writes (.)
_LONG: Final = 1000  # ms, from which it writes (1.2)
_SHORT_STRETCH: Final = 7  # letters; what is shorter, voices say badly when it stands alone


@dataclass(frozen=True, slots=True)
class Piece:
    """One thing that is said.

    Attributes:
        kind: ``word``, ``filler`` or ``fragment``.
        text: Spelling; a fragment without its hyphen.
        target: The word that a fragment begins.
        comma: A comma follows in the text.
        pause: Silence after it in ms; where it is 0 and ``cut`` is not set, the voice goes on.
        cut: The voice is begun anew after it.
        rest: The voice pauses after it in its own way, as at a comma.
        effect: ``held`` (its first sound), ``drawn`` (its last sound), ``block`` or empty.
        seconds: Length of a filler or of a sound that is held; 0 leaves it to the voice. Of a fragment, when its word
            is cut off; 0 has the voice say its sounds.
    """

    kind: str
    text: str
    target: str = ""
    comma: bool = False
    pause: int = 0
    cut: bool = False
    rest: bool = False
    effect: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Group:
    """Pieces ``start`` to ``end`` (exclusive) that are repeated or taken back, with their CHAT code."""

    start: int
    end: int
    code: str


@dataclass(frozen=True, slots=True)
class Spoken:
    """An utterance as it is said.

    Attributes:
        pieces: What is said, in order.
        groups: What of it is repeated or taken back; none overlap.
        terminator: CHAT terminator.
        kind: Section of the language file that the sentence is of.
        events: Kind of `Rates` to number.
        sentence: What is meant.
    """

    pieces: tuple[Piece, ...]
    groups: tuple[Group, ...]
    terminator: str
    kind: str
    events: dict[str, int]
    sentence: Sentence


def settled(pieces: Sequence[Piece]) -> list[Piece]:
    """Join what is too short to be said alone with what stands beside it; the voice then pauses in its own way."""
    bounds = [i + 1 for i, piece in enumerate(pieces) if piece.cut and i + 1 < len(pieces)]
    said = list(pieces)

    def join(end: int) -> None:
        last = said[end - 1]
        said[end - 1] = replace(last, cut=False, rest=last.pause > 0 or last.rest, pause=0, comma=False)

    def alone(start: int, end: int) -> bool:
        """Say whether it is a filler, or a word that is cut off: both may be short."""
        one = said[start]
        return end - start == 1 and (one.kind == "filler" or (one.kind == "fragment" and one.seconds > 0))

    start = 0
    for number, end in enumerate([*bounds, len(pieces)]):
        part = said[start:end]
        after = bounds[number + 1] if number + 1 < len(bounds) else len(pieces)
        if alone(start, end) or sum(len(piece.text) for piece in part) >= _SHORT_STRETCH:
            start = end
            continue
        if end < len(pieces) and said[end].effect not in ("held", "block"):
            if alone(end, after):
                said[end] = replace(said[end], seconds=0.0)
            join(end)
            continue  # the joined part may still be short
        before = said[start - 1] if start else None
        if before is not None and part[0].effect not in ("held", "block"):
            if before.kind != "word":
                said[start - 1] = replace(before, seconds=0.0)
            join(start)
        start = end
    return said


def main_tier(spoken: Spoken) -> str:
    """Return the CHAT main tier, with terminator, of an utterance."""
    return " ".join([*_items(spoken.pieces, spoken.groups), spoken.terminator])


def _items(pieces: Sequence[Piece], groups: Sequence[Group]) -> Iterator[str]:
    starts = {group.start: group for group in groups}
    ends = {group.end: group for group in groups}
    for i, piece in enumerate(pieces):
        group = starts.get(i)
        text = _coded(piece)
        if group is not None and group.end - group.start > 1:
            text = "<" + text
        closing = ends.get(i + 1)
        if closing is not None:
            text += (">" if closing.end - closing.start > 1 else "") + f" {closing.code}"
        yield text
        if piece.comma and i + 1 < len(pieces):
            yield ","
        if piece.pause >= PAUSE and i + 1 < len(pieces):
            yield "(.)" if piece.pause < _LONG else f"({piece.pause / 1000:.1f})"


def _coded(piece: Piece) -> str:
    if piece.kind == "filler":
        return f"&-{piece.text}"
    if piece.kind == "fragment":
        return f"&+{piece.text}"
    if piece.effect == "block":
        return f"≠{piece.text}"
    if piece.effect == "held":
        return f"{piece.text[0]}:{piece.text[1:]}"
    if piece.effect == "drawn":
        return f"{piece.text}:"
    return piece.text
