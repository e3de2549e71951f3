"""The three stages with a stand-in for the model: batches, memory, loops, languages, failures."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from asrlsa.errors import AsrlsaError, MediaError
from asrlsa.speech.decode import Decoded, DecodingOptions
from asrlsa.speech.low_memory import LowMemoryRecognition
from asrlsa.speech.recognise import Recognised, RecogniseOptions, Recognition, Source
from asrlsa.types import Word

SECOND = 16_000


class Encoded:
    def __init__(self, rows: list[np.ndarray]) -> None:
        self.rows, self.size = rows, len(rows)

    def take(self, rows: list[int]) -> Encoded:
        return Encoded([self.rows[i] for i in rows])


class Model:
    """Writes one word a window; what it does wrong is scripted."""

    multilingual = True

    def __init__(
        self,
        *,
        room: int = 100,
        search_room: int = 100,
        loops: int = 0,
        spoken: str = "en",
        sure: float = 0.8,
        log_probability: float = -0.3,
    ) -> None:
        self.sure = sure
        self.search_room = search_room
        self.room, self.loops, self.spoken, self.log_probability = room, loops, spoken, log_probability
        self.calls: list[tuple[int, int, int]] = []
        self.asked: list[str] = []

    def features(self, audio: np.ndarray) -> np.ndarray:
        return audio[:1]

    def encode(self, features: list[np.ndarray]) -> Encoded:
        if len(features) > self.room:
            raise RuntimeError("CUDA failed with error out of memory")
        return Encoded(features)

    def languages(self, encoded: Encoded) -> list[dict[str, float]]:
        return [{"en": 0.05, self.spoken: self.sure}] * encoded.size

    def decode(
        self,
        encoded: Encoded,
        durations: list[int],
        *,
        language: list[str],
        prompt: list[str | None],
        options: DecodingOptions,
        ban_ngrams: int,
    ) -> list[Decoded]:
        if encoded.size > self.search_room:
            raise MemoryError
        self.calls.append((encoded.size, options.beam_size, ban_ngrams))
        self.asked.extend(language)
        return [Decoded(self.words(d), self.log_probability, 0.1, truncated=False) for d in durations]

    def words(self, duration: int) -> tuple[Word, ...]:
        """Return what is written for a window of so many ms: its text reaches to its end."""
        words: tuple[Word, ...] = (Word("hello", 300, duration, 0.9),)
        if len(self.calls) <= self.loops:
            words += tuple(Word("so", duration, duration, 0.9) for _ in range(20))
        return words


class Talk(AbstractContextManager["Talk"]):
    """A recording of speech as the scripted detector sees it: its samples are the probabilities."""

    def __init__(self, seconds: int, error: AsrlsaError | None = None, *, level: float = 1.0) -> None:
        self.seconds, self.error, self.level = seconds, error, level
        self.notes: list[str] = []

    def __iter__(self) -> Iterator[np.ndarray]:
        for _ in range(self.seconds):
            block = np.full(SECOND, self.level, np.float32)
            block[-SECOND // 2 :] = 0
            yield block
        if self.error:
            raise self.error

    def __exit__(self, *error: object) -> None:
        return None


@pytest.fixture(autouse=True)
def _scripted(monkeypatch: pytest.MonkeyPatch) -> None:
    class Detector:
        def __call__(self, audio: np.ndarray) -> np.ndarray:
            return np.abs(audio.reshape(-1, 512)).max(axis=1)

    monkeypatch.setattr("asrlsa.speech.windows.SpeechProbability", Detector)


def run(
    model: Model, talks: list[Talk], **options: Any
) -> tuple[list[Recognised], list[tuple[Source, AsrlsaError]], list[str]]:
    finished: list[Recognised] = []
    failed: list[tuple[Source, AsrlsaError]] = []
    notes: list[str] = []
    chosen = RecogniseOptions(
        **{"language": "en", "prompt": lambda code: None, "align": False, "track_speakers": False, **options}
    )
    openers: list[Callable[[], Talk]] = [lambda t=t: t for t in talks]  # type: ignore[misc]
    Recognition(
        model,  # type: ignore[arg-type]
        chosen,
        on_finished=finished.append,
        on_failed=lambda source, error: failed.append((source, error)),
        on_note=notes.append,
    ).run([Source(n, (o,)) for n, o in enumerate(openers)])
    return finished, failed, notes


def test_windows_of_different_recordings_share_a_batch_and_results_come_in_order():
    model = Model()
    finished, failed, _ = run(model, [Talk(5), Talk(3), Talk(7)], batch_size=3)
    assert [r.source.key for r in finished] == [0, 1, 2]
    assert [r.duration for r in finished] == [5_000, 3_000, 7_000]
    assert not failed
    assert model.calls == [(3, 1, 0)]
    assert all([w.text for w in r.words[0]] == ["hello"] for r in finished)


@pytest.mark.parametrize("model", [Model(room=1), Model(search_room=1)], ids=["encoder", "decoder"])
def test_out_of_memory_halves_the_batch_and_loses_nothing(model: Model):
    finished, failed, notes = run(model, [Talk(4)] * 4, batch_size=4)
    assert len(finished) == 4
    assert not failed
    assert {size for size, _, _ in model.calls} == {1}
    assert notes[0] == "not enough memory for 4 windows at once; going on with 2"


def test_no_memory_for_even_one_window_ends_the_run():
    with pytest.raises(RuntimeError, match="out of memory"):
        run(Model(room=0), [Talk(4)])


def test_a_loop_is_decoded_again_with_a_wider_search_before_ngrams_are_banned():
    model = Model(loops=1)
    finished, _, _ = run(model, [Talk(4)])
    assert model.calls == [(1, 1, 0), (1, 5, 0)]
    assert [w.text for w in finished[0].words[0]] == ["hello"]
    assert "decoded again" in finished[0].notes[0]

    stubborn = Model(loops=2)
    run(stubborn, [Talk(4)])
    assert stubborn.calls == [(1, 1, 0), (1, 5, 0), (1, 5, 4)]


def test_a_loop_that_stays_is_written_xxx_and_said():
    finished, _, _ = run(Model(loops=9), [Talk(4)])
    assert [w.text for w in finished[0].words[0]] == ["hello", "xxx"]
    assert "xxx" in finished[0].notes[0]


def test_a_guess_over_speech_is_unintelligible():
    finished, _, _ = run(Model(log_probability=-2.5), [Talk(4)])
    assert [w.text for w in finished[0].words[0]] == ["xxx"]


def test_a_guess_over_noise_is_nothing():
    finished, _, _ = run(Model(log_probability=-2.5), [Talk(4, level=0.4)])
    assert finished[0].words == [[]]
    assert finished[0].notes == ["0:00: noise, no words written"]
    sure, _, _ = run(Model(log_probability=-0.5), [Talk(4, level=0.4)])
    assert [w.text for w in sure[0].words[0]] == ["hello"]


class Doubting(Model):
    """Is sure of some fragments and not of others."""

    def words(self, duration: int) -> tuple[Word, ...]:
        heard = (("b-", 0.25), ("b-", 0.35), ("ball", 0.1), ("Um,", 0.2), ("s-,", 0.2), ("I", 0.01))
        return tuple(Word(text, 200 * i, 200 * i + 150, c) for i, (text, c) in enumerate(heard))


def test_fragments_that_the_model_hardly_believes_in_are_not_written():
    finished, _, _ = run(Doubting(), [Talk(2)], decoding=DecodingOptions(least_fragment_confidence=0.3))
    assert [(w.text, w.start) for w in finished[0].words[0]] == [("b-", 200), ("ball", 400), ("Um,", 600), ("I", 1_000)]
    assert finished[0].notes == []
    finished, _, _ = run(Doubting(), [Talk(2)])
    assert len(finished[0].words[0]) == 6


class Brief(Model):
    """Writes the first three seconds of whatever it hears."""

    def words(self, duration: int) -> tuple[Word, ...]:
        return (Word("one", 300, 700, 0.9), Word("sentence.", 800, min(3_000, duration), 0.9))


def test_a_text_that_ends_early_is_completed_in_the_recording_and_said():
    model = Brief()
    finished, failed, _ = run(model, [Talk(11), Talk(3)], batch_size=2)
    assert not failed
    assert [w.text for w in finished[0].words[0]] == ["one", "sentence."] * 3
    assert [w.start for w in finished[0].words[0][::2]] == [300, 3_300, 6_300]
    assert finished[0].notes[0].startswith("0:00: the text ended early")
    assert [w.text for w in finished[1].words[0]] == ["one", "sentence."]
    assert finished[1].notes == []
    assert model.calls == [(2, 1, 0), (1, 5, 0), (1, 1, 0), (1, 1, 0)]


def test_the_language_is_heard_and_an_english_only_model_is_not_asked():
    model = Model(spoken="es")
    finished, _, _ = run(model, [Talk(4)], language=None)
    assert finished[0].language == "es"
    assert model.asked == ["es"]


def test_a_recording_that_breaks_fails_alone():
    broken = Talk(4, MediaError("talk.wav: damaged"))
    finished, failed, _ = run(Model(), [Talk(4), broken, Talk(4)])
    assert [r.source.key for r in finished] == [0, 2]
    assert [(s.key, str(e)) for s, e in failed] == [(1, "talk.wav: damaged")]


def test_a_crash_in_the_reader_is_not_swallowed():
    class Broken(Talk):
        def __iter__(self) -> Iterator[np.ndarray]:
            raise ZeroDivisionError("a bug")

    with pytest.raises(ZeroDivisionError):
        run(Model(), [Broken(4)])
    assert all(t.name not in ("reader", "finisher") for t in threading.enumerate())


def test_three_hours_need_the_memory_of_a_few_windows():
    import tracemalloc

    tracemalloc.start()
    finished, _, _ = run(Model(), [Talk(3 * 3600)], batch_size=2)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert finished[0].duration == 3 * 3600 * 1000
    assert peak < 60 * 1024 * 1024  # three hours of samples alone would be 691 MB


def test_every_word_of_a_window_is_aligned_once_with_the_audio_of_its_piece():
    from asrlsa.speech.seats import refined
    from asrlsa.speech.windows import Window
    from asrlsa.types import Span

    pieces = (Span(0, 1_000), Span(5_000, 6_000), Span(9_000, 10_000))
    window = Window(np.zeros(3 * SECOND, np.float32), pieces, pieces, 0.9)
    words = [Word("a", 0, 100), Word("b"), Word("c", 5_100, 5_200), Word("d", 4_900, 5_000), Word("e", 9_100, 9_200)]
    seen: list[tuple[int, int, str]] = []

    class Aligner:
        def refine(self, audio: np.ndarray, mine: list[Word], offset: int) -> tuple[Word, ...]:
            seen.append((len(audio), offset, "".join(w.text for w in mine)))
            return tuple(mine)

    assert [w.text for w in refined(window, words, Aligner())] == list("abcde")  # type: ignore[arg-type]
    assert seen == [(SECOND, 0, "ab"), (SECOND, 5_000, "cd"), (SECOND, 9_000, "e")]


def test_the_first_word_of_a_sentence_comes_after_the_pause():
    from asrlsa.speech.seats import reseated

    def times(*words: tuple[str, int, int]) -> list[tuple[str, int | None, int | None]]:
        return [(w.text, w.start, w.end) for w in reseated([Word(*w) for w in words])]

    swallowed = times(("lot.", 0, 300), ("No", 300, 500), ("problem.", 2_500, 3_000))
    assert swallowed == [("lot.", 0, 300), ("No", 2_300, 2_500), ("problem.", 2_500, 3_000)]
    inside = times(("house.", 0, 300), ("Of", 300, 2_400), ("course.", 2_450, 3_000))
    assert inside == [("house.", 0, 300), ("Of", 2_150, 2_450), ("course.", 2_450, 3_000)]
    untimed = reseated([Word("house.", 0, 300), Word("Of"), Word("course.", 2_450, 3_000)])
    assert (untimed[1].start, untimed[1].end) == (2_300, 2_450)
    # a comma, no sentence end before, or no pause behind: the word stays
    for stays in (
        (("lot.", 0, 300), ("Um,", 300, 500), ("no.", 2_500, 3_000)),
        (("lot", 0, 300), ("no", 300, 500), ("problem.", 2_500, 3_000)),
        (("lot.", 0, 300), ("No", 300, 500), ("problem.", 700, 1_000)),
        (("lot.", 0, 300), ("No", 900, 1_100), ("problem.", 2_500, 3_000)),
    ):
        assert times(*stays) == list(stays)


@pytest.mark.parametrize(("known", "reads_all"), [((), True), (("es",), True), (("en",), False)])
def test_a_recording_in_a_language_that_the_weights_do_not_know_is_given_up(known, reads_all):
    model = Model(spoken="es", sure=0.95)
    finished, failed, _ = run(model, [Talk(400), Talk(5)], language=None, known_languages=known, batch_size=1)
    assert not failed
    assert [r.language for r in finished] == ["es", "es"]
    assert (finished[0].duration == 400_000) is reads_all
    assert finished[1].duration == 5_000  # too short for it to be settled


def test_no_recording_is_taken_for_one_that_is_done():
    """Sources come and go, and the next one may have the address of the last."""
    model = Model()
    said = ["en" if n % 3 else "es" for n in range(60)]
    finished: list[Recognised] = []
    # One after the other, so that what is heard is known.
    model.languages = lambda encoded: [{said[len(finished)]: 0.95}] * encoded.size  # type: ignore[method-assign]
    model.restore = model.release = lambda: None  # type: ignore[attr-defined]
    options = RecogniseOptions(language=None, prompt=lambda code: None, align=False, track_speakers=False, batch_size=1)
    LowMemoryRecognition(
        model,  # type: ignore[arg-type]
        options,
        on_finished=lambda result: finished.append(replace(result, source=Source(0, ()))),
        on_failed=lambda source, error: None,
    ).run(Source(n, (lambda: Talk(12),)) for n in range(len(said)))
    assert [result.language for result in finished] == said
