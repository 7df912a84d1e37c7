from __future__ import annotations

import numpy as np
import pytest

from footage.data.synthetic import (
    COLOURS,
    DIRECTIONS,
    SHAPES,
    SPEEDS,
    Factors,
    bounce,
    draw_factors,
    drawn_digits,
    moving_digits,
    render_shapes,
)


def centroid(clip: np.ndarray) -> np.ndarray:
    weight = clip.astype(float).sum(-1)
    grid = np.mgrid[0 : clip.shape[1], 0 : clip.shape[2]]
    return np.stack([(weight * axis).sum((1, 2)) / weight.sum((1, 2)) for axis in grid], axis=1)


def test_factors_are_a_function_of_seed_and_index_and_cover_everything() -> None:
    assert draw_factors(3, 17) == draw_factors(3, 17) != draw_factors(4, 17)
    drawn = [draw_factors(0, index) for index in range(600)]
    assert {f.shape for f in drawn} == set(SHAPES)
    assert {f.colour for f in drawn} == set(COLOURS)
    assert {f.direction for f in drawn} == set(range(DIRECTIONS))
    assert {f.speed for f in drawn} == set(SPEEDS)


@pytest.mark.parametrize("direction", range(DIRECTIONS))
@pytest.mark.parametrize("shape", SHAPES)
def test_shape_moves_in_its_direction_at_its_speed(shape: str, direction: int) -> None:
    factors = Factors(shape, "cyan", 0.12, direction, SPEEDS[1], (0.5, 0.5))
    path = centroid(render_shapes(factors, start=0, frames=4, height=64, width=64))
    angle = 2 * np.pi * direction / DIRECTIONS
    expected = np.array([np.sin(angle), np.cos(angle)]) * SPEEDS[1] * 64
    np.testing.assert_allclose(np.diff(path, axis=0), np.tile(expected, (3, 1)), atol=0.05)


def test_windows_of_a_clip_agree_and_shapes_stay_inside() -> None:
    for index in range(40):
        factors = draw_factors(1, index)
        whole = render_shapes(factors, start=0, frames=64, height=32, width=48)
        part = render_shapes(factors, start=20, frames=8, height=32, width=48)
        np.testing.assert_array_equal(whole[20:28], part)
        area = whole.max(-1).astype(float).sum((1, 2))
        assert area.min() > 0.97 * area.max(), "no part of the shape leaves the picture"


def test_shapes_have_equal_area_and_their_colour() -> None:
    areas = {}
    for shape in SHAPES:
        clip = render_shapes(
            Factors(shape, "red", 0.2, 0, SPEEDS[0], (0.5, 0.5)), start=0, frames=1, height=96, width=96
        )
        assert clip[..., 1:].max() == 0 and clip[..., 0].max() == 255
        areas[shape] = clip[..., 0].astype(float).sum() / 255
    assert max(areas.values()) / min(areas.values()) < 1.03
    assert abs(areas["square"] - (0.4 * 96) ** 2) < 0.02 * areas["square"]


def test_bounce_reflects() -> None:
    np.testing.assert_allclose(bounce(np.array([-1.0, 0, 4, 5, 6, 11]), 5.0), [1, 0, 4, 5, 4, 1])
    np.testing.assert_array_equal(bounce(np.array([3.0]), 0.0), [0])


def test_digits_are_ten_distinct_drawings() -> None:
    images, labels = drawn_digits(4)
    assert images.shape == (40, 28, 28) and images.dtype == np.uint8
    means = np.stack([images[labels == digit].astype(float).mean(0) for digit in range(10)])
    for digit, image in zip(labels, images, strict=True):
        assert np.square(means - image).sum((1, 2)).argmin() == digit


def test_moving_digits_follow_moving_mnist() -> None:
    images, labels = drawn_digits()
    clip, shown = moving_digits(images, labels, seed=0, index=5, digits=2, frames=20, size=64)
    assert clip.shape == (20, 64, 64, 1) and len(shown) == 2
    again, _ = moving_digits(images, labels, seed=0, index=5, digits=2, frames=5, size=64, start=10)
    np.testing.assert_array_equal(again, clip[10:15])
    one, _ = moving_digits(images, labels, seed=0, index=7, digits=1, frames=20, size=64)
    steps = np.hypot(*np.diff(centroid(one), axis=0).T)
    assert abs(np.median(steps) - 3.6) < 0.8, "a tenth of the room in a frame"
