from pathlib import Path

import pytest
from chat_samples import END, HEAD, LINKED, MESSY, UNLINKED, bullet, unlinked
from hypothesis import given
from hypothesis import strategies as st

from asrlsa.chat.check import check_chat, is_word, repair_token
from asrlsa.chat.header_rules import ROLES
from asrlsa.chat.repair import has_errors, repair_main_tier

TIERS = [line for line in (Path(__file__).parent / "tiers.txt").read_text(encoding="utf-8").split("\n") if line]


def found(text: str, stem: str | None = None) -> list[tuple[int, int, str]]:
    return [(problem.line, problem.column, problem.code) for problem in check_chat(text, stem)]


def codes(text: str) -> list[str]:
    return [problem.code for problem in check_chat(text)]


def tier_codes(main: str) -> list[str]:
    return codes(unlinked(f"*CHI:\t{main}"))


@pytest.mark.parametrize("main", TIERS)
def test_nothing_passes_here_that_the_judge_refuses(main: str, judge) -> None:
    text = unlinked(f"*CHI:\t{main}")
    errors = [problem for problem in check_chat(text) if problem.severity == "error"]
    if judge(text):
        assert errors


@pytest.mark.parametrize("main", TIERS)
def test_every_main_tier_can_be_repaired(main: str, judge) -> None:
    repaired = repair_main_tier(main, ["eng"])
    assert not has_errors(repaired, ["eng"])
    assert judge(unlinked(f"*CHI:\t{repaired}")) == []
    if not has_errors(main, ["eng"]):
        assert repaired == main


@pytest.mark.parametrize(
    "main",
    [
        "I [/] &-um I was .",
        "<<I want> [/] I want> [//] he ran .",
        "≠↫b-b↫boy s::o spa^ghetti .",
        "goed [: went] [* m:+ed] , (be)cause &=laughs 0is b@l ice+cream !",
        "+< &*MOT:mhm xxx [?] (.) (1.5) “the dog” +...",
        "the dog +//. [+ exc]",
        "0 [=! cries] .",
        "I don't know o'clock rock'n'roll mm-hm naïve A_B_C .",
        "&-um &+b &~xyz .",
        f"I {bullet(0, 5)} ran .",
    ],
)
def test_valid_main_tiers_have_no_problem(main: str) -> None:
    text = unlinked(f"*CHI:\t{main}")
    assert check_chat(text.replace(UNLINKED, LINKED) if "\x15" in main else text) == []


@pytest.mark.parametrize(
    ("main", "column", "code"),
    [
        # what writers get wrong
        ("I have 2 dogs .", 8, "digit"),
        ("the b2b dog .", 6, "digit"),
        ("I don’t .", 6, "apostrophe"),
        ("the dog", 8, "terminator"),
        ("Mr. Smith ran .", 3, "glued-terminator"),
        ("hello . dog .", 9, "terminator"),
        ("hello ...", 7, "symbol"),
        ("the dog [//] .", 9, "retrace"),
        ("<I [/]> [//] he ran .", 4, "retrace"),
        ("dog[/] dog .", 4, "glued-code"),
        ("<dog>[/] dog .", 6, "glued-code"),
        (".", 1, "empty-utterance"),
        ("", 1, "empty-utterance"),
        ("[laughs] dog .", 1, "code"),
        ("&um dog .", 1, "legacy-code"),
        ("(laughs) dog .", 1, "empty-word"),
        ("xx dog .", 1, "legacy-code"),
        ("😀 dog .", 1, "symbol"),
        # what both judges pass
        ("I ran.", 6, "glued-terminator"),
        ("hello, dog .", 6, "glued-separator"),
        ("hello — dog .", 7, "dash"),
        ("hel—lo dog .", 4, "dash"),
        ("d- dog .", 1, "hyphen"),
        ("so um dog .", 4, "bare-filler"),
        ("the\u00a0dog .", 4, "space"),
        ("the\u200bdog .", 4, "invisible-character"),
        ("the \u200b dog .", 5, "symbol"),
        ("the h\u0435llo .", 6, "homoglyph"),
        ("<the dog> [/] The dog .", 15, "repeat-case"),
        # structure
        ("<the dog [/] the dog .", 1, "group"),
        ("the dog> [/] the dog .", 8, "group"),
        ("<the dog> ran .", 9, "group"),
        ("< the dog> [/] the dog .", 2, "group"),
        ("<the dog > [/] the dog .", 10, "group"),
        ("<> [/] dog .", 1, "group"),
        ("I (.) [/] I ran .", 7, "code-place"),
        ("dog [/] [//] cat .", 9, "code-place"),
        ("[*] dog .", 1, "code-place"),
        ("&=laughs [/] dog .", 10, "retrace"),
        ("dog [x 3] .", 5, "legacy-code"),
        ("dog [/?] cat .", 5, "legacy-code"),
        ("rhi(.)noceros .", 1, "legacy-code"),
        ("^dog .", 1, "legacy-code"),
        ("um@fp .", 3, "legacy-code"),
        ("dog # .", 5, "legacy-code"),
        ("dog ++ cat .", 5, "linker"),
        ("dog [- eng] cat .", 5, "linker"),
        ("[- spa] hola .", 1, "language"),
        ("the hola@s .", 9, "language"),
        ("hola@s:spa .", 1, "language"),
        ("the °dog .", 5, "ca"),
        ("goed [: x , y] .", 11, "code"),
        ("goed [: x2] .", 10, "digit"),
        ("&-um [: cat] .", 6, "code-place"),
        ("goed [*] [: went] .", 10, "code-place"),
        ("I &{l=x dog .", 3, "long-event"),
        ("I dog &}l=x .", 7, "long-event"),
        ('&=a"b dog .', 1, "code"),
        ("&*MOT:3 dog .", 1, "code"),
        ("the ° dog .", 5, "ca"),
        (", dog .", 1, "separator"),
        ("&-um , dog .", 6, "separator"),
        ("dog , , cat .", 7, "separator"),
        ("dog , .", 5, "separator"),
        ("“dog .", 7, "quote"),
        ("dog [+ x] .", 5, "postcode"),
        ("dog ? !", 7, "terminator"),
        ("↫b-b↫ dog .", 1, "empty-word"),
        ("b↫oy dog .", 2, "part-word"),
        (":so dog .", 1, "prolongation"),
        ("do(g .", 3, "symbol"),
        ("dog@zz .", 4, "form-marker"),
        ("ice++cream .", 1, "joint"),
        ("'dog' .", 1, "quote"),
        ("a*b .", 2, "character"),
        (" dog .", 1, "space"),
        (f"a {bullet(5, 5)} dog .", 3, "bullet"),
        (f"a {bullet(5, 9)} dog {bullet(4, 9)} cat .", 13, "bullet-order"),
    ],
)
def test_main_tier_problems_have_a_place(main: str, column: int, code: str) -> None:
    text = unlinked(f"*CHI:\t{main}")
    if "\x15" in main:
        text = text.replace(UNLINKED, LINKED)
    # The main tier begins in column 7 of line 8.
    assert (8, column + 6, code) in found(text)


def test_places_in_folded_lines() -> None:
    text = unlinked("*CHI:\tthe dog\n\tran 2 miles\n\tand 3 more .", "*MOT:\tno")
    assert found(text) == [(9, 6, "digit"), (10, 6, "digit"), (11, 9, "terminator")]


def test_bare_fillers_depend_on_the_language() -> None:
    text = unlinked("*CHI:\täh um .")
    assert [p.message for p in check_chat(text)] == ["a filled pause is written &-um, not um"]
    german = text.replace("eng", "deu")
    assert [p.message for p in check_chat(german)] == ["a filled pause is written &-äh, not äh"]


FULL = (
    "@UTF8\n@PID:\t11312/c-1\n@Begin\n@Languages:\teng, spa\n@Participants:\tCHI Ana Target_Child, MOT Mother\n"
    "@Options:\tCA\n@ID:\teng|asrlsa|CHI|4;06.03|female|TD|White,MC|Target_Child|12|x|\n"
    "@ID:\teng, spa|asrlsa|MOT|||||Mother|||\n@Birth of CHI:\t03-JAN-2015\n@L1 of CHI:\teng\n@Media:\tx, video\n"
    "@Date:\t03-JUL-2019\n@Comment:\tmade for a test\n@Bg:\tplay\n"
    f"*CHI:\tI , &-um [/] &-um ran . {bullet(0, 90)}\n%wor:\tI {bullet(0, 5)} um um {bullet(6, 9)} ran .\n"
    "%com:\tx\n%xown:\ty\n@Eg:\tplay\n@New Episode\n"
    f"*MOT:\tyes . {bullet(10, 50)}\n*CHI:\tno . {bullet(90, 99)}\n@End\n"
)


def test_a_full_valid_file(judge) -> None:
    assert found(FULL, "x") == []
    assert judge(FULL) == []


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("@UTF8\n", "", "header-missing"),
        ("@Begin\n", "", "header-missing"),
        ("@Languages:\teng, spa\n", "", "header-missing"),
        ("@End\n", "", "header-missing"),
        ("@End\n", "@End\nmore\n", "after-end"),
        ("@End\n", "@End\n\n", "after-end"),
        ("@UTF8\n", "\ufeff@UTF8\n", "bom"),
        ("@UTF8\n", "@UTF8\r\n", "line-end"),
        ("@New Episode\n", "\n", "blank-line"),
        ("@New Episode\n", "New Episode\n", "line"),
        ("@New Episode\n", "@Episode\n", "header"),
        ("@New Episode\n", "@Comment\n", "header"),
        ("made for a test", "", "header"),
        ("@Comment:\t", "@Comment: ", "tab"),
        ("*MOT:\t", "*MOT: ", "tab"),
        ("%com:\t", "%com: ", "tab"),
        ("eng, spa\n", "en\n", "language"),
        ("eng, spa\n", "eng,spa\n", "language"),
        ("MOT Mother\n", "MOT Mother,\n", "participant"),
        ("MOT Mother\n", "MOT\n", "participant"),
        ("MOT Mother\n", "MOT Mum\n", "role"),
        ("|Mother|", "|Father|", "id"),
        ("*MOT:", "*FAT:", "speaker"),
        ("CHI Ana", "CHILDREN Ana", "participant"),
        ("MOT Mother\n", "MOT Mother, FAT Father\n", "id"),
        ("|12|x|", "|12|", "id"),
        ("|12|x|", "|12|x|y|", "id"),
        ("|asrlsa|MOT", "||MOT", "id"),
        ("eng, spa|", "fra|", "id"),
        ("4;06.03", "4;6.3", "age"),
        ("4;06.03", "4", "age"),
        ("female", "f", "sex"),
        ("White,MC", "rich", "ses"),
        ("@L1 of CHI:\teng\n@Media:\tx, video\n", "@Media:\tx, video\n@L1 of CHI:\teng\n", "header-order"),
        ("@Options:\tCA\n", "@Comment:\tearly\n", "header-order"),
        ("03-JUL-2019", "2019-07-03", "date"),
        ("03-JAN-2015", "3-JAN-2015", "date"),
        ("x, video", "x.wav, video", "media"),
        ("x, video", "y, video", "media"),
        ("x, video", "x, video, unlinked", "media"),
        ("x, video", "x, film", "media"),
        ("x, video", "x", "media"),
        ("@Media:\tx, video\n", "", "media"),
        ("@Eg:\tplay\n", "", "gem"),
        ("@Bg:\tplay\n", "", "gem"),
        ("10_50", "50_10", "bullet"),
        ("10_50", "10_10", "bullet"),
        ("10_50", "10.5_50", "bullet"),
        ("90_99", "89_99", "bullet-overlap"),
        ("90_99", "9_99", "bullet-order"),
        ("%xown:", "%own:", "tier"),
        ("%xown:\ty", "%xown:\t", "tier"),
        ("%xown:", "%com:", "tier"),
        ("um um", "um", "wor-count"),
        ("um um", "um dog", "wor-word"),
        ("6_9", "6_99", "wor-time"),
        ("6_9", "9_6", "wor-time"),
        ("0_5", "8_9", "wor-time"),
        ("ran .\n%com", "ran ?\n%com", "wor-terminator"),
    ],
)
def test_file_problems(old: str, new: str, code: str) -> None:
    assert FULL.count(old) >= 1
    text = FULL.replace(old, new, 1)
    assert code in [problem.code for problem in check_chat(text, "x")]


def test_header_places() -> None:
    text = FULL.replace("4;06.03", "4")
    assert [p for p in found(text, "x") if p[2] == "age"] == [(7, 21, "age")]


def test_every_role_passes_the_judge_and_others_do_not(judge) -> None:
    def file(role: str) -> str:
        return (
            f"@UTF8\n@Begin\n@Languages:\teng\n@Participants:\tCHI {role}\n@ID:\teng|asrlsa|CHI|||||{role}|||\n"
            "*CHI:\thi .\n@End\n"
        )

    for role in ROLES:
        assert judge(file(role)) == []
        assert codes(file(role)) == []
    for role in ("Clinician", "Parent", "mother", "Target_child"):
        assert judge(file(role)) != []
        assert "role" in codes(file(role))


@pytest.mark.parametrize("name", MESSY)
def test_messy_files_are_checked_without_an_error(name: str) -> None:
    problems = check_chat(MESSY[name])
    lines = MESSY[name].split("\n")
    assert problems == sorted(problems)
    assert all(1 <= p.line <= len(lines) and 1 <= p.column <= len(lines[p.line - 1]) + 1 for p in problems)
    assert problems or name in ("folded", "bullets")


@pytest.mark.parametrize("text", ["", "\n", "\t", "@", "*", "%", ":\t", "@UTF8", "*CHI:\t\n\t\n", "@ID:\t\n"])
def test_fragments_of_files_are_checked_without_an_error(text: str) -> None:
    assert check_chat(text)


@given(st.text(st.sampled_from("@*%:\t\n ab<>[]/.,&-+\x15_01|;U"), max_size=60))
def test_the_check_never_raises(text: str) -> None:
    for problem in (*check_chat(HEAD + text), *check_chat(text)):
        assert problem.line >= 1
        assert problem.column >= 1


@pytest.mark.parametrize(
    ("text", "repaired"),
    [
        ("dog", "dog"),
        ("dog.", "dog"),
        ("“dog”,", "dog"),
        ("don’t", "don't"),
        ("'dog'", "dog"),
        ("o'clock", "o'clock"),
        ("hel\u200blo", "hello"),
        ("ﬁsh", "fish"),
        ("¿qué", "qué"),
        ("dog—", "dog"),
        ("mother‑in‑law", "mother-in-law"),
        ("d-", "d"),
        ("a*b", "ab"),
        ("New__York", "New_York"),
        ("&-um", "um"),
        ("b@zz", "b"),
        ("3", "xxx"),
        ("b2b", "xxx"),
        ("[laughs]", "xxx"),
        ("*sighs*", "xxx"),
        ("♪", "xxx"),
        ("hola@s", "hola"),
        ("°dog°", "dog"),
        ("...", "xxx"),
        ("", "xxx"),
        ("xx", "xxx"),
    ],
)
def test_repair_of_one_token(text: str, repaired: str) -> None:
    assert repair_token(text) == repaired
    assert is_word(text) is (text == repaired and text != "xxx")


@given(st.text(max_size=12))
def test_a_repaired_token_can_be_written(judge, text: str) -> None:
    word = repair_token(text)
    assert word == "xxx" or is_word(word)
    assert judge(unlinked(f"*CHI:\t{word} .")) == []
    assert [p for p in check_chat(unlinked(f"*CHI:\t{word} .")) if p.severity == "error"] == []


@given(st.text(st.sampled_from("ab'-_+:()^≠↫@gls .12é“"), min_size=1, max_size=8))
def test_what_is_a_word_passes_the_judge(judge, text: str) -> None:
    if is_word(text):
        assert judge(unlinked(f"*CHI:\tthe {text} .")) == []


def test_silence_is_valid(judge) -> None:
    text = HEAD + UNLINKED + "@Comment:\tno speech was found\n" + END
    assert check_chat(text) == []
    assert judge(text) == []
