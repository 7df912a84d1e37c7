from __future__ import annotations

from typing import Any

import pytest
import torch

from footage.config import ClipConfig, CriticConfig, registry
from footage.config.sections import unlimited
from footage.errors import ConfigError
from footage.models.adversarial.critic_loss import critic_view, pick_frames
from footage.models.generators.conv3d import Conv3dConfig
from footage.models.generators.conv3d.network import Conv3dGenerator
from footage.models.generators.mlp import MlpConfig
from footage.models.generators.mlp.network import MlpGenerator
from footage.models.generators.recurrent import RecurrentConfig
from footage.models.generators.recurrent.network import RecurrentGenerator
from footage.models.generators.stream import StreamConfig
from footage.models.generators.stream.network import StreamGenerator, smooth, start_enlarging
from footage.models.layers import upsampling_plan

CRITICS = {
    "clip": CriticConfig(),
    "patch": CriticConfig(patch=True),
    "frames": CriticConfig(sees="frames"),
    "sparse": CriticConfig(sees="sparse"),
    "difference": CriticConfig(sees="difference"),
    "embed_motion": CriticConfig(net="embed_motion"),
    "encoder": CriticConfig(net="embed_motion", motion="encoder"),
    "two_stream": CriticConfig(net="two_stream"),
    "mlp": CriticConfig(net="mlp"),
}

SHAPES = [
    (16, 64, 64, 3),
    (16, 32, 32, 1),
    (32, 64, 64, 3),
    (8, 32, 48, 3),
    (2, 16, 16, 1),
    (12, 24, 40, 3),
    (5, 8, 8, 1),
]


def make_critic(critic: CriticConfig, *arguments: Any) -> Any:
    return registry.CRITICS[critic.net](critic, *arguments)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("labels", [0, 3])
def test_generators_and_critics_fit_any_clip(shape: tuple[int, int, int, int], labels: int) -> None:
    frames, height, width, channels = shape
    clip, net = ClipConfig(frames, height, width, channels), Conv3dConfig(latent=8, label=4, width=4)
    label = torch.tensor([0, labels - 1]) if labels else None
    clips = Conv3dGenerator(clip, net, labels)({"z": torch.randn(2, 8)}, label).clips
    assert clips.shape == (2, channels, frames, height, width)
    recurrent = RecurrentGenerator(clip, RecurrentConfig(width=4), labels)
    noise = {name: torch.randn(2, *size) for name, size in recurrent.noise(frames).items()}
    assert recurrent(noise, label).clips.shape == clips.shape
    stream = StreamGenerator(clip, StreamConfig(width=4, shot=frames + 3), labels)
    noise = {name: torch.randn(2, *size) for name, size in stream.noise(frames).items()}
    assert stream(noise, label).clips.shape == clips.shape
    for name, critic in CRITICS.items():
        seen = critic_view(critic, clips, pick_frames(critic, clip, 2, torch.Generator()))
        named = None if label is None else label.repeat_interleave(seen.each)
        verdict = make_critic(critic, clip, 4, labels)(seen.inputs, named, seen.gaps)
        assert len(verdict.logits) == 2 * seen.each and verdict.logits.ndim == 1 + critic.patch, name


def test_vgan_has_the_volumes_of_the_paper() -> None:
    shape = upsampling_plan(ClipConfig(32, 64, 64, 3))
    assert shape.base == (2, 4, 4)
    assert [stage.stride for stage in shape.stages] == [(2, 2, 2)] * 4


def test_sizes_that_do_not_halve_are_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"clip.height is 50.*give 48 or 56"):
        upsampling_plan(ClipConfig(16, 50, 64, 3))


def test_clips_of_a_batch_are_independent() -> None:
    clip, net = ClipConfig(8, 16, 16, 3), Conv3dConfig(latent=8, width=4)
    generator = Conv3dGenerator(clip, net, 0).double()
    z = torch.randn(4, 8, dtype=torch.double)
    both = generator({"z": z}).clips
    torch.testing.assert_close(generator({"z": z[1:2]}).clips, both[1:2])
    for name in ("clip", "patch", "embed_motion", "encoder", "two_stream", "mlp"):
        critic = make_critic(CRITICS[name], clip, 4, 0).double()
        torch.testing.assert_close(critic(both[2:3]).logits, critic(both).logits[2:3])


def test_label_matters_to_both() -> None:
    torch.manual_seed(0)
    clip, net = ClipConfig(8, 16, 16, 3), Conv3dConfig(latent=8, label=4, width=4)
    zero, one = torch.tensor([0]), torch.tensor([1])
    for generator in (
        Conv3dGenerator(clip, net, 2),
        MlpGenerator(clip, MlpConfig(width=4), 2),
        RecurrentGenerator(clip, RecurrentConfig(width=4), 2),
    ):
        noise = {name: torch.randn(1, *size) for name, size in generator.noise(8).items()}
        assert not torch.equal(generator(noise, zero).clips, generator(noise, one).clips)
    clips = torch.randn(1, 3, 8, 16, 16)
    for config in (CriticConfig(), CriticConfig(patch=True), CriticConfig(net="embed_motion")):
        critic = make_critic(config, clip, 4, 2)
        assert not torch.equal(critic(clips, zero).logits, critic(clips, one).logits)


def test_critics_see_what_they_are_said_to() -> None:
    clip = ClipConfig(8, 16, 16, 1)
    clips = torch.arange(8.0).view(1, 1, 8, 1, 1).expand(3, 1, 8, 16, 16)  # every pixel is the frame's number
    rng = torch.Generator().manual_seed(0)
    frames = CriticConfig(sees="frames", frames=3)
    picks = pick_frames(frames, clip, 3, rng)
    assert picks is not None and (picks.diff(dim=1) > 0).all() and len({tuple(row) for row in picks.tolist()}) > 1
    seen = critic_view(frames, clips, picks)
    assert seen.inputs.shape == (9, 1, 16, 16) and seen.each == 3
    torch.testing.assert_close(seen.inputs[:, 0, 0, 0], picks.flatten().float())
    sparse = CriticConfig(sees="sparse", frames=3)
    seen = critic_view(sparse, clips, picks)
    assert seen.inputs.shape == (3, 3, 16, 16) and seen.gaps is not None
    torch.testing.assert_close(seen.inputs[:, :, 0, 0], picks.float())
    torch.testing.assert_close(seen.gaps, picks.diff(dim=1).float() / 8)
    seen = critic_view(CriticConfig(sees="difference", shrink=2), clips, None)
    assert seen.inputs.shape == (3, 1, 7, 8, 8) and (seen.inputs == 1).all()


def test_recurrent_goes_on_where_it_stopped_and_needs_fresh_noise() -> None:
    torch.manual_seed(0)
    clip = ClipConfig(8, 16, 16, 3)
    for cell in ("gru", "lstm"):
        generator = RecurrentGenerator(clip, RecurrentConfig(width=4, cell=cell), 0)  # type: ignore[arg-type]
        noise = {name: torch.randn(2, *size) for name, size in generator.noise(12).items()}
        whole = generator(noise).clips
        state, parts = generator.begin(noise["start"]), []
        for part in noise["motion"].split(4, dim=1):
            clips, state = generator.roll(noise["content"], part, None, state)
            parts.append(clips)
        torch.testing.assert_close(torch.cat(parts, dim=2), whole)
        noise["motion"][:, 5] += 1
        changed = (generator(noise).clips - whole).abs().amax(dim=(0, 1, 3, 4))
        assert (changed[:5] == 0).all() and (changed[5:] > 0).all(), "noise acts from its own frame on"


def test_content_stays_while_motion_goes_on() -> None:
    torch.manual_seed(0)
    clip = ClipConfig(8, 16, 16, 3)
    generator = RecurrentGenerator(clip, RecurrentConfig(width=8), 0)
    noise = {name: torch.randn(2, *size) for name, size in generator.noise(8).items()}
    clips = generator(noise).clips
    noise["content"] = noise["content"].flip(0)
    other = generator(noise).clips
    assert not torch.allclose(clips, other), "content matters"
    generator.tower.scales = None  # content enters through the scales alone
    assert torch.equal(generator(noise).clips, generator({**noise, "content": noise["content"].flip(0)}).clips)


def test_stream_keeps_content_and_motion_apart() -> None:
    torch.manual_seed(0)
    clip = ClipConfig(8, 32, 32, 3)
    generator = StreamGenerator(clip, StreamConfig(width=4), 0)
    noise = {name: torch.randn(2, *size) for name, size in generator.noise(8).items()}
    places: list[torch.Tensor] = []
    generator.places.register_forward_hook(lambda net, given, made: places.append(made.detach()))
    clips = generator(noise).clips
    other = generator({**noise, "content": noise["content"].flip(0)}).clips
    assert not torch.allclose(clips, other), "content matters"
    one, two = (place.unflatten(0, (2, 8)) for place in places)  # B T P 3
    torch.testing.assert_close(one - one[:, :1], two - two[:, :1], msg="content moves nothing")
    still = generator.frames(noise["content"], generator.bank(noise["motion"])[:, :1].expand(-1, 8, -1), None, None)
    assert (still == still[:, :, :1]).all(), "what changes from frame to frame is motion"


def test_stream_begins_slow_and_smooth() -> None:
    torch.manual_seed(0)
    clip = ClipConfig(16, 32, 32, 3)
    generator = StreamGenerator(clip, StreamConfig(), 0)
    noise = {name: torch.randn(4, *size) for name, size in generator.noise(16).items()}
    path = generator.motion(generator.bank(noise["motion"]))  # B T D
    change = path.diff(dim=1).square().mean() / path.var(dim=(0, 1)).mean()
    assert change < 0.1, "from frame to frame little changes"
    conv = torch.nn.Conv2d(5, 8, 3, padding=1)
    start_enlarging(conv)
    ramp = torch.arange(8.0).expand(1, 5, 8, 8)
    grown = torch.nn.functional.pixel_shuffle(conv(ramp), 2)[:, :, 4:-4, 4:-4]
    torch.testing.assert_close(grown.diff(dim=3), grown.diff(dim=3)[..., :1].expand_as(grown.diff(dim=3)))
    grid = torch.tensor([1.0, -1.0]).repeat(6).expand(2, 3, 12, 12)
    assert smooth(grid)[..., 1:-1].abs().max() == 0, "nothing is left of a grid of two pixels"
    assert torch.equal(smooth(torch.ones(2, 3, 5, 7)), torch.ones(2, 3, 5, 7))


def test_frames_of_a_shot_are_told_their_time() -> None:
    torch.manual_seed(0)
    clip = ClipConfig(8, 16, 16, 3)
    generator = StreamGenerator(clip, StreamConfig(width=4, shot=20), 0)
    noise = {name: torch.randn(1, *size) for name, size in generator.noise(8).items()}
    motion = generator.bank(noise["motion"])
    for number, first in ((-9.0, 0), (9.0, 12)):  # the first and the last 8 frames of 20
        made = generator({**noise, "clock": torch.full((1, 1), number)}).clips
        clock = torch.arange(first, first + 8.0).expand(1, 8)
        torch.testing.assert_close(made, generator.frames(noise["content"], motion, None, clock))


def test_cell_begins_with_memories_of_many_lengths() -> None:
    torch.manual_seed(0)
    generator = RecurrentGenerator(ClipConfig(16, 16, 16, 3), RecurrentConfig(hidden=64, width=4), 2)
    noise = torch.randn(8, 256, 10)
    named = torch.zeros(8, 256, 64)
    path = generator.cell(torch.cat([noise, named], dim=2), torch.zeros(1, 8, 64))[0].detach()[:, 64:]
    now, then = path[:, :-1].flatten(0, 1), path[:, 1:].flatten(0, 1)
    kept = ((now - now.mean(0)) * (then - then.mean(0))).mean(0) / (now.std(0) * then.std(0))
    assert kept.median() > 0.5 and kept.max() > 0.8, "from frame to frame most of the state stays"


def test_too_large_and_too_short_are_refused_with_the_remedy() -> None:
    with pytest.raises(ConfigError, match=r"weights.*fewer frames"):
        MlpGenerator(ClipConfig(16, 64, 64, 3), MlpConfig(), 0)
    with pytest.raises(ConfigError, match="5 more"):
        make_critic(CriticConfig(time="valid"), ClipConfig(8, 64, 64, 3), 4, 0)


def test_generator_begins_without_a_grid_or_flicker() -> None:
    torch.manual_seed(0)
    clip, net = ClipConfig(16, 32, 32, 3), Conv3dConfig(width=8)
    clips = Conv3dGenerator(clip, net, 0)({"z": torch.randn(8, net.latent)}).clips.detach()
    inside = clips[:, :, 4:-4, 8:-8, 8:-8]
    for dim in (2, 3, 4):
        neighbours = inside.diff(dim=dim).square().mean()
        assert neighbours < 0.5 * inside.var(), "neighbouring voxels should be alike before training"


@pytest.mark.parametrize("name", ["two_stream", "embed_motion"])
def test_flow_is_that_of_the_clip_and_not_of_what_it_was_made_from(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from footage.metrics.motion import horn_schunck
    from footage.models.adversarial import discriminators

    seen: list[torch.Tensor] = []
    taken = lambda x: seen.append(x) or horn_schunck(x)  # type: ignore[func-returns-value]  # noqa: E731
    monkeypatch.setattr(discriminators, "horn_schunck", taken)
    shown = torch.randn(2, 4, 8, 16, 16)
    clip = unlimited(8, 16, 16, 4)
    for beside in (0, 1):
        make_critic(CRITICS[name], clip, 4, 0, beside)(shown)
    assert torch.equal(seen[0], shown)
    assert torch.equal(seen[1], shown[:, :3])
