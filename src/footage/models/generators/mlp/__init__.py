"""The fully connected generator: its configuration; `network` has the rest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from footage.config.strict import require
from footage.models.generators import GeneratorConfig


@dataclass(frozen=True)
class MlpConfig(GeneratorConfig):
    """The fully connected generator (Goodfellow et al. 2014)."""

    network: ClassVar[str] = "footage.models.generators.mlp.network:MlpGenerator"
    tiny: ClassVar = {"width": 4, "latent": 8, "label": 4}

    kind: Literal["mlp"] = "mlp"
    """Which generator."""
    latent: int = 100
    """Length of the latent code z."""
    label: int = 64
    """Length of the label's embedding, where there are labels."""
    width: int = 256
    """Units of the first hidden layer; the second has twice, the third four times as many."""

    def __post_init__(self) -> None:
        """Refuse sizes below one."""
        self._check_sizes()
        require(1 <= self.width <= 8192, "net.width", self.width, "give 1 to 8192 units")
