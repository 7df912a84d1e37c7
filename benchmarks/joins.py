"""Transitions between real videos: python benchmarks/joins.py [--sheet joins.png] VIDEO VIDEO...

Ten pairs of stretches of different videos, drawn at random, are joined by `fade`, `dissolve` and `morph`, a second
each, at 320 pixels of width. For each kind: how large the largest step from frame to frame is, in grey levels, and in
how many pairs it is within the 95th percentile of the steps of the two stretches themselves.
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from footage.generation.cutting.joins import mixer
from footage.media.decode import VideoDecoder
from footage.media.sheets import save_picture

Frames = npt.NDArray[np.uint8]
KINDS, PAIRS, LENGTH, HEIGHT, WIDTH = ("fade", "dissolve", "morph"), 10, 25, 180, 320


def steps(frames: Frames) -> npt.NDArray[np.float64]:
    """Return how far each frame is from the one before it, in grey levels."""
    return np.array([np.abs(a.astype(int) - b).mean() for a, b in itertools.pairwise(frames)])


def main() -> None:
    """Print a line for each kind, and write the sheet: a row for each pair and kind."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("videos", nargs="+", type=Path)
    parser.add_argument("--sheet", type=Path)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    videos = []
    for path in chosen.videos:
        decoder = VideoDecoder(path, height=HEIGHT, width=WIDTH, channels=3, fps=25, fit="crop")
        videos.append(np.concatenate([chunk.frames for chunk in itertools.islice(decoder, 20)]))
    rng, rows = np.random.default_rng(0), list[Frames]()
    told: dict[str, list[tuple[float, float]]] = {kind: [] for kind in KINDS}
    for _ in range(PAIRS):
        one, other = rng.choice(len(videos), 2, replace=False)
        before, after = (
            videos[number][first : first + 2 * LENGTH]
            for number in (one, other)
            for first in [int(rng.integers(0, len(videos[number]) - 2 * LENGTH))]
        )
        usual = float(np.percentile(np.concatenate([steps(before), steps(after)]), 95))
        for kind in KINDS:
            made = np.stack(list(mixer(kind)(list(before[LENGTH:]), list(after[:LENGTH]))))
            assert len(made) == LENGTH and (made[0] == before[LENGTH]).all()
            film = np.concatenate([before[LENGTH - 1 : LENGTH], made, after[LENGTH : LENGTH + 1]])
            told[kind].append((float(steps(film).max()), usual))
            rows.append(np.concatenate(list(made[:: LENGTH // 6]), axis=1)[::2, ::2])
    for kind, values in told.items():
        largest, usual_ones = (np.array(part) for part in zip(*values, strict=True))
        within = int((largest <= usual_ones).sum())
        print(
            f"{kind}: largest step {np.median(largest):.2f} levels in the median (real clips' 95th percentile "
            f"{np.median(usual_ones):.2f}); within it in {within} of {PAIRS} pairs; {np.max(largest / usual_ones):.1f} "
            "times it at worst"
        )
    if chosen.sheet is not None:
        save_picture(chosen.sheet, np.concatenate(rows))


if __name__ == "__main__":
    main()
