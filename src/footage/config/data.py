"""Knobs of the data: how videos become a data set, and the shape of the clips."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from footage.config.checks import require
from footage.errors import nearest


@dataclass(frozen=True)
class IngestConfig:
    """How videos become a data set."""

    height: int = 64
    """Height of the clips, in pixels."""
    width: int = 64
    """Width of the clips, in pixels."""
    channels: Literal[1, 3] = 3
    """1 for grey, 3 for RGB."""
    fps: float | None = None
    """Frames in a second; None for the rate of the existing data set, or the most frequent among the sources."""
    fit: Literal["crop", "letterbox", "stretch"] = "crop"
    """How a picture of another shape is fitted in."""
    labels: str = "folder"
    """`folder` (the first folder below a source), `none`, or the path of a CSV or JSON table."""
    min_frames: int = 16
    """Shorter clips are left out."""
    heldout: float = 0.1
    """Part of the sources that is never trained on."""
    cuts: bool = True
    """Divide at scene cuts."""
    keep_static: bool = False
    """Keep clips in which nothing moves."""
    keep_duplicates: bool = False
    """Keep clips that repeat an earlier one."""
    digits: int = 2
    """Digits in a clip made from IDX images, 1 to 3; with 1 it is also the label."""
    sequences: int = 2000
    """Training clips made from an IDX file; a quarter as many are held out, from other images."""
    sequence_frames: int = 20
    """Frames in a clip made from IDX images."""
    seed: int = 0
    """Seed of the clips made from IDX images."""
    workers: int | None = None
    """Processes; None for one for each core, 0 to decode in this process."""
    name: str | None = None
    """Name of the data set; None for that of its folder."""

    def __post_init__(self) -> None:
        """Refuse what cannot be ingested."""
        require(self.channels in (1, 3), "channels", self.channels, "give 1 for grey or 3 for RGB")
        fits = ("crop", "letterbox", "stretch")
        require(self.fit in fits, "fit", self.fit, nearest(str(self.fit), fits))
        for knob, low, high in (
            ("height", 8, 2048),
            ("width", 8, 2048),
            ("fps", 0.1, 1000),
            ("min_frames", 1, 100_000),
            ("heldout", 0, 0.9),
            ("digits", 1, 3),
            ("sequences", 1, 10_000_000),
            ("sequence_frames", self.min_frames, 100_000),
            ("workers", 0, 1024),
        ):
            value = getattr(self, knob)
            ok = value is None or low <= value <= high  # NaN fails too
            require(ok, knob, value, f"give {low:g} to {high:g}")


@dataclass(frozen=True)
class ClipConfig:
    """The shape of the clips that a model is trained on and makes."""

    frames: int = 16
    """Number of frames, T."""
    height: int = 64
    """Height in pixels, H."""
    width: int = 64
    """Width in pixels, W."""
    channels: int = 3
    """1 for grey, 3 for RGB."""

    def __post_init__(self) -> None:
        """Refuse shapes that no network can make."""
        require(2 <= self.frames <= 4096, "clip.frames", self.frames, "give 2 to 4096 frames")
        require(8 <= self.height <= 4096, "clip.height", self.height, "give 8 to 4096 pixels")
        require(8 <= self.width <= 4096, "clip.width", self.width, "give 8 to 4096 pixels")
        require(self.channels in (1, 3), "clip.channels", self.channels, "give 1 for grey or 3 for RGB")
