"""Knobs of training by example: the reconstruction loss and its optimiser, latent variables, what is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from footage.config.checks import require, require_named

SOURCES = ("edges", "grey", "lowres", "blur", "first-frame", "pairs")
"""What translators may be given."""


@dataclass(frozen=True)
class LearnConfig:
    """Learning from examples: the loss between what is made and what should be, and the optimiser (Adam)."""

    loss: Literal["mse", "l1", "charbonnier"] = "mse"
    """Squared or absolute difference, or one that is absolute, but for the smallest (Charbonnier et al. 1994)."""
    weight: float = 1.0
    """Weight of that difference beside the critics' verdicts, where there are critics; 100 is usual (pix2pix)."""
    critics_after: int = 0
    """Clips seen before the critics begin: until then only the examples teach, and what would at first be told apart at
    a glance is not judged."""
    lr: float = 1e-3
    """Largest learning rate."""
    warm_up: int = 1_000
    """Clips seen until the rate is reached, linearly."""
    decay: int = 200_000
    """Clips seen until all rates, the critics' too, have fallen, by a cosine, to a hundredth, where they stay; 0 for
    never. As many as are to be seen gives the best end."""
    beta1: float = 0.9
    """Adam's first moment decay."""
    beta2: float = 0.99
    """Adam's second moment decay."""
    clip_gradient: float = 0.0
    """Largest norm of the gradient; 0 for no limit."""
    ema: float = 2_000.0
    """Half-life of the moving average of the weights, in clips seen."""

    def __post_init__(self) -> None:
        """Refuse names, rates and weights that cannot train."""
        require_named(self, "learn", "loss")
        require(0 < self.lr < 1, "learn.lr", self.lr, "give a rate above 0 and below 1, such as 1e-3")
        for knob in ("beta1", "beta2"):
            value = getattr(self, knob)
            require(0 <= value < 1, f"learn.{knob}", value, "give 0 or more and less than 1")
        for knob in ("critics_after", "warm_up", "decay", "clip_gradient", "ema"):
            value = getattr(self, knob)
            require(value >= 0, f"learn.{knob}", value, "give 0 or more")
        ok = not self.decay or self.decay > self.warm_up
        require(ok, "learn.decay", self.decay, f"give 0, or more than learn.warm_up, {self.warm_up}")
        require(self.weight > 0, "learn.weight", self.weight, "give more than 0")


@dataclass(frozen=True)
class KlConfig:
    """Latent variables: how much the Kullback-Leibler divergence from their prior counts."""

    beta: float = 1.0
    """Weight of the divergence, both parts being sums over a clip, in nats: 1 is the evidence lower bound."""
    ramp: int = 5_000
    """Clips seen until that weight is reached, linearly."""
    free_bits: float = 0.0
    """Divergence of each latent channel, in nats for each latent place, below which it costs nothing
    (Kingma et al. 2016, section 3.3)."""

    def __post_init__(self) -> None:
        """Refuse negative weights."""
        for knob in ("beta", "ramp", "free_bits"):
            value = getattr(self, knob)
            require(value >= 0, f"kl.{knob}", value, "give 0 or more")


@dataclass(frozen=True)
class TaskConfig:
    """What is asked for: frames to be continued, or pictures to be translated."""

    past: int = 10
    """Frames that a predictor is given; the others of `clip.frames` it is to predict."""
    truth: int = 0
    """Clips seen while a recurrent predictor is shown true frames instead of its own, ever less often
    (scheduled sampling, Bengio et al. 2015)."""
    rehearsal: int = 20_000
    """Clips seen while a predictor that makes the past on its way, each frame from the true ones before, is scored on
    it as well; later only the future counts, and a step takes less."""
    source: Literal["edges", "grey", "lowres", "blur", "first-frame", "pairs"] = "edges"
    """What a translator is given: made from the clip itself, or the clip of the same name in another data set."""
    source_channels: int = 3
    """Channels of that other data set; found when training begins."""

    def __post_init__(self) -> None:
        """Refuse what cannot be asked for."""
        require_named(self, "task", "source")
        require(self.past >= 1, "task.past", self.past, "give at least 1 frame")
        for knob in ("truth", "rehearsal"):
            require(getattr(self, knob) >= 0, f"task.{knob}", getattr(self, knob), "give 0, or a number of clips")
        require(self.source_channels in (1, 3), "task.source_channels", self.source_channels, "give 1 or 3")
