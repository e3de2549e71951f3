"""Fluent recordings made disfluent: tones stand for words, their times are given."""

import itertools
import json
import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from asrlsa.audio import SAMPLE_RATE, SAMPLES_PER_MS, load
from asrlsa.chat.check import check_chat
from asrlsa.corpora.targets import coded_target
from asrlsa.errors import ConfigError, ManifestError, OutputError
from asrlsa.language.tables import language_table
from asrlsa.manifest import Row, read_rows
from asrlsa.speech.times import Phone, WordAligner
from asrlsa.synthesis import splice_corpus, splicing
from asrlsa.synthesis.corpus import write_flac
from asrlsa.synthesis.cuts import noise, quiet_place, quietest
from asrlsa.synthesis.held_sounds import steady
from asrlsa.synthesis.languages import load_language
from asrlsa.synthesis.splice_corpus import SpliceSettings, dev_speakers, make_spliced, train_rows
from asrlsa.synthesis.splicing import Clip, Splicer, heard, said, word_spans
from asrlsa.synthesis.spoken import main_tier
from asrlsa.types import Span

JOIN = 5 * SAMPLES_PER_MS
WORD, GAP, EDGE = 400, 60, 400  # ms
SENTENCES = (
    "the farmer washed the dirty carrots",
    "mary gave I seven big tomatoes",
    "peter likes to draw a monkey",
    "we found seven shells",
    "five two two nine",
    "no no please stop",
)


def tones(count):
    chance = np.random.default_rng(count)
    samples = 1e-3 * chance.standard_normal((2 * EDGE + count * (WORD + GAP)) * SAMPLES_PER_MS)
    spans = []
    for i in range(count):
        start = EDGE + i * (WORD + GAP)
        time = np.arange(WORD * SAMPLES_PER_MS) / SAMPLE_RATE
        samples[start * SAMPLES_PER_MS :][: len(time)] += 0.2 * np.sin(2 * np.pi * (200 + 50 * i) * time)
        spans.append(Span(start, start + WORD))
    return samples.astype(np.float32), tuple(spans)


def clip_of(text, name="a"):
    words = tuple(text.split())
    samples, spans = tones(len(words))
    row = Row(name, Path(f"{name}.flac"), 0, len(samples) // SAMPLES_PER_MS, text)
    return Clip(row, words, spans, samples, phones_of(spans))


def phones_of(spans):
    """The first half of each word is a nasal, the other half a vowel."""
    middles = [(span.start + span.end) // 2 for span in spans]
    halves = [(Span(s.start, m), Span(m, s.end)) for s, m in zip(spans, middles, strict=True)]
    return tuple(Phone(name, span) for pair in halves for name, span in zip(("M", "AH"), pair, strict=True))


CLIPS = [clip_of(text, str(i)) for i, text in enumerate(SENTENCES)]


def splicer(clip, seed, varied=True):
    return Splicer(clip, CLIPS, language_table("eng"), load_language("eng"), random.Random(seed), varied)


def draws(seeds=60, weights=splicing.VARIED_KINDS):
    for clip in CLIPS:
        for seed in range(seeds):
            made = splicer(clip, seed).insert(dict(weights))
            if made is not None:
                yield clip, made


@pytest.mark.parametrize("kind", splicing.VARIED_KINDS)
def test_the_sound_is_as_long_as_what_is_in_it(kind):
    found = 0
    for clip, made in draws(weights={kind: 1.0}):
        found += 1
        parts = [n for p in made.parts for n in (len(p.samples), p.gap * SAMPLES_PER_MS) if n]
        if min(parts) < JOIN:
            continue  # a join is no longer than what it joins
        whole = heard(clip, [made], random.Random(0))
        assert len(whole) == len(clip.samples) + sum(parts) - JOIN * (len(parts) + 1)
        assert np.abs(whole).max() < 1
        assert (whole[: made.at - JOIN] == clip.samples[: made.at - JOIN]).all()
    assert found > 20


@pytest.mark.parametrize("kind", splicing.VARIED_KINDS)
def test_chat_reads_as_the_kind_that_was_put_in_and_means_the_prompt(kind):
    repeated = {"word": "word_repetition", "phrase": "phrase_repetition"}
    events = repeated | {"sound": "fragment", "broken": "fragment", "held": "prolongation"}
    for clip, made in draws(weights={kind: 1.0}):
        target = coded_target(main_tier(said(clip, [made])))
        assert target.fluent == " ".join(clip.words)
        assert target.events[events.get(kind, kind)] >= 1
        assert {key for key, n in target.events.items() if n} <= {events.get(kind, kind), "pause"}
        assert target.sentence[0].isupper()
        assert target.sentence[-1] == "."


def test_what_is_written():
    clip = CLIPS[0]
    written = {made.kind: main_tier(said(clip, [made])) for c, made in draws(150) if c is clip}
    assert set(written) == set(splicing.VARIED_KINDS)
    assert "[/]" in written["word"]
    assert "<" in written["phrase"]
    assert "&+" in written["sound"]
    assert "[//]" in written["retracing"]
    assert ": " in written["held"]
    for _, made in draws(weights={"pause": 1.0}):
        text = main_tier(said(clip_of("the farmer washed the dirty carrots"), [made]))
        assert ("(.)" in text) == (made.parts[0].gap + GAP < 1000)


def test_words_that_may_be_said_twice_are_not_repeated():
    for clip, made in draws(weights={"word": 0.5, "phrase": 0.5}):
        words = {piece.text for part in made.parts for piece in part.pieces}
        assert not words & {"no", "please", "stop", "two", "five", "nine", "seven", "big"}, clip.words
    assert all(splicer(CLIPS[4], seed).insert({"word": 0.5, "phrase": 0.5}) is None for seed in range(20))


def test_repetitions_are_those_of_function_words_above_all():
    clip = clip_of("mary gave I seven tomatoes to peter b")
    words = Counter(splicer(clip, seed).insert({"word": 1.0}).parts[0].pieces[0].text for seed in range(300))
    assert "b" not in words  # a letter that is spelled
    assert words["I"] > 30
    assert 0.5 < (words["I"] + words["to"]) / words.total() < 0.9


def test_without_variety_nothing_is_drawn_out_and_no_single_letter_is_repeated():
    kinds = Counter()
    for seed in range(300):
        for clip in CLIPS:
            for made in splicer(clip, seed, False).inserts():
                kinds[made.kind] += 1
                if made.kind == "word":
                    assert made.parts[0].pieces[0].text not in ("I", "a")
                    assert made.parts[0].gap <= 350
                    assert 0.9 < len(made.parts[0].samples) / SAMPLES_PER_MS / WORD < 1.2
    assert set(kinds) == set(splicing.KINDS)


def test_a_word_that_is_said_again_differs_and_often_follows_at_once():
    gaps = []
    for _, made in draws(weights={"word": 1.0}):
        part = made.parts[0]
        gaps.append(part.gap)
        assert 0.6 < len(part.samples) / SAMPLES_PER_MS / WORD < 1.35  # a cut may lie 25 ms beside the word
    assert 0.3 < np.mean(np.array(gaps) <= 50) < 0.7
    assert max(gaps) <= 500


def test_what_is_trimmed_keeps_its_words_and_sounds():
    clip = CLIPS[0]
    short = clip.trimmed(150, 250)
    assert len(short.samples) == (150 + clip.spans[-1].end - clip.spans[0].start + 250) * SAMPLES_PER_MS
    for a, b in zip(clip.spans, short.spans, strict=True):
        assert (
            short.samples[b.start * SAMPLES_PER_MS : b.end * SAMPLES_PER_MS]
            == clip.samples[a.start * SAMPLES_PER_MS : a.end * SAMPLES_PER_MS]
        ).all()
    assert [phone.name for phone in short.phones] == [phone.name for phone in clip.phones]
    assert short.phones[0].span == Span(150, 350)
    whole = clip.trimmed(10_000, 10_000)
    assert len(whole.samples) == len(clip.samples)
    assert whole.spans == clip.spans


def test_fragments_are_the_first_letters_of_words_with_a_consonant():
    for clip, made in draws(weights={"sound": 1.0}):
        word, piece = clip.words[made.before], made.parts[0].pieces[0]
        assert word.startswith(piece.text)
        assert len(word) >= 3
        assert word[0] not in "aeiou"
        assert 1 <= len(made.parts) <= 3
        for part in made.parts:
            # The cut may lie 25 ms before the word; the speed changes by up to 6 %.
            assert 60 <= len(part.samples) / SAMPLES_PER_MS <= 310
            assert 30 <= part.gap <= 300
            assert abs(part.samples[-1]) < 0.02


def test_two_disfluencies_never_meet():
    clip, twice = clip_of("the farmer washed the dirty carrots slowly in water"), 0
    for seed in range(300):
        made = splicer(clip, seed).inserts()
        twice += len(made) == 2
        assert len(made) <= 2
        assert [one.before for one in made] == sorted(one.before for one in made)
        assert coded_target(main_tier(said(clip, made))).fluent == " ".join(clip.words)
    assert 10 < twice < 60


def test_noise_is_as_loud_as_the_quietest_stretch_and_never_silent():
    floor = quietest(CLIPS[0].samples, 4800)
    long = noise(floor, 40000, random.Random(1))
    assert len(long) == 40000
    assert np.sqrt(np.mean(long**2)) == pytest.approx(1e-3, rel=0.2)
    silent = noise(np.zeros(4800, np.float32), 8000, random.Random(1))
    assert 0 < np.abs(silent).max() < 1e-3
    assert len(noise(floor, 0, random.Random(1))) == 0


def test_a_cut_moves_to_the_quietest_place_near_by():
    samples = np.ones(8000, np.float32)
    samples[4200:4300] = 0
    assert abs(quiet_place(samples, 4000) - 4250) < 50
    assert abs(quiet_place(samples, 2000) - 2000) <= 400
    assert quiet_place(samples[:10], 5) == 5


class Aligner:
    """Knows the times of the tones."""

    def __init__(self, language="eng"):
        self.available = language == "eng"

    def refine(self, audio, words, offset_ms):
        _, spans = tones(len(words))
        return [replace(word, start=s.start, end=s.end) for word, s in zip(words, spans, strict=True)]

    def phones(self, audio, words):
        phones = phones_of(tones(len(words))[1])
        return [phones[i : i + 2] for i in range(0, len(phones), 2)]


def test_times_are_refused_where_they_can_not_be_right():
    words = SENTENCES[0].split()
    samples, spans = tones(len(words))
    assert word_spans(samples, words, Aligner()) == spans
    assert word_spans(samples[::-1][: len(samples) // 3], words, Aligner()) == "short_word"
    assert word_spans(np.zeros(16000, np.float32), words, Aligner()) == "noise"
    late = np.concatenate([np.zeros(3 * SAMPLE_RATE, np.float32), samples])
    assert word_spans(late, words, Aligner()) in ("short_word", "place")


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.setattr(splice_corpus, "WordAligner", Aligner)
    folder = tmp_path / "data"
    rows = []
    for n in range(9):
        for i, text in enumerate(SENTENCES):
            samples, _ = tones(len(text.split()))
            write_flac(folder / f"{n}{i}.flac", samples)
            row = {"audio": f"{n}{i}.flac", "start": 0, "end": len(samples) / SAMPLE_RATE, "age": 6}
            rows.append(row | {"text_verbatim": text.lower(), "speaker": f"s{n}", "split": "train" if n else "test"})
    (folder / "manifest.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def files_of(folder):
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_folder_is_made_of_train_alone_and_the_same_each_time(data, tmp_path):
    out = tmp_path / "out"
    made = make_spliced(data, out, SpliceSettings())
    rows = [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]
    by_split = {split: {row["speaker"] for row in rows if row["split"] == split} for split in ("train", "dev")}
    assert by_split["train"] | by_split["dev"] == {f"s{n}" for n in range(1, 9)}
    assert len(by_split["dev"]) == 1
    assert Counter(row["split"] for row in rows) == {"train": 3 * 7 * 6, "dev": 6}
    for row in rows:
        prompt = coded_target(row["chat"]).fluent
        assert prompt.lower() in {text.lower() for text in SENTENCES}
        assert row["fluent"].rstrip(".").lower() == prompt.lower()
        assert " i " not in row["text"]
    for path in (out / "gold").iterdir():
        assert check_chat(path.read_text(), path.stem) == []
    for path in (out / "audio").iterdir():
        whole = load(path)
        assert len(whole) <= 29 * SAMPLE_RATE
        assert all(row["end"] <= len(whole) / SAMPLE_RATE for row in rows if row["audio"].endswith(path.name))
    train, fluent = list(read_rows(out / "train.jsonl")), list(read_rows(out / "fluent.jsonl"))
    assert {row.speaker for row in train} == {row.speaker for row in fluent} == by_split["train"]
    assert {row.audio.parent for row in fluent} == {data}
    assert all(row.text == row.fluent for row in fluent)
    assert 0.25 < sum(row.text != row.fluent for row in train) / len(train) < 0.6
    assert made["clips"] == {"rows": 48, "skipped": {}, "used": 48, "fluent": 42}
    assert json.loads((out / "stats.json").read_text()) == made
    make_spliced(data, tmp_path / "again", SpliceSettings())
    assert files_of(out) == files_of(tmp_path / "again")


def test_a_finished_folder_stays_as_it_is_and_an_unfinished_one_is_made_again(data, tmp_path):
    out = tmp_path / "out"
    make_spliced(data, out, SpliceSettings(copies=1))
    before = files_of(out)
    assert make_spliced(data, out, SpliceSettings(copies=1)) is None
    with pytest.raises(ConfigError, match=r"other settings \(copies 1\)"):
        make_spliced(data, out, SpliceSettings(copies=2))
    (out / "stats.json").unlink()
    assert make_spliced(data, out, SpliceSettings(copies=1)) is not None
    assert files_of(out) == before
    with pytest.raises(OutputError, match="is not empty"):
        make_spliced(data, data, SpliceSettings())


def test_rows_without_a_split_are_refused(data):
    path = data / "manifest.jsonl"
    path.write_text(path.read_text().replace(', "split": "test"', "", 1))
    with pytest.raises(ManifestError, match=r"manifest\.jsonl:1: 'split' is missing"):
        train_rows(path)
    path.write_text('{"audio": "a.flac", "start": 0, "end": 1, "text": "we go", "split": "test"}\n')
    with pytest.raises(ManifestError, match="no row of the split train"):
        train_rows(path)


def test_settings_that_are_not_possible_are_refused():
    with pytest.raises(ConfigError, match="the copies must be"):
        SpliceSettings(copies=0)
    with pytest.raises(ConfigError, match="no forced aligner"):
        SpliceSettings(language="deu")


def test_one_speaker_in_eight_is_held_out():
    names = [f"{n:04d}" for n in range(32)]
    assert len(dev_speakers(names)) == 4
    assert dev_speakers(names) == dev_speakers(reversed(names))
    assert dev_speakers(["a"]) == frozenset()


@pytest.mark.shared
def test_real_clips(shared_data, tmp_path):
    folder = shared_data / "child_read"
    if not (folder / "manifest.jsonl").exists():
        pytest.skip(f"there is no {folder}")
    rows = [json.loads(line) for line in (folder / "manifest.jsonl").read_text(encoding="utf-8").splitlines()]
    some = [row for row in rows if row["split"] == "train"][:3] + [row for row in rows if row["split"] == "test"][:1]
    data = tmp_path / "data"
    data.mkdir()
    lines = [json.dumps(row | {"audio": str(folder / row["audio"])}) + "\n" for row in some]
    (data / "manifest.jsonl").write_text("".join(lines))
    made = make_spliced(data, tmp_path / "out", SpliceSettings())
    assert made["clips"]["rows"] == 3
    assert made["clips"]["used"] >= 2
    for path in (tmp_path / "out" / "gold").iterdir():
        assert check_chat(path.read_text(), path.stem) == []


def test_only_long_and_voiced_sounds_can_be_held():
    noise_ = np.random.default_rng(0).standard_normal(16000).astype(np.float32)
    assert steady(noise_, Phone("AH", Span(0, 500))) is None
    vowel = next(phone for phone in CLIPS[0].phones if phone.name == "AH")
    assert steady(CLIPS[0].samples, vowel) is not None
    short = Phone("AH", Span(vowel.span.start, vowel.span.start + 60))
    assert steady(CLIPS[0].samples, short) is None


def test_a_drawn_out_vowel_is_no_filler_and_its_text_is_the_word():
    for clip, made in draws(weights={"held": 1.0}):
        target = coded_target(main_tier(said(clip, [made])))
        assert target.verbatim.lower() == " ".join(clip.words).lower()
        assert len(made.parts[0].samples) >= 140 * SAMPLES_PER_MS
        # It goes on inside the word, before its vowel ends.
        before = clip.spans[made.before - 1]
        assert before.start < made.at / SAMPLES_PER_MS < before.end


@pytest.mark.parametrize(("pitch", "tempo"), [(0.75, 1.2), (1.08, 1.0), (0.7, 1.3)])
def test_another_voice_is_lower_and_its_words_stay_where_they_are_heard(pitch, tempo):
    clip = CLIPS[0]
    changed = clip.voiced(pitch, tempo)
    assert clip.voiced(1, 1) is clip
    assert changed.words == clip.words
    assert len(changed.samples) == pytest.approx(len(clip.samples) / tempo, rel=0.02)
    for i, (old, new) in enumerate(zip(clip.spans, changed.spans, strict=True)):
        assert new.duration == pytest.approx(old.duration / tempo, abs=2)
        part = changed.samples[new.start * SAMPLES_PER_MS : new.end * SAMPLES_PER_MS]
        tone = np.argmax(np.abs(np.fft.rfft(part))) * SAMPLE_RATE / len(part)
        assert tone == pytest.approx((200 + 50 * i) * pitch, rel=0.06)


def test_varied_recordings_have_other_voices_and_less_silence(data, tmp_path):
    lengths = {}
    for varied in (False, True):
        made = make_spliced(data, tmp_path / str(varied), SpliceSettings(varied=varied))
        assert made["settings"]["varied"] is varied
        lines = (tmp_path / str(varied) / "manifest.jsonl").read_text().splitlines()
        rows = [json.loads(line) for line in lines]
        assert any(": " in row["chat"] for row in rows) is varied
        lengths[varied] = [row["end"] - row["start"] for row in rows if not row["events"]]
        assert Counter(row["split"] for row in rows)["dev"] == (12 if varied else 6)
    assert min(lengths[True]) < min(lengths[False])  # adult voices are faster


def test_a_recording_has_one_voice_and_no_clip_twice(data, tmp_path):
    out = tmp_path / "out"
    make_spliced(data, out, SpliceSettings(varied=True))
    recordings = {}
    for line in (out / "manifest.jsonl").read_text().splitlines():
        row = json.loads(line)
        recordings.setdefault(row["audio"], []).append(row["source"])
    assert all(len(set(sources)) == len(sources) for sources in recordings.values())


@pytest.mark.shared
def test_phones_of_real_clips_lie_in_their_words(shared_data):
    folder = shared_data / "child_read"
    if not (folder / "manifest.jsonl").exists():
        pytest.skip(f"there is no {folder}")
    aligner, found = WordAligner("eng"), 0
    for row in train_rows(folder / "manifest.jsonl")[:6]:
        samples = load(row.audio)
        words = row.text.split()
        spans = word_spans(samples, words, aligner)
        phones = aligner.phones(samples, words)
        if isinstance(spans, str) or phones is None:
            continue
        found += 1
        assert len(phones) == len(words)
        for span, word in zip(spans, phones, strict=True):
            assert word[0].span.start - 60 <= span.start < span.end <= word[-1].span.end + 60
            assert all(a.span.end == b.span.start for a, b in itertools.pairwise(word))
    assert found >= 3
    assert aligner.phones(np.zeros(3200, np.float32), ["some", "very", "long", "sentence"]) is None
    assert WordAligner("spa").phones(samples, words) is None
