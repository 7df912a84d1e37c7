"""Poisoned data: floods of near-copies, exchanged labels, trigger patches, planted in clips that are clean otherwise.

Precision and recall of what `footage audit` finds, over several draws of what is planted, on the built-in shapes and
digits at 64×64; beside, what it finds in the same clips before anything is planted.

python benchmarks/poison.py [--clips 400] [--draws 3]
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from footage.data.clips import BuiltInClips
from footage.data.poisoning import SIDE, Kind, find_suspicious
from footage.media.signatures import moments, pool

FRAMES, SIDE_OF_CLIPS = 16, 64
FIRST = 100_000
"""Number of the first clip: features and thresholds were chosen on the first 300."""
Clips = np.ndarray[Any, np.dtype[np.uint8]]


def clean(name: str, count: int, first: int) -> tuple[Clips, list[str]]:
    """Return built-in clips, uint8 (N, T, H, W, C), and their labels."""
    source = BuiltInClips(name, height=SIDE_OF_CLIPS, width=SIDE_OF_CLIPS, channels=3)
    clips = np.stack([source.read(first + number, 0, FRAMES) for number in range(count)])
    return clips, [str(source.label(first + number)) for number in range(count)]


def flooded(
    clips: Clips, labels: list[str], rng: np.random.Generator, part: float
) -> tuple[Clips, list[str], set[int]]:
    """Put noisy, brighter and darker copies of one clip in the place of some."""
    chosen = rng.choice(len(clips), max(6, round(part * len(clips))), replace=False).tolist()
    clips, labels = clips.copy(), list(labels)
    for clip in chosen[1:]:
        noise = rng.normal(0, 3, clips[chosen[0]].shape) + rng.uniform(-6, 6)
        clips[clip] = np.clip(clips[chosen[0]] + noise, 0, 255).astype(np.uint8)
        labels[clip] = labels[chosen[0]]
    return clips, labels, set(chosen)


def exchanged(
    clips: Clips, labels: list[str], rng: np.random.Generator, part: float
) -> tuple[Clips, list[str], set[int]]:
    """Give some clips another label."""
    names, labels = sorted(set(labels)), list(labels)
    chosen = rng.choice(len(clips), round(part * len(clips)), replace=False).tolist()
    for clip in chosen:
        labels[clip] = str(rng.choice([name for name in names if name != labels[clip]]))
    return clips, labels, set(chosen)


def triggered(
    clips: Clips, labels: list[str], rng: np.random.Generator, part: float
) -> tuple[Clips, list[str], set[int]]:
    """Put a patch of 7×7 pixels into a corner of some clips of any label, which become one label's."""
    clips, labels, target = clips.copy(), list(labels), sorted(set(labels))[0]
    chosen = rng.choice(len(clips), round(part * len(clips)), replace=False).tolist()
    patch = np.kron(rng.integers(0, 2, (7, 7, 1)), np.ones((1, 1, 3))) * 220
    for clip in chosen:
        clips[clip, :, 3:10, 52:59] = np.clip(patch + rng.normal(0, 4, (FRAMES, 7, 7, 3)), 0, 255)
        labels[clip] = target
    return clips, labels, set(chosen)


PLANTED: dict[Kind, Any] = {"flood": flooded, "label": exchanged, "trigger": triggered}


def found(clips: Clips, labels: Sequence[str]) -> dict[str, set[int]]:
    """Return the clips that are suspicious, by kind."""
    copies = np.stack([pool(clip[moments(len(clip))], SIDE).round().astype(np.uint8) for clip in clips])
    clips_of: dict[str, set[int]] = {kind: set() for kind in PLANTED}
    for each in find_suspicious(copies, labels, [str(number) for number in range(len(clips))], [1.0] * len(clips)):
        clips_of[each.kind] |= set(each.clips)
    return clips_of


def main() -> None:
    """Plant, look, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=400)
    parser.add_argument("--draws", type=int, default=3)
    options = parser.parse_args()
    table = Table("clips", "planted", "part", "precision", "recall", "found in clean clips")
    for name in ("shapes", "digits"):
        draws = [clean(name, options.clips, FIRST + draw * options.clips) for draw in range(options.draws)]
        before = [found(*drawn) for drawn in draws]
        for kind, plant in PLANTED.items():
            alarms = statistics.mean(len(clips[kind]) for clips in before)
            for part in (0.05, 0.1):
                precision, recall = [], []
                for draw, drawn in enumerate(draws):
                    clips, labels, planted = plant(*drawn, np.random.default_rng(draw), part)
                    seen = found(clips, labels)[kind]
                    precision.append(len(seen & planted) / len(seen) if seen else 1.0)
                    recall.append(len(seen & planted) / len(planted))
                figures = (f"{statistics.mean(values):.2f}" for values in (precision, recall))
                table.add_row(name, kind, f"{part:.0%}", *figures, f"{alarms:.1f} of {options.clips}")
    Console().print(table)


if __name__ == "__main__":
    main()
