"""Every choice on how utterances become training windows, documented under each field."""

from __future__ import annotations

from dataclasses import dataclass

from asrlsa.errors import ConfigError

LAYOUTS = ("packed", "isolated", "single", "variable")
JOINS = ("none", "recording", "corpus")
TARGETS = ("verbatim", "fluent")
MAX_WINDOW = 30.0  # s, what Whisper's encoder takes


@dataclass(frozen=True, slots=True)
class DataSettings:
    """How utterances become windows. Times in seconds, shares and probabilities 0 to 1."""

    layout: str = "packed"
    """``packed``: consecutive utterances of a recording with their real pauses. ``isolated``: utterances packed by
    length with a short silence between. ``single``: one utterance a window, padded to 30 s. ``variable``: one utterance
    a window at its own length, in batches of like length."""

    window_seconds: float = 30.0
    """Longest window; at most 30."""

    target: str = "verbatim"
    """``verbatim`` writes the rows' ``text``, ``fluent`` their ``fluent`` text (a row without one is left out)."""

    speakers: tuple[str, ...] = ()
    """Speakers to learn from; empty takes all. The speech of others is cut out of the windows."""

    roles: tuple[str, ...] = ()
    """Roles to learn from, such as ``Target_Child``; empty takes all."""

    gap_seconds: float = 3.0
    """Longest pause kept in a ``packed`` window; a longer one cuts it."""

    trust_gaps: bool = False
    """Take the sound between two rows as free of other speech, whatever the rows' ``joins`` say. Only for data in
    which every word is transcribed."""

    overlap_seconds: float = 0.25
    """Two utterances that overlap by more always stand in one window. By less, one may end a window and the other
    begin the next; each window then holds at most this much of the other's speech. Annotators' times jitter by about
    as much."""

    margin_seconds: float = 0.2
    """Sound kept before the first and after the last utterance of a stretch, where nothing else is heard there."""

    join: str = "corpus"
    """How stretches of ``packed`` windows that are shorter than a window are put together: ``none`` leaves each alone,
    ``recording`` joins those of one recording, ``corpus`` also those of several."""

    silence_seconds: tuple[float, float] = (0.1, 0.6)
    """Silence between joined stretches: a length is drawn between the two."""

    timestamps: float = 0.5
    """Share of windows taught with timestamp tokens; the rest without."""

    prompt: str | None = None
    """Text before a window, as ``asrlsa transcribe`` puts it; None takes the filler-rich text of the language for
    ``verbatim`` and none for ``fluent``, an empty string none."""

    prompt_share: float = 0.5
    """Share of windows that get the prompt."""

    noise_only: float = 0.05
    """Share of windows without speech: the rows with empty text, and synthetic noise where these are too few."""

    spec_augment: float = 0.5
    """Probability that bands of frequency and time of a window are blanked."""

    frequency_masks: int = 2
    """Bands of frequency blanked, each up to a sixth of the spectrum."""

    time_masks: int = 2
    """Bands of time blanked, each up to 0.4 s: shorter than most words with their neighbours."""

    noise: float = 0.2
    """Probability that noise is added to a window."""

    noise_snr: tuple[float, float] = (5.0, 30.0)
    """Signal-to-noise ratio in dB, drawn between the two."""

    telephone: float = 0.1
    """Probability that a window is heard through a telephone (300 to 3,400 Hz, 8-bit mu-law)."""

    duration_buckets: int = 8
    """``variable``: classes of length that batches are drawn from."""

    token_buckets: int = 3
    """``variable``: classes of text length within each."""

    context_seconds: tuple[float, ...] = ()
    """``variable``: lengths that windows are padded to, the ones the model will be used with; empty pads a batch to its
    longest window only."""

    full_share: float = 0.1
    """``variable``: share of batches padded to 30 s, so that full windows are not unlearnt."""

    sound_cache_gb: float = 20.0
    """Disk for decoded long recordings (115 MB an hour); beyond it they are decoded again for each use."""

    def __post_init__(self) -> None:
        """Check every value.

        Raises:
            ConfigError: A value is out of range; the message names it.
        """
        for name, allowed in (("layout", LAYOUTS), ("join", JOINS), ("target", TARGETS)):
            _require(getattr(self, name) in allowed, name, getattr(self, name), ", ".join(allowed))
        for name in ("timestamps", "prompt_share", "spec_augment", "noise", "telephone", "full_share"):
            _require(0 <= getattr(self, name) <= 1, name, getattr(self, name), "0 to 1")
        _require(0 <= self.noise_only < 1, "noise_only", self.noise_only, "0 to below 1")
        _require(0.5 <= self.window_seconds <= MAX_WINDOW, "window_seconds", self.window_seconds, "0.5 to 30")
        for name in ("gap_seconds", "overlap_seconds", "margin_seconds", "sound_cache_gb"):
            _require(getattr(self, name) >= 0, name, getattr(self, name), "0 or more")
        for name in ("silence_seconds", "noise_snr"):
            pair = getattr(self, name)
            _require(len(pair) == 2 and pair[0] <= pair[1], name, pair, "two numbers, the smaller first")
        _require(self.silence_seconds[0] >= 0 and self.silence_seconds[1] <= 5, "silence_seconds", "", "0 to 5")
        for name in ("duration_buckets", "token_buckets"):
            _require(1 <= getattr(self, name) <= 100, name, getattr(self, name), "1 to 100")
        for name in ("frequency_masks", "time_masks"):
            _require(0 <= getattr(self, name) <= 10, name, getattr(self, name), "0 to 10")
        context = self.context_seconds
        good = list(context) == sorted(set(context)) and all(0 < s <= MAX_WINDOW for s in context)
        _require(good, "context_seconds", context, "rising lengths up to 30")
        if context:
            _require(context[-1] >= self.window_seconds, "context_seconds", context, "a last length of window_seconds")


def _require(condition: bool, name: str, value: object, allowed: str) -> None:
    if not condition:
        raise ConfigError(f"data.{name} {value!r} is not possible: give {allowed}")
