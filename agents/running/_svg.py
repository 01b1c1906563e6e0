"""Curves as inline SVG, for pages that load nothing: numbers in, text out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from html import escape

WIDTH, HEIGHT = 460, 240
LEFT, RIGHT, TOP, BOTTOM = 58, 12, 10, 38
POINTS = 300  # of a curve; longer ones are drawn as the means of as many slices
COLOURS = 8  # classes c0 ... c7 of the page's style sheet
FLAT = 1e-9  # a span below this share of the values is what rounding makes of a constant
TINY, HUGE = 1e-300, 1e300  # axes begin at 0 below the one and end at the other: beyond, a span is 0 or infinite


@dataclass(frozen=True)
class Curve:
    """A line through (x, y), with half-widths of intervals where there are any; `colour` -1 is the next in turn."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    half: Sequence[float] = ()
    colour: int = -1


def chart(title: str, curves: Sequence[Curve], *, percent: bool = False) -> str:
    """A `<figure>` with axes, grid, curves and, if there are several, a legend; one of a single point shows a dot."""
    drawn = [_thinned(_finite(curve)) for curve in curves]
    drawn = [replace(c, colour=i % COLOURS) if c.colour < 0 else c for i, c in enumerate(drawn) if len(c.x)]
    if not drawn:
        return ""
    reach = [y + s * h for c in drawn for y, h in zip(c.y, c.half or [0.0] * len(c.y), strict=True) for s in (-1, 1)]
    low, high = (max(0.0, min(reach)), min(1.0, max(reach))) if percent else (min(reach), max(reach))
    # Only whole updates.
    xs = [x for x in ticks(min(min(c.x) for c in drawn), max(max(c.x) for c in drawn)) if x == round(x)]
    ys = ticks(low, high)
    scale = _Scale(min(min(c.x) for c in drawn), max(max(c.x) for c in drawn), ys[0], ys[-1])
    body = [_grid(scale, xs, ys, percent)]
    body += [_curve(scale, curve, percent) for curve in drawn]
    legend = _legend(drawn) if len(drawn) > 1 else ""
    svg = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">{"".join(body)}</svg>'
    return f"<figure><figcaption>{escape(title)}</figcaption>{svg}{legend}</figure>"


def ticks(low: float, high: float, count: int = 4) -> list[float]:
    """Round numbers, about `count` steps of them, from at most `low` to at least `high`, within `HUGE`."""
    low, high = (0.0 if abs(v) < TINY else min(max(v, -HUGE), HUGE) for v in (low, high))
    if high - low <= FLAT * max(abs(low), abs(high)):
        middle = (low + high) / 2
        pad = abs(middle) * 0.1 or 1.0
        low, high = (middle - pad if middle else 0.0), middle + pad
    raw = (high - low) / count
    exponent = math.floor(math.log10(raw))
    unit = 10.0**exponent
    step = next(m * unit for m in (1, 2, 2.5, 5, 10) if m * unit >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 2 - exponent) for i in range(first, last + 1)]


def number(value: float, percent: bool = False) -> str:
    """A tick's or a tooltip's text."""
    if percent:
        return f"{100 * value:.3g}%"
    if value and (abs(value) >= 1e7 or abs(value) < 1e-3):
        return f"{value:.2g}".replace("e-0", "e-").replace("e+0", "e")
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


@dataclass(frozen=True)
class _Scale:
    x0: float
    x1: float
    y0: float
    y1: float

    def x(self, value: float) -> float:
        share = (value - self.x0) / (self.x1 - self.x0) if self.x1 > self.x0 else 0.5
        return round(LEFT + share * (WIDTH - LEFT - RIGHT), 1)

    def y(self, value: float) -> float:
        value = min(max(value, self.y0), self.y1)
        share = (value - self.y0) / (self.y1 - self.y0) if self.y1 > self.y0 else 0.5
        return round(HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM), 1)


def _grid(scale: _Scale, xs: Sequence[float], ys: Sequence[float], percent: bool) -> str:
    out = []
    for value in ys:
        y = scale.y(value)
        out.append(f'<path class="grid" d="M{LEFT} {y}H{WIDTH - RIGHT}"/>')
        out.append(f'<text x="{LEFT - 6}" y="{y + 4}" text-anchor="end">{number(value, percent)}</text>')
    for value in xs:
        if scale.x0 <= value <= scale.x1:
            out.append(f'<text x="{scale.x(value)}" y="{HEIGHT - 20}" text-anchor="middle">{number(value)}</text>')
    out.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 4}" text-anchor="middle">update</text>')
    return "".join(out)


def _curve(scale: _Scale, curve: Curve, percent: bool) -> str:
    colour = curve.colour
    points = [(scale.x(x), scale.y(y)) for x, y in zip(curve.x, curve.y, strict=True)]
    out = [f'<polyline class="c{colour}" points="{" ".join(f"{x},{y}" for x, y in points)}"/>']
    for (x, _), value, half in zip(points, curve.y, curve.half, strict=False):
        out.append(f'<path class="c{colour} bar" d="M{x} {scale.y(value - half)}V{scale.y(value + half)}"/>')
    if len(points) <= 40:
        for (x, y), step, value in zip(points, curve.x, curve.y, strict=True):
            said = f"{curve.name}, update {number(step)}: {number(value, percent)}"
            out.append(f'<circle class="c{colour}" cx="{x}" cy="{y}" r="2.6"><title>{escape(said)}</title></circle>')
    return "".join(out)


def _legend(curves: Sequence[Curve]) -> str:
    items = (f'<li><i class="c{curve.colour}"></i>{escape(curve.name)}</li>' for curve in curves)
    return f"<ul>{''.join(items)}</ul>"


def _finite(curve: Curve) -> Curve:
    half = curve.half or [0.0] * len(curve.x)
    kept = [row for row in zip(curve.x, curve.y, half, strict=True) if all(map(math.isfinite, row))]
    x, y, h = zip(*kept, strict=True) if kept else ((), (), ())
    return replace(curve, x=x, y=y, half=h if curve.half else ())


def _thinned(curve: Curve) -> Curve:
    size = -(-len(curve.x) // POINTS)
    if size <= 1:
        return curve
    starts = range(0, len(curve.x), size)
    x, y = ([sum(v[i : i + size]) / len(v[i : i + size]) for i in starts] for v in (curve.x, curve.y))
    return replace(curve, x=x, y=y, half=())
