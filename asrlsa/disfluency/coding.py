"""From verbatim words with times to a coded CHAT main tier.

``um I I w- went`` becomes ``&-um I [/] I &+w went .``. ``docs/chat-guide.md`` has every code with an example and the
rule that decides it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from asrlsa.disfluency.items import Item, items_of
from asrlsa.disfluency.repetitions import Group, nodes_of, repetitions
from asrlsa.disfluency.retracings import retracings
from asrlsa.language.tables import LanguageTable, language_table
from asrlsa.types import Milliseconds, Word


@dataclass(frozen=True, slots=True)
class CodingOptions:
    """What is coded besides the words.

    Attributes:
        pause_short_ms: Silence inside an utterance from which on ``(.)`` is written.
        pause_long_ms: Silence from which on its length is written, as ``(1.4)``.
        uncertain: Confidence under which a word is marked ``[?]``; 0 marks none.
        unresolved: Confidence under which a word is replaced by ``xxx``; 0 replaces none.
    """

    pause_short_ms: Milliseconds = 250
    pause_long_ms: Milliseconds = 1000
    uncertain: float = 0.0
    unresolved: float = 0.0


@dataclass(frozen=True, slots=True)
class Coded:
    """One coded utterance.

    Attributes:
        text: The main tier with its terminator, without a bullet.
        words: Every word that was said, with its time, fragments as ``b-``; not events and masks. These are the
            words that ``read_main_tier(text).verbatim`` gives, except that letters and compounds joined with ``_``
            are one word here.
    """

    text: str
    words: tuple[Word, ...]


DEFAULT_OPTIONS = CodingOptions()


def code_utterance(
    words: Sequence[Word], terminator: str, *, language: str = "eng", options: CodingOptions = DEFAULT_OPTIONS
) -> Coded:
    """Code one utterance of one speaker.

    Filled pauses, fragments, repetitions, retracings, false starts and pauses are found by rule from the words, their
    times and the punctuation after them, which is not written.

    Args:
        words: Words as ``asrlsa.language.spell_out`` leaves them, in order; at least one.
        terminator: The CHAT terminator of the utterance.
        language: ISO 639-3 or Whisper code.
        options: What is coded besides the words.

    Raises:
        ValueError: There are no words, or one has no text.
    """
    if not words:
        raise ValueError("an utterance without words can't be coded")
    table = language_table(language)
    items = items_of(words, table)
    if options.unresolved > 0:
        items = [_masked(item, options.unresolved) for item in items]
    groups = groups_of(items, table)
    items = _same_capitals(items, groups)
    said = tuple(item.word for item in items if item.kind not in ("event", "mask"))
    return Coded(f"{_main_tier(items, groups, options)} {terminator}", said)


def groups_of(items: Sequence[Item], table: LanguageTable) -> list[Group]:
    """Find the repetitions, retracings and false starts of one utterance, by rule."""
    groups: list[Group] = []
    for number, nodes in enumerate(nodes_of(items)):
        found, nodes = repetitions(items, nodes, table)
        groups += found
        groups += retracings(items, nodes, table, opening=number == 0)[0]
    return groups


def _masked(item: Item, unresolved: float) -> Item:
    """Replace a word that was hardly recognised by a mask."""
    confidence = item.word.confidence
    if item.kind not in ("word", "fragment") or confidence is None or confidence >= unresolved:
        return item
    return replace(item, kind="mask", word=replace(item.word, text="xxx"), key="xxx")


def _same_capitals(items: list[Item], groups: Sequence[Group]) -> list[Item]:
    """Write the copies of a repeated word with the same capitals: those of the last copy."""
    for group in sorted((g for g in groups if g.code == "[/]"), key=lambda g: -g.start):
        own = [p for p in range(group.start, group.end + 1) if items[p].kind == "word"]
        later = [p for p in range(group.end + 1, len(items)) if items[p].kind == "word"]
        for first, second in zip(own, later, strict=False):
            if items[first].key == items[second].key:
                items[first] = replace(items[first], word=replace(items[first].word, text=items[second].word.text))
    return items


def _main_tier(items: Sequence[Item], groups: Sequence[Group], options: CodingOptions) -> str:
    """Write items, pauses and groups."""
    written: list[str] = []
    for position, item in enumerate(items):
        pause = _pause(item.gap, options) if position else ""
        if pause:
            written.append(pause)
        if item.kind == "mask" and written and written[-1] == "xxx":
            continue  # one mask for one stretch
        opened = sum(group.start == position != group.end for group in groups)
        text = "<" * opened + item.chat
        if _uncertain(item, options):
            text += " [?]"
        for group in sorted((g for g in groups if g.end == position), key=lambda g: -g.start):
            text += (" " if group.start == group.end else "> ") + group.code
        written.append(text)
    return " ".join(written)


def _uncertain(item: Item, options: CodingOptions) -> bool:
    confidence = item.word.confidence
    return item.kind == "word" and confidence is not None and confidence < options.uncertain


def _pause(gap: Milliseconds | None, options: CodingOptions) -> str:
    """Return the code of a silence: nothing, ``(.)``, ``(1.4)`` or ``(1:05.5)``."""
    if gap is None or gap < options.pause_short_ms:
        return ""
    if gap < options.pause_long_ms:
        return "(.)"
    tenths = (gap + 50) // 100
    minutes, rest = divmod(tenths, 600)
    seconds = f"{rest // 10}.{rest % 10}"
    return f"({minutes}:{seconds.rjust(4, '0')})" if minutes else f"({seconds})"
