"""Adversarial losses, all minimised. `real` = D(x) and `fake` = D(G(z)) are raw logits; critics have no sigmoid.

Pure functions of logits of one shape, (N,) or (N, P) with a logit for each of P patches; each gives a scalar, the mean
over all of them. The equation, with a = D(x) and b = D(G(z)), and its source stand above each; sp is softplus.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import relu, softplus


@dataclass(frozen=True)
class AdversarialLoss:
    """What the critic and the generator minimise."""

    critic: Callable[[Tensor, Tensor], Tensor]
    """(real logits, fake logits) -> scalar."""
    generator: Callable[[Tensor, Tensor], Tensor]
    """(real logits, fake logits) -> scalar; most ignore the real ones."""
    paired: bool = False
    """Whether real i is compared with fake i, so that logits of patches may not be given."""


# sp(-a) + sp(b): Goodfellow et al. 2014, eq. 1, with sigmoid and log folded into softplus.
def _logistic_critic(real: Tensor, fake: Tensor) -> Tensor:
    return softplus(-real).mean() + softplus(fake).mean()


# -sp(b): Goodfellow et al. 2014, eq. 1, the generator's side of the same game; it saturates when the critic wins.
def _minimax_generator(real: Tensor, fake: Tensor) -> Tensor:
    return -softplus(fake).mean()


# sp(-b): Goodfellow et al. 2014, section 3; its gradient does not vanish when the critic wins.
def _non_saturating_generator(real: Tensor, fake: Tensor) -> Tensor:
    return softplus(-fake).mean()


# (a - 1)^2 / 2 + b^2 / 2: Mao et al. 2017, eq. 9 (targets 0 and 1).
def _least_squares_critic(real: Tensor, fake: Tensor) -> Tensor:
    return (real - 1).square().mean() / 2 + fake.square().mean() / 2


# (b - 1)^2 / 2: Mao et al. 2017, eq. 9; not the other side of the critic's expression.
def _least_squares_generator(real: Tensor, fake: Tensor) -> Tensor:
    return (fake - 1).square().mean() / 2


# b - a: Arjovsky et al. 2017, eq. 3; the critic has to be kept Lipschitz by clipping or a penalty.
def _wasserstein_critic(real: Tensor, fake: Tensor) -> Tensor:
    return fake.mean() - real.mean()


# -b: Arjovsky et al. 2017, eq. 3; Lim & Ye 2017 for the hinge.
def _linear_generator(real: Tensor, fake: Tensor) -> Tensor:
    return -fake.mean()


# relu(1 - a) + relu(1 + b): Lim & Ye 2017; Miyato et al. 2018, eq. 16.
def _hinge_critic(real: Tensor, fake: Tensor) -> Tensor:
    return relu(1 - real).mean() + relu(1 + fake).mean()


# sp(b - a): Jolicoeur-Martineau 2019 (relativistic pairing); Huang et al. 2024 (R3GAN), eq. 2.
def _relativistic_critic(real: Tensor, fake: Tensor) -> Tensor:
    return softplus(fake - real).mean()


# sp(a - b): the same with the roles exchanged; real i and fake i share their condition and their frames.
def _relativistic_generator(real: Tensor, fake: Tensor) -> Tensor:
    return softplus(real - fake).mean()


MINIMAX = AdversarialLoss(_logistic_critic, _minimax_generator)
NON_SATURATING = AdversarialLoss(_logistic_critic, _non_saturating_generator)
LEAST_SQUARES = AdversarialLoss(_least_squares_critic, _least_squares_generator)
WASSERSTEIN = AdversarialLoss(_wasserstein_critic, _linear_generator)
HINGE = AdversarialLoss(_hinge_critic, _linear_generator)
RELATIVISTIC = AdversarialLoss(_relativistic_critic, _relativistic_generator, paired=True)
