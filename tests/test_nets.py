from __future__ import annotations

import pytest
import torch

from footage.config import ClipConfig, Conv3dConfig
from footage.errors import ConfigError
from footage.nets.conv3d import Conv3dCritic, Conv3dGenerator, plan

SHAPES = [
    (16, 64, 64, 3),
    (16, 32, 32, 1),
    (32, 64, 64, 3),
    (8, 32, 48, 3),
    (2, 16, 16, 1),
    (12, 24, 40, 3),
    (5, 8, 8, 1),
]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("labels", [0, 3])
def test_generator_and_critic_fit_any_clip(shape: tuple[int, int, int, int], labels: int) -> None:
    frames, height, width, channels = shape
    clip, net = ClipConfig(frames, height, width, channels), Conv3dConfig(latent=8, label=4, width=4)
    label = torch.tensor([0, labels - 1]) if labels else None
    clips = Conv3dGenerator(clip, net, labels)(torch.randn(2, 8), label)
    assert clips.shape == (2, channels, frames, height, width)
    assert Conv3dCritic(clip, net, labels)(clips, label).shape == (2,)


def test_vgan_has_the_volumes_of_the_paper() -> None:
    shape = plan(ClipConfig(32, 64, 64, 3))
    assert shape.base == (2, 4, 4)
    assert [stage.stride for stage in shape.stages] == [(2, 2, 2)] * 4


def test_sizes_that_do_not_halve_are_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"clip.height is 50.*give 48 or 56"):
        plan(ClipConfig(16, 50, 64, 3))


def test_clips_of_a_batch_are_independent() -> None:
    clip, net = ClipConfig(8, 16, 16, 3), Conv3dConfig(latent=8, width=4)
    generator, critic = Conv3dGenerator(clip, net, 0).double(), Conv3dCritic(clip, net, 0).double()
    z = torch.randn(4, 8, dtype=torch.double)
    both = generator(z)
    torch.testing.assert_close(generator(z[1:2]), both[1:2])
    torch.testing.assert_close(critic(both[2:3]), critic(both)[2:3])


def test_label_matters_to_both() -> None:
    torch.manual_seed(0)
    clip, net = ClipConfig(8, 16, 16, 3), Conv3dConfig(latent=8, label=4, width=4)
    generator, critic = Conv3dGenerator(clip, net, 2), Conv3dCritic(clip, net, 2)
    z = torch.randn(1, 8)
    zero, one = torch.tensor([0]), torch.tensor([1])
    assert not torch.equal(generator(z, zero), generator(z, one))
    clips = torch.randn(1, 3, 8, 16, 16)
    assert not torch.equal(critic(clips, zero), critic(clips, one))


def test_generator_begins_without_a_grid_or_flicker() -> None:
    torch.manual_seed(0)
    clip, net = ClipConfig(16, 32, 32, 3), Conv3dConfig(width=8)
    clips = Conv3dGenerator(clip, net, 0)(torch.randn(8, net.latent)).detach()
    inside = clips[:, :, 4:-4, 8:-8, 8:-8]
    for dim in (2, 3, 4):
        neighbours = inside.diff(dim=dim).square().mean()
        assert neighbours < 0.5 * inside.var(), "neighbouring voxels should be alike before training"
