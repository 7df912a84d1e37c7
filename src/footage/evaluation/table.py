"""Figures for the terminal."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from footage.evaluation.results import Evaluation, Figure, Network

ARROWS = {"lower": "↓", "higher": "↑", "one": "→ 1", "real": "→ real"}
"""Which value is best."""


def number(value: float | None) -> str:
    """Write a figure with three digits that count; – where there is none."""
    if value is None:
        return "–"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) >= 1e-3 or not value else f"{value:.2e}"


def _reach(figure: Figure) -> str:
    if figure.interval is None:
        return ""
    return f"{number(figure.interval.low)} … {number(figure.interval.high)}"


def _beside(figure: Figure) -> str:
    """Write what stands beside a figure: the floor, the value of the real clips, or the plain answer."""
    if figure.floor is not None:
        counts = "" if figure.floor.clips == figure.clips else f" (of {figure.floor.clips[0]:,})"
        return f"{number(figure.floor.value)}{counts}"
    if figure.real is not None:
        return f"{number(figure.real)} (real)"
    return "" if figure.plain is None else f"{number(figure.plain)} (plain answer)"


def networks(found: Evaluation, figure: Figure) -> str:
    """Name the networks of a figure with the beginnings of their hashes."""
    known: dict[str, Network] = {network.name: network for network in found.networks}
    return ", ".join(f"{name} {known[name].digest[:8]}" for name in figure.networks)


def table(found: Evaluation) -> Table:
    """Return the figures of an evaluation for the terminal."""
    made, real, protocol = found.made, found.real, found.protocol
    shown = Table("figure", "value", "95% interval", "real : real", "tier")
    shown.title = f"{made.given} beside {real.given}"
    shown.title_justify = shown.caption_justify = "left"
    metric = ""
    for figure in found.figures:
        if metric and figure.metric != metric:
            shown.add_section()
        metric = figure.metric
        label = Text(f"{figure.label} {ARROWS[figure.better]}")
        shown.add_row(label, number(figure.value), _reach(figure), _beside(figure), figure.tier)
    if found.memorisation is not None:
        shown.add_section()
        for space in found.memorisation.spaces:
            name = Text(f"near-copies, {space.name} ↓")
            beside = f"{space.below_real:.1%} (unseen clips)"
            reach = f"{space.interval.low:.1%} … {space.interval.high:.1%}"
            shown.add_row(name, f"{space.below:.1%}", reach, beside, space.tier)
    lines = [
        f"protocol {protocol.name}: {made.windows:,} : {real.windows:,} clips of {made.frames} frames of "
        f"{made.width}×{made.height}, seed {found.seed}, "
        f"{protocol.repeats} repeat{'' if protocol.repeats == 1 else 's'}",
        f"floor: {found.floor}",
    ]
    if made.split or real.split:
        lines[0] += f"; clips of split {' : '.join(part for part in (made.split, real.split) if part)}"
    for network in found.networks:
        lines.append(f"{network.name}: tier {network.tier}, {network.size} features, {network.digest[:16]}")
    shown.caption = Text("\n".join(lines))
    return shown
