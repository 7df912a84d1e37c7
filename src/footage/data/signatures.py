"""Near-duplicates among clips: the same footage saved again in another size, quality or container.

A signature is a clip's frames at equal fractions of its length, each averaged over a small grid of
cells. Two clips are near-duplicates when their signatures differ by little compared with what
changes *within* each of them: two people walking past the same wall differ by as much as they
move, while a copy differs by coding noise only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

MOMENTS = 8
"""Frames in a signature."""
GRID = 12
"""Cells along each side of a frame in a signature."""
ALIKE = 0.06
"""Two clips are alike when their mean squared difference is below this part of what changes within each."""
NOISE = 0.6
"""A mean squared difference below this, in grey levels squared, is coding noise whatever the motion."""
LENGTH = (0.25, 0.05)
"""Copies differ in length by no more than this many seconds plus this part of it."""
COARSE = 4
"""Cells along each side in the first, cheap comparison."""
BLOCK = 2048
"""Clips compared at once."""

Signature = npt.NDArray[np.uint8]


def pool(frames: npt.NDArray[np.uint8], grid: int) -> npt.NDArray[np.float32]:
    """Average frames (T, H, W, C) over at most `grid` × `grid` cells: float32 (T, g, g', C)."""
    count, height, width, channels = frames.shape
    rows, columns = _cells(height, grid), _cells(width, grid)
    # Sums of bytes are exact in float32, so the result is the same on every machine.
    sums = rows @ frames.reshape(count, height, width * channels).astype(np.float32)  # → (T, g, W·C)
    sums = columns @ sums.reshape(count, len(rows), width, channels)  # → (T, g, g', C)
    area = rows.sum(axis=1)[:, None, None] * columns.sum(axis=1)[:, None]
    return np.asarray(sums / area, dtype=np.float32)


def _cells(size: int, grid: int) -> npt.NDArray[np.float32]:
    """Return which pixels of a line belong to which cell: ones and zeros (g, size)."""
    cell = np.arange(size) * min(grid, size) // size
    return np.asarray(cell == np.arange(min(grid, size))[:, None], dtype=np.float32)


def moments(frames: int) -> list[int]:
    """Return which frames of a clip its signature holds: the middles of equal parts."""
    return [int((i + 0.5) * frames / MOMENTS) for i in range(MOMENTS)]


def signature(chosen: npt.NDArray[np.uint8]) -> Signature:
    """Return the signature uint8 (MOMENTS, g, g', C) of the frames (MOMENTS, H, W, C) at `moments`."""
    return np.asarray(pool(chosen, GRID).round(), dtype=np.uint8)


@dataclass(frozen=True)
class Duplicate:
    """A clip that shows the same footage as an earlier one."""

    clip: int
    """Index of the clip."""
    of: int
    """Index of the earlier clip, which is kept."""


def find_duplicates(signatures: npt.NDArray[np.uint8], seconds: Sequence[float]) -> list[Duplicate]:
    """Find the clips that repeat an earlier one.

    A cheap comparison of coarse signatures by matrix products picks the candidates. It misses
    none, since averaging can only make a mean squared difference smaller. These are compared in full.

    Args:
        signatures: uint8 (N, MOMENTS, g, g', C), in order of preference.
        seconds: length of each clip, N of them.

    Returns:
        one entry for each clip to leave out; the clip that it points to is kept.
    """
    count = len(signatures)
    lengths = np.asarray(seconds, dtype=np.float64)
    coarse = np.empty((count, 0), dtype=np.float32)
    allowed = np.empty(count, dtype=np.float32)
    for start in range(0, count, BLOCK):
        block = signatures[start : start + BLOCK]
        small = pool(block.reshape(-1, *block.shape[2:]), COARSE)  # (n·M, g, g', C) → (n·M, c, c', C)
        small = small.reshape(len(block), -1)  # → (n, M·c·c'·C)
        if not coarse.size:
            coarse = np.empty((count, small.shape[1]), dtype=np.float32)
        coarse[start : start + BLOCK] = small
        change = block.astype(np.float32).var(axis=1).reshape(len(block), -1).mean(axis=1)
        allowed[start : start + BLOCK] = np.maximum(ALIKE * change, NOISE)
    squares = np.einsum("nk,nk->n", coarse, coarse)
    kept_of: dict[int, int] = {}
    for start in range(0, count, BLOCK):
        rows = slice(start, start + BLOCK)
        for before in range(0, start + 1, BLOCK):
            columns = slice(before, before + BLOCK)
            cross = coarse[rows] @ coarse[columns].T
            distance = (squares[rows, None] + squares[None, columns] - 2 * cross) / coarse.shape[1]
            limit = np.minimum(allowed[rows, None], allowed[None, columns])
            slack = 1e-6 * (squares[rows, None] + squares[None, columns]) / coarse.shape[1]  # float32 rounding
            later, earlier = np.nonzero(distance <= 1.6 * limit + slack + 1.0)  # cells differ in area by a pixel row
            for i, j in zip((later + start).tolist(), (earlier + before).tolist(), strict=True):
                if j < i and i not in kept_of and j not in kept_of and _same(signatures, lengths, allowed, i, j):
                    kept_of[i] = j
    return [Duplicate(clip, of) for clip, of in sorted(kept_of.items())]


def _same(
    signatures: npt.NDArray[np.uint8],
    lengths: npt.NDArray[np.float64],
    allowed: npt.NDArray[np.float32],
    i: int,
    j: int,
) -> bool:
    """Compare two clips in full."""
    longer = max(lengths[i], lengths[j])
    if abs(lengths[i] - lengths[j]) > LENGTH[0] + LENGTH[1] * longer:
        return False
    difference = signatures[i].astype(np.float32) - signatures[j].astype(np.float32)
    return bool((difference**2).mean() <= min(allowed[i], allowed[j]))
