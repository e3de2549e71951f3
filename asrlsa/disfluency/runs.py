"""A run of words with the questions that the rules for retracings and false starts ask about it."""

from __future__ import annotations

from collections.abc import Sequence

from asrlsa.disfluency.items import Item, contracted_base
from asrlsa.disfluency.repetitions import Group, Node, broken, silence
from asrlsa.language.tables import Grammar, LanguageTable

BREAK_GAP_MS = 250  # silence that counts as a sign of trouble


class Run:
    """One run of words with the questions that the rules ask about it; ``p`` is always a position in the run."""

    def __init__(
        self, items: Sequence[Item], nodes: Sequence[Node], table: LanguageTable, abandoned: Group | None = None
    ) -> None:
        self.items = items
        self.abandoned = abandoned
        self.nodes = list(nodes)
        self.table = table
        self.grammar: Grammar = table.grammar
        self.articles = table.grammar.determiners - table.grammar.pronoun_determiners
        self.restart_subjects = table.grammar.restart_subjects or table.grammar.subject_pronouns

    def key(self, p: int) -> str:
        """Return the word at ``p`` in small letters; an empty string outside the run."""
        return self.nodes[p].key if 0 <= p < len(self.nodes) else ""

    def text(self, p: int) -> str:
        """Return the word at ``p`` as it is written."""
        return self.items[self.nodes[p].end].word.text if 0 <= p < len(self.nodes) else ""

    def base(self, p: int) -> str:
        """Return the word at ``p`` without its contracted verb."""
        return contracted_base(self.key(p))

    def broken(self, p: int) -> bool:
        """Return True if a filler, fragment, event or hyphen stands after the word at ``p``."""
        return p + 1 < len(self.nodes) and broken(self.items, self.nodes[p], self.nodes[p + 1])

    def troubled(self, p: int) -> bool:
        """Return True if the word at ``p`` is followed by a break, a silence or a dash."""
        if p + 1 >= len(self.nodes):
            return False
        quiet = silence(self.items, self.nodes[p], self.nodes[p + 1])
        return self.broken(p) or quiet >= BREAK_GAP_MS or self.items[self.nodes[p].end].mark in ("—", "...")

    def embedded(self, p: int) -> bool:
        """Return True if a clause that begins at ``p`` may depend on the word before it."""
        before = self.key(p - 1)
        grammar, doubles = self.grammar, self.table.doubles
        return bool(before) and (
            before in grammar.question_words | grammar.relatives | grammar.complement_verbs | doubles.clefts
            or before in grammar.openers | grammar.comparing
            or before in grammar.auxiliaries
            or before in grammar.subordinators
        )

    def opens_clause(self, p: int) -> bool:
        """Return True if the word at ``p`` stands where a clause begins, and not in ``the dog and the frog``."""
        grammar, before = self.grammar, self.key(p - 1)
        if before in grammar.coordinators:
            return p == 1 or not self.content(p - 2)
        return p == 0 or before in grammar.sequencers | grammar.openers | grammar.subordinators

    def content(self, p: int) -> bool:
        """Return True for a word of an open class."""
        return self.key(p) != "" and self.key(p) not in self.table.closed and self.key(p) not in self.table.numerals

    def finite(self, p: int) -> bool:
        """Return True for a word that looks like a finite verb."""
        key = self.key(p)
        return key in self.grammar.verbs or key in self.grammar.auxiliaries or (len(key) > 4 and key.endswith("ed"))
