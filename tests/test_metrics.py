from __future__ import annotations

import numpy as np
import pytest
import torch

from footage.errors import ConfigError
from footage.metrics.distances import Gaussian, frechet
from footage.metrics.motion import (
    motion_distance,
    motion_energies,
    motion_energy,
    spectrum_distance,
    temporal_power,
)


def drawn(count: int, size: int, seed: int, scale: float = 1.0) -> torch.Tensor:
    rng = torch.Generator().manual_seed(seed)
    mix = torch.randn(size, size, generator=rng, dtype=torch.float64)
    return (torch.randn(count, size, generator=rng, dtype=torch.float64) @ mix) * scale + 100


def direct(a: np.ndarray, b: np.ndarray) -> float:
    """The formula as it is written: the eigenvalues of AB are real and not negative, their roots sum to tr (AB)^1/2."""
    first, second = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    roots = np.sqrt(np.abs(np.linalg.eigvals(first @ second).real)).sum()
    return float(np.square(a.mean(0) - b.mean(0)).sum() + np.trace(first) + np.trace(second) - 2 * roots)


def test_statistics_in_batches_are_those_of_numpy() -> None:
    x = drawn(50, 6, 0)
    found = Gaussian(6)
    for batch in x.split([1, 7, 0, 30, 12]):
        found.add(batch)
    assert found.count == 50
    np.testing.assert_allclose(found.mean, x.mean(0), rtol=1e-13)
    np.testing.assert_allclose(found.covariance, np.cov(x.numpy(), rowvar=False), rtol=1e-10)


def test_frechet_is_the_formula() -> None:
    a, b = drawn(200, 8, 1), drawn(150, 8, 2, 0.7)
    found = frechet(Gaussian(8).add(a), Gaussian(8).add(b))
    assert found == pytest.approx(direct(a.numpy(), b.numpy()), rel=1e-9)
    assert found == pytest.approx(frechet(Gaussian(8).add(b), Gaussian(8).add(a)), rel=1e-9), "it is symmetric"


def test_frechet_of_diagonal_covariances() -> None:
    """Points at ± s_i on axis i, and no others: the covariance is 2 s_i^2 / (2 D - 1) on the diagonal, the mean 0."""
    s, t = torch.tensor([[1.0, 2.0, 3.0], [2.0, 2.0, 0.5]], dtype=torch.float64)
    a, b = (Gaussian(3).add(torch.cat([torch.diag(x), -torch.diag(x)])) for x in (s, t))
    assert frechet(a, b) == pytest.approx(float(((s - t) ** 2).sum() * 2 / 5), rel=1e-9)


def test_frechet_of_equal_covariances_is_the_distance_of_the_means() -> None:
    x = drawn(40, 5, 3)
    assert frechet(Gaussian(5).add(x), Gaussian(5).add(x + 2)) == pytest.approx(5 * 4, rel=1e-9)
    assert 0 <= frechet(Gaussian(5).add(x), Gaussian(5).add(x)) < 1e-9


def test_frechet_with_fewer_samples_than_dimensions() -> None:
    a, b = drawn(4, 30, 4), drawn(5, 30, 5)
    found = frechet(Gaussian(30).add(a), Gaussian(30).add(b))
    assert found == pytest.approx(direct(a.numpy(), b.numpy()), rel=1e-6)
    assert 0 <= frechet(Gaussian(30).add(a), Gaussian(30).add(a)) < 1e-6


def test_frechet_complains() -> None:
    one = Gaussian(3).add(torch.zeros(1, 3))
    with pytest.raises(ConfigError, match=r"covariance was asked of 1 sample: give at least 2"):
        frechet(one, one)
    with pytest.raises(ConfigError, match=r"length 3 and 4"):
        frechet(one, Gaussian(4))
    with pytest.raises(ConfigError, match=r"features are \(2, 4\): give \(N, 3\)"):
        one.add(torch.zeros(2, 4))
    with pytest.raises(ConfigError, match="not finite"):
        one.add(torch.full((2, 3), float("nan")))


def test_motion_energies_by_hand() -> None:
    clips = torch.zeros(2, 1, 3, 1, 2)
    clips[1, 0, 1:] = torch.tensor([0.5, 0.0])  # one of two pixels rises by .5, once in two steps
    assert motion_energies(clips).tolist() == [0.0, 0.125]
    assert motion_energy(clips) == pytest.approx(float(motion_energies(clips).mean()))
    assert motion_energies(clips[:, :, :1]).tolist() == [0.0, 0.0]


def test_motion_distance_by_hand() -> None:
    real = torch.tensor([1.0, 3.0])
    assert motion_distance(real.flip(0), real) == 0
    assert motion_distance(real + 0.5, real) == pytest.approx(0.5 / 2)
    assert motion_distance(torch.tensor([2.0, 2.0, 2.0]), real) == pytest.approx(1 / 2), "the same mean, no variety"
    assert motion_distance(torch.zeros(5), real) == pytest.approx(1.0)
    assert motion_distance(torch.tensor([1.0, 1.0, 3.0, 3.0]), real) == 0, "numbers may differ"
    assert motion_distance(torch.zeros(2), torch.zeros(2)) == 0
    assert motion_distance(torch.ones(2), torch.zeros(2)) == float("inf")


def wave(cycles: int, frames: int = 8) -> torch.Tensor:
    return torch.cos(2 * torch.pi * cycles * torch.arange(frames) / frames).view(1, 1, -1, 1, 1).expand(2, 1, -1, 2, 2)


def test_temporal_power_by_hand() -> None:
    np.testing.assert_allclose(temporal_power(wave(2) + 5), [[0, 0.5, 0, 0]] * 2, atol=1e-12)  # cos^2 is 1/2
    np.testing.assert_allclose(temporal_power(wave(4)), [[0, 0, 0, 1]] * 2, atol=1e-12)  # flicker: ± 1
    clips = torch.randn(2, 3, 7, 4, 4)
    assert temporal_power(clips).sum(dim=1).numpy() == pytest.approx(
        clips.double().var(dim=2, unbiased=False).mean(dim=(1, 2, 3)).numpy(), rel=1e-9
    ), "all of the variance over time (Parseval)"


def test_spectrum_distance_by_hand() -> None:
    slow, fast, none = temporal_power(wave(1))[0], temporal_power(wave(3))[0], torch.zeros(4)
    assert spectrum_distance(slow, slow * 9) == pytest.approx(0, abs=1e-12)
    assert spectrum_distance(slow, fast) == pytest.approx(1)
    assert spectrum_distance(slow + fast, slow) == pytest.approx(0.5)
    assert spectrum_distance(none, slow) == 1 and spectrum_distance(none, none) == 0
