"""Motion and time within clips, in closed form: how much they move, what comes again, flickers, breaks or stays.

Clips are (B, C, T, H, W) in [-1, 1]; an energy is in units of that range, a frame; figures are float64, on the CPU.
Tracks follow the optical flow (B, 2, T - 1, h, w) in pixels of its own grid, as `horn_schunck` gives it: the
idea of FVMD (Liu et al. 2024, Fréchet Video Motion Distance, whose points are tracked by a trained network).
Gradients go through the flow, which critics of motion see too: Horn & Schunck's iteration, unrolled.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from einops import rearrange
from torch import Tensor
from torch.nn.functional import avg_pool2d, avg_pool3d, grid_sample


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


class BeatAgreement(NamedTuple):
    """How well motion keeps time with sound."""

    correlation: float
    """Pearson's correlation of motion with what is heard, at the same time."""
    elsewhere: float
    """Mean absolute correlation with the sound moved by random times."""
    ratio: float
    """The first over the second: about 1 where motion does not heed the sound."""


def beat_agreement(energy: Tensor, heard: Tensor, *, apart: int, lags: int = 200, seed: int = 0) -> BeatAgreement:
    """Compare the motion of a video with what is heard during it.

    Args:
        energy: mean absolute change from each frame to the next, (T,).
        heard: strength of onsets between these frames, (T,).
        apart: the sound is moved by so many frames at least, to either side, around the end.
        lags: random times.
        seed: they follow from it.
    """
    moving, sounding = (values.double() - values.double().mean() for values in (energy, heard))
    scale = float(moving.norm() * sounding.norm())
    if scale == 0 or len(energy) <= 2 * apart:
        return BeatAgreement(0.0, 0.0, 0.0)
    rng = torch.Generator().manual_seed(seed)
    moved = torch.randint(apart, len(energy) - apart + 1, (lags,), generator=rng).tolist()
    now = float(moving @ sounding) / scale
    elsewhere = sum(abs(float(moving @ sounding.roll(lag))) for lag in moved) / lags / scale
    return BeatAgreement(now, elsewhere, now / elsewhere if elsewhere else 0.0)


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
    """Return each clip's power of the pixels' changes over 1, 2, ... T // 2 cycles a clip, (B, T // 2), float64.

    Each pixel's mean over time is taken away first; power is the mean over pixels and channels. In units of [-1, 1]
    squared; frequency k is k * fps / T hertz.
    """
    length = clips.shape[2]
    moving = clips.double() - clips.double().mean(dim=2, keepdim=True)
    power: Tensor = torch.fft.rfft(moving, dim=2).abs().square().mean(dim=(1, 3, 4))[:, 1:]  # B C T H W -> B T // 2
    twice = torch.full_like(power, 2.0)  # the negative frequencies' part
    if length % 2 == 0:
        twice[:, -1:] = 1.0
    return (power * twice / length**2).cpu()


def spectrum_distance(fake: Tensor, real: Tensor) -> float:
    """Compare two mean results of `temporal_power`, (T // 2,): the total variation distance of their shares.

    From 0, power lies at the same frequencies, to 1, none is shared (flicker against slow motion). How strong the
    motion is plays no part; stills against moving clips give 1.
    """
    assert fake.shape == real.shape, f"spectra of {len(fake)} and {len(real)} frequencies"
    shares = [power / power.sum() if float(power.sum()) else torch.zeros_like(power) for power in (fake, real)]
    if not all(float(share.sum()) for share in shares):
        return 0.0 if float(shares[0].sum()) == float(shares[1].sum()) else 1.0
    return float((shares[0] - shares[1]).abs().sum() / 2)


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
    correlation = _over_lags(_gram(moving))
    power = correlation[:, :1]
    still = power <= STILL * moving.shape[2]
    return torch.where(still, torch.zeros_like(correlation), correlation / power.clamp(min=1e-300))


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
    changes = steps(clips)
    usual = changes.median(dim=1).values
    return torch.where(usual > STILL, changes.amax(dim=1) / usual.clamp(min=1e-300), torch.zeros_like(usual))


POINTS = 8
"""Points along each side at the beginning."""
CELLS = 2
"""Cells along each side, by where a point began, that have histograms of their own."""
ANGLES = 8
"""Directions."""
EDGES = (0.02, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2)
"""Limits between classes of length, in pixels of the flow's grid a frame."""
DIRECTIONS = 2 * CELLS * CELLS * ANGLES
"""Length of `directions`."""
LENGTHS = 2 * (len(EDGES) + 1)
"""Length of `lengths`."""


def follow(flow: Tensor, points: int = POINTS) -> tuple[Tensor, Tensor]:
    """Let points that begin on a grid go along with a flow; at the edges they stop.

    Args:
        flow: displacements (x, y) in pixels, (B, 2, T - 1, h, w).
        points: along each side.

    Returns:
        Velocities (B, T - 1, N, 2) and accelerations (B, T - 2, N, 2), N = points^2, row by row.
    """
    batch, _, count, height, width = flow.shape
    down = (torch.arange(points, dtype=flow.dtype) + 0.5) * (height / points) - 0.5
    across = (torch.arange(points, dtype=flow.dtype) + 0.5) * (width / points) - 0.5
    y, x = torch.meshgrid(down, across, indexing="ij")
    places = torch.stack([x.flatten(), y.flatten()], dim=1).expand(batch, -1, -1).to(flow.device)  # B N 2
    limit = torch.tensor([width - 1, height - 1], dtype=flow.dtype, device=flow.device)
    velocities = []
    for t in range(count):
        where = (places / limit.clamp(min=1) * 2 - 1).unsqueeze(2)  # B N 1 2, in [-1, 1]
        moved = grid_sample(flow[:, :, t], where, mode="bilinear", padding_mode="border", align_corners=True)
        ahead = torch.minimum((places + moved.squeeze(3).transpose(1, 2)).clamp(min=0), limit)  # B 2 N 1 -> B N 2
        velocities.append(ahead - places)
        places = ahead
    velocity = torch.stack(velocities, dim=1)
    return velocity, velocity[:, 1:] - velocity[:, :-1]


def _directions(vectors: Tensor) -> Tensor:
    """Return the lengths of vectors (B, t, N, 2), summed by cell and direction over those of N and t, a frame."""
    batch, count, number, _ = vectors.shape
    side = math.isqrt(number)
    length = vectors.norm(dim=3).double()
    angle = torch.atan2(vectors[..., 1], vectors[..., 0]) / (2 * math.pi) % 1
    sector = (angle * ANGLES).round().long() % ANGLES
    index = torch.arange(number, device=vectors.device)
    cell = (index // side * CELLS // side) * CELLS + index % side * CELLS // side
    sums = torch.zeros(batch, CELLS * CELLS * ANGLES, dtype=torch.float64, device=vectors.device)
    sums.scatter_add_(1, (cell * ANGLES + sector).flatten(1), length.flatten(1))
    return sums / max(1, count)


def _lengths(vectors: Tensor) -> Tensor:
    """Return which share of vectors (B, t, N, 2) has a length in each class, (B, len(EDGES) + 1)."""
    limits = torch.tensor(EDGES, dtype=vectors.dtype, device=vectors.device)
    classes = torch.bucketize(vectors.norm(dim=3).contiguous(), limits, right=True).flatten(1)
    shares = torch.zeros(len(vectors), len(EDGES) + 1, dtype=torch.float64, device=vectors.device)
    shares.scatter_add_(1, classes, torch.ones_like(classes, dtype=torch.float64))
    return shares / max(1, classes.shape[1])


def histograms(flow: Tensor) -> tuple[Tensor, Tensor]:
    """Describe the motion of clips by their flow (B, 2, T - 1, h, w), T at least 3.

    Returns:
        `directions`, (B, DIRECTIONS): for velocity, then acceleration, for each cell and direction the sum of the
        lengths, a frame; and `lengths`, (B, LENGTHS): for velocity, then acceleration, the share of each class of
        length. On the CPU, float64.
    """
    velocity, acceleration = follow(flow)
    directions = torch.cat([_directions(velocity), _directions(acceleration)], dim=1)
    return directions.cpu(), torch.cat([_lengths(velocity), _lengths(acceleration)], dim=1).cpu()


def histogram_distance(made: Tensor, real: Tensor) -> float:
    """Return by how many classes mass has to be moved to turn one mean histogram (K,) into the other: 0 to K - 1.

    The 1-Wasserstein distance with classes at equal distances; the classes of `lengths` double from one to the next.
    """
    return float((made.cumsum(0) - real.cumsum(0)).abs().sum())


_BLUR = (1.0, 4.0, 6.0, 4.0, 1.0)  # binomial, standard deviation 1
_SIDES = (1.0, 2.0, 1.0)  # Horn & Schunck's neighbours, 1/6 and 1/12: this along both axes, less the middle, over 12


# f_bar = sum_n k_n f_n / sum_n k_n over the neighbours n within the picture, k = line x line - hole at the middle.
def _averager(line: tuple[float, ...], hole: float, like: Tensor) -> Callable[[Tensor], Tensor]:
    """Return what averages pictures (..., h, w): matrices, whose second derivatives cost far less than kernels'."""
    sides: list[Tensor] = []
    for size in like.shape[-2:]:  # a matrix (size, size) correlates a line of pixels with `line`
        sides.append(torch.zeros(size, size, dtype=like.dtype, device=like.device))
        for offset, value in enumerate(line, -(len(line) // 2)):
            sides[-1].diagonal(offset).fill_(value)
    down, across = sides
    inside = down.sum(1)[:, None] * across.sum(1) - hole

    def average(pictures: Tensor) -> Tensor:
        return (down @ (pictures @ across) - hole * pictures) / inside

    return average


# df/dx ~ (f(x + 1) - f(x - 1)) / 2, and f beyond the edge as at the edge.
def _slope(pictures: Tensor, dim: int) -> Tensor:
    """Return central differences of pictures (N, 1, h, w) along a dimension."""
    size = pictures.shape[dim]
    first, last = pictures.narrow(dim, 0, 1), pictures.narrow(dim, size - 1, 1)
    wider = torch.cat([first, pictures, last], dim)
    return (wider.narrow(dim, 2, size) - wider.narrow(dim, 0, size)) / 2


# (u, v) <- (u, v)_bar - (Ex, Ey) (Ex u_bar + Ey v_bar + Et) / (alpha^2 + Ex^2 + Ey^2): Horn & Schunck 1981, section 12.
# Ex and Ey are of the mean of the two frames: then Et = -(u Ex + v Ey) to the second order in the displacement.
def horn_schunck(clips: Tensor, *, side: int = 32, iterations: int = 16, smoothness: float = 0.1) -> Tensor:
    """Return the optical flow between successive frames, differentiable as often as wanted.

    Frames are made grey, averaged over squares until the shorter side is at most `side`, and blurred. Displacements of
    up to about 2 of those pixels are measured; there is no pyramid for larger ones. Where nothing moves, the flow is 0.

    Args:
        clips: (B, C, T, H, W) in [-1, 1], T at least 2.
        side: greatest length of the shorter side on which the flow is computed.
        iterations: each carries the flow one pixel further into plain areas.
        smoothness: alpha, in pixel values per pixel; edges much fainter than that are taken for noise.

    Returns:
        (B, 2, T - 1, h, w): displacement (x, y) in pixels of the reduced frames, for each step.
    """
    batch, _, frames, height, width = clips.shape
    assert frames > 1, "one frame does not move"
    grey = clips if clips.dtype == torch.float64 else clips.float()
    with torch.autocast(clips.device.type, enabled=False):
        grey = rearrange(grey.mean(1), "b t h w -> (b t) 1 h w")
        factor = -(-min(height, width) // side)  # at the far edges, squares are averaged over what is inside
        grey = avg_pool2d(grey, factor, ceil_mode=True)
        grey = _averager(_BLUR, 0.0, grey)(grey)
        grey = rearrange(grey, "(b t) 1 h w -> b t h w", b=batch)
        before, after = (rearrange(part, "b t h w -> (b t) 1 h w") for part in (grey[:, :-1], grey[:, 1:]))
        middle, change = (before + after) / 2, after - before
        slope = torch.cat([_slope(middle, 3), _slope(middle, 2)], 1)  # (N, 2, h, w): Ex, Ey
        gain = slope / (smoothness**2 + slope.square().sum(1, keepdim=True))
        flow = -gain * change  # the first iteration, from rest
        neighbours = _averager(_SIDES, 4.0, middle)
        for _ in range(iterations - 1):
            mean = neighbours(flow)
            flow = mean - gain * ((slope * mean).sum(1, keepdim=True) + change)
    return rearrange(flow, "(b t) d h w -> b d t h w", b=batch)
