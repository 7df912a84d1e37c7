from __future__ import annotations

import torch
from torch import nn

from footage.models.base import MovingAverage


def test_half_life_is_counted_in_clips_not_steps() -> None:
    net = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(net.weight)
    averages = [MovingAverage(net, half_life=100) for _ in range(2)]
    nn.init.ones_(net.weight)
    for seen in range(10_000, 10_100, 10):
        averages[0].update(net, seen, 10)
    averages[1].update(net, 10_000, 100)
    for average in averages:
        assert abs(float(average.module.weight.detach()) - 0.5) < 1e-6


def test_average_forgets_the_first_weights_quickly() -> None:
    net = nn.Linear(1, 1, bias=False)
    nn.init.constant_(net.weight, 100.0)
    average = MovingAverage(net, half_life=1e9)
    nn.init.zeros_(net.weight)
    for seen in range(16, 16 * 100, 16):
        average.update(net, seen, 16)
    assert float(average.module.weight.detach()) < 1.0


def test_average_copies_buffers_and_needs_no_gradients() -> None:
    net = nn.BatchNorm1d(2)
    average = MovingAverage(net, half_life=10)
    net(torch.randn(8, 2))
    average.update(net, 100, 8)
    torch.testing.assert_close(average.module.running_mean, net.running_mean)
    assert not any(p.requires_grad for p in average.module.parameters())
