"""Pictures: their depth is decided once for a sequence, transparency has one background, what moves is a clip."""

from __future__ import annotations

import struct
import zlib
from fractions import Fraction
from pathlib import Path

import av
import av.filter
import numpy as np
import pytest
from PIL import Image

from footage.data.store import Dataset
from footage.errors import ConfigError
from footage.library.library import Library
from footage.media.decode import decode_whole
from footage.media.pictures import PictureOptions, over, read_upright, turned
from footage.media.probe import count_frames, probe
from footage.media.reader import DamageLog, Footage, open_decoder, open_original
from footage.media.thumbnails import read_thumbnails
from tests.clips import moving
from tests.ingesting import ingest

SIDE = 16
COLOURS = {"black": (0, 0, 0), "white": (255, 255, 255), "#20a040": (32, 160, 64)}


def decoded(path: Path, channels: int = 3, side: int = SIDE, **options: object) -> tuple[np.ndarray, list[str]]:
    """The frames of a clip as ingest decodes them, and what is said of it."""
    footage = Footage(path)
    looks = PictureOptions(**options)  # type: ignore[arg-type]
    decoder = open_decoder(path, footage.pictures, (side, side, channels), fps=25, fit="stretch", options=looks)
    return np.concatenate([chunk.frames for chunk in decoder]), decoder.notes


def png16(path: Path, pixels: np.ndarray) -> Path:
    """Write a PNG of 16 bits: grey, grey and alpha, RGB or RGBA (PNG, third edition)."""
    height, width, channels = pixels.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    head = struct.pack(">IIBBBBB", width, height, 16, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    packed = (struct.pack(">I", len(c)) + kind + c + struct.pack(">I", zlib.crc32(kind + c)) for kind, c in chunks)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(packed))
    return path


def tiff16(path: Path, pixels: np.ndarray) -> Path:
    """Write a TIFF of 16 bits, grey or RGB, by FFmpeg."""
    encoder = av.CodecContext.create("tiff", "w")
    encoder.height, encoder.width, encoder.time_base = *pixels.shape[:2], Fraction(1, 25)
    encoder.pix_fmt = "rgb48le" if pixels.shape[2] == 3 else "gray16le"
    frame = av.VideoFrame.from_ndarray(np.squeeze(pixels, 2) if pixels.shape[2] == 1 else pixels, encoder.pix_fmt)
    path.write_bytes(b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)]))
    return path


def ramp(top: int, channels: int = 1) -> np.ndarray:
    """A picture that rises evenly from 0 to `top`, (H, W, C)."""
    values = np.linspace(0, top, SIDE * SIDE).round().astype(np.uint16).reshape(SIDE, SIDE, 1)
    return np.repeat(values, channels, axis=2)


# Depth


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("ending", ["png", "tif"])
@pytest.mark.parametrize(("brightest", "bits"), [(40_000, 16), (16_000, 14), (3000, 12), (900, 10), (200, 8)])
def test_a_fade_of_more_than_8_bits_falls_evenly(
    tmp_path: Path, brightest: int, bits: int, ending: str, channels: int
) -> None:
    tops = [brightest * (9 - number) // 9 for number in range(10)]
    for number, top in enumerate(tops):
        picture = ramp(top, channels)
        if ending == "tif":
            tiff16(tmp_path / f"{number}.tif", picture)
        else:
            png16(tmp_path / f"{number}.png", picture)
    frames, notes = decoded(tmp_path)
    white = 2**bits - 1
    assert [int(frame.max()) for frame in frames] == [round(255 * top / white) for top in tops]
    right = np.stack([ramp(top) for top in tops]) / white * 255
    assert np.abs(frames - right).max() <= 0.5  # every sample, not only the brightest
    assert notes == [f"pictures of {bits} bits, as their brightest sample says (--bits decides)"]
    if bits < 16:
        frames, notes = decoded(tmp_path, bits=16)
        assert int(frames.max()) == round(255 * brightest / 65535) and notes == ["pictures of 16 bits"]


def test_16_bits_are_what_ffmpeg_takes_them_for(tmp_path: Path) -> None:
    path = png16(tmp_path / "a.png", ramp(65535, 3))
    with av.open(str(path)) as container:
        deep = next(container.decode(video=0)).to_ndarray(format="rgb48le")
    assert np.abs(decoded(path)[0][0] - deep / 257).max() <= 0.5
    assert read_upright(path)[0].dtype == np.uint16


def test_pictures_of_both_depths_in_one_sequence(tmp_path: Path) -> None:
    """Tools write the dark end of a fade with 8 bits: each picture counts by its own mode."""
    Image.fromarray(np.full((SIDE, SIDE), 51, np.uint8)).save(tmp_path / "1.png")
    for number, value in ((2, 13107), (3, 65535)):
        png16(tmp_path / f"{number}.png", np.full((SIDE, SIDE, 1), value))
    (tmp_path / "4.png").write_bytes(b"damaged")
    assert decoded(tmp_path)[0][:, 0, 0, 0].tolist() == [51, 51, 255, 255]


@pytest.mark.parametrize("top", [1.0, 4.0, 255.0, 65535.0])
def test_floating_point_numbers(tmp_path: Path, top: float) -> None:
    """They count to 1 as long as nothing is much brighter; lights of 4 are white."""
    for number in range(4):
        Image.fromarray(np.full((SIDE, SIDE), top * number / 3, np.float32)).save(tmp_path / f"{number}.tif")
    white = 1.0 if top <= 4 else top
    right = [round(255 * min(1, top * number / 3 / white)) for number in range(4)]
    assert decoded(tmp_path)[0][:, 0, 0, 0].tolist() == right


def test_a_file_that_tells_its_depth_is_believed(tmp_path: Path) -> None:
    for number, value in ((1, 0), (2, 100), (3, 200)):
        raw = np.full((SIDE, SIDE), value, ">u2").tobytes()
        (tmp_path / f"{number}.pgm").write_bytes(f"P5 {SIDE} {SIDE} 1023\n".encode() + raw)
    frames, notes = decoded(tmp_path)
    assert frames[:, 0, 0, 0].tolist() == [0, 25, 50] and notes == ["pictures of 16 bits"]  # 100/1023, 200/1023 of 255


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_of_16_bits_are_upright(tmp_path: Path, orientation: int) -> None:
    """As Pillow turns pictures of 8 bits."""
    from PIL import ImageOps

    eight = np.arange(6, dtype=np.uint8).reshape(2, 3, 1).repeat(3, axis=2)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(eight).save(tmp_path / "a.png", exif=exif)
    right = np.asarray(ImageOps.exif_transpose(Image.open(tmp_path / "a.png")))
    assert np.array_equal(turned(eight, orientation), right)
    assert np.array_equal(read_upright(tmp_path / "a.png")[0], right)


def test_ingest_says_how_deep_pictures_were(tmp_path: Path) -> None:
    (tmp_path / "fade").mkdir()
    for number in range(8):
        png16(tmp_path / "fade" / f"{number}.png", np.full((SIDE, SIDE, 3), 1000 - 100 * number))
    options = {"height": SIDE, "width": SIDE, "min_frames": 2, "workers": 0, "cuts": False}
    dataset = ingest([tmp_path / "fade"], tmp_path / "d", **options).dataset
    assert dataset.sources[0].notes == ("pictures of 10 bits, as their brightest sample says (--bits decides)",)
    right = [round(255 * (1000 - 100 * number) / 1023) for number in range(8)]
    assert dataset.read(dataset.rows[0])[:, 0, 0, 0].tolist() == right
    twelve = ingest([tmp_path / "fade"], tmp_path / "d", bits=12, **options).dataset  # decoded again
    right = [round(255 * (1000 - 100 * number) / 4095) for number in range(8)]
    assert twelve.read(twelve.rows[0])[:, 0, 0, 0].tolist() == right


# Transparency


def glass(number: int = 0) -> np.ndarray:
    """A picture whose opacity rises from left to right, RGBA (H, W, 4); straight."""
    picture = np.zeros((SIDE, SIDE, 4), np.uint8)
    picture[..., :3] = (200, 100, 50)
    picture[..., 3] = np.linspace(0, 255, SIDE).round()
    picture[number % SIDE, :, 3] = 255
    return picture


def laid_over(picture: np.ndarray, background: tuple[int, int, int]) -> np.ndarray:
    """The same over a background, by FFmpeg's filter `overlay`, in RGB."""
    height, width = picture.shape[:2]
    graph = av.filter.Graph()
    shape = f"video_size={width}x{height}:time_base=1/25:pixel_aspect=1/1"
    inputs = [graph.add("buffer", f"{shape}:pix_fmt={fmt}") for fmt in ("rgba", "rgba")]
    overlay, sink = graph.add("overlay", "format=rgb"), graph.add("buffersink")
    for number, source in enumerate(inputs):
        source.link_to(overlay, 0, number)
    overlay.link_to(sink)
    graph.configure()
    behind = np.full((height, width, 4), (*background, 255), np.uint8)
    for source, pixels in zip(inputs, (behind, picture), strict=True):
        frame = av.VideoFrame.from_ndarray(pixels, "rgba")
        frame.pts, frame.time_base = 0, Fraction(1, 25)
        source.push(frame)
        source.push(None)
    return sink.pull().to_ndarray(format="rgb24")


def save_glass(folder: Path, kind: str) -> Path:
    """Write four such pictures as a clip of a kind."""
    pictures = [Image.fromarray(glass(number)) for number in range(4)]
    path = folder / f"clip.{kind.split()[0]}"
    if kind in ("png", "webp", "tif"):  # a folder of them
        for number, picture in enumerate(pictures):
            picture.save(folder / f"{number}.{kind}", **({"lossless": True} if kind == "webp" else {}))
        return folder
    if kind in ("webp moving", "png moving", "avif moving", "tif moving"):
        options = {"webp": {"lossless": True}, "avif": {"quality": 100, "subsampling": "4:4:4"}}.get(
            kind.split()[0], {}
        )
        pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=40, **options)
        return path
    codec, pix_fmt = {"mov": ("qtrle", "argb"), "mkv": ("ffv1", "yuva444p"), "webm": ("libvpx-vp9", "yuva420p")}[kind]
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = SIDE, SIDE, pix_fmt
        stream.options = {"lossless": "1"} if kind == "webm" else {}
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.asarray(picture), "rgba")))
        container.mux(stream.encode())
    return path


EXACT = ("png", "webp", "tif", "png moving", "webp moving", "tif moving", "mov")


@pytest.mark.parametrize("kind", [*EXACT, "avif moving", "mkv", "webm"])
@pytest.mark.parametrize("background", COLOURS)
def test_one_background_for_all_formats(tmp_path: Path, kind: str, background: str) -> None:
    frames, notes = decoded(save_glass(tmp_path, kind), background=background)
    right = np.stack([laid_over(glass(number), COLOURS[background]) for number in range(4)])
    assert frames.shape == right.shape
    error = np.abs(frames.astype(int) - right)
    assert error.max() <= 2 if kind in EXACT else error.mean() <= 4
    assert f"transparency laid over {background}" in notes


def test_premultiplied_colours(tmp_path: Path) -> None:
    straight = glass()
    ready = straight.copy()
    ready[..., :3] = (straight[..., :3].astype(float) * straight[..., 3:] / 255).round()
    Image.fromarray(ready).save(tmp_path / "a.png")
    for background, colour in COLOURS.items():
        frames, _ = decoded(tmp_path / "a.png", background=background, alpha="premultiplied")
        assert np.abs(frames[0].astype(int) - laid_over(straight, colour)).max() <= 2
    assert np.abs(decoded(tmp_path / "a.png")[0][0].astype(int) - laid_over(straight, (0, 0, 0))).max() > 20


def test_a_tiff_says_by_itself_that_its_colours_are_premultiplied(tmp_path: Path) -> None:
    straight, ready = glass(), glass()
    ready[..., :3] = (straight[..., :3].astype(float) * straight[..., 3:] / 255).round()
    Image.fromarray(ready).save(tmp_path / "a.tif")
    entry = struct.pack("<HHIH", 338, 3, 1, 2)  # ExtraSamples: unassociated alpha, TIFF 6.0
    whole = (tmp_path / "a.tif").read_bytes()
    assert whole.count(entry) == 1
    (tmp_path / "a.tif").write_bytes(whole.replace(entry, struct.pack("<HHIH", 338, 3, 1, 1)))  # associated
    assert Image.open(tmp_path / "a.tif").tag_v2[338] == (1,)
    frames, _ = decoded(tmp_path / "a.tif", background="white")
    assert np.abs(frames[0].astype(int) - laid_over(straight, (255, 255, 255))).max() <= 2


@pytest.mark.parametrize("channels", [2, 4])
def test_transparency_of_16_bits(tmp_path: Path, channels: int) -> None:
    picture = np.full((SIDE, SIDE, channels), 65535)
    picture[..., -1] = np.linspace(0, 65535, SIDE).round()
    path = png16(tmp_path / "a.png", picture)
    grey = np.linspace(0, 255, SIDE).round()
    assert np.abs(decoded(path)[0][0, :, :, 0] - grey).max() <= 1
    assert (decoded(path, background="white")[0] == 255).all()
    over_green = decoded(path, background="#00ff00")[0][0].astype(int)
    assert (over_green[..., 1] == 255).all() and np.abs(over_green[..., 0] - grey).max() <= 1
    assert decoded(path, channels=1)[0].shape == (1, SIDE, SIDE, 1)


def test_palettes_and_keys_of_transparency(tmp_path: Path) -> None:
    """GIF and PNG with one transparent colour: that is the background, not what the colour happens to be."""
    picture = Image.new("P", (SIDE, SIDE), 0)
    picture.putpalette([255, 255, 255, 200, 0, 0])
    picture.paste(1, (0, 0, 8, SIDE))
    picture.save(tmp_path / "a.png", transparency=0)
    picture.save(tmp_path / "b.gif", transparency=0)
    for name in ("a.png", "b.gif"):
        frame = decoded(tmp_path / name)[0][0]
        assert frame[0, 0].tolist() == [200, 0, 0] and frame[0, 15].tolist() == [0, 0, 0], name
        assert decoded(tmp_path / name, background="#0000ff")[0][0][0, 15].tolist() == [0, 0, 255]
        assert read_thumbnails(tmp_path / name).pictures[0][0, 15].tolist() == [0, 0, 0]


@pytest.mark.parametrize(("codec", "pix_fmt"), [("rawvideo", "bgra"), ("huffyuv", "bgra"), ("utvideo", "gbrap")])
def test_opacity_that_a_recorder_left_unset(tmp_path: Path, codec: str, pix_fmt: str) -> None:
    """AVI files of screen recorders have pixels of 32 bits whose last 8 are 0: they are not transparent."""
    picture = glass()
    picture[..., :3] = np.arange(SIDE, dtype=np.uint8)[:, None, None] * 16
    unset = picture.copy()
    unset[..., 3] = 0
    for shown, right in ((unset, picture[..., :3]), (picture, laid_over(picture, (0, 0, 0)))):
        with av.open(str(tmp_path / "a.avi"), "w") as container:
            stream = container.add_stream(codec, rate=25)
            stream.width, stream.height, stream.pix_fmt = SIDE, SIDE, pix_fmt
            for _ in range(3):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(shown, "rgba").reformat(format=pix_fmt)))
            container.mux(stream.encode())
        frames, _ = decoded(tmp_path / "a.avi")
        assert len(frames) == 3 and np.abs(frames.astype(int) - right).max() <= 2


def test_no_colour(tmp_path: Path) -> None:
    for number, frame in enumerate(moving(3, (SIDE, SIDE))):
        Image.fromarray(frame).save(tmp_path / f"{number}.png")
    with pytest.raises(ConfigError, match='background is "bleck", which is no colour: give a colour such as black'):
        ingest([tmp_path], tmp_path / "d", background="bleck", workers=0)


def test_what_is_opaque_is_left_as_it_is() -> None:
    picture = glass()
    picture[..., 3] = 255
    assert np.array_equal(over(picture, PictureOptions("white")), picture[..., :3])


# Pictures that move

DURATIONS = [40, 40, 120, 40, 80]
LOSSLESS = {"webp": {"lossless": True}, "avif": {"quality": 100, "subsampling": "4:4:4"}, "png": {}}


def save_moving(path: Path) -> list[np.ndarray]:
    frames = moving(len(DURATIONS), (SIDE, SIDE))
    pictures = [Image.fromarray(frame) for frame in frames]
    options = LOSSLESS[path.suffix[1:]]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=DURATIONS, **options)
    return frames


@pytest.mark.parametrize("ending", LOSSLESS)
def test_pictures_that_move_are_clips_everywhere(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"clip.{ending}"
    frames = save_moving(path)
    # in ingest: each frame for as long as the file says
    shown, _ = decoded(path)
    right = np.stack([frame for frame, time in zip(frames, DURATIONS, strict=True) for _ in range(time // 40)])
    assert shown.shape == right.shape and np.abs(shown.astype(int) - right).mean() < (0.01 if ending != "avif" else 3)
    options = {"height": SIDE, "width": SIDE, "min_frames": 2, "workers": 0, "fps": 25, "cuts": False}
    dataset = ingest([path], tmp_path / "d", keep_static=True, **options).dataset
    assert [row.frames for row in dataset.rows] == [8]
    assert dataset.sources[0].codec == ("apng" if ending == "png" else ending)
    # in the library and its thumbnails
    entry = Library(tmp_path / "library").add(path)
    assert (entry.frames > 3, entry.width, entry.suffix) == (True, SIDE, ending)
    assert entry.seconds == pytest.approx(0.32, abs=0.09)  # nothing tells how long the last frame of a PNG stands
    assert len(read_thumbnails(path).pictures) > 1
    # in upscale, and where frames are counted
    original = open_original(path)
    assert len(list(original.pictures(3, DamageLog()))) == 5 and not Footage(path).is_picture
    assert count_frames(path).frames == 5
    assert decode_whole(path, 100) == 5  # an upload
    with pytest.raises(Exception, match="16×16"):
        decode_whole(path, 8)


def test_a_stack_of_pages_is_a_clip_of_one_depth(tmp_path: Path) -> None:
    pages = [Image.fromarray(np.full((SIDE, SIDE), value, np.uint16)) for value in (0, 300, 600, 900)]
    pages[0].save(tmp_path / "stack.tif", save_all=True, append_images=pages[1:])
    frames, notes = decoded(tmp_path / "stack.tif")
    assert frames[:, 0, 0, 0].tolist() == [0, 75, 150, 224]  # of 1023
    assert notes == ["pictures of 10 bits, as their brightest sample says (--bits decides)"]
    assert decoded(tmp_path / "stack.tif", bits=12)[0][:, 0, 0, 0].tolist() == [0, 19, 37, 56]


@pytest.mark.parametrize("ending", ["webp", "avif", "tif"])
def test_damaged_pictures_that_move(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"clip.{ending}"
    pictures = [Image.fromarray(frame) for frame in moving(4, (SIDE, SIDE))]
    pictures[0].save(path, save_all=True, append_images=pictures[1:])
    whole = path.read_bytes()
    for part in (0.3, 0.6, 0.9):
        path.write_bytes(whole[: int(part * len(whole))])
        result = None
        try:
            result = ingest([path], tmp_path / f"d{part}", height=SIDE, width=SIDE, min_frames=1, workers=0)
        except Exception as error:
            assert "nothing can be ingested" in str(error)
        assert result is None or isinstance(result.dataset, Dataset)
    path.write_bytes(whole)
    assert probe(path).codec == ending
