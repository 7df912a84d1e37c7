from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch

from footage.config.registry import LOSSES

REAL, FAKE = (0.3, -2.0, 1.7, 0.0), (1.5, -0.7, -3.0, 0.4)


def log_sigmoid(value: float) -> float:
    return math.log(1 / (1 + math.exp(-value)))


# One logit each: what the papers write with log sigma(D), (D - 1)^2, max(0, .), ...
FORMULAS: dict[str, tuple[Callable[[float, float], float], Callable[[float, float], float]]] = {
    "minimax": (lambda a, b: -log_sigmoid(a) - log_sigmoid(-b), lambda a, b: log_sigmoid(-b)),
    "non-saturating": (lambda a, b: -log_sigmoid(a) - log_sigmoid(-b), lambda a, b: -log_sigmoid(b)),
    "least-squares": (lambda a, b: 0.5 * (a - 1) ** 2 + 0.5 * b**2, lambda a, b: 0.5 * (b - 1) ** 2),
    "wasserstein": (lambda a, b: b - a, lambda a, b: -b),
    "hinge": (lambda a, b: max(0.0, 1 - a) + max(0.0, 1 + b), lambda a, b: -b),
    "relativistic": (lambda a, b: -log_sigmoid(a - b), lambda a, b: -log_sigmoid(b - a)),
}


def test_every_loss_has_a_formula_and_only_one_pairs() -> None:
    assert FORMULAS.keys() == LOSSES.keys()
    assert [name for name, loss in LOSSES.items() if loss.paired] == ["relativistic"]


@pytest.mark.parametrize("shape", [(4,), (2, 2)])
@pytest.mark.parametrize("name", FORMULAS)
def test_losses_equal_the_formula(name: str, shape: tuple[int, ...]) -> None:
    real, fake = (torch.tensor(values, dtype=torch.double).reshape(shape) for values in (REAL, FAKE))
    for side, formula in zip((LOSSES[name].critic, LOSSES[name].generator), FORMULAS[name], strict=True):
        expected = sum(formula(a, b) for a, b in zip(REAL, FAKE, strict=True)) / 4
        value = side(real, fake)
        assert value.shape == ()
        assert math.isclose(float(value), expected, rel_tol=1e-12)


@pytest.mark.parametrize("name", LOSSES)
def test_losses_do_not_overflow(name: str) -> None:
    far = torch.tensor([1e4, -1e4], requires_grad=True)
    for side in (LOSSES[name].critic, LOSSES[name].generator):
        value = side(far, far.flip(0))
        assert torch.isfinite(value)
        assert torch.isfinite(torch.autograd.grad(value, far)[0]).all()


@pytest.mark.parametrize("name", LOSSES)
def test_losses_pass_gradcheck(name: str) -> None:
    real = torch.tensor(REAL, dtype=torch.double, requires_grad=True)
    fake = torch.tensor(FAKE, dtype=torch.double, requires_grad=True)
    for side in (LOSSES[name].critic, LOSSES[name].generator):
        assert torch.autograd.gradcheck(side, (real, fake))


@pytest.mark.parametrize("name", LOSSES)
def test_critic_and_generator_pull_apart(name: str) -> None:
    real, fake = torch.zeros(2, requires_grad=True), torch.zeros(2, requires_grad=True)
    up, down = torch.autograd.grad(LOSSES[name].critic(real, fake), (real, fake))
    assert (up < 0).all(), "the critic raises real logits"
    assert (down > 0).all() or (name == "least-squares" and (down == 0).all()), "and lowers fake ones"
    assert (torch.autograd.grad(LOSSES[name].generator(real, fake), fake)[0] < 0).all(), "the generator raises them"


def test_only_the_minimax_generator_saturates() -> None:
    fake = torch.tensor([-30.0], requires_grad=True)  # the critic is sure
    slopes = {name: torch.autograd.grad(loss.generator(-fake, fake), fake)[0].abs() for name, loss in LOSSES.items()}
    assert slopes.pop("minimax") < 1e-9
    assert all(slope > 0.9 for slope in slopes.values())
