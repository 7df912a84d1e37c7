"""Optical flow that gradients go through: Horn & Schunck's iteration, unrolled."""

from __future__ import annotations

from collections.abc import Callable

import torch
from einops import rearrange
from torch import Tensor
from torch.nn.functional import avg_pool2d

_BLUR = (1.0, 4.0, 6.0, 4.0, 1.0)  # binomial, standard deviation 1
_SIDES = (1.0, 2.0, 1.0)  # Horn & Schunck's neighbours, 1/6 and 1/12: this along both axes, less the middle, over 12


# f_bar = sum_n k_n f_n / sum_n k_n over the neighbours n within the picture, k = line x line - hole at the middle.
def _averager(line: tuple[float, ...], hole: float, like: Tensor) -> Callable[[Tensor], Tensor]:
    """Return what averages pictures (..., h, w): matrices, whose second derivatives cost far less than kernels'."""
    sides: list[Tensor] = []
    for size in like.shape[-2:]:  # a matrix (size, size) correlates a line of pixels with `line`
        sides.append(torch.zeros(size, size, dtype=like.dtype, device=like.device))
        for offset, value in enumerate(line, -(len(line) // 2)):
            sides[-1].diagonal(offset).fill_(value)
    down, across = sides
    inside = down.sum(1)[:, None] * across.sum(1) - hole

    def average(pictures: Tensor) -> Tensor:
        return (down @ (pictures @ across) - hole * pictures) / inside

    return average


# df/dx ~ (f(x + 1) - f(x - 1)) / 2, and f beyond the edge as at the edge.
def _slope(pictures: Tensor, dim: int) -> Tensor:
    """Return central differences of pictures (N, 1, h, w) along a dimension."""
    size = pictures.shape[dim]
    first, last = pictures.narrow(dim, 0, 1), pictures.narrow(dim, size - 1, 1)
    wider = torch.cat([first, pictures, last], dim)
    return (wider.narrow(dim, 2, size) - wider.narrow(dim, 0, size)) / 2


# (u, v) <- (u, v)_bar - (Ex, Ey) (Ex u_bar + Ey v_bar + Et) / (alpha^2 + Ex^2 + Ey^2): Horn & Schunck 1981, section 12.
# Ex and Ey are of the mean of the two frames: then Et = -(u Ex + v Ey) to the second order in the displacement.
def horn_schunck(clips: Tensor, *, side: int = 32, iterations: int = 16, smoothness: float = 0.1) -> Tensor:
    """Return the optical flow between successive frames, differentiable as often as wanted.

    Frames are made grey, averaged over squares until the shorter side is at most `side`, and blurred. Displacements of
    up to about 2 of those pixels are measured; there is no pyramid for larger ones. Where nothing moves, the flow is 0.

    Args:
        clips: (B, C, T, H, W) in [-1, 1], T at least 2.
        side: greatest length of the shorter side on which the flow is computed.
        iterations: each carries the flow one pixel further into plain areas.
        smoothness: alpha, in pixel values per pixel; edges much fainter than that are taken for noise.

    Returns:
        (B, 2, T - 1, h, w): displacement (x, y) in pixels of the reduced frames, for each step.
    """
    batch, _, frames, height, width = clips.shape
    assert frames > 1, "one frame does not move"
    grey = clips if clips.dtype == torch.float64 else clips.float()
    with torch.autocast(clips.device.type, enabled=False):
        grey = rearrange(grey.mean(1), "b t h w -> (b t) 1 h w")
        factor = -(-min(height, width) // side)  # at the far edges, squares are averaged over what is inside
        grey = avg_pool2d(grey, factor, ceil_mode=True)
        grey = _averager(_BLUR, 0.0, grey)(grey)
        grey = rearrange(grey, "(b t) 1 h w -> b t h w", b=batch)
        before, after = (rearrange(part, "b t h w -> (b t) 1 h w") for part in (grey[:, :-1], grey[:, 1:]))
        middle, change = (before + after) / 2, after - before
        slope = torch.cat([_slope(middle, 3), _slope(middle, 2)], 1)  # (N, 2, h, w): Ex, Ey
        gain = slope / (smoothness**2 + slope.square().sum(1, keepdim=True))
        flow = -gain * change  # the first iteration, from rest
        neighbours = _averager(_SIDES, 4.0, middle)
        for _ in range(iterations - 1):
            mean = neighbours(flow)
            flow = mean - gain * ((slope * mean).sum(1, keepdim=True) + change)
    return rearrange(flow, "(b t) d h w -> b d t h w", b=batch)
