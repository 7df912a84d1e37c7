"""Nearest neighbours among features, and what they tell of fidelity and variety."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from footage.errors import ConfigError
from footage.metrics.rows import Rows, blocks, check_pair, squared_distances

PRECISION_K = 3
"""Neighbours of precision and recall (Kynkäänniemi et al. 2019)."""
DENSITY_K = 5
"""Neighbours of density and coverage (Naeem et al. 2020)."""


def nearest(
    queries: Rows, points: Rows, k: int = 1, *, groups: tuple[Tensor, Tensor] | None = None
) -> tuple[Tensor, Tensor]:
    """Return the distances to the k nearest points, nearest first, and their numbers, block by block.

    Args:
        queries: (N, D).
        points: (M, D), M at least k.
        k: how many.
        groups: a number for each query (N,) and for each point (M,): those of one group are not compared. For the
            neighbours within one set, give each vector its own number twice.

    Returns:
        Distances (N, k), float64, infinite where there are too few points, and numbers (N, k).

    Raises:
        ConfigError: the vectors' lengths differ, there are fewer than k points, or a value is not finite.
    """
    check_pair(queries, points)
    if points.shape[0] < k:
        raise ConfigError(f"{k} neighbours among {points.shape[0]} vectors were asked for", "give more clips")
    count = queries.shape[0]
    best = torch.full((count, k), float("inf"), dtype=torch.float64)
    numbers = torch.full((count, k), -1, dtype=torch.int64)
    for i, x in blocks(queries):
        rows = slice(i, i + len(x))
        for j, y in blocks(points):
            gaps = squared_distances(x, y)
            if groups is not None:
                gaps[groups[0][rows, None] == groups[1][None, j : j + len(y)]] = float("inf")
            found = gaps.topk(min(k, len(y)), dim=1, largest=False)
            both = torch.cat([best[rows], found.values], dim=1)
            named = torch.cat([numbers[rows], found.indices + j], dim=1)
            order = both.topk(k, dim=1, largest=False, sorted=True)
            best[rows], numbers[rows] = order.values, named.gather(1, order.indices)
    return best.sqrt(), numbers


@dataclass(frozen=True)
class Manifold:
    """Precision, recall, density and coverage, clip by clip: the figures are the means."""

    precision: Tensor
    """Whether each made vector lies among the real ones, (M,), 0 or 1."""
    recall: Tensor
    """Whether each real vector lies among the made ones, (N,), 0 or 1."""
    density: Tensor
    """How many real neighbourhoods each made vector lies in, as a part of k, (M,); may be above 1."""
    coverage: Tensor
    """Whether each real neighbourhood holds a made vector, (N,), 0 or 1."""


def manifold(made: Rows, real: Rows, *, near: int = PRECISION_K, far: int = DENSITY_K) -> Manifold:
    """Return precision, recall, density and coverage, clip by clip.

    Kynkäänniemi et al. 2019, eq. 1 and 2; Naeem et al. 2020, eq. 3 and 4. A neighbourhood is the ball around a
    vector that reaches to its k-th nearest one of its own set; its border counts.

    Args:
        made: (M, D).
        real: (N, D).
        near: k of precision and recall.
        far: k of density and coverage.

    Raises:
        ConfigError: the vectors' lengths differ, there are too few, or a value is not finite.
    """
    check_pair(made, real, max(near, far) + 1)

    def reach(rows: Rows, k: int) -> Tensor:
        own = torch.arange(rows.shape[0])
        return nearest(rows, rows, k, groups=(own, own))[0].square()

    of_real, of_made = reach(real, max(near, far)), reach(made, near)
    m, n = made.shape[0], real.shape[0]
    precision, density = torch.zeros(m, dtype=torch.float64), torch.zeros(m, dtype=torch.float64)
    recall, coverage = torch.zeros(n, dtype=torch.float64), torch.zeros(n, dtype=torch.float64)
    for i, x in blocks(made):
        for j, y in blocks(real):
            gaps = squared_distances(x, y)
            rows, columns = slice(i, i + len(x)), slice(j, j + len(y))
            within = gaps <= of_real[columns, far - 1]
            density[rows] += within.sum(dim=1).double() / far
            coverage[columns] = torch.maximum(coverage[columns], within.any(dim=0).double())
            inside = (gaps <= of_real[columns, near - 1]).any(dim=1)
            precision[rows] = torch.maximum(precision[rows], inside.double())
            reached = (gaps <= of_made[rows, near - 1, None]).any(dim=0)
            recall[columns] = torch.maximum(recall[columns], reached.double())
    return Manifold(precision, recall, density, coverage)
