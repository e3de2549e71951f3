"""Which words are abandoned for a new start: ``[/-]``."""

from __future__ import annotations

from collections.abc import Sequence

from asrlsa.disfluency.items import Item
from asrlsa.disfluency.repetitions import Group, Node
from asrlsa.disfluency.runs import BREAK_GAP_MS, Run
from asrlsa.language.tables import LanguageTable

LONGEST_FALSE_START = 6  # words


def false_start(items: Sequence[Item], nodes: Sequence[Node], table: LanguageTable) -> Group | None:
    """Return the false start at the beginning of a run, or None.

    The start must be short and break off in a fragment that the next word does not finish, or in a word that can't
    end anything; trouble must follow, and then a new subject.
    """
    run = Run(items, nodes, table)
    for last in range(min(LONGEST_FALSE_START, len(nodes) - 1)):
        if not _new_subject(run, last + 1):
            continue
        fragments = _open_fragments(run, last)
        end = fragments[-1] if fragments else nodes[last].end
        trouble = _trouble_after(run, end, nodes[last + 1].end)
        ungrammatical = bool(fragments) and run.key(last) in run.grammar.subject_pronouns
        if ungrammatical or (trouble and (fragments or _unfinished(run, last))):
            return Group(nodes[0].start, end, "[/-]")
    return None


def _new_subject(run: Run, p: int) -> bool:
    """Return True if a clause with another subject begins at ``p``."""
    earlier = {run.base(q) for q in range(p)}
    key = run.base(p)
    pronoun = key in run.grammar.subject_pronouns or (
        key in run.restart_subjects and (run.finite(p + 1) or "'" in run.key(p))
    )
    return pronoun and key not in earlier


def _open_fragments(run: Run, p: int) -> list[int]:
    """Return the fragments right after the word at ``p`` that the next word does not finish."""
    found = []
    target = run.key(p + 1)
    for position in range(run.nodes[p].end + 1, run.nodes[p + 1].start):
        item = run.items[position]
        if item.kind != "fragment":
            break
        if target.startswith(item.key[:-1]):
            return []
        found.append(position)
    return found


def _trouble_after(run: Run, end: int, subject: int) -> bool:
    """Return True if a filler, a silence or a comma stands between the items ``end`` and ``subject``."""
    passed = run.items[end + 1 : subject + 1]
    quiet = max((item.gap or 0 for item in passed), default=0)
    filler = any(item.kind == "filled_pause" for item in passed)
    return filler or quiet >= BREAK_GAP_MS or run.items[end].mark in (",", "—", "...")


def _unfinished(run: Run, p: int) -> bool:
    """Return True if the words up to ``p`` end in a word that can't end anything."""
    grammar = run.grammar
    key = run.key(p)
    if key in run.articles or key in grammar.restart_determiners:
        return True
    if key in grammar.hanging and run.base(p + 1) in grammar.subject_pronouns:
        return not any(run.key(q) in grammar.question_words | grammar.relatives for q in range(p))
    subject = run.base(p - 1) in grammar.subject_pronouns and run.opens_clause(p - 1)
    return key in grammar.auxiliaries and "'" not in key and subject and not run.embedded(p - 1)
