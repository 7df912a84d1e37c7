"""How much clips move, and how much they differ: closed-form figures of plain pixels.

Clips are (B, C, T, H, W) in [-1, 1]; an energy is in units of that range, a frame; sums are taken in float64.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn.functional import avg_pool3d


def motion_energies(clips: Tensor) -> Tensor:
    """Return for each clip the mean absolute difference of its successive frames, (B,), float64; 0 for stills."""
    if clips.shape[2] < 2:
        return torch.zeros(len(clips), dtype=torch.float64)
    change = (clips[:, :, 1:] - clips[:, :, :-1]).abs()
    return change.mean(dim=(1, 2, 3, 4), dtype=torch.float64).cpu()  # B C T-1 H W -> B


def motion_energy(clips: Tensor) -> float:
    """Return the mean absolute difference of successive frames of clips (B, C, T, H, W); 0 for stills."""
    if clips.shape[2] < 2:
        return 0.0
    return float((clips[:, :, 1:] - clips[:, :, :-1]).abs().mean(dtype=torch.float64))


def motion_distance(fake: Tensor, real: Tensor) -> float:
    """Compare two sets of motion energies, (N,) and (M,): 0 when they are distributed alike, 1 for stills.

        W(f, r) / mean r,   W = integral |F(x) - R(x)| dx

    the 1-Wasserstein distance of the two empirical distributions F and R (Vallender 1974), as a part of the real clips'
    mean energy. Without a unit. A model can have the right mean motion (a ratio of 1) and still be wrong here, if each
    of its clips moves alike. It is 0 or infinite when the real clips are stills.
    """
    fake, real = fake.double().sort().values, real.double().sort().values
    points = torch.cat([fake, real]).sort().values
    below = [torch.searchsorted(x, points[:-1], right=True) / len(x) for x in (fake, real)]
    distance = float(((below[0] - below[1]).abs() * points.diff()).sum())
    scale = float(real.mean())
    return distance / scale if scale else (0.0 if not distance else float("inf"))


def temporal_power(clips: Tensor) -> Tensor:
    """Return the power of the pixels' changes over frequencies 1, 2, ... T // 2 cycles a clip, (T // 2,), float64.

    Each pixel's mean over time is taken away first; power is summed over pixels, channels and clips, so that the powers
    of several batches may be added. In units of [-1, 1] squared; frequency k is k * fps / T hertz.
    """
    length = clips.shape[2]
    moving = clips.double() - clips.double().mean(dim=2, keepdim=True)
    power: Tensor = torch.fft.rfft(moving, dim=2).abs().square().sum(dim=(0, 1, 3, 4))[1:]  # B C T H W -> T // 2
    twice = torch.full_like(power, 2.0)  # the negative frequencies' part
    if length % 2 == 0:
        twice[-1:] = 1.0
    return (power * twice / length**2).cpu()


def spectrum_distance(fake: Tensor, real: Tensor) -> float:
    """Compare two results of `temporal_power` for one length: the total variation distance of their shares.

    From 0, power lies at the same frequencies, to 1, none is shared (flicker against slow motion). How strong the
    motion is plays no part; stills against moving clips give 1.
    """
    assert fake.shape == real.shape, f"spectra of {len(fake)} and {len(real)} frequencies"
    shares = [power / power.sum() if float(power.sum()) else torch.zeros_like(power) for power in (fake, real)]
    if not all(float(share.sum()) for share in shares):
        return 0.0 if float(shares[0].sum()) == float(shares[1].sum()) else 1.0
    return float((shares[0] - shares[1]).abs().sum() / 2)


def windowed_energy(chunks: Iterable[Tensor], window: int) -> list[float]:
    """Return the motion energy of each window of a long video, to see whether its motion stays alive.

    Args:
        chunks: successive stretches (B, C, T, H, W) of the same B videos; only the last frame of each is kept.
        window: changes from frame to frame in a window; an unfinished one at the end is left out.
    """
    found: list[float] = []
    waiting: list[float] = []
    last: Tensor | None = None
    for chunk in chunks:
        joined = chunk if last is None else torch.cat([last, chunk], dim=2)
        change = (joined[:, :, 1:] - joined[:, :, :-1]).abs()
        waiting += change.mean(dim=(0, 1, 3, 4), dtype=torch.float64).tolist()  # B C T H W -> T
        last = chunk[:, :, -1:].clone()
        while len(waiting) >= window:
            found.append(sum(waiting[:window]) / window)
            del waiting[:window]
    return found


def contrast(clips: Tensor) -> float:
    """Return the mean over frames of the pixels' standard deviation, of clips (B, C, T, H, W); 0 for plain grey."""
    return float(clips.double().flatten(3).std(dim=3, unbiased=False).mean())


def diversity(clips: Tensor) -> float:
    """Return the mean over voxels of the standard deviation between clips (B, C, T, H, W); 0 for copies."""
    return float(clips.double().std(dim=0, unbiased=False).mean())


def sticking(clips: Tensor) -> float:
    """Return how much of the fine detail stays at its pixels: 1 where all of it does, less where it moves along.

        mean |mean over t of d_t| / mean |d_t|,   d = x - (x averaged over 3 x 3 pixels)

    (B, C, T, H, W); the texture sticking of Karras et al. 2021 (StyleGAN3), as a number. A still background has detail
    that rightly stays: compare with real clips. 0 where there is no detail.
    """
    fine = clips - avg_pool3d(clips, (1, 3, 3), stride=1, padding=(0, 1, 1), count_include_pad=False)
    whole = float(fine.abs().mean(dtype=torch.float64))
    return float(fine.mean(dim=2).abs().mean(dtype=torch.float64)) / whole if whole else 0.0
