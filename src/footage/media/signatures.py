"""Near-duplicates among clips: the same footage saved again in another size, quality or container.

A signature is a clip's frames at equal fractions of its length, each averaged over a small grid of
cells. Two clips are near-duplicates when their motion (the signature less the mean picture) differs
by little compared with the motion itself, and their mean pictures are alike: two people walking
past the same wall differ by as much as they move, while a copy differs by coding noise only.
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
ALIKE = 0.18
"""Two clips move alike when the mean squared difference of their motion is below this part of either's motion."""
SAME_PLACE = 0.995
"""Two clips show the same place when their mean grey pictures correlate by at least this, whatever the contrast."""
SAME_COLOURS = 0.97
"""The same for the mean pictures with their colours, which coding blurs more."""
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


def find_duplicates(
    signatures: npt.NDArray[np.uint8], seconds: Sequence[float], *, linked: bool = False
) -> list[Duplicate]:
    """Find the clips that repeat an earlier one.

    A cheap comparison of coarse signatures by matrix products picks the candidates. It misses
    none, since averaging can only make a mean squared difference smaller. These are compared in full.

    Args:
        signatures: uint8 (N, MOMENTS, g, g', C), in order of preference.
        seconds: length of each clip, N of them.
        linked: clips that repeat one that repeats another count too: such links join all that are like each other.

    Returns:
        one entry for each clip to leave out; the clip that it points to is kept. If linked, the links, none of which
        follows from others.
    """
    count = len(signatures)
    lengths = np.asarray(seconds, dtype=np.float64)
    allowed = np.empty(count, dtype=np.float32)
    blocks = []
    for start in range(0, count, BLOCK):
        motion = _motion(signatures[start : start + BLOCK])
        allowed[start : start + BLOCK] = np.maximum(ALIKE * (motion**2).reshape(len(motion), -1).mean(axis=1), NOISE)
        cells = (_cells(size, COARSE) for size in motion.shape[2:4])
        # Weighted so that the mean square of what is averaged in blocks stays a bound of the whole's.
        rows, columns = (m / np.sqrt(m.sum(axis=1, keepdims=True) * m.shape[1] / len(m)) for m in cells)
        small = np.einsum("ah,nmhwc,bw->nmabc", rows, motion, columns, optimize=True)
        blocks.append(np.asarray(small.reshape(len(motion), -1), dtype=np.float32))  # (n, M, a, b, C) → (n, K)
    coarse = np.concatenate(blocks) if blocks else np.zeros((0, 1), dtype=np.float32)
    squares = np.einsum("nk,nk->n", coarse, coarse)
    found: list[Duplicate] = []
    group, repeats = np.arange(count), np.zeros(count, dtype=bool)
    for start in range(0, count, BLOCK):
        later = slice(start, start + BLOCK)
        for before in range(0, start + 1, BLOCK):
            earlier = slice(before, before + BLOCK)
            sums = squares[later, None] + squares[None, earlier]  # (n, m)
            distance = (sums - 2 * (coarse[later] @ coarse[earlier].T)) / coarse.shape[1]
            limit = np.minimum(allowed[later, None], allowed[None, earlier])
            close = distance <= limit + 1e-5 * sums / coarse.shape[1]  # float32 rounds
            longer = np.maximum(lengths[later, None], lengths[None, earlier])
            close &= np.abs(lengths[later, None] - lengths[None, earlier]) <= LENGTH[0] + LENGTH[1] * longer
            if before == start:
                close = np.tril(close, -1)  # those before a clip
            for i, j in (np.argwhere(close) + np.array([start, before])).tolist():
                apart = group[i] != group[j] and (linked or not (repeats[i] or repeats[j]))
                if apart and same_motion(signatures[i], signatures[j], float(min(allowed[i], allowed[j]))):
                    found.append(Duplicate(i, j))
                    repeats[i], group[group == group[i]] = True, group[j]
    return sorted(found, key=lambda pair: (pair.clip, pair.of))


def _motion(signatures: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Return what changes within clips (n, M, g, g', C): the signatures less each clip's mean picture."""
    values = signatures.astype(np.float32)
    return np.asarray(values - values.mean(axis=1, keepdims=True), dtype=np.float32)


def same_motion(a: Signature, b: Signature, limit: float) -> bool:
    """Compare two clips in full: how they move, and where."""
    motion = _motion(np.stack([a, b]))
    if float(((motion[0] - motion[1]) ** 2).mean()) > limit:
        return False
    pictures = [mark.mean(axis=0) for mark in (a, b)]  # (M, g, g', C) → (g, g', C)
    if max(float(picture.std()) for picture in pictures) < 2:  # two even walls
        return abs(float(a.mean()) - float(b.mean())) < 10
    greys = [picture.mean(axis=2) for picture in pictures]  # → (g, g')
    return _correlation(*greys) >= SAME_PLACE and _correlation(*pictures) >= SAME_COLOURS


def _correlation(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> float:
    """Return the correlation of two pictures, 0 where one is flat."""
    a, b = a - a.mean(), b - b.mean()
    return float((a * b).sum() / (np.sqrt((a * a).sum() * (b * b).sum()) + 1e-6))
