"""What a critic sees of a clip: the clip, single frames, a few far apart, or the change from frame to frame."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor
from torch.nn.functional import avg_pool3d

from footage.config import ClipConfig, CriticConfig


@dataclass(frozen=True)
class Seen:
    """What a critic judges, N things for B clips."""

    inputs: Tensor
    """(N, C, T, H, W), or (N, C, H, W) where there is no time."""
    gaps: Tensor | None
    """(N, k - 1): frames between those of a sparse choice, as parts of the clip; else None."""
    each: int
    """Things that are judged for each clip, in the clips' order: N / B."""


def pick(critic: CriticConfig, clip: ClipConfig, count: int, rng: torch.Generator) -> Tensor | None:
    """Choose frames for `count` clips: (count, k) in rising order, without repetition; None where all are seen."""
    if not critic.timeless:
        return None
    return torch.rand(count, clip.frames, generator=rng).argsort(dim=1)[:, : critic.frames].sort(dim=1).values


def look(critic: CriticConfig, clips: Tensor, picks: Tensor | None) -> Seen:
    """Show clips (B, C, T, H, W) to a critic, with the frames that `pick` has chosen, (B, k)."""
    frames = clips.shape[2]
    if critic.shrink > 1:
        clips = avg_pool3d(clips, (1, critic.shrink, critic.shrink))  # B C T h w
    if critic.sees == "difference":
        return Seen(clips[:, :, 1:] - clips[:, :, :-1], None, 1)
    if picks is None:
        return Seen(clips, None, 1)
    rows = torch.arange(len(clips), device=clips.device)[:, None]
    chosen = clips.transpose(1, 2)[rows, picks.to(clips.device)]  # B k C h w
    if critic.sees == "frames":
        return Seen(chosen.flatten(0, 1), None, picks.shape[1])  # (B k) C h w
    gaps = picks.diff(dim=1).to(clips) / frames
    return Seen(rearrange(chosen, "b k c h w -> b (k c) h w"), gaps, 1)


def seen_shape(critic: CriticConfig, clip: ClipConfig) -> tuple[int, int | None, int, int]:
    """Return what a critic sees of a clip: channels, frames (None where there is no time), height, width."""
    height, width = clip.height // critic.shrink, clip.width // critic.shrink
    if critic.timeless:
        return clip.channels * (critic.frames if critic.sees == "sparse" else 1), None, height, width
    return clip.channels, clip.frames - (critic.sees == "difference"), height, width
