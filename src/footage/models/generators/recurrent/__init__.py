"""The recurrent generator: its configuration; `network` has the rest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from footage.config.strict import require
from footage.models.generators import GeneratorConfig


@dataclass(frozen=True)
class RecurrentConfig(GeneratorConfig):
    """The recurrent generator (MoCoGAN): a content code, a label and a path of motion codes; clips of any length."""

    network: ClassVar[str] = "footage.models.generators.recurrent.network:RecurrentGenerator"
    sampler: ClassVar[str] = "footage.models.generators.samplers:RollingSampler"
    tiny: ClassVar = {"width": 4, "content": 8, "motion": 4, "hidden": 4, "label": 4}

    kind: Literal["recurrent"] = "recurrent"
    """Which generator."""
    content: int = 50
    """Length of the content code, one for a clip."""
    motion: int = 10
    """Length of the noise that is drawn anew for each frame."""
    hidden: int = 10
    """Length of the motion code, the recurrent cell's state."""
    cell: Literal["gru", "lstm"] = "gru"
    """The recurrent cell."""
    mix: Literal["modulate", "concatenate"] = "modulate"
    """How the decoder gets the content: it scales the channels of every stage, so that it stays while motion goes on;
    or it stands beside the motion code at the start (MoCoGAN)."""
    label: int = 64
    """Length of the label's embedding, where there are labels."""
    width: int = 48
    """Channels of the outermost hidden stage of the frame decoder; they double towards the innermost, up to 512."""

    def __post_init__(self) -> None:
        """Refuse sizes below one."""
        self._check_sizes()
        require(self.motion >= 1, "net.motion", self.motion, "give at least 1")
        require(self.hidden >= 1, "net.hidden", self.hidden, "give at least 1")
        require(4 <= self.width <= 512, "net.width", self.width, "give 4 to 512 channels")

    @property
    def sliders(self) -> int:
        """The length of the content code."""
        return self.content
