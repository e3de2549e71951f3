"""The two passes that take time: every source is read, every recording is judged; what did not change is left."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from asrlsa.corpora import chat, datasets, noise, tables, texts
from asrlsa.corpora.candidates import Candidate, SourceFile
from asrlsa.corpora.discover import Corpus
from asrlsa.corpora.gates import Judgement, judge
from asrlsa.corpora.media import MediaIndex
from asrlsa.corpora.parallel import spread
from asrlsa.corpora.settings import PrepareSettings
from asrlsa.corpora.store import Store
from asrlsa.errors import AsrlsaError
from asrlsa.types import Milliseconds, Span

_RULES = "1"  # counted up when a reader or gate changes what it gives
_COMMIT_EVERY = 200
_NOISE_SLACK = 3  # look at this much more than the share, for recordings that have none

_TRANSCRIPTS: dict[str, Callable[[SourceFile, MediaIndex, str], Iterator[Candidate]]] = {
    "cha": chat.read,
    "textgrid": texts.read_textgrid,
    "txt": texts.read_txt,
}

Progress = Callable[[str, int, int], None]
Note = Callable[[str], None]


@dataclass(slots=True)
class _Here:
    """What a process needs to work, set once."""

    media: MediaIndex = field(default_factory=MediaIndex)
    settings: PrepareSettings = field(default_factory=PrepareSettings)


_here = _Here()


def _begin(media: MediaIndex, settings: PrepareSettings) -> None:
    _here.media, _here.settings = media, settings


def read_sources(
    corpus: Corpus, store: Store, settings: PrepareSettings, *, jobs: int, progress: Progress, note: Note
) -> None:
    """Read the sources that changed into the store; one that can't be read is noted there."""
    store.keep_sources(str(source.path) for source in corpus.sources)
    marks = {str(source.path): _mark_of_source(source, settings) for source in corpus.sources}
    changed = [s for s in corpus.sources if not _is_read(s, marks[str(s.path)], corpus.media, store)]
    total, done = len(changed), 0
    for source in (s for s in changed if s.kind not in _TRANSCRIPTS):
        _read_table(source, marks[str(source.path)], store, settings, note)
        done += 1
        progress("sources read", done, total)
    small = [s for s in changed if s.kind in _TRANSCRIPTS]
    for source, found, asked, error in spread(
        _read_transcript, small, jobs, begin=_begin, given=(corpus.media, settings)
    ):
        path = str(source.path)
        store.forget_source(path)
        if error:
            store.fail_source(path, error)
            note(error)
        else:
            store.add_candidates(path, found)
            store.finish_source(path, marks[path], asked, found[0].audio if found else "")
        done += 1
        if done % _COMMIT_EVERY == 0:
            store.commit()
        progress("sources read", done, total)
    store.drop_orphans()
    store.commit()


def _mark_of_source(source: SourceFile, settings: PrepareSettings) -> str:
    """Return a sum by which a source that did not change is known."""
    file = source.path / "state.json" if source.kind == "dataset" else source.path
    try:
        look = file.stat()
        state = f"{look.st_size} {look.st_mtime_ns}"
    except OSError:
        state = "none"
    text = "\n".join((_RULES, source.kind, str(source.root), source.split, state, settings.of_reading()))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _is_read(source: SourceFile, mark: str, media: MediaIndex, store: Store) -> bool:
    """Whether a source is in the store as it is now, with the recording that it would get now."""
    known = store.source(str(source.path))
    if known is None or known[0] != mark:
        return False
    return not known[1] or media.find(known[1], source.path)[0] == known[2]


def _read_transcript(source: SourceFile) -> tuple[SourceFile, list[Candidate], str, str]:
    """Read one small source, here or in another process; returns utterances, media name, and an error."""
    try:
        found = list(_TRANSCRIPTS[source.kind](source, _here.media, _here.settings.language))
    except AsrlsaError as error:
        return source, [], "", str(error)
    return source, found, _here.media.asked, ""


def _read_table(source: SourceFile, mark: str, store: Store, settings: PrepareSettings, note: Note) -> None:
    """Read a source of any size row by row, in one transaction."""
    path = str(source.path)
    store.forget_source(path)
    try:
        if source.kind == "dataset":
            rows = datasets.read(source, settings.language, store.path.parent / "audio")
        else:
            rows = tables.read(source, settings.language)
        missing = store.add_candidates(path, rows)
    except texts.TextError as error:
        store.forget_source(path)
        store.fail_source(path, str(error))
        note(str(error))
        return
    # A recording that was missing may be there next time.
    store.finish_source(path, "" if missing else mark)
    store.commit()


@dataclass(frozen=True, slots=True)
class _Task:
    """One recording to judge, with its utterances as they lie in the store."""

    audio: str
    stamp: str
    state: str
    rows: list[tuple[int, str]]


def judge_recordings(
    store: Store, settings: PrepareSettings, *, jobs: int, progress: Progress, duration: Callable[[Milliseconds], None]
) -> None:
    """Judge the recordings that changed; calls ``duration`` with the length of each."""
    total = store.base.execute("SELECT COUNT(DISTINCT audio) FROM candidate").fetchone()[0]
    done = 0

    def tasks() -> Iterator[_Task]:
        nonlocal done
        rules = _RULES + settings.of_judging()
        for audio, rows in store.recordings():
            state = _look(audio)
            digest = hashlib.sha256(f"{rules}\n{state}\n".encode())
            for _, data in rows:
                digest.update(data.encode("utf-8", "surrogatepass"))
            stamp = digest.hexdigest()[:32]
            if audio and store.recording_stamp(audio) == stamp:
                done += 1
            else:
                yield _Task(audio, stamp, state, rows)

    for task, found, calm in spread(_judge, tasks(), jobs, begin=_begin, given=(MediaIndex(), settings)):
        candidates = {number: Candidate.from_json(data) for number, data in task.rows}
        store.put_judgement(task.audio, task.stamp, task.state, found, calm, candidates)
        done += 1
        if done % _COMMIT_EVERY == 0:
            store.commit()
        duration(found.length)
        progress("recordings judged", done, total)
    store.commit()


def _look(audio: str) -> str:
    """Return size and time of change of a recording."""
    if not audio:
        return ""
    try:
        look = os.stat(audio)  # noqa: PTH116 - called for every recording of a corpus
    except OSError:
        return "none"
    return f"{look.st_size} {look.st_mtime_ns}"


def _judge(task: _Task) -> tuple[_Task, Judgement, list[Span]]:
    """Judge one recording, here or in another process."""
    settings: Any = _here.settings
    found = judge(task.audio, [(number, Candidate.from_json(data)) for number, data in task.rows], settings)
    calm: list[Span] = []
    if found.gaps and found.kept:
        speech = sum(k.end - k.start for k in found.kept)
        calm = noise.confirm(Path(task.audio), found.gaps, max(2_000, round(_NOISE_SLACK * settings.noise * speech)))
    return task, found, calm
