"""From a Transcript to the text of a CHAT file."""

from __future__ import annotations

from asrlsa.chat.lexer import BULLET
from asrlsa.chat.wor import wor_tier
from asrlsa.errors import ChatError
from asrlsa.types import Header, Transcript, Utterance

__all__ = ["wor_tier", "write_chat"]


def write_chat(transcript: Transcript) -> str:
    """Return the text of a CHAT file: UTF-8 without byte order mark, LF, one line for every header and tier.

    What was read is written back unchanged, up to line folding; ``asrlsa.chat.check.check_chat`` tells whether it is
    valid CHAT. ``Utterance.words`` are not written: they are the reading of the ``%wor`` tier, which is among
    ``Utterance.tiers``.

    Raises:
        ChatError: A value cannot stand on one line of a file, such as a comment with a line break.
    """
    lines: list[str] = []
    for line in transcript.lines:
        if isinstance(line, Header):
            lines.append(f"@{line.name}" if line.value is None else f"@{line.name}:\t{line.value}")
        else:
            _utterance(line, lines)
    for number, text in enumerate(lines, start=1):
        if "\n" in text or "\r" in text:
            raise ChatError(
                f"a line break inside {text.split(':')[0]}; replace it with a space",
                line=number,
                source=transcript.source,
            )
    return "\n".join(lines) + "\n"


def _utterance(utterance: Utterance, lines: list[str]) -> None:
    """Append the main tier and the dependent tiers of one utterance."""
    main = f"*{utterance.speaker}:\t{utterance.text}"
    if utterance.start is not None:
        main += f" {BULLET}{utterance.start}_{utterance.end}{BULLET}"
    lines.append(main)
    lines.extend(f"%{tier.name}:\t{tier.text}" for tier in utterance.tiers)
