"""Pictures that are too large to be worked on at once: in tiles, each with as much around it as it depends on."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor


def tiled(enlarge: Callable[[Tensor], Tensor], frames: Tensor, *, tile: int, reach: int, scale: int) -> Tensor:
    """Enlarge frames tile by tile: the same as at once, for what lies within reach is there; at the edges, nothing is.

    Args:
        enlarge: frames (B, C, T, h, w) -> (B, C, t, s h, s w).
        frames: of any size.
        tile: height and width of a tile, in pixels of the small frames.
        reach: how far away something can change a pixel, in pixels of the small frames.
        scale: how many times as large they become, s.
    """
    height, width = frames.shape[3:]
    if height <= tile and width <= tile:
        return enlarge(frames)
    whole: Tensor | None = None
    for (above, left), rows, columns in _boxes(height, width, tile, reach):
        made = enlarge(frames[..., rows, columns])
        high, wide = min(tile, height - above), min(tile, width - left)
        down, right = (above - rows.start) * scale, (left - columns.start) * scale
        inner = made[..., down : down + high * scale, right : right + wide * scale]
        if whole is None:
            whole = torch.empty((*made.shape[:3], height * scale, width * scale), dtype=made.dtype, device=made.device)
        place = (slice(above * scale, (above + high) * scale), slice(left * scale, (left + wide) * scale))
        whole[(..., *place)] = inner
    assert whole is not None
    return whole


def _boxes(height: int, width: int, tile: int, reach: int) -> Iterator[tuple[tuple[int, int], slice, slice]]:
    """Yield the corner of each tile, and the rows and columns that it depends on."""
    for above in range(0, height, tile):
        rows = slice(max(0, above - reach), min(height, above + tile + reach))
        for left in range(0, width, tile):
            yield (above, left), rows, slice(max(0, left - reach), min(width, left + tile + reach))
