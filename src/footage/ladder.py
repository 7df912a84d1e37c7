"""The corruption ladder: real clips, spoiled step by step, that a measure of quality has to rank before it counts.

Clips are compared with other real clips: as they are (the floor), then blurred, noisy, frozen, shuffled, stuttering,
backwards or without a class, each at five strengths. The figures of a corruption rise when each is above the one before
it, the floor included.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from footage.features.base import Extractor, Frames
from footage.features.random import SEEDS, RandomExtractor
from footage.metrics.corruptions import CORRUPTIONS, PARTS, drop
from footage.metrics.frechet import Gaussian, frechet

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

Measure = Callable[[Frames], float]
"""The figure of clips uint8 (N, T, H, W, C) beside real ones: the more, the worse."""
Measures = Callable[[Frames], dict[str, float]]
"""Several of them, by name."""


@dataclass(frozen=True)
class Rung:
    """What became of one corruption."""

    corruption: str
    """Its name."""
    strengths: tuple[float, ...]
    """How strong it was, weakest first."""
    figures: tuple[float, ...]
    """The figure at each strength."""
    rises: bool
    """Whether each is above the one before it, the first above the floor."""
    required: bool
    """Whether a proxy that does not rank it is refused."""


@dataclass(frozen=True)
class Ladder:
    """What the ladder came to."""

    floor: float
    """The figure of clips as they are."""
    rungs: tuple[Rung, ...]
    """One for each corruption."""
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
        """Return all of it as plain values."""
        value = {**asdict(self), "failures": list(self.failures), "passed": self.passed}
        value["rungs"] = [{**asdict(r), "strengths": list(r.strengths), "figures": list(r.figures)} for r in self.rungs]
        return value


def described(extractor: Extractor, clips: Frames) -> Gaussian:
    """Return mean and covariance of the features of clips uint8 (N, T, H, W, C)."""
    found = Gaussian(extractor.about.size)
    for first in range(0, len(clips), BATCH):
        found.add(extractor.features(clips[first : first + BATCH]))
    return found


def distance_from(extractor: Extractor, reference: Frames) -> Measure:
    """Return what gives the Fréchet distance of clips to a reference in an extractor's features."""
    known = described(extractor, reference)
    return lambda clips: frechet(described(extractor, clips), known)


def mean_distance_from(extractors: Sequence[Extractor], reference: Frames) -> Measure:
    """Return what gives the mean of the Fréchet distances in several networks, each over its own reference."""
    each = [distance_from(extractor, reference) for extractor in extractors]
    return lambda clips: sum(measure(clips) for measure in each) / len(each)


def to_clips(frames: Frames) -> Tensor:
    """Turn uint8 (N, T, H, W, C) into (N, C, T, H, W) in [-1, 1]."""
    return torch.from_numpy(frames).permute(0, 4, 1, 2, 3).float() / 127.5 - 1


def to_frames(clips: Tensor) -> Frames:
    """Turn (N, C, T, H, W) in [-1, 1] into uint8 (N, T, H, W, C)."""
    levels = ((clips + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    frames: Frames = levels.permute(0, 2, 3, 4, 1).contiguous().numpy()
    return frames


def spoiled(frames: Frames, labels: Sequence[int], seed: int = 0) -> Iterator[tuple[str, float, Frames]]:
    """Yield corruption, strength and spoiled clips, one at a time.

    Args:
        frames: real clips, uint8 (N, T, H, W, C).
        labels: their classes, -1 for none.
        seed: of the random draws, the same for every strength.
    """
    clips = to_clips(frames)
    for name, (corrupt, strengths) in CORRUPTIONS.items():
        for strength in strengths:
            yield name, strength, to_frames(corrupt(clips, strength, torch.Generator().manual_seed(seed)))
    known = sorted({label for label in labels if label >= 0})
    if len(known) > 1:
        gone = max(known, key=lambda label: (list(labels).count(label), -label))
        for part in PARTS:
            yield DROPPED, part, to_frames(drop(clips, labels, part, torch.Generator().manual_seed(seed), gone=gone))


def arrow_of_time(reference: Frames, fresh: Frames) -> float:
    """Return how often a linear probe tells clips from the same clips played backwards; .5 is guessing.

    Ridge regression on the features of the random networks: fitted on the clips of `reference` and their reverse,
    tried on `fresh` and theirs, (N, T, H, W, C) each.
    """
    nets = [RandomExtractor(reference.shape[-1], seed) for seed in SEEDS]

    def both(clips: Frames) -> tuple[Tensor, Tensor]:
        ways = [clips, clips[:, ::-1]]
        found = [
            torch.cat(
                [torch.cat([net.features(way[n : n + BATCH]) for net in nets], 1) for n in range(0, len(way), BATCH)]
            )
            for way in ways
        ]
        return torch.cat(found).double(), torch.cat([torch.ones(len(clips)), -torch.ones(len(clips))]).double()

    x, y = both(reference)
    unit = x.std(dim=0).clamp(min=1e-9)
    x, middle = x / unit, (x / unit).mean(dim=0)
    gram = (x - middle) @ (x - middle).T  # fewer clips than features: the dual form
    weights = (x - middle).T @ torch.linalg.solve(gram + RIDGE * gram.diagonal().mean() * torch.eye(len(gram)), y)
    x, y = both(fresh)
    return float((((x / unit - middle) @ weights).sign() == y).double().mean())


def climb(
    measure: Measure,
    fresh: Frames,
    labels: Sequence[int],
    *,
    arrow: float = 0.5,
    seed: int = 0,
    note: str = "",
    show: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> Ladder:
    """Let a measure climb the ladder.

    Args:
        measure: the figure of clips beside a reference that it knows.
        fresh: real clips that the reference has not, uint8 (N, T, H, W, C).
        labels: their classes, -1 for none.
        arrow: see `arrow_of_time`.
        seed: of the random draws.
        note: where the clips are from.
        show: is told what is done, how much of it, and of how much.
    """

    def alone(frames: Frames) -> dict[str, float]:
        return {"": measure(frames)}

    return climb_together(alone, fresh, labels, arrow=arrow, seed=seed, note=note, show=show)[""]


def climb_together(
    measures: Measures,
    fresh: Frames,
    labels: Sequence[int],
    *,
    arrow: float = 0.5,
    seed: int = 0,
    note: str = "",
    show: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> dict[str, Ladder]:
    """Let several measures climb with the same clips, which are spoiled once; see `climb`."""
    floors = measures(fresh)
    rungs: dict[str, list[Rung]] = {name: [] for name in floors}
    total = len(CORRUPTIONS) + (len({label for label in labels if label >= 0}) > 1)
    groups = itertools.groupby(spoiled(fresh, labels, seed), key=lambda item: item[0])
    for done, (corruption, group) in enumerate(groups, 1):
        found = [(strength, measures(clips)) for _, strength, clips in group]
        strengths, required = tuple(strength for strength, _ in found), _required(corruption, labels, arrow)
        for name, floor in floors.items():
            figures = tuple(values[name] for _, values in found)
            rises = all(weak < strong for weak, strong in itertools.pairwise((floor, *figures)))
            rungs[name].append(Rung(corruption, strengths, figures, rises, required))
        show("the ladder", done, total)
    return {name: Ladder(floor, tuple(rungs[name]), len(fresh), arrow, note) for name, floor in floors.items()}


def _required(name: str, labels: Sequence[int], arrow: float) -> bool:
    """Whether a proxy has to rank a corruption of such clips."""
    if name == DROPPED:
        counts = np.unique([label for label in labels if label >= 0], return_counts=True)[1]
        return bool(len(counts) > 1 and counts.min() >= FEWEST)
    return arrow >= ARROW if name == "reverse" else name in REQUIRED
