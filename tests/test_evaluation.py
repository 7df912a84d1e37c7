from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from footage.data.clips import Span
from footage.data.store import Frames, Split
from footage.evaluation.features.catalogue import SEEDS
from footage.evaluation.statistics import (
    ClipStatistics,
    compare,
    fakes,
    feature_nets,
    measure_model,
    reference,
)
from footage.generation.model import Model
from footage.generation.rollout import from_uint8
from footage.metrics.motion import contrast, diversity, motion_energy
from tests.models import save_tiny_model

NETS = feature_nets(3)


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


def test_statistics_in_batches_are_those_of_all_clips() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (9, 6, 16, 16, 3), dtype=np.uint8)
    found = ClipStatistics(NETS)
    for batch in np.split(frames, [4, 5]):
        found.add(batch)
    clips = from_uint8(frames)
    assert found.count == 9 and found.motion == pytest.approx(motion_energy(clips), rel=1e-6)
    assert found.contrast == pytest.approx(contrast(clips), rel=1e-9)
    assert found.diversity == pytest.approx(diversity(clips), rel=1e-9)
    same = compare(found, found)
    assert same["motion_ratio"] == same["diversity_ratio"] == same["contrast_ratio"] == 1
    assert same["motion_distance"] == same["spectrum_distance"] == 0
    assert isinstance(same["rfd"], list) and len(same["rfd"]) == len(SEEDS) and max(same["rfd"]) < 1e-6


def test_still_real_clips_give_no_ratio() -> None:
    still, moving = ClipStatistics(NETS), ClipStatistics(NETS)
    still.add(np.full((3, 4, 16, 16, 3), 9, dtype=np.uint8))
    moving.add(np.random.default_rng(0).integers(0, 256, (3, 4, 16, 16, 3), dtype=np.uint8))
    found = compare(moving, still)
    assert found["motion_ratio"] is None and found["motion_distance"] is None and found["spectrum_distance"] == 1


def test_floor_is_of_held_out_clips_where_they_suffice() -> None:
    source = Noise(train=40, heldout=20)
    found = reference(source, NETS, frames=16, count=20, keep=3)
    assert found.how == "20 windows of held-out clips against 20 of training clips"
    assert len(found.clips) == 3 and found.clips[0].shape == (16, 32, 32, 3)
    assert found.real.count == 20 and set(source.read_clips[32:]) == set(range(40, 60))


def test_floor_is_of_two_halves_where_held_out_clips_are_few() -> None:
    source = Noise(train=10, heldout=3)
    found = reference(source, NETS, frames=16, count=20, keep=0)
    assert "one half of the training clips against 20 of the other" in found.how
    # Batches are read in whole: 32 clips for 20 windows, of all clips, then of one half, then of the other.
    whole, two, one = (set(source.read_clips[first : first + 32]) for first in (0, 32, 64))
    assert whole == set(range(10)) and not one & two and one | two == whole
    assert sum(index % 2 for index in one) in (2, 3), "each half has of every label"


def test_one_clip_has_no_floor() -> None:
    found = reference(Noise(train=1, heldout=0), NETS, frames=16, count=16, keep=0)
    assert found.how.startswith("none") and found.floor["rfd"] is None


def test_a_model_is_measured(tmp_path: Path) -> None:
    save_tiny_model(tmp_path / "m")
    model = Model(tmp_path / "m")
    source = Noise(train=8, heldout=0)
    made = list(fakes(model, source, 18, seed=5))
    assert [len(batch) for batch in made] == [16, 2] and made[0].shape[1:] == (8, 32, 32, 3)
    (one,) = model.generate(1, seed=6)
    assert np.abs(one.array().astype(int) - made[0][1]).max() <= 1, "the clips that `generate` makes"
    real = reference(source, NETS, frames=8, count=16, keep=2)
    figures, kept = measure_model(model, source, real, count=16)
    assert len(kept) == 2 and isinstance(figures["rfd"], list) and min(figures["rfd"]) > 0
    assert figures == measure_model(model, source, real, count=16)[0]
    assert all(torch.isfinite(torch.tensor(value)).all() for value in figures.values())
