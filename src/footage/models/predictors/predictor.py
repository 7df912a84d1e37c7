"""What all predictors have: networks that continue a clip."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

from torch import Tensor, nn

from footage.models.layers import Levels, Noise

State = tuple[Tensor, ...]
"""What a predictor remembers of the frames before, (B, ...) each."""


class PredictorOutput(NamedTuple):
    """What a predictor gives in training."""

    future: Tensor
    """(B, C, F, H, W), around [-1, 1]."""
    divergence: Tensor | None
    """(B,): Kullback-Leibler divergence of the posterior from the prior over all frames, in nats; None where there is
    one future only."""
    rehearsed: Tensor | None = None
    """(B, C, P - 1, H, W): the past itself from its second frame on, each frame from the true ones before it; None
    where that is not made on the way."""
    cost: Tensor | None = None
    """What the network is to learn beside, as a number to minimise; None for nothing."""


class Predictor(nn.Module, ABC):
    """A network that continues clips (B, C, P, H, W)."""

    levels: Levels
    """The data's levels."""
    past: int
    """Frames that it is given, P."""

    @abstractmethod
    def forward(self, clips: Tensor, noise: Noise, shown: Tensor | None, rehearse: bool = False) -> PredictorOutput:
        """Predict what follows the first P frames of clips (B, C, T, H, W), one frame for each that there is.

        Args:
            clips: past and true future.
            noise: as `noise` says.
            shown: (B, T - P), whether a recurrent network gets the true frame instead of its own before the next one;
                None for never.
            rehearse: whether to make the past too, where the network can on its way.
        """

    def noise(self, frames: int) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the noise of one clip, by name, (frames, n): a row for each frame.

        None for one future only; those that have some make one frame at a time.
        """
        return {}

    @abstractmethod
    def begin(self, past: Tensor) -> State:
        """Return the state after the past, (B, C, P, H, W)."""

    @abstractmethod
    def advance(self, state: State, noise: Tensor | None) -> tuple[Tensor, State]:
        """Predict the next frames (B, C, f, H, W), and the state after them.

        Args:
            state: after the frames before.
            noise: (B, n) standard normal numbers, for those whose `noise` is not empty.
        """
