from __future__ import annotations

import dataclasses
import itertools
import json
import math
from pathlib import Path

import pytest
import torch
from rich.console import Console

import footage
from footage.config import ClipConfig, Config, CriticConfig, LearnConfig
from footage.config.presets import PRESETS, preset
from footage.config.registry import METHODS
from footage.errors import ConfigError
from footage.models.base import Batch, Generates, PlainEngine
from footage.models.device import ComputeDevice
from footage.models.diffusion import DiffusionConfig
from footage.models.diffusion.edm import (
    SIGMA_DATA,
    Denoiser,
    Diffusion,
    DiffusionSampler,
    heun,
    loss_weight,
    noise_levels,
    preconditioning,
)
from footage.models.requests import VideoRequest
from footage.training.comparison import Limit, compare
from footage.training.cost import FlopCount, made_flops
from tests.models import save_tiny_model, tiny_config

SMALL = Config(
    method="diffusion",
    clip=ClipConfig(frames=4, height=16, width=16),
    net=DiffusionConfig(width=8, steps=4),
    learn=LearnConfig(lr=3e-3, warm_up=0, decay=0, ema=0.0),
    critics=(),
)
SIGMAS = torch.tensor([0.002, 0.1, 0.5, 3.0, 80.0], dtype=torch.double)


def make(config: Config = SMALL, labels: int = 0) -> tuple[Diffusion, Denoiser]:
    torch.manual_seed(0)
    method = METHODS["diffusion"](config, labels)
    denoiser = method.nets["generator"]
    assert isinstance(method, Diffusion) and isinstance(denoiser, Denoiser)
    method.build_optimizers()
    return method, denoiser


@torch.no_grad()
def silence(denoiser: Denoiser) -> None:
    """Let the network find nothing, F = 0."""
    for weight in (*denoiser.leave.parameters(), *denoiser.direct.parameters()):
        weight.zero_()


def sampler_of(method: Diffusion) -> DiffusionSampler:
    sampler = method.sampler()
    assert isinstance(sampler, DiffusionSampler) and isinstance(sampler, Generates)
    return sampler


def test_input_and_target_of_the_network_have_unit_variance_at_every_level() -> None:
    scales = preconditioning(SIGMAS)
    torch.testing.assert_close(scales.enter.square() * (SIGMAS.square() + SIGMA_DATA**2), torch.ones_like(SIGMAS))
    torch.testing.assert_close(scales.out.square() * loss_weight(SIGMAS), torch.ones_like(SIGMAS))
    torch.testing.assert_close(scales.noise, SIGMAS.log() / 4)
    rng = torch.Generator().manual_seed(0)
    data, noise = torch.randn(2, 100_000, 1, dtype=torch.double, generator=rng)
    target = (data * SIGMA_DATA - scales.skip * (data * SIGMA_DATA + SIGMAS * noise)) / scales.out
    torch.testing.assert_close(target.std(0), torch.ones_like(SIGMAS), atol=0.01, rtol=0)


def test_without_noise_a_clip_stays_and_with_nothing_but_noise_it_is_forgotten() -> None:
    _, denoiser = make()
    noisy = torch.randn(2, *denoiser.shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(denoiser.denoise(noisy, torch.full((2,), 1e-6)), noisy, atol=1e-4, rtol=0)
        far = denoiser.denoise(80 * noisy, torch.full((2,), 80.0))
        silence(denoiser)
        nothing = denoiser.denoise(80 * noisy, torch.full((2,), 80.0))
    assert far.std() < 3 * SIGMA_DATA
    torch.testing.assert_close(nothing, noisy * 80 * SIGMA_DATA**2 / (80**2 + SIGMA_DATA**2))


def test_each_level_costs_one_before_anything_is_learned() -> None:
    method, denoiser = make()
    clips = 0.3 + 0.6 * torch.randn(64, *denoiser.shape, generator=torch.Generator().manual_seed(0))
    method.calibrate([clips])
    silence(denoiser)
    output = method.forward_step(Batch(clips, None, torch.Generator().manual_seed(0), 64), 0, judged=True)
    assert float(output.loss.detach()) == pytest.approx(1.0, abs=0.01) and not output.judged


def test_levels_are_those_of_the_paper() -> None:
    levels = noise_levels(18)
    assert len(levels) == 19 and levels[-1] == 0
    assert float(levels[0]) == pytest.approx(80, rel=1e-5) and float(levels[-2]) == pytest.approx(0.002, rel=1e-4)
    roots = levels[:-1] ** (1 / 7)
    torch.testing.assert_close(roots.diff(), roots.diff().mean().expand(17), atol=1e-5, rtol=1e-4)


def test_heun_gives_samples_of_a_normal_distribution() -> None:
    mean, sd = 0.7, 0.3
    calls = []

    def denoise(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        calls.append(float(sigma))
        return (sd**2 * x + sigma**2 * mean) / (sd**2 + sigma**2)  # E[y | y + sigma n]

    noise = torch.randn(50_000, dtype=torch.double, generator=torch.Generator().manual_seed(0))
    errors = []
    for steps in (18, 72, 144, 288):
        calls.clear()
        levels = noise_levels(steps).double()
        samples = heun(denoise, noise, levels)
        assert len(calls) == 2 * steps - 1 and 0 not in calls
        # The equation is linear, d(x - m) = sigma / (sigma² + sd²) (x - m) dsigma, and so is the method's every step.
        slope, factor = [float(level / (level**2 + sd**2)) for level in levels], 1.0
        for number, step in enumerate(levels.diff().tolist()):
            here, there = slope[number], slope[number + 1]
            factor *= 1 + step * (here if number == steps - 1 else (here + there * (1 + step * here)) / 2)
        torch.testing.assert_close(samples, mean + (levels[0] * noise - mean) * factor)
        exact = mean + (levels[0] * noise - mean) * sd / (sd**2 + levels[0] ** 2).sqrt()  # and so it is solved
        errors.append(float((samples - exact).abs().max()))
    assert float(samples.mean()) == pytest.approx(mean, abs=0.01)
    assert float(samples.std()) == pytest.approx(sd, rel=0.01)
    assert errors[0] < 0.12 and all(3 < coarse / fine < 5 for coarse, fine in itertools.pairwise(errors[1:]))


def test_a_clip_follows_from_its_own_seed_and_label() -> None:
    method, _ = make(labels=2)
    sampler = sampler_of(method)
    assert (sampler.classes, sampler.sliders, sampler.endless, sampler.hop) == (2, 0, False, 3)
    requests = [VideoRequest(seed, label) for seed, label in ((5, (1.0, 0.0)), (2**40, (0.0, 1.0)), (5, (0.5, 0.5)))]
    together = sampler.segments(requests)
    first, second = next(together), next(together)
    assert first.shape == (3, 3, 4, 16, 16) and first.abs().max() <= 1
    for row, request in enumerate(requests):
        alone = sampler.segments([request])
        torch.testing.assert_close(next(alone)[0], first[row], atol=1e-4, rtol=0)
        torch.testing.assert_close(next(alone)[0], second[row], atol=1e-4, rtol=0)
    assert (first[0] - first[1]).abs().mean() > 0.05 < (first[0] - second[0]).abs().mean()
    assert (first[0] - first[2]).abs().max() > 1e-3, "a mixture of labels is another"


def test_a_video_becomes_that_of_another_seed() -> None:
    method, _ = make()
    sampler = sampler_of(method)
    way = sampler.segments([VideoRequest(3, to_seed=17, frames=4 + 2 * sampler.hop)])
    begins, between, ends = next(way), next(way), next(way)
    for clip, seed in ((begins, 3), (ends, 17)):
        torch.testing.assert_close(clip, next(sampler.segments([VideoRequest(seed)])), atol=1e-4, rtol=0)
    spread = between.std() / begins.std()
    assert 0.8 < spread < 1.25, "halfway the noise is as strong as at the ends"


def test_it_learns_what_labels_look_like() -> None:
    small = dataclasses.replace(SMALL, clip=ClipConfig(frames=4, height=8, width=8), net=DiffusionConfig(width=16))
    method, _ = make(small, labels=2)
    labels = torch.tensor([0, 1] * 4)
    level = torch.tensor([-0.8, 0.8])[labels].view(-1, 1, 1, 1, 1)
    clips = level + 0.05 * torch.randn(8, 3, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    method.calibrate([clips])
    losses = []
    for number in range(80):
        batch = Batch(clips, labels, torch.Generator().manual_seed(number), 8)
        losses.append(float(method.step(batch, 8 * number, PlainEngine())["loss"]))
    assert sum(losses[-10:]) < sum(losses[:10]) / 2
    dark, bright = next(sampler_of(method).segments([VideoRequest(0, (1.0, 0.0)), VideoRequest(0, (0.0, 1.0))]))
    assert dark.mean() < -0.5 and bright.mean() > 0.5 and dark.std() < 0.4 > bright.std()


@pytest.mark.parametrize("name", ["diffusion-32", "diffusion-64"])
def test_presets_are_small(name: str) -> None:
    config = PRESETS[name].config
    denoiser = METHODS["diffusion"].sampling_nets(config, 4)["generator"]
    assert 4e6 < sum(weight.numel() for weight in denoiser.parameters()) < 10e6


@pytest.mark.parametrize(
    ("knobs", "words"),
    [
        ({"critics": [{}]}, "critics are given, 1 of them"),
        ({"learn.loss": "l1"}, "learn.loss is 'l1'"),
        ({"learn.weight": 2.0}, "learn.weight is 2.0"),
        ({"net.patch": 3}, "net.patch"),
        ({"net.steps": 1}, "net.steps is 1"),
        ({"clip.width": 72}, "clip.width is 72: .* give 64 or 80"),
    ],
)
def test_what_it_cannot_use_is_refused(knobs: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        preset("diffusion-64", knobs)
    assert dataclasses.replace(SMALL, clip=ClipConfig(frames=3, height=24, width=32)).clip.frames == 3
    with pytest.raises(ConfigError):
        dataclasses.replace(SMALL, critics=(CriticConfig(),))


def test_clips_are_made_by_the_verbs(tmp_path: Path) -> None:
    save_tiny_model(tmp_path / "model", preset="diffusion-32", clip__frames=4)
    model = footage.load(tmp_path / "model")
    one, two = model.generate(2, seed=6, label="run")
    (again,) = model.generate(1, seed=7, label="run")
    assert one.array().shape == (4, 32, 32, 3) and (again.array() == two.array()).all()
    assert next(model.generate(1, frames=11, label="walk")).array().shape[0] == 11
    footage.generate(tmp_path / "model", to=tmp_path / "clips", count=2, quiet=True)
    assert len(list((tmp_path / "clips").glob("*.mp4"))) == 2
    with pytest.raises(ConfigError, match="no function of time"):
        footage.generate(tmp_path / "model", to=tmp_path / "more", timing=footage.Timing(loop="1s"), quiet=True)


@pytest.mark.nightly
def test_a_comparison_says_what_a_made_clip_costs(tmp_path: Path) -> None:
    names = ("conv3d-32", "diffusion-32")
    configs = [dataclasses.replace(tiny_config(name, clip__frames=4), preset=name) for name in names]
    forward = {}
    for config in configs:
        net = METHODS[config.method].sampling_nets(config, 3)["generator"].eval()
        label = torch.zeros(1, dtype=torch.int64)
        with FlopCount() as count, torch.no_grad():
            if isinstance(net, Denoiser):
                net.denoise(torch.zeros(1, *net.shape), torch.ones(1), label)
            else:
                net({"z": torch.zeros(1, 8)}, label)
        forward[config.preset] = count.total
    assert configs[1].net.steps == 2  # type: ignore[attr-defined]
    limit, console = Limit(flops=1e9), Console(quiet=True)
    found = compare("shapes", configs, tmp_path / "out", limit=limit, seed=0, samples=16, console=console)
    rows = {row["preset"]: row for row in found.models}
    assert all(row["status"] == "done" and row["figures"]["motion_ratio"] > 0 for row in rows.values())
    assert rows["conv3d-32"]["clips_seen"] * rows["conv3d-32"]["flop_per_clip"] >= 1e9
    assert rows["diffusion-32"]["critics"] == 0
    # A label as weights over labels, as samplers give it, is a product with their table.
    products = {name: 2 * 3 * size for name, size in (("conv3d-32", 4), ("diffusion-32", 8))}
    assert rows["conv3d-32"]["flop_per_made_clip"] == forward["conv3d-32"] + products["conv3d-32"]
    assert rows["diffusion-32"]["flop_per_made_clip"] == 3 * (forward["diffusion-32"] + products["diffusion-32"])
    head = (tmp_path / "out" / "comparison.md").read_text(encoding="utf-8")
    assert "GFLOP a clip, trained on / made ↓" in head
    stored = json.loads((tmp_path / "out" / "comparison.json").read_text(encoding="utf-8"))
    assert stored["models"][1]["flop_per_made_clip"] > 0


def test_every_pass_of_the_sampler_counts() -> None:
    place = ComputeDevice("cpu", bf16=False)
    flops = [made_flops(tiny_config("diffusion-32", net__steps=steps), 0, place) for steps in (2, 18)]
    assert flops[1] / flops[0] == pytest.approx(35 / 3) and math.isfinite(flops[0])
