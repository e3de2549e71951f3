"""Word times: cross-attention times made exact by forced alignment, and made consistent.

Whisper's cross-attention gives each word a time that is a tenth of a second off at the median, swallows the pause
before a filler, and gives some words no length at all. :class:`WordAligner` aligns the same words to the same audio
with the acoustic model of PocketSphinx and takes its times where both agree roughly; :func:`monotone` makes any list of
timed words one that a transcript can be written from. docs/word-times.md has the measurements behind the constants.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from asrlsa.speech.pronunciation import Unit, units
from asrlsa.types import Span, Word

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RATE = 16000
FRAME_MS = 10
PHONE_MS = 30
"""The aligner gives every phone at least three frames; a loop of the recogniser has no room for that."""
SHORTEST_MS = 20
"""No word is shorter: two frames of the aligner."""
NEAR_MS = 200
"""How far :func:`monotone` moves a word before it gives up on its time."""

DECODER: dict[str, Any] = {"bestpath": False, "beam": 1e-120, "pbeam": 1e-120, "wbeam": 1e-120}
"""PocketSphinx options. Its default ``bestpath`` replaces the Viterbi path by a search of a word lattice, which breaks
alignments to a linear grammar, and its default word beam is so narrow that it prunes the only path there is."""
BREAK_MS = 1000
"""Cross-attention gap at which a window is aligned in separate pieces: words may be missing in it."""
PAD_MS = 500
"""Audio taken before and after a piece; cross-attention ends words up to a quarter of a second early."""
CUT_MS = 200
"""Audio that the halves of a piece share on each side of the cut."""
FEWEST = 8
"""A piece that failed is cut in two while each half keeps this many words."""
LOOSE_MS = 500
"""How far the middle of an aligned word may lie outside its cross-attention span."""
LONGEST_PHONE_MS = 150
LONGEST_BASE_MS = 400
"""A word may last LONGEST_BASE_MS and LONGEST_PHONE_MS a phone, or as long as its cross-attention span."""


@dataclass(frozen=True, slots=True)
class _Piece:
    """Consecutive words to align and the audio to align them to, in ms from the start of the window."""

    first: int
    last: int
    span: Span


@dataclass(frozen=True, slots=True)
class Phone:
    """A sound of a word, as the CMU pronouncing dictionary names it, and when it is heard."""

    name: str
    span: Span


class WordAligner:
    """Forced alignment of recognised words with PocketSphinx 5 (its US English model and dictionary).

    One aligner may be used from several threads. It holds one decoder behind a lock: PocketSphinx keeps Python's
    global lock while it computes (about 15 ms per second of audio), so a decoder per thread would gain nothing and cost
    30 MB each.
    """

    def __init__(self, language: str) -> None:
        """Prepare for ``language``; nothing is loaded before the first :meth:`refine`.

        Args:
            language: ISO 639-1 or 639-3 code.
        """
        self.language = language
        self._decoder: Any = None
        self._lock = threading.Lock()

    @property
    def available(self) -> bool:
        """Whether there is an acoustic model for the language: English only."""
        return self.language.lower() in ("en", "eng")

    def refine(self, audio: NDArray[np.float32], words: Sequence[Word], offset_ms: int) -> tuple[Word, ...]:
        """Replace cross-attention times by aligned ones wherever the alignment can be trusted.

        The whole window is aligned at once, in pieces only where the words leave a gap of ``BREAK_MS``. A run of words
        whose aligned times are implausible is aligned again on its own between its neighbours. A word that fails
        twice keeps its cross-attention time, cut back to what its neighbours leave free; where they leave less than
        ``SHORTEST_MS`` it comes back untimed.

        Args:
            audio: One decoded window, float32, shape (N,), 16 kHz mono.
            words: Its words in order, with times in ms of the recording.
            offset_ms: Begin of ``audio`` in the recording.

        Returns:
            The same words with new times. Without an acoustic model for the language: ``words`` unchanged.
        """
        if not self.available or not words or not len(audio):
            return tuple(words)
        spans = [
            Span(word.start - offset_ms, max(word.end, word.start + SHORTEST_MS) - offset_ms)
            if word.start is not None and word.end is not None
            else None
            for word in words
        ]
        spoken = self._units(words)
        length = len(audio) * 1000 // RATE
        aligned: list[Span | None] = [None] * len(words)
        for piece in _pieces(spans, spoken, length):
            self._align_piece(audio, spoken, spans, piece, aligned)
        for piece in _failed(aligned, spans, spoken, length):
            self._align_piece(audio, spoken, spans, piece, aligned, again=True)
        return tuple(
            _timed(word, span, offset_ms) for word, span in zip(words, _fill(aligned, spans, length), strict=True)
        )

    def phones(self, audio: NDArray[np.float32], words: Sequence[str]) -> tuple[tuple[Phone, ...], ...] | None:
        """Say when each sound of words is heard whose text is known to be right.

        Args:
            audio: float32, shape (N,), 16 kHz mono; nothing but the words and silence.
            words: The words in order.

        Returns:
            The phones of each word, in ms of ``audio``; None where the words can't be aligned.
        """
        if not self.available or not words:
            return None
        spoken = self._units([Word(word) for word in words])
        if not all(spoken):
            return None
        with self._lock:
            decoder = self._open()
            if _align(decoder, audio, [unit for word in spoken for unit in word]) is None:
                return None
            decoder.set_alignment()
            if not _heard(decoder, audio):
                return None
            found = [
                tuple(Phone(p.name, Span(p.start * FRAME_MS, (p.start + p.duration) * FRAME_MS)) for p in unit)
                for unit in decoder.get_alignment()
                if unit.name[0] not in "<["
            ]
        rest = iter(found)
        grouped = tuple(tuple(phone for _ in word for phone in next(rest, ())) for word in spoken)
        return grouped if all(grouped) else None

    def _units(self, words: Sequence[Word]) -> list[tuple[Unit, ...]]:
        texts = [word.text for word in words]
        with self._lock:
            decoder = self._open()
            return [units(text, decoder.lookup_word, texts[i + 1 : i + 4]) for i, text in enumerate(texts)]

    def _align_piece(
        self,
        audio: NDArray[np.float32],
        spoken: Sequence[tuple[Unit, ...]],
        spans: Sequence[Span | None],
        piece: _Piece,
        aligned: list[Span | None],
        again: bool = False,
    ) -> None:
        """Align one piece, in halves where it fails the first time, and write plausible spans into ``aligned``."""
        wanted = spoken[piece.first : piece.last]
        clip = audio[piece.span.start * RATE // 1000 : piece.span.end * RATE // 1000]
        with self._lock:
            found = _align(self._open(), clip, [unit for word in wanted for unit in word])
        if found is None:
            for half in [] if again else _halves(piece, spans):
                self._align_piece(audio, spoken, spans, half, aligned)
            return
        at = 0
        for index, word in enumerate(wanted, piece.first):
            mine = found[at : at + len(word)]
            at += len(word)
            span = Span(piece.span.start + mine[0][0], piece.span.start + mine[-1][1])
            if plausible(span, spans[index], sum(phones for _, _, phones in mine)):
                aligned[index] = span

    def _open(self) -> Any:
        """Return the decoder, made at the first call (about 0.1 s). The caller holds the lock."""
        if self._decoder is None:
            from pocketsphinx import Decoder

            self._decoder = Decoder(lm=None, loglevel="FATAL", **DECODER)
        return self._decoder


def _align(decoder: Any, clip: NDArray[np.float32], wanted: Sequence[Unit]) -> list[tuple[int, int, int]] | None:
    """Align units to a clip; start and end in ms and number of phones of each, or None where it failed."""
    if len(clip) < RATE // 20 or not wanted:
        return None
    for unit in wanted:
        for number, phones in enumerate(unit.phones, 1):
            name = unit.name if number == 1 else f"{unit.name}({number})"
            if decoder.lookup_word(name) is None:
                decoder.add_word(name, phones, False)
    shortest = sum(len((decoder.lookup_word(unit.name) or "").split()) for unit in wanted) * PHONE_MS
    if shortest > len(clip) * 1000 // RATE:
        return None
    try:
        decoder.set_align_text(" ".join(unit.name for unit in wanted))
    except RuntimeError:
        return None
    if not _heard(decoder, clip):
        return None
    segments = [] if decoder.hyp() is None else [s for s in decoder.seg() if s.word[0] not in "<["]
    # PocketSphinx does not say when it stopped early: only the complete list is a success.
    if [re.sub(r"\(\d+\)$", "", s.word) for s in segments] != [unit.name for unit in wanted]:
        return None
    return [
        (s.start_frame * FRAME_MS, (s.end_frame + 1) * FRAME_MS, len((decoder.lookup_word(s.word) or "").split()))
        for s in segments
    ]


def _heard(decoder: Any, clip: NDArray[np.float32]) -> bool:
    """Let a decoder hear a clip; say whether it could."""
    import numpy as np

    peak = float(np.abs(clip).max())
    scaled = clip * (16000.0 / peak) if peak > 0 else clip
    try:
        decoder.start_utt()
        try:
            decoder.process_raw(scaled.astype(np.int16).tobytes(), full_utt=True)
        finally:
            decoder.end_utt()
    except RuntimeError:
        return False
    return True


def plausible(span: Span, rough: Span | None, phones: int) -> bool:
    """Whether an aligned span can be believed.

    Args:
        span: The aligned span.
        rough: The cross-attention span of the same word, or None where it has none.
        phones: Number of phones in the pronunciation that was aligned.
    """
    longest = max(LONGEST_BASE_MS + LONGEST_PHONE_MS * phones, rough.duration if rough else 0)
    if not SHORTEST_MS <= span.duration <= longest:
        return False
    middle = (span.start + span.end) // 2
    return rough is None or rough.start - LOOSE_MS <= middle <= rough.end + LOOSE_MS


def _pieces(spans: Sequence[Span | None], spoken: Sequence[tuple[Unit, ...]], length: int) -> list[_Piece]:
    """Cut a window at long gaps and around words that can't be pronounced."""
    found: list[_Piece] = []
    first = 0
    start = 0
    last_end: int | None = None
    for index, span in enumerate(spans):
        if not spoken[index]:
            edge = span.start if span else (last_end or start)
            found.append(_Piece(first, index, Span(start, edge)))
            first, start, last_end = index + 1, span.end if span else edge, None
            continue
        if span is None:
            continue
        if last_end is not None and span.start - last_end >= BREAK_MS:
            found.append(_Piece(first, index, Span(start, min(last_end + PAD_MS, span.start))))
            first, start = index, max(span.start - PAD_MS, last_end)
        last_end = span.end
    found.append(_Piece(first, len(spans), Span(start, length)))
    return [replace(piece, span=_near(piece, spans, length)) for piece in found if piece.first < piece.last]


def _halves(piece: _Piece, spans: Sequence[Span | None]) -> list[_Piece]:
    """Cut a piece that failed at the longest gap in its middle half; nothing where it is too short to cut."""
    count = piece.last - piece.first
    if count < 2 * FEWEST:
        return []
    inner = range(piece.first + max(FEWEST, count // 4), piece.last - max(FEWEST, count // 4) + 1)
    gaps = [
        (after.start - before.end, -abs(2 * index - piece.first - piece.last), index)
        for index in inner
        if (before := spans[index - 1]) is not None and (after := spans[index]) is not None
    ]
    if not gaps:
        return []
    _, _, cut = max(gaps)
    before, after = spans[cut - 1], spans[cut]
    if before is None or after is None:
        return []
    left = Span(piece.span.start, min(piece.span.end, max(after.start, before.end) + CUT_MS))
    right = Span(max(piece.span.start, min(before.end, after.start) - CUT_MS), piece.span.end)
    return [_Piece(piece.first, cut, left), _Piece(cut, piece.last, right)]


def _near(piece: _Piece, spans: Sequence[Span | None], length: int) -> Span:
    """The span of a piece without what lies further than ``PAD_MS`` from its timed words."""
    timed = [span for span in spans[piece.first : piece.last] if span is not None]
    start, end = max(piece.span.start, 0), min(piece.span.end, length)
    if timed:
        start = max(start, min(span.start for span in timed) - PAD_MS)
        end = min(end, max(span.end for span in timed) + PAD_MS)
    return Span(start, max(start, end))


def _failed(
    aligned: Sequence[Span | None], spans: Sequence[Span | None], spoken: Sequence[tuple[Unit, ...]], length: int
) -> list[_Piece]:
    """Runs of words without an aligned span, with the audio that their aligned neighbours leave."""
    found: list[_Piece] = []
    index = 0
    while index < len(aligned):
        if aligned[index] is not None or not spoken[index]:
            index += 1
            continue
        first = index
        while index < len(aligned) and aligned[index] is None and spoken[index]:
            index += 1
        before = max((span.end for span in aligned[:first] if span is not None), default=0)
        after = min((span.start for span in aligned[index:] if span is not None), default=length)
        piece = _Piece(first, index, Span(before, after))
        found.append(replace(piece, span=_near(piece, spans, length)))
    return found


def _fill(aligned: Sequence[Span | None], spans: Sequence[Span | None], length: int) -> list[Span | None]:
    """Aligned spans where there are any, else the rough span cut back to what the aligned neighbours leave free."""
    found: list[Span | None] = []
    for index, (exact, rough) in enumerate(zip(aligned, spans, strict=True)):
        if exact is not None or rough is None:
            found.append(exact)
            continue
        before = max((span.end for span in aligned[:index] if span is not None), default=0)
        after = min((span.start for span in aligned[index:] if span is not None), default=length)
        start, end = max(rough.start, before), min(rough.end, after)
        found.append(Span(start, end) if end - start >= SHORTEST_MS else None)
    return found


def _timed(word: Word, span: Span | None, offset_ms: int) -> Word:
    if span is None:
        return replace(word, start=None, end=None)
    return replace(word, start=span.start + offset_ms, end=span.end + offset_ms)


def monotone(words: Sequence[Word], regions: Sequence[Span]) -> tuple[Word, ...]:
    """Give every timed word a span of its own inside the speech.

    Afterwards each timed word lasts at least ``SHORTEST_MS``, lies inside one speech region, and ends before the next
    timed word begins. A word keeps the part of its span inside the region it shares most with. A word wholly in silence
    moves to the nearest edge of a region if that is at most ``NEAR_MS`` away. Of two words that overlap, the earlier
    one ends where the later one begins; the later one is pushed only as far as the earlier one needs. A word that
    has no place, or would have to move by more than ``NEAR_MS``, comes back untimed. A list that is already right comes
    back unchanged.

    Args:
        words: Words in spoken order, with times in ms or untimed.
        regions: Speech regions in any order; overlapping ones are joined. Empty: the words are not clamped.

    Returns:
        The same words in the same order.
    """
    joined = _joined(regions) if regions else [Span(0, 1 << 62)]
    placed: list[tuple[int, Span]] = []
    for index, word in enumerate(words):
        if word.start is None or word.end is None:
            continue
        region = _region(Span(word.start, max(word.end, word.start + SHORTEST_MS)), joined)
        if region is None:
            continue
        start, end = _clamped(word.start, max(word.end, word.start + SHORTEST_MS), region)
        if placed and start < placed[-1][1].end:
            number, previous = placed[-1]
            shortened = Span(previous.start, max(previous.start + SHORTEST_MS, start))
            if (words[number].start or 0) - shortened.end > NEAR_MS:
                # It had been moved here out of a silence further on; what is left of it is too far from there.
                placed.pop()
            else:
                start = max(start, shortened.end)
                end = max(end, start + SHORTEST_MS)
                if start - word.start > NEAR_MS or end > region.end:
                    continue
                placed[-1] = number, shortened
        if placed and start < placed[-1][1].end:
            continue
        placed.append((index, Span(start, end)))
    spans = dict(placed)
    return tuple(_timed(word, spans.get(index), 0) for index, word in enumerate(words))


def _joined(regions: Sequence[Span]) -> list[Span]:
    """Regions in order, overlapping and touching ones joined, those too short for a word left out."""
    found: list[Span] = []
    for region in sorted(regions, key=lambda r: (r.start, r.end)):
        if found and region.start <= found[-1].end:
            found[-1] = Span(found[-1].start, max(found[-1].end, region.end))
        else:
            found.append(region)
    return [region for region in found if region.duration >= SHORTEST_MS]


def _region(span: Span, regions: Sequence[Span]) -> Span | None:
    """The region that shares most with a span, else the nearest one within ``NEAR_MS``, else None."""

    def distance(region: Span) -> int:
        # Negative where they overlap: minus the length they share.
        return max(region.start, span.start) - min(region.end, span.end)

    best = min(regions, key=distance, default=None)
    return best if best is not None and distance(best) <= NEAR_MS else None


def _clamped(start: int, end: int, region: Span) -> tuple[int, int]:
    """Cut or move a span into a region, at least ``SHORTEST_MS`` long."""
    if end <= region.start:
        start, end = region.start, region.start + (end - start)
    elif start >= region.end:
        start, end = region.end - (end - start), region.end
    start, end = max(start, region.start), min(end, region.end)
    if end - start < SHORTEST_MS:
        start = max(region.start, min(start, region.end - SHORTEST_MS))
        end = start + SHORTEST_MS
    return start, end
