"""The 3D-convolutional generator: its configuration; `network` has the rest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from footage.config.strict import bounded, require
from footage.models.generators import GeneratorConfig


@dataclass(frozen=True)
class Conv3dConfig(GeneratorConfig):
    """The 3D-convolutional generator (VGAN)."""

    network: ClassVar[str] = "footage.models.generators.conv3d.network:Conv3dGenerator"
    tiny: ClassVar = {"width": 4, "latent": 8, "label": 4}

    kind: Literal["conv3d"] = "conv3d"
    """Which generator."""
    latent: int = bounded(100, 1)
    """Length of the latent code z."""
    label: int = bounded(64, 1)
    """Length of the label's embedding, where there are labels."""
    width: int = bounded(48, 4, 512, "channels")
    """Channels of the outermost hidden stage; they double towards the innermost, up to 512."""
    mix: Literal["modulate", "concatenate"] = "modulate"
    """How noise and label enter: they also scale the channels of every stage, so that none is forgotten on the way; or
    they stand at the start alone (VGAN)."""
    streams: Literal[1, 2] = 1
    """2 for a moving foreground over a still background, put together by a mask."""
    mask: float = bounded(0.1, 0)
    """Weight of the mean mask in the generator's loss, with two streams: as much background as possible."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.streams in (1, 2), "net.streams", self.streams, "give 1 or 2")
