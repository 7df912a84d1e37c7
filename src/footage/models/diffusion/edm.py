"""Diffusion in pixels as EDM has it (Karras et al. 2022), small: the baseline that generators are compared with.

A network learns to take noise away from clips, at every level of noise. A clip is made from noise alone: it follows
the direction in which the noise becomes less, in a few dozen passes through the network, where a generator needs one.

Levels of noise are standard deviations beside that of the data, which is brought to `SIGMA_DATA` by the levels of the
channels. No augmentation, no dropout, no guidance by labels.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import ClassVar, NamedTuple

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn.functional import interpolate, silu

from footage.config import ClipConfig, Config
from footage.config.sections import halvings
from footage.models.base import Batch, Graph, RunGraph, Sampler
from footage.models.diffusion import DiffusionConfig
from footage.models.generators.samplers import overlap, previewed, walk
from footage.models.layers import (
    LabelEmbedding,
    Levels,
    SpaceConv,
    by_frame,
    into_patches,
    out_of_patches,
)
from footage.models.requests import VideoRequest
from footage.models.supervised import StepOutput, SupervisedMethod

SIGMA_DATA = 0.5
"""Standard deviation of the numbers that a clip is turned into."""
P_MEAN, P_STD = -1.2, 1.2
"""Mean and standard deviation of the logarithm of a training clip's noise level (table 1)."""
SIGMA_MIN, SIGMA_MAX, RHO = 0.002, 80.0, 7.0
"""Least and greatest noise level of the sampler, and how much denser its steps are towards the least (table 1)."""
DEEP = 4
"""Blocks at the innermost stage; the others have one on the way in and one on the way out."""
HEAD = 64
"""Channels of an attention head, at most."""
WAVES = 16
"""Frequencies that a noise level enters by."""
SMALL = 0.3
"""What the last weights of residues are multiplied by at first: a deep network begins as a shallow one."""


class Preconditioning(NamedTuple):
    """What a network's input and output are scaled by at a noise level, so that both have unit variance (table 1)."""

    skip: Tensor
    out: Tensor
    enter: Tensor
    noise: Tensor


def preconditioning(sigma: Tensor) -> Preconditioning:
    """Return c_skip, c_out, c_in and c_noise of noise levels, each of the shape of `sigma`."""
    variance = sigma.square() + SIGMA_DATA**2
    return Preconditioning(
        SIGMA_DATA**2 / variance, sigma * SIGMA_DATA * variance.rsqrt(), variance.rsqrt(), sigma.log() / 4
    )


def loss_weight(sigma: Tensor) -> Tensor:
    """Return what squared errors count at noise levels: 1 / c_out², so that each level counts alike at first."""
    return (sigma.square() + SIGMA_DATA**2) / (sigma * SIGMA_DATA).square()


def noise_levels(steps: int) -> Tensor:
    """Return the sampler's noise levels, from the greatest to 0, (steps + 1,) (eq. 5)."""
    greatest, least = SIGMA_MAX ** (1 / RHO), SIGMA_MIN ** (1 / RHO)
    levels = (greatest + torch.arange(steps) / (steps - 1) * (least - greatest)) ** RHO
    return torch.cat([levels, levels.new_zeros(1)])


def heun(denoise: Callable[[Tensor, Tensor], Tensor], noise: Tensor, levels: Tensor) -> Tensor:
    """Follow dx = (x - D(x; sigma)) / sigma dsigma from standard normal noise down to level 0 (algorithm 1).

    Second order: each step is made with the mean of the directions at its beginning and its end, but for the last,
    which ends where there is no direction. `denoise` is called 2 steps - 1 times.

    Args:
        denoise: D, of noisy numbers (B, ...) and their level, a scalar.
        noise: (B, ...).
        levels: see `noise_levels`.
    """
    x = noise * levels[0]
    for now, then in itertools.pairwise(levels):
        slope = (x - denoise(x, now)) / now
        ahead = x + (then - now) * slope
        if then > 0:
            slope = (slope + (ahead - denoise(ahead, then)) / then) / 2
            ahead = x + (then - now) * slope
        x = ahead
    return x


def group_norm(channels: int) -> nn.GroupNorm:
    """Return a normalisation by the mean and deviation of groups of channels over a whole clip, 16 groups at most.

    Taking the mean away is what makes a little noise on an even surface large enough to be seen.
    """
    return nn.GroupNorm(math.gcd(channels, 16), channels)


class DiffusionBlock(nn.Module):
    """x + f(x): norm, silu, space, norm scaled and shifted by an embedding (FiLM), silu, time over past and future."""

    def __init__(self, channels: int, embedding: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = group_norm(channels), group_norm(channels)
        self.space = SpaceConv(channels, channels)
        self.film = nn.Linear(embedding, 2 * channels)
        self.time = nn.Conv3d(channels, channels, (3, 1, 1), padding=(1, 0, 0))
        with (
            torch.no_grad()
        ):  # neighbours in time are mixed alike from the beginning: with taps of their own they flicker
            taps = torch.tensor([0.25, 0.5, 0.25]).view(3, 1, 1)
            mixing = torch.randn(channels, channels, 1, 1, 1) / channels**0.5
            self.time.weight.copy_(SMALL * mixing * taps)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """Return the features, (B, C, T, H, W), for embeddings (B, E)."""
        scale, shift = self.film(embedding)[:, :, None, None, None].chunk(2, dim=1)  # B C 1 1 1
        inner = self.norm2(self.space(silu(self.norm1(x)))) * (1 + scale) + shift
        return x + self.time(silu(inner))  # type: ignore[no-any-return]


class TimeAttention(nn.Module):
    """x + attention of each place over all frames: (B, C, T, H, W) -> the same."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.heads = next(heads for heads in range(math.ceil(channels / HEAD), channels + 1) if channels % heads == 0)
        self.norm = group_norm(channels)
        self.enter = nn.Linear(channels, 3 * channels, bias=False)
        self.leave = nn.Linear(channels, channels)
        with torch.no_grad():
            self.leave.weight *= SMALL

    def forward(self, x: Tensor) -> Tensor:
        places = rearrange(self.norm(x), "b c t h w -> (b h w) t c")
        query, key, value = rearrange(self.enter(places), "n t (three g c) -> three n g t c", three=3, g=self.heads)
        shares = torch.softmax(query @ key.mT * query.shape[-1] ** -0.5, dim=-1).to(value.dtype)  # n g t t
        found = self.leave(rearrange(shares @ value, "n g t c -> n t (g c)"))
        residue: Tensor = rearrange(found, "(b h w) t c -> b c t h w", h=x.shape[3], w=x.shape[4])
        return x + residue


class DenoiserOutput(NamedTuple):
    """What the denoiser gives in training."""

    numbers: Tensor
    """What it should have found, (B, C, T, H, W)."""
    denoised: Tensor
    """What it has found, the same shape."""


class Denoiser(nn.Module):
    """D(x; sigma): noisy clips, their noise levels and labels -> clips, as numbers of deviation `SIGMA_DATA`.

    The network inside is a U-Net whose stages halve space and not time. Ours: beside what it finds it passes its input
    on, as much as it has learned for the noise level; else it takes hundreds of steps to learn that noise is to go.
    """

    def __init__(self, clip: ClipConfig, net: DiffusionConfig, labels: int) -> None:
        super().__init__()
        self.shape = (clip.channels, clip.frames, clip.height, clip.width)
        self.patch = net.patch
        self.levels = Levels(clip.channels)
        size, pixels = 2 * net.width, clip.channels * net.patch**2
        count = halvings(clip.height // net.patch, clip.width // net.patch)
        *outer, inner = widths = [net.width * min(2**stage, 4) for stage in range(count + 1)]
        self.table = LabelEmbedding(labels, size) if labels else None
        self.register_buffer("waves", 2 ** torch.linspace(-1, 4, WAVES), persistent=False)
        self.embed1, self.embed2 = nn.Linear(2 * WAVES, size), nn.Linear(size, size)
        self.enter = SpaceConv(pixels, net.width)
        self.inwards = nn.ModuleList(DiffusionBlock(width, size) for width in outer)
        self.halvings = nn.ModuleList(SpaceConv(a, b, 4, stride=2) for a, b in zip(outer, widths[1:], strict=True))
        self.deep = nn.ModuleList(DiffusionBlock(inner, size) for _ in range(DEEP))
        self.attention = TimeAttention(inner)
        self.doublings = nn.ModuleList(SpaceConv(b, a) for a, b in zip(outer, widths[1:], strict=True))
        self.merges = nn.ModuleList(SpaceConv(2 * width, width, 1) for width in outer)
        self.outwards = nn.ModuleList(DiffusionBlock(width, size) for width in outer)
        self.norm = group_norm(net.width)
        self.leave = SpaceConv(net.width, pixels)
        self.direct = nn.Linear(size, 1)

    waves: Tensor

    def forward(self, clips: Tensor, noise: Tensor, sigma: Tensor, label: Tensor | None = None) -> DenoiserOutput:
        """Spoil clips and denoise them.

        Args:
            clips: (B, C, T, H, W) in [-1, 1].
            noise: standard normal numbers, the same shape.
            sigma: noise levels, (B,).
            label: see `LabelEmbedding`; None for an unconditional model.
        """
        numbers = SIGMA_DATA * self.levels(clips)
        return DenoiserOutput(numbers, self.denoise(numbers + sigma.view(-1, 1, 1, 1, 1) * noise, sigma, label))

    # Eq. 7.
    def denoise(self, noisy: Tensor, sigma: Tensor, label: Tensor | None = None) -> Tensor:
        """Return D(x; sigma) = c_skip x + c_out F(c_in x; c_noise), for levels (B,)."""
        skip, out, enter, noise = (scale.view(-1, 1, 1, 1, 1) for scale in preconditioning(sigma))
        found = self.network(enter * noisy, noise.flatten(), label).to(noisy.dtype)
        return skip * noisy + out * found

    def network(self, x: Tensor, noise: Tensor, label: Tensor | None) -> Tensor:
        """Return F(x; c_noise), (B, C, T, H, W)."""
        turns = 2 * math.pi * noise.unsqueeze(1) * self.waves  # B waves
        embedding = self.embed2(silu(self.embed1(torch.cat([turns.sin(), turns.cos()], dim=1))))
        assert (label is None) == (self.table is None), "a label is given where and only where there are labels"
        if self.table is not None:
            embedding = embedding + self.table(label)
        embedding = silu(embedding)  # B E
        passed: Tensor = self.direct(embedding).view(-1, 1, 1, 1, 1) * x
        x = self.enter(into_patches(x, self.patch))  # B w T H/p W/p
        skips = []
        for block, halve in zip(self.inwards, self.halvings, strict=True):
            x = block(x, embedding)
            skips.append(x)
            x = halve(x)  # B 2c T h/2 w/2
        for number, block in enumerate(self.deep):
            x = block(x, embedding)
            if number == DEEP // 2 - 1:
                x = self.attention(x)
        stages = zip(self.doublings, self.merges, self.outwards, skips, strict=True)
        for double, merge, block, skip in reversed(list(stages)):
            x = double(by_frame(lambda frames: interpolate(frames, scale_factor=2), x))  # B c/2 T 2h 2w
            x = block(merge(torch.cat([x, skip], dim=1)), embedding)
        found: Tensor = self.leave(silu(self.norm(x)))
        return passed + out_of_patches(found, self.patch)  # B C T H W

    def pixels(self, numbers: Tensor) -> Tensor:
        """Turn numbers (B, C, T, H, W) into pixels, around [-1, 1]."""
        return self.levels.pixels(numbers / SIGMA_DATA)


class Diffusion(SupervisedMethod):
    """Training of the denoiser, by noisy clips alone; see `footage.models.base.Method`."""

    own_curves: ClassVar = {"Weighted squared error of what is denoised": ("denoising", "heldout_denoising")}

    @classmethod
    def critic_targets(cls, config: Config) -> tuple[str, ...]:
        return ()

    def forward_step(self, batch: Batch, clips_seen: int, judged: bool) -> StepOutput:
        """Spoil each clip by a noise level of its own, ln sigma ~ N(P_MEAN, P_STD²), and denoise it."""
        sigma = torch.exp(P_MEAN + P_STD * batch.normal())
        noise = batch.normal(*batch.clips.shape[1:])
        found: DenoiserOutput = self.nets["generator"](batch.clips, noise, sigma, batch.labels)
        errors = (found.denoised - found.numbers).square().flatten(1).mean(dim=1)  # B
        loss = (loss_weight(sigma) * errors).mean()
        return StepOutput(loss, {"denoising": loss.detach()})

    @classmethod
    def sampling_nets(cls, config: Config, labels: int) -> dict[str, nn.Module]:
        assert isinstance(config.net, DiffusionConfig)
        return {"generator": Denoiser(config.clip, config.net, labels)}

    @classmethod
    def sampler_of(cls, config: Config, nets: dict[str, nn.Module]) -> Sampler:
        assert isinstance(config.net, DiffusionConfig) and isinstance(nets["generator"], Denoiser)
        return DiffusionSampler(config.clip, nets["generator"], config.net.steps)


class DiffusionSampler:
    """Clips of one length from noise, which is all that is random in them; see `footage.models.base.Generates`."""

    given = 0
    endless = False
    sliders = 0

    def __init__(self, clip: ClipConfig, denoiser: Denoiser, steps: int) -> None:
        self.clip, self.denoiser, self.steps = clip, denoiser.eval(), steps
        self.hop = clip.frames - overlap(clip.frames)
        self.classes = 0 if denoiser.table is None else len(denoiser.table.weight)
        self.device = next(denoiser.parameters()).device

    def segments(self, requests: Sequence[VideoRequest]) -> Iterator[Tensor]:
        """Yield clips (B, C, T, H, W) for ever; the noise of each is the next on a walk."""
        levels = noise_levels(self.steps).to(self.device)
        size = math.prod(self.denoiser.shape)
        for noise, label in walk(requests, size, hop=self.hop, length=self.clip.frames):
            named = None if label is None else label.to(self.device)

            def denoise(noisy: Tensor, sigma: Tensor, named: Tensor | None = named) -> Tensor:
                return self.denoiser.denoise(noisy, sigma.expand(len(noisy)), named)

            with torch.inference_mode():
                numbers = heun(denoise, noise.view(-1, *self.denoiser.shape).to(self.device), levels)
                clips = self.denoiser.pixels(numbers).float().clamp(-1, 1)
            yield clips  # outside of the block: it would hold for the caller too

    def graphs(self) -> list[Graph]:
        denoiser = self.denoiser

        def denoise(noisy: Tensor, sigma: Tensor, label: Tensor | None = None) -> Tensor:
            return denoiser.denoise(noisy, sigma, label).float()

        def pixels(numbers: Tensor) -> Tensor:
            return denoiser.pixels(numbers).float().clamp(-1, 1)

        noisy = torch.randn(2, *denoiser.shape)
        inputs = {"noisy": noisy, "sigma": torch.tensor([0.3, 2.0])}
        if self.classes:
            inputs["label"] = torch.eye(self.classes)[torch.arange(2) % self.classes]
        levels = ", ".join(f"{level:.4g}" for level in noise_levels(self.steps).tolist())
        about = f"A step of Heun's method (EDM, Karras et al. 2022, algorithm 1); this model's noise levels: {levels}."
        told = "numbers: what is left without noise; clips: (B, C, T, H, W) in [-1, 1]."
        return [
            Graph("denoise", about, denoiser, denoise, inputs, ("numbers",), dict.fromkeys(inputs, (0,))),
            Graph("pixels", told, denoiser, pixels, {"numbers": noisy}, ("clips",), {"numbers": (0,)}),
        ]

    def rehearse(self, run: RunGraph, clips: Tensor) -> Iterator[tuple[Tensor, Tensor | None]]:
        label = {"label": torch.eye(self.classes)[:1]} if self.classes else {}

        def denoise(noisy: Tensor, sigma: Tensor) -> Tensor:
            return run("denoise", noisy=noisy, sigma=sigma.expand(1), **label)[0]

        numbers = heun(denoise, torch.randn(1, *self.denoiser.shape), noise_levels(self.steps))
        yield run("pixels", numbers=numbers)[0], None

    def preview(self, reals: Tensor, labels: Tensor | None) -> dict[str, Tensor]:
        return {"sample": next(self.segments(previewed(len(reals), labels, self.classes)))}
