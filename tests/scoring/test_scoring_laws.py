"""What holds for every transcript: identity, insertions, order, folding, utterance boundaries, masks."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from chat_files import chat_text
from hypothesis import given, settings
from hypothesis import strategies as st

from asrlsa.chat.parser import parse_chat, read_chat
from asrlsa.evaluate import evaluate
from asrlsa.scoring.align import align, count
from asrlsa.scoring.measures import MEASURES
from asrlsa.scoring.normalise import POLICIES, STEPS, normalise
from asrlsa.scoring.scores import score_pair
from asrlsa.scoring.sources import from_transcript
from asrlsa.scoring.spellings import filler_class

ITEMS = [
    "dog",
    "I",
    "ran",
    "the",
    "&-um",
    "&-uh",
    "&+b",
    "xxx",
    "s::o",
    "≠dog",
    "↫b-b↫boy",
    "spa^ghetti",
    "(.)",
    "(1.5)",
]
words = st.lists(st.sampled_from(["a", "b", "c", "d"]), max_size=14)
tiers = st.lists(st.lists(st.sampled_from(ITEMS), min_size=1, max_size=8), min_size=1, max_size=5)


def tier(items: list[str], rng: random.Random) -> str:
    """Write items as a main tier, with some of the plain words repeated or retraced."""
    made = []
    for item in items:
        if item.isalpha() and item != "xxx" and rng.random() < 0.4:
            made.append(rng.choice([f"{item} [/]", f"{item} [//]", f"<{item} dog> [/]", f"<{item} dog> [//]"]))
        made.append(item)
    return " ".join([*made, "dog ."])


def sample_of(text: str, name: str = "x"):
    return from_transcript(parse_chat(text), name)


@given(words)
def test_identity_has_no_errors(same):
    assert count(align(same, same)).errors == 0


@given(words, words)
def test_distance_is_symmetric_and_bounded(ours, theirs):
    errors = count(align(ours, theirs)).errors
    assert errors == count(align(theirs, ours)).errors
    assert abs(len(ours) - len(theirs)) <= errors <= max(len(ours), len(theirs))


@given(words, st.integers(1, 5), st.data())
def test_foreign_words_are_all_insertions(ours, extra, data):
    theirs = list(ours)
    for _ in range(extra):
        theirs.insert(data.draw(st.integers(0, len(theirs))), "zzz")
    counts = count(align(ours, theirs))
    assert (counts.substitutions, counts.deletions, counts.insertions) == (0, 0, extra)


@given(words, words, st.integers(1, 4))
def test_more_words_never_mean_fewer_insertions(ours, theirs, extra):
    before, after = count(align(ours, theirs)), count(align(ours, theirs + ["zzz"] * extra))
    assert after.insertions + after.substitutions >= before.insertions + before.substitutions
    assert after.insertions - after.deletions == before.insertions - before.deletions + extra


@given(words, words, st.lists(st.integers(0, 14), max_size=3))
def test_a_mask_is_a_wildcard(ours, theirs, gaps):
    masks = sorted(min(gap, len(ours)) for gap in gaps)
    ops = align(ours, theirs, masks)
    counts = count(ops)
    assert counts.errors <= count(align(ours, theirs)).errors
    assert counts.errors == wildcard_distance(ours, theirs, masks)
    assert sum(op.i2 - op.i1 for op in ops) == len(ours)
    assert sum(op.j2 - op.j1 for op in ops) == len(theirs)
    assert all(op.i1 in masks for op in ops if op.tag == "masked")


def wildcard_distance(ours, theirs, masks):
    """Textbook edit distance where a mask takes in any number of words."""
    symbols = [s for k in range(len(ours) + 1) for s in [None] * (k in masks) + ours[k : k + 1]]
    row = list(range(len(theirs) + 1))
    for symbol in symbols:
        made = [row[0] + (symbol is not None)]
        for j, word in enumerate(theirs, start=1):
            if symbol is None:
                made.append(min(row[j], made[-1]))
            else:
                made.append(min(row[j] + 1, made[-1] + 1, row[j - 1] + (symbol != word)))
        row = made
    return row[-1]


@settings(max_examples=60)
@given(tiers, st.integers(0, 999))
def test_a_transcript_against_itself(found, seed):
    rng = random.Random(seed)
    text = chat_text(*(tier(items, rng) for items in found))
    made = score_pair(sample_of(text), sample_of(text), tuple(POLICIES))
    assert all(counts.errors == 0 for counts in made.counts.values())
    assert made.attributed.errors == 0
    assert all(c.matched == c.reference == c.hypothesis for c in (*made.kinds.values(), made.relaxed))
    assert all(pair.error(name) in (0, None) for pair in made.measures for name in ("words", "td", "sld", "mattr"))


@settings(max_examples=60)
@given(tiers, tiers, st.integers(0, 999))
def test_utterance_boundaries_do_not_matter_to_word_scores(ours, theirs, seed):
    rng = random.Random(seed)
    reference = chat_text(*(tier(items, rng) for items in ours))
    lines = [tier(items, rng) for items in theirs]
    apart, together = chat_text(*lines), chat_text(" ".join(line.removesuffix(" .") for line in lines) + " .")
    scored = [score_pair(sample_of(reference), sample_of(text), tuple(POLICIES)) for text in (apart, together)]
    assert scored[0].counts == scored[1].counts
    spans = [{k: c for k, c in s.kinds.items() if k != "pause"} for s in scored]
    assert spans[0] == spans[1]


@settings(max_examples=40)
@given(tiers, tiers, st.integers(0, 999))
def test_line_folding_does_not_matter(ours, theirs, seed):
    rng = random.Random(seed)
    reference, hypothesis = (chat_text(*(tier(items, rng) for items in side)) for side in (ours, theirs))
    folded = "\n".join(line if line[0] != "*" else line.replace(" ", "\n\t", 2) for line in hypothesis.splitlines())
    plain, wrapped = (score_pair(sample_of(reference), sample_of(t + "\n")) for t in (hypothesis.rstrip("\n"), folded))
    assert plain == wrapped


@settings(max_examples=60)
@given(tiers, tiers, st.integers(0, 999))
def test_relaxed_finds_at_least_what_strict_finds(ours, theirs, seed):
    rng = random.Random(seed)
    reference, hypothesis = (chat_text(*(tier(items, rng) for items in side)) for side in (ours, theirs))
    made = score_pair(sample_of(reference), sample_of(hypothesis))
    strict = sum(c.matched for kind, c in made.kinds.items() if kind not in ("pause", "nonword"))
    assert strict <= made.relaxed.matched <= min(made.relaxed.reference, made.relaxed.hypothesis)


def test_order_of_files_does_not_matter(tmp_path):
    rng = random.Random(3)
    names = [f"f{k}" for k in range(6)]
    texts = [[chat_text(tier([rng.choice(ITEMS) for _ in range(6)], rng)) for _ in range(2)] for _ in names]
    found = []
    for order in (names, names[::-1]):
        folder = tmp_path / order[0]
        for side in ("ref", "hyp"):
            (folder / side).mkdir(parents=True)
        # Names sort, so the same texts under other names come in another order.
        for new, old in zip(names, order, strict=True):
            for side, text in zip(("ref", "hyp"), texts[names.index(old)], strict=True):
                (folder / side / f"{new}.cha").write_text(text, encoding="utf-8")
        found.append(evaluate(folder / "hyp", folder / "ref", resamples=0).scores)
    assert found[0] == found[1]


@given(st.sampled_from(["um", "uh", "uhm", "erm", "er", "hm", "hmm", "mm", "ah", "Um,", "UH"]))
def test_no_step_deletes_a_filler(filler):
    for name in STEPS:
        assert normalise(filler, (name,))
    for policy in POLICIES.values():
        assert len(normalise(filler, policy.steps)) == 1
    assert filler_class(normalise(filler, POLICIES["verbatim"].steps)[0], "eng")


@given(st.text(max_size=12))
def test_normalising_twice_changes_nothing(word):
    steps = POLICIES["verbatim"].steps
    once = normalise(word, steps)
    assert tuple(made for one in once for made in normalise(one, steps)) == once


def scores_perfectly(path: Path) -> None:
    text = from_transcript(read_chat(path), path.stem)
    made = score_pair(text, text, tuple(POLICIES))
    assert all(counts.errors == 0 for counts in made.counts.values()), path
    assert all(c.matched == c.reference == c.hypothesis for c in (*made.kinds.values(), made.relaxed)), path
    assert made.attributed.errors == 0, path
    assert made.diarization is None or made.diarization.error == 0, path
    assert not any(made.boundaries.starts + made.boundaries.ends), path
    assert all(pair.error(name) in (0, None) for pair in made.measures for name in MEASURES), path


def test_every_sample_scores_perfectly_against_itself():
    files = sorted((Path(__file__).resolve().parents[2] / "samples").glob("*.cha"))
    assert files
    for path in files:
        scores_perfectly(path)


@pytest.mark.shared
def test_every_shared_transcript_scores_perfectly_against_itself(shared_data):
    files = sorted(shared_data.rglob("*.cha"))
    assert files
    for path in files:
        scores_perfectly(path)
