"""Which window of the recording holds which word of the transcript."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from asrlsa.language import split_mark
from asrlsa.scoring.align import align
from asrlsa.trusted.words import Block, TrustedWord, word_key
from asrlsa.types import Milliseconds, Span, Word

BULLET_SLACK_MS = 1_500  # how far outside its utterance's bullet a word may be heard
NEAR_WINDOW_MS = 1_000  # how far outside every window a bullet may place a word


@dataclass(frozen=True, slots=True)
class Placed:
    """Where the words of a transcript are.

    Attributes:
        windows: For each word the number of its window, or None where there is no speech at its time.
        heard: For each word whether the recogniser wrote it too, on its own account.
        between: What the recogniser wrote between two words of the transcript, by the number of the second.
    """

    windows: tuple[int | None, ...]
    heard: tuple[bool, ...]
    between: dict[int, Block]


def place(
    trusted: Sequence[TrustedWord],
    masks: Sequence[int],
    bullets: Sequence[Span | None],
    heard: Sequence[Sequence[Word]],
    spans: Sequence[Span],
) -> Placed:
    """Find the window of every word.

    The recogniser's own words are aligned to the transcript; where it wrote the same word, that word's window is it. A
    bullet overrules a match far away from it. Words in between follow their bullet, else the word before them.

    Args:
        trusted: The words of the transcript.
        masks: Gaps of the transcript that hold something untranscribed.
        bullets: For each word the span of its utterance, or None.
        heard: For each window what the recogniser wrote, with times in the recording.
        spans: For each window the stretch of the recording that it covers.
    """
    flat = [(word, number) for number, words in enumerate(heard) for word in words]
    ops = align([w.key for w in trusted], [word_key(word.text) for word, _ in flat], masks)
    windows: list[int | None] = [None] * len(trusted)
    same = [False] * len(trusted)
    between: dict[int, Block] = {}
    for tag, i1, i2, j1, j2 in ops:
        if tag in ("insert", "masked"):
            between[i1] = (*between.get(i1, ()), *(split_mark(word.text)[0] for word, _ in flat[j1:j2]))
            continue
        for i, j in zip(range(i1, i2), range(j1, j2), strict=False):
            word, number = flat[j]
            if _near(word.start, bullets[i]):
                windows[i], same[i] = number, tag == "equal"
    return Placed(tuple(_filled(windows, trusted, bullets, spans)), tuple(same), between)


def _near(time: Milliseconds | None, bullet: Span | None) -> bool:
    return time is None or bullet is None or bullet.start - BULLET_SLACK_MS <= time <= bullet.end + BULLET_SLACK_MS


def _filled(
    windows: list[int | None], trusted: Sequence[TrustedWord], bullets: Sequence[Span | None], spans: Sequence[Span]
) -> list[int | None]:
    """Give the words that were not heard the window of their bullet, or of the word before, never out of order."""
    last = max(len(spans) - 1, 0)
    ceiling = [last] * (len(windows) + 1)
    for i in range(len(windows) - 1, -1, -1):
        known = windows[i]
        ceiling[i] = ceiling[i + 1] if known is None else min(known, ceiling[i + 1])
    floor = 0
    latest = ceiling[0] if any(w is not None for w in windows) else 0
    for i, (known, bullet) in enumerate(zip(windows, bullets, strict=True)):
        wanted = known
        if known is None and spans:
            wanted = latest if bullet is None else _window_at(_share_of_bullet(i, trusted, bullet), spans)
        if wanted is not None:
            windows[i] = floor = latest = max(floor, min(wanted, ceiling[i]))
    return windows


def _share_of_bullet(i: int, trusted: Sequence[TrustedWord], bullet: Span) -> Milliseconds:
    """Return the time of a word if the words of its utterance shared the bullet equally."""
    first = last = i
    while first and trusted[first - 1].utterance == trusted[i].utterance:
        first -= 1
    while last + 1 < len(trusted) and trusted[last + 1].utterance == trusted[i].utterance:
        last += 1
    return bullet.start + bullet.duration * (2 * (i - first) + 1) // (2 * (last - first + 1))


def _window_at(time: Milliseconds, spans: Sequence[Span]) -> int | None:
    """Return the window at a time, else the nearest one, else None where all are far away."""
    if not spans:
        return None
    far = [max(span.start - time, time - span.end, 0) for span in spans]
    nearest = min(range(len(spans)), key=lambda n: far[n])
    return nearest if far[nearest] <= NEAR_WINDOW_MS else None
