"""LPIPS: how unlike two frames are to a network that learned to recognise pictures (Zhang et al. 2018).

    d(x, y) = sum_l  1 / (H_l W_l)  sum_hw  | w_l * (x_lhw - y_lhw) |^2                     (eq. 1)

x_l and y_l are the maps behind the l-th ReLU, each place's channels scaled to length 1; w_l was learned from what
people said of pairs of 64×64 patches. The published heads hold w_l^2. The trunks are AlexNet (Krizhevsky 2014, one
column) and VGG-16 (Simonyan & Zisserman 2015, table 1, D); their layers are named as in the published PyTorch tensors.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from footage.errors import ConfigError
from footage.evaluation.features import NetworkInfo

MEAN, DEVIATION = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
"""Of ImageNet's pixels in [-1, 1]: those that are taken away, and divided by."""
LEARNED_AT = 64
"""Height and width of the patches that the heads learned from."""
EPSILON = 1e-10
"""Added to lengths, so that a place without any light can be divided by its own."""
PART, PIXELS = 16, 2**20
"""Frames that the network sees at once, and pixels of them, where a single one has fewer."""


@dataclass(frozen=True)
class TrunkUnit:
    """A convolution with ReLU, from `inside` to `outside` channels; its outcome may be `compared`."""

    number: int
    """Its place in the published list of layers."""
    inside: int
    outside: int
    kernel: int = 3
    stride: int = 1
    padding: int = 1
    pooled: bool = False
    """Whether the greatest values are pooled before it."""
    compared: bool = False


@dataclass(frozen=True)
class Trunk:
    """A network of convolutions whose maps are compared."""

    units: tuple[TrunkUnit, ...]
    pooling: int
    """Height and width of the windows that are pooled, every second place."""

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of the maps that are compared."""
        return tuple(unit.outside for unit in self.units if unit.compared)


ALEXNET = Trunk(
    (
        TrunkUnit(0, 3, 64, 11, 4, 2, compared=True),
        TrunkUnit(3, 64, 192, 5, 1, 2, pooled=True, compared=True),
        TrunkUnit(6, 192, 384, pooled=True, compared=True),
        TrunkUnit(8, 384, 256, compared=True),
        TrunkUnit(10, 256, 256, compared=True),
    ),
    pooling=3,
)
"""AlexNet's convolutions: frames have to be 31×31 at least, so that something is left to be pooled."""
VGG16 = Trunk(
    (
        TrunkUnit(0, 3, 64),
        TrunkUnit(2, 64, 64, compared=True),
        TrunkUnit(5, 64, 128, pooled=True),
        TrunkUnit(7, 128, 128, compared=True),
        TrunkUnit(10, 128, 256, pooled=True),
        TrunkUnit(12, 256, 256),
        TrunkUnit(14, 256, 256, compared=True),
        TrunkUnit(17, 256, 512, pooled=True),
        TrunkUnit(19, 512, 512),
        TrunkUnit(21, 512, 512, compared=True),
        TrunkUnit(24, 512, 512, pooled=True),
        TrunkUnit(26, 512, 512),
        TrunkUnit(28, 512, 512, compared=True),
    ),
    pooling=2,
)
"""VGG-16's convolutions: frames have to be 16×16 at least."""
LEAST = {"lpips-alex": (1, 31, 31), "lpips-vgg": (1, 16, 16)}
"""Least frames, height and width of clips, by the network's name."""


class Lpips(nn.Module):
    """The distance: the trunk whose maps are compared, and the heads."""

    def __init__(self, trunk: Trunk) -> None:
        super().__init__()
        self.trunk = trunk
        self.features = nn.ModuleDict(
            {
                f"{unit.number}": nn.Conv2d(unit.inside, unit.outside, unit.kernel, unit.stride, unit.padding)
                for unit in trunk.units
            }
        )
        self.heads = nn.ParameterList([torch.zeros(width) for width in trunk.widths])

    def maps(self, frames: Tensor) -> Iterator[Tensor]:
        """Yield what is compared of RGB frames (N, 3, H, W) in [-1, 1]: maps (N, C, h, w) of length 1 at each place."""
        mean, deviation = (frames.new_tensor(value).view(1, 3, 1, 1) for value in (MEAN, DEVIATION))
        x = (frames - mean) / deviation
        for unit in self.trunk.units:
            if unit.pooled:
                x = F.max_pool2d(x, self.trunk.pooling, stride=2)
            x = F.relu(self.features[f"{unit.number}"](x))
            if unit.compared:
                yield x / (x.square().sum(dim=1, keepdim=True).sqrt() + EPSILON)

    def forward(self, made: Tensor, real: Tensor) -> Tensor:
        """Return the distances (N,) of RGB frames (N, 3, H, W) in [-1, 1]."""
        distance = made.new_zeros(len(made))
        for x, y, weights in zip(self.maps(made), self.maps(real), self.heads, strict=True):
            distance = distance + ((x - y).square() * weights.view(1, -1, 1, 1)).sum(dim=1).mean(dim=(1, 2))
        return distance


class Perceptual:
    """The distance, ready for use: a network with its weights."""

    def __init__(self, net: nn.Module, about: NetworkInfo, device: torch.device | str = "cpu") -> None:
        self.about, self._device = about, device
        self._net = net.to(device).eval().requires_grad_(False)

    def caution(self, height: int, width: int) -> str:
        """Return what is to be known of figures of frames of a size; may be empty.

        Raises:
            ConfigError: they are too small for the network.
        """
        name, (_, least, _) = self.about.name, self.about.least
        if min(height, width) < least:
            raise ConfigError(
                f"frames are {width}×{height}, {name} needs at least {least}×{least}", "leave its weights out"
            )
        if min(height, width) < LEARNED_AT:
            return (
                f"frames of {width}×{height} are smaller than the {LEARNED_AT}×{LEARNED_AT} that LPIPS learned from: "
                "compare it with figures of that size only"
            )
        return ""

    @torch.inference_mode()
    def __call__(self, made: Tensor, real: Tensor) -> Tensor:
        """Return the distance of each frame of clips (B, C, T, H, W) in [-1, 1], C 1 or 3: (B, T), float64, on the CPU.

        Raises:
            ConfigError: the frames are too small for the network.
        """
        assert made.shape == real.shape and made.ndim == 5, f"clips are {tuple(made.shape)} and {tuple(real.shape)}"
        self.caution(*made.shape[3:])
        sides = (clips.transpose(1, 2).flatten(0, 1).expand(-1, 3, -1, -1) for clips in (made, real))  # -> BT 3 H W
        together = max(1, min(PART, PIXELS // (made.shape[3] * made.shape[4])))
        parts = zip(*(torch.split(frames, together) for frames in sides), strict=True)
        distances = [self._net(*(part.to(self._device).float() for part in pair)).double().cpu() for pair in parts]
        return torch.cat(distances).view(len(made), -1)


def renamed(tensors: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return a trunk's and its heads' published tensors in our names; the trunk's classifier is left out."""
    trunk = {key: value for key, value in tensors.items() if key.startswith("features.")}
    heads = {key: value for key, value in tensors.items() if key.startswith("lin")}
    return trunk | {key.replace("lin", "heads.").partition(".model")[0]: v.flatten() for key, v in heads.items()}
