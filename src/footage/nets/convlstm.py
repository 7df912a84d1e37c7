"""The recurrent predictor: ConvLSTM (Shi et al. 2015, NeurIPS, eq. 3), one network for past and future.

    i, f, o = sigmoid of (W * [x_t, h_{t-1}]),  g = tanh of it,  c_t = f ⊙ c_{t-1} + i ⊙ g,  h_t = o ⊙ tanh(c_t)

where * is a convolution. Layers stand on each other, and a 1×1 convolution of all their h_t gives frame t + 1. Frames
enter and leave as patches, a channel for each pixel (section 4.1 there). As in PredRNN (Wang et al. 2017), forecaster
and encoder are the same network: after the past it is fed its own frames, or, early in training, true ones now and then
(scheduled sampling, Bengio et al. 2015). Ours: no connections from cell to gates, whose weights belong to one place
each and so to one size of picture; forget gates begin open (bias 1).
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import pad, pixel_shuffle, pixel_unshuffle

from footage.config import ClipConfig, ConvLstmConfig, TaskConfig
from footage.nets.blocks import Levels, Noise
from footage.nets.predictor import Predicted, Predictor, State
from footage.nets.transport import Transport


class ConvLstmCell(nn.Module):
    """One layer: x (B, enter, H, W), h and c (B, width, H, W) -> the next h and c.

    Args:
        enter: channels of x.
        width: channels of h and c.
        kernel: size of the convolution, odd.
    """

    def __init__(self, enter: int, width: int, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(enter + width, 4 * width, kernel, padding=kernel // 2)
        nn.init.zeros_(self.conv.bias)  # type: ignore[arg-type]
        with torch.no_grad():
            self.conv.bias[width : 2 * width] = 1  # type: ignore[index]

    def forward(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """Return h and c after x; c keeps its precision under autocast."""
        admit, keep, give, new = self.conv(torch.cat([x.to(h.dtype), h], dim=1)).chunk(4, dim=1)  # B width H W each
        c = torch.sigmoid(keep) * c + torch.sigmoid(admit) * torch.tanh(new)
        return torch.sigmoid(give) * torch.tanh(c.to(give.dtype)), c


class ConvLstm(Predictor):
    """Past (B, C, P, H, W) -> one frame after the other, without end.

    Args:
        clip: shape of past and future together; neither length nor size is built into the weights.
        net: sizes of the network.
        task: how many frames are past.
    """

    def __init__(self, clip: ClipConfig, net: ConvLstmConfig, task: TaskConfig) -> None:
        super().__init__()
        self.past, self.patch, self.width = task.past, net.patch, net.width
        self.levels = Levels(clip.channels)
        pixels = clip.channels * net.patch**2
        enters = [pixels, *[net.width] * net.layers]
        self.cells = nn.ModuleList(ConvLstmCell(a, b, net.kernel) for a, b in pairwise(enters))
        self.leave = nn.Conv2d(net.layers * net.width, pixels, 1)
        features = net.layers * net.width
        self.transport = Transport(features, net.patch, net.copies, net.reach) if net.copies else None

    def forward(self, clips: Tensor, noise: Noise, shown: Tensor | None, rehearse: bool = False) -> Predicted:
        """Predict what follows the first P frames; where `shown` says so, from the true frame before."""
        first = 0 if rehearse else self.past - 1
        state = self._empty(clips[:, :, 0]) if rehearse else self.begin(clips[:, :, : self.past])
        made: list[Tensor] = []
        for number in range(first, clips.shape[2] - 1):
            if number < self.past:
                state = (clips[:, :, number], *state[1:])
            elif shown is not None:
                seen = shown[:, number - self.past].view(-1, 1, 1, 1)
                state = (torch.where(seen, clips[:, :, number], state[0]), *state[1:])
            frames, state = self.advance(state, None)
            made.append(frames)
        rehearsed, future = torch.cat(made, dim=2).tensor_split((self.past - 1 - first,), dim=2)
        return Predicted(future, None, rehearsed if rehearsed.shape[2] else None)

    def begin(self, past: Tensor) -> State:
        """Return the last frame of the past, and h and c of each layer after those before it."""
        _, *memory = self._empty(past[:, :, 0])
        for number in range(self.past - 1):
            memory = self._take(past[:, :, number], memory)
        return (past[:, :, self.past - 1], *memory)

    def _empty(self, frame: Tensor) -> State:
        """Return the state before anything was seen but a first frame (B, C, H, W)."""
        size = [-(-side // self.patch) for side in frame.shape[2:]]
        zeros = frame.new_zeros(len(frame), self.width, *size)
        return (frame, *[zeros] * (2 * len(self.cells)))

    def advance(self, state: State, noise: Tensor | None) -> tuple[Tensor, State]:
        """Predict the next frame; it is fed back within [-1, 1], so that no error grows without bound."""
        frame, *memory = state
        height, width = frame.shape[2:]
        memory = self._take(frame, memory)
        features = torch.cat(memory[::2], dim=1)  # B (layers width) h w
        numbers = pixel_shuffle(self.leave(features), self.patch)[:, :, :height, :width]  # B C H W
        painted = self.levels.pixels(numbers.to(frame.dtype))
        frame = painted if self.transport is None else self.transport(features, frame, painted)
        return frame.unsqueeze(2), (frame.clamp(-1, 1), *memory)

    def _take(self, frame: Tensor, memory: list[Tensor]) -> list[Tensor]:
        """Return h and c of each layer after a frame (B, C, H, W)."""
        height, width = frame.shape[2:]
        padded = pad(self.levels(frame), (0, -width % self.patch, 0, -height % self.patch), mode="replicate")
        x = pixel_unshuffle(padded, self.patch).contiguous(memory_format=torch.channels_last)  # B C·p² h/p w/p
        after: list[Tensor] = []
        for number, cell in enumerate(self.cells):
            x, c = cell(x, *memory[2 * number : 2 * number + 2])
            after += [x, c]
        return after
