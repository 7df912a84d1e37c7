"""How much clips differ from each other: in pixels and in features, over all and within each class."""

from __future__ import annotations

import math
import statistics

import numpy as np
import torch
from torch import Tensor

from footage.data.store import Frames
from footage.evaluation.closed import small_shape
from footage.evaluation.describe import SMALL, Described
from footage.evaluation.draws import HOW, Draws, interval, of_means
from footage.evaluation.evidence import Evidence, groups_of, label_of
from footage.evaluation.results import Curve, Figure
from footage.generation.rollout import from_uint8
from footage.metrics.fidelity import SSIM_WINDOW, ssim
from footage.metrics.rows import Chosen, Rows, blocks

PAIRS = 128
"""Pairs of clips whose structural similarity is taken."""
STILL = 1e-9
"""Spread of real clips below which no ratio to it is given."""


def spread(mean: Tensor, square: Tensor) -> float:
    """Return the root of the summed variances, from means and means of squares (D,): the deviation between clips."""
    return math.sqrt(float((square - mean.square()).clamp(min=0).sum()))


def _spreads(rows: Rows, draws: Draws | None = None) -> tuple[Tensor, Tensor]:
    """Return mean and mean square of the vectors less their first one, (2 D,), and those of each draw (R, 2 D)."""
    count, size = rows.shape
    weights = np.empty((0, count), dtype=np.uint8) if draws is None else draws.weights
    start = torch.from_numpy(np.asarray(rows[0:1], dtype=np.float64))
    whole = torch.zeros(2 * size, dtype=torch.float64)
    drawn = torch.zeros(len(weights), 2 * size, dtype=torch.float64)
    for first, block in blocks(rows):
        moved = block - start
        both = torch.cat([moved, moved.square()], dim=1)
        whole += both.sum(dim=0)
        drawn += torch.from_numpy(weights[:, first : first + len(block)]).double() @ both
    return whole / count, drawn / count


def _ratio(made: Tensor, real: Tensor) -> float | None:
    size = len(made) // 2
    known = spread(real[:size], real[size:])
    return spread(made[:size], made[size:]) / known if known > STILL else None


def _spread_ratio(found: Evidence, name: str) -> tuple[float | None, list[float | None], float | None]:
    """Return the ratio of spreads in one space, that of each draw, and that of the floor."""
    made, real = _spreads(found.made.rows[name], found.made_draws), _spreads(found.real.rows[name], found.real_draws)
    drawn = [_ratio(a, b) for a, b in zip(made[1], real[1], strict=True)]
    floor = _ratio(*(_spreads(side.rows[name])[0] for side in found.floor)) if found.floor else None
    return _ratio(made[0], real[0]), drawn, floor


def _within_labels(found: Evidence, name: str) -> dict[str, float]:
    """Return the ratio of spreads within each class that both sides have two clips of."""
    ratios = {}
    for place, label in enumerate(found.made_labels):
        if label not in found.real_labels:
            continue
        sides = ((found.made, place), (found.real, found.real_labels.index(label)))
        rows = [Chosen(side.rows[name], np.flatnonzero(side.labels == number)) for side, number in sides]
        if min(part.shape[0] for part in rows) < 2:
            continue
        ratio = _ratio(*(_spreads(part)[0] for part in rows))
        if ratio is not None:
            ratios[label] = ratio
    return ratios


def _similar(side: Described, shape: tuple[int, int, int, int], seed: int) -> Tensor:
    """Return 1 - SSIM of random pairs of small copies, (PAIRS,)."""
    rng = np.random.Generator(np.random.Philox(key=[seed, 0xBA125]))
    first = rng.integers(side.count, size=PAIRS)
    second = (first + 1 + rng.integers(side.count - 1, size=PAIRS)) % side.count
    found = []
    for start in range(0, PAIRS, 64):
        clips = []
        for numbers in (first[start : start + 64], second[start : start + 64]):
            copies: Frames = Chosen(side.rows[SMALL], numbers)[:]
            clips.append(from_uint8(copies.reshape(len(numbers), *shape)))
        found.append(1 - ssim(*clips).mean(dim=1))
    return torch.cat(found)


def diversity(found: Evidence) -> tuple[list[Figure], list[Curve]]:
    """Return how much the clips differ from each other, beside real ones; 1 is as much."""
    figures = []
    if min(found.counts) < 2:
        return [], []
    ratio, drawn, floor = _spread_ratio(found, SMALL)
    figures.append(_figure(found, "variety", "variety of pixels, made : real", ratio, drawn, floor))
    shape = found.made.clips.shape
    small = small_shape(shape.frames, shape.height, shape.width, shape.channels)
    if min(small[1:3]) > SSIM_WINDOW // 2:
        figures.append(_ssim_figure(found, small))
    for group in (group for group in groups_of(found.nets) if group.of == "clip"):
        parts = [_spread_ratio(found, name) for name in group.names]
        values = [part[0] for part in parts if part[0] is not None]
        floors = [part[2] for part in parts if part[2] is not None]
        by_draw = [
            statistics.mean(known) if len(known := [x for x in one if x is not None]) == len(parts) else None
            for one in zip(*(part[1] for part in parts), strict=True)
        ]
        label = label_of("variety", group, found.frames, found.stride)
        if len(values) < len(parts):
            continue
        figure = _figure(
            found,
            "variety",
            label,
            statistics.mean(values),
            by_draw,
            statistics.mean(floors) if floors else None,
            group=group,
            by_network=values,
        )
        figures.append(figure)
        by_label = [_within_labels(found, name) for name in group.names]
        common = [label for label in by_label[0] if all(label in one for one in by_label)]
        if common:
            within = {label: statistics.mean(one[label] for one in by_label) for label in common}
            figures.append(
                found.figure(
                    "diversity",
                    "variety_within_labels",
                    label_of("variety within labels", group, found.frames, found.stride),
                    statistics.mean(within.values()),
                    better="one",
                    group=group,
                    by_network=[statistics.mean(one[label] for label in common) for one in by_label],
                    note=", ".join(f"{label} {value:.2f}" for label, value in within.items()),
                )
            )
    return figures, []


def _figure(
    found: Evidence,
    name: str,
    label: str,
    value: float | None,
    drawn: list[float | None],
    floor: float | None,
    **more: object,
) -> Figure:
    known = [one for one in drawn if one is not None]
    spread_of = interval(value, known, HOW) if value is not None and len(known) == len(drawn) else None
    return found.figure("diversity", name, label, value, better="one", floor=floor, interval=spread_of, **more)  # type: ignore[arg-type]


def _ssim_figure(found: Evidence, small: tuple[int, int, int, int]) -> Figure:
    """Return how dissimilar pairs of clips are by SSIM, made : real."""
    sides = [_similar(side, small, found.seed) for side in (found.made, found.real)]
    draws = [Draws.of(PAIRS, found.resamples, found.seed, number) for number in range(2)]
    means = []
    for values, draw in zip(sides, draws, strict=True):
        weights = torch.from_numpy(draw.weights).double()
        means.append((values.mean().view(1), (weights @ values / PAIRS).view(-1, 1)))

    def ratio(made: Tensor, real: Tensor) -> float | None:
        return float(made[0] / real[0]) if float(real[0]) > STILL else None

    value, spread_of = of_means(ratio, *means)
    floor = None
    if found.floor and min(side.count for side in found.floor) > 1:
        floor = ratio(*(_similar(side, small, found.seed).mean().view(1) for side in found.floor))
    return found.figure(
        "diversity",
        "ssim_diversity",
        "1 - SSIM of pairs, made : real",
        value,
        better="one",
        floor=floor,
        interval=spread_of,
        note=f"{PAIRS} random pairs of clips, reduced to {small[2]}×{small[1]}",
    )
