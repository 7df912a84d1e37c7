"""What translators are given in training, made from the clips themselves: frame by frame, so that video can stream."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from einops import rearrange
from torch import Tensor
from torch.nn.functional import avg_pool2d, conv2d, interpolate, pad

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in luma (ITU-R BT.601)."""
SHRINK = 4
"""How much smaller `lowres` pictures are before they are enlarged again."""
SIGMA = 2.0
"""Standard deviation of `blur`, in pixels."""


# Y = 0.299 R + 0.587 G + 0.114 B: ITU-R BT.601.
def grey(frames: Tensor) -> Tensor:
    """Return the luma of pictures, (N, C, H, W) -> (N, 1, H, W)."""
    if frames.shape[1] == 1:
        return frames
    return (frames * frames.new_tensor(LUMA).view(-1, 1, 1)).sum(dim=1, keepdim=True)


# |(Sx * Y, Sy * Y)|, S = [1 2 1] x [-1 0 1] / 8 (Sobel and Feldman 1968); tanh brings a step of 1 to tanh(2) = 0.96.
def edges(frames: Tensor) -> Tensor:
    """Return the strength of edges, (N, C, H, W) -> (N, 1, H, W): -1 where all is plain, towards 1 at a sharp step."""
    wider = pad(grey(frames), (1, 1, 1, 1), mode="replicate")
    smooth, slope = frames.new_tensor([1.0, 2.0, 1.0]) / 4, frames.new_tensor([-1.0, 0.0, 1.0]) / 2
    across = smooth[:, None] * slope  # 3 3
    both = conv2d(wider, torch.stack([across, across.T]).unsqueeze(1))  # N 2 H W
    return 2 * torch.tanh(4 * both.square().sum(dim=1, keepdim=True).sqrt()) - 1


def lowres(frames: Tensor) -> Tensor:
    """Average pictures over squares of 4×4 pixels, and enlarge them again, linearly: (N, C, H, W) -> the same."""
    small = avg_pool2d(frames, SHRINK, ceil_mode=True)  # at the far edges over what there is
    return interpolate(small, frames.shape[2:], mode="bilinear", align_corners=False)


# exp(-r^2 / (2 sigma^2)), cut off at 3 sigma, along both axes one after the other.
def blur(frames: Tensor) -> Tensor:
    """Blur pictures by a Gaussian, the edge repeated: (N, C, H, W) -> the same."""
    reach = math.ceil(3 * SIGMA)
    line = torch.exp(-torch.arange(-reach, reach + 1, device=frames.device).square() / (2 * SIGMA**2)).to(frames)
    line = line / line.sum()
    flat = frames.flatten(0, 1).unsqueeze(1)  # (N C) 1 H W
    flat = conv2d(pad(flat, (reach, reach, 0, 0), mode="replicate"), line.view(1, 1, 1, -1))
    flat = conv2d(pad(flat, (0, 0, reach, reach), mode="replicate"), line.view(1, 1, -1, 1))
    return flat.view_as(frames)


DERIVED: dict[str, Callable[[Tensor], Tensor]] = {"edges": edges, "grey": grey, "lowres": lowres, "blur": blur}
"""What is made of each frame by itself."""


def derive(clips: Tensor, kind: str) -> Tensor:
    """Make what a translator is given, (B, C, T, H, W) -> (B, Cs, T, H, W), or (B, C, 1, H, W) for `first-frame`.

    Args:
        clips: in [-1, 1].
        kind: as `task.source`, but not `pairs`.
    """
    if kind == "first-frame":
        return clips[:, :, :1]
    with torch.autocast(clips.device.type, enabled=False):
        made = DERIVED[kind](clips.transpose(1, 2).flatten(0, 1))  # (B T) Cs H W
    return rearrange(made, "(b t) c h w -> b c t h w", b=len(clips))


def repeated(source: Tensor, frames: int) -> Tensor:
    """Let a picture (B, C, 1, H, W) stand for `frames` frames; a clip stays as it is."""
    return source.expand(-1, -1, frames, -1, -1) if source.shape[2] == 1 else source
