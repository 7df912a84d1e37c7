import gc
import os
from fractions import Fraction
from pathlib import Path

import av
import av.filter
import numpy as np
import pytest
from PIL import Image

from footage.media.decode import CHUNK, FrameReader, VideoDecoder, read_window
from footage.media.geometry import FITS, Orientation
from footage.media.probe import UnusableMedia, count_frames, open_video, probe, time_of
from footage.media.reader import DamageLog, PictureDecoder, fit_frames, natural_key, open_original
from footage.media.thumbnails import read_thumbnails
from tests import clips


def frames_of(path, height=64, width=64, channels=3, fps=25.0, fit="crop"):
    decoder = VideoDecoder(path, height=height, width=width, channels=channels, fps=fps, fit=fit)
    chunks = list(decoder)
    assert all(chunk.frames.dtype == np.uint8 and len(chunk.frames) <= CHUNK for chunk in chunks)
    frames = np.concatenate([chunk.frames for chunk in chunks])
    times = np.concatenate([chunk.times for chunk in chunks])
    np.testing.assert_allclose(times, np.arange(len(frames)) / fps)
    return frames, decoder


def difference(a, b):
    return float(np.abs(np.asarray(a, np.float32) - np.asarray(b, np.float32)).mean())


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt"),
    [
        ("a.mp4", "libx264", "yuv420p"),
        ("a.mkv", "libx264", "yuv444p"),
        ("a.mp4", "libx264", "yuv420p10le"),
        ("a.mp4", "libx264", "yuv422p"),
        ("a.mp4", "libx264", "gray"),
        ("a.mp4", "libx264rgb", "rgb24"),
        ("a.mov", "prores_ks", "yuv422p10le"),
        ("a.webm", "libvpx-vp9", "yuv420p"),
        ("a.avi", "mpeg4", "yuv420p"),
        ("a.mkv", "ffv1", "yuv420p"),
        ("a.avi", "mjpeg", "yuvj420p"),
        ("a.mpg", "mpeg2video", "yuv420p"),
        ("a.mkv", "libx265", "yuv420p"),
    ],
)
def test_codecs_containers_and_pixel_formats(tmp_path, name, codec, pix_fmt):
    made = clips.moving(40)
    options = {"crf": "10"} if codec.startswith("libx264") else {"b": "4000000", "x265-params": "log-level=none"}
    path = clips.write(tmp_path / name, made, codec=codec, pix_fmt=pix_fmt, options=options)
    frames, decoder = frames_of(path)
    assert len(frames) in (40, 41) if name.endswith("mpg") else len(frames) == 40
    expected = np.stack(made)
    if pix_fmt == "gray":
        expected = np.repeat((expected @ [0.299, 0.587, 0.114])[..., None], 3, axis=3)
    assert difference(frames[:40], expected) < 9
    assert decoder.damaged == 0 and not decoder.truncated


def test_levels_are_full_range(tmp_path):
    black, white = np.zeros((64, 64, 3), np.uint8), np.full((64, 64, 3), 255, np.uint8)
    for pix_fmt in ("yuv420p", "yuvj420p", "yuv420p10le"):
        path = clips.write(tmp_path / f"{pix_fmt}.mp4", [black] * 20 + [white] * 20, pix_fmt=pix_fmt)
        for channels in (1, 3):
            frames, _ = frames_of(path, channels=channels)
            assert frames.shape[-1] == channels
            assert frames[5].max() <= 4 and frames[35].min() >= 250


def test_colours(tmp_path):
    red = np.zeros((64, 64, 3), np.uint8)
    red[..., 0] = 255
    frames, _ = frames_of(clips.write(tmp_path / "red.mp4", [red] * 5))
    assert np.abs(frames[2, 32, 32].astype(int) - [255, 0, 0]).max() < 8


def test_odd_and_tiny_sizes(tmp_path):
    path = clips.write(tmp_path / "odd.mkv", clips.moving(10, (35, 51)), codec="ffv1", pix_fmt="bgr0")
    assert (probe(path).width, probe(path).height) == (51, 35)
    assert frames_of(path, 37, 21)[0].shape == (10, 37, 21, 3)
    assert difference(frames_of(path, 35, 51)[0], clips.moving(10, (35, 51))) < 1


@pytest.mark.parametrize("fit", FITS)
def test_fit(tmp_path, fit):
    wide = np.zeros((64, 128, 3), np.uint8)
    wide[:, :32], wide[:, 32:96], wide[:, 96:] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    frames, _ = frames_of(clips.write(tmp_path / "wide.mp4", [wide] * 5, pix_fmt="yuv444p"), 64, 64, fit=fit)
    middle, left, top = frames[2, 32, 32], frames[2, 32, 2], frames[2, 4, 32]
    assert middle[1] > 230
    assert (left[0] > 230) == (fit != "crop") and (left[1] > 230) == (fit == "crop")
    assert (top.max() < 20) == (fit == "letterbox")


# What FFmpeg's player does for each display matrix (a, b, c, d), by the names of its filters.
ORIENTATIONS = {
    (1, 0, 0, 1): [],
    (-1, 0, 0, 1): [("hflip", "")],
    (1, 0, 0, -1): [("vflip", "")],
    (-1, 0, 0, -1): [("hflip", ""), ("vflip", "")],
    (0, 1, -1, 0): [("transpose", "clock")],
    (0, -1, 1, 0): [("transpose", "cclock")],
    (0, 1, 1, 0): [("transpose", "cclock_flip")],
    (0, -1, -1, 0): [("transpose", "clock_flip")],
}


def filtered(picture, filters):
    """Return what FFmpeg's filters make of a picture (H, W, 3)."""
    frame, graph = av.VideoFrame.from_ndarray(picture, format="rgb24"), av.filter.Graph()
    height, width = picture.shape[:2]
    source = graph.add_buffer(width=width, height=height, format=frame.format, time_base=Fraction(1, 25))
    graph.link_nodes(source, *(graph.add(*named) for named in filters), graph.add("buffersink")).configure()
    frame.pts = 0
    graph.push(frame)
    return graph.pull().to_ndarray()


@pytest.mark.parametrize("matrix", ORIENTATIONS)
def test_the_eight_orientations(tmp_path, monkeypatch, matrix):
    stored = np.zeros((32, 48, 3), np.uint8)
    stored[:8, :12], stored[-8:, :12] = 255, (0, 160, 0)  # marks in the top left corner, and in the one below
    path = clips.display(clips.write(tmp_path / "turned.mp4", [stored] * 5, pix_fmt="yuv444p"), matrix)
    upright = filtered(stored, ORIENTATIONS[matrix])
    info = probe(path)
    assert (info.height, info.width) == upright.shape[:2]
    frames, _ = frames_of(path, info.height, info.width)
    assert difference(frames[2], upright) < 3
    assert difference(read_window(path, 0.0, 1)[0][0], upright) < 3
    assert difference(read_thumbnails(path).pictures[0], upright) < 3
    monkeypatch.setattr("footage.media.thumbnails.WHOLE", 2)
    assert difference(read_thumbnails(path).pictures[0], upright) < 3
    assert difference(next(open_original(path).pictures(3, DamageLog())).pixels, upright) < 3
    small, _ = frames_of(path, 16, 16, fit="crop")
    assert difference(small[0], fit_frames(upright[None], height=16, width=16, channels=3, fit="crop")[0]) < 6


def test_a_matrix_that_is_askew_is_the_nearest_orientation():
    assert Orientation.of_matrix(0.9, 0.1, -0.1, 0.9) == Orientation() == Orientation.of_matrix(0, 0, 0, 0)
    assert Orientation.of_matrix(0.1, 0.9, -0.9, 0.1) == Orientation(90)


def test_pixels_that_are_not_square(tmp_path):
    path = clips.write(tmp_path / "anamorphic.mp4", clips.moving(5, (64, 64)), sar=Fraction(2, 1))
    assert (probe(path).width, probe(path).height) == (128, 64)
    frames, _ = frames_of(path, 64, 64, fit="letterbox")
    assert frames[:, :14].max() < 8 and frames[:, 20:44].mean() > 40


def test_variable_rate_keeps_the_duration(tmp_path):
    levels = [np.full((64, 64, 3), 20 * i, np.uint8) for i in range(10)]
    times = [0, 0.04, 0.08, 0.12, 1.0, 1.04, 1.08, 2.0, 2.5, 3.0]
    frames, _ = frames_of(clips.write(tmp_path / "vfr.mkv", levels, times=times), fps=25)
    shown = np.round(frames.mean(axis=(1, 2, 3)) / 20).astype(int)
    assert abs(len(frames) / 25 - 3.2) < 0.35
    for tick in range(0, 75):
        assert shown[tick] == max(i for i, time in enumerate(times) if time <= tick / 25 + 0.018)


@pytest.mark.parametrize(("source", "target"), [(50, 25), (25, 50), (30, 25), (24, 30), (Fraction(30000, 1001), 30)])
def test_another_rate_keeps_the_duration(tmp_path, source, target):
    levels = [np.full((64, 64, 3), 4 * i, np.uint8) for i in range(60)]
    frames, _ = frames_of(clips.write(tmp_path / "a.mp4", levels, fps=source), fps=float(target))
    assert abs(len(frames) - 60 / float(source) * target) <= 1
    shown = frames.mean(axis=(1, 2, 3)) / 4
    assert np.abs(shown - np.arange(len(frames)) * float(source) / target).max() <= 1.0
    if source == 50:
        assert np.abs(np.diff(shown) - 2).max() < 0.6  # every second frame, without a stutter


def test_container_without_duration_and_frame_count(tmp_path):
    path = clips.write(tmp_path / "live.mkv", clips.moving(40), container_options={"live": "1"})
    assert probe(path).frames is None
    raw = clips.write(tmp_path / "raw.h264", clips.moving(40))
    assert probe(raw).duration is None
    for each in (path, raw):
        frames, decoder = frames_of(each)
        assert len(frames) == 40 and not decoder.truncated


def test_damage_in_the_middle_is_marked_and_survived(tmp_path):
    path = clips.write(tmp_path / "bad.mp4", clips.moving(120), options={"g": "20", "crf": "16"})
    clips.corrupt(path, 0.4, 0.5)
    decoder = VideoDecoder(path, height=64, width=64, channels=3, fps=25, fit="crop")
    chunks = list(decoder)
    marked = np.concatenate([chunk.damaged for chunk in chunks])
    frames = np.concatenate([chunk.frames for chunk in chunks])
    assert decoder.damaged > 0 and decoder.problem
    assert 90 <= len(frames) <= 125  # pictures out of order are shown late
    assert not marked[:30].any() and marked[40:80].any() and not marked[-20:].any()
    assert difference(frames[:30], clips.moving(120)[:30]) < 9


def test_truncated_file_keeps_its_beginning(tmp_path):
    fragmented = {"movflags": "frag_keyframe+empty_moov"}
    cases = [("a.mkv", {}), ("a.ts", {}), ("a.mp4", fragmented), ("f.mp4", {"movflags": "faststart"})]
    for name, container_options in cases:
        path = clips.write(tmp_path / name, clips.moving(120), options={"g": "20"}, container_options=container_options)
        frames, decoder = frames_of(clips.cut_off(path, 0.6))
        assert 20 <= len(frames) <= 100, name
        assert difference(frames[:20], clips.moving(20)) < 12, name
        if name == "f.mp4":
            assert decoder.truncated


def test_animated_gif(tmp_path):
    images = [Image.fromarray(f) for f in clips.moving(20)]
    images[0].save(tmp_path / "a.gif", save_all=True, append_images=images[1:], duration=40, loop=0)
    assert len(frames_of(tmp_path / "a.gif")[0]) == 20


@pytest.mark.parametrize("content", [b"", b"hello, this is text\n" * 50, bytes(range(256)) * 40])
def test_what_is_no_video(tmp_path, content):
    path = tmp_path / "a.mp4"
    path.write_bytes(content)
    with pytest.raises(UnusableMedia) as caught:
        probe(path)
    assert caught.value.reason == ("not a video" if content else "empty file")
    with pytest.raises(UnusableMedia):
        frames_of(path)


def test_audio_only_and_no_file(tmp_path):
    with pytest.raises(UnusableMedia, match="no video stream: it holds audio only"):
        probe(clips.write_audio(tmp_path / "a.mp4"))
    with pytest.raises(UnusableMedia, match="unreadable"):
        probe(tmp_path / "none.mp4")


def test_playlists_are_not_followed(tmp_path):
    target = clips.write(tmp_path / "target.mp4", clips.moving(20))
    for text in (f"ffconcat version 1.0\nfile '{target}'\n", f"#EXTM3U\n#EXTINF:1,\n{target}\n#EXT-X-ENDLIST\n"):
        (tmp_path / "list.mp4").write_text(text)
        with pytest.raises(UnusableMedia):
            frames_of(tmp_path / "list.mp4")


def test_names_that_look_like_protocols(tmp_path):
    (tmp_path / "sub").mkdir()
    path = clips.write(tmp_path / "plain.mp4", clips.moving(10))
    odd = tmp_path / "sub" / "tcp:%03d ü 影片.mp4"
    os.rename(path, odd)
    assert len(frames_of(odd)[0]) == 10
    assert Path(odd).exists()


def test_pictures(tmp_path):
    names = []
    for i, frame in enumerate(clips.moving(12, (64, 80))):
        names.append(f"img{i + 1}.png")
        Image.fromarray(frame).save(tmp_path / names[-1])
    assert sorted(reversed(names), key=natural_key) == names
    (tmp_path / names[5]).write_bytes(b"broken")
    decoder = PictureDecoder([tmp_path / name for name in names], height=32, width=40, channels=3, fps=10, fit="crop")
    (chunk,) = list(decoder)
    assert chunk.frames.shape == (12, 32, 40, 3) and decoder.damaged == 1
    assert chunk.damaged.tolist() == [i == 5 for i in range(12)]
    with pytest.raises(UnusableMedia, match="zero frames"):
        list(PictureDecoder([tmp_path / names[5]], height=32, width=40, channels=3, fps=10, fit="crop"))


def test_fit_frames():
    grey = np.arange(64, dtype=np.uint8)[None, :, None, None] * np.ones((3, 1, 64, 1), np.uint8)
    assert fit_frames(grey, height=64, width=64, channels=1, fit="crop") is grey
    assert fit_frames(grey, height=32, width=48, channels=3, fit="crop").shape == (3, 32, 48, 3)
    assert np.array_equal(fit_frames(grey, height=64, width=64, channels=3, fit="crop")[..., 1:2], grey)


def test_frames_are_gone_as_soon_as_they_were_shown(tmp_path):
    """Frames that wait for Python's collection of cycles hold hundreds of MB of a large video."""
    path = clips.write(tmp_path / "a.mp4", clips.moving(40))
    gc.collect()
    gc.disable()
    try:
        frames_of(path)
        assert not [each for each in gc.get_objects() if type(each) is av.VideoFrame]
    finally:
        gc.enable()


@pytest.mark.parametrize(("codec", "options"), [("libx264", {"bf": "3", "g": "30"}), ("mpeg4", {"bf": "2", "g": "12"})])
def test_an_avi_says_when_frames_are_decoded_and_they_are_shown_in_order(tmp_path, codec, options):
    bits = np.arange(90)[:, None] >> np.arange(8) & 1  # each frame says its number, in eight bars
    frames = list(np.tile(np.repeat(bits * 200 + 20, 8, axis=1)[:, None, :, None], (1, 32, 1, 3)).astype(np.uint8))
    path = clips.write(tmp_path / "a.avi", frames, codec=codec, options=options)
    with open_video(path) as (container, stream):
        times = [time_of(frame) for frame, _ in FrameReader().frames(container, stream)]
    assert times == [Fraction(number, 25) for number in range(90)] and count_frames(path).frames == 90
    decoder = VideoDecoder(path, height=32, width=64, channels=1, fps=25, fit="stretch")
    read = np.concatenate([chunk.frames for chunk in decoder]).reshape(-1, 32, 8, 8).mean(axis=(1, 3)) > 120
    assert (read @ (1 << np.arange(8))).tolist() == list(range(90))
    window, whole = read_window(path, 62 / 25, 3, 1)
    read = window.reshape(3, 32, 8, 8).mean(axis=(1, 3)) > 120
    assert (read @ (1 << np.arange(8))).tolist() == [62, 63, 64] and whole


@pytest.mark.parametrize(
    ("ending", "codec"),
    [("ts", "libx264"), ("mpg", "mpeg2video"), ("avi", "mpeg4"), ("h264", "libx264"), ("mp4", "libx264")],
)
@pytest.mark.parametrize("steady", [False, True])
def test_a_window_begins_where_it_is_asked_for(tmp_path, ending, codec, steady):
    """FFmpeg goes to a later key frame in some files, and to none in bare streams."""
    bits = np.arange(60)[:, None] >> np.arange(8) & 1  # each frame says its number, in eight bars
    frames = list(np.tile(np.repeat(bits * 200 + 20, 8, axis=1)[:, None, :, None], (1, 32, 1, 3)).astype(np.uint8))
    path = clips.write(tmp_path / f"a.{ending}", frames, codec=codec, options={"bf": "2", "g": "16"})
    for begin in (0, 7, 38, 50):
        window, whole = read_window(path, begin / 25, 3, 1, steady)
        read = window.reshape(3, 32, 8, 8).mean(axis=(1, 3)) > 120
        assert (read @ (1 << np.arange(8))).tolist() == [begin, begin + 1, begin + 2] and whole
    window, whole = read_window(path, 58 / 25, 4, 1)
    assert len(window) == 4 and not whole


def test_a_long_transport_stream_is_gone_into(tmp_path, monkeypatch):
    path = clips.write(tmp_path / "a.ts", clips.moving(300, (32, 32)), options={"bf": "2", "g": "25"})
    decoded, read = [], FrameReader._decoded

    def counted(self, container, stream):
        for frame in read(self, container, stream):
            decoded.append(frame)
            yield frame

    monkeypatch.setattr(FrameReader, "_decoded", counted)
    window, _ = read_window(path, 280 / 25, 3, steady=True)
    few = len(decoded)
    assert few < 150 and np.array_equal(window, read_window(path, 280 / 25, 3)[0])
    assert len(decoded) - few >= 283, "times that may jump are followed from the beginning on"
