"""Confidence intervals by drawing anew, with replacement: the bootstrap (Efron 1979).

What is drawn are sources, each with everything that was cut from it: the cluster bootstrap of Davison and Hinkley 1997,
section 3.8 (strategy 1), and Field and Welsh 2007, "Bootstrapping clustered data", J. R. Stat. Soc. B 69, 369-390. Of
m windows of a source whose values have correlation rho, a mean varies 1 + (m - 1) rho times as much as that of as many
independent ones (the design effect, Kish 1965): windows that are drawn one by one give intervals that are too narrow.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

LEVEL = 0.95
"""How often the intervals are to hold the value."""
RESAMPLES = 100
"""How often clips are drawn anew."""
FALSE_POSITIVES = 0.01
"""Part of the other clips that may be taken for members where true positives are counted."""
LEAST_SOURCES = 4
"""Sources on a side below which there is no interval: too few to be drawn anew."""


def counts(number: int, draw: int, seed: int, side: int) -> npt.NDArray[np.int64]:
    """Return how often each of `number` sources is drawn in the draw of a number, (number,); the sum is `number`.

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
    sides: Sequence[Tensor],
    *,
    seed: int,
    sources: Sequence[npt.NDArray[np.int64]] | None = None,
    scale: float = 1.0,
    resamples: int = 10 * RESAMPLES,
) -> tuple[float, float]:
    """Return an interval around the sum of the sides' means, the sources of each side's values (N,) drawn anew.

    Args:
        sides: values, clip by clip, of one or several sets of clips.
        seed: of the draws.
        sources: number of each value's source, (N,) for each side; None where each value has one of its own.
        scale: what the deviations are multiplied by: 2 for the parts of a statistic of second order, whose first
            derivative is twice their mean (Hoeffding 1948).
        resamples: how often.
    """
    value = sum(float(side.mean()) for side in sides)
    clusters = list[tuple[Tensor, Tensor]]()  # of each side, sum and number of the values of each source
    for side, known in zip(sides, sources or [np.arange(len(side)) for side in sides], strict=True):
        own = torch.from_numpy(np.unique(known, return_inverse=True)[1])
        sizes = torch.bincount(own).to(side)
        clusters.append((torch.zeros_like(sizes).index_add_(0, own, side), sizes))
    drawn = []
    for draw in range(resamples):
        total = 0.0
        for number, (sums, sizes) in enumerate(clusters):
            weights = torch.from_numpy(counts(len(sums), draw, seed, number)).to(sums)
            total += float(weights @ sums) / float(weights @ sizes)
        drawn.append(value + scale * (total - value))
    return centred(value, drawn)


def share_interval(hits: float, count: int) -> tuple[float, float]:
    """Return Wilson's interval of 95% for a share of `hits` in `count`: wider than a point even where hits is 0.

    Wilson 1927; the bootstrap has nothing to draw from there.
    """
    z = 1.959964
    middle, reach = hits + z * z / 2, z * (hits * (count - hits) / count + z * z / 4) ** 0.5
    return max(0.0, (middle - reach) / (count + z * z)), min(1.0, (middle + reach) / (count + z * z))


@dataclass(frozen=True)
class Separation:
    """How well a score tells members from others."""

    auc: float
    """How often a member has a higher score than another clip; .5 is chance."""
    auc_low: float | None
    """Interval of the bootstrap over sources; None where there are too few of them."""
    auc_high: float | None
    true_positives: float
    """Part of the members above all but FALSE_POSITIVES of the others."""
    positives_low: float
    """Interval of Clopper and Pearson 1934, as if each source were one clip."""
    positives_high: float


def separate(
    members: Tensor,
    others: Tensor,
    member_sources: Sequence[str],
    other_sources: Sequence[str],
    *,
    seed: int = 0,
    level: float = LEVEL,
    resamples: int = 10 * RESAMPLES,
) -> Separation:
    """Compare the scores of members (M,) and of other clips (N,), each of a source; higher is for members.

    The area under the curve is that of Mann and Whitney: P(member > other) + P(equal) / 2.

    Args:
        members: scores of clips that were trained on.
        others: scores of clips that were not.
        member_sources: the source of each of these.
        other_sources: likewise.
        seed: of the draws.
        level: how often the intervals are to hold the value.
        resamples: how often sources are drawn.
    """
    wins = (members[:, None] > others).double() + (members[:, None] == others).double() / 2  # M N
    sums, sizes = wins, list[Tensor]()  # of each pair of sources, in the end
    for sources in (member_sources, other_sources):
        numbers = torch.from_numpy(np.unique(np.asarray(sources), return_inverse=True)[1])
        sizes.append(torch.bincount(numbers).double())
        sums = torch.zeros(len(sizes[-1]), sums.shape[1]).double().index_add_(0, numbers, sums).T
    low = high = None
    if min(map(len, sizes)) >= LEAST_SOURCES:
        drawn = [
            torch.from_numpy(np.stack([counts(len(size), draw, seed, side) for draw in range(resamples)])).double()
            for side, size in enumerate(sizes)
        ]
        areas = ((drawn[0] @ sums) * drawn[1]).sum(dim=1) / ((drawn[0] @ sizes[0]) * (drawn[1] @ sizes[1]))
        low, high = areas.quantile(torch.tensor([(1 - level) / 2, (1 + level) / 2]).double()).tolist()
    allowed = int(FALSE_POSITIVES * len(others))
    found = float((members > others.sort(descending=True).values[allowed]).double().mean())
    positives = clopper_pearson(round(found * len(sizes[0])), len(sizes[0]), level)
    return Separation(float(wins.mean()), low, high, found, *positives)


def clopper_pearson(hits: int, count: int, level: float = LEVEL) -> tuple[float, float]:
    """Return the exact interval of a share of `hits` in `count` (Clopper and Pearson 1934)."""
    number = np.arange(count + 1)
    ways = math.lgamma(count + 1) - np.array([math.lgamma(k + 1) + math.lgamma(count - k + 1) for k in number])

    def solved(first: int, wanted: float) -> float:
        """Return the share at which `first` or more come with the wanted probability, which rises with it."""
        least, most = 1e-12, 1 - 1e-12
        for _ in range(60):
            share = (least + most) / 2
            logs = ways + number * math.log(share) + (count - number) * math.log1p(-share)
            least, most = (share, most) if np.exp(logs[first:]).sum() < wanted else (least, share)
        return most

    return solved(hits, (1 - level) / 2) if hits else 0.0, solved(hits + 1, (1 + level) / 2) if hits < count else 1.0
