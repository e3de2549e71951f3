import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrlsa.chat.lexer import LINKERS, TERMINATORS, lex


def kinds(text: str) -> list[tuple[str, str]]:
    return [(token.kind, token.text) for token in lex(text)]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        *[(text, "terminator") for text in TERMINATORS],
        *[(text, "linker") for text in LINKERS],
        *[
            (text, "word")
            for text in ("dog", "it's", "dogs'", "'cause", "(be)cause", "wa(s)n't", "s::o", "so:", "≠dog")
        ],
        *[(text, "word") for text in ("↫b-b↫boy", "spa^ghetti", "b@l", "perro@s:spa", "ice+cream", "A_B", "mm-hm")],
        *[(text, "word") for text in ("naïve", "हिन्दी", "日本", "3.5", "10,000", "d-", "rhi(.)noceros", "um@fp")],
        *[(text, "filled_pause") for text in ("&-um", "&-≠um", "&-you_know", "&-u:m")],
        *[(text, "fragment") for text in ("&+fr", "&fr", "&um")],
        ("&~xyz", "nonword"),
        *[(text, "mask") for text in ("xxx", "yyy", "www", "xx", "XXX", "xxx@s:spa")],
        *[(text, "omission") for text in ("0is", "0(i)s")],
        ("0", "action"),
        *[(text, "event") for text in ("&=laughs", "&=imit:dog", "&{l=x", "&}l=x")],
        ("&*MOT:mhm_yes", "interposed"),
        *[
            (text, "pause")
            for text in ("(.)", "(..)", "(...)", "(1.5)", "(1.)", "(12.25)", "(1:05.5)", "#", "#2", "#long")
        ],
        *[(text, "retrace") for text in ("[/]", "[//]", "[///]", "[/-]", "[/?]")],
        ("[x 3]", "repeat"),
        *[(text, "replacement") for text in ("[: went]", "[:: want to]")],
        *[(text, "error") for text in ("[*]", "[* m:+ed]")],
        *[(text, "overlap") for text in ("[<]", "[>1]")],
        *[
            (text, "annotation")
            for text in ("[?]", "[!]", "[!!]", "[= x y]", "[=! x]", "[=? x]", "[% x]", "[^ x]", "[e]")
        ],
        ("[- spa]", "language"),
        ("[+ gram]", "postcode"),
        *[(text, "separator") for text in (",", "„", "‡", ";", ":", "→")],
        *[(text, "quote") for text in "“”"],
        *[(text, "ca") for text in ("⌈", "⌊2", "°")],
        ("\x150_100\x15", "bullet"),
        *[
            (text, "unknown")
            for text in ("...", "…", "—", "[laughs]", "&", "&-", "[", "]", "(", "'", "😀", '"', "\u200b")
        ],
    ],
)
def test_one_token(text: str, kind: str) -> None:
    assert kinds(text) == [(kind, text)]


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("<I [/] I> [//] he ran .", "< I [/] I > [//] he ran ."),
        ("ran. hello,dog", "ran . hello , dog"),
        ("<dog>[/]dog", "< dog > [/] dog"),
        ("dog(.) cat", "dog (.) cat"),
        ("(laughs) ()", "(laughs) ( )"),
        ("“the dog” said", "“ the dog ” said"),
        ("a.b e.g. Mr.", "a . b e . g . Mr ."),
        ("dog ?!", "dog ? !"),
        ("+... +...? +//.+.", "+... +... ? +//. +."),
        ("so: : :so", "so: : :so"),
        ("a\x150_1\x15b", "a \x150_1\x15 b"),
    ],
)
def test_where_tokens_end(text: str, pieces: str) -> None:
    assert " ".join(token.text for token in lex(text)) == pieces


MAIN_TIER = st.text(
    st.one_of(st.sampled_from("ab <>[]/().,?!&-+~=*:;@0129\x15_'\"↫≠^“”⌈→x \t\n"), st.characters()), max_size=60
)


@given(MAIN_TIER)
def test_lexing_never_raises_and_joins_back(text: str) -> None:
    place = 0
    for token in lex(text):
        assert token.text
        start = token.column - 1
        assert text[place:start].strip() == ""
        assert text[start : start + len(token.text)] == token.text
        place = start + len(token.text)
    assert text[place:].strip() == ""
