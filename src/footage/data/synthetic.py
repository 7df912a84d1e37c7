"""Built-in data sets, drawn when asked for: every clip is a function of (seed, index) alone.

`shapes`: one coloured shape on black, moving straight and bouncing off the edges, with known factors.
`digits`: moving digits as in Moving MNIST (Srivastava et al. 2015), from drawn digits or from MNIST's IDX files.
"""

from __future__ import annotations

import colorsys
import functools
import gzip
import itertools
import math
import re
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from footage.data.store import Frames
from footage.media.probe import UnusableMedia

Floats = npt.NDArray[np.float64]

SHAPES = ("circle", "square", "triangle")
COLOURS = ("red", "yellow", "green", "cyan", "blue", "magenta")
"""The colours, evenly spaced hues."""
SPEEDS = (1 / 48, 1 / 24)
"""Frame to frame displacement, in fractions of the shorter side."""
DIRECTIONS = 8
"""Number of directions in which a clip can begin."""
DIGIT = 28
"""Side of a digit's image, in pixels."""
TRAINING_IMAGES = 0.8
"""The first part of the IDX images makes the training clips, the rest the held-out ones."""
MAX_IDX_BYTES = 2**31
"""A larger IDX file is refused."""


@dataclass(frozen=True)
class Factors:
    """The factors of a clip of `shapes`."""

    shape: str
    colour: str
    size: float
    """Half the side of the square of equal area, in fractions of the shorter side: 0.12 to 0.2."""
    direction: int
    """Direction of the first frame's motion, in eighths of a turn from the right, clockwise."""
    speed: float
    start: tuple[float, float]
    """Centre (y, x) in the first frame, as fractions of the room that the shape has."""


@functools.lru_cache(maxsize=16_384)
def draw_factors(seed: int, index: int) -> Factors:
    """Draw the factors of clip `index`, independently and evenly."""
    rng = np.random.Generator(np.random.Philox(key=[seed, index]))
    return Factors(
        shape=SHAPES[rng.integers(len(SHAPES))],
        colour=COLOURS[rng.integers(len(COLOURS))],
        size=float(rng.uniform(0.12, 0.2)),
        direction=int(rng.integers(DIRECTIONS)),
        speed=SPEEDS[rng.integers(len(SPEEDS))],
        start=(float(rng.random()), float(rng.random())),
    )


def bounce(position: Floats, room: float) -> Floats:
    """Fold positions on a line back into [0, room], as a ball between two walls."""
    if room <= 0:
        return np.zeros_like(position)
    folded = np.mod(position, 2 * room)
    return np.where(folded > room, 2 * room - folded, folded)


def render_shapes(factors: Factors, *, start: int, frames: int, height: int, width: int) -> Frames:
    """Draw frames `start` to `start + frames` of a clip: uint8 (T, H, W, 3), edges smoothed over one pixel."""
    short = min(height, width)
    half = factors.size * short
    reach = half * 1.6  # covers every shape
    angle = 2 * math.pi * factors.direction / DIRECTIONS
    times = np.arange(start, start + frames, dtype=np.float64)
    centres = []
    for size, place, heading in (
        (height, factors.start[0], math.sin(angle)),
        (width, factors.start[1], math.cos(angle)),
    ):
        room = size - 2 * reach
        centres.append(reach + bounce(place * room + times * heading * factors.speed * short, room) - 0.5)
    side = 2 * math.ceil(reach) + 2
    # The hues are so chosen that each channel is fully on or off.
    channels = np.array(colorsys.hsv_to_rgb(COLOURS.index(factors.colour) / len(COLOURS), 1.0, 1.0)).astype(np.uint8)
    tops, lefts = (np.floor(c - side / 2).astype(int) + 1 for c in centres)
    steps = np.arange(side)
    offset_y = (tops - centres[0])[:, None] + steps  # T side
    offset_x = (lefts - centres[1])[:, None] + steps
    y, x = offset_y[:, :, None], offset_x[:, None, :]
    # Signed distance to the edge, negative inside: T side side. All shapes have the area of a square of side 2 `half`.
    if factors.shape == "square":
        distance = np.maximum(np.abs(y), np.abs(x)) - half
    elif factors.shape == "circle":
        distance = np.hypot(y, x) - 2 * half / math.sqrt(math.pi)
    else:
        inradius = 2 * half / math.sqrt(3 * math.sqrt(3))
        distance = np.maximum(y, math.sqrt(3) / 2 * np.abs(x) - y / 2) - inradius
    inside = 0.5 - distance
    levels = np.rint(np.clip(inside, 0, 1) * 255).astype(np.uint8)
    patches = levels[..., None] * channels  # T side side 3
    edge = 2  # the empty border of a patch may reach this far out of the picture
    clip = np.zeros((frames, height + 2 * edge, width + 2 * edge, 3), dtype=np.uint8)
    for frame, patch, top, left in zip(clip, patches, (tops + edge).tolist(), (lefts + edge).tolist(), strict=True):
        frame[top : top + side, left : left + side] = patch
    return clip[:, edge:-edge, edge:-edge]


# fmt: off
_STROKES: tuple[tuple[tuple[tuple[float, float], ...], ...], ...] = (
    (
        ((0.5, 0.1), (0.28, 0.22), (0.22, 0.5), (0.28, 0.78), (0.5, 0.9), (0.72, 0.78), (0.78, 0.5), (0.72, 0.22),
         (0.5, 0.1)),
    ),
    (((0.34, 0.28), (0.54, 0.1), (0.54, 0.9)),),
    (((0.24, 0.28), (0.36, 0.12), (0.6, 0.1), (0.74, 0.26), (0.68, 0.46), (0.24, 0.9), (0.78, 0.9)),),
    (
        ((0.26, 0.14), (0.6, 0.1), (0.72, 0.26), (0.62, 0.44), (0.42, 0.48), (0.66, 0.54), (0.74, 0.72), (0.58, 0.9),
         (0.24, 0.86)),
    ),
    (((0.62, 0.9), (0.62, 0.1), (0.22, 0.62), (0.8, 0.62)),),
    (((0.74, 0.1), (0.3, 0.1), (0.28, 0.46), (0.56, 0.42), (0.74, 0.58), (0.7, 0.8), (0.5, 0.9), (0.24, 0.84)),),
    (
        ((0.68, 0.12), (0.42, 0.24), (0.26, 0.56), (0.32, 0.82), (0.54, 0.9), (0.72, 0.76), (0.66, 0.56), (0.46, 0.5),
         (0.28, 0.62)),
    ),
    (((0.22, 0.1), (0.78, 0.1), (0.44, 0.9)),),
    (
        ((0.5, 0.48), (0.3, 0.38), (0.32, 0.16), (0.5, 0.1), (0.68, 0.16), (0.7, 0.38), (0.5, 0.48)),
        ((0.5, 0.48), (0.26, 0.6), (0.28, 0.82), (0.5, 0.9), (0.72, 0.82), (0.74, 0.6), (0.5, 0.48)),
    ),
    (((0.72, 0.34), (0.54, 0.5), (0.34, 0.42), (0.3, 0.2), (0.5, 0.1), (0.7, 0.18), (0.72, 0.5), (0.58, 0.9)),),
)
# fmt: on
"""Strokes of the ten digits: polylines of (x, y) in the unit square."""


@functools.cache
def drawn_digits(styles: int = 16) -> tuple[Frames, npt.NDArray[np.int64]]:
    """Draw each digit in some styles of width, slant and size: uint8 (10 * styles, 28, 28), labels (10 * styles,)."""
    rng = np.random.Generator(np.random.Philox(key=[0, 28]))
    grid_y, grid_x = np.mgrid[0:DIGIT, 0:DIGIT] + 0.5
    images = np.zeros((10 * styles, DIGIT, DIGIT), dtype=np.uint8)
    for number in range(10 * styles):
        slant, width = rng.uniform(-0.25, 0.25), rng.uniform(1.0, 1.7)
        size_y, size_x = rng.uniform(18, 22), rng.uniform(15, 21)
        distance = np.full((DIGIT, DIGIT), np.inf)
        for stroke in _STROKES[number % 10]:
            points = [
                (DIGIT / 2 + (x - 0.5) * size_x - slant * (y - 0.5) * size_y, DIGIT / 2 + (y - 0.5) * size_y)
                for x, y in stroke
            ]
            for (x0, y0), (x1, y1) in itertools.pairwise(points):
                dx, dy = x1 - x0, y1 - y0
                along = np.clip(((grid_x - x0) * dx + (grid_y - y0) * dy) / (dx * dx + dy * dy), 0, 1)
                distance = np.minimum(distance, np.hypot(grid_x - x0 - along * dx, grid_y - y0 - along * dy))
        images[number] = np.rint(np.clip(width + 0.5 - distance, 0, 1) * 255).astype(np.uint8)
    return images, np.arange(10 * styles) % 10


def moving_digits(
    images: Frames,
    labels: npt.NDArray[np.int64],
    *,
    seed: int,
    index: int,
    digits: int,
    frames: int,
    size: int,
    start: int = 0,
) -> tuple[Frames, tuple[int, ...]]:
    """Draw one clip of digits that move straight and bounce, as in Moving MNIST.

    Each digit moves by a tenth of its room in a frame, in a direction of its own; where digits overlap, the brighter
    pixel wins.

    Args:
        images: uint8 (N, 28, 28), white on black.
        labels: (N,), the digit on each image.
        seed: of the data set.
        index: of the clip.
        digits: how many move, at least 1.
        frames: how many frames to draw.
        size: side of the frames, at least 28 pixels.
        start: first frame to draw.

    Returns:
        The clip, uint8 (T, size, size, 1), and the digits that it shows.
    """
    assert images.ndim == 3 and images.shape[1:] == (DIGIT, DIGIT), f"images are {images.shape}, not (N, 28, 28)"
    assert size >= DIGIT and digits >= 1, f"size {size}, digits {digits}"
    rng = np.random.Generator(np.random.Philox(key=[seed, index]))
    chosen = rng.integers(len(images), size=digits)
    places, angles = rng.random((digits, 2)), rng.uniform(0, 2 * math.pi, digits)
    times = np.arange(start, start + frames, dtype=np.float64)
    room = float(size - DIGIT)
    clip = np.zeros((frames, size, size, 1), dtype=np.uint8)
    for image, place, angle in zip(images[chosen], places, angles, strict=True):
        tops = bounce(place[0] * room + times * math.sin(angle) * room / 10, room).astype(int)
        lefts = bounce(place[1] * room + times * math.cos(angle) * room / 10, room).astype(int)
        for t, (top, left) in enumerate(zip(tops, lefts, strict=True)):
            patch = clip[t, top : top + DIGIT, left : left + DIGIT, 0]
            np.maximum(patch, image, out=patch)
    return clip, tuple(int(labels[i]) for i in chosen)


def read_idx(path: Path) -> npt.NDArray[np.uint8]:
    """Return the array of an IDX file of unsigned bytes, compressed with gzip or not.

    Raises:
        UnusableMedia: the file is not such a file, or is cut off.
    """
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rb") as handle:
            head = handle.read(4)
            if len(head) < 4 or head[:3] != b"\0\0\x08" or not 1 <= head[3] <= 3:
                raise UnusableMedia("not an IDX file", f"it begins with {head.hex() or 'nothing'}")
            shape = struct.unpack(f">{head[3]}I", handle.read(4 * head[3]))
            size = int(np.prod(shape, dtype=np.float64))
            if size > MAX_IDX_BYTES:
                raise UnusableMedia("damaged", f"its header says {shape}")
            content = handle.read(size)
    except (OSError, EOFError, struct.error, zlib.error) as error:
        raise UnusableMedia("damaged", str(error) or type(error).__name__) from None
    if len(content) != size:
        raise UnusableMedia("damaged", f"{len(content)} of {size} bytes are there")
    return np.frombuffer(content, dtype=np.uint8).reshape(shape)


def labels_beside(images: Path) -> Path | None:
    """Return the file of labels that belongs to a file of IDX images, or None."""
    name = re.sub(r"images([-.])idx3", r"labels\1idx1", images.name).removesuffix(".gz")
    for candidate in (images.with_name(name), images.with_name(name + ".gz")):
        if candidate.is_file():
            return candidate
    return None
