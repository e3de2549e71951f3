"""Score transcripts against references: words, disfluencies, speakers, times and language-sample measures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path

from asrlsa.errors import AsrlsaError, UsageError
from asrlsa.scoring.agreement import MeasurePair, pair_measures
from asrlsa.scoring.align import Counts
from asrlsa.scoring.boundaries import Boundaries, score_boundaries
from asrlsa.scoring.events import EventCounts, score_events
from asrlsa.scoring.metrics import METRICS, Sums, add_up, count_sums, event_sums, figures
from asrlsa.scoring.normalise import POLICIES, policy
from asrlsa.scoring.pairs import Pair, Source, pair_up
from asrlsa.scoring.samples import Sample, empty_sample
from asrlsa.scoring.speakers import Diarization, score_diarization, score_speakers, turns
from asrlsa.scoring.statistics import (
    RESAMPLES,
    Comparison,
    compare,
    error_slots,
    intervals,
    mapsswe,
    segment_differences,
)
from asrlsa.scoring.view import Row, side_by_side
from asrlsa.scoring.words import by_class, by_participant, confusions, score_words

DEFAULT_POLICIES = ("verbatim", "fluent", "cer", "batchalign")

# Word scores for which --compare also runs MAPSSWE.
_SEGMENT_TESTED = {"verbatim": "wer", "fluent": "fluent_wer"}


@dataclass(frozen=True, slots=True)
class FileScores:
    """Everything found in one pair of files.

    Attributes:
        name: Name of the pair.
        reference: Path of the reference.
        hypothesis: Path of the hypothesis; empty where it is missing.
        counts: Word scores by policy.
        classes: Verbatim word scores by word class.
        participants: Verbatim word scores by participant.
        confusions: Substituted, deleted and inserted words.
        kinds: Event counts by disfluency type.
        relaxed: Event counts when the type is forgiven.
        spelt_only: Whether a side without codes limits the types to those that spelling shows.
        mapping: Hypothesis speaker → participant.
        attributed: Word scores with speakers (cpWER); None where a side names no speakers.
        diarization: Diarization error; None where a side has no times or names no speakers.
        boundaries: Word time differences.
        measures: Language-sample measures of each participant.
        sums: What the figures are computed from.
        slots: Errors at each reference word by policy, for a comparison.
        rows: Side-by-side view; empty unless it was asked for.
        media: Name of the recording, where a file names it.
    """

    name: str
    reference: str
    hypothesis: str
    counts: dict[str, Counts]
    classes: dict[str, Counts]
    participants: dict[str, Counts]
    confusions: Counter[tuple[str, str]]
    kinds: dict[str, EventCounts]
    relaxed: EventCounts
    spelt_only: bool
    mapping: dict[str, str]
    attributed: Counts | None
    diarization: Diarization | None
    boundaries: Boundaries
    measures: list[MeasurePair]
    sums: Sums
    slots: dict[str, list[int]] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    media: str = ""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The result of one evaluation.

    Attributes:
        files: Scores of every pair, in order of their names.
        scores: Every figure over all files; percentages, or ms for word times; None where it can't be computed.
        intervals: 95 % bootstrap intervals of the figures, by file.
        policies: Policies that were scored.
        collar: Collar of the diarization error in ms.
        failures: ``(file, message)`` of files that could not be read.
        missing: References without hypothesis, scored as all deletions.
        left_out: Hypotheses without reference.
        comparison: Tests against another set of hypotheses.
        resamples: Bootstrap draws.
        seed: Seed of the draws.
    """

    files: list[FileScores]
    scores: dict[str, float | None]
    intervals: dict[str, tuple[float, float] | None]
    policies: tuple[str, ...]
    collar: int
    failures: list[tuple[str, str]]
    missing: list[str]
    left_out: list[str]
    comparison: list[Comparison]
    resamples: int
    seed: int


Listener = Callable[[str], None]


def evaluate(
    hypothesis: str | PathLike[str],
    reference: str | PathLike[str],
    *,
    policies: Sequence[str] = DEFAULT_POLICIES,
    compare_with: str | PathLike[str] | None = None,
    language: str = "eng",
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
        compare_with: Another set of hypotheses for the same references, for a paired significance test.
        language: ISO 639-3 code for formats that do not name their language.
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
        UsageError: A path does not exist, files can't be paired, or a policy is unknown.
    """
    chosen = tuple(dict.fromkeys(("verbatim", *policies)))
    for name in chosen:
        policy(name)
    paths = Path(hypothesis), Path(reference)
    pairs, left_out = pair_up(*paths, language=language, where=where, allow_missing=allow_missing)
    others = _others(compare_with, paths[1], pairs, language, where, allow_missing)
    failures: list[tuple[str, str]] = []
    files, rivals = [], []
    for pair in pairs:
        ours = _read(pair.reference, failures)
        if ours is None:
            continue
        theirs = _read(pair.hypothesis, failures) or empty_sample(ours)
        files.append(score_pair(ours, theirs, chosen, collar=collar, view=view, slots=compare_with is not None))
        if compare_with is not None:
            rival = _read(others.get(pair.name), failures) or empty_sample(ours)
            rivals.append(score_pair(ours, rival, chosen, collar=collar, slots=True))
        if listener is not None:
            listener(pair.name)
    if not files:
        raise UsageError(f"no file could be scored; the first failure: {failures[0][0]}: {failures[0][1]}")
    sums = [file.sums for file in files]
    names = _figure_names(chosen)
    return Evaluation(
        files=files,
        scores=figures(add_up(sums), names),
        intervals=intervals(sums, names, resamples=resamples, seed=seed) if resamples else dict.fromkeys(names),
        policies=chosen,
        collar=collar,
        failures=failures,
        missing=[pair.name for pair in pairs if pair.hypothesis is None],
        left_out=left_out,
        comparison=_compare(files, rivals, names, resamples or RESAMPLES, seed) if rivals else [],
        resamples=resamples,
        seed=seed,
    )


def _others(
    path: str | PathLike[str] | None,
    reference: Path,
    pairs: Sequence[Pair],
    language: str,
    where: Mapping[str, str] | None,
    allow_missing: bool,
) -> dict[str, Source | None]:
    """Pair the other set of hypotheses with the same references."""
    if path is None:
        return {}
    made, _ = pair_up(Path(path), reference, language=language, where=where, allow_missing=allow_missing)
    found = {(pair.reference.path, Path(pair.reference.name).name): pair.hypothesis for pair in made}
    return {pair.name: found.get((pair.reference.path, Path(pair.reference.name).name)) for pair in pairs}


def _read(source: Source | None, failures: list[tuple[str, str]]) -> Sample | None:
    """Read a sample; note a failure and return None where it can't be read."""
    if source is None:
        return None
    try:
        return source.read()
    except (AsrlsaError, OSError) as error:
        failures.append((str(source.path), str(error)))
        return None


def _figure_names(policies: Iterable[str]) -> list[str]:
    """Return the metrics that are reported: those of the chosen policies, and all that are no policy's."""
    rates = {"fluent": "fluent_wer", "cer": "cer", "batchalign": "batchalign_wer", "raw": "raw_wer"}
    off = {metric for name, metric in rates.items() if name not in policies}
    return [name for name in METRICS if name not in off]


def score_pair(
    reference: Sample,
    hypothesis: Sample,
    policies: Sequence[str] = DEFAULT_POLICIES,
    *,
    collar: int = 0,
    view: bool = False,
    slots: bool = False,
) -> FileScores:
    """Score one hypothesis against its reference.

    Args:
        reference: Reference sample.
        hypothesis: Hypothesis sample.
        policies: Word policies; ``verbatim`` is always scored.
        collar: Ms around reference turns that the diarization error leaves out.
        view: Keep the side-by-side view.
        slots: Keep the errors at each reference word.
    """
    verbatim = score_words(reference, hypothesis, POLICIES["verbatim"])
    counts = {"verbatim": verbatim.counts}
    kept = {"verbatim": error_slots(verbatim.ops, len(verbatim.words[0].forms))} if slots else {}
    for name in policies:
        if name != "verbatim":
            scored = score_words(reference, hypothesis, POLICIES[name])
            counts[name] = scored.counts
            if slots and name in _SEGMENT_TESTED:
                kept[name] = error_slots(scored.ops, len(scored.words[0].forms))
    events = score_events(reference, hypothesis, verbatim.words, verbatim.ops)
    named = all(word.speaker for sample in (reference, hypothesis) for word in sample.words)
    mapping, attributed = score_speakers(reference, hypothesis, POLICIES["verbatim"]) if named else ({}, None)
    diarization = _diarization(reference, hypothesis, collar) if named else None
    boundaries = score_boundaries(reference, hypothesis, verbatim.words, verbatim.ops)
    sums = _sums(counts, attributed, diarization, boundaries)
    for kind, found in [*events.kinds.items(), ("relaxed", events.relaxed)]:
        sums |= event_sums(kind, found)
    return FileScores(
        name=reference.name,
        reference=reference.source,
        hypothesis=hypothesis.source,
        counts=counts,
        classes=by_class(reference, hypothesis, verbatim),
        participants=by_participant(reference, hypothesis, verbatim, mapping),
        confusions=confusions(verbatim),
        kinds=events.kinds,
        relaxed=events.relaxed,
        spelt_only=not (reference.coded and hypothesis.coded),
        mapping=mapping,
        attributed=attributed,
        diarization=diarization,
        boundaries=boundaries,
        measures=_measures(reference, hypothesis, mapping),
        sums=sums,
        slots=kept,
        rows=side_by_side(reference, hypothesis, verbatim, events) if view else [],
        media=reference.media or hypothesis.media,
    )


def _diarization(reference: Sample, hypothesis: Sample, collar: int) -> Diarization | None:
    """Score diarization where every utterance of the reference and some of the hypothesis has a time."""
    ours, theirs = turns(reference), turns(hypothesis)
    spoken = [u for u in reference.utterances if u.last > u.first]
    if not ours or len(ours) < len(spoken) or (hypothesis.words and not theirs):
        return None
    return score_diarization(ours, theirs, collar)


def _measures(reference: Sample, hypothesis: Sample, mapping: dict[str, str]) -> list[MeasurePair]:
    """Compare measures where both sides have disfluency codes; without them they would not mean the same."""
    return pair_measures(reference, hypothesis, mapping) if reference.coded and hypothesis.coded else []


def _sums(
    counts: dict[str, Counts], attributed: Counts | None, diarization: Diarization | None, boundaries: Boundaries
) -> Sums:
    sums: Sums = {}
    for name, found in counts.items():
        sums |= count_sums(name, found)
    if attributed is not None:
        sums |= count_sums("cp", attributed)
    if diarization is not None:
        sums |= {"der.error": diarization.error, "der.speech": diarization.speech}
    for name, off in (("start", boundaries.starts), ("end", boundaries.ends)):
        sums |= {f"{name}.error": sum(abs(d) for d in off), f"{name}.count": len(off)}
    return sums


def _compare(
    files: Sequence[FileScores], rivals: Sequence[FileScores], names: Sequence[str], resamples: int, seed: int
) -> list[Comparison]:
    """Test every headline figure by paired bootstrap, and word errors by MAPSSWE too."""
    sums = [f.sums for f in files], [f.sums for f in rivals]
    headline = [name for name in names if not name.endswith(("_precision", "_recall"))]
    found = compare(*sums, headline, resamples=resamples, seed=seed)
    values = {c.name: (c.first, c.second) for c in found}
    for name, metric in _SEGMENT_TESTED.items():
        if metric in values and all(name in f.slots for f in files):
            differences = [
                d
                for ours, theirs in zip(files, rivals, strict=True)
                for d in segment_differences(ours.slots[name], theirs.slots[name])
            ]
            found.append(mapsswe(metric, differences, values[metric]))
    return [c for c in found if c.first is not None or c.second is not None]
