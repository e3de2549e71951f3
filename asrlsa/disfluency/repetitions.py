"""Which words and phrases are repeated, and which are only said twice.

``I um I went`` repeats; ``very very good`` does not; for ``that that`` the timing tells. The lists are the language
table's (``Doubles``); ``docs/chat-guide.md`` gives the rules.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from asrlsa.disfluency.items import Item
from asrlsa.language.tables import LanguageTable

LONGEST_PHRASE = 8  # words of the longest phrase that is looked for twice
EMPHATIC_GAP_MS = 500  # silence that makes "big, big" a repetition
TIMED_GAP_MS = 200  # silence that makes "that that" a repetition
LENGTHENED_MS = 300  # a first copy this long, and this much longer than the second, is a hesitation
LENGTHENED_RATIO = 1.5
NUMBER_RUN = 3  # so many number words or letters in a row are being read out


class Group(NamedTuple):
    """A code about the items ``start`` to ``end``, both included."""

    start: int
    end: int
    code: str


@dataclass(slots=True)
class Node:
    """A word that stays in the cleaned utterance.

    Attributes:
        start: First item of the node: of the first thing that was taken back for this word, or the word itself.
        end: The item of the word itself.
        key: The word in small letters.
    """

    start: int
    end: int
    key: str


def nodes_of(items: Sequence[Item]) -> list[list[Node]]:
    """Return the words of an utterance in runs; a mask ends a run, for nobody knows what was said there."""
    runs: list[list[Node]] = [[]]
    for position, item in enumerate(items):
        if item.kind == "mask":
            runs.append([])
        elif item.kind == "word":
            runs[-1].append(Node(position, position, item.key))
    return [run for run in runs if run]


def between(items: Sequence[Item], first: Node, second: Node) -> list[Item]:
    """Return the fillers, fragments and events between two neighbouring words."""
    return list(items[first.end + 1 : second.start])


def silence(items: Sequence[Item], first: Node, second: Node) -> int:
    """Return the longest silence in ms between two neighbouring words."""
    return max((items[p].gap or 0 for p in range(first.end + 1, second.start + 1)), default=0)


def broken(items: Sequence[Item], first: Node, second: Node) -> bool:
    """Return True if a filler, a fragment, an event or a hyphen stands between two neighbouring words."""
    return bool(between(items, first, second)) or items[first.end].cut


def repetitions(items: Sequence[Item], nodes: list[Node], table: LanguageTable) -> tuple[list[Group], list[Node]]:
    """Find the repetitions among the words of one run.

    Short units first, so that ``I I want I I want`` becomes ``I [/] <I want> [/] I [/] I want``.

    Returns:
        The groups, and the words without all copies but the last.
    """
    groups: list[Group] = []
    for length in range(1, min(LONGEST_PHRASE, len(nodes) // 2) + 1):
        kept: list[Node] = []
        position = 0
        while position < len(nodes):
            copies = _copies(nodes, position, length)
            if copies < 2 or not _repeats(items, nodes, position, length, copies, table):
                kept.append(nodes[position])
                position += 1
                continue
            for copy in range(copies - 1):
                first = position + copy * length
                # From the first word's last copy on: ``I [/] <I want> [/] I want``.
                groups.append(Group(nodes[first].end, nodes[first + length - 1].end, "[/]"))
            start = nodes[position].start
            position += (copies - 1) * length
            nodes[position].start = start
            kept += nodes[position : position + length]
            position += length
        nodes = kept
    return groups, nodes


def _copies(nodes: Sequence[Node], position: int, length: int) -> int:
    """Return how often in a row the words from ``position`` on are said."""
    unit = [node.key for node in nodes[position : position + length]]
    if len(unit) < length or _periodic(unit):
        return 1
    count = 1
    while [node.key for node in nodes[position + count * length : position + (count + 1) * length]] == unit:
        count += 1
    return count


def _periodic(unit: Sequence[str]) -> bool:
    """Return True for a phrase that is itself something said twice: that was judged as the shorter phrase."""
    size = len(unit)
    return any(size % part == 0 and list(unit[:part]) * (size // part) == list(unit) for part in range(1, size))


def _repeats(
    items: Sequence[Item], nodes: Sequence[Node], position: int, length: int, copies: int, table: LanguageTable
) -> bool:
    """Tell a repetition from something that is said twice on purpose."""
    pairs = [
        (nodes[position + c * length - 1], nodes[position + c * length])
        for c in range(1, copies)
    ]  # fmt: skip
    is_broken = any(broken(items, first, second) for first, second in pairs)
    keys = tuple(node.key for node in nodes[position : position + length])
    if _read_out(items, nodes, position, length * copies, table) and not is_broken:
        return False
    if length > 1:
        fluent = keys in table.doubles.phrases or table.doubles.fluent.issuperset(keys)
        return is_broken or not (fluent or _chained(nodes, position, length, table))
    return _word_repeats(items, nodes, position, copies, is_broken, table)


def _read_out(items: Sequence[Item], nodes: Sequence[Node], position: int, size: int, table: LanguageTable) -> bool:
    """Return True inside a row of number words or letters, such as a telephone number or a spelled name."""

    def number(node: Node) -> bool:
        return node.key in table.numerals

    def letter(node: Node) -> bool:
        text = items[node.end].word.text
        return len(text) == 1 and text.isupper() and text not in table.names

    for test in (number, letter):
        if not all(map(test, nodes[position : position + size])):
            continue
        first, last = position, position + size
        while first > 0 and test(nodes[first - 1]):
            first -= 1
        while last < len(nodes) and test(nodes[last]):
            last += 1
        run = {node.key for node in nodes[first:last]}
        return last - first >= NUMBER_RUN and run != {"oh"}
    return False


def _chained(nodes: Sequence[Node], position: int, length: int, table: LanguageTable) -> bool:
    """Return True for force by chaining: ``over and over and over``, ``he ran and he ran and he ran``.

    Such a chain begins and ends with the same words and has a conjunction between: in the longest stretch of the same
    period one conjunction is missing. ``the boy and the boy and the girl`` has them all.
    """
    keys = [node.key for node in nodes]
    first, last = position, position + length
    while first > 0 and keys[first - 1] == keys[first - 1 + length]:
        first -= 1
    while last < len(keys) and keys[last] == keys[last - length]:
        last += 1
    return (last - first) % length == length - 1 and keys[first + length - 1] in table.grammar.coordinators


def _word_repeats(
    items: Sequence[Item],
    nodes: Sequence[Node],
    position: int,
    copies: int,
    is_broken: bool,
    table: LanguageTable,
) -> bool:
    """Tell a word repetition from a word said twice; ``is_broken`` says that something stands between the copies."""
    doubles, key = table.doubles, nodes[position].key
    if key in doubles.fluent or key in table.fillers_alone:
        return False
    quiet = max(silence(items, a, b) for a, b in pairwise(nodes[position : position + copies]))
    after = nodes[position + copies].key if position + copies < len(nodes) else ""
    if key in doubles.emphatic:
        opens = key in table.grammar.coordinators | table.grammar.sequencers | table.grammar.openers
        restarts = opens and after in table.closed
        return is_broken or quiet >= EMPHATIC_GAP_MS or restarts
    timed = key in doubles.timed
    before = [node.key for node in nodes[max(0, position - 6) : position]]
    if key in doubles.copulas:
        timed = not doubles.clefts.isdisjoint(before) and not after.endswith(("ing", "ed"))
    elif key in doubles.objects:
        timed = bool(before) and before[-1] in doubles.object_verbs
    article = table.nouns_capitalised and key in table.grammar.determiners
    if article and after and items[nodes[position + copies].end].word.text[0].isupper():
        return True  # German "der der Hund", but not "der, der kommt"
    if not timed or copies > 2 or is_broken:
        return True
    first, second = items[nodes[position].end].word, items[nodes[position + 1].end].word
    if None in (first.start, first.end, second.start, second.end):
        return False
    long = _duration(first.start, first.end)
    lengthened = long >= LENGTHENED_MS and long >= LENGTHENED_RATIO * _duration(second.start, second.end)
    return quiet >= TIMED_GAP_MS or lengthened


def _duration(start: int | None, end: int | None) -> int:
    return 0 if start is None or end is None else end - start
