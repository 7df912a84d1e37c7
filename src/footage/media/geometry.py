"""How a picture of any size and shape becomes one of the wanted size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Fit = Literal["crop", "letterbox", "stretch"]
FITS: tuple[Fit, ...] = ("crop", "letterbox", "stretch")
"""crop: cut off what sticks out, centred; letterbox: black bars; stretch: neither, the shape changes."""


@dataclass(frozen=True)
class Plan:
    """Scale the stored picture to (width, height), turn it, then crop or pad it to the target."""

    width: int
    """Width to scale the stored picture to, in pixels, before the turn."""
    height: int
    """Height to scale the stored picture to, in pixels, before the turn."""
    turn: int
    """Degrees clockwise."""
    target: tuple[int, int]
    """(height, width) of the result."""

    def finish(self, picture: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Turn, crop and pad a scaled picture (H, W, C) to the target size."""
        if self.turn:
            picture = np.rot90(picture, -self.turn // 90)  # 90° and 270° swap H and W
        for axis, size in enumerate(self.target):
            extra = picture.shape[axis] - size
            if extra > 0:  # H or W shrinks to the target, the middle stays
                picture = np.take(picture, range(extra // 2, extra // 2 + size), axis=axis)
            elif extra < 0:  # H or W grows to the target, black on both sides
                bars = [(0, 0)] * 3
                bars[axis] = (-extra // 2, -extra - (-extra // 2))
                picture = np.pad(picture, bars)
        return np.ascontiguousarray(picture)


def plan(displayed: tuple[float, float], turn: int, target: tuple[int, int], fit: Fit) -> Plan:
    """Plan the way from a picture to the target.

    Args:
        displayed: (width, height) as displayed, in square pixels.
        turn: degrees clockwise from the stored to the displayed picture.
        target: (height, width) of the result.
        fit: one of `FITS`.
    """
    height, width = target
    if fit != "stretch":
        choose = max if fit == "crop" else min
        scale = choose(target[1] / displayed[0], target[0] / displayed[1])
        width, height = (max(1, round(side * scale)) for side in displayed)
        # Rounding must not leave a line of the target uncovered, nor overfill it.
        width, height = (choose(width, target[1]), choose(height, target[0])) if fit == "crop" else (width, height)
    return Plan(*((height, width) if turn in (90, 270) else (width, height)), turn=turn, target=target)
