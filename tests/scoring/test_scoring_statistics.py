"""Intervals, tests of significance and the gate."""

from __future__ import annotations

import json
import math
import random

import pytest

from asrlsa.errors import UsageError
from asrlsa.scoring.align import align
from asrlsa.scoring.gate import check_settings, load_scores, parse_limits, plain, run_gate, save_scores
from asrlsa.scoring.metrics import METRICS, figures
from asrlsa.scoring.statistics import compare, error_slots, intervals, mapsswe, segment_differences


def files(rates, words=100):
    return [{"verbatim.errors": rate, "verbatim.words": words} for rate in rates]


def test_interval_is_the_same_for_the_same_seed_and_holds_the_figure():
    rng = random.Random(1)
    made = files([rng.randint(0, 30) for _ in range(40)])
    low, high = intervals(made, ["wer"], seed=5)["wer"]
    assert (low, high) == intervals(made, ["wer"], seed=5)["wer"]
    assert (low, high) != intervals(made, ["wer"], seed=6)["wer"]
    middle = 100 * sum(f["verbatim.errors"] for f in made) / 4000
    assert low < middle < high
    # A mean of 40 values of standard deviation about 9: plus or minus about 2.8.
    assert 3 < high - low < 8


def test_interval_of_equal_files_has_no_width_and_one_file_has_none():
    assert intervals(files([7] * 10), ["wer"])["wer"] == pytest.approx((7.0, 7.0))
    assert intervals(files([7]), ["wer"])["wer"] is None


def test_paired_test_sees_a_small_steady_difference_that_files_hide():
    rng = random.Random(2)
    first = [rng.randint(5, 60) for _ in range(30)]
    (steady,) = compare(files([max(0, v - 2) for v in first]), files(first), ["wer"], seed=1)
    assert steady.p < 0.01
    assert steady.high < 0
    (same,) = compare(files(first), files(first), ["wer"], seed=1)
    assert same.p == 1.0
    shuffled = first[:]
    rng.shuffle(shuffled)
    (noise,) = compare(files(shuffled), files(first), ["wer"], seed=1)
    assert noise.p > 0.05


def test_errors_at_each_word():
    ops = align(["a", "b", "c", "d"], ["x", "a", "c", "c", "e"])
    # x is inserted before a, b is c, d is e: slots before a, at a, b, c, d.
    assert error_slots(ops, 4) == [1, 0, 1, 0, 1]


def test_segments_end_where_both_have_two_words_right():
    ours = [0, 1, 0, 0, 0, 1, 0, 1, 0, 0]
    other = [0, 0, 0, 0, 0, 2, 0, 0, 0, 0]
    # First segment: 1 against 0. Then two words right. Second: 1 against 2, one word right, 1 against 0.
    assert segment_differences(ours, other) == [1, 0]
    assert segment_differences([0, 0, 0], [0, 0, 0]) == []


def test_mapsswe_by_hand():
    found = mapsswe("wer", [1, 1, 0, 2, 1, -1, 1, 1], (12.0, 10.0))
    mean, deviation = 6 / 8, math.sqrt(sum((d - 0.75) ** 2 for d in [1, 1, 0, 2, 1, -1, 1, 1]) / 7)
    z = mean / (deviation / math.sqrt(8))
    assert found.p == pytest.approx(math.erfc(z / math.sqrt(2)))
    assert mapsswe("wer", [], (1.0, 1.0)).p == 1.0
    assert mapsswe("wer", [1, -1, 2, -2], (1.0, 1.0)).p == pytest.approx(1.0)


def test_few_pairs_are_never_called_sure():
    """All of n pairs in one direction happens by chance twice in 2^n."""
    assert mapsswe("wer", [1, 1], (12.0, 10.0)).p == 0.5
    assert mapsswe("wer", [1, 1, 0, 0, 0, 0, 0, 0], (12.0, 10.0)).p == 0.5
    (five,) = compare(files([1, 2, 3, 4, 5]), files([11, 12, 13, 14, 15]), ["wer"])
    assert five.p == 2 / 2**5
    (six,) = compare(files([1, 2, 3, 4, 5, 6]), files([11, 12, 13, 14, 15, 16]), ["wer"])
    assert six.p == 2 / 2**6


def test_figures_are_ratios_of_sums():
    sums = {"verbatim.errors": 3, "verbatim.words": 12}
    sums |= {"event.filled_pause.matched": 1, "event.filled_pause.reference": 2, "event.filled_pause.hypothesis": 1}
    found = figures(sums)
    assert found["wer"] == 25.0
    assert found["filled_pause_f1"] == pytest.approx(100 * 2 / 3)
    assert found["disfluency_macro_f1"] == pytest.approx(100 * 2 / 3)
    assert found["retracing_f1"] is None
    assert found["cpwer"] is None
    assert figures({"verbatim.errors": 2})["wer"] == math.inf


BASE = {"format": 1, "scores": {"wer": 10.0, "disfluency_f1": 80.0, "der": None}, "files": {"a": {}, "b": {}}}


@pytest.mark.parametrize(
    ("now", "increases", "decreases", "regressed"),
    [
        ({"wer": 10.5}, {"wer": 0.5}, {}, []),
        ({"wer": 10.6}, {"wer": 0.5}, {}, ["wer"]),
        ({"wer": 5.0}, {"wer": 0.0}, {}, []),
        ({"wer": None}, {"wer": 0.5}, {}, ["wer"]),
        ({"wer": math.inf}, {"wer": 0.5}, {}, ["wer"]),
        ({"disfluency_f1": 79.0}, {}, {"disfluency_f1": 1.0}, []),
        ({"disfluency_f1": 78.9}, {}, {"disfluency_f1": 1.0}, ["disfluency_f1"]),
        ({"disfluency_f1": 90.0}, {}, {"disfluency_f1": 0.0}, []),
        ({"disfluency_f1": None}, {}, {"disfluency_f1": 1.0}, ["disfluency_f1"]),
        ({"der": 5.0}, {"der": 1.0}, {}, ["der"]),
        ({"wer": 20.0, "disfluency_f1": 10.0}, {"wer": 1.0}, {"disfluency_f1": 1.0}, ["wer", "disfluency_f1"]),
    ],
)
def test_gate(now, increases, decreases, regressed):
    checks = run_gate(BASE, now, ["a", "b"], increases, decreases)
    assert [check.name for check in checks if check.regressed] == regressed


def test_gate_sees_files_that_are_gone():
    checks = run_gate(BASE, {"wer": 1.0}, ["a"], {"wer": 1.0}, {})
    assert [(c.name, c.reason) for c in checks if c.regressed] == [("files", "not scored now: b")]


def test_gate_refuses_what_the_baseline_does_not_have():
    with pytest.raises(UsageError, match="no raw_wer"):
        run_gate(BASE, {"raw_wer": 1.0}, ["a", "b"], {"raw_wer": 1.0}, {})


def test_gate_refuses_a_baseline_of_other_rules():
    base = {**BASE, "normalisation": ["case"], "collar_ms": 250}
    check_settings(base, ["case"], 0, {"wer"})
    check_settings(BASE, ["case"], 0, {"wer", "der"})
    with pytest.raises(UsageError, match="normalised by case; use the same --normalise"):
        check_settings(base, ["case", "numbers"], 250, {"wer"})
    with pytest.raises(UsageError, match="collar of 250 ms"):
        check_settings(base, ["case"], 0, {"der"})


def test_a_limit_on_the_wrong_side_is_refused():
    with pytest.raises(UsageError, match="disfluency_f1 is better when higher; use --max-decrease"):
        parse_limits(["disfluency_f1=1"], "--max-increase")
    with pytest.raises(UsageError, match="wer is better when lower; use --max-increase"):
        parse_limits(["wer=1"], "--max-decrease")
    with pytest.raises(UsageError, match="nearest: fluent_wer"):
        parse_limits(["fluentwer=1"], "--max-increase")


@pytest.mark.parametrize("value", ["wer", "wer=", "wer=x", "wer=-1", "wer=inf", "wer=nan", "werr=1"])
def test_limits_are_checked(value):
    with pytest.raises(UsageError, match="--max-increase"):
        parse_limits([value], "--max-increase")


def test_limits():
    assert parse_limits(["wer=0.5", "der=1"], "--max-increase") == {"wer": 0.5, "der": 1.0}
    assert {"wer", "disfluency_f1", "cpwer", "filled_pause_recall"} <= METRICS.keys()


def test_saved_scores_come_back(tmp_path):
    path = tmp_path / "deep" / "scores.json"
    save_scores(path, {"format": 1, "scores": {"wer": 1 / 3, "cer": math.inf, "der": None}})
    assert load_scores(path)["scores"] == {"wer": 0.333333, "cer": "inf", "der": None}
    assert plain({"a": (1.0, math.nan)}) == {"a": [1.0, None]}


@pytest.mark.parametrize("text", ["{", "[]", json.dumps({"format": 2, "scores": {}}), json.dumps({"format": 1})])
def test_other_files_are_no_baseline(tmp_path, text):
    (tmp_path / "s.json").write_text(text)
    with pytest.raises(UsageError, match=r"asrlsa evaluate --save|not JSON"):
        load_scores(tmp_path / "s.json")
