from __future__ import annotations

import math

import torch

from footage.losses import non_saturating_critic, non_saturating_generator
from footage.penalties import gradient_norm_squared


def test_non_saturating_losses_equal_the_formula() -> None:
    real, fake = torch.tensor([0.3, -2.0], dtype=torch.double), torch.tensor([1.5, -0.7], dtype=torch.double)
    sigmoid = lambda v: 1 / (1 + math.exp(-v))  # noqa: E731
    critic = (
        -sum(math.log(sigmoid(v)) for v in (0.3, -2.0)) / 2 - sum(math.log(1 - sigmoid(v)) for v in (1.5, -0.7)) / 2
    )
    generator = -sum(math.log(sigmoid(v)) for v in (1.5, -0.7)) / 2
    assert math.isclose(float(non_saturating_critic(real, fake)), critic, rel_tol=1e-12)
    assert math.isclose(float(non_saturating_generator(fake)), generator, rel_tol=1e-12)


def test_losses_do_not_overflow() -> None:
    far = torch.tensor([1e4, -1e4])
    assert torch.isfinite(non_saturating_critic(far, far))
    assert torch.isfinite(non_saturating_generator(far))


def test_losses_pass_gradcheck() -> None:
    real = torch.randn(4, dtype=torch.double, requires_grad=True)
    fake = torch.randn(4, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(non_saturating_critic, (real, fake))
    assert torch.autograd.gradcheck(non_saturating_generator, (fake,))


def test_gradient_norm_of_a_known_function() -> None:
    # D(x) = w . x^2 / 2 has gradient w * x.
    torch.manual_seed(0)
    clips = torch.randn(3, 2, 2, 2, 2, dtype=torch.double, requires_grad=True)
    weight = torch.randn(2, 2, 2, 2, dtype=torch.double, requires_grad=True)
    logits = (weight * clips.square() / 2).sum(dim=(1, 2, 3, 4))
    penalty = gradient_norm_squared(logits, clips)
    expected = (weight * clips).square().sum(dim=(1, 2, 3, 4)).mean()
    torch.testing.assert_close(penalty.double(), expected, rtol=1e-6, atol=0)
    (gradient,) = torch.autograd.grad(penalty, weight)  # differentiable twice
    torch.testing.assert_close(gradient, (2 * weight * clips.square()).mean(0), rtol=1e-5, atol=1e-7)
