"""Which vectors have a neighbour: beside all cosines there are."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from footage.library import similarity
from footage.library.similarity import Vectors, have_neighbour

ALLOWED = (0.25, 0.05)


def unit(values: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
    return np.asarray(values / np.linalg.norm(values, axis=1, keepdims=True), dtype=np.float32)


def expected(vectors: npt.NDArray[np.float32], least: float, lengths: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    wide = vectors.astype(np.float64)
    alike = wide @ wide.T >= least
    np.fill_diagonal(alike, False)
    longer = np.maximum(lengths[:, None], lengths)
    alike &= np.abs(lengths[:, None] - lengths) <= ALLOWED[0] + ALLOWED[1] * longer
    return np.asarray(alike.any(axis=1))


def made(kind: str, count: int, width: int) -> npt.NDArray[np.float32]:
    rng = np.random.default_rng(3)
    falling = np.arange(1, width + 1) ** -0.5
    if kind == "groups":
        centres = unit(rng.standard_normal((count // 4, width)) * falling)
        return unit(centres[rng.integers(0, len(centres), count)] + 0.27 * unit(rng.standard_normal((count, width))))
    if kind == "all alike":
        return unit(rng.standard_normal(width) + 0.3 * rng.standard_normal((count, width)))
    vectors = unit(rng.standard_normal((count, width)))
    vectors[::50] = vectors[1::50]
    vectors[7] = 0  # a clip without a vector
    return vectors


@pytest.mark.parametrize("kind", ["groups", "all alike", "nothing alike"])
@pytest.mark.parametrize("lengths", ["same", "vary"])
@pytest.mark.parametrize("width", [12, 120])
def test_it_finds_what_all_cosines_find(kind: str, lengths: str, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(similarity, "BLOCK", 64)
    monkeypatch.setattr(similarity, "PAIRS", 50)
    vectors = made(kind, 700, width)
    rng = np.random.default_rng(5)
    sizes = rng.uniform(0.5, 30, len(vectors)) if lengths == "vary" else np.full(len(vectors), 4.0)
    found = have_neighbour(vectors, np.arange(len(vectors)), 0.93, sizes, ALLOWED)
    certain, possible = (expected(vectors, 0.93 + slack, sizes) for slack in (1e-6, -1e-6))  # float32 rounds
    assert (found >= certain).all() and (found <= possible).all()
    assert kind != "groups" or 0 < found.mean() < 1


def test_few_clips_have_no_neighbour() -> None:
    vectors = made("groups", 8, 12)
    for count in (0, 1):
        assert not have_neighbour(vectors, np.arange(count), 0.93, np.ones(count), ALLOWED).any()
    assert have_neighbour(vectors[[0, 0]], np.arange(2), 0.93, np.ones(2), ALLOWED).all()


def test_some_of_the_clips_in_any_order(tmp_path) -> None:  # type: ignore[no-untyped-def]
    vectors = Vectors(tmp_path, "look", 12)
    one = np.eye(12, dtype=np.float32)[0]
    other = np.roll(one, 1)
    vectors.put({3: one, 9: other, 5: one, 1: other})
    args = (0.93, [2.0, 2.0, 2.1, 9.0, 2.0], ALLOWED)
    assert vectors.close([9, 5, 3, 1, 40], *args) == [3, 5]  # 9 is like 1, but not as long; 40 has no vector
    assert vectors.close([5, 9], 0.93, [2.0, 2.0], ALLOWED) == []
