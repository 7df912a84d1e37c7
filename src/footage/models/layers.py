"""Parts that several networks are made of: doublings, normalisation, a smooth start, labels, causal convolutions.

The causal ones are factorised, (2+1)D, and never look ahead: space frame by frame, then time over frames that are past.
A network of these gives a video chunk by chunk exactly as it gives it at once: each convolution over time keeps the
last frames that it has seen in a `Memory` that the caller holds.
"""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn.functional import conv2d, leaky_relu, pad, silu

from footage.config import ClipConfig
from footage.config.sections import halvings
from footage.errors import ConfigError
from footage.models.base import Graph, RunGraph

MAX_CHANNELS = 512
"""Channels do not grow beyond this towards the innermost stage."""
LEAK = 0.2
"""Slope of the leaky rectifier below zero."""

Noise = dict[str, Tensor]
"""What a generator's clips are made of: standard normal numbers by name, (B, ...) each."""


class GeneratorOutput(NamedTuple):
    """What a generator gives."""

    clips: Tensor
    """(B, C, T, H, W), a linear output around [-1, 1]."""
    penalty: Tensor
    """A scalar of the generator's own for its loss; 0 for most."""


class Levels(nn.Module):
    """Between pixels in [-1, 1] and numbers of mean 0 and standard deviation 1, channel by channel.

    On pictures that are mostly one level, such as shapes on black, networks of raw pixels soon give that level alone.
    """

    mean: Tensor
    sd: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("sd", torch.ones(channels))

    def learn(self, mean: Tensor, sd: Tensor) -> None:
        """Take over mean and standard deviation of the data's channels, (C,) each, repeated as often as needed."""
        self.mean.copy_(mean.repeat(len(self.mean) // len(mean)))
        self.sd.copy_(sd.repeat(len(self.sd) // len(sd)).clamp(min=0.05))

    def forward(self, pixels: Tensor) -> Tensor:
        """Turn pixels (N, C, ...) into numbers."""
        shape = (-1, *[1] * (pixels.ndim - 2))
        return (pixels - self.mean.view(shape)) / self.sd.view(shape)

    def pixels(self, numbers: Tensor) -> Tensor:
        """Turn numbers (N, C, ...) into pixels."""
        shape = (-1, *[1] * (numbers.ndim - 2))
        return numbers * self.sd.view(shape) + self.mean.view(shape)


def channel_levels(batches: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of the channels of real clips, batches of (B, C, T, H, W): (C,) each."""
    count, total, squares = 0, torch.zeros(()), torch.zeros(())
    for clips in batches:
        pixels = clips.transpose(0, 1).flatten(1)  # C (B T H W)
        count += pixels.shape[1]
        total = total + pixels.sum(dim=1, dtype=torch.float64)
        squares = squares + pixels.square().sum(dim=1, dtype=torch.float64)
    mean = total / count
    sd = (squares / count - mean.square()).clamp(min=0).sqrt()
    return mean.float(), sd.float()


def set_levels(mean: Tensor, sd: Tensor, *nets: nn.Module) -> None:
    """Tell networks mean and standard deviation of the data's channels, (C,) each."""
    for net in nets:
        for module in net.modules():
            if isinstance(module, Levels):
                module.learn(mean, sd)


def learn_levels(batches: Iterable[Tensor], *nets: nn.Module) -> None:
    """Tell networks mean and standard deviation of the channels of real clips, batches of (B, C, T, H, W)."""
    set_levels(*channel_levels(batches), *nets)


class Generator(nn.Module, ABC):
    """What all generators have: `forward(noise, label) -> GeneratorOutput`, and this."""

    levels: Levels
    table: LabelEmbedding | None
    """Embeddings of the labels; None for an unconditional generator."""
    latent: int
    """Length of the latent code z, where there is no other noise."""

    def noise(self, frames: int) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the noise of one clip of `frames` frames, by name."""
        return {"z": (self.latent,)}

    @abstractmethod
    def entries(self) -> list[Tensor]:
        """Return the weights of the linear maps by which the code enters that stays for a whole clip, (n, c) each."""


class CriticOutput(NamedTuple):
    """What a critic gives."""

    logits: Tensor
    """(N,), or (N, P) for P patches: how real, without a sigmoid."""
    classes: Tensor | None
    """(N, K): logits of the labels, where the critic names them."""
    features: tuple[Tensor, ...] = ()
    """What each stage has found, (N, c, ...), where the network tells."""


@dataclass(frozen=True)
class StageShape:
    """One doubling: kernel, stride and padding over (time, height, width)."""

    kernel: tuple[int, int, int]
    stride: tuple[int, int, int]
    padding: tuple[int, int, int]


SPACE = StageShape((1, 4, 4), (1, 2, 2), (0, 1, 1))
SPACE_TIME = StageShape((4, 4, 4), (2, 2, 2), (1, 1, 1))
SPACE_VALID = StageShape((4, 4, 4), (1, 2, 2), (0, 1, 1))


@dataclass(frozen=True)
class UpsamplingPlan:
    """How a clip's shape is reached from a small volume by doublings."""

    base: tuple[int, int, int]
    """The innermost volume: frames, height, width."""
    stages: tuple[StageShape, ...]
    """The doublings, from the innermost to the pixels; time is doubled in the last ones."""


def upsampling_plan(clip: ClipConfig) -> UpsamplingPlan:
    """Choose the doublings for a clip: space down to 4 to 7 pixels on the short side, time down as far as it halves.

    Raises:
        ConfigError: height or width is not a multiple of the needed power of two.
    """
    count = doublings(clip.height, clip.width)
    halvings = min(count, (clip.frames & -clip.frames).bit_length() - 1)
    base = (clip.frames >> halvings, clip.height >> count, clip.width >> count)
    return UpsamplingPlan(base, (SPACE,) * (count - halvings) + (SPACE_TIME,) * halvings)


def doublings(height: int, width: int) -> int:
    """Return how often a picture halves until its shorter side is 4 to 7 pixels.

    Raises:
        ConfigError: height or width is not a multiple of that power of two.
    """
    count = halvings(height, width)
    unit = 2**count
    for knob, value in (("clip.height", height), ("clip.width", width)):
        if value % unit:
            down, up = max(unit, value // unit * unit), (value // unit + 1) * unit
            raise ConfigError(f"{knob} is {value}, convolutions need a multiple of {unit} here", f"give {down} or {up}")
    return count


def frame_plan(shape: UpsamplingPlan) -> UpsamplingPlan:
    return UpsamplingPlan((1, *shape.base[1:]), (SPACE,) * len(shape.stages))


def channels(width: int, stages: int) -> list[int]:
    """Channels from the innermost stage outwards: doubling from `width`, the outermost."""
    return [min(MAX_CHANNELS, width * 2**i) for i in reversed(range(stages))]


MOST_WEIGHTS = 100_000_000
"""Weights of one layer beyond which it is refused: the last layer has a weight for each unit and each voxel."""


def voxels(clip: ClipConfig, width: int) -> int:
    """Return the numbers in a clip, a fully connected layer having 4 width units for each; or refuse it."""
    count = clip.channels * clip.frames * clip.height * clip.width
    if count * 4 * width > MOST_WEIGHTS:
        raise ConfigError(
            f"a fully connected layer for {clip.frames} frames of {clip.width}×{clip.height} has "
            f"{count * 4 * width:,} weights",
            "give fewer frames, a smaller size, a smaller --net.width, or the preset conv3d-64",
        )
    return count


class PixelNorm(nn.Module):
    """x / rms(x) over the channels of each pixel (Karras et al. 2018, section 4.2); clips stay independent."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the normalised features, (B, C, ...)."""
        if x.ndim == 4 and x.is_contiguous(memory_format=torch.channels_last):  # one pass over neighbours in memory
            length: Tensor = torch.linalg.vector_norm(x, dim=1, keepdim=True)
            return x * (math.sqrt(x.shape[1]) / (length + 1e-3)).to(x.dtype)
        # Products and no powers, which autocast would make in float32 and then leave there: a third of a step's time.
        return x * torch.rsqrt((x * x).mean(dim=1, keepdim=True) + 1e-6).to(x.dtype)


def start_smooth(stage: nn.ConvTranspose3d | nn.ConvTranspose2d) -> None:
    """Let a transposed convolution begin as linear interpolation followed by a random mixing of channels.

    With independent weights at every tap it begins, and for long stays, with a grid and a flicker of its own.
    """
    taps = {1: torch.ones(1), 4: torch.tensor([0.25, 0.75, 0.75, 0.25])}
    mixing = torch.randn(stage.in_channels, stage.out_channels) / stage.in_channels**0.5
    weight = mixing
    for size in stage.kernel_size:
        weight = weight[..., None] * taps[size]
    with torch.no_grad():
        stage.weight.copy_(weight)
        if stage.bias is not None:
            stage.bias.zero_()


class ConvDecoder(nn.Module):
    """Codes (B, D), style (B, S) -> volume (B, C, T, H, W): a linear layer and the doublings of a plan.

    A style scales the channels before each doubling, x (1 + A s): it decides what is seen, and the codes where.

    Args:
        codes: their length D.
        shape: the doublings.
        width: channels of the outermost hidden stage.
        out: channels C of the volume.
        style: its length S; 0 for none.
    """

    def __init__(self, codes: int, shape: UpsamplingPlan, width: int, out: int, style: int = 0) -> None:
        super().__init__()
        widths = channels(width, len(shape.stages))
        flat = all(stage.kernel[0] == 1 for stage in shape.stages) and shape.base[0] == 1
        self.base = (widths[0], *shape.base[1:]) if flat else (widths[0], *shape.base)
        self.flat = flat
        self.start = nn.Linear(codes, widths[0] * shape.base[0] * shape.base[1] * shape.base[2])
        self.norm = PixelNorm()
        self.stages = nn.ModuleList(
            nn.ConvTranspose2d(inside, outside, stage.kernel[1:], stage.stride[1:], stage.padding[1:])
            if flat
            else nn.ConvTranspose3d(inside, outside, stage.kernel, stage.stride, stage.padding)
            for inside, outside, stage in zip(widths, [*widths[1:], out], shape.stages, strict=True)
        )
        self.scales = nn.ModuleList(nn.Linear(style, channels) for channels in widths) if style else None
        for scale in self.scales or ():
            assert isinstance(scale, nn.Linear)
            nn.init.normal_(scale.weight, std=0.5 * style**-0.5)
            nn.init.zeros_(scale.bias)
        for stage in self.stages:
            assert isinstance(stage, (nn.ConvTranspose2d, nn.ConvTranspose3d))
            start_smooth(stage)

    def entries(self, codes: slice, style: slice) -> list[Tensor]:
        """Return the weights by which some of the codes' and of the style's numbers enter, (n, c) each."""
        scales = [scale.weight[:, style] for scale in self.scales or () if isinstance(scale, nn.Linear)]
        return [part for part in (self.start.weight[:, codes], *scales) if part.shape[1]]

    def forward(self, codes: Tensor, style: Tensor | None = None) -> Tensor:
        """Return the volumes; those of a single frame have an axis of time of length one."""
        x: Tensor = self.start(codes).unflatten(1, self.base)  # B C t h w
        for number, stage in enumerate(self.stages):
            x = self.norm(x)
            if self.scales is not None:
                scale: Tensor = self.scales[number](style)
                x = x * (1 + scale.view(*scale.shape, *[1] * (x.ndim - 2)))
            x = stage(leaky_relu(x, LEAK))  # B C/2 2t 2h 2w
        return x.unsqueeze(2) if self.flat else x


class LabelEmbedding(nn.Module):
    """Label (B,) int64, or weights over labels (B, labels) for a mixture -> embedding (B, size)."""

    def __init__(self, labels: int, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(labels, size))

    def forward(self, label: Tensor) -> Tensor:
        """Return the embeddings; that of a mixture is the weighted mean."""
        return label.to(self.weight.dtype) @ self.weight if label.is_floating_point() else self.weight[label]


def with_label(code: Tensor, table: LabelEmbedding | None, label: Tensor | None) -> Tensor:
    """Append a label's embedding to a code (B, D), where there are labels."""
    assert (label is None) == (table is None), "a label is given where and only where there are labels"
    return code if table is None else torch.cat([code, table(label)], dim=1)  # B (D + label)


def along_time(code: Tensor, frames: int) -> Tensor:
    """Repeat a code (B, D) for each frame: (B, T, D); one that has an axis of time stays as it is."""
    return code if code.ndim == 3 else code.unsqueeze(1).expand(-1, frames, -1)


Memory = dict[nn.Module, Tensor]
"""The last frames that each convolution over time has seen; empty at the beginning of a video."""


def by_frame(change: Callable[[Tensor], Tensor], clips: Tensor) -> Tensor:
    """Change every frame by itself: (B, C, T, H, W) -> (B, c, T, h, w), pictures (B T, C, H, W) -> (B T, c, h, w)."""
    pictures = change(clips.transpose(1, 2).flatten(0, 1))  # (B T) c h w
    return rearrange(pictures, "(b t) c h w -> b c t h w", t=clips.shape[2])


def into_patches(clips: Tensor, side: int) -> Tensor:
    """Turn pixels into the channels of patches: (B, C, T, H, W) -> (B, C side², T, H / side, W / side)."""
    patches = rearrange(clips, "b c t (h p) (w q) -> b t h w (c p q)", p=side, q=side)
    return patches.movedim(4, 1)  # B c T h w, channels last in memory


def out_of_patches(patches: Tensor, side: int) -> Tensor:
    """Turn channels into pixels: (B, C side², T, H, W) -> (B, C, T, H side, W side)."""
    clips = rearrange(patches, "b (c p q) t h w -> b t (h p) (w q) c", p=side, q=side)
    return clips.movedim(4, 1)  # B C T H W, channels last in memory


# exp(-r^2 / (2 sigma^2)), cut off at 3 sigma, along both axes one after the other.
def blurred(frames: Tensor, sigma: float) -> Tensor:
    """Blur pictures by a Gaussian, the edge repeated: (N, C, H, W) -> the same; not below float32 under autocast."""
    reach = max(1, math.ceil(3 * sigma))
    places = torch.arange(-reach, reach + 1, device=frames.device, dtype=frames.dtype)
    line = torch.exp(-places.square() / (2 * sigma**2))
    line = line / line.sum()
    flat = frames.flatten(0, 1).unsqueeze(1)  # (N C) 1 H W
    with torch.autocast(frames.device.type, enabled=False):
        flat = conv2d(pad(flat, (reach, reach, 0, 0), mode="replicate"), line.view(1, 1, 1, -1))
        flat = conv2d(pad(flat, (0, 0, reach, reach), mode="replicate"), line.view(1, 1, -1, 1))
    return flat.view_as(frames)


def leaky(x: Tensor) -> Tensor:
    """Return the leaky rectifier of x, of slope `LEAK` below zero."""
    return leaky_relu(x, LEAK)


class PreactivationBlock(nn.Module):
    """x + conv(act(conv(act(x)))), of 3×3; the second begins small (He et al. 2016): (N, c, h, w) -> the same.

    Args:
        width: channels c.
        activation: act; None for the leaky rectifier.
    """

    def __init__(self, width: int, activation: Callable[[Tensor], Tensor] | None = None) -> None:
        super().__init__()
        self.activation = activation or leaky
        self.first, self.second = (nn.Conv2d(width, width, 3, padding=1) for _ in range(2))
        with torch.no_grad():
            self.second.weight *= 0.1

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(self.activation(self.first(self.activation(x))))  # type: ignore[no-any-return]


def tiled(change: Callable[[Tensor], Tensor], frames: Tensor, *, tile: int, reach: int, scale: int) -> Tensor:
    """Change frames tile by tile: the same as at once, for what lies within reach is there; at the edges, nothing is.

    Args:
        change: frames (…, h, w) -> (…, s h, s w).
        frames: of any size.
        tile: height and width of a tile, in pixels of what is given.
        reach: how far away something can change a pixel, in pixels of what is given.
        scale: how many times as large they become, s.
    """
    height, width = frames.shape[-2:]
    if height <= tile and width <= tile:
        return change(frames)
    whole: Tensor | None = None
    for above, left in itertools.product(range(0, height, tile), range(0, width, tile)):
        rows = slice(max(0, above - reach), min(height, above + tile + reach))  # what the tile depends on
        columns = slice(max(0, left - reach), min(width, left + tile + reach))
        part = change(frames[..., rows, columns])
        high, wide = min(tile, height - above), min(tile, width - left)
        down, right = (above - rows.start) * scale, (left - columns.start) * scale
        inner = part[..., down : down + high * scale, right : right + wide * scale]
        if whole is None:
            whole = torch.empty((*part.shape[:-2], height * scale, width * scale), dtype=part.dtype, device=part.device)
        place = (slice(above * scale, (above + high) * scale), slice(left * scale, (left + wide) * scale))
        whole[(..., *place)] = inner
    assert whole is not None
    return whole


class SpaceConv(nn.Module):
    """A convolution of every frame by itself: (B, enter, T, H, W) -> (B, leave, T, H / stride, W / stride).

    The kernel is odd, or 2 * stride.
    """

    def __init__(self, enter: int, leave: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(enter, leave, kernel, stride, padding=(kernel - 1) // 2)

    def forward(self, x: Tensor) -> Tensor:
        return by_frame(self.conv, x)  # B c T h w


class TimeConv(nn.Module):
    """A causal convolution over time: (B, enter, T, H, W) -> (B, leave, T / stride, H, W); stride divides T.

    It sees `kernel` frames, all of them past but the last `stride`. Before a video's first frame, that frame is thought
    to have stood for ever.
    """

    def __init__(self, enter: int, leave: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__()
        assert kernel >= stride, f"kernel {kernel} is smaller than stride {stride}"
        self.kept = kernel - stride
        self.conv = nn.Conv3d(enter, leave, (kernel, 1, 1), (stride, 1, 1))

    def forward(self, x: Tensor, memory: Memory | None = None) -> Tensor:
        """Return the features; with a memory, of a video that goes on."""
        if self.kept:
            before = None if memory is None else memory.get(self)
            if before is None:
                before = x[:, :, :1].expand(-1, -1, self.kept, -1, -1)
            x = torch.cat([before.to(x.dtype), x], dim=2)  # B C (kept + T) H W
            if memory is not None:
                memory[self] = x[:, :, -self.kept :].clone()  # a view would hold all of the chunk
        return self.conv(x)  # type: ignore[no-any-return]


def remembering(
    name: str,
    about: str,
    net: nn.Module,
    function: Callable[..., Tensor],
    example: Tensor,
    output: str,
    beside: dict[str, Tensor] | None = None,
) -> list[Graph]:
    """Return two graphs of a function that remembers: of a video's first frames, and of those that follow.

    Args:
        name: the second one's is NAME-next.
        about: what it makes of what.
        net: whose weights it has.
        function: of frames (B, C, T, H, W), a memory, which it changes, and what is told beside.
        example: frames.
        output: what it makes is called.
        beside: examples of what is told beside, (B, D).
    """
    memory: Memory = {}
    beside = beside or {}
    with torch.no_grad():
        function(example, memory, *beside.values())
    states = {f"state{number}": part for number, part in enumerate(memory.values())}
    keys, told = list(memory), len(beside)

    def first(x: Tensor, *others: Tensor) -> tuple[Tensor, ...]:
        seen: Memory = {}
        made = function(x, seen, *others)
        return made, *(seen[key] for key in keys)

    def following(x: Tensor, *others: Tensor) -> tuple[Tensor, ...]:
        seen = dict(zip(keys, others[told:], strict=True))
        made = function(x, seen, *others[:told])
        return made, *(seen[key] for key in keys)

    begun = {"x": example} | beside
    later = begun | states
    outputs = (output, *(f"{state}_after" for state in states))
    goes_on = "Of the frames that follow, as many at once as there were first; states are those that came out."
    return [
        Graph(name, f"{about} Of a video's first frames.", net, first, begun, outputs, dict.fromkeys(begun, (0,))),
        Graph(f"{name}-next", f"{about} {goes_on}", net, following, later, outputs, dict.fromkeys(later, (0,))),
    ]


def run_remembering(
    run: RunGraph, name: str, chunks: Iterable[Tensor], beside: dict[str, Tensor] | None = None
) -> Iterator[Tensor]:
    """Run the two graphs of `remembering` over the chunks of a video, and yield what each becomes."""
    place, states = name, dict[str, Tensor]()
    for chunk in chunks:
        made, *after = run(place, x=chunk, **(beside or {}), **states)
        place, states = f"{name}-next", {f"state{number}": part for number, part in enumerate(after)}
        yield made


class FeatureNorm(nn.Module):
    """x / rms(x) over the channels of each pixel, scaled: clips, frames and pixels stay independent of each other."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Return the normalised features, (B, C, ...)."""
        # Products and no powers, which autocast would make in float32 and then leave there: a third of a step's time.
        size = torch.rsqrt((x * x).mean(dim=1, keepdim=True) + 1e-6).to(x.dtype)
        return x * size * self.scale.to(x.dtype).view(-1, *[1] * (x.ndim - 2))


class CausalBlock(nn.Module):
    """x + f(x), f being norm, silu, space, norm, silu, time: (B, channels, T, H, W) -> the same.

    The last layer begins at zero, so that a deep network begins as a shallow one.
    """

    def __init__(self, channels: int, time: int = 3) -> None:
        super().__init__()
        self.norm1, self.norm2 = FeatureNorm(channels), FeatureNorm(channels)
        self.space = SpaceConv(channels, channels)
        self.time = TimeConv(channels, channels, time)
        nn.init.zeros_(self.time.conv.weight)

    def forward(self, x: Tensor, memory: Memory | None = None) -> Tensor:
        inner = self.space(silu(self.norm1(x)))
        return x + self.time(silu(self.norm2(inner)), memory)  # type: ignore[no-any-return]
