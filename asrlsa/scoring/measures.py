"""The measures that clinicians compute from a language sample, for each participant of a transcript.

Definitions stand in ``docs/measures.md``. Fluency measures follow CLAN's FLUCALC (since its version of 2022-08-29 every
``[/]`` group is one repetition with one repetition unit); weighted SLD follows Ambrose and Yairi (1999).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields

from asrlsa.scoring.normalise import normalise
from asrlsa.scoring.samples import PlacedEvent, Sample
from asrlsa.scoring.syllables import syllables

MATTR_WINDOW = 50
_TYPE_STEPS = ("unicode", "case", "punctuation")
_COMPOUND = re.compile(r"[_+]")


@dataclass(frozen=True, slots=True)
class Measures:
    """Measures of one participant. None: it can't be computed from this sample (no words, no times, too short).

    Attributes:
        utterances: Utterances with at least one word of the cleaned text.
        words: Words of the cleaned text (total words).
        different_words: Different words of the cleaned text, case ignored.
        mlu_words: Mean length in words of the utterances without ``xxx yyy www``.
        ttr: Different words / words.
        mattr: Moving-average type-token ratio over windows of 50 words; None below 50 words.
        words_per_minute: Words per minute of the participant's own utterances that have times.
        fillers_percent: Filled pauses per 100 words said.
        mazes_percent: Words in mazes (fillers, repeats, revisions, fragments) per 100 words said.
        td: Typical disfluencies: phrase repetitions, revisions, pauses inside an utterance, filled pauses, fragments.
        sld: Stuttering-like disfluencies: prolongations, broken words, blocks, part-word and monosyllabic word
            repetitions.
        td_percent: TD per 100 words.
        sld_percent: SLD per 100 words.
        td_per_100_syllables: TD per 100 syllables, as FLUCALC by default.
        sld_per_100_syllables: SLD per 100 syllables, as FLUCALC by default.
        weighted_sld: Repetition units of part-word and monosyllabic word repetitions, plus twice the prolongations
            and blocks, per 100 syllables.
        syllables: Syllables of the cleaned text.
        pauses: Pauses inside an utterance.
        mean_pause: Mean length in seconds of the pauses inside an utterance that have a length.
    """

    utterances: int
    words: int
    different_words: int
    mlu_words: float | None
    ttr: float | None
    mattr: float | None
    words_per_minute: float | None
    fillers_percent: float | None
    mazes_percent: float | None
    td: int
    sld: int
    td_percent: float | None
    sld_percent: float | None
    td_per_100_syllables: float | None
    sld_per_100_syllables: float | None
    weighted_sld: float | None
    syllables: int
    pauses: int
    mean_pause: float | None


MEASURES = tuple(f.name for f in fields(Measures))


def measure_sample(sample: Sample, *, window: int = MATTR_WINDOW) -> dict[str, Measures]:
    """Compute the measures of every participant who has an utterance.

    Args:
        sample: One transcript.
        window: Words in a MATTR window.

    Returns:
        Participant code → measures, in order of the first utterance.
    """
    return {code: _measure(sample, code, window) for code in dict.fromkeys(u.speaker for u in sample.utterances)}


def _share(part: float, whole: float, scale: float = 1.0) -> float | None:
    return scale * part / whole if whole else None


def _measure(sample: Sample, code: str, window: int) -> Measures:
    said = [k for k, u in enumerate(sample.utterances) if u.speaker == code]
    cleaned = {k: _clean_words(sample, k) for k in said}
    forms = [form for k in said for form in cleaned[k]]
    counted = [k for k in said if cleaned[k]]
    whole = [k for k in counted if not sample.utterances[k].masked]
    timed = [u for u in (sample.utterances[k] for k in counted) if u.start is not None and u.end is not None]
    minutes = sum((u.end or 0) - (u.start or 0) for u in timed) / 60_000
    timed_words = sum(len(cleaned[k]) for k in counted if sample.utterances[k].end is not None)
    own = [w for w in sample.words if w.speaker == code and w.kind != "nonword"]
    events = [e for e in sample.events if sample.utterances[e.utterance].speaker == code]
    masks: dict[int, list[int]] = {}
    for mask in sample.masks:
        masks.setdefault(mask.utterance, []).append(mask.before)
    pauses = [e for e in events if e.kind == "pause" and _internal(sample, e, masks.get(e.utterance, []))]
    lengths = [e.duration for e in pauses if e.duration is not None]
    heard = sum(syllables(form, sample.language) for form in forms)
    td, sld, weighted = _fluency(sample, events, len(pauses))
    return Measures(
        utterances=len(counted),
        words=len(forms),
        different_words=len(set(forms)),
        mlu_words=_share(sum(len(cleaned[k]) for k in whole), len(whole)),
        ttr=_share(len(set(forms)), len(forms)),
        mattr=mattr(forms, window),
        words_per_minute=_share(timed_words, minutes),
        fillers_percent=_share(sum(e.kind == "filled_pause" for e in events), len(own), 100),
        mazes_percent=_share(sum(w.clean is None for w in own), len(own), 100),
        td=td,
        sld=sld,
        td_percent=_share(td, len(forms), 100),
        sld_percent=_share(sld, len(forms), 100),
        td_per_100_syllables=_share(td, heard, 100),
        sld_per_100_syllables=_share(sld, heard, 100),
        weighted_sld=_share(weighted, heard, 100),
        syllables=heard,
        pauses=len(pauses),
        mean_pause=_share(sum(lengths) / 1000, len(lengths)),
    )


def _clean_words(sample: Sample, utterance: int) -> list[str]:
    """Return the normalised cleaned words; a compound written with ``_`` or ``+`` is one word, as CLAN counts it."""
    span = sample.utterances[utterance]
    words: list[str] = []
    open_pieces = 0
    for word in sample.words[span.first : span.last]:
        if not word.clean:
            open_pieces = 0 if word.clean is None else open_pieces
            continue
        made = ["".join(normalise(one, _TYPE_STEPS, sample.language)) for one in word.clean.split()]
        if open_pieces and _COMPOUND.search(word.raw):
            words[-1] += "_" + "".join(made)
            open_pieces -= 1
            continue
        words += [form for form in made if form]
        pieces = len([piece for piece in _COMPOUND.split(word.raw) if piece])
        open_pieces = pieces - 1 if pieces > 1 and len(made) == 1 else 0
    return words


def mattr(words: Sequence[str], window: int = MATTR_WINDOW) -> float | None:
    """Moving-average type-token ratio (Covington and McFall 2010); None where there are fewer words than a window."""
    if window < 1 or len(words) < window:
        return None
    counts = Counter(words[:window])
    total = len(counts)
    for old, new in zip(words, words[window:], strict=False):
        counts[old] -= 1
        if not counts[old]:
            del counts[old]
        counts[new] += 1
        total += len(counts)
    return total / window / (len(words) - window + 1)


def _internal(sample: Sample, event: PlacedEvent, masks: Sequence[int]) -> bool:
    """Return whether a pause has something said before and after it in its utterance, as FLUCALC asks."""
    span = sample.utterances[event.utterance]
    before = event.start > span.first or any(mask <= event.start for mask in masks)
    after = event.start < span.last or any(mask >= event.start for mask in masks)
    return before and after


def _fluency(sample: Sample, events: Sequence[PlacedEvent], pauses: int) -> tuple[int, int, int]:
    """Count TD, SLD and the weighted sum of SLD."""
    kinds = Counter(e.kind for e in events)
    units = Counter[str]()
    for event in events:
        units[event.kind] += event.units
    mono = sum(e.kind == "word_repetition" and _syllables_of(sample, e) == 1 for e in events)
    td = kinds["phrase_repetition"] + kinds["retracing"] + kinds["filled_pause"] + kinds["fragment"] + pauses
    stretched = units["prolongation"] + units["block"]
    sld = stretched + units["broken_word"] + kinds["part_word_repetition"] + mono
    return td, sld, units["part_word_repetition"] + mono + 2 * stretched


def _syllables_of(sample: Sample, event: PlacedEvent) -> int:
    return sum(
        syllables(form, sample.language)
        for word in sample.words[event.start : event.end]
        if word.kind == "word"
        for form in word.verbatim.split()
    )
