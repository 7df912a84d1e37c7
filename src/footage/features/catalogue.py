"""The feature networks by name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from footage.errors import ConfigError, nearest
from footage.features.base import Extractor
from footage.features.random import SEEDS, RandomExtractor

RANDOM = "random"
"""The name of all random networks together."""
DEFAULTS = (RANDOM,)
"""What is used when nothing is said."""


def extractors(
    names: Sequence[str] = (),
    channels: int = 3,
    weights: Path | None = None,
    evaluator: Path | None = None,
) -> list[Extractor]:
    """Return feature networks by their names.

    Args:
        names: `random` for the five networks of tier C; nothing for the defaults.
        channels: of the clips, 1 or 3.
        weights: the file of an official network's weights.
        evaluator: the file of a network that `footage evaluator train` made.

    Raises:
        ConfigError: a name is not known.
    """
    found: list[Extractor] = []
    for name in names or DEFAULTS:
        if name != RANDOM:
            raise ConfigError(f'feature network "{name}" is not known', nearest(name, [RANDOM]))
        found += [RandomExtractor(channels, seed) for seed in SEEDS]
    return found
