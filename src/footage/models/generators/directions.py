"""Latent sliders: directions of a generator's code along which its clips change most, found without training.

Closed-form factorisation (SeFa, Shen and Zhou 2021, eq. 5): with A the weights of the linear maps that a code enters,
one below the other, the directions n of unit length with the largest |A n| are the eigenvectors of A^T A with the
largest eigenvalues. A code is moved by z' = z + sum of v_k n_k, where v_k, in standard deviations, is the value of
slider k. The length of z' is not brought back to that of z: each slider would then move along all the others.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from footage.models.base import Wish
from footage.models.layers import Generator


def directions(entries: Sequence[Tensor]) -> Tensor:
    """Return unit vectors (c, c), a row each, the one that changes most first; its largest number is positive.

    Args:
        entries: weights of the linear maps that the code enters, (n, c) each.
    """
    stacked = torch.cat([weight.double().cpu() for weight in entries])
    _, vectors = torch.linalg.eigh(stacked.T @ stacked)  # eigenvalues grow
    rows = vectors.T.flip(0)
    largest = rows.gather(1, rows.abs().argmax(dim=1, keepdim=True))
    fixed: Tensor = rows * largest.sign()
    return fixed.float()


def shifts(generator: Generator, wishes: Sequence[Wish], size: int) -> Tensor:
    """Return what is added to the code of each wish, (B, size)."""
    moved = torch.zeros(len(wishes), size)
    if not any(wish.sliders for wish in wishes):
        return moved
    with torch.no_grad():
        rows = directions(generator.entries())
    for wish, shift in zip(wishes, moved, strict=True):
        for number, value in wish.sliders:
            shift += value * rows[number - 1]
    return moved
