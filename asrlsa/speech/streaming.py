"""Words while they are being spoken: a window of speech decoded again and again, its words committed once stable.

A word is committed when two decodings in a row agree on it (LocalAgreement-2: D. Macháček, R. Dabre, O. Bojar, "Turning
Whisper into Real-Time Transcription System", IJCNLP-AACL 2023 demonstrations, arXiv 2307.14743), or when a pause
follows. What is committed never changes, except that the punctuation after the last word may be added when the next
word or the end of the window decides it.

The words that are committed but still inside the window are given to the decoder as the beginning of its text. So they
can't come out differently or twice, a real repetition is no different from any other word, and only what is new costs
decoding. A window ends in a silence, or is cut between two committed words when it grows too long; the audio before is
then forgotten. Times are frames of 32 ms of the voice activity detector inside, milliseconds of the recording outside.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import TYPE_CHECKING, Literal

from asrlsa.speech.decode import SPACELESS, Decoded, Encoded, Recogniser
from asrlsa.speech.memory import give_back
from asrlsa.speech.recognise import Recognised, RecogniseOptions, Source, follow
from asrlsa.speech.repairs import (
    GUESS_LOG_PROBABILITY,
    absolute_words,
    located,
    loop_in,
    repair,
    wide_search,
    without_weak_fragments,
)
from asrlsa.speech.seats import refined, reseated
from asrlsa.speech.speakers import SpeakerEncoder, SpeakerTracker
from asrlsa.speech.spoken_language import LanguageVotes
from asrlsa.speech.times import WordAligner, monotone
from asrlsa.speech.vad import FRAME_MS, FRAME_SAMPLES, RegionFinder, SpeechProbability, VadOptions
from asrlsa.speech.windows import SAMPLES_PER_MS, Window
from asrlsa.types import Milliseconds, Span, Word

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MARKS = ".,?!…"
CUT_SPREAD = 2  # frames that a cut may lie inside a word by cross-attention, which is off by so much
UNSURE = 0.3  # a last word of less confidence than this waits for more than a pause
LONGEST_BLOCK = 16_000  # samples
HEAD_MS = 3_000  # a cut that frees less than this is not worth its seam

Reason = Literal["step", "pause", "full", "close"]


@dataclass(frozen=True, slots=True)
class LiveOptions:
    """When windows are decoded and what ends them. Times in milliseconds.

    Attributes:
        step_ms: New speech after which a window is decoded again.
        pause_ms: A silence that commits every word before it.
        close_ms: A silence that ends the window.
        window_ms: A window from this length on is cut in a silence between two committed words, one of 1.5 times this
            length between any two. Up to 10 s of audio cost the recogniser half of what 30 s cost.
        longest_ms: A window of this length is cut at its most silent frame whatever is committed.
    """

    step_ms: Milliseconds = 1_000
    pause_ms: Milliseconds = 500
    close_ms: Milliseconds = 1_500
    window_ms: Milliseconds = 8_000
    longest_ms: Milliseconds = 28_000


@dataclass(frozen=True, slots=True)
class Update:
    """What one step found out.

    Attributes:
        committed: Words that are new and will not change, with rough times in the recording.
        tentative: What seems to follow them; the next update replaces it.
        mark: Punctuation that belongs behind the last word committed before this step, if it had none.
        settled: Words that have left the window, committed in this step or before, now with their final times.
        reason: What the step was made for.
    """

    committed: tuple[Word, ...] = ()
    tentative: tuple[Word, ...] = ()
    mark: str = ""
    settled: tuple[Word, ...] = ()
    reason: Reason = "step"


@dataclass(frozen=True, slots=True)
class _Found:
    """What a decoding found: the committed words with newer times, what follows, the mark between, a note."""

    known: list[Word]
    tail: tuple[Word, ...]
    mark: str
    note: str = ""


class StreamingRecogniser:
    """Recognises one stream of audio while it comes in; memory does not grow with its length, words and voices apart.

    Call ``feed`` with every block, ``step`` when ``due`` says so, ``finish`` at the end. When the machine is slow, feed
    what has come in before stepping again; only the reasons ``full`` and ``close`` can't wait.

    Attributes:
        heard: Everything settled so far, as ``asrlsa.speech.compose.compose`` wants it.
    """

    def __init__(
        self, recogniser: Recogniser, options: RecogniseOptions, live: LiveOptions | None = None, *, name: str = "live"
    ) -> None:
        """Start at time 0.

        Args:
            recogniser: The loaded model.
            options: What to do; ``batch_size`` does not matter.
            live: When to decode.
            name: Key of the source in ``heard``.
        """
        import numpy as np

        self.live = live or LiveOptions()
        self.heard = Recognised(Source(name, ()), words=[[]], regions=[[]])
        if options.track_speakers:
            voices = SpeakerEncoder(threads=1, model=options.speaker_model, offline=options.offline)
            self.heard.tracker = SpeakerTracker(voices)
        self._recogniser, self._options = recogniser, options
        self._vad = VadOptions()
        self._keep = -(-self._vad.pad_ms // FRAME_MS)  # frames of silence kept before speech
        self._probability = SpeechProbability()
        self._audio = np.zeros(0, np.float32)  # from frame _origin on
        self._origin = 0
        self._frames: list[float] = []  # speech probability of each whole frame of _audio
        self._voiced: list[bool] = []  # whether it is speech, by threshold and release
        self._unseen = 0  # frames of speech since the last decoding
        self._rested = False  # the pause that lasts has been decoded
        self._committed: list[Word] = []  # in the window, the last one without its punctuation
        self._mark = ""  # what the last decoding put behind them
        self._before: tuple[Word, ...] = ()  # what followed the committed words in the last decoding
        self._votes = LanguageVotes()
        self._aligner: WordAligner | None = None

    @property
    def position_ms(self) -> Milliseconds:
        """How much of the stream has come in."""
        return (self._origin * FRAME_SAMPLES + len(self._audio)) // SAMPLES_PER_MS

    @property
    def held_ms(self) -> Milliseconds:
        """How much audio is in memory."""
        return len(self._audio) // SAMPLES_PER_MS

    def feed(self, block: NDArray[np.float32]) -> None:
        """Take in the next ``block`` (samples,), mono, 16 kHz; best a tenth of a second.

        Raises:
            ValueError: The block is longer than a second: a window might outgrow what the recogniser hears at once.
        """
        import numpy as np

        if len(block) > LONGEST_BLOCK:
            raise ValueError(f"a block of {len(block)} samples is too long: give at most {LONGEST_BLOCK}")
        self._audio = np.concatenate([self._audio, block])
        first = len(self._frames) * FRAME_SAMPLES
        whole = (len(self._audio) - first) // FRAME_SAMPLES * FRAME_SAMPLES
        for p in self._probability(self._audio[first : first + whole]).tolist():
            speaking = bool(self._voiced) and self._voiced[-1]
            voiced = p >= (self._vad.release if speaking else self._vad.threshold)
            self._frames.append(p)
            self._voiced.append(voiced)
            self._unseen += voiced
            self._rested = self._rested and not voiced
        if True not in self._voiced:
            self._drop(len(self._frames) - self._keep)

    def due(self) -> Reason | None:
        """Return why the window should be decoded or ended now, or None."""
        if True not in self._voiced:
            return None
        silent = sum(1 for _ in takewhile(lambda voiced: not voiced, reversed(self._voiced))) * FRAME_MS
        if silent >= self.live.close_ms:
            return "close"
        if len(self._frames) * FRAME_MS >= self.live.longest_ms:
            return "full"
        if silent >= self.live.pause_ms:
            return "pause" if (self._unseen or self._before) and not self._rested else None
        return "step" if self._unseen * FRAME_MS >= self.live.step_ms else None

    def step(self) -> Update:
        """Decode or end the window as ``due`` says; nothing is done where it says nothing.

        A step that is interrupted by an exception changes nothing.
        """
        reason = self.due()
        return Update() if reason is None else self._step(reason)

    def finish(self, *, decode: bool = True) -> Update:
        """End the stream.

        Args:
            decode: Decode what has not been committed; False keeps only what is.
        """
        import numpy as np

        self.heard.duration = self.position_ms
        rest = len(self._audio) % FRAME_SAMPLES
        if rest:
            self.feed(np.zeros(FRAME_SAMPLES - rest, np.float32))
        if decode:
            return self._step("close") if True in self._voiced else Update(reason="close")
        mark, self._committed, _, _ = _punctuated(self._mark, self._committed, (), ())
        settled = self._settle(len(self._frames), len(self._committed))
        return Update(mark=mark, settled=settled, reason="close")

    # One step

    def _step(self, reason: Reason) -> Update:
        window = self._window(len(self._frames))
        if not window.regions:  # a click
            if reason == "close":
                self._drop(self._silent_from())
            self._unseen, self._rested = 0, True
            return Update(reason=reason)
        if reason == "close" and not self._unseen and not self._before:  # committed in the pause already
            found = _Found(list(self._committed), (), self._mark)
        else:
            found = self._decode(window, final=reason != "step")
        tail = found.tail
        agreed = self._agreed(tail, reason)
        committed, follows = tail[:agreed], tail[agreed:]
        hold = reason in ("step", "pause")  # more may be heard before the punctuation is settled
        added, known, committed, still = _punctuated(found.mark, found.known, committed, follows, hold=hold)
        # From here on nothing fails: all of the step or nothing of it.
        self._committed = [*known, *committed]
        self._before, self._mark, self._unseen = follows, still, 0
        self._rested = reason == "pause"
        if found.note:
            self.heard.notes.append(located(window, found.note))
        if reason == "close":
            settled = self._settle(self._silent_from(), len(self._committed))
        else:
            cut = self._cut(reason)
            settled = self._settle(*cut) if cut is not None else ()
        return Update(committed, follows, added, settled, reason)

    def _agreed(self, tail: Sequence[Word], reason: Reason) -> int:
        """Return how many words of the newest decoding are to be committed."""
        if reason == "close":
            return len(tail)
        if reason == "pause":
            unsure = takewhile(lambda w: (w.confidence or 0) < UNSURE and w.text != "xxx", reversed(tail))
            return len(tail) - sum(1 for _ in unsure)
        if reason == "full":
            return self._before_frame(tail, self._quietest())
        same = 0
        for old, new in zip(self._before, tail, strict=False):
            if bare(old.text) != bare(new.text):
                break
            same += 1
        return max(0, min(same, len(tail) - 1))  # the last word may be cut off, and its punctuation is a guess

    def _decode(self, window: Window, *, final: bool) -> _Found:
        """Decode the window; ``final`` repairs what no speaker said, else it is left out for now."""
        encoded = self._recogniser.encode([self._recogniser.features(window.audio)])
        language = self._language(encoded, window)
        before = self._committed
        text = ("" if language in SPACELESS else " ").join(w.text for w in before)
        decoding = self._options.decoding

        def search(ban: int = 0, wide: bool = False) -> tuple[list[Word], Decoded]:
            (result,) = self._recogniser.decode(
                encoded,
                [window.duration],
                language=[language],
                prompt=[self._options.prompt(language)],
                options=wide_search(decoding) if wide else decoding,
                ban_ngrams=ban,
                prefix=[text] if text else None,
            )
            return _parted(result, before)

        first, result = search()
        note = ""
        if final:
            least = decoding.least_fragment_confidence
            ((result, note),) = repair([window], [result], lambda rows, ban: [search(ban, wide=True)[1]], least)
        else:
            loop = loop_in(window, result)
            stop = loop[0] if loop is not None else len(result.words)
            if result.average_log_probability < GUESS_LOG_PROBABILITY:
                stop = 0
            result = replace(result, words=result.words[:stop], pieces=())
            result = without_weak_fragments(result, decoding.least_fragment_confidence)
        give_back()
        fresh = absolute_words(window, first)
        known = [
            replace(old, start=new.start, end=new.end) if bare(old.text) == bare(new.text) else old
            for old, new in zip(before, fresh, strict=False)
        ]
        mark = _mark(fresh[-1].text) if len(fresh) == len(before) and fresh else ""
        return _Found([*known, *before[len(known) :]], tuple(absolute_words(window, result.words)), mark, note)

    def _language(self, encoded: Encoded, window: Window) -> str:
        """Return the language that is given, or the one heard up to here."""
        if not self._recogniser.multilingual:
            code = "en"
        elif self._options.language is not None:
            code = self._options.language
        else:
            if not self._votes.settled:
                fresh = min(window.duration, self._unseen * FRAME_MS)  # what has voted already does not vote again
                self._votes.add(self._recogniser.languages(encoded)[0], fresh)
            code = self._votes.code
        self.heard.language = code
        return code

    # The window

    @property
    def _origin_ms(self) -> Milliseconds:
        return self._origin * FRAME_MS

    def _window(self, frames: int) -> Window:
        """Return the first ``frames`` frames as a window."""
        begin, length = self._origin_ms, frames * FRAME_MS
        finder = RegionFinder(self._vad)
        regions = [*finder.feed(self._frames[:frames]), *finder.finish(length)]
        spans = tuple(Span(begin + r.span.start, begin + r.span.end) for r in regions)
        evidence = max((r.evidence for r in regions), default=0.0)
        return Window(self._audio[: frames * FRAME_SAMPLES], (Span(begin, begin + length),), spans, evidence)

    def _quietest(self) -> int:
        """Return the last silent frame of the second half of the window, its very end apart, or the most silent one."""
        length = len(self._frames)
        places = range(length // 2, length - self._keep)
        return min(places, key=lambda i: (max(self._frames[i], self._vad.release), -i))

    def _silent_from(self) -> int:
        """Return the end of a window that has ended: some silence is left to stand before the next speech."""
        length = len(self._frames)
        return length if any(self._voiced[-self._keep :]) else length - self._keep

    def _cut(self, reason: Reason) -> tuple[int, int] | None:
        """Return the frame at which the window is to be cut and how many committed words lie before it, or None."""
        if reason == "full":
            frame = self._quietest()
            return frame, self._before_frame(self._committed, frame)
        length = len(self._frames) * FRAME_MS
        if length < self.live.window_ms:
            return None
        places = []
        following = [*self._committed, *self._before[:1]]
        for count, (word, after) in enumerate(zip(self._committed, following[1:], strict=False), 1):
            if word.end is None or after.start is None:
                continue
            first = max((word.end - self._origin_ms) // FRAME_MS - CUT_SPREAD, HEAD_MS // FRAME_MS)
            last = min((after.start - self._origin_ms) // FRAME_MS + CUT_SPREAD, len(self._frames) - self._keep)
            if first < last:
                place = min(range(first, last), key=lambda i: self._frames[i])
                places.append((max(self._frames[place], self._vad.release), -place, count))
        if not places:
            return None
        probability, place, count = min(places)
        silent = probability <= self._vad.release
        return (-place, count) if silent or length >= self.live.window_ms * 3 // 2 else None

    def _before_frame(self, words: Sequence[Word], frame: int) -> int:
        """Return how many words lie before a frame, by their middles."""
        edge = self._origin_ms + frame * FRAME_MS
        return sum(1 for _ in takewhile(lambda w: ((w.start or 0) + (w.end or w.start or 0)) / 2 < edge, words))

    def _settle(self, frames: int, count: int) -> tuple[Word, ...]:
        """Give the first ``count`` words their final times, and forget them and the first ``frames`` frames."""
        window = self._window(frames)
        settled = self._timed(window, self._committed[:count])
        if self.heard.tracker is not None:
            follow(self.heard.tracker, window)
        self.heard.words[0].extend(settled)
        self.heard.regions[0].extend(window.regions)
        del self._committed[:count]
        self._drop(frames)
        return settled

    def _timed(self, window: Window, words: Sequence[Word]) -> tuple[Word, ...]:
        if not words:
            return ()
        if self._aligner is None or self._aligner.language != self.heard.language:
            self._aligner = WordAligner(self.heard.language)
        if self._options.align and self._aligner.available:
            words = refined(window, words, self._aligner)
        return tuple(reseated(monotone(words, window.regions)))

    def _drop(self, frames: int) -> None:
        """Forget the first ``frames`` frames."""
        if frames <= 0:
            return
        self._audio = self._audio[frames * FRAME_SAMPLES :].copy()
        del self._frames[:frames], self._voiced[:frames]
        self._origin += frames


def bare(text: str) -> str:
    """Return a word as two decodings must agree on it: without capitals, punctuation and the hyphen of a cut."""
    return text.lower().strip(MARKS + "-\"'")


def _mark(text: str) -> str:
    return text[len(text.rstrip(MARKS)) :]


def _letters(text: str) -> int:
    return sum(1 for c in text if c.isalnum())


def _parted(result: Decoded, before: Sequence[Word]) -> tuple[list[Word], Decoded]:
    """Part the words of a decoding into those that were given to it, by their letters, and the rest."""
    due = sum(_letters(w.text) for w in before)
    count = 0
    while count < len(result.words) and due > 0:
        due -= _letters(result.words[count].text)
        count += 1
    rest = replace(result, words=result.words[count:], pieces=result.pieces[count:])
    return list(result.words[:count]), rest


def _punctuated(
    mark: str, known: list[Word], committed: Sequence[Word], follows: Sequence[Word], *, hold: bool = False
) -> tuple[str, list[Word], tuple[Word, ...], str]:
    """Settle the punctuation behind the last committed word once something follows it, or with the end of the window.

    Args:
        mark: What the newest decoding put behind the last known word.
        known: Words committed before.
        committed: Words that are committed now.
        follows: Words behind them that are not.
        hold: Nothing is settled by the end of the window.

    Returns:
        The mark that is new behind the last known word, the known words with it, the words committed now, and the mark
        that stays open behind the last of all.
    """
    if not committed and hold:
        return "", known, (), "" if follows else mark
    added = mark if known and not _mark(known[-1].text) else ""
    if added:
        known = [*known[:-1], replace(known[-1], text=known[-1].text + added)]
    still = _mark(committed[-1].text) if committed and hold and not follows else ""
    if still:
        committed = (*committed[:-1], replace(committed[-1], text=committed[-1].text[: -len(still)]))
    return added, known, tuple(committed), still
