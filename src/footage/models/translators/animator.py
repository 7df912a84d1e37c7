"""A picture brought to life: it is encoded once, and a path of motion codes says what becomes of it in each frame.

The path is MoCoGAN's, h_t = cell(e_t, h_{t-1}) with fresh noise e_t (Tulyakov et al. 2018). Every frame is the picture,
warped by a flow, mixed by a mask with what is painted where nothing could be moved to (the foreground and background of
Vondrick et al. 2016, with a background that moves): out = m ⊙ warp(picture, flow) + (1 - m) ⊙ painted. A decoder of
shortcuts alone would copy the still.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn.functional import affine_grid, grid_sample, silu

from footage.config import ClipConfig, TranslatorConfig
from footage.models.generators.recurrent import start_slow
from footage.models.layers import Levels, PixelNorm, channels
from footage.models.translators.translator import ChannelNorm, Encoding, Upsampling, fitted, stages

REACH = 1.0
"""Longest displacement, in halves of the picture."""
KEPT = 2.0
"""Logit of the mask at the beginning: most of a frame is the picture."""


class Scene(NamedTuple):
    """A picture, and how far its motion has come: all that the next frames follow from."""

    picture: Tensor
    """(B, C, H, W)."""
    shortcuts: list[Tensor]
    """Its features, from half its size inwards, (B, c, 1, h, w) each."""
    hidden: Tensor
    """The cell's state, (B, hidden)."""
    rest: Tensor | None
    """That of the first frame, which is the picture; None before it."""


class MovingStage(nn.Module):
    """A stage of the decoder: features of frames (B, c, T, h, w), the picture's beside them -> (B, out, T, 2 h, 2 w).

    The convolution of both is the sum of two, of which that of the picture's features is made once for all frames.

    Args:
        enter: channels c of the frames' features.
        beside: channels of the picture's features; 0 for none.
        leave: channels of the result.
    """

    def __init__(self, enter: int, beside: int, leave: int) -> None:
        super().__init__()
        self.norm = ChannelNorm(enter)
        self.up = Upsampling(enter, leave)
        self.still_norm = ChannelNorm(beside) if beside else None
        self.still_up = Upsampling(beside, leave) if beside else None

    def begin_still(self) -> None:
        """Let the flow begin small, and the mask with the picture, where this is the last stage."""
        with torch.no_grad():
            for up in (self.up, self.still_up):
                if up is not None:
                    up.conv.weight[:, :3] *= 0.1
            assert self.up.conv.bias is not None
            self.up.conv.bias[2] = KEPT

    def forward(self, x: Tensor, shortcut: Tensor) -> Tensor:
        """Return the features."""
        moving: Tensor = self.up(silu(self.norm(x)))  # B c T 2h 2w
        if self.still_norm is None or self.still_up is None:
            return moving
        still: Tensor = self.still_up(silu(self.still_norm(shortcut)))  # B c 1 2h 2w
        return moving + still


class Animator(nn.Module):
    """Picture (B, C, 1, H, W), start (B, hidden), noise (B, T, m) -> clips (B, C, T, H, W) that begin with it.

    Args:
        clip: shape of the clips in training.
        net: sizes of the network.
    """

    def __init__(self, clip: ClipConfig, net: TranslatorConfig) -> None:
        super().__init__()
        self.levels = Levels(clip.channels)
        self.motion, self.hidden = net.motion, 2 * net.motion
        count = stages(clip.height, clip.width)
        self.unit = 2**count
        widths = channels(net.width, count)[::-1]  # from the outermost stage inwards
        self.encoder = nn.ModuleList(
            Encoding(a, b, 0, first=i == 0)
            for i, (a, b) in enumerate(zip([clip.channels, *widths[:-1]], widths, strict=True))
        )
        self.cell = nn.GRU(net.motion, self.hidden, batch_first=True)
        start_slow(self.cell, clip.frames, net.motion)
        self.code_norm = PixelNorm()
        inner, code = widths[-1], 2 * self.hidden
        self.norm = ChannelNorm(inner)
        self.style = nn.Linear(code, 2 * inner)
        self.mix = nn.Conv2d(inner + code, inner, 3, padding=1)
        leaving = [*widths[-2::-1], 3 + clip.channels]  # flow, mask and what is painted
        beside = [0, *widths[-2::-1]]
        self.decoder = nn.ModuleList(
            MovingStage(a, b, c) for a, b, c in zip(widths[::-1], beside, leaving, strict=True)
        )
        last = self.decoder[-1]
        assert isinstance(last, MovingStage)
        last.begin_still()

    def noise(self, frames: int) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the noise of one clip of `frames` frames, by name."""
        return {"start": (self.hidden,), "motion": (frames, self.motion)}

    def forward(self, picture: Tensor, start: Tensor, motion: Tensor) -> Tensor:
        """Return the clips from their beginning."""
        return self.advance(self.begin(picture, start), motion)[0]

    def begin(self, picture: Tensor, start: Tensor) -> Scene:
        """Encode a picture (B, C, 1, H, W); the motion begins at random, from standard normal numbers (B, hidden)."""
        x, shortcuts = fitted(self.levels(picture), self.unit), list[Tensor]()
        for encoding in self.encoder:
            x = encoding(x)
            shortcuts.append(x)
        return Scene(picture[:, :, 0], shortcuts, start, None)

    def advance(self, scene: Scene, motion: Tensor) -> tuple[Tensor, Scene]:
        """Make the next frames (B, C, T, H, W) from fresh noise (B, T, m), and the scene after them."""
        picture = scene.picture
        with torch.autocast(motion.device.type, enabled=False):  # the cell is small, and its path is long
            path, after = self.cell(motion.to(picture.dtype), scene.hidden.to(picture.dtype).unsqueeze(0))
        rest = path[:, 0] if scene.rest is None else scene.rest
        # Where the motion is, and how far from where the picture was taken: 0 in the first frame.
        code = torch.cat([self.code_norm(path.flatten(0, 1)), (path - rest[:, None]).flatten(0, 1)], dim=1)
        made = self._decoded(scene.shortcuts, code)  # (B T) (3 + C) H W
        flow, mask, painted = (
            made[..., : picture.shape[2], : picture.shape[3]].to(picture.dtype).tensor_split((2, 3), 1)
        )
        warped = warp(picture, REACH * torch.tanh(flow))
        mask = torch.sigmoid(mask)
        frames = mask * warped + (1 - mask) * self.levels.pixels(painted)
        clips = rearrange(frames, "(b t) c h w -> b c t h w", b=len(picture))
        return clips, Scene(picture, scene.shortcuts, after[0], rest)

    def _decoded(self, shortcuts: list[Tensor], code: Tensor) -> Tensor:
        """Return the decoder's output for each frame, (B T, 3 + C, H, W), for codes (B T, n)."""
        inner = self.norm(shortcuts[-1])[:, :, 0]  # B c h w
        times = len(code) // len(inner)
        scale, shift = self.style(code)[:, :, None, None].chunk(2, dim=1)
        x = inner.repeat_interleave(times, dim=0) * (1 + scale) + shift  # (B T) c h w
        told = code.to(x.dtype)[:, :, None, None].expand(-1, -1, *x.shape[2:])
        x = self.mix(silu(torch.cat([x, told], dim=1)).contiguous(memory_format=torch.channels_last))
        x = rearrange(x, "(b t) c h w -> b c t h w", t=times)
        for number, stage in enumerate(self.decoder):
            x = stage(x, shortcuts[-1 - number])
        frames: Tensor = x.transpose(1, 2).flatten(0, 1)
        return frames


def warp(picture: Tensor, flow: Tensor) -> Tensor:
    """Look up each pixel of frames at another place of their picture; beyond its edge, the edge.

    Args:
        picture: (B, C, H, W).
        flow: (B T, 2, H, W): displacement (x, y) in halves of the picture.
    """
    times = len(flow) // len(picture)
    with torch.autocast(picture.device.type, enabled=False):
        identity = torch.eye(2, 3, dtype=flow.dtype, device=flow.device).expand(len(flow), 2, 3)
        grid = affine_grid(identity, [len(flow), *picture.shape[1:]], align_corners=False)  # (B T) H W 2
        places = grid + flow.movedim(1, -1)
        frames = picture.repeat_interleave(times, dim=0)  # (B T) C H W
        return grid_sample(frames, places, mode="bilinear", padding_mode="border", align_corners=False)
