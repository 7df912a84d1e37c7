"""How much clips move, and how much they differ: closed-form figures of plain pixels."""

from __future__ import annotations

import torch
from torch import Tensor


def motion_energy(clips: Tensor) -> float:
    """Return the mean absolute difference of successive frames of clips (B, C, T, H, W); 0 for stills."""
    if clips.shape[2] < 2:
        return 0.0
    return float((clips[:, :, 1:] - clips[:, :, :-1]).abs().mean(dtype=torch.float64))


def contrast(clips: Tensor) -> float:
    """Return the mean over frames of the pixels' standard deviation, of clips (B, C, T, H, W); 0 for plain grey."""
    return float(clips.double().flatten(3).std(dim=3, unbiased=False).mean())


def diversity(clips: Tensor) -> float:
    """Return the mean over voxels of the standard deviation between clips (B, C, T, H, W); 0 for copies."""
    return float(clips.double().std(dim=0, unbiased=False).mean())
