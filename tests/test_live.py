"""Live transcription: its laws with a scripted recogniser and clock, its sources, and once with real weights."""

from __future__ import annotations

import io
import itertools
import random
import signal
import subprocess
import sys
import threading
import time
import types
import wave
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asrlsa.chat.check import check_chat
from asrlsa.chat.parser import read_chat
from asrlsa.config import TranscribeOptions
from asrlsa.disfluency import read_main_tier
from asrlsa.errors import MediaError, OutputError, UsageError
from asrlsa.live import LiveListener, LiveSource, Session, transcribe_live
from asrlsa.speech import capture
from asrlsa.speech.capture import Microphone, Paced, Piped, follow
from asrlsa.speech.decode import Decoded
from asrlsa.speech.recognise import RecogniseOptions
from asrlsa.speech.streaming import StreamingRecogniser, Update, bare
from asrlsa.types import Utterance, Word

SAMPLES = Path(__file__).resolve().parents[1] / "samples"
FRAME = 512
FRAME_MS = 32
MEMORY_MS = 29_500  # the longest window and what comes in with the block that fills it


# A world in which every sample says when it is and whether somebody speaks


def sound(words: Sequence[Word], duration_ms: int) -> np.ndarray:
    frames = -(-duration_ms // FRAME_MS)
    values = -np.arange(1, frames + 1, dtype=np.float32)
    for word in words:
        values[word.start // FRAME_MS : -(-word.end // FRAME_MS)] *= -1
    return np.repeat(values, FRAME)[: duration_ms * 16]


class Detector:
    def __call__(self, audio: np.ndarray) -> np.ndarray:
        return (audio.reshape(-1, FRAME)[:, 0] > 0).astype(np.float32)


@pytest.fixture(autouse=True, scope="module")
def _scripted_detector():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("asrlsa.speech.streaming.SpeechProbability", Detector)
        yield


@dataclass
class Encoded:
    audio: np.ndarray


@dataclass
class Model:
    """Hears the words of its script; what has just been said it hears differently each time."""

    script: Sequence[Word]
    cost: float = 0.0
    unsure_ms: int = 300
    fails: int = 0  # the decoding that the user interrupts
    multilingual = False
    now: float = 0.0
    calls: list[int] = field(default_factory=list)
    known: list[str] = field(default_factory=list)  # the text that each decoding was told to begin with
    odd: Any = field(default_factory=lambda: itertools.count())

    def clock(self) -> float:
        return self.now

    def features(self, audio: np.ndarray) -> np.ndarray:
        return audio

    def encode(self, features: list[np.ndarray]) -> Encoded:
        return Encoded(features[0])

    def decode(
        self, encoded: Encoded, durations: list[int], *, prefix: list[str] | None, **settings: Any
    ) -> list[Decoded]:
        self.now += self.cost
        self.calls.append(durations[0])
        self.known.append(prefix[0] if prefix else "")
        if len(self.calls) == self.fails:
            raise KeyboardInterrupt
        assert durations[0] <= 30_000
        origin = (round(abs(float(encoded.audio[0]))) - 1) * FRAME_MS
        end = origin + durations[0]
        heard = [w for w in self.script if (w.start + w.end) / 2 >= origin and w.start < end]
        known = prefix[0].split() if prefix else []
        assert [bare(k) for k in known] == [bare(w.text) for w in heard[: len(known)]]
        words = []
        for number, word in enumerate(heard):
            text = known[number] if number < len(known) - 1 else word.text
            if number >= len(known) and word.end > end - self.unsure_ms:
                text = f"odd{next(self.odd)}"
            if number == len(heard) - 1:
                text = text.rstrip(".,") + "."  # a recogniser ends every window with a full stop
            words.append(Word(text, max(0, word.start - origin), min(word.end, end) - origin, 0.9))
        return [Decoded(tuple(words), -0.3, 0.1, truncated=False)]


class Heard(LiveListener):
    """Keeps what it is told, as a screen would show it."""

    def __init__(self, session: Callable[[], Session] | None = None) -> None:
        self.committed: list[str] = []
        self.settled: list[Word] = []
        self.tentative: tuple[Word, ...] = ()
        self.history: list[list[str]] = []
        self.utterances: list[Utterance] = []
        self.reasons: set[str] = set()
        self.behind: list[int] = []
        self.held: list[int] = []
        self.session = session

    def heard(self, update: Update, behind: int) -> None:
        if update.mark:
            self.committed[-1] += update.mark
        self.committed += [w.text for w in update.committed]
        self.settled += update.settled
        self.tentative = update.tentative
        self.reasons.add(update.reason)
        self.history.append(list(self.committed))

    def progress(self, position: int, behind: int) -> None:
        self.behind.append(behind)
        if self.session is not None:
            self.held.append(self.session().stream.held_ms)

    def utterance(self, said: Utterance) -> None:
        self.utterances.append(said)


SETTLED = RecogniseOptions(language="en", prompt=lambda code: None, align=False, track_speakers=False)


def listen(model: Model, duration_ms: int, **options: Any) -> tuple[Session, Heard]:
    sessions: list[Session] = []
    heard = Heard(lambda: sessions[0])
    chosen = TranscribeOptions(**{"speakers": 1, **options})
    sessions.append(Session(model, SETTLED, chosen, None, (), heard))  # type: ignore[arg-type]
    sessions[0].listen(Paced(sound(model.script, duration_ms), clock=model.clock))
    return sessions[0], heard


@st.composite
def speech(draw: Any, most: int = 60) -> list[Word]:
    """Words at any pace, said again and again, with pauses of every kind."""
    words, at = [], draw(st.integers(0, 3_000))
    for _ in range(draw(st.integers(1, most))):
        length = draw(st.integers(200, 700))
        text = draw(st.sampled_from(["I", "the", "dog", "um", "b-", "went", "home.", "and,"]))
        if len(words) > 1 and words[-2].text == words[-1].text == "b-":
            text = "dog"  # a third one is a loop where it leads to no word with b
        words.append(Word(text, at, at + length))
        at += length + draw(st.sampled_from([0, 0, 0, 0, 100, 350, 600, 1_000, 1_700, 5_000]))
    return words


def plain(texts: Sequence[str]) -> list[str]:
    return [bare(t) for t in texts]


# Laws


@settings(max_examples=40)
@given(speech(), st.sampled_from([0.0, 0.3, 0.9, 2.5, 7.0]), st.integers(0, 3_000))
def test_every_word_is_committed_once_and_never_changes(words: list[Word], cost: float, rest: int):
    model = Model(words, cost)
    session, heard = listen(model, words[-1].end + rest)
    sure = plain([w.text for w in words if w.end <= words[-1].end + rest - model.unsure_ms])
    assert plain(heard.committed)[: len(sure)] == sure
    assert len(heard.committed) == len(words)
    # what was on the screen stays there; only the punctuation behind the last word may be added
    for before, after in itertools.pairwise(heard.history):
        assert after[: len(before) - 1] == before[:-1] or not before
        if before:
            assert after[len(before) - 1] in (before[-1], *(before[-1] + mark for mark in ".,"))
    # what was committed is what the transcript is made of
    final = session.stream.heard.words[0]
    assert [w.text for w in final] == heard.committed
    assert final == heard.settled
    times = [(w.start, w.end) for w in final if w.start is not None]
    assert all(a < b for a, b in times)
    assert all(a[1] <= b[0] for a, b in itertools.pairwise(times))
    assert heard.tentative == ()
    assert max(heard.held) <= MEMORY_MS


@settings(max_examples=25)
@given(speech(), st.sampled_from([0.2, 2.5]), st.integers(1, 12))
def test_an_interruption_keeps_exactly_what_was_committed(words: list[Word], cost: float, fails: int):
    model = Model(words, cost, fails=fails)
    heard = Heard()
    session = Session(model, SETTLED, TranscribeOptions(speakers=1), None, (), heard)  # type: ignore[arg-type]
    try:
        session.listen(Paced(sound(words, words[-1].end + 2_000), clock=model.clock))
    except KeyboardInterrupt:
        assert len(model.calls) == fails
    said = plain([w.text for w in words])
    final = plain([w.text for w in session.stream.heard.words[0]])
    assert final == said[: len(final)]
    assert final == plain(heard.committed)
    spoken = [w for u in heard.utterances for w in plain(read_main_tier(u.text).verbatim)]
    assert len(spoken) == len(final)


@settings(max_examples=15)
@given(speech(30))
def test_the_lines_hold_every_word_once_and_are_valid_chat(words: list[Word]):
    model = Model(words, 0.4)
    _, heard = listen(model, words[-1].end + 2_000)
    spoken = [w for u in heard.utterances for w in plain(read_main_tier(u.text).verbatim)]
    assert spoken == plain([w.text for w in words])
    assert {u.speaker for u in heard.utterances} == {"PAR0"}
    assert all(u.start is not None and u.end is not None and u.start < u.end for u in heard.utterances)


def test_three_fragments_before_a_long_pause_stay():
    times = [(0, 200), (250, 450), (500, 700), (6_000, 6_400)]
    words = [Word(t, *at) for t, at in zip(("b-", "b-", "b-", "ball"), times, strict=True)]
    _, heard = listen(Model(words, 0.1), 9_000)
    assert plain(heard.committed) == ["b", "b", "b", "ball"]


def test_silence_gives_nothing_and_keeps_nothing():
    model = Model([])
    session, heard = listen(model, 600_000)
    assert model.calls == []
    assert heard.committed == []
    assert heard.utterances == []
    assert session.stream.heard.words == [[]]
    assert session.stream.heard.duration == 600_000
    assert max(heard.held) < 1_000


def test_an_hour_of_talk_needs_no_more_memory_than_a_minute():
    rng = random.Random(1)
    words, at = [], 0
    while at < 3_600_000:
        length = rng.randint(200, 500)
        words.append(Word("word", at, at + length))
        at += length + rng.choice([0, 0, 0, 200, 800, 2_000])
    session, heard = listen(Model(words, 0.4), at)
    assert max(heard.held) <= MEMORY_MS
    assert len(session.stream.heard.words[0]) == len(words)


def talk(seconds: int, pause_every: int = 0) -> list[Word]:
    """Two words a second without a break, or with one of 0.7 s after so many words."""
    words, at = [], 0
    for number in range(2 * seconds):
        words.append(Word(f"w{chr(97 + number % 26)}", at, at + 500))
        at += 500 + (700 if pause_every and number % pause_every == pause_every - 1 else 0)
    return words


def test_a_slow_machine_decodes_less_often_and_does_not_fall_behind_without_end():
    decodings, behind = [], []
    for cost in (0.3, 3.0, 12.0, 26.0):
        words = talk(240)
        model = Model(words, cost)
        _, heard = listen(model, words[-1].end)
        decodings.append(len(model.calls))
        behind.append(max(heard.behind))
        assert plain(heard.committed)[:-1] == [w.text for w in words][:-1]
        assert ("full" in heard.reasons) == (cost == 26.0)
    assert decodings[0] > 2 * decodings[1] > 4 * decodings[2] > 4 * decodings[3]
    assert behind[0] <= 1_000
    assert behind[1] <= 7_000
    assert behind[2] <= 26_000
    assert behind[3] <= 60_000  # a window of 28 s every 26 s: the sound of two decodings waits at most


def test_a_word_waits_for_two_decodings_and_a_pause_ends_the_waiting():
    words = [Word(t, 500 * n, 500 * n + 500) for n, t in enumerate(["I", "I", "went", "um", "home"])]
    model = Model(words)
    stream = StreamingRecogniser(model, SETTLED)  # type: ignore[arg-type]
    audio = sound(words, 6_000)
    found: list[tuple[int, Update]] = []
    for first in range(0, len(audio), 1_600):
        stream.feed(audio[first : first + 1_600])
        if stream.due() is not None:
            found.append((stream.position_ms, stream.step()))
    said = [(at, u.reason, [w.text for w in u.committed], [bare(w.text) for w in u.tentative]) for at, u in found]
    assert said[0][1:3] == ("step", [])
    assert said[0][3][0] == "i"
    assert said[1][1:3] == ("step", ["I"])
    at, reason, committed, tentative = said[2]
    assert (reason, committed, tentative) == ("pause", ["I", "went", "um", "home"], [])
    assert 3_000 <= at <= 3_200  # half a second after the last word
    assert said[3][1:] == ("close", [], [])
    assert found[3][1].mark == "."
    assert [w.text for w in found[3][1].settled] == ["I", "I", "went", "um", "home."]
    assert model.known == ["", "", "I"]  # what is committed is not decoded again


def test_a_last_word_that_is_hardly_heard_waits_for_more_than_a_pause():
    class Doubting(Model):
        def decode(self, *given: Any, **settings: Any) -> list[Decoded]:
            (found,) = super().decode(*given, **settings)
            extra = Word("it", found.words[-1].end, found.words[-1].end + 40, 0.1)
            ghost = (extra,) if len(self.calls) < 3 else ()
            return [Decoded((*found.words, *ghost), -0.3, 0.1, truncated=False)]

    words = [Word("so", 0, 500), Word("um", 500, 1_000), Word("there", 1_700, 2_200), Word("was", 2_200, 2_700)]
    _, heard = listen(Doubting(words), 5_000)
    assert plain(heard.committed) == ["so", "um", "there", "was"]


def test_a_block_that_is_too_long_is_refused():
    stream = StreamingRecogniser(Model([]), SETTLED)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="too long"):
        stream.feed(np.zeros(16_001, np.float32))


class Looping(Model):
    """Repeats a word without end, unless n-grams are banned."""

    def decode(self, encoded: Any, durations: Any, *, ban_ngrams: int = 0, **settings: Any) -> list[Decoded]:
        (found,) = super().decode(encoded, durations, **settings)
        if ban_ngrams:
            return [found]
        last = found.words[-1]
        extra = tuple(Word("so", last.end, last.end, 0.9) for _ in range(20))
        return [Decoded((*found.words, *extra), -0.3, 0.1, truncated=True)]


def test_a_loop_is_never_committed():
    words = talk(4)
    model = Looping(words)
    session, heard = listen(model, 8_000)
    assert plain(heard.committed) == plain([w.text for w in words])
    assert any("loop" in note for note in session.stream.heard.notes)


class Guessing(Model):
    def decode(self, *given: Any, **settings: Any) -> list[Decoded]:
        (found,) = super().decode(*given, **settings)
        return [Decoded(found.words, -2.5, 0.1, truncated=False)]


def test_a_guess_is_shown_to_nobody_and_written_xxx():
    _, heard = listen(Guessing(talk(3)), 6_000)
    assert heard.committed == ["xxx"]
    assert [u.text for u in heard.utterances] == ["xxx ."]


class Listening(Model):
    multilingual = True
    asked = 0

    def languages(self, encoded: Any) -> list[dict[str, float]]:
        self.asked += 1
        return [{"de": 0.95, "en": 0.05}]


def test_the_language_is_heard_and_settled():
    model = Listening(talk(30))
    heard = Heard()
    options = RecogniseOptions(language=None, prompt=lambda code: None, align=False, track_speakers=False)
    session = Session(model, options, TranscribeOptions(speakers=1), None, (), heard)  # type: ignore[arg-type]
    session.listen(Paced(sound(model.script, 32_000), clock=model.clock))
    assert session.stream.heard.language == "de"
    assert 1 <= model.asked < len(model.calls) / 2


# The whole verb with the scripted recogniser


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Callable[[Model, int], None]:
    def install(model: Model, duration_ms: int) -> None:
        card = types.SimpleNamespace(name="scripted", fingerprint="0" * 64, card=None, adapter="")
        monkeypatch.setattr("asrlsa.live.find_model", lambda *a, **k: card)
        monkeypatch.setattr("asrlsa.live.Recogniser", lambda *a, **k: model)
        monkeypatch.setattr("asrlsa.live.recognise_options", lambda *a: SETTLED)
        feed = Paced(sound(model.script, duration_ms), clock=model.clock)
        monkeypatch.setattr(LiveSource, "open", lambda self: feed)

    return install


def test_the_transcript_is_written_and_says_that_nothing_was_recorded(tmp_path: Path, scripted: Any, judge: Any):
    words = [
        *talk(4),
        *(Word(t, 9_000 + 400 * n, 9_400 + 400 * n) for n, t in enumerate(["um", "I", "I", "went", "home."])),
    ]
    scripted(Model(words), 14_000)
    heard = Heard()
    summary = transcribe_live(
        LiveSource(), out=tmp_path / "visit.cha", options=TranscribeOptions(speakers=1), listener=heard
    )
    assert list(tmp_path.iterdir()) == [tmp_path / "visit.cha"]
    text = summary.output.read_text(encoding="utf-8")
    assert "@Media:\tvisit, audio, missing" in text
    assert "mode live" in text
    assert check_chat(text) == []
    assert judge(text) == []
    utterances = read_chat(summary.output).utterances
    assert utterances[-1].text == "&-um I [/] I went home ."
    assert heard.utterances[-1].text == utterances[-1].text
    assert summary.words == len(words)
    assert summary.duration == 14_000


def test_the_sound_is_kept_only_where_it_is_asked_for(tmp_path: Path, scripted: Any, judge: Any):
    scripted(Model(talk(4)), 6_000)
    summary = transcribe_live(LiveSource(save=tmp_path / "visit.wav"), options=TranscribeOptions(speakers=1))
    assert summary.output == tmp_path / "visit.cha"
    with wave.open(str(tmp_path / "visit.wav")) as file:
        assert (file.getframerate(), file.getnchannels(), file.getnframes()) == (16_000, 1, 96_000)
    text = summary.output.read_text(encoding="utf-8")
    assert "@Media:\tvisit, audio\n" in text
    assert judge(text) == []


def test_an_interruption_writes_what_was_committed(tmp_path: Path, scripted: Any):
    scripted(Model(talk(20), fails=8), 22_000)
    with pytest.raises(KeyboardInterrupt):
        transcribe_live(
            LiveSource(save=tmp_path / "visit.wav"),
            out=tmp_path / "visit.cha",
            options=TranscribeOptions(speakers=1),
        )
    said = [w for u in read_chat(tmp_path / "visit.cha").utterances for w in read_main_tier(u.text).verbatim]
    assert 3 <= len(said) < 40
    assert said == [w.text for w in talk(20)][: len(said)]
    with wave.open(str(tmp_path / "visit.wav")) as file:
        assert file.getnframes() > 0


class Unplugged(Paced):
    def next(self) -> np.ndarray | None:
        if self._taken > 10 * 16_000:
            raise MediaError("the microphone was pulled out")
        return super().next()


@pytest.mark.parametrize(("said", "left"), [(talk(20), ["visit.cha"]), ([], [])])
def test_sound_that_breaks_off_loses_no_words(
    tmp_path: Path, scripted: Any, monkeypatch: pytest.MonkeyPatch, said: list[Word], left: list[str]
):
    model = Model(said)
    scripted(model, 1_000)
    feed = Unplugged(sound(said, 22_000), clock=model.clock)
    monkeypatch.setattr(LiveSource, "open", lambda self: feed)
    with pytest.raises(MediaError, match="pulled out"):
        transcribe_live(LiveSource(), out=tmp_path / "visit.cha", options=TranscribeOptions(speakers=1))
    assert [p.name for p in tmp_path.iterdir()] == left
    if left:
        words = [w for u in read_chat(tmp_path / "visit.cha").utterances for w in read_main_tier(u.text).verbatim]
        assert len(words) >= 16


@pytest.mark.parametrize("name", ["visit.cha", "visit.wav"])
def test_nothing_is_overwritten_unasked(tmp_path: Path, scripted: Any, name: str):
    scripted(Model(talk(2)), 3_000)
    (tmp_path / name).write_text("mine", encoding="utf-8")
    source = LiveSource(save=tmp_path / "visit.wav")
    with pytest.raises(OutputError, match="is there already"):
        transcribe_live(source)
    assert (tmp_path / name).read_text(encoding="utf-8") == "mine"
    transcribe_live(source, overwrite=True)
    assert read_chat(tmp_path / "visit.cha").utterances


def test_what_can_not_be_is_said(tmp_path: Path):
    with pytest.raises(UsageError, match="by its name"):
        transcribe_live(LiveSource(save=tmp_path / "a.wav"), out=tmp_path / "b.cha")
    with pytest.raises(UsageError, match=r"ends in \.wav"):
        transcribe_live(LiveSource(save=tmp_path / "a.mp3"))
    with pytest.raises(UsageError, match="channels"):
        transcribe_live(LiveSource(), options=TranscribeOptions(channels="speakers"))
    with pytest.raises(MediaError, match="no such file"):
        LiveSource(tmp_path / "none.wav").open()


# Sources


def drained(feed: Any) -> np.ndarray:
    blocks = []
    while (block := feed.next()) is not None:
        assert len(block) <= 1_600
        blocks.append(block)
    return np.concatenate(blocks) if blocks else np.zeros(0, np.float32)


def tone(seconds: float, rate: int = 16_000, channels: int = 1) -> np.ndarray:
    times = np.arange(round(seconds * rate)) / rate
    mono = (8_000 * np.sin(2 * np.pi * 220 * times)).astype("<i2")
    return np.repeat(mono[:, None], channels, axis=1)


def wav(samples: np.ndarray, rate: int = 16_000) -> bytes:
    data = io.BytesIO()
    with wave.open(data, "wb") as file:
        file.setnchannels(samples.shape[1])
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.tobytes())
    return data.getvalue()


def in_pieces(data: bytes, size: int) -> Callable[[int], bytes]:
    stream = io.BytesIO(data)
    return lambda wanted: stream.read(min(wanted, size))


@pytest.mark.parametrize("size", [1, 7, 4_096])
def test_raw_samples_are_told_from_containers_by_their_first_bytes(size: int):
    samples = tone(0.5)
    feed = Piped(in_pieces(samples.tobytes(), size), "pipe")
    feed.wait()
    assert feed.description.startswith("pipe, raw signed 16-bit samples")
    np.testing.assert_array_equal(drained(feed), samples[:, 0].astype(np.float32) / 32_768)


@pytest.mark.parametrize("length", [0, 0xFFFFFFFF, 1_000, None])
@pytest.mark.parametrize(("rate", "channels"), [(16_000, 1), (44_100, 2)])
def test_a_wav_is_read_whatever_length_its_header_gives(length: int | None, rate: int, channels: int):
    data = bytearray(wav(tone(2.0, rate, channels), rate))
    if length is not None:
        at = data.index(b"data") + 4
        data[at : at + 4] = length.to_bytes(4, "little")
        data[4:8] = length.to_bytes(4, "little")
    feed = Piped(in_pieces(bytes(data), 5_000), "pipe")
    feed.wait()
    assert feed.description == "pipe, WAV"
    heard = drained(feed)
    assert abs(len(heard) - 32_000) <= 100
    assert np.abs(heard).max() == pytest.approx(8_000 / 32_768, abs=0.01)


def test_nothing_and_rubbish():
    assert len(drained(Piped(lambda size: b"", "pipe"))) == 0
    feed = Piped(in_pieces(b"fLaC" + bytes(5_000), 512), "pipe")
    with pytest.raises(MediaError, match="can't be decoded while it grows"):
        drained(feed)


def test_a_growing_file_is_followed_until_it_rests(tmp_path: Path):
    path = tmp_path / "visit.wav"
    data = bytearray(wav(tone(3.0)))
    data[40:44] = data[4:8] = bytes(4)  # as a recorder leaves it until it closes the file
    path.write_bytes(data[:20_000])

    def grow() -> None:
        for first in range(20_000, len(data), 20_000):
            time.sleep(0.1)
            with path.open("ab") as file:
                file.write(data[first : first + 20_000])

    writer = threading.Thread(target=grow)
    writer.start()
    feed = follow(path, idle=1.0)
    heard = drained(feed)
    writer.join()
    np.testing.assert_array_equal(heard, tone(3.0)[:, 0].astype(np.float32) / 32_768)


def test_a_file_is_not_read_far_ahead(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(capture, "READ_AHEAD_MS", 1_000)
    read = []

    def endless(size: int) -> bytes:
        read.append(size)
        return bytes(size)

    feed = Piped(endless, "pipe")
    time.sleep(0.3)
    assert sum(read) < 3 * 2 * 16_000
    assert feed.waiting_ms >= 1_000
    feed.stop()
    assert len(drained(feed)) >= 16_000


class PortAudioError(Exception):
    pass


def fake_sounddevice(rate: int, fails: bool = False) -> types.ModuleType:
    module = types.ModuleType("sounddevice")

    class InputStream:
        def __init__(self, *, callback: Any, samplerate: int, **settings: Any) -> None:
            if fails:
                raise PortAudioError("Device unavailable")
            self.callback, self.rate = callback, samplerate

        def start(self) -> None:
            status = types.SimpleNamespace(input_overflow=True)
            for block in np.array_split(tone(1.0, self.rate).astype(np.float32) / 32_768, 20):
                self.callback(block, len(block), None, status)

        def stop(self) -> None:
            return None

        close = stop

    def check(samplerate: int, **settings: Any) -> None:
        if samplerate != rate:
            raise PortAudioError("Invalid sample rate")

    module.PortAudioError = PortAudioError  # type: ignore[attr-defined]
    module.InputStream = InputStream  # type: ignore[attr-defined]
    module.check_input_settings = check  # type: ignore[attr-defined]
    module.query_devices = lambda device, kind: {"name": "Desk", "default_samplerate": float(rate)}  # type: ignore[attr-defined]
    return module


@pytest.mark.parametrize("rate", [16_000, 48_000])
def test_the_microphone_is_heard_at_any_rate(monkeypatch: pytest.MonkeyPatch, rate: int):
    monkeypatch.setitem(sys.modules, "sounddevice", fake_sounddevice(rate))
    feed = Microphone("2")
    assert feed.description == f"microphone Desk, {rate} Hz"
    feed.stop()
    heard = drained(feed)
    assert abs(len(heard) - 16_000) < 200
    assert np.abs(heard).max() == pytest.approx(8_000 / 32_768, abs=0.01)
    assert feed.notes == ["the microphone lost some sound: the machine was too busy"]


def test_a_microphone_that_is_not_there_is_one_line(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "sounddevice", fake_sounddevice(16_000, fails=True))
    with pytest.raises(MediaError, match="the microphone can't be used"):
        Microphone()
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(UsageError, match=r"pip install 'asrlsa\[live\]'"):
        Microphone()


def test_recorded_speech_at_its_own_pace():
    slept: list[float] = []
    now = [0.0]
    feed = Paced(np.zeros(16_000, np.float32), clock=lambda: now[0], sleep=slept.append)
    feed.next()
    assert slept == [pytest.approx(0.1)]
    now[0] += 0.35
    assert feed.waiting_ms in (349, 350)
    for _ in range(3):
        feed.next()
    assert len(slept) == 1
    assert feed.moment == pytest.approx(0.45)
    feed.next()
    assert slept[1] == pytest.approx(0.05)


# Real weights, the real command


def run(*arguments: str | Path, sound: bytes = b"", timeout: float = 500) -> subprocess.CompletedProcess[bytes]:
    call = [sys.executable, "-m", "asrlsa", "transcribe", *map(str, arguments)]
    return subprocess.run(call, input=sound, capture_output=True, timeout=timeout, check=False)


@pytest.mark.weights
def test_speech_at_its_own_pace_is_transcribed_nearly_as_the_file(monkeypatch: pytest.MonkeyPatch):
    import jiwer

    from asrlsa import transcribe
    from asrlsa.audio import load
    from asrlsa.hearing import recognise_options
    from asrlsa.models import resolve_model
    from asrlsa.speech.decode import Recogniser
    from asrlsa.speech.vad import SpeechProbability

    monkeypatch.setattr("asrlsa.speech.streaming.SpeechProbability", SpeechProbability)
    audio = load(SAMPLES / "kite_story.flac")[: 16 * 16_000]
    model = resolve_model("tiny.en", offline=True)
    recogniser = Recogniser(model, threads=1, side_by_side=False)
    options = TranscribeOptions(model="tiny.en", offline=True)
    heard = Heard()
    session = Session(recogniser, recognise_options(model, options, recogniser), options, None, (), heard)
    session.listen(Paced(audio, clock=lambda: 0.0))  # a machine that needs no time: every step is the same everywhere
    offline = transcribe(audio, options=options)
    gold = " ".join(w for u in offline.utterances for w in plain(read_main_tier(u.text).verbatim))
    assert jiwer.wer(gold, " ".join(plain(heard.committed))) <= 0.15, (gold, heard.committed)
    assert [w.text for w in session.stream.heard.words[0]] == heard.committed
    assert sum(w.start is not None for w in heard.settled) >= 0.9 * len(heard.settled)


@pytest.mark.weights
def test_a_pipe_is_transcribed_nearly_as_the_file(tmp_path: Path, judge: Any):
    import jiwer

    from asrlsa import transcribe
    from asrlsa.audio import load

    audio = load(SAMPLES / "kite_story.flac")[: 8 * 16_000]
    raw = (audio * 32_767).astype("<i2").tobytes()
    result = run("--live", "-", "-o", tmp_path / "kite.cha", "--model", "tiny.en", "--offline", sound=raw)
    assert result.returncode == 0, result.stderr
    text = (tmp_path / "kite.cha").read_text(encoding="utf-8")
    assert judge(text) == []

    def said(utterances: Sequence[Utterance]) -> str:
        return " ".join(w for u in utterances for w in read_main_tier(u.text).verbatim)

    live = said(read_chat(tmp_path / "kite.cha").utterances)
    offline = said(transcribe(audio, model="tiny.en", offline=True).utterances)
    assert jiwer.wer(offline, live) <= 0.3, (offline, live)
    lines = result.stdout.decode().splitlines()
    assert lines
    assert all(line.startswith("*UNK:\t") and line.endswith("\x15") for line in lines)
    printed = [line.removeprefix("*UNK:\t").rpartition(" \x15")[0] for line in lines]
    assert " ".join(w for line in printed for w in read_main_tier(line).verbatim) == live
    # logs hold no transcript text
    assert b"kite" not in result.stderr.replace(b"kite.cha", b"")


@pytest.mark.weights
@pytest.mark.skipif(sys.platform == "win32", reason="signals of another process")
def test_ctrl_c_ends_a_growing_file_in_good_order(tmp_path: Path, judge: Any):
    from asrlsa.audio import load

    audio = np.concatenate([load(SAMPLES / "kite_story.flac")[: 5 * 16_000], np.zeros(3 * 16_000, np.float32)])
    data = bytearray(wav((audio * 32_767).astype("<i2")[:, None]))
    data[40:44] = data[4:8] = bytes(4)
    recording = tmp_path / "visit.wav"
    recording.write_bytes(data)
    call = [sys.executable, "-m", "asrlsa", "transcribe", "--live", str(recording), "--live-idle", "400"]
    with subprocess.Popen(
        [*call, "--model", "tiny.en", "--offline"], bufsize=0, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=400)
    assert process.returncode == 0, errors
    assert line.startswith(b"*UNK:\t")
    assert b"listening to" in errors
    assert b"Traceback" not in errors
    text = (tmp_path / "visit.cha").read_text(encoding="utf-8")
    assert "@Media:\tvisit, audio\n" in text
    assert judge(text) == []
    assert len(read_chat(tmp_path / "visit.cha").utterances) == 1 + rest.count(b"\n")
    assert {p.name for p in tmp_path.iterdir()} == {"visit.wav", "visit.cha"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--live", "a.wav", "b.wav"], b"--live takes one file"),
        (["--live", "--live-idle", "0"], b"live idle 0.0 is not possible"),
        (["--live-save", "a.wav", "b.wav"], b"are for --live"),
        ([], b"nothing to transcribe"),
    ],
)
def test_wrong_usage_is_one_line(arguments: list[str], message: bytes):
    result = run(*arguments)
    assert result.returncode == 1
    assert message in result.stderr
    assert result.stderr.count(b"\n") == 1
