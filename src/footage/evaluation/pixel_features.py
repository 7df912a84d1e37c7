"""What can be said of a clip without a network: one vector of closed-form figures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

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


class PixelViews:
    """What closed forms are computed from: clips (B, C, T, H, W) in [-1, 1], T at least 2, and what several share."""

    def __init__(self, clips: Tensor) -> None:
        self.clips = clips
        self.small = reduced(clips)
        self.correlation = autocorrelation(self.small)

    @cached_property
    def tracks(self) -> tuple[Tensor, Tensor]:
        """Histograms of directions and of lengths along tracks; clips of two frames have no tracks."""
        if self.clips.shape[2] > 2:
            return histograms(horn_schunck(self.small, side=SIDE))
        return torch.zeros(len(self.clips), DIRECTIONS), torch.zeros(len(self.clips), LENGTHS)


@dataclass(frozen=True)
class PixelFigure:
    """One closed form of a clip: its columns in the vector, and the ratio of means that evaluations give of it."""

    compute: Callable[[PixelViews], Tensor]
    """A row for each clip, (B,) or (B, size)."""
    size: Callable[[int], int] = lambda frames: 1
    """Number of columns, for clips of so many frames."""
    ratio: str = ""
    """What the ratio of both sides' means is called, made : real; empty where there is none."""
    metric: Literal["motion", "pictures"] = "motion"
    """The metric that the ratio belongs to."""


PIXEL_FIGURES: dict[str, PixelFigure] = {
    "energy": PixelFigure(lambda views: motion_energies(views.clips), ratio="motion"),
    "contrast": PixelFigure(
        lambda views: views.clips.flatten(3).std(dim=3, unbiased=False).mean(dim=(1, 2)),
        ratio="contrast",
        metric="pictures",
    ),
    "sharpness": PixelFigure(lambda views: sharpness(views.clips), ratio="sharpness", metric="pictures"),
    "flicker": PixelFigure(lambda views: flicker(views.clips), ratio="flicker"),
    "seam": PixelFigure(lambda views: seam_error(views.clips)),
    "jump": PixelFigure(lambda views: jump(views.clips)),
    "periodicity": PixelFigure(lambda views: periodicity(views.correlation)),
    "autocorrelation": PixelFigure(lambda views: views.correlation, lambda frames: frames),
    "resemblance": PixelFigure(lambda views: resemblance(views.small), lambda frames: frames),
    "power": PixelFigure(lambda views: temporal_power(views.small), lambda frames: frames // 2),
    "directions": PixelFigure(lambda views: views.tracks[0], lambda frames: DIRECTIONS),
    "lengths": PixelFigure(lambda views: views.tracks[1], lambda frames: LENGTHS),
}
"""Every closed form, in the order of its columns. A new ratio of means needs no more than its entry here."""


@dataclass(frozen=True)
class PixelColumns:
    """Where in the vector of a clip of some frames each figure stands."""

    frames: int
    """T."""

    @property
    def sizes(self) -> dict[str, int]:
        """How many columns each figure has."""
        return {name: figure.size(self.frames) for name, figure in PIXEL_FIGURES.items()}

    @property
    def size(self) -> int:
        """Length of the vector."""
        return sum(self.sizes.values())

    def place(self, name: str) -> slice:
        """Return the columns of a figure."""
        first = 0
        for other, size in self.sizes.items():
            if other == name:
                return slice(first, first + size)
            first += size
        raise KeyError(name)

    @property
    def digest(self) -> str:
        """Identifies the columns and how they are computed."""
        return files.json_digest([self.sizes, VERSION, SIDE])


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
    views = PixelViews(from_uint8(frames))
    parts = [figure.compute(views).double().view(len(frames), -1) for figure in PIXEL_FIGURES.values()]
    return torch.cat(parts, dim=1).numpy()


def glance(frames: Frames) -> npt.NDArray[np.float64]:
    """Return by how many levels pixels differ over the whole clip, and at one place over time, at most: (B, 2).

    The first is 0 for one plain colour, the second for a still. Clips are uint8 (B, T, H, W, C).
    """
    high, low = frames.max(axis=1), frames.min(axis=1)  # B T H W C -> B H W C
    over_time = (high - low).max(axis=(1, 2, 3))
    levels = high.max(axis=(1, 2)).astype(np.int16) - low.min(axis=(1, 2))  # channel by channel: a colour is not grey
    return np.stack([levels.max(axis=1), over_time], axis=1).astype(np.float64)
