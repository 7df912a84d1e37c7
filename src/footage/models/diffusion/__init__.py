"""Diffusion: the configuration of a small model in pixels, a baseline; `edm` has the rest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from footage.config import Config
from footage.config.registry import NetConfig
from footage.config.sections import halvings
from footage.config.strict import bounded, require
from footage.errors import ConfigError


@dataclass(frozen=True)
class DiffusionConfig(NetConfig):
    """The denoiser of a diffusion model: a U-Net over space, with convolutions and attention over time."""

    method: ClassVar[str] = "diffusion"
    network: ClassVar[str] = "footage.models.diffusion.edm:Denoiser"
    tiny: ClassVar = {"width": 4, "steps": 2}

    kind: Literal["diffusion"] = "diffusion"
    """Which network."""
    width: int = bounded(64, 4, 512, "channels")
    """Channels of the outermost stage; they double towards the innermost, up to four times as many."""
    patch: Literal[1, 2, 4] = 2
    """Side of the patches that pixels enter and leave as: larger ones take less arithmetic."""
    steps: int = bounded(18, 2, 1_000)
    """Steps of the sampler; the network is asked twice in each but the last. More are nearer to what was learned."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.patch in (1, 2, 4), "net.patch", self.patch, "give 1, 2 or 4")

    @property
    def takes_labels(self) -> bool:
        return True

    def check(self, config: Config) -> None:
        """Refuse critics, other losses, and clips that do not halve as often as the network does it."""
        if config.critics:
            raise ConfigError(
                f"critics are given, {len(config.critics)} of them; a diffusion model learns from noisy clips alone",
                "give none, as --preset diffusion-64 does",
            )
        learn, clip = config.learn, config.clip
        require(
            learn.loss == "mse", "learn.loss", learn.loss, "a denoiser gives the mean, which mse alone asks: give mse"
        )
        require(learn.weight == 1, "learn.weight", learn.weight, "there are no critics to be weighed against: give 1")
        unit = self.patch * 2 ** halvings(clip.height // self.patch, clip.width // self.patch)
        for knob, side in (("clip.height", clip.height), ("clip.width", clip.width)):
            sizes = " or ".join(f"{size}" for size in (side // unit * unit, (side // unit + 1) * unit) if size)
            require(
                side % unit == 0,
                knob,
                side,
                f"it is halved until 4 to 7 patches of {self.patch} are left: give {sizes}",
            )
