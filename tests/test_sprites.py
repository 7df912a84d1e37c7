from __future__ import annotations

import dataclasses
from typing import cast

import pytest
import torch
from torch import Tensor

from footage.config import ClipConfig, Config, LearnConfig, TaskConfig, TrainConfig
from footage.errors import ConfigError
from footage.models.base import Batch, PlainEngine
from footage.models.predictors.predict import Predict
from footage.models.predictors.sprites import SpritesConfig
from footage.models.predictors.sprites.network import SpriteDecomposition, Sprites, cut_out, masses

PAST, FUTURE, SIZE = 6, 4, 24


def configured(sprites: int = 1, channels: int = 1, **knobs: int) -> Config:
    return Config(
        method="predict",
        clip=ClipConfig(frames=PAST + FUTURE, height=SIZE, width=SIZE, channels=channels),
        net=SpritesConfig(sprites=sprites, side=8, width=8, features=16, motion=32),
        learn=LearnConfig(lr=1e-2, warm_up=0, decay=0, clip_gradient=0.1, ema=200),
        task=TaskConfig(past=PAST, **knobs),
        critics=(),
        train=TrainConfig(batch_size=8),
    )


def built(config: Config, seed: int = 0) -> tuple[Predict, Sprites]:
    torch.manual_seed(seed)
    method = Predict(config, 0)
    method.build_optimizers()
    return method, cast(Sprites, method.nets["generator"])


def shaken(net: Sprites) -> Sprites:
    """Give every layer something to say: some begin at zero."""
    rng = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for numbers in net.parameters():
            numbers.add_(0.1 * torch.randn(numbers.shape, generator=rng))
    return net


def squares(count: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """White 5×5 squares on black that go one or two pixels a frame along an axis; and where their middles are."""
    clips = torch.full((count, 1, PAST + FUTURE, SIZE, SIZE), -1.0)
    middles = torch.zeros(count, PAST + FUTURE, 2)
    for number, clip in enumerate(clips):
        axis, speed = (int(torch.randint(0, n, (1,), generator=rng)) for n in (2, 2))
        step = (1 + speed) * (1 if torch.rand(1, generator=rng) < 0.5 else -1)
        start = torch.randint(2, SIZE - 2, (2,), generator=rng).float()
        way = step * (PAST + FUTURE - 1)
        room = (2 + max(0, -way), SIZE - 3 - max(0, way))
        start[axis] = float(torch.randint(min(room), max(room) + 1, (1,), generator=rng))
        for frame in range(PAST + FUTURE):
            middle = start.clone()
            middle[axis] += step * frame
            middles[number, frame] = middle
            top, left = (int(value) - 2 for value in middle)
            clip[0, frame, max(0, top) : top + 5, max(0, left) : left + 5] = 1.0
    return clips, middles


def test_a_known_place_is_drawn_to_the_pixel_and_doubt_spreads_it_without_loss() -> None:
    place = torch.tensor([7.5, 7.5, 7.0])  # an even side lies between pixels
    sharp, soft, between = masses(place, torch.tensor([0.01, 2.0, 0.01]), 16, 4)
    assert torch.equal(sharp, torch.eye(16)[:, 6:10])
    torch.testing.assert_close(soft.sum(dim=0), torch.ones(4), atol=1e-3, rtol=0)
    assert soft[:, 0].argmax() == 6 and soft[6, 0] == pytest.approx(0.1974, abs=1e-3)  # of a normal distribution
    assert between[5, 0] == pytest.approx(0.5) and between[6, 0] == pytest.approx(0.5)


def test_what_is_cut_out_is_what_is_there_and_black_beyond_the_edges() -> None:
    frames = torch.rand(2, 3, 10, 12, generator=torch.Generator().manual_seed(0))
    cut = cut_out(frames, torch.tensor([[4.5, 5.5], [0.5, 11.5]]), 4)
    torch.testing.assert_close(cut[0], frames[0, :, 3:7, 4:8])
    torch.testing.assert_close(cut[1, :, 1:, :2], frames[1, :, 0:3, 10:12])
    assert not cut[1, :, 0].any() and not cut[1, :, :, 2:].any()
    halves = cut_out(frames[:1], torch.tensor([[4.5, 5.0]]), 4)
    torch.testing.assert_close(halves[0], (frames[0, :, 3:7, 3:7] + frames[0, :, 3:7, 4:8]) / 2)


def test_the_heavier_sprite_is_in_front_and_the_background_shows_elsewhere() -> None:
    _, net = built(configured(sprites=2, channels=3))
    background = torch.rand(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    looks = torch.zeros(1, 2, 5, 8, 8)
    looks[:, :, 0] = 1.0
    for sprite, (weight, colour) in enumerate(((50.0, (1.0, 0.0, 0.0)), (0.02, (0.0, 0.0, 1.0)))):
        looks[:, sprite, 1] = weight
        looks[:, sprite, 2:] = weight * torch.tensor(colour).view(3, 1, 1)
    places = torch.tensor([[[[7.5, 7.5], [11.5, 7.5]]]])  # B T K 2: four rows in common
    found = SpriteDecomposition(places, looks, background)
    frame = (net._draw(found, places, torch.full_like(places, 0.01))[0, :, 0] + 1) / 2
    assert frame[:, 4:12, 4:12].movedim(0, 2).sub(torch.tensor([1.0, 0.0, 0.0])).abs().max() < 0.01
    assert frame[:, 12:16, 4:12].movedim(0, 2).sub(torch.tensor([0.0, 0.0, 1.0])).abs().max() < 0.01
    frame[:, 4:16, 4:12] = background[0, :, 4:16, 4:12]
    torch.testing.assert_close(frame, background[0])


def test_what_comes_after_the_past_changes_nothing_that_is_predicted() -> None:
    net = shaken(built(configured(sprites=2))[1])
    clips = torch.rand(2, 1, PAST + FUTURE, SIZE, SIZE, generator=torch.Generator().manual_seed(1)) * 2 - 1
    others = torch.cat([clips[:, :, :PAST], -clips[:, :, PAST:]], dim=2)
    with torch.no_grad():
        one, other = net(clips, {}, None), net(others, {}, None)
        assert torch.equal(one.future, other.future) and not torch.equal(one.cost, other.cost)
        first, second = net._take_apart(clips)[0].places, net._take_apart(others)[0].places
    assert torch.equal(first[:, :PAST], second[:, :PAST]) and not torch.equal(first[:, PAST:], second[:, PAST:])


@pytest.mark.nightly
def test_a_square_is_found_followed_and_moved_on() -> None:
    config = configured()
    method, net = built(config)
    rng = torch.Generator().manual_seed(2)
    for number in range(160):
        clips, _ = squares(8, rng)
        method.step(Batch(clips, None, rng, len(clips)), 8 * number, PlainEngine())
    clips, middles = squares(32, torch.Generator().manual_seed(3))
    with torch.no_grad():
        (found, _), future = net._take_apart(clips), net(clips, {}, None).future
    gaps = found.places[:, :, 0] - middles
    assert (gaps - gaps.mean(dim=(0, 1))).square().mean().sqrt() < 0.7, "pixels, but for what it holds for the middle"
    truth, last = clips[:, :, PAST:], clips[:, :, PAST - 1 : PAST]
    assert (future - truth).square().mean() < 0.35 * (last - truth).square().mean()


def test_a_future_has_no_end_and_its_state_does_not_grow() -> None:
    net = shaken(built(configured(sprites=3))[1])
    clips, _ = squares(2, torch.Generator().manual_seed(4))
    with torch.inference_mode():
        state = net.begin(clips[:, :, :PAST])
        shapes = [part.shape for part in state]
        for _ in range(300):
            frame, state = net.advance(state, None)
    assert [part.shape for part in state] == shapes
    assert frame.shape == (2, 1, 1, SIZE, SIZE) and torch.isfinite(frame).all()


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"net\.width is 6"):
        SpritesConfig(width=6)
    with pytest.raises(ConfigError, match=r"net\.side is 2"):
        SpritesConfig(side=2)
    with pytest.raises(ConfigError, match="sprites moves on what it found in the past"):
        dataclasses.replace(configured(), task=TaskConfig(past=PAST, truth=100))
