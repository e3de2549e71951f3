"""The transcribe verb: recordings in, CHAT transcripts out.

``transcribe_folder`` is what ``asrlsa transcribe`` calls; ``transcribe`` is the same for one recording or array, as a
library.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asrlsa import audio as media_audio
from asrlsa.chat.check import check_chat
from asrlsa.chat.parser import read_chat
from asrlsa.config import TranscribeOptions
from asrlsa.convert import to_json, to_srt, to_textgrid, to_vtt
from asrlsa.disfluency import read_main_tier
from asrlsa.errors import AsrlsaError, MediaError, OutputError, UsageError
from asrlsa.hearing import array_opener, hear, openers, spoken_language
from asrlsa.models import Model
from asrlsa.recordings import (
    Recording,
    append_error,
    claim,
    existing,
    find_recordings,
    is_edited,
    participants_for,
    read_stamp,
    recording_fingerprint,
    same_recording,
    seal,
    stamp,
    stamp_comment,
    tidy,
    write_atomic,
)
from asrlsa.speech.compose import Composed, compose
from asrlsa.speech.recognise import Recognised, Source
from asrlsa.speech.style import described_style, find_model
from asrlsa.types import Milliseconds, Participant, Transcript

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ERROR_LOG = "asrlsa-errors.log"
_EXTRA: dict[str, Callable[[Transcript], str]] = {
    "srt": to_srt,
    "vtt": to_vtt,
    "json": to_json,
    "textgrid": to_textgrid,
}
_SUFFIX = {"srt": ".srt", "vtt": ".vtt", "json": ".json", "textgrid": ".TextGrid"}


@dataclass(frozen=True, slots=True)
class Summary:
    """One finished recording, in the terms of its user.

    Attributes:
        path: The recording.
        output: The CHAT file.
        duration: Length of the recording in ms.
        words: Words said, fillers and repetitions included.
        speakers: Participants that speak.
        fillers: Filled pauses.
        repetitions: Word and phrase repetitions.
        notes: What the transcript's comments say too.
    """

    path: Path
    output: Path
    duration: Milliseconds
    words: int
    speakers: int
    fillers: int
    repetitions: int
    notes: tuple[str, ...]


class Listener:
    """Hears what a run does. Every method does nothing; a user interface overrides what it shows."""

    def started(self, recordings: int, duration: Milliseconds, model: str) -> None:
        """``recordings`` will be transcribed, ``duration`` in all as far as their headers say."""

    def progress(self, done: Milliseconds) -> None:
        """``done`` ms of all recordings have been decoded."""

    def finished(self, summary: Summary) -> None:
        """A transcript was written."""

    def skipped(self, recording: Path, reason: str) -> None:
        """A recording was left alone."""

    def failed(self, recording: Path, error: AsrlsaError) -> None:
        """A recording could not be transcribed."""

    def note(self, text: str) -> None:
        """Something about the run that the user should know."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended; ``log`` names what failed, or is None where nothing did or it could not be written."""

    finished: tuple[Summary, ...]
    skipped: tuple[Path, ...]
    failed: tuple[Path, ...]
    log: Path | None = None


@dataclass(slots=True)
class _Job:
    """One recording that is to be transcribed."""

    recording: Recording
    stamp: str
    participants: tuple[Participant, ...]
    duration: Milliseconds
    channels: int
    video: bool
    held: ExitStack


def transcribe_folder(
    paths: Sequence[Path],
    *,
    out: Path | None = None,
    options: TranscribeOptions | None = None,
    force: bool = False,
    overwrite: bool = False,
    listener: Listener | None = None,
) -> Outcome:
    """Transcribe every recording in files and folders.

    Args:
        paths: Recordings, or folders to search, with their subfolders.
        out: Folder for the transcripts, with the structure of the folders kept; None writes beside each recording.
        options: How to transcribe.
        force: Redo what is done already.
        overwrite: Replace ``.cha`` files that asrlsa did not write.
        listener: Hears about progress.

    Returns:
        What was finished, skipped and failed. A recording that fails does not stop the others.

    Raises:
        UsageError: There is nothing to transcribe, or ``out`` is a file.
        ModelError: The model can't be found or loaded.
        ConfigError: ``participants.csv`` or the language is wrong.
    """
    run = _Run(paths, out, options or TranscribeOptions(), force, overwrite, listener or Listener())
    return run.go()


class _Run:
    """One call of ``transcribe_folder``."""

    def __init__(
        self,
        paths: Sequence[Path],
        out: Path | None,
        options: TranscribeOptions,
        force: bool,
        overwrite: bool,
        listener: Listener,
    ) -> None:
        self.options, self.force, self.overwrite, self.listener = options, force, overwrite, listener
        language = spoken_language(options)
        if out is not None and out.exists() and not out.is_dir():
            raise UsageError(f"{out}: is a file; give a folder for the transcripts")
        self.recordings = find_recordings(paths, out, on_note=listener.note)
        if not self.recordings:
            where = ", ".join(str(p) for p in paths)
            raise UsageError(f"no audio or video files in {where}: give a recording or a folder that holds some")
        self.log = (out or _common_folder(paths)) / ERROR_LOG
        self.model = find_model(options, language)
        self.done: list[Summary] = []
        self.left: list[Path] = []
        self.bad: list[Path] = []
        self.logged = True
        self.heard: dict[int, Milliseconds] = {}

    def go(self) -> Outcome:
        jobs = [job for r in self.recordings if (job := self._plan(r)) is not None]
        if jobs:
            self.listener.started(len(jobs), sum(j.duration for j in jobs), self.model.name)
            try:
                hear(
                    self.model,
                    self.options,
                    self._sources(jobs),
                    on_finished=self._write,
                    on_failed=lambda source, error: self._fail(source.key.recording.path, error, source.key),
                    on_progress=self._progress,
                    on_note=self.listener.note,
                    on_put_off=lambda source: source.key.held.close(),  # a lock is an open file
                    again=lambda sources: self._sources([source.key for source in sources]),
                )
            finally:
                for job in jobs:
                    job.held.close()
        log = self.log if self.bad and self.logged else None
        return Outcome(tuple(self.done), tuple(self.left), tuple(self.bad), log)

    def _plan(self, recording: Recording) -> _Job | None:
        """Decide whether a recording is to be done; what is wrong with it is reported here already if it shows."""
        try:
            mark = stamp(recording_fingerprint(recording.path), self.model.fingerprint, self.options.settings())
            people = participants_for(recording, self.options.participants, on_note=self.listener.note)
            mark = stamp(mark, repr(people), "participants") if people else mark
            reason = self._finished_already(recording, mark)
            if reason:
                if reason.startswith("done already"):
                    tidy(recording.output)
                    self._add_formats(recording.output)
                self._skip(recording, reason)
                return None
            with media_audio.stream(recording.path) as blocks:
                info = blocks.info
            return _Job(recording, mark, people, info.duration_ms or 0, info.channels, info.video, ExitStack())
        except (MediaError, OutputError) as error:
            self._fail(recording.path, error, None)
            return None

    def _finished_already(self, recording: Recording, mark: str) -> str:
        """Return why a recording is left alone, or an empty string."""
        output = recording.output
        state = existing(output)
        if not self.overwrite:
            theirs = [p for p in self._beside(output) if p.exists()] if state == "absent" else []
            if theirs:
                return f"{theirs[0]} was not written by asrlsa; --overwrite replaces it"
            if state == "foreign":
                whose = "was edited by hand" if is_edited(output) else "was not written by asrlsa"
                return f"{output} {whose}; --overwrite replaces it"
            if state == "ours" and not same_recording(read_stamp(output) or "", mark):
                return f"{output} is the transcript of another recording; --overwrite replaces it"
        if state == "ours" and not self.force and read_stamp(output) == mark:
            return "done already; --force does it again"
        return ""

    def _beside(self, output: Path) -> list[Path]:
        """Return the files of the other formats."""
        return [output.with_suffix(_SUFFIX[name]) for name in self.options.formats if name != "cha"]

    def _add_formats(self, output: Path) -> None:
        """Make formats that are asked for now from a transcript that is done already."""
        for name, path in zip((n for n in self.options.formats if n != "cha"), self._beside(output), strict=True):
            if not path.exists():
                write_atomic(path, _EXTRA[name](read_chat(output)))

    def _skip(self, recording: Recording, reason: str) -> None:
        self.left.append(recording.path)
        self.listener.skipped(recording.path, reason)

    def _sources(self, jobs: Sequence[_Job]) -> Iterator[Source]:
        """Yield what to read, each claimed against other runs on the same folder."""
        for job in jobs:
            recording = job.recording
            try:
                if not job.held.enter_context(claim(recording.output)):
                    self._skip(recording, "another run is transcribing it now")
                    continue
                reason = self._finished_already(recording, job.stamp)
                if reason and not self.force:
                    job.held.close()
                    self._skip(recording, reason)
                    continue
            except OutputError as error:
                self._fail(recording.path, error, job)
                continue
            yield Source(job, openers(recording.path, job.channels, self.options.channels))

    def _progress(self, source: Source, done: Milliseconds) -> None:
        key = id(source.key)
        self.heard[key] = max(self.heard.get(key, 0), done)
        self.listener.progress(sum(self.heard.values()))

    def _write(self, heard: Recognised, model: Model) -> None:
        """Compose and write one transcript; runs in the finishing thread."""
        job: _Job = heard.source.key
        output = job.recording.output
        composed = compose(
            heard,
            options=self.options,
            participants=job.participants,
            media=output.stem,
            video=job.video,
            date=recording_date(job.recording.path),
            comments=[stamp_comment(model, described(model, self.options), job.stamp)],
        )
        write_checked(output, composed.transcript, self.options.formats)
        job.held.close()
        summary = summarise(job.recording.path, output, heard.duration, composed)
        self.done.append(summary)
        self._progress(heard.source, max(job.duration, heard.duration))
        self.listener.finished(summary)

    def _fail(self, path: Path, error: AsrlsaError, job: _Job | None) -> None:
        if job is not None:
            job.held.close()
        self.bad.append(path)
        self.logged = append_error(self.log, path, str(error)) and self.logged
        self.listener.failed(path, error)


def transcribe(
    recording: str | Path | NDArray[np.float32],
    *,
    options: TranscribeOptions | None = None,
    **changes: Any,
) -> Transcript:
    """Transcribe one recording and return its transcript; nothing is written.

    Args:
        recording: An audio or video file, or mono samples at 16 kHz of shape (samples,): float from -1 to 1, or int16.
            Samples that are not numbers are taken as silence.
        options: How to transcribe.
        changes: Single options by name, such as ``model="base"`` or ``speakers=1``, over ``options``.

    Returns:
        The transcript; ``transcript.to_chat()`` is the text of its CHAT file.

    Raises:
        MediaError: The recording can't be read.
        ModelError: The model can't be found or loaded.
        ConfigError: An option is out of range, or Whisper does not know the language.
        TypeError: An option does not exist.
    """
    chosen = replace(options or TranscribeOptions(), **changes)
    model = find_model(chosen, spoken_language(chosen))
    video, date, stem = False, None, "recording"
    if isinstance(recording, (str, Path)):
        path = Path(recording)
        with media_audio.stream(path) as blocks:
            info = blocks.info
        video, date, stem = info.video, recording_date(path), path.stem
        source = Source(path, openers(path, info.channels, chosen.channels))
    else:
        source = Source("array", (array_opener(recording),))
    found: list[Composed] = []
    errors: list[AsrlsaError] = []

    def finished(heard: Recognised, model: Model) -> None:
        people = chosen.participants
        comments = [stamp_comment(model, described(model, chosen), "none")]
        found.append(
            compose(heard, options=chosen, participants=people, media=stem, video=video, date=date, comments=comments)
        )

    hear(model, chosen, [source], on_finished=finished, on_failed=lambda source, error: errors.append(error))
    if errors:
        raise errors[0]
    return found[0].transcript


def described(model: Model, options: TranscribeOptions) -> Mapping[str, str]:
    """Return the settings that the transcript's comment names, in words."""
    return {
        "language": options.language,
        **described_style(model, options),
        "beam": str(options.beam_size or "default"),
        "compute": options.compute_type,
        "speakers": {None: "default", 0: "auto"}.get(options.speakers, str(options.speakers)),
        "pauses": f"{options.pause_short_ms}/{options.pause_long_ms} ms",
    }


def recording_date(path: Path) -> datetime.date | None:
    """Return the day a recording was last changed, or None where the file system does not say."""
    try:
        return datetime.date.fromtimestamp(path.stat().st_mtime)
    except (OSError, ValueError, OverflowError):
        return None


def write_checked(output: Path, transcript: Transcript, formats: Sequence[str]) -> None:
    """Write a transcript as ``write_all`` does, sealed against later changes, once it has been checked.

    Raises:
        OutputError: It would not be valid CHAT, or can't be written; nothing was written.
    """
    text = transcript.to_chat()
    wrong = [p for p in check_chat(text) if p.severity == "error"]
    if wrong:
        raise OutputError(
            f"{output}: the transcript would not be valid CHAT (line {wrong[0].line}: {wrong[0].message}); "
            "please report this, nothing was written"
        )
    write_all(output, seal(text), transcript, formats)


def write_all(output: Path, text: str, transcript: Transcript, formats: Sequence[str]) -> None:
    """Write the other formats first and the CHAT file last: its presence says that all are there."""
    for name in formats:
        if name != "cha":
            write_atomic(output.with_suffix(_SUFFIX[name]), _EXTRA[name](transcript))
    write_atomic(output, text)


def summarise(path: Path, output: Path, duration: Milliseconds, composed: Composed) -> Summary:
    """Count what the user wants to see at once."""
    words = fillers = repetitions = 0
    for utterance in composed.transcript.utterances:
        reading = read_main_tier(utterance.text)
        words += len(reading.words)
        fillers += sum(e.kind == "filled_pause" for e in reading.events)
        repetitions += sum(e.kind in ("word_repetition", "phrase_repetition") for e in reading.events)
    return Summary(path, output, duration, words, composed.speakers, fillers, repetitions, composed.notes)


def _common_folder(paths: Sequence[Path]) -> Path:
    """Return where the error log goes when transcripts lie beside their recordings."""
    first = paths[0]
    return first if first.is_dir() else first.parent
