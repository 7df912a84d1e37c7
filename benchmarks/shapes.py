"""What clips of single moving shapes show: does the label decide the direction, is it one shape, of one colour?

python benchmarks/shapes.py DATASET MODEL [MODEL ...] [--clips 200]

For each clip the path of the bright pixels' centroid gives its displacement, and the nearest of the real classes' mean
displacements the direction that it shows. A clip is whole when in all but two frames its brightest connected part holds
at least 80% of the light and it never jumps by more than a quarter of the picture. Real held-out clips stand first.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from footage.config import ClipConfig
from footage.data.clips import Loader, open_clips
from footage.model import Model
from footage.sample import videos

Frames = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]

DARK = 60
"""Pixels below this in every channel are background."""


@dataclass
class Shape:
    """What one clip shows."""

    displacement: Floats
    """(y, x) from the first to the last frame, in pixels."""
    whole: bool
    """Whether it is one shape that moves without jumps."""
    colour: Floats
    """(T, 3): the mean colour in each frame."""
    area: float
    """Mean number of bright pixels."""


def largest_part(light: Floats) -> float:
    """Return the share of the light (H, W) in the connected part with most of it, by growing from the peak."""
    total = light.sum()
    if total == 0:
        return 0.0
    on = light > 0
    part = np.zeros_like(on)
    part[np.unravel_index(light.argmax(), light.shape)] = True
    while True:
        grown = part.copy()
        grown[1:] |= part[:-1]
        grown[:-1] |= part[1:]
        grown[:, 1:] |= part[:, :-1]
        grown[:, :-1] |= part[:, 1:]
        grown &= on
        if (grown == part).all():
            return float((light * part).sum() / total)
        part = grown


def look(clip: Frames) -> Shape:
    """Measure a clip, uint8 (T, H, W, 3)."""
    light = clip.max(axis=-1).astype(np.float64)
    light[light < DARK] = 0
    ys, xs = np.mgrid[: clip.shape[1], : clip.shape[2]]
    mass = light.sum(axis=(1, 2)) + 1e-9
    centres = np.stack([(light * ys).sum(axis=(1, 2)) / mass, (light * xs).sum(axis=(1, 2)) / mass], axis=1)
    jumps = np.abs(np.diff(centres, axis=0)).max()
    parts = [largest_part(frame) for frame in light]
    on = light > 0
    colour = (clip * on[..., None]).sum(axis=(1, 2)) / np.maximum(on.sum(axis=(1, 2)), 1)[:, None]
    whole = sum(part < 0.8 for part in parts) <= 2 and jumps < min(clip.shape[1:3]) / 4
    return Shape(centres[-1] - centres[0], bool(whole), colour, float(on.sum(axis=(1, 2)).mean()))


def row(name: str, shapes: list[Shape], labels: npt.NDArray[np.int64], means: Floats) -> str:
    """Return a line of the table."""
    moved = np.stack([shape.displacement for shape in shapes])
    shown = np.linalg.norm(moved[:, None] - means[None], axis=2).argmin(axis=1)
    mean_colours = np.stack([shape.colour.mean(axis=0) for shape in shapes])
    between = float(mean_colours.std(axis=0).mean())
    within = float(np.mean([shape.colour.std(axis=0).mean() for shape in shapes]))
    areas = np.array([shape.area for shape in shapes])
    return (
        f"| {name} | {np.mean(shown == labels):.1%} | {np.mean([s.whole for s in shapes]):.1%} | {between:.0f} | "
        f"{within:.1f} | {areas.mean():.0f} ± {areas.std():.0f} |"
    )


def made(model: Model, clips: int) -> Iterator[tuple[Frames, int]]:
    """Yield clips of a model with their labels, in turn."""
    for first in range(0, clips, 20):
        seeds = list(range(first, min(first + 20, clips)))
        labels = [seed % len(model.labels) for seed in seeds]
        chunks = list(videos(model.sampler, seeds, labels, model.info.config.clip.frames))
        yield from zip(np.concatenate(chunks, axis=1), labels, strict=True)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("dataset")
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--clips", type=int, default=200)
    options = parser.parse_args()
    opened = [Model(path) for path in options.models]
    frames = opened[0].info.config.clip.frames
    source = open_clips(options.dataset, ClipConfig(frames))
    real: dict[str, tuple[list[Shape], npt.NDArray[np.int64]]] = {}
    for split in ("train", "heldout"):
        clips, labels = Loader(source, split, frames=frames, batch_size=options.clips, seed=0).batch(0)
        real[split] = [look(clip) for clip in clips], labels
    moved, known = np.stack([shape.displacement for shape in real["train"][0]]), real["train"][1]
    means = np.stack([moved[known == number].mean(axis=0) for number in range(len(source.labels))])
    print(
        "| clips | label decides direction | whole | colour sd between clips | within a clip | area |\n"
        "|---|---|---|---|---|---|"
    )
    print(row("real, held out", *real["heldout"], means))
    for model in opened:
        pairs = list(made(model, options.clips))
        shapes, labels = [look(clip) for clip, _ in pairs], np.array([label for _, label in pairs])
        print(row(model.info.name, shapes, labels, means), flush=True)


if __name__ == "__main__":
    main()
