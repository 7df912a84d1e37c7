"""The generator of streams: its configuration; `network`, `noise` and `sampler` have the rest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from footage.config import Config
from footage.config.strict import require
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
    content: int = 64
    """Length of the content code, one for a video."""
    processes: int = 16
    """Processes in the noise bank, two numbers each for every frame; every other one turns."""
    fastest: float = 2.0
    """The shortest time constant among them, in frames."""
    slowest: float = 512.0
    """The longest, in frames."""
    points: int = 16
    """Points that motion moves; what stands at them is decided by content."""
    groups: int = 8
    """Groups of points that move together; a divisor of `points`."""
    deform: bool = True
    """Let motion also change the features of the picture, and not only the places of points; off for what is rigid."""
    palette: int = 4
    """Colours that content chooses for a video, each with a mask; 0 for none."""
    codes: int = 128
    """Length of what frames are decoded from: the code of motion, and the style that content and label give."""
    shot: int = 0
    """0 for motion that goes on for ever; else clips are parts of events of this many frames, and the generator is told
    the time since their beginning."""
    label: int = 16
    """Length of the label's embedding, where there are labels."""
    width: int = 32
    """Channels of the outermost hidden stage; they double towards the innermost, up to four times as many."""

    def __post_init__(self) -> None:
        """Refuse sizes below one, and times that are not in order."""
        self._check_sizes()
        for knob, most in (("processes", 256), ("points", 256), ("groups", 256), ("codes", 4096)):
            value = getattr(self, knob)
            require(1 <= value <= most, f"net.{knob}", value, f"give 1 to {most}")
        require(
            self.points % self.groups == 0, "net.groups", self.groups, f"give a divisor of the {self.points} points"
        )
        require(self.fastest >= 1, "net.fastest", self.fastest, "give at least 1 frame")
        require(self.slowest >= self.fastest, "net.slowest", self.slowest, f"give at least {self.fastest:g} frames")
        require(0 <= self.palette <= 64, "net.palette", self.palette, "give 0 to 64 colours")
        require(self.shot >= 0, "net.shot", self.shot, "give 0 for motion without end, or a number of frames")
        require(4 <= self.width <= 512, "net.width", self.width, "give 4 to 512 channels")

    @property
    def sliders(self) -> int:
        """The length of the content code."""
        return self.content

    def check(self, config: Config) -> None:
        """Refuse clips that are longer than a shot."""
        if 0 < self.shot < config.clip.frames:
            raise ConfigError(
                f"net.shot is {self.shot}, and clips of {config.clip.frames} frames are no parts of it",
                f"give --net.shot {config.clip.frames} or more, or 0 for motion without end",
            )
