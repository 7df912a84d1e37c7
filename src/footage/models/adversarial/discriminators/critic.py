"""Critics: a trunk that gives features, and a head that judges them. No normalisation: they may carry penalties.

Labels by projection (Miyato and Koyama 2018, eq. 3) or by naming them beside judging (Odena et al. 2017).
"""

from __future__ import annotations

import math

from torch import Tensor, nn
from torch.nn.functional import relu

from footage.config import ClipConfig, CriticConfig
from footage.config.tasks import unlimited
from footage.models.adversarial.discriminators.embed_motion import EmbedMotionCritic
from footage.models.adversarial.discriminators.trunks import ConvTrunk, TwoStreamTrunk
from footage.models.adversarial.discriminators.views import seen_shape
from footage.models.generators.mlp import MlpTrunk
from footage.models.layers import Levels, Verdict


class Critic(nn.Module):
    """What `footage.models.adversarial.discriminators.views.look` shows (N, ...), label (N,) -> Verdict.

    Args:
        critic: its configuration.
        clip: shape of the clips.
        width: channels (units, for mlp) of the outermost stage.
        labels: number of labels; 0 where there are none.
        beside: how many of the clips' channels, the last ones, are what they were made from.

    Raises:
        ConfigError: its network cannot be made for such clips.
    """

    def __init__(self, critic: CriticConfig, clip: ClipConfig, width: int, labels: int, beside: int = 0) -> None:
        super().__init__()
        self.patch = critic.patch
        self.changes = critic.sees == "difference"
        self.levels = Levels(seen_shape(critic, clip)[0])
        self.trunk = _trunk(critic, clip, width, beside)
        size = self.trunk.size
        self.out = nn.Linear(size if self.patch else size * math.prod(self.trunk.volume), 1)
        self.project = nn.Embedding(labels, size) if labels and critic.labels == "projection" else None
        self.name = nn.Linear(size, labels) if labels and critic.labels == "classify" else None
        apart = critic.sees == "sparse" and critic.frames > 1
        self.apart = nn.Sequential(nn.Linear(critic.frames - 1, 64), nn.ReLU(), nn.Linear(64, size)) if apart else None

    def forward(self, x: Tensor, label: Tensor | None = None, gaps: Tensor | None = None) -> Verdict:
        """Judge N things; one logit for each (N,), or one for each patch (N, P)."""
        numbers = x / self.levels.sd.view(-1, 1, 1, 1) if self.changes else self.levels(x)
        pixels = (x,) if isinstance(self.trunk, TwoStreamTrunk) else ()
        found: tuple[Tensor, ...] = ()
        if isinstance(self.trunk, ConvTrunk):
            found = self.trunk.stage_features(numbers)
        features: Tensor = found[-1] if found else self.trunk(numbers, *pixels)
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
        return Verdict(logits, None if self.name is None else self.name(relu(pooled)), found)


def _trunk(critic: CriticConfig, clip: ClipConfig, width: int, beside: int) -> ConvTrunk | MlpTrunk | TwoStreamTrunk:
    small = unlimited(clip.frames, clip.height // critic.shrink, clip.width // critic.shrink, clip.channels)
    if critic.net == "mlp":
        return MlpTrunk(small, width)
    if critic.net == "two_stream":
        return TwoStreamTrunk(small, width, beside)
    enter, *shape = seen_shape(critic, clip)
    frames, high, wide = shape
    assert high is not None and wide is not None
    return ConvTrunk(enter, (frames, high, wide), width, patch=critic.patch, valid=critic.time == "valid")


def make_critic(critic: CriticConfig, clip: ClipConfig, width: int, labels: int, beside: int = 0) -> nn.Module:
    """Make a critic's network: all take what is seen, labels and gaps, and give a Verdict."""
    kind = EmbedMotionCritic if critic.net == "embed_motion" else Critic
    return kind(critic, clip, width, labels, beside)
