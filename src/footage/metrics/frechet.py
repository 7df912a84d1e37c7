"""The Fréchet distance of two sets of features, each taken as a Gaussian: the mathematics of FID and FVD."""

from __future__ import annotations

import torch
from torch import Tensor

from footage.errors import ConfigError


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

    def add(self, features: Tensor) -> Gaussian:
        """Take in features (N, D), N may be 0; returns itself.

        Raises:
            ConfigError: they have another length, or are not finite.
        """
        if features.ndim != 2 or features.shape[1] != len(self.mean):
            raise ConfigError(f"features are {tuple(features.shape)}", f"give (N, {len(self.mean)})")
        if not bool(torch.isfinite(features).all()):
            raise ConfigError("some features are not finite", "look for damaged clips or a model that diverged")
        batch, number = features.detach().to("cpu", torch.float64), len(features)
        if not number:
            return self
        mean = batch.mean(dim=0)  # N D -> D
        centred, shift, total = batch - mean, mean - self.mean, self.count + number
        self._scatter += centred.T @ centred + torch.outer(shift, shift) * (self.count * number / total)
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


def frechet(a: Gaussian, b: Gaussian) -> float:
    """Return the squared Fréchet distance of two Gaussians, in squared units of the features; 0 for equal ones.

        d^2 = |m_a - m_b|^2 + tr A + tr B - 2 tr (A^1/2 B A^1/2)^1/2

    Dowson and Landau 1982; Heusel et al. 2017, eq. 6. The last term is the sum of the roots of the eigenvalues of a
    symmetric matrix, so that singular covariances (fewer samples than dimensions) need no special care.

    Raises:
        ConfigError: there are fewer than two samples, or the features have different lengths.
    """
    if len(a.mean) != len(b.mean):
        raise ConfigError(f"features of length {len(a.mean)} and {len(b.mean)} are compared", "use one feature net")
    first, second = a.covariance, b.covariance
    values, vectors = torch.linalg.eigh(first)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T  # A^1/2
    product = root @ second @ root
    overlap = torch.linalg.eigvalsh((product + product.T) / 2).clamp(min=0).sqrt().sum()
    distance = (a.mean - b.mean).square().sum() + first.trace() + second.trace() - 2 * overlap
    return max(0.0, float(distance))
