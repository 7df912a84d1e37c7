"""From clips to the low-resolution ones that an upscaler is given: shrunk, and spoilt as real ones are.

In the order in which a camera and its file do it: blur, shrinking by one of several kernels, noise, then a codec or
halved chroma alone. All frames of a clip are spoilt in the same way.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from einops import rearrange
from torch import Tensor
from torch.nn.functional import avg_pool2d, conv2d, interpolate, pad

from footage.config import DegradeConfig
from footage.media import encode
from footage.models.base import Batch

KERNELS = ("bicubic", "bilinear", "area")
"""Kernels that spoilt clips are shrunk by."""
HABITS = ("none", "chroma", "jpeg", "h264", "h264")
"""What is done at last, each as often; H.264 twice as often."""


@dataclass(frozen=True)
class Degradation:
    """How one clip is spoilt."""

    kernel: str = "bicubic"
    """By which kernel it is shrunk: one of `KERNELS`."""
    blur: float = 0.0
    """Standard deviation of the blur before, in pixels of the small picture."""
    noise: float = 0.0
    """Standard deviation of the noise, for pixels in [-1, 1]."""
    habit: str = "none"
    """What is done at last: one of `HABITS`."""
    quality: float = 0.0
    """From the least to the greatest loss of a codec."""


CLEAN = Degradation()
"""Shrunk by the bicubic kernel, and no more."""


def draw(config: DegradeConfig, batch: Batch) -> list[Degradation]:
    """Draw how each clip of a batch is spoilt, the same whatever the number of processes."""
    damages = []
    for chance, kernel, blurred, blur, noisy, noise, habit, quality in batch.uniform(8).tolist():
        if chance >= config.probability:
            damages.append(CLEAN)
            continue
        damages.append(
            Degradation(
                kernel=KERNELS[int(kernel * len(KERNELS))],
                blur=config.blur * blur if blurred < 0.5 else 0.0,
                noise=2 * config.noise * noise if noisy < 0.5 else 0.0,
                habit=HABITS[int(habit * len(HABITS))],
                quality=quality,
            )
        )
    return damages


def degrade(
    clips: Tensor, scale: int, config: DegradeConfig, damages: list[Degradation], noise: Tensor | None
) -> Tensor:
    """Make low-resolution clips, (B, C, T, H, W) in [-1, 1] -> (B, C, T, H / scale, W / scale), of 256 levels.

    Args:
        clips: of high resolution.
        scale: how many times as small they become.
        config: how good and bad the codecs are.
        damages: how each clip is spoilt.
        noise: standard normal numbers of the shape of the result; None where no clip has noise.
    """
    rows: list[Tensor] = []
    for clip, damage in zip(clips, damages, strict=True):
        frames = clip.transpose(0, 1)  # T C H W
        if damage.blur:
            frames = blurred(frames, damage.blur * scale)
        rows.append(shrunk(frames, scale, damage.kernel).transpose(0, 1))  # C T h w
    small = torch.stack(rows)
    if noise is not None:
        spread = torch.tensor([damage.noise for damage in damages]).to(small).view(-1, 1, 1, 1, 1)
        small = small + spread * noise.to(small)
    small = levelled(small)
    for number, damage in enumerate(damages):
        if damage.habit == "chroma":
            small[number] = halved_chroma(small[number])
        elif damage.habit in ("h264", "jpeg"):
            small[number] = _packed(small[number], config, damage)
    return small


def levelled(clips: Tensor) -> Tensor:
    """Round pixels in [-1, 1] to the 256 levels that files have."""
    return clips.add(1).mul(127.5).round().clamp(0, 255).div(127.5).sub(1)


def shrunk(frames: Tensor, scale: int, kernel: str = "bicubic") -> Tensor:
    """Shrink pictures (N, C, H, W), without aliasing: (N, C, H / scale, W / scale); gradients pass."""
    size = (frames.shape[2] // scale, frames.shape[3] // scale)
    with torch.autocast(frames.device.type, enabled=False):
        if kernel == "area":
            return avg_pool2d(frames, scale)
        return interpolate(frames, size, mode=kernel, antialias=True, align_corners=False)


# exp(-r^2 / (2 sigma^2)), cut off at 3 sigma, along both axes one after the other.
def blurred(frames: Tensor, sigma: float) -> Tensor:
    """Blur pictures by a Gaussian, the edge repeated: (N, C, H, W) -> the same."""
    reach = max(1, math.ceil(3 * sigma))
    places = torch.arange(-reach, reach + 1, device=frames.device, dtype=frames.dtype)
    line = torch.exp(-places.square() / (2 * sigma**2))
    line = line / line.sum()
    flat = frames.flatten(0, 1).unsqueeze(1)  # (N C) 1 H W
    with torch.autocast(frames.device.type, enabled=False):
        flat = conv2d(pad(flat, (reach, reach, 0, 0), mode="replicate"), line.view(1, 1, 1, -1))
        flat = conv2d(pad(flat, (0, 0, reach, reach), mode="replicate"), line.view(1, 1, -1, 1))
    return flat.view_as(frames)


def _packed(clip: Tensor, config: DegradeConfig, damage: Degradation) -> Tensor:
    """Return what a codec leaves of a clip, (C, T, h, w) -> the same."""
    levels = clip.add(1).mul(127.5).round().to(torch.uint8).cpu()
    frames = rearrange(levels, "c t h w -> t h w c").numpy()
    colours = np.repeat(frames, 3, axis=3) if frames.shape[3] == 1 else frames
    if damage.habit == "h264":
        left = encode.h264(colours, round(config.crf_low + damage.quality * (config.crf_high - config.crf_low)))
    else:
        quality = config.jpeg_high - damage.quality * (config.jpeg_high - config.jpeg_low)
        left = encode.jpeg(colours, round(quality))
    decoded = torch.from_numpy(left[..., : frames.shape[3]].copy()).to(clip)
    return rearrange(decoded, "t h w c -> c t h w").div(127.5).sub(1)


# Luma y = .299 r + .587 g + .114 b stays (BT.601); the rest is averaged over squares of two pixels, and enlarged again.
def halved_chroma(clip: Tensor) -> Tensor:
    """Halve the resolution of a clip's colour, (C, T, h, w) -> the same; grey stays as it is."""
    if clip.shape[0] == 1:
        return clip
    weights = torch.tensor([0.299, 0.587, 0.114]).to(clip).view(3, 1, 1, 1)
    luma = (clip * weights).sum(dim=0, keepdim=True)
    chroma = (clip - luma).transpose(0, 1)  # T C h w
    small = avg_pool2d(chroma, 2, ceil_mode=True)
    wide = interpolate(small, scale_factor=2, mode="bilinear", align_corners=False)
    wide = wide[..., : clip.shape[2], : clip.shape[3]]
    return levelled((luma + wide.transpose(0, 1)).clamp(-1, 1))
