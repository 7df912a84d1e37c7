"""The fully connected generator: its configuration; `network` has the rest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from footage.config.strict import bounded
from footage.models.generators import GeneratorConfig


@dataclass(frozen=True)
class MlpConfig(GeneratorConfig):
    """The fully connected generator (Goodfellow et al. 2014)."""

    network: ClassVar[str] = "footage.models.generators.mlp.network:MlpGenerator"
    tiny: ClassVar = {"width": 4, "latent": 8, "label": 4}

    kind: Literal["mlp"] = "mlp"
    """Which generator."""
    latent: int = bounded(100, 1)
    """Length of the latent code z."""
    label: int = bounded(64, 1)
    """Length of the label's embedding, where there are labels."""
    width: int = bounded(256, 1, 8192, "units")
    """Units of the first hidden layer; the second has twice, the third four times as many."""
