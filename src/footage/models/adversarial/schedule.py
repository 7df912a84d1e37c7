"""The burn-in of adversarial training: strong and quick at first, then ever gentler (Huang et al. 2024, R3GAN)."""

from __future__ import annotations

import math
from collections.abc import Iterable

from torch.optim import Optimizer

from footage.config import GanConfig
from footage.config.gan import EARLY_BETA2

LEFT = 0.25
"""Part of learning rates and of the penalties' weights that is left at the end. R3GAN leaves a tenth of the penalties;
with that critics won, and colours collapsed (docs/LOG.md)."""


def _fallen(clips_seen: int, burn_in: int, left: float) -> float:
    """Return what half a cosine from 1 to `left` has come to; 1 without a burn-in."""
    way = min(1.0, clips_seen / burn_in) if burn_in else 0.0
    return left + (1 - left) * 0.5 * (1 + math.cos(math.pi * way))


def penalty_part(gan: GanConfig, clips_seen: int) -> float:
    """Return the part of the penalties' weights that holds."""
    return _fallen(clips_seen, gan.burn_in, LEFT)


def anneal(gan: GanConfig, rates: Iterable[tuple[Optimizer, float]], clips_seen: int) -> None:
    """Set rates and second moment decays for the next step, where there is a burn-in.

    Args:
        gan: the configuration.
        rates: optimisers, each with the rate that it begins with.
        clips_seen: before the step.
    """
    if not gan.burn_in:
        return
    part = _fallen(clips_seen, gan.burn_in, LEFT)
    beta2 = gan.beta2 - (gan.beta2 - EARLY_BETA2) * _fallen(clips_seen, gan.burn_in, 0.0)
    for optimizer, rate in rates:
        for group in optimizer.param_groups:
            group["lr"], group["betas"] = rate * part, (gan.beta1, beta2)
