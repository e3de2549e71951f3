"""From the spelled words of a recording to utterances.

Each speaker's words are cut where somebody else takes the turn, at sentence-final punctuation, at long silences, and
before a new main clause (``asrlsa.language.clauses``). What belongs together stays together: a filler goes with the
clause it opens, a fragment with its word, a copy with what it repeats.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from asrlsa.disfluency.items import Item, items_of
from asrlsa.disfluency.repetitions import Node, repetitions
from asrlsa.disfluency.retracings import retracings
from asrlsa.language.clauses import BREAK_MS, Clauses, Spot, clause_starts, is_question
from asrlsa.language.marks import FINAL_MARKS
from asrlsa.language.tables import LanguageTable, language_table
from asrlsa.types import Milliseconds, Word

TRAILING_MS = 700  # silence after "..." that makes it the end of an utterance
SENTENCE_MS = 1000  # silence that makes a full stop after an article or a conjunction the end of an utterance
TAKEOVER_MS = 250  # another speaker who begins so soon after an unfinished utterance has interrupted it
LOOK_BACK = 40  # words that decide whether an utterance may end after them
BACKCHANNEL_WORDS = 3  # a listener's words up to this many don't end the speaker's utterance


@dataclass(frozen=True, slots=True)
class UtteranceOptions:
    """Where utterances end.

    Attributes:
        silence_ms: Silence that ends an utterance, unless its last word asks for another one (``the``, ``and``), or
            the next words repeat or continue it.
        long_silence_ms: Silence that ends every utterance.
        clause_words: A run of words up to this length is not cut at a clause boundary without a silence of
            ``clauses.BREAK_MS``.
        restart_ms: The speaker who goes on so soon after breaking off has interrupted himself (``+//.``).
        overlap_ms: Words of others in a shorter gap are overlap, no turn.
        max_words: A longer run is cut at its best place.
    """

    silence_ms: Milliseconds = 1500
    long_silence_ms: Milliseconds = 3000
    clause_words: int = 5
    restart_ms: Milliseconds = 2000
    overlap_ms: Milliseconds = 300
    max_words: int = 40


@dataclass(frozen=True, slots=True)
class Draft:
    """One utterance before its disfluencies are coded.

    Attributes:
        speaker: Participant code or cluster label of its words.
        words: Its words as they were given, with the marks after them.
        terminator: CHAT terminator.
    """

    speaker: str | None
    words: tuple[Word, ...]
    terminator: str


DEFAULT_OPTIONS = UtteranceOptions()


def split_utterances(
    words: Sequence[Word], *, language: str = "eng", options: UtteranceOptions = DEFAULT_OPTIONS
) -> list[Draft]:
    """Cut a recording into utterances, in the order of their beginnings.

    Utterances of one speaker never overlap; those of different speakers may.

    Args:
        words: Words of all speakers as ``asrlsa.language.spell_out`` leaves them, in time order.
        language: ISO 639-3 or Whisper code.
        options: Where utterances end.
    """
    table = language_table(language)
    streams: dict[str | None, list[int]] = {}
    for position, word in enumerate(words):
        streams.setdefault(word.speaker, []).append(position)
    found: list[tuple[int, Draft]] = []
    for speaker, positions in streams.items():
        others = _Others(words, speaker, table)
        stream = _Stream([words[p] for p in positions], positions, others, table, options)
        found += [(positions[a], Draft(speaker, tuple(stream.words[a:b]), mark)) for a, b, mark in stream.utterances()]
    times = _begins(words)
    return [draft for _, draft in sorted(found, key=lambda entry: (times[entry[0]], entry[0]))]


def _begins(words: Sequence[Word]) -> list[int]:
    """Return the begin of every word; an untimed word gets that of the same speaker's word before it."""
    found: list[int] = []
    latest: dict[str | None, int] = {}
    for word in words:
        begin = word.start if word.start is not None else latest.get(word.speaker, found[-1] if found else 0)
        latest[word.speaker] = max(begin, latest.get(word.speaker, begin))
        found.append(latest[word.speaker])
    return found


class _Others:
    """The words of everybody else, for the questions about turns."""

    def __init__(self, words: Sequence[Word], speaker: str | None, table: LanguageTable) -> None:
        self.table = table
        self.indexes = [p for p, word in enumerate(words) if word.speaker != speaker]
        self.words = [words[p] for p in self.indexes]
        timed = [(w.start, w.end, w) for w in self.words if w.start is not None and w.end is not None]
        timed.sort(key=lambda entry: entry[0] + entry[1])
        self.middles = [(a + b) // 2 for a, b, _ in timed]
        self.timed = [w for _, _, w in timed]

    def between(self, first: Word, second: Word, first_index: int, second_index: int) -> list[Word]:
        """Return what the others say after ``first`` and before ``second``."""
        if first.end is None or second.start is None:
            return self.words[bisect_left(self.indexes, first_index) : bisect_left(self.indexes, second_index)]
        return self.timed[bisect_left(self.middles, first.end) : bisect_right(self.middles, second.start)]

    def listening(self, said: Sequence[Word]) -> bool:
        """Return True if the words only show that somebody listens."""
        bare = [word.text.rstrip(".,?!—").casefold() for word in said]
        return len(bare) <= BACKCHANNEL_WORDS and all(
            text in self.table.backchannels or self.table.filler(text) for text in bare
        )

    def take_over(self, word: Word) -> bool:
        """Return True if somebody begins to speak before or right at the end of ``word``."""
        if word.start is None or word.end is None:
            return False
        first = bisect_left(self.middles, word.start)
        for other in self.timed[first : first + 3]:
            if other.start is not None and word.start - TAKEOVER_MS <= other.start <= word.end + TAKEOVER_MS:
                return True
        return False


def _runs_of(items: Sequence[Item]) -> list[list[Node]]:
    """Return the words in runs; a mask is a run of its own."""
    runs: list[list[Node]] = [[]]
    for position, item in enumerate(items):
        if item.kind in ("word", "mask"):
            if item.kind == "mask":
                runs += [[], []]
            runs[-1 if item.kind == "word" else -2].append(Node(position, position, item.key))
    return [run for run in runs if run]


@dataclass(slots=True)
class _Stream:
    """The words of one speaker and where they are cut; ``cuts[i]`` is the reason for a cut after word ``i``."""

    words: list[Word]
    indexes: list[int]
    others: _Others
    table: LanguageTable
    options: UtteranceOptions
    items: list[Item] = field(init=False)
    cuts: list[str] = field(init=False)

    def __post_init__(self) -> None:
        self.items = items_of(self.words, self.table)
        self.cuts = [""] * len(self.words)

    def utterances(self) -> Iterator[tuple[int, int, str]]:
        """Yield begin, end and terminator of every utterance, as positions among the speaker's words."""
        if not self.words:
            return
        self.cuts[-1] = "end"
        self._hard_cuts()
        for start, end in self._runs():
            self._clause_cuts(start, end)
        for start, end in self._runs():
            self._length_cuts(start, end)
        for start, end in self._runs():
            yield start, end, self._terminator(start, end)

    def _runs(self) -> list[tuple[int, int]]:
        """Return the stretches between the cuts."""
        edges = [0, *(p + 1 for p, cut in enumerate(self.cuts) if cut)]
        return list(pairwise(edges))

    def _spots(self, start: int, end: int) -> tuple[list[Spot], list[Node]]:
        """Return the words that clauses are made of, without what was repeated or taken back."""
        items = self.items[start:end]
        spots: list[Spot] = []
        kept: list[Node] = []
        for nodes in _runs_of(items):
            nodes = repetitions(items, nodes, self.table)[1]
            nodes = retracings(items, nodes, self.table, opening=False)[1]
            for node in nodes:
                item, before = items[node.end], kept[-1].end - start + 1 if kept else 0
                passed = items[before : node.start]
                quiet = max((i.gap or 0 for i in items[max(1, before) : node.start + 1]), default=0)
                comma = any(i.kind == "filled_pause" for i in passed)
                comma = comma or (
                    before > 0 and any(i.mark in (",", "—", "...") for i in items[before - 1 : node.start])
                )
                name = item.word.text[:1].isupper() and item.key.partition("'")[0] != "i"
                spots.append(Spot(item.key, name, quiet, comma))
                kept.append(Node(node.start + start, node.end + start, node.key))
        return spots, kept

    def _hard_cuts(self) -> None:
        """Cut at turns, sentence ends and silences."""
        start = 0
        for p in range(len(self.words) - 1):
            reason = self._turn(p) or self._sentence(start, p) or self._silence(start, p)
            if reason:
                self.cuts[p] = reason
                start = p + 1

    def _turn(self, p: int) -> str:
        """Return a reason to cut after ``p`` if somebody else speaks there."""
        first, second = self.words[p], self.words[p + 1]
        said = self.others.between(first, second, self.indexes[p], self.indexes[p + 1])
        if not said:
            return ""
        gap = self.items[p + 1].gap
        if gap is not None and gap < self.options.overlap_ms:
            return ""
        if self.others.listening(said) and (gap is None or gap < self.options.silence_ms):
            return ""
        return "turn"

    def _sentence(self, start: int, p: int) -> str:
        """Return a reason to cut after ``p`` if a sentence ends there."""
        mark, gap = self.items[p].mark, self.items[p + 1].gap or 0
        if mark not in FINAL_MARKS and mark not in ("...", "—"):
            return ""
        spots, _ = self._spots(max(start, p - LOOK_BACK), p + 1)
        if not spots:
            return "mark" if gap >= self.options.silence_ms else ""
        left = Clauses(spots, self.table)
        if mark == "—" or self.items[p].kind == "fragment":
            return "break" if gap >= BREAK_MS and self._new_clause(p + 1) else ""
        if mark == "...":
            free = gap >= TRAILING_MS or (self._new_clause(p + 1) and left.complete(0, len(spots)))
            return "trail" if free and not self._repeated(start, p) else ""
        if mark == "." and gap < SENTENCE_MS:
            whole = left.complete(0, len(spots))
            if left.dangling(len(spots) - 1) or (not whole and self._repeated(start, p)):
                return ""  # a recogniser ends every window with a full stop
        return "mark"

    def _silence(self, start: int, p: int) -> str:
        """Return a reason to cut after ``p`` if a silence long enough follows."""
        gap = self.items[p + 1].gap or 0
        if gap < BREAK_MS:
            return ""
        if gap >= self.options.long_silence_ms:
            return "silence"
        fragment = self.items[p].kind == "fragment" and not self._finished(p)
        if gap < self.options.silence_ms and not fragment:
            return ""
        spots, _ = self._spots(max(start, p - LOOK_BACK), p + 1)
        if fragment and spots and self._new_clause(p + 1):
            return "break" if gap >= self.options.silence_ms // 2 else ""
        if gap < self.options.silence_ms or not spots:
            return ""
        left = Clauses(spots, self.table)
        if left.dangling(len(spots) - 1) or left.open_subject(len(spots) - 1) or self._repeated(start, p):
            return ""
        return "" if self._continues(p + 1) or fragment else "silence"

    def _next_word(self, p: int) -> int:
        """Return the place of the first word at or after ``p`` that is no filler or fragment."""
        while p < len(self.items) and self.items[p].kind not in ("word", "mask"):
            p += 1
        return p

    def _new_clause(self, p: int) -> bool:
        """Return True if the words from ``p`` on begin a main clause."""
        spots, _ = self._spots(p, min(len(self.items), p + 12))
        clauses = Clauses(spots, self.table)
        grammar = self.table.grammar
        at = 0
        while clauses.key(at) in grammar.coordinators | grammar.sequencers | grammar.openers:
            at += 1
        return clauses.subject_with_verb(at) or clauses.question(at)

    def _continues(self, p: int) -> bool:
        """Return True if the words from ``p`` on can only go on with what was said before."""
        place = self._next_word(p)
        if place >= len(self.items):
            return False
        key = self.items[place].key
        return key in self.table.grammar.prepositions and not self._new_clause(place)

    def _finished(self, p: int) -> bool:
        """Return True if the word after the fragment at ``p`` finishes it."""
        place = self._next_word(p + 1)
        return place < len(self.items) and self.items[place].key.startswith(self.items[p].key[:-1])

    def _repeated(self, start: int, p: int) -> bool:
        """Return True if the words after ``p`` repeat the last words up to ``p``."""
        before = [item.key for item in self.items[max(start, p - LOOK_BACK) : p + 1] if item.kind == "word"]
        after = [item.key for item in self.items[p + 1 : p + 12] if item.kind == "word"]
        return any(before[-n:] == after[:n] for n in range(1, min(4, len(before)) + 1) if len(after) >= n)

    def _clause_cuts(self, start: int, end: int) -> None:
        """Cut one run before its main clauses."""
        spots, nodes = self._spots(start, end)
        for number in clause_starts(spots, self.table):
            if len(spots) <= self.options.clause_words and spots[number].quiet < BREAK_MS:
                continue
            self.cuts[self._before(nodes[number - 1], nodes[number])] = "clause"

    def _before(self, last: Node, first: Node) -> int:
        """Return the place of the cut between two words: fillers go with the clause they open."""
        cut = last.end
        for p in range(last.end + 1, first.start):
            item = self.items[p]
            if item.kind == "fragment" and not self.items[first.start].key.startswith(item.key[:-1]):
                cut = p  # broken off and left behind
            elif item.mark in FINAL_MARKS:
                cut = p
        return cut

    def _length_cuts(self, start: int, end: int) -> None:
        """Cut a run that is too long at the places where it hurts least."""
        spots, nodes = self._spots(start, end)
        if len(spots) <= self.options.max_words:
            return
        clauses = Clauses(spots, self.table)
        ease = [self._ease(clauses, n) for n in range(len(spots))]
        parts = [(0, len(spots))]
        while parts:
            first, last = parts.pop()
            size = last - first
            if size <= self.options.max_words:
                continue
            middle = (first + last) // 2
            low = first + max(1, size // 4)
            best = max((ease[n], -abs(n - middle), n) for n in range(low, max(low + 1, last - size // 4)))[2]
            self.cuts[self._before(nodes[best - 1], nodes[best])] = "clause"
            parts += [(first, best), (best, last)]

    def _ease(self, clauses: Clauses, n: int) -> float:
        """Return how well a run can be cut before word ``n``."""
        grammar, spots = self.table.grammar, clauses.spots
        spot = spots[n]
        ease = spot.quiet / 1000 + spot.comma
        ease += 2 * (spot.key in grammar.coordinators and not clauses.dangling(n - 1))
        return ease + clauses.subject_with_verb(n) - 2 * clauses.dangling(n - 1) - 3 * (spot.key == spots[n - 1].key)

    def _terminator(self, start: int, end: int) -> str:
        """Return the terminator of one utterance."""
        spots, _ = self._spots(start, end)
        last, reason = self.items[end - 1], self.cuts[end - 1]
        if last.mark in ("?", "!"):
            return last.mark
        if not spots:
            return "."
        dangling = Clauses(spots, self.table).dangling(len(spots) - 1) and len(spots) > 1
        joints = self.table.grammar.coordinators | self.table.grammar.open_endings
        said_so = Clauses(spots, self.table).said_so(len(spots) - 1)
        dangling = dangling or (spots[-1].key in joints and not said_so)
        if last.kind == "fragment" or last.mark == "—" or reason == "break" or dangling:
            cut = last.kind == "fragment" or last.mark == "—" or reason == "break"
            return self._broken_off(end, cut=cut, trailing=last.mark == "..." or last.kind == "filled_pause")
        if last.mark == "..." or (last.kind == "filled_pause" and last.mark not in FINAL_MARKS):
            return "+..."
        if last.mark == ".":
            return "."
        return "?" if is_question(spots, self.table) else "."

    def _broken_off(self, end: int, *, cut: bool, trailing: bool) -> str:
        """Return the terminator of an utterance that is not finished; ``cut``: in the middle of a word or clause."""
        word = self.words[end - 1]
        if trailing:
            return "+..."
        if self.others.take_over(word):
            return "+/."
        following = self.words[end] if end < len(self.words) else None
        if following is None or self.cuts[end - 1] == "turn" or following.start is None or word.end is None:
            return "+..."
        soon = self.options.restart_ms if cut else TRAILING_MS
        return "+//." if following.start - word.end <= soon else "+..."
