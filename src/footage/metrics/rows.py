"""Feature vectors that may lie on a disk: read in blocks, so that memory does not grow with their number."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from footage.errors import ConfigError

BLOCK = 1024
"""Rows that are read, and compared with as many others, at once."""


class Rows(Protocol):
    """Vectors (N, D): a NumPy array, or a file."""

    @property
    def shape(self) -> tuple[int, ...]:
        """N and D."""

    def __getitem__(self, part: Any, /) -> npt.NDArray[Any]:
        """Return some successive rows."""


def blocks(rows: Rows, size: int = BLOCK) -> Iterator[tuple[int, Tensor]]:
    """Yield the number of a block's first row, and the block, (at most `size`, D), float64.

    Raises:
        ConfigError: a value is not finite.
    """
    for first in range(0, rows.shape[0], size):
        block = torch.from_numpy(np.asarray(rows[first : first + size], dtype=np.float64))
        if not bool(torch.isfinite(block).all()):
            bad = first + int((~torch.isfinite(block)).any(dim=1).nonzero()[0])
            raise ConfigError(f"the features of row {bad} are not finite", "look for damaged clips, or other weights")
        yield first, block


def check_pair(a: Rows, b: Rows, least: int = 1) -> None:
    """Refuse two sets of vectors that cannot be compared.

    Raises:
        ConfigError: their lengths differ, or there are too few.
    """
    if len(a.shape) != 2 or len(b.shape) != 2 or a.shape[1] != b.shape[1]:
        raise ConfigError(
            f"features of shape {tuple(a.shape)} and {tuple(b.shape)} are compared", "use one feature net"
        )
    if min(a.shape[0], b.shape[0]) < least:
        raise ConfigError(f"there are {a.shape[0]} and {b.shape[0]} feature vectors", f"give at least {least} of each")


def squared_distances(x: Tensor, y: Tensor) -> Tensor:
    """Return |x_i - y_j|^2 of x (N, D) and y (M, D), (N, M), never negative."""
    squares = x.square().sum(dim=1)[:, None] + y.square().sum(dim=1)
    return torch.addmm(squares, x, y.T, alpha=-2).clamp_(min=0)


class Chosen:
    """Some rows of others, in a given order.

    Args:
        rows: all of them.
        numbers: which, (M,).
    """

    def __init__(self, rows: Rows, numbers: npt.NDArray[np.int64]) -> None:
        self._rows, self._numbers = rows, numbers
        self.shape = (len(numbers), rows.shape[1])

    def __getitem__(self, part: slice) -> npt.NDArray[Any]:
        """Return some successive rows; those that are asked for are read in the blocks that hold them."""
        wanted = self._numbers[part]
        found: npt.NDArray[Any] | None = None
        for block in np.unique(wanted // BLOCK):
            inside = wanted // BLOCK == block
            read = self._rows[int(block) * BLOCK : (int(block) + 1) * BLOCK]
            if found is None:
                found = np.empty((len(wanted), self.shape[1]), dtype=read.dtype)
            found[inside] = read[wanted[inside] - block * BLOCK]
        return self._rows[0:0] if found is None else found
