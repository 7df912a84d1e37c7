"""How well scores tell the clips that a model was trained on from others, with intervals that know of sources.

Clips of one source are not independent: sources are drawn anew, and not clips.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from footage.metrics.bootstrap import LEVEL, RESAMPLES, counts

FALSE_POSITIVES = 0.01
"""Part of the other clips that may be taken for members where true positives are counted."""
LEAST_SOURCES = 4
"""Sources on each side below which there is no interval: too few to be drawn anew."""


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
