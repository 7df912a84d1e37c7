"""The evidence lower bound, part by part: pure functions, the equation and its source above each. All are in nats.

Sums run over a whole sample and never turn into means on the way: a mean over pixels beside a sum over latent numbers
would multiply the weight of the divergence by the number of pixels, so that it meant something else at every size.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


# -log N(x; m, s^2) = sum over the sample of ((x - m)^2 / s^2 + log s^2 + log 2 pi) / 2: Kingma and Welling 2014,
# appendix C.2; s^2 learned, common to all places of a channel: Rybkin et al. 2021 (sigma-VAE), section 4.
def gaussian_nll(values: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return the negative log-likelihood of each sample, summed over it.

    Args:
        values: what was seen, (B, C, ...).
        mean: the same shape.
        log_variance: logarithm of the variance of each channel, (C,).

    Returns:
        (B,), nats.
    """
    squares = (values - mean).square().flatten(2).sum(dim=2)  # B C
    places = math.prod(values.shape[2:])
    return (squares * torch.exp(-log_variance) + places * (log_variance + math.log(2 * math.pi))).sum(dim=1) / 2


# KL(N(m, s^2) || N(0, 1)) = sum of (m^2 + s^2 - 1 - log s^2) / 2: Kingma and Welling 2014, appendix B.
def standard_kl(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return the divergence of diagonal normal distributions from the standard one, summed over each channel's places.

    Args:
        mean: (B, C, ...).
        log_variance: the same shape.

    Returns:
        (B, C), nats.
    """
    divergence = (mean.square() + log_variance.exp() - 1 - log_variance) / 2
    return divergence.flatten(2).sum(dim=2)


# sum over channels of max(lambda, KL of the channel): Kingma et al. 2016 (IAF), section 3.3, lambda being `free` times
# the channel's places. There KL is the mean over a batch; here it is each sample's own, so that samples stay apart.
def with_free_bits(divergence: Tensor, free: float, places: int) -> Tensor:
    """Return what each sample pays for its divergence, when each channel has some for nothing.

    Args:
        divergence: of each channel, summed over its places, (B, C), nats.
        free: nats for each place of each channel that cost nothing.
        places: number of places.

    Returns:
        (B,), nats.
    """
    return divergence.clamp(min=free * places).sum(dim=1)
