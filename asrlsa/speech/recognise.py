"""Recordings in, recognised words out: reading ahead in threads, decoding in batches that cross files.

Four stages run side by side, joined by short queues, so that memory does not grow with the length or the number of
recordings:

1. a reader thread decodes audio, finds speech, packs windows and computes their features;
2. an encoder thread runs the model's encoder over batches of windows, whichever recording they come from;
3. the calling thread writes their words with the decoder while the next batch is encoded;
4. a finishing thread makes word times exact, follows the speakers' voices, and hands over each finished recording.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

from asrlsa.errors import AsrlsaError, MediaError
from asrlsa.speech.decode import Decoded, DecodingOptions, Encoded, Recogniser
from asrlsa.speech.early_ends import Hear, completed
from asrlsa.speech.memory import give_back, limit_arenas
from asrlsa.speech.repairs import Search, absolute_words, located, repair, wide_search
from asrlsa.speech.seats import pieces_of, refined, reseated
from asrlsa.speech.speakers import SpeakerEncoder, SpeakerTracker
from asrlsa.speech.spoken_language import SpokenLanguages
from asrlsa.speech.times import WordAligner, monotone
from asrlsa.speech.vad import VadOptions
from asrlsa.speech.windows import Window, Windower, WindowOptions
from asrlsa.types import Milliseconds, Span, Word

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CUT_ROOM_MS = 1_000  # a region without a pause is cut so much earlier, which leaves room for its padding


class Blocks(Protocol):
    """An opened channel: iterate for mono float32 blocks at 16 kHz; ``notes`` are complete at the end."""

    notes: list[str]

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        """Yield the blocks in order."""
        ...


@dataclass(frozen=True, slots=True)
class Source:
    """One recording to recognise.

    Attributes:
        key: What the caller knows it by.
        channels: One opener a channel that is decoded on its own; usually one, which mixes all channels.
    """

    key: Any
    channels: tuple[Callable[[], AbstractContextManager[Blocks]], ...]


@dataclass(slots=True)
class Recognised:
    """Everything heard in one recording.

    Attributes:
        source: The recording.
        duration: Its length in ms.
        language: ISO 639-1 code, decided by the caller or by listening.
        words: For each channel the words in order, with absolute times.
        regions: For each channel the speech regions.
        tracker: Knows the voices, when there is one channel; None where each channel is a speaker.
        notes: Plain sentences about what was damaged, repaired or left out.
    """

    source: Source
    duration: Milliseconds = 0
    language: str = ""
    words: list[list[Word]] = field(default_factory=list)
    regions: list[list[Span]] = field(default_factory=list)
    tracker: SpeakerTracker | None = None
    notes: list[str] = field(default_factory=list)

    @classmethod
    def begin(cls, source: Source) -> Recognised:
        """Return a recording of which nothing has been heard."""
        return cls(source, words=[[] for _ in source.channels], regions=[[] for _ in source.channels])


@dataclass(slots=True)
class _Item:
    """One window on its way through the stages."""

    source: Source
    channel: int
    window: Window
    features: NDArray[np.float32] | None
    decoded: Decoded | None = None
    repaired: str = ""


@dataclass(frozen=True, slots=True)
class _Batch:
    """Windows that have been encoded together, each with its language."""

    items: list[_Item]
    encoded: Encoded
    languages: list[str]


@dataclass(slots=True)
class _End:
    """No more windows of a source follow; ``error`` when it could not be read."""

    source: Source
    duration: Milliseconds
    notes: list[str]
    error: AsrlsaError | None = None


@dataclass(frozen=True, slots=True)
class RecogniseOptions:
    """What the stages need to know; see ``asrlsa.config.TranscribeOptions``.

    Attributes:
        language: ISO 639-1 code, or None to listen for it.
        prompt: Gives the prompt for an ISO 639-1 code, or None for no prompt.
        decoding: Settings of the search.
        batch_size: Windows decoded together at most.
        align: Refine word times by forced alignment where possible.
        window_ms: Longest window; 0 fills Whisper's 30 s.
        track_speakers: Follow voices in recordings of one channel.
        speaker_model: Embedding model for that; None takes the packaged one.
        offline: Never ask a hub for it.
        known_languages: ISO 639-1 codes of the languages that the weights were trained for. A recording that is heard
            to be in another is given up: its result has the language, and not all of its words. Empty means any.
    """

    language: str | None
    prompt: Callable[[str], str | None]
    decoding: DecodingOptions = field(default_factory=DecodingOptions)
    batch_size: int = 4
    align: bool = True
    window_ms: Milliseconds = 0
    track_speakers: bool = True
    speaker_model: str | None = None
    offline: bool = False
    known_languages: tuple[str, ...] = ()


class Recognition:
    """One pass over many recordings; use ``run`` once."""

    def __init__(
        self,
        recogniser: Recogniser,
        options: RecogniseOptions,
        *,
        on_finished: Callable[[Recognised], None],
        on_failed: Callable[[Source, AsrlsaError], None],
        on_progress: Callable[[Source, Milliseconds], None] = lambda source, done: None,
        on_note: Callable[[str], None] = lambda note: None,
    ) -> None:
        """Prepare.

        Args:
            recogniser: The loaded model.
            options: What to do.
            on_finished: Called in the finishing thread for each recording; what it raises as an AsrlsaError goes to
                ``on_failed``.
            on_failed: Called for each recording that could not be read or written.
            on_progress: Called with the time up to which a recording has been decoded.
            on_note: Called with sentences about the run itself, such as a smaller batch.
        """
        self._recogniser = recogniser
        self._options = options
        self._on_finished, self._on_failed = on_finished, on_failed
        self._on_progress, self._on_note = on_progress, on_note
        self._batch = options.batch_size
        self._read: queue.Queue[_Item | _End | BaseException | None] = queue.Queue(max(2, options.batch_size))
        self._ready: queue.Queue[_Batch | _Item | _End | None] = queue.Queue(1)
        self._done: queue.Queue[_Item | _End | None] = queue.Queue(max(2, options.batch_size))
        self._stop = threading.Event()
        self._crash: BaseException | None = None
        self._voices = self._load_voices()
        self._spoken = SpokenLanguages(options.known_languages)  # by the id of a source: forget it before it is gone

    def _load_voices(self) -> SpeakerEncoder | None:
        """Load the speaker model, or say what is wrong with it before the work begins."""
        if not self._options.track_speakers:
            return None
        return SpeakerEncoder(threads=1, model=self._options.speaker_model, offline=self._options.offline)

    def run(self, sources: Iterable[Source]) -> None:
        """Recognise every source; returns when all are finished or failed.

        Raises:
            KeyboardInterrupt: The user stopped the run; finished recordings have been handed over.
        """
        limit_arenas()
        reader = threading.Thread(target=self._guard(self._read_ahead), args=(sources,), name="reader", daemon=True)
        encoder = threading.Thread(target=self._guard(self._encode_all), name="encoder", daemon=True)
        finisher = threading.Thread(target=self._guard(self._finish), name="finisher", daemon=True)
        reader.start()
        encoder.start()
        finisher.start()
        try:
            self._decode_all()
            while finisher.is_alive():
                finisher.join(0.2)
        finally:
            self._stop.set()
            reader.join(5)
            encoder.join(30)
            finisher.join(30)
        if self._crash is not None:
            raise self._crash

    def _guard(self, stage: Callable[..., None]) -> Callable[..., None]:
        """Let a stage's crash end the run instead of leaving it waiting."""

        def run(*args: Any) -> None:
            try:
                stage(*args)
            except BaseException as error:
                self._crash = self._crash or error
                self._stop.set()

        return run

    def _put(self, where: queue.Queue[Any], item: Any) -> bool:
        """Put, but give up when the run is being stopped."""
        while not self._stop.is_set():
            try:
                where.put(item, timeout=0.2)
                return True
            except queue.Full:
                continue
        return False

    def _get(self, where: queue.Queue[Any]) -> Any:
        while not self._stop.is_set():
            try:
                return where.get(timeout=0.2)
            except queue.Empty:
                continue
        return None

    # Stage 1: the reader

    def _read_ahead(self, sources: Iterable[Source]) -> None:
        for source in sources:
            duration = 0
            notes: list[str] = []
            error: AsrlsaError | None = None
            try:
                for channel, opener in enumerate(source.channels):
                    with opener() as blocks:
                        length = self._read_channel(source, channel, blocks)
                    duration = max(duration, length)
                    notes.extend(note for note in blocks.notes if note not in notes)
            except AsrlsaError as problem:
                error = problem
            except MemoryError:
                error = no_memory(source)
            if not self._put(self._read, _End(source, duration, notes, error)):
                return
        self._put(self._read, None)

    def _read_channel(self, source: Source, channel: int, blocks: Blocks) -> Milliseconds:
        windower = make_windower(self._options.window_ms)
        for window in windower.windows(blocks):
            if not self._put(self._read, _Item(source, channel, window, self._recogniser.features(window.audio))):
                break
            if self._spoken.strange(id(source)):
                break
        return windower.position_ms

    # Stages 2 and 3: the model, its encoder one batch ahead of its decoder

    def _encode_all(self) -> None:
        waiting: list[_Item | _End] = []
        windows: list[_Item] = []
        while True:
            item = self._get(self._read)
            if self._stop.is_set():
                return
            if item is not None:
                waiting.append(item)
            if isinstance(item, _Item):
                windows.append(item)
            if windows and item is not None and len(windows) < self._batch:
                continue
            for batch in self._encoded(windows):
                if not self._put(self._ready, batch):
                    return
            for done in waiting:
                self._put(self._ready, done)
            waiting, windows = [], []
            if item is None:
                self._put(self._ready, None)
                return

    def _encoded(self, items: list[_Item]) -> Iterator[_Batch]:
        """Encode windows; half as many at once as often as memory demands."""
        if not items:
            return
        try:
            encoded = self._recogniser.encode([i.features for i in items if i.features is not None])
            languages = self._languages(items, encoded)
        except (RuntimeError, MemoryError) as error:
            for half in self._halves(items, error):
                yield from self._encoded(half)
            return
        for item in items:
            item.features = None
        yield _Batch(items, encoded, languages)

    def _decode_all(self) -> None:
        while True:
            found = self._get(self._ready)
            if isinstance(found, _Batch):
                self._decode(found)
                continue
            self._put(self._done, found)
            if found is None:
                return

    def _decode(self, batch: _Batch) -> None:
        """Decode a batch; half as many windows at once as often as memory demands."""
        items, encoded, languages = batch.items, batch.encoded, batch.languages
        try:
            windows = [i.window for i in items]
            repaired = completed(windows, self._heard(batch), self._second_search(batch), self._rest_search(batch))
        except (RuntimeError, MemoryError) as error:
            first = 0
            for half in self._halves(items, error):
                rows = range(first, first + len(half))
                self._decode(_Batch(half, encoded.take(rows), [languages[i] for i in rows]))
                first += len(half)
            return
        del encoded
        give_back()
        for item, (result, note) in zip(items, repaired, strict=True):
            item.decoded, item.repaired = result, note
            self._on_progress(item.source, item.window.pieces[-1].end)

    def _halves(self, items: list[_Item], error: BaseException) -> list[list[_Item]]:
        """Return the items in smaller parts after memory ran out; raise any other error."""
        if len(items) == 1 or not _out_of_memory(error):
            raise error
        half = self._batch = max(1, len(items) // 2)
        self._on_note(f"not enough memory for {len(items)} windows at once; going on with {half}")
        return [items[first : first + half] for first in range(0, len(items), half)]

    def _heard(self, batch: _Batch) -> list[tuple[Decoded, str]]:
        """Return what a batch says, without loops and guesses, with notes on these."""
        results = self._search(batch, self._options.decoding)
        windows, least = [i.window for i in batch.items], self._options.decoding.least_fragment_confidence
        return repair(windows, results, self._second_search(batch), least)

    def _search(self, batch: _Batch, options: DecodingOptions, ban: int = 0) -> list[Decoded]:
        return self._recogniser.decode(
            batch.encoded,
            [i.window.duration for i in batch.items],
            language=batch.languages,
            prompt=[self._options.prompt(code) for code in batch.languages],
            options=options,
            ban_ngrams=ban,
        )

    def _second_search(self, batch: _Batch) -> Search:
        """Return what decodes windows of the batch again when they have looped or ended early."""

        def search(rows: list[int], ban: int) -> list[Decoded]:
            items, languages = [batch.items[i] for i in rows], [batch.languages[i] for i in rows]
            again = _Batch(items, batch.encoded.take(rows), languages)
            return self._search(again, wide_search(self._options.decoding), ban)

        return search

    def _rest_search(self, batch: _Batch) -> Hear:
        """Return what decodes rests of windows of the batch."""

        def hear(rows: list[int], rests: list[Window]) -> list[tuple[Decoded, str]]:
            items = [replace(batch.items[i], window=rest) for i, rest in zip(rows, rests, strict=True)]
            encoded = self._recogniser.encode([self._recogniser.features(rest.audio) for rest in rests])
            return self._heard(_Batch(items, encoded, [batch.languages[i] for i in rows]))

        return hear

    def _languages(self, items: Sequence[_Item], encoded: Encoded) -> list[str]:
        """Return each window's language: given, or heard in its recording up to here."""
        if not self._recogniser.multilingual:
            return ["en"] * len(items)
        if self._options.language is not None:
            return [self._options.language] * len(items)
        open_rows = [n for n, item in enumerate(items) if not self._spoken.settled(id(item.source))]
        if open_rows:
            for n, row in zip(open_rows, self._recogniser.languages(encoded.take(open_rows)), strict=True):
                self._spoken.add(id(items[n].source), row, items[n].window.duration)
        return [self._spoken.code(id(item.source)) for item in items]

    def _language(self, key: int) -> str:
        if self._options.language is not None:
            return self._options.language
        return self._spoken.code(key)

    # Stage 4: the finisher

    def _finish(self) -> None:
        results: dict[int, Recognised] = {}
        aligners: dict[str, WordAligner] = {}
        while True:
            item = self._get(self._done)
            if item is None:
                return
            key = id(item.source)
            result = results.get(key)
            if result is None:
                result = results[key] = Recognised.begin(item.source)
                if self._voices is not None and len(item.source.channels) == 1:
                    result.tracker = SpeakerTracker(self._voices)
            if isinstance(item, _Item):
                self._take_window(result, item, aligners)
                continue
            del results[key]
            result.duration, result.language = item.duration, self._language(key)
            self._spoken.forget(key)
            result.notes[:0] = item.notes
            if item.error is not None:
                self._on_failed(item.source, item.error)
                continue
            try:
                self._on_finished(result)
            except AsrlsaError as error:
                self._on_failed(item.source, error)

    def _take_window(self, result: Recognised, item: _Item, aligners: dict[str, WordAligner]) -> None:
        """Give a window's words their final times and let the tracker hear its voices."""
        assert item.decoded is not None
        window, language = item.window, self._language(id(item.source))
        aligner = aligners.setdefault(language, WordAligner(language))
        words = absolute_words(window, item.decoded.words)
        if self._options.align and aligner.available:
            words = refined(window, words, aligner)
        result.words[item.channel].extend(reseated(monotone(words, window.regions)))
        result.regions[item.channel].extend(window.regions)
        if item.repaired:
            result.notes.append(located(window, item.repaired))
        if result.tracker is not None:
            follow(result.tracker, window)


def make_windower(window_ms: Milliseconds) -> Windower:
    """Return what cuts a channel into windows of at most ``window_ms``; 0 fills Whisper's 30 s."""
    if not window_ms:
        return Windower(VadOptions(), WindowOptions())
    vad = VadOptions(max_region_ms=window_ms - CUT_ROOM_MS)
    return Windower(vad, WindowOptions(max_ms=window_ms))


def follow(tracker: SpeakerTracker, window: Window) -> None:
    """Let the tracker hear a window's voices."""
    for piece, audio in pieces_of(window):
        inside = [r for r in window.regions if r.start < piece.end and r.end > piece.start]
        tracker.add(audio, piece.start, inside)


def no_memory(source: Source) -> MediaError:
    """Say that memory ran out for a recording."""
    return MediaError(f"{source.key}: not enough memory to read it; close other programs and run again")


def _out_of_memory(error: BaseException) -> bool:
    text = str(error).lower()
    return isinstance(error, MemoryError) or "out of memory" in text or "bad_alloc" in text or "bad alloc" in text
