"""What can be said of a clip without a network: one vector of closed-form figures, and a small copy of its pixels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, avg_pool2d

from footage import files
from footage.data.store import Frames
from footage.generation.rollout import from_uint8
from footage.metrics.image_quality import sharpness
from footage.metrics.motion import (
    DIRECTIONS,
    LENGTHS,
    autocorrelation,
    flicker,
    histograms,
    horn_schunck,
    jump,
    motion_energies,
    periodicity,
    resemblance,
    seam_error,
    temporal_power,
)

VERSION = 1
"""Counted up when any column changes its meaning: what was stored before is then made again."""
SIDE = 32
"""Shorter side of the frames on which what is slow is computed."""
SMALL = 16
"""Longest side of the small copies."""
SHOTS = 4
"""Frames of the small copies."""


@dataclass(frozen=True)
class PixelColumns:
    """Where in the vector of a clip of some frames each figure stands."""

    frames: int

    @property
    def sizes(self) -> Mapping[str, int]:
        return {
            "energy": 1,
            "contrast": 1,
            "sharpness": 1,
            "flicker": 1,
            "seam": 1,
            "jump": 1,
            "periodicity": 1,
            "autocorrelation": self.frames,
            "resemblance": self.frames,
            "power": self.frames // 2,
            "directions": DIRECTIONS,
            "lengths": LENGTHS,
        }

    @property
    def size(self) -> int:
        return sum(self.sizes.values())

    def place(self, name: str) -> slice:
        first = 0
        for other, size in self.sizes.items():
            if other == name:
                return slice(first, first + size)
            first += size
        raise KeyError(name)

    @property
    def digest(self) -> str:
        return files.json_digest([dict(self.sizes), VERSION, SIDE])


def reduced(clips: Tensor) -> Tensor:
    """Return clips (B, C, T, H, W) averaged over squares until the shorter side is at most SIDE."""
    height, width = clips.shape[3:]
    factor = -(-min(height, width) // SIDE)
    if factor == 1:
        return clips
    flat = clips.flatten(0, 2).unsqueeze(1)  # B C T H W -> BCT 1 H W
    flat = avg_pool2d(flat, factor, ceil_mode=True)
    return flat.view(*clips.shape[:3], *flat.shape[2:])


def pixel_features(frames: Frames) -> npt.NDArray[np.float64]:
    """Return the vectors (B, D) of clips uint8 (B, T, H, W, C), T at least 2; see `PixelColumns`."""
    clips = from_uint8(frames)
    small = reduced(clips)
    correlation = autocorrelation(small)
    if clips.shape[2] > 2:
        directions, lengths = histograms(horn_schunck(small, side=SIDE))
    else:
        directions, lengths = torch.zeros(len(clips), DIRECTIONS), torch.zeros(len(clips), LENGTHS)
    features = {
        "energy": motion_energies(clips),
        "contrast": clips.flatten(3).std(dim=3, unbiased=False).mean(dim=(1, 2)),
        "sharpness": sharpness(clips),
        "flicker": flicker(clips),
        "seam": seam_error(clips),
        "jump": jump(clips),
        "periodicity": periodicity(correlation),
        "autocorrelation": correlation,
        "resemblance": resemblance(small),
        "power": temporal_power(small),
        "directions": directions,
        "lengths": lengths,
    }
    columns = PixelColumns(clips.shape[2])
    parts = [features[name].double().view(len(clips), size) for name, size in columns.sizes.items()]
    return torch.cat(parts, dim=1).numpy()


def glance(frames: Frames) -> npt.NDArray[np.float64]:
    """Return by how many levels pixels differ over the whole clip, and at one place over time, at most: (B, 2).

    The first is 0 for one plain colour, the second for a still. Clips are uint8 (B, T, H, W, C).
    """
    high, low = frames.max(axis=1), frames.min(axis=1)  # B T H W C -> B H W C
    over_time = (high - low).max(axis=(1, 2, 3))
    levels = high.max(axis=(1, 2)).astype(np.int16) - low.min(axis=(1, 2))  # channel by channel: a colour is not grey
    return np.stack([levels.max(axis=1), over_time], axis=1).astype(np.float64)


def small_shape(frames: int, height: int, width: int, channels: int) -> tuple[int, int, int, int]:
    """Return the shape (T, H, W, C) of the small copy of a clip."""
    scale = min(1.0, SMALL / max(height, width))
    return min(SHOTS, frames), max(1, round(height * scale)), max(1, round(width * scale)), channels


def small_copies(frames: Frames) -> npt.NDArray[np.uint8]:
    """Return small copies of clips uint8 (B, T, H, W, C) as vectors (B, t h w C), uint8.

    Frames are evenly spaced from first to last; their pixels are averaged over areas.
    """
    batch, length, height, width, channels = frames.shape
    shots, high, wide, _ = small_shape(length, height, width, channels)
    chosen = np.linspace(0, length - 1, shots).round().astype(int)
    pictures = torch.from_numpy(np.ascontiguousarray(frames[:, chosen])).flatten(0, 1).permute(0, 3, 1, 2).float()
    if (high, wide) != (height, width):
        pictures = adaptive_avg_pool2d(pictures, (high, wide))
    levels = pictures.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)  # BT C H W -> BT H W C
    return levels.reshape(batch, -1).numpy()
