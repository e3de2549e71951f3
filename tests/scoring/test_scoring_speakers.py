"""Speakers, diarization and word boundaries, worked out by hand."""

from __future__ import annotations

import pytest

from asrlsa.scoring.scores import score_pair
from asrlsa.scoring.speakers import score_diarization


def scores(sample, ours, theirs):
    return score_pair(sample(*ours), sample(*theirs))


def test_words_given_to_the_wrong_speaker_are_right_in_wer_and_wrong_in_cpwer(sample):
    found = scores(sample, ["CHI: I ran .", "INV: and you ?"], ["CHI: I ran and .", "INV: you ?"])
    assert found.counts["verbatim"].errors == 0
    # CHI: one insertion (and); INV: one deletion.
    assert (found.attributed.insertions, found.attributed.deletions, found.attributed.reference) == (1, 1, 4)


def test_labels_are_mapped_to_participants_by_their_words(sample):
    found = scores(sample, ["CHI: I ran home .", "INV: and you ?"], ["PA1: I ran home .", "PA0: and you ?"])
    assert found.mapping == {"PA1": "CHI", "PA0": "INV"}
    assert found.attributed.errors == 0


def test_a_code_that_names_somebody_stands_for_itself(sample):
    # Swapped speakers: the codes say who is who, so participants are not swapped back.
    found = scores(sample, ["CHI: I ran home .", "INV: and you ?"], ["INV: I ran home .", "CHI: and you ?"])
    assert found.mapping == {"INV": "INV", "CHI": "CHI"}
    # cpWER is by definition the best assignment.
    assert found.attributed.errors == 0
    # CHI: and you / I ran home is 2 substitutions, 1 deletion; INV: I ran home / and you 2 substitutions, 1 insertion.
    assert tuple(found.named)[:4] == (0, 4, 1, 1)
    assert found.sums["named.errors"] == 6


def test_numbered_labels_have_no_name_to_keep(sample):
    found = scores(sample, ["CHI: I ran home .", "INV: and you ?"], ["PA1: I ran home .", "PA0: and you too ?"])
    assert found.named == found.attributed
    assert found.named.errors == 1


def test_one_label_of_two_is_a_name(sample):
    # CHI is CHI; PA0, which holds CHI's words, is left for INV.
    found = scores(sample, ["CHI: I ran home .", "INV: and you ?"], ["PA0: I ran home .", "CHI: and you ?"])
    assert found.mapping == {"CHI": "CHI", "PA0": "INV"}
    assert (found.attributed.errors, found.named.errors) == (0, 6)


def test_numbered_labels_on_both_sides_are_assigned_by_words(sample):
    found = scores(sample, ["*PAR0: I ran home .", "*PAR1: and you ?"], ["*PAR1: I ran home .", "*PAR0: and you ?"])
    assert found.mapping == {"PAR1": "PAR0", "PAR0": "PAR1"}


def test_wer_by_participant(sample):
    found = scores(sample, ["CHI: I ran home .", "INV: and you ?"], ["CHI: I run home .", "INV: and um you too ?"])
    child, adult = found.participants["CHI"], found.participants["INV"]
    assert (child.substitutions, child.errors, child.reference) == (1, 1, 3)
    assert (adult.insertions, adult.errors, adult.reference) == (2, 2, 2)


def test_an_insertion_without_a_mapped_speaker_is_charged_to_the_word_before(sample):
    found = scores(sample, ["CHI: I ran home ."], ["CHI: I ran home .", "XXZ: oh ."])
    assert found.participants["CHI"].insertions == 1


def test_a_missing_speaker_is_deletions_and_an_extra_one_insertions(sample):
    found = scores(sample, ["CHI: I ran .", "INV: oh ."], ["CHI: I ran ."])
    assert (found.attributed.deletions, found.attributed.insertions) == (1, 0)
    found = scores(sample, ["CHI: I ran ."], ["CHI: I ran .", "INV: oh ."])
    assert (found.attributed.deletions, found.attributed.insertions) == (0, 1)


def test_masks_are_free_in_cpwer_too(sample):
    found = scores(sample, ["CHI: I xxx home .", "INV: oh ."], ["CHI: I ran all home .", "INV: oh ."])
    assert found.attributed.errors == 0
    assert found.attributed.masked == 2


# reference turns, hypothesis turns, collar, (speech, missed, false alarm, confused) in ms; why
TURNS = [
    ([(0, 1000, "A")], [(0, 1000, "X")], 0, (1000, 0, 0, 0), "the same"),
    ([(0, 1000, "A")], [], 0, (1000, 1000, 0, 0), "all missed"),
    ([], [(0, 1000, "X")], 0, (0, 0, 1000, 0), "all false alarm"),
    ([(0, 1000, "A")], [(0, 800, "X")], 0, (1000, 200, 0, 0), "200 ms too short"),
    ([(0, 1000, "A")], [(0, 1300, "X")], 0, (1000, 0, 300, 0), "300 ms too long"),
    ([(0, 1000, "A")], [(0, 1300, "X")], 250, (500, 0, 50, 0), "250 ms at both ends are not scored"),
    ([(0, 600, "A"), (600, 1000, "B")], [(0, 1000, "X")], 0, (1000, 0, 0, 400), "X is A: B's time is confused"),
    ([(0, 1000, "A"), (500, 1500, "B")], [(0, 1500, "X")], 0, (2000, 500, 0, 500), "overlap counts twice; X is A or B"),
    ([(0, 600, "A"), (400, 1000, "A")], [(0, 1000, "X")], 0, (1000, 0, 0, 0), "one speaker's turns are joined"),
    ([(0, 500, "A"), (500, 1000, "B")], [(0, 500, "Y"), (500, 1000, "X")], 0, (1000, 0, 0, 0), "names do not matter"),
]


@pytest.mark.parametrize(("reference", "hypothesis", "collar", "expected", "why"), TURNS)
def test_diarization_error(reference, hypothesis, collar, expected, why):
    assert tuple(score_diarization(reference, hypothesis, collar)) == expected, why


def test_diarization_needs_times_on_both_sides(sample):
    timed, untimed = sample("CHI: I ran . \x150_1000\x15"), sample("CHI: I ran .")
    assert score_pair(timed, timed).diarization.error == 0
    assert score_pair(timed, untimed).diarization is None
    assert score_pair(untimed, timed).diarization is None


def test_word_boundaries_of_matching_words(sample):
    ours = sample(
        "CHI: I ran &+h home . \x150_1000\x15", "%wor: I \x150_100\x15 ran \x15100_400\x15 home \x15600_1000\x15 ."
    )
    theirs = sample(
        "CHI: I run home . \x150_1000\x15", "%wor: I \x1520_90\x15 run \x15100_400\x15 home \x15550_1010\x15 ."
    )
    found = score_pair(ours, theirs)
    # I and home match; run is another word. The fragment has no time of its own.
    assert found.boundaries.starts == (20, -50)
    assert found.boundaries.ends == (-10, 10)
    assert [w.start for w in ours.words] == [0, 100, None, 600]
