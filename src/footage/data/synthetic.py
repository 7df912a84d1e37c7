"""Built-in data sets, drawn when asked for: every clip is a function of (seed, index) alone.

`shapes`: one coloured shape on black, moving straight and bouncing off the edges, with known factors.
`digits`: moving digits as in Moving MNIST (Srivastava et al. 2015), from drawn digits or from MNIST's IDX files.
`shapes-captions`, `digits-captions`: the same with sentences in English and Chinese that say what happens, as the sets
of TGANs-C (Pan et al. 2017) and Sync-DRAW (Mittal et al. 2017).
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
from collections.abc import Mapping, Sequence
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


SIZES = (0.14, 0.22)
"""Sizes of captioned shapes, small and large, as `Factors.size`."""
TRAVELS = (0.12, 0.28)
"""How far captioned shapes move in a clip, slowly and fast, in fractions of the shorter side: none meets an edge."""

DIGIT_NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
WORDS: Mapping[str, Mapping[str, Sequence[tuple[str, ...]]]] = {
    "en": {
        "shape": (("circle", "disc", "ball"), ("square", "box", "block"), ("triangle", "trigon", "wedge")),
        "colour": (
            ("red", "crimson", "scarlet"),
            ("yellow", "golden", "amber"),
            ("green", "emerald", "lime"),
            ("cyan", "turquoise", "aqua"),
            ("blue", "azure", "navy"),
            ("magenta", "pink", "fuchsia"),
        ),
        "size": (("small", "little", "tiny"), ("large", "big", "huge")),
        "speed": (("slowly", "at a slow pace", "leisurely"), ("fast", "quickly", "rapidly")),
        "direction": (
            ("right", "to the right", "rightwards"),
            ("down and right", "to the lower right", "right and downwards"),
            ("down", "to the bottom", "downwards"),
            ("down and left", "to the lower left", "left and downwards"),
            ("left", "to the left", "leftwards"),
            ("up and left", "to the upper left", "left and upwards"),
            ("up", "to the top", "upwards"),
            ("up and right", "to the upper right", "right and upwards"),
        ),
        "digit": tuple((str(number), name, f"number {name}") for number, name in enumerate(DIGIT_NAMES)),
        "course": (
            ("left and right", "to the right and back", "rightwards first"),
            ("down and up", "to the bottom and back", "downwards first"),
            ("right and left", "to the left and back", "leftwards first"),
            ("up and down", "to the top and back", "upwards first"),
        ),
    },
    "zh": {
        "shape": (("圆形", "圆", "圆球"), ("正方形", "方形", "方块"), ("三角形", "三角", "三角块")),
        "colour": (
            ("红色", "大红色", "赤色"),
            ("黄色", "明黄色", "金色"),
            ("绿色", "草绿色", "翠色"),
            ("青色", "蓝绿色", "湖色"),
            ("蓝色", "深蓝色", "靛色"),
            ("洋红色", "粉色", "紫红色"),
        ),
        "size": (("小", "小型", "微小"), ("大", "大型", "巨大")),
        "speed": (("慢慢", "缓慢", "徐徐"), ("快速", "很快", "飞速")),
        "direction": (
            ("向右", "往右边", "朝右侧"),
            ("向右下方", "往右下角", "朝右下侧"),
            ("向下", "往下边", "朝底部"),
            ("向左下方", "往左下角", "朝左下侧"),
            ("向左", "往左边", "朝左侧"),
            ("向左上方", "往左上角", "朝左上侧"),
            ("向上", "往上边", "朝顶部"),
            ("向右上方", "往右上角", "朝右上侧"),
        ),
        "digit": tuple((str(number), name, f"数码{name}") for number, name in enumerate("零一二三四五六七八九")),
        "course": (
            ("先右后左", "右左", "从右"),
            ("先下后上", "下上", "从下"),
            ("先左后右", "左右", "从左"),
            ("先上后下", "上下", "从上"),
        ),
    },
}
"""What captions say, by language: of each value two words, and one that no training caption has."""
TEMPLATES: Mapping[str, Mapping[str, tuple[Sequence[str], str]]] = {
    "shapes-captions": {
        "en": (
            (
                "a {size} {colour} {shape} moves {direction} {speed}",
                "the {colour} {shape} is {size} and goes {speed} {direction}",
                "{speed} {direction} moves a {size} {shape} which is {colour}",
                "there is a {size} {shape} in {colour}, going {direction}, {speed}",
            ),
            "going {speed} {direction}: the {colour} {shape}, which is {size}",
        ),
        "zh": (
            (
                "一个{size}的{colour}{shape}{speed}地{direction}移动",
                "{colour}的{size}{shape}{direction}{speed}移动",
                "{speed}{direction}运动的是一个{size}{shape}，它是{colour}的",
            ),
            "{direction}{speed}地运动的{size}{shape}，是{colour}的",
        ),
    },
    "digits-captions": {
        "en": (
            (
                "the digit {digit} moves {course}",
                "a {digit} is going {course}",
                "{course} moves the figure {digit}",
            ),
            "going {course}: the digit {digit}",
        ),
        "zh": (("数字{digit}{course}移动", "一个{digit}在{course}运动"), "{course}运动，数字{digit}"),
    },
}
"""Sentences by set and language: those of training captions, and one that none has."""


def compose_captions(name: str, values: Mapping[str, int], seed: int, index: int, heldout: bool) -> tuple[str, ...]:
    """Write the captions of a clip of which the values are known, a function of (seed, index).

    Two in English and two in Chinese; of a held-out clip, in a template that no training caption has, one in each
    language of known words, and one in English of words that stand in none.
    """
    rng = np.random.Generator(np.random.Philox(key=[seed, index], counter=[0, 0, 0, 0xCA]))
    captions = []
    for language, strange in (
        ("en", 0),
        ("zh", 0),
        ("en", 1) if heldout else ("en", 0),
        *(() if heldout else (("zh", 0),)),
    ):
        known, unseen = TEMPLATES[name][language]
        template = unseen if heldout else known[int(rng.integers(len(known)))]
        words = WORDS[language]
        chosen = {key: words[key][value][2 if strange else int(rng.integers(2))] for key, value in values.items()}
        captions.append(template.format(**chosen))
    return tuple(captions)


def draw_values(name: str, seed: int, index: int) -> dict[str, int]:
    """Draw what a captioned clip shows, evenly: the number of each value in `WORDS`, by its name."""
    rng = np.random.Generator(np.random.Philox(key=[seed, index], counter=[0, 0, 0, 0xFA]))
    names = ("shape", "colour", "size", "direction", "speed") if name == "shapes-captions" else ("digit", "course")
    return {key: int(rng.integers(len(WORDS["en"][key]))) for key in names}


def straight_factors(values: Mapping[str, int], seed: int, index: int, frames: int, height: int, width: int) -> Factors:
    """Return the factors of a clip whose shape moves straight for `frames` frames and meets no edge."""
    rng = np.random.Generator(np.random.Philox(key=[seed, index], counter=[0, 0, 0, 0x57]))
    size, travel = SIZES[values["size"]], TRAVELS[values["speed"]]
    angle, short = 2 * math.pi * values["direction"] / DIRECTIONS, min(height, width)
    places = []
    for side, heading in ((height, math.sin(angle)), (width, math.cos(angle))):
        room, way = side / short - 3.2 * size, heading * travel  # 1.6 times the size at either edge covers every shape
        low, high = max(0.0, -way), min(room, room - way)
        places.append(float((low + rng.random() * (high - low)) / room))
    return Factors(
        shape=SHAPES[values["shape"]],
        colour=COLOURS[values["colour"]],
        size=size,
        direction=values["direction"],
        speed=travel / max(1, frames - 1),
        start=(places[0], places[1]),
    )


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
    angle: float | None = None,
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
        angle: direction in which all begin, from the right, clockwise; None for one of each digit's own.

    Returns:
        The clip, uint8 (T, size, size, 1), and the digits that it shows.
    """
    assert images.ndim == 3 and images.shape[1:] == (DIGIT, DIGIT), f"images are {images.shape}, not (N, 28, 28)"
    assert size >= DIGIT and digits >= 1, f"size {size}, digits {digits}"
    rng = np.random.Generator(np.random.Philox(key=[seed, index]))
    chosen = rng.integers(len(images), size=digits)
    places, angles = rng.random((digits, 2)), rng.uniform(0, 2 * math.pi, digits)
    angles = angles if angle is None else np.full(digits, angle)
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
