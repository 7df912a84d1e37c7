from __future__ import annotations

import dataclasses

import pytest
import torch

from footage.config import Config
from footage.methods import METHODS
from footage.methods.base import Batch, PlainEngine
from footage.methods.gan import Gan
from footage.presets import PRESETS, preset, tiny


def make(config: Config, labels: int) -> Gan:
    torch.manual_seed(0)
    method = METHODS[config.method](config, labels)
    method.build_optimizers()
    return method


def batch(config: Config, labels: int, seed: int, size: int = 2) -> Batch:
    rng = torch.Generator().manual_seed(seed)
    clip = config.clip
    clips = torch.rand(size, clip.channels, clip.frames, clip.height, clip.width, generator=rng) * 2 - 1
    return Batch(clips, torch.arange(size) % labels if labels else None, rng, size)


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("labels", [0, 2])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_preset_trains_two_steps(name: str, labels: int, channels: int) -> None:
    config = tiny(PRESETS[name].config)
    config = dataclasses.replace(config, clip=dataclasses.replace(config.clip, channels=channels))
    method = make(config, labels)
    before = {key: value.clone() for key, value in method.nets.state_dict().items()}
    for number in range(2):
        log = method.step(batch(config, labels, number), number * 2, PlainEngine())
        assert {"critic_loss", "generator_loss"} <= set(log)
        assert all(torch.isfinite(value) for value in log.values())
    changed = [key for key, value in method.nets.state_dict().items() if not torch.equal(value, before[key])]
    assert set(changed) == set(before), "every weight should move"
    segment = next(method.sampler().segments([1, 2], [0, 1] if labels else None))
    clip = config.clip
    assert segment.shape == (2, channels, clip.frames, clip.height, clip.width)
    assert segment.abs().max() <= 1


def test_generator_learns_at_every_kth_step_only() -> None:
    config = tiny(preset("conv3d-32", {"gan.critic_steps": 3}))
    method = make(config, 0)
    moved = []
    for number in range(6):
        before = method.nets["generator"].start.weight.clone()
        method.step(batch(config, 0, number), number * 2, PlainEngine())
        moved.append(not torch.equal(before, method.nets["generator"].start.weight))
    assert moved == [False, False, True, False, False, True]


def test_penalty_comes_at_every_nth_step() -> None:
    config = tiny(preset("conv3d-32", {"gan.penalty_every": 2}))
    method = make(config, 0)
    logs = [method.step(batch(config, 0, number), number * 2, PlainEngine()) for number in range(4)]
    assert ["r1" in log for log in logs] == [True, False, True, False]


def test_generator_step_leaves_no_gradient_in_the_critic() -> None:
    config = tiny(preset("conv3d-32"))
    method = make(config, 0)
    step = batch(config, 0, 0)
    fakes = method.nets["generator"](torch.randn(2, config.net.latent), None)
    method.optimizers["critic"].zero_grad(set_to_none=True)
    method._generator_step(step, fakes, 0, PlainEngine())
    assert all(p.grad is None for p in method.nets["critic"].parameters())
    assert all(p.requires_grad for p in method.nets["critic"].parameters())


def test_gan_learns_a_constant_colour() -> None:
    config = tiny(preset("conv3d-32", {"clip.frames": 4, "clip.height": 8, "clip.width": 8, "gan.ema": 50.0}))
    config = dataclasses.replace(config, gan=dataclasses.replace(config.gan, lr=2e-3, critic_lr=2e-3, r1=1.0))
    method = make(config, 0)
    for number in range(150):
        clips = torch.full((8, 3, 4, 8, 8), 0.6)
        method.step(Batch(clips, None, torch.Generator().manual_seed(number), 8), number * 8, PlainEngine())
    made = next(method.sampler().segments(list(range(16)), None))
    assert abs(float(made.mean()) - 0.6) < 0.15
