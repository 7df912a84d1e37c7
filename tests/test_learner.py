from __future__ import annotations

import dataclasses
import itertools

import pytest
import torch
from torch import Tensor

from footage.config import ClipConfig, Config, CriticConfig, GanConfig, LearnConfig, TaskConfig
from footage.errors import ConfigError
from footage.models.base import Batch, PlainEngine
from footage.models.predictors.convlstm import ConvLstmConfig
from footage.models.predictors.predict import Predict
from footage.models.supervised import LOWEST, rate

CONFIG = Config(
    method="predict",
    clip=ClipConfig(frames=6, height=16, width=16),
    net=ConvLstmConfig(width=4, layers=1),
    learn=LearnConfig(lr=1e-3, warm_up=0, decay=1_000),
    task=TaskConfig(past=3),
    critics=(CriticConfig(width=4), CriticConfig(sees="sparse", frames=3, width=4)),
    gan=GanConfig(r1=1.0),
)


def configured(**knobs: object) -> Config:
    return dataclasses.replace(CONFIG, learn=dataclasses.replace(CONFIG.learn, **knobs))  # type: ignore[arg-type]


def built(config: Config) -> Predict:
    torch.manual_seed(0)
    method = Predict(config, 0)
    method.build_optimizers()
    return method


def step(method: Predict, clips_seen: int) -> dict[str, Tensor]:
    """Make one step on two clips of noise, with others held out."""
    rng = torch.Generator().manual_seed(clips_seen)
    clips, heldout = (torch.rand(2, 3, 6, 16, 16, generator=rng) * 2 - 1 for _ in range(2))
    return method.step(Batch(clips, None, rng, 2, heldout=(heldout, None)), clips_seen, PlainEngine())


def weights(method: Predict, name: str) -> Tensor:
    return torch.cat([weight.detach().flatten() for weight in method.nets[name].parameters()]).clone()


def test_rate_rises_linearly_over_the_warm_up() -> None:
    assert [rate(seen, 4, 100) for seen in range(4)] == [0.25, 0.5, 0.75, 1.0]
    assert rate(4, 4, 100) == 1.0
    assert rate(0, 0, 100) == 1.0


def test_rate_falls_to_its_lowest_and_stays_there() -> None:
    course = [rate(seen, 1_000, 5_000) for seen in range(1_000, 5_001, 100)]
    assert course[0] == 1.0 and course[-1] == pytest.approx(LOWEST)
    assert all(later < earlier for earlier, later in itertools.pairwise(course))
    assert course[len(course) // 2] == pytest.approx((1 + LOWEST) / 2)  # half a cosine
    assert rate(5_001, 1_000, 5_000) == rate(10**9, 1_000, 5_000) == pytest.approx(LOWEST)


def test_rate_without_a_fall() -> None:
    assert rate(10, 10, 0) == rate(10**9, 10, 0) == rate(0, 0, 0) == 1.0 and rate(4, 10, 0) == 0.5
    with pytest.raises(ConfigError, match=r"learn.decay is 10: give 0, or more than learn.warm_up, 10"):
        LearnConfig(warm_up=10, decay=10)


def test_steps_are_made_at_the_rate_of_the_schedule() -> None:
    method = built(configured(warm_up=8, decay=100))
    for seen in (0, 2, 50, 200):
        step(method, seen)
        (group,) = method.optimizers["generator"].param_groups
        assert group["lr"] == 1e-3 * rate(seen, 8, 100)
        for name in method.critics[""].nets:
            (group,) = method.optimizers[name].param_groups
            assert group["lr"] == CONFIG.gan.critic_lr * rate(seen, 8, 100), "a rate of their own, the same fall"


@pytest.mark.parametrize("limit", [0.0, 1e-4])
def test_gradients_are_not_longer_than_the_limit(limit: float) -> None:
    method = built(configured(clip_gradient=limit))
    step(method, 0)
    gradients = [weight.grad.flatten() for weight in method.nets["generator"].parameters() if weight.grad is not None]
    length = float(torch.cat(gradients).norm())
    if limit:
        assert length == pytest.approx(limit, rel=1e-2)
    else:
        assert length > 1e-2


def test_critics_begin_when_they_are_to() -> None:
    method = built(configured(critics_after=4))
    critics = list(method.critics[""].nets)
    names = method.critics[""].names
    before = {name: weights(method, name) for name in critics}
    mine = weights(method, "generator")
    for seen in (0, 2):
        log = step(method, seen)
        assert not [key for key in log if key.startswith(tuple(names))], "no figure of a critic that does nothing"
        assert "heldout_frame_mse" in log
    for name in critics:
        assert torch.equal(weights(method, name), before[name])
    assert not torch.equal(weights(method, "generator"), mine), "the examples teach from the beginning"
    log = step(method, 4)
    for name in names:
        assert {f"{name}_loss", f"{name}_real", f"{name}_fake", f"{name}_heldout_gap"} <= log.keys()
    for name in critics:
        assert not torch.equal(weights(method, name), before[name])
