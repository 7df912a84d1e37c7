"""Curves of a run as a picture in SVG, drawn at the server: no script, no library."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from typing import Any

Points = Sequence[tuple[float, float]]

WIDTH, HEIGHT = 640, 200
"""Of a picture, in its own units."""
LEFT, RIGHT, TOP, BOTTOM = 52, 8, 8, 22
"""Margins."""
MOST = 400
"""Points of a curve that are drawn."""
GROUPS: dict[str, tuple[str, ...]] = {
    "losses": ("_loss",),
    "critics": ("_real", "_fake"),
    "samples": ("_ratio",),
    "excess": ("_excess",),
    "overfitting": ("_heldout_gap",),
    "penalties": ("_r1", "_r2"),
    "speed": ("clips_per_second",),
    "memory": ("memory_gib",),
}
"""What is drawn together: figures by how their names end."""


def series(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[tuple[float, float]]]:
    """Return each figure of a run's rows over the clips seen; what is no finite number is left out."""
    figures: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        clips = row.get("clips")
        if not _number(clips):
            continue
        for name, value in row.items():
            if name != "clips" and _number(value):
                figures.setdefault(name, []).append((float(clips), float(value)))  # type: ignore[arg-type]
    return figures


def grouped(figures: Mapping[str, Points]) -> dict[str, dict[str, Points]]:
    """Return figures by what is drawn together; others by themselves, under their own names."""
    groups: dict[str, dict[str, Points]] = {}
    for name in sorted(figures):
        group = next((g for g, ends in GROUPS.items() if name.endswith(ends)), name)
        groups.setdefault(group, {})[name] = figures[name]
    order = [*GROUPS, *sorted(groups)]
    return {name: groups[name] for name in dict.fromkeys(order) if name in groups}


def picture(curves: Mapping[str, Points], title: str) -> str:
    """Return curves as SVG; colours are those of the page, by the classes `c0`, `c1` and so on.

    Args:
        curves: by name, points of (clips seen, value).
        title: for screen readers.
    """
    points = [point for curve in curves.values() for point in curve]
    right = max(1.0, max(x for x, _ in points))
    low, high = value_range(points)
    parts = [
        f'<svg class="curves" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{html.escape(title)}">',
        *(_line(y, low, high) for y in _steps(low, high)),
        *(_mark(x, right) for x in _steps(0, right, 5) if x <= right),
    ]
    for number, curve in enumerate(curves.values()):
        path = " ".join(f"{_x(x, right):.1f},{_y(y, low, high):.1f}" for x, y in thin(curve))
        parts.append(f'<polyline class="c{number % 8}" points="{path}"/>')
    return "".join([*parts, "</svg>"])


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def value_range(points: Points) -> tuple[float, float]:
    """Return the bounds of the picture: those of all values but the wildest hundredth."""
    values = sorted(y for _, y in points)
    cut = len(values) // 200
    low, high = values[cut], values[-1 - cut]
    room = (high - low or abs(high) or 1.0) * 0.06
    return low - room, high + room


def _steps(low: float, high: float, about: int = 4) -> list[float]:
    """Return round numbers between two bounds."""
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * unit for unit in (1, 2, 5, 10) if power * unit >= rough)
    first = math.ceil(low / step)
    return [number * step for number in range(first, math.floor(high / step) + 1)]


def thin(curve: Points) -> Points:
    """Return a curve of at most `MOST` points: means of runs of neighbours."""
    if len(curve) <= MOST:
        return curve
    size = math.ceil(len(curve) / MOST)
    parts = [curve[i : i + size] for i in range(0, len(curve), size)]
    return [(sum(x for x, _ in part) / len(part), sum(y for _, y in part) / len(part)) for part in parts]


def _x(value: float, right: float) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * value / right


def _y(value: float, low: float, high: float) -> float:
    share = (value - low) / (high - low)
    return TOP + (HEIGHT - TOP - BOTTOM) * (1 - min(1.02, max(-0.02, share)))


def _line(value: float, low: float, high: float) -> str:
    y = _y(value, low, high)
    text = f'<text x="{LEFT - 6}" y="{y + 3:.1f}" text-anchor="end">{_short(value)}</text>'
    return f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>{text}'


def _mark(value: float, right: float) -> str:
    return f'<text x="{_x(value, right):.1f}" y="{HEIGHT - 6}" text-anchor="middle">{_short(value)}</text>'


def _short(value: float) -> str:
    """Return a number as short as it can be read."""
    if abs(value) >= 10_000:
        return f"{value / 1000:g}k"
    return f"{value:.4g}"
