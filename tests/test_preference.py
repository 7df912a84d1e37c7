"""Strengths from pairwise choices."""

from __future__ import annotations

import numpy as np
import pytest

from footage.errors import ConfigError
from footage.library.ratings import bradley_terry


def test_two_things_have_the_strengths_of_the_formula() -> None:
    found = bradley_terry([[0, 30], [10, 0]], prior=1e-9)
    assert found.log[0] - found.log[1] == pytest.approx(np.log(3), abs=1e-6)
    assert found.preferred[0, 1] == pytest.approx(0.75, abs=1e-6)
    # of the difference the information is n p (1 - p); each is half of the difference from the mean
    assert found.high[0] - found.log[0] == pytest.approx(1.959964 / np.sqrt(40 * 0.75 * 0.25) / 2, rel=1e-4)


def test_it_is_a_maximum_of_the_likelihood() -> None:
    rng = np.random.default_rng(0)
    wins = rng.integers(1, 20, (5, 5)).astype(float)

    def likelihood(log: np.ndarray) -> float:
        p = 1 / (1 + np.exp(log[None] - log[:, None]))
        made_up = 1 / (1 + np.exp(-log))
        off = ~np.eye(5, dtype=bool)
        return float((wins * np.log(p))[off].sum() + 0.5 * (np.log(made_up) + np.log(1 - made_up)).sum())

    found = bradley_terry(wins)
    # the made-up opponent fixes the level, which the result leaves out
    best = max(likelihood(found.log + level) for level in np.linspace(-0.5, 0.5, 2001))
    for _ in range(200):
        assert likelihood(found.log + rng.normal(0, 0.05, 5)) < best + 1e-9


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    rng = np.random.default_rng(1)
    truth = np.array([0.8, 0.1, -0.9])
    held = 0
    for _ in range(120):
        wins = np.zeros((3, 3))
        for i in range(3):
            for j in range(i):
                won = rng.binomial(60, 1 / (1 + np.exp(truth[j] - truth[i])))
                wins[i, j], wins[j, i] = won, 60 - won
        found = bradley_terry(wins)
        held += int(((found.low <= truth) & (truth <= found.high)).sum())
    assert 0.92 < held / 360 < 0.98


def test_what_always_wins_is_finite_and_what_never_met_is_average() -> None:
    found = bradley_terry([[0, 9, 0], [0, 0, 0], [0, 0, 0]])
    assert np.isfinite(found.high).all() and found.log[0] > found.log[2] > found.log[1]
    assert found.high[2] - found.low[2] > found.high[0] - found.log[0]


@pytest.mark.parametrize("wins", [[[1, 2]], [[0, -1], [1, 0]], [[0, np.nan], [1, 0]], []])
def test_nonsense_is_refused(wins: list[list[float]]) -> None:
    with pytest.raises(ConfigError):
        bradley_terry(wins)
