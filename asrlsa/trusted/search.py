"""What one window of the recording holds besides the words of the transcript.

The model is led along the trusted words. Wherever it expects a filler, a copy or a fragment next, and wherever its own
free text has one, the words with and without it are compared: the model's log-likelihood ratio decides. No trusted word
is ever changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from asrlsa.language.tables import LanguageTable
from asrlsa.speech.decode import Encoded
from asrlsa.speech.led import Expected, Forced, LedRecogniser
from asrlsa.trusted.blocks import Kind, disfluent_parts, kind_of, repeats
from asrlsa.trusted.words import Block, TrustedWord, copies_first, with_block, written

ROUNDS = 4  # insertions beside insertions: "um I I went"
LONGEST_COPY = 3  # words of a phrase whose copy the model may expect
LONGEST_ONSET = 2  # letters of a fragment that the model may expect

TAIL_LEAST = -1.5  # log-probability of a filler after the last word, where no word follows that could speak for it

# Ways to write an insertion: the mark before it, and the one after it.
Way = tuple[str, str]
NONE: tuple[Way, ...] = (("", ""),)
AFTER: tuple[Way, ...] = (("", ""), ("", ","))
BEFORE: tuple[Way, ...] = (("", ""), (",", ""))
BOTH: tuple[Way, ...] = (("", ""), (",", ","))


@dataclass(frozen=True, slots=True)
class SearchOptions:
    """What is looked for, and how sure the model must be. Logarithms are natural.

    Attributes:
        evidence: For each kind the log-likelihood ratio from which on it is inserted; 0 is as probable as not. Whisper
            was trained on cleaned text, so the ratio leans against what was left out there. Chosen on synthetic speech.
        heard: How much less is enough for what the recogniser wrote in that place of its own accord.
        expected: Log-probability of its first token from which on a filler, copy or fragment is tried at a place.
    """

    evidence: Mapping[Kind, float] = field(
        default_factory=lambda: {"filler": -1.0, "fragment": 0.0, "repetition": -1.0, "retracing": 0.0}
    )
    heard: float = 4.0
    expected: float = -4.0


@dataclass(frozen=True, slots=True)
class Candidate:
    """Something that may have been said: a block before word ``place``, and how it may be written.

    Attributes:
        place: Number of the word that follows it.
        block: Its words.
        kind: What it is.
        ways: Ways to write it.
        copied: Of a copy that stands after what it repeats: the number of words of that; else 0.
        heard: The recogniser wrote it of its own accord.
    """

    place: int
    block: Block
    kind: Kind
    ways: tuple[Way, ...]
    copied: int = 0
    heard: bool = False

    def clashes(self, other: Candidate) -> bool:
        """Whether both may be readings of the same sound."""
        (first, last), (begin, end) = self._reach(), other._reach()
        return first <= end and begin <= last

    def _reach(self) -> tuple[int, int]:
        """Return the places from the first to the last word that the block may be mistaken for."""
        if self.copied or self.kind == "filler":
            return self.place - self.copied, self.place
        return self.place, self.place + len(self.block)


@dataclass(frozen=True, slots=True)
class _Accepted:
    """A candidate that the recording speaks for: by how much, and how it is written."""

    ratio: float
    candidate: Candidate
    way: Way


class WindowSearch:
    """The search in one window."""

    def __init__(
        self,
        recogniser: LedRecogniser,
        encoded: Encoded,
        duration: int,
        *,
        language: str,
        prompt: str | None,
        table: LanguageTable,
        options: SearchOptions,
    ) -> None:
        """Prepare.

        Args:
            recogniser: The loaded model.
            encoded: What it encoded of the window.
            duration: Length of the window's audio in ms.
            language: ISO 639-1 code.
            prompt: Style prompt, or None.
            table: The language's table.
            options: What is looked for.
        """
        self._recogniser, self._encoded, self._duration = recogniser, encoded, duration
        self._language, self._prompt, self._table, self._options = language, prompt, table, options
        self._fillers = [f for f in dict.fromkeys(table.fillers.values()) if f not in table.fillers_alone]
        self._refused: set[tuple[int, Block]] = set()

    def run(self, words: Sequence[TrustedWord], between: Mapping[int, Block]) -> tuple[list[TrustedWord], Forced]:
        """Insert what the window holds.

        Args:
            words: The trusted words in the window, at least one.
            between: What the recogniser wrote by itself before which of them; ``len(words)`` stands for the end.

        Returns:
            The trusted words with those inserted among them (``token`` None), and their times and probabilities.
        """
        current = self._begun(words)
        for number in range(ROUNDS):
            expected = self._expected(current)
            if expected is None:
                break
            commas = _with_commas(current, expected)
            if commas != current:
                current, expected = commas, self._expected(commas) or expected
            candidates = [] if number else list(self._heard(current, between))
            candidates += self._foreseen(current, expected)
            accepted = self._accepted(current, candidates)
            tail = self._tail(current, expected)
            for one in sorted(accepted, key=lambda a: -a.candidate.place):
                place, block = one.candidate.place, one.candidate.block
                current = with_block(current, place, block, before=one.way[0], after=one.way[1])
            if tail is not None:
                current = with_block(current, len(current), (tail,))
            if not accepted:
                break
        current = copies_first(current)
        return current, self._force([current], times=True)[0]

    def _begun(self, words: Sequence[TrustedWord]) -> list[TrustedWord]:
        """Begin the window with a capital, as most do, or with a small letter, whichever is more probable."""
        capital = [replace(words[0], opens=True), *words[1:]]
        if words[0].opens:
            return capital
        forced = self._force([capital, words])
        return capital if forced[0].log_probability >= forced[1].log_probability else list(words)

    def _expected(self, words: Sequence[TrustedWord]) -> Expected | None:
        return self._recogniser.expect(self._encoded, written(words), language=self._language, prompt=self._prompt)

    def _force(self, texts: Sequence[Sequence[TrustedWord]], *, times: bool = False) -> list[Forced]:
        return self._recogniser.force(
            self._encoded,
            [written(text) for text in texts],
            self._duration,
            language=self._language,
            prompt=self._prompt,
            times=times,
        )

    def _heard(self, words: Sequence[TrustedWord], between: Mapping[int, Block]) -> Iterator[Candidate]:
        """Yield what the recogniser wrote of its own account."""
        for place, block in between.items():
            if place == len(words):
                continue
            mine = words[place].utterance
            following = [w.key for w in words[place:] if w.utterance == mine]
            preceding = [w.key for w in words[:place] if w.utterance == mine]
            for part in disfluent_parts(block, following, self._table, preceding):
                kind = kind_of(part, following, self._table, preceding)
                if kind == "filler":
                    yield Candidate(place, part, kind, (*BOTH, ("", "...")), heard=True)
                elif kind is not None:
                    copied = repeats(part, self._table, preceding)
                    yield Candidate(place, part, kind, BEFORE if copied else AFTER, copied, heard=True)

    def _foreseen(self, words: Sequence[TrustedWord], expected: Expected) -> Iterator[Candidate]:
        """Yield what the model expects where it is led along the trusted words."""
        least = self._options.expected
        for place, word in enumerate(words):
            if word.token is None:
                continue
            before = words[place - 1].text if place and words[place - 1].token is None else ""
            for filler in self._fillers:
                text = filler.capitalize() if word.opens else filler
                if filler != before and expected.log_probability(place, text) >= least:
                    yield Candidate(place, (filler,), "filler", BOTH)
            for size in range(1, LONGEST_ONSET + 1):
                onset = word.text[:size].lower()
                if len(word.text) > size + 1 and onset.isalpha() and not before.endswith("-"):
                    first = expected.first_token(onset)
                    if first != expected.first_token(written([word])[0]) and expected.logs[place, first] >= least:
                        yield Candidate(place, (f"{onset}-",), "fragment", NONE)
            yield from self._foreseen_copies(words, place, expected)

    def _foreseen_copies(self, words: Sequence[TrustedWord], place: int, expected: Expected) -> Iterator[Candidate]:
        """Yield the phrases said right before ``place`` that the model expects again."""
        trusted = [w for w in words[max(0, place - 2 * LONGEST_COPY) : place] if w.token is not None]
        for size in range(1, min(LONGEST_COPY, len(trusted)) + 1):
            phrase = trusted[-size:]
            if phrase[0].utterance != words[place].utterance or phrase[0].key == words[place].key:
                continue
            if any(w.key.endswith("-") or self._table.filler(w.text) for w in phrase):
                continue
            if expected.log_probability(place, phrase[0].text) >= self._options.expected:
                yield Candidate(place, tuple(w.text for w in phrase), "repetition", BEFORE, copied=size)

    def _accepted(self, words: Sequence[TrustedWord], candidates: Sequence[Candidate]) -> list[_Accepted]:
        """Return the candidates with which the recording is more probable; of those that clash the best one."""
        plain = self._force([words])[0].log_probability if candidates else 0.0
        without: dict[int, float] = {}
        found: list[_Accepted] = []
        seen = set(self._refused)
        for candidate in candidates:
            place = candidate.place
            key = sum(w.token is not None for w in words[:place]), candidate.block
            if key in seen:
                continue
            seen.add(key)
            if place not in without:
                without[place] = max(plain, self._force([_other_comma(words, place)])[0].log_probability)
            texts = [with_block(words, place, candidate.block, before=b, after=a) for b, a in candidate.ways]
            forced = self._force(texts)
            best, way = max((f.log_probability, w) for f, w in zip(forced, candidate.ways, strict=True))
            least = self._options.evidence[candidate.kind] - (self._options.heard if candidate.heard else 0.0)
            if best - without[place] >= least:
                found.append(_Accepted(best - without[place], candidate, way))
            else:
                self._refused.add(key)
        chosen: list[_Accepted] = []
        for one in sorted(found, key=lambda a: -a.ratio):
            if not any(one.candidate.clashes(other.candidate) for other in chosen):
                chosen.append(one)
        return chosen

    def _tail(self, words: Sequence[TrustedWord], expected: Expected) -> str | None:
        """Return a filler that the model expects after the last word rather than the end of the text."""
        if words[-1].token is None:
            return None
        end = expected.log_probability(len(words), "")
        opens = words[-1].mark not in ("", ",")
        fillers = [(expected.log_probability(len(words), f.capitalize() if opens else f), f) for f in self._fillers]
        probability, filler = max(fillers)
        enough = probability >= TAIL_LEAST and probability - end >= self._options.evidence["filler"]
        return filler if enough else None


def _with_commas(words: Sequence[TrustedWord], expected: Expected) -> list[TrustedWord]:
    """Write a comma wherever the model expects one rather than the next word."""
    found = list(words)
    for place in range(1, len(words)):
        before, word = words[place - 1], words[place]
        if before.mark or word.opens or before.key.endswith("-"):
            continue
        if expected.log_probability(place, ",") > expected.log_probability(place, word.text):
            found[place - 1] = replace(before, mark=",")
    return found


def _other_comma(words: Sequence[TrustedWord], place: int) -> list[TrustedWord]:
    """Return the words with the comma before ``place`` taken out, or put in."""
    found = list(words)
    if place and not words[place].opens and words[place - 1].mark in ("", ","):
        found[place - 1] = replace(words[place - 1], mark="" if words[place - 1].mark else ",")
    return found
