"""The feature networks by name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from footage.errors import ConfigError, nearest
from footage.evaluation.features.base import Extractor
from footage.evaluation.features.learned import load_learned
from footage.evaluation.features.official import OFFICIAL
from footage.evaluation.features.random import SEEDS, RandomExtractor
from footage.evaluation.features.weights import load_official

RANDOM, LEARNED = "random", "learned"
"""The names of all random networks together, and of the one that `--evaluator` gives."""


def extractors(
    names: Sequence[str] = (),
    channels: int = 3,
    weights: Path | None = None,
    evaluator: Path | None = None,
    *,
    sha256: str | None = None,
    device: torch.device | str = "cpu",
) -> list[Extractor]:
    """Return feature networks by their names.

    Args:
        names: `random` for the five networks of tier C, `learned` for the one that `evaluator` gives, or a network of
            `footage.evaluation.features.official.OFFICIAL`. Nothing for the usual: `learned` where `evaluator` is
            given, and
            `random`.
        channels: of the clips, 1 or 3.
        weights: the file of an official network's weights, or a folder that has those of several.
        evaluator: the file of a network that `footage evaluator train` made.
        sha256: what the weights' hash should be, where the true one is not known to us.
        device: where they run.

    Raises:
        ConfigError: a name is not known or that of a network that compares pairs, or `learned` is asked for without
            `evaluator`.
        ModelError: a file is missing, another one than it should be, damaged, or has not passed the ladder.
    """
    found: list[Extractor] = []
    for name in names or ((LEARNED, RANDOM) if evaluator is not None else (RANDOM,)):
        if name == RANDOM:
            found += [RandomExtractor(channels, seed, device) for seed in SEEDS]
        elif name == LEARNED:
            if evaluator is None:
                remedy = "give --evaluator FILE, made with: footage evaluator train DATASET --to FILE"
                raise ConfigError('feature network "learned" has no file', remedy)
            found.append(load_learned(evaluator, device))
        elif name in OFFICIAL and OFFICIAL[name].of == "pair":
            raise ConfigError(f"{name} compares pairs of frames and makes no features", "give another network")
        elif name in OFFICIAL:
            found.append(load_official(name, weights, sha256=sha256, device=device))
        else:
            raise ConfigError(f'feature network "{name}" is not known', nearest(name, [RANDOM, LEARNED, *OFFICIAL]))
    return found
