"""What clips of single moving shapes show: does the label decide the direction, is it one shape, of one colour?

python benchmarks/shapes.py DATASET MODEL [MODEL ...] [--clips 200]

The direction that a clip shows is told from the path of the bright pixels' centroid by least-squares classifiers of
real training clips: one of the displacement from the first frame to the last, one of the displacements in four parts of
the clip. How often they are right about held-out clips stands first. A clip is whole when in all but two frames its
brightest connected part holds at least 80% of the light and it never jumps by more than a quarter of the picture.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from footage.config import ClipConfig
from footage.data.clips import Loader, open_clips
from footage.data.store import Split
from footage.generation.model import Model
from footage.generation.rollout import videos

Frames = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]

DARK = 60
"""Pixels below this in every channel are background."""


@dataclass
class Shape:
    """What one clip shows."""

    path: Floats
    """(T, 2): the centroid (y, x) in each frame, in pixels."""
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
    return Shape(centres, bool(whole), colour, float(on.sum(axis=(1, 2)).mean()))


def described(shapes: list[Shape], parts: int) -> Floats:
    """Return the displacements in each of some parts of the clip, and 1: (N, 2 parts + 1)."""
    paths = np.stack([shape.path for shape in shapes])
    edges = np.linspace(0, paths.shape[1] - 1, parts + 1).round().astype(int)
    return np.concatenate([np.diff(paths[:, edges], axis=1).reshape(len(paths), -1), np.ones((len(paths), 1))], axis=1)


class Classifier:
    """Names the label that clips show, from displacements in some parts of the clip."""

    def __init__(self, shapes: list[Shape], labels: Labels, parts: int) -> None:
        self.parts = parts
        self.weights = np.linalg.lstsq(described(shapes, parts), np.eye(labels.max() + 1)[labels], rcond=None)[0]

    def right(self, shapes: list[Shape], labels: Labels) -> float:
        """Return how often the label that is shown is the label that was asked for."""
        return float(((described(shapes, self.parts) @ self.weights).argmax(axis=1) == labels).mean())


def row(name: str, shapes: list[Shape], labels: Labels, classifiers: list[Classifier]) -> dict[str, float]:
    """Print a line of the table, and return its figures."""
    right = " | ".join(f"{classifier.right(shapes, labels):.1%}" for classifier in classifiers)
    mean_colours = np.stack([shape.colour.mean(axis=0) for shape in shapes])
    between = float(mean_colours.std(axis=0).mean())
    within = float(np.mean([shape.colour.std(axis=0).mean() for shape in shapes]))
    areas, whole = np.array([shape.area for shape in shapes]), float(np.mean([s.whole for s in shapes]))
    size = f"{areas.mean():.0f} ± {areas.std():.0f}"
    print(f"| {name} | {right} | {whole:.1%} | {between:.0f} | {within:.1f} | {size} |", flush=True)
    return {"whole": whole, "between": between, "within": within, "area": float(areas.mean())}


def made(model: Model, clips: int) -> Iterator[tuple[Frames, int]]:
    """Yield clips of a model with their labels, in turn."""
    for first in range(0, clips, 20):
        seeds = list(range(first, min(first + 20, clips)))
        labels = [seed % len(model.labels) for seed in seeds]
        chunks = list(videos(model.generator, seeds, labels, model.info.config.clip.frames))
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
    real: dict[str, tuple[list[Shape], Labels]] = {}
    splits: dict[Split, int] = {"train": 1000, "heldout": options.clips}
    for split, count in splits.items():
        clips, labels = Loader(source, split, frames=frames, batch_size=count, seed=0).batch(0)
        real[split] = [look(clip) for clip in clips], labels
    classifiers = [Classifier(*real["train"], parts) for parts in (1, 4)]
    print(
        "| clips | label decides displacement | label decides path | whole | colour sd between clips "
        "| within a clip | area |\n"
        "|---|---|---|---|---|---|---|"
    )
    found = row("real, held out", *real["heldout"], classifiers)
    for model in opened:
        pairs = list(made(model, options.clips))
        shapes, labels = [look(clip) for clip, _ in pairs], np.array([label for _, label in pairs])
        found = row(model.info.name, shapes, labels, classifiers)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
