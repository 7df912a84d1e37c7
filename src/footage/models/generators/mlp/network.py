"""The fully connected generator (Goodfellow et al. 2014): the baseline that everything is compared with."""

from __future__ import annotations

import itertools

from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from footage.config import ClipConfig
from footage.models.generators.mlp import MlpConfig
from footage.models.layers import (
    LEAK,
    Generator,
    GeneratorOutput,
    LabelEmbedding,
    Levels,
    Noise,
    voxels,
    with_label,
)


class MlpGenerator(Generator):
    """z (B, latent), label -> clip (B, C, T, H, W): latent - w - 2w - 4w - voxels, leaky rectifiers between.

    Raises:
        ConfigError: the last layer would be too large.
    """

    def __init__(self, clip: ClipConfig, net: MlpConfig, labels: int) -> None:
        super().__init__()
        self.latent = net.latent
        self.shape = (clip.channels, clip.frames, clip.height, clip.width)
        self.levels = Levels(clip.channels)
        self.table = LabelEmbedding(labels, net.label) if labels else None
        sizes = [net.latent + (net.label if labels else 0), net.width, 2 * net.width, 4 * net.width]
        sizes.append(voxels(clip, net.width))
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(sizes))

    def entries(self) -> list[Tensor]:
        first = self.layers[0].weight
        assert isinstance(first, Tensor)
        return [first[:, : self.latent]]

    def forward(self, noise: Noise, label: Tensor | None = None) -> GeneratorOutput:
        x = with_label(noise["z"], self.table, label)
        for layer in list(self.layers)[:-1]:
            x = leaky_relu(layer(x), LEAK)
        clips = self.levels.pixels(self.layers[-1](x).unflatten(1, self.shape))  # B C T H W
        return GeneratorOutput(clips, clips.new_zeros(()))
