"""Vectors of clips that need no training and no weights: small copies of their pixels, and random features."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

SMALL = 16
"""Longest side of the small copies."""
SHOTS = 4
"""Frames of the small copies."""
SEEDS = (0, 1, 2, 3, 4)
"""Seeds of the random networks that a figure is averaged over."""
WIDTHS = (16, 32, 48)
"""Channels of their stages; each halves the frames' size, all but the first halve the number of frames."""
BIAS = 0.3
"""Standard deviation of the biases, so that channels bend at different levels of brightness."""
LEAST = (2, 8, 8)
"""Least frames, height and width of a clip that they see."""


def small_shape(frames: int, height: int, width: int, channels: int) -> tuple[int, int, int, int]:
    """Return the shape (T, H, W, C) of the small copy of a clip."""
    scale = min(1.0, SMALL / max(height, width))
    return min(SHOTS, frames), max(1, round(height * scale)), max(1, round(width * scale)), channels


def small_copies(frames: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return small copies of clips uint8 (B, T, H, W, C) as vectors (B, t h w C), uint8.

    Frames are evenly spaced from first to last; their pixels are averaged over areas.
    """
    batch, length, height, width, channels = frames.shape
    shots, high, wide, _ = small_shape(length, height, width, channels)
    chosen = np.linspace(0, length - 1, shots).round().astype(int)
    pictures = torch.from_numpy(np.ascontiguousarray(frames[:, chosen])).flatten(0, 1).permute(0, 3, 1, 2).float()
    if (high, wide) != (height, width):
        pictures = F.adaptive_avg_pool2d(pictures, (high, wide))
    levels = pictures.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)  # BT C H W -> BT H W C
    return levels.reshape(batch, -1).numpy()


class RandomFeatures(nn.Module):
    """Features of clips from convolutions that nobody trained, the same for the same seed on every machine.

    A stage is a 3×3 convolution in space, ReLU, a convolution over 3 frames in time, ReLU, started so that the variance
    stays as it is (He et al. 2015). Every other filter in time has mean zero: it answers to change alone, without
    which random features hardly see motion (docs/LOG.md). The filters are not symmetric in time. After each stage the
    mean and the standard deviation of each channel over time and space are features.

    Args:
        channels: 1 for grey, which is taken as RGB with three equal channels, or 3.
        seed: of the filters.
    """

    def __init__(self, channels: int = 3, seed: int = 0) -> None:
        super().__init__()
        assert channels in (1, 3), f"channels is {channels}, not 1 or 3"
        self.channels, self.size = channels, 2 * sum(WIDTHS)
        rng = torch.Generator().manual_seed(seed)
        inside = 3
        for number, width in enumerate(WIDTHS):
            space = torch.randn(width, inside, 3, 3, generator=rng) * (2 / (inside * 9)) ** 0.5
            time = torch.randn(width, width, 3, generator=rng) * (2 / (width * 3)) ** 0.5
            # Of three independent values less their mean, two thirds of the variance are left.
            time[::2] = (time[::2] - time[::2].mean(dim=2, keepdim=True)) * 1.5**0.5
            bias = torch.randn(2, width, generator=rng) * BIAS
            bias[1, ::2] = 0.0  # no answer without change
            self.register_buffer(f"space{number}", space)
            self.register_buffer(f"time{number}", time[..., None, None].contiguous())  # O I 3 -> O I 3 1 1
            self.register_buffer(f"bias{number}", bias)
            inside = width

    @torch.no_grad()
    def forward(self, clips: Tensor) -> Tensor:
        """Return features (B, D) of clips (B, C, T, H, W) in [-1, 1], T at least 2, H and W at least 8."""
        assert clips.ndim == 5 and clips.shape[1] == self.channels, f"clips are {tuple(clips.shape)}"
        assert all(n >= least for n, least in zip(clips.shape[2:], LEAST, strict=True)), f"{tuple(clips.shape)}"
        x, features = clips.float().expand(-1, 3, -1, -1, -1), []
        for number in range(len(WIDTHS)):
            space, time, bias = (getattr(self, f"{name}{number}") for name in ("space", "time", "bias"))
            x = x.transpose(1, 2).flatten(0, 1)  # B C T H W -> BT C H W
            x = F.relu(F.conv2d(x, space, bias[0], stride=2, padding=1))
            x = x.view(len(clips), -1, *x.shape[1:]).transpose(1, 2)  # BT C H W -> B C T H W
            x = F.pad(x, (0, 0, 0, 0, 1, 1), mode="replicate")  # a still stays still at its ends
            x = F.relu(F.conv3d(x, time, bias[1], stride=(2 if number else 1, 1, 1)))
            features += [x.mean(dim=(2, 3, 4)), x.std(dim=(2, 3, 4), unbiased=False)]
        return torch.cat(features, dim=1)
