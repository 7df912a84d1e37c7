"""The predictor that moves sprites: its configuration; `network` has the rest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from footage.config.strict import require
from footage.models.predictors import PredictorConfig


@dataclass(frozen=True)
class SpritesConfig(PredictorConfig):
    """The predictor that finds a few things and moves them on, before a still background (Hsieh et al. 2018)."""

    network: ClassVar[str] = "footage.models.predictors.sprites.network:Sprites"
    tiny: ClassVar = {"width": 4, "side": 8, "features": 8, "motion": 8}
    untaught: ClassVar[str] = "moves on what it found in the past"

    kind: Literal["sprites"] = "sprites"
    """Which network."""
    sprites: int = 2
    """Things that are looked for; those that are not there become clear."""
    side: int = 32
    """Side of what is known of each, in pixels: as large as the largest of them."""
    width: int = 32
    """Channels of a frame's features, and of what cleans the looks of sprites; a multiple of 4."""
    features: int = 64
    """Length of a slot's memory, by which a thing is known again."""
    motion: int = 192
    """Units of the GRU that moves sprites on."""

    def __post_init__(self) -> None:
        """Refuse sizes below one."""
        require(1 <= self.sprites <= 64, "net.sprites", self.sprites, "give 1 to 64")
        require(4 <= self.side <= 512, "net.side", self.side, "give 4 to 512 pixels")
        valid = 4 <= self.width <= 512 and self.width % 4 == 0
        require(valid, "net.width", self.width, "give a multiple of 4, 4 to 512 channels")
        require(1 <= self.features <= 4096, "net.features", self.features, "give 1 to 4096")
        require(1 <= self.motion <= 4096, "net.motion", self.motion, "give 1 to 4096")
