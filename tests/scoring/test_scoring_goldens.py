"""Word and disfluency scores of small cases, each worked out by hand; the last field says how."""

from __future__ import annotations

import pytest

from asrlsa.scoring.events import score_events
from asrlsa.scoring.normalise import POLICIES
from asrlsa.scoring.words import score_words

# policy, reference, hypothesis, (substitutions, deletions, insertions, reference words), why
WORDS = [
    ("verbatim", "I ran .", "I ran .", (0, 0, 0, 2), "the same"),
    ("verbatim", "&-um I ran .", "I ran .", (0, 1, 0, 3), "a filler is a word: leaving it out is a deletion"),
    ("verbatim", "I ran .", "&-um I ran .", (0, 0, 1, 2), "a filler that was not said is an insertion"),
    ("verbatim", "&-uhm I ran .", "&-um I ran .", (0, 0, 0, 3), "uhm and um are spellings of one filler"),
    ("verbatim", "&-erm I ran .", "&-um I ran .", (0, 0, 0, 3), "erm is um, said in Britain"),
    ("verbatim", "&-um I ran .", "&-uh I ran .", (1, 0, 0, 3), "um and uh are two fillers"),
    ("verbatim", "&-um I ran .", "um I ran .", (0, 0, 0, 3), "the code makes no word: what was said is the same"),
    ("verbatim", "I [/] I ran .", "I ran .", (0, 1, 0, 3), "the repeat was said"),
    ("verbatim", "I [/] I ran .", "I I ran .", (0, 0, 0, 3), "said in full, only not coded"),
    ("verbatim", "<the dog> [//] the cat ran .", "the cat ran .", (0, 2, 0, 5), "the dog was said"),
    ("verbatim", "&+b boy .", "b boy .", (0, 0, 0, 2), "a fragment is what was heard, its mark is no letter"),
    ("verbatim", "&+b boy .", "boy .", (0, 1, 0, 2), "the fragment is gone"),
    ("verbatim", "↫b-b↫boy .", "boy .", (0, 2, 0, 3), "b- b- boy was said"),
    ("verbatim", "s::o big .", "so big .", (0, 0, 0, 2), "a prolonged word is the same word"),
    ("verbatim", "≠dog spa^ghetti .", "dog spaghetti .", (0, 0, 0, 2), "blocks and breaks change no word"),
    ("verbatim", "goed [: went] home .", "goed home .", (0, 0, 0, 2), "verbatim compares what was said"),
    ("verbatim", "(be)cause I ran .", "cause I ran .", (0, 0, 0, 3), "the brackets were not said"),
    ("verbatim", "0is he there ?", "he there ?", (0, 0, 0, 2), "an omitted word was not said"),
    ("verbatim", "I don't know .", "I do not know .", (0, 0, 0, 4), "don't is do not: four words"),
    ("verbatim", "I'm gonna go .", "I am going to go .", (0, 0, 0, 5), "i am going to go"),
    ("verbatim", "he's there .", "he is there .", (1, 0, 1, 2), "he's may be he has: it stays, so two errors"),
    ("verbatim", "my favourite colour .", "my favorite color .", (0, 0, 0, 3), "spelling variants"),
    ("verbatim", "okay all right .", "ok alright .", (0, 0, 0, 3), "okay, all right: three words"),
    ("verbatim", "ice_cream truck .", "ice cream truck .", (0, 0, 0, 3), "a multiword is its words"),
    ("verbatim", "I Saw MOM .", "i saw mom .", (0, 0, 0, 3), "case is no error"),
    ("verbatim", "the xxx dog ran .", "the big brown dog ran .", (0, 0, 0, 3), "words in a masked stretch are free"),
    ("verbatim", "the xxx dog ran .", "the dog ran .", (0, 0, 0, 3), "a masked stretch is no word: nothing is missing"),
    ("verbatim", "the xxx dog ran .", "the big cat ran .", (1, 0, 0, 3), "big is free, cat for dog is not"),
    ("verbatim", "the xxx .", "the xxx .", (0, 0, 0, 1), "masked on both sides"),
    ("verbatim", "the big dog .", "the xxx dog .", (0, 1, 0, 3), "a mask in the hypothesis claims nothing: a deletion"),
    ("verbatim", "www .", "so then we went .", (0, 0, 0, 0), "nothing is known of an untranscribed stretch"),
    ("verbatim", "yyy ran .", "he ran .", (0, 0, 0, 1), "yyy masks as xxx does"),
    ("verbatim", "I ran .", "yes you did go .", (2, 0, 2, 2), "two words replaced, two more: 200 %"),
    ("fluent", "&-um I [/] I want &+b ball .", "I want ball .", (0, 0, 0, 3), "codes removed on the left"),
    ("fluent", "I want ball .", "&-um I [/] I want &+b ball .", (0, 0, 0, 3), "codes removed on the right"),
    ("fluent", "I [/] I want ball .", "I I want ball .", (0, 0, 1, 3), "an uncoded repeat stays a word"),
    ("fluent", "<the dog> [//] the cat ran .", "<the dog> [//] the cat ran .", (0, 0, 0, 3), "the cat ran"),
    ("fluent", "um I ran .", "I ran .", (0, 1, 0, 3), "only codes remove: a bare um is a word in CHAT"),
    ("fluent", "goed [: went] home .", "went home .", (0, 0, 0, 2), "the target is what was meant"),
    ("fluent", "(be)cause I ran .", "because I ran .", (0, 0, 0, 3), "shortenings are completed"),
    ("fluent", "↫b-b↫boy ran .", "boy ran .", (0, 0, 0, 2), "the repeated sounds go, the word stays"),
    ("cer", "I ran .", "I run .", (1, 0, 0, 5), "'i ran' has five characters, one differs"),
    ("cer", "&-um I .", "I .", (0, 3, 0, 4), "'um i' to 'i': u, m and the space"),
    ("cer", "the xxx dog .", "the big dog .", (0, 0, 0, 7), "'the dog': big is masked"),
    ("batchalign", "&-uh I ran .", "&-um I ran .", (0, 0, 0, 3), "all fillers are one word"),
    ("batchalign", "&+b boy ran .", "boy ran .", (0, 0, 0, 2), "fragments are left out"),
    ("batchalign", "↫b-b↫boy ran .", "boy ran .", (0, 0, 0, 2), "repeated sounds are left out"),
    ("batchalign", "I [/] I ran .", "I ran .", (0, 1, 0, 3), "retraced words count"),
    ("batchalign", "he's gonna go .", "he is going to go .", (0, 0, 0, 3), "tables; three words before splitting"),
    ("batchalign", "he'd go .", "he would go .", (1, 0, 0, 2), "'d is had, whatever it means"),
    ("batchalign", "(be)cause I ran .", "because I ran .", (0, 0, 0, 3), "with the bracket"),
    ("batchalign", "(be)cause I ran .", "cause I ran .", (0, 0, 0, 3), "and without it"),
    ("batchalign", "goed [: went] home .", "went home .", (0, 0, 0, 2), "the replacement counts"),
    ("batchalign", "A B C .", "A B C .", (0, 0, 0, 3), "single letters are not glued"),
    ("batchalign", "the xxx dog .", "the big dog .", (0, 0, 1, 2), "the mask is dropped, not a wildcard"),
    ("batchalign", "a x b .", "x c .", (1, 1, 0, 3), "x matches; a is missing; c for b"),
    ("raw", "I'm here .", "i'm here .", (1, 0, 0, 2), "nothing is normalised, case neither"),
    ("raw", "&-uhm I .", "&-um I .", (1, 0, 0, 2), "nor filler spellings"),
]  # fmt: skip


@pytest.mark.parametrize(("policy", "reference", "hypothesis", "expected", "why"), WORDS)
def test_word_score(sample, policy, reference, hypothesis, expected, why):
    counts = score_words(sample(reference), sample(hypothesis), POLICIES[policy]).counts
    found = (counts.substitutions, counts.deletions, counts.insertions, counts.reference)
    assert found == expected, why


# reference, hypothesis, {kind: (matched, reference, hypothesis)}, relaxed, why
EVENTS = [
    ("&-um I ran .", "&-um I ran .", {"filled_pause": (1, 1, 1)}, (1, 1, 1), "same place, same type"),
    ("&-um I ran .", "&-uh I ran .", {"filled_pause": (1, 1, 1)}, (1, 1, 1), "another filler in its place is a filler"),
    ("&-um I ran .", "I ran .", {"filled_pause": (0, 1, 0)}, (0, 1, 0), "missed"),
    ("&-um I ran .", "um I ran .", {"filled_pause": (0, 1, 0)}, (0, 1, 0), "heard but not coded: missed"),
    ("I ran .", "&-um I ran .", {"filled_pause": (0, 0, 1)}, (0, 0, 1), "not in the reference"),
    ("&-um I ran .", "I ran &-um .", {"filled_pause": (0, 1, 1)}, (0, 1, 1), "another place"),
    ("&-um I ran &-uh home .", "&-um I ran home .", {"filled_pause": (1, 2, 1)}, (1, 2, 1), "one of two"),
    ("I [/] I ran .", "I [/] I ran .", {"word_repetition": (1, 1, 1)}, (1, 1, 1), "a repeat"),
    ("I [/] I ran .", "I I ran .", {"word_repetition": (0, 1, 0)}, (0, 1, 0), "words there, code not"),
    ("I [/] I ran .", "I ran .", {"word_repetition": (0, 1, 0)}, (0, 1, 0), "word and code gone"),
    ("I [/] I [/] I ran .", "I [/] I ran .", {"word_repetition": (1, 2, 1)}, (1, 2, 1), "one repeat of two"),
    ("I [/] I ran .", "I [/] I [/] I ran .", {"word_repetition": (1, 1, 2)}, (1, 1, 2), "one repeat too many"),
    ("<I want> [/] I want it .", "<I want> [/] I want it .", {"phrase_repetition": (1, 1, 1)}, (1, 1, 1), "two words"),
    (
        "<I want> [/] I want it .", "I [/] I want it .",
        {"phrase_repetition": (0, 1, 0), "word_repetition": (0, 0, 1)}, (1, 1, 1),
        "half of the phrase, another type: only the relaxed score pairs them (one of two columns)",
    ),
    (
        "<I want to go> [/] I want to go .", "I [/] I want to go .",
        {"phrase_repetition": (0, 1, 0), "word_repetition": (0, 0, 1)}, (0, 1, 1),
        "one of four columns is less than half: not the same place",
    ),
    ("<the dog> [//] the cat ran .", "<the dog> [//] the cat ran .", {"retracing": (1, 1, 1)}, (1, 1, 1), "retracing"),
    ("<the big dog> [//] a cat .", "<the dog> [//] a cat .", {"retracing": (1, 1, 1)}, (1, 1, 1), "2 of 3 columns"),
    (
        "I [//] we ran .", "I [/] we ran .", {"retracing": (0, 1, 0), "word_repetition": (0, 0, 1)}, (1, 1, 1),
        "right place, wrong type",
    ),
    ("&+b boy .", "&+bo boy .", {"fragment": (1, 1, 1)}, (1, 1, 1), "a fragment in its place, spelled otherwise"),
    ("&+b boy .", "b boy .", {"fragment": (0, 1, 0)}, (0, 1, 0), "a word, not a fragment"),
    ("&+b &+b boy .", "&+b boy .", {"fragment": (1, 2, 1)}, (1, 2, 1), "one of two"),
    ("↫b-b↫boy .", "↫b-b↫boy .", {"part_word_repetition": (1, 1, 1)}, (1, 1, 1), "b- b- boy on both sides"),
    ("↫b-b↫boy .", "↫b↫boy .", {"part_word_repetition": (1, 1, 1)}, (1, 1, 1), "one of two sounds is half"),
    (
        "↫b↫boy .", "&+b boy .", {"part_word_repetition": (0, 1, 0), "fragment": (0, 0, 1)}, (1, 1, 1),
        "the sound is there, called a fragment",
    ),
    ("s::o big .", "s:o big .", {"prolongation": (1, 1, 1)}, (1, 1, 1), "its length does not matter"),
    ("s::o big .", "so big .", {"prolongation": (0, 1, 0)}, (0, 1, 0), "missed"),
    ("s::o big .", "≠so big .", {"prolongation": (0, 1, 0), "block": (0, 0, 1)}, (1, 1, 1), "wrong type"),
    ("≠dog ran .", "≠dog ran .", {"block": (1, 1, 1)}, (1, 1, 1), "block"),
    ("spa^ghetti .", "spa^ghetti .", {"broken_word": (1, 1, 1)}, (1, 1, 1), "broken word"),
    ("<all of> [///] we went .", "<all of> [///] we went .", {"reformulation": (1, 1, 1)}, (1, 1, 1), "reformulation"),
    ("<I was> [/-] he ran .", "<I was> [//] he ran .", {"false_start": (0, 1, 0), "retracing": (0, 0, 1)}, (1, 1, 1),
     "a false start coded as a retracing"),
    ("&~gah dog .", "&~gah dog .", {"nonword": (1, 1, 1)}, (0, 0, 0), "nonwords have a row, and are in no average"),
    ("I (.) ran .", "I (.) ran .", {"pause": (1, 1, 1)}, (0, 0, 0), "pauses are in no relaxed score"),
    ("I (1.5) ran .", "I (.) ran .", {"pause": (1, 1, 1)}, (0, 0, 0), "its length does not matter"),
    ("I (.) ran .", "I ran (.) home .", {"pause": (0, 1, 1)}, (0, 0, 0), "another gap"),
    ("I (.) &-um ran .", "I (.) ran .", {"pause": (1, 1, 1), "filled_pause": (0, 1, 0)}, (0, 1, 0),
     "the gaps meet where the filler is missing"),
    ("I &-um (.) ran .", "I (.) &-um ran .", {"pause": (0, 1, 1), "filled_pause": (1, 1, 1)}, (1, 1, 1),
     "before and after the filler are two places"),
    ("the xxx dog .", "the &-um big dog .", {"filled_pause": (0, 0, 0)}, (0, 0, 0), "masked: not scored"),
    ("the xxx dog .", "the (.) dog .", {"pause": (0, 0, 0)}, (0, 0, 0), "a pause beside a masked stretch: not scored"),
    ("&-um the xxx dog .", "&-um the &-uh dog .", {"filled_pause": (1, 1, 1)}, (1, 1, 1), "one outside, one inside"),
    ("<I [/] I want> [//] he ran .", "<I [/] I want> [//] he ran .",
     {"word_repetition": (1, 1, 1), "retracing": (1, 1, 1)}, (2, 2, 2), "nested codes are two events"),
    ("&-um &-um I ran .", "&-um I ran .", {"filled_pause": (1, 2, 1)}, (1, 2, 1), "each filler matches once"),
    ("I want it .", "&-um &-um &-um .", {"filled_pause": (0, 0, 3)}, (0, 0, 3), "fillers everywhere win nothing"),
]  # fmt: skip


@pytest.mark.parametrize(("reference", "hypothesis", "expected", "relaxed", "why"), EVENTS)
def test_event_score(sample, reference, hypothesis, expected, relaxed, why):
    ours, theirs = sample(reference), sample(hypothesis)
    scored = score_words(ours, theirs, POLICIES["verbatim"])
    found = score_events(ours, theirs, scored.words, scored.ops)
    counted = {kind: tuple(counts) for kind, counts in found.kinds.items() if any(counts)}
    assert counted == {kind: counts for kind, counts in expected.items() if any(counts)}, why
    assert tuple(found.relaxed) == relaxed, why


def test_table_is_as_large_as_promised():
    assert len(WORDS) + len(EVENTS) >= 40
    assert len({(case[0], case[1], case[2]) for case in WORDS}) == len(WORDS)
    assert {kind for case in EVENTS for kind in case[2]} == {
        "filled_pause", "word_repetition", "phrase_repetition", "retracing", "reformulation", "false_start",
        "fragment", "part_word_repetition", "prolongation", "block", "broken_word", "nonword", "pause",
    }  # fmt: skip
