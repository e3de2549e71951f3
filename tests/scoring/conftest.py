from __future__ import annotations

from collections.abc import Callable

import pytest
from chat_files import chat_text

from asrlsa.chat.parser import parse_chat
from asrlsa.scoring.samples import Sample
from asrlsa.scoring.sources import from_transcript

MakeSample = Callable[..., Sample]


@pytest.fixture
def sample() -> MakeSample:
    def make(*tiers: str, name: str = "x", language: str = "eng") -> Sample:
        return from_transcript(parse_chat(chat_text(*tiers, language=language)), name)

    return make


@pytest.fixture
def chat() -> Callable[..., str]:
    return chat_text
