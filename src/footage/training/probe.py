"""The automatic probe of the penalties' weight: short trainings with more and with less of it, before the long one.

How strong R1 and R2 have to be depends on the data, and no rule is known for it. Too weak, and the critic wins; too
strong, and it hardly learns. So a run's first part is tried with several weights, and the largest is kept that learns
about as well as the best: later in the run a weak penalty costs more than a strong one.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from pathlib import Path

from rich.console import Console

from footage.config import Config
from footage.errors import ConfigError, TrainingError
from footage.training.comparison import Limit, compare

FACTORS = (4.0, 1.0, 0.25)
"""How much of the penalties is tried."""
PART = 0.05
"""Part of the run that each trial takes."""
WORSE = 1.3
"""A weight learns as well as the best where its Fréchet distance is at most this many times as large."""
SAMPLES = 64
"""Clips that each trial is measured by."""


def trials(config: Config) -> dict[float, Config]:
    """Return the configurations to try, by the factor of their penalties.

    Raises:
        ConfigError: there is no such penalty.
    """
    gan = config.gan
    if config.method != "gan" or not (gan.r1 or gan.r2):
        raise ConfigError("there is no R1 or R2 to probe", "leave --probe out, or give --gan.r1 1")
    return {
        factor: dataclasses.replace(
            config,
            preset=f"{config.preset}-r1x{factor:g}",
            gan=dataclasses.replace(gan, r1=gan.r1 * factor, r2=gan.r2 * factor),
        )
        for factor in FACTORS
    }


def chosen(distances: dict[float, float]) -> float:
    """Return the largest factor whose distance is at most `WORSE` times the least, from the distance of each factor."""
    best = min(distances.values())
    return max(factor for factor, distance in distances.items() if distance <= WORSE * best)


def probe(data: str, config: Config, out: Path, *, limit: Limit, console: Console) -> tuple[Config, bool]:
    """Find the weight of R1 and R2 for a data set.

    Args:
        data: a dataset folder, or the name of a built-in data set.
        config: what is to be trained.
        out: folder for the trials; called again, what is trained there is not trained again.
        limit: of the run that is to follow; each trial takes `PART` of it.
        console: where to speak.

    Returns:
        The configuration with the weight, and whether the user stopped before it was found.

    Raises:
        ConfigError: there is no such penalty.
        TrainingError: no trial could be measured.
    """
    tried = trials(config)
    minutes, clips = limit.minutes, limit.clips
    short = Limit(minutes and minutes * PART, clips and max(1, round(clips * PART)), limit.flops and limit.flops * PART)
    comparison = compare(
        data, list(tried.values()), out, limit=short, seed=config.train.seed, samples=SAMPLES, console=console
    )
    if comparison.interrupted:
        return config, True
    distances = {
        factor: statistics.mean(row["figures"]["rfd"])
        for factor, row in zip(tried, comparison.models, strict=True)
        if row["status"] == "done" and row["figures"] and all(map(math.isfinite, row["figures"]["rfd"]))
    }
    if not distances:
        raise TrainingError(f"no trial in {out} could be measured", "train without --probe, with a lower --gan.lr")
    factor = chosen(distances)
    gan = tried[factor].gan
    measured = ", ".join(f"×{part:g}: {distance:.4g}" for part, distance in distances.items())
    console.print(f"RFD-rand {measured}; going on with r1 {gan.r1:g}, r2 {gan.r2:g}\n", highlight=False)
    return dataclasses.replace(config, gan=gan), False
