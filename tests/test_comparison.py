from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console
from torch import nn

import footage
from footage.commands import main as cli
from footage.config import Config
from footage.errors import ConfigError, TrainingError
from footage.media.sheets import gallery
from footage.models.device import ComputeDevice
from footage.training import comparison, cost, trainer
from footage.training.comparison import Comparison, Limit, compare, compared_runs
from footage.training.plan import TrainingPlan
from tests.clips import moving, write
from tests.ingesting import ingest
from tests.models import tiny_config


def named(name: str, **overrides: object) -> Config:
    return dataclasses.replace(tiny_config(**overrides), preset=name)


CONFIGS = [named("narrow"), named("wide", net__width=8)]


def run(out: Path, configs: list[Config] = CONFIGS, clips: int = 8, data: str = "shapes") -> Comparison:
    console = Console(quiet=True)
    return compare(data, configs, out, limit=Limit(clips=clips), seed=0, samples=16, console=console)


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The presets whose training was begun."""
    names: list[str] = []
    original = trainer.train

    def noted(plan: TrainingPlan, *arguments: Any, **options: Any) -> bool:
        names.append(plan.config.preset)
        return original(plan, *arguments, **options)

    monkeypatch.setattr(trainer, "train", noted)
    return names


@pytest.mark.nightly
def test_two_presets_side_by_side_and_once_more(tmp_path: Path, begun: list[str]) -> None:
    out = tmp_path / "out"
    found = run(out)
    assert begun == ["narrow", "wide"] and not found.interrupted
    assert {path.name for path in out.iterdir()} == {
        *("narrow", "wide"),
        *("comparison.json", "comparison.md", "comparison.png"),
    }
    content = json.loads((out / "comparison.json").read_text())
    assert content["samples"] == 16 and content["limit"] == "8 clips" and content["labels"]
    for row in content["models"]:
        assert row["status"] == "done" and row["clips_seen"] == 8 and row["batch_size"] == 2
        assert len(row["figures"]["rfd"]) == 5 and row["floor"]["rfd"] and row["memory_gib"] > 0.1
        assert row["step_seconds"] > 0 and row["gflop_per_second"] > 0 and row["generator"] > 1000 < row["critics"]
    lines = (out / "comparison.md").read_text(encoding="utf-8").splitlines()
    table = [line for line in lines if line.startswith("| ")]
    assert [line.split(" | ")[0] for line in table] == ["| preset", "| narrow", "| wide", "| real clips"]
    assert len({line.count("|") for line in table}) == 1 and "RFD-rand ↓" in table[0]
    assert Image.open(out / "comparison.png").width > 600

    weights = (out / "wide" / "model" / "model.json").read_bytes()
    again = run(out)
    assert begun == ["narrow", "wide"], "nothing is trained a second time"
    assert (out / "wide" / "model" / "model.json").read_bytes() == weights
    assert [row["figures"] for row in again.models] == [row["figures"] for row in found.models]
    assert [row["memory_gib"] for row in again.models] == [row["memory_gib"] for row in found.models]

    more = run(out, [*CONFIGS, named("third")], clips=8)
    assert begun[2:] == ["third"] and [row["preset"] for row in more.models] == ["narrow", "wide", "third"]
    with pytest.raises(TrainingError, match=r"net.width 8, now it is 4.*--out"):
        run(out, [named("narrow"), named("wide")])
    with pytest.raises(TrainingError, match=r"train.seed 0, now it is 1"):
        compare("shapes", CONFIGS, out, limit=Limit(clips=8), seed=1, samples=16, console=Console(quiet=True))


@pytest.mark.nightly
def test_one_that_diverges_does_not_stop_the_others(
    tmp_path: Path, begun: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    step = trainer.Trainer.step

    def poisoned(training: trainer.Trainer, *arguments: Any) -> dict[str, torch.Tensor]:
        log = step(training, *arguments)
        if training.config.preset == "narrow":
            with torch.no_grad():
                next(training.method.nets["generator"].parameters()).fill_(float("nan"))
        return log

    monkeypatch.setattr(trainer.Trainer, "step", poisoned)
    found = run(tmp_path / "out")
    assert found.models[0]["status"] == "diverged at 8 clips" and found.models[0]["figures"] is None
    assert found.models[1]["status"] == "done" and found.models[1]["figures"]["motion_ratio"] > 0
    assert "diverged at 8 clips; no model to measure" in (tmp_path / "out" / "comparison.md").read_text(
        encoding="utf-8"
    )
    run(tmp_path / "out")
    assert begun == ["narrow", "wide"], "the same training would diverge again"


@pytest.mark.nightly
def test_a_failure_is_told_and_tried_again(tmp_path: Path, begun: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    noted = trainer.train

    def failing(plan: TrainingPlan, *arguments: Any, **options: Any) -> bool:
        if plan.config.preset == "narrow" and not begun:
            begun.append("failed")
            raise TrainingError("the memory does not suffice", "give a smaller --train.batch-size")
        return noted(plan, *arguments, **options)

    monkeypatch.setattr(trainer, "train", failing)
    assert "failed: the memory does not suffice" in run(tmp_path / "out").models[0]["status"]
    assert run(tmp_path / "out").models[0]["status"] == "done" and begun == ["failed", "wide", "narrow"]


def test_stopping_stops_the_comparison(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(trainer, "train", lambda *arguments, **options: True)
    assert run(tmp_path / "out").interrupted and not (tmp_path / "out" / "comparison.md").exists()
    monkeypatch.setattr("footage.commands.train.preset", lambda name: named(name))
    with pytest.raises(SystemExit) as end:
        cli.main(["compare", "shapes", "--presets", "a, b", "--clips", "8", "--out", str(tmp_path / "other")])
    assert end.value.code == 130 and "run the same command again" in capsys.readouterr().out


def test_mistakes_are_found_before_anything_is_trained(tmp_path: Path, begun: list[str]) -> None:
    out = tmp_path / "out"
    for presets, said in (("conv3d-32,conv3d-46", '"conv3d-64"'), ("", "no preset is named")):
        with pytest.raises(ConfigError, match=said):
            footage.compare("shapes", presets=presets, out=out, quiet=True)
    with pytest.raises(ConfigError, match="named twice"):
        run(out, [CONFIGS[0], CONFIGS[0]])
    with pytest.raises(ConfigError, match="without a label"):
        run(out, [named("fits"), named("labels", train__labels="yes")], data="digits-2")
    with pytest.raises(ConfigError, match=r"digits are square and at least 32×32, 32×64 was asked"):
        run(out, [named("fits"), named("wrong", clip__width=64)], data="digits")
    for options, said in (
        ({"minutes": 1.0, "flops": 1e9}, "minutes and flops given: give one of"),
        ({"clips": 0}, "clips is 0"),
        ({"samples": 3}, "samples is 3: give at least 16"),
    ):
        with pytest.raises(ConfigError, match=said):
            footage.compare("shapes", presets="conv3d-32", out=out, quiet=True, **options)  # type: ignore[arg-type]
    assert not begun and not out.exists()


@pytest.mark.nightly
def test_translators_of_pairs_are_given_their_guide(tmp_path: Path) -> None:
    for folder, seed in (("photos", 1), ("maps", 1)):
        write(tmp_path / folder / "take.mp4", moving(40, (32, 32), seed))
        ingest([tmp_path / folder], tmp_path / f"{folder}-set", height=32, width=32, min_frames=8, heldout=0, workers=0)
    data, guide = str(tmp_path / "photos-set"), str(tmp_path / "maps-set")
    configs = [dataclasses.replace(tiny_config(name), preset=name) for name in ("spade-64", "translate-64")]
    options: dict[str, Any] = {"limit": Limit(clips=2), "seed": 0, "samples": 16, "console": Console(quiet=True)}
    found = compare(data, configs, tmp_path / "out", guide=guide, **options)
    assert [row["status"] for row in found.models] == ["done", "done"]
    assert all(row["figures"]["motion_ratio"] is not None for row in found.models)
    with pytest.raises(ConfigError, match=r"spade-64 .* --guide DATASET, or leave spade-64 out of --presets"):
        footage.compare("shapes", presets="spade-64", out=tmp_path / "other", quiet=True)
    with pytest.raises(ConfigError, match=r"no preset of conv3d-32 .*leave --guide out"):
        footage.compare("shapes", presets="conv3d-32", guide=guide, out=tmp_path / "other", quiet=True)


def test_a_learned_prior_is_no_critic(tmp_path: Path) -> None:
    (entry,) = compared_runs("shapes", [tiny_config("vae-latent-64")], tmp_path, seed=0)
    weights = entry.plan.needs.parameters
    critics = [name for name in weights if name.startswith("critic_")]
    row = entry.describe(Limit(clips=2))
    assert critics and row["critics"] == sum(weights[name] for name in critics)
    assert row["generator"] == weights["generator"] + weights["prior"]


def test_arithmetic_as_the_limit_becomes_whole_steps(tmp_path: Path) -> None:
    narrow, wide = compared_runs("shapes", CONFIGS, tmp_path, seed=0)
    assert narrow.clip_flops < wide.clip_flops and narrow.plan.batch_size == 2
    assert narrow.clips(Limit(flops=narrow.clip_flops * 7)) == 8
    assert narrow.clips(Limit(clips=7)) == 7 and narrow.clips(Limit(minutes=1)) is None
    assert str(Limit(flops=1e15)) == "1e+15 floating-point operations"
    assert not narrow.finished(Limit(minutes=1)) and not (tmp_path / "narrow").exists()


@pytest.mark.parametrize("kind", [nn.Conv2d, nn.Conv3d])
def test_operations_are_counted_with_gradients_of_gradients(kind: type[nn.Conv3d]) -> None:
    dimensions = 3 if kind is nn.Conv3d else 2
    net, x = kind(3, 5, 3, padding=1), torch.randn(2, 3, *[4] * dimensions, requires_grad=True)
    forward = 2 * 2 * 5 * 3 * 3**dimensions * 4**dimensions  # multiply and add; 2 clips, 5 x 3 filters, 4^n places
    with cost.FlopCount() as plain:
        net(x.detach())
    assert plain.total == forward
    with cost.FlopCount() as backward:
        net(x).sum().backward()
    assert backward.total == 3 * forward, "forward, the gradient by the weights, the gradient by the input"
    with cost.FlopCount() as penalty:
        (gradient,) = torch.autograd.grad(net(x).tanh().sum(), x, create_graph=True)
        gradient.square().sum().backward()
    # Two for the gradient, two for its own gradients (by weights and by tanh'), two for those through the first pass.
    assert penalty.total == 6 * forward


def test_operations_of_a_whole_step_count_the_lazy_penalty() -> None:
    place = ComputeDevice("cpu", bf16=False)
    with_penalty, without = (cost.clip_flops(tiny_config(gan__r1=r1), 0, place) for r1 in (1.0, 0.0))
    assert 1.1 * without < with_penalty < 2 * without


def test_memory_is_the_peak_of_its_time() -> None:
    cost.forget_peak("cpu")
    before = cost.peak_gib("cpu")
    held = np.ones(2**25)  # 256 MiB
    held[0] = 2
    del held
    assert 0.2 < cost.peak_gib("cpu") - before < 0.4, "after it was given back"
    assert comparison.MINUTES == 10


def test_gallery_takes_groups_of_any_shape() -> None:
    colour = [np.full((8, 32, 32, 3), 200, dtype=np.uint8)] * 3
    grey = [np.zeros((4, 64, 80, 1), dtype=np.uint8)]
    picture = gallery([("real", "x", colour), ("a model", "y" * 300, grey), ("nothing", "diverged", [])])
    assert picture.dtype == np.uint8 and picture.ndim == 3 and picture.shape[1] > 2 * 8 * 64
    assert (picture == 200).all(axis=2).sum() == 3 * 8 * 64 * 64
