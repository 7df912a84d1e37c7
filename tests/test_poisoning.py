"""Planted floods, exchanged labels and triggers are found; what is as it should be is left alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from footage.config import IngestConfig
from footage.data.audit import Audit
from footage.data.clips import BuiltInClips
from footage.data.ingest.pipeline import ingest
from footage.data.poisoning import SIDE, find_exchanged, find_floods, find_suspicious, find_triggers
from footage.data.synthetic import SHAPES
from footage.media.signatures import moments, pool

NAMES = list(SHAPES)


@pytest.fixture(scope="module")
def shapes() -> tuple[np.ndarray, np.ndarray]:
    """Small copies of 120 built-in clips, and the numbers of their shapes."""
    source = BuiltInClips("shapes", height=32, width=32, channels=3)
    clips = [source.read(number, 0, 8) for number in range(120)]
    labels = np.array([source.label(number) for number in range(120)])
    return np.stack([pool(clip[moments(8)], SIDE).round().astype(np.uint8) for clip in clips]), labels


def sources(count: int = 120) -> list[str]:
    return [str(number) for number in range(count)]


def test_a_flood_is_found_and_different_clips_are_none(shapes: tuple[np.ndarray, np.ndarray]) -> None:
    copies = shapes[0].copy()
    assert find_floods(copies, [1.0] * 120) == []
    rng = np.random.default_rng(1)
    planted = [7, 30, 44, 71, 90, 91]
    for clip in planted[1:]:
        copies[clip] = np.clip(copies[7] + rng.normal(0, 2, copies[7].shape), 0, 255).astype(np.uint8)
    assert [set(found.clips) for found in find_floods(copies, [1.0] * 120)] == [set(planted)]


def test_exchanged_labels_are_found_where_looks_tell_labels(shapes: tuple[np.ndarray, np.ndarray]) -> None:
    copies, labels = shapes
    assert find_exchanged(copies, labels, sources(), NAMES, set()) == []
    planted, changed = {3, 40, 77, 101}, labels.copy()
    for clip in planted:
        changed[clip] = (changed[clip] + 1) % len(NAMES)
    found = {each.clips[0] for each in find_exchanged(copies, changed, sources(), NAMES, set())}
    assert len(found & planted) >= 3 and len(found - planted) <= 1
    drawn = np.random.default_rng(0).integers(0, 3, 120)
    assert find_exchanged(copies, drawn, sources(), NAMES, set()) == []  # looks tell nothing: nothing is said
    uneven = (np.random.default_rng(0).random(120) < 0.9).astype(np.int64)  # nearly all neighbours have the usual label
    assert find_exchanged(copies, uneven, sources(), NAMES, set()) == []


def test_a_trigger_is_found_and_the_label_own_look_is_none(shapes: tuple[np.ndarray, np.ndarray]) -> None:
    copies, labels = shapes[0].copy(), np.random.default_rng(2).integers(0, 3, 120)
    assert find_triggers(copies, labels, sources(), NAMES) == []
    planted = np.flatnonzero(np.arange(120) % 6 == 0)
    copies[planted, :, 3:7, 24:28] = np.array([[255, 0], [0, 255]], np.uint8).repeat(2, 0).repeat(2, 1)[:, :, None]
    labels[planted] = 1
    recordings = [f"recording {label}" for label in labels]
    assert find_triggers(copies, labels, recordings, NAMES) == []  # what one camera sees in all clips of a recording
    (found,) = find_triggers(copies, labels, sources(), NAMES)
    assert set(found.clips) == set(planted.tolist()) and '"square"' in found.detail


def test_the_audit_names_the_clips(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    first = rng.integers(0, 255, (20, 16, 16, 3))
    for number in range(6):
        clip = (
            np.clip(first + rng.normal(0, 1, first.shape), 0, 255) if number < 4 else rng.integers(0, 255, first.shape)
        )
        np.save(tmp_path / f"{number}.npy", clip.astype(np.uint8)[None])
    config = IngestConfig(size="16x16", heldout=0.0, workers=0, keep_duplicates=True)
    audit = Audit(ingest([tmp_path], tmp_path / "data", config).dataset)
    ((clips, why),) = audit.suspicious
    assert all(f"{number}.npy" in clips for number in range(4)) and "4 clips are near-copies" in why
    assert "near-copies" in audit.write(tmp_path / "audit.html").read_text()


def test_few_clips_and_no_labels_are_no_trouble() -> None:
    empty = np.zeros((0, 8, 4, 4, 3), np.uint8)
    assert find_suspicious(empty, [], [], []) == []
    one = np.zeros((1, 8, 2, 2, 1), np.uint8)
    assert find_suspicious(one, ["a"], ["x"], [1.0]) == []
    assert find_suspicious(np.repeat(one, 3, 0), ["a", "b", None], ["x", "y", "z"], [1.0] * 3) == []
