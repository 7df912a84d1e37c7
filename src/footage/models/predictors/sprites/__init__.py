"""The predictor that moves sprites: its configuration; `network` has the rest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from footage.config.strict import bounded, require
from footage.models.predictors import PredictorConfig

_WIDTH = "give a multiple of 4, 4 to 512 channels"


@dataclass(frozen=True)
class SpritesConfig(PredictorConfig):
    """The predictor that finds a few things and moves them on, before a still background (Hsieh et al. 2018)."""

    network: ClassVar[str] = "footage.models.predictors.sprites.network:Sprites"
    tiny: ClassVar = {"width": 4, "side": 8, "features": 8, "motion": 8}
    untaught: ClassVar[str] = "moves on what it found in the past"

    kind: Literal["sprites"] = "sprites"
    """Which network."""
    sprites: int = bounded(2, 1, 64)
    """Things that are looked for; those that are not there become clear."""
    side: int = bounded(32, 4, 512, "pixels")
    """Side of what is known of each, in pixels: as large as the largest of them."""
    width: int = bounded(32, 4, 512, remedy=_WIDTH)
    """Channels of a frame's features, and of what cleans the looks of sprites; a multiple of 4."""
    features: int = bounded(64, 1, 4096)
    """Length of a slot's memory, by which a thing is known again."""
    motion: int = bounded(192, 1, 4096)
    """Units of the GRU that moves sprites on."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.width % 4 == 0, "net.width", self.width, _WIDTH)
