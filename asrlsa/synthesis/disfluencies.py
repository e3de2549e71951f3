"""Disfluencies put into a fluent sentence, where people put them.

Where they come: fillers before clauses and before content words (Clark & Fox Tree 2002; Maclay & Osgood 1959),
repetitions on function words that open a phrase (Clark & Wasow 1998), repeated sounds, held sounds and blocks on
content words and on the first words of an utterance (Brown 1945). docs/verbatim-corpus.md has the sources.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field, replace

from asrlsa.language.tables import language_table
from asrlsa.synthesis.languages import Filler, SpokenLanguage
from asrlsa.synthesis.populations import KINDS, MOST_COPIES, Population
from asrlsa.synthesis.sentences import Sentence, draw_sentence, fill
from asrlsa.synthesis.spoken import PAUSE, Group, Piece, Spoken, settled

__all__ = ["speak", "speak_fluently"]

_WITH_FILLER = 0.18  # probability that a filler stands between what is taken back and what is said for it
_PAUSE_AFTER = {"um": 0.75}  # um announces a longer delay than uh (Clark & Fox Tree 2002)
_PAUSE_AFTER_OTHERS = 0.55
_PAUSE_BEFORE = 0.4
_CUT_OFF = 0.75  # share of fragments that are cut out of the spoken word; the others are said in phonemes
_STOPS = frozenset("bdgkptcq")


@dataclass(slots=True)
class _Insertion:
    """What is said before a word of the sentence."""

    filler: list[Piece] = field(default_factory=list)
    taken_back: list[tuple[list[Piece], str]] = field(default_factory=list)
    word: Piece | None = None  # the word itself, where something is done to it


def speak_fluently(sentence: Sentence) -> Spoken:
    """Return a sentence said without disfluencies."""
    pieces = tuple(_word(sentence, i) for i in range(len(sentence.words)))
    return Spoken(pieces, (), sentence.terminator, sentence.kind, {}, sentence)


def speak(
    sentence: Sentence, who: Population, factor: float, language: SpokenLanguage, split: str, chance: random.Random
) -> Spoken:
    """Put disfluencies into a sentence.

    Args:
        sentence: What is meant.
        who: Rates; the number of each kind is a Poisson draw.
        factor: The speaker's own rate against the mean of the population.
        language: Fillers and word lists.
        split: Sentences that are begun and given up come from it too.
        chance: Where the numbers come from.
    """
    maker = _Maker(sentence, who, language, split, chance)
    wanted = [kind for kind in KINDS for _ in range(maker.poisson(getattr(who.rates, kind) * factor))]
    chance.shuffle(wanted)
    for kind in wanted:
        maker.put(kind)
    return maker.spoken(maker.poisson(who.pause))


class _Maker:
    """One sentence while disfluencies are put into it."""

    def __init__(
        self, sentence: Sentence, who: Population, language: SpokenLanguage, split: str, chance: random.Random
    ) -> None:
        self.sentence, self.who, self.language, self.split, self.chance = sentence, who, language, split, chance
        self.words = sentence.words
        self.before = [_Insertion() for _ in self.words]
        self.free = [True] * len(self.words)  # nothing is done to the word yet, nor is it part of a copy
        self.events: dict[str, int] = {}
        doubles = language_table(language.code).doubles
        self.doubled = (doubles.fluent | doubles.emphatic | doubles.timed) - language.clause_words

    def poisson(self, rate: float) -> int:
        """Draw how often something happens in the sentence at ``rate`` per 100 words."""
        limit, product, count = math.exp(-rate * len(self.words) / 100), self.chance.random(), 0
        while product > limit:
            product *= self.chance.random()
            count += 1
        return count

    def put(self, kind: str) -> None:
        """Put one disfluency in where it may stand; where it may stand nowhere, it is left out."""
        places = [(i, weight) for i in range(len(self.words)) if (weight := self._weight(kind, i)) > 0]
        while places:
            i = self.chance.choices([p for p, _ in places], [w for _, w in places])[0]
            if getattr(self, f"_{kind}")(i):
                self.events[kind] = self.events.get(kind, 0) + 1
                return
            places = [place for place in places if place[0] != i]

    def _weight(self, kind: str, i: int) -> float:
        """Return how likely a place is for a kind, against the other places."""
        word = self.words[i].lower()
        opens = i == 0 or word in self.language.clause_words or self.words[i - 1].lower() in self.language.clause_words
        content = word not in self.language.function_words
        if kind == "filler":
            return 0.0 if self.before[i].filler else 4.0 if opens else 2.0 if content else 0.7
        if not self.free[i]:
            return 0.0
        if kind in ("word", "phrase"):
            return (3.0 if opens else 1.0) * (0.35 if content else 1.5)
        if kind == "false_start":
            return 1.0 if i == 0 else 0.0
        if kind == "retracing":
            return 1.0
        return (2.5 if i == 0 else 1.5 if opens else 1.0) * (1.5 if content else 0.35)

    def _copies(self) -> int:
        count = 1
        while count < MOST_COPIES and self.chance.random() < self.who.another_copy:
            count += 1
        return count

    def _gap(self) -> int:
        low, high = self.who.between
        return round(1000 * self.chance.uniform(low, high))

    # Each of these puts one disfluency before word i, and returns whether it could.

    def _filler(self, i: int) -> bool:
        self.before[i].filler = [self._filled_pause(i > 0)]
        return True

    def _filled_pause(self, inside: bool) -> Piece:
        chance = self.chance
        filler: Filler = chance.choices(self.language.fillers, [f.weight for f in self.language.fillers])[0]
        if chance.random() < 0.15:  # said in one breath with what follows
            return Piece("filler", filler.text)
        seconds = min(1.3, max(0.16, filler.seconds * math.exp(chance.gauss(0, 0.38))))
        pause = 0
        if chance.random() < _PAUSE_AFTER.get(filler.text, _PAUSE_AFTER_OTHERS):
            pause = round(1000 * min(2.5, math.exp(chance.gauss(-0.9, 0.6))))
        return Piece("filler", filler.text, comma=pause >= PAUSE, pause=pause, cut=True, seconds=seconds)

    def _word(self, i: int) -> bool:
        return self._repeat(i, 1)

    def _phrase(self, i: int) -> bool:
        return self._repeat(i, self.chance.choice((2, 2, 2, 3, 3, 4)))

    def _repeat(self, i: int, length: int) -> bool:
        end = i + length
        if end > len(self.words) - (length > 1) or not all(self.free[i:end]):
            return False
        if length == 1 and self.words[i].lower() in self.doubled:
            return False  # "very very" is no repetition
        if any(self.before[p].filler for p in range(i + 1, end)) or set(range(i, end - 1)) & self.sentence.commas:
            return False
        joined = self.chance.random() < 0.45
        for _ in range(self._copies()):
            copy = [Piece("word", word) for word in self.words[i:end]]
            if not joined:
                copy[-1] = replace(copy[-1], cut=True, pause=self._gap())
            self.before[i].taken_back.append((copy, "[/]"))
        self._editing(i)
        self.free[i:end] = [False] * length
        return True

    def _editing(self, i: int) -> None:
        """Let a filler stand between the copy and the word, now and then."""
        if not self.before[i].filler and self.chance.random() < _WITH_FILLER:
            self.before[i].taken_back.append(([replace(self._filled_pause(True), comma=False)], ""))

    def _fragment_of(self, word: str) -> tuple[str, float]:
        """Return the letters of a word's beginning and how long they sound in s; none where it has none."""
        low = word.lower()
        if not low.isalpha() or len(low) < 3 or low[0] in self.language.silent:
            return "", 0.0
        onset = next((letters for letters in self.language.onsets if low.startswith(letters)), "")
        if not onset:
            onset = low[0] if low[0] not in self.language.vowels else ""
        chance = self.chance
        if not onset:
            return (low[0], chance.uniform(0.08, 0.18)) if low[0] in "aeo" and len(low) > 4 else ("", 0.0)
        # A stop is short; a fricative or a cluster takes longer.
        seconds = chance.uniform(0.07, 0.14) if onset in _STOPS else chance.uniform(0.1, 0.19)
        vowel = next((c for c in low[len(onset) : len(onset) + 1] if c in self.language.vowels), "")
        longer = onset + vowel
        if not vowel or len(longer) >= len(low) - 1 or chance.random() < 0.6:
            return onset, seconds
        closed = longer + low[len(longer) : len(longer) + 1]
        if len(low) > 5 and closed[-1] not in self.language.vowels and chance.random() < 0.5:
            longer, seconds = closed, seconds + chance.uniform(0.14, 0.22)
        else:
            seconds += chance.uniform(0.06, 0.12)
        return (onset, 0.0) if longer in self.language.function_words else (longer, seconds)

    def _fragments(self, i: int, word: str, copies: int) -> list[Piece] | None:
        letters, seconds = self._fragment_of(word)
        if not letters:
            return None
        if seconds and self.chance.random() < _CUT_OFF:
            return [
                Piece("fragment", letters, target=word, cut=True, seconds=seconds, pause=self._gap())
                for _ in range(copies)
            ]
        if len(letters) > 2 and letters not in self.language.onsets:
            letters = letters[:-1]  # phonemes go as far as the vowel
        # Voices say a lone sound badly; so a fragment in phonemes is always said in one go with what follows.
        one = Piece("fragment", letters, target=word, rest=self.chance.random() < 0.5)
        return [one for _ in range(copies)]

    def _sound(self, i: int) -> bool:
        pieces = self._fragments(i, self.words[i], self._copies())
        if pieces is None:
            return False
        self.before[i].taken_back.append((pieces, ""))
        self.free[i] = False
        return True

    def _broken(self, i: int) -> bool:
        other = self._instead_of(i)
        if other is None:
            return False
        start, words = other
        if start != i or words[-1].lower() == self.words[i].lower():
            return False
        pieces = self._fragments(i, words[-1], 1)
        if pieces is None or self.words[i].lower().startswith(pieces[0].text):
            return False
        lead = [Piece("word", word) for word in words[:-1]]
        pieces[-1] = replace(pieces[-1], cut=True, pause=self._gap())
        if lead and pieces[-1].seconds:
            lead[-1] = replace(lead[-1], cut=True)
        if lead:  # "the gi- the boy" says "the" again, "a big gi- the boy" corrects
            again = [word.lower() for word in words[:-1]] == [word.lower() for word in self.words[i : i + len(lead)]]
            self.before[i].taken_back.append((lead, "[/]" if again else "[//]"))
        self.before[i].taken_back.append((pieces, ""))
        self._editing(i)
        self.free[i] = False
        return True

    def _instead_of(self, i: int) -> tuple[int, list[str]] | None:
        """Return where the slot around word i begins, and other words for it."""
        slots = [s for s in self.sentence.slots if s.start <= i < s.end <= s.start + 4]
        if not slots:
            return None
        slot = min(slots, key=lambda s: s.end - s.start)
        drawn = fill(f"{{{slot.name}}}.", self.language, self.sentence.kind, self.chance).words
        own = self.words[slot.start : slot.end]
        if drawn == own or not 1 <= len(drawn) <= 4 or not all(self.free[slot.start : slot.end]):
            return None
        return slot.start, list(drawn)

    def _retracing(self, i: int) -> bool:
        slips = self.language.slips.get(self.words[i].lower())
        if slips and self.chance.random() < 0.6:
            start, words = i, [*self.chance.choice(slips).split()]
        else:
            other = self._instead_of(i)
            if other is None:
                return False
            start, words = other
        first = self.words[start - 1].lower() if start else ""
        if (
            first in self.language.function_words - self.language.clause_words
            and self.free[start - 1]
            and not self.before[start].filler
            and start - 1 not in self.sentence.commas
            and self.chance.random() < 0.4
        ):  # the whole phrase is said again: "in the <box> [//]" becomes "<in the box> [//] in the"
            start, words = start - 1, [self.words[start - 1], *words]
        if not self.free[start] or self.before[start].taken_back:
            return False
        pieces = [Piece("word", word) for word in words]
        pieces[-1] = replace(pieces[-1], cut=True, pause=self._gap())
        self.before[start].taken_back.append((pieces, "[//]"))
        self._editing(start)
        self.free[start : i + 1] = [False] * (i + 1 - start)
        return True

    def _false_start(self, i: int) -> bool:
        count = self.chance.choice((2, 3, 3, 4))
        for _ in range(5):
            other = draw_sentence(self.language, self.sentence.kind, self.split, self.chance)
            words = other.words[:count]
            if len(other.words) > count and words[0].lower() != self.words[0].lower():
                break
        else:
            return False
        pieces = [Piece("word", word) for word in words]
        pieces[-1] = replace(pieces[-1], cut=True, pause=self._gap() + 150)
        self.before[0].taken_back.insert(0, (pieces, "[/-]"))
        self._editing(0)
        self.free[0] = False
        return True

    def _prolongation(self, i: int) -> bool:
        word = self.words[i]
        seconds = min(1.6, math.exp(self.chance.gauss(-0.7, 0.4)))
        low = word.lower()
        if not low.isalpha() or len(low) < 2:
            return False
        if self.who.rates.prolongation > 1 or low in self.language.function_words - {"the", "a"}:
            if low[0] not in self.language.held or low.startswith(tuple(self.language.onsets)):
                return False
            piece = Piece("word", word, effect="held", seconds=seconds)
        else:
            piece = Piece("word", word, effect="drawn", seconds=min(0.7, seconds), cut=True)
        self.before[i].word = piece
        self.free[i] = False
        return True

    def _block(self, i: int) -> bool:
        self.before[i].word = Piece("word", self.words[i], effect="block", seconds=self.chance.uniform(0.25, 1.4))
        self.free[i] = False
        return True

    def spoken(self, pauses: int) -> Spoken:
        """Write everything out, with silent pauses before words where a phrase begins."""
        places = range(1, len(self.words))
        before_words = set(
            self.chance.choices(places, [self._weight("filler", i) + 0.1 for i in places], k=pauses) if places else ()
        )
        pieces: list[Piece] = []
        groups: list[Group] = []
        for i, insertion in enumerate(self.before):
            if i in before_words and pieces and not insertion.filler:
                pieces[-1] = _paused(pieces[-1], round(1000 * min(2.0, 0.25 + self.chance.expovariate(3.5))))
            if insertion.filler and pieces:
                if self.chance.random() < _PAUSE_BEFORE:
                    pieces[-1] = _paused(pieces[-1], round(1000 * min(1.5, 0.1 + self.chance.expovariate(4))))
                elif insertion.filler[0].seconds and self.chance.random() < 0.7:
                    pieces[-1] = replace(pieces[-1], cut=True)
            pieces += insertion.filler
            for copy, code in insertion.taken_back:
                if pieces and copy[0].kind == "fragment" and copy[0].seconds:
                    pieces[-1] = replace(pieces[-1], cut=True)
                if code:
                    groups.append(Group(len(pieces), len(pieces) + len(copy), code))
                pieces += copy
            own = insertion.word
            base = _word(self.sentence, i)
            if own is not None:
                if own.effect in ("held", "block") and pieces:
                    pieces[-1] = replace(pieces[-1], cut=True)
                base = replace(own, comma=base.comma)
            pieces.append(base)
        pieces[-1] = replace(pieces[-1], pause=0, comma=False, cut=False)
        return Spoken(
            tuple(settled(pieces)),
            tuple(groups),
            self.sentence.terminator,
            self.sentence.kind,
            self.events,
            self.sentence,
        )


def _word(sentence: Sentence, i: int) -> Piece:
    return Piece("word", sentence.words[i], comma=i in sentence.commas)


def _paused(piece: Piece, pause: int) -> Piece:
    return replace(piece, cut=True, pause=max(piece.pause, pause))
