"""Transcribing while somebody speaks: ``asrlsa transcribe --live``.

Words are shown as they come, utterances are handed out as CHAT lines once they end, and at the end of the sound the
whole transcript is composed as that of any recording. The sound itself is kept nowhere unless that is asked for.
"""

from __future__ import annotations

import datetime
import os
import wave
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from asrlsa.chat.build import build_transcript
from asrlsa.config import TranscribeOptions
from asrlsa.errors import OutputError, UsageError
from asrlsa.hearing import recognise_options, spoken_language
from asrlsa.language import iso639_3, spell_out
from asrlsa.models import Model
from asrlsa.recordings import (
    claim,
    participants_for,
    recording_fingerprint,
    stamp,
    stamp_comment,
)
from asrlsa.speech.capture import Feed, Microphone, follow, standard_input
from asrlsa.speech.compose import coded_utterance, compose
from asrlsa.speech.decode import Recogniser
from asrlsa.speech.memory import limit_arenas
from asrlsa.speech.recognise import RecogniseOptions
from asrlsa.speech.streaming import LiveOptions, StreamingRecogniser, Update
from asrlsa.speech.style import find_model, language_notes
from asrlsa.speech.utterances import Draft, UtteranceOptions, split_utterances
from asrlsa.transcription import Summary, described, recording_date, summarise, write_checked
from asrlsa.types import Header, Milliseconds, Participant, Transcript, Utterance, Word

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

UNKNOWN = "UNK"  # speaks on the lines until the voices have been told apart at the end
BEHIND_MS = 150  # more sound than this waiting: take it in before decoding again
IDLE_SECONDS = 10.0


class LiveListener:
    """Hears what a live transcription does. Every method does nothing; a user interface overrides what it shows."""

    def started(self, source: str, model: str) -> None:
        """Listening begins."""

    def heard(self, update: Update, behind: Milliseconds) -> None:
        """Words were committed or have become likely; ``behind`` ms of sound have come in meanwhile."""

    def progress(self, position: Milliseconds, behind: Milliseconds) -> None:
        """``position`` ms have been taken in, ``behind`` ms wait."""

    def utterance(self, said: Utterance) -> None:
        """An utterance has ended; its disfluencies are coded, its speaker is ``UNK`` until the end."""

    def finished(self, summary: Summary) -> None:
        """The transcript was written."""

    def note(self, text: str) -> None:
        """Something that the user should know."""


@dataclass(frozen=True, slots=True)
class LiveSource:
    """What to listen to and what to keep.

    Attributes:
        path: A file that is being written, ``-`` for standard input, None for the microphone.
        idle: Seconds after which a file that has not grown has ended.
        device: Number or name of the microphone.
        save: WAV file to keep the sound in; None keeps it nowhere.
    """

    path: Path | None = None
    idle: float = IDLE_SECONDS
    device: str | None = None
    save: Path | None = None

    @property
    def file(self) -> Path | None:
        """The file that is followed, if it is one."""
        return None if self.path is None or str(self.path) == "-" else self.path

    def open(self) -> Feed:
        """Begin to listen.

        Raises:
            UsageError: The microphone needs something that is not installed, or standard input is a keyboard.
            MediaError: There is no such microphone or file.
        """
        if self.path is None:
            return Microphone(self.device)
        feed = standard_input() if self.file is None else follow(self.file, self.idle)
        feed.wait()
        return feed


def transcribe_live(
    source: LiveSource,
    *,
    out: Path | None = None,
    options: TranscribeOptions | None = None,
    live: LiveOptions | None = None,
    overwrite: bool = False,
    listener: LiveListener | None = None,
    on_feed: Callable[[Feed], None] = lambda feed: None,
) -> Summary:
    """Transcribe sound while it comes in, and write its transcript when it ends.

    Args:
        source: What to listen to.
        out: The ``.cha`` to write, or a folder for it. Without it the transcript lies beside the file that is followed
            or the sound that is saved, else in the current folder, named by the time.
        options: How to transcribe, as for recordings.
        live: When to decode.
        overwrite: Replace a transcript or saved sound that is there.
        listener: Hears words, utterances and progress.
        on_feed: Called with the open source; its ``stop`` ends the transcription in good order from any thread.

    Returns:
        What was written. A KeyboardInterrupt or an error on the way does not lose what was committed: the transcript
        is written first.

    Raises:
        UsageError: An option makes no sense here.
        ConfigError: ``participants.csv`` or the language is wrong.
        ModelError: The model can't be found or loaded.
        MediaError: The sound can't be read.
        OutputError: The transcript is in the way, or can't be written.
        KeyboardInterrupt: The user interrupted; what was committed has been written.
    """
    chosen, hearer = options or TranscribeOptions(), listener or LiveListener()
    language = spoken_language(chosen)
    if chosen.channels != "mix":
        raise UsageError("--channels speakers does not work with --live: the channels are mixed")
    output = _output(source, out)
    with ExitStack() as held:
        _take(output, source.save, overwrite, held)
        people = participants_for(source.file or output, chosen.participants, on_note=hearer.note)
        model = find_model(chosen, language)
        recogniser = Recogniser(
            model,
            device=chosen.device,
            compute_type=chosen.compute_type,
            threads=chosen.threads,
            side_by_side=False,
        )
        settled = recognise_options(model, chosen, recogniser)
        session = Session(recogniser, settled, chosen, live, people, hearer)
        begun = datetime.date.today()
        feed = source.open()
        try:
            with ExitStack() as sound:
                sound.callback(feed.stop)
                on_feed(feed)
                save = sound.enter_context(_saved(source.save)) if source.save is not None else None
                hearer.started(feed.description, model.name)
                session.listen(feed, save)
        except BaseException:
            if session.stream.heard.words[0]:
                _write(session, source, output, model, begun)
                hearer.note(f"what was recognised before is in {output}")
            raise
        summary = _write(session, source, output, model, begun)
        hearer.finished(summary)
        return summary


class Session:
    """Words, utterances and voices of one stream, from its first sound to its end."""

    def __init__(
        self,
        recogniser: Recogniser,
        settled: RecogniseOptions,
        options: TranscribeOptions,
        live: LiveOptions | None,
        participants: Sequence[Participant],
        listener: LiveListener,
    ) -> None:
        """Prepare; nothing is heard before ``listen``."""
        limit_arenas()
        self.options, self.participants, self.listener = options, tuple(participants), listener
        self.stream = StreamingRecogniser(recogniser, settled, live)
        alone = len(self.participants) == 1 or (options.speakers == 1 and not self.participants)
        self.lines = _Lines(options, (self.participants or (Participant("PAR0"),))[0] if alone else None)

    def listen(self, feed: Feed, save: Callable[[NDArray[np.float32]], None] | None = None) -> None:
        """Recognise everything that comes in, until it ends.

        Decoding waits while more sound is there than was heard: on a slow machine windows get longer, and fewer.

        Raises:
            MediaError: The sound can't be read any further; what came before is recognised.
            KeyboardInterrupt: The user does not want to wait; what was committed is kept.
        """
        try:
            while (block := feed.next()) is not None:
                if save is not None:
                    save(block)
                self.stream.feed(block)
                waiting, due = feed.waiting_ms, self.stream.due()
                self.listener.progress(self.stream.position_ms, waiting)
                if due in ("full", "close") or (due is not None and waiting <= BEHIND_MS):
                    self._show(self.stream.step(), feed)
            self._show(self.stream.finish(), feed)
        except BaseException:
            feed.stop()
            while save is not None and (block := feed.next()) is not None:
                save(block)
            self._show(self.stream.finish(decode=False), feed)
            raise
        finally:
            self.stream.heard.notes[:0] = feed.notes

    def _show(self, update: Update, feed: Feed) -> None:
        self.listener.heard(update, feed.waiting_ms)
        if update.settled or update.reason == "close":
            ended = update.reason == "close"
            self._say(self.lines.add(update.settled, self.stream.heard.language, ended=ended))

    def _say(self, utterances: Sequence[Utterance]) -> None:
        for utterance in utterances:
            self.listener.utterance(utterance)


class _Lines:
    """Cuts the settled words into utterances as far as their end is known."""

    def __init__(self, options: TranscribeOptions, speaker: Participant | None) -> None:
        self.options = options
        self.speaker = speaker or Participant(UNKNOWN, "Unidentified")
        self.pending: list[Word] = []

    def add(self, words: Sequence[Word], code: str, *, ended: bool) -> list[Utterance]:
        """Return the utterances that are complete with these words; all of them where the speech has ``ended``."""
        if not words and not (ended and self.pending):
            return []
        language = iso639_3(code or "en")
        spelt = spell_out([*self.pending, *words], language)
        drafts = split_utterances(spelt, language=language, options=UtteranceOptions())
        keep: tuple[Draft, ...] = () if ended else tuple(drafts[-1:])
        self.pending = [word for draft in keep for word in draft.words]
        coded = [
            coded_utterance(replace(d, speaker="0"), {"0": self.speaker}, language, self.options)
            for d in drafts[: len(drafts) - len(keep)]
        ]
        if not any(coded):
            return []
        # As in a transcript: what breaks a rule is repaired, and what says nothing is left out.
        built = build_transcript(
            [u for u in coded if u is not None],
            participants=[self.speaker],
            languages=[language],
            media="live",
            wor=False,
        )
        return list(built.utterances)


def _output(source: LiveSource, out: Path | None) -> Path:
    """Return where the transcript goes."""
    kept = source.save or source.file
    if source.save is not None and source.save.suffix.lower() != ".wav":
        raise UsageError(f"{source.save}: the sound is saved as WAV; give a name that ends in .wav")
    stem = kept.stem if kept is not None else f"live-{datetime.datetime.now():%Y%m%d-%H%M%S}"
    if out is None:
        return kept.with_name(f"{stem}.cha") if kept is not None else Path(f"{stem}.cha")
    if out.suffix.lower() != ".cha":
        return out / f"{stem}.cha"
    if kept is not None and kept.stem != out.stem:
        raise UsageError(f"{out}: CHAT finds a recording by its name; name the transcript {kept.stem}.cha")
    return out


def _take(output: Path, save: Path | None, overwrite: bool, held: ExitStack) -> None:
    """Make sure that nothing is in the way before anybody speaks."""
    if output.is_dir():
        raise OutputError(f"{output}: is a folder; give another name with -o")
    for path in (output, save):
        if path is not None and os.path.lexists(path) and not overwrite:
            raise OutputError(f"{path}: is there already; --overwrite replaces it, -o or --live-save names another")
    if not held.enter_context(claim(output)):
        raise OutputError(f"{output}: another run is writing it now")


@contextmanager
def _saved(path: Path) -> Iterator[Callable[[NDArray[np.float32]], None]]:
    """Write sound to a WAV file, 16 kHz, mono, 16 bits, whose header is right even if the run is killed."""
    import numpy as np

    from asrlsa.audio import SAMPLE_RATE

    try:
        with wave.open(str(path), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(SAMPLE_RATE)

            def write(block: NDArray[np.float32]) -> None:
                whole = np.clip(np.rint(block * 32_768), -32_768, 32_767).astype("<i2")
                file.writeframes(whole.tobytes())  # patches the length in the header each time

            yield write
    except OSError as error:
        raise OutputError(f"{path}: can't be written ({error.strerror or error})") from None


def _write(session: Session, source: LiveSource, output: Path, model: Model, begun: datetime.date) -> Summary:
    """Compose the whole transcript and write it."""
    heard, options = session.stream.heard, session.options
    heard.notes.extend(language_notes(model, heard.language))
    kept = source.save or source.file
    mark = "none"
    if kept is not None and kept.is_file():
        mark = stamp(recording_fingerprint(kept), model.fingerprint, f"live {options.settings()}")
        if session.participants:
            mark = stamp(mark, repr(session.participants), "participants")
    composed = compose(
        heard,
        options=options,
        participants=session.participants,
        media=output.stem,
        video=False,
        date=(recording_date(source.file) if source.file is not None else None) or begun,
        comments=[stamp_comment(model, {**described(model, options), "mode": "live"}, mark)],
    )
    transcript = composed.transcript if kept is not None else _without_recording(composed.transcript)
    write_checked(output, transcript, options.formats)
    return summarise(kept or output, output, heard.duration, replace(composed, transcript=transcript))


def _without_recording(transcript: Transcript) -> Transcript:
    """Say in ``@Media`` that there is no recording; times stay true."""
    lines = tuple(
        Header("Media", f"{line.value}, missing")
        if isinstance(line, Header) and line.name == "Media" and line.value and not line.value.endswith(", unlinked")
        else line
        for line in transcript.lines
    )
    return replace(transcript, lines=lines)
