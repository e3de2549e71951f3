"""Which words the speaker takes back: retracings with correction ``[//]`` and false starts ``[/-]``.

A false ``[//]`` takes words out of the cleaned transcript, so every rule asks for words that fluent speech can't put
side by side (``the a dog``, ``they we went``), or for a sign of trouble between them. ``docs/chat-guide.md`` lists the
rules by the letters used here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise

from asrlsa.disfluency.false_starts import false_start
from asrlsa.disfluency.items import Item
from asrlsa.disfluency.repetitions import Group, Node
from asrlsa.disfluency.runs import Run
from asrlsa.disfluency.substitutions import substitution
from asrlsa.language.tables import LanguageTable

LONGEST_RETRACING = 4  # words of the longest start that is said again with a change

_INFLECTED = ("s", "es", "d", "ed")


Rule = Callable[[Run, int], int]


def _contraction(run: Run, p: int) -> int:
    """A: ``I I'm``, ``he's he``, ``je j'ai``."""
    key, after = run.key(p), run.key(p + 1)
    if (key, after) in run.grammar.elisions or any(
        key == full and after.startswith(short) for full, short in run.grammar.elisions
    ):
        return 1
    if key == after or run.base(p) != run.base(p + 1):
        return 0
    base, pronouns = run.base(p), run.grammar.subject_pronouns
    if "'" in after and key == base:
        # "I do it it's faster": the first one may be the object of the clause before.
        free = base in pronouns or (base in run.restart_subjects and run.opens_clause(p) and base != "that")
        return int(free or (base in run.restart_subjects | run.grammar.question_words and run.troubled(p)))
    if "'" in key and after == base:
        heads = run.restart_subjects | run.grammar.question_words
        return int(base in pronouns or (base in heads and run.key(p + 2) in run.grammar.auxiliaries))
    return int(base in pronouns)  # "he's he'll"


def _determiner(run: Run, p: int) -> int:
    """B: ``the a dog``."""
    key, after = run.key(p), run.key(p + 1)
    grammar = run.grammar
    return int(key != after and key in grammar.restart_determiners and after in grammar.restart_after)


def _pronoun(run: Run, p: int) -> int:
    """C: ``they we went``, ``he's they're``."""
    grammar = run.grammar
    first, second = run.base(p), run.base(p + 1)
    if first == second or first not in grammar.subject_pronouns or second not in run.restart_subjects:
        return 0
    if run.key(p) != first and second not in grammar.subject_pronouns:
        return 0
    if run.abandoned is not None and run.nodes[p].end <= run.abandoned.end < run.nodes[p + 1].end:
        return 0
    if second == "you" and run.key(p + 2) == "know":
        return 0  # "or we you know whatever"
    before = run.key(p - 1)
    inverted = before in grammar.auxiliaries | grammar.comparing
    listed = run.key(p + 2) in grammar.coordinators or (
        before in grammar.coordinators and p > 1 and second in ("we", "they")
    )
    return int(run.troubled(p) or not (inverted or listed))


def _subject_and_auxiliary(run: Run, p: int) -> int:
    """D: ``he is he was``, ``she was he was``, ``I can I could``."""
    grammar = run.grammar
    subject, verb, again = run.key(p), run.key(p + 1), run.base(p + 2)
    if subject not in run.restart_subjects or verb not in grammar.auxiliaries or again not in run.restart_subjects:
        return 0
    if "'" in verb and not verb.endswith("n't"):
        return 0
    if run.embedded(p) and not run.broken(p + 1):
        return 0
    other = run.key(p + 3) if run.key(p + 2) == again else "'s"
    if subject == again:
        clause = run.finite(p + 3) or "'" in run.key(p + 2)
        sure = subject in grammar.subject_pronouns or other in grammar.auxiliaries
        return 2 if clause and (sure or run.broken(p + 1)) else 0
    if other == verb or {other, verb} <= grammar.be_forms:
        return 2
    return 0


def _noun_and_auxiliary(run: Run, p: int) -> int:
    """D: ``the dog was the cat was``."""
    dets = run.articles
    frame = run.key(p) in dets and run.content(p + 1) and run.key(p + 3) in dets and run.content(p + 4)
    verb = run.key(p + 2)
    same = verb in run.grammar.auxiliaries and run.key(p + 5) == verb
    return 3 if frame and same and not run.embedded(p) else 0


def _subject_and_verb(run: Run, p: int) -> int:
    """E: ``I went I wanted``, ``you took you put``."""
    grammar = run.grammar
    subject, verb = run.key(p), run.key(p + 1)
    if subject != run.key(p + 2) or subject not in grammar.subject_pronouns | {"you"}:
        return 0
    after = run.key(p + 3)
    if verb == after or not after or after in run.table.closed - grammar.auxiliaries or verb in run.table.closed:
        return 0
    if subject == "you" and (
        run.finite(p - 1) or run.key(p - 1) in grammar.unfinished_verbs | grammar.complement_verbs
    ):
        return 0
    before = run.key(p - 1)
    if before in grammar.question_words | grammar.relatives or run.key(p + 4) in grammar.coordinators:
        return 0
    if before in grammar.subordinators and not run.broken(p + 1):
        return 0  # "before you start you clean it"
    if (verb, after) in grammar.corrections and verb not in grammar.complement_verbs:
        return 2  # "they taked they took"
    if verb in grammar.unfinished_verbs:
        return 2
    return 2 if run.finite(p + 1) and verb not in grammar.complement_verbs and run.broken(p + 1) else 0


def _dangling(run: Run, p: int) -> int:
    """F: a start that ends in a word which can't end anything, then the same start: ``in the in a jar``."""
    grammar = run.grammar
    strict = run.articles
    for same in range(1, LONGEST_RETRACING):
        end = p + same  # the word that dangles
        if run.key(end + same + 1) in ("", run.key(end)) and not (run.key(end + same + 1) == "" and same > 1):
            continue
        first = [run.key(q) for q in range(p, end)]
        second = [run.key(q) for q in range(end + 1, end + 1 + same)]
        if "" in second or first != second:
            continue
        last = run.key(end)
        head = run.key(p)
        article = last in strict
        subject = last in grammar.subject_pronouns
        verb = last in grammar.auxiliaries and "'" not in last
        if same > 1:
            pronoun = any(key in grammar.subject_pronouns for key in first)
            whole = head not in grammar.complement_verbs
            if whole and (article or subject or (verb and pronoun and not run.embedded(p))):
                return same + 1
            continue
        if (article and head in grammar.prepositions | grammar.coordinators) or (
            head in grammar.question_words
            and (article or subject or (verb and run.key(end + 2) in grammar.auxiliaries))
        ):
            return 2
        named = run.key(p - 1) in grammar.subject_pronouns or run.text(p - 1) in run.table.names
        clause = run.key(end + 2) in grammar.subject_pronouns and run.finite(end + 3)
        if subject and head in grammar.coordinators and clause and not named:
            return 2
        if subject and head in grammar.subordinators and head not in grammar.complement_verbs:
            return 2
    return 0


def _same_noun(run: Run, p: int) -> int:
    """G: ``a dog the dog``."""
    dets = run.articles
    frame = run.key(p) in dets and run.key(p + 2) in dets and run.key(p) != run.key(p + 2)
    same = run.content(p + 1) and run.key(p + 1) == run.key(p + 3)
    listed = run.key(p - 1) in run.grammar.coordinators and run.key(p + 4) in run.grammar.coordinators
    if run.finite(p + 4) and not run.opens_clause(p) and not run.broken(p + 1):
        return 0  # "it was a deer the deer ran"
    return 2 if frame and same and not listed else 0


def _verb_form(run: Run, p: int) -> int:
    """H: ``were was``, ``has have``, ``can could``."""
    key, after = run.key(p), run.key(p + 1)
    if key == after:
        return 0
    grammar = run.grammar
    if {key, after} <= grammar.be_forms:
        before = {run.key(q) for q in range(max(0, p - 6), p)}
        cleft = bool(before & (run.table.doubles.clefts | grammar.question_words))
        plain = run.key(p - 1) in run.restart_subjects and run.opens_clause(p - 1)  # "so it was is"
        return int(run.broken(p) or plain or not cleft)
    forms = {key, after} <= grammar.have_forms or {key, after} <= grammar.modal_forms
    return int(forms and (run.key(p - 1) not in grammar.determiners))


def _inflection(run: Run, p: int) -> int:
    """I: ``falled fell``, ``look looked``."""
    key, after = run.key(p), run.key(p + 1)
    text = run.text(p)
    if run.key(p - 1) in run.grammar.determiners and after in run.grammar.verbs:
        return 0
    if (key, after) in run.grammar.corrections:
        return 1
    if run.table.code != "eng" or len(key) < 3 or not run.content(p) or not text.islower():
        return 0
    if key in run.grammar.complement_verbs and not run.broken(p):
        return 0  # "what I mean means"
    if after in (key + "ing", re.sub("e$", "", key) + "ing"):
        return int(run.broken(p))  # "a light lighting up"
    return int(after[: len(key)] == key and after[len(key) :] in _INFLECTED)


def _noun_phrase(run: Run, p: int) -> int:
    """J: ``the dog the cat ran``, ``the dog um the cat``."""
    grammar = run.grammar
    dets = run.articles
    if run.key(p) not in dets or run.key(p + 2) != run.key(p) or not run.content(p + 1) or not run.content(p + 3):
        return 0
    if run.key(p + 1) == run.key(p + 3) or run.finite(p + 1):
        return 0
    later = [run.key(q) for q in range(p + 4, p + 8)]
    if later[0] in grammar.coordinators | {run.key(p)} or any(
        a in grammar.coordinators and b == run.key(p) for a, b in pairwise(later)
    ):
        return 0  # a list: the dog, the cat and the frog
    if run.key(p - 2) == run.key(p) and run.content(p - 1):
        return 0  # pictures named one by one
    if run.broken(p + 1):
        return 2
    before = run.key(p - 1)
    if (
        before in grammar.prepositions
    ):  # "to the girl the boy"; but "to the girl the boy saw", "in the park the next day"
        timed = not grammar.time_words.isdisjoint((run.key(p + 1), run.key(p + 3), run.key(p + 4)))
        return 0 if timed or run.finite(p + 4) or run.content(p + 4) else 2
    opens = run.opens_clause(p) or before in grammar.opinion_verbs
    return 2 if opens and before not in grammar.relatives and run.finite(p + 4) else 0


_RULES: tuple[Rule, ...] = (
    _contraction,
    _determiner,
    _noun_and_auxiliary,
    _subject_and_auxiliary,
    _subject_and_verb,
    _dangling,
    _pronoun,
    _same_noun,
    _noun_phrase,
    _verb_form,
    _inflection,
    substitution,
)


def retracings(
    items: Sequence[Item], nodes: Sequence[Node], table: LanguageTable, *, opening: bool = True
) -> tuple[list[Group], list[Node]]:
    """Find the retracings and the false start in one run of words, repetitions already taken out.

    Args:
        items: The items of the utterance.
        nodes: The words of the run.
        table: The language.
        opening: The run begins the utterance: only there can a false start be.

    Returns:
        The groups, and the words without what was taken back; the words of a false start stay.
    """
    nodes = [replace(node) for node in nodes]
    abandoned = false_start(items, nodes, table) if opening else None
    run = Run(items, nodes, table, abandoned)
    groups: list[Group] = []
    position = 0
    while position < len(run.nodes) - 1:
        length, skipped = _edited(run, position)
        if not length:
            length = next((found for rule in _RULES if (found := rule(run, position))), 0)
        if not length:
            position += 1
            continue
        first, last = run.nodes[position], run.nodes[position + length - 1]
        groups.append(Group(first.start, last.end, "[//]"))
        repair = position + length + skipped
        if not skipped:
            run.nodes[repair].start = first.start
        del run.nodes[position : position + length]
        # What stood before may now stand before its own correction: "I he she went".
        position = max(0, position - 1)
    groups = _chained(groups, items)
    if abandoned is not None and all(g.start > abandoned.end or g.end < abandoned.end for g in groups):
        groups.append(abandoned)
    return groups, run.nodes


def _edited(run: Run, p: int) -> tuple[int, int]:
    """K: ``the dog I mean the cat``; return the words taken back and the words that announce the correction."""
    for length in (2, 1):
        for phrase in run.grammar.editing:
            if run.key(p + length) != phrase[0]:
                continue
            start = p + length
            if tuple(run.key(q) for q in range(start, start + len(phrase))) != phrase:
                continue
            rest = Run(run.items, [*run.nodes[p:start], *run.nodes[start + len(phrase) :]], run.table)
            dets = run.articles
            frame = rest.key(0) in dets and rest.key(2) in dets and rest.content(1) and rest.content(3)
            if length == 2 and frame and rest.key(1) != rest.key(3):
                return 2, len(phrase)
            subject = rest.key(0) in run.grammar.subject_pronouns and rest.base(1) in run.grammar.subject_pronouns
            if length == 1 and subject and rest.base(0) != rest.base(1):
                return 1, len(phrase)
    return 0, 0


def _chained(groups: list[Group], items: Sequence[Item]) -> list[Group]:
    """Write ``<the dog> [//] <the cat> [//] the bird`` for a chain whose groups would else nest from the same word."""
    found: list[Group] = []
    for group in groups:
        inner = [g for g in found if g.start == group.start and g.end < group.end]
        if inner:
            before = max(inner, key=lambda g: g.end)
            start = next(p for p in range(before.end + 1, group.end + 1) if items[p].kind == "word")
            group = group._replace(start=start)
        found.append(group)
    return found
