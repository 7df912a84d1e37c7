"""The Fréchet distance of two sets of features, each taken as a Gaussian: the mathematics of FID and FVD."""

from __future__ import annotations

import torch
from torch import Tensor

from footage.errors import ConfigError
from footage.metrics.rows import Rows, blocks

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
            raise ConfigError(f"a covariance was asked of {self.count} samples", "give at least 2 clips")
        return self._scatter / (self.count - 1)


def _factor(covariance: Tensor) -> Tensor:
    """Return F (D, R) with F F^T = A, R the rank of A (D, D), symmetric and not negative.

    The Cholesky factor where A is well off zero; else eigenvectors, without those of which only rounding is left.
    """
    factor: Tensor
    factor, failed = torch.linalg.cholesky_ex(covariance)
    diagonal = factor.diagonal()
    if not int(failed) and float(diagonal.min()) > LOOSE * float(diagonal.max()):
        return factor
    values: Tensor
    vectors: Tensor
    values, vectors = torch.linalg.eigh(covariance)
    kept = values > len(values) * EPSILON * float(values[-1].clamp(min=0))
    return vectors[:, kept] * values[kept].sqrt()


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
    factor = _factor(first)
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
    found = Gaussian(rows.shape[1])
    for first, block in blocks(rows):
        found.add(block, None if counts is None else counts[first : first + len(block)])
    return found
