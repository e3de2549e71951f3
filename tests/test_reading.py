"""Golden readings: every row of the CHAT guide's disfluency table, and what else a main tier may say."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrlsa.disfluency import Event, read_main_tier


def event(kind: str, start: int, end: int, units: int = 1, duration: int | None = None) -> Event:
    return Event(kind, start, end, units, duration)


GOLDEN = [
    # text, verbatim, clean, events
    # the table of disfluency codes
    ("&-uh I ran .", "uh I ran", "I ran", [event("filled_pause", 0, 1)]),
    ("&+fr frog .", "fr- frog", "frog", [event("fragment", 0, 1)]),
    ("&~xyz dog .", "xyz dog", "dog", [event("nonword", 0, 1)]),
    ("I [/] I ran .", "I I ran", "I ran", [event("word_repetition", 0, 1)]),
    ("<I want> [/] I want it .", "I want I want it", "I want it", [event("phrase_repetition", 0, 2)]),
    ("dog [//] cat ran .", "dog cat ran", "cat ran", [event("retracing", 0, 1)]),
    ("<the dog> [//] the cat ran .", "the dog the cat ran", "the cat ran", [event("retracing", 0, 2)]),
    ("<all of my> [///] we went .", "all of my we went", "we went", [event("reformulation", 0, 3)]),
    ("<I wanted> [/-] he ran .", "I wanted he ran", "he ran", [event("false_start", 0, 2)]),
    ("s::o big .", "so big", "so big", [event("prolongation", 0, 1, 2)]),
    ("↫b-b↫boy .", "b- b- boy", "boy", [event("part_word_repetition", 0, 2, 2)]),
    ("≠dog .", "dog", "dog", [event("block", 0, 1)]),
    ("spa^ghetti .", "spaghetti", "spaghetti", [event("broken_word", 0, 1)]),
    ("I (.) ran .", "I ran", "I ran", [event("pause", 1, 1)]),
    ("I (1.5) ran .", "I ran", "I ran", [event("pause", 1, 1, duration=1500)]),
    ("the dog +//.", "the dog", "the dog", []),
    ("the dog +/.", "the dog", "the dog", []),
    ("the dog +...", "the dog", "the dog", []),
    # groups: three repeats, stacking, nesting
    (
        "I [/] I [/] I was .",
        "I I I was",
        "I was",
        [event("word_repetition", 0, 1), event("word_repetition", 1, 2)],
    ),
    ("&-≠um I .", "um I", "I", [event("filled_pause", 0, 1), event("block", 0, 1)]),
    (
        "<I [/] I want> [//] he ran .",
        "I I want he ran",
        "he ran",
        [event("word_repetition", 0, 1), event("retracing", 0, 3)],
    ),
    (
        "<<I want> [/] I want> [//] he ran .",
        "I want I want he ran",
        "he ran",
        [event("phrase_repetition", 0, 2), event("retracing", 0, 4)],
    ),
    (
        "<the &-um dog> [//] the cat .",
        "the um dog the cat",
        "the cat",
        [event("retracing", 0, 3), event("filled_pause", 1, 2)],
    ),
    ("<the um dog> [//] the cat .", "the um dog the cat", "the cat", [event("retracing", 0, 3)]),
    (
        "I [/] &-um I ran .",
        "I um I ran",
        "I ran",
        [event("word_repetition", 0, 1), event("filled_pause", 1, 2)],
    ),
    (
        "<I &-um> [/] I ran .",
        "I um I ran",
        "I ran",
        [event("word_repetition", 0, 2), event("filled_pause", 1, 2)],
    ),
    (
        "&+b [/] &+b boy .",
        "b- b- boy",
        "boy",
        [event("fragment", 0, 1), event("word_repetition", 0, 1), event("fragment", 1, 2)],
    ),
    ("<dog> [/] dog .", "dog dog", "dog", [event("word_repetition", 0, 1)]),
    ("ice_cream [/] ice_cream .", "ice cream ice cream", "ice cream", [event("word_repetition", 0, 2)]),
    ("dog [*] [//] cat .", "dog cat", "cat", [event("retracing", 0, 1)]),
    ("<dog> [= pet] [//] [*] cat .", "dog cat", "cat", [event("retracing", 0, 1)]),
    (
        "dog (.) [/] dog .",
        "dog dog",
        "dog",
        [event("word_repetition", 0, 1), event("pause", 1, 1)],
    ),
    # stuttering codes together
    (
        "≠↫b-b-b↫b:oy^s .",
        "b- b- b- boys",
        "boys",
        [
            event("part_word_repetition", 0, 3, 3),
            event("prolongation", 3, 4),
            event("block", 3, 4),
            event("broken_word", 3, 4),
        ],
    ),
    ("↫the-the↫the dog .", "the- the- the dog", "the dog", [event("part_word_repetition", 0, 2, 2)]),
    ("do↫g-g↫g .", "g- g- dog", "dog", [event("part_word_repetition", 0, 2, 2)]),
    ("dog↫g-g↫ .", "dog g- g-", "dog", [event("part_word_repetition", 1, 3, 2)]),
    (
        "↫b-b↫boy [/] boy .",
        "b- b- boy boy",
        "boy",
        [event("part_word_repetition", 0, 2, 2), event("word_repetition", 0, 3)],
    ),
    ("&-u:m .", "um", "", [event("filled_pause", 0, 1), event("prolongation", 0, 1)]),
    ("&+fr- frog .", "fr- frog", "frog", [event("fragment", 0, 1)]),
    ("&-you_know .", "you know", "", [event("filled_pause", 0, 2)]),
    # legacy codes
    (
        "dog [x 3] cat .",
        "dog dog dog cat",
        "dog cat",
        [event("word_repetition", 0, 1), event("word_repetition", 1, 2)],
    ),
    (
        "<&-um dog> [x 2] .",
        "um dog um dog",
        "dog",
        [event("filled_pause", 0, 1), event("word_repetition", 0, 2), event("filled_pause", 2, 3)],
    ),
    ("dog [/?] cat .", "dog cat", "cat", [event("retracing", 0, 1)]),
    ("rhi(.)noceros .", "rhinoceros", "rhinoceros", [event("broken_word", 0, 1)]),
    ("^dog .", "dog", "dog", [event("block", 0, 1)]),
    ("&um dog .", "um dog", "dog", [event("filled_pause", 0, 1)]),
    ("&fr frog .", "fr- frog", "frog", [event("fragment", 0, 1)]),
    ("um@fp dog .", "um dog", "dog", [event("filled_pause", 0, 1)]),
    ("dog # cat #2 .", "dog cat", "dog cat", [event("pause", 1, 1), event("pause", 2, 2)]),
    # other words
    ("goed [: went] [*] .", "goed", "went", []),
    ("I wanna [: want to] go .", "I wanna go", "I want to go", []),
    ("ice_cream [: sorbet] .", "ice cream", "sorbet", []),
    ("goed [: went] [//] ran .", "goed ran", "ran", [event("retracing", 0, 1)]),
    ("(be)cause he wa(s)n't .", "cause he wan't", "because he wasn't", []),
    ("0is dog .", "dog", "dog", []),
    ("0 .", "", "", []),
    ("ice+cream New_York U_S_A .", "ice cream New York U S A", "ice cream New York U S A", []),
    ("b@l perro@s:spa dog$n .", "b perro dog", "b perro dog", []),
    ("hello , the ‡ „ “dog” ; ran : .", "hello the dog ran", "hello the dog ran", []),
    ("&=laughs &*MOT:mhm dog &=points:dog .", "dog", "dog", []),
    ("dog [?] [= pet] [=! loud] [% x] [!] [>] .", "dog", "dog", []),
    ('+" the dog +"/.', "the dog", "the dog", []),
    ("[- spa] hola . [+ exc]", "hola", "hola", []),
    ("⌈dog⌉ °cat° ↑up ⌊2yes⌋2 ≈ .", "dog cat up yes", "dog cat up yes", []),
    ("d- ran", "d- ran", "d- ran", []),
    (
        "cat (1:05.5) dog (..) (...) .",
        "cat dog",
        "cat dog",
        [event("pause", 1, 1, duration=65500), event("pause", 2, 2), event("pause", 2, 2)],
    ),
    ("&=laughs [/] dog .", "dog", "dog", []),
    ("dog \x150_10\x15 cat .", "dog cat", "dog cat", []),
    # messy: what can't be read says nothing, the rest stays
    ("dog. cat, [laughs] — ... cow", "dog cat cow", "dog cat cow", []),
    ("the dog> [/] the < dog .", "the dog the dog", "the the dog", [event("word_repetition", 1, 2)]),
    ("[/] dog [/]", "dog", "", [event("word_repetition", 0, 1)]),
    ("", "", "", []),
]


@pytest.mark.parametrize(("text", "verbatim", "clean", "events"), GOLDEN, ids=[row[0] for row in GOLDEN])
def test_golden(text: str, verbatim: str, clean: str, events: list[Event]) -> None:
    reading = read_main_tier(text)
    assert " ".join(reading.verbatim) == verbatim
    assert " ".join(reading.clean) == clean
    assert list(reading.events) == events


@pytest.mark.parametrize(
    ("text", "masks"),
    [
        ("xxx dog yyy www .", [("xxx", 0), ("yyy", 1), ("www", 1)]),
        ("<the xxx> [//] the cat xxx@s:spa .", [("xxx", 1), ("xxx", 3)]),
        ("xx yy XXX .", [("xxx", 0), ("yyy", 0), ("xxx", 0)]),
        ("xxx [/] dog .", [("xxx", 0)]),
    ],
)
def test_masks(text: str, masks: list[tuple[str, int]]) -> None:
    found = read_main_tier(text).masks
    assert [(mask.kind, mask.start) for mask in found] == masks
    assert all(mask.start == mask.end for mask in found)


def test_words_know_their_kind_and_token() -> None:
    words = read_main_tier("&-um ↫b-b↫boy &+fr ice_cream &~xyz wanna [: want to] .").words
    assert [(w.verbatim, w.clean, w.kind, w.raw) for w in words] == [
        ("um", None, "filled_pause", "&-um"),
        ("b-", None, "fragment", "↫b-b↫boy"),
        ("b-", None, "fragment", "↫b-b↫boy"),
        ("boy", "boy", "word", "↫b-b↫boy"),
        ("fr-", None, "fragment", "&+fr"),
        ("ice", "ice", "word", "ice_cream"),
        ("cream", "cream", "word", "ice_cream"),
        ("xyz", None, "nonword", "&~xyz"),
        ("wanna", "want to", "word", "wanna"),
    ]


@pytest.mark.parametrize("terminator", [".", "?", "!", "+...", "+//.", "+/.", "+/?", '+"/.', ""])
def test_terminator(terminator: str) -> None:
    assert read_main_tier(f"dog {terminator} [+ gram]").terminator == terminator


PIECES = (
    "I the dog &-um &+b &~x xxx < > [/] [//] [///] [/-] [:_cat] [x_3] [x_99999] [*] (.) (1.5) , . +... 0 0is &=x "
    "↫b-b↫b s::o ≠a^b ^a ice_cream (be)cause b@l ↫ ≠ ( ) [ ] & &- \x150_1\x15 … ü 3"
)


@given(st.lists(st.sampled_from(PIECES.split()), max_size=12).map(" ".join))
def test_readings_hold_together(text: str) -> None:
    reading = read_main_tier(text.replace("[x_", "[x ").replace("[:_", "[: "))
    size = len(reading.words)
    assert all(word.verbatim and " " not in word.verbatim for word in reading.words)
    for found in (*reading.events, *reading.masks):
        empty = found.kind in ("pause", "xxx", "yyy", "www")
        assert 0 <= found.start <= found.end <= size
        assert (found.start == found.end) is empty
        assert found.units >= 1
    removed = {"word_repetition", "phrase_repetition", "retracing", "reformulation", "false_start"}
    for found in reading.events:
        if found.kind in removed:
            assert all(word.clean is None for word in reading.words[found.start : found.end])
    assert [event.start for event in reading.events] == sorted(event.start for event in reading.events)


def test_a_million_words_are_read_in_seconds() -> None:
    text = "so <what are> [/] what are &-um our s::o buttons (.) gonna [: going to] be (be)cause we [/] we ran ?"
    start = time.process_time()
    words = sum(len(read_main_tier(text).words) for _ in range(2000))
    rate = words / (time.process_time() - start)
    # 400,000 words a second where nothing else runs; the bound only catches a change of order.
    assert rate > 40_000
