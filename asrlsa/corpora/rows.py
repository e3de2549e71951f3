"""From judged recordings to the rows of the manifests: late losses, names, stretches of noise, clips."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from asrlsa.corpora.candidates import Candidate
from asrlsa.corpora.clips import CutTask, cut
from asrlsa.corpora.parallel import spread
from asrlsa.corpora.settings import PrepareSettings
from asrlsa.corpora.splits import chance
from asrlsa.corpora.store import Store
from asrlsa.errors import MediaError, OutputError
from asrlsa.manifest import MANIFESTS, Row
from asrlsa.stamps import recording_fingerprint
from asrlsa.types import Milliseconds, Span

_TABLE = """
DROP TABLE IF EXISTS final;
CREATE TABLE final (
    id TEXT PRIMARY KEY, split TEXT NOT NULL, audio TEXT NOT NULL, start INTEGER NOT NULL, end INTEGER NOT NULL,
    number INTEGER, joins INTEGER NOT NULL, clip TEXT NOT NULL DEFAULT '');
CREATE INDEX final_place ON final (split, audio, start, end, id);
CREATE INDEX final_audio ON final (audio, start, id);
"""
_SHORTEST_NOISE = 1_000  # ms

Progress = Callable[[str, int, int], None]


def drop_copies(store: Store) -> None:
    """Leave out what stands twice because a recording does: same sound in two files, same words at the same place.

    Only recordings of the same size are compared, by a sum over places of the file.
    """
    for group in store.twins():
        prints: dict[str, list[str]] = {}
        for audio, noted in group:
            digest = noted
            if not digest:
                try:
                    digest = recording_fingerprint(Path(audio))
                except MediaError:
                    continue
                store.note_print(audio, digest)
            prints.setdefault(digest, []).append(audio)
        for copies in prints.values():
            if len(copies) > 1:
                _drop_second(store, copies)
    store.commit()


def _drop_second(store: Store, copies: list[str]) -> None:
    seen: dict[tuple[int, int, str], str] = {}
    for audio in copies:
        for number, start, end in store.kept_of(audio):
            text = store.candidate(number).verbatim.casefold()
            first = seen.setdefault((start, end, text), audio)
            if first != audio:
                store.drop_late(number, "duplicate", f"the recording is a copy of {first}")


def build_rows(store: Store, settings: PrepareSettings) -> None:
    """Fill the table ``final`` from what is kept, with the part and the id of every row, and noise by share."""
    base = store.base
    base.executescript(_TABLE)
    query = """SELECT kept.audio, start, end, number, joins, place.split, candidate.data,
        EXISTS (SELECT 1 FROM late WHERE late.number = kept.number)
        FROM kept JOIN candidate USING (number) LEFT JOIN owner ON owner.audio = kept.audio
        LEFT JOIN place USING (piece) ORDER BY kept.audio, start, end, kept.source, candidate.line, number"""
    for _, rows in groupby(base.execute(query), key=lambda row: row[0]):
        clear = True
        for audio, start, end, number, joins, split, data, late in rows:
            if late or split is None:
                clear = False
                continue
            name = Candidate.from_json(data).name or Path(audio).stem
            _insert(store, f"{name}-{start}-{end}", (split, audio, start, end, number, bool(joins and clear)))
            clear = True
    if settings.noise:
        for split in MANIFESTS:
            _add_noise(store, settings, split)
    base.commit()


def _insert(store: Store, name: str, values: tuple[str, str, int, int, int | None, bool]) -> None:
    """Add a row under a name that no other row has."""
    number, wanted = 1, name
    statement = "INSERT OR IGNORE INTO final (id, split, audio, start, end, number, joins) VALUES (?, ?, ?, ?, ?, ?, ?)"
    while not store.base.execute(statement, (wanted, *values)).rowcount:
        number += 1
        wanted = f"{name}-{number}"


def _add_noise(store: Store, settings: PrepareSettings, split: str) -> None:
    """Take calm stretches of the recordings of a part, by chance, until they have their share of its speech."""
    base = store.base
    speech = base.execute("SELECT COALESCE(SUM(end - start), 0) FROM final WHERE split = ?", (split,)).fetchone()[0]
    left = round(settings.noise * speech)
    base.create_function("chance", 1, lambda name: chance(settings.seed, name), deterministic=True)
    query = """SELECT calm.audio, calm.start, calm.end, (SELECT id FROM final WHERE final.audio = calm.audio LIMIT 1)
        FROM calm JOIN owner ON owner.audio = calm.audio JOIN place USING (piece) WHERE place.split = ?
        ORDER BY chance(calm.audio || ' ' || calm.start), calm.audio, calm.start"""
    chosen: list[tuple[str, str, Milliseconds, Milliseconds]] = []
    for audio, start, end, row in base.execute(query, (split,)):
        if left < _SHORTEST_NOISE or row is None:
            break
        end = min(end, start + left)
        left -= end - start
        chosen.append((row.rsplit("-", 2)[0], audio, start, end))
    for name, audio, start, end in chosen:
        _insert(store, f"{name}-noise-{start}-{end}", (split, audio, start, end, None, False))


@dataclass(frozen=True, slots=True)
class Written:
    """A row of a manifest, with the utterance that it was made of; None for noise."""

    row: Row
    candidate: Candidate | None


def rows_of(store: Store, settings: PrepareSettings, split: str) -> Iterator[Written]:
    """Yield the rows of one part: those of a recording together, by begin."""
    query = """SELECT final.audio, final.start, final.end, id, joins, clip, candidate.data
        FROM final LEFT JOIN candidate USING (number) WHERE split = ? AND clip != '-'
        ORDER BY final.audio, final.start, final.end, id"""
    for _, group in groupby(store.base.execute(query, (split,)), key=lambda row: row[0]):
        rows = list(group)
        joins = False
        found: list[Written] = []
        for audio, start, end, name, joined, clip, data in reversed(rows):
            # Noise between two rows that join is joined to both.
            joins = bool(joined) if data is not None else joins
            candidate = Candidate.from_json(data) if data is not None else None
            where = (Path(clip), 0, end - start, False) if clip else (Path(audio), start, end, joins)
            found.append(Written(_row(name, where, candidate, settings), candidate))
        yield from reversed(found)


def _row(
    name: str, where: tuple[Path, Milliseconds, Milliseconds, bool], c: Candidate | None, settings: PrepareSettings
) -> Row:
    audio, start, end, joins = where
    if c is None:
        return Row(name, audio, start, end, "", joins=joins)
    verbatim, fluent = (c.sentence, c.fluent_sentence) if settings.style == "cased" else (c.verbatim, c.fluent)
    return Row(
        id=name,
        audio=audio,
        start=start,
        end=end,
        text=fluent if settings.text == "fluent" else verbatim,
        speaker=c.speaker,
        role=c.role,
        age=c.age,
        sex=c.sex,
        group=c.group,
        language=c.language,
        source=c.source,
        line=c.line,
        fluent=fluent if settings.text == "both" else None,
        joins=joins,
    )


def cut_clips(store: Store, folder: Path, *, jobs: int, overwrite: bool, progress: Progress) -> None:
    """Write every row as a clip below ``folder``; clips that are there already are left.

    A row whose recording ends before its utterance does is left out: no text is kept of which the sound is cut.

    Raises:
        OutputError: A clip can't be written, or would replace a file that is not asrlsa's.
    """
    base = store.base
    total = base.execute("SELECT COUNT(DISTINCT audio) FROM final").fetchone()[0]
    base.execute("UPDATE final SET clip = ''")
    done = 0

    def tasks() -> Iterator[CutTask]:
        nonlocal done
        for audio in [name for (name,) in base.execute("SELECT DISTINCT audio FROM final ORDER BY audio")]:
            task = _task(store, audio, folder, overwrite=overwrite)
            if task.paths:
                yield task
            else:
                done += 1

    for task, written, error in spread(cut, tasks(), jobs):
        whole = set(written)
        for index, (name, path) in enumerate(zip(task.ids, task.paths, strict=True)):
            if index in whole:
                mark = _clip_mark(store, task.audio, task.spans[index])
                base.execute("UPDATE clip SET stamp = ? WHERE path = ?", (mark, path))
                base.execute("UPDATE final SET clip = ? WHERE id = ?", (path, name))
            else:
                _lose(store, name, error)
        done += 1
        store.commit()
        progress("recordings cut", done, total)
    store.commit()


def _task(store: Store, audio: str, folder: Path, *, overwrite: bool) -> CutTask:
    """Plan the clips of one recording; those that are there are noted as done."""
    base = store.base
    spans, paths, ids = [], [], []
    query = "SELECT id, start, end FROM final WHERE audio = ? ORDER BY start, id"
    for name, start, end in base.execute(query, (audio,)).fetchall():
        path = str(folder / f"{_file_name(name)}.wav")
        span = Span(start, end)
        known = base.execute("SELECT stamp FROM clip WHERE path = ?", (path,)).fetchone()
        there = Path(path).exists()
        if known is not None and known[0] == _clip_mark(store, audio, span) and there:
            base.execute("UPDATE final SET clip = ? WHERE id = ?", (path, name))
            continue
        if known is None and there and not overwrite:
            raise OutputError(
                f"{path}: asrlsa did not write this clip; move it, write elsewhere with -o, or --overwrite"
            )
        # Noted before it is written, so that a run that is killed knows its own clips again.
        base.execute("INSERT OR REPLACE INTO clip VALUES (?, '')", (path,))
        spans.append(span)
        paths.append(path)
        ids.append(name)
    store.commit()
    return CutTask(audio, tuple(spans), tuple(paths), tuple(ids))


def _clip_mark(store: Store, audio: str, span: Span) -> str:
    text = f"{audio}\n{store.recording_state(audio)}\n{span.start}\n{span.end}"
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _file_name(name: str) -> str:
    """Return an id as a path that every system can hold."""
    plain = "".join("_" if c in '<>:"\\|?*' or ord(c) < 32 else c for c in name)
    return "/".join("_" if part in (".", "..", "") else part for part in plain.split("/"))


def _lose(store: Store, name: str, error: str) -> None:
    """Take out a row whose clip could not be written whole."""
    row = store.base.execute("SELECT number FROM final WHERE id = ?", (name,)).fetchone()
    if row[0] is not None:
        reason, why = ("media damaged", error) if error else ("beyond the audio", "the recording ends inside it")
        store.drop_late(row[0], reason, why)
    store.base.execute("UPDATE final SET clip = '-' WHERE id = ?", (name,))
