"""Knobs of adversarial training: loss, penalties, critics, augmentation; and which of them go together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from footage.config.checks import require, require_named
from footage.config.data import ClipConfig
from footage.errors import ConfigError

LossName = Literal["minimax", "non-saturating", "least-squares", "wasserstein", "hinge", "relativistic"]

EARLY_BETA2 = 0.9
"""Adam's second moment decay at the beginning of a burn-in."""


@dataclass(frozen=True)
class GanConfig:
    """Adversarial training: loss, optimisers, penalties. The penalties hold for every critic."""

    loss: LossName = "non-saturating"
    """The adversarial loss."""
    lr: float = 2e-4
    """Learning rate of the generator."""
    critic_lr: float = 2e-4
    """Learning rate of the critics, unless one has its own."""
    optimizer: Literal["adam", "rmsprop"] = "adam"
    """Optimiser of all networks."""
    beta1: float = 0.0
    """Adam's first moment decay."""
    beta2: float = 0.99
    """Adam's second moment decay; RMSprop's decay."""
    r1: float = 2.0
    """Weight gamma of the R1 penalty, gamma / 2 E|grad D(x)|^2 on real clips; 0 for none."""
    r2: float = 0.0
    """Weight gamma of the R2 penalty, the same on fake clips; 0 for none."""
    sigma: float = 0.0
    """0 for the exact R1 and R2; else the noise's standard deviation of their finite-difference form."""
    gradient_penalty: float = 0.0
    """Weight lambda of the WGAN-GP penalty, lambda E(|grad D| - 1)^2 between real and fake; 10 is usual."""
    temporal: float = 0.0
    """Weight gamma of the temporal gradient penalty on real clips, with respect to the change between frames."""
    clip_weights: float = 0.0
    """Limit that critics' weights are clipped to (Wasserstein without a penalty; 0.01 is usual); 0 for none."""
    penalty_every: int = 4
    """Penalties are applied at every n-th step, n times as strong (lazy regularisation, StyleGAN2)."""
    matching: float = 0.0
    """Weight of feature matching in the loss of what is made: the mean absolute difference between the critics'
    features of it and of the real clip that it should be (Wang et al. 2018, eq. 4)."""
    periodicity: Literal["none", "avoid", "loop"] = "none"
    """Motion that repeats itself: `avoid` more of it than real clips have, or ask for a `loop` of `period` frames."""
    period: int = 8
    """Frames of a loop."""
    periodicity_weight: float = 1.0
    """Weight of that in the generator's loss."""
    burn_in: int = 0
    """Clips seen over which rates and penalties fall to a quarter, and beta2 rises from 0.9 to its value, by half a
    cosine (after R3GAN; scale it to the run: a third to all of its clips); 0 for none."""
    ema: float = 5_000.0
    """Half-life of the moving average of the generator's weights, in clips seen."""

    def __post_init__(self) -> None:
        """Refuse names, rates and weights that cannot train."""
        require_named(self, "gan", "loss", "optimizer", "periodicity")
        for knob in ("lr", "critic_lr"):
            value = getattr(self, knob)
            require(0 < value < 1, f"gan.{knob}", value, "give a rate above 0 and below 1, such as 2e-4")
        for knob in ("beta1", "beta2"):
            value = getattr(self, knob)
            require(0 <= value < 1, f"gan.{knob}", value, "give 0 or more and less than 1")
        for knob in (
            "r1",
            "r2",
            "sigma",
            "gradient_penalty",
            "temporal",
            "clip_weights",
            "matching",
            "periodicity_weight",
        ):
            value = getattr(self, knob)
            require(value >= 0, f"gan.{knob}", value, "give 0 or more")
        require(self.penalty_every >= 1, "gan.penalty_every", self.penalty_every, "give at least 1")
        require(self.period >= 1, "gan.period", self.period, "give at least 1 frame")
        require(self.burn_in >= 0, "gan.burn_in", self.burn_in, "give 0 for none, or a number of clips")
        require(
            not self.burn_in or (self.beta2 >= EARLY_BETA2 and self.optimizer == "adam"),
            "gan.burn_in",
            self.burn_in,
            f"Adam's beta2 rises with it from {EARLY_BETA2}: give --gan.optimizer adam, a --gan.beta2 above that, or 0",
        )
        require(self.ema >= 0, "gan.ema", self.ema, "give 0 for no averaging, or a number of clips")
        self._check_penalties()

    def _check_penalties(self) -> None:
        """Refuse penalties that are not defined together, or with this loss."""
        held = self.r1 or self.r2 or self.gradient_penalty or self.clip_weights
        require(
            self.loss != "wasserstein" or held > 0,
            "gan.loss",
            self.loss,
            "its critic has no bound by itself: give --gan.gradient-penalty 10 (or r1, r2), or --gan.clip-weights 0.01",
        )
        require(
            not self.clip_weights or self.loss == "wasserstein",
            "gan.clip_weights",
            self.clip_weights,
            f"clipping bounds the slope of a Wasserstein critic; with the loss {self.loss} it is not defined: give 0",
        )
        require(
            not self.sigma or self.r1 + self.r2 > 0,
            "gan.sigma",
            self.sigma,
            "finite differences stand for R1 and R2, and both are off: give --gan.r1, or sigma 0",
        )


@dataclass(frozen=True)
class AugmentConfig:
    """Changes made alike to real and generated clips before the critic sees them."""

    probability: float = 0.0
    """Probability of each kind of change, once the ramp is over; 0 for none."""
    ramp: int = 0
    """Clips seen until the probability is reached, linearly; 0 to begin with it."""
    translation: bool = True
    """Move the picture by up to an eighth of each side."""
    colour: bool = True
    """Change brightness, contrast and saturation."""
    cutout: bool = True
    """Hide a rectangle of half of each side."""
    flip: bool = False
    """Exchange left and right; only where the data are symmetric."""
    stretch: bool = True
    """Slow time down, to half at most."""

    def __post_init__(self) -> None:
        """Refuse what the generator would learn to imitate."""
        value = self.probability
        require(0 <= value < 1, "augment.probability", value, "give 0 or more and less than 1, such as 0.3")
        require(self.ramp >= 0, "augment.ramp", self.ramp, "give 0, or a number of clips")


@dataclass(frozen=True)
class CriticConfig:
    """One critic: its network, what it sees of a clip, and how much it counts."""

    net: Literal["conv", "mlp", "embed_motion", "two_stream"] = "conv"
    """Its network; `footage.models.adversarial.discriminators.critic` has them all."""
    sees: Literal["clip", "frames", "sparse", "difference"] = "clip"
    """The clip; single frames; a few frames far apart as one picture; or the change from frame to frame."""
    frames: int = 2
    """Frames of each clip that it sees, for `frames` and `sparse`."""
    shrink: int = 1
    """Pictures are averaged down by this factor first (DVD-GAN's temporal critic: 2)."""
    patch: bool = False
    """Judge overlapping patches instead of the whole."""
    time: Literal["halve", "valid"] = "halve"
    """How time shrinks on the way, for what has time: by strides of 2, or by kernels without padding (MoCoGAN)."""
    motion: Literal["flow", "encoder"] = "flow"
    """Where `embed_motion` takes the motion from: optical flow, or an encoder of its embedding network's features."""
    labels: Literal["projection", "classify"] = "projection"
    """Where clips have labels: judge by projection on the label's embedding, or name the label beside judging."""
    width: int | None = None
    """Channels (units, for mlp) of its outermost stage; None for the generator's."""
    weight: float = 1.0
    """Weight of its verdict in the generator's loss."""
    lr: float | None = None
    """Its learning rate; None for gan.critic_lr."""
    steps: int = 1
    """Its updates for each update of the generator."""

    def __post_init__(self) -> None:
        """Refuse sizes below one, and settings that the network does not have."""
        where = "critics.N"
        require_named(self, where, "net", "sees", "time", "motion", "labels")
        for knob, most in (("frames", 4096), ("shrink", 64), ("steps", 100)):
            value = getattr(self, knob)
            require(1 <= value <= most, f"{where}.{knob}", value, f"give 1 to {most}")
        require(self.width is None or 1 <= self.width <= 8192, f"{where}.width", self.width, "give 1 to 8192")
        require(self.lr is None or 0 < self.lr < 1, f"{where}.lr", self.lr, "give a rate above 0 and below 1")
        require(self.weight > 0, f"{where}.weight", self.weight, "give more than 0, or leave the critic out")
        ok = self.time == "halve" or (self.net == "conv" and not self.timeless)
        require(ok, f"{where}.time", self.time, f"{self.net} of {self.sees} has no such time: give halve")
        if self.net != "conv":
            require(not self.patch, f"{where}.patch", self.patch, f"{self.net} judges the whole: only conv has patches")
            ok = self.sees == "clip"
            require(ok, f"{where}.sees", self.sees, f"{self.net} sees the clip: only conv sees parts of it")

    @property
    def timeless(self) -> bool:
        """Whether what it sees has no axis of time."""
        return self.sees in ("frames", "sparse")


def check_together(gan: GanConfig, critics: Sequence[CriticConfig], clip: ClipConfig) -> None:
    """Refuse what is not defined for this loss, these critics and this clip.

    Raises:
        ConfigError: with the reason.
    """
    for number, critic in enumerate(critics):
        where = f"critics.{number}"
        if critic.patch and gan.loss == "relativistic":
            raise ConfigError(
                f"{where}.patch is on and gan.loss is relativistic: a patch of a real clip has no fake partner to be "
                "compared with",
                f"give --{where}.no-patch, or another loss",
            )
        for knob in ("height", "width"):
            side = getattr(clip, knob)
            if side % critic.shrink or (critic.shrink > 1 and side // critic.shrink < 8):
                raise ConfigError(
                    f"{where}.shrink is {critic.shrink}, clip.{knob} is {side}",
                    f"give a divisor of {side} that leaves at least 8 pixels",
                )
        if critic.timeless and critic.frames > clip.frames:
            raise ConfigError(f"{where}.frames is {critic.frames}, clips have {clip.frames}", "give no more than that")
        if gan.matching and critic.net != "conv":
            raise ConfigError(
                f"gan.matching is {gan.matching:g}, and {where}.net is {critic.net}: only conv tells its features",
                f"give --gan.matching 0, or --{where}.net conv",
            )
    if gan.temporal and any(critic.timeless or critic.sees == "difference" for critic in critics):
        number = next(i for i, c in enumerate(critics) if c.timeless or c.sees == "difference")
        raise ConfigError(
            f"gan.temporal is {gan.temporal:g}, but critic {number} sees {critics[number].sees}: the penalty is on the "
            "change from frame to frame, which this critic does not get as a part of a clip",
            "give --gan.temporal 0, or critics that see the clip",
        )
    if gan.periodicity == "loop" and gan.period >= clip.frames:
        raise ConfigError(
            f"gan.period is {gan.period}, a clip of {clip.frames} frames never comes back to its beginning",
            f"give --gan.period {clip.frames - 1} or less",
        )
    if gan.periodicity == "avoid" and clip.frames < 6:
        raise ConfigError(
            f"clip.frames is {clip.frames}: too short to see motion repeat itself", "give 6, or periodicity none"
        )
