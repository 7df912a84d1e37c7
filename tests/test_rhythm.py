from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from footage.metrics import motion
from footage.metrics.motion import horn_schunck


def wave(period: float, frames: int = 32, side: int = 16) -> Tensor:
    """A soft pattern that runs to the right and comes again after `period` frames, (1, 1, T, H, W)."""
    x = torch.arange(side) / side
    t = torch.arange(frames) / period
    return torch.sin(2 * math.pi * (x[None, :] - t[:, None])).view(1, 1, frames, 1, side).repeat(1, 1, 1, side, 1)


def test_what_comes_again_is_periodic() -> None:
    found = motion.autocorrelation(wave(8))
    assert found.shape == (1, 32) and float(found[0, 0]) == pytest.approx(1)
    assert float(found[0, 8]) == pytest.approx(1, abs=1e-4) and float(found[0, 4]) == pytest.approx(-1, abs=1e-4)
    assert float(motion.periodicity(found)) == pytest.approx(1, abs=1e-3)
    ramp = torch.linspace(-1, 1, 32).view(1, 1, 32, 1, 1).expand(1, 1, 32, 4, 4)
    assert float(motion.periodicity(motion.autocorrelation(ramp))) == 0, "what goes one way never comes back"
    noise = torch.randn(4, 3, 32, 16, 16, generator=torch.Generator().manual_seed(0))
    assert float(motion.periodicity(motion.autocorrelation(noise)).max()) < 0.15
    assert float(motion.periodicity(motion.autocorrelation(torch.zeros(1, 1, 8, 4, 4)))) == 0


def test_autocorrelation_by_hand() -> None:
    clip = torch.randn(1, 2, 6, 3, 3, generator=torch.Generator().manual_seed(1)).double()
    moving = clip - clip.mean(dim=2, keepdim=True)
    wanted = [float((moving[:, :, lag:] * moving[:, :, : 6 - lag]).sum() / (6 - lag)) for lag in range(6)]
    assert motion.autocorrelation(clip)[0].tolist() == pytest.approx([w / wanted[0] for w in wanted], rel=1e-9)


def test_content_has_a_half_life() -> None:
    still = torch.randn(1, 3, 1, 8, 8, generator=torch.Generator().manual_seed(2)).expand(1, 3, 10, 8, 8)
    assert motion.resemblance(still)[0].tolist() == pytest.approx([1.0] * 10, abs=1e-5)
    assert motion.half_life(motion.resemblance(still)[0]) is None
    lines = torch.randn(9, 1, 1, 8, 8, generator=torch.Generator().manual_seed(3))
    cut = torch.cat([lines[:1].expand(1, 1, 5, 8, 8), lines[1:2].expand(1, 1, 5, 8, 8)], dim=2)
    assert motion.half_life(torch.tensor([1.0, 0.8, 0.4])) == pytest.approx(1.75)
    assert motion.half_life(torch.tensor([0.4, 0.2])) == 0
    curve = motion.resemblance(cut)[0]
    assert float(curve[1]) == pytest.approx((8 + float(curve[9])) / 9, abs=1e-5), "one pair of nine goes over the cut"
    assert motion.half_life(curve) == pytest.approx(10 / 3, abs=0.2), "(10 - 2 l) / (10 - l) of the pairs lie within"
    assert motion.resemblance(torch.full((1, 3, 4, 8, 8), 0.5))[0].tolist() == pytest.approx([1.0] * 4)


def test_flicker_is_what_neighbours_disagree_in() -> None:
    even = torch.linspace(-1, 1, 9).view(1, 1, 9, 1, 1).expand(1, 1, 9, 4, 4)
    assert float(motion.flicker(even)) < 1e-6
    alternating = torch.tensor([0.0, 0.5]).repeat(4).view(1, 1, 8, 1, 1).expand(1, 1, 8, 4, 4)
    assert float(motion.flicker(alternating)) == pytest.approx(0.5)
    assert float(motion.flicker(even[:, :, :2])) == 0


def test_seams_and_jumps_stand_out() -> None:
    loop = wave(16, frames=16)
    assert float(motion.seam_error(loop)) == pytest.approx(1, abs=1e-3), "the last step is like all others"
    assert float(motion.seam_error(wave(30, frames=8))) > 3
    assert float(motion.jump(loop)) == pytest.approx(1, abs=0.05)
    joined = torch.cat([wave(60, frames=8), -wave(60, frames=8)], dim=2)
    assert float(motion.jump(joined)) > 5
    still = torch.ones(1, 3, 8, 4, 4)
    assert float(motion.seam_error(still)) == float(motion.jump(still)) == 0


def moving(dx: float, dy: float, frames: int = 8, side: int = 32) -> Tensor:
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    made = [torch.sin((x - dx * t) / 2.5) * torch.cos((y - dy * t) / 2.5) for t in range(frames)]
    return torch.stack(made)[None, None]


def test_points_follow_the_flow() -> None:
    flow = torch.zeros(1, 2, 5, 16, 16)
    flow[:, 0] = 0.06
    velocity, acceleration = motion.follow(flow)
    assert velocity.shape == (1, 5, 64, 2) and acceleration.shape == (1, 4, 64, 2)
    assert float((velocity[0, :, :, 0] - 0.06).abs().max()) < 1e-6 and float(velocity[..., 1].abs().max()) == 0
    directions, lengths = motion.histograms(flow)
    assert directions.shape == (1, motion.DIRECTIONS) and lengths.shape == (1, motion.LENGTHS)
    assert float(directions[0, : motion.DIRECTIONS // 2].sum()) == pytest.approx(64 * 0.06, rel=1e-4)
    assert directions[0, : motion.DIRECTIONS // 2].view(4, 8)[:, 1:].abs().max() == 0, "all to the right"
    assert float(lengths.sum()) == pytest.approx(2) and float(lengths[0, 2]) == pytest.approx(1)


def test_a_point_speeds_up_where_the_flow_does() -> None:
    flow = torch.zeros(1, 2, 3, 9, 9)
    flow[:, 1, 1], flow[:, 1, 2] = 0.25, 1.0
    velocity, acceleration = motion.follow(flow, 1)
    assert velocity[0, :, 0, 1].tolist() == pytest.approx([0, 0.25, 1.0])
    assert acceleration[0, :, 0, 1].tolist() == pytest.approx([0.25, 0.75])


def test_directions_turn_with_the_motion() -> None:
    right, down = (
        motion.histograms(horn_schunck(moving(*way)))[0][0, :32].view(4, 8).sum(0) for way in ((1, 0), (0, 1))
    )
    assert int(right.argmax()) == 0 and int(down.argmax()) == 2
    slow, fast = (motion.histograms(horn_schunck(moving(v, 0)))[1].mean(0)[:9] for v in (0.1, 1.0))
    assert motion.histogram_distance(slow, slow) == 0 and motion.histogram_distance(slow, fast) > 2


def test_motion_that_keeps_time_is_told_from_motion_that_does_not() -> None:
    rng = torch.Generator().manual_seed(0)
    beats = torch.zeros(400)
    beats[torch.arange(5, 400, 13)] = 1
    heard = beats + 0.5 * (beats.roll(1) + beats.roll(-1))
    noise = 0.2 * torch.rand(400, generator=rng)
    kept = motion.beat_agreement(heard + noise, heard, apart=6)
    late = motion.beat_agreement(heard.roll(5) + noise, heard, apart=6)
    other = motion.beat_agreement(torch.rand(400, generator=rng), heard, apart=6)
    assert kept.correlation > 0.9 and kept.ratio > 3
    assert late.correlation < 0 and abs(other.correlation) < 0.2 and other.ratio < 3
    assert kept == motion.beat_agreement(heard + noise, heard, apart=6), "the same each time"
    assert motion.beat_agreement(torch.zeros(400), heard, apart=6) == (0, 0, 0), "stills do not move in time"
    assert motion.beat_agreement(heard[:10], heard[:10], apart=6) == (0, 0, 0), "too short to tell"
