from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from footage.errors import MediaError
from footage.media.reader import Footage
from tests import clips


def frames_of(given: Footage, height: int = 32, width: int = 32, channels: int = 3) -> np.ndarray:
    return np.concatenate(list(given.chunks(height=height, width=width, channels=channels, fps=25.0)))


def test_a_video_a_picture_and_a_folder_of_pictures_are_read(tmp_path: Path) -> None:
    shown = clips.moving(40, (32, 32))
    video = clips.write(tmp_path / "a.mp4", shown)
    (tmp_path / "folder").mkdir()
    for number in (10, 2, 1):
        Image.fromarray(shown[number]).save(tmp_path / "folder" / f"frame{number}.png")
    Image.fromarray(shown[0]).save(tmp_path / "still.png")
    assert frames_of(Footage(video)).shape == (40, 32, 32, 3)
    folder = frames_of(Footage(tmp_path / "folder"))
    assert np.array_equal(folder, np.stack([shown[1], shown[2], shown[10]])), "in the order that people count"
    still = Footage(tmp_path / "still.png")
    assert still.is_picture and np.array_equal(frames_of(still), shown[0][None])
    assert not Footage(video).is_picture and not Footage(tmp_path / "folder").is_picture
    assert {Footage(path).size() for path in (video, tmp_path / "folder", tmp_path / "still.png")} == {(32, 32)}
    assert frames_of(still, channels=1).shape == (1, 32, 32, 1)


def test_another_shape_is_letterboxed(tmp_path: Path) -> None:
    white = [np.full((32, 64, 3), 255, np.uint8)] * 3
    found = frames_of(Footage(clips.write(tmp_path / "wide.mp4", white)))
    assert (found[:, :8] < 30).all() and (found[:, -8:] < 30).all() and (found[:, 10:22] > 220).all()


def test_what_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.mp4").write_text("no video")
    (tmp_path / "broken.png").write_text("no picture")
    with pytest.raises(MediaError, match="does not exist"):
        Footage(tmp_path / "missing.mp4")
    with pytest.raises(MediaError, match="holds no pictures"):
        Footage(tmp_path / "empty")
    for name in ("text.mp4", "broken.png"):
        with pytest.raises(MediaError):
            frames_of(Footage(tmp_path / name))
        with pytest.raises(MediaError):
            Footage(tmp_path / name).size()
