"""Tells a decoding loop from a real repetition.

A person who says "I I I" or "in a in a sort of" takes time for every copy. A decoder that loops writes copies that
share the same few frames, lie in silence, or go on until the text may not grow any more. So a run of copies counts as
a loop by the time its copies take, never by their number alone.

The number decides how much evidence is needed. Two copies are never a loop. Three or four are what people say, who
stutter or not: most of them must be impossible. More than four are rare in speech and usual in loops: one impossible
copy among those after the third is enough. Three fragments or more (``d- d- d-``) must lead to a word that begins with
them; three at the end of a text, where the speaker may have stopped, need not. Where a loop is found, at most three of
its copies are taken for spoken.

The time of a fragment lasts until the next word begins: cross-attention gives a sound as short as ``d-`` one moment.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from asrlsa.types import Span, Word

MIN_COPY_MS = 70  # a spoken copy of even one short word takes at least this long
MIN_COPIES = 3  # two copies are never taken for a loop
MOST_COPIES = 4  # more copies than this need only one that is impossible
KEPT_COPIES = 3  # copies of a loop that are taken for spoken at most
FAST_WORD_MS = 45  # mean length of a word that no speaker reaches over a whole run: 22 words a second
MIN_PARTS = 6  # so many equal parts in one word (``a-a-a-a-a-a``) are looked at one by one
MAX_PHRASE = 10  # longest phrase, in words, that is looked at
ENDLESS_COPIES = 6  # a run that fills the text to its limit
SQUEEZED_WORDS = 8  # so many words in a row with hardly any time: text that the audio does not hold
SQUEEZED_WORD_MS = 20  # mean length of a word in such a run


def find_loop(
    words: Sequence[Word],
    *,
    truncated: bool = False,
    speech: Sequence[Span] = (),
    pieces: Sequence[Sequence[Word]] = (),
) -> tuple[int, int] | None:
    """Return the first loop as ``(first, last)`` word indices, last exclusive, or None.

    Args:
        words: Decoded words in order with times in ms.
        truncated: The text ran to its maximum length.
        speech: Speech regions in the same time base; when given, copies that lie in silence count against a run.
        pieces: For each word the parts it was written in; a word of many equal parts is judged by the times of these.

    The loop begins at the first copy whose time is impossible; the copies before it were spoken. A long run of words
    that share a few frames counts too, whatever the words are.
    """
    if any(len(p) >= MIN_PARTS for p in pieces):
        units, owners = _units(words, pieces)
        found = find_loop(units, truncated=truncated, speech=speech)
        return None if found is None else (owners[found[0]], owners[found[1] - 1] + 1)
    plain = [_plain(w) for w in words]
    n = len(plain)
    best = _squeezed(words)
    earliest = best[0] if best is not None else n
    for size in range(1, MAX_PHRASE + 1):
        first = 0
        while first + 2 * size <= n:
            copies = 1
            while plain[first + copies * size : first + (copies + 1) * size] == plain[first : first + size]:
                copies += 1
            last = first + copies * size
            if copies >= MIN_COPIES and first < earliest:
                begin = _impossible_from(words, first, size, copies, truncated and last >= n - size, speech)
                if begin is not None:
                    best, earliest = (begin, last), first
            first = last if copies > 1 else first + 1
    return best


def find_echo(words: Sequence[Word]) -> int:
    """Return how many words at the end are the words before them once more, and take no time at all; 0 for none.

    Such a copy has no place in the sound. A single word counts for none: it may have been said in the little time that
    the last word was given.
    """
    timeless = 0
    while timeless < len(words) and words[-1 - timeless].start == words[-1 - timeless].end:
        timeless += 1
    plain = [_plain(w) for w in words]
    sizes = range(min(timeless, len(words) // 2), 1, -1)
    return next((size for size in sizes if plain[-size:] == plain[-2 * size : -size]), 0)


def _plain(word: Word) -> str:
    return word.text.lower().strip(".,?!-…\"'")


def _units(words: Sequence[Word], pieces: Sequence[Sequence[Word]]) -> tuple[list[Word], list[int]]:
    """Return the words, those of many equal parts taken apart, and for each unit the index of its word."""
    units: list[Word] = []
    owners: list[int] = []
    for index, (word, parts) in enumerate(zip(words, pieces, strict=True)):
        runs = (len(list(group)) for _, group in groupby(parts, key=_plain))
        taken = parts if max(runs, default=0) >= MIN_PARTS else (word,)
        units.extend(taken)
        owners.extend([index] * len(taken))
    return units, owners


def _squeezed(words: Sequence[Word]) -> tuple[int, int] | None:
    """Return the first long run of words that hardly take any time."""
    first = 0
    for i in range(len(words) + 1):
        brief = i < len(words) and (words[i].end or 0) - (words[i].start or 0) <= SQUEEZED_WORD_MS
        if brief and words[i].start is not None:
            continue
        if i - first >= SQUEEZED_WORDS:
            return first, i
        first = i + 1
    return None


def _impossible_from(
    words: Sequence[Word], first: int, size: int, copies: int, endless: bool, speech: Sequence[Span]
) -> int | None:
    """Return the index at which a run of copies stops being speech, or None when a person can have said it."""
    if endless and copies >= ENDLESS_COPIES:
        return first + size
    last = first + copies * size
    bad = [_too_short(words, i, size) or _silent(words[i : i + size], speech) for i in range(first, last, size)]
    # one squeezed copy is an error of alignment; a loop squeezes most of its later copies
    found = sum(bad) * 2 >= copies and sum(bad) >= 2
    nowhere = all(map(is_fragment, words[first:last])) and not _leads_on(words, last, copies)
    found = found or nowhere or (copies > MOST_COPIES and any(bad[KEPT_COPIES:]))
    if not found:
        return None
    spoken = bad.index(True) if True in bad else KEPT_COPIES
    return first + min(max(1, spoken), KEPT_COPIES, copies - 1) * size


def _leads_on(words: Sequence[Word], last: int, copies: int) -> bool:
    """Whether a run of fragments before word ``last`` leads to a word that begins as its last fragment does.

    What is unintelligible may be that word, and so may be what was not heard yet.
    """
    if last == len(words):
        return copies <= KEPT_COPIES
    letters, following = _plain(words[last - 1]), _plain(words[last])
    return bool(letters) and (following.startswith(letters) or following == "xxx")


def is_fragment(word: Word) -> bool:
    """Whether a word is written as broken off: ``b-``."""
    return word.text.rstrip(".,?!…").endswith("-")


def _too_short(words: Sequence[Word], at: int, size: int) -> bool:
    start, end = words[at].start, words[at + size - 1].end
    if start is None or end is None:
        return False
    following = words[at + 1].start if at + 1 < len(words) else None
    if size == 1 and is_fragment(words[at]) and following is not None:
        end = max(end, following)
    return end - start < max(MIN_COPY_MS, FAST_WORD_MS * size)


def _silent(copy: Sequence[Word], speech: Sequence[Span]) -> bool:
    start, end = copy[0].start, copy[-1].end
    if not speech or start is None or end is None or end <= start:
        return False
    covered = sum(max(0, min(end, s.end) - max(start, s.start)) for s in speech)
    return covered * 4 < end - start
