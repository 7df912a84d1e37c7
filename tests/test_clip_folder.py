from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from footage.data.clip_folder import PICTURES_FPS, ClipFolder
from footage.errors import DatasetError
from footage.media.probe import count_frames
from footage.media.reader import Footage
from tests.clips import cut_off, moving, write, write_audio
from tests.folders import shapes, write_pictures


def test_pictures_are_read_as_they_are(tmp_path: Path) -> None:
    clips = shapes(3)
    folder = ClipFolder(write_pictures(tmp_path / "f", clips, ["a/one", "a/two", "b/three"]))
    assert folder.shape == (32, 32, 3) and folder.labels == ("a", "b") and folder.fps == PICTURES_FPS
    assert not folder.rated and folder.spans("heldout") == []
    spans = folder.spans("train")
    assert [(s.frames, s.label, s.name) for s in spans] == [
        (12, 0, "f/a/one"),
        (12, 0, "f/a/two"),
        (12, 1, "f/b/three"),
    ]
    assert np.array_equal(folder.read(1, 3, 5), clips[1][3:8])
    many = list(folder.windows(2, [0, 2, 2, 7], 5))
    assert [np.array_equal(window, clips[2][s : s + 5]) for window, s in zip(many, (0, 2, 2, 7), strict=True)] == [
        True
    ] * 4


def test_videos_are_counted_and_read(tmp_path: Path) -> None:
    write(tmp_path / "v" / "a.mp4", moving(41, seed=1))
    write(tmp_path / "v" / "b.mkv", moving(33, seed=2))
    length = count_frames(tmp_path / "v" / "a.mp4")
    assert (length.frames, length.height, length.width) == (41, 64, 64) and length.rate == 25
    folder = ClipFolder(tmp_path / "v")
    assert [span.frames for span in folder.spans("train")] == [41, 33] and folder.rated
    last = folder.read(0, 25, 16)
    assert np.abs(last[-1].astype(int) - moving(41, seed=1)[-1]).mean() < 6
    slow = ClipFolder(tmp_path / "v", fps=12.5)
    assert [span.frames for span in slow.spans("train")] == [20, 16]
    assert slow.read(0, 4, 16).shape == (16, 64, 64, 3)
    assert np.abs(slow.read(0, 0, 3)[2].astype(int) - moving(41, seed=1)[4]).mean() < 6
    folder.at(32, 48, 1)
    assert folder.read(0, 0, 2).shape == (2, 32, 48, 1)


def test_different_sizes_and_rates_need_a_word(tmp_path: Path) -> None:
    write(tmp_path / "s" / "a.mp4", moving(20))
    write(tmp_path / "s" / "b.mp4", moving(20, size=(48, 64)))
    with pytest.raises(DatasetError, match=r"s/a.mp4 is 64×64, s/b.mp4 64×48: give --size"):
        ClipFolder(tmp_path / "s")
    assert ClipFolder(tmp_path / "s", height=32, width=32).read(1, 0, 4).shape == (4, 32, 32, 3)
    write(tmp_path / "r" / "a.mp4", moving(20))
    write(tmp_path / "r" / "b.mp4", moving(20), fps=30)
    with pytest.raises(DatasetError, match=r"25 frames a second, r/b.mp4 30: give --fps"):
        ClipFolder(tmp_path / "r")
    assert ClipFolder(tmp_path / "r", fps=25).fps == 25


def test_what_is_no_clip_is_left_out_and_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="holds no clips"):
        (tmp_path / "empty").mkdir()
        ClipFolder(tmp_path / "empty")
    write(tmp_path / "m" / "a.mp4", moving(20))
    write_audio(tmp_path / "m" / "b.mp4")
    (tmp_path / "m" / "c.mp4").write_text("no video")
    folder = ClipFolder(tmp_path / "m")
    assert len(folder.clips) == 1 and [text.split(":")[0] for text in folder.problems] == ["m/b.mp4", "m/c.mp4"]
    (tmp_path / "w").mkdir()
    (tmp_path / "w" / "c.mp4").write_text("no video")
    with pytest.raises(DatasetError, match=r"holds no clips \(w/c.mp4: not a video"):
        ClipFolder(tmp_path / "w")


def test_a_clip_that_ends_early_is_named(tmp_path: Path) -> None:
    write(tmp_path / "c" / "a.mkv", moving(60))
    folder = ClipFolder(tmp_path / "c")
    cut_off(tmp_path / "c" / "a.mkv", 0.3)
    with pytest.raises(DatasetError, match=r"c/a.mkv has \d+ frames, 50 are needed"):
        folder.read(0, 0, 50)


def test_the_hash_is_that_of_the_files(tmp_path: Path) -> None:
    clips = shapes(2)
    one = ClipFolder(write_pictures(tmp_path / "x" / "f", clips))
    same = ClipFolder(write_pictures(tmp_path / "y" / "f", clips))
    other = ClipFolder(write_pictures(tmp_path / "z" / "f", clips[::-1]))
    assert one.content_hash == same.content_hash != other.content_hash


@pytest.mark.parametrize(("step", "pause"), [(1 / 50, 0), (1 / 10, 0), (1 / 25, 12)])
def test_a_varying_rate_has_as_many_frames_as_are_shown(tmp_path: Path, step: float, pause: float) -> None:
    """Packets are not frames: of faster ones some are left out, slower ones stand for several, pauses are cut."""
    times = [n / 25 for n in range(20)] + [0.8 + pause + n * step for n in range(16)]
    path = write(tmp_path / "clips" / "a.mp4", moving(36, (32, 32)), times=times)
    count, folder = count_frames(path), ClipFolder(tmp_path / "clips")
    assert (count.frames, count.rate) == (36, 25)
    shown = Footage(path).chunks(height=32, width=32, channels=3, fps=25)
    assert count.playable == sum(map(len, shown)) != count.frames
    (span,) = folder.spans("train")
    first, last = folder.windows(0, [0, span.frames - 4], 4)
    assert not np.array_equal(first, last) and span.frames == (36 if pause else count.playable)
    with pytest.raises(DatasetError, match=f"has {span.frames} frames, {span.frames + 1} are needed"):
        folder.read(0, 0, span.frames + 1)
    fewer = ClipFolder(tmp_path / "clips", fps=12).spans("train")[0].frames
    with pytest.raises(DatasetError, match=f"has {fewer} frames"):
        ClipFolder(tmp_path / "clips", fps=12).read(0, 0, fewer + 1)
