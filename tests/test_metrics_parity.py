"""Metrics beside independent references: scipy, scikit-learn, torchmetrics, and formulas written out."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import scipy.special
import scipy.stats
import torch
from sklearn.metrics.pairwise import polynomial_kernel
from sklearn.neighbors import NearestNeighbors
from torch import Tensor, nn
from torchmetrics.image.inception import InceptionScore
from torchmetrics.image.kid import poly_mmd

from footage.errors import ConfigError
from footage.metrics.bootstrap import centred, counts, mean_interval, share_interval
from footage.metrics.distances import (
    BLOCK,
    Gaussian,
    SelectedRows,
    accuracy,
    blocks,
    frechet,
    gaussian,
    inception_score,
    kernel_distance,
    manifold,
    nearest,
)


def drawn(count: int, size: int, seed: int, shift: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    mix = np.random.default_rng(99).normal(size=(size, size)) / size**0.5
    return rng.normal(shift, 1, (count, size)) @ mix + shift


def by_sqrtm(x: np.ndarray, y: np.ndarray) -> float:
    a, b = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    root = scipy.linalg.sqrtm(a @ b)
    gap = x.mean(axis=0) - y.mean(axis=0)
    return float(gap @ gap + np.trace(a) + np.trace(b) - 2 * np.trace(root).real)


@pytest.mark.parametrize(("n", "m", "size"), [(900, 700, 192), (5, 8, 3), (2100, 1500, 96)])
def test_frechet_is_scipys(n: int, m: int, size: int) -> None:
    x, y = drawn(n, size, 1), drawn(m, size, 2, 0.1)
    assert frechet(gaussian(x), gaussian(y)) == pytest.approx(by_sqrtm(x, y), rel=1e-6)


@pytest.mark.parametrize(("n", "m"), [(30, 40), (30, 400), (400, 30)])
def test_frechet_survives_ranks_below_the_dimension(n: int, m: int) -> None:
    x, y = drawn(n, 128, 3), drawn(m, 128, 4, 0.2)
    # tr (A B)^1/2 is the nuclear norm of the product of the centred data: a reference without any root of a matrix.
    p, q = ((v - v.mean(axis=0)) / (len(v) - 1) ** 0.5 for v in (x, y))
    gap = x.mean(axis=0) - y.mean(axis=0)
    wanted = gap @ gap + (p**2).sum() + (q**2).sum() - 2 * np.linalg.svd(p @ q.T, compute_uv=False).sum()
    assert frechet(gaussian(x), gaussian(y)) == pytest.approx(wanted, rel=1e-9)
    assert frechet(gaussian(x), gaussian(x)) < 1e-9


def test_frechet_of_constant_features() -> None:
    still = np.ones((20, 6))
    assert frechet(gaussian(still), gaussian(still + 1)) == pytest.approx(6)
    assert frechet(gaussian(still), gaussian(drawn(50, 6, 5))) > 0


def test_counts_stand_for_repeated_vectors() -> None:
    x = drawn(30, 5, 6)
    times = torch.from_numpy(counts(30, 0, 1, 0))
    assert int(times.sum()) == 30 and not torch.equal(times, torch.from_numpy(counts(30, 1, 1, 0)))
    often, once = gaussian(x, times), gaussian(np.repeat(x, times.numpy(), axis=0))
    assert torch.allclose(often.covariance, once.covariance, rtol=1e-12) and often.count == once.count == 30
    assert torch.allclose(often.mean, once.mean, rtol=1e-12)


def test_kernel_distance_is_scikit_learns_and_torchmetrics() -> None:
    x, y = drawn(60, 20, 7), drawn(45, 20, 8, 0.3)
    found = kernel_distance(x, y)
    k = [polynomial_kernel(a, b, degree=3, gamma=None, coef0=1) for a, b in ((x, x), (y, y), (x, y))]
    own = [(part.sum() - np.trace(part)) / (len(part) * (len(part) - 1)) for part in k[:2]]
    assert found.value == pytest.approx(own[0] + own[1] - 2 * k[2].mean(), rel=1e-10)
    assert found.value == pytest.approx(float(found.first.mean() + found.second.mean()), rel=1e-12)
    same = drawn(60, 20, 9, 0.3)
    theirs = poly_mmd(torch.from_numpy(x), torch.from_numpy(same))
    assert kernel_distance(x, same).value == pytest.approx(float(theirs), rel=1e-10)


def test_kernel_distance_in_blocks_and_without_bias() -> None:
    x, y = drawn(BLOCK + 70, 4, 10), drawn(BLOCK * 2 + 3, 4, 11)
    k = [polynomial_kernel(a, b, degree=3, coef0=1) for a, b in ((x, x), (y, y), (x, y))]
    own = [(part.sum() - np.trace(part)) / (len(part) * (len(part) - 1)) for part in k[:2]]
    assert kernel_distance(x, y).value == pytest.approx(own[0] + own[1] - 2 * k[2].mean(), rel=1e-9, abs=1e-12)
    found = [kernel_distance(drawn(40, 3, s), drawn(40, 3, 1000 + s)).value for s in range(60)]
    assert abs(np.mean(found)) < 3 * np.std(found) / 60**0.5 and min(found) < 0


class Given(nn.Module):
    """Takes pictures for logits: torchmetrics' score with our features."""

    num_features = 7

    def forward(self, pictures: Tensor) -> Tensor:
        return pictures.flatten(1)[:, :7].float()


def test_inception_score_is_torchmetrics() -> None:
    logits = (np.random.default_rng(0).normal(size=(200, 7)) * 60 + 128).clip(0, 255).astype(np.uint8)
    theirs = InceptionScore(feature=Given(), splits=1)
    theirs.update(torch.from_numpy(logits).view(200, 7, 1, 1))
    assert inception_score(logits, 1)[0] == pytest.approx(float(theirs.compute()[0]), rel=1e-5)


def test_inception_score_of_each_part() -> None:
    logits = np.random.default_rng(1).normal(size=(1307, 5)) * 3
    shares = scipy.special.softmax(logits, axis=1)
    wanted = []
    for part in range(10):
        p = shares[1307 * part // 10 : 1307 * (part + 1) // 10]
        wanted.append(np.exp((p * (np.log(p) - np.log(p.mean(axis=0)))).sum(axis=1).mean()))
    assert inception_score(logits) == pytest.approx(wanted, rel=1e-10)
    sure = np.eye(4)[np.arange(400) % 4] * 50.0
    assert inception_score(sure) == pytest.approx([4.0] * 10, rel=1e-6)
    assert inception_score(np.zeros((50, 4))) == pytest.approx([1.0] * 10)
    with pytest.raises(ConfigError, match=r"Inception Score of 5 samples in 10 parts"):
        inception_score(np.zeros((5, 4)))
    assert accuracy(sure, torch.arange(400) % 4).mean() == 1


def test_manifold_is_that_of_scikit_learns_neighbours() -> None:
    made, real = drawn(120, 6, 12, 0.3), drawn(150, 6, 13)
    found = manifold(made, real)
    reach = {}
    for name, rows in (("made", made), ("real", real)):
        gaps, _ = NearestNeighbors(n_neighbors=6).fit(rows).kneighbors(rows)  # the first is itself
        reach[name] = gaps
    between = np.linalg.norm(made[:, None] - real[None], axis=2)
    assert found.precision.numpy() == pytest.approx((between <= reach["real"][:, 3]).any(axis=1).astype(float))
    assert found.recall.numpy() == pytest.approx((between <= reach["made"][:, 3:4]).any(axis=0).astype(float))
    assert found.density.numpy() == pytest.approx((between <= reach["real"][:, 5]).sum(axis=1) / 5)
    assert found.coverage.numpy() == pytest.approx((between <= reach["real"][:, 5]).any(axis=0).astype(float))
    assert 0 < found.precision.mean() < 1 and 0 < found.coverage.mean() < 1


def test_neighbours_in_blocks_and_groups() -> None:
    points, queries = drawn(BLOCK + 300, 5, 14), drawn(40, 5, 15)
    gaps, numbers = NearestNeighbors(n_neighbors=4).fit(points).kneighbors(queries)
    found = nearest(queries, points, 4)
    assert found[0].numpy() == pytest.approx(gaps, rel=1e-7) and np.array_equal(found[1].numpy(), numbers)
    ours, theirs = torch.arange(40) % 2, torch.arange(len(points)) % 2
    found = nearest(queries, points, 2, groups=(ours, theirs))
    assert bool((found[1] % 2 != ours[:, None]).all())
    assert nearest(points[:3], points[:3], 1)[0].abs().max() < 1e-6


def test_rows_are_chosen_in_any_order() -> None:
    rows = drawn(3 * BLOCK, 2, 16)
    order = np.random.default_rng(0).permutation(len(rows))[: BLOCK + 5]
    chosen = SelectedRows(rows, order)
    assert np.array_equal(np.concatenate([block.numpy() for _, block in blocks(chosen)]), rows[order])
    assert chosen[0:0].shape == (0, 2)


def test_features_that_are_not_finite_are_named() -> None:
    rows = drawn(2000, 3, 17)
    rows[1500, 1] = np.nan
    for measure in (lambda: gaussian(rows), lambda: kernel_distance(rows, rows), lambda: manifold(rows, rows)):
        with pytest.raises(ConfigError, match="row 1500 are not finite"):
            measure()
    with pytest.raises(ConfigError, match="use one feature net"):
        kernel_distance(rows, rows[:, :2])
    with pytest.raises(ConfigError, match="give at least 6"):
        manifold(rows[:5], rows[:5])


def test_shares_have_wilsons_interval() -> None:
    for hits, count in ((0, 20), (7, 20), (20, 20)):
        wanted = scipy.stats.binomtest(hits, count).proportion_ci(method="wilson")
        assert share_interval(hits, count) == pytest.approx((wanted.low, wanted.high), abs=1e-6)


def test_intervals_hold_the_value() -> None:
    values = torch.from_numpy(np.random.default_rng(2).normal(5, 1, 400))
    low, high = mean_interval([values], seed=0)
    assert low < float(values.mean()) < high and high - low == pytest.approx(4 * 1 / 400**0.5, rel=0.15)
    wide = mean_interval([values], seed=0, scale=2.0)
    assert wide[1] - wide[0] == pytest.approx(2 * (high - low), rel=1e-6)
    assert centred(1.0, [11.0, 12.0, 13.0]) == pytest.approx((0.05, 1.95))


def test_the_interval_of_a_kernel_distance_covers() -> None:
    found = [kernel_distance(drawn(250, 3, s, 0.5), drawn(250, 3, 500 + s)) for s in range(40)]
    true = np.mean([one.value for one in found])
    spans = [mean_interval([one.first, one.second], seed=0, scale=2.0, resamples=200) for one in found]
    assert sum(low < true < high for low, high in spans) >= 33
    assert np.mean([high - low for low, high in spans]) / 3.92 == pytest.approx(
        np.std([o.value for o in found]), rel=0.3
    )


def test_gaussians_refuse_what_does_not_fit() -> None:
    with pytest.raises(ConfigError, match="give at least 2 clips"):
        frechet(gaussian(np.zeros((1, 3))), Gaussian(3))


def test_windows_of_few_sources_are_worth_few_clips() -> None:
    sources, m = 16, 16
    within, between = 0.5, 1.0  # variances; so rho = 1 / 1.5
    rng = np.random.default_rng(3)
    widths, plain = [], []
    for _ in range(30):
        values = np.repeat(rng.normal(0, between**0.5, sources), m) + rng.normal(0, within**0.5, sources * m)
        owners = np.repeat(np.arange(sources), m)
        low, high = mean_interval([torch.from_numpy(values)], seed=0, sources=[owners], resamples=200)
        widths.append(high - low)
        low, high = mean_interval([torch.from_numpy(values)], seed=0, resamples=200)
        plain.append(high - low)
    rho = between / (between + within)
    effect = 1 + (m - 1) * rho  # Kish 1965
    error = ((between + within) / (sources * m) * effect) ** 0.5
    assert np.mean(widths) == pytest.approx(3.92 * error, rel=0.15)
    assert np.mean(widths) / np.mean(plain) == pytest.approx(effect**0.5, rel=0.15)
