"""Recognition for small machines: one thing at a time, and nothing in memory that has had its turn.

`Recognition` keeps four stages busy at once, so that everything is in memory at once: the recogniser, the aligner, the
speaker model, and what each of them computes with. Here every recording is read three times: for its words, window by
window; then, with the recogniser gone from memory, for exact word times; and, with the aligner gone, for the voices.
The transcript is the same. Where several cores could have worked side by side it takes longer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from asrlsa.errors import AsrlsaError
from asrlsa.speech.memory import give_back
from asrlsa.speech.recognise import Blocks, Recognised, Recognition, Source, _Item, follow, make_windower, no_memory
from asrlsa.speech.speakers import SpeakerEncoder, SpeakerTracker
from asrlsa.speech.speakers.embedding import resolve_model
from asrlsa.speech.times import WordAligner
from asrlsa.speech.windows import SAMPLES_PER_MS, Window

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class LowMemoryRecognition(Recognition):
    """As `Recognition`, in one thread and in three passes over each recording; use ``run`` once."""

    def _load_voices(self) -> None:
        """Only look the speaker model up: it is loaded when its turn comes, and what is wrong is said before the work.

        Raises:
            ModelError: There is no such speaker model.
        """
        if self._options.track_speakers:
            resolve_model(self._options.speaker_model, offline=self._options.offline)

    def run(self, sources: Iterable[Source]) -> None:
        """Recognise every source, one after the other; finished ones have been handed over when it is interrupted."""
        for source in sources:
            result = Recognised.begin(source)
            try:
                self._recogniser.restore()
                items = self._recognise(result)
                self._recogniser.release()
                give_back()
                if not self._spoken.strange(id(source)):
                    self._time(result, items)
                    give_back()
                    self._follow_voices(result, items)
                    give_back()
                self._on_finished(result)
            except MemoryError:
                self._on_failed(source, no_memory(source))
            except AsrlsaError as error:
                self._on_failed(source, error)
            finally:
                self._spoken.forget(id(source))

    def _recognise(self, result: Recognised) -> list[_Item]:
        """First pass: return every window with its words and without its audio."""
        items: list[_Item] = []
        for channel, opener in enumerate(result.source.channels):
            windower = make_windower(self._options.window_ms)
            with opener() as blocks:
                items.extend(self._decoded(result.source, channel, windower.windows(blocks)))
            result.duration = max(result.duration, windower.position_ms)
            result.notes.extend(note for note in blocks.notes if note not in result.notes)
        result.language = self._language(id(result.source))
        return items

    def _decoded(self, source: Source, channel: int, windows: Iterable[Window]) -> Iterator[_Item]:
        import numpy as np

        for window in windows:
            item = _Item(source, channel, window, self._recogniser.features(window.audio))
            for batch in self._encoded([item]):
                self._decode(batch)
            item.window = replace(window, audio=np.zeros(0, np.float32))
            yield item
            if self._spoken.strange(id(source)):
                return

    def _time(self, result: Recognised, items: Sequence[_Item]) -> None:
        """Second pass: exact word times."""
        aligner = WordAligner(result.language)
        aligners = {result.language: aligner}
        if not (self._options.align and aligner.available):
            for item in items:
                self._take_window(result, item, aligners)
            return
        for item, window in self._heard_again(result.source, items):
            self._take_window(result, replace(item, window=window), aligners)

    def _follow_voices(self, result: Recognised, items: Sequence[_Item]) -> None:
        """Third pass: the voices."""
        if not self._options.track_speakers or len(result.source.channels) != 1:
            return
        model = SpeakerEncoder(1, self._options.speaker_model, offline=self._options.offline)
        tracker = SpeakerTracker(model)
        for _, window in self._heard_again(result.source, items):
            follow(tracker, window)
        tracker.release()  # the model leaves the memory before the clustering
        result.tracker = tracker

    def _heard_again(self, source: Source, items: Sequence[_Item]) -> Iterator[tuple[_Item, Window]]:
        """Read a recording again and yield every window with its audio."""
        for channel, opener in enumerate(source.channels):
            with opener() as blocks:
                for item, audio in cut_again(blocks, [item for item in items if item.channel == channel]):
                    yield item, replace(item.window, audio=audio)
                    give_back()


def cut_again(blocks: Blocks, items: Sequence[_Item]) -> Iterator[tuple[_Item, NDArray[np.float32]]]:
    """Read a channel again and yield the audio (samples,) of each window; no more is held than one window needs."""
    import numpy as np

    held: NDArray[np.float32] = np.zeros(0, np.float32)
    origin = 0  # sample index of held[0]
    source = iter(blocks)
    for item in items:
        spans = [(p.start * SAMPLES_PER_MS, p.end * SAMPLES_PER_MS) for p in item.window.pieces]
        begin, end = spans[0][0], spans[-1][1]
        parts = [held[begin - origin :]]
        reached = origin + len(held)
        while reached < end and (block := next(source, None)) is not None:
            parts.append(block[max(0, begin - reached) :])
            reached += len(block)
        held, origin = np.concatenate(parts), begin
        yield item, np.concatenate([held[first - origin : last - origin] for first, last in spans])
