from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor, nn

from footage.config import ClipConfig, Config, CriticConfig, GanConfig
from footage.config.presets import preset, tiny
from footage.models.adversarial.critics import Critics
from footage.models.adversarial.penalties import critic_gradient
from footage.models.base import Batch
from footage.models.layers import CriticOutput
from footage.models.translators import source_clip

CLIP = ClipConfig(frames=8, height=16, width=16)
EXACT = GanConfig(r1=1.0, r2=1.0, gradient_penalty=10.0, penalty_every=1)
FINITE = GanConfig(r1=1.0, r2=1.0, sigma=0.1, penalty_every=1)
VIEWS = {
    "clip": CriticConfig(width=4),
    "frames": CriticConfig(sees="frames", width=4),
    "sparse": CriticConfig(sees="sparse", frames=3, width=4),
    "difference": CriticConfig(sees="difference", width=4),
}


class Weighing(nn.Module):
    """A critic with a weight for each of C channels, in each of k groups of them."""

    def __init__(self, weights: Tensor) -> None:
        super().__init__()
        self.weights = nn.Parameter(weights)

    def forward(self, x: Tensor, label: Tensor | None = None, gaps: Tensor | None = None) -> CriticOutput:
        weights = self.weights.repeat(x.shape[1] // len(self.weights)).view(-1, *[1] * (x.ndim - 2))
        return CriticOutput((weights * x.square()).flatten(1).sum(1), None)


def translating(view: str, gan: GanConfig, source: str = "edges") -> Config:
    config = tiny(preset("translate-64", {"task.source": source}))
    return dataclasses.replace(config, clip=CLIP, gan=gan, critics=(VIEWS[view],))


def noise(channels: int, seed: int) -> Tensor:
    return torch.rand(4, channels, 8, 16, 16, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def penalties_of(config: Config, weights: Tensor) -> dict[str, Tensor]:
    """Return what a critic with these weights pays, by the penalty's name."""
    clip = config.judged_clip
    (critic_loss,) = Critics(config, 0, clip, 4).losses.values()
    shown = noise(clip.channels, 0), noise(clip.channels, 1)
    batch = Batch(shown[0], None, torch.Generator().manual_seed(2), 4)
    net = Weighing(weights)
    _, log = critic_loss.critic_loss(net, critic_loss.views(batch, *shown), batch, 1.0)
    names = ("r1", "r2", "gradient_penalty", "temporal")
    return {name: log[key] for name in names if (key := f"{critic_loss.name}_{name}") in log}


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("source", ["edges", "blur", "first-frame"])
@pytest.mark.parametrize("gan", [EXACT, FINITE], ids=["exact", "finite"])
def test_translators_critics_pay_for_the_clip_and_not_for_its_source(view: str, source: str, gan: GanConfig) -> None:
    config = translating(view, gan, source)
    given = source_clip(CLIP, config.task).channels
    own, beside = torch.tensor([0.01, -0.02, 0.03]), torch.full((given,), 0.5)
    nothing = torch.zeros(3)
    deaf = penalties_of(config, torch.cat([nothing, beside]))
    assert {name: float(value) for name, value in deaf.items() if name != "gradient_penalty"} == {"r1": 0, "r2": 0}
    if gan is EXACT:
        torch.testing.assert_close(deaf["gradient_penalty"], torch.tensor(1.0))  # (|0| - 1)^2, whatever it weighs
    both, alone = (penalties_of(config, torch.cat([own, rest])) for rest in (beside, 0 * beside))
    assert both.keys() == alone.keys()
    for name, value in both.items():
        assert value > 0
        # Finite differences are of large logits, where the source counts.
        torch.testing.assert_close(value, alone[name], rtol=1e-4 if gan is EXACT else 0.05, atol=0)


def test_steps_of_the_source_are_not_penalised() -> None:
    config = translating("clip", GanConfig(r1=0.0, temporal=1.0, penalty_every=1))
    assert penalties_of(config, torch.tensor([0, 0, 0, 0.5]))["temporal"] == 0
    assert penalties_of(config, torch.tensor([0.1, 0, 0, 0.5]))["temporal"] > 0


@pytest.mark.parametrize("view", VIEWS)
def test_a_gans_critics_pay_for_all_that_they_see(view: str) -> None:
    config = dataclasses.replace(tiny(preset("conv3d-32")), clip=CLIP, gan=EXACT, critics=(VIEWS[view],))
    weights = torch.tensor([0.01, -0.02, 0.03])
    (critic_loss,) = Critics(config, 0, CLIP, 4).losses.values()
    real, fake = noise(3, 0), noise(3, 1)
    batch = Batch(real, None, torch.Generator().manual_seed(2), 4)
    seen = critic_loss.views(batch, real, fake).real.inputs.requires_grad_(True)
    whole = critic_gradient(Weighing(weights)(seen).logits, seen)
    expected = whole.flatten(1).square().sum(1).mean()
    torch.testing.assert_close(penalties_of(config, weights)["r1"], expected.detach())
