"""Two sets of feature vectors beside each other: Fréchet and kernel distance, neighbours, Inception Score.

Vectors may lie on a disk: they are read in blocks, so that memory does not grow with their number.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from footage.errors import ConfigError, counted

BLOCK = 1024
"""Rows that are read, and compared with as many others, at once."""


class Rows(Protocol):
    """Vectors (N, D): a NumPy array, or a file."""

    @property
    def shape(self) -> tuple[int, ...]:
        """N and D."""

    def __getitem__(self, part: Any, /) -> npt.NDArray[Any]:
        """Return some successive rows."""


def blocks(rows: Rows) -> Iterator[tuple[int, Tensor]]:
    """Yield the number of a block's first row, and the block, (at most BLOCK, D), float64.

    Raises:
        ConfigError: a value is not finite.
    """
    for first in range(0, rows.shape[0], BLOCK):
        block = torch.from_numpy(np.asarray(rows[first : first + BLOCK], dtype=np.float64))
        if not bool(torch.isfinite(block).all()):
            bad = first + int((~torch.isfinite(block)).any(dim=1).nonzero()[0])
            raise ConfigError(f"the features of row {bad} are not finite", "look for damaged clips, or other weights")
        yield first, block


def column_means(rows: Rows) -> tuple[Tensor, Tensor]:
    """Return the means of vectors (N, D) and of their squares, (D,) each, float64."""
    total, squares = torch.zeros(rows.shape[1]).double(), torch.zeros(rows.shape[1]).double()
    for _, block in blocks(rows):
        total += block.sum(dim=0)
        squares += block.square().sum(dim=0)
    return total / rows.shape[0], squares / rows.shape[0]


def check_pair(a: Rows, b: Rows, least: int = 1) -> None:
    """Refuse two sets of vectors that cannot be compared.

    Raises:
        ConfigError: their lengths differ, or there are too few.
    """
    if len(a.shape) != 2 or len(b.shape) != 2 or a.shape[1] != b.shape[1]:
        raise ConfigError(
            f"features of shape {tuple(a.shape)} and {tuple(b.shape)} are compared", "use one feature net"
        )
    if min(a.shape[0], b.shape[0]) < least:
        raise ConfigError(f"there are {a.shape[0]} and {b.shape[0]} feature vectors", f"give at least {least} of each")


def squared_distances(x: Tensor, y: Tensor) -> Tensor:
    """Return |x_i - y_j|^2 of x (N, D) and y (M, D), (N, M), never negative."""
    squares = x.square().sum(dim=1)[:, None] + y.square().sum(dim=1)
    return torch.addmm(squares, x, y.T, alpha=-2).clamp_(min=0)


class SelectedRows:
    """Some rows of others, in a given order.

    Args:
        rows: all of them.
        numbers: which, (M,).
    """

    def __init__(self, rows: Rows, numbers: npt.NDArray[np.int64]) -> None:
        self._rows, self._numbers = rows, numbers
        self.shape = (len(numbers), rows.shape[1])

    def __getitem__(self, part: slice) -> npt.NDArray[Any]:
        """Return some successive rows; those that are asked for are read in the blocks that hold them."""
        wanted = self._numbers[part]
        rows: npt.NDArray[Any] | None = None
        for block in np.unique(wanted // BLOCK):
            inside = wanted // BLOCK == block
            read = self._rows[int(block) * BLOCK : (int(block) + 1) * BLOCK]
            if rows is None:
                rows = np.empty((len(wanted), self.shape[1]), dtype=read.dtype)
            rows[inside] = read[wanted[inside] - block * BLOCK]
        return self._rows[0:0] if rows is None else rows


EPSILON = torch.finfo(torch.float64).eps
LOOSE = 1e-5
"""Least pivot of a Cholesky factor, as a part of the largest, at which it is taken."""


class Gaussian:
    """Mean and covariance of features that pass by in batches; the features themselves are not kept.

    The pairwise update of Chan, Golub and LeVeque 1979, in float64: with counts n and m, means a and b, and scatter
    matrices S = sum (x - mean)(x - mean)^T,

        S = S_a + S_b + (b - a)(b - a)^T n m / (n + m)

    Args:
        size: length D of a feature vector.
    """

    def __init__(self, size: int) -> None:
        self.count = 0
        self.mean = torch.zeros(size, dtype=torch.float64)
        self._scatter = torch.zeros(size, size, dtype=torch.float64)

    def add(self, features: Tensor, counts: Tensor | None = None) -> Gaussian:
        """Take in features (N, D), N may be 0; returns itself.

        Args:
            features: the vectors.
            counts: how often each of them counts, (N,), whole numbers; None for once.

        Raises:
            ConfigError: they have another length, or are not finite.
        """
        if features.ndim != 2 or features.shape[1] != len(self.mean):
            raise ConfigError(f"features are {tuple(features.shape)}", f"give (N, {len(self.mean)})")
        if not bool(torch.isfinite(features).all()):
            raise ConfigError("some features are not finite", "look for damaged clips or a model that diverged")
        batch = features.detach().to("cpu", torch.float64)
        number = len(features) if counts is None else int(counts.sum())
        if not number:
            return self
        weights = torch.ones(len(batch)).double() if counts is None else counts.double()
        mean = weights @ batch / number  # N D -> D
        centred, shift, total = batch - mean, mean - self.mean, self.count + number
        self._scatter.addmm_((centred * weights[:, None]).T, centred)
        self._scatter += torch.outer(shift, shift) * (self.count * number / total)
        self.mean = self.mean + shift * (number / total)
        self.count = total
        return self

    @property
    def covariance(self) -> Tensor:
        """The unbiased covariance (D, D), as numpy.cov gives it.

        Raises:
            ConfigError: there are fewer than two samples.
        """
        if self.count < 2:
            raise ConfigError(f"a covariance was asked of {counted(self.count, 'sample')}", "give at least 2 clips")
        return self._scatter / (self.count - 1)


def frechet(a: Gaussian, b: Gaussian) -> float:
    """Return the squared Fréchet distance of two Gaussians, in squared units of the features; 0 for equal ones.

        d^2 = |m_a - m_b|^2 + tr A + tr B - 2 tr (F^T B F)^1/2,   F F^T = A

    Dowson and Landau 1982; Heusel et al. 2017, eq. 6. The eigenvalues of F^T B F are those of A B other than 0, and it
    is symmetric: the last term is the sum of their roots, real whatever the ranks (fewer samples than dimensions).

    Raises:
        ConfigError: there are fewer than two samples, or the features have different lengths.
    """
    if len(a.mean) != len(b.mean):
        raise ConfigError(f"features of length {len(a.mean)} and {len(b.mean)} are compared", "use one feature net")
    first, second = a.covariance, b.covariance
    factor: Tensor
    factor, failed = torch.linalg.cholesky_ex(first)
    diagonal = factor.diagonal()
    if int(failed) or not float(diagonal.min()) > LOOSE * float(diagonal.max()):
        # A is near a lower rank: eigenvectors, without those of which only rounding is left
        values, vectors = torch.linalg.eigh(first)
        kept = values > len(values) * EPSILON * float(values[-1].clamp(min=0))
        factor = vectors[:, kept] * values[kept].sqrt()
    product = factor.T @ second @ factor
    overlap = torch.zeros((), dtype=torch.float64)
    if len(product):
        values = torch.linalg.eigvalsh((product + product.T) / 2)
        rounding = len(values) * EPSILON * float(values[-1].clamp(min=0))  # whose roots would add up
        overlap = values[values > rounding].sqrt().sum()
    distance = (a.mean - b.mean).square().sum() + first.trace() + second.trace() - 2 * overlap
    return max(0.0, float(distance))


def gaussian(rows: Rows, counts: Tensor | None = None) -> Gaussian:
    """Return mean and covariance of vectors (N, D), read in blocks, each as often as `counts` (N,) says."""
    moments = Gaussian(rows.shape[1])
    for first, block in blocks(rows):
        moments.add(block, None if counts is None else counts[first : first + len(block)])
    return moments


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
        raise ConfigError(
            f"{counted(k, 'neighbour')} among {counted(points.shape[0], 'vector')} were asked for", "give more clips"
        )
    count = queries.shape[0]
    best = torch.full((count, k), float("inf"), dtype=torch.float64)
    numbers = torch.full((count, k), -1, dtype=torch.int64)
    for i, x in blocks(queries):
        rows = slice(i, i + len(x))
        for j, y in blocks(points):
            gaps = squared_distances(x, y)
            if groups is not None:
                gaps[groups[0][rows, None] == groups[1][None, j : j + len(y)]] = float("inf")
            closest = gaps.topk(min(k, len(y)), dim=1, largest=False)
            both = torch.cat([best[rows], closest.values], dim=1)
            named = torch.cat([numbers[rows], closest.indices + j], dim=1)
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


def manifold(made: Rows, real: Rows) -> Manifold:
    """Return precision, recall, density and coverage of vectors (M, D) beside real ones (N, D), clip by clip.

    Kynkäänniemi et al. 2019, eq. 1 and 2; Naeem et al. 2020, eq. 3 and 4. A neighbourhood is the ball around a
    vector that reaches to its k-th nearest one of its own set; its border counts.

    Raises:
        ConfigError: the vectors' lengths differ, there are too few, or a value is not finite.
    """
    check_pair(made, real, DENSITY_K + 1)

    def reach(rows: Rows, k: int) -> Tensor:
        own = torch.arange(rows.shape[0])
        return nearest(rows, rows, k, groups=(own, own))[0].square()

    of_real, of_made = reach(real, DENSITY_K), reach(made, PRECISION_K)
    m, n = made.shape[0], real.shape[0]
    precision, density = torch.zeros(m, dtype=torch.float64), torch.zeros(m, dtype=torch.float64)
    recall, coverage = torch.zeros(n, dtype=torch.float64), torch.zeros(n, dtype=torch.float64)
    for i, x in blocks(made):
        for j, y in blocks(real):
            gaps = squared_distances(x, y)
            rows, columns = slice(i, i + len(x)), slice(j, j + len(y))
            within = gaps <= of_real[columns, DENSITY_K - 1]
            density[rows] += within.sum(dim=1).double() / DENSITY_K
            coverage[columns] = torch.maximum(coverage[columns], within.any(dim=0).double())
            inside = (gaps <= of_real[columns, PRECISION_K - 1]).any(dim=1)
            precision[rows] = torch.maximum(precision[rows], inside.double())
            reached = (gaps <= of_made[rows, PRECISION_K - 1, None]).any(dim=0)
            recall[columns] = torch.maximum(recall[columns], reached.double())
    return Manifold(precision, recall, density, coverage)


SPLITS = 10
"""Parts that the score is taken of, one by one (Salimans et al. 2016)."""


def inception_score(logits: Rows, splits: int = SPLITS) -> list[float]:
    """Return the score of each of `splits` successive parts of logits (N, K); the Inception Score is their mean.

        exp(mean_x KL(p(y|x) || p(y))) = exp(H(mean_x p(y|x)) - mean_x H(p(y|x)))

    Salimans et al. 2016, section 4; for video Saito et al. 2017. Part i begins at sample floor(i N / splits). The order
    of the samples matters for a few of them: it has to be random.

    Raises:
        ConfigError: there are fewer samples than parts, or a value is not finite.
    """
    count, classes = logits.shape
    if count < splits:
        raise ConfigError(
            f"an Inception Score of {counted(count, 'sample')} in {counted(splits, 'part')} was asked for",
            "give more clips",
        )
    edges = [count * number // splits for number in range(splits + 1)]
    mean = torch.zeros(splits, classes, dtype=torch.float64)
    entropy = torch.zeros(splits, dtype=torch.float64)
    for first, block in blocks(logits):
        logs = block.log_softmax(dim=1)
        shares = logs.exp()
        for part in range(splits):
            low, high = (min(max(edges[part + k] - first, 0), len(block)) for k in (0, 1))
            mean[part] += shares[low:high].sum(dim=0)
            entropy[part] -= (shares[low:high] * logs[low:high]).sum()
    sizes = torch.tensor([b - a for a, b in itertools.pairwise(edges)], dtype=torch.float64)
    mean, entropy = mean / sizes[:, None], entropy / sizes
    whole = -torch.special.xlogy(mean, mean).sum(dim=1)
    return [math.exp(max(0.0, float(gain))) for gain in whole - entropy]


def accuracy(logits: Rows, labels: torch.Tensor) -> torch.Tensor:
    """Return for each sample whether its likeliest class is its label, (N,), 0 or 1: logits (N, K), labels (N,)."""
    likeliest = torch.cat([block.argmax(dim=1) for _, block in blocks(logits)])
    return (likeliest == labels).double()
