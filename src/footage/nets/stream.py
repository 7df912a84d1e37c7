"""The flagship generator: a function of a content code and of stationary noise in time, frame by frame.

Frame t is made from the content z, which stays, and from the noise bank at t (`footage.nets.noise_bank`), which is the
same process for ever: nothing is carried from frame to frame. So a video has no length and no seams, any frame can be
made without those before it, and time runs at any rate. Motion moves points; what stands at them is decided by content.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, pixel_shuffle

from footage.config import ClipConfig, StreamConfig
from footage.nets.blocks import LEAK, Generator, LabelTable, Levels, Made, Noise, PixelNorm, doublings, start_smooth
from footage.nets.noise_bank import NoiseBank


class Places(nn.Module):
    """Codes (N, D) -> places and sizes of points (N, P, 3)."""

    def __init__(self, codes: int, points: int) -> None:
        super().__init__()
        self.points = points
        self.linear = nn.Linear(codes, points * 3)
        with torch.no_grad():
            self.linear.weight.view(points, 3, codes)[:, :2].normal_(std=0.5 * codes**-0.5)
            self.linear.weight.view(points, 3, codes)[:, 2].normal_(std=0.05 * codes**-0.5)
            self.linear.bias.zero_()
            self.linear.bias.view(points, 3)[:, 2] = torch.linspace(math.log(0.12), math.log(0.5), points)

    def forward(self, codes: Tensor) -> Tensor:
        with torch.autocast(codes.device.type, enabled=False):
            return self.linear(codes.float()).unflatten(1, (self.points, 3))


class Spots(nn.Module):
    """Places (N, P, 3), style (N, s) -> features around the points (N, c, h, w)."""

    def __init__(self, style: int, points: int, height: int, width: int, channels: int) -> None:
        super().__init__()
        self.tint = nn.Linear(style, 3 * points)
        nn.init.normal_(self.tint.weight, std=0.5 * style**-0.5)
        nn.init.zeros_(self.tint.bias)
        self.mix = nn.Conv2d(3 * points, channels, 1)
        short = min(height, width)
        ys = (torch.arange(height) + 0.5 - height / 2) / (short / 2)
        xs = (torch.arange(width) + 0.5 - width / 2) / (short / 2)
        self.register_buffer("ys", ys, persistent=False)
        self.register_buffer("xs", xs, persistent=False)

    def forward(self, places: Tensor, style: Tensor) -> Tensor:
        with torch.autocast(places.device.type, enabled=False):
            y, x, size = places.unbind(dim=2)  # N P
            size = size.clamp(-4, 1).exp()
            down = (self.ys - y[..., None]) / size[..., None]  # N P h
            across = (self.xs - x[..., None]) / size[..., None]  # N P w
            g, f = torch.exp(-down.square() / 2), torch.exp(-across.square() / 2)
            tint = (1 + self.tint(style.float())).unflatten(1, (3, -1))  # N 3 P
            # as outer products of rows and columns, three for each point
            rows = torch.cat([g * tint[:, 0, :, None], g * down * tint[:, 1, :, None], g * tint[:, 2, :, None]], dim=1)
            columns = torch.cat([f, f, f * across], dim=1)  # N 3P w
        kind = torch.bfloat16 if torch.is_autocast_enabled(places.device.type) else torch.float32
        spots = (rows.to(kind).unsqueeze(3) * columns.to(kind).unsqueeze(2)).contiguous(
            memory_format=torch.channels_last
        )  # N 3P h w
        return self.mix(spots)


def enlarge_smooth(conv: nn.Conv2d) -> None:
    """Let a convolution that `pixel_shuffle` follows begin as linear interpolation after a random mixing of channels."""
    near, far = torch.tensor([0.25, 0.75, 0.0]), torch.tensor([0.0, 0.75, 0.25])  # of the even and the odd pixels
    taps = torch.stack([near, far])
    mixing = torch.randn(conv.out_channels // 4, conv.in_channels) / conv.in_channels**0.5
    weight = torch.einsum("oi,ah,bw->oabihw", mixing, taps, taps).flatten(0, 2)
    with torch.no_grad():
        conv.weight.copy_(weight)
        if conv.bias is not None:
            conv.bias.zero_()


class Block(nn.Module):
    """x + conv(lrelu(scale(norm(x))))."""

    def __init__(self, style: int, channels: int) -> None:
        super().__init__()
        self.norm = PixelNorm()
        self.scale = Scale(style, channels)
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        with torch.no_grad():
            self.conv.weight.mul_(0.5)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        return x + self.conv(leaky_relu(self.scale(self.norm(x), style), LEAK))


class Scale(nn.Module):
    """x (N, c, h, w), style (N, s) -> x (1 + A s)."""

    def __init__(self, style: int, channels: int, zero: bool = False) -> None:
        super().__init__()
        self.linear = nn.Linear(style, channels)
        nn.init.normal_(self.linear.weight, std=0.0 if zero else 0.5 * style**-0.5)
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
        widths = [min(net.most, net.width * 2**i) for i in reversed(range(count))]
        self.base = (widths[0], clip.height >> count, clip.width >> count)
        self.start = nn.Linear(net.codes, math.prod(self.base))
        self.norm = PixelNorm()
        self.stages = nn.ModuleList(nn.ConvTranspose2d(a, b, 4, 2, 1) for a, b in pairwise(widths))
        self.out = nn.Conv2d(widths[-1], 4 * (clip.channels + net.palette), 3, padding=1)
        enlarge_smooth(self.out)
        self.channels = clip.channels
        if net.palette:
            with torch.no_grad():
                self.out.bias[4 * clip.channels :] = -3
            self.palette = nn.Linear(net.codes, clip.channels * net.palette)
            nn.init.normal_(self.palette.weight, std=2 * net.codes**-0.5)
            nn.init.zeros_(self.palette.bias)
        self.scales = nn.ModuleList(Scale(net.codes, c) for c in widths)
        for stage in self.stages:
            assert isinstance(stage, nn.ConvTranspose2d)
            start_smooth(stage)
        self.still = min(2, count - 1)  # stages of the canvas: up to 16 x 16 of 64 x 64
        after = range(self.still, count)
        self.place = Places(net.codes, net.points)
        self.spots = nn.ModuleList(
            Spots(net.codes, net.points, self.base[1] << n, self.base[2] << n, widths[n]) for n in after
        )
        self.blocks = nn.ModuleList(
            Block(net.codes, widths[n]) if k < net.blocks else nn.Identity() for k, n in enumerate(after)
        )
        self.moved = nn.ModuleList(Scale(net.codes, widths[n], zero=True) for n in after) if net.gain else None

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
        # Where content stays, the canvas is made once for all frames.
        x = self.start(style.flatten(0, -2)).unflatten(1, self.base).contiguous(memory_format=torch.channels_last)
        each = style.flatten(0, -2)
        for scale, stage in zip(self.scales[: self.still], self.stages[: self.still], strict=True):
            x = stage(leaky_relu(scale(self.norm(x), each), LEAK))
        if style.ndim == 2:
            x = (
                x.unsqueeze(1)
                .expand(-1, length, -1, -1, -1)
                .flatten(0, 1)
                .contiguous(memory_format=torch.channels_last)
            )
            each = each.repeat_interleave(length, dim=0)
        places = self.place(codes)
        x = self.norm(x)
        for k, scale in enumerate(self.scales[self.still :]):
            x = x + self.spots[k](places, each).to(x.dtype)
            if self.moved is not None:
                x = self.moved[k](x, codes)
            if isinstance(self.blocks[k], Block):
                x = self.blocks[k](x, each)
            x = leaky_relu(scale(self.norm(x), each), LEAK)
            n = k + self.still
            x = self.stages[n](x) if n < len(self.stages) else pixel_shuffle(self.out(x), 2)
        if self.net.palette:
            x, masks = x.float().tensor_split((self.channels,), dim=1)
            with torch.autocast(x.device.type, enabled=False):
                colours = self.palette(each.float()).unflatten(1, (self.channels, -1))  # (B T) C R
                x = x + torch.einsum("ncr,nrhw->nchw", colours, torch.sigmoid(masks))
        return self.levels.pixels(rearrange(x, "(b t) c h w -> b c t h w", t=length))
