"""Where two long texts surely correspond, so that they can be aligned a piece at a time."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import TypeVar

# Words of an anchor.
ANCHOR = 6

Item = TypeVar("Item", int, str)


def stretches(ref: Sequence[Item], hyp: Sequence[Item], longest: int) -> list[tuple[int, int, int, int]]:
    """Cut two long sequences at anchors, into pieces of about ``longest`` reference words.

    An anchor is a run of :data:`ANCHOR` words that occurs exactly once on each side, in the same order on both.

    Returns:
        ``(reference begin, end, hypothesis begin, end)`` of each piece; one piece where no cut is needed or possible.
    """
    whole = [(0, len(ref), 0, len(hyp))]
    if max(len(ref), len(hyp)) <= longest:
        return whole
    anchors = _anchors(ref, hyp)
    pieces, begin, other = [], 0, 0
    for i, j in anchors:
        if i - begin >= longest // 5 and j > other:
            pieces.append((begin, i, other, j))
            begin, other = i, j
    pieces.append((begin, len(ref), other, len(hyp)))
    return pieces


def _anchors(ref: Sequence[Item], hyp: Sequence[Item]) -> list[tuple[int, int]]:
    """Find the longest chain of runs that occur once on each side, in order on both."""
    places: list[dict[int, int]] = []
    for side in (ref, hyp):
        seen: dict[int, int] = {}
        runs = zip(*(side[k:] for k in range(ANCHOR)), strict=False)
        for k, key in enumerate(map(hash, runs)):
            seen[key] = -1 if key in seen else k
        places.append(seen)
    pairs = [(i, j) for key, i in places[0].items() if i >= 0 and (j := places[1].get(key, -1)) >= 0]
    pairs = [(i, j) for i, j in sorted(pairs) if tuple(ref[i : i + ANCHOR]) == tuple(hyp[j : j + ANCHOR])]
    # Patience chain: the longest subsequence that rises on the hypothesis side too.
    tails: list[int] = []
    tail_at: list[int] = []
    before = [-1] * len(pairs)
    for k, (_, j) in enumerate(pairs):
        place = bisect_left(tails, j)
        before[k] = tail_at[place - 1] if place else -1
        if place == len(tails):
            tails.append(j)
            tail_at.append(k)
        else:
            tails[place], tail_at[place] = j, k
    chain, k = [], tail_at[-1] if tail_at else -1
    while k >= 0:
        chain.append(pairs[k])
        k = before[k]
    return chain[::-1]
