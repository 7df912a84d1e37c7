"""EfficientNet-Lite0, trained on ImageNet: inverted residuals (Sandler et al. 2018) by the table of Tan & Le 2019.

The Lite variant has no squeeze-and-excitation, ReLU6 in place of swish, and stem and head of fixed width. The weights
are TensorFlow's: convolutions with stride pad so that n places become ⌈n / stride⌉, the odd one behind ("same"), and
batch normalisation has ε = 1e-3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

EPSILON = 1e-3
"""Of batch normalisation."""
MEAN, DEVIATION = 0.498, 0.502
"""Of pixels in [0, 1], in the units that the network was trained with: nearly [-1, 1]."""
STEM, HEAD, CLASSES = 32, 1280, 1000
"""Channels of the first and last convolution; classes of ImageNet."""


@dataclass(frozen=True)
class MobileStage:
    """A row of the table: blocks of one width, the first of which takes the stride."""

    repeats: int
    kernel: int
    stride: int
    expansion: int
    width: int


STAGES = (
    MobileStage(1, 3, 1, 1, 16),
    MobileStage(2, 3, 2, 6, 24),
    MobileStage(2, 5, 2, 6, 40),
    MobileStage(3, 3, 2, 6, 80),
    MobileStage(3, 5, 1, 6, 112),
    MobileStage(4, 5, 2, 6, 192),
    MobileStage(1, 3, 1, 6, 320),
)
"""Every stage, those of Tan & Le's table 1."""


class SameConv2d(nn.Conv2d):
    """A convolution without bias that makes ⌈n / stride⌉ of n places; of an odd padding the larger half is behind."""

    def __init__(self, inside: int, outside: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(inside, outside, kernel, stride, groups=groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, outside, ⌈h / stride⌉, ⌈w / stride⌉) of (N, inside, h, w)."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        high, wide = (max((-(-n // stride) - 1) * stride + kernel - n, 0) for n in x.shape[2:])
        same: Tensor = super().forward(F.pad(x, (wide // 2, wide - wide // 2, high // 2, high - high // 2)))
        return same


class InvertedResidual(nn.Module):
    """1×1 to `expansion` times the channels, a k×k for each channel, 1×1 without activation; a skip where it fits."""

    def __init__(self, inside: int, stage: MobileStage, stride: int) -> None:
        super().__init__()
        middle = inside * stage.expansion
        self.skips = stride == 1 and inside == stage.width
        self.expands = stage.expansion > 1
        if self.expands:
            self.expand_conv, self.bn0 = SameConv2d(inside, middle, 1), nn.BatchNorm2d(middle, EPSILON)
        self.depthwise_conv = SameConv2d(middle, middle, stage.kernel, stride, groups=middle)
        self.bn1 = nn.BatchNorm2d(middle, EPSILON)
        self.project_conv, self.bn2 = SameConv2d(middle, stage.width, 1), nn.BatchNorm2d(stage.width, EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, width, ⌈h / stride⌉, ⌈w / stride⌉) of (N, inside, h, w)."""
        inner = F.relu6(self.bn0(self.expand_conv(x))) if self.expands else x
        inner = F.relu6(self.bn1(self.depthwise_conv(inner)))
        inner = cast(Tensor, self.bn2(self.project_conv(inner)))
        return inner + x if self.skips else inner


class EfficientNetLite0(nn.Module):
    """The network: 4.65 M weights. Frames are RGB (N, 3, H, W) in [-1, 1], of any size."""

    def __init__(self) -> None:
        super().__init__()
        self.conv_stem, self.bn0 = SameConv2d(3, STEM, 3, 2), nn.BatchNorm2d(STEM, EPSILON)
        blocks, inside = list[nn.Module](), STEM
        self.ends: list[int] = []  # of each stage: the number of blocks up to its last one
        for stage in STAGES:
            for number in range(stage.repeats):
                blocks.append(InvertedResidual(inside, stage, 1 if number else stage.stride))
                inside = stage.width
            self.ends.append(len(blocks))
        self.blocks = nn.ModuleList(blocks)
        self.conv_head, self.bn1 = SameConv2d(inside, HEAD, 1), nn.BatchNorm2d(HEAD, EPSILON)
        self.fc = nn.Linear(HEAD, CLASSES)

    def maps(self, frames: Tensor, stages: int = len(STAGES)) -> list[Tensor]:
        """Return what each of the first stages makes of frames: (N, width, h, w), from 1/2 of the size on."""
        x = ((frames + 1) / 2 - MEAN) / DEVIATION
        x = F.relu6(self.bn0(self.conv_stem(x)))
        maps = []
        for number, block in enumerate(self.blocks[: self.ends[stages - 1]], 1):
            x = block(x)
            if number in self.ends:
                maps.append(x)
        return maps

    def forward(self, frames: Tensor) -> Tensor:
        """Return the logits of ImageNet's classes, (N, 1000)."""
        x = F.relu6(self.bn1(self.conv_head(self.maps(frames)[-1])))
        logits: Tensor = self.fc(torch.mean(x, dim=(2, 3)))
        return logits


def fused(net: EfficientNetLite0, stages: int = len(STAGES)) -> EfficientNetLite0:
    """Put each normalisation into the convolution before it, which halves the time; for use, not for training.

    Blocks behind the first stages are left out.
    """
    net.blocks = net.blocks[: net.ends[stages - 1]]
    placed = (("conv_stem", 0), ("expand_conv", 0), ("depthwise_conv", 1), ("project_conv", 2), ("conv_head", 1))
    for part in (net, *net.blocks):
        for conv, norm in placed:
            if hasattr(part, conv):
                both = fuse_conv_bn_eval(getattr(part, conv), getattr(part, f"bn{norm}"))
                setattr(part, conv, both)
                setattr(part, f"bn{norm}", nn.Identity())
    return net
