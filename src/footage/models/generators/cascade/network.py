"""The decoder of details and its critic: a small picture becomes a large one, as sharp as those it learned from.

The decoder works at the low resolution first and doubles it by pixel shuffles (Shi et al. 2016); what it gives is added
to the bicubic enlargement. A channel of noise, one field for a video, chooses among details that fit; it stays, so that
nothing flickers. The critic sees the enlargement beside the picture (Isola et al. 2017) and judges patches.
"""

from __future__ import annotations

from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, pixel_unshuffle, silu

from footage.models.generators.cascade import CascadeConfig
from footage.models.layers import LEAK
from footage.models.upscalers.upscale import enlarged

BLOCKS = {2: (3,), 4: (3, 1), 8: (4, 2, 1)}
"""Residual blocks at each resolution, the lowest first, by how many times larger pictures become."""
WIDTHS = (3, 2, 1)
"""Channels at 1/8, 1/4 and 1/2 of the full size, in units of the configuration's `detail`."""
STRIDE = 16
"""Pixels from one patch that the critic judges to the next."""
START = 0.1
"""What a residual block's last convolution begins with, as a part of the usual."""


class ResidualBlock(nn.Module):
    """x + conv(silu(conv(silu(x)))), of 3×3: (N, c, h, w) -> the same."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = (nn.Conv2d(width, width, 3, padding=1) for _ in range(2))
        with torch.no_grad():
            self.second.weight *= START

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(silu(self.first(silu(x))))  # type: ignore[no-any-return]


class DetailDecoder(nn.Module):
    """Small pictures (N, C, h, w) and noise (N, 1, h, w) -> pictures (N, C, s h, s w), linear, around [-1, 1]."""

    def __init__(self, channels: int, net: CascadeConfig) -> None:
        super().__init__()
        self.scale = net.scale
        blocks = BLOCKS[net.scale]
        widths = [net.detail * factor for factor in WIDTHS[-len(blocks) :]]
        layers: list[nn.Module] = [nn.Conv2d(channels + 1, widths[0], 3, padding=1)]
        for (width, after), count in zip(pairwise([*widths, 0]), blocks, strict=True):
            layers += [ResidualBlock(width) for _ in range(count)]
            if after:
                layers += [nn.Conv2d(width, 4 * after, 3, padding=1), nn.PixelShuffle(2)]  # N c h w -> N c' 2h 2w
        leave = nn.Conv2d(widths[-1], 4 * channels, 3, padding=1)
        layers += [nn.SiLU(), leave, nn.PixelShuffle(2)]
        self.layers = nn.Sequential(*layers)
        nn.init.zeros_(leave.weight)
        nn.init.zeros_(cast(Tensor, leave.bias))
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, pictures: Tensor, noise: Tensor) -> Tensor:
        x = torch.cat([pictures, noise.to(pictures.dtype)], dim=1).contiguous(memory_format=torch.channels_last)
        return enlarged(pictures, self.scale) + self.layers(x).float()  # type: ignore[no-any-return]


class DetailCritic(nn.Module):
    """Pictures with their enlargements, (N, 2 C, H, W) -> logits of patches, (N, 1, H / 16, W / 16)."""

    def __init__(self, channels: int, net: CascadeConfig) -> None:
        super().__init__()
        width = net.detail_critic
        widths = [width, 2 * width, 8 * width // 3, 8 * width // 3]
        self.enter = nn.Conv2d(8 * channels, width, 3, padding=1)
        self.stages = nn.ModuleList(nn.Conv2d(a, b, 4, 2, 1) for a, b in pairwise(widths))
        self.leave = nn.Conv2d(widths[-1], 1, 3, padding=1)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, pictures: Tensor) -> Tensor:
        x = pixel_unshuffle(pictures, 2).contiguous(memory_format=torch.channels_last)  # N 8C H/2 W/2
        x = self.enter(x)
        for stage in self.stages:
            x = stage(leaky_relu(x, LEAK))
        return self.leave(leaky_relu(x, LEAK))  # type: ignore[no-any-return]
