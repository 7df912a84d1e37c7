"""Changes made alike to real and generated clips before the critic sees them, so that it learns no clips by heart.

Zhao et al. 2020 (differentiable augmentation) and Karras et al. 2020 (ADA). The generator does not learn the changes
as long as a good part of the clips is left as it is. All are affine in the pixels, so that gradients pass, twice if
need be; nothing is clamped, which would stop them. Every frame of a clip is changed alike: motion is the clip's own.

A kind of change that no clip has is `None` in `Augmentation`, and costs nothing. Clips that are not chosen for a kind
keep their exact values. Gradients are summed in a fixed order, also on GPUs (no scatter with collisions).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from footage.models.device import upload

if TYPE_CHECKING:
    from footage.config import AugmentConfig

SHIFT = 1 / 8
"""Greatest translation, as a part of each side."""
BRIGHTNESS, CONTRAST, SATURATION = 0.5, 0.5, 1.0
"""Greatest departure from 0, from 1 and from 1: the ranges of Zhao et al. 2020."""
HOLE = 1 / 2
"""Side of the rectangle cut out, as a part of each side."""


@dataclass(frozen=True)
class Augmentation:
    """What is done to each of N clips, drawn beforehand; None where no clip has the change."""

    stretch: Tensor | None = None
    """(N, 2): part of the clip that is read, 1 for all; where it begins, 0 for first, 1 for as late as possible."""
    mirror: Tensor | None = None
    """(N,) bool: left and right exchanged."""
    shift: Tensor | None = None
    """(N, 2): down and right, as parts of the sides."""
    colour: Tensor | None = None
    """(N, 3): brightness added, contrast and saturation multiplied."""
    cutout: Tensor | None = None
    """(N, 3): centre from above and from the left, and sides, as parts of the sides; sides 0 for no rectangle."""

    def _each(self, change: Callable[[Tensor], Tensor]) -> Augmentation:
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        return Augmentation(**{name: None if value is None else change(value) for name, value in values.items()})

    def part(self, first: int, count: int) -> Augmentation:
        return self._each(lambda value: value[first : first + count])

    def to(self, device: torch.device | str) -> Augmentation:
        return self._each(lambda value: upload(value, device))


def probability(config: AugmentConfig, clips_seen: int) -> float:
    """Return the probability of each kind of change after a number of clips seen: a ramp, then constant."""
    return config.probability * (min(1.0, clips_seen / config.ramp) if config.ramp else 1.0)


def draw(config: AugmentConfig, probability: float, count: int, rng: torch.Generator) -> Augmentation:
    """Draw the changes of `count` clips, on the CPU; 14 random values a clip, whatever comes of them.

    Args:
        config: which kinds are allowed.
        probability: with which each clip has each kind, independently.
        count: N.
        rng: a generator on the CPU.
    """
    values = torch.rand(count, 14, generator=rng)
    allowed = torch.tensor([config.stretch, config.flip, config.translation, config.colour, config.cutout])
    chosen = (values[:, :5] < probability) & allowed
    slower, begin, down, right, *colour, y, x = values[:, 5:].unbind(1)
    hole = torch.full_like(y, HOLE)
    spread = torch.tensor([BRIGHTNESS, CONTRAST, SATURATION])
    return Augmentation(
        stretch=_chosen(chosen[:, 0], torch.stack([2**-slower, begin], 1), (1, 0)),
        mirror=chosen[:, 1] if chosen[:, 1].any() else None,
        shift=_chosen(chosen[:, 2], SHIFT * (2 * torch.stack([down, right], 1) - 1), (0, 0)),
        colour=_chosen(chosen[:, 3], torch.tensor([0, 1, 1]) + spread * (2 * torch.stack(colour, 1) - 1), (0, 1, 1)),
        cutout=_chosen(chosen[:, 4], torch.stack([y, x, hole], 1), (0, 0, 0)),
    )


def _chosen(chosen: Tensor, changed: Tensor, plain: tuple[float, ...]) -> Tensor | None:
    """Return the values (N, k) of the clips chosen, and for the others those that change nothing."""
    return torch.where(chosen[:, None], changed, torch.tensor(plain, dtype=changed.dtype)) if chosen.any() else None


def apply(changes: Augmentation, clips: Tensor, conditions: int = 0) -> Tensor:
    """Change clips (B, C, T, H, W); the very same tensor where there is nothing to do.

    Args:
        changes: those of B clips, on the same device.
        clips: in [-1, 1]; what comes out may go beyond.
        conditions: how many of the channels, the last ones, are what clips were made from. Their colours stay, and do
            not mix with the clip's: they may stand for something, as those of label maps do.
    """
    if changes.stretch is not None:
        # y_t = x(p_t), p_t = begin (T - 1) (1 - part) + part t, linear between frames; part = 2^u, u ~ U(-1, 0):
        # slower, never faster, since a clip has no frames beyond its own. As a product with a matrix (T, T) it is cheap
        # beside a network, and its gradient is summed in a fixed order.
        part, begin = changes.stretch[:, :1], changes.stretch[:, 1:]
        frames = torch.arange(clips.shape[2], device=clips.device, dtype=part.dtype)
        last = clips.shape[2] - 1
        at = (begin * last * (1 - part) + part * frames).clamp(max=last)  # (B, T)
        weight = (1 - (at[:, :, None] - frames).abs()).clamp(min=0).to(clips.dtype)  # (B, T, T): from frame, to frame
        with torch.autocast(clips.device.type, enabled=False):
            clips = (weight[:, None] @ clips.flatten(3)).view_as(clips)  # (B, 1, T, T) @ (B, C, T, H W)
    if changes.mirror is not None:
        clips = torch.where(changes.mirror.reshape(-1, 1, 1, 1, 1), clips.flip(4), clips)
    if changes.shift is not None:
        down, right = changes.shift.unbind(1)
        clips = _shifted(_shifted(clips, down, 3), right, 4)
    if changes.colour is not None:
        own, sources = clips[:, : clips.shape[1] - conditions], clips[:, clips.shape[1] - conditions :]
        # y = c x' + (1 - c) mean(x) + b, x' = s x + (1 - s) grey(x): brightness b, contrast c about the mean of the
        # whole clip, saturation s about each pixel's grey (Zhao et al. 2020).
        brightness, contrast, saturation = changes.colour.to(own.dtype).reshape(-1, 3, 1, 1, 1, 1).unbind(1)
        mean = own.mean(dim=(1, 2, 3, 4), keepdim=True)
        if own.shape[1] > 1:  # grey clips have no saturation
            own = saturation * own + (1 - saturation) * own.mean(1, keepdim=True)
        own = contrast * own + ((1 - contrast) * mean + brightness)
        clips = torch.cat([own, sources], dim=1) if conditions else own
    if changes.cutout is not None:
        # Mid-grey, 0, and not the clip's mean or black: what is hidden must not look like what is absent. On a dark
        # background the mean is nearly the background, and an object behind the rectangle would seem to vanish, which
        # the generator could learn. A constant also stops the gradient: none reaches the hidden pixels, nor others by
        # way of a mean. It is the last of the changes, for the colours not to change it; it may reach beyond the
        # picture.
        height, width = clips.shape[3:]
        y, x, side = changes.cutout[:, :, None].unbind(1)  # (B, 1) each
        rows = ((torch.arange(height, device=clips.device) + 0.5) / height - y).abs() < side / 2  # (B, H)
        columns = ((torch.arange(width, device=clips.device) + 0.5) / width - x).abs() < side / 2  # (B, W)
        hole = rows[:, None, None, :, None] & columns[:, None, None, None, :]  # (B, 1, 1, H, W)
        clips = clips.masked_fill(hole, 0.0)
    return clips


# y_i = x_{i - s}, and the first or last of x where i - s lies outside.
def _shifted(clips: Tensor, shift: Tensor, dim: int) -> Tensor:
    """Move clips along dimension 3 or 4 by whole pixels, the picture's edge repeated.

    Zero would be grey, not black: the rim itself goes with any background. Rolled, then the rim put right, so that
    no two pixels are read from one place by `gather`.
    """
    size = clips.shape[dim]
    shape = [-1, 1, 1, size, 1] if dim == 3 else [-1, 1, 1, 1, size]
    steps = (shift * size).round().long()
    source = torch.arange(size, device=clips.device) - steps[:, None]  # (B, size)
    rolled = clips.gather(dim, (source % size).reshape(shape).expand_as(clips))
    low, high = clips.narrow(dim, 0, 1), clips.narrow(dim, size - 1, 1)
    rim = torch.where((steps > 0).reshape(-1, 1, 1, 1, 1), low, high)
    return torch.where(((source >= 0) & (source < size)).reshape(shape), rolled, rim)
