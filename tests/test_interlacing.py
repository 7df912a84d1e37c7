"""Interlaced video is found, whatever its marks say, and made progressive, a frame for each or one for each field."""

from __future__ import annotations

import functools
from fractions import Fraction
from pathlib import Path

import av
import av.filter
import numpy as np
import pytest

from footage.media.decode import FrameReader, VideoDecoder, read_window
from footage.media.interlacing import Deinterlacing
from footage.media.pictures import PictureOptions
from footage.media.probe import open_video
from footage.media.reader import DamageLog, open_original
from footage.media.thumbnails import read_thumbnails
from tests.clips import combs, moving, smooth, woven, write

SIZE = (64, 96)


@functools.cache
def pictures() -> list[np.ndarray]:
    """Moving pictures without the stairs of hard edges, which are combs too."""
    return smooth(60, SIZE, 3)


MARKS = {"top": {"x264-params": "tff=1"}, "bottom": {"x264-params": "bff=1"}, "none": {}}


def clip(path: Path, frames: list[np.ndarray], mark: str = "none") -> Path:
    """A video whose colours are not shared between lines of two fields."""
    return write(path, frames, options={"crf": "8", **MARKS[mark]}, pix_fmt="yuv444p")


def decoded(path: Path, deinterlacing: Deinterlacing = "auto", fps: float = 25) -> tuple[np.ndarray, list[str]]:
    height, width = SIZE
    decoder = VideoDecoder(
        path,
        height=height,
        width=width,
        channels=3,
        fps=fps,
        fit="stretch",
        options=PictureOptions(deinterlacing=deinterlacing),
    )
    return np.concatenate([chunk.frames for chunk in decoder]), decoder.notes


def off_by(frames: np.ndarray, expected: list[np.ndarray]) -> float:
    assert len(frames) == len(expected)
    return float(np.abs(frames.astype(int) - np.stack(expected)).mean())


@pytest.mark.parametrize("top_first", [True, False])
@pytest.mark.parametrize("mark", ["top", "bottom", "none"])
def test_fields_become_frames_whatever_the_marks(tmp_path: Path, mark: str, top_first: bool) -> None:
    full = pictures()[:24]
    path = clip(tmp_path / "a.mp4", woven(full, top_first), mark)
    seen, notes = decoded(path)
    assert notes == ["interlaced, deinterlaced"] and combs(seen) < 0.4 * combs(np.stack(woven(full)))
    raw, none = decoded(path, "off")
    assert none == [] and combs(raw) > 2.5 * combs(seen)
    twice, notes = decoded(path, "double", 50)
    other_way = twice.reshape(-1, 2, *twice.shape[1:])[:, ::-1].reshape(twice.shape)
    assert notes == ["interlaced, a frame made of each field"] and combs(twice) < 0.4 * combs(raw)
    assert off_by(twice, full) < off_by(other_way, full), "each field at its time, in order"


def test_the_frames_are_those_of_ffmpeg(tmp_path: Path) -> None:
    path = clip(tmp_path / "a.mp4", woven(pictures()[:30]), "top")
    graph, expected = av.filter.Graph(), []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        filters = graph.add_buffer(template=stream), graph.add("bwdif", "mode=send_frame:parity=tff")
        graph.link_nodes(*filters, graph.add("buffersink")).configure()
        for frame in [*container.decode(stream), None]:
            graph.push(frame)
            try:
                while True:
                    expected.append(graph.pull().to_ndarray())
            except (BlockingIOError, av.error.EOFError):
                pass
    with open_video(path) as (container, stream):
        made = [frame for frame, _ in FrameReader().frames(container, stream)]
    assert len(made) == len(expected) == 15
    assert all((a.to_ndarray() == b).all() for a, b in zip(made, expected, strict=True))
    assert [frame.time for frame in made] == pytest.approx([number / 25 for number in range(15)])


@pytest.mark.parametrize("size", [(24, 32), (48, 64), (96, 128), (240, 64)])
@pytest.mark.parametrize("seed", range(2))
def test_progressive_frames_are_left_alone(tmp_path: Path, size: tuple[int, int], seed: int) -> None:
    for mark in ("none", "top"):
        path = clip(tmp_path / "a.mp4", moving(24, size, seed), mark)
        with open_video(path) as (container, stream):
            reader = FrameReader()
            list(reader.frames(container, stream))
        small = mark == "top" and size[0] < 96  # too little to see: the mark is believed
        assert small or not reader.fields.found
        assert small or reader.fields.notes == []


def test_vertical_pans_lines_and_noise_are_not_fields(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8) for _ in range(12)]
    stripes = np.repeat((np.arange(160) // 2 % 2 * 200)[:, None, None], 96, axis=1).repeat(3, axis=2).astype(np.uint8)
    wall = np.kron(rng.integers(0, 256, (32, 12, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    for frames in (
        noise,
        *([stripes[at * step : at * step + 64] for at in range(12)] for step in (1, 2, 3)),
        *([wall[at * step : at * step + 64] for at in range(16)] for step in (1, 2, 4)),
    ):
        assert decoded(clip(tmp_path / "a.mp4", frames))[1] == []


def test_what_stands_still_first_and_moves_later(tmp_path: Path) -> None:
    full = pictures()
    still = [full[0]] * 30
    seen, notes = decoded(clip(tmp_path / "a.mp4", [*still, *woven(full)]))
    assert notes == ["interlaced, deinterlaced"] and combs(seen[-10:]) < 0.4 * combs(np.stack(woven(full)))
    assert len(seen) == 60


def test_telecined_film(tmp_path: Path) -> None:
    film = pictures()[:32]
    shown = []
    for a, b, c, d in zip(*(film[at::4] for at in range(4)), strict=True):
        shown += [a, b, *woven([b, c]), *woven([c, d]), d]
    path = clip(tmp_path / "a.mp4", shown)
    assert combs(decoded(path)[0]) < 0.5 * combs(decoded(path, "off")[0])


@pytest.mark.parametrize("pix_fmt", ["yuv422p10le", "yuyv422", "gray", "bgr0", "yuv411p"])
def test_pixel_formats(tmp_path: Path, pix_fmt: str) -> None:
    codec = "rawvideo" if pix_fmt == "yuyv422" else "ffv1"
    path = write(tmp_path / "a.mkv", woven(pictures()[:40]), codec=codec, pix_fmt=pix_fmt, options={})
    seen, notes = decoded(path)
    assert notes and len(seen) == 20 and combs(seen) < 0.5 * combs(decoded(path, "off")[0])
    assert np.abs(seen[:, 1::2].astype(int) - decoded(path, "off")[0][:, 1::2]).mean() < 25, "colours stay"


def test_one_frame_and_two(tmp_path: Path) -> None:
    for count in (1, 2, 3):
        path = clip(tmp_path / "a.mp4", woven(pictures()[: 2 * count]), "top")
        seen, notes = decoded(path)
        assert len(seen) == count and notes, "the mark is believed where nothing else tells"
        assert len(decoded(path, "double", 50)[0]) == 2 * count


def test_the_ways_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = pictures()
    path = clip(tmp_path / "a.mp4", woven(full), "top")
    limit = 0.4 * combs(np.stack(woven(full)))
    assert combs(read_window(path, 0.6, 6)[0]) < limit
    seen = read_thumbnails(path, moments=6)
    assert combs(seen.pictures) < limit and seen.notes == ("interlaced, deinterlaced",)
    monkeypatch.setattr("footage.media.thumbnails.WHOLE", 5)
    seen = read_thumbnails(path, moments=6)
    assert combs(seen.pictures) < limit and seen.notes == ("interlaced, deinterlaced",)
    original = open_original(path)
    assert original.notes == ("interlaced, deinterlaced",) and (original.rate, original.frames) == (25, 30)
    frames = list(original.pictures(3, DamageLog()))
    assert len(frames) == 30 and combs(np.stack([frame.pixels for frame in frames])) < limit
    assert [frame.stamp * original.base for frame in frames] == [Fraction(number, 25) for number in range(30)]
    double = open_original(path, "double")
    stamps = [frame.stamp * double.base for frame in double.pictures(3, DamageLog())]
    assert (double.rate, double.frames) == (50, 60) and stamps == [Fraction(number, 50) for number in range(60)]
    later = list(double.pictures(3, DamageLog(), first=40))
    assert [frame.stamp * double.base for frame in later] == stamps[40:]


def test_damage_is_marked_where_it_is(tmp_path: Path) -> None:
    path = clip(tmp_path / "a.mp4", 2 * woven(pictures()), "top")
    content = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        damaged = packets[40]
        assert damaged.pos is not None
        for at in range(damaged.pos + damaged.size // 3, damaged.pos + damaged.size, 3):
            content[at] ^= 0x5A
    path.write_bytes(bytes(content))
    decoder = VideoDecoder(path, height=64, width=96, channels=3, fps=25, fit="stretch")
    marked = np.concatenate([chunk.damaged for chunk in decoder])
    assert 57 <= len(marked) <= 60 and not marked[:30].any() and marked[40:].any()
