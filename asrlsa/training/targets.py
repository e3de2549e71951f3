"""What the decoder is taught for one window: token ids with and without timestamps, and where no loss is counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from asrlsa.errors import AsrlsaError, ModelError
from asrlsa.training.vocabulary import TICK_MS, TICKS, Vocabulary
from asrlsa.types import Milliseconds

IGNORED = -100  # label without loss
MAX_TOKENS = 448  # decoder positions of every Whisper
MAX_PROMPT = 200  # tokens of a prompt; as in asrlsa.speech.decode
SHARED_MS = 300  # ms; two utterances that overlap by more share one pair of timestamps


class TargetError(AsrlsaError):
    """A text can't be a training target; the message names the row."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One utterance within a window: times in ms from the window's begin, text as it is to be written."""

    start: Milliseconds
    end: Milliseconds
    text: str


@dataclass(frozen=True, slots=True)
class Target:
    """Decoder input and labels, equally long: ``labels[i]`` is what to write after ``inputs[: i + 1]``, or -100."""

    inputs: tuple[int, ...]
    labels: tuple[int, ...]


def build_target(
    pieces: Sequence[Piece],
    vocabulary: Vocabulary,
    language: str,
    *,
    timestamps: bool,
    prompt: str | None = None,
    limit: int = MAX_TOKENS,
    name: str = "",
) -> Target:
    """Build the decoder's target for one window, in the form that Whisper was trained with.

    With timestamps each utterance stands between the two tokens nearest to its times: they never fall, the second is
    at least one step after the first, and the first may lie anywhere in the window. Without, the texts are joined. The
    prompt and the start tokens carry no loss; nor does the choice between text and ``<|notimestamps|>``, which the
    caller makes. A window without speech is taught to end at once.

    Args:
        pieces: The utterances in any order; none for a window without speech.
        vocabulary: The model's tokens.
        language: ISO 639-1 code.
        timestamps: Whether to write timestamp tokens.
        prompt: Text before the window, as ``asrlsa transcribe`` puts it, or None.
        limit: Most tokens that the decoder can take.
        name: The row or window, for messages.

    Raises:
        TargetError: The target is longer than ``limit``, a time lies outside 0 to 30 s, or an English-only model
            gets another language.
    """
    at = f"{name}: " if name else ""
    pieces = sorted((p for p in pieces if p.text.strip()), key=lambda p: (p.start, p.end))
    try:
        start = vocabulary.start(language)
    except ModelError as error:
        raise TargetError(f"{at}{error}") from None
    before = [*prompt_tokens(prompt, vocabulary), *start]
    silent = [IGNORED] * len(before)
    if timestamps:
        written = _timed(pieces, vocabulary, at)
        labels = [*silent[1:], *written, vocabulary.eot]
        inputs = [*before, *written]
    else:
        written = vocabulary.encode(_joined(pieces))
        labels = [*silent, *written, vocabulary.eot]
        inputs = [*before, vocabulary.no_timestamps, *written]
    if len(inputs) > limit:
        raise TargetError(
            f"{at}{len(inputs)} tokens are more than the {limit} that the decoder takes; shorten the window or the text"
        )
    return Target(tuple(inputs), tuple(labels))


def prompt_tokens(prompt: str | None, vocabulary: Vocabulary) -> list[int]:
    """Return the tokens of a prompt, ``<|startofprev|>`` first, cut where ``asrlsa transcribe`` cuts them."""
    if not prompt or not prompt.strip():
        return []
    return [vocabulary.sot_prev, *vocabulary.encode(" " + prompt.strip())[:MAX_PROMPT]]


def count_tokens(text: str, vocabulary: Vocabulary) -> int:
    """Return how many tokens one utterance needs at most, its two timestamps included."""
    return len(vocabulary.encode(" " + text.strip())) + 2


def segments(pieces: Sequence[Piece]) -> list[tuple[int, int, str]]:
    """Put utterances, in time order, between steps of 20 ms that never fall.

    Whisper's search forbids falling times and segments of no length, so speech at the same time needs a rule. Where
    two utterances overlap by up to 0.3 s, both meet in the middle of the overlap. Where they overlap by more, or one
    lies inside the other, they share one segment, from the first begin to the last end.

    Returns:
        First step, last step, text.
    """
    joined: list[tuple[int, int, list[str]]] = []
    for piece in sorted(pieces, key=lambda p: (p.start, p.end)):
        if joined:
            first, last, texts = joined[-1]
            overlap = min(last, piece.end) - piece.start
            if overlap > SHARED_MS or (overlap > 0 and piece.end <= last):
                joined[-1] = (first, max(last, piece.end), [*texts, piece.text])
                continue
            if overlap > 0:
                middle = piece.start + overlap // 2
                joined[-1] = (first, middle, texts)
                joined.append((middle, piece.end, [piece.text]))
                continue
        joined.append((piece.start, piece.end, [piece.text]))
    return _on_grid([(first, last, " ".join(texts)) for first, last, texts in joined])


def _on_grid(timed: Sequence[tuple[Milliseconds, Milliseconds, str]]) -> list[tuple[int, int, str]]:
    placed: list[tuple[int, int, str]] = []
    reached = 0
    for number, (first, last, text) in enumerate(timed):
        # Very short utterances crowd the end of the grid: every one that follows keeps a step of its own.
        room = TICKS - (len(timed) - number)
        begin = min(max(_tick(first), reached), room)
        end = min(max(_tick(last), begin + 1), room + 1)
        placed.append((begin, end, text))
        reached = end
    return placed


def _tick(time: Milliseconds) -> int:
    return (time + TICK_MS // 2) // TICK_MS


def _timed(pieces: Sequence[Piece], vocabulary: Vocabulary, at: str) -> list[int]:
    for piece in pieces:
        if not 0 <= piece.start < piece.end <= TICKS * TICK_MS:
            raise TargetError(
                f"{at}an utterance from {piece.start} to {piece.end} ms is not within a window of 30 s; split it"
            )
    if not pieces:
        return [vocabulary.timestamp(0)]
    written: list[int] = []
    for begin, end, text in segments(pieces):
        written += [vocabulary.timestamp(begin), *vocabulary.encode(" " + text.strip()), vocabulary.timestamp(end)]
    return written


def _joined(pieces: Sequence[Piece]) -> str:
    text = " ".join(piece.text.strip() for piece in pieces)
    return f" {text}" if text else ""
