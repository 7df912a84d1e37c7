"""Figures that speak: their configuration; `figure` has the rest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from footage.config import ClipConfig, TaskConfig
from footage.config.registry import NetConfig
from footage.config.sections import unlimited
from footage.config.strict import bounded, require
from footage.errors import ConfigError

if TYPE_CHECKING:
    from footage.config import Config


SMALLEST = 8
"""Pixels of the shorter side that a figure is moved in, at least."""


@dataclass(frozen=True)
class FigureConfig(NetConfig):
    """The network that makes frames of a still picture and the sound around each."""

    method: ClassVar[str] = "talk"
    network: ClassVar[str] = "footage.models.talking.figure:TalkingFigure"
    hears: ClassVar[bool] = True
    tiny: ClassVar = {"width": 4, "sound": 8, "motion": 2, "detail": 4, "mouth": 8}

    kind: Literal["figure"] = "figure"
    """Which network."""
    width: int = bounded(16, 4, 512, "channels")
    """Channels of the outermost stage; they double towards the innermost."""
    stages: int = bounded(3, 1, 8)
    """How often the picture is halved on the way inwards, at most."""
    sound: int = bounded(48, 4, 1024)
    """Length of the code of what is heard around a frame."""
    motion: int = bounded(6, 1, 64)
    """Length of the code of everything that the sound does not tell, such as head and eyes."""
    mouth: int = bounded(0, 0, 512, "pixels")
    """Height and width of the pictures in which mouths speak before the still is moved, so that the sound changes
    nothing else; 0 for none: then it changes whole frames, as in models of before."""
    scale: Literal[1, 2, 4, 8] = 1
    """How many times as high and wide frames are as the pictures that the figure is moved in; above 1, a decoder draws
    their details from the still."""
    detail: int = bounded(64, 4, 512, "channels")
    """Channels of that decoder."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.scale in (1, 2, 4, 8), "net.scale", self.scale, "give 1, 2, 4 or 8")
        require(not 0 < self.mouth < SMALLEST, "net.mouth", self.mouth, f"give 0, or {SMALLEST} or more")

    def guides(self, clip: ClipConfig, task: TaskConfig) -> int:
        """Return the channels of a still, and of the sound as pixels."""
        from footage.media import speech

        return clip.channels + speech.pixels(clip.height, clip.width)

    def conditions(self, clip: ClipConfig, task: TaskConfig) -> int:
        """Return the channels of the still, which the critics see behind those of the clip."""
        return clip.channels

    def judged_clip(self, clip: ClipConfig, task: TaskConfig) -> ClipConfig:
        """Return the shape of a small clip with its still beside it."""
        return unlimited(clip.frames, clip.height // self.scale, clip.width // self.scale, 2 * clip.channels)

    def check(self, config: Config) -> None:
        least = 5  # frames that a judge of sync looks at: `footage.models.talking.judge.SEEN`
        if config.talk.sync and config.clip.frames < least:
            raise ConfigError(
                f"clip.frames is {config.clip.frames}, and a judge of sync sees {least}", f"give {least} or more"
            )
        for knob in ("height", "width"):
            side = getattr(config.clip, knob)
            if self.scale > 1 and (side % self.scale or side // self.scale < SMALLEST):
                multiple = max(SMALLEST, side // self.scale) * self.scale
                raise ConfigError(
                    f"clip.{knob} is {side}, and the figure is moved in pictures {self.scale} times as small",
                    f"give {multiple} or another multiple of net.scale, or a smaller --net.scale",
                )
