"""The distance of two pictures by a network's feature maps: the mathematics of LPIPS, with any network."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def lpips(made: Sequence[Tensor], real: Sequence[Tensor], weights: Sequence[Tensor] | None = None) -> Tensor:
    """Return the distance of pictures whose feature maps are given, (N,), float64.

        d = sum_l mean_hw sum_c w_lc (a_lc / |a_l| - b_lc / |b_l|)^2

    Zhang et al. 2018, eq. 1. Without the learned weights it is their baseline, and not LPIPS.

    Args:
        made: one map (N, C_l, H_l, W_l) for each layer.
        real: the same of the other pictures.
        weights: (C_l,) for each layer; None for the mean over channels.
    """
    total = torch.zeros(len(made[0]), dtype=torch.float64)
    for number, (a, b) in enumerate(zip(made, real, strict=True)):
        assert a.shape == b.shape and a.ndim == 4, f"maps are {tuple(a.shape)} and {tuple(b.shape)}"
        first, second = (x.double() / x.double().norm(dim=1, keepdim=True).clamp(min=1e-10) for x in (a, b))
        gap = (first - second).square()
        weight = torch.full((a.shape[1],), 1 / a.shape[1]) if weights is None else weights[number]
        total += (gap * weight.to(gap).view(1, -1, 1, 1)).sum(dim=1).mean(dim=(1, 2)).cpu()
    return total
