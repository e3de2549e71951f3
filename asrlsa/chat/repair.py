"""A main tier that breaks a rule made one that does not, with as little lost as possible."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from asrlsa.chat.lexer import CA_MARKS, Token, lex
from asrlsa.chat.main_rules import main_tier_problems
from asrlsa.chat.word_rules import repair_token, word_problems

_CODED = {"filled_pause": "&-", "fragment": "&+", "nonword": "&~"}
_CA = frozenset(CA_MARKS)
_KEPT = frozenset(("pause", "open", "close", "retrace", "linker", "separator", "event", "interposed", "postcode"))
_ASIDE = frozenset(("error", "overlap", "annotation", "replacement", "language", "action", "omission"))


def has_errors(text: str, languages: Sequence[str]) -> bool:
    """Return True where a main tier's text is not valid CHAT; warnings don't count."""
    return any(finding.severity == "error" for finding in main_tier_problems(text, languages))


def repair_main_tier(text: str, languages: Sequence[str] = ()) -> str:
    """Return a valid main tier for ``text``; ``text`` itself where it is valid.

    Tried in this order, until one is valid: the same tokens with words that can't be written masked as ``xxx`` and
    unknown signs left out; the words, filled pauses and fragments alone; ``xxx`` with the terminator.
    """
    if not has_errors(text, languages):
        return text
    tokens = lex(text)
    terminator = next((token.text for token in tokens if token.kind == "terminator"), ".")
    items = [item for token in tokens if (item := _item(token))]
    postcodes = [token.text for token in tokens if token.kind == "postcode"]
    whole = join_items([text for kind, text in items if kind != "postcode"])
    said = join_items([text for kind, text in items if kind not in _KEPT | _ASIDE])
    for attempt in (" ".join([whole, terminator, *postcodes]), f"{said} {terminator}", f"xxx {terminator}"):
        if not has_errors(attempt, languages):
            return attempt
    return "xxx ."


def _item(token: Token) -> tuple[str, str] | None:
    """Return the token's kind and the text that may be written for it, or None where nothing is left of it."""
    kind, text = token.kind, token.text
    if kind in _KEPT or kind in _ASIDE:
        return kind, text
    if kind == "word":
        return kind, (repair_token(text) if word_problems(text) or _CA & set(text) else text)
    if kind in _CODED:
        if not word_problems(text):
            return kind, text
        word = repair_token(text.lstrip("&").lstrip("-+~"))
        return ("mask", word) if word == "xxx" else (kind, _CODED[kind] + word)
    if kind == "mask":
        return kind, {"x": "xxx", "y": "yyy", "w": "www"}[text[0].lower()]
    return None


def join_items(items: Iterable[str]) -> str:
    """Join the items of a main tier with spaces, without spaces inside the edges of a group."""
    return " ".join(items).replace("< ", "<").replace(" >", ">")
