from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from footage import api
from footage.config import ClipConfig
from footage.data.clips import open_clips
from footage.data.pairs import open_source
from footage.errors import ConfigError, DatasetError
from footage.fidelity import best, frame_figures, plain_answer
from footage.measurement import measure
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


def test_figures_are_written(tmp_path: Path) -> None:
    save_tiny_model(tmp_path / "m", labels=("circle", "square"))
    found = api.evaluate(tmp_path / "m", "shapes", count=16, to=tmp_path / "figures.json", quiet=True)
    assert json.loads((tmp_path / "figures.json").read_text()) == json.loads(json.dumps(found))
    assert "fidelity" not in found and found["about"]["split"] == "heldout"
