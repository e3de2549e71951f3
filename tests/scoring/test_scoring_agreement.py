"""Agreement with the libraries that others score with: jiwer, MeetEval's command line, pyannote.metrics."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import jiwer
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrlsa.scoring.align import align, by_jiwer, count
from asrlsa.scoring.anchors import stretches
from asrlsa.scoring.normalise import POLICIES, stream
from asrlsa.scoring.speakers import score_diarization, score_speakers
from asrlsa.scoring.words import score_words

CER = POLICIES["cer"]
WORDS = "the a dog cat ran sat on big mat and then he she went home".split()  # noqa: SIM905


def garble(words: list[str], rng: random.Random, rate: float) -> list[str]:
    made = []
    for word in words:
        draw = rng.random()
        if draw < rate / 3:
            continue
        made.append(rng.choice(WORDS) if draw < 2 * rate / 3 else word)
        if draw > 1 - rate / 3:
            made.append(rng.choice(WORDS))
    return made


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.4, 0.9])
def test_plain_text_agrees_with_jiwer(sample, rate):
    rng = random.Random(rate)
    for _ in range(20):
        ours = [rng.choice(WORDS) for _ in range(rng.randint(1, 60))]
        theirs = garble(ours, rng, rate)
        expected = jiwer.process_words(" ".join(ours), " ".join(theirs))
        found = score_words(sample(" ".join([*ours, "."])), sample(" ".join([*theirs, "."])), POLICIES["verbatim"])
        assert found.counts.errors == expected.substitutions + expected.deletions + expected.insertions
        assert found.counts.rate == pytest.approx(expected.wer)


@pytest.mark.parametrize("rate", [0.05, 0.5])
def test_characters_agree_with_jiwer(sample, rate):
    rng = random.Random(rate)
    for _ in range(20):
        ours = [rng.choice(WORDS) for _ in range(rng.randint(2, 40))]
        theirs = garble(ours, rng, rate) or ["a"]
        found = score_words(sample(" ".join([*ours, "."])), sample(" ".join([*theirs, "."])), POLICIES["cer"])
        assert found.counts.rate == pytest.approx(jiwer.cer(" ".join(ours), " ".join(theirs)))


spoken = st.lists(st.text(st.characters(categories=("L", "N", "M", "S", "P")), min_size=1, max_size=3), max_size=12)


@given(spoken, spoken)
def test_any_words_have_the_errors_that_jiwer_finds(ours, theirs):
    """Our choice between ties moves errors, and never adds or hides one."""
    expected = jiwer.process_words(" ".join(ours), " ".join(theirs))
    for ops in (by_jiwer(ours, theirs), align(ours, theirs)):
        found = count(ops)
        assert found.errors == expected.substitutions + expected.deletions + expected.insertions
        assert found.reference == len(ours)
        assert found.hits + found.substitutions + found.insertions == len(theirs)


def test_pieces_are_the_same_whatever_holds_the_words():
    ours = [f"w{k}" for k in range(500)]
    theirs = [word for k, word in enumerate(ours) if k % 50]
    pieces = stretches(tuple(ours), theirs, 100)
    assert len(pieces) > 10
    assert pieces == stretches(ours, tuple(theirs), 100)


def test_a_long_text_is_aligned_by_character_in_pieces(sample):
    ours = [f"word{k}" for k in range(4000)]
    theirs = [word[:-1] if k % 7 == 0 else word for k, word in enumerate(ours)]
    found = score_words(sample(" ".join([*ours, "."])), sample(" ".join([*theirs, "."])), POLICIES["raw"])
    assert found.counts.errors == 572
    long = score_words(sample(" ".join([*ours, "."])), sample(" ".join([*theirs, "."])), replace(CER, steps=()))
    assert (long.counts.errors, long.counts.deletions) == (572, 572)


def test_a_long_file_cut_at_anchors_agrees_with_jiwer(monkeypatch):
    rng = random.Random(1)
    vocabulary = [f"w{int(rng.paretovariate(0.8)) % 4000}" for _ in range(12_000)]
    theirs = [rng.choice(vocabulary) if rng.random() < 0.1 else word for word in vocabulary if rng.random() > 0.05]
    monkeypatch.setattr("asrlsa.scoring.align.LONG_FILE", 1000)
    found = count(align(vocabulary, theirs))
    expected = jiwer.process_words(" ".join(vocabulary), " ".join(theirs))
    assert found.errors == expected.substitutions + expected.deletions + expected.insertions


# Speaker streams and the errors that `meeteval-wer cpwer` (MeetEval 0.4.3) counts for them:
# reference, hypothesis, (errors, words). test_cpwer_agrees_with_meeteval asks the program itself where it is installed.
CPWER = [
    ({"A": "a b c", "B": "d e"}, {"X": "a b c", "Y": "d e"}, (0, 5)),
    ({"A": "a b c", "B": "d e"}, {"X": "d e", "Y": "a b c"}, (0, 5)),
    ({"A": "a b c", "B": "d e"}, {"X": "a b c d e"}, (4, 5)),
    ({"A": "a b c"}, {"X": "a b", "Y": "c"}, (2, 3)),
    ({"A": "a b c", "B": "d e f", "C": "g"}, {"X": "a b", "Y": "d e f"}, (2, 7)),
    ({"A": "a b c", "B": "d e f"}, {"X": "a e c", "Y": "d b f", "Z": "h i"}, (4, 6)),
    ({"A": "a a a b", "B": "b b b"}, {"X": "a b b", "Y": "a a b b"}, (2, 7)),
]


def speaker_scores(reference, hypothesis):
    words = stream(reference, POLICIES["verbatim"]), stream(hypothesis, POLICIES["verbatim"])
    return score_speakers(reference, hypothesis, words)


def _sample_of(sample, streams):
    return sample(*(f"SP{code}: {text} ." for code, text in streams.items()))


@pytest.mark.parametrize(("reference", "hypothesis", "expected"), CPWER)
def test_cpwer_of_recorded_cases(sample, reference, hypothesis, expected):
    found = speaker_scores(_sample_of(sample, reference), _sample_of(sample, hypothesis))
    assert (found.attributed.errors, found.attributed.reference) == expected


def meeteval(cases: list[tuple[dict[str, str], dict[str, str]]], folder: Path) -> list[tuple[int, int]]:
    for side, name in enumerate(("ref", "hyp")):
        lines = [
            f"s{number} 1 {code} {k}.0 {k}.9 {text}"
            for number, case in enumerate(cases)
            for k, (code, text) in enumerate(case[side].items())
        ]
        (folder / f"{name}.stm").write_text("\n".join(lines) + "\n")
    command = "meeteval-wer cpwer -r ref.stm -h hyp.stm --average-out mean.json --per-reco-out each.json"
    subprocess.run(command.split(), cwd=folder, check=True, capture_output=True)
    made = json.loads((folder / "each.json").read_text())
    return [(made[f"s{number}"]["errors"], made[f"s{number}"]["length"]) for number in range(len(cases))]


@pytest.mark.skipif(shutil.which("meeteval-wer") is None, reason="no MeetEval: pip install 'meeteval[cli]'")
def test_cpwer_agrees_with_meeteval(sample, tmp_path):
    rng = random.Random(7)
    cases = [(r, h) for r, h, _ in CPWER]
    for _ in range(200):
        ours = {c: " ".join(rng.choice(WORDS) for _ in range(rng.randint(1, 25))) for c in "ABC"[: rng.randint(1, 3)]}
        theirs = {c: " ".join(garble(t.split(), rng, 0.4)) or "a" for c, t in zip("XYZ", ours.values(), strict=False)}
        if rng.random() < 0.4:
            theirs["Q"] = "the dog sat"
        cases.append((ours, theirs))
    for (ours, theirs), expected in zip(cases, meeteval(cases, tmp_path), strict=True):
        found = speaker_scores(_sample_of(sample, ours), _sample_of(sample, theirs))
        assert (found.attributed.errors, found.attributed.reference) == expected, (ours, theirs)


def random_turns(rng: random.Random, names: str, count: int) -> list[tuple[int, int, str]]:
    begins = [rng.randint(0, 20_000) for _ in range(count)]
    return [(begin, begin + rng.randint(200, 4000), rng.choice(names)) for begin in begins]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("collar", [0, 250])
def test_diarization_agrees_with_pyannote(collar):
    core = pytest.importorskip("pyannote.core")
    metrics = pytest.importorskip("pyannote.metrics.diarization")
    rng = random.Random(collar)
    for _ in range(30):
        ours, theirs = random_turns(rng, "ABC", rng.randint(1, 8)), random_turns(rng, "XYZ", rng.randint(1, 8))
        sides = []
        for turns in (ours, theirs):
            annotation = core.Annotation()
            for speaker in sorted({turn[2] for turn in turns}):
                spans = core.Timeline([core.Segment(b / 1000, e / 1000) for b, e, s in turns if s == speaker])
                for span in spans.support():
                    annotation[span, speaker] = speaker
            sides.append(annotation)
        # pyannote's collar is the whole width around a border.
        judge = metrics.DiarizationErrorRate(collar=2 * collar / 1000, skip_overlap=False)
        found = judge(*sides, detailed=True)
        expected = [found[name] for name in ("total", "missed detection", "false alarm", "confusion")]
        assert [t / 1000 for t in score_diarization(ours, theirs, collar)] == pytest.approx(expected, abs=1e-3)
