"""Word alignment: jiwer's, with masked stretches and a fixed choice between ties.

jiwer aligns the words (``jiwer.process_words``), and the number of errors stays what it finds. Between alignments with
the same number of errors jiwer's choice is changed by rule, because errors, confusions and disfluency events are read
off the alignment:

1. A block that only deletes or only inserts slides left as far as it can. In "I [/] I want" against "I want" the first
   copy is the deleted one: CHAT codes the earlier copy as the disfluent one.
2. Where words are substituted next to a deletion or insertion, the most similar spellings are paired.

A masked stretch in the reference is a wildcard that takes in any number of hypothesis words, none included, at no cost.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from asrlsa.scoring.anchors import stretches

# Files longer than this are cut at anchors, which bounds time.
LONG_FILE = 20_000
# Blocks are re-aligned by an ordinary table; beyond this many cells the first alignment stands.
MAX_CELLS = 250_000
# With masks, sequences this short are aligned by one full table; in longer ones only the neighbourhood of a mask is,
# as far as this many matching words on either side.
SHORT_CELLS = 10_000
NEAR = 5


class Op(NamedTuple):
    """One block of an alignment: reference words ``i1:i2`` against hypothesis words ``j1:j2``.

    ``tag`` is ``equal``, ``substitute``, ``delete``, ``insert`` or ``masked`` (hypothesis words inside a stretch
    that the reference masks; they count neither way).
    """

    tag: str
    i1: int
    i2: int
    j1: int
    j2: int


class Counts(NamedTuple):
    """Words that match, and errors; ``reference`` is the number of reference words.

    ``masked`` counts hypothesis words that stand in a masked stretch of the reference.
    """

    hits: int = 0
    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0
    masked: int = 0

    @property
    def errors(self) -> int:
        """Substitutions, deletions and insertions."""
        return self.substitutions + self.deletions + self.insertions

    @property
    def reference(self) -> int:
        """Number of words in the reference."""
        return self.hits + self.substitutions + self.deletions

    @property
    def rate(self) -> float | None:
        """Errors per reference word; None where the reference is empty and there are no errors."""
        if self.reference:
            return self.errors / self.reference
        return float("inf") if self.errors else None

    def plus(self, other: Counts) -> Counts:
        """Return the sum of both."""
        return Counts(*(a + b for a, b in zip(self, other, strict=True)))


def align(reference: Sequence[str], hypothesis: Sequence[str], masks: Sequence[int] = ()) -> list[Op]:
    """Align two word sequences with the fewest errors.

    Args:
        reference: Normalised reference words.
        hypothesis: Normalised hypothesis words.
        masks: Gaps of the reference that hold a masked stretch: ``g`` stands before word ``g``.

    Returns:
        Blocks that cover both sequences in order.
    """
    ops = _merge(by_jiwer(reference, hypothesis))
    if masks:
        ops = _merge(_wildcards(ops, reference, hypothesis, sorted(set(masks))))
    fixed = frozenset(masks)
    ops = [_absorbed(op, fixed) for op in _slide(ops, reference, hypothesis, fixed)]
    return _merge(_pair_similar(ops, reference, hypothesis))


def count(ops: Sequence[Op]) -> Counts:
    """Count hits and errors of an alignment."""
    total = Counter[str]()
    for tag, i1, i2, j1, j2 in ops:
        total[tag] += max(i2 - i1, j2 - j1)
    return Counts(total["equal"], total["substitute"], total["delete"], total["insert"], total["masked"])


def columns(ops: Sequence[Op], references: int, hypotheses: int) -> tuple[array[int], array[int], int]:
    """Number the columns of an alignment.

    Args:
        ops: Alignment.
        references: Number of reference words.
        hypotheses: Number of hypothesis words.

    Returns:
        Column of each reference word, column of each hypothesis word, and the number of columns.
    """
    of_reference, of_hypothesis = array("q", bytes(8 * references)), array("q", bytes(8 * hypotheses))
    column = 0
    for _, i1, i2, j1, j2 in ops:
        for k in range(i2 - i1):
            of_reference[i1 + k] = column + k
        for k in range(j2 - j1):
            of_hypothesis[j1 + k] = column + k
        column += max(i2 - i1, j2 - j1)
    return of_reference, of_hypothesis, column


def numbered(reference: Sequence[str], hypothesis: Sequence[str]) -> tuple[list[int], list[int]]:
    """Give every different word a number, the same on both sides."""
    numbers: dict[str, int] = {}
    return (
        [numbers.setdefault(word, len(numbers)) for word in reference],
        [numbers.setdefault(word, len(numbers)) for word in hypothesis],
    )


def levenshtein(reference: Sequence[int] | str, hypothesis: Sequence[int] | str) -> list[Op]:
    """Align two short sequences by rapidfuzz, the aligner inside jiwer."""
    from rapidfuzz.distance import Levenshtein

    return [
        Op("substitute" if op.tag == "replace" else op.tag, op.src_start, op.src_end, op.dest_start, op.dest_end)
        for op in Levenshtein.opcodes(reference, hypothesis)
    ]


def by_jiwer(reference: Sequence[str], hypothesis: Sequence[str]) -> list[Op]:
    """Align words by jiwer, in a long file a stretch between anchors at a time."""
    import jiwer

    pieces = stretches(reference, hypothesis, LONG_FILE)
    # No word holds white space, so a line feed between words gives jiwer the same words back.
    split = jiwer.ReduceToListOfListOfWords(word_delimiter="\n")
    sides = ["\n".join(reference[a:b]) for a, b, _, _ in pieces], ["\n".join(hypothesis[c:d]) for _, _, c, d in pieces]
    found = jiwer.process_words(*sides, split, split)
    return [
        Op(k.type, a + k.ref_start_idx, a + k.ref_end_idx, c + k.hyp_start_idx, c + k.hyp_end_idx)
        for (a, _, c, _), chunks in zip(pieces, found.alignments, strict=True)
        for k in chunks
    ]


def _absorbed(op: Op, masks: frozenset[int]) -> Op:
    return op._replace(tag="masked") if op.tag == "insert" and op.i1 in masks else op


def _push(ops: list[Op], op: Op) -> None:
    """Append a block, joined to the last one where they have the same tag and touch; an empty one is dropped."""
    if op.i1 == op.i2 and op.j1 == op.j2:
        return
    last = ops[-1] if ops else None
    if last is not None and last.tag == op.tag and last.i2 == op.i1 and last.j2 == op.j1:
        ops[-1] = Op(op.tag, last.i1, op.i2, last.j1, op.j2)
    else:
        ops.append(op)


def _merge(ops: Sequence[Op]) -> list[Op]:
    merged: list[Op] = []
    for op in ops:
        _push(merged, op)
    return merged


def _slide(ops: list[Op], reference: Sequence[str], hypothesis: Sequence[str], masks: frozenset[int]) -> list[Op]:
    """Move every lone deletion or insertion left over the matching words before it while that changes no error."""
    slid: list[Op] = []
    for op in ops:
        words, first, last = (hypothesis, op.j1, op.j2) if op.i1 == op.i2 else (reference, op.i1, op.i2)
        movable = op.tag in ("delete", "insert") and bool(slid) and slid[-1].tag == "equal"
        if not movable or words[first - 1] != words[last - 1]:
            _push(slid, op)
            continue
        equal, steps = slid.pop(), 0
        room = equal.i2 - equal.i1
        while steps < room and words[first - 1 - steps] == words[last - 1 - steps] and op.i1 - steps not in masks:
            steps += 1
        _push(slid, Op("equal", equal.i1, equal.i2 - steps, equal.j1, equal.j2 - steps))
        moved = Op(op.tag, op.i1 - steps, op.i2 - steps, op.j1 - steps, op.j2 - steps)
        _push(slid, moved)
        _push(slid, Op("equal", moved.i2, moved.i2 + steps, moved.j2, moved.j2 + steps))
    return slid


def _pair_similar(ops: list[Op], reference: Sequence[str], hypothesis: Sequence[str]) -> list[Op]:
    """Re-align each run of substitutions and deletions (or insertions) so that similar spellings are paired."""
    paired: list[Op] = []
    k = 0
    while k < len(ops):
        run = k
        while run < len(ops) and ops[run].tag in ("substitute", "delete", "insert"):
            run += 1
        block = ops[k:run]
        if len({op.tag for op in block}) > 1 and _cells(block) <= MAX_CELLS:
            i1, i2, j1, j2 = block[0].i1, block[-1].i2, block[0].j1, block[-1].j2
            symbols: list[str | None] = list(reference[i1:i2])
            paired += [Op(t, a + i1, b + i1, c + j1, d + j1) for t, a, b, c, d in _table(symbols, hypothesis[j1:j2])]
        else:
            paired += ops[k : max(run, k + 1)]
        k = max(run, k + 1)
    return paired


def _cells(block: Sequence[Op]) -> int:
    return (block[-1].i2 - block[0].i1 + 1) * (block[-1].j2 - block[0].j1 + 1)


def _wildcards(ops: list[Op], reference: Sequence[str], hypothesis: Sequence[str], masks: Sequence[int]) -> list[Op]:
    """Re-align the neighbourhood of every masked stretch, as far as :data:`NEAR` matches on either side of it."""
    done: list[Op] = []
    k = i = j = 0
    for a, b, c, d, inside in [*_neighbourhoods(ops, masks), (len(reference), 0, len(hypothesis), 0, None)]:
        k, before = _between(ops, k, (i, j), (a, c))
        done += before
        if inside is None:
            break
        k, within = _between(ops, k, (a, c), (b, d))
        symbols: list[str | None] = []
        for word in range(a, b + 1):
            symbols += [None] * (word in inside)
            symbols += [reference[word]] if word < b else []
        settled = all(op.tag == "equal" or (op.tag == "insert" and op.i1 in inside) for op in within)
        if settled or (len(symbols) + 1) * (d - c + 1) > MAX_CELLS:
            done += within
        else:
            done += [Op(t, p + a, q + a, r + c, s + c) for t, p, q, r, s in _table(symbols, hypothesis[c:d])]
        i, j = b, d
    return done


def _between(ops: list[Op], k: int, begin: tuple[int, int], end: tuple[int, int]) -> tuple[int, list[Op]]:
    """Cut out the alignment between two points on its path, which lie in ``equal`` blocks or between blocks.

    Returns:
        Index of the block that holds ``end``, and the blocks from ``begin`` to ``end``.
    """
    part = []
    while k < len(ops):
        op = ops[k]
        if op.i1 >= end[0] and op.j1 >= end[1]:
            break
        if op.i2 > begin[0] or op.j2 > begin[1]:
            i1, j1 = (max(op.i1, begin[0]), max(op.j1, begin[1])) if op.tag == "equal" else (op.i1, op.j1)
            i2, j2 = (min(op.i2, end[0]), min(op.j2, end[1])) if op.tag == "equal" else (op.i2, op.j2)
            part.append(Op(op.tag, i1, i2, j1, j2))
        if op.i2 > end[0] or op.j2 > end[1]:
            break
        k += 1
    return k, part


def _neighbourhoods(ops: list[Op], masks: Sequence[int]) -> list[tuple[int, int, int, int, frozenset[int]]]:
    """Give ``(reference begin, end, hypothesis begin, end, masks)`` around each mask, joined where they touch."""
    last = (ops[-1].i2, ops[-1].j2) if ops else (0, 0)
    keep = NEAR if last[0] * last[1] > SHORT_CELLS else last[0] + 1
    areas: list[tuple[int, int, int, int, frozenset[int]]] = []
    k = 0
    for mask in masks:
        while k < len(ops) and ops[k].i2 < mask:
            k += 1
        left = k
        while left >= 0 and not (left < len(ops) and ops[left].tag == "equal" and _left_room(ops[left], mask) >= keep):
            left -= 1
        right = k
        while right < len(ops) and not (ops[right].tag == "equal" and _right_room(ops[right], mask) >= keep):
            right += 1
        if left < 0:
            a, c = 0, 0
        else:
            a = min(ops[left].i2, mask) - keep
            c = ops[left].j1 + a - ops[left].i1
        if right >= len(ops):
            b, d = last
        else:
            b = max(ops[right].i1, mask) + keep
            d = ops[right].j1 + b - ops[right].i1
        if areas and a <= areas[-1][1]:
            a, c = areas[-1][0], areas[-1][2]
            areas[-1] = (a, max(b, areas[-1][1]), c, max(d, areas[-1][3]), areas[-1][4] | {mask})
        else:
            areas.append((a, b, c, d, frozenset({mask})))
    return areas


def _left_room(op: Op, mask: int) -> int:
    return min(op.i2, mask) - op.i1


def _right_room(op: Op, mask: int) -> int:
    return op.i2 - max(op.i1, mask)


# A cost is one integer: errors, then words taken in by masked stretches, then the difference of paired spellings.
_ERROR = 1 << 48
_ABSORBED = 1 << 28
_UNLIKE = 1000


@lru_cache(maxsize=65536)
def _substitution(reference: str, hypothesis: str) -> int:
    """Return the cost of a substitution: an error, and up to :data:`_UNLIKE` for how the spellings differ."""
    from rapidfuzz.distance import Levenshtein

    return _ERROR + round(_UNLIKE * Levenshtein.normalized_distance(reference, hypothesis))


def _table(symbols: Sequence[str | None], hypothesis: Sequence[str]) -> list[Op]:
    """Align by a full table that minimises errors, then masked words, then the difference of paired spellings.

    None is a mask. Ties go to deletions and insertions first in reading order, so that pairs stand as late as possible.
    """
    cost = [[j * _ERROR for j in range(len(hypothesis) + 1)]]
    for symbol in symbols:
        above = cost[-1]
        here = above[0] if symbol is None else above[0] + _ERROR
        row = [here]
        if symbol is None:
            for up in above[1:]:
                here += _ABSORBED
                here = min(here, up)
                row.append(here)
        else:
            corner = above[0]
            for word, up in zip(hypothesis, above[1:], strict=True):
                pair = corner if word == symbol else corner + _substitution(symbol, word)
                here = (here if here < up else up) + _ERROR
                if pair < here:
                    here = pair
                row.append(here)
                corner = up
        cost.append(row)
    return _trace(cost, symbols, hypothesis)


def _trace(cost: list[list[int]], symbols: Sequence[str | None], hypothesis: Sequence[str]) -> list[Op]:
    """Walk back through the table of :func:`_table`; reference indices leave the masks out."""
    word, i, j = sum(symbol is not None for symbol in symbols), len(symbols), len(hypothesis)
    ops: list[Op] = []
    while i or j:
        here = cost[i][j]
        symbol = symbols[i - 1] if i else ""
        if symbol is None:
            if j and here == cost[i][j - 1] + _ABSORBED:
                ops.append(Op("masked", word, word, j - 1, j))
                j -= 1
            else:
                i -= 1
            continue
        same = bool(i and j) and symbol == hypothesis[j - 1]
        if i and j and here == cost[i - 1][j - 1] + (0 if same else _substitution(symbol, hypothesis[j - 1])):
            ops.append(Op("equal" if same else "substitute", word - 1, word, j - 1, j))
            i, j, word = i - 1, j - 1, word - 1
        elif i and here == cost[i - 1][j] + _ERROR:
            ops.append(Op("delete", word - 1, word, j, j))
            i, word = i - 1, word - 1
        else:
            ops.append(Op("insert", word, word, j - 1, j))
            j -= 1
    return ops[::-1]
