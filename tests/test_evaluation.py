from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from footage.data.clips import DatasetClips, Labels, Span, Window
from footage.data.store import ClipRow, DatasetInfo, Frames, Split
from footage.evaluation.clip_sets import ClipShape, GeneratedClips, RealClips, draw_windows, one_clip
from footage.evaluation.feature_cache import ClipFeatures, FeatureCache
from footage.evaluation.figure_inputs import FloorClips, floor_clips
from footage.evaluation.inputs import EvaluationInput, plan_evaluation
from footage.evaluation.pixel_features import PIXEL_FIGURES, PixelFigure
from footage.evaluation.protocols import EvaluationOptions
from footage.evaluation.results import Figure
from footage.evaluation.run import Evaluator
from footage.generation.model import Model
from footage.generation.rollout import from_uint8
from footage.metrics.clip_vectors import SEEDS
from footage.metrics.motion import contrast, motion_energy
from tests.models import save_tiny_model

SHAPE = ClipShape(16, 32, 32, 3)


class Noise:
    """Clips of noise; the first pixel of a frame says which clip it is from."""

    name, fps, labels, content_hash, shape = "noise", 25.0, ("a", "b"), "0" * 64, (32, 32, 3)
    guides = 0

    def __init__(self, train: int, heldout: int) -> None:
        self.counts: dict[Split, tuple[int, int]] = {"train": (0, train), "heldout": (train, train + heldout)}
        self.read_clips: list[int] = []

    def spans(self, split: Split) -> list[Span]:
        return [Span(index, 20, index % 2) for index in range(*self.counts[split])]

    def read(self, index: int, start: int, frames: int) -> Frames:
        self.read_clips.append(index)
        rng = np.random.default_rng(index)
        clip = rng.integers(0, 256, (20, *self.shape), dtype=np.uint8)
        return clip[start : start + frames]


class Fixed(Noise):
    """Given clips, all of one length."""

    def __init__(self, clips: Frames) -> None:
        super().__init__(train=len(clips), heldout=0)
        self.clips, self.shape = clips, clips.shape[2:]  # type: ignore[assignment]
        self.content_hash = f"{clips.sum():064d}"  # type: ignore[misc]

    def spans(self, split: Split) -> list[Span]:
        return [Span(span.index, self.clips.shape[1], span.label) for span in super().spans(split)]

    def read(self, index: int, start: int, frames: int) -> Frames:
        return self.clips[index, start : start + frames]


def measured(made: Noise | Path, real: Noise, **more: Any) -> dict[str, Figure]:
    """Return the figures of one source, or of a model, beside another."""
    first = (
        EvaluationInput("made", "model", model=Model(made))
        if isinstance(made, Path)
        else EvaluationInput("made", "dataset", clips=made)
    )
    defaults: dict[str, Any] = {"metrics": "fvd,motion,pictures,diversity", "networks": "random", "resamples": 0}
    options = EvaluationOptions(**{**defaults, "device": "cpu", **more})
    plan = plan_evaluation(first, EvaluationInput("real", "dataset", clips=real), options)
    with FeatureCache(None) as cache:
        evaluator = Evaluator(plan, options, cache)
        figures, _ = evaluator.figures(evaluator.figure_inputs())
    return {figure.name: figure for figure in reversed(figures)}  # the first of a name


def test_figures_of_many_batches_are_those_of_all_clips() -> None:
    rng = np.random.default_rng(0)
    frames, others = (rng.integers(0, 256, (40, 6, 16, 16, 3), dtype=np.uint8) // scale for scale in (1, 2))
    figures = measured(Fixed(frames), Fixed(others), clips=40, frames=6, protocol="styleganv-fvd16", repeats=1)
    a, b = from_uint8(frames), from_uint8(others)
    assert figures["motion_ratio"].clips == (40, 40)
    assert figures["motion_ratio"].value == pytest.approx(motion_energy(a) / motion_energy(b), rel=1e-6)
    assert figures["contrast_ratio"].value == pytest.approx(contrast(a) / contrast(b), rel=1e-6)
    spread = [x.double().std(dim=0, unbiased=False).square().sum().sqrt() for x in (a, b)]
    assert figures["variety"].value == pytest.approx(float(spread[0] / spread[1]), rel=0.05), "of small copies"
    same = measured(Fixed(frames), Fixed2(frames), clips=40, frames=6, protocol="styleganv-fvd16", repeats=1)
    for name in ("motion_ratio", "variety", "contrast_ratio"):
        assert same[name].value == pytest.approx(1, abs=1e-9)
    assert same["motion_distance"].value == pytest.approx(0, abs=1e-9)
    assert same["spectrum_distance"].value == pytest.approx(0, abs=1e-9)
    assert len(same["frechet"].by_network) == len(SEEDS) and max(same["frechet"].by_network) < 1e-6


def test_a_closed_form_of_pixels_is_added_by_its_entry_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    brightness = PixelFigure(
        lambda views: (1 + views.clips).mean(dim=(1, 2, 3, 4)), ratio="brightness", metric="pictures"
    )
    monkeypatch.setitem(PIXEL_FIGURES, "brightness", brightness)
    frames = np.random.default_rng(0).integers(0, 256, (24, 6, 16, 16, 3), dtype=np.uint8)
    figures = measured(Fixed(frames // 2), Fixed(frames), clips=24, frames=6, metrics="pictures", resamples=4)
    expected = (frames // 2).mean() / frames.mean()
    assert figures["brightness_ratio"].value == pytest.approx(expected, rel=1e-5)
    assert (
        figures["brightness_ratio"].label == "brightness, made : real" and figures["brightness_ratio"].better == "one"
    )
    assert figures["brightness_ratio"].interval is not None and "contrast_ratio" in figures


class Fixed2(Fixed):
    """The same clips under another name, which are not divided in halves."""

    def __init__(self, clips: Frames) -> None:
        super().__init__(clips)
        self.content_hash = "1" * 64  # type: ignore[misc]


def test_still_real_clips_give_no_ratio() -> None:
    still = np.full((3, 4, 16, 16, 3), 9, dtype=np.uint8)
    moving = np.random.default_rng(0).integers(0, 256, (3, 4, 16, 16, 3), dtype=np.uint8)
    figures = measured(Fixed(moving), Fixed(still), clips=3, frames=4)
    assert figures["motion_ratio"].value is None and figures["motion_distance"].value is None
    assert figures["spectrum_distance"].value == 1


def test_windows_of_few_clips_are_worth_few_clips() -> None:
    rng = np.random.default_rng(4)
    sides = []  # 16 clips, each noise of a strength of its own: 6 windows of a clip tell what one tells
    for _ in range(2):
        strength = rng.uniform(0.3, 1, (16, 1, 1, 1, 1))
        sides.append((rng.integers(0, 256, (16, 24, 16, 16, 3)) * strength).astype(np.uint8))
    how: dict[str, Any] = {"frames": 4, "metrics": "fvd,prdc,motion", "resamples": 40}
    many = measured(Fixed(sides[0]), Fixed2(sides[1]), clips=96, **how)
    few = measured(Fixed(sides[0]), Fixed2(sides[1]), clips=16, protocol="styleganv-fvd16", repeats=1, **how)
    for name in ("frechet", "motion_ratio", "motion_distance", "track_distance"):
        one, other = few[name].interval, many[name].interval
        assert one is not None and other is not None
        assert 0.5 < (other.high - other.low) / (one.high - one.low) < 2, f"{name}: not 6**.5 times narrower"
    assert many["frechet"].clips == (96, 96)
    assert many["precision"].clips == (16, 16), "windows of a clip are no neighbours of each other"
    three = measured(Fixed(sides[0][:3]), Fixed2(sides[1]), clips=16, frames=4, metrics="motion", resamples=9)
    assert three["motion_distance"].interval is None and three["motion_ratio"].interval is None


def floor(source: Noise, count: int) -> tuple[RealClips, FloorClips]:
    """Return the reference of training clips, and the floor beside it."""
    protocol = EvaluationOptions(clips=count, frames=16).full_protocol()
    train, heldout = source.spans("train"), source.spans("heldout")
    real = RealClips(source, draw_windows(train, protocol, count, 0), SHAPE)
    return real, floor_clips(real, train, heldout, protocol, 0)


def clips_of(clips: object) -> set[int]:
    assert isinstance(clips, RealClips)
    return {window.span.index for window in clips.windows}


def test_floor_is_of_held_out_clips_where_they_suffice() -> None:
    real, found = floor(Noise(train=40, heldout=20), 20)
    assert found.how == "20 windows of held-out clips against 20 of training clips"
    assert found.sets is not None and found.sets[1] is real and real.count == 20
    assert one_clip(real, 0).shape == (16, 32, 32, 3) and clips_of(found.sets[0]) == set(range(40, 60))


def test_floor_is_of_two_halves_where_held_out_clips_are_few() -> None:
    real, found = floor(Noise(train=10, heldout=3), 20)
    assert "one half of the clips (5 or so) against 20 of the other" in found.how and found.sets is not None
    assert "rather too high than too low" in found.how
    one, two = (clips_of(clips) for clips in found.sets)
    assert clips_of(real) == set(range(10)) and not one & two and one | two == set(range(10))
    assert sum(index % 2 for index in one) in (2, 3), "each half has of every label"


def test_one_clip_has_no_floor() -> None:
    _, found = floor(Noise(train=1, heldout=0), 16)
    assert found.how.startswith("none") and found.sets is None and found.rows is None


def batches(clips: GeneratedClips) -> Iterator[tuple[Labels, Frames]]:
    return clips.batches(range(clips.count))


def test_a_model_is_measured(tmp_path: Path) -> None:
    save_tiny_model(tmp_path / "m")
    model = Model(tmp_path / "m")
    made = [clips for _, clips in batches(GeneratedClips(model, 18, ClipShape(8, 32, 32, 3), seed=5))]
    assert [len(batch) for batch in made] == [16, 2] and made[0].shape[1:] == (8, 32, 32, 3)
    (one,) = model.generate(1, seed=6)
    assert np.abs(one.array().astype(int) - made[0][1]).max() <= 1, "the clips that `generate` makes"
    source = Noise(train=8, heldout=0)
    figures = measured(tmp_path / "m", source, clips=16)
    assert min(figures["frechet"].by_network) > 0 and figures["frechet"].clips == (16, 16)
    again = measured(tmp_path / "m", source, clips=16)
    assert {name: figure.value for name, figure in figures.items()} == {n: f.value for n, f in again.items()}
    values = [figure.value for figure in figures.values() if figure.value is not None]
    assert len(values) > 10 and bool(torch.isfinite(torch.tensor(values)).all())


def test_a_name_with_an_at_sign_is_no_time() -> None:
    spans = [Span(index, 20, -1, f"@user0_{index}.mp4") for index in range(5)]
    assert len({span.source for span in spans}) == 5 and spans[3].source == "@user0_3.mp4"
    assert Span(7, 20, -1, "walk/@anna@12.40").source == "walk/@anna" and Span(7, 20, -1).source == "7"
    found = RealClips(Noise(5, 0), [Window(span, 0) for span in spans], SHAPE)
    assert len(set(found.sources.tolist())) == 5


def test_files_of_one_name_in_two_folders_are_two() -> None:
    rows = [
        ClipRow(f"{folder}/{n}.mp4", start, start + 1, 20, None, None, "train", "shard-00000.npy", 0, "0")
        for folder in ("walk", "run")
        for n in range(3)
        for start in (0.0, 1.0)
    ]
    dataset: Any = SimpleNamespace(info=DatasetInfo("d", 32, 32, 3, 25.0, (), 12, "0" * 64, {}), rows=rows)
    spans = DatasetClips(dataset).spans("train")
    assert spans[0].name == spans[6].name == "0@0.00" and spans[6].source == "run/0.mp4"
    clips = RealClips(Noise(12, 0), [Window(span, start) for span in spans for start in (0, 2)], SHAPE)
    assert np.unique(clips.sources, return_counts=True)[1].tolist() == [4] * 6
    found = ClipFeatures(clips, {}, {}, np.arange(clips.count)).one_a_clip()
    assert found.numbers.tolist() == list(range(0, 24, 2)), "the first window of each of 12 clips"


def test_neighbourhoods_are_of_as_many_clips_on_every_side() -> None:
    rng = np.random.default_rng(7)
    made, real = (
        (rng.integers(200, 256, (count, 4, 16, 16, 3)) * rng.random((count, 1, 1, 1, 3))).astype(np.uint8)
        for count in (150, 30)
    )
    made[np.arange(150) % 10 > 0] //= 16  # one clip of ten is good
    how: dict[str, Any] = {"frames": 4, "metrics": "prdc"}
    figure = measured(Fixed(made), Fixed2(real), clips=150, **how)["coverage"]
    assert figure.clips == (15, 15) and "15 clips of each side" in figure.note, "halves of the real side have 15"
    assert figure.floor is not None and figure.floor.clips == (15, 15) and figure.value is not None
    assert figure.value < 0.8 * figure.floor.value, "many clips do not make up for bad ones"
    none = measured(Fixed(made[:30]), Fixed2(real[:20]), clips=30, **how)["coverage"]  # halves of 10
    assert none.floor is None and none.clips == (20, 20) and "no floor: real against real has 10 clips" in none.note


def test_repeats_keep_the_interval_of_the_clips() -> None:
    clips = np.random.default_rng(5).integers(0, 256, (6, 8, 16, 16, 3), dtype=np.uint8)
    sides = [EvaluationInput(name, "dataset", clips=of(clips)) for name, of in (("a", Fixed), ("b", Fixed2))]
    options = EvaluationOptions(
        metrics="fvd", protocol="styleganv-fvd16", frames=4, clips=6, repeats=2, resamples=20, device="cpu"
    )
    plan = plan_evaluation(*sides, options)
    with FeatureCache(None) as cache:
        evaluator = Evaluator(plan, options, cache)
        (first,), _ = evaluator.figures(evaluator.figure_inputs())
        (found,) = Evaluator(plan, options, cache).evaluation().figures
    assert first.interval is not None and found.interval is not None and first.value is not None
    assert len(found.repeats) == 2 and found.value == pytest.approx(sum(found.repeats) / 2)
    assert found.interval.high - found.interval.low == pytest.approx(first.interval.high - first.interval.low)
    assert "standard deviation of 2 repeats" in found.note


def test_notes_fit_what_was_asked_for() -> None:
    clips = np.random.default_rng(6).integers(0, 256, (3, 8, 16, 16, 3), dtype=np.uint8)
    a, b = (EvaluationInput(name, "dataset", clips=of(clips)) for name, of in (("a", Fixed), ("b", Fixed2)))
    options = EvaluationOptions(metrics="pictures", frames=4, clips=6, resamples=2, device="cpu")
    with FeatureCache(None) as cache:
        found = Evaluator(plan_evaluation(a, b, options), options, cache).evaluation()
        assert found.networks == (), "no figure looks through one"
        assert any("figures of both sides have no interval" in text and "3 sources" in text for text in found.warnings)
        for named, warned in ((None, True), ("random", False)):
            options = EvaluationOptions(metrics="fvd", frames=4, clips=6, resamples=0, networks=named, device="cpu")
            warnings = Evaluator(plan_evaluation(a, b, options), options, cache).evaluation().warnings
            assert any("no FVD" in text for text in warnings) is warned
    one = EvaluationInput("one", "dataset", clips=Fixed(clips[:1]))
    told = plan_evaluation(one, b, EvaluationOptions(frames=4, clips=6)).warnings
    assert any("one has 1 clip and b has 3 clips" in text and "--clips" not in text for text in told)
    told = plan_evaluation(a, b, EvaluationOptions(frames=4, clips=6)).warnings
    assert any("b has 3 clips" in text and "or --clips 3" in text and "count files" in text for text in told)
