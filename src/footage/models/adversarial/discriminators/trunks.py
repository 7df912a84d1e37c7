"""The convolutional parts of the critics: from what they see to features."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, leaky_relu

from footage.config import ClipConfig
from footage.errors import ConfigError
from footage.models.flow import horn_schunck
from footage.models.layers import LEAK, SPACE, SPACE_TIME, SPACE_VALID, channels, doublings


class ConvTrunk(nn.Module):
    """Strided convolutions, in three dimensions or, for what has no time, in two: (N, C, ...) -> (N, size, *volume).

    Args:
        enter: channels of what is seen.
        shape: its frames (None for no time), height and width.
        width: channels of the first stage; they double, up to 512.
        patch: leave the innermost stage out, so that each place of the volume stands for a patch.
        valid: let time shrink by kernels of 4 without padding, and not by strides.

    Raises:
        ConfigError: there are too few frames for kernels without padding.
    """

    def __init__(
        self, enter: int, shape: tuple[int | None, int, int], width: int, *, patch: bool = False, valid: bool = False
    ) -> None:
        super().__init__()
        frames, height, wide = shape
        count = doublings(height, wide)
        if patch and count > 1:
            count -= 1
        if valid and frames is not None and frames < 3 * count + 1:
            raise ConfigError(
                f"{frames} frames end before the critic's last layer: its kernels have no padding",
                f"give --clip.frames {3 * count + 1 - frames} more, or the critic's time halve",
            )
        widths = channels(width, count)[::-1]
        stages: list[nn.Module] = []
        for a, b in zip([enter, *widths[:-1]], widths, strict=True):
            if frames is None:
                stages.append(nn.Conv2d(a, b, 4, 2, 1))
                continue
            stage = SPACE_VALID if valid else SPACE_TIME if frames >= 2 else SPACE
            stages.append(nn.Conv3d(a, b, stage.kernel, stage.stride, stage.padding))
            frames = frames - 3 if valid else max(1, frames // 2)
        self.stages = nn.ModuleList(stages)
        self.size = widths[-1]
        inner = (height >> count, wide >> count)
        self.volume: tuple[int, ...] = inner if frames is None else (frames, *inner)

    def forward(self, x: Tensor) -> Tensor:
        """Return the features."""
        return self.stage_features(x)[-1]

    def stage_features(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the features after every stage, the outermost first."""
        found = []
        for stage in self.stages:
            x = leaky_relu(stage(x), LEAK)  # N 2c t/2 h/2 w/2
            found.append(x)
        return tuple(found)


class TwoStreamTrunk(nn.Module):
    """A net of single frames and a net of stacked optical flow, fused late (Simonyan and Zisserman 2014).

    Every frame goes through the first net and the features are averaged; the flow of all frames is one picture with
    2 (T - 1) channels. Clip (N, C, T, H, W) -> features (N, size).

    Args:
        clip: shape of the clips.
        width: channels of the first stage of each net.
        beside: how many of the channels, the last ones, are what clips were made from: the flow is the clip's own.
    """

    volume: tuple[int, ...] = ()

    def __init__(self, clip: ClipConfig, width: int, beside: int = 0) -> None:
        super().__init__()
        self.own = clip.channels - beside
        self.frames = ConvTrunk(clip.channels, (None, clip.height, clip.width), width)
        factor = -(-min(clip.height, clip.width) // 32)
        self.flow_size = (max(8, clip.height // factor // 8 * 8), max(8, clip.width // factor // 8 * 8))
        self.flow = ConvTrunk(2 * (clip.frames - 1), (None, *self.flow_size), width)
        self.size = self.frames.size + self.flow.size

    def forward(self, x: Tensor, pixels: Tensor) -> Tensor:
        """Return the features of a clip, of which `pixels` are the levels in [-1, 1]: the flow is taken from those."""
        pictures = self.frames(x.transpose(1, 2).flatten(0, 1))  # (N T) c h w
        appearance = pictures.mean(dim=(2, 3)).unflatten(0, (len(x), -1)).mean(dim=1)  # N c
        flow = adaptive_avg_pool2d(horn_schunck(pixels[:, : self.own]).flatten(1, 2), self.flow_size)  # N 2(T-1) h w
        motion = self.flow(flow).mean(dim=(2, 3))  # N c
        return torch.cat([appearance, motion], dim=1)
