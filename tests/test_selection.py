from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

import footage
from footage.config import TrainConfig
from footage.data.clips import Loader
from footage.data.pairs import open_source
from footage.errors import ConfigError
from footage.files import read_lines
from footage.metrics.distances import frechet, gaussian
from footage.models.card import read_info
from footage.models.checkpoint import load_model, read_state
from footage.training import trainer
from footage.training.plan import prepare
from footage.training.run_folder import RunFolder, snapshots
from footage.training.selection import SEED, BestModel, SelectionOptions
from tests.models import tiny_config
from tests.test_train import CONFIG, QUICK, same

CHOICE = SelectionOptions(every=16, clips=24)


def train(path: Path, clips: int, choice: SelectionOptions | None = CHOICE, config: footage.Config = CONFIG) -> str:
    console = Console(file=io.StringIO(), width=200)
    plan = prepare("shapes", config, timed=False)
    trainer.train(plan, RunFolder(path), clips=clips, minutes=None, console=console, choice=choice)
    return console.file.getvalue()  # type: ignore[attr-defined]


@pytest.mark.nightly
def test_measuring_changes_no_weight_and_a_run_taken_up_again_chooses_the_same(tmp_path: Path) -> None:
    train(tmp_path / "plain", 48, None)
    said = train(tmp_path / "one", 48)
    assert same(tmp_path / "plain", tmp_path / "one")
    for clips in (20, 36, 48):
        train(tmp_path / "two", clips)
    assert same(tmp_path / "one", tmp_path / "two")
    rows = {
        row["clips"]: row["heldout_frechet"]
        for row in read_lines(tmp_path / "one" / "metrics.jsonl")
        if "heldout_frechet" in row
    }
    again = [row for row in read_lines(tmp_path / "two" / "metrics.jsonl") if "heldout_frechet" in row]
    assert list(rows) == [16, 32, 48]
    assert rows == {row["clips"]: row["heldout_frechet"] for row in again if row["clips"] in rows}
    best = read_info(tmp_path / "one" / "best")
    assert best.clips_seen == min(rows, key=lambda seen: rows[seen])
    assert best.extra["chosen"]["value"] == pytest.approx(min(rows.values()), rel=1e-5)
    assert "the best so far" in said and "not counted" in said and "take fresh samples" in said
    assert "FVD" not in said


def test_the_best_model_is_the_one_that_was_measured(tmp_path: Path) -> None:
    """By hand: features of the model in best/ and of held-out windows, and the distance of the two."""
    train(tmp_path / "run", 32)
    sampler, info = load_model(tmp_path / "run" / "best")
    source = open_source("shapes", CONFIG.clip)
    loader = Loader(source, "heldout", frames=4, batch_size=4, seed=0)
    selection = BestModel(CHOICE, CONFIG, loader, tmp_path / "run" / "best")
    assert selection.measure(sampler, info) == pytest.approx(info.extra["chosen"]["value"], rel=1e-9)
    made, real = (
        np.concatenate([batch for _, batch in clips.batches(range(24))])
        for clips in selection.plan(sampler, info).clips(SEED)
    )
    assert made.shape == real.shape == (24, 4, 32, 32, 3)
    by_hand = [
        frechet(gaussian(net.features(made).numpy()), gaussian(net.features(real).numpy())) for net in selection.nets
    ]
    assert selection.measure(sampler, info) == pytest.approx(np.mean(by_hand), rel=1e-6)
    assert 0 < selection.floor < selection.measure(sampler, info)


def test_a_worse_model_does_not_take_the_place_of_the_best(tmp_path: Path) -> None:
    train(tmp_path / "run", 16)
    best = RunFolder(tmp_path / "run").best
    known = json.loads((best / "model.json").read_text())
    value = known["extra"]["chosen"]["value"]
    train(tmp_path / "run", 32)
    kept = read_info(best)
    rows = [
        row["heldout_frechet"] for row in read_lines(tmp_path / "run" / "metrics.jsonl") if "heldout_frechet" in row
    ]
    assert kept.extra["chosen"]["value"] == pytest.approx(min(rows), rel=1e-5)
    # Another way of choosing is not comparable: the first figure of the new kind is taken.
    train(tmp_path / "run", 48, SelectionOptions(every=16, clips=16, metric="kernel"))
    assert read_info(best).extra["chosen"]["metric"] == "kernel" and read_info(best).extra["chosen"]["seed"] == SEED
    assert value > 0


@pytest.mark.parametrize("preset", ["svg-64", "vae-latent-64", "animate-64", "stream-64"])
def test_every_kind_of_model_can_be_chosen(tmp_path: Path, preset: str) -> None:
    past = {"task__past": 2} if preset == "svg-64" else {}
    config = tiny_config(preset, **QUICK, **past)
    train(tmp_path / "run", 8, SelectionOptions(every=8, clips=8, metric="kernel"), config)
    assert read_info(tmp_path / "run" / "best").clips_seen == 8


def test_without_heldout_clips_it_is_refused_before_anything_begins(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no held-out clips"):
        BestModel(CHOICE, CONFIG, None, tmp_path)
    for wrong in ({"every": 0}, {"every": 10, "clips": 2}):
        with pytest.raises(ConfigError, match="at least"):
            SelectionOptions(**wrong)


def test_a_model_that_is_no_longer_finite_is_not_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step, bad = trainer.Trainer.step, [True]

    def poisoned(training: trainer.Trainer, *arguments: object) -> dict[str, torch.Tensor]:
        log = step(training, *arguments)  # type: ignore[arg-type]
        if training.progress.clips_seen == 12 and bad:
            bad.clear()
            with torch.no_grad():
                next(iter(training.method.averages["generator"].module.parameters())).fill_(float("nan"))
        return log

    monkeypatch.setattr(trainer.Trainer, "step", poisoned)
    assert "no longer finite" in train(tmp_path / "run", 16)
    tensors = read_state(tmp_path / "run" / "state" / "last.pt")["averages"]["generator"].values()
    assert all(bool(torch.isfinite(value).all()) for value in tensors)
    assert read_info(tmp_path / "run" / "best").clips_seen == 16


def test_snapshots_are_models_and_follow_the_run(tmp_path: Path) -> None:
    config = tiny_config(**QUICK, train__snapshot_clips=8)
    train(tmp_path / "run", 28, None, config)
    folder = RunFolder(tmp_path / "run")
    assert [path.name for path in sorted(folder.snapshots.iterdir())] == ["000000008", "000000016", "000000024"]
    found = snapshots(folder)
    assert [info.clips_seen for _, info in found] == [8, 16, 24, 28] and found[-1][0] == folder.model
    sampler, info = load_model(folder.snapshots / "000000016")
    assert info.clips_seen == 16 and sampler.clip.frames == 4
    (folder.snapshots / "000000099").mkdir()  # what was killed half way, beyond the state
    (folder.snapshots / "000000024" / "model.json").unlink()
    train(tmp_path / "run", 32, None, config)
    assert [info.clips_seen for _, info in snapshots(folder)] == [8, 16, 32]
    assert not (folder.snapshots / "000000099").exists()
    with pytest.raises(ConfigError, match="snapshot_clips"):
        TrainConfig(snapshot_clips=0)


def test_the_verb_takes_it_and_curves_show_it(tmp_path: Path) -> None:
    run = footage.train(
        "shapes", CONFIG, out=tmp_path / "run", clips=16, evaluate_every=8, evaluate_clips=8, quiet=True
    )
    assert (run.path / "best" / "model.json").exists() and (run.path / "curves.png").exists()
    with pytest.raises(ConfigError, match="evaluate_every is 0"):
        footage.train("shapes", CONFIG, out=tmp_path / "other", clips=16, evaluate_every=0, quiet=True)
    assert not (tmp_path / "other").exists()
