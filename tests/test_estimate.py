"""What a training would take: every figure says where it is from, and follows from its formula."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

import footage
from footage.commands import main as cli
from footage.config import IngestConfig
from footage.config.presets import override, preset
from footage.errors import ConfigError, DatasetError, TrainingError
from footage.models.card import model_folder
from footage.models.device import ComputeDevice
from footage.training import estimate as estimates
from footage.training.cost import clip_cost, fresh_method, measure
from footage.training.estimate import ASSUMED, CALL_SECONDS, H200, HERE, ORIGINS, average_bytes, state_bytes
from tests.models import tiny_config
from tests.test_api import make_videos

CONFIG = tiny_config(train__batch_size=8, clip__frames=4)
CPU = ComputeDevice("cpu", False)
LABELS = 3


@pytest.fixture
def trials(monkeypatch: pytest.MonkeyPatch) -> list[Sequence[str]]:
    """Trials of one process and two that would see 10 clips a second and 16, on a machine of two cores."""
    asked: list[Sequence[str]] = []

    def rates(arguments: Sequence[str], say: object) -> dict[int, float]:
        asked.append(arguments)
        return {1: 10.0, 2: 16.0}

    monkeypatch.setattr(estimates, "trial_rates", rates)
    monkeypatch.setattr(estimates.machine, "cores", lambda: 2)
    return asked


def test_one_device_here_is_measured_through_and_through() -> None:
    plan = footage.plan("shapes", CONFIG, clips=1000, quiet=True)
    assert {figure.origin for figure in plan.figures if figure.name != "clips"} == {HERE}
    rate = plan["throughput"].value
    assert rate == pytest.approx(8e3 / plan["step"].value) and rate > 0
    assert plan["training"].value == pytest.approx(1000 / rate / 60)
    assert plan["each device"].value == pytest.approx(measure(CONFIG, LABELS, CPU).bytes(8) / 2**30, rel=0.05)


def test_several_devices_divide_what_one_process_and_two_were_seen_to_divide(
    trials: list[Sequence[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    plan = footage.plan("shapes", CONFIG, devices=4, nodes=2, minutes=10)
    table = capsys.readouterr().out
    assert "throughput" in table and "measured here" in table and "any number makes 4.0 times" in table
    words = " ".join(trials[0])
    assert "train shapes" in words and "--train.batch-size 8" in words and "--train.threads 1" in words
    weights = sum(sum(p.numel() for p in net.parameters()) for net in fresh_method(CONFIG, LABELS, CPU).nets.values())
    undivided, sent = 2 * 10 / 16 - 1, 2 * 7 / 8 * 4 * weights / 1.25e9
    step = 0.8 * (undivided + (1 - undivided) / 8) + sent
    assert plan["undivided part"].value == undivided == 0.25
    assert plan["gradients"].value == pytest.approx(1e3 * sent) and plan["gradients"].origin == ASSUMED
    assert plan["step"].value == pytest.approx(1e3 * step)
    assert plan["clips"].value == pytest.approx(600 * 8 / step)
    assert plan["devices"].value == pytest.approx(10 / 60 * 8)
    assert plan["step, one device"].origin == plan["undivided part"].origin == HERE
    assert any("any number makes 4.0 times at most" in line for line in plan.advice)

    within = footage.plan("shapes", CONFIG, devices=8, clips=100, quiet=True)
    assert within["gradients"].value == 0 and within["throughput"].origin == HERE
    assert within["throughput"].value == pytest.approx(10 / (undivided + (1 - undivided) / 8))


def test_a_gpu_that_was_measured_is_told_from_one_that_is_assumed(
    trials: list[Sequence[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    operations, flops = clip_cost(CONFIG, LABELS, CPU)
    for gpu, memory in (("h200", H200), ("h100", ASSUMED)):
        plan = footage.plan("shapes", CONFIG, devices=8, gpu=gpu, quiet=True)
        assert estimates.GPUS[gpu].origin == memory and plan["throughput"].origin == ASSUMED
        assert plan["step, one device"].value == pytest.approx(1e3 * operations * CALL_SECONDS)
        assert operations * CALL_SECONDS > flops * 8 / estimates.BUSY_FLOPS, "small networks wait for the host"
        assert any("--train.batch-size 512" in line for line in plan.advice)
    monkeypatch.setitem(estimates.GPUS, "h200", replace(estimates.GPUS["h200"], call_seconds=0.0))
    whole, parts = (
        footage.plan("shapes", CONFIG, devices=8, gpu="h200", strategy=strategy, quiet=True)
        for strategy in ("ddp", "fsdp")
    )
    assert whole["step, one device"].value == pytest.approx(1e3 * flops * 8 / estimates.BUSY_FLOPS)
    assert parts["each device"].value < whole["each device"].value
    assert parts["gradients"].value == pytest.approx(1.5 * whole["gradients"].value)


def test_the_step_that_was_measured_has_as_many_operations_as_the_figure_says() -> None:
    operations, flops = clip_cost(preset("stream-512"), 0, ComputeDevice("cpu", True))
    assert operations * CALL_SECONDS == pytest.approx(45.4e-3, rel=0.1)
    assert flops == pytest.approx(12.7e12 * 45.4e-3 / 64, rel=0.1)


def test_files_are_as_large_as_said(tmp_path: Path) -> None:
    config = override(CONFIG, {"net.width": 24})
    run = footage.train("shapes", config, out=tmp_path / "run", clips=8, quiet=True).path
    needs = measure(config, LABELS, CPU)
    assert (run / "state" / "last.pt").stat().st_size == pytest.approx(state_bytes(needs), rel=0.15)
    weights = sum(file.stat().st_size for file in model_folder(run).glob("*.safetensors"))
    assert weights == pytest.approx(average_bytes(needs), rel=0.15)


def test_the_command_prints_figures_as_json(trials: list[Sequence[str]], capsys: pytest.CaptureFixture[str]) -> None:
    words = "--preset mlp-32 --clip.frames 4 --train.batch-size 4 --devices 2 --clips 100 --json"
    cli.main(["plan", "shapes", *words.split()])
    said = json.loads(capsys.readouterr().out)
    assert {figure["origin"] for figure in said["figures"]} <= set(ORIGINS)
    assert [figure["group"] for figure in said["figures"]] == ["time"] * 8 + ["memory"] * 2 + ["disk"] * 2


def test_a_data_set_at_an_address_is_planned_as_one_here(tmp_path: Path) -> None:
    options = IngestConfig(height=32, width=32, min_frames=4, keep_duplicates=True, keep_static=True)
    videos = make_videos(tmp_path / "videos", frames=8)
    data = footage.ingest((videos,), tmp_path / "data", options, advise=False, quiet=True).dataset
    here, there = (
        footage.plan(place, CONFIG, clips=8, quiet=True)
        for place in (str(tmp_path / "data"), f"file://{tmp_path / 'data'}")
    )
    raw = sum(row.frames for row in data.rows) * 32 * 32 * 3
    assert here["data"].value * 2**30 > raw == there["data"].value * 2**30
    assert here["data"].origin == HERE and there["data"].origin == ASSUMED


def test_what_cannot_be_planned_is_refused(tmp_path: Path, trials: list[Sequence[str]]) -> None:
    with pytest.raises(ConfigError, match=r'there are no figures of a GPU "b300": known are h100, h200'):
        footage.plan("shapes", CONFIG, gpu="b300", quiet=True)
    with pytest.raises(ConfigError, match="devices is 0"):
        footage.plan("shapes", CONFIG, devices=0, quiet=True)
    with pytest.raises(ConfigError, match="minutes is 0"):
        footage.plan("shapes", CONFIG, minutes=0, quiet=True)
    with pytest.raises(ConfigError, match=r"give --train.batch-size 6"):
        footage.plan("shapes", CONFIG, devices=3, quiet=True)
    with pytest.raises(TrainingError, match=r"smaller --train.batch-size"):
        footage.plan(
            "shapes", override(CONFIG, {"train.batch_size": 65_536, "clip.frames": 64}), gpu="h100", quiet=True
        )
    with pytest.raises(DatasetError, match="footage ingest"):
        footage.plan(str(make_videos(tmp_path / "videos")), clips=1000, quiet=True)
