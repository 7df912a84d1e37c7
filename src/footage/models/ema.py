"""Moving average of weights, counted in clips seen, so that the batch size moves nothing."""

from __future__ import annotations

import copy

import torch
from torch import nn


class MovingAverage:
    """Exponential moving average of a module's parameters; buffers are copied.

    Early in a run the half-life is at most a tenth of the clips seen, so that the average does not
    remember the first, random weights (EDM2, Karras et al. 2024, appendix C, in spirit).

    Args:
        module: the module to follow; the average starts as a copy of it.
        half_life: in clips seen; 0 copies the weights at every update.
    """

    def __init__(self, module: nn.Module, half_life: float) -> None:
        self.module = copy.deepcopy(module).eval().requires_grad_(False)
        self.half_life = half_life

    @torch.no_grad()
    def update(self, module: nn.Module, clips_seen: int, clips: int) -> None:
        """Move the average towards `module`, `clips` clips after the last update."""
        half_life = min(self.half_life, clips_seen / 10)
        keep = 0.5 ** (clips / half_life) if half_life > 0 else 0.0
        torch._foreach_lerp_(list(self.module.parameters()), list(module.parameters()), 1 - keep)
        for mine, theirs in zip(self.module.buffers(), module.buffers(), strict=True):
            mine.copy_(theirs)
