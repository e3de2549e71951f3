"""The card of a model: ``asrlsa.json`` in its directory says how the model wants to be used."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from asrlsa.config import COMPUTE_TYPES, MAX_STRENGTH
from asrlsa.errors import ModelError

CARD_NAME: Final = "asrlsa.json"
MAX_CONTEXT_SECONDS: Final = 30.0  # the longest input of any Whisper model

_Setting = bool | int | float

# Decoding settings that a card may set, in CTranslate2's spelling where it has them, with what each accepts.
DECODING: Final[Mapping[str, tuple[str, Callable[[Any], bool]]]] = MappingProxyType(
    {
        "beam_size": ("a whole number from 1 to 20", lambda v: _whole(v) and 1 <= v <= 20),
        "patience": ("a number above 0", lambda v: _number(v) and v > 0),
        "length_penalty": ("a number from 0", lambda v: _number(v) and v >= 0),
        "repetition_penalty": ("a number from 1", lambda v: _number(v) and v >= 1),
        "no_repeat_ngram_size": ("a whole number from 0", lambda v: _whole(v) and v >= 0),
        "max_length": ("a whole number from 1 to 448", lambda v: _whole(v) and 1 <= v <= 448),
        "max_initial_timestamp_index": ("a whole number from 0 to 1500", lambda v: _whole(v) and 0 <= v <= 1500),
        "timestamps": ("true or false", lambda v: isinstance(v, bool)),
        "least_fragment_confidence": ("a number from 0 to 1", lambda v: _number(v) and 0 <= v <= 1),
        "filler_margin": ("a number from -1 to 10", lambda v: _number(v) and -1 <= v <= 10),
        "filler_lead": ("a number from -1 to 10", lambda v: _number(v) and -1 <= v <= 10),
        "repetition_margin": ("a number from 0 to 10", lambda v: _number(v) and 0 <= v <= 10),
    }
)


METHODS: Final = ("full", "lora", "adalora", "bitfit", "ia3", "dora", "vera", "s2lora")
_STORED: Final = COMPUTE_TYPES[1:]  # the first is "default"
STYLES: Final = ("verbatim", "fluent", "both")


@dataclass(frozen=True, slots=True)
class ModelCard:
    """How a model wants to be used; what it does not set is left to asrlsa.

    Attributes:
        base: Name of the model that it was made from, such as ``base`` or ``small.en``; empty where not known.
        base_sha256: Sum of the base's weights (`asrlsa.conversion.weights.weights_sha256`), the same in every format;
            an adapter is refused on a base with another sum. Empty where not known.
        method: How it was trained: one of `METHODS`, or empty.
        style: What its training texts were: one of `STYLES`, or empty.
        verbatim: Whether the model writes fillers, repeats and fragments by itself; it then gets no style prompt
            unless ``prompt`` has one.
        prompt: Text to put in front of every window; None leaves the choice to asrlsa, an empty string means none.
        decoding: Decoding settings; only those in `DECODING`.
        context_seconds: Input lengths in seconds that it was trained for, rising; empty means full 30 s windows only.
        suppress_tokens: Token ids that it must never write; None takes Whisper's own list.
        compute_type: Type that its weights are stored in, as `asrlsa quantize` writes it; it is run as that where the
            device can and no other is asked for. Empty where not known.
        strength: An adapter's change to its base is multiplied by this when it is merged; 1 is as it was trained.
        languages: ISO 639-1 codes that it was trained for; empty means those of its base.
        data: Summary of what it was trained on: name -> text or number, such as ``{"hours": 12.5, "speakers": 40}``.
        scores: Name -> number, such as ``{"dev_wer": 21.3}``.
        notes: Free text for people.
    """

    base: str = ""
    base_sha256: str = ""
    method: str = ""
    style: str = ""
    verbatim: bool = False
    prompt: str | None = None
    decoding: Mapping[str, _Setting] = field(default_factory=dict, hash=False)
    context_seconds: tuple[float, ...] = ()
    suppress_tokens: tuple[int, ...] | None = None
    compute_type: str = ""
    strength: float = 1.0
    languages: tuple[str, ...] = ()
    data: Mapping[str, str | int | float] = field(default_factory=dict, hash=False)
    scores: Mapping[str, float] = field(default_factory=dict, hash=False)
    notes: str = ""

    def __post_init__(self) -> None:
        """Check every value.

        Raises:
            ModelError: A value is wrong; the message names the key.
        """
        for name in ("base", "notes"):
            _require(isinstance(getattr(self, name), str), name, "a text")
        sum_ = self.base_sha256
        _require(isinstance(sum_, str) and bool(re.fullmatch("([0-9a-f]{64})?", sum_)), "base_sha256", "a sha256")
        _require(self.method in ("", *METHODS), "method", f"one of {', '.join(METHODS)}")
        _require(self.style in ("", *STYLES), "style", f"one of {', '.join(STYLES)}")
        _require(
            self.compute_type in ("", *COMPUTE_TYPES[1:]), "compute_type", f"one of {', '.join(COMPUTE_TYPES[1:])}"
        )
        _require(isinstance(self.verbatim, bool), "verbatim", "true or false")
        good = _number(self.strength) and 0 <= self.strength <= MAX_STRENGTH
        _require(good, "strength", f"a number from 0 to {MAX_STRENGTH:g}")
        _require(self.prompt is None or isinstance(self.prompt, str), "prompt", "a text or null")
        _require(isinstance(self.decoding, Mapping), "decoding", "an object of settings")
        for key, value in self.decoding.items():
            if key not in DECODING:
                raise ModelError(f"unknown decoding setting {key!r}; known are {', '.join(DECODING)}")
            wanted, accepts = DECODING[key]
            _require(accepts(value), f"decoding.{key}", wanted)
        object.__setattr__(self, "decoding", MappingProxyType(dict(self.decoding)))
        self._check_tables()
        lengths = self.context_seconds
        good = all(_number(s) and 0 < s <= MAX_CONTEXT_SECONDS for s in lengths) and list(lengths) == sorted(
            set(lengths)
        )
        _require(good, "context_seconds", f"a rising list of seconds from 0 to {MAX_CONTEXT_SECONDS:g}")
        tokens = self.suppress_tokens
        _require(
            tokens is None or all(_whole(t) and t >= -1 for t in tokens),
            "suppress_tokens",
            "a list of token ids or null",
        )
        codes = all(isinstance(c, str) and c.isalpha() and c.islower() and len(c) in (2, 3) for c in self.languages)
        _require(codes, "languages", 'a list of language codes such as ["en"]')

    def _check_tables(self) -> None:
        for name, wanted, accepts in (
            ("data", "an object of texts and numbers", lambda v: isinstance(v, str) or _number(v)),
            ("scores", "an object of numbers", _number),
        ):
            table = getattr(self, name)
            good = isinstance(table, Mapping) and all(isinstance(k, str) and accepts(v) for k, v in table.items())
            _require(good, name, wanted)
            object.__setattr__(self, name, MappingProxyType(dict(table)))


def read_card(directory: Path) -> ModelCard | None:
    """Read ``asrlsa.json`` from a model directory.

    Returns:
        The card, or None where the directory has none.

    Raises:
        ModelError: The card is not valid JSON, has an unknown key or a wrong value.
    """
    path = directory / CARD_NAME
    try:
        found = json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        return None
    except json.JSONDecodeError as error:
        raise ModelError(f"{path}:{error.lineno}:{error.colno}: is not valid JSON ({error.msg})") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"{path}: can't be read ({error})") from None
    if not isinstance(found, dict):
        raise ModelError(f"{path}: must hold one JSON object")
    known = {f.name for f in fields(ModelCard)}
    unknown = sorted(set(found) - known)
    if unknown:
        raise ModelError(f"{path}: unknown key {unknown[0]!r}; known are {', '.join(sorted(known))}")
    for name in ("context_seconds", "suppress_tokens", "languages"):
        value = found.get(name)
        if isinstance(value, list):
            found[name] = tuple(value)
        elif name in found and not (value is None and name == "suppress_tokens"):
            raise ModelError(f"{path}: {name} must be a list")
    try:
        return ModelCard(**found)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from None


def write_card(directory: Path, card: ModelCard) -> None:
    """Write ``card`` as ``asrlsa.json`` into a model directory; values that are the default are left out.

    Raises:
        ModelError: The directory can't be written.
    """
    default = ModelCard()
    values: dict[str, Any] = {}
    for f in fields(ModelCard):
        value = getattr(card, f.name)
        if value != getattr(default, f.name):
            values[f.name] = dict(value) if isinstance(value, Mapping) else value
    path = directory / CARD_NAME
    try:
        path.write_text(json.dumps(values, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise ModelError(f"{path}: can't be written ({error.strerror or error})") from None


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _require(good: bool, name: str, wanted: str) -> None:
    if not good:
        raise ModelError(f"{name} must be {wanted}")
