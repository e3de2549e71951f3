"""Word scores of one pair of files: counts by policy, by word class and by participant, and confusions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from asrlsa.scoring.align import Counts, Op, align, count
from asrlsa.scoring.anchors import stretches
from asrlsa.scoring.normalise import Policy, Stream, stream
from asrlsa.scoring.samples import Sample, ScoredWord

# Character alignment of a longer text is cut at anchors of words, into pieces of about this many words.
LONG_TEXT = 30_000
TEXT_PIECE = 2_000

_FUNCTION_TEXT = """
a an the this that these those my your his her its our their mine yours hers ours theirs some any no every each
either neither both all half much many more most few little less least several enough such what which whose i
you he she it we they me him us them myself yourself himself herself itself ourselves yourselves themselves who
whom someone somebody something anyone anybody anything everyone everybody everything nobody nothing none one
and or but nor so yet for because if when while although though unless until since whereas whether than as of to
in on at by with from into onto about over under above below between among through during before after against
without within along across behind beside besides beyond near off out up down around upon toward towards am is
are was were be been being do does did done doing have has had having can could will would shall should may
might must ought not there here then i'm you're he's she's it's we're they're that's there's what's who's let's
i've you've we've they've i'd you'd he'd she'd we'd they'd i'll you'll he'll she'll we'll they'll isn't aren't
wasn't weren't don't doesn't didn't haven't hasn't hadn't can't couldn't won't wouldn't shouldn't
"""
_FUNCTION_WORDS = frozenset(_FUNCTION_TEXT.split())

WORD_CLASSES = ("filled pause", "fragment", "nonword", "repeated or revised", "function word", "content word", "word")


@dataclass(frozen=True, slots=True)
class WordScores:
    """What one policy finds in one pair of files.

    Attributes:
        counts: Hits and errors.
        words: The normalised words of reference and hypothesis.
        ops: Their alignment; empty for the character and the Batchalign policy.
    """

    counts: Counts
    words: tuple[Stream, Stream]
    ops: list[Op]


def score_words(reference: Sample, hypothesis: Sample, policy: Policy, known: WordScores | None = None) -> WordScores:
    """Score the words of one pair of files by one policy.

    Args:
        reference: Reference file.
        hypothesis: Hypothesis file.
        policy: What is compared.
        known: Scores of the same words by another unit, whose alignment is taken over.
    """
    if known is not None and policy.unit == "character":
        return WordScores(_characters(known.words[0].forms, known.words[1].forms, known.ops), known.words, [])
    ours, theirs = stream(reference, policy), stream(hypothesis, policy)
    if policy.words == "batchalign":
        from asrlsa.scoring.batchalign import score

        return WordScores(score(ours.forms, theirs.forms, len(set(ours.origin))), (ours, theirs), [])
    ops = align(ours.forms, theirs.forms, ours.masks)
    if policy.unit == "character":
        return WordScores(_characters(ours.forms, theirs.forms, ops), (ours, theirs), [])
    return WordScores(count(ops), (ours, theirs), ops)


def _characters(reference: Sequence[str], hypothesis: Sequence[str], ops: Sequence[Op]) -> Counts:
    """Count character errors of the words joined by spaces; words inside masked stretches are taken out first."""
    import jiwer

    masked = [(op.j1, op.j2) for op in ops if op.tag == "masked"]
    hidden = {j for j1, j2 in masked for j in range(j1, j2)}
    kept = [word for j, word in enumerate(hypothesis) if j not in hidden] if hidden else list(hypothesis)
    pieces = [(0, len(reference), 0, len(kept))]
    if sum(map(len, reference)) > LONG_TEXT:
        pieces = stretches(reference, kept, TEXT_PIECE)
    # The space before a later piece belongs to the piece on both sides.
    ours = [" " * bool(a) + " ".join(reference[a:b]) for a, b, _, _ in pieces]
    theirs = [" " * bool(c) + " ".join(kept[c:d]) for _, _, c, d in pieces]
    split = jiwer.ReduceToListOfListOfChars()
    found = jiwer.process_characters(ours, theirs, split, split)
    return Counts(found.hits, found.substitutions, found.deletions, found.insertions, sum(j2 - j1 for j1, j2 in masked))


@lru_cache(maxsize=65536)
def _lexical_class(form: str, language: str) -> str:
    if language != "eng":
        return "word"
    return "function word" if form in _FUNCTION_WORDS else "content word"


def word_class(word: ScoredWord, language: str) -> str:
    """Return the class of a word that the breakdown of errors uses, one of :data:`WORD_CLASSES`."""
    if word.kind != "word":
        return word.kind.replace("_", " ")
    if word.clean is None:
        return "repeated or revised"
    return _lexical_class(word.verbatim.lower(), language)


def by_class(reference: Sample, hypothesis: Sample, scored: WordScores) -> dict[str, Counts]:
    """Break hits and errors down by the class of the reference word; insertions by that of the hypothesis word."""
    ours, theirs = scored.words
    tallies: dict[str, Counter[str]] = {}
    for tag, i1, i2, j1, j2 in scored.ops:
        sample, origin, span = (
            (hypothesis, theirs.origin, range(j1, j2)) if i1 == i2 else (reference, ours.origin, range(i1, i2))
        )
        for k in span:
            name = word_class(sample.words[origin[k]], sample.language)
            tallies.setdefault(name, Counter())[tag] += 1
    return {name: _counts(tallies[name]) for name in WORD_CLASSES if name in tallies}


def _counts(tally: Counter[str]) -> Counts:
    return Counts(tally["equal"], tally["substitute"], tally["delete"], tally["insert"], tally["masked"])


def confusions(scored: WordScores) -> Counter[tuple[str, str]]:
    """Count substituted pairs, and deleted (``(word, "")``) and inserted (``("", word)``) words."""
    ours, theirs = scored.words
    found: Counter[tuple[str, str]] = Counter()
    for tag, i1, i2, j1, j2 in scored.ops:
        if tag == "substitute":
            found.update(zip(ours.forms[i1:i2], theirs.forms[j1:j2], strict=True))
        elif tag == "delete":
            found.update((word, "") for word in ours.forms[i1:i2])
        elif tag == "insert":
            found.update(("", word) for word in theirs.forms[j1:j2])
    return found


def by_participant(
    reference: Sample, hypothesis: Sample, scored: WordScores, mapping: dict[str, str]
) -> dict[str, Counts]:
    """Break hits and errors down by the participant who says the reference word, whoever the hypothesis gives it to.

    An inserted word is charged to the participant whom its own speaker stands for, or, where that is nobody, to the
    participant of the reference word before it (at the very start: after it).

    Args:
        reference: Reference file.
        hypothesis: Hypothesis file.
        scored: Scores of a word policy with its alignment.
        mapping: Hypothesis code → reference code.
    """
    ours, theirs = scored.words
    tallies: dict[str, Counter[str]] = {code: Counter() for code in reference.speakers}
    speakers = [reference.words[k].speaker for k in ours.origin]
    for tag, i1, i2, j1, j2 in scored.ops:
        for k in range(i1, i2):
            tallies[speakers[k]][tag] += 1
        if i1 == i2:
            for j in range(j1, j2):
                code = mapping.get(hypothesis.words[theirs.origin[j]].speaker, "")
                if code not in tallies and speakers:
                    code = speakers[max(i1 - 1, 0)]
                tallies.setdefault(code, Counter())[tag] += 1
    return {code: _counts(tally) for code, tally in tallies.items()}
