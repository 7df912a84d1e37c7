"""A generator of latent volumes: the prior of a VAE, learned by a GAN in its latent space.

The doublings of the 3D-convolutional generator bring the code to the size of the volume; residual blocks refine it
there.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import silu

from footage.config import ClipConfig, VaeConfig
from footage.models.causal import CausalBlock, FeatureNorm, SpaceConv
from footage.models.layers import Generator, LabelTable, Levels, Made, Noise, Tower, plan, with_label

REFINING = 2
"""Residual blocks at the volume's size."""


class LatentGenerator(Generator):
    """z (B, noise), label -> latent volume (B, c, t, h, w).

    Args:
        volume: shape of the latent volume, as that of a clip.
        net: sizes of the VAE.
        labels: number of labels; 0 for an unconditional generator.
    """

    def __init__(self, volume: ClipConfig, net: VaeConfig, labels: int) -> None:
        super().__init__()
        codes, inner = net.noise + (net.label if labels else 0), 4 * net.width
        self.size = net.noise
        self.levels = Levels(volume.channels)  # those of the prior: 0 and 1; never of pixels
        self.table = LabelTable(labels, net.label) if labels else None
        self.tower = Tower(codes, plan(volume), inner, inner, codes)
        self.blocks = nn.ModuleList(CausalBlock(inner) for _ in range(REFINING))
        self.norm = FeatureNorm(inner)
        self.leave = SpaceConv(inner, volume.channels)

    def noise(self, frames: int) -> dict[str, tuple[int, ...]]:
        """Return the shapes of one volume's noise."""
        return {"z": (self.size,)}

    def entries(self) -> list[Tensor]:
        """Return the weights by which z enters: at the start, and as the style of every stage."""
        return self.tower.entries(slice(self.size), slice(self.size))

    def forward(self, noise: Noise, label: Tensor | None = None) -> Made:
        """Return the volumes of the codes."""
        code = with_label(noise["z"], self.table, label)  # B (noise + label)
        x: Tensor = self.tower(code, code)  # B 4w t h w
        for block in self.blocks:
            x = block(x)
        volume: Tensor = self.leave(silu(self.norm(x)))  # B c t h w
        return Made(volume, volume.new_zeros(()))
