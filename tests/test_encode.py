from __future__ import annotations

import errno
import json
import os
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import ImageFont

from footage import files
from footage.data.synthetic import draw_factors, render_shapes
from footage.errors import LockError, MediaError
from footage.files import locked
from footage.media import cuts, encode, segments, sheets
from footage.media.colour import UNKNOWN_COLOUR
from footage.media.encode import (
    CONTAINERS,
    FORMATS,
    check_frames_folder,
    chunked,
    read_metadata,
    replaced_folder,
    save_frames,
    write_clip,
)
from footage.media.encoding import VOLUME_FORMATS, EncodingOptions, rate_note
from footage.media.reader import Footage
from footage.media.sheets import FramePicker, contact_sheet, lettering, save_picture, strip, tile
from footage.media.sound import write_sound

METADATA = {"model": "m", "seed": 7, "label": "日本 <b>"}


def clip(frames: int = 20, height: int = 32, width: int = 48) -> np.ndarray:
    return render_shapes(draw_factors(0, 1), start=0, frames=frames, height=height, width=width)


def frames_of(path: Path) -> np.ndarray:
    if path.is_dir():
        from PIL import Image

        return np.stack([np.asarray(Image.open(p).convert("RGB")) for p in sorted(path.glob("*.png"))])
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


@pytest.mark.parametrize(("name", "most"), [("a.mp4", 3.0), ("a.webm", 4.0), ("a.gif", 1.0), ("a", 0.0)])
@pytest.mark.parametrize("channels", [1, 3])
def test_what_is_written_can_be_read_with_its_metadata(tmp_path: Path, name: str, most: float, channels: int) -> None:
    made = clip()[..., :channels]
    write_clip(tmp_path / name, chunked(made, 7), fps=25, metadata=METADATA)
    read = frames_of(tmp_path / name)
    assert read.shape == (20, 32, 48, 3)
    assert np.abs(read.astype(float) - made).mean() <= most
    assert read_metadata(tmp_path / name) == METADATA
    assert [p.name for p in tmp_path.iterdir()] == [name], "nothing else is left behind"


@pytest.mark.parametrize("kind", [kind for kind in FORMATS if kind not in VOLUME_FORMATS])
def test_every_format_keeps_frames_and_metadata(tmp_path: Path, kind: str) -> None:
    path = tmp_path / ("a" if kind == "png" else f"a.{kind}")
    write_clip(path, chunked(clip()), fps=25, metadata=METADATA)
    assert frames_of(path).shape == (20, 32, 48, 3)
    assert read_metadata(path) == METADATA, "a container that keeps no comment loses where a clip comes from"


def test_every_container_has_its_codecs_muxer_and_sound() -> None:
    assert {*CONTAINERS, "gif", "png", *VOLUME_FORMATS} == set(FORMATS)
    for known in (segments.MUXERS, segments.COPIED_AUDIO, segments.AUDIO_ENCODERS):
        assert known.keys() == CONTAINERS.keys()


@pytest.mark.parametrize("fps", [12.0, 24.0, 25.0, 29.97, 60.0])
def test_rate_is_kept(tmp_path: Path, fps: float) -> None:
    write_clip(tmp_path / "a.mp4", chunked(clip()), fps=fps, metadata={})
    with av.open(str(tmp_path / "a.mp4")) as container:
        rate = container.streams.video[0].average_rate
        assert rate is not None and abs(float(rate) - fps) < 0.01


def test_odd_sizes_are_kept(tmp_path: Path) -> None:
    write_clip(tmp_path / "a.mp4", chunked(clip(height=33, width=47)), fps=25, metadata={})
    assert frames_of(tmp_path / "a.mp4").shape == (20, 33, 47, 3)


def test_colours_survive_the_way_through_mp4(tmp_path: Path) -> None:
    flat = np.zeros((4, 32, 32, 3), np.uint8)
    flat[:] = (200, 60, 30)
    write_clip(tmp_path / "a.mp4", chunked(flat), fps=25, metadata={})
    assert np.abs(frames_of(tmp_path / "a.mp4").astype(int) - flat).max() <= 3


def test_failures_leave_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.mp4"
    write_clip(path, chunked(clip()), fps=25, metadata=METADATA)
    before = path.read_bytes()

    def broken() -> object:
        yield clip(4)
        raise OSError(errno.ENOSPC, "no space left on device")

    with pytest.raises(MediaError, match="disk is full"):
        write_clip(path, broken(), fps=25, metadata={})  # type: ignore[arg-type]
    with pytest.raises(MediaError, match="no frames"):
        write_clip(path, iter(()), fps=25, metadata={})
    with pytest.raises(MediaError, match="float64"):
        write_clip(path, [np.zeros((2, 8, 8, 3))], fps=25, metadata={})  # type: ignore[list-item]
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_unknown_format_suggests(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match=r"give \.mp4"):
        write_clip(tmp_path / "a.mp3", chunked(clip()), fps=25, metadata={})
    with pytest.raises(MediaError, match="frame rate is 0"):
        write_clip(tmp_path / "a.mp4", chunked(clip()), fps=0, metadata={})


def test_folders_of_others_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("precious")
    (tmp_path / "file").write_text("precious")
    for name in ("mine", "file"):
        with pytest.raises(MediaError, match="holds something else"):
            write_clip(tmp_path / name, chunked(clip(3)), fps=10, metadata={})
    assert (tmp_path / "mine" / "thesis.txt").read_text() == (tmp_path / "file").read_text() == "precious"
    write_clip(tmp_path / "frames", chunked(clip(5)), fps=10, metadata={})
    write_clip(tmp_path / "frames", chunked(clip(3)), fps=10, metadata={})
    assert len(list((tmp_path / "frames").iterdir())) == 3
    assert {p.name for p in tmp_path.iterdir()} == {"mine", "file", "frames"}


def test_long_metadata_in_gif(tmp_path: Path) -> None:
    long = {"caption": "é" * 700}
    write_clip(tmp_path / "a.gif", chunked(clip(3)), fps=10, metadata=long)
    assert read_metadata(tmp_path / "a.gif") == long
    assert len(frames_of(tmp_path / "a.gif")) == 3


def test_file_of_others_has_no_metadata(tmp_path: Path) -> None:
    write_clip(tmp_path / "a.mp4", chunked(clip(3)), fps=10, metadata={})
    assert encode.read_metadata(tmp_path / "a.mp4") == {}


def test_picker_takes_first_and_last(tmp_path: Path) -> None:
    made = clip(30)
    picker = FramePicker(30, 4)
    assert sum(len(chunk) for chunk in picker.watch(chunked(made, 7))) == 30
    np.testing.assert_array_equal(picker.strip(), made[[0, 10, 19, 29]])
    assert strip(made[:3], 8).shape[0] == 3


def test_a_sheet_is_written_in_a_font_that_has_the_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    wide = ImageFont.load_default(12)
    monkeypatch.setattr(sheets, "system_font", lambda size: wide)
    assert lettering("a circle")[1] is not wide and lettering("红色 circle") == ("红色 circle", wide)
    monkeypatch.setattr(sheets, "system_font", lambda size: None)
    assert lettering("clip 红色圆 moves 左")[0] == (
        "clip (3 characters without a font) moves (1 character without a font)"
    )


def test_sheet_holds_every_clip(tmp_path: Path) -> None:
    strips = [np.full((4, 32, 48, 1), 10 * i + 50, np.uint8) for i in range(6)]
    sheet = contact_sheet(strips, [f"clip {i}" for i in range(6)])
    levels = set(np.unique(sheet[..., 0]))
    assert {50, 60, 70, 80, 90, 100} <= levels
    save_picture(tmp_path / "sheet.png", sheet)
    assert (tmp_path / "sheet.png").read_bytes().startswith(b"\x89PNG")


def test_sheet_of_large_frames_is_no_wider_than_a_screen() -> None:
    sheet = contact_sheet([np.full((8, 720, 1280, 3), 90, np.uint8)] * 2, ["a", "b"])
    assert sheet.shape == (2 * (288 + 14 + 4) + 4, 8 * (512 + 1) + 2 * 4, 3)
    assert contact_sheet([np.full((1, 8, 100, 3), 90, np.uint8)]).shape[1] == 500 + 1 + 2 * 4


def test_tile_fills_the_grid() -> None:
    grid = tile([np.full((2, 4, 6, 3), i + 1, np.uint8) for i in range(5)])
    assert grid.shape == (2, 8, 18, 3)
    assert grid[0, 0, 0, 0] == 1 and grid[0, 4, 6, 0] == 5 and grid[0, 4, 12, 0] == 0


def test_the_same_clip_is_the_same_file(tmp_path: Path) -> None:
    """A conversion left to the encoder, and its tree of macroblocks, gave another file now and then."""
    ys, xs = np.mgrid[:64, :64]
    spots = [np.hypot(ys - 20 - t, xs - 30 - 2 * np.sin(t)) < 12 for t in range(16)]
    clip = np.stack([spot[..., None] * np.array([250, 30, 20]) for spot in spots]).astype(np.uint8)
    clip += np.random.default_rng(0).integers(0, 4, clip.shape, dtype=np.uint8)
    written = {write_clip_bytes(tmp_path / "a.mp4", clip) for _ in range(12)}
    assert len(written) == 1


def write_clip_bytes(path: Path, clip: np.ndarray) -> bytes:
    write_clip(path, iter([clip]), fps=25, metadata={"seed": 1})
    return path.read_bytes()


def test_frames_are_numbered_and_16_bits_become_8(tmp_path: Path) -> None:
    frames = clip(3)
    assert save_frames(tmp_path, (frame.astype(np.uint16) * 257 for frame in frames), first=8) == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["000008.png", "000009.png", "000010.png"]
    assert np.array_equal(frames_of(tmp_path), frames)
    assert save_frames(tmp_path, []) == 0


def test_only_folders_of_frames_are_replaced(tmp_path: Path) -> None:
    check_frames_folder(tmp_path / "new")
    save_frames(tmp_path, clip(2))
    check_frames_folder(tmp_path)
    (tmp_path / "note.json").write_text("{}")
    check_frames_folder(tmp_path, beside="note.json")
    with pytest.raises(MediaError, match="holds something else than numbered frames"):
        check_frames_folder(tmp_path)


def delays(path: Path) -> list[int]:
    """How long each frame of a gif is shown, in milliseconds, by Pillow's reading of its blocks."""
    from PIL import Image

    with Image.open(path) as image:
        shown = []
        for number in range(getattr(image, "n_frames", 1)):
            image.seek(number)
            shown.append(image.info.get("duration", 0))
        return shown


@pytest.mark.parametrize(
    ("fps", "frames", "seconds"),
    [(25, 30, 1.2), (30, 30, 1.0), (50, 30, 0.6), (Fraction(60000, 1001), 30, 0.5005), (60, 30, 0.5), (120, 24, 0.2)],
)
def test_gif_has_no_delay_that_browsers_lengthen(
    tmp_path: Path, fps: Fraction | int, frames: int, seconds: float
) -> None:
    write_clip(tmp_path / "a.gif", chunked(clip(frames)), fps=float(fps), metadata={})
    shown = delays(tmp_path / "a.gif")
    assert min(shown) >= 20, "browsers show what is shorter for 100 ms"
    assert abs(sum(shown) / 1000 - seconds) <= 0.021
    assert len(shown) == frames if fps <= 50 else seconds * 50 <= len(shown) <= seconds * 50 + 1
    assert bool(rate_note(".gif", float(fps))) == (fps > 50) and not rate_note("mp4", float(fps))


def test_gif_keeps_the_frames_that_ffmpegs_filter_keeps(tmp_path: Path) -> None:
    """Frame n of 60 a second is shown in the 20 ms that n / 60 s are nearest to; of two, the later one."""
    levels = (np.arange(12) * 20).astype(np.uint8)
    made = np.broadcast_to(levels[:, None, None, None], (12, 8, 8, 3))
    write_clip(tmp_path / "a.gif", chunked(made), fps=60, metadata={})
    shown = [round(float(frame.mean()) / 20) for frame in frames_of(tmp_path / "a.gif")]
    assert shown == [0, 1, 2, 4, 5, 6, 7, 8, 10, 11]
    write_clip(tmp_path / "b.gif", chunked(made[:1]), fps=240, metadata={})
    assert len(frames_of(tmp_path / "b.gif")) == 1, "a clip of one frame keeps it"


def test_a_second_process_takes_nothing_from_the_first(tmp_path: Path) -> None:
    path, frames = tmp_path / "frames", clip(6)
    with replaced_folder(path) as one:
        save_frames(one, frames)
        write_clip(path, [frames[:2]], fps=25, metadata={})  # meanwhile, by another
        assert len(list(one.iterdir())) == 6
    assert len(frames_of(path)) == 6 and list(tmp_path.iterdir()) == [path]
    left = files.scratch_beside(path, "")
    left.mkdir()
    write_clip(path, [frames], fps=25, metadata={})
    assert left.exists(), "somebody may be writing it"
    os.utime(left, (0, 0))
    write_clip(path, [frames], fps=25, metadata={})
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(MediaError, match="something else"), replaced_folder(path):
        (path / "letter.txt").touch()
    assert (path / "letter.txt").exists()


def rendered(to: Path, frames: int = 3) -> int:
    shown = clip(frames)
    return segments.render(
        to, lambda first: iter(shown[first:]), size=(32, 48), rate=Fraction(25), about={}, sources=[]
    )


def test_a_video_is_written_by_one_process_at_a_time(tmp_path: Path) -> None:
    target = segments.VideoTarget(
        tmp_path / "a.mp4", (32, 48), Fraction(25), Fraction(1, 25), UNKNOWN_COLOUR, False, EncodingOptions(), {}, {}
    )
    with segments.SegmentWriter(target) as parts:
        with pytest.raises(MediaError, match="is written by another process"):
            rendered(target.to)
        parts.write(((picture, number) for number, picture in enumerate(clip(4))), 0)
        assert parts.finish(None, Fraction(0)) == 4
    assert rendered(target.to) == 3 and list(tmp_path.iterdir()) == [target.to]


def test_a_video_whose_segments_cannot_be_begun_can_be_written_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no space")

    with monkeypatch.context() as patch, pytest.raises(MediaError, match="the disk is full"):
        patch.setattr(segments.files, "write_json", full)
        rendered(tmp_path / "a.mp4")

    def emptied(folder: Path, ignore_errors: bool) -> None:
        """Leave the folder, as on NFS, where the open lock is in it under another name until it is closed."""
        for path in folder.iterdir():
            path.rmdir() if path.is_dir() else path.unlink()

    monkeypatch.setattr(segments.shutil, "rmtree", emptied)
    assert rendered(tmp_path / "a.mp4") == 3 and list(tmp_path.iterdir()) == [tmp_path / "a.mp4"]


def test_pictures_are_on_the_disk_before_the_note_that_they_are_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda handle: flushed.append(os.fstat(handle).st_ino))
    to, rate = tmp_path / "frames", Fraction(25)
    target = segments.VideoTarget(to, (32, 48), rate, 1 / rate, UNKNOWN_COLOUR, False, EncodingOptions(), {}, {})
    with segments.SegmentWriter(target) as parts:
        parts.write(((picture, number) for number, picture in enumerate(clip(3))), 0)
        saved = [*sorted(parts.frames.glob("*.png")), parts.note(0)]
        assert len(saved) == 4 and flushed[-4:] == [path.stat().st_ino for path in saved]


def test_segments_of_another_rate_depth_or_mark_are_not_taken(tmp_path: Path) -> None:
    target = segments.VideoTarget(
        tmp_path / "a.mp4", (32, 48), Fraction(25), Fraction(1, 50), UNKNOWN_COLOUR, False, EncodingOptions(), {}, {}
    )
    other = [replace(target, rate=Fraction(50)), replace(target, deep=True), replace(target, message=7)]
    assert target.key() not in [each.key() for each in other]
    with segments.SegmentWriter(target) as parts:
        parts.write(((picture, number) for number, picture in enumerate(clip(2))), 0)
        assert parts.done == 1
    with segments.SegmentWriter(replace(target, message=7)) as parts:
        assert parts.done == 0


def test_names_with_colons_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FFmpeg takes what stands before a colon for a protocol, unless it is told that there is none."""
    monkeypatch.chdir(tmp_path)
    write_clip(Path("12:30.mp4"), [clip(4)], fps=25, metadata=METADATA)
    write_sound(Path("a:b.wav"), [np.zeros(999, np.float32)], 22_050)
    assert cuts.write_cuts([cuts.Cut(Path("12:30.mp4"), 1)], Path("r:1.mp4"), metadata={}) == 3
    assert rendered(Path("视:2.mkv")) == 3 and len(frames_of(tmp_path / "视:2.mkv")) == 3
    assert read_metadata(Path("12:30.mp4")) == METADATA


@pytest.mark.parametrize("name", ["frames", "a.mp4"])
def test_nothing_plain_is_written_into_a_locked_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setitem(locked.SCRYPT, "n", 2**4)
    monkeypatch.setenv(locked.PASSPHRASE, "correct horse battery")
    header = locked.new_header("passphrase", b"correct horse battery")
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / locked.HEADER).write_text(json.dumps(header | {"state": "locked"}))
    for write in (rendered, lambda to: write_clip(to, [clip(2)], fps=25, metadata={})):
        with pytest.raises(LockError, match="lies in a locked folder, where this cannot be written"):
            write(tmp_path / "kept" / name)
    assert [path.name for path in (tmp_path / "kept").iterdir()] == [locked.HEADER]


def test_hidden_files_in_a_folder_of_frames_are_no_frames(tmp_path: Path) -> None:
    write_clip(tmp_path / "frames", [clip(2)], fps=25, metadata=METADATA)
    (tmp_path / "frames" / "._000000.png").write_bytes(b"attributes")  # as macOS leaves them on other disks
    assert read_metadata(tmp_path / "frames") == METADATA
    assert len(Footage(tmp_path / "frames").pictures) == 2
