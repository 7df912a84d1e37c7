"""The flagship generator: a function of a content code and of stationary noise in time, frame by frame.

Frame t is made from the content z, which stays, and from the noise bank at t (`footage.nets.noise_bank`), which is the
same process for ever: nothing is carried from frame to frame. So a video has no length and no seams, any frame can be
made without those before it, and time runs at any rate. Motion moves points; what stands at them is decided by content.
"""

from __future__ import annotations

import math

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn.functional import interpolate, leaky_relu

from footage.config import ClipConfig, StreamConfig
from footage.nets.blocks import LEAK, Generator, LabelTable, Levels, Made, Noise, PixelNorm, doublings, start_smooth
from footage.nets.noise_bank import NoiseBank


class Points(nn.Module):
    """Codes (N, D) -> features around moving points (N, 3 P, h, w): a spot at each, and its slopes.

    exp(-d^2 / 2 s^2) times 1, y / s and x / s, with (y, x) from the point, in halves of the picture.
    """

    def __init__(self, codes: int, points: int, height: int, width: int) -> None:
        super().__init__()
        self.points = points
        self.place = nn.Linear(codes, points * 3)
        with torch.no_grad():
            self.place.weight.view(points, 3, codes)[:, :2].normal_(std=0.5 * codes**-0.5)
            self.place.weight.view(points, 3, codes)[:, 2].normal_(std=0.05 * codes**-0.5)
            self.place.bias.zero_()
            self.place.bias.view(points, 3)[:, 2] = torch.linspace(math.log(0.12), math.log(0.5), points)
        short = min(height, width)
        ys = (torch.arange(height) + 0.5 - height / 2) / (short / 2)
        xs = (torch.arange(width) + 0.5 - width / 2) / (short / 2)
        self.register_buffer("ys", ys, persistent=False)
        self.register_buffer("xs", xs, persistent=False)

    def forward(self, codes: Tensor) -> Tensor:
        with torch.autocast(codes.device.type, enabled=False):
            y, x, size = self.place(codes.float()).unflatten(1, (self.points, 3)).unbind(dim=2)  # N P
            size = size.clamp(-4, 1).exp()
            down = (self.ys - y[..., None]) / size[..., None]  # N P h
            across = (self.xs - x[..., None]) / size[..., None]  # N P w
            g, f = torch.exp(-down.square() / 2), torch.exp(-across.square() / 2)
            spot = g[..., None] * f[..., None, :]
            parts = [spot, (g * down)[..., None] * f[..., None, :], g[..., None] * (f * across)[..., None, :]]
            return torch.cat(parts, dim=1)  # N 3P h w


class Scale(nn.Module):
    """x (N, c, h, w), style (N, s) -> x (1 + A s)."""

    def __init__(self, style: int, channels: int) -> None:
        super().__init__()
        self.linear = nn.Linear(style, channels)
        nn.init.normal_(self.linear.weight, std=0.5 * style**-0.5)
        nn.init.zeros_(self.linear.bias)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        scale: Tensor = self.linear(style)
        return x * (1 + scale[:, :, None, None]).to(x.dtype)


class StreamGenerator(Generator):
    """Content (B, c), noise of motion (B, T, 2 K) and a label -> clip (B, C, T, H, W) of any length T."""

    def __init__(self, clip: ClipConfig, net: StreamConfig, labels: int) -> None:
        super().__init__()
        self.net = net
        self.levels = Levels(clip.channels)
        self.table = LabelTable(labels, net.label) if labels else None
        named = net.label if labels else 0
        self.bank = NoiseBank(net.processes, net.fastest, net.slowest)
        clock = 5 if net.shot else 0
        self.clip_frames = clip.frames
        self.motion = nn.Sequential(
            nn.Linear(self.bank.size + named + clock, net.codes), nn.SiLU(), nn.Linear(net.codes, net.codes)
        )
        self.style = nn.Sequential(
            nn.Linear(net.content + named, net.codes), nn.LeakyReLU(LEAK), nn.Linear(net.codes, net.codes)
        )
        for layer in (self.motion[0], self.style[0], self.motion[2], self.style[2]):
            assert isinstance(layer, nn.Linear)
            nn.init.normal_(layer.weight, std=(2 / layer.in_features) ** 0.5)
            nn.init.zeros_(layer.bias)
        count = doublings(clip.height, clip.width)
        widths = [min(256, net.width * 2**i) for i in reversed(range(count))]
        self.base = (widths[0], clip.height >> count, clip.width >> count)
        self.start = nn.Linear(net.codes, math.prod(self.base))
        self.norm = PixelNorm()
        self.stages = nn.ModuleList(
            nn.ConvTranspose2d(a, b, 4, 2, 1) for a, b in zip(widths, [*widths[1:], clip.channels], strict=True)
        )
        self.scales = nn.ModuleList(Scale(net.codes, c) for c in widths)
        for stage in self.stages:
            assert isinstance(stage, nn.ConvTranspose2d)
            start_smooth(stage)
        self.at = min(2, count - 1)  # 16 x 16 of 64 x 64
        if net.points:
            self.spots = Points(net.codes, net.points, self.base[1] << self.at, self.base[2] << self.at)
            self.mix = nn.Conv2d(3 * net.points, widths[self.at], 1)
            self.tint = Scale(net.codes, 3 * net.points)

    def noise(self, frames: int) -> dict[str, tuple[int, ...]]:
        """Return the shapes of one clip's noise."""
        shapes: dict[str, tuple[int, ...]] = {"content": (self.net.content,), "motion": (frames, self.bank.size)}
        if self.net.shot:
            shapes["clock"] = (1,)
        return shapes

    def forward(self, noise: Noise, label: Tensor | None = None) -> Made:
        """Return clips: stretches of frames that begin anywhere."""
        motion = self.bank(noise["motion"])
        clock = None
        if self.net.shot:
            first = (torch.special.ndtr(noise["clock"]) * (self.net.shot - self.clip_frames + 1)).floor()  # B 1
            clock = first + torch.arange(motion.shape[1], device=first.device)  # B T
        clips = self.frames(noise["content"], motion, label, clock)
        return Made(clips, clips.new_zeros(()))

    def frames(self, content: Tensor, motion: Tensor, label: Tensor | None, clock: Tensor | None) -> Tensor:
        """Make frames of content (B, c) or (B, T, c), the noise bank (B, T, 2 K) and the time in the shot (B, T)."""
        length = motion.shape[1]
        told = [] if self.table is None else [self.table(label)]
        style = self.norm(self.style(torch.cat([content, *told], dim=-1)))
        parts = [motion, *(t.unsqueeze(1).expand(-1, length, -1) if t.ndim == 2 else t for t in told)]
        if clock is not None:
            way = 2 * clock / max(1, self.net.shot - 1) - 1
            waves = [way * 1.7] + [f(math.pi * n / 2 * way) for n in (1, 2) for f in (torch.sin, torch.cos)]
            parts.append(torch.stack(waves, dim=2))
        codes = self.motion(torch.cat(parts, dim=2)).flatten(0, 1)  # (B T) D
        styles = (style.unsqueeze(1).expand(-1, length, -1) if style.ndim == 2 else style).flatten(0, 1)
        x = self.start(styles if self.net.start == 'content' else codes).unflatten(1, self.base)
        for number, stage in enumerate(self.stages):
            if number == self.at and self.net.points:
                x = self.norm(x) + self.mix(self.tint(self.spots(codes), styles).to(x.dtype))
            x = self.scales[number](self.norm(x), styles)
            x = stage(leaky_relu(x, LEAK))
        return self.levels.pixels(rearrange(x, "(b t) c h w -> b c t h w", t=length))
