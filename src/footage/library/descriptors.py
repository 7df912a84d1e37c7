"""Figures of a clip that have plain names, such as brightness, redness, sharpness, speed: what taste is told in.

All are taken from the small pictures of a clip (`Thumbnails`), in closed form. Colours are shares of six hues, each
pixel weighted by its saturation and shared between the two nearest. Sharpness is the energy of the Laplacian over that
of the gradient (Pech-Pacheco and others, Diatom autofocusing in brightfield microscopy, 2000, has the first alone), so
that it does not follow contrast. Motion is found by least squares in windows (Lucas and Kanade, An iterative image
registration technique, 1981), each weighted by its edges.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from footage.media.signatures import pool
from footage.media.thumbnails import Thumbnails

Descriptors = npt.NDArray[np.float32]
Values = npt.NDArray[np.floating[Any]]

VERSION = 1
"""Counted up when a figure changes its meaning: what was measured before is then measured again."""
HUES = ("red", "yellow", "green", "cyan", "blue", "magenta")
"""Evenly spaced, from 0 on."""
DESCRIPTORS = (
    *("brightness", "contrast", "saturation", *HUES),
    *("sharpness", "edges", "subject", "place_right", "place_down"),
    *("motion", "speed", "towards_right", "towards_down", "moving_area", "flicker"),
)
"""Names of the figures, in order."""
PICTURES = 12
"""Pictures that are looked at, about."""
CELLS = 32
"""Cells along each side of the pictures in which motion is looked for."""
WINDOWS = 4
"""Windows along each side."""
STANDS_OUT = 0.12
"""Difference from the middle colour of a picture, of 1, from which on a place belongs to what stands out."""
CHANGES = 0.04
"""Difference from one frame to the next, of 1, from which on a place moves."""
LEAST = 1e-3
"""Added to amounts before their logarithm is taken."""


def describe(thumbnails: Thumbnails) -> Descriptors:
    """Return the figures of a clip, float32, in the order of `DESCRIPTORS`; finite for every clip."""
    step = max(1, len(thumbnails.pictures) // PICTURES)
    shown, then = thumbnails.pictures[step // 2 :: step], thumbnails.following[step // 2 :: step]
    pictures = shown.astype(np.float32) / 255  # (M, H, W, 3)
    grey = pictures.mean(axis=-1)
    high, low = pictures.max(axis=-1), pictures.min(axis=-1)
    colourful = high - low
    shares = hue_shares(pictures, high, colourful)

    across, down = np.diff(grey, axis=2)[:, :-1], np.diff(grey, axis=1)[:, :, :-1]  # (M, H - 1, W - 1)
    slope = float((across**2 + down**2).mean()) if across.size else 0.0
    curved = [np.diff(grey, 2, axis=axis) for axis in (1, 2)]
    curve = sum(float((part**2).mean()) if part.size else 0.0 for part in curved)

    small, after = (pool(frames, CELLS) / 255 for frames in (shown, then))
    middle = np.median(small, axis=(1, 2), keepdims=True)
    apart = np.abs(small - middle).max(axis=-1)  # (M, g, g')
    stands_out = apart > STANDS_OUT
    weight = apart * stands_out + 1e-6
    y, x = (np.linspace(-1, 1, size) if size > 1 else np.zeros(1) for size in apart.shape[1:])
    place_right, place_down = (weight * x).sum() / weight.sum(), (weight * y[:, None]).sum() / weight.sum()

    rate = thumbnails.fps or 0.0
    change = np.abs(after - small).max(axis=-1)
    level = small.mean(axis=(1, 2, 3)), after.mean(axis=(1, 2, 3))
    speed, to_right, to_down = velocities(small.mean(axis=-1), after.mean(axis=-1))
    numbers = (
        *(grey.mean(), grey.std(axis=(1, 2)).mean(), colourful.mean(), *shares),
        *(np.log((curve + 1e-6) / (slope + 1e-5)), np.log(LEAST + np.sqrt(slope))),
        *(stands_out.mean(), place_right, place_down),
        *(np.log(LEAST + change.mean() * rate), np.log(LEAST + speed * rate), to_right * rate, to_down * rate),
        *((change > CHANGES).mean(), np.log(LEAST + np.abs(level[1] - level[0]).mean() * rate)),
    )
    return np.asarray(numbers, dtype=np.float32)


def hue_shares(pictures: Values, high: Values, colourful: Values) -> list[float]:
    """Return how much of all colour is of each hue; evenly as much where there is none."""
    red, green, blue = np.moveaxis(pictures, -1, 0)
    safe = np.maximum(colourful, 1e-6)
    turn = np.where(
        high == red, (green - blue) / safe, np.where(high == green, 2 + (blue - red) / safe, 4 + (red - green) / safe)
    )
    turn %= len(HUES)
    amounts = []
    for hue in range(len(HUES)):
        away = np.abs(turn - hue)
        amounts.append(float((colourful * np.maximum(0, 1 - np.minimum(away, len(HUES) - away))).mean()))
    even = 0.01  # what is nearly grey has no colour to speak of
    total = sum(amounts) + even
    return [(amount + even / len(HUES)) / total for amount in amounts]


def velocities(grey: Values, then: Values) -> tuple[float, float, float]:
    """Return speed, and velocity to the right and down, of what has edges, in parts of the picture a frame.

    Pictures are (M, g, g'), with the frames after them.
    """
    both = (grey + then) / 2
    if min(both.shape[1:]) < 2:
        return 0.0, 0.0, 0.0
    down, across = np.gradient(both, axis=(1, 2))
    change = then - grey
    products = np.stack([across**2, across * down, down**2, across * change, down * change])  # (5, M, g, g')
    rows, columns = (np.array_split(np.arange(size), min(WINDOWS, size)) for size in both.shape[1:])
    xx, xy, yy, xt, yt = np.stack(
        [products[:, :, r[0] : r[-1] + 1, c[0] : c[-1] + 1].sum(axis=(2, 3)) for r in rows for c in columns]
    ).swapaxes(0, 1)  # (windows, 5, M) → (5, windows, M)
    edges = xx + yy
    xx, yy = xx + 0.02 * edges + 1e-3, yy + 0.02 * edges + 1e-3  # along an edge nothing is known
    det = xx * yy - xy**2
    vx, vy = (xy * yt - yy * xt) / det / both.shape[2], (xy * xt - xx * yt) / det / both.shape[1]
    total = float(edges.sum()) + 1e-6
    speed, to_right, to_down = (float((edges * part).sum()) / total for part in (np.hypot(vx, vy), vx, vy))
    return speed, to_right, to_down
