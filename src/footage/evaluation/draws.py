"""The clips drawn anew, the same way for every figure: what confidence intervals are made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from footage.evaluation.results import Interval
from footage.metrics.frechet import Gaussian, gaussian
from footage.metrics.resampling import LEVEL, centred, counts
from footage.metrics.rows import Rows, blocks

HOW = "clips of both sides drawn anew {} times with replacement; quantiles of the figure around their mean"
"""How an interval was found."""
HOW_ONE = "clips drawn anew {} times with replacement; quantiles of the figure around their mean"
"""The same, for figures of one side."""


@dataclass(frozen=True)
class Draws:
    """How often each clip of a set is drawn, draw by draw."""

    weights: npt.NDArray[np.uint8]
    """(R, N); each row sums to N."""

    @classmethod
    def of(cls, clips: int, number: int, seed: int, side: int) -> Draws:
        """Draw `clips` clips `number` times; sides are told apart, networks are not."""
        weights = np.empty((number, clips), dtype=np.uint8)
        for draw in range(number):
            weights[draw] = counts(clips, draw, seed, side)
        return cls(weights)

    def __len__(self) -> int:
        return len(self.weights)

    def gaussian(self, rows: Rows, draw: int, each: int = 1) -> Gaussian:
        """Return mean and covariance of the rows of a draw; a clip has `each` rows."""
        return gaussian(rows, torch.from_numpy(np.repeat(self.weights[draw], each)))

    def means(self, rows: Rows, columns: slice = slice(None), square: bool = False) -> tuple[Tensor, Tensor]:
        """Return the mean of some columns (C,), of a row a clip, and that of each draw (R, C), float64.

        Args:
            rows: (N, D).
            columns: which.
            square: of the values' squares.
        """
        whole, drawn = torch.zeros(0), torch.zeros(0)
        for first, block in blocks(rows):
            values = block[:, columns].square() if square else block[:, columns]
            weights = torch.from_numpy(self.weights[:, first : first + len(block)]).double()
            if first == 0:
                whole, drawn = values.sum(dim=0), weights @ values
            else:
                whole, drawn = whole + values.sum(dim=0), drawn + weights @ values
        return whole / rows.shape[0], drawn / rows.shape[0]


def interval(value: float, drawn: Sequence[float], how: str = HOW) -> Interval | None:
    """Return the interval of a value from its draws; None where there are too few, or one is not finite."""
    if len(drawn) < 2 or not np.isfinite([value, *drawn]).all():
        return None
    return Interval(*centred(value, drawn), LEVEL, how.format(len(drawn)))


def of_means(
    function: Callable[[Tensor, Tensor], float | None],
    made: tuple[Tensor, Tensor],
    real: tuple[Tensor, Tensor],
) -> tuple[float | None, Interval | None]:
    """Return a function of both sides' means, and its interval; see `Draws.means`."""
    value = function(made[0], real[0])
    drawn = [function(a, b) for a, b in zip(made[1], real[1], strict=True)]
    known = [one for one in drawn if one is not None]
    return value, None if value is None or len(known) < len(drawn) else interval(value, known)
