"""Folders of clips for the tests of evaluation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from footage.data.clips import BuiltInClips
from footage.data.store import Frames


def shapes(count: int, first: int = 0, frames: int = 12, side: int = 32) -> list[Frames]:
    """Clips of the built-in shapes, from one number on."""
    source = BuiltInClips("shapes", height=side, width=side, channels=3)
    return [source.read(first + number, 0, frames) for number in range(count)]


def write_pictures(folder: Path, clips: list[Frames], names: list[str] | None = None) -> Path:
    """Write clips as folders of numbered pictures."""
    for number, clip in enumerate(clips):
        inside = folder / (names[number] if names else f"clip{number:03d}")
        inside.mkdir(parents=True)
        for t, frame in enumerate(clip):
            Image.fromarray(np.ascontiguousarray(frame)).save(inside / f"{t:03d}.png")
    return folder
