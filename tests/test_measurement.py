from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from footage import api
from footage.config import ClipConfig
from footage.data.clips import open_clips
from footage.data.pairs import open_source
from footage.data.store import Frames
from footage.errors import ConfigError, DatasetError
from footage.fidelity import best, frame_figures, plain_answer
from footage.measurement import measure, table
from footage.metrics.fidelity import psnr
from footage.model import Model
from footage.sample import from_uint8
from tests.models import save_tiny_model

CLIP = ClipConfig(frames=8, height=32, width=32)


def measured(folder: Path, preset: str, samples: int = 1, **knobs: object) -> dict[str, object]:
    save_tiny_model(folder, preset=preset, labels=(), **knobs)
    found = measure(Model(folder), open_clips("shapes", CLIP), split="heldout", count=6, samples=samples)
    json.dumps(found)
    return found


def said(found: dict[str, object]) -> str:
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(table(found))
    return console.export_text()


def test_predictions_stand_beside_the_last_frame(tmp_path: Path) -> None:
    found = measured(tmp_path / "m", "simvp-64", task__past=3)["fidelity"]
    assert isinstance(found, dict) and (found["frames"], found["clips"], found["samples"]) == (5, 6, 1)
    assert "best" not in found and set(found["model"]) == {"mse", "mae", "psnr", "ssim"}
    errors = found["plain_by_frame"]["mse"]
    assert len(errors) == 5 and errors[0] < errors[-1], "the last frame is soon out of date"
    assert found["plain"]["mse"] == pytest.approx(sum(errors) / 5)


def test_the_best_of_many_futures_is_no_worse_than_the_mean(tmp_path: Path) -> None:
    found = measured(tmp_path / "m", "svg-64", samples=3, task__past=3)["fidelity"]
    assert isinstance(found, dict)
    assert found["best"]["mse"] < found["model"]["mse"] and found["best"]["ssim"] > found["model"]["ssim"]
    tries = [{"mse": torch.tensor([[1.0, 5.0], [2.0, 2.0]])}, {"mse": torch.tensor([[2.0, 2.0], [9.0, 9.0]])}]
    assert best(tries)["mse"].tolist() == [[2.0, 2.0], [2.0, 2.0]]


def test_a_vae_is_measured_by_what_it_reconstructs_and_by_what_it_makes(tmp_path: Path) -> None:
    found = measured(tmp_path / "m", "vae-64")
    fidelity, samples = found["fidelity"], found["samples"]
    assert isinstance(fidelity, dict) and isinstance(samples, dict)
    assert "plain" not in fidelity, "the clip itself is no answer"
    assert samples["figures"]["sharpness_ratio"] > 0 and samples["floor"]["rfd"]
    model, source = Model(tmp_path / "m"), open_clips("shapes", CLIP)
    (span,) = source.spans("heldout")[:1]
    clip = from_uint8(source.read(span.index, 0, 8)[None])
    again = torch.cat(list(model.sampler.convert([clip], 0)), dim=2)  # type: ignore[attr-defined]
    assert frame_figures(again, clip)["psnr"].tolist() == psnr(again, clip).tolist()


def test_translations_stand_beside_their_source(tmp_path: Path) -> None:
    found = measured(tmp_path / "m", "translate-64", task__source="lowres")["fidelity"]
    assert isinstance(found, dict) and found["plain"]["psnr"] > found["model"]["psnr"], "it has learned nothing"
    found = measured(tmp_path / "a", "animate-64", samples=2)["fidelity"]
    assert isinstance(found, dict) and found["samples"] == 2 and found["plain_by_frame"]["psnr"][0] == 100
    edges = torch.rand(2, 1, 4, 8, 8)
    assert plain_answer(edges, torch.zeros(2, 3, 4, 8, 8)).shape == (2, 3, 4, 8, 8)


def test_what_cannot_be_measured_is_refused(tmp_path: Path) -> None:
    save_tiny_model(tmp_path / "m", preset="simvp-64", task__past=3)
    model = Model(tmp_path / "m")
    with pytest.raises(ConfigError, match="frames of 48×32"):
        measure(model, open_clips("shapes", ClipConfig(8, 32, 48)), split="heldout", count=4)
    with pytest.raises(ConfigError, match="one future only"):
        measure(model, open_clips("shapes", CLIP), split="heldout", count=4, samples=2)
    with pytest.raises(ConfigError, match="count is 1"):
        api.evaluate(tmp_path / "m", "shapes", count=1, quiet=True)
    long = save_tiny_model(tmp_path / "long", preset="simvp-64", task__past=3, clip__frames=80)
    assert long.config.clip.frames == 80
    with pytest.raises(DatasetError, match="no clip of 80 frames"):
        measure(Model(tmp_path / "long"), open_source("shapes", CLIP), split="heldout", count=4)


class Guided:
    """The built-in shapes, with a guide of some channels behind them."""

    def __init__(self, guides: int) -> None:
        self.plain = open_clips("shapes", CLIP)
        self.name, self.fps, self.labels = "guided", self.plain.fps, self.plain.labels
        self.content_hash, self.spans, self.guides = "0", self.plain.spans, guides
        self.shape = (32, 32, 3 + guides)

    def read(self, index: int, start: int, frames: int) -> Frames:
        clip = self.plain.read(index, start, frames)
        return np.concatenate([clip, clip[..., : self.guides]], axis=-1)


def test_the_guide_must_be_that_of_the_training(tmp_path: Path) -> None:
    save_tiny_model(tmp_path / "pairs", preset="spade-64", task__source_channels=3)
    pairs = Model(tmp_path / "pairs")
    assert measure(pairs, Guided(3), split="heldout", count=4)["fidelity"]["clips"] == 4
    with pytest.raises(ConfigError, match=r"a guide of 3 channels, and there is none: give --guide DATASET"):
        measure(pairs, open_clips("shapes", CLIP), split="heldout", count=4)
    with pytest.raises(ConfigError, match=r"guide of 3 channels, and that of guided has 1 channel: .*--channels 3"):
        measure(pairs, Guided(1), split="heldout", count=4)
    for number, (preset, knobs) in enumerate(
        (("vae-64", {}), ("translate-64", {}), ("simvp-64", {"task__past": 3}), ("conv3d-32", {}))
    ):
        save_tiny_model(tmp_path / f"{number}", preset=preset, **knobs)
        with pytest.raises(ConfigError, match="takes no guide, and guided has one of 3 channels: leave --guide out"):
            measure(Model(tmp_path / f"{number}"), Guided(3), split="heldout", count=4)


def test_a_single_predicted_frame_has_no_motion(tmp_path: Path) -> None:
    found = measured(tmp_path / "m", "simvp-64", task__past=7)
    fidelity = found["fidelity"]
    assert isinstance(fidelity, dict) and fidelity["frames"] == 1 and fidelity["model"]["psnr"] > 0
    assert all(fidelity[name] is None for name in ("rfd", "sharpness_ratio", "motion_ratio", "diversity_ratio"))
    assert "–" in said(found)


def test_one_answer_is_not_given_several_times(tmp_path: Path) -> None:
    for preset, words in (("vae-64", "one answer"), ("translate-64", "one answer"), ("conv3d-32", "given no clips")):
        with pytest.raises(ConfigError, match=f"samples is 3.*{words}.*--samples 1"):
            measured(tmp_path / preset, preset, samples=3)


def test_a_generator_needs_no_clips_of_the_split(tmp_path: Path) -> None:
    class NoneHeldOut(Guided):
        def __init__(self) -> None:
            super().__init__(0)
            self.spans = lambda split: self.plain.spans(split) if split == "train" else []

    save_tiny_model(tmp_path / "m", labels=())
    found = measure(Model(tmp_path / "m"), NoneHeldOut(), split="heldout", count=16)
    assert found["samples"]["floor"]["rfd"] and found["about"]["split"] is None
    assert "heldout" not in said(found)
    assert "heldout" in said(measured(tmp_path / "v", "vae-64"))
    with pytest.raises(DatasetError, match="no clip of 8 frames"):
        measure(Model(tmp_path / "v"), NoneHeldOut(), split="heldout", count=16)


def test_figures_are_written(tmp_path: Path) -> None:
    save_tiny_model(tmp_path / "m", labels=("circle", "square"))
    found = api.evaluate(tmp_path / "m", "shapes", count=16, to=tmp_path / "figures.json", quiet=True)
    assert json.loads((tmp_path / "figures.json").read_text()) == json.loads(json.dumps(found))
    assert "fidelity" not in found and found["about"]["split"] is None
