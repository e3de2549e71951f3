"""The process in which `asrlsa.trials.run_trial` measures: a request on standard input, events on standard output.

Every line of the output is a JSON object: ``progress`` in ms, or at the end what was measured, or ``error``.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from asrlsa.audio import SAMPLES_PER_MS
from asrlsa.compute_types import usual_device
from asrlsa.errors import AsrlsaError, UsageError
from asrlsa.speech.memory import peak_memory
from asrlsa.trials import Trial

if TYPE_CHECKING:
    from concurrent.futures import Future

    import numpy as np
    from numpy.typing import NDArray

    from asrlsa.config import TranscribeOptions
    from asrlsa.models import Model
    from asrlsa.speech.decode import Encoded, Recogniser
    from asrlsa.speech.recognise import Recognised

Work = Sequence[tuple[Path, Path]]
_UNFIT = re.compile(r'[,"\x00-\x1f\x7f-\x9f]')  # what @Media can't hold


@dataclass(slots=True)
class Clock:
    """Takes the times of one trial."""

    events: TextIO
    born: float = field(default_factory=time.perf_counter)
    loaded: float = 0.0
    began: float = 0.0
    first: float = 0.0
    ended: float = 0.0
    computed: float = 0.0
    audio_ms: int = 0

    def model_loaded(self) -> None:
        """The model is ready."""
        self.loaded = time.perf_counter()

    def begin(self) -> None:
        """Transcribing begins."""
        self.began = time.perf_counter()
        self.computed = -time.process_time()

    def heard(self) -> None:
        """Words are there; the first time counts."""
        self.first = self.first or time.perf_counter()

    def done(self) -> None:
        """The last transcript is on the disk."""
        self.ended = time.perf_counter()
        self.computed += time.process_time()

    def progress(self, done: int) -> None:
        """``done`` ms of audio have been transcribed."""
        self.say({"progress": done})

    def say(self, event: dict[str, Any]) -> None:
        """Write one event."""
        print(json.dumps(event), file=self.events, flush=True)

    def result(self) -> dict[str, Any]:
        """Return what was measured."""
        return {
            "audio_seconds": self.audio_ms / 1000,
            "load_seconds": self.loaded - self.born,
            "seconds": self.ended - self.began,
            "first_seconds": (self.first or self.ended) - self.began,
            "cpu_seconds": self.computed,
            "peak_memory": peak_memory(),
        }


def main() -> None:
    """Read the request, measure, report."""
    # What libraries print on standard output must not mix with the events.
    clock = Clock(os.fdopen(os.dup(1), "w", encoding="utf-8"))
    os.dup2(2, 1)
    request = json.load(sys.stdin)
    trial = Trial(**request["trial"])
    work = [(Path(recording), Path(transcript)) for recording, transcript in request["work"]]
    try:
        _limit(trial.threads, request["memory_limit"])
        run(trial, Path(request["weights"]), work, clock)
    except AsrlsaError as error:
        clock.say({"error": type(error).__name__, "message": str(error)})
        return
    except MemoryError:
        clock.say({"error": "ModelError", "message": "memory ran out"})
        return
    clock.say(clock.result())


def run(trial: Trial, weights: Path, work: Work, clock: Clock) -> None:
    """Transcribe every recording with one configuration.

    Raises:
        AsrlsaError: The model can't be loaded, or a recording can't be transcribed.
    """
    if trial.engine != "asrlsa":
        _engine(trial, weights, work, clock)
    elif trial.only_model:
        _model_alone(trial, weights, work, clock)
    else:
        _asrlsa(trial, weights, work, clock)


def _limit(threads: int, memory: int | None) -> None:
    """Bind the process to so many cores, and to so much memory of its own."""
    if threads and hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        if threads > len(cores):
            raise UsageError(f"{threads} threads were asked for, and this process may use {len(cores)} cores")
        os.sched_setaffinity(0, cores[:threads])
    if memory is not None:
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))


def _engine(trial: Trial, weights: Path, work: Work, clock: Clock) -> None:
    """Measure another program."""
    from asrlsa.engines import EngineSettings, load_engine

    settings = EngineSettings(
        compute_type=trial.compute_type,
        device=usual_device() if trial.device == "auto" else trial.device,
        beam_size=trial.beam_size,
        batch_size=trial.batch_size,
        threads=trial.threads,
        language=trial.language,
    )
    transcribe = load_engine(trial.engine, weights, settings)
    clock.model_loaded()
    clock.begin()
    for recording, transcript in work:
        text = transcribe(recording, clock.heard)
        transcript.write_text(text + "\n", encoding="utf-8")
    clock.done()
    for recording, _ in work:  # other programs don't say how long a recording is; looked up when the clock stands
        clock.audio_ms += sum(len(block) for block in _blocks(recording)) // SAMPLES_PER_MS


def _blocks(recording: Path) -> Iterator[NDArray[np.float32]]:
    from asrlsa import audio

    with audio.stream(recording, block_ms=10_000) as blocks:
        yield from blocks


def _load(trial: Trial, weights: Path) -> tuple[Model, TranscribeOptions, Recogniser]:
    """Load asrlsa's recogniser."""
    from asrlsa.config import TranscribeOptions
    from asrlsa.hearing import load_recogniser
    from asrlsa.model_card import MAX_CONTEXT_SECONDS, ModelCard
    from asrlsa.models import resolve_model

    options = TranscribeOptions(
        model=str(weights),
        offline=True,
        language=trial.language,
        device=trial.device,
        compute_type=trial.compute_type,
        threads=trial.threads,
        beam_size=trial.beam_size,
        batch_size=trial.batch_size or 0,
        low_memory=trial.low_memory,
    )
    model = replace(resolve_model(weights), name=trial.model)
    if trial.context == "full":
        model = replace(model, card=replace(model.card or ModelCard(), context_seconds=(MAX_CONTEXT_SECONDS,)))
    return model, options, load_recogniser(model, options)


def _asrlsa(trial: Trial, weights: Path, work: Work, clock: Clock) -> None:
    """Measure what ``asrlsa transcribe`` does, from the recording to the CHAT file."""
    from asrlsa.hearing import openers, recognise_options, recognition_class
    from asrlsa.speech.recognise import Source

    model, options, recogniser = _load(trial, weights)
    errors: list[AsrlsaError] = []
    done: dict[int, int] = {}

    def finished(heard: Recognised) -> None:
        clock.audio_ms += heard.duration
        _write_chat(heard, model, options, *heard.source.key)

    def progress(source: Source, at: int) -> None:
        clock.heard()
        done[id(source)] = at
        clock.progress(sum(done.values()))

    recognition = recognition_class(options)(
        recogniser,
        recognise_options(model, options, recogniser),
        on_finished=finished,
        on_failed=lambda source, error: errors.append(error),
        on_progress=progress,
    )
    sources = [Source(pair, openers(pair[0], 1, "mix")) for pair in work]
    clock.model_loaded()
    clock.begin()
    recognition.run(sources)
    clock.done()
    if errors:
        raise errors[0]


def _write_chat(heard: Recognised, model: Model, options: TranscribeOptions, recording: Path, transcript: Path) -> None:
    from asrlsa.recordings import stamp_comment
    from asrlsa.speech.compose import compose
    from asrlsa.transcription import described, recording_date, write_all

    composed = compose(
        heard,
        options=options,
        participants=(),
        media=_UNFIT.sub("_", recording.stem),
        video=False,
        date=recording_date(recording),
        comments=[stamp_comment(model, described(model, options), "none")],
    )
    write_all(transcript, composed.transcript.to_chat(), composed.transcript, ("cha",))


@dataclass(slots=True)
class _Window:
    """One window that waits for the model."""

    transcript: Path
    duration: int
    features: NDArray[np.float32]


_Batch = list[_Window]


def _model_alone(trial: Trial, weights: Path, work: Work, clock: Clock) -> None:
    """Measure encoder and decoder, in two threads as asrlsa runs them; the windows are made before the clock starts."""
    from asrlsa.hearing import recognise_options
    from asrlsa.speech.memory import batch_size

    model, options, recogniser = _load(trial, weights)
    clock.model_loaded()
    settings = recognise_options(model, options, recogniser)
    size = trial.batch_size or batch_size(model.name, recogniser.device)
    windows = [window for pair in work for window in _windows(*pair, recogniser, clock)]
    batches = [windows[i : i + size] for i in range(0, len(windows), size)]
    texts: dict[Path, list[str]] = {transcript: [] for _, transcript in work}
    clock.begin()
    for batch, encoded in _ahead(batches, lambda batch: recogniser.encode([w.features for w in batch])):
        codes = [settings.language or "en"] * len(batch)
        if not settings.language and recogniser.multilingual:
            codes = [max(row.items(), key=lambda pair: pair[1])[0] for row in recogniser.languages(encoded)]
        found = recogniser.decode(
            encoded,
            [w.duration for w in batch],
            language=codes,
            prompt=[settings.prompt(code) for code in codes],
            options=settings.decoding,
        )
        clock.heard()
        for window, decoded in zip(batch, found, strict=True):
            texts[window.transcript].append(" ".join(word.text for word in decoded.words))
    clock.done()
    for transcript, lines in texts.items():
        transcript.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _windows(recording: Path, transcript: Path, recogniser: Recogniser, clock: Clock) -> Iterator[_Window]:
    """Cut a recording into windows as asrlsa does."""
    from asrlsa.speech.recognise import make_windower

    windower = make_windower(0)
    for window in windower.windows(_blocks(recording)):
        yield _Window(transcript, window.duration, recogniser.features(window.audio))
    clock.audio_ms += windower.position_ms


def _ahead(batches: Iterable[_Batch], encode: Callable[[_Batch], Encoded]) -> Iterator[tuple[_Batch, Encoded]]:
    """Encode one batch ahead of what is being decoded."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as encoder:
        waiting: list[tuple[_Batch, Future[Encoded]]] = []
        for batch in batches:
            waiting.append((batch, encoder.submit(encode, batch)))
            if len(waiting) > 1:
                ready, encoded = waiting.pop(0)
                yield ready, encoded.result()
        for ready, encoded in waiting:
            yield ready, encoded.result()


if __name__ == "__main__":
    main()
