"""A transcript followed through its recording: when each word was said, and what was said besides.

Two passes over the recording, each in bounded memory. In the first the recogniser writes what it hears; that is aligned
to the transcript and tells which words belong to which window. In the second each window is searched for what the
transcript leaves out (`asrlsa.trusted.search`) and all words get their times.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace

from asrlsa.language import iso639_3, spell_out
from asrlsa.language.tables import language_table
from asrlsa.speech.decode import DecodingOptions
from asrlsa.speech.led import LedRecogniser
from asrlsa.speech.recognise import Blocks, make_windower
from asrlsa.speech.repairs import absolute_words
from asrlsa.speech.seats import refined
from asrlsa.speech.times import WordAligner, monotone
from asrlsa.speech.windows import Window
from asrlsa.trusted.placing import place
from asrlsa.trusted.search import SearchOptions, WindowSearch
from asrlsa.trusted.words import TrustedWord
from asrlsa.types import Milliseconds, Span, Word

Opener = Callable[[], AbstractContextManager[Blocks]]

FITTING = 0.1  # mean probability of its tokens from which on a word that the recogniser did not write was said


@dataclass(frozen=True, slots=True)
class ListenOptions:
    """How to listen.

    Attributes:
        language: ISO 639-1 code of what is spoken.
        prompt: Style prompt in front of every window, or None.
        decoding: Settings of the free search.
        search: What is looked for.
        window_ms: Longest window; 0 fills Whisper's 30 s.
        align: Refine word times by forced alignment where possible.
    """

    language: str
    prompt: str | None
    decoding: DecodingOptions = field(default_factory=DecodingOptions)
    search: SearchOptions = field(default_factory=SearchOptions)
    window_ms: Milliseconds = 0
    align: bool = True


@dataclass(frozen=True, slots=True)
class Followed:
    """A transcript with the times of its words, and what was inserted.

    Attributes:
        words: Trusted and inserted words in order.
        said: The same words with times in the recording; without times where they were not found.
        unheard: Trusted words that nothing in the recording speaks for.
    """

    words: tuple[TrustedWord, ...]
    said: tuple[Word, ...]
    unheard: int


def follow(
    opener: Opener,
    trusted: Sequence[TrustedWord],
    masks: Sequence[int],
    bullets: Sequence[Span | None],
    *,
    recogniser: LedRecogniser,
    options: ListenOptions,
    on_progress: Callable[[Milliseconds], None] = lambda done: None,
) -> Followed:
    """Follow the words of a transcript through a recording.

    Args:
        opener: Opens the recording.
        trusted: The words of the transcript.
        masks: Gaps of the transcript that hold something untranscribed.
        bullets: For each word the span of its utterance, or None.
        recogniser: The loaded model.
        options: How to listen.
        on_progress: Called with the ms that have been listened to, in both passes together.
    """
    heard: list[list[Word]] = []
    spans: list[Span] = []
    for window in windows_of(opener, options.window_ms):
        spans.append(Span(window.pieces[0].start, window.pieces[-1].end))
        heard.append(_hear(window, recogniser, options))
        on_progress(spans[-1].end)
    placed = place(trusted, masks, bullets, heard, spans)
    aligner = WordAligner(options.language if options.align else "")
    times: list[Word | None] = [None] * len(trusted)
    before: dict[int, list[tuple[TrustedWord, Word]]] = {}
    unheard = sum(number is None for number in placed.windows)
    for number, window in enumerate(windows_of(opener, options.window_ms)):
        mine = [i for i, other in enumerate(placed.windows) if other == number]
        if mine:
            between = {n: placed.between.get(i, ()) for n, i in enumerate(mine)}
            found = _searched(window, [trusted[i] for i in mine], between, recogniser, options)
            exact = monotone(refined(window, absolute_words(window, [w for _, w in found]), aligner), window.regions)
            at = iter(mine)
            latest = mine[0]
            inserted: list[tuple[TrustedWord, Word]] = []
            for (word, forced), timed in zip(found, exact, strict=True):
                if word.token is None:
                    inserted.append((word, timed))
                    continue
                latest = next(at)
                times[latest] = timed
                unheard += not placed.heard[latest] and (forced.confidence or 0.0) < FITTING
                before.setdefault(latest, []).extend(inserted)
                inserted = []
            before.setdefault(latest + 1, []).extend(inserted)
        on_progress(spans[-1].end + window.pieces[-1].end)
    return _joined(trusted, times, before, unheard)


def _joined(
    trusted: Sequence[TrustedWord],
    times: Sequence[Word | None],
    before: Mapping[int, Sequence[tuple[TrustedWord, Word]]],
    unheard: int,
) -> Followed:
    """Put the trusted and the inserted words of all windows in order."""
    words: list[TrustedWord] = []
    said: list[Word] = []
    for i in range(len(trusted) + 1):
        for word, timed in before.get(i, ()):
            words.append(word)
            said.append(replace(timed, text=word.text))
        if i < len(trusted):
            timed = times[i] or Word(trusted[i].text)
            words.append(trusted[i])
            said.append(replace(timed, text=trusted[i].text))
    return Followed(tuple(words), tuple(said), unheard)


def windows_of(opener: Opener, window_ms: Milliseconds) -> Iterator[Window]:
    """Yield the windows of a recording that hold speech; the same ones each time."""
    with opener() as blocks:
        yield from make_windower(window_ms).windows(blocks)


def _hear(window: Window, recogniser: LedRecogniser, options: ListenOptions) -> list[Word]:
    """Return what the recogniser writes for a window, spelled as in CHAT, with times in the recording."""
    encoded = recogniser.encode([recogniser.features(window.audio)])
    result = recogniser.decode(
        encoded,
        [window.duration],
        language=[options.language],
        prompt=[options.prompt],
        options=options.decoding,
    )[0]
    return spell_out(absolute_words(window, result.words), iso639_3(options.language))


def _searched(
    window: Window,
    trusted: Sequence[TrustedWord],
    between: dict[int, tuple[str, ...]],
    recogniser: LedRecogniser,
    options: ListenOptions,
) -> list[tuple[TrustedWord, Word]]:
    """Return the words of a window, inserted ones among them, each with its time in the window's audio."""
    search = WindowSearch(
        recogniser,
        recogniser.encode([recogniser.features(window.audio)]),
        window.duration,
        language=options.language,
        prompt=options.prompt,
        table=language_table(options.language),
        options=options.search,
    )
    words, forced = search.run(trusted, between)
    return list(zip(words, forced.words, strict=True))
