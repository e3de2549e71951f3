"""Language tables, and the spelling of a recogniser's words."""

from __future__ import annotations

from importlib.resources import files

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrlsa.language import (
    MARKS,
    WHISPER_LANGUAGES,
    has_table,
    iso639_3,
    language_table,
    spell_out,
    split_mark,
    whisper_code,
)
from asrlsa.language.marks import is_writable
from asrlsa.language.tables import squeezed, tomllib
from asrlsa.types import Word


def spelled(text: str, language: str = "eng") -> str:
    words = [Word(token, 300 * i, 300 * i + 200) for i, token in enumerate(text.split())]
    return " ".join(word.text for word in spell_out(words, language))


# Codes and tables


def test_every_whisper_language_has_a_chat_code() -> None:
    assert iso639_3("en") == iso639_3("eng") == iso639_3("EN") == "eng"
    assert iso639_3("zh") == "zho"
    assert iso639_3("jw") == iso639_3("jv") == "jav"
    assert len(WHISPER_LANGUAGES) == 100
    assert all(len(code) == 3 for code in WHISPER_LANGUAGES.values())
    assert all(whisper_code(three) == two for two, three in WHISPER_LANGUAGES.items())
    with pytest.raises(KeyError):
        iso639_3("xx")


def test_our_codes_are_those_of_the_recogniser() -> None:
    tokenizer = pytest.importorskip("faster_whisper.tokenizer")
    assert set(WHISPER_LANGUAGES) == set(tokenizer._LANGUAGE_CODES)


@pytest.mark.parametrize("code", ["eng", "spa", "fra", "deu"])
def test_tables(code: str) -> None:
    assert has_table(code)
    assert has_table(whisper_code(code))
    table = language_table(code)
    assert table is language_table(code)
    assert table.code == code
    assert table.name
    assert table.fillers
    assert table.doubles.fluent
    assert table.grammar.subject_pronouns
    assert all(map(is_writable, [*table.fillers.values(), *table.isolated_fillers.values()]))
    assert all(key == squeezed(key) for key in table.fillers)


@pytest.mark.parametrize("code", ["eng", "spa", "fra", "deu"])
def test_tables_hold_no_key_that_nothing_reads(code: str) -> None:
    from dataclasses import fields

    from asrlsa.language.tables import Doubles, Grammar, LanguageTable

    data = tomllib.loads(files("asrlsa.language").joinpath(f"{code}.toml").read_text(encoding="utf-8"))
    top = {entry.name for entry in fields(LanguageTable)} | {"words", "names", "hyphens"}
    assert set(data) <= top
    assert set(data["grammar"]) <= {entry.name for entry in fields(Grammar)}
    assert set(data["doubles"]) <= {entry.name for entry in fields(Doubles)}
    assert set(data["words"]) <= {"fillers_alone", "backchannels", "unintelligible"}
    assert set(data["names"]) <= {"titles", "always", "ambiguous", "acronym_words"}


def test_fillers_by_language() -> None:
    english, german, french = (language_table(code) for code in ("eng", "deu", "fra"))
    assert [english.filler(w) for w in ("um", "Ummm", "uhhh", "erm", "hmmm", "mmm")] == [
        "um", "um", "uh", "erm", "hm", "mm",
    ]  # fmt: skip
    assert english.filler("mhm") is None
    assert english.filler("m") is None
    assert english.filler("umbrella") is None
    assert german.filler("um") is None
    assert german.filler("er") is None
    assert german.filler("Äähm") == "ähm"
    assert french.filler("euhhh") == "euh"
    assert french.filler("eh") is None


def test_an_unknown_language_gets_a_neutral_table() -> None:
    assert not has_table("por")
    assert not has_table("xyz")
    table = language_table("por")
    assert table.code == "por"
    assert table.filler("um") is None
    assert table.filler("hmm") == "hm"
    assert spelled("Tenho 25 gatos.", "por") == "tenho vinte e cinco gatos."
    assert spelled("hello 25", "xyz") == "hello xxx"


# Spelling


@pytest.mark.parametrize(
    ("heard", "expected"),
    [
        # numbers
        ("5", "five"),
        ("21", "twenty one"),
        ("105", "one hundred five"),
        ("1,000", "one thousand"),
        ("1,984", "one thousand nine hundred eighty four"),
        ("1000000", "one million"),
        ("2.5", "two point five"),
        ("3.14", "three point one four"),
        (".5", "point five"),
        ("-5", "minus five"),
        ("007", "zero zero seven"),
        ("555-1234", "five five five one two three four"),
        ("(555) 123-4567", "five five five one two three four five six seven"),
        ("1223247942", "one two two three two four seven nine four two"),
        ("1984", "nineteen eighty four"),
        ("1905", "nineteen oh five"),
        ("1900", "nineteen hundred"),
        ("2000", "two thousand"),
        ("2005", "two thousand five"),
        ("2010", "twenty ten"),
        ("at 1045", "at ten forty five"),
        ("1990s", "nineteen nineties"),
        ("the '90s", "the nineties"),
        ("3rd", "third"),
        ("21st", "twenty first"),
        ("1st-grade", "first grade"),
        ("20-year-old", "twenty year old"),
        ("5:30", "five thirty"),
        ("5:00", "five o'clock"),
        ("5:05", "five oh five"),
        ("2.30", "two thirty"),
        ("at 5:00 p.m.", "at five p_m."),
        ("5pm", "five p_m"),
        ("I am 5", "I am five"),
        ("$20", "twenty dollars"),
        ("$1", "one dollar"),
        ("$20.50", "twenty dollars and fifty cents"),
        ("$0.50", "fifty cents"),
        ("$5 million.", "five million dollars."),
        ("£5", "five pounds"),
        ("30%", "thirty percent"),
        ("1/2", "one half"),
        ("2½", "two and a half"),
        ("3-4", "three to four"),
        ("3-2", "three two"),
        ("24/7", "twenty four seven"),
        ("5km", "five kilometers"),
        ("1 km", "one kilometer"),
        ("#1", "number one"),
        ("No. 1", "number one"),
        ("No. I did", "no. I did"),
        ("MP3", "M_P three"),
        ("H2O", "H two O"),
        ("atr9530", "A_T_R nine five three zero"),
        ("twenty-five", "twenty five"),
        ("5 to 7.", "five to seven."),
        # abbreviations
        ("the U.S. is", "the U_S is"),
        ("FBI", "F_B_I"),
        ("TVs", "T_Vs"),
        ("on TV.", "on T_V."),
        ("OK", "okay"),
        ("O.K. then", "okay then"),
        ("Mr. Smith", "Mister Smith"),
        ("Dr. Smith lives on Oak Dr. now", "Doctor Smith lives on Oak Drive now"),
        ("near St. Mary", "near Saint Mary"),
        ("etc.", "et cetera"),
        ("e.g. this", "e_g this"),
        ("NASA", "NASA"),
        ("AT&T", "A_T and T"),
        ("J. Smith", "J Smith"),
        ("I said NO", "I said no"),
        ("I'M NOT", "I'm not"),
        # signs and punctuation
        ("don’t", "don't"),
        ("“Hello,” he said", "hello, he said"),
        ("'hello'", "hello"),
        ("'cause the dogs' ball", "'cause the dogs' ball"),
        ("you & me", "you and me"),
        ("and/or", "and or"),
        ("100% sure", "one hundred percent sure"),
        ("20°", "twenty degrees"),
        ("What?!", "what?"),
        ("so…", "so..."),
        ("well—I went", "well— I went"),
        ("yes - I did", "yes I did"),
        ("I — what", "I— what"),
        ("Hello.World", "hello. world"),
        ("www.example.com", "W_W_W dot example dot com"),
        ("a@b.com", "a at b dot com"),
        ("…", ""),
        ("♪ la la ♪", "la la"),
        # hyphens
        ("w-", "w-"),
        ("w—", "w-"),
        ("I-I", "I- I"),
        ("st-store", "st- store"),
        ("b-b-ball", "b- b- ball"),
        ("forty-five", "forty five"),
        ("re-read", "re-read"),
        ("mother-in-law", "mother-in-law"),
        ("ha-ha", "ha-ha"),
        ("B-A-T", "B_A_T"),
        ("fifty-fifty", "fifty fifty"),
        ("Mm-hmm.", "mhm."),
        ("uh-huh", "uhhuh"),
        # what is no speech
        ("[laughs]", "&=laughs"),
        ("(Laughter)", "&=laughs"),
        ("*coughs*", "&=coughs"),
        ("(clears throat) well", "&=clears:throat well"),
        ("[BLANK_AUDIO]", ""),
        ("[Music playing] hello", "hello"),
        ("(speaking in foreign language)", "xxx"),
        ("[inaudible] dog", "xxx dog"),
        ("(yes) I did", "yes I did"),
        ("f***ing", "xxx"),
        ("😀 hello", "hello"),
        ("xxx", "xxx"),
        ("yyy", "xxx"),
        ("www", "W_W_W"),
    ],
)
def test_spelling(heard: str, expected: str) -> None:
    assert spelled(heard) == expected


@pytest.mark.parametrize(
    ("language", "heard", "expected"),
    [
        ("spa", "A las 5:30 EE.UU. tiene 1.000 perros.", "a las cinco treinta Estados Unidos tiene mil perros."),
        ("spa", "¿Qué? 2,5 y 1º", "qué? dos punto cinco y primero"),
        ("spa", "El Sr. López (risas)", "el señor López &=laughs"),
        ("fra", "À 5h30 M. Dupont a 2,5 km", "à cinq heures trente Monsieur Dupont a deux virgule cinq kilomètres"),
        ("fra", "Le 1er, aujourd’hui, peut-être", "le premier, aujourd'hui, peut-être"),
        ("fra", "20€ l’homme", "vingt euros l'homme"),
        ("deu", "Um 5:30 Uhr ging er.", "um fünf Uhr dreißig ging er."),
        ("deu", "Dr. Müller hat z.B. 3 Hunde.", "Doktor Müller hat zum Beispiel drei Hunde."),
        ("deu", "Hunde sind toll. Am 3. Mai kam er.", "Hunde sind toll. am dritte Mai kam er."),
        ("zho", "你好 25", "你好 xxx"),
        ("ara", "السلام عليكم، كيف؟", "السلام عليكم, كيف?"),
        ("hin", "नमस्ते दुनिया हैं।", "नमस्ते दुनिया हैं."),
    ],
)
def test_spelling_in_other_languages(language: str, heard: str, expected: str) -> None:
    assert spelled(heard, language) == expected


@pytest.mark.parametrize(
    ("heard", "expected"),
    [
        ("The dog ran. Dogs run.", "the dog ran. dogs run."),
        ("I saw Max. Max ran.", "I saw Max. Max ran."),
        ("Mary ran. Cinderella ran.", "Mary ran. Cinderella ran."),
        ("Froggy ran. I like Froggy.", "Froggy ran. I like Froggy."),
        ("Um, Your dog. W- We ran.", "um, your dog. w- we ran."),
        ("i'm here and i ran", "I'm here and I ran"),
        ("On Monday. Monday was good.", "on Monday. Monday was good."),
        ("the 4th of May. May I go?", "the fourth of May. may I go?"),
        ("Mr. Brown ran. Brown dogs ran.", "Mister Brown ran. Brown dogs ran."),
        ("A B C and A", "A B C and a"),
        ("I am in New York. New dogs", "I am in New York. New dogs"),
        ("Then uh The dog", "then uh the dog"),
    ],
)
def test_capitals(heard: str, expected: str) -> None:
    assert spelled(heard) == expected


def test_capitals_of_german_nouns_stay() -> None:
    assert (
        spelled("Der Hund läuft. Hunde laufen. Dann geht er.", "deu") == "der Hund läuft. Hunde laufen. dann geht er."
    )


def test_sentences_begin_for_each_speaker() -> None:
    words = [Word("I", 0, 10, speaker="A"), Word("Dogs", 20, 30, speaker="B"), Word("ran", 40, 50, speaker="A")]
    assert [w.text for w in spell_out(words, "eng")] == ["I", "dogs", "ran"]


def test_several_words_share_the_time_of_one_by_letters() -> None:
    words = spell_out([Word("$20", 1000, 2000, 0.7, "A")], "eng")
    assert [w.text for w in words] == ["twenty", "dollars"]
    assert words[0].start == 1000
    assert words[0].end == words[1].start
    assert words[1].end == 2000
    assert 440 <= (words[0].end or 0) - 1000 <= 480
    assert {(w.confidence, w.speaker) for w in words} == {(0.7, "A")}


def test_no_time_is_invented_where_there_is_none_to_share() -> None:
    assert [(w.start, w.end) for w in spell_out([Word("1984", 5, 7)], "eng")] == [(None, None)] * 3
    assert [(w.start, w.end) for w in spell_out([Word("$20")], "eng")] == [(None, None)] * 2


def test_a_bracket_over_several_words_spans_them() -> None:
    words = spell_out([Word("[clears", 100, 200), Word("throat]", 250, 400), Word("yes", 500, 600)], "eng")
    assert words[0] == Word("&=clears:throat", 100, 400)
    assert words[1].text == "yes"


def test_every_loss_is_noted() -> None:
    notes: list[str] = []
    words = [Word("[Music]", 1250, 1300), Word("f***", 2000, 2100), Word("dog.", 3000, 3100), Word("...", 3200, 3300)]
    assert [w.text for w in spell_out(words, "eng", on_note=notes.append)] == ["xxx", "dog."]
    assert notes == [
        "1.25 s: '[Music]' is no speech and is left out",
        "2.00 s: 'f***' can't be written in CHAT and is masked with xxx",
    ]


def test_split_mark() -> None:
    assert [split_mark(t) for t in ("store.", "uh...", "I,", "w-", "what?", "so—", "...")] == [
        ("store", "."), ("uh", "..."), ("I", ","), ("w-", ""), ("what", "?"), ("so", "—"), ("..", "."),
    ]  # fmt: skip


languages = st.sampled_from(["eng", "spa", "fra", "deu", "por", "zho", "xyz"])


@given(st.lists(st.text(min_size=0, max_size=12), max_size=8), languages)
def test_whatever_comes_can_be_written(texts: list[str], language: str) -> None:
    words = [Word(text, 100 * i, 100 * i + 90) for i, text in enumerate(texts)]
    found = spell_out(words, language)
    last = 0
    for word in found:
        core, mark = split_mark(word.text)
        assert mark in ("", *MARKS)
        assert core
        if not core.startswith("&="):
            assert is_writable(core.removesuffix("-"))
            assert not any(map(str.isdigit, core))
        if word.start is not None and word.end is not None:
            assert last <= word.start < word.end
            last = word.end


numberish = st.text(alphabet="0123456789.,:/-%$€£#'+()½²apmst°", min_size=1, max_size=10)


@given(st.lists(numberish, min_size=1, max_size=3), languages)
def test_no_digit_survives(texts: list[str], language: str) -> None:
    found = spell_out([Word(text, 100 * i, 100 * i + 90) for i, text in enumerate(texts)], language)
    assert not any(c.isnumeric() for word in found for c in word.text)
    if any(c.isdigit() for text in texts for c in text):
        assert found


def test_spelling_twice_changes_nothing() -> None:
    text = "So, um, w- went to the U.S. at 5:30 p.m. [laughs] twenty-five I-I—no"
    once = spell_out([Word(t, 300 * i, 300 * i + 200) for i, t in enumerate(text.split())], "eng")
    assert [w.text for w in spell_out(once, "eng")] == [w.text for w in once]
