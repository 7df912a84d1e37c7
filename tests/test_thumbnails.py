from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.reformatter import Colorspace

from footage.media import thumbnails as module
from footage.media.probe import UnusableMedia
from footage.media.thumbnails import read_thumbnails
from footage.media.volumes import VolumeScale, write_nifti
from tests.clips import corners, moving, quadrants, write


def test_a_short_clip_is_seen_from_first_to_last(tmp_path: Path) -> None:
    frames = moving(50, (40, 80))
    seen = read_thumbnails(write(tmp_path / "a.mp4", frames, options={"crf": "1"}), moments=5)
    assert (seen.frames, seen.fps, seen.seconds) == (50, 25, 2) and seen.info.codec == "h264"
    assert seen.pictures.shape == seen.following.shape == (5, 40, 80, 3)
    assert _places(frames, seen.pictures) == [0, 12, 24, 37, 49]
    assert _places(frames, seen.following) == [1, 13, 25, 38, 49]


def _places(frames: list[np.ndarray], pictures: np.ndarray) -> list[int]:
    """Which frame each picture is most like."""
    clip = np.stack(frames).astype(int)
    return [int(np.abs(clip - picture).mean(axis=(1, 2, 3)).argmin()) for picture in pictures]


def test_large_pictures_shrink_and_small_ones_stay(tmp_path: Path) -> None:
    seen = read_thumbnails(write(tmp_path / "a.mp4", moving(3, (64, 256))), side=128)
    assert seen.pictures.shape == (3, 32, 128, 3)
    assert read_thumbnails(write(tmp_path / "b.mp4", moving(3, (16, 16)))).pictures.shape == (3, 16, 16, 3)


def test_a_long_clip_is_seen_at_its_moments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.mp4", moving(120), options={"g": "30", "crf": "1"})
    whole = read_thumbnails(path, moments=6)
    monkeypatch.setattr(module, "WHOLE", 50)
    seen = read_thumbnails(path, moments=6)
    assert seen.frames == 120 and seen.pictures.shape == whole.pictures.shape
    assert _places(moving(120), seen.pictures) == [0, 24, 48, 71, 95, 119]
    assert _places(moving(120), seen.following) == [1, 25, 49, 72, 96, 119]
    monkeypatch.setattr(module, "REACH", 10)  # key frames are further apart than that
    near = read_thumbnails(path, moments=6)
    assert _places(moving(120), near.pictures) == [0, 9, 39, 69, 95, 99]
    monkeypatch.setattr(module, "WHOLE", 500)
    monkeypatch.setattr(module, "PIXELS", 120 * 64 * 64 - 1)
    assert (read_thumbnails(path, moments=6).pictures == near.pictures).all()


def test_memory_does_not_grow_with_a_clip_that_does_not_say_how_long_it_is() -> None:
    thinned = module.FrameThinner(10)
    for first in range(0, 1000, 32):
        thinned.add(
            np.arange(first, first + 32).astype(np.int64)[:, None, None, None].repeat(3, axis=3).astype(np.uint8)
        )
        assert len(thinned.kept) <= 22
    shown, after = thinned.pick(5)
    places = [t - t % thinned.stride for t in np.linspace(0, thinned.seen - 1, 5).round().astype(int)]
    assert shown[:, 0, 0, 0].tolist() == [t % 256 for t in places]
    assert after[:, 0, 0, 0].tolist() == [(t + 1) % 256 for t in places]


@pytest.mark.parametrize("name", ["a.mp4", "a.png", "a.gif"])
def test_what_cannot_be_seen_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"nothing at all" * 20)
    with pytest.raises(UnusableMedia):
        read_thumbnails(tmp_path / name)


@pytest.mark.parametrize("spacing", [(1.0, 1e-3, 1e6), (1.0, 1e6, 1e-3)])
def test_slices_of_a_shape_that_no_picture_has_are_refused(tmp_path: Path, spacing: tuple[float, ...]) -> None:
    scale = VolumeScale.of_window(0, 100, "HU", spacing)
    write_nifti(tmp_path / "a.nii.gz", np.zeros((3, 64, 64, 1), np.uint8), scale, {})
    with pytest.raises(UnusableMedia, match="unusable shape"):
        read_thumbnails(tmp_path / "a.nii.gz")


def test_hd_that_tells_no_colours_has_those_of_hdtv_at_any_length(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    colours = [(200, 40, 40), (40, 200, 40), (40, 40, 200), (160, 160, 160)]
    large = np.kron(quadrants(colours, 16), np.ones((45, 80, 1), np.uint8))  # 720 lines of 1280 pixels
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "4", "preset": "ultrafast"})
        stream.height, stream.width, stream.pix_fmt = 720, 1280, "yuv420p"
        frame = av.VideoFrame.from_ndarray(large, format="rgb24")
        hdtv = frame.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU709)
        hdtv.colorspace = 2  # not told
        for number in range(2):
            hdtv.pts, hdtv.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(hdtv))
        container.mux(stream.encode(None))
    for most in (module.WHOLE, 1):
        monkeypatch.setattr(module, "WHOLE", most)
        shown = read_thumbnails(tmp_path / "a.mp4", moments=1)
        assert np.abs(corners(shown.pictures[0]) - colours).max() <= 3
