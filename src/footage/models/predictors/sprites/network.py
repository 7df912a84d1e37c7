"""The predictor that finds things: a few sprites, each found, followed and moved on, before a still background.

    frame_t = T_t background + (1 - T_t) sum_k m_k(t) colour_k,   T_t = prod_k (1 - opacity_k(t))

A clip is taken apart into a few pictures and where each is in every frame (DDPAE, Hsieh et al. 2018): what a thing
looks like stays, how it moves is a handful of numbers, so that velocity is known to a fraction of a pixel, and nothing
blurs that is moved for long. Everything is learned from clips alone:

- *Finding and following*: slots compete for the places of a frame (slot attention, Locatello et al. 2020, eq. 1–2), in
  every later frame near where they are expected; a slot's place is the mean of what it attends to, each place of the
  grid having a say of its own about where the middle of its thing lies.
- *Aligning*: what is drawn there, beside what is there, shows a small network how far off a place is.
- *What they look like*: the past, cut out around each place; median, mean and deviation over time of what was cut out
  show what moves along with it. A small network cleans that up into colour, opacity and depth.
- *How they go on*: a GRU of place and velocity, trained on the places followed, also those of the true future; it says
  how unsure it is. A sprite is drawn as its expectation, pixel by pixel the mass of a normal distribution whose width
  is that doubt: where it is known, it is sharp, else soft.

Ours: the parts named above as they fit together here, medians instead of a learned memory of looks, and the drawing.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, group_norm, mse_loss, silu

from footage.config import ClipConfig, TaskConfig
from footage.models.layers import Levels, Noise
from footage.models.predictors.predict import Predictor, PredictorOutput, State
from footage.models.predictors.sprites import SpritesConfig

CELL = 4
"""Pixels of a place of the grid that slots attend to."""
LOOKS = 3
"""Rounds of attention in the first frame, where nothing is known yet."""


class DilatedBlock(nn.Module):
    """A residual block of two 3×3 convolutions, the first dilated, on (N, width, h, w)."""

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=dilation, dilation=dilation)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        added: Tensor = self.second(silu(self.first(silu(group_norm(x, 4)))))
        return x + added


class Follower(nn.Module):
    """Frames (B, T, channels, H, W) -> where each of K things is, (B, T, K, 2), in pixels.

    What comes after the `past` frames tells nothing about the places in them.
    """

    grid: Tensor

    def __init__(self, channels: int, net: SpritesConfig, size: tuple[int, int], past: int) -> None:
        super().__init__()
        self.past, self.features = past, net.features
        width = net.width
        self.enter = nn.Conv2d(3 * channels, width, 5, stride=2, padding=2)
        self.down = nn.Conv2d(width, width, 3, stride=2, padding=1)
        self.where = nn.Conv2d(2, width, 1)
        self.body = nn.Sequential(*(DilatedBlock(width, dilation) for dilation in (1, 2, 3)))
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
        keys, values, weights, middles = self._features(frames)
        memory = self.slots.expand(frames.shape[0], -1, -1)
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
        batch, x = frames.shape[0], torch.cat([before, frames, after], dim=2).flatten(0, 1)
        x = self.down(silu(self.enter(x.contiguous(memory_format=torch.channels_last))))
        where = (self.grid / (CELL / 2 * max(self.grid.shape[:2])) - 1).movedim(-1, 0)
        x = self.leave(silu(self.body(x + self.where(where.unsqueeze(0)))))
        x = x.to(frames.dtype).flatten(2).transpose(1, 2).unflatten(0, (batch, -1))  # B T n d
        keys, values, weights, offsets = x.split((self.features, self.features, 1, 2), dim=-1)
        middles = self.grid.flatten(0, 1) + 2 * CELL * torch.tanh(offsets)
        return keys.unbind(1), values.unbind(1), weights.unbind(1), middles.unbind(1)


COARSE, COARSELY = 4, 0.2
"""Pixels of the blurred frames that are compared too, and what they count: what is far off is drawn near by them."""
PLACES = 5e-3
"""What a pixel between a place foreseen and the place followed costs, beside squared differences of pixels."""
LEAST, FIRST = 0.1, 0.6
"""The least doubt about a place, and that of an untrained network, as standard deviation in pixels."""
ROUGH = 0.5
"""What it costs how places are drawn before they are aligned, beside 1 afterwards."""
SLIGHT = 1e-4
"""Weight that counts as none."""


class SpriteDecomposition(NamedTuple):
    """What a clip was taken apart into."""

    places: Tensor
    """(B, T, K, 2): where the middle of each sprite is, in pixels down and right of the first pixel's middle."""
    looks: Tensor
    """(B, K, 2 + C, S, S): opacity in [0, 1], × weight, × colour around [0, 1]; what is heavier is in front."""
    background: Tensor
    """(B, C, H, W), around [0, 1]."""


def masses(places: Tensor, doubt: Tensor, length: int, side: int) -> Tensor:
    """Return how much of each of a sprite's rows falls on each of a frame's: the mass of a normal distribution.

    Where there is no doubt, a row falls on the nearest one; half a pixel of doubt moves smoothly.

    Args:
        places: (N,): where the middle of the sprite is expected, in pixels.
        doubt: (N,): standard deviation of that.
        length: rows of the frame.
        side: rows of the sprite, S.

    Returns:
        (N, length, S).
    """
    offsets = torch.arange(1 - side, length + 1, device=places.device, dtype=places.dtype)
    edges = (offsets + (side / 2 - 1) - places[:, None]) * (math.sqrt(0.5) / doubt[:, None])
    shares = torch.erf(edges).diff(dim=1) / 2  # by row of the frame less row of the sprite
    return shares.unfold(1, side, 1).flip(2)


def cut_out(frames: Tensor, places: Tensor, side: int) -> Tensor:
    """Return what is around places, (N, C, side, side), of frames (N, C, H, W), bilinearly; 0 beyond the edges.

    Places are the middles of the cut-outs, (N, 2), in pixels.
    """
    axes = []
    for axis in range(2):
        own = torch.arange(side, device=places.device) - (side - 1) / 2 + places[:, axis, None]
        rows = torch.arange(frames.shape[2 + axis], device=places.device)
        axes.append((1 - (own[:, :, None] - rows).abs()).clamp(min=0).unsqueeze(1))  # N 1 S H
    return axes[0] @ frames @ axes[1].transpose(2, 3)


class Aligner(nn.Module):
    """What is around a sprite and what was drawn there, (N, channels, S, S) -> how far it is off, (N, 2), in pixels."""

    def __init__(self, channels: int, side: int, width: int) -> None:
        super().__init__()
        left = -(-side // 8)
        self.body = nn.Sequential(
            nn.Conv2d(channels, width, 5, stride=2, padding=2), nn.SiLU(),
            nn.Conv2d(width, width, 3, stride=2, padding=1), nn.SiLU(),
            nn.Conv2d(width, width, 3, stride=2, padding=1), nn.SiLU(),
            nn.Flatten(), nn.Linear(width * left**2, 2 * width), nn.SiLU(),
        )  # fmt: skip
        self.leave = nn.Linear(2 * width, 2)
        with torch.no_grad():
            self.leave.weight.mul_(0.1)
        nn.init.zeros_(self.leave.bias)

    def forward(self, x: Tensor) -> Tensor:
        off: Tensor = self.leave(self.body(x.contiguous(memory_format=torch.channels_last)))
        return CELL * torch.tanh(off.to(x.dtype) / CELL)


class SpriteMotion(nn.Module):
    """Where sprites of S × S pixels go on to: a GRU that is told place, velocity and shape, and has no end."""

    def __init__(self, side: int, units: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.units, self.unit = units, max(size) / 16
        self.cell = nn.GRUCell(4 + 2 * side, units)
        self.leave = nn.Linear(units, 4)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def forward(self, place: Tensor, moved: Tensor, shape: Tensor, memory: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the next place, the doubt about it (B, K, 2 each, in pixels), and the memory, all in full precision.

        Args:
            place: (B, K, 2), in pixels.
            moved: (B, K, 2), since the frame before.
            shape: (B, K, 2 S): how opaque rows and columns are.
            memory: (B, K, units).
        """
        with torch.autocast(place.device.type, enabled=False):
            inputs = torch.cat([place / (4 * self.unit) - 2, moved / self.unit, 2 * shape], dim=-1)
            memory = self.cell(inputs.flatten(0, 1), memory.flatten(0, 1)).view(memory.shape)
            turn, doubt = self.leave(memory).chunk(2, dim=-1)
        return place + moved + turn * self.unit, _doubt(doubt + math.log(FIRST)), memory


class Sprites(Predictor):
    """Past (B, C, P, H, W) -> one frame after the other, without end."""

    def __init__(self, clip: ClipConfig, net: SpritesConfig, task: TaskConfig, told: int = 0) -> None:
        super().__init__()
        self.past, self.side = task.past, net.side
        size = (clip.height, clip.width)
        self.levels = Levels(clip.channels)
        self.follow = Follower(2 * clip.channels, net, size, task.past)
        self.motion = SpriteMotion(net.side, net.motion, size)
        self.told = nn.Linear(told, net.motion, bias=False) if told else None
        width, seen = net.width, 3 * (clip.channels + 1)
        self.paint = nn.Sequential(
            nn.Conv2d(seen, width, 3, padding=1), nn.SiLU(),
            nn.Conv2d(width, width, 3, padding=1), nn.SiLU(),
            nn.Conv2d(width, width, 3, padding=2, dilation=2), nn.SiLU(),
            nn.Conv2d(width, clip.channels + 2, 3, padding=1),
        )  # fmt: skip
        still = [nn.Conv2d(3 * clip.channels, 16, 3, padding=1), nn.SiLU(), nn.Conv2d(16, clip.channels, 3, padding=1)]
        self.clear = nn.Sequential(*still)
        for numbers in still[-1].parameters():
            nn.init.zeros_(numbers)
        self.align = Aligner(2 * clip.channels + 1, net.side, width)
        self.blur = nn.Parameter(torch.tensor(math.log(2.0)))
        self.blur_aligned = nn.Parameter(torch.tensor(math.log(0.7)))

    def forward(
        self,
        clips: Tensor,
        noise: Noise,
        shown: Tensor | None,
        rehearse: bool = False,
        told: Tensor | None = None,
    ) -> PredictorOutput:
        """Predict what follows the first P frames; it costs extra how badly clips are taken apart and followed.

        There is nothing to be shown on the way, and the past is put together again, not rehearsed.
        """
        parts, rough = self._take_apart(clips)
        truth = parts.places.detach()
        shape, memory = _shape(parts.looks), self._idle(truth, told)
        place, moved = truth[:, 0], torch.zeros_like(truth[:, 0])
        foreseen, doubts = [], []
        for number in range(1, clips.shape[2]):
            expected, doubt, memory = self.motion(place, moved, shape, memory)
            foreseen.append(expected)
            doubts.append(doubt)
            after = truth[:, number] if number < self.past else expected
            place, moved = after, after - place
        places = torch.stack(foreseen, dim=1)  # B (T - 1) K 2
        future = self._draw(parts, places[:, self.past - 1 :], torch.stack(doubts[self.past - 1 :], dim=1))
        again = self._draw(parts, parts.places, _doubt(self.blur_aligned).expand_as(parts.places))
        cost = _gap(again, clips) + ROUGH * _gap(rough, clips) + PLACES * (places - truth[:, 1:]).abs().mean()
        return PredictorOutput(future, None, None, cost)

    def begin(self, past: Tensor, told: Tensor | None = None) -> State:
        """Return what the past (B, C, P, H, W) leaves: looks, background, place and velocity (B, K, 2), memory."""
        parts, _ = self._take_apart(past)
        shape, memory = _shape(parts.looks), self._idle(parts.places, told)
        place, moved = parts.places[:, 0], torch.zeros_like(parts.places[:, 0])
        for after in parts.places[:, 1:].unbind(1):
            _, _, memory = self.motion(place, moved, shape, memory)
            place, moved = after, after - place
        return parts.looks, parts.background, place, moved, memory

    def advance(self, state: State, noise: Tensor | None) -> tuple[Tensor, State]:
        looks, background, place, moved, memory = state
        after, doubt, memory = self.motion(place, moved, _shape(looks), memory)
        frame = self._draw(
            SpriteDecomposition(after.unsqueeze(1), looks, background), after.unsqueeze(1), doubt.unsqueeze(1)
        )
        return frame, (looks, background, after, after - place, memory)

    def _idle(self, places: Tensor, told: Tensor | None) -> Tensor:
        """Return the memory of sprites before they move, (B, K, units): what they are told of the motion to come."""
        return self.heard(told, places).unsqueeze(1).expand(-1, places.shape[2], self.motion.units)

    def _take_apart(self, clips: Tensor) -> tuple[SpriteDecomposition, Tensor]:
        """Find background, places and looks, where only places know what comes after the past; and a first drawing.

        What is drawn of the places that were found, beside what is there, shows how far off they are; looks are then
        taken again.
        """
        pixels = clips.transpose(1, 2)  # B T C H W
        known = (pixels[:, : self.past] + 1) / 2
        usual = _usual(known)
        cleared = self.clear(_statistics(known, usual).contiguous(memory_format=torch.channels_last))
        background = usual + cleared.to(usual.dtype)  # what stands still in the past
        still = background.unsqueeze(1)
        numbers = self.levels(pixels.flatten(0, 1)).view(pixels.shape)
        places = self.follow(torch.cat([numbers, pixels - 2 * still + 1], dim=2))
        shown = torch.cat([known, (known - still).abs().mean(dim=2, keepdim=True)], dim=2)
        parts = SpriteDecomposition(places, self._looks(shown, places), background)
        rough = self._draw(parts, places, _doubt(self.blur).expand_as(places))
        both = torch.cat([pixels, rough.detach().transpose(1, 2)], dim=2)  # B T 2C H W
        around = self._around(both, places.detach())  # B T K 2C S S
        opacity = parts.looks[:, None, :, :1].detach().expand(-1, around.shape[1], -1, -1, -1, -1)
        off = self.align(torch.cat([around, opacity], dim=3).flatten(0, 2)).view(places.shape)
        return SpriteDecomposition(places + off, self._looks(shown, places + off), background), rough

    def _around(self, frames: Tensor, places: Tensor) -> Tensor:
        """Return what is around places (B, T, K, 2) in frames (B, T, c, H, W): (B, T, K, c, S, S)."""
        shared = frames.unsqueeze(2).expand(-1, -1, places.shape[2], -1, -1, -1)
        cut = cut_out(shared.flatten(0, 2), places.flatten(0, 2), self.side).to(frames.dtype)
        return cut.view(*places.shape[:3], *cut.shape[1:])

    def _looks(self, shown: Tensor, places: Tensor) -> Tensor:
        """Return opacity, weight and colour (B, K, 2 + C, S, S) of what moves along with places.

        Args:
            shown: (B, P, C + 1, H, W): the past, and how it differs from the background.
            places: (B, P or more, K, 2).
        """
        around = self._around(shown, places[:, : self.past]).transpose(1, 2)  # B K P (C + 1) S S
        usual = _usual(around.flatten(0, 1))
        seen = _statistics(around.flatten(0, 1), usual).contiguous(memory_format=torch.channels_last)
        painted = self.paint(seen).to(usual.dtype)
        opacity = torch.sigmoid(painted[:, :1] + 6 * usual[:, -1:] - 3)  # as it differs from the background
        weight = opacity * torch.exp(4 * torch.tanh(painted[:, 1:2] / 4))
        looks = torch.cat([opacity, weight, weight * (usual[:, :-1] + painted[:, 2:])], dim=1)
        return looks.view(shown.shape[0], -1, *looks.shape[1:])

    def _draw(self, parts: SpriteDecomposition, places: Tensor, doubts: Tensor) -> Tensor:
        """Draw sprites at places (B, T, K, 2), with doubts about them: frames (B, C, T, H, W)."""
        (height, width), length = parts.background.shape[2:], places.shape[1]
        down = masses(places[..., 0].flatten(), doubts[..., 0].flatten(), height, self.side)
        across = masses(places[..., 1].flatten(), doubts[..., 1].flatten(), width, self.side)
        looks = parts.looks.unsqueeze(1).expand(-1, length, -1, -1, -1, -1).flatten(0, 2)
        drawn = (down.unsqueeze(1) @ looks @ across.unsqueeze(1).transpose(2, 3)).to(places.dtype)
        drawn = drawn.view(*places.shape[:3], -1, height, width)  # B T K (2 + C) H W
        opacity, weight, colour = torch.split(drawn, [1, 1, drawn.shape[3] - 2], dim=3)
        clear = (1 - opacity).prod(dim=2)  # B T 1 H W
        weight, colour = weight.sum(dim=2), colour.sum(dim=2)
        frames = clear * parts.background.unsqueeze(1) + (1 - clear) * colour / (weight + SLIGHT)
        clips: Tensor = (2 * frames - 1).transpose(1, 2)
        return clips


def _doubt(logarithm: Tensor) -> Tensor:
    """Return a standard deviation in pixels, never quite the least one: what is too sure can still learn to doubt."""
    return (LEAST**2 + (2 * logarithm.clamp(max=4)).exp()).sqrt()


def _usual(frames: Tensor) -> Tensor:
    """Return the median over time, (N, C, H, W) of (N, P, C, H, W); of two in the middle their mean."""
    ordered, count = frames.sort(dim=1).values, frames.shape[1]
    return (ordered[:, (count - 1) // 2] + ordered[:, count // 2]) / 2


def _statistics(frames: Tensor, usual: Tensor) -> Tensor:
    """Return median, mean and mean absolute deviation over time: (N, 3 C, H, W) of (N, P, C, H, W)."""
    mean = frames.mean(dim=1)
    return torch.cat([usual, mean, (frames - mean.unsqueeze(1)).abs().mean(dim=1)], dim=1)


def _shape(looks: Tensor) -> Tensor:
    """Return how opaque rows and columns are, (B, K, 2 S); what it is used for does not change the looks."""
    opacity = looks[:, :, 0].detach()
    return torch.cat([opacity.mean(dim=3), opacity.mean(dim=2)], dim=2)


def _gap(drawn: Tensor, clips: Tensor) -> Tensor:
    first, second = (avg_pool2d(frames.flatten(1, 2), COARSE) for frames in (drawn, clips))
    return mse_loss(drawn, clips) + COARSELY * mse_loss(first, second)
