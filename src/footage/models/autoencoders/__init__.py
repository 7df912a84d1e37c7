"""Autoencoders: the configuration of the video VAE, the shape of its codes; `vae` has the rest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from footage.config import ClipConfig, Config, LearnConfig, TaskConfig
from footage.config.registry import NetConfig
from footage.config.sections import halvings, unlimited
from footage.config.strict import bounded, require, require_named
from footage.errors import ConfigError

VAE_TIME, VAE_SPACE = 4, 8
"""How much shorter and smaller a VAE's latent volume is than the clip."""


@dataclass(frozen=True)
class VaeConfig(NetConfig):
    """The causal (2+1)D video VAE."""

    method: ClassVar[str] = "vae"
    network: ClassVar[str] = "footage.models.autoencoders.vae:Vae"
    tiny: ClassVar = {"width": 4, "latent": 4, "noise": 8, "label": 4}

    kind: Literal["vae"] = "vae"
    """Which network."""
    latent: int = bounded(16, 1, 1024, "channels")
    """Channels of the latent volume (latent, T / 4, H / 8, W / 8)."""
    width: int = bounded(32, 4, 512, "channels")
    """Channels of the outermost stage; they double towards the innermost."""
    prior: Literal["normal", "gan"] = "normal"
    """What samples are drawn from: independent normal numbers, or a 3D-convolutional GAN in the latent space that
    learns beside the VAE; `critics` then judge latent volumes."""
    noise: int = bounded(64, 1)
    """Length of that GAN's latent code."""
    label: int = bounded(16, 1)
    """Length of the label's embedding in that GAN, where there are labels."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_named(self, "net", "prior")

    @property
    def needs_critics(self) -> bool:
        return self.prior == "gan"

    @property
    def takes_labels(self) -> bool:
        return self.prior == "gan"

    @property
    def sliders(self) -> int:
        return self.noise if self.prior == "gan" else 0

    def latent_clip(self, clip: ClipConfig) -> ClipConfig:
        """Return the shape of the latent volume, as that of a clip with many channels."""
        return unlimited(clip.frames // VAE_TIME, clip.height // VAE_SPACE, clip.width // VAE_SPACE, self.latent)

    def judged_clip(self, clip: ClipConfig, task: TaskConfig) -> ClipConfig:
        """Return the shape of the clip, or of the latent volume, where a GAN learns the prior."""
        return self.latent_clip(clip) if self.prior == "gan" else clip

    def check(self, config: Config) -> None:
        """Refuse clips that are not packed evenly, critics unfit for latent volumes, and knobs of other losses."""
        for knob, unit in (("frames", VAE_TIME), ("height", VAE_SPACE), ("width", VAE_SPACE)):
            size = getattr(config.clip, knob)
            if size % unit:
                raise ConfigError(f"clip.{knob} is {size}", f"give a multiple of {unit} for a VAE")
        if self.prior == "gan":
            count = halvings(config.clip.height // VAE_SPACE, config.clip.width // VAE_SPACE)
            unit = 2**count * VAE_SPACE
            for knob in ("height", "width"):
                value = getattr(config.clip, knob)
                if value % unit:
                    sizes = " or ".join(
                        str(size) for size in (value // unit * unit, (value // unit + 1) * unit) if size
                    )
                    times = "once" if count == 1 else f"{count} times"
                    raise ConfigError(
                        f"clip.{knob} is {value}, a GAN in the latent space halves an eighth of it {times}",
                        f"give {sizes}, or --net.prior normal",
                    )
            for number, critic in enumerate(config.critics):
                if critic.net not in ("conv", "mlp"):
                    raise ConfigError(
                        f"critics.{number}.net is {critic.net}, it looks for motion in pixels: a latent volume has "
                        "none",
                        f"give --critics.{number}.net conv or mlp",
                    )
                if critic.shrink > 1:
                    raise ConfigError(
                        f"critics.{number}.shrink is {critic.shrink}, a latent volume is small already",
                        f"give --critics.{number}.shrink 1",
                    )
            remedy = "changes are made to pixels, and these critics judge latent volumes: give 0"
            require(not config.augment.probability, "augment.probability", config.augment.probability, remedy)
        for knob in ("loss", "weight"):
            value, usual = getattr(config.learn, knob), getattr(LearnConfig(), knob)
            if value != usual:
                raise ConfigError(
                    f"learn.{knob} is {value}, a VAE learns by the likelihood of the clip, whose scale it finds itself",
                    f"give --learn.{knob} {usual}, or another --kl.beta",
                )
