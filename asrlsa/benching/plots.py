"""Drawings of a benchmark as SVG: accuracy against speed, and memory.

A model has a shape of its own beside its colour (after Okabe and Ito), and a hatching where it is a bar, so that the
drawings read in print and with any colour vision.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import Final

from asrlsa.benching.choice import pareto
from asrlsa.benching.results import Configuration

COLOURS: Final = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#1a1a1a")
SHAPES: Final = ("circle", "square", "triangle", "diamond", "cross", "down", "ring")
_WIDTH, _HEIGHT = 920, 460
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 24, 20, 52
_INK, _LINE, _QUIET = "#1a1a1a", "#c8c8c8", "#595959"


def groups(configurations: Sequence[Configuration]) -> list[str]:
    """Return the names that get a shape of their own, by first appearance: the model, with its engine if not asrlsa."""
    return list(dict.fromkeys(group(c) for c in configurations))


def group(one: Configuration) -> str:
    """Name the group of a configuration."""
    return one.model if one.trial.engine == "asrlsa" else f"{one.model}, {one.trial.engine}"


def scatter(configurations: Sequence[Configuration], numbers: dict[str, int], chosen: str = "") -> str:
    """Draw verbatim WER against speed, with the 95 % intervals and the Pareto front.

    Args:
        configurations: What was measured; those without speed or score are left out.
        numbers: Key of a configuration → the number that the page gives it.
        chosen: Key of the recommended one.

    Returns:
        An ``svg`` element, or an empty text where there is nothing to draw.
    """
    known = [c for c in configurations if c.speed is not None and c.wer is not None]
    if not known:
        return ""
    x, y = _Axis.of([c.speed or 1.0 for c in known], log=True), _Axis.of(_errors(known), log=False)

    def place(one: Configuration) -> tuple[float, float]:
        across = _LEFT + x.share(one.speed or 1.0) * (_WIDTH - _LEFT - _RIGHT)
        return across, _down(y.share(one.wer or 0.0))

    parts = [_frame("Verbatim word error rate against speed", _WIDTH, _HEIGHT), *_grid(x, y)]
    front = [place(c) for c in pareto(known)]
    if len(front) > 1:
        steps = " ".join(f"{a:.1f},{b:.1f}" for a, b in sorted(front))
        parts.append(
            f'<polyline points="{steps}" fill="none" stroke="{_INK}" stroke-width="1.4" stroke-dasharray="6 4"/>'
        )
    names = groups(configurations)
    for one in known:
        across, down = place(one)
        low, high = one.intervals.get("wer", (None, None))
        if low is not None and high is not None:
            top, foot = _down(y.share(high)), _down(y.share(low))
            parts.append(
                f'<path d="M{across:.1f} {top:.1f}V{foot:.1f}" stroke="{_QUIET}" stroke-width="1" opacity=".6"/>'
            )
    marks = []
    for one in known:
        across, down = place(one)
        k = names.index(group(one))
        title = f"{numbers[one.key]}: {one.model}, {one.settings}: {one.speed:.2f} × real time, WER {one.wer:.2f} %"
        ring = f'<circle cx="{across:.1f}" cy="{down:.1f}" r="12" fill="none" stroke="{_INK}" stroke-width="1.6"/>'
        parts.append(
            f"<g><title>{escape(title)}</title>{ring * (one.key == chosen)}"
            f"{shape(SHAPES[k % len(SHAPES)], across, down, COLOURS[k % len(COLOURS)])}</g>"
        )
        marks.append((across, down))
    texts: list[tuple[float, float]] = []
    for one, (across, down) in zip(known, marks, strict=True):
        at = _free(across, down, marks, texts, wide=one.key == chosen)
        texts.append(at)
        parts.append(f'<text x="{at[0]:.1f}" y="{at[1]:.1f}" font-size="11">{numbers[one.key]}</text>')
    return "".join(parts) + "</svg>" + legend(names)


def legend(names: Sequence[str]) -> str:
    """Explain the shapes."""
    items = []
    for k, name in enumerate(names):
        mark = shape(SHAPES[k % len(SHAPES)], 9, 9, COLOURS[k % len(COLOURS)])
        items.append(f'<li><svg width="18" height="18" aria-hidden="true">{mark}</svg> {escape(name)}</li>')
    items.append(
        f'<li><svg width="26" height="18" aria-hidden="true"><path d="M0 9H26" stroke="{_INK}" stroke-width="1.4" '
        'stroke-dasharray="6 4"/></svg> Pareto front: nothing is both faster and has fewer errors</li>'
    )
    items.append(
        f'<li><svg width="26" height="26" aria-hidden="true"><circle cx="13" cy="13" r="11" fill="none" '
        f'stroke="{_INK}" stroke-width="1.6"/></svg> recommended</li>'
    )
    return f'<ul class="legend">{"".join(items)}</ul>'


def memory_bars(configurations: Sequence[Configuration], labels: dict[str, str]) -> str:
    """Draw the peak memory of every configuration as a bar, and its disk as a line across it.

    Args:
        configurations: What was measured.
        labels: Key of a configuration → what stands before its bar.
    """
    known = [c for c in configurations if c.peak_memory is not None]
    if not known:
        return ""
    most = max(max(c.peak_memory or 0, c.median("disk") or 0) for c in known) or 1.0
    high, left, wide = 24, 330, 480
    names = groups(configurations)
    height = high * len(known) + 12
    parts = [_frame("Peak memory of every configuration", left + wide + 100, height), _hatchings()]
    for row, one in enumerate(known):
        k = names.index(group(one)) % len(COLOURS)
        top, width = row * high, wide * (one.peak_memory or 0) / most
        label = labels[one.key]
        short = label if len(label) <= 52 else label[:51] + "…"
        disk = left + wide * (one.median("disk") or 0) / most
        parts.append(
            f'<text x="{left - 8}" y="{top + 16}" text-anchor="end" font-size="12">{escape(short)}'
            f"<title>{escape(label)}</title></text>"
            f'<rect x="{left}" y="{top + 4}" width="{width:.1f}" height="{high - 9}" fill="url(#hatch{k})" '
            f'stroke="{_INK}" stroke-width=".6"/>'
            f'<path d="M{disk:.1f} {top + 2}v{high - 5}" stroke="{_INK}" stroke-width="2"/>'
            f'<text x="{left + max(width, disk - left) + 6:.1f}" y="{top + 16}" font-size="12">'
            f"{(one.peak_memory or 0) / 1e6:,.0f} MB</text>"
        )
    return (
        "".join(parts) + '</svg><p class="note">Bars: peak memory of the process. Upright line: the model on disk.</p>'
    )


def shape(name: str, x: float, y: float, colour: str) -> str:
    """Draw one mark, centred at (x, y)."""
    style = f'fill="{colour}" stroke="{_INK}" stroke-width=".8"'
    if name == "circle":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="6" {style}/>'
    if name == "ring":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="#fff" stroke="{colour}" stroke-width="3"/>'
    corners = {
        "square": ((-5.5, -5.5), (5.5, -5.5), (5.5, 5.5), (-5.5, 5.5)),
        "triangle": ((0, -7), (6.5, 5.5), (-6.5, 5.5)),
        "down": ((0, 7), (6.5, -5.5), (-6.5, -5.5)),
        "diamond": ((0, -7.5), (6.5, 0), (0, 7.5), (-6.5, 0)),
        "cross": (
            *((-2, -6.5), (2, -6.5), (2, -2), (6.5, -2), (6.5, 2), (2, 2)),
            *((2, 6.5), (-2, 6.5), (-2, 2), (-6.5, 2), (-6.5, -2), (-2, -2)),
        ),
    }[name]
    points = " ".join(f"{x + a:.1f},{y + b:.1f}" for a, b in corners)
    return f'<polygon points="{points}" {style}/>'


class _Axis:
    """Maps values to a share of the axis; with round marks."""

    def __init__(self, low: float, high: float, log: bool) -> None:
        self.low, self.high, self.log = low, high, log

    @classmethod
    def of(cls, values: Sequence[float], *, log: bool) -> _Axis:
        low, high = min(values), max(values)
        if log:
            low, high = low / 1.12, high * 1.12
        else:
            room = max((high - low) * 0.1, 0.5)
            low, high = max(0.0, low - room), high + room
        return cls(low, high, log)

    def share(self, value: float) -> float:
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def marks(self) -> list[float]:
        if self.log:
            power = 10.0 ** math.floor(math.log10(self.low))
            round_ = [power * 10**k * step for k in range(4) for step in (1, 1.5, 2, 3, 4, 5, 6, 8)]
            return [mark for mark in round_ if self.low <= mark <= self.high]
        step = 10.0 ** math.floor(math.log10((self.high - self.low) / 3))
        step = next(s for s in (step, 2 * step, 5 * step, 10 * step) if (self.high - self.low) / s <= 7)
        first = math.ceil(self.low / step)
        return [k * step for k in range(first, int(self.high / step) + 1)]


def _errors(known: Sequence[Configuration]) -> list[float]:
    ends = [end for c in known for end in c.intervals.get("wer", ())]
    return [*(c.wer or 0.0 for c in known), *ends]


def _down(share: float) -> float:
    return _HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM)


def _frame(label: str, width: float, height: float) -> str:
    return (
        f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" '
        f'aria-label="{escape(label)}" font-size="12">'
    )


def _grid(x: _Axis, y: _Axis) -> list[str]:
    right, foot = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
    parts = []
    for mark in x.marks():
        across = _LEFT + x.share(mark) * (right - _LEFT)
        parts.append(f'<path d="M{across:.1f} {_TOP}V{foot}" stroke="{_LINE}"/>')
        parts.append(f'<text x="{across:.1f}" y="{foot + 17}" text-anchor="middle">{mark:g}</text>')
    for mark in y.marks():
        down = _down(y.share(mark))
        parts.append(f'<path d="M{_LEFT} {down:.1f}H{right}" stroke="{_LINE}"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{down + 4:.1f}" text-anchor="end">{mark:g}</text>')
    middle = (_TOP + foot) / 2
    parts.append(f'<path d="M{_LEFT} {_TOP}V{foot}H{right}" fill="none" stroke="{_INK}"/>')
    parts.append(
        f'<text x="{(_LEFT + right) / 2}" y="{_HEIGHT - 12}" text-anchor="middle">× real time, faster →</text>'
    )
    parts.append(
        f'<text transform="rotate(-90 16 {middle})" x="16" y="{middle}" text-anchor="middle">'
        "verbatim WER %, ← fewer errors</text>"
    )
    return parts


def _free(
    x: float, y: float, marks: Sequence[tuple[float, float]], texts: Sequence[tuple[float, float]], *, wide: bool
) -> tuple[float, float]:
    """Find a place for the number of a mark where no other mark and no other number is."""
    more = 6 if wide else 0
    places = [
        (x + dx + (more if dx > 0 else -more), y + dy)
        for dx, dy in ((9, 4), (6, -8), (6, 16), (-22, 4), (-18, -8), (-18, 16), (-4, -14), (-4, 22))
    ]
    for at in places:
        middle = (at[0] + 6, at[1] - 4)
        clear = all(abs(middle[0] - a) > 13 or abs(middle[1] - b) > 11 for a, b in marks if (a, b) != (x, y))
        if clear and all(abs(at[0] - a) > 14 or abs(at[1] - b) > 11 for a, b in texts):
            return at
    return places[0]


def _hatchings() -> str:
    """Return a pattern for each colour, all of different directions or widths."""
    turns = (0, 45, 90, 135, 20, 65, 110)
    parts = []
    for k, colour in enumerate(COLOURS):
        stripe = f'<rect width="{3 + k % 3}" height="7" fill="{colour}"/>'
        parts.append(
            f'<pattern id="hatch{k}" width="7" height="7" patternUnits="userSpaceOnUse" '
            f'patternTransform="rotate({turns[k]})"><rect width="7" height="7" fill="#f4f4f4"/>{stripe}</pattern>'
        )
    return f"<defs>{''.join(parts)}</defs>"
