"""What is read of volumes beside clips: histograms of values, small copies, and pictures of planes along three axes.

Volumes come in 8 bits of their window, (B, T, H, W, C), T being depth; of several channels, such as a picture and its
masks, the first counts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool3d

from footage.data.store import Frames
from footage.generation.rollout import from_uint8
from footage.metrics.image_quality import volume_similarity

HISTOGRAM, SMALL_VOLUMES, PLANES = "values of voxels", "small volumes", "three planes"
"""Names of what is read."""
BINS = 256
"""Steps of the window that values are counted in."""
SIDE = 32
"""Longest side of the small copies, in voxels."""
PLANES_EACH = 8
"""Planes along each axis that a network of pictures sees, evenly spaced."""
PAIRS = 128
"""Random pairs of volumes whose similarity is measured."""
AT_ONCE = 16
"""Pairs that are compared at once."""


class DescribesClips(Protocol):
    """A network that makes a vector (B, D) of clips."""

    def features(self, frames: Frames) -> Tensor: ...


def histograms(volumes: Frames) -> npt.NDArray[np.float32]:
    """Return which part of a volume's voxels has each of 256 levels, (B, 256)."""
    counted = [np.bincount(volume[..., 0].reshape(-1), minlength=BINS) for volume in volumes]
    return (np.stack(counted) / volumes[0, ..., 0].size).astype(np.float32)


def small_volume_shape(depth: int, height: int, width: int) -> tuple[int, int, int]:
    """Return the shape of the small copy of a volume."""
    return min(SIDE, depth), min(SIDE, height), min(SIDE, width)


def small_volumes(volumes: Frames) -> npt.NDArray[np.uint8]:
    """Return small copies of volumes, means over boxes, as vectors (B, t h w), uint8."""
    shape = small_volume_shape(*volumes.shape[1:4])
    values = torch.from_numpy(np.ascontiguousarray(volumes[..., 0])).float()
    small = adaptive_avg_pool3d(values[:, None], shape).round().to(torch.uint8)  # B T H W -> B 1 t h w
    return small.flatten(1).numpy()


def planes_reader(net: DescribesClips) -> Callable[[Frames], npt.NDArray[Any]]:
    """Return what has a network of pictures describe axial, coronal and sagittal planes: (B, 3 D)."""

    def read(volumes: Frames) -> npt.NDArray[Any]:
        vectors = []
        for axis in (1, 2, 3):
            turned = np.moveaxis(volumes[..., :1], axis, 1)  # the planes stand where the frames of a clip do
            chosen = np.linspace(0, turned.shape[1] - 1, PLANES_EACH).round().astype(int)
            vectors.append(net.features(np.ascontiguousarray(turned[:, chosen])))
        return torch.cat(vectors, dim=1).numpy()

    return read


def pair_similarities(copies: npt.NDArray[np.uint8], shape: tuple[int, int, int], seed: int) -> Tensor:
    """Return the structural similarity of random pairs of small copies (N, t h w), (PAIRS,)."""
    rng = np.random.Generator(np.random.Philox(key=[seed, 0x55B1]))
    first = rng.integers(len(copies), size=PAIRS)
    second = (first + 1 + rng.integers(len(copies) - 1, size=PAIRS)) % len(copies)
    values = []
    for start in range(0, PAIRS, AT_ONCE):
        rows = slice(start, start + AT_ONCE)
        one, other = (from_uint8(copies[side[rows]].reshape(-1, *shape, 1)) for side in (first, second))
        values.append(volume_similarity(one, other))
    return torch.cat(values)
