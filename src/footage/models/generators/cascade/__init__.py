"""Cascades: the flagship at a low resolution, and a decoder of details behind it; `network` has the rest."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import ClassVar, Literal

from footage.config import ClipConfig, Config, TaskConfig
from footage.config.sections import halvings, unlimited
from footage.config.strict import bounded, require
from footage.errors import ConfigError
from footage.models.generators.stream import StreamConfig


@dataclass(frozen=True)
class CascadeConfig(StreamConfig):
    """The flagship in two networks: it makes small pictures, and a decoder draws their details (Ho et al. 2022).

    The clip is what comes out; the flagship makes it smaller by `scale`. The decoder learns from crops of real frames.
    """

    method: ClassVar = "cascade"
    tiny: ClassVar = {**StreamConfig.tiny, "detail": 4, "detail_critic": 4, "detail_crop": 32}

    kind: Literal["cascade"] = "cascade"  # type: ignore[assignment]
    """Which generator."""
    scale: Literal[2, 4, 8] = 8
    """How many times as high and wide the decoder makes the small pictures."""
    detail: int = bounded(32, 4, 512, "channels")
    """Channels of the decoder where it draws at half of the full size; up to three times as many further inside."""
    detail_critic: int = bounded(48, 4, 512, "channels")
    """Channels of the critic that judges its crops, outermost stage."""
    detail_crop: int = bounded(128, 32, 1024, "pixels")
    """Height and width of the crops of real frames that it learns from, one beside each clip."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.scale in (2, 4, 8), "net.scale", self.scale, "give 2, 4 or 8")
        unit = max(32, 2 * self.scale)
        require(self.detail_crop % unit == 0, "net.detail_crop", self.detail_crop, f"give a multiple of {unit}")

    @property
    def base(self) -> StreamConfig:
        """The configuration of the network that makes the small pictures."""
        return StreamConfig(
            **{knob.name: getattr(self, knob.name) for knob in fields(StreamConfig)} | {"kind": "stream"}
        )

    def base_clip(self, clip: ClipConfig) -> ClipConfig:
        """Return the shape of the small clips, with rows and columns beyond the edges where convolutions need them."""
        height, width = clip.height // self.scale, clip.width // self.scale
        unit = 2 ** halvings(height, width)
        return unlimited(clip.frames, -(-height // unit) * unit, -(-width // unit) * unit, clip.channels)

    def read_clip(self, clip: ClipConfig) -> ClipConfig:
        return self.base_clip(clip)

    def judged_clip(self, clip: ClipConfig, task: TaskConfig) -> ClipConfig:
        """Return the shape of the small clips: crops of the large pictures have a critic of their own."""
        return self.base_clip(clip)

    def check(self, config: Config) -> None:
        super().check(config)
        for knob in ("height", "width"):
            side = getattr(config.clip, knob)
            if side % self.scale or side // self.scale < 8:
                down = max(8, side // self.scale) * self.scale
                raise ConfigError(
                    f"clip.{knob} is {side}, and the small pictures are to be {self.scale} times as small",
                    f"give {down} or another multiple of net.scale, 8 times it at least, or a smaller --net.scale",
                )
            if side < self.detail_crop:
                raise ConfigError(
                    f"clip.{knob} is {side}, and crops of {self.detail_crop} pixels do not fit in",
                    f"give --net.detail-crop {side // 32 * 32} or less",
                )
