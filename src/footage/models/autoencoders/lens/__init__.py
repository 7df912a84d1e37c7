"""Lens, an autoencoder of single frames of any size: its configuration; `network` has the rest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from footage.config import ClipConfig, Config, TaskConfig
from footage.config.registry import NetConfig
from footage.config.sections import unlimited
from footage.config.strict import bounded, require
from footage.errors import ConfigError


@dataclass(frozen=True)
class LensConfig(NetConfig):
    """The convolutional autoencoder of single frames."""

    method: ClassVar[str] = "lens"
    network: ClassVar[str] = "footage.models.autoencoders.lens.network:Lens"
    tiny: ClassVar = {"width": 4, "latent": 4}
    crops: ClassVar[bool] = True
    unit: ClassVar[int] = 1

    kind: Literal["lens"] = "lens"
    """Which network."""
    scale: Literal[4, 8] = 8
    """How many times as low and narrow as a frame its latent picture is."""
    latent: int = bounded(16, 1, 64, "channels")
    """Channels of the latent picture (latent, H / scale, W / scale)."""
    width: int = bounded(32, 4, 512, "channels")
    """Channels of the outermost stage; they double with each halving, up to four times as many."""
    noise: float = bounded(0.05, 0, 1)
    """Standard deviation of the noise on latents in training, whose own is about 1: what decodes them learns to forgive
    as much."""
    texture: float = bounded(2.0, 0)
    """Weight of what differences between neighbours lack in size, whatever their places: grain and fine texture that no
    latent could tell are then there, and not smoothed away."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.scale in (4, 8), "net.scale", self.scale, "give 4 or 8")

    def judged_clip(self, clip: ClipConfig, task: TaskConfig) -> ClipConfig:
        """Return the shape of the one frame of each clip that a step looks at."""
        return unlimited(1, clip.height, clip.width, clip.channels)

    def check(self, config: Config) -> None:
        """Refuse crops that are not packed evenly, and more latent numbers than pixels."""
        clip = config.clip
        for knob in ("height", "width"):
            size = getattr(clip, knob)
            if size % self.scale:
                raise ConfigError(f"clip.{knob} is {size}", f"give a multiple of net.scale, {self.scale}")
        numbers = clip.channels * self.scale**2
        require(self.latent <= numbers, "net.latent", self.latent, f"{self.scale}×{self.scale} pixels are {numbers}")
