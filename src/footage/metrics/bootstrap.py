"""Confidence intervals by drawing the clips anew, with replacement: the bootstrap (Efron 1979)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

LEVEL = 0.95
"""How often the intervals are to hold the value."""
RESAMPLES = 100
"""How often clips are drawn anew."""


def counts(number: int, draw: int, seed: int, side: int) -> npt.NDArray[np.int64]:
    """Return how often each of `number` clips is drawn in the draw of a number, (number,); the sum is `number`.

    It depends on nothing but the arguments, so that several networks see the same draws.
    """
    rng = np.random.Generator(np.random.Philox(key=[seed, draw], counter=[0, 0, side, 0xB007]))
    return np.bincount(rng.integers(number, size=number), minlength=number)


def centred(value: float, drawn: Sequence[float]) -> tuple[float, float]:
    """Return an interval around a value: the quantiles of the drawn values, moved so that their mean is the value.

    A distance of resampled sets is larger than that of the sets, since the same clip comes several times. The shift
    takes that bias away and leaves the spread.
    """
    values = np.asarray(drawn, dtype=np.float64)
    low, high = np.quantile(values - values.mean(), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(value + low), float(value + high)


def mean_interval(
    sides: Sequence[Tensor], *, seed: int, scale: float = 1.0, resamples: int = 10 * RESAMPLES
) -> tuple[float, float]:
    """Return an interval around the sum of the sides' means, each side's values (N,) drawn anew.

    Args:
        sides: values, clip by clip, of one or several sets of clips.
        seed: of the draws.
        scale: what the deviations are multiplied by: 2 for the parts of a statistic of second order, whose first
            derivative is twice their mean (Hoeffding 1948).
        resamples: how often.
    """
    value = sum(float(side.mean()) for side in sides)
    drawn = []
    for draw in range(resamples):
        total = 0.0
        for number, side in enumerate(sides):
            weights = torch.from_numpy(counts(len(side), draw, seed, number)).to(side)
            total += float(weights @ side) / len(side)
        drawn.append(value + scale * (total - value))
    return centred(value, drawn)


def share_interval(hits: int, count: int) -> tuple[float, float]:
    """Return Wilson's interval of 95% for a share of `hits` in `count`: wider than a point even where hits is 0.

    Wilson 1927; the bootstrap has nothing to draw from there.
    """
    z = 1.959964
    middle, reach = hits + z * z / 2, z * (hits * (count - hits) / count + z * z / 4) ** 0.5
    return max(0.0, (middle - reach) / (count + z * z)), min(1.0, (middle + reach) / (count + z * z))
