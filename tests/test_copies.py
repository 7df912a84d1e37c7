"""A model that repeats training clips: it is not chosen as the best of a run."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

import footage
from footage.data.clips import BuiltInClips, Loader
from footage.files import read_lines
from footage.models.card import read_info
from footage.training import trainer
from footage.training.plan import prepare
from footage.training.run_folder import RunFolder
from footage.training.selection import SEED, BestModel, CopyShare, SelectionOptions
from tests.models import FewShapes, FromClips, save_tiny_model
from tests.test_train import CONFIG

CHOICE = SelectionOptions(every=8, clips=16, metric="copies")
SOURCE = FewShapes(train=4, heldout=16)


def best_model(folder: Path) -> BestModel:
    heldout = Loader(SOURCE, "heldout", frames=CONFIG.clip.frames, batch_size=4, seed=0)
    return BestModel(CHOICE, CONFIG, heldout, folder)


def test_copies_are_counted_beside_those_of_unseen_clips(tmp_path: Path) -> None:
    info = save_tiny_model(tmp_path / "tiny", labels=(), clip__frames=CONFIG.clip.frames)
    best, training, others = best_model(tmp_path), SOURCE.spans("train"), FewShapes(heldout=40).spans("heldout")[20:]
    half = [clip for both in zip(training * 3, others, strict=False) for clip in both]
    shares, distances = [], []
    for spans in (training, half, others):
        distances.append(best.measure(FromClips(CONFIG.clip, SOURCE, spans), info))
        assert best.copies is not None
        shares.append(best.copies)
    assert shares[0].made == 1 and shares[0].space == "pixels" and shares[0].unseen < 0.2
    assert shares[0].excess > shares[1].excess > shares[2].excess, "all, half and none of the clips are copied"
    assert distances[2] < distances[0]
    assert best.row(3.0) == {"heldout_frechet": 3.0, "heldout_copies": shares[2].made}
    assert f"near-copies in {shares[2].space} {shares[2].made:.1%}" in best.describe(3.0)


@pytest.mark.parametrize(
    ("before", "now", "better"),
    [
        (None, (9.0, 0.5), True),  # the first
        ((2.0, 0.0), (1.0, 0.0), True),
        ((2.0, 0.0), (3.0, 0.0), False),
        ((2.0, 0.0), (1.0, 0.3), False),  # nearer, and copied
        ((2.0, 0.3), (9.0, 0.0), True),
        ((2.0, 0.3), (3.0, 0.2), True),  # fewer copies, where both have too many
        ((2.0, 0.019), (1.9, 0.02), True),  # so few come by chance
    ],
)
def test_what_is_better(
    tmp_path: Path,
    before: tuple[float, float] | None,
    now: tuple[float, float],
    better: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    best = best_model(tmp_path)
    if before is not None:
        best.copies = CopyShare("pixels", before[1], 0.01)
        known = best.note(before[0])["chosen"]
        monkeypatch.setattr(best, "best_so_far", lambda: known)
    best.copies = CopyShare("pixels", now[1], 0.01)
    assert best.is_best(now[0]) is better


def test_a_run_is_chosen_by_copies_and_says_what_evaluate_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BuiltInClips, "CLIPS", 4)
    monkeypatch.setattr(BuiltInClips, "HELDOUT", 16)
    console = Console(file=io.StringIO(), width=200)
    plan = prepare("shapes", CONFIG, timed=False)
    trainer.train(plan, RunFolder(tmp_path / "run"), clips=16, minutes=None, console=console, choice=CHOICE)
    said = console.file.getvalue()  # type: ignore[attr-defined]
    rows = [row for row in read_lines(tmp_path / "run" / "metrics.jsonl") if "heldout_copies" in row]
    assert [row["clips"] for row in rows] == [8, 16] and all(row["heldout_frechet"] > 0 for row in rows)
    chosen = read_info(tmp_path / "run" / "best").extra["chosen"]
    options = {"metrics": "fvd,memorisation", "split": "heldout", "seed": SEED, "clips": 16, "resamples": 0}
    alone = footage.evaluate(tmp_path / "run" / "best", "shapes", cache=Path("none"), quiet=True, **options)
    assert alone.memorisation is not None and chosen["metric"] == "copies"
    assert chosen["value"] == pytest.approx(alone.figure("frechet").value, rel=1e-9)
    (space,) = [space for space in alone.memorisation.spaces if space.name == chosen["copies"]["space"]]
    assert (space.below, space.below_real) == (chosen["copies"]["made"], chosen["copies"]["unseen"])
    assert "near-copies in" in said and "unseen clips" in said
