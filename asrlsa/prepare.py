"""The prepare verb: a corpus in, manifests to train on out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path

from asrlsa.corpora.candidates import Candidate
from asrlsa.corpora.checking import check_data, sum_of
from asrlsa.corpora.clips import audio_segment
from asrlsa.corpora.discover import discover
from asrlsa.corpora.gates import REASONS
from asrlsa.corpora.matching import check_matches
from asrlsa.corpora.report import Report, to_html
from asrlsa.corpora.rows import build_rows, cut_clips, drop_copies, rows_of
from asrlsa.corpora.settings import PrepareSettings
from asrlsa.corpora.splits import read_split_file, split_corpus
from asrlsa.corpora.stages import judge_recordings, read_sources
from asrlsa.corpora.statistics import Part
from asrlsa.corpora.store import Store
from asrlsa.errors import OutputError, UsageError
from asrlsa.manifest import MANIFESTS, SUMMARY_NAME, Row, write_rows
from asrlsa.output import atomic_writer, claim, write_atomic
from asrlsa.types import Milliseconds

__all__ = ["DROPPED_NAME", "REPORT_NAME", "Listener", "PrepareSettings", "Report", "check_data", "prepare"]

DROPPED_NAME = "dropped.jsonl"
REPORT_NAME = "report.html"
_CLIPS = "clips"


class Listener:
    """Hears what a run does. Every method does nothing; a user interface overrides what it shows."""

    def progress(self, what: str, done: int, total: int) -> None:
        """``done`` of ``total`` things are finished; ``what`` says which things, such as ``sources read``."""

    def length(self, ms: Milliseconds) -> None:
        """A recording of ``ms`` was judged."""

    def note(self, text: str) -> None:
        """A source can't be read."""


@dataclass(slots=True)
class _Run:
    """One call of `prepare`."""

    paths: list[Path]
    out: Path
    settings: PrepareSettings
    media: list[Path]
    split_file: Path | None
    jobs: int
    overwrite: bool
    offline: bool
    html: bool
    listener: Listener
    report: Report = field(default_factory=Report)

    def go(self, store: Store) -> Report:
        """Read, judge, split, write."""
        self._look_at_results(store)
        settings = self.settings
        corpus = discover(self.paths, settings.format, media=self.media, out=self.out)
        self.report.remarks += corpus.notes
        listener = self.listener
        read_sources(corpus, store, settings, jobs=self.jobs, progress=listener.progress, note=listener.note)
        self.report.failures = store.failures()
        judge_recordings(store, settings, jobs=self.jobs, progress=listener.progress, duration=listener.length)
        store.base.execute("DELETE FROM late")
        drop_copies(store)
        if settings.check_model is not None:
            check_matches(store, settings, offline=self.offline, threads=max(0, self.jobs), progress=listener.progress)
        given = read_split_file(self.split_file) if self.split_file is not None else None
        self.report.remarks += split_corpus(store, settings, given)
        build_rows(store, settings)
        if settings.cut:
            cut_clips(store, self.out / _CLIPS, jobs=self.jobs, overwrite=self.overwrite, progress=listener.progress)
        self._count(store)
        self._write(store)
        return self.report

    def _look_at_results(self, store: Store) -> None:
        """Refuse to replace what asrlsa did not write, or what was made of another corpus.

        Raises:
            OutputError: There is such a file.
        """
        if self.overwrite:
            return
        ours = set(store.base.execute("SELECT name, sum FROM written"))
        for name in (*(f"{part}.jsonl" for part in MANIFESTS), SUMMARY_NAME, DROPPED_NAME, REPORT_NAME):
            path = self.out / name
            if path.exists() and (name, sum_of(path)) not in ours:
                raise OutputError(
                    f"{path}: asrlsa prepare did not write this, or it was changed since; write elsewhere with -o, or "
                    "replace it with --overwrite"
                )
        summary = self.out / SUMMARY_NAME
        if summary.exists():
            before = json.loads(summary.read_text(encoding="utf-8"))["corpus"]
            if before != self._names():
                raise OutputError(
                    f"{self.out}: was prepared from {', '.join(before)}; write elsewhere with -o, or --overwrite"
                )

    def _names(self) -> list[str]:
        return [str(path.resolve()) for path in self.paths]

    def _count(self, store: Store) -> None:
        base = store.base
        self.report.utterances = base.execute("SELECT COUNT(*) FROM candidate").fetchone()[0]
        for table in ("dropped", "late"):
            for reason, many in base.execute(f"SELECT reason, COUNT(*) FROM {table} GROUP BY reason"):
                self.report.dropped[reason] += many

    def _write(self, store: Store) -> None:
        """Write everything beside its place first; then put all in place at once."""
        sums: dict[str, str] = {}
        for name in MANIFESTS:
            self.report.parts[name] = Part()
            write_rows(self._new(f"{name}.jsonl"), self._rows(store, name))
        if not any(part.rows for part in self.report.parts.values()):
            self._clear()
            raise UsageError(_nothing_left(self.report))
        with atomic_writer(self._new(DROPPED_NAME)) as file:
            for line in _dropped(store):
                file.write(line + "\n")
        names = [*(f"{part}.jsonl" for part in MANIFESTS), DROPPED_NAME]
        # A page of an earlier run would speak of other data.
        if self.html or (self.out / REPORT_NAME).exists():
            from asrlsa import __version__

            title = f"asrlsa prepare: {', '.join(path.name or str(path) for path in self.paths)}"
            write_atomic(self._new(REPORT_NAME), to_html(self.report, version=__version__, title=title))
            names.append(REPORT_NAME)
        for name in names:
            sums[name] = sum_of(self._new(name))
        write_atomic(self._new(SUMMARY_NAME), self._summary(sums))
        sums[SUMMARY_NAME] = sum_of(self._new(SUMMARY_NAME))
        # Noted first: should this run end between two files, the next one knows both as its own.
        store.base.executemany("INSERT INTO written VALUES (?, ?)", list(sums.items()))
        store.commit()
        for name in (*names, SUMMARY_NAME):
            self._new(name).replace(self.out / name)
        store.base.execute("DELETE FROM written")
        store.base.executemany("INSERT INTO written VALUES (?, ?)", list(sums.items()))
        store.commit()

    def _new(self, name: str) -> Path:
        return self.out / f".asrlsa-new-{name}"

    def _clear(self) -> None:
        for name in MANIFESTS:
            self._new(f"{name}.jsonl").unlink(missing_ok=True)

    def _rows(self, store: Store, name: str) -> Iterator[Row]:
        part = self.report.parts[name]
        for written in rows_of(store, self.settings, name):
            part.add(written)
            yield written.row

    def _summary(self, sums: dict[str, str]) -> str:
        from asrlsa import __version__

        parts = {
            name: {
                "rows": part.rows,
                "seconds": part.ms / 1000,
                "words": part.words,
                "speakers": len(part.speakers) - ("" in part.speakers),
                "recordings": part.recordings,
                "noise_rows": part.noise_rows,
                "noise_seconds": part.noise_ms / 1000,
                "disfluencies": dict(sorted(part.events.items())),
            }
            for name, part in self.report.parts.items()
        }
        values = {
            "asrlsa": __version__,
            "corpus": self._names(),
            "settings": self.settings.as_dict(),
            "split_file": str(self.split_file) if self.split_file is not None else None,
            "parts": parts,
            "utterances": self.report.utterances,
            "dropped": {reason: self.report.dropped[reason] for reason in REASONS if self.report.dropped[reason]},
            "failures": [{"source": path, "why": why} for path, why in self.report.failures],
            "remarks": self.report.remarks,
            "sums": sums,
        }
        return json.dumps(values, ensure_ascii=False, indent=2) + "\n"


def prepare(
    corpus: Sequence[str | PathLike[str]] | str | PathLike[str],
    out: str | PathLike[str],
    settings: PrepareSettings | None = None,
    *,
    media: Sequence[str | PathLike[str]] = (),
    split_file: str | PathLike[str] | None = None,
    jobs: int = 1,
    overwrite: bool = False,
    offline: bool = False,
    html: bool = False,
    listener: Listener | None = None,
) -> Report:
    """Make a data folder of a corpus.

    It holds ``train.jsonl``, ``dev.jsonl``, ``test.jsonl``, ``dropped.jsonl`` and ``prepare.json``. The recordings stay
    where they are, unless the settings ask for clips. What a run before has done, and has not changed, is not done
    again.

    Args:
        corpus: Folders, transcripts or tables.
        out: The data folder.
        settings: Choices and bounds.
        media: More folders with recordings.
        split_file: Which speaker, recording or transcript belongs to which part.
        jobs: Processes. More than 1 needs a main module that can be imported, as all multiprocessing.
        overwrite: Replace files that this verb did not write, and data of another corpus.
        offline: Never ask a model hub for the model that checks.
        html: Write ``report.html`` too.
        listener: Hears about progress.

    Returns:
        Counts of what was kept and left out.

    Raises:
        UsageError: There is nothing to read, or nothing is left.
        OutputError: The data folder can't be written, or holds what is not asrlsa's.
        ModelError: The model that checks can't be loaded.
    """
    given = [corpus] if isinstance(corpus, (str, PathLike)) else list(corpus)
    folder = Path(out).absolute()
    chosen = settings or PrepareSettings()
    if chosen.cut:
        audio_segment()  # says at once what is missing
    run = _Run(
        [Path(path) for path in given],
        folder,
        chosen,
        [Path(path) for path in media],
        Path(split_file) if split_file is not None else None,
        jobs,
        overwrite,
        offline,
        html,
        listener or Listener(),
    )
    for path in run.paths:
        if not path.exists():
            raise UsageError(f"{path}: no such file or folder")
    with claim(folder / SUMMARY_NAME) as mine:
        if not mine:
            raise OutputError(
                f"{folder}: another run is preparing this folder; wait for it, or write elsewhere with -o"
            )
        with Store(folder) as store:
            return run.go(store)


def _dropped(store: Store) -> Iterator[str]:
    """Yield a line of JSON for every utterance that was left out, by source and line; no text is in it."""
    query = """SELECT source, line, reason, detail, data FROM
        (SELECT number, reason, detail FROM dropped UNION ALL SELECT number, reason, detail FROM late)
        JOIN candidate USING (number) ORDER BY source, line, number"""
    for source, line, reason, detail, data in store.base.execute(query):
        c = Candidate.from_json(data)
        values: dict[str, object] = {
            "source": f"{source}:{line}" if line else source,
            "reason": reason,
            "detail": detail,
        }
        if c.audio:
            values["audio"] = c.audio
        if c.start is not None:
            values["start"] = c.start / 1000
        if c.end is not None:
            values["end"] = c.end / 1000
        if c.code:
            values["speaker"] = c.code
        yield json.dumps(values, ensure_ascii=False)


def _nothing_left(report: Report) -> str:
    most = ", ".join(f"{many} {reason}" for reason, many in report.dropped.most_common(3))
    if not report.utterances:
        why = report.failures[0][1] if report.failures else "it holds no utterances"
        return f"nothing can be prepared: {why}"
    return f"nothing is left of {report.utterances} utterances ({most}); see the bounds in asrlsa prepare --help"
