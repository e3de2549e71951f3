"""Language-sample measures of the hypothesis against those of the reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from asrlsa.scoring.measures import MEASURES, Measures, measure_sample
from asrlsa.scoring.samples import Sample


@dataclass(frozen=True, slots=True)
class MeasurePair:
    """Measures of one participant; ``hypothesis`` is None where nobody stands for the participant.

    Attributes:
        participant: Code in the reference.
        speaker: Code in the hypothesis, or an empty string.
        reference: Measures of the reference.
        hypothesis: Measures of the hypothesis.
    """

    participant: str
    speaker: str
    reference: Measures
    hypothesis: Measures | None

    def error(self, name: str) -> float | None:
        """Return hypothesis minus reference; None where a side has no value."""
        ours = getattr(self.reference, name)
        theirs = getattr(self.hypothesis, name) if self.hypothesis is not None else None
        return None if ours is None or theirs is None else float(theirs - ours)

    def relative_error(self, name: str) -> float | None:
        """Return the error as a share of the reference, in percent; None where the reference is 0 or has no value."""
        error, ours = self.error(name), getattr(self.reference, name)
        return 100 * error / ours if error is not None and ours else None


@dataclass(frozen=True, slots=True)
class Agreement:
    """One measure over many participants.

    Attributes:
        name: Measure.
        pairs: Participants with a value on both sides.
        reference: Mean of the reference.
        hypothesis: Mean of the hypothesis.
        bias: Mean error.
        absolute: Mean absolute error.
        relative: Mean absolute relative error in percent, over participants whose reference is not 0; or None.
    """

    name: str
    pairs: int
    reference: float
    hypothesis: float
    bias: float
    absolute: float
    relative: float | None


def pair_measures(reference: Sample, hypothesis: Sample, mapping: dict[str, str]) -> list[MeasurePair]:
    """Compute measures on both sides and pair participants who say a word.

    Args:
        reference: Reference file.
        hypothesis: Hypothesis file.
        mapping: Hypothesis code → reference code.
    """
    ours, theirs = measure_sample(reference), measure_sample(hypothesis)
    speakers = {code: speaker for speaker, code in mapping.items()}
    said = frozenset(reference.speakers)
    return [
        MeasurePair(code, s := speakers.get(code, ""), m, theirs.get(s)) for code, m in ours.items() if code in said
    ]


def agree(pairs: Sequence[MeasurePair]) -> list[Agreement]:
    """Sum up each measure over participants; a measure that no participant has on both sides is left out."""
    found = []
    for name in MEASURES:
        rows = [(pair, error) for pair in pairs if (error := pair.error(name)) is not None]
        if not rows:
            continue
        relative = [abs(r) for pair, _ in rows if (r := pair.relative_error(name)) is not None]
        ours = [float(getattr(pair.reference, name)) for pair, _ in rows]
        errors = [error for _, error in rows]
        count = len(rows)
        found.append(
            Agreement(
                name,
                count,
                sum(ours) / count,
                (sum(ours) + sum(errors)) / count,
                sum(errors) / count,
                sum(map(abs, errors)) / count,
                sum(relative) / len(relative) if relative else None,
            )
        )
    return found
