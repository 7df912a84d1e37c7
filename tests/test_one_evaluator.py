"""The same two sides, seed and clip count give the same number through each of the three verbs that measure."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import torch
from rich.console import Console

import footage
from footage.data.clips import Loader
from footage.data.pairs import open_source
from footage.evaluation.feature_cache import FeatureCache
from footage.evaluation.results import Evaluation
from footage.models.checkpoint import load_model
from footage.training.comparison import ComparedRun, compared_figures, compared_runs, evaluator_of
from footage.training.run_folder import RunFolder
from footage.training.selection import SEED, BestModel, SelectionOptions
from tests.models import save_tiny_model, tiny_config

CLIPS = 24
PRESETS = {"stream-64": {}, "svg-64": {"task__past": 3}, "vae-64": {}}
"""A model that makes clips from nothing, one that is given the beginning of clips, and one that can do both."""


def evaluated(folder: Path, **more: object) -> Evaluation:
    return footage.evaluate(folder, "shapes", clips=CLIPS, resamples=0, quiet=True, cache=Path("none"), **more)  # type: ignore[arg-type]


def compared(folder: Path, preset: str, **knobs: object) -> ComparedRun:
    (entry,) = compared_runs("shapes", [tiny_config(preset, **knobs)], folder.parent, seed=0)
    run_folder = RunFolder(folder)
    run_folder.model = folder  # there is nothing but the model
    return ComparedRun(entry.plan, run_folder, 1.0)


@pytest.mark.parametrize("preset", PRESETS)
def test_compare_gives_the_figures_of_evaluate(tmp_path: Path, preset: str) -> None:
    save_tiny_model(tmp_path / "m", preset=preset, labels=(), **PRESETS[preset])
    alone = evaluated(tmp_path / "m", metrics="fvd,motion,pictures,diversity")
    with FeatureCache(None) as cache:
        evaluator = evaluator_of(compared(tmp_path / "m", preset, **PRESETS[preset]), CLIPS, cache)
        inputs = evaluator.figure_inputs()
        row, floor = compared_figures(evaluator, inputs), compared_figures(evaluator, inputs.of_floor())
    assert row is not None and floor is not None
    assert row["rfd"] == list(alone.figure("frechet").by_network)
    for name in ("motion_ratio", "motion_distance", "spectrum_distance", "contrast_ratio", "sharpness_ratio"):
        assert row[name] == alone.figure(name).value, name
        assert floor[name] == alone.figure(name).floor.value, name  # type: ignore[union-attr]
    variety = next(figure for figure in alone.figures if figure.name == "variety" and not figure.networks)
    assert row["diversity_ratio"] == variety.value and floor["diversity_ratio"] == variety.floor.value  # type: ignore[union-attr]
    assert isinstance(floor["rfd"], list)
    assert sum(floor["rfd"]) / 5 == pytest.approx(alone.figure("frechet").floor.value)  # type: ignore[union-attr]
    assert evaluator.floor == alone.floor


@pytest.mark.parametrize("metric", ["frechet", "kernel"])
@pytest.mark.parametrize("preset", PRESETS)
def test_a_run_chooses_its_best_model_by_the_figure_of_evaluate(
    tmp_path: Path, preset: str, metric: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny_config(preset, **PRESETS[preset])
    save_tiny_model(tmp_path / "m", preset=preset, labels=(), **PRESETS[preset])
    sampler, info = load_model(tmp_path / "m")
    assert info.config.clip == config.clip
    source = open_source("shapes", config.clip)
    heldout = Loader(source, "heldout", frames=config.clip.frames, batch_size=4, seed=3)
    choice = SelectionOptions(every=8, clips=CLIPS, metric=metric)  # type: ignore[arg-type]
    best = BestModel(choice, info.config, heldout, tmp_path / "best")
    before = torch.get_rng_state()
    values = [best.measure(sampler, info)]
    monkeypatch.setattr(source, "read", lambda *_: pytest.fail("real clips are described once"))
    if preset != "svg-64":  # which is given them
        values.append(best.measure(sampler, info))
    assert torch.equal(torch.get_rng_state(), before), "training goes on with the same random numbers"
    alone = evaluated(tmp_path / "m", metrics={"frechet": "fvd", "kernel": "kvd"}[metric], split="heldout", seed=SEED)
    figure = alone.figure(metric)
    assert figure.label == best.name and figure.floor is not None
    assert values == [figure.value] * len(values) and best.floor == figure.floor.value
    assert best.note(values[0])["chosen"]["split"] == alone.real.split == "heldout"


def test_the_verbs_say_the_same_number(tmp_path: Path) -> None:
    """From end to end: train, compare and evaluate by their commands."""
    config = tiny_config()
    run = footage.train(
        "shapes", config, out=tmp_path / "run", clips=8, evaluate_every=8, evaluate_clips=16, quiet=True
    )
    assert run is not None
    (best,) = [load_model(tmp_path / "run" / "best")[1]]
    alone = footage.evaluate(
        tmp_path / "run" / "best",
        "shapes",
        clips=16,
        metrics="fvd",
        split="heldout",
        seed=SEED,
        resamples=0,
        quiet=True,
        cache=Path("none"),
    )
    assert best.extra["chosen"]["value"] == pytest.approx(alone.figure("frechet").value, rel=1e-9)
    from footage.training.comparison import Limit, compare

    out = tmp_path / "out"
    console = Console(file=io.StringIO())
    found = compare("shapes", [config], out, limit=Limit(clips=8), seed=0, samples=16, console=console)
    alone = footage.evaluate(out / config.preset, "shapes", clips=16, metrics="fvd", quiet=True, cache=Path("none"))
    assert found.models[0]["figures"]["rfd"] == list(alone.figure("frechet").by_network)
    assert found.models[0]["floor_how"] == alone.floor
