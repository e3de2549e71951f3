"""Every option of the verbs, documented once: library, command line and stamp all read from here."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from asrlsa.errors import ConfigError
from asrlsa.types import Participant

FORMATS = ("cha", "srt", "vtt", "json", "textgrid")
COMPUTE_TYPES = ("default", "int8", "int8_float32", "int8_float16", "int8_bfloat16", "float16", "bfloat16", "float32")
MAX_SPEAKERS = 6
TEXT_STYLES = ("verbatim", "fluent")
MAX_STRENGTH = 1.5


@dataclass(frozen=True, slots=True)
class TranscribeOptions:
    """How ``transcribe`` works. Times in milliseconds, probabilities 0 to 1.

    Attributes:
        model: Name or directory of a Whisper model; None takes the best one that is on this machine.
        offline: Never ask a model hub.
        language: ISO 639-1 or 639-3 code, or ``auto`` to listen for it.
        style: ``verbatim`` writes what was said, with every disfluency that the model can be brought to write;
            ``fluent`` what the stock weights write by themselves, which leaves most disfluencies out.
        verbatim: Strength of the packaged verbatim adapter, 0 to 1.5; None takes what its card says.
        both: Write what was meant under each utterance too, on a ``%xflu`` tier.
        prompt: Text in the style to be written, put in front of every window; None takes the filler-rich text of the
            language (or the model card's) for ``verbatim`` and none for ``fluent``, an empty string none.
        device: ``auto``, ``cpu`` or ``cuda``.
        compute_type: CTranslate2 compute type; ``default`` is int8 on CPU and float16 on GPU.
        threads: CPU threads of the recogniser; 0 takes every core.
        beam_size: Width of the search, 1 is greedy; None takes the model card's, else 1.
        batch_size: Windows decoded together; 0 chooses from the memory that is free.
        low_memory: Do one thing at a time and read every recording three times, so that less is in memory at once.
        window_ms: Longest stretch of speech decoded in one piece, 8 to 29.5 s; shorter ones need less memory and get
            more words wrong. 0 fills Whisper's 30 s.
        align: Refine word times by forced alignment where the language has an acoustic model (English).
        speakers: Number of speakers; 0 estimates it (1 to 6); None takes the number of participants, or 2 without them
            (1 or 2, by voice, where less than 10 s is spoken).
        speaker_model: ONNX file of another speaker embedding model, or ``owner/name/file.onnx`` on the hub; None
            takes the packaged CAM++.
        channels: ``mix`` joins all channels; ``speakers`` takes each channel for one speaker.
        participants: Codes and roles for the speakers, in order of preference; empty gives PAR0, PAR1, ….
        pause_short_ms: A silence inside an utterance from here on is written ``(.)``.
        pause_long_ms: A silence from here on is written with its length, such as ``(1.4)``.
        uncertain: A word whose confidence is below this is marked ``[?]``; 0 marks none.
        wor: Write ``%wor`` tiers with the time of every word.
        formats: Files to write: ``cha``, ``srt``, ``vtt``, ``json``, ``textgrid``.
    """

    model: str | None = None
    offline: bool = False
    language: str = "auto"
    style: str = "verbatim"
    verbatim: float | None = None
    both: bool = False
    prompt: str | None = None
    device: str = "auto"
    compute_type: str = "default"
    threads: int = 0
    beam_size: int | None = None
    batch_size: int = 0
    low_memory: bool = False
    window_ms: int = 0
    align: bool = True
    speakers: int | None = None
    speaker_model: str | None = None
    channels: str = "mix"
    participants: tuple[Participant, ...] = ()
    pause_short_ms: int = 250
    pause_long_ms: int = 1_000
    uncertain: float = 0.2
    wor: bool = True
    formats: tuple[str, ...] = ("cha",)

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ConfigError: A value is out of range; the message names it.
        """
        _require(self.compute_type in COMPUTE_TYPES, "compute type", self.compute_type, COMPUTE_TYPES)
        _require(self.device in ("auto", "cpu", "cuda"), "device", self.device, ("auto", "cpu", "cuda"))
        _require(self.channels in ("mix", "speakers"), "channels", self.channels, ("mix", "speakers"))
        _require(self.style in TEXT_STYLES, "style", self.style, TEXT_STYLES)
        _require(self.verbatim is None or 0 <= self.verbatim <= MAX_STRENGTH, "verbatim", self.verbatim, "0 to 1.5")
        if self.verbatim is not None and self.style == "fluent":
            raise ConfigError("verbatim strengthens the style verbatim: leave it out for fluent")
        _require(isinstance(self.language, str), "language", self.language, "auto or a code such as en or spa")
        _require(
            all(isinstance(p, Participant) for p in self.participants),
            "participants",
            self.participants,
            "a tuple of asrlsa.Participant",
        )
        _require(not isinstance(self.formats, str), "formats", self.formats, "a tuple of names, such as ('cha', 'srt')")
        for name in self.formats:
            _require(name in FORMATS, "format", name, FORMATS)
        _require(
            self.speakers is None or (isinstance(self.speakers, int) and 0 <= self.speakers <= MAX_SPEAKERS),
            "speakers",
            self.speakers,
            f"auto (0 in Python) or 1 to {MAX_SPEAKERS}",
        )
        _require(self.beam_size is None or 1 <= self.beam_size <= 20, "beam size", self.beam_size, "1 to 20")
        _require(0 <= self.batch_size <= 256, "batch size", self.batch_size, "auto or 1 to 256")
        _require(self.window_ms == 0 or 8_000 <= self.window_ms <= 29_500, "window", self.window_ms, "8 to 29.5 s")
        _require(self.threads >= 0, "threads", self.threads, "0 or more")
        _require(0 <= self.uncertain < 1, "uncertain", self.uncertain, "0 to 1")
        _require(self.pause_short_ms > 0, "pause", self.pause_short_ms, "a time above 0 s")
        _require(
            self.pause_short_ms <= self.pause_long_ms,
            "long pause",
            self.pause_long_ms,
            f"at least the short pause ({self.pause_short_ms} ms)",
        )

    def settings(self) -> str:
        """Return what shapes the text of a transcript, as one stable line; the stamp of a transcript hashes it."""
        speed = {"offline", "device", "threads", "batch_size", "low_memory", "model", "formats"}
        values = {k: v for k, v in asdict(self).items() if k not in speed}
        del values["verbatim"]  # the sum of the merged weights, which is in the stamp, depends on it
        for name, default in (("window_ms", 0), ("style", "verbatim"), ("both", False)):
            if values[name] == default:  # not there in the stamps of transcripts made before it came
                del values[name]
        return json.dumps(values, sort_keys=True)


def _require(condition: bool, name: str, value: object, allowed: object) -> None:
    if not condition:
        choices = ", ".join(allowed) if isinstance(allowed, tuple) else allowed
        raise ConfigError(f"{name} {value!r} is not possible: give {choices}")
