"""Vision transformers over tubes of pixels (Dosovitskiy et al. 2021; Arnab et al. 2021): VideoMAE and V-JEPA 2.

One network serves both: they differ in their sizes, in how a token knows its place, and in what is made of the tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from footage.evaluation.features import resized_clips

EPSILON = 1e-6
"""Of layer normalisation."""
BASE = 10_000.0
"""Of the waves' lengths."""
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Mean and deviation of ImageNet's pixels in [0, 1]."""


@dataclass(frozen=True)
class TransformerShape:
    """Sizes and ways of a transformer."""

    depth: int
    """Number of blocks."""
    width: int
    """Length of a token."""
    heads: int
    """Heads of attention."""
    hidden: int
    """Width between the two layers of a block's perceptron."""
    patch: int
    """Height and width of a tube, in pixels."""
    side: int
    """Height and width of what the network sees."""
    places: Literal["added", "turned"]
    """`added`: sines and cosines are added to the tokens; `turned`: queries and keys are turned by their place."""
    frames: int | None
    """Frames that clips must have; None for any even number."""
    classes: int
    """Outputs of the last layer; 0 for none."""
    tube: int = 2
    """Length of a tube, in frames."""
    unit: tuple[tuple[float, ...], tuple[float, ...]] = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    """Mean and deviation of pixels in [0, 1], which are taken away and divided by."""


VIDEOMAE = TransformerShape(40, 1408, 16, 6144, 14, 224, "added", 16, 174)
"""VideoMAE V2's ViT-g, fine-tuned on Something-Something V2 (Wang et al. 2023); pixels in [0, 1]."""
VJEPA = TransformerShape(24, 1024, 16, 4096, 16, 256, "turned", None, 0, unit=IMAGENET)
"""V-JEPA 2's ViT-L (Assran et al. 2025)."""


def sinusoids(count: int, width: int) -> Tensor:
    """Return the places of tokens (count, width): sin(p / 10000^(2i / width)) and cos (Vaswani et al. 2017)."""
    places = torch.arange(count, dtype=torch.float64)[:, None]
    lengths = BASE ** (torch.arange(0, width, 2, dtype=torch.float64) / width)
    waves = torch.stack([(places / lengths).sin(), (places / lengths).cos()], dim=2)  # N D/2 2
    return waves.flatten(1).float()


def turned(x: Tensor, places: Tensor) -> Tensor:
    """Turn vectors (..., N, d) by their places (N,): rotary embedding (Su et al. 2021, eq. 34) as V-JEPA 2 has it.

    Neighbouring values are a pair (a, b), which becomes (a cos u - b sin u, b cos v + a sin v). In the paper u = v; in
    the published network value j of d has the frequency 10000^(-2 (j mod d/2) / d), so that u and v differ.
    """
    size = x.shape[-1]
    frequency = BASE ** (-torch.arange(size // 2, dtype=torch.float32, device=x.device) / (size / 2))
    angle = (places[:, None].float() * frequency).repeat(1, 2)  # N d/2 -> N d
    across = torch.stack([-x[..., 1::2], x[..., ::2]], dim=-1).flatten(-2)
    return x * angle.cos() + across * angle.sin()


class Block(nn.Module):
    """Attention, then a perceptron, each on normalised tokens and added to them."""

    def __init__(self, shape: TransformerShape) -> None:
        super().__init__()
        self.heads = shape.heads
        self.norm1, self.norm2 = nn.LayerNorm(shape.width, EPSILON), nn.LayerNorm(shape.width, EPSILON)
        self.qkv, self.proj = nn.Linear(shape.width, 3 * shape.width), nn.Linear(shape.width, shape.width)
        self.fc1, self.fc2 = nn.Linear(shape.width, shape.hidden), nn.Linear(shape.hidden, shape.width)

    def forward(self, x: Tensor, places: tuple[Tensor, ...] | None) -> Tensor:
        """Return tokens (B, N, D); `places` are each token's frame, row and column (N,), or None."""
        q, k, v = self.qkv(self.norm1(x)).view(*x.shape[:2], 3, self.heads, -1).permute(2, 0, 3, 1, 4)  # -> B H N D
        if places is not None:
            q, k = self.placed(q, places), self.placed(k, places)
        seen = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)  # B H N D -> B N HD
        x = x + self.proj(seen)
        tokens: Tensor = x + self.fc2(F.gelu(self.fc1(self.norm2(x))))
        return tokens

    @staticmethod
    def placed(x: Tensor, places: tuple[Tensor, ...]) -> Tensor:
        """Turn a third of each vector by the frame, one by the row, one by the column; what is left stays."""
        part = 2 * (x.shape[-1] // 3 // 2)
        pieces = [turned(x[..., n * part : (n + 1) * part], place) for n, place in enumerate(places)]
        return torch.cat([*pieces, x[..., 3 * part :]], dim=-1)


class VideoTransformer(nn.Module):
    """The network: features are the mean of the tokens, normalised after it (`added`) or before it (`turned`)."""

    def __init__(self, shape: TransformerShape) -> None:
        super().__init__()
        self.shape = shape
        size = (shape.tube, shape.patch, shape.patch)
        self.embed = nn.Conv3d(3, shape.width, size, stride=size)
        self.blocks = nn.ModuleList([Block(shape) for _ in range(shape.depth)])
        self.norm = nn.LayerNorm(shape.width, EPSILON)
        self.head = nn.Linear(shape.width, shape.classes) if shape.classes else None

    def prepared(self, clips: Tensor) -> Tensor:
        """Resize RGB clips (B, 3, T, H, W) in [0, 255] to squares, bilinearly, in the network's units."""
        mean, deviation = (clips.new_tensor(values).view(3, 1, 1, 1) for values in self.shape.unit)
        return (resized_clips(clips / 255, (self.shape.side, self.shape.side)) - mean) / deviation

    def forward(self, clips: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return features (B, D) and logits (B, K) or None of RGB clips (B, 3, T, H, W) in [0, 255]."""
        x = self.embed(self.prepared(clips))
        grid = x.shape[2:]
        x = x.flatten(2).transpose(1, 2)  # B D T H W -> B N D
        places: tuple[Tensor, ...] | None = None
        if self.shape.places == "added":
            x = x + sinusoids(x.shape[1], x.shape[2]).to(x)
        else:
            places = tuple(torch.meshgrid(*(torch.arange(n, device=x.device) for n in grid), indexing="ij"))
            places = tuple(place.flatten() for place in places)
        for block in self.blocks:
            x = block(x, places)
        features = self.norm(x.mean(dim=1)) if self.shape.places == "added" else self.norm(x).mean(dim=1)
        return features, None if self.head is None else self.head(features)


def videomae() -> VideoTransformer:
    return VideoTransformer(VIDEOMAE)


def vjepa() -> VideoTransformer:
    return VideoTransformer(VJEPA)


_BLOCK = {"attn.qkv": "qkv", "attn.proj": "proj", "mlp.fc1": "fc1", "mlp.fc2": "fc2"}


def _transformer_name(name: str) -> str:
    name = name.replace("patch_embed.proj", "embed").replace("fc_norm", "norm")
    for theirs, ours in _BLOCK.items():
        name = name.replace(f".{theirs}.", f".{ours}.")
    return name


def videomae_tensors(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """Rename a checkpoint's tensors; the biases of queries and values become one, in which that of keys is 0."""
    tensors = dict(checkpoint.get("module", checkpoint.get("model", checkpoint)))
    renamed = {}
    for key, value in tensors.items():
        if key.endswith("attn.q_bias"):
            other = tensors[key.replace("q_bias", "v_bias")]
            renamed[_transformer_name(key.replace("attn.q_bias", "attn.qkv.bias"))] = torch.cat(
                [value, 0 * value, other]
            )
        elif not key.endswith(("attn.v_bias", "pos_embed")):
            renamed[_transformer_name(key)] = value
    return renamed


def vjepa_tensors(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """Rename the averaged encoder's tensors, `target_encoder`: the one that its paper measures."""
    tensors = checkpoint["target_encoder"].items()
    return {_transformer_name(key.replace("module.", "").replace("backbone.", "")): value for key, value in tensors}
