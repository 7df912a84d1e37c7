from __future__ import annotations

import subprocess
import sys

import torch

from footage.config.registry import METHODS
from footage.metrics.motion import contrast, diversity, motion_energy, sticking
from footage.models.base import PlainEngine
from footage.training.cost import fake_batch
from footage.training.diagnostics import judge_critics, judge_samples, periodicity, remedies, sample_figures
from tests.models import tiny_config


def walk(seed: int = 0) -> torch.Tensor:
    return torch.randn(6, 3, 8, 16, 16, generator=torch.Generator().manual_seed(seed)).cumsum(2) / 4


def kinds(fakes: torch.Tensor, reals: torch.Tensor) -> set[str]:
    return {sign.kind for sign in judge_samples(sample_figures(fakes, reals))}


def test_figures_of_known_clips() -> None:
    ramp = torch.arange(5.0).view(1, 1, 5, 1, 1).expand(2, 3, 5, 4, 4)
    assert motion_energy(ramp) == 1.0 and contrast(ramp) == 0.0 and diversity(ramp) == 0.0
    assert motion_energy(ramp[:, :, :1]) == 0.0
    split = torch.cat([torch.zeros(1, 1, 2, 2, 2), torch.full((1, 1, 2, 2, 2), 2.0)])
    assert diversity(split) == 1.0


def test_good_samples_are_not_complained_about() -> None:
    assert kinds(walk(1), walk(2)) == set()


def test_each_sign_is_named_with_a_remedy() -> None:
    reals = walk(0)
    assert kinds(torch.zeros_like(reals), reals) == {"grey"}
    assert kinds(walk(1)[:, :, :1].expand_as(reals), reals) == {"frozen"}
    assert kinds(walk(1)[:1].expand_as(reals), reals) == {"collapsed"}
    cycle = torch.rand(6, 3, 1, 16, 16) * (torch.arange(16) % 4 == 0).float().cumsum(0).view(1, 1, 16, 1, 1)
    wandering = torch.randn(6, 3, 16, 16, 16, generator=torch.Generator().manual_seed(4)).cumsum(2) / 4
    assert periodicity(cycle) > 0.6 > 0.2 > periodicity(wandering)
    assert "periodic" in kinds(cycle * wandering.std() / cycle.std(), wandering)
    (sign,) = judge_samples(sample_figures(torch.zeros_like(reals), reals))
    assert "0%" in sign.text


def test_critic_that_has_won_and_remedies_for_every_sign() -> None:
    (sign,) = judge_critics({"clip_real": 8.0, "clip_fake": -9.0}, "non-saturating")
    assert sign.kind == "critic won" and "17.0" in sign.text
    assert judge_critics({"clip_real": 2.0, "clip_fake": -2.0}, "non-saturating") == [] == judge_critics({}, "minimax")
    kinds = {"critic won", "learned by heart", "grey", "frozen", "collapsed", "periodic", "sticking", "diverged"}
    for method in METHODS:
        assert kinds <= set(remedies(method))


def test_every_method_logs_what_its_critics_are_judged_by() -> None:
    for preset in ("conv3d-32", "simvp-gan-64"):
        past = {"task__past": 2} if preset == "simvp-gan-64" else {}
        config = tiny_config(preset, clip__frames=4, learn__critics_after=0, **past)
        method = METHODS[config.method](config, 0)
        method.build_optimizers()
        log = method.step(fake_batch(config, 0, 2, "cpu"), 0, PlainEngine())
        names = [key.removesuffix("_real") for key in log if key.endswith("_real")]
        assert len(names) == len(config.critics) > 0 and all(f"{name}_fake" in log for name in names)
        name = names[-1]
        signs = judge_critics({f"{name}_real": 9.0, f"{name}_fake": -9.0, f"{name}_heldout_gap": 20.0}, "minimax")
        assert [sign.kind for sign in signs] == ["critic won", "learned by heart"]


def test_judging_needs_no_torch() -> None:
    code = "import sys, footage.training.diagnostics, footage.training.run_folder; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_detail_that_sticks_while_light_moves() -> None:
    rng = torch.Generator().manual_seed(0)
    grain, light = torch.randn(4, 1, 1, 16, 16, generator=rng), torch.randn(4, 1, 12, 1, 1, generator=rng)
    stuck = grain + light
    moved = torch.stack([torch.roll(grain[:, :, 0], t, dims=-1) for t in range(12)], dim=2) + light
    assert sticking(stuck) > 0.99 and sticking(moved) < 0.5 and sticking(torch.zeros(1, 1, 4, 8, 8)) == 0
    assert "sticking" in kinds(stuck, moved) and "sticking" not in kinds(moved, stuck)


def test_still_data_is_not_called_frozen() -> None:
    still = walk(0)[:, :, :1].expand(6, 3, 8, 16, 16)
    assert "frozen" not in kinds(walk(1)[:, :, :1].expand_as(still), still)
