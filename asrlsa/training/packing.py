"""Rows -> windows: consecutive utterances, isolated ones packed by length, or one utterance a window."""

from __future__ import annotations

import bisect
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from asrlsa.manifest import Row
from asrlsa.training.data_settings import DataSettings
from asrlsa.training.stretches import Rules, Stretch, language_of, units
from asrlsa.training.targets import MAX_TOKENS, Piece
from asrlsa.training.windows import WINDOW_MS, Packing, Part, Reasons, Window
from asrlsa.types import Milliseconds

_TRIES = 16  # windows looked at for one stretch whose tokens do not fit the best

EMPTY = "noise beyond the share asked for"


def pack(
    rows: Iterable[Row],
    settings: DataSettings,
    *,
    tokens: Callable[[str], int],
    most_tokens: int = MAX_TOKENS,
    budget: int | None = None,
    seed: int = 0,
    training: bool = True,
) -> Packing:
    """Pack rows as ``settings.layout`` says, with windows of noise.

    Args:
        rows: The rows; those of one recording in their order.
        settings: How.
        tokens: Text of one utterance to its number of tokens, timestamps included.
        most_tokens: Most tokens of one utterance.
        budget: Most tokens of a window that is put together of several; ``most_tokens`` where None.
        seed: Of joins and silences.
        training: False takes every noise row, once, and no synthetic noise.

    Raises:
        TargetError: Whisper does not know a language.
    """
    limit = round(settings.window_seconds * 1000)
    rules = Rules(limit, tokens, most_tokens, most_tokens if budget is None else budget, settings)
    kept = list(rows)
    packers = {"packed": pack_consecutive, "isolated": pack_isolated, "single": one_each, "variable": one_each}
    packing = packers[settings.layout](kept, rules, seed)
    return _with_noise(packing, [row for row in kept if not row.text.strip()], rules, seed, training)


def pack_consecutive(rows: Iterable[Row], rules: Rules, seed: int = 0) -> Packing:
    """Keep utterances that follow one another in one window, with the sound between them.

    A window grows until the next utterance does not fit, or a pause is too long or not known to be free of other
    speech. What is shorter than a window is then joined with others by best-fit decreasing, as ``settings.join`` says.
    """
    reasons = Reasons()
    stretches: list[Stretch] = []
    for recording in _by_recording(rows):
        stretches += _consecutive(units(recording, rules, reasons), rules)
    join = rules.settings.join
    if join == "none":
        return _alone(stretches, rules, reasons)
    return _packing(_best_fit(stretches, rules, seed, apart=join == "recording"), rules, reasons)


def pack_isolated(rows: Iterable[Row], rules: Rules, seed: int = 0) -> Packing:
    """Pack utterances by best-fit decreasing: the longest first, each into the fullest window that has room.

    Between two lies ``silence_seconds`` of silence. Utterances that overlap in time stay together.
    """
    reasons = Reasons()
    stretches = [u for recording in _by_recording(rows) for u in units(recording, rules, reasons)]
    return _packing(_best_fit(stretches, rules, seed, apart=False), rules, reasons)


def one_each(rows: Iterable[Row], rules: Rules, seed: int = 0) -> Packing:
    """Make one window of every utterance; utterances that overlap in time share one."""
    reasons = Reasons()
    return _alone([u for r in _by_recording(rows) for u in units(r, rules, reasons)], rules, reasons)


def noise_windows(rows: Iterable[Row], rules: Rules) -> list[Window]:
    """Make windows without speech of rows with empty text; a long one gives several."""
    made = []
    for row in rows:
        for start in range(row.start, row.end, rules.limit):
            end = min(start + rules.limit, row.end)
            if end - start < min(1000, row.duration):
                continue  # a rest too short to be worth an encoder run
            part = Part(row.audio, start, end, 0)
            made.append(Window((part,), (), end - start, language_of(row), (row.id,)))
    return made


def _by_recording(rows: Iterable[Row]) -> list[list[Row]]:
    """Group the rows with text by recording; one that follows noise joins it only if the noise joins what is before."""
    found: dict[Path, list[Row]] = {}
    broken: set[Path] = set()
    for row in rows:
        if not row.text.strip():
            if not row.joins:
                broken.add(row.audio)
            continue
        if row.audio in broken:
            broken.discard(row.audio)
            row = replace(row, joins=False)
        found.setdefault(row.audio, []).append(row)
    return list(found.values())


def _consecutive(found: Sequence[Stretch], rules: Rules) -> list[Stretch]:
    longest = round(rules.settings.gap_seconds * 1000)
    grown: list[Stretch] = []
    for unit in found:
        last = grown[-1] if grown else None
        if (
            last is not None
            and unit.joins
            and unit.rows[0].start - max(r.end for r in last.rows) <= longest
            and unit.end - last.start <= rules.limit
            and last.tokens + unit.tokens <= rules.budget
            and unit.language == last.language
        ):
            grown[-1] = replace(
                last, end=max(last.end, unit.end), tokens=last.tokens + unit.tokens, rows=[*last.rows, *unit.rows]
            )
        else:
            grown.append(unit)
    return grown


class _Bins:
    """Windows that are being filled, sorted by the room left."""

    def __init__(self, rules: Rules, gap: Milliseconds) -> None:
        self.rules, self.gap = rules, gap
        self.room: list[tuple[int, int]] = []  # (ms left, window)
        self.filled: list[list[Stretch]] = []
        self.tokens: list[int] = []

    def put(self, stretch: Stretch) -> None:
        """Put a stretch into the window that it fills best, or into a new one."""
        need = stretch.duration + self.gap
        first = bisect.bisect_left(self.room, (need, -1))
        for place in range(first, min(first + _TRIES, len(self.room))):
            left, number = self.room[place]
            if self.tokens[number] + stretch.tokens <= self.rules.budget:
                del self.room[place]
                self.filled[number].append(stretch)
                self.tokens[number] += stretch.tokens
                bisect.insort(self.room, (left - need, number))
                return
        self.filled.append([stretch])
        self.tokens.append(stretch.tokens)
        bisect.insort(self.room, (self.rules.limit - stretch.duration, len(self.filled) - 1))


def _best_fit(stretches: Sequence[Stretch], rules: Rules, seed: int, *, apart: bool) -> list[Window]:
    """Join stretches by best-fit decreasing within a language, and within a recording where ``apart``."""
    chance = random.Random(f"asrlsa-join-{seed}")
    gap = round(rules.settings.silence_seconds[0] * 1000)
    groups: dict[tuple[str, Path | None], list[Stretch]] = {}
    for stretch in stretches:
        groups.setdefault((stretch.language, stretch.audio if apart else None), []).append(stretch)
    windows = []
    for group in groups.values():
        chance.shuffle(group)  # stretches of one length come from anywhere
        bins = _Bins(rules, gap)
        for stretch in sorted(group, key=lambda s: -s.duration):
            bins.put(stretch)
        for filled in bins.filled:
            chance.shuffle(filled)
            if apart:
                filled.sort(key=lambda s: s.start)
            windows.append(_window(filled, rules, chance))
    return windows


def _window(stretches: Sequence[Stretch], rules: Rules, chance: random.Random) -> Window:
    """Put stretches behind one another, with silences that the window has room for."""
    low, high = (round(s * 1000) for s in rules.settings.silence_seconds)
    spare = rules.limit - sum(s.duration for s in stretches) - low * (len(stretches) - 1)
    parts: list[Part] = []
    pieces: list[tuple[Piece, str]] = []
    at = 0
    for number, stretch in enumerate(stretches):
        if number:
            extra = min(chance.randint(0, high - low), spare)
            spare -= extra
            at += low + extra
        parts.append(Part(stretch.audio, stretch.start, stretch.end, at))
        pieces += stretch.pieces(at, rules)
        at += stretch.duration
    ids = tuple(name for _, name in pieces)
    return Window(tuple(parts), tuple(piece for piece, _ in pieces), at, stretches[0].language, ids)


def _alone(stretches: Sequence[Stretch], rules: Rules, reasons: Reasons) -> Packing:
    chance = random.Random(0)
    return _packing([_window([s], rules, chance) for s in stretches], rules, reasons)


def _packing(windows: Sequence[Window], rules: Rules, reasons: Reasons) -> Packing:
    assert all(w.duration <= min(rules.limit, WINDOW_MS) for w in windows)
    return Packing(tuple(windows), dict(reasons.counts), dict(reasons.examples))


def _with_noise(packing: Packing, rows: Sequence[Row], rules: Rules, seed: int, training: bool) -> Packing:
    """Add windows without speech: recorded ones first, then synthetic ones."""
    found = noise_windows(rows, rules)
    if not training:
        return replace(packing, windows=(*packing.windows, *found))
    share = rules.settings.noise_only
    wanted = round(len(packing.windows) * share / (1 - share))
    chance = random.Random(f"asrlsa-noise-{seed}")
    chance.shuffle(found)
    reasons = Reasons()
    reasons.counts.update(packing.left_out)
    reasons.examples.update(packing.examples)
    used = found[:wanted]
    taken = {w.ids[0] for w in used}
    reasons.add(EMPTY, [r.id for r in rows if r.id not in taken])
    languages = [w.language for w in packing.windows] or ["en"]
    for number in range(wanted - len(used)):
        duration = chance.randint(min(2_000, rules.limit), rules.limit)
        used.append(Window((), (), duration, chance.choice(languages), (f"synthetic-noise-{number}",)))
    return replace(packing, windows=(*packing.windows, *used), left_out=reasons.counts, examples=reasons.examples)
