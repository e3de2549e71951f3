"""The verbatimize verb: a trusted transcript and its recording in, the verbatim transcript out.

Every word of the transcript stays, in its order. What is added is disfluent: filled pauses, repetitions, fragments,
retraced words, each only where the recording is more probable with it than without.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from asrlsa import audio as media_audio
from asrlsa.chat.check import check_chat
from asrlsa.chat.parser import parse_chat, read_text
from asrlsa.config import TranscribeOptions
from asrlsa.convert import utterance_span
from asrlsa.disfluency import read_main_tier
from asrlsa.errors import ChatError, OutputError, UsageError
from asrlsa.hearing import openers, recognise_options, spoken_language
from asrlsa.language import language_table
from asrlsa.language.codes import whisper_code
from asrlsa.models import Model
from asrlsa.recordings import find_recordings
from asrlsa.speech.led import LedRecogniser
from asrlsa.speech.style import find_model
from asrlsa.stamps import stamp_comment
from asrlsa.transcription import write_checked
from asrlsa.trusted.assembly import assembled, with_comments, with_media
from asrlsa.trusted.listening import ListenOptions, follow
from asrlsa.trusted.plain import text_to_transcript
from asrlsa.trusted.search import SearchOptions
from asrlsa.trusted.words import trusted_words
from asrlsa.types import Participant, Transcript

FOLDER = "verbatim"
WINDOW_MS = 15_000  # many texts are compared in each window: half a window takes less than half the time
Progress = Callable[[float], None]
INSERTED = ("filled_pause", "fragment", "word_repetition", "phrase_repetition", "retracing", "false_start")


@dataclass(frozen=True, slots=True)
class VerbatimizeOptions:
    """How to verbatimize.

    Attributes:
        model: Name or folder of a Whisper model; None takes the default one.
        language: Code of the language spoken; ``auto`` takes the transcript's first one, for a text English.
        participants: Who speaks in a plain text; the first one where it names nobody.
        evidence: Added to what the log-likelihood ratio of every insertion must reach: above 0 fewer and surer ones.
        search: What is looked for, and how sure the model must be.
        wor: Write ``%wor`` tiers.
        align: Refine word times by forced alignment (English).
        device: ``auto``, ``cpu`` or ``cuda``.
        compute_type: CTranslate2's type to compute in, or ``default``.
        threads: CPU threads; 0 takes every core.
        offline: Never ask a model hub.
    """

    model: str | None = None
    language: str = "auto"
    participants: tuple[Participant, ...] = ()
    evidence: float = 0.0
    search: SearchOptions = field(default_factory=SearchOptions)
    wor: bool = True
    align: bool = True
    device: str = "auto"
    compute_type: str = "default"
    threads: int = 0
    offline: bool = False


@dataclass(frozen=True, slots=True)
class Verbatimized:
    """A transcript with what was inserted.

    Attributes:
        transcript: The verbatim transcript.
        inserted: How many of each kind (`asrlsa.disfluency.reading.EVENT_KINDS`) it has more than before.
        words: Words of the trusted transcript.
        unheard: Those of them that nothing in the recording speaks for.
    """

    transcript: Transcript
    inserted: dict[str, int]
    words: int
    unheard: int

    @property
    def remark(self) -> str:
        """The words without evidence in one sentence, or an empty string where all were heard."""
        if not self.unheard:
            return ""
        doubt = ". Is this the recording of the transcript?" if 2 * self.unheard > self.words else ""
        return f"{self.unheard} of {self.words} words had no evidence in the recording; they were kept{doubt}"


class Verbatimizer:
    """Upgrades transcripts one after the other; the model is loaded for the first one."""

    def __init__(self, options: VerbatimizeOptions | None = None) -> None:
        """Take the options.

        Raises:
            ConfigError: One is out of range.
        """
        self.options = chosen = options or VerbatimizeOptions()
        self._shared = TranscribeOptions(
            model=chosen.model,
            offline=chosen.offline,
            device=chosen.device,
            compute_type=chosen.compute_type,
            threads=chosen.threads,
            window_ms=WINDOW_MS,
        )
        self._loaded: tuple[Model, LedRecogniser] | None = None

    def _load(self, language: str) -> tuple[Model, LedRecogniser]:
        """Return the model for a language; the one that is loaded stays where it is the same."""
        wanted = replace(self._shared, language=language)
        model = find_model(wanted, spoken_language(wanted))
        if self._loaded is None or self._loaded[0] != model:
            recogniser = LedRecogniser(
                model,
                device=self.options.device,
                compute_type=self.options.compute_type,
                threads=self.options.threads,
                side_by_side=False,
                window_ms=WINDOW_MS,
            )
            self._loaded = model, recogniser
        return self._loaded

    def write(
        self,
        transcript: Path,
        recording: Path,
        *,
        out: Path | None = None,
        force: bool = False,
        on_progress: Progress = lambda done: None,
    ) -> tuple[Path, Verbatimized]:
        """Upgrade one transcript and write the result.

        Args:
            transcript: CHAT or plain text; never changed.
            recording: Its recording.
            out: See `output_for`.
            force: Replace a result that is there already.
            on_progress: See `upgrade`.

        Returns:
            The file that was written, and what is in it.

        Raises:
            UsageError: A path does not exist, or the result would replace the transcript.
            ChatError: The transcript is not valid.
            MediaError: The recording can't be read.
            ModelError: The model can't be found or loaded.
            OutputError: The result is there already, or can't be written.
        """
        for path in (transcript, recording):
            if not path.is_file():
                raise UsageError(f"{path}: no such file")
        target = output_for(transcript, recording, out)
        if target.exists() and not force:
            raise OutputError(f"{target} is there already; --force replaces it")
        options = self.options
        trusted = read_trusted(transcript, language=options.language, participants=options.participants)
        result = self.upgrade(trusted, recording, on_progress=on_progress)
        write_checked(target, result.transcript, ("cha",))
        return target, result

    def upgrade(
        self,
        transcript: Transcript,
        recording: Path,
        *,
        on_progress: Progress = lambda done: None,
    ) -> Verbatimized:
        """Return the transcript with the disfluencies that the recording holds.

        Args:
            transcript: The trusted transcript.
            recording: Its recording.
            on_progress: Called with the part of the work that is done, 0 to 1.

        Raises:
            MediaError: The recording can't be read.
            ModelError: The model can't be found or loaded.
            UsageError: The model does not know the language.
            ConfigError: Nobody knows it.
        """
        options = self.options
        language = options.language if options.language != "auto" else next(iter(transcript.languages), "eng")
        table = language_table(language)
        model, recogniser = self._load(language)
        with media_audio.stream(recording) as blocks:
            info = blocks.info
        trusted, masks = trusted_words(transcript)
        spans = [utterance_span(u) for u in transcript.utterances]
        found = follow(
            openers(recording, info.channels, "mix")[0],
            trusted,
            masks,
            [spans[word.utterance] for word in trusted],
            recogniser=recogniser,
            options=self._listening(model, recogniser, language),
            on_progress=lambda done: on_progress(min(1.0, done / max(1, 2 * (info.duration_ms or 0)))),
        )
        new = assembled(transcript, found.words, found.said, table, wor=options.wor)
        new = with_media(new, recording.stem, video=info.video)
        result = Verbatimized(new, _more(transcript, new), len(trusted), found.unheard)
        done = {"verbatimize": f"inserted {sum(result.inserted.values())}"}
        comments = [stamp_comment(model, done, "none"), *filter(None, [result.remark])]
        return replace(result, transcript=with_comments(new, comments))

    def _listening(self, model: Model, recogniser: LedRecogniser, language: str) -> ListenOptions:
        options = self.options
        shared = recognise_options(model, replace(self._shared, language=language), recogniser)
        code = whisper_code(language)
        search = options.search
        if options.evidence:
            raised = {kind: value + options.evidence for kind, value in search.evidence.items()}
            search = replace(search, evidence=raised)
        return ListenOptions(
            language=code,
            prompt=shared.prompt(code),
            decoding=shared.decoding,
            search=search,
            window_ms=WINDOW_MS,
            align=options.align,
        )


def _more(before: Transcript, after: Transcript) -> dict[str, int]:
    """Count the events of each kind that ``after`` has more than ``before``."""

    def count(transcript: Transcript) -> dict[str, int]:
        kinds = [event.kind for u in transcript.utterances for event in read_main_tier(u.text).events]
        return {kind: kinds.count(kind) for kind in INSERTED}

    old, new = count(before), count(after)
    return {kind: new[kind] - old[kind] for kind in INSERTED}


def read_trusted(path: Path, *, language: str = "auto", participants: Sequence[Participant] = ()) -> Transcript:
    """Read a trusted transcript: CHAT, or plain text.

    Raises:
        ChatError: It is not valid CHAT, or a text without words; the message says where.
        OSError: It can't be opened.
    """
    text = read_text(path)
    if path.suffix.lower() != ".cha" and "@Begin" not in text:
        try:
            return text_to_transcript(
                text, language="eng" if language == "auto" else language, participants=participants
            )
        except ChatError as error:
            raise ChatError(str(error), source=str(path)) from None
    wrong = [p for p in check_chat(text) if p.severity == "error"]
    if wrong:
        more = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        raise ChatError(
            f"is not valid CHAT: {wrong[0].message}{more}; correct it first (asrlsa check lists everything)",
            line=wrong[0].line,
            column=wrong[0].column,
            source=str(path),
        )
    return parse_chat(text, source=str(path))


def output_for(transcript: Path, recording: Path, out: Path | None) -> Path:
    """Return where the result goes: never the transcript itself.

    Args:
        transcript: The trusted transcript.
        recording: Its recording, whose stem CHAT wants the file to have.
        out: A ``.cha`` file, or a folder; None is a folder ``verbatim`` beside the transcript.

    Raises:
        UsageError: It would be the transcript or the recording.
    """
    name = f"{recording.stem}.cha"
    if out is None:
        path = transcript.parent / FOLDER / name
    else:
        path = out if out.suffix.lower() == ".cha" and not out.is_dir() else out / name
    for given in (transcript, recording):
        if path.resolve() == given.resolve():
            raise UsageError(f"{path}: is the file to read from; give another place with --out")
    return path


def find_pairs(transcript: Path, recording: Path, out: Path | None = None) -> list[tuple[Path, Path, Path | None]]:
    """Pair transcripts with recordings.

    Args:
        transcript: A transcript, or a folder of ``.cha`` and ``.txt`` files, with its subfolders.
        recording: Its recording, or a folder where each transcript's recording has the transcript's name.
        out: Where the results go; the structure of a folder of transcripts is kept below it.

    Returns:
        Transcript, recording and the ``out`` of each.

    Raises:
        UsageError: A path does not exist, or not every transcript has one recording.
    """
    if not transcript.is_dir():
        if recording.is_dir():
            recording = _recording_of(transcript, _by_stem(recording))
        return [(transcript, recording, out)]
    if not recording.is_dir():
        raise UsageError(f"{recording}: give the folder of the recordings for a folder of transcripts")
    found = sorted(p for p in transcript.rglob("*") if p.suffix.lower() in (".cha", ".txt") and p.parent.name != FOLDER)
    if not found:
        raise UsageError(f"{transcript}: there is no .cha or .txt file in this folder")
    recordings = _by_stem(recording)
    return [
        (path, _recording_of(path, recordings), out and out / path.parent.relative_to(transcript)) for path in found
    ]


def _by_stem(folder: Path) -> dict[str, list[Path]]:
    """Return the recordings in a folder by their name without extension."""
    found: dict[str, list[Path]] = {}
    for entry in find_recordings([folder]):
        found.setdefault(entry.path.stem, []).append(entry.path)
    return found


def _recording_of(transcript: Path, recordings: dict[str, list[Path]]) -> Path:
    mine = recordings.get(transcript.stem, [])
    if len(mine) != 1:
        which = f"{len(mine)} recordings are" if mine else "no recording is"
        raise UsageError(f"{transcript}: {which} called {transcript.stem}; give these two files alone")
    return mine[0]
