# SPDX-License-Identifier: BSD-2-Clause
"""Charts as SVG: bars, and curves with linear or logarithmic axes.

The same figures give the same bytes.  No colour is very light or very dark, because the
background may be either.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

INK = "#767676"
FAINT = "#9a9a9a"
#: For each contestant: its colour, and the shape of its points.  The colours are those of
#: Okabe and Ito, which colour-blind readers can tell apart; hollow shapes are variants.
LOOKS = {
    "sshgateway": ("#d55e00", "circle"),
    "sshgateway-system": ("#d55e00", "hollow circle"),
    "sshgateway-wheel": ("#d55e00", "hollow diamond"),
    "paramiko": ("#0072b2", "square"),
    "paramiko-2.12": ("#0072b2", "hollow square"),
    "asyncssh": ("#cc79a7", "diamond"),
    "ssh": ("#009e73", "triangle"),
    "ssh-gcm": ("#009e73", "hollow triangle"),
    "direct": ("#8a8a8a", "cross"),
    "pipes": ("#8a8a8a", "cross"),
}
WIDTH = 760
ROW = 18
FONT = 12


@dataclass(frozen=True)
class Bar:
    name: str
    median: float
    low: float
    high: float


@dataclass(frozen=True)
class Panel:
    """Bars on one scale, with the unit in the heading; a bar that is too long is cut off."""

    heading: str
    bars: Sequence[Bar]
    #: The largest value on the scale.
    most: float


@dataclass(frozen=True)
class Curve:
    name: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Axis:
    label: str
    #: Positions and their labels; if empty, powers of ten, or 1, 2 and 5 times these.
    ticks: Sequence[tuple[float, str]] = ()
    is_logarithmic: bool = True


def _text(x: float, y: float, words: str, anchor: str = "start", more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{more}>{escape(words)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, more: str = "") -> str:
    return f'<path d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}"{more}/>'


def _svg(height: float, title: str, body: list[str]) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" '
        f'width="{WIDTH}" height="{height:.0f}" font-family="sans-serif" font-size="{FONT}" '
        f'fill="{INK}" stroke-width="1">'
    )
    return "\n".join([head, f"<title>{escape(title)}</title>", *body, "</svg>", ""])


def _look(name: str) -> tuple[str, str]:
    return LOOKS.get(name, (INK, "circle"))


# ---- Bars ---------------------------------------------------------------------


def bars(title: str, panels: Sequence[Panel]) -> str:
    """Draw two panels per row; a bar is the median, its whisker spans lowest to highest."""
    body: list[str] = []
    top = 0.0
    for left in range(0, len(panels), 2):
        pair = panels[left : left + 2]
        for column, panel in enumerate(pair):
            body += _panel(panel, column * WIDTH / 2, top)
        top += max(len(panel.bars) for panel in pair) * ROW + 46
    return _svg(top, title, body)


def _panel(panel: Panel, left: float, top: float) -> Iterator[str]:
    names, values, gap = 142, 46, 12
    width = WIDTH / 2 - names - values - gap
    scale = width / panel.most
    origin = left + names
    yield _text(left + gap, top + 20, panel.heading, more=' font-weight="bold"')
    for place, bar in enumerate(panel.bars):
        y = top + 30 + place * ROW
        middle = y + ROW / 2
        colour, shape = _look(bar.name)
        is_variant = shape.startswith("hollow")
        length, low, high = (
            min(value, panel.most) * scale for value in (bar.median, bar.low, bar.high)
        )
        yield _text(origin - 20, middle + 4, bar.name, "end")
        yield _marker(shape, colour, origin - 10, middle)
        yield (
            f'<rect x="{origin:.1f}" y="{y + 3:.1f}" width="{length:.1f}" height="{ROW - 6}" '
            f'fill="{colour}" stroke="{colour}" fill-opacity="{0.25 if is_variant else 1}"/>'
        )
        if low < high:
            yield _whisker(origin + low, origin + high, middle)
        cut = "\N{SINGLE RIGHT-POINTING ANGLE QUOTATION MARK} " if bar.median > panel.most else ""
        yield _text(origin + high + 5, middle + 4, cut + short(bar.median))


def _whisker(low: float, high: float, y: float) -> str:
    """The caps extend beyond the bar, so that they are visible on every colour."""
    top, bottom = y - 7, y + 7
    return (
        f'<path d="M{low:.1f} {top:.1f}V{bottom:.1f}M{low:.1f} {y:.1f}H{high:.1f}'
        f'M{high:.1f} {top:.1f}V{bottom:.1f}" fill="none" stroke="{INK}"/>'
    )


def short(figure: float) -> str:
    return f"{figure:.{0 if figure >= 100 else 1 if figure >= 10 else 2}f}"


# ---- Curves -------------------------------------------------------------------


class Scale:
    """Maps values to pixels."""

    def __init__(self, axis: Axis, values: Sequence[float], start: float, end: float) -> None:
        self._is_logarithmic = axis.is_logarithmic
        low, high = min(values), max(values)
        self.ticks = list(axis.ticks)
        if not self.ticks:
            marks = _marks(low, high)
            self.ticks = [(mark, _plain(mark)) for mark in marks]
            low, high = min(low, marks[0]), max(high, marks[-1])
        self._low, self._high = self._place(low), self._place(high)
        self._start, self._end = start, end

    def _place(self, value: float) -> float:
        return math.log10(value) if self._is_logarithmic else value

    def __call__(self, value: float) -> float:
        span = self._high - self._low
        share = (self._place(value) - self._low) / span if span else 0.5
        return self._start + share * (self._end - self._start)


def _marks(low: float, high: float) -> list[float]:
    """Powers of ten that enclose the range, with 2 and 5 times these if it is short."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    digits = (1, 2, 5) if high < 100 * low else (1,)
    marks = [digit * 10.0**power for power in range(first, last + 1) for digit in digits]
    below = max(mark for mark in marks if mark <= low)
    above = min(mark for mark in marks if mark >= high)
    return [mark for mark in marks if below <= mark <= above]


def _plain(value: float) -> str:
    return f"{value:.0f}" if value >= 1 else f"{value:g}"


def curves(title: str, x: Axis, y: Axis, lines: Sequence[Curve]) -> str:
    """Draw all curves in one picture, with a legend at its right."""
    left, right, top, bottom = 78, WIDTH - 170, 16, 330
    points = [point for line in lines for point in line.points]
    across = Scale(x, [px for px, _ in points], left + 12, right - 12)
    up = Scale(y, [py for _, py in points], bottom, top)
    body = [*_grid(across, up, left, right, top, bottom)]
    middle = (top + bottom) / 2
    body.append(_text((left + right) / 2, bottom + 42, x.label, "middle"))
    turned = f' transform="rotate(-90 16 {middle:.0f})"'
    body.append(_text(16, middle, y.label, "middle", turned))
    for place, line in enumerate(lines):
        body += _curve(line, across, up)
        height = top + 10 + place * 20
        colour, shape = _look(line.name)
        body.append(_line(right + 10, height, right + 42, height, _stroke(colour, shape)))
        body.append(_marker(shape, colour, right + 26, height))
        body.append(_text(right + 46, height + 4, line.name))
    return _svg(bottom + 54, title, body)


def _grid(
    across: Scale, up: Scale, left: float, right: float, top: float, bottom: float
) -> Iterator[str]:
    faint = f' stroke="{FAINT}" stroke-opacity="0.4"'
    for value, words in across.ticks:
        yield _line(across(value), top, across(value), bottom, faint)
        yield _text(across(value), bottom + 18, words, "middle")
    for value, words in up.ticks:
        yield _line(left, up(value), right, up(value), faint)
        yield _text(left - 6, up(value) + 4, words, "end")


def _curve(line: Curve, across: Scale, up: Scale) -> Iterator[str]:
    colour, shape = _look(line.name)
    places = [(across(x), up(y)) for x, y in line.points]
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    yield f'<path d="M{path}" fill="none"{_stroke(colour, shape)}/>'
    for x, y in places:
        yield _marker(shape, colour, x, y)


def _stroke(colour: str, shape: str) -> str:
    """The line of a variant is dashed."""
    dashes = ' stroke-dasharray="6 3"' if shape.startswith("hollow") else ""
    return f' stroke="{colour}" stroke-width="2"{dashes}'


def _marker(shape: str, colour: str, x: float, y: float) -> str:
    corners = {
        "square": [(-4, -4), (4, -4), (4, 4), (-4, 4)],
        "diamond": [(0, -6), (5, 0), (0, 6), (-5, 0)],
        "triangle": [(0, -5), (5, 4), (-5, 4)],
    }
    form = shape.removeprefix("hollow ")
    paint = f'fill="{colour}"'
    if form != shape or form == "cross":
        paint = f'fill="none" stroke="{colour}" stroke-width="2"'
    if form == "circle":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" {paint}/>'
    if form == "cross":
        strokes = f"M{x - 4:.1f} {y - 4:.1f}l8 8M{x - 4:.1f} {y + 4:.1f}l8 -8"
        return f'<path d="{strokes}" {paint}/>'
    path = "L".join(f"{x + dx:.1f} {y + dy:.1f}" for dx, dy in corners[form])
    return f'<path d="M{path}Z" {paint}/>'
