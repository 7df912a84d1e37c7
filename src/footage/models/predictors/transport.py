"""Moving the pixels of a frame: each is fetched from its neighbourhood, by a kernel of its own.

Dynamic neural advection (Finn et al. 2016, eq. 1) with kernels that are a product of a vertical and a horizontal one
(Niklaus et al. 2017): a shift by whole pixels is among them, so that what moves stays sharp for many frames.
"""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn.functional import interpolate, pixel_shuffle

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
        """Return the next frame."""
        height, width = frame.shape[2:]
        logits = rearrange(self.kernels(features).to(frame.dtype), "b (k a n) h w -> b n (k a) h w", a=2, n=self.taps)
        kernels = interpolate(logits.softmax(dim=1).flatten(1, 2), scale_factor=self.scale)[:, :, :height, :width]
        down, across = rearrange(kernels, "b (n k a) h w -> a b k n h w", a=2, n=self.taps)
        copies = frame.unsqueeze(1).expand(-1, self.copies, -1, -1, -1)  # B K C H W
        moved = fetch(fetch(copies, down, 3), across, 4)
        masks = pixel_shuffle(self.masks(features).to(frame.dtype), self.scale)[:, :, :height, :width].softmax(dim=1)
        choices = torch.cat([moved, painted.unsqueeze(1)], dim=1)  # B (K + 1) C H W
        return (masks.unsqueeze(2) * choices).sum(dim=1)
