"""Translators: their configuration, and the shape of what they are given; `network` and `translate` have the rest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from footage.config import ClipConfig, TaskConfig
from footage.config.registry import NetConfig
from footage.config.sections import unlimited
from footage.config.strict import require, require_named


def source_clip(clip: ClipConfig, task: TaskConfig) -> ClipConfig:
    """Return the shape of what a translator is given; a picture has one frame."""
    channels = {"edges": 1, "grey": 1, "pairs": task.source_channels}.get(task.source, clip.channels)
    return unlimited(1 if task.source == "first-frame" else clip.frames, clip.height, clip.width, channels)


@dataclass(frozen=True)
class TranslatorConfig(NetConfig):
    """The generator that is given a picture or a clip (Isola et al. 2017)."""

    method: ClassVar[str] = "translate"
    network: ClassVar[str] = "footage.models.translators.network:make_translator"
    tiny: ClassVar = {"width": 4, "blocks": 1, "motion": 4}

    kind: Literal["translator"] = "translator"
    """Which network."""
    shape: Literal["resnet", "unet"] = "unet"
    """Residual blocks at a quarter of the size, or ever smaller stages with shortcuts between equal sizes."""
    width: int = 32
    """Channels of the outermost stage; they double towards the innermost, up to 512."""
    blocks: int = 6
    """Residual blocks, for `resnet`."""
    time: int = 3
    """Frames that a convolution over time sees, all of them past; 1 translates every frame by itself."""
    modulate: bool = False
    """Let the source scale and shift the features at every stage of the decoder (spatially adaptive modulation, Park et
    al. 2019), so that label maps are not washed out."""
    motion: int = 16
    """Length of the motion code, where a clip is made from a picture."""

    def __post_init__(self) -> None:
        """Refuse names and sizes that cannot be."""
        require_named(self, "net", "shape")
        require(4 <= self.width <= 512, "net.width", self.width, "give 4 to 512 channels")
        require(1 <= self.blocks <= 64, "net.blocks", self.blocks, "give 1 to 64")
        require(1 <= self.time <= 9, "net.time", self.time, "give 1 to 9 frames")
        require(self.motion >= 1, "net.motion", self.motion, "give at least 1")

    def guides(self, task: TaskConfig) -> int:
        """Return how many channels of another data set stand behind those of each clip that is read."""
        return task.source_channels if task.source == "pairs" else 0

    def beside(self, clip: ClipConfig, task: TaskConfig) -> int:
        """Return the channels of the source, which the critics see behind those of the clip."""
        return source_clip(clip, task).channels

    def judged_clip(self, clip: ClipConfig, task: TaskConfig) -> ClipConfig:
        """Return the shape of a clip with its source beside it."""
        return unlimited(clip.frames, clip.height, clip.width, clip.channels + self.beside(clip, task))
