from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from footage.config import ClipConfig
from footage.data import crops as module
from footage.data.clips import DrawsClips, Loader
from footage.data.crops import CROPS, VideoCrops, is_footage
from footage.data.pairs import open_source
from footage.errors import DatasetError
from footage.media.decode import declared_length, read_window
from tests.clips import corrupt, moving, rotate, write

CLIP = ClipConfig(frames=4, height=16, width=24)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two videos of different sizes and rates, one that is too small, and something that is no video."""
    path = tmp_path_factory.mktemp("videos")
    write(path / "a" / "wide.mp4", moving(40, (48, 64), seed=1), options={"crf": "10", "g": "12"})
    write(path / "high.mkv", moving(30, (72, 40), seed=2), fps=12)
    write(path / "small.mp4", moving(30, (8, 8), seed=3))
    (path / "notes.txt").write_text("no video")
    return path


def test_videos_of_any_size_and_rate(folder: Path) -> None:
    source = VideoCrops(folder, CLIP)
    assert isinstance(source, DrawsClips) and source.shape == (16, 24, 3) and source.name == folder.name
    assert [(span.name.split("/")[-1], span.frames) for span in source.spans("train")] == [
        ("high.mkv", 24),
        ("wide.mp4", 32),
    ]
    assert [span.frames for span in source.spans("heldout")] == [6, 8], "the last fifth of each"
    ((name, reason),) = source.left_out.items()
    assert name.endswith("small.mp4") and "8×8 pixels are fewer than a crop's" in reason


def test_a_clip_is_a_function_of_its_number(folder: Path) -> None:
    source, other = VideoCrops(folder, CLIP), VideoCrops(folder, CLIP)
    numbers = [0, 1, 2, 300, 301, 17, 0, 1000]
    first = [source.draw("train", number, 5, 4).copy() for number in numbers]
    again = [other.draw("train", number, 5, 4) for number in reversed(numbers)]
    for one, two in zip(first, reversed(again), strict=True):
        assert one.shape == (4, 16, 24, 3) and np.array_equal(one, two), "in any order, from any state"
    assert np.array_equal(first[0], first[6]) and not np.array_equal(first[0], first[1])
    assert not np.array_equal(source.draw("train", 0, 6, 4), first[0]), "another seed"


def test_memory_is_bounded_and_visits_are_few(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[tuple[object, ...]] = []

    def watched(*given: object) -> object:
        read.append(given)
        return read_window(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "read_window", watched)
    source = VideoCrops(folder, CLIP)
    clips = [source.draw("train", number, 0, 4) for number in range(800)]
    assert len(source._held["train"]) == module.MOST_VISITS
    assert len(read) <= 800 / CROPS + 2 * module.MOST_VISITS
    assert len({clip.tobytes() for clip in clips}) > 600, "hardly one is seen twice"
    monkeypatch.setattr(module, "MOST_BYTES", CROPS * 4 * 16 * 24 * 3 * 3)
    few = VideoCrops(folder, CLIP)
    for number in range(100):
        few.draw("train", number, 0, 4)
    assert len(few._held["train"]) == 3


def test_training_never_sees_what_is_held_out(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, float]] = []
    monkeypatch.setattr(
        module, "read_window", lambda path, at, *rest: (seen.append((path.name, at)), read_window(path, at, *rest))[1]
    )
    source = VideoCrops(folder, CLIP)
    for number in range(400):
        source.draw("train", number, 0, 4)
    assert all(at <= {"wide.mp4": 28 / 25, "high.mkv": 20 / 12}[name] + 1e-6 for name, at in seen)
    seen.clear()
    for number in range(400):
        source.draw("heldout", number, 0, 4)
    assert all(at >= {"wide.mp4": 32 / 25, "high.mkv": 24 / 12}[name] - 1e-6 for name, at in seen)
    assert len(seen) == module.MOST_VISITS, "always the same few"


def test_the_loader_takes_them_as_they_are_drawn(folder: Path) -> None:
    source = open_source(folder, CLIP, crops=True)
    loader = Loader(source, "train", frames=4, batch_size=4, seed=3)
    clips, labels = loader.batch(40)
    assert clips.shape == (4, 4, 16, 24, 3) and labels.tolist() == [-1] * 4
    halves = [Loader(source, "train", frames=4, batch_size=4, seed=3, rank=rank, world=2) for rank in (0, 1)]
    assert np.array_equal(np.concatenate([half.batch(40)[0] for half in halves]), clips)
    ahead = loader.batches(40)
    assert np.array_equal(next(ahead)[0], clips)
    ahead.close()


def test_windows_are_the_frames_that_were_asked_for(tmp_path: Path) -> None:
    grey = [np.full((16, 16, 3), 8 + 6 * number, np.uint8) for number in range(40)]
    path = write(tmp_path / "steps.mp4", grey, options={"crf": "4", "g": "15"})
    for first in (0, 7, 14, 15, 29, 36):
        frames, whole = read_window(path, first / 25, 4)
        assert whole and np.abs(frames.mean(axis=(1, 2, 3)) - (8 + 6 * np.arange(first, first + 4))).max() < 3
    frames, whole = read_window(path, 38 / 25, 4)
    assert not whole and np.array_equal(frames[1], frames[3]), "the last stands for those that are not there"
    assert read_window(path, 99.0, 2)[1] is False


def test_upright_and_without_a_length(tmp_path: Path) -> None:
    turned = rotate(write(tmp_path / "turned.mp4", moving(12, (32, 48))), 90)
    assert read_window(turned, 0.0, 2)[0].shape == (2, 48, 32, 3)
    assert read_window(turned, 0.0, 2, channels=1)[0].shape == (2, 48, 32, 1)
    raw = write(tmp_path / "raw.h264", moving(12, (32, 48)))
    assert declared_length(raw)[1] == 12


def test_damaged_places_are_left_for_others(tmp_path: Path) -> None:
    path = write(tmp_path / "one.mp4", moving(60, (32, 32)), options={"g": "10", "crf": "20"})
    corrupt(path, 0.45, 0.6)
    source = VideoCrops(tmp_path, ClipConfig(frames=4, height=16, width=16))
    for number in range(64):
        assert source.draw("train", number, 0, 4).shape == (4, 16, 16, 3)


def test_what_gives_no_crops(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(DatasetError, match=r"no video gives crops of 512×512; .*: 64×48 pixels are fewer"):
        VideoCrops(folder / "a", ClipConfig(frames=4, height=512, width=512))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match=r"no video has the 4 frames"):
        VideoCrops(tmp_path / "empty", CLIP)
    assert is_footage(folder) and is_footage(folder / "high.mkv") and not is_footage(tmp_path / "nowhere")
