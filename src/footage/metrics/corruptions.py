"""Ways to spoil real clips, by strength: what a measure of quality has to rank before it counts.

Each takes clips (B, C, T, H, W) in [-1, 1] and a strength, and returns clips of the same shape. Random draws follow
from the generator that is given.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

Corruption = Callable[[Tensor, float, torch.Generator], Tensor]


def blur(clips: Tensor, sigma: float, rng: torch.Generator) -> Tensor:
    """Blur each frame with a Gaussian of `sigma` pixels; beyond the border the frame goes on as it ends."""
    reach = math.ceil(3 * sigma)
    kernel = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / sigma) ** 2)
    kernel = (kernel / kernel.sum()).to(clips)
    flat = clips.flatten(0, 2).unsqueeze(1)  # B C T H W -> BCT 1 H W
    flat = F.conv2d(F.pad(flat, (reach, reach, 0, 0), mode="replicate"), kernel.view(1, 1, 1, -1))
    flat = F.conv2d(F.pad(flat, (0, 0, reach, reach), mode="replicate"), kernel.view(1, 1, -1, 1))
    return flat.view(clips.shape)


def noise(clips: Tensor, deviation: float, rng: torch.Generator) -> Tensor:
    """Add Gaussian noise of a standard deviation, in units of [-1, 1], anew in each frame."""
    return (clips + deviation * torch.randn(clips.shape, generator=rng)).clamp(-1, 1)


def freeze(clips: Tensor, part: float, rng: torch.Generator) -> Tensor:
    """Stop each clip so early that the last `part` of its frames hold still; 1 leaves the first frame alone."""
    last = clips.shape[2] - 1
    return clips[:, :, torch.arange(last + 1).clamp(max=round(last * (1 - part)))]


def shuffle(clips: Tensor, part: float, rng: torch.Generator) -> Tensor:
    """Change places among a random `part` of the frames, other ones in each clip."""
    length = clips.shape[2]
    count, orders = round(length * part), []
    for _ in range(len(clips)):
        order = torch.arange(length)
        chosen = torch.randperm(length, generator=rng)[:count]
        order[chosen] = chosen[torch.randperm(count, generator=rng)]
        orders.append(order)
    return torch.stack([clip[:, order] for clip, order in zip(clips, orders, strict=True)])


def stutter(clips: Tensor, repeat: float, rng: torch.Generator) -> Tensor:
    """Show only each `repeat`-th frame, and it `repeat` times."""
    return clips[:, :, torch.arange(clips.shape[2]) // int(repeat) * int(repeat)]


def reverse(clips: Tensor, part: float, rng: torch.Generator) -> Tensor:
    """Play a `part` of the clips backwards."""
    count = round(len(clips) * part)
    return torch.cat([clips[:count].flip(2), clips[count:]])


def drop(
    clips: Tensor, labels: Sequence[int], part: float, rng: torch.Generator, *, gone: int, spare: Tensor | None = None
) -> Tensor:
    """Put clips of other labels in the place of a `part` of those with the label `gone`.

    They are drawn from `spare`, or else from the set itself, which then has copies.
    """
    others = clips[torch.tensor([label != gone for label in labels])] if spare is None else spare
    own = torch.tensor([number for number, label in enumerate(labels) if label == gone])
    chosen = own[torch.randperm(len(own), generator=rng)[: round(len(own) * part)]]
    rounds = -(-len(chosen) // len(others))
    fill = torch.randperm(len(others), generator=rng).repeat(rounds)[: len(chosen)]
    spoiled = clips.clone()
    spoiled[chosen] = others[fill]
    return spoiled


PARTS = (0.2, 0.4, 0.6, 0.8, 1)
"""Strengths of what is done to a part of the frames or of the clips."""
CORRUPTIONS: Mapping[str, tuple[Corruption, Sequence[float]]] = {
    "blur": (blur, (0.5, 1, 2, 3, 4)),
    "noise": (noise, (0.05, 0.1, 0.2, 0.4, 0.8)),
    "freeze": (freeze, PARTS),
    "shuffle": (shuffle, (0.125, 0.25, 0.5, 0.75, 1)),
    "stutter": (stutter, (2, 3, 4, 6, 8)),
    "reverse": (reverse, PARTS),
}
"""Every corruption of clips alone with the strengths that it is tried at, weakest first; `drop` also needs labels."""
