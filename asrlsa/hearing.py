"""A model as its user wants it, and recordings as the stages of `asrlsa.speech.recognise` want them.

``hear`` runs the stages of `asrlsa.speech.recognise`. A recording in a language that the model's verbatim adapter was
not trained on is given up as soon as that is settled, and heard again with the model as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asrlsa import audio as media_audio
from asrlsa.config import TranscribeOptions
from asrlsa.errors import AsrlsaError, ConfigError, MediaError, UsageError
from asrlsa.language.codes import whisper_code
from asrlsa.models import Model
from asrlsa.speech.decode import DecodingOptions, Recogniser
from asrlsa.speech.low_memory import LowMemoryRecognition
from asrlsa.speech.memory import batch_size, hold_little
from asrlsa.speech.recognise import Blocks, Recognised, RecogniseOptions, Recognition, Source
from asrlsa.speech.style import find_model, is_foreign, known_languages, prompt_of
from asrlsa.types import Milliseconds

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def hear(
    model: Model,
    options: TranscribeOptions,
    sources: Iterable[Source],
    *,
    on_finished: Callable[[Recognised, Model], None],
    on_failed: Callable[[Source, AsrlsaError], None],
    on_progress: Callable[[Source, Milliseconds], None] = lambda source, done: None,
    on_note: Callable[[str], None] = lambda note: None,
    on_put_off: Callable[[Source], None] = lambda source: None,
    again: Callable[[list[Source]], Iterable[Source]] = lambda sources: sources,
) -> None:
    """Recognise recordings.

    Args:
        model: What `asrlsa.speech.style.find_model` found for the options.
        options: What the user wants.
        sources: The recordings.
        on_finished: Called in the finishing thread with each recording and the model that has heard it; what it
            raises as an AsrlsaError goes to ``on_failed``.
        on_failed: Called for each recording that could not be read or written.
        on_progress: Called with the time up to which a recording has been decoded.
        on_note: Called with sentences about the run itself.
        on_put_off: Called for each recording that will be heard again, without the adapter, after the others.
        again: Gives these when their turn comes.

    Raises:
        ModelError: The model can't be loaded.
        UsageError: It does not know the language.
        KeyboardInterrupt: The user stopped the run; finished recordings have been handed over.
    """
    elsewhere: dict[str, list[Source]] = {}

    def finished(heard: Recognised) -> None:
        if is_foreign(model, heard.language):
            elsewhere.setdefault(heard.language, []).append(heard.source)
            on_put_off(heard.source)
        else:
            on_finished(heard, model)

    def finished_plain(heard: Recognised, by: Model) -> None:
        heard.notes.append(
            f"the language heard is {heard.language}: transcribed without the verbatim adapter, which was not "
            "trained on it (--language says which language it is)"
        )
        on_finished(heard, by)

    def stages(model: Model, options: TranscribeOptions, finished: Callable[[Recognised], None]) -> Recognition:
        recogniser = load_recogniser(model, options)
        return recognition_class(options)(
            recogniser,
            recognise_options(model, options, recogniser),
            on_finished=finished,
            on_failed=on_failed,
            on_progress=on_progress,
            on_note=on_note,
        )

    stages(model, options, finished).run(sources)
    for code, rest in elsewhere.items():
        own = replace(options, language=code, verbatim=None)  # a strength is about the adapter, which stays out
        try:
            plain = find_model(own, code)
            loaded = stages(plain, own, partial(finished_plain, by=plain))
        except AsrlsaError as error:
            for source in rest:
                on_failed(source, error)
            continue
        loaded.run(again(rest))
        del loaded  # the next language loads the model again, and one in memory is enough


def load_recogniser(model: Model, options: TranscribeOptions) -> Recogniser:
    """Load the model as the options say."""
    if options.low_memory:
        hold_little()
    return Recogniser(
        model,
        device=options.device,
        compute_type=options.compute_type,
        threads=options.threads,
        side_by_side=not options.low_memory,
        window_ms=options.window_ms,
    )


def recognition_class(options: TranscribeOptions) -> type[Recognition]:
    """Return what runs the stages: side by side, or one after the other."""
    return LowMemoryRecognition if options.low_memory else Recognition


def spoken_language(options: TranscribeOptions) -> str | None:
    """Return the language in Whisper's code, or None where it is to be heard.

    Raises:
        ConfigError: Whisper does not know the language.
    """
    try:
        return None if options.language == "auto" else whisper_code(options.language)
    except KeyError:
        raise ConfigError(
            f"language {options.language!r} is not possible: give auto, or the code of one that Whisper knows, such as "
            "en, spa or deu"
        ) from None


def recognise_options(model: Model, options: TranscribeOptions, recogniser: Recogniser) -> RecogniseOptions:
    """Settle what the user, the model's card and the language leave open."""
    card = model.card
    language = spoken_language(options)
    if language not in (None, "en") and not recogniser.multilingual:
        raise UsageError(f"model {model.name} knows only English, not {options.language!r}: use --model base or larger")

    decoding = DecodingOptions()
    if card is not None:
        decoding = replace(decoding, **dict[str, Any](card.decoding))
        if card.suppress_tokens is not None:
            decoding = replace(decoding, suppress_tokens=card.suppress_tokens)
    if options.beam_size is not None:
        decoding = replace(decoding, beam_size=options.beam_size)
    return RecogniseOptions(
        language=language,
        prompt=prompt_of(model, options),
        decoding=decoding,
        batch_size=options.batch_size or batch_size(model.name, recogniser.device),
        align=options.align,
        window_ms=options.window_ms,
        speaker_model=options.speaker_model,
        offline=options.offline,
        known_languages=known_languages(model),
    )


def openers(path: Path, channels: int, mode: str) -> tuple[Callable[[], AbstractContextManager[Blocks]], ...]:
    """Return what opens the channels of a file that are decoded on their own."""
    if mode == "mix" or channels == 1:
        return (lambda: media_audio.stream(path, block_ms=10_000),)
    return tuple(
        (lambda channel=channel: media_audio.stream(path, channel=channel, block_ms=10_000))
        for channel in range(channels)
    )


class _Array(AbstractContextManager["_Array"]):
    """Samples in memory, as blocks."""

    def __init__(self, samples: NDArray[np.float32]) -> None:
        self.samples = samples
        self.notes: list[str] = []

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        size = 10 * media_audio.SAMPLE_RATE
        return (self.samples[i : i + size] for i in range(0, len(self.samples), size))

    def __exit__(self, *error: object) -> None:
        return None


def array_opener(samples: NDArray[np.float32]) -> Callable[[], AbstractContextManager[Blocks]]:
    """Return what opens samples in memory, of shape (samples,), as one channel.

    Raises:
        MediaError: They are not mono, or neither float nor int16.
    """
    import numpy as np

    given = np.asarray(samples)
    scale = 32_768.0 if given.dtype == np.int16 else 1.0
    if given.dtype != np.int16 and not np.issubdtype(given.dtype, np.floating):
        raise MediaError(f"the array holds {given.dtype}: give float samples from -1 to 1, or int16")
    array = np.nan_to_num(np.ascontiguousarray(given, dtype=np.float32) / scale, posinf=0.0, neginf=0.0)
    if array.ndim != 1:
        raise MediaError(
            f"the array has shape {array.shape}: give mono samples at 16 kHz with shape (samples,), "
            "or the path of the file"
        )
    return lambda: _Array(array)
