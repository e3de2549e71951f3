"""Cutting a recording into utterances."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrlsa.disfluency import code_utterance
from asrlsa.language import spell_out
from asrlsa.speech.utterances import UtteranceOptions, split_utterances
from asrlsa.types import Word


def dialogue(text: str, gap: int = 20) -> list[Word]:
    """Read ``A> I went (0.5) home B> mhm``: 200 ms a word, ``gap`` between, silences in s, speakers with ``>``."""
    found, now, speaker = [], 0, "A"
    for token in text.split():
        if silence := re.fullmatch(r"\((\d+\.\d+)\)", token):
            now += round(1000 * float(silence[1]))
        elif turn := re.fullmatch(r"([A-Z])>", token):
            speaker = turn[1]
        else:
            found.append(Word(token, now, now + 200, speaker=speaker))
            now += 200 + gap
    return found


def tiers(text: str, language: str = "eng", **options: int) -> list[str]:
    drafts = split_utterances(
        spell_out(dialogue(text), language), language=language, options=UtteranceOptions(**options)
    )
    coded = [code_utterance(draft.words, draft.terminator, language=language).text for draft in drafts]
    return [f"{draft.speaker} {line}" for draft, line in zip(drafts, coded, strict=True)]


@pytest.mark.parametrize(
    ("heard", "expected"),
    [
        # sentence ends
        ("He ran. She fell.", ["he ran .", "she fell ."]),
        ("What is it? A dog!", ["what is it ?", "a dog !"]),
        ("Um. He ran.", ["&-um he ran ."]),
        ("I. I like it.", ["I [/] I like it ."]),
        ("He went to the. Store.", ["he went to the store ."]),
        ("The dog. The dog ran.", ["<the dog> [/] the dog ran ."]),
        ("Yes. I did.", ["yes .", "I did ."]),
        ("Mr. Smith ran.", ["Mister Smith ran ."]),
        ("it is 2.5 miles", ["it is two point five miles ."]),
        # silences
        ("a big ball (2.0) a red hat", ["a big ball .", "a red hat ."]),
        ("a big ball (1.0) a red hat", ["a big ball (1.0) a red hat ."]),
        ("he was going to the (2.0) store", ["he was going to the (2.0) store ."]),
        ("he went (1.8) to the store", ["he went (1.8) to the store ."]),
        ("I was (1.8) I was going", ["<I was> [/] (1.8) I was going ."]),
        ("the b- b- (1.8) ball", ["the &+b &+b (1.8) ball ."]),
        ("he went to the (4.0) a red hat", ["he went to the +...", "a red hat ."]),
        # clauses
        (
            "the boy ran home and then he saw a dog",
            ["the boy ran home .", "and then he saw a dog ."],
        ),
        ("the boy ran home and saw a dog", ["the boy ran home and saw a dog ."]),
        ("he picked up the dog and the frog", ["he picked up the dog and the frog ."]),
        ("he was mad because he had to go home", ["he was mad because he had to go home ."]),
        ("he saw that the frog was gone", ["he saw that the frog was gone ."]),
        ("I think the dog ran home", ["I think the dog ran home ."]),
        (
            "they went to the forest they looked for the frog",
            ["they went to the forest .", "they looked for the frog ."],
        ),
        ("when the boy woke up the frog was gone", ["when the boy woke up the frog was gone ."]),
        (
            "we like dogs do you have any pets at home",
            ["we like dogs .", "do you have any pets at home ?"],
        ),
        (
            "the boy ran home um and he saw the dog",
            ["the boy ran home .", "&-um and he saw the dog ."],
        ),
        (
            "then the police officer um the police officer stopped the traffic",
            ["then <the police officer> [/] &-um the police officer stopped the traffic ."],
        ),
        ("we can go home so he could sleep there", ["we can go home so he could sleep there ."]),
        ("he ran and he fell", ["he ran and he fell ."]),
        ("he ran (0.4) and he fell", ["he ran .", "and he fell ."]),
        # questions by word order
        ("what did you do", ["what did you do ?"]),
        ("and where is the frog", ["and where is the frog ?"]),
        ("do you have pets", ["do you have pets ?"]),
        ("who is this", ["who is this ?"]),
        ("how many dogs", ["how many dogs ?"]),
        ("what a big dog", ["what a big dog ."]),
        ("when he ran", ["when he ran ."]),
        ("do your homework", ["do your homework ."]),
        # trailing off and breaking off
        ("and then I...", ["and then I +..."]),
        ("I was... going", ["I was going ."]),
        ("I was... (1.0) The dog ran", ["I was +...", "the dog ran ."]),
        ("so he said and um", ["so he said and &-um +..."]),
        ("he went to the", ["he went to the +..."]),
        ("the dog w-", ["the dog &+w +..."]),
        ("the dog w- (1.2) I think he ran", ["the dog &+w +//.", "I think he ran ."]),
        ("the dog w- (0.3) I think he ran", ["<the dog &+w> [/-] (.) I think he ran ."]),
        ("he went to the— (0.5) I mean it was gone", ["he went to the +//.", "I mean it was gone ."]),
    ],
)
def test_one_speaker(heard: str, expected: list[str]) -> None:
    assert [line[2:] for line in tiers(heard)] == expected


@pytest.mark.parametrize(
    ("heard", "expected"),
    [
        ("I ran home B> me too", ["A I ran home .", "B me too ."]),
        ("I ran B> mhm A> home and slept", ["A I ran home and slept .", "B mhm ."]),
        ("I ran home B> mhm A> (2.0) a red hat", ["A I ran home .", "B mhm .", "A a red hat ."]),
        ("I want the B> not now", ["A I want the +/.", "B not now ."]),
        ("I saw a B> hey stop that A> (0.8) dog", ["A I saw a +/.", "B hey stop that .", "A dog ."]),
        ("I want the (1.0) B> here you are", ["A I want the +...", "B here you are ."]),
        ("I want the um B> here you are", ["A I want the &-um +...", "B here you are ."]),
        ("did he run? B> yes. A> why?", ["A did he run ?", "B yes .", "A why ?"]),
        ("uh B> I ran A> what", ["A &-uh .", "B I ran .", "A what ."]),
    ],
)
def test_two_speakers(heard: str, expected: list[str]) -> None:
    assert tiers(heard) == expected


def test_overlapping_speech_does_not_cut() -> None:
    words = [
        Word("I", 0, 300, speaker="A"),
        Word("stop", 250, 500, speaker="B"),
        Word("ran", 310, 600, speaker="A"),
        Word("it", 510, 700, speaker="B"),
        Word("home", 610, 900, speaker="A"),
    ]
    drafts = split_utterances(words)
    assert [(d.speaker, [w.text for w in d.words]) for d in drafts] == [
        ("A", ["I", "ran", "home"]),
        ("B", ["stop", "it"]),
    ]


def test_words_without_times_are_cut_by_order() -> None:
    words = [Word("I", speaker="A"), Word("ran", speaker="A"), Word("no", speaker="B"), Word("yes", speaker="A")]
    assert [(d.speaker, len(d.words)) for d in split_utterances(words)] == [("A", 2), ("B", 1), ("A", 1)]


def test_nothing_gives_nothing() -> None:
    assert split_utterances([]) == []


def test_a_very_long_run_is_cut_at_its_best_place() -> None:
    words = [f"{a}{b}an" for a in "bdfghj" for b in "aeiou"]
    text = " ".join(words) + " (0.6) " + " ".join(word + "s" for word in words)
    drafts = split_utterances(dialogue(text))
    assert [len(draft.words) for draft in drafts] == [30, 30]
    assert len(split_utterances(dialogue(text), options=UtteranceOptions(max_words=100))) == 1
    assert len(split_utterances(dialogue(text), options=UtteranceOptions(max_words=1))) == 60


def test_options() -> None:
    assert tiers("a big ball (1.0) a red hat", silence_ms=900) == ["A a big ball .", "A a red hat ."]
    assert tiers("he ran and he fell", clause_words=0) == ["A he ran .", "A and he fell ."]
    assert len(tiers("the (2.0) dog", long_silence_ms=1900)) == 2


def test_other_languages() -> None:
    assert tiers("il court et il tombe dans la forêt", "fra") == ["A il court .", "A et il tombe dans la forêt ."]
    assert tiers("Er läuft nach Hause. Dann kommt ein Hund.", "deu") == [
        "A er läuft nach Hause .",
        "A dann kommt ein Hund .",
    ]
    assert tiers("eu quero (2.0) um gato", "por") == ["A eu quero .", "A um gato ."]


VOCABULARY_TEXT = (
    "I he the a dog ran fell and but so then because um uh w- b- went. what? when you it was mhm yeah, [laughs] xxx "
    "home to no... well— do did Mary I-I $20"
)
VOCABULARY = VOCABULARY_TEXT.split()


@given(
    st.lists(
        st.tuples(
            st.sampled_from(VOCABULARY),
            st.sampled_from([-300, 0, 0, 20, 400, 1200, 2500, 5000]),
            st.integers(1, 400),
            st.sampled_from("AAAB"),
            st.booleans(),
        ),
        max_size=40,
    )
)
def test_laws(drawn: list[tuple[str, int, int, str, bool]]) -> None:
    words, now, free = [], 0, {"A": 0, "B": 0}
    for text, silence, duration, speaker, has_time in drawn:
        start = max(now + silence, free[speaker], 0)
        now = free[speaker] = start + duration
        words.append(Word(text, start, now, speaker=speaker) if has_time else Word(text, speaker=speaker))
    words = spell_out(words, "eng")
    drafts = split_utterances(words)
    # Every word is in one utterance, in the order of its speaker, with no word of anybody else.
    for speaker in "AB":
        own = [w for w in words if w.speaker == speaker]
        assert [w for draft in drafts if draft.speaker == speaker for w in draft.words] == own
    assert all({w.speaker for w in draft.words} == {draft.speaker} for draft in drafts)
    assert all(draft.terminator in (".", "?", "!", "+...", "+//.", "+/.") for draft in drafts)
    # Utterances stand in the order of their beginnings.
    starts = [draft.words[0].start for draft in drafts if draft.words[0].start is not None]
    if all(w.start is not None for w in words):
        assert starts == sorted(starts)
    # What was cut can be coded.
    for draft in drafts:
        assert code_utterance(draft.words, draft.terminator).text.endswith(" " + draft.terminator)


def guide_rows() -> list[tuple[str, str, str]]:
    """Return (column, heard, expected) of every example row in docs/chat-guide.md."""
    rows, heads = [], []
    for line in (
        (Path(__file__).resolve().parents[1] / "docs" / "chat-guide.md").read_text(encoding="utf-8").splitlines()
    ):
        cells = [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("|") else []
        if "heard" in cells:
            heads = cells
        elif heads and len(cells) == len(heads) and not set(line) <= set("|-"):
            at = heads.index("heard")
            if cells[at].startswith("`"):
                rows.append((heads[at + 1], cells[at].strip("`"), cells[at + 1].strip("`")))
        elif not cells:
            heads = []
    return rows


def test_the_guide_has_examples() -> None:
    assert len([row for row in guide_rows() if row[0] == "written"]) > 70
    assert len([row for row in guide_rows() if row[0] == "utterances"]) > 10


@pytest.mark.parametrize(("column", "heard", "expected"), guide_rows())
def test_examples_of_the_guide(column: str, heard: str, expected: str) -> None:
    if column == "utterances":
        assert " / ".join(line[2:] for line in tiers(heard)) == expected
    else:
        words = spell_out([replace(word, speaker=None) for word in dialogue(heard, gap=0)], "eng")
        assert code_utterance(words, ".").text == expected
