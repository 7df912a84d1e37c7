"""Stills that were brought to life: does everybody stay who they are, before their own wall, and do they move?

python benchmarks/animation.py MODEL DATA [--person REGEX] [--frames 32] [--sheet FILE]

Each clip's first frame is animated. Background: the mean absolute difference, in grey levels, between the border of the
made frames (the outer eighth on the left, right and top) and that of the still, beside those of other people's stills.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import numpy as np
import torch

from footage.data.store import Dataset, Frames
from footage.generation.model import Model
from footage.generation.rollout import from_uint8, to_uint8
from footage.media.sheets import contact_sheet, save_picture, strip
from footage.metrics.motion import motion_energy
from footage.models.base import Converts


def border(frames: Frames) -> Frames:
    """Return the outer pixels of frames (T, H, W, C): (T, N, C)."""
    height, width = frames.shape[1:3]
    mask = np.zeros((height, width), dtype=bool)
    mask[: height // 8] = mask[:, : width // 8] = mask[:, -(width // 8) :] = True
    return frames[:, mask]


def main() -> None:
    """Print the table, and draw the sheet."""
    parser = argparse.ArgumentParser()
    parser.add_argument("model", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--person", default=r"/(\w+?)-", help="what in the name of a source tells who it is")
    parser.add_argument("--frames", type=int, default=32)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sheet", type=Path)
    options = parser.parse_args()
    data, model = Dataset(options.data), Model(options.model)
    sampler = model.sampler
    assert isinstance(sampler, Converts) and sampler.source.frames == 1, "the model animates no stills"
    people, stills, made, real = [], [], [], []
    for number, row in enumerate(data.rows):
        found = re.search(options.person, row.source)
        people.append(found.group(1) if found else row.source)
        clip = np.array(data.read(row, 0, min(row.frames, options.frames)))
        stills.append(clip[:1])
        real.append(clip)
        frames = []
        for chunk in sampler.convert([sampler.sources(from_uint8(clip[None, :1]))], options.seed + number):
            frames.append(to_uint8(chunk)[0])
            if sum(map(len, frames)) >= options.frames:
                break
        made.append(np.concatenate(frames)[: options.frames])
    own, others = [], []
    for number, clip in enumerate(made):
        late = border(clip[len(clip) // 2 :]).astype(float)
        apart = [np.abs(late - border(still)).mean() for still in stills]
        own.append(apart[number])
        others.append(min(value for value, who in zip(apart, people, strict=True) if who != people[number]))
    moving = [[motion_energy(from_uint8(clip[None])) for clip in side] for side in (made, real)]
    print(f"{len(made)} stills of {len(set(people))} people, {options.frames} frames each")
    print(f"background, grey levels from the own still: {np.mean(own):.2f} (worst {max(own):.2f})")
    print(f"from the nearest still of another person: {np.mean(others):.2f} (least {min(others):.2f})")
    print(f"own is nearer in {sum(a < b for a, b in zip(own, others, strict=True))} of {len(own)}")
    print(f"motion, made / real: {np.mean(moving[0]) / np.mean(moving[1]):.2f}")
    if options.sheet:
        rows = [strip(clip, 10) for pair in zip(made, real, strict=True) for clip in pair]
        names = [f"{what} {row.source}" for row in data.rows for what in ("made", "real")]
        save_picture(options.sheet, contact_sheet(rows, names, columns=2))


if __name__ == "__main__":
    with torch.inference_mode():
        main()
