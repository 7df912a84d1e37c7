"""Confidence intervals by drawing anew, with replacement: the bootstrap (Efron 1979).

What is drawn are sources, each with everything that was cut from it: the cluster bootstrap of Davison and Hinkley 1997,
section 3.8 (strategy 1), and Field and Welsh 2007, "Bootstrapping clustered data", J. R. Stat. Soc. B 69, 369-390. Of
m windows of a source whose values have correlation rho, a mean varies 1 + (m - 1) rho times as much as that of as many
independent ones (the design effect, Kish 1965): windows that are drawn one by one give intervals that are too narrow.

How well scores tell the clips that a model was trained on from others has intervals of variances over sources, since
the bootstrap of few sources is too narrow.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

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
PERMUTED = 2000
"""Ways to take sources for members that are tried, at most."""


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
    """Interval over sources, see `area_interval`; None where there are too few of them."""
    auc_high: float | None
    true_positives: float | None
    """Part of the members above all but FALSE_POSITIVES of the others; None where that is less than one of them."""
    positives_low: float | None
    """Interval of Clopper and Pearson 1934, as if each source were one clip."""
    positives_high: float | None
    chance: float = 1.0
    """How often members have as high an area by chance: of a permutation test over sources, one-sided."""


def separate(
    members: Tensor,
    others: Tensor,
    member_sources: Sequence[str],
    other_sources: Sequence[str],
    *,
    seed: int = 0,
    level: float = LEVEL,
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
    """
    scores, sizes = torch.cat([members, others]), list[Tensor]()
    numbers = list[Tensor]()  # of the source of each clip; one that is on both sides counts as two
    for sources in (member_sources, other_sources):
        numbers.append(torch.from_numpy(np.unique(np.asarray(sources), return_inverse=True)[1]))
        sizes.append(torch.bincount(numbers[-1]).double())
    first, size = len(sizes[0]), torch.cat(sizes)
    every = torch.cat([numbers[0], numbers[1] + first])
    wins = (scores[:, None] > scores).double() + (scores[:, None] == scores).double() / 2  # (M + N) × (M + N)
    sums = torch.zeros(len(size), len(every)).double().index_add_(0, every, wins).T
    sums = torch.zeros(len(size), len(size)).double().index_add_(0, every, sums)  # of others, of members
    between = sums[first:, :first].T
    auc = float(between.sum() / (sizes[0].sum() * sizes[1].sum()))
    low = high = None
    if min(map(len, sizes)) >= LEAST_SOURCES:
        low, high = area_interval(between, sizes[0], sizes[1], level)
    chance = chance_of_area(sums.T, size, first, seed)
    if (allowed := int(FALSE_POSITIVES * len(others))) == 0:
        return Separation(auc, low, high, None, None, None, chance)
    found = float((members > others.sort(descending=True).values[allowed]).double().mean())
    return Separation(auc, low, high, found, *clopper_pearson(round(found * first), first, level), chance)


def chance_of_area(sums: Tensor, sizes: Tensor, first: int, seed: int) -> float:
    """Return the share of ways to take as many sources for members that give as large an area as the true one.

    A permutation test (Fisher 1935): all ways where they are few, else PERMUTED drawn ones and the true one.

    Args:
        sums: how often clips of a source have higher scores than those of another, (S, S), half where they are equal.
        sizes: clips of each source, (S,).
        first: sources that are members, the first ones.
        seed: of the draws.
    """
    count = len(sizes)
    exact = math.comb(count, first) <= PERMUTED
    if exact:
        rows = np.array(list(itertools.combinations(range(count), first)))  # the true one is the first
    else:
        rng = np.random.Generator(np.random.Philox(key=[seed, 0x9E2]))
        drawn = rng.permuted(np.tile(np.arange(count), (PERMUTED, 1)), axis=1)[:, :first]
        rows = np.concatenate([np.arange(first)[None], drawn])
    chosen = torch.zeros(len(rows), count).double().scatter_(1, torch.from_numpy(rows), 1.0)
    areas = ((chosen @ sums) * (1 - chosen)).sum(dim=1) / ((chosen @ sizes) * ((1 - chosen) @ sizes))
    return float((areas >= areas[0] - 1e-9).double().mean())


def chance_of_lowest(
    members: Sequence[float],
    others: Sequence[float],
    count: int,
    kinds: Sequence[Sequence[str]] = (),
    *,
    seed: int = 0,
) -> float:
    """Return how often at least `count` members are below all others by chance, if sides tell nothing of the values.

    The precedence test (Nelson 1963), by permutation: sides are drawn anew PERMUTED times, among values of one kind.
    Without kinds its value is known: the product of (M - k) / (M + N - k) for k from 0 to `count` - 1.

    Args:
        members: a value of each of M members.
        others: likewise, N.
        count: members that are below all others.
        kinds: the kinds of members and of others; none where all are of one.
        seed: of the draws.
    """
    values, first = np.array([*members, *others]), len(members)
    named = np.array([kind for side in kinds for kind in side] or [""] * len(values))
    rng = np.random.Generator(np.random.Philox(key=[seed, 0x10E5]))
    member = np.zeros((PERMUTED + 1, len(values)), dtype=bool)
    member[:, :first] = True  # the first row stays: the true one
    for kind in dict.fromkeys(named.tolist()):
        columns = np.flatnonzero(named == kind)
        member[1:, columns] = rng.permuted(member[1:, columns], axis=1)
    least = np.where(member, math.inf, values).min(axis=1, keepdims=True)
    below = (member & (values < least)).sum(axis=1)
    return float((below[1:] >= count).sum() + 1) / (PERMUTED + 1)


def area_interval(sums: Tensor, first: Tensor, second: Tensor, level: float) -> tuple[float, float]:
    """Return an interval of the area under the curve, which is never a point.

    It holds two others. One has the variance of DeLong and others 1988, of whole sources (Obuchowski 1997), around the
    area's logit, as far as Student's t of one degree of freedom less than the fewer sources. The other has that of
    Hanley and McNeil 1982 at each value that the area may have, as if each source were one clip (Newcombe 2006, method
    5): where all members are above all others, the first has no width.

    Args:
        sums: how often clips of a source of the first kind are above those of one of the second, (S, R).
        first: clips of each source of the first kind, (S,).
        second: likewise, (R,).
        level: how often it is to hold the value.
    """
    clips, fewer = (float(first.sum()), float(second.sum())), min(sums.shape)
    area = float(sums.sum()) / (clips[0] * clips[1])
    angles = np.linspace(0, math.pi / 2, 20_001)  # t = √ν tan φ has a density of cos(φ) to the power of ν - 1
    density = np.cos(angles) ** (fewer - 2)
    parts = np.cumsum(density) - (density[0] + density) / 2
    reach = math.sqrt(fewer - 1) * math.tan(float(np.interp(level, parts / parts[-1], angles)))
    normal = NormalDist().inv_cdf((1 + level) / 2)
    variance = 0.0
    for axis, (sizes, other) in enumerate(((first, clips[1]), (second, clips[0]))):
        gaps = sums.sum(dim=1 - axis) / other - sizes * area
        variance += len(sizes) / (len(sizes) - 1) * float(gaps.square().sum()) / float(sizes.sum()) ** 2
    low = high = area
    if 0 < area < 1:
        logit, half = math.log(area / (1 - area)), reach * math.sqrt(variance) / (area * (1 - area))
        low, high = (float(torch.tensor(logit + way * half).double().sigmoid()) for way in (-1, 1))

    def within(value: float) -> bool:
        """Tell whether an area may be that of the sample."""
        more = (sum(sums.shape) / 2 - 1) * ((1 - value) / (2 - value) + value / (1 + value))
        return abs(area - value) <= normal * math.sqrt(value * (1 - value) / math.prod(sums.shape) * (1 + more))

    ends = []
    for end in (0.0, 1.0):
        inside, outside = area, end
        for _ in range(40):
            middle = (inside + outside) / 2
            inside, outside = (middle, outside) if within(middle) else (inside, middle)
        ends.append(inside)
    return min(low, ends[0]), max(high, ends[1])


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
