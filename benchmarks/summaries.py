"""How well summaries cover real videos: python benchmarks/summaries.py [--piece .5 --part .15] VIDEO VIDEO...

A part of each video is chosen, in pieces of some seconds, by coverage alone. Coverage is the mean over moments, half
a second apart, of the largest cosine to one that is shown, of features less their mean: the library's own, by which
pieces are chosen, and those of EfficientNet-Lite0 (extra `features`), which have no part in the choice. Beside it are
as many pieces at even distances, and the mean of 100 draws at random. At last all videos are chosen from together,
judged by all moments and, as it is done of many, by so many of them (--ground).
"""

from __future__ import annotations

import argparse
import itertools
import time
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt
import torch

from footage.errors import ModelError
from footage.generation.cutting.shots import CutFinder
from footage.generation.cutting.summary import Chooser, Survey, pieces_of, survey
from footage.media.decode import VideoDecoder
from footage.models.feature_networks import FEATURE_NETWORKS
from footage.models.feature_networks.efficientnet import EfficientNetLite0, fused

STAGE = 5


@torch.inference_mode()
def lite0(net: EfficientNetLite0, found: Survey) -> npt.NDArray[np.float32]:
    """Return the features of a video's moments, (N, 112)."""
    wanted, rows = set(found.at.tolist()), []
    decoder = VideoDecoder(found.path, height=128, width=128, channels=3, fps=found.rate, fit="stretch")
    for number, frame in enumerate(itertools.chain.from_iterable(chunk.frames for chunk in decoder)):
        if number in wanted:
            picture = torch.from_numpy(frame).permute(2, 0, 1)[None] / 127.5 - 1  # (H, W, 3) → (1, 3, H, W)
            rows.append(net.maps(picture, STAGE)[-1].mean(dim=(2, 3))[0].numpy())
    features = np.stack(rows)
    return np.asarray((features - features.mean(axis=0)) / (features.std(axis=0) + 1e-6), np.float32)


def main() -> None:
    """Print two lines for each video."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("videos", nargs="+", type=Path)
    parser.add_argument("--piece", type=float, default=0.5, help="seconds of a piece")
    parser.add_argument("--part", type=float, default=0.15, help="of a video that is chosen")
    parser.add_argument("--ground", type=int, default=64, help="moments of all videos by which they are chosen at last")
    options = parser.parse_args()
    piece, part = options.piece, options.part
    torch.set_num_threads(1)
    try:
        net = fused(cast(EfficientNetLite0, FEATURE_NETWORKS["lite0"].load()), STAGE)
    except ModelError:
        net = None
    surveys = []
    ratios: dict[str, list[float]] = {}
    for path in options.videos:
        begun = time.process_time()
        found = survey(path, CutFinder)
        surveys.append(found)
        pieces = pieces_of([found], piece, least=0.8 * piece)
        seconds = float(found.frames / found.rate)
        chooser = Chooser(pieces, found.looks, (), 0)
        chosen = chooser.choose(part * seconds, [each.seconds for each in pieces])
        spent = time.process_time() - begun
        judges = {"the library's": found.looks} | ({} if net is None else {"Lite0's": lite0(net, found)})
        for name, looks in judges.items():
            choice = Chooser(pieces, looks, (), 0).judged(chosen)
            ratios.setdefault(name, []).append(choice.coverage / choice.uniform)
            print(
                f"{path.name}, {seconds:.0f} s, {len(chosen)} of {len(pieces)} pieces, {choice.seconds:.1f} s, {name} "
                f"features: coverage {choice.coverage:.3f}, even {choice.uniform:.3f} (x {ratios[name][-1]:.2f}), "
                f"random {choice.random:.3f}; redundancy {choice.redundancy:.2f}; {spent:.1f} s of one core",
                flush=True,
            )
    for name, values in ratios.items():
        print(f"coverage over that of even distances, {name} features: {np.mean(values):.3f} in the mean")
    looks, pieces = np.concatenate([found.looks for found in surveys]), pieces_of(surveys, piece, least=0.8 * piece)
    chooser, costs = Chooser(pieces, looks, (), 0), [each.seconds for each in pieces]
    exact, budget = chooser.ground, part * sum(costs)
    covered = [chooser.coverage(chooser.choose(budget, costs))]
    for seed in range(20):
        chooser.ground = exact[np.random.default_rng(seed).choice(len(exact), options.ground, replace=False)]
        chosen = chooser.choose(budget, costs)
        chooser.ground = exact
        covered.append(chooser.coverage(chosen))
    print(
        f"all together, {len(pieces)} pieces: coverage {covered[0]:.4f} by all {len(exact)} moments; by "
        f"{options.ground}, 20 draws, {np.mean(covered[1:]):.4f} in the mean, {min(covered[1:]):.4f} at worst"
    )


if __name__ == "__main__":
    main()
