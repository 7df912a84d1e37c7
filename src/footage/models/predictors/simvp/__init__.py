"""The predictor without recurrence: its configuration; `network` has the rest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from footage.config.strict import require
from footage.models.predictors import PredictorConfig


@dataclass(frozen=True)
class SimVpConfig(PredictorConfig):
    """The predictor without recurrence: SimVP (Gao et al. 2022) with gated attention (Tan et al. 2022)."""

    network: ClassVar[str] = "footage.models.predictors.simvp.network:SimVp"
    tiny: ClassVar = {"width": 4, "hidden": 8, "layers": 1}
    untaught: ClassVar[str] = "makes all frames at once"

    kind: Literal["simvp"] = "simvp"
    """Which network."""
    width: int = 32
    """Channels of each frame's features, at a quarter of the size."""
    hidden: int = 192
    """Channels of all frames' features together, inside the translator."""
    layers: int = 6
    """Blocks of attention."""

    def __post_init__(self) -> None:
        """Refuse sizes below one."""
        require(4 <= self.width <= 512, "net.width", self.width, "give 4 to 512 channels")
        require(4 <= self.hidden <= 4096, "net.hidden", self.hidden, "give 4 to 4096 channels")
        require(1 <= self.layers <= 64, "net.layers", self.layers, "give 1 to 64")
