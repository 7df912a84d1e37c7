"""What is media: one list, told by names and heads; what is no file is never opened."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from PIL import Image

from footage.commands.library import add
from footage.data.ingest.sources import scan
from footage.errors import ConfigError, MediaError
from footage.library import storage
from footage.library.additions import ClipDetails
from footage.library.library import Library
from footage.media.kinds import CLIP_SUFFIXES, KEPT_SUFFIXES, VOLUME_SUFFIXES, is_animated, is_special, is_still
from footage.media.probe import UnusableMedia, probe
from footage.media.reader import Footage
from footage.studio.routes import clips as routes
from tests.clips import moving, write
from tests.libraries import save_clip

CAMERAS = ("MTS", "m2ts", "3gp", "VOB", "ts", "wmv", "flv", "ogv", "mxf", "dv", "MOD", "m2t", "f4v", "divx", "webm")
SPECIAL = "a pipe, a socket or a device, which is never opened"
MOVING = ("webp", "png", "avif", "tif")


def animate(path: Path, count: int = 5, *, side: int = 16, **options: object) -> Path:
    pictures = [Image.fromarray(frame) for frame in moving(count, (side, side))]
    pictures[0].save(path, save_all=count > 1, append_images=pictures[1:], **options)
    return path


def test_one_list_for_ingest_library_and_studio(tmp_path: Path) -> None:
    for ending in CAMERAS:
        (tmp_path / f"clip {ending}.{ending}").write_bytes(b"x")
    for library in (False, True):
        found = scan([tmp_path], library=library)
        assert {source.path.suffix[1:] for source in found.sources} == set(CAMERAS) and not found.ignored
    assert {ending.lower() for ending in CAMERAS} <= CLIP_SUFFIXES
    assert storage.KEPT_SUFFIXES is KEPT_SUFFIXES is routes.KEPT_SUFFIXES
    assert KEPT_SUFFIXES == CLIP_SUFFIXES | VOLUME_SUFFIXES
    assert all(ending.isalnum() and len(ending) <= 5 for ending in KEPT_SUFFIXES)  # what the tables take


@pytest.mark.parametrize("ending", MOVING)
def test_pictures_that_move_are_videos(tmp_path: Path, ending: str) -> None:
    clip, still = animate(tmp_path / f"clip.{ending}"), animate(tmp_path / f"still.{ending}", 1)
    assert is_animated(clip) and not is_still(clip)
    assert not is_animated(still) and is_still(still)
    assert [(source.kind, source.path.name) for source in scan([tmp_path]).sources] == [("video", clip.name)]
    assert [source.kind for source in scan([tmp_path], library=True).sources] == ["video", "picture"]
    for length in (0, 3, 8):
        cut = tmp_path / f"cut.{ending}"
        cut.write_bytes(clip.read_bytes()[:length])
        assert not is_animated(cut)


def test_a_smaller_copy_in_a_tiff_is_no_second_frame(tmp_path: Path) -> None:
    large, small = Image.new("L", (32, 32)), Image.new("L", (8, 8))
    small.encoderinfo = {"tiffinfo": {254: 1}}  # reduced-resolution version, TIFF 6.0
    large.save(tmp_path / "pyramid.tif", save_all=True, append_images=[small])
    assert Image.open(tmp_path / "pyramid.tif").n_frames == 2 and is_still(tmp_path / "pyramid.tif")
    large.save(tmp_path / "big.tif", save_all=True, append_images=[large], big_tiff=True)
    assert is_animated(tmp_path / "big.tif")


def test_pipes_sockets_and_devices_are_never_opened(tmp_path: Path) -> None:
    root = tmp_path / "clips"
    root.mkdir()
    write(root / "clip.mp4", moving(4, (16, 16)))
    os.mkfifo(root / "pipe.mp4")
    os.mkfifo(root / "clip.txt")  # where a caption would stand
    os.mkfifo(tmp_path / "table.csv")
    (root / "device.mkv").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(root / "socket.avi"))
        found = scan([root, root / "pipe.mp4"])
    assert [(s.name, s.caption) for s in found.sources] == [("clips/clip.mp4", None)]
    assert {(r.source, r.reason, r.detail) for r in found.rejections} == {
        ("clips/clip.txt", "not a file", SPECIAL),
        ("clips/pipe.mp4", "not a file", SPECIAL),
        ("pipe.mp4", "not a file", SPECIAL),
        ("clips/device.mkv", "not a file", SPECIAL),
        ("clips/socket.avi", "not a file", SPECIAL),
    }
    assert not is_special(root / "clip.mp4") and not is_special(root)
    for opens in (probe, Footage):
        with pytest.raises((UnusableMedia, MediaError), match=SPECIAL):
            opens(root / "pipe.mp4")
    library = Library(tmp_path / "library")
    for opens in (library.add, library.unpack):
        with pytest.raises(MediaError, match=SPECIAL):
            opens(root / "pipe.mp4")
    with pytest.raises(ConfigError, match="is a pipe, a socket or a device"):
        scan([root], tmp_path / "table.csv")
    assert len(add(tmp_path / "library", (root,), quiet=True)) == 1


def test_the_library_takes_labels_captions_and_sequences_as_ingest_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "clips"
    write(root / "run" / "a.MTS.mp4", moving(4, (16, 16)))
    (root / "run" / "a.MTS.txt").write_text("runs")
    for label, ending, seed in (("walk", "jpg", 1), ("jump", "tif", 2)):
        for number, frame in enumerate(moving(3, (16, 16), seed)):
            (root / label / "one").mkdir(parents=True, exist_ok=True)
            Image.fromarray(frame).save(root / label / "one" / f"f{number}.{ending}")
    Image.new("RGB", (16, 16), "red").save(root / "poster.png")
    Image.new("RGB", (16, 16), "blue").save(root / "sheet.png")
    (root / "notes.doc").write_bytes(b"x")
    (root / "old.heic").write_bytes(b"x")
    added = add(tmp_path / "library", (root,))
    assert {(e.title, e.label, e.frames, e.prompt) for e in added} == {
        ("a.MTS", "run", 4, "runs"),
        ("one", "walk", 3, ""),
        ("one", "jump", 3, ""),
        ("poster", None, 1, ""),
    }
    said = " ".join(capsys.readouterr().out.split())
    assert "1 .doc (such as clips/notes.doc)" in said and "1 .heic (such as clips/old.heic)" in said
    (tmp_path / "t.csv").write_text("file,label\nposter.png,still\n")
    again = add(tmp_path / "other", (root,), labels=str(tmp_path / "t.csv"), quiet=True)
    assert {entry.label for entry in again} == {None, "still"}
    assert {entry.label for entry in add(tmp_path / "third", (root,), labels="none", quiet=True)} == {None}


def test_two_sequences_in_a_folder_are_two_clips_and_an_export_comes_back_as_it_was(tmp_path: Path) -> None:
    for number, frame in enumerate(moving(4, (16, 16))):
        for name, pixels in (("a", frame), ("b", 255 - frame)):
            (tmp_path / "two").mkdir(exist_ok=True)
            Image.fromarray(pixels).save(tmp_path / "two" / f"{name}_{number}.png")
    a, b = add(tmp_path / "library", (tmp_path / "two",), quiet=True)
    assert (a.frames, b.frames) == (4, 4) and a.digest != b.digest and {a.title, b.title} == {"a_#.png", "b_#.png"}
    with Library(tmp_path / "stills") as library:
        for number, frame in enumerate(moving(2, (16, 16))):
            Image.fromarray(frame).save(tmp_path / f"still {number}.png")
            library.add(tmp_path / f"still {number}.png", ClipDetails(title=f"still {number}"))
        library.export([1, 2], tmp_path / "out")
    assert [entry.frames for entry in add(tmp_path / "back", (tmp_path / "out",), quiet=True)] == [1, 1]


def test_what_a_clip_says_of_itself_goes_before_its_folder(tmp_path: Path) -> None:
    save_clip(tmp_path / "made" / "tuesday" / "clip.mp4", 1, seed=1, label="dog")
    save_clip(tmp_path / "made" / "tuesday" / "other.mp4", 2, seed=2)
    labels = {entry.title: entry.label for entry in add(tmp_path / "library", (tmp_path / "made",), quiet=True)}
    assert labels == {"clip": "dog", "other": "tuesday"}
