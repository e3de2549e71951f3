"""asrlsa: verbatim speech recognition for language sample analysis.

>>> import asrlsa
>>> transcript = asrlsa.transcribe("visit.mp3", speakers=2)  # doctest: +SKIP
>>> print(transcript.to_chat())  # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from asrlsa.errors import (
    AsrlsaError,
    ChatError,
    ConfigError,
    MediaError,
    ModelError,
    OutputError,
    UsageError,
)
from asrlsa.types import Header, Participant, Span, Tier, Transcript, Turn, Utterance, Word

if TYPE_CHECKING:
    from asrlsa.chat.parser import parse_chat, read_chat
    from asrlsa.config import TranscribeOptions
    from asrlsa.disfluency import read_main_tier
    from asrlsa.transcription import transcribe, transcribe_folder

__version__ = "0.1.0"

__all__ = [
    "AsrlsaError",
    "ChatError",
    "ConfigError",
    "Header",
    "MediaError",
    "ModelError",
    "OutputError",
    "Participant",
    "Span",
    "Tier",
    "TranscribeOptions",
    "Transcript",
    "Turn",
    "UsageError",
    "Utterance",
    "Word",
    "parse_chat",
    "read_chat",
    "read_main_tier",
    "transcribe",
    "transcribe_folder",
]

# Loaded on first use, so that `import asrlsa` stays quick and light.
_LAZY = {
    "TranscribeOptions": "asrlsa.config",
    "parse_chat": "asrlsa.chat.parser",
    "read_chat": "asrlsa.chat.parser",
    "read_main_tier": "asrlsa.disfluency",
    "transcribe": "asrlsa.transcription",
    "transcribe_folder": "asrlsa.transcription",
}


def __getattr__(name: str) -> Any:
    """Import a public function when it is first asked for."""
    if name not in _LAZY:
        raise AttributeError(f"module 'asrlsa' has no attribute {name!r}")
    return getattr(import_module(_LAZY[name]), name)
