"""The judge of sync: whether a mouth and a sound belong together (SyncNet, Chung and Zisserman 2016).

Two networks give vectors, one of five mouths in a row, one of the sound around the middle one. They learn to tell the
right sound from the same clip's sound at other times: InfoNCE (van den Oord et al. 2018, eq. 4) over shifts, so that
neither voice nor figure helps.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, interpolate, normalize, silu

from footage.media import speech

SEEN = 5
"""Frames that are looked at."""
MOUTH = (24, 32)
"""Height and width of mouths as they are looked at, in pixels."""
SHARPNESS = 10.0
"""What cosines are multiplied by."""
CODE = 32


def mouths(clips: Tensor, box: Tensor) -> Tensor:
    """Cut out the mouths of clips (B, C, T, H, W), resized: (B, T, C, *MOUTH).

    The box has left, top, right and bottom in parts of the frame.
    """
    cut = at_box(clips, box).transpose(1, 2).flatten(0, 1)  # (B T) C h w
    resized = interpolate(cut.float(), MOUTH, mode="bilinear", align_corners=False, antialias=True)
    return resized.view(clips.shape[0], clips.shape[2], *resized.shape[1:])


def pixel_box(box: Tensor, height: int, width: int) -> tuple[int, int, int, int]:
    """Return left, top, right and bottom in pixels, two at least between them."""
    left, top, right, bottom = (
        round(part * side) for part, side in zip(box.tolist(), (width, height, width, height), strict=True)
    )
    left, top = min(left, width - 2), min(top, height - 2)
    return left, top, max(right, left + 2), max(bottom, top + 2)


def at_box(pictures: Tensor, box: Tensor) -> Tensor:
    """Cut a box out of pictures, (..., H, W) -> (..., h, w); it has left, top, right and bottom in parts of them."""
    left, top, right, bottom = pixel_box(box, *pictures.shape[-2:])
    return pictures[..., top:bottom, left:right]


def shifted(heard: Tensor) -> Tensor:
    """Return the sound around frames, and the same shifted, (..., WHOLE, bands) -> (..., N, WINDOW, bands).

    The first is the right one.
    """
    shifts = [0, *(sign * shift for shift in speech.SHIFTS for sign in (1, -1))]
    begins = [speech.AROUND + shift for shift in shifts]
    return torch.stack([heard[..., begin : begin + speech.WINDOW, :] for begin in begins], dim=-3)


class SyncJudge(nn.Module):
    """Mouths (B, SEEN, C, h, w) and sounds (B, N, WINDOW, bands) -> how well each goes with the mouths, (B, N)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.look = nn.ModuleList(
            [
                nn.Conv2d(SEEN * channels, 24, 4, 2, 1),
                nn.Conv2d(24, 32, 4, 2, 1),
                nn.Conv2d(32, 48, 4, 2, 1),
            ]
        )
        self.seen = nn.Linear(48 * (MOUTH[0] // 8) * (MOUTH[1] // 8), CODE)
        self.listen = nn.ModuleList([nn.Conv1d(speech.BANDS, 48, 3), nn.Conv1d(48, 48, 3, 2), nn.Conv1d(48, 48, 3, 2)])
        self.heard = nn.Linear(48 * heard_length(), CODE)

    def see(self, mouths: Tensor) -> Tensor:
        """Return the vectors of mouths, (B, SEEN, C, h, w) -> (B, D), of length 1."""
        x = mouths - mouths.mean(dim=(1, 3, 4), keepdim=True)  # what stays is no matter
        x = x.flatten(1, 2)
        for stage in self.look:
            x = silu(stage(x))
        return normalize(self.seen(x.flatten(1)).float(), dim=1)

    def hear(self, sounds: Tensor) -> Tensor:
        """Return the vectors of sounds, (B, WINDOW, bands) in [-1, 1] -> (B, D), of length 1."""
        x = sounds.transpose(1, 2)
        for stage in self.listen:
            x = silu(stage(x))
        return normalize(self.heard(x.flatten(1)).float(), dim=1)

    def forward(self, mouths: Tensor, sounds: Tensor) -> Tensor:
        seen = self.see(mouths)
        heard = self.hear(sounds.flatten(0, 1)).view(*sounds.shape[:2], -1)  # B N D
        return SHARPNESS * torch.einsum("bd,bnd->bn", seen, heard)


def heard_length() -> int:
    """Return how long three convolutions of 3, the last two with a stride of 2, leave a window."""
    length = speech.WINDOW - 2
    for _ in range(2):
        length = (length - 3) // 2 + 1
    return length


def sync_loss(logits: Tensor, counted: Tensor | None = None) -> Tensor:
    """Return the mean of -log softmax of the right sound, (B, N) -> a scalar; `counted` (B,) weighs the rows."""
    right = torch.zeros(len(logits), dtype=torch.int64, device=logits.device)
    losses = cross_entropy(logits.float(), right, reduction="none")
    if counted is None:
        return losses.mean()
    return (losses * counted).sum() / counted.sum().clamp(min=1)
