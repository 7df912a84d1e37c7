"""Inception-v3 as the Fréchet inception distance uses it: the TensorFlow graph of 2015-12-05 (Heusel et al. 2017).

Szegedy et al. 2016, with that graph's ways: average pooling that leaves the padding out of its count, and greatest
values instead of means in the last module. The layers' names are those of the published PyTorch tensors.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CLASSES = 1008
"""Outputs of the graph: 1,000 classes of ImageNet and 8 that are not used."""
SIDE = 299
"""Height and width of what the network sees."""
SIZE = 2048
"""Length of a feature vector."""
EPSILON = 1e-3
"""Of batch normalisation."""


class ConvUnit2d(nn.Module):
    """A convolution, batch normalisation and ReLU."""

    def __init__(
        self,
        inside: int,
        outside: int,
        kernel: int | tuple[int, int],
        stride: int = 1,
        padding: int | tuple[int, int] = 0,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inside, outside, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(outside, eps=EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, outside, h, w)."""
        activation: Tensor = F.relu(self.bn(self.conv(x)))
        return activation


class Row(ConvUnit2d):
    """A convolution over 7 places of a row."""

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__(inside, outside, (1, 7), padding=(0, 3))


class Column(ConvUnit2d):
    """A convolution over 7 places of a column."""

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__(inside, outside, (7, 1), padding=(3, 0))


def averaged(x: Tensor) -> Tensor:
    """Return means over 3×3; what lies beyond the edge is not counted."""
    return F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)


class Fives(nn.Module):
    """The modules at 35×35: 1×1, 5×5, twice 3×3, and 1×1 after pooling."""

    def __init__(self, inside: int, after: int) -> None:
        super().__init__()
        self.branch1x1 = ConvUnit2d(inside, 64, 1)
        self.branch5x5_1, self.branch5x5_2 = ConvUnit2d(inside, 48, 1), ConvUnit2d(48, 64, 5, padding=2)
        self.branch3x3dbl_1, self.branch3x3dbl_2 = ConvUnit2d(inside, 64, 1), ConvUnit2d(64, 96, 3, padding=1)
        self.branch3x3dbl_3 = ConvUnit2d(96, 96, 3, padding=1)
        self.branch_pool = ConvUnit2d(inside, after, 1)

    def forward(self, x: Tensor) -> Tensor:
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        ways = self.branch1x1(x), self.branch5x5_2(self.branch5x5_1(x)), double, self.branch_pool(averaged(x))
        return torch.cat(ways, dim=1)


class ToSixes(nn.Module):
    """From 35×35 to 17×17."""

    def __init__(self, inside: int) -> None:
        super().__init__()
        self.branch3x3 = ConvUnit2d(inside, 384, 3, stride=2)
        self.branch3x3dbl_1, self.branch3x3dbl_2 = ConvUnit2d(inside, 64, 1), ConvUnit2d(64, 96, 3, padding=1)
        self.branch3x3dbl_3 = ConvUnit2d(96, 96, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch3x3(x), double, F.max_pool2d(x, 3, stride=2)], dim=1)


class Sixes(nn.Module):
    """The modules at 17×17: 1×1, a 7×7 in two lines, twice that, and 1×1 after pooling."""

    def __init__(self, inside: int, width: int) -> None:
        super().__init__()
        self.branch1x1 = ConvUnit2d(inside, 192, 1)
        self.branch7x7_1, self.branch7x7_2 = ConvUnit2d(inside, width, 1), Row(width, width)
        self.branch7x7_3 = Column(width, 192)
        self.branch7x7dbl_1, self.branch7x7dbl_2 = ConvUnit2d(inside, width, 1), Column(width, width)
        self.branch7x7dbl_3, self.branch7x7dbl_4 = Row(width, width), Column(width, width)
        self.branch7x7dbl_5 = Row(width, 192)
        self.branch_pool = ConvUnit2d(inside, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        single, double = self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x))), x
        for number in range(1, 6):
            double = self.get_submodule(f"branch7x7dbl_{number}")(double)
        return torch.cat([self.branch1x1(x), single, double, self.branch_pool(averaged(x))], dim=1)


class ToSevens(nn.Module):
    """From 17×17 to 8×8."""

    def __init__(self, inside: int) -> None:
        super().__init__()
        self.branch3x3_1, self.branch3x3_2 = ConvUnit2d(inside, 192, 1), ConvUnit2d(192, 320, 3, stride=2)
        self.branch7x7x3_1 = ConvUnit2d(inside, 192, 1)
        self.branch7x7x3_2 = Row(192, 192)
        self.branch7x7x3_3 = Column(192, 192)
        self.branch7x7x3_4 = ConvUnit2d(192, 192, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        long = self.branch7x7x3_4(self.branch7x7x3_3(self.branch7x7x3_2(self.branch7x7x3_1(x))))
        return torch.cat([self.branch3x3_2(self.branch3x3_1(x)), long, F.max_pool2d(x, 3, stride=2)], dim=1)


class Sevens(nn.Module):
    """The modules at 8×8, whose 3×3 are split in a row and a column; `greatest` values are pooled, or means."""

    def __init__(self, inside: int, greatest: bool) -> None:
        super().__init__()
        self.greatest = greatest
        self.branch1x1 = ConvUnit2d(inside, 320, 1)
        self.branch3x3_1 = ConvUnit2d(inside, 384, 1)
        self.branch3x3_2a = ConvUnit2d(384, 384, (1, 3), padding=(0, 1))
        self.branch3x3_2b = ConvUnit2d(384, 384, (3, 1), padding=(1, 0))
        self.branch3x3dbl_1, self.branch3x3dbl_2 = ConvUnit2d(inside, 448, 1), ConvUnit2d(448, 384, 3, padding=1)
        self.branch3x3dbl_3a = ConvUnit2d(384, 384, (1, 3), padding=(0, 1))
        self.branch3x3dbl_3b = ConvUnit2d(384, 384, (3, 1), padding=(1, 0))
        self.branch_pool = ConvUnit2d(inside, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        single, double = self.branch3x3_1(x), self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        around = F.max_pool2d(x, 3, stride=1, padding=1) if self.greatest else averaged(x)
        split = self.branch3x3_2a(single), self.branch3x3_2b(single)
        twice = self.branch3x3dbl_3a(double), self.branch3x3dbl_3b(double)
        return torch.cat([self.branch1x1(x), *split, *twice, self.branch_pool(around)], dim=1)


def resized(frames: Tensor, side: int = SIDE) -> Tensor:
    """Resize frames (N, C, H, W) bilinearly as TensorFlow 1 did: output place i shows input place i n / side.

    There is no half pixel and no smoothing; `torch.nn.functional.interpolate` does it otherwise.
    """
    for dim in (2, 3):
        size = frames.shape[dim]
        places = torch.arange(side, device=frames.device, dtype=torch.float32) * (size / side)
        low = places.floor().long()
        high = (low + 1).clamp(max=size - 1)
        part = (places - low).view([-1 if axis == dim else 1 for axis in range(4)])
        before, after = frames.index_select(dim, low), frames.index_select(dim, high)
        frames = before + (after - before) * part
    return frames


class Inception(nn.Module):
    """The network. Features are the means of the last maps, logits what follows without its bias, as IS has them."""

    def __init__(self, classes: int = CLASSES) -> None:
        super().__init__()
        self.Conv2d_1a_3x3, self.Conv2d_2a_3x3 = ConvUnit2d(3, 32, 3, stride=2), ConvUnit2d(32, 32, 3)
        self.Conv2d_2b_3x3 = ConvUnit2d(32, 64, 3, padding=1)
        self.Conv2d_3b_1x1, self.Conv2d_4a_3x3 = ConvUnit2d(64, 80, 1), ConvUnit2d(80, 192, 3)
        self.Mixed_5b, self.Mixed_5c, self.Mixed_5d = Fives(192, 32), Fives(256, 64), Fives(288, 64)
        self.Mixed_6a = ToSixes(288)
        self.Mixed_6b, self.Mixed_6c, self.Mixed_6d, self.Mixed_6e = (
            Sixes(768, width) for width in (128, 160, 160, 192)
        )
        self.Mixed_7a = ToSevens(768)
        self.Mixed_7b, self.Mixed_7c = Sevens(1280, False), Sevens(2048, True)
        self.fc = nn.Linear(SIZE, classes)

    def seen(self, x: Tensor) -> Tensor:
        """Return features (N, 2048) of frames (N, 3, 299, 299) in [-1, 1)."""
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(F.max_pool2d(x, 3, stride=2)))
        x = F.max_pool2d(x, 3, stride=2)
        for name in ("5b", "5c", "5d", "6a", "6b", "6c", "6d", "6e", "7a", "7b", "7c"):
            x = self.get_submodule(f"Mixed_{name}")(x)
        return x.mean(dim=(2, 3))

    def forward(self, clips: Tensor) -> tuple[Tensor, Tensor]:
        """Return features (B T, 2048) and logits (B T, 1008) of RGB clips (B, 3, T, H, W) in [0, 255], clip by clip."""
        frames = clips.transpose(1, 2).flatten(0, 1)  # B C T H W -> BT C H W
        features = torch.cat([self.seen((resized(part) - 128) / 128) for part in torch.split(frames, 16)])
        return features, features @ self.fc.weight.T
