"""Plots: as SVG inside pages, in the page's own colours, light or dark, values under the mouse; as PNG beside runs.

SVG is drawn here and not by Matplotlib, which takes about .3 s and 20 to 50 KB for each plot, too much for pages that
hold dozens and that the studio renews every few seconds; it also knows neither the page's colours nor titles of points.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from footage import files
from footage.pages.environment import environment, format_figure

WIDTH, HEIGHT = 440, 230
"""Size of a plot in its own units; it is as wide as its place on the page."""
LEFT, RIGHT, TOP, BOTTOM, BOTTOM_BARE = 60, 10, 10, 40, 22
"""Margins; the last one where no text stands below the numbers of the x-axis."""
MARKED = 40
"""Series of more points than this have no dots."""
COLOURS = 8
"""Colours that series can have: `c0` to `c7`, besides `real` and `floor`."""
MOST = 400
"""Points of a thinned series."""


@dataclass(frozen=True)
class PlotSeries:
    """A line of a plot, or its bars."""

    name: str
    """What the legend calls it."""
    x: tuple[float, ...]
    y: tuple[float | None, ...]
    """Values; None leaves a gap."""
    colour: str = "c0"
    """Its class in SVG: `c0` to `c7`, `real` or `floor`."""
    dash: str = ""
    """Lengths of dashes and gaps; empty for a whole line."""
    low: tuple[float | None, ...] = ()
    """Lower ends of intervals, or nothing; so are the upper ends in `high`."""
    high: tuple[float | None, ...] = ()

    def thinned(self) -> PlotSeries:
        """Return the series with at most `MOST` points: means of runs of neighbours. It must have no gaps."""
        count = len(self.x)
        if count <= MOST:
            return self
        starts = np.arange(0, count, math.ceil(count / MOST))
        sizes = np.diff(np.append(starts, count))
        x, y = (np.add.reduceat(np.asarray(axis, dtype=float), starts) / sizes for axis in (self.x, self.y))
        return replace(self, x=tuple(x.tolist()), y=tuple(y.tolist()))


@dataclass(frozen=True)
class Plot:
    """What a plot shows."""

    label: str
    """Its title; in SVG for those who cannot see it."""
    axis: str
    """What runs to the right; may be empty."""
    series: Sequence[PlotSeries]
    unit: str = ""
    """What runs upwards; may be empty."""
    zero: bool = False
    """Whether the y-axis begins at 0, where no value is below."""


@dataclass(frozen=True)
class _Frame:
    """Where values lie on a plot."""

    x: tuple[float, float]
    y: tuple[float, float]
    right: int
    bottom: int
    left: int = LEFT
    top: int = TOP

    def at_x(self, value: float) -> float:
        return round(self.left + (value - self.x[0]) / (self.x[1] - self.x[0] or 1) * (self.right - self.left), 1)

    def at_y(self, value: float) -> float:
        share = min(1.02, max(-0.02, (value - self.y[0]) / (self.y[1] - self.y[0] or 1)))
        return round(self.bottom - share * (self.bottom - self.top), 1)


@dataclass
class _Layer:
    """What is drawn of one series, in the units of the plot."""

    colour: str
    dash: str = ""
    band: str = ""
    whisker: str = ""
    stretches: list[str] = field(default_factory=list)
    dots: list[tuple[float, float, str]] = field(default_factory=list)
    radius: float = 2.6
    bars: list[tuple[float, float, float, float, str]] = field(default_factory=list)


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Return round numbers, 1, 2 or 5 times a power of ten apart, that lie between two values."""
    if not high > low:
        return [low]
    raw = (high - low) / count
    power: float = 10.0 ** math.floor(math.log10(raw))
    step: float = power * next(times for times in (1, 2, 5, 10) if raw <= times * power * (1 + 1e-9))
    first = math.ceil(low / step - 1e-9)
    return [n * step for n in range(first, math.floor(high / step + 1e-9) + 1)]


def tick_label(value: float) -> str:
    """Write a number beside an axis as short as it can be read, such as .05, 4,000, 25k or 1.25M."""
    for power, sign in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= max(power, 10_000):
            return f"{value / power:.6g}{sign}"
    return f"{value:,.6g}"


def bounds(values: Sequence[float | None], *, zero: bool = False, wild: bool = True) -> tuple[float, float]:
    """Return the ends of a y-axis that holds the values, with some room; None and what is not finite does not count.

    With `zero` it begins at 0, where no value is below. Without `wild` the wildest hundredth may lie outside.
    """
    known = sorted(value for value in values if value is not None and math.isfinite(value))
    if not known:
        return 0.0, 1.0
    cut = 0 if wild else len(known) // 200
    low, high = known[cut], known[-1 - cut]
    if zero and low >= 0:
        low = 0.0
    if high - low < 1e-12 * max(1.0, abs(high)):
        margin = 0.1 * abs(high) or 0.5
        return low - margin, high + margin
    return low if zero and low == 0 else low - 0.05 * (high - low), high + 0.05 * (high - low)


def line_svg(
    plot: Plot,
    *,
    size: tuple[int, int] = (WIDTH, HEIGHT),
    wild: bool = True,
    marked: int = MARKED,
    point: str = "{name}: {value} at {place}",
) -> str:
    """Return lines over an axis as markup, with bands where they have intervals.

    `size` is in units of the text's size. Without `wild` the wildest hundredth of the values runs off the y-axis.
    Series of more points than `marked` have no dots; what a dot says is `point`.
    """
    places = [x for line in plot.series for x in line.x] or [0.0]
    start, end = min(places), max(places)
    if 0 < start < 0.05 * end:
        start = 0.0
    values = [value for line in plot.series for value in (*line.y, *line.low, *line.high)]
    frame = _Frame(
        (start, end) if end > start else (start - 0.5, start + 0.5),
        bounds(values, zero=plot.zero, wild=wild),
        size[0] - RIGHT,
        size[1] - (BOTTOM if plot.axis else BOTTOM_BARE),
    )
    layers = []
    for line in plot.series:
        layer = _Layer(line.colour, line.dash)
        ends = [
            (frame.at_x(x), frame.at_y(low), frame.at_y(high))
            for x, low, high in zip(line.x, line.low or line.y, line.high or line.y, strict=True)
            if line.low and low is not None and high is not None
        ]
        edge = " ".join([*(f"{x},{low}" for x, low, _ in ends), *(f"{x},{high}" for x, _, high in reversed(ends))])
        layer.band, layer.whisker = (edge, "") if len(ends) > 1 else ("", edge)
        points = [(frame.at_x(x), None if y is None else frame.at_y(y)) for x, y in zip(line.x, line.y, strict=True)]
        stretch: list[str] = []
        for x, y in [*points, (0.0, None)]:
            if y is not None:
                stretch.append(f"{x},{y}")
                continue
            if len(stretch) > 1:
                layer.stretches.append(" ".join(stretch))
            stretch = []
        layer.radius = 2.6 if len(points) > 1 else 4.0
        if len(points) <= marked:
            layer.dots = [
                (x, y, point.format(name=line.name, value=format_figure(value), place=f"{place:,.6g}"))
                for (x, y), place, value in zip(points, line.x, line.y, strict=True)
                if y is not None
            ]
        layers.append(layer)
    columns = [(frame.at_x(x), tick_label(x)) for x in ticks(*(frame.x if end > start else (start, end)))]
    return _chart(plot, size, frame, columns, layers)


def bar_svg(plot: Plot, names: Sequence[str]) -> str:
    """Return groups of bars as markup, a group for each of `names`, a bar for each series beside each other."""
    values = [y for line in plot.series for y in line.y]
    frame = _Frame((0, len(names)), bounds(values, zero=True), WIDTH - RIGHT, HEIGHT - BOTTOM)
    wide = (frame.at_x(1) - frame.at_x(0)) * 0.8 / max(1, len(plot.series))
    layers = []
    for number, line in enumerate(plot.series):
        layer = _Layer(line.colour)
        for place, y in enumerate(line.y):
            if y is not None:
                left, top = round(frame.at_x(place + 0.1) + number * wide, 1), frame.at_y(y)
                text = f"{line.name}, {names[place]}: {format_figure(y)}"
                layer.bars.append((left, top, round(wide, 1), round(frame.at_y(0) - top, 1), text))
        layers.append(layer)
    middles = [(frame.at_x(n + 0.5), name) for n, name in enumerate(names)]
    return _chart(plot, (WIDTH, HEIGHT), frame, middles[:: 1 + len(names) // 14], layers)


def _chart(
    plot: Plot, size: tuple[int, int], frame: _Frame, columns: list[tuple[float, str]], layers: list[_Layer]
) -> str:
    rows = [(frame.at_y(y), tick_label(y)) for y in ticks(*frame.y)]
    svg: str = _macros().chart(plot.label, *size, frame, rows, columns, plot.axis, plot.unit, layers)
    return svg


def gauge_svg(value: float, interval: tuple[float, float] | None, floor: float | None, aim: float | None) -> str:
    """Return a figure on a line as markup: a dot in its interval, a diamond for the floor, a stroke for the best.

    The floor is the same figure of real clips against real ones; `aim` is the value that is best, where there is one.
    """
    known: list[float] = [value, *(interval or ()), *(x for x in (floor, aim) if x is not None)]
    low, high = min(known), max(known)
    if aim is None and low >= 0:
        low = 0.0
    margin = 0.08 * (high - low) or 0.5
    begin, end = low - (0.0 if low == 0 and aim is None else margin), high + margin

    def at(x: float | None) -> float | None:
        return None if x is None else round(8 + (x - begin) / (end - begin) * 284, 1)

    svg: str = _macros().gauge(at(value), [at(x) for x in interval or ()], at(floor), at(aim))
    return svg


def _macros() -> Any:
    return environment().get_template("plots.svg").module


def write_png(
    path: Path, plots: Sequence[Plot], *, columns: int = 2, inches: tuple[float, float] = (5.5, 3.5), log: bool = False
) -> None:
    """Write plots of lines beside and below each other as one PNG, atomically; series that are empty are left out.

    `inches` are width and height of each, at 110 pixels an inch; with `log` the x-axes are logarithmic.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = -(-len(plots) // columns)
    figure = Figure(figsize=(inches[0] * columns, inches[1] * rows))
    FigureCanvasAgg(figure)
    # Margins that hold every text: a layout made to measure, and every tick more, takes as long as the drawing itself.
    grid = figure.add_gridspec(
        rows,
        columns,
        left=0.7 / figure.get_figwidth(),
        right=1 - 0.15 / figure.get_figwidth(),
        bottom=0.45 / figure.get_figheight(),
        top=1 - 0.3 / figure.get_figheight(),
        wspace=0.85 / (inches[0] - 0.85),
        hspace=0.75 / (inches[1] - 0.75),
    )
    for place, plot in enumerate(plots):
        axes: Any = figure.add_subplot(grid[place])
        for line in plot.series:
            if line.x:
                axes.plot(line.x, line.y, label=line.name, linewidth=1.2, marker="o" if len(line.x) == 1 else None)
        axes.set_title(plot.label, fontsize=10)
        axes.set_xlabel(plot.axis, fontsize=8)
        axes.set_ylabel(plot.unit, fontsize=8)
        axes.tick_params(labelsize=8)
        axes.locator_params(nbins=6)
        axes.grid(alpha=0.3, which="both")
        if log:
            axes.set_xscale("log")
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize=8)
    with files.writing(path) as handle, matplotlib.rc_context({"savefig.dpi": 110}):
        figure.savefig(handle, format="png")
