"""Where everything went from one picture to the next, at any distance, and the pictures that lie between two.

Flow is Horn & Schunck's, from coarse to fine: at each size the second picture is brought back by what is known so far,
and what is left of the difference is explained (Brox et al. 2004, section 3; Sun, Roth & Black 2010, with their median
filter between steps). A picture at a time t between two is made of both, each brought to t by the flow as in Jiang et
al. 2018 (Super SloMo), eq. 4; the nearer counts more, and where both disagree more than the pictures themselves do,
as behind what has moved away, the pictures are mixed as they are.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from footage.errors import ConfigError, MediaError
from footage.media.encoding import DEFAULT_ENCODING, EncodingOptions
from footage.media.probe import probe
from footage.media.reader import Footage
from footage.media.segments import render

Frames = npt.NDArray[np.uint8]

LEAST_SIDE = 12
"""Pixels of the shorter side of the coarsest picture."""
SHRINK = 0.6
"""Size of each picture of the pyramid relative to the finer one."""
FINEST = 320
"""Pixels of the longer side of the finest picture on which flow is looked for."""
WARPS, ITERATIONS = 3, 24
"""At each size: how often the second picture is brought back; steps of Horn & Schunck's equations after each."""
SMOOTHNESS = 0.1
"""Alpha, in pixel values of [0, 1] per pixel."""
UNLIKE, UNEXPLAINED = 0.06, 0.7
"""Pictures that differ by less than the first on average, of 1, are of one shot; others where the flow leaves less than
the second part of their difference."""
MOST_SLOW = 32
"""How many times as slow a video may become."""
SURE = 0.012
"""Difference of pixel values, of 1, that counts as none."""


def warp(pictures: Tensor, flow: Tensor) -> Tensor:
    """Return what pictures (B, C, H, W) show at each place moved by a flow (B, 2, H, W), x and y in pixels."""
    height, width = pictures.shape[2:]
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    place = torch.stack([x, y]).to(flow) + flow
    scale = torch.tensor([2 / max(1, width - 1), 2 / max(1, height - 1)]).to(flow)[:, None, None]
    grid = (place * scale - 1).permute(0, 2, 3, 1)  # (B, 2, H, W) → (B, H, W, 2), in [-1, 1]
    return F.grid_sample(pictures, grid, mode="bilinear", padding_mode="border", align_corners=True)


def optical_flow(before: Tensor, after: Tensor) -> Tensor:
    """Return where each place of pictures went, (B, 2, h, w), x and y in pixels.

    Args:
        before: (B, C, h, w) in [0, 1].
        after: the same, later.
    """
    sizes = [before.shape[2:]]
    while min(sizes[-1]) * SHRINK >= LEAST_SIDE:
        sizes.append(torch.Size(max(1, round(side * SHRINK)) for side in sizes[-1]))
    flow = torch.zeros(len(before), 2, *sizes[-1])
    for size in reversed(sizes):
        a, b = (F.interpolate(each, size, mode="bilinear", antialias=True) for each in (before, after))
        ratio = torch.tensor([size[1] / flow.shape[3], size[0] / flow.shape[2]])[:, None, None]
        flow = F.interpolate(flow, size, mode="bilinear") * ratio
        for _ in range(WARPS):
            flow = median_filtered(refined(a, warp(b, flow), flow))
    return flow


def refined(before: Tensor, brought: Tensor, flow: Tensor) -> Tensor:
    """Return the flow that explains what is left between pictures, of which the second was brought back by `flow`."""
    middle = F.pad((before + brought) / 2, (1, 1, 1, 1), mode="replicate")
    across = (middle[:, :, 1:-1, 2:] - middle[:, :, 1:-1, :-2]) / 2
    down = (middle[:, :, 2:, 1:-1] - middle[:, :, :-2, 1:-1]) / 2
    change = brought - before - across * flow[:, :1] - down * flow[:, 1:]  # as seen from no flow at all
    # Sums over the channels, and over 3×3 places, make the equations of a place sure (Bruhn et al. 2005).
    products = torch.stack([across**2, across * down, down**2, across * change, down * change], dim=1).sum(dim=2)
    xx, xy, yy, xt, yt = F.avg_pool2d(F.pad(products, (1, 1, 1, 1), mode="replicate"), 3, 1).unbind(dim=1)
    xx, yy = xx + SMOOTHNESS**2, yy + SMOOTHNESS**2
    over = 1 / (xx * yy - xy**2)
    u, v = flow.unbind(dim=1)
    for _ in range(ITERATIONS):
        mean_u, mean_v = (neighbour_mean(part) * SMOOTHNESS**2 for part in (u, v))
        right, below = mean_u - xt, mean_v - yt
        u, v = (yy * right - xy * below) * over, (xx * below - xy * right) * over
    return torch.stack([u, v], dim=1)


def neighbour_mean(part: Tensor) -> Tensor:
    """Return the mean of the four neighbours of each place (B, h, w)."""
    wide = F.pad(part[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]
    return (wide[:, 1:-1, 2:] + wide[:, 1:-1, :-2] + wide[:, 2:, 1:-1] + wide[:, :-2, 1:-1]) / 4


def median_filtered(flow: Tensor) -> Tensor:
    """Return the median of 3×3 places."""
    wide = F.pad(flow, (1, 1, 1, 1), mode="replicate")
    near = wide.unfold(2, 3, 1).unfold(3, 3, 1).flatten(4)  # (B, 2, h, w, 9)
    return near.median(dim=4).values


class Between:
    """The pictures between two, uint8 (H, W, 3) each."""

    @torch.inference_mode()
    def __init__(self, before: Frames, after: Frames) -> None:
        pair = torch.from_numpy(np.stack([before, after])).permute(0, 3, 1, 2).float() / 255  # (2, 3, H, W)
        self._pair = pair
        height, width = pair.shape[2:]
        scale = min(1.0, FINEST / max(height, width))
        size = [max(1, round(side * scale)) for side in (height, width)]
        small = F.interpolate(pair, size, mode="bilinear", antialias=True)
        there = optical_flow(small, small.flip(0))  # forwards, and backwards
        ratio = torch.tensor([width / size[1], height / size[0]])[:, None, None]
        self.forward, self.backward = (F.interpolate(there, (height, width), mode="bilinear") * ratio).chunk(2)
        unlike = float((pair[0] - pair[1]).abs().mean())
        left = float((pair[:1] - warp(pair[1:], self.forward)).abs().mean())
        self.same_shot = unlike < UNLIKE or left < UNEXPLAINED * unlike
        """Whether the second picture is the first one, moved."""
        self.explained = left < UNLIKE
        """Whether the flow leaves little of what differs: between bright and dark scenes it takes a third away."""

    @torch.inference_mode()
    def at(self, t: float) -> Frames:
        """Return the picture at a time, of which 0 is that of the first and 1 that of the second."""
        before, after = self._pair.chunk(2)
        to_before = -(1 - t) * t * self.forward + t * t * self.backward
        to_after = (1 - t) ** 2 * self.forward - t * (1 - t) * self.backward
        from_before, from_after = warp(before, to_before), warp(after, to_after)
        moved = from_before * (1 - t) + from_after * t
        plain = before * (1 - t) + after * t
        apart, unlike = (
            F.avg_pool2d(F.pad((one - other).abs().mean(dim=1, keepdim=True), (2, 2, 2, 2), mode="replicate"), 5, 1)
            for one, other in ((from_before, from_after), (before, after))
        )
        trust = unlike**2 / (unlike**2 + apart**2 + SURE**2)
        made = plain + trust * (moved - plain)
        pixels: Frames = (made[0].permute(1, 2, 0) * 255).round().clamp(0, 255).byte().numpy()
        return pixels


def slow(
    clip: Path,
    to: Path,
    factor: int,
    *,
    encoding: EncodingOptions = DEFAULT_ENCODING,
    watch: Callable[[int], object] = lambda _: None,
) -> int:
    """Write a video that goes so many times as slowly, at the same rate, without sound; return its frames.

    Stopped work goes on. Pictures between two of which the second is another shot are those two: nothing moves there.

    Raises:
        ConfigError: the factor is out of range, or codec and file do not go together.
        MediaError: it is a picture, has one frame, or cannot be read.
    """
    if not 2 <= factor <= MOST_SLOW:
        raise ConfigError(f"slow is {factor}x", f"give 2x to {MOST_SLOW}x")
    footage = Footage(clip)
    if footage.pictures:
        raise MediaError(f'"{clip.name}" is no video', "give a video")
    info = probe(clip)
    if info.rate is None:
        raise MediaError(f'"{clip.name}" does not tell its rate', "save it again as .mp4")
    height, width, rate = info.height, info.width, info.rate

    def pictures(first: int) -> Iterator[Frames]:
        """Yield the frames from number `first` on; of the pairs before it nothing is made."""
        chunks = footage.chunks(height=height, width=width, channels=3, fps=rate, begin=first // factor)
        frames = itertools.chain.from_iterable(chunks)
        before, skipped = next(frames, None), first % factor
        if before is None:
            return
        for after in frames:
            between = Between(before, after)
            for step in range(skipped, factor):
                nearer = before if 2 * step < factor else after
                yield between.at(step / factor) if between.same_shot else nearer
            before, skipped = after, 0
        if not skipped:  # else what is wanted begins behind the last one
            yield before

    about = {"source": clip.name, "slow": factor}
    return render(
        to, pictures, size=(height, width), rate=rate, about=about, sources=[clip], encoding=encoding, watch=watch
    )
