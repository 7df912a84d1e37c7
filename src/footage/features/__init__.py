"""Frozen feature networks: what turns clips into the vectors that distances are taken of.

Each is an `Extractor` (`footage.features.base`). `footage.features.catalogue` makes them by name.
"""

from footage.features.random import SEEDS, RandomFeatures

__all__ = ["SEEDS", "RandomFeatures"]
