"""Every choice of `asrlsa prepare`, documented once."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from asrlsa.corpora.ages import AgeRange
from asrlsa.errors import ConfigError

TEXTS = ("verbatim", "fluent", "both")
STYLES = ("cased", "plain")
FORMATS = ("auto", "cha", "textgrid", "tsv", "csv", "jsonl", "txt", "dataset")
SPLITS = ("auto", "speaker", "file", "source")

_OF_READING = ("format", "language")
_OF_JUDGING = (
    "text",
    "languages",
    "speakers",
    "roles",
    "ages",
    "longest",
    "fastest",
    "slowest",
    "overlap",
    "beyond",
    "noise",
    "seed",
)


@dataclass(frozen=True, slots=True)
class PrepareSettings:
    """What `asrlsa prepare` makes of a corpus.

    Attributes:
        format: Layout of the corpus, or ``auto``.
        language: ISO 639-3 code of sources that do not name theirs.
        text: ``verbatim`` (everything said), ``fluent`` (disfluencies removed by the transcript's codes), or ``both``
            (the verbatim text, and the fluent one in a key of its own).
        style: ``cased`` writes CHAT utterances as sentences (capital, commas, final mark), ``plain`` as bare words.
        languages: ISO 639-3 codes that are kept; empty keeps all.
        speakers: Participant codes (CHAT, TextGrid) or speaker names that are kept; empty keeps all.
        roles: CHAT roles that are kept; empty keeps all.
        ages: Ages that are kept; None keeps all.
        longest: Longest utterance in seconds; Whisper hears 30.
        fastest: Highest possible rate in words a second.
        slowest: Lowest possible rate in words a second.
        overlap: An utterance that overlaps others by more than so many seconds is left out.
        beyond: A bullet may end so many seconds behind the end of its recording.
        noise: Length of the stretches without speech, as a share of the length of the speech; 0 takes none.
        split: What no two parts share: ``speaker``, ``file``, ``source`` (the split that the corpus gives), or ``auto``
            (``source`` where the corpus gives one, else ``speaker``).
        dev: Share of the speech for dev.
        test: Share of the speech for test.
        seed: Seed of every choice by chance.
        cut: Write every row as a clip of its own.
        check_model: Model that checks the texts against the sound, or None.
        most_errors: Word error rate above which the checked text is taken not to match, 1 for 100 %.
    """

    format: str = "auto"
    language: str = "eng"
    text: str = "verbatim"
    style: str = "cased"
    languages: tuple[str, ...] = ()
    speakers: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    ages: AgeRange | None = None
    longest: float = 30.0
    fastest: float = 8.0
    slowest: float = 0.1
    overlap: float = 0.3
    beyond: float = 0.25
    noise: float = 0.05
    split: str = "auto"
    dev: float = 0.1
    test: float = 0.1
    seed: int = 0
    cut: bool = False
    check_model: str | None = None
    most_errors: float = 0.9

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ConfigError: A value is out of range; the message names it.
        """
        for name, value, allowed in (
            ("format", self.format, FORMATS),
            ("text", self.text, TEXTS),
            ("style", self.style, STYLES),
            ("split", self.split, SPLITS),
        ):
            if value not in allowed:
                raise ConfigError(f"{name} {value!r} is not possible: give {', '.join(allowed)}")
        for code in (self.language, *self.languages):
            if len(code) != 3 or not code.isalpha() or not code.islower():
                raise ConfigError(f"language {code!r} is not possible: give an ISO 639-3 code such as eng")
        _within("longest utterance", self.longest, 0.1, 30.0)
        _within("fastest rate", self.fastest, 0.1, 100.0)
        _within("slowest rate", self.slowest, 0.0, self.fastest)
        _within("overlap", self.overlap, 0.0, 30.0)
        _within("beyond", self.beyond, 0.0, 30.0)
        _within("noise", self.noise, 0.0, 1.0)
        _within("dev", self.dev, 0.0, 1.0)
        _within("test", self.test, 0.0, 1.0)
        _within("most errors", self.most_errors, 0.0, 100.0)
        if self.dev + self.test >= 1:
            raise ConfigError(f"dev {self.dev:g} and test {self.test:g} leave nothing to train on")

    def of_reading(self) -> str:
        """Return what shapes the reading of a source, as one stable line."""
        return self._line(_OF_READING)

    def of_judging(self) -> str:
        """Return what shapes the judgement of a recording, as one stable line."""
        return self._line(_OF_JUDGING)

    def as_dict(self) -> dict[str, object]:
        """Return every value for JSON."""
        return {**asdict(self), "ages": str(self.ages) if self.ages is not None else None}

    def _line(self, names: tuple[str, ...]) -> str:
        values = self.as_dict()
        return json.dumps({name: values[name] for name in names}, sort_keys=True)


def _within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ConfigError(f"{name} {value:g} is not possible: give {low:g} to {high:g}")
