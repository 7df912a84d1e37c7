"""Time within clips: what comes again, what flickers, what breaks, and how long content stays.

Clips are (B, C, T, H, W) in [-1, 1]; figures are float64, on the CPU, one or several for each clip.
"""

from __future__ import annotations

import torch
from torch import Tensor

STILL = 1e-9
"""Mean squares below which a clip counts as still."""


def _gram(rows: Tensor) -> Tensor:
    """Return the inner products of frames (B, T, D), (B, T, T), float64."""
    return torch.bmm(rows, rows.transpose(1, 2)).double().cpu()


def _over_lags(table: Tensor) -> Tensor:
    """Return the means of the diagonals of (B, T, T), from lag 0 to T - 1, (B, T)."""
    length = table.shape[1]
    return torch.stack([table.diagonal(lag, 1, 2).mean(dim=1) for lag in range(length)], dim=1)


def autocorrelation(clips: Tensor) -> Tensor:
    """Return the autocorrelation of the pixels' changes over time, (B, T): lag 0 is 1, or 0 for stills.

        a(l) = mean_t <d_t, d_{t+l}> / mean_t <d_t, d_t>,   d = x - (mean over t of x)

    The mean is over T - l pairs, so that a clip that repeats itself has 1 at its period, give or take its ends.
    """
    frames = clips.transpose(1, 2).flatten(2)  # B C T H W -> B T CHW
    moving = frames - frames.mean(dim=1, keepdim=True)
    found = _over_lags(_gram(moving))
    power = found[:, :1]
    still = power <= STILL * moving.shape[2]
    return torch.where(still, torch.zeros_like(found), found / power.clamp(min=1e-300))


def periodicity(correlation: Tensor) -> Tensor:
    """Return how clearly clips repeat themselves, from their autocorrelation (B, T): (B,), 0 to 1.

    The highest value at a lag of at most half the clip, after the first lag at which the autocorrelation has fallen to
    0 or below: motion that goes one way only never comes back up. Cutler and Davis 2000 find periods in the same table
    of similarities.
    """
    half = correlation.shape[1] // 2
    part = correlation[:, : half + 1]
    fallen = (part <= 0).cumsum(dim=1) > 0
    best = torch.where(fallen, part, torch.zeros_like(part)).amax(dim=1)
    return best.clamp(0, 1)


def resemblance(clips: Tensor) -> Tensor:
    """Return how much frames resemble those some frames later, (B, T), by lag: the mean correlation of their pixels.

    Each frame is taken less its mean and in units of its deviation; frames of one plain colour resemble each other (1).
    """
    frames = clips.transpose(1, 2).flatten(2)  # B C T H W -> B T CHW
    shape = frames - frames.mean(dim=2, keepdim=True)
    size = shape.square().sum(dim=2, keepdim=True).sqrt()
    plain = size <= (STILL * shape.shape[2]) ** 0.5
    unit = torch.where(plain, torch.full_like(shape, shape.shape[2] ** -0.5), shape / size.clamp(min=1e-30))
    return _over_lags(_gram(unit))


def half_life(curve: Tensor) -> float | None:
    """Return the lag at which a mean resemblance (T,) has fallen to .5, between frames; None if it never does.

    That is half way: 0 is what frames have that do not resemble each other.
    """
    below = (curve <= 0.5).nonzero().flatten()
    if not len(below):
        return None
    lag = int(below[0])
    if lag == 0:
        return 0.0
    before, after = float(curve[lag - 1]), float(curve[lag])
    return lag - 1 + (before - 0.5) / (before - after)


def flicker(clips: Tensor) -> Tensor:
    """Return how far frames are off the mean of the two beside them, (B,), in units of [-1, 1].

        mean |x_t - (x_{t-1} + x_{t+1}) / 2|

    Steady motion of soft pictures has little of it; frames that disagree with their neighbours have much. 0 for fewer
    than three frames.
    """
    if clips.shape[2] < 3:
        return torch.zeros(len(clips), dtype=torch.float64)
    off = clips[:, :, 1:-1] - (clips[:, :, 2:] + clips[:, :, :-2]) / 2
    return off.abs().mean(dim=(1, 2, 3, 4), dtype=torch.float64).cpu()


def steps(clips: Tensor) -> Tensor:
    """Return the mean absolute difference of each two successive frames, (B, T - 1)."""
    change = (clips[:, :, 1:] - clips[:, :, :-1]).abs()
    return change.mean(dim=(1, 3, 4), dtype=torch.float64).cpu()  # B C T-1 H W -> B T-1


def seam_error(clips: Tensor) -> Tensor:
    """Return how much larger the step from the last frame back to the first is than the others, (B,); 1 in a loop.

    0 for stills, which are loops too.
    """
    back = (clips[:, :, 0] - clips[:, :, -1]).abs().mean(dim=(1, 2, 3), dtype=torch.float64).cpu()
    usual = steps(clips).mean(dim=1)
    return torch.where(usual > STILL, back / usual.clamp(min=1e-300), torch.zeros_like(back))


def jump(clips: Tensor) -> Tensor:
    """Return the largest step over the median one, (B,): far above that of real clips where segments are badly joined.

    0 for clips more than half of whose frames stand still.
    """
    found = steps(clips)
    usual = found.median(dim=1).values
    return torch.where(usual > STILL, found.amax(dim=1) / usual.clamp(min=1e-300), torch.zeros_like(usual))
