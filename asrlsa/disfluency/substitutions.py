"""Retracings that say a whole phrase again with other content: ``in the barn um in the house``.

Fluent speech puts like phrases side by side too (``in the morning in the kitchen``, ``the dog, the cat and the bird``),
so a sign of trouble must stand between the two: a filler, a fragment or a hyphen, or, where the second phrase can
hardly be anything but a correction, silence.
"""

from __future__ import annotations

from itertools import pairwise

from asrlsa.disfluency.runs import Run

LONGEST_PHRASE = 4  # words
_CONTENT, _NUMBER = "<content>", "<number>"  # no word has these signs


def substitution(run: Run, p: int) -> int:
    """L: ``in the barn um in the house``, ``was sick (.) was tired``, ``for forty two um for ten minutes``.

    Returns:
        The number of words that are taken back, from ``p`` on; 0 for none.
    """
    for length in range(2, LONGEST_PHRASE + 1):
        if run.troubled(p + length - 1) and (_replaced(run, p, length) or _one_word(run, p, length)):
            return length
    return _number(run, p)


def _replaced(run: Run, p: int, length: int) -> bool:
    """Whether the words from ``p`` on are said again after them with other content."""
    again = p + length
    first, second = _pattern(run, p, again), _pattern(run, again, again + LONGEST_PHRASE + 1)
    grammar, head = run.grammar, run.key(p)
    if (_CONTENT not in first and _NUMBER not in first) or second[: len(first)] != first:
        return False
    if head != run.key(again) or head not in grammar.determiners | grammar.prepositions | grammar.be_forms | {"be"}:
        return False
    after = again + _length(run, again, len(first))
    contents = {run.key(q) for q in range(p, again) if run.content(q)}
    if contents & {run.key(q) for q in range(again, after)}:
        return False  # "the big dog um the big cat" is told by its last word alone
    if _listed(run, p, after):
        return False
    if run.broken(again - 1):
        return True
    return _sure(run, p, again, after, first)


def _one_word(run: Run, p: int, length: int) -> bool:
    """Whether all words but one are said again: ``half past three um quarter past three``."""
    if length < 3 or not run.broken(p + length - 1) or _listed(run, p, p + 2 * length):
        return False
    pairs = [(q, q + length) for q in range(p, p + length) if run.key(q) != run.key(q + length)]
    return len(pairs) == 1 and all(run.content(q) or run.key(q) in run.table.numerals for q in pairs[0])


def _sure(run: Run, p: int, again: int, after: int, pattern: tuple[str, ...]) -> bool:
    """Whether silence is enough: few fluent sentences say the same function words with other content there."""
    grammar, before = run.grammar, run.key(p - 1)
    times = not grammar.time_words.isdisjoint(run.key(q) for q in range(p, after))
    if times or run.items[run.nodes[again - 1].end].mark == ",":
        return False
    if pattern[0] in grammar.be_forms | {"be"}:
        return not run.embedded(p)
    if pattern[0] in grammar.prepositions:  # "for four (.) for sixty years": a bare number is waiting for its noun
        return len(pattern) > 2 or (pattern[1] == _NUMBER and run.content(after))
    if before in grammar.prepositions:  # "to the girl (.) the boy", not "in the park (.) the children ran"
        return not run.finite(after) and not run.content(after)
    opens = run.opens_clause(p) or (p == 1 and (before,) in grammar.adverbials)
    return opens and run.finite(after)


def _listed(run: Run, p: int, after: int) -> bool:
    """Whether the phrases belong to a list: ``the dog um the cat and the frog``."""
    head, coordinators = run.key(p), run.grammar.coordinators
    following = [run.key(q) for q in range(after, after + 5)]
    more = head == following[0] or any(a in coordinators and b == head for a, b in pairwise(following))
    earlier = [run.key(q) for q in range(max(0, p - 3), p)]
    return more or head in earlier


def _pattern(run: Run, start: int, end: int) -> tuple[str, ...]:
    """Return the words of a stretch, with signs for content words and for runs of number words."""
    found: list[str] = []
    for q in range(start, min(end, len(run.nodes))):
        key = run.key(q)
        sign = _NUMBER if key in run.table.numerals else _CONTENT if run.content(q) else key
        if sign != _NUMBER or found[-1:] != [_NUMBER]:
            found.append(sign)
    return tuple(found)


def _length(run: Run, start: int, signs: int) -> int:
    """Return how many words a number of signs stands for."""
    length = 1
    while start + length < len(run.nodes) and len(_pattern(run, start, start + length + 1)) <= signs:
        length += 1
    return length


def _number(run: Run, p: int) -> int:
    """A number exchanged before what is counted: ``for ten um twenty years``."""
    numerals = run.table.numerals
    alone = run.key(p - 1) not in numerals and run.key(p + 2) not in numerals
    both = run.key(p) in numerals and run.key(p + 1) in numerals and run.key(p) != run.key(p + 1)
    return int(both and alone and run.broken(p) and run.content(p + 2))
