"""The processes that motion is made from: their distribution, wherever one looks, and what is known of a bridge."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from footage.models.generators.stream.noise import (
    BLOCK,
    Floats,
    NoiseBank,
    NoiseBridge,
    NoisePath,
    covariance,
    spread,
    transition,
)

RATES = tuple((math.sqrt(3) / np.array([2.0, 12.0, 300.0])).tolist())
MANY = 2500
"""Independent numbers of each process: standard errors of a covariance are below 0.03."""


def joint(rate: float, times: Floats) -> Floats:
    """Return the covariance of (a, a'/lambda) at all times, (2 N, 2 N), from derivatives of the kernel."""
    gap = times[:, None] - times
    r, sign = rate * np.abs(gap), np.sign(gap)
    decay = np.exp(-r)
    whole = np.empty((len(times), 2, len(times), 2))
    whole[:, 0, :, 0] = (1 + r) * decay
    whole[:, 1, :, 0] = -sign * r * decay  # k'(d) / lambda = -r exp(-r) for d > 0
    whole[:, 0, :, 1] = sign * r * decay
    whole[:, 1, :, 1] = (1 - r) * decay  # -k''(d) / lambda^2
    return whole.reshape(2 * len(times), -1)


@pytest.mark.parametrize("start", [0.0, BLOCK - 2.0, 1e6 - 2, 12345.25])
def test_states_have_the_covariance_of_the_process(start: float) -> None:
    times = start + np.array([0.0, 0.25, 1.0, 3.5, 7.0, 64.0, 70.0])
    states = NoisePath(RATES, 3, parts=MANY).states(times)  # N K parts 2
    for number, rate in enumerate(RATES):
        flat = states[:, number].swapaxes(1, 2).reshape(2 * len(times), MANY)
        assert np.abs(flat @ flat.T / MANY - joint(rate, times)).max() < 0.11
        assert np.abs(flat.mean(axis=1)).max() < 0.08


def test_differences_of_slow_processes_are_right_too() -> None:
    """A covariance near 1 says little of a slow process: the variance of its steps is compared by its ratio."""
    for gap in (1 / 16, 1.0, 5.0):
        times = 640.0 + np.array([0.0, gap])
        states = NoisePath(RATES, 1, parts=MANY).states(times)
        for number, rate in enumerate(RATES):
            ahead = np.einsum("ij,pj->pi", transition(np.array([rate]), gap)[0], states[0, number])
            new = states[1, number] - ahead
            wanted = spread(np.array([rate]), gap)[0]
            np.testing.assert_allclose(
                new.T @ new / MANY / np.sqrt(np.outer(*[np.diag(wanted)] * 2)),
                wanted / np.sqrt(np.outer(*[np.diag(wanted)] * 2)),
                atol=0.11,
            )


@pytest.mark.filterwarnings("error")
def test_huge_gaps_are_forgotten() -> None:
    rates = np.array([1.7])
    np.testing.assert_array_equal(spread(rates, 2.0**60)[0], np.eye(2))
    ends = np.ones((1, 2, 2))
    bridge = NoiseBridge(NoisePath((1.7,), 3), ends, ends, 2.0**33)
    assert np.isfinite(bridge.states(np.array([0.0, 2.0**32, 2.0**33]))).all()


def test_between_sixteenths_of_a_frame_the_path_is_smooth_and_near_the_process() -> None:
    times = 100 + np.arange(0, 1, 1 / 64)
    values = NoisePath(RATES, 5, parts=MANY).states(times)[..., 0]
    gram = np.einsum("nkp,mkp->knm", values, values) / MANY
    assert np.abs(gram - covariance(np.array(RATES), times[:, None] - times)).max() < 0.11
    assert np.abs(np.diff(values, n=2, axis=0)).max() < 0.1, "no kinks at the sixteenths"


def test_a_path_is_a_function_of_seed_kind_and_time() -> None:
    times = np.concatenate([np.arange(0, 300.0), np.arange(500, 503, 1 / 3), [1e6 + 0.125, 2.0**40 + 5]])
    path = NoisePath(RATES, 7)
    whole = path.states(times)
    for number in np.random.default_rng(0).permutation(len(times))[:60]:
        np.testing.assert_array_equal(NoisePath(RATES, 7).states(times[number : number + 1])[0], whole[number])
        np.testing.assert_array_equal(path.states(times[number : number + 1])[0], whole[number])
    for other in (NoisePath(RATES, 8), NoisePath(RATES, 7, kind=1)):
        assert np.abs(other.states(times) - whole).max() > 0.5
    begun = NoisePath(RATES, 7, begin=np.full((3, 2), 1.5)).states(np.array([0.0, 0.25]))
    assert (begun[0, ..., 0] == 1.5).all() and np.abs(begun[1, 2, :, 0] - 1.5).max() < 0.05


def test_a_path_holds_one_block() -> None:
    path = NoisePath(RATES, 0)
    for start in range(0, 64 * 50, 16):
        path.states(np.arange(start, start + 16.0))
    held = [value for value in vars(path).values() if isinstance(value, np.ndarray)]
    assert path._block is not None and path._block[2].shape[0] == BLOCK + 1
    assert sum(array.size for array in held) <= 2, "nothing but the key"


@pytest.mark.parametrize(("frames", "middle"), [(8.0, 3.0), (40.0, 20.0), (2.5, 1.25), (200.0, 130.0)])
def test_a_bridge_is_distributed_as_the_process_given_its_ends(frames: float, middle: float) -> None:
    ends = np.array([0.7, -0.4, -1.1, 0.3])  # start and end states
    drawn = np.concatenate(
        [
            NoiseBridge(
                NoisePath(RATES, seed, parts=MANY),
                np.broadcast_to(ends[:2], (3, MANY, 2)),
                np.broadcast_to(ends[2:], (3, MANY, 2)),
                frames,
                begin=37.0,
            ).states(np.array([middle]))
            for seed in (1, 2)
        ],
        axis=2,
    )[0]
    for number, rate in enumerate(RATES):
        whole = joint(rate, np.array([0.0, frames, middle]))
        gain = whole[4:, :4] @ np.linalg.inv(whole[:4, :4])
        mean, cov = gain @ ends, whole[4:, 4:] - gain @ whole[:4, 4:]
        sd = np.sqrt(np.diag(cov))
        np.testing.assert_allclose((drawn[number].mean(axis=0) - mean) / sd, 0, atol=0.06)
        np.testing.assert_allclose(np.cov(drawn[number].T) / np.outer(sd, sd), cov / np.outer(sd, sd), atol=0.09)


@pytest.mark.parametrize("frames", [1.0, 25.0, 1000.0])
def test_a_bridge_has_its_ends(frames: float) -> None:
    first, last = (NoisePath((*RATES, 1e-4), seed).states(np.zeros(1))[0] for seed in (1, 2))
    states = NoiseBridge(NoisePath((*RATES, 1e-4), 3), first, last, frames).states(np.array([0.0, frames]))
    np.testing.assert_allclose(states, [first, last], atol=1e-9)


def test_windows_of_the_bank_have_the_covariance_of_turning_processes() -> None:
    bank = NoiseBank(4, 2.0, 64.0)
    made = bank(torch.randn(20_000, 9, bank.size, generator=torch.Generator().manual_seed(0)))
    values = torch.view_as_complex(made.detach().unflatten(2, (-1, 2)).contiguous())  # B T K
    found = torch.einsum("btk,bsk->kts", values, values.conj()) / len(values) / 2
    gaps = np.arange(9.0)[:, None] - np.arange(9.0)
    turning = np.exp(1j * gaps * bank.turns.detach().double().numpy()[:, None, None])
    wanted = covariance(np.array(bank.rates), gaps) * turning
    assert np.abs(found.numpy() - wanted).max() < 0.04
    assert float(bank.turns.detach().abs().max()) > 0.5 and float(bank.turns.detach().abs().min()) == 0
