"""Networks that judge clips: what a critic sees of a clip, trunks that give features, heads that judge them.

No normalisation: they may carry penalties. Labels by projection (Miyato and Koyama 2018, eq. 3) or by naming them
beside judging (Odena et al. 2017).
"""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, avg_pool3d, leaky_relu, relu

from footage.config import ClipConfig, CriticConfig
from footage.config.sections import unlimited
from footage.errors import ConfigError, counted
from footage.metrics.motion import horn_schunck
from footage.models.adversarial.critic_loss import view_shape
from footage.models.layers import (
    LEAK,
    SPACE,
    SPACE_TIME,
    SPACE_VALID,
    CriticOutput,
    LabelEmbedding,
    Levels,
    channels,
    doublings,
    voxels,
)


class ConvTrunk(nn.Module):
    """Strided convolutions, in three dimensions or, for what has no time, in two: (N, C, ...) -> (N, size, *volume).

    Args:
        enter: channels of what is seen.
        shape: its frames (None for no time), height and width.
        width: channels of the first stage; they double, up to 512.
        patch: leave the innermost stage out, so that each place of the volume stands for a patch.
        valid: let time shrink by kernels of 4 without padding, and not by strides.

    Raises:
        ConfigError: there are too few frames for kernels without padding.
    """

    def __init__(
        self, enter: int, shape: tuple[int | None, int, int], width: int, *, patch: bool = False, valid: bool = False
    ) -> None:
        super().__init__()
        frames, height, wide = shape
        count = doublings(height, wide)
        if patch and count > 1:
            count -= 1
        if valid and frames is not None and frames < 3 * count + 1:
            raise ConfigError(
                f"{counted(frames, 'frame ends', 'frames end')} before the critic's last layer: its kernels have no "
                "padding",
                f"give --clip.frames {3 * count + 1 - frames} more, or the critic's time halve",
            )
        widths = channels(width, count)[::-1]
        stages: list[nn.Module] = []
        for a, b in zip([enter, *widths[:-1]], widths, strict=True):
            if frames is None:
                stages.append(nn.Conv2d(a, b, 4, 2, 1))
                continue
            stage = SPACE_VALID if valid else SPACE_TIME if frames >= 2 else SPACE
            stages.append(nn.Conv3d(a, b, stage.kernel, stage.stride, stage.padding))
            frames = frames - 3 if valid else max(1, frames // 2)
        self.stages = nn.ModuleList(stages)
        self.size = widths[-1]
        inner = (height >> count, wide >> count)
        self.volume: tuple[int, ...] = inner if frames is None else (frames, *inner)

    def forward(self, x: Tensor) -> Tensor:
        return self.stage_features(x)[-1]

    def stage_features(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the features after every stage, the outermost first."""
        features = []
        for stage in self.stages:
            x = leaky_relu(stage(x), LEAK)  # N 2c t/2 h/2 w/2
            features.append(x)
        return tuple(features)


class MlpTrunk(nn.Module):
    """Clip (B, C, T, H, W) -> features (B, width): voxels - 4w - 2w - w, the mirror image of the generator."""

    volume: tuple[int, ...] = ()

    def __init__(self, clip: ClipConfig, width: int) -> None:
        super().__init__()
        self.size = width
        sizes = [voxels(clip, width), 4 * width, 2 * width, width]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(sizes))

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)  # B (C T H W)
        for layer in self.layers:
            x = leaky_relu(layer(x), LEAK)
        return x


class TwoStreamTrunk(nn.Module):
    """A net of single frames and a net of stacked optical flow, fused late (Simonyan and Zisserman 2014).

    Every frame goes through the first net and the features are averaged; the flow of all frames is one picture with
    2 (T - 1) channels. Clip (N, C, T, H, W) -> features (N, size). The flow is that of the clip itself, without the
    last channels, the `conditions` that it was made from.
    """

    volume: tuple[int, ...] = ()

    def __init__(self, clip: ClipConfig, width: int, conditions: int = 0) -> None:
        super().__init__()
        self.own = clip.channels - conditions
        self.frames = ConvTrunk(clip.channels, (None, clip.height, clip.width), width)
        factor = -(-min(clip.height, clip.width) // 32)
        self.flow_size = (max(8, clip.height // factor // 8 * 8), max(8, clip.width // factor // 8 * 8))
        self.flow = ConvTrunk(2 * (clip.frames - 1), (None, *self.flow_size), width)
        self.size = self.frames.size + self.flow.size

    def forward(self, x: Tensor, pixels: Tensor) -> Tensor:
        """Return the features of a clip, of which `pixels` are the levels in [-1, 1]: the flow is taken from those."""
        pictures = self.frames(x.transpose(1, 2).flatten(0, 1))  # (N T) c h w
        appearance = pictures.mean(dim=(2, 3)).unflatten(0, (len(x), -1)).mean(dim=1)  # N c
        flow = adaptive_avg_pool2d(horn_schunck(pixels[:, : self.own]).flatten(1, 2), self.flow_size)  # N 2(T-1) h w
        motion = self.flow(flow).mean(dim=(2, 3))  # N c
        return torch.cat([appearance, motion], dim=1)


EMBEDDING = 256
"""Length of e, and of phi."""
MOTION = 128
"""Length of m."""


class Embedder(nn.Module):
    """E: clip (B, C, T, H, W) -> features (B, 2w, T', H/4, W/4) and e (B, EMBEDDING).

    Kernels of 3 x 3 x 3, pooling by (1, 2, 2) and then by (2, 2, 2); widths w, 2w, 4w, 4w.
    """

    def __init__(self, clip: ClipConfig, width: int) -> None:
        super().__init__()
        widths = [clip.channels, width, 2 * width, 4 * width, 4 * width]
        self.stages = nn.ModuleList(nn.Conv3d(a, b, 3, padding=1) for a, b in itertools.pairwise(widths))
        self.out = nn.Linear(widths[-1], EMBEDDING)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        middle = x
        for number, stage in enumerate(self.stages):
            x = leaky_relu(stage(x), LEAK)
            time = 1 if number == 0 or x.shape[2] < 2 else 2
            x = avg_pool3d(x, (time, *(2 if size >= 2 else 1 for size in x.shape[3:])))  # B c t/2 h/2 w/2
            if number == 1:
                middle = x
        return middle, self.out(x.mean(dim=(2, 3, 4)))


class MotionNet(nn.Module):
    """M: flow (B, 2, T - 1, h, w), or the change of features from frame to frame (B, c, T', h, w) -> m (B, MOTION)."""

    def __init__(self, enter: int, width: int) -> None:
        super().__init__()
        widths = [enter, width, 2 * width, 4 * width]
        self.stages = nn.ModuleList(
            nn.Conv3d(a, b, 3, stride=(1, 2, 2), padding=1) for a, b in itertools.pairwise(widths)
        )
        self.out = nn.Linear(widths[-1], MOTION)

    def forward(self, x: Tensor) -> Tensor:
        for stage in self.stages:
            x = leaky_relu(stage(x), LEAK)  # B 2c t h/2 w/2
        motion: Tensor = self.out(x.mean(dim=(2, 3, 4)))
        return motion


class EmbedMotionCritic(nn.Module):
    """The embedding-and-motion critic D(x, e, m): clip (B, C, T, H, W), label (B,) -> CriticOutput.

    e = E(x) tells what is seen (a C3D-like network, Tran et al. 2015), m = M(flow of x) or M(features of E) how it
    moves, and the score is w . [phi, e, m] + <P_e e, phi> + <P_m m, phi> (after Miyato and Koyama 2018, eq. 3). The
    flow is unrolled Horn-Schunck, hence differentiable: the generator learns motion through it. Penalties go through E
    and M too, and neither may ever be used to evaluate. It is built as `Critic` is; `conditions` have no flow.
    """

    def __init__(self, critic: CriticConfig, clip: ClipConfig, width: int, labels: int, conditions: int = 0) -> None:
        super().__init__()
        self.own = clip.channels - conditions
        small = unlimited(clip.frames, clip.height // critic.shrink, clip.width // critic.shrink, clip.channels)
        self.source = critic.motion
        self.levels = Levels(clip.channels)
        self.embedder = Embedder(small, width)
        self.motion = MotionNet(2 if critic.motion == "flow" else 2 * width, width)
        self.trunk = ConvTrunk(clip.channels, (clip.frames, small.height, small.width), width)
        self.phi = nn.Linear(self.trunk.size * torch.Size(self.trunk.volume).numel(), EMBEDDING)
        self.out = nn.Linear(EMBEDDING + EMBEDDING + MOTION, 1)
        self.from_embedding = nn.Linear(EMBEDDING, EMBEDDING, bias=False)
        self.from_motion = nn.Linear(MOTION, EMBEDDING, bias=False)
        self.project = LabelEmbedding(labels, EMBEDDING) if labels and critic.labels == "projection" else None
        self.name = nn.Linear(EMBEDDING, labels) if labels and critic.labels == "classify" else None

    def forward(self, x: Tensor, label: Tensor | None = None, gaps: Tensor | None = None) -> CriticOutput:
        level = self.levels(x)
        features, e = self.embedder(level)
        if self.source == "flow":
            m = self.motion(horn_schunck(x[:, : self.own]))
        else:  # the change from frame to frame; of a single frame, the frame
            m = self.motion(features.diff(dim=2) if features.shape[2] > 1 else features)
        phi = leaky_relu(self.phi(self.trunk(level).flatten(1)), LEAK)
        known = self.from_embedding(e) + self.from_motion(m)
        if self.project is not None:
            known = known + self.project(label)
        logits = self.out(torch.cat([phi, e, m], dim=1)).squeeze(1) + (known * phi).sum(dim=1)
        return CriticOutput(logits, None if self.name is None else self.name(relu(phi)))


class Critic(nn.Module):
    """What `critic_view` shows (N, ...), label (N,) -> CriticOutput: convolutions, fully connected, or two streams.

    Args:
        critic: its configuration.
        clip: shape of the clips.
        width: channels (units, for mlp) of the outermost stage.
        labels: number of labels; 0 where there are none.
        conditions: how many of the clips' channels, the last ones, are what they were made from.

    Raises:
        ConfigError: its network cannot be made for such clips.
    """

    def __init__(self, critic: CriticConfig, clip: ClipConfig, width: int, labels: int, conditions: int = 0) -> None:
        super().__init__()
        self.patch = critic.patch
        self.changes = critic.sees == "difference"
        self.levels = Levels(view_shape(critic, clip)[0])
        small = unlimited(clip.frames, clip.height // critic.shrink, clip.width // critic.shrink, clip.channels)
        self.trunk: ConvTrunk | MlpTrunk | TwoStreamTrunk
        if critic.net == "mlp":
            self.trunk = MlpTrunk(small, width)
        elif critic.net == "two_stream":
            self.trunk = TwoStreamTrunk(small, width, conditions)
        else:
            enter, frames, *sides = view_shape(critic, clip)
            shape = (frames, sides[0], sides[1])
            self.trunk = ConvTrunk(enter, shape, width, patch=critic.patch, valid=critic.time == "valid")
        size = self.trunk.size
        self.out = nn.Linear(size if self.patch else size * math.prod(self.trunk.volume), 1)
        self.project = LabelEmbedding(labels, size) if labels and critic.labels == "projection" else None
        self.name = nn.Linear(size, labels) if labels and critic.labels == "classify" else None
        told = {"sparse": critic.frames - 1, "slab": 1}.get(critic.sees, 0)
        self.apart = nn.Sequential(nn.Linear(told, 64), nn.ReLU(), nn.Linear(64, size)) if told else None

    def forward(self, x: Tensor, label: Tensor | None = None, gaps: Tensor | None = None) -> CriticOutput:
        numbers = x / self.levels.sd.view(-1, 1, 1, 1) if self.changes else self.levels(x)
        pixels = (x,) if isinstance(self.trunk, TwoStreamTrunk) else ()
        stages: tuple[Tensor, ...] = ()
        if isinstance(self.trunk, ConvTrunk):
            stages = self.trunk.stage_features(numbers)
        features: Tensor = stages[-1] if stages else self.trunk(numbers, *pixels)
        volume = features.flatten(2) if features.ndim > 2 else features.unsqueeze(2)  # N c P
        pooled = volume.mean(dim=2)  # N c
        judged = volume.transpose(1, 2) if self.patch else features.flatten(1)  # N P c, or N (c P)
        logits: Tensor = self.out(judged).squeeze(-1)
        for known, table in ((label, self.project), (gaps, self.apart)):
            if table is None:
                continue
            assert known is not None, "a critic that judges by labels or distances is given them"
            code = table(known)  # N c
            logits = logits + ((judged * code.unsqueeze(1)).sum(dim=2) if self.patch else (pooled * code).sum(dim=1))
        return CriticOutput(logits, None if self.name is None else self.name(relu(pooled)), stages)
