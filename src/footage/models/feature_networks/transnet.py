"""TransNet V2's blocks (Souček & Lokoč 2020), trained to find cuts and dissolves in films.

A cell convolves in four ways at once: 3×3 in space, then over 3 frames in time that are 1, 2, 4 or 8 apart; the four
are put side by side and normalised. Two cells with a skip and a mean over 2×2 places are a block; there are three. Each
frame is then compared with the 50 on either side of it, by what the blocks have seen and by its colours, and two
decisions follow: whether it is the middle of a transition, and whether it is within one (sections 3.2 and 3.3).
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
NEAR = 50
"""Frames to each side that one is compared with."""
COMPARED, DECIDED = 128, 1024
"""Numbers that a comparison becomes, and the decision goes by."""
SHADES = 8
"""Steps of each of red, green and blue in a histogram."""


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


class FrameComparison(nn.Module):
    """How alike each frame is to the `NEAR` before and behind it: cosines of vectors, and what is made of them."""

    def __init__(self, inside: int | None = None) -> None:
        super().__init__()
        if inside is not None:
            self.projection = nn.Linear(inside, COMPARED)
        self.fc = nn.Linear(2 * NEAR + 1, COMPARED)

    def forward(self, vectors: Tensor) -> Tensor:
        """Return (B, T, COMPARED) of the frames' vectors (B, T, D); beyond the ends nothing is alike."""
        if hasattr(self, "projection"):
            vectors = self.projection(vectors)
        vectors = F.normalize(vectors, dim=2)
        alike = F.pad(vectors @ vectors.transpose(1, 2), (NEAR, NEAR))  # (B, T, NEAR + T + NEAR)
        frames = vectors.shape[1]
        near = torch.arange(frames)[:, None] + torch.arange(2 * NEAR + 1)  # those around each frame
        compared: Tensor = F.relu(self.fc(alike.gather(2, near.to(alike.device).expand(len(alike), -1, -1))))
        return compared


class TransNet(TransNetBlocks):
    """The whole network: for each frame, whether it is the middle of a transition, and whether it is within one."""

    def __init__(self) -> None:
        super().__init__()
        wide = 4 * FILTERS[-1] * 3 * 6  # the last block's map: 256 channels at 3×6 places
        self.frame_sim_layer = FrameComparison(4 * sum(FILTERS))
        self.color_hist_layer = FrameComparison()
        self.fc1 = nn.Linear(2 * COMPARED + wide, DECIDED)
        self.cls_layer1, self.cls_layer2 = nn.Linear(DECIDED, 1), nn.Linear(DECIDED, 1)

    def decide(self, clips: Tensor) -> tuple[Tensor, Tensor]:
        """Return both probabilities, (B, T) each, of clips (B, 3, T, 27, 48) in [-1, 1]."""
        maps = self(clips)
        means = torch.cat([one.mean(dim=(3, 4)) for one in maps], dim=1).transpose(1, 2)  # (B, T, 448)
        places = maps[-1].permute(0, 2, 3, 4, 1).flatten(2)  # (B, C, T, h, w) → (B, T, h·w·C)
        shades = ((clips + 1) * 127.5).round().long() * SHADES // 256  # (B, 3, T, h, w)
        colours = ((shades[:, 0] * SHADES + shades[:, 1]) * SHADES + shades[:, 2]).flatten(2)  # (B, T, h·w)
        counts = torch.zeros(*colours.shape[:2], SHADES**3, device=clips.device)
        counts.scatter_add_(2, colours, torch.ones_like(colours, dtype=counts.dtype))
        seen = torch.cat([self.color_hist_layer(counts), self.frame_sim_layer(means), places], dim=2)
        seen = F.relu(self.fc1(seen))
        middle, within = (torch.sigmoid(head(seen))[..., 0] for head in (self.cls_layer1, self.cls_layer2))
        return middle, within
