"""I3D: Inception-v1 whose filters are inflated in time (Carreira & Zisserman 2017, figure 3), trained on Kinetics-400.

The layers' names are those of the published PyTorch tensors, so that these fit.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from footage.evaluation.features import resized_clips

CLASSES = 400
"""Classes of Kinetics-400."""
SIDE = 224
"""Height and width of what the network sees."""
EPSILON = 1e-3
"""Of batch normalisation, as TensorFlow has it."""
LEAST = (9, 1, 1)
"""Least frames, height and width of a clip: two steps in time are left for the last pooling."""

MIXED: dict[str, tuple[int, tuple[int, int, int, int, int, int]]] = {
    "Mixed_3b": (192, (64, 96, 128, 16, 32, 32)),
    "Mixed_3c": (256, (128, 128, 192, 32, 96, 64)),
    "Mixed_4b": (480, (192, 96, 208, 16, 48, 64)),
    "Mixed_4c": (512, (160, 112, 224, 24, 64, 64)),
    "Mixed_4d": (512, (128, 128, 256, 24, 64, 64)),
    "Mixed_4e": (512, (112, 144, 288, 32, 64, 64)),
    "Mixed_4f": (528, (256, 160, 320, 32, 128, 128)),
    "Mixed_5b": (832, (256, 160, 320, 32, 128, 128)),
    "Mixed_5c": (832, (384, 192, 384, 48, 128, 128)),
}
"""Channels of the inception modules: what comes in; 1×1; reduction and 3×3; reduction and 3×3; 1×1 after pooling."""


def same(x: Tensor, kernel: Sequence[int], stride: Sequence[int], value: float = 0.0) -> Tensor:
    """Pad (B, C, T, H, W) as TensorFlow's SAME does: the outcome has ceil(size / stride) places along each axis.

    p = max((ceil(n / s) - 1) s + k - n, 0),   p // 2 of it in front
    """
    pads: list[int] = []
    for size, k, s in zip(reversed(x.shape[2:]), reversed(kernel), reversed(stride), strict=True):  # W H T
        whole = max((-(-size // s) - 1) * s + k - size, 0)
        pads += [whole // 2, whole - whole // 2]
    return F.pad(x, pads, value=value)


class ConvUnit3d(nn.Module):
    """A convolution with SAME padding, batch normalisation and ReLU."""

    def __init__(self, inside: int, outside: int, kernel: int = 1, stride: int = 1) -> None:
        super().__init__()
        self.kernel, self.stride = (kernel,) * 3, (stride,) * 3
        self.conv3d = nn.Conv3d(inside, outside, kernel, stride, bias=False)
        self.bn = nn.BatchNorm3d(outside, eps=EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, outside, T / stride, H / stride, W / stride)."""
        activation: Tensor = F.relu(self.bn(self.conv3d(same(x, self.kernel, self.stride))))
        return activation


def pooled(x: Tensor, kernel: tuple[int, int, int], stride: tuple[int, int, int]) -> Tensor:
    """Return the greatest value in each window, with SAME padding that never wins."""
    return F.max_pool3d(same(x, kernel, stride, -torch.inf), kernel, stride)


class Mixed(nn.Module):
    """An inception module: four branches side by side, whose channels come one after another."""

    def __init__(self, inside: int, widths: tuple[int, int, int, int, int, int]) -> None:
        super().__init__()
        plain, less_a, a, less_b, b, after = widths
        self.b0 = ConvUnit3d(inside, plain)
        self.b1a, self.b1b = ConvUnit3d(inside, less_a), ConvUnit3d(less_a, a, 3)
        self.b2a, self.b2b = ConvUnit3d(inside, less_b), ConvUnit3d(less_b, b, 3)
        self.b3b = ConvUnit3d(inside, after)

    def forward(self, x: Tensor) -> Tensor:
        branches = self.b0(x), self.b1b(self.b1a(x)), self.b2b(self.b2a(x)), self.b3b(pooled(x, (3, 3, 3), (1, 1, 1)))
        return torch.cat(branches, dim=1)


class Head(nn.Module):
    """The last layer, a 1×1×1 convolution with a bias."""

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        self.conv3d = nn.Conv3d(inside, outside, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (B, K, T, H, W)."""
        activation: Tensor = self.conv3d(x)
        return activation


class I3D(nn.Module):
    """The network. Features are the logits, before the softmax, as the Fréchet video distance has them."""

    def __init__(self, classes: int = CLASSES) -> None:
        super().__init__()
        self.Conv3d_1a_7x7 = ConvUnit3d(3, 64, 7, 2)
        self.Conv3d_2b_1x1 = ConvUnit3d(64, 64)
        self.Conv3d_2c_3x3 = ConvUnit3d(64, 192, 3)
        for name, (inside, widths) in MIXED.items():
            self.add_module(name, Mixed(inside, widths))
        self.logits = Head(1024, classes)

    def prepared(self, clips: Tensor) -> Tensor:
        """Resize RGB clips (B, 3, T, H, W) in [0, 255] to 224×224, bilinearly, and scale them to [-1, 1]."""
        return resized_clips(clips, (SIDE, SIDE)) / 127.5 - 1

    def forward(self, clips: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits (B, 400) twice, as features and as logits, of RGB clips (B, 3, T, H, W) in [0, 255]."""
        x = pooled(self.Conv3d_1a_7x7(self.prepared(clips)), (1, 3, 3), (1, 2, 2))
        x = pooled(self.Conv3d_2c_3x3(self.Conv3d_2b_1x1(x)), (1, 3, 3), (1, 2, 2))
        for name in MIXED:
            if name == "Mixed_4b":
                x = pooled(x, (3, 3, 3), (2, 2, 2))
            elif name == "Mixed_5b":
                x = pooled(x, (2, 2, 2), (2, 2, 2))
            x = self.get_submodule(name)(x)
        x = F.avg_pool3d(x, (2, 7, 7), stride=1)
        activation = self.logits(x).mean(dim=(2, 3, 4))  # one place is left in space; over time the mean is taken
        return activation, activation
