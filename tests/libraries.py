"""Small libraries for the tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from footage.library.library import Library
from footage.media.encode import write_clip
from tests.clips import moving

WEIGHTS = "ab" * 32


def save_clip(path: Path, picture: int = 0, frames: int = 8, side: int = 32, **metadata: object) -> Path:
    """Write a tiny clip; with metadata, as a model writes it."""
    made = {"made_with": "footage 0", "model": "tiny", "weights_sha256": WEIGHTS, **metadata} if metadata else {}
    write_clip(path, [np.stack(moving(frames, (side, side), picture))], fps=12, metadata=made)
    return path


def filled(tmp_path: Path, count: int = 4) -> Library:
    """Return a library of `count` clips, from seeds 0, 1 and so on."""
    library = Library(tmp_path / "library")
    for seed in range(count):
        library.add(save_clip(tmp_path / f"clip {seed}.mp4", seed, frames=6 + seed, seed=seed, label="dog+cat"))
    return library
