from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import pytest
import torch
from torch import nn

from footage.config import ClipConfig, Config, CriticConfig, GanConfig
from footage.config.presets import PRESETS, preset, tiny
from footage.config.registry import ADVERSARIAL, LOSSES, METHODS
from footage.errors import ConfigError
from footage.models.adversarial.critic_loss import CriticInputs
from footage.models.adversarial.critics import Critics
from footage.models.adversarial.gan import Gan
from footage.models.base import Batch, Method, PlainEngine, VideoRequest
from footage.models.generators.cascade.network import Cascade
from footage.models.generators.conv3d import Conv3dConfig
from footage.models.generators.mlp import MlpConfig
from footage.models.generators.recurrent import RecurrentConfig
from footage.models.generators.stream import StreamConfig
from footage.training.diagnostics import judge_critics, remedies


def make(config: Config, labels: int) -> Gan:
    torch.manual_seed(0)
    method = METHODS[config.method](config, labels)
    method.build_optimizers()
    assert isinstance(method, Gan)
    return method


def batch(config: Config, labels: int, seed: int, size: int = 2, heldout: bool = False) -> Batch:
    rng = torch.Generator().manual_seed(seed)
    clip, crop = config.net.read_clip(config.clip), config.net.detail_crop
    read = clip.channels + config.guides
    clips = torch.rand(size, read, clip.frames, clip.height, clip.width, generator=rng) * 2 - 1
    named = torch.arange(size) % labels if labels else None
    crops = torch.rand(size, clip.channels, crop, crop, generator=rng) * 2 - 1 if crop else None
    return Batch(clips, named, rng, size, crops=crops, heldout=(clips.flip(0), named) if heldout else None)


def critics_of(method: Method) -> list[Critics]:
    """The groups of critics that are shown whole clips."""
    method = method.base if isinstance(method, Cascade) else method
    groups = {"": method.critics} if isinstance(method, Gan) else method.critics
    return [critics for name, critics in groups.items() if name != "latent"]


SMALL = Config(
    clip=ClipConfig(frames=8, height=16, width=16),
    net=Conv3dConfig(latent=8, label=4, width=4),
    critics=(CriticConfig(width=4),),
    gan=GanConfig(r1=0.0, penalty_every=1),
)
GENERATORS = {
    "mlp": MlpConfig(latent=8, label=4, width=4),
    "conv3d": SMALL.net,
    "two streams": Conv3dConfig(latent=8, label=4, width=4, streams=2),
    "conv3d, concatenated": Conv3dConfig(latent=8, label=4, width=4, mix="concatenate"),
    "gru": RecurrentConfig(content=8, motion=4, hidden=4, label=4, width=4),
    "lstm": RecurrentConfig(content=8, motion=4, hidden=4, label=4, width=4, cell="lstm"),
    "stream": StreamConfig(content=8, processes=4, points=4, groups=2, codes=16, label=4, width=4),
    "deforming": StreamConfig(content=8, processes=4, points=4, groups=2, codes=16, width=4, deform=True),
    "shots": StreamConfig(content=8, processes=4, points=4, groups=2, codes=16, label=4, width=4, shot=9, palette=0),
    "concatenated": RecurrentConfig(content=8, motion=4, hidden=4, label=4, width=4, mix="concatenate"),
}
CRITICS = {
    "clip": CriticConfig(),
    "clip, valid": CriticConfig(time="valid"),
    "clip, classify": CriticConfig(labels="classify"),
    "half size": CriticConfig(shrink=2),
    "patches": CriticConfig(patch=True),
    "frames": CriticConfig(sees="frames"),
    "patches of frames": CriticConfig(sees="frames", patch=True),
    "sparse": CriticConfig(sees="sparse", frames=3),
    "difference": CriticConfig(sees="difference"),
    "mlp": CriticConfig(net="mlp"),
    "flow": CriticConfig(net="embed_motion"),
    "encoder": CriticConfig(net="embed_motion", motion="encoder", labels="classify"),
    "two streams": CriticConfig(net="two_stream"),
}
NETWORKS = {f"generator {name}": dataclasses.replace(SMALL, net=net) for name, net in GENERATORS.items()}
NETWORKS |= {
    f"critic {name}": dataclasses.replace(SMALL, critics=(dataclasses.replace(critic, width=4),))
    for name, critic in CRITICS.items()
}
PENALTIES: dict[str, dict[str, object]] = {
    "none": {},
    "r1": {"r1": 1.0},
    "r2": {"r2": 1.0},
    "both by differences": {"r1": 1.0, "r2": 1.0, "sigma": 0.05},
    "gradient penalty": {"gradient_penalty": 10.0},
    "temporal": {"temporal": 1.0, "r1": 0.1},
    "clipped": {"clip_weights": 0.01, "optimizer": "rmsprop"},
    "avoid": {"r1": 1.0, "periodicity": "avoid"},
    "loop": {"r1": 1.0, "periodicity": "loop", "period": 4},
}


def refused(config: Config, loss: str, penalty: str) -> bool:
    """Whether the combination is not defined."""
    (critic,) = config.critics
    return (
        (loss == "wasserstein" and penalty == "none")
        or (loss != "wasserstein" and penalty == "clipped")
        or (loss == "relativistic" and critic.patch)
        or (penalty == "temporal" and critic.sees != "clip")
    )


@pytest.mark.parametrize(
    "part", [0, pytest.param(1, marks=pytest.mark.nightly), pytest.param(2, marks=pytest.mark.nightly)]
)
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_with_every_loss_and_penalty(name: str, loss: str, part: int) -> None:
    """A third of all combinations, in which any two of network, loss and penalty meet, by day; the others at night."""
    plain, first = NETWORKS[name], list(NETWORKS).index(name) + list(LOSSES).index(loss) + part
    for penalty, knobs in list(PENALTIES.items())[first % 3 :: 3]:
        settings = {"loss": loss, "penalty_every": 1, "r1": 0.0, **knobs}
        if refused(plain, loss, penalty):
            with pytest.raises(ConfigError):
                dataclasses.replace(plain, gan=GanConfig(**settings))  # type: ignore[arg-type]
            continue
        config = dataclasses.replace(plain, gan=GanConfig(**settings))  # type: ignore[arg-type]
        method = make(config, 2)
        before = {key: value.clone() for key, value in method.nets.state_dict().items()}
        for number in range(2):
            log = method.step(batch(config, 2, number), number * 2, PlainEngine())
            assert all(torch.isfinite(value) for value in log.values()), (penalty, log)
        for net in method.nets:
            moved = [k for k, v in method.nets[net].state_dict().items() if not torch.equal(v, before[f"{net}.{k}"])]
            assert moved, f"{net} does not learn with {penalty}"


def preset_cases() -> list[Any]:
    """Return each preset with labels and colour, and the first of its kind without, those of the others at night."""
    seen, cases = set(), []
    for name, known in PRESETS.items():
        kind = known.config.method, type(known.config.net)
        night = [pytest.mark.nightly] if kind in seen else []
        cases += [pytest.param(2, 3, name), pytest.param(0, 1, name, marks=night)]
        seen.add(kind)
    return cases


@pytest.mark.parametrize(("labels", "channels", "name"), preset_cases())
def test_every_preset_trains_two_steps(labels: int, channels: int, name: str) -> None:
    config = tiny(PRESETS[name].config)
    size = {"frames": 32, "height": 32, "width": 32} if name == "volume-128" else {}  # it is for GPUs
    config = dataclasses.replace(config, clip=dataclasses.replace(config.clip, channels=channels, **size))
    labels = labels if config.takes_labels else 0
    torch.manual_seed(0)
    method = METHODS[config.method](config, labels)
    method.build_optimizers()
    for key, weight in method.nets.named_parameters():
        if key.endswith(
            ".alpha"
        ):  # of what is added to a source, 0 at first: what is behind it learns once it has grown
            weight.data.fill_(1.0)
    before = {key: value.detach().clone() for key, value in method.nets.named_parameters()}
    for number in range(2):
        log = method.step(batch(config, labels, number, heldout=True), number * 2, PlainEngine())
        assert ("generator_loss" if config.method in ADVERSARIAL else "loss") in log
        assert sum(key.endswith("_heldout_gap") for key in log) == sum(
            len(critics.losses) for critics in critics_of(method)
        )
        assert all(torch.isfinite(value) for value in log.values())
    changed = [key for key, value in method.nets.named_parameters() if not torch.equal(value, before[key])]
    # Relativistic critics compare: what is added to all logits makes no difference.
    idle = {key for key in before if key.endswith("out.bias")} if config.gan.loss == "relativistic" else set()
    assert set(before) - set(changed) <= idle, "every other weight should move"
    shown = batch(config, labels, 2)
    for clips in method.sampler().preview(shown.clips, shown.labels).values():
        clip = config.clip
        assert clips.shape[1:] == (channels, clip.frames, clip.height, clip.width)
        assert clips.abs().max() <= 1


def test_each_critic_has_its_own_schedule() -> None:
    critics = (CriticConfig(width=4, steps=3), CriticConfig(sees="frames", width=4, steps=1))
    config = dataclasses.replace(SMALL, critics=critics, gan=GanConfig(r1=1.0, penalty_every=3))
    method = make(config, 0)
    penalised: dict[str, int] = {}
    for number in range(18):  # 6 rounds: 18 updates of the one critic, 6 of the other
        for key in method.step(batch(config, 0, number), number * 2, PlainEngine()):
            penalised[key] = penalised.get(key, 0) + key.endswith("r1")
    assert (penalised["clip_r1"], penalised["frames_r1"]) == (6, 2), "at every third of its own updates"
    moved: dict[str, list[bool]] = {name: [] for name in method.nets}
    for number in range(6):
        before = {name: next(net.parameters()).clone() for name, net in method.nets.items()}
        method.step(batch(config, 0, number), number * 2, PlainEngine())
        for name, net in method.nets.items():
            moved[name].append(not torch.equal(before[name], next(net.parameters())))
    last = [False, False, True] * 2
    assert moved == {"generator": last, "critic_clip": [True] * 6, "critic_frames": last}


def test_each_critic_has_its_own_rate_and_weight() -> None:
    critics = (CriticConfig(width=4, lr=1e-3), CriticConfig(width=4, weight=3.0))
    method = make(dataclasses.replace(SMALL, critics=critics), 0)
    rates = {name: optimizer.param_groups[0]["lr"] for name, optimizer in method.optimizers.items()}
    assert rates == {"generator": 2e-4, "critic_clip1": 1e-3, "critic_clip2": 2e-4}
    step = batch(SMALL, 0, 0)
    losses = []
    for name in ("critic_clip1", "critic_clip2"):
        method.nets[name].load_state_dict(method.nets["critic_clip1"].state_dict())
        views = method.critics.losses[name].views(step, step.clips, step.clips)
        losses.append(float(method.critics.losses[name].generator_loss(method.nets[name], views).detach()))
    assert losses[1] == pytest.approx(3 * losses[0])


def test_penalties_come_at_every_nth_step_n_times_as_strong(monkeypatch: pytest.MonkeyPatch) -> None:
    config = dataclasses.replace(SMALL, gan=GanConfig(r1=1.0, penalty_every=2))
    method = make(config, 0)
    critic_loss = method.critics.losses["critic_clip"]
    strengths: list[float] = []
    original = critic_loss.critic_loss

    def noted(
        net: nn.Module, views: CriticInputs, step: Batch, strength: float
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        strengths.append(strength)
        return original(net, views, step, strength)

    monkeypatch.setattr(critic_loss, "critic_loss", noted)
    logs = [method.step(batch(config, 0, number), number * 2, PlainEngine()) for number in range(4)]
    assert ["clip_r1" in log for log in logs] == [True, False, True, False]
    assert strengths == [2, 0, 2, 0]
    step = batch(config, 0, 9)
    views = critic_loss.views(step, step.clips, step.clips)
    with_penalty, log = critic_loss.critic_loss(method.nets["critic_clip"], views, step, 2.0)
    without, _ = critic_loss.critic_loss(method.nets["critic_clip"], views, step, 0.0)
    torch.testing.assert_close(with_penalty - without, 2 * 0.5 * log["clip_r1"])


def test_generator_step_leaves_no_gradient_in_the_critics() -> None:
    method = make(SMALL, 0)
    critic = method.nets["critic_clip"]

    class ClearingEngine(PlainEngine):
        def backward(self, loss: torch.Tensor) -> None:
            critic.zero_grad(set_to_none=True)
            super().backward(loss)

    log = method.step(batch(SMALL, 0, 0), 0, ClearingEngine())
    assert "generator_loss" in log, "the generator's backward is the last"
    assert all(p.grad is None for p in critic.parameters())
    assert all(p.requires_grad for p in critic.parameters())


def test_mask_of_two_streams_counts_in_the_loss() -> None:
    made = [
        make(dataclasses.replace(SMALL, net=Conv3dConfig(latent=8, width=4, streams=2, mask=mask)), 0).nets[
            "generator"
        ]({"z": torch.ones(1, 8)})
        for mask in (0.1, 0.2)
    ]
    assert 0 < float(made[0].penalty.detach()) < 0.1
    torch.testing.assert_close(made[1].penalty, 2 * made[0].penalty)


def test_part_of_a_process_is_a_part_of_the_whole() -> None:
    whole = Batch(torch.zeros(4, 3, 8, 16, 16), None, torch.Generator().manual_seed(5), 4)
    drawn = whole.normal(3)
    halves = [
        Batch(torch.zeros(2, 3, 8, 16, 16), None, torch.Generator().manual_seed(5), 4, first).normal(3)
        for first in (0, 2)
    ]
    assert torch.equal(torch.cat(halves), drawn)


def test_gan_learns_a_constant_colour() -> None:
    config = tiny(preset("conv3d-32", {"clip.frames": 4, "clip.height": 8, "clip.width": 8, "gan.ema": 50.0}))
    config = dataclasses.replace(config, gan=dataclasses.replace(config.gan, lr=2e-3, critic_lr=2e-3, r1=1.0))
    method = make(config, 0)
    for number in range(150):
        clips = torch.full((8, 3, 4, 8, 8), 0.6)
        method.step(Batch(clips, None, torch.Generator().manual_seed(number), 8), number * 8, PlainEngine())
    made = next(method.sampler().segments([VideoRequest(seed) for seed in range(16)]))
    assert abs(float(made.mean()) - 0.6) < 0.15


def test_held_out_gap_tells_a_critic_that_knows_the_clips_by_heart() -> None:
    config = dataclasses.replace(SMALL, gan=GanConfig(r1=0.0, lr=1e-9, critic_lr=5e-3))
    method = make(config, 0)
    known = torch.rand(4, 3, 8, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    unseen = torch.rand(4, 3, 8, 16, 16, generator=torch.Generator().manual_seed(1)) * 2 - 1
    gaps = []
    for heldout in (known, unseen):
        for number in range(150):  # fakes from noise of the same kind: only by heart can real ones be told apart
            step = Batch(known, None, torch.Generator().manual_seed(number), 4, heldout=(heldout, None))
            views = method.critics.losses["critic_clip"].views(step, known, torch.rand_like(known) * 2 - 1)
            loss, _ = method.critics.losses["critic_clip"].critic_loss(method.nets["critic_clip"], views, step, False)
            method.optimizers["critic_clip"].zero_grad(set_to_none=True)
            PlainEngine().backward(loss)
            method.optimizers["critic_clip"].step()
        (gap,) = (
            method.critics.losses["critic_clip"].heldout_gap(method.nets["critic_clip"], views, step, heldout).values()
        )
        gaps.append(float(gap))
    assert abs(gaps[0]) < 1e-3 and gaps[1] > 1
    loss = SMALL.gan.loss
    names = {sign.kind for sign in judge_critics({"clip_real": 5.0, "clip_fake": -5.0, "clip_heldout_gap": 9.0}, loss)}
    assert names == {"critic won", "learned by heart"} and names <= set(remedies(SMALL.method))
    assert judge_critics({"clip_real": 0.5, "clip_fake": -0.5, "clip_heldout_gap": 0.9}, loss) == [], "mostly noise"
    assert judge_critics({"clip_real": 25.0, "clip_fake": -25.0}, "wasserstein") == [], "its logits are distances"


def test_refusals_name_value_and_reason() -> None:
    for knobs, words in (
        ({"gan.loss": "wasserstein", "gan.r1": 0.0}, "no bound"),
        ({"gan.clip_weights": 0.01}, "Wasserstein"),
        ({"gan.sigma": 0.1, "gan.r1": 0.0}, "finite differences"),
        ({"gan.loss": "relativistic", "critics.0.patch": True}, "partner"),
        ({"gan.temporal": 1.0, "critics.0.sees": "sparse"}, "change from frame to frame"),
        ({"gan.periodicity": "loop", "gan.period": 16}, "never comes back"),
        ({"critics.0.net": "mlp", "critics.0.patch": True}, "only conv"),
        ({"critics.0.net": "mlp", "critics.0.time": "valid"}, "no such time"),
        ({"critics.0.shrink": 3}, "divisor of 32"),
        ({"critics.0.shrink": 8}, "at least 8 pixels"),
        ({"critics.0.sees": "frames", "critics.0.frames": 40}, "clips have 16"),
        ({"critics.0.time": "valid", "clip.frames": 8}, None),
    ):
        if words is None:
            with pytest.raises(ConfigError, match="2 more"):
                make(preset("conv3d-32", knobs), 0)
        else:
            with pytest.raises(ConfigError, match=words):
                preset("conv3d-32", knobs)


def test_every_generator_is_the_same_for_a_label_and_its_one_hot_mixture() -> None:
    for (name, net), labels in itertools.product(GENERATORS.items(), (3,)):
        method = make(dataclasses.replace(SMALL, net=net), labels)
        noise = {key: torch.randn(2, *shape) for key, shape in method.shapes.items()}
        generator = method.nets["generator"]
        single = generator(noise, torch.tensor([0, 2])).clips
        mixed = generator(noise, torch.tensor([[1.0, 0, 0], [0, 0, 1]])).clips
        assert torch.equal(single, mixed), name
        half = generator(noise, torch.tensor([[0.5, 0.5, 0], [0, 0, 1]])).clips
        assert not torch.equal(half[0], single[0]) and torch.equal(half[1], single[1])


def test_relativistic_generator_compares_with_the_critic_as_it_is_now() -> None:
    config = dataclasses.replace(SMALL, gan=GanConfig(loss="relativistic", r1=0.0))
    method = make(config, 0)
    critic_loss, net = method.critics.losses["critic_clip"], method.nets["critic_clip"]
    step = batch(config, 0, 0)
    views = critic_loss.views(step, step.clips, step.clips.flip(0))
    critic_loss.critic_loss(net, views, step, False)
    with torch.no_grad():
        net.out.bias += 7.0  # common to both: what is compared does not change
        net.out.weight *= 2.0
        real, fake = (net(x).logits for x in (step.clips, step.clips.flip(0)))
    torch.testing.assert_close(critic_loss.generator_loss(net, views), torch.nn.functional.softplus(real - fake).mean())


def test_calibration_gives_the_levels_of_the_data() -> None:
    method = make(SMALL, 0)
    scale, shift = torch.tensor([0.1, 0.2, 0.3]), torch.tensor([-0.9, 0.0, 0.5])
    batches = [torch.randn(2, 3, 8, 16, 16) * scale.view(-1, 1, 1, 1) + shift.view(-1, 1, 1, 1) for _ in range(3)]
    method.calibrate(iter(batches))
    for net in (method.nets["generator"], method.nets["critic_clip"], method.averages["generator"].module):
        torch.testing.assert_close(net.levels.mean, shift, atol=0.02, rtol=0)
        torch.testing.assert_close(net.levels.sd, scale, atol=0.02, rtol=0)
    levels = method.nets["generator"].levels
    numbers = levels(batches[0])
    assert abs(float(numbers.mean())) < 0.1 and abs(float(numbers.std()) - 1) < 0.1
    torch.testing.assert_close(levels.pixels(numbers), batches[0])
