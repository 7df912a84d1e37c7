"""Long videos: is the memory constant, does the motion stay alive?

python benchmarks/length.py MODEL [--frames 1000] [--videos 8]

Prints the memory of this process and the motion energy (mean absolute change from frame to frame, in grey levels) of
each window, as ratios to the first one, for videos of 8, 16, 64 and `--frames` frames.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from footage.generation.model import Model
from footage.generation.rollout import videos
from footage.training.cost import memory_used

WINDOW = 16
"""Frames in a window."""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("model", type=Path)
    parser.add_argument("--frames", type=int, default=1000)
    parser.add_argument("--videos", type=int, default=8)
    options = parser.parse_args()
    model = Model(options.model)
    seeds = list(range(options.videos))
    labels = [seed % len(model.labels) for seed in seeds] if model.labels else None
    print("| frames | memory, GiB | motion by window of 16, first = 1 (mean, least, last) |\n|---|---|---|")
    for frames in (8, 16, 64, options.frames):
        energies: list[float] = []
        last, count, rest = None, 0, np.empty(0)
        for chunk in videos(model.generator, seeds, labels, frames):
            values = chunk.astype(np.float32)
            before = values[:, :1] if last is None else last
            change = np.abs(np.diff(np.concatenate([before, values], axis=1), axis=1)).mean(axis=(0, 2, 3, 4))
            last, count = values[:, -1:], count + chunk.shape[1]
            rest = np.concatenate([rest, change])
            while len(rest) >= WINDOW:
                energies.append(float(rest[:WINDOW].mean()))
                rest = rest[WINDOW:]
        ratios = np.array(energies or [float(rest[1:].mean())])
        ratios = ratios / ratios[0]
        assert count == frames, f"{count} frames, not {frames}"
        said = f"{ratios.mean():.2f}, {ratios.min():.2f}, {ratios[-1]:.2f}"
        print(f"| {frames} | {memory_used('cpu'):.2f} | {said} |", flush=True)


if __name__ == "__main__":
    main()
