"""Verbatim words and CHAT disfluency codes, both ways."""

from asrlsa.disfluency.coding import Coded, CodingOptions, code_utterance
from asrlsa.disfluency.fluent import fluent_text
from asrlsa.disfluency.reading import Event, Reading, SpokenWord, read_main_tier

__all__ = [
    "Coded",
    "CodingOptions",
    "Event",
    "Reading",
    "SpokenWord",
    "code_utterance",
    "fluent_text",
    "read_main_tier",
]
