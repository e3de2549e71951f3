"""Verbatim words and CHAT disfluency codes, both ways."""

from asrlsa.disfluency.reading import Event, Reading, SpokenWord, read_main_tier

__all__ = ["Event", "Reading", "SpokenWord", "read_main_tier"]
