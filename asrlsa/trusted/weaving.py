"""Insertions written into main tiers with their codes; every token that was there stays as it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from asrlsa.chat.lexer import Token, lex
from asrlsa.disfluency.coding import groups_of
from asrlsa.disfluency.items import Item, items_of
from asrlsa.disfluency.repetitions import Group
from asrlsa.language.tables import LanguageTable
from asrlsa.trusted.blocks import copied_phrase
from asrlsa.types import Word


@dataclass(frozen=True, slots=True)
class Said:
    """A word of an utterance, trusted or inserted.

    Attributes:
        word: What was said, with its time.
        token: Number of its token on the main tier; None for a word that is inserted.
    """

    word: Word
    token: int | None


def woven(text: str, said: Sequence[Said], table: LanguageTable) -> str:
    """Return a main tier with the inserted words written before the tokens that they precede.

    Fillers become ``&-um``, fragments ``&+b``; inserted words are bracketed as repetition or retracing of the words
    that follow them, as the coder finds it, else as a retracing. Words that nothing follows can't be bracketed and are
    left out.

    Args:
        text: The main tier without its final bullet.
        said: Every spoken token of it in order, and the inserted words among them.
        table: The language.
    """
    tokens = lex(text)
    items = items_of([s.word for s in said], table)
    groups = groups_of(items, table)
    puts: dict[int, str] = {}
    first = 0
    while first < len(said):
        last = first
        while last < len(said) and said[last].token is None:
            last += 1
        if first == last:
            first += 1
            continue
        token = said[last].token if last < len(said) else None
        coded = _coded(items, groups, first, last, ends=last == len(said))
        if coded:
            puts[_place(tokens, token)] = coded
        first = last
    return _with_insertions(text, tokens, puts)


def _coded(items: Sequence[Item], groups: Sequence[Group], first: int, last: int, *, ends: bool) -> str:
    """Write the inserted items ``first:last``: groups of the coder that lie within them, and one for what is left."""
    inside = [g for g in groups if first <= g.start and g.end < last]
    loose = [
        p for p in range(first, last) if items[p].kind == "word" and not any(g.start <= p <= g.end for g in inside)
    ]
    if loose and not ends:
        inside = [g for g in inside if not loose[0] <= g.start <= loose[-1]]
        inside += _bracketed(items, loose, [item.key for item in items[last:] if item.kind == "word"])
    written: list[str] = []
    for position in range(first, last):
        if ends and position in loose:
            continue
        opened = sum(group.start == position != group.end for group in inside)
        text = "<" * opened + items[position].chat
        for group in sorted((g for g in inside if g.end == position), key=lambda g: -g.start):
            text += (" " if group.start == group.end else "> ") + group.code
        written.append(text)
    return " ".join(written)


def _bracketed(items: Sequence[Item], loose: Sequence[int], after: Sequence[str]) -> list[Group]:
    """Bracket words that no rule of the coder took back: copies of what comes after them, or a retracing."""
    keys = [items[p].key for p in loose]
    if size := copied_phrase(keys, after):
        copies = range(0, len(keys), size)
        return [Group(loose[first], loose[first + size - 1], "[/]") for first in copies]
    return [Group(loose[0], loose[-1], "[//]")]


def _place(tokens: Sequence[Token], token: int | None) -> int:
    """Return the number of the token before which an insertion is written."""
    if token is None:
        ends = (n for n, t in enumerate(tokens) if t.kind in ("terminator", "postcode"))
        return next(ends, len(tokens))
    while token and tokens[token - 1].kind == "open":
        token -= 1
    return token


def _with_insertions(text: str, tokens: Sequence[Token], puts: dict[int, str]) -> str:
    done = text
    for number in sorted(puts, reverse=True):
        at = tokens[number].column - 1 if number < len(tokens) else len(done)
        before = done[:at]
        gap = "" if not before or before[-1].isspace() else " "
        after = done[at:]
        done = f"{before}{gap}{puts[number]}{' ' if after else ''}{after}"
    return done
