"""Regularisers of the critic: pure functions, the equation and its source above each."""

from __future__ import annotations

import torch
from torch import Tensor


# E[ |grad_x D(x)|^2 ]: Mescheder et al. 2018, eq. 9, without its factor gamma / 2; the norm is over C, T, H and W.
def gradient_norm_squared(logits: Tensor, clips: Tensor) -> Tensor:
    """Return the mean squared gradient of the logits with respect to the clips, differentiable, in float32.

    Args:
        logits: (B,), computed from `clips`.
        clips: (B, C, T, H, W), requiring gradients.
    """
    (gradient,) = torch.autograd.grad(logits.sum(), clips, create_graph=True)
    return gradient.float().square().sum(dim=(1, 2, 3, 4)).mean()
