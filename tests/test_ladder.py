from __future__ import annotations

import numpy as np
import pytest
import torch

from footage.evaluation.features import Frames
from footage.evaluation.features.catalogue import RandomExtractor
from footage.evaluation.features.ladder import (
    CORRUPTIONS,
    DROPPED,
    arrow_of_time,
    climb,
    distance_from,
    drop,
    mean_distance_from,
    rises,
    spoiled,
    strictly_rises,
)
from footage.generation.rollout import from_uint8, to_uint8


def clips(count: int, seed: int, arrow: bool = False) -> Frames:
    """Bright squares on noise that stands still; they move evenly, and with `arrow` come out of the dark."""
    rng = np.random.default_rng(seed)
    made = np.repeat(rng.integers(0, 60, (count, 1, 24, 24, 3), dtype=np.uint8), 8, axis=1)
    for clip in made:
        y, x, way = rng.integers(0, 8), rng.integers(0, 8), rng.integers(0, 2, 2)
        for t in range(8):
            clip[t, y + way[0] * t : y + way[0] * t + 8, x + way[1] * t : x + way[1] * t + 8] = (
                40 + 25 * t if arrow else 220
            )
    return made


def test_a_measure_that_ranks_everything_passes() -> None:
    figures = iter(range(1000))
    ladder = climb(lambda found: {"x": [float(next(figures))]}, clips(20, 0), [0, 1] * 10, arrow=1.0)["x"]
    assert ladder.passed and not ladder.failures and len(ladder.rungs) == len(CORRUPTIONS) + 1
    assert all(len(rung.figures) == len(rung.strengths) == 5 and rung.required for rung in ladder.rungs)
    assert ladder.as_json()["passed"] is True


def test_a_measure_that_sees_nothing_is_refused_by_name() -> None:
    ladder = climb(lambda found: {"x": [1.0]}, clips(20, 0), [0, 1] * 10)["x"]
    assert not ladder.passed and len(ladder.failures) == 6
    assert ladder.failures[0] == "blur is not ranked: 1 1 1 1 1 1"
    assert not any("reverse" in failure for failure in ladder.failures), "these clips look alike both ways"
    kinds = {rung.corruption for rung in climb(lambda found: {"x": [1.0]}, clips(4, 0), [-1] * 4)["x"].rungs}
    assert DROPPED not in kinds, "there are no classes"
    few = climb(lambda found: {"x": [1.0]}, clips(6, 0), [0, 0, 0, 0, 0, 1])["x"]
    (rare,) = (rung for rung in few.rungs if rung.corruption == DROPPED)
    assert not rare.required


@pytest.mark.nightly
def test_random_features_see_blur_and_freezing_on_the_ladder() -> None:
    nets = [RandomExtractor(3, seed) for seed in (0, 1)]
    reference, fresh = clips(32, 1), clips(32, 2)
    one, two = (distance_from(net, reference, 3)(fresh) for net in nets)
    assert len(one) == 4 and one[0] != one[1]
    both = mean_distance_from(nets, reference, 3)(fresh)
    assert both == pytest.approx([(a + b) / 2 for a, b in zip(one, two, strict=True)])
    assert mean_distance_from(nets, reference, 3)(fresh) == both, "the draws are always the same"
    mean = mean_distance_from(nets, reference, 20)
    ladder = climb(lambda spoiled: {"x": mean(spoiled)}, fresh, [-1] * 32)["x"]
    rungs = {rung.corruption: rung for rung in ladder.rungs}
    assert rungs["blur"].rises and rungs["noise"].rises and rungs["freeze"].rises


def test_the_arrow_of_time_is_found_where_there_is_one() -> None:
    assert arrow_of_time(clips(40, 1, True), clips(40, 2, True)) > 0.9
    assert arrow_of_time(clips(40, 1), clips(40, 2)) < 0.9


def test_spoiled_clips_are_uint8_and_five_steps_each() -> None:
    frames = clips(6, 3)
    found = list(spoiled(frames, [0, 0, 1, 1, 0, 1]))
    assert all(made.dtype == np.uint8 and made.shape == frames.shape for _, _, made in found)
    names = [name for name, _, _ in found]
    assert {name: names.count(name) for name in names} == dict.fromkeys([*CORRUPTIONS, DROPPED], 5)
    assert np.array_equal(to_uint8(from_uint8(frames)), frames)
    again = list(spoiled(frames, [0, 0, 1, 1, 0, 1]))
    assert all(np.array_equal(a[2], b[2]) for a, b in zip(found, again, strict=True))


def test_a_class_is_dropped_step_by_step() -> None:
    labels = [0, 1, 0, 1, 0, 0, 2, 0]
    own = torch.arange(8.0).view(8, 1, 1, 1, 1)
    for part, left in ((0.2, 4), (0.6, 2), (1.0, 0)):
        made = drop(own, labels, part, torch.Generator().manual_seed(0), gone=0).flatten().int().tolist()
        assert sum(labels[clip] == 0 for clip in made) == left
        assert all(made[place] == place for place, label in enumerate(labels) if label != 0), "others stay"
    spare = torch.full((2, 1, 1, 1, 1), 9.0)
    made = drop(own, labels, 1.0, torch.Generator().manual_seed(0), gone=0, spare=spare)
    assert made.flatten().tolist() == [9, 1, 9, 3, 9, 9, 6, 9]


def test_a_fall_counts_when_chance_does_not_explain_it() -> None:
    floor, up, down = [1.0, *[1.0] * 20], [5.0, *[5.0] * 20], [0.9, *[0.9, 1.1] * 10]
    assert rises([floor, down, up]) and not strictly_rises([floor, down, up]), "every second draw falls"
    sure = [0.9, *[0.9] * 20]
    assert not rises([floor, sure, up]), "every draw falls"
    assert not rises([floor, down, [1.01, *[1.01, 0.99] * 10]]), "the last has to stand out"
    assert rises([[1.0], [2.0]]) and not rises([[1.0], [2.0], [1.9]]), "without draws each step has to rise"
