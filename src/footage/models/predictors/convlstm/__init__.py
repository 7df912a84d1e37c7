"""The convolutional LSTM: its configuration; `network` has the rest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from footage.config.strict import bounded, require
from footage.models.predictors import PredictorConfig


@dataclass(frozen=True)
class ConvLstmConfig(PredictorConfig):
    """The convolutional LSTM encoder and forecaster (Shi et al. 2015)."""

    network: ClassVar[str] = "footage.models.predictors.convlstm.network:ConvLstm"
    tiny: ClassVar = {"width": 4, "layers": 2}

    kind: Literal["convlstm"] = "convlstm"
    """Which network."""
    width: int = bounded(64, 1, 512, "channels")
    """Channels of each layer's state."""
    layers: int = bounded(3, 1, 16)
    """Layers."""
    kernel: int = 3
    """Size of the convolutions from state to state, odd."""
    patch: int = 4
    """Frames enter as patches of this size, a channel for each pixel."""
    copies: int = bounded(2, 0, 16)
    """Copies of the frame before whose pixels are moved to make the next one (dynamic neural advection, Finn et al.
    2016); 0 to paint every pixel anew, as Shi et al. do."""
    reach: int = bounded(4, 1, 64, "pixels")
    """Furthest that a pixel moves in a frame, in pixels."""
    surprise: bool = False
    """Tell the network, while it is given true frames, how each differs from what it had predicted (predictive coding,
    Lotter et al. 2017)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.kernel in (1, 3, 5, 7), "net.kernel", self.kernel, "give 1, 3, 5 or 7")
        require(self.patch in (1, 2, 4, 8), "net.patch", self.patch, "give 1, 2, 4 or 8")
