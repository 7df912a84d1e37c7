"""Plots as SVG inside a page: in the page's own colours, light or dark; values show under the mouse."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from footage.evaluation.report.meanings import number
from footage.pages.page import escaped

WIDTH, HEIGHT = 440, 230
"""Size of a plot in its own units; it is as wide as its place on the page."""
LEFT, RIGHT, TOP, BOTTOM = 52, 10, 10, 40
"""Margins."""
MARKED = 40
"""Lines of more points than this have no dots."""
KINDS = 8
"""Colours that lines can have."""

STYLE = """
:root { --c0: #1f6feb; --c1: #b4540a; --c2: #2d7d46; --c3: #8a3ffc; --c4: #c2255c; --c5: #0b7285; --c6: #7a5c00;
  --c7: #5c6470; --real: #b4540a; --floor: #6b7280; }
@media (prefers-color-scheme: dark) { :root { --c0: #6ea8fe; --c1: #f0a35e; --c2: #6fcf8f; --c3: #b794f6; --c4: #f783ac;
  --c5: #5fd0e6; --c6: #e0c060; --c7: #aab2bd; --real: #f0a35e; --floor: #9aa4b0; } }
.plots { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 24rem), 1fr)); gap: 1.5rem; }
figure { margin: 0; } figcaption { font-weight: 600; } figure p { margin: .2rem 0; }
svg { width: 100%; height: auto; display: block; overflow: visible; }
svg text { fill: var(--soft); font: 11px system-ui, sans-serif; }
svg .grid { stroke: var(--line); } svg .line { fill: none; stroke-width: 2; stroke-linejoin: round; }
.legend { color: var(--soft); font-size: .85rem; } .legend span { margin-right: 1rem; white-space: nowrap; }
.legend svg { display: inline-block; width: 1.6rem; height: .7rem; margin-right: .3rem; }
"""
"""What plots need beside the style of every page."""


@dataclass(frozen=True)
class Drawn:
    """A line of a plot."""

    name: str
    """What the legend calls it."""
    x: tuple[float, ...]
    """Places on the x-axis."""
    y: tuple[float | None, ...]
    """Values; None leaves a gap."""
    colour: str
    """A variable of the style, such as `--c0`."""
    dash: str = ""
    """Lengths of dashes and gaps; empty for a whole line."""
    low: tuple[float | None, ...] = ()
    """Lower ends of intervals, or nothing."""
    high: tuple[float | None, ...] = ()
    """Upper ends."""


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Return round numbers, 1, 2 or 5 times a power of ten apart, that lie between two values."""
    if not high > low:
        return [low]
    raw = (high - low) / count
    power: float = 10.0 ** math.floor(math.log10(raw))
    step: float = power * next(times for times in (1, 2, 5, 10) if raw <= times * power * (1 + 1e-9))
    first = math.ceil(low / step - 1e-9)
    return [n * step for n in range(first, math.floor(high / step + 1e-9) + 1)]


def _extent(values: Sequence[float | None], zero: bool) -> tuple[float, float]:
    known = [value for value in values if value is not None and math.isfinite(value)]
    if not known:
        return 0.0, 1.0
    low, high = min(known), max(known)
    if zero and low >= 0:
        low = 0.0
    if high - low < 1e-12 * max(1.0, abs(high)):
        return low - 0.5, high + 0.5
    return low if zero and low == 0 else low - 0.05 * (high - low), high + 0.05 * (high - low)


@dataclass(frozen=True)
class _Frame:
    """Where values lie on a plot."""

    x: tuple[float, float]
    y: tuple[float, float]

    def at_x(self, value: float) -> float:
        return LEFT + (value - self.x[0]) / ((self.x[1] - self.x[0]) or 1) * (WIDTH - LEFT - RIGHT)

    def at_y(self, value: float) -> float:
        return HEIGHT - BOTTOM - (value - self.y[0]) / ((self.y[1] - self.y[0]) or 1) * (HEIGHT - TOP - BOTTOM)


def legend(lines: Sequence[Drawn]) -> str:
    """Return what the lines are called, each beside a piece of it."""
    parts = []
    for line in lines:
        piece = (
            f'<line x1="0" y1="5" x2="26" y2="5" style="stroke:var({line.colour});stroke-width:2.5"{_dashes(line)}/>'
        )
        parts.append(f'<span><svg viewBox="0 0 26 10" aria-hidden="true">{piece}</svg>{escaped(line.name)}</span>')
    return f'<p class="legend">{"".join(parts)}</p>'


def _dashes(line: Drawn) -> str:
    return f' stroke-dasharray="{line.dash}"' if line.dash else ""


def _open(label: str) -> str:
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escaped(label)}">'


def _axes(frame: _Frame, axis: str, unit: str, x_labels: Sequence[tuple[float, str]]) -> Iterator[str]:
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    for value in ticks(*frame.y):
        y = frame.at_y(value)
        yield f'<line class="grid" x1="{LEFT}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}"/>'
        yield f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:.6g}</text>'
    for place, text in x_labels:
        yield f'<text x="{place:.1f}" y="{bottom + 15}" text-anchor="middle">{escaped(text)}</text>'
    yield f'<text x="{(LEFT + right) / 2}" y="{HEIGHT - 6}" text-anchor="middle">{escaped(axis)}</text>'
    if unit:
        yield f'<text x="12" y="{(TOP + bottom) / 2}" text-anchor="middle" ' + (
            f'transform="rotate(-90 12 {(TOP + bottom) / 2})">{escaped(unit)}</text>'
        )


def lines(label: str, axis: str, unit: str, drawn: Sequence[Drawn], *, zero: bool = False) -> str:
    """Return lines over an axis, with bands where they have intervals.

    Args:
        label: what the plot shows, for those who cannot see it.
        axis: what runs to the right.
        unit: what runs upwards; may be empty.
        drawn: the lines.
        zero: whether the y-axis begins at 0.
    """
    values = [value for line in drawn for value in (*line.y, *line.low, *line.high)]
    places = [x for line in drawn for x in line.x]
    span = (min(places), max(places)) if places else (0.0, 1.0)
    frame = _Frame(span if span[1] > span[0] else (span[0] - 0.5, span[1] + 0.5), _extent(values, zero))
    parts = [_open(label)]
    parts += _axes(frame, axis, unit, [(frame.at_x(x), f"{x:,.6g}") for x in ticks(*frame.x)])
    for line in drawn:
        parts += _line(frame, line)
    return "".join([*parts, "</svg>"])


def _line(frame: _Frame, line: Drawn) -> Iterator[str]:
    if line.low:
        known = [
            (frame.at_x(x), frame.at_y(low), frame.at_y(high))
            for x, low, high in zip(line.x, line.low, line.high, strict=True)
            if low is not None and high is not None
        ]
        edge = [f"{x:.1f},{y:.1f}" for x, y, _ in known] + [f"{x:.1f},{y:.1f}" for x, _, y in reversed(known)]
        if len(known) == 1:
            x, low_y, high_y = known[0]
            yield f'<line x1="{x:.1f}" y1="{low_y:.1f}" x2="{x:.1f}" y2="{high_y:.1f}" '
            yield f'style="stroke:var({line.colour})"/>'
        elif known:
            yield f'<polygon points="{" ".join(edge)}" style="fill:var({line.colour});opacity:.15"/>'
    stretch: list[tuple[float, float]] = []
    for x, y in [*zip(line.x, line.y, strict=True), (0.0, None)]:
        if y is not None:
            stretch.append((frame.at_x(x), frame.at_y(y)))
            continue
        if len(stretch) > 1:
            path = " ".join(f"{a:.1f},{b:.1f}" for a, b in stretch)
            yield f'<polyline class="line" points="{path}" style="stroke:var({line.colour})"{_dashes(line)}/>'
        stretch = []
    if len(line.x) <= MARKED:
        for x, y in zip(line.x, line.y, strict=True):
            if y is not None:
                said = escaped(f"{line.name}: {number(y)} at {x:,.6g}")
                yield f'<circle cx="{frame.at_x(x):.1f}" cy="{frame.at_y(y):.1f}" r="2.6" '
                yield f'style="fill:var({line.colour})"><title>{said}</title></circle>'


def bars(label: str, axis: str, unit: str, names: Sequence[str], drawn: Sequence[Drawn]) -> str:
    """Return groups of bars, one for each class, a bar for each of `drawn` beside each other."""
    frame = _Frame((0, len(names)), _extent([y for line in drawn for y in line.y], True))
    middle = [(frame.at_x(n + 0.5), name) for n, name in enumerate(names)]
    parts = [_open(label), *_axes(frame, axis, unit, middle[:: 1 + len(names) // 14])]
    wide = (frame.at_x(1) - frame.at_x(0)) * 0.8 / max(1, len(drawn))
    for number_of, line in enumerate(drawn):
        for place, y in enumerate(line.y):
            if y is None:
                continue
            left, top = frame.at_x(place + 0.1) + number_of * wide, frame.at_y(y)
            said = escaped(f"{line.name}, {names[place]}: {number(y)}")
            parts.append(
                f'<rect x="{left:.1f}" y="{top:.1f}" width="{wide:.1f}" height="{frame.at_y(0) - top:.1f}" '
                f'style="fill:var({line.colour})"><title>{said}</title></rect>'
            )
    return "".join([*parts, "</svg>"])


def gauge(value: float, interval: tuple[float, float] | None, floor: float | None, aim: float | None) -> str:
    """Return a line with a figure on it: a dot in its interval, a diamond for the floor, a stroke for the best.

    Args:
        value: the figure.
        interval: ends of its interval.
        floor: the same of real clips against real ones.
        aim: the value that is best, where there is one.
    """
    known: list[float] = [value, *(interval or ()), *(x for x in (floor, aim) if x is not None)]
    low, high = min(known), max(known)
    if aim is None and low >= 0:
        low = 0.0
    margin = 0.08 * (high - low) or 0.5
    begin, end = low - (0.0 if low == 0 and aim is None else margin), high + margin

    def at(x: float) -> float:
        return 8 + (x - begin) / (end - begin) * 284

    parts = ['<svg class="gauge" viewBox="0 0 300 22" aria-hidden="true">']
    parts.append('<line class="grid" x1="8" y1="11" x2="292" y2="11"/>')
    if aim is not None:
        x = at(aim)
        parts.append(f'<line x1="{x:.1f}" y1="2" x2="{x:.1f}" y2="20" style="stroke:var(--ink);stroke-width:1.5"/>')
    if interval is not None:
        a, b = (at(x) for x in interval)
        parts.append(
            f'<line x1="{a:.1f}" y1="11" x2="{b:.1f}" y2="11" style="stroke:var(--c0);stroke-width:5;opacity:.4"/>'
        )
    if floor is not None:
        x = at(floor)
        parts.append(
            f'<path d="M{x:.1f} 5l6 6l-6 6l-6 -6z" style="fill:var(--paper);stroke:var(--real);stroke-width:2"/>'
        )
    parts.append(f'<circle cx="{at(value):.1f}" cy="11" r="4.5" style="fill:var(--c0)"/></svg>')
    return "".join(parts)
