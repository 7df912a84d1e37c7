"""The recurrent generator: MoCoGAN (Tulyakov et al. 2018). A content code, a label and a path of motion codes.

z_t = [content, label, h_t] with h_t = cell(e_t, h_{t-1}), and a frame decoder (DCGAN) that makes frame t from z_t
alone. Fresh noise e_t enters at every step, or the motion falls into a cycle. Ours: the cell is told the label as well,
so that a label can stand for a kind of motion.
"""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor, nn

from footage.config import ClipConfig
from footage.models.generators.recurrent import RecurrentConfig
from footage.models.layers import (
    ConvDecoder,
    Generator,
    GeneratorOutput,
    LabelEmbedding,
    Levels,
    Noise,
    PixelNorm,
    along_time,
    frame_plan,
    upsampling_plan,
)

State = tuple[Tensor, ...]
"""The cell's state between two stretches of frames: (1, B, hidden) each."""


class RecurrentGenerator(Generator):
    """Content (B, c), start (B, hidden), motion (B, T, m) and a label -> clip (B, C, T, H, W) of any length T."""

    def __init__(self, clip: ClipConfig, net: RecurrentConfig, labels: int) -> None:
        super().__init__()
        self.net = net
        self.levels = Levels(clip.channels)
        self.table = LabelEmbedding(labels, net.label) if labels else None
        named = net.label if labels else 0
        cell = nn.GRU if net.cell == "gru" else nn.LSTM
        self.cell = cell(net.motion + named, net.hidden, batch_first=True)
        start_slow(self.cell, clip.frames, net.motion)
        self.norm = PixelNorm()
        modulated = net.mix == "modulate"
        codes = named + net.hidden + (0 if modulated else net.content)
        style = net.content + named if modulated else 0
        self.tower = ConvDecoder(codes, frame_plan(upsampling_plan(clip)), net.width, clip.channels, style)

    def noise(self, frames: int) -> dict[str, tuple[int, ...]]:
        return {"content": (self.net.content,), "start": (self.net.hidden,), "motion": (frames, self.net.motion)}

    def entries(self) -> list[Tensor]:
        content, nothing = slice(self.net.content), slice(0)
        codes, style = (nothing, content) if self.net.mix == "modulate" else (content, nothing)
        return self.tower.entries(codes, style)

    def forward(self, noise: Noise, label: Tensor | None = None) -> GeneratorOutput:
        clips, _ = self.roll(noise["content"], noise["motion"], label, self.begin(noise["start"]))
        return GeneratorOutput(clips, clips.new_zeros(()))

    def begin(self, start: Tensor) -> State:
        """Return the cell's state before the first frame: noise (B, hidden), and an empty memory for an LSTM."""
        hidden = start.unsqueeze(0)  # 1 B hidden
        return (hidden,) if self.net.cell == "gru" else (hidden, torch.zeros_like(hidden))

    def roll(self, content: Tensor, motion: Tensor, label: Tensor | None, state: State) -> tuple[Tensor, State]:
        """Make the next frames, and the state after them.

        Args:
            content: (B, c), or (B, T, c) where it changes from frame to frame.
            motion: (B, T, m), fresh noise.
            label: (B,), or weights over labels (B, K) or (B, T, K); None where there are none.
            state: the cell's, after the frames before.
        """
        assert (label is None) == (self.table is None), "a label is given where and only where there are labels"
        frames = motion.shape[1]
        named = [] if self.table is None else [along_time(self.table(label), frames)]
        with torch.autocast(motion.device.type, enabled=False):  # the cell is small, and its path is long
            steps = torch.cat([motion, *named], dim=2).to(state[0].dtype)
            path, after = self.cell(steps, state[0] if self.net.cell == "gru" else state)
        moving = self.norm(path.flatten(0, 1))  # (B T) hidden, as large as the other codes
        label_codes = [part.flatten(0, 1) for part in named]  # (B T) label
        seen = torch.cat([along_time(content, frames).flatten(0, 1), *label_codes], dim=1)  # (B T) (content + label)
        if self.net.mix == "modulate":
            pictures = self.tower(torch.cat([moving, *label_codes], dim=1), seen)  # (B T) C 1 H W
        else:
            pictures = self.tower(torch.cat([seen, moving], dim=1))
        clips = rearrange(pictures, "(b t) c 1 h w -> b c t h w", t=frames)
        return self.levels.pixels(clips), (after,) if self.net.cell == "gru" else after


def start_slow(cell: nn.GRU | nn.LSTM, frames: int, motion: int) -> None:
    """Let the units of a recurrent cell begin with memories of 2 to `2 * frames` frames, whatever comes in.

    Gate biases log U(1, 2 T - 1) (chrono initialisation, Tallec and Ollivier 2018, eq. 16) and no other weights in the
    gates; in the candidate unit gain for the first `motion` inputs, which are noise, a quarter of it for the label, and
    a random rotation of the state. With the usual start the state is white noise about a point that the label alone
    decides, and the generator hardly learns to move (docs/LOG.md).
    """
    hidden = cell.hidden_size
    weights = dict(cell.named_parameters())
    candidate = slice(2 * hidden, 3 * hidden)  # GRU: reset, update, candidate; LSTM: input, forget, candidate, output
    memory = torch.log(1 + torch.rand(hidden) * (2 * frames - 2))
    with torch.no_grad():
        for weight in weights.values():
            weight.zero_()
        inputs = weights["weight_ih_l0"][candidate]
        inputs[:, :motion].normal_(std=motion**-0.5)
        inputs[:, motion:].normal_(std=0.25 * max(1, cell.input_size - motion) ** -0.5)
        nn.init.orthogonal_(weights["weight_hh_l0"][candidate])
        weights["bias_ih_l0"][hidden : 2 * hidden] = memory
        if isinstance(cell, nn.LSTM):
            weights["bias_ih_l0"][:hidden] = -memory
