"""Sizes: as people write them (1280x720, 720p, 2x), how a picture becomes one of another size; what voxels mean."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from footage.errors import ConfigError, MediaError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Fit = Literal["crop", "letterbox", "stretch"]
FITS: tuple[Fit, ...] = ("crop", "letterbox", "stretch")
"""crop: cut off what sticks out, centred; letterbox: black bars; stretch: neither, the shape changes."""
MOST_PASSES = 3
"""How often a picture is enlarged one time after the other, at most."""
BICUBIC = 1.5
"""How much of the way is left to the bicubic kernel, at most, rather than to another enlargement."""
MOST_SIDE = 16_384
"""Longest side of a picture that is written, in pixels."""


MOST_LEVEL = 65_535
"""The highest level: the window's upper end."""
NOTICE = "synthetic, made by footage: not a medical device, not for diagnosis"
"""What stands in every volume that is written."""
ORIENTATION = "SPL"
"""Where the axes T, H and W lead: to the head (superior), the back (posterior), the patient's left."""


@dataclass(frozen=True)
class VolumeScale:
    """What the levels of volumes mean, and how far apart their voxels lie."""

    slope: float
    """A real value is `intercept` + `slope` × level, levels going from 0 to 65,535."""
    intercept: float
    unit: str
    """`HU` for computed tomography, `BQML` and the like for others; empty where none is told."""
    spacing: tuple[float, ...]
    """Millimetres between slices, rows and columns."""
    orientation: str = ORIENTATION
    """Where T, H and W lead."""

    def __post_init__(self) -> None:
        if len(self.spacing) != 3 or min(self.slope, *self.spacing) <= 0:
            raise ConfigError(f"a volume has slope {self.slope} and spacing {self.spacing}", "give three steps above 0")

    @staticmethod
    def of_window(low: float, high: float, unit: str, spacing: Sequence[float]) -> VolumeScale:
        return VolumeScale((high - low) / MOST_LEVEL, low, unit, tuple(float(step) for step in spacing))

    def levels(self, values: npt.NDArray[np.float32]) -> npt.NDArray[np.uint16]:
        """Return real values as levels; what is outside of the window becomes its nearer end."""
        import numpy as np

        scaled = (values.astype(np.float64) - self.intercept) / self.slope
        return np.rint(scaled).clip(0, MOST_LEVEL).astype(np.uint16)

    def values(self, levels: npt.NDArray[np.uint16]) -> npt.NDArray[np.float32]:
        """Return levels as real values."""
        import numpy as np

        return (levels.astype(np.float64) * self.slope + self.intercept).astype(np.float32)

    @property
    def window(self) -> tuple[float, float]:
        """The real values of the lowest and the highest level."""
        return self.intercept, self.intercept + self.slope * MOST_LEVEL


@dataclass(frozen=True)
class Orientation:
    """The way from a stored picture to the displayed one, of which there are eight: a turn, then a mirror."""

    turn: int = 0
    """Degrees clockwise: 0, 90, 180 or 270."""
    mirrored: bool = False
    """Whether left and right are exchanged after the turn."""

    @staticmethod
    def of_matrix(a: float, b: float, c: float, d: float) -> Orientation:
        """Return the nearest orientation to a display matrix: a stored point (p, q) is shown at (ap + cq, bp + dq).

        That is the matrix of track headers (ISO/IEC 14496-12, 8.3.2), x to the right and y downwards.
        """
        if abs(b) + abs(c) > abs(a) + abs(d):  # rows become columns; then perhaps flips
            turn, flips = (270 if b < 0 else 90), 1 + (c < 0) + (b < 0)
        else:
            turn, flips = (180 if d < 0 else 0), (a < 0) + (d < 0)
        return Orientation(turn, flips % 2 == 1)

    @property
    def sideways(self) -> bool:
        """Whether height and width are exchanged."""
        return self.turn in (90, 270)

    def upright(self, picture: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return a stored picture (H, W, C) as it is displayed; a sideways one becomes (W, H, C)."""
        import numpy as np

        turned = np.rot90(picture, -self.turn // 90) if self.turn else picture
        return turned[:, ::-1] if self.mirrored else turned


AS_STORED = Orientation()


@dataclass(frozen=True)
class ResizePlan:
    """Scale the stored picture to (width, height), bring it upright, then crop or pad it to the target."""

    width: int
    """Width to scale the stored picture to, in pixels, before it is brought upright."""
    height: int
    """Height to scale the stored picture to, in pixels, before it is brought upright."""
    orientation: Orientation
    target: tuple[int, int]
    """(height, width) of the result."""

    def finish(self, picture: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Bring a scaled picture (H, W, C) upright, crop and pad it to the target size."""
        import numpy as np

        picture = self.orientation.upright(picture)
        for axis, size in enumerate(self.target):
            extra = picture.shape[axis] - size
            if extra > 0:  # H or W shrinks to the target, the middle stays
                picture = np.take(picture, range(extra // 2, extra // 2 + size), axis=axis)
            elif extra < 0:  # H or W grows to the target, black on both sides
                bars = [(0, 0)] * 3
                bars[axis] = (-extra // 2, -extra - (-extra // 2))
                picture = np.pad(picture, bars)
        return np.ascontiguousarray(picture)


def plan_resize(
    displayed: tuple[float, float], orientation: Orientation, target: tuple[int, int], fit: Fit
) -> ResizePlan:
    """Plan the way from a picture to the target.

    Args:
        displayed: (width, height) as displayed, in square pixels.
        orientation: the way from the stored to the displayed picture.
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
    return ResizePlan(*((height, width) if orientation.sideways else (width, height)), orientation, target)


@dataclass(frozen=True)
class Size:
    """Height and width of a picture, in pixels."""

    height: int
    width: int

    def __str__(self) -> str:
        return f"{self.width}×{self.height}"


@dataclass(frozen=True)
class EnlargementPlan:
    """The way from a picture of one size to a larger one: enlarged once or several times, then brought to the size."""

    shrinks: tuple[Size, ...]
    """What a picture is brought to before each enlargement; the first is its own size."""
    picture: Size
    """What the enlarged picture is brought to at last."""
    frame: Size
    """The size asked for: what sticks out is cut off, and what is missing is black."""
    scale: int
    """How many times as high and wide each enlargement makes it."""

    @property
    def passes(self) -> int:
        return len(self.shrinks)


def parse_size(text: str | None, shown: Size, scale: int) -> Size:
    """Return the size that is meant.

    Args:
        text: `1280x720` (width and height), `720p` (the height, the width following), `2x` (so many times as large);
            None for `scale` times as large.
        shown: the picture as it is displayed, in square pixels.
        scale: of the upscaler.

    Raises:
        ConfigError: it cannot be read, or is out of range.
    """
    plain = f"{scale}x" if text is None else text.strip().lower().replace("×", "x")
    if match := re.fullmatch(r"(\d+)x(\d+)", plain):
        size = Size(int(match[2]), int(match[1]))
    elif match := re.fullmatch(r"(\d+)p", plain):
        height = int(match[1])
        size = Size(height, max(2, 2 * round(height * shown.width / shown.height / 2)))  # an even width
    elif match := re.fullmatch(r"(\d+(?:\.\d*)?)x", plain):
        size = Size(round(shown.height * float(match[1])), round(shown.width * float(match[1])))
    else:
        raise ConfigError(f'size is "{text}"', "give a size such as 1280x720, 720p or 2x")
    if not 16 <= min(size.height, size.width) <= max(size.height, size.width) <= MOST_SIDE:
        raise ConfigError(f"size is {size}", f"give sides of 16 to {MOST_SIDE} pixels")
    return size


def fitted(shown: Size, frame: Size, fit: Fit) -> Size:
    """Return what a picture is brought to, to stand in a frame: it sticks out of it, or leaves bars, as `fit` says."""
    if fit == "stretch":
        return frame
    ratios = (frame.height / shown.height, frame.width / shown.width)
    factor = max(ratios) if fit == "crop" else min(ratios)
    return Size(round(shown.height * factor), round(shown.width * factor))


def plan_enlargement(stored: Size, shown: Size, frame: Size, scale: int, fit: Fit) -> EnlargementPlan:
    """Plan the way of a picture to a larger size.

    Before the last of several enlargements, it is shrunk to what that one needs; before the only one it is not, so that
    no detail is lost.

    Args:
        stored: the picture as it is stored, upright.
        shown: the same in square pixels.
        frame: the size that it is to have.
        scale: of the upscaler.
        fit: how a picture of another shape is fitted in.

    Raises:
        MediaError: it is as large already, or far too small.
    """
    picture = fitted(shown, frame, fit)
    grows = max(picture.height / stored.height, picture.width / stored.width)
    if grows <= 1:
        raise MediaError(
            f"the clip is {shown} already, and {frame} was asked for",
            "give a larger --size, such as 2x, or leave it be",
        )
    passes = max(1, math.ceil(math.log(grows / BICUBIC) / math.log(scale) - 1e-6))
    if passes > MOST_PASSES:
        raise MediaError(
            f"from {shown} to {frame} is {grows:.0f} times as large, {MOST_PASSES} enlargements make "
            f"{scale**MOST_PASSES * BICUBIC:.0f} times",
            "give a smaller --size",
        )
    shrinks = [stored]
    for number in range(1, passes):
        least = scale ** (passes - number)
        have = Size(shrinks[-1].height * scale, shrinks[-1].width * scale)
        need = Size(math.ceil(picture.height / least), math.ceil(picture.width / least))
        shrinks.append(Size(min(have.height, need.height), min(have.width, need.width)))
    return EnlargementPlan(tuple(shrinks), picture, frame, scale)
