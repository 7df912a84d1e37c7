"""TransNet V2's blocks (Souček & Lokoč 2020), trained to find cuts and dissolves in films.

A cell convolves in four ways at once: 3×3 in space, then over 3 frames in time that are 1, 2, 4 or 8 apart; the four
are put side by side and normalised. Two cells with a skip and a mean over 2×2 places are a block; there are three. What
follows in the paper, similarities of frames, colour histograms and the decision, is left out.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

HEIGHT, WIDTH = 27, 48
"""Size of the frames that the network sees, whatever the video's."""
DILATIONS = (1, 2, 4, 8)
"""Frames between the three that a convolution in time takes."""
FILTERS = (16, 32, 64)
"""Channels of each of the four ways, block by block."""
STEP = 50
"""Frames in the middle of a window whose answers are taken, as in the paper; what is around them is seen only."""
EPSILON = 1e-3
"""Of batch normalisation."""


class SpaceTimeConv(nn.Module):
    """A 3×3 convolution to twice the channels, then one over three frames `dilation` apart; zeros around both."""

    def __init__(self, inside: int, filters: int, dilation: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv3d(inside, 2 * filters, (1, 3, 3), padding=(0, 1, 1), bias=False),
            nn.Conv3d(2 * filters, filters, (3, 1, 1), dilation=(dilation, 1, 1), padding=(dilation, 0, 0), bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, filters, T, h, w) of (B, inside, T, h, w)."""
        both: Tensor = self.layers(x)
        return both


class DilatedCell(nn.Module):
    """The four ways side by side, normalised."""

    def __init__(self, inside: int, filters: int) -> None:
        super().__init__()
        for dilation in DILATIONS:
            self.add_module(f"Conv3D_{dilation}", SpaceTimeConv(inside, filters, dilation))
        self.bn = nn.BatchNorm3d(4 * filters, EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, 4 filters, T, h, w) of (B, inside, T, h, w)."""
        ways = [self.get_submodule(f"Conv3D_{dilation}")(x) for dilation in DILATIONS]
        normalised: Tensor = self.bn(torch.cat(ways, dim=1))
        return normalised


class StackedCells(nn.Module):
    """Two cells, the first one's answer added to the second's, and the mean over 2×2 places."""

    def __init__(self, inside: int, filters: int) -> None:
        super().__init__()
        self.DDCNN = nn.ModuleList([DilatedCell(inside, filters), DilatedCell(4 * filters, filters)])

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, 4 filters, T, h / 2, w / 2) of (B, inside, T, h, w)."""
        first = F.relu(self.DDCNN[0](x))
        second = F.relu(self.DDCNN[1](first))
        return F.avg_pool3d(first + second, (1, 2, 2))


class TransNetBlocks(nn.Module):
    """The blocks. Clips are RGB (B, 3, T, 27, 48) in [-1, 1]; what they see reaches 16 frames farther with each."""

    def __init__(self) -> None:
        super().__init__()
        pairs = zip((3, *(4 * filters for filters in FILTERS)), FILTERS, strict=False)
        self.SDDCNN = nn.ModuleList([StackedCells(inside, filters) for inside, filters in pairs])

    def forward(self, clips: Tensor, blocks: int = len(FILTERS)) -> list[Tensor]:
        """Return what each of the first blocks makes of the clips: (B, 4 filters, T, h, w), h×w 13×24, 6×12 and 3×6."""
        x, maps = (clips + 1) / 2, []
        for block in self.SDDCNN[:blocks]:
            x = block(x)
            maps.append(x)
        return maps
