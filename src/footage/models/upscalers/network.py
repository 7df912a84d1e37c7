"""The upscaler: a window of low-resolution frames becomes one of high resolution.

All convolutions work at the low resolution (Shi et al. 2016); what they give is added to the bicubic enlargement of the
frame. The frames of the window enter side by side as channels. Nothing is carried from frame to frame, hence no drift.
"""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn.functional import interpolate, leaky_relu, pixel_shuffle

from footage.models.layers import LEAK
from footage.models.upscalers import UpscalerConfig


class Upscaler(nn.Module):
    """Frames (B, C, T, h, w) -> those with a whole window, enlarged: (B, C, T - past - future, s h, s w)."""

    def __init__(self, channels: int, net: UpscalerConfig) -> None:
        super().__init__()
        self.scale, self.past, self.future = net.scale, net.past, net.future
        self.window = net.past + 1 + net.future
        self.enter = nn.Conv2d(self.window * channels, net.width, 3, padding=1)
        self.blocks = nn.ModuleList(UpscalerBlock(net.width) for _ in range(net.blocks))
        self.leave = nn.Conv2d(net.width, channels * net.scale**2, 3, padding=1)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)  # type: ignore[arg-type]
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @property
    def reach(self) -> int:
        """How many low-resolution pixels away something can change a pixel: one for each convolution of 3×3."""
        return 2 + 2 * len(self.blocks)  # the bicubic kernel reaches 2 pixels, beside them

    def forward(self, frames: Tensor) -> Tensor:
        """Return the enlarged frames, linear, around [-1, 1], in the precision of what was given."""
        batch, count = len(frames), frames.shape[2] - self.window + 1
        assert count > 0, f"{frames.shape[2]} frames have no window of {self.window}"
        windows = torch.cat([frames[:, :, i : i + count] for i in range(self.window)], dim=1)  # B (w C) t h w
        pictures = windows.transpose(1, 2).flatten(0, 1).contiguous(memory_format=torch.channels_last)  # (B t) w C h w
        x = self.enter(pictures)
        for block in self.blocks:
            x = block(x)
        detail = pixel_shuffle(self.leave(leaky_relu(x, LEAK)), self.scale)  # (B t) C s h s w
        middle = frames[:, :, self.past : self.past + count].transpose(1, 2).flatten(0, 1)  # (B t) C h w
        made = enlarged(middle, self.scale).add_(detail)  # in its precision
        return rearrange(made, "(b t) c h w -> b c t h w", b=batch)


class UpscalerBlock(nn.Module):
    """x + conv(act(conv(act(x)))), of 3×3; the last convolution begins small: (N, c, h, w) -> the same."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = (nn.Conv2d(width, width, 3, padding=1) for _ in range(2))
        with torch.no_grad():
            self.second.weight *= 0.1

    def forward(self, x: Tensor) -> Tensor:
        """Return the features."""
        return x + self.second(leaky_relu(self.first(leaky_relu(x, LEAK)), LEAK))  # type: ignore[no-any-return]


def enlarged(pictures: Tensor, scale: int) -> Tensor:
    """Enlarge pictures (N, C, h, w) by the bicubic kernel: (N, C, s h, s w); in float32 under autocast too."""
    size = (pictures.shape[2] * scale, pictures.shape[3] * scale)
    with torch.autocast(
        pictures.device.type, enabled=False
    ):  # antialiasing changes nothing here but the speed: 2.6 to 1
        return interpolate(pictures, size, mode="bicubic", align_corners=False, antialias=True)


def whole_windows(frames: Tensor, past: int, future: int) -> Tensor:
    """Repeat the first and the last frame, (B, C, T, h, w), so that each frame has a whole window."""
    first, last = frames[:, :, :1], frames[:, :, -1:]
    return torch.cat([*[first] * past, frames, *[last] * future], dim=2)
