"""The 3D-convolutional generator: VGAN (Vondrick, Pirsiavash and Torralba 2016), DCGAN in three dimensions.

z (and an embedded label) -> a small volume -> transposed convolutions that double time and space. With two streams,
a moving foreground f, a still background b and a mask m give m f + (1 - m) b (VGAN, eq. 2). Where it leaves the paper,
docs/LOG.md has the figures.
"""

from __future__ import annotations

import torch
from torch import Tensor

from footage.config import ClipConfig
from footage.models.generators.conv3d import Conv3dConfig
from footage.models.layers import (
    ConvDecoder,
    Generator,
    GeneratorOutput,
    LabelEmbedding,
    Levels,
    Noise,
    frame_plan,
    upsampling_plan,
    with_label,
)


class Conv3dGenerator(Generator):
    """z (B, latent), label -> clip (B, C, T, H, W), a linear output around [-1, 1]."""

    def __init__(self, clip: ClipConfig, net: Conv3dConfig, labels: int) -> None:
        super().__init__()
        shape = upsampling_plan(clip)
        codes = net.latent + (net.label if labels else 0)
        self.latent = net.latent
        self.sparsity = net.mask
        self.levels = Levels(clip.channels)
        self.table = LabelEmbedding(labels, net.label) if labels else None
        self.modulated = net.mix == "modulate"
        style = codes if self.modulated else 0
        self.tower = ConvDecoder(codes, shape, net.width, clip.channels + (net.streams - 1), style)
        self.background = (
            ConvDecoder(codes, frame_plan(shape), net.width, clip.channels, style) if net.streams == 2 else None
        )

    def entries(self) -> list[Tensor]:
        """Return the weights by which z enters both streams: at the start, and as the style of every stage."""
        towers, z = [self.tower, *([] if self.background is None else [self.background])], slice(self.latent)
        return [weight for tower in towers for weight in tower.entries(z, z)]

    def forward(self, noise: Noise, label: Tensor | None = None) -> GeneratorOutput:
        """Return the clips of the latent codes; the penalty is the weighted mean of the mask."""
        z = noise["z"]
        assert z.ndim == 2 and z.shape[1] == self.latent, f"z is {tuple(z.shape)}, not (B, {self.latent})"
        code = with_label(z, self.table, label)
        style = code if self.modulated else None
        volume: Tensor = self.tower(code, style)
        if self.background is None:
            return GeneratorOutput(self.levels.pixels(volume), volume.new_zeros(()))
        foreground, mask = volume[:, :-1], torch.sigmoid(volume[:, -1:])
        still_picture = self.background(code, style)  # B C 1 H W
        clips = self.levels.pixels(mask * foreground + (1 - mask) * still_picture)
        return GeneratorOutput(clips, self.sparsity * mask.mean(dtype=torch.float32))
