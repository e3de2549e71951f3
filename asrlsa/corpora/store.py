"""What is known of a corpus, in a file of the data folder: a second run does only what changed, and memory stays small.

The file holds nothing that can't be made again from the corpus. It is an SQLite database; a run that is killed leaves
the state of its last commit.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType

from asrlsa.corpora import ages
from asrlsa.corpora.candidates import Candidate
from asrlsa.corpora.gates import Judgement
from asrlsa.errors import OutputError
from asrlsa.types import Milliseconds, Span

STORE_NAME = ".asrlsa-prepare.sqlite"
_SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE source (path TEXT PRIMARY KEY, stamp TEXT NOT NULL, asked TEXT NOT NULL, found TEXT NOT NULL);
CREATE TABLE failed (path TEXT PRIMARY KEY, message TEXT NOT NULL);
CREATE TABLE candidate (
    number INTEGER PRIMARY KEY, source TEXT NOT NULL, audio TEXT NOT NULL, line INTEGER NOT NULL, data TEXT NOT NULL);
CREATE INDEX candidate_audio ON candidate (audio, source, line, number);
CREATE INDEX candidate_source ON candidate (source);
CREATE TABLE recording (
    audio TEXT PRIMARY KEY, stamp TEXT NOT NULL, state TEXT NOT NULL, size INTEGER NOT NULL, length INTEGER NOT NULL,
    print TEXT NOT NULL DEFAULT '');
CREATE TABLE kept (
    number INTEGER PRIMARY KEY, audio TEXT NOT NULL, start INTEGER NOT NULL, end INTEGER NOT NULL,
    joins INTEGER NOT NULL, source TEXT NOT NULL, speaker TEXT NOT NULL, stratum TEXT NOT NULL, split TEXT NOT NULL);
CREATE INDEX kept_audio ON kept (audio, start, end, number);
CREATE TABLE dropped (number INTEGER PRIMARY KEY, audio TEXT NOT NULL, reason TEXT NOT NULL, detail TEXT NOT NULL);
CREATE INDEX dropped_audio ON dropped (audio);
CREATE TABLE late (number INTEGER PRIMARY KEY, reason TEXT NOT NULL, detail TEXT NOT NULL);
CREATE TABLE calm (audio TEXT NOT NULL, start INTEGER NOT NULL, end INTEGER NOT NULL);
CREATE INDEX calm_audio ON calm (audio);
CREATE TABLE heard (key TEXT PRIMARY KEY, errors REAL NOT NULL);
CREATE TABLE clip (path TEXT PRIMARY KEY, stamp TEXT NOT NULL);
CREATE TABLE written (name TEXT NOT NULL, sum TEXT NOT NULL);
"""
_CACHE_KIB = 16_384
_MANY = 500


class Store:
    """One data folder's database; use as a context."""

    def __init__(self, folder: Path) -> None:
        """Open it; one that is damaged or of another version of asrlsa is made anew.

        Raises:
            OutputError: The folder can't be written.
        """
        self.path = folder / STORE_NAME
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self.base = self._opened()
        except (OSError, sqlite3.OperationalError) as error:
            raise OutputError(f"{folder}: can't be written ({error}); write elsewhere with -o") from None

    def _opened(self) -> sqlite3.Connection:
        for _ in range(2):
            base = sqlite3.connect(self.path)
            try:
                version = base.execute("PRAGMA user_version").fetchone()[0]
                if version == _SCHEMA_VERSION and base.execute("PRAGMA quick_check(1)").fetchone()[0] == "ok":
                    break
                if version == 0 and not base.execute("SELECT 1 FROM sqlite_master").fetchone():
                    base.executescript(f"{_SCHEMA}PRAGMA user_version = {_SCHEMA_VERSION};")
                    break
            except sqlite3.DatabaseError as error:
                if isinstance(error, sqlite3.OperationalError):
                    raise
            base.close()
            self.path.unlink()
        base.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        base.execute("PRAGMA temp_store = FILE")
        return base

    def __enter__(self) -> Store:
        """Return the store."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Keep what is finished and close."""
        self.base.commit()
        self.base.close()

    def commit(self) -> None:
        """Make what was put in last."""
        self.base.commit()

    # Sources

    def source(self, path: str) -> tuple[str, str, str] | None:
        """Return stamp, media name that was looked for and recording that was found, or None."""
        row = self.base.execute("SELECT stamp, asked, found FROM source WHERE path = ?", (path,)).fetchone()
        return tuple(row) if row is not None else None

    def forget_source(self, path: str) -> None:
        """Take out a source with all that came of it."""
        touched = "SELECT DISTINCT audio FROM candidate WHERE source = ?"
        self.base.execute(f"UPDATE recording SET stamp = '' WHERE audio IN ({touched})", (path,))
        for table in ("kept", "dropped"):
            self.base.execute(
                f"DELETE FROM {table} WHERE number IN (SELECT number FROM candidate WHERE source = ?)", (path,)
            )
        self.base.execute("DELETE FROM candidate WHERE source = ?", (path,))
        self.base.execute("DELETE FROM source WHERE path = ?", (path,))
        self.base.execute("DELETE FROM failed WHERE path = ?", (path,))

    def add_candidates(self, source: str, candidates: Iterable[Candidate]) -> bool:
        """Add utterances of a source; returns whether the recording of any was missing."""
        missing = False

        def rows() -> Iterator[tuple[str, str, int, str]]:
            nonlocal missing
            for candidate in candidates:
                missing = missing or not candidate.audio
                yield source, candidate.audio, candidate.line or 0, candidate.to_json()

        self.base.executemany("INSERT INTO candidate (source, audio, line, data) VALUES (?, ?, ?, ?)", rows())
        return missing

    def finish_source(self, path: str, stamp: str, asked: str = "", found: str = "") -> None:
        """Note that a source was read; an empty stamp reads it again next time."""
        self.base.execute("INSERT OR REPLACE INTO source VALUES (?, ?, ?, ?)", (path, stamp, asked, found))

    def fail_source(self, path: str, message: str) -> None:
        """Note that a source can't be read."""
        self.base.execute("INSERT OR REPLACE INTO failed VALUES (?, ?)", (path, message))

    def failures(self) -> list[tuple[str, str]]:
        """Return the sources that can't be read, with why."""
        return list(self.base.execute("SELECT path, message FROM failed ORDER BY path"))

    def keep_sources(self, paths: Iterable[str]) -> None:
        """Forget every source that is not among ``paths``."""
        wanted = set(paths)
        known = [*self.base.execute("SELECT path FROM source"), *self.base.execute("SELECT path FROM failed")]
        for (path,) in known:
            if path not in wanted:
                self.forget_source(path)

    # Recordings

    def recordings(self) -> Iterator[tuple[str, list[tuple[int, str]]]]:
        """Yield every recording with the numbers and values of its utterances, in the order of their sources.

        Utterances without a recording come in parts, so that memory stays small.
        """
        query = "SELECT audio, number, data FROM candidate ORDER BY audio, source, line, number"
        audio: str | None = None
        held: list[tuple[int, str]] = []
        for name, number, data in self.base.execute(query):
            if held and (name != audio or (not audio and len(held) >= _MANY)):
                yield audio or "", held
                held = []
            audio = name
            held.append((number, data))
        if held:
            yield audio or "", held

    def recording_stamp(self, audio: str) -> str:
        """Return the stamp of a recording that was judged, or an empty string."""
        row = self.base.execute("SELECT stamp FROM recording WHERE audio = ?", (audio,)).fetchone()
        return str(row[0]) if row is not None else ""

    def recording_state(self, audio: str) -> str:
        """Return size and time of change of a recording, as they were when it was judged."""
        row = self.base.execute("SELECT state FROM recording WHERE audio = ?", (audio,)).fetchone()
        return str(row[0]) if row is not None else ""

    def put_judgement(
        self,
        audio: str,
        stamp: str,
        state: str,
        found: Judgement,
        calm: Sequence[Span],
        candidates: dict[int, Candidate],
    ) -> None:
        """Replace what is known of a recording."""
        numbers = [(number,) for number in candidates]
        for table in ("kept", "dropped"):
            self.base.executemany(f"DELETE FROM {table} WHERE number = ?", numbers)
        self.base.execute("DELETE FROM calm WHERE audio = ?", (audio,))
        if audio:
            self.base.execute(
                "INSERT OR REPLACE INTO recording (audio, stamp, state, size, length) VALUES (?, ?, ?, ?, ?)",
                (audio, stamp, state, int(state.partition(" ")[0] or 0) if state != "none" else 0, found.length),
            )
        kept = []
        for k in found.kept:
            c = candidates[k.number]
            stratum = "|".join((c.group, c.role, ages.band(c.age)))
            kept.append((k.number, audio, k.start, k.end, k.joins, c.source, c.speaker, stratum, c.split))
        self.base.executemany("INSERT INTO kept VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", kept)
        self.base.executemany(
            "INSERT INTO dropped VALUES (?, ?, ?, ?)", [(d.number, audio, d.reason, d.detail) for d in found.dropped]
        )
        self.base.executemany("INSERT INTO calm VALUES (?, ?, ?)", [(audio, s.start, s.end) for s in calm])

    def drop_orphans(self) -> None:
        """Forget recordings that no source has any more."""
        self.base.execute("DELETE FROM recording WHERE audio NOT IN (SELECT DISTINCT audio FROM candidate)")
        self.base.execute("DELETE FROM calm WHERE audio NOT IN (SELECT audio FROM recording)")

    # Rows

    def candidate(self, number: int) -> Candidate:
        """Return one utterance."""
        row = self.base.execute("SELECT data FROM candidate WHERE number = ?", (number,)).fetchone()
        return Candidate.from_json(row[0])

    def drop_late(self, number: int, reason: str, detail: str) -> None:
        """Leave out an utterance that its recording alone had nothing against."""
        self.base.execute("INSERT OR IGNORE INTO late VALUES (?, ?, ?)", (number, reason, detail))

    def twins(self) -> Iterator[list[tuple[str, str]]]:
        """Yield recordings of the same size, as path and the sum noted (which may be empty)."""
        query = """SELECT size, audio, print FROM recording WHERE size IN
            (SELECT size FROM recording WHERE size > 0 GROUP BY size HAVING COUNT(*) > 1) ORDER BY size, audio"""
        size: int | None = None
        held: list[tuple[str, str]] = []
        for row in self.base.execute(query).fetchall():
            if held and row[0] != size:
                yield held
                held = []
            size = row[0]
            held.append((row[1], row[2]))
        if held:
            yield held

    def note_print(self, audio: str, digest: str) -> None:
        """Note the sum of a recording."""
        self.base.execute("UPDATE recording SET print = ? WHERE audio = ?", (digest, audio))

    def kept_of(self, audio: str) -> list[tuple[int, Milliseconds, Milliseconds]]:
        """Return number, begin and end of the utterances of a recording that are still used."""
        query = """SELECT number, start, end FROM kept WHERE audio = ? AND number NOT IN (SELECT number FROM late)
            ORDER BY start, end, number"""
        return list(self.base.execute(query, (audio,)))
