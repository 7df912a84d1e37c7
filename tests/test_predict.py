from __future__ import annotations

import dataclasses
import itertools
from typing import cast

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from footage.config import (
    ClipConfig,
    Config,
    CriticConfig,
    GanConfig,
    KlConfig,
    LearnConfig,
    NetConfig,
    TaskConfig,
    TrainConfig,
)
from footage.config.presets import preset
from footage.config.registry import ARCHITECTURES
from footage.errors import ConfigError
from footage.models.base import Batch, PlainEngine
from footage.models.predictors.convlstm import ConvLstmConfig
from footage.models.predictors.convlstm.network import fetch
from footage.models.predictors.predict import FutureSampler, Predict, Predictor
from footage.models.predictors.simvp import SimVpConfig
from footage.models.predictors.sprites import SpritesConfig
from footage.models.predictors.svg import SvgConfig
from footage.models.predictors.svg.network import Svg, divergence
from footage.training.diagnostics import judge_samples, sample_figures

PAST, FUTURE = 4, 3
NETS: dict[str, NetConfig] = {
    "convlstm": ConvLstmConfig(width=8, layers=2, patch=2, surprise=True),
    "simvp": SimVpConfig(width=8, hidden=16, layers=1),
    "sprites": SpritesConfig(side=8, width=8, features=8, motion=8),
    "svg": SvgConfig(width=8, latent=3, code=16, hidden=16),
}
CERTAIN = ("convlstm", "simvp", "sprites")


def configured(kind: str, height: int = 16, width: int = 16, critics: bool = False, past: int = PAST) -> Config:
    return Config(
        method="predict",
        clip=ClipConfig(frames=past + FUTURE, height=height, width=width, channels=1),
        net=NETS[kind],
        learn=LearnConfig(lr=5e-3, warm_up=0, decay=2_000, ema=100),
        kl=KlConfig(beta=1e-4, ramp=0),
        task=TaskConfig(past=past),
        critics=(CriticConfig(width=4), CriticConfig(sees="sparse", frames=3, width=4)) if critics else (),
        gan=GanConfig(r1=1.0),
        train=TrainConfig(batch_size=2),
    )


def built(config: Config, seed: int = 0) -> Predict:
    torch.manual_seed(seed)
    method = Predict(config, 0)
    method.build_optimizers()
    for numbers in method.nets["generator"].parameters():
        if not numbers.any():  # it begins at zero, and would hide what comes before it
            torch.nn.init.normal_(numbers, std=0.1)
    return method


def network(method: Predict) -> Predictor:
    return cast(Predictor, method.nets["generator"])


def noise_of(net: Predictor, clips: Tensor) -> dict[str, Tensor]:
    rng = torch.Generator().manual_seed(5)
    shapes = net.noise(clips.shape[2])
    return {name: torch.randn(len(clips), *shape, generator=rng, dtype=clips.dtype) for name, shape in shapes.items()}


def squares(count: int, frames: int, rng: torch.Generator, side: int = 16) -> Tensor:
    """Bright 4×4 squares on black, (B, 1, T, side, side), which go a pixel a frame to the right or down, and round."""
    clips = torch.full((count, 1, frames, side, side), -1.0)
    starts = torch.randint(0, side, (count, 2), generator=rng).tolist()
    downs = torch.randint(0, 2, (count,), generator=rng).tolist()
    for clip, (top, left), down in zip(clips, starts, downs, strict=True):
        for number in range(frames):
            rows = [(top + down * number + i) % side for i in range(4)]
            columns = [(left + (1 - down) * number + i) % side for i in range(4)]
            clip[0, number, torch.tensor(rows)[:, None], torch.tensor(columns)] = 1.0
    return clips


def clips_of(config: Config, count: int = 3) -> Tensor:
    clip, rng = config.clip, torch.Generator().manual_seed(1)
    return torch.rand(count, clip.channels, clip.frames, clip.height, clip.width, generator=rng) * 2 - 1


def taken(sampler: FutureSampler, past: Tensor, seeds: list[int], frames: int) -> Tensor:
    """Take the first frames of the futures."""
    made: list[Tensor] = []
    for chunk in sampler.futures(past, seeds):
        made.append(chunk)
        if sum(part.shape[2] for part in made) >= frames:
            break
    return torch.cat(made, dim=2)[:, :, :frames]


def test_every_predictor_is_tested_here() -> None:
    assert set(NETS) == {kind for kind, net in ARCHITECTURES.items() if net.method == "predict"}


@pytest.mark.parametrize("past", [1, PAST])
@pytest.mark.parametrize("kind", NETS)
def test_one_future_frame_for_each_that_there_is(kind: str, past: int) -> None:
    config = configured(kind, past=past)
    net, clips = network(built(config)), clips_of(config)
    made = net(clips, noise_of(net, clips), None)
    assert made.future.shape == (3, 1, FUTURE, 16, 16) and torch.isfinite(made.future).all()
    if kind in CERTAIN:
        assert made.divergence is None and net.noise(FUTURE) == {}
    else:
        assert made.divergence.shape == (3,)
    future = taken(FutureSampler(config.clip, net), clips[:, :, :past], [0, 1, 2], FUTURE)
    assert future.shape == made.future.shape and future.abs().max() <= 1


@pytest.mark.parametrize("size", [(16, 16), (30, 34)])
@pytest.mark.parametrize("kind", CERTAIN)
def test_rolled_out_is_what_is_made_in_training(kind: str, size: tuple[int, int]) -> None:
    config = configured(kind, *size)
    net, clips = network(built(config)), clips_of(config)
    with torch.no_grad():
        made = net(clips, {}, None).future
        state, frames = net.begin(clips[:, :, :PAST]), []
        while sum(part.shape[2] for part in frames) < FUTURE:
            part, state = net.advance(state, None)
            frames.append(part)
    assert made.shape == clips[:, :, PAST:].shape
    torch.testing.assert_close(torch.cat(frames, dim=2), made, atol=1e-5, rtol=0)


def test_stochastic_roll_out_is_that_of_training_where_both_see_the_same() -> None:
    """With the posterior's beliefs in place of the prior's, and one future frame, nothing else differs."""
    config = dataclasses.replace(configured("svg"), clip=ClipConfig(frames=PAST + 1, height=16, width=16, channels=1))
    net, clips = cast(Svg, network(built(config))), clips_of(config)
    for belief in (net.prior, net.posterior):
        torch.nn.init.zeros_(belief.leave.weight)
        torch.nn.init.zeros_(belief.leave.bias)
    noise = noise_of(net, clips)
    noise["z"][:, :-1] = 0  # the past's codes are means in use
    with torch.no_grad():
        made = net(clips, noise, None).future
        frame, _ = net.advance(net.begin(clips[:, :, :PAST]), noise["z"][:, -1])
    torch.testing.assert_close(frame, made, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", NETS)
def test_roll_outs_have_no_end_and_their_memory_does_not_grow(kind: str) -> None:
    config = configured(kind)
    net = network(built(config)).eval()
    with torch.no_grad():
        for weight in net.parameters():
            weight *= 1.5  # no longer tame
        clips = clips_of(config)
        state = net.begin(clips[:, :, :PAST])
        shapes = [part.shape for part in state]
        assert all(len(part) == len(clips) for part in state)
        for _ in range(3 * config.clip.frames):
            noise = torch.randn(3, *net.noise(1)["z"][1:]) if net.noise(1) else None
            frames, state = net.advance(state, noise)
            assert [part.shape for part in state] == shapes
    assert torch.isfinite(frames).all()
    future = taken(FutureSampler(config.clip, net), clips[:, :, :PAST], [0, 1, 2], 3 * config.clip.frames)
    assert future.shape[2] == 3 * config.clip.frames and torch.isfinite(future).all()


@pytest.mark.parametrize("kind", NETS)
def test_a_future_follows_from_its_own_past_and_seed(kind: str) -> None:
    config = configured(kind)
    sampler = FutureSampler(config.clip, network(built(config)))
    past = clips_of(config)[:, :, :PAST]
    together = taken(sampler, past, [7, 8, 9], 6)
    assert torch.equal(taken(sampler, past, [7, 8, 9], 6), together)
    alone = taken(sampler, past[1:2], [8], 6)
    torch.testing.assert_close(together[1:2], alone, atol=1e-5, rtol=0)
    other = taken(sampler, past, [7, 18, 9], 6)
    assert sampler.certain == (kind in CERTAIN)
    assert torch.equal(other[[0, 2]], together[[0, 2]])
    assert torch.equal(other[1], together[1]) == sampler.certain


@pytest.mark.parametrize("kind", NETS)
def test_preview_begins_with_the_past(kind: str) -> None:
    config = configured(kind)
    clips = clips_of(config)
    shown = built(config).sampler().preview(clips, None)
    assert list(shown) == ["predicted", "real"] and shown["predicted"].shape == clips.shape
    assert torch.equal(shown["predicted"][:, :, :PAST], clips[:, :, :PAST])


def test_true_frames_are_looked_at_where_they_are_shown_only() -> None:
    config = configured("convlstm")
    net, clips = network(built(config)), clips_of(config)
    changed = clips.clone()
    changed[:, :, PAST] *= -1  # the first future frame
    always = torch.ones(3, FUTURE, dtype=torch.bool)
    once = always.clone()
    once[1:] = False  # the first clip alone

    def differs(shown: Tensor | None) -> Tensor:
        with torch.no_grad():
            gap = net(changed, {}, shown).future - net(clips, {}, shown).future
        return gap.abs().amax(dim=(1, 3, 4)) > 0  # B F

    assert not differs(None).any()
    assert not differs(~always).any()
    assert torch.equal(differs(always), torch.tensor([[False, True, True]] * 3))
    assert torch.equal(differs(once), torch.tensor([[False, True, True], [False] * 3, [False] * 3]))


def test_fewer_true_frames_are_shown_as_training_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    config = dataclasses.replace(configured("convlstm"), task=TaskConfig(past=PAST, truth=1_000))
    method, clips = built(config), clips_of(config)
    net, shares = network(method), []
    plain = net.forward

    def spied(clips: Tensor, noise: dict[str, Tensor], shown: Tensor | None, rehearse: bool) -> object:
        shares.append(None if shown is None else float(shown.double().mean()))
        return plain(clips, noise, shown)

    monkeypatch.setattr(net, "forward", spied)
    wide = clips.repeat(40, 1, 1, 1, 1)
    for seen in (0, 500, 1_000, 2_000):
        method.forward_step(Batch(wide, None, torch.Generator().manual_seed(0), len(wide)), seen, True)
    assert shares[0] == 1 and shares[1] == pytest.approx(0.5, abs=0.1) and shares[2:] == [None, None]


def test_divergence_is_kullback_and_leiblers() -> None:
    rng = torch.Generator().manual_seed(0)
    numbers = torch.randn(4, 2, 5, 3, generator=rng)
    mean, spread, prior_mean, prior_spread = numbers
    found = divergence(mean, spread, prior_mean, prior_spread)
    posterior, prior = Normal(mean, (spread / 2).exp()), Normal(prior_mean, (prior_spread / 2).exp())
    torch.testing.assert_close(found, kl_divergence(posterior, prior))
    assert (found >= 0).all() and torch.equal(divergence(mean, spread, mean, spread), torch.zeros_like(mean))


def test_divergence_is_summed_over_a_clip_and_zero_where_the_posterior_knows_no_more() -> None:
    config = configured("svg")
    net, clips = cast(Svg, network(built(config))), clips_of(config)
    noise = noise_of(net, clips)
    codes, _ = net._encode(clips)
    beliefs = [*net._belief(net.posterior, codes[:, 1:]), *net._belief(net.prior, codes[:, :-1])]
    found = net(clips, noise, None).divergence
    torch.testing.assert_close(found, divergence(*beliefs).flatten(1).sum(dim=1))
    assert (found > 0).all()
    for belief in (net.prior, net.posterior):
        torch.nn.init.zeros_(belief.leave.weight)
        torch.nn.init.constant_(belief.leave.bias, 0.3)
    assert float(net(clips, noise, None).divergence.detach().abs().max()) < 1e-6


@pytest.mark.parametrize("kind", NETS)
def test_predictors_learn_what_moves(kind: str) -> None:
    config = configured(kind)
    method, rng = built(config), torch.Generator().manual_seed(3)
    method.calibrate([squares(32, config.clip.frames, rng)])
    for number in range(150):
        clips = squares(8, config.clip.frames, rng)
        method.step(Batch(clips, None, torch.Generator().manual_seed(number), 8), number * 8, PlainEngine())
    unseen = squares(32, config.clip.frames, rng)
    made = method.sampler().preview(unseen, None)["predicted"][:, :, PAST:]
    real, last = unseen[:, :, PAST:], unseen[:, :, PAST - 1 : PAST]
    error, copied = float((made - real).square().mean()), float((last - real).square().mean())
    assert error < 0.7 * copied, f"{error:.4f} beside {copied:.4f} of the last frame"


@pytest.mark.parametrize("kind", NETS)
def test_critics_judge_the_whole_clip_and_teach_beside_the_examples(kind: str) -> None:
    config = configured(kind, critics=True)
    method, clips = built(config), clips_of(config, 2)
    net = network(method)
    step = Batch(clips, None, torch.Generator().manual_seed(0), 2)
    output = method.forward_step(step, 0, True)
    ((real, fake),) = output.judged.values()
    assert torch.equal(real, clips) and torch.equal(fake[:, :, :PAST], clips[:, :, :PAST])
    assert not torch.equal(fake[:, :, PAST:], clips[:, :, PAST:])
    views, log = method.critics[""].update(dict(method.nets), method.optimizers, step, (real, fake), 0, PlainEngine())
    assert set(views) == {"critic_clip", "critic_sparse"} and {"clip_real", "sparse_fake"} <= set(log)
    sources = {"examples": output.loss} | {
        name: method.critics[""].generator_loss(method.nets, {name: view}) for name, view in views.items()
    }
    for name, loss in sources.items():
        gradients = torch.autograd.grad(loss, list(net.parameters()), retain_graph=True, allow_unused=True)
        size = sum(float(gradient.square().sum()) for gradient in gradients if gradient is not None)
        assert size > 1e-12, f"nothing is learned from {name}"


def test_clips_without_a_future_are_refused() -> None:
    for name, frames in itertools.product(("convlstm-64", "svg-64", "simvp-gan-64"), (8, 10)):
        with pytest.raises(ConfigError, match=f"task.past is 10, and clips of {frames} frames leave none") as caught:
            preset(name, {"clip.frames": frames})
        assert f"--task.past {frames // 2}" in str(caught.value)


def test_size_that_the_frames_of_svg_cannot_have_is_refused_with_the_next_ones() -> None:
    with pytest.raises(ConfigError, match="give 28 or 32"):
        built(configured("svg", 30, 34))


def test_only_what_was_predicted_is_judged() -> None:
    sampler = built(configured("simvp")).sampler()
    reals = clips_of(configured("simvp"))
    shown = sampler.preview(reals, None)["predicted"]
    assert sampler.given == PAST and torch.equal(shown[:, :, :PAST], reals[:, :, :PAST])
    moving = torch.randn(8, 1, 12, 16, 16, generator=torch.Generator().manual_seed(0)).cumsum(2) / 4
    still = torch.cat([moving[:, :, :9], moving[:, :, 8:9].expand(-1, -1, 3, -1, -1)], dim=2)
    assert not judge_samples(sample_figures(still, moving)), "most of it is real"
    (sign,) = judge_samples(sample_figures(still[:, :, 9:], moving[:, :, 9:]))
    assert sign.kind == "frozen"


@pytest.mark.parametrize("kind", NETS)
def test_roll_outs_stay_finite_for_ever(kind: str) -> None:
    method = built(configured(kind))
    with torch.no_grad():
        for weight in method.averages["generator"].module.parameters():
            weight.mul_(3)  # a network that makes everything larger
    sampler = method.sampler()
    assert isinstance(sampler, FutureSampler)
    past = clips_of(configured(kind))[:, :, :PAST]
    for frames in itertools.islice(sampler.futures(past, range(len(past))), 300):
        assert torch.isfinite(frames).all() and frames.abs().max() <= 1


def test_error_of_what_has_seen_the_future_has_a_name_of_its_own() -> None:
    for kind in NETS:
        config = configured(kind)
        clips = clips_of(config)
        log = built(config).step(Batch(clips, None, torch.Generator(), len(clips)), 0, PlainEngine())
        assert ("posterior_mse" in log, "frame_mse" in log) == ((kind not in CERTAIN), kind in CERTAIN)


def test_rates_of_critics_fall_with_that_of_the_network() -> None:
    config = configured("simvp", critics=True)
    method = built(config)
    clips = clips_of(config)
    for seen in (0, config.learn.decay):
        method.step(Batch(clips, None, torch.Generator(), len(clips)), seen, PlainEngine())
        rates = {name: optimizer.param_groups[0]["lr"] for name, optimizer in method.optimizers.items()}
        part = 1.0 if seen == 0 else 0.01
        assert rates["generator"] == pytest.approx(config.learn.lr * part)
        assert rates["critic_clip"] == pytest.approx(config.gan.critic_lr * part)


@pytest.mark.parametrize("patch", [1, 2, 4, 8])
@pytest.mark.parametrize("copies", [0, 1, 2])
def test_pixels_are_moved_whatever_the_patch(patch: int, copies: int) -> None:
    config = dataclasses.replace(
        configured("convlstm"), net=ConvLstmConfig(width=4, layers=1, patch=patch, copies=copies)
    )
    clips = clips_of(config)
    made = network(built(config))(clips, {}, None, True)
    assert made.future.shape == clips[:, :, PAST:].shape and made.rehearsed.shape == clips[:, :, 1:PAST].shape


def test_surprise_is_nothing_at_first_then_told_of_true_frames_alone() -> None:
    config = configured("convlstm")
    plain = dataclasses.replace(config, net=dataclasses.replace(config.net, surprise=False))
    net, other, clips = network(built(config)), network(built(plain)), clips_of(config)
    other.load_state_dict({key: value for key, value in net.state_dict().items() if not key.startswith("notice")})
    with torch.no_grad():
        assert (net(clips, {}, None).future - other(clips, {}, None).future).abs().max() > 1e-3
        net.notice.weight.zero_()
        assert torch.equal(net(clips, {}, None).future, other(clips, {}, None).future)
    told: list[Tensor] = []
    net.notice.register_forward_pre_hook(lambda layer, given: told.append(given[0]))
    made = net(clips, {}, None, rehearse=True)
    made.future.square().sum().backward()
    assert net.notice.weight.grad.abs().sum() > 0, "it is learned from what it was for"
    assert len(told) == PAST and not told[0].any(), "nothing was predicted before the first frame"
    missed = clips[:, :, 1:PAST] - made.rehearsed.clamp(-1, 1)
    for number, patches in enumerate(told[1:]):
        torch.testing.assert_close(patches, torch.nn.functional.pixel_unshuffle(missed[:, :, number], 2))


def test_kernels_fetch_from_where_they_point() -> None:
    frame = torch.randn(2, 1, 3, 6, 7, generator=torch.Generator().manual_seed(0))
    kernel = torch.zeros(2, 1, 5, 6, 7)
    kernel[:, :, 4] = 1  # two pixels on
    down, across = fetch(frame, kernel, 3), fetch(frame, kernel, 4)
    assert torch.equal(down[..., :4, :], frame[..., 2:, :]) and torch.equal(down[..., 4, :], frame[..., 5, :])
    assert torch.equal(across[..., :5], frame[..., 2:]) and torch.equal(across[..., 5], frame[..., 6])
    spread = torch.full((2, 1, 5, 6, 7), 0.2)
    torch.testing.assert_close(
        fetch(frame, spread, 3)[..., 2:4, :].mean(), torch.stack([frame[..., k : k + 2, :] for k in range(5)]).mean()
    )


def test_the_past_is_rehearsed_for_a_while_and_changes_nothing_of_the_future() -> None:
    config = configured("convlstm")
    method, clips = built(config), clips_of(config)
    with_past, without = (network(method)(clips, {}, None, rehearse) for rehearse in (True, False))
    torch.testing.assert_close(with_past.future, without.future)
    assert without.rehearsed is None and with_past.rehearsed is not None
    early, late = (
        method.forward_step(Batch(clips, None, torch.Generator(), len(clips)), seen, False) for seen in (0, 20_000)
    )
    torch.testing.assert_close(early.log["frame_mse"], late.log["frame_mse"])
    past = method.difference(with_past.rehearsed, clips[:, :, 1:PAST])
    torch.testing.assert_close(early.loss, late.loss + past)
