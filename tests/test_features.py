from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from footage.config import ClipConfig
from footage.data.clips import Loader, open_clips
from footage.evaluation.features.ladder import CORRUPTIONS
from footage.generation.rollout import from_uint8
from footage.metrics.clip_vectors import RandomFeatures
from footage.metrics.distances import Gaussian, frechet

CLIPS = 96


def described(net: RandomFeatures, clips: Tensor) -> Gaussian:
    return Gaussian(net.size).add(torch.cat([net(batch) for batch in clips.split(16)]))


@pytest.fixture(scope="module")
def clips() -> Tensor:
    source = open_clips("shapes", ClipConfig(frames=16, height=32, width=32))
    return from_uint8(Loader(source, "train", frames=16, batch_size=2 * CLIPS, seed=0).batch(0)[0])


@pytest.mark.parametrize("name", ["blur", "noise", "freeze", "shuffle"])
@pytest.mark.parametrize("seed", [0, 1])
def test_corruptions_are_ranked_by_their_strength(name: str, seed: int, clips: Tensor) -> None:
    net, (corrupt, strengths) = RandomFeatures(3, seed), CORRUPTIONS[name]
    real, fresh = described(net, clips[:CLIPS]), clips[CLIPS:]
    figures = [frechet(described(net, fresh), real)]
    for strength in strengths:
        spoiled = corrupt(fresh, strength, torch.Generator().manual_seed(0))
        assert spoiled.shape == fresh.shape and not torch.equal(spoiled, fresh)
        figures.append(frechet(described(net, spoiled), real))
    assert all(weak < strong for weak, strong in itertools.pairwise(figures)), figures


def test_playing_backwards_shows_where_time_has_a_direction(clips: Tensor) -> None:
    net, ramp = RandomFeatures(3, 0), torch.linspace(0.2, 1, 16).view(1, 1, -1, 1, 1)
    rising = (clips + 1) * ramp - 1
    real, fresh = described(net, rising[:CLIPS]), rising[CLIPS:]
    assert frechet(described(net, fresh.flip(2)), real) > 2 * frechet(described(net, fresh), real)


def test_features_follow_from_the_seed_alone() -> None:
    clips = torch.rand(3, 3, 6, 16, 24) * 2 - 1
    torch.manual_seed(7)
    before = torch.random.get_rng_state()
    one = RandomFeatures(3, 4)(clips)
    assert torch.equal(torch.random.get_rng_state(), before), "the global generator is left alone"
    assert torch.equal(one, RandomFeatures(3, 4)(clips)) and not torch.equal(one, RandomFeatures(3, 5)(clips))
    assert one.shape == (3, RandomFeatures().size) and not list(RandomFeatures().parameters())
    torch.testing.assert_close(RandomFeatures(3, 4)(clips[1:2]), one[1:2])


def test_grey_is_rgb_with_equal_channels() -> None:
    grey = torch.rand(2, 1, 4, 16, 16) * 2 - 1
    torch.testing.assert_close(RandomFeatures(1, 0)(grey), RandomFeatures(3, 0)(grey.expand(-1, 3, -1, -1, -1)))


@pytest.mark.parametrize("shape", [(2, 8, 8), (3, 9, 11), (5, 16, 8), (33, 8, 40)])
def test_any_size_from_the_least_on(shape: tuple[int, int, int]) -> None:
    features = RandomFeatures(3, 0)(torch.rand(2, 3, *shape))
    assert features.shape == (2, 192) and bool(torch.isfinite(features).all())


def test_variance_is_preserved() -> None:
    features = RandomFeatures(3, 0)(torch.randn(8, 3, 16, 32, 32))
    for stage in features.split([32, 64, 96], dim=1):
        deviation = stage[:, stage.shape[1] // 2 :]
        assert 0.2 < float(deviation.mean()) < 2


def test_filters_of_mean_zero_are_silent_on_stills() -> None:
    still = torch.rand(2, 3, 1, 16, 16).expand(-1, -1, 8, -1, -1)
    means = RandomFeatures(3, 0)(still)[:, :16]
    assert float(means[:, ::2].abs().max()) < 1e-5 < float(means[:, 1::2].max())
