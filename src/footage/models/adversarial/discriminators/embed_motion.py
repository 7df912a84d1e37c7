"""The embedding-and-motion critic D(x, e, m): an embedding network E, a motion network M and a critic's trunk.

e = E(x) tells what is seen (a C3D-like network, Tran et al. 2015), m = M(flow of x) or M(features of E) how it moves,
and the score is w . [phi, e, m] + <P_e e, phi> + <P_m m, phi> (after Miyato and Koyama 2018, eq. 3). The flow is
unrolled Horn-Schunck, hence differentiable: the generator learns motion through it. Penalties go through E and M too,
and neither may ever be used to evaluate.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool3d, leaky_relu, relu

from footage.config import ClipConfig, CriticConfig
from footage.config.tasks import unlimited
from footage.models.adversarial.discriminators.trunks import ConvTrunk
from footage.models.flow import horn_schunck
from footage.models.layers import LEAK, Levels, Verdict

EMBEDDING = 256
"""Length of e, and of phi."""
MOTION = 128
"""Length of m."""


class Embedder(nn.Module):
    """E: clip (B, C, T, H, W) -> features (B, 2w, T', H/4, W/4) and e (B, EMBEDDING).

    Kernels of 3 x 3 x 3, pooling by (1, 2, 2) and then by (2, 2, 2); widths w, 2w, 4w, 4w.

    Args:
        clip: shape of the clips.
        width: w.
    """

    def __init__(self, clip: ClipConfig, width: int) -> None:
        super().__init__()
        widths = [clip.channels, width, 2 * width, 4 * width, 4 * width]
        self.stages = nn.ModuleList(nn.Conv3d(a, b, 3, padding=1) for a, b in itertools.pairwise(widths))
        self.out = nn.Linear(widths[-1], EMBEDDING)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the features of the second stage, and e."""
        middle = x
        for number, stage in enumerate(self.stages):
            x = leaky_relu(stage(x), LEAK)
            time = 1 if number == 0 or x.shape[2] < 2 else 2
            x = avg_pool3d(x, (time, *(2 if size >= 2 else 1 for size in x.shape[3:])))  # B c t/2 h/2 w/2
            if number == 1:
                middle = x
        return middle, self.out(x.mean(dim=(2, 3, 4)))


class MotionNet(nn.Module):
    """M: flow (B, 2, T - 1, h, w), or the change of features from frame to frame (B, c, T', h, w) -> m (B, MOTION).

    Args:
        enter: channels that come in.
        width: channels of its first stage.
    """

    def __init__(self, enter: int, width: int) -> None:
        super().__init__()
        widths = [enter, width, 2 * width, 4 * width]
        self.stages = nn.ModuleList(
            nn.Conv3d(a, b, 3, stride=(1, 2, 2), padding=1) for a, b in itertools.pairwise(widths)
        )
        self.out = nn.Linear(widths[-1], MOTION)

    def forward(self, x: Tensor) -> Tensor:
        """Return m."""
        for stage in self.stages:
            x = leaky_relu(stage(x), LEAK)  # B 2c t h/2 w/2
        motion: Tensor = self.out(x.mean(dim=(2, 3, 4)))
        return motion


class EmbedMotionCritic(nn.Module):
    """Clip (B, C, T, H, W), label (B,) -> Verdict.

    Args:
        critic: its configuration.
        clip: shape of the clips.
        width: channels of the first stage of each of its networks.
        labels: number of labels; 0 where there are none.
        beside: how many of the clips' channels, the last ones, are what they were made from: the flow is of the
            others.
    """

    def __init__(self, critic: CriticConfig, clip: ClipConfig, width: int, labels: int, beside: int = 0) -> None:
        super().__init__()
        self.own = clip.channels - beside
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
        self.project = nn.Embedding(labels, EMBEDDING) if labels and critic.labels == "projection" else None
        self.name = nn.Linear(EMBEDDING, labels) if labels and critic.labels == "classify" else None

    def forward(self, x: Tensor, label: Tensor | None = None, gaps: Tensor | None = None) -> Verdict:
        """Judge clips; one logit for each, (B,)."""
        level = self.levels(x)
        features, e = self.embedder(level)
        m = self.motion(horn_schunck(x[:, : self.own]) if self.source == "flow" else _change(features))
        phi = leaky_relu(self.phi(self.trunk(level).flatten(1)), LEAK)
        known = self.from_embedding(e) + self.from_motion(m)
        if self.project is not None:
            known = known + self.project(label)
        logits = self.out(torch.cat([phi, e, m], dim=1)).squeeze(1) + (known * phi).sum(dim=1)
        return Verdict(logits, None if self.name is None else self.name(relu(phi)))


def _change(features: Tensor) -> Tensor:
    """Return the change from frame to frame; of a single frame, the frame."""
    return features[:, :, 1:] - features[:, :, :-1] if features.shape[2] > 1 else features
