"""The recurrent predictor: ConvLSTM (Shi et al. 2015, NeurIPS, eq. 3), one network for past and future.

    i, f, o = sigmoid of (W * [x_t, h_{t-1}]),  g = tanh of it,  c_t = f ⊙ c_{t-1} + i ⊙ g,  h_t = o ⊙ tanh(c_t)

where * is a convolution. Layers stand on each other, and a 1×1 convolution of all their h_t gives frame t + 1. Frames
enter and leave as patches, a channel for each pixel (section 4.1 there). As in PredRNN (Wang et al. 2017), forecaster
and encoder are the same network: after the past it is fed its own frames, or, early in training, true ones now and then
(scheduled sampling, Bengio et al. 2015). With `surprise` the first layer's gates are also told how each true frame
differs from what was predicted, as in predictive coding (Lotter et al. 2017): how fast things move, to less than a
pixel, shows there. Ours: no connections from cell to gates, whose weights belong to one place each and so to one size
of picture; forget gates begin open (bias 1).

Or the pixels of the frame before are moved: each is fetched from its neighbourhood, by a kernel of its own. Dynamic
neural advection (Finn et al. 2016, eq. 1) with kernels that are a product of a vertical and a horizontal one (Niklaus
et al. 2017): a shift by whole pixels is among them, so that what moves stays sharp for many frames.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn.functional import interpolate, pad, pixel_shuffle, pixel_unshuffle

from footage.config import ClipConfig, TaskConfig
from footage.models.layers import Levels, Noise
from footage.models.predictors.convlstm import ConvLstmConfig
from footage.models.predictors.predict import Predictor, PredictorOutput, State

CENTRED = 2.0
"""Logit of a kernel's middle at the beginning, the others' being 0: most of a frame stays where it is."""


def fetch(frame: Tensor, kernel: Tensor, axis: int) -> Tensor:
    """Return sum_k w_k(p) frame(p + k - r) along an axis.

    Args:
        frame: (B, K, C, H, W).
        kernel: weights w, (B, K, 2 r + 1, H, W), that sum to 1 over k.
        axis: 3 for height, 4 for width.
    """
    reach, length = kernel.shape[2] // 2, frame.shape[axis]
    sizes = [-1] * 5
    sizes[axis] = (
        reach  # edges are repeated by hand: the gradient of PyTorch's own padding differs from run to run on GPUs
    )
    rims = [frame.narrow(axis, place, 1).expand(sizes) for place in (0, length - 1)]
    wide = torch.cat([rims[0], frame, rims[1]], dim=axis)
    shifted = (wide.narrow(axis, k, length) * weight.unsqueeze(2) for k, weight in enumerate(kernel.unbind(dim=2)))
    return torch.stack(list(shifted)).sum(dim=0)


class Transport(nn.Module):
    """Features (B, c, h, w), frame (B, C, H, W), painted (B, C, H, W) -> the next frame (B, C, H, W).

    `copies` of the frame are moved, each with kernels of its own for every place of the features; a mask chooses at
    each pixel among them and what is painted.

    Args:
        features: channels c.
        scale: H / h and W / w.
        copies: how often the frame is moved: as many things may move across one another.
        reach: furthest that a pixel moves in a frame, in pixels.
    """

    def __init__(self, features: int, scale: int, copies: int, reach: int) -> None:
        super().__init__()
        self.scale, self.copies, self.taps = scale, copies, 2 * reach + 1
        self.kernels = nn.Conv2d(features, copies * 2 * self.taps, 3, padding=1)
        self.masks = nn.Conv2d(features, (copies + 1) * scale**2, 3, padding=1)
        with torch.no_grad():
            for layer in (self.kernels, self.masks):
                layer.weight.mul_(0.1)
                assert layer.bias is not None
                layer.bias.zero_()
            self.kernels.bias.view(copies, 2, self.taps)[:, :, reach] = CENTRED  # type: ignore[union-attr]

    def forward(self, features: Tensor, frame: Tensor, painted: Tensor) -> Tensor:
        height, width = frame.shape[2:]
        logits = rearrange(self.kernels(features).to(frame.dtype), "b (k a n) h w -> b n (k a) h w", a=2, n=self.taps)
        kernels = interpolate(logits.softmax(dim=1).flatten(1, 2), scale_factor=self.scale)[:, :, :height, :width]
        down, across = rearrange(kernels, "b (n k a) h w -> a b k n h w", a=2, n=self.taps)
        copies = frame.unsqueeze(1).expand(-1, self.copies, -1, -1, -1)  # B K C H W
        moved = fetch(fetch(copies, down, 3), across, 4)
        masks = pixel_shuffle(self.masks(features).to(frame.dtype), self.scale)[:, :, :height, :width].softmax(dim=1)
        choices = torch.cat([moved, painted.unsqueeze(1)], dim=1)  # B (K + 1) C H W
        return (masks.unsqueeze(2) * choices).sum(dim=1)


class ConvLstmCell(nn.Module):
    """One layer: x (B, enter, H, W), h and c (B, width, H, W) -> the next h and c."""

    def __init__(self, enter: int, width: int, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(enter + width, 4 * width, kernel, padding=kernel // 2)
        nn.init.zeros_(self.conv.bias)  # type: ignore[arg-type]
        with torch.no_grad():
            self.conv.bias[width : 2 * width] = 1  # type: ignore[index]

    def forward(self, x: Tensor, h: Tensor, c: Tensor, beside: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return h and c after x, and what else the gates are told, (B, 4 width, H, W); c keeps its precision."""
        gates = self.conv(torch.cat([x.to(h.dtype), h], dim=1))
        if beside is not None:
            gates = gates + beside
        admit, keep, give, new = gates.chunk(4, dim=1)  # B width H W each
        c = torch.sigmoid(keep) * c + torch.sigmoid(admit) * torch.tanh(new)
        return torch.sigmoid(give) * torch.tanh(c.to(give.dtype)), c


class ConvLstm(Predictor):
    """Past (B, C, P, H, W) -> one frame after the other, without end.

    Neither length nor size of the clips is built into the weights.
    """

    def __init__(self, clip: ClipConfig, net: ConvLstmConfig, task: TaskConfig, told: int = 0) -> None:
        super().__init__()
        self.past, self.patch, self.width = task.past, net.patch, net.width
        self.levels = Levels(clip.channels)
        pixels = clip.channels * net.patch**2
        enters = [pixels, *[net.width] * net.layers]
        self.cells = nn.ModuleList(ConvLstmCell(a, b, net.kernel) for a, b in pairwise(enters))
        self.told = nn.Linear(told, 4 * net.width, bias=False) if told else None
        self.leave = nn.Conv2d(net.layers * net.width, pixels, 1)
        features = net.layers * net.width
        self.transport = Transport(features, net.patch, net.copies, net.reach) if net.copies else None
        self.notice = nn.Conv2d(pixels, 4 * net.width, 3, padding=1, bias=False) if net.surprise else None
        if self.notice is not None:
            nn.init.zeros_(self.notice.weight)

    def forward(
        self,
        clips: Tensor,
        noise: Noise,
        shown: Tensor | None,
        rehearse: bool = False,
        told: Tensor | None = None,
    ) -> PredictorOutput:
        first = 0 if rehearse else self.past - 1
        state, frames = self._empty(clips[:, :, 0], told), []
        for number in range(clips.shape[2] - 1):
            is_true = number < self.past
            if is_true:
                state = self._tell(state, clips[:, :, number], known=number > 0)
            elif shown is not None:
                seen = shown[:, number - self.past].view(-1, 1, 1, 1)
                state = self._tell(state, torch.where(seen, clips[:, :, number], state[0]))
                is_true = True
            frame, state = self._step(state, is_true=is_true, asked=number >= first)
            if number >= first:
                frames.append(frame.unsqueeze(2))
        rehearsed, future = torch.cat(frames, dim=2).tensor_split((self.past - 1 - first,), dim=2)
        return PredictorOutput(future, None, rehearsed if rehearsed.shape[2] else None)

    def begin(self, past: Tensor, told: Tensor | None = None) -> State:
        """Return the last frame of the past and its surprise, what is told, and h and c of each layer before it."""
        state = self._empty(past[:, :, 0], told)
        for number in range(self.past - 1):
            state = self._tell(state, past[:, :, number], known=number > 0)
            _, state = self._step(state, is_true=True, asked=False)
        return self._tell(state, past[:, :, self.past - 1], known=self.past > 1)

    def _empty(self, frame: Tensor, told: Tensor | None) -> State:
        """Return the state before anything was seen but a first frame (B, C, H, W), and a caption heard."""
        size = [-(-side // self.patch) for side in frame.shape[2:]]
        zeros = frame.new_zeros(frame.shape[0], self.width, *size)
        return (frame, torch.zeros_like(frame), self.heard(told, frame), *[zeros] * (2 * len(self.cells)))

    def _tell(self, state: State, frame: Tensor, *, known: bool = True) -> State:
        """Put a true frame in the place of what was predicted, where something was, and its surprise beside it."""
        return (frame, (frame - state[0]) if known else torch.zeros_like(frame), *state[2:])

    def advance(self, state: State, noise: Tensor | None) -> tuple[Tensor, State]:
        """Predict the next frame; it is fed back within [-1, 1], so that no error grows without bound."""
        frame, state = self._step(state, is_true=True, asked=True)
        return frame.unsqueeze(2), state

    def _step(self, state: State, *, is_true: bool, asked: bool) -> tuple[Tensor, State]:
        """Take a frame in, and predict the next one, (B, C, H, W): as a number among others where none asks for it."""
        frame, surprise, heard, *before = state
        x, memory = self._patches(self.levels(frame)), list[Tensor]()
        beside = None if self.told is None else heard[:, :, None, None]
        if self.notice is not None and is_true:
            noticed = self.notice(self._patches(surprise / self.levels.sd.view(-1, 1, 1)))
            beside = noticed if beside is None else noticed + beside
        for number, cell in enumerate(self.cells):
            x, c = cell(x, *before[2 * number : 2 * number + 2], beside)
            beside = None  # it is the first layer's
            memory += [x, c]
        if asked or self.notice is not None:
            with torch.set_grad_enabled(asked and torch.is_grad_enabled()):
                height, width = frame.shape[2:]
                features = torch.cat(memory[::2], dim=1)  # B (layers width) h w
                numbers = pixel_shuffle(self.leave(features), self.patch)[:, :, :height, :width]  # B C H W
                painted = self.levels.pixels(numbers.to(frame.dtype))
                frame = painted if self.transport is None else self.transport(features, frame, painted)
        return frame, (frame.clamp(-1, 1), torch.zeros_like(frame), heard, *memory)

    def _patches(self, numbers: Tensor) -> Tensor:
        """Return patches (B, C p², h, w) of a picture (B, C, H, W), its edges repeated where it ends within one."""
        height, width = numbers.shape[2:]
        padded = pad(numbers, (0, -width % self.patch, 0, -height % self.patch), mode="replicate")
        return pixel_unshuffle(padded, self.patch).contiguous(memory_format=torch.channels_last)
