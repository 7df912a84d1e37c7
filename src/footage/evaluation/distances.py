"""Figures of features: Fréchet and kernel distance, precision, recall, density, coverage, Inception Score, accuracy."""

from __future__ import annotations

import statistics
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from footage.evaluation.describe import Described, logits_name
from footage.evaluation.draws import HOW_ONE, interval
from footage.evaluation.evidence import Evidence, Group, groups_of, label_of
from footage.evaluation.results import Curve, Figure, Interval
from footage.metrics.frechet import frechet, gaussian
from footage.metrics.inception import SPLITS, accuracy, inception_score
from footage.metrics.kernel import KernelDistance, kernel_distance
from footage.metrics.manifold import DENSITY_K, manifold
from footage.metrics.resampling import LEVEL, mean_interval

LARGE = 1024
"""Length of features from which Fréchet distances are resampled less often: their roots take seconds."""
FEW = 20
"""How often they are then."""
T_NINE = 2.262
"""Quantile of Student's distribution with SPLITS - 1 degrees of freedom, for intervals of 95%."""
NAMES = {"precision": "made", "density": "made", "recall": "real", "coverage": "real"}
"""Figures of the manifold, and the side whose clips they are means over."""


def over_networks(group: Group, measure: Callable[[str], float]) -> list[float]:
    """Return a figure by each network of a group."""
    return [measure(name) for name in group.names]


def frechet_figure(found: Evidence, group: Group, metric: str) -> Figure:
    """Return the Fréchet distance of the two sides by a group of networks."""

    def distance(pair: tuple[Described, Described], name: str) -> float:
        return frechet(*(gaussian(side.rows[name]) for side in pair))

    values = over_networks(group, lambda name: distance((found.made, found.real), name))
    floors = over_networks(group, lambda name: distance(found.floor, name)) if found.floor else []  # type: ignore[arg-type]
    drawn = []
    for draw in range(min(found.resamples, FEW) if group.size > LARGE else found.resamples):
        one = []
        for name in group.names:
            made = found.made_draws.gaussian(found.made.rows[name], draw, found.made.each[name])
            real = found.real_draws.gaussian(found.real.rows[name], draw, found.real.each[name])
            one.append(frechet(made, real))
        drawn.append(statistics.mean(one))
    value = statistics.mean(values)
    return found.figure(
        metric,
        "frechet",
        label_of("frechet", group, found.frames, found.stride),
        value,
        better="lower",
        floor=statistics.mean(floors) if floors else None,
        group=group,
        by_network=values,
        interval=interval(value, drawn),
    )


def _frechet(found: Evidence, metric: str, of: str) -> list[Figure]:
    return [frechet_figure(found, group, metric) for group in groups_of(found.nets) if group.of == of]


def fvd(found: Evidence) -> tuple[list[Figure], list[Curve]]:
    """Return the Fréchet distances of networks that describe whole clips."""
    return _frechet(found, "fvd", "clip"), []


def fid(found: Evidence) -> tuple[list[Figure], list[Curve]]:
    """Return the Fréchet distances of networks that describe single frames."""
    return _frechet(found, "fid", "frame"), []


def _kernel(found: Evidence, metric: str, of: str) -> list[Figure]:
    figures = []
    for group in (group for group in groups_of(found.nets) if group.of == of):
        parts: list[KernelDistance] = []
        for name in group.names:
            whole = kernel_distance(found.made.rows[name], found.real.rows[name])
            sides = []
            for added, side in ((whole.first, found.made), (whole.second, found.real)):
                sides.append(added.view(-1, side.each[name]).mean(dim=1))  # one value a clip
            parts.append(KernelDistance(whole.value, *sides))
        floors = []
        if found.floor:
            floors = [kernel_distance(*(side.rows[name] for side in found.floor)).value for name in group.names]
        values = [part.value for part in parts]
        means = [torch.stack([getattr(part, side) for part in parts]).mean(dim=0) for side in ("first", "second")]
        low, high = mean_interval(means, seed=found.seed, scale=2.0, resamples=max(2, found.resamples))
        how = f"clips of both sides drawn anew {found.resamples} times, the distance linearised in them"
        figures.append(
            found.figure(
                metric,
                "kernel",
                label_of("kernel", group, found.frames, found.stride),
                statistics.mean(values),
                better="lower",
                floor=statistics.mean(floors) if floors else None,
                group=group,
                by_network=values,
                interval=Interval(low, high, LEVEL, how) if found.resamples > 1 else None,
            )
        )
    return figures


def kvd(found: Evidence) -> tuple[list[Figure], list[Curve]]:
    """Return the kernel distances of networks that describe whole clips."""
    return _kernel(found, "kvd", "clip"), []


def kid(found: Evidence) -> tuple[list[Figure], list[Curve]]:
    """Return the kernel distances of networks that describe single frames."""
    return _kernel(found, "kid", "frame"), []


def prdc(found: Evidence) -> tuple[list[Figure], list[Curve]]:
    """Return precision, recall, density and coverage of networks that describe whole clips."""
    figures: list[Figure] = []
    enough = min(found.counts) > DENSITY_K
    for group in (group for group in groups_of(found.nets) if group.of == "clip" and enough):
        parts = [manifold(found.made.rows[name], found.real.rows[name]) for name in group.names]
        floors = []
        if found.floor and min(side.count for side in found.floor) > DENSITY_K:
            floors = [manifold(*(side.rows[name] for side in found.floor)) for name in group.names]
        for name, side in NAMES.items():
            by_clip = torch.stack([getattr(part, name) for part in parts])  # network, clip
            low, high = mean_interval([by_clip.mean(dim=0)], seed=found.seed, resamples=max(2, found.resamples))
            how = f"clips of the {side} side drawn anew {found.resamples} times, the neighbourhoods held fast"
            values = by_clip.mean(dim=1).tolist()
            figures.append(
                found.figure(
                    "prdc",
                    name,
                    label_of(name, group, found.frames, found.stride),
                    statistics.mean(values),
                    better="one" if name == "density" else "higher",
                    floor=statistics.mean(float(getattr(floor, name).mean()) for floor in floors) if floors else None,
                    group=group,
                    by_network=values,
                    interval=Interval(low, high, LEVEL, how) if found.resamples > 1 else None,
                )
            )
    return figures, []


def _score(side: Described, name: str) -> list[float]:
    return inception_score(side.rows[name])


def inception(found: Evidence) -> tuple[list[Figure], list[Curve]]:
    """Return the Inception Score by each network that tells classes apart."""
    figures: list[Figure] = []
    for group in groups_of(found.nets):
        name = logits_name(group.names[0])
        if name not in found.made.rows or min(found.counts) < SPLITS:
            continue
        parts = _score(found.made, name)
        mean, real = statistics.mean(parts), statistics.mean(_score(found.real, name))
        reach = T_NINE * statistics.stdev(parts) / SPLITS**0.5
        how = f"Student's distribution over the {SPLITS} splits"
        figures.append(
            found.figure(
                "is",
                "inception_score",
                label_of("inception_score", group, found.frames, found.stride),
                mean,
                better="higher",
                group=group,
                by_network=[mean],
                interval=Interval(mean - reach, mean + reach, LEVEL, how),
                real=real,
                note=f"mean of {SPLITS} splits, {statistics.stdev(parts):.3g} standard deviation between them",
            )
        )
    return figures, []


def label_accuracy(found: Evidence) -> tuple[list[Figure], list[Curve]]:
    """Return how many clips that were made show the class that was asked for, by networks that know all classes."""
    figures: list[Figure] = []
    for group in groups_of(found.nets):
        about = group.members[0]
        name = logits_name(about.name)
        if name not in found.made.rows or not found.made_labels or not about.classes:
            continue
        if not set(found.made_labels) <= set(about.classes) or int(found.made.labels.min()) < 0:
            continue
        by_side: list[Tensor | None] = []
        for side, labels in ((found.made, found.made_labels), (found.real, found.real_labels)):
            if not set(labels) <= set(about.classes) or not labels or int(side.labels.min()) < 0:
                by_side.append(None)
                continue
            place = np.array([about.classes.index(label) for label in labels])
            wanted = torch.from_numpy(np.repeat(place[side.labels], side.each[name]))
            by_side.append(accuracy(side.rows[name], wanted).view(-1, side.each[name]).mean(dim=1))
        made, real = by_side
        assert made is not None
        drawn = [float(torch.from_numpy(w).double() @ made) / len(made) for w in found.made_draws.weights]
        value = float(made.mean())
        figures.append(
            found.figure(
                "accuracy",
                "label_accuracy",
                f"label accuracy [{about.name}]",
                value,
                better="higher",
                group=group,
                by_network=[value],
                interval=interval(value, drawn, HOW_ONE),
                real=None if real is None else float(real.mean()),
            )
        )
    return figures, []
