"""Sentences, disfluencies and plans: pure text, no sound."""

import random
from collections import Counter, defaultdict

import pytest

from asrlsa.chat.check import check_chat
from asrlsa.corpora.targets import coded_target
from asrlsa.disfluency import read_main_tier
from asrlsa.errors import ConfigError
from asrlsa.synthesis.corpus import gold_of, statistics_of, utterances_of
from asrlsa.synthesis.disfluencies import speak, speak_fluently
from asrlsa.synthesis.languages import SPLITS, languages, load_language
from asrlsa.synthesis.phonemes import fragment_phonemes, stretches
from asrlsa.synthesis.populations import KINDS, MOST_COPIES, POPULATIONS
from asrlsa.synthesis.script import BLOCK, NEGATIVES, plan_recording
from asrlsa.synthesis.sentences import Sentence, draw_sentence, fill, joined, split_templates
from asrlsa.synthesis.spoken import Piece, Spoken, main_tier

RECORDINGS = 20 * BLOCK


@pytest.fixture(scope="module")
def plans():
    return [plan_recording(n, kokoro=0.5) for n in range(RECORDINGS)]


def times_of(plan):
    return [(2000 * i, 2000 * i + 1500) for i in range(len(plan.turns))]


def spoken_of(plans):
    return [turn.spoken for plan in plans if plan.population != "none" for turn in plan.turns]


def test_a_recording_depends_on_seed_language_and_number_only():
    assert plan_recording(7, seed=3) == plan_recording(7, seed=3)
    assert plan_recording(7, seed=3) != plan_recording(7, seed=4)
    assert plan_recording(7, seed=3) != plan_recording(8, seed=3)


@pytest.mark.parametrize("language", languages())
def test_gold_is_valid_chat_and_its_events_are_those_that_were_put_in(language):
    for number in range(2 * BLOCK):
        plan = plan_recording(number, language=language)
        assert check_chat(gold_of(plan, times_of(plan), language), plan.id) == []
        for turn in plan.turns if plan.population != "none" else ():
            found = coded_target(main_tier(turn.spoken)).events
            events = turn.spoken.events
            assert found["filled_pause"] >= events.get("filler", 0)
            assert found["block"] == events.get("block", 0)
            assert found["prolongation"] == events.get("prolongation", 0)
            assert found["false_start"] == events.get("false_start", 0)
            assert bool(found["fragment"]) == bool(events.get("sound", 0) + events.get("broken", 0))
            repeated = found["word_repetition"] + found["phrase_repetition"]
            assert repeated >= bool(events.get("word", 0) + events.get("phrase", 0))
            if not events.get("broken"):  # "the [/] &+gi the boy"
                assert bool(repeated) == bool(events.get("word", 0) + events.get("phrase", 0))


def test_what_is_meant_is_the_sentence(plans):
    for spoken in spoken_of(plans):
        meant = " ".join(spoken.sentence.words).replace("@l", "")
        assert coded_target(main_tier(spoken)).fluent == meant


def test_rates_are_those_of_the_population():
    table = load_language("eng")
    for who in POPULATIONS.values():
        chance = random.Random(5)
        words, events = 0, Counter()
        for _ in range(6000):
            sentence = draw_sentence(table, chance.choice(table.sections[who.name]), "train", chance)
            if len(sentence.words) < 6:
                continue
            words += len(sentence.words)
            events.update(speak(sentence, who, 1.0, table, "train", chance).events)
        total = 100 * events.total() / words
        assert total == pytest.approx(who.rates.total, rel=0.2), who.name
        assert 100 * events["filler"] / words == pytest.approx(who.rates.filler, rel=0.15), who.name
        for kind in KINDS:  # a few places allow no disfluency of a kind, so it may fall short
            rate = getattr(who.rates, kind)
            assert 0.4 * rate - 0.05 <= 100 * events[kind] / words <= 1.25 * rate + 0.05, (who.name, kind)


def test_never_more_than_three_extra_copies(plans):
    for spoken in spoken_of(plans):
        same = 1
        for before, piece in zip(spoken.pieces, spoken.pieces[1:], strict=False):
            same = same + 1 if piece.kind == before.kind == "fragment" and piece.text == before.text else 1
            assert same <= MOST_COPIES, main_tier(spoken)
        groups = [g for g in spoken.groups if g.code == "[/]"]
        copies = Counter(tuple(p.text for p in spoken.pieces[g.start : g.end]) for g in groups)
        assert all(n <= 3 * MOST_COPIES for n in copies.values())  # one phrase may be repeated in three places
        text = main_tier(spoken)
        for group in groups:
            unit = " ".join(p.text for p in spoken.pieces[group.start : group.end])
            unit = f"<{unit}> [/]" if " " in unit else f"{unit} [/]"
            assert " ".join([unit] * (MOST_COPIES + 1)) not in text


def test_hard_negatives_are_as_many_as_disfluent_utterances(plans):
    said = spoken_of(plans)
    disfluent = sum(bool(spoken.events) for spoken in said)
    negatives = [spoken for spoken in said if spoken.kind in NEGATIVES]
    assert 0.75 < len(negatives) / disfluent < 1.35
    kinds = Counter(spoken.kind for spoken in negatives)
    assert set(kinds) == NEGATIVES
    assert min(kinds.values()) > 0.1 * len(negatives)
    assert all(not spoken.events and not spoken.groups for spoken in negatives)
    assert all(piece.kind == "word" for spoken in negatives for piece in spoken.pieces)


def test_fluent_versions_have_words_that_were_said_with_disfluencies(plans):
    for plan in plans:
        disfluent = {t.spoken.sentence.words for t in plan.turns if t.spoken.events}
        for turn in plan.turns:
            assert turn.spoken.kind != "fluent" or turn.spoken.sentence.words in disfluent


@pytest.mark.parametrize("language", languages())
def test_no_text_and_no_voice_is_in_two_splits(language):
    texts, voices = defaultdict(set), defaultdict(set)
    for number in range(RECORDINGS):
        plan = plan_recording(number, language=language)
        texts[plan.split] |= {turn.spoken.sentence.text.lower() for turn in plan.turns}
        voices[plan.split] |= {name for speaker in plan.speakers for name, _ in speaker.voice}
    assert all(texts[split] and voices[split] for split in SPLITS)
    for found in (texts, voices):
        assert not found["train"] & found["dev"]
        assert not found["train"] & found["test"]
        assert not found["dev"] & found["test"]


@pytest.mark.parametrize("language", languages())
def test_every_section_has_sentences_for_every_split(language):
    table = load_language(language)
    chance = random.Random(1)
    for kind in table.templates:
        parts = [split_templates(language, kind, split) for split in SPLITS]
        assert sum(map(len, parts)) == len(set().union(*parts)) == len(set(table.templates[kind]))
        assert all(draw_sentence(table, kind, split, chance).words for split in SPLITS)
    assert {kind for kinds in table.sections.values() for kind in kinds} == set(table.templates)
    assert set(table.sections) == {*POPULATIONS, "examiner", "negative"}


def test_every_block_is_balanced(plans):
    for begin in range(0, RECORDINGS, BLOCK):
        block = plans[begin : begin + BLOCK]
        assert Counter(plan.split for plan in block) == {"train": BLOCK - 2, "dev": 1, "test": 1}
        assert sum(plan.population == "none" for plan in block) == 1
        people = Counter(plan.population for plan in block if plan.population != "none" and plan.split == "train")
        assert set(people) == set(POPULATIONS)
        assert max(people.values()) - min(people.values()) <= 1
        kokoro = sum(plan.speakers[0].engine == "kokoro" for plan in block if plan.split == "train")
        assert kokoro == pytest.approx(0.5 * (BLOCK - 2), abs=1.5)
    for split in ("dev", "test"):
        assert {p.population for p in plans if p.split == split} >= set(POPULATIONS)


def test_words_that_are_doubled_for_force_are_never_coded_as_repeated():
    table = load_language("eng")
    sentence = Sentence(("very", "very", "good"), frozenset(), ".", (), "", "story")
    for seed in range(300):
        spoken = speak(sentence, POPULATIONS["stutter"], 5.0, table, "train", random.Random(seed))
        assert "very [/]" not in main_tier(spoken)


def test_overlaps_are_short_enough_for_prepare(plans):
    gaps = [turn.gap for plan in plans for turn in plan.turns]
    assert min(gaps) >= -0.3
    assert sum(gap < 0 for gap in gaps) > 20


def test_piper_alone_makes_train_only():
    plans = [plan_recording(n, kokoro=0.0) for n in range(BLOCK)]
    assert {plan.split for plan in plans} == {"train"}
    assert {speaker.engine for plan in plans for speaker in plan.speakers} == {"piper"}
    with pytest.raises(ConfigError, match="names no voices of piper"):
        plan_recording(0, language="spa", kokoro=0.5)


def test_an_unknown_language_is_named():
    with pytest.raises(ConfigError, match=r"no language 'tlh'; it has eng, spa"):
        load_language("tlh")


def test_slots_are_where_they_were_filled():
    table = load_language("eng")
    sentence = fill("so {boy} saw {thing}, and left.", table, "story", random.Random(2))
    assert sentence.words[0] == "so"
    assert sentence.words[-2:] == ("and", "left")
    for slot in sentence.slots:
        assert " ".join(sentence.words[slot.start : slot.end]) in table.slots[slot.name]
    assert sentence.commas == {len(sentence.words) - 3}
    both = joined(sentence, "and then", fill("then {animal} {hid}.", table, "story", random.Random(3)), table)
    assert " ".join(both.words).count("then") == 1
    assert [" ".join(both.words[s.start : s.end]) for s in both.slots][-1] in table.slots["hid"]


def spoken(*pieces):
    words = tuple(p.text for p in pieces if p.kind == "word")
    return Spoken(pieces, (), ".", "story", {}, Sentence(words, frozenset(), ".", (), "", "story"))


def test_stretches_begin_anew_where_the_voice_does():
    table = load_language("eng")
    said = spoken(
        Piece("word", "then", cut=True),
        Piece("filler", "um", cut=True, pause=400, seconds=0.5),
        Piece("fragment", "b", target="ball", rest=True),
        Piece("word", "ball", effect="", cut=True, pause=100),
        Piece("word", "soldier", effect="held", seconds=0.6),
    )
    found = stretches(said, table, "en-us", lambda text, accent: text, random.Random(0))
    assert [s.pause for s in found] == [0, 400, 100, 0]
    assert found[0].phonemes == "then,"
    assert found[1].filler == 0.5
    assert found[2].phonemes.endswith("ball,")
    assert (found[3].phonemes, found[3].held) == ("soldier.", 0.6)


def test_fragments_are_the_first_sounds():
    assert fragment_phonemes("bˈɔːl", vowel=False, schwa=True) == "bə"
    assert fragment_phonemes("stˈɔːɹ", vowel=False, schwa=False) == "st"
    assert fragment_phonemes("wˈɔːnt", vowel=True, schwa=True) == "wɔː"
    assert fragment_phonemes("ˈæpəl", vowel=False, schwa=True) == "æ"


def test_a_fluent_sentence_has_no_code():
    table = load_language("eng")
    for seed in range(50):
        sentence = draw_sentence(table, "letters", "train", random.Random(seed))
        reading = read_main_tier(main_tier(speak_fluently(sentence)))
        assert reading.events == ()
        assert reading.verbatim == reading.clean


def test_statistics_count_by_population(plans):
    parts = [
        {
            "split": plan.split,
            "duration": 20.0,
            "telephone": plan.acoustics.telephone,
            "population": plan.population,
            "utterances": utterances_of(plan, times_of(plan), "eng"),
        }
        for plan in plans[: 5 * BLOCK]
    ]
    found = statistics_of(parts)
    assert sum(one["recordings"] for one in found["splits"].values()) == 5 * BLOCK
    assert set(found["per_100_words"]) == set(POPULATIONS)
    assert found["per_100_words"]["aphasia"]["filler"] > found["per_100_words"]["adult"]["filler"]
