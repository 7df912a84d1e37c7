"""Translators: their configuration, and the shape of what they are given; `translate` has the rest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from footage.config import ClipConfig, Config, TaskConfig
from footage.config.registry import NetConfig
from footage.config.sections import unlimited
from footage.config.strict import bounded, require_named
from footage.errors import ConfigError, counted


def source_clip(clip: ClipConfig, task: TaskConfig) -> ClipConfig:
    """Return the shape of what a translator is given; a picture has one frame."""
    channels = {"edges": 1, "grey": 1, "pairs": task.source_channels}.get(task.source, clip.channels)
    return unlimited(1 if task.source == "first-frame" else clip.frames, clip.height, clip.width, channels)


@dataclass(frozen=True)
class TranslatorConfig(NetConfig):
    """The generator that is given a picture or a clip (Isola et al. 2017)."""

    method: ClassVar[str] = "translate"
    network: ClassVar[str] = "footage.models.translators.translate:make_translator"
    tiny: ClassVar = {"width": 4, "blocks": 1, "motion": 4}

    kind: Literal["translator"] = "translator"
    """Which network."""
    shape: Literal["resnet", "unet"] = "unet"
    """Residual blocks at a quarter of the size, or ever smaller stages with shortcuts between equal sizes."""
    width: int = bounded(32, 4, 512, "channels")
    """Channels of the outermost stage; they double towards the innermost, up to 512."""
    blocks: int = bounded(6, 1, 64)
    """Residual blocks, for `resnet`."""
    time: int = bounded(3, 1, 9, "frames")
    """Frames that a convolution over time sees, all of them past; 1 translates every frame by itself."""
    modulate: bool = False
    """Let the source scale and shift the features at every stage of the decoder (spatially adaptive modulation, Park et
    al. 2019), so that label maps are not washed out."""
    residual: bool = False
    """Let the network correct the source in place of painting it anew: for sources that look like what is wanted, such
    as slices, lowres and blur."""
    motion: int = bounded(16, 1)
    """Length of the motion code, where a clip is made from a picture."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_named(self, "net", "shape")

    def check(self, config: Config) -> None:
        """Refuse to correct a source that is no clip of the same channels."""
        task, channels = config.task, config.clip.channels
        if self.residual and (task.source == "first-frame" or source_clip(config.clip, task).channels != channels):
            problem = f"net.residual is on, and a source of {task.source} is no clip of {counted(channels, 'channel')}"
            raise ConfigError(problem, "give --net.no-residual, or another --task.source")

    @property
    def takes_text(self) -> bool:
        return True

    def guides(self, clip: ClipConfig, task: TaskConfig) -> int:
        """Return how many channels of another data set stand behind those of each clip that is read."""
        return task.source_channels if task.source == "pairs" else 0

    def conditions(self, clip: ClipConfig, task: TaskConfig) -> int:
        """Return the channels of the source, which the critics see behind those of the clip."""
        return source_clip(clip, task).channels

    def judged_clip(self, clip: ClipConfig, task: TaskConfig) -> ClipConfig:
        """Return the shape of a clip with its source beside it."""
        return unlimited(clip.frames, clip.height, clip.width, clip.channels + self.conditions(clip, task))
