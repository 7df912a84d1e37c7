"""The kernel distance of two sets of features: the unbiased squared maximum mean discrepancy of KID and KVD."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from footage.metrics.rows import Rows, blocks, check_pair


@dataclass(frozen=True)
class KernelDistance:
    """A kernel distance and what each vector adds to it."""

    value: float
    """The estimate; below 0 now and then, where the sets are alike."""
    first: Tensor
    """Part of each vector of the first set, (N,): the value is the sum of both sets' means."""
    second: Tensor
    """Part of each vector of the second set, (M,)."""


def polynomial(x: Tensor, y: Tensor) -> Tensor:
    """Return the kernel (x . y / D + 1)^3 of Bińkowski et al. 2018, section 4, of (N, D) and (M, D): (N, M)."""
    product = torch.addmm(x.new_ones(1, 1), x, y.T, alpha=1 / x.shape[1])
    return product * product * product


def kernel_distance(first: Rows, second: Rows) -> KernelDistance:
    """Return the unbiased estimate of MMD^2 between two sets (N, D) and (M, D), block by block.

        sum_{i != j} k(x_i, x_j) / N (N - 1) + sum_{i != j} k(y_i, y_j) / M (M - 1) - 2 mean k(x_i, y_j)

    Gretton et al. 2012, eq. 3: the diagonals are removed, over all vectors at once and not over subsets.

    Raises:
        ConfigError: the vectors' lengths differ, there are fewer than two of a kind, or a value is not finite.
    """
    check_pair(first, second, 2)
    n, m = first.shape[0], second.shape[0]
    own = [torch.zeros(count, dtype=torch.float64) for count in (n, m)]
    cross = [torch.zeros(count, dtype=torch.float64) for count in (n, m)]
    for side, rows in enumerate((first, second)):
        for i, x in blocks(rows):
            for j, y in blocks(rows):
                if j < i:
                    continue
                kernel = polynomial(x, y)
                if i == j:
                    kernel.fill_diagonal_(0)
                else:
                    own[side][j : j + len(y)] += kernel.sum(dim=0)
                own[side][i : i + len(x)] += kernel.sum(dim=1)
    for i, x in blocks(first):
        for j, y in blocks(second):
            kernel = polynomial(x, y)
            cross[0][i : i + len(x)] += kernel.sum(dim=1)
            cross[1][j : j + len(y)] += kernel.sum(dim=0)
    parts = own[0] / (n - 1) - cross[0] / m, own[1] / (m - 1) - cross[1] / n
    return KernelDistance(float(parts[0].mean() + parts[1].mean()), *parts)
