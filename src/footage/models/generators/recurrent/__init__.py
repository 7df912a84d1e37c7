"""The recurrent generator: its configuration; `network` has the rest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from footage.config.strict import bounded
from footage.models.generators import GeneratorConfig


@dataclass(frozen=True)
class RecurrentConfig(GeneratorConfig):
    """The recurrent generator (MoCoGAN): a content code, a label and a path of motion codes; clips of any length."""

    network: ClassVar[str] = "footage.models.generators.recurrent.network:RecurrentGenerator"
    sampler: ClassVar[str] = "footage.models.generators.samplers:RollingSampler"
    tiny: ClassVar = {"width": 4, "content": 8, "motion": 4, "hidden": 4, "label": 4}

    kind: Literal["recurrent"] = "recurrent"
    """Which generator."""
    content: int = bounded(50, 1)
    """Length of the content code, one for a clip."""
    motion: int = bounded(10, 1)
    """Length of the noise that is drawn anew for each frame."""
    hidden: int = bounded(10, 1)
    """Length of the motion code, the recurrent cell's state."""
    cell: Literal["gru", "lstm"] = "gru"
    """The recurrent cell."""
    mix: Literal["modulate", "concatenate"] = "modulate"
    """How the decoder gets the content: it scales the channels of every stage, so that it stays while motion goes on;
    or it stands beside the motion code at the start (MoCoGAN)."""
    label: int = bounded(64, 1)
    """Length of the label's embedding, where there are labels."""
    width: int = bounded(48, 4, 512, "channels")
    """Channels of the outermost hidden stage of the frame decoder; they double towards the innermost, up to 512."""

    @property
    def sliders(self) -> int:
        return self.content
