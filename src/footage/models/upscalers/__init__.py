"""Upscalers: their configuration; `upscale` has the rest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from footage.config import ClipConfig, Config, TaskConfig
from footage.config.registry import NetConfig
from footage.config.sections import unlimited
from footage.config.strict import bounded, require
from footage.errors import ConfigError


@dataclass(frozen=True)
class UpscalerConfig(NetConfig):
    """The network that enlarges the frames of a video; all of its work is done at the low resolution."""

    method: ClassVar[str] = "upscale"
    network: ClassVar[str] = "footage.models.upscalers.upscale:Upscaler"
    tiny: ClassVar = {"width": 8}
    crops: ClassVar[bool] = True

    kind: Literal["upscaler"] = "upscaler"
    """Which network."""
    scale: Literal[2, 4] = 4
    """How many times as high and wide the frames become."""
    width: int = bounded(32, 4, 512, "channels")
    """Channels; the depth follows from it: a residual block for every eight."""
    past: int = bounded(4, 0, 16, "frames")
    """Frames before the one that is enlarged, which are looked at as well."""
    future: int = bounded(1, 0, 16, "frames")
    """Frames after it; as many frames late it comes."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.scale in (2, 4), "net.scale", self.scale, "give 2 or 4")

    @property
    def blocks(self) -> int:
        return max(1, self.width // 8)

    def judged_clip(self, clip: ClipConfig, task: TaskConfig) -> ClipConfig:
        """Return the shape of the frames that have a whole window, with their detail beside them."""
        return unlimited(clip.frames - self.past - self.future, clip.height, clip.width, 2 * clip.channels)

    def check(self, config: Config) -> None:
        """Refuse crops that an upscaler cannot learn from."""
        clip, window = config.clip, self.past + self.future
        if clip.frames < window + 2:
            raise ConfigError(
                f"clip.frames is {clip.frames}, and an upscaler that looks at {window} frames beside the one that it "
                "enlarges learns from two at least",
                f"give --clip.frames {window + 2} or more",
            )
        for knob in ("height", "width"):
            size = getattr(clip, knob)
            if size % self.scale:
                raise ConfigError(f"clip.{knob} is {size}", f"give a multiple of net.scale, {self.scale}")
