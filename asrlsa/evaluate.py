"""Score transcripts against references: words, disfluencies, speakers, times and language-sample measures."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any

from asrlsa.errors import AsrlsaError, UsageError
from asrlsa.scoring.metrics import METRICS, add_up, figures
from asrlsa.scoring.normalise import DEFAULT_STEPS, policy
from asrlsa.scoring.pairs import Pair, Source, pair_up
from asrlsa.scoring.samples import Sample, empty_sample
from asrlsa.scoring.scores import DEFAULT_POLICIES, SEGMENT_TESTED, Evaluation, FileScores, score_pair
from asrlsa.scoring.statistics import RESAMPLES, Comparison, compare, intervals, mapsswe, segment_differences

__all__ = ["DEFAULT_POLICIES", "Evaluation", "FileScores", "evaluate", "score_pair"]

Listener = Callable[[str], None]


def evaluate(
    hypothesis: str | PathLike[str],
    reference: str | PathLike[str],
    *,
    policies: Sequence[str] = DEFAULT_POLICIES,
    steps: Sequence[str] = DEFAULT_STEPS,
    compare_with: str | PathLike[str] | None = None,
    language: str = "",
    where: Mapping[str, str] | None = None,
    allow_missing: bool = False,
    collar: int = 0,
    resamples: int = RESAMPLES,
    seed: int = 0,
    view: bool = False,
    listener: Listener | None = None,
) -> Evaluation:
    """Score transcripts against references.

    Args:
        hypothesis: A file, a folder or a JSONL manifest; CHAT, text, SRT or WebVTT.
        reference: As above.
        policies: Names of word policies (:data:`asrlsa.scoring.normalise.POLICIES`); ``verbatim`` is always scored.
        steps: Names of normalisation steps (:data:`asrlsa.scoring.normalise.STEPS`) of verbatim, fluent and cer, in
            the order in which they are to be applied.
        compare_with: Another set of hypotheses for the same references, for a paired significance test.
        language: ISO 639-3 code (``eng``; ``en`` will do) of files that do not name their language. Without it they
            have that of the file they are paired with, and English where that names none either.
        where: For manifests: fields that a line must have.
        allow_missing: Score a missing hypothesis as all deletions instead of refusing.
        collar: Ms around reference turns that the diarization error leaves out.
        resamples: Bootstrap draws; 0 for no intervals.
        seed: Seed of the draws.
        view: Keep the side-by-side view of every utterance, for the HTML report.
        listener: Called with the name of each pair when it has been scored.

    Returns:
        All scores.

    Raises:
        UsageError: A path does not exist, files can't be paired, or a policy or step is unknown.
    """
    chosen = tuple(dict.fromkeys(("verbatim", *policies)))
    for name in chosen:
        policy(name, steps)
    language = _known(language)
    paths = Path(hypothesis), Path(reference)
    pairs, left_out = pair_up(*paths, where=where, allow_missing=allow_missing)
    others = _others(compare_with, paths[1], pairs, where, allow_missing)
    failures: list[tuple[str, str]] = []
    files, rivals = [], []
    cut_short: dict[str, None] = {}
    settings: dict[str, Any] = {"steps": tuple(steps), "collar": collar, "slots": compare_with is not None}
    for pair in pairs:
        with _without_cycle_search():
            ours, theirs = _read_pair(pair, language, failures)
            if ours is None:
                continue
            files.append(score_pair(ours, theirs, chosen, view=view, **settings))
            read = [ours, theirs]
            if compare_with is not None:
                rival = _read(others.get(pair.name), ours.language, failures) or empty_sample(ours)
                rivals.append(score_pair(ours, rival, chosen, **settings))
                read.append(rival)
            cut_short |= dict.fromkeys(sample.source for sample in read if not sample.ended)
        if listener is not None:
            listener(pair.name)
    if not files:
        path, message = failures[0]
        raise UsageError(
            f"no file could be scored; the first failure: {message if path in message else path + ': ' + message}"
        )
    sums = [file.sums for file in files]
    names = _figure_names(chosen)
    return Evaluation(
        files=files,
        scores=figures(add_up(sums), names),
        intervals=intervals(sums, names, resamples=resamples, seed=seed) if resamples else dict.fromkeys(names),
        policies=chosen,
        steps=tuple(steps),
        collar=collar,
        failures=failures,
        missing=[pair.name for pair in pairs if pair.hypothesis is None],
        left_out=left_out,
        cut_short=list(cut_short),
        comparison=_compare(files, rivals, names, resamples or RESAMPLES, seed) if rivals else [],
        resamples=resamples,
        seed=seed,
    )


@contextmanager
def _without_cycle_search() -> Iterator[None]:
    """Keep Python from searching the many small values of a pair for cycles: they have none, and it costs much time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _others(
    path: str | PathLike[str] | None,
    reference: Path,
    pairs: Sequence[Pair],
    where: Mapping[str, str] | None,
    allow_missing: bool,
) -> dict[str, Source | None]:
    """Pair the other set of hypotheses with the same references."""
    if path is None:
        return {}
    made, _ = pair_up(Path(path), reference, where=where, allow_missing=allow_missing)
    found = {(pair.reference.path, Path(pair.reference.name).name): pair.hypothesis for pair in made}
    return {pair.name: found.get((pair.reference.path, Path(pair.reference.name).name)) for pair in pairs}


def _known(language: str) -> str:
    """Return a language as ISO 639-3, or an empty string where none is given.

    Raises:
        UsageError: It is no code of three letters, and not one of two letters that Whisper knows.
    """
    from asrlsa.language.codes import iso639_3

    code = language.strip().lower()
    try:
        return iso639_3(code) if code else ""
    except KeyError:
        if len(code) == 3 and code.isascii() and code.isalpha():
            return code
        raise UsageError(f"--language {language!r}: give three letters of ISO 639-3, such as eng or spa") from None


def _read_pair(pair: Pair, language: str, failures: list[tuple[str, str]]) -> tuple[Sample | None, Sample]:
    """Read both sides, the one that names its language first; one that names none is read in that of the other."""
    if pair.hypothesis is not None and pair.hypothesis.named and not pair.reference.named and not language:
        theirs = _read(pair.hypothesis, "eng", failures)
        ours = _read(pair.reference, theirs.language if theirs else "eng", failures)
    else:
        ours = _read(pair.reference, language or "eng", failures)
        theirs = _read(pair.hypothesis, language or (ours.language if ours else "eng"), failures) if ours else None
    return ours, theirs or empty_sample(ours or Sample(pair.name, ()))


def _read(source: Source | None, language: str, failures: list[tuple[str, str]]) -> Sample | None:
    """Read a sample; note a failure and return None where it can't be read."""
    if source is None:
        return None
    try:
        return source.read(language)
    except (AsrlsaError, OSError) as error:
        failures.append((str(source.path), str(error)))
        return None


def _figure_names(policies: Iterable[str]) -> list[str]:
    """Return the metrics that are reported: those of the chosen policies, and all that are no policy's."""
    rates = {"fluent": "fluent_wer", "cer": "cer", "batchalign": "batchalign_wer", "raw": "raw_wer"}
    off = {metric for name, metric in rates.items() if name not in policies}
    return [name for name in METRICS if name not in off]


def _compare(
    files: Sequence[FileScores], rivals: Sequence[FileScores], names: Sequence[str], resamples: int, seed: int
) -> list[Comparison]:
    """Test every headline figure by paired bootstrap, and word errors by MAPSSWE too."""
    sums = [f.sums for f in files], [f.sums for f in rivals]
    headline = [name for name in names if not name.endswith(("_precision", "_recall"))]
    found = compare(*sums, headline, resamples=resamples, seed=seed)
    values = {c.name: (c.first, c.second) for c in found}
    for name, metric in SEGMENT_TESTED.items():
        if metric in values and all(name in f.slots for f in files):
            differences = [
                d
                for ours, theirs in zip(files, rivals, strict=True)
                for d in segment_differences(ours.slots[name], theirs.slots[name])
            ]
            found.append(mapsswe(metric, differences, values[metric]))
    return [c for c in found if c.first is not None or c.second is not None]
