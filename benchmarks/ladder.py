"""The corruption ladder for the trained network (tier B), the random ones (C) and the closed forms (D): a table.

python benchmarks/ladder.py DATA [--evaluator FILE] [--clips 96] [--frames 16]

Clips that a trained network did not learn from are divided in two halves, file by file: one is the reference, the other
is spoiled, step by step. A cell is the figure over the floor, that of the other half as it is. Tier B's part is read
from the network's own file: the ladder that it climbed when it was trained. `yes` is a figure that rises from the floor
on with every step. DATA is divided as `footage evaluator train` does it with its own defaults.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from footage.config import ClipConfig
from footage.data.clips import open_clips
from footage.evaluator.division import divide
from footage.evaluator.training import halves, windows
from footage.features.base import Frames
from footage.features.learned import read_made
from footage.features.random import SEEDS, RandomExtractor
from footage.flow import horn_schunck
from footage.ladder import Ladder, Measure, arrow_of_time, climb, mean_distance_from, to_clips
from footage.metrics.fidelity import sharpness, ssim
from footage.metrics.frechet import Gaussian, frechet
from footage.metrics.motion import diversity, motion_distance, motion_energies, spectrum_distance, temporal_power
from footage.metrics.rhythm import flicker
from footage.metrics.tracks import histogram_distance, histograms

BATCH = 16
"""Clips that are described at once."""
PAIRS, APART = 64, 5
"""Pairs of clips whose likeness is measured, and every how many frames."""


def likeness(clips: Tensor) -> Tensor:
    """Return the structural similarity of clips drawn two by two, (PAIRS,)."""
    rng = torch.Generator().manual_seed(0)
    first = torch.randint(len(clips), (PAIRS,), generator=rng)
    second = (first + torch.randint(1, len(clips), (PAIRS,), generator=rng)) % len(clips)
    return ssim(clips[first, :, ::APART], clips[second, :, ::APART]).mean(dim=1)


def closed_forms(reference: Frames) -> dict[str, Measure]:
    """Return the measures that need no network, each with its reference."""

    def told(frames: Frames) -> dict[str, Tensor]:
        clips = to_clips(frames)
        parts = torch.split(clips, BATCH)
        flows = [histograms(horn_schunck(part)) for part in parts]
        return {
            "energy": motion_energies(clips),
            "flicker": torch.cat([flicker(part) for part in parts]),
            "sharpness": torch.cat([sharpness(part) for part in parts]),
            "likeness": likeness(clips),
            "power": torch.stack([temporal_power(part) for part in parts]).sum(dim=0),
            "directions": torch.cat([directions for directions, _ in flows]),
            "lengths": torch.cat([lengths for _, lengths in flows]).mean(dim=0),
            "diversity": torch.tensor(diversity(clips), dtype=torch.float64),
        }

    known = told(reference)
    seen: list[tuple[Frames, dict[str, Tensor]]] = []

    def now(frames: Frames) -> dict[str, Tensor]:
        if not seen or seen[0][0] is not frames:
            seen[:] = [(frames, told(frames))]
        return seen[0][1]

    spread = {name: lambda f, name=name: motion_distance(now(f)[name], known[name]) for name in ("energy", "flicker")}
    names = {"energy": "motion energy", "flicker": "flicker"}
    measures: dict[str, Measure] = {names[name]: measure for name, measure in spread.items()}
    measures["temporal spectrum"] = lambda f: spectrum_distance(now(f)["power"], known["power"])
    measures["track lengths"] = lambda f: histogram_distance(now(f)["lengths"], known["lengths"])
    measures["track directions"] = lambda f: frechet(_gaussian(now(f)["directions"]), _gaussian(known["directions"]))
    measures["sharpness"] = lambda f: motion_distance(now(f)["sharpness"], known["sharpness"])
    measures["SSIM diversity"] = lambda f: motion_distance(now(f)["likeness"], known["likeness"])
    measures["pixel diversity"] = lambda f: abs(float((now(f)["diversity"] / known["diversity"]).log()))
    return measures


def _gaussian(rows: Tensor) -> Gaussian:
    return Gaussian(rows.shape[1]).add(rows)


def together(measures: Mapping[str, Measure], fresh: Frames, labels: list[int], arrow: float) -> dict[str, Ladder]:
    """Let several measures climb with the same clips, which are spoiled and described once for all of them."""
    figures: dict[str, list[float]] = {name: [] for name in measures}

    def all_of_them(frames: Frames) -> float:
        for name, measure in measures.items():
            figures[name].append(measure(frames))
        return 0.0

    climb(all_of_them, fresh, labels)
    found = {}
    for name, values in figures.items():
        rest = iter(values)
        found[name] = climb(lambda frames, rest=rest: next(rest), fresh, labels, arrow=arrow)  # type: ignore[misc]
    return found


def rows(tier: str, name: str, ladder: Mapping[str, Any]) -> list[str]:
    """Return a Markdown row for each corruption."""
    found = []
    for rung in ladder["rungs"]:
        floor = ladder["floor"]
        cells = [f"{figure / floor:.3g}" if floor else f"{figure:.3g}" for figure in rung["figures"]]
        ranked = "yes" if rung["rises"] else "**no**"
        found.append(f"| {tier} | {name} | {rung['corruption']} | {', '.join(cells)} | {ranked} |")
    return found


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data")
    parser.add_argument("--evaluator", type=Path)
    parser.add_argument("--clips", type=int, default=96)
    parser.add_argument("--frames", type=int, default=16)
    options = parser.parse_args()
    source = open_clips(options.data, ClipConfig(frames=options.frames))
    _, others = divide(source, 0.5)
    one, two = halves([span for span in others if span.frames >= options.frames], 0)
    reference, _ = windows(source, one, options.frames, options.clips, 0)
    fresh, labels = windows(source, two, options.frames, options.clips, 0)
    arrow = arrow_of_time(reference, fresh)
    print(f"{source.name}: {len(fresh)} windows against {len(reference)}; forwards is told from backwards {arrow:.0%}")
    print("| tier | figure | corruption | figure over floor at five strengths | ranked |\n|---|---|---|---|---|")
    if options.evaluator:
        made = read_made(options.evaluator)
        print("\n".join(rows("B", f"FVD-self[{made.name}, {made.weights_sha256[:12]}]", made.ladder)), flush=True)
    tiers: list[tuple[str, Callable[[], dict[str, Ladder]]]] = [
        ("D", lambda: together(closed_forms(reference), fresh, labels, arrow)),
        ("C", lambda: _random(reference, fresh, labels, arrow)),
    ]
    for tier, measured in tiers:
        begin = time.process_time()
        for name, ladder in measured().items():
            print("\n".join(rows(tier, name, ladder.as_json())), flush=True)
        print(f"tier {tier}: {time.process_time() - begin:.0f} s of one core", flush=True)


def _random(reference: Frames, fresh: Frames, labels: list[int], arrow: float) -> dict[str, Ladder]:
    nets = [RandomExtractor(reference.shape[-1], seed) for seed in SEEDS]
    return {"RFD-rand": climb(mean_distance_from(nets, reference), fresh, labels, arrow=arrow)}


if __name__ == "__main__":
    main()
