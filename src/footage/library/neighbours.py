"""Which of many vectors have another one near them, exactly, without comparing all of them in full.

Vectors of length 1 are turned so that their first numbers hold most of them (principal axes without centring). With a
the first numbers of a vector and b the others, a cosine is a·a' + b·b' and at most a·a' + |b||b'| (Cauchy and Schwarz):
a product of short vectors (a, |b|). Pairs for which this bound is too small cannot be near; the others are compared in
full. Vectors that have a neighbour already are not compared with each other any more, and clips of other lengths never.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

BLOCK = 1024
"""Vectors that are compared with as many others at once."""
SAMPLE = 4096
"""Vectors that the axes are found from."""
KEPT = (16, 32, 64, 96)
"""Numbers of a vector that may be kept; else all are."""
WRONG = 0.0005
"""Share of pairs that the bound may let pass without need, for a number to be kept."""
SLACK = 1e-4
"""What rounding may take from a bound."""
FEW = 0.02
"""Share of pairs up to which each is compared by itself."""
PAIRS = 1 << 15
"""Pairs that are compared by themselves at once."""


class Crowd:
    """Vectors in the order of their clips' lengths, and which of them have a neighbour.

    Args:
        matrix: all vectors, (M, width), of length 1 or 0.
        rows: those that count, (N,), in order of length.
        reach: for each of them, the place of the first clip that is too long to be like it, (N,).
        least: cosine from which on two are near.
    """

    def __init__(self, matrix: Vector, rows: Numbers, reach: Numbers, least: float) -> None:
        self._matrix, self._rows, self._reach, self._least = matrix, rows, reach, least
        self.short = self._sketch()
        self.found: Mask = np.zeros(len(rows), dtype=bool)

    def compare(self) -> None:
        """Find all that have a neighbour."""
        count = len(self._rows)
        for first in range(0, count, BLOCK):
            rows = np.arange(first, min(first + BLOCK, count))
            for begin in range(first, int(self._reach[rows[-1]]), BLOCK):
                columns = np.arange(begin, min(begin + BLOCK, count))
                known = self.found[rows]
                self._look(rows[~known], columns)
                self._look(rows[known], columns[~self.found[columns]])

    def _look(self, rows: Numbers, columns: Numbers) -> None:
        """Compare clips at some places with those at others that come after them."""
        if not len(rows) or not len(columns):
            return
        near = self.short[rows] @ self.short[columns].T >= self._least - SLACK  # (n, m)
        if columns[0] <= rows[-1]:
            near &= columns > rows[:, None]
        if columns[-1] >= self._reach[rows[0]]:
            near &= columns < self._reach[rows][:, None]
        many = np.count_nonzero(near)
        if many > FEW * near.size:
            near &= self._full(rows) @ self._full(columns).T >= self._least
            self.found[rows[near.any(axis=1)]] = True
            self.found[columns[near.any(axis=0)]] = True
        elif many:
            above, beside = np.divmod(np.flatnonzero(near), len(columns))  # ten times as fast as nonzero of rows
            for begin in range(0, many, PAIRS):
                part = slice(begin, begin + PAIRS)
                i, j = rows[above[part]], columns[beside[part]]
                cosines = np.einsum("nk,nk->n", self._full(i), self._full(j))
                self.found[i[cosines >= self._least]] = True
                self.found[j[cosines >= self._least]] = True

    def _full(self, places: Numbers) -> Vector:
        return np.asarray(self._matrix[self._rows[places]], dtype=np.float32)

    def _sketch(self) -> Vector:
        """Return short vectors (N, k + 1), whose products are no less than the cosines."""
        count = len(self._rows)
        chosen = np.arange(0, count, max(1, count // SAMPLE))
        sample = self._full(np.random.Generator(np.random.Philox(key=[0, 0])).permutation(chosen))
        _, axes = np.linalg.eigh((sample.T @ sample).astype(np.float64))
        axes = np.ascontiguousarray(axes[:, ::-1], dtype=np.float32)  # the largest first
        a, b = sample[: len(sample) // 2][:512], sample[len(sample) // 2 :][:512]
        truly = (a @ b.T >= self._least).mean() if len(a) else 0.0
        for kept in (*(k for k in KEPT if k < sample.shape[1]), sample.shape[1]):
            turned = axes[:, :kept]
            passed = (_short(a, turned) @ _short(b, turned).T >= self._least - SLACK).mean() if len(a) else 0.0
            if passed - truly <= WRONG:
                break
        parts = [_short(self._full(np.arange(i, min(i + BLOCK, count))), turned) for i in range(0, count, BLOCK)]
        return np.concatenate(parts)


def _short(vectors: Vector, axes: Vector) -> Vector:
    """Return the first numbers along the axes, and the length of the rest: (N, width), (width, k) -> (N, k + 1)."""
    first = vectors @ axes
    rest = np.einsum("nk,nk->n", vectors, vectors) - np.einsum("nk,nk->n", first, first)
    return np.concatenate([first, np.sqrt(np.maximum(rest, 0))[:, None]], axis=1)


def near(
    matrix: Vector, ids: Numbers, least: float, lengths: npt.NDArray[np.float64], allowed: tuple[float, float]
) -> Mask:
    """Return which clips are near another one of about their length, (N,).

    Args:
        matrix: all vectors, (M, width), of length 1, or zeros for none.
        ids: rows of the clips, (N,).
        least: cosine from which on two are near.
        lengths: of the clips, (N,).
        allowed: by how much lengths may differ, and by which part of the longer one.
    """
    found = np.zeros(len(ids), dtype=bool)
    if len(ids) < 2:
        return found
    order = np.argsort(lengths, kind="stable")
    ends = (lengths[order] + allowed[0]) / (1 - allowed[1])
    crowd = Crowd(matrix, ids[order], np.searchsorted(lengths[order], ends * (1 + 1e-9), side="right"), least)
    crowd.compare()
    found[order] = crowd.found
    return found
