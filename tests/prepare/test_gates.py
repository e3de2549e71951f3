"""Every gate: what it stops, what it lets through, and that each loss is listed with file and line."""

import json

import numpy as np
import pytest
from corpus_files import all_rows, read_lines, reasons, tone, write_chat, write_lines, write_wav

from asrlsa.corpora.ages import AgeRange
from asrlsa.corpora.gates import REASONS
from asrlsa.errors import ConfigError, UsageError
from asrlsa.manifest import read_rows
from asrlsa.prepare import PrepareSettings, prepare

FIRST = 8  # line of the first utterance of a CHAT file of corpus_files
GOOD = "CHI: this one is fine . @0_2000"


@pytest.fixture
def corpus(tmp_path):
    """Write one transcript with 40 s of sound, prepare it, return the rows and the reasons by line of utterance."""

    def run(utterances, media="talk", seconds=40.0, split="file", **choices):
        folder = tmp_path / "corpus"
        write_wav(folder / "talk.wav", tone(seconds))
        write_chat(folder / "talk.cha", utterances, media=media)
        settings = PrepareSettings(split=split, noise=0.0, **choices)
        report = prepare(folder, tmp_path / "data", settings)
        lost = {int(line) - FIRST: why for line, why in reasons(tmp_path / "data").items()}
        assert sum(report.dropped.values()) == len(lost)
        assert report.utterances == len(lost) + sum(part.rows for part in report.parts.values())
        return all_rows(tmp_path / "data"), lost

    return run


@pytest.mark.parametrize(
    ("utterance", "reason"),
    [
        ("CHI: no bullet here .", "no times"),
        ("CHI: turned round . @5000_3000", "times reversed"),
        ("CHI: no length . @5000_5000", "times reversed"),
        ("CHI: runs over the end . @39000_41000", "beyond the audio"),
        ("CHI: behind the end . @50000_51000", "beyond the audio"),
        ("CHI: I want xxx . @3000_5000", "unintelligible"),
        ("CHI: www . @3000_5000", "unintelligible"),
        ("CHI: &=laughs . @3000_5000", "no words"),
        ("CHI: [- spa] hola amigo . @3000_5000", "language not wanted"),
        ("CHI: hola@s amigo@s okay . @3000_5000", "language not wanted"),
        ("CHI: far too long for the model . @3000_33001", "too long"),
        ("CHI: one two three four five six seven eight nine . @3000_4000", "impossible rate"),
        ("CHI: slow . @3000_25000", "impossible rate"),
        ("CHI: um . @3000_3050", "impossible rate"),
        ("CHI: this one is fine . @0_2000", "duplicate"),
        ("CHI: speaks on top . @1000_3000", "overlap"),
    ],
)
def test_each_gate_stops_what_it_is_for(corpus, utterance, reason):
    rows, lost = corpus([GOOD, utterance, "CHI: alone . @36000_38000"], languages=("eng",))
    assert reason in REASONS
    if reason == "overlap":  # spoils both
        assert (lost, [row["text"] for row in rows]) == ({0: reason, 1: reason}, ["Alone."])
    else:
        assert (lost, [row["text"] for row in rows]) == ({1: reason}, ["This one is fine.", "Alone."])


@pytest.mark.parametrize(
    "utterance",
    [
        "CHI: ends with the recording . @38000_40000",
        "CHI: ends a frame behind it . @38000_40250",
        "CHI: exactly thirty seconds of a child who says something . @3000_33000",
        "CHI: one two three four five six seven eight . @3000_4000",
        "CHI: um . @3000_3080",
        "CHI: touches the one before . @1700_4000",
        "CHI: this one is fine . @3000_5000",
        "INV: hola@s okay then . @3000_5000",
    ],
)
def test_the_gates_let_through_what_is_just_inside(corpus, utterance):
    rows, lost = corpus([GOOD, utterance], slowest=0.1, languages=("eng",))
    assert lost == {}
    assert len(rows) == 2
    assert all(row["end"] <= 40 for row in rows)


def test_an_overlap_spoils_both_but_laughter_none(corpus):
    rows, lost = corpus(
        [
            "CHI: one two three . @0_2000",
            "INV: at the same time . @1000_3000",
            "CHI: alone . @4000_6000",
            "INV: &=laughs . @4000_6000",
        ]
    )
    assert [row["text"] for row in rows] == ["Alone."]
    assert lost == {0: "overlap", 1: "overlap", 3: "no words"}


def test_missing_and_damaged_media(corpus, tmp_path):
    write_chat(tmp_path / "corpus" / "other.cha", [GOOD], media="gone")
    (tmp_path / "corpus" / "bad.wav").write_bytes(b"RIFF\0\0\0\0WAVEnothing")
    write_chat(tmp_path / "corpus" / "bad.cha", [GOOD])
    write_wav(tmp_path / "corpus" / "talk.wav", tone(3))
    write_chat(tmp_path / "corpus" / "talk.cha", [GOOD])
    prepare(tmp_path / "corpus", tmp_path / "data")
    dropped = {row["source"].rsplit("/", 1)[1]: row for row in read_lines(tmp_path / "data" / "dropped.jsonl")}
    assert dropped["other.cha:8"]["reason"] == "media missing"
    assert "gone" in dropped["other.cha:8"]["detail"]
    assert dropped["bad.cha:8"]["reason"] == "media damaged"


def test_a_row_without_text(tmp_path):
    write_wav(tmp_path / "c" / "a.wav", tone(2))
    rows = [
        {"audio": "a.wav", "start": 0, "end": 1, "text": "fine"},
        {"audio": "a.wav", "start": 1, "end": 2, "text": None},
    ]
    prepare(write_lines(tmp_path / "c" / "m.jsonl", rows), tmp_path / "d")
    assert reasons(tmp_path / "d") == {"2": "no text"}


def test_who_is_chosen(corpus):
    said = [GOOD, "INV: and what then ? @3000_5000", "CHI: more of it . @6000_8000"]
    rows, lost = corpus(said, speakers=("CHI",))
    assert [row["role"] for row in rows] == ["Target_Child"] * 2
    assert lost == {1: "not chosen"}
    # The investigator between the two is heard: they do not join.
    assert [row.get("joins", False) for row in rows] == [False, False]
    rows, _ = corpus(said, roles=("Investigator",))
    assert [row["speaker"] for row in rows] == ["talk/INV"]
    rows, _ = corpus(said, ages=AgeRange.of("4;0-4;6"))
    assert len(rows) == 2
    with pytest.raises(UsageError, match="nothing is left of 3 utterances"):
        corpus(said, ages=AgeRange.of("5-6"))


def test_a_speaker_who_is_not_chosen_still_overlaps(corpus):
    rows, lost = corpus(["CHI: one two . @0_2000", "INV: hm . @500_1500", "CHI: alone . @4000_6000"], speakers=("CHI",))
    assert [row["text"] for row in rows] == ["Alone."]
    assert lost == {0: "overlap", 1: "not chosen"}


def test_rows_say_whether_they_join(corpus):
    rows, _ = corpus(
        [
            "CHI: one . @0_1000",
            "CHI: two . @1500_2500",
            "CHI: xxx . @3000_4000",
            "CHI: three . @5000_6000",
            "CHI: &=laughs . @6200_6900",
            "CHI: four . @7000_8000",
            "CHI: without times .",
            "CHI: five . @9000_10000",
            "CHI: long xxx . @11000_20000",
            "CHI: six . @21000_22000",
        ]
    )
    assert [row.get("joins", False) for row in rows] == [False, True, False, True, False, False]


def test_the_fault_of_batchalign_is_not_there(corpus, tmp_path):
    """Its script for training cuts sound at 30 s or at the end of the file and keeps the whole text beside it."""
    long = " ".join(["word"] * 60)
    rows, lost = corpus([GOOD, f"CHI: {long} . @3000_36000", f"CHI: {long} . @37000_45000"], cut=True)
    assert lost == {1: "too long", 2: "beyond the audio"}
    assert [row["text"] for row in rows] == ["This one is fine."]
    for row in read_rows(tmp_path / "data" / "train.jsonl"):
        assert len(np.frombuffer(row.audio.read_bytes()[44:], "<i2")) == row.duration * 16


def test_a_clip_that_would_be_short_is_not_kept(tmp_path):
    """The header promises 10 s, the file holds 5: the text of the second half has no sound."""
    path = write_wav(tmp_path / "c" / "talk.wav", tone(10))
    import av

    flac = tmp_path / "c" / "talk.flac"
    with av.open(str(path)) as source, av.open(str(flac), "w") as target:
        stream = target.add_stream("flac", rate=16_000, layout="mono")
        for frame in source.decode(audio=0):
            target.mux(stream.encode(frame))
        target.mux(stream.encode(None))
    path.unlink()
    data = flac.read_bytes()
    flac.write_bytes(data[: len(data) // 2])
    write_chat(tmp_path / "c" / "talk.cha", ["CHI: first half . @0_2000", "CHI: second half . @8000_9500"])
    prepare(tmp_path / "c", tmp_path / "d", PrepareSettings(cut=True, noise=0.0))
    assert [row["text"] for row in all_rows(tmp_path / "d")] == ["First half."]
    assert reasons(tmp_path / "d") == {"9": "beyond the audio"}


@pytest.mark.parametrize(
    ("text", "style", "expected", "fluent"),
    [
        ("verbatim", "cased", "B- b- ball, um, I I go.", None),
        ("verbatim", "plain", "b- b- ball um I I go", None),
        ("fluent", "cased", "Ball, I go.", None),
        ("both", "cased", "B- b- ball, um, I I go.", "Ball, I go."),
        ("both", "plain", "b- b- ball um I I go", "ball I go"),
    ],
)
def test_texts(corpus, text, style, expected, fluent):
    rows, _ = corpus(["CHI: ↫b-b↫ball , &-um , I [/] I go . @0_3000"], text=text, style=style)
    assert [(row["text"], row.get("fluent")) for row in rows] == [(expected, fluent)]


def test_nothing_meant_is_lost_from_fluent_data_only(corpus):
    rows, lost = corpus([GOOD, "CHI: &-um . @3000_4000"], text="fluent")
    assert lost == {1: "no words"}
    rows, lost = corpus([GOOD, "CHI: &-um . @3000_4000"], text="both")
    assert lost == {}
    assert rows[1]["fluent"] == ""


def test_losses_are_listed_without_text(corpus, tmp_path):
    corpus([GOOD, "CHI: secretword xxx . @3000_5000", "CHI: secretword . @9000_6000"])
    text = (tmp_path / "data" / "dropped.jsonl").read_text()
    assert "secretword" not in text
    assert [json.loads(line)["start"] for line in text.splitlines()] == [3.0, 9.0]


@pytest.mark.parametrize(
    ("choice", "word"),
    [
        ({"format": "xls"}, "format"),
        ({"text": "clean"}, "text"),
        ({"style": "upper"}, "style"),
        ({"split": "random"}, "split"),
        ({"language": "en"}, "ISO 639-3"),
        ({"longest": 31.0}, "longest"),
        ({"noise": -0.1}, "noise"),
        ({"dev": 0.5, "test": 0.5}, "leave nothing"),
        ({"slowest": 9.0}, "slowest"),
    ],
)
def test_settings_are_checked(choice, word):
    with pytest.raises(ConfigError, match=word):
        PrepareSettings(**choice)
