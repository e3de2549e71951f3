from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from training_data import row

pytest.importorskip("torch")

from asrlsa.errors import ConfigError
from asrlsa.manifest import Row, read_rows
from asrlsa.training.data_settings import DataSettings
from asrlsa.training.packing import EMPTY, pack
from asrlsa.training.stretches import (
    ENDLESS,
    NO_FLUENT,
    NOT_CHOSEN,
    NOT_TRANSCRIBED,
    OVERLAPPED,
    TOO_LONG,
    TOO_MANY_TOKENS,
)
from asrlsa.training.windows import Packing, Window

PLAIN = DataSettings(noise_only=0, trust_gaps=True)
LAYOUTS = [
    replace(PLAIN, join="none"),
    replace(PLAIN, join="recording"),
    PLAIN,
    replace(PLAIN, trust_gaps=False),
    replace(PLAIN, layout="isolated"),
    replace(PLAIN, layout="single"),
    replace(PLAIN, layout="variable"),
    replace(PLAIN, window_seconds=12.0),
    replace(PLAIN, speakers=("CHI",)),
]


def tokens(text: str) -> int:
    return len(text.split()) + 2


def packed(rows: Sequence[Row], wanted: DataSettings = PLAIN, **more: int | bool) -> Packing:
    return pack(rows, wanted, tokens=tokens, most_tokens=int(more.pop("most", 440)), **more)  # type: ignore[arg-type]


def heard(window: Window) -> list[tuple[Path, int, int]]:
    return [(part.audio, part.start, part.end) for part in window.parts]


def longest_run(rows: Sequence[Row], audio: Path) -> int:
    """The longest stretch of a recording in which speech overlaps speech all the time."""
    longest = first = reached = 0
    for r in sorted((r for r in rows if r.audio == audio), key=lambda r: r.start):
        if reached - r.start <= 250:
            first = r.start
            reached = r.end
        reached = max(reached, r.end)
        longest = max(longest, reached - first)
    return longest


@st.composite
def recordings(draw: st.DrawFn) -> list[Row]:
    rows = []
    for audio in ("a.wav", "b.wav"):
        at = draw(st.integers(0, 3000))
        for number in range(draw(st.integers(0, 9))):
            start = max(0, at + draw(st.integers(-1500, 6000)))
            end = start + draw(st.integers(50, draw(st.sampled_from([600, 5000, 14_000, 33_000]))))
            rows.append(
                row(
                    start,
                    end,
                    draw(st.sampled_from(["um", "the ball", "xxx ball", "b- b- ball um the", ""])),
                    audio,
                    id=f"{audio}{number}",
                    speaker=draw(st.sampled_from(["CHI", "INV"])),
                    joins=draw(st.booleans()),
                )
            )
            at = max(at, end)
    return sorted(rows, key=lambda r: (r.audio, r.start))


@settings(max_examples=300, deadline=None)
@given(rows=recordings(), wanted=st.sampled_from(LAYOUTS), seed=st.integers(0, 3))
def test_the_laws(rows: list[Row], wanted: DataSettings, seed: int) -> None:
    packing = packed(rows, wanted, seed=seed)
    by_name = {r.id: r for r in rows}
    limit = round(wanted.window_seconds * 1000)
    used: list[str] = []
    for window in packing.windows:
        assert 0 < window.duration <= limit
        reached = 0
        for part in window.parts:
            assert reached <= part.at
            assert 0 <= part.start < part.end
            reached = part.at + part.end - part.start
        assert reached <= window.duration
        for piece, name in zip(window.pieces, window.ids, strict=True):
            whole = by_name[name]
            # The sound of every text is in the window, whole and where its times say.
            assert any(
                part.audio == whole.audio
                and part.start <= whole.start
                and whole.end <= part.end
                and piece.start - part.at == whole.start - part.start
                and piece.end - piece.start == whole.duration
                for part in window.parts
            )
            assert piece.text == whole.text
        used += window.ids
    # Every row is in one window, or is counted as left out.
    speech = [r for r in rows if r.text]
    assert sorted(used) == sorted(set(used))
    assert len(used) + sum(packing.left_out.values()) - packing.left_out.get(EMPTY, 0) == len(speech)
    loosest = {audio: 1000 if longest_run(speech, audio) > limit else 250 for audio in {r.audio for r in speech}}
    for window in packing.windows:
        for part in window.parts:
            for other in speech:
                if other.audio == part.audio and other.id not in window.ids:
                    # Speech without its text is at most what times jitter by.
                    assert min(other.end, part.end) - max(other.start, part.start) <= loosest[part.audio]


@settings(max_examples=60, deadline=None)
@given(rows=recordings(), wanted=st.sampled_from(LAYOUTS))
def test_packing_repeats(rows: list[Row], wanted: DataSettings) -> None:
    assert packed(rows, wanted, seed=1) == packed(list(rows), wanted, seed=1)


def test_five_utterances_that_batchalign_would_cut() -> None:
    """Its script joins five utterances, cuts the sound at 30 s and keeps the whole text."""
    rows = [row(i * 9000, i * 9000 + 8500, f"word{i}", joins=True) for i in range(5)]
    packing = packed(rows, replace(PLAIN, join="none"))
    assert [w.ids for w in packing.windows] == [
        ("a-0-8500", "a-9000-17500", "a-18000-26500"),
        ("a-27000-35500", "a-36000-44500"),
    ]
    assert heard(packing.windows[0]) == [(Path("a.wav"), 0, 26_700)]
    assert heard(packing.windows[1]) == [(Path("a.wav"), 26_800, 44_700)]
    assert not packing.left_out


def test_real_pauses_are_kept() -> None:
    packing = packed([row(1000, 2000, "um", joins=True), row(4000, 5000, "ball", joins=True)])
    (window,) = packing.windows
    assert heard(window) == [(Path("a.wav"), 800, 5200)]
    assert [(p.start, p.end) for p in window.pieces] == [(200, 1200), (3200, 4200)]
    assert window.speech_ms == 2000


def test_sound_that_nobody_transcribed_is_cut_out() -> None:
    rows = [row(1000, 2000, "um", joins=True), row(4000, 5000, "ball", joins=False)]
    (window,) = packed(rows, replace(PLAIN, trust_gaps=False)).windows
    assert sorted(heard(window)) == [(Path("a.wav"), 800, 2200), (Path("a.wav"), 3800, 5200)]


def test_a_noise_row_that_does_not_join_cuts_too() -> None:
    rows = [row(0, 1000, joins=True), row(1200, 2000, ""), row(2500, 3500, joins=True), row(3600, 4000, joins=True)]
    packing = packed(rows, replace(PLAIN, trust_gaps=False, join="none"))
    assert [w.ids for w in packing.windows] == [("a-0-1000",), ("a-2500-3500", "a-3600-4000")]
    assert packing.left_out == {EMPTY: 1}


def test_long_pauses_cut() -> None:
    rows = [row(1000, 2000), row(5000, 6000)]
    assert len(packed(rows, replace(PLAIN, join="none")).windows) == 1
    assert len(packed(rows, replace(PLAIN, join="none", gap_seconds=2.9)).windows) == 2


def test_only_chosen_speakers_are_heard() -> None:
    rows = [
        row(0, 2000, "um", speaker="CHI", joins=True),
        row(2500, 4000, "what", speaker="INV", joins=True),
        row(4100, 6000, "ball", speaker="CHI", joins=True),
        row(5500, 7000, "oh", speaker="INV", joins=True),
        row(8000, 9000, "the", speaker="CHI", joins=True),
        row(9500, 9900, "the", speaker="CHI", joins=True),
    ]
    packing = packed(rows, replace(PLAIN, speakers=("CHI",), join="none"))
    assert [w.ids for w in packing.windows] == [("a-0-2000",), ("a-8000-9000", "a-9500-9900")]
    assert heard(packing.windows[0]) == [(Path("a.wav"), 0, 2200)]
    assert packing.left_out == {NOT_CHOSEN: 2, OVERLAPPED: 1}
    assert packing.examples[OVERLAPPED] == "a-4100-6000"


def test_roles_can_be_chosen() -> None:
    rows = [row(0, 900, role="Target_Child"), row(1000, 1900, role="Mother", id="mother")]
    packing = packed(rows, replace(PLAIN, roles=("Target_Child",)))
    assert packing.examples == {NOT_CHOSEN: "mother"}
    assert heard(packing.windows[0]) == [(Path("a.wav"), 0, 1000)]


def test_overlapping_speakers_share_a_window_in_order_of_time() -> None:
    rows = [row(0, 20_000, "um the"), row(18_000, 25_000, "ball"), row(25_100, 31_000, "yes")]
    packing = packed(rows, replace(PLAIN, join="none"))
    assert [w.ids for w in packing.windows] == [("a-0-20000", "a-18000-25000"), ("a-25100-31000",)]


def test_a_run_of_overlaps_is_cut_where_it_overlaps_least() -> None:
    rows = [row(0, 15_000), row(14_000, 29_000), row(28_600, 40_000)]
    packing = packed(rows, replace(PLAIN, join="none"))
    assert [w.ids for w in packing.windows] == [("a-0-15000", "a-14000-29000"), ("a-28600-40000",)]
    deep = packed([row(0, 20_000), row(10_000, 29_000), row(25_000, 40_000), row(50_000, 51_000)])
    assert deep.left_out == {ENDLESS: 3}


def test_rows_that_cannot_be_used_are_counted() -> None:
    rows = [
        row(0, 31_000, "long"),
        row(40_000, 41_000, "well xxx ball"),
        row(45_000, 46_000, " ".join(["um"] * 500)),
        row(50_000, 51_000, "yyyy is a word"),
    ]
    packing = packed(rows)
    assert packing.left_out == {TOO_LONG: 1, NOT_TRANSCRIBED: 1, TOO_MANY_TOKENS: 1}
    assert [w.ids for w in packing.windows] == [("a-50000-51000",)]


def test_fluent_text() -> None:
    rows = [row(0, 900, "um ball", fluent="ball"), row(1000, 1900, "um", fluent=""), row(2000, 2900, "uh")]
    packing = packed(rows, replace(PLAIN, target="fluent"))
    assert [p.text for w in packing.windows for p in w.pieces] == ["ball", ""]
    assert packing.left_out == {NO_FLUENT: 1}


def test_best_fit_decreasing_fills_windows() -> None:
    lengths = [18_000, 12_000, 11_900, 9_000, 8_900, 8_000, 6_000, 6_000, 5_000, 4_000, 900]
    rows = [row(0, length, audio=f"{i}.wav") for i, length in enumerate(lengths)]
    packing = packed(rows, replace(PLAIN, layout="isolated"), seed=3)
    assert len(packing.windows) == 4
    for window in packing.windows:
        gaps = [b.at - (a.at + a.end - a.start) for a, b in zip(window.parts, window.parts[1:], strict=False)]
        assert all(100 <= gap <= 600 for gap in gaps)
    assert {w.ids for w in packed(rows, replace(PLAIN, layout="isolated"), seed=4).windows} != {
        w.ids for w in packing.windows
    }


def test_a_window_holds_no_more_tokens_than_the_budget() -> None:
    rows = [row(i * 1000, i * 1000 + 900, "um um um", audio=f"{i}.wav") for i in range(20)]
    for layout in ("isolated", "packed"):
        packing = pack(rows, replace(PLAIN, layout=layout), tokens=tokens, budget=12)
        assert all(len(w.pieces) <= 2 for w in packing.windows)


def test_languages_do_not_mix() -> None:
    rows = [row(0, 900, joins=True), row(1000, 1900, joins=True, language="spa"), row(2000, 2900, joins=True)]
    packing = packed(rows)
    assert sorted((w.language, len(w.pieces)) for w in packing.windows) == [("en", 2), ("es", 1)]


def test_noise_windows() -> None:
    speech = [row(i * 1000, i * 1000 + 900, audio=f"{i}.wav") for i in range(19)]
    noise = [row(0, 65_000, "", "n.wav")]
    wanted = DataSettings(layout="single", noise_only=0.5)
    packing = packed([*speech, *noise], wanted)
    silent = [w for w in packing.windows if not w.pieces]
    assert len(silent) == 19
    assert sorted(heard(w)[0][1:] for w in silent if w.parts) == [(0, 30_000), (30_000, 60_000), (60_000, 65_000)]
    assert all(0 < w.duration <= 30_000 for w in silent)
    few = packed([*speech, *noise, row(0, 900, "", "m.wav")], replace(wanted, noise_only=0.05))
    assert sum(not w.pieces for w in few.windows) == 1
    assert few.left_out[EMPTY] == 1
    dev = packed([*speech, *noise], wanted, training=False)
    assert sum(not w.pieces for w in dev.windows) == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layout": "loose"}, r"data\.layout 'loose'"),
        ({"window_seconds": 31.0}, r"data\.window_seconds 31\.0"),
        ({"noise_only": 1.0}, r"data\.noise_only"),
        ({"timestamps": 1.2}, r"data\.timestamps"),
        ({"noise_snr": (20.0, 5.0)}, r"data\.noise_snr"),
        ({"context_seconds": (10.0, 5.0)}, r"data\.context_seconds"),
        ({"context_seconds": (10.0,)}, r"data\.context_seconds"),
    ],
)
def test_settings_are_checked(change: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        DataSettings(**change)  # type: ignore[arg-type]


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "alone", "together"),
    [("child_read", (0.11, 0.13), 0.95), ("adult_read", (0.12, 0.15), 0.94), ("synthetic", (0.08, 0.10), 0.60)],
)
def test_real_recordings(shared_data: Path, name: str, alone: tuple[float, float], together: float) -> None:
    """The share of what the encoder hears that is speech: one utterance a window, and packed."""
    rows = list(read_rows(shared_data / name / "manifest.jsonl"))
    single, many = packed(rows, replace(PLAIN, layout="single")), packed(rows)
    assert alone[0] < single.speech_seconds() / (30 * len(single.windows)) < alone[1]
    assert many.speech_seconds() == pytest.approx(single.speech_seconds())
    assert many.speech_seconds() / (30 * len(many.windows)) > together
    assert packed(rows, replace(PLAIN, layout="isolated")).padding_share() < 0.03


def test_margins_give_way_to_words() -> None:
    (window,) = packed([row(5000, 34_900), row(80_000, 80_900)], replace(PLAIN, join="none")).windows[:1]
    assert heard(window) == [(Path("a.wav"), 5000, 34_900)]


def test_what_is_left_out_may_not_be_heard_elsewhere() -> None:
    """The second is left out for the first; so the third, in which it is heard, is left out too."""
    rows = [row(0, 2000, speaker="INV"), row(1500, 4000, speaker="CHI"), row(3500, 6000, speaker="CHI", id="third")]
    packing = packed([*rows, row(9000, 9900, speaker="CHI")], replace(PLAIN, speakers=("CHI",)))
    assert packing.left_out == {NOT_CHOSEN: 1, OVERLAPPED: 2}
    assert [w.ids for w in packing.windows] == [("a-9000-9900",)]
