from __future__ import annotations

import dataclasses
import itertools
import math

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from footage.config import ClipConfig, Config, CriticConfig, KlConfig, LearnConfig
from footage.config.presets import PRESETS, override, preset, tiny
from footage.config.registry import METHODS
from footage.errors import ConfigError
from footage.metrics.image_quality import clip_psnr
from footage.models.autoencoders import VaeConfig
from footage.models.autoencoders.vae import VaeSampler, VideoVae, gaussian_nll, standard_kl, with_free_bits
from footage.models.base import Batch, Converts, Encodes, Generates, PlainEngine
from footage.models.requests import VideoRequest

SMALL = Config(
    method="vae",
    clip=ClipConfig(frames=8, height=16, width=16),
    net=VaeConfig(width=4, latent=4, noise=8, label=4),
    critics=(),
    kl=KlConfig(ramp=0),
)
CRITICS = (CriticConfig(width=4), CriticConfig(sees="sparse", frames=3, width=4))
WITH_GAN = dataclasses.replace(SMALL, critics=CRITICS)
LATENT = dataclasses.replace(
    SMALL,
    net=dataclasses.replace(SMALL.net, prior="gan"),
    critics=(CriticConfig(width=4), CriticConfig(net="mlp", width=4)),
)


def make(config: Config, labels: int = 0) -> VideoVae:
    torch.manual_seed(0)
    method = METHODS["vae"](config, labels)
    assert isinstance(method, VideoVae)
    method.build_optimizers()
    return method


def noise_clips(count: int, clip: ClipConfig = SMALL.clip, seed: int = 0) -> torch.Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.rand(count, clip.channels, clip.frames, clip.height, clip.width, generator=rng) * 2 - 1


def moving_squares(count: int, seed: int, size: int = 16, frames: int = 8) -> torch.Tensor:
    """Bright squares on black that go to the right, each from a place and in a colour of its own."""
    rng = torch.Generator().manual_seed(seed)
    clips = torch.full((count, 3, frames, size, size), -1.0)
    for clip in clips:
        top, left = torch.randint(0, size - 4, (2,), generator=rng).tolist()
        colour = torch.rand(3, 1, 1, generator=rng) * 1.5
        for t in range(frames):
            clip[:, t, top : top + 5, (left + t) % (size - 5) : (left + t) % (size - 5) + 5] += colour
    return clips


def sampler_of(method: VideoVae, stirred: bool = True) -> VaeSampler:
    """The sampler of the present weights; stirred, so that layers that begin at zero do something."""
    nets = dict(method.nets)
    if stirred:
        torch.manual_seed(1)
        for weight in method.nets.parameters():
            weight.data += 0.1 * torch.randn_like(weight)
    sampler = method.sampler_of(method.config, nets)
    assert isinstance(sampler, VaeSampler)
    return sampler


def test_parts_of_the_bound_are_those_of_torch_distributions() -> None:
    torch.manual_seed(0)
    x, m = torch.randn(2, 2, 3, 4, 5, 6, dtype=torch.double)
    log_variance = torch.tensor([-1.0, 0.5, 2.0], dtype=torch.double)
    sd = (log_variance / 2).exp().view(-1, 1, 1, 1)
    torch.testing.assert_close(gaussian_nll(x, m, log_variance), -Normal(m, sd).log_prob(x).flatten(1).sum(1))
    spread = torch.randn(2, 3, 4, 5, 6, dtype=torch.double)
    standard = Normal(torch.zeros_like(m), torch.ones_like(m))
    expected = kl_divergence(Normal(m, (spread / 2).exp()), standard).flatten(2).sum(2)
    found = standard_kl(m, spread)
    torch.testing.assert_close(found, expected)
    assert found.shape == (2, 3)
    torch.testing.assert_close(with_free_bits(found, 0.0, 120), expected.sum(1))


def test_free_bits_cost_a_constant_and_give_no_gradient() -> None:
    divergence = torch.tensor([[1.0, 7.0], [4.0, 2.0]], requires_grad=True)
    paid = with_free_bits(divergence, 0.5, 6)  # 3 nats a channel
    assert paid.tolist() == [10.0, 7.0]
    paid.sum().backward()
    assert divergence.grad is not None and divergence.grad.tolist() == [[0, 1], [1, 0]]


def test_psnr_by_hand() -> None:
    x = torch.zeros(2, 3, 4, 8, 8)
    made = x + torch.tensor([0.2, 0.02]).view(2, 1, 1, 1, 1)
    torch.testing.assert_close(clip_psnr(made, x), torch.tensor([20.0, 40.0]))


def test_resolution_does_not_change_what_beta_means() -> None:
    torch.manual_seed(0)
    x, m, log_variance = torch.randn(2, 3, 4, 8, 8), torch.randn(2, 3, 4, 8, 8), torch.tensor([-1.0, 0.0, 1.0])
    mean, spread = torch.randn(2, 4, 1, 2, 2), torch.randn(2, 4, 1, 2, 2)
    tiled_x, tiled_m, tiled_mean, tiled_spread = (part.repeat(1, 1, 1, 2, 2) for part in (x, m, mean, spread))
    nll, kl = gaussian_nll(x, m, log_variance), standard_kl(mean, spread).sum(1)
    tiled_nll, tiled_kl = gaussian_nll(tiled_x, tiled_m, log_variance), standard_kl(tiled_mean, tiled_spread).sum(1)
    torch.testing.assert_close(tiled_nll, 4 * nll)
    torch.testing.assert_close(tiled_kl, 4 * kl)
    torch.testing.assert_close(tiled_nll / tiled_kl, nll / kl)
    # A mean over pixels beside a sum over latent numbers: the divergence would weigh four times as much here.
    mean_nll, tiled_mean_nll = nll / x[0].numel(), tiled_nll / tiled_x[0].numel()
    torch.testing.assert_close(tiled_kl / tiled_mean_nll, 4 * (kl / mean_nll))


def test_loss_is_the_bound_of_a_clip_over_its_values() -> None:
    config = dataclasses.replace(SMALL, kl=KlConfig(beta=3.0, ramp=100))
    method = make(config)
    clips = noise_clips(2)
    for seen, ramp in ((0, 0.0), (50, 0.5), (1000, 1.0)):
        output = method.forward_step(Batch(clips, None, torch.Generator().manual_seed(0), 2), seen, True)
        expected = (output.log["nll"] + 3.0 * ramp * output.log["kl"]) / clips[0].numel()
        torch.testing.assert_close(output.loss.detach(), expected)
    assert not output.judged


def test_latent_volume_and_its_limits() -> None:
    method = make(SMALL)
    coded = method.nets["generator"](noise_clips(2) * 1e6, torch.zeros(2, *method.shape))
    assert method.shape == (4, 2, 2, 2) == coded.mean.shape[1:]
    assert coded.log_variance.min() >= -15 and coded.log_variance.max() <= 5
    vae = method.nets["generator"]
    assert torch.allclose(vae.output_log_variance, torch.full((3,), -3.0), atol=1e-3)
    vae.noise.data.fill_(-100.0)
    assert torch.allclose(vae.output_log_variance, torch.full((3,), -10.0)), (
        "below a grey level there is nothing to gain"
    )


def test_future_frames_change_nothing_before_them() -> None:
    sampler = sampler_of(make(SMALL))
    clips = noise_clips(1, ClipConfig(frames=16, height=16, width=16))
    mean, _ = sampler.vae.encode(clips)
    decoded = sampler.vae.decode(mean)
    for frame in (3, 4, 10, 15):
        other = clips.clone()
        other[:, :, frame] *= -1
        window = frame // 4
        changed, _ = sampler.vae.encode(other)
        assert torch.equal(changed[:, :, :window], mean[:, :, :window])
        assert not torch.allclose(changed[:, :, window], mean[:, :, window])
        again = sampler.vae.decode(changed)
        assert torch.equal(again[:, :, : 4 * window], decoded[:, :, : 4 * window])


@pytest.mark.parametrize("cuts", [(16,), (4, 4, 4, 4), (1,) * 16, (3, 9, 4), (7, 0, 9), (5, 6)])
def test_conversion_is_the_same_however_the_video_is_cut(cuts: tuple[int, ...]) -> None:
    sampler = sampler_of(make(SMALL))
    assert isinstance(sampler, Converts) and sampler.hop == 4
    frames = sum(cuts)
    video = noise_clips(1, ClipConfig(frames=frames, height=16, width=16))
    assert sampler.sources(video) is video
    made = torch.cat(list(sampler.convert(iter(video.split(cuts, dim=2)), seed=0)), dim=2)
    assert made.shape == video.shape
    once = torch.cat(list(sampler.convert([video], seed=1)), dim=2)
    assert torch.equal(made, once)
    filled = torch.cat([video, video[:, :, -1:].expand(-1, -1, -frames % 4, -1, -1)], dim=2)
    offline = sampler.vae.decode(sampler.vae.encode(filled)[0]).clamp(-1, 1)[:, :, :frames]
    torch.testing.assert_close(made, offline, atol=1e-5, rtol=0)


def test_samples_roll_on_as_if_decoded_at_once() -> None:
    sampler = sampler_of(make(SMALL))
    assert isinstance(sampler, Generates) and sampler.endless and sampler.classes == 0
    requests = [VideoRequest(3), VideoRequest(4)]
    segments = sampler.segments(requests)
    video = torch.cat([next(segments) for _ in range(5)], dim=2)
    assert video.shape == (2, 3, 20, 16, 16) and sampler.hop == 4
    rng = torch.Generator().manual_seed(3)
    latents = torch.cat([torch.randn(1, 4, 1, 2, 2, generator=rng) for _ in range(5)], dim=2)
    torch.testing.assert_close(video[:1], sampler.vae.decode(latents).clamp(-1, 1), atol=1e-5, rtol=0)
    alone = sampler.segments([VideoRequest(4)])
    torch.testing.assert_close(next(alone), video[1:, :, :4], atol=1e-5, rtol=0)


def test_samples_change_into_those_of_another_seed() -> None:
    sampler = sampler_of(make(SMALL))
    going, one, other = (
        sampler.segments([request])
        for request in (VideoRequest(3, to_seed=4, frames=16), VideoRequest(3, frames=16), VideoRequest(4))
    )
    pairs = [(next(going), next(one), next(other)) for _ in range(16)]
    torch.testing.assert_close(pairs[0][0], pairs[0][1])
    far = [float((there - here).abs().mean()) for here, _, there in pairs]
    assert far[-1] < 1e-3 * far[0], "once it is there, and the decoder has forgotten, it is the other"


def test_prior_of_its_own_gives_whole_clips_with_labels() -> None:
    method = make(LATENT, 3)
    sampler = sampler_of(method)
    assert isinstance(sampler, Generates) and not sampler.endless and sampler.classes == 3 and sampler.hop == 6
    requests = [VideoRequest(0, (1.0, 0.0, 0.0)), VideoRequest(1, (0.0, 1.0, 0.0)), VideoRequest(0, (0.0, 1.0, 0.0))]
    segments = sampler.segments(requests)
    first, second = next(segments), next(segments)
    assert first.shape == (3, 3, 8, 16, 16) and not torch.equal(first, second)
    assert not torch.allclose(first[0], first[2]), "the label is heard"
    torch.testing.assert_close(next(sampler.segments(requests[1:2])), first[1:2], atol=1e-5, rtol=0)
    shown = sampler.preview(noise_clips(2), torch.tensor([0, 1]))
    assert list(shown) == ["reconstruction", "sample", "real"]
    torch.testing.assert_close(shown["sample"], first[:2], atol=1e-5, rtol=0)


def test_interpolation_ends_at_the_reconstructions() -> None:
    sampler = sampler_of(make(SMALL))
    assert isinstance(sampler, Encodes)
    a, b = noise_clips(2).split(1)
    made = torch.stack(list(sampler.interpolate(a, b, [0, 0.25, 0.5, 0.75, 1])))
    assert made.shape == (5, 3, 8, 16, 16)
    for end, clip in ((made[:1], a), (made[-1:], b)):
        (again,) = [torch.cat(list(sampler.convert([clip], seed=0)), dim=2)]
        torch.testing.assert_close(end, again, atol=1e-5, rtol=0)
    assert all(not torch.equal(x, y) for x, y in itertools.pairwise(made))


def test_embedding_has_eight_numbers_a_channel_and_tells_clips_apart() -> None:
    sampler = sampler_of(make(dataclasses.replace(SMALL, net=VaeConfig(width=4))))
    clips = moving_squares(2, 0)
    near = clips[:1] + 0.02 * torch.randn(clips[:1].shape)
    codes = sampler.embed(torch.cat([clips, near]))
    assert codes.shape == (3, 128)
    apart, together = (codes[0] - codes[1]).norm(), (codes[0] - codes[2]).norm()
    assert apart > 5 * together
    assert sampler.embed(clips[:, :, :5]).shape == (2, 128), "any length"


def test_tiny_vae_learns() -> None:
    learn = LearnConfig(lr=4e-3, warm_up=80, decay=10_000)
    method = make(dataclasses.replace(SMALL, net=VaeConfig(width=8, latent=8), learn=learn, kl=KlConfig(ramp=1_000)))
    clips = moving_squares(4, 0)
    method.calibrate([clips])
    logs = []
    for number in range(150):
        step = Batch(clips, None, torch.Generator().manual_seed(number), 4)
        logs.append(method.step(step, number * 4, PlainEngine()))
    first, last = (
        {key: sum(float(log[key]) for log in part) / 10 for key in logs[0]} for part in (logs[:10], logs[-10:])
    )
    assert last["nll"] < first["nll"] - 4_000
    assert last["loss"] < first["loss"] - 0.4
    assert last["psnr"] > first["psnr"] + 5
    assert last["kl"] > 10, "the code says something"


def state(net: torch.nn.Module) -> list[torch.Tensor]:
    return [weight.detach().clone() for weight in net.parameters()]


def moved(before: list[torch.Tensor], net: torch.nn.Module) -> bool:
    return any(not torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))


def test_prior_learns_from_critics_alone_and_the_vae_from_the_bound_alone() -> None:
    results = []
    for critics_weight, beta in ((1.0, 1.0), (5.0, 1.0), (1.0, 9.0)):
        critics = tuple(dataclasses.replace(critic, weight=critics_weight) for critic in LATENT.critics)
        method = make(dataclasses.replace(LATENT, critics=critics, kl=KlConfig(ramp=0, beta=beta)))
        method.step(Batch(noise_clips(2), None, torch.Generator().manual_seed(0), 2), 0, PlainEngine())
        gradients = {
            name: torch.cat([weight.grad.flatten() for weight in method.nets[name].parameters()])  # type: ignore[union-attr]
            for name in ("generator", "prior")
        }
        results.append(gradients)
    plain, stricter, steeper = results
    assert torch.equal(plain["generator"], stricter["generator"])
    assert not torch.allclose(plain["prior"], stricter["prior"], rtol=0.1)
    assert torch.equal(plain["prior"], steeper["prior"])
    assert not torch.allclose(plain["generator"], steeper["generator"], rtol=0.1)
    assert min(float(g.norm()) for g in (plain["prior"], plain["generator"])) > 0


def test_critics_of_latents_are_not_told_the_levels_of_pixels() -> None:
    method = make(LATENT)
    clips = noise_clips(4) * 0.1 + 0.5
    method.calibrate([clips])
    torch.testing.assert_close(method.nets["generator"].levels.mean, clips.mean(dim=(0, 2, 3, 4)))
    torch.testing.assert_close(method.averages["generator"].module.levels.mean, clips.mean(dim=(0, 2, 3, 4)))
    for name in ("prior", "critic_latent_clip", "critic_latent_mlp"):
        assert torch.equal(method.nets[name].levels.mean, torch.zeros(4)), name


def test_both_panels_of_the_vae_gan_learn_and_teach() -> None:
    method = make(WITH_GAN)
    assert set(method.critics) == {"posterior", "prior"}
    assert [n for n in method.nets if n != "generator"] == [
        f"critic_{critics}_{critic}" for critics in ("posterior", "prior") for critic in ("clip", "sparse")
    ]
    before = {name: state(net) for name, net in method.nets.items()}
    step = Batch(noise_clips(2), None, torch.Generator().manual_seed(0), 2, heldout=(noise_clips(2, seed=1), None))
    log = method.step(step, 0, PlainEngine())
    assert all(moved(before[name], net) for name, net in method.nets.items())
    for key in ("nll", "kl", "psnr"):
        assert key in log and f"heldout_{key}" in log
    assert {"posterior_clip_heldout_gap", "prior_sparse_heldout_gap"} <= set(log)
    with_critics = [weight.grad.clone() for weight in method.nets["generator"].decoder.parameters()]
    alone = make(SMALL)
    alone.nets["generator"].load_state_dict(make(WITH_GAN).nets["generator"].state_dict())
    alone.step(Batch(noise_clips(2), None, torch.Generator().manual_seed(0), 2), 0, PlainEngine())
    without = [weight.grad for weight in alone.nets["generator"].decoder.parameters()]
    assert not all(torch.allclose(a, b) for a, b in zip(with_critics, without, strict=True))


def test_what_a_vae_cannot_be_is_refused() -> None:
    for name, knobs, words in (
        ("vae-64", {"clip.frames": 18}, "multiple of 4"),
        ("vae-64", {"clip.height": 60}, "multiple of 8"),
        ("vae-64", {"net.prior": "gan"}, "no critic"),
        ("vae-latent-64", {"clip.height": 72}, "once: give 64 or 80"),
        ("vae-latent-64", {"critics.0.net": "embed_motion"}, "latent volume has none"),
        ("vae-latent-64", {"critics.0.shrink": 2}, "small already"),
        ("vae-latent-64", {"augment.probability": 0.3}, "judge latent volumes"),
    ):
        with pytest.raises(ConfigError, match=words):
            preset(name, knobs)


@pytest.mark.parametrize("size", [(24, 40), (8, 8)])
def test_any_multiple_of_eight_will_do(size: tuple[int, int]) -> None:
    knobs = {"clip.frames": 4, "clip.height": size[0], "clip.width": size[1]}
    method = make(override(tiny(PRESETS["vae-64"].config), knobs))
    clips = noise_clips(2, method.config.clip)
    log = method.step(Batch(clips, None, torch.Generator().manual_seed(0), 2), 0, PlainEngine())
    assert math.isfinite(float(log["loss"]))
    assert method.sampler().preview(clips, None)["sample"].shape == clips.shape
