"""CHAT files for the tests."""

from __future__ import annotations


def chat_text(*tiers: str, language: str = "eng") -> str:
    """Return a CHAT file whose main tiers are ``CODE: text``; a bare text is said by CHI."""
    lines = [tier if tier[:1] in "*%" else f"*{tier}" if tier[3:5] == ": " else f"*CHI: {tier}" for tier in tiers]
    codes = list(dict.fromkeys(line[1 : line.index(":")] for line in lines if line.startswith("*"))) or ["CHI"]
    head = ["@UTF8", "@Begin", f"@Languages:\t{language}"]
    head.append("@Participants:\t" + ", ".join(f"{c} {'Target_Child' if c == 'CHI' else 'Adult'}" for c in codes))
    head += [f"@ID:\t{language}|x|{c}|||||{'Target_Child' if c == 'CHI' else 'Adult'}|||" for c in codes]
    body = [line.replace(": ", ":\t", 1) for line in lines]
    return "\n".join([*head, *body, "@End"]) + "\n"
