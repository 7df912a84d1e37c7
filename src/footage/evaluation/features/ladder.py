"""The corruption ladder: real clips, spoiled step by step, that a measure of quality has to rank before it counts.

Clips are compared with other real clips: as they are (the floor), then blurred, noisy, frozen, shuffled, stuttering,
backwards or without a class, each at five strengths. The figures of a corruption rise when none falls below the one
before it, the floor included, by more than chance explains, and the last is above the floor by more than that. What
chance explains is found by drawing the clips anew, the same ones for both figures (paired bootstrap; Efron & Tibshirani
1993, chapter 13). A figure that cannot be drawn anew has to rise with every step.

A corruption takes clips (B, C, T, H, W) in [-1, 1] and a strength, and returns clips of the same shape. Random draws
follow from the generator that is given.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from footage.evaluation.features import Extractor, Frames
from footage.evaluation.features.catalogue import RandomExtractor
from footage.generation.rollout import from_uint8, to_uint8
from footage.metrics.clip_vectors import SEEDS
from footage.metrics.distances import Gaussian, frechet

Corruption = Callable[[Tensor, float, torch.Generator], Tensor]


def blur(clips: Tensor, sigma: float, rng: torch.Generator) -> Tensor:
    """Blur each frame with a Gaussian of `sigma` pixels; beyond the border the frame goes on as it ends."""
    reach = math.ceil(3 * sigma)
    kernel = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / sigma) ** 2)
    kernel = (kernel / kernel.sum()).to(clips)
    flat = clips.flatten(0, 2).unsqueeze(1)  # B C T H W -> BCT 1 H W
    flat = F.conv2d(F.pad(flat, (reach, reach, 0, 0), mode="replicate"), kernel.view(1, 1, 1, -1))
    flat = F.conv2d(F.pad(flat, (0, 0, reach, reach), mode="replicate"), kernel.view(1, 1, -1, 1))
    return flat.view(clips.shape)


def noise(clips: Tensor, deviation: float, rng: torch.Generator) -> Tensor:
    """Add Gaussian noise of a standard deviation, in units of [-1, 1], anew in each frame."""
    return (clips + deviation * torch.randn(clips.shape, generator=rng)).clamp(-1, 1)


def freeze(clips: Tensor, part: float, rng: torch.Generator) -> Tensor:
    """Stop each clip so early that the last `part` of its frames hold still; 1 leaves the first frame alone."""
    last = clips.shape[2] - 1
    return clips[:, :, torch.arange(last + 1).clamp(max=round(last * (1 - part)))]


def shuffle(clips: Tensor, part: float, rng: torch.Generator) -> Tensor:
    """Change places among a random `part` of the frames, other ones in each clip."""
    length = clips.shape[2]
    count, orders = round(length * part), []
    for _ in range(len(clips)):
        order = torch.arange(length)
        chosen = torch.randperm(length, generator=rng)[:count]
        order[chosen] = chosen[torch.randperm(count, generator=rng)]
        orders.append(order)
    return torch.stack([clip[:, order] for clip, order in zip(clips, orders, strict=True)])


def stutter(clips: Tensor, repeat: float, rng: torch.Generator) -> Tensor:
    """Show only each `repeat`-th frame, and it `repeat` times."""
    return clips[:, :, torch.arange(clips.shape[2]) // int(repeat) * int(repeat)]


def reverse(clips: Tensor, part: float, rng: torch.Generator) -> Tensor:
    """Play a `part` of the clips backwards."""
    count = round(len(clips) * part)
    return torch.cat([clips[:count].flip(2), clips[count:]])


def drop(
    clips: Tensor, labels: Sequence[int], part: float, rng: torch.Generator, *, gone: int, spare: Tensor | None = None
) -> Tensor:
    """Put clips of other labels in the place of a `part` of those with the label `gone`.

    They are drawn from `spare`, or else from the set itself, which then has copies.
    """
    others = clips[torch.tensor([label != gone for label in labels])] if spare is None else spare
    own = torch.tensor([number for number, label in enumerate(labels) if label == gone])
    chosen = own[torch.randperm(len(own), generator=rng)[: round(len(own) * part)]]
    rounds = -(-len(chosen) // len(others))
    fill = torch.randperm(len(others), generator=rng).repeat(rounds)[: len(chosen)]
    spoiled = clips.clone()
    spoiled[chosen] = others[fill]
    return spoiled


PARTS = (0.2, 0.4, 0.6, 0.8, 1)
"""Strengths of what is done to a part of the frames or of the clips."""
CORRUPTIONS: Mapping[str, tuple[Corruption, Sequence[float]]] = {
    "blur": (blur, (0.5, 1, 2, 3, 4)),
    "noise": (noise, (0.05, 0.1, 0.2, 0.4, 0.8)),
    "freeze": (freeze, PARTS),
    "shuffle": (shuffle, (0.125, 0.25, 0.5, 0.75, 1)),
    "stutter": (stutter, (2, 3, 4, 6, 8)),
    "reverse": (reverse, PARTS),
}
"""Every corruption of clips alone with the strengths that it is tried at, weakest first; `drop` also needs labels."""


BATCH = 16
"""Clips that a network sees at once."""
DROPPED = "dropped class"
"""The corruption that needs labels."""
REQUIRED = ("blur", "noise", "freeze", "shuffle", "stutter", DROPPED)
"""What every proxy has to rank; `reverse` too, where the clips show which way time goes."""
FEWEST = 8
"""Clips that a class must have on the ladder for its loss to be required."""
ARROW = 0.65
"""With this accuracy of a linear probe or more, clips show which way time goes."""
RIDGE = 1e-2
"""Penalty of that probe, as a part of the features' mean variance."""

RESAMPLES = 40
"""How often the clips are drawn anew."""
FALLS = 0.95
"""A figure falls, or rises, when it does so in this part of the draws."""

Measure = Callable[[Frames], Sequence[float]]
"""The figure of clips uint8 (N, T, H, W, C) beside real ones, the more, the worse; then that of each draw of them."""
Measures = Callable[[Frames], dict[str, Sequence[float]]]
"""Several of them, by name."""


@dataclass(frozen=True)
class Rung:
    """What became of one corruption."""

    corruption: str
    strengths: tuple[float, ...]
    """How strong it was, weakest first."""
    figures: tuple[float, ...]
    rises: bool
    """Whether none falls by more than chance explains, and the last is above the floor."""
    strictly: bool
    """Whether each is above the one before it, the first above the floor."""
    required: bool
    """Whether a proxy that does not rank it is refused."""


@dataclass(frozen=True)
class Ladder:
    """What the ladder came to."""

    floor: float
    """The figure of clips as they are."""
    rungs: tuple[Rung, ...]
    clips: int
    """Clips on each side."""
    arrow: float
    """Accuracy of a linear probe that tells forwards from backwards; .5 is guessing."""
    note: str = ""
    """Where the clips are from."""

    @property
    def failures(self) -> tuple[str, ...]:
        """What has to rise and does not, in words."""
        return tuple(
            f"{rung.corruption} is not ranked: {' '.join(f'{x:.4g}' for x in (self.floor, *rung.figures))}"
            for rung in self.rungs
            if rung.required and not rung.rises
        )

    @property
    def passed(self) -> bool:
        """Whether everything that has to rise does."""
        return bool(self.rungs) and not self.failures

    def as_json(self) -> dict[str, Any]:
        value = {**asdict(self), "failures": list(self.failures), "passed": self.passed}
        value["rungs"] = [{**asdict(r), "strengths": list(r.strengths), "figures": list(r.figures)} for r in self.rungs]
        return value


def _features(extractor: Extractor, clips: Frames) -> Tensor:
    """Return the features (N, D) of clips uint8 (N, T, H, W, C)."""
    return torch.cat([extractor.features(clips[n : n + BATCH]) for n in range(0, len(clips), BATCH)])


def _gaussian(features: Tensor) -> Gaussian:
    return Gaussian(features.shape[1]).add(features)


def distance_from(extractor: Extractor, reference: Frames, resamples: int = RESAMPLES) -> Measure:
    """Return what gives the Fréchet distance of clips to a reference in an extractor's features, and of draws of them.

    The reference is uint8 (N, T, H, W, C). The draws are the same for all clips of one number.
    """
    known = _gaussian(_features(extractor, reference))

    def measure(clips: Frames) -> list[float]:
        features, rng = _features(extractor, clips), torch.Generator().manual_seed(len(clips))
        draws = (torch.randint(len(features), (len(features),), generator=rng) for _ in range(resamples))
        return [frechet(_gaussian(rows), known) for rows in (features, *(features[draw] for draw in draws))]

    return measure


def mean_distance_from(extractors: Sequence[Extractor], reference: Frames, resamples: int = RESAMPLES) -> Measure:
    """Return what gives the mean of the Fréchet distances in several networks, each over its own reference."""
    each = [distance_from(extractor, reference, resamples) for extractor in extractors]
    return lambda clips: [
        sum(figures) / len(each) for figures in zip(*(measure(clips) for measure in each), strict=True)
    ]


def spoiled(frames: Frames, labels: Sequence[int], seed: int = 0) -> Iterator[tuple[str, float, Frames]]:
    """Yield corruption, strength and spoiled clips, uint8 (N, T, H, W, C), one at a time; labels are -1 for none."""
    clips = from_uint8(frames)
    for name, (corrupt, strengths) in CORRUPTIONS.items():
        for strength in strengths:
            yield name, strength, to_uint8(corrupt(clips, strength, torch.Generator().manual_seed(seed)))
    known = sorted({label for label in labels if label >= 0})
    if len(known) > 1:
        gone = max(known, key=lambda label: (list(labels).count(label), -label))
        for part in PARTS:
            yield DROPPED, part, to_uint8(drop(clips, labels, part, torch.Generator().manual_seed(seed), gone=gone))


def arrow_of_time(reference: Frames, fresh: Frames) -> float:
    """Return how often a linear probe tells clips from the same clips played backwards; .5 is guessing.

    Ridge regression on the features of the random networks: fitted on the clips of `reference` and their reverse,
    tried on `fresh` and theirs, (N, T, H, W, C) each.
    """
    nets = [RandomExtractor(reference.shape[-1], seed) for seed in SEEDS]

    def both(clips: Frames) -> tuple[Tensor, Tensor]:
        ways = [clips, clips[:, ::-1]]
        features = [
            torch.cat(
                [torch.cat([net.features(way[n : n + BATCH]) for net in nets], 1) for n in range(0, len(way), BATCH)]
            )
            for way in ways
        ]
        return torch.cat(features).double(), torch.cat([torch.ones(len(clips)), -torch.ones(len(clips))]).double()

    x, y = both(reference)
    unit = x.std(dim=0).clamp(min=1e-9)
    x, middle = x / unit, (x / unit).mean(dim=0)
    gram = (x - middle) @ (x - middle).T  # fewer clips than features: the dual form
    weights = (x - middle).T @ torch.linalg.solve(gram + RIDGE * gram.diagonal().mean() * torch.eye(len(gram)), y)
    x, y = both(fresh)
    return float((((x / unit - middle) @ weights).sign() == y).double().mean())


def climb(
    measures: Measures,
    fresh: Frames,
    labels: Sequence[int],
    *,
    arrow: float = 0.5,
    seed: int = 0,
    note: str = "",
    show: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> dict[str, Ladder]:
    """Let measures climb the ladder, each by its name, with the same spoiled clips.

    Args:
        measures: the figures of clips beside a reference that they know.
        fresh: real clips that the reference has not, uint8 (N, T, H, W, C).
        labels: their classes, -1 for none.
        arrow: see `arrow_of_time`.
        seed: of the random draws.
        note: where the clips are from.
        show: is told what is done, how much of it, and of how much.
    """
    floors = measures(fresh)
    rungs: dict[str, list[Rung]] = {name: [] for name in floors}
    total = len(CORRUPTIONS) + (len({label for label in labels if label >= 0}) > 1)
    groups = itertools.groupby(spoiled(fresh, labels, seed), key=lambda item: item[0])
    for done, (corruption, group) in enumerate(groups, 1):
        measured = [(strength, measures(clips)) for _, strength, clips in group]
        strengths, required = tuple(strength for strength, _ in measured), corruption in REQUIRED
        if corruption == DROPPED:  # with enough clips of each class
            counts = np.unique([label for label in labels if label >= 0], return_counts=True)[1]
            required = bool(len(counts) > 1 and counts.min() >= FEWEST)
        elif corruption == "reverse":
            required = arrow >= ARROW
        for name, floor in floors.items():
            steps = [floor, *(values[name] for _, values in measured)]
            figures = tuple(step[0] for step in steps[1:])
            rungs[name].append(Rung(corruption, strengths, figures, rises(steps), strictly_rises(steps), required))
        show("the ladder", done, total)
    return {name: Ladder(floor[0], tuple(rungs[name]), len(fresh), arrow, note) for name, floor in floors.items()}


def strictly_rises(steps: Sequence[Sequence[float]]) -> bool:
    """Whether each figure is above the one before it; a step is a figure, and that of each draw."""
    return all(weak[0] < strong[0] for weak, strong in itertools.pairwise(steps))


def rises(steps: Sequence[Sequence[float]]) -> bool:
    """Whether no figure falls by more than chance explains, and the last is above the first by more than that."""
    if len(steps[0]) < 2:
        return strictly_rises(steps)

    def often(below: Sequence[float], above: Sequence[float]) -> bool:
        draws = [small < large for small, large in zip(below[1:], above[1:], strict=True)]
        return below[0] < above[0] and sum(draws) >= FALLS * len(draws)

    falls = any(often(after, before) for before, after in itertools.pairwise(steps))
    return not falls and often(steps[0], steps[-1])
