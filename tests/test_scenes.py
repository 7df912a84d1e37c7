import numpy as np
import pytest

from footage.data.ingest.intake import CUT_REACH, CutDetector
from tests import clips


def cuts_in(frames, step):
    detector = CutDetector()
    found = []
    for i in range(0, len(frames), step):
        found += detector.add(frames[i : i + step])
    return found + detector.finish()


def joined(*lengths, size=(64, 64)):
    return np.concatenate([np.stack(clips.moving(n, size, seed)) for seed, n in enumerate(lengths)])


@pytest.mark.parametrize("step", [1, 7, 32, 1000])
def test_cuts_are_found_to_the_frame_however_the_frames_arrive(step):
    assert cuts_in(joined(30, 46, 61, 20), step) == [30, 76, 137]


@pytest.mark.parametrize("size", [(8, 8), (36, 64), (128, 72)])
def test_any_size_and_grey(size):
    frames = joined(25, 25, size=size)
    assert cuts_in(frames, 16) == [25]
    assert cuts_in(frames[..., 1:2].copy(), 16) == [25]


def test_motion_is_no_cut():
    for seed in range(8):
        assert cuts_in(np.stack(clips.moving(60, seed=seed)), 16) == []


def test_a_pan_is_no_cut():
    wall = np.random.default_rng(0).integers(0, 256, (8, 60, 3)).repeat(8, 0).repeat(8, 1).astype(np.uint8)
    frames = np.stack([wall[:, t * 5 : t * 5 + 64] for t in range(60)])
    assert cuts_in(frames, 32) == []


def test_a_flash_is_no_cut():
    frames = np.stack(clips.moving(60)).astype(np.int64)
    frames[30] += 120
    assert cuts_in(frames.clip(0, 255).astype(np.uint8), 32) == []


def test_something_large_that_passes_is_no_cut():
    frames = np.stack(clips.still(60))
    for t in range(20, 40):
        frames[t, :, max(0, (t - 20) * 8 - 64) : (t - 20) * 8] = 20
    assert cuts_in(frames, 32) == []


def test_a_fade_is_no_cut():
    a, b = (clips.still(1, seed=s)[0].astype(float) for s in (0, 1))
    frames = [a] * 20 + [a + (b - a) * t / 25 for t in range(25)] + [b] * 20
    assert cuts_in(np.stack(frames).astype(np.uint8), 32) == []


def test_dark_scenes():
    frames = (joined(30, 30).astype(float) * 0.07).astype(np.uint8)
    assert cuts_in(frames, 32) == [30]


def test_repeated_frames_of_a_low_rate_are_no_cuts():
    frames = np.stack(clips.moving(40)).repeat(2, axis=0)
    assert cuts_in(frames, 32) == []


def test_first_and_last_frames():
    assert cuts_in(joined(1, 30), 32) == [1]
    assert cuts_in(joined(30, 1), 32) == [30]
    assert cuts_in(joined(3), 32) == []
    assert CutDetector().finish() == []


def test_memory_does_not_grow():
    detector = CutDetector()
    frames = np.stack(clips.moving(32))
    for _ in range(50):
        detector.add(frames)
    assert len(detector._steps) <= 32 + 2 * CUT_REACH
