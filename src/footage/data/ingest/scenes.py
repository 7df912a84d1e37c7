"""Hard cuts between scenes, found on the small decoded frames as they stream by."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from footage.media.signatures import pool

GRID = 16
"""Frames are compared as GRID × GRID cells, which forgives noise and small motion."""
REACH = 5
"""How many steps to each side a cut must stand out from."""
CLEAR = (15.0, 1.7)
"""A step of this many grey levels, this many times the largest around it, is a cut."""
FAINT = (6.0, 2.3)
"""The same between pictures that are alike, or within black bars."""
DARK = (2.0, 6.0, 0.5)
"""The same between dark pictures, which must also correlate less than the last figure."""


class CutDetector:
    """Find hard cuts in a stream of frames, in constant memory.

    The step between two neighbouring frames is the mean difference of their cells, in grey levels.
    At a cut a single step stands out from those around it; motion, a passing lorry or a flash make
    several large steps in a row. Dissolves and fades are not found.
    """

    def __init__(self) -> None:
        self._last: npt.NDArray[np.float32] | None = None
        self._steps: list[tuple[float, float]] = []  # (size, correlation) of the steps not yet dropped
        self._first = 1  # frame that the first of these steps leads to
        self._next = 1  # frame that is to be judged next
        self._seen = 0

    def add(self, frames: npt.NDArray[np.uint8]) -> list[int]:
        """Take the next frames (T, H, W, C); return the first frames of scenes, now certain, counted from 0."""
        cells = pool(frames, GRID)
        cells = cells.reshape(len(cells), -1)  # (T, g, g, C) → (T, g·g·C)
        for cell in cells:
            if self._last is not None:
                self._steps.append((float(np.abs(cell - self._last).mean()), _correlation(cell, self._last)))
            self._last = cell
        self._seen += len(frames)
        return self._judge(self._seen - REACH)

    def finish(self) -> list[int]:
        """Return the cuts among the last frames."""
        return self._judge(self._seen)

    def _judge(self, end: int) -> list[int]:
        cuts = []
        while self._next < end:
            at = self._next - self._first
            size, correlation = self._steps[at]
            around = [s for s, _ in self._steps[max(0, at - REACH) : at] + self._steps[at + 1 : at + 1 + REACH]]
            ratio = size / (max(around, default=0.0) + 0.5)
            if (
                (size >= CLEAR[0] and ratio >= CLEAR[1])
                or (size >= FAINT[0] and ratio >= FAINT[1])
                or (size >= DARK[0] and ratio >= DARK[1] and correlation < DARK[2])
            ):
                cuts.append(self._next)
            self._next += 1
        drop = max(0, self._next - REACH - self._first)
        self._steps = self._steps[drop:]
        self._first += drop
        return cuts


def _correlation(a: npt.NDArray[np.float32], b: npt.NDArray[np.float32]) -> float:
    """Return the correlation of two pictures, 0 where one is flat."""
    a, b = a - a.mean(), b - b.mean()
    return float((a @ b) / (np.sqrt((a @ a) * (b @ b)) + 1e-3))
