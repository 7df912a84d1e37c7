"""What clips look like, as a vector: closed form, no network, so that a library finds likenesses by itself.

Four parts, each of length 1 before it is weighted; likeness is the cosine of two vectors.

colour   a histogram of RGB with linear interpolation between bins (Swain and Ballard, Color indexing, 1991)
layout   the mean picture on a coarse grid, brightness and two opponent colours
texture  histograms of gradient directions on a grid (Dalal and Triggs, Histograms of oriented gradients, 2005)
motion   how much each place changes, and histograms of the normal flow -It ∇I / |∇I|² (Horn and Schunck,
         Determining optical flow, 1981, equation 2) by direction and speed

Histograms are compared by Hellinger's kernel: their square roots (Arandjelović and Zisserman, 2012).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from footage.media.signatures import pool
from footage.media.thumbnails import Thumbnails

Vector = npt.NDArray[np.float32]
Values = npt.NDArray[np.floating[Any]]

KIND = "look-1"
"""Name of these vectors; another when their meaning changes."""
BINS = 4
"""Bins of each colour."""
COMMONPLACE = 0.03
"""Weight of the commonest colour; that which is furthest from it weighs 1 more."""
PLACES = 4
"""Cells along each side of the grids."""
TURNS = 8
"""Directions."""
FINE = 32
"""Cells along each side of the pictures that all is taken from."""
MOMENTS = 12
"""Pictures that are looked at, at most."""
WEIGHTS = {"colour": 0.35, "layout": 0.25, "texture": 0.2, "motion": 0.2}
"""Share of each part in the likeness."""
WIDTH = BINS**3 + 3 * PLACES**2 + TURNS * PLACES**2 + PLACES**2 + 2 * TURNS
"""Numbers in a vector."""


def look(seen: Thumbnails) -> Vector:
    """Return the vector of a clip, float32 (WIDTH,), of length 1."""
    step = max(1, len(seen.pictures) // MOMENTS)
    frames = seen.pictures[step // 2 :: step], seen.following[step // 2 :: step]
    small, after = (pool(chosen, FINE) / 255 for chosen in frames)  # → (M, g, g', 3)
    parts = {
        "colour": _colour(small),
        "layout": _layout(small),
        "texture": _texture(small),
        "motion": _motion(small, after),
    }
    vector = np.concatenate([np.sqrt(WEIGHTS[name]) * _unit(part) for name, part in parts.items()])
    return np.asarray(_unit(vector), dtype=np.float32)


def _unit(values: Values) -> Values:
    """Scale to length 1; what is empty counts as even."""
    flat = np.asarray(values, dtype=np.float32).ravel()
    length = float(np.linalg.norm(flat))
    return flat / length if length > 1e-8 else np.full(len(flat), 1 / np.sqrt(len(flat)), dtype=np.float32)


def _colour(small: Values) -> Values:
    """Return the root of the histogram of colours (BINS³,) of pictures (M, g, g', 3)."""
    colours = small.reshape(-1, 3)
    # What stands out counts more than what is everywhere, so that a wall does not drown who walks past it.
    weight = COMMONPLACE + np.abs(colours - np.median(colours, axis=0)).max(axis=1)
    place = colours * (BINS - 1)
    low = np.minimum(place.astype(int), BINS - 2)
    part = place - low
    histogram = np.zeros(BINS**3, dtype=np.float32)
    for corner in range(8):  # each colour is shared among the 8 bins around it
        offset = np.array([corner >> 2 & 1, corner >> 1 & 1, corner & 1])
        share = np.where(offset, part, 1 - part).prod(axis=1)
        index = (low + offset) @ np.array([BINS**2, BINS, 1])
        histogram += np.bincount(index, weights=share * weight, minlength=BINS**3).astype(np.float32)
    return np.sqrt(histogram)


def _layout(small: Values) -> Values:
    """Return the mean picture on a grid in opponent colours (3·PLACES²,), brightness about the middle grey."""
    mean = _grid(small.mean(axis=0), PLACES)  # (M, g, g', 3) → (p, p', 3)
    red, green, blue = np.moveaxis(mean, -1, 0)
    opponent = np.stack([(red + green + blue) / 3 - 0.5, (red - green) / 2, (red + green - 2 * blue) / 4])
    return _padded(opponent, 3 * PLACES**2)


def _texture(small: Values) -> Values:
    """Return the roots of histograms of gradient directions, without sign, on a grid (TURNS·PLACES²,)."""
    grey = small.mean(axis=-1)
    down, right = _slopes(grey)
    strength = np.hypot(down, right)
    turn = np.arctan2(down, right) % np.pi / np.pi * TURNS
    return np.sqrt(_padded(_grid(_spread(turn, strength).mean(axis=0), PLACES), TURNS * PLACES**2))


def _motion(small: Values, after: Values) -> Values:
    """Return how much each place changes (PLACES²,), and the normal flow by direction, slow and fast (2·TURNS,)."""
    before, then = small.mean(axis=-1), after.mean(axis=-1)
    change = then - before
    down, right = _slopes((before + then) / 2)
    steep = down**2 + right**2
    speed = -change / (steep + 1e-3)
    y, x = speed * down, speed * right  # cells a frame
    turn = np.arctan2(y, x) % (2 * np.pi) / (2 * np.pi) * TURNS
    moved = np.hypot(y, x)
    sure = np.sqrt(steep)
    slow, fast = (_spread(turn, sure * moved * near).mean(axis=(0, 1, 2)) for near in (moved < 0.25, moved >= 0.25))
    places = _padded(_grid(np.abs(change).mean(axis=0)[..., None], PLACES), PLACES**2)
    # A little evenness: clips that stand still are alike, whatever their noise.
    still = 1e-3
    return np.concatenate([np.sqrt(places + still), 4 * np.sqrt(np.concatenate([slow, fast]) + still)])


def _slopes(grey: Values) -> tuple[Values, Values]:
    """Return the differences downwards and to the right of pictures (M, g, g')."""
    padded = np.pad(grey, ((0, 0), (1, 1), (1, 1)), mode="edge")
    return (padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1]) / 2, (padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2]) / 2


def _spread(turn: Values, strength: Values) -> Values:
    """Share strengths (M, g, g') among the two nearest of TURNS directions: (M, g, g', TURNS)."""
    away = np.abs(turn[..., None] - np.arange(TURNS))  # (M, g, g') → (M, g, g', TURNS)
    return np.asarray(np.maximum(0, 1 - np.minimum(away, TURNS - away)) * strength[..., None])


def _grid(picture: Values, cells: int) -> Values:
    """Average a picture (g, g', C) over at most cells × cells places."""
    rows, columns = (np.array_split(np.arange(size), min(cells, size)) for size in picture.shape[:2])
    return np.array([[picture[np.ix_(r, c)].mean(axis=(0, 1)) for c in columns] for r in rows], dtype=np.float32)


def _padded(values: Values, width: int) -> Values:
    """Return numbers as a vector of fixed width: tiny pictures have fewer places."""
    flat = np.asarray(values, dtype=np.float32).ravel()
    return np.pad(flat, (0, width - len(flat)))
