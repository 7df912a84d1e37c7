"""Velocities and accelerations of points that go along with the optical flow, as histograms: the idea of FVMD.

Liu et al. 2024 (Fréchet Video Motion Distance) track points with a trained network; here they follow a flow
(B, 2, T - 1, h, w) in pixels of its own grid, as `footage.models.flow` gives it.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

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
    found = torch.zeros(batch, CELLS * CELLS * ANGLES, dtype=torch.float64, device=vectors.device)
    found.scatter_add_(1, (cell * ANGLES + sector).flatten(1), length.flatten(1))
    return found / max(1, count)


def _lengths(vectors: Tensor) -> Tensor:
    """Return which share of vectors (B, t, N, 2) has a length in each class, (B, len(EDGES) + 1)."""
    limits = torch.tensor(EDGES, dtype=vectors.dtype, device=vectors.device)
    classes = torch.bucketize(vectors.norm(dim=3).contiguous(), limits, right=True).flatten(1)
    found = torch.zeros(len(vectors), len(EDGES) + 1, dtype=torch.float64, device=vectors.device)
    found.scatter_add_(1, classes, torch.ones_like(classes, dtype=torch.float64))
    return found / max(1, classes.shape[1])


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
