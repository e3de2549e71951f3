"""What is done about decodings that no speaker said: loops are decoded again, guesses and echoes are taken out.

So are fragments that the model hardly believes in, where its card says from when on it may be believed. No context
speaks for or against a fragment, and what a model writes for a noise or for a name that it does not know is often one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from asrlsa.speech.decode import Decoded, DecodingOptions
from asrlsa.speech.loops import find_echo, find_loop, is_fragment
from asrlsa.speech.windows import Window
from asrlsa.types import Word

RESCUE_BEAM = 5  # width of the search for a window that has looped
LAST_RESORT_NGRAM = 4  # n-grams banned when it loops again
GUESS_LOG_PROBABILITY = -1.2  # mean log probability below which a window's text is a guess; real speech: -0.2 to -0.7
SPEECH_EVIDENCE = 0.6  # a guess over regions with less speech probability than this is noise, else unintelligible

Search = Callable[[list[int], int], list[Decoded]]  # decodes the windows of these numbers again, under an n-gram ban


def repair(
    windows: Sequence[Window], results: Sequence[Decoded], search: Search, least: float = 0.0
) -> list[tuple[Decoded, str]]:
    """Return what was decoded without loops and guesses, each with a note on what was done, or an empty one.

    Windows that loop are decoded again: with a wider search first, with an n-gram ban only if that loops too. The wider
    search usually finds the way out and keeps real repetitions. What loops even under the ban is cut out and replaced
    by ``xxx``.

    Args:
        windows: The windows.
        results: What was decoded in each.
        search: Called with the numbers of windows and the n-gram ban (0 for none); decodes them with a wide search.
        least: See `without_weak_fragments`.
    """
    found = list(results)
    notes = [""] * len(found)
    for ban in (0, LAST_RESORT_NGRAM):
        looping = [i for i, r in enumerate(found) if loop_in(windows[i], r)]
        if not looping:
            break
        for i, result in zip(looping, search(looping, ban), strict=True):
            found[i] = result
            notes[i] = "a decoding loop was found and decoded again"
    for i, window in enumerate(windows):
        found[i], note = without_loops(window, found[i])
        notes[i] = note or notes[i]
        found[i], note = without_echo(found[i])
        notes[i] = note or notes[i]
        found[i], note = without_guesses(window, without_weak_fragments(found[i], least))
        notes[i] = note or notes[i]
    return list(zip(found, notes, strict=True))


def wide_search(decoding: DecodingOptions) -> DecodingOptions:
    """Return the search for a window that has looped."""
    return DecodingOptions(beam_size=max(RESCUE_BEAM, decoding.beam_size), suppress_tokens=decoding.suppress_tokens)


def absolute_words(window: Window, words: Sequence[Word]) -> list[Word]:
    """Return the words with times in the recording instead of the window."""
    return [
        Word(
            w.text,
            None if w.start is None else window.absolute(w.start),
            None if w.end is None else window.absolute(w.end, end=True),
            w.confidence,
        )
        for w in words
    ]


def located(window: Window, note: str) -> str:
    """Return a note on a window that begins with where it is, in minutes and seconds."""
    at = window.pieces[0].start
    return f"{at // 60_000}:{at // 1000 % 60:02}: {note}"


def loop_in(window: Window, result: Decoded) -> tuple[int, int] | None:
    """Return the loop in a window, if there is one; times and regions are compared in the recording."""
    words = absolute_words(window, result.words)
    pieces = [absolute_words(window, p) for p in result.pieces]
    return find_loop(words, truncated=result.truncated, speech=window.regions, pieces=pieces)


def without_loops(window: Window, result: Decoded) -> tuple[Decoded, str]:
    """Replace what still loops by one ``xxx``; the note says so."""
    note = ""
    while (loop := loop_in(window, result)) is not None:
        first, last = loop
        words, pieces = list(result.words), list(result.pieces)
        mask = Word("xxx", words[first].start, words[last - 1].end, 0.0)
        words[first:last] = [mask]
        if pieces:
            pieces[first:last] = [(mask,)]
        result = replace(result, words=tuple(words), pieces=tuple(pieces))
        note = "a decoding loop could not be resolved and is written xxx"
    return result, note


def without_echo(result: Decoded) -> tuple[Decoded, str]:
    """Drop a phrase at the end that was said once and is written twice; the note says so."""
    size = find_echo(result.words)
    if not size:
        return result, ""
    note = "what was written twice at the end and said once is written once"
    return _only(result, range(len(result.words) - size)), note


def without_weak_fragments(result: Decoded, least: float) -> Decoded:
    """Leave out fragments of less confidence than ``least``; words stay, whatever theirs is."""
    kept = [
        i for i, w in enumerate(result.words) if not is_fragment(w) or w.confidence is None or w.confidence >= least
    ]
    return result if len(kept) == len(result.words) else _only(result, kept)


def _only(result: Decoded, kept: Sequence[int]) -> Decoded:
    """Return a result with the words of these numbers alone."""
    pieces = tuple(result.pieces[i] for i in kept) if result.pieces else ()
    return replace(result, words=tuple(result.words[i] for i in kept), pieces=pieces)


def without_guesses(window: Window, result: Decoded) -> tuple[Decoded, str]:
    """Drop text that the model made up: over noise nothing is written, over speech ``xxx``."""
    if not result.words or result.average_log_probability >= GUESS_LOG_PROBABILITY:
        return result, ""
    if window.evidence < SPEECH_EVIDENCE:
        return replace(result, words=(), pieces=()), "noise, no words written"
    mask = Word("xxx", result.words[0].start, result.words[-1].end, 0.0)
    return replace(result, words=(mask,), pieces=()), "unintelligible, written xxx"
