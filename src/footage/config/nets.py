"""Knobs of the generators: one class each, told apart by `kind`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from footage.config.checks import require


@dataclass(frozen=True)
class MlpConfig:
    """The fully connected generator (Goodfellow et al. 2014)."""

    kind: Literal["mlp"] = "mlp"
    """Which generator."""
    latent: int = 100
    """Length of the latent code z."""
    label: int = 64
    """Length of the label's embedding, where there are labels."""
    width: int = 256
    """Units of the first hidden layer; the second has twice, the third four times as many."""

    def __post_init__(self) -> None:
        """Refuse sizes below one."""
        _check_sizes(self.latent, self.label)
        require(1 <= self.width <= 8192, "net.width", self.width, "give 1 to 8192 units")


@dataclass(frozen=True)
class Conv3dConfig:
    """The 3D-convolutional generator (VGAN)."""

    kind: Literal["conv3d"] = "conv3d"
    """Which generator."""
    latent: int = 100
    """Length of the latent code z."""
    label: int = 64
    """Length of the label's embedding, where there are labels."""
    width: int = 48
    """Channels of the outermost hidden stage; they double towards the innermost, up to 512."""
    mix: Literal["modulate", "concatenate"] = "modulate"
    """How noise and label enter: they also scale the channels of every stage, so that none is forgotten on the way; or
    they stand at the start alone (VGAN)."""
    streams: Literal[1, 2] = 1
    """2 for a moving foreground over a still background, put together by a mask."""
    mask: float = 0.1
    """Weight of the mean mask in the generator's loss, with two streams: as much background as possible."""

    def __post_init__(self) -> None:
        """Refuse sizes below one."""
        _check_sizes(self.latent, self.label)
        require(4 <= self.width <= 512, "net.width", self.width, "give 4 to 512 channels")
        require(self.streams in (1, 2), "net.streams", self.streams, "give 1 or 2")
        require(self.mask >= 0, "net.mask", self.mask, "give 0 or more")


@dataclass(frozen=True)
class RecurrentConfig:
    """The recurrent generator (MoCoGAN): a content code, a label and a path of motion codes; clips of any length."""

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
        _check_sizes(self.content, self.label)
        require(self.motion >= 1, "net.motion", self.motion, "give at least 1")
        require(self.hidden >= 1, "net.hidden", self.hidden, "give at least 1")
        require(4 <= self.width <= 512, "net.width", self.width, "give 4 to 512 channels")


NetConfig = MlpConfig | Conv3dConfig | RecurrentConfig
"""Every generator's configuration."""


def _check_sizes(code: int, label: int) -> None:
    require(code >= 1, "net.latent", code, "give at least 1")
    require(label >= 1, "net.label", label, "give at least 1")
