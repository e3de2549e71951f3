"""Reading text, subtitles and manifests, and making pairs."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrlsa.errors import UsageError
from asrlsa.scoring.normalise import DEFAULT_STEPS, POLICIES, normalise
from asrlsa.scoring.numbers import LANGUAGES
from asrlsa.scoring.pairs import pair_up
from asrlsa.scoring.scores import score_pair
from asrlsa.scoring.sources import SourceError, read_manifest, read_sample


def test_plain_text_has_fillers_and_fragments_by_spelling(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("CHI: Um, I w- went [laughs] xxx home.\nInvestigator said so\nINV: Uh-huh!\n", encoding="utf-8")
    found = read_sample(path, "a")
    assert [w.verbatim for w in found.words] == [
        "Um",
        "I",
        "w-",
        "went",
        "home",
        "Investigator",
        "said",
        "so",
        "Uh-huh",
    ]
    assert [(e.kind, e.start) for e in found.events] == [("filled_pause", 0), ("fragment", 2)]
    assert [m.before for m in found.masks] == [4]
    assert [u.speaker for u in found.utterances] == ["CHI", "", "INV"]
    assert not found.coded


def test_types_that_text_can_not_show_are_not_scored(sample, tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("um I I want it\n", encoding="utf-8")
    found = score_pair(sample("&-um I [/] I want it ."), read_sample(path, "a"))
    assert found.spelt_only
    assert tuple(found.kinds["filled_pause"]) == (1, 1, 1)
    assert tuple(found.kinds["word_repetition"]) == (0, 0, 0)
    assert found.counts["verbatim"].errors == 0
    assert found.measures == []


@pytest.mark.parametrize("suffix", ["srt", "vtt"])
def test_subtitles(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    start = (
        "WEBVTT\n\n00:01.000 --> 00:02.500\n<v CHI>I ran"
        if suffix == "vtt"
        else ("1\n00:00:01,000 --> 00:00:02,500\nCHI: I <i>ran</i>")
    )
    path.write_text(f"{start}\nhome.\n\n2\n00:01:00.000 --> 00:01:01.000\nINV: oh\n", encoding="utf-8")
    found = read_sample(path, "a")
    assert [(u.speaker, u.start, u.end) for u in found.utterances] == [("CHI", 1000, 2500), ("INV", 60_000, 61_000)]
    assert [w.verbatim for w in found.words] == ["I", "ran", "home", "oh"]


def test_manifest_groups_by_recording_and_sorts_by_time(tmp_path):
    path = tmp_path / "m.jsonl"
    rows = [
        {"audio": "x/a.flac", "start": 5.0, "end": 6.0, "text": "second", "speaker": "A", "split": "test"},
        {
            "audio": "x/a.flac",
            "start": 1.0,
            "end": 2.0,
            "text_verbatim": "um <cutoff-fir> <hes-first> <unk>",
            "split": "test",
        },
        {"audio": "x/b.flac", "text": "other", "split": "train"},
    ]
    path.write_text("\n".join(map(json.dumps, rows)) + "\n", encoding="utf-8")
    found = {name: recording.read("eng") for name, recording in read_manifest(path).items()}
    assert sorted(found) == ["a", "b"]
    assert [w.verbatim for w in found["a"].words] == ["um", "fir-", "first", "second"]
    assert [m.before for m in found["a"].masks] == [3]
    assert [(u.start, u.end) for u in found["a"].utterances] == [(1000, 2000), (5000, 6000)]
    assert sorted(read_manifest(path, where={"split": "test"})) == ["a"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", r"m\.jsonl:2: not JSON"),
        ('{"text": "x"}', "needs a field 'audio'"),
        ('{"audio": "x.wav"}', "needs a text"),
        ('{"audio": "x.wav", "text": "x", "start": "soon"}', r"m\.jsonl:2: 'start' is 'soon'; give seconds"),
        ('{"audio": "x.wav", "text": "x", "end": NaN}', "'end' is nan"),
        ('{"audio": "x.wav", "text": "x", "start": -1}', "'start' is -1"),
    ],
)
def test_a_bad_manifest_line_is_named(tmp_path, line, message):
    path = tmp_path / "m.jsonl"
    path.write_text('{"audio": "a.wav", "text": "x"}\n' + line + "\n", encoding="utf-8")
    with pytest.raises(SourceError, match=message):
        read_manifest(path)


def test_recordings_with_one_stem_in_two_folders_stay_apart(tmp_path):
    path = tmp_path / "m.jsonl"
    rows = [{"audio": f"data/{who}/visit.wav", "text": who} for who in ("ann", "ben")]
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    assert {name: r.read("eng").words[0].raw for name, r in read_manifest(path).items()} == {
        "ann/visit": "ann",
        "ben/visit": "ben",
    }
    pairs, _ = pair_up(make(tmp_path / "h", ["ann/visit.txt", "ben/visit.txt"]), path)
    assert [pair.name for pair in pairs] == ["ann/visit", "ben/visit"]


def test_a_recording_in_two_manifests_of_a_folder_is_refused(tmp_path):
    for name in ("train", "test"):
        (tmp_path / f"{name}.jsonl").write_text('{"audio": "a.wav", "text": "x"}\n', encoding="utf-8")
    with pytest.raises(UsageError, match="score one manifest at a time"):
        pair_up(tmp_path, tmp_path / "test.jsonl")


def test_where_needs_a_manifest(tmp_path):
    folder = make(tmp_path, ["a.txt"])
    with pytest.raises(UsageError, match="neither side is one"):
        pair_up(folder, folder, where={"split": "test"})


def test_speakers_as_chat_writes_them_and_short_fractions(tmp_path):
    (tmp_path / "a.txt").write_text("*CHI:\thello\n[SPEAKER_00]: hi\nINV:\n", encoding="utf-8")
    assert [u.speaker for u in read_sample(tmp_path / "a.txt", "a").utterances] == ["CHI", "SPEAKER_00", "INV"]
    (tmp_path / "a.srt").write_text("1\n00:00:01.5 --> 00:00:02,25\nhi\n", encoding="utf-8")
    (cue,) = read_sample(tmp_path / "a.srt", "a").utterances
    assert (cue.start, cue.end) == (1500, 2250)


def test_bad_files_are_named(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"caf\xe9")
    with pytest.raises(SourceError, match="not UTF-8"):
        read_sample(tmp_path / "a.txt", "a")
    (tmp_path / "a.srt").write_text("hello\n", encoding="utf-8")
    with pytest.raises(SourceError, match="no subtitle"):
        read_sample(tmp_path / "a.srt", "a")
    with pytest.raises(UsageError, match="can be scored"):
        read_sample(tmp_path / "a.doc", "a")


def make(folder, names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("oh\n", encoding="utf-8")
    return folder


def test_pairs_by_stem_wherever_the_files_lie(tmp_path):
    hyp, ref = make(tmp_path / "h", ["a.txt", "b.txt"]), make(tmp_path / "r", ["deep/a.txt", "b.txt"])
    pairs, extra = pair_up(hyp, ref)
    assert [(p.name, p.hypothesis.path.name, p.reference.path.name) for p in pairs] == [
        ("a", "a.txt", "a.txt"),
        ("b", "b.txt", "b.txt"),
    ]
    assert not extra


def test_pairs_by_path_where_stems_repeat(tmp_path):
    names = ["x/a.txt", "y/a.txt"]
    pairs, _ = pair_up(make(tmp_path / "h", names), make(tmp_path / "r", names))
    assert [p.name for p in pairs] == ["x/a", "y/a"]


def test_converted_texts_are_named_after_their_recording(tmp_path):
    hyp, ref = make(tmp_path / "h", ["a.verbatim.txt", "b.clean.txt"]), make(tmp_path / "r", ["a.srt", "b.srt"])
    assert [p.name for p in pair_up(hyp, ref)[0]] == ["a", "b"]
    with pytest.raises(UsageError, match=r"a\.clean"):
        pair_up(make(hyp, ["a.clean.txt"]), ref)


def test_two_files_are_a_pair_whatever_their_names(tmp_path):
    make(tmp_path, ["one.txt", "two.txt"])
    pairs, _ = pair_up(tmp_path / "one.txt", tmp_path / "two.txt")
    assert [p.name for p in pairs] == ["two"]


def test_unpaired_files_are_refused_unless_allowed(tmp_path):
    hyp, ref = make(tmp_path / "h", ["a.txt", "c.txt"]), make(tmp_path / "r", ["a.txt", "b.txt"])
    with pytest.raises(UsageError, match=r"1 without a hypothesis \(b\); 1 without a reference \(c\)"):
        pair_up(hyp, ref)
    pairs, extra = pair_up(hyp, ref, allow_missing=True)
    assert [(p.name, p.hypothesis is None) for p in pairs] == [("a", False), ("b", True)]
    assert extra == ["c"]


def test_folders_that_share_nothing_are_refused_even_so(tmp_path):
    with pytest.raises(UsageError, match="has the name of a file"):
        pair_up(make(tmp_path / "h", ["a.txt"]), make(tmp_path / "r", ["b.txt", "c.txt"]), allow_missing=True)


def test_chat_goes_before_other_formats_in_a_folder(tmp_path, chat):
    for side in ("h", "r"):
        make(tmp_path / side, ["notes.txt"])
        (tmp_path / side / "a.cha").write_text(chat("oh ."), encoding="utf-8")
    pairs, _ = pair_up(tmp_path / "h", tmp_path / "r")
    assert [p.name for p in pairs] == ["a"]


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("1995", "nineteen ninety five"), ("2005", "two thousand and five"),
        ("1,234", "one thousand two hundred and thirty four"),
        ("3rd", "third"), ("90s", "nineties"), ("2.5", "two point five"), ("$2.50", "two dollars and fifty cents"),
        ("£1", "one pound"), ("5:30", "five thirty"), ("12:00", "twelve o'clock"), ("5:05", "five oh five"),
        ("50%", "fifty percent"), ("007", "zero zero seven"), ("O’Brien’s", "o'brien's"), ("well-known", "well known"),
        ("uh-huh", "uhhuh"), ("Mm-hmm.", "mhm"), ("uh-oh", "uhoh"), ("—", ""), ("b-", "b"), ("can’t", "can not"),
        ("colour", "color"), ("four", "four"), ("realised", "realized"), ("theatre", "theater"),
        ("dunno", "do not know"), ("dog's", "dog's"), ("offence", "offense"), ("erm", "um"), ("er", "uh"),
        ("mmm", "hm"), ("\u200bum\u00ad", "um"),
    ],
)  # fmt: skip
def test_normalised_words(word, expected):
    assert " ".join(normalise(word, POLICIES["verbatim"].steps)) == expected


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_of_the_table_can_say_its_figures(language):
    for figure in ("0", "7", "21", "105", "1000", "2.5"):
        assert not any(c.isdigit() for word in normalise(figure, DEFAULT_STEPS, language) for c in word)


@given(st.text(st.sampled_from("0123456789.,:$€£%°+&-'abndrhst½²٣"), max_size=9), st.sampled_from([*LANGUAGES, "zho"]))
def test_any_word_can_be_normalised(word, language):
    assert all(form and form.split() == [form] for form in normalise(word, DEFAULT_STEPS, language))


@pytest.mark.parametrize(
    ("language", "word", "expected"),
    [("deu", "er", "er"), ("deu", "ähm", "ähm"), ("deu", "21", "einundzwanzig"), ("spa", "ehh", "eh"),
     ("fra", "heu", "euh"), ("dan", "21", "enogtyve"), ("ces", "3", "tři"),
     ("por", "um", "um"), ("deu", "don't", "don't"), ("zho", "21", "21")],
)  # fmt: skip
def test_languages_have_their_own_tables(language, word, expected):
    assert " ".join(normalise(word, POLICIES["verbatim"].steps, language)) == expected
