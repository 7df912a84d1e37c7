from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from footage.models.adversarial.penalties import (
    avoid_period,
    clip_weights_,
    critic_gradient,
    finite_difference,
    interpolate,
    loop,
    motion_autocorrelation,
    one_centred,
    temporal,
    zero_centred,
)


def clips(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.double, generator=torch.Generator().manual_seed(seed), requires_grad=True)


def critic() -> nn.Sequential:
    torch.manual_seed(3)
    return nn.Sequential(nn.Flatten(), nn.Linear(12, 16), nn.Softplus(), nn.Linear(16, 1), nn.Flatten(0)).double()


def test_gradient_of_a_known_function() -> None:
    # D(x) = w . x^2 / 2 has gradient w * x.
    x, weight = clips(3, 2, 2, 2, 2), clips(2, 2, 2, 2, seed=1)
    logits = (weight * x.square() / 2).sum(dim=(1, 2, 3, 4))
    gradient = critic_gradient(logits, x)
    torch.testing.assert_close(gradient, weight * x)
    penalty = zero_centred(gradient)
    torch.testing.assert_close(penalty, (weight * x).square().sum(dim=(1, 2, 3, 4)).mean())
    (slope,) = torch.autograd.grad(penalty, weight)  # differentiable twice
    torch.testing.assert_close(slope, (2 * weight * x.square()).mean(0))


def test_gradient_of_patches_is_that_of_their_mean() -> None:
    x = clips(2, 3)
    patches = torch.stack([x[:, 0] * 4, x[:, 1].square(), x[:, 0] * x[:, 2], x[:, 2]], 1)  # (2, 4)
    expected = torch.stack([(4 + x[:, 2]) / 4, x[:, 1] / 2, (x[:, 0] + 1) / 4], 1)
    torch.testing.assert_close(critic_gradient(patches, x), expected)


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16, torch.float64])
def test_gradient_has_at_least_single_precision(kind: torch.dtype) -> None:
    x = torch.ones(2, 3, dtype=kind, requires_grad=True)
    gradient = critic_gradient((x * 3).sum(1), x)
    assert gradient.dtype == (torch.float64 if kind == torch.float64 else torch.float32)
    assert torch.equal(gradient, torch.full((2, 3), 3, dtype=gradient.dtype))


def test_centred_penalties_equal_the_formula() -> None:
    gradient = clips(3, 2, 2, 2, 1)
    norms = [math.sqrt(float((sample**2).sum())) for sample in gradient.detach().numpy()]
    assert math.isclose(zero_centred(gradient).item(), sum(n**2 for n in norms) / 3, rel_tol=1e-12)
    assert math.isclose(one_centred(gradient).item(), sum((n - 1) ** 2 for n in norms) / 3, rel_tol=1e-9)


@pytest.mark.parametrize("penalty", [zero_centred, one_centred, temporal])
def test_penalties_of_gradients_pass_gradcheck(penalty: Callable[[Tensor], Tensor]) -> None:
    gradient = clips(2, 2, 3, 1, 2)
    assert torch.autograd.gradcheck(penalty, gradient)
    assert torch.autograd.gradgradcheck(penalty, gradient)


def test_one_centred_penalty_is_finite_without_a_gradient() -> None:
    weight = torch.zeros(3, requires_grad=True)
    x = torch.ones(2, 3, requires_grad=True)
    penalty = one_centred(critic_gradient(x @ weight, x))
    penalty.backward()
    assert math.isclose(penalty.item(), 1.0, abs_tol=1e-5)
    assert weight.grad is not None
    assert torch.isfinite(weight.grad).all()


def test_temporal_penalty_is_of_the_steps_between_frames() -> None:
    net = critic()
    first, steps = clips(2, 1, 1, 2, 2), clips(2, 1, 2, 2, 2, seed=1)
    x = torch.cat([first, first + steps.cumsum(2)], 2)  # (2, 1, 3, 2, 2): x_t = x_0 + the sum of deltas up to t
    (through,) = torch.autograd.grad(net(x).sum(), steps)
    expected = through.square().sum(dim=(1, 3, 4)).mean()
    frames = x.detach().requires_grad_()
    value = temporal(critic_gradient(net(frames), frames))
    torch.testing.assert_close(value, expected)
    assert not math.isclose(value.item(), zero_centred(critic_gradient(net(frames), frames)).item(), rel_tol=0.05)


def test_temporal_penalty_of_numbers() -> None:
    gradient = torch.tensor([1.0, 2.0, -5.0]).reshape(1, 1, 3, 1, 1)
    assert float(temporal(gradient)) == ((2 - 5) ** 2 + (-5) ** 2) / 2


def test_finite_difference_equals_the_formula() -> None:
    logits, shifted = torch.tensor([1.0, 2.0]), torch.tensor([1.5, 1.0])
    assert math.isclose(float(finite_difference(logits, shifted, 0.5)), (0.5**2 + 1) / 2 / 0.25)
    patches, moved = torch.tensor([[1.0, 3.0], [0.0, 2.0]]), torch.tensor([[3.0, 2.0], [1.0, 1.0]])
    assert math.isclose(float(finite_difference(patches, moved, 1.0)), (0.5**2 + 0) / 2)
    assert torch.autograd.gradcheck(lambda a, b: finite_difference(a, b, 0.3), (clips(3), clips(3, seed=1)))


@pytest.mark.parametrize("sigma", [0.01, 3.0])
def test_finite_difference_expects_the_squared_weights_of_a_linear_critic(sigma: float) -> None:
    rng = torch.Generator().manual_seed(0)
    weight = torch.randn(6, dtype=torch.double, generator=rng)
    x, noise = torch.randn(2, 200_000, 6, dtype=torch.double, generator=rng).unbind()
    value = finite_difference(x @ weight, (x + sigma * noise) @ weight, sigma)
    # Var[(w . eps)^2] = 2 |w|^4: the mean of n has a relative error of sqrt(2 / n), here 0.3%.
    assert math.isclose(float(value), float(weight.square().sum()), rel_tol=0.015)


def test_finite_difference_points_along_the_exact_penalty_for_small_sigma() -> None:
    net = critic()
    x = clips(8, 12)
    weights = [weight for weight in net.parameters() if weight.ndim == 2]
    exact = torch.autograd.grad(zero_centred(critic_gradient(net(x), x)), weights)
    rng = torch.Generator().manual_seed(1)
    many = x.detach().repeat(1000, 1)  # each of the samples with 1000 noises
    noise = torch.randn(many.shape, dtype=torch.double, generator=rng)

    def cosine(sigma: float) -> float:
        estimate = torch.autograd.grad(finite_difference(net(many), net(many + sigma * noise), sigma), weights)
        a, b = (torch.cat([part.flatten() for part in parts]) for parts in (exact, estimate))
        return float(torch.cosine_similarity(a, b, dim=0))

    assert cosine(1e-4) > 0.98
    assert cosine(1e-4) > cosine(3.0)


def test_interpolation() -> None:
    real, fake = clips(3, 1, 2, 2, 1), clips(3, 1, 2, 2, 1, seed=1)
    alpha = torch.tensor([0.0, 1.0, 0.25])
    mixed = interpolate(real, fake, alpha)
    assert torch.equal(mixed[0], real[0])
    torch.testing.assert_close(mixed[1], fake[1])
    torch.testing.assert_close(mixed[2], 0.75 * real[2] + 0.25 * fake[2])
    assert torch.autograd.gradcheck(lambda a, b: interpolate(a, b, alpha), (real, fake))


def test_motion_autocorrelation_equals_the_formula() -> None:
    x = clips(2, 2, 10, 2, 3)
    value = motion_autocorrelation(x)
    assert value.shape == (2, 4)
    for clip, found in zip(x.detach().numpy(), value.detach().numpy(), strict=True):
        energy = np.abs(np.diff(clip, axis=1)).mean(axis=(0, 2, 3))
        centred = energy - energy.mean()
        full = np.correlate(centred, centred, "full")[len(centred) - 1 :] / (centred**2).sum()
        np.testing.assert_allclose(found, full[1:5], rtol=1e-5, atol=1e-7)
    assert torch.autograd.gradcheck(motion_autocorrelation, x)


def test_motion_autocorrelation_finds_the_period() -> None:
    energy = torch.tensor([0.0, 0.1, 0.5, 0.1]).repeat(6)  # period 4, 24 steps
    frames = torch.cat([torch.zeros(1), energy.cumsum(0)]).reshape(1, 1, 25, 1, 1)
    value = motion_autocorrelation(frames)[0]
    assert value.shape == (12,)
    assert int(value.argmax()) + 1 == 4
    assert math.isclose(float(value[3]), 20 / 24, abs_tol=1e-3)


@pytest.mark.parametrize("speed", [0.0, 0.1])
def test_motion_autocorrelation_is_safe_where_motion_is_steady(speed: float) -> None:
    steady = (torch.arange(9.0).reshape(1, 1, 9, 1, 1) * speed).expand(2, 3, 9, 4, 4).clone().requires_grad_()
    value = motion_autocorrelation(steady)
    value.sum().backward()
    torch.testing.assert_close(value, torch.zeros(2, 4), rtol=0, atol=1e-4)
    assert steady.grad is not None
    assert torch.isfinite(steady.grad).all()


def test_motion_autocorrelation_of_few_frames_has_no_lags() -> None:
    assert motion_autocorrelation(torch.zeros(2, 3, 2, 4, 4)).shape == (2, 0)
    assert float(avoid_period(torch.zeros(0), torch.zeros(0))) == 0


def test_avoid_period_counts_only_excess() -> None:
    fake, real = torch.tensor([0.9, 0.1, -0.2]), torch.tensor([0.5, 0.4, -0.3])
    assert math.isclose(float(avoid_period(fake, real)), 0.4**2 + 0.1**2, rel_tol=1e-6)
    assert torch.autograd.gradcheck(avoid_period, (clips(5), clips(5, seed=1)))


def test_loop_equals_the_formula() -> None:
    x = clips(2, 1, 5, 2, 2)
    array = x.detach().numpy()
    expected = np.mean([(array[:, :, t] - array[:, :, t + 3]) ** 2 for t in (0, 1)])
    assert math.isclose(loop(x, 3).item(), expected, rel_tol=1e-12)
    assert torch.autograd.gradcheck(lambda a: loop(a, 3), x)
    assert float(loop(torch.rand(1, 1, 3, 2, 2).repeat(1, 1, 2, 1, 1), 3)) == 0
    for period in (0, 5):
        with pytest.raises(AssertionError):
            loop(x, period)


def test_weights_are_clipped_in_place() -> None:
    net = nn.Linear(2, 2)
    with torch.no_grad():
        net.weight.copy_(torch.tensor([[0.5, -0.5], [0.005, 0.01]]))
        net.bias.fill_(-3.0)
    weight = net.weight
    clip_weights_(net, 0.01)
    assert net.weight is weight
    assert weight.requires_grad
    torch.testing.assert_close(weight.detach(), torch.tensor([[0.01, -0.01], [0.005, 0.01]]))
    torch.testing.assert_close(net.bias.detach(), torch.full((2,), -0.01))
