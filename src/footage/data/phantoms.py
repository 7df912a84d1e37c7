"""The built-in phantoms: trunks of ellipsoids with organs, lesions and known factors, in Hounsfield units.

As the Shepp-Logan phantom (1974) is for a slice: no picture of a patient, but with what makes pictures of patients
hard: a wide range of values of which organs take a narrow part, few and small lesions, noise, voxels that are longer
than wide. A voxel's value is the mean over it, to first order; everything follows from (seed, index).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from footage.media.geometry import MOST_LEVEL, VolumeScale
from footage.media.volumes import Levels

FINDINGS = ("healthy", "liver-lesion", "lung-lesion")
"""Labels: what there is to be found."""
FIELD = (480.0, 360.0, 360.0)
"""Height, depth and width of the field, in mm: along T, H, W."""
WINDOW = (-1000.0, 1000.0)
"""Hounsfield units of the lowest and the highest level."""
AIR, FAT, MUSCLE, LUNG, BONE = -1000.0, -100.0, 50.0, -820.0, 600.0
NOISE = 12.0
"""Standard deviation of the noise, in HU."""
VERSION = 1

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Ellipsoid:
    """An ellipsoid of one value, in mm from the middle of the field: towards head, back, left."""

    centre: tuple[float, float, float]
    radii: tuple[float, float, float]
    value: float
    """In HU."""
    kind: str
    """`body`, `organ`, `bone` or `lesion`."""


@dataclass(frozen=True)
class Anatomy:
    """What a phantom shows; later parts lie over earlier ones."""

    finding: str
    parts: tuple[Ellipsoid, ...]

    @property
    def lesions(self) -> tuple[Ellipsoid, ...]:
        return tuple(part for part in self.parts if part.kind == "lesion")


def draw_finding(seed: int, index: int) -> tuple[str, np.random.Generator]:
    """Draw what there is to be found in a phantom; return it, and what the rest is drawn by."""
    rng = np.random.Generator(np.random.Philox(key=[seed, index], counter=[0, 0, 0, 0xB0D7]))
    return FINDINGS[int(rng.integers(len(FINDINGS)))], rng


def draw_anatomy(seed: int, index: int) -> Anatomy:
    """Draw what a phantom shows: a third each is healthy, has a dark lesion in the liver, or a nodule in a lung."""
    finding, rng = draw_finding(seed, index)

    def about(value: float, spread: float = 0.1) -> float:
        return float(value * (1 + spread * (2 * rng.random() - 1)))

    deep, wide = about(100, 0.15), about(145, 0.12)
    head, back, left = (float(shift * (2 * rng.random() - 1)) for shift in (20, 8, 8))
    fat = about(12, 0.5)
    parts = [
        Ellipsoid((head, back, left), (about(330), deep, wide), FAT, "body"),
        Ellipsoid((head, back, left), (330.0, deep - fat, wide - fat), about(MUSCLE), "body"),
        Ellipsoid((head, back + 0.72 * deep, left), (330.0, about(16), about(18)), about(BONE), "bone"),
    ]
    lungs = []
    for side in (-1, 1):
        centre = (head + about(110), back + about(-4, 0.5), left + side * about(0.46 * wide))
        lungs.append(
            Ellipsoid(centre, (about(105), about(0.62 * deep), about(0.36 * wide)), about(LUNG, 0.04), "organ")
        )
    heart = Ellipsoid(
        (head + about(65), back - 0.2 * deep, left + about(14)), (about(48), about(42), about(44)), 42.0, "organ"
    )
    liver = Ellipsoid(
        (head - about(50), back - about(0.15 * deep), left - about(0.36 * wide)),
        (about(58), about(0.6 * deep), about(0.5 * wide)),
        about(110, 0.08),
        "organ",
    )
    parts += [*lungs, heart, liver]
    for side in (-1, 1):
        centre = (head - about(105), back + about(0.4 * deep), left + side * about(0.42 * wide))
        parts.append(Ellipsoid(centre, (about(46), about(20), about(24)), about(180), "organ"))
    if finding != "healthy":
        organ = liver if finding == "liver-lesion" else lungs[int(rng.integers(2))]
        value = about(20, 0.5) if finding == "liver-lesion" else about(60)
        reach = about(26, 0.3)
        direction = rng.standard_normal(3)
        direction *= 0.45 * rng.random() ** (1 / 3) / np.linalg.norm(direction)
        t, h, w = (float(c + d * r) for c, d, r in zip(organ.centre, direction, organ.radii, strict=True))
        radii = (about(reach, 0.2), about(reach, 0.2), about(reach, 0.2))
        parts.append(Ellipsoid((t, h, w), radii, value, "lesion"))
    return Anatomy(finding, tuple(parts))


def scale_of(depth: int, height: int, width: int) -> VolumeScale:
    """Return what the levels of phantoms of some size mean, and how far apart their voxels lie."""
    spacing = [length / count for length, count in zip(FIELD, (depth, height, width), strict=True)]
    return VolumeScale.of_window(*WINDOW, "HU", spacing)


def cover(part: Ellipsoid, places: tuple[Floats, Floats, Floats]) -> tuple[tuple[slice, slice, slice], Floats]:
    """Return where an ellipsoid may be, and how much of each voxel there it fills, (t, h, w) in [0, 1].

    `places` are the middles of the voxels along each axis, in mm. A voxel at a distance of d voxels inside of the edge
    is filled by d + 1/2.
    """
    boxes, axes, steepness = [], [], []
    for place, centre, radius in zip(places, part.centre, part.radii, strict=True):
        step = float(place[1] - place[0]) if len(place) > 1 else 1.0
        first, last = np.searchsorted(place, [centre - radius - step, centre + radius + step])
        boxes.append(slice(int(first), int(last)))
        axes.append((place[first:last] - centre) / radius)
        steepness.append(axes[-1] * step / radius)
    t, h, w = (axis**2 for axis in axes)
    away = np.sqrt(t[:, None, None] + h[None, :, None] + w[None, None, :])  # 1 on the edge
    t, h, w = (axis**2 for axis in steepness)
    slope = np.sqrt(t[:, None, None] + h[None, :, None] + w[None, None, :])  # of `away`, for each voxel, times `away`
    inside = np.divide((1 - away) * away, slope, out=np.ones_like(away), where=slope > 1e-9)  # in voxels
    return (boxes[0], boxes[1], boxes[2]), np.clip(0.5 + inside, 0.0, 1.0)


def render(
    anatomy: Anatomy, depth: int, height: int, width: int, channels: int = 1, *, seed: int = 0, index: int = 0
) -> Levels:
    """Draw a phantom, levels uint16 (T, H, W, C).

    Args:
        anatomy: what it shows.
        depth: number of slices, T.
        height: number of rows, H.
        width: number of columns, W.
        channels: 1, or 3 for masks of the organs and of the lesions behind the picture: how much of a voxel they fill.
        seed: of the noise.
        index: likewise.
    """
    counts = (depth, height, width)
    z, y, x = ((np.arange(n) + 0.5) * length / n - length / 2 for n, length in zip(counts, FIELD, strict=True))
    values = np.full(counts, AIR)
    masks = {"organ": np.zeros(counts), "lesion": np.zeros(counts)}
    for part in anatomy.parts:
        box, filled = cover(part, (z, y, x))
        values[box] += filled * (part.value - values[box])
        for kind, mask in masks.items():  # what lies over an organ takes its place
            mask[box] += filled * (float(part.kind == kind) - mask[box])
    rng = np.random.Generator(np.random.Philox(key=[seed, index], counter=[0, 0, 0, 0x9015E]))
    values += NOISE * rng.standard_normal(counts, dtype=np.float32)
    scale = scale_of(*counts)
    levels = scale.levels(values.astype(np.float32))[..., None]  # T H W 1
    if channels == 1:
        return levels
    painted = [np.rint(mask * MOST_LEVEL).astype(np.uint16)[..., None] for mask in masks.values()]
    return np.concatenate([levels, *painted], axis=-1)  # T H W 3
