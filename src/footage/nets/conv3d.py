"""The 3D-convolutional GAN: VGAN (Vondrick, Pirsiavash and Torralba 2016), DCGAN in three dimensions.

Generator: z (and an embedded label) -> a small volume -> transposed convolutions that double time and space.
Critic: the mirror image in strided convolutions, with the label by projection (Miyato and Koyama 2018, eq. 3).
Where it leaves the paper, docs/LOG.md has the figures.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from einops import rearrange, reduce
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from footage.config import ClipConfig, Conv3dConfig
from footage.errors import ConfigError

MAX_CHANNELS = 512
"""Channels do not grow beyond this towards the innermost stage."""
LEAK = 0.2
"""Slope of the leaky rectifier below zero."""


@dataclass(frozen=True)
class Stage:
    """One doubling: kernel, stride and padding over (time, height, width)."""

    kernel: tuple[int, int, int]
    stride: tuple[int, int, int]
    padding: tuple[int, int, int]


SPACE = Stage((1, 4, 4), (1, 2, 2), (0, 1, 1))
SPACE_TIME = Stage((4, 4, 4), (2, 2, 2), (1, 1, 1))


@dataclass(frozen=True)
class Plan:
    """How a clip's shape is reached from a small volume by doublings."""

    base: tuple[int, int, int]
    """The innermost volume: frames, height, width."""
    stages: tuple[Stage, ...]
    """The doublings, from the innermost to the pixels; time is doubled in the last ones."""


def plan(clip: ClipConfig) -> Plan:
    """Choose the doublings for a clip: space down to 4 to 7 pixels on the short side, time down as far as it halves.

    Raises:
        ConfigError: height or width is not a multiple of the needed power of two.
    """
    short = min(clip.height, clip.width)
    doublings = max(1, (short // 4).bit_length() - 1)
    unit = 2**doublings
    for knob, value in (("clip.height", clip.height), ("clip.width", clip.width)):
        if value % unit:
            down, up = max(unit, value // unit * unit), (value // unit + 1) * unit
            raise ConfigError(f"{knob} is {value}, conv3d needs a multiple of {unit} here", f"give {down} or {up}")
    halvings = min(doublings, (clip.frames & -clip.frames).bit_length() - 1)
    base = (clip.frames >> halvings, clip.height // unit, clip.width // unit)
    return Plan(base, (SPACE,) * (doublings - halvings) + (SPACE_TIME,) * halvings)


def _channels(net: Conv3dConfig, stages: int) -> list[int]:
    """Channels from the innermost stage outwards."""
    return [min(MAX_CHANNELS, net.width * 2**i) for i in reversed(range(stages))]


class PixelNorm(nn.Module):
    """x / rms(x) over the channels of each voxel (Karras et al. 2018, section 4.2); clips stay independent."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the normalised features, (B, C, T, H, W)."""
        return x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + 1e-6)


def _start_smooth(stage: nn.ConvTranspose3d) -> None:
    """Let a transposed convolution begin as linear interpolation followed by a random mixing of channels.

    With independent weights at every tap it begins, and for long stays, with a grid and a flicker of its own.
    """
    taps = {1: torch.ones(1), 4: torch.tensor([0.25, 0.75, 0.75, 0.25])}
    t, h, w = (taps[size] for size in stage.kernel_size)
    mixing = torch.randn(stage.in_channels, stage.out_channels, 1, 1, 1) / stage.in_channels**0.5
    with torch.no_grad():
        stage.weight.copy_(mixing * t[:, None, None] * h[:, None] * w)
        if stage.bias is not None:
            stage.bias.zero_()


class Conv3dGenerator(nn.Module):
    """z (B, latent), label (B,) or None -> clip (B, C, T, H, W), a linear output around [-1, 1].

    Args:
        clip: shape of the clips.
        net: sizes of the network.
        labels: number of labels; 0 for an unconditional generator.
    """

    def __init__(self, clip: ClipConfig, net: Conv3dConfig, labels: int) -> None:
        super().__init__()
        shape = plan(clip)
        widths = _channels(net, len(shape.stages))
        self.latent = net.latent
        self.labels = labels
        self.base = (widths[0], *shape.base)
        self.embed = nn.Embedding(labels, net.label) if labels else None
        volume = widths[0] * shape.base[0] * shape.base[1] * shape.base[2]
        self.start = nn.Linear(net.latent + (net.label if labels else 0), volume)
        self.norm = PixelNorm()
        self.stages = nn.ModuleList(
            nn.ConvTranspose3d(inside, outside, stage.kernel, stage.stride, stage.padding)
            for inside, outside, stage in zip(widths, [*widths[1:], clip.channels], shape.stages, strict=True)
        )
        for stage in self.stages:
            assert isinstance(stage, nn.ConvTranspose3d)
            _start_smooth(stage)

    def forward(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        """Return the clips of the latent codes."""
        assert z.ndim == 2 and z.shape[1] == self.latent, f"z is {tuple(z.shape)}, not (B, {self.latent})"
        assert (label is None) == (self.embed is None), "a label is given where and only where there are labels"
        if self.embed is not None:
            z = torch.cat([z, self.embed(label)], dim=1)  # B (latent + label)
        x: Tensor = self.start(z).unflatten(1, self.base)  # B C t h w
        for stage in self.stages:
            x = stage(leaky_relu(self.norm(x), LEAK))  # B C/2 2t 2h 2w
        return x


class Conv3dCritic(nn.Module):
    """Clip (B, C, T, H, W), label (B,) or None -> logits (B,). No normalisation: it may carry gradient penalties.

    Args:
        clip: shape of the clips.
        net: sizes of the network.
        labels: number of labels; 0 for an unconditional critic.
    """

    def __init__(self, clip: ClipConfig, net: Conv3dConfig, labels: int) -> None:
        super().__init__()
        shape = plan(clip)
        widths = _channels(net, len(shape.stages))[::-1]
        self.shape = (clip.channels, clip.frames, clip.height, clip.width)
        # The mirror image of the generator: its last doubling is the critic's first halving.
        self.stages = nn.ModuleList(
            nn.Conv3d(outside, inside, stage.kernel, stage.stride, stage.padding)
            for outside, inside, stage in zip(
                [clip.channels, *widths[:-1]], widths, reversed(shape.stages), strict=True
            )
        )
        self.out = nn.Linear(widths[-1] * shape.base[0] * shape.base[1] * shape.base[2], 1)
        self.embed = nn.Embedding(labels, widths[-1]) if labels else None

    def forward(self, x: Tensor, label: Tensor | None = None) -> Tensor:
        """Return one logit for each clip."""
        assert x.shape[1:] == self.shape, f"clips are {tuple(x.shape[1:])}, not {self.shape}"
        assert (label is None) == (self.embed is None), "a label is given where and only where there are labels"
        for stage in self.stages:
            x = leaky_relu(stage(x), LEAK)  # B 2C t/2 h/2 w/2
        logits: Tensor = self.out(rearrange(x, "b c t h w -> b (c t h w)")).squeeze(1)
        if self.embed is not None:
            pooled = reduce(x, "b c t h w -> b c", "mean")
            logits = logits + (pooled * self.embed(label)).sum(dim=1)
        return logits
