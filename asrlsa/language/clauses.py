"""Where a new main clause may begin, by word classes alone: the C-unit of language sample analysis.

A C-unit is a main clause with the clauses that depend on it: *and* + subject + verb begins a new one, *because* does
not, nor does *and* before a verb without a subject of its own (Loban 1976; SALT's rules for segmenting). There is no
parser here: a clause counts where a subject and a finite verb of the language table stand where they should.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from asrlsa.language.tables import LanguageTable

BREAK_MS = 300  # a silence that lets a bare subject begin a clause where grammar leaves it open
NOUN_PHRASE = 5  # words after a determiner within which the verb must come
FRONTED = 14  # words within which the main clause of a fronted clause must begin

_CONTRACTED = frozenset(("s", "re", "m", "ll", "d", "ve"))


@dataclass(frozen=True, slots=True)
class Spot:
    """One word as the clause rules see it: fillers and fragments are not among them.

    Attributes:
        key: The word in small letters.
        name: It is written with a capital, and not *I*.
        quiet: Silence in ms before the word, counted from the spot before.
        comma: A comma, a dash or a filler stands before it.
    """

    key: str
    name: bool = False
    quiet: int = 0
    comma: bool = False


class Clauses:
    """The questions about one stretch of words; positions outside it give empty words."""

    def __init__(self, spots: Sequence[Spot], table: LanguageTable) -> None:
        self.spots = spots
        self.grammar = table.grammar
        self.subjects = table.grammar.subjects
        self.closed = table.closed

    def key(self, p: int) -> str:
        """Return the word at ``p`` in small letters."""
        return self.spots[p].key if 0 <= p < len(self.spots) else ""

    def named(self, p: int) -> bool:
        """Return True for a name at ``p``."""
        return 0 <= p < len(self.spots) and self.spots[p].name

    def free(self, p: int) -> bool:
        """Return True if a silence, a comma or a filler stands before the word at ``p``."""
        return self.spots[p].quiet >= BREAK_MS or self.spots[p].comma

    def finite(self, p: int) -> bool:
        """Return True for a word that looks like a finite verb."""
        key = self.key(p)
        return key in self.grammar.verbs or key in self.grammar.auxiliaries or (len(key) > 4 and key.endswith("ed"))

    def subject_with_verb(self, p: int) -> bool:
        """Return True if a subject begins at ``p`` and a finite verb follows it."""
        grammar = self.grammar
        key = self.key(p)
        base, _, verb = key.partition("'")
        if verb in _CONTRACTED and base in self.subjects:
            return True
        if key in grammar.subject_pronouns:
            return self.key(p + 1) != "" and self.key(p + 1) not in grammar.coordinators
        if key in grammar.determiners or self.named(p):
            return self._noun_phrase(p)
        if key in grammar.other_subjects:
            after = p + 1
            while self.key(after) in grammar.adverbs:
                after += 1
            return self.finite(after)
        return False

    def _noun_phrase(self, p: int) -> bool:
        """Return True if a noun phrase that begins at ``p`` has a finite verb after it."""
        grammar = self.grammar
        start = p + 1 if self.key(p) not in grammar.determiners else p + 2
        stop = grammar.subject_pronouns | grammar.prepositions | grammar.subordinators | grammar.coordinators
        stop |= grammar.determiners | grammar.other_subjects
        for q in range(p + 1, p + 1 + NOUN_PHRASE):
            key = self.key(q)
            if q >= start and self.finite(q):
                return True
            if q > p + 1 and key in grammar.additive and self.key(q + 1) in grammar.determiners:
                return self._noun_phrase(q + 1)  # "the boy and the dog looked"
            if key in stop or key == "":
                return False
        return False

    def question(self, p: int) -> bool:
        """Return True if a main question begins at ``p``, by its word order."""
        grammar = self.grammar
        first, second, third = self.key(p), self.key(p + 1), self.key(p + 2)
        word, _, verb = first.partition("'")
        if word in grammar.question_words and verb in ("s", "re", "d"):
            return True
        auxiliary = second in grammar.inverting | grammar.cautious_inverting
        if first in grammar.question_words:
            if second == "about" or (first == "how" and second in grammar.quantity_words):
                return True
            subject = first in ("what", "who", "which", "whose")
            if auxiliary:
                return subject or third in self.subjects or self.named(p + 2)
            return first in ("what", "who") and self.finite(p + 1) and "'" not in second
        pronouns = grammar.restart_subjects - {"that"}
        if first in grammar.inverting:
            return second in pronouns | grammar.determiners
        return first in grammar.cautious_inverting and second in pronouns - {"it"}

    def complete(self, start: int, end: int) -> bool:
        """Return True if the words ``start`` to ``end`` (not included) could be a main clause that has ended."""
        if end - start < 2 or self.dangling(end - 1):
            return False
        for p in range(start, end):
            base, _, verb = self.key(p).partition("'")
            if self.finite(p) or (verb in _CONTRACTED and base in self.subjects):
                return True
            if self.key(p) in self.grammar.subject_pronouns and p + 1 < end:
                return True
            if self.key(p) == "you" and p + 1 < end and self.key(p + 1) not in self.closed:
                return True
        return False

    def dangling(self, p: int) -> bool:
        """Return True for a word at ``p`` that can't end an utterance: an article, a conjunction, *I*."""
        key = self.key(p)
        alone = self.key(p - 1) in self.grammar.restart_subjects and not self.key(p - 2)
        return key in self.grammar.open_endings or (key in self.grammar.be_forms and alone)

    def said_so(self, p: int) -> bool:
        """Return True for the *so* of ``I think so``."""
        return self.key(p) == "so" and self.key(p - 1) in self.grammar.opinion_verbs | {"do"}

    def open_subject(self, p: int) -> bool:
        """Return True for a pronoun at ``p`` that is a subject without its verb: ``and then it``, ``well you``."""
        before = self.key(p - 1)
        free = before == "" or before in self.closed - self.grammar.prepositions - self.grammar.auxiliaries
        return self.key(p) in self.grammar.restart_subjects and free

    def fronted(self, start: int, end: int) -> bool:
        """Return True if the unit opens with a subordinate clause."""
        grammar = self.grammar
        p = start
        while self.key(p) in grammar.coordinators | grammar.sequencers | grammar.openers:
            p += 1
        return p < end and self.key(p) in grammar.subordinators | grammar.fronting and not self.question(p)

    def starts(self, start: int, p: int) -> bool:
        """Return True if a new main clause begins at ``p`` in a unit that began at ``start``."""
        if not self.complete(start, p):
            return False
        grammar = self.grammar
        key, before, free = self.key(p), self.key(p - 1), self.free(p)
        if key in grammar.coordinators and not self.said_so(p):
            return self._coordinated(start, p)
        if key in grammar.sequencers:
            held = grammar.coordinators | grammar.subordinators | grammar.relatives | grammar.auxiliaries
            return before not in held and self.subject_with_verb(p + 1)
        if key in grammar.openers and key not in grammar.complement_verbs and key not in ("right", "alright"):
            answers = self.subject_with_verb(p + 1) or self.question(p + 1) or self.key(p + 1) in grammar.openers
            held = grammar.complement_verbs | grammar.openers | grammar.determiners
            return before not in held and (answers or free)
        joints = grammar.relatives | grammar.subordinators | grammar.question_words | grammar.coordinators
        if before in joints and not self.said_so(p - 1):
            return False
        if self._pending(start, p):
            return False
        if self.question(p):
            return self._asks(start, p)
        if key in grammar.fronting:
            return before not in grammar.complement_verbs and self._fronts(p)
        return self._bare(start, p)

    def _pending(self, start: int, p: int) -> bool:
        """Return True inside a dependent clause that has no verb yet: ``because about two weeks ago | I got``."""
        grammar = self.grammar
        heads = grammar.subordinators | grammar.relatives
        for q in range(p - 1, start, -1):
            if self.finite(q):
                return False
            if self.key(q) in heads and self.key(q) not in grammar.prepositions:
                return True
        return False

    def _asks(self, start: int, p: int) -> bool:
        """Return True if a question of its own begins at ``p``: not a relative clause, not somebody's words."""
        grammar = self.grammar
        key, before = self.key(p), self.key(p - 1)
        if any(self.key(q) in grammar.speech_verbs for q in range(max(start, p - 3), p)):
            return False
        if key.partition("'")[0] in grammar.relatives:
            return False
        held = (grammar.prepositions - grammar.particles) | grammar.subject_pronouns | grammar.auxiliaries
        held |= self.subjects - {"it", "you"}
        if key in grammar.auxiliaries:  # "I like dogs do you have one", but "our guess is that it was"
            return before not in held and (self.free(p) or self.key(p + 1) in grammar.subject_pronouns | {"you"})
        return before not in held | grammar.complement_verbs and (self.free(p) or "'" not in key)

    def _fronts(self, p: int) -> bool:
        """Return True if the subordinate clause that begins at ``p`` is followed by its main clause."""
        if not self.subject_with_verb(p + 1):
            return False
        for q in range(p + 3, min(p + FRONTED, len(self.spots))):
            if self.key(q) in self.grammar.coordinators | self.grammar.sequencers:
                return False
            if self.complete(p + 1, q) and self._bare(p + 1, q):
                # Between two main clauses the clearer break decides where it belongs.
                front, after = self.spots[p], self.spots[q]
                return (front.quiet, front.comma) >= (after.quiet, after.comma)
        return False

    def _coordinated(self, start: int, p: int) -> bool:
        """Return True if a main clause follows the conjunction at ``p``."""
        grammar = self.grammar
        key, after = self.key(p), p + 1
        if self.key(after) in grammar.sequencers or (key != "so" and self.key(after) == "so"):
            after += 1
        purpose = not grammar.purpose_verbs.isdisjoint((self.key(after), self.key(after + 1)))
        if key == "so" and purpose:
            return self.spots[p].quiet >= BREAK_MS
        if self.fronted(start, p) and not self._main_since(start, p):
            return False
        if self.question(after) or self._adverbial(after):
            return True
        if self.key(after) in grammar.fronting:
            return self.subject_with_verb(after + 1)
        if key in ("or", "o", "ou", "oder") and self.key(after) not in grammar.subject_pronouns:
            return False
        return self.subject_with_verb(after)

    def _adverbial(self, p: int) -> bool:
        """Return True for an adverbial before a subject: ``after that he``, ``one day the owl``, ``maybe she``."""
        for phrase in self.grammar.adverbials:
            words = tuple(self.key(q) for q in range(p, p + len(phrase)))
            if words == phrase and self.subject_with_verb(p + len(phrase)):
                return True
        return False

    def _main_since(self, start: int, p: int) -> bool:
        """Return True if a fronted subordinate clause and its main clause both stand before ``p``."""
        held = self.grammar.determiners | self.grammar.prepositions
        heads = [q for q in range(start, p) if self.key(q - 1) not in held and self.subject_with_verb(q)]
        return len(heads) >= 2

    def _bare(self, start: int, p: int) -> bool:
        """Return True if a clause without a conjunction begins at ``p``."""
        grammar = self.grammar
        key, before, free = self.key(p), self.key(p - 1), self.free(p)
        base, _, contracted = key.partition("'")
        held_by_verb = before in grammar.complement_verbs and not (before in grammar.weak_complements and free)
        if held_by_verb and not self.said_so(p - 1):
            return False
        held = grammar.unfinished_verbs | grammar.auxiliaries | grammar.determiners | grammar.subject_pronouns
        answer = free and before in grammar.auxiliaries and self.question(start)  # "what did he do he ran"
        if before in held - grammar.pronoun_determiners - {"his"} and not answer:
            return False
        if self._adverbial(p):
            asked = self.finite(p - 1) and not free  # "what happened next"
            return before not in grammar.prepositions - grammar.particles and not asked
        if key == "you" and self.key(p + 1) == "know":
            return False  # a filler of words
        if not self.subject_with_verb(p) or (self.fronted(start, p) and not self._main_since(start, p)):
            return False
        if base in grammar.pronoun_determiners - {"her", "no"} or base in grammar.relatives:
            return free
        if base in grammar.subject_pronouns or contracted:
            return before not in grammar.prepositions - grammar.particles
        if (self.finite(p - 1) or before.endswith("ing")) and not free:
            return False  # the noun phrase is the verb's object
        fell_down = before in grammar.particles and self.finite(p - 2)
        return before not in grammar.prepositions or free or (fell_down and before != "in")


def clause_starts(spots: Sequence[Spot], table: LanguageTable) -> list[int]:
    """Return the positions at which a new main clause begins; 0 is not among them.

    Gives nothing for a language whose table has no subjects and verbs.
    """
    if not table.grammar.verbs or not table.grammar.subjects:
        return []
    clauses = Clauses(spots, table)
    found: list[int] = []
    start = 0
    for p in range(1, len(spots)):
        if clauses.starts(start, p):
            found.append(p)
            start = p
    return found


def is_question(spots: Sequence[Spot], table: LanguageTable) -> bool:
    """Return True if the words ask, by their order alone: ``what did he do``, ``do you have any pets``."""
    clauses = Clauses(spots, table)
    p = 0
    while clauses.key(p) in table.grammar.coordinators | table.grammar.openers and p + 1 < len(spots):
        p += 1
    return clauses.question(p)
