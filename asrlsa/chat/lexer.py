"""One lexing pass over a CHAT main tier.

The scanner never fails: whatever it does not know becomes a token of kind ``unknown``. Tokens keep their text
unchanged, so the text can be rebuilt from tokens and columns. Meaning (what is removed by a retrace, what a
shortening says) belongs to ``asrlsa.chat.words`` and ``asrlsa.disfluency.reading``.

Token kinds:

=================  ==========================================================================
``word``           ``dog`` ``(be)cause`` ``s::o`` ``≠dog`` ``↫b-b↫boy`` ``ice+cream`` ``b@l``
``filled_pause``   ``&-um``
``fragment``       ``&+fr``, and the legacy ``&fr``
``nonword``        ``&~xyz``
``mask``           ``xxx`` ``yyy`` ``www``, and the legacy ``xx`` ``yy``
``omission``       ``0is``
``action``         ``0``
``event``          ``&=laughs``, and the long events ``&{l=x`` ``&}l=x``
``interposed``     ``&*MOT:mhm``
``pause``          ``(.)`` ``(..)`` ``(...)`` ``(1.5)`` ``(1:05.5)``, and the legacy ``#`` ``#2``
``open`` ``close``  ``<`` and ``>``
``retrace``        ``[/]`` ``[//]`` ``[///]`` ``[/-]``, and the legacy ``[/?]``
``repeat``         the legacy ``[x 3]``
``replacement``    ``[: target]`` ``[:: target]``
``error``          ``[*]`` ``[* m:+ed]``
``overlap``        ``[<]`` ``[>1]``
``annotation``     ``[?]`` ``[!]`` ``[= x]`` ``[=! x]`` ``[% x]`` and other codes about the item before
``language``       ``[- spa]``
``postcode``       ``[+ gram]``
``linker``         ``++`` ``+<`` ``+^`` ``+"`` ``+,``
``terminator``     ``.`` ``?`` ``!`` ``+...`` ``+//.`` and the others
``separator``      ``,`` ``„`` ``‡`` ``;`` ``:`` and the intonation arrows
``quote``          ``“`` ``”``
``ca``             conversation-analysis marks that stand alone
``bullet``         U+0015, text, U+0015
``unknown``        anything else
=================  ==========================================================================
"""

from __future__ import annotations

import re
from typing import NamedTuple

BULLET = "\x15"

#: Marks of conversation analysis and phonation that may stand inside or beside a word and say nothing.
CA_MARKS = "⌈⌉⌊⌋°∆∇☺♋⁇∬Ϋ∮▔▁⁎↑↓⇗↗→↘⇘∞≡≈≋∾⁑⤇⤆↻"
#: Those of them that open and close a stretch.
CA_PAIRS = "°∆∇☺♋⁇∬Ϋ∮▔▁⁎"
#: Those of them that stand between words, like a comma.
ARROWS = "⇗↗→↘⇘∞≡≈≋"

TERMINATORS = (".", "?", "!", "+...", "+..?", "+/.", "+//.", "+/?", "+//?", "+!?", '+"/.', '+".', "+.")
LINKERS = ("++", "+<", "+^", '+"', "+,", "+≈", "+≋")


class Token(NamedTuple):
    """One piece of a main tier; ``column`` counts characters of the tier's text from 1."""

    kind: str
    text: str
    column: int


_SCANNER = re.compile(
    r"""
      (?P<word>        [^\W\d_][^\W\d_']*(?=\s|\Z) )                 # the plain word, for speed
    | (?P<bullet>      \x15[^\x15]*\x15 )
    | (?P<code>        \[[^\[\]\x15]*\] )
    | (?P<terminator>  \+(?:\.\.\.|\.\.\?|//\.|//\?|/\.|/\?|!\?|"/\.|"\.|\.(?!\.)) | \.(?!\.) | [?!] )
    | (?P<linker>      \+[+<^",≈≋] )
    | (?P<open>        < )
    | (?P<close>       > )
    | (?P<pause>       \((?:\.{1,3}|(?:\d+:)?\d+\.\d*|\d+:\d+)\) | \#(?:\d[\d_.:]*|long)?(?=\s|\Z) )
    | (?P<separator>   [,„‡;⇗↗→↘⇘∞≡≈≋]+ | :(?=\s|\Z) )
    | (?P<quote>       [“”] )
    | (?P<event>       &=[^\s<>\[\]\x15]+ | &[{}][a-z]=[^\s<>\[\]\x15]+ )
    | (?P<interposed>  &\*[^\s<>\[\]\x15:]+:[^\s<>\[\]\x15]+ )
    | (?P<sounds>      (?:&[-+~]?)?
                       (?: [^\s<>\[\]\x15,.?!;:"“”„‡…()&⇗↗→↘⇘∞≡≈≋] | : | \([^\s()<>\[\]\x15.\d]+\)
                         | \(\.{1,3}\)(?=\w) | (?<=\d)[.,](?=\d) )+ )
    | (?P<unknown>     \.{2,} | \S )
    """,
    re.VERBOSE,
)

_MASKS = frozenset(("xxx", "yyy", "www", "xx", "yy", "ww"))
_RETRACES = frozenset(("[/]", "[//]", "[///]", "[/-]", "[/?]"))
_CA_ALONE = re.compile(rf"[{CA_MARKS}\d]+")
_SIGNS = {"-": "filled_pause", "+": "fragment", "~": "nonword"}

_CODE = re.compile(
    r"""\[(?:
      (?P<replacement> ::?\s[^\]]*\S[^\]]* )
    | (?P<error>       \*(?:\s[^\]]*)? )
    | (?P<overlap>     [<>]\d* )
    | (?P<postcode>    \+\s*[^\]]*\S[^\]]* )
    | (?P<language>    -\s+[^\]]+ )
    | (?P<repeat>      x\s+\d+ )
    | (?P<annotation>  \? | !{1,2} | =[!?]?\s[^\]]* | %[^\]]* | \^[^\]]* | \#[^\]]* | e | c | " | \$[^\]]* )
    )\]""",
    re.VERBOSE,
)


def _code_kind(text: str) -> str:
    """Return the kind of a bracketed code."""
    if text in _RETRACES:
        return "retrace"
    match = _CODE.fullmatch(text)
    return (match.lastgroup or "unknown") if match else "unknown"


def _sounds_kind(text: str) -> str:
    """Return the kind of a run of letters and signs."""
    first = text[0]
    if first == "&":
        if len(text) == 1:
            return "unknown"
        kind = _SIGNS.get(text[1])
        if kind is None:
            return "fragment"
        return kind if len(text) > 2 else "unknown"
    if first == "0":
        if len(text) == 1:
            return "action"
        if text[1].isalpha() or text[1] in "'(":
            return "omission"
    if text.partition("@")[0].lower() in _MASKS:
        return "mask"
    if _CA_ALONE.fullmatch(text) and not text.isdigit():
        return "ca"
    return "word" if any(map(str.isalnum, text)) else "unknown"


def lex(text: str) -> tuple[Token, ...]:
    """Return the tokens of a main tier's text (or of a ``%wor`` tier's) in order, without the spaces.

    ``text[token.column - 1:]`` starts with ``token.text`` for every token, and only white space stands between two
    tokens. Never raises.
    """
    tokens = []
    for match in _SCANNER.finditer(text):
        kind = match.lastgroup or "unknown"
        piece = match.group()
        if kind == "word":
            if piece.lower() in _MASKS:
                kind = "mask"
        elif kind == "code":
            kind = _code_kind(piece)
        elif kind == "sounds":
            kind = _sounds_kind(piece)
        tokens.append(Token(kind, piece, match.start() + 1))
    return tuple(tokens)
