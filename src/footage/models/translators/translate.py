"""Translation: a network is given a picture or a clip, and gives another (pix2pix, Isola et al. 2017).

It learns by how far its clip lies from the real one, and from critics that see, beside a clip, what it was made from
(eq. 1 there): they ask not only whether a clip looks real, but whether it goes with its source. The sources come from
another data set, or are made from the clips themselves, frame by frame, so that video can stream.

The networks are pix2pix's U-Net, residual blocks, and an animator. Every frame is convolved by itself, then over frames
that are past, so that a video of any length is translated chunk by chunk. Ours: normalisation over the channels of a
pixel, in place of batch or instance normalisation, which let clips, or the places of a frame, depend on each other;
upsampling begins smooth.

The animator brings a picture to life: it is encoded once, and a path of motion codes says what becomes of it in each
frame. The path is MoCoGAN's, h_t = cell(e_t, h_{t-1}) with fresh noise e_t (Tulyakov et al. 2018). Every frame is the
picture, warped by a flow, mixed by a mask with what is painted where nothing could be moved to (the foreground and
background of Vondrick et al. 2016, with a background that moves): out = m ⊙ warp(picture, flow) + (1 - m) ⊙ painted. A
decoder of shortcuts alone would copy the still.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import ClassVar, NamedTuple

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn.functional import affine_grid, avg_pool2d, avg_pool3d, conv2d, grid_sample, interpolate, pad, silu

from footage.config import ClipConfig, Config, TaskConfig
from footage.config.registry import SOURCES
from footage.config.sections import halvings
from footage.metrics.image_quality import clip_psnr
from footage.models.base import Batch, Graph, RunGraph, Sampler
from footage.models.generators.recurrent.network import start_slow
from footage.models.generators.samplers import draws_of, more
from footage.models.layers import (
    Levels,
    Memory,
    PixelNorm,
    SpaceConv,
    TimeConv,
    blurred,
    by_frame,
    channel_levels,
    channels,
    remembering,
    run_remembering,
    set_levels,
    start_smooth,
)
from footage.models.supervised import StepOutput, SupervisedMethod
from footage.models.translators import TranslatorConfig, source_clip

GUIDE = 16
"""Hidden channels between the source and the scales and shifts that it gives."""
RESIDUAL_STAGES = 2
"""Downsamplings of `resnet`."""


class ChannelNorm(nn.Module):
    """Normalise mean and variance over the channels of each pixel (Ba et al. 2016): (B, C, T, H, W) -> the same.

    Where features lie with their channels last, this is one pass over the memory, in whatever precision they have.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        last: Tensor = self.norm(x.movedim(1, -1))  # B T H W C
        return last.movedim(-1, 1)


class Upsampling(nn.Module):
    """A transposed convolution of every frame by itself: (B, enter, T, H, W) -> (B, leave, T, 2 H, 2 W)."""

    def __init__(self, enter: int, leave: int) -> None:
        super().__init__()
        self.conv = nn.ConvTranspose2d(enter, leave, 4, 2, 1)
        start_smooth(self.conv)

    def forward(self, x: Tensor) -> Tensor:
        return by_frame(self.conv, x)  # B c T 2h 2w


class TemporalResidual(nn.Module):
    """x + time(silu(norm(x))): what was seen before comes in; (B, channels, T, H, W) -> the same.

    It begins as x alone.
    """

    def __init__(self, channels: int, time: int) -> None:
        super().__init__()
        self.norm = ChannelNorm(channels)
        self.time = TimeConv(channels, channels, time)
        nn.init.zeros_(self.time.conv.weight)

    def forward(self, x: Tensor, memory: Memory | None = None) -> Tensor:
        return x + self.time(silu(self.norm(x)), memory)  # type: ignore[no-any-return]


# (1 + gamma(s)) norm(x) + beta(s), gamma and beta convolutions of the source s at this size: Park et al. 2019, eq. 1.
class SourceNorm(nn.Module):
    """Normalise features (B, channels, T, H, W), and let the source, (B, enter, T, H, W), scale and shift them.

    Without channels of a source, it is a plain normalisation.
    """

    def __init__(self, channels: int, enter: int) -> None:
        super().__init__()
        self.norm = ChannelNorm(channels)
        self.look = SpaceConv(enter, GUIDE) if enter else None
        self.give = SpaceConv(GUIDE, 2 * channels, 1) if enter else None

    def forward(self, x: Tensor, source: Tensor | None) -> Tensor:
        plain: Tensor = self.norm(x)
        if self.look is None or self.give is None:
            return plain
        gamma, beta = self.give(silu(self.look(source))).chunk(2, dim=1)
        return torch.addcmul(plain + beta, plain, gamma)


class DecoderStage(nn.Module):
    """A stage of the decoder: normalised, modulated, enlarged, then what is past.

    (B, enter, T, H, W) and the source, (B, source, T, H, W) or none -> (B, leave, T, 2 H, 2 W). Where `time` is 0,
    there is no convolution over time.
    """

    def __init__(self, enter: int, leave: int, source: int, time: int) -> None:
        super().__init__()
        self.norm = SourceNorm(enter, source)
        self.up = Upsampling(enter, leave)
        self.past = TemporalResidual(leave, time) if time else None

    def forward(self, x: Tensor, source: Tensor | None, memory: Memory | None) -> Tensor:
        x = self.up(silu(self.norm(x, source)))  # B c T 2h 2w
        return x if self.past is None else self.past(x, memory)


class EncoderStage(nn.Module):
    """A stage of the encoder: normalised (but for pixels, in the first), halved, then what is past.

    (B, enter, T, H, W) -> (B, leave, T, H / 2, W / 2). Where `time` is 0, there is no convolution over time.
    """

    def __init__(self, enter: int, leave: int, time: int, *, first: bool = False) -> None:
        super().__init__()
        self.norm = None if first else ChannelNorm(enter)
        self.down = SpaceConv(enter, leave, 4, 2)
        self.past = TemporalResidual(leave, time) if time else None

    def forward(self, x: Tensor, memory: Memory | None = None) -> Tensor:
        x = self.down(x if self.norm is None else silu(self.norm(x)))  # B c T h/2 w/2
        return x if self.past is None else self.past(x, memory)


class TranslatorBlock(nn.Module):
    """x + space(silu(norm(x))), then what is past: (B, channels, T, H, W) -> the same."""

    def __init__(self, channels: int, time: int) -> None:
        super().__init__()
        self.norm = ChannelNorm(channels)
        self.space = SpaceConv(channels, channels)
        self.past = TemporalResidual(channels, time)

    def forward(self, x: Tensor, memory: Memory | None = None) -> Tensor:
        return self.past(x + self.space(silu(self.norm(x))), memory)  # type: ignore[no-any-return]


class Translator(nn.Module):
    """Source (B, enter, T, H, W) in [-1, 1] -> clips (B, C, T, H, W) of any length, height and width."""

    def __init__(self, clip: ClipConfig, net: TranslatorConfig, enter: int, told: int = 0) -> None:
        super().__init__()
        self.levels = Levels(clip.channels)
        guide = enter if net.modulate else 0
        resnet = net.shape == "resnet"
        count = RESIDUAL_STAGES if resnet else halvings(clip.height, clip.width)
        self.unit, self.modulated = 2**count, net.modulate
        widths = channels(net.width, count + resnet)[::-1]  # from the outermost stage inwards
        self.stem = SpaceConv(enter, widths[0], 7) if resnet else None
        pairs = list(zip(widths if resnet else [enter, *widths], widths[1:] if resnet else widths, strict=False))
        self.encoder = nn.ModuleList(
            EncoderStage(a, b, 0 if resnet or not i else net.time, first=not resnet and i == 0)
            for i, (a, b) in enumerate(pairs)
        )
        self.blocks = nn.ModuleList(TranslatorBlock(widths[-1], net.time) for _ in range(net.blocks if resnet else 1))
        self.told = nn.Linear(told, widths[-1], bias=False) if told else None
        inwards = widths[::-1]
        self.decoder = nn.ModuleList()
        for i, (a, b) in enumerate(zip(inwards, [*inwards[1:], clip.channels], strict=False)):
            if resnet and i == count:
                break
            both = a if resnet or i == 0 else 2 * a  # with the shortcut
            inner = not resnet and i < count - 2  # at a quarter of the size or less
            self.decoder.append(DecoderStage(both, b, guide, net.time if inner else 0))
        self.leave = SpaceConv(widths[0], clip.channels, 7) if resnet else None
        self.norm = SourceNorm(widths[0], guide) if resnet else None
        self.straight = SpaceConv(enter, clip.channels)  # the shortcut at full size, of the source itself
        nn.init.zeros_(self.straight.conv.weight)
        # x + alpha f(x) over the whole network (Kim et al. 2016), alpha 0 at first (Bachlechner et al. 2021, eq. 2).
        self.alpha = nn.Parameter(torch.zeros(())) if net.residual else None

    def forward(self, source: Tensor, memory: Memory | None = None, told: Tensor | None = None) -> Tensor:
        height, width = source.shape[3:]
        padded = x = fitted(source, self.unit)
        sources: list[Tensor] = []
        if self.norm is not None or self.modulated:
            sources = pyramid(x, len(self.encoder))  # from the full size inwards
        x = x if self.stem is None else self.stem(x)
        shortcuts: list[Tensor] = []
        for encoding in self.encoder:
            x = encoding(x, memory)
            shortcuts.append(x)
        if self.told is not None and told is not None:
            x = x + self.told(told.to(source))[:, :, None, None, None].to(x.dtype)
        for block in self.blocks:
            x = block(x, memory)
        for number, decoding in enumerate(self.decoder):
            if number and self.stem is None:
                x = torch.cat([x, shortcuts[-1 - number]], dim=1)  # B 2c T h w
            x = decoding(x, sources[-1 - number] if sources else None, memory)
        if self.leave is not None and self.norm is not None:
            x = self.leave(silu(self.norm(x, sources[0])))  # B C T H W
        numbers = (x + self.straight(padded))[..., :height, :width]
        numbers = numbers.to(source.dtype)
        return self.levels.pixels(numbers) if self.alpha is None else torch.add(source, self.alpha * numbers)


def fitted(clips: Tensor, unit: int) -> Tensor:
    """Pad clips (B, C, T, H, W) to a multiple of `unit`, the far edges repeated; laid out with the channels last."""
    rest = (0, -clips.shape[4] % unit, 0, -clips.shape[3] % unit)

    def padded(frames: Tensor) -> Tensor:
        return pad(frames, rest, mode="replicate").contiguous(memory_format=torch.channels_last)

    return by_frame(padded, clips)


def pyramid(source: Tensor, count: int) -> list[Tensor]:
    """Return a source (B, C, T, H, W) at its own size, and `count` times averaged down by two."""
    levels = [source]
    for _ in range(count):
        levels.append(by_frame(lambda frames: avg_pool2d(frames, 2), levels[-1]))  # B C T h/2 w/2
    return levels


REACH = 1.0
"""Longest displacement, in halves of the picture."""
KEPT = 2.0
"""Logit of the mask at the beginning: most of a frame is the picture."""


class AnimatorState(NamedTuple):
    """A picture, and how far its motion has come: all that the next frames follow from."""

    picture: Tensor
    """(B, C, H, W)."""
    shortcuts: list[Tensor]
    """Its features, from half its size inwards, (B, c, 1, h, w) each."""
    hidden: Tensor
    """The cell's state, (B, hidden)."""
    rest: Tensor | None
    """That of the first frame, which is the picture; None before it."""
    heard: Tensor | None
    """What the cell is told, (B, m); None for nothing."""


class MovingStage(nn.Module):
    """Features of frames (B, enter, T, h, w), the picture's (B, beside, 1, h, w) or none -> (B, leave, T, 2 h, 2 w).

    The convolution of both is the sum of two, of which that of the picture's features is made once for all frames.
    """

    def __init__(self, enter: int, beside: int, leave: int) -> None:
        super().__init__()
        self.norm = ChannelNorm(enter)
        self.up = Upsampling(enter, leave)
        self.still_norm = ChannelNorm(beside) if beside else None
        self.still_up = Upsampling(beside, leave) if beside else None

    def begin_still(self) -> None:
        """Let the flow begin small, and the mask with the picture, where this is the last stage."""
        with torch.no_grad():
            for up in (self.up, self.still_up):
                if up is not None:
                    up.conv.weight[:, :3] *= 0.1
            assert self.up.conv.bias is not None
            self.up.conv.bias[2] = KEPT

    def forward(self, x: Tensor, shortcut: Tensor) -> Tensor:
        moving: Tensor = self.up(silu(self.norm(x)))  # B c T 2h 2w
        if self.still_norm is None or self.still_up is None:
            return moving
        still: Tensor = self.still_up(silu(self.still_norm(shortcut)))  # B c 1 2h 2w
        return moving + still


class StillMoves(NamedTuple):
    """What becomes of a picture in some frames."""

    flow: Tensor
    """Where each pixel is looked up, in halves of the picture away, (B T, 2, H, W)."""
    mask: Tensor
    """How much of it is what is found there, (B T, 1, H, W)."""
    painted: Tensor
    """What it is else, (B T, C, H, W)."""


class StillDecoder(nn.Module):
    """Frames of a picture by codes of what becomes of it: the picture is encoded once.

    Args:
        clip: shape of the frames.
        width: channels of the outermost stage.
        code: length of the codes.
        count: stages.
    """

    def __init__(self, clip: ClipConfig, width: int, code: int, count: int) -> None:
        super().__init__()
        self.levels = Levels(clip.channels)
        self.unit = 2**count
        widths = channels(width, count)[::-1]  # from the outermost stage inwards
        self.encoder = nn.ModuleList(
            EncoderStage(a, b, 0, first=i == 0)
            for i, (a, b) in enumerate(zip([clip.channels, *widths[:-1]], widths, strict=True))
        )
        inner = widths[-1]
        self.norm = ChannelNorm(inner)
        self.style = nn.Linear(code, 2 * inner)
        self.mix = nn.Conv2d(inner + code, inner, 3, padding=1)
        leaving = [*widths[-2::-1], 3 + clip.channels]  # flow, mask and what is painted
        beside = [0, *widths[-2::-1]]
        self.decoder = nn.ModuleList(
            MovingStage(a, b, c) for a, b, c in zip(widths[::-1], beside, leaving, strict=True)
        )
        last = self.decoder[-1]
        assert isinstance(last, MovingStage)
        last.begin_still()

    def encode(self, picture: Tensor) -> list[Tensor]:
        """Return the features of a picture (B, C, 1, H, W), from half its size inwards, (B, c, 1, h, w) each."""
        x, shortcuts = fitted(self.levels(picture), self.unit), list[Tensor]()
        for encoding in self.encoder:
            x = encoding(x)
            shortcuts.append(x)
        return shortcuts

    def decode(self, picture: Tensor, shortcuts: list[Tensor], code: Tensor) -> Tensor:
        """Make frames (B, C, T, H, W) of a picture (B, C, H, W) and its features, by codes (B T, c)."""
        return self.moved(picture, self.moves(picture, shortcuts, code))

    def moves(self, picture: Tensor, shortcuts: list[Tensor], code: Tensor, turned: Tensor | None = None) -> StillMoves:
        """Say what becomes of a picture (B, C, H, W), with its features, in frames, by codes (B T, c).

        What moves as a whole, (B T, 2, H, W) in halves of the picture, may be given: the rest is beside it.
        """
        inner = self.norm(shortcuts[-1])[:, :, 0]  # B c h w
        times = code.shape[0] // inner.shape[0]
        scale, shift = self.style(code)[:, :, None, None].chunk(2, dim=1)
        x = inner.repeat_interleave(times, dim=0) * (1 + scale) + shift  # (B T) c h w
        codes = code.to(x.dtype)[:, :, None, None].expand(-1, -1, *x.shape[2:])
        x = self.mix(silu(torch.cat([x, codes], dim=1)).contiguous(memory_format=torch.channels_last))
        x = rearrange(x, "(b t) c h w -> b c t h w", t=times)
        for number, stage in enumerate(self.decoder):
            x = stage(x, shortcuts[-1 - number])
        decoded = x.transpose(1, 2).flatten(0, 1)  # (B T) (3 + C) H W
        flow, mask, painted = (
            decoded[..., : picture.shape[2], : picture.shape[3]].to(picture.dtype).tensor_split((2, 3), 1)
        )
        flow = REACH * torch.tanh(flow)
        flow = flow if turned is None else flow + turned
        return StillMoves(flow, torch.sigmoid(mask), self.levels.pixels(painted))

    def moved(self, picture: Tensor, moves: StillMoves) -> Tensor:
        """Make frames (B, C, T, H, W) of a picture (B, C, H, W) by what becomes of it in them."""
        frames = moves.mask * warp(picture, moves.flow) + (1 - moves.mask) * moves.painted
        return rearrange(frames, "(b t) c h w -> b c t h w", b=picture.shape[0])


class Animator(StillDecoder):
    """Picture (B, C, 1, H, W), start (B, hidden), noise (B, T, m) -> clips (B, C, T, H, W) that begin with it."""

    def __init__(self, clip: ClipConfig, net: TranslatorConfig, told: int = 0) -> None:
        hidden = 2 * net.motion
        super().__init__(clip, net.width, 2 * hidden, halvings(clip.height, clip.width))
        self.motion, self.hidden = net.motion, hidden
        self.cell = nn.GRU(net.motion, self.hidden, batch_first=True)
        start_slow(self.cell, clip.frames, net.motion)
        self.code_norm = PixelNorm()
        self.told = nn.Linear(told, net.motion, bias=False) if told else None

    def noise(self, frames: int) -> dict[str, tuple[int, ...]]:
        return {"start": (self.hidden,), "motion": (frames, self.motion)}

    def forward(self, picture: Tensor, start: Tensor, motion: Tensor, told: Tensor | None = None) -> Tensor:
        return self.advance(self.begin(picture, start, told), motion)[0]

    def begin(self, picture: Tensor, start: Tensor, told: Tensor | None = None) -> AnimatorState:
        """Encode a picture (B, C, 1, H, W), beside captions' vectors (B, D) or none.

        The motion begins at random, from standard normal numbers (B, hidden).
        """
        heard = None if self.told is None or told is None else self.told(told.to(picture))
        return AnimatorState(picture[:, :, 0], self.encode(picture), start, None, heard)

    def advance(self, state: AnimatorState, motion: Tensor) -> tuple[Tensor, AnimatorState]:
        """Make the next frames (B, C, T, H, W) from fresh noise (B, T, m), and the state after them."""
        picture = state.picture
        if state.heard is not None:
            motion = motion + state.heard.unsqueeze(1)
        with torch.autocast(motion.device.type, enabled=False):  # the cell is small, and its path is long
            path, after = self.cell(motion.to(picture.dtype), state.hidden.to(picture.dtype).unsqueeze(0))
        rest = path[:, 0] if state.rest is None else state.rest
        # Where the motion is, and how far from where the picture was taken: 0 in the first frame.
        code = torch.cat([self.code_norm(path.flatten(0, 1)), (path - rest[:, None]).flatten(0, 1)], dim=1)
        clips = self.decode(picture, state.shortcuts, code)
        return clips, AnimatorState(picture, state.shortcuts, after[0], rest, state.heard)


def warp(picture: Tensor, flow: Tensor) -> Tensor:
    """Look up each pixel of frames at another place of their picture (B, C, H, W); beyond its edge, the edge.

    The flow, (B T, 2, H, W), is the displacement (x, y) in halves of the picture.
    """
    times = flow.shape[0] // picture.shape[0]
    with torch.autocast(picture.device.type, enabled=False):
        identity = torch.eye(2, 3, dtype=flow.dtype, device=flow.device).expand(flow.shape[0], 2, 3)
        grid = affine_grid(identity, [flow.shape[0], *picture.shape[1:]], align_corners=False)  # (B T) H W 2
        places = grid + flow.movedim(1, -1)
        frames = picture.repeat_interleave(times, dim=0)  # (B T) C H W
        return grid_sample(frames, places, mode="bilinear", padding_mode="border", align_corners=False)


def make_translator(clip: ClipConfig, net: TranslatorConfig, task: TaskConfig, told: int = 0) -> Translator | Animator:
    """Make the network for what is given: a clip of a source, or a picture that is brought to life.

    Beside it stand captions' vectors of length `told`, or 0 for none.
    """
    if task.source == "first-frame":
        return Animator(clip, net, told)
    return Translator(clip, net, source_clip(clip, task).channels, told)


LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in luma (ITU-R BT.601)."""
SHRINK = 4
"""How much smaller `lowres` pictures are before they are enlarged again."""
THICK = 4
"""How many slices of a volume are averaged to one for `slices`."""
SIGMA = 2.0
"""Standard deviation of `blur`, in pixels."""


# Y = 0.299 R + 0.587 G + 0.114 B: ITU-R BT.601.
def grey(frames: Tensor) -> Tensor:
    """Return the luma of pictures, (N, C, H, W) -> (N, 1, H, W)."""
    if frames.shape[1] == 1:
        return frames
    return (frames * frames.new_tensor(LUMA).view(-1, 1, 1)).sum(dim=1, keepdim=True)


# |(Sx * Y, Sy * Y)|, S = [1 2 1] x [-1 0 1] / 8 (Sobel and Feldman 1968); tanh brings a step of 1 to tanh(2) = 0.96.
def edges(frames: Tensor) -> Tensor:
    """Return the strength of edges, (N, C, H, W) -> (N, 1, H, W): -1 where all is plain, towards 1 at a sharp step."""
    wider = pad(grey(frames), (1, 1, 1, 1), mode="replicate")
    smooth, slope = frames.new_tensor([1.0, 2.0, 1.0]) / 4, frames.new_tensor([-1.0, 0.0, 1.0]) / 2
    across = smooth[:, None] * slope  # 3 3
    both = conv2d(wider, torch.stack([across, across.T]).unsqueeze(1))  # N 2 H W
    return 2 * torch.tanh(4 * both.square().sum(dim=1, keepdim=True).sqrt()) - 1


def lowres(frames: Tensor) -> Tensor:
    """Average pictures over squares of 4×4 pixels, and enlarge them again, linearly: (N, C, H, W) -> the same."""
    small = avg_pool2d(frames, SHRINK, ceil_mode=True)  # at the far edges over what there is
    return interpolate(small, frames.shape[2:], mode="bilinear", align_corners=False)


def blur(frames: Tensor) -> Tensor:
    """Blur pictures by a Gaussian of deviation `SIGMA`: (N, C, H, W) -> the same."""
    return blurred(frames, SIGMA)


def thick(clips: Tensor) -> Tensor:
    """Average every `THICK` slices of volumes to one, and lay slices between them again, linearly: same shape."""
    few = avg_pool3d(clips, (THICK, 1, 1), ceil_mode=True, count_include_pad=False)  # B C t H W
    return interpolate(few, clips.shape[2:], mode="trilinear", align_corners=False)


def derive(clips: Tensor, kind: str) -> Tensor:
    """Make what a translator is given, (B, C, T, H, W) -> (B, Cs, T, H, W), or (B, C, 1, H, W) for `first-frame`.

    The kind is as in `task.source`, but not `pairs`.
    """
    if kind == "first-frame":
        return clips[:, :, :1]
    with torch.autocast(clips.device.type, enabled=False):
        if kind == "slices":
            return thick(clips)
        return by_frame(SOURCES[kind], clips)  # B Cs T H W


def repeated(source: Tensor, frames: int) -> Tensor:
    """Let a picture (B, C, 1, H, W) stand for `frames` frames; a clip stays as it is."""
    return source.expand(-1, -1, frames, -1, -1) if source.shape[2] == 1 else source


class Translate(SupervisedMethod):
    """A translator, and critics where there are any; see `footage.models.base.Method`."""

    own_curves: ClassVar = {
        "Absolute error of a pixel, pixels in [-1, 1]": ("l1", "heldout_l1"),
        "Peak signal-to-noise ratio, dB": ("psnr", "heldout_psnr"),
    }

    def __init__(self, config: Config, labels: int) -> None:
        super().__init__(config, labels)
        generator = self.nets["generator"]
        self.shapes = generator.noise(config.clip.frames) if isinstance(generator, Animator) else {}

    def calibrate(self, batches: Iterable[Tensor]) -> None:
        """Tell all networks the levels of real clips, and the critics those of the sources too."""
        mean, sd = channel_levels(self.shown(clips) for clips in batches)
        count = self.config.clip.channels
        for name, average in self.averages.items():
            set_levels(mean[:count], sd[:count], self.nets[name], average.module)
        set_levels(mean, sd, *self.critic_nets())

    def shown(self, clips: Tensor, fakes: Tensor | None = None) -> Tensor:
        """Return what critics see, (B, C + Cs, T, H, W): real clips, or those that were made, and the sources."""
        real = clips[:, : self.config.clip.channels]
        beside = repeated(source_of(clips, self.config), real.shape[2])
        return torch.cat([real if fakes is None else fakes.to(real.dtype), beside.to(real.dtype)], dim=1)

    def forward_step(self, batch: Batch, clips_seen: int, judged: bool) -> StepOutput:
        config = self.config
        real, source = batch.clips[:, : config.clip.channels], source_of(batch.clips, config)
        drawn = {name: batch.normal(*shape) for name, shape in self.shapes.items()}
        fakes: Tensor = self.nets["generator"](source, told=batch.labels, **drawn)
        shown = fakes.detach().to(real.dtype)
        log = {"l1": (shown - real).abs().mean(), "psnr": clip_psnr(shown, real).mean()}
        judged_clips = {}
        if config.critics and judged:
            judged_clips[""] = (self.shown(batch.clips), self.shown(batch.clips, fakes))
        return StepOutput(config.learn.weight * self.difference(fakes, real), log, judged_clips)

    def heldout_clips(self, batch: Batch, target: str) -> Tensor | None:
        return None if batch.heldout is None else self.shown(batch.heldout[0])

    @classmethod
    def sampler_of(cls, config: Config, nets: dict[str, nn.Module]) -> Sampler:
        return TranslateSampler(config, nets["generator"])


def source_of(clips: Tensor, config: Config) -> Tensor:
    """Return what a translator is given, (B, Cs, T, H, W) or a picture (B, C, 1, H, W), of clips as in the data.

    Those of two data sets stand one behind the other, (B, C + Cs, T, H, W).
    """
    if config.task.source == "pairs":
        return clips[:, config.clip.channels :]
    return derive(clips, config.task.source)


class TranslateSampler:
    """Videos, or pictures, turned into videos in constant memory; see `footage.models.base.Converts`."""

    given = 0

    def __init__(self, config: Config, generator: nn.Module) -> None:
        self.config, self.clip, self.source = config, config.clip, source_clip(config.clip, config.task)
        self.generator = generator.eval()
        self.device = next(generator.parameters()).device

    def sources(self, clips: Tensor) -> Tensor:
        return source_of(clips, self.config)

    def convert(self, chunks: Iterable[Tensor], seed: int, told: Tensor | None = None) -> Iterator[Tensor]:
        told = None if told is None else told.to(self.device)
        if isinstance(self.generator, Animator):
            yield from self.animate(next(iter(chunks))[:, :, :1], [seed], told)
            return
        memory: Memory = {}
        for chunk in chunks:
            with torch.inference_mode():
                frames = self.generator(chunk.to(self.device), memory, told).float().clamp(-1, 1)
            yield frames  # outside of the block: it would hold for the caller too

    def animate(self, pictures: Tensor, seeds: Iterable[int], told: Tensor | None = None) -> Iterator[Tensor]:
        """Yield frames (B, C, T, H, W) for ever that begin with pictures (B, C, 1, H, W), each by its own seed.

        Vectors of captions, (B, D), may be told beside.
        """
        generator = self.generator
        assert isinstance(generator, Animator), "this model is given clips"
        shapes = generator.noise(self.clip.frames)
        rngs = [draws_of(seed) for seed in seeds]
        with torch.inference_mode():
            start = more(rngs, *shapes["start"]).to(self.device)
            state = generator.begin(pictures.to(self.device), start, told)
        while True:
            motion = more(rngs, *shapes["motion"]).to(self.device)
            with torch.inference_mode():
                frames, state = generator.advance(state, motion)
                frames = frames.float().clamp(-1, 1)
            yield frames  # outside of the block: it would hold for the caller too

    def graphs(self) -> list[Graph]:
        """Return `begin` and `advance` of what brings a picture to life, else `translate` and `translate-next`."""
        generator, source, clip = self.generator, self.source, self.clip
        frames = 1 if isinstance(generator, Animator) else clip.frames
        example = torch.rand(2, source.channels, frames, source.height, source.width) * 2 - 1
        layer = generator.told
        told = {"told": torch.randn(2, layer.in_features)} if isinstance(layer, nn.Linear) else {}
        if not isinstance(generator, Animator):

            def translate(x: Tensor, memory: Memory, told: Tensor | None = None) -> Tensor:
                made: Tensor = generator(x, memory, told).float().clamp(-1, 1)
                return made

            about = f"x: {frames} frames of what is translated, (B, C, T, H, W) in [-1, 1]; frames: what it becomes."
            return remembering("translate", about, generator, translate, example, "frames", told)
        noise = {name: torch.randn(2, *shape) for name, shape in generator.noise(clip.frames).items()}

        def begin(picture: Tensor, start: Tensor, motion: Tensor, told: Tensor | None = None) -> tuple[Tensor, ...]:
            made, after = generator.advance(generator.begin(picture, start, told), motion)
            assert after.rest is not None
            return made.float().clamp(-1, 1), after.hidden, after.rest, *after.shortcuts

        def advance(
            picture: Tensor, motion: Tensor, hidden: Tensor, rest: Tensor, *others: Tensor
        ) -> tuple[Tensor, ...]:
            heard = None if generator.told is None else generator.told(others[0])
            parts = list(others[len(told) :])
            made, after = generator.advance(AnimatorState(picture[:, :, 0], parts, hidden, rest, heard), motion)
            return made.float().clamp(-1, 1), after.hidden

        begun = {"picture": example, **noise, **told}
        with torch.no_grad():
            _, hidden, rest, *parts = begin(*begun.values())
        seen = {f"shortcut{number}": part for number, part in enumerate(parts)}
        later = {"picture": example, "motion": noise["motion"], "hidden": hidden, "rest": rest, **told, **seen}
        about = (
            "picture: (B, C, 1, H, W) in [-1, 1]; start: standard normal; motion: standard normal, anew each time. "
            "told: the vector of a caption. frames: (B, C, T, H, W) in [-1, 1]; the others are for `advance`."
        )
        outputs = ("frames", "hidden", "rest", *seen)
        return [
            Graph("begin", about, generator, begin, begun, outputs, dict.fromkeys(begun, (0,))),
            Graph(
                "advance",
                "The next frames; hidden: what came out, the others as `begin` gave them.",
                generator,
                advance,
                later,
                ("frames", "hidden_after"),
                dict.fromkeys(later, (0,)),
            ),
        ]

    def rehearse(self, run: RunGraph, clips: Tensor) -> Iterator[tuple[Tensor, Tensor | None]]:
        source, real = self.sources(clips), clips[:, : self.clip.channels]
        begun = self.graphs()[0].inputs
        told = {name: value[:1].expand(len(clips), -1) for name, value in begun.items() if name == "told"}
        if not isinstance(self.generator, Animator):
            twice = run_remembering(run, "translate", [source, source], told)
            yield from ((made, real) for made in twice)
            return
        begun = {"picture": source} | {
            name: torch.randn(len(clips), *value.shape[1:])
            for name, value in begun.items()
            if name in ("start", "motion")
        }
        frames, *seen = run("begin", **begun, **told)
        yield frames, None
        names = ("hidden", "rest", *(f"shortcut{number}" for number in range(len(seen) - 2)))
        later_ones = {"picture": source, "motion": begun["motion"]} | dict(zip(names, seen, strict=True))
        yield run("advance", **later_ones, **told)[0], None

    def preview(self, reals: Tensor, labels: Tensor | None) -> dict[str, Tensor]:
        real, source = reals[:, : self.clip.channels], self.sources(reals)
        if isinstance(self.generator, Animator):
            translated = next(self.animate(source, range(len(reals)), labels))[:, :, : real.shape[2]]
        else:
            with torch.inference_mode():
                translated = self.generator(source.to(self.device), told=labels).float().clamp(-1, 1)
        picture = repeated(source, real.shape[2])
        if picture.shape[1] != real.shape[1]:
            picture = picture.mean(dim=1, keepdim=True).expand_as(real)  # grey
        return {"translated": translated, "source": picture.clamp(-1, 1), "real": real}
