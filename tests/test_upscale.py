from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor

from footage.config import CriticConfig, DegradeConfig, UpscaleConfig
from footage.config.presets import override, preset, tiny
from footage.errors import ConfigError
from footage.models.base import Batch, Converts, Enlarges, PlainEngine
from footage.models.layers import tiled
from footage.models.upscalers import UpscalerConfig
from footage.models.upscalers.upscale import (
    CLEAN,
    Degradation,
    Upscale,
    Upscaler,
    UpscaleSampler,
    degrade,
    draw_degradations,
    enlarged,
    shrunk,
    whole_windows,
)
from tests.models import tiny_config


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def woken(scale: int = 4, width: int = 16, past: int = 4, future: int = 1) -> Upscaler:
    torch.manual_seed(0)
    net = Upscaler(3, UpscalerConfig(scale=scale, width=width, past=past, future=future))
    with torch.no_grad():
        for weight in net.parameters():
            weight += 0.1 * torch.randn(weight.shape)
    return net.eval()


def sampler(net: Upscaler) -> UpscaleSampler:
    found = UpscaleSampler(tiny_config("upscale-x4", clip__frames=8), net)
    assert isinstance(found, Enlarges) and isinstance(found, Converts)
    return found


# The network.


@pytest.mark.parametrize("scale", [2, 4])
def test_a_new_upscaler_is_the_bicubic_kernel(scale: int) -> None:
    net = Upscaler(3, UpscalerConfig(scale=scale, width=8))  # type: ignore[arg-type]
    frames = noise(2, 3, 8, 7, 9)
    made = net(frames)
    assert made.shape == (2, 3, 3, 7 * scale, 9 * scale)
    plain = torch.nn.functional.interpolate(
        frames[:, :, 5], (7 * scale, 9 * scale), mode="bicubic", antialias=True, align_corners=False
    )
    torch.testing.assert_close(made[:, :, 1], plain)


def test_frames_depend_on_their_window_alone() -> None:
    net, frames = woken(), noise(1, 3, 12, 6, 6)
    made = net(frames)  # frames 4 to 10
    other = frames.clone()
    other[:, :, 6] += 1
    changed = (net(other) - made).abs().amax(dim=(0, 1, 3, 4)) > 1e-6
    # Frame 6 is seen by those from 5 (as the one after) to 10 (as the fourth before).
    assert changed.tolist() == [False, True, True, True, True, True, True]
    assert UpscalerConfig(width=48).blocks == 6 and UpscalerConfig(width=4).blocks == 1


def test_nothing_changes_further_away_than_the_reach() -> None:
    net, frames = woken(), noise(1, 3, 6, 40, 40)
    other = frames.clone()
    other[..., 20, 20] += 1
    rows = (net(other) - net(frames)).abs().amax(dim=(0, 1, 2, 4)).nonzero().flatten()
    low, high = int(rows.min()) // 4, int(rows.max()) // 4
    assert (low, high) == (20 - net.reach, 20 + net.reach)


@pytest.mark.parametrize(("height", "width", "tile"), [(40, 56, 16), (33, 47, 20), (64, 24, 32)])
def test_tiled_is_untiled(height: int, width: int, tile: int) -> None:
    net, frames = woken(), noise(1, 3, 7, height, width)
    with torch.inference_mode():
        whole = net(frames)
        parts = tiled(net, frames, tile=tile, reach=net.reach, scale=4)
    torch.testing.assert_close(parts, whole, rtol=0, atol=1e-5)


def test_a_tile_without_its_margin_would_show() -> None:
    net, frames = woken(), noise(1, 3, 6, 40, 40)
    with torch.inference_mode():
        assert (tiled(net, frames, tile=16, reach=0, scale=4) - net(frames)).abs().max() > 2 / 255


@pytest.mark.parametrize("cuts", [[13], [1] * 13, [5, 8], [2, 3, 1, 7]])
@pytest.mark.parametrize(("past", "future"), [(4, 1), (0, 0), (2, 2)])
def test_streamed_is_offline(cuts: list[int], past: int, future: int) -> None:
    net, frames = woken(past=past, future=future, width=8), noise(1, 3, 13, 6, 10)
    with torch.inference_mode():
        offline = net(whole_windows(frames, past, future)).clamp(-1, 1)
    streamed = torch.cat(list(sampler(net).stream(frames.split(cuts, dim=2))), dim=2)
    torch.testing.assert_close(streamed, offline, rtol=0, atol=1e-5)


def test_a_single_frame_has_a_window_too() -> None:
    (made,) = sampler(woken()).convert([noise(1, 3, 1, 5, 5)], 0)
    assert made.shape == (1, 3, 1, 20, 20)
    assert not list(sampler(woken()).convert([], 0))


# What it is given in training.


def batch(seed: int, size: int = 2, side: int = 32, frames: int = 8) -> Batch:
    return Batch(noise(size, 3, frames, side, side, seed=seed), None, torch.Generator().manual_seed(seed), size)


def test_clean_input_is_the_bicubic_kernel_on_256_levels() -> None:
    clips = noise(1, 3, 2, 32, 32)
    made = degrade(clips, 4, DegradeConfig(), [CLEAN], None)
    plain = torch.nn.functional.interpolate(clips[0, :, 1][None], (8, 8), mode="bicubic", antialias=True)
    torch.testing.assert_close(made[0, :, 1][None], plain.clamp(-1, 1), rtol=0, atol=1 / 255 + 1e-6)
    levels = (made + 1) * 127.5
    torch.testing.assert_close(levels, levels.round(), rtol=0, atol=1e-3)


@pytest.mark.parametrize(
    "damage",
    [
        Degradation(kernel="area"),
        Degradation(kernel="bilinear"),
        Degradation(blur=1.0),
        Degradation(habit="chroma"),
        Degradation(habit="jpeg", quality=1.0),
        Degradation(habit="h264", quality=1.0),
    ],
)
def test_each_damage_does_something_and_keeps_the_clip(damage: Degradation) -> None:
    ramp = torch.linspace(-0.8, 0.8, 64).expand(1, 3, 6, 64, 64) + 0.2 * noise(1, 3, 1, 64, 64)
    clean, spoilt = (degrade(ramp, 4, DegradeConfig(), [kind], None) for kind in (CLEAN, damage))
    assert spoilt.shape == clean.shape == (1, 3, 6, 16, 16)
    assert 1e-4 < (spoilt - clean).abs().mean() < 0.15
    assert (spoilt.mean() - clean.mean()).abs() < 0.03, "as bright as before"


def test_worse_codecs_lose_more() -> None:
    clips = torch.nn.functional.interpolate(noise(1, 3, 6, 16, 16), (6, 64, 64), mode="trilinear")
    clean = degrade(clips, 2, DegradeConfig(), [CLEAN], None)
    for habit in ("h264", "jpeg"):
        lost = [
            float(
                (degrade(clips, 2, DegradeConfig(), [Degradation(habit=habit, quality=q)], None) - clean).abs().mean()
            )
            for q in (0.0, 0.5, 1.0)
        ]
        assert lost[0] < lost[1] < lost[2], habit


def test_halved_chroma_keeps_the_luma_and_loses_colour() -> None:
    clips = noise(1, 3, 1, 32, 32)
    weights = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1, 1)
    clean, spoilt = (
        degrade(clips * 0.5, 2, DegradeConfig(), [kind], None) for kind in (CLEAN, Degradation(habit="chroma"))
    )
    assert ((clean - spoilt) * weights).sum(dim=1).abs().max() < 0.02
    assert (clean - spoilt).abs().mean() > 0.05


def test_damage_follows_from_the_batch_whatever_the_processes() -> None:
    whole = batch(3, size=4)
    damages = draw_degradations(DegradeConfig(probability=1.0), whole)
    second = batch(3, size=4)
    part = Batch(second.clips[2:], None, torch.Generator().manual_seed(3), 4, first=2)
    assert draw_degradations(DegradeConfig(probability=1.0), part) == damages[2:] and len(set(damages)) > 1
    assert draw_degradations(DegradeConfig(probability=0.0), batch(3)) == [CLEAN, CLEAN]


def test_odd_pictures_go_through_codecs() -> None:
    clips = noise(1, 3, 3, 36, 44)  # 9×11 when shrunk
    for habit in ("h264", "jpeg", "chroma"):
        assert degrade(clips, 4, DegradeConfig(), [Degradation(habit=habit)], None).shape == (1, 3, 3, 9, 11)
    assert degrade(clips[:, :1], 4, DegradeConfig(), [Degradation(habit="h264")], None).shape == (1, 1, 3, 9, 11)


# Training.


def method(name: str = "upscale-x4", **knobs: object) -> Upscale:
    torch.manual_seed(0)
    config = override(tiny(preset(name)), {"clip.height": 32, "clip.width": 32, **knobs})
    made = Upscale(config, 0)
    made.calibrate([noise(4, 3, 8, 32, 32)])
    made.build_optimizers()
    return made


def textured(size: int, seed: int) -> Tensor:
    """Clips of waves that move: what the bicubic kernel blurs, and a network can learn to sharpen."""
    rng = torch.Generator().manual_seed(seed)
    angle, phase, length = (torch.rand(size, 1, 1, 1, 1, generator=rng) for _ in range(3))
    y, x, t = (torch.arange(n).view(shape) for n, shape in ((32, (32, 1)), (32, (1, 32)), (8, (8, 1, 1))))
    along = x * torch.cos(6.28 * angle) + y * torch.sin(6.28 * angle) + 0.5 * t
    return torch.sign(torch.sin(along / (1.2 + length) + 6.28 * phase)).expand(-1, 3, -1, -1, -1) * 0.8


def test_it_learns_to_be_nearer_than_the_bicubic_kernel() -> None:
    knobs = {"learn.lr": 1e-2, "learn.warm_up": 0, "learn.decay": 0, "upscale.degrade.probability": 0.0}
    made = method(**knobs, **{"net.width": 16, "net.scale": 2})
    clips = textured(2, 0)
    for number in range(60):
        log = made.step(Batch(clips, None, torch.Generator().manual_seed(number), 2), number * 2, PlainEngine())
    assert float(log["psnr"]) > float(log["bicubic_psnr"]) + 2.0
    shown = made.sampler().preview(textured(2, 999), None)
    assert list(shown) == ["upscaled", "bicubic", "real"]
    assert len({tuple(clip.shape) for clip in shown.values()}) == 1


def test_critics_see_what_shrinking_loses() -> None:
    made = method("upscale-x4-gan")
    clips = noise(1, 3, 3, 32, 32)
    plain, detail = made.shown(clips).split(3, dim=1)
    torch.testing.assert_close(plain, clips)
    frames = clips.transpose(1, 2).flatten(0, 1)
    torch.testing.assert_close(detail.transpose(1, 2).flatten(0, 1), frames - enlarged(shrunk(frames, 4), 4))
    smooth = torch.nn.functional.interpolate(noise(1, 3, 1, 2, 2), (1, 32, 32), mode="trilinear")
    assert made.shown(smooth)[:, 3:, :, 8:-8, 8:-8].abs().mean() < 0.05 * smooth.std(), "what is smooth has little"


def test_critics_of_patches_see_the_same_part_of_real_and_made() -> None:
    made, clips = method("upscale-x4-gan"), batch(0)
    real, fake = made.forward_step(clips, 0, judged=True).judged[""]
    assert real.shape == fake.shape == (2, 6, 3, 28, 28)
    parts = made.shown(clips.clips[:, :, 4:-1]).unfold(3, 28, 1).unfold(4, 28, 1)  # B C T y x 28 28
    here = (parts == real[:, :, :, None, None]).all(dim=6).all(dim=5).all(dim=2).all(dim=1).all(dim=0)
    assert here.sum() == 1
    y, x = here.nonzero()[0].tolist()
    far = (fake - made.shown(clips.clips[:, :, 4:-1])[..., y : y + 28, x : x + 28]).abs().mean()
    assert far < (fake - real.flip(3)).abs().mean(), "what is made of a clip is nearest to it where it was cut"


def test_critics_of_patches_meet_every_phase_of_the_pixel_shuffle() -> None:
    made, places = method("upscale-x4-gan"), set()
    for number in range(400):
        _, rows, columns = made.window(Batch(batch(0).clips, None, torch.Generator().manual_seed(number), 2))
        places.add((rows.start, columns.start))
    assert places == {(y, x) for y in range(5) for x in range(5)}


def test_critics_of_the_whole_see_it() -> None:
    config = override(tiny(preset("upscale-x4-gan")), {"clip.height": 32, "clip.width": 32})
    made = Upscale(dataclasses.replace(config, critics=(CriticConfig(width=4),)), 0)
    made.build_optimizers()
    assert made.forward_step(batch(0), 0, judged=True).judged[""][0].shape[3:] == (32, 32)
    assert made.step(batch(0), 0, PlainEngine())


@pytest.mark.parametrize("name", ["upscale-x4", "upscale-x4-gan"])
def test_a_step_is_a_function_of_clips_and_clips_seen(name: str) -> None:
    logs = []
    for _ in range(2):
        made = method(name)
        log = [made.step(batch(n), 2 * n, PlainEngine()) for n in range(2)][-1]
        logs.append({key: float(value) for key, value in log.items()})
    assert logs[0] == logs[1]
    assert {"l1", "psnr", "bicubic_psnr", "consistency"} <= logs[0].keys()


def test_ends_of_clips_are_repeated_as_in_use() -> None:
    made, seen = method(**{"upscale.ends": 1.0, "upscale.degrade.probability": 0.0}), []
    made.nets["generator"].register_forward_pre_hook(lambda net, given: seen.append(given[0]))
    made.step(batch(0), 0, PlainEngine())
    (given,) = seen
    assert torch.equal(given[:, :, :5], given[:, :, 4:5].expand(-1, -1, 5, -1, -1))
    assert torch.equal(given[:, :, 7], given[:, :, 6]) and not torch.equal(given[:, :, 5], given[:, :, 4])


def test_feature_matching_is_the_mean_difference_of_features() -> None:
    from footage.models.adversarial.critic_loss import feature_difference

    made, real = [torch.ones(2, 3), torch.zeros(4)], [torch.zeros(2, 3), torch.full((4,), 3.0)]
    assert float(feature_difference(made, real)) == pytest.approx(2.0)


def test_what_does_not_go_together_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"clip.frames is 6, .*give --clip.frames 7"):
        preset("upscale-x4", {"clip.frames": 6})
    with pytest.raises(ConfigError, match=r"clip.height is 66: give a multiple of net.scale, 4"):
        preset("upscale-x4", {"clip.height": 66})
    with pytest.raises(ConfigError, match=r"net.scale is 3"):
        preset("upscale-x4", {"net.scale": 3})
    with pytest.raises(ConfigError, match=r"gan.matching is 1, with method gan"):
        preset("conv3d-64", {"gan.matching": 1.0})
    config = preset("upscale-x4-gan")
    with pytest.raises(ConfigError, match=r"critics.0.net is mlp: only conv tells its features"):
        dataclasses.replace(config, critics=(CriticConfig(net="mlp"),))
    with pytest.raises(ConfigError, match=r"crf_low and _high is \(40, 30\)"):
        DegradeConfig(crf_low=40, crf_high=30)
    with pytest.raises(ConfigError, match=r"upscale.ends is 2"):
        UpscaleConfig(ends=2)
