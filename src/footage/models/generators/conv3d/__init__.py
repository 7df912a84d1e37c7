"""The 3D-convolutional generator: its configuration; `network` has the rest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from footage.config.strict import require
from footage.models.generators import GeneratorConfig


@dataclass(frozen=True)
class Conv3dConfig(GeneratorConfig):
    """The 3D-convolutional generator (VGAN)."""

    network: ClassVar[str] = "footage.models.generators.conv3d.network:Conv3dGenerator"
    tiny: ClassVar = {"width": 4, "latent": 8, "label": 4}

    kind: Literal["conv3d"] = "conv3d"
    """Which generator."""
    latent: int = 100
    """Length of the latent code z."""
    label: int = 64
    """Length of the label's embedding, where there are labels."""
    width: int = 48
    """Channels of the outermost hidden stage; they double towards the innermost, up to 512."""
    mix: Literal["modulate", "concatenate"] = "modulate"
    """How noise and label enter: they also scale the channels of every stage, so that none is forgotten on the way; or
    they stand at the start alone (VGAN)."""
    streams: Literal[1, 2] = 1
    """2 for a moving foreground over a still background, put together by a mask."""
    mask: float = 0.1
    """Weight of the mean mask in the generator's loss, with two streams: as much background as possible."""

    def __post_init__(self) -> None:
        """Refuse sizes below one."""
        self._check_sizes()
        require(4 <= self.width <= 512, "net.width", self.width, "give 4 to 512 channels")
        require(self.streams in (1, 2), "net.streams", self.streams, "give 1 or 2")
        require(self.mask >= 0, "net.mask", self.mask, "give 0 or more")
