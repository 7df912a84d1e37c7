"""The corruption ladder for networks pretrained (tier P), trained (B), random (C), and closed forms (D): a table.

python benchmarks/ladder.py DATA [--evaluator FILE] [--tiers BDCP] [--clips 96] [--frames 16]

Clips that a trained network did not learn from are divided in two halves, file by file: one is the reference, the other
is spoiled, step by step. A cell is the figure over the floor, that of the other half as it is. Tier B's part is read
from the network's own file: the ladder that it climbed when it was trained. `yes` is a figure that rises from the floor
on with every step, `within chance` one whose falls chance explains (tiers B and C, see
`footage.evaluation.features.ladder`). DATA is divided as `footage evaluator train` does it with its own defaults.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from footage.config import ClipConfig
from footage.data.clips import open_clips
from footage.evaluation.features import Frames
from footage.evaluation.features.catalogue import RandomExtractor
from footage.evaluation.features.ladder import (
    Ladder,
    Measures,
    arrow_of_time,
    climb,
    distance_from,
    mean_distance_from,
)
from footage.evaluation.features.learned import divide, read_learned
from footage.evaluation.features.learned_training import halves, windows
from footage.evaluation.features.pretrained import load_pretrained
from footage.generation.rollout import from_uint8
from footage.metrics.clip_vectors import SEEDS
from footage.metrics.distances import Gaussian, frechet
from footage.metrics.image_quality import sharpness, ssim
from footage.metrics.motion import (
    diversity,
    flicker,
    histogram_distance,
    histograms,
    horn_schunck,
    motion_distance,
    motion_energies,
    spectrum_distance,
    temporal_power,
)
from footage.models.feature_networks import FEATURE_NETWORKS

BATCH = 16
"""Clips that are described at once."""
PAIRS, APART = 48, 5
"""Pairs of clips whose likeness is measured, and every how many frames."""


def likeness(clips: Tensor) -> Tensor:
    """Return the structural similarity of clips drawn two by two, (PAIRS,)."""
    rng = torch.Generator().manual_seed(0)
    first = torch.randint(len(clips), (PAIRS,), generator=rng)
    second = (first + torch.randint(1, len(clips), (PAIRS,), generator=rng)) % len(clips)
    return ssim(clips[first, :, ::APART], clips[second, :, ::APART]).mean(dim=1)


def told(frames: Frames) -> dict[str, Tensor]:
    """Return what the closed forms need of clips uint8 (N, T, H, W, C)."""
    clips = from_uint8(frames)
    parts = torch.split(clips, BATCH)
    flows = [histograms(horn_schunck(part)) for part in parts]
    return {
        "energy": motion_energies(clips),
        "flicker": torch.cat([flicker(part) for part in parts]),
        "sharpness": torch.cat([sharpness(part) for part in parts]),
        "likeness": likeness(clips),
        "power": torch.stack([temporal_power(part).sum(dim=0) for part in parts]).sum(dim=0),
        "directions": torch.cat([directions for directions, _ in flows]),
        "lengths": torch.cat([lengths for _, lengths in flows]).mean(dim=0),
        "diversity": torch.tensor(diversity(clips), dtype=torch.float64),
    }


def closed_forms(reference: Frames) -> Measures:
    """Return the figures that need no network, beside a reference."""
    real = told(reference)

    def measured(frames: Frames) -> dict[str, Sequence[float]]:
        made = told(frames)
        found = {
            "motion energy": motion_distance(made["energy"], real["energy"]),
            "flicker": motion_distance(made["flicker"], real["flicker"]),
            "temporal spectrum": spectrum_distance(made["power"], real["power"]),
            "track lengths": histogram_distance(made["lengths"], real["lengths"]),
            "track directions": frechet(_gaussian(made["directions"]), _gaussian(real["directions"])),
            "sharpness": motion_distance(made["sharpness"], real["sharpness"]),
            "SSIM diversity": motion_distance(made["likeness"], real["likeness"]),
            "pixel diversity": abs(float((made["diversity"] / real["diversity"]).log())),
        }
        return {name: [value] for name, value in found.items()}

    return measured


def _gaussian(rows: Tensor) -> Gaussian:
    return Gaussian(rows.shape[1]).add(rows)


def rows(tier: str, name: str, ladder: Mapping[str, Any]) -> list[str]:
    """Return a Markdown row for each corruption."""
    found = []
    for rung in ladder["rungs"]:
        floor = ladder["floor"]
        cells = [f"{figure / floor:.3g}" if floor else f"{figure:.3g}" for figure in rung["figures"]]
        ranked = "yes" if rung["strictly"] else "within chance" if rung["rises"] else "**no**"
        found.append(f"| {tier} | {name} | {rung['corruption']} | {', '.join(cells)} | {ranked} |")
    return found


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data")
    parser.add_argument("--evaluator", type=Path)
    parser.add_argument("--tiers", default="BDC", help="P needs the extra features")
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
    if options.evaluator and "B" in options.tiers:
        learned = read_learned(options.evaluator)
        print(
            "\n".join(rows("B", f"FVD-self[{learned.name}, {learned.weights_sha256[:12]}]", learned.ladder)), flush=True
        )
    tiers: list[tuple[str, Callable[[], dict[str, Ladder]]]] = [
        ("D", lambda: climb(closed_forms(reference), fresh, labels, arrow=arrow)),
        ("C", lambda: _random(reference, fresh, labels, arrow)),
        ("P", lambda: _pretrained(reference, fresh, labels, arrow)),
    ]
    for tier, measured in tiers:
        if tier not in options.tiers:
            continue
        begin = time.process_time()
        for name, ladder in measured().items():
            print("\n".join(rows(tier, name, ladder.as_json())), flush=True)
        print(f"tier {tier}: {time.process_time() - begin:.0f} s of one core", flush=True)


def _random(reference: Frames, fresh: Frames, labels: list[int], arrow: float) -> dict[str, Ladder]:
    nets = [RandomExtractor(reference.shape[-1], seed) for seed in SEEDS]
    measure = mean_distance_from(nets, reference)
    return climb(lambda clips: {"RFD-rand": measure(clips)}, fresh, labels, arrow=arrow)


def _pretrained(reference: Frames, fresh: Frames, labels: list[int], arrow: float) -> dict[str, Ladder]:
    each = {name: distance_from(load_pretrained(name), reference) for name in FEATURE_NETWORKS}
    return climb(
        lambda clips: {f"FD-{name}": measure(clips) for name, measure in each.items()}, fresh, labels, arrow=arrow
    )


if __name__ == "__main__":
    main()
