"""Tables of the spelling steps: English contractions and variants, and filled pauses by language.

The tables hold only forms that have one reading. ``he's`` is *he is* or *he has*, ``dog's`` may be a possessive and
``he'd`` *he had* or *he would*: those stay as they are, on both sides.
"""

from __future__ import annotations

import re

_NOT_TEXT = "is are was were do does did has have had would could should must might need"  # ca-n't, wo-n't: below
_NOT = _NOT_TEXT.split()

CONTRACTIONS: dict[str, tuple[str, ...]] = {
    **{f"{verb}n't": (verb, "not") for verb in _NOT},
    "can't": ("can", "not"),
    "cannot": ("can", "not"),
    "won't": ("will", "not"),
    "shan't": ("shall", "not"),
    **{f"{who}'re": (who, "are") for who in ["you", "we", "they", "there", "what", "who", "how"]},
    **{
        f"{who}'ve": (who, "have")
        for who in ["i", "you", "we", "they", "who", "there", "could", "should", "would", "might", "must"]
    },
    **{
        f"{who}'ll": (who, "will")
        for who in ["i", "you", "he", "she", "it", "we", "they", "that", "this", "there", "who", "what"]
    },
    "i'm": ("i", "am"),
    "let's": ("let", "us"),
    "y'all": ("you", "all"),
    "gonna": ("going", "to"),
    "wanna": ("want", "to"),
    "gotta": ("got", "to"),
    "hafta": ("have", "to"),
    "hasta": ("has", "to"),
    "hadta": ("had", "to"),
    "needa": ("need", "to"),
    "oughta": ("ought", "to"),
    "supposta": ("supposed", "to"),
    "sposta": ("supposed", "to"),
    "useta": ("used", "to"),
    "tryna": ("trying", "to"),
    "finna": ("fixing", "to"),
    "gimme": ("give", "me"),
    "lemme": ("let", "me"),
    "kinda": ("kind", "of"),
    "sorta": ("sort", "of"),
    "lotta": ("lot", "of"),
    "lotsa": ("lots", "of"),
    "outta": ("out", "of"),
    "dunno": ("do", "not", "know"),
    "whatcha": ("what", "are", "you"),
    "gotcha": ("got", "you"),
    "coulda": ("could", "have"),
    "shoulda": ("should", "have"),
    "woulda": ("would", "have"),
    "mighta": ("might", "have"),
    "musta": ("must", "have"),
}

# Spellings of one spoken word, said alike; the first of each line is written.
# Words that are said otherwise (mom, mum) are not here.
_SAME = """
all_right alright
okay ok okey o.k
yeah yea yah
whoa woah
gray grey
pajamas pyjamas
tire tyre
curb kerb
draft draught
jewelry jewellery
story storey
check cheque
plow plough
program programme
skeptical sceptical
cozy cosy
donut doughnut
mustache moustache
till til
though tho
through thru
night nite
mister mr
missus mrs
doctor dr
versus vs
any_more anymore
any_time anytime
a_while awhile
every_day everyday
traveled travelled
traveling travelling
traveler traveller
canceled cancelled
canceling cancelling
labeled labelled
modeling modelling
jeweler jeweller
"""

_VARIANTS: dict[str, tuple[str, ...]] = {
    variant: tuple(line.split()[0].split("_"))
    for line in _SAME.strip().splitlines()
    for variant in line.split()[1:]
    if "_" not in variant and variant != line.split()[0]
}

_OUR_TEXT = "col fav hon hum lab neighb behavi flav harb arm endeav vap rum sav splend vig parl glam od"
_OUR = frozenset(_OUR_TEXT.split())
_OUR_WORD = re.compile(r"^(dis)?([a-z]+?)our(s|ed|ing|ite|ites|able|ful|less|hood|hoods|er|ers|y)?$")
_TRE_WORD = re.compile(r"^(cen|thea|me|li|fi|meag|spec|kilome|centime|millime)tre(s|d)?$")
_ISE_TEXT = """
real organ recogn apolog memor special final util critic emphas fantas general ident local minim maxim mobil
modern normal optim popular prior sanit social stabil standard summar symbol sympath visual vocal energ hypnot
character categor author civil colon material neutral personal rational
"""
_ISE = _ISE_TEXT.split()
_ISE_WORD = re.compile(rf"^({'|'.join(_ISE)})is(e|es|ed|ing|ation|ations|er|ers)$")
_YSE_WORD = re.compile(r"^(anal|paral|catal)ys(e|es|ed|ing)$")
_ENCE_WORD = re.compile(r"^(def|off|lic|pret)ence(s|d|less)?$")


def spelling(word: str) -> tuple[str, ...]:
    """Write an English spelling variant the American way, and one of several usual spellings one way."""
    found = _VARIANTS.get(word)
    if found is not None:
        return found
    if (m := _OUR_WORD.match(word)) and m[2] in _OUR:
        return (f"{m[1] or ''}{m[2]}or{m[3] or ''}",)
    if m := _TRE_WORD.match(word):
        return (f"{m[1]}ter{m[2] or ''}",)
    if m := _ISE_WORD.match(word):
        return (f"{m[1]}iz{m[2]}",)
    if m := _YSE_WORD.match(word):
        return (f"{m[1]}yz{m[2]}",)
    if m := _ENCE_WORD.match(word):
        return (f"{m[1]}ense{m[2] or ''}",)
    return (word,)


_BACKCHANNELS = (
    ("mhm", re.compile(r"m+-?h+m+|hm+-mm+")),
    ("uhhuh", re.compile(r"u[hn]+-?huh?")),
    ("uhuh", re.compile(r"uh-?uh|unh-?unh")),
    ("uhoh", re.compile(r"uh-?oh")),
)


def backchannel(word: str) -> str | None:
    """Return the one spelling that stands for an English *mhm*, *uhhuh*, *uhuh* or *uhoh*, or None."""
    bare = word.strip(".,;:!?-\"'")
    return next((name for name, pattern in _BACKCHANNELS if pattern.fullmatch(bare)), None)


# One pattern a class and language. "er" is a German and "um" a Portuguese word, so languages never share patterns.
_FILLERS: dict[str, tuple[tuple[str, re.Pattern[str]], ...]] = {
    "eng": (
        ("um", re.compile(r"u+h*m+|e+r+m+|e+hm+")),
        ("uh", re.compile(r"u+h+|e+r+|u+r+|e+rr+")),
        ("hm", re.compile(r"h+m+|m{2,}")),
        ("ah", re.compile(r"a+h+")),
    ),
    "spa": (("eh", re.compile(r"e+h+")), ("em", re.compile(r"e+h?m+")), ("mm", re.compile(r"h?m{2,}|h+m+"))),
    "fra": (("euh", re.compile(r"e+uh+|heu+")), ("hum", re.compile(r"h+u*m+|m{2,}"))),
    "deu": (("äh", re.compile(r"ä+h+|ae+h+")), ("ähm", re.compile(r"ä+h?m+|e+hm+|öh?m+")), ("hm", re.compile(r"h+m+"))),
}


def filler_class(word: str, language: str) -> str | None:
    """Return the one spelling that stands for a filled pause, or None for any other word.

    Args:
        word: A normalised word.
        language: ISO 639-3 code; languages without a table have no classes.
    """
    for name, pattern in _FILLERS.get(language, ()):
        if pattern.fullmatch(word):
            return name
    return None
