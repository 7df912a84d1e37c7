"""Adversarial losses, all minimised. `real` = D(x) and `fake` = D(G(z)) are raw logits; critics have no sigmoid.

Pure functions of logits of one shape, (N,) or (N, P) with a logit for each of P patches; each gives a scalar, the mean
over all of them. The equation, with a = D(x) and b = D(G(z)), and its source stand in each; sp is softplus.
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


def logistic_critic(real: Tensor, fake: Tensor) -> Tensor:
    """sp(-a) + sp(b): Goodfellow et al. 2014, eq. 1, with sigmoid and log folded into softplus."""
    return softplus(-real).mean() + softplus(fake).mean()


def minimax_generator(real: Tensor, fake: Tensor) -> Tensor:
    """-sp(b): Goodfellow et al. 2014, eq. 1, the other side of that game; it saturates when the critic wins."""
    return -softplus(fake).mean()


def non_saturating_generator(real: Tensor, fake: Tensor) -> Tensor:
    """sp(-b): Goodfellow et al. 2014, section 3; its gradient does not vanish when the critic wins."""
    return softplus(-fake).mean()


def least_squares_critic(real: Tensor, fake: Tensor) -> Tensor:
    """(a - 1)^2 / 2 + b^2 / 2: Mao et al. 2017, eq. 9 (targets 0 and 1)."""
    return (real - 1).square().mean() / 2 + fake.square().mean() / 2


def least_squares_generator(real: Tensor, fake: Tensor) -> Tensor:
    """(b - 1)^2 / 2: Mao et al. 2017, eq. 9; not the other side of the critic's expression."""
    return (fake - 1).square().mean() / 2


def wasserstein_critic(real: Tensor, fake: Tensor) -> Tensor:
    """B - a: Arjovsky et al. 2017, eq. 3; the critic has to be kept Lipschitz by clipping or a penalty."""
    return fake.mean() - real.mean()


def linear_generator(real: Tensor, fake: Tensor) -> Tensor:
    """-b: Arjovsky et al. 2017, eq. 3; Lim & Ye 2017 for the hinge."""
    return -fake.mean()


def hinge_critic(real: Tensor, fake: Tensor) -> Tensor:
    """relu(1 - a) + relu(1 + b): Lim & Ye 2017; Miyato et al. 2018, eq. 16."""
    return relu(1 - real).mean() + relu(1 + fake).mean()


def relativistic_critic(real: Tensor, fake: Tensor) -> Tensor:
    """sp(b - a): Jolicoeur-Martineau 2019 (relativistic pairing); Huang et al. 2024 (R3GAN), eq. 2."""
    return softplus(fake - real).mean()


def relativistic_generator(real: Tensor, fake: Tensor) -> Tensor:
    """sp(a - b): the same with the roles exchanged; real i and fake i share their condition and their frames."""
    return softplus(real - fake).mean()


MINIMAX = AdversarialLoss(logistic_critic, minimax_generator)
NON_SATURATING = AdversarialLoss(logistic_critic, non_saturating_generator)
LEAST_SQUARES = AdversarialLoss(least_squares_critic, least_squares_generator)
WASSERSTEIN = AdversarialLoss(wasserstein_critic, linear_generator)
HINGE = AdversarialLoss(hinge_critic, linear_generator)
RELATIVISTIC = AdversarialLoss(relativistic_critic, relativistic_generator, paired=True)
