"""Every knob: frozen dataclasses, validated when made, with a strict JSON round trip. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from footage.config import registry
from footage.config.registry import ADVERSARIAL, ARCHITECTURES, METHODS, USES, NetConfig, imported
from footage.config.sections import (
    AugmentConfig,
    ClipConfig,
    CriticConfig,
    DegradeConfig,
    GanConfig,
    IngestConfig,
    KlConfig,
    LaunchConfig,
    LearnConfig,
    PrivacyConfig,
    TalkConfig,
    TaskConfig,
    TextConfig,
    TrainConfig,
    UpscaleConfig,
    check_private,
    check_together,
)
from footage.config.strict import check_types, differences, flat, from_json, require_named, to_json
from footage.errors import ConfigError

if TYPE_CHECKING:
    from footage.models.base import Method

__all__ = [
    "AugmentConfig",
    "ClipConfig",
    "Config",
    "CriticConfig",
    "DegradeConfig",
    "GanConfig",
    "IngestConfig",
    "KlConfig",
    "LaunchConfig",
    "LearnConfig",
    "NetConfig",
    "PrivacyConfig",
    "TalkConfig",
    "TaskConfig",
    "TextConfig",
    "TrainConfig",
    "UpscaleConfig",
    "differences",
    "flat",
    "from_json",
    "to_json",
]


@dataclass(frozen=True)
class Config:
    """A complete configuration: what is trained, and how.

    `net` is the network that is trained, and kept; what it is, its own class says in the help of the flags.
    """

    required: ClassVar = ("clip", "net", "gan", "critics", "augment", "train")
    """Sections that every saved configuration has: those of the first version."""

    preset: str = "custom"
    """Named configuration that all other values default to; `footage models` lists them."""
    method: registry.MethodName = "gan"
    """The way of training."""
    clip: ClipConfig = field(default_factory=ClipConfig)
    """The shape of the clips."""
    net: NetConfig = field(default_factory=lambda: ARCHITECTURES["conv3d"]())
    learn: LearnConfig = field(default_factory=LearnConfig)
    """Learning from examples: every method but `gan`."""
    kl: KlConfig = field(default_factory=KlConfig)
    """Latent variables: `vae`, and predictors that have some."""
    task: TaskConfig = field(default_factory=TaskConfig)
    """What predictors and translators are given."""
    talk: TalkConfig = field(default_factory=TalkConfig)
    """What is asked of figures that speak."""
    upscale: UpscaleConfig = field(default_factory=UpscaleConfig)
    """What upscalers are given, and what is asked of them."""
    gan: GanConfig = field(default_factory=GanConfig)
    """Adversarial training: `gan`, and every other method that has critics."""
    critics: tuple[CriticConfig, ...] = (CriticConfig(),)
    """The critics; there may be none where something else is learned from."""
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    """Changes made alike to real and generated clips before the critics see them, for small data sets."""
    text: TextConfig = field(default_factory=TextConfig)
    """Captions: being told by words what to show."""
    privacy: PrivacyConfig = field(default_factory=PrivacyConfig)
    """Differential privacy: how much a model may tell of any one source."""
    train: TrainConfig = field(default_factory=TrainConfig)
    """The training loop."""

    def __post_init__(self) -> None:
        check_types(self)
        require_named(self, "configuration", "method")
        if self.net.method != self.method:
            known = " or ".join(f"--preset {name}" for name in USES[self.method].presets)
            raise ConfigError(
                f"net.kind is {self.net.kind}, method {self.method} does not train it", f"give {known} instead"
            )
        if not self.critics and self.net.needs_critics:
            raise ConfigError("there is no critic", "give at least one")
        gan, learning = self.gan, f"with method {self.method}"
        if self.method not in ADVERSARIAL:
            for number, critic in enumerate(self.critics):
                if critic.steps != 1:
                    raise ConfigError(
                        f"critics.{number}.steps is {critic.steps}, {learning} each step updates everything once",
                        f"give --critics.{number}.steps 1, and another --critics.{number}.lr",
                    )
            if gan.periodicity != "none":
                raise ConfigError(
                    f"gan.periodicity is {gan.periodicity}, {learning} no clip is made from noise alone, whose motion "
                    "could be asked to repeat itself or not",
                    "give --gan.periodicity none, or another method",
                )
            if gan.burn_in:
                raise ConfigError(
                    f"gan.burn_in is {gan.burn_in}, {learning} all rates follow those of learning by example",
                    "give --gan.burn-in 0, and --learn.decay",
                )
        elif gan.matching:
            raise ConfigError(
                f"gan.matching is {gan.matching:g}, with method gan no clip is made to be like a certain real one",
                "give --gan.matching 0",
            )
        if self.text.used and not self.net.takes_text:
            raise ConfigError(
                f"text.encoder is {self.text.encoder}, and {self.net.kind} cannot be told what to show",
                "give --text.encoder none, or a preset that makes, continues or translates clips, such as stream-64",
            )
        if self.text.used and any(critic.labels == "classify" for critic in self.critics):
            raise ConfigError(
                f"text.encoder is {self.text.encoder}, and a critic names labels: captions have no number of classes",
                "give --critics.N.labels projection, or --text.encoder none",
            )
        check_private(self.privacy, self.method, gan, self.critics, self.train, self.text)
        self.net.check(self)
        if self.critics:
            check_together(gan, self.critics, self.judged_clip)

    @property
    def takes_labels(self) -> bool:
        """Whether a model of this configuration can be told a label."""
        return self.net.takes_labels

    @property
    def trained_by(self) -> type[Method]:
        """The class that trains it: that of its method, the private one, or around it the one that adds captions."""
        if self.privacy.used:
            private: type[Method] = imported("footage.models.adversarial.private:PrivateGan")
            return private
        if not self.text.used:
            return METHODS[self.method]
        conditioned: type[Method] = imported("footage.models.text.conditioning:TextConditioned")
        return conditioned

    @property
    def guides(self) -> int:
        """Channels of what a clip is made from, another data set's or its own sound, that stand behind its own."""
        return self.net.guides(self.clip, self.task)

    @property
    def conditions(self) -> int:
        """Channels of what the critics judge, the last ones, that the others were made from."""
        return self.net.conditions(self.clip, self.task)

    @property
    def judged_clip(self) -> ClipConfig:
        """The shape of what critics judge: beside the clip, its source of translators, its detail of upscalers."""
        return self.net.judged_clip(self.clip, self.task)
