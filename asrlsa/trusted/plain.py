"""A plain text read as a transcript without times."""

from __future__ import annotations

import re
from collections.abc import Sequence

from asrlsa.chat.build import build_transcript
from asrlsa.disfluency import code_utterance
from asrlsa.errors import ChatError
from asrlsa.language import iso639_3, spell_out
from asrlsa.speech.utterances import split_utterances
from asrlsa.types import Participant, Transcript, Utterance, Word

NOBODY = Participant("PAR0")
_SPEAKER = re.compile(r"\*?([A-Z][A-Z0-9_'-]{0,6}):\s+")


def text_to_transcript(text: str, *, language: str, participants: Sequence[Participant] = ()) -> Transcript:
    """Return the CHAT transcript of a plain text, without times.

    A line that begins with a code and a colon (``CHI: I went home.``) is that participant's; a line without one is the
    speaker's of the line before, at the beginning the first participant's. A line is at least one utterance; sentences
    and main clauses are utterances too, as in ``asrlsa transcribe``. Numbers are spelled out and what the text has of
    fillers and repetitions is coded.

    Args:
        text: The text.
        language: ISO 639-3 or Whisper code.
        participants: Who speaks; others that the text names are added.

    Raises:
        ChatError: There are no words in the text.
    """
    code = iso639_3(language)
    people = list(participants)
    lines: list[tuple[str, list[str]]] = []
    speaker = people[0].code if people else NOBODY.code
    for line in text.splitlines():
        found = _SPEAKER.match(line.strip())
        if found is not None:
            speaker = found[1]
        words = line.strip()[found.end() if found else 0 :].split()
        if words:
            lines.append((speaker, words))
    spelt = spell_out([Word(w, speaker=str(n)) for n, (_, words) in enumerate(lines) for w in words], code)
    utterances = []
    for number, (who, _) in enumerate(lines):
        mine = [word for word in spelt if word.speaker == str(number)]
        for draft in split_utterances(mine, language=code):
            utterances.append(Utterance(who, code_utterance(draft.words, draft.terminator, language=code).text))
    if not utterances:
        raise ChatError("there are no words in this text")
    named = {person.code for person in people}
    people += [Participant(who) for who in dict.fromkeys(u.speaker for u in utterances) if who not in named]
    return build_transcript(utterances, participants=people, languages=[code])
