"""The predictor without recurrence: its configuration; `network` has the rest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from footage.config.strict import bounded
from footage.models.predictors import PredictorConfig


@dataclass(frozen=True)
class SimVpConfig(PredictorConfig):
    """The predictor without recurrence: SimVP (Gao et al. 2022) with gated attention (Tan et al. 2022)."""

    network: ClassVar[str] = "footage.models.predictors.simvp.network:SimVp"
    tiny: ClassVar = {"width": 4, "hidden": 8, "layers": 1}
    untaught: ClassVar[str] = "makes all frames at once"

    kind: Literal["simvp"] = "simvp"
    """Which network."""
    width: int = bounded(32, 4, 512, "channels")
    """Channels of each frame's features, at a quarter of the size."""
    hidden: int = bounded(192, 4, 4096, "channels")
    """Channels of all frames' features together, inside the translator."""
    layers: int = bounded(6, 1, 64)
    """Blocks of attention."""
