"""Cascades: small clips with a decoder of details behind them. A frame stays a function of seed and time."""

from __future__ import annotations

import dataclasses
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from torch.nn.functional import avg_pool2d

from footage.config import ClipConfig, Config
from footage.config.presets import PRESETS, override, tiny
from footage.data.clips import BuiltInClips, DrawsClips, GivesCrops, Loader
from footage.data.crops import SmallClips
from footage.data.store import Frames, area_means
from footage.errors import ConfigError
from footage.generation.rollout import from_uint8, render
from footage.models.base import Batch, PlainEngine, Streams
from footage.models.generators.cascade import CascadeConfig
from footage.models.generators.cascade.network import Cascade, CascadeSampler, noise_between, noise_field
from footage.models.requests import TimeMapping, VideoRequest
from footage.models.upscalers.upscale import enlarged

TINY = tiny(
    override(
        PRESETS["stream-512"].config, {"clip.height": 136, "clip.width": 160, "clip.frames": 4, "net.detail_crop": 32}
    )
)


def net_of(config: Config) -> CascadeConfig:
    assert isinstance(config.net, CascadeConfig)
    return config.net


def small_clips(config: Config = TINY, seed: int = 0) -> SmallClips:
    clip, net = config.clip, net_of(config)
    source = BuiltInClips("shapes", height=clip.height, width=clip.width, channels=3, seed=seed)
    return SmallClips(source, net.scale, net.read_clip(clip), net.detail_crop)


class Numbers(BuiltInClips):
    """Clips whose pixels say their row and their column."""

    def __init__(self) -> None:
        super().__init__("shapes", height=136, width=160, channels=3)

    def read(self, index: int, start: int, frames: int) -> Frames:
        rows, columns = np.indices((136, 160))
        picture = np.stack([rows, columns, np.zeros_like(rows)], axis=-1).astype(np.uint8)
        return np.broadcast_to(picture, (frames, *picture.shape))


def trained(config: Config = TINY, steps: int = 2) -> Cascade:
    torch.manual_seed(0)
    method = Cascade(config, 0)
    loader = Loader(small_clips(config), "train", frames=config.clip.frames, batch_size=2, seed=0)
    method.calibrate([from_uint8(loader.batch(0)[0])])
    method.build_optimizers()
    for number in range(steps):
        loaded = loader.load(2 * number)
        assert loaded.crops is not None
        crops = from_uint8(loaded.crops[:, None])[:, :, 0]
        step = Batch(from_uint8(loaded.clips), None, torch.Generator().manual_seed(number), 2, crops=crops)
        log = method.step(step, 2 * number, PlainEngine())
        assert all(torch.isfinite(value) for value in log.values())
    return method


@pytest.fixture(scope="module")
def sampler() -> CascadeSampler:
    made = trained().sampler()
    assert isinstance(made, CascadeSampler)
    return made


def video(sampler: CascadeSampler, request: VideoRequest, frames: int, chunk: int | None = None) -> torch.Tensor:
    parts, count = [], 0
    for segment in sampler.segments([request], chunk):
        parts.append(segment)
        count += segment.shape[2]
        if count >= frames:
            return torch.cat(parts, 2)[:, :, :frames]
    raise AssertionError("it ends")


def test_small_pictures_have_room_for_convolutions_and_the_clip_its_own_shape(sampler: CascadeSampler) -> None:
    assert net_of(TINY).base_clip(TINY.clip) == ClipConfig(frames=4, height=20, width=20), "17×20, of sides in fours"
    assert sampler.clip == TINY.clip
    assert video(sampler, VideoRequest(3), 4).shape == (1, 3, 4, 136, 160)
    full = PRESETS["stream-720p"].config
    assert (net_of(full).base_clip(full.clip).height, net_of(full).base_clip(full.clip).width) == (96, 160), "of 90×160"


def test_a_frame_is_a_function_of_seed_and_time(sampler: CascadeSampler) -> None:
    assert isinstance(sampler, Streams)
    whole = video(sampler, VideoRequest(5), 9)
    assert_array_equal(video(sampler, VideoRequest(5), 9, chunk=1), whole)
    assert_array_equal(video(sampler, VideoRequest(5, time=TimeMapping(start=6.0)), 3), whole[:, :, 6:])
    loop = video(sampler, VideoRequest(5, time=TimeMapping(loop=4)), 8)
    assert_array_equal(loop[:, :, :4], loop[:, :, 4:])
    both = next(sampler.segments([VideoRequest(7), VideoRequest(5)]))
    torch.testing.assert_close(both[1:], whole[:, :, :4], atol=0.02, rtol=0)
    assert (both[0] - both[1]).abs().max() > 0.01
    chunks = [frames for frames in render(sampler, [VideoRequest(5)], 9)]
    assert sum(part.shape[1] for part in chunks) == 9


def test_details_change_with_the_seed_and_stay_for_a_video(sampler: CascadeSampler) -> None:
    assert_array_equal(noise_field(5, 17, 20), noise_field(5, 17, 20))
    assert not torch.equal(noise_field(5, 17, 20), noise_field(6, 17, 20))
    change = VideoRequest(5, to_seed=6, frames=5)
    fields = [noise_field(seed, 17, 20)[None] for seed in (5, 6)]
    for place, expected in ((0.0, fields[0]), (1.0, fields[1])):
        torch.testing.assert_close(noise_between(*fields, torch.tensor([place])), expected)
    assert_array_equal(video(sampler, change, 5)[:, :, -1], video(sampler, change, 8)[:, :, 4]), "it stays there"


def test_it_learns_to_draw_details_that_the_small_picture_lacks() -> None:
    config = replace(
        TINY,
        learn=replace(TINY.learn, critics_after=10**6, lr=1e-3, warm_up=0),
        upscale=replace(TINY.upscale, augmentation=0.0),
    )
    net = replace(net_of(config), detail=8)
    config = replace(config, net=net)
    method = trained(config, steps=0)
    source, errors = small_clips(config), []
    crops = from_uint8(np.stack([source.crop("train", number, 0) for number in range(4)])[:, None])[:, :, 0]
    plain = float((enlarged(avg_pool2d(crops, 8), 8) - crops).abs().mean())
    for number in range(120):
        step = Batch(torch.zeros(4, 1), None, torch.Generator().manual_seed(number), 4, crops=crops)
        errors.append(float(method.details_step(step, 4 * number, PlainEngine())["l1"]))
    assert errors[0] == pytest.approx(plain, rel=1e-3), "it begins as the bicubic enlargement"
    assert errors[-1] < 0.7 * plain


def test_the_critic_teaches_the_decoder_once_it_has_begun() -> None:
    late = replace(TINY, learn=replace(TINY.learn, critics_after=4))
    before = {name: value.clone() for name, value in trained(late, 0).nets["critic_details"].state_dict().items()}
    idle, busy = (trained(late, steps).nets["critic_details"].state_dict() for steps in (2, 4))
    assert all(torch.equal(before[name], value) for name, value in idle.items())
    assert any(not torch.equal(before[name], value) for name, value in busy.items())


def test_crops_stand_on_the_grid_of_small_pixels() -> None:
    source = small_clips()
    assert isinstance(source, GivesCrops) and not isinstance(source, DrawsClips)
    assert_array_equal(source.crop("train", 4, 0), source.crop("train", 4, 0))
    numbers = Numbers()
    crop = SmallClips(numbers, 8, ClipConfig(frames=4, height=20, width=20), 32).crop("train", 0, 0)
    assert crop.shape == (32, 32, 3)
    assert all(int(crop[0, 0, axis]) % 8 == 0 for axis in (0, 1)), "where a small pixel begins"
    assert_array_equal(crop[:, 0, 0], crop[0, 0, 0] + np.arange(32))
    window = source.read(3, 2, 4)
    means = area_means(source.source.read(3, 2, 4), 8)
    assert_array_equal(window[:, 1:18], means, "rows that are lacking repeat the edges")
    assert_array_equal(window[:, [0, 18, 19]], means[:, [0, 16, 16]])


@pytest.mark.parametrize(
    ("knobs", "words"),
    [
        ({"clip.height": 380}, "380"),
        ({"net.detail_crop": 48}, "net.detail_crop"),
        ({"clip.height": 96, "clip.width": 96}, "crops of 128"),
        ({"net.scale": 3}, "net.scale"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_remedy(knobs: dict[str, int], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        override(PRESETS["stream-512"].config, knobs)


def test_the_knobs_of_the_small_generator_are_those_of_the_flagship() -> None:
    config = override(PRESETS["stream-512"].config, {"net.points": 24, "net.groups": 4})
    base = net_of(config).base
    assert (base.kind, base.points, base.groups) == ("stream", 24, 4)
    own = {knob.name for knob in dataclasses.fields(CascadeConfig)} - {knob.name for knob in dataclasses.fields(base)}
    assert own == {"scale", "detail", "detail_critic", "detail_crop"}
