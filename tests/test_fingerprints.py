"""A clip is found again in its library after it was compressed, made smaller, cut, thinned out, trimmed or mirrored."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from footage import Library
from footage.commands.library import find
from footage.errors import LibraryError, MediaError
from footage.files import file_digest
from footage.media.decode import Frames
from footage.media.encode import h264, write_clip
from footage.media.encoding import EncodingOptions
from footage.media.fingerprints import (
    CROPS,
    WIDTH,
    Closer,
    Codes,
    Samples,
    Shown,
    make_codes,
    make_samples,
    mirrored,
    read_fingerprint,
    read_samples,
)
from footage.media.fingerprints import find as find_copy
from footage.media.reader import fit_frames
from tests.libraries import make_older

SIDE, FRAMES = 64, 36


def drawn(seed: int, frames: int = FRAMES, *, large: float = 1, square: bool = False) -> Frames:
    """Draw a disc on black that goes along a curve, as clips of one model do: all look alike but for colour and way.

    Both are `large` times as large; a square has the disc's area.
    """
    rng = np.random.default_rng(seed)
    time = np.linspace(0, 1, frames)[:, None]
    steps = rng.uniform(-1, 1, (3, 2)) * [[16], [9], [6]]
    way = sum(steps[k] * np.sin(np.pi * (k + 1) * time + rng.uniform(0, 6)) for k in range(3))  # (T, 2)
    middle = SIDE / 2 + large * way
    y, x = np.mgrid[:SIDE, :SIDE]
    apart = y - middle[:, :1, None], x - middle[:, 1:, None]
    distance = np.maximum(*np.abs(apart)) * 2 / np.sqrt(np.pi) if square else np.hypot(*apart)
    inside = distance < large * rng.uniform(7, 10)
    return (inside[..., None] * rng.uniform(60, 255, 3)).astype(np.uint8)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Library:
    """Return a library of twelve clips that look alike."""
    folder = tmp_path_factory.mktemp("made")
    opened = Library(folder / "library")
    for seed in range(12):
        write_clip(folder / f"{seed}.mp4", [drawn(seed)], fps=25, metadata={})
        opened.add(folder / f"{seed}.mp4")
    return opened


COPIES = {
    "crf 30": (lambda frames: frames, 25.0, "mp4", 30),
    "half size": (lambda frames: frames.reshape(-1, SIDE // 2, 2, SIDE // 2, 2, 3).mean(axis=(2, 4)), 25.0, "mp4", 23),
    "70% of both sides": (lambda frames: frames[:, 8:52, 12:56], 25.0, "mp4", 23),
    "12.5 frames a second": (lambda frames: frames[::2], 12.5, "mp4", 23),
    "webm": (lambda frames: frames, 25.0, "webm", 40),
    "trimmed": (lambda frames: frames[9:], 25.0, "mp4", 23),
    "mirrored": (lambda frames: frames[:, :, ::-1], 25.0, "mp4", 23),
}


@pytest.mark.parametrize("change", COPIES)
def test_a_copy_is_found_and_its_content_alone_would_not_be(library: Library, tmp_path: Path, change: str) -> None:
    made, fps, suffix, crf = COPIES[change]
    copy = tmp_path / f"copy.{suffix}"
    frames = np.ascontiguousarray(made(drawn(5)).astype(np.uint8))
    write_clip(copy, [frames], fps=fps, metadata={}, encoding=EncodingOptions(crf=crf))
    found = library.find(copy)
    assert found is not None and found.entry.id == 6
    assert found.match.mirrored == (change == "mirrored")
    assert (found.match.part < 0.8) == ("70%" in change)
    assert abs(found.match.begins - 9 / 25 * (change == "trimmed")) < 0.1
    assert file_digest(copy) not in {library.get(number).digest for number in range(1, 13)}


def test_clips_that_only_look_alike_are_not_found(library: Library, tmp_path: Path) -> None:
    paths = []
    for seed in range(100, 103):
        paths.append(tmp_path / f"{seed}.mp4")
        write_clip(paths[-1], [drawn(seed)], fps=25, metadata={})
    result = find(library.folder, tuple(paths), quiet=True)
    assert list(result.clips.values()) == [None] * 3
    assert result.exit_status == 4
    result = find(library.folder, (library.path(3),), quiet=True)
    assert result.exit_status == 0 and (same := result.clips[library.path(3)]) is not None
    assert (same.entry.id, same.same, same.match.likeness) == (3, "bytes", 1.0)


def test_the_same_frames_are_said_to_be_so_and_whole_names_are_printed(
    library: Library, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names that differ at their ends alone are told apart on a terminal of 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")
    paths = [tmp_path / f"a-clip-that-somebody-has-sent-us-in-november-{number}.mp4" for number in (4, 7)]
    for path in paths:
        path.write_bytes(library.path(5).read_bytes() + b"\0\0\0\x08free")  # a box that players pass over
    write_clip(paths[1], [drawn(5)], fps=25, metadata={}, encoding=EncodingOptions(crf=30))
    result = find(library.folder, tuple(paths))
    told = {path: (found.entry.id, found.same) for path, found in result.clips.items() if found is not None}
    assert told == {paths[0]: (5, "frames"), paths[1]: (6, "")}
    rows = [line.split("│") for line in capsys.readouterr().out.splitlines() if line.startswith("│")]
    columns = ["".join(row[column].strip() for row in rows) for column in (1, 5)]
    assert columns[0] == "".join(path.name for path in paths) and columns[1].startswith("the same frames")


def test_a_clip_of_other_colours_that_moves_alike_is_told_apart_by_its_file(library: Library, tmp_path: Path) -> None:
    path = tmp_path / "other.mp4"
    write_clip(path, [np.roll(drawn(5), 1, axis=-1)], fps=25, metadata={})
    samples = {number: read_samples(library.path(number)) for number in range(1, 13)}
    codes = Codes((number, make_codes(some)) for number, some in samples.items())

    def read(numbers: Sequence[int]) -> dict[int, Samples]:
        return {number: samples[number] for number in numbers}

    def gone(number: int) -> Shown:
        raise LibraryError(f"clip {number} is gone", "look for another")

    copy = read_fingerprint(path)
    for closer in (None, Closer(copy.shown, gone)):  # samples alone cannot tell
        found = find_copy(codes, copy.samples, read, closer)
        assert found is not None and found.clip == 6
    closer = Closer(copy.shown, lambda number: read_fingerprint(library.path(number)).shown)
    assert find_copy(codes, copy.samples, read, closer) is None


def test_frames_are_packed_exactly_and_damage_is_told(library: Library) -> None:
    shown = read_fingerprint(library.path(3)).shown
    packed = shown.packed()
    again = Shown.unpacked(packed)
    assert (again.waves == shown.waves).all() and (again.begins == shown.begins).all()
    assert len(packed) < shown.waves.nbytes / 2
    for damaged in (packed[:-9], b"frames", zlib.compress(b"frames")):
        with pytest.raises(MediaError, match="the frames of a fingerprint"):
            Shown.unpacked(damaged)


@pytest.mark.parametrize("older", [False, True])
def test_a_clip_whose_file_is_gone_is_looked_at_closely_by_its_frames(tmp_path: Path, older: bool) -> None:
    """A library of before has the frames once its clip was looked at."""
    paths = [tmp_path / "clip.mp4", tmp_path / "other.mp4", tmp_path / "copy.mp4"]
    write_clip(paths[0], [drawn(5)], fps=25, metadata={})
    write_clip(paths[1], [np.roll(drawn(5), 1, axis=-1)], fps=25, metadata={})  # samples alone take it for the clip
    write_clip(paths[2], [drawn(5)], fps=25, metadata={}, encoding=EncodingOptions(crf=30))
    with Library(tmp_path / "library") as opened:
        opened.add(paths[0])
    if older:
        make_older(tmp_path / "library", 9)
    with Library(tmp_path / "library") as opened:
        for gone in (False, True):
            if gone:
                opened.path(1).unlink()
            found = opened.find(paths[2])
            assert found is not None and found.entry.id == 1
            assert opened.find(paths[1]) is None


def test_a_larger_shape_of_another_form_and_colour_is_no_part_of_a_clip(library: Library, tmp_path: Path) -> None:
    path, part = tmp_path / "copy.mp4", np.array([0.88, 0.06, 0.06, 0], dtype=np.float32)
    closeness = []
    for square in (False, True):
        frames = drawn(5, large=1 / 0.88, square=square) * ((0.8, 1, 0.8) if square else (1, 1, 1))
        write_clip(path, [frames.astype(np.uint8)], fps=25, metadata={}, encoding=EncodingOptions(crf=30))
        closer = Closer(read_fingerprint(path).shown, lambda number: read_fingerprint(library.path(number)).shown)
        looked = closer.closeness(6, part, mirrored=False)
        assert looked is not None
        closeness.append(looked[0])
    assert closeness[0] > 1 and closeness[1] < -0.3  # the second .3 too close before parts were asked for more


def test_an_older_library_is_given_fingerprints_and_a_removed_clip_loses_its_own(tmp_path: Path) -> None:
    with Library(tmp_path / "library") as opened:
        for seed in (0, 1):
            write_clip(tmp_path / f"{seed}.mp4", [drawn(seed)], fps=25, metadata={})
            opened.add(tmp_path / f"{seed}.mp4")
    make_older(tmp_path / "library", 6)
    told: list[tuple[int, int]] = []
    with Library(tmp_path / "library") as opened:
        found = opened.find(tmp_path / "1.mp4", lambda done, of: told.append((done, of)))
        assert found is not None and found.entry.id == 2
        assert told == [(1, 2), (2, 2)]
        opened.remove([2])
        assert opened.find(tmp_path / "1.mp4") is not None  # from the bin, too
        opened.purge()
        assert opened.find(tmp_path / "1.mp4") is None
    make_older(tmp_path / "library", 6)
    with Library(tmp_path / "library") as opened:
        opened.verify()
        told.clear()
        assert opened.find(tmp_path / "0.mp4", lambda done, of: told.append((done, of))) is not None
        assert not told  # all had theirs


def test_clips_of_any_length_have_samples_and_codes() -> None:
    for frames in (1, 2, 7, 700):
        samples = make_samples(np.zeros((frames, 32, 32, 3), np.uint8))
        assert samples.shape == (min(300, (frames + 1) // 2), WIDTH)
        codes = make_codes(samples)
        assert codes.shape == (max(0, len(samples) - 6) // 4 + 1, len(CROPS))
        assert (mirrored(mirrored(samples)) == samples).all()


def test_the_nearest_codes_are_those_that_differ_in_fewest_bits() -> None:
    rng = np.random.default_rng(0)
    clips = {number: rng.integers(0, 2**64, (1 + number % 5, len(CROPS)), dtype=np.uint64) for number in range(50)}
    wanted = clips[44][1:, 7] ^ np.uint64(5)  # two bits of each moment
    nearest = Codes(clips.items()).nearest(wanted, begin=1, most=3)
    assert nearest[0] == (2 / 64, 44, 7)
    assert len(nearest) == 3 and nearest[1][0] > 0.2


def test_a_copy_that_begins_in_a_clip_is_not_laid_over_its_last_moments_alone() -> None:
    rng = np.random.default_rng(0)
    clip, other = rng.integers(0, 2**64, (2, 6, len(CROPS)), dtype=np.uint64)
    clip[5, 0] = clip[1, 0]  # it ends as the copy begins, somebody who waves say
    copy, codes = clip[1:5, 0] ^ np.uint64(1), Codes([(1, clip), (2, other)])
    assert codes.nearest(copy, begin=1, most=1) == [(1 / 64, 1, 0)]
    assert codes.nearest(copy, begin=5, most=1) == []
    assert [number for _, number, _ in codes.nearest(copy, begin=4, most=2)] == [1, 2]  # half of it


def waving(wall: int, way: int, frames: int = 56) -> Frames:
    """Draw somebody small who waves before a wall, in one of a few walls and ways."""
    stones = np.random.default_rng(wall).uniform(90, 170, (16, 16, 3)).repeat(4, axis=0).repeat(4, axis=1)  # (H, W, 3)
    rng, (y, x) = np.random.default_rng([wall, way]), np.mgrid[:SIDE, :SIDE]
    time = np.linspace(0, 2 * np.pi * rng.uniform(1, 2), frames)
    clip = np.repeat(stones[None], frames, axis=0)  # → (T, H, W, 3)
    clip[:, (abs(x - 32) < 5) & (y > 24)] = rng.uniform(20, 60, 3)
    for side in (-1, 1):
        angle = 1.2 * np.sin(time + rng.uniform(0, 6)) + rng.uniform(-0.5, 0.5)
        for reach in range(4, 17):
            hand = np.hypot(
                y - 28 + reach * np.sin(angle)[:, None, None], x - 32 - side * reach * np.cos(angle)[:, None, None]
            )
            clip[hand < 1.6] = (200, 150, 120)
    return clip.round().astype(np.uint8)


@pytest.mark.parametrize("change", ["crf 34", "70% of both sides", "12 frames a second"])
def test_somebody_small_before_a_wall_is_known_again_and_not_taken_for_who_stands_there_too(change: str) -> None:
    def samples(frames: Frames) -> Samples:
        small = fit_frames(frames, height=32, width=32, channels=3, fit="stretch")
        return make_samples(small)

    clips = {10 * wall + way: samples(waving(wall, way)) for wall in (1, 2) for way in range(4)}
    codes = {clip: make_codes(some) for clip, some in clips.items()}
    clip = 22
    frames = waving(*divmod(clip, 10))
    if change.startswith("70%"):
        frames = frames[:, 14:58, 8:52]
    copy = h264(frames, 34 if "crf" in change else 26)
    if change.startswith("12"):
        times = (np.arange(len(copy)) / 25 * 12).astype(int) * 25 // 12
        copy = copy[times]
    found = find_copy(Codes(codes.items()), samples(copy), lambda some: {one: clips[one] for one in some})
    assert found is not None and found.clip == clip
    others = {one: code for one, code in codes.items() if one != clip}
    assert find_copy(Codes(others.items()), samples(copy), lambda some: {one: clips[one] for one in some}) is None
