"""The flagship generator: a function of a content code and of stationary noise in time, frame by frame.

Frame t is made from the content z, which stays, and from the noise bank at t
(`footage.models.generators.stream.noise`), which is the
same process for ever: nothing is carried from frame to frame. So a video has no length and no seams, any frame can be
made without those before it, and time runs at any rate.

Content and motion are kept apart, or content drifts with motion and all videos look alike (docs/LOG.md). Content paints
a canvas that is the same in all frames, decides what stands at each of some points, and chooses the colours of a
palette; motion moves the points. Details are drawn there: all stages that follow see how far pixels are from them.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import NamedTuple

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn.functional import conv2d, interpolate, leaky_relu, pad, pixel_shuffle

from footage.config import ClipConfig
from footage.models.generators.stream import StreamConfig
from footage.models.generators.stream.noise import NoiseBank
from footage.models.layers import (
    LEAK,
    Generator,
    GeneratorOutput,
    LabelEmbedding,
    Levels,
    Noise,
    PixelNorm,
    along_time,
    doublings,
    start_smooth,
)

CANVAS = 2
"""Doublings of the canvas, before motion comes in: 16×16 of 64×64."""
CALM = 16.0
"""Frames in which motion changes by much, at first: what is faster in the noise bank counts less."""
MASKED = -3.0
"""Logit of the palette's masks at first, that of the rest being 0: little of each colour everywhere."""
LOUDEST = 40.0
"""Logit of a mask at most: its exponential is a number."""
COLOURS = 0.6
"""Deviation of the palette's colours at first, in pixels of [-1, 1]."""
SIZES = 0.25
"""Deviation of the logarithm of the groups' sizes between videos at first."""


def normal(layer: nn.Linear, spread: float) -> nn.Linear:
    """Let a linear layer begin with outputs of deviation `spread`, for inputs of deviation 1, and without a bias."""
    nn.init.normal_(layer.weight, std=spread * layer.in_features**-0.5)
    nn.init.zeros_(layer.bias)
    return layer


def two_layers(enter: int, units: int) -> nn.Sequential:
    """Make a network of two layers that keeps the deviation of what it is given."""
    first, second = (normal(nn.Linear(size, units), 2**0.5) for size in (enter, units))
    return nn.Sequential(first, nn.LeakyReLU(LEAK), second)


def start_enlarging(conv: nn.Conv2d) -> None:
    """Let a convolution before `pixel_shuffle(..., 2)` begin as linear interpolation after a random mixing of channels.

    It then is what `footage.models.layers.start_smooth` makes of a transposed convolution, at half the cost on CPUs.
    """
    taps = torch.tensor([[0.25, 0.75, 0.0], [0.0, 0.75, 0.25]])  # of the even and of the odd pixels
    mixing = torch.randn(conv.out_channels // 4, conv.in_channels) / conv.in_channels**0.5
    with torch.no_grad():
        conv.weight.copy_(torch.einsum("oi,ah,bw->oabihw", mixing, taps, taps).flatten(0, 2))
        assert conv.bias is not None
        conv.bias.zero_()


def smooth(x: Tensor) -> Tensor:
    """Average pixels with weights [1, 2, 1] / 4 along both axes, the edges repeated: no grid of two pixels is left."""
    line = 0.5 - torch.arange(-1, 2, device=x.device, dtype=x.dtype).abs() / 4  # made there: a GPU is not waited for
    kernel = (line[:, None] * line).expand(x.shape[1], 1, 3, 3)
    smoothed: Tensor = conv2d(pad(x, (1, 1, 1, 1), mode="replicate"), kernel, groups=x.shape[1])
    return smoothed


def laid_on(x: Tensor, moving: Tensor) -> Tensor:
    """Add pictures (R, c, h, w), a row for each video or for each frame, to those of all frames (N, c, h, w)."""
    rows = moving.view(x.shape[0], moving.shape[0] // x.shape[0], *moving.shape[1:])  # R T c h w
    return (x.unsqueeze(1) + rows).flatten(0, 1)


class Painted(NamedTuple):
    """What content decides; a row for each video (R = B) where content stays, else for each frame (R = B T)."""

    style: Tensor
    """(R, D)."""
    canvas: Tensor
    """(R, c, h, w)."""


class Places(nn.Module):
    """Motion (N, codes), style (N, codes) -> places and sizes of points (N, P, 3): y, x, logarithm of the size.

    Points move in groups; motion moves a group's centre, and bends its shape a little; style decides shape and size of
    the whole. Units are halves of the shorter side, from the middle.
    """

    def __init__(self, codes: int, points: int, groups: int) -> None:
        super().__init__()
        self.points, self.groups = points, groups
        self.centre = normal(nn.Linear(codes, groups * 2), 0.5)
        self.offset = normal(nn.Linear(codes, points * 3), 0.2)
        self.bend = normal(nn.Linear(codes, points * 3), 0.02)
        self.zoom = normal(nn.Linear(codes, groups), SIZES)
        with torch.no_grad():
            self.offset.bias.view(points, 3)[:, 2] = torch.linspace(math.log(0.12), math.log(0.5), points)

    def forward(self, motion: Tensor, style: Tensor) -> Tensor:
        """Return the places, in the weights' precision."""
        with torch.autocast(motion.device.type, enabled=False):
            motion, style = (code.to(self.centre.weight.dtype) for code in (motion, style))
            centre = self.centre(motion).unflatten(1, (self.groups, 2))  # N G 2
            offset, bend = (way.unflatten(1, (self.points, 3)) for way in (self.offset(style), self.bend(motion)))
            each = self.points // self.groups
            zoom = self.zoom(style).repeat(1, each).unsqueeze(2)  # N P 1
            shape = torch.cat([offset[:, :, :2] * zoom.clamp(-3, 3).exp(), offset[:, :, 2:] + zoom], dim=2)  # N P 3
            places: Tensor = shape + bend + pad(centre.repeat(1, each, 1), (0, 1))
            return places


class Spots(nn.Module):
    """Places (N, P, 3), style (N, D) -> features (N, c, h, w): at each point a spot and its slopes, tinted by style.

    exp(-(y^2 + x^2) / 2), times 1, y and x, with (y, x) the way from the point in units of its size.

    Args:
        codes: length D of the style.
        points: how many.
        shape: channels c, height and width.
        moved: let motion (N, D) change the tints too; not at first.
    """

    ys: Tensor
    xs: Tensor

    def __init__(self, codes: int, points: int, shape: tuple[int, int, int], moved: bool) -> None:
        super().__init__()
        channels, height, width = shape
        self.tint = normal(nn.Linear(codes, 3 * points), 0.5)
        self.moved = normal(nn.Linear(codes, 3 * points), 0.0) if moved else None
        self.mix = nn.Conv2d(3 * points, channels, 1)
        for name, side in (("ys", height), ("xs", width)):
            line = (torch.arange(side) + 0.5 - side / 2) / (min(height, width) / 2)
            self.register_buffer(name, line, persistent=False)

    def forward(self, places: Tensor, style: Tensor, motion: Tensor) -> Tensor:
        with torch.autocast(places.device.type, enabled=False):
            y, x, size = places.unbind(dim=2)  # N P
            size = size.clamp(-4, 1).exp()
            down = (self.ys - y.unsqueeze(2)) / size.unsqueeze(2)  # N P h
            across = (self.xs - x.unsqueeze(2)) / size.unsqueeze(2)  # N P w
            rows, columns = torch.exp(-down.square() / 2), torch.exp(-across.square() / 2)
            tint: Tensor = 1 + self.tint(style.to(y.dtype))  # N 3P
            if self.moved is not None:
                tint = tint + self.moved(motion.to(y.dtype))
            rows = (torch.cat([rows, rows * down, rows], dim=1) * tint.unsqueeze(2)).transpose(1, 2)  # N h 3P
            columns = torch.cat([columns, columns, columns * across], dim=1).transpose(1, 2)  # N w 3P
        if torch.is_autocast_enabled(places.device.type):
            kind = torch.get_autocast_dtype(places.device.type)
            rows, columns = rows.to(kind), columns.to(kind)
        spots = rows.contiguous().unsqueeze(2) * columns.contiguous().unsqueeze(1)  # N h w 3P, channels last
        mixed: Tensor = self.mix(spots.permute(0, 3, 1, 2))
        return mixed


class Scale(nn.Module):
    """Features (N, channels, h, w), style (N, codes) -> lrelu of x (1 + A style), channel by channel.

    Where they are moved, motion (N, codes) changes the scales too; not at first.
    """

    def __init__(self, codes: int, channels: int, moved: bool = False) -> None:
        super().__init__()
        self.scale = normal(nn.Linear(codes, channels), 0.5)
        self.moved = normal(nn.Linear(codes, channels), 0.0) if moved else None

    def forward(self, x: Tensor, style: Tensor, motion: Tensor | None = None) -> Tensor:
        scale: Tensor = 1 + self.scale(style)
        if self.moved is not None:
            assert motion is not None
            scale = scale + self.moved(motion)
        return leaky_relu(x * scale[:, :, None, None].to(x.dtype), LEAK)


class Detail(nn.Module):
    """What a stage adds to the features of a moving picture, (N, *shape): spots at the points, and a residual block.

    With `deform`, motion changes both.
    """

    def __init__(self, codes: int, points: int, shape: tuple[int, int, int], deform: bool) -> None:
        super().__init__()
        self.spots = Spots(codes, points, shape, deform)
        self.scale = Scale(codes, shape[0], deform)
        self.conv = nn.Conv2d(shape[0], shape[0], 3, padding=1)
        with torch.no_grad():
            self.conv.weight.mul_(0.5)

    def forward(self, x: Tensor, places: Tensor, style: Tensor, motion: Tensor) -> Tensor:
        x = laid_on(x, self.spots(places, style, motion).to(x.dtype))
        detailed: Tensor = x + self.conv(self.scale(x, style, motion)).to(x.dtype)
        return detailed


class StreamGenerator(Generator):
    """Content (B, c), noise of motion (B, T, 2 K) and a label -> clip (B, C, T, H, W) of any length T."""

    def __init__(self, clip: ClipConfig, net: StreamConfig, labels: int) -> None:
        super().__init__()
        self.net, self.length, self.channels = net, clip.frames, clip.channels
        self.levels = Levels(clip.channels)
        self.table = LabelEmbedding(labels, net.label) if labels else None
        named = net.label if labels else 0
        self.bank = NoiseBank(net.processes, net.fastest, net.slowest)
        self.motion = two_layers(self.bank.size + named + (len(WAVES) if net.shot else 0), net.codes)
        self.style = two_layers(net.content + named, net.codes)
        count = doublings(clip.height, clip.width)
        widths = [net.width * min(4, 2**i) for i in reversed(range(count))]
        self.base = (widths[0], clip.height >> count, clip.width >> count)
        self.norm = PixelNorm()
        self.start = nn.Linear(net.codes, math.prod(self.base))
        self.scales = nn.ModuleList(Scale(net.codes, channels) for channels in widths)
        self.stages = nn.ModuleList(nn.ConvTranspose2d(a, b, 4, 2, 1) for a, b in pairwise(widths))
        self.still = min(CANVAS, count - 1)
        self.places = Places(net.codes, net.points, net.groups)
        self.details = nn.ModuleList(
            Detail(net.codes, net.points, (widths[n], self.base[1] << n, self.base[2] << n), net.deform)
            for n in range(self.still, count)
        )
        self.coarse = (widths[self.still], *self.base[1:])
        self.pose = normal(nn.Linear(net.codes, math.prod(self.coarse)), 0.0) if net.deform else None
        self.out = nn.Conv2d(widths[-1], 4 * (clip.channels + net.palette), 3, padding=1)
        self.palette = normal(nn.Linear(net.codes, clip.channels * net.palette), COLOURS)
        for stage in self.stages:  # pictures begin smooth, motion slow and masks empty
            assert isinstance(stage, nn.ConvTranspose2d)
            start_smooth(stage)
        start_enlarging(self.out)
        with torch.no_grad():
            assert self.out.bias is not None
            self.out.bias[4 * self.channels :] = MASKED
            first = self.motion[0].weight
            assert isinstance(first, Tensor)
            first[:, : self.bank.size] *= self.bank.calm(CALM)

    def noise(self, frames: int) -> dict[str, tuple[int, ...]]:
        shapes: dict[str, tuple[int, ...]] = {"content": (self.net.content,), "motion": (frames, self.bank.size)}
        return shapes | ({"clock": (1,)} if self.net.shot else {})

    def entries(self) -> list[Tensor]:
        """Return the weights by which the content enters all that style decides, the two layers of the style included.

        The style is no linear map of the content. In the mean over inputs that are as often below zero as above, the
        rectifier between its layers has the slope (1 + LEAK) / 2: with that one, the layers and each map that follows
        are one linear map.
        """
        first, second = self.style[0].weight, self.style[2].weight
        assert isinstance(first, Tensor) and isinstance(second, Tensor)
        style = (1 + LEAK) / 2 * second @ first[:, : self.net.content]  # D c
        parts: list[nn.Linear] = [self.start, self.places.offset, self.places.zoom, self.palette]
        parts += [scale.scale for scale in self.scales if isinstance(scale, Scale)]
        for detail in self.details:
            assert isinstance(detail, Detail)
            parts += [detail.spots.tint, detail.scale.scale]
        return [part.weight @ style for part in parts if part.out_features]

    def forward(self, noise: Noise, label: Tensor | None = None) -> GeneratorOutput:
        """Return stretches of video that begin anywhere; in shots, anywhere that leaves room for a clip."""
        motion, clock = self.bank(noise["motion"]), None
        if self.net.shot:
            starts = self.net.shot - self.length + 1
            first = (torch.special.ndtr(noise["clock"]) * starts).floor().clamp(max=starts - 1)  # B 1, evenly
            clock = first + torch.arange(motion.shape[1], device=first.device)  # B T
        clips = self.frames(noise["content"], motion, label, clock)
        return GeneratorOutput(clips, clips.new_zeros(()))

    def frames(self, content: Tensor, motion: Tensor, label: Tensor | None, clock: Tensor | None) -> Tensor:
        """Make frames (B, C, T, H, W).

        Args:
            content: (B, c), or (B, T, c) where it changes from frame to frame.
            motion: the noise bank in each frame, (B, T, 2 K).
            label: (B,), or weights over labels (B, K) or (B, T, K); None where there are none.
            clock: frames since the beginning of the shot, (B, T); None for motion that goes on for ever.
        """
        return self.animate(self.paint(content, label, motion.shape[1]), motion, label, clock)

    def paint(self, content: Tensor, label: Tensor | None, frames: int) -> Painted:
        """Make what content and label decide, as `frames` has them: once for all frames of a video where both stay."""
        assert (label is None) == (self.table is None), "a label is given where and only where there are labels"
        codes = [content] if self.table is None else [content, self.table(label)]
        if any(code.ndim == 3 for code in codes):
            codes = [along_time(code, frames) for code in codes]
        style: Tensor = self.norm(self.style(torch.cat(codes, dim=-1)).flatten(0, -2))  # R D
        x: Tensor = self.start(style).unflatten(1, self.base).contiguous(memory_format=torch.channels_last)
        for number in range(self.still):
            x = self.stages[number](self.scales[number](self.norm(x), style))  # R c/2 2h 2w
        canvas: Tensor = self.norm(x)
        return Painted(style, canvas.contiguous(memory_format=torch.channels_last))

    def animate(self, painted: Painted, motion: Tensor, label: Tensor | None, clock: Tensor | None) -> Tensor:
        """Let what was painted move: frames (B, C, T, H, W); see `frames`."""
        length = motion.shape[1]
        moving = [motion] if self.table is None else [motion, along_time(self.table(label), length)]
        if clock is not None:
            place = 2 * clock / max(1, self.net.shot - 1) - 1  # -1 to 1
            moving.append(torch.stack([wave(place) for wave in WAVES], dim=2).to(motion.dtype))
        codes = self.motion(torch.cat(moving, dim=2)).flatten(0, 1)  # (B T) D
        style = painted.style.repeat_interleave(codes.shape[0] // painted.style.shape[0], dim=0)  # (B T) D
        x = painted.canvas  # R c h w
        places = self.places(codes, style)
        if self.pose is not None:
            pose = self.pose(codes).unflatten(1, self.coarse).contiguous(memory_format=torch.channels_last)
            x = laid_on(x, interpolate(pose, size=x.shape[2:], mode="bilinear").to(x.dtype))
        for number, detail in enumerate(self.details, self.still):
            x = self.scales[number](self.norm(detail(x, places, style, codes)), style)
            # N c/2 2h 2w
            x = self.stages[number](x) if number < len(self.stages) else pixel_shuffle(self.out(x), 2)
        # Plane by plane: half the time of pixel by pixel, and what pictures are wanted as.
        numbers, masks = smooth(x).to(self.palette.weight.dtype).contiguous().tensor_split((self.channels,), dim=1)
        pixels = self.levels.pixels(numbers)
        if not self.net.palette:
            return rearrange(pixels, "(b t) c h w -> b c t h w", t=length)
        with torch.autocast(x.device.type, enabled=False):
            weights = masks.clamp(max=LOUDEST).exp().flatten(2)  # N R (H W): a softmax with 0, for the picture below
            colours = self.palette(style.to(pixels.dtype)).unflatten(1, (self.channels, -1))  # N C R
            laid = torch.baddbmm(pixels.flatten(2), colours, weights) / (1 + weights.sum(dim=1, keepdim=True))
        return rearrange(laid.view(pixels.shape), "(b t) c h w -> b c t h w", t=length)


WAVES = (
    lambda place: 1.7 * place,
    lambda place: torch.sin(math.pi / 2 * place),
    lambda place: torch.cos(math.pi / 2 * place),
    lambda place: torch.sin(math.pi * place),
    lambda place: torch.cos(math.pi * place),
)
"""How the generator is told the time in a shot, from -1 to 1: itself, of deviation 1, and slow waves."""
