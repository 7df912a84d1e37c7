import numpy as np
import pytest

from footage.media.signatures import BLOCK, LENGTH, MOMENTS, find_duplicates, moments, pool, signature
from tests import clips


def mark(frames):
    frames = np.asarray(frames)
    return signature(frames[moments(len(frames))])


def coded(frames, seed=9, noise=4.0):
    rng = np.random.default_rng(seed)
    return (np.stack(frames) + rng.normal(0, noise, np.shape(frames))).clip(0, 255).astype(np.uint8)


def duplicates(marks, seconds=None):
    found = find_duplicates(np.stack(marks), seconds or [1.6] * len(marks))
    return [(pair.clip, pair.of) for pair in found]


def test_pool_is_the_mean_of_the_cells():
    frames = np.random.default_rng(0).integers(0, 256, (2, 24, 36, 3)).astype(np.uint8)
    expected = frames.reshape(2, 12, 2, 12, 3, 3).mean(axis=(2, 4))
    np.testing.assert_allclose(pool(frames, 12), expected, rtol=1e-6)
    assert pool(frames[:, :7, :10], 12).shape == (2, 7, 10, 3)
    odd = pool(np.full((1, 37, 53, 1), 9, np.uint8), 12)
    assert odd.shape == (1, 12, 12, 1) and (odd == 9).all()


def test_moments_lie_within_the_clip():
    assert moments(MOMENTS) == list(range(MOMENTS))
    assert all(0 <= m < n for n in (1, 5, 16, 1000) for m in moments(n))


def test_a_copy_is_found_and_the_first_is_kept():
    made = [clips.moving(40, seed=s) for s in range(6)]
    marks = [mark(frames) for frames in made] + [mark(coded(made[2])), mark(coded(made[2], 5)), mark(coded(made[0]))]
    assert duplicates(marks) == [(6, 2), (7, 2), (8, 0)]


def test_links_join_all_that_are_like_each_other():
    """The second is as long as the first and the third, nearly; these are not as long as each other."""
    marks = np.stack([mark(clips.moving(40, seed=s)) for s in (0, 0, 0, 1)])
    lengths = [2.0, 2.0 + LENGTH[0], 2.0 + 2 * LENGTH[0], 2.0]
    assert duplicates(marks, lengths) == [(1, 0)]
    links = [(pair.clip, pair.of) for pair in find_duplicates(marks, lengths, linked=True)]
    assert links == [(1, 0), (2, 1)]
    once = find_duplicates(marks, [2.0] * 4, linked=True)
    assert [(pair.clip, pair.of) for pair in once] == [(1, 0), (2, 0)], "what follows from links is none"


def test_brightness_and_contrast_do_not_hide_a_copy():
    made = np.stack(clips.moving(40)).astype(float)
    assert duplicates([mark(made.astype(np.uint8)), mark((made * 0.86 + 16).astype(np.uint8))]) == [(1, 0)]


def test_the_same_place_with_other_motion_is_another_clip():
    wall = clips.still(1)[0]

    def walk(speed, start, row, level):
        frames = []
        for t in range(40):
            frame = wall.copy()
            x = int(start + speed * t) % 60
            frame[row : row + 16, x : x + 5] = level
            frames.append(frame)
        return mark(frames)

    marks = [walk(1, 0, 20, 20), walk(1.3, 0, 20, 20), walk(-1, 60, 20, 20), walk(1, 12, 20, 20), walk(1, 0, 36, 20)]
    assert duplicates(marks) == []


def test_small_shapes_on_black_are_told_apart():
    rng = np.random.default_rng(1)
    marks = []
    for _ in range(300):
        start, way, colour = rng.uniform(5, 50, 2), rng.uniform(-1, 1, 2), rng.integers(60, 256, 3)
        frames = np.zeros((32, 64, 64, 3), np.uint8)
        for t in range(32):
            y, x = (int(v) for v in np.clip(start + way * t, 0, 56))
            frames[t, y : y + 8, x : x + 8] = colour
        marks.append(mark(frames))
    assert duplicates(marks) == []


def test_another_colour_is_another_clip():
    frames = np.zeros((2, 32, 64, 64, 3), np.uint8)
    for t in range(32):
        frames[0, t, 20:30, t : t + 10], frames[1, t, 20:30, t : t + 10] = (200, 0, 0), (0, 102, 0)
    assert duplicates([mark(f) for f in frames]) == []


def test_another_length_is_another_clip():
    one = mark(clips.moving(40))
    assert duplicates([one, one], [2.0, 4.0]) == []
    assert duplicates([one, one], [2.0, 2.1]) == [(1, 0)]


def test_nothing_and_one():
    assert find_duplicates(np.zeros((0, MOMENTS, 12, 12, 3), np.uint8), []) == []
    assert duplicates([mark(clips.moving(20))]) == []


@pytest.mark.parametrize("size", [(8, 8), (37, 21), (90, 160)])
def test_sizes(size):
    a, b = clips.moving(20, size, 1), clips.moving(20, size, 2)
    assert duplicates([mark(a), mark(b), mark(coded(a, noise=2))]) == [(2, 0)]


def test_copies_in_other_blocks_are_found():
    rng = np.random.default_rng(0)
    marks = rng.integers(0, 256, (BLOCK + 60, MOMENTS, 12, 12, 1)).astype(np.uint8)
    marks[BLOCK + 50] = marks[7]
    marks[BLOCK + 51] = marks[BLOCK + 3]
    found = find_duplicates(marks, [1.0] * len(marks))
    assert [(p.clip, p.of) for p in found] == [(BLOCK + 50, 7), (BLOCK + 51, BLOCK + 3)]
