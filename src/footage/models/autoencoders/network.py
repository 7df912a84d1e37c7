"""The causal (2+1)D video VAE: clips to latent volumes and back, four times shorter and eight times smaller; its prior.

A frame's future changes nothing in its code, so that videos are encoded and decoded chunk by chunk, in constant memory,
exactly as at once. Pixels enter as 4×4 patches and leave as 2×2 patches, which makes a step several times as fast.
Features lie in memory with their channels last: frames are then a view of a clip, and nothing is copied between
convolutions over space and over time.

The prior, where a GAN learns it, is a generator of latent volumes: the doublings of the 3D-convolutional generator
bring its code to the size of the volume, and residual blocks refine it there.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn.functional import silu, softplus

from footage.config import ClipConfig
from footage.models.autoencoders import VaeConfig
from footage.models.layers import (
    CausalBlock,
    ConvDecoder,
    FeatureNorm,
    Generator,
    GeneratorOutput,
    LabelEmbedding,
    Levels,
    Memory,
    Noise,
    SpaceConv,
    TimeConv,
    upsampling_plan,
    with_label,
)

ENTER, LEAVE = 4, 2
"""Side of the patches that pixels enter and leave as."""
DEEP = 3
"""Blocks at the latent volume's size, in encoder and decoder each."""
LOW, HIGH = -15.0, 5.0
"""Limits of the logarithm of a latent number's variance."""
START = -4.0
"""Where that begins: codes that are mostly noise at first would teach the decoder to overlook them."""
OUTPUT_START = -3.0
"""Where the logarithm of the output's variance begins: near what the mean clip leaves, so that pixels count at once."""
FLOOR = -10.0
"""Lowest logarithm of the output's variance: less than a grey level of 256."""
GAIN = 10.0
"""The output's log-variance learns this much faster than weights: Adam moves each by its rate, and it has far to go."""


class VaeOutput(NamedTuple):
    """What the VAE gives in training."""

    mean: Tensor
    """Means of the latent numbers, (B, c, T / 4, H / 8, W / 8)."""
    log_variance: Tensor
    """Logarithms of their variances, the same shape."""
    clips: Tensor
    """What a draw of them is decoded to, (B, C, T, H, W), around [-1, 1]."""
    output_log_variance: Tensor
    """Logarithm of the variance of pixels around that, (C,)."""
    sample: Tensor | None
    """What latent numbers from the prior are decoded to, (B, C, T, H, W); None where there were none."""


def into_patches(clips: Tensor, side: int) -> Tensor:
    """Turn pixels into the channels of patches: (B, C, T, H, W) -> (B, C side², T, H / side, W / side)."""
    patches = rearrange(clips, "b c t (h p) (w q) -> b t h w (c p q)", p=side, q=side)
    return patches.movedim(4, 1)  # B c T h w, channels last in memory


def out_of_patches(patches: Tensor, side: int) -> Tensor:
    """Turn channels into pixels: (B, C side², T, H, W) -> (B, C, T, H side, W side)."""
    clips = rearrange(patches, "b (c p q) t h w -> b t (h p) (w q) c", p=side, q=side)
    return clips.movedim(4, 1)  # B C T H W, channels last in memory


def twice(x: Tensor) -> Tensor:
    """Show every frame twice: (B, C, T, H, W) -> (B, C, 2 T, H, W)."""
    return x.movedim(1, 4).repeat_interleave(2, dim=1).movedim(4, 1)


class VaeEncoder(nn.Module):
    """Numbers (B, C, T, H, W) -> mean and log-variance, (B, 2 c, T / 4, H / 8, W / 8).

    Args:
        pixels: channels C of the clips.
        latent: channels c of the latent volume.
        width: channels at full size, if there were any; a quarter of the size has twice, an eighth four times as many.
    """

    def __init__(self, pixels: int, latent: int, width: int) -> None:
        super().__init__()
        middle, inner = 2 * width, 4 * width
        self.enter = SpaceConv(pixels * ENTER**2, middle)
        self.halve1 = TimeConv(middle, middle, 4, stride=2)
        self.block = CausalBlock(middle)
        self.down = SpaceConv(middle, inner, 4, stride=2)
        self.halve2 = TimeConv(inner, inner, 4, stride=2)
        self.blocks = nn.ModuleList(CausalBlock(inner) for _ in range(DEEP))
        self.norm = FeatureNorm(inner)
        self.leave = SpaceConv(inner, 2 * latent)
        bias = self.leave.conv.bias
        assert bias is not None
        nn.init.zeros_(bias)
        nn.init.constant_(bias[latent:], START)

    def forward(self, numbers: Tensor, memory: Memory | None = None) -> Tensor:
        """Return mean and log-variance; with a memory, of a video that goes on. T is a multiple of 4."""
        x = self.enter(into_patches(numbers, ENTER))  # B 2w T H/4 W/4
        x = self.halve1(silu(x), memory)  # B 2w T/2 H/4 W/4
        x = self.down(self.block(x, memory))  # B 4w T/2 H/8 W/8
        x = self.halve2(silu(x), memory)  # B 4w T/4 H/8 W/8
        for block in self.blocks:
            x = block(x, memory)
        return self.leave(silu(self.norm(x)))  # type: ignore[no-any-return]


class VaeDecoder(nn.Module):
    """Latent volume (B, c, t, h, w) -> numbers (B, C, 4 t, 8 h, 8 w); the encoder's mirror image.

    Args:
        pixels: channels C of the clips.
        latent: channels c of the latent volume.
        width: see `Encoder`.
    """

    def __init__(self, pixels: int, latent: int, width: int) -> None:
        super().__init__()
        middle, inner = 2 * width, 4 * width
        self.enter = SpaceConv(latent, inner)
        self.blocks = nn.ModuleList(CausalBlock(inner) for _ in range(DEEP))
        self.double1 = TimeConv(inner, inner)
        self.up1 = SpaceConv(inner, 4 * middle)
        self.block = CausalBlock(middle)
        self.double2 = TimeConv(middle, middle)
        self.norm = FeatureNorm(middle)
        self.up2 = SpaceConv(middle, 4 * width)
        self.leave = SpaceConv(width, pixels * LEAVE**2)

    def forward(self, latents: Tensor, memory: Memory | None = None) -> Tensor:
        """Return the numbers; with a memory, of a video that goes on."""
        x = self.enter(latents)  # B 4w t h w
        for block in self.blocks:
            x = block(x, memory)
        x = self.double1(twice(x), memory)  # B 4w 2t h w
        x = out_of_patches(self.up1(silu(x)), 2)  # B 2w 2t 2h 2w
        x = self.double2(twice(self.block(x, memory)), memory)  # B 2w 4t 2h 2w
        x = out_of_patches(self.up2(silu(self.norm(x))), 2)  # B w 4t 4h 4w
        return out_of_patches(self.leave(silu(x)), LEAVE)  # B C 4t 8h 8w


class Vae(nn.Module):
    """Clips (B, C, T, H, W) in [-1, 1] <-> latent volumes (B, c, T / 4, H / 8, W / 8)."""

    def __init__(self, clip: ClipConfig, net: VaeConfig) -> None:
        super().__init__()
        volume = net.latent_clip(clip)
        self.shape = (volume.channels, volume.frames, volume.height, volume.width)
        self.levels = Levels(clip.channels)
        self.encoder = VaeEncoder(clip.channels, net.latent, net.width)
        self.decoder = VaeDecoder(clip.channels, net.latent, net.width)
        self.noise = nn.Parameter(torch.full((clip.channels,), OUTPUT_START / GAIN))

    @property
    def output_log_variance(self) -> Tensor:
        """Logarithm of the variance of pixels in [-1, 1] around what is decoded, (C,), in nats.

        Softly bounded below, as sigma-VAE does it (Rybkin et al. 2021): on clips without noise it would fall for ever.
        """
        return FLOOR + softplus(GAIN * self.noise - FLOOR)

    def forward(self, clips: Tensor, noise: Tensor, prior: Tensor | None = None) -> VaeOutput:
        """Encode, draw and decode.

        Args:
            clips: (B, C, T, H, W) in [-1, 1].
            noise: standard normal numbers for the draw, of the latent volumes' shape.
            prior: latent volumes to be decoded as well, (B, c, T / 4, H / 8, W / 8); None for none.
        """
        mean, log_variance = self.encode(clips)
        latents = mean + torch.exp(log_variance / 2) * noise
        if prior is None:
            return VaeOutput(mean, log_variance, self.decode(latents), self.output_log_variance, None)
        reconstructions, sample = self.decode(torch.cat([latents, prior])).chunk(2)
        return VaeOutput(mean, log_variance, reconstructions, self.output_log_variance, sample)

    def encode(self, clips: Tensor, memory: Memory | None = None) -> tuple[Tensor, Tensor]:
        """Return means and log-variances of the latent numbers of clips; with a memory, of a video that goes on."""
        both: Tensor = self.encoder(self.levels(clips), memory)  # B 2c t h w
        mean, log_variance = both.to(clips.dtype).chunk(2, dim=1)
        return mean, log_variance.clamp(LOW, HIGH)

    def decode(self, latents: Tensor, memory: Memory | None = None) -> Tensor:
        """Return the clips of latent volumes, around [-1, 1]; with a memory, of a video that goes on."""
        numbers: Tensor = self.decoder(latents, memory)
        return self.levels.pixels(numbers.to(latents.dtype))


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
        self.table = LabelEmbedding(labels, net.label) if labels else None
        self.tower = ConvDecoder(codes, upsampling_plan(volume), inner, inner, codes)
        self.blocks = nn.ModuleList(CausalBlock(inner) for _ in range(REFINING))
        self.norm = FeatureNorm(inner)
        self.leave = SpaceConv(inner, volume.channels)

    def noise(self, frames: int) -> dict[str, tuple[int, ...]]:
        """Return the shapes of one volume's noise."""
        return {"z": (self.size,)}

    def entries(self) -> list[Tensor]:
        """Return the weights by which z enters: at the start, and as the style of every stage."""
        return self.tower.entries(slice(self.size), slice(self.size))

    def forward(self, noise: Noise, label: Tensor | None = None) -> GeneratorOutput:
        """Return the volumes of the codes."""
        code = with_label(noise["z"], self.table, label)  # B (noise + label)
        x: Tensor = self.tower(code, code)  # B 4w t h w
        for block in self.blocks:
            x = block(x)
        volume: Tensor = self.leave(silu(self.norm(x)))  # B c t h w
        return GeneratorOutput(volume, volume.new_zeros(()))
