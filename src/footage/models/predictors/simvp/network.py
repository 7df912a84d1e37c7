"""The predictor without recurrence: SimVP (Gao et al. 2022, CVPR) with the gated attention of Tan et al. (2022).

Every frame is encoded by itself; a translator of convolutions sees all frames' features as channels of one picture, and
mixes place and time with large kernels; every future frame is decoded by itself. Ours: pixels enter and leave as 2×2
patches, which makes a step four times as fast, and normalisation is over a pixel's channels.
"""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn.functional import gelu, pad, pixel_shuffle, pixel_unshuffle, silu

from footage.config import ClipConfig, TaskConfig
from footage.models.layers import FeatureNorm, Levels, Noise
from footage.models.predictors.predict import Predictor, PredictorOutput, State
from footage.models.predictors.simvp import SimVpConfig

PATCH = 2
"""Side of the patches that pixels enter and leave as."""
STRIP = 11
"""Length of the strips that make a large kernel."""
UNIT = 4
"""Height and width are padded to a multiple of this."""


class GatedAttention(nn.Module):
    """x + a(norm x), then x + mlp(norm x), where a = f ⊙ sigmoid(g) of a large depthwise kernel.

    The large kernel is a 5×5 followed by two strips (Guo et al. 2022, SegNeXt), hence 15×15; with a dilated 7×7 in
    their place, as published, nearly half of a step's time on a CPU goes into it.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = FeatureNorm(channels)
        self.enter = nn.Conv2d(channels, channels, 1)
        self.near = nn.Conv2d(channels, channels, 5, padding=2, groups=channels)
        self.wide = nn.Conv2d(channels, channels, (1, STRIP), padding=(0, STRIP // 2), groups=channels)
        self.high = nn.Conv2d(channels, channels, (STRIP, 1), padding=(STRIP // 2, 0), groups=channels)
        self.gate = nn.Conv2d(channels, 2 * channels, 1)
        self.leave = nn.Conv2d(channels, channels, 1)
        self.mlp = nn.Sequential(
            FeatureNorm(channels),
            nn.Conv2d(channels, 2 * channels, 3, padding=1),
            nn.GELU(),
            nn.Conv2d(2 * channels, channels, 1),
        )
        for last in (self.leave, self.mlp[-1]):
            assert isinstance(last, nn.Conv2d)
            nn.init.normal_(last.weight, std=0.1 * last.in_channels**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        inner = gelu(self.enter(self.norm(x)))
        value, gate = self.gate(self.high(self.wide(self.near(inner)))).chunk(2, dim=1)
        x = x + self.leave(value * torch.sigmoid(gate))
        return x + self.mlp(x)  # type: ignore[no-any-return]


class SimVp(Predictor):
    """Past (B, C, P, H, W) -> future (B, C, F, H, W), all frames at once; longer ones follow from its own frames."""

    def __init__(self, clip: ClipConfig, net: SimVpConfig, task: TaskConfig, told: int = 0) -> None:
        super().__init__()
        self.past, self.future = task.past, clip.frames - task.past
        self.levels = Levels(clip.channels)
        pixels, width = clip.channels * PATCH**2, net.width
        self.enter = nn.Conv2d(pixels, width, 3, padding=1)
        self.down = nn.Conv2d(width, width, 3, stride=2, padding=1)
        self.told = nn.Linear(told, net.hidden, bias=False) if told else None
        self.mix = nn.Conv2d(self.past * width, net.hidden, 1)
        self.blocks = nn.ModuleList(GatedAttention(net.hidden) for _ in range(net.layers))
        self.unmix = nn.Conv2d(net.hidden, self.future * width, 1)
        self.up = nn.Conv2d(width, 4 * width, 3, padding=1)
        self.shortcut = nn.Conv2d(self.past * width, width, 1)
        self.refine = nn.Conv2d(2 * width, width, 3, padding=1)
        self.leave = nn.Conv2d(width, pixels, 3, padding=1)

    def forward(
        self,
        clips: Tensor,
        noise: Noise,
        shown: Tensor | None,
        rehearse: bool = False,
        told: Tensor | None = None,
    ) -> PredictorOutput:
        length = clips.shape[2] - self.past
        chunks: list[Tensor] = []
        state = self.begin(clips[:, :, : self.past], told)
        while len(chunks) * self.future < length:
            frames, state = self.advance(state, None)
            chunks.append(frames)
        return PredictorOutput(torch.cat(chunks, dim=2)[:, :, :length], None)

    def begin(self, past: Tensor, told: Tensor | None = None) -> State:
        return past, self.heard(told, past)

    def advance(self, state: State, noise: Tensor | None) -> tuple[Tensor, State]:
        """Predict the next F frames; they are fed back within [-1, 1], so that no error grows without bound."""
        past, heard = state
        height, width = past.shape[3:]
        frames = rearrange(self.levels(past), "b c t h w -> (b t) c h w")
        frames = pad(frames, (0, -width % UNIT, 0, -height % UNIT), mode="replicate")
        x = pixel_unshuffle(frames, PATCH).contiguous(memory_format=torch.channels_last)  # (B P) 4C h/2 w/2
        near = silu(self.enter(x))
        x = silu(self.down(near))  # (B P) w h/4 w/4
        x = self.mix(rearrange(x, "(b t) c h w -> b (t c) h w", t=self.past)) + heard[:, :, None, None].to(x.dtype)
        for block in self.blocks:
            x = block(x)
        x = rearrange(self.unmix(x), "b (t c) h w -> (b t) c h w", t=self.future)
        x = silu(pixel_shuffle(self.up(silu(x)), 2))  # (B F) w h/2 w/2
        kept = self.shortcut(rearrange(near, "(b t) c h w -> b (t c) h w", t=self.past))  # B w h/2 w/2
        kept = kept.repeat_interleave(self.future, dim=0)
        x = self.leave(silu(self.refine(torch.cat([x, kept], dim=1))))
        numbers = pixel_shuffle(x, PATCH)[:, :, :height, :width]  # (B F) C H W
        future = self.levels.pixels(rearrange(numbers.to(past.dtype), "(b t) c h w -> b c t h w", t=self.future))
        return future, (torch.cat([past, future.clamp(-1, 1)], dim=2)[:, :, -self.past :], heard)
