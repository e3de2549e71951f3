"""Texts that end before the speech does: a decoder may write the first sentence of a window and then its end token.

Nothing in such a text looks wrong, and half a minute of speech would be missing without a word about it. What gives it
away is time: speech, as the detector of voice activity heard it, behind the end of the last word. The window is then
decoded again with a wider search, which usually goes on to the end; if that ends early too, the rest of the window is
decoded as a window of its own, and its words are appended. The words before stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from asrlsa.speech.decode import Decoded
from asrlsa.speech.repairs import GUESS_LOG_PROBABILITY, SPEECH_EVIDENCE, Search, loop_in
from asrlsa.speech.windows import SAMPLES_PER_MS, Window
from asrlsa.types import Milliseconds, Span, Word

UNWRITTEN_MS = 3_000
"""So much speech behind the last word means that the text has ended early. Less is what windows have whose text is
complete: the padding of regions (0.3 s on each side), word times that end early, a laugh or a breath."""
TAIL_MS = 600
"""What a region has left behind the last word, when that is no longer than this, is its padding and the error of
cross-attention (a quarter of a second), not speech: a rest that began there would begin with half a word."""
GAIN_MS = 1_000
"""A wider search that writes less speech than this in addition has found other times, not more words."""
MOST_RESTS = 4
"""Rests of one window that are decoded at most. Where every one ends early again, what is left is hardly speech."""
SURE_LOG_PROBABILITY = -1.0
"""Mean log probability from which a rest is believed as it is: Whisper's own bound. Rests of real speech had -0.2 to
-0.9. What stock tiny.en and base made up over noise, chords and silence had less, most of it so little that it is a
guess anyway; the others -1.0 to -1.2, with loops in them or a no-speech probability above ``NO_SPEECH``."""
NO_SPEECH = 0.3
"""Probability of Whisper's no-speech token above which a rest of less log probability than that is not believed."""

Hear = Callable[[list[int], list[Window]], list[tuple[Decoded, str]]]
"""Decodes and repairs the rests of the windows of these numbers, each as a window of its own; adds notes."""


def completed(
    windows: Sequence[Window], results: Sequence[tuple[Decoded, str]], search: Search, hear: Hear
) -> list[tuple[Decoded, str]]:
    """Return what was decoded with the words that are missing at the end, each with its note.

    Windows whose text reaches the end of their speech cost nothing. A window without any word gets the wider search
    only, and only where it is surely speech: its rest would be the same window again. The note also says how much
    speech has no words in the end; that may be music or laughter.

    Args:
        windows: The windows.
        results: What was decoded in each, without loops and guesses, and the note on it; see ``repairs.repair``.
        search: Decodes windows again with a wide search; see ``repairs.repair``.
        hear: Decodes rests of windows.
    """
    found = list(results)
    early = [i for i, w in enumerate(windows) if _ends_early(w, found[i][0])]
    # a window that has looped has had the wider search already
    fresh = [i for i in early if not found[i][1]]
    for i, wide in zip(fresh, search(fresh, 0) if fresh else (), strict=True):
        gain = _unwritten(windows[i], found[i][0]) - _unwritten(windows[i], wide)
        if gain >= GAIN_MS and _sure(wide) and loop_in(windows[i], wide) is None:
            found[i] = wide, "the text ended early and was decoded again"
    going = [i for i in early if found[i][0].words]
    for _ in range(MOST_RESTS):
        going = [i for i in going if _ends_early(windows[i], found[i][0])]
        if not going:
            break
        rests = [_rest(windows[i], found[i][0]) for i in going]
        heard = hear(going, rests)
        further: list[int] = []
        for i, rest, (result, _) in zip(going, rests, heard, strict=True):
            longer = _joined(found[i][0], result, windows[i].duration - rest.duration)
            if _sure(result) and _unwritten(windows[i], longer) < _unwritten(windows[i], found[i][0]):
                found[i] = longer, "the text ended early and what followed was decoded on its own"
                further.append(i)
        going = further
    for i in early:
        result, note = found[i]
        if _ends_early(windows[i], result):
            left = (
                f"no words for {_unwritten(windows[i], result) / 1000:.0f} s of what may be speech after the last one"
            )
            found[i] = result, f"{note}; {left}" if note else left
    return found


def _ends_early(window: Window, result: Decoded) -> bool:
    surely = bool(result.words) or window.evidence >= SPEECH_EVIDENCE
    return surely and _unwritten(window, result) > UNWRITTEN_MS


def _sure(result: Decoded) -> bool:
    """Whether there are words that can be believed.

    Text that is a guess, or loops until it ends, is what a decoder writes over noise. A whole window of that is written
    ``xxx``, since somebody speaks there; behind the last word nobody has to.
    """
    texts = [word.text for word in result.words]
    if not texts or texts[-1] == "xxx" or result.average_log_probability < GUESS_LOG_PROBABILITY:
        return False
    doubtful = "xxx" in texts or result.no_speech_probability > NO_SPEECH
    return result.average_log_probability >= SURE_LOG_PROBABILITY or not doubtful


def _behind(window: Window, result: Decoded) -> list[Span]:
    """Return the speech behind the last word, in ms of the recording."""
    last = max((w.end for w in result.words if w.end is not None), default=None)
    if last is None:
        return list(window.regions)
    end = window.absolute(last, end=True)
    left = [Span(max(r.start, end), r.end) for r in window.regions if r.end > end]
    if left and left[0].start == end and left[0].duration <= TAIL_MS:
        del left[0]
    return left


def _unwritten(window: Window, result: Decoded) -> Milliseconds:
    """Return how much speech lies behind the last word."""
    return sum(region.duration for region in _behind(window, result))


def _rest(window: Window, result: Decoded) -> Window:
    """Return what follows the last word as a window; there must be speech in it."""
    regions = _behind(window, result)
    begin = regions[0].start
    pieces = tuple(Span(max(p.start, begin), p.end) for p in window.pieces if p.end > begin)
    passed = window.duration - sum(p.duration for p in pieces)
    return Window(window.audio[passed * SAMPLES_PER_MS :], pieces, tuple(regions), window.evidence)


def _joined(first: Decoded, rest: Decoded, offset: Milliseconds) -> Decoded:
    """Append a rest that begins ``offset`` ms after the window does."""

    def moved(words: Sequence[Word]) -> tuple[Word, ...]:
        return tuple(
            replace(
                w,
                start=None if w.start is None else w.start + offset,
                end=None if w.end is None else w.end + offset,
            )
            for w in words
        )

    known = bool(first.pieces) and bool(rest.pieces)
    counts = len(first.words), len(rest.words)
    total = first.average_log_probability * counts[0] + rest.average_log_probability * counts[1]
    return Decoded(
        words=(*first.words, *moved(rest.words)),
        average_log_probability=total / max(1, sum(counts)),
        no_speech_probability=first.no_speech_probability,
        truncated=rest.truncated,
        pieces=(*first.pieces, *map(moved, rest.pieces)) if known else (),
    )
