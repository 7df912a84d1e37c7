"""What an evaluation costs beside its networks' forward passes, and whether its memory grows with the number of clips.

python benchmarks/evaluate.py [DATA] [--clips 512] [--small 2048] [--large 20000] [--metrics fvd] [--networks 5]

The first table evaluates two halves of DATA (16 frames of 64×64 for the built-in shapes) and divides the time into the
networks' forward passes and everything else: reading, resizing, storing, statistics, the matrix root, intervals. The
second runs two evaluations of small clips in processes of their own and compares the most memory that each held. With
all metrics, whose neighbours are of quadratic time, --networks 1 makes 20,000 clips bearable: networks work one after
the other, so that it changes little but the time. The last line times the Fréchet distance of features of length 2,048
beside scipy's `sqrtm`.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import scipy.linalg
import torch

import footage
from footage.evaluation.features import catalogue
from footage.metrics.clip_vectors import SEEDS
from footage.metrics.distances import frechet, gaussian

LENGTH = 2048
"""Features of Inception-v3."""


def share(data: str, clips: int, resamples: int, metrics: str) -> float:
    """Print and return how much of an evaluation's time is not spent in networks."""
    evaluation = footage.evaluate(
        data, data, clips=clips, frames=16, metrics=metrics, resamples=resamples, cache=Path("none"), quiet=True
    )
    networks = sum(work.seconds for work in evaluation.work if work.step.startswith("network"))
    others = {work.step: work.seconds for work in evaluation.work if not work.step.startswith("network")}
    closed = others.pop("closed forms", 0.0)
    rest = sum(others.values())
    largest = ", ".join(f"{k} {v:.2f} s" for k, v in sorted(others.items(), key=lambda item: -item[1])[:4])
    print(
        f"{metrics}, {clips} clips a side, {resamples} resamples: networks {networks:.1f} s, everything else "
        f"{rest:.2f} s = {rest / networks:.1%} ({largest}); closed forms, where motion is asked for, {closed:.2f} s"
    )
    return rest / networks


def peak(clips: int, metrics: str, networks: int) -> float:
    """Return the most memory, in MiB, that an evaluation of small clips held in a process of its own."""
    words = [sys.executable, __file__, "--child", "--clips", f"{clips}", "--metrics", metrics]
    words += ["--networks", f"{networks}"]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    return float(done.stdout.split()[-1])


def child(clips: int, metrics: str, networks: int) -> None:
    """Evaluate small clips, and print the most memory that was held, in MiB."""
    vars(catalogue)["SEEDS"] = SEEDS[:networks]
    footage.evaluate(
        "shapes", "shapes", clips=clips, frames=4, size="8x8", metrics=metrics, cache=Path("none"), quiet=True
    )
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def roots() -> dict[str, float]:
    """Time the distance of long features, and compare it with scipy's."""
    rng = np.random.default_rng(0)
    mix = rng.normal(size=(LENGTH, LENGTH)) / LENGTH**0.5
    sides = [rng.normal(size=(3 * LENGTH, LENGTH)) @ mix + shift for shift in (0.0, 0.05)]
    a, b = (gaussian(side) for side in sides)
    since = time.perf_counter()
    ours = frechet(a, b)
    mine = time.perf_counter() - since
    since = time.perf_counter()
    root = scipy.linalg.sqrtm(a.covariance.numpy() @ b.covariance.numpy())
    theirs = float((a.mean - b.mean).square().sum() + a.covariance.trace() + b.covariance.trace())
    theirs -= 2 * float(np.trace(root).real)
    other = time.perf_counter() - since
    few = [gaussian(side[:500]) for side in sides]
    since = time.perf_counter()
    frechet(*few)
    print(
        f"Fréchet distance of {LENGTH} features: {mine:.2f} s, scipy's sqrtm {other:.2f} s, {torch.get_num_threads()} "
        f"threads; relative difference {abs(ours - theirs) / theirs:.1e}; of 500 vectors "
        f"{time.perf_counter() - since:.2f} s"
    )
    return {"root": mine, "roots": other / mine}


def main() -> None:
    """Print the three parts."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data", nargs="?", default="shapes")
    parser.add_argument("--clips", type=int, default=512)
    parser.add_argument("--small", type=int, default=2048)
    parser.add_argument("--large", type=int, default=20_000)
    parser.add_argument("--metrics", default="fvd")
    parser.add_argument("--networks", type=int, default=5, help="random networks, for the memory alone")
    parser.add_argument("--child", action="store_true", help="for the benchmark itself: one evaluation, its memory")
    parser.add_argument("--part", choices=("share", "memory", "roots"))
    options = parser.parse_args()
    if options.child:
        child(options.clips, options.metrics, options.networks)
        return
    found = dict[str, float]()
    if options.part in (None, "share"):
        for resamples in (0, 100):
            found[f"share{resamples}"] = share(options.data, options.clips, resamples, options.metrics)
    if options.part in (None, "memory"):
        small, large = (peak(clips, options.metrics, options.networks) for clips in (options.small, options.large))
        print(
            f"{options.metrics}, {options.networks} networks: most memory {small:.0f} MiB with {options.small:,} "
            f"clips, {large:.0f} MiB with {options.large:,}: {large / small:.3f}, "
            f"{(large - small) / (options.large - options.small) * 1000:.2f} MiB for each 1,000 clips"
        )
        found["memory"] = large / small
    if options.part in (None, "roots"):
        found |= roots()
    print(json.dumps(found))


if __name__ == "__main__":
    main()
