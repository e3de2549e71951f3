"""What every reader of a corpus gives: one utterance as its source has it, not judged yet."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import MappingProxyType

from asrlsa.types import Milliseconds


@dataclass(frozen=True, slots=True)
class Candidate:
    """One utterance of a corpus.

    Attributes:
        audio: Absolute path of the recording; empty where it is missing.
        start: Begin in ms, or None where the source gives no times.
        end: End in ms; None with a ``start`` means the end of the recording.
        verbatim: Words said, as bare words.
        fluent: Words meant, as bare words.
        sentence: ``verbatim`` as a sentence, with capital, commas and final mark; as the source writes it where it has
            no codes.
        fluent_sentence: ``fluent`` as a sentence.
        words: Number of words said.
        code: Participant code, tier or speaker name as the source has it.
        speaker: The speaker, unique in the corpus; empty where it is not known.
        role: CHAT role.
        age: Age as CHAT writes it.
        sex: ``male``, ``female`` or empty.
        group: Group of ``@ID``.
        language: ISO 639-3 code.
        source: File that the text comes from.
        line: Line of that file.
        name: Short name of the recording for ids: its path in the corpus without suffix.
        masks: Kinds of masked stretches in it, such as ``xxx``.
        events: Disfluencies by kind.
        split: Part that the source puts it in: ``train``, ``dev``, ``test`` or empty.
        problem: Why it can't be used at all, as ``reason: detail``; empty where nothing is known against it.
    """

    audio: str
    start: Milliseconds | None
    end: Milliseconds | None
    verbatim: str
    fluent: str
    sentence: str
    fluent_sentence: str
    words: int
    code: str = ""
    speaker: str = ""
    role: str = ""
    age: str = ""
    sex: str = ""
    group: str = ""
    language: str = "eng"
    source: str = ""
    line: int | None = None
    name: str = ""
    masks: tuple[str, ...] = ()
    events: Mapping[str, int] = field(default_factory=dict, hash=False)
    split: str = ""
    problem: str = ""

    def to_json(self) -> str:
        """Return the values for the store."""
        values = [getattr(self, name) for name in _FIELDS]
        values[_MASKS], values[_EVENTS] = list(self.masks), dict(self.events)
        return json.dumps(values, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Candidate:
        """Return what `to_json` wrote."""
        values = json.loads(text)
        values[_MASKS] = tuple(values[_MASKS])
        return cls(*values)


_FIELDS = tuple(f.name for f in fields(Candidate))
_MASKS = _FIELDS.index("masks")
_EVENTS = _FIELDS.index("events")

SPLIT_NAMES: Mapping[str, str] = MappingProxyType(
    {
        "train": "train",
        "training": "train",
        "dev": "dev",
        "devel": "dev",
        "development": "dev",
        "valid": "dev",
        "val": "dev",
        "validation": "dev",
        "eval": "dev",
        "test": "test",
        "testing": "test",
    }
)


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One thing to read: a transcript, a table, or a data set folder.

    Attributes:
        kind: ``cha``, ``textgrid``, ``tsv``, ``csv``, ``jsonl``, ``txt`` or ``dataset``.
        path: The file or folder.
        root: Folder of the corpus that it was found in.
        split: Part that its place gives it (``train.tsv``), or empty.
    """

    kind: str
    path: Path
    root: Path
    split: str = ""
