from __future__ import annotations

import dataclasses

import pytest
import torch
from torch.optim import Adam

from footage.config import GanConfig
from footage.models.adversarial.critics import anneal, penalty_part
from footage.models.adversarial.gan import Gan
from footage.models.base import Batch, PlainEngine
from tests.models import tiny_config


def test_burn_in_runs_from_strong_and_quick_to_gentle() -> None:
    gan = GanConfig(burn_in=100, beta2=0.99)
    optimizer = Adam([torch.nn.Parameter(torch.zeros(1))], 4e-4)
    found = []
    for clips in (0, 50, 100, 5_000):
        anneal(gan, [(optimizer, 4e-4)], clips)
        group = optimizer.param_groups[0]
        found.append((group["lr"], *group["betas"], penalty_part(gan, clips)))
    for row, known in zip(
        found,
        [(4e-4, 0.0, 0.9, 1.0), (2.5e-4, 0.0, 0.945, 0.625), (1e-4, 0.0, 0.99, 0.25), (1e-4, 0.0, 0.99, 0.25)],
        strict=True,
    ):
        assert row == pytest.approx(known)


def test_without_a_burn_in_nothing_changes() -> None:
    optimizer = Adam([torch.nn.Parameter(torch.zeros(1))], 4e-4, betas=(0.5, 0.95))
    anneal(GanConfig(), [(optimizer, 1.0)], 1_000)
    assert optimizer.param_groups[0]["lr"] == 4e-4 and optimizer.param_groups[0]["betas"] == (0.5, 0.95)
    assert penalty_part(GanConfig(), 1_000) == 1


def test_a_gan_follows_its_burn_in_and_critics_keep_their_own_rates() -> None:
    plain = tiny_config("stream-32")
    critics = (plain.critics[0], dataclasses.replace(plain.critics[1], lr=8e-4))
    config = dataclasses.replace(plain, critics=critics, gan=dataclasses.replace(plain.gan, burn_in=4))
    gan = Gan(config, 0)
    gan.build_optimizers()
    clips = torch.randn(2, config.clip.channels, config.clip.frames, config.clip.height, config.clip.width)
    logs = [gan.step(Batch(clips, None, torch.Generator(), 2), seen, PlainEngine()) for seen in (0, 8)]
    rates = {name: optimizer.param_groups[0]["lr"] for name, optimizer in gan.optimizers.items()}
    assert rates == pytest.approx({"generator": 7.5e-5, "critic_sparse": 7.5e-5, "critic_clip": 2e-4})
    assert all(torch.isfinite(value) for log in logs for value in log.values())
