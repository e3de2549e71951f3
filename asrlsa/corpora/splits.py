"""Train, dev and test: no speaker or file in two of them, each with its share of every group, role and age.

What hangs together goes to one part: with the split by speaker all recordings of a speaker, and all speakers of a
recording, so that a voice in the background is not heard on both sides either. The largest pieces are placed first,
each where it brings the shares nearest to what was asked for.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from asrlsa.corpora.candidates import SPLIT_NAMES
from asrlsa.corpora.settings import PrepareSettings
from asrlsa.corpora.store import Store
from asrlsa.errors import UsageError
from asrlsa.manifest import MANIFESTS

_TABLES = """
DROP TABLE IF EXISTS owner; DROP TABLE IF EXISTS place; DROP TABLE IF EXISTS piece;
CREATE TABLE owner (audio TEXT PRIMARY KEY, piece TEXT NOT NULL);
CREATE TABLE piece (piece TEXT NOT NULL, stratum TEXT NOT NULL, split TEXT NOT NULL, ms INTEGER NOT NULL);
CREATE INDEX piece_name ON piece (piece);
CREATE TABLE place (piece TEXT PRIMARY KEY, split TEXT NOT NULL);
"""


def split_corpus(store: Store, settings: PrepareSettings, given: Mapping[str, str] | None = None) -> list[str]:
    """Assign every recording that has rows to a part; the tables ``owner`` and ``place`` of the store then say which.

    Args:
        store: With judged recordings.
        settings: Kind of split, shares, seed.
        given: Speaker, recording or transcript -> part, from a split file.

    Returns:
        Remarks for the user: leaks of a given split, parts that stayed empty.

    Raises:
        UsageError: The corpus gives no split and one was asked for, or a split file leaves something out.
    """
    base = store.base
    base.executescript(_TABLES)
    has_source = base.execute("SELECT 1 FROM kept WHERE split != '' LIMIT 1").fetchone() is not None
    if settings.split == "source" and not has_source:
        raise UsageError("--split source: no row of the corpus says which part it belongs to; use speaker or file")
    by_source = given is None and has_source and settings.split in ("auto", "source")
    _own(store, by_file=settings.split == "file")
    base.execute(
        """INSERT INTO piece SELECT piece, stratum, kept.split, SUM(end - start) FROM kept JOIN owner USING (audio)
        WHERE number NOT IN (SELECT number FROM late) GROUP BY piece, stratum, kept.split"""
    )
    remarks: list[str] = []
    if given is not None:
        _place_given(store, given)
    elif by_source:
        remarks += _place_by_source(store, settings)
    else:
        _place_by_share(
            store, settings, {"train": 1 - settings.dev - settings.test, "dev": settings.dev, "test": settings.test}
        )
    empty = [name for name in MANIFESTS if not base.execute("SELECT 1 FROM place WHERE split = ?", (name,)).fetchone()]
    wanted = {"train": 1.0, "dev": settings.dev, "test": settings.test}
    for name in empty:
        if wanted[name] > 0 or given is not None:
            few = f"there are too few {'files' if settings.split == 'file' else 'speakers'}"
            remarks.append(f"{name} is empty: {few if given is None and not by_source else 'the given split has none'}")
    if base.execute("SELECT COUNT(*) FROM place").fetchone()[0] == 1 and (link := _link(store)):
        remarks.append(f"everything hangs together through {link}, so nothing can be split by speaker")
    base.commit()
    return remarks


def _own(store: Store, *, by_file: bool) -> None:
    """Fill ``owner``: recording -> piece that goes to one part as a whole."""
    base = store.base
    rows = "FROM kept WHERE number NOT IN (SELECT number FROM late)"
    if by_file:
        base.execute(f"INSERT INTO owner SELECT DISTINCT audio, 'recording ' || audio {rows}")
        return
    roots: dict[str, str] = {}

    def root(name: str) -> str:
        while (above := roots.get(name, name)) != name:
            roots[name] = name = roots.get(above, above)
        return name

    several = "GROUP BY audio HAVING MIN(speaker) != MAX(speaker)"
    query = f"SELECT audio, MIN(speaker), MAX(speaker) {rows} AND speaker != '' {several}"
    for audio, *_ in base.execute(query).fetchall():
        names = [
            n for (n,) in base.execute(f"SELECT DISTINCT speaker {rows} AND speaker != '' AND audio = ?", (audio,))
        ]
        ends = sorted({root(name) for name in names})
        for end in ends[1:]:
            roots[end] = ends[0]
    # A recording of nobody known stands for itself.
    query = f"SELECT audio, MAX(speaker) {rows} GROUP BY audio ORDER BY audio"
    found = ((audio, f"speaker {root(name)}" if name else f"recording {audio}") for audio, name in base.execute(query))
    base.executemany("INSERT INTO owner VALUES (?, ?)", found)


def _place_by_share(store: Store, settings: PrepareSettings, shares: Mapping[str, float], where: str = "") -> None:
    """Place pieces by share; ``where`` limits them to those of one part of the source."""
    base = store.base
    total: dict[str, int] = {}
    for stratum, ms in base.execute(f"SELECT stratum, SUM(ms) FROM piece {where} GROUP BY stratum"):
        total[stratum] = ms
    names = [name for name in MANIFESTS if shares.get(name, 0) > 0]
    filled: dict[tuple[str, str], int] = {}
    for piece, weights in _pieces(store, settings.seed, where):
        best = min(names, key=lambda name: (_cost(weights, name, filled, total, shares), -shares[name]))
        for stratum, ms in weights.items():
            filled[best, stratum] = filled.get((best, stratum), 0) + ms
        base.execute("INSERT OR REPLACE INTO place VALUES (?, ?)", (piece, best))
    _fill_empty(store, names, where)


def _cost(
    weights: Mapping[str, int],
    name: str,
    filled: Mapping[tuple[str, str], int],
    total: Mapping[str, int],
    shares: Mapping[str, float],
) -> float:
    """Return how much a piece would add to the squared distance from the shares, over strata and in all."""
    cost = 0.0
    for stratum, ms in weights.items():
        aim = shares[name] * total[stratum]
        cost += ms * (2 * (filled.get((name, stratum), 0) - aim) + ms) / aim / total[stratum]
    everything = shares[name] * sum(total.values())
    so_far = sum(ms for (part, _), ms in filled.items() if part == name)
    whole = sum(weights.values())
    return cost + whole * (2 * (so_far - everything) + whole) / everything / sum(total.values())


def _pieces(store: Store, seed: int, where: str) -> Iterator[tuple[str, dict[str, int]]]:
    """Yield pieces with their ms by stratum, the longest first, those of one length by chance."""
    base = store.base
    base.create_function("chance", 1, lambda name: chance(seed, name), deterministic=True)
    query = f"SELECT piece FROM piece {where} GROUP BY piece ORDER BY SUM(ms) DESC, chance(piece)"
    for (piece,) in base.execute(query):
        weights: dict[str, int] = {}
        for stratum, ms in base.execute(
            "SELECT stratum, SUM(ms) FROM piece WHERE piece = ? GROUP BY stratum", (piece,)
        ):
            weights[stratum] = ms
        yield piece, weights


def chance(seed: int, name: str) -> str:
    """Return a place in a shuffled order that depends on nothing but the seed and the name."""
    return hashlib.sha256(f"{seed}\n{name}".encode("utf-8", "surrogatepass")).hexdigest()


def _fill_empty(store: Store, names: Iterable[str], where: str) -> None:
    """Give an empty part the smallest piece of the part that has most pieces, where that has another."""
    base = store.base
    inside = f"piece IN (SELECT piece FROM piece {where})"
    for name in names:
        if base.execute(f"SELECT 1 FROM place WHERE split = ? AND {inside}", (name,)).fetchone():
            continue
        richest = base.execute(
            f"""SELECT split FROM place WHERE {inside} GROUP BY split HAVING COUNT(*) > 1
            ORDER BY COUNT(*) DESC, split LIMIT 1"""
        ).fetchone()
        if richest is not None:
            base.execute(
                f"""UPDATE place SET split = ? WHERE piece = (SELECT piece FROM place JOIN piece USING (piece)
                WHERE place.split = ? AND {inside} GROUP BY piece ORDER BY SUM(ms), piece LIMIT 1)""",
                (name, richest[0]),
            )


def _place_by_source(store: Store, settings: PrepareSettings) -> list[str]:
    """Take the parts of the corpus; where it has no dev, take one from its train by share."""
    base = store.base
    remarks = []
    mixed = base.execute(
        "SELECT COUNT(*) FROM (SELECT piece FROM piece GROUP BY piece HAVING COUNT(DISTINCT split) > 1)"
    ).fetchone()[0]
    if mixed:
        # Each recording then goes where the corpus puts it.
        remarks.append(
            f"the split of the corpus has {mixed} speakers in two parts; use --split speaker to keep them apart"
        )
        base.executescript("DELETE FROM owner; DELETE FROM piece;")
        base.execute(
            "INSERT INTO owner SELECT DISTINCT audio, audio FROM kept WHERE number NOT IN (SELECT number FROM late)"
        )
        base.execute(
            """INSERT INTO piece SELECT audio, stratum, MAX(split) OVER (PARTITION BY audio), end - start FROM kept
            WHERE number NOT IN (SELECT number FROM late)"""
        )
    base.execute("INSERT INTO place SELECT piece, MAX(split) FROM piece GROUP BY piece HAVING MAX(split) != ''")
    unplaced = base.execute(
        "SELECT COUNT(DISTINCT piece) FROM piece WHERE piece NOT IN (SELECT piece FROM place)"
    ).fetchone()[0]
    if unplaced:
        remarks.append(f"{unplaced} speakers or files have no part in the corpus and go to train")
        base.execute(
            "INSERT INTO place SELECT DISTINCT piece, 'train' FROM piece WHERE piece NOT IN (SELECT piece FROM place)"
        )
    if settings.dev > 0 and not base.execute("SELECT 1 FROM place WHERE split = 'dev'").fetchone():
        rest = "WHERE piece IN (SELECT piece FROM place WHERE split = 'train')"
        base.execute(f"CREATE TEMP TABLE IF NOT EXISTS in_train AS SELECT DISTINCT piece FROM piece {rest}")
        _place_by_share(
            store,
            settings,
            {"train": 1 - settings.dev, "dev": settings.dev},
            "WHERE piece IN (SELECT piece FROM in_train)",
        )
        base.execute("DROP TABLE in_train")
        remarks.append("the corpus has no dev: it was taken from its train, other speakers")
    return remarks


def _place_given(store: Store, given: Mapping[str, str]) -> None:
    """Place pieces as a split file says, by the names of their speakers, recordings or transcripts.

    Raises:
        UsageError: A piece is named in two parts or in none.
    """
    places: dict[str, tuple[str, str]] = {}
    query = """SELECT DISTINCT piece, speaker, kept.audio, source FROM kept JOIN owner USING (audio)
        WHERE number NOT IN (SELECT number FROM late) ORDER BY piece, speaker, kept.audio"""
    for piece, speaker, audio, source in store.base.execute(query):
        names = (speaker, audio, Path(audio).name, Path(audio).stem, source, Path(source).name, Path(source).stem)
        name = next((name for name in names if name and name in given), None)
        if name is None:
            continue
        before = places.setdefault(piece, (given[name], name))
        if before[0] != given[name]:
            raise UsageError(
                f"the split file puts {before[1]!r} in {before[0]} and {name!r} in {given[name]}, but they share a "
                "speaker or recording; put them in one part, or use --split file"
            )
    missing = store.base.execute("SELECT DISTINCT piece FROM piece ORDER BY piece").fetchall()
    for (piece,) in missing:
        if piece not in places:
            raise UsageError(f"the split file does not say where {piece} belongs; add a line for it")
    rows = ((piece, place[0]) for piece, place in places.items())
    store.base.executemany("INSERT INTO place VALUES (?, ?)", rows)


def _link(store: Store) -> str:
    """Return the speaker who stands in most recordings, where there are several."""
    row = store.base.execute(
        """SELECT speaker, COUNT(DISTINCT audio) AS many FROM kept WHERE speaker != '' GROUP BY speaker
        ORDER BY many DESC, speaker LIMIT 1"""
    ).fetchone()
    return f"speaker {row[0]!r} in {row[1]} recordings" if row is not None and row[1] > 1 else ""


def read_split_file(path: Path) -> dict[str, str]:
    """Read a split file: a name and a part on each line (TSV, CSV), or JSON of part -> names.

    Names are those of speakers, recordings or transcripts.

    Raises:
        UsageError: It can't be read, or a line has no part; the message names it.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--split-file {path}: can't be read ({error})") from None
    found: dict[str, str] = {}
    if text.lstrip().startswith("{"):
        try:
            pairs = [(str(n), part, 1) for part, names in json.loads(text).items() for n in names]
        except (ValueError, TypeError, AttributeError):
            raise UsageError(f'--split-file {path}: give JSON such as {{"train": ["a"], "test": ["b"]}}') from None
    else:
        separator = "\t" if "\t" in text else "," if "," in text else " "
        lines = enumerate(csv.reader(io.StringIO(text), delimiter=separator, skipinitialspace=True), 1)
        rows = [([cell.strip() for cell in cells if cell.strip()], number) for number, cells in lines]
        pairs = [(cells[0], cells[-1], number) for cells, number in rows if cells]
    for name, part, number in pairs:
        split = SPLIT_NAMES.get(part.lower())
        if split is None:
            if number == 1 and not found:
                continue  # the names of the columns
            raise UsageError(f"--split-file {path}:{number}: {part!r} is no part; give train, dev or test")
        if found.setdefault(name, split) != split:
            raise UsageError(f"--split-file {path}:{number}: {name!r} stands in two parts")
    if not found:
        raise UsageError(f"--split-file {path}: has no lines; give a name and train, dev or test on each")
    return found
