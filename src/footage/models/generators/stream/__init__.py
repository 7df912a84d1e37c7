"""The generator of streams: its configuration; `network`, `noise` and `sampler` have the rest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from footage.config import Config
from footage.config.strict import bounded, require
from footage.errors import ConfigError
from footage.models.generators import GeneratorConfig


@dataclass(frozen=True)
class StreamConfig(GeneratorConfig):
    """The flagship generator: content, a bank of stationary noise that moves points, and a decoder of single frames."""

    network: ClassVar[str] = "footage.models.generators.stream.network:StreamGenerator"
    sampler: ClassVar[str] = "footage.models.generators.stream.sampler:StreamSampler"
    seekable: ClassVar = True
    tiny: ClassVar = {"width": 4, "content": 8, "processes": 4, "points": 6, "groups": 2, "codes": 16, "label": 4}

    kind: Literal["stream"] = "stream"
    """Which generator."""
    content: int = bounded(64, 1)
    """Length of the content code, one for a video."""
    processes: int = bounded(16, 1, 256)
    """Processes in the noise bank, two numbers each for every frame; every other one turns."""
    fastest: float = bounded(2.0, 1, None, "frame")
    """The shortest time constant among them, in frames."""
    slowest: float = 512.0
    """The longest, in frames."""
    points: int = bounded(16, 1, 256)
    """Points that motion moves; what stands at them is decided by content."""
    groups: int = bounded(8, 1, 256)
    """Groups of points that move together; a divisor of `points`."""
    deform: bool = True
    """Let motion also change the features of the picture, and not only the places of points; off for what is rigid."""
    palette: int = bounded(4, 0, 64, "colours")
    """Colours that content chooses for a video, each with a mask; 0 for none."""
    codes: int = bounded(128, 1, 4096)
    """Length of what frames are decoded from: the code of motion, and the style that content and label give."""
    shot: int = bounded(0, 0, remedy="give 0 for motion without end, or a number of frames")
    """0 for motion that goes on for ever; else clips are parts of events of this many frames, and the generator is told
    the time since their beginning."""
    label: int = bounded(16, 1)
    """Length of the label's embedding, where there are labels."""
    width: int = bounded(32, 4, 512, "channels")
    """Channels of the outermost hidden stage; they double towards the innermost, up to four times as many."""

    def __post_init__(self) -> None:
        super().__post_init__()
        divisor = f"give a divisor of the {self.points} points"
        require(self.points % self.groups == 0, "net.groups", self.groups, divisor)
        require(self.slowest >= self.fastest, "net.slowest", self.slowest, f"give at least {self.fastest:g} frames")

    @property
    def sliders(self) -> int:
        return self.content

    def check(self, config: Config) -> None:
        if 0 < self.shot < config.clip.frames:
            raise ConfigError(
                f"net.shot is {self.shot}, and clips of {config.clip.frames} frames are no parts of it",
                f"give --net.shot {config.clip.frames} or more, or 0 for motion without end",
            )
