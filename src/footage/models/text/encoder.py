"""An encoder of captions that needs no weights from anywhere, and the network of clips that it is matched with.

The two learn from each other (InfoNCE, van den Oord et al. 2018, eq. 4, both ways as in CLIP, Radford et al. 2021): a
clip's vector shall be nearer to its own caption's than to any other caption's of the batch, and the other way round.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool3d, cross_entropy, gelu, leaky_relu, normalize, scaled_dot_product_attention

from footage.config import ClipConfig, TextConfig
from footage.models.layers import LEAK, Levels

HEAD = 8
"""Least width of a head of attention; there are four heads where the width allows it."""
SEEN_SIDE, SEEN_FRAMES = 32, 8
"""Clips are looked at with about so many pixels along the shorter side, and so many frames at most."""


class TextFeatures(NamedTuple):
    """What a caption's words are to a model."""

    tokens: Tensor
    """(B, L, W), one for each word."""
    vector: Tensor
    """(B, D), of one length; of the empty caption, zeros."""


def unit(vectors: Tensor) -> Tensor:
    """Bring vectors (B, D) to length 1, in float32 at least."""
    return normalize(vectors.to(torch.promote_types(vectors.dtype, torch.float32)), dim=1)


class AttentionBlock(nn.Module):
    """x + attention(norm x), then x + MLP(norm x): (B, L, W) -> the same (Vaswani et al. 2017, normed first)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = max(1, min(4, width // HEAD))
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.enter, self.leave = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.wide, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor, there: Tensor) -> Tensor:
        """Return the changed tokens; those that are `there`, (B, L) bool, are looked at."""
        parts = self.enter(self.norm1(x)).unflatten(2, (3, self.heads, -1))  # B L 3 h w
        query, key, value = (part.transpose(1, 2) for part in parts.unbind(dim=2))  # B h L w
        found = scaled_dot_product_attention(query, key, value, attn_mask=there[:, None, None])
        x = x + self.leave(found.transpose(1, 2).flatten(2))
        changed: Tensor = x + self.narrow(gelu(self.wide(self.norm2(x))))
        return changed


class TextEncoder(nn.Module):
    """Pieces of words (B, L, G), 0 for none -> tokens and a vector; see `footage.config.words`."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.scale = config.scale
        self.pieces = nn.EmbeddingBag(config.pieces + 1, config.width, mode="mean", padding_idx=0)
        self.begin = nn.Parameter(torch.randn(config.width) * 0.1)
        self.places = nn.Parameter(torch.randn(config.words, config.width) * 0.1)
        self.blocks = nn.ModuleList(AttentionBlock(config.width) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width)
        self.out = nn.Linear(config.width, config.size)

    def forward(self, pieces: Tensor) -> TextFeatures:
        batch, length, _ = pieces.shape
        words = self.pieces(pieces.flatten(0, 1)).unflatten(0, (batch, length))  # B L W
        begin = self.begin.expand(batch, 1, -1)
        x = torch.cat([begin, words + self.places[:length]], dim=1)  # B (1 + L) W
        spoken = (pieces != 0).any(dim=2)  # B L
        there = torch.cat([torch.ones_like(spoken[:, :1]), spoken], dim=1)
        for block in self.blocks:
            x = block(x, there)
        x = self.norm(x)
        vector = self.scale * unit(self.out(x[:, 0]))
        return TextFeatures(x[:, 1:], vector * spoken.any(dim=1, keepdim=True))


class ClipEncoder(nn.Module):
    """Clips (B, C, T, H, W) -> vectors (B, size) of length 1: strided convolutions, and where things are counts."""

    def __init__(self, clip: ClipConfig, size: int, width: int = 16) -> None:
        super().__init__()
        self.levels = Levels(clip.channels)
        self.shrink = max(1, min(clip.height, clip.width) // SEEN_SIDE)
        frames = min(clip.frames, SEEN_FRAMES)
        self.frames = [round(number * (clip.frames - 1) / max(1, frames - 1)) for number in range(frames)]
        widths, stages = [clip.channels, width, 2 * width, 4 * width, 4 * width], list[nn.Module]()
        shape = (frames, clip.height // self.shrink, clip.width // self.shrink)
        for number, (enter, leave) in enumerate(itertools.pairwise(widths)):
            stride = (1 if number == 0 else 2, 2, 2)
            stages.append(nn.Conv3d(enter, leave, 3, stride, 1))
            shape = tuple((side - 1) // step + 1 for side, step in zip(shape, stride, strict=True))  # type: ignore[assignment]
        self.stages = nn.ModuleList(stages)
        self.out = nn.Linear(widths[-1] * shape[0] * shape[1] * shape[2], size)

    def forward(self, clips: Tensor) -> Tensor:
        x = clips[:, :, self.frames]
        if self.shrink > 1:
            x = avg_pool3d(x, (1, self.shrink, self.shrink))  # B C t h w
        x = self.levels(x)
        for stage in self.stages:
            x = leaky_relu(stage(x), LEAK)
        return unit(self.out(x.flatten(1)))


class WordNaming(nn.Module):
    """Captions' vectors (N, D) -> logits (N, R) of rows of the table of pieces: cosines over a temperature.

    A linear layer would do with differences so small that nothing else sees them.
    """

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.temperature = config.temperature
        self.words = nn.Parameter(torch.randn(config.pieces + 1, config.size))

    def forward(self, vectors: Tensor) -> Tensor:
        return unit(vectors) @ unit(self.words).T / self.temperature


def recall_loss(logits: Tensor, pieces: Tensor) -> Tensor:
    """Return the mean cross-entropy by which captions' words are named: logits (N, R) of rows of the table.

    Every word of a caption, pieces (N, L, G), counts alike, by the row of the whole word; an empty caption costs
    nothing.
    """
    rows = pieces[:, :, 0]  # N L
    spoken = (rows != 0).to(logits.dtype)
    named = logits.log_softmax(dim=1).gather(1, rows)
    return -((named * spoken).sum(dim=1) / spoken.sum(dim=1).clamp(min=1)).mean()


class Matching(NamedTuple):
    """How well clips and captions are matched."""

    loss: Tensor
    right: Tensor
    """Part of the clips whose nearest caption is their own."""


def matching_loss(clips: Tensor, captions: Tensor, numbers: Tensor, temperature: float) -> Matching:
    """Return the loss by which clips (N, D) and captions (M, D), M >= N, are matched, all of length 1.

    Caption i < N is that of clip i, the others are captions besides. Captions of one number are the same, and are no
    wrong answers for each other's clips; those of number -1 are none.

    Args:
        clips: their vectors.
        captions: likewise.
        numbers: of the captions, (M,), int64.
        temperature: cosines are divided by it.
    """
    count = len(clips)
    logits = clips @ captions.T / temperature  # N M
    same = numbers[:count, None] == numbers
    same.fill_diagonal_(False)
    logits = logits.masked_fill(same | (numbers < 0), -torch.inf)
    known = (numbers[:count] >= 0).nonzero().squeeze(1)
    if not len(known):
        nothing = (clips.sum() + captions.sum()) * 0
        return Matching(nothing, nothing.detach())
    rows = logits[known]  # n M
    columns = logits[known][:, known].T
    loss = (cross_entropy(rows, known) + cross_entropy(columns, torch.arange(len(known), device=known.device))) / 2
    return Matching(loss, (rows.detach().argmax(dim=1) == known).float().mean())
