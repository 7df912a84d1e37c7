"""Which corruptions of real clips the random features rank by their strength: RFD-rand over its floor.

Half of the real clips are the reference. The other half, as they are, give the floor; spoiled, they give a figure for
each corruption and strength. A row is in order when the figures rise from the floor on with the strength: the means
over the seeds, and how many of the seeds by themselves. A class is dropped by putting other clips in the place of its
own. Playing backwards cannot show where clips look alike both ways, hence the last row, where they come out of the
dark. Usage: python benchmarks/features.py [DATA] [CLIPS] [SIDE] [CORRUPTION ...]
"""

from __future__ import annotations

import itertools
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from footage.config import ClipConfig
from footage.data.clips import Loader, open_clips
from footage.evaluation.features.ladder import CORRUPTIONS
from footage.generation.rollout import from_uint8
from footage.metrics.clip_vectors import SEEDS, RandomFeatures
from footage.metrics.distances import Gaussian, frechet

BATCH = 16
"""Clips that are taken in at once."""


def described(net: RandomFeatures, clips: Tensor) -> Gaussian:
    """Return mean and covariance of the features of clips (N, C, T, H, W)."""
    found = Gaussian(net.size)
    for batch in torch.split(clips, BATCH):
        found.add(net(batch))
    return found


def without_classes(clips: Tensor, labels: list[int], spare: Tensor, spare_labels: list[int]) -> Iterator[Tensor]:
    """Yield the clips without the first class, without the first two, and so on, as many as before."""
    classes = sorted(set(labels))
    for number in range(1, len(classes)):
        gone = classes[:number]
        others = itertools.cycle([clip for clip, label in zip(spare, spare_labels, strict=True) if label not in gone])
        yield torch.stack([next(others) if label in gone else clip for clip, label in zip(clips, labels, strict=True)])


def variants(
    clips: Tensor, labels: list[int], spare: Tensor, spare_labels: list[int]
) -> Iterator[tuple[str, str, Tensor]]:
    """Yield corruption, strength and spoiled clips."""
    for name, (corrupt, strengths) in CORRUPTIONS.items():
        for strength in strengths:
            yield name, f"{strength:g}", corrupt(clips, strength, torch.Generator().manual_seed(0))
    if min(labels) >= 0:
        for number, kept in enumerate(without_classes(clips, labels, spare, spare_labels), 1):
            yield "dropped classes", str(number), kept


def brightening(clips: Tensor) -> Tensor:
    """Let clips come out of the dark, so that they look otherwise when played backwards."""
    ramp = torch.linspace(0.2, 1, clips.shape[2]).view(1, 1, -1, 1, 1)
    return (clips + 1) * ramp - 1


def over_floor(nets: Sequence[RandomFeatures], reference: Tensor, fresh: Tensor) -> Callable[[Tensor], list[float]]:
    """Return a function that gives RFD-rand over the floor, one figure for each network, for spoiled clips."""
    known = [described(net, reference) for net in nets]
    floor = [frechet(described(net, fresh), real) for net, real in zip(nets, known, strict=True)]
    print(f"floor {statistics.mean(floor):.4f} ± {statistics.stdev(floor):.4f}")

    def figures(spoiled: Tensor) -> list[float]:
        found = [frechet(described(net, spoiled), real) for net, real in zip(nets, known, strict=True)]
        return [figure / least for figure, least in zip(found, floor, strict=True)]

    return figures


def main() -> None:
    """Measure and print one table."""
    torch.set_num_threads(1)
    data, count, side, *wanted = [*sys.argv[1:], *("shapes", "192", "32")[len(sys.argv) - 1 :]]
    number, size = int(count), int(side)
    source = open_clips(data, ClipConfig(frames=16, height=size, width=size))
    frames, drawn = Loader(source, "train", frames=16, batch_size=4 * number, seed=0).batch(0)
    clips, labels = from_uint8(frames), drawn.tolist()
    reference, fresh, spare = clips[:number], clips[number : 2 * number], clips[2 * number :]
    nets = [RandomFeatures(source.shape[2], seed) for seed in SEEDS]
    begin = time.perf_counter()
    described(nets[0], reference)
    print(f"{(time.perf_counter() - begin) / number * 1e3:.1f} ms a clip and network on one core")
    rows: dict[str, list[tuple[str, list[float]]]] = {}
    figures = over_floor(nets, reference, fresh)
    for name, strength, spoiled in variants(fresh, labels[number : 2 * number], spare, labels[2 * number :]):
        if not wanted or name.split()[0] in wanted:
            rows.setdefault(name, []).append((strength, figures(spoiled)))
    if not wanted or "brightening" in wanted:
        figures = over_floor(nets, brightening(reference), brightening(fresh))
        name, (corrupt, strengths) = "reverse, of brightening clips", CORRUPTIONS["reverse"]
        for part in strengths:
            spoiled = corrupt(brightening(fresh), part, torch.Generator())
            rows.setdefault(name, []).append((f"{part:g}", figures(spoiled)))
    title = f"RFD-rand : floor on {source.name}, {number} clips of {' × '.join(map(str, clips.shape[2:]))}"
    table, in_order = as_table(rows, title)
    Console(width=150).print(table)
    print(json.dumps({"in order": in_order / len(rows)}))


def as_table(rows: dict[str, list[tuple[str, list[float]]]], title: str) -> tuple[Table, int]:
    """Lay out corruption -> (strength, RFD-rand over its floor for each seed), and count which are in order."""
    count, table = 0, Table("corruption", "strength: RFD-rand / floor, mean ± sd of the seeds", "in order", title=title)
    for name, found in rows.items():
        cells = [f"{key}: {statistics.mean(x):.2f} ± {statistics.stdev(x):.2f}" for key, x in found]
        columns = list(zip(*(x for _, x in found), strict=True))
        mean, *each = (
            all(a < b for a, b in itertools.pairwise((1.0, *column)))
            for column in ([statistics.mean(x) for _, x in found], *columns)
        )
        table.add_row(name, "   ".join(cells), f"{'yes' if mean else 'no'}, {sum(each)} of {len(each)}")
        count += mean
    return table, count


if __name__ == "__main__":
    main()
