"""Slots that find things in a video and follow them, for `footage.models.predictors.sprites`."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import group_norm, silu

from footage.config import SpritesConfig

CELL = 4
"""Pixels of a place of the grid that slots attend to."""
LOOKS = 3
"""Rounds of attention in the first frame, where nothing is known yet."""


class Spread(nn.Module):
    """A residual block of two 3×3 convolutions, the first dilated, on (N, width, h, w)."""

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=dilation, dilation=dilation)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return x and what is added to it."""
        added: Tensor = self.second(silu(self.first(silu(group_norm(x, 4)))))
        return x + added


class Follower(nn.Module):
    """Frames (B, T, c, H, W) -> where each of K things is, (B, T, K, 2), in pixels.

    Args:
        channels: of a frame, c.
        net: sizes of the network.
        size: height and width of the frames.
        past: frames P; what comes after them tells nothing about the places in them.
    """

    grid: Tensor

    def __init__(self, channels: int, net: SpritesConfig, size: tuple[int, int], past: int) -> None:
        super().__init__()
        self.past, self.features = past, net.features
        width = net.width
        self.enter = nn.Conv2d(3 * channels, width, 5, stride=2, padding=2)
        self.down = nn.Conv2d(width, width, 3, stride=2, padding=1)
        self.where = nn.Conv2d(2, width, 1)
        self.body = nn.Sequential(*(Spread(width, dilation) for dilation in (1, 2, 3)))
        self.leave = nn.Conv2d(width, 2 * net.features + 3, 1)
        with torch.no_grad():
            for numbers in (self.leave.weight, self.leave.bias):
                assert numbers is not None
                numbers[-2:].zero_()  # each place speaks for itself at first
        self.slots = nn.Parameter(torch.randn(net.sprites, net.features))
        self.norm = nn.LayerNorm(net.features)
        self.query = nn.Linear(net.features, net.features)
        self.move = nn.Linear(net.features, 2)
        nn.init.zeros_(self.move.weight)
        nn.init.zeros_(self.move.bias)
        self.cell = nn.GRUCell(net.features + 2, net.features)
        self.near = nn.Parameter(torch.tensor(math.log(2.0 * CELL)))
        axes = [(torch.arange(-(-side // CELL)) + 0.5) * CELL - 0.5 for side in size]
        self.register_buffer("grid", torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1), persistent=False)

    def forward(self, frames: Tensor) -> Tensor:
        """Return the places."""
        keys, values, weights, middles = self._features(frames)
        memory = self.slots.expand(len(frames), -1, -1)
        places: list[Tensor] = []
        for number in range(frames.shape[1]):
            expected = places[-1] + self.move(memory).to(places[-1].dtype) if places else None
            for _ in range(1 if places else LOOKS):
                match = self.query(self.norm(memory)).to(keys[0].dtype) @ keys[number].transpose(1, 2)  # B K n
                match = match / math.sqrt(self.features)
                if expected is not None:
                    gaps = (middles[number].unsqueeze(1) - expected.unsqueeze(2)).square().sum(dim=-1)
                    match = match - gaps / (2 * torch.exp(2 * self.near))
                # One more competes that is nobody: a place may belong to none of the slots.
                share = torch.cat([match, torch.zeros_like(match[:, :1])], dim=1).log_softmax(dim=1)[:, :-1]
                attention = (share + weights[number].transpose(1, 2)).softmax(dim=-1)
                # Not a product of matrices, whose precision may be half: fractions of a pixel count.
                place = (attention.unsqueeze(3) * middles[number].unsqueeze(1)).sum(dim=2)
                moved = (place - places[-1]) / CELL if places else torch.zeros_like(place)
                seen = torch.cat([attention @ values[number], moved], dim=-1).flatten(0, 1)
                memory = self.cell(seen, memory.flatten(0, 1)).view(memory.shape)
            places.append(place)
        return torch.stack(places, dim=1)

    def _features(self, frames: Tensor) -> tuple[tuple[Tensor, ...], ...]:
        """Return key, value, weight and middle of each place, frame by frame, (B, n, ...) each."""
        before = torch.cat([frames[:, :1], frames[:, :-1]], dim=1)
        after = torch.cat([frames[:, 1:], frames[:, -1:]], dim=1)
        known = torch.arange(frames.shape[1], device=frames.device).view(1, -1, 1, 1, 1) != self.past - 1
        after = torch.where(known, after, frames)  # the past must not know the future
        batch, x = len(frames), torch.cat([before, frames, after], dim=2).flatten(0, 1)
        x = self.down(silu(self.enter(x.contiguous(memory_format=torch.channels_last))))
        where = (self.grid / (CELL / 2 * max(self.grid.shape[:2])) - 1).movedim(-1, 0)
        x = self.leave(silu(self.body(x + self.where(where.unsqueeze(0)))))
        x = x.to(frames.dtype).flatten(2).transpose(1, 2).unflatten(0, (batch, -1))  # B T n d
        keys, values, weights, offsets = x.split((self.features, self.features, 1, 2), dim=-1)
        middles = self.grid.flatten(0, 1) + 2 * CELL * torch.tanh(offsets)
        return keys.unbind(1), values.unbind(1), weights.unbind(1), middles.unbind(1)
