"""Generators that are given a picture or a clip: pix2pix's U-Net (Isola et al. 2017), and residual blocks.

Every frame is convolved by itself, then over frames that are past, so that a video of any length is translated chunk by
chunk. Ours: normalisation over the channels of a pixel, in place of batch or instance normalisation, which let clips,
or the places of a frame, depend on each other; upsampling begins smooth.
"""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, pad, silu

from footage.config import ClipConfig, TranslatorConfig
from footage.models.causal import Memory, SpaceConv, TimeConv
from footage.models.layers import Levels, channels, start_smooth

GUIDE = 16
"""Hidden channels between the source and the scales and shifts that it gives."""
RESIDUAL_STAGES = 2
"""Downsamplings of `resnet`."""


class ChannelNorm(nn.Module):
    """Normalise mean and variance over the channels of each pixel (Ba et al. 2016): (B, C, T, H, W) -> the same.

    Where features lie with their channels last, this is one pass over the memory, in whatever precision they have.

    Args:
        channels: C.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return the normalised features."""
        last: Tensor = self.norm(x.movedim(1, -1))  # B T H W C
        return last.movedim(-1, 1)


class Upsampling(nn.Module):
    """A transposed convolution of every frame by itself: (B, C, T, H, W) -> (B, out, T, 2 H, 2 W).

    Args:
        enter: channels C.
        leave: channels of the result.
    """

    def __init__(self, enter: int, leave: int) -> None:
        super().__init__()
        self.conv = nn.ConvTranspose2d(enter, leave, 4, 2, 1)
        start_smooth(self.conv)

    def forward(self, x: Tensor) -> Tensor:
        """Return the features."""
        frames: Tensor = self.conv(x.transpose(1, 2).flatten(0, 1))  # (B T) c 2h 2w
        return rearrange(frames, "(b t) c h w -> b c t h w", t=x.shape[2])


class Past(nn.Module):
    """x + time(silu(norm(x))): what was seen before comes in; (B, C, T, H, W) -> the same. It begins as x alone.

    Args:
        channels: C.
        time: frames that the convolution over time sees; 1 for none but the present one.
    """

    def __init__(self, channels: int, time: int) -> None:
        super().__init__()
        self.norm = ChannelNorm(channels)
        self.time = TimeConv(channels, channels, time)
        nn.init.zeros_(self.time.conv.weight)

    def forward(self, x: Tensor, memory: Memory | None = None) -> Tensor:
        """Return the features; with a memory, of a video that goes on."""
        return x + self.time(silu(self.norm(x)), memory)  # type: ignore[no-any-return]


# (1 + gamma(s)) norm(x) + beta(s), gamma and beta convolutions of the source s at this size: Park et al. 2019, eq. 1.
class SourceNorm(nn.Module):
    """Normalise features (B, C, T, H, W), and let the source, at the same size, scale and shift them at every place.

    Args:
        channels: C.
        enter: channels of the source; 0 for no source: a plain normalisation.
    """

    def __init__(self, channels: int, enter: int) -> None:
        super().__init__()
        self.norm = ChannelNorm(channels)
        self.look = SpaceConv(enter, GUIDE) if enter else None
        self.give = SpaceConv(GUIDE, 2 * channels, 1) if enter else None

    def forward(self, x: Tensor, source: Tensor | None) -> Tensor:
        """Return the features."""
        plain: Tensor = self.norm(x)
        if self.look is None or self.give is None:
            return plain
        gamma, beta = self.give(silu(self.look(source))).chunk(2, dim=1)
        return torch.addcmul(plain + beta, plain, gamma)


class Decoding(nn.Module):
    """A stage of the decoder: normalised, modulated, enlarged, then what is past: (B, C, T, H, W) -> twice the size.

    Args:
        enter: channels C.
        leave: channels of the result.
        source: channels of the source that modulates; 0 for none.
        time: frames that the convolution over time sees; 0 for no such convolution.
    """

    def __init__(self, enter: int, leave: int, source: int, time: int) -> None:
        super().__init__()
        self.norm = SourceNorm(enter, source)
        self.up = Upsampling(enter, leave)
        self.past = Past(leave, time) if time else None

    def forward(self, x: Tensor, source: Tensor | None, memory: Memory | None) -> Tensor:
        """Return the features."""
        x = self.up(silu(self.norm(x, source)))  # B c T 2h 2w
        return x if self.past is None else self.past(x, memory)


class Encoding(nn.Module):
    """A stage of the encoder: normalised, halved, then what is past: (B, C, T, H, W) -> half the size.

    Args:
        enter: channels C.
        leave: channels of the result.
        time: frames that the convolution over time sees; 0 for no such convolution.
        first: whether pixels enter, which are not normalised.
    """

    def __init__(self, enter: int, leave: int, time: int, *, first: bool = False) -> None:
        super().__init__()
        self.norm = None if first else ChannelNorm(enter)
        self.down = SpaceConv(enter, leave, 4, 2)
        self.past = Past(leave, time) if time else None

    def forward(self, x: Tensor, memory: Memory | None = None) -> Tensor:
        """Return the features."""
        x = self.down(x if self.norm is None else silu(self.norm(x)))  # B c T h/2 w/2
        return x if self.past is None else self.past(x, memory)


class Residual(nn.Module):
    """x + space(silu(norm(x))), then what is past: (B, C, T, H, W) -> the same.

    Args:
        channels: C.
        time: frames that the convolution over time sees.
    """

    def __init__(self, channels: int, time: int) -> None:
        super().__init__()
        self.norm = ChannelNorm(channels)
        self.space = SpaceConv(channels, channels)
        self.past = Past(channels, time)

    def forward(self, x: Tensor, memory: Memory | None = None) -> Tensor:
        """Return the features; with a memory, of a video that goes on."""
        return self.past(x + self.space(silu(self.norm(x))), memory)  # type: ignore[no-any-return]


class Translator(nn.Module):
    """Source (B, Cs, T, H, W) -> clips (B, C, T, H, W) of any length, height and width.

    Args:
        clip: shape of the clips in training.
        net: sizes of the network.
        enter: channels Cs of the source, in [-1, 1].
    """

    def __init__(self, clip: ClipConfig, net: TranslatorConfig, enter: int) -> None:
        super().__init__()
        self.levels = Levels(clip.channels)
        guide = enter if net.modulate else 0
        resnet = net.shape == "resnet"
        count = RESIDUAL_STAGES if resnet else stages(clip.height, clip.width)
        self.unit = 2**count
        widths = channels(net.width, count + resnet)[::-1]  # from the outermost stage inwards
        self.stem = SpaceConv(enter, widths[0], 7) if resnet else None
        pairs = list(zip(widths if resnet else [enter, *widths], widths[1:] if resnet else widths, strict=False))
        self.encoder = nn.ModuleList(
            Encoding(a, b, 0 if resnet or not i else net.time, first=not resnet and i == 0)
            for i, (a, b) in enumerate(pairs)
        )
        self.blocks = nn.ModuleList(Residual(widths[-1], net.time) for _ in range(net.blocks if resnet else 1))
        inwards = widths[::-1]
        self.decoder = nn.ModuleList()
        for i, (a, b) in enumerate(zip(inwards, [*inwards[1:], clip.channels], strict=False)):
            if resnet and i == count:
                break
            both = a if resnet or i == 0 else 2 * a  # with the shortcut
            inner = not resnet and i < count - 2  # at a quarter of the size or less
            self.decoder.append(Decoding(both, b, guide, net.time if inner else 0))
        self.leave = SpaceConv(widths[0], clip.channels, 7) if resnet else None
        self.norm = SourceNorm(widths[0], guide) if resnet else None
        self.straight = SpaceConv(enter, clip.channels)  # the shortcut at full size, of the source itself
        nn.init.zeros_(self.straight.conv.weight)

    def forward(self, source: Tensor, memory: Memory | None = None) -> Tensor:
        """Translate; with a memory, the frames that follow those before."""
        height, width = source.shape[3:]
        given = x = fitted(source, self.unit)
        sources: list[Tensor] = []
        if self.norm is not None or self.modulated:
            sources = pyramid(x, len(self.encoder))  # from the full size inwards
        x = x if self.stem is None else self.stem(x)
        shortcuts: list[Tensor] = []
        for encoding in self.encoder:
            x = encoding(x, memory)
            shortcuts.append(x)
        for block in self.blocks:
            x = block(x, memory)
        for number, decoding in enumerate(self.decoder):
            if number and self.stem is None:
                x = torch.cat([x, shortcuts[-1 - number]], dim=1)  # B 2c T h w
            x = decoding(x, sources[-1 - number] if sources else None, memory)
        if self.leave is not None and self.norm is not None:
            x = self.leave(silu(self.norm(x, sources[0])))  # B C T H W
        made = (x + self.straight(given))[..., :height, :width]
        return self.levels.pixels(made.to(source.dtype))

    @property
    def modulated(self) -> bool:
        """Whether the source scales and shifts the decoder's features."""
        first = self.decoder[0]
        assert isinstance(first, Decoding)
        return first.norm.look is not None


def stages(height: int, width: int) -> int:
    """Return how often a U-Net halves a picture: until its shorter side is about 4 to 7 pixels."""
    return max(1, (min(height, width) // 4).bit_length() - 1)


def fitted(clips: Tensor, unit: int) -> Tensor:
    """Pad clips (B, C, T, H, W) to a multiple of `unit`, the far edges repeated; laid out with the channels last."""
    height, width = clips.shape[3:]
    frames = clips.transpose(1, 2).flatten(0, 1)  # (B T) C H W
    frames = pad(frames, (0, -width % unit, 0, -height % unit), mode="replicate")
    frames = frames.contiguous(memory_format=torch.channels_last)
    return rearrange(frames, "(b t) c h w -> b c t h w", t=clips.shape[2])


def pyramid(source: Tensor, count: int) -> list[Tensor]:
    """Return a source (B, C, T, H, W) at its own size, and `count` times averaged down by two."""
    found = [source]
    for _ in range(count):
        frames = avg_pool2d(found[-1].transpose(1, 2).flatten(0, 1), 2)  # (B T) C h/2 w/2
        found.append(rearrange(frames, "(b t) c h w -> b c t h w", t=source.shape[2]))
    return found
