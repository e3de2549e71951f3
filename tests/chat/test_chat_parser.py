from pathlib import Path

import pytest
from chat_samples import END, HEAD, LINKED, MESSY, bullet, linked, unlinked

from asrlsa.chat.parser import parse_chat, read_chat
from asrlsa.chat.writer import wor_tier, write_chat
from asrlsa.errors import ChatError
from asrlsa.types import Header, Tier, Transcript, Utterance, Word


def unfolded(text: str) -> str:
    return text.replace("\n\t", " ")


@pytest.mark.parametrize("name", MESSY)
def test_messy_files_come_back_up_to_folding(name: str) -> None:
    assert write_chat(parse_chat(MESSY[name])) == unfolded(MESSY[name])


@pytest.mark.shared
def test_every_gold_file_comes_back_unchanged(shared_data: Path) -> None:
    files = sorted((shared_data / "synthetic" / "gold").glob("*.cha"))
    assert len(files) > 100
    for file in files:
        text = file.read_text(encoding="utf-8")
        assert write_chat(read_chat(file)) == unfolded(text), file


def test_values_of_a_file() -> None:
    transcript = parse_chat(MESSY["bullets"])
    first, second, third = transcript.utterances
    assert (first.text, first.start, first.end) == (f"I {bullet(0, 10)} ran .", 10, 30)
    assert first.words == (Word("I", 0, 10, speaker="CHI"), Word("ran", 10, 30, speaker="CHI"))
    assert first.tiers == (Tier("wor", f"I {bullet(0, 10)} ran {bullet(10, 30)} ."),)
    assert (first.line, first.tiers[0].line) == (8, 9)
    assert (second.speaker, second.text, second.start, second.end) == ("MOT", "yes . [+ R]", 40, 60)
    assert (third.start, third.text) == (None, f"no {bullet(60, 70)} more .")
    assert transcript.languages == ("eng",)
    assert [p.code for p in transcript.participants] == ["CHI", "MOT"]
    assert transcript.lines[0] == Header("UTF8")


def test_folded_lines_are_joined_with_one_space() -> None:
    utterance = parse_chat(MESSY["folded"]).utterances[0]
    assert utterance.text == "the dog ran home and slept ."
    assert utterance.tiers == (Tier("com", "long comment"),)


def test_every_tier_survives_byte_for_byte() -> None:
    tiers = parse_chat(MESSY["tiers"]).utterances[0].tiers
    assert [tier.name for tier in tiers] == ["mor", "gra", "xcon", "com", "com"]
    assert tiers[2].text == "I 0.5 |  two  spaces ; [ < 5"


def test_byte_order_mark_and_crlf_are_taken() -> None:
    text = unlinked("*CHI:\thi .")
    assert parse_chat("\ufeff" + text.replace("\n", "\r\n")) == parse_chat(text)


@pytest.mark.parametrize(
    ("main", "times"),
    [
        (f"hi . {bullet(5, 9)}", (5, 9)),
        (f"hi .{bullet(5, 9)}", (5, 9)),
        (f"hi . {bullet(5, 9)} ", (5, 9)),
        ('hi . \x15%snd:"x"_5_9\x15', (5, 9)),
        ("hi . \x155_9-\x15", (5, 9)),
        ("hi . \x15five\x15", (None, None)),
        ("hi .", (None, None)),
    ],
)
def test_final_bullets(main: str, times: tuple[int | None, int | None]) -> None:
    utterance = parse_chat(f"@Begin\n*CHI:\t{main}\n").utterances[0]
    assert (utterance.start, utterance.end) == times


def test_a_space_for_the_tab_is_read() -> None:
    assert parse_chat("@Begin\n*CHI: hi .\n").utterances[0].text == "hi ."


def test_wor_words_without_time() -> None:
    text = linked(f"*CHI:\ta b c . {bullet(0, 9)}", f"%wor:\ta b {bullet(1, 2)} , c .")
    assert parse_chat(text).utterances[0].words == (
        Word("a", speaker="CHI"),
        Word("b", 1, 2, speaker="CHI"),
        Word("c", speaker="CHI"),
    )


@pytest.mark.parametrize(
    ("text", "line", "part"),
    [
        ("hello\n", 1, "must start with"),
        ("", None, "no @Begin"),
        ("*CHI:\thi .\n", None, "no @Begin"),
        ("@UTF8\n@Begin\n%mor:\tx\n", 3, "dependent tier must follow"),
        ("@Begin\n*CHI hi .\n", 2, "main tier must be written"),
        ("@Begin\n*CHI:\thi .\n%mor\n", 3, "dependent tier must be written"),
        ("@Begin\n*CHI:\thi .\nstray text\n@End\n", 3, "must start with"),
        ("\tfolded\n", 1, "must start with"),
    ],
)
def test_what_is_not_chat_has_a_place(text: str, line: int | None, part: str) -> None:
    with pytest.raises(ChatError, match=part) as caught:
        parse_chat(text, source="a.cha")
    assert caught.value.line == line
    assert str(caught.value).startswith("a.cha:")


@pytest.mark.parametrize("data", [b"@UTF8\n@Begin\n*CHI:\tcaf\xe9 .\n", "@UTF8\n@Begin\n".encode("utf-16")])
def test_a_file_that_is_not_utf8_has_one_clear_error(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "a.cha"
    file.write_bytes(data)
    with pytest.raises(ChatError, match="not UTF-8") as caught:
        read_chat(file)
    assert str(caught.value).startswith(f"{file}:")
    assert caught.value.line == (3 if data.startswith(b"@") else 1)
    assert caught.value.column == (10 if data.startswith(b"@") else 1)


def test_a_line_break_inside_a_value_is_refused() -> None:
    transcript = Transcript((Header("UTF8"), Header("Begin"), Header("Comment", "a\nb"), Header("End")))
    with pytest.raises(ChatError, match="line break inside @Comment") as caught:
        transcript.to_chat()
    assert caught.value.line == 3


def test_words_are_not_written_but_their_tier_is() -> None:
    words = (Word("um", 0, 5), Word("dog"))
    tier = Tier("wor", wor_tier(words, "."))
    utterance = Utterance("CHI", "&-um dog .", 0, 9, words, (tier,))
    text = write_chat(Transcript((Header("Begin"), utterance, Header("End"))))
    assert text == f"@Begin\n*CHI:\t&-um dog . {bullet(0, 9)}\n%wor:\tum {bullet(0, 5)} dog .\n@End\n"


def test_the_samples_are_chat(judge) -> None:
    assert judge(HEAD + LINKED + f"*CHI:\thi . {bullet(0, 9)}\n" + END) == []
    assert judge(unlinked("*CHI:\thi .")) == []
    assert judge(unlinked("*CHI:\thi")) != []
