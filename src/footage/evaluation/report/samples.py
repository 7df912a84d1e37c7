"""Looping samples: clips side by side in one small video."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from footage.data.store import Frames
from footage.media.encode import chunked, write_clip
from footage.media.sheets import tile

SHOWN = 12
"""Clips of a side that are shown."""
COLUMNS = 4
"""Of them beside each other."""
SIDE = 64
"""Clips with a shorter side than this are enlarged by whole pixels."""
LEAST = 2.0
"""Seconds that a video lasts, at least: short clips come several times, so that players do not stop between."""
GAP = 2
"""Pixels between clips."""
BETWEEN = 128
"""Their level."""


def grid(clips: Sequence[Frames]) -> Frames:
    """Put clips uint8 (T, H, W, C) of one size beside and below each other: (T, H', W', C), H' and W' even.

    Even sizes are what every browser plays.
    """
    height, width = clips[0].shape[1:3]
    scale = max(1, -(-SIDE // min(height, width)))
    framed = []
    for clip in clips:
        large = clip.repeat(scale, axis=1).repeat(scale, axis=2)  # T H W C -> T sH sW C
        framed.append(np.pad(large, ((0, 0), (0, GAP), (0, GAP), (0, 0)), constant_values=BETWEEN))
    framed += [np.full_like(framed[0], BETWEEN)] * (-len(framed) % min(COLUMNS, len(framed)))
    found = tile(framed, min(COLUMNS, len(clips)))[:, :-GAP, :-GAP]
    odd = [(0, found.shape[axis] % 2) for axis in (1, 2)]
    return np.pad(found, ((0, 0), *odd, (0, 0)), mode="edge")


def write_samples(path: Path, clips: Sequence[Frames], fps: float) -> None:
    """Write a looping video of clips side by side, atomically.

    Args:
        path: an .mp4 file.
        clips: uint8 (T, H, W, C) each, of one size.
        fps: frames a second.
    """
    shown = grid(clips)
    times = max(1, round(LEAST * fps / len(shown)))
    whole = np.concatenate([shown] * times)
    write_clip(path, chunked(whole), fps=fps, metadata={})
