"""Factorised (2+1)D convolutions that never look ahead: space frame by frame, then time over frames that are past.

A network of these gives a video chunk by chunk exactly as it gives it at once: each convolution over time keeps the
last frames that it has seen in a `Memory` that the caller holds.
"""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn.functional import silu

Memory = dict[nn.Module, Tensor]
"""The last frames that each convolution over time has seen; empty at the beginning of a video."""


class SpaceConv(nn.Module):
    """A convolution of every frame by itself: (B, C, T, H, W) -> (B, out, T, H / stride, W / stride).

    Args:
        enter: channels C.
        leave: channels of the result.
        kernel: size, odd, or 2 * stride.
        stride: of height and width.
    """

    def __init__(self, enter: int, leave: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(enter, leave, kernel, stride, padding=(kernel - 1) // 2)

    def forward(self, x: Tensor) -> Tensor:
        """Return the features."""
        frames: Tensor = self.conv(x.transpose(1, 2).flatten(0, 1))  # (B T) c h w
        return rearrange(frames, "(b t) c h w -> b c t h w", t=x.shape[2])


class TimeConv(nn.Module):
    """A causal convolution over time: (B, C, T, H, W) -> (B, out, T / stride, H, W); T is a multiple of the stride.

    Before a video's first frame, that frame is thought to have stood for ever.

    Args:
        enter: channels C.
        leave: channels of the result.
        kernel: frames that it sees, all of them past but the last `stride`.
        stride: of time.
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
    """x + f(x), f being norm, silu, space, norm, silu, time: (B, C, T, H, W) -> the same.

    The last layer begins at zero, so that a deep network begins as a shallow one.

    Args:
        channels: C.
        time: frames that the convolution over time sees; 1 for none but the present one.
    """

    def __init__(self, channels: int, time: int = 3) -> None:
        super().__init__()
        self.norm1, self.norm2 = FeatureNorm(channels), FeatureNorm(channels)
        self.space = SpaceConv(channels, channels)
        self.time = TimeConv(channels, channels, time)
        nn.init.zeros_(self.time.conv.weight)

    def forward(self, x: Tensor, memory: Memory | None = None) -> Tensor:
        """Return the features; with a memory, of a video that goes on."""
        inner = self.space(silu(self.norm1(x)))
        return x + self.time(silu(self.norm2(inner)), memory)  # type: ignore[no-any-return]
