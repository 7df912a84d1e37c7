"""Does a model repeat its training clips? Nearest neighbours of fakes among them, beside those of held-out clips.

python benchmarks/memorisation.py MODEL DATASET [--clips 256] [--sheet FILE] [--worst 8]

Distances are between windows of the model's length: of random features (five networks, each feature in units of its
deviation among training windows), and of pixels averaged over 4 x 4. Every stretch of the training clips is compared,
at every `--stride`-th frame. The ratio d(fake, training) / (median of d(held-out, training)) is 1 for a model that is
as far from its training clips as real clips of other people are; below .5 is repeated. The sheet shows the worst pairs:
a fake, and the training window nearest to it in features.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool3d

from footage.data.clips import ClipSource, open_clips
from footage.data.store import Split
from footage.evaluation.clip_sets import BATCH, ClipShape, GeneratedClips
from footage.generation.model import Model
from footage.generation.rollout import Frames, from_uint8
from footage.media.sheets import contact_sheet, save_picture, strip
from footage.metrics.clip_vectors import SEEDS, RandomFeatures

REPEATED = 0.5
"""Ratio below which a clip counts as repeated."""


def windows(source: ClipSource, split: Split, frames: int, stride: int) -> list[tuple[int, int]]:
    """Return clip and first frame of every window of a split."""
    found = []
    for span in source.spans(split):
        found += [(span.index, start) for start in range(0, span.frames - frames + 1, stride)]
    return found


def batches(source: ClipSource, where: list[tuple[int, int]], frames: int) -> Iterable[Frames]:
    """Yield windows, uint8 (B, T, H, W, C)."""
    for first in range(0, len(where), BATCH):
        yield np.stack([source.read(index, start, frames) for index, start in where[first : first + BATCH]])


def described(clips: Iterable[Frames], spaces: dict[str, Callable[[Tensor], Tensor]]) -> dict[str, Tensor]:
    """Return the vectors of clips in each space, (N, D)."""
    found: dict[str, list[Tensor]] = {name: [] for name in spaces}
    for batch in clips:
        pixels = from_uint8(batch)
        for name, space in spaces.items():
            found[name].append(space(pixels))
    return {name: torch.cat(parts) for name, parts in found.items()}


def main() -> None:
    """Print the table and write the sheet."""
    parser = argparse.ArgumentParser()
    parser.add_argument("model", type=Path)
    parser.add_argument("dataset")
    parser.add_argument("--clips", type=int, default=256)
    parser.add_argument("--stride", type=int, default=2)
    parser.add_argument("--worst", type=int, default=8)
    parser.add_argument("--sheet", type=Path)
    options = parser.parse_args()
    model = Model(options.model)
    clip = model.info.config.clip
    source, nets = open_clips(options.dataset, clip), [RandomFeatures(clip.channels, seed) for seed in SEEDS]
    spaces: dict[str, Callable[[Tensor], Tensor]] = {
        "random features": lambda x: torch.cat([net(x) for net in nets], dim=1),
        "pixels, 4 x 4": lambda x: avg_pool3d(x, (1, 4, 4)).flatten(1),
    }
    where = windows(source, "train", clip.frames, options.stride)
    train = described(batches(source, where, clip.frames), spaces)
    others = windows(source, "heldout", clip.frames, options.stride)
    heldout = described(batches(source, others, clip.frames), spaces)
    clips = GeneratedClips(model, options.clips, ClipShape(clip.frames, clip.height, clip.width, clip.channels))
    fakes = [one for _, batch in clips.batches(range(options.clips)) for one in batch]
    fake = described((np.stack(fakes[n : n + BATCH]) for n in range(0, len(fakes), BATCH)), spaces)
    print(f"{len(fakes)} fakes, {len(where)} training windows, {len(others)} held-out windows")
    print("| space | d(fake, training) / d(held-out, training): median, 5%, least | below .5 |\n|---|---|---|")
    for name in spaces:
        unit = train[name].std(dim=0).clamp(min=1e-6) if name == "random features" else torch.ones(1)
        near = torch.cdist(fake[name] / unit, train[name] / unit).min(dim=1)
        usual = torch.cdist(heldout[name] / unit, train[name] / unit).min(dim=1).values.median()
        ratio = near.values / usual
        said = ", ".join(f"{value:.2f}" for value in (ratio.median(), ratio.quantile(0.05), ratio.min()))
        print(f"| {name} | {said} | {float((ratio < REPEATED).double().mean()):.1%} |", flush=True)
        if options.sheet and name == "random features":
            worst = ratio.argsort()[: options.worst].tolist()
            rows, captions = [], []
            for number in worst:
                index, start = where[int(near.indices[number])]
                rows += [strip(fakes[number]), strip(source.read(index, start, clip.frames))]
                captions += [f"fake {number}: {ratio[number]:.2f}", f"training clip {index}, frame {start}"]
            save_picture(options.sheet, contact_sheet(rows, captions, columns=2))


if __name__ == "__main__":
    main()
