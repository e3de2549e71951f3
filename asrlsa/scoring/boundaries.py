"""How far word times are off, where both files have them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from asrlsa.scoring.align import Op
from asrlsa.scoring.normalise import Stream
from asrlsa.scoring.samples import Sample


class Boundaries(NamedTuple):
    """Differences hypothesis minus reference in ms, for words that match and have times on both sides."""

    starts: tuple[int, ...] = ()
    ends: tuple[int, ...] = ()

    def plus(self, other: Boundaries) -> Boundaries:
        """Return both together."""
        return Boundaries(self.starts + other.starts, self.ends + other.ends)


def score_boundaries(
    reference: Sample, hypothesis: Sample, words: tuple[Stream, Stream], ops: Sequence[Op]
) -> Boundaries:
    """Compare word times over the matching words of an alignment, each pair of words once."""
    starts, ends, seen = [], [], set()
    for tag, i1, i2, j1, _ in ops:
        if tag != "equal":
            continue
        for k in range(i2 - i1):
            pair = words[0].origin[i1 + k], words[1].origin[j1 + k]
            ours, theirs = reference.words[pair[0]], hypothesis.words[pair[1]]
            if pair in seen or ours.start is None or theirs.start is None or ours.end is None or theirs.end is None:
                continue
            seen.add(pair)
            starts.append(theirs.start - ours.start)
            ends.append(theirs.end - ours.end)
    return Boundaries(tuple(starts), tuple(ends))
