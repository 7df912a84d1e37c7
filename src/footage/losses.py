"""Adversarial losses, all minimised. `real` = D(x) and `fake` = D(G(z)) are raw logits; critics have no sigmoid.

Pure functions of logits of shape (B,); each gives a scalar. The equation and its source stand above each.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import softplus


# softplus(-D(x)) + softplus(D(G(z))): Goodfellow et al. 2014, eq. 1, with sigmoid and log folded into softplus.
def non_saturating_critic(real: Tensor, fake: Tensor) -> Tensor:
    """Return the critic's logistic loss: (B,), (B,) -> scalar."""
    return softplus(-real).mean() + softplus(fake).mean()


# softplus(-D(G(z))): Goodfellow et al. 2014, section 3; its gradient does not vanish when the critic wins.
def non_saturating_generator(fake: Tensor) -> Tensor:
    """Return the generator's non-saturating loss: (B,) -> scalar."""
    return softplus(-fake).mean()
