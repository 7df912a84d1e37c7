from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

import footage
from footage.config import ClipConfig
from footage.config.strict import field_texts
from footage.data.clips import ClipSource, open_clips
from footage.data.store import Frames
from footage.errors import ConfigError, DatasetError
from footage.evaluation import results
from footage.evaluation.clip_sets import ClipShape, RealClips, draw_windows
from footage.evaluation.fidelity import best, frame_figures, measure_fidelity, plain_answer
from footage.evaluation.figures import METRICS
from footage.evaluation.inputs import check_model
from footage.evaluation.protocols import EvaluationOptions, protocol
from footage.evaluation.results import Evaluation, Figure, table
from footage.generation.model import Model
from footage.generation.rollout import from_uint8
from footage.metrics.image_quality import psnr
from tests.models import save_tiny_model

CLIP = ClipConfig(frames=8, height=32, width=32)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def measured(folder: Path, preset: str, samples: int = 1, metrics: str | None = None, **knobs: object) -> Evaluation:
    save_tiny_model(folder, preset=preset, labels=(), **knobs)
    return footage.evaluate(folder, "shapes", clips=6, samples=samples, metrics=metrics, resamples=2, quiet=True)


def said(found: Evaluation) -> str:
    console = Console(width=140, record=True, file=io.StringIO())
    console.print(table(found))
    return console.export_text()


def figure(found: Evaluation, name: str) -> Figure:
    return found.figure(name)


def line(found: Evaluation, name: str, kind: str) -> list[float]:
    (curve,) = [curve for curve in found.curves if curve.name == name]
    return [value or 0.0 for one in curve.lines if one.name == kind for value in one.y]


def test_predictions_stand_beside_the_last_frame(tmp_path: Path) -> None:
    found = measured(tmp_path / "m", "simvp-64", task__past=3)
    assert found.made.frames == found.real.frames == 5 and found.real.split == "heldout"
    assert [f.name for f in found.figures if f.metric == "fidelity"] == ["mse", "mae", "psnr", "ssim"]
    errors = line(found, "mse", "plain")
    assert len(errors) == 5 and errors[0] < errors[-1], "the last frame is soon out of date"
    assert figure(found, "mse").plain == pytest.approx(sum(errors) / 5)
    assert figure(found, "frechet").label == "RFD-rand" and figure(found, "motion_ratio").value is not None


def test_the_best_of_many_futures_is_no_worse_than_the_mean(tmp_path: Path) -> None:
    found = measured(tmp_path / "m", "svg-64", samples=3, metrics="fidelity", task__past=3)
    assert (figure(found, "best_mse").value or 0) < (figure(found, "mse").value or 0)
    assert (figure(found, "best_ssim").value or 0) > (figure(found, "ssim").value or 0)
    tries = [{"mse": torch.tensor([[1.0, 5.0], [2.0, 2.0]])}, {"mse": torch.tensor([[2.0, 2.0], [9.0, 9.0]])}]
    assert best(tries)["mse"].tolist() == [[2.0, 2.0], [2.0, 2.0]]


def test_a_vae_is_measured_by_what_it_reconstructs_and_by_what_it_makes(tmp_path: Path) -> None:
    found = measured(tmp_path / "m", "vae-64")
    assert figure(found, "psnr").plain is None, "the clip itself is no answer"
    sharpness = figure(found, "sharpness_ratio")
    assert sharpness.value and sharpness.floor and found.real.split == "train"
    model, source = Model(tmp_path / "m"), open_clips("shapes", CLIP)
    (span,) = source.spans("heldout")[:1]
    clip = from_uint8(source.read(span.index, 0, 8)[None])
    again = torch.cat(list(model.sampler.convert([clip], 0)), dim=2)  # type: ignore[attr-defined]
    assert frame_figures(again, clip)["psnr"].tolist() == psnr(again, clip).tolist()


def test_translations_stand_beside_their_source(tmp_path: Path) -> None:
    found = figure(measured(tmp_path / "m", "translate-64", metrics="fidelity", task__source="lowres"), "psnr")
    assert found.plain and found.value and found.plain > found.value, "it has learned nothing"
    again = measured(tmp_path / "a", "animate-64", samples=2, metrics="fidelity")
    assert line(again, "psnr", "plain")[0] == 100 and figure(again, "best_psnr").value
    edges = torch.rand(2, 1, 4, 8, 8)
    assert plain_answer(edges, torch.zeros(2, 3, 4, 8, 8)).shape == (2, 3, 4, 8, 8)


def test_what_cannot_be_measured_is_refused(tmp_path: Path) -> None:
    save_tiny_model(tmp_path / "m", preset="simvp-64", task__past=3)
    with pytest.raises(ConfigError, match="clips is 1"):
        footage.evaluate(tmp_path / "m", "shapes", clips=1, quiet=True)
    with pytest.raises(ConfigError, match="knows clips of 8 frames, 9 were asked for"):
        footage.evaluate(tmp_path / "m", "shapes", clips=4, frames=9, quiet=True)
    with pytest.raises(ConfigError, match="one future only"):
        footage.evaluate(tmp_path / "m", "shapes", clips=4, samples=2, quiet=True)
    with pytest.raises(ConfigError, match="real clips behind it"):
        footage.evaluate("shapes", tmp_path / "m", clips=4, quiet=True)
    with pytest.raises(ConfigError, match=r'no metric "fdv".*did you mean "fvd"'):
        footage.evaluate(tmp_path / "m", "shapes", metrics="fdv", quiet=True)
    with pytest.raises(ConfigError, match=r"no protocol"):
        footage.evaluate(tmp_path / "m", "shapes", protocol="fvd", quiet=True)
    with pytest.raises(DatasetError, match="does not exist"):
        footage.evaluate(tmp_path / "m", tmp_path / "nothing", quiet=True)
    with pytest.raises(ConfigError, match=r"ends in \.json"):
        footage.evaluate(tmp_path / "m", "shapes", to=tmp_path / "f.html", quiet=True)
    long = save_tiny_model(tmp_path / "long", preset="simvp-64", task__past=3, clip__frames=80)
    assert long.config.clip.frames == 80
    with pytest.raises(DatasetError, match="no clip of 80 frames"):
        footage.evaluate(tmp_path / "long", "shapes", clips=4, quiet=True)


class Guided:
    """The built-in shapes, with a guide of some channels behind them."""

    def __init__(self, guides: int, clip: ClipConfig = CLIP) -> None:
        self.plain = open_clips("shapes", clip)
        self.name, self.fps, self.labels = "guided", self.plain.fps, self.plain.labels
        self.content_hash, self.spans, self.guides = "0", self.plain.spans, guides
        self.shape = (clip.height, clip.width, 3 + guides)

    def read(self, index: int, start: int, frames: int) -> Frames:
        clip = self.plain.read(index, start, frames)
        return np.concatenate([clip, clip[..., : self.guides]], axis=-1)


def test_the_guide_must_be_that_of_the_training(tmp_path: Path) -> None:
    save_tiny_model(tmp_path / "pairs", preset="spade-64", task__source_channels=3)
    pairs, source = Model(tmp_path / "pairs"), Guided(3)
    check_model(pairs, source, 1)
    windows = draw_windows(source.spans("heldout"), protocol("footage", frames=8), 4, 0)
    figures, _ = measure_fidelity(pairs, RealClips(source, windows, ClipShape(8, 32, 32, 3)))
    assert figures[0].clips == (4, 4)
    plain: ClipSource = open_clips("shapes", CLIP)
    with pytest.raises(ConfigError, match=r"a guide of 3 channels, and there is none: give --guide DATASET"):
        check_model(pairs, plain, 1)
    with pytest.raises(ConfigError, match=r"guide of 3 channels, and that of guided has 1 channel: .*--channels 3"):
        check_model(pairs, Guided(1), 1)
    with pytest.raises(ConfigError, match="frames of 48×32"):
        check_model(pairs, Guided(3, ClipConfig(8, 32, 48)), 1)
    for number, (preset, knobs) in enumerate(
        (("vae-64", {}), ("translate-64", {}), ("simvp-64", {"task__past": 3}), ("conv3d-32", {}))
    ):
        save_tiny_model(tmp_path / f"{number}", preset=preset, **knobs)
        with pytest.raises(ConfigError, match="takes no guide, and guided has one of 3 channels: leave --guide out"):
            check_model(Model(tmp_path / f"{number}"), Guided(3), 1)


def test_a_single_predicted_frame_has_no_motion(tmp_path: Path) -> None:
    found = measured(tmp_path / "m", "simvp-64", task__past=7)
    assert {f.metric for f in found.figures} == {"fidelity"} and not found.networks
    assert figure(found, "psnr").value and found.made.frames == 1
    with pytest.raises(ConfigError, match=r'metric "motion" cannot be measured here: give clips of two frames'):
        measured(tmp_path / "n", "simvp-64", metrics="motion", task__past=7)


def test_one_answer_is_not_given_several_times(tmp_path: Path) -> None:
    for preset, words in (("vae-64", "one answer"), ("translate-64", "one answer"), ("conv3d-32", "given no clips")):
        with pytest.raises(ConfigError, match=f"samples is 3.*{words}.*--samples 1"):
            measured(tmp_path / preset, preset, samples=3)


def test_every_figure_says_where_it_comes_from(tmp_path: Path) -> None:
    save_tiny_model(tmp_path / "m", labels=("circle", "square"))
    found = footage.evaluate(tmp_path / "m", "shapes", clips=16, to=tmp_path / "f.json", quiet=True, resamples=4)
    assert results.read(tmp_path / "f.json") == found
    assert {f.metric for f in found.figures} == {"fvd", "kvd", "prdc", "motion", "pictures", "diversity"}
    known = {network.name: network for network in found.networks}
    for one in found.figures:
        assert (
            one.seeds == (0,) and one.clips == (16, 16) and one.repeats == (() if one.value is None else (one.value,))
        )
        assert one.tier == ("C" if one.networks else "D") and set(one.networks) <= set(known)
        assert len(one.by_network) == len(one.networks)
        assert one.floor or one.better == "real" or one.name == "variety_within_labels", one.name
        if one.floor:
            assert one.floor.clips == (16, 16)
        if one.interval and one.value is not None:
            assert one.interval.low <= one.value + 1e-9 and one.value <= one.interval.high + 1e-9, one.name
            assert "drawn anew" in one.interval.how
    assert all(len(network.digest) == 64 for network in known.values())
    assert found.floor == "16 windows of held-out clips against 16 of training clips"
    assert any("too few for the 192 features" in text and "--clips 193" in text for text in found.warnings)
    assert any("learned from other clips" in text for text in found.warnings)
    printed = said(found)
    assert "RFD-rand" in printed and "FVD" not in printed and found.networks[0].digest[:16] in printed
    assert found.memorisation and (tmp_path / found.memorisation.sheet).exists()
    assert len(found.memorisation.pairs) == 16 and (tmp_path / found.memorisation.pairs[0].picture).exists()


def test_figures_that_are_damaged_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "f.json"
    for content, words in (("{", "cannot be read"), ("{}", "holds no figures"), ('{"schema": 99}', "format 99")):
        path.write_text(content)
        with pytest.raises(DatasetError, match=words):
            results.read(path)
    with pytest.raises(DatasetError, match="cannot be read"):
        results.read(tmp_path / "none.json")


def test_labels_of_the_classes_are_heeded(tmp_path: Path) -> None:
    save_tiny_model(tmp_path / "m", labels=("circle", "square"))
    found = footage.evaluate(tmp_path / "m", "shapes", clips=16, metrics="diversity", quiet=True, resamples=2)
    within = figure(found, "variety_within_labels")
    assert "circle" in within.note and within.tier == "C" and within.value is not None


def test_long_videos_are_followed_over_time(tmp_path: Path) -> None:
    save_tiny_model(tmp_path / "m", preset="stream-64", labels=())
    found = footage.evaluate(tmp_path / "m", "shapes", clips=16, metrics="windows", windows=3, quiet=True, resamples=2)
    (distance, motion) = found.curves
    assert distance.x == pytest.approx((0, 8 / 12.5, 16 / 12.5)) and distance.label.startswith("RFD-rand")
    assert {one.name for one in motion.lines} == {"made", "real"}
    (real,) = [one for one in motion.lines if one.name == "real"]
    assert all(value and 0.5 < value < 2 for value in real.y)


def test_the_help_names_every_metric() -> None:
    assert all(name in field_texts(EvaluationOptions)["metrics"] for name in METRICS)
    json.dumps({name: metric.about for name, metric in METRICS.items()})
