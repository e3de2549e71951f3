from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from asrlsa.chat.parser import parse_chat
from asrlsa.scoring.samples import Sample
from asrlsa.scoring.sources import from_transcript

MakeSample = Callable[..., Sample]


def chat_text(*tiers: str, language: str = "eng") -> str:
    """Return a CHAT file whose main tiers are ``CODE: text``; a bare text is said by CHI."""
    lines = [tier if tier[:1] in "*%" else f"*{tier}" if tier[3:5] == ": " else f"*CHI: {tier}" for tier in tiers]
    codes = list(dict.fromkeys(line[1:4] for line in lines if line.startswith("*"))) or ["CHI"]
    head = ["@UTF8", "@Begin", f"@Languages:\t{language}"]
    head.append("@Participants:\t" + ", ".join(f"{c} {'Target_Child' if c == 'CHI' else 'Adult'}" for c in codes))
    head += [f"@ID:\t{language}|x|{c}|||||{'Target_Child' if c == 'CHI' else 'Adult'}|||" for c in codes]
    body = [line.replace(": ", ":\t", 1) for line in lines]
    return "\n".join([*head, *body, "@End"]) + "\n"


@pytest.fixture
def sample() -> MakeSample:
    def make(*tiers: str, name: str = "x", language: str = "eng") -> Sample:
        return from_transcript(parse_chat(chat_text(*tiers, language=language)), name)

    return make


@pytest.fixture
def chat() -> Callable[..., str]:
    return chat_text


@pytest.fixture(scope="session")
def shared_data() -> Path:
    path = Path(os.environ.get("ASRLSA_SHARED") or Path(__file__).resolve().parents[3] / "shared" / "data")
    if not path.is_dir():
        pytest.skip(f"no recordings at {path}; set ASRLSA_SHARED")
    return path
