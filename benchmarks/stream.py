"""What a stream model promises: speed, memory, seams, and the same quality for ever.

python benchmarks/stream.py MODEL DATASET [--beside MODEL] [--frames 100000] [--clips 64] [--sets 4]

Frames a second of one video on one thread, in bf16, in chunks of 16 and of 1 frame, and beside another model's (A B A
B); peak memory of 100 and of `--frames` frames, each in a process of its own; the largest difference between frames
that were streamed, made at once, and sought; and RFD-rand (no FVD) and motion of `--clips` windows that begin at frame
0, 4,096 and 100,000, for `--sets` sets of seeds: mean and standard deviation.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from footage.data.clips import open_clips
from footage.evaluation.clip_sets import BATCH
from footage.evaluation.feature_cache import FeatureCache
from footage.evaluation.features.catalogue import RandomExtractor
from footage.evaluation.inputs import EvaluationInput, open_input, plan_evaluation
from footage.evaluation.protocols import EvaluationOptions
from footage.evaluation.run import Evaluator
from footage.generation.model import Model
from footage.generation.rollout import Frames, draw_label, from_uint8, one_hot, render, stream
from footage.metrics.clip_vectors import SEEDS
from footage.metrics.distances import Gaussian, frechet, gaussian
from footage.metrics.motion import motion_energies
from footage.models.base import Streams
from footage.models.requests import TimeMapping, VideoRequest

STARTS = (0, 4_096, 100_000)
"""Frames that windows begin at."""
PEAK = """
import re, sys, torch
from pathlib import Path
from footage.models.requests import VideoRequest
from footage.generation.model import Model
from footage.generation.rollout import one_hot, render
torch.set_num_threads(1)
model = Model(Path(sys.argv[1]))
request = VideoRequest(0, one_hot(0, len(model.labels)) if model.labels else None)
count = sum(chunk.shape[1] for chunk in render(model.generator, [request], int(sys.argv[2])))
assert count == int(sys.argv[2])
print(int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text()).group(1)) / 1024)
"""


def request_of(model: Model, seed: int, mapping: TimeMapping | None = None) -> VideoRequest:
    """Return the request for a seed, with a label as often as the training data have it."""
    label = draw_label(model.info.label_shares, seed) if model.labels else None
    named = None if label is None else one_hot(label, len(model.labels))
    return VideoRequest(seed, named, time=mapping or TimeMapping())


def rate(model: Model, chunk: int | None, frames: int = 480) -> float:
    """Return frames a second of one video."""
    segments = stream(model.generator, [request_of(model, 0)], chunk)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for _ in range(3):
            next(segments)
        begin, count = time.perf_counter(), 0
        while count < frames:
            count += next(segments).shape[2]
    return count / (time.perf_counter() - begin)


def peak(folder: Path, frames: int) -> float:
    """Return the peak memory of making frames in a process of its own, in MiB."""
    words = [sys.executable, "-c", PEAK, str(folder), str(frames)]
    return float(subprocess.run(words, capture_output=True, text=True, check=True).stdout)


def seams(model: Model, frames: int = 256) -> tuple[float, float]:
    """Return the largest differences from frames that are made at once, of streamed and of sought ones, parts of 1."""
    sampler = model.sampler
    assert isinstance(sampler, Streams)
    whole = next(sampler.segments([request_of(model, 1)], frames))
    streamed = sampler.segments([request_of(model, 1)], 16)
    parts = torch.cat([next(streamed) for _ in range(frames // 16)], dim=2)
    sought = next(sampler.segments([request_of(model, 1, TimeMapping(start=float(frames - 16)))], 16))
    return float((whole - parts).abs().max() / 2), float((whole[:, :, -16:] - sought).abs().max() / 2)


def windows(model: Model, start: int, seeds: range) -> Iterator[Frames]:
    """Yield clips of a model that begin at a frame of its videos, uint8 (B, T, H, W, C)."""
    for first in range(seeds.start, seeds.stop, BATCH):
        some = range(first, min(first + BATCH, seeds.stop))
        requests = [request_of(model, seed, TimeMapping(start=float(start))) for seed in some]
        yield np.concatenate(list(render(model.generator, requests, model.info.config.clip.frames)), axis=1)


def promises(model: Model, folder: Path, beside: Path | None, frames: int) -> dict[str, float | list[float]]:
    """Print and return speed, seams and memory."""
    chunks: dict[str, tuple[Model, int | None]] = {"chunks of 16": (model, 16), "single frames": (model, 1)}
    if beside:
        chunks[f"beside: {beside.name}"] = (Model(beside), None)
    rates: dict[str, list[float]] = {name: [] for name in chunks}
    for _ in range(3):
        for name, (who, chunk) in chunks.items():
            rates[name].append(rate(who, chunk))
    for name, fps in rates.items():
        print(f"{name}: {statistics.median(fps):,.0f} frames/s ({min(fps):,.0f} to {max(fps):,.0f})", flush=True)
    differences = seams(model)
    print("streamed, sought against at once: {:.1e}, {:.1e} of the range".format(*differences), flush=True)
    few, many = peak(folder, 100), peak(folder, frames)
    print(f"memory: {few:.0f} MiB for 100 frames, {many:.0f} for {frames:,}: {many / few:.3f}", flush=True)
    return {"rate": rates["chunks of 16"], "seams": max(differences), "memory": many / few}


def quality(model: Model, options: argparse.Namespace) -> None:
    """Print the figures of windows that begin at several frames."""
    clip = model.info.config.clip
    nets = [RandomExtractor(clip.channels, seed) for seed in SEEDS]
    how = EvaluationOptions(metrics="fvd", networks="random", clips=options.clips, resamples=0, device="cpu")
    subject = open_input(options.model, protocol=how.full_protocol(), channels=None, fit=how.fit, device="cpu")
    source = EvaluationInput(options.dataset, "dataset", clips=open_clips(options.dataset, clip))
    with FeatureCache(None) as cache:
        evaluator = Evaluator(plan_evaluation(subject, source, how), how, cache, nets=nets)
        (figure,), _ = evaluator.figures(evaluator.figure_inputs())
        real = evaluator.clips[1]
        usual = [gaussian(evaluator.figure_inputs().real.rows[net.about.name]) for net in nets]
    energies = [motion_energies(from_uint8(clips)) for _, clips in real.batches(range(real.count))]
    moves = float(torch.cat(energies).mean())
    print("| windows from frame | RFD-rand, mean and sd of sets | motion, made / real |\n|---|---|---|")
    for start in STARTS:
        rfds, motions = [], []
        for number in range(options.sets):
            sums, motion = [Gaussian(net.about.size) for net in nets], list[float]()
            for clips in windows(model, start, range(number * options.clips, (number + 1) * options.clips)):
                motion += motion_energies(from_uint8(clips)).tolist()
                for net, known in zip(nets, sums, strict=True):
                    known.add(net.features(clips))
            rfds.append(statistics.mean(frechet(a, b) for a, b in zip(sums, usual, strict=True)))
            motions.append(statistics.mean(motion) / moves)
        said = (f"{statistics.mean(x):.4f} ± {statistics.stdev(x):.4f}" for x in (rfds, motions))
        print(f"| {start:,} | {' | '.join(said)} |", flush=True)
    print(f"real against real: {figure.floor.value:.4f}" if figure.floor is not None else "no floor")


def main() -> None:
    """Print what is asked for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("model", type=Path)
    parser.add_argument("dataset")
    parser.add_argument("--beside", type=Path)
    parser.add_argument("--frames", type=int, default=100_000)
    parser.add_argument("--clips", type=int, default=64)
    parser.add_argument("--sets", type=int, default=4)
    parser.add_argument("--only", choices=("promises", "quality"), help="speed, seams and memory; or quality for ever")
    options = parser.parse_args()
    if options.sets < 2:
        parser.error(f"sets is {options.sets}: give 2 or more, a spread is told")
    torch.set_num_threads(1)
    model, found = Model(options.model), dict[str, float | list[float]]()
    if options.only != "quality":
        found = promises(model, options.model, options.beside, options.frames)
    if options.only != "promises":
        quality(model, options)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
