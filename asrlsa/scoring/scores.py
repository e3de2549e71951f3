"""All scores of one pair of files, and of one evaluation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from asrlsa.scoring.agreement import MeasurePair, pair_measures
from asrlsa.scoring.align import Counts
from asrlsa.scoring.boundaries import Boundaries, score_boundaries
from asrlsa.scoring.events import EventCounts, score_events
from asrlsa.scoring.metrics import Sums, count_sums, event_sums
from asrlsa.scoring.normalise import DEFAULT_STEPS, policy
from asrlsa.scoring.samples import Sample
from asrlsa.scoring.speakers import Diarization, SpeakerScores, score_diarization, score_speakers, turns
from asrlsa.scoring.statistics import Comparison, error_slots
from asrlsa.scoring.view import Row, side_by_side
from asrlsa.scoring.words import by_class, by_participant, confusions, score_words

DEFAULT_POLICIES = ("verbatim", "fluent", "cer", "batchalign")

# Word scores for which a comparison also runs MAPSSWE, and their figures.
SEGMENT_TESTED = {"verbatim": "wer", "fluent": "fluent_wer"}


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
        named: The same where a code that names somebody on both sides keeps its name (speaker WER).
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
    named: Counts | None
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
        steps: Normalisation of verbatim, fluent and cer, in order.
        collar: Collar of the diarization error in ms.
        failures: ``(file, message)`` of files that could not be read.
        missing: References without hypothesis, scored as all deletions.
        left_out: Hypotheses without reference.
        cut_short: CHAT files without ``@End``; they were scored as far as they go.
        comparison: Tests against another set of hypotheses.
        resamples: Bootstrap draws.
        seed: Seed of the draws.
    """

    files: list[FileScores]
    scores: dict[str, float | None]
    intervals: dict[str, tuple[float, float] | None]
    policies: tuple[str, ...]
    steps: tuple[str, ...]
    collar: int
    failures: list[tuple[str, str]]
    missing: list[str]
    left_out: list[str]
    cut_short: list[str]
    comparison: list[Comparison]
    resamples: int
    seed: int


def score_pair(
    reference: Sample,
    hypothesis: Sample,
    policies: Sequence[str] = DEFAULT_POLICIES,
    *,
    steps: Sequence[str] = DEFAULT_STEPS,
    collar: int = 0,
    view: bool = False,
    slots: bool = False,
) -> FileScores:
    """Score one hypothesis against its reference.

    Args:
        reference: Reference sample.
        hypothesis: Hypothesis sample.
        policies: Word policies; ``verbatim`` is always scored.
        steps: Normalisation of verbatim, fluent and cer.
        collar: Ms around reference turns that the diarization error leaves out.
        view: Keep the side-by-side view.
        slots: Keep the errors at each reference word.
    """
    if hypothesis.language != reference.language:
        # Words are the same words by the rules of one language.
        hypothesis = replace(hypothesis, language=reference.language)
    verbatim = score_words(reference, hypothesis, policy("verbatim", steps))
    counts = {"verbatim": verbatim.counts}
    kept = {"verbatim": error_slots(verbatim.ops, len(verbatim.words[0].forms))} if slots else {}
    for name in policies:
        if name != "verbatim":
            scored = score_words(reference, hypothesis, policy(name, steps), verbatim)
            counts[name] = scored.counts
            if slots and name in SEGMENT_TESTED:
                kept[name] = error_slots(scored.ops, len(scored.words[0].forms))
    events = score_events(reference, hypothesis, verbatim.words, verbatim.ops)
    spoken = all(word.speaker for sample in (reference, hypothesis) for word in sample.words)
    speakers = score_speakers(reference, hypothesis, verbatim.words) if spoken else None
    mapping = speakers.mapping if speakers is not None else {}
    diarization = _diarization(reference, hypothesis, collar) if spoken else None
    boundaries = score_boundaries(reference, hypothesis, verbatim.words, verbatim.ops)
    sums = _sums(counts, speakers, diarization, boundaries)
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
        attributed=speakers.attributed if speakers is not None else None,
        named=speakers.named if speakers is not None else None,
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
    counts: dict[str, Counts], speakers: SpeakerScores | None, diarization: Diarization | None, boundaries: Boundaries
) -> Sums:
    sums: Sums = {}
    for name, found in counts.items():
        sums |= count_sums(name, found)
    if speakers is not None:
        sums |= count_sums("cp", speakers.attributed) | count_sums("named", speakers.named)
    if diarization is not None:
        sums |= {"der.error": diarization.error, "der.speech": diarization.speech}
    for name, off in (("start", boundaries.starts), ("end", boundaries.ends)):
        sums |= {f"{name}.error": sum(abs(d) for d in off), f"{name}.count": len(off)}
    return sums
