"""What may stand on a main tier, and in which order."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from asrlsa.chat.lexer import ARROWS, CA_PAIRS, Token, lex
from asrlsa.chat.problems import Finding
from asrlsa.chat.word_rules import word_problems
from asrlsa.chat.words import filler_name

#: Hesitations that are never anything else in the language, so that a bare one should be coded as a filled pause.
BARE_FILLERS = {
    "eng": frozenset(("um", "umm", "uhm", "uh", "uhh", "er", "erm")),
    "spa": frozenset(("em", "ehm", "eeh", "mmm")),
    "fra": frozenset(("euh", "heu", "euhm")),
    "deu": frozenset(("äh", "ähm", "öh", "öhm")),
    "nld": frozenset(("uh", "uhm", "euh")),
    "ita": frozenset(("ehm", "uhm")),
    "por": frozenset(("hum", "ahn")),
}

SPOKEN = frozenset(("word", "filled_pause", "fragment", "nonword", "mask"))
_CONTENT = SPOKEN | {"event", "omission", "action", "interposed", "pause"}
#: Codes that are about the item before them.
_SCOPED = frozenset(("retrace", "repeat", "replacement", "error", "overlap", "annotation"))
_WORD_LIKE = frozenset(("word", "filled_pause", "fragment", "nonword", "mask", "omission"))
_CODABLE = SPOKEN | {"event", "omission", "action", "close", "unknown"}
_REPLACEABLE = frozenset(("word", "mask", "omission", "unknown"))
_AFTER_RETRACE = SPOKEN | {"event", "interposed", "pause", "open"}

_HINTS = {
    "...": "write +... for trailing off, and only as terminator",
    "…": "write +... for trailing off, and only as terminator",
    '"': "write “quoted words” or nothing",
    "&": "write &-um for a filled pause, &+b for a fragment, &~xyz for a nonword, &=laughs for an event",
    "(": "parentheses complete part of a word, as in (be)cause, or hold a pause, as in (.)",
    ")": "parentheses complete part of a word, as in (be)cause, or hold a pause, as in (.)",
    "[": "a code has the form [code]",
    "]": "a code has the form [code]",
    "≠": "write ≠ right before the word",
    "↫": "a part-word repetition is written ↫b-b↫boy",
}
_DASHES = frozenset("–—―−-‐‑‒")
_BULLET = re.compile(r"\x15(\d+)_(\d+)\x15\Z")
_CODE_FORM = re.compile(r"\[(?:\*[^ \]]|=[!?]?[^ !?\]]|%[^ \]]|\+[^ \]]|\^[^ \]])")
_FORMS = {
    "event": re.compile(r"&(?:=|[{}][a-z]=)[\w:'-]+\Z"),
    "interposed": re.compile(r"&\*[A-Za-z0-9_'+-]{1,7}:[^\W\d_][\w:'+^-]*\Z"),
}
_EXAMPLES = {"event": "&=laughs", "interposed": "&*MOT:mhm"}
_SWITCH = re.compile(r"@s(?::[a-z]{3})?\Z")
_SPACES = re.compile(r"[^\S ]")


def main_tier_problems(text: str, languages: Sequence[str] = ()) -> list[Finding]:
    """Return what is wrong with a main tier's text (without its final bullet), in order.

    Args:
        text: ``Utterance.text``.
        languages: ISO 639-3 codes of the file; the first decides which bare words are fillers.
    """
    tokens = lex(text)
    found = [*_spacing(text, tokens), *_items(tokens, languages), *_order(tokens), *_conversation(tokens)]
    found += _switches(tokens, languages)
    found += [*_groups(tokens), *_retraces(tokens), *_repetitions(tokens)]
    return sorted(found)


def _offset(token: Token) -> int:
    return token.column - 1


def _spacing(text: str, tokens: Sequence[Token]) -> Iterator[Finding]:
    """Check the white space between tokens."""
    if text[:1].isspace():
        yield Finding(0, "space", "a space stands between the tab and the utterance")
    for match in _SPACES.finditer(text):
        yield Finding(match.start(), "space", f"white space other than a plain space (U+{ord(match.group()):04X})")
    for before, token in pairwise(tokens):
        if before.column + len(before.text) == token.column and not _may_touch(before, token):
            yield _glued(before, token)


def _may_touch(before: Token, token: Token) -> bool:
    """Return True for two tokens that need no space between them."""
    return (
        before.kind in ("open", "ca")
        or token.kind in ("close", "ca")
        or (before.kind == "quote" and before.text == "“")
        or (token.kind == "quote" and token.text == "”")
        or (token.kind == "separator" and token.text[0] in ARROWS)
        or (before.kind == "separator" and before.text[-1] in ARROWS)
        or "unknown" in (before.kind, token.kind)
    )


def _glued(before: Token, token: Token) -> Finding:
    pair = before.text + token.text
    if token.kind == "terminator":
        return Finding(_offset(token), "glued-terminator", f"a space must stand before the terminator: {pair}")
    if token.kind == "separator":
        return Finding(_offset(token), "glued-separator", f"a space must stand before {token.text}: {pair}")
    if token.kind in _SCOPED:
        return Finding(_offset(token), "glued-code", f"a space must stand before {token.text}: {pair}")
    return Finding(_offset(token), "glued", f"a space must stand between {before.text} and {token.text}")


def _items(tokens: Sequence[Token], languages: Sequence[str]) -> Iterator[Finding]:
    """Check every token by itself."""
    fillers = BARE_FILLERS.get(languages[0], frozenset()) if languages else frozenset()
    last = -1
    for token in tokens:
        kind, text = token.kind, token.text
        if kind in _WORD_LIKE:
            yield from _word(token, fillers)
        elif kind == "unknown":
            yield _unknown(token)
        elif kind in _FORMS and not _FORMS[kind].match(text):
            yield Finding(_offset(token), "code", f"{text} is not in the form of {_EXAMPLES[kind]}")
        elif kind == "replacement":
            yield from _replacement(token)
        elif kind == "bullet":
            match = _BULLET.match(text)
            if not match:
                yield Finding(_offset(token), "bullet", "a bullet holds begin and end in whole milliseconds: 0_1500")
            else:
                if int(match[1]) >= int(match[2]):
                    yield Finding(_offset(token), "bullet", f"the bullet {match[1]}_{match[2]} ends before it begins")
                if int(match[1]) < last:
                    yield Finding(_offset(token), "bullet-order", f"the bullet begins before the one at {last}")
                last = int(match[1])
        elif kind in ("repeat", "retrace") and (kind == "repeat" or text == "[/?]"):
            yield Finding(_offset(token), "legacy-code", f"an old code: {text}; write the repeats with [/] or [//]")
        elif kind == "pause" and text[0] == "#":
            yield Finding(_offset(token), "legacy-code", f"an old pause: write (.) or (1.5) instead of {text}")
        elif kind == "language" and languages and text[2:-1].strip() not in languages:
            yield Finding(_offset(token), "language", f"{text[2:-1].strip()} is not among the @Languages of the file")
        elif kind in ("annotation", "error", "postcode") and _CODE_FORM.match(text):
            yield Finding(_offset(token), "code", f"a space must follow the sign in {text}")
        elif kind == "annotation" and (text in ("[c]", '["]') or text[1] in "$#"):
            yield Finding(_offset(token), "legacy-code", f"an old code: {text}")


def _replacement(token: Token) -> Iterator[Finding]:
    """Check that ``[: target]`` holds words."""
    if token.text.startswith("[::"):
        yield Finding(_offset(token), "legacy-code", f"write [: ] instead of {token.text}")
    start = len(token.text) - len(token.text[1:-1].lstrip(":")) - 1
    for inner in lex(token.text[start:-1]):
        place = _offset(token) + start + _offset(inner)
        if inner.kind != "word":
            yield Finding(place, "code", f"a replacement holds words, not {inner.text}")
        else:
            yield from (Finding(place + offset, code, text) for offset, code, text in word_problems(inner.text))


def _word(token: Token, fillers: frozenset[str]) -> Iterator[Finding]:
    text = token.text
    if token.kind == "mask" and text.partition("@")[0] not in ("xxx", "yyy", "www"):
        yield Finding(_offset(token), "legacy-code", f"write xxx, yyy or www instead of {text}")
        return
    for offset, code, message in word_problems(text):
        yield Finding(_offset(token) + offset, code, message)
    if token.kind == "word" and text.lower() in fillers:
        yield Finding(
            _offset(token), "bare-filler", f"a filled pause is written &-{text.lower()}, not {text}", "warning"
        )
    elif token.kind in ("filled_pause", "fragment", "nonword") and not filler_name(text):
        yield Finding(_offset(token), "empty-word", f"{text} has no sound that was said")


def _unknown(token: Token) -> Finding:
    text = token.text
    if text in _HINTS:
        return Finding(_offset(token), "symbol", f"{text} has no meaning here: {_HINTS[text]}")
    if text in _DASHES:
        return Finding(_offset(token), "dash", f"a dash is not CHAT ({text}): write a comma, +//. or nothing")
    if text.startswith("["):
        return Finding(_offset(token), "code", f"CHAT has no code {text}; an event is written &=laughs")
    if text.startswith("&"):
        return Finding(_offset(token), "code", f"{text} needs what it marks right after it, as in &-um")
    shown = text if text.isprintable() else f"U+{ord(text[0]):04X}"
    return Finding(_offset(token), "symbol", f"{shown} has no meaning on a main tier")


def _switches(tokens: Sequence[Token], languages: Sequence[str]) -> Iterator[Finding]:
    """Check the words that are marked as said in another language."""
    marked = [token for token in tokens if token.kind in _WORD_LIKE and _SWITCH.search(token.text)]
    others = [token for token in tokens if token.kind in ("word", "mask") and token not in marked]
    if languages:
        for token in marked:
            if token.text.endswith("@s") and len(languages) < 2:
                message = f"{token.text} needs a second language in @Languages, or its code: @s:spa"
                yield Finding(_offset(token) + token.text.rindex("@"), "language", message)
    if marked and not others:
        yield Finding(_offset(marked[0]), "language", "every word is marked @s: write [- spa] before the utterance")


def _conversation(tokens: Sequence[Token]) -> Iterator[Finding]:
    """Check that marks of conversation analysis touch a word, and that those around a stretch come in pairs."""
    open_marks: dict[str, int] = {}
    for token in tokens:
        if token.kind == "ca" and token.text.strip("⌈⌉⌊⌋0123456789"):
            yield Finding(_offset(token), "ca", f"{token.text} must stand right before or after a word")
        elif token.kind in _WORD_LIKE:
            for place, char in enumerate(token.text, start=_offset(token)):
                if char in CA_PAIRS and open_marks.pop(char, None) is None:
                    open_marks[char] = place
    for char, place in open_marks.items():
        yield Finding(place, "ca", f"{char} has no partner: it opens and closes a stretch")


def _order(tokens: Sequence[Token]) -> Iterator[Finding]:
    """Check terminator, linkers, separators, quotation marks, postcodes and that something is said."""
    ended = False
    quoted = 0
    spoke = content = False
    previous: Token | None = None
    for token in tokens:
        kind = token.kind
        if kind in _CONTENT:
            content = True
        spoke = spoke or kind == "word"
        if ended and kind not in ("postcode", "bullet"):
            what = "another terminator" if kind == "terminator" else token.text
            yield Finding(_offset(token), "terminator", f"{what} stands after the terminator; start a new main tier")
            return
        if kind == "terminator":
            ended = True
            if previous is not None and previous.text == ",":
                yield Finding(
                    _offset(previous), "separator", f"{previous.text} stands right before the terminator", "warning"
                )
        elif kind == "postcode" and not ended:
            yield Finding(_offset(token), "postcode", f"{token.text} must follow the terminator")
        elif kind in ("linker", "language") and previous is not None and previous.kind != "linker":
            yield Finding(_offset(token), "linker", f"{token.text} must stand first in the utterance")
        elif kind == "separator" and token.text[0] in ",„‡;":
            if not spoke and token.text[0] != ";":
                yield Finding(_offset(token), "separator", f"a word must stand before {token.text}")
            elif len(token.text) > 1 or (previous is not None and previous.kind == "separator"):
                yield Finding(_offset(token), "separator", "two separators stand side by side")
        elif kind == "quote":
            quoted += 1 if token.text == "“" else -1
            if quoted not in (0, 1):
                yield Finding(_offset(token), "quote", f"{token.text} has no partner: quoted words stand in “ ”")
                quoted = 0
            elif not quoted and previous is not None and previous.text == "“":
                yield Finding(_offset(token), "quote", "“ ” holds nothing")
        if kind != "bullet":
            previous = token
    end = _offset(tokens[-1]) + len(tokens[-1].text) if tokens else 0
    if quoted:
        yield Finding(end, "quote", "“ is not closed by ”")
    if not content:
        yield Finding(0, "empty-utterance", "nothing is said; write 0 for an action, or take the utterance out")
    if not ended:
        yield Finding(end, "terminator", "the terminator is missing: end the utterance with . ? ! or another one")


def _groups(tokens: Sequence[Token]) -> Iterator[Finding]:
    """Check that groups are balanced, hold something, have no spaces inside their edges and have a code."""
    stack: list[Token] = []
    for index, token in enumerate(tokens):
        following = tokens[index + 1] if index + 1 < len(tokens) else None
        if token.kind == "open":
            stack.append(token)
            if following is not None and following.column > token.column + 1:
                yield Finding(_offset(token) + 1, "group", "no space may follow <")
        elif token.kind == "close":
            if not stack:
                yield Finding(_offset(token), "group", "> has no < before it")
                continue
            opened = stack.pop()
            before = tokens[index - 1]
            if before is opened:
                yield Finding(_offset(opened), "group", "< > holds nothing")
            elif before.column + len(before.text) < token.column:
                yield Finding(_offset(token), "group", "no space may stand before >")
            if following is None or following.kind not in _SCOPED:
                yield Finding(_offset(token), "group", "a code such as [/] must follow the group < >")
        elif token.kind == "terminator" and stack:
            break
    for opened in stack:
        yield Finding(_offset(opened), "group", "< is not closed by >")


def _retraces(tokens: Sequence[Token]) -> Iterator[Finding]:
    """Check that scoped codes have an item before them, and retraces words before and something said after."""
    spoken_in_group = [False]
    item_spoken = retraced = coded = False
    previous = ""
    open_retrace: Token | None = None
    for token in tokens:
        kind, text = token.kind, token.text
        if kind in _SCOPED:
            if previous not in (_REPLACEABLE if kind == "replacement" else _CODABLE):
                yield Finding(_offset(token), "code-place", f"{text} must follow a word or a group directly")
            elif kind == "replacement" and coded:
                yield Finding(_offset(token), "code-place", f"{text} must be the first code of its word")
            elif kind == "retrace" and retraced:
                yield Finding(_offset(token), "code-place", f"{text} follows another retrace code")
            elif kind == "retrace" and not item_spoken:
                yield Finding(_offset(token), "retrace", f"no word stands before {text} that it takes back")
            if kind == "retrace":
                open_retrace, retraced = token, True
            coded = True
            continue
        retraced = coded = False
        if kind == "open":
            spoken_in_group.append(False)
        elif kind == "close" and len(spoken_in_group) > 1:
            item_spoken = spoken_in_group.pop()
            spoken_in_group[-1] = spoken_in_group[-1] or item_spoken
        elif kind in _CONTENT:
            item_spoken = kind in SPOKEN
            spoken_in_group[-1] = spoken_in_group[-1] or item_spoken
        if open_retrace is not None:
            if kind in ("close", "terminator"):
                yield Finding(_offset(open_retrace), "retrace", f"nothing follows {open_retrace.text}")
            if (kind in _AFTER_RETRACE and text[:2] not in ("&{", "&}")) or kind in ("close", "terminator"):
                open_retrace = None
        previous = "long" if kind == "event" and text[1] in "{}" else kind
    if open_retrace is not None:
        yield Finding(_offset(open_retrace), "retrace", f"nothing follows {open_retrace.text}")


def _repetitions(tokens: Sequence[Token]) -> Iterator[Finding]:
    """Warn where ``<the dog> [/] The dog`` repeats the words with other capitals."""
    items = [t for t in tokens if t.kind in ("open", "close", "word", "retrace")]
    starts: list[int] = []
    group: list[Token] = []
    for index, token in enumerate(items):
        if token.kind == "open":
            starts.append(index)
        elif token.kind == "close" and starts:
            group = [t for t in items[starts.pop() : index] if t.kind == "word"]
        elif token.kind == "word":
            group = [token]
        elif token.kind == "retrace" and token.text == "[/]":
            again = [t for t in items[index + 1 :] if t.kind == "word"][: len(group)]
            pairs = list(zip(group, again, strict=False))
            if len(again) == len(group) and all(a.text.lower() == b.text.lower() for a, b in pairs):
                for first, second in pairs:
                    if first.text != second.text:
                        message = f"{first.text} is repeated as {second.text}: write both with the same capitals"
                        yield Finding(_offset(second), "repeat-case", message, "warning")
