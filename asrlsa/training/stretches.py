"""The rows of one recording -> stretches of sound whose speech is all transcribed.

The rows that overlap in time form a unit, which no window may cut. A unit that hears speech of a row that is not used
for more than ``overlap_seconds`` is not used itself. Units that follow one another become a stretch where the sound
between them is known to be free of other speech (`Row.joins`) and not longer than ``gap_seconds``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from asrlsa.language.codes import whisper_code
from asrlsa.manifest import Row
from asrlsa.training.data_settings import DataSettings
from asrlsa.training.targets import Piece, TargetError
from asrlsa.training.windows import Reasons
from asrlsa.types import Milliseconds

# A run of overlapping speech longer than a window is cut where it overlaps least, if that is by at most 1 s.
_LOOSEST_MS = 1_000
_UNHEARD = re.compile(r"(?<![\w'-])(?:xxx|yyy|www)(?![\w'-])")

NOT_CHOSEN = "speaker not chosen"
NO_FLUENT = "no fluent text"
NOT_TRANSCRIBED = "not transcribed (xxx, yyy, www)"
TOO_LONG = "longer than a window"
TOO_MANY_TOKENS = "more tokens than the decoder takes"
OVERLAPPED = "overlapped by speech that is not used"
ENDLESS = "overlapping speech longer than a window"


@dataclass(frozen=True, slots=True)
class Rules:
    """What decides on stretches, in ms and tokens.

    Attributes:
        limit: Longest window in ms.
        tokens: Text to number of tokens, timestamps included.
        most: Most tokens of a unit.
        budget: Most tokens of a stretch or window that is put together.
        settings: The rest.
    """

    limit: Milliseconds
    tokens: Callable[[str], int]
    most: int
    budget: int
    settings: DataSettings

    def text(self, row: Row) -> str | None:
        """Return the text to learn, or None where the row has none of the kind asked for."""
        return row.fluent if self.settings.target == "fluent" else row.text


@dataclass(slots=True)
class Stretch:
    """Sound from ``start`` to ``end`` ms of a recording, with every utterance in it.

    Attributes:
        audio: The recording.
        start: Begin in ms, margin included.
        end: End in ms, margin included.
        language: ISO 639-1 code.
        tokens: Tokens of all texts, timestamps included.
        rows: The rows, by start.
        joins: Whether the sound since the stretch before it is free of other speech.
    """

    audio: Path
    start: Milliseconds
    end: Milliseconds
    language: str
    tokens: int
    rows: list[Row] = field(default_factory=list)
    joins: bool = False

    @property
    def duration(self) -> Milliseconds:
        """Length in ms."""
        return self.end - self.start

    def pieces(self, at: Milliseconds, rules: Rules) -> list[tuple[Piece, str]]:
        """Return utterances with row names, for a stretch that is heard ``at`` ms after its window's begin."""
        shift = at - self.start
        return [(Piece(r.start + shift, r.end + shift, rules.text(r) or ""), r.id) for r in self.rows]


def language_of(row: Row) -> str:
    """Return the ISO 639-1 code of a row.

    Raises:
        TargetError: Whisper does not know the language.
    """
    try:
        return whisper_code(row.language)
    except KeyError:
        raise TargetError(f"{row.id}: Whisper does not know the language {row.language!r}") from None


def units(rows: Sequence[Row], rules: Rules, reasons: Reasons) -> list[Stretch]:
    """Group the rows of one recording into what no window may cut, with margins.

    Args:
        rows: All rows with text, of one recording, in the manifest's order.
        rules: The limits.
        reasons: Counts what is not used.
    """
    ordered = sorted(rows, key=lambda r: r.start)
    unused = _unused(ordered, rules)
    left = {i: reason for i, reason in enumerate(unused) if reason}
    found: list[list[int]] = []
    for cluster in _clusters(ordered, [i for i in range(len(ordered)) if i not in left], rules):
        for part in _fitting(ordered, cluster, rules):
            if len(part) > 1 and _span(ordered, part) > rules.limit:
                left |= dict.fromkeys(part, ENDLESS)
            elif count([ordered[i] for i in part], rules) > rules.most:
                left |= dict.fromkeys(part, TOO_MANY_TOKENS)
            else:
                found.append(part)
    for i, reason in sorted(left.items()):
        reasons.add(reason, [ordered[i].id])
    return _with_margins(ordered, found, set(left), rules)


def _unused(rows: Sequence[Row], rules: Rules) -> list[str]:
    """Return why each row can't be used, or an empty text."""
    reasons = [_reason(row, rules) for row in rows]
    tolerance = _ms(rules.settings.overlap_seconds)
    overlaps: list[list[int]] = [[] for _ in rows]
    active: list[int] = []
    for i, row in enumerate(rows):
        active = [j for j in active if rows[j].end - row.start > tolerance]
        for j in active:
            if min(rows[j].end, row.end) - row.start > tolerance:
                overlaps[i].append(j)
                overlaps[j].append(i)
        active.append(i)
    spreading = [i for i, reason in enumerate(reasons) if reason]
    while spreading:
        for j in overlaps[spreading.pop()]:
            if not reasons[j]:
                reasons[j] = OVERLAPPED
                spreading.append(j)
    return reasons


def _reason(row: Row, rules: Rules) -> str:
    settings = rules.settings
    text = rules.text(row)
    if (settings.speakers and row.speaker not in settings.speakers) or (
        settings.roles and row.role not in settings.roles
    ):
        return NOT_CHOSEN
    if text is None:
        return NO_FLUENT
    if _UNHEARD.search(text):
        return NOT_TRANSCRIBED
    if row.duration > rules.limit:
        return TOO_LONG
    if rules.tokens(text) > rules.most:
        return TOO_MANY_TOKENS
    return ""


def _clusters(rows: Sequence[Row], used: Sequence[int], rules: Rules) -> Iterator[list[int]]:
    """Yield runs of rows between which no cut is possible without more than the tolerated overlap."""
    tolerance = _ms(rules.settings.overlap_seconds)
    current: list[int] = []
    reached = 0
    for i in used:
        if current and reached - rows[i].start <= tolerance:
            yield current
            current = []
        reached = max(reached, rows[i].end) if current else rows[i].end
        current.append(i)
    if current:
        yield current


def _fitting(rows: Sequence[Row], cluster: list[int], rules: Rules) -> list[list[int]]:
    """Cut a cluster that is too long where it overlaps least; one that can't be cut comes back as it is."""
    waiting, done = [cluster], []
    while waiting:
        part = waiting.pop()
        if len(part) == 1 or (_span(rows, part) <= rules.limit and count([rows[i] for i in part], rules) <= rules.most):
            done.append(part)
            continue
        reached, cuts = 0, []
        for k, i in enumerate(part[:-1], start=1):
            reached = max(reached, rows[i].end)
            cuts.append((max(0, reached - rows[part[k]].start), abs(2 * k - len(part)), k))
        overlap, _, cut = min(cuts)
        if overlap > _LOOSEST_MS:
            done.append(part)
        else:
            waiting += [part[cut:], part[:cut]]
    return done


def count(rows: Sequence[Row], rules: Rules) -> int:
    """Return the tokens of some rows, their timestamps included."""
    return sum(rules.tokens(rules.text(row) or "") for row in rows)


def _span(rows: Sequence[Row], part: Sequence[int]) -> Milliseconds:
    return max(rows[i].end for i in part) - rows[part[0]].start


def _with_margins(rows: Sequence[Row], parts: Sequence[list[int]], left: set[int], rules: Rules) -> list[Stretch]:
    """Add the free sound around units, and say which joins the one before it."""
    # A recording with one row from its begin is a clip; its sound ends with the row.
    margin = 0 if len(rows) == 1 and rows[0].start == 0 else _ms(rules.settings.margin_seconds)
    made: list[Stretch] = []
    heard = unused = spoken = 0  # ms: ends of all speech, of speech that is not used, of the unit before
    seen = 0  # rows looked at
    for part in sorted(parts):
        joins = bool(made)
        for i in range(seen, part[0]):
            joins = joins and rows[i].joins
            heard = max(heard, rows[i].end)
            if i in left:
                unused = max(unused, rows[i].end)
        joins = (joins and rows[part[0]].joins) or (bool(made) and rules.settings.trust_gaps)
        joins = joins and unused <= spoken
        start, end = rows[part[0]].start, max(rows[i].end for i in part)
        inside = [rows[i].end for i in range(part[0], part[-1]) if i in left]
        seen = part[-1] + 1
        following = rows[seen].start if seen < len(rows) else end + margin
        first = start if heard >= start else max(start - margin, heard)
        last = end if max(heard, *inside, 0) > end else max(end, min(end + margin, following))
        if last - first > rules.limit:  # margins give way to words
            first, last = start, end
        chosen = [rows[i] for i in part]
        made.append(Stretch(chosen[0].audio, first, last, language_of(chosen[0]), count(chosen, rules), chosen, joins))
        heard, unused, spoken = max(heard, end, *inside, 0), max(unused, *inside, 0), end
    return made


def _ms(seconds: float) -> Milliseconds:
    return round(seconds * 1000)
